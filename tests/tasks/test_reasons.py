"""Reasons and evidence beside an answer: asked for by option, found in the record or rejected (survey 0.02, 1.03)."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.prompts import Prompt
from postil.tasks.classification import Classification
from postil.tasks.rating import Rating
from postil.tasks.reasons import reason_tokens, reasons_contract, reasons_of, with_rationale, with_reasons
from postil.testing import check_task
from postil.types import Annotation, Capabilities, Completion, Record, Request, Usage
from tests.tasks.asking import interviewed

TEXT = "The battery died after two days. 屏幕很好,屏幕很大。"
RECORD = Record("r", {"text": TEXT})
SCHEMA = Capabilities(schema=True)
TOLD = Capabilities(token_probabilities=True)


def tone(**options: Any) -> Classification:
    return Classification("tone", "What does the writer think?", labels=["good", "bad"], **options)


def reply(text: str, *tokens: tuple[str, float]) -> Completion:
    return Completion(text, "stop", Usage(1, 1), tokens=tokens or None)


def test_reasons_stand_before_the_answer_in_the_schema_and_only_where_they_are_wanted() -> None:
    plain = tone().form(SCHEMA)
    form = tone(rationale=True, evidence=True).form(SCHEMA)
    assert form.schema is not None
    assert plain.schema is not None
    assert list(form.schema["properties"]) == ["rationale", "evidence", "label"]
    assert form.schema["required"] == ["rationale", "evidence", "label"]
    assert list(plain.schema["properties"]) == ["label"]
    assert form.max_tokens == plain.max_tokens + reason_tokens(rationale=True, evidence=True)
    assert with_reasons(plain.schema, rationale=False, evidence=False) == plain.schema


@pytest.mark.parametrize("scores", ["none", "first_token", "sequence"])
def test_with_reasons_the_reply_is_json_whatever_the_engine_scores(scores: Any) -> None:
    form = tone(rationale=True).form(Capabilities(scores=scores))
    assert (form.style, form.choices) == ("json", ())
    assert tone().form(Capabilities(scores=scores)).style != "json"


def test_who_reads_no_prompt_is_asked_for_no_reasons() -> None:
    student = Capabilities(scores="sequence", reads="record")
    assert tone(rationale=True).form(student).choices == ("good", "bad")


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize(("rationale", "evidence"), [(True, False), (False, True), (True, True)])
def test_the_contract_names_what_is_wanted_and_nothing_else(language: Any, rationale: bool, evidence: bool) -> None:
    said = reasons_contract(language, rationale=rationale, evidence=evidence)
    assert ('"rationale"' in said, '"evidence"' in said) == (rationale, evidence)
    task = tone(rationale=rationale, evidence=evidence, language=language)
    assert task.ask(task.form(SCHEMA)).contract.endswith(said)


def test_without_the_option_the_contract_is_as_it_was() -> None:
    assert reasons_contract("en", rationale=False, evidence=False) == ""
    assert '"rationale"' not in tone().ask(tone().form(SCHEMA)).contract


def test_reasons_are_read_and_evidence_is_found_where_it_stands() -> None:
    task = tone(rationale=True, evidence=True)
    said = {"rationale": " It failed. ", "evidence": ["battery died", "屏幕很大"], "label": "bad"}
    reading = task.read(reply(json.dumps(said)), task.form(SCHEMA), RECORD)
    assert reading.answer == {"label": "bad"}
    assert reading.rationale == "It failed."
    assert reading.rejected == ()
    assert reading.evidence == (
        {"start": 4, "end": 16, "text": "battery died"},
        {"start": TEXT.index("屏幕很大"), "end": TEXT.index("屏幕很大") + 4, "text": "屏幕很大"},
    )


def test_evidence_that_is_not_in_the_record_is_rejected_and_the_answer_stays() -> None:
    """Reliability A9: an invented quote is listed, and never shown as evidence."""
    task = tone(evidence=True)
    said = json.dumps({"evidence": ["the charger exploded", "battery"], "label": "bad"})
    reading = task.read(reply(said), task.form(SCHEMA), RECORD)
    assert reading.answer == {"label": "bad"}
    assert [span["text"] for span in reading.evidence] == ["battery"]
    [reason] = reading.rejected
    assert reason.startswith("evidence: 'the charger exploded' does not stand in the text")
    elsewhere = task.read(reply(said), task.form(SCHEMA), Record("s", {"text": "Something else."}))
    assert (elsewhere.evidence, len(elsewhere.rejected)) == ((), 2)


def test_one_of_several_places_is_never_guessed() -> None:
    twice = reasons_of({"evidence": ["屏幕"]}, RECORD, "{text}")
    assert twice.evidence == ()
    assert "2 times" in twice.rejected[0]
    second = reasons_of({"evidence": [{"text": "屏幕", "occurrence": 2}]}, RECORD, "{text}")
    assert [span["start"] for span in second.evidence] == [TEXT.rindex("屏幕")]


def test_evidence_names_its_field_where_several_are_shown() -> None:
    record = Record("r", {"title": "Bad day", "text": "The day went on.", "stars": 2, "hidden": "secret words"})
    found = reasons_of({"evidence": ["Bad", "went on", "day", "secret words"]}, record, "{title}\n{text}\n{stars}")
    assert found.evidence == (
        {"field": "title", "start": 0, "end": 3, "text": "Bad"},
        {"field": "text", "start": 8, "end": 15, "text": "went on"},
    )
    assert "several fields: 'title', 'text'" in found.rejected[0]
    assert "'secret words' does not stand" in found.rejected[1]
    nothing = reasons_of({"evidence": ["2"]}, record, "{stars}")
    assert (nothing.evidence, len(nothing.rejected)) == ((), 1)


@pytest.mark.parametrize("value", [1, True, {}, [None], [""], [[]], [{"text": 3}], [{"txt": "battery"}]])
def test_reasons_of_another_type_are_rejected_and_the_answer_stays(value: Any) -> None:
    task = tone(rationale=True, evidence=True)
    said = json.dumps({"rationale": [value], "evidence": value, "label": "good"})
    reading = task.read(reply(said), task.form(SCHEMA), RECORD)
    assert reading.answer == {"label": "good"}
    assert (reading.rationale, reading.evidence) == ("", ())
    assert len(reading.rejected) == 2


def test_a_reply_without_reasons_is_still_an_answer() -> None:
    task = tone(rationale=True, evidence=True)
    for text in ('{"label": "good"}', "good", '{"label": "good", "rationale": null, "evidence": []}'):
        reading = task.read(reply(text), task.form(SCHEMA), RECORD)
        assert (reading.answer, reading.rationale, reading.evidence, reading.rejected) == (
            {"label": "good"},
            "",
            (),
            (),
        )


def test_a_flood_of_evidence_is_cut_and_said() -> None:
    found = reasons_of({"evidence": ["battery", *["x" * 50] * 9999]}, RECORD, "{text}")
    assert [span["text"] for span in found.evidence] == ["battery"]
    assert "evidence: 9968 pieces after the first 32 were not looked at" in found.rejected


def test_half_an_emoji_in_a_rationale_can_be_written() -> None:
    found = reasons_of(json.loads('{"rationale": "so \\ud83d"}'), RECORD, "{text}")
    assert found.rationale.encode("utf-8").decode() == "so \ufffd"


def test_an_abstention_keeps_its_reasons() -> None:
    task = tone(rationale=True, abstain="unsure")
    reading = task.read(reply('{"rationale": "No word of it.", "label": "unsure"}'), task.form(SCHEMA), RECORD)
    assert (reading.answer, reading.rationale) == (None, "No word of it.")
    assert reading.confidence is None


def test_the_label_in_a_reply_with_reasons_has_the_probability_of_its_tokens() -> None:
    task = tone(rationale=True)
    form = task.form(TOLD)
    assert form.token_probabilities
    said = (('{"rationale": "', 0.5), ("bad luck", 0.1), ('", "label": ', 0.9), ('"ba', 0.8), ('d"', 0.5), ("}", 0.9))
    reading = task.read(reply("".join(token for token, _ in said), *said), form, RECORD)
    assert reading.confidence is not None
    assert (reading.confidence.value, reading.confidence.kind) == (pytest.approx(0.4), "logprob")


def test_a_demonstration_shows_its_rationale_inside_the_object() -> None:
    shown = json.loads(with_rationale('{"label": "坏"}', " 坏了。\n"))
    assert list(shown.items()) == [("rationale", "坏了。"), ("label", "坏")]


@pytest.mark.parametrize(
    ("task", "answers"),
    [
        (tone(rationale=True, evidence=True), [{"label": "good"}, {"label": "bad"}]),
        (tone(evidence=True, abstain="unsure", language="zh"), [{"label": "good"}, {"label": "bad"}]),
        (Rating("stars", "How good?", rationale=True), [{"rating": 1}, {"rating": 5}]),
        (Rating("stars", "多好?", low=-2, high=2, evidence=True), [{"rating": -2}, {"rating": 0}]),
    ],
    ids=lambda value: getattr(value, "name", ""),
)
def test_kinds_with_reasons_keep_the_contract(task: Any, answers: Any) -> None:
    check_task(task, answers, record=RECORD)
    assert {**task.spec, "rationale": False, "evidence": False} != task.spec


@given(
    text=st.text(max_size=60),
    pieces=st.lists(st.text(max_size=12) | st.sampled_from(["a", "b b", "房", "é", "🙂"]), max_size=6),
    cut=st.tuples(st.integers(0, 60), st.integers(0, 60)),
)
def test_all_evidence_stands_in_the_text_verbatim(text: str, pieces: list[str], cut: tuple[int, int]) -> None:
    record = Record("r", {"text": text})
    quotes = [*pieces, text[min(cut) : max(cut)]]
    found = reasons_of({"evidence": quotes}, record, "{text}")
    assert all(text[span["start"] : span["end"]] == span["text"] for span in found.evidence)
    # One place may be quoted twice; nothing else is lost in silence.
    assert len(found.evidence) + len(found.rejected) <= len(quotes)
    assert bool(found.evidence or found.rejected) == bool(quotes)


def test_what_is_said_of_every_text_is_evidence_only_where_it_stands() -> None:
    """The fake catch: a model that gives one piece of evidence whatever the text has it rejected elsewhere."""
    task = tone(rationale=True, evidence=True)

    def model(request: Request) -> str:
        assert '"evidence"' in request.messages[0].content
        return '{"rationale": "died", "evidence": ["battery died"], "label": "bad"}'

    here, _ = interviewed(task, RECORD, model)
    elsewhere, _ = interviewed(task, Record("s", {"text": "All fine."}), model)
    assert isinstance(here, Annotation)
    assert isinstance(elsewhere, Annotation)
    assert (here.answer, here.rationale) == (elsewhere.answer, elsewhere.rationale) == ({"label": "bad"}, "died")
    assert [len(each.evidence) for each in (here, elsewhere)] == [1, 0]
    assert [len(each.rejected) for each in (here, elsewhere)] == [0, 1]


def test_the_prompt_has_the_schema_with_reasons() -> None:
    task = tone(evidence=True)
    request = Prompt.for_engine(task, SCHEMA).request(RECORD, (), count_tokens=lambda _: 1, context_tokens=None)
    assert request.schema == task.form(SCHEMA).schema
    assert '"evidence"' in request.messages[0].content
