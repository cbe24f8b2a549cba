"""Waits between attempts: no shorter than the server asks, shared by all, never endless."""

import random
import time
from pathlib import Path

import pytest

from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import (
    AttemptTimedOut,
    AuthenticationFailed,
    BrokenReply,
    ConnectionLost,
    ContextExceeded,
    EngineError,
    Overloaded,
    RateLimited,
    ServerFault,
    ServerUnreachable,
)
from postil.runner import Policy
from postil.runner.retries import LONGEST_WAIT, Retries
from postil.types import Completion, Request
from tests.runner import scene


def test_waits_grow_and_stay_below_their_bounds() -> None:
    some = Retries(random.Random(0), first_wait=0.5)
    for attempt in range(1, 12):
        waits = [some.wait_after(ServerFault("no"), attempt) for _ in range(300)]
        bound = min(LONGEST_WAIT, 0.5 * 2 ** (attempt - 1))
        assert 0 <= min(waits) < bound / 10
        assert bound * 0.9 < max(waits) <= bound
        assert bound * 0.4 < sum(waits) / 300 < bound * 0.6, "spread out evenly, so that workers part"


@pytest.mark.parametrize(("asked", "waited"), [(5.0, 5.0), (0.0, 0.0), (-3.0, 0.0), (86_400.0, LONGEST_WAIT)])
def test_a_server_is_obeyed_within_bounds(asked: float, waited: float) -> None:
    some = Retries(random.Random(0), first_wait=0.0)
    assert some.wait_after(RateLimited("no", retry_after=asked), 1) == waited
    assert some.wait_after(ServerFault("no", retry_after=asked), 1) == waited


def test_what_may_pass_is_tried_again_up_to_the_last_attempt() -> None:
    some = Retries(random.Random(0), attempts=3)
    for error in (RateLimited("no"), ServerFault("no"), Overloaded("no"), ConnectionLost("no"), AttemptTimedOut("no")):
        assert [some.again(error, attempt, has_answered=False) for attempt in (1, 2, 3)] == [True, True, False]
    for error in (AuthenticationFailed("no"), ContextExceeded("no")):
        assert not some.again(error, 1, has_answered=True)


def test_a_server_that_has_answered_may_come_back() -> None:
    some = Retries(random.Random(0), attempts=3)
    gone = ServerUnreachable("nothing answers")
    assert not some.again(gone, 1, has_answered=False), "a wrong address"
    assert [some.again(gone, attempt, has_answered=True) for attempt in (1, 2, 3)] == [True, True, False]


@pytest.mark.parametrize("error", [ConnectionLost("no"), AttemptTimedOut("no"), BrokenReply("no")])
def test_what_may_have_been_paid_for_is_not_sent_again_if_it_is_to_be_held(error: EngineError) -> None:
    assert not Retries(random.Random(0), lost="hold").again(error, 1, has_answered=True)
    assert Retries(random.Random(0), lost="hold").again(ServerFault("no"), 1, has_answered=True)


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
