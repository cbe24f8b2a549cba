"""Planted secrets, and the search for them in every byte that is left behind (H9, P1, P3)."""

import base64
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Final
from urllib.parse import quote

PIECE: Final = 8
"""Characters in a row of a secret that give it away."""


@dataclass(frozen=True)
class Canary:
    """A secret that must not turn up."""

    name: str
    text: str = field(default_factory=lambda: f"sk-{secrets.token_hex(12)}+/=%{secrets.token_hex(12)}")

    @cached_property
    def spellings(self) -> Mapping[str, str]:
        """The ways in which programs write it."""
        raw = self.text.encode()
        found = {
            "plain": self.text,
            "URL": quote(self.text, safe=""),
            "hexadecimal": raw.hex(),
            "backwards": self.text[::-1],
        }
        for shift in range(3):
            # Base64 writes the same bytes in three ways, by where they begin in a group of three.
            coded = base64.b64encode(bytes(shift) + raw).decode()[4 if shift else 0 :].rstrip("=")[:-1]
            found[f"base64 {shift}"] = coded
            found[f"base64 {shift} for URLs"] = coded.replace("+", "-").replace("/", "_")
        return found

    @cached_property
    def _pieces(self) -> re.Pattern[bytes]:
        pieces = {
            spelling[at : at + PIECE] for spelling in self.spellings.values() for at in range(len(spelling) - PIECE + 1)
        }
        return re.compile(b"|".join(re.escape(piece.encode()) for piece in sorted(pieces)))

    def in_bytes(self, content: bytes) -> str:
        """Return the piece that was found and what stands around it, "" for none."""
        for coding in ("latin-1", "utf-16-le", "utf-16-be"):
            text = content if coding == "latin-1" else content.replace(b"\0", b"")
            found = self._pieces.search(text)
            if found:
                return f"{self.name} as {text[max(0, found.start() - 30) : found.end() + 30]!r}"
        return ""


def everything_at(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Yield every file below a folder, packed tables also as they are unpacked, and every file's name."""
    for path in sorted(folder.rglob("*")):
        yield f"the name of {path.name}", str(path.relative_to(folder)).encode()
        if path.is_file():
            content = path.read_bytes()
            yield str(path), content
            if content.startswith(b"PAR1"):
                yield f"{path}, unpacked", _unpacked(path)


def _unpacked(path: Path) -> bytes:
    import duckdb

    with closing(duckdb.connect()) as connection:
        return repr(connection.execute("SELECT * FROM read_parquet(?)", [str(path)]).fetchall()).encode(
            "utf-8", "replace"
        )


def scan(folder: Path, *canaries: Canary) -> list[str]:
    """Return where in a folder a secret was found."""
    return [
        f"{place}: {found}"
        for place, content in everything_at(folder)
        for canary in canaries
        if (found := canary.in_bytes(content))
    ]
