"""A server that is down, or that asks for quiet, in whole runs with a journal (reliability R10, R11)."""

import asyncio
import random
import time
from itertools import count
from pathlib import Path

import pytest

from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import ConnectionLost, EngineError, RateLimited, ServerFault, ServerUnreachable
from postil.runner import Policy
from postil.runner.asking import Asker, Question
from postil.runner.gate import Gate
from postil.runner.halt import Halt, Stop
from postil.runner.money import Ledger
from postil.runner.retries import Retries
from postil.types import Account, Budget, Completion, Request
from tests.runner import scene

_NUMBERS = count()


class Remote(ScriptedEngine):
    """An engine whose requests leave for a server."""

    @property
    def account(self) -> Account:
        return self._account

    def __init__(self, reply: object) -> None:
        super().__init__(reply)  # type: ignore[arg-type]
        self._account = Account(f"test_down {next(_NUMBERS)}", "m")
        self.at: list[float] = []

    async def complete(self, request: Request) -> Completion:
        self.at.append(time.monotonic())
        return await super().complete(request)


@pytest.mark.parametrize("error", [ServerFault("status 502"), ConnectionLost("reset"), ServerUnreachable("refused")])
async def test_a_server_that_went_away_ends_the_run_and_no_record_fails(error: EngineError, tmp_path: Path) -> None:
    numbers = count(1)

    def reply(request: Request) -> Reply:
        return error if next(numbers) > 20 else scene.right(request)

    with scene.journal(tmp_path, 60) as journal:
        engine = Remote(reply)
        double = scene.annotator(engine)
        summary = await scene.run(journal, double, policy=Policy(8, 5, first_wait=0.001))
        assert summary.stopped == "provider"
        assert isinstance(summary.error, ServerUnreachable)
        found = scene.labels(journal, double)
        assert found.items() <= scene.all_right(journal).items()
        assert 20 <= len(engine.requests) <= 20 + 8 * 5
        healed = scene.annotator(scene.engine())
        assert (await scene.run(journal, healed)).stopped is None
        assert scene.labels(journal, healed) == scene.all_right(journal)


async def test_a_server_that_comes_back_costs_attempts_and_no_record(tmp_path: Path) -> None:
    numbers = count(1)

    def reply(request: Request) -> Reply:
        return ServerUnreachable("refused") if 20 < next(numbers) <= 24 else scene.right(request)

    with scene.journal(tmp_path, 60) as journal:
        double = scene.annotator(Remote(reply))
        summary = await scene.run(journal, double, policy=Policy(8, 5, first_wait=0.001))
        assert (summary.stopped, summary.error) == (None, None)
        assert scene.labels(journal, double) == scene.all_right(journal)


async def test_an_address_where_nothing_ever_answered_stops_the_run_at_once(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 60) as journal:
        engine = Remote(lambda _: ServerUnreachable("refused"))
        summary = await scene.run(journal, scene.annotator(engine), policy=Policy(8, 5, first_wait=0.001))
        assert summary.stopped == "provider"
        assert len(engine.requests) <= 8


async def test_no_request_leaves_while_the_server_has_asked_for_quiet_though_its_intent_was_written(
    tmp_path: Path,
) -> None:
    window, on_its_way = 0.3, 0.05
    refused: list[float] = []
    numbers = count(1)

    def reply(request: Request) -> Reply:
        if next(numbers) in {30, 60}:
            refused.append(time.monotonic())
            return RateLimited("slow down", retry_after=window)
        return scene.right(request)

    with scene.journal(tmp_path, 100) as journal:
        engine = Remote(reply)
        double = scene.annotator(engine)
        await scene.run(journal, double, policy=Policy(16, 3, first_wait=0.001))
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(refused) == 2
    assert not [at for at in engine.at for began in refused if began + on_its_way < at < began + window]


async def test_a_run_that_stops_in_the_quiet_says_of_a_written_intent_that_nothing_was_sent(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 2) as journal:
        engine = Remote(lambda _: RateLimited("slow down", retry_after=50.0))
        double = scene.annotator(engine)
        halt, rng = Halt(None), random.Random(0)
        halt.start()
        gate = Gate(engine, halt, rng, Policy(2))
        asker = Asker(
            journal,
            engine,
            annotator=double.id,
            ledger=Ledger(Budget(), None),
            retries=Retries(rng),
            halt=halt,
            gate=gate,
        )
        asker.begin(1, 2)
        write = journal.write_intent

        async def slowly(intent: object) -> int:
            number = await write(intent)  # type: ignore[arg-type]
            if number == 2:
                await asyncio.sleep(0.1)  # meanwhile the other one is refused
            return number

        journal.write_intent = slowly  # type: ignore[method-assign]
        questions = [
            Question(request, double.request_digest(request), f"r{i}", "label")
            for i, request in enumerate(map(double.request, map(scene.record, range(2))))
        ]
        with gate.opened():
            asked = [asyncio.ensure_future(asker.ask(question)) for question in questions]
            await asyncio.sleep(0.3)
            halt.stop("interrupted")
            ended = await asyncio.gather(*asked, return_exceptions=True)
        assert [type(each) for each in ended] == [Stop, Stop]
        assert len(engine.requests) == 1
        assert journal.open_intents() == 0
        assert [reply.usd for reply in journal.replies()] == [0.0, 0.0]
