"""Files that cannot be read: one error each, with what was expected, what came, where, and what to do."""

import os
from pathlib import Path

import pytest

from postil.errors import DataError, FormatError, InputError
from postil.formats import read_records
from postil.formats.encodings import guess_encoding, utf16_without_mark
from postil.formats.source import MAX_LINE

CHINESE = "我们昨天在北京看了一场很好的电影，大家都非常高兴。"


def refusal(path: Path, content: bytes | None = None, *, format_name: str | None = None) -> InputError:
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        list(read_records(path, format=format_name))
    assert str(path) in str(caught.value) or format_name
    assert caught.value.hint
    assert "\n" not in caught.value.args[0]
    return caught.value


def test_a_missing_file_is_named_with_the_nearest_that_exists(tmp_path: Path):
    (tmp_path / "reviews.jsonl").write_text("{}")
    error = refusal(tmp_path / "review.jsonl")
    assert isinstance(error, DataError)
    assert "no file" in str(error)
    assert f"Is it {tmp_path / 'reviews.jsonl'}?" in error.hint


def test_a_missing_folder_is_said(tmp_path: Path):
    assert f"no folder {tmp_path / 'gone'}" in refusal(tmp_path / "gone" / "a.csv").hint


def test_the_error_comes_when_reading_is_asked_for_not_at_the_first_record(tmp_path: Path):
    with pytest.raises(DataError, match="no file"):
        read_records(tmp_path / "a.jsonl")


def test_a_folder_is_no_file(tmp_path: Path):
    (tmp_path / "a.jsonl").mkdir()
    assert "expected a file, got the folder" in str(refusal(tmp_path / "a.jsonl"))


def test_a_pipe_is_no_file(tmp_path: Path):
    os.mkfifo(tmp_path / "a.jsonl")
    assert "device or pipe" in str(refusal(tmp_path / "a.jsonl"))


def test_a_path_with_a_nul_is_refused():
    with pytest.raises(DataError, match=r"cannot open|no file"):
        read_records(Path("a\0b.jsonl"))


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet"])
def test_an_empty_file_holds_no_records(tmp_path: Path, name: str):
    assert "is empty, expected records" in str(refusal(tmp_path / name, b""))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", b"\n \t\r\n\n"),
        ("a.jsonl", b"\xef\xbb\xbf"),
        ("a.json", b" [ ] "),
        ("a.csv", b"id,text\r\n"),
        ("a.csv", b"\n\n"),
        ("a.tsv", b"id\ttext\n\n"),
    ],
)
def test_a_file_without_records_is_refused(tmp_path: Path, name: str, content: bytes):
    assert "expected records, got none" in str(refusal(tmp_path / name, content))


@pytest.mark.parametrize("name", ["a.xlsx", "a", "a.txt"])
def test_an_unknown_ending_lists_the_known_ones(tmp_path: Path, name: str):
    error = refusal(tmp_path / name, b"{}")
    assert ".jsonl, .ndjson, .json, .csv, .tsv, .parquet" in str(error)
    assert "csv-exact" in error.hint


def test_an_unknown_format_lists_the_known_ones(tmp_path: Path):
    error = refusal(tmp_path / "a.jsonl", b"{}", format_name="xml")
    assert isinstance(error, FormatError)
    assert "no format 'xml'" in str(error)
    assert "jsonl, json, csv" in error.hint


def test_a_named_format_is_stronger_than_the_ending(tmp_path: Path):
    (tmp_path / "a.txt").write_text('{"id": 7, "text": "x"}\n')
    assert [located.record.id for located in read_records(tmp_path / "a.txt", format="jsonl")] == ["7"]


def test_the_ending_is_known_in_capitals_too(tmp_path: Path):
    (tmp_path / "A.JSONL").write_text('{"id": 7}\n')
    assert next(read_records(tmp_path / "A.JSONL")).record.id == "7"


@pytest.mark.parametrize("codec", ["utf-16", "utf-32"])
def test_a_byte_order_mark_names_the_encoding_and_how_to_convert_it(tmp_path: Path, codec: str):
    path = tmp_path / "my reviews.csv"
    error = refusal(path, f"id,text\n1,{CHINESE}\n".encode(codec))
    name = codec.upper()
    assert f"expected UTF-8, got {name}" in str(error)
    assert error.hint == f"Convert it: iconv -f {name} -t UTF-8 '{path}' > '{tmp_path / 'my reviews.utf8.csv'}'"


@pytest.mark.parametrize(("codec", "name"), [("utf-16-le", "UTF-16LE"), ("utf-16-be", "UTF-16BE")])
def test_utf16_without_a_mark_is_recognised(tmp_path: Path, codec: str, name: str):
    assert f"looks like {name}" in str(refusal(tmp_path / "a.jsonl", '{"id": "1", "text": "hello"}\n'.encode(codec)))


@pytest.mark.parametrize(
    ("text", "codec", "name"),
    [
        (CHINESE, "gb18030", "GB18030"),
        (CHINESE, "gbk", "GB18030"),
        ("我們昨天在臺北看了一場很好的電影，大家都非常高興。", "big5", "BIG5"),
        ("昨日は東京でとても良い映画を見ました。", "shift_jis", "SHIFT_JIS"),
        ("Ein schöner Film über Köln, déjà vu à la carte", "latin-1", "WINDOWS-1252"),
        ("the “best” café", "cp1252", "WINDOWS-1252"),
    ],
)
@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_another_encoding_is_guessed_and_the_place_said(tmp_path: Path, text: str, codec: str, name: str, ending: str):
    lines = {"jsonl": '{{"id": 1}}\n{{"text": "{}"}}\n', "csv": 'text\n"{}"\n'}[ending].format(text)
    error = refusal(tmp_path / f"a.{ending}", lines.encode(codec))
    before = lines.encode(codec).split(b"\n")[1]
    first = next(place for place, byte in enumerate(before, start=1) if byte > 0x7F)
    assert f"line 2, byte {first}: expected UTF-8, got the byte 0x{before[first - 1]:02X}" in str(error)
    assert f"looks like {name}" in str(error)
    assert f"iconv -f {name} -t UTF-8" in error.hint


def test_utf8_with_one_broken_byte_is_called_damaged_not_another_encoding(tmp_path: Path):
    content = f'{{"text": "{CHINESE}"}}\n'.encode() + b'{"text": "ab\xffcd"}\n'
    error = refusal(tmp_path / "a.jsonl", content)
    assert "line 2, byte 13" in str(error)
    assert "UTF-8 elsewhere" in str(error)
    assert "iconv -c -f UTF-8 -t UTF-8" in error.hint


def test_text_cut_inside_a_character_is_refused(tmp_path: Path):
    assert "line 1, byte 13" in str(refusal(tmp_path / "a.jsonl", b'{"text": "ab\xe4\xbd'))


@pytest.mark.parametrize(
    ("content", "what", "advice"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "Git LFS pointer", "git lfs pull"),
        (b"\x1f\x8b\x08\x00abc", "gzip", "gunzip"),
        (b"PK\x03\x04abc", "Excel", "CSV"),
        (b"PAR1abcPAR1", "Parquet", ".parquet"),
        (b"SQLite format 3\0", "SQLite", "CSV"),
        (b"\n<!DOCTYPE html><html>", "web page", "login"),
    ],
)
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json"])
def test_a_file_of_another_kind_is_recognised(tmp_path: Path, name: str, content: bytes, what: str, advice: str):
    error = refusal(tmp_path / name, content)
    assert what in str(error)
    assert advice in error.hint


def test_a_line_without_end_is_refused_before_it_fills_the_memory(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    with path.open("wb") as file:
        file.write(b'{"id": 1}\n{"text": "')
        file.seek(2 * MAX_LINE)  # a hole: the file takes no room
        file.write(b'"}\n')
    assert "line 2: longer than 100 MB" in str(refusal(path))


def test_a_text_of_ten_megabytes_is_read_whole(tmp_path: Path):
    text = "好x" * 2_500_000
    (tmp_path / "a.jsonl").write_text(f'{{"text": "{text}"}}\n', encoding="utf-8")
    (tmp_path / "a.csv").write_text(f'text\n"{text}"\n', encoding="utf-8")
    for name in ("a.jsonl", "a.csv"):
        assert next(read_records(tmp_path / name)).record.fields == {"text": text}


def test_bytes_that_are_plain_text_are_not_taken_for_utf16():
    assert utf16_without_mark(b'{"text": "a\\u0000b"}' * 10) is None
    assert utf16_without_mark(b"a\0b\0c" + b"d" * 100) is None
    assert utf16_without_mark(b"a") is None


def test_what_no_other_encoding_explains_is_called_latin():
    assert guess_encoding(b"caf\xe9 \x81 and more") == "ISO-8859-1"
