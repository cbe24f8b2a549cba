"""Confidence is measured against rightness, and a number printed everywhere is caught."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from postil.assess.calibration import Calibration, calibration
from postil.assess.intervals import Array, Resampling
from postil.types import Annotation, Confidence, ConfidenceKind


def annotation(
    confidence: float | None, probabilities: dict[str, float] | None = None, kind: ConfidenceKind = "logprob"
) -> Annotation:
    sure = None if confidence is None else Confidence(float(confidence), kind)
    return Annotation("r", "m", {"label": "a"}, sure, probabilities)


def measure(confidence: Sequence[float] | Array, right: Array, replicates: int = 200, seed: int = 0) -> Calibration:
    plan = Resampling(np.random.default_rng(seed), 0.95, replicates)
    return calibration([annotation(one) for one in confidence], right=right.astype(bool), gold=None, resampling=plan)


def calibrated(n: int, rng: np.random.Generator, *, shift: float = 0.0) -> tuple[Array, Array]:
    """Return confidences between .5 and 1, and rightness that is `shift` less frequent than they say."""
    confidence = rng.uniform(0.5, 1, size=n)
    return confidence, (rng.random(n) < confidence - shift).astype(np.float64)


def test_scores_of_confidence_are_scikit_learns() -> None:
    confidence, right = calibrated(300, np.random.default_rng(1))
    confidence = np.round(confidence, 1)
    made = measure(confidence, right).measured.estimates
    assert made["auroc"].value == pytest.approx(oracle.roc_auc_score(right, confidence))
    assert made["brier"].value == pytest.approx(oracle.brier_score_loss(right, confidence))
    inside = np.clip(confidence, 1e-15, 1 - 1e-15)
    assert made["log_loss"].value == pytest.approx(oracle.log_loss(right, inside), rel=0.02)


def test_scores_of_probabilities_are_scikit_learns() -> None:
    rng, labels = np.random.default_rng(2), ["好", "坏", "NA"]
    shares = rng.dirichlet([1, 1, 1], size=100)
    gold = [labels[rng.choice(3, p=one)] for one in shares]
    made = calibration(
        [annotation(None, dict(zip(labels, map(float, one), strict=True))) for one in shares],
        right=[True] * 100,
        gold=gold,
        resampling=Resampling(rng, 0.95, 200),
    ).measured.estimates
    order = np.argsort(labels)
    score: Any = oracle.brier_score_loss
    expected = score(gold, shares[:, order], labels=sorted(labels), scale_by_half=False)
    assert made["brier"].value == pytest.approx(expected)
    assert made["log_loss"].value == pytest.approx(oracle.log_loss(gold, shares[:, order], labels=sorted(labels)))
    assert "ece" not in made


@pytest.mark.parametrize("shift", [0.0, 0.1, 0.3])
def test_ece_is_near_the_truth_at_two_thousand(shift: float) -> None:
    made = measure(*calibrated(2000, np.random.default_rng(3), shift=shift)).measured.estimates["ece"]
    assert made.value == pytest.approx(shift, abs=0.02)
    assert made.low <= shift <= made.high


@pytest.mark.parametrize(("n", "shift"), [(60, 0.0), (200, 0.0), (200, 0.15)])
def test_intervals_of_ece_cover_the_truth(n: int, shift: float) -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for seed in range(150):
        made = measure(*calibrated(n, rng, shift=shift), seed=seed).measured.estimates["ece"]
        covered += made.low <= shift <= made.high
    assert covered / 150 >= 0.91


def test_ece_is_corrected_for_the_bias_of_small_numbers() -> None:
    rng = np.random.default_rng(5)
    corrected, plain = [], []
    for _ in range(100):
        confidence, right = calibrated(60, rng)
        made = measure(confidence, right, replicates=100)
        corrected.append(made.measured.estimates["ece"].value)
        bins = made.reliability
        plain.append(sum(abs(one.confidence - one.accuracy.value) * one.accuracy.n for one in bins) / 60)
    assert np.mean(corrected) < 0.75 * np.mean(plain)


def test_always_the_same_confidence_gets_auroc_one_half_and_a_warning() -> None:
    right = (np.random.default_rng(6).random(200) < 0.7).astype(np.float64)
    made = measure(np.full(200, 0.95), right)
    assert made.measured.estimates["auroc"].value == 0.5
    assert made.measured.estimates["ece"].low > 0.1
    assert any("confidence is always 0.95" in note for note in made.measured.notes)
    assert len(made.reliability) == 1


def test_confidence_that_knows_is_told_from_confidence_that_does_not() -> None:
    rng = np.random.default_rng(7)
    confidence, right = calibrated(500, rng)
    knows = measure(confidence, right).measured
    shuffled = measure(rng.permutation(confidence), right).measured
    assert knows.estimates["auroc"].low > 0.6
    assert shuffled.estimates["auroc"].low < 0.5
    assert "confidence is not shown to tell right from wrong: the interval of auroc reaches 0.5" in shuffled.notes
    assert knows.estimates["brier"].value < shuffled.estimates["brier"].value


def test_intervals_of_auroc_cover_the_truth_where_few_are_wrong() -> None:
    rng = np.random.default_rng(8)
    # Right annotations score one deviation higher: the area is Φ(1 / √2).
    covered = 0
    for _ in range(300):
        right = np.arange(60) >= 5
        score = 1 / (1 + np.exp(-(rng.normal(size=60) + right)))
        made = measure(score, right.astype(np.float64), replicates=100).measured.estimates["auroc"]
        covered += made.low <= 0.7602 <= made.high
    assert 0.92 <= covered / 300 <= 0.99


def test_a_perfect_ranking_of_few_is_not_certain() -> None:
    made = measure([0.9, 0.8, 0.7, 0.2], np.array([1, 1, 1, 0])).measured.estimates["auroc"]
    assert (made.value, made.high) == (1, 1)
    assert made.low < 0.6


def test_missing_and_impossible_confidence_is_left_out_and_counted() -> None:
    given = [annotation(0.9)] * 6 + [annotation(None), annotation(float("nan")), annotation(1.7)]
    made = calibration(
        given, right=[True] * 5 + [False] * 4, gold=None, resampling=Resampling(np.random.default_rng(0))
    )
    assert made.measured.estimates["ece"].n == 6
    assert any(note.startswith("3 of 9 annotations carry no usable confidence") for note in made.measured.notes)


def test_no_confidence_at_all_gives_no_number() -> None:
    made = calibration(
        [annotation(None)] * 5, right=[True] * 5, gold=["a"] * 5, resampling=Resampling(np.random.default_rng(0))
    )
    assert made.measured.estimates == {}
    assert made.reliability == ()
    assert "calibration is unknown" in made.measured.notes[0]


def test_all_right_leaves_auroc_undefined() -> None:
    made = measure(np.linspace(0.5, 1, 50), np.ones(50)).measured
    assert "auroc" not in made.estimates
    assert any(note.startswith("auroc is undefined") for note in made.notes)


def test_kinds_of_confidence_are_not_mixed_in_silence() -> None:
    given = [annotation(0.9, kind="verbal"), annotation(0.8), annotation(0.7)]
    made = calibration(given, right=[True, False, True], gold=None, resampling=Resampling(np.random.default_rng(0)))
    assert "confidences of several kinds are measured together: logprob (2), verbal (1)" in made.measured.notes


def test_a_gold_label_given_no_probability_keeps_log_loss_finite_and_is_said() -> None:
    made = calibration(
        [annotation(1.0, {"a": 1.0, "b": 0.0})] * 4,
        right=[True, True, True, False],
        gold=["a", "a", "a", "b"],
        resampling=Resampling(np.random.default_rng(0)),
    ).measured
    assert np.isfinite(made.estimates["log_loss"].high)
    assert made.estimates["brier"].value == pytest.approx(0.5)
    assert any(note.startswith("1 annotations gave what is true a probability of 0") for note in made.notes)


def test_bins_hold_every_annotation_once_and_never_part_equal_confidences() -> None:
    rng = np.random.default_rng(9)
    confidence = rng.choice([0.7, 0.8, 0.9, 0.95], size=400, p=[0.1, 0.1, 0.1, 0.7])
    bins = measure(confidence, (rng.random(400) < 0.8).astype(np.float64)).reliability
    assert sum(one.accuracy.n for one in bins) == 400
    assert [one.confidence for one in bins] == sorted(one.confidence for one in bins)
    assert bins[-1].accuracy.n == int(np.sum(confidence == 0.95))
