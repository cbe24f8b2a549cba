"""What a format is: the seam that a new one is added at, one file each."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from postil.types import JSON

__all__ = ["STDOUT", "Format", "Reader", "Row", "Source", "Unit", "Writer"]

STDOUT = "-"
"""The path that stands for standard output."""

Unit = Literal["line", "row", "item"]


@dataclass(frozen=True, slots=True)
class Source:
    """A file that is read, for messages that say where."""

    path: Path
    unit: Unit = "line"
    """What its places are counted in: lines of text, rows of a table, items of an array; from 1."""

    def at(self, number: int) -> str:
        """Return a place in words: "reviews.jsonl, line 3"."""
        return f"{self.path}, {self.unit} {number}"


@dataclass(frozen=True, slots=True)
class Row:
    """One object of a file, as JSON, and the place where it begins."""

    fields: Mapping[str, JSON]
    line: int


Reader = Callable[[Path], Iterator[Row]]
"""Streams a file that exists; raises DataError with the place, what was expected and what came."""

Writer = Callable[[Iterable[Mapping[str, JSON]], "Path | str"], int]
"""Writes rows so that the file is whole or untouched; returns how many."""


@dataclass(frozen=True, slots=True)
class Format:
    """One format of files: a reader, a writer, or both."""

    name: str
    """What `--format` calls it."""
    title: str
    """One line for people."""
    extensions: tuple[str, ...] = ()
    """Endings of file names that mean it, lower case, with the dot; empty when it must be named."""
    unit: Unit = "line"
    read: Reader | None = None
    write: Writer | None = None
