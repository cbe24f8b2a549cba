"""Every record ends once, with its own answer or a named reason, and every request is sent for a reason."""

import asyncio
import itertools
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import apsw
import pytest

from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import (
    AuthenticationFailed,
    ConnectionLost,
    ContextExceeded,
    DataError,
    EngineError,
    QuotaExhausted,
    RateLimited,
    ServerFault,
    SettingsError,
    StoreError,
)
from postil.runner import Policy, Price, Progress
from postil.runner.asking import Asker, Question
from postil.runner.gate import Gate
from postil.runner.halt import Halt
from postil.runner.money import Ledger
from postil.runner.retries import Retries
from postil.store import Journal
from postil.types import Annotation, Budget, Completion, Failure, Record, Request, Usage
from tests.runner import scene

ODD = "half \ud83d and whole 😀, \0 NUL, </script>, \x1b[31m"


class Unsteady(ScriptedEngine):
    """Takes a time of its own for every reply, so that replies overtake each other."""

    def __init__(self, reply: Callable[[Request], Reply] = scene.right, *, longest: float = 0.004) -> None:
        super().__init__(reply)
        self._rng = random.Random(0)
        self._longest = longest
        self.in_flight = self.most_in_flight = 0

    async def complete(self, request: Request) -> Completion:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await asyncio.sleep(self._rng.random() * self._longest)
            return await super().complete(request)
        finally:
            self.in_flight -= 1


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with scene.journal(tmp_path, 40) as opened:
        yield opened


# One outcome each


@pytest.mark.parametrize("concurrency", [1, 4, 64])
async def test_every_record_gets_its_own_answer_however_many_workers(concurrency: int, journal: Journal) -> None:
    engine = Unsteady()
    double = scene.annotator(engine)
    summary = await scene.run(journal, double, policy=replace(scene.QUICK, concurrency=concurrency))
    assert scene.labels(journal, double) == scene.all_right(journal)
    assert (summary.stopped, summary.error, summary.spending.requests, summary.spending.resent) == (None, None, 40, 0)
    assert engine.most_in_flight == min(concurrency, 40)
    assert (len(engine.requests), journal.open_intents()) == (40, 0)


async def test_a_second_run_finds_nothing_to_do(journal: Journal) -> None:
    engine = scene.engine()
    for _ in range(2):
        await scene.run(journal, scene.annotator(engine))
    assert len(engine.requests) == 40


async def test_a_record_that_comes_twice_is_asked_and_answered_once(journal: Journal) -> None:
    engine = Unsteady()
    double = scene.annotator(engine)
    twice = [scene.record(number % 40) for number in range(80)]
    await scene.runner(journal, double).run(twice, 80)
    assert (len(engine.requests), journal.heads()["outcome"][0]) == (40, 40)


async def test_records_that_cannot_be_asked_about_are_named_and_nothing_is_sent(tmp_path: Path) -> None:
    records = [Record("empty", {"text": " \n"}), Record("none", {"other": "x"}), scene.record(1)]
    engine = scene.engine()
    double = scene.annotator(engine)
    with scene.journal(tmp_path, records) as journal:
        await scene.run(journal, double)
        found = scene.labels(journal, double)
        assert found == {"empty": "empty_record", "none": "missing_field", "r1": scene.truth("nonce-1")}
        assert (len(engine.requests), journal.heads()["intent"][0]) == (1, 1)


async def test_a_reply_that_is_no_answer_is_a_failure_with_its_reply_kept(journal: Journal) -> None:
    replies: dict[str, Reply] = {
        "nonce-1": Completion("positive", "length", Usage(5, 16)),
        "nonce-2": Completion("", "filter", Usage(5, 0)),
        "nonce-3": "purple",
    }

    def reply(request: Request) -> Reply:
        found = [given for nonce, given in replies.items() if f"{nonce}\n" in scene.asked_about(request)]
        return found[0] if found else "neutral"

    double = scene.annotator(scene.engine(reply))
    await scene.run(journal, double)
    found = scene.labels(journal, double)
    assert (found["r1"], found["r2"], found["r3"]) == ("truncated", "filtered", "outside_labels")
    assert Counter(found.values())["neutral"] == 37
    stored = {each.outcome.record: each for each in journal.outcomes(double.id)}
    assert stored["r1"].completion == replies["nonce-1"]
    assert journal.spending().requests == 40, "an unreadable reply is not asked for again"


async def test_odd_text_goes_through_unharmed(tmp_path: Path) -> None:
    whole = ODD.replace("\ud83d", "")
    record = Record("1", {"text": f"nonce-1 {whole}", "beside": ODD})
    broken = Record("2", {"text": f"nonce-2 {whole}"})
    halves = [Record(half, {"text": f"nonce-3 {half}"}) for half in ("\ud83d", "\ude00")]
    engine = scene.engine(lambda r: ServerFault(ODD) if "nonce-2" in scene.asked_about(r) else scene.right(r))
    double = scene.annotator(engine)
    with scene.journal(tmp_path, [record, broken, *halves]) as journal:
        await scene.run(journal, double)
        found = scene.outcomes(journal, double)
        assert list(journal.records()) == [record, broken, *halves]
        failure = found["2"]
    assert isinstance(found["1"], Annotation)
    assert isinstance(failure, Failure)
    assert failure.message == ODD
    assert whole in scene.asked_about(engine.requests[0])
    # Half a character cannot be shown: two records that differ in it would be asked about as one.
    for half in halves:
        refused = found[half.id]
        assert isinstance(refused, Failure)
        assert refused.failure_class == "rejected"
        assert repr(half.id) in refused.message
    assert not any("nonce-3" in scene.asked_about(request) for request in engine.requests)


# Intents and replies


async def test_an_intent_is_on_disk_before_its_request_leaves(journal: Journal, tmp_path: Path) -> None:
    other = apsw.Connection(str(tmp_path / "postil.db"))

    def reply(request: Request) -> str:
        digest = double.request_digest(request)
        statement = (
            "SELECT count(*) FROM intent LEFT JOIN reply ON intent = intent.seq WHERE request = ? AND intent IS NULL"
        )
        open_intents.append(other.execute(statement, (digest,)).fetchall()[0][0])
        return scene.right(request)

    open_intents: list[object] = []
    double = scene.annotator(scene.engine(reply))
    await scene.run(journal, double)
    other.close()
    assert open_intents == [1] * 40


async def test_what_was_spent_is_written_with_every_reply(journal: Journal) -> None:
    double = scene.annotator(scene.engine(capabilities=replace(scene.SCORED, free=False, scores="none")))
    summary = await scene.run(journal, double, price=Price(1.0, 10.0, date="2026-11-01"))
    replies = list(journal.replies())
    assert len(replies) == 40
    for reply in replies:
        assert reply.usd == (reply.usage.input_tokens + 10 * reply.usage.output_tokens) / 1e6
    assert summary.spending.usd == pytest.approx(sum(reply.usd or 0 for reply in replies))
    [(_, annotator, manifest)] = journal.events("run")
    assert (annotator, manifest["price"]["date"], manifest["policy"]["attempts"]) == (double.id, "2026-11-01", 3)


async def test_without_a_price_the_cost_is_unknown_not_nothing(journal: Journal) -> None:
    double = scene.annotator(scene.engine(capabilities=replace(scene.SCORED, free=False, scores="none")))
    assert (await scene.run(journal, double)).spending.usd is None


# Equal requests


async def test_equal_requests_are_sent_once_and_answered_for_all(tmp_path: Path) -> None:
    records = [Record(str(i), {"text": f"nonce-{i % 3}"}) for i in range(60)]
    engine = Unsteady()
    double = scene.annotator(engine)
    with scene.journal(tmp_path, records) as journal:
        summary = await scene.run(journal, double, policy=replace(scene.QUICK, concurrency=16))
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert (len(engine.requests), summary.spending.requests, summary.spending.resent) == (3, 3, 0)
        assert len({stored.outcome.provenance.request for stored in journal.outcomes(double.id)}) == 3


async def test_what_another_annotator_asked_word_for_word_is_not_paid_again(journal: Journal) -> None:
    engine = scene.engine(lambda _: "neutral")
    first, second = scene.annotator(engine), scene.annotator(engine, calibration="content_free")
    await scene.run(journal, first)
    await scene.run(journal, second)
    assert first.id != second.id
    assert scene.labels(journal, second) == scene.labels(journal, first)
    assert len(engine.requests) == 40 + 3, "and three without content, for the prior"


@pytest.mark.parametrize(("error", "requests"), [(ServerFault("no"), 3), (ContextExceeded("no"), 1)])
async def test_those_who_wait_for_an_equal_request_share_its_failure(
    error: EngineError, requests: int, tmp_path: Path
) -> None:
    records = [Record(str(i), {"text": "nonce-1"}) for i in range(20)]
    engine = Unsteady(lambda _: error)
    double = scene.annotator(engine)
    progress: list[Progress] = []
    with scene.journal(tmp_path, records) as journal:
        policy = replace(scene.QUICK, concurrency=20)
        await scene.run(journal, double, policy=policy, on_progress=progress.append)
        found = scene.labels(journal, double)
    assert found == {str(i): error.failure_class for i in range(20)}
    assert len(engine.requests) == requests
    assert progress[-1].done == progress[-1].failures[error.failure_class] == 20


async def test_calling_off_a_run_leaves_nobody_waiting_for_an_equal_request(tmp_path: Path) -> None:
    records = [Record(str(i), {"text": f"nonce-{i % 2}"}) for i in range(20)]
    double = scene.annotator(Unsteady(longest=60))
    with scene.journal(tmp_path, records) as journal:
        task = asyncio.create_task(scene.run(journal, double, policy=replace(scene.QUICK, concurrency=20)))
        while journal.open_intents() < 2:  # noqa: ASYNC110 - the journal rings no bell
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, timeout=5)
        await journal.settled()
        assert (journal.open_intents(), scene.outcomes(journal, double)) == (2, {})
        quick = replace(double, engine=scene.engine())
        assert quick.id == double.id
        summary = await scene.run(journal, quick)
        assert scene.labels(journal, quick) == scene.all_right(journal)
        assert summary.spending.requests == 2


async def test_one_who_waits_may_be_called_off_without_harm_to_the_others(journal: Journal) -> None:
    """Called off alone, as by a deadline around it: the request goes on for the one who sent it."""
    engine = Unsteady(longest=0.05)
    double = scene.annotator(engine)
    halt = Halt(None)
    halt.start()
    asker = Asker(
        journal,
        engine,
        annotator=double.id,
        ledger=Ledger(Budget(), None),
        retries=Retries(random.Random(0)),
        halt=halt,
        gate=Gate(engine, halt, random.Random(0), Policy()),
    )
    asker.begin(1, 1)
    request = double.request(scene.record(1))
    question = Question(request, double.request_digest(request), "r1", "preview")
    first, second, third = (asyncio.create_task(asker.ask(question)) for _ in range(3))
    await asyncio.sleep(0.005)
    second.cancel()
    answers = await asyncio.gather(first, second, third, return_exceptions=True)
    assert answers[0] == answers[2]
    assert isinstance(answers[1], asyncio.CancelledError)
    assert len(engine.requests) == 1


# Errors of the engine


@pytest.mark.parametrize("attempts", [1, 2, 5])
async def test_a_request_is_tried_exactly_as_often_as_the_policy_says(attempts: int, journal: Journal) -> None:
    engine = scene.engine(lambda r: ServerFault("no") if "nonce-7\n" in scene.asked_about(r) else scene.right(r))
    double = scene.annotator(engine)
    summary = await scene.run(journal, double, policy=Policy(4, attempts, first_wait=0.001))
    found = scene.labels(journal, double)
    assert found == scene.all_right(journal) | {"r7": "provider_error"}
    assert (len(engine.requests), summary.spending.resent) == (39 + attempts, attempts - 1)
    tries = [reply.error for reply in journal.replies() if reply.record == "r7"]
    assert len(tries) == attempts


async def test_an_error_that_passes_costs_attempts_and_no_record(journal: Journal) -> None:
    seen: Counter[str] = Counter()

    def reply(request: Request) -> Reply:
        seen[scene.asked_about(request)] += 1
        errors = (RateLimited("wait"), ConnectionLost("broken"))
        return scene.right(request) if seen[scene.asked_about(request)] > 2 else errors[seen.total() % 2]

    double = scene.annotator(scene.engine(reply))
    summary = await scene.run(journal, double)
    assert scene.labels(journal, double) == scene.all_right(journal)
    assert (summary.spending.requests, summary.spending.resent) == (120, 80)


async def test_a_request_that_can_never_work_is_sent_once(journal: Journal) -> None:
    engine = scene.engine(lambda _: ContextExceeded("too long"))
    double = scene.annotator(engine)
    await scene.run(journal, double)
    assert set(scene.labels(journal, double).values()) == {"context_exceeded"}
    assert len(engine.requests) == 40


@pytest.mark.parametrize("error", [AuthenticationFailed("wrong key"), QuotaExhausted("empty")])
async def test_an_error_that_no_request_survives_stops_the_run_and_leaves_records_pending(
    error: EngineError, journal: Journal
) -> None:
    numbers, sent_after = itertools.count(1), list[Request]()

    def reply(request: Request) -> Reply:
        if next(numbers) > 12:
            sent_after.append(request)
            return error
        return scene.right(request)

    engine = Unsteady(reply)
    double = scene.annotator(engine)
    summary = await scene.run(journal, double)
    assert (summary.stopped, summary.error) == ("provider", error)
    found = scene.labels(journal, double)
    assert found.items() <= scene.all_right(journal).items(), "nothing failed"
    assert len(found) == 12
    assert len(sent_after) <= 4
    healed = replace(double, engine=scene.engine())
    assert (await scene.run(journal, healed)).stopped is None
    assert scene.labels(journal, healed) == scene.all_right(journal)


async def test_a_defect_of_the_engine_surfaces_as_itself_and_replies_on_their_way_are_kept(journal: Journal) -> None:
    def reply(request: Request) -> str:
        if "nonce-5\n" in scene.asked_about(request):
            raise ZeroDivisionError("a defect")
        return scene.right(request)

    engine = Unsteady(reply)
    double = scene.annotator(engine)
    with pytest.raises(ZeroDivisionError, match="a defect"):
        await scene.run(journal, double)
    assert len(scene.outcomes(journal, double)) == len(engine.requests) - 1
    assert (engine.in_flight, journal.open_intents()) == (0, 1)
    assert len(engine.requests) < 40, "nothing new is sent"


async def test_a_defect_in_reading_loses_no_reply(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = scene.engine()
    double = scene.annotator(engine)
    with monkeypatch.context() as patch:
        patch.setattr(type(double.task), "read", lambda *_, **__: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            await scene.run(journal, double)
    assert len(engine.requests) > 0
    assert (scene.outcomes(journal, double), journal.open_intents()) == ({}, 0)
    await scene.run(journal, double)
    assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(engine.requests) == 40, "what was paid for was used"


async def test_an_error_of_the_records_surfaces_as_itself(journal: Journal) -> None:
    def records() -> Iterator[Record]:
        yield scene.record(0)
        raise DataError("items.jsonl, line 2: broken")

    double = scene.annotator(Unsteady())
    with pytest.raises(DataError, match="line 2"):
        await scene.runner(journal, double).run(records(), 2)
    assert list(scene.labels(journal, double)) == ["r0"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_a_completion_that_is_none_is_a_fault_of_the_engine(number: float, journal: Journal) -> None:
    def reply(request: Request) -> Reply:
        bad = "nonce-3\n" in scene.asked_about(request)
        shares = (number, 0.5, 0.5) if bad else (0.1, 0.1, 0.8)
        return Completion("positive", "stop", Usage(1, 1), choice_probabilities=shares)

    engine = scene.engine(reply, capabilities=scene.SCORED)
    double = scene.annotator(engine)
    await scene.run(journal, double)
    found = scene.labels(journal, double)
    assert Counter(found.values()) == {"positive": 39, "provider_error": 1}
    assert found["r3"] == "provider_error"
    assert len(engine.requests) == 39 + 3


# Stopping


async def test_an_interrupt_lets_requests_in_flight_end_and_sends_no_more(journal: Journal) -> None:
    def reply(request: Request) -> str:
        if len(engine.requests) >= 10:
            # From a thread, as a notebook has it.
            threading.Thread(target=runner.interrupt).start()
        return scene.right(request)

    engine = Unsteady(reply)
    double = scene.annotator(engine)
    runner = scene.runner(journal, double)
    summary = await runner.run(journal.pending(double.id), 40)
    done = scene.labels(journal, double)
    assert summary.stopped == "interrupted"
    assert len(done) == len(engine.requests) <= 10 + 2 * 4
    assert journal.open_intents() == 0
    await scene.run(journal, double)
    assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(engine.requests) == 40


async def test_an_interrupt_does_not_wait_for_the_next_attempt(journal: Journal) -> None:
    double = scene.annotator(scene.engine(lambda _: RateLimited("slow down", retry_after=50.0)))
    runner = scene.runner(journal, double)
    task = asyncio.create_task(runner.run(journal.pending(double.id), 40))
    while journal.heads()["reply"][0] < 4:  # noqa: ASYNC110 - the journal rings no bell
        await asyncio.sleep(0.001)
    runner.interrupt()
    summary = await asyncio.wait_for(task, timeout=5)
    assert (summary.stopped, scene.outcomes(journal, double), journal.open_intents()) == ("interrupted", {}, 0)


async def test_an_interrupt_before_the_run_is_heard(journal: Journal) -> None:
    engine = scene.engine()
    runner = scene.runner(journal, scene.annotator(engine))
    runner.interrupt()
    assert (await runner.run(journal.pending("x"), 40)).stopped == "interrupted"
    assert not engine.requests


async def test_calling_off_leaves_open_intents_and_the_next_run_sends_only_those_again(journal: Journal) -> None:
    def reply(request: Request) -> str:
        if len(engine.requests) >= 15:
            task.cancel()
        return scene.right(request)

    engine = Unsteady(reply)
    double = scene.annotator(engine)
    task = asyncio.create_task(scene.run(journal, double))
    with pytest.raises(asyncio.CancelledError):
        await task
    await journal.settled()
    left_open = journal.open_intents()
    assert left_open <= 4
    before = len(engine.requests)
    summary = await scene.run(journal, double)
    assert scene.labels(journal, double) == scene.all_right(journal)
    assert summary.spending.requests == len(engine.requests) - before
    spending = journal.spending()
    assert spending.requests - 40 == spending.resent == left_open


async def test_a_deadline_that_has_passed_sends_nothing(journal: Journal) -> None:
    engine = scene.engine()
    double = scene.annotator(engine)
    assert (await scene.run(journal, double, budget=Budget(seconds=0))).stopped == "deadline"
    assert (engine.requests, scene.outcomes(journal, double)) == ([], {})


async def test_a_deadline_ends_waiting_too(journal: Journal) -> None:
    double = scene.annotator(scene.engine(lambda _: RateLimited("slow down", retry_after=50.0)))
    running = scene.run(journal, double, budget=Budget(seconds=0.05))
    summary = await asyncio.wait_for(running, timeout=5)
    assert (summary.stopped, scene.outcomes(journal, double)) == ("deadline", {})


# The store


async def test_a_full_disk_stops_the_run_with_one_clear_error(tmp_path: Path) -> None:
    def limit(connection: apsw.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 70").fetchall()

    apsw.connection_hooks.append(limit)
    try:
        with scene.journal(tmp_path, 200) as journal:
            seen: list[int] = []

            def reply(request: Request) -> Reply:
                seen.append(len(engine.requests))
                return Completion(scene.right(request) + " " * 3000, "stop", Usage(1, 1))

            engine = Unsteady(reply)
            double = scene.annotator(engine)
            with pytest.raises(StoreError, match=r"postil\.db: the journal cannot be written: .*full"):
                await scene.run(journal, double)
            kept = scene.labels(journal, double)
            assert 0 < len(kept) < 200
            assert kept.items() <= scene.all_right(journal).items()
            assert len(engine.requests) <= len(kept) + 2 * 4, "no paid work without a place to keep it"
    finally:
        apsw.connection_hooks.remove(limit)
    with scene.journal(tmp_path) as journal:
        assert scene.labels(journal, double) == kept, "nothing that was acknowledged is lost"
        await scene.run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert journal.spending().resent <= 4


async def test_a_store_that_is_broken_waits_for_no_reply(tmp_path: Path) -> None:
    """What is still on its way could not be kept: it is called off, and its intent stays open."""

    class Slow(ScriptedEngine):
        async def complete(self, request: Request) -> Completion:
            if "nonce-1\n" in scene.asked_about(request):
                await asyncio.sleep(60)
            return await super().complete(request)

    def limit(connection: apsw.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 70").fetchall()

    long = Completion("neutral" + " " * 3000, "stop", Usage(1, 1))
    apsw.connection_hooks.append(limit)
    try:
        with scene.journal(tmp_path, 200) as journal:
            with pytest.raises(StoreError):
                await asyncio.wait_for(scene.run(journal, scene.annotator(Slow(lambda _: long))), timeout=10)
            assert journal.open_intents() >= 1
    finally:
        apsw.connection_hooks.remove(limit)


# What is asked of a run besides


def test_a_policy_that_could_send_nothing_is_refused() -> None:
    refused: list[dict[str, Any]] = [{"concurrency": 0}, {"attempts": 0}, {"requests_per_minute": 0.5}]
    for wrong in refused:
        with pytest.raises(SettingsError, match="at least 1"):
            Policy(**wrong)


async def test_records_are_taken_as_they_are_worked_on(journal: Journal) -> None:
    taken = 0

    def records() -> Iterator[Record]:
        nonlocal taken
        for number in range(40):
            taken += 1
            yield scene.record(number)

    ahead: list[int] = []
    double = scene.annotator(scene.engine())
    runner = scene.runner(journal, double, on_progress=lambda progress: ahead.append(taken - progress.done))
    await runner.run(records(), 40)
    assert max(ahead) <= 4
    assert len(ahead) == 40


async def test_progress_counts_up_to_the_end(journal: Journal) -> None:
    told: list[Progress] = []
    double = scene.annotator(
        scene.engine(lambda r: "purple" if "nonce-1\n" in scene.asked_about(r) else scene.right(r))
    )
    await scene.runner(journal, double, on_progress=told.append).run(journal.pending(double.id), 40)
    assert [progress.done for progress in told] == list(range(1, 41))
    assert {progress.total for progress in told} == {40}
    assert (told[-1].failures, told[-1].usd, told[-1].phase) == ({"outside_labels": 1}, 0.0, "labelling")


async def test_what_was_previewed_is_not_paid_again(journal: Journal) -> None:
    engine = scene.engine(lambda r: ServerFault("no") if "nonce-2\n" in scene.asked_about(r) else scene.right(r))
    double = scene.annotator(engine)
    records = [scene.record(1), scene.record(2), Record("e", {"text": ""})]
    asked = await scene.runner(journal, double).ask(records)
    first, second, third = (asked[record.id] for record in records)
    [(_, reply)] = first.exchanges
    assert isinstance(reply, Completion)
    assert isinstance(first.outcome, Annotation)
    [(_, reply)] = second.exchanges
    assert isinstance(reply, ServerFault)
    assert isinstance(second.outcome, Failure)
    assert third.exchanges == []
    assert isinstance(third.outcome, Failure)
    assert scene.outcomes(journal, double) == {}
    before = len(engine.requests)
    await scene.run(journal, double)
    assert len(engine.requests) == before + 39 - 1 + 3


async def test_a_preview_says_at_once_that_no_request_can_work(journal: Journal) -> None:
    double = scene.annotator(scene.engine(lambda _: AuthenticationFailed("wrong key")))
    with pytest.raises(AuthenticationFailed):
        await scene.runner(journal, double).ask([scene.record(1)])
    nothing = await scene.runner(journal, double, budget=Budget(requests=0)).ask([scene.record(1)])
    assert nothing == {}, "not asked about, and no error"


async def test_every_run_is_noted_with_its_end(journal: Journal) -> None:
    double = scene.annotator(scene.engine())
    await scene.run(journal, double, budget=Budget(requests=10))
    await scene.run(journal, double)
    ends = [(subject, body["run"], body["stopped"]) for _, subject, body in journal.events("run_end")]
    assert ends == [(double.id, 1, "budget"), (double.id, 3, None)]
    assert journal.seconds_run(double.id) > 0
