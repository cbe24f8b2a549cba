"""Free writing: read whole, quotes found and never guessed (survey 0.13, reliability A1, A3, A9)."""

import json
import math
import tomllib
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

import postil
from postil.canonical import canonical_json, digest
from postil.errors import (
    Ambiguous,
    AnswerError,
    DataError,
    Inconsistent,
    NotFound,
    OutsideLabels,
    Refused,
    TaskError,
    Truncated,
    Unreadable,
)
from postil.project.settings import parse_task
from postil.prompts import Prompt
from postil.tasks.kinds import task_from_spec
from postil.tasks.text import Text, overlap, words_of
from postil.testing import check_task
from postil.types import Answer, Capabilities, Completion, Record, Request, Usage
from tests.tasks import gold_text
from tests.tasks.gold_text import path_of, records_and_gold, task_for

PLAIN = Capabilities()
SOURCE = "The battery died after two days. The battery is 房间 too."
RECORD = Record("r", {"text": SOURCE})
ENGINES = [PLAIN, Capabilities(schema=True), Capabilities("sequence", token_probabilities=True)]


def task(**options: Any) -> Text:
    return Text("answer", "Why did it fail?", **options)


def completion(text: str, **more: Any) -> Completion:
    return Completion(text, "stop", Usage(1, 1), **more)


def read(these: Text, text: str, record: Record = RECORD) -> Answer:
    answer = these.read(completion(text), these.form(PLAIN), record).answer
    assert answer is not None
    return answer


def quoting(*quotes: Any, text: str = "It died.") -> str:
    return json.dumps({"quotes": quotes, "text": text}, ensure_ascii=False)


# Bare texts


@pytest.mark.parametrize("text", ["A fine title", "一个好标题。", "two\nlines", '{"no": "answer of ours"}', "**bold**"])
def test_the_reply_itself_is_the_text(text: str) -> None:
    assert read(task(), f" {text}\n") == {"text": text}


@given(st.text(min_size=1).map(str.strip))
def test_whatever_is_accepted_is_read_back_as_it_was_written(text: str) -> None:
    try:
        answer = task(refusals="keep").accept({"text": text})
    except DataError:
        assume(False)
    assume("<" not in text)
    for capabilities in ENGINES:
        for these in (task(refusals="keep"), task(refusals="keep", rationale=True)):
            form = these.form(capabilities)
            assert these.read(completion(these.write(answer, form)), form, RECORD).answer == answer


def test_a_text_cut_short_is_none() -> None:
    with pytest.raises(Truncated):
        task().read(Completion("A fine ti", "length", Usage(1, 1)), task().form(PLAIN), RECORD)


@pytest.mark.parametrize(
    "text", ["I'm sorry, but I can't help with that.", "抱歉，我无法回答。", "As an AI, I have no view."]
)
def test_a_refusal_is_no_text_unless_such_texts_are_wanted(text: str) -> None:
    with pytest.raises(Refused):
        read(task(), text)
    assert read(task(refusals="keep"), text) == {"text": text}


def test_a_text_that_only_mentions_an_apology_later_is_one() -> None:
    letter = "The hotel wrote to every guest of that week, and the manager, who had been away, signed it himself. "
    letter += "I am sorry that you found the house closed, it said."
    assert read(task(), letter) == {"text": letter}


def test_the_word_for_no_answer_is_an_abstention() -> None:
    these = task(unanswerable="N/A")
    reading = these.read(completion("n/a."), these.form(PLAIN), RECORD)
    assert (reading.answer, reading.abstained) == (None, "answered 'N/A'")
    grounded = task(unanswerable="不知道", grounded=True)
    for reply in ("不知道。", '{"quotes": [], "text": "不知道"}'):
        assert grounded.read(completion(reply), grounded.form(PLAIN), RECORD).abstained == "answered '不知道'"


def test_the_probability_of_a_text_is_that_of_its_tokens() -> None:
    tokens = (("So 8 x 9. ", 0.5), ("\nAnswer", 0.9), (":", 1.0), (" 7", 0.8), ("2", 0.5), ("\n", 0.1))
    reply = completion("".join(token for token, _ in tokens), tokens=tokens)
    these = task(final="Answer")
    reading = these.read(reply, these.form(PLAIN), RECORD)
    assert reading.answer == {"text": "72"}
    assert reading.confidence is not None
    assert (reading.confidence.value, reading.confidence.kind) == (pytest.approx(0.4), "logprob")


# Reasons first, the answer last


@pytest.mark.parametrize(
    ("reply", "text", "rationale"),
    [
        ("8 x 9 is 72.\nAnswer: 72", "72", "8 x 9 is 72."),
        ("Answer: 70? No.\nAnswer: 72", "72", "Answer: 70? No."),
        ("**Answer:** 72", "72", ""),
        ("**Answer**: 72", "72", ""),
        ("**Answer: 72**", "72", ""),
        ("> answer： 72", "72", ""),
        ("Answer: **72** apples", "**72** apples", ""),
    ],
)
def test_the_answer_stands_after_the_last_marker(reply: str, text: str, rationale: str) -> None:
    these = task(final="Answer")
    reading = these.read(completion(reply), these.form(PLAIN), RECORD)
    assert (reading.answer, reading.rationale) == ({"text": text}, rationale)


@pytest.mark.parametrize("reply", ["8 x 9 is 72.", "The answer: 72", "So the Answer: 72", "Answer 72", "Answer:", "72"])
def test_without_the_marker_there_is_no_answer(reply: str) -> None:
    with pytest.raises(Unreadable):
        read(task(final="Answer"), reply)


def test_a_demonstration_shows_its_reasons_before_the_marker() -> None:
    these = Text("算术", "解题。", show="{question}", final="答案：")
    demonstration = postil.types.Demonstration(Record("d", {"question": "一加一？"}), {"text": "2"}, "一加一等于二。")
    messages = Prompt.for_engine(these, PLAIN).render(Record("r", {"question": "二加二？"}), [demonstration])
    assert [message.content for message in messages[1:]] == ["一加一？", "一加一等于二。\n答案：2", "二加二？"]
    assert "以“答案：”开头" in messages[0].content
    reading = these.read(completion(messages[2].content), these.form(PLAIN), RECORD)
    assert (reading.answer, reading.rationale) == ({"text": "2"}, "一加一等于二。")


# Quotes


def test_quotes_are_found_in_the_source_and_kept_in_its_order() -> None:
    these = task(grounded=True)
    answer = read(these, quoting({"text": "房间"}, "died after two days", "died after two days"))
    assert answer["quotes"] == [
        {"start": 12, "end": 31, "text": "died after two days"},
        {"start": 48, "end": 50, "text": "房间"},
    ]
    assert all(SOURCE[quote["start"] : quote["end"]] == quote["text"] for quote in answer["quotes"])
    assert these.accept(answer, RECORD) == answer


def test_a_mention_is_told_from_another_by_its_number() -> None:
    answer = read(task(grounded=True), quoting({"text": "The battery", "occurrence": 2}))
    assert answer["quotes"] == [{"start": 33, "end": 44, "text": "The battery"}]


@pytest.mark.parametrize(
    ("reply", "error", "words"),
    [
        (quoting("it broke"), NotFound, "quotes[0]"),
        (quoting("died", "The battery"), Ambiguous, "quotes[1]"),
        (quoting({"text": "The battery", "occurrence": 3}), NotFound, "stands in the text 2 times"),
        (quoting({"text": "died", "occurrence": "1"}), Unreadable, "whole number"),
        (quoting({"words": "died"}), Unreadable, "quotes[0]"),
        (quoting(""), Unreadable, "quotes[0]"),
        (quoting(), Inconsistent, "no quote"),
        ('{"text": "It died."}', Unreadable, "a list"),
        ('{"quotes": ["died"]}', Unreadable, '"text"'),
        ('{"quotes": ["died"], "text": ""}', Unreadable, '"text"'),
        ('{"quotes": ["died"], "text": "\\ud800"}', Unreadable, "half a character"),
        ("It died.", Unreadable, "JSON"),
        ("I cannot answer this.", Refused, "refused"),
    ],
)
def test_an_answer_that_quotes_what_is_not_there_is_none(reply: str, error: type[AnswerError], words: str) -> None:
    with pytest.raises(AnswerError) as caught:
        read(task(grounded=True), reply)
    assert type(caught.value) is error
    assert words in str(caught.value)


def test_quotes_without_a_place_are_dropped_and_listed_by_option() -> None:
    these = task(grounded=True, unaligned="drop")
    reading = these.read(completion(quoting("it broke", "died")), these.form(PLAIN), RECORD)
    assert reading.answer == {"text": "It died.", "quotes": [{"start": 12, "end": 16, "text": "died"}]}
    assert len(reading.rejected) == 1
    assert reading.rejected[0].startswith("quotes[0]: ")
    with pytest.raises(NotFound):
        read(these, quoting("it broke"))


def test_a_quote_names_its_field_where_several_are_shown() -> None:
    these = task(grounded=True, show="{question} {text}", source="text")
    shown = Record("r", {"question": "Did it die?", "text": SOURCE})
    assert read(these, quoting("died"), shown)["quotes"] == [{"field": "text", "start": 12, "end": 16, "text": "died"}]
    with pytest.raises(NotFound):
        read(these, quoting("Did it die?"), shown)


def test_each_quote_has_the_probability_of_its_tokens() -> None:
    pieces = ('{"quotes": [', '"two days"', ", ", '"died"', '], "text": ', '"It', ' died."', "}")
    tokens = tuple(zip(pieces, (1.0, 0.5, 1.0, 0.25, 1.0, 0.5, 0.5, 1.0), strict=True))
    these = task(grounded=True)
    reading = these.read(completion("".join(pieces), tokens=tokens), these.form(PLAIN), RECORD)
    assert reading.part_confidences == {"quotes/0": pytest.approx(0.25), "quotes/1": pytest.approx(0.5)}
    assert reading.confidence is not None
    assert reading.confidence.value == pytest.approx(0.25)


@given(st.text("ab 房间。", min_size=1, max_size=30), st.data())
def test_any_span_is_written_and_found_again(source: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(source) - 1))
    end = data.draw(st.integers(start + 1, len(source)))
    words = source[start:end]
    assume(words.strip() == words)
    these, shown = task(grounded=True), Record("r", {"text": source})
    answer = these.accept({"text": "x", "quotes": [{"start": start, "end": end, "text": words}]}, shown)
    for capabilities in ENGINES:
        form = these.form(capabilities)
        assert these.read(completion(these.write(answer, form, shown)), form, shown).answer == answer


# Scores and reasons beside the text


def test_scores_for_criteria_stand_beside_the_text() -> None:
    these = task(criteria=["fluency", "忠实"])
    reply = '{"text": "It died.", "scores": {"忠实": 5, "fluency": 3}}'
    assert read(these, reply) == {"text": "It died.", "scores": {"fluency": 3, "忠实": 5}}
    ask = these.ask(these.form(PLAIN))
    assert [(option.name, option.definition) for option in ask.options] == [
        ("fluency", "from 1 to 5"),
        ("忠实", "from 1 to 5"),
    ]


@pytest.mark.parametrize(
    "scores",
    [
        "null",
        "{}",
        '{"fluency": 3}',
        '{"fluency": 3, "忠实": 6}',
        '{"fluency": 3, "忠实": "5"}',
        '{"fluency": 3, "忠实": true}',
        '{"fluency": 3, "忠实": 5, "more": 1}',
        '{"fluency": 3.5, "忠实": 5}',
    ],
)
def test_scores_that_are_none_are_no_answer(scores: str) -> None:
    with pytest.raises(OutsideLabels):
        read(task(criteria=["fluency", "忠实"]), f'{{"text": "It died.", "scores": {scores}}}')


def test_gold_scores_may_be_means_and_may_be_missing() -> None:
    these = task(criteria=["fluency", "忠实"])
    assert these.accept({"text": "x", "scores": {"fluency": 3.5}})["scores"] == {"fluency": 3.5}
    assert these.accept({"text": "x"}) == {"text": "x"}


def test_reasons_stand_in_the_object() -> None:
    these = task(rationale=True)
    reading = these.read(completion('{"rationale": "It says so.", "text": "It died."}'), these.form(PLAIN), RECORD)
    assert (reading.answer, reading.rationale) == ({"text": "It died."}, "It says so.")


def test_the_schema_asks_for_what_is_wanted() -> None:
    these = task(grounded=True, criteria=["fluency"], rationale=True)
    form = these.form(Capabilities(schema=True))
    assert form.schema is not None
    assert form.schema["required"] == ["rationale", "quotes", "text", "scores"]
    assert (form.style, form.layout) == ("json", "extraction")
    written = json.loads(these.write({"text": "x", "quotes": [{"start": 12, "end": 16, "text": "died"}]}, form, RECORD))
    assert written["quotes"] == [{"text": "died", "occurrence": None}]
    assert (task().form(PLAIN).style, task().form(PLAIN).layout) == ("text", "writing")


# Answers from outside


@pytest.mark.parametrize(
    ("gold", "accepted"),
    [
        ({"text": " x "}, {"text": "x"}),
        ({"text": 72}, {"text": "72"}),
        ({"text": "x", "alternatives": ["y", "x", " y", "z"]}, {"text": "x", "alternatives": ["y", "z"]}),
        ({"text": "x", "alternatives": []}, {"text": "x"}),
        ({"text": "x", "quotes": [{"start": 12, "end": 16, "text": "died"}]}, {"text": "x"}),
    ],
)
def test_gold_is_accepted_in_its_canonical_form(gold: Answer, accepted: Answer) -> None:
    assert task().accept(gold) == accepted
    assert task().accept(accepted) == accepted


@pytest.mark.parametrize(
    "gold",
    [
        {},
        {"text": None},
        {"text": " "},
        {"text": True},
        {"text": math.nan},
        {"text": "\ud800"},
        {"text": ["x"]},
        {"text": "x", "alternatives": "y"},
        {"text": "x", "alternatives": [""]},
        {"text": "n/a"},
    ],
)
def test_anything_else_is_refused(gold: Answer) -> None:
    with pytest.raises(DataError):
        task(unanswerable="N/A").accept(gold)


@pytest.mark.parametrize(
    "quote",
    [
        {"start": 12, "end": 15, "text": "died"},
        {"start": 13, "end": 17, "text": "died"},
        {"start": -1, "end": 3, "text": "died"},
        {"start": 12, "end": 16},
        {"start": True, "end": 5, "text": "died"},
        {"text": "it broke"},
        {"text": "The battery"},
        {"field": "title", "start": 12, "end": 16, "text": "died"},
        "died",
    ],
)
def test_gold_quotes_that_do_not_stand_in_the_record_are_refused(quote: Any) -> None:
    with pytest.raises(DataError):
        task(grounded=True).accept({"text": "x", "quotes": [quote]}, RECORD)


def test_gold_quotes_without_a_place_are_looked_for() -> None:
    gold = {"text": "x", "quotes": [{"text": "The battery", "occurrence": 2}, {"text": "died"}]}
    assert [quote["start"] for quote in task(grounded=True).accept(gold, RECORD)["quotes"]] == [12, 33]
    with pytest.raises(DataError):
        task(grounded=True).accept(gold)


# Comparing and merging


@pytest.mark.parametrize(
    ("one", "other", "f1"),
    [
        ("The Battery died.", "battery died", 1),
        ("a b c", "c d", 0.5),
        ("北京大学", "北京的大学", 8 / 9),
        ("GPU 有 80 GB", "80 GB 的 GPU", 0.75),
        ("x", "y", 0),
        ("!", "?", 1),
        ("!", "x", 0),
    ],
)
def test_agreement_is_the_f1_of_words_and_of_han_characters(one: str, other: str, f1: float) -> None:
    assert task().agreement({"text": one}, {"text": other}) == pytest.approx(f1)
    assert overlap(words_of(other), words_of(one)) == pytest.approx(f1)


@given(st.text(), st.text())
def test_agreement_is_symmetric_and_whole_for_equal_texts(one: str, other: str) -> None:
    there, back = (task().agreement({"text": a}, {"text": b}) for a, b in ((one, other), (other, one)))
    assert there == back
    assert 0 <= there <= 1
    assert task().agreement({"text": one}, {"text": one}) == 1


def test_merging_takes_the_text_that_agrees_most_with_the_others() -> None:
    votes = [({"text": text}, 1.0) for text in ("the cat sat", "the cat sat down", "a dog ran")]
    merged = task().merge([*votes, ({"text": "The cat sat."}, 1.0)])
    assert merged is not None
    assert words_of(merged["text"]) == ["cat", "sat"]
    assert task().merge([({"text": "72"}, 1), ({"text": "71"}, 1)]) is None
    assert task().merge([({"text": "72"}, 1), ({"text": "71"}, 1), ({"text": "72"}, 1)]) == {"text": "72"}
    assert task().merge([]) is None


def test_people_read_the_beginning_on_one_line() -> None:
    assert task().describe({"text": "one\n two" * 100}).startswith("one two")
    assert len(task().describe({"text": "x" * 1000})) < 300


# The definition


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grounded": True, "show": "{a} {b}"}, "`source`"),
        ({"grounded": True, "source": "other"}, "`source`"),
        ({"final": "Answer", "grounded": True}, "`final`"),
        ({"criteria": ["x", "x"]}, "once"),
        ({"criteria": ["x"], "low": 5, "high": 5}, "2 to 101 points"),
        ({"max_tokens": 0}, "above 0"),
        ({"unaligned": "guess"}, "`unaligned`"),
        ({"refusals": "hide"}, "`refusals`"),
        ({"show": "no field"}, "at least one field"),
        ({"criteria": [1]}, "must be text"),
    ],
)
def test_a_definition_that_cannot_work_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(TaskError, match=words):
        task(**options)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"final": "Answer"},
    {"grounded": True},
    {"criteria": ["x"]},
    {"criteria": ["x"], "high": 7},
    {"unanswerable": "N/A"},
    {"rationale": True},
    {"refusals": "keep"},
    {"grounded": True, "unaligned": "drop"},
    {"max_tokens": 64},
    {"language": "zh"},
    {"show": "{a}"},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_spec_makes_an_equal_task(options: dict[str, Any]) -> None:
    again = task_from_spec(json.loads(canonical_json(task(**options).spec)))
    assert again == task(**options)
    assert hash(again) == hash(task(**options))


def test_the_definition_may_stand_in_a_settings_file() -> None:
    written = """
        kind = "text"
        name = "t"
        instruction = "?"
        show = "{a} {b}"
        grounded = true
        source = "a"
        criteria = ["fluency"]
        high = 7
        unaligned = "drop"
    """
    options: dict[str, Any] = {"grounded": True, "source": "a", "criteria": ["fluency"], "high": 7, "unaligned": "drop"}
    assert parse_task(tomllib.loads(written), "postil.toml") == Text("t", "?", show="{a} {b}", **options)


def test_a_bare_text_is_asked_for_in_so_many_words() -> None:
    messages = Prompt.for_engine(Text("t", "Write a title."), PLAIN).render(RECORD)
    assert [message.content for message in messages] == [
        "Write a title.\nAnswer with the text and nothing else.",
        SOURCE,
    ]
    chinese = Prompt.for_engine(Text("t", "写一个标题。", unanswerable="无"), PLAIN).render(RECORD)
    assert chinese[0].content == "写一个标题。\n只写出所要的文字，不要写别的。如果没有答案，就回答“无”。"


def test_each_part_of_the_definition_is_part_of_the_tasks_version() -> None:
    assert len({digest(task(**options).spec) for options in VARIANTS}) == len(VARIANTS)


@pytest.mark.parametrize("options", [{}, {"final": "Answer"}, {"language": "zh"}], ids=str)
def test_the_kind_keeps_its_contract(options: dict[str, Any]) -> None:
    check_task(task(**options), [{"text": "It died."}, {"text": "房间很大。\n也很新。"}], record=RECORD)


def test_the_kind_keeps_its_contract_with_quotes_scores_and_reasons() -> None:
    these = task(grounded=True, criteria=["fluency", "忠实"], rationale=True, unanswerable="N/A")
    quotes = [{"start": 33, "end": 44, "text": "The battery"}, {"start": 48, "end": 50, "text": "房间"}]
    answers = [
        {"text": "The battery.", "quotes": quotes, "scores": {"fluency": 3, "忠实": 5}},
        {"text": "房间", "quotes": quotes[1:], "scores": {"fluency": 1, "忠实": 1}},
    ]
    check_task(these, answers, record=RECORD)


# Gold


def rows(name: str, part: str) -> list[tuple[Record, Answer]]:
    path = path_of(name, part)
    if not path.is_file():
        pytest.skip("the shared gold data is not here")
    return records_and_gold(path)


@pytest.mark.parametrize("name", gold_text.SETS)
def test_every_gold_text_is_accepted_written_and_read_back_exactly(name: str) -> None:
    these = task_for(name)
    for part in ("pool", "test"):
        for record, gold in rows(name, part):
            answer = these.accept(gold, record)
            assert answer["text"] == gold["text"]
            assert these.accept(answer) == answer
            for capabilities in ENGINES:
                form = these.form(capabilities)
                assert these.read(completion(these.write(answer, form, record)), form, record).answer == answer


@pytest.mark.parametrize("name", gold_text.SETS)
def test_an_engine_that_echoes_gold_is_right_about_every_record(name: str) -> None:
    these, some = task_for(name), rows(name, "test")[:40]
    prompt, form = Prompt.for_engine(these, PLAIN), these.form(PLAIN)
    accepted = {record.id: these.accept(gold, record) for record, gold in some}
    replies = {prompt.render(record)[-1].content: these.write(accepted[record.id], form, record) for record, _ in some}
    engine = postil.ScriptedEngine(lambda request: replies[request.messages[-1].content])
    told: list[dict[str, Any]] = postil.annotate([record.fields for record, _ in some], these, engine=engine)
    assert [row["answer"] for row in told] == [accepted[record.id] for record, _ in some]


def test_a_grounded_answer_in_chinese_is_repaired_once_and_fails_where_it_still_quotes_what_nobody_wrote() -> None:
    these = Text("问答", "根据文章回答问题。", show="{context}\n问题：{question}", grounded=True, source="context")
    context = "电池用了两天就坏了，客服没有回信。"

    def model(request: Request) -> str:
        asked = "\n".join(message.content for message in request.messages)
        if "谁" in asked:
            return '{"quotes": [{"text": "经理没有回信"}], "text": "经理"}'
        if "不能使用" in asked:
            return '{"quotes": [{"text": "用了两天就坏了"}], "text": "两天"}'
        return '{"quotes": [{"text": "只用了两天就坏掉了"}], "text": "两天"}'

    engine = postil.ScriptedEngine(model)
    items = [{"context": context, "question": question} for question in ("电池用了多久？", "谁没有回信？")]
    good, bad = postil.annotate(items, these, engine=engine)
    assert good["quotes"] == [{"field": "context", "start": 2, "end": 9, "text": "用了两天就坏了"}]
    assert context[2:9] == "用了两天就坏了"
    assert good["text"] == "两天"
    assert (bad["outcome"], bad["failure_class"], bad["answer"]) == ("failure", "not_found", None)
    assert len(engine.requests) == 4
    system = engine.requests[0].messages[0].content
    assert system.startswith("根据文章回答问题。")
    assert "只回答 JSON，不要写别的" in system
