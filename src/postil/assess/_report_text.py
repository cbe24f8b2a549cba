"""What a report makes of data before showing it: safe characters, bounded length, numbers in words.

Escaping is left to the template and to the chart renderer; here is what neither does.
"""

import math
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from postil.assess.marks import Mark
from postil.types import Estimate

__all__ = [
    "Piece",
    "Shown",
    "count",
    "dollars",
    "duration",
    "interval",
    "number",
    "one_line",
    "percent",
    "pieces",
    "shown",
    "unique",
    "width",
]

_UNSEEN = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]")
"""Control characters, what reorders the text around it, half characters and what no document may hold."""
COLOURS: Final = 8
"""How many colours marks have; more labels than these share them, and their names stand beside the text."""
_HAN = re.compile("[\u3400-\u9fff]")
_KANA = re.compile("[\u3040-\u30ff]")


@dataclass(frozen=True, slots=True)
class Shown:
    """A text from outside, ready for an element that isolates its direction."""

    text: str
    lang: str = ""
    """Set where it changes which glyphs are right: Han characters have Chinese and Japanese shapes."""
    note: str = ""
    """Said beside it when the text was clipped."""


def shown(text: str, *, limit: int = 600) -> Shown:
    """Return a text with what cannot be printed made visible, clipped to `limit` characters."""
    clipped = _visible(text[:limit])
    note = f"clipped, {count(len(text))} characters in all" if len(text) > limit else ""
    chinese = _HAN.search(clipped) and not _KANA.search(clipped)
    return Shown(clipped + ("…" if note else ""), "zh" if chinese else "", note)


@dataclass(frozen=True, slots=True)
class Piece:
    """Some characters that are marked alike."""

    text: str
    given: str
    """The labels that the annotator gave them, separated by commas; empty without one."""
    gold: str
    colour: int
    """Which of a few colours the first label has."""


def pieces(
    text: str, given: Sequence[Mark], gold: Sequence[Mark], *, limit: int = 600, order: Sequence[str] = ()
) -> list[Piece]:
    """Return a text cut at the ends of marks, in its own order: put together, the pieces read as `shown` does.

    A label has the colour of its place in `order`, the same in every text; one that is not there comes after.

    Marks only surround characters and nothing is put between them, so text that runs from right to left keeps the
    order that its source has (reliability A10).
    """
    clipped = text[:limit]
    edges = {
        0,
        len(clipped),
        *(min(max(edge, 0), len(clipped)) for one in (*given, *gold) for edge in (one.start, one.end)),
    }
    names = list(dict.fromkeys([*order, *(mark.label for mark in sorted(given, key=lambda mark: mark.start))]))
    cut: list[Piece] = []
    for start, end in pairwise(sorted(edges)):
        said, true = (
            list(dict.fromkeys(one.label for one in marks if one.start <= start and end <= one.end))
            for marks in (given, gold)
        )
        colour = names.index(said[0]) % COLOURS if said else 0
        cut.append(Piece(_visible(clipped[start:end]), _named(said), _named(true), colour))
    return cut


def _named(labels: Sequence[str]) -> str:
    return ", ".join(one_line(label) or "marked" for label in labels)


def one_line(text: str, *, limit: int = 60) -> str:
    """Return a text for places without markup (chart labels, attributes): as `shown`, and on one line."""
    cut = text[: limit - 1] + "…" if len(text) > limit else text
    return " ".join(_visible(cut).split())


def unique(names: Iterable[str], *, limit: int = 28) -> list[str]:
    """Return names as chart labels, numbered where clipping made two of them equal: a chart would merge those."""
    seen: set[str] = set()
    lines: list[str] = []
    for name in names:
        line = one_line(name, limit=limit) or "(empty)"
        twin = 2
        while line in seen:
            line, twin = f"{one_line(name, limit=limit - 4)} ({twin})", twin + 1
        seen.add(line)
        lines.append(line)
    return lines


def width(text: str) -> float:
    """Return the width of a text in ems, guessed high: which fonts the reader has is not known here."""
    return sum(1.05 if unicodedata.east_asian_width(char) in "WF" else 0.6 for char in text)


def percent(share: float) -> str:
    """Return a share as a percentage with one decimal."""
    return f"{_signed(100 * share, 1)} %" if math.isfinite(share) else "undefined"


def number(value: float) -> str:
    """Return a number with three decimals."""
    return _signed(value, 3) if math.isfinite(value) else "undefined"


def count(value: int) -> str:
    """Return a whole number with thousands marked."""
    return f"{value:,}"


def interval(estimate: Estimate, *, as_percent: bool) -> str:
    """Return low and high in words."""
    say = percent if as_percent else number
    return f"{say(estimate.low)} to {say(estimate.high)}"


def dollars(usd: float) -> str:
    """Return an amount of money; small amounts keep two digits that say something."""
    if usd == 0 or usd >= 1:
        return f"{usd:,.2f} USD"
    digits = min(8, max(2, 1 - math.floor(math.log10(abs(usd)))))
    return f"{usd:.{digits}f} USD"


def duration(seconds: float) -> str:
    """Return a time span in the two largest units that matter."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{count(hours)} h {minutes} min"


def _visible(text: str) -> str:
    return _UNSEEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text.replace("\r\n", "\n"))


def _signed(value: float, decimals: int) -> str:
    text = f"{value:.{decimals}f}"
    return text.replace("-", "\u2212") if float(text) else f"{0:.{decimals}f}"
