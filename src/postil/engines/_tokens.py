"""The tokens of a reply with their probabilities, made to spell out its text exactly."""

import codecs
import math
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["spelled"]


def spelled(content: Any, text: str) -> tuple[tuple[str, float], ...] | None:
    """Return the tokens that spell `text`, each with its probability, out of a list of `token`, `bytes`, `logprob`.

    A letter may be spread over several tokens: the last of them has it, the others have nothing. What stands before
    and after the text, such as blanks that were stripped and marks that end a turn, is left out. `None` where the
    list is none, or spells something else: then nobody knows which token stands where.
    """
    try:
        pieces = list(_pieces(content))
    except (AttributeError, LookupError, TypeError, ValueError):
        return None
    start = "".join(piece for piece, _ in pieces).find(text)
    return None if start < 0 or not text else tuple(_within(pieces, start, start + len(text)))


def _pieces(content: Sequence[Any]) -> Iterator[tuple[str, float]]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    for entry in content:
        spelling, logprob = entry.get("bytes"), entry["logprob"]
        raw = bytes(spelling) if isinstance(spelling, list) else str(entry["token"]).encode("utf-8", "replace")
        if isinstance(logprob, bool) or not isinstance(logprob, (int, float)) or math.isnan(logprob):
            raise TypeError
        # Servers round: a logarithm a little above nothing is one of a certainty.
        yield decoder.decode(raw), math.exp(min(logprob, 0.0))


def _within(pieces: Sequence[tuple[str, float]], start: int, end: int) -> Iterator[tuple[str, float]]:
    place = 0
    for piece, probability in pieces:
        shown = piece[max(0, start - place) : max(0, end - place)]
        place += len(piece)
        if shown or (not piece and start <= place < end):
            yield shown, probability
