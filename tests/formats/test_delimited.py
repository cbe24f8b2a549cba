"""CSV and TSV: text stays as written, rules are strict, and a spreadsheet runs nothing."""

import csv
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postil.errors import DataError, FormatError
from postil.formats import ESCAPED, write_csv, write_jsonl, write_tsv
from postil.formats.delimited import read_csv, read_tsv

FORMULAS = ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "＝1+1", "＋1", "－1", "＠x", "=", "-", "-1-2"]


def written(tmp_path: Path, content: str | bytes, name: str = "a.csv") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [dict(row.fields) for row in read_csv(path)]


def refusal(tmp_path: Path, content: str | bytes, name: str = "a.csv") -> DataError:
    path = written(tmp_path, content, name)
    with pytest.raises(DataError) as caught:
        list(read_tsv(path) if name.endswith(".tsv") else read_csv(path))
    assert str(path) in str(caught.value)
    assert caught.value.hint
    return caught.value


def test_every_cell_is_the_text_that_was_written(tmp_path: Path):
    cells = ["NA", "None", "null", "nan", "no", "off", "001", "1e3", "-5", "true", "", " x ", "2020-01-01", "'=1", "=1"]
    path = written(tmp_path, "id,text\n" + "".join(f"{n},{cell}\n" for n, cell in enumerate(cells)))
    assert [row["text"] for row in rows(path)] == cells


def test_rows_carry_the_line_where_they_begin(tmp_path: Path):
    path = written(tmp_path, b'\xef\xbb\xbfid,text\r\n1,a\r\n\r\n2,"b\r\nb\nb"\r\n3,c\r\n')
    assert [(row.line, row.fields["text"]) for row in read_csv(path)] == [(2, "a"), (4, "b\r\nb\nb"), (7, "c")]


def test_rows_that_end_in_cr_alone_are_rows(tmp_path: Path):
    path = written(tmp_path, b'id,text\r1,a\r2,"b\rb"\r3,c')
    assert [row["text"] for row in rows(path)] == ["a", "b\rb", "c"]


def test_unicode_separators_end_no_row(tmp_path: Path):
    assert rows(written(tmp_path, "text\na\u2028b\x85c\x0bd\n")) == [{"text": "a\u2028b\x85c\x0bd"}]


def test_nul_and_quotes_in_cells_are_kept(tmp_path: Path):
    assert rows(written(tmp_path, 'id,text\n1,a\0b\n2,"say ""hi"""\n3,5" disk\n')) == [
        {"id": "1", "text": "a\0b"},
        {"id": "2", "text": 'say "hi"'},
        {"id": "3", "text": '5" disk'},
    ]


def test_an_empty_cell_in_quotes_is_a_record_and_a_blank_line_is_none(tmp_path: Path):
    assert rows(written(tmp_path, 'text\n""\n\nx\n')) == [{"text": ""}, {"text": "x"}]
    assert len(rows(written(tmp_path, "id,text\n1,a\n   \n2,b\n"))) == 2


@pytest.mark.parametrize("cells", ["2", "2,b,c", "2,b,"])
def test_a_row_with_another_number_of_cells_is_refused(tmp_path: Path, cells: str):
    error = refusal(tmp_path, f"id,text\n1,a\n{cells}\n")
    assert f"line 3: expected 2 cells, as in the header, got {cells.count(',') + 1}" in str(error)
    assert "quotes" in error.hint


@pytest.mark.parametrize(
    ("header", "what"),
    [
        ("1,2.5", "expected a header with the names"),
        ("x" * 2000 + ",y", "expected a header with the names"),
        (",text", "column 1 of the header has no name"),
        ("id,  ,text", "column 2 of the header has no name"),
        ("id,text,text", "names a column twice: ['text']"),
        ("id;text", "expected cells separated by ',', got ';'"),
        ("id\ttext", "expected cells separated by ',', got '\\t'"),
    ],
)
def test_a_header_that_names_no_columns_is_refused(tmp_path: Path, header: str, what: str):
    error = refusal(tmp_path, f"{header}\n1,2\n")
    assert "line 1: " in str(error)
    assert what in str(error)


def test_a_quote_that_is_never_closed_is_named_where_it_opens(tmp_path: Path):
    error = refusal(tmp_path, 'id,text\n1,a\n2,"b\n3,c\n4,d\n')
    assert "line 3: the row that begins here opens a quote that is not closed" in str(error)
    assert '""' in error.hint


def test_text_after_a_closing_quote_is_refused(tmp_path: Path):
    assert "line 2: expected CSV" in str(refusal(tmp_path, 'id,text\n1,"a"b\n'))
    assert "line 3: expected CSV" in str(refusal(tmp_path, 'id,text\n1,"a\n2,"b"\n'))


def test_quotes_in_tsv_enclose_a_cell_as_in_csv(tmp_path: Path):
    path = written(tmp_path, 'id\ttext\n1\t"a\tb"\n2\t"a\nb"\n', "a.tsv")
    assert [row.fields["text"] for row in read_tsv(path)] == ["a\tb", "a\nb"]
    assert "tsv-raw" in refusal(tmp_path, 'id\ttext\n1\t"so it goes\n', "b.tsv").hint


def test_quotes_in_tsv_that_could_swallow_a_record_must_be_explained(tmp_path: Path):
    error = refusal(tmp_path, 'id\ttext\n1\t"so it goes\n2\tb"\n', "a.tsv")
    assert "line 2: a quote that opens here closes in line 3" in str(error)
    assert "'tsv-raw'" in error.hint
    assert "'tsv-quoted'" in error.hint
    path = tmp_path / "a.tsv"
    assert [row.fields["text"] for row in read_tsv(path, quotes="text")] == ['"so it goes', 'b"']
    assert [row.fields["text"] for row in read_tsv(path, quotes="enclose")] == ["so it goes\n2\tb"]


def test_a_tsv_with_commas_is_recognised(tmp_path: Path):
    assert "got ','" in str(refusal(tmp_path, "id,text\n1,a\n", "a.tsv"))


def test_reading_leaves_the_process_wide_limit_of_csv_alone(tmp_path: Path):
    before = csv.field_size_limit()
    path = written(tmp_path, "text\n" + "x" * (before + 10) + "\ny\n")
    first = read_csv(path)
    assert len(next(first).fields["text"]) == before + 10
    assert csv.field_size_limit() == before
    list(first)
    assert csv.field_size_limit() == before


def test_long_cells_are_read_by_several_threads_at_once(tmp_path: Path):
    path = written(tmp_path, "text\n" + ("x" * 200_000 + "\n") * 20)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(len(rows(path)))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [20] * 4


@pytest.mark.parametrize("text", FORMULAS)
@pytest.mark.parametrize("write", [write_csv, write_tsv])
def test_text_that_a_spreadsheet_would_run_begins_with_an_apostrophe(tmp_path: Path, text: str, write: Any):
    path = tmp_path / "a.csv"
    write([{"id": "1", "text": text}, {"id": "2", "text": "plain"}], path)
    with path.open(newline="", encoding="utf-8") as file:
        table = list(csv.reader(file, delimiter="\t" if write is write_tsv else ","))
    assert table == [["id", "text", ESCAPED], ["1", "'" + text, '["text"]'], ["2", "plain", ""]]


def test_a_file_without_formulas_has_no_extra_column_and_negative_numbers_stay(tmp_path: Path):
    write_csv([{"id": "1", "text": "a=b", "n": -5, "f": -0.5, "t": "-12.5"}], tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "id,text,n,f,t\n1,a=b,-5,-0.5,-12.5\n"


def test_column_names_that_a_spreadsheet_would_run_are_made_safe_too(tmp_path: Path):
    there = [{"=cmd": "x", "'=cmd": "y", "'x": "z"}]
    write_csv(there, tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text().startswith(f"'=cmd,''=cmd,'x,{ESCAPED}\n")
    assert rows(tmp_path / "a.csv") == there


def test_an_apostrophe_that_a_spreadsheet_took_off_is_not_missed(tmp_path: Path):
    path = written(tmp_path, f'{ESCAPED},text\n"[""text""]",\'=1\n"[""text""]",=1\n,\'=1\n')
    assert [row["text"] for row in rows(path)] == ["=1", "=1", "'=1"]


@pytest.mark.parametrize("listed", ["text", '["nope"]', "3", "[[]]"])
def test_a_spoilt_list_of_changed_cells_is_refused(tmp_path: Path, listed: str):
    quoted = listed.replace('"', '""')
    error = refusal(tmp_path, f'text,{ESCAPED}\n\'=1,"{quoted}"\n')
    assert f"line 2: expected a JSON array of column names in {ESCAPED!r}" in str(error)


def test_the_exact_csv_changes_no_text(tmp_path: Path):
    there = [{"text": text} for text in FORMULAS]
    write_csv(there, tmp_path / "a.csv", exact=True)
    with (tmp_path / "a.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == there
    assert rows(tmp_path / "a.csv") == there


def test_the_csv_for_excel_begins_with_a_mark_that_reading_drops(tmp_path: Path):
    write_csv([{"text": "你好"}], tmp_path / "a.csv", mark=True)
    assert (tmp_path / "a.csv").read_bytes().startswith(b"\xef\xbb\xbftext")
    assert rows(tmp_path / "a.csv") == [{"text": "你好"}]


def test_what_is_no_text_is_written_as_json_and_null_as_nothing(tmp_path: Path):
    row = {"a": None, "b": True, "c": 2**70, "d": {"z": 1, "y": ["é", None]}, "e": [], "f": 1.0}
    write_csv([row], tmp_path / "a.csv")
    assert rows(tmp_path / "a.csv") == [
        {"a": "", "b": "true", "c": "1180591620717411303424", "d": '{"y":["é",null],"z":1}', "e": "[]", "f": "1.0"}
    ]


def test_rows_with_other_columns_share_one_header(tmp_path: Path):
    write_csv(({"a": "2", "b": "3"} if n % 2 else {"a": "1"} for n in range(3)), tmp_path / "a.csv")
    assert (tmp_path / "a.csv").read_text() == "a,b\n1,\n2,3\n1,\n"


def test_a_lone_surrogate_is_refused_by_row_and_leaves_the_old_file(tmp_path: Path):
    path = written(tmp_path, "old")
    with pytest.raises(DataError, match=r"row 2 \(\['x2'\]\) holds the lone surrogate '\\ud800'") as caught:
        write_csv([{"id": "x1", "t": "fine"}, {"id": "x2", "t": "a\ud800"}], path)
    assert "jsonl" in caught.value.hint
    assert path.read_text() == "old"
    assert [there.name for there in tmp_path.iterdir()] == ["a.csv"]
    write_jsonl([{"id": "x2", "t": "a\ud800"}], tmp_path / "a.jsonl")


def test_the_name_of_the_list_of_changed_cells_is_kept_for_it(tmp_path: Path):
    with pytest.raises(FormatError, match=ESCAPED):
        write_csv([{ESCAPED: "x"}], tmp_path / "a.csv")


def test_no_rows_are_an_empty_file(tmp_path: Path):
    assert write_csv(iter(()), tmp_path / "a.csv") == 0
    assert (tmp_path / "a.csv").read_bytes() == b""


@settings(max_examples=40)
@given(st.lists(st.lists(st.text(), min_size=2, max_size=2), min_size=1, max_size=6))
def test_another_reader_sees_the_same_cells(tmp_path_factory: Any, cells: list[list[str]]):
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    write_csv(({"a": a, "b": b} for a, b in cells), path, exact=True)
    with path.open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file, strict=True))[1:] == cells
