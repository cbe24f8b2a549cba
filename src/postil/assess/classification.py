"""Metrics of labels: equal or not, or alike by their paths (survey 2.30).

All are made from the confusion, and all leave out records without an annotation: `assessment` says what those could do.
"""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from postil.assess.agreement import kappa_of
from postil.assess.confusion import Confusion
from postil.assess.intervals import Array, Measured, Metric, Resampling, bootstrap, clopper_pearson, share
from postil.tasks.reading import clip
from postil.types import Estimate

__all__ = ["bounds", "hierarchy", "label_metrics", "per_label"]

_MOST_LABELS = 100
"""With more labels only the fields of the confusion that hold a record are resampled: the others would take minutes."""


def label_metrics(confusion: Confusion, *, resampling: Resampling) -> Measured:
    """Return accuracy, the F1 means, Cohen's kappa and the baseline of the most frequent label.

    F1 means are over the labels that occur in gold or as answers, as in scikit-learn.
    """
    n, right, level = confusion.n, confusion.right, resampling.level
    seen = confusion.seen()
    metrics = _f1_means(seen)
    beyond_chance = Metric(
        "cohen_kappa",
        kappa_of(1 - np.eye(len(seen.labels))),
        "agreement with gold beyond chance (Cohen 1960)",
        "only one label occurs, so agreement by chance is certain",
    )
    if len(seen.labels) > _MOST_LABELS:
        drawn = _of_many_labels(seen, [*metrics, beyond_chance], resampling)
    else:
        drawn = bootstrap(
            [*metrics, beyond_chance], seen.counts.ravel(), resampling=resampling, smoothing=seen.smoothing()
        )
    if len(seen.labels) == 1:
        drawn = _of_one_label(metrics, seen, drawn, level)
    accuracy = share(right, n, level=level, how="share of annotated gold records answered with their gold label")
    micro = share(right, n, level=level, how="F1 over all decisions together: with one label a record, the accuracy")
    return (
        Measured({"accuracy": accuracy})
        + drawn
        + Measured({"micro_f1": micro, "majority_baseline": _baseline(confusion, level)})
    )


def bounds(confusion: Confusion, *, gold: int, level: float) -> Measured:
    """Return what accuracy over all `gold` records could be, whatever the missing annotations are (Manski 2003).

    The lower bound counts a missing annotation as not right, so it is also the accuracy over all gold records.
    """
    right, missing = confusion.right, gold - confusion.n
    return Measured(
        {
            name: share(hits, gold, level=level, how=how)
            for name, hits, how in (
                ("accuracy_all", right, "share of all gold records answered with their gold label"),
                ("accuracy_lower_bound", right, "accuracy if every missing annotation were wrong"),
                ("accuracy_upper_bound", right + missing, "accuracy if every missing annotation were right"),
            )
        }
    )


def per_label(confusion: Confusion, *, level: float) -> dict[str, dict[str, Estimate]]:
    """Return precision, recall and F1 of each label, with exact intervals; what is undefined is left out.

    Given the number of records where a label occurs, its true positives are binomial, and F1 = 2J / (1 + J) grows
    with their share J: so F1, too, has an exact interval, which has a width even where every answer was right.
    """
    true = np.diagonal(confusion.counts)
    gold, given = confusion.counts.sum(axis=1), confusion.counts.sum(axis=0)
    parts = (
        ("precision", given, "share of the answers with this label that gold confirms"),
        ("recall", gold, "share of the gold records with this label that were answered so"),
        ("f1", gold + given - true, "harmonic mean of precision and recall"),
    )
    found: dict[str, dict[str, Estimate]] = {}
    for name, trials, how in parts:
        low, high = clopper_pearson(true, np.maximum(trials, 1), level=level)
        hit = true / np.maximum(trials, 1)
        if name == "f1":
            hit, low, high = (2 * part / (1 + part) for part in (hit, low, high))
        words = f"{how}; exact interval (Clopper-Pearson)"
        for at in np.flatnonzero(trials):
            estimate = Estimate(float(hit[at]), float(low[at]), float(high[at]), level, int(trials[at]), words)
            found.setdefault(confusion.labels[at], {})[name] = estimate
    return {label: found[label] for label in confusion.labels if label in found}


def hierarchy(confusion: Confusion, *, separator: str, resampling: Resampling) -> Measured:
    """Return accuracy at each level of labels that are paths, and hierarchical F1 (Kiritchenko et al. 2006).

    Accuracy at level k is over the records whose gold path goes that deep. Hierarchical F1 counts every step of a path
    as a label of its own: "animal/dog" answered as "animal/cat" is half right.
    """
    seen = confusion.seen()
    cells = _Cells.of(seen) if len(seen.labels) > _MOST_LABELS else _Cells.all(seen)
    paths = [label.split(separator) for label in seen.labels]
    depths = np.array([len(path) for path in paths])
    shared = np.array([_shared(paths[one], paths[other]) for one, other in zip(cells.gold, cells.given, strict=True)])
    estimates: dict[str, Estimate] = {}
    for level in range(1, int(depths.max()) + 1):
        deep = depths[cells.gold] >= level
        if n := int(cells.counts[deep].sum()):
            right = int(cells.counts[deep & (shared >= level)].sum())
            how = f"share of gold records answered rightly down to level {level} of their path"
            estimates[f"accuracy_level_{level}"] = share(right, n, level=resampling.level, how=how)
    both = depths[cells.gold] + depths[cells.given]

    def hierarchical_f1(weights: Array) -> Array:
        return 2 * (weights @ shared) / (weights @ both)

    metric = Metric("hierarchical_f1", hierarchical_f1, "F1 over all steps of the paths (Kiritchenko et al. 2006)", "")
    return Measured(estimates) + bootstrap([metric], cells.counts, resampling=resampling, smoothing=cells.smoothing)


@dataclass(frozen=True, slots=True, eq=False)
class _Cells:
    """Fields of a confusion as a list, with the record that smooths them."""

    gold: npt.NDArray[np.int64]
    given: npt.NDArray[np.int64]
    counts: Array
    smoothing: Array

    @classmethod
    def all(cls, seen: Confusion) -> "_Cells":
        """List every field."""
        gold, given = np.indices(seen.counts.shape)
        return cls(gold.ravel(), given.ravel(), seen.counts.ravel().astype(np.float64), seen.smoothing())

    @classmethod
    def of(cls, seen: Confusion) -> "_Cells":
        """List the fields that hold a record: of many labels most fields hold none, and would cost the most.

        Smoothing puts half a record on the diagonal, and the wrong half where each label is answered by the next.
        """
        gold, given = np.nonzero(seen.counts)
        each = np.arange(len(seen.labels))
        return cls(
            np.concatenate([gold, each, each]),
            np.concatenate([given, each, np.roll(each, -1)]),
            np.concatenate([seen.counts[gold, given].astype(np.float64), np.zeros(2 * len(each))]),
            np.concatenate([np.zeros(len(gold)), np.full(2 * len(each), 0.5 / len(each))]),
        )


def _of_many_labels(seen: Confusion, metrics: list[Metric], resampling: Resampling) -> Measured:
    """Return the F1 means and kappa from the fields of the confusion that hold a record."""
    cells, size = _Cells.of(seen), len(seen.labels)
    right = cells.gold == cells.given

    def sums(weights: Array) -> tuple[Array, Array, Array]:
        """Return for each label its records in gold, those that are right, and those answered by it."""
        return (
            _by_label(weights, cells.gold, size),
            _by_label(weights * right, cells.gold, size),
            _by_label(weights, cells.given, size),
        )

    def f1(weights: Array) -> tuple[Array, Array]:
        gold, true, given = sums(weights)
        return 2 * true / np.where(gold + given > 0, gold + given, np.nan), gold

    def macro(weights: Array) -> Array:
        return np.nanmean(f1(weights)[0], axis=1)

    def weighted(weights: Array) -> Array:
        means, gold = f1(weights)
        return (np.nan_to_num(means) * gold).sum(axis=1) / gold.sum(axis=1)

    def kappa(weights: Array) -> Array:
        gold, true, given = sums(weights)
        n = weights.sum(axis=1)
        by_chance = (gold * given).sum(axis=1) / n**2
        return 1 - (1 - true.sum(axis=1) / n) / (1 - by_chance)

    made = [replace(metric, statistic=each) for metric, each in zip(metrics, (macro, weighted, kappa), strict=True)]
    return bootstrap(made, cells.counts, resampling=resampling, smoothing=cells.smoothing)


def _by_label(weights: Array, labels: npt.NDArray[np.int64], size: int) -> Array:
    """Return the sums of the columns of each label: (replicates, labels)."""
    order = np.argsort(labels, kind="stable")
    found, starts = np.unique(labels[order], return_index=True)
    totals = np.zeros((len(weights), size))
    totals[:, found] = np.add.reduceat(weights[:, order], starts, axis=1)
    return totals


def _f1_means(seen: Confusion) -> list[Metric]:
    size = len(seen.labels)

    def f1_and_gold(weights: Array) -> tuple[Array, Array]:
        cells = weights.reshape(-1, size, size)
        gold = cells.sum(axis=2)
        occurs = gold + cells.sum(axis=1)
        return 2 * np.diagonal(cells, axis1=1, axis2=2) / np.where(occurs > 0, occurs, np.nan), gold

    def macro(weights: Array) -> Array:
        f1, _ = f1_and_gold(weights)
        return np.where(np.isnan(f1), 0, f1).sum(axis=1) / (~np.isnan(f1)).sum(axis=1)

    def weighted(weights: Array) -> Array:
        f1, gold = f1_and_gold(weights)
        return (np.where(np.isnan(f1), 0, f1) * gold).sum(axis=1) / gold.sum(axis=1)

    return [
        Metric("macro_f1", macro, f"mean of the F1 of the {size} labels that occur", "no record"),
        Metric(
            "weighted_f1", weighted, f"mean of the F1 of {size} labels, weighted by their gold records", "no record"
        ),
    ]


def _of_one_label(metrics: list[Metric], seen: Confusion, drawn: Measured, level: float) -> Measured:
    """Return the F1 means where all is one label: its own F1, whose interval is exact and has a width."""
    only = per_label(seen, level=level)[seen.labels[0]]["f1"]
    estimates = {metric.name: only for metric in metrics}
    kept = (f"only the label {clip(seen.labels[0], 40)!r} occurs, in gold and as answer: macro_f1 is its F1",)
    return Measured(estimates, (*(note for note in drawn.notes if "cohen_kappa" in note), *kept))


def _baseline(confusion: Confusion, level: float) -> Estimate:
    gold = confusion.counts.sum(axis=1)
    most = int(gold.argmax())
    how = f"accuracy of answering always {clip(confusion.labels[most], 40)!r}, the most frequent gold label"
    return share(int(gold[most]), confusion.n, level=level, how=how)


def _shared(one: list[str], other: list[str]) -> int:
    """Return how many steps two paths share from the root."""
    steps = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        steps += 1
    return steps
