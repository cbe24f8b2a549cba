"""Spans: exact places of quoted words, on real gold and on replies with every fault (survey 0.05, A5-A10)."""

import json
import random
from typing import Any

import pytest

from postil.errors import (
    Ambiguous,
    AnswerError,
    DataError,
    Inconsistent,
    NotFound,
    OutsideLabels,
    TaskError,
    Unreadable,
)
from postil.prompts import Prompt
from postil.tasks import Reading
from postil.tasks.kinds import task_from_spec
from postil.tasks.spans import Spans
from postil.testing import check_task
from postil.types import JSON, Answer, Capabilities, Completion, Demonstration, Record, Usage
from tests.tasks.gold_spans import DATA, SETS, records_and_gold, task_for

TEXT = "Ann Lee met Ann in New York. NEW YORK, she said to Bo, is big."
RECORD = Record("r", {"text": TEXT})
LABELS = {"PER": "people", "LOC": "places"}


def task(**options: Any) -> Spans:
    return Spans("names", "Which names are there?", labels=LABELS, **options)


def read(
    reply: JSON, task: Spans, record: Record = RECORD, tokens: tuple[tuple[str, float], ...] | None = None
) -> Reading:
    text = reply if isinstance(reply, str) else json.dumps(reply, ensure_ascii=False)
    form = task.form(Capabilities(token_probabilities=tokens is not None))
    return task.read(Completion(text, "stop", Usage(1, 1), tokens=tokens), form, record)


def spans(*items: tuple[Any, ...], **more: JSON) -> dict[str, JSON]:
    keys = ("text", "label", "occurrence")
    return {"spans": [dict(zip(keys, item, strict=False)) for item in items], **more}


def places(reading: Reading) -> list[tuple[int, int, str]]:
    assert reading.answer is not None
    return [(span["start"], span["end"], span["label"]) for span in reading.answer["spans"]]


def answer(*items: tuple[int, int, str], text: str = TEXT) -> Answer:
    return {"spans": [{"start": s, "end": e, "label": label, "text": text[s:e]} for s, e, label in items]}


@pytest.mark.parametrize("name", SETS)
def test_gold_written_by_a_scripted_engine_aligns_exactly(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip("no shared data here")
    for part in ("pool", "test"):
        gold = records_and_gold(DATA / name / f"{part}.jsonl")
        spanning = task_for(name, sorted({span["label"] for _, answer in gold for span in answer["spans"]}))
        for capabilities in (Capabilities(), Capabilities(schema=True)):
            form = spanning.form(capabilities)
            for record, given in gold:
                accepted = spanning.accept(given, record)
                written = Completion(spanning.write(accepted, form, record), "stop", Usage(1, 1))
                assert spanning.read(written, form, record).answer == accepted
                assert all(record.fields["text"][s["start"] : s["end"]] == s["text"] for s in accepted["spans"])


@pytest.mark.parametrize("name", SETS)
def test_gold_words_without_numbers_align_rightly_or_are_ambiguous(name: str) -> None:
    """Reliability A9: of bare strings most have one place; no other one is ever put wrongly."""
    if not (DATA / name).exists():
        pytest.skip("no shared data here")
    gold = records_and_gold(DATA / name / "test.jsonl")
    spanning = task_for(name, sorted({span["label"] for _, answer in gold for span in answer["spans"]}))
    refused = total = 0
    for record, given in gold:
        accepted = spanning.accept(given, record)
        total += len(accepted["spans"])
        try:
            made = read(spans(*((s["text"], s["label"]) for s in accepted["spans"])), spanning, record)
        except (Ambiguous, NotFound):
            refused += 1
        else:
            assert made.answer == accepted
    assert refused < 0.03 * total


def test_the_kind_keeps_the_contract() -> None:
    answers = [answer(), answer((0, 7, "PER")), answer((0, 7, "PER"), (12, 15, "PER"), (19, 27, "LOC"))]
    check_task(task(), answers, record=RECORD)
    check_task(task(rationale=True, evidence=True, unaligned="drop"), answers, record=RECORD)
    check_task(task(nested=True), [*answers, answer((0, 3, "PER"), (0, 7, "PER"))], record=RECORD)
    chinese = Record("z", {"text": "李开复在北京，北京很大。"})
    check_task(
        Spans("实体", "文中有哪些实体？", labels=["人", "地"]),
        [answer((0, 3, "人"), (7, 9, "地"), text=chinese.fields["text"])],
        record=chinese,
    )


def test_repeated_words_are_told_apart_by_their_number() -> None:
    assert places(read(spans(("Ann", "PER", 2)), task())) == [(12, 15, "PER")]
    assert places(read(spans(("Ann", "PER", 1), ("Ann", "PER", 2)), task())) == [(0, 3, "PER"), (12, 15, "PER")]
    with pytest.raises(Ambiguous, match=r"spans\[0\].*2 times"):
        read(spans(("Ann", "PER")), task())


def test_a_mention_that_the_other_spans_leave_needs_no_number() -> None:
    # "Ann Lee" takes the first "Ann", and spans may not overlap.
    assert places(read(spans(("Ann", "PER"), ("Ann Lee", "PER")), task())) == [(0, 7, "PER"), (12, 15, "PER")]
    with pytest.raises(Ambiguous):
        read(spans(("Ann", "PER"), ("Ann Lee", "PER")), task(nested=True))
    # As many as there are: all of them.
    assert places(read(spans(("Ann", "PER"), ("Ann", "PER")), task())) == [(0, 3, "PER"), (12, 15, "PER")]
    with pytest.raises(Ambiguous):
        read(spans(("Ann", "PER"), ("Ann", "LOC")), task())


def test_places_that_only_come_near_are_not_chosen_by_exclusion() -> None:
    text = "the resturant on the corner, then the restaurent on the corner"
    twice = spans(*[("the restaurant on the corner", "LOC")] * 2)
    with pytest.raises(Ambiguous):
        read(twice, task(), Record("r", {"text": text}))


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (spans(("Cy", "PER")), NotFound),
        (spans(("Ann", "PER", 3)), NotFound),
        (spans(("An", "PER")), NotFound),
        (spans(("Bo", "ORG")), OutsideLabels),
        (spans(("Bo", None)), OutsideLabels),
        (spans(("Bo", "PER"), ("Bo", "PER")), Inconsistent),
        (spans(("Bo", "PER"), ("Bo", "LOC")), Inconsistent),
        (spans(("Ann Lee met", "PER"), ("met Ann", "PER")), Inconsistent),
        (spans(("Bo", "PER", 0)), Unreadable),
        (spans(("Bo", "PER", True)), Unreadable),
        (spans(("Bo", "PER", "1")), Unreadable),
        (spans(("", "PER")), Unreadable),
        (spans((" ", "PER")), Unreadable),
        (spans((7, "PER")), Unreadable),
        (spans((["Bo"], "PER")), Unreadable),
        ({"spans": ["Bo"]}, Unreadable),
        ({"spans": {"text": "Bo", "label": "PER"}}, Unreadable),
        ({"spans": None}, Unreadable),
        ({"entities": []}, Unreadable),
        ({"spans": [], "more": 1}, Unreadable),
        ({"spans": [{"text": "Bo", "label": "PER", "start": 0}]}, Unreadable),
        ({"spans": [{"fragments": [{"text": "Bo"}], "label": "PER"}]}, Unreadable),
        ({"spans": [{"text": "Bo", "label": "PER", "field": "title"}]}, OutsideLabels),
        ([], Unreadable),
    ],
)
def test_a_wrong_reply_is_an_error_that_says_why(reply: JSON, error: type[AnswerError]) -> None:
    with pytest.raises(error):
        read(reply, task())


def test_all_faults_are_named_at_once_because_a_reply_is_sent_back_only_once() -> None:
    with pytest.raises(NotFound, match=r"spans\[0\].*spans\[1\].*spans\[2\].*1 more"):
        read(spans(*((name, "PER") for name in ("Cy", "Di", "Ed", "Flo"))), task())


def test_labels_are_folded_and_words_may_differ_in_form() -> None:
    assert places(read(spans(("ann  lee", "per")), task())) == [(0, 7, "PER")]
    assert places(read(spans(("ＮＥＷ ＹＯＲＫ", "ＬＯＣ")), task())) == [(29, 37, "LOC")]


def test_what_cannot_be_placed_is_left_out_and_counted_only_where_that_is_wanted() -> None:
    made = read(spans(("Bo", "PER"), ("Cy", "PER"), ("Ann", "PER")), task(unaligned="drop"))
    assert places(made) == [(51, 53, "PER")]
    assert [each.split(":")[0] for each in made.rejected] == ["spans[1]", "spans[2]"]
    with pytest.raises(OutsideLabels):
        read(spans(("Bo", "ORG")), task(unaligned="drop"))


def test_nested_spans_only_by_option() -> None:
    nested = spans(("Ann Lee", "PER"), ("Ann", "PER", 1))
    assert places(read(nested, task(nested=True))) == [(0, 3, "PER"), (0, 7, "PER")]
    with pytest.raises(Inconsistent, match="overlap"):
        read(nested, task())
    with pytest.raises(DataError, match="overlap"):
        task().accept(answer((0, 3, "PER"), (0, 7, "PER")))
    twice = answer((0, 3, "PER"), (0, 3, "PER"))
    with pytest.raises(DataError, match="twice"):
        task(nested=True).accept(twice)


def test_spans_in_fragments_only_by_option() -> None:
    text = "left and right hand"
    record = Record("r", {"text": text})
    split = task(discontinuous=True, nested=True)
    reply = {
        "spans": [
            {"fragments": [{"text": "left"}, {"text": "hand"}], "label": "LOC"},
            {"fragments": [{"text": "right hand"}], "label": "LOC"},
        ]
    }
    made = read(reply, split, record)
    assert made.answer == {
        "spans": [
            {"start": 0, "end": 19, "label": "LOC", "text": text, "fragments": [[0, 4], [15, 19]]},
            {"start": 9, "end": 19, "label": "LOC", "text": "right hand"},
        ]
    }
    assert made.answer is not None
    check_task(split, [made.answer], record=record)
    with pytest.raises(DataError, match="fragments"):
        task(nested=True).accept(made.answer)
    with pytest.raises(Inconsistent, match="order"):
        read({"spans": [{"fragments": [{"text": "hand"}, {"text": "left"}], "label": "LOC"}]}, split, record)
    with pytest.raises(Inconsistent, match="overlap"):
        read(reply, task(discontinuous=True), record)


def test_a_span_names_its_field_where_several_are_shown() -> None:
    record = Record("r", {"title": "Ann", "text": "Ann met Bo"})
    both = task(show="{title}: {text}")
    named = {"spans": [{"text": "Ann", "label": "PER", "field": "text"}]}
    made = read(named, both, record)
    assert made.answer is not None
    assert made.answer == {"spans": [{"field": "text", "start": 0, "end": 3, "label": "PER", "text": "Ann"}]}
    assert made.answer == json.loads(json.dumps(both.accept(made.answer, record)))
    check_task(both, [made.answer], record=record)
    with pytest.raises(Ambiguous):
        read(spans(("Ann", "PER")), both, record)
    assert read(spans(("Bo", "PER")), both, record).answer == {
        "spans": [{"field": "text", "start": 8, "end": 10, "label": "PER", "text": "Bo"}]
    }
    with pytest.raises(DataError, match="field"):
        both.accept(answer((0, 3, "PER"), text="Ann"), record)


def test_each_span_has_the_probability_of_its_own_tokens() -> None:
    written = '{"spans": [{"text": "Bo", "label": "PER"}, {"text": "Ann Lee", "label": "PER"}]}'
    first, second = '{"text": "Bo", "label": "PER"}', '{"text": "Ann Lee", "label": "PER"}'
    tokens = (('{"spans": [', 1.0), (first, 0.5), (", ", 1.0), (second, 0.25), ("]}", 0.8))
    made = read(written, task(), tokens=tokens)
    # The answer is in the order of the text, the reply was not.
    assert places(made) == [(0, 7, "PER"), (51, 53, "PER")]
    assert made.part_confidences == {"spans/0": 0.25, "spans/1": 0.5}
    assert made.confidence is not None
    # Brackets and commas between the spans say nothing of them.
    assert made.confidence.value == pytest.approx(0.5 * 0.25)
    assert read(written, task()).confidence is None
    assert read(written, task()).part_confidences is None


def test_reasons_and_evidence_are_read_and_change_nothing_else() -> None:
    reply = spans(("Bo", "PER"), rationale="He is named.", evidence=["she said to Bo", "not there"])
    made = read(reply, task(rationale=True, evidence=True))
    assert (made.rationale, places(made)) == ("He is named.", [(51, 53, "PER")])
    assert [piece["text"] for piece in made.evidence] == ["she said to Bo"]
    assert len(made.rejected) == 1
    before = read("Bo is a name.\nSpans: " + json.dumps(spans(("Bo", "PER"))), task())
    assert (before.rationale, places(before)) == ("Bo is a name.", [(51, 53, "PER")])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([{"start": 0, "end": 3, "label": "PER", "text": "Bob"}], "which stands from 0 to 3"),
        ([{"start": 0, "end": 99, "label": "PER", "text": "x" * 99}], "the text has 62"),
        ([{"start": 3, "end": 3, "label": "PER", "text": ""}], "start < end"),
        ([{"start": -1, "end": 3, "label": "PER", "text": "Anna"}], "start < end"),
        ([{"start": False, "end": 3, "label": "PER", "text": "Ann"}], "whole numbers"),
        ([{"start": 0.0, "end": 3, "label": "PER", "text": "Ann"}], "whole numbers"),
        ([{"start": 0, "end": 3, "label": "ORG", "text": "Ann"}], "labels"),
        ([{"start": 0, "end": 3, "text": "Ann"}], "labels"),
        ([{"start": 0, "end": 3, "label": "PER", "text": "Ann", "field": "title"}], "fields"),
        (["Ann"], "expected a span"),
        ("Ann", "expected a list"),
        (None, "expected a list"),
    ],
)
def test_gold_that_does_not_stand_in_its_text_is_refused(given: JSON, expected: str) -> None:
    with pytest.raises(DataError, match=expected):
        task().accept({"spans": given}, RECORD)


def test_gold_may_leave_out_its_words_only_where_the_record_has_them() -> None:
    bare: Answer = {"spans": [{"start": 51, "end": 53, "label": "per"}]}
    assert task().accept(bare, RECORD) == answer((51, 53, "PER"))
    with pytest.raises(DataError, match="characters"):
        task().accept(bare)
    with pytest.raises(DataError, match="text"):
        task().accept(bare, Record("r", {"other": "x"}))


def test_offsets_count_code_points_whatever_the_script() -> None:
    text = "👩\u200d💻 李开复 e\u0301t שלום 😀"
    record = Record("r", {"text": text})
    for words in ("👩\u200d💻", "李开复", "e\u0301t", "שלום", "😀"):
        made = read(spans((words, "PER")), task(), record)
        assert places(made) == [(text.index(words), text.index(words) + len(words), "PER")]


def test_merging_keeps_what_more_than_half_of_the_weight_says() -> None:
    ann, york, bo = (0, 7, "PER"), (19, 27, "LOC"), (51, 53, "PER")
    three = [(answer(ann, york), 1.0), (answer(ann, bo), 1.0), (answer(ann), 1.0)]
    assert task().merge(three) == answer(ann)
    assert task().merge([*three[:2], (answer(ann, bo), 2.0)]) == answer(ann, bo)
    assert task().merge(three[:2]) is None
    assert task().merge([]) is None


def test_agreement_is_the_f1_of_equal_spans() -> None:
    ann, york = (0, 7, "PER"), (19, 27, "LOC")
    assert task().agreement(answer(ann, york), answer(ann)) == pytest.approx(2 / 3)
    assert task().agreement(answer(), answer()) == 1
    assert task().agreement(answer(ann), answer((0, 7, "LOC"))) == 0


def test_the_prompt_holds_labels_contract_and_text_in_both_languages() -> None:
    zh = Spans("实体", "文中有哪些实体？", labels={"人": "人名", "地": ""})
    assert (task().language, zh.language) == ("en", "zh")
    demonstration = Demonstration(RECORD, answer((12, 15, "PER")))
    system, shown, solved, asked = Prompt.for_engine(task(), Capabilities()).render(RECORD, [demonstration])
    assert "- PER: people" in system.content
    assert '{"spans": []}' in system.content
    assert f"<text>\n{TEXT}\n</text>" in asked.content == shown.content
    assert json.loads(solved.content) == {"spans": [{"text": "Ann", "occurrence": 2, "label": "PER"}]}
    [system, asked] = Prompt.for_engine(zh, Capabilities()).render(Record("z", {"text": "李开复"}))
    assert "- 人：人名" in system.content
    assert "<文本>\n李开复\n</文本>" in asked.content
    assert "。" in system.content


def test_under_a_schema_every_key_is_asked_for_and_what_is_not_needed_is_null() -> None:
    form = task().form(Capabilities(schema=True))
    assert form.schema is not None
    item = form.schema["properties"]["spans"]["items"]
    assert item["required"] == list(item["properties"]) == ["text", "occurrence", "label"]
    assert item["properties"]["label"]["enum"] == ["PER", "LOC"]
    written = json.loads(task().write(answer((51, 53, "PER")), form, RECORD))
    assert written == {"spans": [{"text": "Bo", "occurrence": None, "label": "PER"}]}
    assert task().read(Completion(json.dumps(written), "stop", Usage(1, 1)), form, RECORD).answer == answer(
        (51, 53, "PER")
    )


@pytest.mark.parametrize(
    "options",
    [
        {"labels": []},
        {"labels": "PER"},
        {"labels": ["PER", "per"]},
        {"labels": ["PER", "PER"]},
        {"labels": [1, 2]},
        {"labels": ["PER"], "unaligned": "guess"},
        {"labels": ["PER"], "fuzzy": 0.9},
        {"labels": ["PER"], "fuzzy": -0.1},
        {"labels": ["PER"], "show": "no field"},
    ],
)
def test_a_task_that_cannot_work_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(TaskError):
        Spans("names", "Which?", **options)


def test_one_label_is_enough_and_everything_is_in_the_spec() -> None:
    made = Spans("names", "Which?", labels={"PER": "people"}, nested=True, discontinuous=True, fuzzy=0.2)
    assert task_from_spec(json.loads(json.dumps(made.spec))) == made
    assert hash(made) == hash(task_from_spec(made.spec))
    assert made != Spans("names", "Which?", labels={"PER": "people"}, nested=True, discontinuous=True)


def test_shuffled_gold_is_never_read_as_the_gold_of_another_record() -> None:
    if not DATA.exists():
        pytest.skip("no shared data here")
    gold = [pair for pair in records_and_gold(DATA / "wnut17" / "test.jsonl") if pair[1]["spans"]]
    spanning = task_for("wnut17", sorted({span["label"] for _, given in gold for span in given["spans"]}))
    form = spanning.form(Capabilities())
    others = gold[1:] + gold[:1]
    random.Random(0).shuffle(others)
    right = 0
    for (record, own), (other, given) in zip(gold, others, strict=True):
        try:
            made = spanning.read(Completion(spanning.write(given, form, other), "stop", Usage(1, 1)), form, record)
        except AnswerError:
            continue
        right += made.answer == own
    assert right < 0.02 * len(gold)
