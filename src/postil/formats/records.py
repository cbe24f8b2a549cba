"""Files as records, each with the place where it stands."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from postil.canonical import canonical_json, record_id
from postil.errors import DataError, FormatError
from postil.formats.format import Row, Source
from postil.formats.known import format_of
from postil.formats.source import check_file
from postil.types import JSON, Record

__all__ = ["ID", "Located", "Unique", "differing_records", "id_text", "read_records", "read_rows"]

ID = "id"
"""The field that is a record's id unless another is named."""


@dataclass(frozen=True, slots=True)
class Located:
    """A record and where it stands."""

    record: Record
    line: int
    source: Source

    @property
    def place(self) -> str:
        """The place in words: "reviews.jsonl, line 3"."""
        return self.source.at(self.line)


def read_rows(path: Path, *, format: str | None = None) -> tuple[Source, Iterator[Row]]:  # noqa: A002  # its name everywhere
    """Return the rows of a file as they stand, read one by one, and how to say where a row is.

    Raises:
        DataError: there is no such file, or nothing in it can be read; while reading, what is wrong in it and where.
        FormatError: there is no format of that name, or it cannot be read.
    """
    check_file(path)
    chosen = format_of(path, format)
    if chosen.read is None:
        raise FormatError(f"the format {chosen.name!r} can only be written", hint="Choose another format.")
    return Source(path, chosen.unit), _some(path, chosen.read(path))


def _some(path: Path, rows: Iterable[Row]) -> Iterator[Row]:
    empty = True
    for row in rows:
        empty = False
        yield row
    if empty:
        raise DataError(f"{path}: expected records, got none", hint="Check the step that wrote it.")


def read_records(path: Path, *, id_field: str | None = None, format: str | None = None) -> Iterator[Located]:  # noqa: A002
    """Yield the records of a file in its order; one row is in memory at a time, and none is left out.

    A record's id is its field "id", which is then no field of it any more, or the field `id_field`, which stays one;
    without either it is the hash of the fields (`record_id`), so equal records are one.

    Raises:
        DataError: what is wrong, the place, and what to do.
        FormatError: there is no format of that name.
    """
    source, rows = read_rows(path, format=format)
    return (Located(_record(source, row, id_field), row.line, source) for row in rows)


def _record(source: Source, row: Row, id_field: str | None) -> Record:
    name = id_field or ID
    if name not in row.fields:
        if id_field is not None:
            raise _no_id(source, row, id_field)
        return Record(record_id(row.fields), row.fields)
    fields = row.fields if name != ID else {key: value for key, value in row.fields.items() if key != ID}
    return Record(id_text(row.fields[name], name, source.at(row.line)), fields)


def _no_id(source: Source, row: Row, name: str) -> DataError:
    there = ", ".join(map(repr, list(row.fields)[:20])) or "none"
    return DataError(
        f"{source.at(row.line)}: expected the field {name!r}, which holds the id, got the fields {there}",
        hint="Name a field that every record has.",
    )


def id_text(value: JSON, name: str, place: str) -> str:
    """Return an id as text; whole numbers become text, everything else must be text already.

    Raises:
        DataError: the value cannot be an id; the message begins with `place`.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str) or not value.strip():
        got = "nothing" if value is None or value == "" else repr(value)[:60]
        raise DataError(
            f"{place}: expected an id in the field {name!r}, text or a whole number, got {got}",
            hint="Give every record its own id, or remove the field: the id is then made from the content.",
        )
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise DataError(
            f"{place}: the id {value!a} holds half a character (a lone surrogate)", hint="Mend or replace the id."
        )
    return value


def differing_records(id: str, first: str, second: str) -> DataError:  # noqa: A002  # the name of the field
    """Return the error for two records that share an id and differ, given both places in words."""
    return DataError(
        f"two different records have the id {id!r}: {first}, and {second}",
        hint="Give each its own id, or remove one of them. Equal records with one id are merged.",
    )


class Unique:
    """Located records with those left out that came before; `merged` counts them once all were read.

    Remembers a short hash of every record. A journal that has the records already does this without.
    """

    def __init__(self, records: Iterable[Located]) -> None:
        """Take records in any order."""
        self.merged = 0
        self._records = records
        self._seen: dict[str, tuple[bytes, int]] = {}

    def __iter__(self) -> Iterator[Located]:
        """Yield each record once.

        Raises:
            DataError: two different records have one id; the message names both places.
        """
        for located in self._records:
            name, mark = located.record.id, _mark(located.record.fields)
            known = self._seen.get(name)
            if known is None:
                self._seen[name] = mark, located.line
                yield located
            elif known[0] == mark:
                self.merged += 1
            else:
                raise differing_records(name, located.source.at(known[1]), located.place)


def _mark(fields: Mapping[str, JSON]) -> bytes:
    return hashlib.blake2b(canonical_json(fields), digest_size=16).digest()
