"""The batch lane: a live run's questions, journal and budget, handed over in files and answered within a day.

A portion of the pending records' questions goes into one batch; when it has ended, outcomes are written, and what is
still open (a repair, the second order of a pair, a request that expired) goes into the next one. The journal knows a
batch by a token of ours before it is submitted and by the provider's id after, so a run that died anywhere finds it
again: nothing is submitted twice, and no paid answer is thrown away (reliability R4 to R6).
"""

import asyncio
import itertools
import logging
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal
from uuid import uuid4

from postil._version import __version__
from postil.engines.batch import BATCH_BYTES, BATCH_REQUESTS, Batch, Batches
from postil.errors import (
    BrokenReply,
    ConnectionLost,
    DataError,
    EngineError,
    RunFatal,
    ServerFault,
    StoreError,
    Transient,
)
from postil.runner.annotator import Interview, PromptedAnnotator
from postil.runner.asking import UnderWay
from postil.runner.halt import Halt, Stop
from postil.runner.money import FREE, Ledger, Price, Worst
from postil.runner.run import NO_LIMIT, Progress, RunSummary
from postil.store import Intent, Journal
from postil.store.rows import MAY_BE_BILLED, completion_row
from postil.types import JSON, Annotation, Budget, Completion, Failure, Outcome, Record, Request, Usage

BATCH, BATCH_ID, BATCH_END = "batch", "batch_id", "batch_end"
"""Kinds of events: what is about to be submitted, the id it got, and that all its results are in the journal."""

_TOGETHER: Final = 256
"""Rows that are waited for together: one commit holds them."""
_NAMED: Final = 20
_NO_LINE: Final = "the batch's result files hold no line for this request"

_log = logging.getLogger("postil")


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How a batch lane works."""

    requests: int = BATCH_REQUESTS
    """The most requests in one batch."""
    attempts: int = 3
    """The most batches that one request is put into in a run."""
    first_poll: float = 1.0
    """Seconds until the provider is asked how a batch is doing; each further wait is half as long again."""
    longest_poll: float = 60.0
    wait: bool = True
    """Whether to wait for a batch to end; else the next run collects it."""
    unlisted: Literal["hold", "resend"] = "hold"
    """What to do about a batch that may have been submitted, where the provider cannot say: hold it, or submit anew."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One question in a batch: the intent and the record it was written for, and the most it can come to."""

    intent: int
    record: str
    worst: Worst


@dataclass(slots=True)
class _Open:
    """A batch whose results are not all in the journal."""

    token: str
    lines: Mapping[str, _Line]
    """By custom id."""
    id: str | None = None


@dataclass(slots=True)
class _Portion:
    """The questions of the next batch."""

    content: bytearray = field(default_factory=bytearray)
    asked: dict[str, tuple[str, str, Worst]] = field(default_factory=dict[str, tuple[str, str, Worst]])
    """Custom id -> record, digest of the request, worst."""
    budget_spent: bool = False


class BatchRunner:
    """Carries an annotator through records by batches. One runner, one run."""

    def __init__(
        self,
        journal: Journal,
        annotator: PromptedAnnotator,
        batches: Batches,
        *,
        rng: random.Random,
        budget: Budget = NO_LIMIT,
        price: Price | None = None,
        policy: BatchPolicy | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Take what the run is made of; `price` is that of the batch lane, `rng` only spreads waits."""
        self._journal = journal
        self._annotator = annotator
        self._batches = batches
        self._rng = rng
        self._budget = budget
        self._price = FREE if annotator.engine.capabilities.free else price
        self._policy = policy or BatchPolicy()
        self._on_progress = on_progress
        self._ledger = Ledger(budget, self._price)
        self._halt = Halt(budget.seconds)
        self._most = self._policy.requests
        self._attempts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._run = self._done = self._total = self._submitted_requests = 0

    def interrupt(self) -> None:
        """Stop waiting; batches go on at the provider, and the next run collects them."""
        self._halt.interrupt()

    @property
    def under_way(self) -> UnderWay:
        """The requests that are with the provider: they go on there, whatever becomes of this run."""
        return UnderWay(self._submitted_requests)

    async def run(self, pending: Callable[[], Iterable[Record]], total: int) -> RunSummary:
        """Give each record an outcome; `pending` returns the records that have none, each time it is called.

        Raises:
            StoreError: the journal cannot be read or written; what it has acknowledged is safe.
        """
        self._begin(total)
        try:
            for open_ in _open(self._journal, self._annotator.id):
                self._adopt(open_)
                await self._collect(open_)
            await self._work(pending)
        except Stop:
            pass
        except StoreError:
            raise
        except EngineError as error:
            self._halt.stop("provider", error)
        spending, seconds = self._journal.spending(run=self._run), self._halt.seconds
        body = {"run": self._run, "stopped": self._halt.reason, "seconds": seconds, "heads": self._journal.heads()}
        self._journal.add_event("run_end", self._annotator.id, body)
        return RunSummary(spending, seconds, self._halt.reason, self._halt.error)

    def _begin(self, total: int) -> None:
        self._halt.start()
        self._total = total
        self._ledger.start(self._journal.spending(), self._journal.unseen())
        manifest: Mapping[str, JSON] = {
            "lane": "batch",
            "records": total,
            "postil": __version__,
            "budget": asdict(self._budget),
            "policy": asdict(self._policy),
            "price": None if self._price is None else asdict(self._price),
            "heads": self._journal.heads(),
        }
        self._run = self._journal.add_event("run", self._annotator.id, manifest)

    async def _work(self, pending: Callable[[], Iterable[Record]]) -> None:
        while True:
            self._halt.check()
            portion = await self._portion(pending())
            if not portion.asked:
                if portion.budget_spent:
                    self._halt.stop("budget")
                return
            open_ = await self._submitted(portion)
            if open_ is None:
                continue
            if not self._policy.wait:
                return
            await self._collect(open_)

    # What goes into a batch

    async def _portion(self, records: Iterable[Record]) -> _Portion:
        """Return the next questions of as many records as one batch may hold; what is known already is written."""
        portion = _Portion()
        for some in _portions(records, _TOGETHER):
            interviews = [(record, Interview(self._annotator, record)) for record in some]
            await asyncio.gather(*(self._take_known(interview) for _, interview in interviews))
            for record, interview in interviews:
                if interview.asked is not None and not self._put(portion, record, interview):
                    return portion
        return portion

    async def _take_known(self, interview: Interview) -> None:
        """Answer questions whose reply is in the journal: of an earlier round, or of a record with the same text."""
        intent: int | None = None
        while (asked := interview.asked) is not None:
            known = self._journal.answered(asked.digest)
            if known is None:
                return
            intent, completion = known
            interview.take(completion)
        if interview.outcome is not None:
            await self._journal.write_outcome(interview.outcome, intent)
            self._count(interview.outcome)

    def _put(self, portion: _Portion, record: Record, interview: Interview) -> bool:
        """Put the next question about a record into a portion; `False` if it is full, or the budget is."""
        asked = interview.asked
        assert asked is not None  # noqa: S101 - the caller has looked
        custom_id = _custom_id(asked.digest)
        if custom_id in portion.asked:
            return True
        line = self._batches.line(custom_id, asked.request)
        full = len(portion.asked) >= self._most or len(portion.content) + len(line) > BATCH_BYTES
        if full and portion.asked:
            return False
        worst = self._worst(asked.request)
        if not self._ledger.reserve_now(worst):
            portion.budget_spent = True
            return False
        portion.content += line
        portion.asked[custom_id] = record.id, asked.digest, worst
        return True

    def _worst(self, request: Request) -> Worst:
        if not self._ledger.counts_tokens:
            return Worst()
        count = self._annotator.engine.count_tokens
        return self._ledger.worst(Usage(count(request.messages), request.max_tokens))

    # Submitting

    async def _submitted(self, portion: _Portion) -> _Open | None:
        """Submit a portion, and return the batch; `None` if the provider did not take it and it may be tried again."""
        open_ = _Open(uuid4().hex, await self._intents(portion))
        self._journal.add_event(BATCH, self._annotator.id, _event(open_))
        try:
            open_.id = await self._batches.submit(bytes(portion.content), open_.token)
        except EngineError as error:
            if isinstance(error, MAY_BE_BILLED):
                # Nobody knows whether it was taken: the token tells.
                return open_
            await self._void(open_, error)
            if not isinstance(error, Transient):
                raise
            await self._halt.pause(max(error.retry_after or 0.0, self._policy.first_poll) * (1 + self._rng.random()))
            return None
        self._journal.add_event(BATCH_ID, self._annotator.id, {"token": open_.token, "id": open_.id})
        return open_

    async def _intents(self, portion: _Portion) -> dict[str, _Line]:
        lines: dict[str, _Line] = {}

        async def write(custom_id: str, record: str, digest: str, worst: Worst) -> None:
            self._attempts[custom_id] += 1
            most = (worst.tokens, worst.usd) if self._ledger.counts_tokens else (None, None)
            intent = Intent(self._run, self._annotator.id, record, "label", digest, self._attempts[custom_id], *most)
            lines[custom_id] = _Line(await self._journal.write_intent(intent), record, worst)

        await _together(write(custom_id, *asked) for custom_id, asked in portion.asked.items())
        return {custom_id: lines[custom_id] for custom_id in portion.asked}

    # Collecting

    def _adopt(self, open_: _Open) -> None:
        for custom_id, line in open_.lines.items():
            self._ledger.adopt(line.worst)
            self._attempts[custom_id] += 1

    async def _collect(self, open_: _Open) -> None:
        """Wait for a batch to end, and write what came of it."""
        self._submitted_requests = len(open_.lines)
        batch = await self._found(open_)
        if batch is None:
            await self._void(open_, ServerFault("the batch was never submitted; this request was not billed"))
            return
        waits = _waits(self._policy, self._rng)
        while batch.state == "working":
            self._tell()
            await self._halt.pause(next(waits))
            self._halt.check()
            try:
                batch = await self._batches.look(batch.id)
            except Transient as error:
                _log.warning("batch %s: %s", batch.id, error.args[0])
        if batch.state == "failed":
            await self._refused(open_, batch)
        else:
            await self._take_results(open_, batch)
        self._submitted_requests = 0

    async def _found(self, open_: _Open) -> Batch | None:
        """Return a batch as the provider sees it, found by its token where its id was never written down."""
        if open_.id is not None:
            return await self._batches.look(open_.id)
        try:
            batch = await self._batches.find(open_.token)
        except RunFatal as error:
            if self._policy.unlisted == "resend":
                return None
            error.hint = (
                f"A batch with the metadata postil={open_.token} may have been submitted. Look for it at the provider;"
                " if there is none, run again with --lost resend."
            )
            raise
        if batch is not None:
            open_.id = batch.id
            self._journal.add_event(BATCH_ID, self._annotator.id, {"token": open_.token, "id": batch.id})
        return batch

    async def _refused(self, open_: _Open, batch: Batch) -> None:
        """Take note that nothing of a batch was asked; if it was only too large, smaller ones come after it."""
        fault = ServerFault(f"the batch {batch.id} was not accepted: {batch.message or batch.status}")
        await self._void(open_, fault)
        if not batch.too_much or self._most == 1:
            raise fault
        self._most = max(1, min(self._most, len(open_.lines)) // 2)
        _log.warning("%s; the next one has at most %d requests", fault.args[0], self._most)

    async def _void(self, open_: _Open, error: EngineError) -> None:
        """Write down that none of a batch's requests was asked, so that none was paid for."""
        fault = ServerFault(str(error.args[0]))

        async def close(line: _Line) -> None:
            await self._journal.write_error(line.intent, fault)
            self._ledger.settle(line.worst)

        await _together(map(close, open_.lines.values()))
        for custom_id in open_.lines:
            self._attempts[custom_id] -= 1
        self._journal.add_event(BATCH_END, self._annotator.id, {"token": open_.token, "results": 0})

    async def _take_results(self, open_: _Open, batch: Batch) -> None:
        requests = _Requests(self._journal, self._annotator, open_.lines)
        left, unknown, repeated = dict(open_.lines), list[str](), list[str]()
        writes: list[Coroutine[Any, Any, None]] = []
        async for result in self._batches.results(batch, requests):
            line = left.pop(result.custom_id, None)
            if line is None:
                (repeated if result.custom_id in open_.lines else unknown).append(result.custom_id)
                continue
            writes.append(self._take(line, requests.interview(result.custom_id), result.reply))
            if len(writes) >= _TOGETHER:
                await asyncio.gather(*writes)
                writes.clear()
        await asyncio.gather(*writes)
        lost = ConnectionLost(_NO_LINE)
        await _together(self._take(line, requests.interview(id_), lost) for id_, line in left.items())
        found = len(open_.lines) - len(left)
        body = {
            "token": open_.token,
            "results": found,
            "missing": len(left),
            "unknown": unknown,
            "repeated": repeated,
        }
        self._journal.add_event(BATCH_END, self._annotator.id, body)
        for words, ids in (("no line for", list(left)), ("lines that nobody asked for", unknown), ("two of", repeated)):
            if ids:
                _log.warning("batch %s: %s %d requests: %s", batch.id, words, len(ids), ", ".join(ids[:_NAMED]))

    async def _take(self, line: _Line, interview: Interview | None, reply: Completion | EngineError) -> None:
        if isinstance(reply, Completion):
            usd = self._ledger.cost(reply.usage)
            try:
                row = completion_row(line.intent, reply, usd)
            except DataError as error:
                reply = BrokenReply(f"the provider returned what is no completion: {error.args[0]}")
            else:
                outcome = None if interview is None else interview.take(reply)
                await self._journal.write_reply(row, outcome)
                self._ledger.settle(line.worst, reply.usage)
                self._count(outcome)
                return
        await self._take_error(line, interview, reply)

    async def _take_error(self, line: _Line, interview: Interview | None, error: EngineError) -> None:
        outcome = None
        asked = None if interview is None else interview.asked
        if interview is not None and asked is not None and not isinstance(error, RunFatal):
            last = self._attempts[_custom_id(asked.digest)] >= self._policy.attempts
            outcome = interview.take(error) if last or not isinstance(error, Transient) else None
        await self._journal.write_error(line.intent, error, outcome)
        if isinstance(error, MAY_BE_BILLED):
            self._ledger.lose(line.worst)
        else:
            self._ledger.settle(line.worst)
        if isinstance(error, RunFatal):
            self._halt.stop("provider", error)
        self._count(outcome)

    # Telling

    def _count(self, outcome: Outcome | None) -> None:
        if outcome is None:
            return
        self._done += 1
        if isinstance(outcome, Failure):
            self._failures[outcome.failure_class] += 1
        elif not isinstance(outcome, Annotation):
            self._failures["abstained"] += 1
        self._tell()

    def _tell(self) -> None:
        if self._on_progress is not None:
            usd = None if self._price is None else self._ledger.usd
            self._on_progress(
                Progress(self._done, self._total, dict(self._failures), usd, self._halt.seconds, "labelling")
            )


class _Requests(Mapping[str, Request]):
    """The requests of a batch by custom id, derived again from the journal as they are needed: none is kept."""

    def __init__(self, journal: Journal, annotator: PromptedAnnotator, lines: Mapping[str, _Line]) -> None:
        self._journal = journal
        self._annotator = annotator
        self._lines = lines
        self._last: tuple[str, Interview | None] = "", None

    def interview(self, custom_id: str) -> Interview | None:
        """Return the interview of a record at the point where it asks this request; `None` if it is not there now."""
        if self._last[0] == custom_id:
            self._last, found = ("", None), self._last[1]
            return found
        for record in self._journal.some_records([self._lines[custom_id].record]):
            interview = Interview(self._annotator, record)
            while (asked := interview.asked) is not None and _custom_id(asked.digest) != custom_id:
                known = self._journal.answered(asked.digest)
                if known is None:
                    return None
                interview.take(known[1])
            return interview if interview.asked is not None else None
        return None

    def __getitem__(self, custom_id: str) -> Request:
        if custom_id not in self._lines:
            raise KeyError(custom_id)
        interview = self.interview(custom_id)
        if interview is None or interview.asked is None:
            raise KeyError(custom_id)
        self._last = custom_id, interview
        return interview.asked.request

    def __iter__(self) -> Iterator[str]:
        return iter(self._lines)

    def __len__(self) -> int:
        return len(self._lines)


def records_in_batches(journal: Journal, annotator: str) -> set[str]:
    """Return the records that an annotator is asked about in batches whose results are not in the journal yet."""
    return {line.record for open_ in _open(journal, annotator) for line in open_.lines.values()}


def _open(journal: Journal, annotator: str) -> list[_Open]:
    """Return the batches of an annotator whose results are not in the journal, oldest first."""
    found: dict[str, _Open] = {}
    for kind in (BATCH, BATCH_ID, BATCH_END):
        for _, subject, body in journal.events(kind):
            if subject != annotator:
                continue
            if kind == BATCH:
                found[body["token"]] = _opened(body)
            elif kind == BATCH_ID and body["token"] in found:
                found[body["token"]].id = body["id"]
            elif kind == BATCH_END:
                found.pop(body["token"], None)
    return list(found.values())


def _custom_id(digest: str) -> str:
    """Return the id of a request in a batch: providers take up to 64 letters."""
    return digest.partition(":")[2][:32]


def _event(open_: _Open) -> Mapping[str, JSON]:
    lines = {id_: [line.intent, line.record, line.worst.tokens, line.worst.usd] for id_, line in open_.lines.items()}
    return {"token": open_.token, "lines": lines}


def _opened(body: Mapping[str, JSON]) -> _Open:
    lines = {
        custom_id: _Line(intent, record, Worst(tokens, usd))
        for custom_id, (intent, record, tokens, usd) in body["lines"].items()
    }
    return _Open(body["token"], lines)


def _waits(policy: BatchPolicy, rng: random.Random) -> Iterator[float]:
    wait = policy.first_poll
    while True:
        yield wait * (1 + 0.1 * rng.random())
        wait = min(policy.longest_poll, 1.5 * wait)


def _portions(records: Iterable[Record], size: int) -> Iterator[list[Record]]:
    shared = iter(records)
    while some := list(itertools.islice(shared, size)):
        yield some


async def _together(writes: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Await many writes, so many at a time that one commit holds them and memory stays flat."""
    shared = iter(writes)
    while some := list(itertools.islice(shared, _TOGETHER)):
        await asyncio.gather(*some)
