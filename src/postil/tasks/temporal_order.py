"""Events in time: what follows from links between them, which links contradict each other, what order is left.

An event is an interval. A link is an order between the ends of two of them: A before B means that A ends before B
begins, A includes B that A begins before B and ends after it, simultaneous that both begin and end together; vague
says nothing. So links are a graph of points in which an edge leads to something later (Vilain & Kautz 1986; Miller &
Schubert 1990), and all that follows from them is found by following edges. A table that composes the relations of
intervals misses some of it: if A includes X, X is before B, B before Y and A includes Y, then A includes B. Whether
what is included may begin or end together with what includes it makes no difference to what follows.

Pure: links in, links out (survey 0.07).
"""

import itertools
import math
from collections import deque
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = [
    "INVERSES",
    "RELATIONS",
    "Link",
    "PartialOrder",
    "Repair",
    "TimeGraph",
    "find_cycles",
    "inverse",
    "partial_order",
    "reduced",
    "repair",
]

INVERSES: Final[Mapping[str, str]] = {
    "before": "after",
    "after": "before",
    "includes": "is_included",
    "is_included": "includes",
    "simultaneous": "simultaneous",
    "vague": "vague",
}
RELATIONS: Final = tuple(INVERSES)

_SEARCHED: Final = 1000
"""Sets of links that are tried in search of the cheapest to drop; where there are more, a cheap one must do."""
_LOOKED_AT: Final = 50_000
"""Links that are looked at in all these sets together, so that a reply of thousands costs no more."""

_Point = tuple[str, int]
"""An event's beginning (0) or end (1)."""


class Link(NamedTuple):
    """How one event lies to another: `source` is before, after, … `target`."""

    source: str
    target: str
    relation: str


def inverse(link: Link) -> Link:
    """Return the link that says the same the other way round."""
    return Link(link.target, link.source, INVERSES[link.relation])


def _orders(link: Link) -> Iterator[tuple[_Point, _Point]]:
    """Yield what a link says of points: the first of each pair is earlier."""
    first, second, relation = inverse(link) if link.relation in ("after", "is_included") else link
    if relation == "before":
        yield (first, 1), (second, 0)
    elif relation == "includes":
        yield (first, 0), (second, 0)
        yield (second, 1), (first, 1)


class TimeGraph:
    """All that follows from links which do not contradict each other: their transitive closure.

    `reach` holds, for each point, the bits of the points that are later.
    """

    def __init__(self, links: Iterable[Link], events: Iterable[str] = ()) -> None:
        """Close the links; `events` adds those without links.

        Raises:
            ValueError: the links contradict each other.
        """
        links = tuple(links)
        self.events = tuple(dict.fromkeys([*events, *(event for link in links for event in link[:2])]))
        self._together = _together(links)
        order, later = _sorted_points(links, self._together)
        if len(order) < len(later):
            raise ValueError("the links contradict each other")
        self._bit = {point: 1 << i for i, point in enumerate(order)}
        self._reach: dict[_Point, int] = {}
        for point in reversed(order):
            self._reach[point] = 0
            for each in later[point]:
                self._reach[point] |= self._bit[each] | self._reach[each]

    def relation(self, source: str, target: str) -> str | None:
        """Return the relation that follows for two events, `None` where none does."""
        first, second = self._together.get(source, source), self._together.get(target, target)
        if first == second:
            return "simultaneous"
        if self._earlier((first, 1), (second, 0)):
            return "before"
        if self._earlier((second, 1), (first, 0)):
            return "after"
        if self._earlier((first, 0), (second, 0)) and self._earlier((second, 1), (first, 1)):
            return "includes"
        if self._earlier((second, 0), (first, 0)) and self._earlier((first, 1), (second, 1)):
            return "is_included"
        return None

    def links(self) -> frozenset[Link]:
        """Return every link that follows, both ways round."""
        pairs = ((one, other) for one in self.events for other in self.events if one != other)
        found = ((*pair, self.relation(*pair)) for pair in pairs)
        return frozenset(Link(one, other, relation) for one, other, relation in found if relation)

    def _earlier(self, first: _Point, second: _Point) -> bool:
        return bool(self._reach.get(first, 0) & self._bit.get(second, 0))


def _together(links: Sequence[Link]) -> dict[str, str]:
    """Return for each event the one that stands for all that are simultaneous with it."""
    first: dict[str, str] = {}

    def root(event: str) -> str:
        while first.setdefault(event, event) != event:
            first[event] = first[first[event]]
            event = first[event]
        return event

    for link in links:
        one, other = root(link.source), root(link.target)
        if link.relation == "simultaneous":
            first[other] = one
    return {event: root(event) for event in list(first)}


def _sorted_points(
    links: Sequence[Link], together: Mapping[str, str]
) -> tuple[list[_Point], dict[_Point, list[_Point]]]:
    """Return the points, earlier ones first, and what is later than each.

    Points on a cycle and those after it are not among the first: time runs round there (Kahn 1962).
    """
    later: dict[_Point, list[_Point]] = {}
    for event in dict.fromkeys(together.values()):
        later[event, 0], later[event, 1] = [(event, 1)], []
    for link in links:
        for (first, one), (second, other) in _orders(link):
            later[together[first], one].append((together[second], other))
    waiting = dict.fromkeys(later, 0)
    for points in later.values():
        for point in points:
            waiting[point] += 1
    order = [point for point, count in waiting.items() if not count]
    for point in order:
        for each in later[point]:
            waiting[each] -= 1
            if not waiting[each]:
                order.append(each)
    return order, later


def _contradict(links: Sequence[Link]) -> bool:
    order, later = _sorted_points(links, _together(links))
    return len(order) < len(later)


def find_cycles(links: Sequence[Link], *, most: int | None = None) -> tuple[tuple[int, ...], ...]:
    """Return sets of links, by their places, that cannot all be true though those of a set without any one can.

    There is none if and only if all links can be true. Each link on a way round in time is in a set that was found on
    its shortest way round, unless no more than `most` sets are wanted; the smallest sets come first.
    """
    found: dict[tuple[int, ...], None] = {}
    named: set[int] = set()
    steps = _steps(links, suspects := _suspects(links, range(len(links))))
    for i in suspects:
        if i not in named and (cycle := _cycle_through(links, steps, i)):
            found[cycle] = None
            named.update(cycle)
        if len(found) == most:
            break
    return tuple(sorted(found, key=lambda cycle: (len(cycle), cycle)))


def _suspects(links: Sequence[Link], kept: Sequence[int]) -> list[int]:
    """Return the links between events that are on ways round in time, or between two such; none if there are none."""
    said = [links[i] for i in kept]
    together = _together(said)
    order, later = _sorted_points(said, together)
    events = {event for event, _ in _with_ways_on(later.keys() - order, later)}
    return [i for i in kept if together[links[i].source] in events and together[links[i].target] in events]


def _with_ways_on(points: Collection[_Point], later: Mapping[_Point, Sequence[_Point]]) -> set[_Point]:
    """Return the points from which ways lead on and on among them."""
    left = set(points)
    onward = {point: sum(each in left for each in later[point]) for point in left}
    earlier: dict[_Point, list[_Point]] = {point: [] for point in left}
    for point in left:
        for each in later[point]:
            if each in left:
                earlier[each].append(point)
    ends = [point for point, count in onward.items() if not count]
    for end in ends:
        left.discard(end)
        for point in earlier[end]:
            onward[point] -= 1
            if not onward[point]:
                ends.append(point)
    return left


def _cycle_through(
    links: Sequence[Link], steps: Mapping[_Point, Sequence["_Step"]], wanted: int
) -> tuple[int, ...] | None:
    """Return the links on the shortest way round through a link, less those that it does without."""
    own = _own_steps(steps, links[wanted], wanted)
    ways = [way for start, step in own if (way := _way(steps, step, start)) is not None]
    if not ways:
        return None
    cycle = {*min(ways, key=len), wanted}
    for i in sorted(cycle, key=lambda i: (i == wanted, i)):
        if _contradict([links[j] for j in sorted(cycle - {i})]):
            cycle.discard(i)
    return tuple(sorted(cycle))


class _Step(NamedTuple):
    """A way from a point to one that is later or the same; `link` says so, `None` where it is so of every event."""

    point: _Point
    later: bool
    link: int | None


def _steps(links: Sequence[Link], kept: Iterable[int]) -> dict[_Point, list[_Step]]:
    steps: dict[_Point, list[_Step]] = {}
    for i in kept:
        _add_steps(steps, links[i], i)
    return steps


def _add_steps(steps: dict[_Point, list[_Step]], link: Link, at: int) -> None:
    for event in link[:2]:
        steps.setdefault((event, 0), [_Step((event, 1), True, None)])
        steps.setdefault((event, 1), [])
    for first, second in _orders(link):
        steps[first].append(_Step(second, True, at))
    if link.relation == "simultaneous":
        for one, other in (link[:2], link[1::-1]):
            for end in (0, 1):
                steps[one, end].append(_Step((other, end), False, at))


def _own_steps(steps: Mapping[_Point, Sequence[_Step]], link: Link, at: int) -> list[tuple[_Point, _Step]]:
    """Return the steps that a link makes, with the points that they start from."""
    starts = itertools.product(dict.fromkeys(link[:2]), (0, 1))
    return [(start, step) for start in starts for step in steps[start] if step.link == at]


def _way(steps: Mapping[_Point, Sequence[_Step]], first: _Step, goal: _Point) -> list[int] | None:
    """Return the links on the shortest way from a step's end to a point, time passing somewhere; `None` if none."""
    begun = (first.point, first.later)
    came: dict[tuple[_Point, bool], tuple[tuple[_Point, bool], int | None] | None] = {begun: None}
    waiting = deque([begun])
    while waiting:
        at = waiting.popleft()
        if at == (goal, True):
            return list(_walked(came, at))
        for step in steps[at[0]]:
            ahead = (step.point, at[1] or step.later)
            if ahead not in came:
                came[ahead] = at, step.link
                waiting.append(ahead)
    return None


def _walked(
    came: Mapping[tuple[_Point, bool], tuple[tuple[_Point, bool], int | None] | None], at: tuple[_Point, bool]
) -> Iterator[int]:
    before = came[at]
    while before is not None:
        at, link = before
        if link is not None:
            yield link
        before = came[at]


@dataclass(frozen=True, slots=True)
class Repair:
    """Links made consistent by dropping some, all by their places."""

    kept: tuple[int, ...]
    dropped: tuple[int, ...]
    exact: bool
    """Whether no other choice could lose less confidence, rather than none that was tried."""
    tied: bool
    """Whether another choice of as many links would lose as much."""


def repair(links: Sequence[Link], confidences: Sequence[float]) -> Repair:
    """Return which links to drop so that the others can all be true and the least confidence is lost.

    To find the cheapest is NP-hard (a minimum feedback arc set). Up to a thousand sets are tried, by branching on the
    links of one contradiction after the other, which is exact for what annotators give: some links, a few of them
    wrong. Beyond, the best set found is taken, never a worse one than links taken greedily, surest first, would leave.
    Of sets that lose as much, one that drops fewer links goes first, then one that drops later links.

    Raises:
        ValueError: there is not one finite confidence of 0 or more for each link.
    """
    if len(links) != len(confidences) or not all(math.isfinite(each) and each >= 0 for each in confidences):
        raise ValueError(f"expected {len(links)} confidences of 0 or more, got {list(confidences)!r:.200}")
    best = [_greedily_dropped(links, confidences)]
    seen: set[frozenset[int]] = set()
    waiting = [frozenset[int]()]
    tries = min(_SEARCHED, _LOOKED_AT // max(1, len(links)))
    while waiting and len(seen) < tries:
        dropped = waiting.pop()
        # What is dropped only grows: a set that loses more already leads nowhere.
        if dropped in seen or _compared(dropped, best[0], confidences) > 0:
            continue
        seen.add(dropped)
        conflict = _conflict(links, [i for i in range(len(links)) if i not in dropped])
        if conflict is not None:
            waiting.extend(dropped | {i} for i in sorted(conflict, key=lambda i: (-confidences[i], i)))
        elif _compared(dropped, best[0], confidences) < 0:
            best = [dropped]
        elif dropped not in best:
            best.append(dropped)
    chosen = max(best, key=sorted)
    kept = tuple(i for i in range(len(links)) if i not in chosen)
    return Repair(kept, tuple(sorted(chosen)), exact=not waiting, tied=len(best) > 1)


def _greedily_dropped(links: Sequence[Link], confidences: Sequence[float]) -> frozenset[int]:
    """Return what is left out when links are taken surest first, each unless it contradicts those before."""
    dropped: set[int] = set()
    steps: dict[_Point, list[_Step]] = {}
    for i in sorted(range(len(links)), key=lambda i: (-confidences[i], i)):
        _add_steps(steps, links[i], i)
        own = _own_steps(steps, links[i], i)
        if any(_way(steps, step, start) is not None for start, step in own):
            dropped.add(i)
            for start, step in own:
                steps[start].remove(step)
    return frozenset(dropped)


def _conflict(links: Sequence[Link], kept: Sequence[int]) -> tuple[int, ...] | None:
    steps = _steps(links, suspects := _suspects(links, kept))
    cycles = (_cycle_through(links, steps, i) for i in suspects)
    return next((cycle for cycle in cycles if cycle), None)


def _compared(one: Collection[int], other: Collection[int], confidences: Sequence[float]) -> int:
    """Return whether dropping one set is better (below 0), as good (0) or worse than another (above 0)."""
    losses = [math.fsum(confidences[i] for i in dropped) for dropped in (one, other)]
    if not math.isclose(*losses, rel_tol=1e-9, abs_tol=1e-12):
        return -1 if losses[0] < losses[1] else 1
    return len(one) - len(other)


def reduced(links: Sequence[Link]) -> tuple[Link, ...]:
    """Return consistent links without those that follow from the others, so that each says something of its own.

    Vague links follow from nothing and stay. Of several that say the same, the last stays.

    Raises:
        ValueError: the links contradict each other.
    """
    kept = list(links)
    for link in links:
        others = kept.copy()
        others.remove(link)
        if link.relation != "vague" and TimeGraph(others).relation(link.source, link.target) == link.relation:
            kept = others
    return tuple(kept)


@dataclass(frozen=True, slots=True)
class PartialOrder:
    """Which events are over before which others begin."""

    before: frozenset[tuple[str, str]]
    """Every pair of which the first is before the second."""
    layers: tuple[tuple[str, ...], ...]
    """All events, each in the first layer after all that are before it. Those in one layer are ties: simultaneous, one
    during the other, or of unknown order."""


def partial_order(links: Iterable[Link], events: Sequence[str] = ()) -> PartialOrder:
    """Return the order that follows from consistent links; `events` come in their order within a layer.

    Raises:
        ValueError: the links contradict each other.
    """
    graph = TimeGraph(links, events)
    before: dict[str, list[str]] = {event: [] for event in graph.events}
    for one in graph.events:
        for other in graph.events:
            if graph.relation(one, other) == "before":
                before[other].append(one)
    depth: dict[str, int] = {}
    # What is before an event has fewer events before it.
    for event in sorted(graph.events, key=lambda event: len(before[event])):
        depth[event] = max((depth[each] + 1 for each in before[event]), default=0)
    layers: list[list[str]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for event in graph.events:
        layers[depth[event]].append(event)
    pairs = frozenset((one, event) for event, earlier in before.items() for one in earlier)
    return PartialOrder(pairs, tuple(map(tuple, layers)))
