import base64
import pickle
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.engines._words import Secret, quoted

KEY = "sk-cAnarY+47/x=Zq9"
PRINTABLE = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=12, max_size=60)


def shares_a_piece(text: str, key: str, length: int = 8) -> bool:
    return any(key[i : i + length] in text for i in range(len(key) - length + 1))


@given(PRINTABLE, st.text(max_size=50), st.text(max_size=50), st.integers(0, 3))
def test_no_piece_of_a_key_survives_in_any_spelling(key: str, before: str, after: str, spelling: int) -> None:
    spellings = [
        key,
        quote(key, safe=""),
        base64.b64encode(key.encode()).decode(),
        base64.b64encode(f"Bearer {key}".encode()).decode(),
    ]
    told = quoted(before + spellings[spelling] + after, Secret(key))
    # One group of base64 may mix the key with its neighbours: eight of its characters are at most six of the key.
    length = 8 if spelling < 2 else 12
    assert not shares_a_piece(told, spellings[spelling][4:-4] if spelling > 1 else spellings[spelling], length)


def test_half_a_key_is_struck_out_and_the_rest_of_the_words_stay() -> None:
    assert quoted(f"Incorrect key: {KEY[:10]}****. Try again", Secret(KEY)) == "Incorrect key: *******. Try again"


def test_a_short_key_is_struck_out_as_a_word_only() -> None:
    assert quoted("key x is not an extra key", Secret("x")) == "key *** is not an extra key"


def test_a_key_prints_as_stars_and_is_never_pickled() -> None:
    secret = Secret(KEY)
    assert f"{secret!r} {secret}" == "*** ***"
    assert secret.reveal() == KEY
    with pytest.raises(TypeError, match="never serialised"):
        pickle.dumps(secret)


@given(st.text())
def test_words_are_short_and_harmless_to_a_terminal(words: str) -> None:
    told = quoted(words, Secret(""))
    assert len(told) <= 300
    assert told.isprintable()


def test_control_and_bidi_characters_are_written_as_escapes() -> None:
    assert quoted("\x1b[31mred\u202e\ud800\n!", Secret("")) == "\\x1b[31mred\\u202e\\ud800\\n!"


def test_chinese_words_stay_readable() -> None:
    assert quoted("请求过大。", Secret(KEY)) == "请求过大。"
