"""Multinomial logistic regression on soft targets, with its strength and its confidence chosen by cross-validation.

It minimises the cross-entropy to the target distributions themselves, which equals expanding each text into one
weighted row for each label, without the expansion. scipy, of the extra `assess`, is needed to train and not to answer.
"""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from postil.errors import MissingExtraError

__all__ = ["Coefficients", "Fit", "fit", "softmax"]

Array = npt.NDArray[Any]

_STRENGTHS: Final = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
"""C: the weight of the texts against the penalty 1/(2C) * squared weights, as in LIBLINEAR and scikit-learn."""

_FOLDS: Final = 5
_FEWEST: Final = 4 * _FOLDS
_STRENGTH_OF_FEW: Final = 1.0
_COMPARED_ON: Final = 5000
_CLEARLY_WORSE: Final = 1.01
_WORTH_THREADS: Final = 20_000_000
"""Numbers in the features above which sharing a product among processor cores pays."""
_FLOOR: Final = 1e-4
"""Share of a uniform distribution mixed in before log loss is taken: one impossible label must not decide alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Coefficients:
    """What turns features into one number a label: `features @ weights + bias`."""

    weights: Array
    bias: Array

    def scores(self, features: Array) -> Array:
        """Return the numbers whose softmax is the probabilities."""
        return features @ self.weights + self.bias

    def scaled(self, factor: float) -> "Coefficients":
        """Return coefficients that are surer by a factor and choose the same labels."""
        return Coefficients(self.weights * factor, self.bias * factor)


@dataclass(frozen=True, slots=True, eq=False)
class Fit:
    """The coefficients, and what cross-validation chose for them."""

    coefficients: Coefficients
    strength: float
    scale: float
    """By how much the scores were multiplied so that out-of-fold probabilities are true: 1 / temperature."""


def softmax(scores: Array) -> Array:
    """Return probabilities along the rows."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def fit(features: Array, targets: Array, *, groups: Array, rng: np.random.Generator) -> Fit:
    """Return the regression of targets, one distribution a row, on features; no gold is looked at.

    Strength is the one with the least cross-validated log loss after its scores were rescaled (temperature scaling,
    Guo et al. 2017, arXiv 1706.04599): log loss as it comes prefers weights that are too large and choose worse. Rows
    of one group, such as equal texts, stay in one fold. Rows may weigh less or more than 1 by their sum.

    Raises:
        MissingExtraError: scipy is not installed.
    """
    _minimize()
    with nullcontext() if features.size > _WORTH_THREADS else _one_core():
        turned, back = _within_span(features)
        strength, scale = _cross_validated(turned, targets, groups, rng)
        found = _minimum(turned, targets, strength, None).scaled(scale)
        weights = found.weights if back is None else back @ found.weights
    return Fit(Coefficients(weights, found.bias), strength, scale)


def _within_span(features: Array) -> tuple[Array, Array | None]:
    """Return features in the axes that the rows span, and the way back: exact, and small where texts are few.

    The penalty is round, so the best weights lie in the span of the rows.
    """
    rows, columns = features.shape
    if rows >= columns:
        return features.astype(np.float32, copy=False), None
    wide = features.astype(np.float64)
    values, vectors = np.linalg.eigh(wide @ wide.T)
    kept = values > values.max(initial=0.0) * 1e-10
    lengths = np.sqrt(values[kept])
    return vectors[:, kept] * lengths, wide.T @ (vectors[:, kept] / lengths)


def _cross_validated(features: Array, targets: Array, groups: Array, rng: np.random.Generator) -> tuple[float, float]:
    if len(np.unique(groups)) < _FEWEST:
        return _STRENGTH_OF_FEW, 1.0
    chosen = np.sort(rng.permutation(len(targets))[:_COMPARED_ON])
    features, targets = features[chosen], targets[chosen]
    fold = _folds(targets, groups[chosen], rng)
    starts: list[Coefficients | None] = [None] * _FOLDS
    tried: list[tuple[float, float, float]] = []
    for strength in _STRENGTHS:
        scores = np.zeros(targets.shape)
        for at in range(_FOLDS):
            found = _minimum(features[fold != at], targets[fold != at], strength, starts[at])
            scores[fold == at] = found.scores(features[fold == at])
            starts[at] = found
        tried.append((*_truest_scale(scores, targets), strength))
        if tried[-1][0] > _CLEARLY_WORSE * min(tried)[0]:
            break
    _, scale, strength = min(tried)
    return strength, scale


def _folds(targets: Array, groups: Array, rng: np.random.Generator) -> Array:
    """Return the fold of each row: groups whole, the likeliest labels spread evenly."""
    _, first, member = np.unique(groups, return_index=True, return_inverse=True)
    order = np.lexsort((rng.permutation(len(first)), targets[first].argmax(axis=1)))
    fold = np.empty(len(first), np.int64)
    fold[order] = np.arange(len(first)) % _FOLDS
    return fold[member]


def _truest_scale(scores: Array, targets: Array) -> tuple[float, float]:
    """Return the least log loss that rescaled scores can have, and the scale."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - belongs to an extra, and is slow to load

    def loss(log_scale: float) -> float:
        odds = softmax(scores * np.exp(log_scale)) * (1 - _FLOOR) + _FLOOR / targets.shape[1]
        return float(-(targets * np.log(odds)).sum() / targets.sum())

    found = minimize_scalar(loss, bounds=(-3.0, 4.0), method="bounded")
    return float(found.fun), float(np.exp(found.x))


def _minimum(features: Array, targets: Array, strength: float, start: Coefficients | None) -> Coefficients:
    minimize = _minimize()
    rows, columns = features.shape
    labels = targets.shape[1]
    mass = targets.sum(axis=1, keepdims=True)
    precision = features.dtype

    def loss(flat: Array) -> tuple[float, Array]:
        at = flat.reshape(columns + 1, labels)
        scores = (features @ at[:-1].astype(precision) + at[-1].astype(precision)).astype(np.float64)
        highest = scores.max(axis=1, keepdims=True)
        log_odds = scores - highest - np.log(np.exp(scores - highest).sum(axis=1, keepdims=True))
        excess = np.exp(log_odds) * mass - targets
        slope = np.empty_like(at)
        slope[:-1] = features.T @ excess.astype(precision) + at[:-1] / strength
        slope[-1] = excess.sum(axis=0)
        value = -(targets * log_odds).sum() + (at[:-1] ** 2).sum() / (2 * strength)
        return float(value) / rows, slope.ravel() / rows

    origin = np.zeros((columns + 1, labels)) if start is None else np.vstack([start.weights, start.bias])
    options = {"maxiter": 300, "ftol": 1e-7, "gtol": 1e-4, "maxcor": 20}
    found = minimize(loss, origin.ravel(), jac=True, method="L-BFGS-B", options=options).x.reshape(origin.shape)
    return Coefficients(found[:-1], found[-1])


def _minimize() -> Any:
    try:
        from scipy.optimize import minimize  # noqa: PLC0415 - belongs to an extra, and is slow to load
    except ImportError:
        raise MissingExtraError("training a student", "assess") from None
    return minimize


def _one_core() -> AbstractContextManager[object]:
    """Keep small products on one core: shared among cores they take four times as long, mostly waiting."""
    try:
        from threadpoolctl import threadpool_limits  # noqa: PLC0415 - belongs to an extra
    except ImportError:
        return nullcontext()
    return threadpool_limits(1, user_api="blas")
