"""Parquet tables, through DuckDB (the extra `parquet`). Nothing in a file can run code: there are no foreign types."""

import datetime as dt
import decimal
import json
import math
import tempfile
import uuid
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from postil.canonical import parse_json
from postil.errors import DataError, FormatError, MissingExtraError
from postil.formats.format import STDOUT, Format, Row, Source
from postil.formats.replacing import replacing
from postil.formats.spool import Spool, spooled
from postil.types import JSON

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

__all__ = ["PARQUET", "parquet_metadata", "read_parquet", "write_parquet"]

_BATCH_ROWS: Final = 1000
_BATCH_CHARACTERS: Final = 8_000_000
_GROUP_BYTES: Final = 64_000_000
_GROUP_ROWS: Final = (2048, 122_880)


def _duckdb(purpose: str) -> ModuleType:
    try:
        import duckdb  # noqa: PLC0415  # heavy, and an extra
    except ImportError:
        raise MissingExtraError(purpose, "parquet") from None
    return duckdb


@contextmanager
def _connection(duckdb: ModuleType) -> "Generator[DuckDBPyConnection]":
    # No extension is fetched: nothing of this may touch the network.
    settings = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "threads": "1"}
    with (
        tempfile.TemporaryDirectory(prefix="postil-") as spill,
        duckdb.connect(":memory:", config={**settings, "memory_limit": "1GB", "temp_directory": spill}) as connection,
    ):
        yield connection


def read_parquet(path: Path) -> Iterator[Row]:
    """Yield the rows of a Parquet file; dates and times become ISO 8601 text, null stays null.

    Raises:
        DataError: the file is broken, or a value has no JSON form: NaN, bytes.
        MissingExtraError: DuckDB is not installed.
    """
    duckdb = _duckdb("reading Parquet")
    source = Source(path, "row")
    with _connection(duckdb) as connection:
        try:
            columns, cursor = _open_table(connection, path)
            number = 0
            while rows := cursor.fetchmany(_BATCH_ROWS):
                for cells in rows:
                    number += 1
                    yield Row(_fields(source, number, columns, cells), number)
        except duckdb.Error as error:
            raise DataError(
                f"{path}: expected a whole Parquet file, got one that cannot be read ({_first_line(error)})",
                hint="Check that it was written or copied to the end; write it again, or use JSON Lines.",
            ) from error


def parquet_metadata(path: Path) -> dict[str, str]:
    """Return what the writer of a Parquet file left in it by name: keys and values that are text.

    Raises:
        DataError: the file is broken.
        MissingExtraError: DuckDB is not installed.
    """
    duckdb = _duckdb("reading Parquet")
    with _connection(duckdb) as connection:
        try:
            held = connection.execute("SELECT key, value FROM parquet_kv_metadata($1)", [_literal(path)]).fetchall()
        except duckdb.Error as error:
            raise DataError(f"{path}: expected a whole Parquet file ({_first_line(error)})") from error
    return {bytes(key).decode("utf-8", "replace"): bytes(value).decode("utf-8", "replace") for key, value in held}


_Column = tuple[str, str]
"""Name and DuckDB type."""


def _open_table(connection: "DuckDBPyConnection", path: Path) -> "tuple[Sequence[_Column], DuckDBPyConnection]":
    literal = _literal(path)
    # A file name is data: no `key=value` folders that add columns.
    table = "read_parquet($1, hive_partitioning = false, binary_as_string = true)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {table}", [literal]).fetchall()  # noqa: S608  # a constant
    columns = [(str(name), str(kind)) for name, kind, *_ in described]
    # DuckDB hands out times with a zone only where pytz is installed; microseconds need nobody.
    chosen = [f"epoch_us({_quoted(name)})" if _zoned(kind) else _quoted(name) for name, kind in columns]
    query = f"SELECT {', '.join(chosen)} FROM {table}"  # noqa: S608  # names are quoted
    return columns, connection.execute(query, [literal])


def _literal(path: Path) -> str:
    # A file name is data: no pattern of names.
    return "".join(f"[{character}]" if character in "*?[" else character for character in str(path.absolute()))


def _zoned(kind: str) -> bool:
    return kind == "TIMESTAMP WITH TIME ZONE"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: Exception) -> str:
    line = str(error).split("\n", 1)[0]
    return line.split(" Error: ", 1)[-1]


def _fields(source: Source, number: int, columns: Sequence[_Column], cells: Sequence[Any]) -> dict[str, JSON]:
    fields: dict[str, JSON] = {}
    for (name, kind), cell in zip(columns, cells, strict=True):
        try:
            fields[name] = _typed(cell, kind)
        except ValueError as error:
            raise DataError(
                f"{source.at(number)}, column {name!r}: expected text, a number or another JSON value, got {error}",
                hint="Leave the column out, or write null for a missing number.",
            ) from None
    return fields


def _typed(cell: Any, kind: str) -> JSON:
    if cell is None:
        return None
    if kind == "JSON":
        return parse_json(cell)
    if _zoned(kind):
        return (_EPOCH + dt.timedelta(microseconds=cell)).isoformat()
    return _json(cell)


_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def _json(cell: Any) -> JSON:
    match cell:
        case None | str() | bool() | int():
            return cell
        case float():
            if not math.isfinite(cell):
                raise ValueError(repr(cell))
            return cell
        case decimal.Decimal():
            return _number(cell)
        case dt.datetime() | dt.date() | dt.time():
            return cell.isoformat()
        case dt.timedelta() | uuid.UUID():
            return str(cell)
        case list() | tuple():
            return [_json(held) for held in cell]
        case dict():
            return {str(key): _json(held) for key, held in cell.items()}
        case _:
            raise ValueError(f"{type(cell).__name__}")


def _number(value: decimal.Decimal) -> JSON:
    if value == value.to_integral_value():
        return int(value)
    # Text where a float would be another number.
    return float(value) if decimal.Decimal(repr(float(value))) == value else str(value)


def write_parquet(rows: Iterable[Mapping[str, JSON]], path: Path | str) -> int:
    """Write rows as a Parquet table and return how many.

    A column of text is text, of whole numbers BIGINT, of numbers DOUBLE, of true and false BOOLEAN; everything else,
    objects and arrays and mixtures, is a column of the Parquet type JSON, which `read_parquet` takes apart again.
    A missing column becomes null.

    Raises:
        DataError: a row is no JSON, or holds a lone surrogate, which Parquet cannot.
        FormatError: the file cannot be written; then what stood there before is untouched.
        MissingExtraError: DuckDB is not installed.
    """
    if str(path) == STDOUT:
        raise FormatError("Parquet cannot be written to standard output", hint="Name a file.")
    kinds: dict[str, set[str]] = {}

    def see(column: str, value: JSON) -> None:
        if value is not None:
            kinds.setdefault(column, set()).add(_kind(value))

    duckdb = _duckdb("writing Parquet")
    with replacing(path) as temporary, spooled(rows, path, see) as spool, _connection(duckdb) as connection:
        types = {column: _type(kinds.get(column, set())) for column in spool.columns}
        _check_columns(path, types)
        try:
            _copy(connection, temporary, types, spool, _batches(path, spool, types))
        except duckdb.Error as error:
            raise FormatError(f"cannot write {path}: {_first_line(error)}", hint="Write JSON Lines.") from error
    return spool.count


def _kind(value: JSON) -> str:
    match value:
        case str():
            return "text"
        case bool():
            return "truth"
        case float():
            return "fraction"
        case int() if abs(value) <= 2**53:
            return "whole"
        case int() if -(2**63) <= value < 2**63:
            return "wide"
        case _:
            return "other"


def _type(kinds: set[str]) -> str:
    if kinds <= {"text"}:
        return "VARCHAR"
    if kinds == {"truth"}:
        return "BOOLEAN"
    if kinds <= {"whole", "wide"}:
        return "BIGINT"
    return "DOUBLE" if kinds <= {"whole", "fraction"} else "JSON"


def _check_columns(path: Path | str, columns: Iterable[str]) -> None:
    names = list(columns)
    if not names:
        raise FormatError(f"cannot write {path}: no rows, and a Parquet table needs columns", hint="Nothing to write.")
    seen: dict[str, str] = {}
    for name in names:
        if name.lower() in seen or not name:
            other = f"{seen[name.lower()]!r} and {name!r} differ only in case" if name else "a column has no name"
            raise FormatError(f"cannot write {path}: {other}", hint="Rename the field, or write JSON Lines.")
        seen[name.lower()] = name


def _copy(
    connection: "DuckDBPyConnection",
    target: Path,
    types: Mapping[str, str],
    spool: Spool,
    batches: Iterable[list[list[JSON]]],
) -> None:
    columns = ", ".join(f"{_quoted(name)} {kind}" for name, kind in types.items())
    values = ", ".join(
        f"unnest(${number}::{'VARCHAR' if kind == 'JSON' else kind}[])::{kind}"
        for number, kind in enumerate(types.values(), start=1)
    )
    connection.execute(f"CREATE TABLE written ({columns})")
    for batch in batches:
        connection.execute(f"INSERT INTO written SELECT {values}", batch)
    # Rows of megabytes in groups of the usual size would not fit the memory.
    low, high = _GROUP_ROWS
    group = min(high, max(low, _GROUP_BYTES * spool.count // spool.bytes))
    to = str(target).replace("'", "''")
    connection.execute(f"COPY written TO '{to}' (FORMAT parquet, ROW_GROUP_SIZE {group}, USE_TMP_FILE false)")


def _batches(path: Path | str, spool: Spool, types: Mapping[str, str]) -> Iterator[list[list[JSON]]]:
    """Yield some rows at a time, turned into columns."""
    batch: list[list[JSON]] = [[] for _ in types]
    characters = 0
    for number, row in enumerate(spool, start=1):
        for column, (name, kind) in zip(batch, types.items(), strict=True):
            cell = _cell(path, number, name, row.get(name), kind)
            column.append(cell)
            characters += len(cell) if isinstance(cell, str) else 0
        if len(batch[0]) >= _BATCH_ROWS or characters >= _BATCH_CHARACTERS:
            yield batch
            batch, characters = [[] for _ in types], 0
    if batch[0]:
        yield batch


def _cell(path: Path | str, number: int, column: str, value: JSON, kind: str) -> JSON:
    if value is None or kind not in {"VARCHAR", "JSON"}:
        return value
    text = value if kind == "VARCHAR" else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"{path}: row {number}, column {column!r} holds the lone surrogate {text[error.start]!a}, "
            "which Parquet cannot",
            hint="Write the format 'jsonl', which can.",
        ) from None
    return text


PARQUET: Final = Format("parquet", "Parquet table", (".parquet", ".pq"), "row", read_parquet, write_parquet)
