"""What a journal says: queries, each of which sees what is committed."""

import json
import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import apsw

from postil.errors import StoreError
from postil.store.connection import connect, reading
from postil.store.rows import OUTCOME_COLUMNS, completion_of, stored_outcome
from postil.store.sealing import TABLES, broken, head, restored, storable
from postil.store.totals import NOTED, Sent, Totals, counted, difference, heads_of, hold
from postil.types import JSON, Answer, Completion, Outcome, Record, Usage

_FEWEST_FOR_A_PACE: Final = 5

# Rows beyond those that totals were noted for, from which on they are noted again: counting so many takes a tenth of a
# second, and a journal of a million records gets some dozens of notes at most.
_WORTH_NOTING: Final = 50_000

# Pending records are read ahead in portions: between two of them no read holds up the clearing of the log.
_PORTION: Final = 256
_PORTION_CHARACTERS: Final = 1 << 22

_PENDING: Final = "NOT EXISTS (SELECT 1 FROM outcome WHERE outcome.annotator = ? AND outcome.record = record.id)"
_NO_LAST: Final = 2**63 - 1
_HOLDS: Final = (
    "NOT EXISTS (SELECT 1 FROM outcome AS newer WHERE newer.annotator = o.annotator AND newer.record = o.record"
    " AND newer.revision > o.revision)"
)


@dataclass(frozen=True, slots=True)
class StoredOutcome:
    """An outcome and what it follows from: a completion, or the error in its place; neither where nothing was sent."""

    outcome: Outcome
    completion: Completion | None
    error: Mapping[str, JSON] | None = None
    revision: int = 0
    """0 for the first outcome of a record; each later one took the place of the one before."""


@dataclass(frozen=True, slots=True)
class LostRequest:
    """A request that may have been paid for, and has no reply that was seen."""

    intent: int
    request: str
    annotator: str
    record: str | None
    most_usd: float | None
    """The most it can have come to; `None` where no price was known."""
    open: bool
    """Whether nothing came back at all; else it is known how it was lost."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for an intent, as it stands in the journal."""

    intent: int
    run: int
    annotator: str
    record: str | None
    purpose: str
    request: str
    completion: Completion | None
    error: Mapping[str, JSON] | None
    usage: Usage
    usd: float | None


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
    unsent: int = 0
    """Of the requests, those that were written down and did not leave after all."""

    def since(self, before: "Spending") -> "Spending":
        """Return what was spent after something else was."""
        usd = None if self.usd is None or before.usd is None else self.usd - before.usd
        return Spending(
            self.requests - before.requests,
            self.resent - before.resent,
            self.input_tokens - before.input_tokens,
            self.output_tokens - before.output_tokens,
            self.cached_tokens - before.cached_tokens,
            usd,
            self.unsent - before.unsent,
        )


@dataclass(frozen=True, slots=True)
class Unseen:
    """Requests that may have been paid for though no reply was seen, and the most they can have come to."""

    requests: int
    tokens: int
    usd: float


class Queries:
    """The reading half of a journal."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        """Ask the journal at a path over a connection to it; long reads open connections of their own."""
        self.path = path
        self._connection = connection
        self._counted = Totals()

    # Records and gold

    def count_records(self) -> int:
        """Return how many records there are."""
        return self._totals().records

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

    def pending(self, annotator: str, last: int | None = None) -> Iterator[Record]:
        """Return the records that have no outcome of an annotator, in the order they came, those up to a number."""
        statement = (
            f"SELECT seq, id, fields FROM record WHERE seq > ? AND seq <= ? AND {_PENDING}"  # noqa: S608 - constants
            " ORDER BY seq LIMIT ?"
        )
        after = 0
        while portion := self._portion(statement, (after, last or _NO_LAST, annotator, _PORTION)):
            after = portion[-1][0]
            for _, id_, fields in portion:
                yield Record(id_, json.loads(fields))

    def last_pending(self, annotator: str, limit: int) -> int | None:
        """Return the number of the last of so many pending records; `None` if there are no more than those."""
        statement = f"SELECT seq FROM record WHERE {_PENDING} ORDER BY seq LIMIT 2 OFFSET ?"  # noqa: S608 - constants
        rows = self._rows(statement, (annotator, limit - 1))
        return rows[0][0] if len(rows) > 1 else None

    def count_pending(self, annotator: str) -> int:
        """Return how many records have no outcome of an annotator, counted one by one."""
        return self._rows(f"SELECT count(*) FROM record WHERE {_PENDING}", (annotator,))[0][0]  # noqa: S608 - constants

    def gold(self) -> dict[str, Answer]:
        """Return the answer that holds for each gold record.

        Raises:
            StoreError: what stands there is no answer any more.
        """
        rows = self._rows("SELECT seq, record, answer FROM gold ORDER BY seq")
        return {record: self._gold_answer(number, answer) for number, record, answer in rows}

    def _gold_answer(self, number: int, text: str) -> Answer:
        found: JSON = None
        with suppress(ValueError):
            found = json.loads(text)
        if not isinstance(found, dict):
            raise StoreError(
                f"{self.path}: gold {number}: expected an answer, got {text[:80]!r}",
                hint="it was changed after it was written: `postil verify` says what else was",
            )
        return found

    def gold_roles(self) -> dict[str, set[str]]:
        """Return the roles of each gold record."""
        roles: dict[str, set[str]] = {}
        for record, role in self._rows("SELECT record, role FROM gold_role ORDER BY seq"):
            roles.setdefault(record, set()).add(role)
        return roles

    # Annotators and events

    def annotators(self) -> list[tuple[str, str, Mapping[str, JSON]]]:
        """Return id, name and spec of every annotator, oldest first."""
        rows = self._rows("SELECT id, name, spec FROM annotator ORDER BY seq")
        return [(id_, name, json.loads(spec)) for id_, name, spec in rows]

    def latest_event(self, kind: str, subject: str) -> Mapping[str, JSON] | None:
        """Return the body of the newest event of a kind about a subject."""
        statement = "SELECT body FROM event WHERE kind = ? AND subject = ? ORDER BY seq DESC LIMIT 1"
        rows = self._rows(statement, (kind, subject))
        return json.loads(rows[0][0]) if rows else None

    def events(self, kind: str) -> Iterator[tuple[int, str, Mapping[str, JSON]]]:
        """Return number, subject and body of every event of a kind, oldest first."""
        statement = "SELECT seq, subject, body FROM event WHERE kind = ? ORDER BY seq"
        for number, subject, body in self._stream(statement, (kind,)):
            yield number, subject, json.loads(body)

    # Requests and replies

    def answered(self, request: str) -> tuple[int, Completion] | None:
        """Return the intent and completion of a request that was answered before; of several, the one known first.

        It was there for all that came after it, so the same follows from it again.
        """
        statement = (
            "SELECT intent.seq, completion FROM intent JOIN reply ON reply.intent = intent.seq"
            " WHERE substr(request, 8, 12) = ? AND request = ? AND completion IS NOT NULL ORDER BY reply.seq LIMIT 1"
        )
        rows = self._rows(statement, (request[7:19], request))
        return (rows[0][0], completion_of(rows[0][1])) if rows else None

    def answered_requests(self) -> Iterator[str]:
        """Return the digests of all requests that were answered, oldest first."""
        statement = (
            "SELECT request FROM intent JOIN reply ON reply.intent = intent.seq"
            " WHERE completion IS NOT NULL ORDER BY intent.seq"
        )
        for (request,) in self._stream(statement):
            yield request

    def completion_of(self, request: str) -> Completion | None:
        """Return the completion of a request."""
        known = self.answered(request)
        return known[1] if known else None

    def count_replies(self, annotator: str | None = None) -> int:
        """Return how many requests were answered, with an error too; of one annotator, with completions only."""
        if annotator is None:
            return self._one("SELECT count(*) FROM reply")
        statement = (
            "SELECT count(*) FROM intent JOIN reply ON reply.intent = intent.seq"
            " WHERE annotator = ? AND completion IS NOT NULL"
        )
        return self._rows(statement, (annotator,))[0][0]

    def replies(self) -> Iterator[Reply]:
        """Return every reply with the intent it answers, in the order of the intents."""
        statement = (
            "SELECT intent.seq, run, annotator, record, purpose, request, completion, error, input_tokens,"
            " output_tokens, cached_tokens, usd FROM reply JOIN intent ON intent.seq = reply.intent ORDER BY intent.seq"
        )
        for row in self._stream(statement):
            intent, run, annotator, record, purpose, request, body, error, read, written, cached, usd = row
            completion = completion_of(body) if body is not None else None
            estimated = completion is not None and completion.usage.estimated
            yield Reply(
                intent=intent,
                run=run,
                annotator=annotator,
                record=record,
                purpose=purpose,
                request=request,
                completion=completion,
                error=None if error is None else json.loads(error),
                usage=Usage(read, written, cached, estimated),
                usd=usd,
            )

    def lost_requests(self) -> list[LostRequest]:
        """Return the requests that may have been paid for without a reply, and that nobody has answered since."""
        columns = "SELECT intent.seq, request, annotator, record, most_usd, {} FROM intent"
        rows: list[tuple[Any, ...]] = []
        for number in self._totals().open:
            rows += self._rows(f"{columns.format(1)} WHERE seq = ?", (number,))
        rows += self._rows(
            f"{columns.format(0)} JOIN reply ON reply.intent = intent.seq WHERE error IS NOT NULL AND usd IS NULL"
        )
        return [
            LostRequest(number, request, annotator, record, usd, bool(still_open))
            for number, request, annotator, record, usd, still_open in sorted(rows, key=lambda row: row[0])
            if self.answered(request) is None
        ]

    def unanswered(self) -> Iterator[tuple[int, int, str]]:
        """Yield number, run and request of each intent without a reply."""
        for number in list(self._totals().open):
            yield from self._rows("SELECT seq, run, request FROM intent WHERE seq = ?", (number,))

    def open_intents(self) -> int:
        """Return how many requests may have been sent, and paid for, without a reply that was seen."""
        return len(self._totals().open)

    def pace(self, annotator: str) -> float | None:
        """Return the replies a second of an annotator's newest run with enough of them, `None` before there is one.

        A few replies would tell of loading the model more than of its pace.
        """
        statement = (
            "SELECT count(*), min(intent.at), max(reply.at) FROM intent JOIN reply ON reply.intent = intent.seq"
            " WHERE intent.annotator = ? AND reply.completion IS NOT NULL GROUP BY run"
            " HAVING count(*) >= ? ORDER BY run DESC LIMIT 1"
        )
        rows = self._rows(statement, (annotator, _FEWEST_FOR_A_PACE))
        if not rows:
            return None
        replies, first, last = rows[0]
        seconds = (datetime.fromisoformat(last) - datetime.fromisoformat(first)).total_seconds()
        return replies / max(seconds, 1e-3)

    # What came of it

    def outcomes(self, annotator: str) -> Iterator[StoredOutcome]:
        """Return the outcome that holds for each record an annotator has been through, in the records' order."""
        statement = (
            f"SELECT {OUTCOME_COLUMNS}, revision FROM outcome AS o"  # noqa: S608 - constants
            " JOIN record ON record.id = o.record"
            " LEFT JOIN intent ON intent.seq = o.intent LEFT JOIN reply ON reply.intent = o.intent"
            f" WHERE o.annotator = ? AND {_HOLDS} ORDER BY record.seq"
        )
        for row in self._stream(statement, (annotator,)):
            yield StoredOutcome(*stored_outcome(row[:-1]), row[-1])

    def failures(self, annotator: str, classes: Collection[str] = ()) -> Iterator[tuple[Record, int]]:
        """Return the records whose outcome is a failure, of these classes or of any, and which revision comes next."""
        statement = (
            "SELECT record.seq, o.revision, o.failure_class, record.id, record.fields"  # noqa: S608 - constants
            " FROM record JOIN outcome AS o ON o.record = record.id WHERE record.seq > ? AND o.annotator = ?"
            f" AND o.type = 'failure' AND {_HOLDS} ORDER BY record.seq LIMIT ?"
        )
        after = 0
        while portion := self._portion(statement, (after, annotator, _PORTION)):
            after = portion[-1][0]
            for _, revision, failure_class, id_, fields in portion:
                if not classes or failure_class in classes:
                    yield Record(id_, json.loads(fields)), revision + 1

    def count_outcomes(self, annotator: str) -> dict[tuple[str, str | None], int]:
        """Return how many records ended how: (type, failure class) -> number."""
        ended = self._totals().outcomes.items()
        return {(type_, failure_class): count for (of, type_, failure_class), count in ended if of == annotator}

    def failure_examples(self, annotator: str) -> dict[str, tuple[str, str]]:
        """Return failure class -> record and message of the newest failure of that class."""
        newest = "SELECT max(seq) FROM outcome WHERE annotator = ? AND type = 'failure' GROUP BY failure_class"
        statement = f"SELECT failure_class, record, message FROM outcome WHERE seq IN ({newest})"  # noqa: S608 - a constant
        return {class_: (record, message) for class_, record, message in self._rows(statement, (annotator,))}

    def spending(self, *, run: int | None = None, annotator: str | None = None) -> Spending:
        """Return what requests have cost, of one run, of one annotator or of all."""
        total = Sent()
        for (of_run, by), sent in self._totals().sent.items():
            if run in (None, of_run) and annotator in (None, by):
                total.add(sent)
        return Spending(
            total.requests,
            total.again_by_annotator if annotator is not None else total.again,
            total.input_tokens,
            total.output_tokens,
            total.cached_tokens,
            None if total.unpriced else total.usd,
            total.unsent,
        )

    def unseen(self) -> Unseen:
        """Return what may have been paid for without a reply that was seen: open intents, and replies lost on the way.

        A budget must count the most that each can have come to. The dollars of requests that left without a price are
        not known.
        """
        totals = self._totals()
        lost, tokens, usd = totals.lost
        left = totals.open.values()
        return Unseen(
            lost + len(left), tokens + sum(most for most, _ in left), math.fsum((usd, *(most for _, most in left)))
        )

    def seconds_run(self, annotator: str) -> float:
        """Return how long an annotator's runs that ended took together."""
        rows = self._rows("SELECT body FROM event WHERE kind = 'run_end' AND subject = ?", (annotator,))
        return sum(json.loads(body)["seconds"] for (body,) in rows)

    def _totals(self) -> Totals:
        """Return what the journal comes to, noted for next time where many rows had to be counted."""
        before = self._counted
        with reading(self.path), self._connection:  # a savepoint, so that all of it sees one state
            if before.heads == heads_of(self._connection):
                return before
            before = self._noted()
            self._counted = counted(self._connection, before)
        if self._counted.rows - before.rows >= _WORTH_NOTING and not self._connection.in_transaction:
            self._note(self._counted)
        return self._counted

    def wrong_totals(self) -> str | None:
        """Return, in words, where the totals noted last lead elsewhere than counting every row again."""
        with reading(self.path), self._connection:
            return difference(counted(self._connection, self._noted()), counted(self._connection, Totals()))

    def _noted(self) -> Totals:
        """Return the totals noted last, if they hold."""
        body = self.latest_event(NOTED, "")
        noted = None if body is None else Totals.from_json(body)
        return noted if noted is not None and hold(self._connection, noted) else Totals()

    def _note(self, totals: Totals) -> None:
        """Keep totals that took long to count: for those who can write."""

    # For `verify`: rows as they stand, so that each can be derived again

    def integrity(self) -> str:
        """Return "ok", or what SQLite found wrong in the file."""
        return str(self._rows("PRAGMA integrity_check(1)")[0][0])

    def heads(self) -> dict[str, tuple[int, str]]:
        """Return number and seal of the last row of each table: they stand for all that was written so far."""
        with reading(self.path):
            return {table: head(self._connection, table) for table in TABLES}

    def broken_seals(self, table: str) -> Iterator[str]:
        """Return, in words, where a row of a table was changed or removed after it was written."""
        return broken(table, self._stream(f"SELECT * FROM {table} ORDER BY seq"))  # noqa: S608 - tables are ours

    def seal_of(self, table: str, number: int) -> str | None:
        """Return the seal of a row."""
        rows = self._rows(f"SELECT seal FROM {table} WHERE seq = ?", (number,))  # noqa: S608 - tables are ours
        return rows[0][0] if rows else None

    def record_digests(self) -> Iterator[tuple[Record, str]]:
        """Return every record with the digest that was stored for it."""
        for id_, fields, fingerprint in self._stream("SELECT id, fields, digest FROM record ORDER BY seq"):
            yield Record(id_, json.loads(fields)), fingerprint

    # Rows

    def _rows(self, statement: str, bindings: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        if not isinstance(bindings, Mapping):
            bindings = tuple(map(storable, bindings))
        with reading(self.path):
            return [restored(row) for row in self._connection.execute(statement, bindings)]

    def _stream(self, statement: str, bindings: Sequence[Any] = ()) -> Iterator[tuple[Any, ...]]:
        # On a connection of its own, so that a long read sees one state and holds up nobody.
        with reading(self.path), closing(connect(self.path, read_only=True)) as connection:
            for row in connection.execute(statement, bindings):
                yield restored(row)

    def _portion(self, statement: str, bindings: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the first rows of a query, fewer where they are long."""
        portion: list[tuple[Any, ...]] = []
        size = 0
        with reading(self.path), closing(self._connection.cursor()) as cursor:
            for row in cursor.execute(statement, bindings):
                portion.append(restored(row))
                size += len(row[-1])
                if size > _PORTION_CHARACTERS:
                    break
        return portion

    def _one(self, statement: str) -> int:
        return self._rows(statement)[0][0]
