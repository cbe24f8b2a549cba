"""A best guess at the encoding of text that is not UTF-8, to name it in a message. Nothing is read by a guess."""

import re
from typing import Final

__all__ = ["guess_encoding", "utf16_without_mark"]

_HIGH_RUNS: Final = re.compile(rb"[\x80-\xff]+")


def utf16_without_mark(head: bytes) -> str | None:
    """Return the name of the UTF-16 that bytes seem to be: every other byte of Latin text is then zero."""
    pairs = len(head) // 2
    if pairs < 2:
        return None
    for first, name in ((0, "UTF-16BE"), (1, "UTF-16LE")):
        zeros = head[first : 2 * pairs : 2].count(0)
        others = head[1 - first : 2 * pairs : 2].count(0)
        if zeros > pairs * 0.4 and others < pairs * 0.05:
            return name
    return None


def guess_encoding(text: bytes) -> str:
    """Return the name, as iconv knows it, of the encoding that text which is not UTF-8 most likely has.

    "UTF-8" means that it is UTF-8 with a few broken bytes.
    """
    if _mostly_utf8(text):
        return "UTF-8"
    runs = [len(run) for run in _HIGH_RUNS.findall(text)]
    # Two-byte encodings of Chinese, Japanese and Korean come in pairs; an accented letter of Latin text stands alone.
    if runs and sum(length % 2 for length in runs) <= 0.1 * len(runs) and _decodes(text, "gb18030"):
        return "GB18030"
    if sum(runs) > 0.3 * len(text):
        for codec, name in (("shift_jis", "SHIFT_JIS"), ("big5", "BIG5"), ("gb18030", "GB18030")):
            if _decodes(text, codec):
                return name
    return "WINDOWS-1252" if _decodes(text, "cp1252") else "ISO-8859-1"


def _mostly_utf8(text: bytes) -> bool:
    decoded = text.decode("utf-8", "replace")
    broken = decoded.count("\ufffd")
    return sum(character > "\x7f" for character in decoded) - broken > broken


def _decodes(text: bytes, codec: str) -> bool:
    # A sample may end in the middle of a character, so the last few bytes are free.
    for cut in range(4):
        try:
            text[: len(text) - cut].decode(codec)
        except UnicodeDecodeError:
            continue
        return True
    return False
