"""Any number of labels: asking, reading, accepting, comparing, merging, and asking about each (survey 0.01)."""

import copy
import json
import pickle
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.canonical import canonical_json
from postil.errors import AnswerError, Inconsistent, OutsideLabels, TaskError, Truncated, Unreadable
from postil.tasks import CompoundTask, NarrowableTask
from postil.tasks.kinds import task_from_spec
from postil.tasks.multilabel import MultiLabel
from postil.testing import check_task
from postil.types import Annotation, Capabilities, Completion, Demonstration, Failure, Record, Request, Usage
from tests.tasks.asking import interviewed
from tests.tasks.gold_labels import DATA, labels_of, records_and_gold

RECORD = Record("r", {"text": "I love it, and I am so surprised."})
PLAIN = Capabilities()
SCHEMA = Capabilities(schema=True)
TOLD = Capabilities(token_probabilities=True)
SCORED = Capabilities(scores="sequence", free=True)


def feelings(*labels: str, **options: Any) -> MultiLabel:
    return MultiLabel("feelings", "Which feelings?", labels=labels or ("joy", "anger", "surprise"), **options)


def reply(text: str, *tokens: tuple[str, float], finish: Any = "stop") -> Completion:
    return Completion(text, finish, Usage(1, 1), tokens=tokens or None)


def read(task: MultiLabel, text: str) -> Any:
    reading = task.read(reply(text), task.form(PLAIN), RECORD)
    assert reading.answer is not None
    return reading.answer["labels"]


# Asking


def test_the_schema_lists_the_labels_and_the_contract_says_how_many() -> None:
    form = feelings().form(SCHEMA)
    assert form.schema is not None
    assert form.schema["properties"]["labels"]["items"]["enum"] == ["joy", "anger", "surprise"]
    assert feelings().form(PLAIN).schema is None
    contracts = {feelings(at_least=n).ask(form).contract for n in (0, 1, 2)}
    assert len(contracts) == 3
    assert any("[] if none" in each for each in contracts)
    assert "至少一个" in feelings("喜", "怒", at_least=1, language="zh").ask(form).contract


def test_definitions_are_shown_with_their_labels() -> None:
    task = MultiLabel("t", "Which?", labels={"joy": "gladness", "anger": ""})
    assert [(option.name, option.definition) for option in task.ask(task.form(PLAIN)).options] == [
        ("joy", "gladness"),
        ("anger", ""),
    ]


# Reading


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('{"labels": ["surprise", "joy"]}', ["joy", "surprise"]),
        ('{"labels": []}', []),
        ('```json\n{"labels": ["JOY."]}\n```', ["joy"]),
        ('{"labels": ["joy", "Joy", "gladness"]}', ["joy"]),
        ('Because of this.\nLabels: {"labels": ["anger"]}', ["anger"]),
    ],
)
def test_the_labels_of_a_reply_come_each_once_in_the_order_of_the_task(text: str, labels: list[str]) -> None:
    assert read(feelings(aliases={"gladness": "joy"}), text) == labels


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ('{"labels": ["joy", "envy"]}', OutsideLabels),
        ('{"labels": ["joyful"]}', OutsideLabels),
        ('{"labels": [true]}', OutsideLabels),
        ('{"labels": [["joy"]]}', OutsideLabels),
        ('{"labels": [null]}', OutsideLabels),
        ('{"labels": "joy"}', Unreadable),
        ('{"labels": {"joy": true}}', Unreadable),
        ('{"label": ["joy"]}', Unreadable),
        ('["joy"]', Unreadable),
        ("joy, surprise", Unreadable),
        ('{"labels": ["joy"], "labels": ["anger"]}', Unreadable),
        ('{"labels": ["joy"]} or {"labels": ["anger"]}', AnswerError),
    ],
)
def test_what_is_no_list_of_labels_is_a_failure_and_never_the_nearest_label(text: str, error: type[Exception]) -> None:
    """Reliability A5, A6, A7."""
    with pytest.raises(error):
        read(feelings(), text)


def test_a_list_that_was_cut_is_no_answer() -> None:
    with pytest.raises(Truncated):
        feelings().read(reply('{"labels": ["joy"]}', finish="length"), feelings().form(PLAIN), RECORD)


def test_too_few_labels_are_no_answer_and_the_message_says_how_many() -> None:
    with pytest.raises(Inconsistent, match="at least 2 labels, got 1"):
        read(feelings(at_least=2), '{"labels": ["joy", "JOY"]}')


def test_labels_that_are_numbers_are_read_from_numbers() -> None:
    assert read(feelings("1", "2"), '{"labels": [2]}') == ["2"]


def test_each_label_has_the_probability_of_its_own_tokens() -> None:
    """Survey 0.03: and the whole answer that of all of them; nothing without tokens."""
    task = feelings()
    said = (('{"labels": [', 0.9), ('"sur', 0.5), ('prise"', 0.8), (", ", 0.7), ('"joy"', 0.25), ("]", 0.6), ("}", 1.0))
    text = "".join(token for token, _ in said)
    reading = task.read(reply(text, *said), task.form(TOLD), RECORD)
    assert reading.answer == {"labels": ["joy", "surprise"]}
    assert reading.part_confidences == {"labels/0": pytest.approx(0.25), "labels/1": pytest.approx(0.4)}
    assert reading.confidence is not None
    assert reading.confidence.value == pytest.approx(0.5 * 0.8 * 0.25)
    silent = task.read(reply(text), task.form(TOLD), RECORD)
    assert (silent.confidence, silent.part_confidences, silent.probabilities) == (None, None, None)


def test_an_empty_list_has_a_probability_too() -> None:
    task = feelings()
    reading = task.read(reply('{"labels": []}', ('{"labels": ', 0.9), ("[]", 0.3), ("}", 0.9)), task.form(TOLD), RECORD)
    assert reading.confidence is not None
    assert reading.confidence.value == pytest.approx(0.3)
    assert reading.part_confidences is None


# Definitions


@pytest.mark.parametrize(
    "options",
    [
        {"at_least": 4},
        {"at_least": -1},
        {"at_least": True},
        {"threshold": 0.0, "each": True},
        {"threshold": 1.0, "each": True},
        {"threshold": 0.7},
        {"each": True, "rationale": True},
        {"aliases": {"glad": "gladness"}},
        {"aliases": {"Anger": "joy"}},
        {"show": "no field"},
    ],
)
def test_a_definition_that_cannot_work_is_refused(options: Any) -> None:
    with pytest.raises(TaskError):
        feelings(**options)


def test_the_spec_makes_an_equal_task_and_all_that_matters_is_in_it() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"at_least": 1},
        {"each": True},
        {"each": True, "threshold": 0.7},
        {"separator": "/"},
        {"aliases": {"glad": "joy"}},
        {"rationale": True},
        {"evidence": True},
        {"language": "zh"},
        {"show": "{title}"},
    ]
    tasks = [feelings(**change) for change in changes]
    assert len({canonical_json(task.spec) for task in tasks}) == len(tasks)
    for task in tasks:
        again = task_from_spec(json.loads(canonical_json(task.spec)))
        assert (again, type(again), hash(again)) == (task, type(task), hash(task))
        assert pickle.loads(pickle.dumps(task)) == copy.copy(task) == task  # noqa: S301 - our own bytes


@pytest.mark.parametrize(
    "options", [{}, {"each": True}, {"separator": "/"}, {"evidence": True, "rationale": True}, {"at_least": 1}]
)
@pytest.mark.parametrize("labels", [("joy", "joy/calm", "anger"), ("喜", "怒", "哀")])
def test_the_kind_keeps_its_contract(labels: tuple[str, ...], options: Any) -> None:
    first, second, third = labels
    answers = [{"labels": [first]}, {"labels": [third, second]}, {"labels": [*labels]}]
    check_task(feelings(*labels, **options), answers if options.get("at_least") else [{"labels": []}, *answers])


# Comparing and merging


def test_agreement_is_the_shared_share_and_of_paths_that_of_their_steps() -> None:
    flat, tree = feelings("a", "a/b", "a/c", "d"), feelings("a", "a/b", "a/c", "d", separator="/")
    one, other = {"labels": ["a/b"]}, {"labels": ["a/c"]}
    assert flat.agreement(one, other) == 0
    assert tree.agreement(one, other) == pytest.approx(1 / 3)
    assert flat.agreement({"labels": []}, {"labels": []}) == 1
    assert flat.agreement({"labels": ["a", "d"]}, {"labels": ["d"]}) == 0.5


def test_merging_keeps_what_more_than_half_of_the_weight_says() -> None:
    task = feelings()
    joy, both, none = {"labels": ["joy"]}, {"labels": ["joy", "anger"]}, {"labels": []}
    assert task.merge([(joy, 1), (both, 1), (none, 1)]) == joy
    assert task.merge([(joy, 1), (none, 1)]) is None
    assert task.merge([(both, 0.2), (none, 0.1), (none, 0.1)]) is None
    assert task.merge([(both, 3), (none, 1), (joy, 1)]) == both
    assert feelings(at_least=1).merge([(joy, 1), ({"labels": ["anger"]}, 1), ({"labels": ["surprise"]}, 1)]) is None


LABELS = st.lists(st.sampled_from(["joy", "anger", "surprise"]), unique=True)


@given(st.lists(st.tuples(LABELS, st.sampled_from([0.1, 0.5, 1.0, 2.0])), min_size=1, max_size=6), st.randoms())
def test_a_merge_does_not_depend_on_the_order(given_: list[tuple[list[str], float]], rng: random.Random) -> None:
    task = feelings()
    weighted = [(task.accept({"labels": labels}), weight) for labels, weight in given_]
    shuffled = rng.sample(weighted, len(weighted))
    assert task.merge(weighted) == task.merge(shuffled)


@given(LABELS)
def test_every_answer_is_written_and_read_back(labels: list[str]) -> None:
    task = feelings()
    answer = task.accept({"labels": labels})
    assert read(task, task.write(answer, task.form(PLAIN))) == answer["labels"] == sorted(labels, key=task.labels.index)


# One question a label


def test_only_a_task_that_asks_about_each_label_is_compound() -> None:
    assert isinstance(feelings(each=True), CompoundTask)
    assert not isinstance(feelings(), CompoundTask)


def scored(text: str, yes: float) -> Completion:
    return Completion(text, "stop", Usage(1, 1), choice_probabilities=(yes, 1 - yes))


def asked_about_each(task: MultiLabel, odds: dict[str, float]) -> tuple[Any, list[Request]]:
    """Answer each question with the probability of its label."""

    def model(request: Request) -> Completion:
        label = request.messages[0].content.split("label apply: ")[1].split("?")[0]
        return scored("yes" if odds[label] >= 0.5 else "no", odds[label])

    return interviewed(task, RECORD, model, capabilities=SCORED)


def test_every_label_gets_a_probability_and_those_above_the_threshold_are_the_answer() -> None:
    odds = {"joy": 0.9, "anger": 0.2, "surprise": 0.6}
    outcome, asked = asked_about_each(feelings(each=True, threshold=0.55), odds)
    assert isinstance(outcome, Annotation)
    assert outcome.answer == {"labels": ["joy", "surprise"]}
    assert outcome.probabilities == pytest.approx(odds)
    assert outcome.part_confidences == pytest.approx({"labels/0": 0.9, "labels/1": 0.6})
    assert outcome.confidence is not None
    assert outcome.confidence.value == pytest.approx(0.9 * 0.8 * 0.6)
    assert [request.choices for request in asked] == [("yes", "no")] * 3
    assert asked_about_each(feelings(each=True, threshold=0.65), odds)[0].answer == {"labels": ["joy"]}


def test_the_questions_follow_the_names_of_labels_and_not_their_places() -> None:
    odds = {"joy": 0.9, "anger": 0.2, "surprise": 0.6}
    turned, _ = asked_about_each(feelings("surprise", "anger", "joy", each=True), odds)
    assert turned.answer == {"labels": ["surprise", "joy"]}
    assert turned.probabilities == pytest.approx(odds)


def test_where_one_label_must_apply_the_most_probable_does_and_a_tie_is_a_tie() -> None:
    task = feelings(each=True, at_least=1)
    outcome, _ = asked_about_each(task, {"joy": 0.1, "anger": 0.3, "surprise": 0.2})
    assert outcome.answer == {"labels": ["anger"]}
    tied, _ = asked_about_each(task, {"joy": 0.3, "anger": 0.3, "surprise": 0.2})
    assert isinstance(tied, Failure)
    assert tied.failure_class == "inconsistent"


def test_without_probabilities_each_label_is_answered_yes_or_no() -> None:
    def model(request: Request) -> str:
        return "yes" if "apply: joy?" in request.messages[0].content else "no"

    outcome, asked = interviewed(feelings(each=True), RECORD, model)
    assert isinstance(outcome, Annotation)
    assert (outcome.answer, outcome.confidence, outcome.probabilities) == ({"labels": ["joy"]}, None, None)
    assert len(asked) == 3


def test_a_demonstration_of_the_whole_shows_each_question_its_own_part() -> None:
    shown = Demonstration(Record("d", {"text": "It broke, I am livid."}), {"labels": ["anger"]})
    _, asked = interviewed(feelings(each=True), RECORD, lambda _: "no", demonstrations=[shown])
    assert [request.messages[-2].content for request in asked] == ["no", "yes", "no"]


def test_a_list_is_asked_for_once_with_its_demonstration() -> None:
    shown = Demonstration(Record("d", {"text": "It broke, I am livid."}), {"labels": ["anger"]})
    outcome, [request] = interviewed(feelings(), RECORD, lambda _: '{"labels": ["joy"]}', demonstrations=[shown])
    assert isinstance(outcome, Annotation)
    assert outcome.answer == {"labels": ["joy"]}
    assert request.messages[-2].content == '{"labels": ["anger"]}'


# Fewer labels


def test_a_narrowed_task_offers_fewer_labels_in_the_same_order_and_reads_no_others() -> None:
    task = MultiLabel("t", "Which?", labels={"a": "first", "b": "", "c": "third"}, aliases={"x": "a", "y": "b"})
    assert isinstance(task, NarrowableTask)
    narrowed = task.narrowed({"c", "a", "nothing"})
    assert narrowed.labels == ("a", "c")
    assert [option.definition for option in narrowed.options] == ["first", "third"]
    assert read(narrowed, '{"labels": ["x", "c"]}') == ["a", "c"]
    with pytest.raises(OutsideLabels):
        read(narrowed, '{"labels": ["b"]}')
    with pytest.raises(TaskError):
        task.narrowed({"a"})


# Real gold


def test_the_gold_of_goemotions_is_read_back_exactly_and_a_constant_scores_the_known_floor() -> None:
    """Echoed gold scores 1.0; always "neutral" scores its share; answers of other records far less than their own."""
    paths = [DATA / "multi_label/goemotions" / f"{part}.jsonl" for part in ("pool", "test")]
    if not paths[0].exists():
        pytest.skip("the shared data is not here")
    task = MultiLabel("goemotions", "Which emotions does the writer express?", labels=labels_of(*paths), at_least=1)
    assert len(task.labels) == 28
    solved = [pair for path in paths for pair in records_and_gold(path)]
    form = task.form(SCHEMA)
    accepted = [task.accept(answer, record) for record, answer in solved]
    for (record, answer), canonical in zip(solved, accepted, strict=True):
        assert set(answer["labels"]) == set(canonical["labels"])
        written = task.write(canonical, form, record)
        assert len(written.encode()) <= form.max_tokens
        assert task.read(reply(written), form, record).answer == canonical
    constant = {"labels": ["neutral"]}
    exact = sum(answer == constant for answer in accepted) / len(accepted)
    assert 0.25 < exact < 0.35
    shuffled = random.Random(0).sample(accepted, len(accepted))
    by_chance = [task.agreement(one, other) for one, other in zip(accepted, shuffled, strict=True)]
    assert sum(by_chance) / len(by_chance) < 0.2
