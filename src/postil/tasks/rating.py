"""A number on a scale with anchors (survey 0.01, ordinal)."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from postil.errors import DataError, TaskError
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.choice import choice_form, contract, read_choice
from postil.tasks.language import language_of
from postil.tasks.shown import Shown
from postil.types import JSON, Answer, Capabilities, Completion, Confidence

_CUE: Mapping[Language, str] = {"en": "Rating", "zh": "评分"}


@dataclass(frozen=True, init=False)
class Rating:
    """A whole number from `low` to `high`; `anchors` say what points of the scale mean.

    An annotator answers with a point. Gold may lie between points: the mean of several people's ratings.
    """

    kind: ClassVar[str] = "rating"
    answer_keys: ClassVar[tuple[str, ...]] = ("rating",)

    name: str
    instruction: str
    low: int
    high: int
    anchors: Mapping[int, str]
    show: str
    language: Language

    def __init__(
        self,
        name: str,
        instruction: str,
        *,
        low: int = 1,
        high: int = 5,
        anchors: Mapping[int, str] | Mapping[str, str] | None = None,
        show: str = "{text}",
        language: Language | None = None,
    ) -> None:
        """Take the ends of the scale and what some of its points mean.

        Raises:
            TaskError: the scale has fewer than two or more than 101 points, or an anchor lies outside it.
        """
        if not 1 <= high - low <= 100:
            raise TaskError(f"task {name!r}: a scale needs 2 to 101 points, got {low} to {high}")
        Shown.parse(show)
        points: dict[int, str] = {}
        for point, meaning in (anchors or {}).items():
            if not str(point).lstrip("-").isdigit() or not low <= int(point) <= high:
                raise TaskError(f"task {name!r}: anchors stand at whole numbers from {low} to {high}, got {point!r}")
            points[int(point)] = meaning
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "low": low,
            "high": high,
            "anchors": points,
            "show": show,
            "language": language or language_of(instruction),
        }.items():
            object.__setattr__(self, attribute, value)

    @property
    def labels(self) -> tuple[str, ...]:
        """The points of the scale as text, lowest first."""
        return tuple(str(point) for point in range(self.low, self.high + 1))

    @property
    def scale(self) -> Scale:
        """By distance."""
        return "interval"

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            "low": self.low,
            "high": self.high,
            "anchors": {str(point): meaning for point, meaning in self.anchors.items()},
            "show": self.show,
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

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how the rating is to be written for an engine with these capabilities."""
        return choice_form(self.labels, capabilities, key="rating")

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        codes = form.choices if form.style == "code" else ("",) * len(self.labels)
        options = tuple(
            Option(point, self.anchors.get(int(point), ""), code)
            for point, code in zip(self.labels, codes, strict=True)
        )
        return Ask(self.instruction, options, contract(form, self.language, "rating"), _CUE[self.language])

    def write(self, answer: Answer, form: AnswerForm) -> str:
        """Return a rating as the model should write it: the nearest point of the scale."""
        point = str(self._nearest(float(answer["rating"])))
        if form.style == "code":
            return form.choices[self.labels.index(point)]
        return json.dumps({"rating": point}, ensure_ascii=False) if form.style == "json" else point

    def read(self, completion: Completion, form: AnswerForm, prior: Sequence[float] | None = None) -> Reading:
        """Return the rating in a complete reply.

        Raises:
            AnswerError: the reply holds no point of the scale, or several.
        """
        chosen = read_choice(completion, form, self.labels, key="rating", aliases={}, prior=prior)
        confidence = None
        if chosen.probabilities is not None:
            confidence = Confidence(chosen.probabilities[chosen.name], "logprob")
        return Reading({"rating": int(chosen.name)}, "", confidence, chosen.probabilities)

    def accept(self, answer: Answer) -> Answer:
        """Return a rating from outside: a number on the scale, between points too; text that reads as one will do.

        Raises:
            DataError: it is no number, or lies outside the scale.
        """
        value = answer.get("rating")
        try:
            number = float("nan") if isinstance(value, bool) else float(value)  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError):
            number = float("nan")
        if not self.low <= number <= self.high:
            raise DataError(f"expected a number from {self.low} to {self.high}, got {value!r}")
        return {"rating": int(number) if number == int(number) else number}

    def value(self, answer: Answer) -> float:
        """Return the rating."""
        return float(answer["rating"])

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return 1 for equal ratings, falling to 0 for the two ends of the scale."""
        return 1 - abs(self.value(first) - self.value(second)) / (self.high - self.low)

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the weighted mean, `None` for no answers."""
        total = sum(weight for _, weight in answers)
        if total <= 0:
            return None
        mean = sum(self.value(answer) * weight for answer, weight in answers) / total
        return self.accept({"rating": mean})

    def describe(self, answer: Answer) -> str:
        """Return the rating as text."""
        return f"{self.value(answer):g}"

    def _nearest(self, value: float) -> int:
        # Half points go away from the scale's middle, so that rounding favours neither end.
        middle = (self.low + self.high) / 2
        floor = int(value // 1)
        if value - floor == 0.5:
            return floor + 1 if value > middle else floor
        return round(value)
