"""Offsets into a text in the units of other programs: UTF-16 in browsers, bytes elsewhere, code points here.

A place that another unit has and a text of code points has not, the middle of an emoji, is an error and never rounded
(reliability A8).
"""

from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Final, Literal, get_args

from postil.errors import DataError

__all__ = ["UNITS", "OffsetUnit", "Offsets"]

OffsetUnit = Literal["code points", "UTF-16", "UTF-8"]
"""What an offset counts: characters of Unicode, two-byte units as JavaScript and Java count them, or bytes."""

UNITS: Final[tuple[OffsetUnit, ...]] = get_args(OffsetUnit)


class Offsets:
    """The places of one text in one unit, and in code points."""

    def __init__(self, text: str, unit: OffsetUnit) -> None:
        """Count once; a text in which the units agree needs no counting."""
        self._text = text
        self._unit: OffsetUnit = unit
        self._places = _places(text, unit)

    def of(self, place: int) -> int:
        """Return in the unit what is `place` in code points.

        Raises:
            DataError: the text has no such place.
        """
        self._check(place, len(self._text), "code points")
        return place if self._places is None else self._places[place]

    def code_points(self, offset: int) -> int:
        """Return in code points what is `offset` in the unit.

        Raises:
            DataError: the text has no such place, or it lies inside a character.
        """
        if self._places is None:
            self._check(offset, len(self._text), self._unit)
            return offset
        self._check(offset, self._places[-1], self._unit)
        place = bisect_left(self._places, offset)
        if self._places[place] != offset:
            raise DataError(
                f"expected an offset between two characters, got {offset} in {self._unit}, "
                f"inside {self._text[place - 1]!r}",
                hint="The offsets are counted in another unit.",
            )
        return place

    def _check(self, offset: int, end: int, unit: str) -> None:
        if not 0 <= offset <= end:
            raise DataError(f"expected an offset from 0 to {end} in {unit}, got {offset}")


def _places(text: str, unit: OffsetUnit) -> Sequence[int] | None:
    """Return the place of each character and of the end, `None` where they are those in code points."""
    if unit == "code points" or text.isascii():
        return None
    if unit == "UTF-16":
        if max(text) <= "\uffff":
            return None
        sizes = (1 + (character > "\uffff") for character in text)
    else:
        sizes = map(_bytes, text)
    return list(accumulate(sizes, initial=0))


def _bytes(character: str) -> int:
    # As UTF-8 would have it; a lone surrogate counts as what it is written as elsewhere, three.
    code = ord(character)
    return 1 + (code >= 0x80) + (code >= 0x800) + (code >= 0x10000)
