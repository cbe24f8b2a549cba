"""A JSON array of objects in one file, read and written item by item."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from postil.canonical import parse_json
from postil.errors import DataError
from postil.formats.format import Format, Row, Source
from postil.formats.jsonl import json_line, read_jsonl
from postil.formats.replacing import output
from postil.formats.source import MAX_LINE, text_lines
from postil.types import JSON

__all__ = ["JSON_ARRAY", "read_json_array", "write_json_array"]

_BLANKS: Final = " \t\r\n"
_SCANNER: Final = json.JSONDecoder()


def read_json_array(path: Path) -> Iterator[Row]:
    """Yield the objects of a JSON array; a file that holds an object a line is read as JSON Lines.

    Raises:
        DataError: the file is no array of objects, or no UTF-8.
    """
    source = Source(path, "item")
    if _has_an_object_a_line(path):
        yield from read_jsonl(path)
        return
    text = _Text(source, text_lines(Source(path)))
    if text.next() != "[":
        raise DataError(
            f"{path}: expected a JSON array of objects, got {text.held[text.at : text.at + 40]!r}",
            hint="If the array is the value of a key, take it out: jq -c '.KEY[]' FILE > NEW.jsonl",
        )
    yield from _items(source, text)


def _has_an_object_a_line(path: Path) -> bool:
    filled = (line for _, line in text_lines(Source(path)) if line.strip(_BLANKS))
    starts = [line.lstrip(_BLANKS)[:1] for line in islice(filled, 2)]
    return starts == ["{", "{"]


def _items(source: Source, text: "_Text") -> Iterator[Row]:
    text.at += 1
    number = 0
    while text.next() != "]":
        number += 1
        yield Row(text.take_object(number), number)
        if text.next() == ",":
            text.at += 1
            if text.next() == "]":
                raise DataError(f"{source.at(number)}: a comma after the last item", hint="Remove the comma.")
        elif text.next() != "]":
            raise text.broken(number, "expected a comma or ] after it")
    text.at += 1
    if text.next():
        raise text.broken(number, "expected nothing after the array")


@dataclass(slots=True)
class _Text:
    """The part of the file that is not read yet, as far as it was needed."""

    source: Source
    lines: Iterator[tuple[int, str]]
    held: str = ""
    at: int = 0
    line: int = field(default=0)
    """The last line that is held."""

    def next(self) -> str:
        """Return the next character that is not blank, without passing it; "" at the end."""
        while True:
            while self.at < len(self.held) and self.held[self.at] in _BLANKS:
                self.at += 1
            if self.at < len(self.held):
                return self.held[self.at]
            if not self.more(1):
                return ""

    def more(self, wanted: int) -> bool:
        """Hold at least so many characters more; return whether there was anything."""
        parts = [self.held[self.at :]]
        added = 0
        for number, line in self.lines:
            parts.append(line)
            self.line = number
            added += len(line)
            if added >= wanted:
                break
        self.held, self.at = "".join(parts), 0
        return added > 0

    def take_object(self, number: int) -> Mapping[str, JSON]:
        """Return the next item and pass it."""
        if self.next() != "{":
            raise self.broken(number, "expected an object")
        end = self._end(number)
        try:
            value = parse_json(self.held[self.at : end])
        except ValueError as error:
            raise DataError(f"{self.source.at(number)}: {error}", hint="Mend the item.") from None
        self.at = end
        return value

    def _end(self, number: int) -> int:
        while True:
            try:
                return _SCANNER.raw_decode(self.held, self.at)[1]
            except (json.JSONDecodeError, RecursionError) as error:
                left = len(self.held) - self.at
                # Twice as much at each try, so that a long item is not scanned once a line.
                if isinstance(error, RecursionError) or left > MAX_LINE or not self.more(left):
                    raise self.broken(number, f"expected an object ({error})") from None

    def broken(self, number: int, expected: str) -> DataError:
        """Return the error that says what was expected here."""
        got = self.held[self.at : self.at + 40]
        shown = repr(got) if got else "the end of the file"
        return DataError(
            f"{self.source.at(number)} (near line {self.line}): {expected}, got {shown}",
            hint="Mend the file; jq . FILE says where it breaks.",
        )


def write_json_array(rows: Iterable[Mapping[str, JSON]], path: Path | str) -> int:
    """Write rows as one JSON array, an item a line, and return how many; otherwise as `write_jsonl`.

    Raises:
        DataError: a row is no JSON.
        FormatError: the file cannot be written; then what stood there before is untouched.
    """
    count = 0
    with output(path) as file:
        for row in rows:
            file.write((b",\n" if count else b"[\n") + json_line(row))
            count += 1
        file.write(b"\n]\n" if count else b"[]\n")
    return count


JSON_ARRAY: Final = Format("json", "JSON: one array of objects", (".json",), "item", read_json_array, write_json_array)
