"""Directed, typed relations between labelled spans: find everything, or classify a given pair (survey 0.05)."""

import json
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self, TypeVar, cast

from postil.canonical import canonical_json
from postil.errors import AnswerError, DataError, Inconsistent, OutsideLabels, RecordRejected, TaskError, Unreadable
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.alignment import FUZZY
from postil.tasks.choice import Choices, choice_form, contract, folded_forms
from postil.tasks.extraction import json_reply, part_confidences, span_texts, whole_confidence
from postil.tasks.language import language_of
from postil.tasks.mentions import Mentions, Span, check_placing, defined_parts, listed, majority, placings, texts_of
from postil.tasks.places import given, in_context, original, text_field, text_of, with_shown
from postil.tasks.reading import clip, fold
from postil.tasks.reasons import reason_tokens, reasons_contract, reasons_of, with_reasons
from postil.tasks.shown import Shown
from postil.tasks.specs import from_spec, names_and_meanings, require_texts
from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

_TOKENS: Final = 1536
"""Room for some dozens of spans and relations; a reply cut short is asked for again with twice the room."""
_CUE: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {"find": "Relations", "pair": "Relation"},
    "zh": {"find": "关系", "pair": "关系"},
}
_SHOWN_PAIR: Final[Mapping[Language, str]] = {
    "en": "\nHead: {{{head}}}\nTail: {{{tail}}}",
    "zh": "\n头：{{{head}}}\n尾：{{{tail}}}",
}
_CONTRACT: Final[Mapping[Language, Sequence[str]]] = {
    "en": (
        'Answer with JSON alone, like {{"spans": [{span}], "relations": [{relation}]}}; a list may be empty. ',
        "Labels of spans: {labels}. ",
        ' A relation leads from one span to another: "head" and "tail" are their ids.',
    ),
    "zh": (
        '只回答 JSON，不要写别的，例如 {{"spans": [{span}], "relations": [{relation}]}}；列表可以为空。',
        "片段的标签有：{labels}。",
        '关系从一个片段指向另一个片段，"head" 和 "tail" 写它们的 id。',
    ),
}
_DEFINED: Final[Mapping[Language, str]] = {"en": "{} ({})", "zh": "{}（{}）"}
_LISTED: Final[Mapping[Language, str]] = {"en": ", ", "zh": "、"}
_RELATION: Final = '{"head": "T1", "tail": "T2", "label": "…"}'
_EXPECTED: Final = 'JSON like {"spans": [{"id": "T1", "text": "…", "label": "…"}], "relations": [' + _RELATION + "]}"

Key = TypeVar("Key", bound=Hashable)


class _Link(NamedTuple):
    """A relation between two spans."""

    head: Span
    tail: Span
    label: str


@dataclass(frozen=True, init=False)
class Relations:
    """Relations between spans of a text, each from a head to a tail.

    In mode "find" a reply names the spans and the relations between them. In mode "pair" the fields `head` and `tail`
    of a record hold two places, as objects with start and end or as words that stand in the text once, and one label
    or `none` is chosen, by probability where the engine scores choices; a `show` that names neither shows both after
    it. `triples` are the allowed (label of the head, relation, label of the tail); without them all are. `symmetric`
    relations have no direction.
    """

    kind: ClassVar[str] = "relations"
    answer_keys: ClassVar[tuple[str, ...]] = ("spans", "relations")
    other_keys: ClassVar[tuple[str, ...]] = ()

    name: str
    instruction: str
    options: tuple[Option, ...]
    span_options: tuple[Option, ...]
    triples: tuple[tuple[str, str, str], ...]
    symmetric: tuple[str, ...]
    mode: Literal["find", "pair"]
    head: str
    tail: str
    none: str
    show: str
    field: str | None
    nested: bool
    unaligned: Literal["fail", "drop"]
    fuzzy: float
    rationale: bool
    evidence: bool
    language: Language

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Return a task that asks about a given pair, where that is wanted: it shows records in its own way."""
        return cast("Self", object.__new__(_OfPair)) if options.get("mode") == "pair" else object.__new__(cls)

    def __init__(
        self,
        name: str,
        instruction: str,
        *,
        labels: Sequence[str] | Mapping[str, str],
        span_labels: Sequence[str] | Mapping[str, str] | None = None,
        triples: Sequence[Sequence[str]] | None = None,
        symmetric: Sequence[str] | None = None,
        mode: Literal["find", "pair"] = "find",
        head: str = "head",
        tail: str = "tail",
        none: str = "none",
        show: str = "{text}",
        field: str | None = None,
        nested: bool = False,
        unaligned: Literal["fail", "drop"] = "fail",
        fuzzy: float = FUZZY,
        rationale: bool = False,
        evidence: bool = False,
        language: Language | None = None,
    ) -> None:
        """Take labels of relations and of spans as names, or as names with definitions.

        Without `span_labels` every span is an "entity".

        Raises:
            TaskError: the definition cannot work; the message says which part.
        """
        require_texts(name=name, instruction=instruction, show=show, head=head, tail=tail, none=none)
        defined, spans = (
            defined_parts(name, labels),
            defined_parts(name, ["entity"] if span_labels is None else span_labels),
        )
        language = language or language_of(instruction, "".join(defined))
        if mode == "pair" and not {head, tail} & {*Shown.parse(show).fields}:
            show += _SHOWN_PAIR[language].format(head=head, tail=tail)
        Shown.parse(show)
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "options": tuple(Option(label, definition) for label, definition in defined.items()),
            "span_options": tuple(Option(label, definition) for label, definition in spans.items()),
            "triples": _checked_triples(name, triples or (), tuple(spans), tuple(defined)),
            "symmetric": tuple(symmetric or ()),
            "mode": mode,
            "head": head,
            "tail": tail,
            "none": none,
            "show": show,
            "field": field,
            "nested": nested,
            "unaligned": unaligned,
            "fuzzy": fuzzy,
            "rationale": rationale,
            "evidence": evidence,
            "language": language,
        }.items():
            object.__setattr__(self, attribute, value)
        self._check()

    def _check(self) -> None:
        """Check what the parts of the definition mean together."""
        check_placing(self.name, self.unaligned, self.fuzzy)
        if self.mode not in ("find", "pair"):
            raise TaskError(f"task {self.name!r}: `mode` is 'find' or 'pair', got {self.mode!r}")
        if unknown := [label for label in self.symmetric if label not in self.labels]:
            raise TaskError(f"task {self.name!r}: `symmetric` names {unknown[0]!r}, which is no label")
        if self.mode == "find" and self.field is not None:
            raise TaskError(f"task {self.name!r}: `field` says where a given pair stands: mode = 'pair'")
        _ = self._mentions, self._forms

    def __hash__(self) -> int:
        return hash((self.name, self.instruction, self.options, self.span_options, self.triples, self.mode, self.show))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of relations, in the user's order."""
        return self._labels

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        return tuple(option.name for option in self.options)

    @property
    def span_labels(self) -> tuple[str, ...]:
        """The labels of spans, in the user's order."""
        return self._mentions.labels

    @cached_property
    def _forms(self) -> Mapping[str, str]:
        return folded_forms(self.labels, (), of=f"task {self.name!r}")

    @cached_property
    def _mentions(self) -> Mentions:
        names = tuple(option.name for option in self.span_options)
        forms = folded_forms(names, (), of=f"task {self.name!r}")
        return Mentions(names, forms, self._fields, self.nested, fuzzy=self.fuzzy, ids="T")

    @property
    def _fields(self) -> tuple[str, ...]:
        return Shown.parse(self.show).fields

    @property
    def scale(self) -> Scale:
        """Triple by triple."""
        return "relations"

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task; labels stand in lists, since their order is shown."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            **names_and_meanings("labels", self.options),
            **names_and_meanings("span_labels", self.span_options),
            "triples": [list(triple) for triple in self.triples],
            "symmetric": list(self.symmetric),
            "mode": self.mode,
            "head": self.head,
            "tail": self.tail,
            "none": self.none,
            "show": self.show,
            "field": self.field,
            "nested": self.nested,
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

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how relations are to be written: as JSON, held to a schema where the engine can."""
        return AnswerForm(
            "json",
            _TOKENS + reason_tokens(rationale=self.rationale, evidence=self.evidence),
            schema=self._schema if capabilities.schema else None,
            layout="extraction",
            token_probabilities=capabilities.token_probabilities,
            reasons="inside" if self.rationale else "none",
        )

    @cached_property
    def _schema(self) -> Mapping[str, JSON]:
        relation: Mapping[str, JSON] = {
            "type": "object",
            "properties": {
                "head": {"type": "string"},
                "tail": {"type": "string"},
                "label": {"type": "string", "enum": list(self.labels)},
            },
            "required": ["head", "tail", "label"],
            "additionalProperties": False,
        }
        schema: Mapping[str, JSON] = {
            "type": "object",
            "properties": {
                "spans": {"type": "array", "items": self._mentions.schema()},
                "relations": {"type": "array", "items": relation},
            },
            "required": ["spans", "relations"],
            "additionalProperties": False,
        }
        return with_reasons(schema, rationale=self.rationale, evidence=self.evidence)

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        like, labels, how = _CONTRACT[self.language]
        named = _LISTED[self.language].join(map(self._named, self.span_options))
        contract = (
            like.format(span=self._mentions.example(), relation=_RELATION)
            + labels.format(labels=named)
            + self._mentions.contract(self.language, schema=form.schema is not None)
            + how
            + reasons_contract(self.language, rationale=self.rationale, evidence=self.evidence)
        )
        return Ask(self.instruction, tuple(map(self._option, self.options)), contract, self._cue)

    @property
    def _cue(self) -> str:
        return _CUE[self.language][self.mode]

    def _named(self, option: Option) -> str:
        return _DEFINED[self.language].format(option.name, option.definition) if option.definition else option.name

    def _option(self, option: Option) -> Option:
        """Return a relation with the labels that it may hold between."""
        pairs = [f"{head} → {tail}" for head, label, tail in self.triples if label == option.name]
        if not pairs:
            return option
        between = _LISTED[self.language].join(pairs)
        words = _DEFINED[self.language].format(option.definition, between) if option.definition else between
        return Option(option.name, words, option.code)

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return spans and relations as the model should write them."""
        texts = None if record is None else span_texts(record, self.show)
        spans = self._mentions.write(answer["spans"], texts, form)
        return json.dumps({"spans": spans, "relations": [*map(dict, answer["relations"])]}, ensure_ascii=False)

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the spans that a complete reply quotes, at their exact places, and the relations between them.

        Raises:
            AnswerError: the reply is no lists of spans and relations, a span cannot be placed, or a relation is
                against the rules.
        """
        reply = json_reply(completion, _EXPECTED, cue=self._cue)
        lists = listed(reply.fields, ("spans", "relations"))
        ids = _ids(lists["spans"])
        found = self._mentions.read(lists["spans"], span_texts(record, self.show), drop=self.unaligned == "drop")
        spans = {ids[at]: span for at, span in found.spans.items()}
        ends = [self._ends(at, item, ids) for at, item in enumerate(lists["relations"])]
        links = {
            at: _Link(spans[head], spans[tail], label)
            for at, (head, tail, label) in enumerate(ends)
            if head in spans and tail in spans
        }
        lost = [f"relations[{at}]: one of its spans cannot be placed" for at in range(len(ends)) if at not in links]
        if fault := self._fault(list(links.values())):
            raise Inconsistent(fault)
        answer = self._answer(list(spans.values()), list(links.values()))
        reasons = reasons_of(reply.fields, record, self.show)
        return Reading(
            answer,
            confidence=whole_confidence(completion, ["spans", "relations"]) if form.token_probabilities else None,
            rationale=reasons.rationale or reply.rationale,
            part_confidences=self._sure(completion, found.spans, links) if form.token_probabilities else None,
            evidence=reasons.evidence,
            rejected=(*found.rejected, *lost, *reasons.rejected),
            placings=placings([found.spans[at] for at in self._in_order(found.spans)]),
        )

    def _ends(self, at: int, item: JSON, ids: Sequence[str]) -> tuple[str, str, str]:
        """Return the ids of head and tail and the label of a relation in a reply.

        Raises:
            AnswerError: it is no relation of this task between spans of the reply.
        """
        where = f"relations[{at}]"
        match item:
            case {"head": str(head), "tail": str(tail), "label": str(said)} if len(item) == 3:
                pass
            case _:
                raise Unreadable(f"{where}: expected an object like {_RELATION}, got {clip(repr(item))}")
        label = self._forms.get(fold(said))
        if label is None:
            raise OutsideLabels(
                f"{where}: expected one of the labels {clip(', '.join(self.labels))}, got {clip(said)!r}"
            )
        if strange := [end for end in (head, tail) if end not in ids]:
            raise Inconsistent(f"{where}: there is no span with the id {clip(strange[0])!r}")
        return head, tail, label

    def _fault(self, links: Sequence[_Link]) -> str:
        """Return what is wrong with relations as the rules have it, empty if nothing is."""
        seen: set[_Link] = set()
        for link in links:
            head, tail = clip(link.head.text, 60), clip(link.tail.text, 60)
            said = f"{link.label!r} from {head!r} ({link.head.label}) to {tail!r} ({link.tail.label})"
            if link.head == link.tail:
                return f"{said}: a relation needs two spans"
            if link in seen:
                return f"{said} is there twice"
            if not self._allowed(link):
                pairs = ", ".join(f"{one} to {other}" for one, label, other in self.triples if label == link.label)
                return f"{said}: the relation holds only from {pairs}"
            seen.add(link)
        return ""

    def _allowed(self, link: _Link) -> bool:
        ends = {(link.head.label, link.label, link.tail.label)}
        if link.label in self.symmetric:
            ends.add((link.tail.label, link.label, link.head.label))
        return not self.triples or not ends.isdisjoint(self.triples)

    def _sure(
        self, completion: Completion, spans: Mapping[int, Span], links: Mapping[int, _Link]
    ) -> Mapping[str, float] | None:
        """Return how probable the parts of the answer were, by their places in it."""
        of_spans, of_links = (part_confidences(completion, key) for key in ("spans", "relations"))
        if of_spans is None or of_links is None:
            return None
        parts = {f"spans/{i}": of_spans[at] for i, at in enumerate(self._in_order(spans))}
        turned = {at: self._turned(link) for at, link in links.items()}
        order = sorted(turned, key=lambda at: self._link_order(turned[at]))
        # A symmetric relation may be there in both directions: it is one, as sure as the surer of the two.
        once = list(dict.fromkeys(turned[at] for at in order))
        for at in order:
            place = f"relations/{once.index(turned[at])}"
            parts[place] = max(of_links[at], parts.get(place, 0.0))
        return parts

    def _in_order(self, spans: Mapping[Key, Span]) -> list[Key]:
        return sorted(spans, key=lambda key: self._mentions.order(spans[key]))

    def _turned(self, link: _Link) -> _Link:
        """Return a relation with its spans in order if it has no direction."""
        if link.label not in self.symmetric:
            return link
        one, other = sorted((link.head, link.tail), key=self._mentions.order)
        return _Link(one, other, link.label)

    def _link_order(self, link: _Link) -> tuple[JSON, ...]:
        order = self._mentions.order
        return order(link.head), order(link.tail), self.labels.index(link.label)

    def _answer(self, spans: Sequence[Span], links: Sequence[_Link]) -> Answer:
        """Return the answer in its one form: spans in the order of their places, numbered so, then the relations."""
        ordered = sorted(spans, key=self._mentions.order)
        ids = {span: f"T{at}" for at, span in enumerate(ordered, 1)}
        once = sorted({self._turned(link) for link in links}, key=self._link_order)
        return {
            "spans": [{"id": ids[span], **self._mentions.json(span)} for span in ordered],
            "relations": [{"head": ids[link.head], "tail": ids[link.tail], "label": link.label} for link in once],
        }

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return spans and relations from outside in their one form; ids are given anew.

        Raises:
            DataError: they are no spans and relations of this task, or do not stand in the record.
        """
        texts = texts_of(record, self.show)
        return self._answer(*self._accepted(answer, texts))

    def _accepted(self, answer: Answer, texts: Mapping[str, str] | None) -> tuple[list[Span], list[_Link]]:
        value = answer.get("relations")
        if not isinstance(value, (list, tuple)):
            raise DataError(f"expected a list of relations under 'relations', got {clip(repr(value))}")
        spans = self._mentions.accept(answer.get("spans"), texts)
        try:
            ids = _ids(answer["spans"])
            ends = [
                self._ends(at, dict(item) if isinstance(item, Mapping) else item, ids) for at, item in enumerate(value)
            ]
        except AnswerError as error:
            raise DataError(str(error.args[0])) from None
        by_id = dict(zip(ids, spans, strict=True))
        links = [_Link(by_id[head], by_id[tail], label) for head, tail, label in ends]
        if fault := self._fault(links):
            raise DataError(fault)
        return spans, links

    def value(self, answer: Answer) -> str:
        """Return the answer's canonical JSON."""
        return canonical_json(answer).decode()

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return the F1 of equal spans and equal relations together, 1 where both have none."""
        one, other = ({*spans, *links} for spans, links in (self._accepted(each, None) for each in (first, second)))
        return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the spans and relations with more than half of the weight, `None` where one has just half."""
        accepted = [(self._accepted(answer, None), weight) for answer, weight in answers]
        spans = majority([(spans, weight) for (spans, _), weight in accepted])
        # Whoever gave a relation gave its spans, so those of a kept relation are kept too.
        links = majority([(links, weight) for (_, links), weight in accepted])
        return None if spans is None or links is None else self._answer(spans, links)

    def describe(self, answer: Answer) -> str:
        """Return the relations between the words of their spans; without relations the spans, a dash for none."""
        words = {span["id"]: " ".join(span["text"].split()) for span in answer["spans"]}
        found = [f"{words[each['head']]} — {each['label']} → {words[each['tail']]}" for each in answer["relations"]]
        alone = [f"{span['label']}: {words[span['id']]}" for span in answer["spans"]]
        return "; ".join(found or alone) or "–"


class _OfPair(Relations):
    """Which relation a given pair has, if any. A `CompoundTask` of one question, which shows the pair in its place."""

    def _check(self) -> None:
        super()._check()
        if self.rationale or self.evidence:
            raise TaskError(f"task {self.name!r}: one relation is chosen for a pair, without reasons: mode = 'find'")
        if self.head == self.tail:
            raise TaskError(f"task {self.name!r}: `head` and `tail` are two fields, got {self.head!r} for both")
        _ = self._text_field, self._choices

    @cached_property
    def _text_field(self) -> str:
        return text_field(self.name, self.show, (self.head, self.tail), self.field)

    @property
    def _fields(self) -> tuple[str, ...]:
        return (self._text_field,)

    @cached_property
    def _mentions(self) -> Mentions:
        names = tuple(option.name for option in self.span_options)
        forms = folded_forms(names, (), of=f"task {self.name!r}")
        return Mentions(names, forms, self._fields, nested=True, fuzzy=self.fuzzy, ids="T")

    @cached_property
    def _choices(self) -> Choices:
        names = (*self.labels, self.none)
        if self.none in self.labels:
            raise TaskError(f"task {self.name!r}: {self.none!r} cannot be both a label and none", hint='set none = "…"')
        return Choices(names, folded_forms(names, (), of=f"task {self.name!r}"), "label", self._cue)

    @property
    def parts(self) -> tuple[Relations, ...]:
        """The one question."""
        return (self,)

    def part_record(self, part: int, record: Record, earlier: Sequence[Answer]) -> Record:
        """Return the record, its head and tail shown among the words around them.

        Raises:
            RecordRejected: they are no places in its text.
        """
        text = text_of(record, self._text_field)
        places = {name: given(record, name, original(record, name), text) for name in (self.head, self.tail)}
        return with_shown(record, {name: in_context(text, place) for name, place in places.items()})

    def part_answer(self, part: int, answer: Answer) -> Answer:
        """Return the answer."""
        return answer

    def combine(self, readings: Sequence[Reading]) -> Reading:
        """Return the one reading."""
        return readings[-1]

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how the relation is to be written: one of the labels, or none."""
        return choice_form(self._choices.names, capabilities, key="label")

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        options = (*map(self._option, self.options), Option(self.none))
        codes = form.choices if form.style == "code" else ("",) * len(options)
        coded = tuple(Option(one.name, one.definition, code) for one, code in zip(options, codes, strict=True))
        return Ask(self.instruction, coded, contract(form, self.language, "label"), self._cue)

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return the label as the model should write it."""
        label = self._label(answer)
        if form.style == "code":
            return form.choices[self._choices.names.index(label)]
        return json.dumps({"label": label}, ensure_ascii=False) if form.style == "json" else label

    def _label(self, answer: Answer) -> str:
        return str(answer["relations"][0]["label"]) if answer["relations"] else self.none

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the relation in a complete reply, between the record's head and tail.

        Raises:
            AnswerError: the reply names no label, several, or one that cannot hold between these spans.
            RecordRejected: head or tail are no places in the record's text.
        """
        chosen = self._choices.read(completion, form, prior)
        head, tail = self._pair(record)
        links = [] if chosen.name == self.none else [_Link(head, tail, chosen.name)]
        if fault := self._fault(links):
            raise Inconsistent(fault)
        odds = chosen.probabilities
        confidence = None if odds is None else Confidence(odds[chosen.name], "logprob")
        return Reading(self._of_pair(head, tail, links), "", confidence, odds, chosen.rationale)

    def _pair(self, record: Record) -> tuple[Span, Span]:
        """Return the spans that a record gives.

        Raises:
            RecordRejected: they are no places in its text, or one has no label where there are several.
        """
        text = text_of(record, self._text_field)
        head, tail = (self._given(record, name, text) for name in (self.head, self.tail))
        return head, tail

    def _given(self, record: Record, name: str, text: str) -> Span:
        value = original(record, name)
        place = given(record, name, value, text)
        said = value.get("label") if isinstance(value, Mapping) else None
        label = self.span_labels[0] if said is None and len(self.span_labels) == 1 else self._mentions.label(said)
        if label is None:
            names = clip(", ".join(map(repr, self.span_labels)))
            raise RecordRejected(
                f"record {record.id!r}, {name}: expected under 'label' one of {names}, got {clip(repr(said))}"
            )
        return Span(label, self._text_field, ((place.start, place.end),), place.text)

    def _of_pair(self, head: Span, tail: Span, links: Sequence[_Link]) -> Answer:
        """Return the answer in its one form: the head is T1, the tail is T2."""
        return {
            "spans": [{"id": f"T{at}", **self._mentions.json(span)} for at, span in enumerate((head, tail), 1)],
            "relations": [{"head": "T1", "tail": "T2", "label": link.label} for link in links],
        }

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return a relation from outside; the spans are the record's head and tail, and may be left out with it.

        Raises:
            DataError: it is no relation of this task, or not between the record's head and tail.
        """
        if record is None:
            return self._accepted_pair(answer)
        try:
            head, tail = self._pair(record)
        except RecordRejected as error:
            raise DataError(str(error.args[0])) from None
        whole = {"spans": self._of_pair(head, tail, ())["spans"], **answer}
        accepted = self._accepted_pair(whole)
        if accepted["spans"] != self._of_pair(head, tail, ())["spans"]:
            raise DataError(
                f"expected the head {clip(head.text)!r} and the tail {clip(tail.text)!r} as spans T1 and T2"
            )
        return accepted

    def _accepted_pair(self, answer: Answer) -> Answer:
        spans, links = self._accepted(answer, None)
        if len(spans) != 2 or len(links) > 1:
            raise DataError(
                f"expected two spans and at most one relation, got {len(spans)} spans and {len(links)} relations"
            )
        head, tail = (links[0].head, links[0].tail) if links else spans
        return self._of_pair(head, tail, links)

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the relation with more than half of the weight, `None` where one has just half."""
        kept = majority([((self._label(answer),), weight) for answer, weight in answers])
        return next((answer for answer, _ in answers if kept and self._label(answer) == kept[0]), None)

    def describe(self, answer: Answer) -> str:
        """Return the relation between the words of its spans."""
        head, tail = (" ".join(span["text"].split()) for span in answer["spans"])
        return f"{head} — {self._label(answer)} → {tail}"


def _ids(items: Sequence[JSON]) -> list[str]:
    """Return the ids of spans.

    Raises:
        Unreadable: one has none.
        Inconsistent: two have the same.
    """
    ids: list[str] = []
    for at, item in enumerate(items):
        name = item.get("id") if isinstance(item, Mapping) else None
        if not isinstance(name, str) or not name.strip():
            raise Unreadable(f'spans[{at}]: expected an "id" to name it by, got {clip(repr(item))}')
        if name in ids:
            raise Inconsistent(f"spans[{at}]: the id {clip(name)!r} is there twice")
        ids.append(name)
    return ids


def _checked_triples(
    task: str, triples: Sequence[Sequence[str]], spans: Sequence[str], labels: Sequence[str]
) -> tuple[tuple[str, str, str], ...]:
    """Return the allowed triples, having checked that they are of labels and leave every relation possible."""
    checked: list[tuple[str, str, str]] = []
    for triple in triples:
        if (
            isinstance(triple, str)
            or len(triple) != 3
            or not (triple[0] in spans and triple[1] in labels and triple[2] in spans)
        ):
            raise TaskError(
                f"task {task!r}: a triple is the label of a head, of a relation and of a tail, got {triple!r}",
                hint='like ["PER", "works_for", "ORG"]',
            )
        checked.append((triple[0], triple[1], triple[2]))
    if checked and (never := set(labels) - {label for _, label, _ in checked}):
        raise TaskError(f"task {task!r}: no triple allows the relation {min(never)!r}")
    return tuple(checked)
