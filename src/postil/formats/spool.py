"""A stream of rows laid down on disk, to be read again once its columns are known; memory stays flat."""

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from postil.canonical import plain_json
from postil.formats.format import STDOUT
from postil.formats.replacing import unwritable
from postil.types import JSON

__all__ = ["Spool", "spooled"]


@dataclass(frozen=True, slots=True)
class Spool:
    """Rows on disk."""

    file: BinaryIO
    columns: tuple[str, ...]
    """Every key of any row, in the order in which they first came."""
    count: int
    bytes: int

    def __iter__(self) -> Iterator[Mapping[str, JSON]]:
        """Yield the rows in their order, from the first."""
        self.file.seek(0)
        return map(json.loads, self.file)


@contextlib.contextmanager
def spooled(rows: Iterable[Mapping[str, JSON]], path: Path | str, see: Callable[[str, JSON], None]) -> Generator[Spool]:
    """Lay rows down in a nameless file beside `path`; `see` is told the column and the value of each cell.

    Raises:
        DataError: a row is no JSON.
        FormatError: the disk takes no more.
    """
    with _nameless(path) as file:
        columns: dict[str, None] = {}
        count = 0
        for row in rows:
            plain: dict[str, JSON] = plain_json(row)
            _add(file, path, json.dumps(plain).encode("ascii") + b"\n")
            columns.update(dict.fromkeys(plain))
            for name, value in plain.items():
                see(name, value)
            count += 1
        yield Spool(file, tuple(columns), count, file.tell())


def _nameless(path: Path | str) -> BinaryIO:
    # Beside the file to be written, where there must be room anyway; the system's own folder may be small.
    beside = str(path) != STDOUT and os.access(Path(path).parent, os.W_OK)
    return tempfile.TemporaryFile(dir=Path(path).parent if beside else None)


def _add(file: BinaryIO, path: Path | str, line: bytes) -> None:
    try:
        file.write(line)
    except OSError as error:
        raise unwritable(path, error) from error
