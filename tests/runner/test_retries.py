"""Waits between attempts: no shorter than the server asks, shared by all, never endless."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import ConnectionLost, RateLimited, ServerFault
from postil.runner import Policy
from postil.runner.halt import Halt, Stop
from postil.runner.retries import LONGEST_WAIT, Retries
from postil.types import Completion, Request
from tests.runner import scene


def retries(**options: float) -> Retries:
    halt = Halt(None)
    halt.start()
    return Retries(halt, random.Random(0), 5, **options)


async def test_waits_grow_and_stay_below_their_bounds() -> None:
    some = retries(first_wait=0.5)
    for attempt in range(1, 12):
        waits = [some.wait_after(ServerFault("no"), attempt) for _ in range(300)]
        bound = min(LONGEST_WAIT, 0.5 * 2 ** (attempt - 1))
        assert 0 <= min(waits) < bound / 10
        assert bound * 0.9 < max(waits) <= bound
        assert bound * 0.4 < sum(waits) / 300 < bound * 0.6, "spread out evenly, so that workers part"


@pytest.mark.parametrize(("asked", "waited"), [(5.0, 5.0), (0.0, 0.0), (-3.0, 0.0), (86_400.0, LONGEST_WAIT)])
async def test_a_server_is_obeyed_within_bounds(asked: float, waited: float) -> None:
    some = retries(first_wait=0.0)
    assert some.wait_after(RateLimited("no", retry_after=asked), 1) == waited
    assert some.wait_after(ServerFault("no", retry_after=asked), 1) == waited


async def test_all_wait_when_one_is_told_to_send_less_and_then_start_apart() -> None:
    some = retries(first_wait=0.0)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    told = asyncio.create_task(some.after(RateLimited("no", retry_after=0.03), 1))
    await asyncio.sleep(0)
    starts: list[float] = []

    async def other() -> None:
        await some.ready()
        starts.append(loop.time() - begun)

    await asyncio.gather(told, *(other() for _ in range(8)))
    assert min(starts) >= 0.03
    assert len(set(starts)) > 4


async def test_a_connection_that_breaks_makes_nobody_else_wait() -> None:
    some = retries(first_wait=30.0)
    waiting = asyncio.create_task(some.after(ConnectionLost("no"), 5))
    await asyncio.sleep(0)
    await asyncio.wait_for(some.ready(), timeout=1)
    some.halt.stop("interrupted")
    await asyncio.wait_for(waiting, timeout=1)
    with pytest.raises(Stop):
        await some.ready()


async def test_no_request_leaves_in_the_time_that_the_server_asked_for(tmp_path: Path) -> None:
    """With the engine's own clock: the window opens when the refusal is given (reliability R11)."""
    window, refusals = 0.04, 3

    class Limited(ScriptedEngine):
        until = 0.0
        refused = early = 0

        async def complete(self, request: Request) -> Completion:
            if time.monotonic() < self.until:
                self.early += 1
            return await super().complete(request)

    def reply(request: Request) -> Reply:
        if len(engine.requests) % 10 == 5 and engine.refused < refusals:
            engine.refused += 1
            engine.until = time.monotonic() + window
            return RateLimited("slow down", retry_after=window)
        return scene.right(request)

    engine = Limited(reply)
    double = scene.annotator(engine)
    # One worker beside others that could start: more would be on their way when the refusal comes.
    with scene.journal(tmp_path, 40) as journal:
        await scene.run(journal, double, policy=Policy(1, 3, first_wait=0.001))
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert (engine.refused, engine.early) == (refusals, 0)
    assert len(engine.requests) == 40 + refusals
