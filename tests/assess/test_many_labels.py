"""Label sets of up to 10,000: the same figures, from the fields of the confusion that hold a record (survey 0.01)."""

from typing import Any

import numpy as np
import pytest
from sklearn import metrics as oracle

from postil.assess import assess
from postil.assess import classification as measuring
from postil.assess.classification import hierarchy, label_metrics
from postil.assess.confusion import Confusion
from postil.assess.intervals import Resampling
from postil.tasks.classification import Classification
from postil.types import Annotation, Answer, Assessment


def resampling() -> Resampling:
    return Resampling(np.random.default_rng(0), 0.95, 500)


def drawn(labels: list[str], n: int, accuracy: float) -> tuple[list[str], list[str]]:
    rng = np.random.default_rng(1)
    gold = rng.integers(0, len(labels), size=n)
    given = np.where(rng.random(n) < accuracy, gold, rng.integers(0, len(labels), size=n))
    return [labels[at] for at in gold], [labels[at] for at in given]


@pytest.mark.parametrize("accuracy", [0.3, 0.8, 1.0])
def test_values_are_scikit_learns_however_many_labels_there_are(accuracy: float) -> None:
    labels = [f"l{at}" for at in range(400)]
    gold, given = drawn(labels, 300, accuracy)
    made = label_metrics(Confusion.of(labels, gold=gold, given=given), resampling=resampling()).estimates
    f1: Any = oracle.f1_score
    for mean in ("macro", "weighted"):
        assert made[f"{mean}_f1"].value == pytest.approx(f1(gold, given, average=mean, zero_division=0))
    assert made["cohen_kappa"].value == pytest.approx(oracle.cohen_kappa_score(gold, given))
    assert all(one.low < one.high for one in made.values())


def test_intervals_are_those_of_the_whole_confusion(monkeypatch: pytest.MonkeyPatch) -> None:
    labels = [f"a{at % 5}/b{at}" for at in range(60)]
    gold, given = drawn(labels, 400, 0.7)
    confusion = Confusion.of(labels, gold=gold, given=given)

    def made() -> Any:
        found = label_metrics(confusion, resampling=resampling())
        return (found + hierarchy(confusion, separator="/", resampling=resampling())).estimates

    whole = made()
    monkeypatch.setattr(measuring, "_MOST_LABELS", 10)
    some = made()
    assert list(some) == list(whole)
    for name, estimate in whole.items():
        assert some[name].value == pytest.approx(estimate.value)
        assert some[name].low == pytest.approx(estimate.low, abs=0.02)
        assert some[name].high == pytest.approx(estimate.high, abs=0.02)


LABELS = [f"label {at}" for at in range(10_000)]


def assessed(task: Classification, gold: list[str], given: list[str], odds: Any = None) -> Assessment:
    answers: list[Answer] = [{"label": label} for label in given]
    return assess(
        task,
        annotator="m",
        outcomes={
            str(at): Annotation(str(at), "m", answer, probabilities=None if odds is None else odds[at])
            for at, answer in enumerate(answers)
        },
        gold={str(at): {"label": label} for at, label in enumerate(gold)},
        records=len(gold),
        rng=np.random.default_rng(0),
        replicates=200,
    )


def test_ten_thousand_labels_are_measured_and_the_confusion_has_those_that_occur() -> None:
    gold, given = drawn(LABELS, 200, 0.7)
    made = assessed(Classification("t", "Which?", labels=LABELS), gold, given)
    assert set(made.labels) == {*gold, *given}
    assert len(made.confusion) == len(made.labels)
    assert sum(map(sum, made.confusion)) == 200
    assert made.metrics["accuracy"].value == np.mean([one == other for one, other in zip(gold, given, strict=True)])
    assert any(
        f"{10_000 - len(set(gold)):,} of 10,000 labels occur in no annotated gold record" in note for note in made.notes
    )


def test_top_k_is_measured_where_every_annotation_has_probabilities() -> None:
    """The gold label is second: in the top 3 always, first never; without probabilities there is no such figure."""
    labels = LABELS[:20]
    task = Classification("t", "Which?", labels=labels)
    gold, given = labels[:10] * 4, labels[10:] * 4
    odds = [
        {right: 0.3, wrong: 0.5, labels[0 if right != labels[0] else 1]: 0.2}
        for right, wrong in zip(gold, given, strict=True)
    ]
    made = assessed(task, gold, given, [row | dict.fromkeys(set(labels) - row.keys(), 0.0) for row in odds])
    assert made.metrics["accuracy"].value == 0
    assert made.metrics["top_3_accuracy"].value == made.metrics["top_5_accuracy"].value == 1
    assert "top_3_accuracy" not in assessed(task, gold, given).metrics
    few = Classification("t", "Which?", labels=labels[:4])
    even = [dict.fromkeys(labels[:4], 0.25)] * 4
    assert "top_3_accuracy" not in assessed(few, labels[:4], labels[:4], even).metrics
