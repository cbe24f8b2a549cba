"""A judge of places is found out, a fair one is not slandered (reliability M3); soft labels count (survey 1.26)."""

import numpy as np
import pytest

from postil.assess import assess
from postil.assess.intervals import Resampling
from postil.assess.preferences import preference_metrics, strength_metrics, swap_metrics
from postil.tasks import Reading
from postil.tasks.preference import FIRST, SECOND, Preference
from postil.types import Abstention, Annotation, Answer, Capabilities, Completion, Outcome, Record, Usage
from tests.tasks import gold_preference
from tests.tasks.gold_preference import records_and_gold, task_for

TASK = Preference("better", "Which reply is better?")
A, B, TIE = ({"preferred": side, "strength": z} for side, z in (("a", 1.0), ("b", 0.0), ("tie", 0.5)))
ABOUT = Record("r", {"prompt": "p", "response_a": "1", "response_b": "2"})


def resampling(seed: int = 0, replicates: int = 400) -> Resampling:
    return Resampling(np.random.default_rng(seed), 0.95, replicates)


def judged(id_: str, first: str, exchanged: str, *, task: Preference = TASK) -> Outcome:
    """Return what becomes of two verdicts, in the order of the record and exchanged, as a judge would write them."""
    form = task.form(Capabilities())
    said = [Completion(reply, "stop", Usage(1, 1)) for reply in (first, exchanged)]
    reading: Reading = task.combine([task.read(each, form, ABOUT) for each in said])
    if reading.answer is None:
        return Abstention(id_, "judge", reading.abstained)
    return Annotation(id_, "judge", reading.answer, part_confidences=reading.part_confidences)


def judges(n: int, leaning: float, rng: np.random.Generator) -> tuple[list[Outcome], list[Answer]]:
    """Return what a judge says who follows the place in a share of cases and is fair in the others, and the truth."""
    truth: list[Answer] = [A if rng.random() < 0.5 else B for _ in range(n)]
    outcomes = [
        judged(str(i), "A", "A") if rng.random() < leaning else judged(str(i), *("AB" if true is A else "BA"))
        for i, true in enumerate(truth)
    ]
    return outcomes, truth


def test_a_judge_that_always_says_a_is_never_consistent_and_leans_wholly_to_the_first() -> None:
    made = swap_metrics(judges(50, 1.0, np.random.default_rng(0))[0], resampling=resampling()).estimates
    assert made["consistency_under_swap"].value == 0
    assert made["consistency_under_swap"].high < 0.1
    assert made["position_bias"].value == 1
    assert made["position_bias"].low < 1


def test_a_winner_in_one_order_and_a_tie_in_the_other_are_not_alike() -> None:
    made = swap_metrics([judged("1", "A", "Tie"), judged("2", "Tie", "Tie")], resampling=resampling()).estimates
    assert made["consistency_under_swap"].value == 0.5
    assert made["position_bias"].value == 0.25


def test_a_fair_judge_is_consistent_and_leans_nowhere() -> None:
    made = swap_metrics(judges(50, 0.0, np.random.default_rng(0))[0], resampling=resampling()).estimates
    assert made["consistency_under_swap"].value == 1
    assert made["position_bias"].value == 0
    assert made["position_bias"].low < 0 < made["position_bias"].high


def test_a_judge_that_prefers_the_second_leans_the_other_way() -> None:
    made = swap_metrics([judged(str(i), "B", "B") for i in range(40)], resampling=resampling()).estimates
    assert made["position_bias"].value == -1


def test_a_leaning_in_three_of_ten_cases_lies_in_its_interval_in_95_of_100_runs() -> None:
    rng = np.random.default_rng(7)
    always, fair = judged("1", "A", "A"), judged("2", "A", "B")
    inside = 0
    for run in range(200):
        outcomes = [always if rng.random() < 0.3 else fair for _ in range(100)]
        found = swap_metrics(outcomes, resampling=resampling(run, 200)).estimates["position_bias"]
        inside += found.low <= 0.3 <= found.high
    assert inside >= 190


def test_without_ties_an_abstention_is_an_inconsistent_pair() -> None:
    strict = Preference("better", "Which reply is better?", ties=False)
    outcomes = [
        judged("1", "A", "A", task=strict),
        judged("2", "B", "B", task=strict),
        judged("3", "A", "B", task=strict),
    ]
    assert [getattr(outcome, "reason", None) for outcome in outcomes] == [FIRST, SECOND, None]
    made = swap_metrics(outcomes, resampling=resampling()).estimates
    assert made["consistency_under_swap"].value == pytest.approx(1 / 3)
    assert made["position_bias"].value == 0


def test_what_was_asked_once_says_nothing_of_the_exchange() -> None:
    assert (
        swap_metrics([Annotation("1", "judge", A), Abstention("2", "judge", "no")], resampling=resampling()).estimates
        == {}
    )


def test_rankings_count_pair_by_pair() -> None:
    parts = {"orders/ab": 1.0, "first/ab": 0.5, "orders/ac": 0.0, "first/ac": 1.0, "orders/bc": 1.0, "first/bc": 0.5}
    outcomes = [Annotation(str(i), "judge", {}, part_confidences=parts) for i in range(30)]
    made = swap_metrics(outcomes, resampling=resampling()).estimates
    assert made["consistency_under_swap"].value == pytest.approx(2 / 3)
    assert made["position_bias"].value == pytest.approx(1 / 3)


def test_the_side_of_the_strength_counts_where_the_verdict_is_a_tie() -> None:
    gold: list[Answer] = [A, B, B, TIE]
    given: list[Answer] = [{"preferred": "tie", "strength": 0.6}, {"preferred": "b", "strength": 0.2}, TIE, A]
    made = strength_metrics(gold, given, resampling=resampling()).estimates
    assert made["pair_accuracy"].value == pytest.approx((1 + 1 + 0.5) / 3)
    assert made["pair_accuracy"].n == 3
    assert made["strength_brier"].value == pytest.approx((0.16 + 0.04 + 0.25 + 0.25) / 4)


def test_the_strengths_of_rankings_are_compared_pair_by_pair() -> None:
    gold = [{"strengths": {"ab": 1.0, "ac": 1.0, "bc": 0.5}}]
    given = [{"strengths": {"ab": 0.9, "ac": 0.2, "bc": 0.5}}]
    made = strength_metrics(gold, given, resampling=resampling()).estimates
    assert made["pair_accuracy"].value == 0.5
    assert made["strength_brier"].value == pytest.approx((0.01 + 0.64) / 3)


def test_strengths_of_other_records_are_no_better_than_chance() -> None:
    rng = np.random.default_rng(3)
    outcomes, truth = judges(400, 0.0, rng)
    given = [outcome.answer for outcome in outcomes if isinstance(outcome, Annotation)]
    assert strength_metrics(truth, given, resampling=resampling()).estimates["pair_accuracy"].value == 1
    shuffled = [given[i] for i in rng.permutation(len(given))]
    assert 0.4 < strength_metrics(truth, shuffled, resampling=resampling()).estimates["pair_accuracy"].value < 0.6


def test_metrics_of_preferences_use_gold_where_there_is_some_and_the_exchange_everywhere() -> None:
    outcomes = {"1": judged("1", "A", "B"), "2": judged("2", "A", "A"), "3": judged("3", "A", "A")}
    made = preference_metrics(outcomes, {"1": A, "4": B}, resampling=resampling()).estimates
    assert made["consistency_under_swap"].n == 3
    assert made["pair_accuracy"].n == 1
    assert "pair_accuracy" not in preference_metrics(outcomes, {}, resampling=resampling()).estimates


def test_an_assessment_reports_the_exchange_beside_accuracy() -> None:
    outcomes = {"1": judged("1", "A", "B"), "2": judged("2", "A", "A")}
    rng = np.random.default_rng(0)
    gold = {"1": A, "2": A}
    made = assess(TASK, annotator="judge", outcomes=outcomes, gold=gold, records=2, rng=rng, replicates=100).metrics
    assert (made["accuracy"].value, made["consistency_under_swap"].value, made["position_bias"].value) == (
        0.5,
        0.5,
        0.5,
    )


@pytest.mark.parametrize("name", gold_preference.SETS)
def test_gold_itself_is_right_and_an_annotator_that_always_says_a_gets_the_share_of_a(name: str) -> None:
    path = gold_preference.DATA / name / "test.jsonl"
    if not path.is_file():
        pytest.skip("the shared gold data is not here")
    these = task_for(name)
    gold = {record.id: these.accept(answer) for record, answer in records_and_gold(path)}
    share = np.mean([answer["preferred"] == "a" for answer in gold.values()])
    for given, right in ((gold, 1.0), (dict.fromkeys(gold, A), share)):
        outcomes = {record: Annotation(record, "judge", answer) for record, answer in given.items()}
        rng = np.random.default_rng(0)
        made = assess(
            these, annotator="judge", outcomes=outcomes, gold=gold, records=len(gold), rng=rng, replicates=100
        )
        assert made.metrics["accuracy"].value == pytest.approx(right)
