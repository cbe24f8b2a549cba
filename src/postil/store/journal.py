"""The journal: one append-only SQLite file from which everything else is derived."""

import asyncio
import hashlib
from collections.abc import Generator, Iterable, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, NamedTuple

import apsw

from postil.canonical import canonical_json, digest
from postil.errors import DataError, EngineError, StoreError
from postil.store.connection import connect, make_durable, transaction, write_error
from postil.store.group_commit import GroupCommit
from postil.store.queries import Queries
from postil.store.rows import add_outcome, error_row, json_text, now, outcome_row
from postil.store.sealing import Appender
from postil.store.seen import Seen
from postil.store.totals import NOTED, Totals
from postil.types import JSON, Answer, Outcome, Record

__all__ = ["SCHEMA_VERSION", "Imported", "Intent", "Journal"]

SCHEMA_VERSION: Final = "3"


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the records of a file."""

    added: int
    known: int
    """Already in the journal with the same fields, from this file or an earlier one."""


class Intent(NamedTuple):
    """What is written down before a request leaves."""

    run: int
    annotator: str
    record: str | None
    purpose: str
    request: str
    attempt: int
    most_tokens: int | None = None
    """The most it can come to; more than that where neither a price nor a budget asked for it."""
    most_usd: float | None = None


class Journal(Queries):
    """One project's journal: what is written to it, beside the `Queries` of what it says.

    Writes of a run go through `GroupCommit`.
    """

    def __init__(self, path: Path) -> None:
        """Open a journal, or make one where there is none.

        Raises:
            StoreError: the file is no journal, is of a newer Postil, or cannot be opened.
        """
        try:
            super().__init__(path, connect(path, create=True))
        except apsw.Error as error:
            raise _no_journal(path, error) from None
        try:
            self._prepare()
            make_durable(self._connection)
            writing = connect(path)
            make_durable(writing)
        except (apsw.Error, StoreError) as error:
            self._connection.close()
            raise error if isinstance(error, StoreError) else _no_journal(path, error) from None
        self._writer = GroupCommit(path, writing)

    def _prepare(self) -> None:
        # Looks before it writes: a file of somebody else's must stay as it was.
        if self._is_empty():
            with transaction(self._connection):
                # Looks again: somebody may have been quicker.
                if self._is_empty():
                    self._connection.execute((files("postil.store") / "schema.sql").read_text(encoding="utf-8"))
                    self._connection.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA_VERSION,))
        found = self._connection.execute("SELECT value FROM meta WHERE key = 'schema'").fetchall()
        if found != [(SCHEMA_VERSION,)]:
            raise StoreError(
                f"{self.path}: expected a journal of schema {SCHEMA_VERSION}, got {found[0][0] if found else 'none'}",
                hint="another version of Postil wrote it: use that one, or a newer one",
            )

    def _is_empty(self) -> bool:
        return self._connection.execute("SELECT count(*) FROM sqlite_master").fetchall() == [(0,)]

    def close(self) -> None:
        """Finish writing and let go of the file."""
        self._writer.close()
        self._connection.close()

    @contextmanager
    def _appending(self) -> Generator[Appender, None, None]:
        rows = Appender(self._connection)
        try:
            with transaction(self._connection):
                yield rows
                rows.flush()
        except apsw.Error as error:
            raise write_error(self.path, error) from None

    # Records and gold

    def add_records(self, located: Iterable[tuple[Record, str]]) -> Imported:
        """Add records, each with the place it came from; all of them or none.

        Raises:
            DataError: two records have one id and different fields, or any error of the iterable.
        """
        added = known = 0
        with self._appending() as rows:
            # Of an empty table nothing has to be looked up but what may have come before in the same file.
            seen = None if rows.find("SELECT 1 FROM record LIMIT 1", ()) else Seen()
            for record, place in located:
                fields = canonical_json(record.fields)
                # As `digest` makes it; the canonical form is needed anyway.
                fingerprint = f"sha256:{hashlib.sha256(fields).hexdigest()}"
                earlier = (seen is None or seen.before(record.id)) and rows.find(
                    "SELECT digest FROM record WHERE id = ?", (record.id,)
                )
                if not earlier:
                    rows.add("record", record.id, fingerprint, fields.decode())
                    added += 1
                elif earlier[0][0] == fingerprint:
                    known += 1
                else:
                    raise DataError(
                        f"{place}: expected one record an id, got {record.id!r} again with other fields",
                        hint="give changed records new ids, or start a new project for them",
                    )
        return Imported(added, known)

    def add_gold(self, answers: Iterable[tuple[str, Answer]], source: str) -> int:
        """Add gold answers that are not there yet; return how many. A changed answer is a new entry that holds."""
        known = self.gold()
        added = 0
        with self._appending() as rows:
            for record, answer in answers:
                if known.get(record) != answer:
                    rows.add("gold", record, json_text(answer), source, now())
                    added += 1
        return added

    def give_roles(self, roles: Iterable[tuple[str, str]]) -> None:
        """Note what gold records may be used for; a role once given stays."""
        given = {(record, role) for record, held in self.gold_roles().items() for role in held}
        with self._appending() as rows:
            for pair in roles:
                if pair not in given:
                    given.add(pair)
                    rows.add("gold_role", *pair, now())

    # Annotators and events

    def add_annotator(self, name: str, spec: Mapping[str, JSON]) -> str:
        """Note an annotator and return its id, the digest of its spec."""
        id_ = digest(spec)
        with self._appending() as rows:
            if not rows.find("SELECT 1 FROM annotator WHERE id = ?", (id_,)):
                rows.add("annotator", id_, name, json_text(spec), now())
        return id_

    def add_event(self, kind: str, subject: str, body: Mapping[str, JSON]) -> int:
        """Note an event and return its number."""
        with self._appending() as rows:
            return rows.add("event", kind, subject, json_text(body), now())

    def _note(self, totals: Totals) -> None:
        # Who cannot write, because the disk is full or somebody else does, counts again the next time.
        with suppress(StoreError):
            self.add_event(NOTED, "", totals.to_json())

    # A run

    @contextmanager
    def run_lock(self) -> Generator[None, None, None]:
        """Hold the right to run; it ends with the process, however that ends (reliability R19).

        Raises:
            StoreError: another process holds it.
        """
        path = Path(f"{self.path}-run")
        try:
            lock = connect(path, create=True)
            lock.set_busy_timeout(0)
            lock.execute("BEGIN EXCLUSIVE")
        except apsw.BusyError:
            raise StoreError(
                f"{self.path}: another run is at work on this project", hint="wait for it, or stop it"
            ) from None
        except apsw.Error as error:
            raise write_error(path, error) from None
        with closing(lock):
            yield

    async def write_intent(self, intent: Intent) -> int:
        """Write an intent and return its number once it is on disk.

        Raises:
            StoreError: it cannot be written; no request may leave.
        """
        at = now()
        return await self._writer.write(lambda rows: rows.add("intent", *intent, at))

    async def write_reply(self, reply: tuple[Any, ...], outcome: Outcome | None = None, revision: int = 0) -> None:
        """Write the row of a completion, and the outcome read from it where there is one, in one commit.

        Raises:
            DataError: the outcome's answer is no JSON; nothing was written.
            StoreError: it cannot be written.
        """
        await self.post_reply(reply, outcome, revision)

    async def write_error(
        self, intent: int, error: EngineError, outcome: Outcome | None = None, revision: int = 0
    ) -> None:
        """Write how an attempt failed, and the failure it led to where it was the last, in one commit.

        Raises:
            StoreError: it cannot be written.
        """
        await self.post_reply(error_row(intent, error), outcome, revision)

    def post_reply(
        self, reply: tuple[Any, ...], outcome: Outcome | None = None, revision: int = 0
    ) -> "asyncio.Future[None]":
        """Write what `write_reply` writes without waiting for it; the future is done, or has its error, once it is.

        What is written after it is on disk no sooner: who waits for a later intent has waited for this too.

        Raises:
            DataError: the outcome's answer is no JSON; nothing will be written.
        """
        ended = None if outcome is None else outcome_row(outcome, reply[0], revision)

        def write(rows: Appender) -> None:
            rows.add("reply", *reply)
            if ended is not None:
                add_outcome(rows, ended)

        return self._writer.submit(write)

    async def write_outcome(self, outcome: Outcome, intent: int | None = None, revision: int = 0) -> None:
        """Write an outcome that needed no reply of its own; as a later revision it takes the place of the earlier ones.

        Raises:
            StoreError: it cannot be written.
        """
        await self._writer.write(partial(add_outcome, row=outcome_row(outcome, intent, revision)))

    async def settled(self) -> None:
        """Return when all that was queued before is on disk, that of tasks which were called off too.

        Raises:
            StoreError: it cannot be written.
        """
        await self._writer.write(lambda _: None)

    def add_outcomes(self, annotator: str, outcomes: Iterable[Outcome]) -> None:
        """Write outcomes made elsewhere, under an annotator's id; all of them or none.

        An outcome of a record that has one is a revision, which holds from then on.
        """
        newest = "SELECT coalesce(max(revision) + 1, 0) FROM outcome WHERE annotator = ? AND record = ?"
        with self._appending() as rows:
            for outcome in outcomes:
                revision = rows.find(newest, (annotator, outcome.record))[0][0]
                rows.add("outcome", *outcome_row(replace(outcome, annotator=annotator), None, revision))


def _no_journal(path: Path, error: apsw.Error) -> StoreError:
    hint = "restore it from a copy" if isinstance(error, (apsw.CorruptError, apsw.NotADBError)) else ""
    return StoreError(f"{path}: expected a Postil journal, or a place to make one: {error}", hint=hint)
