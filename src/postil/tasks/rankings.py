"""Rankings with shared places, the pairs that they come to, and the pairs that they come from (survey 0.04)."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import NamedTuple

from postil.errors import DataError
from postil.tasks.reading import clip, fold
from postil.types import JSON, Answer

__all__ = ["TIE", "Pair", "Rankings", "beaten", "in_places", "pairs_of", "share", "weighted_mean"]

TIE = "tie"


class Pair(NamedTuple):
    """Two candidates and how strongly the first is preferred: 1 surely, 0.5 a tie, 0 surely not."""

    first: str
    second: str
    strength: float


def pairs_of(ranking: Sequence[str | Sequence[str]]) -> tuple[Pair, ...]:
    """Return the k(k − 1)/2 pairs that a ranking of k candidates says, the better one first.

    The best comes first in a ranking; those that share a place stand in one list, and each pair of them is a tie.

    Raises:
        DataError: a candidate stands in the ranking twice.
    """
    places = [[place] if isinstance(place, str) else place for place in ranking]
    placed = [(name, at) for at, place in enumerate(places) for name in place]
    if len({name for name, _ in placed}) < len(placed):
        raise DataError(f"expected a ranking in which every candidate stands once, got {clip(repr(ranking))}")
    return tuple(Pair(one, other, 0.5 if at == lower else 1.0) for (one, at), (other, lower) in combinations(placed, 2))


def beaten(pairs: Iterable[Pair]) -> Mapping[str, float]:
    """Return how many others each candidate beats, ties counted for half (Copeland 1951)."""
    points: dict[str, float] = {}
    for first, second, strength in pairs:
        points[first] = points.get(first, 0.0) + strength
        points[second] = points.get(second, 0.0) + 1 - strength
    return points


def in_places(points: Mapping[str, float]) -> list[list[str]]:
    """Return candidates by their points, the most first; points that differ by no more than rounding share a place."""
    places: list[list[str]] = []
    for name in sorted(points, key=lambda name: (-points[name], name)):
        if places and math.isclose(points[places[-1][0]], points[name], rel_tol=1e-9, abs_tol=1e-9):
            places[-1].append(name)
        else:
            places.append([name])
    return [sorted(place) for place in places]


@dataclass(frozen=True)
class Rankings:
    """The answers about more than two candidates: a ranking, and the strength of preference in each pair.

    A pair is written by its two letters: "ab" is the strength for "a" over "b".
    """

    names: tuple[str, ...]
    sides: Mapping[str, str]
    """Every folded word for a candidate -> its letter."""

    @cached_property
    def pairs(self) -> tuple[str, ...]:
        """The pairs, in the order of the candidates: "ab", "ac", …."""
        return tuple(one + other for one, other in combinations(self.names, 2))

    @cached_property
    def schema(self) -> Mapping[str, JSON]:
        """What a ranking looks like as JSON."""
        name = {"type": "string", "enum": [name.upper() for name in self.names]}
        places = {"type": "array", "items": {"type": "array", "items": name}}
        return {
            "type": "object",
            "properties": {"ranking": places},
            "required": ["ranking"],
            "additionalProperties": False,
        }

    def answer(self, places: Sequence[Sequence[str]], strengths: Mapping[str, float]) -> Answer:
        """Return an answer; the one that stands first alone is preferred."""
        first = places[0]
        return {
            "preferred": first[0] if len(first) == 1 else TIE,
            "ranking": [[*place] for place in places],
            "strengths": dict(strengths),
        }

    def accept(self, answer: Answer) -> Answer:
        """Return an answer from outside; without strengths each pair is as sure as the ranking says.

        Raises:
            DataError: it is no ranking of these candidates.
        """
        places = self._places(answer.get("ranking"))
        accepted = self.answer(places, self._strengths(places, answer.get("strengths")))
        said, first = answer.get("preferred"), accepted["preferred"]
        if said not in (None, first):
            raise DataError(f"expected {first!r} as preferred, as the ranking has it, got {clip(repr(said))}")
        return accepted

    def _places(self, ranking: JSON) -> list[list[str]]:
        places = [[each] if isinstance(each, str) else _list(each) for each in _list(ranking)]
        words = [fold(word) if isinstance(word, str) else "" for place in places for word in place]
        if sorted(self.sides.get(word, "") for word in words) != [*self.names] or not all(places):
            expected = f"a ranking in which each of {', '.join(map(repr, self.names))} stands once"
            raise DataError(f"expected {expected}, got {clip(repr(ranking))}")
        return [sorted(self.sides[fold(word)] for word in place) for place in places]

    def _strengths(self, places: Sequence[Sequence[str]], given: JSON) -> Mapping[str, float]:
        if given is None:
            sure = {pair.first + pair.second: pair.strength for pair in pairs_of(places)}
            return {pair: sure[pair] if pair in sure else 1 - sure[pair[::-1]] for pair in self.pairs}
        if not isinstance(given, Mapping) or set(given) != set(self.pairs):
            raise DataError(f"expected strengths of the pairs {', '.join(self.pairs)}, got {clip(repr(given))}")
        return {pair: share(given[pair]) for pair in self.pairs}

    def write(self, answer: Answer) -> str:
        """Return an answer as JSON that `accept` reads back."""
        held: dict[str, JSON] = {"ranking": [[name.upper() for name in place] for place in answer["ranking"]]}
        if self.accept(held)["strengths"] != dict(answer["strengths"]):
            held["strengths"] = dict(answer["strengths"])
        return json.dumps(held)

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return 1 less the mean distance of the strengths over the pairs."""
        one, other = first["strengths"], second["strengths"]
        return 1 - math.fsum(abs(one[pair] - other[pair]) for pair in self.pairs) / len(self.pairs)

    def merge(self, answers: Sequence[Answer], weights: Sequence[float]) -> Answer:
        """Return the ranking by the weighted mean of the candidates beaten (Borda), with the mean strengths."""
        each = [beaten(pairs_of(answer["ranking"])) for answer in answers]
        points = {name: weighted_mean([points[name] for points in each], weights) for name in self.names}
        strengths = {
            pair: weighted_mean([answer["strengths"][pair] for answer in answers], weights) for pair in self.pairs
        }
        return self.answer(in_places(points), strengths)

    def describe(self, answer: Answer) -> str:
        """Return the ranking as text: "b > a = c"."""
        return " > ".join(" = ".join(place) for place in answer["ranking"])


def _list(value: JSON) -> Sequence[JSON]:
    return value if isinstance(value, (list, tuple)) else ()


def share(value: JSON) -> float:
    """Return a strength, which text may say too.

    Raises:
        DataError: it is no number from 0 to 1.
    """
    number = value
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            number = None
    if isinstance(number, bool) or not isinstance(number, (int, float)) or not 0 <= number <= 1:
        raise DataError(f"expected a strength from 0 to 1, got {clip(repr(value))}")
    return float(number)


def weighted_mean(values: Sequence[float], weights: Sequence[float]) -> float:
    """Return the weighted mean of values, never beyond what it is the mean of."""
    mean = math.fsum(value * weight for value, weight in zip(values, weights, strict=True)) / math.fsum(weights)
    return min(max(mean, min(values)), max(values))
