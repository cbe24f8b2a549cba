"""What a journal comes to: records, outcomes, requests and money, counted on from where they were counted before.

Everything here follows from the rows. What was counted once is noted as an event together with the last row of each
table that it holds for, so that a later look counts only the rows after those. A note that does not fit the rows it
names any more is passed over, and all is counted again.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Self

import apsw

from postil.errors import NotSent
from postil.store.sealing import head, restored, storable
from postil.types import JSON

NOTED: Final = "totals"
"""The kind of event that holds totals."""

COUNTED: Final = ("record", "intent", "reply", "outcome")
"""The tables that totals are counted from."""

# As `error_row` begins it; SQLite's own reading of JSON takes a part of a row's time for each.
_UNSENT: Final = f"""error IS NOT NULL AND substr(error, 1, 18) = '{{"class":"{NotSent.__name__}"'"""

Heads = Mapping[str, tuple[int, str]]
"""Number and seal of the last row of each table."""


@dataclass(slots=True)
class Sent:
    """What one annotator sent in one run, and what came back."""

    requests: int = 0
    again: int = 0
    """Requests that had been sent before, by whomever."""
    again_by_annotator: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    usd: float = 0.0
    unpriced: int = 0
    """Replies whose price is unknown, those lost on the way too."""
    unsent: int = 0
    """Of the requests, those that did not leave after all."""

    def add(self, other: "Sent") -> None:
        """Add what was counted apart from it."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


_COUNTS: Final = tuple(Sent.__dataclass_fields__)


@dataclass(slots=True)
class Totals:
    """What the rows up to `heads` come to."""

    heads: Heads = field(default_factory=lambda: dict.fromkeys(COUNTED, (0, "")))
    records: int = 0
    outcomes: dict[tuple[str, str, str | None], int] = field(default_factory=dict[tuple[str, str, str | None], int])
    """(annotator, type, failure class) -> records whose outcome that is."""
    sent: dict[tuple[int, str], Sent] = field(default_factory=dict[tuple[int, str], Sent])
    """(run, annotator) -> what was sent."""
    open: dict[int, tuple[int, float]] = field(default_factory=dict[int, tuple[int, float]])
    """Intents without a reply -> the most tokens and dollars that each can have come to."""
    lost: tuple[int, int, float] = (0, 0, 0.0)
    """Replies lost on the way: how many, and the most tokens and dollars that they can have come to."""

    @property
    def rows(self) -> int:
        """How many rows were counted, as far as none was ever removed."""
        return sum(number for number, _ in self.heads.values())

    def to_json(self) -> dict[str, JSON]:
        """Return it as the body of an event."""
        return {
            "heads": {table: [*head] for table, head in self.heads.items()},
            "records": self.records,
            "outcomes": [[*key, count] for key, count in self.outcomes.items()],
            "sent": [[*key, *_figures(sent)] for key, sent in self.sent.items()],
            "open": [[number, *most] for number, most in self.open.items()],
            "lost": [*self.lost],
        }

    @classmethod
    def from_json(cls, body: Mapping[str, JSON]) -> Self:
        """Return what `to_json` wrote."""
        return cls(
            {table: (number, seal) for table, (number, seal) in body["heads"].items()},
            body["records"],
            {(annotator, type_, failure): count for annotator, type_, failure, count in body["outcomes"]},
            {(run, annotator): Sent(*counts) for run, annotator, *counts in body["sent"]},
            {number: (tokens, usd) for number, tokens, usd in body["open"]},
            tuple(body["lost"]),
        )


def heads_of(connection: apsw.Connection) -> Heads:
    """Return number and seal of the last rows of the tables that totals are counted from."""
    return {table: head(connection, table) for table in COUNTED}


def hold(connection: apsw.Connection, totals: Totals) -> bool:
    """Return whether the rows that totals were counted up to are still what they were."""
    return all(not number or _seal(connection, table, number) == seal for table, (number, seal) in totals.heads.items())


def _seal(connection: apsw.Connection, table: str, number: int) -> str | None:
    rows = _all(connection, f"SELECT seal FROM {table} WHERE seq = ?", number)  # noqa: S608 - tables are ours
    return rows[0][0] if rows else None


def counted(connection: apsw.Connection, before: Totals) -> Totals:
    """Return the totals of all rows, given those of the rows up to some; call it in a transaction."""
    after = {table: number for table, (number, _) in before.heads.items()}
    totals = Totals.from_json(before.to_json())
    totals.heads = heads_of(connection)
    totals.records += _all(connection, "SELECT count(*) FROM record WHERE seq > ?", after["record"])[0][0]
    _count_outcomes(connection, totals, after["outcome"])
    _count_sent(connection, totals, after["intent"], after["reply"])
    _count_unseen(connection, totals, after["intent"], after["reply"])
    return totals


def difference(noted: Totals, again: Totals) -> str | None:
    """Return in words what differs first; sums of money may differ by rounding."""
    if noted.records != again.records:
        return f"totals: {noted.records} records were noted, and there are {again.records}"
    if noted.outcomes != again.outcomes:
        return f"totals: outcomes {noted.outcomes} were noted, and there are {again.outcomes}"
    if noted.open != again.open:
        return f"totals: {len(noted.open)} open intents were noted, and there are {len(again.open)}"
    pairs = [(noted.lost, again.lost)]
    nothing = Sent()
    pairs += [
        (_figures(noted.sent.get(key, nothing)), _figures(again.sent.get(key, nothing)))
        for key in {**noted.sent, **again.sent}
    ]
    for one, other in pairs:
        if not all(math.isclose(a, b, abs_tol=1e-9) for a, b in zip(one, other, strict=True)):
            return f"totals: {one} was noted for requests, and there is {other}"
    return None


def _figures(sent: Sent) -> tuple[float, ...]:
    return tuple(getattr(sent, name) for name in _COUNTS)


def _all(connection: apsw.Connection, statement: str, *bindings: Any) -> Sequence[tuple[Any, ...]]:
    return [restored(row) for row in connection.execute(statement, tuple(map(storable, bindings)))]


def _count_outcomes(connection: apsw.Connection, totals: Totals, after: int) -> None:
    """Count how records ended; a revision takes the place of the outcome before it."""
    new = "SELECT annotator, type, failure_class, count(*) FROM outcome WHERE seq > ? GROUP BY 1, 2, 3"
    # The few revisions first, by their numbers: left to itself, the database goes through all records for them.
    replaced = (
        "WITH newer AS MATERIALIZED"
        " (SELECT annotator, record, revision FROM outcome WHERE seq > ? AND revision > 0)"
        " SELECT newer.annotator, older.type, older.failure_class, -count(*) FROM newer"
        " JOIN outcome AS older ON older.annotator = newer.annotator AND older.record = newer.record"
        " AND older.revision = (SELECT max(revision) FROM outcome AS earlier WHERE earlier.annotator = newer.annotator"
        " AND earlier.record = newer.record AND earlier.revision < newer.revision) GROUP BY 1, 2, 3"
    )
    for statement in (new, replaced):
        for annotator, type_, failure, count in _all(connection, statement, after):
            key = (annotator, type_, failure)
            totals.outcomes[key] = totals.outcomes.get(key, 0) + count
            if not totals.outcomes[key]:
                del totals.outcomes[key]


def _count_sent(connection: apsw.Connection, totals: Totals, after_intent: int, after_reply: int) -> None:
    requests = "SELECT run, annotator, count(*) FROM intent WHERE seq > ? GROUP BY run, annotator"
    for run, annotator, count in _all(connection, requests, after_intent):
        totals.sent.setdefault((run, annotator), Sent()).add(Sent(requests=count))
    for key, sent in _sent_again(connection, after_intent):
        totals.sent[key].add(sent)
    replies = (
        "SELECT run, annotator, sum(input_tokens), sum(output_tokens),"  # noqa: S608 - a constant
        " sum(cached_tokens), total(usd),"
        f" sum(usd IS NULL AND (completion IS NOT NULL OR most_usd IS NULL)), sum({_UNSENT}) FROM reply"
        " JOIN intent ON intent.seq = reply.intent WHERE reply.seq > ? GROUP BY run, annotator"
    )
    for run, annotator, read, written, cached, usd, unpriced, unsent in _all(connection, replies, after_reply):
        totals.sent[run, annotator].add(Sent(0, 0, 0, read, written, cached, usd, unpriced=unpriced, unsent=unsent))


def _sent_again(connection: apsw.Connection, after: int) -> list[tuple[tuple[int, str], Sent]]:
    """Return the intents whose request had been sent before: by whomever, and by the same annotator."""
    last, _ = head(connection, "intent")
    if last - after > last // 8:
        # Most journals hold none at all. The index alone says so, sooner than it is asked about every request.
        [(intents, requests)] = _all(connection, "SELECT count(*), count(DISTINCT substr(request, 8, 12)) FROM intent")
        if intents == requests:
            return []
    found = (
        "SELECT seq, run, annotator, request FROM intent WHERE seq > ? AND EXISTS"
        " (SELECT 1 FROM intent AS earlier WHERE substr(earlier.request, 8, 12) = substr(intent.request, 8, 12)"
        " AND earlier.request = intent.request AND earlier.seq < intent.seq)"
    )
    by_whom = (
        "SELECT DISTINCT annotator FROM intent"  # noqa: S608 - a constant
        " WHERE substr(request, 8, 12) = substr(?1, 8, 12) AND request = ?1 AND seq < ?2"
        f" AND NOT EXISTS (SELECT 1 FROM reply WHERE intent = intent.seq AND {_UNSENT})"
    )
    again: list[tuple[tuple[int, str], Sent]] = []
    for number, run, annotator, request in _all(connection, found, after):
        if earlier := _all(connection, by_whom, request, number):
            again.append(((run, annotator), Sent(again=1, again_by_annotator=int((annotator,) in earlier))))
    return again


def _count_unseen(connection: apsw.Connection, totals: Totals, after_intent: int, after_reply: int) -> None:
    """Count what may have been paid for without a reply that was seen."""
    for number in list(totals.open):
        if _all(connection, "SELECT 1 FROM reply WHERE intent = ?", number):
            del totals.open[number]
    unanswered = (
        "SELECT intent.seq, coalesce(most_tokens, 0), coalesce(most_usd, 0.0) FROM intent"
        " LEFT JOIN reply ON reply.intent = intent.seq WHERE intent.seq > ? AND reply.intent IS NULL"
    )
    totals.open |= {number: (tokens, usd) for number, tokens, usd in _all(connection, unanswered, after_intent)}
    lost = (
        "SELECT count(*), coalesce(sum(most_tokens), 0), total(most_usd) FROM reply"
        " JOIN intent ON intent.seq = reply.intent WHERE reply.seq > ? AND error IS NOT NULL AND usd IS NULL"
    )
    [(count, tokens, usd)] = _all(connection, lost, after_reply)
    totals.lost = (totals.lost[0] + count, totals.lost[1] + tokens, totals.lost[2] + usd)
