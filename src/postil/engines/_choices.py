"""Probabilities of a request's choices, read off the log-probabilities of a reply's first token (survey 1.09, B.11).

A reply's first token has a list of the most probable tokens, twenty at most. Each is folded (Unicode NFKC, case,
leading white space and "▁", which some tokenizers write for a space) and put where it belongs:

1. Equal to one choice and to the beginning of no other: that choice.
2. The beginning of exactly one choice, like "neg" of "negative": that choice. Words that open a sentence ("a", "as",
   "i", "it", "the") are not taken for the beginning of a longer choice: "I" is far more often "I cannot" than "irony".
3. The beginning of several choices: none of them. If it is also equal to one, like "1" among "1" and "10", it counts
   for that one only where the longer ones are themselves in the list by a longer token, for then the tokenizer has a
   token that tells them apart.
4. A choice with nothing but marks or spaces after it, like "A." or "A)": that choice; the longest, if several fit.
   "And" does not count for "A": what follows the choice is a letter.
5. Anything else: none of them.

White space alone says nothing yet: where the reply begins with it, the next token's list is read too, weighted with
the probability of the white space.

The sum over all choices is the *mass*. Probabilities are the shares of the mass, and are missing, never guessed, where
the mass is below a half, or where more than a twentieth of it stands at tokens that begin several choices: each
probability could then be off by more than that. A choice that no token stands for is less probable than every token in
the list, and no more probable than what the list leaves over; it gets half of the smaller of the two (what is left
over is shared among all such choices), so that it is never impossible and never before a choice that is listed.
"""

import functools
import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

_LEAST_MASS: Final = 0.5
_MOST_AMBIGUOUS: Final = 0.05
_OPENERS: Final = frozenset({"a", "as", "i", "it", "the"})
_AFTER: Final = frozenset(".,:;!?)]}\"'*`。、」』】》”’")
_BLANK_TOKENS: Final = 3
# Servers write -9999 and the like for "next to nothing"; such tokens count as not listed.
_LEAST_LOG_PROBABILITY: Final = -100.0
# Probabilities are rounded on their way; more than this above 1 is no distribution.
_ROUNDING: Final = 0.05
_SMALLEST_SHARE: Final = 1e-6
_KNOWN_TOKENS: Final = 10_000

_NONE: Final = -1
_SEVERAL: Final = -2
_BLANK: Final = -3


@dataclass(frozen=True, slots=True)
class ChoiceScores:
    """What a reply's first token says about the choices; `None` is missing."""

    probabilities: tuple[float, ...] | None = None
    mass: float | None = None


def score_choices(content: Any, choices: tuple[str, ...]) -> ChoiceScores:
    """Return the choices' probabilities and mass out of `logprobs.content` as the server sent it."""
    tally = _Tally(_places(choices))
    try:
        tally.read(content)
    except (ArithmeticError, AttributeError, KeyError, TypeError, ValueError):
        # Not in the form of the protocol, or no distribution: as good as absent.
        return ChoiceScores()
    return tally.scores() if tally.seen else ChoiceScores()


class _Places(dict[str, int]):
    """Where each token belongs, worked out once: a vocabulary recurs, and every reply has twenty of them."""

    __slots__ = ("choices",)

    def __init__(self, choices: tuple[str, ...]) -> None:
        super().__init__()
        self.choices = tuple(_fold(choice).strip() for choice in choices)

    def __missing__(self, token: str) -> int:
        place = _place(_fold(token), self.choices)
        if len(self) < _KNOWN_TOKENS:
            self[token] = place
        return place


@functools.lru_cache(maxsize=64)
def _places(choices: tuple[str, ...]) -> _Places:
    return _Places(choices)


def _fold(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold().lstrip(" \t\r\n▁")


def _place(token: str, choices: Sequence[str]) -> int:
    """Return the index of the one choice that a folded token stands for, or why there is none."""
    if not token:
        return _BLANK
    begun = [i for i, choice in enumerate(choices) if _begins(choice, token)]
    if len(begun) > 1:
        return _SEVERAL
    if begun:
        return _NONE if token in _OPENERS and token != choices[begun[0]] else begun[0]
    ended = [i for i, choice in enumerate(choices) if choice and _is_choice_and_marks(token, choice)]
    return max(ended, key=lambda i: len(choices[i]), default=_NONE)


def _begins(choice: str, token: str) -> bool:
    if choice.startswith(token):
        return True
    # A token may end inside a character: `_token` keeps its bytes as lone surrogates.
    broken = any("\udc80" <= character <= "\udcff" for character in token)
    return broken and choice.encode("utf-8", "replace").startswith(token.encode("utf-8", "surrogateescape"))


def _is_choice_and_marks(token: str, choice: str) -> bool:
    return token.startswith(choice) and all(c in _AFTER or c.isspace() for c in token[len(choice) :])


@dataclass(slots=True)
class _Tally:
    """Probability found so far for each choice."""

    places: _Places
    weights: list[float] = field(init=False)
    ambiguous: list[tuple[str, float]] = field(default_factory=list[tuple[str, float]])
    listed: set[str] = field(default_factory=set[str])
    smallest: float = 1.0
    unlisted: float = 0.0
    """What the lists leave over."""
    seen: bool = False

    def __post_init__(self) -> None:
        self.weights = [0.0] * len(self.places.choices)

    def read(self, content: Any) -> None:
        """Add the first token's list, and the next ones' as long as the reply is only white space."""
        reached = 1.0
        for position in content[:_BLANK_TOKENS]:
            self._add(_list_at(position), reached)
            if self.places[_token(position)] != _BLANK:
                return
            reached *= math.exp(position["logprob"])

    def _add(self, tokens: dict[str, float], reached: float) -> None:
        self.seen = self.seen or bool(tokens)
        for token, probability in tokens.items():
            weight = reached * probability
            self.smallest = min(self.smallest, weight)
            place = self.places[token]
            if place >= 0:
                self.weights[place] += weight
            elif place == _SEVERAL:
                self.ambiguous.append((_fold(token), weight))
        total = math.fsum(tokens.values())
        if not total <= 1 + _ROUNDING:
            raise ValueError
        self.unlisted += reached * max(0.0, 1 - total)
        self.listed.update(tokens)

    def scores(self) -> ChoiceScores:
        """Return what was found."""
        undecided = self._settle()
        mass = math.fsum(self.weights)
        if mass < _LEAST_MASS or undecided > _MOST_AMBIGUOUS * (mass + undecided):
            return ChoiceScores(None, min(mass, 1.0))
        missing = self.weights.count(0.0)
        upper = min(self.smallest, self.unlisted / missing) if missing else 0.0
        floor = max(upper / 2, self.smallest * _SMALLEST_SHARE)
        weights = [weight or floor for weight in self.weights]
        total = math.fsum(weights)
        return ChoiceScores(tuple(weight / total for weight in weights), min(mass, 1.0))

    def _settle(self) -> float:
        """Give tokens that begin several choices to the one that they equal, where that is certain; return the rest."""
        if not self.ambiguous:
            return 0.0
        listed = [_fold(token) for token in self.listed]
        rest = 0.0
        for token, weight in self.ambiguous:
            place = _told_apart(token, listed, self.places.choices)
            if place >= 0:
                self.weights[place] += weight
            else:
                rest += weight
        return rest


def _told_apart(token: str, listed: Sequence[str], choices: Sequence[str]) -> int:
    equal = [i for i, choice in enumerate(choices) if choice == token]
    longer = [choice for choice in choices if choice != token and choice.startswith(token)]
    tokens = [other for other in listed if len(other) > len(token) and other.startswith(token)]
    if len(equal) == 1 and all(any(choice.startswith(other) for other in tokens) for choice in longer):
        return equal[0]
    return _SEVERAL


def _list_at(position: Any) -> dict[str, float]:
    tokens: dict[str, float] = {}
    for top in position["top_logprobs"]:
        log_probability = top["logprob"]
        if log_probability is not None and log_probability >= _LEAST_LOG_PROBABILITY:
            token = _token(top)
            tokens[token] = tokens.get(token, 0.0) + math.exp(log_probability)
        elif log_probability != log_probability:  # noqa: PLR0124 - NaN, which no comparison finds
            raise ValueError
    own = _token(position)
    if own not in tokens and position["logprob"] >= _LEAST_LOG_PROBABILITY:
        tokens[own] = math.exp(position["logprob"])
    return tokens


def _token(entry: Any) -> str:
    token: str = entry["token"]
    if "\ufffd" in token and isinstance(entry.get("bytes"), list):
        return bytes(entry["bytes"]).decode("utf-8", "surrogateescape")
    return token
