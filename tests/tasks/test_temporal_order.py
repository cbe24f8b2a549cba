"""Links between events: what follows, what contradicts, what is cheapest to drop (survey 0.07)."""

import itertools
import random
from collections.abc import Sequence
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.tasks.temporal_order import (
    INVERSES,
    RELATIONS,
    Link,
    TimeGraph,
    find_cycles,
    inverse,
    partial_order,
    reduced,
    repair,
)

NAMES = "ABCD"
Interval = tuple[int, int]


def link(text: str) -> Link:
    source, relation, target = text.split()
    return Link(source, target, relation)


def links(text: str) -> list[Link]:
    return [link(each.strip()) for each in text.split(",")]


def relation_of(one: Interval, other: Interval) -> str:
    """Say how two intervals lie, by looking at them; those that only overlap have no name here."""
    if one == other:
        return "simultaneous"
    if one[1] < other[0]:
        return "before"
    if other[1] < one[0]:
        return "after"
    if one[0] < other[0] and other[1] < one[1]:
        return "includes"
    if other[0] < one[0] and one[1] < other[1]:
        return "is_included"
    return "overlaps"


@cache
def worlds(events: int) -> list[tuple[Interval, ...]]:
    """Return every way in which a few events can lie: as many moments as they have ends are enough."""
    moments = range(2 * events)
    intervals = [(start, end) for start in moments for end in moments if start < end]
    return list(itertools.product(intervals, repeat=events))


def possible(said: Sequence[Link], names: str) -> list[tuple[Interval, ...]]:
    at = {name: i for i, name in enumerate(names)}
    return [
        world
        for world in worlds(len(names))
        if all(
            relation in ("vague", relation_of(world[at[source]], world[at[target]]))
            for source, target, relation in said
        )
    ]


def some_links(names: str, most: int) -> st.SearchStrategy[list[Link]]:
    pairs = st.sampled_from(list(itertools.permutations(names, 2)))
    one = st.tuples(pairs, st.sampled_from(RELATIONS)).map(lambda drawn: Link(*drawn[0], drawn[1]))
    return st.lists(one, max_size=most)


THREE = some_links("ABC", 5)
MANY = some_links("ABCDEF", 12)


@given(THREE)
def test_what_follows_is_what_is_so_in_every_world(said: list[Link]) -> None:
    left = possible(said, "ABC")
    if not left:
        assert find_cycles(said)
        with pytest.raises(ValueError, match="contradict"):
            TimeGraph(said)
        return
    assert find_cycles(said) == ()
    graph = TimeGraph(said, "ABC")
    for one, other in itertools.permutations(range(3), 2):
        seen = {relation_of(world[one], world[other]) for world in left}
        expected = seen.pop() if len(seen) == 1 and seen != {"overlaps"} else None
        assert graph.relation("ABC"[one], "ABC"[other]) == expected


def test_what_no_table_of_intervals_finds_follows() -> None:
    """A includes X, X before B, B before Y, A includes Y: B begins after A begins and ends before A ends."""
    graph = TimeGraph(links("A includes X, X before B, B before Y, A includes Y"))
    assert graph.relation("A", "B") == "includes"


def test_the_closure_has_every_link_both_ways_round() -> None:
    closed = TimeGraph(links("A before B, B includes C, C simultaneous D")).links()
    assert closed == {
        *links("A before B, B after A, B includes C, C is_included B, C simultaneous D, D simultaneous C"),
        *links("A before C, C after A, A before D, D after A, B includes D, D is_included B"),
    }
    assert all(inverse(each) in closed for each in closed)


@given(MANY)
def test_the_closure_of_the_closure_is_the_closure(said: list[Link]) -> None:
    if find_cycles(said):
        return
    closed = TimeGraph(said).links()
    assert TimeGraph(closed).links() == closed
    assert {each for each in said if each.relation != "vague"} <= closed


def test_vague_says_nothing() -> None:
    assert TimeGraph(links("A vague B, B before C")).links() == set(links("B before C, C after B"))
    assert find_cycles(links("A vague B, B vague C, C vague A, A before B")) == ()


@pytest.mark.parametrize("relation", RELATIONS)
def test_an_inverse_of_an_inverse_is_the_link(relation: str) -> None:
    assert INVERSES[INVERSES[relation]] == relation
    assert inverse(inverse(Link("A", "B", relation))) == Link("A", "B", relation)


def test_a_planted_cycle_is_named_by_its_three_links() -> None:
    """Survey 0.07."""
    story = [Link(f"E{i}", f"E{i + 1}", "before") for i in range(30)]
    story += [Link("E40", "E3", "includes"), Link("E41", "E5", "simultaneous"), Link("E12", "E10", "before")]
    assert find_cycles(story) == ((10, 11, len(story) - 1),)


@pytest.mark.parametrize(
    ("said", "cycles"),
    [
        ("A before A", [(0,)]),
        ("A includes A", [(0,)]),
        ("A simultaneous A", []),
        ("A before B, B after A", []),
        ("A before B, B before A", [(0, 1)]),
        ("A includes B, B includes A", [(0, 1)]),
        ("A before B, A includes B", [(0, 1)]),
        ("A before B, B simultaneous A", [(0, 1)]),
        ("A before B, B before C, A after C", [(0, 1, 2)]),
        ("A before B, B includes C, C simultaneous D, D before A", [(0, 1, 2, 3)]),
        ("A before B, B before C, C before A, C before D, D before B", [(0, 1, 2), (1, 3, 4)]),
        ("X before A, A before B, B before A, B before Y", [(1, 2)]),
    ],
)
def test_links_that_contradict_each_other_are_found(said: str, cycles: list[tuple[int, ...]]) -> None:
    assert list(find_cycles(links(said))) == cycles


@given(MANY)
def test_a_cycle_is_no_cycle_without_any_one_of_its_links(said: list[Link]) -> None:
    for cycle in find_cycles(said):
        chosen = [said[i] for i in cycle]
        assert find_cycles(chosen)
        assert all(not find_cycles(chosen[:i] + chosen[i + 1 :]) for i in range(len(chosen)))


@given(MANY, st.randoms(use_true_random=False))
def test_whether_there_is_a_cycle_does_not_hang_on_order_or_direction(said: list[Link], chance: random.Random) -> None:
    turned = [chance.choice([each, inverse(each)]) for each in said]
    chance.shuffle(turned)
    assert bool(find_cycles(turned)) == bool(find_cycles(said))


def cheapest(said: Sequence[Link], confidences: Sequence[float]) -> float:
    """Try every set of links to drop."""
    sets = itertools.chain.from_iterable(itertools.combinations(range(len(said)), n) for n in range(len(said) + 1))
    return min(
        sum(confidences[i] for i in dropped)
        for dropped in sets
        if not find_cycles([said[i] for i in range(len(said)) if i not in dropped])
    )


@given(st.lists(st.tuples(THREE.filter(bool).map(lambda said: said[0]), st.integers(0, 10)), max_size=7))
def test_a_repair_loses_the_least_confidence_that_can_be_lost(weighted: list[tuple[Link, int]]) -> None:
    said, confidences = [each for each, _ in weighted], [weight / 10 for _, weight in weighted]
    mended = repair(said, confidences)
    assert mended.exact
    assert sorted(mended.kept + mended.dropped) == list(range(len(said)))
    assert not find_cycles([said[i] for i in mended.kept])
    assert sum(confidences[i] for i in mended.dropped) == pytest.approx(cheapest(said, confidences))


def test_a_repair_drops_the_link_that_is_least_sure() -> None:
    cycle = links("A before B, B before C, C before A")
    assert repair(cycle, [0.9, 0.4, 0.8]).dropped == (1,)
    assert repair(cycle, [0.9, 0.8, 0.4]).dropped == (2,)
    assert repair(links("A before B, B before C"), [0.1, 0.1]).dropped == ()


def test_two_cycles_are_mended_by_the_link_that_they_share() -> None:
    """Taking the surest links first would drop two that are sure enough, 0.5 and 0.5, and keep the shared 0.6."""
    said = links("A before B, B before C, C before A, B before D, D before A")
    mended = repair(said, [0.6, 0.9, 0.5, 0.9, 0.5])
    assert (mended.dropped, mended.exact, mended.tied) == ((0,), True, False)


def test_a_tie_is_said_to_be_one() -> None:
    cycle = links("A before B, B before C, C before A")
    assert repair(cycle, [0.5, 0.5, 0.5]).tied
    assert repair(cycle, [0.5, 0.5, 0.5]).dropped == (2,)
    assert not repair(cycle, [0.5, 0.5, 0.4]).tied


def test_a_tangle_too_large_to_try_everything_is_mended_all_the_same() -> None:
    chance = random.Random(7)
    names = [f"E{i}" for i in range(14)]
    said = [Link(one, other, "before") for one, other in (chance.sample(names, 2) for _ in range(90))]
    confidences = [chance.random() for _ in said]
    mended = repair(said, confidences)
    assert not mended.exact
    assert not find_cycles([said[i] for i in mended.kept])
    assert mended.dropped


@pytest.mark.parametrize("confidences", [[0.5], [0.5, float("nan")], [0.5, -0.1]])
def test_a_repair_wants_a_confidence_for_each_link(confidences: list[float]) -> None:
    with pytest.raises(ValueError, match="2 confidences"):
        repair(links("A before B, B before A"), confidences)


def test_links_that_follow_from_others_can_be_left_out() -> None:
    said = links("A before B, B before C, A before C, C vague A, B after A")
    assert reduced(said) == tuple(links("B before C, C vague A, B after A"))


@given(MANY)
def test_what_is_left_says_as_much(said: list[Link]) -> None:
    if find_cycles(said):
        return
    left = reduced(said)
    assert TimeGraph(left).links() == TimeGraph(said).links()
    assert len(reduced(left)) == len(left)


def test_an_order_has_ties() -> None:
    order = partial_order(links("A before B, C simultaneous B, D includes A, B before E"), "EDCBA")
    assert order.layers == (("D", "A"), ("C", "B"), ("E",))
    assert order.before == {("A", "B"), ("A", "C"), ("A", "E"), ("B", "E"), ("C", "E")}


def test_events_without_links_are_in_the_order_too() -> None:
    assert partial_order([], "AB").layers == (("A", "B"),)
    assert partial_order([]).layers == ()


@given(MANY)
def test_no_event_is_in_a_layer_with_one_before_it(said: list[Link]) -> None:
    if find_cycles(said):
        return
    order = partial_order(said, "ABCDEF")
    layer = {event: i for i, events in enumerate(order.layers) for event in events}
    assert sorted(layer) == list("ABCDEF")
    assert all(layer[one] < layer[other] for one, other in order.before)
    assert all((one, other) not in order.before or (other, one) not in order.before for one, other in order.before)


def test_a_chain_of_thousands_of_events_is_closed() -> None:
    said = [Link(f"E{i}", f"E{i + 1}", "before") for i in range(3000)]
    assert TimeGraph(said).relation("E0", "E3000") == "before"
    assert find_cycles(said) == ()
    assert find_cycles([*said, Link("E7", "E5", "before")]) == ((5, 6, 3000),)
