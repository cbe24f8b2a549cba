"""Annotations put beside gold, record by record, as plain values."""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from postil.errors import DataError, GoldError, InputError
from postil.tasks import VALUE_SCALES, Task
from postil.tasks.reading import clip
from postil.types import Abstention, Annotation, Answer, Failure, Outcome

__all__ = ["Matched"]


@dataclass(frozen=True, slots=True)
class Matched:
    """The gold records that have an annotation, and how many have none."""

    records: tuple[str, ...]
    """In the order of their ids, so that results do not depend on the order of arrival."""
    annotations: Mapping[str, Annotation]
    given: Mapping[str, str | float]
    gold: Mapping[str, str | float]
    without: Mapping[str, int]
    """Gold records without an annotation: failed, abstained, pending."""

    @classmethod
    def of(cls, task: Task, outcomes: Mapping[str, Outcome], gold: Mapping[str, Answer]) -> Self:
        """Match outcomes with gold.

        Raises:
            GoldError: an answer in gold is outside the task.
            DataError: an annotation is.
        """
        found = {record: outcomes.get(record) for record in sorted(gold)}
        annotations = {record: one for record, one in found.items() if isinstance(one, Annotation)}
        missing = Counter(_without(one) for one in found.values() if not isinstance(one, Annotation))
        inside = _reader(task)
        true = {record: inside(answer, f"gold of record {record!r}", GoldError) for record, answer in gold.items()}
        given = {
            record: inside(one.answer, f"annotation of record {record!r}", DataError)
            for record, one in annotations.items()
        }
        return cls(tuple(annotations), annotations, given, true, missing)

    def values(self, records: Sequence[str]) -> list[str | float]:
        """Return the annotator's values of these records."""
        return [self.given[record] for record in records]

    def gold_values(self, records: Sequence[str]) -> list[str | float]:
        """Return the gold values of these records."""
        return [self.gold[record] for record in records]


def _without(outcome: Outcome | None) -> str:
    if isinstance(outcome, Failure):
        return "failed"
    return "abstained" if isinstance(outcome, Abstention) else "pending"


def _reader(task: Task) -> Callable[[Answer, str, type[InputError]], str | float]:
    """Return what takes the value out of an answer and raises an error where it is outside the task."""
    if task.scale not in VALUE_SCALES:
        return _structure_reader(task)
    labels, by_distance = frozenset(task.labels), task.scale == "interval"
    expected = "a finite number" if by_distance else f"one of the {len(labels)} labels of task {task.name!r}"

    def inside(answer: Answer, where: str, error: type[InputError]) -> str | float:
        value = task.value(answer)
        if not (isinstance(value, (int, float)) and math.isfinite(value) if by_distance else value in labels):
            hint = "an answer must be accepted by the task before it is measured"
            raise error(f"{where}: expected {expected}, got {clip(repr(value))}", hint=hint)
        return value

    return inside


def _structure_reader(task: Task) -> Callable[[Answer, str, type[InputError]], str | float]:
    def inside(answer: Answer, where: str, error: type[InputError]) -> str | float:
        try:
            accepted = task.value(task.accept(answer))
        except DataError as problem:
            raise error(f"{where}: {problem.args[0]}", hint=problem.hint) from None
        if (value := task.value(answer)) != accepted:
            hint = "an answer must be accepted by the task before it is measured"
            raise error(f"{where}: expected {clip(str(accepted))}, got {clip(str(value))}", hint=hint)
        return value

    return inside
