"""Semantic roles: what is asked, what counts as an answer, what never does (survey 0.06, reliability A5 to A9)."""

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
    Truncated,
    Unreadable,
)
from postil.prompts import Prompt
from postil.tasks import CompoundTask, Reading, Task
from postil.tasks.kinds import task_from_spec
from postil.tasks.roles import Roles
from postil.testing import check_task
from postil.types import Answer, Usage
from tests.tasks import gold_roles

TEXT = "The dog chased the cat yesterday, and the cat was seen by the dog."
RECORD = Record("r", {"text": TEXT})
PROPBANK = ["ARG0", "ARG1", "ARG2", "ARGM-TMP", "C-ARG1"]
TASK = Roles("srl", "Which roles are there?", roles=PROPBANK)
GIVEN = Roles("srl", "Which roles does the predicate have?", roles=PROPBANK, predicate="verb")


def at(words: str, mention: int = 1, text: str = TEXT) -> dict[str, Any]:
    start = -1
    for _ in range(mention):
        start = text.index(words, start + 1)
    return {"start": start, "end": start + len(words), "text": words}


def role(name: str, words: str, mention: int = 1) -> dict[str, Any]:
    return {"role": name, **at(words, mention)}


CHASED = {"predicate": at("chased"), "arguments": [role("ARG0", "The dog"), role("ARG1", "the cat")]}
SEEN = {"predicate": at("seen"), "arguments": [role("ARG1", "the cat", 2), role("ARG0", "the dog")]}
ANSWER: Answer = {"frames": [CHASED, SEEN]}


def reply(frames: Any, **more: Any) -> Completion:
    return Completion(json.dumps({"frames": frames, **more}, ensure_ascii=False), "stop", Usage(1, 1))


def frame(predicate: Any, *arguments: Any) -> dict[str, Any]:
    return {"predicate": predicate, "arguments": list(arguments)}


def quote(words: str, occurrence: int | None = None, **more: Any) -> dict[str, Any]:
    return {**more, "text": words} | ({} if occurrence is None else {"occurrence": occurrence})


def read(task: Task, completion: Completion, record: Record = RECORD, **capabilities: Any) -> Reading:
    return task.read(completion, task.form(Capabilities(**capabilities)), record)


def asked_about(task: Task, record: Record) -> Record:
    """Return what an engine is shown of a record."""
    assert isinstance(task, CompoundTask)
    assert task.parts == (task,)
    return task.part_record(0, record, ())


def refused(task: Roles, frames: Any, record: Record = RECORD) -> AnswerError:
    with pytest.raises(AnswerError) as raised:
        read(task, reply(frames), record)
    return raised.value


@pytest.mark.parametrize(
    "task",
    [
        TASK,
        Roles("srl", "谁做了什么？", roles={"ARG0": "施事", "ARG1": "受事"}),
        Roles("srl", "Which?", roles=PROPBANK, core=[], unaligned="drop", fuzzy=0.0, rationale=True, evidence=True),
    ],
)
def test_the_kind_keeps_its_contract(task: Roles) -> None:
    check_task(task, [ANSWER, {"frames": [CHASED]}, {"frames": []}], record=RECORD)


def test_the_kind_keeps_its_contract_with_senses_and_questions() -> None:
    sensed = {**CHASED, "predicate": {**at("chased"), "sense": "chase.01"}}
    for senses in (True, ["chase.01", "see.01"], {"chase.01": "run after"}):
        task = Roles("srl", "Which?", roles=PROPBANK, senses=senses)
        check_task(task, [{"frames": [sensed]}, {"frames": [{**sensed, "predicate": at("chased")}]}], record=RECORD)
    asked = {"predicate": at("chased"), "arguments": [role("Who chased something?", "The dog")]}
    check_task(Roles("srl", "Which?", questions=True), [{"frames": [asked]}], record=RECORD)


def test_the_kind_keeps_its_contract_where_the_predicate_is_given() -> None:
    record = Record("r", {"text": TEXT, "verb": at("seen")})
    check_task(GIVEN, [{"frames": [SEEN]}, {"frames": [{**SEEN, "arguments": []}]}], record=record)
    senses = Roles("srl", "谁？", roles=PROPBANK, predicate="verb", senses=["see.01"], unaligned="drop", evidence=True)
    check_task(senses, [{"frames": [{**SEEN, "predicate": {**at("seen"), "sense": "see.01"}}]}], record=record)
    asked = {"predicate": at("seen"), "arguments": [role("Who saw something?", "the dog")]}
    check_task(Roles("srl", "Which?", questions=True, predicate="verb"), [{"frames": [asked]}], record=record)


def test_a_task_is_what_its_spec_says() -> None:
    tasks = [
        TASK,
        GIVEN,
        Roles("a", "b", questions=True, predicate="verb", show="{verb} {text} {date}", field="text"),
        Roles("a", "b", roles={"Buyer": "who buys"}, core=["Buyer"], senses={"Buying": "goods for money"}),
        Roles("a", "b", roles=["ARG0"], senses=True, language="zh", evidence=True),
    ]
    for task in tasks:
        again = task_from_spec(json.loads(json.dumps(task.spec)))
        assert again == task
        assert type(again) is type(task)
        assert hash(again) == hash(task)


def test_core_roles_are_those_that_are_numbered_unless_said_otherwise() -> None:
    assert TASK.core == ("ARG0", "ARG1", "ARG2")
    assert Roles("a", "b", roles=["Buyer", "Seller"]).core == ()
    assert Roles("a", "b", roles=["Buyer", "Seller"], core=["Seller"]).core == ("Seller",)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({}, "either `roles`"),
        ({"roles": ["ARG0"], "questions": True}, "either `roles`"),
        ({"roles": ["ARG0", "arg0"]}, "read the same"),
        ({"roles": ["ARG0"], "core": ["ARG1"]}, "'ARG1', which is no role"),
        ({"roles": ["ARG0"], "senses": ["a", "A"]}, "read the same"),
        ({"roles": ["ARG0"], "show": "{title} {text}"}, "one field"),
        ({"roles": ["ARG0"], "show": "{title} {text}", "field": "body"}, "one field"),
        ({"roles": ["ARG0"], "predicate": "verb", "show": "{text}"}, "must name what is asked about, {verb}"),
        ({"roles": ["ARG0"], "unaligned": "guess"}, "`unaligned`"),
    ],
)
def test_a_definition_that_cannot_work_is_refused(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(TaskError, match=wrong):
        Roles("srl", "Which?", **options)


def test_words_are_found_at_their_places() -> None:
    chased = frame(quote("chased"), quote("The dog", role="ARG0"), quote("the cat", 1, role="arg1"))
    seen = frame(quote("seen"), quote("the cat", 2, role="ARG1"), quote("the dog", role="ARG0"))
    assert read(TASK, reply([seen, chased])).answer == {"frames": [CHASED, SEEN]}


def test_parts_that_are_given_twice_are_there_once() -> None:
    argument = quote("The dog", role="ARG0")
    answer = read(TASK, reply([frame(quote("chased"), argument, argument)])).answer
    assert answer == {"frames": [{**CHASED, "arguments": [role("ARG0", "The dog")]}]}


@pytest.mark.parametrize(
    ("frames", "error", "said"),
    [
        ([frame(quote("barked"))], NotFound, r"frames\[0\]\.predicate: 'barked' does not stand"),
        ([frame(quote("the cat"))], Ambiguous, r"frames\[0\]\.predicate: 'the cat' .* 2 times"),
        ([frame(quote("chased"), quote("the mouse", role="ARG0"))], NotFound, r"frames\[0\]\.arguments\[0\]"),
        ([frame(quote("chased"), quote("the cat", role="ARG1"))], Ambiguous, "2 times"),
        ([frame(quote("chased"), quote("the cat", 3, role="ARG1"))], NotFound, "no occurrence 3"),
        ([frame(quote("chased"), quote("the cat", 0, role="ARG1"))], Unreadable, "words of the text"),
        ([frame(quote("chased"), quote("The dog", role="AGENT"))], OutsideLabels, "ARG0, ARG1"),
        ([frame(quote("chased"), quote("The dog"))], OutsideLabels, "got None"),
        ([frame(quote("chased"), quote("  ", role="ARG0"))], Unreadable, "words of the text"),
        ([frame(quote("chased"), "The dog")], OutsideLabels, "got None"),
        ([{"predicate": quote("chased")}], Unreadable, "expected a list"),
        ([{**frame(quote("chased")), "lemma": "chase"}], Unreadable, "'lemma'"),
        (["chased"], Unreadable, "expected an object"),
        ({"predicate": "chased"}, Unreadable, "expected a list under 'frames'"),
        ([frame(quote("chased")), frame(quote("chased"))], Inconsistent, "'chased' has two frames"),
    ],
)
def test_what_cannot_be_used_is_named(frames: Any, error: type[AnswerError], said: str) -> None:
    """Nothing is guessed: neither a place (A9) nor a role (A5)."""
    raised = refused(TASK, frames)
    assert type(raised) is error
    with pytest.raises(error, match=said):
        raise raised


def test_several_faults_are_named_at_once_since_there_is_one_repair() -> None:
    fault = refused(TASK, [frame(quote("barked"), quote("x", role="ARG0")), frame(quote("the cat"))])
    assert "'barked'" in str(fault)
    assert "frames[1]" in str(fault)


def test_a_core_role_is_there_once() -> None:
    both = frame(quote("chased"), quote("The dog", role="ARG0"), quote("yesterday", role="ARG0"))
    fault = refused(TASK, [both])
    assert isinstance(fault, Inconsistent)
    assert "two arguments ARG0, 'The dog' and 'yesterday'" in str(fault)
    free = Roles("srl", "Which?", roles=PROPBANK, core=["ARG1"])
    assert read(free, reply([both])).answer


def test_core_arguments_do_not_overlap() -> None:
    inside = frame(quote("seen"), quote("by the dog", role="ARG0"), quote("the dog", role="ARG1"))
    fault = refused(TASK, [inside])
    assert isinstance(fault, Inconsistent)
    assert "ARG0 and ARG1 of 'seen' overlap" in str(fault)
    inside["arguments"][1]["role"] = "ARGM-TMP"
    assert read(TASK, reply([inside])).answer


@pytest.mark.parametrize(
    "text", ["", "There are none.", '{"frames": []} {"frames": []}', '{"frames": [], "frames": []}']
)
def test_a_reply_that_is_no_one_object_is_no_answer(text: str) -> None:
    with pytest.raises(AnswerError):
        read(TASK, Completion(text, "stop", Usage(1, 1)))


def test_a_reply_cut_short_is_no_answer_even_where_it_can_be_read() -> None:
    with pytest.raises(Truncated):
        read(TASK, Completion('{"frames": []}', "length", Usage(1, 1)))


def test_what_cannot_be_placed_is_left_out_and_counted_where_that_is_wanted() -> None:
    task = Roles("srl", "Which?", roles=PROPBANK, unaligned="drop")
    frames = [
        frame(quote("barked"), quote("The dog", role="ARG0")),
        frame(quote("chased"), quote("The dog", role="ARG0"), quote("the cat", role="ARG1")),
    ]
    reading = read(task, reply(frames))
    assert reading.answer == {"frames": [{**CHASED, "arguments": [role("ARG0", "The dog")]}]}
    assert len(reading.rejected) == 2
    assert "frames[0].predicate" in reading.rejected[0]
    assert "frames[1].arguments[1]" in reading.rejected[1]
    # What is malformed was never an answer.
    assert isinstance(refused(task, [frame(quote("chased"), quote("The dog", role="AGENT"))]), OutsideLabels)


def test_senses_are_of_the_set_or_any_text() -> None:
    chased = frame(quote("chased", sense="Chase.01"))
    listed = Roles("srl", "Which?", roles=PROPBANK, senses=["chase.01", "see.01"])
    free = Roles("srl", "Which?", roles=PROPBANK, senses=True)
    for task, sense in ((listed, "chase.01"), (free, "Chase.01")):
        answer = read(task, reply([chased])).answer
        assert answer
        assert answer["frames"][0]["predicate"]["sense"] == sense
    assert isinstance(refused(listed, [frame(quote("chased", sense="run.01"))]), OutsideLabels)
    assert isinstance(refused(free, [frame(quote("chased", sense=1))]), OutsideLabels)
    answer = read(free, reply([frame(quote("chased", sense=None))])).answer
    assert answer
    assert answer["frames"][0]["predicate"]["sense"] is None
    assert "sense" not in read(TASK, reply([frame(quote("chased"))])).answer["frames"][0]["predicate"]  # pyright: ignore[reportOptionalSubscript] - it was read


def test_the_role_of_an_argument_may_be_a_question() -> None:
    task = Roles("qa", "Which questions are answered?", questions=True)
    question = "Who chased something?"
    asked = {"predicate": quote("chased"), "arguments": [quote("The dog", question=f" {question} ")]}
    assert read(task, reply([asked])).answer == {
        "frames": [{"predicate": at("chased"), "arguments": [role(question, "The dog")]}]
    }
    assert task.labels == ()
    for wrong in ("the one who chased", "?", "", None):
        asked["arguments"] = [quote("The dog", question=wrong)]
        assert isinstance(refused(task, [asked]), OutsideLabels)
    zh = Roles("qa", "哪些问题有答案？", questions=True)
    text = "警察昨天抓住了小偷。"
    asked = {"predicate": quote("抓住"), "arguments": [quote("警察", question="谁抓住了小偷？")]}
    answer = read(zh, reply([asked]), Record("r", {"text": text})).answer
    assert zh.language == "zh"
    assert answer
    assert zh.describe(answer) == "抓住: 谁抓住了小偷？ 警察"


def test_a_given_predicate_is_shown_in_its_place() -> None:
    record = Record("r", {"text": TEXT, "verb": at("seen")})
    assert not isinstance(TASK, CompoundTask)
    shown = asked_about(GIVEN, record)
    asked = Prompt.for_engine(GIVEN, Capabilities()).render(shown)[-1].content
    assert f"{TEXT}\nPredicate: … the cat yesterday, and the cat was [seen] by the dog." in asked
    completion = Completion(
        json.dumps({"arguments": [quote("the cat", 2, role="ARG1"), quote("the dog", role="ARG0")]}),
        "stop",
        Usage(1, 1),
    )
    for each in (record, shown):
        assert read(GIVEN, completion, each).answer == {"frames": [SEEN]}


def test_a_given_predicate_may_be_words_that_stand_in_the_text_once() -> None:
    empty = Completion('{"arguments": []}', "stop", Usage(1, 1))
    record = Record("r", {"text": TEXT, "verb": "seen"})
    assert read(GIVEN, empty, record).answer == {"frames": [{**SEEN, "arguments": []}]}
    for verb in (
        "the cat",
        "barked",
        None,
        7,
        {"start": 3, "end": 3},
        {"start": 0, "end": 999},
        {**at("seen"), "text": "x"},
    ):
        with pytest.raises(RecordRejected):
            asked_about(GIVEN, Record("r", {"text": TEXT, "verb": verb}))
    with pytest.raises(RecordRejected):
        asked_about(GIVEN, Record("r", {"text": TEXT}))


def test_the_answer_is_about_the_predicate_given() -> None:
    record = Record("r", {"text": TEXT, "verb": at("seen")})
    assert GIVEN.accept({"frames": [SEEN]}, record) == GIVEN.accept({"frames": [SEEN]})
    with pytest.raises(DataError, match="the predicate given"):
        GIVEN.accept({"frames": [CHASED]}, record)
    with pytest.raises(DataError, match="expected one frame"):
        GIVEN.accept({"frames": []})


def test_given_predicates_are_annotated_each_by_itself() -> None:
    def model(request: postil.Request) -> str:
        shown = request.messages[-1].content
        return json.dumps({"arguments": [quote("The dog" if "[chased]" in shown else "the dog", role="ARG0")]})

    records = [{"text": TEXT, "verb": at(verb)} for verb in ("chased", "seen")]
    rows = postil.annotate(
        [*records, {"text": TEXT, "verb": "cat"}],
        GIVEN,
        engine=postil.ScriptedEngine(model),
        demonstrations=[(records[0], {"frames": [CHASED]})],
    )
    assert [row["outcome"] for row in rows] == ["annotation", "annotation", "failure"]
    words = [row["frames"][0]["arguments"][0]["text"] for row in rows[:2]]
    assert words == ["The dog", "the dog"]


def test_a_wrong_reply_is_sent_back_with_what_is_wrong() -> None:
    frames = [frame(quote("chased"), quote("the cat", role="ARG1"))]
    right = [frame(quote("chased"), quote("the cat", 1, role="ARG1"))]

    def model(request: postil.Request) -> str:
        return json.dumps({"frames": right if "2 times" in request.messages[-1].content else frames})

    [row] = postil.annotate([TEXT], TASK, engine=postil.ScriptedEngine(model))
    assert row["frames"] == [{**CHASED, "arguments": [role("ARG1", "the cat")]}]


def test_reasons_and_evidence_come_with_the_answer() -> None:
    task = Roles("srl", "Which?", roles=PROPBANK, rationale=True, evidence=True)
    completion = reply([frame(quote("chased"))], rationale="It is a verb.", evidence=["chased the cat", "a mouse"])
    reading = read(task, completion)
    assert reading.rationale == "It is a verb."
    assert reading.evidence == (at("chased the cat"),)
    assert "a mouse" in reading.rejected[0]


def tokens(text: str, probabilities: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    """Cut a text into characters, each certain but for those that begin one of some words."""
    found = [[character, 1.0] for character in text]
    for word, probability in probabilities.items():
        found[text.index(word)][1] = probability
    return tuple((str(character), float(probability)) for character, probability in found)


def test_frames_are_as_probable_as_their_tokens() -> None:
    completion = reply([frame(quote("seen")), frame(quote("chased"), quote("The dog", role="ARG0"))])
    scored = Completion(
        completion.text, "stop", Usage(1, 1), tokens=tokens(completion.text, {"seen": 0.5, "chased": 0.9, "ARG0": 0.8})
    )
    reading = read(TASK, scored, token_probabilities=True)
    assert reading.part_confidences == {"frames/0": pytest.approx(0.72), "frames/1": pytest.approx(0.5)}
    assert reading.confidence
    assert reading.confidence.value == pytest.approx(0.36)
    assert read(TASK, completion, token_probabilities=True).part_confidences is None


def test_arguments_of_a_given_predicate_are_as_probable_as_their_tokens() -> None:
    text = json.dumps({"arguments": [quote("the dog", role="ARG0"), quote("the cat", 2, role="ARG1")]})
    scored = Completion(text, "stop", Usage(1, 1), tokens=tokens(text, {"dog": 0.25, "cat": 0.75}))
    record = Record("r", {"text": TEXT, "verb": at("seen")})
    reading = read(GIVEN, scored, record, token_probabilities=True)
    assert reading.part_confidences == {"frames/0/arguments/0": 0.75, "frames/0/arguments/1": 0.25}


def test_answers_from_outside_are_put_in_order() -> None:
    shuffled: Answer = {
        "frames": [
            {**SEEN, "arguments": [role("ARG0", "the dog"), role("ARG1", "the cat", 2)]},
            {"predicate": {**at("chased"), "lemma": "chase"}, "arguments": CHASED["arguments"]},
        ]
    }
    assert TASK.accept(shuffled) == ANSWER
    without_words = {"frames": [{"predicate": {"start": 8, "end": 14}, "arguments": []}]}
    assert TASK.accept(without_words, RECORD) == {"frames": [{"predicate": at("chased"), "arguments": []}]}


@pytest.mark.parametrize(
    ("answer", "record"),
    [
        ({}, None),
        ({"frames": "chased"}, None),
        ({"frames": ["chased"]}, None),
        ({"frames": [{"arguments": []}]}, None),
        ({"frames": [{"predicate": at("chased"), "arguments": {}}]}, None),
        ({"frames": [{"predicate": {"start": 8, "end": 14}}]}, None),
        ({"frames": [{"predicate": {**at("chased"), "start": 8.0}}]}, None),
        ({"frames": [{"predicate": {**at("chased"), "start": True}}]}, None),
        ({"frames": [{"predicate": {**at("chased"), "text": "chase"}}]}, None),
        ({"frames": [{"predicate": {"start": 9, "end": 15, "text": "chased"}}]}, RECORD),
        ({"frames": [{"predicate": {"start": 60, "end": 99}}]}, RECORD),
        ({"frames": [CHASED, CHASED]}, None),
        ({"frames": [{**CHASED, "arguments": [role("AGENT", "The dog")]}]}, None),
        ({"frames": [{**CHASED, "arguments": [role("ARG0", "The dog"), role("ARG0", "yesterday")]}]}, None),
        ({"frames": [{**CHASED, "arguments": [role("ARG0", "The dog"), role("ARG1", "dog")]}]}, None),
        (ANSWER, Record("r", {"title": TEXT})),
        (ANSWER, Record("r", {"text": ""})),
    ],
)
def test_what_is_no_answer_is_refused(answer: Answer, record: Record | None) -> None:
    with pytest.raises(DataError):
        TASK.accept(answer, record)


def test_offsets_are_code_points() -> None:
    """Reliability A8."""
    text = "😀😀 The e\u0301lan vital 😀 drove 她 e\u0301lan"
    record = Record("r", {"text": text})
    completion = reply([frame(quote("drove"), quote("她", role="ARG1"), quote("e\u0301lan", 2, role="ARG0"))])
    answer = read(TASK, completion, record).answer
    assert answer
    for each in (answer["frames"][0]["predicate"], *answer["frames"][0]["arguments"]):
        assert text[each["start"] : each["end"]] == each["text"]


def test_agreement_is_of_predicates_and_arguments() -> None:
    one = {"frames": [CHASED]}
    assert TASK.agreement(ANSWER, ANSWER) == 1
    assert TASK.agreement({"frames": []}, {"frames": []}) == 1
    assert TASK.agreement({"frames": []}, ANSWER) == 0
    assert TASK.agreement(one, ANSWER) == TASK.agreement(ANSWER, one) == pytest.approx(2 * 3 / (3 + 6))
    swapped = {"frames": [{**CHASED, "arguments": [role("ARG1", "The dog"), role("ARG0", "the cat")]}]}
    assert TASK.agreement(one, swapped) == pytest.approx(1 / 3)


def test_what_most_say_is_merged_part_by_part() -> None:
    bare = {"frames": [{**CHASED, "arguments": [role("ARG0", "The dog")]}]}
    wrong = {"frames": [{**CHASED, "arguments": [role("ARG0", "the cat"), role("ARG1", "The dog")]}]}
    assert TASK.merge([(ANSWER, 1), (bare, 1), ({"frames": [CHASED]}, 1)]) == {"frames": [CHASED]}
    assert TASK.merge([(ANSWER, 1), (bare, 1), (wrong, 1)]) == bare
    assert TASK.merge([(ANSWER, 1), (bare, 1)]) is None
    assert TASK.merge([(ANSWER, 1), (bare, 1.5)]) == bare
    assert TASK.merge([]) is None


def test_of_senses_the_heaviest_is_merged_and_a_tie_is_none() -> None:
    task = Roles("srl", "Which?", roles=PROPBANK, senses=True)

    def sensed(sense: str | None) -> Answer:
        return {"frames": [{"predicate": {**at("chased"), "sense": sense}, "arguments": []}]}

    assert task.merge([(sensed("a"), 2), (sensed("b"), 1), (sensed(None), 1)]) == sensed("a")
    assert task.merge([(sensed(None), 2), (sensed("b"), 1)]) == sensed(None)
    assert task.merge([(sensed("a"), 1), (sensed("b"), 1)]) is None


SPANS = st.sampled_from(["The dog", "the cat", "yesterday", "by the dog", "the dog", "dog", "The dog chased"])
ARGUMENTS = st.lists(st.builds(role, st.sampled_from(PROPBANK), SPANS), max_size=4)
FRAMES = st.lists(
    st.builds(
        lambda verb, arguments: {"predicate": at(verb), "arguments": arguments},
        st.sampled_from(["chased", "seen"]),
        ARGUMENTS,
    ),
    max_size=2,
)


@given(st.lists(FRAMES, min_size=1, max_size=5), st.lists(st.sampled_from([0.1, 1, 2.5]), min_size=5, max_size=5))
def test_whatever_is_merged_keeps_the_rules(drawn: list[Sequence[Any]], weights: list[float]) -> None:
    answers: list[tuple[Answer, float]] = []
    for frames, weight in zip(drawn, weights, strict=False):
        try:
            answers.append((TASK.accept({"frames": frames}), weight))
        except DataError:
            continue
    merged = TASK.merge(answers)
    assert merged is None or TASK.accept(merged) == merged
    assert merged == TASK.merge(answers[::-1])


@given(FRAMES)
def test_every_answer_is_written_and_read_back(frames: Sequence[Any]) -> None:
    try:
        answer = TASK.accept({"frames": frames}, RECORD)
    except DataError:
        return
    for capabilities in (Capabilities(), Capabilities(schema=True)):
        form = TASK.form(capabilities)
        completion = Completion(TASK.write(answer, form, RECORD), "stop", Usage(1, 1))
        assert TASK.read(completion, form, RECORD).answer == answer


def gold_files(name: str) -> list[Path]:
    paths = [gold_roles.DATA / name / f"{split}.jsonl" for split in ("pool", "test")]
    if not all(path.exists() for path in paths):
        pytest.skip("needs the shared data")
    return paths


@pytest.mark.parametrize("schema", [False, True])
@pytest.mark.parametrize("how", ["sentences", "spans", "predicates", "qasrl_wikinews"])
def test_all_gold_is_accepted_written_and_read_back(how: str, schema: bool) -> None:
    """Universal PropBank by head words, by derived spans and predicate by predicate; QA-SRL."""
    name = how if how == "qasrl_wikinews" else "up_ewt"
    records = gold_roles.by_predicate if how == "predicates" else gold_roles.records_and_gold
    pairs = [pair for path in gold_files(name) for pair in records(path, spans=how == "spans")]
    task = gold_roles.task_for(name, gold_roles.roles_of(gold for _, gold in pairs), given=how == "predicates")
    form = task.form(Capabilities(schema=schema))
    for record, gold in pairs:
        answer = task.accept(gold, record)
        assert parts(answer) == parts(gold)
        completion = Completion(task.write(answer, form, record), "stop", Usage(1, 1))
        assert task.read(completion, form, record).answer == answer


def parts(answer: Answer) -> list[Any]:
    """Return what an answer says, whatever the order."""
    return sorted(
        (frame["predicate"]["start"], frame["predicate"]["end"], each["role"], each["start"], each["end"])
        for frame in answer["frames"]
        for each in [{"role": frame["predicate"].get("sense") or "", "start": 0, "end": 0}, *frame["arguments"]]
    )
