"""The annotator as one more of the people who rated: Krippendorff's alpha by distance (survey 2.06)."""

import numpy as np
import pytest

from postil.assess import assess
from postil.assess.agreement import krippendorff_alpha
from postil.assess.intervals import Resampling
from postil.assess.ratings import rater_metrics
from postil.tasks.rating import Rating
from postil.types import Annotation, Answer, Capabilities
from tests.tasks import gold_ratings
from tests.tasks.gold_ratings import records_and_gold, task_for


def resampling() -> Resampling:
    return Resampling(np.random.default_rng(0), 0.95, 200)


def of_distances(units: list[list[float]]) -> float:
    """Return alpha from its definition: 1 − observed / expected squared distance, pair by pair."""
    pairs = [
        ((a - b) ** 2, len(unit)) for unit in units for i, a in enumerate(unit) for j, b in enumerate(unit) if i != j
    ]
    everything = [value for unit in units for value in unit]
    n = len(everything)
    observed = sum(distance / (size - 1) for distance, size in pairs) / n
    expected = sum((a - b) ** 2 for a in everything for b in everything) / (n * (n - 1))
    return 1 - observed / expected


def test_both_alphas_are_those_of_the_definition() -> None:
    gold: list[Answer] = [
        {"rating": 1.5, "votes": [1, 2]},
        {"rating": 4, "votes": {"ann": 4, "bob": 5, "cy": 3}},
        {"rating": 2},
        {"rating": 5, "votes": [5, 5]},
    ]
    made = rater_metrics(gold, [1.0, 5.0, 2.0, 4.0], resampling=resampling()).estimates
    assert made["raters_alpha"].value == pytest.approx(of_distances([[1, 2], [4, 5, 3], [5, 5]]))
    with_annotator = of_distances([[1, 2, 1], [4, 5, 3, 5], [5, 5, 4]])
    assert made["raters_alpha_with_annotator"].value == pytest.approx(with_annotator)


def test_gold_without_votes_says_nothing_of_people() -> None:
    assert rater_metrics([{"rating": 3}], [3.0], resampling=resampling()).estimates == {}


def test_an_assessment_reports_both_alphas() -> None:
    these = Rating("quality", "How good is it?")
    gold = {str(i): these.accept({"ratings": [1 + i % 5, 1 + (i + i % 2) % 5]}) for i in range(20)}
    outcomes = {record: Annotation(record, "model", {"rating": round(one["rating"])}) for record, one in gold.items()}
    rng = np.random.default_rng(0)
    made = assess(these, annotator="model", outcomes=outcomes, gold=gold, records=20, rng=rng, replicates=100).metrics
    assert made["raters_alpha_with_annotator"].value > made["raters_alpha"].value


@pytest.mark.parametrize("name", gold_ratings.SETS)
def test_an_annotator_that_follows_the_mean_agrees_and_a_shuffled_one_does_not(name: str) -> None:
    path = gold_ratings.DATA / name / "test.jsonl"
    if not path.is_file():
        pytest.skip("the shared gold data is not here")
    these = task_for(name)
    gold = [these.accept(answer) for _, answer in records_and_gold(path)][:300]
    follows = [float(these.write(answer, these.form(Capabilities()))) for answer in gold]
    shuffled = np.random.default_rng(1).permutation(follows).tolist()
    made, worse = (rater_metrics(gold, given, resampling=resampling()).estimates for given in (follows, shuffled))
    assert made["raters_alpha"] == worse["raters_alpha"]
    assert made["raters_alpha_with_annotator"].value > made["raters_alpha"].value
    assert worse["raters_alpha_with_annotator"].value < made["raters_alpha"].value
    direct = krippendorff_alpha([answer["votes"] for answer in gold], resampling=resampling(), scale="interval")
    assert direct is not None
    assert made["raters_alpha"].value == pytest.approx(direct.value)
