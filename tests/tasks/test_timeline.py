"""Timelines: what is asked, what counts as an answer, what never does (survey 0.07, reliability A5 to A9)."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import postil
from postil import Capabilities, Completion, Record
from postil.errors import (
    Ambiguous,
    AnswerError,
    DataError,
    Inconsistent,
    NotFound,
    OutsideLabels,
    RecordRejected,
    TaskError,
    Unreadable,
)
from postil.prompts import Prompt
from postil.tasks import CompoundTask, Reading, Task
from postil.tasks.kinds import task_from_spec
from postil.tasks.temporal_order import RELATIONS, Link, find_cycles
from postil.tasks.timeline import Timeline
from postil.testing import check_task
from postil.types import Answer, Usage
from tests.tasks import gold_timeline

TEXT = "She left the house at noon, had eaten before, and came home after the rain. The rain began at dawn."
RECORD = Record("r", {"text": TEXT})
TASK = Timeline("story", "What happened when?")


def at(words: str, mention: int = 1, text: str = TEXT) -> dict[str, Any]:
    start = -1
    for _ in range(mention):
        start = text.index(words, start + 1)
    return {"start": start, "end": start + len(words), "text": words}


def event(id_: str, words: str, mention: int = 1) -> dict[str, Any]:
    return {"id": id_, **at(words, mention)}


def link(text: str) -> dict[str, str]:
    source, relation, target = text.split()
    return {"from": source, "to": target, "relation": relation}


LEFT, EATEN, CAME, RAIN = event("E1", "left"), event("E2", "eaten"), event("E3", "came"), event("E4", "rain")
ANSWER: Answer = {
    "events": [LEFT, EATEN, CAME, RAIN],
    "links": [link("E1 after E2"), link("E1 before E3"), link("E3 after E4")],
}
EVENTS = Record("r", {"text": TEXT, "events": [LEFT, EATEN, CAME, RAIN]})
GIVEN = Timeline("story", "What happened when?", events="events")
PAIR = Timeline("first", "Which of the two was first?", pair=["one", "other"])
LEFT_EATEN = Record("r", {"text": TEXT, "one": at("left"), "other": at("eaten")})


def json_reply(value: Any) -> Completion:
    return Completion(json.dumps(value, ensure_ascii=False), "stop", Usage(1, 1))


def reply(links: Sequence[Any], *words: str) -> Completion:
    """Return a reply about the story's four events, or about those of some words, with links between them."""
    named = words or ("left", "eaten", "came", "rain:1")
    events = [{"id": f"E{i}", **quote(each)} for i, each in enumerate(named, 1)]
    return json_reply({"events": events, "links": [link(each) if isinstance(each, str) else each for each in links]})


def quote(words: str) -> dict[str, Any]:
    text, _, occurrence = words.partition(":")
    return {"text": text, "occurrence": int(occurrence)} if occurrence else {"text": text}


def read(task: Task, completion: Completion, record: Record = RECORD, **capabilities: Any) -> Reading:
    return task.read(completion, task.form(Capabilities(**capabilities)), record)


def links_read(task: Task, completion: Completion, record: Record = RECORD) -> list[str]:
    answer = read(task, completion, record).answer
    assert answer
    return [f"{each['from']} {each['relation']} {each['to']}" for each in answer["links"]]


def refused(task: Task, completion: Completion, record: Record = RECORD) -> AnswerError:
    with pytest.raises(AnswerError) as raised:
        read(task, completion, record)
    return raised.value


def asked_about(task: Task, record: Record) -> Record:
    """Return what an engine is shown of a record."""
    assert isinstance(task, CompoundTask)
    assert task.parts == (task,)
    return task.part_record(0, record, ())


@pytest.mark.parametrize(
    "task",
    [
        TASK,
        Timeline("story", "事情是什么时候发生的？", cycles="repair", unaligned="drop"),
        Timeline("story", "When?", relations={"before": "sooner", "after": "later"}, rationale=True, evidence=True),
    ],
)
def test_the_kind_keeps_its_contract(task: Timeline) -> None:
    check_task(task, [ANSWER, {"events": [LEFT], "links": []}, {"events": [], "links": []}], record=RECORD)


@pytest.mark.parametrize("options", [{}, {"cycles": "repair", "unaligned": "drop", "evidence": True}])
def test_the_kind_keeps_its_contract_where_events_are_given(options: dict[str, Any]) -> None:
    task = Timeline("story", "事情是什么时候发生的？", events="events", **options)
    check_task(task, [ANSWER, {"links": []}], record=EVENTS)


@pytest.mark.parametrize("options", [{}, {"relations": ["before", "after"], "rationale": True}])
def test_the_kind_keeps_its_contract_for_a_pair(options: dict[str, Any]) -> None:
    task = Timeline("first", "Which was first?", pair=["one", "other"], **options)
    answers: list[Answer] = [{"links": [link(f"E1 {relation} E2")]} for relation in task.labels]
    check_task(task, answers, record=LEFT_EATEN)


def test_a_task_is_what_its_spec_says() -> None:
    tasks = [
        TASK,
        GIVEN,
        PAIR,
        Timeline("a", "b", relations=["before", "vague"], times=True, cycles="repair", unaligned="drop", fuzzy=0.0),
        Timeline("a", "b", relations={"simultaneous": "at once"}, aliases={"same": "simultaneous"}, language="zh"),
        Timeline("a", "b", show="{date}: {text}", field="text", rationale=True, evidence=True),
        Timeline("a", "b", pair=["one", "other"], show="{one}; {other}; {text}"),
    ]
    for task in tasks:
        again = task_from_spec(json.loads(json.dumps(task.spec)))
        assert again == task
        assert type(again) is type(task)
        assert hash(again) == hash(task)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"relations": ["before", "overlaps"]}, "got 'overlaps'"),
        ({"relations": []}, "label"),
        ({"aliases": {"earlier": "sooner"}}, "'sooner', which is no relation"),
        ({"aliases": {"Before": "after"}}, "read the same"),
        ({"events": "events", "pair": ["a", "b"]}, "not both"),
        ({"pair": ["a"]}, "two fields"),
        ({"pair": ["a", "a"]}, "two fields"),
        ({"pair": ["a", "b"], "relations": ["before"]}, "at least two"),
        ({"pair": ["a", "b"], "show": "{text} {a}"}, "{b}"),
        ({"events": "events", "show": "{text}"}, "{events}"),
        ({"events": "events", "times": True}, "`times`"),
        ({"show": "{date} {text}"}, "one field"),
        ({"cycles": "ignore"}, "`cycles`"),
        ({"unaligned": "guess"}, "`unaligned`"),
    ],
)
def test_a_definition_that_cannot_work_is_refused(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(TaskError, match=wrong):
        Timeline("story", "When?", **options)


def test_events_are_found_at_their_places_and_put_in_the_order_of_the_text() -> None:
    found = reply(["E3 before E2", "E1 before E4", "E2 after E4", "E4 before E2"], "rain:1", "came", "left", "eaten")
    # rain is E1 in the reply and E4 in the answer, and so on.
    expected = ["E1 before E3", "E2 before E3", "E2 after E4"]
    answer = read(TASK, found).answer
    assert answer
    assert answer["events"] == [LEFT, EATEN, CAME, RAIN]
    assert links_read(TASK, found) == expected


def test_answers_that_say_the_same_are_equal() -> None:
    turned = reply(["E2 before E1", "E3 after E1", "E4 before E3", "E1 after E2"])
    assert read(TASK, turned).answer == ANSWER
    outside: Answer = {
        "events": [{**RAIN, "id": "x"}, {**CAME, "id": "y"}, {**EATEN, "id": "z"}, {**LEFT, "id": "E2"}],
        "links": [link("z before E2"), link("E2 before y"), link("x before y")],
    }
    assert TASK.accept(outside) == TASK.accept(outside, RECORD) == ANSWER
    assert TASK.value(TASK.accept(outside)) == TASK.value(ANSWER)


def test_a_relation_whose_inverse_the_task_has_is_turned_round() -> None:
    forwards = Timeline("story", "When?", relations=["before", "simultaneous"])
    assert links_read(forwards, reply(["E1 after E2", "E3 after E4"])) == ["E2 before E1", "E4 before E3"]
    assert isinstance(refused(forwards, reply(["E1 includes E2"])), OutsideLabels)


@pytest.mark.parametrize(
    ("completion", "error", "said"),
    [
        (reply([], "slept"), NotFound, r"events\[0\]: 'slept' does not stand"),
        (reply([], "rain"), Ambiguous, r"events\[0\]: 'rain' .* 2 times"),
        (reply([], "rain:3"), NotFound, "occurrence 3"),
        (reply(["E1 precedes E2"]), OutsideLabels, "before, after"),
        (reply(["E1 before E9"]), Inconsistent, "no event 'E9'; there are E1, E2, E3, E4"),
        (reply([{"from": 1, "to": 2, "relation": "before"}]), Inconsistent, "no event 1"),
        (reply(["E1 before E1"]), Inconsistent, r"E1 \(left\) before E1 \(left\) links an event to itself"),
        (reply(["E1 vague E2", "E2 before E1"]), Inconsistent, "contradict each other"),
        (reply([], "left", "left"), Inconsistent, "E1 and E2 are the same event, 'left'"),
        (reply([{**link("E1 before E2"), "why": "x"}]), Unreadable, "'why'"),
        (reply([{**link("E1 before E2"), "confidence": 1}]), Unreadable, "confidence"),
        (json_reply({"events": []}), Unreadable, "expected a list under 'links'"),
        (json_reply({"events": [], "links": [], "order": []}), Unreadable, "'order'"),
        (json_reply({"events": [{"text": "left"}], "links": []}), Unreadable, '"id"'),
        (json_reply({"events": [{"id": 1, "text": "left"}], "links": []}), Unreadable, '"id"'),
        (
            json_reply({"events": [{"id": "E1", "text": "left", "time": {"text": "noon"}}], "links": []}),
            Unreadable,
            "time",
        ),
        (
            json_reply({"events": [{"id": "a", "text": "left"}, {"id": "a", "text": "came"}], "links": []}),
            Inconsistent,
            "two events 'a'",
        ),
        (json_reply({"events": "left", "links": []}), Unreadable, "expected a list under 'events'"),
        (Completion("She ate first.", "stop", Usage(1, 1)), Unreadable, "expected JSON"),
    ],
)
def test_what_cannot_be_used_is_named(completion: Completion, error: type[AnswerError], said: str) -> None:
    """Nothing is guessed: neither a place (A9) nor a relation (A5)."""
    with pytest.raises(error, match=said) as raised:
        read(TASK, completion)
    assert type(raised.value) is error


def test_a_planted_cycle_names_its_three_links() -> None:
    """Survey 0.07."""
    fault = refused(TASK, reply(["E1 before E2", "E2 before E3", "E3 before E1", "E4 before E1"]))
    assert isinstance(fault, Inconsistent)
    assert str(fault) == (
        "these links cannot all be true: "
        "E1 (left) before E2 (eaten); E2 (eaten) before E3 (came); E3 (came) before E1 (left)"
    )


def test_links_that_cannot_all_be_true_are_no_gold() -> None:
    with pytest.raises(DataError, match="cannot all be true"):
        TASK.accept({"events": [LEFT, EATEN], "links": [link("E1 before E2"), link("E1 includes E2")]})


REPAIR = Timeline("story", "What happened when?", cycles="repair")
CYCLE = ("E1 before E2", "E2 before E3", "E3 before E1")


def sure(*confidences: float | None) -> Completion:
    return reply([{**link(each), "confidence": c} for each, c in zip(CYCLE, confidences, strict=True)])


def test_of_a_cycle_the_link_that_is_least_sure_is_left_out_and_counted_where_that_is_wanted() -> None:
    reading = read(REPAIR, sure(0.9, 0.4, 0.8))
    assert links_read(REPAIR, sure(0.9, 0.4, 0.8)) == ["E1 before E2", "E1 after E3"]
    [said] = reading.rejected
    assert said.startswith("links[1]: E2 (eaten) before E3 (came) (confidence 0.4) was left out")
    assert isinstance(refused(TASK, reply(CYCLE)), Inconsistent)


@pytest.mark.parametrize("confidences", [(None, None, None), (0.9, 0.8, None), (0.5, 0.5, 0.9), (0.9, 0.8, 7)])
def test_where_nothing_says_which_link_is_least_sure_none_is_left_out(confidences: tuple[float | None, ...]) -> None:
    fault = refused(REPAIR, sure(*confidences))
    assert isinstance(fault, Inconsistent)
    assert "nothing says which" in str(fault)


def test_what_is_wrong_whatever_the_order_is_not_repaired() -> None:
    for links in (["E1 vague E2", "E1 before E2"], ["E1 before E1"]):
        stated = reply([{**link(each), "confidence": 0.5} for each in links])
        assert isinstance(refused(REPAIR, stated), Inconsistent)


def test_a_reply_is_asked_how_sure_it_is_only_where_that_is_needed_and_nobody_else_says() -> None:
    asked = {
        (task.cycles, known): "confidence"
        in task.ask(task.form(Capabilities(schema=True, token_probabilities=known))).contract
        for task in (TASK, REPAIR)
        for known in (False, True)
    }
    assert asked == {("fail", False): False, ("fail", True): False, ("repair", False): True, ("repair", True): False}


def tokens(text: str, probabilities: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Cut a text into characters, each certain but for those that begin one of some stretches."""
    found = [[character, 1.0] for character in text]
    for stretch, probability in probabilities.items():
        found[text.index(stretch)][1] = probability
    return tuple((str(character), float(probability)) for character, probability in found)


def scored(completion: Completion, probabilities: Mapping[str, float]) -> Completion:
    return Completion(completion.text, "stop", Usage(1, 1), tokens=tokens(completion.text, probabilities))


def test_the_probabilities_of_tokens_decide_which_link_is_left_out() -> None:
    wanted = scored(reply(CYCLE), {'E2", "to"': 0.3, '{"from": "E1"': 0.1})
    reading = read(REPAIR, wanted, token_probabilities=True)
    assert reading.answer
    assert [each["relation"] for each in reading.answer["links"]] == ["before", "after"]
    assert "confidence 0.3" in reading.rejected[0]
    assert reading.confidence is None


def test_parts_are_as_probable_as_their_tokens() -> None:
    found = reply(["E1 before E2", "E2 after E1"], "rain:1", "left")
    wanted = scored(found, {"rain": 0.6, 'E1", "to"': 0.9, 'E2", "to"': 0.5})
    reading = read(TASK, wanted, token_probabilities=True)
    # left is E1 in the answer; what was said twice is as sure as the less sure of the two.
    assert reading.part_confidences == {"events/0": 1.0, "events/1": pytest.approx(0.6), "links/0": pytest.approx(0.5)}
    assert reading.confidence
    assert reading.confidence.value == pytest.approx(0.6 * 0.9 * 0.5)
    assert read(TASK, found, token_probabilities=True).part_confidences is None


def test_what_cannot_be_placed_is_left_out_with_its_links_where_that_is_wanted() -> None:
    task = Timeline("story", "When?", unaligned="drop")
    found = reply(["E1 before E2", "E2 before E3"], "slept", "left", "came")
    reading = read(task, found)
    assert links_read(task, found) == ["E1 before E2"]
    assert len(reading.rejected) == 2
    assert "events[0]" in reading.rejected[0]
    assert "links[0]: the event 'E1' has no place" in reading.rejected[1]


def test_an_event_may_have_a_time() -> None:
    task = Timeline("story", "When?", times=True)
    events: list[dict[str, Any]] = [
        {"id": "E1", "text": "left", "time": {"text": "noon"}},
        {"id": "E2", "text": "eaten", "time": None},
    ]
    found = json_reply({"events": events, "links": [link("E2 before E1")]})
    answer: Answer = {
        "events": [{**LEFT, "time": at("noon")}, {**EATEN, "time": None}],
        "links": [link("E1 after E2")],
    }
    assert read(task, found).answer == answer
    check_task(task, [answer], record=RECORD)
    events[0]["time"] = {"text": "midnight"}
    lost = json_reply({"events": events, "links": []})
    assert isinstance(refused(task, lost), NotFound)
    drop = Timeline("story", "When?", times=True, unaligned="drop")
    reading = read(drop, lost)
    assert reading.answer
    assert reading.answer["events"] == [{**LEFT, "time": None}, {**EATEN, "time": None}]
    assert "events[0].time" in reading.rejected[0]


def test_given_events_are_shown_in_their_places_with_their_ids() -> None:
    own = Record("r", {"text": TEXT, "events": [{**at("rain", 2), "id": "late"}, "left", at("rain")]})
    shown = asked_about(GIVEN, own)
    asked = Prompt.for_engine(GIVEN, Capabilities()).render(shown)[-1].content
    listed = asked.partition("Events:\n")[2].splitlines()[:3]
    assert listed[0] == "late: …, and came home after the rain. The [rain] began at dawn."
    assert listed[1].startswith("E2: She [left] the house at noon")
    assert listed[2].startswith("E3: … ")
    answer = read(GIVEN, json_reply({"links": [link("late before E2")]}), shown).answer
    assert answer
    assert [each["id"] for each in answer["events"]] == ["E2", "E3", "late"]
    assert answer["links"] == [link("E2 after late")]
    assert isinstance(refused(GIVEN, json_reply({"links": [link("E1 before E2")]}), shown), Inconsistent)
    assert isinstance(refused(GIVEN, json_reply({"events": [], "links": []}), shown), Unreadable)


@pytest.mark.parametrize(
    "events", [None, "left", [at("left"), at("left")], ["rain"], ["slept"], [{"id": "", **at("left")}], [7]]
)
def test_a_record_that_gives_no_events_is_not_asked_about(events: Any) -> None:
    with pytest.raises(RecordRejected):
        asked_about(GIVEN, Record("r", {"text": TEXT, "events": events}))


def test_an_answer_is_about_the_events_given() -> None:
    accepted = GIVEN.accept({"links": ANSWER["links"]}, EVENTS)
    assert accepted == GIVEN.accept(ANSWER, EVENTS) == GIVEN.accept(ANSWER) == ANSWER
    with pytest.raises(DataError, match="events that record 'r' gives"):
        GIVEN.accept({"events": [LEFT], "links": []}, EVENTS)


def test_a_pair_is_a_choice_with_probabilities() -> None:
    for scores in ("sequence", "first_token", "none"):
        form = PAIR.form(Capabilities(scores=scores))
        answer: Answer = {"events": [LEFT, EATEN], "links": [link("E1 after E2")]}
        written = PAIR.write(answer, form, LEFT_EATEN)
        assert read(PAIR, Completion(written, "stop", Usage(1, 1)), LEFT_EATEN, scores=scores).answer == answer
    odds = (0.1, 0.6, 0.1, 0.1, 0.05, 0.05)
    reading = read(
        PAIR, Completion("after", "stop", Usage(1, 1), choice_probabilities=odds), LEFT_EATEN, scores="sequence"
    )
    assert reading.answer == {"events": [LEFT, EATEN], "links": [link("E1 after E2")]}
    assert reading.confidence == postil.Confidence(0.6, "logprob")
    assert reading.probabilities == dict(zip(RELATIONS, odds, strict=True))
    assert reading.part_confidences == {"links/0": 0.6}
    with pytest.raises(OutsideLabels):
        read(PAIR, Completion("overlaps", "stop", Usage(1, 1)), LEFT_EATEN)


def test_a_pair_stays_in_the_order_in_which_it_is_given() -> None:
    turned = Record("r", {"text": TEXT, "one": at("eaten"), "other": at("left")})
    expected: Answer = {"events": [{**EATEN, "id": "E1"}, {**LEFT, "id": "E2"}], "links": [link("E1 before E2")]}
    assert read(PAIR, Completion("before", "stop", Usage(1, 1)), turned).answer == expected
    outside: Answer = {"events": [{**EATEN, "id": "a"}, {**LEFT, "id": "b"}], "links": [link("b after a")]}
    assert PAIR.accept(outside, turned) == PAIR.accept(outside) == expected
    with pytest.raises(DataError, match="two events"):
        PAIR.accept(outside, LEFT_EATEN)
    for links in ([], [link("a before b"), link("a vague b")], [link("a before b"), link("a after b")]):
        with pytest.raises(DataError):
            PAIR.accept({**outside, "links": links})


def test_a_pair_is_annotated_end_to_end_in_chinese() -> None:
    text = "他下班之前吃了饭，下班以后回家。"
    task = Timeline("先后", "两个事件哪个在先？", relations=["before", "after"], pair=["甲", "乙"])
    assert task.language == "zh"

    def model(request: postil.Request) -> str:
        shown = request.messages[-1].content
        assert "事件 1：他下班之前[吃了饭]，下班以后回家。" in shown
        return "before" if "[回家]" in shown else "after"

    rows = postil.annotate(
        [{"text": text, "甲": "吃了饭", "乙": words} for words in ("回家", at("下班", 1, text), "下班")],
        task,
        engine=postil.ScriptedEngine(model),
    )
    assert [row["outcome"] for row in rows] == ["annotation", "annotation", "failure"]
    assert [row["links"][0]["relation"] for row in rows[:2]] == ["before", "after"]


def test_a_cycle_is_sent_back_with_its_links() -> None:
    def model(request: postil.Request) -> str:
        broken = "cannot all be true: E1 (left) before" in request.messages[-1].content
        return reply(CYCLE[:2] if broken else CYCLE).text

    [row] = postil.annotate([TEXT], TASK, engine=postil.ScriptedEngine(model))
    assert [each["relation"] for each in row["links"]] == ["before", "before"]


def test_the_order_of_events_follows_from_links() -> None:
    order = TASK.order(ANSWER)
    assert order.layers == (("E2", "E4"), ("E1",), ("E3",))
    assert ("E2", "E3") in order.before
    assert ("E4", "E1") not in order.before


def test_an_answer_is_shown_in_words() -> None:
    assert TASK.describe(ANSWER) == "left after eaten; left before came; came after rain"
    assert TASK.describe({"events": [LEFT], "links": []}) == "left"
    assert TASK.describe({"events": [], "links": []}) == "–"


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"events": [], "links": "none"},
        {"events": "left"},
        {"events": [{"id": "E1"}], "links": []},
        {"events": [LEFT, {**EATEN, "id": "E1"}], "links": []},
        {"events": [{**LEFT, "id": 1}], "links": []},
        {"events": [LEFT, {**LEFT, "id": "E2"}], "links": []},
        {"events": [LEFT, EATEN], "links": ["E1 before E2"]},
        {"events": [LEFT, EATEN], "links": [link("E1 before E3")]},
        {"events": [LEFT, EATEN], "links": [link("E1 meets E2")]},
        {"events": [{**LEFT, "start": 5}], "links": []},
    ],
)
def test_what_is_no_answer_is_refused(answer: Answer) -> None:
    with pytest.raises(DataError):
        TASK.accept(answer)
    with pytest.raises(DataError):
        TASK.accept(answer, RECORD)


def test_agreement_is_of_events_and_links() -> None:
    assert TASK.agreement(ANSWER, ANSWER) == 1
    assert TASK.agreement({"events": [], "links": []}, {"events": [], "links": []}) == 1
    fewer: Answer = {"events": [LEFT, EATEN], "links": [link("E1 after E2")]}
    assert TASK.agreement(ANSWER, fewer) == TASK.agreement(fewer, ANSWER) == pytest.approx(2 * 3 / (7 + 3))
    # Events that were given are no agreement.
    turned = {**ANSWER, "links": [link("E1 before E2"), link("E1 after E3"), link("E3 before E4")]}
    assert GIVEN.agreement(ANSWER, turned) == 0
    assert PAIR.agreement({"events": [LEFT, EATEN], "links": [link("E1 after E2")]}, fewer) == 1


def test_what_most_say_is_merged_part_by_part() -> None:
    fewer: Answer = {"events": [EATEN, RAIN], "links": []}
    fewer = TASK.accept(fewer)
    assert TASK.merge([(ANSWER, 1), (fewer, 1), (ANSWER, 1)]) == ANSWER
    assert TASK.merge([(ANSWER, 1), (fewer, 2)]) == fewer
    assert TASK.merge([(ANSWER, 1), (fewer, 1)]) is None
    assert TASK.merge([]) is None
    assert GIVEN.merge([(ANSWER, 1), (ANSWER, 2)]) == ANSWER
    before, after = ({"events": [LEFT, EATEN], "links": [link(f"E1 {word} E2")]} for word in ("before", "after"))
    assert PAIR.merge([(before, 1), (after, 1), (before, 1)]) == before
    assert PAIR.merge([(before, 1), (after, 1)]) is None


def test_majorities_that_contradict_each_other_lose_the_smallest_of_them() -> None:
    """Condorcet's paradox: each link has two of three votes, and together they go round."""

    def votes(*links: str) -> Answer:
        return TASK.accept({"events": [LEFT, EATEN, CAME], "links": [link(each) for each in links]})

    one, two, three = votes(*CYCLE[:2]), votes(*CYCLE[1:]), votes(CYCLE[2], CYCLE[0])
    assert TASK.merge([(one, 1), (two, 1), (three, 1)]) is None
    assert TASK.merge([(one, 1.2), (two, 1), (three, 1.1)]) == votes(CYCLE[0], CYCLE[1])


LINKS = st.lists(
    st.tuples(st.sampled_from("1234"), st.sampled_from(RELATIONS), st.sampled_from("1234")).map(
        lambda drawn: link(f"E{drawn[0]} {drawn[1]} E{drawn[2]}")
    ),
    max_size=6,
)


@given(LINKS)
def test_every_timeline_that_can_be_true_is_written_and_read_back(links: Sequence[Any]) -> None:
    try:
        answer = TASK.accept({"events": [LEFT, EATEN, CAME, RAIN], "links": links}, RECORD)
    except DataError:
        assert isinstance(refused(TASK, reply(links)), Inconsistent)
        return
    assert read(TASK, reply(links)).answer == answer
    for capabilities in (Capabilities(), Capabilities(schema=True)):
        form = TASK.form(capabilities)
        written = Completion(TASK.write(answer, form, RECORD), "stop", Usage(1, 1))
        assert TASK.read(written, form, RECORD).answer == answer


@given(st.lists(st.tuples(LINKS, st.sampled_from([0.1, 1.0, 2.5])), max_size=5))
def test_whatever_is_merged_can_be_true(drawn: list[tuple[Sequence[Any], float]]) -> None:
    answers: list[tuple[Answer, float]] = []
    for links, weight in drawn:
        try:
            answers.append((TASK.accept({"events": [LEFT, EATEN, CAME, RAIN], "links": links}), weight))
        except DataError:
            continue
    merged = TASK.merge(answers)
    assert merged is None or TASK.accept(merged) == merged
    assert merged == TASK.merge(answers[::-1])


@given(LINKS, st.lists(st.sampled_from([0.2, 0.5, 0.9]), min_size=6, max_size=6))
def test_whatever_is_repaired_can_be_true_and_says_what_was_left_out(
    links: Sequence[Any], confidences: list[float]
) -> None:
    stated = [{**each, "confidence": c} for each, c in zip(links, confidences, strict=False)]
    try:
        reading = read(REPAIR, reply(stated))
    except Inconsistent:
        return
    assert reading.answer
    assert REPAIR.accept(reading.answer) == reading.answer
    assert bool(reading.rejected) == (not can_be_true(links))


def can_be_true(links: Sequence[Any]) -> bool:
    return not find_cycles([Link(each["from"], each["to"], each["relation"]) for each in links])


def gold_files(name: str) -> list[Path]:
    paths = [gold_timeline.DATA / name / f"{split}.jsonl" for split in ("pool", "test")]
    if not all(path.exists() for path in paths):
        pytest.skip("needs the shared data")
    return paths


@pytest.mark.parametrize("whole", [False, True], ids=["pairs and questions", "whole texts"])
@pytest.mark.parametrize("name", ["uds_time", "torque"])
def test_all_gold_is_accepted_written_and_read_back(name: str, whole: bool) -> None:
    task = gold_timeline.task_for(name, whole=whole)
    records = gold_timeline.whole_texts if whole else gold_timeline.records_and_gold
    for record, gold in [pair for path in gold_files(name) for pair in records(path)]:
        answer = task.accept(gold, record)
        for capabilities in (Capabilities(), Capabilities(schema=True), Capabilities(scores="first_token")):
            form = task.form(capabilities)
            completion = Completion(task.write(answer, form, record), "stop", Usage(1, 1))
            assert task.read(completion, form, record).answer == answer


def test_no_gold_is_lost_on_the_way() -> None:
    pairs = [pair for path in gold_files("uds_time") for pair in gold_timeline.records_and_gold(path)]
    task = gold_timeline.task_for("uds_time")
    relations = [task.accept(gold, record)["links"][0]["relation"] for record, gold in pairs]
    assert [relations.count(each) for each in ("before", "after", "simultaneous")] == [689, 147, 56]
    questions = [pair for path in gold_files("torque") for pair in gold_timeline.records_and_gold(path)]
    assert len(questions) == 756
