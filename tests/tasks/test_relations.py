"""Relations: whole triples at exact places, the rules between them, and one relation for a given pair (survey 0.05)."""

import copy
import json
import pickle
from typing import Any

import pytest

from postil.engines.scripted import ScriptedEngine
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
from postil.runner import PromptedAnnotator
from postil.tasks import CompoundTask, Reading
from postil.tasks.kinds import task_from_spec
from postil.tasks.relations import Relations
from postil.testing import check_task
from postil.types import JSON, Answer, Capabilities, Completion, Record, Usage
from tests.tasks.gold_relations import DATA, PAIRS, SETS, records_and_gold, task_for

TEXT = "Ann works for Acme, Bo for Bell; Ann knows Bo."
RECORD = Record("r", {"text": TEXT})
RULES: dict[str, Any] = {
    "labels": {"works_for": "employment", "knows": ""},
    "span_labels": ["PER", "ORG"],
    "triples": [["PER", "works_for", "ORG"], ["PER", "knows", "PER"]],
    "symmetric": ["knows"],
}
SPANS = [("A", "Ann", "PER", 1), ("O", "Acme", "ORG"), ("B", "Bo", "PER", 1)]


def task(**options: Any) -> Relations:
    return Relations("ties", "Which relations are there?", **{**RULES, **options})


def reply(spans: list[tuple[Any, ...]], *relations: tuple[Any, ...], **more: JSON) -> dict[str, JSON]:
    return {
        "spans": [dict(zip(("id", "text", "label", "occurrence"), each, strict=False)) for each in spans],
        "relations": [dict(zip(("head", "label", "tail"), each, strict=False)) for each in relations],
        **more,
    }


def read(
    said: JSON, task: Relations, record: Record = RECORD, tokens: tuple[tuple[str, float], ...] | None = None
) -> Reading:
    text = said if isinstance(said, str) else json.dumps(said, ensure_ascii=False)
    form = task.form(Capabilities(token_probabilities=tokens is not None))
    return task.read(Completion(text, "stop", Usage(1, 1), tokens=tokens), form, record)


def triples(answer: Answer | None) -> list[tuple[str, str, str]]:
    assert answer is not None
    words = {span["id"]: span["text"] for span in answer["spans"]}
    return [(words[each["head"]], each["label"], words[each["tail"]]) for each in answer["relations"]]


def whole(*relations: tuple[Any, ...]) -> Answer:
    made = read(reply(SPANS, *relations), task()).answer
    assert made is not None
    return made


@pytest.mark.parametrize("name", SETS)
def test_gold_written_by_a_scripted_engine_comes_back_exactly(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip("no shared data here")
    for part in ("pool", "test"):
        gold = records_and_gold(DATA / name / f"{part}.jsonl")
        relating = task_for(name, gold)
        for capabilities in (Capabilities(), Capabilities("first_token"), Capabilities(schema=True)):
            form = relating.form(capabilities)
            for record, given in gold:
                accepted = relating.accept(given, record)
                shown = relating.part_record(0, record, ()) if isinstance(relating, CompoundTask) else record
                written = Completion(relating.write(accepted, form, record), "stop", Usage(1, 1))
                assert relating.read(written, form, shown).answer == accepted
                assert relating.accept(accepted) == accepted
                assert len(accepted["relations"]) == len(given["relations"])


def test_the_kind_keeps_the_contract() -> None:
    answers = [whole(), whole(("A", "works_for", "O")), whole(("A", "works_for", "O"), ("B", "knows", "A"))]
    check_task(task(), answers, record=RECORD)
    check_task(task(triples=(), rationale=True, evidence=True, unaligned="drop", nested=True), answers, record=RECORD)


def test_spans_are_numbered_in_the_order_of_the_text() -> None:
    made = read(reply(SPANS[::-1], ("A", "works_for", "O")), task())
    assert made.answer == {
        "spans": [
            {"id": "T1", "start": 0, "end": 3, "label": "PER", "text": "Ann"},
            {"id": "T2", "start": 14, "end": 18, "label": "ORG", "text": "Acme"},
            {"id": "T3", "start": 20, "end": 22, "label": "PER", "text": "Bo"},
        ],
        "relations": [{"head": "T1", "tail": "T2", "label": "works_for"}],
    }


def test_a_relation_has_a_direction_unless_it_is_symmetric() -> None:
    assert triples(whole(("A", "works_for", "O"))) == [("Ann", "works_for", "Acme")]
    assert whole(("A", "knows", "B")) == whole(("B", "knows", "A")) == whole(("A", "knows", "B"), ("B", "knows", "A"))
    directed = task(symmetric=())
    there, back = (read(reply(SPANS, each), directed).answer for each in (("A", "knows", "B"), ("B", "knows", "A")))
    assert there != back


@pytest.mark.parametrize(
    ("said", "error"),
    [
        (reply(SPANS, ("O", "works_for", "A")), Inconsistent),
        (reply(SPANS, ("A", "knows", "O")), Inconsistent),
        (reply(SPANS, ("A", "works_for", "Z")), Inconsistent),
        (reply(SPANS, ("A", "knows", "A")), Inconsistent),
        (reply(SPANS, ("A", "works_for", "O"), ("A", "works_for", "O")), Inconsistent),
        (reply([*SPANS, ("A", "Bell", "ORG")]), Inconsistent),
        (reply(SPANS, ("A", "loves", "B")), OutsideLabels),
        (reply([("A", "Ann", "DOG", 1)]), OutsideLabels),
        (reply([("A", "Cy", "PER")]), NotFound),
        (reply([("A", "Ann", "PER")]), Ambiguous),
        (reply([("A", "Ann", "PER"), ("B", "Ann", "PER")]), Ambiguous),
        (reply([("", "Ann", "PER", 1)]), Unreadable),
        (reply([(1, "Ann", "PER", 1)]), Unreadable),
        (reply(SPANS, ("A", "works_for")), Unreadable),
        (reply(SPANS, (1, "works_for", 2)), Unreadable),
        ({"spans": [], "relations": ["x"]}, Unreadable),
        ({"spans": []}, Unreadable),
        ({"relations": []}, Unreadable),
        (reply(SPANS, more=1), Unreadable),
    ],
)
def test_a_wrong_reply_is_an_error(said: JSON, error: type[AnswerError]) -> None:
    with pytest.raises(error):
        read(said, task())


def test_a_relation_goes_with_its_span_where_that_cannot_be_placed() -> None:
    said = reply([*SPANS, ("X", "Cy", "PER")], ("A", "works_for", "O"), ("X", "works_for", "O"))
    made = read(said, task(unaligned="drop"))
    assert triples(made.answer) == [("Ann", "works_for", "Acme")]
    assert [each.split(":")[0] for each in made.rejected] == ["spans[3]", "relations[1]"]
    with pytest.raises(NotFound):
        read(said, task())


def test_parts_have_the_probabilities_of_their_own_tokens() -> None:
    said = reply(SPANS, ("B", "knows", "A"), ("A", "works_for", "O"), ("A", "knows", "B"))
    text = json.dumps(said)
    # One token each: what stands between them says nothing.
    chances = {json.dumps(each): 0.5**at for at, each in enumerate((*said["spans"], *said["relations"]), 1)}
    tokens: list[tuple[str, float]] = []
    rest = text
    for piece, chance in chances.items():
        before, _, rest = rest.partition(piece)
        tokens += [(before, 1.0), (piece, chance)]
    made = read(text, task(), tokens=(*tokens, (rest, 1.0)))
    assert triples(made.answer) == [("Ann", "works_for", "Acme"), ("Ann", "knows", "Bo")]
    assert made.part_confidences == {
        "spans/0": 0.5,
        "spans/1": 0.25,
        "spans/2": 0.125,
        "relations/0": 0.5**5,
        # It was said in both directions.
        "relations/1": 0.5**4,
    }
    assert made.confidence is not None
    assert made.confidence.value == pytest.approx(0.5**21)


@pytest.mark.parametrize(
    "change",
    [
        {"relations": [{"head": "T1", "tail": "T9", "label": "knows"}]},
        {"relations": [{"head": "T2", "tail": "T1", "label": "works_for"}]},
        {"relations": [{"head": "T1", "tail": "T2", "label": "loves"}]},
        {"relations": "none"},
        {"relations": [None]},
        {"spans": None},
        {"spans": [{"start": 0, "end": 3, "label": "PER", "text": "Ann"}]},
    ],
)
def test_gold_against_the_rules_is_refused(change: dict[str, JSON]) -> None:
    with pytest.raises(DataError):
        task().accept({**whole(), **change}, RECORD)


def test_merging_keeps_relations_with_their_spans() -> None:
    one, other = whole(("A", "works_for", "O")), read(reply(SPANS[:2], ("A", "works_for", "O")), task()).answer
    assert other is not None
    assert task().merge([(one, 1.0), (other, 1.0), (whole(), 1.0)]) == one
    assert task().merge([(one, 1.0), (whole(), 1.0)]) is None
    assert task().merge([(one, 2.0), (whole(), 1.0)]) == one


def test_the_prompt_says_between_which_spans_a_relation_may_hold() -> None:
    system, asked = Prompt.for_engine(task(), Capabilities()).render(RECORD)
    assert "- works_for: employment (PER → ORG)" in system.content
    assert "- knows: PER → PER" in system.content
    assert "Labels of spans: PER, ORG." in system.content
    assert TEXT in asked.content
    zh = Relations("关系", "有哪些关系？", labels=["雇佣"], span_labels={"人": "人名", "组织": ""})
    [system, _] = Prompt.for_engine(zh, Capabilities()).render(Record("z", {"text": "李开复"}))
    assert "片段的标签有：人（人名）、组织。" in system.content


@pytest.mark.parametrize(
    "options",
    [
        {"triples": [["PER", "works_for"]]},
        {"triples": [["PER", "works_for", "ORG"]]},
        {"triples": [["PER", "loves", "PER"]]},
        {"triples": ["abc"]},
        {"symmetric": ["loves"]},
        {"mode": "guess"},
        {"field": "text"},
        {"mode": "pair", "head": "tail"},
        {"mode": "pair", "none": "knows"},
        {"mode": "pair", "rationale": True},
        {"mode": "pair", "show": "{text} {head}"},
        {"mode": "pair", "show": "{text} {title} {head} {tail}"},
    ],
)
def test_a_task_that_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TaskError):
        task(**options)


def test_everything_is_in_the_spec() -> None:
    for made in (task(nested=True, span_labels={"PER": "people", "ORG": ""}), pair(), pair(none="no relation")):
        again = task_from_spec(json.loads(json.dumps(made.spec)))
        assert (again, hash(again), type(again)) == (made, hash(made), type(made))
        assert pickle.loads(pickle.dumps(made)) == copy.copy(made) == made  # noqa: S301 - our own bytes


PAIR = Record(
    "p",
    {"text": TEXT, "head": {"start": 0, "end": 3, "label": "PER"}, "tail": {"start": 14, "end": 18, "label": "ORG"}},
)


def pair(**options: Any) -> Relations:
    return task(mode="pair", **options)


def chosen(label: str) -> Answer:
    relation = [] if label == "none" else [{"head": "T1", "tail": "T2", "label": label}]
    return pair(triples=()).accept({"relations": relation}, PAIR)


@pytest.mark.parametrize(
    ("options", "labels"),
    [
        ({}, ["works_for", "none"]),
        # Without triples every relation is possible, whatever the spans are called.
        ({"triples": ()}, ["works_for", "knows", "none"]),
        ({"triples": (), "language": "zh", "unaligned": "drop", "none": "无"}, ["knows", "none"]),
    ],
)
def test_a_given_pair_keeps_the_contract(options: dict[str, Any], labels: list[str]) -> None:
    check_task(pair(**options), [chosen(label) for label in labels], record=PAIR)


def test_the_spans_of_a_pair_are_those_that_the_record_gives() -> None:
    assert [span["text"] for span in chosen("works_for")["spans"]] == ["Ann", "Acme"]
    assert chosen("none") == {**chosen("works_for"), "relations": []}
    assert pair().labels == ("works_for", "knows")


def test_the_relation_of_a_pair_has_the_probability_of_its_label() -> None:
    form = pair().form(Capabilities("sequence"))
    assert form.choices == ("works_for", "knows", "none")
    completion = Completion("works_for", "stop", Usage(1, 1), choice_probabilities=(0.6, 0.1, 0.3))
    made = pair().read(completion, form, PAIR)
    assert triples(made.answer) == [("Ann", "works_for", "Acme")]
    assert made.confidence is not None
    assert made.confidence.value == 0.6
    assert made.probabilities == {"works_for": 0.6, "knows": 0.1, "none": 0.3}
    even = pair().read(completion, form, PAIR, prior=(0.8, 0.1, 0.1))
    assert even.answer == chosen("none")


def test_a_pair_that_the_rules_forbid_is_no_answer() -> None:
    form = pair().form(Capabilities())
    with pytest.raises(Inconsistent):
        pair().read(Completion("knows", "stop", Usage(1, 1)), form, PAIR)
    with pytest.raises(OutsideLabels):
        pair().read(Completion("loves", "stop", Usage(1, 1)), form, PAIR)


@pytest.mark.parametrize(
    "fields",
    [
        {"head": "Ann", "tail": "Acme"},
        {"head": "Cy", "tail": "Acme"},
        {"head": {"start": 0, "end": 99}, "tail": "Acme"},
        {"head": {"start": 0, "end": 3, "text": "Bob"}, "tail": "Acme"},
        {"tail": "Acme"},
        {"head": None, "tail": "Acme"},
    ],
)
def test_a_record_without_places_for_its_pair_is_rejected_before_anything_is_asked(fields: dict[str, JSON]) -> None:
    one = pair(span_labels=["thing"], triples=())
    assert isinstance(one, CompoundTask)
    with pytest.raises(RecordRejected):
        one.part_record(0, Record("p", {"text": TEXT, **fields}), ())


def test_words_that_stand_once_are_place_enough() -> None:
    one = pair(span_labels=["thing"], triples=())
    made = one.accept(
        {"relations": [{"head": "T1", "tail": "T2", "label": "works_for"}]},
        Record("p", {"text": TEXT, "head": "Bell", "tail": "Acme"}),
    )
    assert [(span["start"], span["end"]) for span in made["spans"]] == [(27, 31), (14, 18)]


def test_a_label_is_needed_where_spans_have_several() -> None:
    bare = Record("p", {**PAIR.fields, "head": {"start": 0, "end": 3}})
    with pytest.raises(RecordRejected, match="label"):
        pair().read(Completion("none", "stop", Usage(1, 1)), pair().form(Capabilities()), bare)


def test_gold_of_another_pair_is_refused() -> None:
    other = Record("p", {**PAIR.fields, "tail": {"start": 27, "end": 31, "label": "ORG"}})
    with pytest.raises(DataError, match="expected the head"):
        pair().accept(chosen("works_for"), other)


def test_an_annotator_shows_the_pair_in_its_place() -> None:
    one = pair()
    engine = ScriptedEngine(lambda _: "works_for")
    annotator = PromptedAnnotator("m", one, engine, (Prompt.for_engine(one, engine.capabilities),))
    messages = annotator.request(PAIR).messages
    assert "Head: [Ann] works for" in messages[-1].content
    assert "Tail: Ann works for [Acme]" in messages[-1].content
    assert '"start"' not in messages[-1].content


@pytest.mark.parametrize("name", PAIRS)
def test_a_constant_answer_is_right_as_often_as_its_label_occurs(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip("no shared data here")
    gold = records_and_gold(DATA / name / "test.jsonl")
    one = task_for(name, gold)
    form = one.form(Capabilities())
    commonest = max(one.labels, key=lambda label: sum(label == _label(given) for _, given in gold))
    share = sum(_label(given) == commonest for _, given in gold) / len(gold)
    right = sum(
        one.read(Completion(commonest, "stop", Usage(1, 1)), form, record).answer == one.accept(given, record)
        for record, given in gold
    )
    assert right / len(gold) == share < 0.5


def _label(answer: Answer) -> str:
    return answer["relations"][0]["label"] if answer["relations"] else ""
