"""Labelled spans of a text: named entities, slots, passages (survey 0.05)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Final, Literal, Self

from postil.canonical import canonical_json
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.alignment import FUZZY
from postil.tasks.choice import folded_forms
from postil.tasks.extraction import json_reply, part_confidences, span_texts, whole_confidence
from postil.tasks.language import language_of
from postil.tasks.mentions import Mentions, Span, check_placing, defined_parts, listed, majority, placings, texts_of
from postil.tasks.reasons import reason_tokens, reasons_contract, reasons_of, with_reasons
from postil.tasks.shown import Shown
from postil.tasks.specs import from_spec, names_and_meanings, require_texts
from postil.types import JSON, Answer, Capabilities, Completion, Record

_TOKENS: Final = 1024
"""Room for some dozens of spans; a reply cut short is asked for again with twice the room."""
_CUE: Final[Mapping[Language, str]] = {"en": "Spans", "zh": "片段"}
_LIKE: Final[Mapping[Language, str]] = {
    "en": 'Answer with JSON and nothing else, like {"spans": [{}]}, or {"spans": []} if there is none. ',
    "zh": '只回答 JSON，不要写别的，例如 {"spans": [{}]}；一个都没有就写 {"spans": []}。',
}
_EXPECTED: Final = 'JSON like {"spans": [{"text": "…", "label": "…"}]}'


@dataclass(frozen=True, init=False)
class Spans:
    """Parts of a text, each with a label.

    A reply quotes the words; where they stand is found, and never guessed. `nested` spans may overlap, `discontinuous`
    ones may consist of fragments. A span that cannot be placed fails the reply, or with `unaligned = "drop"` it is left
    out and counted. `fuzzy` is how many of a quote's characters may be mistyped, as a share. With `rationale` or
    `evidence` the reply gives reasons before the spans.
    """

    kind: ClassVar[str] = "spans"
    answer_keys: ClassVar[tuple[str, ...]] = ("spans",)
    other_keys: ClassVar[tuple[str, ...]] = ()

    name: str
    instruction: str
    options: tuple[Option, ...]
    show: str
    nested: bool
    discontinuous: bool
    unaligned: Literal["fail", "drop"]
    fuzzy: float
    rationale: bool
    evidence: bool
    language: Language

    def __init__(
        self,
        name: str,
        instruction: str,
        *,
        labels: Sequence[str] | Mapping[str, str],
        show: str = "{text}",
        nested: bool = False,
        discontinuous: bool = False,
        unaligned: Literal["fail", "drop"] = "fail",
        fuzzy: float = FUZZY,
        rationale: bool = False,
        evidence: bool = False,
        language: Language | None = None,
    ) -> None:
        """Take labels as names, or as names with definitions.

        Raises:
            TaskError: the definition cannot work; the message says which part.
        """
        require_texts(name=name, instruction=instruction, show=show)
        defined = defined_parts(name, labels)
        Shown.parse(show)
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "options": tuple(Option(label, definition) for label, definition in defined.items()),
            "show": show,
            "nested": nested,
            "discontinuous": discontinuous,
            "unaligned": unaligned,
            "fuzzy": fuzzy,
            "rationale": rationale,
            "evidence": evidence,
            "language": language or language_of(instruction, "".join(defined)),
        }.items():
            object.__setattr__(self, attribute, value)
        check_placing(name, unaligned, fuzzy)
        _ = self._mentions

    def __hash__(self) -> int:
        return hash((self.name, self.instruction, self.options, self.show, self.nested, self.discontinuous))

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of spans, in the user's order."""
        return self._mentions.labels

    @cached_property
    def _mentions(self) -> Mentions:
        names = tuple(option.name for option in self.options)
        return Mentions(
            names,
            folded_forms(names, (), of=f"task {self.name!r}"),
            Shown.parse(self.show).fields,
            self.nested,
            self.discontinuous,
            self.fuzzy,
        )

    @property
    def scale(self) -> Scale:
        """Span by span."""
        return "spans"

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task; labels stand in a list, since their order is shown."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            **names_and_meanings("labels", self.options),
            "show": self.show,
            "nested": self.nested,
            "discontinuous": self.discontinuous,
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
        """Return how spans are to be written: as JSON, held to a schema where the engine can."""
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
        spans: Mapping[str, JSON] = {"type": "array", "items": self._mentions.schema()}
        schema: Mapping[str, JSON] = {
            "type": "object",
            "properties": {"spans": spans},
            "required": ["spans"],
            "additionalProperties": False,
        }
        return with_reasons(schema, rationale=self.rationale, evidence=self.evidence)

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        like = _LIKE[self.language].replace("{}", self._mentions.example())
        how = self._mentions.contract(self.language, schema=form.schema is not None)
        contract = like + how + reasons_contract(self.language, rationale=self.rationale, evidence=self.evidence)
        return Ask(self.instruction, self.options, contract, _CUE[self.language])

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return spans as the model should write them: by their words, numbered where the words alone do not tell."""
        texts = None if record is None else span_texts(record, self.show)
        return json.dumps({"spans": self._mentions.write(answer["spans"], texts, form)}, ensure_ascii=False)

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the spans that a complete reply quotes, at their exact places.

        Raises:
            AnswerError: the reply is no list of spans, or one of them cannot be placed or is against the rules.
        """
        reply = json_reply(completion, _EXPECTED, cue=_CUE[self.language])
        items = listed(reply.fields, ("spans",))["spans"]
        found = self._mentions.read(items, span_texts(record, self.show), drop=self.unaligned == "drop")
        places = sorted(found.spans, key=lambda at: self._mentions.order(found.spans[at]))
        sure = part_confidences(completion, "spans") if form.token_probabilities else None
        reasons = reasons_of(reply.fields, record, self.show)
        return Reading(
            {"spans": [self._mentions.json(found.spans[at]) for at in places]},
            confidence=whole_confidence(completion, ["spans"]) if form.token_probabilities else None,
            rationale=reasons.rationale or reply.rationale,
            part_confidences={f"spans/{i}": sure[at] for i, at in enumerate(places)} if sure else None,
            evidence=reasons.evidence,
            rejected=(*found.rejected, *reasons.rejected),
            placings=placings([found.spans[at] for at in places]),
        )

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return spans from outside in the order of their places, with their words.

        Raises:
            DataError: they are no spans of this task, overlap where they may not, or do not stand in the record.
        """
        return self._answer(self._mentions.accept(answer.get("spans"), texts_of(record, self.show)))

    def _answer(self, spans: Sequence[Span]) -> Answer:
        return {"spans": [self._mentions.json(span) for span in sorted(spans, key=self._mentions.order)]}

    def value(self, answer: Answer) -> str:
        """Return the answer's canonical JSON."""
        return canonical_json(answer).decode()

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return the F1 of equal spans with equal labels, 1 where both have none."""
        one, other = ({canonical_json(span) for span in answer["spans"]} for answer in (first, second))
        return 2 * len(one & other) / (len(one) + len(other)) if one or other else 1.0

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the spans with more than half of the weight, `None` where one has just half."""
        kept = majority([(self._mentions.accept(answer["spans"], None), weight) for answer, weight in answers])
        return None if kept is None else self._answer(kept)

    def describe(self, answer: Answer) -> str:
        """Return the spans with their labels, a dash for none."""
        return "; ".join(f"{span['label']}: {' '.join(span['text'].split())}" for span in answer["spans"]) or "–"
