"""One label out of a set: asking, reading, accepting, comparing, merging."""

import copy
import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.canonical import canonical_json, digest
from postil.errors import Ambiguous, AnswerError, DataError, OutsideLabels, Refused, TaskError, Truncated
from postil.tasks.classification import Classification
from postil.tasks.kinds import task_from_spec
from postil.tasks.reading import fold
from postil.testing import check_task
from postil.types import JSON, Capabilities, Completion, Record, Scores, Usage

RECORD = Record("r", {"text": "The battery died."})
PLAIN = Capabilities()
EVERY_ENGINE = [
    Capabilities("none"),
    Capabilities("none", schema=True),
    Capabilities("first_token"),
    Capabilities("first_token", schema=True),
    Capabilities("sequence"),
]

WRITABLE = st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"])
LABEL = st.text(WRITABLE, min_size=1, max_size=12) | st.sampled_from(
    [
        "NA",
        "None",
        "null",
        "no",
        "on",
        "1e3",
        "true",
        "A",
        "B",
        "正面",
        "负面",
        "a b",
        "a_b",
        "- a",
        "Label: a",
        "{",
        "-1",
    ]
)
LABEL_SET = st.lists(LABEL.filter(fold), min_size=2, max_size=30, unique_by=fold)


def task(*labels: str, **options: JSON) -> Classification:
    return Classification(
        "sentiment", "What does the writer think?", labels=labels or ("positive", "negative"), **options
    )


def reply(text: str, *odds: float) -> Completion:
    return Completion(text, "stop", Usage(1, 1), choice_probabilities=odds or None)


def label(these: Classification, text: str, capabilities: Capabilities = PLAIN) -> str:
    reading = these.read(reply(text), these.form(capabilities), RECORD)
    assert reading.answer is not None
    return these.value(reading.answer)


# Reading (survey 0.01)


def test_the_six_outcomes_of_six_replies() -> None:
    these, found = task(), []
    for text in (
        "Positive.",
        "POSITIVE",
        '{"label": "positive"}',
        "I can't help with that.",
        "mixed",
        "positive, negative",
    ):
        try:
            found.append(label(these, text))
        except AnswerError as error:
            found.append(type(error).__name__)
    assert found == ["positive", "positive", "positive", "Refused", "OutsideLabels", "Ambiguous"]


def test_a_reply_cut_short_is_never_a_label_even_where_it_reads_like_one() -> None:
    these = task()
    for capabilities in EVERY_ENGINE:
        form = these.form(capabilities)
        written = these.write({"label": "positive"}, form)
        for end in range(len(written) + 1):
            with pytest.raises(Truncated):
                these.read(Completion(written[:end], "length", Usage(1, 16)), form, RECORD)


@given(LABEL_SET, st.sampled_from(EVERY_ENGINE))
def test_every_label_is_read_back_as_it_was_written(labels: list[str], capabilities: Capabilities) -> None:
    these = task(*labels)
    form = these.form(capabilities)
    for name in labels:
        reading = these.read(reply(these.write({"label": name}, form)), form, RECORD)
        assert reading.answer == {"label": name}
        assert reading.confidence is None


@given(LABEL_SET, st.data())
def test_answers_follow_names_and_not_positions(labels: list[str], data: st.DataObject) -> None:
    turned = data.draw(st.permutations(labels))
    said = data.draw(st.sampled_from(labels))
    scores: Scores = data.draw(st.sampled_from(["none", "first_token", "sequence"]))
    one, other = task(*labels), task(*turned)
    odds = {name: 2.0 + (name == said) for name in labels}
    readings = []
    for each in (one, other):
        form = each.form(Capabilities(scores))
        given = tuple(odds[name] / sum(odds.values()) for name in each.labels) if form.choices else ()
        prior = (1 / len(labels),) * len(labels) if form.choices else None
        readings.append(each.read(reply(each.write({"label": said}, form), *given), form, RECORD, prior))
    assert readings[0].answer == readings[1].answer == {"label": said}
    assert readings[0].probabilities == (readings[1].probabilities and pytest.approx(readings[1].probabilities))


def test_renamed_labels_are_other_answers() -> None:
    one, other = task("positive", "negative"), task("negative", "positive")
    form = one.form(Capabilities("sequence"))
    assert label(one, "positive") == label(other, "positive") == "positive"
    assert one.read(reply("positive", 0.9, 0.1), form, RECORD).probabilities == {"positive": 0.9, "negative": 0.1}
    assert other.read(reply("positive", 0.9, 0.1), form, RECORD).probabilities == {"negative": 0.9, "positive": 0.1}
    renamed = task("good", "bad")
    assert label(renamed, "good") == "good"
    with pytest.raises(OutsideLabels):
        label(renamed, "positive")


def test_confidence_is_the_probability_of_the_answer_given() -> None:
    these = task("a", "b", "c")
    form = these.form(Capabilities("sequence"))
    reading = these.read(reply("a", 0.5, 0.3, 0.2), form, RECORD, (0.8, 0.1, 0.1))
    assert reading.answer == {"label": "b"}
    assert reading.probabilities is not None
    assert reading.confidence is not None
    assert reading.confidence.kind == "logprob"
    assert reading.confidence.value == reading.probabilities["b"] == pytest.approx(3 / (0.5 / 0.8 + 3 + 2))


def test_an_alias_is_read_as_its_label() -> None:
    these = task(aliases={"pos": "positive", "好评": "positive"})
    assert label(these, "POS.") == label(these, "好评。") == label(these, '{"label": "pos"}') == "positive"


def test_reasons_before_the_answer_are_kept_apart_from_it() -> None:
    reading = task().read(reply("It died. 2 of 3 words are bad.\nLabel: negative"), task().form(PLAIN), RECORD)
    assert (reading.answer, reading.rationale) == ({"label": "negative"}, "It died. 2 of 3 words are bad.")


# Abstaining


def test_the_option_to_abstain_is_offered_and_is_no_label() -> None:
    these = task(abstain="cannot tell", aliases={"unknown": "cannot tell"})
    form = these.form(Capabilities("first_token"))
    assert [option.name for option in these.ask(form).options] == ["positive", "negative", "cannot tell"]
    assert these.labels == ("positive", "negative")
    for text in ("Cannot tell.", "unknown", '{"label": "cannot tell"}'):
        reading = these.read(reply(text), these.form(PLAIN), RECORD)
        assert (reading.answer, reading.abstained) == (None, "answered 'cannot tell'")
    with pytest.raises(DataError):
        these.accept({"label": "cannot tell"})


def test_probabilities_are_over_the_labels_without_the_abstention() -> None:
    these = task(abstain="unsure")
    form = these.form(Capabilities("sequence"))
    reading = these.read(reply("positive", 0.6, 0.2, 0.2), form, RECORD)
    assert reading.probabilities == pytest.approx({"positive": 0.75, "negative": 0.25})
    assert reading.confidence is not None
    assert reading.confidence.value == pytest.approx(0.75)
    assert these.read(reply("unsure", 0.2, 0.2, 0.6), form, RECORD).answer is None


# Asking


def test_definitions_and_letters_stand_with_their_labels() -> None:
    these = Classification("t", "Which?", labels={"apple": "a fruit", "avocado": ""}, abstain="neither")
    ask = these.ask(these.form(Capabilities("first_token")))
    assert [(option.code, option.name, option.definition) for option in ask.options] == [
        ("A", "apple", "a fruit"),
        ("B", "avocado", ""),
        ("C", "neither", ""),
    ]
    assert "letter" in ask.contract


def test_a_chinese_question_is_asked_in_chinese() -> None:
    these = Classification("t", "作者怎么看？", labels=["正面", "负面"])
    assert these.language == "zh"
    assert these.ask(these.form(PLAIN)).cue == "标签"
    assert label(these, "标签：负面") == "负面"
    assert Classification("t", "作者怎么看？", labels=["正面", "负面"], language="en").language == "en"


# Accepting


@pytest.mark.parametrize(
    ("value", "accepted"), [("positive", "positive"), (" Positive.", "positive"), ("pos", "positive"), (1, "1")]
)
def test_labels_from_outside_are_taken_in_every_declared_form(value: JSON, accepted: str) -> None:
    assert task("positive", "1", aliases={"pos": "positive"}).accept({"label": value}) == {"label": accepted}


@pytest.mark.parametrize("value", [None, "", "neutral", True, 1.0, 2, ["positive"], {"label": "positive"}])
def test_anything_else_from_outside_is_refused_by_name(value: JSON) -> None:
    with pytest.raises(DataError, match="expected one of 'positive', '1', got"):
        task("positive", "1").accept({"label": value})
    with pytest.raises(DataError):
        task().accept({"sentiment": "positive"})


def test_the_labels_of_yaml_and_of_missing_values_are_labels() -> None:
    names = ("NA", "None", "null", "no", "on", "1e3")
    for name in names:
        assert task(*names).accept({"label": name}) == {"label": name}


# Comparing and merging


def test_flat_labels_agree_or_not() -> None:
    assert task().agreement({"label": "positive"}, {"label": "negative"}) == 0
    assert task().agreement({"label": "positive"}, {"label": "positive"}) == 1


def test_ordered_labels_agree_by_rank() -> None:
    these = task("bad", "fair", "good", ordered=True)
    assert these.scale == "ordinal"
    assert these.agreement({"label": "bad"}, {"label": "fair"}) == 0.5
    assert these.agreement({"label": "bad"}, {"label": "good"}) == 0


def test_paths_agree_as_far_as_they_begin_alike() -> None:
    these = task("animal/dog", "animal/cat", "plant", "animal", separator="/")
    assert these.scale == "hierarchical"
    assert these.agreement({"label": "animal/dog"}, {"label": "animal/cat"}) == 0.5
    assert these.agreement({"label": "animal/dog"}, {"label": "animal"}) == 0.5
    assert these.agreement({"label": "animal/dog"}, {"label": "plant"}) == 0


@given(st.sampled_from([{}, {"ordered": True}, {"separator": "/"}]), st.data())
def test_agreement_is_symmetric_and_1_for_equal_answers(options: dict[str, JSON], data: st.DataObject) -> None:
    these = task("a/b", "a/c", "d", "a", **options)
    answers = st.sampled_from(these.labels).map(lambda name: {"label": name})
    one, other = data.draw(answers), data.draw(answers)
    assert these.agreement(one, other) == these.agreement(other, one)
    assert these.agreement(one, one) == 1
    assert 0 <= these.agreement(one, other) <= 1


def test_merging_weighs_and_a_tie_is_a_tie() -> None:
    these, good, bad = task(), {"label": "positive"}, {"label": "negative"}
    assert these.merge([(good, 0.4), (bad, 0.5), (good, 0.2)]) == good
    assert these.merge([(good, 0.4), (bad, 0.7), (good, 0.2)]) == bad
    assert these.merge([(good, 0.1), (good, 0.2), (bad, 0.3)]) is None
    assert these.merge([]) is None


# The definition


@pytest.mark.parametrize(
    ("labels", "options", "words"),
    [
        (["a"], {}, "at least two labels"),
        ([], {}, "at least two labels"),
        ("ab", {}, "a list of texts"),
        ([0, 1], {}, "a list of texts"),
        ({"a": None, "b": ""}, {}, "a list of texts"),
        (["a", "a", "b"], {}, "once"),
        (["a", "A"], {}, "'a' and 'A' read the same"),
        (["no", "No."], {}, "read the same"),
        (["a", "b"], {"aliases": {"b": "a"}}, "read the same"),
        (["a", "b"], {"aliases": {"B": "a"}}, "read the same"),
        (["a", "b"], {"aliases": {"c": "d"}}, "stands for 'd', which is no label"),
        (["a", "b"], {"aliases": {"c": 1}}, "must be text"),
        (["a", "b"], {"abstain": "a"}, "both a label and the abstention"),
        (["a", "b"], {"abstain": "A."}, "read the same"),
        (["a", "b"], {"abstain": ""}, "cannot be a label"),
        (["a", "b\n"], {}, "cannot be a label"),
        (["a", "?"], {}, "cannot be a label"),
        (["a", "b"], {"ordered": True, "separator": "/"}, "not both"),
        (["a", "b"], {"show": "text"}, "`show` must name at least one field"),
    ],
)
def test_a_definition_that_cannot_work_is_refused(labels: JSON, options: dict[str, JSON], words: str) -> None:
    with pytest.raises(TaskError, match=words):
        Classification("t", "Which?", labels=labels, **options)


SPECS = [
    task(),
    task("b", "a", ordered=True),
    task("x/y", "x/z", separator="/", show="{title}\n{text}"),
    Classification("情感", "作者怎么看？", labels={"正面": "喜欢", "负面": ""}, aliases={"好": "正面"}, abstain="不明"),
]


@pytest.mark.parametrize("these", SPECS, ids=lambda each: each.name)
def test_a_spec_makes_an_equal_task_through_every_form_of_json(these: Classification) -> None:
    for written in (json.dumps(these.spec), canonical_json(these.spec)):
        again = task_from_spec(json.loads(written))
        assert again == these
        assert hash(again) == hash(these)
        assert again.labels == these.labels
        assert digest(again.spec) == digest(these.spec)
    assert pickle.loads(pickle.dumps(these)) == these  # noqa: S301 - our own bytes
    assert copy.deepcopy(these) == these


def test_each_part_of_the_definition_is_part_of_the_tasks_version() -> None:
    parts: list[dict[str, Any]] = [
        {"labels": ["b", "a"]},
        {"labels": ["a", "b", "c"]},
        {"labels": {"a": "x", "b": ""}},
        {"aliases": {"x": "a"}},
        {"ordered": True},
        {"separator": "/"},
        {"abstain": "c"},
        {"show": "{title}"},
        {"language": "zh"},
    ]
    whole: dict[str, Any] = {"labels": ["a", "b"]}
    made = [Classification("t", "Which?", **(whole | part)) for part in [{}, *parts]]
    assert len({digest(each.spec) for each in made}) == len(made)
    assert all(each != other for i, each in enumerate(made) for other in made[:i])


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({}, "`kind` must be one of classification, .*rating.*, got None"),
        ({"kind": ["rating"]}, "`kind` must be one of"),
        ({"kind": "classification", "instruction": "i", "labels": ["a", "b"]}, "'name'"),
        ({"kind": "classification", "name": "n", "instruction": "i"}, "'labels'"),
        ({"kind": "rating", "name": "n", "instruction": "i", "labels": ["a"]}, "'labels'"),
    ],
)
def test_a_spec_that_cannot_work_is_refused_by_name(spec: dict[str, JSON], words: str) -> None:
    with pytest.raises(TaskError, match=words):
        task_from_spec(spec)


def test_reading_leaves_no_trace_in_a_task() -> None:
    read, fresh = task(), task()
    before = hash(read)
    with pytest.raises(Ambiguous):
        label(read, "positive or negative")
    with pytest.raises(Refused):
        label(read, "I cannot answer.")
    assert read == fresh
    assert (hash(read), repr(read)) == (before, repr(fresh))


@pytest.mark.parametrize(
    "labels",
    [
        ("positive", "negative"),
        ("very positive", "positive", "no", "None", "NA", "null", "on", "1e3", "1"),
        ("entailed", "not_entailed", "neutral"),
        ("正面", "负面", "非常正面"),
        ("B", "A", "AB"),
        ("C", "C++", "C#", ".NET", "NET"),
    ],
    ids=lambda labels: labels[0],
)
def test_the_kind_keeps_its_contract(labels: tuple[str, ...]) -> None:
    check_task(task(*labels), [{"label": name} for name in labels])
    if labels[0] == "正面":
        check_task(task(*labels, ordered=True, abstain="不明"), [{"label": name} for name in labels])
