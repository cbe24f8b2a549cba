"""Named fields of a record, in one question or in stages where one answer feeds the next (survey 0.02)."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Literal, Self, cast

from postil.canonical import canonical_json
from postil.errors import AnswerError, DataError, TaskError, Unreadable
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.extraction import field_confidence, json_reply, whole_confidence
from postil.tasks.fields import Field, Texts
from postil.tasks.language import language_of
from postil.tasks.merging import heaviest
from postil.tasks.reading import clip
from postil.tasks.reasons import REASON_KEYS, reason_tokens, reasons_contract, reasons_of, with_reasons
from postil.tasks.rules import Rule
from postil.tasks.shown import Shown
from postil.tasks.specs import from_spec, require_texts
from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

_CUE: Final[Mapping[Language, str]] = {"en": "Fields", "zh": "字段"}
_CONTRACT: Final[Mapping[Language, str]] = {
    "en": "Answer with one JSON object and nothing else: {example}.",
    "zh": "只回答一个 JSON 对象，不要写别的：{example}。",
}
_EARLIER: Final = "answers so far"
"""The field of a stage's record that holds the answers of the stages before."""
_SO_FAR: Final[Mapping[Language, str]] = {"en": "Answers so far: ", "zh": "已有的回答："}

_JSON_TOKENS: Final = 16


@dataclass(frozen=True, init=False)
class Attributes:
    """Values of named fields: labels, numbers, dates, texts and lists.

    With `stages` each list of fields is asked for in a question of its own, which shows the answers to those before it.
    `rules` say what the fields must keep: a broken one is listed beside the answer, which stays as it was given. A
    `verbatim` text must stand in the record; with `unaligned = "drop"` words that do not are left out of an optional
    field or a list and listed, else the reply is no answer.
    """

    kind: ClassVar[str] = "attributes"
    answer_keys: ClassVar[tuple[str, ...]] = ("attributes",)
    other_keys: ClassVar[tuple[str, ...]] = ()

    name: str
    instruction: str
    fields: tuple[Field, ...]
    stages: tuple[tuple[str, ...], ...]
    rules: tuple[Rule, ...]
    show: str
    unaligned: Literal["fail", "drop"]
    rationale: bool
    evidence: bool
    language: Language

    def __new__(cls, *_: Any, **options: Any) -> Self:
        """Return a compound task where there are several stages."""
        staged = cls is Attributes and len(options.get("stages") or ()) > 1
        return cast("Self", object.__new__(_Staged)) if staged else object.__new__(cls)

    def __init__(
        self,
        name: str,
        instruction: str,
        *,
        fields: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]],
        stages: Sequence[Sequence[str]] | None = None,
        rules: Sequence[Mapping[str, Any]] | None = None,
        show: str = "{text}",
        unaligned: Literal["fail", "drop"] = "fail",
        rationale: bool = False,
        evidence: bool = False,
        language: Language | None = None,
    ) -> None:
        """Take the fields as tables under their names, or as a list of tables with a `name` each.

        Raises:
            TaskError: the definition cannot work; the message says which part.
        """
        require_texts(name=name, instruction=instruction, show=show)
        defined = _defined(name, fields)
        Shown.parse(show)
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "fields": tuple(defined.values()),
            "stages": tuple(tuple(stage) for stage in stages or ()),
            "rules": tuple(Rule.of(name, rule, defined) for rule in rules or ()),
            "show": show,
            "unaligned": unaligned,
            "rationale": rationale,
            "evidence": evidence,
            "language": language
            or language_of(instruction, "".join(each.description + each.name for each in defined.values())),
        }.items():
            object.__setattr__(self, attribute, value)
        self._check()

    def _check(self) -> None:
        if self.unaligned not in ("fail", "drop"):
            raise TaskError(f'task {self.name!r}: `unaligned` is "fail" or "drop", got {self.unaligned!r}')
        asked = [name for stage in self.stages for name in stage]
        if self.stages and (sorted(asked) != sorted(self._fields) or not all(self.stages)):
            raise TaskError(
                f"task {self.name!r}: every field is asked for in one of the `stages`; the fields are "
                f"{', '.join(self._fields)}, the stages have {', '.join(asked)}"
            )

    def __hash__(self) -> int:
        return hash((self.name, self.instruction, self.fields, self.stages, self.show))

    @cached_property
    def _fields(self) -> Mapping[str, Field]:
        return {each.name: each for each in self.fields}

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the fields, in the user's order."""
        return tuple(self._fields)

    @property
    def scale(self) -> Scale:
        """Field by field."""
        return "fields"

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task; fields stand in a list, since their order is shown."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            "fields": [each.spec for each in self.fields],
            "stages": [list(stage) for stage in self.stages],
            "rules": [rule.spec for rule in self.rules],
            "show": self.show,
            "unaligned": self.unaligned,
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
        """Return how the values are to be written for an engine with these capabilities."""
        reasons = reason_tokens(rationale=self.rationale, evidence=self.evidence)
        return AnswerForm(
            "json",
            _JSON_TOKENS + sum(each.tokens for each in self.fields) + reasons,
            schema=self._schema if capabilities.schema else None,
            token_probabilities=capabilities.token_probabilities,
            reasons="inside" if self.rationale else "none",
        )

    @cached_property
    def _schema(self) -> Mapping[str, JSON]:
        schema = {
            "type": "object",
            "properties": {each.name: each.schema for each in self.fields},
            "required": list(self._fields),
            "additionalProperties": False,
        }
        return with_reasons(schema, rationale=self.rationale, evidence=self.evidence)

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question: each field with what it must hold."""
        options = tuple(Option(each.name, each.wanted(self.language)) for each in self.fields)
        example = "{" + ", ".join(f"{json.dumps(name, ensure_ascii=False)}: …" for name in self._fields) + "}"
        contract = _CONTRACT[self.language].format(example=example)
        contract += reasons_contract(self.language, rationale=self.rationale, evidence=self.evidence)
        return Ask(self.instruction, options, contract, _CUE[self.language])

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return values as the model should write them."""
        values = answer["attributes"]
        return json.dumps({name: values[name] for name in self._fields}, ensure_ascii=False)

    # Reading

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the values in a complete reply; an optional field that is not there is null.

        Raises:
            AnswerError: the reply lacks a field, or holds what is no value of it; the message names the field.
        """
        reply = json_reply(completion, f"JSON with {', '.join(map(repr, self._fields))}", cue=_CUE[self.language])
        given = {key: value for key, value in reply.fields.items() if key not in REASON_KEYS}
        rationale, evidence, rejected = reasons_of(reply.fields, record, self._searched)
        dropped: list[str] = []
        answer = self._answer(given, self._texts(record), dropped if self.unaligned == "drop" else None)
        unknown = [f"field: there is no field {clip(repr(name))}" for name in given if name not in self._fields]
        sure = form.token_probabilities
        return Reading(
            answer,
            confidence=whole_confidence(completion, [*self._fields]) if sure else None,
            rationale=rationale or reply.rationale,
            part_confidences=self._part_confidences(completion) or None if sure else None,
            evidence=evidence,
            rejected=(*rejected, *unknown, *dropped, *self._broken(answer)),
        )

    def _part_confidences(self, completion: Completion) -> Mapping[str, float]:
        found = {name: field_confidence(completion, name) for name in self._fields}
        return {f"attributes/{name}": value for name, value in found.items() if value is not None}

    def _answer(self, given: Mapping[str, JSON], texts: Texts | None, dropped: list[str] | None = None) -> Answer:
        missing = [each.name for each in self.fields if each.name not in given and not each.optional]
        if missing:
            raise Unreadable(f"expected a value for {', '.join(map(repr, self._fields))}; {missing[0]!r} is missing")
        return {"attributes": {each.name: each.read(given.get(each.name), texts, dropped) for each in self.fields}}

    def _texts(self, record: Record) -> Texts:
        named = {name: record.fields.get(name) for name in Shown.parse(self._searched).fields}
        return {name: text for name, text in named.items() if isinstance(text, str)}

    @property
    def _searched(self) -> str:
        """What of a record verbatim words must stand in."""
        return self.show

    def _broken(self, answer: Answer) -> tuple[str, ...]:
        broken = (rule for rule in self.rules if rule.broken(answer["attributes"], self._fields))
        return tuple(f"rule: {rule.message}" for rule in broken)

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return values from outside in their canonical form; an optional field that is not there is null.

        Raises:
            DataError: a field is missing or unknown, or holds what is no value of it.
        """
        values = answer.get("attributes")
        if not isinstance(values, Mapping):
            raise DataError(f"expected the values of {', '.join(map(repr, self._fields))}, got {clip(repr(values))}")
        if unknown := [name for name in values if name not in self._fields]:
            raise DataError(f"there is no field {clip(repr(unknown[0]))}; there are {', '.join(self._fields)}")
        try:
            return self._answer(values, None if record is None else self._texts(record))
        except AnswerError as error:
            raise DataError(str(error.args[0])) from None

    # Comparing

    def value(self, answer: Answer) -> str:
        """Return the answer's canonical JSON."""
        return canonical_json(answer).decode()

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return the mean over the fields of how far their values agree: equal or not, lists by their shared share."""
        one, other = first["attributes"], second["attributes"]
        return math.fsum(each.agreement(one[each.name], other[each.name]) for each in self.fields) / len(self.fields)

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return for each field the value with the largest total weight; `None` where one is a tie."""
        merged: dict[str, JSON] = {}
        for name in self._fields:
            heavy = heaviest((canonical_json([answer["attributes"][name]]), weight) for answer, weight in answers)
            if heavy is None:
                return None
            [merged[name]] = json.loads(heavy)
        return {"attributes": merged}

    def describe(self, answer: Answer) -> str:
        """Return the values in one line, a dash for null."""
        return "; ".join(f"{name}: {_described(answer['attributes'][name])}" for name in self._fields)


class _Stage(Attributes):
    """The fields of one stage; `show` shows the answers of the stages before beside the record."""

    @property
    def _searched(self) -> str:
        return "".join(f"{{{name}}}" for name in Shown.parse(self.show).fields if name != _EARLIER)


class _Staged(Attributes):
    """Fields asked for in several questions. A `CompoundTask`."""

    def _check(self) -> None:
        super()._check()
        if _EARLIER in Shown.parse(self.show).fields:
            raise TaskError(f"task {self.name!r}: {_EARLIER!r} is the field that shows a stage the earlier answers")

    @cached_property
    def parts(self) -> tuple[Attributes, ...]:
        """A question for each stage."""
        return tuple(map(self._part, range(len(self.stages))))

    def _part(self, at: int) -> Attributes:
        earlier = f"\n{_SO_FAR[self.language]}{{{_EARLIER}}}" if at else ""
        own = {"name": f"{self.name}/{at}", "show": self.show + earlier, "stages": [], "rules": []}
        return _Stage.from_spec({**self.spec, "fields": [self._fields[name].spec for name in self.stages[at]], **own})

    def part_record(self, part: int, record: Record, earlier: Sequence[Answer]) -> Record:
        """Return the record with the answers of the stages before."""
        if not part:
            return record
        so_far = {name: value for answer in earlier[:part] for name, value in answer["attributes"].items()}
        return Record(record.id, {**record.fields, _EARLIER: json.dumps(so_far, ensure_ascii=False)})

    def part_answer(self, part: int, answer: Answer) -> Answer:
        """Return the values of a stage's fields."""
        return {"attributes": {name: answer["attributes"][name] for name in self.stages[part]}}

    def combine(self, readings: Sequence[Reading]) -> Reading:
        """Return the values of all stages with the rules that they break."""
        values = {name: value for each in readings if each.answer for name, value in each.answer["attributes"].items()}
        answer: Answer = {"attributes": {name: values[name] for name in self._fields}}
        sure = [each.confidence.value for each in readings if each.confidence is not None]
        parts = {name: sure for each in readings for name, sure in (each.part_confidences or {}).items()}
        return Reading(
            answer,
            # Each stage is asked given the answers before it, so the product is the probability of them all.
            confidence=Confidence(math.prod(sure), "logprob") if len(sure) == len(readings) else None,
            rationale="\n".join(each.rationale for each in readings if each.rationale),
            part_confidences=parts or None,
            evidence=tuple(span for each in readings for span in each.evidence),
            rejected=(*(reason for each in readings for reason in each.rejected), *self._broken(answer)),
        )


def _defined(task: str, tables: Mapping[str, Mapping[str, Any]] | Sequence[Mapping[str, Any]]) -> Mapping[str, Field]:
    """Return the fields by their names, having checked that they are at least one and each there once."""
    listed: Sequence[Mapping[str, Any]]
    if isinstance(tables, Mapping):
        listed = [{"name": name, **_table(task, table)} for name, table in tables.items()]
    else:
        listed = [_table(task, table) for table in tables]
    defined = [Field.of(task, table) for table in listed]
    found = {each.name: each for each in defined}
    if not defined or len(found) < len(defined):
        names = [each.name for each in defined]
        raise TaskError(f"task {task!r}: fields are at least one, each there once, got {names!r}")
    return found


def _table(task: str, table: object) -> Mapping[str, Any]:
    if not isinstance(table, Mapping):
        raise TaskError(
            f"task {task!r}: a field is a table, got {table!r}",
            hint='fields = { food = { type = "label", labels = ["good", "bad"] } }',
        )
    return cast("Mapping[str, Any]", table)


def _described(value: JSON) -> str:
    if value is None:
        return "–"
    if isinstance(value, list):
        return ", ".join(map(_described, value)) or "[]"
    return " ".join(str(value).split())
