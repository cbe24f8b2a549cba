"""Named fields beside gold: field by field and together (survey 0.02)."""

import random
from typing import Any

import numpy as np
import pytest

from postil.assess import assess
from postil.assess.compared import Counts
from postil.assess.fields import compare
from postil.tasks.attributes import Attributes
from postil.types import Annotation, Answer
from tests.tasks.gold_attributes import BOOKING, DATA, SLOTS, records_and_gold

TASK = Attributes(
    "t",
    "What?",
    fields={
        "food": {"type": "label", "labels": ["good", "bad"], "optional": True},
        "people": {"type": "number", "optional": True},
        "name": {"type": "text", "optional": True},
        "dishes": {"type": "list"},
    },
)


def answer(food: Any = None, people: Any = None, name: Any = None, dishes: tuple[str, ...] = ()) -> Answer:
    return TASK.accept({"attributes": {"food": food, "people": people, "name": name, "dishes": [*dishes]}})


def test_values_that_are_there_are_counted_and_null_is_nothing_to_find() -> None:
    gold = answer("good", 4, None, ("soup", "rice"))
    found = compare(TASK, gold, answer("bad", 4, "Ng", ("rice", "tea", "pie")))
    assert found.per_label == {
        "food": Counts(0, 1, 1),
        "people": Counts(1, 1, 1),
        "name": Counts(0, 1, 0),
        "dishes": Counts(1, 3, 2),
    }
    assert found.counts == {"fields": Counts(2, 6, 4)}
    assert found.scores == {
        "accuracy/food": 0,
        "accuracy/people": 1,
        "accuracy/name": 0,
        "accuracy/dishes": 0,
        "joint_accuracy": 0,
    }
    assert not found.right


def test_null_against_null_is_right_and_texts_are_equal_as_they_read() -> None:
    found = compare(TASK, answer(name="Lee  Smith"), answer(name="LEE smith."))
    assert found.scores["joint_accuracy"] == 1
    assert found.right
    assert found.per_label["food"] == Counts(0, 0, 0)
    lists = compare(TASK, answer(dishes=("soup", "Rice")), answer(dishes=("rice", "soup")))
    assert lists.right


@pytest.mark.parametrize(
    "given_", [answer(people=5), answer(name="4"), answer("good"), answer(dishes=("4",)), answer()]
)
def test_a_value_elsewhere_is_not_a_value_here(given_: Answer) -> None:
    assert not compare(TASK, answer(people=4), given_).right


def test_a_label_and_the_same_word_in_another_case_are_one_value_after_acceptance() -> None:
    assert compare(TASK, answer("good"), answer("GOOD")).right


def micro(gold: list[Answer], given_: list[Answer], task: Attributes) -> float:
    counts = [compare(task, true, said).counts["fields"] for true, said in zip(gold, given_, strict=True)]
    return 2 * sum(each.hits for each in counts) / sum(each.given + each.gold for each in counts)


def test_gold_slots_score_one_and_answers_that_know_nothing_the_known_floor() -> None:
    path = DATA / "entities/restaurant8k_slots/test.jsonl"
    if not path.exists():
        pytest.skip("the shared data is not here")
    gold = [BOOKING.accept(said, record) for record, said in records_and_gold(path)]
    empty = BOOKING.accept({"attributes": dict.fromkeys(SLOTS)})
    assert micro(gold, gold, BOOKING) == 1
    assert micro(gold, [empty] * len(gold), BOOKING) == 0
    assert micro(gold, random.Random(0).sample(gold, len(gold)), BOOKING) < 0.1
    joint = [compare(BOOKING, true, empty).scores["joint_accuracy"] for true in gold]
    assert np.mean(joint) == np.mean([true == empty for true in gold])


def test_the_assessment_has_every_field_and_the_joint_figure_with_intervals() -> None:
    """An annotator that is wrong about one field only: the others are told apart from it."""
    rng = random.Random(0)
    gold = {str(at): answer(rng.choice(["good", "bad"]), rng.randrange(3), "Ng", ("soup",)) for at in range(100)}
    said = {id_: answer("good", true["attributes"]["people"], "Ng", ("soup",)) for id_, true in gold.items()}
    made = assess(
        TASK,
        annotator="m",
        outcomes={id_: Annotation(id_, "m", each) for id_, each in said.items()},
        gold=gold,
        records=100,
        rng=np.random.default_rng(0),
    )
    share = sum(true["attributes"]["food"] == "good" for true in gold.values()) / 100
    metrics = made.metrics
    assert metrics["accuracy/food"].value == metrics["joint_accuracy"].value == share < 1
    assert metrics["accuracy/people"].value == metrics["accuracy/name"].value == 1
    assert metrics["fields_f1"].value == pytest.approx((300 + share * 100) / 400)
    assert made.per_label["food"]["recall"].value == share
    assert all(one.low <= one.value <= one.high for one in metrics.values())
