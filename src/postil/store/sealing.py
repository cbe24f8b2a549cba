"""Rows that vouch for each other: each is sealed together with the seal of the row before it.

A seal is the first 32 hexadecimal digits of the SHA-256 of a JSON array, written as `postil.canonical` writes JSON: the
seal of the row before ("" for the first row of a table), then the row's columns in their order. A row that is changed
no longer fits its seal, and a row that is removed leaves a gap in the numbers. Seals are no secret: whoever rewrites
all of them can deceive `verify`, but not somebody who kept the last ones (`Journal.heads`) elsewhere.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import apsw

FIRST_SEAL: Final = ""
TABLES: Final = ("record", "gold", "gold_role", "annotator", "intent", "reply", "outcome", "event")

_BUFFER: Final = 256
# Rows that one statement adds: each statement hands the interpreter to other threads and back.
_TOGETHER: Final = (32, 8, 1)
_JSON: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":"))


def sealed(before: str, row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row as it is stored, its seal at the end."""
    text = _JSON.encode((before, *row))
    try:
        written = text.encode()
    except UnicodeEncodeError:
        written = text.encode("utf-8", "backslashreplace")
        row = tuple(map(storable, row))
    return (*row, hashlib.sha256(written).hexdigest()[:32])


def storable(value: Any) -> Any:
    """Return what SQLite can hold: text with half a character (a lone surrogate) becomes bytes."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return value.encode("utf-8", "surrogatepass")
    return value


def restored(row: Sequence[Any]) -> tuple[Any, ...]:
    """Return a row as it was before `storable`."""
    if not any(value.__class__ is bytes for value in row):
        return tuple(row)
    return tuple(value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value for value in row)


class Appender:
    """Adds rows to the ends of tables, within one transaction of the connection."""

    def __init__(self, connection: apsw.Connection, *, first_holds: bool = False) -> None:
        """Add to the tables of a connection; `flush` before the transaction ends.

        `first_holds` asks those who add a row that there may be one of to look whether it is there.
        """
        self.first_holds = first_holds
        self._connection = connection
        self._tails: dict[str, _Tail] = {}

    def add(self, table: str, *columns: Any) -> int:
        """Add a row, given its columns without number and seal, and return its number."""
        tail = self._tails.get(table)
        if tail is None:
            tail = self._tails[table] = _Tail(self._connection, table)
        return tail.add(columns)

    def find(self, query: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a query, which sees what was added."""
        self.flush()
        return self._connection.execute(query, tuple(map(storable, bindings))).fetchall()

    def flush(self) -> None:
        """Write what was added."""
        for tail in self._tails.values():
            tail.flush()


class _Tail:
    """The end of one table."""

    __slots__ = ("_connection", "_number", "_rows", "_seal", "_table")

    def __init__(self, connection: apsw.Connection, table: str) -> None:
        self._connection = connection
        self._table = table
        self._rows: list[tuple[Any, ...]] = []
        self._number, self._seal = head(connection, table)

    def add(self, columns: tuple[Any, ...]) -> int:
        self._number += 1
        row = sealed(self._seal, (self._number, *columns))
        self._seal = row[-1]
        self._rows.append(row)
        if len(self._rows) >= _BUFFER:
            self.flush()
        return self._number

    def flush(self) -> None:
        at = 0
        for together in _TOGETHER:
            while len(self._rows) - at >= together:
                rows = self._rows[at : at + together]
                self._connection.execute(_insert(self._table, len(rows[0]), together), [v for row in rows for v in row])
                at += together
        self._rows.clear()


def _insert(table: str, columns: int, rows: int) -> str:
    row = f"({','.join('?' * columns)})"
    return f"INSERT INTO {table} VALUES {','.join([row] * rows)}"  # noqa: S608 - tables are ours


def head(connection: apsw.Connection, table: str) -> tuple[int, str]:
    """Return the number and seal of a table's last row; 0 and "" of an empty one."""
    statement = f"SELECT seq, seal FROM {table} ORDER BY seq DESC LIMIT 1"  # noqa: S608 - tables are ours
    rows: list[Any] = connection.execute(statement).fetchall()
    return rows[0] if rows else (0, FIRST_SEAL)


def broken(table: str, rows: Iterator[tuple[Any, ...]]) -> Iterator[str]:
    """Return what is wrong in all rows of a table, in words."""
    before, expected = FIRST_SEAL, 1
    for stored in rows:
        *columns, found = stored
        number = columns[0]
        if isinstance(number, int) and number > expected:
            last = number - 1
            yield f"{table} {expected}{f' to {last}' if last > expected else ''}: removed"
        elif sealed(before, tuple(columns))[-1] != found:
            yield f"{table} {number}: changed after it was written, or the row before it was"
        before, expected = found, number + 1
