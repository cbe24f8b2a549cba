"""Tokens and their probabilities, told apart letter by letter."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.engines._tokens import spelled


def entry(raw: bytes, probability: float) -> dict[str, Any]:
    return {"token": raw.decode("utf-8", "replace"), "bytes": list(raw), "logprob": math.log(probability)}


@given(st.text(min_size=1), st.data())
def test_tokens_spell_the_text_wherever_its_bytes_are_cut(text: str, data: st.DataObject) -> None:
    raw = text.encode("utf-8", "replace")
    text = raw.decode()
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, len(raw) - 1)), max_size=6)))
    parts = [raw[start:end] for start, end in zip([0, *cuts], [*cuts, len(raw)], strict=True)]
    content = [entry(part, (at + 1) / 10) for at, part in enumerate(parts) if part]
    found = spelled(content, text)
    assert found is not None
    assert "".join(piece for piece, _ in found) == text
    assert len(found) == len(content)
    assert [p for _, p in found] == pytest.approx([math.exp(each["logprob"]) for each in content])


def test_a_letter_belongs_to_the_token_that_ends_it() -> None:
    raw = "中".encode()
    assert spelled([entry(raw[:2], 0.5), entry(raw[2:], 0.25)], "中") == (
        ("", pytest.approx(0.5)),
        ("中", pytest.approx(0.25)),
    )


def test_what_stands_around_the_text_is_left_out() -> None:
    content = [entry(b"\n ", 0.9), entry(b" yes", 0.5), entry(b"!\n", 0.25), entry(b"<end>", 0.1)]
    found = spelled(content, "yes!")
    assert found is not None
    assert [piece for piece, _ in found] == ["yes", "!"]


def test_servers_that_send_no_bytes_are_read_by_their_tokens() -> None:
    assert spelled([{"token": "ye", "logprob": 0.0}, {"token": "s", "logprob": 1e-9}], "yes") == (("ye", 1), ("s", 1))


@pytest.mark.parametrize(
    "content",
    [None, [], 3, [{"token": "no", "logprob": 0}], [{"token": "yes"}], [{"token": "yes", "logprob": "high"}], [None]],
)
def test_what_spells_something_else_gives_nothing(content: Any) -> None:
    assert spelled(content, "yes") is None
