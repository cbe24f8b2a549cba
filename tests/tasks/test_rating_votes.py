"""Several people's ratings of one record are kept as votes; a near miss counts in the confidence of a rating."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import postil
from postil.errors import DataError
from postil.prompts import Prompt
from postil.tasks.rating import Rating
from postil.types import Answer, Capabilities, Completion, Record, Usage
from tests.tasks import gold_ratings
from tests.tasks.gold_ratings import records_and_gold, task_for

TASK = Rating("quality", "How good is it?")
PLAIN = Capabilities()


@pytest.mark.parametrize(
    ("gold", "accepted"),
    [
        ({"ratings": [4, 5]}, {"rating": 4.5, "votes": [4, 5]}),
        ({"votes": {"ann": 4, "bob": "5", "cy": None}}, {"rating": 4.5, "votes": {"ann": 4, "bob": 5}}),
        ({"votes": {"ann": 2, "bob": 3}, "rating": 3}, {"rating": 3, "votes": {"ann": 2, "bob": 3}}),
        ({"ratings": [3]}, {"rating": 3, "votes": [3]}),
        ({"rating": [2, 5]}, {"rating": 3.5, "votes": [2, 5]}),
        ({"rating": {"ann": 2}}, {"rating": 2, "votes": {"ann": 2}}),
    ],
)
def test_votes_are_kept_and_their_mean_is_the_rating(gold: Answer, accepted: Answer) -> None:
    assert TASK.accept(gold) == accepted
    assert TASK.accept(accepted) == accepted
    assert TASK.value(accepted) == accepted["rating"]


@pytest.mark.parametrize(
    "gold",
    [
        {"ratings": []},
        {"ratings": 4},
        {"ratings": "45"},
        {"ratings": [4, 6]},
        {"votes": {"ann": None}},
        {"votes": {"a": "x"}},
    ],
)
def test_what_are_no_votes_on_the_scale_is_refused(gold: Answer) -> None:
    with pytest.raises(DataError):
        TASK.accept(gold)


@given(st.lists(st.integers(-4, 4), min_size=1, max_size=90))
def test_the_rating_lies_among_its_votes(votes: list[int]) -> None:
    answer = Rating("t", "?", low=-4, high=4).accept({"ratings": votes})
    assert min(votes) <= answer["rating"] <= max(votes)
    assert answer["rating"] == pytest.approx(math.fsum(votes) / len(votes))
    assert answer["votes"] == votes


def test_a_near_miss_counts_in_the_confidence_within_one_point() -> None:
    form = TASK.form(Capabilities("sequence"))
    odds = (0.05, 0.1, 0.2, 0.4, 0.25)
    reading = TASK.read(
        Completion("4", "stop", Usage(1, 1), choice_probabilities=odds), form, Record("r", {"text": "x"})
    )
    assert reading.confidence is not None
    assert reading.confidence.value == 0.4
    assert reading.part_confidences == {"within_one": pytest.approx(0.85)}
    bare = TASK.read(Completion("4", "stop", Usage(1, 1)), form, Record("r", {"text": "x"}))
    assert bare.part_confidences is None


def rows(name: str, part: str) -> list[tuple[Record, Answer]]:
    path = gold_ratings.DATA / name / f"{part}.jsonl"
    if not path.is_file():
        pytest.skip("the shared gold data is not here")
    return records_and_gold(path)


def means(name: str, part: str) -> dict[str, float]:
    """Return the published mean of each record."""
    path = gold_ratings.DATA / name / f"{part}.jsonl"
    read = map(json.loads, path.read_text(encoding="utf-8").splitlines()) if path.is_file() else ()
    return {row["id"]: row["mean"] for row in read}


@pytest.mark.parametrize("name", gold_ratings.SETS)
def test_every_gold_rating_is_accepted_written_and_read_back_as_its_nearest_point(name: str) -> None:
    these = task_for(name)
    for part in ("pool", "test"):
        published = means(name, part)
        for record, gold in rows(name, part):
            answer = these.accept(gold, record)
            assert these.accept(answer) == answer
            assert answer["rating"] == pytest.approx(published[record.id], abs=1e-5)
            for capabilities in (
                PLAIN,
                Capabilities("sequence"),
                Capabilities("first_token"),
                Capabilities(schema=True),
            ):
                form = these.form(capabilities)
                reading = these.read(Completion(these.write(answer, form), "stop", Usage(1, 1)), form, record)
                assert reading.answer is not None
                assert abs(reading.answer["rating"] - answer["rating"]) <= 0.5


@pytest.mark.parametrize("name", gold_ratings.SETS)
def test_an_engine_that_echoes_gold_gives_the_nearest_points(name: str) -> None:
    these, some = task_for(name), rows(name, "test")[:60]
    prompt, form = Prompt.for_engine(these, PLAIN), these.form(PLAIN)
    replies = {prompt.render(record)[-1].content: these.write(these.accept(gold), form) for record, gold in some}
    engine = postil.ScriptedEngine(lambda request: replies[request.messages[-1].content])
    told: list[dict[str, Any]] = postil.annotate([record.fields for record, _ in some], these, engine=engine)
    assert [str(row["rating"]) for row in told] == [these.write(these.accept(gold), form) for _, gold in some]
