"""Metrics of labels agree with scikit-learn and their intervals with simulation."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from postil.assess.classification import bounds, hierarchy, label_metrics, per_label
from postil.assess.confusion import Confusion
from postil.assess.intervals import Resampling

LABELS = ("好评", "差评", "NA", "null", "no")


def resampling(seed: int = 0, replicates: int = 200) -> Resampling:
    return Resampling(np.random.default_rng(seed), 0.95, replicates)


def annotated(
    n: int, accuracy: float, rng: np.random.Generator, labels: tuple[str, ...] = LABELS
) -> tuple[list[str], list[str]]:
    shares = np.arange(1, len(labels) + 1) / sum(range(1, len(labels) + 1))
    gold = rng.choice(len(labels), size=n, p=shares)
    given = np.where(rng.random(n) < accuracy, gold, rng.integers(0, len(labels), size=n))
    return [labels[at] for at in gold], [labels[at] for at in given]


@pytest.mark.parametrize("n", [1, 12, 400])
@pytest.mark.parametrize("accuracy", [0.0, 0.7, 1.0])
def test_values_are_scikit_learns(n: int, accuracy: float) -> None:
    gold, given = annotated(n, accuracy, np.random.default_rng(n))
    made = label_metrics(Confusion.of(LABELS, gold=gold, given=given), resampling=resampling()).estimates
    assert made["accuracy"].value == pytest.approx(oracle.accuracy_score(gold, given))
    f1_score: Any = oracle.f1_score
    for mean in ("macro", "micro", "weighted"):
        expected = f1_score(gold, given, average=mean, zero_division=0)
        assert made[f"{mean}_f1"].value == pytest.approx(expected)
    if len({*gold, *given}) > 1:
        assert made["cohen_kappa"].value == pytest.approx(oracle.cohen_kappa_score(gold, given))
    assert all(one.low <= one.value <= one.high and one.n == n for one in made.values())


def test_per_label_values_are_scikit_learns() -> None:
    gold, given = annotated(300, 0.6, np.random.default_rng(5))
    made = per_label(Confusion.of(LABELS, gold=gold, given=given), level=0.95)
    expected: Any = oracle.precision_recall_fscore_support(gold, given, labels=list(LABELS))
    for at, label in enumerate(LABELS):
        for name, values in zip(("precision", "recall", "f1"), expected, strict=False):
            assert made[label][name].value == pytest.approx(values[at])


def test_the_confusion_is_scikit_learns_in_the_order_of_the_labels() -> None:
    gold, given = annotated(200, 0.5, np.random.default_rng(6))
    expected: Any = oracle.confusion_matrix(gold, given, labels=list(LABELS))
    assert Confusion.of(LABELS, gold=gold, given=given).counts.tolist() == expected.tolist()


def test_figures_that_are_undefined_for_a_label_are_left_out() -> None:
    made = per_label(Confusion.of(("a", "b", "c", "d"), gold=["a", "a", "b"], given=["a", "c", "a"]), level=0.95)
    assert {label: sorted(figures) for label, figures in made.items()} == {
        "a": ["f1", "precision", "recall"],
        "b": ["f1", "recall"],
        "c": ["f1", "precision"],
    }
    assert made["b"]["f1"].value == 0


def test_the_interval_of_a_labels_f1_covers_the_truth() -> None:
    rng = np.random.default_rng(8)
    cells = np.array([0.15, 0.05, 0.03, 0.77])
    truth = 2 * 0.15 / (2 * 0.15 + 0.08)
    covered = 0
    for counts in rng.multinomial(80, cells, size=300):
        confusion = Confusion(("a", "b"), counts.reshape(2, 2))
        made = per_label(confusion, level=0.95)["a"]["f1"]
        covered += made.low <= truth <= made.high
    assert 0.94 <= covered / 300 <= 0.995


@pytest.mark.parametrize(("accuracy", "n"), [(0.6, 100), (0.97, 40)])
def test_drawn_intervals_cover_the_truth(accuracy: float, n: int) -> None:
    labels, rng = ("a", "b", "c"), np.random.default_rng(9)
    shares = np.diag([0.5, 0.3, 0.2]) @ (accuracy * np.eye(3) + (1 - accuracy) / 2 * (1 - np.eye(3)))
    given = shares.sum(axis=0)
    truth = {
        "macro_f1": float(np.mean(2 * np.diag(shares) / (given + shares.sum(axis=1)))),
        "cohen_kappa": float((np.trace(shares) - given @ shares.sum(axis=1)) / (1 - given @ shares.sum(axis=1))),
    }
    covered = dict.fromkeys(truth, 0)
    for counts in rng.multinomial(n, shares.ravel(), size=300):
        made = label_metrics(Confusion(labels, counts.reshape(3, 3)), resampling=Resampling(rng, 0.95, 300)).estimates
        for name, value in truth.items():
            covered[name] += made[name].low <= value <= made[name].high
    assert all(0.92 <= hits / 300 <= 0.997 for hits in covered.values()), covered


def test_shuffled_gold_falls_to_the_level_of_chance() -> None:
    rng = np.random.default_rng(10)
    gold, given = annotated(2000, 0.9, rng)
    honest = label_metrics(Confusion.of(LABELS, gold=gold, given=given), resampling=resampling()).estimates
    rng.shuffle(gold)
    shuffled = label_metrics(Confusion.of(LABELS, gold=gold, given=given), resampling=resampling()).estimates
    assert honest["cohen_kappa"].low > 0.8
    assert shuffled["cohen_kappa"].low < 0 < shuffled["cohen_kappa"].high
    assert shuffled["accuracy"].high < honest["accuracy"].low - 0.5


def test_another_order_of_labels_permutes_the_confusion_and_no_value() -> None:
    gold, given = annotated(250, 0.7, np.random.default_rng(11))
    first = Confusion.of(LABELS, gold=gold, given=given)
    second = Confusion.of(LABELS[::-1], gold=gold, given=given)
    assert second.counts.tolist() == first.counts[::-1, ::-1].tolist()
    one, two = (label_metrics(confusion, resampling=resampling()).estimates for confusion in (first, second))
    assert {name: made.value for name, made in two.items()} == pytest.approx(
        {name: made.value for name, made in one.items()}
    )
    assert per_label(second, level=0.95)["NA"] == per_label(first, level=0.95)["NA"]


def test_every_record_twice_keeps_the_values_and_narrows_the_intervals() -> None:
    gold, given = annotated(120, 0.7, np.random.default_rng(12))
    once = label_metrics(Confusion.of(LABELS, gold=gold, given=given), resampling=resampling()).estimates
    twice = label_metrics(Confusion.of(LABELS, gold=gold * 2, given=given * 2), resampling=resampling()).estimates
    for name, made in once.items():
        assert twice[name].value == pytest.approx(made.value)
        assert twice[name].high - twice[name].low < made.high - made.low


def test_one_label_only_has_no_kappa_and_an_interval_that_is_not_certain() -> None:
    made = label_metrics(Confusion.of(("a", "b"), gold=["a"] * 10, given=["a"] * 10), resampling=resampling())
    assert "cohen_kappa" not in made.estimates
    assert made.estimates["macro_f1"].value == 1
    assert made.estimates["macro_f1"].low < 0.85
    assert any(note.startswith("cohen_kappa is undefined") for note in made.notes)


def test_the_baseline_is_always_answering_the_most_frequent_gold_label() -> None:
    gold = ["a"] * 7 + ["b"] * 3
    made = label_metrics(Confusion.of(("a", "b"), gold=gold, given=["b"] * 10), resampling=resampling()).estimates
    assert made["majority_baseline"].value == 0.7
    assert made["accuracy"].value == 0.3


@pytest.mark.parametrize("missing", [0, 5, 40])
def test_bounds_move_with_what_is_missing_and_with_nothing_else(missing: int) -> None:
    confusion = Confusion.of(("a", "b"), gold=["a"] * 10, given=["a"] * 8 + ["b"] * 2)
    made = bounds(confusion, gold=10 + missing, level=0.95).estimates
    assert made["accuracy_lower_bound"].value == made["accuracy_all"].value == 8 / (10 + missing)
    assert made["accuracy_upper_bound"].value == (8 + missing) / (10 + missing)
    assert all(one.n == 10 + missing for one in made.values())


def test_a_hierarchy_is_measured_level_by_level() -> None:
    labels = ("animal/dog", "animal/cat", "plant/tree/oak", "plant/tree/elm", "other")
    gold = ["animal/dog", "animal/dog", "plant/tree/oak", "plant/tree/oak", "other"]
    given = ["animal/dog", "animal/cat", "plant/tree/elm", "animal/dog", "other"]
    confusion = Confusion.of(labels, gold=gold, given=given)
    made = hierarchy(confusion, separator="/", resampling=resampling()).estimates
    found = {name: (one.value, one.n) for name, one in made.items() if name != "hierarchical_f1"}
    assert found == {"accuracy_level_1": (0.8, 5), "accuracy_level_2": (0.5, 4), "accuracy_level_3": (0, 2)}
    # Shared steps 2 + 1 + 2 + 0 + 1 of 11 steps in gold and 10 in the answers.
    assert made["hierarchical_f1"].value == pytest.approx(2 * 6 / (11 + 10))


def test_a_near_miss_in_the_hierarchy_counts_more_than_a_far_one() -> None:
    labels = ("a/x", "a/y", "b/z")
    near = Confusion.of(labels, gold=["a/x"] * 4 + ["b/z"], given=["a/y"] * 4 + ["b/z"])
    far = Confusion.of(labels, gold=["a/x"] * 4 + ["b/z"], given=["b/z"] * 5)
    values = [
        hierarchy(one, separator="/", resampling=resampling()).estimates["hierarchical_f1"] for one in (near, far)
    ]
    assert values[0].value == pytest.approx(0.6)
    assert values[1].value == pytest.approx(0.2)
