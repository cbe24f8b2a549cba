"""Words of a text for tools that think in tokens: whole words where the script has them, else single characters."""

import re
from collections.abc import Iterable
from typing import Final

__all__ = ["tokens"]

# A run of letters and digits, or one character that is no space. Scripts without spaces go character by character.
_UNSPACED: Final = r"\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u2e80-\ua4cf\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN: Final = re.compile(rf"[^\W_{_UNSPACED}]+|\S")


def tokens(text: str, cuts: Iterable[int] = ()) -> list[tuple[int, int]]:
    """Return the places of the tokens of a text, none of which reaches over one of the `cuts`: the ends of spans."""
    edges = sorted(set(cuts))
    found: list[tuple[int, int]] = []
    at = 0
    for match in _TOKEN.finditer(text):
        start, end = match.span()
        while at < len(edges) and edges[at] <= start:
            at += 1
        while at < len(edges) and edges[at] < end:
            found.append((start, edges[at]))
            start = edges[at]
            at += 1
        found.append((start, end))
    return found
