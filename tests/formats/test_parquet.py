"""Parquet: types survive, a file name is only a name, and broken files are said to be broken."""

import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

from postil.errors import DataError, FormatError, MissingExtraError
from postil.formats import read_records, write_parquet
from postil.formats.parquet import read_parquet


def made(path: Path, query: str) -> Path:
    """Let DuckDB write the table, so that the reader is not tested against our writer alone."""
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({query}) TO '{path.parent}/made' (FORMAT parquet)")
    (path.parent / "made").rename(path)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [dict(row.fields) for row in read_parquet(path)]


def test_rows_come_in_order_with_their_number(tmp_path: Path):
    path = made(tmp_path / "a.parquet", "SELECT i AS id, 'text ' || i AS text FROM range(5000) t(i)")
    located = list(read_records(path))
    assert [there.record.id for there in located] == [str(number) for number in range(5000)]
    assert (located[-1].record.fields["text"], located[-1].line) == ("text 4999", 5000)
    assert located[-1].place == f"{path}, row 5000"


def test_foreign_types_become_json(tmp_path: Path):
    query = """SELECT DATE '2024-02-29' AS date, TIMESTAMP '2024-02-29 12:00:00.5' AS time,
      TIMESTAMPTZ '2024-02-29 12:00:00+02' AS zoned, 3.50::DECIMAL(4,2) AS price, 7::DECIMAL(4,0) AS points,
      ['a', NULL] AS list, {'x': 1, 'y': 'z'} AS struct, MAP {'k': 1.5::DOUBLE} AS map,
      18446744073709551615::UBIGINT AS big, NULL AS nothing, TRUE AS truth, 'NA' AS na, 'a'::ENUM('a', 'b') AS word,
      INTERVAL 1 DAY AS span, uuid '0a000000-0000-0000-0000-000000000000' AS uuid, '{"a": [1]}'::JSON AS json"""
    assert rows(made(tmp_path / "a.parquet", query)) == [
        {
            "date": "2024-02-29",
            "time": "2024-02-29T12:00:00.500000",
            "zoned": "2024-02-29T10:00:00+00:00",
            "price": 3.5,
            "points": 7,
            "list": ["a", None],
            "struct": {"x": 1, "y": "z"},
            "map": {"k": 1.5},
            "big": 2**64 - 1,
            "nothing": None,
            "truth": True,
            "na": "NA",
            "word": "a",
            "span": "1 day, 0:00:00",
            "uuid": "0a000000-0000-0000-0000-000000000000",
            "json": {"a": [1]},
        }
    ]


@pytest.mark.parametrize("value", ["'nan'::DOUBLE", "'inf'::FLOAT", "['nan'::DOUBLE]"])
def test_a_number_that_json_has_not_is_refused_with_row_and_column(tmp_path: Path, value: str):
    path = made(tmp_path / "a.parquet", f"SELECT 1 AS score UNION ALL SELECT {value}".replace("1 AS", "NULL AS"))
    with pytest.raises(DataError, match=r"row 2, column 'score': expected .* got (nan|inf)"):
        rows(path)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path):
    path = made(tmp_path / "a.parquet", "SELECT '\\xFF\\x00'::BLOB AS image")
    with pytest.raises(DataError, match=str(path)) as caught:
        rows(path)
    assert caught.value.hint


@pytest.mark.parametrize("spoil", ["short", "text", "tail", "middle"])
def test_a_broken_file_is_refused(tmp_path: Path, spoil: str):
    path = made(tmp_path / "a.parquet", "SELECT 'text ' || i AS text FROM range(3000) t(i)")
    whole = path.read_bytes()
    spoilt = bytearray(whole)
    spoilt[200:400] = b"\xff" * 200
    path.write_bytes({"short": b"PAR1", "text": b"id,text\n1,abcdefgh\n", "tail": whole[:-50], "middle": spoilt}[spoil])
    with pytest.raises(DataError, match="expected a whole Parquet file") as caught:
        rows(path)
    assert str(path) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("name", ["a*.parquet", "a?.parquet", "a[1].parquet", "it's.parquet", "a b;--.parquet"])
def test_a_file_name_is_no_pattern_and_no_query(tmp_path: Path, name: str):
    for number, other in enumerate(("a1.parquet", "ax.parquet", "a[1].parquet", name)):
        write_parquet([{"n": number}], tmp_path / other)
    assert rows(tmp_path / name) == [{"n": 3}]


def test_folders_called_key_equals_value_add_no_column(tmp_path: Path):
    (tmp_path / "split=test").mkdir()
    write_parquet([{"n": 1}], tmp_path / "split=test" / "a.parquet")
    assert rows(tmp_path / "split=test" / "a.parquet") == [{"n": 1}]


def test_columns_have_plain_types_for_other_programs(tmp_path: Path):
    there: list[dict[str, Any]] = [
        {"t": "x", "w": 1, "f": 1, "b": True, "o": {"k": 1}, "m": "x", "z": None, "big": 2**70},
        {"t": None, "w": -(2**63), "f": 0.5, "b": False, "o": [], "m": 1, "late": "y"},
    ]
    write_parquet(there, tmp_path / "a.parquet")
    with duckdb.connect() as connection:
        table = connection.read_parquet(str(tmp_path / "a.parquet"))
        types = dict(zip(table.columns, map(str, table.types), strict=True))
    texts, nested = dict.fromkeys(("t", "z", "late"), "VARCHAR"), dict.fromkeys(("o", "m", "big"), "JSON")
    assert types == texts | nested | {"w": "BIGINT", "f": "DOUBLE", "b": "BOOLEAN"}
    every = dict.fromkeys([*there[0], "late"])
    assert rows(tmp_path / "a.parquet") == [every | row for row in there]


def test_many_rows_and_long_texts_are_written_in_batches(tmp_path: Path):
    there = [{"n": number, "text": "好" * (3_000_000 if number % 1000 == 7 else number % 5)} for number in range(3500)]
    assert write_parquet(iter(there), tmp_path / "a.parquet") == 3500
    assert rows(tmp_path / "a.parquet") == there


def test_columns_that_differ_only_in_case_are_refused(tmp_path: Path):
    with pytest.raises(FormatError, match="'Text' and 'text' differ only in case"):
        write_parquet([{"Text": "a", "text": "b"}], tmp_path / "a.parquet")
    with pytest.raises(FormatError, match="a column has no name"):
        write_parquet([{"": "a"}], tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("value", ["a\ud800", ["a\ud800"], {"\udfff": 1}])
def test_a_lone_surrogate_is_refused_by_row_and_leaves_the_old_file(tmp_path: Path, value: Any):
    (tmp_path / "a.parquet").write_text("old")
    with pytest.raises(DataError, match=r"row 2, column 't' holds the lone surrogate") as caught:
        write_parquet([{"t": None}, {"t": value}], tmp_path / "a.parquet")
    assert "jsonl" in caught.value.hint
    assert [there.read_text() for there in tmp_path.iterdir()] == ["old"]


def test_a_table_without_columns_cannot_be_written(tmp_path: Path):
    with pytest.raises(FormatError, match="no rows"):
        write_parquet([], tmp_path / "a.parquet")


def test_standard_output_is_refused():
    with pytest.raises(FormatError, match="standard output"):
        write_parquet([{"a": 1}], "-")


def test_without_duckdb_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "duckdb", None)
    for use in (lambda: rows(tmp_path / "a.parquet"), lambda: write_parquet([{"a": 1}], tmp_path / "b.parquet")):
        with pytest.raises(MissingExtraError, match="Parquet needs the extra 'parquet'"):
            use()
