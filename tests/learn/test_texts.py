"""When two texts are so alike that one would give the other away."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.learn.texts import near_duplicates, shingles

REVIEW = "The room was large and clean, breakfast was good, and the staff helped us with everything."
CHINESE = "房间很大也很干净,早餐不错,服务员帮了我们很多忙,下次还会再来住这家酒店。"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", ""),
        ("ok", "OK!"),
        (REVIEW, REVIEW.upper()),
        (REVIEW, "  " + REVIEW.replace(" ", "\n")),
        (REVIEW, REVIEW + " A+"),
        (REVIEW, REVIEW.replace("large", "big")),
        (CHINESE, CHINESE.replace("再来", "来")),
        (CHINESE, CHINESE.replace(",", "，")),
    ],
)
def test_the_same_words_with_small_changes_are_near_duplicates(first: str, second: str):
    assert near_duplicates(shingles(first), shingles(second))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("", "ok"),
        ("ok", "no"),
        ("很好", "很好吃"),
        (REVIEW, "The room was small and dirty, breakfast was bad, and nobody helped us with anything."),
        (CHINESE, "房间又小又脏,早餐很差,没有人帮我们,下次再也不会来住这家酒店了。"),
        (REVIEW, CHINESE),
    ],
)
def test_texts_that_say_something_else_are_not(first: str, second: str):
    assert not near_duplicates(shingles(first), shingles(second))


@given(st.text(), st.text())
def test_being_a_near_duplicate_is_mutual_and_holds_of_oneself(first: str, second: str):
    one, other = shingles(first), shingles(second)
    assert near_duplicates(one, one)
    assert near_duplicates(one, other) == near_duplicates(other, one)
