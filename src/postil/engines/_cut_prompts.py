"""Whether a server read the whole of a prompt, judged by the tokens it says it read (reliability A11).

Servers that cut a prompt which is too long for them answer as if nothing had happened. How many tokens a prompt has
only the server knows, but its first replies show how its tokenizer counts letters, digits, marks and the rest: a
linear model of the number it reports, on how many of these the prompt has (Bayesian linear regression, Bishop 2006,
section 3.3). A number far below the model's is a prompt that was cut.
"""

import re
import string
from collections.abc import Sequence
from functools import lru_cache
from operator import mul
from typing import Final

from postil.types import Message, Usage

_Vector = list[float]
_Matrix = list[_Vector]

_LEARNT_FROM: Final = 48
"""Replies that are looked at before any is judged."""

_WHOLE: Final = 0.9
"""A whole prompt has at least this share of the tokens expected; a cut of a fifth leaves less."""

_FEW: Final = 6
"""Tokens that may be missing whatever the share."""

# Messages, letters, spaces, digits, marks, and the bytes that characters outside ASCII have beside their first: what
# tokenizers make of them, and how much they differ. Whoever is new to a server begins with this.
_USUAL: Final = (10.0, 0.22, 0.05, 0.6, 0.6, 0.25)
_SPREAD: Final = (150.0, 0.12, 0.3, 0.4, 0.4, 0.2)
_NOISE: Final = 0.05
_PLACES: Final = range(len(_USUAL))

# What there is to learn of a tokenizer is soon learnt: every reply at first, then fewer.
_OFTEN: Final = 512
_SELDOM: Final = 16
_SOLVED_EVERY: Final = 32
_SEARCHES: Final = 5

# Longer texts that take no more tokens are no tokenizer's doing: all were cut at the same number.
_FLAT: Final = 0.02
_ALIKE: Final = 6
_LONGER: Final = 1.25

_CLASS: Final = {**dict.fromkeys(string.digits, "d"), **dict.fromkeys(string.punctuation, "m"), " ": "s"}
_CLASSES: Final = bytes(ord("f" if 0x80 <= b < 0xC0 else _CLASS.get(chr(b), "l")) for b in range(256))
# The same again and again, as in rules, indents and smileys: tokenizers have one token for several of them.
_REPEATED: Final = re.compile(r"(.{1,16}?)\1{2,}", re.DOTALL)


class PromptLengths:
    """Learns from a server's replies how many tokens its prompts have. One for an engine."""

    def __init__(self) -> None:
        """Know nothing of the server's tokenizer."""
        self._first: list[tuple[_Vector, Usage]] = []
        self._model: _Model | None = None
        # Where prompts of all lengths seemed to have the same number of tokens: that number, and the shortest's size.
        self._ceiling: tuple[float, float] | None = None
        # Whether tokens from a cache are counted apart; `None` where no reply has shown it.
        self._apart: bool | None = None
        self._seen = 0

    def is_cut(self, messages: Sequence[Message], usage: Usage) -> bool:
        """Return whether the server read less than it was sent, and learn from it if it did not.

        The first replies are only learnt from.
        """
        counts = _counts(messages)
        if self._model is None:
            self._first.append((counts, usage))
            if len(self._first) >= _LEARNT_FROM:
                self._settle()
            return False
        read = self._read(usage)
        if self._is_at_ceiling(counts, read):
            return True
        if self._model.is_short(counts, read):
            return self._model.is_short(_least_counts(messages), read, doubting=True)
        self._seen += 1
        if self._seen <= _OFTEN or self._seen % _SELDOM == 0:
            self._model.learn(counts, read)
        return False

    def _read(self, usage: Usage) -> float:
        # Where nothing has shown it, no prompt is called cut that may be whole.
        return usage.input_tokens + (0 if self._apart is False else usage.cached_tokens)

    def _is_at_ceiling(self, counts: _Vector, read: float) -> bool:
        if self._ceiling is None:
            return False
        tokens, shortest = self._ceiling
        if read > (1 + _FLAT) * tokens:
            # Somebody has given the server a larger context.
            self._ceiling = None
            return False
        return read >= (1 - _FLAT) * tokens and _dot(counts, _USUAL) > _LONGER * shortest

    def _settle(self) -> None:
        """Learn from the first replies together, in the way of counting that fits them best."""
        included = [(counts, float(usage.input_tokens)) for counts, usage in self._first]
        read, self._model = included, _fitted(included)
        if any(usage.cached_tokens for _, usage in self._first):
            apart = [(counts, float(usage.input_tokens + usage.cached_tokens)) for counts, usage in self._first]
            other = _fitted(apart)
            self._apart = other.error(apart) < self._model.error(included)
            if self._apart:
                read, self._model = apart, other
        self._ceiling = _ceiling(read)
        self._first.clear()


class _Model:
    """How many tokens the messages, letters, spaces and so on of a prompt make, with what is not sure of it."""

    def __init__(self) -> None:
        self._precision: _Matrix = [[(i == j) / _SPREAD[i] ** 2 for j in _PLACES] for i in _PLACES]
        self._pull: _Vector = [_USUAL[i] / _SPREAD[i] ** 2 for i in _PLACES]
        self._doubts: _Matrix = []
        self._weights: _Vector = []
        self._learnt = 0
        self.solve()

    def learn(self, counts: _Vector, read: float) -> None:
        """Learn that a whole prompt of these counts has so many tokens."""
        weight = (_NOISE * max(read, 1.0)) ** -2
        for i in _PLACES:
            scaled = weight * counts[i]
            self._pull[i] += scaled * read
            row = self._precision[i]
            for j in _PLACES:
                row[j] += scaled * counts[j]
        self._learnt += 1
        if self._learnt % _SOLVED_EVERY == 0:
            self.solve()

    def solve(self) -> None:
        """Take what was learnt into account."""
        self._doubts = _inverse(self._precision)
        self._weights = [_dot(row, self._pull) for row in self._doubts]

    def is_short(self, counts: _Vector, read: float, *, doubting: bool = False) -> bool:
        """Return whether so few tokens are too few for a prompt of these counts."""
        expected = _dot(counts, self._weights)
        if doubting:
            expected -= _dot(counts, [_dot(row, counts) for row in self._doubts]) ** 0.5
        return read < _WHOLE * expected and expected - read > _FEW

    def error(self, replies: Sequence[tuple[_Vector, float]]) -> float:
        """Return by what share of itself the middle reply is off."""
        return sorted(abs(_dot(counts, self._weights) / max(read, 1.0) - 1) for counts, read in replies)[
            len(replies) // 2
        ]


def _fitted(replies: Sequence[tuple[_Vector, float]]) -> _Model:
    """Return the model of replies of which some may be to prompts that were cut.

    Those were the longest: it begins with the shortest third and takes in whatever fits (forward search, Atkinson and
    Riani 2000).
    """
    ceiling = _ceiling(replies)
    below = [each for each in replies if ceiling is None or each[1] < (1 - _FLAT) * ceiling[0]]
    below.sort(key=lambda each: _dot(each[0], _USUAL))
    kept, model = below[: -(-len(below) // 3)], _Model()
    for _ in range(_SEARCHES):
        model = _Model()
        for counts, read in kept:
            model.learn(counts, read)
        model.solve()
        kept = [each for each in below if not model.is_short(*each)]
    return model


def _ceiling(replies: Sequence[tuple[_Vector, float]]) -> tuple[float, float] | None:
    """Return the number of tokens that prompts of very different lengths have in common, and the shortest's size."""
    top = max(read for _, read in replies)
    sizes = [_dot(counts, _USUAL) for counts, read in replies if read >= (1 - _FLAT) * top]
    return (top, min(sizes)) if len(sizes) >= _ALIKE and max(sizes) > _LONGER * min(sizes) else None


def _counts(messages: Sequence[Message]) -> _Vector:
    # What comes before the last message is the same for many prompts.
    counts = [0.0, *_classes(messages[-1].content)] if messages else [0.0] * len(_USUAL)
    for message in messages[:-1]:
        for i, count in enumerate(_known_classes(message.content), 1):
            counts[i] += count
    counts[0] = float(len(messages))
    return counts


def _least_counts(messages: Sequence[Message]) -> _Vector:
    """Return the counts without what is repeated again and again, for which some tokenizers have one token."""
    return _counts([Message(each.role, _REPEATED.sub(r"\1\1", each.content)) for each in messages])


def _classes(text: str) -> tuple[int, int, int, int, int]:
    classes = text.encode("utf-8", "surrogatepass").translate(_CLASSES)
    spaces, digits, marks = classes.count(b"s"), classes.count(b"d"), classes.count(b"m")
    further = len(classes) - len(text)
    return len(text) - spaces - digits - marks, spaces, digits, marks, further


_known_classes = lru_cache(maxsize=4096)(_classes)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(map(mul, one, other))


def _inverse(matrix: _Matrix) -> _Matrix:
    """Return the inverse of a symmetric positive definite matrix (Gauss and Jordan)."""
    rows = [[*row, *(float(i == j) for j in _PLACES)] for i, row in enumerate(matrix)]
    for i in _PLACES:
        pivot = rows[i][i]
        rows[i] = [value / pivot for value in rows[i]]
        for j in _PLACES:
            if j != i and (factor := rows[j][i]):
                rows[j] = [value - factor * upper for value, upper in zip(rows[j], rows[i], strict=True)]
    return [row[len(_USUAL) :] for row in rows]
