"""How far annotators concur beyond chance (survey 2.06)."""

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np

from postil.assess.confusion import Confusion
from postil.assess.intervals import Array, Measured, Metric, Resampling, Statistic, bootstrap
from postil.errors import DataError
from postil.tasks.reading import clip
from postil.types import Estimate

__all__ = ["cohen_kappa", "kappa_of", "krippendorff_alpha"]


def cohen_kappa(
    confusion: Confusion, *, resampling: Resampling, weights: Literal["linear", "quadratic"] | None = None
) -> Estimate | None:
    """Return the agreement of two annotators beyond chance (Cohen 1960, 1968); `None` where it is undefined.

    `weights` makes near misses count in part, by the distance of ranks in the order of the labels.
    """
    seen = confusion.seen()
    ranks = np.array([confusion.labels.index(label) for label in seen.labels], dtype=np.float64)
    apart = np.abs(ranks[:, None] - ranks)
    distances = {None: (apart > 0).astype(np.float64), "linear": apart, "quadratic": apart**2}[weights]
    how = f"Cohen's kappa, {weights or 'no'} weights"
    metric = Metric("kappa", kappa_of(distances), how, "only one label occurs")
    if confusion.n == 0:
        return None
    return bootstrap([metric], seen.counts.ravel(), resampling=resampling, smoothing=seen.smoothing()).estimates.get(
        "kappa"
    )


def kappa_of(distances: Array) -> Statistic:
    """Return the statistic 1 − observed / expected distance, over the cells of a confusion."""

    def kappa(weights: Array) -> Array:
        cells = weights.reshape(len(weights), *distances.shape)
        observed = np.einsum("bij,ij->b", cells, distances)
        expected = np.einsum("bi,ij,bj->b", cells.sum(axis=2), distances, cells.sum(axis=1), optimize=True)
        return 1 - observed * weights.sum(axis=1) / expected

    return kappa


def krippendorff_alpha(
    units: Sequence[Sequence[str | float | None]],
    *,
    resampling: Resampling,
    scale: Literal["nominal", "ordinal", "interval"] = "nominal",
    labels: Sequence[str | float] = (),
) -> Estimate | None:
    """Return the agreement of any number of annotators beyond chance (Krippendorff 2011), missing answers allowed.

    A unit is one record's answers, `None` where an annotator gave none; records with fewer than two answers are left
    out. `labels` gives the order on an ordinal scale (lowest first). Replicates are of records. `None` where it is
    undefined: no record has two answers, or all answers are one value. Undefined is never 1.

    Raises:
        DataError: a value is none of `labels`, or no number on an interval scale.
    """
    pairable = [kept for unit in units if len(kept := [value for value in unit if value is not None]) > 1]
    if not pairable:
        return None
    values = _values(pairable, scale, labels)
    at = {value: index for index, value in enumerate(values)}
    counts = np.zeros((len(pairable), len(values)))
    for row, unit in enumerate(pairable):
        for value in unit:
            counts[row, at[value]] += 1
    metric = Metric("alpha", _alpha_of(counts, scale, values), f"Krippendorff's alpha, {scale}", "one value only")
    measured: Measured = bootstrap([metric], np.ones(len(pairable)), resampling=resampling)
    return measured.estimates.get("alpha")


def _values(units: Sequence[Sequence[str | float]], scale: str, labels: Sequence[str | float]) -> list[str | float]:
    """Return the values that occur, in their order."""
    found = {value for unit in units for value in unit}
    if scale == "interval":
        if strange := sorted(value for value in found if isinstance(value, str)):
            raise DataError(f"expected numbers on an interval scale, got {clip(repr(strange[0]))}")
        return sorted(found, key=float)
    if scale == "ordinal":
        if strange := sorted(found - set(labels), key=str):
            raise DataError(f"expected one of {clip(repr(list(labels)))}, got {clip(repr(strange[0]))}")
        return [label for label in labels if label in found]
    return sorted(found, key=str)


def _alpha_of(counts: Array, scale: str, values: Sequence[str | float]) -> Statistic:
    """Return alpha as a statistic over units, from sums and squares, without the matrix of coincidences.

    For squared distances Σ c_k c_l (v_k − v_l)² = 2 (m Σ c v² − (Σ c v)²), so a unit costs its values, not their
    pairs. On an ordinal scale v is the mid-rank of a value among all answers, which changes with the replicate.
    """
    answers = counts.sum(axis=1)

    def nominal(weights: Array) -> Array:
        totals, n = weights @ counts, weights @ answers
        observed = weights @ ((answers**2 - (counts**2).sum(axis=1)) / (answers - 1))
        return 1 - observed * (n - 1) / (n**2 - (totals**2).sum(axis=1))

    def by_distance(weights: Array) -> Array:
        totals, n = weights @ counts, weights @ answers
        v = np.cumsum(totals, axis=1) - totals / 2 if scale == "ordinal" else _numbers(values, len(weights))
        v = v - ((totals * v).sum(axis=1) / n)[:, None]
        within = answers * (v**2 @ counts.T) - (v @ counts.T) ** 2
        observed = (weights * within / (answers - 1)).sum(axis=1)
        expected = n * (totals * v**2).sum(axis=1)
        return np.where((totals > 0).sum(axis=1) > 1, 1 - observed * (n - 1) / expected, np.nan)

    chosen: Callable[[Array], Array] = nominal if scale == "nominal" else by_distance
    return chosen


def _numbers(values: Sequence[str | float], rows: int) -> Array:
    return np.tile(np.array([float(value) for value in values]), (rows, 1))
