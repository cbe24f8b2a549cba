"""An assessment has every figure that its scale has, and no number where there is nothing to measure."""

from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle

from postil.assess import assess
from postil.errors import DataError, GoldError
from postil.tasks import Task
from postil.tasks.classification import Classification
from postil.tasks.rating import Rating
from postil.types import Abstention, Annotation, Answer, Assessment, Confidence, Failure, Outcome

TASK = Classification("态度", "作者的态度？", labels=["正面", "负面", "NA", "null"])
NOMINAL = {
    "accuracy",
    "macro_f1",
    "micro_f1",
    "weighted_f1",
    "cohen_kappa",
    "majority_baseline",
    "accuracy_all",
    "accuracy_lower_bound",
    "accuracy_upper_bound",
}


def measure(
    task: Task, outcomes: Mapping[str, Outcome], gold: Mapping[str, Answer], *, seed: int = 0, replicates: int = 200
) -> Assessment:
    return assess(
        task,
        annotator="m1",
        outcomes=outcomes,
        gold=gold,
        records=1000,
        rng=np.random.default_rng(seed),
        replicates=replicates,
    )


def labelled(
    n: int, accuracy: float, rng: np.random.Generator, task: Classification = TASK
) -> tuple[dict[str, Outcome], dict[str, Answer]]:
    labels = task.labels
    gold = rng.integers(0, len(labels), size=n)
    given = np.where(rng.random(n) < accuracy, gold, rng.integers(0, len(labels), size=n))
    return (
        {str(at): Annotation(str(at), "m1", {"label": labels[one]}) for at, one in enumerate(given)},
        {str(at): {"label": labels[one]} for at, one in enumerate(gold)},
    )


def label_of(outcome: Outcome) -> str:
    assert isinstance(outcome, Annotation)
    return outcome.answer["label"]


def test_no_gold_means_accuracy_unknown_and_no_number() -> None:
    outcomes, _ = labelled(20, 0.9, np.random.default_rng(0))
    made = measure(TASK, outcomes, {})
    assert made == Assessment(
        "态度", "classification", "m1", 1000, 0, coverage=None, notes=("no gold: accuracy unknown",)
    )


def test_gold_without_an_annotation_has_coverage_and_no_other_number() -> None:
    gold: dict[str, Answer] = {"1": {"label": "正面"}, "2": {"label": "NA"}, "3": {"label": "NA"}}
    outcomes: dict[str, Outcome] = {
        "1": Failure("1", "m1", "truncated", "cut short"),
        "2": Abstention("2", "m1", "unsure"),
        "other": Annotation("other", "m1", {"label": "NA"}),
    }
    made = measure(TASK, outcomes, gold)
    assert made.metrics == {}
    assert (made.per_label, made.confusion, made.reliability) == ({}, (), ())
    assert made.coverage is not None
    assert (made.coverage.value, made.coverage.n) == (0, 3)
    assert made.notes == (
        "3 of 3 gold records have no annotation: 1 abstained, 1 failed, 1 pending",
        "no gold record has an annotation: accuracy unknown",
    )


def test_labels_are_measured_against_gold() -> None:
    outcomes, gold = labelled(300, 0.7, np.random.default_rng(1))
    made = measure(TASK, outcomes, gold)
    true = [one["label"] for one in gold.values()]
    given = [label_of(outcomes[record]) for record in gold]
    assert made.metrics.keys() == NOMINAL
    assert made.metrics["accuracy"].value == oracle.accuracy_score(true, given)
    assert made.metrics["macro_f1"].value == pytest.approx(oracle.f1_score(true, given, average="macro"))
    assert made.labels == TASK.labels
    assert np.array_equal(made.confusion, oracle.confusion_matrix(true, given, labels=list(TASK.labels)))
    assert made.per_label.keys() == set(TASK.labels)
    assert (made.annotator, made.records, made.gold) == ("m1", 1000, 300)
    assert next(iter(made.metrics)) == "accuracy"


def test_shuffled_gold_gives_the_accuracy_of_chance() -> None:
    rng = np.random.default_rng(2)
    outcomes, gold = labelled(600, 0.9, rng)
    answers = list(gold.values())
    rng.shuffle(answers)  # pyright: ignore[reportArgumentType]
    made = measure(TASK, outcomes, dict(zip(gold, answers, strict=True)))
    assert made.metrics["accuracy"].value == pytest.approx(0.25, abs=0.06)
    assert made.metrics["cohen_kappa"].low < 0.05
    assert measure(TASK, outcomes, gold).metrics["accuracy"].low > 0.85


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.integers(0, 40))
def test_a_missing_annotation_moves_bounds_and_coverage_only_as_it_must(seed: int, missing: int) -> None:
    rng = np.random.default_rng(seed)
    outcomes, gold = labelled(40, 0.8, rng)
    gone = [str(at) for at in rng.choice(40, size=missing, replace=False)]
    kept = {record: one for record, one in outcomes.items() if record not in gone}
    right = sum(label_of(one) == gold[record]["label"] for record, one in kept.items())
    made = measure(TASK, kept, gold, replicates=100)
    assert made.coverage is not None
    assert made.coverage.value == (40 - missing) / 40
    if not kept:
        assert made.metrics == {}
        return
    values = {name: one.value for name, one in made.metrics.items()}
    assert values["accuracy"] == pytest.approx(right / len(kept))
    assert values["accuracy_lower_bound"] == values["accuracy_all"] == right / 40
    assert values["accuracy_upper_bound"] == (right + missing) / 40
    whole = measure(TASK, outcomes, gold, replicates=100).metrics["accuracy"].value
    assert values["accuracy_lower_bound"] <= whole <= values["accuracy_upper_bound"]


def test_failed_and_abstained_and_pending_are_not_right_and_are_told_apart() -> None:
    outcomes, gold = labelled(100, 1.0, np.random.default_rng(3))
    for at in range(10):
        outcomes[str(at)] = Failure(str(at), "m1", "refused", "no")
    for at in range(10, 15):
        outcomes[str(at)] = Abstention(str(at), "m1", "unsure")
    del outcomes["15"]
    made = measure(TASK, outcomes, gold)
    assert made.metrics["accuracy"].value == 1
    assert made.metrics["accuracy_all"].value == 0.84
    assert "16 of 100 gold records have no annotation: 5 abstained, 10 failed, 1 pending" in made.notes


def test_the_order_of_arrival_changes_nothing() -> None:
    outcomes, gold = labelled(80, 0.7, np.random.default_rng(4))
    outcomes = {
        record: Annotation(record, "m1", one.answer, Confidence(0.5 + int(record) / 200, "logprob"))
        for record, one in outcomes.items()
        if isinstance(one, Annotation)
    }
    backwards = measure(TASK, dict(reversed(outcomes.items())), dict(reversed(gold.items())))
    assert backwards == measure(TASK, outcomes, gold)


def test_few_records_and_labels_without_gold_are_said() -> None:
    outcomes: dict[str, Outcome] = {"1": Annotation("1", "m1", {"label": "NA"})}
    made = measure(TASK, outcomes, {"1": {"label": "NA"}})
    assert "only 1 gold records have an annotation: the intervals are wide" in made.notes
    assert any(note.startswith("3 of 4 labels occur in no annotated gold record") for note in made.notes)
    assert made.per_label.keys() == {"NA"}


def test_ordered_labels_have_the_figures_of_order_too() -> None:
    task = Classification("grade", "How good?", labels=["poor", "fair", "good"], ordered=True)
    outcomes, gold = labelled(120, 0.7, np.random.default_rng(5), task)
    made = measure(task, outcomes, gold)
    assert made.metrics.keys() == NOMINAL | {"mean_absolute_error", "quadratic_kappa", "spearman"}
    ranks = [
        [task.labels.index(label) for label in side]
        for side in ([one["label"] for one in gold.values()], [label_of(outcomes[record]) for record in gold])
    ]
    assert made.metrics["quadratic_kappa"].value == pytest.approx(oracle.cohen_kappa_score(*ranks, weights="quadratic"))


def test_a_hierarchy_is_measured_with_the_tasks_own_separator() -> None:
    task = Classification("kind", "What is it?", labels=["动物>狗", "动物>猫", "植物>树"], separator=">")
    outcomes: dict[str, Outcome] = {str(at): Annotation(str(at), "m1", {"label": "动物>猫"}) for at in range(4)}
    gold: dict[str, Answer] = {"0": {"label": "动物>狗"}, "1": {"label": "动物>猫"}, "2": {"label": "植物>树"}}
    made = measure(task, outcomes, gold)
    assert made.metrics["accuracy_level_1"].value == pytest.approx(2 / 3)
    assert made.metrics["accuracy_level_2"].value == made.metrics["accuracy"].value == pytest.approx(1 / 3)
    assert made.metrics["hierarchical_f1"].value == pytest.approx(3 / 6)
    assert made.metrics.keys() >= NOMINAL


def rated(gold_step: float, rng: np.random.Generator, n: int = 80) -> tuple[dict[str, Outcome], dict[str, Answer]]:
    truth = np.clip(np.round(rng.uniform(1, 5, size=n) / gold_step) * gold_step, 1, 5)
    given = np.clip(np.round(truth + rng.normal(0, 0.6, size=n)), 1, 5)
    sure = 1 / (1 + np.abs(truth - given))
    return (
        {
            str(at): Annotation(str(at), "m1", {"rating": int(one)}, Confidence(float(sure[at]), "verbal"))
            for at, one in enumerate(given)
        },
        {str(at): {"rating": float(one)} for at, one in enumerate(truth)},
    )


def test_ratings_on_points_have_a_confusion_and_quadratic_kappa() -> None:
    made = measure(Rating("stars", "How many?"), *rated(1, np.random.default_rng(6)))
    assert {
        "mae",
        "rmse",
        "pearson",
        "spearman",
        "quadratic_kappa",
        "exact_agreement",
        "within_one",
    } <= made.metrics.keys()
    assert made.labels == ("1", "2", "3", "4", "5")
    assert np.sum(made.confusion) == 80
    assert made.metrics["exact_agreement"].value == np.trace(np.array(made.confusion)) / 80
    assert "accuracy" not in made.metrics
    assert made.per_label == {}


def test_gold_between_points_has_neither_and_is_measured_all_the_same() -> None:
    outcomes, gold = rated(0.05, np.random.default_rng(7))
    made = measure(Rating("stars", "How many?"), outcomes, gold)
    errors = [
        abs(one.answer["rating"] - gold[record]["rating"])
        for record, one in outcomes.items()
        if isinstance(one, Annotation)
    ]
    assert made.metrics["mae"].value == pytest.approx(np.mean(errors))
    assert (made.labels, made.confusion) == ((), ())
    assert any("quadratic_kappa is left out" in note for note in made.notes)
    # The confidence of this annotator falls with its distance from gold, so it must tell right from wrong.
    assert made.metrics["auroc"].low > 0.7
    assert made.reliability


def test_probabilities_are_scored_and_reliability_is_binned() -> None:
    rng = np.random.default_rng(8)
    outcomes: dict[str, Outcome] = {}
    gold: dict[str, Answer] = {}
    for at in range(400):
        shares = rng.dirichlet(np.full(4, 0.4))
        best = int(shares.argmax())
        odds = {label: float(share) for label, share in zip(TASK.labels, shares, strict=True)}
        sure = Confidence(float(shares[best]), "logprob")
        outcomes[str(at)] = Annotation(str(at), "m1", {"label": TASK.labels[best]}, sure, odds)
        gold[str(at)] = {"label": TASK.labels[rng.choice(4, p=shares)]}
    made = measure(TASK, outcomes, gold)
    assert {"ece", "auroc", "brier", "log_loss"} <= made.metrics.keys()
    assert made.metrics["ece"].low == 0
    assert made.metrics["auroc"].low > 0.6
    assert "summed over labels" in made.metrics["brier"].method
    assert sum(one.accuracy.n for one in made.reliability) == 400


def test_an_annotator_that_is_always_sure_is_caught() -> None:
    outcomes, gold = labelled(200, 0.6, np.random.default_rng(9))
    outcomes = {
        one: Annotation(one, "m1", {"label": label_of(outcomes[one])}, Confidence(0.95, "verbal")) for one in outcomes
    }
    made = measure(TASK, outcomes, gold)
    assert made.metrics["auroc"].value == 0.5
    assert "confidence is always 0.95: it cannot tell right from wrong" in made.notes


def test_gold_and_annotations_outside_the_task_are_refused_by_name() -> None:
    outcomes, gold = labelled(5, 1.0, np.random.default_rng(10))
    with pytest.raises(GoldError, match=r"record '7'.*'\\ud800'"):
        measure(TASK, outcomes, gold | {"7": {"label": "\ud800"}})
    with pytest.raises(DataError, match=r"annotation of record '0'.*'splendid'"):
        measure(TASK, outcomes | {"0": Annotation("0", "m1", {"label": "splendid"})}, gold)
    stars: dict[str, Outcome] = {"1": Annotation("1", "m1", {"rating": float("nan")})}
    with pytest.raises(DataError, match="a finite number"):
        measure(Rating("stars", "How many?"), stars, {"1": {"rating": 3}})


def test_many_records_and_labels_are_measured_in_bounded_time_and_memory() -> None:
    task = Classification("intent", "Which?", labels=[f"intent {at}" for at in range(77)])
    outcomes, gold = labelled(10_000, 0.8, np.random.default_rng(11), task)
    made = measure(task, outcomes, gold, replicates=500)
    assert made.metrics["macro_f1"].low < 0.8 < made.metrics["macro_f1"].high
    assert len(made.per_label) == 77
