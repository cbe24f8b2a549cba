"""Requests whose fate is not known: sent again, or held, and counted either way (reliability R2)."""

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import AttemptTimedOut, BrokenReply, ConnectionLost, EngineError
from postil.runner import Price, RunSummary
from postil.runner.lost import open_requests
from postil.runner.policy import Policy
from postil.store import Journal
from postil.types import Capabilities, Completion, Record, Request, Usage
from tests.runner import scene

PRICE = Price(2.0, 10.0)
HOLD = Policy(4, 3, first_wait=0.001, lost="hold")


class Billing(ScriptedEngine):
    """Bills what it answers, and dies with its caller after so many replies."""

    def __init__(self, dies_after: int = 10**9) -> None:
        super().__init__(self._bill, capabilities=Capabilities())
        self.billed: Counter[str] = Counter()
        self._dies_after = dies_after

    def _bill(self, request: Request) -> Completion:
        self.billed[scene.asked_about(request)] += 1
        return Completion(scene.right(request), "stop", Usage(self.count_tokens(request.messages), 1))

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(0)
        completion = await super().complete(request)
        if sum(self.billed.values()) > self._dies_after:
            # Billed, and nobody is there any more to hear of it.
            await asyncio.Event().wait()
        return completion


async def interrupted(journal: Journal, after: int, price: Price | None = PRICE) -> Billing:
    """Leave a run where it stands, with requests that were billed and never heard of."""
    engine = Billing(after)
    run = asyncio.create_task(scene.run(journal, scene.annotator(engine), price=price))
    while sum(engine.billed.values()) < after + 4:  # noqa: ASYNC110 - the engine rings no bell
        await asyncio.sleep(0.001)
    run.cancel()
    await asyncio.gather(run, return_exceptions=True)
    await journal.settled()
    return engine


async def resumed(journal: Journal, billed: Counter[str], policy: Policy, held: frozenset[str]) -> RunSummary:
    engine = Billing()
    engine.billed = billed
    return await scene.run(journal, scene.annotator(engine), price=PRICE, policy=policy, held=held)


async def test_what_is_open_is_listed_with_the_most_it_can_have_cost(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 40) as journal:
        double = scene.annotator(Billing())
        assert open_requests(journal, double, PRICE).requests == 0
        engine = await interrupted(journal, 12, price=None)
        found = open_requests(journal, double, PRICE)
        assert found.requests == len(found.lost) == journal.open_intents() == 4
        known = {reply.record for reply in journal.replies()}
        lost = [record for record in journal.records() if record.id not in known][:4]
        most = [PRICE.cost(Usage(engine.count_tokens(r.messages), r.max_tokens)) for r in map(double.request, lost)]
        assert found.usd == pytest.approx(sum(most)), "rendered again, for no price was known"
        assert open_requests(journal, double, None).usd is None
        in_a_batch = {journal.lost_requests()[0].intent}
        assert open_requests(journal, double, PRICE, in_batches=in_a_batch).requests == 3


async def test_what_is_open_is_noted_at_its_dearest_with_or_without_a_budget(tmp_path: Path) -> None:
    """A budget may come later, and must hold what was sent before (I5)."""
    with scene.journal(tmp_path, 40) as journal:
        await interrupted(journal, 12)
        found = open_requests(journal, scene.annotator(Billing()), PRICE)
        assert found.usd == pytest.approx(journal.unseen().usd)
        assert journal.unseen().usd > 0


async def test_resend_pays_twice_for_exactly_what_was_open(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 40) as journal:
        engine = await interrupted(journal, 12)
        double = scene.annotator(engine)
        left_open = journal.open_intents()
        summary = await resumed(journal, engine.billed, scene.QUICK, frozenset())
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert sum(engine.billed.values()) - len(engine.billed) == left_open
        assert (summary.held, journal.spending().resent) == (0, left_open)


async def test_hold_pays_nothing_twice_and_leaves_those_records_pending(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 40) as journal:
        engine = await interrupted(journal, 12)
        double = scene.annotator(engine)
        found = open_requests(journal, double, PRICE)
        for _ in range(2):
            summary = await resumed(journal, engine.billed, HOLD, found.lost)
            assert (summary.held, summary.stopped) == (found.requests, None)
        labels = scene.labels(journal, double)
        assert len(labels) == 40 - found.requests
        assert labels.items() <= scene.all_right(journal).items()
        assert max(engine.billed.values()) == 1
        assert (await resumed(journal, engine.billed, scene.QUICK, frozenset())).held == 0
        assert scene.labels(journal, double) == scene.all_right(journal)


async def test_a_text_that_was_lost_is_held_for_every_record_that_reads_the_same(tmp_path: Path) -> None:
    records = [Record(f"r{i}", {"text": f"text nonce-{i % 20}"}) for i in range(40)]
    with scene.journal(tmp_path, records) as journal:
        engine = await interrupted(journal, 4)
        found = open_requests(journal, scene.annotator(engine), PRICE)
        summary = await resumed(journal, engine.billed, HOLD, found.lost)
        assert summary.held == 2 * found.requests
        assert max(engine.billed.values()) == 1


@pytest.mark.parametrize("error", [ConnectionLost("no"), AttemptTimedOut("no"), BrokenReply("no")])
async def test_a_reply_lost_in_the_run_is_not_asked_for_again_if_it_is_to_be_held(
    error: EngineError, tmp_path: Path
) -> None:
    def reply(request: Request) -> Reply:
        return error if "nonce-3" in scene.asked_about(request) else scene.right(request)

    records = [*map(scene.record, range(8)), Record("again", scene.record(3).fields)]
    with scene.journal(tmp_path, records) as journal:
        engine = scene.engine(reply)
        double = scene.annotator(engine)
        await scene.run(journal, double, policy=Policy(1, 5, first_wait=0.001, lost="hold"))
        found = scene.labels(journal, double)
        assert found["r3"] == error.failure_class, "an outcome with its name"
        assert "again" not in found, "the same request may have been paid for"
        assert len(engine.requests) == 8
        # And so in the next run.
        lost = open_requests(journal, double, None).lost
        await scene.run(journal, double, policy=HOLD, held=lost)
        assert len(engine.requests) == 8


async def test_records_measured_for_the_prior_may_be_held_too(tmp_path: Path) -> None:
    shares = {"negative": (0.7, 0.2, 0.1), "neutral": (0.2, 0.7, 0.1), "positive": (0.2, 0.1, 0.7)}

    def reply(request: Request) -> Completion:
        label = scene.right(request)
        return Completion(label, "stop", Usage(1, 1), choice_probabilities=shares[label])

    with scene.journal(tmp_path, 40) as journal:
        engine = scene.engine(reply, capabilities=scene.SCORED)
        double = scene.annotator(engine, calibration="batch")
        held = {double.request_digest(double.request(scene.record(i))) for i in range(3)}
        summary = await scene.run(journal, double, policy=HOLD, held=held)
        event = journal.latest_event("prior", double.id)
        assert event is not None
        assert (event["n"], summary.held, len(scene.labels(journal, double))) == (37, 3, 37)


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")
@pytest.mark.parametrize("lost", ["resend", "hold"])
async def test_after_kills_the_bill_is_what_the_policy_says(lost: str, tmp_path: Path) -> None:
    """Two hundred in the long run; a few here, each followed by another under the same policy."""
    with scene.journal(tmp_path, 60) as journal:
        billed: Counter[str] = Counter()
        opened = 0
        for kill in range(5):
            engine = Billing(sum(billed.values()) + 5)
            engine.billed = billed
            double = scene.annotator(engine)
            found = open_requests(journal, double, PRICE)
            policy, held = (HOLD, found.lost) if lost == "hold" else (scene.QUICK, frozenset[str]())
            run = asyncio.create_task(scene.run(journal, double, price=PRICE, policy=policy, held=held))
            while sum(billed.values()) < 4 + 9 * kill and not run.done():  # noqa: ASYNC110
                await asyncio.sleep(0.001)
            run.cancel()
            await asyncio.gather(run, return_exceptions=True)
            await journal.settled()
        opened = journal.open_intents()
        assert opened > 0
        twice = sum(billed.values()) - len(billed)
        assert twice == 0 if lost == "hold" else twice <= opened
