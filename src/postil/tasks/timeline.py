"""Events in time: which there are, and which are before, after or during which (survey 0.07)."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, Self, cast

from postil.canonical import canonical_json
from postil.errors import (
    Ambiguous,
    AnswerError,
    DataError,
    Inconsistent,
    NotFound,
    OutsideLabels,
    RecordRejected,
    TaskError,
    Unreadable,
)
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.alignment import FUZZY
from postil.tasks.choice import Choices, choice_form, contract, folded_forms
from postil.tasks.extraction import json_reply, part_confidences, whole_confidence
from postil.tasks.language import language_of
from postil.tasks.mentions import check_placing, defined_parts, listed
from postil.tasks.merging import heaviest
from postil.tasks.places import (
    QUOTE,
    Methods,
    Part,
    accepted,
    given,
    in_context,
    known_text,
    object_schema,
    original,
    placings,
    quote_of,
    quoted_part,
    quoting,
    raise_all,
    text_field,
    text_of,
    with_shown,
)
from postil.tasks.reading import clip, fold
from postil.tasks.reasons import reason_tokens, reasoned, reasons_contract, reasons_of, with_reasons
from postil.tasks.specs import from_spec, names_and_meanings, require_texts
from postil.tasks.story import Event, Story, consistent, contradictions, merged, misfits, story_of
from postil.tasks.temporal_order import (
    INVERSES,
    RELATIONS,
    Link,
    PartialOrder,
    inverse,
    partial_order,
)
from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

_TOKENS: Final = 1024
"""Room for a dozen of events and links; a reply cut short is asked for again with twice the room."""

_CUE: Final[Mapping[Language, str]] = {"en": "Timeline", "zh": "时间线"}
_CUE_OF_PAIR: Final[Mapping[Language, str]] = {"en": "Relation", "zh": "关系"}
_SHOW: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {"events": "{{text}}\nEvents:\n{{{}}}", "pair": "{{text}}\nEvent 1: {{{}}}\nEvent 2: {{{}}}"},
    "zh": {"events": "{{text}}\n事件：\n{{{}}}", "pair": "{{text}}\n事件 1：{{{}}}\n事件 2：{{{}}}"},
}
_DEFINITIONS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "before": "the first event is over before the second begins",
        "after": "the first event begins after the second is over",
        "includes": "the second event happens during the first",
        "is_included": "the first event happens during the second",
        "simultaneous": "both events happen at the same time",
        "vague": "the text does not tell",
    },
    "zh": {
        "before": "第二个事件开始之前，第一个事件已经结束",
        "after": "第二个事件结束之后，第一个事件才开始",
        "includes": "第二个事件发生在第一个事件期间",
        "is_included": "第一个事件发生在第二个事件期间",
        "simultaneous": "两个事件同时发生",
        "vague": "文中看不出先后",
    },
}
_LIKE: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "found": "Answer with JSON and nothing else, like {}: every event, and links that say how the event "
        '"from" lies to the event "to"; empty lists if there are none.',
        "given": 'Answer with JSON and nothing else, like {}: links that say how the event "from" lies to the event '
        '"to", by the ids of the events given; [] if there are none.',
    },
    "zh": {
        "found": '只回答 JSON，不要写别的，例如 {}：列出所有事件，并用 links 说明事件 "from" 相对于事件 "to" 的'
        "时间关系；没有就写空列表。",
        "given": '只回答 JSON，不要写别的，例如 {}：用所给事件的编号写出 links，说明事件 "from" 相对于事件 "to" '
        "的时间关系；没有就写 []。",
    },
}
_RULES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "times": 'An event may have a "time": the words that say when it happens; null if none do.',
        "confidence": 'Each link has a "confidence", how likely it is right, from 0 to 1.',
        "consistent": "All links together must be possible.",
    },
    "zh": {
        "times": '事件可以有 "time"：文中说明它何时发生的词句；没有就写 null。',
        "confidence": '每个 link 有 "confidence"：它正确的可能性，从 0 到 1。',
        "consistent": "所有关系合在一起必须可能同时成立。",
    },
}


@dataclass(frozen=True, init=False)
class Timeline:
    """Events of a text and how they lie in time: before, after, includes, is_included, simultaneous, vague.

    `relations` takes some of the six, or gives them definitions of your own; `aliases` are other words for them, such
    as the names in your gold. Events are looked for, unless `events` names a field of the records that holds a list of
    them (objects with start and end and perhaps an id, or words that stand in the text once), or `pair` two fields that
    hold one event each: then one relation is chosen, with its probability where the engine gives it. With `times`
    events may have a time expression.

    Links that cannot all be true fail the reply, which is told which. With `cycles = "repair"` those are left out and
    counted that cost the least confidence: of the tokens where the engine says it, else what the reply states.

    A reply quotes words; where they stand is found, and never guessed. What cannot be placed fails the reply, or with
    `unaligned = "drop"` is left out and counted. `field` names the field that is annotated where several are shown.
    """

    kind: ClassVar[str] = "timeline"
    answer_keys: ClassVar[tuple[str, ...]] = ("events", "links")
    other_keys: ClassVar[tuple[str, ...]] = ()

    name: str
    instruction: str
    options: tuple[Option, ...]
    aliases: Mapping[str, str]
    events: str | None
    pair: tuple[str, str] | None
    times: bool
    cycles: Literal["fail", "repair"]
    show: str
    field: str | None
    unaligned: Literal["fail", "drop"]
    fuzzy: float
    rationale: bool
    evidence: bool
    language: Language

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Return a task that shows given events in their places, where there are any: a compound task."""
        if cls is not Timeline:
            return object.__new__(cls)
        given_events = _OfPair if options.get("pair") else _OfGiven if options.get("events") else Timeline
        return cast("Self", object.__new__(given_events))

    def __init__(
        self,
        name: str,
        instruction: str,
        *,
        relations: Sequence[str] | Mapping[str, str] | None = None,
        aliases: Mapping[str, str] | None = None,
        events: str | None = None,
        pair: Sequence[str] | None = None,
        times: bool = False,
        cycles: Literal["fail", "repair"] = "fail",
        show: str | None = None,
        field: str | None = None,
        unaligned: Literal["fail", "drop"] = "fail",
        fuzzy: float = FUZZY,
        rationale: bool = False,
        evidence: bool = False,
        language: Language | None = None,
    ) -> None:
        """Take relations as names, or as names with definitions.

        Raises:
            TaskError: the definition cannot work; the message says which part.
        """
        words = {f"alias {alias}": relation for alias, relation in (aliases or {}).items()}
        require_texts(
            name=name, instruction=instruction, show=show or "", field=field or "", events=events or "", **words
        )
        if pair is not None and (isinstance(pair, str) or len({*pair}) != 2 or len(pair) != 2):
            raise TaskError(f"task {name!r}: `pair` names the two fields that hold an event each, got {pair!r}")
        defined = defined_parts(name, RELATIONS if relations is None else relations)
        language = language or language_of(instruction)
        fields = list(pair) if pair else [events] if events else []
        shown = _SHOW[language]["pair" if pair else "events"].format(*fields) if fields else "{text}"
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "options": tuple(
                Option(relation, definition or _DEFINITIONS[language].get(relation, ""))
                for relation, definition in defined.items()
            ),
            "aliases": dict(aliases or {}),
            "events": events,
            "pair": tuple(pair) if pair else None,
            "times": times,
            "cycles": cycles,
            "show": show or shown,
            "field": field,
            "unaligned": unaligned,
            "fuzzy": fuzzy,
            "rationale": rationale,
            "evidence": evidence,
            "language": language,
        }.items():
            object.__setattr__(self, attribute, value)
        self._check(fields)

    def _check(self, fields: Sequence[str]) -> None:
        """Check what the parts of the definition mean together."""
        check_placing(self.name, self.unaligned, self.fuzzy)
        if unknown := [relation for relation in self.labels if relation not in INVERSES]:
            names = ", ".join(RELATIONS)
            raise TaskError(
                f"task {self.name!r}: relations are {names}, got {unknown[0]!r}",
                hint=f'say which it is: aliases = {{ "{unknown[0]}" = "simultaneous" }}',
            )
        if unknown := [relation for relation in self.aliases.values() if relation not in self.labels]:
            raise TaskError(f"task {self.name!r}: an alias stands for {unknown[0]!r}, which is no relation here")
        if self.cycles not in ("fail", "repair"):
            raise TaskError(f"task {self.name!r}: `cycles` is 'fail' or 'repair', got {self.cycles!r}")
        if self.events and self.pair:
            raise TaskError(f"task {self.name!r}: events are given in one field or in two, not both")
        if self.times and fields:
            raise TaskError(f"task {self.name!r}: only events that are looked for have `times`")
        if self.pair and len(self.labels) < 2:
            raise TaskError(f"task {self.name!r}: a pair needs at least two relations to choose from")
        _ = self._field, self._forms

    def __hash__(self) -> int:
        return hash((self.name, self.instruction, self.options, self.events, self.pair, self.show, self.cycles))

    @property
    def labels(self) -> tuple[str, ...]:
        """The relations, in the user's order."""
        return self._labels

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        return tuple(option.name for option in self.options)

    @property
    def finds_events(self) -> bool:
        """Whether events are looked for, rather than given."""
        return self.events is None and self.pair is None

    @cached_property
    def _field(self) -> str:
        return text_field(self.name, self.show, self.pair or ([self.events] if self.events else []), self.field)

    @cached_property
    def _forms(self) -> Mapping[str, str]:
        return folded_forms(self.labels, self.aliases.items(), of=f"task {self.name!r}")

    @property
    def scale(self) -> Scale:
        """By what follows from the links."""
        return "order"

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task; relations stand in a list, since their order is shown."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            **names_and_meanings("relations", self.options),
            "aliases": dict(self.aliases),
            "events": self.events,
            "pair": list(self.pair) if self.pair else None,
            "times": self.times,
            "cycles": self.cycles,
            "show": self.show,
            "field": self.field,
            "unaligned": self.unaligned,
            "fuzzy": self.fuzzy,
            "rationale": self.rationale,
            "evidence": self.evidence,
            "language": self.language,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, JSON]) -> Self:
        """Return the task that a spec describes.

        Raises:
            TaskError: it cannot work.
        """
        return from_spec(cls, spec)

    # Asking

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how events and links are to be written: as JSON, held to a schema where the engine can."""
        return AnswerForm(
            "json",
            _TOKENS + reason_tokens(rationale=self.rationale, evidence=self.evidence),
            schema=self._schema(self._stated(capabilities.token_probabilities)) if capabilities.schema else None,
            layout="extraction",
            token_probabilities=capabilities.token_probabilities,
            reasons="inside" if self.rationale else "none",
        )

    def _stated(self, token_probabilities: bool) -> bool:
        """Return whether the reply must state how sure its links are: to choose between them, and nobody else does."""
        return self.cycles == "repair" and not token_probabilities

    def _schema(self, stated: bool) -> Mapping[str, JSON]:
        text: Mapping[str, JSON] = {"type": "string"}
        link = {"from": text, "to": text, "relation": {"type": "string", "enum": list(self.labels)}}
        sure = {"confidence": {"type": ["number", "null"]}} if stated else {}
        lists = {"links": {"type": "array", "items": object_schema({**link, **sure})}}
        if self.events is None:
            time = {"time": {"anyOf": [object_schema(QUOTE), {"type": "null"}]}} if self.times else {}
            lists = {"events": {"type": "array", "items": object_schema({"id": text, **QUOTE, **time})}, **lists}
        return with_reasons(object_schema(lists), rationale=self.rationale, evidence=self.evidence)

    def _example(self, stated: bool = False) -> str:
        """Return what a reply looks like."""
        sure = {"confidence": 0.9} if stated else {}
        links = [{"from": "E1", "to": "E2", "relation": "…", **sure}]
        if self.events is not None:
            return _json({"links": links})
        time = {"time": {"text": "…"}} if self.times else {}
        return _json({"events": [{"id": "E1", "text": "…", **time}, {"id": "E2", "text": "…"}], "links": links})

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        rules, stated = _RULES[self.language], self._stated(form.token_probabilities)
        said = [_LIKE[self.language]["found" if self.events is None else "given"].format(self._example(stated))]
        if self.events is None:
            said.append(quoting(self.language, schema=form.schema is not None))
        if self.times:
            said.append(rules["times"])
        if stated:
            said.append(rules["confidence"])
        said.append(rules["consistent"])
        contract = (" " if self.language == "en" else "").join(said)
        contract += reasons_contract(self.language, rationale=self.rationale, evidence=self.evidence)
        return Ask(self.instruction, self.options, contract, _CUE[self.language])

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return a timeline as the model should write it; how sure anybody was is not known of it."""
        text, schema = None if record is None else text_of(record, self._field), form.schema is not None
        story = story_of(answer)
        unsure = {"confidence": None} if schema and self._stated(form.token_probabilities) else {}
        lists: dict[str, JSON] = {"links": [{**each, **unsure} for each in answer["links"]]}
        if self.events is None:
            events = [self._written(each, event, text, schema) for each, event in story.events.items()]
            lists = {"events": events, **lists}
        return _json(lists)

    def _written(self, id_: str, event: Event, text: str | None, schema: bool) -> dict[str, JSON]:
        time = {"time": event.time and quote_of(event.time, text, schema=schema)} if self.times else {}
        return {"id": id_, **quote_of(event.part, text, schema=schema), **time}

    # Reading

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the events of a complete reply at their exact places, and its links.

        Raises:
            AnswerError: the reply has another form, words cannot be placed, or links cannot all be true; these are
                named.
        """
        example = self._example(self._stated(form.token_probabilities))
        reply = json_reply(completion, f"JSON like {example}", cue=_CUE[self.language])
        lists = listed(reply.fields, ("events", "links") if self.events is None else ("links",))
        faults: list[AnswerError] = []
        found_by: Methods = {}
        events = self._read_events(lists.get("events", ()), record, faults, found_by)
        lost = {item["id"] for at, item in enumerate(lists.get("events", ())) if at not in events and _has_id(item)}
        ids = {each: at for at, (each, _) in events.items()}
        links = self._read_links(lists["links"], ids, lost, faults)
        dropped = [each for each in faults if self.unaligned == "drop" and isinstance(each, (NotFound, Ambiguous))]
        raise_all([each for each in faults if each not in dropped])
        held = dict(events.values())
        sure = {key: part_confidences(completion, key) for key in lists} if form.token_probabilities else {}
        sure_of_links = sure.get("links") or _stated_confidences(lists["links"])
        kept, mended = consistent(held, links, sure_of_links if self.cycles == "repair" else None)
        story = Story(held, tuple(kept.values())).arranged(self.labels, renumbered=self.events is None)
        reasons = reasons_of(reply.fields, record, f"{{{self._field}}}")
        answer = story.answer(times=self.times)
        return Reading(
            answer,
            confidence=whole_confidence(completion, [*lists]) if form.token_probabilities and not mended else None,
            rationale=reasons.rationale or reply.rationale,
            part_confidences=self._part_confidences(story, events, kept, sure),
            evidence=reasons.evidence,
            rejected=(*(str(each.args[0]) for each in dropped), *mended, *reasons.rejected),
            placings=placings(answer, found_by),
        )

    def _read_events(
        self, items: Sequence[JSON], record: Record, faults: list[AnswerError], found_by: Methods
    ) -> Mapping[int, tuple[str, Event]]:
        """Return the events of a reply with their ids, by their places in it."""
        text = text_of(record, self._field)
        found: dict[int, tuple[str, Event]] = {}
        for at, item in enumerate(items):
            where = f"events[{at}]"
            if not _has_id(item) or not item.keys() <= {"id", "text", "occurrence", "time"}:
                faults.append(Unreadable(f'{where}: expected an object with "id" and "text", got {clip(repr(item))}'))
                continue
            if any(item["id"] == each for each, _ in found.values()):
                faults.append(Inconsistent(f"{where}: there are two events {item['id']!r}"))
            try:
                part = quoted_part(item, text, where, fuzzy=self.fuzzy, found_by=found_by)
                found[at] = item["id"], Event(part, self._read_time(item.get("time"), text, where, faults, found_by))
            except AnswerError as error:
                faults.append(error)
        return found

    def _read_time(
        self, item: JSON, text: str, where: str, faults: list[AnswerError], found_by: Methods
    ) -> Part | None:
        """Return the place of a time expression; one that has none is a fault of its own and not of the event."""
        if item is None:
            return None
        if not self.times:
            raise Unreadable(f'{where}: expected no "time", got {clip(repr(item))}')
        try:
            return quoted_part(item, text, f"{where}.time", fuzzy=self.fuzzy, found_by=found_by)
        except AnswerError as error:
            faults.append(error)
            return None

    def _read_links(
        self, items: Sequence[JSON], ids: Mapping[str, int], lost: Collection[str], faults: list[AnswerError]
    ) -> Mapping[int, Link]:
        """Return the links of a reply by their places in it; those to events that are lost are faults too."""
        found: dict[int, Link] = {}
        known = {"from", "to", "relation"} | ({"confidence"} if self.cycles == "repair" else set[str]())
        for at, item in enumerate(items):
            where = f"links[{at}]"
            if not isinstance(item, dict) or not item.keys() <= known:
                faults.append(
                    Unreadable(f'{where}: expected an object with "from", "to", "relation", got {clip(repr(item))}')
                )
                continue
            try:
                found[at] = self._link(item, ids, lost, where)
            except AnswerError as error:
                faults.append(error)
        return found

    def _link(self, item: Mapping[str, JSON], ids: Collection[str], lost: Collection[str], where: str) -> Link:
        """Return a link of a reply or from outside; a relation whose inverse the task has is turned round.

        Raises:
            OutsideLabels: there is no such relation.
            Inconsistent: there is no such event.
            NotFound: the event has no place.
        """
        word = item.get("relation")
        folded = fold(word) if isinstance(word, str) else ""
        relation = self._forms.get(folded) or (folded if INVERSES.get(folded) in self.labels else None)
        if relation is None:
            names = clip(", ".join(self.labels))
            raise OutsideLabels(f"{where}: expected one of the relations {names}, got {clip(repr(word))}")
        for end in (item.get("from"), item.get("to")):
            if isinstance(end, str) and end in lost:
                raise NotFound(f"{where}: the event {end!r} has no place")
            if not isinstance(end, str) or end not in ids:
                known = clip(", ".join(ids)) or "none"
                raise Inconsistent(f"{where}: there is no event {clip(repr(end))}; there are {known}")
        return Link(item["from"], item["to"], relation)

    def _part_confidences(
        self,
        story: Story,
        events: Mapping[int, tuple[str, Event]],
        links: Mapping[int, Link],
        sure: Mapping[str, Sequence[float] | None],
    ) -> Mapping[str, float] | None:
        """Return how probable the parts of the answer were, of what was said twice the less probable."""
        found: dict[str, float] = {}
        parts = {event.part: at for at, event in enumerate(story.events.values())}
        for at, (_, event) in events.items() if self.events is None else ():
            if (each := sure.get("events")) is not None:
                found[f"events/{parts[event.part]}"] = each[at]
        held = {each: event.part for each, event in events.values()}
        ends = {frozenset((one, other)): at for at, (one, other, _) in enumerate(story.by_place())}
        for at, link in links.items():
            if (each := sure.get("links")) is not None:
                place = f"links/{ends[frozenset((held[link.source], held[link.target]))]}"
                found[place] = min(each[at], found.get(place, 1.0))
        return found or None

    # Answers

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return a timeline from outside in canonical form: events in the order of the text, each link once.

        Raises:
            DataError: it is no timeline of this task, its links cannot all be true, or it is not about this record.
        """
        text = known_text(record, self._field)
        events = self._accepted_events(answer.get("events"), record, text)
        items = answer.get("links", ())
        if not isinstance(items, (list, tuple)):
            raise DataError(f"expected a list under 'links', got {clip(repr(items))}")
        links: list[Link] = []
        for at, item in enumerate(cast("Sequence[JSON]", items)):
            if not isinstance(item, Mapping):
                raise DataError(f"links[{at}]: expected 'from', 'to' and 'relation', got {clip(repr(item))}")
            try:
                links.append(self._link(item, events, (), f"links[{at}]"))
            except AnswerError as error:
                raise DataError(str(error.args[0])) from None
        for wrong in (*misfits(events, links), *contradictions(events, links)):
            raise DataError(wrong)
        return self._arranged(Story(events, tuple(links))).answer(times=self.times)

    def _arranged(self, story: Story) -> Story:
        return story.arranged(self.labels, renumbered=self.events is None)

    def _accepted_events(self, items: JSON, record: Record | None, text: str | None) -> Mapping[str, Event]:
        if not isinstance(items, (list, tuple)):
            raise DataError(f"expected a list under 'events', got {clip(repr(items))}")
        events: dict[str, Event] = {}
        for at, item in enumerate(cast("Sequence[JSON]", items)):
            part = accepted(item, text, f"events[{at}]")
            id_ = item.get("id", f"E{at + 1}")
            if not isinstance(id_, str) or not id_ or id_ in events:
                raise DataError(f"events[{at}]: expected an id that no other event has, got {clip(repr(id_))}")
            time = item.get("time") if self.times else None
            events[id_] = Event(part, None if time is None else accepted(time, text, f"events[{at}].time"))
        return events

    def order(self, answer: Answer) -> PartialOrder:
        """Return which events are before which, by their ids, as far as it follows from the links."""
        story = story_of(answer)
        return partial_order(story.links, story.ids)

    def value(self, answer: Answer) -> str:
        """Return the answer's canonical JSON."""
        return canonical_json(answer).decode()

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return the F1 of equal links, and of equal events where they were looked for; 1 where both have none."""
        one, other = (set(self._parts(story_of(answer))) for answer in (first, second))
        return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0

    def _parts(self, story: Story) -> Iterator[object]:
        yield from story.by_place()
        if self.finds_events:
            yield from story.events.values()

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the events and links with more than half of the weight; `None` where one has just half.

        Links that each have more than half can still contradict each other, three by three (Condorcet 1785): then those
        of the least weight are left out, and a tie between them is a tie.
        """
        stories = [(story_of(answer), weight) for answer, weight in answers]
        story = merged(stories, renumbered=self.events is None)
        return None if story is None else self._arranged(story).answer(times=self.times)

    def describe(self, answer: Answer) -> str:
        """Return the links by the words of their events, and the events without links; a dash for nothing."""
        story = story_of(answer)
        words = {each: " ".join(event.part.text.split()) for each, event in story.events.items()}
        linked = {end for link in story.links for end in link[:2]}
        said = [f"{words[link.source]} {link.relation} {words[link.target]}" for link in story.links]
        return "; ".join([*said, *(words[each] for each in story.events if each not in linked)]) or "–"


class _OfGiven(Timeline):
    """The links between events that the record gives, shown in their places. A `CompoundTask` of one question."""

    @property
    def parts(self) -> tuple[Timeline, ...]:
        """The one question."""
        return (self,)

    def part_record(self, part: int, record: Record, earlier: Sequence[Answer]) -> Record:
        """Return the record, its events shown with their ids among the words around them.

        Raises:
            RecordRejected: it gives no events in its text.
        """
        text = text_of(record, self._field)
        events = self._given(record, text)
        lines = [f"{each}: {in_context(text, event.part)}" for each, event in events.items()]
        return with_shown(record, {self.events or "": "\n".join(lines)})

    def part_answer(self, part: int, answer: Answer) -> Answer:
        """Return the answer."""
        return answer

    def combine(self, readings: Sequence[Reading]) -> Reading:
        """Return the one reading."""
        return readings[-1]

    def _given(self, record: Record, text: str) -> Mapping[str, Event]:
        """Return the events of a record.

        Raises:
            RecordRejected: they are no list of different places in its text.
        """
        name = self.events or ""
        items = original(record, name)
        if not isinstance(items, (list, tuple)):
            raise RecordRejected(f"record {record.id!r}, {name}: expected a list of events, got {clip(repr(items))}")
        events: dict[str, Event] = {}
        for at, item in enumerate(cast("Sequence[JSON]", items)):
            id_ = item.get("id", f"E{at + 1}") if isinstance(item, Mapping) else f"E{at + 1}"
            if not isinstance(id_, str) or not id_.strip() or id_ in events:
                raise RecordRejected(f"record {record.id!r}, {name}: expected different ids, got {clip(repr(id_))}")
            events[id_] = Event(given(record, name, item, text))
        for wrong in misfits(events, ()):
            raise RecordRejected(f"record {record.id!r}, {name}: {wrong}")
        return events

    def _read_events(
        self, items: Sequence[JSON], record: Record, faults: list[AnswerError], found_by: Methods
    ) -> Mapping[int, tuple[str, Event]]:
        return dict(enumerate(self._given(record, text_of(record, self._field)).items()))

    def _accepted_events(self, items: JSON, record: Record | None, text: str | None) -> Mapping[str, Event]:
        if record is None or text is None:
            return super()._accepted_events(items, record, text)
        try:
            events = self._given(record, text)
        except RecordRejected as error:
            raise DataError(str(error.args[0])) from None
        if items is not None and super()._accepted_events(items, record, text) != events:
            raise DataError(f"expected the events that record {record.id!r} gives, got {clip(repr(items))}")
        return events


class _OfPair(_OfGiven):
    """How the second of two given events lies to the first: one relation out of some. A `CompoundTask`."""

    @cached_property
    def _choices(self) -> Choices:
        return Choices(self.labels, self._forms, "relation", _CUE_OF_PAIR[self.language])

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how the relation is to be written for an engine with these capabilities."""
        return choice_form(self.labels, capabilities, key="relation", rationale=self.rationale, evidence=self.evidence)

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        codes = form.choices if form.style == "code" else ("",) * len(self.labels)
        options = [replace(option, code=code) for option, code in zip(self.options, codes, strict=True)]
        how = contract(form, self.language, "relation")
        if form.style == "json":
            how += reasons_contract(self.language, rationale=self.rationale, evidence=self.evidence)
        return Ask(self.instruction, tuple(options), how, _CUE_OF_PAIR[self.language])

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return the relation as the model should write it."""
        relation = story_of(answer).links[0].relation
        if form.style == "code":
            return form.choices[self.labels.index(relation)]
        return _json({"relation": relation}) if form.style == "json" else relation

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the relation in a complete reply, with its probability where the engine says it.

        Raises:
            AnswerError: the reply holds no relation of the set, or several.
        """
        chosen = self._choices.read(completion, form, prior)
        events = self._given(record, text_of(record, self._field))
        answer = Story(events, (Link("E1", "E2", chosen.name),)).answer(times=False)
        odds = chosen.probabilities
        confidence = None if odds is None else Confidence(odds[chosen.name], "logprob")
        parts = None if odds is None else {"links/0": odds[chosen.name]}
        reading = Reading(answer, "", confidence, odds, chosen.rationale, parts)
        if self.rationale or self.evidence:
            return reasoned(reading, completion, form, record, show=f"{{{self._field}}}", key="relation")
        return reading

    def part_record(self, part: int, record: Record, earlier: Sequence[Answer]) -> Record:
        """Return the record, each event shown among the words around it.

        Raises:
            RecordRejected: it gives no two events in its text.
        """
        text = text_of(record, self._field)
        events = self._given(record, text).values()
        shown = (in_context(text, event.part) for event in events)
        return with_shown(record, dict(zip(self.pair or (), shown, strict=True)))

    def _given(self, record: Record, text: str) -> Mapping[str, Event]:
        parts = [given(record, name, original(record, name), text) for name in self.pair or ()]
        events = {f"E{at + 1}": Event(part) for at, part in enumerate(parts)}
        for wrong in misfits(events, ()):
            raise RecordRejected(f"record {record.id!r}: {wrong}")
        return events

    def _arranged(self, story: Story) -> Story:
        """Return the one link from the first event to the second.

        Raises:
            DataError: it cannot be said so.
        """
        relations = {(inverse(link) if link.target == story.ids[0] else link).relation for link in story.links}
        if len(relations) != 1 or not relations <= {*self.labels}:
            raise DataError(f"expected one of the relations {', '.join(self.labels)}, got {sorted(relations)}")
        first, second = story.events.values()
        return Story({"E1": first, "E2": second}, (Link("E1", "E2", relations.pop()),))

    def _accepted_events(self, items: JSON, record: Record | None, text: str | None) -> Mapping[str, Event]:
        """Return the two events, in their order, by the ids that the links from outside use."""
        known = None if items is not None and record is None else super()._accepted_events(None, record, text)
        said = known if items is None else super()._accepted_events(items, None, text)
        if said is None or len(said) != 2 or (known is not None and [*said.values()] != [*known.values()]):
            raise DataError(f"expected two events, those that the record gives, got {clip(repr(items))}")
        return said

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the relation with the largest total weight, `None` on a tie."""
        relation = heaviest((story_of(answer).links[0].relation, weight) for answer, weight in answers)
        if relation is None:
            return None
        return Story(story_of(answers[0][0]).events, (Link("E1", "E2", relation),)).answer(times=False)


def _json(value: JSON) -> str:
    return json.dumps(value, ensure_ascii=False)


def _has_id(item: JSON) -> bool:
    return isinstance(item, dict) and isinstance(item.get("id"), str) and bool(item["id"].strip())


def _stated_confidences(items: Sequence[JSON]) -> list[float | None]:
    """Return how sure a reply says it is of each link, `None` where it says nothing that is a probability."""
    stated = [item.get("confidence") if isinstance(item, dict) else None for item in items]
    return [
        float(each) if isinstance(each, (int, float)) and not isinstance(each, bool) and 0 <= each <= 1 else None
        for each in stated
    ]
