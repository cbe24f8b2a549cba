"""What is compared of a text, and when two texts are so alike that one would give the other away."""

from typing import Final

from postil.tasks.reading import fold

__all__ = ["MAX_CHARACTERS", "beginning", "near_duplicates", "shingles"]

MAX_CHARACTERS: Final = 20_000
"""What comes later in a text is not looked at here, so that a text of 10 MB costs no more than a long one."""

_SHINGLE: Final = 5
_ALIKE: Final = 0.8


def beginning(text: str) -> str:
    """Return the first `MAX_CHARACTERS` of a text; lone surrogates, which no model can read, as `?`."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def shingles(text: str) -> frozenset[str]:
    """Return the runs of five characters in a text, without regard to case, width, and marks around it."""
    folded = fold(beginning(text))
    return frozenset(folded[at : at + _SHINGLE] for at in range(max(1, len(folded) - _SHINGLE + 1)))


def near_duplicates(first: frozenset[str], second: frozenset[str]) -> bool:
    """Return whether two texts, given as shingles, say nearly the same in nearly the same words (survey 1.14).

    Broder 1997, "On the resemblance and containment of documents": shared shingles over all shingles, here above 0.8.
    Works without spaces between words. Equal texts are near-duplicates.
    """
    shared = len(first & second)
    return shared > _ALIKE * (len(first) + len(second) - shared)
