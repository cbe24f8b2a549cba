"""What is compared of a text, and when two texts are so alike that one would give the other away."""

import re
from typing import Final

from postil.tasks.reading import fold

__all__ = ["MAX_CHARACTERS", "UNSPACED", "beginning", "near_duplicates", "shingles"]

UNSPACED: Final = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
"""Scripts whose words are short or not set apart by spaces: Thai, kana, Han, Hangul; for a set in a pattern."""

MAX_CHARACTERS: Final = 20_000
"""What comes later in a text is not looked at here, so that a text of 10 MB costs no more than a long one."""

# Three Chinese characters say about as much as five letters; the lookahead lets runs overlap.
_SHINGLES: Final = re.compile(f"(?=([{UNSPACED}].{{2}}|[^{UNSPACED}].{{4}}))", re.DOTALL)
_ALIKE: Final = 0.8


def beginning(text: str) -> str:
    """Return the first `MAX_CHARACTERS` of a text; lone surrogates, which no model can read, as `?`."""
    return text[:MAX_CHARACTERS].encode("utf-8", "replace").decode("utf-8")


def shingles(text: str) -> frozenset[str]:
    """Return the overlapping runs of a few characters in a text, whatever its case, width, and marks around it."""
    folded = fold(beginning(text))
    return frozenset(_SHINGLES.findall(folded) or [folded])


def near_duplicates(first: frozenset[str], second: frozenset[str]) -> bool:
    """Return whether two texts, given as shingles, say nearly the same in nearly the same words (survey 1.14).

    Broder 1997, "On the resemblance and containment of documents": shared shingles over all shingles, here above 0.8.
    Works without spaces between words. Equal texts are near-duplicates.
    """
    shared = len(first & second)
    return shared > _ALIKE * (len(first) + len(second) - shared)
