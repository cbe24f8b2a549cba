"""One label for a record: flat, ordered or hierarchical label sets (survey 0.01)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Self

from postil.errors import DataError, TaskError
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.choice import choice_form, contract, read_choice
from postil.tasks.language import language_of
from postil.tasks.merging import heaviest
from postil.tasks.reading import fold
from postil.tasks.shown import Shown
from postil.types import JSON, Answer, Capabilities, Completion, Confidence

_CUE: Mapping[Language, str] = {"en": "Label", "zh": "标签"}


@dataclass(frozen=True, init=False)
class Classification:
    """One label out of a set.

    `ordered` labels are compared by rank (give them from lowest to highest); with a `separator` a label is a path,
    like "animal/dog", and answers that share a beginning agree in part; `abstain` names one more option that the
    annotator may choose when no label fits, which is an abstention and never a label.
    """

    kind: ClassVar[str] = "classification"
    answer_keys: ClassVar[tuple[str, ...]] = ("label",)

    name: str
    instruction: str
    options: tuple[Option, ...]
    show: str
    aliases: Mapping[str, str]
    ordered: bool
    separator: str | None
    abstain: str | None
    language: Language
    _by_fold: Mapping[str, str] = field(repr=False, compare=False)

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
        language: Language | None = None,
    ) -> None:
        """Take labels as names, or as names with definitions; aliases map another word to a label.

        Raises:
            TaskError: the definition cannot work; the message says which part.
        """
        defined = dict(labels) if isinstance(labels, Mapping) else dict.fromkeys(labels, "")
        if not isinstance(labels, Mapping) and len(defined) != len(labels):
            raise TaskError(f"task {name!r}: every label must be there once, got {list(labels)!r}")
        Shown.parse(show)
        guess = language_of(instruction + "".join(defined))
        self._set("name", name)
        self._set("instruction", instruction)
        self._set("options", tuple(Option(label, definition) for label, definition in defined.items()))
        self._set("show", show)
        self._set("aliases", dict(aliases or {}))
        self._set("ordered", ordered)
        self._set("separator", separator)
        self._set("abstain", abstain)
        self._set("language", language or guess)
        self._set("_by_fold", self._folded_names())

    def _set(self, attribute: str, value: object) -> None:
        object.__setattr__(self, attribute, value)

    def _folded_names(self) -> Mapping[str, str]:
        """Return folded name or alias -> label, having checked that no two could be confused."""
        if len(self.options) < 2:
            raise TaskError(
                f"task {self.name!r}: a label set needs at least two labels, got {list(self.labels)!r}",
                hint="give them as labels = [...] or --labels a,b",
            )
        if self.ordered and self.separator:
            raise TaskError(f"task {self.name!r}: labels are either ordered or a hierarchy, not both")
        found: dict[str, str] = {}
        meant = {alias: label for alias, label in self.aliases.items() if alias != label}
        if self.abstain is not None:
            meant[self.abstain] = self.abstain
        for word, label in ({label: label for label in self.labels} | meant).items():
            if label not in self.labels and label != self.abstain:
                raise TaskError(f"task {self.name!r}: alias {word!r} stands for {label!r}, which is no label")
            folded = fold(word)
            if not folded:
                raise TaskError(f"task {self.name!r}: {word!r} cannot be a label: nothing of it can be read back")
            if found.setdefault(folded, label) != label:
                raise TaskError(
                    f"task {self.name!r}: {word!r} and {found[folded]!r} read the same",
                    hint="case, width and marks around a label do not count",
                )
        return found

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label, in the user's order."""
        return tuple(option.name for option in self.options)

    @property
    def scale(self) -> Scale:
        """By rank if ordered, by path if a hierarchy, else equal or not."""
        return "ordinal" if self.ordered else "hierarchical" if self.separator else "nominal"

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            "labels": {option.name: option.definition for option in self.options},
            "show": self.show,
            "aliases": dict(self.aliases),
            "ordered": self.ordered,
            "separator": self.separator,
            "abstain": self.abstain,
            "language": self.language,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, JSON]) -> Self:
        """Return the task that a spec describes.

        Raises:
            TaskError: it cannot work.
        """
        values = {key: value for key, value in spec.items() if key != "kind"}
        return cls(values.pop("name"), values.pop("instruction"), **values)

    @property
    def _names(self) -> tuple[str, ...]:
        return self.labels if self.abstain is None else (*self.labels, self.abstain)

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how the label is to be written for an engine with these capabilities."""
        return choice_form(self._names, capabilities, key="label")

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        codes = form.choices if form.style == "code" else ("",) * len(self._names)
        given = {option.name: option.definition for option in self.options}
        options = tuple(Option(name, given.get(name, ""), code) for name, code in zip(self._names, codes, strict=True))
        return Ask(self.instruction, options, contract(form, self.language, "label"), _CUE[self.language])

    def write(self, answer: Answer, form: AnswerForm) -> str:
        """Return a label as the model should write it."""
        label = str(answer["label"])
        if form.style == "code":
            return form.choices[self._names.index(label)]
        return json.dumps({"label": label}, ensure_ascii=False) if form.style == "json" else label

    def read(self, completion: Completion, form: AnswerForm, prior: Sequence[float] | None = None) -> Reading:
        """Return the label in a complete reply.

        Raises:
            AnswerError: the reply holds no label of the set, or several.
        """
        chosen = read_choice(completion, form, self._names, key="label", aliases=self.aliases, prior=prior)
        if chosen.name == self.abstain:
            return Reading(None, abstained=f"answered {self.abstain!r}")
        confidence = None
        if chosen.probabilities is not None:
            confidence = Confidence(chosen.probabilities[chosen.name], "logprob")
        return Reading({"label": chosen.name}, "", confidence, chosen.probabilities)

    def accept(self, answer: Answer) -> Answer:
        """Return a label from outside as this task writes it; aliases and folded forms are labels too.

        Raises:
            DataError: it is no label of the set.
        """
        value = answer.get("label")
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            value = str(value)
        label = self._by_fold.get(fold(value)) if isinstance(value, str) else None
        if isinstance(value, str) and value in self.labels:
            label = value
        if label is None or label == self.abstain:
            raise DataError(f"expected one of {', '.join(map(repr, self.labels))}, got {answer.get('label')!r}")
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
