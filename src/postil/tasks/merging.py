"""One value out of many weighted values."""

from collections import defaultdict
from collections.abc import Hashable, Iterable
from typing import TypeVar

Value = TypeVar("Value", bound=Hashable)


def heaviest(weighted: Iterable[tuple[Value, float]]) -> Value | None:
    """Return the value with the largest total weight, `None` for no values or a tie."""
    totals: defaultdict[Value, float] = defaultdict(float)
    for value, weight in weighted:
        totals[value] += weight
    if not totals:
        return None
    best = max(totals.values())
    winners = [value for value, total in totals.items() if total == best]
    return winners[0] if len(winners) == 1 else None
