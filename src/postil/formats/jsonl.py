"""JSON Lines: one JSON object a line, UTF-8."""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from postil.canonical import parse_json, plain_json
from postil.errors import DataError
from postil.formats.format import Format, Row, Source
from postil.formats.replacing import output
from postil.formats.source import text_lines
from postil.types import JSON

__all__ = ["JSONL", "json_line", "read_jsonl", "write_jsonl"]

_LINE_BREAKS: Final = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""Allowed bare in JSON, but many programs would break the line there."""


def read_jsonl(path: Path) -> Iterator[Row]:
    """Yield the objects of a JSON Lines file; blank lines are skipped.

    Raises:
        DataError: a line is no JSON object, or the file no UTF-8.
    """
    source = Source(path)
    for number, line in text_lines(source):
        text = line.rstrip("\r\n")
        if text and not text.isspace():
            yield Row(_object(source, number, text), number)


def _object(source: Source, number: int, text: str) -> Mapping[str, JSON]:
    try:
        value = parse_json(text)
    except json.JSONDecodeError as error:
        raise _broken(source, number, text, error) from None
    except ValueError as error:
        raise DataError(f"{source.at(number)}: {error}", hint="Mend the line, or the program that wrote it.") from None
    if not isinstance(value, dict):
        raise DataError(
            f"{source.at(number)}: expected a JSON object, got {_kind(value)}: {_around(text, 0)}",
            hint='A line is one record: {"id": "1", "text": "..."}.',
        )
    return value


def _broken(source: Source, number: int, text: str, error: json.JSONDecodeError) -> DataError:
    return DataError(
        f"{source.at(number)}, column {error.pos + 1}: expected one JSON object on the line, "
        f"got {_around(text, error.pos)} ({error.msg})",
        hint=_advice(text.strip(), number, error),
    )


def _advice(text: str, number: int, error: json.JSONDecodeError) -> str:
    if number == 1 and text.startswith("["):
        return "This looks like a JSON array: name the file .json, or give the format 'json'."
    if error.msg.startswith("Invalid control character"):
        return f"Inside text, JSON writes this character as \\u{ord(error.doc[error.pos]):04x}."
    if "'" in text[:2]:
        return "Python's own notation is no JSON: write the line with json.dumps."
    if error.pos >= len(text) or error.msg.startswith("Unterminated string"):
        return "The line ends too early: it was cut, or the object goes on in the next line, where it must not."
    if "\r" in text:
        return "The lines end with CR alone: convert the file with tr '\\r' '\\n'."
    return "Mend the line, or remove it."


def _around(text: str, position: int) -> str:
    start = max(0, position - 20)
    return f"{'…' if start else ''}{text[start : start + 40]!r}{'…' if len(text) > start + 40 else ''}"


def _kind(value: JSON) -> str:
    names = {list: "an array", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")


def write_jsonl(rows: Iterable[Mapping[str, JSON]], path: Path | str, *, ascii_only: bool = False) -> int:
    """Write rows as JSON Lines, keys in the order of each row, and return how many. "-" is standard output.

    The one format that holds every text, also NUL and lone surrogates (as JSON escapes). U+0085, U+2028 and U+2029 are
    escaped, so that no program takes them for the end of a line; with `ascii_only`, for programs that guess encodings,
    all that is not ASCII.

    Raises:
        DataError: a row is no JSON.
        FormatError: the file cannot be written; then what stood there before is untouched.
    """
    count = 0
    with output(path) as file:
        for row in rows:
            file.write(json_line(row, ascii_only=ascii_only) + b"\n")
            count += 1
    return count


def json_line(row: Mapping[str, JSON], *, ascii_only: bool = False) -> bytes:
    """Return an object as JSON on one line, in UTF-8, for programs that break lines wherever Unicode would.

    Raises:
        DataError: it is no JSON.
    """
    text = json.dumps(plain_json(row), ensure_ascii=ascii_only, allow_nan=False)
    for character, escape in _LINE_BREAKS.items():
        text = text.replace(character, escape)
    return text.encode("utf-8", "backslashreplace")


JSONL: Final = Format("jsonl", "JSON Lines: one object a line", (".jsonl", ".ndjson"), "line", read_jsonl, write_jsonl)
