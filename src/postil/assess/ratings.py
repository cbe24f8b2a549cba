"""Metrics of answers that lie on a line: ordered labels by rank, ratings by distance (survey 2.30)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from postil.assess.agreement import kappa_of, krippendorff_alpha
from postil.assess.confusion import Confusion
from postil.assess.intervals import Array, Measured, Metric, Resampling, bootstrap, share
from postil.types import Answer, Estimate

__all__ = ["Pairs", "nearest", "order_metrics", "rater_metrics", "rating_metrics", "spearman_of"]

_CONSTANT = "gold or the answers are all the same"
_SAME = 1e-9
"""Ratings closer than this are equal: means of people's ratings carry rounding errors."""


@dataclass(frozen=True, slots=True, eq=False)
class Pairs:
    """Distinct pairs of gold and answer, as numbers, and how many records each stands for."""

    gold: Array
    given: Array
    counts: npt.NDArray[np.int64]
    smoothing: Array | None = None

    @classmethod
    def of_labels(cls, seen: Confusion, values: Sequence[float]) -> Self:
        """Take the cells of a confusion, whose labels have these values."""
        line, size = np.asarray(values, dtype=np.float64), len(seen.labels)
        return cls(np.repeat(line, size), np.tile(line, size), seen.counts.ravel(), seen.smoothing(ordered=True))

    @classmethod
    def of_numbers(cls, gold: Sequence[float], given: Sequence[float]) -> Self:
        """Take numbers that need not be points of a scale."""
        pairs, counts = np.unique(np.column_stack([gold, given]), axis=0, return_counts=True)
        return cls(pairs[:, 0], pairs[:, 1], counts)


def order_metrics(confusion: Confusion, *, resampling: Resampling) -> Measured:
    """Return the mean distance in ranks, quadratic kappa and Spearman's correlation of ordered labels."""
    seen = confusion.seen()
    ranks = [float(confusion.labels.index(label)) for label in seen.labels]
    pairs = Pairs.of_labels(seen, ranks)
    distance = Metric("mean_absolute_error", _mean_of(np.abs(pairs.gold - pairs.given)), "mean distance in ranks", "")
    metrics = [distance, _quadratic_kappa(ranks), _spearman(pairs)]
    return bootstrap(metrics, pairs.counts, resampling=resampling, smoothing=pairs.smoothing)


def rating_metrics(
    gold: Sequence[float],
    given: Sequence[float],
    *,
    points: Sequence[float],
    confusion: Confusion | None,
    resampling: Resampling,
) -> Measured:
    """Return how near ratings come to gold; `confusion` of the points is `None` where some lie between points."""
    close = nearest(gold, given, points=points)
    within = int(np.sum(np.abs(np.subtract(gold, given)) <= 1 + _SAME))
    n, level = len(gold), resampling.level
    agreement = share(int(close.sum()), n, level=level, how="share of ratings on the point of the scale nearest gold")
    one = share(within, n, level=level, how="share of ratings at most 1 from gold")
    drawn = _by_points(confusion, points, resampling) if confusion else _by_numbers(gold, given, resampling)
    return drawn + Measured({"exact_agreement": agreement, "within_one": one})


def rater_metrics(gold: Sequence[Answer], given: Sequence[float], *, resampling: Resampling) -> Measured:
    """Return how far the people behind gold agree, and how far they and the annotator do, as one rater more.

    Both are Krippendorff's alpha by distance, on the records whose gold kept the `votes` of several people; the first
    is what the second can be held against (survey 2.06). Nothing where no gold has votes.
    """
    rated = [(answer["votes"], mine) for answer, mine in zip(gold, given, strict=True) if "votes" in answer]
    units = [[*votes.values()] if isinstance(votes, Mapping) else [*votes] for votes, _ in rated]
    joined = [[*unit, mine] for unit, (_, mine) in zip(units, rated, strict=True)]
    found: dict[str, Estimate] = {}
    for name, each in (("raters_alpha", units), ("raters_alpha_with_annotator", joined)):
        alpha = krippendorff_alpha(each, resampling=resampling, scale="interval") if each else None
        if alpha is not None:
            found[name] = alpha
    return Measured(found)


def nearest(gold: Sequence[float], given: Sequence[float], *, points: Sequence[float]) -> npt.NDArray[np.bool_]:
    """Return for each rating whether no point of the scale is nearer to gold: equal, where gold is a point."""
    line = np.asarray(points, dtype=np.float64)
    best = np.abs(np.asarray(gold)[:, None] - line).min(axis=1)
    return np.abs(np.subtract(gold, given)) <= best + _SAME


def spearman_of(gold: Array, given: Array) -> Callable[[Array], Array]:
    """Return Spearman's rank correlation as a statistic over pairs; ranks are taken anew in every replicate."""
    rank_gold, rank_given = _mid_ranks_of(gold), _mid_ranks_of(given)

    def spearman(weights: Array) -> Array:
        return _correlation(weights, rank_gold(weights), rank_given(weights))

    return spearman


def _by_points(confusion: Confusion, points: Sequence[float], resampling: Resampling) -> Measured:
    seen = confusion.seen()
    value = dict(zip(confusion.labels, points, strict=True))
    values = [value[label] for label in seen.labels]
    pairs = Pairs.of_labels(seen, values)
    metrics = [*_distances(pairs), _quadratic_kappa(values)]
    return bootstrap(metrics, pairs.counts, resampling=resampling, smoothing=pairs.smoothing)


def _by_numbers(gold: Sequence[float], given: Sequence[float], resampling: Resampling) -> Measured:
    pairs = Pairs.of_numbers(gold, given)
    note = "gold or answers lie between the points of the scale: quadratic_kappa is left out"
    return bootstrap(_distances(pairs), pairs.counts, resampling=resampling) + Measured(notes=(note,))


def _distances(pairs: Pairs) -> list[Metric]:
    error = pairs.gold - pairs.given
    squared = _mean_of(error**2)
    middle = float(np.median(np.repeat(pairs.gold, pairs.counts)))
    return [
        Metric("mae", _mean_of(np.abs(error)), "mean distance from gold", ""),
        Metric("median_baseline_mae", _mean_of(np.abs(pairs.gold - middle)), "mae of always giving gold's median", ""),
        Metric("rmse", lambda weights: np.sqrt(squared(weights)), "root of the mean squared distance from gold", ""),
        _pearson(pairs),
        _spearman(pairs),
    ]


def _mean_of(values: Array) -> Callable[[Array], Array]:
    return lambda weights: weights @ values / weights.sum(axis=1)


def _quadratic_kappa(values: Sequence[float]) -> Metric:
    line = np.asarray(values, dtype=np.float64)
    how = "agreement with gold beyond chance, near misses count in part (Cohen 1968)"
    return Metric("quadratic_kappa", kappa_of((line[:, None] - line) ** 2), how, "only one value occurs")


def _spearman(pairs: Pairs) -> Metric:
    return Metric("spearman", spearman_of(pairs.gold, pairs.given), "Spearman's rank correlation", _CONSTANT)


def _pearson(pairs: Pairs) -> Metric:
    def pearson(weights: Array) -> Array:
        return _correlation(weights, pairs.gold, pairs.given)

    return Metric("pearson", pearson, "Pearson's correlation", _CONSTANT)


def _correlation(weights: Array, first: Array, second: Array) -> Array:
    """Return the correlation of weighted pairs, NaN where one side is constant."""
    total = weights.sum(axis=1, keepdims=True)
    a = first - (weights * first).sum(axis=1, keepdims=True) / total
    b = second - (weights * second).sum(axis=1, keepdims=True) / total
    spread_a, spread_b = (weights * a**2).sum(axis=1), (weights * b**2).sum(axis=1)
    varies = np.minimum(spread_a / np.max(first**2 + 1), spread_b / np.max(second**2 + 1)) > 1e-12
    return np.where(varies, (weights * a * b).sum(axis=1) / np.sqrt(spread_a * spread_b), np.nan)


def _mid_ranks_of(values: Array) -> Callable[[Array], Array]:
    """Return what gives every cell the mean rank of the records with its value, under given weights."""
    levels, at = np.unique(values, return_inverse=True)
    order = np.argsort(at, kind="stable")
    starts = np.searchsorted(at[order], np.arange(len(levels)))

    def mid_ranks(weights: Array) -> Array:
        mass = np.add.reduceat(weights[:, order], starts, axis=1)
        return (np.cumsum(mass, axis=1) - mass / 2)[:, at]

    return mid_ranks
