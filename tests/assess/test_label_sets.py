"""Sets of labels beside gold: figures are scikit-learn's, and top-k gives nothing to probabilities that say nothing."""

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.preprocessing import MultiLabelBinarizer

from postil.assess import assess
from postil.assess.compared import Counts
from postil.assess.label_sets import compare, rank_of, top_k
from postil.tasks.multilabel import MultiLabel
from postil.types import Annotation, Answer
from tests.tasks.gold_labels import DATA, labels_of, records_and_gold

LABELS = ["joy", "anger", "fear", "喜", "a/b"]
TASK = MultiLabel("t", "Which?", labels=LABELS)
SET = st.lists(st.sampled_from(LABELS), unique=True)


def answers(n: int, seed: int, keep: float) -> tuple[list[Answer], list[Answer]]:
    """Return gold sets, and the same with each label left out or put in now and then."""
    rng = random.Random(seed)
    gold = [[label for label in LABELS if rng.random() < 0.3] for _ in range(n)]
    given_ = [[label for label in LABELS if (label in true) == (rng.random() < keep)] for true in gold]
    return [TASK.accept({"labels": each}) for each in gold], [TASK.accept({"labels": each}) for each in given_]


def matrices(gold: list[Answer], given_: list[Answer]) -> tuple[Any, Any]:
    binarizer = MultiLabelBinarizer(classes=LABELS)
    return binarizer.fit_transform([each["labels"] for each in gold]), binarizer.transform(
        [each["labels"] for each in given_]
    )


@pytest.mark.parametrize("keep", [0.2, 0.8, 1.0])
def test_figures_are_scikit_learns(keep: float) -> None:
    gold, given_ = answers(300, 1, keep)
    compared = [compare(TASK, true, said) for true, said in zip(gold, given_, strict=True)]
    x, y = matrices(gold, given_)
    pooled = [sum(getattr(one.counts["micro"], part) for one in compared) for part in ("hits", "given", "gold")]
    f1: Any = oracle.f1_score
    assert 2 * pooled[0] / (pooled[1] + pooled[2]) == pytest.approx(f1(x, y, average="micro"))
    jaccard: Any = oracle.jaccard_score
    expected = {
        "jaccard": jaccard(x, y, average="samples", zero_division=1),
        "set_f1": f1(x, y, average="samples", zero_division=1),
        "subset_accuracy": oracle.accuracy_score(x, y),
        "hamming_loss": oracle.hamming_loss(x, y),
    }
    for name, value in expected.items():
        assert np.mean([one.scores[name] for one in compared]) == pytest.approx(value), name
    per_label = {label: f1(x[:, at], y[:, at], zero_division=0) for at, label in enumerate(LABELS)}
    for label, value in per_label.items():
        counts = [one.per_label.get(label, Counts(0, 0, 0)) for one in compared]
        hits, sizes = sum(each.hits for each in counts), sum(each.given + each.gold for each in counts)
        assert 2 * hits / sizes == pytest.approx(value)
    assert [one.right for one in compared] == [true == said for true, said in zip(gold, given_, strict=True)]


def test_the_assessment_has_them_with_intervals() -> None:
    gold, given_ = answers(200, 2, 0.85)
    x, y = matrices(gold, given_)
    f1: Any = oracle.f1_score
    made = assess(
        TASK,
        annotator="m",
        outcomes={str(at): Annotation(str(at), "m", answer) for at, answer in enumerate(given_)},
        gold={str(at): answer for at, answer in enumerate(gold)},
        records=200,
        rng=np.random.default_rng(0),
    )
    for average in ("micro", "macro"):
        assert made.metrics[f"{average}_f1"].value == pytest.approx(f1(x, y, average=average))
    assert made.metrics["subset_accuracy"].value == pytest.approx(oracle.accuracy_score(x, y))
    assert all(one.low <= one.value <= one.high for one in made.metrics.values())
    assert set(made.per_label) == set(LABELS)


@given(SET, SET)
def test_a_comparison_turned_round_turns_precision_and_recall_round(first: list[str], second: list[str]) -> None:
    one, other = TASK.accept({"labels": first}), TASK.accept({"labels": second})
    there, back = compare(TASK, one, other), compare(TASK, other, one)
    assert there.scores == back.scores
    assert there.counts["micro"].hits == back.counts["micro"].hits
    assert (there.counts["micro"].given, there.counts["micro"].gold) == (
        back.counts["micro"].gold,
        back.counts["micro"].given,
    )
    assert there.right == (there.scores["jaccard"] == 1) == (there.scores["hamming_loss"] == 0)


def test_a_hierarchy_counts_the_steps_that_paths_share() -> None:
    tree = MultiLabel("t", "Which?", labels=["a", "a/b", "a/b/c", "a/b/d", "e"], separator="/")
    found = compare(tree, {"labels": ["a/b/c", "e"]}, {"labels": ["a/b/d"]})
    assert found.counts["hierarchical"] == Counts(2, 3, 4)
    assert found.counts["micro"] == Counts(0, 1, 2)
    assert "hierarchical" not in compare(TASK, {"labels": []}, {"labels": []}).counts


def test_two_empty_sets_are_equal_and_count_nothing() -> None:
    found = compare(TASK, {"labels": []}, {"labels": []})
    assert (found.counts["micro"], found.per_label, found.right) == (Counts(0, 0, 0), {}, True)
    assert found.scores == {"jaccard": 1.0, "set_f1": 1.0, "subset_accuracy": 1.0, "hamming_loss": 0.0}


def test_gold_of_goemotions_scores_one_and_answers_that_know_nothing_the_known_floor() -> None:
    paths = [DATA / "multi_label/goemotions" / f"{part}.jsonl" for part in ("pool", "test")]
    if not paths[0].exists():
        pytest.skip("the shared data is not here")
    task = MultiLabel("goemotions", "Which emotions?", labels=labels_of(*paths))
    gold = [task.accept(answer, record) for record, answer in records_and_gold(paths[1])]

    def micro(given_: list[Answer]) -> float:
        counts = [compare(task, true, said).counts["micro"] for true, said in zip(gold, given_, strict=True)]
        return 2 * sum(each.hits for each in counts) / sum(each.given + each.gold for each in counts)

    neutral: Answer = {"labels": ["neutral"]}
    # Its precision is the share of records that have the label, its recall the label's share of all labels.
    with_it = sum("neutral" in each["labels"] for each in gold)
    floor = 2 * with_it / (len(gold) + sum(len(each["labels"]) for each in gold))
    assert micro(gold) == 1
    assert micro([neutral] * len(gold)) == pytest.approx(floor)
    assert micro(random.Random(0).sample(gold, len(gold))) < floor
    assert micro([{"labels": []}] * len(gold)) == 0


# Top-k


def odds(n: int, labels: int, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(labels), size=n)


def test_top_k_is_scikit_learns() -> None:
    values = odds(400, 6, 0)
    gold = np.random.default_rng(1).integers(0, 6, size=400)
    named = [{f"l{at}": float(p) for at, p in enumerate(row)} for row in values]
    found = top_k([f"l{at}" for at in gold], named, ks=(1, 3, 5, 6, 9), level=0.95).estimates
    assert list(found) == ["top_1_accuracy", "top_3_accuracy", "top_5_accuracy"]
    for k in (1, 3, 5):
        expected: Any = oracle.top_k_accuracy_score(gold, values, k=k)
        estimate = found[f"top_{k}_accuracy"]
        assert estimate.value == pytest.approx(expected)
        assert estimate.low < estimate.value < estimate.high


def test_probabilities_that_tell_no_labels_apart_are_never_in_the_top() -> None:
    even = dict.fromkeys(LABELS, 0.2)
    assert [rank_of(label, even) for label in LABELS] == [5] * 5
    found = top_k(LABELS, [even] * 5, ks=(1, 4), level=0.95).estimates
    assert [estimate.value for estimate in found.values()] == [0, 0]


def test_top_k_follows_labels_and_not_their_places() -> None:
    values = odds(50, 5, 3)
    named = [dict(zip(LABELS, map(float, row), strict=True)) for row in values]
    turned = [dict(reversed(row.items())) for row in named]
    gold = [max(row, key=lambda label: row[label]) for row in named]
    assert top_k(gold, named, ks=(1,), level=0.95) == top_k(gold, turned, ks=(1,), level=0.95)
    assert top_k(gold, named, ks=(1,), level=0.95).estimates["top_1_accuracy"].value == 1


def test_a_gold_label_that_was_not_offered_is_not_in_the_top_and_no_records_give_no_figure() -> None:
    found = top_k(["envy", "joy"], [{"joy": 0.9, "fear": 0.1}] * 2, ks=(1,), level=0.95).estimates
    assert found["top_1_accuracy"].value == 0.5
    assert top_k([], [], ks=(1,), level=0.95).estimates == {}
