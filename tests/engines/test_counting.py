import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.engines._counting import fewer_tokens_than, least_tokens, most_text_tokens, most_tokens
from postil.types import Message

# Texts and how many tokens Gemma 3's tokenizer makes of them.
COUNTED = [
    (22, "I have been waiting for my new card for two weeks now; is there any way to track the delivery?"),
    (
        40,
        "FreeMsg Hey there darling it's been 3 week's now and no word back! Tb ok! XxX std chgs to send, £1.50 to rcv",
    ),
    (27, "酒店的地理位置还不错，靠近步行街，属于闹市区，房间里面有电脑可以免费上网，早餐品种很少。"),
    (31, '{"label": "positive", "score": 0.98, "evidence": [{"start": 0, "end": 12}]}'),
    (
        31,
        "def search(lst):\n    '''Return the greatest integer above zero.'''\n    return max(x for x in lst if x > 0)",
    ),
    (51, "Order 2024-11-03 #0098817265, total 1,249.00 EUR, tel. +49 30 901820"),
    (14, "Die Lebensversicherungsgesellschaft hat die Schadensmeldung nicht bearbeitet."),
    (11, "Служба поддержки не отвечает уже третью неделю."),
]
# Few tokens for many characters: the texts on which a careless bound would raise a false alarm.
DENSE = [
    (161, "internationalization responsibilities " * 40),
    (46, "=" * 400 + "\n" + " " * 600),
    (150, "哈" * 300),
    (501, "the " * 500),
]


def prompt(text: str) -> tuple[Message, ...]:
    return (Message("user", text),)


@pytest.mark.parametrize(("tokens", "text"), COUNTED)
def test_the_estimate_is_above_a_real_count_and_not_far_above(tokens: int, text: str) -> None:
    assert 0.95 * tokens <= most_text_tokens(text) <= 4 * tokens
    assert tokens <= most_tokens(prompt(text))


@pytest.mark.parametrize(("tokens", "text"), COUNTED + DENSE)
def test_the_bound_is_below_a_real_count(tokens: int, text: str) -> None:
    assert least_tokens(prompt(text)) <= tokens


@pytest.mark.parametrize(("tokens", "text"), [case for case in COUNTED if case[0] < 40])
def test_the_bound_still_sees_a_text_of_which_nine_tenths_were_cut(tokens: int, text: str) -> None:
    assert least_tokens(prompt(text * 10)) > tokens


@given(st.text(st.characters()), st.text(st.characters(), min_size=1))
def test_the_estimate_never_falls_as_text_is_added(text: str, more: str) -> None:
    assert most_tokens(prompt(text)) < most_tokens((*prompt(text), Message("assistant", more)))
    assert most_text_tokens(text) <= most_text_tokens(text + more)
    assert most_text_tokens(text + more) <= most_text_tokens(text) + most_text_tokens(more)


@given(st.lists(st.text(st.characters(categories=["L"]).filter(lambda c: c < "\u2000"), min_size=1, max_size=30)))
def test_one_token_for_every_word_however_long_is_never_below_the_bound(words: list[str]) -> None:
    assert least_tokens(prompt(" ".join(words))) <= len(words)


@given(st.text(), st.integers(min_value=0, max_value=50))
def test_the_short_way_to_compare_agrees_with_the_bound(text: str, limit: int) -> None:
    assert fewer_tokens_than(prompt(text), limit) == (least_tokens(prompt(text)) <= limit)


def test_lone_surrogates_and_long_texts_can_be_counted() -> None:
    assert most_text_tokens("\ud800") > 0
    assert most_text_tokens("a" * 1_000_000) > 100_000
