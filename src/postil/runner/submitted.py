"""Batches as the journal knows them: what was handed over in them is open, and not lost."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Final

from postil.errors import NotSent
from postil.runner.money import Price, Worst
from postil.store import Journal
from postil.types import JSON

BATCH, BATCH_ID, BATCH_END = "batch", "batch_id", "batch_end"
"""Kinds of events: what is about to be submitted, the id it got, and that all its results are in the journal."""

LANE: Final = "batch"
"""What the manifest of a run says that submits batches."""

_TOGETHER: Final = 256


@dataclass(frozen=True, slots=True)
class Line:
    """One question in a batch: the intent and the record it was written for, and the most it can come to."""

    intent: int
    record: str
    worst: Worst


@dataclass(slots=True)
class Submitted:
    """A batch whose results are not all in the journal."""

    token: str
    annotator: str
    lines: Mapping[str, Line]
    """What is not answered yet, by custom id."""
    price: Price | None
    """At which it was submitted."""
    id: str | None = None
    answered: frozenset[str] = frozenset()
    """Custom ids of those whose answers are in the journal."""
    beside: int = 0
    """How many batches of the same run were open when it was submitted."""

    def to_json(self) -> Mapping[str, JSON]:
        """Return the body of its event."""
        lines = {id_: [each.intent, each.record, each.worst.tokens, each.worst.usd] for id_, each in self.lines.items()}
        return {"token": self.token, "price": None if self.price is None else asdict(self.price), "lines": lines}


def open_batches(journal: Journal, annotator: str | None = None) -> list[Submitted]:
    """Return the batches, of one annotator or of all, whose results are not all in the journal, oldest first.

    Of those that have ended nothing is kept, however many there were.
    """
    ended = {body["token"] for _, _, body in journal.events(BATCH_END)}
    ids = {body["token"]: body["id"] for _, _, body in journal.events(BATCH_ID)}
    begun = [
        (by, body) for _, by, body in journal.events(BATCH) if body["token"] not in ended and annotator in (None, by)
    ]
    unanswered = {number for number, _, _ in journal.unanswered()} if begun else set[int]()
    return [_submitted(by, body, ids.get(body["token"]), unanswered) for by, body in begun]


def _submitted(annotator: str, body: Mapping[str, JSON], id_: str | None, unanswered: set[int]) -> Submitted:
    lines = {
        custom_id: Line(intent, record, Worst(tokens, usd))
        for custom_id, (intent, record, tokens, usd) in body["lines"].items()
    }
    left = {custom_id: line for custom_id, line in lines.items() if line.intent in unanswered}
    price = None if body["price"] is None else Price(**body["price"])
    return Submitted(body["token"], annotator, left, price, id_, frozenset(lines.keys() - left.keys()))


def records_in_batches(journal: Journal, annotator: str) -> set[str]:
    """Return the records that an annotator is asked about in batches whose results are not in the journal yet."""
    return {line.record for batch in open_batches(journal, annotator) for line in batch.lines.values()}


@dataclass(frozen=True, slots=True)
class HandedOver:
    """What is with providers in batches, as one annotator sees it."""

    records: frozenset[str]
    """Those that it is asked about in batches of its own."""
    requests: frozenset[str]
    """Digests of the requests in its own batches."""
    others: frozenset[str]
    """Digests of the requests in batches of other annotators, which may be its own requests too."""
    intents: frozenset[int]
    by: Mapping[str, int]
    """Annotators -> how many requests they have in batches."""

    @classmethod
    def of(cls, journal: Journal, annotator: str) -> "HandedOver":
        """Return what is in batches now; call it under the lock of the run."""
        batches = open_batches(journal)
        by = {line.intent: batch.annotator for batch in batches for line in batch.lines.values()}
        records = {line.record for batch in batches if batch.annotator == annotator for line in batch.lines.values()}
        own, others = set[str](), set[str]()
        for number, _, request in journal.unanswered() if by else ():
            if number in by:
                (own if by[number] == annotator else others).add(request)
        counts = Counter(by.values())
        return cls(frozenset(records), frozenset(own), frozenset(others), frozenset(by), counts)


async def close_unsubmitted(journal: Journal) -> None:
    """Write down that requests were not sent which were meant for a batch that was never noted.

    A run notes a batch once all its requests are written down, and submits it only then: one that died between them
    has sent nothing. Call it under the lock of the run.
    """
    unanswered = list(journal.unanswered())
    if not unanswered:
        return
    runs = {run for run, _, body in journal.events("run") if body.get("lane") == LANE}
    noted = {line.intent for batch in open_batches(journal) for line in batch.lines.values()}
    unsent = [number for number, run, _ in unanswered if run in runs and number not in noted]
    error = NotSent("the run ended before this request was submitted; it was not billed")
    for at in range(0, len(unsent), _TOGETHER):
        await asyncio.gather(*(journal.write_error(number, error) for number in unsent[at : at + _TOGETHER]))


def custom_id_of(digest: str) -> str:
    """Return the id of a request in a batch: providers take up to 64 letters."""
    return digest.partition(":")[2][:32]
