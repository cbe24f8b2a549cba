"""Two annotators are compared on the same gold; twins are a tie."""

import numpy as np
import pytest
from scipy.stats import binomtest

from postil.assess import compare
from postil.errors import GoldError
from postil.tasks.classification import Classification
from postil.tasks.rating import Rating
from postil.types import Abstention, Annotation, Answer, Outcome

TASK = Classification("tone", "Which tone?", labels=["good", "bad", "NA"])


def outcomes(annotator: str, labels: dict[str, str]) -> dict[str, Outcome]:
    return {record: Annotation(record, annotator, {"label": label}) for record, label in labels.items()}


def simulated(n: int, accuracy: float, rng: np.random.Generator) -> dict[str, Outcome]:
    """Return annotations where gold is always "good"."""
    return outcomes("m", {str(at): "good" if rng.random() < accuracy else "bad" for at in range(n)})


def all_good(n: int) -> dict[str, Answer]:
    return {str(at): {"label": "good"} for at in range(n)}


def test_twins_are_a_tie_whose_interval_has_a_width() -> None:
    rng = np.random.default_rng(1)
    same = simulated(50, 0.8, rng)
    made = compare(TASK, same, same, all_good(50), rng)
    assert made is not None
    assert made.value == 0
    assert made.low < 0 < made.high
    assert "p = 1" in made.method


def test_a_better_annotator_is_told_from_a_worse_one_with_mcnemars_p() -> None:
    rng = np.random.default_rng(2)
    better, worse = simulated(400, 0.9, rng), simulated(400, 0.7, rng)
    made = compare(TASK, better, worse, all_good(400), rng)
    assert made is not None
    rights = [
        [one.answer == {"label": "good"} for one in side.values() if isinstance(one, Annotation)]
        for side in (better, worse)
    ]
    only = [sum(a and not b for a, b in zip(*order, strict=True)) for order in (rights, rights[::-1])]
    assert made.value == pytest.approx((only[0] - only[1]) / 400)
    assert made.low > 0.1
    assert f"p = {binomtest(only[0], sum(only)).pvalue:.3g}" in made.method


def test_swapping_the_annotators_turns_the_sign() -> None:
    rng = np.random.default_rng(3)
    one, two = simulated(200, 0.9, rng), simulated(200, 0.8, rng)
    there, back = (compare(TASK, *pair, all_good(200), np.random.default_rng(0)) for pair in ((one, two), (two, one)))
    assert there is not None
    assert back is not None
    assert there.value == -back.value
    assert there.low == pytest.approx(-back.high, abs=0.02)


def test_intervals_of_the_difference_cover_the_truth() -> None:
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(200):
        made = compare(TASK, simulated(60, 0.9, rng), simulated(60, 0.8, rng), all_good(60), rng, replicates=200)
        assert made is not None
        covered += made.low <= 0.1 <= made.high
    assert 0.92 <= covered / 200 <= 0.99


def test_only_records_that_both_annotated_count() -> None:
    first = outcomes("m", {"1": "good", "2": "good", "3": "bad"})
    second = outcomes("s", {"1": "good", "2": "bad"}) | {"3": Abstention("3", "s", "unsure")}
    made = compare(TASK, first, second, all_good(9), np.random.default_rng(0))
    assert made is not None
    assert (made.value, made.n) == (0.5, 2)
    assert "2 of 9 gold records" in made.method


def test_nothing_in_common_is_nothing_to_say() -> None:
    first, second = outcomes("m", {"1": "good"}), outcomes("s", {"2": "good"})
    assert compare(TASK, first, second, all_good(3), np.random.default_rng(0)) is None
    assert compare(TASK, first, first, {}, np.random.default_rng(0)) is None


def test_ratings_are_compared_by_their_distance_from_gold() -> None:
    task, rng = Rating("stars", "How many?"), np.random.default_rng(5)
    gold: dict[str, Answer] = {str(at): {"rating": 3.5} for at in range(40)}
    near: dict[str, Outcome] = {one: Annotation(one, "m", {"rating": 4}) for one in gold}
    far: dict[str, Outcome] = {one: Annotation(one, "s", {"rating": 1 + at % 2}) for at, one in enumerate(gold)}
    made = compare(task, near, far, gold, rng)
    assert made is not None
    assert made.value == pytest.approx(0.5 - 2)
    assert made.high < 0
    assert "mean absolute error" in made.method


def test_gold_outside_the_task_is_refused() -> None:
    with pytest.raises(GoldError, match="'splendid'"):
        compare(TASK, {}, {}, {"1": {"label": "splendid"}}, np.random.default_rng(0))
