"""Metrics on a line agree with scipy and scikit-learn; gold may lie between the points."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as oracle

from postil.assess.confusion import Confusion
from postil.assess.intervals import Array, Measured, Resampling
from postil.assess.ratings import nearest, order_metrics, rating_metrics, spearman_of

POINTS = [1.0, 2.0, 3.0, 4.0, 5.0]
NAMES = ("很差", "差", "一般", "好", "很好")


def spearman(first: Array, second: Array) -> float:
    result: Any = stats.spearmanr(first, second)
    return float(result.statistic)


def resampling(seed: int = 0, replicates: int = 200) -> Resampling:
    return Resampling(np.random.default_rng(seed), 0.95, replicates)


def rated(n: int, noise: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Return gold between the points (a mean of four people) and ratings on them."""
    truth = rng.uniform(1, 5, size=n)
    people = np.clip(np.round(truth[:, None] + rng.normal(0, 0.7, size=(n, 4))), 1, 5)
    return people.mean(axis=1), np.clip(np.round(truth + rng.normal(0, noise, size=n)), 1, 5)


def measured(gold: Array, given: Array, *, on_points: bool = False) -> Measured:
    confusion = None
    if on_points:
        gold_names, given_names = ([NAMES[int(one) - 1] for one in side] for side in (gold, given))
        confusion = Confusion.of(NAMES, gold=gold_names, given=given_names)
    return rating_metrics(gold.tolist(), given.tolist(), points=POINTS, confusion=confusion, resampling=resampling())


def test_values_between_points_are_those_of_scipy_and_scikit_learn() -> None:
    gold, given = rated(150, 0.8, np.random.default_rng(1))
    made = measured(gold, given).estimates
    assert made["mae"].value == pytest.approx(oracle.mean_absolute_error(gold, given))
    assert made["rmse"].value == pytest.approx(oracle.root_mean_squared_error(gold, given))
    assert made["pearson"].value == pytest.approx(np.corrcoef(gold, given)[0, 1])
    assert made["spearman"].value == pytest.approx(spearman(gold, given))
    assert made["median_baseline_mae"].value == pytest.approx(np.abs(gold - np.median(gold)).mean())
    assert made["within_one"].value == np.mean(np.abs(gold - given) <= 1)
    assert "quadratic_kappa" not in made


def test_values_on_points_are_those_of_scipy_and_scikit_learn() -> None:
    gold, given = (np.round(side) for side in rated(150, 0.8, np.random.default_rng(2)))
    made = measured(gold, given, on_points=True).estimates
    assert made["mae"].value == pytest.approx(oracle.mean_absolute_error(gold, given))
    assert made["spearman"].value == pytest.approx(spearman(gold, given))
    expected = oracle.cohen_kappa_score(gold.astype(int), given.astype(int), weights="quadratic")
    assert made["quadratic_kappa"].value == pytest.approx(expected)
    assert made["exact_agreement"].value == np.mean(gold == given)


def test_ordered_labels_are_compared_by_rank_in_the_order_of_the_task() -> None:
    gold, given = (np.round(side).astype(int) for side in rated(120, 0.8, np.random.default_rng(3)))
    confusion = Confusion.of(NAMES, gold=[NAMES[at - 1] for at in gold], given=[NAMES[at - 1] for at in given])
    made = order_metrics(confusion, resampling=resampling()).estimates
    assert made["mean_absolute_error"].value == pytest.approx(np.mean(np.abs(gold - given)))
    assert made["quadratic_kappa"].value == pytest.approx(oracle.cohen_kappa_score(gold, given, weights="quadratic"))
    assert made["spearman"].value == pytest.approx(spearman(gold, given))


def test_a_label_that_never_occurs_still_counts_as_a_rank() -> None:
    confusion = Confusion.of(("low", "middle", "high"), gold=["low", "high"] * 5, given=["high", "high"] * 5)
    assert order_metrics(confusion, resampling=resampling()).estimates["mean_absolute_error"].value == 1


@given(st.integers(0, 2**32), st.integers(2, 30))
def test_weighting_pairs_is_repeating_them_for_rank_correlation(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    gold, given = rng.integers(0, 4, size=(2, n)).astype(np.float64)
    weights = rng.integers(0, 4, size=n)
    again = np.repeat(np.arange(n), weights)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = spearman_of(gold, given)(weights[None].astype(np.float64))[0] if len(again) else np.nan
    if len(np.unique(gold[again])) > 1 and len(np.unique(given[again])) > 1:
        assert value == pytest.approx(spearman(gold[again], given[again]))
    else:
        assert np.isnan(value)


def test_constant_ratings_have_no_correlation_and_that_is_said() -> None:
    gold, _ = rated(40, 1, np.random.default_rng(4))
    made = measured(gold, np.full(40, 3.0))
    assert {"pearson", "spearman"}.isdisjoint(made.estimates)
    assert {"mae", "rmse", "within_one", "exact_agreement"} <= made.estimates.keys()
    assert any(note.startswith("spearman is undefined") for note in made.notes)


def test_shuffled_gold_takes_correlation_to_zero() -> None:
    rng = np.random.default_rng(5)
    gold, given = rated(400, 0.3, rng)
    honest = measured(gold, given).estimates
    shuffled = measured(rng.permutation(gold), given).estimates
    assert honest["spearman"].low > 0.7
    assert shuffled["spearman"].low < 0 < shuffled["spearman"].high
    assert shuffled["mae"].low > honest["mae"].high


def test_intervals_between_points_cover_the_truth() -> None:
    rng = np.random.default_rng(6)
    gold, given = rated(200_000, 0.8, rng)
    truth = {"mae": np.mean(np.abs(gold - given)), "pearson": np.corrcoef(gold, given)[0, 1]}
    covered = dict.fromkeys(truth, 0)
    for _ in range(200):
        gold, given = rated(60, 0.8, rng)
        made = rating_metrics(gold.tolist(), given.tolist(), points=POINTS, confusion=None, resampling=resampling())
        for name, value in truth.items():
            covered[name] += bool(made.estimates[name].low <= value <= made.estimates[name].high)
    assert all(0.90 <= hits / 200 <= 0.99 for hits in covered.values()), covered


def test_no_error_seen_on_ordered_labels_is_not_certainty() -> None:
    confusion = Confusion.of(NAMES, gold=NAMES * 4, given=NAMES * 4)
    made = order_metrics(confusion, resampling=resampling(replicates=1000)).estimates
    assert made["mean_absolute_error"].value == 0
    assert made["mean_absolute_error"].high > 0.05
    assert made["quadratic_kappa"].low < 0.99


@pytest.mark.parametrize(
    ("gold", "given", "close"),
    [(4, 4, True), (4, 3, False), (3.5, 3, True), (3.5, 4, True), (3.6, 3, False), (3.6, 4, True)],
)
def test_a_rating_is_right_if_no_point_is_nearer_to_gold(gold: float, given: float, *, close: bool) -> None:
    assert nearest([gold], [given], points=POINTS).tolist() == [close]
