"""Named fields: types, stages that feed each other, rules that flag and never edit (survey 0.02)."""

import copy
import itertools
import json
import pickle
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.canonical import canonical_json
from postil.errors import AnswerError, DataError, NotFound, OutsideLabels, TaskError, Truncated, Unreadable
from postil.tasks import CompoundTask
from postil.tasks.attributes import Attributes
from postil.tasks.kinds import task_from_spec
from postil.testing import check_task
from postil.types import Annotation, Answer, Capabilities, Completion, Demonstration, Failure, Record, Request, Usage
from tests.tasks.asking import interviewed
from tests.tasks.gold_attributes import BOOKING, DATA, TASKS, records_and_gold

TEXT = "Table for four on 2 May, under Ng. The soup was cold; 服务员很好。"
RECORD = Record("r", {"text": TEXT})
PLAIN = Capabilities()
SCHEMA = Capabilities(schema=True)
TOLD = Capabilities(token_probabilities=True)

EVERY_TYPE: dict[str, dict[str, Any]] = {
    "food": {"type": "label", "labels": {"good": "tasty", "bad": ""}, "optional": True},
    "people": {"type": "number", "description": "Guests", "optional": True},
    "day": {"type": "date", "optional": True},
    "name": {"type": "text", "verbatim": True, "optional": True},
    "quotes": {"type": "list", "verbatim": True},
    "tags": {"type": "list", "labels": ["warm", "cold"]},
}
FULL = {"food": "bad", "people": 4, "day": "2026-05-02", "name": "Ng", "quotes": ["soup", "服务员"], "tags": ["cold"]}
EMPTY = {"food": None, "people": None, "day": None, "name": None, "quotes": [], "tags": []}


def dinner(fields: dict[str, dict[str, Any]] = EVERY_TYPE, **options: Any) -> Attributes:
    return Attributes("dinner", "What does the guest say?", fields=fields, **options)


def one(**field: Any) -> Attributes:
    return Attributes("one", "What?", fields={"x": field})


def reply(text: str, *tokens: tuple[str, float], finish: Any = "stop") -> Completion:
    return Completion(text, finish, Usage(1, 1), tokens=tokens or None)


def read(task: Attributes, values: Any) -> Any:
    reading = task.read(reply(json.dumps(values)), task.form(PLAIN), RECORD)
    assert reading.answer is not None
    return reading.answer["attributes"]


# Asking


def test_every_field_is_asked_for_with_its_type_and_what_it_means() -> None:
    task = dinner()
    said = {option.name: option.definition for option in task.ask(task.form(PLAIN)).options}
    assert said["food"] == 'one of "good" (tasty), "bad", or null if the text does not say'
    assert said["people"] == "a number, or null if the text does not say. Guests"
    assert "YYYY-MM-DD" in said["day"]
    assert "copied exactly" in said["name"]
    assert '"warm", "cold"' in said["tags"]
    chinese = dinner(language="zh")
    assert all(max(option.definition) >= "一" for option in chinese.ask(chinese.form(PLAIN)).options)


def test_the_schema_is_strict_and_null_stands_only_where_it_may() -> None:
    schema = dinner().form(SCHEMA).schema
    assert schema is not None
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(EVERY_TYPE)
    assert schema["properties"]["food"] == {"type": ["string", "null"], "enum": ["good", "bad", None]}
    assert schema["properties"]["people"] == {"type": ["number", "null"]}
    assert schema["properties"]["tags"] == {"type": "array", "items": {"type": "string", "enum": ["warm", "cold"]}}
    assert dinner().form(PLAIN).schema is None


# Reading


@pytest.mark.parametrize(
    ("field", "given_", "kept"),
    [
        ({"type": "label", "labels": ["good", "bad"]}, "GOOD.", "good"),
        ({"type": "label", "labels": ["1", "2"]}, 2, "2"),
        ({"type": "number"}, 4.0, 4),
        ({"type": "number"}, -0.5, -0.5),
        ({"type": "number"}, 2**53 + 1, 2**53 + 1),
        ({"type": "date"}, "2024-02-29", "2024-02-29"),
        ({"type": "date"}, "2024-02", "2024-02"),
        ({"type": "date"}, "2024", "2024"),
        ({"type": "date"}, "2024-02-29T18:30:00Z", "2024-02-29T18:30:00Z"),
        ({"type": "date"}, "2024-02-29T18:30+02:00", "2024-02-29T18:30+02:00"),
        ({"type": "text"}, "  free words ", "free words"),
        ({"type": "text", "verbatim": True}, "four", "four"),
        ({"type": "text", "verbatim": True}, "2  may", "2 May"),
        ({"type": "text", "verbatim": True}, "服务员", "服务员"),
        ({"type": "list"}, ["b", "a", "b"], ["b", "a"]),
        ({"type": "list"}, [], []),
        ({"type": "list", "labels": ["x", "y"]}, ["Y", "x", "y"], ["x", "y"]),
        ({"type": "text", "optional": True}, None, None),
    ],
)
def test_values_are_read_in_their_one_canonical_form(field: Any, given_: Any, kept: Any) -> None:
    found = read(one(**field), {"x": given_})["x"]
    assert canonical_json([found]) == canonical_json([kept])


@pytest.mark.parametrize(
    ("field", "given_", "error"),
    [
        ({"type": "label", "labels": ["good", "bad"]}, "fine", OutsideLabels),
        ({"type": "label", "labels": ["good", "bad"]}, ["good"], Unreadable),
        ({"type": "label", "labels": ["good", "bad"]}, None, Unreadable),
        ({"type": "label", "labels": ["0", "1"]}, True, Unreadable),
        ({"type": "number"}, "4", Unreadable),
        ({"type": "number"}, True, Unreadable),
        ({"type": "date"}, "2023-02-29", Unreadable),
        ({"type": "date"}, "29.02.2024", Unreadable),
        ({"type": "date"}, "20240229", Unreadable),
        ({"type": "date"}, "2024-W09-4", Unreadable),
        ({"type": "date"}, "2024-02T18:30", Unreadable),
        ({"type": "date"}, "2024-02-29T25:00", Unreadable),
        ({"type": "date"}, 2024, Unreadable),
        ({"type": "text"}, " ", Unreadable),
        ({"type": "text"}, 4, Unreadable),
        ({"type": "text", "verbatim": True}, "five", NotFound),
        ({"type": "list"}, "soup", Unreadable),
        ({"type": "list"}, ["soup", 1], Unreadable),
        ({"type": "list", "verbatim": True}, ["soup", "salad"], NotFound),
        ({"type": "list", "labels": ["x", "y"]}, ["x", "z"], OutsideLabels),
        ({"type": "list", "labels": ["x", "y"]}, None, Unreadable),
    ],
)
def test_what_is_no_value_is_a_failure_that_names_the_field(field: Any, given_: Any, error: type[Exception]) -> None:
    """Reliability A5, A6: nothing is converted, and nothing is the nearest."""
    with pytest.raises(error, match="'x': "):
        read(one(**field), {"x": given_})


def test_an_optional_field_that_is_not_there_is_null_and_another_is_missed() -> None:
    fields = {"a": {"type": "number"}, "b": {"type": "number", "optional": True}}
    assert read(dinner(fields), {"a": 1}) == {"a": 1, "b": None}
    with pytest.raises(Unreadable, match="'a' is missing"):
        read(dinner(fields), {"b": 1})


def test_a_field_that_nobody_asked_for_is_listed_and_changes_nothing() -> None:
    task = one(type="number")
    reading = task.read(reply('{"x": 1, "y": 2}'), task.form(PLAIN), RECORD)
    assert reading.answer == {"attributes": {"x": 1}}
    assert reading.rejected == ("field: there is no field 'y'",)


def test_words_that_stand_nowhere_are_dropped_only_where_the_task_says_so() -> None:
    said = json.dumps(FULL | {"name": "Smith", "quotes": ["soup", "salad"]})
    with pytest.raises(NotFound, match="'name': 'Smith' does not stand in the text"):
        dinner().read(reply(said), dinner().form(PLAIN), RECORD)
    task = dinner(unaligned="drop")
    reading = task.read(reply(said), task.form(PLAIN), RECORD)
    assert reading.answer is not None
    assert (reading.answer["attributes"]["name"], reading.answer["attributes"]["quotes"]) == (None, ["soup"])
    assert [reason.split(" does")[0] for reason in reading.rejected] == ["'name': 'Smith'", "'quotes': 'salad'"]
    required = Attributes("one", "What?", fields={"x": {"type": "text", "verbatim": True}}, unaligned="drop")
    with pytest.raises(NotFound):
        read(required, {"x": "Smith"})


@pytest.mark.parametrize("text", ['{"x": 1, "x": 2}', '{"x": NaN}', "x: 1", '[{"x": 1}]', '{"x": 1} {"x": 2}'])
def test_a_reply_that_is_not_one_strict_object_is_no_answer(text: str) -> None:
    with pytest.raises(AnswerError):
        one(type="number").read(reply(text), one(type="number").form(PLAIN), RECORD)


def test_a_reply_that_was_cut_is_no_answer() -> None:
    with pytest.raises(Truncated):
        one(type="number").read(reply('{"x": 1}', finish="length"), one(type="number").form(PLAIN), RECORD)


def test_each_field_has_the_probability_of_its_own_tokens() -> None:
    """Survey 0.02, 0.03: each field has a confidence of its own."""
    task = dinner({"a": {"type": "number"}, "b": {"type": "text"}})
    said = (('{"a": ', 0.9), ("12", 0.5), (', "b": ', 0.8), ('"so', 0.4), ('up"', 0.5), ("}", 0.9))
    reading = task.read(reply("".join(token for token, _ in said), *said), task.form(TOLD), RECORD)
    assert reading.part_confidences == {"attributes/a": pytest.approx(0.5), "attributes/b": pytest.approx(0.2)}
    assert reading.confidence is not None
    assert reading.confidence.value == pytest.approx(0.1)


def test_reasons_stand_beside_the_fields_and_evidence_in_the_record() -> None:
    task = dinner({"food": EVERY_TYPE["food"]}, rationale=True, evidence=True)
    said = {"rationale": "It was cold.", "evidence": ["soup was cold", "it was hot"], "food": "bad"}
    reading = task.read(reply(json.dumps(said)), task.form(SCHEMA), RECORD)
    assert (reading.answer, reading.rationale) == ({"attributes": {"food": "bad"}}, "It was cold.")
    assert [span["text"] for span in reading.evidence] == ["soup was cold"]
    assert len(reading.rejected) == 1


# Definitions


@pytest.mark.parametrize(
    "field",
    [
        {"type": "word"},
        {"type": "label"},
        {"type": "label", "labels": ["a"]},
        {"type": "label", "labels": ["a", "A"]},
        {"type": "text", "labels": ["a", "b"]},
        {"type": "number", "verbatim": True},
        {"type": "list", "labels": ["a", "b"], "verbatim": True},
        {"type": "text", "optional": "yes"},
        {"type": "text", "verbatin": True},
        {"type": "text", "description": 3},
    ],
)
def test_a_field_that_cannot_work_is_refused_by_its_name(field: Any) -> None:
    with pytest.raises(TaskError, match=r"one\.x"):
        one(**field)


@pytest.mark.parametrize(
    "options",
    [
        {"fields": {}},
        {"fields": {"a": "number"}},
        {"fields": {"": {"type": "text"}}},
        {"fields": {"rationale": {"type": "text"}}},
        {"fields": [{"name": "a"}, {"name": "a"}]},
        {"stages": [["food"], ["people"]]},
        {"stages": [["food", "people", "day", "name", "quotes", "tags"], ["food"]]},
        {"stages": [[], ["food", "people", "day", "name", "quotes", "tags"]]},
        {"unaligned": "guess"},
        {"show": "{answers so far}", "stages": [["food"], ["people", "day", "name", "quotes", "tags"]]},
        {"rules": [{"if": {"food": "bad"}}]},
        {"rules": [{"then": {"food": "bad"}}]},
        {"rules": [{"if": {"foot": "bad"}, "then": {"people": 1}}]},
        {"rules": [{"if": {"food": "awful"}, "then": {"people": 1}}]},
        {"rules": [{"if": {"food": "bad"}, "than": {"people": 1}}]},
        {"rules": [{"if": "food", "then": {"people": 1}}]},
    ],
)
def test_a_definition_that_cannot_work_is_refused(options: Any) -> None:
    with pytest.raises(TaskError, match="dinner"):
        dinner(**{"fields": EVERY_TYPE, **options})


def test_the_spec_makes_an_equal_task_and_all_that_matters_is_in_it() -> None:
    names = list(EVERY_TYPE)
    changes: list[dict[str, Any]] = [
        {},
        {"fields": dict(reversed(EVERY_TYPE.items()))},
        {"stages": [names[:2], names[2:]]},
        {"stages": [names[2:], names[:2]]},
        {"rules": [{"if": {"food": "bad"}, "then": {"tags": "cold"}}]},
        {"rules": [{"if": {"food": "bad"}, "then_not": {"tags": "cold"}}]},
        {"unaligned": "drop"},
        {"rationale": True},
        {"evidence": True},
        {"language": "zh"},
        {"show": "{text} {title}"},
    ]
    tasks = [dinner(**change) for change in changes]
    assert len({canonical_json(task.spec) for task in tasks}) == len(tasks)
    for task in tasks:
        again = task_from_spec(json.loads(canonical_json(task.spec)))
        assert (again, type(again), hash(again)) == (task, type(task), hash(task))
        assert pickle.loads(pickle.dumps(task)) == copy.copy(task) == task  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"stages": [["food", "people"], ["day", "name"], ["quotes", "tags"]]},
        {"rationale": True, "evidence": True},
        {"language": "zh", "unaligned": "drop"},
    ],
    ids=repr,
)
def test_the_kind_keeps_its_contract(options: Any) -> None:
    check_task(dinner(**options), [{"attributes": FULL}, {"attributes": EMPTY}], record=RECORD)


# Accepting, comparing, merging


@pytest.mark.parametrize(
    "attributes",
    [
        None,
        [],
        "x",
        {},
        EMPTY | {"other": 1},
        EMPTY | {"people": "4"},
        EMPTY | {"name": "Smith"},
        EMPTY | {"tags": None},
    ],
)
def test_gold_that_is_no_answer_is_refused(attributes: Any) -> None:
    with pytest.raises(DataError):
        dinner().accept({"attributes": attributes}, RECORD)


def test_agreement_is_the_mean_over_the_fields() -> None:
    task = dinner()
    full, empty = {"attributes": FULL}, {"attributes": EMPTY}
    assert task.agreement(full, full) == task.agreement(empty, empty) == 1
    assert task.agreement(full, empty) == 0
    half = {"attributes": FULL | {"quotes": ["soup"], "tags": ["warm"]}}
    assert task.agreement(full, half) == pytest.approx((4 + 0.5 + 0) / 6)


def test_merging_is_by_field_and_a_tie_is_a_tie() -> None:
    task = dinner({"a": {"type": "number"}, "b": {"type": "text"}})

    def said(a: float, b: str) -> Answer:
        return {"attributes": {"a": a, "b": b}}

    assert task.merge([(said(1, "x"), 1), (said(1, "y"), 1), (said(2, "y"), 1)]) == said(1, "y")
    assert task.merge([(said(1, "x"), 1), (said(2, "x"), 1)]) is None


VALUES = st.fixed_dictionaries(
    {
        "food": st.sampled_from([None, "good", "bad"]),
        "people": st.none() | st.integers(-(10**20), 10**20) | st.floats(allow_nan=False, allow_infinity=False),
        "day": st.none() | st.dates().map(str),
        "name": st.sampled_from([None, "Ng", "服务员很好", "2 May"]),
        "quotes": st.lists(st.sampled_from(["soup", "cold", "Table for four"]), unique=True),
        "tags": st.lists(st.sampled_from(["warm", "cold"]), unique=True),
    }
)


@given(VALUES)
def test_every_answer_is_written_and_read_back_and_accepted_again(values: dict[str, Any]) -> None:
    task = dinner()
    answer = task.accept({"attributes": values}, RECORD)
    written = task.write(answer, task.form(PLAIN), RECORD)
    assert task.read(reply(written), task.form(PLAIN), RECORD).answer == answer
    assert canonical_json(task.accept(answer, RECORD)) == canonical_json(answer)


# Rules


def test_a_broken_rule_is_told_of_and_the_answer_stays_as_it_was_given() -> None:
    fields = {name: {"type": "label", "labels": ["good", "bad"], "optional": True} for name in ("food", "overall")}
    rule = {"if": {"food": "bad"}, "then_not": {"overall": "good"}, "message": "bad food, and still good"}
    task = dinner(fields, rules=[rule])
    for food, overall, flags in (("bad", "good", 1), ("bad", "bad", 0), ("good", "good", 0), (None, "good", 0)):
        said = json.dumps({"food": food, "overall": overall})
        reading = task.read(reply(said), task.form(PLAIN), RECORD)
        assert reading.answer == {"attributes": {"food": food, "overall": overall}}
        assert reading.rejected == ("rule: bad food, and still good",) * flags


@pytest.mark.parametrize(
    ("rule", "values", "broken"),
    [
        ({"if": {"people": True}, "then": {"name": True}}, {"people": 4}, True),
        ({"if": {"people": True}, "then": {"name": True}}, {"people": 4, "name": "Ng"}, False),
        ({"if": {"people": True}, "then": {"name": True}}, {}, False),
        ({"if": {"name": False}, "then": {"quotes": False}}, {"quotes": ["soup"]}, True),
        ({"if": {"food": ["good", "bad"]}, "then": {"people": 2}}, {"food": "good", "people": 2}, False),
        ({"if": {"food": ["good", "bad"]}, "then": {"people": 2}}, {"food": "bad", "people": 3}, True),
        ({"if": {"tags": "cold"}, "then": {"food": "BAD"}}, {"tags": ["warm", "cold"], "food": "good"}, True),
        ({"if": {"tags": "cold"}, "then": {"food": "BAD"}}, {"tags": ["warm", "cold"], "food": "bad"}, False),
        ({"if": {"name": "ng"}, "then_not": {"people": 1, "food": "bad"}}, {"name": "Ng", "food": "bad"}, True),
        ({"if": {"name": "ng"}, "then_not": {"people": 1, "food": "bad"}}, {"name": "Ng", "people": 2}, False),
        ({"if": {"people": 4.0, "food": "bad"}, "then": {"tags": "cold"}}, {"people": 4, "food": "good"}, False),
    ],
)
def test_rules_mean_what_they_say(rule: Any, values: Any, broken: bool) -> None:
    task = dinner(rules=[rule])
    reading = task.read(reply(json.dumps(EMPTY | values)), task.form(PLAIN), RECORD)
    assert bool(reading.rejected) == broken


# Stages (survey 0.02)

POLARITY = {"type": "label", "labels": ["positive", "negative"]}
REVIEW = Attributes(
    "review",
    "What does the review say?",
    fields={
        "aspect": {"type": "label", "labels": ["food", "service"]},
        "evidence_words": {"type": "text", "verbatim": True},
        "polarity": POLARITY,
        "overall": POLARITY,
    },
    stages=[["aspect"], ["evidence_words", "polarity"], ["overall"]],
    rules=[{"if": {"polarity": "negative"}, "then_not": {"overall": "positive"}, "message": "overall against aspect"}],
)
SOUP = Record("soup", {"text": "The soup was cold."})
WAITER = Record("waiter", {"text": "The waiter was kind."})


def reviewer(contradicting: str = "", aspect: str = "food") -> Any:
    """Return a model of three stages that contradicts itself about one text."""

    def model(request: Request) -> str:
        text = request.messages[-1].content
        good = "kind" in text
        if '"overall"' in request.messages[0].content:
            good = good or (bool(contradicting) and contradicting in text)
            return json.dumps({"overall": "positive" if good else "negative"})
        if '"polarity"' in request.messages[0].content:
            words = "kind" if good else "cold"
            return json.dumps({"evidence_words": words, "polarity": "positive" if good else "negative"})
        return json.dumps({"aspect": aspect})

    return model


def test_three_stages_make_one_answer_and_a_planted_contradiction_flags_that_record_only() -> None:
    assert isinstance(REVIEW, CompoundTask)
    flags: dict[str, tuple[str, ...]] = {}
    for record in (SOUP, WAITER, Record("other", {"text": "Cold soup, and cold again: cold."})):
        outcome, asked = interviewed(REVIEW, record, reviewer("The soup was cold"))
        if record.id == "other":
            # "cold" is there twice, and any of them will do: no place is asked for.
            assert isinstance(outcome, Annotation)
        assert isinstance(outcome, Annotation)
        assert len(asked) == 3
        flags[record.id] = outcome.rejected
        if record is SOUP:
            assert outcome.answer == {
                "attributes": {
                    "aspect": "food",
                    "evidence_words": "cold",
                    "polarity": "negative",
                    "overall": "positive",
                }
            }
    assert flags == {"soup": ("rule: overall against aspect",), "waiter": (), "other": ()}


def test_a_stage_is_shown_the_answers_to_the_ones_before_and_nothing_of_those_after() -> None:
    _, asked = interviewed(REVIEW, SOUP, reviewer())
    shown = [request.messages[-1].content for request in asked]
    assert "Answers so far" not in shown[0]
    assert 'Answers so far: {"aspect": "food"}' in shown[1]
    assert 'Answers so far: {"aspect": "food", "evidence_words": "cold", "polarity": "negative"}' in shown[2]
    assert [sorted(json.loads(_example(request))) for request in asked] == [
        ["aspect"],
        ["evidence_words", "polarity"],
        ["overall"],
    ]


def _example(request: Request) -> str:
    contract = request.messages[0].content.splitlines()[-1]
    return contract[contract.index("{") : contract.rindex("}") + 1].replace("…", "0")


def test_another_answer_to_the_first_stage_changes_the_prompt_of_the_second() -> None:
    """The fake catch of row 0.02: stages really feed each other."""
    _, food = interviewed(REVIEW, SOUP, reviewer(aspect="food"))
    _, service = interviewed(REVIEW, SOUP, reviewer(aspect="service"))
    assert food[0] == service[0]
    assert food[1].messages[-1].content.replace("food", "service") == service[1].messages[-1].content
    assert food[1] != service[1]


def test_words_of_an_earlier_answer_are_no_words_of_the_record() -> None:
    def model(request: Request) -> str:
        if '"evidence_words"' in request.messages[0].content:
            return '{"evidence_words": "food", "polarity": "negative"}'
        return '{"aspect": "food"}'

    outcome, _ = interviewed(REVIEW, SOUP, model)
    assert isinstance(outcome, Failure)
    assert outcome.failure_class == "not_found"


def test_a_demonstration_shows_each_stage_its_own_fields_after_the_answers_before() -> None:
    whole = {"aspect": "service", "evidence_words": "rude", "polarity": "negative", "overall": "negative"}
    shown = Demonstration(Record("d", {"text": "A rude waiter."}), {"attributes": whole})
    _, asked = interviewed(REVIEW, SOUP, reviewer(), demonstrations=[shown])
    assert [json.loads(request.messages[2].content) for request in asked] == [
        {"aspect": "service"},
        {"evidence_words": "rude", "polarity": "negative"},
        {"overall": "negative"},
    ]
    assert '{"aspect": "service"}' in asked[1].messages[1].content


def test_the_stages_make_one_confidence_and_keep_their_reasons() -> None:
    task = Attributes(
        "t",
        "What?",
        fields={"a": {"type": "number"}, "b": {"type": "number"}},
        stages=[["b"], ["a"]],
        rationale=True,
        evidence=True,
    )

    def model(request: Request) -> Completion:
        name = "a" if "so far" in request.messages[-1].content else "b"
        said = (
            (f'{{"rationale": "since {name}", "evidence": ["soup"], "{name}": ', 0.9),
            ("1", 0.5 if name == "a" else 0.4),
            ("}", 0.9),
        )
        return reply("".join(token for token, _ in said), *said)

    outcome, _ = interviewed(task, SOUP, model, capabilities=TOLD)
    assert isinstance(outcome, Annotation)
    assert outcome.answer == {"attributes": {"a": 1, "b": 1}}
    assert outcome.confidence is not None
    assert outcome.confidence.value == pytest.approx(0.2)
    assert outcome.part_confidences == {"attributes/b": pytest.approx(0.4), "attributes/a": pytest.approx(0.5)}
    assert outcome.rationale == "since b\nsince a"
    assert [span["text"] for span in outcome.evidence] == ["soup", "soup"]


# Real gold


@pytest.mark.parametrize(
    ("name", "folder"), [("restaurant8k_slots", "entities"), ("alttest_cebab_aspects", "llm_studies")]
)
def test_real_gold_is_read_back_exactly_and_that_of_other_records_is_not(name: str, folder: str) -> None:
    paths = [DATA / folder / name / f"{part}.jsonl" for part in ("pool", "test")]
    if not paths[0].exists():
        pytest.skip("the shared data is not here")
    task, solved = TASKS[name], [pair for path in paths for pair in records_and_gold(path)]
    assert len(solved) > 900
    form = task.form(SCHEMA)
    for record, answer in solved:
        accepted = task.accept(answer, record)
        assert accepted == answer
        written = task.write(accepted, form, record)
        assert task.read(reply(written), form, record).answer == accepted
    shuffled = random.Random(0).sample(solved, len(solved))
    same = sum(one[1] == other[1] for one, other in zip(solved, shuffled, strict=True)) / len(solved)
    assert same < 0.5


def test_slots_of_another_booking_are_refused_where_their_words_do_not_stand() -> None:
    path = DATA / "entities/restaurant8k_slots/test.jsonl"
    if not path.exists():
        pytest.skip("the shared data is not here")
    solved = records_and_gold(path)
    filled = [pair for pair in solved if any(pair[1]["attributes"].values())]
    refused = 0
    for (record, _), (_, other) in itertools.pairwise(filled):
        try:
            BOOKING.accept(other, record)
        except DataError:
            refused += 1
    assert refused > 0.9 * (len(filled) - 1)
