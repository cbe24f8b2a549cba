"""One value out of many weighted values."""

import math
from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import TypeVar

Value = TypeVar("Value", bound=Hashable)


def heaviest(weighted: Iterable[tuple[Value, float]]) -> Value | None:
    """Return the value with the largest total weight, `None` for a tie, for no values and for no weight.

    Weights that differ by no more than rounding are equal: 0.1 + 0.2 against 0.3 is a tie.
    """
    weights: defaultdict[Value, list[float]] = defaultdict(list)
    for value, weight in weighted:
        weights[value].append(weight)
    totals = {value: math.fsum(each) for value, each in weights.items()}
    best = max(totals.values(), default=0.0)
    if not best > 0:
        return None
    winners = [value for value, total in totals.items() if math.isclose(total, best, rel_tol=1e-9)]
    return winners[0] if len(winners) == 1 else None
