"""The budget is never passed: not by requests in flight, not by replies that were lost, not by a second run."""

import asyncio
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import AttemptTimedOut, BrokenReply, ConnectionLost, RateLimited, ServerFault, SettingsError
from postil.runner import Policy, Price
from postil.runner.money import FREE, Ledger, tokens_at_most
from postil.store import Journal, Spending, Unseen
from postil.types import Budget, Capabilities, Completion, Message, Request, Usage
from tests.runner import scene

PRICE = Price(2.0, 10.0, cached=0.5)
NOTHING_SPENT = Spending(0, 0, 0, 0, 0, 0.0)


class Billed(ScriptedEngine):
    """Costs money: every reply takes as many tokens as were counted for its prompt, or a few less."""

    def __init__(self, lost: float = 0.0, failing: float = 0.0) -> None:
        super().__init__(self._answer, capabilities=Capabilities())
        self._rng = random.Random(0)
        self._lost, self._failing = lost, failing
        self.usd = 0.0
        self.tokens = 0

    def _answer(self, request: Request) -> Reply:
        if self._rng.random() < self._failing:
            return self._rng.choice([RateLimited("no"), ServerFault("no")])
        usage = Usage(self.count_tokens(request.messages), self._rng.randint(1, request.max_tokens))
        self.usd += PRICE.cost(usage)
        self.tokens += usage.input_tokens + usage.output_tokens
        if self._rng.random() < self._lost:
            return self._rng.choice([ConnectionLost("after it was billed"), AttemptTimedOut("after it was billed")])
        return Completion(scene.right(request), "stop", usage)

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(self._rng.random() * 0.003)
        return await super().complete(request)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with scene.journal(tmp_path, 60) as opened:
        yield opened


def one_request(engine: Billed) -> Usage:
    request = scene.annotator(engine).request(scene.record(11))
    return Usage(engine.count_tokens(request.messages), request.max_tokens)


def test_a_price_counts_cached_tokens_at_theirs() -> None:
    assert PRICE.cost(Usage(1000, 10, 400)) == pytest.approx((600 * 2 + 400 * 0.5 + 10 * 10) / 1e6)
    assert Price(2.0, 10.0).cost(Usage(1000, 10, 400)) == pytest.approx((1000 * 2 + 10 * 10) / 1e6)


@pytest.mark.parametrize("concurrency", [1, 16])
@pytest.mark.parametrize("limit", ["usd", "tokens"])
@pytest.mark.parametrize(("lost", "failing"), [(0.0, 0.0), (0.2, 0.2)])
async def test_what_is_billed_stays_within_the_budget_and_uses_it(
    limit: str, concurrency: int, lost: float, failing: float, journal: Journal
) -> None:
    engine = Billed(lost, failing)
    one = one_request(engine)
    worst = {"usd": PRICE.cost(one), "tokens": one.input_tokens + one.output_tokens}[limit]
    budget = Budget(usd=20.5 * worst) if limit == "usd" else Budget(tokens=int(20.5 * worst))
    double = scene.annotator(engine)
    policy = replace(scene.QUICK, concurrency=concurrency)
    summary = await scene.run(journal, double, price=PRICE, budget=budget, policy=policy)
    billed = {"usd": engine.usd, "tokens": engine.tokens}[limit]
    allowed = {"usd": budget.usd, "tokens": budget.tokens}[limit]
    assert summary.stopped == "budget"
    assert billed <= (allowed or 0)
    if not lost:
        assert billed > (allowed or 0) - 2 * worst, "no more than the last request is left over"
    assert journal.open_intents() == 0
    again = await scene.run(journal, double, price=PRICE, budget=budget, policy=policy)
    more = {"usd": engine.usd, "tokens": engine.tokens}[limit]
    assert again.stopped == "budget"
    # What waited in a pause that the server had asked for was not sent any more, and is now.
    assert more <= (allowed or 0) if failing else more == billed


@pytest.mark.parametrize("concurrency", [1, 16])
async def test_no_more_requests_leave_than_the_budget_has(concurrency: int, journal: Journal) -> None:
    engine = Billed(failing=0.3)
    policy = Policy(concurrency, 3, first_wait=0.001)
    summary = await scene.run(journal, scene.annotator(engine), budget=Budget(requests=25), policy=policy)
    assert (summary.stopped, summary.spending.requests) == ("budget", 25)
    # What waits in a pause that the server has asked for is not sent once the run has stopped.
    assert 25 - concurrency < len(engine.requests) <= 25
    more = await scene.run(journal, scene.annotator(engine), budget=Budget(requests=30), policy=policy)
    # A budget is the project's, not a run's, and of what was sent.
    assert (more.stopped, journal.spending().requests) == ("budget", 30 + summary.spending.unsent)
    assert len(engine.requests) <= 30


@pytest.mark.parametrize("budget", [Budget(usd=0.0), Budget(tokens=0), Budget(requests=0)])
async def test_a_budget_of_nothing_sends_nothing(budget: Budget, journal: Journal) -> None:
    engine = Billed()
    summary = await scene.run(journal, scene.annotator(engine), price=PRICE, budget=budget)
    assert (summary.stopped, engine.requests) == ("budget", [])


async def test_what_costs_nothing_needs_no_dollars(journal: Journal) -> None:
    engine = scene.engine()
    summary = await scene.run(journal, scene.annotator(engine), budget=Budget(usd=0.0))
    assert (summary.stopped, len(engine.requests), summary.spending.usd) == (None, 60, 0.0)


def test_a_budget_in_dollars_needs_a_price(journal: Journal) -> None:
    with pytest.raises(SettingsError, match="the budget is in dollars, its price unknown"):
        scene.runner(journal, scene.annotator(Billed()), budget=Budget(usd=1.0))


class Holding(Billed):
    """Bills a few requests more than it ever answers, until it is let go."""

    held = True
    replies = 0

    async def complete(self, request: Request) -> Completion:
        completion = await super().complete(request)
        self.replies += 1
        if self.held and self.replies > 6:
            await asyncio.Event().wait()
        return completion


async def dies_with_requests_under_way(journal: Journal, engine: Holding, **terms: Any) -> None:
    task = asyncio.create_task(
        scene.run(journal, scene.annotator(engine), policy=replace(scene.QUICK, concurrency=8), **terms)
    )
    while len(engine.requests) < 10:  # noqa: ASYNC110 - nor does the engine
        await asyncio.sleep(0.0005)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await journal.settled()
    engine.held = False


async def test_requests_that_were_under_way_when_a_run_died_count_as_paid(journal: Journal) -> None:
    engine = Holding()
    worst = PRICE.cost(one_request(engine))
    budget = Budget(usd=20.5 * worst)
    double = scene.annotator(engine)
    policy = replace(scene.QUICK, concurrency=8)
    await dies_with_requests_under_way(journal, engine, price=PRICE, budget=budget)
    unseen = journal.unseen()
    assert unseen.requests == journal.open_intents() > 0
    assert unseen.usd == pytest.approx(sum([worst] * unseen.requests), rel=0.02)
    summary = await scene.run(journal, double, price=PRICE, budget=budget, policy=policy)
    assert summary.stopped == "budget"
    known = journal.spending().usd
    assert known is not None
    # The engine has billed replies that nobody saw; the budget held all the same.
    assert known + unseen.usd <= 20.5 * worst
    assert engine.usd <= 20.5 * worst


async def test_a_token_budget_counts_what_a_run_without_any_had_under_way_when_it_died(journal: Journal) -> None:
    """Nobody had counted: what can be said without counting is noted, and is more than they can have come to."""
    engine = Holding()
    await dies_with_requests_under_way(journal, engine)
    known, unseen = journal.spending(), journal.unseen()
    billed_unseen = engine.tokens - known.input_tokens - known.output_tokens
    assert unseen.requests > 0
    assert billed_unseen <= unseen.tokens <= 8 * unseen.requests * one_request(engine).input_tokens
    budget = Budget(tokens=engine.tokens + unseen.tokens)
    summary = await scene.run(journal, scene.annotator(engine), budget=budget)
    assert summary.stopped == "budget"
    known = journal.spending()
    assert known.input_tokens + known.output_tokens + unseen.tokens <= (budget.tokens or 0)
    assert engine.tokens <= (budget.tokens or 0)


@given(st.lists(st.text(max_size=50), max_size=4), st.integers(1, 100))
def test_nothing_can_come_to_more_tokens_than_its_bytes(texts: list[str], written: int) -> None:
    request = Request(tuple(Message("user", text) for text in texts), written)
    assert tokens_at_most(request) >= Billed().count_tokens(request.messages) + written
    assert tokens_at_most(request) >= sum(len(text.encode()) for text in texts) + written


async def test_two_runs_after_each_other_share_the_budget_whatever_they_knew_when_they_were_made(
    journal: Journal,
) -> None:
    """A runner takes stock when it runs, not when it is made: another may have run in between."""
    engine = Billed()
    budget = Budget(requests=20)
    double = scene.annotator(engine)
    early = scene.runner(journal, double, budget=budget)
    await scene.run(journal, double, budget=budget)
    assert len(engine.requests) == 20
    assert (await early.run(journal.pending(double.id), 40)).stopped == "budget"
    assert len(engine.requests) == 20


# The ledger alone

steps = st.lists(
    st.tuples(st.sampled_from(["reserve", "settle", "lose", "fail"]), st.integers(0, 50), st.integers(0, 20)),
    max_size=40,
)


@given(steps, st.integers(0, 300), st.floats(0, 0.002), st.integers(0, 15))
def test_no_order_of_events_passes_a_limit(
    events: list[tuple[str, int, int]], tokens: int, usd: float, requests: int
) -> None:
    """Billed is whatever was reserved and not known to have failed, at what it came to, or at the most."""

    async def play() -> None:
        ledger = Ledger(Budget(usd=usd, tokens=tokens, requests=requests), PRICE)
        ledger.start(NOTHING_SPENT, Unseen(0, 0, 0.0))
        held: list[Usage] = []
        billed_usd, billed_tokens, sent = 0.0, 0, 0
        for what, read, written in events:
            usage = Usage(read, written)
            if what == "reserve":
                try:
                    taken = await asyncio.wait_for(ledger.reserve(ledger.worst(usage)), timeout=0)
                except TimeoutError:
                    continue
                if taken:
                    held.append(usage)
                    sent += 1
            elif held:
                usage = held.pop(read % len(held))
                worst = ledger.worst(usage)
                if what == "fail":
                    ledger.settle(worst)
                    continue
                came_to = usage if what == "lose" else Usage(usage.input_tokens, usage.output_tokens // 2)
                ledger.lose(worst) if what == "lose" else ledger.settle(worst, came_to)
                billed_usd += PRICE.cost(came_to)
                billed_tokens += came_to.input_tokens + came_to.output_tokens
            in_flight = sum(usage.input_tokens + usage.output_tokens for usage in held)
            assert billed_usd + sum(map(PRICE.cost, held)) <= usd + 1e-9
            assert billed_tokens + in_flight <= tokens
            assert sent <= requests
            assert ledger.usd == pytest.approx(billed_usd)
            assert ledger.tokens == billed_tokens

    asyncio.run(play())


async def test_a_request_waits_for_room_that_others_in_flight_will_leave() -> None:
    ledger = Ledger(Budget(tokens=100), FREE)
    worst = ledger.worst(Usage(60, 0))
    assert await ledger.reserve(worst)
    waiting = asyncio.create_task(ledger.reserve(worst))
    await asyncio.sleep(0)
    assert not waiting.done()
    ledger.settle(worst, Usage(30, 0))
    assert await asyncio.wait_for(waiting, timeout=1)
    full = asyncio.create_task(ledger.reserve(worst))
    await asyncio.sleep(0)
    ledger.settle(worst, Usage(60, 0))
    assert not await asyncio.wait_for(full, timeout=1)
    assert not await ledger.reserve(ledger.worst(Usage(101, 0))), "it never fits"


@pytest.mark.parametrize(
    ("budget", "price", "counts"),
    [
        (Budget(), None, False),
        (Budget(), FREE, False),
        (Budget(), PRICE, True),
        (Budget(usd=1.0), FREE, False),
        (Budget(usd=1.0), PRICE, True),
        (Budget(tokens=9), FREE, True),
    ],
)
def test_tokens_are_counted_wherever_they_cost_something(budget: Budget, price: Price | None, counts: bool) -> None:
    assert Ledger(budget, price).counts_tokens is counts


def test_tokens_counted_apart_from_the_cache_never_earn_money() -> None:
    assert PRICE.cost(Usage(80, 1, 5000)) == pytest.approx((80 * 2 + 5000 * 0.5 + 10) / 1e6)


async def test_a_reply_that_is_broken_counts_at_its_dearest(journal: Journal) -> None:
    engine = scene.engine(lambda _: BrokenReply("not JSON"), capabilities=Capabilities())
    request = scene.annotator(engine).request(scene.record(11))
    worst = PRICE.cost(Usage(engine.count_tokens(request.messages), request.max_tokens))
    summary = await scene.run(journal, scene.annotator(engine), price=PRICE, budget=Budget(usd=20.5 * worst))
    assert summary.stopped == "budget"
    assert 15 <= len(engine.requests) <= 20
    assert journal.unseen().usd == pytest.approx(len(engine.requests) * worst, rel=0.05)


@pytest.mark.parametrize("returned", [None, "no completion"])
async def test_a_defect_of_the_engine_leaves_nobody_waiting_for_room(returned: object, journal: Journal) -> None:
    engine = scene.engine(lambda _: "positive", capabilities=Capabilities())

    async def broken(_: Request) -> object:
        await asyncio.sleep(0)
        return returned

    engine.complete = broken  # pyright: ignore[reportAttributeAccessIssue]
    one = engine.count_tokens(scene.annotator(engine).request(scene.record(11)).messages)
    async with asyncio.timeout(5):
        with pytest.raises(AttributeError):
            await scene.run(journal, scene.annotator(engine), budget=Budget(tokens=2 * one), price=PRICE)


async def test_room_that_comes_after_the_stop_sends_nothing(journal: Journal) -> None:
    engine = scene.engine(capabilities=Capabilities(), seconds=0.02)
    double = scene.annotator(engine)
    request = double.request(scene.record(11))
    worst = engine.count_tokens(request.messages) + request.max_tokens
    runner = scene.runner(
        journal, double, price=PRICE, budget=Budget(tokens=4 * worst), policy=replace(scene.QUICK, concurrency=16)
    )
    going = asyncio.create_task(runner.run(journal.pending(double.id), 60))
    while not engine.requests:  # noqa: ASYNC110 - the engine tells nobody
        await asyncio.sleep(0.001)
    runner.interrupt()
    await asyncio.sleep(0)
    left = len(engine.requests)
    summary = await going
    assert (summary.stopped, len(engine.requests)) == ("interrupted", left)


async def test_a_deadline_that_passes_with_the_last_record_stops_nothing(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 1) as journal:
        engine = scene.engine(seconds=0.05)
        summary = await scene.run(journal, scene.annotator(engine), budget=Budget(seconds=0.02))
    assert (summary.stopped, len(engine.requests)) == (None, 1)
