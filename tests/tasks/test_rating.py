"""A number on a scale: asking, reading, accepting, comparing, merging."""

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.canonical import canonical_json, digest
from postil.errors import Ambiguous, AnswerError, DataError, OutsideLabels, Refused, TaskError, Truncated, Unreadable
from postil.tasks.kinds import task_from_spec
from postil.tasks.rating import Rating
from postil.testing import check_task
from postil.types import JSON, Capabilities, Completion, Record, Usage

RECORD = Record("r", {"text": "Good."})
PLAIN = Capabilities()
SCALES = [(1, 5), (0, 10), (-4, 4), (0, 100), (-1, 0), (-100, -98)]
EVERY_ENGINE = [PLAIN, Capabilities(schema=True), Capabilities("first_token"), Capabilities("sequence")]


def task(low: int = 1, high: int = 5, **options: JSON) -> Rating:
    return Rating("quality", "How good is it?", low=low, high=high, **options)


def rating(these: Rating, text: str, capabilities: Capabilities = PLAIN) -> JSON:
    reading = these.read(Completion(text, "stop", Usage(1, 1)), these.form(capabilities), RECORD)
    assert reading.answer is not None
    return reading.answer["rating"]


@pytest.mark.parametrize("capabilities", EVERY_ENGINE, ids=str)
@pytest.mark.parametrize(("low", "high"), SCALES)
def test_every_point_is_read_back_as_it_was_written(low: int, high: int, capabilities: Capabilities) -> None:
    these = task(low, high)
    form = these.form(capabilities)
    for point in range(low, high + 1):
        written = these.write({"rating": point}, form)
        assert not form.choices or written in form.choices
        assert rating(these, written, capabilities) == point


@pytest.mark.parametrize(
    ("text", "point"),
    [
        ("4", 4),
        ("4.", 4),
        ("**4**", 4),
        ("４", 4),
        ("+4", 4),
        ("4.0", 4),
        ("4/5", 4),
        ("4 out of 5", 4),
        ("4分", 4),
        ("Rating: 4", 4),
        ("Rating: 4/5", 4),
        ('{"rating": 4}', 4),
        ('{"rating": "4"}', 4),
        ('{"rating": 4.0}', 4),
        ("3 reasons for 2 doubts, 5 at most.\nRating: 4", 4),
    ],
)
def test_a_point_is_read_in_every_declared_way(text: str, point: int) -> None:
    assert rating(task(), text) == point


@pytest.mark.parametrize(
    ("low", "high", "text", "point"), [(-4, 4, "-4", -4), (-4, 4, "−3", -3), (-4, 4, "4", 4), (0, 10, "10/10", 10)]
)
def test_signs_and_long_numbers_are_read_whole(low: int, high: int, text: str, point: int) -> None:
    assert rating(task(low, high), text) == point


@pytest.mark.parametrize(
    ("low", "high", "text", "error"),
    [
        (1, 5, "6", OutsideLabels),
        (1, 5, "0", OutsideLabels),
        (1, 5, "-4", OutsideLabels),
        (1, 5, "4.5", OutsideLabels),
        (1, 5, "4,5", OutsideLabels),
        (1, 5, "<4", OutsideLabels),
        (1, 5, ".5", OutsideLabels),
        (1, 5, "four", OutsideLabels),
        (1, 5, '{"rating": 6}', OutsideLabels),
        (1, 5, '{"rating": true}', Unreadable),
        (1, 5, '{"rating": null}', Unreadable),
        (1, 5, '{"rating": 1e999}', Unreadable),
        (1, 5, "4-5", Ambiguous),
        (1, 5, "4 or 5", Ambiguous),
        (1, 5, "4/6", OutsideLabels),
        (-4, 4, "- 4", OutsideLabels),
        (-4, 4, "3-4", Ambiguous),
        (0, 10, "between 7 and 8", Ambiguous),
        (1, 5, "I cannot rate this text.", Refused),
        (1, 5, "抱歉，我无法评分。", Refused),
    ],
)
def test_nothing_else_is_a_point(low: int, high: int, text: str, error: type[AnswerError]) -> None:
    with pytest.raises(AnswerError) as caught:
        rating(task(low, high), text)
    assert type(caught.value) is error


def test_a_reply_cut_short_is_no_rating() -> None:
    # "1" of "10": what is there is a point of the scale, and not the answer.
    with pytest.raises(Truncated):
        task(0, 10).read(Completion("1", "length", Usage(1, 1)), task(0, 10).form(PLAIN), RECORD)


def test_probabilities_are_over_the_points() -> None:
    these = task(1, 3)
    form = these.form(Capabilities("sequence"))
    completion = Completion("3", "stop", Usage(1, 1), choice_probabilities=(0.1, 0.3, 0.6))
    reading = these.read(completion, form, RECORD)
    assert (reading.answer, reading.probabilities) == ({"rating": 3}, {"1": 0.1, "2": 0.3, "3": 0.6})
    corrected = these.read(completion, form, RECORD, (0.05, 0.05, 0.9))
    assert corrected.answer == {"rating": 2}
    assert corrected.confidence is not None
    assert corrected.confidence.value == pytest.approx(6 / (2 + 6 + 2 / 3))


def test_the_schema_is_of_whole_numbers() -> None:
    schema = task(0, 2).form(Capabilities(schema=True)).schema
    assert schema is not None
    assert schema["properties"] == {"rating": {"type": "integer", "enum": [0, 1, 2]}}
    assert task().write({"rating": 4}, task().form(Capabilities(schema=True))) == '{"rating": 4}'


def test_anchors_stand_with_their_points() -> None:
    these = task(1, 3, anchors={"1": "awful", 3: "great"})
    options = these.ask(these.form(PLAIN)).options
    assert [(option.name, option.definition) for option in options] == [("1", "awful"), ("2", ""), ("3", "great")]


# Gold between points


@pytest.mark.parametrize(
    ("value", "accepted"),
    [(4, 4), (4.0, 4), ("4", 4), (" 4.5 ", 4.5), (3.25, 3.25), ("+2", 2), (np.int64(3), 3), (np.float64(2.5), 2.5)],
)
def test_numbers_on_the_scale_are_accepted(value: JSON, accepted: float) -> None:
    answer = task().accept({"rating": value})
    assert answer == {"rating": accepted}
    assert type(answer["rating"]) is type(accepted)


@pytest.mark.parametrize(
    "value",
    [None, "", "x", "nan", "inf", math.nan, math.inf, True, 0, 5.01, "1_0", "1e0", 10**400, "9" * 5000, [[4]], b"4"],
)
def test_anything_else_is_refused(value: JSON) -> None:
    with pytest.raises(DataError, match="expected a number from 1 to 5"):
        task().accept({"rating": value})


@pytest.mark.parametrize(
    ("low", "high", "gold", "shown"),
    [(1, 5, 3.4, "3"), (1, 5, 3.5, "4"), (1, 5, 2.5, "2"), (-4, 4, -0.5, "-1"), (-4, 4, 0.5, "1"), (-4, 4, -3.9, "-4")],
)
def test_gold_between_points_is_shown_as_the_nearest_with_no_leaning(
    low: int, high: int, gold: float, shown: str
) -> None:
    these = task(low, high)
    assert these.write({"rating": gold}, these.form(PLAIN)) == shown
    # The mirror image of the scale gives the mirror image of the answer.
    assert these.write({"rating": low + high - gold}, these.form(PLAIN)) == str(low + high - int(shown))


@given(st.floats(-4, 4))
def test_accepting_is_idempotent(value: float) -> None:
    once = task(-4, 4).accept({"rating": value})
    assert task(-4, 4).accept(once) == once


# Comparing and merging


def test_agreement_falls_with_distance() -> None:
    assert task().agreement({"rating": 1}, {"rating": 5}) == 0
    assert task().agreement({"rating": 2}, {"rating": 3}) == 0.75
    assert task().agreement({"rating": 3.5}, {"rating": 3.5}) == 1


@given(st.floats(0, 10), st.floats(0, 10))
def test_agreement_is_symmetric(one: float, other: float) -> None:
    these, a, b = task(0, 10), {"rating": one}, {"rating": other}
    assert these.agreement(a, b) == these.agreement(b, a)
    assert 0 <= these.agreement(a, b) <= 1


def test_merging_is_the_weighted_mean() -> None:
    assert task().merge([({"rating": 2}, 1), ({"rating": 5}, 2)]) == {"rating": 4}
    assert task().merge([({"rating": 2}, 1), ({"rating": 3}, 1)]) == {"rating": 2.5}
    assert task().merge([]) is None
    assert task().merge([({"rating": 2}, 0)]) is None


@given(st.lists(st.tuples(st.integers(0, 10), st.floats(0.01, 9)), min_size=1, max_size=9), st.data())
def test_a_mean_lies_among_its_ratings_and_knows_no_order(
    weighted: list[tuple[int, float]], data: st.DataObject
) -> None:
    answers = [({"rating": value}, weight) for value, weight in weighted]
    merged = task(0, 10).merge(answers)
    assert merged is not None
    assert min(value for value, _ in weighted) <= merged["rating"] <= max(value for value, _ in weighted)
    assert task(0, 10).merge(data.draw(st.permutations(answers))) == pytest.approx(merged)


# The definition


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"low": 1, "high": 1}, "2 to 101 points"),
        ({"low": 5, "high": 1}, "2 to 101 points"),
        ({"low": 0, "high": 101}, "2 to 101 points"),
        ({"low": 0.5, "high": 2}, "whole numbers"),
        ({"low": False, "high": True}, "whole numbers"),
        ({"anchors": {"6": "x"}}, "from 1 to 5"),
        ({"anchors": {"1.5": "x"}}, "from 1 to 5"),
        ({"anchors": {"²": "x"}}, "from 1 to 5"),
        ({"anchors": {"--3": "x"}}, "from 1 to 5"),
        ({"anchors": {"3": 1}}, "must be text"),
        ({"show": "{text!r}"}, "plain fields only"),
    ],
)
def test_a_scale_that_cannot_work_is_refused(options: dict[str, JSON], words: str) -> None:
    with pytest.raises(TaskError, match=words):
        Rating("t", "How good?", **options)


@pytest.mark.parametrize(
    "these",
    [task(), task(-4, 4, anchors={"-4": "hates it", "4": "loves it"}), Rating("评分", "请打分", low=0, high=10)],
)
def test_a_spec_makes_an_equal_task(these: Rating) -> None:
    for written in (json.dumps(these.spec), canonical_json(these.spec)):
        again = task_from_spec(json.loads(written))
        assert again == these
        assert hash(again) == hash(these)


def test_each_part_of_the_definition_is_part_of_the_tasks_version() -> None:
    parts: list[dict[str, Any]] = [
        {},
        {"low": 0},
        {"high": 6},
        {"anchors": {"1": "x"}},
        {"show": "{a}"},
        {"language": "zh"},
    ]
    made = [Rating("t", "How good?", **part) for part in parts]
    assert len({digest(each.spec) for each in made}) == len(made)


@pytest.mark.parametrize(("low", "high"), [(1, 5), (-4, 4), (0, 10)])
def test_the_kind_keeps_its_contract(low: int, high: int) -> None:
    check_task(task(low, high), [{"rating": point} for point in range(low, high + 1)])
