"""The journal keeps what it was given, exactly and once, and refuses what is no journal."""

import asyncio
import itertools
import json
import sqlite3
import threading
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postil.canonical import digest
from postil.errors import AttemptTimedOut, ConnectionLost, DataError, RateLimited, StoreError
from postil.store import Imported, Intent, Journal, Spending, Unseen
from postil.store.connection import transaction
from postil.store.rows import completion_row
from postil.types import (
    Abstention,
    Annotation,
    Completion,
    Confidence,
    Failure,
    Outcome,
    Provenance,
    Record,
    Usage,
)

# Half characters and NUL too: `st.text()` leaves the halves out.
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=[]), max_size=8)
ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False, allow_infinity=False)
    | ANY_TEXT,
    lambda held: st.lists(held, max_size=3) | st.dictionaries(ANY_TEXT, held, max_size=3),
    max_leaves=8,
)  # fmt: skip
ODD = "half \ud83d, whole 😀, \0 NUL, \u2028 line, \x1b[31m, \ufeff, e\u0301"
REQUEST = "sha256:" + "ab" * 32
COMPLETION = Completion("yes", "stop", Usage(7, 2, 3), "model-1")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "postil.db")
    yield opened
    opened.close()


def add(journal: Journal, *ids: str) -> None:
    journal.add_records((Record(id_, {"text": f"text {id_}"}), "here") for id_ in ids)


def begun(journal: Journal, annotator: str = "a") -> int:
    return journal.add_event("run", annotator, {})


async def replied(
    journal: Journal,
    run: int,
    record: str,
    *,
    request: str = REQUEST,
    usd: float | None = 0.5,
    outcome: Outcome | None = None,
) -> int:
    intent = await journal.write_intent(Intent(run, "a", record, "label", request, 1, 10, 0.25))
    await journal.write_reply(completion_row(intent, COMPLETION, usd), outcome)
    return intent


def labelled(record: str, label: str = "yes") -> Annotation:
    return Annotation(record, "a", {"label": label})


# Records


@settings(max_examples=20)
@given(st.dictionaries(ANY_TEXT.filter(bool), st.dictionaries(ANY_TEXT, ANY_JSON, max_size=3), max_size=4))
def test_records_come_back_as_they_were_in_their_order(
    tmp_path_factory: pytest.TempPathFactory, fields: dict[str, dict[str, Any]]
) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "postil.db")
    given_records = [Record(id_, each) for id_, each in fields.items()]
    assert journal.add_records((record, "here") for record in given_records).added == len(given_records)
    assert list(journal.records()) == given_records
    assert list(journal.pending("a")) == given_records
    assert journal.some_records([record.id for record in reversed(given_records)]) == given_records[::-1]
    assert [found for _, found in journal.record_digests()] == [digest(record.fields) for record in given_records]
    assert journal.count_records() == journal.count_pending("a") == len(given_records)
    journal.close()


def test_equal_records_are_merged_and_different_ones_with_one_id_refused_all_or_none(journal: Journal) -> None:
    twice = [(Record("1", {"text": "a"}), "x:1"), (Record("1", {"text": "a"}), "x:2")]
    assert journal.add_records(twice) == Imported(1, 1)
    with pytest.raises(DataError, match=r"x:4.*'1'"):
        journal.add_records([(Record("2", {"text": "b"}), "x:3"), (Record("1", {"text": "other"}), "x:4")])
    assert [record.id for record in journal.records()] == ["1"]


def test_an_error_of_the_file_that_is_read_leaves_nothing_behind(journal: Journal) -> None:
    def records() -> Iterator[tuple[Record, str]]:
        yield Record("1", {"text": "a"}), "x:1"
        raise DataError("x:2: broken")

    with pytest.raises(DataError, match="x:2"):
        journal.add_records(records())
    assert journal.count_records() == 0


def test_pending_reads_on_in_portions_whatever_was_answered_meanwhile(journal: Journal) -> None:
    ids = [f"{i:04}" for i in range(600)]
    add(journal, *ids)
    seen: list[str] = []
    for record in journal.pending("a"):
        seen.append(record.id)
        if len(seen) == 1:
            journal.add_outcomes("a", [labelled("0000"), labelled("0300"), labelled("0599")])
    # The first portion was read before 0300 had its outcome or not at all; nothing is ever shown twice.
    assert seen == [id_ for id_ in ids if id_ not in {"0300", "0599"}]
    assert [record.id for record in journal.pending("b")] == ids


@given(st.sets(st.integers(0, 19)), st.integers(1, 22))
def test_the_first_pending_records_end_at_a_number_and_stay_the_same(
    tmp_path_factory: pytest.TempPathFactory, ended: set[int], limit: int
) -> None:
    opened = Journal(tmp_path_factory.mktemp("journal") / "postil.db")
    ids = [f"{i:02}" for i in range(20)]
    add(opened, *ids)
    opened.add_outcomes("a", [labelled(ids[i]) for i in sorted(ended)])
    chosen = [id_ for i, id_ in enumerate(ids) if i not in ended][:limit]
    last = opened.last_pending("a", limit)
    assert (last is None) == (20 - len(ended) <= limit)
    assert [record.id for record in opened.pending("a", last)] == chosen
    # As they end, no others take their places.
    opened.add_outcomes("a", [labelled(id_) for id_ in chosen[1::2]])
    assert [record.id for record in opened.pending("a", last)] == chosen[::2]
    opened.close()


def test_long_records_are_not_held_in_memory_together(journal: Journal) -> None:
    journal.add_records((Record(str(i), {"text": "x" * 3_000_000}), "here") for i in range(10))
    tracemalloc.start()
    try:
        assert [record.id for record in journal.pending("a")] == list("0123456789")
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    # Two are read ahead, and one is being read.
    assert peak < 7 * 3_000_000


def test_the_log_is_cleared_while_pending_records_are_read(journal: Journal, tmp_path: Path) -> None:
    """A read that stays open as long as a run would keep every page that the run writes."""
    add(journal, *map(str, range(1500)))

    async def annotate() -> int:
        largest = 0
        pending = journal.pending("a")
        while batch := list(itertools.islice(pending, 15)):
            ended = (Failure(record.id, "a", "refused", "x" * 9000) for record in batch)
            await asyncio.gather(*map(journal.write_outcome, ended))
            largest = max(largest, (tmp_path / "postil.db-wal").stat().st_size)
        return largest

    largest = asyncio.run(annotate())
    assert (tmp_path / "postil.db").stat().st_size > 10_000_000
    assert largest < 8_000_000


# Outcomes


@settings(max_examples=20)
@given(
    st.lists(
        st.one_of(
            st.builds(
                Annotation,
                ANY_TEXT.filter(bool),
                st.just("a"),
                st.dictionaries(ANY_TEXT, ANY_JSON, max_size=2),
                st.none() | st.builds(Confidence, st.floats(0, 1), st.sampled_from(["logprob", "verbal"])),
                st.none() | st.dictionaries(ANY_TEXT, st.floats(0, 1), min_size=1, max_size=3),
                st.none() | ANY_TEXT,
                st.none() | st.dictionaries(ANY_TEXT, st.floats(0, 1), min_size=1, max_size=2),
                st.lists(st.dictionaries(ANY_TEXT, ANY_JSON, max_size=2), max_size=2).map(tuple),
                st.lists(ANY_TEXT, max_size=2).map(tuple),
                st.just(Provenance(at="2026-01-01T00:00:00.000+00:00")),
            ),
            st.builds(Abstention, ANY_TEXT.filter(bool), st.just("a"), ANY_TEXT, st.just(Provenance(at="t"))),
            st.builds(Failure, ANY_TEXT.filter(bool), st.just("a"), ANY_TEXT, ANY_TEXT, st.just(Provenance(at="t"))),
        ),
        max_size=4,
        unique_by=lambda outcome: outcome.record,
    )
)
def test_outcomes_come_back_as_they_were(tmp_path_factory: pytest.TempPathFactory, outcomes: list[Outcome]) -> None:
    journal = Journal(tmp_path_factory.mktemp("journal") / "postil.db")
    add(journal, *(outcome.record for outcome in outcomes))

    async def write() -> None:
        await asyncio.gather(*(journal.write_outcome(outcome) for outcome in outcomes))

    asyncio.run(write())
    assert [stored.outcome for stored in journal.outcomes("a")] == outcomes
    for stored, outcome in zip(journal.outcomes("a"), outcomes, strict=True):
        if isinstance(outcome, Annotation) and outcome.probabilities:
            assert isinstance(stored.outcome, Annotation)
            assert list(stored.outcome.probabilities or ()) == list(outcome.probabilities), "labels keep their order"
    assert not list(journal.broken_seals("outcome"))
    journal.close()


async def test_an_outcome_comes_with_the_reply_it_was_read_from(journal: Journal) -> None:
    add(journal, "1", "2", "3")
    run = begun(journal)
    await replied(journal, run, "1", outcome=labelled("1"))
    intent = await journal.write_intent(Intent(run, "a", "2", "label", "sha256:other", 1))
    await journal.write_error(intent, RateLimited(ODD), Failure("2", "a", "rate_limited", ODD))
    await journal.write_outcome(Failure("3", "a", "empty_record", "nothing"))
    first, second, third = journal.outcomes("a")
    assert first.completion == COMPLETION
    assert (first.outcome.provenance.request, first.outcome.provenance.model) == (REQUEST, "model-1")
    assert (second.completion, second.outcome.provenance.request) == (None, "sha256:other")
    assert second.error == {"class": "RateLimited", "failure_class": "rate_limited", "message": ODD}
    assert (third.completion, third.error, third.outcome.provenance.request) == (None, None, None)


async def test_a_record_has_one_outcome_whoever_else_writes(journal: Journal) -> None:
    add(journal, *map(str, range(50)))
    await journal.write_outcome(labelled("7", "first"))
    writes = [journal.write_outcome(labelled(str(i), "second")) for i in range(50)]
    await asyncio.gather(*writes, journal.write_outcome(labelled("8", "third")))
    answers = {stored.outcome.record: stored.outcome for stored in journal.outcomes("a")}
    assert len(answers) == 50
    first = answers["7"]
    assert isinstance(first, Annotation)
    assert first.answer == {"label": "first"}
    assert journal.count_outcomes("a") == {("annotation", None): 50}
    assert not list(journal.broken_seals("outcome"))


def test_an_outcome_from_outside_is_a_revision_and_holds(journal: Journal) -> None:
    add(journal, "1", "2")
    journal.add_outcomes("a", [labelled("1", "old"), labelled("2", "old")])
    journal.add_outcomes("a", [Failure("1", "somebody", "refused", "no")])
    found = [stored.outcome for stored in journal.outcomes("a")]
    assert isinstance(found[0], Failure)
    assert isinstance(found[1], Annotation)
    assert journal.count_outcomes("a") == {("failure", "refused"): 1, ("annotation", None): 1}
    assert not list(journal.pending("a"))


# Money


async def test_spending_counts_requests_tokens_and_dollars(journal: Journal) -> None:
    add(journal, "1", "2")
    first, second = begun(journal), begun(journal)
    await replied(journal, first, "1")
    await replied(journal, second, "2", request="sha256:b")
    intent = await journal.write_intent(Intent(second, "a", "2", "label", "sha256:b", 2))
    await journal.write_error(intent, RateLimited("slow down"))
    assert journal.spending() == Spending(3, 1, 14, 4, 6, 1.0)
    assert journal.spending(run=first) == Spending(1, 0, 7, 2, 3, 0.5)
    assert journal.spending(annotator="other") == Spending(0, 0, 0, 0, 0, 0.0)
    await replied(journal, second, "2", request="sha256:c", usd=None)
    assert journal.spending().usd is None


async def test_what_may_have_been_paid_unseen_is_counted_at_the_most_it_can_be(journal: Journal) -> None:
    run = begun(journal)
    assert journal.unseen() == Unseen(0, 0, 0.0)
    intents = [await journal.write_intent(Intent(run, "a", "1", "label", REQUEST, i, 10, 0.25)) for i in range(4)]
    assert (journal.unseen(), journal.open_intents()) == (Unseen(4, 40, 1.0), 4)
    await journal.write_error(intents[0], RateLimited("not billed"))
    await journal.write_error(intents[1], ConnectionLost("nobody knows"))
    await journal.write_error(intents[2], AttemptTimedOut("nobody knows"))
    assert (journal.unseen(), journal.open_intents()) == (Unseen(3, 30, 0.75), 1)
    assert journal.spending().usd == 0.0, "what is known to be spent is known"


async def test_an_answered_request_is_found_by_its_whole_digest(journal: Journal) -> None:
    run = begun(journal)
    near = REQUEST[:40] + "0" * 31
    intent = await replied(journal, run, "1")
    assert journal.answered(REQUEST) == (intent, COMPLETION)
    assert journal.answered(near) is None
    lost = await journal.write_intent(Intent(run, "a", "1", "label", near, 1))
    await journal.write_error(lost, RateLimited("no"))
    assert journal.answered(near) is None
    assert list(journal.answered_requests()) == [REQUEST]
    await replied(journal, run, "2")
    assert journal.answered(REQUEST) == (intent, COMPLETION), "the first reply stands"


# Gold, annotators, events


def test_changed_gold_is_a_new_entry_that_holds(journal: Journal) -> None:
    assert journal.add_gold([("1", {"label": "a"}), ("2", {"label": "b"})], f"gold-{ODD}.csv") == 2
    assert journal.add_gold([("1", {"label": "a"}), ("2", {"label": "c"})], "gold.csv") == 1
    assert journal.gold() == {"1": {"label": "a"}, "2": {"label": "c"}}
    assert journal.heads()["gold"][0] == 3


def test_a_role_once_given_stays(journal: Journal) -> None:
    journal.give_roles([("1", "certificate"), ("1", "certificate")])
    journal.give_roles([("1", "certificate"), ("2", "search")])
    assert journal.gold_roles() == {"1": {"certificate"}, "2": {"search"}}
    assert journal.heads()["gold_role"][0] == 2


def test_annotators_are_noted_once_and_events_in_order(journal: Journal) -> None:
    spec = {"task": {"instruction": ODD}}
    assert journal.add_annotator("small", spec) == journal.add_annotator("renamed", spec) == digest(spec)
    assert journal.annotators() == [(digest(spec), "small", spec)]
    assert journal.latest_event("prior", "a") is None
    numbers = [journal.add_event("prior", "a", {"n": n}) for n in (1, 2)]
    assert (numbers, journal.latest_event("prior", "a")) == ([1, 2], {"n": 2})
    journal.add_event("run_end", "a", {"seconds": 1.5})
    journal.add_event("run_end", "a", {"seconds": 2.0})
    assert journal.seconds_run("a") == 3.5


async def test_the_pace_is_that_of_the_newest_run_with_replies(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert journal.pace("a") is None
    times = iter(f"2026-01-01T00:00:{second:02}.000+00:00" for second in range(60))
    monkeypatch.setattr("postil.store.journal.now", lambda: "2026-01-01T00:00:00.000+00:00")
    monkeypatch.setattr("postil.store.rows.now", lambda: next(times))
    run = begun(journal)
    for i in range(5):
        await replied(journal, run, str(i))
    begun(journal)
    assert journal.pace("a") == 5 / 4


# The file


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("these are my notes\n" * 100, encoding="utf-8")
    with pytest.raises(StoreError, match=r"notes\.db: expected a Postil journal"):
        Journal(path)
    assert path.read_text(encoding="utf-8") == "these are my notes\n" * 100


def test_somebody_elses_database_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "library.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE book (title TEXT)")
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"library\.db"):
        Journal(path)
    assert path.read_bytes() == before
    assert [found.name for found in tmp_path.iterdir()] == ["library.db"]


def test_a_journal_of_a_newer_schema_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "postil.db"
    Journal(path).close()
    connection = apsw.Connection(str(path))
    connection.execute("UPDATE meta SET value = '4' WHERE key = 'schema'")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match=r"postil\.db: expected a journal of schema 3, got 4") as caught:
        Journal(path)
    assert "newer" in caught.value.hint
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", ["/proc/postil.db", "missing/postil.db", "."])
def test_a_place_where_no_journal_can_be_is_named(place: str, tmp_path: Path) -> None:
    path = tmp_path / place
    if place.startswith("/proc") and not Path("/proc").is_dir():
        pytest.skip("no /proc here")
    with pytest.raises(StoreError) as caught:
        Journal(path)
    assert str(path) in str(caught.value)


def test_many_may_make_the_journal_at_once(tmp_path: Path) -> None:
    path = tmp_path / "postil.db"
    barrier = threading.Barrier(6)

    def open_it(number: int) -> None:
        barrier.wait()
        journal = Journal(path)
        journal.add_event("opened", "test", {"number": number})
        journal.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(open_it, range(6)))
    journal = Journal(path)
    assert sorted(body["number"] for _, _, body in journal.events("opened")) == list(range(6))
    journal.close()


def test_somebody_may_be_quicker_in_making_the_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "postil.db"

    def late(connection: apsw.Connection) -> AbstractContextManager[None]:
        monkeypatch.setattr("postil.store.journal.transaction", transaction)
        quicker = Journal(path)
        quicker.add_event("made", "test", {})
        quicker.close()
        return transaction(connection)

    monkeypatch.setattr("postil.store.journal.transaction", late)
    journal = Journal(path)
    assert journal.latest_event("made", "test") == {}
    journal.close()


def test_a_damaged_file_is_an_error_of_the_store_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "postil.db"
    journal = Journal(path)
    add(journal, *map(str, range(2000)))
    journal.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 4096 * 8] = b"\xff" * 4096 * 8
    path.write_bytes(content)
    journal = Journal(path)
    with pytest.raises(StoreError, match=r"postil\.db: the journal cannot be read"):
        list(journal.records())
    assert journal.integrity() != "ok"
    journal.close()


def test_commits_are_durable(tmp_path: Path) -> None:
    connections: list[apsw.Connection] = []
    apsw.connection_hooks.append(connections.append)
    try:
        journal = Journal(tmp_path / "postil.db")
    finally:
        apsw.connection_hooks.remove(connections.append)
    assert len(connections) == 2
    for connection in connections:
        assert connection.execute("PRAGMA journal_mode").fetchall() == [("wal",)]
        assert connection.execute("PRAGMA synchronous").fetchall() == [(2,)]
    journal.close()


def test_only_one_run_at_a_time(journal: Journal, tmp_path: Path) -> None:
    other = Journal(tmp_path / "postil.db")
    with journal.run_lock():
        with pytest.raises(StoreError, match="another run is at work"), other.run_lock():
            pytest.fail("two runs at once")
        assert other.count_records() == 0, "reading goes on"
    with other.run_lock():
        pass
    other.close()


def test_what_the_journal_says_can_be_read_without_postil(journal: Journal, tmp_path: Path) -> None:
    add(journal, "1")
    journal.add_outcomes("a", [labelled("1")])
    connection = sqlite3.connect(tmp_path / "postil.db")
    rows = connection.execute("SELECT id, fields, answer FROM record JOIN outcome ON record = id").fetchall()
    connection.close()
    assert [(id_, json.loads(fields), json.loads(answer)) for id_, fields, answer in rows] == [
        ("1", {"text": "text 1"}, {"label": "yes"})
    ]


def test_a_file_that_is_damaged_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "postil.db").write_bytes(b"junk" * 4096)
    with pytest.raises(StoreError, match="expected a Postil journal") as caught:
        Journal(tmp_path / "postil.db")
    assert caught.value.hint == "restore it from a copy"
