"""Whether an id may have come before, in a few bits an id."""

from typing import Final

_BITS: Final = 25
_MASK: Final = (1 << _BITS) - 1


class Seen:
    """Ids of one pass over a file (a Bloom filter, Bloom 1970). Four MiB, however many there are.

    An id that came before is always known again. Of a million ids four in a thousand are taken for known by mistake, of
    ten million one in five, so whoever hears that one is known has to look it up; the others are spared the look.
    """

    def __init__(self) -> None:
        """Begin without any."""
        self._bits = bytearray(1 << (_BITS - 3))

    def before(self, id_: str) -> bool:
        """Return `False` only if this id was not asked about before; from now on it was."""
        number, bits = hash(id_), self._bits
        known = True
        for place in (number & _MASK, number >> _BITS & _MASK):
            bit = 1 << (place & 7)
            if not bits[place >> 3] & bit:
                known = False
                bits[place >> 3] |= bit
        return known
