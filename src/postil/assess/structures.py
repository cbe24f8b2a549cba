"""Structured answers beside gold: counts of parts pooled over records, scores averaged, label by label (survey 2.30).

A kind compares two answers in a file of its own and says what it counted; all that is statistics is here. Parts of one
record are not independent, so records are what is resampled.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from postil.assess import fields, frames, label_sets, order, relations, spans, texts
from postil.assess.compared import Compared, Counts
from postil.assess.confusion import Confusion
from postil.assess.intervals import Array, Measured, Metric, Resampling, Statistic, bootstrap, clopper_pearson, share
from postil.errors import Ambiguous, NotFound
from postil.tasks import Scale, Task
from postil.tasks.alignment import METHODS
from postil.tasks.roles import Roles
from postil.types import Annotation, Answer, Estimate, Failure, Outcome

__all__ = ["Compare", "Structured", "aligned", "comparing", "difference", "placed", "structured"]

Compare = Callable[[Any, Answer, Answer], Compared]

_COMPARE: Final[Mapping[Scale, Compare]] = {
    "set": label_sets.compare,
    "fields": fields.compare,
    "spans": spans.compare,
    "relations": relations.compare,
    "frames": frames.compare,
    "order": order.compare,
    "text": texts.compare,
}
_MAIN: Final[Mapping[Scale, str]] = {
    "set": "micro",
    "fields": "fields",
    "spans": "strict",
    "relations": "strict",
    "frames": "arguments",
    "order": "temporal_f1",
    "text": "token_f1",
}
"""The way to match, or the score, in which two annotators are compared."""
_MOST_LABELS: Final = 300
"""With more labels their F1 are not averaged: resampling every label of every record would take gigabytes."""
_NO_PART: Final = "–"
"""What stands in a confusion for a part that one of the sides does not have."""


@dataclass(frozen=True, slots=True)
class Structured:
    """What structured answers come to."""

    measured: Measured
    per_label: Mapping[str, Mapping[str, Estimate]]
    right: npt.NDArray[np.bool_]
    """Which answers are right as a whole, in the order of the records annotated."""
    confusion: Confusion | None = None
    """Of the labels of parts that stand in the same place, where a kind has such."""


def structured(
    task: Task, gold: Mapping[str, Answer], given: Mapping[str, Answer], *, resampling: Resampling
) -> Structured:
    """Return every figure of structured answers.

    `gold` is all gold, `given` the answers to some of its records, at least one. A record without an answer is left
    out, but for the figures that end in `_all`: they count it as an answer in which nothing was found.
    """
    records = sorted(given)
    compare = comparing(task)
    compared = [compare(task, gold[record], given[record]) for record in records]
    missing = [compare(task, gold[record], gold[record]) for record in sorted(gold.keys() - given.keys())]
    right = np.array([one.right for one in compared], dtype=np.bool_)
    measured = _pooled(compared, resampling) + _macro(compared, resampling) + _averaged(compared, resampling)
    if "exact_match" not in measured.estimates:
        measured += _whole(right, len(gold), resampling.level)
    measured += _with_missing(compared, missing, resampling)
    if task.scale == "text":
        measured += _texts_with_missing(compared, missing, resampling)
    else:
        measured += _nothing_to_find(compared, resampling.level)
    confusion = _confusion(task, [(gold[record], given[record]) for record in records])
    return Structured(measured, _per_label(task, compared, resampling.level), right, confusion)


def aligned(outcomes: Iterable[Outcome], *, resampling: Resampling) -> Measured:
    """Return the share of the spans quoted that could be placed: those of annotations, against those dropped or failed.

    A reply that failed since it quoted what is not there, or what stands in several places, counts for one span
    (reliability A9). It needs no gold.
    """
    rows: list[tuple[int, int, int]] = []
    for outcome in outcomes:
        placed = lost = 0
        if isinstance(outcome, Annotation):
            placed, lost = len(outcome.answer["spans"]), sum(why.startswith("spans[") for why in outcome.rejected)
        elif isinstance(outcome, Failure):
            lost = int(outcome.failure_class in (NotFound.failure_class, Ambiguous.failure_class))
        if placed or lost:
            rows.append((placed, placed + lost, placed + lost))
    if not rows:
        return Measured()
    cells = _Cells.of(np.array(rows, dtype=np.float64))
    hits, given, _ = cells.values.T
    metric = Metric(
        "aligned", _ratio(hits, given), "share of the spans quoted that stand in their text, at one place", ""
    )
    return bootstrap([metric], cells.counts, resampling=resampling, smoothing=cells.smoothing)


def placed(outcomes: Iterable[Outcome], *, resampling: Resampling) -> Measured:
    """Return the share of the quotes placed that stand in their text letter by letter, and how the others were found.

    Those that are in no annotation are none of them: `aligned` counts those (reliability A9). It needs no gold.
    """
    found: Counter[str] = Counter()
    rows: list[tuple[int, int, int]] = []
    for outcome in outcomes:
        if isinstance(outcome, Annotation) and outcome.placings:
            methods = Counter(outcome.placings.values())
            rows.append((methods["exact"], methods.total(), methods.total()))
            found += methods
    if not rows:
        return Measured()
    cells = _Cells.of(np.array(rows, dtype=np.float64))
    hits, given, _ = cells.values.T
    how = "share of the quotes placed that stand there letter by letter"
    metric = Metric("placed_exactly", _ratio(hits, given), how, "")
    made = bootstrap([metric], cells.counts, resampling=resampling, smoothing=cells.smoothing)
    return made + Measured(notes=_otherwise(found))


def _otherwise(found: Mapping[str, int]) -> tuple[str, ...]:
    ways = [f"{found[method]:,} {method}" for method in METHODS if method != "exact" and found.get(method)]
    inexact = sum(found.values()) - found.get("exact", 0)
    said = f"{inexact:,} of {sum(found.values()):,} quotes were not found letter by letter: {', '.join(ways)}"
    return (said,) if ways else ()


def comparing(task: Task) -> Compare:
    """Return what puts an answer to a task of this scale beside gold."""
    return _COMPARE[task.scale]


def difference(
    task: Task,
    gold: Sequence[Answer],
    first: Sequence[Answer],
    second: Sequence[Answer],
    *,
    on: str,
    resampling: Resampling,
) -> Estimate | None:
    """Return by how much the first answers exceed the second in the main figure of the task's kind.

    That is an F1 over all parts or the mean of a score. The same records are drawn for both; `None` where no record
    has the figure.
    """
    compare, main = comparing(task), _MAIN[task.scale]
    one, two = ([compare(task, true, said) for true, said in zip(gold, side, strict=True)] for side in (first, second))
    if main in one[0].counts:
        return _difference_in_f1(_table(one, main), _table(two, main), f"difference in {main}_f1 {on}", resampling)
    both = [
        (a.scores[main], b.scores[main]) for a, b in zip(one, two, strict=True) if main in a.scores and main in b.scores
    ]
    if not both:
        return None
    gain = np.array([a - b for a, b in both])
    metric = Metric("difference", _mean_of(gain), f"paired difference in {main} {on}", "no record has the score")
    return bootstrap([metric], np.ones(len(gain)), resampling=resampling).estimates.get("difference")


def _pooled(compared: Sequence[Compared], resampling: Resampling) -> Measured:
    """Return precision, recall and F1 by each way to match."""
    measured = Measured()
    for way in compared[0].counts:
        cells = _Cells.of(_table(compared, way))
        measured += bootstrap(_rates(way, cells.values), cells.counts, resampling=resampling, smoothing=cells.smoothing)
    return measured


def _rates(way: str, table: Array) -> list[Metric]:
    hits, given, gold = table.T
    matched = f"by the match {way!r}"
    return [
        Metric(f"{way}_precision", _ratio(hits, given), f"share of the parts given that gold has, {matched}", _NONE),
        Metric(f"{way}_recall", _ratio(hits, gold), f"share of gold's parts that were given, {matched}", _NONE),
        Metric(f"{way}_f1", _ratio(2 * hits, given + gold), f"F1 of all parts together, {matched}", _NONE),
    ]


_NONE: Final = "there are no parts"


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Distinct rows of counts, how many records have each, and the record that smooths them."""

    values: Array
    counts: Array
    smoothing: Array

    @classmethod
    def of(cls, table: Array) -> "_Cells":
        """Put records with equal counts together.

        Half a record of mean size with nothing right and half a one with all right are mixed into what replicates are
        drawn from, as for labels: otherwise 30 records without an error would have an interval of no width.
        """
        rows, counts = np.unique(table, axis=0, return_counts=True)
        size = table[:, 1:].mean() if table[:, 1:].any() else 0.0
        ends = np.array([[0.0, size, size], [size, size, size]])
        return cls(
            np.concatenate([rows, ends]),
            np.concatenate([counts.astype(np.float64), [0.0, 0.0]]),
            np.concatenate([np.zeros(len(rows)), [0.5, 0.5]]),
        )


def _table(compared: Sequence[Compared], way: str) -> Array:
    counts = [one.counts[way] for one in compared]
    return np.array([(one.hits, one.given, one.gold) for one in counts], dtype=np.float64)


def _ratio(above: Array, below: Array) -> Statistic:
    return lambda weights: (weights @ above) / (weights @ below)


def _mean_of(values: Array) -> Statistic:
    return lambda weights: weights @ values / weights.sum(axis=1)


def _macro(compared: Sequence[Compared], resampling: Resampling) -> Measured:
    """Return the mean of the labels' F1, over the labels that occur in gold or in the answers."""
    labels = sorted({label for one in compared for label, each in one.per_label.items() if each.given or each.gold})
    if not 1 < len(labels) <= _MOST_LABELS:
        return Measured()
    none = Counts(0, 0, 0)
    found = [[one.per_label.get(label, none) for label in labels] for one in compared]
    hits = np.array([[each.hits for each in row] for row in found], dtype=np.float64)
    sizes = np.array([[each.given + each.gold for each in row] for row in found], dtype=np.float64)
    # Smoothed as the pooled figures are: half a mean record with nothing right, and half a one with all right.
    mean, records = sizes.mean(axis=0), len(compared)
    hits, sizes = np.vstack([hits, 0 * mean, mean / 2]), np.vstack([sizes, mean, mean])
    counts, smoothing = np.ones(records + 2), np.zeros(records + 2)
    counts[records:], smoothing[records:] = 0.0, 0.5

    def macro(weights: Array) -> Array:
        size = weights @ sizes
        f1 = 2 * (weights @ hits) / np.where(size > 0, size, np.nan)
        return np.where(np.isnan(f1), 0, f1).sum(axis=1) / (~np.isnan(f1)).sum(axis=1)

    metric = Metric("macro_f1", macro, f"mean of the F1 of the {len(labels)} labels that occur", "no label occurs")
    return bootstrap([metric], counts, resampling=resampling, smoothing=smoothing)


def _averaged(compared: Sequence[Compared], resampling: Resampling) -> Measured:
    """Return the mean of each score over the records that have it; of scores that are 0 or 1, an exact interval."""
    measured = Measured()
    for name in dict.fromkeys(name for one in compared for name in one.scores):
        values = np.array([one.scores[name] for one in compared if name in one.scores], dtype=np.float64)
        some = "" if len(values) == len(compared) else f", over the {len(values):,} that have it"
        if np.isin(values, (0.0, 1.0)).all():
            how = f"share of annotated gold records with this score{some}"
            measured += Measured({name: share(int(values.sum()), len(values), level=resampling.level, how=how)})
        else:
            metric = Metric(name, _mean_of(values), f"mean over annotated gold records{some}", "no record has it")
            measured += bootstrap([metric], np.ones(len(values)), resampling=resampling)
    return measured


def _whole(right: npt.NDArray[np.bool_], gold: int, level: float) -> Measured:
    """Return the share of records that are wholly right, and what it could be over all gold records."""
    exact = share(
        int(right.sum()), len(right), level=level, how="share of annotated gold records whose whole answer is gold's"
    )
    return Measured({"exact_match": exact}) + _bounds(int(right.sum()), len(right), gold, level)


def _bounds(hits: int, n: int, gold: int, level: float) -> Measured:
    """Return what the exact match of `n` answers could be over all gold records (Manski 2003)."""
    low = share(hits, gold, level=level, how="exact match if every missing annotation were wrong")
    high = share(hits + gold - n, gold, level=level, how="exact match if every missing annotation were right")
    return Measured({"exact_match_lower_bound": low, "exact_match_upper_bound": high})


def _with_missing(compared: Sequence[Compared], missing: Sequence[Compared], resampling: Resampling) -> Measured:
    """Return F1 over all gold records: in one without an annotation nothing was found."""
    measured = Measured()
    for way in compared[0].counts:
        unfound = _table(missing, way).reshape(-1, 3) * (0, 0, 1)
        cells = _Cells.of(np.concatenate([_table(compared, way), unfound]))
        hits, given, gold = cells.values.T
        how = (
            f"F1 of all parts of all gold records, by the match {way!r}; nothing is found where there is no annotation"
        )
        metric = Metric(f"{way}_f1_all", _ratio(2 * hits, given + gold), how, _NONE)
        measured += bootstrap([metric], cells.counts, resampling=resampling, smoothing=cells.smoothing)
    return measured


def _texts_with_missing(compared: Sequence[Compared], missing: Sequence[Compared], resampling: Resampling) -> Measured:
    """Return how near texts come to gold over all gold records: one without an annotation has nothing in common."""
    hits = sum(int(one.scores["exact_match"]) for one in compared)
    measured = _bounds(hits, len(compared), len(compared) + len(missing), resampling.level)
    for name in texts.NEARNESS:
        given = [one.scores[name] for one in compared if name in one.scores]
        # Gold beside itself has the scores that the record can have.
        values = np.array(given + [0.0 for one in missing if name in one.scores], dtype=np.float64)
        how = "over all gold records; 0 where there is no annotation"
        if not given:
            continue
        if np.isin(values, (0.0, 1.0)).all():
            found = share(int(values.sum()), len(values), level=resampling.level, how=f"share with this score {how}")
            measured += Measured({f"{name}_all": found})
        else:
            metric = Metric(f"{name}_all", _mean_of(values), f"mean {how}", "no record has it")
            measured += bootstrap([metric], np.ones(len(values)), resampling=resampling)
    return measured


def _nothing_to_find(compared: Sequence[Compared], level: float) -> Measured:
    """Return how often an annotator that answers nothing would be right; its F1 is 0."""
    counts = [list(one.counts.values()) for one in compared]
    if not any(counts):
        return Measured()
    empty = sum(not any(each.gold for each in one) for one in counts)
    how = "exact match of answering nothing, which has an F1 of 0: share of annotated gold records with nothing to find"
    return Measured({"empty_baseline": share(empty, len(compared), level=level, how=how)})


def _per_label(task: Task, compared: Sequence[Compared], level: float) -> dict[str, dict[str, Estimate]]:
    """Return precision, recall and F1 of each label, in the task's order; what is undefined is left out."""
    pooled: dict[str, Array] = {}
    for one in compared:
        for label, each in one.per_label.items():
            pooled[label] = pooled.get(label, np.zeros(3)) + np.array([each.hits, each.given, each.gold])
    place = {label: at for at, label in enumerate(task.labels)}
    order = sorted(pooled, key=lambda label: (place.get(label, len(place)), label))
    return {label: found for label in order if (found := _figures(*map(float, pooled[label]), level=level))}


def _confusion(task: Task, pairs: Iterable[tuple[Answer, Answer]]) -> Confusion | None:
    """Return how often the arguments of each role were given another; `None` where roles are no label set, or none is.

    One more label stands for an argument that was missed, as an answer, and for one that was made up, as gold.
    """
    if not isinstance(task, Roles) or task.questions:
        return None
    found: Counter[tuple[str, str]] = Counter()
    for gold, given in pairs:
        found.update(frames.role_confusion(gold, given))
    occur = {role for pair in found for role in pair}
    roles = [role for role in task.labels if len(task.labels) <= _MOST_LABELS or role in occur]
    cells = [(one or _NO_PART, other or _NO_PART) for one, other in found.elements()]
    if not cells:
        return None
    return Confusion.of([*roles, _NO_PART], gold=[one for one, _ in cells], given=[other for _, other in cells])


def _figures(hits: float, given: float, gold: float, *, level: float) -> dict[str, Estimate]:
    """Return the figures of one label, with exact intervals that have a width even where all is right.

    F1 = 2J / (1 + J) grows with the share J of hits among all parts that are given or in gold, as for labels.
    """
    found: dict[str, Estimate] = {}
    for name, trials, how in (
        ("precision", given, "share of the parts with this label that gold confirms"),
        ("recall", gold, "share of gold's parts with this label that were given"),
        ("f1", gold + given - hits, "harmonic mean of precision and recall"),
    ):
        if not trials > 0:
            continue
        low, high = (float(end) for end in clopper_pearson(hits, trials, level=level))
        value = hits / trials
        if name == "f1":
            value, low, high = (2 * part / (1 + part) for part in (value, low, high))
        words = f"{how}; exact interval (Clopper-Pearson), parts taken as independent"
        found[name] = Estimate(value, low, high, level, round(trials), words)
    return found


def _difference_in_f1(one: Array, two: Array, how: str, resampling: Resampling) -> Estimate | None:
    """Return the paired difference; replicates are smoothed by half a record on which each alone is right."""
    rows, counts = np.unique(np.concatenate([one, two], axis=1), axis=0, return_counts=True)
    size = float(np.concatenate([one[:, 1:], two[:, 1:]]).mean())
    ends = np.array([[size, size, size, 0, size, size], [0, size, size, size, size, size]])
    hits, given, gold, other_hits, other_given, other_gold = np.concatenate([rows, ends]).T

    def gain(weights: Array) -> Array:
        return 2 * (
            (weights @ hits) / (weights @ (given + gold))
            - (weights @ other_hits) / (weights @ (other_given + other_gold))
        )

    metric = Metric("difference", gain, f"paired {how}", _NONE)
    counts = np.concatenate([counts.astype(np.float64), [0.0, 0.0]])
    smoothing = np.concatenate([np.zeros(len(rows)), [0.5, 0.5]])
    return bootstrap([metric], counts, resampling=resampling, smoothing=smoothing).estimates.get("difference")
