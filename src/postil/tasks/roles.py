"""Semantic roles: who did what to whom, predicate by predicate (survey 0.06)."""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, NamedTuple, Self, cast

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
from postil.tasks.choice import folded_forms
from postil.tasks.extraction import Reply, json_reply, part_confidences, whole_confidence
from postil.tasks.language import language_of
from postil.tasks.mentions import check_placing, defined_parts, listed, majority
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
    part_of,
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
from postil.tasks.reasons import reason_tokens, reasons_contract, reasons_of, with_reasons
from postil.tasks.specs import from_spec, names_and_meanings, require_texts
from postil.types import JSON, Answer, Capabilities, Completion, Record

_TOKENS: Final = 1024
"""Room for a sentence of some predicates; a reply cut short is asked for again with twice the room."""
_CORE: Final = re.compile(r"ARG[0-9]", re.IGNORECASE)

_CUE: Final[Mapping[Language, str]] = {"en": "Roles", "zh": "语义角色"}
_SHOW: Final[Mapping[Language, str]] = {"en": "{{text}}\nPredicate: {{{}}}", "zh": "{{text}}\n谓词：{{{}}}"}
_QUESTION: Final[Mapping[Language, str]] = {"en": "Who did something?", "zh": "谁做了某事？"}
_LIKE: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "frames": "Answer with JSON and nothing else, like {}: every predicate with its arguments; "
        '{{"frames": []}} if there is none.',
        "arguments": "Answer with JSON and nothing else, like {}: the arguments of the predicate that is given; "
        "[] if it has none.",
    },
    "zh": {
        "frames": '只回答 JSON，不要写别的，例如 {}：列出每个谓词和它的论元；一个都没有就写 {{"frames": []}}。',
        "arguments": "只回答 JSON，不要写别的，例如 {}：列出所给谓词的论元；没有论元就写 []。",
    },
}
_RULES: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "core": "Of these roles a predicate has at most one argument each, and they do not overlap: {}.",
        "questions": "Each argument answers a question about the predicate that says which part it plays; arguments "
        "that play the same part have the same question.",
        "any sense": '"sense" names the meaning in which the predicate is used, or is null.',
        "one sense": '"sense" is one of these, or null: {}.',
        "defined": "{} ({})",
        "comma": ", ",
        "semicolon": "; ",
    },
    "zh": {
        "core": "以下角色在一个谓词下各最多一个论元，且彼此不重叠：{}。",
        "questions": "每个论元回答一个关于谓词的问题，问题说明它扮演的角色；角色相同的论元写同一个问题。",
        "any sense": '"sense" 写明谓词所用的义项，或者 null。',
        "one sense": '"sense" 从这些当中选，或者 null：{}。',
        "defined": "{}（{}）",
        "comma": "、",
        "semicolon": "；",
    },
}


class _Argument(NamedTuple):
    role: str
    part: Part


@dataclass(frozen=True, slots=True)
class _Frame:
    predicate: Part
    sense: str | None
    arguments: tuple[_Argument, ...]


@dataclass(frozen=True, init=False)
class Roles:
    """Predicates of a text with their arguments, each a part of the text in a role.

    `roles` is the inventory: PropBank's ARG0 to ARG5 and ARGM-…, or your own; with `questions` the role of an argument
    is the question that it answers, in free words (QA-SRL, He et al. 2015). A predicate has at most one argument of
    each role in `core`, by default those like ARG0, and core arguments do not overlap. `senses` gives predicates a
    sense: `true` for any text, or a list or table of senses. With `predicate` the predicate is not looked for: that
    field of a record holds it as an object with start and end, or in words that stand in the text once.

    A reply quotes words; where they stand is found, and never guessed. What cannot be placed fails the reply, or with
    `unaligned = "drop"` is left out and counted. `field` names the field that is annotated where several are shown.
    """

    kind: ClassVar[str] = "roles"
    answer_keys: ClassVar[tuple[str, ...]] = ("frames",)
    other_keys: ClassVar[tuple[str, ...]] = ()

    name: str
    instruction: str
    options: tuple[Option, ...]
    core: tuple[str, ...]
    senses: bool
    """Whether predicates have senses."""
    sense_options: tuple[Option, ...]
    """Those there are; none where a sense is any text."""
    questions: bool
    predicate: str | None
    show: str
    field: str | None
    unaligned: Literal["fail", "drop"]
    fuzzy: float
    rationale: bool
    evidence: bool
    language: Language

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Return a task that shows given predicates in their places, where there are any: a compound task."""
        asked = cls is Roles and options.get("predicate") is not None
        return cast("Self", object.__new__(_OfGiven)) if asked else object.__new__(cls)

    def __init__(
        self,
        name: str,
        instruction: str,
        *,
        roles: Sequence[str] | Mapping[str, str] | None = None,
        core: Sequence[str] | None = None,
        senses: bool | Sequence[str] | Mapping[str, str] = False,
        questions: bool = False,
        predicate: str | None = None,
        show: str | None = None,
        field: str | None = None,
        unaligned: Literal["fail", "drop"] = "fail",
        fuzzy: float = FUZZY,
        rationale: bool = False,
        evidence: bool = False,
        language: Language | None = None,
    ) -> None:
        """Take roles and senses as names, or as names with definitions.

        Raises:
            TaskError: the definition cannot work; the message says which part.
        """
        require_texts(name=name, instruction=instruction, show=show or "", field=field or "", predicate=predicate or "")
        if (roles is None) != questions:
            raise TaskError(f"task {name!r}: give either `roles`, a list or table of them, or questions = true")
        defined = {} if roles is None else defined_parts(name, roles)
        listed_senses = {} if isinstance(senses, bool) else defined_parts(name, senses)
        language = language or language_of(instruction, "".join(defined))
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "options": tuple(Option(role, definition) for role, definition in defined.items()),
            "core": tuple(role for role in defined if _CORE.fullmatch(role)) if core is None else tuple(core),
            "senses": senses is not False,
            "sense_options": tuple(Option(sense, definition) for sense, definition in listed_senses.items()),
            "questions": questions,
            "predicate": predicate,
            "show": show or ("{text}" if predicate is None else _SHOW[language].format(predicate)),
            "field": field,
            "unaligned": unaligned,
            "fuzzy": fuzzy,
            "rationale": rationale,
            "evidence": evidence,
            "language": language,
        }.items():
            object.__setattr__(self, attribute, value)
        check_placing(name, unaligned, fuzzy)
        if unknown := [role for role in self.core if role not in self.labels]:
            raise TaskError(f"task {name!r}: `core` names {unknown[0]!r}, which is no role")
        _ = self._field, self._role_forms, self._sense_forms

    def __hash__(self) -> int:
        return hash((self.name, self.instruction, self.options, self.core, self.questions, self.predicate, self.show))

    @property
    def labels(self) -> tuple[str, ...]:
        """The roles, in the user's order; none where they are questions."""
        return tuple(self._at)

    @cached_property
    def _at(self) -> Mapping[str, int]:
        return {option.name: at for at, option in enumerate(self.options)}

    @cached_property
    def _field(self) -> str:
        return text_field(self.name, self.show, [self.predicate] if self.predicate else [], self.field)

    @cached_property
    def _role_forms(self) -> Mapping[str, str]:
        return folded_forms(self.labels, (), of=f"task {self.name!r}")

    @cached_property
    def _sense_forms(self) -> Mapping[str, str]:
        return folded_forms([option.name for option in self.sense_options], (), of=f"task {self.name!r}")

    @property
    def scale(self) -> Scale:
        """Predicate by predicate, argument by argument."""
        return "frames"

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task; roles stand in a list, since their order is shown."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            **({"roles": None} if self.questions else names_and_meanings("roles", self.options)),
            "core": list(self.core),
            **(names_and_meanings("senses", self.sense_options) if self.sense_options else {"senses": self.senses}),
            "questions": self.questions,
            "predicate": self.predicate,
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
        """Return how frames are to be written: as JSON, held to a schema where the engine can."""
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
        role: Mapping[str, JSON] = {"type": "string"} if self.questions else {"type": "string", "enum": [*self.labels]}
        names: list[JSON] = [option.name for option in self.sense_options]
        sense: Mapping[str, JSON] = {"enum": [*names, None]} if names else {"type": ["string", "null"]}
        senses = {"sense": sense} if self.senses else {}
        arguments = {"type": "array", "items": object_schema({self._role_key: role, **QUOTE})}
        if self.predicate is not None:
            schema = object_schema({**senses, "arguments": arguments})
        else:
            frame = object_schema({"predicate": object_schema({**QUOTE, **senses}), "arguments": arguments})
            schema = object_schema({"frames": {"type": "array", "items": frame}})
        return with_reasons(schema, rationale=self.rationale, evidence=self.evidence)

    @property
    def _role_key(self) -> str:
        return "question" if self.questions else "role"

    @cached_property
    def _example(self) -> str:
        """What a reply looks like."""
        role = _QUESTION[self.language] if self.questions else "…"
        sense = {"sense": "…"} if self.senses else {}
        arguments = [{self._role_key: role, "text": "…"}]
        if self.predicate is not None:
            return _json({**sense, "arguments": arguments})
        return _json({"frames": [{"predicate": {"text": "…", **sense}, "arguments": arguments}]})

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        rules = _RULES[self.language]
        said = [_LIKE[self.language]["frames" if self.predicate is None else "arguments"].format(self._example)]
        said.append(quoting(self.language, schema=form.schema is not None))
        if self.questions:
            said.append(rules["questions"])
        if self.core:
            said.append(rules["core"].format(rules["comma"].join(self.core)))
        if self.senses:
            named = [
                rules["defined"].format(each.name, each.definition) if each.definition else each.name
                for each in self.sense_options
            ]
            said.append(rules["one sense"].format(rules["semicolon"].join(named)) if named else rules["any sense"])
        contract = (" " if self.language == "en" else "").join(said)
        contract += reasons_contract(self.language, rationale=self.rationale, evidence=self.evidence)
        return Ask(self.instruction, self.options, contract, _CUE[self.language])

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return frames as the model should write them: by their words, numbered where the words alone do not tell."""
        text, schema = None if record is None else text_of(record, self._field), form.schema is not None
        frames = [self._written(frame, text, schema) for frame in map(self._frame, answer["frames"])]
        if self.predicate is None:
            return _json({"frames": frames})
        predicate = frames[0]["predicate"]
        return _json({**({"sense": predicate["sense"]} if self.senses else {}), "arguments": frames[0]["arguments"]})

    def _written(self, frame: _Frame, text: str | None, schema: bool) -> dict[str, Any]:
        return {
            "predicate": {
                **quote_of(frame.predicate, text, schema=schema),
                **({"sense": frame.sense} if self.senses else {}),
            },
            "arguments": [
                {self._role_key: argument.role, **quote_of(argument.part, text, schema=schema)}
                for argument in frame.arguments
            ],
        }

    # Reading

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the frames that a complete reply gives, their words at their exact places.

        Raises:
            AnswerError: the reply is no list of frames, some words cannot be placed, or frames are against the rules.
        """
        reply = json_reply(completion, f"JSON like {self._example}", cue=_CUE[self.language])
        text = text_of(record, self._field)
        faults: list[AnswerError] = []
        found_by: Methods = {}
        frames, parts = self._read(reply, text, record, faults, found_by)
        dropped = [each for each in faults if self.unaligned == "drop" and isinstance(each, (NotFound, Ambiguous))]
        raise_all([each for each in faults if each not in dropped])
        if broken := list(self._broken(list(frames.values()))):
            raise Inconsistent("; ".join(broken[:3]))
        listed_under = "frames" if self.predicate is None else "arguments"
        sure = part_confidences(completion, listed_under) if form.token_probabilities else None
        reasons = reasons_of(reply.fields, record, f"{{{self._field}}}")
        answer = self._answer(list(frames.values()))
        return Reading(
            answer,
            confidence=whole_confidence(completion, [listed_under]) if form.token_probabilities else None,
            rationale=reasons.rationale or reply.rationale,
            part_confidences={place: sure[at] for place, at in parts.items()} if sure else None,
            evidence=reasons.evidence,
            rejected=(*(str(each.args[0]) for each in dropped), *reasons.rejected),
            placings=placings(answer, found_by),
        )

    def _read(
        self, reply: Reply, text: str, record: Record, faults: list[AnswerError], found_by: Methods
    ) -> tuple[Mapping[int, _Frame], Mapping[str, int]]:
        """Return the frames by their places in the reply, and which part of the reply each part of the answer is."""
        frames: dict[int, _Frame] = {}
        for at, item in enumerate(listed(reply.fields, ("frames",))["frames"]):
            frame = self._read_frame(item, text, f"frames[{at}]", faults, found_by)
            if frame is not None:
                frames[at] = frame
        ordered = sorted(frames, key=lambda at: frames[at].predicate)
        return frames, {f"frames/{i}": at for i, at in enumerate(ordered)}

    def _read_frame(
        self, item: JSON, text: str, where: str, faults: list[AnswerError], found_by: Methods
    ) -> _Frame | None:
        if not isinstance(item, dict) or not item.keys() <= {"predicate", "arguments"}:
            faults.append(
                Unreadable(f'{where}: expected an object with "predicate" and "arguments", got {clip(repr(item))}')
            )
            return None
        try:
            predicate = quoted_part(
                item.get("predicate"), text, f"{where}.predicate", fuzzy=self.fuzzy, found_by=found_by
            )
            sense = self._sense(item["predicate"].get("sense"), f"{where}.predicate")
        except AnswerError as error:
            faults.append(error)
            return None
        found = self._read_arguments(item.get("arguments"), text, f"{where}.arguments", faults, found_by)
        return _Frame(predicate, sense, self._ordered(found.values()))

    def _read_arguments(
        self, items: JSON, text: str, where: str, faults: list[AnswerError], found_by: Methods
    ) -> Mapping[int, _Argument]:
        if not isinstance(items, list):
            faults.append(Unreadable(f"{where}: expected a list, got {clip(repr(items))}"))
            return {}
        found: dict[int, _Argument] = {}
        for at, item in enumerate(items):
            try:
                role = self._role(item.get(self._role_key) if isinstance(item, dict) else None, f"{where}[{at}]")
                part = quoted_part(item, text, f"{where}[{at}]", fuzzy=self.fuzzy, found_by=found_by)
                found[at] = _Argument(role, part)
            except AnswerError as error:
                faults.append(error)
        return found

    def _role(self, value: JSON, where: str) -> str:
        """Return the role that a reply or an answer from outside names.

        Raises:
            OutsideLabels: it is no role of the inventory, or no question.
        """
        if self.questions:
            question = " ".join(value.split()) if isinstance(value, str) else ""
            if not question.endswith(("?", "？")) or len(question) < 2:
                raise OutsideLabels(
                    f"{where}: expected a question that ends with a question mark, got {clip(repr(value))}"
                )
            return question
        role = self._role_forms.get(fold(value)) if isinstance(value, str) else None
        if role is None:
            raise OutsideLabels(
                f"{where}: expected one of the roles {clip(', '.join(self.labels))}, got {clip(repr(value))}"
            )
        return role

    def _sense(self, value: JSON, where: str) -> str | None:
        """Return the sense that a reply or an answer from outside names, `None` for none.

        Raises:
            OutsideLabels: it is none of the senses there are, or no text.
        """
        if not self.senses or value is None:
            return None
        text = " ".join(value.split()) if isinstance(value, str) else ""
        sense = self._sense_forms.get(fold(text)) if self.sense_options else text
        if not sense:
            names = clip(", ".join(each.name for each in self.sense_options)) or "any text"
            raise OutsideLabels(f"{where}: expected a sense ({names}) or null, got {clip(repr(value))}")
        return sense

    def _ordered(self, arguments: Any) -> tuple[_Argument, ...]:
        """Return arguments in the order of their places, those given twice once."""
        return tuple(sorted(set(arguments), key=lambda each: (each.part, self._at.get(each.role, 0), each.role)))

    def _broken(self, frames: Sequence[_Frame]) -> Iterator[str]:
        """Yield which rules frames break: one frame a predicate, one argument a core role, no core overlap."""
        seen: set[Part] = set()
        for frame in frames:
            predicate = clip(repr(frame.predicate.text), 40)
            if frame.predicate in seen:
                yield f"the predicate {predicate} has two frames: give all its arguments in one"
            seen.add(frame.predicate)
            core = [each for each in frame.arguments if each.role in self.core]
            for i, one in enumerate(core):
                for other in core[i + 1 :]:
                    words = f"{clip(repr(one.part.text), 60)} and {clip(repr(other.part.text), 60)}"
                    if one.role == other.role:
                        yield f"the predicate {predicate} has two arguments {one.role}, {words}: at most one is allowed"
                    elif other.part.start < one.part.end:
                        yield f"the arguments {one.role} and {other.role} of {predicate} overlap: {words}"

    # Answers

    def _answer(self, frames: Sequence[_Frame]) -> Answer:
        return {"frames": [self._held(frame) for frame in sorted(frames, key=lambda frame: frame.predicate)]}

    def _held(self, frame: _Frame) -> Mapping[str, JSON]:
        sense = {"sense": frame.sense} if self.senses else {}
        return {
            "predicate": {**frame.predicate.json, **sense},
            "arguments": [{"role": each.role, **each.part.json} for each in frame.arguments],
        }

    def _frame(self, held: Mapping[str, JSON]) -> _Frame:
        """Return a frame of an accepted answer."""
        arguments = tuple(_Argument(each["role"], part_of(each)) for each in held["arguments"])
        return _Frame(part_of(held["predicate"]), held["predicate"].get("sense"), arguments)

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return frames from outside in the order of their places, arguments too.

        Raises:
            DataError: they are no frames of this task, break its rules, or do not stand in the record.
        """
        items = answer.get("frames")
        if not isinstance(items, (list, tuple)):
            raise DataError(f"expected a list of frames under 'frames', got {clip(repr(items))}")
        text = known_text(record, self._field)
        frames = [self._accepted(item, text, f"frames[{at}]") for at, item in enumerate(cast("Sequence[JSON]", items))]
        if broken := next(self._broken(frames), None):
            raise DataError(broken)
        self._check_given(frames, record, text)
        return self._answer(frames)

    def _check_given(self, frames: Sequence[_Frame], record: Record | None, text: str | None) -> None:
        """Check that the frames are those that were asked for: here nothing was given."""

    def _accepted(self, item: JSON, text: str | None, where: str) -> _Frame:
        if not isinstance(item, Mapping):
            raise DataError(f"{where}: expected an object with 'predicate' and 'arguments', got {clip(repr(item))}")
        predicate = accepted(item.get("predicate"), text, f"{where}.predicate")
        items = item.get("arguments", ())
        if not isinstance(items, (list, tuple)):
            raise DataError(f"{where}.arguments: expected a list, got {clip(repr(items))}")
        arguments: list[_Argument] = []
        try:
            sense = self._sense(item["predicate"].get("sense"), f"{where}.predicate")
            for at, each in enumerate(cast("Sequence[JSON]", items)):
                part = accepted(each, text, f"{where}.arguments[{at}]")
                arguments.append(_Argument(self._role(each.get("role"), f"{where}.arguments[{at}]"), part))
        except OutsideLabels as error:
            raise DataError(str(error.args[0])) from None
        return _Frame(predicate, sense, self._ordered(arguments))

    def value(self, answer: Answer) -> str:
        """Return the answer's canonical JSON."""
        return canonical_json(answer).decode()

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return the F1 of equal predicates and equal arguments, 1 where both have none."""
        one, other = (set(self._parts(answer)) for answer in (first, second))
        return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0

    def _parts(self, answer: Answer) -> Iterator[tuple[Part, str | None, _Argument | None]]:
        for frame in map(self._frame, answer["frames"]):
            yield frame.predicate, frame.sense, None
            for argument in frame.arguments:
                yield frame.predicate, None, argument

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the predicates and arguments with more than half of the weight; `None` where one has just half.

        Of a predicate's senses the heaviest is taken, `None` being returned on a tie. What more than half give is
        never against the rules: some answer has any two of the parts together.
        """
        framed = [([self._frame(held) for held in answer["frames"]], weight) for answer, weight in answers]
        predicates = majority([([each.predicate for each in frames], weight) for frames, weight in framed])
        arguments = majority(
            [
                ([(each.predicate, one) for each in frames for one in each.arguments], weight)
                for frames, weight in framed
            ]
        )
        if predicates is None or arguments is None:
            return None
        senses: defaultdict[Part, list[tuple[str, float]]] = defaultdict(list)
        for frames, weight in framed:
            for frame in frames:
                senses[frame.predicate].append((frame.sense or "", weight))
        merged: list[_Frame] = []
        for predicate in predicates:
            sense = heaviest(senses[predicate])
            if sense is None:
                return None
            own = [one for whose, one in arguments if whose == predicate]
            merged.append(_Frame(predicate, sense or None, self._ordered(own)))
        return self._answer(merged)

    def describe(self, answer: Answer) -> str:
        """Return the predicates with their arguments, a dash for none."""
        return "; ".join(map(_described, map(self._frame, answer["frames"]))) or "–"


class _OfGiven(Roles):
    """The roles of a predicate that the record gives, shown in its place. A `CompoundTask` of one question."""

    @property
    def parts(self) -> tuple[Roles, ...]:
        """The one question."""
        return (self,)

    def part_record(self, part: int, record: Record, earlier: Sequence[Answer]) -> Record:
        """Return the record, its predicate shown among the words around it.

        Raises:
            RecordRejected: it gives no place in its text.
        """
        text = text_of(record, self._field)
        return with_shown(record, {self._given: in_context(text, self._predicate(record, text))})

    def part_answer(self, part: int, answer: Answer) -> Answer:
        """Return the answer."""
        return answer

    def combine(self, readings: Sequence[Reading]) -> Reading:
        """Return the one reading."""
        return readings[-1]

    @property
    def _given(self) -> str:
        return self.predicate or ""

    def _predicate(self, record: Record, text: str) -> Part:
        return given(record, self._given, original(record, self._given), text)

    def _read(
        self, reply: Reply, text: str, record: Record, faults: list[AnswerError], found_by: Methods
    ) -> tuple[Mapping[int, _Frame], Mapping[str, int]]:
        fields = {key: value for key, value in reply.fields.items() if key != "sense" or not self.senses}
        sense = self._sense(reply.fields.get("sense"), "sense")
        items = listed(fields, ("arguments",))["arguments"]
        found = self._read_arguments(items, text, "arguments", faults, found_by)
        arguments = self._ordered(found.values())
        frame = _Frame(self._predicate(record, text), sense, arguments)
        parts = {f"frames/0/arguments/{arguments.index(one)}": at for at, one in found.items()}
        return {0: frame}, parts

    def _check_given(self, frames: Sequence[_Frame], record: Record | None, text: str | None) -> None:
        if len(frames) != 1:
            raise DataError(f"expected one frame, that of the predicate given, got {len(frames)}")
        if record is None or text is None:
            return
        try:
            predicate = self._predicate(record, text)
        except RecordRejected as error:
            raise DataError(str(error.args[0])) from None
        if frames[0].predicate != predicate:
            raise DataError(f"expected the predicate given, {predicate}, got {frames[0].predicate}")


def _json(value: JSON) -> str:
    return json.dumps(value, ensure_ascii=False)


def _described(frame: _Frame) -> str:
    arguments = ", ".join(f"{each.role} {' '.join(each.part.text.split())}" for each in frame.arguments)
    sense = f" ({frame.sense})" if frame.sense else ""
    return " ".join(frame.predicate.text.split()) + sense + (f": {arguments}" if arguments else "")
