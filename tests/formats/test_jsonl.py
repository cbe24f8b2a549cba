"""JSON Lines: every non-blank line is a record, every other thing an error with line and column."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from postil.errors import DataError
from postil.formats import read_records, write_jsonl
from postil.formats.jsonl import read_jsonl


def written(tmp_path: Path, content: str | bytes) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(tmp_path: Path, content: str | bytes) -> DataError:
    with pytest.raises(DataError) as caught:
        list(read_jsonl(written(tmp_path, content)))
    assert str(tmp_path / "a.jsonl") in str(caught.value)
    assert caught.value.hint
    return caught.value


def test_each_line_that_is_not_blank_is_one_row_with_its_line_number(tmp_path: Path):
    path = written(tmp_path, b'\xef\xbb\xbf{"a": 1}\r\n\r\n  \t\n{"a": 2}\n\n{"a": 3}')
    assert [(row.line, row.fields) for row in read_jsonl(path)] == [(1, {"a": 1}), (4, {"a": 2}), (6, {"a": 3})]


def test_only_a_line_feed_ends_a_line(tmp_path: Path):
    text = "a\u2028b\u2029c\x85d\x1ce".replace("\x1c", "\\u001c")
    assert len(list(read_jsonl(written(tmp_path, f'{{"t": "{text}"}}\n{{"t": "x"}}\n')))) == 2


def test_values_keep_their_json_types(tmp_path: Path):
    line = '{"n": 9007199254740993, "f": 1.0, "t": "1", "b": true, "z": null, "o": {"k": ["NA", "\\u0000", "\\ud83d"]}}'
    fields = next(read_jsonl(written(tmp_path, line))).fields
    expected: dict[str, Any] = {"n": 2**53 + 1, "f": 1.0, "t": "1", "b": True, "z": None}
    assert fields == expected | {"o": {"k": ["NA", "\0", "\ud83d"]}}
    assert [type(fields[key]) for key in "nftb"] == [int, float, str, bool]


@pytest.mark.parametrize(
    ("line", "column", "advice"),
    [
        ('{"id": 2, "text": }', 19, "Mend the line"),
        ('{"id": 2, "text": "abc', 19, "ends too early"),
        ('{"id": 2,', 10, "ends too early"),
        ('{"id": 2} {"id": 3}', 11, "Mend the line"),
        ('{"id": "a\tb"}', 10, "\\u0009"),
        ('{"id": "a\0b"}', 10, "\\u0000"),
        ("{'id': 'x'}", 2, "json.dumps"),
        ('{"id": 2}\r{"id": 3}', 11, "CR alone"),
        ("hello", 1, "Mend the line"),
    ],
)
def test_a_broken_line_is_named_with_its_column(tmp_path: Path, line: str, column: int, advice: str):
    error = refusal(tmp_path, '{"id": 1}\n\n' + line + "\n")
    assert f"line 3, column {column}: expected one JSON object on the line" in str(error)
    assert advice in error.hint


def test_an_array_in_a_jsonl_file_is_recognised(tmp_path: Path):
    assert ".json" in refusal(tmp_path, '[{"id": 1},\n {"id": 2}]\n').hint


@pytest.mark.parametrize(
    ("line", "kind"), [("[1]", "an array"), ('"x"', "text"), ("3", "a number"), ("null", "null"), ("true", "true or")]
)
def test_json_that_is_no_object_is_refused(tmp_path: Path, line: str, kind: str):
    assert f"line 2: expected a JSON object, got {kind}" in str(refusal(tmp_path, '{"id": 1}\n' + line))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"a": NaN}', "NaN is no JSON"),
        ('{"a": Infinity}', "Infinity is no JSON"),
        ('{"a": -Infinity}', "-Infinity is no JSON"),
        ('{"a": 1e999}', "1e999 is larger"),
        ('{"a": 1, "b": 2, "a": 1}', "'a' stands twice"),
        ('{"o": {"k": 1, "k": 2}}', "'k' stands twice"),
        ("[" * 100_000, "levels deep"),
    ],
)
def test_json_beyond_the_strict_rules_is_refused(tmp_path: Path, line: str, reason: str):
    error = refusal(tmp_path, '{"id": 1}\n' + line)
    assert "line 2: " in str(error)
    assert reason in str(error)


def test_a_long_broken_line_is_shown_in_part(tmp_path: Path):
    error = refusal(tmp_path, '{"a": "' + "x" * 100_000 + '" "b"}')
    assert len(str(error)) < 400 + len(str(tmp_path))


@settings(max_examples=40)
@given(st.lists(st.dictionaries(st.text(), st.text() | st.integers() | st.none(), max_size=3), min_size=1, max_size=5))
@example([{"text": "a\u2028b\u2029c\x85d\x1ce\x0bf\rg"}])
def test_what_is_written_takes_one_line_a_row_for_every_reader(tmp_path_factory: Any, rows: list[dict[str, Any]]):
    path = tmp_path_factory.mktemp("jsonl") / "a.jsonl"
    assert write_jsonl(rows, path) == len(rows)
    content = path.read_bytes()
    assert content.decode("utf-8").splitlines() == content.decode("utf-8").removesuffix("\n").split("\n")
    assert [json.loads(line) for line in content.decode("utf-8").splitlines()] == rows
    assert [row.fields for row in read_jsonl(path)] == rows


def test_keys_keep_their_order_and_chinese_stays_readable(tmp_path: Path):
    write_jsonl([{"text": "你好", "id": "1"}], tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == '{"text": "你好", "id": "1"}\n'


def test_no_rows_are_an_empty_file(tmp_path: Path):
    assert write_jsonl([], tmp_path / "a.jsonl") == 0
    assert (tmp_path / "a.jsonl").read_bytes() == b""


def test_reading_takes_one_line_at_a_time(tmp_path: Path):
    rows = read_records(written(tmp_path, '{"id": 1}\n{"id": 2}\nbroken\n'))
    assert [next(rows).record.id, next(rows).record.id] == ["1", "2"]
    with pytest.raises(DataError, match="line 3"):
        next(rows)


def test_a_dash_is_standard_output(capfdbinary: pytest.CaptureFixture[bytes]):
    write_jsonl([{"a": 1}], "-")
    assert capfdbinary.readouterr().out == b'{"a": 1}\n'
