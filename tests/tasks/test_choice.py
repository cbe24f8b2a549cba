"""One answer out of a few options: the form that is asked for, and what is found in replies."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.errors import Ambiguous, AnswerError, OutsideLabels, Refused, TaskError, Unreadable
from postil.tasks import AnswerForm
from postil.tasks.choice import Choices, choice_form, folded_forms
from postil.tasks.reading import fold
from postil.types import Capabilities, Completion, Usage

LABEL = AnswerForm("label", 16)
SENTIMENTS = ("positive", "negative")


def choices(*names: str, aliases: dict[str, str] | None = None, cue: str = "Label") -> Choices:
    return Choices(names, folded_forms(names, (aliases or {}).items(), of="task 't'"), "label", cue)


def read(these: Choices, text: str, form: AnswerForm = LABEL) -> str:
    return these.read(Completion(text, "stop", Usage(1, 1)), form).name


# The form


def test_an_engine_that_scores_sequences_is_given_the_names() -> None:
    form = choice_form(("a", "ab"), Capabilities("sequence", schema=True), key="label")
    assert (form.style, form.choices, form.schema) == ("label", ("a", "ab"), None)


def test_where_first_tokens_are_scored_names_that_begin_differently_stay_names() -> None:
    form = choice_form(SENTIMENTS, Capabilities("first_token"), key="label")
    assert (form.style, form.choices) == ("label", SENTIMENTS)


@pytest.mark.parametrize("names", [("apple", "avocado"), ("Apple", "avocado"), ("１", "10")])
def test_names_that_begin_alike_get_letters(names: tuple[str, ...]) -> None:
    form = choice_form(names, Capabilities("first_token"), key="label")
    assert (form.style, form.choices) == ("code", ("A", "B"))


@pytest.mark.parametrize("names", [("B", "A", "AB"), tuple(f"label {i}" for i in range(27))])
def test_letters_are_not_used_where_they_would_be_misread_or_run_out(names: tuple[str, ...]) -> None:
    assert choice_form(names, Capabilities("first_token"), key="label").style == "label"
    assert choice_form(names, Capabilities("first_token", schema=True), key="label").style == "json"


def test_a_schema_holds_exactly_the_names_or_their_values() -> None:
    form = choice_form(("1", "2"), Capabilities(schema=True), key="rating", values=[1, 2])
    assert form.style == "json"
    assert form.schema is not None
    assert form.schema["properties"] == {"rating": {"type": "integer", "enum": [1, 2]}}
    names = choice_form(SENTIMENTS, Capabilities(schema=True), key="label").schema
    assert names is not None
    assert names["properties"] == {"label": {"type": "string", "enum": list(SENTIMENTS)}}


def test_a_long_label_gets_room_to_be_written() -> None:
    assert choice_form(("x" * 400, "y"), Capabilities(), key="label").max_tokens >= 400


# What is found


@pytest.mark.parametrize(
    "text",
    [
        "positive",
        "Positive.",
        "POSITIVE",
        "- positive",
        "pos",
        '{"label": "positive"}',
        '{"label": "POS", "reason": "not negative"}',
        '```json\n{"label": "positive"}\n```',
        "Label: positive",
        "**Label:** positive",
        "> Label : positive",
        "label：positive。",
        "Answer: positive",
        "答案：positive",
        'Label: {"label": "positive"}',
        "Label:\npositive",
        "Negative words, and yet it is praise.\nLabel: positive",
        "positive\nLabel: positive",
        "<think>negative?</think>\nLabel: positive",
    ],
)
def test_an_option_is_read_in_every_declared_way(text: str) -> None:
    assert read(choices(*SENTIMENTS, aliases={"pos": "positive"}), text) == "positive"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("neutral", OutsideLabels),
        ("very positive", OutsideLabels),
        ("not positive", OutsideLabels),
        ("positiv", OutsideLabels),
        ('{"label": "neutral"}', OutsideLabels),
        ("Label: neutral", OutsideLabels),
        ("中性", OutsideLabels),
        ("positive and negative", Ambiguous),
        ("positive\nnegative", Ambiguous),
        ("Label: positive\nLabel: negative", Ambiguous),
        ("positive\n\nText: awful\nLabel: negative", Ambiguous),
        ('{"label": "positive"}\n\nText: awful\nLabel: {"label": "negative"}', Ambiguous),
        ('{"label": "positive"}\n{"label": "negative"}', Ambiguous),
        ('{"label": ["positive", "negative"]}', Ambiguous),
        ('{"label": "positive, negative"}', Ambiguous),
        ("The writer is happy, so positive it is.", Unreadable),
        ("Positive\nbecause the writer is happy", Unreadable),
        ("The writer is happy.\nSo positive.", Unreadable),
        ('Sure: {"label": "positive"}', Unreadable),
        ('{"sentiment": "positive"}', Unreadable),
        ('{"label": "positive", "label": "positive"}', Unreadable),
        ('{"label": "positive", "p": NaN}', Unreadable),
        ('{"label": null}', Unreadable),
        ('{"label": true}', Unreadable),
        ('{"label": ["positive"]}', Unreadable),
        ('{"label": "positive"', Unreadable),
        ('{"label": …}', Unreadable),
        ("Label:", Unreadable),
        ("", Unreadable),
        ("I can't help with that.", Refused),
        ("I'm sorry, I cannot say positive or negative.", Refused),
        ('{"label": "I cannot answer this."}', Refused),
        ("抱歉，我无法回答。", Refused),
    ],
)
def test_everything_else_fails_by_its_own_name(text: str, error: type[AnswerError]) -> None:
    with pytest.raises(AnswerError) as caught:
        read(choices(*SENTIMENTS), text)
    assert type(caught.value) is error


def test_what_stands_before_the_marker_is_the_rationale() -> None:
    reply = Completion("5 of 7 points are praise.\nLabel: negative? no.\nLabel: positive", "stop", Usage(1, 1))
    chosen = choices(*SENTIMENTS).read(reply, LABEL)
    assert (chosen.name, chosen.rationale) == ("positive", "5 of 7 points are praise.")


def test_a_reply_continued_beyond_its_answer_has_no_rationale() -> None:
    reply = Completion("positive\n\nText: more\nLabel: positive", "stop", Usage(1, 1))
    assert choices(*SENTIMENTS).read(reply, LABEL).rationale == ""


@pytest.mark.parametrize(
    ("names", "text", "name"),
    [
        (("positive", "very positive"), "Very positive!", "very positive"),
        (("entailed", "not_entailed"), "NOT_ENTAILED", "not_entailed"),
        (("NA", "None", "null", "no", "on", "1e3"), "none", "None"),
        (("NA", "None", "null", "no", "on", "1e3"), "null", "null"),
        (("NA", "None", "null", "no", "on", "1e3"), "1E3", "1e3"),
        (("C", "C++", "C#"), "C++", "C++"),
        (("正面", "非常正面"), "非常正面。", "非常正面"),
        (("customer service", "delivery"), "Customer  Service", "customer service"),
        (("Label: a", "a"), "Label: a", "Label: a"),
        (("- a", "a"), "- a", "- a"),
        (("help", "sorry"), "Sorry", "sorry"),
    ],
)
def test_labels_that_look_like_something_else_are_labels(names: tuple[str, ...], text: str, name: str) -> None:
    assert read(choices(*names), text) == name


@pytest.mark.parametrize(
    ("names", "text", "error"),
    [
        (("positive", "very positive"), "a case of the very positive", Unreadable),
        (("positive", "very positive"), "very positive or positive", Ambiguous),
        (("entailed", "not_entailed"), "surely the answer is not_entailed", Unreadable),
        (("help", "sorry"), "I'm sorry, but I can't help with that.", Refused),
        (("no", "on"), "nobody, upon", OutsideLabels),
        (("正面", "非常正面"), "这条评论看起来是非常正面的", Unreadable),
        (("正面", "负面"), "正面或负面", Ambiguous),
        (("1e3", "1000"), '{"label": 1e3}', OutsideLabels),
    ],
)
def test_a_label_inside_other_words_is_not_taken_for_an_answer(
    names: tuple[str, ...], text: str, error: type[AnswerError]
) -> None:
    with pytest.raises(AnswerError) as caught:
        read(choices(*names), text)
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("B", "avocado"),
        ("(B)", "avocado"),
        ("b.", "avocado"),
        ("**B**", "avocado"),
        ("B. avocado", "avocado"),
        ("B = Avocado", "avocado"),
        ("Label: B", "avocado"),
        ("avocado", "avocado"),
        ("答案：A", "apple"),
    ],
)
def test_letters_stand_for_options(text: str, name: str) -> None:
    assert read(choices("apple", "avocado"), text, AnswerForm("code", 16, ("A", "B"))) == name


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("C", OutsideLabels),
        ("A or B", Ambiguous),
        ("A. avocado", Ambiguous),
        ("A) apple\nB) avocado", Ambiguous),
        ("A fine fruit, to be sure", Unreadable),
    ],
)
def test_letters_are_not_guessed(text: str, error: type[AnswerError]) -> None:
    with pytest.raises(AnswerError) as caught:
        read(choices("apple", "avocado"), text, AnswerForm("code", 16, ("A", "B")))
    assert type(caught.value) is error


# With probabilities


def scored(text: str, *odds: float) -> Completion:
    return Completion(text, "stop", Usage(1, 1), choice_probabilities=odds)


def test_without_a_prior_the_text_decides_and_probabilities_follow_names() -> None:
    chosen = choices(*SENTIMENTS).read(scored("negative", 0.7, 0.3), LABEL)
    assert (chosen.name, chosen.probabilities) == ("negative", {"positive": 0.7, "negative": 0.3})


def test_a_prior_decides_what_the_text_would_have_decided_otherwise() -> None:
    these = choices(*SENTIMENTS)
    assert these.read(scored("positive", 0.7, 0.3), LABEL, (0.5, 0.5)).name == "positive"
    corrected = these.read(scored("positive", 0.7, 0.3), LABEL, (0.9, 0.1))
    assert corrected.name == "negative"
    assert corrected.probabilities == pytest.approx(
        {"positive": 0.7 / 0.9 / (0.7 / 0.9 + 3), "negative": 3 / (0.7 / 0.9 + 3)}
    )


def test_a_tie_after_correction_goes_to_the_text_or_to_nobody() -> None:
    these, even = choices("a", "b", "c"), (1 / 3, 1 / 3, 1 / 3)
    assert these.read(scored("b", 0.4, 0.4, 0.2), LABEL, even).name == "b"
    with pytest.raises(Ambiguous):
        these.read(scored("c", 0.4, 0.4, 0.2), LABEL, even)


def test_probabilities_do_not_make_an_unreadable_text_an_answer() -> None:
    with pytest.raises(OutsideLabels):
        choices(*SENTIMENTS).read(scored("neutral", 0.9, 0.1), LABEL, (0.5, 0.5))


def test_probabilities_of_other_choices_are_not_taken_for_these() -> None:
    with pytest.raises(Unreadable, match="expected 2 probabilities"):
        choices(*SENTIMENTS).read(scored("positive", 0.9, 0.05, 0.05), LABEL)


# The words of a label set


@pytest.mark.parametrize(
    ("names", "aliases", "words"),
    [
        (("a", "A"), {}, "'a' and 'A' read the same"),
        (("a", "b"), {"B.": "a"}, "'b' and 'B.' read the same"),
        (("a", "b"), {"b": "a"}, "'b' and 'b' read the same"),
        (("正面", "「正面」"), {}, "read the same"),
        (("a", "..."), {}, "cannot be a label"),
        (("a", "b\nc"), {}, "cannot be a label"),
        (("a", "\0"), {}, "cannot be a label"),
        (("a", "\ud800x"), {}, "cannot be a label"),
    ],
)
def test_words_that_could_not_be_told_apart_or_read_back_are_refused(
    names: tuple[str, ...], aliases: dict[str, str], words: str
) -> None:
    with pytest.raises(TaskError, match=words):
        folded_forms(names, aliases.items(), of="task 't'")


def test_an_alias_may_repeat_its_own_label() -> None:
    assert folded_forms(("a", "b"), {"A": "a", "x": "b"}.items(), of="t") == {"a": "a", "b": "b", "x": "b"}


PIECES = [
    *("apple", "avocado", "A", "B", "a", "b", "kiwi", " ", "\n", ": ", "Label:", "Answer:", ".", ", ", "- ", "{", "}"),
    *('"label"', '"', "```", "not ", "I can't ", "<think>", "</think>", '{"label": "apple"}'),
]


@given(st.lists(st.sampled_from(PIECES), max_size=8).map("".join), st.sampled_from(["label", "code"]))
def test_whatever_is_read_was_said_last_and_nothing_else_was_said_on_a_line_of_its_own(text: str, style: str) -> None:
    form = AnswerForm("code", 16, ("A", "B")) if style == "code" else LABEL
    words = {"apple": ["apple"], "avocado": ["avocado"]}
    if style == "code":
        words["apple"].append("a")
        words["avocado"].append("b")
    try:
        name = read(choices("apple", "avocado"), text, form)
    except AnswerError:
        return
    last = fold(text.rpartition("</think>")[2]).splitlines()[-1]
    assert any(word in last for word in words[name])
    other = next(each for each in words if each != name)
    assert not any(fold(line) in words[other] for line in text.rpartition("</think>")[2].splitlines())
