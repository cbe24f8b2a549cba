"""What is written is what is read, in every format and for every text it can hold."""

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postil.errors import DataError
from postil.formats import FORMATS, read_records

NASTY = [
    *("", " ", "\0", "a\0b", "NA", "None", "null", "nan", "no", "true", "007", "1e5", "-5", "\ufeff", "\ufeffa"),
    *("\r", "\n", "\r\n", "a\rb", "\t", "\x85", "\u2028", "\u2029", "\x1a", '"', '""', "'", "\\", "\\n", ",", ";"),
    *("=1+1", "'=1+1", "''=1", "+", "-", "@x", "\t=", "\r=", "＝1", "'", "{}", "[1]", "{{x}}", "</script>"),
    *("你好，世界", "é", "e\u0301", "👩🏽‍🚀", "🇨🇳", "שלום 123", "\u202e", "\U000e0041", "\x7f", "\uffff", "\U0010ffff"),
]
TEXT = st.text(st.characters(codec="utf-8")) | st.sampled_from(NASTY)
ROWS = st.lists(st.fixed_dictionaries({"text": TEXT, "other field": TEXT, "=计": TEXT}), min_size=1, max_size=5)
BOTH_WAYS = [name for name, known in FORMATS.items() if known.read and known.write and name != "tsv"]
"""Of TSV there is `tsv-quoted`: `tsv` refuses what could also be read in another way."""


def again(format_name: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    known = FORMATS[format_name]
    assert known.write is not None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"a{(known.extensions or ('.x',))[0]}")
        with_ids = [{"id": f"r{number}", **row} for number, row in enumerate(rows)]
        assert known.write(iter(with_ids), path) == len(rows)
        read = [located.record for located in read_records(path, format=format_name)]
    assert [record.id for record in read] == [row["id"] for row in with_ids]
    return [dict(record.fields) for record in read]


@pytest.mark.parametrize("format_name", BOTH_WAYS)
def test_nasty_texts_come_back(format_name: str):
    rows = [{"text": text, "twice": text * 2} for text in NASTY]
    assert again(format_name, rows) == rows


@pytest.mark.parametrize("format_name", ["jsonl", "csv", "csv-exact", "csv-excel", "tsv-quoted"])
@settings(max_examples=40)
@given(rows=ROWS)
def test_every_text_comes_back(format_name: str, rows: list[dict[str, str]]):
    assert again(format_name, rows) == rows


@settings(max_examples=40)
@given(rows=ROWS)
@example(rows=[{"text": "a\nb\tc\td\te", "other field": "", "=计": ""}])
def test_a_tsv_of_ours_comes_back_or_is_refused_by_name(rows: list[dict[str, str]]):
    try:
        assert again("tsv", rows) == rows
    except DataError as error:
        assert "'tsv-quoted'" in error.hint  # noqa: PT017  # either of the two is right
        assert again("tsv-quoted", rows) == rows


@settings(max_examples=12)
@given(rows=ROWS)
def test_every_text_comes_back_from_parquet(rows: list[dict[str, str]]):
    assert again("parquet", rows) == rows


VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda held: st.lists(held, max_size=3) | st.dictionaries(TEXT, held, max_size=3),
    max_leaves=6,
)


@settings(max_examples=50)
@given(rows=st.lists(st.fixed_dictionaries({"value": VALUES, "text": TEXT}), min_size=1, max_size=4))
def test_every_json_value_comes_back_from_json_lines(rows: list[dict[str, Any]]):
    assert repr(again("jsonl", rows)) == repr(rows)


@settings(max_examples=20)
@given(rows=st.lists(st.fixed_dictionaries({"value": VALUES, "text": TEXT}), min_size=1, max_size=4))
@example(rows=[{"value": 1, "text": ""}, {"value": 2**53 + 1, "text": ""}, {"value": 0.5, "text": ""}])
@example(rows=[{"value": -(2**63), "text": ""}, {"value": 2**63, "text": ""}])
def test_every_json_value_comes_back_from_parquet(rows: list[dict[str, Any]]):
    assert again("parquet", rows) == rows


def test_lone_surrogates_come_back_from_json_lines():
    rows = [{"text": "a\ud800", "\udfff": ["\udc00\ud800"]}]
    assert again("jsonl", rows) == rows
