"""What is written as TOML reads back as what it was."""

import math
import tomllib
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.errors import SettingsError
from postil.project.toml_writing import toml

TEXTS = st.text(max_size=20)
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)
TABLES = st.dictionaries(TEXTS, VALUES, max_size=5)


@given(st.dictionaries(TEXTS, TABLES, max_size=3))
def test_every_table_reads_back_as_it_was(tables: Mapping[str, Mapping[str, Any]]) -> None:
    assert tomllib.loads(toml({("tables", name): table for name, table in tables.items()})).get("tables", {}) == tables


@pytest.mark.parametrize(
    "text",
    [
        '"',
        "\\",
        '"""',
        "'''",
        "\\u0041",
        "a\nb\r\n",
        "\0\x1f\x7f\x80",
        "# no comment",
        "[table]",
        "\u2028",
        "e\u0301",
        "😀",
    ],
)
def test_hostile_text_is_text(text: str) -> None:
    table = {text: {text: [text]}, "key": text}
    assert tomllib.loads(toml({("t", text): table})) == {"t": {text: table}}


def test_what_is_none_is_left_out_and_what_cannot_be_written_refused() -> None:
    assert toml({("a",): {"x": None, "y": {"z": None}}}) == "[a]\ny = {}\n"
    for value in (b"bytes", {1, 2}, None):
        with pytest.raises(SettingsError, match="expected text, a number"):
            toml({("a",): {"x": [value]}})
    with pytest.raises(SettingsError, match="lone surrogate"):
        toml({("a",): {"x": "\ud800"}})


def test_numbers_keep_their_kind() -> None:
    read = tomllib.loads(toml({("a",): {"whole": 1, "part": 1.0, "huge": 1e300, "endless": math.inf, "yes": True}}))
    assert [type(value) for value in read["a"].values()] == [int, float, float, float, bool]
    assert read["a"]["endless"] == math.inf


def test_a_person_can_read_it() -> None:
    written = toml({("task",): {"labels": {"good": "it works\nwell"}}, ("annotators", "my model"): {"shots": 8}})
    assert written == '[task]\nlabels = { good = "it works\\nwell" }\n\n[annotators."my model"]\nshots = 8\n'
