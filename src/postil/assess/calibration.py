"""Whether confidence is true: how often annotations of a confidence are right (survey 0.03, B.11)."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Any

import numpy as np
import numpy.typing as npt

from postil.assess.intervals import Array, Measured, Metric, Resampling, Statistic, blocks, bootstrap, share, special
from postil.types import Annotation, Estimate, ReliabilityBin

__all__ = ["Calibration", "calibration"]

_MOST_BINS = 10
_LEAST_PROBABILITY = 1e-15
"""What log loss takes for 0: the surprise at an event called impossible would be infinite."""
_FEW = 200
_UNRANKED = "auroc is undefined: all annotations with confidence are right, or all are wrong"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What confidence is worth."""

    measured: Measured = field(default_factory=Measured)
    reliability: tuple[ReliabilityBin, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class _Sure:
    """Confidences, and whether the annotations that carry them were right."""

    confidence: Array
    right: Array
    bins: npt.NDArray[np.int64]

    def inside(self) -> Array:
        """Return which bin each annotation is in, as (annotations, bins) of 0 and 1."""
        return np.equal.outer(self.bins, np.arange(self.bins.max() + 1)).astype(np.float64)


def calibration(
    annotations: Sequence[Annotation],
    *,
    right: Sequence[bool] | npt.NDArray[np.bool_],
    gold: Sequence[str] | None,
    resampling: Resampling,
) -> Calibration:
    """Return ECE, AUROC, Brier score and log loss of annotations whose rightness is known.

    The scores are of the probabilities over the labels where annotations carry them and `gold` names the label;
    otherwise of confidence as the probability of being right. Missing confidence is left out and counted, never 1.0.
    """
    usable = [at for at, one in enumerate(annotations) if _confidence(one) is not None]
    likely = [at for at, one in enumerate(annotations) if gold is not None and _distribution(one) is not None]
    if not usable and not likely:
        return Calibration(Measured(notes=("no annotation carries confidence: its calibration is unknown",)))
    notes = _missing(annotations, usable)
    hits = np.asarray(right, dtype=np.float64)
    sure = _sure(np.array([_confidence(annotations[at]) for at in usable], dtype=np.float64), hits[usable])
    measured = Measured()
    if usable:
        measured += _confidence_metrics(sure, resampling)
    if likely and gold is not None and len(likely) >= len(usable):
        measured += _scores_of_probabilities(
            [annotations[at] for at in likely], [gold[at] for at in likely], resampling
        )
    else:
        measured += _scores_of_confidence(sure, resampling)
    return Calibration(measured + Measured(notes=notes), _reliability(sure, resampling.level))


def _confidence(annotation: Annotation) -> float | None:
    value = annotation.confidence.value if annotation.confidence is not None else None
    return value if value is not None and 0 <= value <= 1 else None


def _distribution(annotation: Annotation) -> Mapping[str, float] | None:
    """Return an annotation's probabilities if they are probabilities."""
    shares = annotation.probabilities
    if not shares or not all(0 <= value <= 1 for value in shares.values()):
        return None
    return shares if abs(sum(shares.values()) - 1) < 0.01 else None


def _missing(annotations: Sequence[Annotation], usable: Sequence[int]) -> tuple[str, ...]:
    notes: list[str] = []
    if without := len(annotations) - len(usable):
        notes.append(
            f"{without:,} of {len(annotations):,} annotations carry no usable confidence and say nothing of it"
        )
    kinds = Counter(one.confidence.kind for at in usable if (one := annotations[at]).confidence is not None)
    if len(kinds) > 1:
        mixed = ", ".join(f"{kind} ({n:,})" for kind, n in sorted(kinds.items()))
        notes.append(f"confidences of several kinds are measured together: {mixed}")
    return tuple(notes)


def _sure(confidence: Array, right: Array) -> _Sure:
    """Put annotations into bins of about equal size, the cube root of their number; equal confidences stay together."""
    if len(confidence) == 0:
        return _Sure(confidence, right, np.zeros(0, dtype=np.int64))
    wanted = max(1, min(_MOST_BINS, round(len(confidence) ** (1 / 3))))
    edges = np.unique(np.quantile(confidence, np.arange(1, wanted) / wanted))
    _, bins = np.unique(np.searchsorted(edges, confidence, side="right"), return_inverse=True)
    return _Sure(confidence, right, bins)


def _reliability(sure: _Sure, level: float) -> tuple[ReliabilityBin, ...]:
    found: list[ReliabilityBin] = []
    for index in range(int(sure.bins.max(initial=-1)) + 1):
        inside = sure.bins == index
        right = share(
            int(sure.right[inside].sum()), int(inside.sum()), level=level, how="share of the bin that is right"
        )
        found.append(ReliabilityBin(float(sure.confidence[inside].mean()), right))
    return tuple(found)


def _confidence_metrics(sure: _Sure, resampling: Resampling) -> Measured:
    bins = int(sure.bins.max()) + 1
    how = f"mean gap between confidence and share right in {bins} bins of equal mass, corrected for its bias"
    gap = Metric("ece", _ece_of(sure), how, "", skewed=False)
    measured = bootstrap([gap], np.ones(len(sure.right)), resampling=resampling)
    ece, notes = _down_to_zero(measured.estimates["ece"], sure, resampling)
    auroc = _auroc(sure, resampling.level)
    ranked = Measured({"auroc": auroc}) if auroc else Measured(notes=(_UNRANKED,))
    return Measured({"ece": ece}, notes) + ranked + Measured(notes=_doubts(sure, auroc))


def _doubts(sure: _Sure, auroc: Estimate | None) -> tuple[str, ...]:
    if np.ptp(sure.confidence) == 0:
        return (f"confidence is always {sure.confidence[0]:g}: it cannot tell right from wrong",)
    if auroc is not None and auroc.low <= 0.5:
        return ("confidence is not shown to tell right from wrong: the interval of auroc reaches 0.5",)
    return ()


def _down_to_zero(ece: Estimate, sure: _Sure, resampling: Resampling) -> tuple[Estimate, tuple[str, ...]]:
    """Return ECE with an interval that reaches 0 unless perfect calibration is refuted (Vaicenavicius et al. 2019).

    Replicates of a mean of absolute gaps stay away from 0 even when every true gap is 0, so 0 is tested for itself:
    by annotations that are right exactly as often as their confidence says.
    """
    chance = _ece_by_chance(sure, resampling)
    limit = float(np.quantile(chance, (1 + resampling.level) / 2))
    n = len(sure.right)
    refuted = ece.value > limit
    low = ece.low if refuted else 0.0
    changed = Estimate(ece.value, low, ece.high, ece.level, ece.n, f"{ece.method}; 0 tested by simulation")
    if refuted and n >= _FEW:
        return changed, ()
    return changed, (f"with {n:,} annotations, chance alone gives a perfect confidence an ece of up to {limit:.3f}",)


def _ece_by_chance(sure: _Sure, resampling: Resampling) -> Array:
    """Return the ECE of replicates in which confidence is the true probability of being right."""
    inside, n = sure.inside(), len(sure.right)
    values = np.empty(resampling.replicates)
    for rows in blocks(resampling.replicates, n):
        miss = (resampling.rng.random((rows.stop - rows.start, n)) < sure.confidence) - sure.confidence
        values[rows] = _corrected(inside.sum(axis=0), miss @ inside, miss**2 @ inside)
    return values


def _ece_of(sure: _Sure) -> Statistic:
    inside, miss = sure.inside(), sure.right - sure.confidence
    gaps, squares = inside * miss[:, None], inside * (miss**2)[:, None]
    return lambda weights: _corrected(weights @ inside, weights @ gaps, weights @ squares)


def _corrected(n: Array, gaps: Array, squares: Array) -> Array:
    """Return the expected calibration error, less what chance adds to it, from sums by bin (Kumar et al. 2019).

    A bin's gap g is observed with an error of deviation s, and E|N(g, s)| exceeds |g|: that excess, estimated at the
    observed gap, is taken off each bin.
    """
    below: Any = special().ndtr
    filled = np.maximum(n, 1e-12)
    gap = np.abs(gaps) / filled
    s = np.sqrt(np.maximum(squares / filled - gap**2, 1e-24) / np.maximum(n - 1, 1))
    z = gap / s
    folded = s * np.sqrt(2 / np.pi) * np.exp(-(z**2) / 2) + gap * (1 - 2 * below(-z))
    return np.maximum((n * (2 * gap - folded)).sum(axis=-1) / n.sum(axis=-1), 0)


def _auroc(sure: _Sure, level: float) -> Estimate | None:
    """Return the area under the ROC curve with the interval of Newcombe (2006, method 5); ties count half.

    A bootstrap would be far too narrow where only a handful of annotations are wrong, which is what one hopes for.
    """
    levels, at = np.unique(sure.confidence, return_inverse=True)
    right = np.bincount(at, weights=sure.right, minlength=len(levels))
    wrong = np.bincount(at, weights=1 - sure.right, minlength=len(levels))
    pairs, n = right.sum() * wrong.sum(), len(at)
    if pairs == 0:
        return None
    value = float(right @ (np.cumsum(wrong) - wrong / 2) / pairs)
    z = NormalDist().inv_cdf((1 + level) / 2)

    def outside(area: float) -> bool:
        spread = n - 1 - 3 * (n / 2 - 1) / ((2 - area) * (1 + area))
        return (value - area) ** 2 > z**2 * area * (1 - area) * spread / pairs

    how = "probability that of a right and a wrong annotation the right one is the more confident"
    low, high = _edge(value, 0.0, outside), _edge(value, 1.0, outside)
    return Estimate(value, low, high, level, n, f"{how}; score interval (Newcombe 2006)")


def _edge(inside: float, far: float, outside: Callable[[float], bool]) -> float:
    """Return where an interval around `inside` ends on the way to `far`, by bisection."""
    if not outside(far):
        return far
    for _ in range(60):
        middle = (inside + far) / 2
        inside, far = (inside, middle) if outside(middle) else (middle, far)
    return inside


def _scores_of_probabilities(
    annotations: Sequence[Annotation], gold: Sequence[str], resampling: Resampling
) -> Measured:
    shares = [_distribution(one) or {} for one in annotations]
    at_gold = np.array([one.get(label, 0.0) for one, label in zip(shares, gold, strict=True)])
    squares = np.array([sum(value**2 for value in one.values()) for one in shares])
    squared = squares - at_gold**2 + (1 - at_gold) ** 2
    how = "squared error of the probabilities, summed over labels (Brier 1950; 0 to 2)"
    return _scores(squared, at_gold, how, "mean surprise at the gold label", resampling)


def _scores_of_confidence(sure: _Sure, resampling: Resampling) -> Measured:
    if len(sure.right) == 0:
        return Measured()
    at_truth = np.where(sure.right > 0, sure.confidence, 1 - sure.confidence)
    how = "squared error of confidence as the probability of being right (0 to 1)"
    return _scores((1 - at_truth) ** 2, at_truth, how, "mean surprise at right and wrong under confidence", resampling)


def _scores(squared: Array, at_truth: Array, how: str, surprise: str, resampling: Resampling) -> Measured:
    lost = -np.log(np.maximum(at_truth, _LEAST_PROBABILITY))
    metrics = [
        Metric("brier", lambda weights: weights @ squared / weights.sum(axis=1), f"mean {how}", ""),
        Metric("log_loss", lambda weights: weights @ lost / weights.sum(axis=1), f"{surprise}, in nats", ""),
    ]
    impossible = int(np.sum(at_truth < _LEAST_PROBABILITY))
    said = f"{impossible:,} annotations gave what is true a probability of 0; log_loss takes it for 1e-15"
    return bootstrap(metrics, np.ones(len(lost)), resampling=resampling) + Measured(notes=(said,) if impossible else ())
