"""The journal: one append-only SQLite file from which everything else is derived."""

import json
import os
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import apsw

from postil.canonical import canonical_json, digest
from postil.errors import DataError, EngineError, StoreError
from postil.store.group_commit import GroupCommit, store_error
from postil.types import (
    JSON,
    Abstention,
    Annotation,
    Answer,
    Completion,
    Confidence,
    Failure,
    Outcome,
    Provenance,
    Record,
    Usage,
)

SCHEMA_VERSION: Final = "1"


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of the records of a file."""

    added: int
    known: int
    """Already in the journal with the same fields, from this file or an earlier one."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What is written down before a request leaves."""

    run: int
    annotator: str
    record: str | None
    purpose: str
    request: str
    attempt: int


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """An outcome with the reply it was read from; nothing was sent where there is no completion."""

    outcome: Outcome
    completion: Completion | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What requests cost. `usd` is `None` once the price of any of them is unknown."""

    requests: int
    resent: int
    """Attempts beyond the first for one and the same request."""
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    usd: float | None


def now() -> str:
    """Return the time as the journal writes it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class Journal:
    """One project's journal. Reads see what is committed; writes of a run go through `GroupCommit`."""

    def __init__(self, path: Path) -> None:
        """Open a journal, or make one where there is none.

        Raises:
            StoreError: the file is no journal, is of a newer Postil, or cannot be opened.
        """
        self.path = path
        try:
            self._connection = _connect(path)
            self._prepare()
            self._writer = GroupCommit(_connect(path))
        except apsw.Error as error:
            raise StoreError(f"{path}: expected a Postil journal: {error}") from None

    def _prepare(self) -> None:
        with self._connection:
            tables = self._rows("SELECT count(*) FROM sqlite_master")[0][0]
            if not tables:
                schema = (files("postil.store") / "schema.sql").read_text(encoding="utf-8")
                self._connection.execute(schema)
                self._connection.execute("INSERT INTO meta VALUES ('schema', ?)", (SCHEMA_VERSION,))
        found = self._rows("SELECT value FROM meta WHERE key = 'schema'")
        if found != [(SCHEMA_VERSION,)]:
            raise StoreError(
                f"{self.path}: expected a journal of schema {SCHEMA_VERSION}, got {found[0][0] if found else 'none'}",
                hint="a newer Postil wrote it; upgrade Postil",
            )

    def close(self) -> None:
        """Finish writing and let go of the file."""
        self._writer.close()
        self._connection.close()

    @contextmanager
    def _writing(self) -> Generator[apsw.Connection, None, None]:
        try:
            with self._connection:
                yield self._connection
        except apsw.Error as error:
            raise store_error(error) from None

    # Records

    def add_records(self, located: Iterable[tuple[Record, str]]) -> Imported:
        """Add records, each with the place it came from; all of them or none.

        Raises:
            DataError: two records have one id and different fields, or any error of the iterable.
        """
        added = known = 0
        with self._writing() as connection:
            for record, place in located:
                fields = canonical_json(record.fields)
                fingerprint = digest(record.fields)
                earlier = connection.execute("SELECT digest FROM record WHERE id = ?", (record.id,)).fetchall()
                if not earlier:
                    row = (record.id, fingerprint, fields.decode())
                    connection.execute("INSERT INTO record (id, digest, fields) VALUES (?, ?, ?)", row)
                    added += 1
                elif earlier[0][0] == fingerprint:
                    known += 1
                else:
                    raise DataError(
                        f"{place}: expected one record an id, got {record.id!r} again with other fields",
                        hint="give changed records new ids, or start a new project for them",
                    )
        return Imported(added, known)

    def count_records(self) -> int:
        """Return how many records there are."""
        return self._one("SELECT count(*) FROM record")

    def records(self) -> Iterator[Record]:
        """Return all records in the order they came."""
        for id_, fields in self._stream("SELECT id, fields FROM record ORDER BY seq"):
            yield Record(id_, json.loads(fields))

    def some_records(self, ids: Sequence[str]) -> list[Record]:
        """Return the records with these ids, in the order of the ids; ids that are not there are left out."""
        found: list[Record] = []
        for id_ in ids:
            rows = self._rows("SELECT fields FROM record WHERE id = ?", (id_,))
            found += [Record(id_, json.loads(fields)) for (fields,) in rows]
        return found

    def record_ids_by_digest(self, limit: int) -> list[str]:
        """Return the ids of the records whose digests are smallest: a draw that nobody chose and anybody can repeat."""
        rows = self._rows("SELECT id FROM record ORDER BY digest, id LIMIT ?", (limit,))
        return [id_ for (id_,) in rows]

    def pending(self, annotator: str) -> Iterator[Record]:
        """Return the records that have no outcome of an annotator, in the order they came."""
        statement = (
            "SELECT id, fields FROM record WHERE NOT EXISTS"
            " (SELECT 1 FROM outcome WHERE outcome.annotator = ? AND outcome.record = record.id) ORDER BY seq"
        )
        for id_, fields in self._stream(statement, (annotator,)):
            yield Record(id_, json.loads(fields))

    # Gold

    def add_gold(self, answers: Iterable[tuple[str, Answer]], source: str) -> int:
        """Add gold answers that are not there yet; return how many. A changed answer is a new entry that holds."""
        known = self.gold()
        added = 0
        with self._writing() as connection:
            for record, answer in answers:
                if known.get(record) != answer:
                    row = (record, canonical_json(answer).decode(), source, now())
                    connection.execute("INSERT INTO gold (record, answer, source, at) VALUES (?, ?, ?, ?)", row)
                    added += 1
        return added

    def gold(self) -> dict[str, Answer]:
        """Return the answer that holds for each gold record."""
        rows = self._rows("SELECT record, answer FROM gold ORDER BY seq")
        return {record: json.loads(answer) for record, answer in rows}

    def give_roles(self, roles: Iterable[tuple[str, str]]) -> None:
        """Note what gold records may be used for; a role once given stays."""
        with self._writing() as connection:
            connection.executemany(
                "INSERT INTO gold_role (record, role, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                ((record, role, now()) for record, role in roles),
            )

    def gold_roles(self) -> dict[str, set[str]]:
        """Return the roles of each gold record."""
        roles: dict[str, set[str]] = {}
        for record, role in self._rows("SELECT record, role FROM gold_role"):
            roles.setdefault(record, set()).add(role)
        return roles

    # Annotators and events

    def add_annotator(self, name: str, spec: Mapping[str, JSON]) -> str:
        """Note an annotator and return its id, the digest of its spec."""
        id_ = digest(spec)
        with self._writing() as connection:
            connection.execute(
                "INSERT INTO annotator (id, name, spec, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
                (id_, name, canonical_json(spec).decode(), now()),
            )
        return id_

    def annotators(self) -> list[tuple[str, str, Mapping[str, JSON]]]:
        """Return id, name and spec of every annotator, oldest first."""
        rows = self._rows("SELECT id, name, spec FROM annotator ORDER BY at, id")
        return [(id_, name, json.loads(spec)) for id_, name, spec in rows]

    def add_event(self, kind: str, subject: str, body: Mapping[str, JSON]) -> int:
        """Note an event and return its number."""
        with self._writing() as connection:
            statement = "INSERT INTO event (kind, subject, body, at) VALUES (?, ?, ?, ?) RETURNING seq"
            row = (kind, subject, canonical_json(body).decode(), now())
            return _number(connection, statement, row)

    def latest_event(self, kind: str, subject: str) -> Mapping[str, JSON] | None:
        """Return the body of the newest event of a kind about a subject."""
        statement = "SELECT body FROM event WHERE kind = ? AND subject = ? ORDER BY seq DESC LIMIT 1"
        rows = self._rows(statement, (kind, subject))
        return json.loads(rows[0][0]) if rows else None

    # A run

    @contextmanager
    def run_lock(self) -> Generator[None, None, None]:
        """Hold the right to run; it ends with the process, however that ends (reliability R19).

        Raises:
            StoreError: another process holds it.
        """
        lock = apsw.Connection(f"{self.path}-run")
        try:
            lock.execute("PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE")
        except apsw.BusyError:
            raise StoreError(
                f"{self.path}: another run is at work on this project", hint="wait for it, or stop it"
            ) from None
        try:
            yield
        finally:
            lock.close()

    async def write_intent(self, intent: Intent) -> int:
        """Write an intent and return its number once it is on disk."""
        row = (intent.run, intent.annotator, intent.record, intent.purpose, intent.request, intent.attempt, now())
        statement = (
            "INSERT INTO intent (run, annotator, record, purpose, request, attempt, at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING id"
        )
        return await self._writer.write(lambda connection: _number(connection, statement, row))

    async def write_reply(
        self, intent: int, completion: Completion, usd: float | None, outcome: Outcome | None
    ) -> None:
        """Write a completion, its cost, and the outcome read from it where it was asked for one, in one commit."""
        usage = completion.usage
        body = canonical_json(asdict(completion)).decode()
        row = (intent, body, None, usage.input_tokens, usage.output_tokens, usage.cached_tokens, usd, now())

        def write(connection: apsw.Connection) -> None:
            connection.execute(_INSERT_REPLY, row)
            if outcome is not None:
                connection.execute(_INSERT_OUTCOME, _outcome_row(outcome, intent))

        await self._writer.write(write)

    async def write_error(self, intent: int, error: EngineError) -> None:
        """Write how an attempt failed."""
        body = canonical_json({"class": type(error).__name__, "message": str(error)}).decode()
        row = (intent, None, body, 0, 0, 0, 0.0, now())
        await self._writer.write(lambda connection: connection.execute(_INSERT_REPLY, row))

    async def write_outcome(self, outcome: Outcome, intent: int | None = None) -> None:
        """Write an outcome that needed no reply of its own."""
        row = _outcome_row(outcome, intent)
        await self._writer.write(lambda connection: connection.execute(_INSERT_OUTCOME, row))

    def add_outcomes(self, annotator: str, outcomes: Iterable[Outcome]) -> None:
        """Write outcomes made elsewhere, under an annotator's id; all of them or none."""
        with self._writing() as connection:
            rows = (_outcome_row(replace(outcome, annotator=annotator), None) for outcome in outcomes)
            connection.executemany(_INSERT_OUTCOME, rows)

    def answered(self, request: str) -> tuple[int, Completion] | None:
        """Return the intent and completion of a request that was answered before."""
        statement = (
            "SELECT intent.id, reply.completion FROM intent JOIN reply ON reply.intent = intent.id"
            " WHERE intent.request = ? AND reply.completion IS NOT NULL ORDER BY intent.id LIMIT 1"
        )
        rows = self._rows(statement, (request,))
        return (rows[0][0], _completion(rows[0][1])) if rows else None

    # What came of it

    def outcomes(self, annotator: str) -> Iterator[StoredOutcome]:
        """Return the outcome that holds for each record an annotator has been through, in the records' order."""
        statement = (
            "SELECT outcome.*, intent.request, reply.completion, record.seq AS place FROM outcome"
            " JOIN record ON record.id = outcome.record"
            " LEFT JOIN intent ON intent.id = outcome.intent LEFT JOIN reply ON reply.intent = outcome.intent"
            " WHERE outcome.annotator = ? AND outcome.seq ="
            " (SELECT max(newer.seq) FROM outcome AS newer"
            " WHERE newer.annotator = outcome.annotator AND newer.record = outcome.record) ORDER BY record.seq"
        )
        for row in self._stream(statement, (annotator,)):
            yield _stored_outcome(row)

    def count_outcomes(self, annotator: str) -> dict[tuple[str, str | None], int]:
        """Return how many records ended how: (type, failure class) -> number."""
        statement = (
            "SELECT type, failure_class, count(*) FROM outcome WHERE annotator = ? AND seq ="
            " (SELECT max(newer.seq) FROM outcome AS newer"
            " WHERE newer.annotator = outcome.annotator AND newer.record = outcome.record) GROUP BY type, failure_class"
        )
        rows = self._rows(statement, (annotator,))
        return {(type_, failure_class): count for type_, failure_class, count in rows}

    def spending(self, *, run: int | None = None, annotator: str | None = None) -> Spending:
        """Return what requests have cost, of one run, of one annotator or of all."""
        statement = (
            "SELECT count(*), count(DISTINCT request), coalesce(sum(input_tokens), 0), coalesce(sum(output_tokens), 0),"
            " coalesce(sum(cached_tokens), 0), coalesce(sum(usd), 0.0),"
            " count(CASE WHEN reply.intent IS NOT NULL AND usd IS NULL THEN 1 END)"
            " FROM intent LEFT JOIN reply ON reply.intent = intent.id"
            " WHERE (:run IS NULL OR run = :run) AND (:annotator IS NULL OR annotator = :annotator)"
        )
        row = self._rows(statement, {"run": run, "annotator": annotator})[0]
        sent, distinct, read, written, cached, usd, unpriced = row
        return Spending(sent, sent - distinct, read, written, cached, None if unpriced else usd)

    def pace(self, annotator: str) -> float | None:
        """Return the replies a second of an annotator's newest run that had any, `None` before there is one."""
        statement = (
            "SELECT count(*), min(intent.at), max(reply.at) FROM intent JOIN reply ON reply.intent = intent.id"
            " WHERE intent.annotator = ? AND reply.completion IS NOT NULL GROUP BY run ORDER BY run DESC LIMIT 1"
        )
        rows = self._rows(statement, (annotator,))
        if not rows:
            return None
        replies, first, last = rows[0]
        seconds = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
        return replies / max(seconds, 1e-3)

    def open_intents(self) -> int:
        """Return how many requests may have been sent, and paid for, without a reply that was seen."""
        return self._one(
            "SELECT count(*) FROM intent LEFT JOIN reply ON reply.intent = intent.id WHERE reply.intent IS NULL"
        )

    def seconds_run(self, annotator: str) -> float:
        """Return how long an annotator's runs that ended took together."""
        rows = self._rows("SELECT body FROM event WHERE kind = 'run_end' AND subject = ?", (annotator,))
        return sum(json.loads(body)["seconds"] for (body,) in rows)

    # For `verify`: rows as they stand, so that each can be derived again

    def integrity(self) -> str:
        """Return "ok", or what SQLite found wrong in the file."""
        return str(self._rows("PRAGMA quick_check")[0][0])

    def record_digests(self) -> Iterator[tuple[Record, str]]:
        """Return every record with the digest that was stored for it."""
        for id_, fields, fingerprint in self._stream("SELECT id, fields, digest FROM record ORDER BY seq"):
            yield Record(id_, json.loads(fields)), fingerprint

    def completion_of(self, request: str) -> Completion | None:
        """Return the completion of a request."""
        known = self.answered(request)
        return known[1] if known else None

    def paid_replies(self) -> Iterator[tuple[int, Completion, Usage, float | None, Mapping[str, JSON]]]:
        """Return intent, completion, stored usage, stored cost and the run's manifest of every completion."""
        statement = (
            "SELECT intent, completion, input_tokens, output_tokens, cached_tokens, usd, event.body FROM reply"
            " JOIN intent ON intent.id = reply.intent JOIN event ON event.seq = intent.run"
            " WHERE completion IS NOT NULL ORDER BY intent"
        )
        for intent, body, read, written, cached, usd, manifest in self._stream(statement):
            completion = _completion(body)
            usage = Usage(read, written, cached, completion.usage.estimated)
            yield intent, completion, usage, usd, json.loads(manifest)

    def count_pending(self, annotator: str) -> int:
        """Return how many records have no outcome of an annotator, counted one by one."""
        statement = (
            "SELECT count(*) FROM record WHERE NOT EXISTS"
            " (SELECT 1 FROM outcome WHERE outcome.annotator = ? AND outcome.record = record.id)"
        )
        return self._rows(statement, (annotator,))[0][0]

    def _rows(self, statement: str, bindings: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, bindings).fetchall()

    def _stream(self, statement: str, bindings: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        # On a connection of its own, so that a long read sees one state and holds up nobody.
        yield from _connect(self.path, read_only=True).execute(statement, bindings)

    def _one(self, statement: str) -> int:
        return self._rows(statement)[0][0]


_INSERT_REPLY: Final = (
    "INSERT INTO reply (intent, completion, error, input_tokens, output_tokens, cached_tokens, usd, at)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_OUTCOME: Final = (
    "INSERT INTO outcome (record, annotator, intent, type, answer, confidence, confidence_kind, probabilities,"
    " rationale, failure_class, message, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def _connect(path: Path, *, read_only: bool = False) -> apsw.Connection:
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(os.fspath(path), flags=flags)
    connection.set_busy_timeout(10_000)
    connection.transaction_mode = "IMMEDIATE"
    if not read_only:
        # FULL: what was acknowledged survives a loss of power too (reliability D2).
        connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL")
    return connection


def _number(connection: apsw.Connection, statement: str, row: tuple[Any, ...]) -> int:
    rows: list[tuple[Any, ...]] = connection.execute(statement, row).fetchall()
    return rows[0][0]


def _outcome_row(outcome: Outcome, intent: int | None) -> tuple[Any, ...]:
    match outcome:
        case Annotation():
            confidence = outcome.confidence
            probabilities = outcome.probabilities
            details = (
                "annotation",
                canonical_json(outcome.answer).decode(),
                confidence.value if confidence else None,
                confidence.kind if confidence else None,
                json.dumps(dict(probabilities), ensure_ascii=False) if probabilities is not None else None,
                outcome.rationale,
                None,
                None,
            )
        case Abstention():
            details = ("abstention", None, None, None, None, None, None, outcome.reason)
        case Failure():
            details = ("failure", None, None, None, None, None, outcome.failure_class, outcome.message)
    return (outcome.record, outcome.annotator, intent, *details, outcome.provenance.at or now())


def _completion(body: str) -> Completion:
    values = json.loads(body)
    values["usage"] = Usage(**values["usage"])
    if values["choice_probabilities"] is not None:
        values["choice_probabilities"] = tuple(values["choice_probabilities"])
    return Completion(**values)


def _stored_outcome(row: Sequence[Any]) -> StoredOutcome:
    (
        _,
        record,
        annotator,
        _,
        type_,
        answer,
        value,
        kind,
        odds,
        rationale,
        failure_class,
        message,
        at,
        request,
        body,
        _,
    ) = row
    completion = _completion(body) if body else None
    provenance = Provenance(request, completion.model if completion else None, at)
    outcome: Outcome
    if type_ == "annotation":
        confidence = Confidence(value, kind) if value is not None else None
        probabilities = json.loads(odds) if odds else None
        outcome = Annotation(record, annotator, json.loads(answer), confidence, probabilities, rationale, provenance)
    elif type_ == "abstention":
        outcome = Abstention(record, annotator, message, provenance)
    else:
        outcome = Failure(record, annotator, failure_class, message, provenance)
    return StoredOutcome(outcome, completion)
