"""Writes of a run: together on disk, or an error for everybody who waits; nobody waits for ever."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from postil.errors import DataError, StoreError
from postil.store import Intent, Journal
from postil.store.connection import connect
from postil.store.group_commit import GroupCommit
from postil.store.rows import completion_row
from postil.store.sealing import Appender
from postil.types import Annotation, Completion, Confidence, Failure, Record, Usage

Hook = Callable[[apsw.Connection], None]


@pytest.fixture
def hooks() -> Iterator[list[Hook]]:
    """What is done with every new connection."""
    before = list(apsw.connection_hooks)
    yield apsw.connection_hooks
    apsw.connection_hooks[:] = before


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "postil.db")
    opened.add_records((Record(str(i), {"text": str(i)}), "here") for i in range(300))
    yield opened
    opened.close()


def failure(record: str, message: str = "no") -> Failure:
    return Failure(record, "a", "refused", message)


async def test_writes_that_come_together_share_a_commit(hooks: list[Hook], tmp_path: Path) -> None:
    commits: list[str] = []

    def count(connection: apsw.Connection) -> None:
        connection.set_commit_hook(lambda: bool(commits.append("commit")))

    hooks.append(count)
    journal = Journal(tmp_path / "postil.db")
    before = len(commits)
    await asyncio.gather(*(journal.write_outcome(failure(str(i))) for i in range(200)))
    assert len(commits) == before + 1
    await journal.write_outcome(failure("200"))
    assert len(commits) == before + 2, "a write alone does not wait for others"
    journal.close()


async def test_a_write_is_on_disk_when_it_returns(journal: Journal, tmp_path: Path) -> None:
    other = apsw.Connection(str(tmp_path / "postil.db"))
    for i in range(3):
        await journal.write_outcome(failure(str(i)))
        assert other.execute("SELECT count(*) FROM outcome").fetchall() == [(i + 1,)]
    other.close()


async def test_numbers_are_given_in_order_and_once(journal: Journal) -> None:
    intents = (Intent(1, "a", str(i), "label", f"sha256:{i}", 1) for i in range(100))
    assert sorted(await asyncio.gather(*map(journal.write_intent, intents))) == list(range(1, 101))
    assert journal.open_intents() == 100


def test_a_full_disk_ends_all_writing_and_loses_nothing_acknowledged(hooks: list[Hook], tmp_path: Path) -> None:
    path = tmp_path / "postil.db"

    def limit(connection: apsw.Connection) -> None:
        connection.execute("PRAGMA max_page_count = 120").fetchall()

    hooks.append(limit)
    journal = Journal(path)
    journal.add_records((Record(str(i), {"text": str(i)}), "here") for i in range(300))
    kept: list[str] = []

    async def write(i: int) -> None:
        await journal.write_outcome(failure(str(i), "x" * 4000))
        kept.append(str(i))

    async def everything() -> list[BaseException | None]:
        results: list[BaseException | None] = []
        for at in range(0, 300, 10):
            results += await asyncio.gather(*map(write, range(at, at + 10)), return_exceptions=True)
        return results

    errors = [result for result in asyncio.run(everything()) if result is not None]
    assert kept
    assert len(errors) + len(kept) == 300
    for error in errors:
        assert isinstance(error, StoreError)
        assert "postil.db: the journal cannot be written" in str(error)
        assert "full" in str(error)
        assert "nothing committed is lost" in error.hint
    assert len({id(error) for error in errors}) == len(errors), "each has an error of its own to add its trace to"
    journal.close()
    hooks.pop()
    again = Journal(path)
    assert [stored.outcome.record for stored in again.outcomes("a")] == kept
    assert again.integrity() == "ok"
    asyncio.run(again.write_outcome(failure("299")))
    again.close()


@pytest.fixture
def writer(journal: Journal) -> Iterator[GroupCommit]:
    """Another writer on the same file."""
    opened = GroupCommit(journal.path, connect(journal.path))
    yield opened
    opened.close()


def good(rows: Appender) -> int:
    return rows.add("event", "kind", "subject", "{}", "now")


def fails(rows: Appender) -> None:
    rows.add("event", "kind", "subject", "{}", "now")
    raise OSError(5, "Input/output error")


async def test_the_first_error_is_not_tried_away(writer: GroupCommit, journal: Journal) -> None:
    """A sync that failed once must not look well the second time (reliability D3)."""
    assert await writer.write(good) == 1
    for write in (fails, good, good):
        with pytest.raises(StoreError, match="Input/output error"):
            await writer.write(write)
    assert journal.heads()["event"][0] == 1


async def test_whatever_goes_wrong_nobody_waits_for_ever(writer: GroupCommit) -> None:
    def defect(rows: Appender) -> None:
        rows.add("event", "half \ud83d".encode())

    writes = asyncio.gather(writer.write(good), writer.write(defect), return_exceptions=True)
    results = await asyncio.wait_for(writes, timeout=5)
    assert [type(result) for result in results] == [StoreError, StoreError]


async def test_a_group_is_written_whole_or_not_at_all(writer: GroupCommit, journal: Journal) -> None:
    await asyncio.gather(writer.write(good), writer.write(fails), return_exceptions=True)
    assert journal.heads()["event"][0] == 0


async def test_two_writers_take_turns_and_keep_one_chain(writer: GroupCommit, journal: Journal) -> None:
    events = (journal.add_event("other", "subject", {"n": n}) for n in range(20))
    numbers = [await writer.write(good) if i % 2 else next(events) for i in range(20)]
    assert numbers == list(range(1, 21))
    assert not list(journal.broken_seals("event"))


async def test_a_write_that_nobody_waits_for_any_more_is_made_all_the_same(journal: Journal) -> None:
    task = asyncio.create_task(journal.write_outcome(failure("1")))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    await journal.write_outcome(failure("2"))
    assert [stored.outcome.record for stored in journal.outcomes("a")] == ["1", "2"]


def test_a_loop_that_ended_leaves_the_journal_usable(journal: Journal) -> None:
    async def leave() -> None:
        asyncio.get_running_loop().create_task(journal.write_outcome(failure("1")))
        await asyncio.sleep(0)

    for _ in range(3):
        asyncio.run(leave())
    asyncio.run(asyncio.wait_for(journal.write_outcome(failure("2")), timeout=5))
    assert [stored.outcome.record for stored in journal.outcomes("a")] == ["1", "2"]


def test_a_loop_that_was_closed_at_once_leaves_the_journal_usable(journal: Journal) -> None:
    """As an interrupt may leave it: something is queued, and nobody has said so to the writing thread."""
    loop = asyncio.new_event_loop()
    left = journal.write_outcome(failure("1"))

    def begin() -> None:
        left.send(None)
        loop.stop()

    loop.call_soon(begin)
    loop.run_forever()
    loop.close()
    left.close()
    asyncio.run(asyncio.wait_for(journal.write_outcome(failure("2")), timeout=5))
    assert [stored.outcome.record for stored in journal.outcomes("a")] == ["1", "2"]


def test_closing_writes_what_is_queued_and_lets_nothing_follow(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "postil.db")
    journal.add_records([(Record("1", {"text": "a"}), "here")])

    async def leave() -> None:
        asyncio.get_running_loop().create_task(journal.write_outcome(failure("1")))
        await asyncio.sleep(0)

    asyncio.run(leave())
    journal.close()
    with pytest.raises(StoreError, match="was closed"):
        asyncio.run(journal.write_outcome(failure("1")))
    again = Journal(tmp_path / "postil.db")
    assert len(list(again.outcomes("a"))) == 1
    again.close()
    assert not (tmp_path / "postil.db-wal").exists(), "a closed journal is one file"


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
async def test_numbers_that_are_none_are_refused_before_anything_is_written(number: float, journal: Journal) -> None:
    intent = await journal.write_intent(Intent(1, "a", "1", "label", "sha256:1", 1))
    for completion in (
        Completion("x", "stop", Usage(1, 1), choice_probabilities=(number, 0.5)),
        Completion("x", "stop", Usage(1, 1), choice_mass=number),
    ):
        with pytest.raises(DataError):
            await journal.write_reply(completion_row(intent, completion, None))
    with pytest.raises(DataError):
        await journal.write_outcome(Annotation("1", "a", {"label": "x"}, Confidence(number, "verbal")))
    await journal.write_outcome(failure("1"))
    assert (journal.open_intents(), len(list(journal.outcomes("a")))) == (1, 1)
