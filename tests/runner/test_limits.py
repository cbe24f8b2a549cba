"""A server's limits are found and kept, whoever asks, in whatever form it tells of them (reliability R11)."""

import asyncio
import bisect
import math
import random
from collections.abc import Callable

import pytest

from postil.errors import (
    ConnectionLost,
    EngineError,
    Overloaded,
    RateLimited,
    ServerFault,
    ServerUnreachable,
)
from postil.runner.gate import Gate
from postil.runner.halt import Halt, Stop
from postil.runner.limits import FIRST_IN_FLIGHT, Limits
from postil.runner.pace import ONE_REQUEST
from postil.runner.policy import Policy
from postil.runner.retries import Retries
from tests.runner import virtual
from tests.runner.servers import USAGE, Crowd, FixedWindow, Limit, Server, TokenBucket, clock

ON_ITS_WAY = 0.011
"""Seconds that a refusal takes to arrive: what left before it came could not know."""


def refused(crowd: Crowd) -> float:
    return len(crowd.server.refusals) / len(crowd.server.at)


def kept_quiet(server: Server) -> bool:
    """Whether no request left in a time that the server had asked to be quiet in."""
    arrivals = sorted(server.at)
    return all(
        bisect.bisect_left(arrivals, until) == bisect.bisect_right(arrivals, at + ON_ITS_WAY)
        for at, until in server.refusals
        if until > at + ON_ITS_WAY
    )


# Pace


SERVERS: dict[str, tuple[Callable[[], Limit], int]] = {
    "evenly, a minute's worth at once": (lambda: TokenBucket(600, 600), 10),
    "evenly, a second's worth at once": (lambda: TokenBucket(600, 10), 10),
    "by the minute": (lambda: FixedWindow(600), 10),
    "evenly, fast": (lambda: TokenBucket(1500, 25), 25),
}
WISHES: dict[str, Callable[[float], float | None]] = {
    "to the moment": lambda wait: wait,
    "in whole seconds": lambda wait: float(math.ceil(wait)),
    "not at all": lambda _: None,
    "nonsense": lambda _: 0.0,
}


@pytest.mark.parametrize("wish", WISHES)
@pytest.mark.parametrize("limit", SERVERS)
def test_a_server_that_only_refuses_is_used_well_and_seldom_refuses(limit: str, wish: str) -> None:
    make, rate = SERVERS[limit]
    crowd = virtual.run(Crowd(Server(make(), asks=WISHES[wish]), 8, 3000).ask())
    assert (crowd.done, crowd.failed) == (3000, 0)
    assert refused(crowd) <= 0.01
    # Without a word when the minute is over, some of each is missed.
    enough = 0.8 if limit == "by the minute" and wish in {"not at all", "nonsense"} else 0.9
    assert crowd.done / crowd.ended >= enough * rate
    assert kept_quiet(crowd.server)


@pytest.mark.parametrize("limit", SERVERS)
def test_a_server_that_tells_of_its_limits_need_not_refuse(limit: str) -> None:
    make, rate = SERVERS[limit]
    crowd = virtual.run(Crowd(Server(make(), tells=True), 8, 3000).ask())
    assert (crowd.done, crowd.failed) == (3000, 0)
    assert refused(crowd) <= 0.002
    assert crowd.done / crowd.ended >= 0.95 * rate


@pytest.mark.parametrize("per_minute", [20, 600, 6000])
def test_a_declared_limit_is_never_passed_and_used(per_minute: int) -> None:
    policy = Policy(32, requests_per_minute=per_minute)
    crowd = virtual.run(Crowd(Server(), requests=3 * per_minute, policy=policy).ask())
    arrivals = sorted(crowd.server.at)
    assert max(bisect.bisect_left(arrivals, at + 60) - i for i, at in enumerate(arrivals)) <= per_minute
    assert crowd.done / crowd.ended >= 0.9 * per_minute / 60


@pytest.mark.parametrize("known", ["declared", "told"])
def test_tokens_are_limited_like_requests(known: str) -> None:
    each = USAGE.input_tokens + USAGE.output_tokens
    limit = TokenBucket(600 * each, 60 * each, "tokens")
    policy = Policy(8, tokens_per_minute=600 * each if known == "declared" else None)
    crowd = virtual.run(Crowd(Server(limit, tells=known == "told"), requests=2000, policy=policy).ask())
    assert crowd.done == 2000
    assert refused(crowd) <= 0.002
    assert crowd.done / crowd.ended >= 0.95 * 10


def test_all_runs_with_one_key_keep_one_pace_and_one_pause() -> None:
    async def together() -> tuple[Crowd, Crowd]:
        server = Server(TokenBucket(600, 10))
        one, other = Crowd(server, 8, 1500, seed=1), Crowd(server, 8, 1500, seed=2)
        await asyncio.gather(one.ask(), other.ask())
        return one, other

    one, other = virtual.run(together())
    assert one.done == other.done == 1500
    assert refused(one) <= 0.01
    assert kept_quiet(one.server)
    assert 3000 / max(one.ended, other.ended) >= 0.9 * 10


def test_no_run_with_the_same_key_is_left_with_nothing() -> None:
    async def together() -> tuple[Crowd, Crowd]:
        server = Server(most_at_once=4)
        one, other = Crowd(server, 64, 600, seed=1), Crowd(server, 64, 600, seed=2)
        await asyncio.gather(one.ask(), other.ask())
        return one, other

    for crowd in (crowds := virtual.run(together())):
        assert crowd.ended >= 0.8 * max(each.ended for each in crowds)


def test_what_one_run_has_learnt_the_next_one_knows() -> None:
    async def in_turn() -> tuple[int, int]:
        server = Server(TokenBucket(600, 10))
        await Crowd(server, 8, 300).ask()
        before = len(server.refusals)
        await Crowd(server, 8, 300).ask()
        return before, len(server.refusals) - before

    first, second = virtual.run(in_turn())
    assert first > 0
    assert second <= 1


@pytest.mark.parametrize("share", [0.003, 0.01, 0.1])
@pytest.mark.parametrize("asked", [None, 0.1])
def test_a_server_that_refuses_whatever_the_pace_is_not_asked_more_and_more_slowly(
    share: float, asked: float | None
) -> None:
    rng = random.Random(2)
    server = Server(fails=lambda _: RateLimited("no", retry_after=asked) if rng.random() < share else None)
    crowd = virtual.run(Crowd(server, 8, 6000).ask())
    assert (crowd.done, crowd.failed) == (6000, 0)
    assert crowd.done / crowd.ended >= 10, "forty without refusals, all of whom wait at each of them"


def test_the_absurd_wish_of_a_server_holds_it_up_for_a_minute_and_not_for_a_day() -> None:
    async def ask() -> Crowd:
        asked = iter([86_400.0])
        server = Server(fails=lambda now: RateLimited("later", retry_after=next(asked)) if now < 1e-9 else None)
        return await Crowd(server, 1, 1).ask()

    crowd = virtual.run(ask())
    assert (crowd.done, crowd.failed) == (1, 0)
    assert 60 <= crowd.ended <= 67


@pytest.mark.parametrize("attempts", [1, 2, 5])
@pytest.mark.parametrize(("wish", "rounds"), [(86_400.0, 3), (7_000.0, 3), (300.0, 10)])
@pytest.mark.parametrize("kind", [RateLimited, Overloaded])
def test_a_limit_of_hours_stops_the_run_and_no_request_fails(
    attempts: int, wish: float, rounds: int, kind: type[RateLimited | Overloaded]
) -> None:
    server = Server(fails=lambda now: kind("daily limit", retry_after=wish) if now > 20 else None)
    crowd = virtual.run(Crowd(server, 8, 100_000, Policy(8, attempts)).ask())
    assert crowd.failed == 0
    assert crowd.done > 100
    assert isinstance(crowd.error, RateLimited)
    asked = {86_400.0: "24 hours", 7_000.0: "117 minutes", 300.0: "5 minutes"}[wish]
    assert f"takes nothing for another {asked}, as it has said {rounds} times over" in str(crowd.error)
    assert "run again" in str(crowd.error).lower()
    assert 60 * (rounds - 1) < crowd.ended - 20 < 67 * rounds
    refused = [at for at in server.at if at > 20]
    assert len(refused) <= 8 + 3 * rounds, "after each pause few find out for all"


def test_a_limit_that_ends_within_minutes_is_waited_for() -> None:
    server = Server(fails=lambda now: RateLimited("hourly", retry_after=260 - now) if 20 < now < 260 else None)
    crowd = virtual.run(Crowd(server, 8, 3000, Policy(8, 2)).ask())
    assert (crowd.done, crowd.failed, crowd.error) == (3000, 0, None)


def test_slips_between_good_replies_stop_nothing_however_often_they_come() -> None:
    rng = random.Random(4)
    slip = RateLimited("later", retry_after=86_400.0)
    crowd = virtual.run(Crowd(Server(fails=lambda _: slip if rng.random() < 0.02 else None), 8, 1500).ask())
    assert (crowd.done, crowd.failed, crowd.error) == (1500, 0, None)


def test_one_request_that_is_always_turned_away_while_others_are_taken_fails_in_the_end() -> None:
    some = Retries(random.Random(0), attempts=3)
    away, nonsense = RateLimited("no", retry_after=3600.0), RateLimited("no", retry_after=1e300)
    assert [some.again(away, attempt, has_answered=True) for attempt in (1, 3, 11, 12)] == [True, True, True, False]
    assert [some.again(nonsense, attempt, has_answered=True) for attempt in (2, 3)] == [True, False]


def test_a_later_run_asks_anew_what_an_earlier_one_had_given_up() -> None:
    limits, woken = Limits(random.Random(0)), list[int]()
    limits.join(woken.clear, 4)
    limits.closed = RateLimited("later")
    limits.leave(woken.clear)
    limits.join(woken.clear, 4)
    assert limits.closed is None


def test_a_server_that_takes_a_request_again_is_not_closed() -> None:
    limits = Limits(random.Random(0))
    ticket = limits.pool("m").take(ONE_REQUEST, 0.0)
    limits.closed = RateLimited("later")
    limits.came(ticket, USAGE, (), 1.0)
    assert limits.closed is None


def test_after_a_pause_requests_start_apart() -> None:
    crowd = virtual.run(Crowd(Server(TokenBucket(600, 20), asks=lambda _: 10.0), 16, 40).ask())
    [(_, until), *_] = crowd.server.refusals
    starts = [at for at in crowd.server.at if at >= until][:8]
    assert len(set(starts)) == 8
    assert starts[0] - until <= 1.01, "within a tenth of what was asked for"


# How many at once


def test_the_number_in_flight_doubles_until_all_may_go() -> None:
    crowd = virtual.run(Crowd(Server(seconds=0.05), 256, 20_000).ask())
    assert crowd.server.most_in_flight == 256
    first = [at for at in crowd.server.at if at < 0.001]
    assert len(first) == FIRST_IN_FLIGHT
    after = bisect.bisect(crowd.done_at, 0.5)
    assert after >= 0.3 * 0.5 * 256 / 0.05, "half a second in, most of the ramp is behind it"
    assert bisect.bisect(crowd.done_at, 1.5) - after >= 0.9 * 256 / 0.05


def test_as_many_as_a_server_takes_at_once_are_found() -> None:
    crowd = virtual.run(Crowd(Server(most_at_once=20), 64, 10_000).ask())
    assert (crowd.done, crowd.failed) == (10_000, 0)
    assert refused(crowd) <= 0.01
    assert crowd.done / crowd.ended >= 0.9 * 20 / 0.2


def test_requests_that_only_wait_in_the_server_are_not_added_to() -> None:
    crowd = virtual.run(Crowd(Server(slots=4), 256, 3000).ask())
    assert crowd.done / crowd.ended >= 0.95 * 4 / 0.2, "no slower for it"
    waited = [done - at for at, done in zip(sorted(crowd.server.at), crowd.done_at, strict=True)]
    assert sum(waited[1500:]) / 1500 <= 12 * 0.2, "all 256 of them would wait 13 seconds"


def test_a_server_that_slows_down_gets_no_fewer() -> None:
    """Slower by itself, not for being asked too much: to ask less would only be slower still."""

    class Slowing(Server):
        async def complete(self, request: object = None):  # type: ignore[no-untyped-def]
            self.seconds = 0.1 if clock() < 3 else 0.3
            return await super().complete(request)

    crowd = virtual.run(Crowd(Slowing(), 64, 6000).ask())
    after = bisect.bisect(crowd.done_at, 6.0)
    assert bisect.bisect(crowd.done_at, 8.0) - after >= 0.9 * 2 * 64 / 0.3


def test_an_engine_in_this_process_is_asked_as_much_as_may_be_at_once() -> None:
    async def enter() -> int:
        halt = Halt(None)
        halt.start()
        gate = Gate(_Local(), halt, random.Random(0), Policy(40))
        with gate.opened():
            tickets = [await gate.enter() for _ in range(40)]
        return len(tickets)

    assert virtual.run(enter()) == 40


class _Local(Server):
    account = None  # type: ignore[assignment]


# A server that is down


def test_a_server_that_comes_back_costs_no_record() -> None:
    def fails(now: float) -> EngineError | None:
        return ConnectionLost("reset") if 5 <= now < 25 else None

    server = Server(fails=fails)
    crowd = virtual.run(Crowd(server, 32, 3000).ask())
    assert (crowd.done, crowd.failed, crowd.error) == (3000, 0, None)
    during = [at for at in server.at if 6 <= at < 25]
    assert 1 <= len(during) <= 5, "only probes"


def test_a_server_that_stays_away_ends_the_run() -> None:
    def fails(now: float) -> EngineError | None:
        return ServerFault("status 502") if now >= 5 else None

    server = Server(fails=fails)
    crowd = virtual.run(Crowd(server, 32, 3000).ask())
    assert isinstance(crowd.error, ServerUnreachable)
    assert "status 502" in str(crowd.error)
    assert crowd.failed == 0, "records stay pending"
    assert len([at for at in server.at if at >= 5]) <= 32 + 10 + 5
    assert 60 <= crowd.ended <= 100


def test_one_request_that_always_fails_is_no_server_that_is_down() -> None:
    poison = iter([True] * 5)
    server = Server(fails=lambda _: ServerFault("no") if next(poison, False) else None)
    crowd = virtual.run(Crowd(server, 1, 20).ask())
    assert (crowd.done, crowd.failed, crowd.error) == (19, 1, None)


def test_a_server_that_has_never_answered_is_a_wrong_address_at_once() -> None:
    server = Server(fails=lambda _: ServerUnreachable("nothing answers"))
    crowd = virtual.run(Crowd(server, 1, 3, Policy(1)).ask())
    assert len(server.at) == 3, "each sent once: the run stops on it, which is the asker's business"
    assert crowd.failed == 3


def test_a_restart_of_the_server_is_waited_for() -> None:
    def fails(now: float) -> EngineError | None:
        return ServerUnreachable("nothing answers") if 2 <= now < 8 else None

    crowd = virtual.run(Crowd(Server(fails=fails), 16, 1000).ask())
    assert (crowd.done, crowd.failed, crowd.error) == (1000, 0, None)


# Waiting at the gate


def test_whoever_waits_is_sent_away_when_the_run_stops() -> None:
    async def stop() -> list[object]:
        halt = Halt(None)
        halt.start()
        gate = Gate(Server(), halt, random.Random(0), Policy(20))
        with gate.opened():
            waiting = [asyncio.ensure_future(gate.enter()) for _ in range(20)]
            await asyncio.sleep(0)
            halt.stop("interrupted")
            return await asyncio.gather(*waiting, return_exceptions=True)

    found = virtual.run(stop())
    assert sum(isinstance(each, Stop) for each in found) == 20 - FIRST_IN_FLIGHT


def test_a_deadline_ends_waiting_at_the_gate() -> None:
    async def stop() -> float:
        halt = Halt(3.0)
        halt.start()
        gate = Gate(Server(), halt, random.Random(0), Policy(1))
        with gate.opened():
            await gate.enter()
            with pytest.raises(Stop):
                await gate.enter()
        return clock()

    assert virtual.run(stop()) == pytest.approx(3.0, abs=0.01)


def test_whoever_is_called_off_while_waiting_takes_no_place() -> None:
    async def call_off() -> None:
        halt = Halt(None)
        halt.start()
        gate = Gate(Server(), halt, random.Random(0), Policy(1))
        with gate.opened():
            ticket = await gate.enter()
            first, second = (asyncio.ensure_future(gate.enter()) for _ in range(2))
            await asyncio.sleep(0)
            first.cancel()
            await asyncio.sleep(0)
            gate.withdraw(ticket)
            third = await asyncio.wait_for(second, 1)
            # Let through and called off in the same moment: the place goes to the next.
            fourth = asyncio.ensure_future(gate.enter())
            await asyncio.sleep(0)
            gate.withdraw(third)
            fourth.cancel()
            fifth = await asyncio.wait_for(gate.enter(), 1)
            gate.withdraw(fifth)

    virtual.run(call_off())
