"""Intervals cover the truth as often as they say, whatever the statistic."""

import sys
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from postil.assess.intervals import Array, Metric, Resampling, blocks, bootstrap, clopper_pearson, share
from postil.errors import MissingExtraError, SettingsError


def mean_of(values: Array) -> Callable[[Array], Array]:
    return lambda weights: weights @ values / weights.sum(axis=1)


@given(st.integers(1, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))), st.sampled_from([0.8, 0.95]))
def test_the_exact_interval_is_scipys(hits_of_n: tuple[int, int], level: float) -> None:
    hits, n = hits_of_n
    oracle = binomtest(hits, n).proportion_ci(level, method="exact")
    estimate = share(hits, n, level=level, how="share")
    assert (estimate.low, estimate.high) == pytest.approx((oracle.low, oracle.high), abs=1e-9)
    assert estimate.low <= estimate.value <= estimate.high
    assert (estimate.n, estimate.level) == (n, level)


def test_an_exact_interval_has_a_width_even_where_all_are_right() -> None:
    low, high = clopper_pearson([0, 20], [20, 20], level=0.95)
    assert low == pytest.approx([0, 0.8316], abs=1e-3)
    assert high == pytest.approx([0.1684, 1], abs=1e-3)


@pytest.mark.parametrize(("n", "truth"), [(40, 0.9), (200, 0.5)])
def test_exact_intervals_cover_the_truth(n: int, truth: float) -> None:
    hits = np.random.default_rng(1).binomial(n, truth, size=2000)
    low, high = clopper_pearson(hits, np.full(2000, n), level=0.95)
    assert 0.94 <= np.mean((low <= truth) & (truth <= high)) <= 0.99


def test_bootstrap_intervals_cover_the_mean_of_skewed_values() -> None:
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(300):
        values = rng.exponential(size=60)
        metric = Metric("mean", mean_of(values), "mean", "")
        made = bootstrap([metric], np.ones(60), resampling=Resampling(rng, 0.95, 400)).estimates["mean"]
        assert made.value == pytest.approx(values.mean())
        covered += made.low <= 1 <= made.high
    assert 0.90 <= covered / 300 <= 0.98


def test_a_wider_level_gives_a_wider_interval() -> None:
    values = np.random.default_rng(3).normal(size=100)
    metric = Metric("mean", mean_of(values), "mean", "")
    narrow, wide = (
        bootstrap([metric], np.ones(100), resampling=Resampling(np.random.default_rng(0), level)).estimates["mean"]
        for level in (0.8, 0.99)
    )
    assert wide.low < narrow.low < narrow.high < wide.high


def test_smoothing_gives_a_width_where_no_error_was_seen_and_leaves_the_value_alone() -> None:
    metric = Metric("share", mean_of(np.array([1.0, 0.0])), "share", "")
    plan = Resampling(np.random.default_rng(0))
    bare = bootstrap([metric], [30, 0], resampling=plan)
    smoothed = bootstrap([metric], [30, 0], resampling=plan, smoothing=np.array([0.5, 0.5])).estimates["share"]
    assert bare.estimates["share"].low == 1
    assert "no width" in bare.notes[0]
    assert smoothed.value == smoothed.high == 1
    assert 0.8 < smoothed.low < 0.97
    assert "smoothed by 1 record" in smoothed.method


def test_an_undefined_metric_is_left_out_and_said() -> None:
    never = Metric("ratio", lambda weights: weights.sum(axis=1) / (weights.sum(axis=1) * 0), "ratio", "all is zero")
    made = bootstrap([never], [3, 4], resampling=Resampling(np.random.default_rng(0), replicates=100))
    assert made.estimates == {}
    assert made.notes == ("ratio is undefined: all is zero",)


def test_the_same_generator_state_gives_the_same_interval() -> None:
    metric = Metric("mean", mean_of(np.arange(50.0)), "mean", "")
    first, second = (
        bootstrap([metric], np.ones(50), resampling=Resampling(np.random.default_rng(7))) for _ in range(2)
    )
    assert first == second


@given(st.integers(0, 50), st.integers(0, 5_000_000))
def test_blocks_cover_every_row_once_within_bounded_memory(rows: int, cells: int) -> None:
    made = list(blocks(rows, cells))
    assert [row for block in made for row in range(block.start, block.stop)] == list(range(rows))
    assert all((block.stop - block.start) * cells <= 2_000_000 for block in made if block.stop - block.start > 1)


@pytest.mark.parametrize(("level", "replicates"), [(0, 2000), (1, 2000), (95, 2000), (0.95, 5)])
def test_settings_that_make_no_interval_are_refused(level: float, replicates: int) -> None:
    with pytest.raises(SettingsError, match="got"):
        Resampling(np.random.default_rng(0), level, replicates)


def test_without_scipy_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy.special", None)
    with pytest.raises(MissingExtraError, match=r"postil\[assess\]"):
        share(1, 2, level=0.95, how="share")
