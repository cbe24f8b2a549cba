"""How good one annotator's annotations are, measured against gold (survey 2.30)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from postil.assess.calibration import calibration
from postil.assess.classification import bounds, hierarchy, label_metrics, per_label
from postil.assess.confusion import Confusion
from postil.assess.intervals import Measured, Resampling, share
from postil.assess.label_sets import top_k
from postil.assess.matching import Matched
from postil.assess.preferences import preference_metrics
from postil.assess.ratings import nearest, order_metrics, rater_metrics, rating_metrics
from postil.assess.structures import aligned, placed, structured
from postil.assess.texts import quote_metrics
from postil.tasks import VALUE_SCALES, Task
from postil.tasks.preference import Preference
from postil.tasks.reading import clip
from postil.tasks.text import Text
from postil.types import Answer, Assessment, Outcome

__all__ = ["assess"]

_FEW = 30
_NAMED = 5
_TOP = (3, 5)
_MOST_LABELS = 300
"""Of a larger label set the confusion has the labels that occur: 10,000 of them would make 100 million fields."""


def assess(
    task: Task,
    *,
    annotator: str,
    outcomes: Mapping[str, Outcome],
    gold: Mapping[str, Answer],
    records: int,
    rng: np.random.Generator,
    level: float = 0.95,
    replicates: int = 2000,
) -> Assessment:
    """Return every figure that the scale of a task has, each with its interval.

    `outcomes` maps the ids of records to their outcomes: a record without one is pending. `gold` maps the ids of the
    records that may be used for measuring to their answers. Without gold, accuracy is unknown and there is no figure.

    Raises:
        GoldError: an answer in gold is outside the task.
        DataError: an annotation is.
        MissingExtraError: scipy is not installed.
    """
    resampling = Resampling(rng, level, replicates)
    if not gold:
        notes = ("no gold: accuracy unknown",)
        return Assessment(task.name, task.kind, annotator, records, gold=0, coverage=None, notes=notes)
    matched = Matched.of(task, outcomes, gold)
    how = "share of gold records with an annotation"
    coverage = share(len(matched.records), len(gold), level=level, how=how)
    empty = Assessment(
        task.name, task.kind, annotator, records, len(gold), coverage, notes=_about_records(matched, len(gold))
    )
    made = empty
    if matched.records and task.scale not in VALUE_SCALES:
        made = _of_structures(task, matched, gold, empty, resampling)
    elif matched.records:
        made = _measured(task, matched, empty, resampling)
    own = _of_kind(task, matched, outcomes, gold, resampling)
    own += placed((outcomes[record] for record in sorted(outcomes)), resampling=resampling)
    return replace(made, metrics={**made.metrics, **own.estimates}, notes=(*made.notes, *own.notes))


def _of_kind(
    task: Task,
    matched: Matched,
    outcomes: Mapping[str, Outcome],
    gold: Mapping[str, Answer],
    resampling: Resampling,
) -> Measured:
    """Return the figures that only one kind has; those of both orders, of quotes and of places need no gold."""
    if isinstance(task, Preference):
        return preference_metrics(outcomes, gold, resampling=resampling)
    if isinstance(task, Text) and task.grounded:
        return quote_metrics((outcomes[record] for record in sorted(outcomes)), resampling=resampling)
    if task.scale in ("spans", "relations"):
        return aligned((outcomes[record] for record in sorted(outcomes)), resampling=resampling)
    if task.scale == "interval":
        _, given = _numbers(matched)
        return rater_metrics([gold[record] for record in matched.records], given, resampling=resampling)
    return Measured()


def _of_structures(
    task: Task, matched: Matched, gold: Mapping[str, Answer], empty: Assessment, resampling: Resampling
) -> Assessment:
    """Fill in what can be measured of answers that have parts."""
    annotations = [matched.annotations[one] for one in matched.records]
    made = structured(
        task, gold, {one: matched.annotations[one].answer for one in matched.records}, resampling=resampling
    )
    sure = calibration(annotations, right=made.right, gold=None, resampling=resampling)
    measured = made.measured + sure.measured
    return replace(
        empty,
        metrics=measured.estimates,
        per_label=made.per_label,
        labels=made.confusion.labels if made.confusion else task.labels,
        confusion=_rows(made.confusion),
        reliability=sure.reliability,
        notes=(*empty.notes, *measured.notes, *_about_parts(made.confusion)),
    )


def _measured(task: Task, matched: Matched, empty: Assessment, resampling: Resampling) -> Assessment:
    """Fill in what can be measured where gold records have annotations."""
    confusion, names = _confusion(task, matched), _names(task)
    if task.scale == "interval" or confusion is None:
        figures = _of_ratings(task, matched, confusion, resampling)
        right = nearest(*_numbers(matched), points=_points(task))
    else:
        figures = _of_labels(task, confusion, empty.gold, resampling)
        figures += _of_probabilities(task, matched, resampling.level)
        right = np.array([matched.given[one] == matched.gold[one] for one in matched.records])
    sure = calibration(
        [matched.annotations[one] for one in matched.records],
        right=right,
        gold=[names[value] for value in matched.gold_values(matched.records)] if confusion else None,
        resampling=resampling,
    )
    measured = figures + sure.measured
    return replace(
        empty,
        metrics=measured.estimates,
        per_label={} if confusion is None or task.scale == "interval" else per_label(confusion, level=resampling.level),
        labels=confusion.labels if confusion else (),
        confusion=_rows(confusion),
        reliability=sure.reliability,
        notes=(*empty.notes, *measured.notes),
    )


def _of_labels(task: Task, confusion: Confusion, gold: int, resampling: Resampling) -> Measured:
    measured = label_metrics(confusion, resampling=resampling)
    measured += bounds(confusion, gold=gold, level=resampling.level)
    if task.scale == "ordinal":
        measured += order_metrics(confusion, resampling=resampling)
    if task.scale == "hierarchical":
        separator = getattr(task, "separator", None) or "/"
        measured += hierarchy(confusion, separator=separator, resampling=resampling)
    return measured + Measured(notes=_without_gold(task, confusion))


def _of_ratings(task: Task, matched: Matched, confusion: Confusion | None, resampling: Resampling) -> Measured:
    gold, given = _numbers(matched)
    return rating_metrics(gold, given, points=_points(task), confusion=confusion, resampling=resampling)


def _confusion(task: Task, matched: Matched) -> Confusion | None:
    """Return the confusion; `None` where ratings lie between the points of their scale."""
    name = _names(task)
    gold, given = matched.gold_values(matched.records), matched.values(matched.records)
    if not {*gold, *given} <= name.keys():
        return None
    labels: Sequence[str] = task.labels
    if len(labels) > _MOST_LABELS:
        occur = {*gold, *given}
        labels = [label for label in labels if label in occur]
    return Confusion.of(labels, gold=[name[value] for value in gold], given=[name[value] for value in given])


def _rows(confusion: Confusion | None) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple(map(int, row)) for row in confusion.counts) if confusion else ()


def _about_parts(confusion: Confusion | None) -> tuple[str, ...]:
    """Return what a reader must know of a confusion that is not of records."""
    if confusion is None:
        return ()
    none = confusion.labels[-1]
    return (f"the confusion counts {confusion.n:,} arguments, not records; {none!r} is an argument missed, or made up",)


def _names(task: Task) -> dict[str | float, str]:
    """Return the label of each value; on an interval scale the label is the point as text."""
    return {float(label) if task.scale == "interval" else label: label for label in task.labels}


def _points(task: Task) -> list[float]:
    return [float(label) for label in task.labels]


def _numbers(matched: Matched) -> tuple[list[float], list[float]]:
    records = matched.records
    return [float(value) for value in matched.gold_values(records)], [float(value) for value in matched.values(records)]


def _about_records(matched: Matched, gold: int) -> tuple[str, ...]:
    """Return what a reader must know of the records that were and were not measured."""
    notes: list[str] = []
    annotated = len(matched.records)
    if missing := gold - annotated:
        ends = ", ".join(f"{matched.without[end]:,} {end}" for end in sorted(matched.without))
        notes.append(f"{missing:,} of {gold:,} gold records have no annotation: {ends}")
    if not annotated:
        notes.append("no gold record has an annotation: accuracy unknown")
    elif annotated < _FEW:
        notes.append(f"only {annotated:,} gold records have an annotation: the intervals are wide")
    return tuple(notes)


def _of_probabilities(task: Task, matched: Matched, level: float) -> Measured:
    """Return top-k accuracy, where every annotation has probabilities and the labels are many more than `k`."""
    probabilities = [matched.annotations[one].probabilities or {} for one in matched.records]
    if not all(probabilities):
        return Measured()
    gold = [str(value) for value in matched.gold_values(matched.records)]
    return top_k(gold, probabilities, ks=[k for k in _TOP if 2 * k <= len(task.labels)], level=level)


def _without_gold(task: Task, confusion: Confusion) -> tuple[str, ...]:
    there = {confusion.labels[at] for at in np.flatnonzero(confusion.counts.sum(axis=1))}
    absent = [label for label in task.labels if label not in there]
    if not absent:
        return ()
    named = ", ".join(f"{clip(label, 40)!r}" for label in absent[:_NAMED]) + (", …" if len(absent) > _NAMED else "")
    where = f"{len(absent):,} of {len(task.labels):,} labels occur in no annotated gold record"
    return (f"{where}, recall is undefined for them: {named}",)
