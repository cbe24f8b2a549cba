"""Two annotators on the same gold: is one better, or is it chance?"""

from collections.abc import Mapping, Sequence

import numpy as np

from postil.assess.intervals import Array, Metric, Resampling, bootstrap, special
from postil.assess.matching import Matched
from postil.assess.structures import difference
from postil.tasks import VALUE_SCALES, Task
from postil.types import Answer, Estimate, Outcome

__all__ = ["compare"]


def compare(
    task: Task,
    first: Mapping[str, Outcome],
    second: Mapping[str, Outcome],
    gold: Mapping[str, Answer],
    rng: np.random.Generator,
    *,
    level: float = 0.95,
    replicates: int = 2000,
) -> Estimate | None:
    """Return by how much the first annotator's accuracy exceeds the second's, on the gold records that both annotated.

    For ratings it is the difference in mean absolute error, so less than 0 is better for the first; for answers with
    parts, in the main F1 of the kind. An interval that contains 0 means that they cannot be told apart. `None` where
    no gold record has an annotation by both.

    Raises:
        GoldError: an answer in gold is outside the task.
        DataError: an annotation is.
    """
    resampling = Resampling(rng, level, replicates)
    one, two = Matched.of(task, first, gold), Matched.of(task, second, gold)
    both = sorted({*one.records} & {*two.records})
    if not both:
        return None
    on = f"on the {len(both):,} of {len(gold):,} gold records that both annotated"
    if task.scale not in VALUE_SCALES:
        answers = ([side.annotations[record].answer for record in both] for side in (one, two))
        return difference(task, [gold[record] for record in both], *answers, on=on, resampling=resampling)
    if task.scale == "interval":
        return _by_distance(one.values(both), two.values(both), one.gold_values(both), on, resampling)
    truth = one.gold_values(both)
    return _by_rightness(_right(one.values(both), truth), _right(two.values(both), truth), on, resampling)


def _right(values: Sequence[str | float], truth: Sequence[str | float]) -> Array:
    return np.array([value == true for value, true in zip(values, truth, strict=True)], dtype=np.float64)


def _by_rightness(one: Array, two: Array, on: str, resampling: Resampling) -> Estimate | None:
    """Replicates are smoothed by half a record in each of the four cells (Agresti and Min 2005)."""
    counts = np.bincount((2 * one + two).astype(np.int64), minlength=4)
    gain = np.array([0.0, -1.0, 1.0, 0.0])
    p = _mcnemar(int(counts[1]), int(counts[2]))
    how = f"difference in accuracy {on} (McNemar exact p = {p:.3g})"
    return _paired(gain, counts.astype(np.float64), how, resampling, smoothing=np.full(4, 0.5))


def _by_distance(
    one: Sequence[str | float],
    two: Sequence[str | float],
    truth: Sequence[str | float],
    on: str,
    resampling: Resampling,
) -> Estimate | None:
    first, second, gold = (np.array(values, dtype=np.float64) for values in (one, two, truth))
    gain = np.abs(first - gold) - np.abs(second - gold)
    return _paired(gain, np.ones(len(gain)), f"difference in mean absolute error {on}", resampling)


def _paired(
    gain: Array, counts: Array, how: str, resampling: Resampling, *, smoothing: Array | None = None
) -> Estimate | None:
    metric = Metric("difference", lambda weights: weights @ gain / weights.sum(axis=1), f"paired {how}", "")
    return bootstrap([metric], counts, resampling=resampling, smoothing=smoothing).estimates.get("difference")


def _mcnemar(only_second: int, only_first: int) -> float:
    """Return the probability of a split at least so uneven of the records where one alone is right (McNemar 1947)."""
    fewer, n = min(only_second, only_first), only_second + only_first
    return min(1.0, 2 * float(special().bdtr(fewer, n, 0.5))) if n else 1.0
