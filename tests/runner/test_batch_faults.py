"""What goes wrong around a batch: crashes at every step, providers that are late, vague or gone, replies of no use."""

import asyncio
import gc
import warnings
from collections.abc import Awaitable, Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from postil.engines.batch import Batch, OpenAIBatches
from postil.engines.openai import OpenAIEngine
from postil.errors import BrokenReply, EngineError, Overloaded
from postil.runner.money import Price
from postil.store import Journal
from postil.types import Budget, Record
from tests.fake_batches import BatchServer
from tests.fake_server import Reply
from tests.runner import scene
from tests.runner.lane import PRICE, QUICK, annotator, live, right, run, sound

SECONDS = 10
"""After which a run that should have ended is called off."""


@pytest.fixture
def server() -> Generator[BatchServer, None, None]:
    with BatchServer(right) as started:
        yield started


class Killed(BaseException):
    """The process died here, as far as the journal can tell."""


def dies_after(monkeypatch: pytest.MonkeyPatch, owner: type, method: str, times: int) -> None:
    """Let the process die when a method has done its work so often."""
    whole, left = getattr(owner, method), iter(range(times - 1))

    async def dying(*args: Any, **options: Any) -> Any:
        done = await whole(*args, **options)
        if next(left, None) is None:
            raise Killed
        return done

    monkeypatch.setattr(owner, method, dying)


# Crashes


@pytest.mark.parametrize("times", [1, 4, 10])
async def test_a_crash_in_the_middle_of_collecting_loses_nothing_and_counts_nothing_twice(
    tmp_path: Path, server: BatchServer, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 10) as journal:
        with monkeypatch.context() as crash:
            dies_after(crash, Journal, "write_reply", times)
            with pytest.raises(Killed):
                await run(journal, double, budget=Budget(usd=1.0))
            await asyncio.sleep(0.05)
        kept = journal.spending()
        summary = await run(journal, double, budget=Budget(usd=1.0))
        assert (summary.stopped, scene.labels(journal, double)) == (None, scene.all_right(journal))
        assert journal.spending().usd == pytest.approx(PRICE.cost(_usage(journal)))
        assert journal.spending().requests == kept.requests == 10
        assert (journal.open_intents(), journal.unseen().usd) == (0, 0.0)
        sound(journal, double)
    assert len(server.batches) == 1


def _usage(journal: Journal) -> Any:
    return journal.spending()


async def test_after_a_crash_in_the_middle_the_budget_is_what_it_was(
    tmp_path: Path, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an earlier run has settled is not given back to the budget a second time (I5)."""
    double = annotator(server)
    budget = Budget(usd=0.0012)
    with scene.journal(tmp_path, 60) as journal:
        with monkeypatch.context() as crash:
            dies_after(crash, Journal, "write_reply", 8)
            with pytest.raises(Killed):
                await run(journal, double, budget=budget)
            await asyncio.sleep(0.05)
        summary = await run(journal, double, budget=budget)
        assert summary.stopped == "budget"
        spent = journal.spending().usd
        assert spent is not None
        assert 0.001 < spent <= 0.0012


@pytest.mark.parametrize("times", [1, 10])
async def test_requests_that_were_written_down_and_never_submitted_are_no_lost_ones(
    tmp_path: Path, server: BatchServer, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    from postil.runner.submitted import close_unsubmitted

    double = annotator(server)
    with scene.journal(tmp_path, 10) as journal:
        with monkeypatch.context() as crash:
            dies_after(crash, Journal, "write_intent", times)
            with pytest.raises(Killed):
                await run(journal, double, budget=Budget(usd=1.0))
            await asyncio.sleep(0.05)
        assert journal.open_intents() > 0
        await close_unsubmitted(journal)
        assert (journal.open_intents(), journal.unseen().usd, journal.lost_requests()) == (0, 0.0, [])
        await run(journal, double, policy=replace(QUICK, lost="hold"))
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)
    assert len(server.batches) == 1


# Submitting


@pytest.mark.parametrize("call", ["upload", "create"])
async def test_a_provider_that_never_takes_a_batch_ends_the_run(tmp_path: Path, server: BatchServer, call: str) -> None:
    server.refused[call] = 10**9
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        summary = await asyncio.wait_for(run(journal, double), SECONDS)
        assert summary.stopped == "provider"
        assert (journal.open_intents(), scene.outcomes(journal, double)) == (0, {})
        assert journal.spending().requests == 5, "it is the same five requests, however often they are handed over"
    assert server.calls[call] == QUICK.attempts


@pytest.mark.parametrize(
    ("call", "route"), [("upload", "files"), ("create", "batches"), ("look", "batches/batch_0"), ("list", "batches")]
)
async def test_a_complaint_names_the_address_that_it_came_from(call: str, route: str, server: BatchServer) -> None:
    engine = OpenAIEngine(base_url=server.base_url, model="m")
    batches = OpenAIBatches(engine)
    server.refused[call] = 1
    asks: dict[str, Callable[[], Awaitable[object]]] = {
        "look": lambda: batches.look("batch_0"),
        "list": lambda: batches.find("token"),
    }
    with pytest.raises(Overloaded) as caught:
        await asks.get(call, lambda: batches.submit(b"{}\n", "token"))()
    assert str(caught.value) == f"{server.base_url}/{route} answered with status 503: try later"
    await batches.aclose()


async def test_a_server_without_batches_is_told_from_a_wrong_model(server: BatchServer) -> None:
    server.lists = False
    batches = OpenAIBatches(OpenAIEngine(base_url=server.base_url, model="m"))
    with pytest.raises(EngineError, match="/batches answered with status 404") as caught:
        await batches.find("token")
    await batches.aclose()
    assert "annotate without --batch" in caught.value.hint


async def test_a_connection_that_breaks_at_every_upload_ends_the_run_too(tmp_path: Path, server: BatchServer) -> None:
    server.lose_uploads = 10**9
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        summary = await asyncio.wait_for(run(journal, double), SECONDS)
        assert summary.stopped == "provider"
        assert (journal.open_intents(), journal.unseen().usd) == (0, 0.0), "nothing was submitted, nothing was billed"
    assert server.calls["upload"] == QUICK.attempts


@pytest.mark.parametrize("call", ["upload", "create", "look"])
async def test_a_provider_that_is_busy_for_a_moment_is_asked_again(
    tmp_path: Path, server: BatchServer, call: str
) -> None:
    server.refused[call] = 2
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        summary = await run(journal, double)
        assert (summary.stopped, scene.labels(journal, double)) == (None, scene.all_right(journal))
    assert len(server.batches) == 1


async def test_a_batch_that_the_list_shows_late_is_not_submitted_twice(tmp_path: Path, server: BatchServer) -> None:
    server.lose_create, server.list_lag = True, 2
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.batches) == 1


async def test_a_list_that_is_busy_for_a_moment_is_asked_again(tmp_path: Path, server: BatchServer) -> None:
    server.lose_create = True
    server.refused["list"] = 3
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.batches) == 1


async def test_a_large_file_of_requests_is_handed_over_without_a_warning(tmp_path: Path, server: BatchServer) -> None:
    double = annotator(server)
    records = [Record(f"r{i}", {"text": f"text nonce-{i} " + "x" * 400_000}) for i in range(4)]
    with scene.journal(tmp_path, records) as journal:
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)


# Waiting and collecting


async def test_a_provider_that_is_gone_while_a_batch_is_there_ends_the_run_and_the_next_one_goes_on(
    tmp_path: Path, server: BatchServer
) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        server.refused["look"] = 10**9
        summary = await asyncio.wait_for(run(journal, double), SECONDS)
        assert summary.stopped == "provider"
        server.refused.clear()
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.batches) == 1


@pytest.mark.parametrize("hidden", [2, 10**9])
async def test_a_completed_batch_without_files_is_looked_at_again_and_never_paid_again(
    tmp_path: Path, server: BatchServer, hidden: int
) -> None:
    server.hide_files = hidden
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        summary = await asyncio.wait_for(run(journal, double), SECONDS)
        if hidden > 2:
            assert (summary.stopped, scene.outcomes(journal, double)) == ("provider", {})
            assert "--lost resend" in str(summary.error)
            server.hide_files = 0
            await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.batches) == 1


@pytest.mark.parametrize("chunk", [1, 7, 64])
async def test_lines_of_results_may_be_split_over_chunks(tmp_path: Path, server: BatchServer, chunk: int) -> None:
    server.chunk = chunk
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)


async def test_results_that_break_off_are_read_again(tmp_path: Path, server: BatchServer) -> None:
    server.break_off = 2
    double = annotator(server)
    with scene.journal(tmp_path, 600) as journal, warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = await run(journal, double)
        gc.collect()
        assert (summary.stopped, scene.labels(journal, double)) == (None, scene.all_right(journal))
        [(_, _, ended)] = journal.events("batch_end")
        assert (ended["repeated"], ended["unknown"], ended["missing"]) == ([], [], 0)
    assert len(server.batches) == 1


async def test_results_that_always_break_off_leave_nothing_unwaited_for(tmp_path: Path, server: BatchServer) -> None:
    server.break_off = 10**9
    double = annotator(server)
    with scene.journal(tmp_path, 600) as journal, warnings.catch_warnings():
        warnings.simplefilter("error")
        summary = await asyncio.wait_for(run(journal, double), SECONDS)
        gc.collect()
        assert summary.stopped == "provider"
        server.break_off = 0
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.batches) == 1


@pytest.mark.parametrize(
    "rubbish", ["[" * 100_000, "7", '"text"', "[]", '{"custom_id": 3}', '{"custom_id": "x", "response": 5}']
)
async def test_rubbish_in_the_results_is_nobodys_line(server: BatchServer, rubbish: str) -> None:
    results = OpenAIBatches(OpenAIEngine(base_url=server.base_url, model="m"))
    batch = Batch("b", "ended", "completed", (server.keep(rubbish.encode() + b"\n"),))
    try:
        [only] = [result async for result in results.results(batch, {})]
        assert isinstance(only.reply, BrokenReply)
    finally:
        await results.aclose()


async def test_a_batch_that_was_called_off_is_not_submitted_again_by_itself(
    tmp_path: Path, server: BatchServer
) -> None:
    server.cancelled, server.finished_share = True, 0.6
    double = annotator(server)
    with scene.journal(tmp_path, 10) as journal:
        summary = await run(journal, double)
        assert summary.stopped == "provider"
        assert "cancelled" in str(summary.error)
        assert len(scene.labels(journal, double)) == 6, "what was answered is kept"
        assert len(server.batches) == 1
        server.cancelled, server.finished_share = False, 1.0
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)
    assert set(server.billed_bodies.values()) == {1}


async def test_a_batch_that_the_provider_has_forgotten_is_held_until_told(tmp_path: Path, server: BatchServer) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        await run(journal, double, policy=replace(QUICK, wait=False))
        server.batches.clear()
        held = await run(journal, double)
        assert held.stopped == "provider"
        assert "--lost resend" in str(held.error)
        await run(journal, double, policy=replace(QUICK, unlisted="resend"), budget=Budget(usd=1.0))
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert journal.unseen().requests == 5, "they may have been paid for"


async def test_a_batch_that_may_have_been_submitted_counts_in_the_budget_when_it_is_given_up(
    tmp_path: Path, server: BatchServer
) -> None:
    server.lose_create, server.lists = True, False
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        await run(journal, double, budget=Budget(usd=1.0))
        server.lose_create = False
        await run(journal, double, policy=replace(QUICK, unlisted="resend"), budget=Budget(usd=1.0))
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert (journal.unseen().requests, journal.unseen().usd > 0) == (5, True)


# Submitting without waiting


async def test_runs_that_do_not_wait_hand_over_batch_after_batch_and_nothing_twice(
    tmp_path: Path, server: BatchServer
) -> None:
    server.polls_needed = 10**9
    double = annotator(server)
    leave = replace(QUICK, wait=False, requests=4)
    with scene.journal(tmp_path, [*map(scene.record, range(10)), Record("twin", scene.record(0).fields)]) as journal:
        for batches in (1, 2, 3, 3):
            await asyncio.wait_for(run(journal, double, policy=leave), SECONDS)
            assert len(server.batches) == batches
        server.polls_needed = 0
        await run(journal, double, policy=leave)
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)
    assert len(server.asked) == 10


# Replies that are lost, and replies of no use


async def test_held_requests_are_in_no_batch(tmp_path: Path, server: BatchServer) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 6) as journal:
        digest = double.request_digest(double.request(scene.record(2)))
        summary = await run(journal, double, held={digest})
        assert summary.held == 1
        assert sorted(scene.labels(journal, double)) == ["r0", "r1", "r3", "r4", "r5"]
    assert len(server.asked) == 5


async def test_with_hold_a_line_that_is_missing_is_not_asked_for_again(tmp_path: Path, server: BatchServer) -> None:
    """As in the live lane: it may have been paid for, so the record ends as a failure of its own class."""
    server.mangle = lambda lines: lines[1:]
    double = annotator(server)
    with scene.journal(tmp_path, 4) as journal:
        await run(journal, double, policy=replace(QUICK, lost="hold"))
        assert sorted(scene.labels(journal, double).values()).count("connection_lost") == 1
        sound(journal, double)
    assert len(server.batches) == 1


async def test_equal_texts_share_the_failure_too(tmp_path: Path, server: BatchServer) -> None:
    server.script = lambda _: Reply(status=500, body={})
    double = annotator(server)
    twins = [Record(f"twin{i}", {"text": "text nonce-1"}) for i in range(5)]
    with scene.journal(tmp_path, twins) as journal:
        await run(journal, double)
        assert set(scene.labels(journal, double).values()) == {"provider_error"}
        sound(journal, double)
    assert len(server.batches) == QUICK.attempts


async def test_a_defect_in_reading_loses_no_reply(
    tmp_path: Path, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = annotator(server)
    read = type(double.task).read

    def defective(self: Any, completion: Any, form: Any, record: Record, prior: Any = None) -> Any:
        if record.id == "r3":
            raise RuntimeError("a defect")
        return read(self, completion, form, record, prior)

    with scene.journal(tmp_path, 6) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(type(double.task), "read", defective)
            with pytest.raises(RuntimeError, match="a defect"):
                await run(journal, double)
        assert (len(scene.labels(journal, double)), journal.open_intents()) == (5, 0)
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.asked) == 6


# Money


async def test_a_price_that_has_changed_since_does_not_change_what_was_agreed(
    tmp_path: Path, server: BatchServer
) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        await run(journal, double, policy=replace(QUICK, wait=False))
        await run(journal, double, price=Price(7.0, 7.0))
        spent = journal.spending()
        assert spent.usd == pytest.approx((spent.input_tokens + 2 * spent.output_tokens) / 1e6)
        sound(journal, double)


async def test_a_batch_that_was_submitted_without_a_budget_counts_in_a_later_one(
    tmp_path: Path, server: BatchServer
) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        await run(journal, double, policy=replace(QUICK, wait=False))
        assert journal.unseen().usd > 0
        await live(journal, double, budget=Budget(usd=1e-6), price=PRICE)
        assert scene.outcomes(journal, double) == {}


# What follows from the journal


async def test_the_reply_that_was_known_first_is_the_one_that_everything_follows_from(
    tmp_path: Path, server: BatchServer
) -> None:
    """Two replies to one request: one in a batch that was asked for first, one live that came first."""
    replies = iter(["sunny", "negative", "rainy"])
    server.script = lambda _: Reply(next(replies, "positive"))
    double, other = annotator(server, repairs=1), annotator(server, repairs=2)
    with scene.journal(tmp_path, 1) as journal:
        await run(journal, double, policy=replace(QUICK, wait=False))
        await live(journal, other)
        await run(journal, double)
        assert {*scene.labels(journal, double).values()} == {*scene.labels(journal, other).values()}
        sound(journal, other)
        sound(journal, double)


async def test_a_part_that_cannot_be_asked_about_ends_a_record_soundly(tmp_path: Path, server: BatchServer) -> None:
    server.script = lambda asked: Reply("no " * 3000) if "nonce-1" in str(asked.body) else right(asked)
    double = annotator(server, repairs=1, max_tokens_per_record=500)
    with scene.journal(tmp_path, 3) as journal:
        await run(journal, double)
        assert scene.labels(journal, double)["r1"] == "cost_cap"
        sound(journal, double)
