"""Opening text files of records: telling what cannot be read before it is read, and the line of everything else."""

import difflib
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

from postil.errors import DataError
from postil.formats.encodings import guess_encoding, utf16_without_mark
from postil.formats.format import Source

__all__ = ["MAX_LINE", "check_file", "text_lines"]

MAX_LINE: Final = 100 * 1024 * 1024
"""Bytes of the longest line, and characters of the longest CSV cell: one broken quote must not fill the memory."""

_HEAD: Final = 64 * 1024

_BYTE_ORDER_MARKS: Final = (  # UTF-32 first: its little-endian mark begins with that of UTF-16.
    (b"\xff\xfe\x00\x00", "UTF-32"),
    (b"\x00\x00\xfe\xff", "UTF-32"),
    (b"\xff\xfe", "UTF-16"),
    (b"\xfe\xff", "UTF-16"),
)

_OTHER_THINGS: Final = (
    (b"version https://git-lfs", "a Git LFS pointer, not the data", "Fetch the data: git lfs pull"),
    (b"\x1f\x8b", "gzip-compressed data", "Unpack it first: gunzip FILE"),
    (b"PK\x03\x04", "a zip archive or an Excel workbook", "Unpack it, or save the sheet as CSV in UTF-8."),
    (b"PAR1", "Parquet", "Name the file .parquet, or give the format 'parquet'."),
    (b"SQLite format 3", "an SQLite database", "Export the table as CSV or JSON Lines first."),
    (b"<!doctype html", "a web page", "The download failed or needs a login: fetch the file itself."),
    (b"<html", "a web page", "The download failed or needs a login: fetch the file itself."),
)


def check_file(path: Path) -> None:
    """Check that a path is a file that can be opened and holds something.

    Raises:
        DataError: it is not, and what to do.
    """
    try:
        if path.is_dir():
            raise DataError(f"expected a file, got the folder {path}", hint="Name one of the files in it.")
        if not path.exists():
            raise DataError(f"no file {path}", hint=_nearby(path))
        if not path.is_file():
            raise DataError(f"expected a file, got the device or pipe {path}", hint="Save the data to a file first.")
        with path.open("rb") as file:
            empty = not file.read(1)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"cannot open {path}: {error}", hint="Check the path and the permissions.") from error
    if empty:
        raise DataError(f"{path} is empty, expected records", hint="Check the step that wrote it.")


def _nearby(path: Path) -> str:
    if not path.parent.is_dir():
        return f"There is no folder {path.parent} either."
    if close := difflib.get_close_matches(path.name, [there.name for there in path.parent.iterdir()], 1):
        return f"Is it {path.with_name(close[0])}?"
    return "Check the name." if path.is_absolute() else f"Relative paths start at {Path.cwd()}."


def text_lines(source: Source) -> Iterator[tuple[int, str]]:
    """Yield the number and the text of each line of a UTF-8 file, with its line end; a byte order mark is dropped.

    Lines end at LF only, never at the line separators of Unicode.

    Raises:
        DataError: the file is not UTF-8 text, or has a line beyond `MAX_LINE`.
    """
    with source.path.open("rb") as file:
        _check_head(source.path, file.read(_HEAD))
        file.seek(0)
        number = 0
        while raw := file.readline(MAX_LINE + 1):
            number += 1
            if len(raw) > MAX_LINE:
                raise DataError(
                    f"{source.path}, line {number}: longer than {MAX_LINE // 1024 // 1024} MB",
                    hint="Check that the lines of the file end with a line feed; if they do, shorten this one.",
                )
            yield number, _decoded(source, file, number, raw)


def _decoded(source: Source, file: BinaryIO, number: int, raw: bytes) -> str:
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _undecodable(source, file, number, raw, error) from None
    return text.removeprefix("\ufeff") if number == 1 else text


def _check_head(path: Path, head: bytes) -> None:
    for mark, encoding in _BYTE_ORDER_MARKS:
        if head.startswith(mark):
            raise DataError(
                f"{path}: expected UTF-8, got {encoding} (by its byte order mark)", hint=_convert(path, encoding)
            )
    if encoding := utf16_without_mark(head):
        raise DataError(f"{path}: expected UTF-8, got what looks like {encoding}", hint=_convert(path, encoding))
    start = head[:64].lstrip().lower()
    for magic, what, hint in _OTHER_THINGS:
        if start.startswith(magic.lower()):
            raise DataError(f"{path}: expected text in UTF-8, got {what}", hint=hint)


def _undecodable(source: Source, file: BinaryIO, number: int, raw: bytes, error: UnicodeDecodeError) -> DataError:
    file.seek(0)
    head = file.read(_HEAD)
    around = raw[max(0, error.start - _HEAD) : error.start + _HEAD]
    guess = guess_encoding(head[: head.rfind(b"\n") + 1] + around)
    place = f"{source.path}, line {number}, byte {error.start + 1}"
    what = f"{place}: expected UTF-8, got the byte 0x{raw[error.start]:02X}"
    if guess == "UTF-8":
        return DataError(
            f"{what} in a file that is UTF-8 elsewhere",
            hint=f"The line is damaged: mend it, or drop the broken bytes. {_convert(source.path, 'UTF-8', '-c ')}",
        )
    return DataError(f"{what}; the file looks like {guess}", hint=_convert(source.path, guess))


def _convert(path: Path, encoding: str, option: str = "") -> str:
    new = path.with_name(f"{path.stem}.utf8{path.suffix}")
    quoted = shlex.quote(str(path)), shlex.quote(str(new))
    return f"Convert it: iconv {option}-f {encoding} -t UTF-8 {quoted[0]} > {quoted[1]}"
