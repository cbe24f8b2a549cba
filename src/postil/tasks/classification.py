"""One label for a record: flat, ordered or hierarchical label sets (survey 0.01)."""

import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, Self

from postil.errors import DataError, TaskError
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.choice import Choices, Chosen, choice_form, contract, defined_labels, folded_forms
from postil.tasks.language import language_of
from postil.tasks.merging import heaviest
from postil.tasks.reading import clip, fold
from postil.tasks.reasons import reasoned, reasons_contract
from postil.tasks.shown import Shown
from postil.tasks.specs import from_spec, names_and_meanings, require_texts
from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

_CUE: Mapping[Language, str] = {"en": "Label", "zh": "标签"}


@dataclass(frozen=True, init=False)
class Classification:
    """One label out of a set.

    `ordered` labels are compared by rank (give them from lowest to highest); with a `separator` a label is a path,
    like "animal/dog", and answers that share a beginning agree in part; `abstain` names one more option that the
    annotator may choose when no label fits, which is an abstention and never a label. With `rationale` or `evidence`
    the answer is JSON with the reasons or the words of the text before the label.
    """

    kind: ClassVar[str] = "classification"
    answer_keys: ClassVar[tuple[str, ...]] = ("label",)
    other_keys: ClassVar[tuple[str, ...]] = ()

    name: str
    instruction: str
    options: tuple[Option, ...]
    show: str
    aliases: Mapping[str, str]
    ordered: bool
    separator: str | None
    abstain: str | None
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
        aliases: Mapping[str, str] | None = None,
        ordered: bool = False,
        separator: str | None = None,
        abstain: str | None = None,
        rationale: bool = False,
        evidence: bool = False,
        language: Language | None = None,
    ) -> None:
        """Take labels as names, or as names with definitions; aliases map another word to a label.

        Raises:
            TaskError: the definition cannot work; the message says which part.
        """
        words = {f"alias {alias}": label for alias, label in (aliases or {}).items()}
        require_texts(name=name, instruction=instruction, show=show, abstain=abstain or "", **words)
        defined = defined_labels(name, labels)
        Shown.parse(show)
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "options": tuple(Option(label, definition) for label, definition in defined.items()),
            "show": show,
            "aliases": dict(aliases or {}),
            "ordered": ordered,
            "separator": separator or None,
            "abstain": abstain,
            "rationale": rationale,
            "evidence": evidence,
            "language": language or language_of(instruction, "".join(defined)),
        }.items():
            object.__setattr__(self, attribute, value)
        self._check()

    def _check(self) -> None:
        """Check what the parts of the definition mean together."""
        if self.ordered and self.separator:
            raise TaskError(f"task {self.name!r}: labels are either ordered or a hierarchy, not both")
        if self.abstain in self.labels:
            raise TaskError(f"task {self.name!r}: {self.abstain!r} cannot be both a label and the abstention")
        names = self._choices.names
        for word, label in self.aliases.items():
            if label not in names:
                raise TaskError(f"task {self.name!r}: alias {word!r} stands for {label!r}, which is no label")

    def __hash__(self) -> int:
        return hash((self.name, self.instruction, self.options, self.show, self.ordered, self.separator, self.abstain))

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label, in the user's order."""
        return self._labels

    @cached_property
    def _labels(self) -> tuple[str, ...]:
        return tuple(option.name for option in self.options)

    @property
    def scale(self) -> Scale:
        """By rank if ordered, by path if a hierarchy, else equal or not."""
        return "ordinal" if self.ordered else "hierarchical" if self.separator else "nominal"

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task; labels stand in a list, since their order is shown."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            **names_and_meanings("labels", self.options),
            "show": self.show,
            "aliases": dict(self.aliases),
            "ordered": self.ordered,
            "separator": self.separator,
            "abstain": self.abstain,
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

    def narrowed(self, labels: Collection[str]) -> "Classification":
        """Return the task with these labels alone, in its own order: the same answers, fewer options in a prompt.

        Raises:
            TaskError: fewer than two of them are labels.
        """
        return Classification(
            self.name,
            self.instruction,
            labels={option.name: option.definition for option in self.options if option.name in labels},
            show=self.show,
            aliases={word: label for word, label in self.aliases.items() if label in labels or label == self.abstain},
            ordered=self.ordered,
            separator=self.separator,
            abstain=self.abstain,
            rationale=self.rationale,
            evidence=self.evidence,
            language=self.language,
        )

    @cached_property
    def _choices(self) -> Choices:
        names = self.labels if self.abstain is None else (*self.labels, self.abstain)
        forms = folded_forms(names, self.aliases.items(), of=f"task {self.name!r}")
        return Choices(names, forms, "label", _CUE[self.language])

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how the label is to be written for an engine with these capabilities."""
        return choice_form(
            self._choices.names, capabilities, key="label", rationale=self.rationale, evidence=self.evidence
        )

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        names = self._choices.names
        codes = form.choices if form.style == "code" else ("",) * len(names)
        given = {option.name: option.definition for option in self.options}
        options = tuple(Option(name, given.get(name, ""), code) for name, code in zip(names, codes, strict=True))
        how = contract(form, self.language, "label")
        if form.style == "json":
            how += reasons_contract(self.language, rationale=self.rationale, evidence=self.evidence)
        return Ask(self.instruction, options, how, _CUE[self.language])

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return a label as the model should write it."""
        label = str(answer["label"])
        if form.style == "code":
            return form.choices[self._choices.names.index(label)]
        return json.dumps({"label": label}, ensure_ascii=False) if form.style == "json" else label

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the label in a complete reply.

        Raises:
            AnswerError: the reply holds no label of the set, or several.
        """
        chosen = self._choices.read(completion, form, prior)
        reading = self._reading(chosen)
        if self.rationale or self.evidence:
            return reasoned(reading, completion, form, record, show=self.show, key="label")
        return reading

    def _reading(self, chosen: Chosen) -> Reading:
        if chosen.name == self.abstain:
            return Reading(None, abstained=f"answered {self.abstain!r}", rationale=chosen.rationale)
        odds = chosen.probabilities if self.abstain is None else self._of_labels(chosen.probabilities)
        confidence = None if odds is None else Confidence(odds[chosen.name], "logprob")
        return Reading({"label": chosen.name}, "", confidence, odds, chosen.rationale)

    def _of_labels(self, probabilities: Mapping[str, float] | None) -> Mapping[str, float] | None:
        """Return the distribution over the labels alone: given that one was chosen, the abstention was not."""
        odds = {label: p for label, p in (probabilities or {}).items() if label != self.abstain}
        total = math.fsum(odds.values())
        return {label: p / total for label, p in odds.items()} if total > 0 else None

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return a label from outside as this task writes it; aliases and folded forms are labels too.

        Raises:
            DataError: it is no label of the set.
        """
        value = answer.get("label")
        text = str(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else value
        label = self._choices.forms.get(fold(text)) if isinstance(text, str) else None
        if label is None or label == self.abstain:
            expected = clip(", ".join(map(repr, self.labels)))
            raise DataError(f"expected one of {expected}, got {clip(repr(value))}")
        return {"label": label}

    def value(self, answer: Answer) -> str:
        """Return the label."""
        return str(answer["label"])

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return 1 for equal labels; else nearness of ranks, or the share of the path that both begin with."""
        a, b = self.value(first), self.value(second)
        if self.ordered:
            return 1 - abs(self.labels.index(a) - self.labels.index(b)) / (len(self.labels) - 1)
        if self.separator:
            return _shared_beginning(a.split(self.separator), b.split(self.separator))
        return float(a == b)

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the label with the largest total weight, `None` on a tie."""
        label = heaviest((self.value(answer), weight) for answer, weight in answers)
        return None if label is None else {"label": label}

    def describe(self, answer: Answer) -> str:
        """Return the label."""
        return self.value(answer)


def _shared_beginning(first: Sequence[str], second: Sequence[str]) -> float:
    shared = 0
    for a, b in zip(first, second, strict=False):
        if a != b:
            break
        shared += 1
    return shared / max(len(first), len(second))
