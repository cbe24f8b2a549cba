"""Words that come from a server: quoted short, harmless to a terminal, and without the key."""

import base64
import re
from typing import Final, NoReturn
from urllib.parse import quote

_QUOTED: Final = 300
# A server may repeat a part of a key, or the key in another spelling; this many characters in a row give it away.
_WINDOW: Final = 8
_CONSIDERED: Final = 4_000


class Secret:
    """A key that prints as `***`, cannot be pickled, and can be struck out of any text (reliability P1)."""

    __slots__ = ("_exact", "_text", "_windows")

    def __init__(self, text: str) -> None:
        """Take the key; empty when there is none."""
        self._text = text
        spellings = _spellings(text) if len(text) >= _WINDOW else ()
        self._windows = frozenset(s[i : i + _WINDOW] for s in spellings for i in range(len(s) - _WINDOW + 1))
        self._exact = re.compile(rf"(?<!\w){re.escape(text)}(?!\w)") if text else None

    def reveal(self) -> str:
        """Return the key itself."""
        return self._text

    def struck_out(self, text: str) -> str:
        """Return a text with `***` for the key and for every long enough piece of any spelling of it."""
        if self._exact is not None:
            text = self._exact.sub("***", text)
        hits = [i for i in range(len(text) - _WINDOW + 1) if text[i : i + _WINDOW] in self._windows]
        kept, end = "", 0
        for at in hits:
            if at >= end:
                kept += text[end:at] + "***"
            end = at + _WINDOW
        return kept + text[end:]

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is never serialised")


def _spellings(text: str) -> tuple[str, ...]:
    raw = text.encode()
    # Base64 has three spellings of the same bytes, by where they begin in a group of three.
    coded = [base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 :].rstrip(b"=")[:-1] for shift in range(3)]
    plain = [code.decode() for code in coded]
    return (text, quote(text, safe=""), *plain, *(code.replace("+", "-").replace("/", "_") for code in plain))


def quoted(words: str, secret: Secret) -> str:
    """Return a server's words for a message: at most 300 characters, control characters escaped, the key struck out."""
    text = "".join(map(_visible, secret.struck_out(words[:_CONSIDERED].strip())))
    return text if len(text) <= _QUOTED else text[: _QUOTED - 1] + "…"


def _visible(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
