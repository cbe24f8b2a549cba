"""CSV and TSV: a header that names the columns, then a record a row; every cell is text, exactly as written.

A spreadsheet runs a cell that begins with `=`, `+`, `-` or `@` as a formula. The safe formats put an apostrophe before
such a cell, which shows it as text, and list the changed columns of each row in a last column, `postil:escaped`, so
that reading the file takes the apostrophes off again; where nothing was changed there is no such column. Negative
numbers stay as they are. A file from elsewhere has no such column and is read as written.
"""

import csv
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, Literal

from postil.canonical import canonical_json, parse_json
from postil.errors import DataError, FormatError
from postil.formats.format import Format, Row, Source
from postil.formats.replacing import output
from postil.formats.source import MAX_LINE, text_lines
from postil.formats.spool import Spool, spooled
from postil.types import JSON

if TYPE_CHECKING:
    import _csv

__all__ = [
    "CSV",
    "CSV_EXACT",
    "CSV_EXCEL",
    "ESCAPED",
    "TSV",
    "TSV_QUOTED",
    "TSV_RAW",
    "read_csv",
    "read_tsv",
    "write_csv",
    "write_tsv",
]

ESCAPED: Final = "postil:escaped"
"""The column that lists, as a JSON array of names, which cells of its row got an apostrophe."""

_FORMULA: Final = re.compile(r"[=+\-@\t\r\n＝＋－＠]")
_NEGATIVE: Final = re.compile(r"-[0-9]+(\.[0-9]+)?")
_LONE_CR: Final = re.compile(r"(?<=\r)(?!\n)")
_NUMBER: Final = re.compile(r"\s*[-+]?[0-9.]+(e[-+]?[0-9]+)?\s*", re.IGNORECASE)
_FIELD_LIMIT: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Dialect:
    delimiter: str
    quoting: Literal[0, 3] = csv.QUOTE_MINIMAL
    doubted: bool = False
    """Quotes may belong to the text, as in much TSV: a row of several lines that could each be rows is refused."""

    @property
    def name(self) -> str:
        return "TSV" if self.delimiter == "\t" else "CSV"


_COMMA: Final = _Dialect(",")
_TAB: Final = _Dialect("\t", doubted=True)
_TAB_QUOTED: Final = _Dialect("\t")
_TAB_RAW: Final = _Dialect("\t", csv.QUOTE_NONE)


def read_csv(path: Path) -> Iterator[Row]:
    """Yield the rows of a CSV file as records of text: "NA", "null", "001" and "" stay what they are.

    Raises:
        DataError: no header, a row with another number of cells, an open quote, or no UTF-8.
    """
    return _read(path, _COMMA)


def read_tsv(path: Path, *, quotes: Literal["guess", "enclose", "text"] = "guess") -> Iterator[Row]:
    """Yield the rows of a TSV file.

    Quotes `enclose` a cell as in CSV, or are `text` like any other, and then a cell holds no tab or line break. Files
    do not say which. `guess` reads them as in CSV, and refuses the one place where that could swallow records: a cell
    over several lines, each of which would make a row by itself.

    Raises:
        DataError: as `read_csv`.
    """
    return _read(path, {"guess": _TAB, "enclose": _TAB_QUOTED, "text": _TAB_RAW}[quotes])


def _read(path: Path, dialect: _Dialect) -> Iterator[Row]:
    source = Source(path)
    rows = _rows(source, dialect)
    header = next((cells for _, cells in rows if cells), None)
    if header is None:
        return
    _check_header(path, header, dialect)
    safe = ESCAPED in header
    names = [_plain_name(name) for name in header] if safe else header
    for line, cells in rows:
        if not cells or (len(cells) == 1 < len(names) and not cells[0].strip()):
            continue
        if len(cells) != len(names):
            raise _ragged(source, line, names, cells, dialect)
        fields = dict(zip(names, cells, strict=True))
        yield Row(_without_apostrophes(source, line, fields) if safe else fields, line)


def _rows(source: Source, dialect: _Dialect) -> Iterator[tuple[int, list[str]]]:
    marks: list[int] = []
    lines = _counted(_physical_lines(source), dialect.delimiter, marks)
    reader = csv.reader(lines, delimiter=dialect.delimiter, quoting=dialect.quoting, strict=True)
    in_header: int | None = None
    while True:
        begins = reader.line_num + 1
        marks.clear()
        try:
            cells = _next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _broken(source, begins, reader.line_num, error, dialect) from None
        if in_header is None and cells:
            in_header = marks[0]
        if dialect.doubted and len(marks) > 1 and set(marks) == {in_header}:
            raise _doubtful(source, begins, reader.line_num)
        yield begins, cells


def _next(reader: "_csv.Reader") -> list[str]:
    # The limit belongs to the whole process, so it is lent for one row; without it a cell ends at 131 kB.
    with _FIELD_LIMIT:
        limit = csv.field_size_limit(MAX_LINE)
        try:
            return next(reader)
        finally:
            csv.field_size_limit(limit)


def _counted(lines: Iterable[str], delimiter: str, marks: list[int]) -> Iterator[str]:
    """Pass lines on, and note for each how many delimiters it holds."""
    for line in lines:
        marks.append(line.count(delimiter))
        yield line


def _doubtful(source: Source, begins: int, ends: int) -> DataError:
    return DataError(
        f"{source.at(begins)}: a quote that opens here closes in line {ends}, "
        "so these lines are either one record or one each",
        hint="Give the format 'tsv-raw' if quotes are part of the text, 'tsv-quoted' if they enclose cells.",
    )


def _physical_lines(source: Source) -> Iterator[str]:
    for _, text in text_lines(source):
        # Old files end their rows with CR alone.
        yield from filter(None, _LONE_CR.split(text)) if "\r" in text else (text,)


def _broken(source: Source, begins: int, line: int, error: csv.Error, dialect: _Dialect) -> DataError:
    what = str(error)
    raw = " If the quotes belong to the text, give the format 'tsv-raw'." if dialect.delimiter == "\t" else ""
    if "unexpected end of data" in what or "field larger" in what:
        return DataError(
            f"{source.at(begins)}: the row that begins here opens a quote that is not closed by line {line}",
            hint=f'Close the quote; a quote inside a cell is written twice: "".{raw}',
        )
    return DataError(
        f"{source.at(line)}: expected {dialect.name}, got a row that breaks its rules ({what})",
        hint=f'A cell with quotes or line breaks stands in quotes, its own quotes written twice: "".{raw}',
    )


def _ragged(source: Source, line: int, names: Sequence[str], cells: Sequence[str], dialect: _Dialect) -> DataError:
    return DataError(
        f"{source.at(line)}: expected {len(names)} cells, as in the header, got {len(cells)}: {_shown(cells)}",
        hint=f"A cell that holds {dialect.delimiter!r} or a line break must stand in quotes.",
    )


def _check_header(path: Path, header: Sequence[str], dialect: _Dialect) -> None:
    got = f"{path}, line 1"
    if len(header) == 1 and (other := next((mark for mark in ",;\t|" if mark in header[0]), None)):
        advice = "Name the file .tsv." if other == "\t" else "Save it with commas, or convert it to JSON Lines."
        raise DataError(f"{got}: expected cells separated by {dialect.delimiter!r}, got {other!r}", hint=advice)
    if all(_NUMBER.fullmatch(name) for name in header) or any(len(name) > 1000 for name in header):
        raise DataError(
            f"{got}: expected a header with the names of the columns, got {_shown(header)}",
            hint="Add a first line such as: id,text,label",
        )
    if "" in (stripped := [name.strip() for name in header]):
        raise DataError(
            f"{got}: column {stripped.index('') + 1} of the header has no name: {_shown(header)}",
            hint="Name it; for an index that pandas wrote, use to_csv(..., index=False).",
        )
    twice = [name for name in dict.fromkeys(header) if header.count(name) > 1]
    if twice:
        raise DataError(f"{got}: the header names a column twice: {_shown(twice)}", hint="Rename one of them.")


def _shown(cells: Sequence[str]) -> str:
    shown = [cell if len(cell) <= 30 else cell[:29] + "…" for cell in cells[:8]]
    return repr(shown) if len(cells) <= 8 else f"{shown!r} and {len(cells) - 8} more"


def _plain_name(name: str) -> str:
    return name[1:] if name.startswith("'") and _runs(name.lstrip("'")) else name


def _without_apostrophes(source: Source, line: int, cells: dict[str, str]) -> dict[str, str]:
    listed = cells.pop(ESCAPED)
    if not listed:
        return cells
    try:
        names = parse_json(listed)
        changed = {name: cells[name] for name in names}
    except (ValueError, TypeError, KeyError):
        raise DataError(
            f"{source.at(line)}: expected a JSON array of column names in {ESCAPED!r}, got {listed!r}",
            hint=f"Restore the cell, or remove the column {ESCAPED!r} to read every cell as it stands.",
        ) from None
    # A spreadsheet may have taken an apostrophe off itself; then the cell is right already.
    return cells | {name: cell.removeprefix("'") for name, cell in changed.items()}


def write_csv(rows: Iterable[Mapping[str, JSON]], path: Path | str, *, exact: bool = False, mark: bool = False) -> int:
    """Write rows as CSV that is safe to open in a spreadsheet, and return how many. "-" is standard output.

    Text that a spreadsheet would run gets an apostrophe, as the head of this module says; `exact` leaves it as it is,
    for programs. `mark` begins the file with a byte order mark, without which Excel garbles Chinese. What is no text
    is written as JSON, null and a missing column as nothing: only text reads back as the same value.

    Raises:
        DataError: a row is no JSON, or holds a lone surrogate, which UTF-8 cannot.
        FormatError: the file cannot be written; then what stood there before is untouched.
    """
    return _write(rows, path, _COMMA, exact=exact, mark=mark)


def write_tsv(rows: Iterable[Mapping[str, JSON]], path: Path | str, *, exact: bool = False) -> int:
    """Write rows as TSV, otherwise as `write_csv`.

    Raises:
        DataError: as `write_csv`.
        FormatError: as `write_csv`.
    """
    return _write(rows, path, _TAB, exact=exact, mark=False)


def _write(rows: Iterable[Mapping[str, JSON]], path: Path | str, dialect: _Dialect, *, exact: bool, mark: bool) -> int:
    risky: set[str] = set()

    def see(column: str, value: JSON) -> None:
        if column not in risky and (_runs(column) or (isinstance(value, str) and _runs(value))):
            risky.add(column)

    with output(path) as file, spooled(rows, path, see) as spool:
        if ESCAPED in spool.columns:
            raise FormatError(f"a column is called {ESCAPED!r}, which is kept for Postil", hint="Rename the field.")
        if mark:
            file.write(b"\xef\xbb\xbf")
        if spool.columns:
            table = _safe_table(spool) if risky and not exact else _exact_table(spool)
            _write_table(file, table, dialect, path)
    return spool.count


def _exact_table(spool: Spool) -> Iterator[Sequence[str]]:
    yield spool.columns
    for row in spool:
        yield [_cell(row.get(name)) for name in spool.columns]


def _safe_table(spool: Spool) -> Iterator[Sequence[str]]:
    yield [*("'" + name if _runs(name.lstrip("'")) else name for name in spool.columns), ESCAPED]
    for row in spool:
        changed = [name for name, value in row.items() if isinstance(value, str) and _runs(value)]
        cells = ["'" * (name in changed) + _cell(row.get(name)) for name in spool.columns]
        yield [*cells, _cell(changed) if changed else ""]


def _runs(text: str) -> bool:
    return _FORMULA.match(text) is not None and not _NEGATIVE.fullmatch(text)


def _cell(value: JSON) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else canonical_json(value).decode("utf-8")


def _write_table(file: BinaryIO, table: Iterable[Sequence[str]], dialect: _Dialect, path: Path | str) -> None:
    # CR LF as RFC 4180 has it; it also makes the writer put quotes around either of the two.
    writer = csv.writer(_Utf8(file), delimiter=dialect.delimiter, lineterminator="\r\n")
    for number, cells in enumerate(table):
        try:
            writer.writerow(cells)
        except UnicodeEncodeError as error:
            surrogate = error.object[error.start : error.start + 1]
            raise DataError(
                f"{path}: row {number} ({_shown(cells[:1])}) holds the lone surrogate {surrogate!a}, "
                f"which {dialect.name} in UTF-8 cannot",
                hint="Write the format 'jsonl', which can.",
            ) from None


@dataclass(frozen=True, slots=True)
class _Utf8:
    file: BinaryIO

    def write(self, text: str) -> int:
        """Take one row from the writer, so that what cannot be encoded is known by its row."""
        return self.file.write(text.encode("utf-8"))


CSV: Final = Format("csv", "CSV with a header, safe to open in a spreadsheet", (".csv",), "line", read_csv, write_csv)
CSV_EXACT: Final = Format(
    "csv-exact", "CSV, every text as it is, for programs", (), "line", read_csv, partial(write_csv, exact=True)
)
CSV_EXCEL: Final = Format(
    "csv-excel", "CSV for Excel, which needs a mark to read UTF-8", (), "line", read_csv, partial(write_csv, mark=True)
)
TSV: Final = Format("tsv", "tab-separated, quotes as in CSV where beyond doubt", (".tsv",), "line", read_tsv, write_tsv)
TSV_QUOTED: Final = Format(
    "tsv-quoted", "tab-separated, quotes as in CSV", (), "line", partial(read_tsv, quotes="enclose"), write_tsv
)
TSV_RAW: Final = Format(
    "tsv-raw", "tab-separated, quotes are part of the text", (), "line", partial(read_tsv, quotes="text")
)
