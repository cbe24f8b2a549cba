"""A number on a scale with anchors (survey 0.01, ordinal)."""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from typing import ClassVar, Final, Self

from postil.errors import DataError, TaskError
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.choice import Choices, choice_form, contract, folded_forms
from postil.tasks.language import language_of
from postil.tasks.reading import clip
from postil.tasks.reasons import reasoned, reasons_contract
from postil.tasks.shown import Shown
from postil.tasks.specs import from_spec, require_texts
from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

_CUE: Final[Mapping[Language, str]] = {"en": "Rating", "zh": "评分"}
_WHOLE: Final = re.compile(r"-?[0-9]{1,9}")
_NUMBER: Final = re.compile(r"\s*[+-]?[0-9]{1,30}(?:\.[0-9]{1,30})?\s*")


@dataclass(frozen=True, init=False)
class Rating:
    """A whole number from `low` to `high`; `anchors` say what points of the scale mean.

    An annotator answers with a point. Gold may lie between points: the mean of several people's ratings. With
    `rationale` or `evidence` the answer is JSON with the reasons or the words of the text before the rating.
    """

    kind: ClassVar[str] = "rating"
    answer_keys: ClassVar[tuple[str, ...]] = ("rating",)
    other_keys: ClassVar[tuple[str, ...]] = ("ratings", "votes")
    """What gold may hold beside the answer's key, or in its place."""

    name: str
    instruction: str
    low: int
    high: int
    anchors: Mapping[int, str]
    show: str
    rationale: bool
    evidence: bool
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
        rationale: bool = False,
        evidence: bool = False,
        language: Language | None = None,
    ) -> None:
        """Take the ends of the scale and what some of its points mean.

        Raises:
            TaskError: the scale has fewer than two or more than 101 points, or an anchor lies outside it.
        """
        meanings = {f"anchor {point}": meaning for point, meaning in (anchors or {}).items()}
        require_texts(name=name, instruction=instruction, show=show, **meanings)
        if type(low) is not int or type(high) is not int or not 1 <= high - low <= 100:
            raise TaskError(f"task {name!r}: a scale has 2 to 101 points, whole numbers, got {low!r} to {high!r}")
        Shown.parse(show)
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "low": low,
            "high": high,
            "anchors": _anchors(name, low, high, anchors or {}),
            "show": show,
            "rationale": rationale,
            "evidence": evidence,
            "language": language or language_of(instruction),
        }.items():
            object.__setattr__(self, attribute, value)

    def __hash__(self) -> int:
        return hash((self.name, self.instruction, self.low, self.high, self.show))

    @property
    def labels(self) -> tuple[str, ...]:
        """The points of the scale as text, lowest first."""
        return self._labels

    @cached_property
    def _labels(self) -> tuple[str, ...]:
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

    @cached_property
    def _choices(self) -> Choices:
        forms = folded_forms(self.labels, self._other_words(), of=f"task {self.name!r}")
        return Choices(self.labels, forms, "rating", _CUE[self.language])

    def _other_words(self) -> Iterator[tuple[str, str]]:
        """Yield other ways to write a point that mean nothing else: "4.0", "+4", "4/5", "4 out of 5", "4分"."""
        for point in self.labels:
            yield f"{point}.0", point
            yield f"{point}/{self.high}", point
            yield f"{point} out of {self.high}", point
            yield f"{point}分", point
            yield (f"\u2212{point[1:]}" if point.startswith("-") else f"+{point}"), point

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how the rating is to be written for an engine with these capabilities."""
        return choice_form(
            self.labels,
            capabilities,
            key="rating",
            values=[int(point) for point in self.labels],
            rationale=self.rationale,
            evidence=self.evidence,
        )

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        codes = form.choices if form.style == "code" else ("",) * len(self.labels)
        options = tuple(
            Option(point, self.anchors.get(int(point), ""), code)
            for point, code in zip(self.labels, codes, strict=True)
        )
        how = contract(form, self.language, "rating")
        if form.style == "json":
            how += reasons_contract(self.language, rationale=self.rationale, evidence=self.evidence)
        return Ask(self.instruction, options, how, _CUE[self.language])

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return a rating as the model should write it: the nearest point of the scale."""
        point = self._nearest(float(answer["rating"]))
        if form.style == "code":
            return form.choices[point - self.low]
        return json.dumps({"rating": point}) if form.style == "json" else str(point)

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the rating in a complete reply.

        Raises:
            AnswerError: the reply holds no point of the scale, or several.
        """
        chosen = self._choices.read(completion, form, prior)
        odds = chosen.probabilities
        confidence = None if odds is None else Confidence(odds[chosen.name], "logprob")
        near = None if odds is None else {"within_one": _mass_near(odds, int(chosen.name))}
        reading = Reading({"rating": int(chosen.name)}, "", confidence, odds, chosen.rationale, part_confidences=near)
        if self.rationale or self.evidence:
            return reasoned(reading, completion, form, record, show=self.show, key="rating")
        return reading

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return a rating from outside: a number on the scale, between points too; text that reads as one will do.

        Several people's ratings are kept as `votes`: `{"votes": {"ann": 4, "bob": 5}}`, or `{"ratings": [4, 5]}` where
        it is not known whose they are; both may stand in `rating` too. Without a `rating` of its own it is their mean.

        Raises:
            DataError: it is no number, or lies outside the scale.
        """
        given, rating = answer.get("votes", answer.get("ratings")), answer.get("rating")
        if given is None and isinstance(rating, (list, tuple, Mapping)):
            given, rating = rating, None
        if given is None:
            return {"rating": self._on_scale(rating)}
        named = isinstance(given, Mapping)
        votes = [self._on_scale(vote) for vote in (given.values() if named else _listed(given)) if vote is not None]
        if not votes:
            raise DataError(f"expected at least one rating, got {clip(repr(given))}")
        raters = [str(rater) for rater, vote in given.items() if vote is not None] if named else []
        return {
            "rating": self._on_scale(math.fsum(votes) / len(votes) if rating is None else rating),
            "votes": dict(zip(raters, votes, strict=True)) if named else votes,
        }

    def _on_scale(self, value: JSON) -> float:
        number = _number(value)
        if not self.low <= number <= self.high:
            raise DataError(f"expected a number from {self.low} to {self.high}, got {clip(repr(value))}")
        return int(number) if number == int(number) else number

    def value(self, answer: Answer) -> float:
        """Return the rating."""
        return float(answer["rating"])

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return 1 for equal ratings, falling to 0 for the two ends of the scale."""
        return 1 - abs(self.value(first) - self.value(second)) / (self.high - self.low)

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the weighted mean, `None` for no answers."""
        values = [self.value(answer) for answer, _ in answers]
        total = math.fsum(weight for _, weight in answers)
        if not total > 0:
            return None
        mean = math.fsum(value * weight for value, (_, weight) in zip(values, answers, strict=True)) / total
        # Rounding must not carry a mean beyond what it is the mean of.
        return self.accept({"rating": min(max(mean, min(values)), max(values))})

    def describe(self, answer: Answer) -> str:
        """Return the rating as text."""
        return f"{self.value(answer):g}"

    def _nearest(self, value: float) -> int:
        # Half points go away from the scale's middle, so that rounding favours neither end.
        middle = (self.low + self.high) / 2
        below = math.floor(value)
        if value - below == 0.5:
            return below + 1 if value > middle else below
        return round(value)


def _anchors(task: str, low: int, high: int, anchors: Mapping[int, str] | Mapping[str, str]) -> Mapping[int, str]:
    """Return the meanings of points, having checked that each is a point of the scale."""
    points: dict[int, str] = {}
    for point, meaning in anchors.items():
        if not _WHOLE.fullmatch(str(point)) or not low <= int(point) <= high:
            raise TaskError(f"task {task!r}: anchors stand at whole numbers from {low} to {high}, got {point!r}")
        points[int(point)] = meaning
    return points


def _listed(value: JSON) -> Sequence[JSON]:
    if isinstance(value, (list, tuple)):
        return value
    raise DataError(f"expected ratings by rater, or a list of ratings, got {clip(repr(value))}")


def _mass_near(odds: Mapping[str, float], point: int) -> float:
    """Return how probable the points at most one from the answer are together: a near miss counts on a scale."""
    return min(1.0, math.fsum(p for other, p in odds.items() if abs(int(other) - point) <= 1))


def _number(value: JSON) -> float:
    """Return the number that a value is or that its text says, NaN for anything else."""
    if isinstance(value, bool) or not isinstance(value, (str, Real)):
        return math.nan
    if isinstance(value, str) and not _NUMBER.fullmatch(value):
        return math.nan
    try:
        return float(value)
    except OverflowError:
        return math.nan
