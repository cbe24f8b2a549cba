"""Structured answers have every figure with an interval, and none where there is nothing to measure (survey 2.30)."""

import random
from collections.abc import Mapping

import numpy as np
import pytest
from sklearn import metrics as oracle

from postil.assess import assess, compare
from postil.assess.intervals import Resampling
from postil.assess.structures import structured
from postil.errors import DataError, GoldError
from postil.tasks import Task
from postil.tasks.multilabel import MultiLabel
from postil.tasks.spans import Spans
from postil.types import Annotation, Answer, Assessment, Confidence, Estimate, Failure, Outcome

LABELS = ["PER", "LOC"]
TASK = Spans("names", "Which?", labels=LABELS)
FIGURES = {
    *(
        f"{way}_{figure}"
        for way in ("strict", "exact", "partial", "type")
        for figure in ("precision", "recall", "f1", "f1_all")
    ),
    *("aligned", "macro_f1", "exact_match", "exact_match_lower_bound", "exact_match_upper_bound", "empty_baseline"),
}


def answer(*items: tuple[int, str]) -> Answer:
    """Return spans of one character each."""
    return {"spans": [{"start": at, "end": at + 1, "label": label, "text": "x"} for at, label in sorted(items)]}


def simulated(
    n: int, recall: float, chance: random.Random, annotator: str = "m"
) -> tuple[dict[str, Outcome], dict[str, Answer]]:
    """Return annotations of spans that are found with a probability, and some that are not there."""
    gold: dict[str, Answer] = {}
    given: dict[str, Outcome] = {}
    for record in map(str, range(n)):
        places = chance.sample(range(20), chance.choice([0, 1, 1, 2, 3]))
        spans = [(at, chance.choice(LABELS)) for at in places]
        said = [span for span in spans if chance.random() < recall]
        if chance.random() > recall:
            said.append((30, chance.choice(LABELS)))
        gold[record] = answer(*spans)
        given[record] = Annotation(record, annotator, answer(*said), Confidence(recall, "logprob"))
    return given, gold


def measure(
    task: Task, outcomes: Mapping[str, Outcome], gold: Mapping[str, Answer], replicates: int = 200
) -> Assessment:
    rng = np.random.default_rng(0)
    return assess(task, annotator="m", outcomes=outcomes, gold=gold, records=len(gold), rng=rng, replicates=replicates)


def test_an_assessment_of_spans_has_every_figure_with_an_interval() -> None:
    outcomes, gold = simulated(120, 0.7, random.Random(1))
    made = measure(TASK, outcomes, gold)
    assert made.metrics.keys() >= FIGURES
    assert {"ece", "brier"} <= made.metrics.keys()
    for estimate in (*made.metrics.values(), *(one for row in made.per_label.values() for one in row.values())):
        assert estimate.low <= estimate.value <= estimate.high
        assert estimate.low < estimate.high
    assert list(made.per_label) == LABELS
    assert made.confusion == ()
    assert made.labels == tuple(LABELS)


def test_pooled_figures_are_those_of_all_spans_together() -> None:
    outcomes, gold = simulated(80, 0.6, random.Random(2))
    made = measure(TASK, outcomes, gold)
    true, said = _cells(gold), _cells({key: one.answer for key, one in outcomes.items() if isinstance(one, Annotation)})
    hits = len(true & said)
    assert made.metrics["strict_precision"].value == pytest.approx(hits / len(said))
    assert made.metrics["strict_recall"].value == pytest.approx(hits / len(true))
    assert made.metrics["strict_f1"].value == pytest.approx(2 * hits / (len(true) + len(said)))
    assert made.metrics["empty_baseline"].value == sum(not each["spans"] for each in gold.values()) / 80
    per = [{cell for cell in side if cell[2] == "PER"} for side in (true, said)]
    assert made.per_label["PER"]["f1"].value == pytest.approx(2 * len(per[0] & per[1]) / (len(per[0]) + len(per[1])))


def _cells(answers: Mapping[str, Answer]) -> set[tuple[str, int, str]]:
    return {(key, span["start"], span["label"]) for key, each in answers.items() for span in each["spans"]}


def test_intervals_cover_the_truth_even_of_an_annotator_that_hardly_errs() -> None:
    everything = simulated(40_000, 0.97, random.Random(3))
    truth = _strict_f1(*everything)
    covered = 0
    for seed in range(60):
        outcomes, gold = simulated(40, 0.97, random.Random(100 + seed))
        given = {key: one.answer for key, one in outcomes.items() if isinstance(one, Annotation)}
        resampling = Resampling(np.random.default_rng(seed), replicates=200)
        estimate = structured(TASK, gold, given, resampling=resampling).measured.estimates["strict_f1"]
        covered += estimate.low <= truth <= estimate.high
    assert covered >= 52


def _strict_f1(outcomes: Mapping[str, Outcome], gold: Mapping[str, Answer]) -> float:
    true, said = _cells(gold), _cells({key: one.answer for key, one in outcomes.items() if isinstance(one, Annotation)})
    return 2 * len(true & said) / (len(true) + len(said))


def test_a_perfect_annotator_has_an_interval_with_a_width() -> None:
    _, gold = simulated(30, 1.0, random.Random(4))
    perfect: dict[str, Outcome] = {key: Annotation(key, "m", each) for key, each in gold.items()}
    made = measure(TASK, perfect, gold).metrics
    for name in ("strict_f1", "macro_f1", "exact_match", "strict_f1_all"):
        assert made[name].value == made[name].high == 1
        assert made[name].low < 0.99


def test_answers_of_another_record_and_constant_answers_fall_to_the_floor() -> None:
    _, gold = simulated(200, 1.0, random.Random(5))
    keys = list(gold)
    turned: dict[str, Outcome] = {
        key: Annotation(key, "m", gold[other]) for key, other in zip(keys, [*keys[1:], keys[0]], strict=True)
    }
    nothing: dict[str, Outcome] = {key: Annotation(key, "m", answer()) for key in gold}
    assert measure(TASK, turned, gold).metrics["strict_f1"].value < 0.2
    empty = measure(TASK, nothing, gold)
    assert empty.metrics["strict_f1"].value == 0
    assert empty.metrics["exact_match"].value == empty.metrics["empty_baseline"].value
    assert "strict_precision" not in empty.metrics
    assert any("strict_precision is undefined" in note for note in empty.notes)


def test_a_missing_annotation_counts_as_nothing_found_in_the_figures_over_all_gold() -> None:
    gold: dict[str, Answer] = {"1": answer((0, "PER")), "2": answer((0, "PER"), (1, "LOC")), "3": answer()}
    outcomes: dict[str, Outcome] = {
        "1": Annotation("1", "m", gold["1"]),
        "2": Failure("2", "m", "not_found", "it quoted what is not there"),
    }
    made = measure(TASK, outcomes, gold)
    assert made.metrics["strict_f1"].value == 1
    assert made.metrics["strict_f1_all"].value == 2 / (1 + 3)
    assert made.metrics["exact_match_lower_bound"].value == 1 / 3
    assert made.metrics["exact_match_upper_bound"].value == 1
    assert made.coverage is not None
    assert made.coverage.value == 1 / 3


def test_spans_that_could_not_be_placed_are_counted() -> None:
    gold: dict[str, Answer] = {str(at): answer((0, "PER")) for at in range(4)}
    outcomes: dict[str, Outcome] = {
        "0": Annotation("0", "m", answer((0, "PER"), (1, "PER"))),
        "1": Annotation("1", "m", answer((0, "PER")), rejected=("spans[1]: not there", "evidence: not there")),
        "2": Failure("2", "m", "ambiguous", "it stands there twice"),
        "3": Failure("3", "m", "truncated", "cut"),
    }
    made = measure(TASK, outcomes, gold).metrics["aligned"]
    assert made.value == 3 / 5
    assert made.low < made.value < made.high
    assert "aligned" not in measure(TASK, {}, gold).metrics


def test_quotes_that_were_placed_inexactly_are_counted_with_their_methods() -> None:
    """Reliability A9: the method is reported; what nobody quoted, as in an import, is not counted as exact."""
    gold: dict[str, Answer] = {str(at): answer((0, "PER")) for at in range(3)}
    outcomes: dict[str, Outcome] = {
        "0": Annotation("0", "m", answer((0, "PER"), (1, "PER")), placings={"spans/0": "exact", "spans/1": "fuzzy"}),
        "1": Annotation("1", "m", answer((0, "PER")), placings={"spans/0": "case"}),
        "2": Annotation("2", "m", answer((0, "PER"))),
    }
    made = measure(TASK, outcomes, gold)
    share = made.metrics["placed_exactly"]
    assert share.value == 1 / 3
    assert 0 <= share.low < share.value < share.high <= 1
    assert "2 of 3 quotes were not found letter by letter: 1 case, 1 fuzzy" in made.notes
    unknown = measure(TASK, {"2": outcomes["2"]}, gold)
    assert "placed_exactly" not in unknown.metrics
    alone = measure(TASK, {"0": Annotation("0", "m", answer((0, "PER")), placings={"spans/0": "exact"})}, gold)
    assert alone.metrics["placed_exactly"].value == 1
    assert not [note for note in alone.notes if "letter" in note]


def test_without_anything_to_find_there_is_no_figure_but_a_note() -> None:
    gold = {str(at): answer() for at in range(5)}
    outcomes: dict[str, Outcome] = {key: Annotation(key, "m", each) for key, each in gold.items()}
    made = measure(TASK, outcomes, gold)
    assert "strict_f1" not in made.metrics
    assert made.metrics["exact_match"].value == made.metrics["empty_baseline"].value == 1
    assert any("strict_f1 is undefined" in note for note in made.notes)


def test_an_answer_that_the_task_did_not_accept_is_not_measured() -> None:
    gold = {"1": answer((0, "PER"))}
    outside: dict[str, Outcome] = {"1": Annotation("1", "m", answer((0, "DOG")))}
    with pytest.raises(DataError, match="annotation of record '1'"):
        measure(TASK, outside, gold)
    with pytest.raises(GoldError, match="gold of record '1'"):
        measure(TASK, {"1": Annotation("1", "m", gold["1"])}, {"1": {"spans": "none"}})
    unsorted: Answer = {"spans": [*answer((4, "PER"))["spans"], *answer((0, "PER"))["spans"]]}
    with pytest.raises(DataError, match="annotation of record '1'"):
        measure(TASK, {"1": Annotation("1", "m", unsorted)}, gold)


def test_a_better_annotator_is_told_from_a_worse_one_and_twins_are_a_tie() -> None:
    chance = random.Random(6)
    better, gold = simulated(200, 0.9, chance)
    worse: dict[str, Outcome] = {}
    for key, one in better.items():
        assert isinstance(one, Annotation)
        kept = [span for span in one.answer["spans"] if chance.random() < 0.6]
        worse[key] = Annotation(key, "w", {"spans": kept})
    made = _compared(better, worse, gold)
    assert made.value == pytest.approx(_strict_f1(better, gold) - _strict_f1(worse, gold))
    assert made.low > 0.05
    back = _compared(worse, better, gold)
    assert back.value == -made.value
    twins = _compared(better, better, gold)
    assert twins.value == 0
    assert twins.low < 0 < twins.high
    assert "strict_f1" in twins.method
    assert compare(TASK, {}, better, gold, np.random.default_rng(0)) is None


def _compared(first: Mapping[str, Outcome], second: Mapping[str, Outcome], gold: Mapping[str, Answer]) -> Estimate:
    made = compare(TASK, first, second, gold, np.random.default_rng(0), replicates=300)
    assert made is not None
    return made


def test_sets_of_labels_agree_with_scikit_learn() -> None:
    labels = ["a", "b", "c", "d"]
    task = MultiLabel("all", "Which apply?", labels=labels)
    chance = random.Random(7)
    drawn = [[[label for label in labels if chance.random() < 0.4] for _ in range(60)] for _ in range(2)]
    gold: dict[str, Answer] = {str(at): {"labels": each} for at, each in enumerate(drawn[0])}
    outcomes: dict[str, Outcome] = {
        str(at): Annotation(str(at), "m", {"labels": each}) for at, each in enumerate(drawn[1])
    }
    made = measure(task, outcomes, gold).metrics
    y_true, y_pred = (np.array([[label in each for label in labels] for each in side]) for side in drawn)
    assert made["micro_f1"].value == pytest.approx(oracle.f1_score(y_true, y_pred, average="micro"))
    assert made["macro_f1"].value == pytest.approx(oracle.f1_score(y_true, y_pred, average="macro"))
    assert made["exact_match"].value == pytest.approx(oracle.accuracy_score(y_true, y_pred))


def test_results_do_not_depend_on_the_order_of_arrival() -> None:
    outcomes, gold = simulated(50, 0.7, random.Random(8))
    back = dict(reversed(outcomes.items()))
    assert measure(TASK, back, dict(reversed(gold.items()))) == measure(TASK, outcomes, gold)
