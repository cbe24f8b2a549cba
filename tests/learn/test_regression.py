"""Logistic regression on soft targets."""

import sys
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from postil.errors import MissingExtraError
from postil.learn.regression import fit, softmax


def drawn(rows: int, columns: int, labels: int, *, rng: np.random.Generator, sure: float = 3.0) -> tuple[Any, Any]:
    """Return features of length 1 and the true distributions that follow from them."""
    features = rng.normal(size=(rows, columns))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features, softmax(features @ rng.normal(size=(columns, labels)) * sure)


@pytest.mark.parametrize(("rows", "columns"), [(19, 4), (19, 40)])
def test_soft_targets_equal_weighted_rows_in_the_reference_implementation(rows: int, columns: int):
    features, targets = drawn(rows, columns, 3, rng=np.random.default_rng(3))
    found = fit(features, targets, groups=np.arange(rows), rng=np.random.default_rng(0))
    reference = LogisticRegression(C=1.0, tol=1e-8, max_iter=5000)
    reference.fit(np.repeat(features, 3, axis=0), np.tile(range(3), rows), sample_weight=targets.ravel())
    assert (found.strength, found.scale) == (1.0, 1.0)
    odds = softmax(found.coefficients.scores(features))
    assert odds == pytest.approx(reference.predict_proba(features), abs=2e-3)


def test_probabilities_come_near_the_truth_and_order_does_not_matter():
    rng = np.random.default_rng(7)
    features, truth = drawn(900, 6, 3, rng=rng)
    found = fit(features[:600], truth[:600], groups=np.arange(600), rng=np.random.default_rng(0))
    odds = softmax(found.coefficients.scores(features[600:]))
    assert np.abs(odds - truth[600:]).mean() < 0.02


def test_noise_is_answered_with_doubt():
    rng = np.random.default_rng(11)
    features, _ = drawn(400, 30, 2, rng=rng)
    noise = np.eye(2)[rng.integers(2, size=400)]
    found = fit(features, noise, groups=np.arange(400), rng=np.random.default_rng(0))
    odds = softmax(found.coefficients.scores(features))
    assert odds.max(axis=1).mean() < 0.6


def test_repeated_rows_do_not_pass_for_evidence():
    # The same 40 rows with random labels five times over: with copies in other folds, memory would look like skill.
    rng = np.random.default_rng(5)
    features, _ = drawn(40, 30, 2, rng=rng)
    noise = np.eye(2)[rng.integers(2, size=40)]
    repeated = np.tile(features, (5, 1)), np.tile(noise, (5, 1))
    together = fit(*repeated, groups=np.tile(np.arange(40), 5), rng=np.random.default_rng(0))
    apart = fit(*repeated, groups=np.arange(200), rng=np.random.default_rng(0))
    sure = [softmax(found.coefficients.scores(features)).max(axis=1).mean() for found in (together, apart)]
    assert sure[0] < 0.75
    assert sure[1] > 0.9


def test_features_that_say_nothing_give_the_shares():
    targets = np.eye(2)[(np.arange(100) % 4 == 0).astype(int)]
    found = fit(np.zeros((100, 8)), targets, groups=np.arange(100), rng=np.random.default_rng(0))
    assert softmax(found.coefficients.scores(np.zeros((1, 8))))[0] == pytest.approx([0.75, 0.25], abs=0.01)


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtraError, match="assess"):
        fit(np.eye(4), np.eye(4), groups=np.arange(4), rng=np.random.default_rng(0))
