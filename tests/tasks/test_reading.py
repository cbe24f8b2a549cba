"""Reading replies: whole or not, folded, strict JSON, corrected probabilities."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.errors import AnswerError, Endless, Filtered, Refused, Truncated, Unreadable
from postil.tasks.reading import complete_text, divided_by_prior, fold, json_object, not_readable, unfenced
from postil.types import Completion, FinishReason, Usage

PROBABILITIES = st.lists(st.floats(0.001, 1), min_size=2, max_size=8).map(
    lambda weights: tuple(weight / math.fsum(weights) for weight in weights)
)


def completion(text: str, finish: FinishReason = "stop") -> Completion:
    return Completion(text, finish, Usage(1, 1))


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        (" Positive. ", "positive"),
        ("**POSITIVE**", "positive"),
        ("“Positive”", "positive"),
        ("ｐｏｓｉｔｉｖｅ！", "positive"),
        ("「正面」。", "正面"),
        ("<positive>", "positive"),
        ("very\n\tpositive", "very positive"),
        ("(A)", "a"),
        ("Stra\u00dfe", "STRASSE"),
        ("e\u0301", "\u00e9"),
        ("x\u1680", "x"),
    ],
)
def test_what_does_not_distinguish_answers_is_folded_away(written: str, meant: str) -> None:
    assert fold(written) == fold(meant)


@pytest.mark.parametrize(
    ("one", "other"),
    [("C", "C++"), ("C", "C#"), (".NET", "NET"), (".5", "5"), ("<4", "4"), (">4", "4"), ("-4", "4"), ("not", "no t")],
)
def test_what_distinguishes_answers_is_kept(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text())
def test_white_space_at_the_ends_never_counts(text: str) -> None:
    assert fold(text) == fold(text.strip()) == fold(f" \n{text}\t\u3000")


@pytest.mark.parametrize(("finish", "error"), [("length", Truncated), ("filter", Filtered), ("refusal", Refused)])
@pytest.mark.parametrize("text", ["", "positive", '{"label": "positive"}'])
def test_the_reason_for_stopping_is_looked_at_before_the_text(
    finish: FinishReason, error: type[AnswerError], text: str
) -> None:
    with pytest.raises(error):
        complete_text(completion(text, finish))


@given(st.text(), st.text(min_size=1, max_size=100), st.integers(0, 100))
def test_one_piece_said_over_and_over_is_a_loop_wherever_it_was_cut(before: str, piece: str, cut: int) -> None:
    text = before + piece * (3 + 60 // len(piece))
    with pytest.raises(Endless):
        complete_text(completion(text + piece[: cut % len(piece)], "length"))


@pytest.mark.parametrize(
    "loop",
    [
        '{"label":' + " \n\t" * 8,
        '{"label": "positive"}' + "\n" * 30,
        '{"spans": [' + ", ".join(f'{{"text": "a", "occurrence": {at}}}' for at in range(1, 20)),
        "好的，" * 40,
    ],
)
def test_white_space_and_counting_are_loops_too(loop: str) -> None:
    """Reliability A4."""
    with pytest.raises(Endless):
        complete_text(completion(loop, "length"))


@pytest.mark.parametrize(
    "text",
    [
        '{"spans": [' + ", ".join(f'{{"text": "{word}", "label": "x"}}' for word in ["A", "cat", "sat", "on", "it"]),
        "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20",
        '{"label": "positive"}\n\n',
        "no no no, not at all",
        "酒店很好，房间很干净，服务员很热情，早餐很丰富，位置很方便，价格很实惠",
    ],
)
def test_what_only_lists_or_repeats_a_little_was_cut_and_is_no_loop(text: str) -> None:
    with pytest.raises(Truncated):
        complete_text(completion(text, "length"))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("<think>negative? no</think>\npositive", "positive"),
        ("<think>a</think><think>b</think> positive", "positive"),
        ("Okay, the user wants… </think>\n\npositive", "positive"),
        ("<thinking>\nhm\n</thinking>\npositive", "positive"),
        ("a < b", "a < b"),
    ],
)
def test_thoughts_before_the_answer_are_no_part_of_it(text: str, kept: str) -> None:
    assert complete_text(completion(text)) == kept


@pytest.mark.parametrize("text", ["", " \n", "<think>positive", "<think>a</think> <think>positive", "<think></think>"])
def test_a_reply_without_text_after_its_thoughts_is_unreadable(text: str) -> None:
    with pytest.raises(Unreadable):
        complete_text(completion(text))


@pytest.mark.parametrize(
    "text",
    [
        "I'm sorry, but I can't help with that.",
        "I’m sorry, I cannot assist.",
        "I cannot answer.",
        "I can not do this",
        "I won't rate this text.",
        "I am unable to classify it.",
        "As an AI language model, I have no opinion.",
        "Unable to comply.",
        "抱歉，我无法回答这个问题。",
        "对不起，这个我不能帮忙。",
        "作为一个AI，我没有观点。",
        "作为人工智能助手",
        "無法判斷。",
    ],
)
def test_a_refusal_in_prose_is_named_so(text: str) -> None:
    assert isinstance(not_readable(text, "a label"), Refused)


@pytest.mark.parametrize("text", ["neutral", "The writer seems happy.", "中性", "canned goods", "sorry"])
def test_other_prose_is_no_refusal(text: str) -> None:
    assert isinstance(not_readable(text, "a label"), Unreadable)


@pytest.mark.parametrize(
    "text",
    ['{"label": 1}', ' {"label": 1}\n', '```json\n{"label": 1}\n```', '```\n{"label": 1}\n```', '{\n"label": 1\n}'],
)
def test_an_object_may_stand_bare_or_in_one_code_fence(text: str) -> None:
    assert json_object(text) == {"label": 1}


@pytest.mark.parametrize(
    "text",
    [
        'Sure: {"label": 1}',
        '{"label": 1} I hope this helps',
        '{"label": 1}\n{"label": 1}',
        '```json\n{"label": 1}\n```\n```json\n{"label": 2}\n```',
        '{"label": 1, "label": 1}',
        '{"label": NaN}',
        '{"label": 1e999}',
        '{"label": 1',
        "[1]",
        '"label"',
        "{" * 100_000,
        "```" + "\n" * 100_000,
    ],
)
def test_anything_else_is_no_object(text: str) -> None:
    assert json_object(text) is None


def test_a_fence_is_taken_off_only_where_it_holds_everything() -> None:
    assert unfenced("```text\npositive\n```") == "positive"
    for text in ("```positive```", "a\n```\nb\n```", "``````", "```\n", "```not a language\nx\n```"):
        assert unfenced(text) == text.strip()


@given(PROBABILITIES)
def test_an_even_prior_changes_nothing(probabilities: tuple[float, ...]) -> None:
    even = (1 / len(probabilities),) * len(probabilities)
    assert divided_by_prior(probabilities, even) == pytest.approx(probabilities)
    assert divided_by_prior(probabilities, None) == probabilities


@given(PROBABILITIES, st.data())
def test_correcting_for_a_prior_is_a_distribution_and_knows_no_scale(
    probabilities: tuple[float, ...], data: st.DataObject
) -> None:
    prior = data.draw(st.lists(st.floats(0.01, 1), min_size=len(probabilities), max_size=len(probabilities)))
    corrected = divided_by_prior(probabilities, prior)
    assert math.fsum(corrected) == pytest.approx(1)
    assert divided_by_prior([3 * p for p in probabilities], [q / 7 for q in prior]) == pytest.approx(corrected)


@given(PROBABILITIES, st.data())
def test_correcting_follows_the_choices_when_they_are_permuted(
    probabilities: tuple[float, ...], data: st.DataObject
) -> None:
    prior = data.draw(st.lists(st.floats(0.01, 1), min_size=len(probabilities), max_size=len(probabilities)))
    order = data.draw(st.permutations(range(len(probabilities))))
    corrected = divided_by_prior(probabilities, prior)
    turned = divided_by_prior([probabilities[i] for i in order], [prior[i] for i in order])
    assert turned == pytest.approx([corrected[i] for i in order])


def test_the_most_probable_choice_changes_exactly_where_the_prior_says_so() -> None:
    for p, q in itertools.product((0.1, 0.4, 0.6, 0.9), repeat=2):
        corrected = divided_by_prior((p, 1 - p), (q, 1 - q))
        assert (corrected[0] > corrected[1]) == (p > q)


def test_a_prior_of_nothing_leaves_a_distribution() -> None:
    corrected = divided_by_prior((0.5, 0.5), (0.0, 1.0))
    assert math.fsum(corrected) == pytest.approx(1)
    assert corrected[0] > corrected[1]


@pytest.mark.parametrize("probabilities", [(0.0, 0.0), (math.nan, 0.5), (math.inf, 0.5), (-0.5, 1.5)])
@pytest.mark.parametrize("prior", [None, (0.5, 0.5)])
def test_what_is_no_distribution_is_unreadable(
    probabilities: tuple[float, ...], prior: tuple[float, ...] | None
) -> None:
    with pytest.raises(Unreadable, match="distribution"):
        divided_by_prior(probabilities, prior)
