import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.engines._choices import ChoiceScores, score_choices

CODES = ("A", "B", "C", "D")


def position(top: Mapping[str, float]) -> dict[str, Any]:
    """A token as servers write it; the first one was sampled."""
    entries = [
        {"token": token, "logprob": math.log(p) if p else -9999.0, "bytes": list(token.encode())}
        for token, p in top.items()
    ]
    return {**entries[0], "top_logprobs": entries}


def scored(choices: Sequence[str], *tops: Mapping[str, float]) -> ChoiceScores:
    return score_choices([position(top) for top in tops], tuple(choices))


def counted(choices: Sequence[str], top: Mapping[str, float]) -> dict[str, float]:
    """The probabilities by choice; the rest of the mass goes to a last choice that no token here can begin."""
    probabilities = scored([*choices, "zzz"], {**top, "zzz": 1 - sum(top.values())}).probabilities
    assert probabilities is not None
    return dict(zip(choices, probabilities, strict=False))


@pytest.mark.parametrize(
    "token",
    [
        "negative",
        "Negative",
        " negative",
        "▁NEG",
        "neg",
        "n",
        "ｎｅｇａｔｉｖｅ",
        "\tNeg",
        "negative.",
        "negative\n",
        'negative"',
    ],
)
def test_every_way_to_begin_or_write_a_choice_counts_for_it(token: str) -> None:
    assert counted(["positive", "negative"], {token: 0.4})["negative"] == pytest.approx(0.4)


@pytest.mark.parametrize("token", ["And", "Apple", "AB", "A1", "A-", "a_b", "A’s", "甲A", '"A', "**A", "Ａnd"])
def test_a_token_that_goes_on_after_a_code_or_has_more_before_it_does_not_count(token: str) -> None:
    probabilities = counted(CODES, {"A": 0.3, token: 0.3})
    assert probabilities["A"] == pytest.approx(0.3 / 0.7, rel=1e-4)


@pytest.mark.parametrize("opener", ["I", " I", "The", "As", "it"])
def test_a_word_that_opens_a_sentence_is_not_taken_for_the_beginning_of_a_label(opener: str) -> None:
    scores = scored(["irony", "theft", "assault", "italian"], {opener: 0.9, "irony": 0.05})
    assert scores.mass == pytest.approx(0.05)
    assert scores.probabilities is None


def test_an_opener_that_is_a_choice_counts() -> None:
    assert counted(["A", "I"], {"I": 0.25, "A": 0.25}) == pytest.approx({"A": 0.25, "I": 0.25})


def test_a_token_that_begins_several_choices_counts_for_none() -> None:
    scores = scored(
        ["negative", "neutral", "positive"], {"positive": 0.6, "negative": 0.3, "neutral": 0.08, "ne": 0.01}
    )
    assert scores.mass == pytest.approx(0.98)
    assert scores.probabilities == pytest.approx((0.3 / 0.98, 0.08 / 0.98, 0.6 / 0.98))


def test_too_much_at_tokens_that_begin_several_choices_means_no_probabilities() -> None:
    scores = scored(["negative", "neutral", "positive"], {"positive": 0.6, "ne": 0.3, "neutral": 0.08})
    assert scores.mass == pytest.approx(0.68)
    assert scores.probabilities is None


def test_one_is_told_from_ten_only_where_the_tokenizer_writes_ten_as_one_token() -> None:
    ratings = [str(point) for point in range(1, 11)]
    single_digits = scored(ratings, {"1": 0.4, "2": 0.6})
    assert single_digits.probabilities is None
    numbers = scored(ratings, {"1": 0.4, "2": 0.5, "10": 0.1})
    assert numbers.probabilities is not None
    assert numbers.probabilities[0] == pytest.approx(0.4, abs=1e-4)
    assert numbers.probabilities[9] == pytest.approx(0.1, abs=1e-4)
    # Twelve may still be written as "1", "2".
    assert scored(["1", "2", "10", "12"], {"1": 0.4, "2": 0.5, "10": 0.1}).probabilities is None


def test_the_longest_of_the_choices_that_a_token_completes_counts() -> None:
    probabilities = counted(["A", "A-"], {"A-.": 0.2, "A.": 0.3, "A-": 0.1})
    assert probabilities == pytest.approx({"A": 0.3, "A-": 0.3})


def test_a_character_cut_in_two_counts_by_its_bytes() -> None:
    first = {"token": "\ufffd", "logprob": math.log(0.8), "bytes": list("否".encode()[:2])}
    second = {"token": "是", "logprob": math.log(0.1), "bytes": list("是".encode())}
    scores = score_choices([{**first, "top_logprobs": [first, second]}], ("是", "否"))
    assert scores.probabilities == pytest.approx((1 / 9, 8 / 9))


def test_chinese_labels_count_by_their_first_character() -> None:
    assert counted(["正面", "负面"], {"正": 0.5, "负面": 0.2, "正面。": 0.1, "正在": 0.1}) == pytest.approx(
        {"正面": 0.6, "负面": 0.2}, abs=0.1
    )
    assert scored(["正面", "负面"], {"正": 0.5, "负面": 0.2, "正在": 0.1}).mass == pytest.approx(0.7)


def test_white_space_before_the_label_is_passed_over() -> None:
    scores = scored(CODES, {" ": 0.75, "A": 0.2}, {"B": 0.8, "A": 0.2})
    assert scores.mass == pytest.approx(0.95)
    assert scores.probabilities is not None
    assert scores.probabilities[0] / scores.probabilities[1] == pytest.approx(0.35 / 0.6)


def test_a_reply_of_nothing_but_white_space_scores_nothing() -> None:
    assert scored(CODES, *[{"\n": 0.999}] * 50) == ChoiceScores(None, 0.0)


def test_probabilities_are_missing_where_little_stands_on_the_choices_but_the_mass_is_kept() -> None:
    scores = scored(CODES, {"The": 0.6, "A": 0.3, "B": 0.1})
    assert scores.probabilities is None
    assert scores.mass == pytest.approx(0.4)
    assert scored(CODES, {"The": 0.4, "A": 0.5, "B": 0.1}).probabilities is not None


@pytest.mark.parametrize(
    ("top", "floor"),
    [
        # 0.04 is left over for C and D together, more than twice the least probable token in the list.
        ({"A": 0.9, "B": 0.05, "x": 0.01}, 0.01 / 2),
        # 0.002 is left over for both, less than that.
        ({"A": 0.9, "B": 0.09, "x": 0.008}, 0.002 / 2 / 2),
    ],
)
def test_a_choice_outside_the_list_gets_half_of_what_it_can_have_at_most(top: dict[str, float], floor: float) -> None:
    probabilities = scored(CODES, top).probabilities
    assert probabilities is not None
    expected = floor / (top["A"] + top["B"] + 2 * floor)
    assert probabilities[2:] == pytest.approx((expected, expected))


def test_next_to_nothing_as_servers_write_it_counts_as_not_listed() -> None:
    scores = scored(("A", "B"), {"A": 1.0, "B": 0.0})
    assert scores.probabilities is not None
    assert 0 < scores.probabilities[1] < 1e-5


@pytest.mark.parametrize(
    "content",
    [
        None,
        "text",
        5,
        [],
        [None],
        [{}],
        [{"token": "A", "logprob": -0.1}],
        [{"token": "A", "logprob": -0.1, "top_logprobs": None}],
        [{"token": None, "logprob": -0.1, "top_logprobs": [{"token": None, "logprob": -0.1}]}],
        [{"token": "A", "logprob": -0.1, "top_logprobs": [{"token": "A", "logprob": "-0.1"}]}],
        [{"token": "A", "logprob": math.nan, "top_logprobs": [{"token": "A", "logprob": math.nan}]}],
        [{"token": "A", "logprob": 3.0, "top_logprobs": [{"token": "A", "logprob": 3.0}]}],
        [{"token": "A", "logprob": 1e9, "top_logprobs": [{"token": "A", "logprob": 1e9}]}],
        [{"token": "A", "logprob": 0, "top_logprobs": [{"token": "A", "logprob": 0}, {"token": "B", "logprob": 0}]}],
    ],
)
def test_what_is_no_distribution_counts_as_absent(content: Any) -> None:
    scores = score_choices(content, CODES)
    assert scores.probabilities is None
    assert scores.mass in (None, 0.0)


def test_choices_that_fold_to_the_same_are_not_told_apart() -> None:
    assert scored(["Yes", "yes"], {"yes": 0.9}).probabilities is None


TOKENS = st.sampled_from(
    [
        *CODES,
        " A",
        "a",
        "b ",
        "C.",
        "▁D",
        "And",
        "Be",
        "the",
        "\n",
        "0",
        "中",
        "Ａ",
        "A)",
        "BC",
        "d:",
        "",
        "x",
        "yy",
        "B",
    ]
)


@st.composite
def distributions(draw: st.DrawFn) -> dict[str, float]:
    tokens = draw(st.lists(TOKENS, min_size=1, max_size=18, unique=True))
    weights = draw(st.lists(st.floats(1e-9, 1), min_size=len(tokens), max_size=len(tokens)))
    share = draw(st.floats(0.5, 1.0))
    return {token: share * weight / sum(weights) for token, weight in zip(tokens, weights, strict=True)}


def code_of(token: str) -> str:
    """An independent reading of rules 1 and 4, for codes of one letter."""
    bare = token.replace("Ａ", "A").strip(" ▁\n").upper()
    return bare.rstrip(".):") if bare.rstrip(".):") in CODES else ""


@given(distributions())
def test_for_single_letters_the_mass_is_the_sum_over_their_surface_forms(top: dict[str, float]) -> None:
    top = {"A": 1e-6, **top} if code_of(next(iter(top))) == "" else top
    expected: dict[str, float] = {code: sum(p for token, p in top.items() if code_of(token) == code) for code in CODES}
    scores = scored(CODES, top)
    if scores.mass is None:
        assert sum(top.values()) > 1
        return
    assert scores.mass == pytest.approx(min(1.0, sum(expected.values())))
    # Within rounding of the limit either is right.
    hypothesis.assume(abs(sum(expected.values()) - 0.5) > 1e-9)
    assert (scores.probabilities is None) == (sum(expected.values()) < 0.5)
    if scores.probabilities is not None:
        by_code = dict(zip(expected, scores.probabilities, strict=True))
        listed = [code for code, p in expected.items() if p]
        for code in listed:
            assert by_code[code] / by_code[listed[0]] == pytest.approx(expected[code] / expected[listed[0]])


@given(distributions())
def test_probabilities_sum_to_one_and_an_unlisted_choice_is_never_impossible_nor_before_a_listed_one(
    top: dict[str, float],
) -> None:
    probabilities = scored(CODES, {"A": 0.0, **top}).probabilities
    if probabilities is None:
        return
    assert math.fsum(probabilities) == pytest.approx(1)
    listed = {code_of(token) for token, p in top.items() if p}
    inside = [p for code, p in zip(CODES, probabilities, strict=True) if code in listed]
    outside = [p for code, p in zip(CODES, probabilities, strict=True) if code not in listed]
    assert all(p > 0 for p in probabilities)
    assert not outside or max(outside) < min(inside)


@given(distributions(), st.permutations(range(4)))
def test_the_order_of_choices_only_reorders_the_probabilities(top: dict[str, float], order: list[int]) -> None:
    straight = scored(CODES, top)
    turned = scored([CODES[i] for i in order], top)
    assert straight.mass == pytest.approx(turned.mass)
    if straight.probabilities is None:
        assert turned.probabilities is None
    else:
        assert turned.probabilities == pytest.approx([straight.probabilities[i] for i in order])


@given(distributions(), st.randoms(use_true_random=False))
def test_the_order_of_the_list_means_nothing(top: dict[str, float], rng: Any) -> None:
    first, *entries = position(top)["top_logprobs"]
    shuffled = [first, *entries]
    rng.shuffle(shuffled)
    straight = score_choices([{**first, "top_logprobs": [first, *entries]}], CODES)
    turned = score_choices([{**first, "top_logprobs": shuffled}], CODES)
    assert turned.mass == pytest.approx(straight.mass)
    assert turned.probabilities == pytest.approx(straight.probabilities)


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), st.lists), st.text(min_size=1))
def test_no_server_can_make_it_fail(content: Any, choice: str) -> None:
    assert score_choices(content, (choice, "other")).probabilities is None
    nested = json.loads(json.dumps([{"token": "x", "logprob": -1, "top_logprobs": content}]))
    assert score_choices(nested, (choice, "other")) is not None
