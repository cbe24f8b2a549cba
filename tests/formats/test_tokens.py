"""Tokens: whole words or single characters, never over the end of a span, and all of the text but its spaces."""

from hypothesis import given
from hypothesis import strategies as st

from postil.formats.tokens import tokens

TEXTS = st.text(st.characters(codec="utf-8")) | st.text("ab é好，😀👩🏽‍🚀\u0301 \n\t-_1")


@given(text=TEXTS, cuts=st.lists(st.integers(0, 40)))
def test_tokens_are_the_text_without_its_spaces(text: str, cuts: list[int]):
    found = tokens(text, cuts)
    assert "".join(text[start:end] for start, end in found) == "".join(text.split())
    assert found == sorted(found)
    for cut in cuts:
        assert all(cut <= start or cut >= end for start, end in found)


def test_words_stay_whole_and_chinese_goes_by_characters():
    assert words("Don't 张三 works_at x2.") == ["Don", "'", "t", "张", "三", "works", "_", "at", "x2", "."]
    assert words("Alice", [2]) == ["Al", "ice"]


def words(text: str, cuts: list[int] | None = None) -> list[str]:
    return [text[start:end] for start, end in tokens(text, cuts or ())]
