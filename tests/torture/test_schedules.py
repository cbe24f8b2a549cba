"""Lives of a run on a virtual clock, one a seed: kills, storms, budgets, deadlines (H5, R3, R11, R12, R15)."""

import asyncio
from collections import Counter
from dataclasses import dataclass, field

import pytest

from tests.torture.clock import HungError, VirtualLoop, plan_of, story_of

SEEDS = range(200)


@dataclass
class Lived:
    """What many seeds came to."""

    figures: Counter[str] = field(default_factory=Counter[str])
    problems: dict[int, list[str]] = field(default_factory=dict[int, list[str]])
    early: dict[int, int] = field(default_factory=dict[int, int])


@pytest.fixture(scope="module")
def lived() -> Lived:
    found = Lived()
    for seed in SEEDS:
        story = story_of(seed)
        found.figures += story.figures
        if story.problems:
            found.problems[seed] = story.problems[:3]
        if story.figures["early"]:
            found.early[seed] = story.figures["early"]
        if len(found.problems) == 3:
            break  # enough to see what is wrong
    return found


def test_two_hundred_seeds_keep_every_invariant(lived: Lived) -> None:
    assert lived.problems == {}
    assert lived.figures["seeds"] == len(SEEDS)
    assert lived.figures["kills"] > 60
    assert lived.figures["answers"] > 2000
    assert lived.figures["bad_answers"] > 200
    assert lived.figures["paid_again"] > 50
    assert lived.figures["unexplained"] == 0


def test_no_request_comes_while_a_pause_is_on(lived: Lived) -> None:
    assert lived.early == {}


@pytest.mark.parametrize("seed", [20243011, 20243599, 20246831, 20247703])
def test_a_server_that_refuses_three_of_four_at_random_is_asked_to_the_end(seed: int) -> None:
    assert story_of(seed, records=150).problems == []


def test_a_server_that_refuses_at_random_stalls_nothing() -> None:
    assert story_of(20240286, records=150).problems == []


@pytest.mark.parametrize("seed", [3, 7, 11])
def test_a_seed_is_one_schedule(seed: int) -> None:
    first, second = story_of(seed), story_of(seed)
    assert first.schedule == second.schedule != story_of(seed + 1).schedule
    assert first.figures == second.figures


def test_plans_differ_and_cover_what_can_happen() -> None:
    plans = [plan_of(seed, 24) for seed in SEEDS]
    assert {end for plan in plans for end, _ in plan.ends} == {"kill", "interrupt", "budget", "deadline"}
    assert {plan.concurrency for plan in plans} >= {1, 16}
    assert len({fault for plan in plans for fault in plan.faults}) >= 13


def test_time_passes_only_when_nothing_else_is_to_do() -> None:
    loop = VirtualLoop()
    order: list[tuple[str, float]] = []

    async def sleep(name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        order.append((name, loop.time()))

    async def both() -> None:
        await asyncio.gather(sleep("long", 3600.0), sleep("short", 0.5))

    loop.run_until_complete(both())
    assert [name for name, _ in order] == ["short", "long"]
    assert order[1][1] == pytest.approx(3600, abs=0.01)
    with pytest.raises(HungError):
        loop.run_until_complete(loop.create_future())
    loop.close()
