"""The batch lane against a real server that loses, mixes up, repeats and expires (reliability R4 to R6)."""

import random
from collections.abc import Callable, Generator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from postil.engines.batch import Batch, OpenAIBatches
from postil.errors import EngineError, QuotaExhausted
from postil.runner import PromptedAnnotator
from postil.runner.batch import BatchPolicy, records_in_batches
from postil.store import Journal
from postil.types import Budget, Failure, Record, Usage
from tests.fake_batches import BatchServer, Lines
from tests.fake_server import Asked, Reply
from tests.runner import scene
from tests.runner.lane import PRICE, QUICK, annotator, live, right, run, sound


@pytest.fixture
def server() -> Generator[BatchServer, None, None]:
    with BatchServer(right) as started:
        yield started


async def test_every_record_gets_its_own_answer_whatever_the_order_of_the_results(
    tmp_path: Path, server: BatchServer
) -> None:
    server.mangle = lambda lines: random.Random(1).sample(lines, len(lines))
    double = annotator(server)
    with scene.journal(tmp_path, 40) as journal:
        summary = await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert (summary.stopped, summary.spending.requests, summary.spending.resent) == (None, 40, 0)
        assert summary.spending.usd == pytest.approx(
            (summary.spending.input_tokens + 2 * summary.spending.output_tokens) / 1e6
        )
        assert journal.open_intents() == 0
        sound(journal, double)
    assert len(server.batches) == 1
    assert set(server.billed_bodies.values()) == {1}


async def test_what_was_annotated_live_is_not_asked_again_and_the_other_way_round(
    tmp_path: Path, server: BatchServer
) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 10) as journal:
        await live(journal, double, budget=Budget(requests=4))
        await run(journal, double, budget=Budget(requests=7))
        await live(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.asked) == 10


def dropped(lines: Lines) -> Lines:
    return lines[2:]


def repeated(lines: Lines) -> Lines:
    return [*lines, lines[0]]


def unknown(lines: Lines) -> Lines:
    return [{**lines[0], "custom_id": "nobody"}, *lines]


@pytest.mark.parametrize(
    ("mangle", "words", "asked"),
    [(dropped, "no line for 2", 12), (repeated, "two of 1", 10), (unknown, "lines that nobody asked for 1", 10)],
)
async def test_lines_that_are_missing_repeated_or_nobodys_are_named(
    tmp_path: Path,
    server: BatchServer,
    caplog: pytest.LogCaptureFixture,
    mangle: Callable[[Lines], Lines],
    words: str,
    asked: int,
) -> None:
    server.mangle = lambda lines: mangle(lines) if len(lines) == 10 else lines
    double = annotator(server)
    with scene.journal(tmp_path, 10) as journal:
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert words in caplog.text
        assert journal.spending().requests == asked
        sound(journal, double)


async def test_failed_lines_are_read_and_only_unfinished_requests_are_submitted_again(
    tmp_path: Path, server: BatchServer
) -> None:
    """Reliability R5: 30 % errors, expired at 60 %; no paid answer is thrown away, and none is paid twice."""
    server.finished_share = 0.6

    def mangle(lines: Lines) -> Lines:
        server.finished_share = 1.0
        return lines

    def script(asked: Asked) -> Reply:
        return right(asked) if asked.number % 10 > 2 or len(server.batches) > 1 else Reply(status=500, body={})

    server.mangle, server.script = mangle, script
    double = annotator(server)
    with scene.journal(tmp_path, 50) as journal:
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)
    first, second = (len(batch.lines) for batch in server.batches)
    assert (first, second) == (50, 50 - 21)
    assert set(server.billed_bodies.values()) == {1}


async def test_a_request_that_never_works_ends_as_a_failure(tmp_path: Path, server: BatchServer) -> None:
    server.script = lambda asked: Reply(status=500, body={}) if "nonce-3" in str(asked.body) else right(asked)
    double = annotator(server)
    with scene.journal(tmp_path, 6) as journal:
        await run(journal, double)
        found = scene.labels(journal, double)
        assert found["r3"] == "provider_error"
        assert {**found, "r3": ""} == {**scene.all_right(journal), "r3": ""}
        sound(journal, double)
    assert [len(batch.lines) for batch in server.batches] == [6, 1, 1]


async def test_a_repair_is_a_question_of_the_next_batch(tmp_path: Path, server: BatchServer) -> None:
    server.script = lambda asked: right(asked) if len(asked.body["messages"]) > 2 else Reply("sunny")
    double = annotator(server, repairs=1)
    with scene.journal(tmp_path, 5) as journal:
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)
    assert [len(batch.lines) for batch in server.batches] == [5, 5]


async def test_batches_are_made_smaller_when_too_much_is_enqueued(tmp_path: Path, server: BatchServer) -> None:
    server.most_enqueued = 7
    double = annotator(server)
    with scene.journal(tmp_path, 20) as journal:
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)
    assert [len(batch.lines) for batch in server.batches] == [20, 10, 5, 5, 5, 5]


async def test_requests_of_a_batch_that_was_refused_are_none_of_the_budgets(
    tmp_path: Path, server: BatchServer
) -> None:
    server.most_enqueued = 7
    double = annotator(server)
    with scene.journal(tmp_path, 20) as journal:
        first = await run(journal, double, budget=Budget(requests=12))
        assert (first.stopped, len(server.asked)) == ("budget", 12)
        assert first.spending.requests - first.spending.unsent == 12
        # Nor in the next run, which knows of them from the journal only.
        again = await run(journal, double, budget=Budget(requests=20))
        assert (again.stopped, len(server.asked)) == (None, 20)
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)


SMALL = replace(QUICK, requests=4)


async def test_several_batches_are_open_at_once_and_nothing_is_asked_twice(tmp_path: Path, server: BatchServer) -> None:
    server.polls_needed = 3
    records = [*map(scene.record, range(30)), Record("again", {"text": "text nonce-3"})]
    double = annotator(server)
    with scene.journal(tmp_path, records) as journal:
        summary = await run(journal, double, policy=replace(SMALL, together=3))
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert (summary.stopped, summary.spending.requests, journal.open_intents()) == (None, 30, 0)
        sound(journal, double)
    assert [len(batch.lines) for batch in server.batches] == [4] * 7 + [2]
    assert server.open == [1, 2, 3, 3, 3, 3, 3, 3]
    assert set(server.billed_bodies.values()) == {1}


@pytest.mark.parametrize("most_open", [1, 2])
async def test_no_more_batches_are_open_than_the_provider_takes_and_none_is_made_smaller(
    most_open: int, tmp_path: Path, server: BatchServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.most_open, server.polls_needed = most_open, 2
    double = annotator(server)
    with scene.journal(tmp_path, 24) as journal:
        assert (await run(journal, double, policy=SMALL)).stopped is None
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)
    taken = [len(batch.lines) for batch in server.batches if batch.status == "completed"]
    assert taken == [4] * 6
    assert len(server.batches) - len(taken) <= 4 - most_open, "it has learnt how many there may be"
    assert f"at most {most_open} batches are open at once" in caplog.text
    assert set(server.billed_bodies.values()) == {1}


@pytest.mark.parametrize("refusal", ["429", "failed"])
async def test_a_provider_that_takes_one_batch_at_a_time_is_asked_to_the_end(
    refusal: Literal["429", "failed"], tmp_path: Path, server: BatchServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.beside, server.polls_needed = refusal, 3
    double = annotator(server)
    with scene.journal(tmp_path, 24) as journal:
        assert (await run(journal, double, policy=SMALL)).stopped is None
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)
    assert "at most 1 batches are open at once" in caplog.text
    assert set(server.billed_bodies.values()) == {1}


async def test_a_batch_that_cannot_be_collected_keeps_none_of_the_others_from_it(
    tmp_path: Path, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    look = OpenAIBatches.look

    async def never_the_first(self: OpenAIBatches, id_: str) -> Batch:
        if id_ == "batch_0":
            raise QuotaExhausted("the account is empty")
        return await look(self, id_)

    double = annotator(server)
    with scene.journal(tmp_path, 12) as journal:
        with monkeypatch.context() as broken:
            broken.setattr(OpenAIBatches, "look", never_the_first)
            for _ in range(2):
                summary = await run(journal, double, policy=SMALL)
                assert (summary.stopped, str(summary.error)) == ("provider", "the account is empty")
                assert len(scene.outcomes(journal, double)) == 8
        assert (await run(journal, double, policy=SMALL)).stopped is None
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)
    assert set(server.billed_bodies.values()) == {1}


async def test_batches_that_were_taken_are_collected_before_a_refusal_ends_the_run(
    tmp_path: Path, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = OpenAIBatches.submit

    async def refused_from_the_third_on(self: OpenAIBatches, lines: bytes, token: str) -> str:
        if len(server.batches) == 2:
            raise QuotaExhausted("the account is empty")
        return await submit(self, lines, token)

    monkeypatch.setattr(OpenAIBatches, "submit", refused_from_the_third_on)
    double = annotator(server)
    with scene.journal(tmp_path, 12) as journal:
        summary = await run(journal, double, policy=SMALL)
        assert (summary.stopped, str(summary.error)) == ("provider", "the account is empty")
        assert len(scene.outcomes(journal, double)) == 8
        assert journal.open_intents() == 0


async def test_what_a_budget_has_room_for_once_others_are_settled_is_submitted_then(
    tmp_path: Path, server: BatchServer
) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 30) as journal:
        one = double.request(scene.record(11))
        worst = PRICE.cost(Usage(double.engine.count_tokens(one.messages), one.max_tokens))
        summary = await run(journal, double, policy=SMALL, budget=Budget(usd=9.5 * worst))
        assert summary.stopped == "budget"
        assert summary.spending.requests > 12, "what the first have left over was used"
        assert summary.spending.usd is not None
        assert 8 * worst < summary.spending.usd + worst <= 10.5 * worst


async def test_a_run_that_died_with_several_batches_open_submits_none_of_them_again(
    tmp_path: Path, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 12) as journal:
        with monkeypatch.context() as patch:
            patch.setattr(OpenAIBatches, "look", killed)
            with pytest.raises(Killed):
                await run(journal, double, policy=SMALL, budget=Budget(usd=1.0))
        assert len(records_in_batches(journal, double.id)) == 12
        await run(journal, double, policy=SMALL, budget=Budget(usd=1.0))
        assert scene.labels(journal, double) == scene.all_right(journal)
        sound(journal, double)
    assert [len(batch.lines) for batch in server.batches] == [4, 4, 4]


async def test_the_budget_is_never_passed_and_what_is_left_of_it_is_used(tmp_path: Path, server: BatchServer) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 30) as journal:
        summary = await run(journal, double, budget=Budget(usd=0.0008))
        assert summary.stopped == "budget"
        assert summary.spending.usd is not None
        assert 0.0006 < summary.spending.usd <= 0.0008
        assert journal.open_intents() == 0


# Restarts (reliability R6)


class Killed(BaseException):
    """The process died here, as far as the journal can tell."""


async def killed(*_: Any, **__: Any) -> Any:
    raise Killed


async def run_and_die(journal: Journal, double: PromptedAnnotator, crash: pytest.MonkeyPatch, **at: Any) -> None:
    with crash.context() as patch:
        for name, stand_in in at.items():
            patch.setattr(OpenAIBatches, name, stand_in)
        with pytest.raises(Killed):
            await run(journal, double, budget=Budget(usd=1.0))


async def test_a_batch_that_was_submitted_before_a_crash_is_found_by_its_token(
    tmp_path: Path, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = annotator(server)
    submit = OpenAIBatches.submit

    async def submit_and_die(self: OpenAIBatches, lines: bytes, token: str) -> str:
        await submit(self, lines, token)
        raise Killed

    with scene.journal(tmp_path, 10) as journal:
        for _ in range(3):
            await run_and_die(journal, double, monkeypatch, look=killed, submit=submit_and_die)
            assert records_in_batches(journal, double.id) == {f"r{i}" for i in range(10)}
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert records_in_batches(journal, double.id) == set()
        assert journal.open_intents() == 0
        sound(journal, double)
    assert len(server.batches) == 1


async def test_a_batch_that_never_reached_the_provider_is_not_counted(
    tmp_path: Path, server: BatchServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = annotator(server)
    with scene.journal(tmp_path, 10) as journal:
        await run_and_die(journal, double, monkeypatch, submit=killed)
        assert journal.open_intents() == 10
        summary = await run(journal, double, budget=Budget(usd=1.0))
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert (journal.open_intents(), journal.unseen().usd) == (0, 0.0)
        assert summary.spending.resent == 0 or summary.spending.requests == 10
    assert len(server.batches) == 1


async def test_an_answer_to_the_submission_that_was_lost_submits_nothing_twice(
    tmp_path: Path, server: BatchServer
) -> None:
    server.lose_create = True
    double = annotator(server)
    with scene.journal(tmp_path, 10) as journal:
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.batches) == 1


async def test_where_the_provider_does_not_list_batches_it_is_held_until_told(
    tmp_path: Path, server: BatchServer
) -> None:
    server.lose_create, server.lists = True, False
    double = annotator(server)
    with scene.journal(tmp_path, 10) as journal:
        held = await run(journal, double)
        assert held.stopped == "provider"
        assert isinstance(held.error, EngineError)
        assert "--lost resend" in held.error.hint
        assert len(server.batches) == 1
        server.lose_create = False
        told = BatchPolicy(first_poll=0.001, longest_poll=0.002, unlisted="resend")
        await run(journal, double, policy=told)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.batches) == 2


async def test_a_run_need_not_wait_the_next_one_collects(tmp_path: Path, server: BatchServer) -> None:
    double = annotator(server)
    leave = BatchPolicy(wait=False)
    with scene.journal(tmp_path, 10) as journal:
        summary = await run(journal, double, policy=leave)
        assert summary.stopped is None
        assert scene.outcomes(journal, double) == {}
        assert len(records_in_batches(journal, double.id)) == 10
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.batches) == 1


async def test_a_deadline_ends_the_waiting_and_loses_nothing(tmp_path: Path, server: BatchServer) -> None:
    server.polls_needed = 10**9
    double = annotator(server)
    with scene.journal(tmp_path, 10) as journal:
        summary = await run(journal, double, budget=Budget(seconds=0.05))
        assert summary.stopped == "deadline"
        server.polls_needed = 0
        await run(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
    assert len(server.batches) == 1


async def test_equal_texts_are_asked_about_once(tmp_path: Path, server: BatchServer) -> None:
    double = annotator(server)
    twins = [scene.record(1), scene.record(2), type(scene.record(1))("twin", scene.record(1).fields)]
    with scene.journal(tmp_path, twins) as journal:
        await run(journal, double)
        found = scene.labels(journal, double)
        assert found["twin"] == found["r1"]
    assert len(server.asked) == 2


async def test_a_wrong_key_stops_the_run_and_fails_no_record(tmp_path: Path, server: BatchServer) -> None:
    refused = {"error": {"message": "Incorrect API key provided", "code": "invalid_api_key"}}
    server.script = lambda _: Reply(status=401, body=refused)
    double = annotator(server)
    with scene.journal(tmp_path, 5) as journal:
        summary = await run(journal, double)
        assert summary.stopped == "provider"
        assert not any(isinstance(o, Failure) for o in scene.outcomes(journal, double).values())
