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
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import asdict, dataclass, field
from functools import partial
from io import BytesIO
from typing import Any, Final, Literal, TypeVar
from uuid import uuid4

from postil._version import __version__
from postil.engines.batch import BATCH_BYTES, BATCH_REQUESTS, Batch, Batches, Result
from postil.errors import (
    BrokenReply,
    ConnectionLost,
    DataError,
    EngineError,
    NotSent,
    RateLimited,
    RecordRejected,
    RunFatal,
    ServerFault,
    ServerUnreachable,
    SettingsRejected,
    Transient,
    UnknownModel,
)
from postil.runner.annotator import Interview, PromptedAnnotator
from postil.runner.asking import UnderWay
from postil.runner.halt import Halt, Stop
from postil.runner.money import FREE, Ledger, Price, Worst
from postil.runner.pace import LONGEST_WAIT
from postil.runner.results import ResultsRead
from postil.runner.run import NO_LIMIT, Progress, RunSummary
from postil.runner.submitted import (
    BATCH,
    BATCH_END,
    BATCH_ID,
    LANE,
    Line,
    Submitted,
    custom_id_of,
    open_batches,
    records_in_batches,
)
from postil.store import Intent, Journal
from postil.store.rows import MAY_BE_BILLED, completion_row
from postil.types import JSON, Annotation, Budget, Completion, Failure, Outcome, Record, Request, Usage

__all__ = ["BatchPolicy", "BatchRunner", "records_in_batches"]

_TOGETHER: Final = 256
"""Rows that are waited for together: one commit holds them."""
_NAMED: Final = 20
_PATIENCE: Final = 30
"""How often in a row the provider may fail to say how things stand."""
_LOOKS: Final = 4
"""How often what is not to be seen is looked for: what providers show lags behind what they do."""
_DOES_NOT_SAY: Final = (UnknownModel, ServerUnreachable, RecordRejected, SettingsRejected)
"""What our errors for a request that a server has no answer to are called; here it was one about a batch."""

_NO_LINE: Final = "the batch's result files hold no line for this request"

_Said = TypeVar("_Said")
_Item = TypeVar("_Item")

_log = logging.getLogger("postil")


@dataclass(frozen=True, slots=True)
class BatchPolicy:
    """How a batch lane works."""

    requests: int = BATCH_REQUESTS
    """The most requests in one batch."""
    attempts: int = 3
    """The most batches that one request is put into in a run."""
    together: int = 4
    """The most batches with the provider at once; fewer where it says that too much is enqueued."""
    first_poll: float = 1.0
    """Seconds until the provider is asked how a batch is doing; each further wait is half as long again."""
    longest_poll: float = 60.0
    wait: bool = True
    """Whether to wait for a batch to end; else the next run collects it."""
    lost: Literal["resend", "hold"] = "resend"
    """What becomes of requests whose lines are missing: they may have been paid for."""
    unlisted: Literal["hold", "resend"] = "hold"
    """What becomes of a batch of which the provider does not say whether it was submitted, or what came of it: it is
    held, or its requests count as lost."""


@dataclass(slots=True)
class _Portion:
    """The questions of the next batch."""

    content: BytesIO = field(default_factory=BytesIO)
    asked: dict[str, tuple[str, str, Worst]] = field(default_factory=dict[str, tuple[str, str, Worst]])
    """Custom id -> record, digest of the request, worst."""
    held: int = 0
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
        held: Collection[str] = (),
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Take what the run is made of; `price` is that of the batch lane, `rng` only spreads waits.

        `held` are the digests of requests that must not be submitted.
        """
        self._journal = journal
        self._annotator = annotator
        self._batches = batches
        self._rng = rng
        self._budget = budget
        self._price = FREE if annotator.engine.capabilities.free else price
        self._policy = policy or BatchPolicy()
        self._held = held
        self._on_progress = on_progress
        self._ledger = Ledger(budget, self._price)
        self._halt = Halt(budget.seconds)
        self._most, self._together = self._policy.requests, self._policy.together
        # By custom id: those that failed and may be tried again, those that ended so, those still with the provider.
        self._tried: Counter[str] = Counter()
        self._given_up: dict[str, tuple[int, EngineError]] = {}
        self._with_provider: set[str] = set()
        self._defect: Exception | None = None
        self._failures: Counter[str] = Counter()
        self._run = self._done = self._total = self._records_held = 0

    def interrupt(self) -> None:
        """Stop waiting; batches go on at the provider, and the next run collects them."""
        self._halt.interrupt()

    @property
    def under_way(self) -> UnderWay:
        """The requests that are with the provider: they go on there, whatever becomes of this run."""
        return UnderWay(len(self._with_provider))

    async def run(self, pending: Callable[[], Iterable[Record]], total: int) -> RunSummary:
        """Give each record an outcome; `pending` returns the records that have none, each time it is called.

        Raises:
            StoreError: the journal cannot be read or written; what it has acknowledged is safe.
        """
        self._begin(total)
        try:
            await self._collect_earlier()
            await self._work(pending)
        except Stop:
            pass
        except EngineError as error:
            self._halt.stop("provider", error)
        spending, seconds = self._journal.spending(run=self._run), self._halt.seconds
        body = {"run": self._run, "stopped": self._halt.reason, "seconds": seconds, "heads": self._journal.heads()}
        self._journal.add_event("run_end", self._annotator.id, body)
        return RunSummary(spending, seconds, self._halt.reason, self._halt.error, self._records_held)

    def _begin(self, total: int) -> None:
        self._halt.start()
        self._total = total
        self._ledger.start(self._journal.spending(), self._journal.unseen())
        manifest: Mapping[str, JSON] = {
            "lane": LANE,
            "records": total,
            "postil": __version__,
            "budget": asdict(self._budget),
            "policy": asdict(self._policy),
            "price": None if self._price is None else asdict(self._price),
            "heads": self._journal.heads(),
        }
        self._run = self._journal.add_event("run", self._annotator.id, manifest)

    async def _collect_earlier(self) -> None:
        """Collect what earlier runs have left open.

        Raises:
            EngineError: one of them cannot be collected; the others were.
        """
        refusal: EngineError | None = None
        for place, batch in enumerate(open_batches(self._journal, self._annotator.id)):
            batch.beside = place
            self._adopt(batch)
            try:
                await self._collect(batch)
            except EngineError as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal

    async def _work(self, pending: Callable[[], Iterable[Record]]) -> None:
        """Submit batches and collect them, the oldest first, until there is nothing more to ask.

        Raises:
            EngineError: the provider did not take one, or not what was in it; the others are collected.
        """
        if not self._policy.wait:
            await self._next(pending(), beside=0)
            return
        submitted: deque[Submitted] = deque()
        refusal: EngineError | None = None
        while refusal is None or submitted:
            try:
                while refusal is None and len(submitted) < self._together:
                    if (batch := await self._next(pending(), beside=len(submitted))) is None:
                        break
                    submitted.append(batch)
            except EngineError as error:
                if submitted and isinstance(error, Transient):
                    self._fewer_at_once(len(submitted), str(error.args[0]))
                else:
                    refusal = error
            if not submitted:
                break
            try:
                await self._collect(submitted.popleft())
            except EngineError as error:
                refusal = refusal or error
        if refusal is not None:
            raise refusal

    async def _next(self, records: Iterable[Record], *, beside: int) -> Submitted | None:
        """Submit the next batch `beside` so many and return it; `None` if there is nothing to ask, or no money now."""
        portion = await self._portion(records)
        self._records_held = portion.held
        if portion.asked:
            batch = await self._submitted(portion, beside)
            self._with_provider |= batch.lines.keys()
            return batch
        if portion.budget_spent and not beside:
            self._halt.stop("budget")
        return None

    # What goes into a batch

    async def _portion(self, records: Iterable[Record]) -> _Portion:
        """Return the next questions of as many records as one batch may hold; what is known already is written."""
        portion = _Portion()
        for some in _portions(records, _TOGETHER):
            self._halt.check()
            interviews = [(record, Interview(self._annotator, record)) for record in some]
            await asyncio.gather(*(self._take_known(interview) for _, interview in interviews))
            for record, interview in interviews:
                if interview.asked is not None and not self._put(portion, record, interview):
                    return portion
        return portion

    async def _take_known(self, interview: Interview) -> None:
        """Answer questions whose reply is known: of an earlier round, or of a record with the same text."""
        intent: int | None = None
        while (asked := interview.asked) is not None:
            known = self._journal.answered(asked.digest) or self._given_up.get(custom_id_of(asked.digest))
            if known is None:
                return
            intent, reply = known
            interview.take(reply)
        if interview.outcome is not None:
            await self._journal.write_outcome(interview.outcome, intent)
            self._count(interview.outcome)

    def _put(self, portion: _Portion, record: Record, interview: Interview) -> bool:
        """Put the next question about a record into a portion; `False` if it is full, or the budget is."""
        asked = interview.asked
        assert asked is not None  # noqa: S101 - the caller has looked
        custom_id = custom_id_of(asked.digest)
        if custom_id in portion.asked or custom_id in self._with_provider:
            return True
        if asked.digest in self._held:
            portion.held += 1
            return True
        line = self._batches.line(custom_id, asked.request)
        full = len(portion.asked) >= self._most or portion.content.tell() + len(line) > BATCH_BYTES
        if full and portion.asked:
            return False
        worst = self._worst(asked.request)
        if not self._ledger.reserve_now(worst):
            portion.budget_spent = True
            return False
        portion.content.write(line)
        portion.asked[custom_id] = record.id, asked.digest, worst
        return True

    def _worst(self, request: Request) -> Worst:
        # Without a budget too: the batch may be answered in a run that has one.
        return self._ledger.worst(Usage(self._annotator.engine.count_tokens(request.messages), request.max_tokens))

    # Submitting

    async def _submitted(self, portion: _Portion, beside: int) -> Submitted:
        """Submit a portion `beside` so many batches, and return it as one of them.

        Raises:
            EngineError: the provider does not take it; nothing was submitted.
        """
        batch = Submitted(uuid4().hex, self._annotator.id, await self._intents(portion), self._price, beside=beside)
        self._journal.add_event(BATCH, self._annotator.id, batch.to_json())
        waits = _waits(self._policy, self._rng)
        for attempt in itertools.count(1):
            try:
                batch.id = await self._batches.submit(portion.content.getvalue(), batch.token)
            except EngineError as error:
                # Where nobody knows whether it was taken, the token tells.
                if isinstance(error, MAY_BE_BILLED) and await self._looked_for(batch) is not None:
                    return batch
                # One that is refused beside others comes again once one of those is done.
                last = attempt >= self._policy.attempts or (beside and isinstance(error, RateLimited))
                if last or not isinstance(error, Transient):
                    await self._void(batch, str(error.args[0]))
                    raise
                await self._halt.pause(max(min(error.retry_after or 0.0, LONGEST_WAIT), next(waits)))
                self._halt.check()
            else:
                break
        self._journal.add_event(BATCH_ID, self._annotator.id, {"token": batch.token, "id": batch.id})
        return batch

    async def _intents(self, portion: _Portion) -> dict[str, Line]:
        lines: dict[str, Line] = {}
        for some in _portions(portion.asked.items(), _TOGETHER):
            intents = [self._intent(custom_id, *asked) for custom_id, asked in some]
            numbers = await asyncio.gather(*map(self._journal.write_intent, intents))
            for (custom_id, (record, _, worst)), number in zip(some, numbers, strict=True):
                lines[custom_id] = Line(number, record, worst)
        return lines

    def _intent(self, custom_id: str, record: str, digest: str, worst: Worst) -> Intent:
        attempt, usd = self._tried[custom_id] + 1, None if self._price is None else worst.usd
        return Intent(self._run, self._annotator.id, record, "label", digest, attempt, worst.tokens, usd)

    # Collecting

    def _adopt(self, batch: Submitted) -> None:
        for line in batch.lines.values():
            self._ledger.adopt(line.worst)

    async def _collect(self, submitted: Submitted) -> None:
        """Wait for a batch to end, and write what came of it."""
        if not submitted.lines:
            self._end(submitted, results=0)
            return
        self._with_provider |= submitted.lines.keys()
        batch = await self._looked_for(submitted)
        if batch is None:
            await self._void(submitted, "the batch was never submitted; this request was not billed")
            return
        waits, bare = _waits(self._policy, self._rng), 0
        while batch.state == "working" or (_is_bare(batch) and bare < _LOOKS):
            if not self._policy.wait:
                return
            bare += batch.state != "working"
            self._tell()
            await self._halt.pause(next(waits))
            self._halt.check()
            batch = await self._patiently(partial(self._batches.look, batch.id))
        if batch.state == "failed":
            await self._refused(submitted, batch)
        elif _is_bare(batch) and self._policy.unlisted == "hold":
            raise _vague(BrokenReply(f"the batch {batch.id} is completed, and no file of results is named"), submitted)
        else:
            await self._take_results(submitted, batch)

    async def _looked_for(self, submitted: Submitted) -> Batch | None:
        """Return a batch as the provider sees it, `None` if it was never submitted.

        Raises:
            EngineError: the provider does not say.
        """
        try:
            if submitted.id is None:
                return await self._find(submitted)
            return await self._patiently(partial(self._batches.look, submitted.id))
        except _DOES_NOT_SAY as error:
            if self._policy.unlisted == "hold":
                raise _vague(error, submitted) from None
            # It may have been answered, and nobody will say what.
            return Batch(submitted.id or "", "ended", "unknown")

    async def _find(self, submitted: Submitted) -> Batch | None:
        """Return the batch of a token, and write its id down; `None` if there is none however often it is looked for.

        Raises:
            EngineError: the provider does not say.
        """
        waits = _waits(self._policy, self._rng)
        for look in range(_LOOKS):
            if look:
                await self._halt.pause(next(waits))
                self._halt.check()
            batch = await self._patiently(partial(self._batches.find, submitted.token))
            if batch is not None:
                submitted.id = batch.id
                self._journal.add_event(BATCH_ID, self._annotator.id, {"token": submitted.token, "id": batch.id})
                return batch
        return None

    async def _patiently(self, ask: Callable[[], Awaitable[_Said]]) -> _Said:
        """Return what the provider says to a question that changes nothing, asked again while it does not answer."""
        for wait in itertools.islice(_waits(self._policy, self._rng), _PATIENCE - 1):
            try:
                return await ask()
            except Transient as error:
                _log.warning("batches of annotator %r: %s", self._annotator.name, error.args[0])
            await self._halt.pause(wait)
            self._halt.check()
        return await ask()

    async def _refused(self, submitted: Submitted, batch: Batch) -> None:
        """Take note that nothing of a batch was asked; if it was only too large, smaller ones come after it."""
        fault = ServerFault(f"the batch {batch.id} was not accepted: {batch.message or batch.status}")
        await self._void(submitted, str(fault.args[0]))
        size = len(submitted.lines) + len(submitted.answered)
        if submitted.beside:
            self._fewer_at_once(submitted.beside, str(fault.args[0]))
            return
        if not batch.too_much or min(self._most, size) == 1:
            raise fault
        # Half of it may be taken, and so two halves at once may not.
        self._most, self._together = max(1, min(self._most, size) // 2), 1
        _log.warning("%s; the next one has at most %d requests", fault.args[0], self._most)

    def _fewer_at_once(self, taken: int, why: str) -> None:
        """Have no more batches open at once than were taken: by itself, the one that was not may be."""
        self._together = min(self._together, taken)
        _log.warning("%s; from now on at most %d batches are open at once", why, self._together)

    async def _void(self, submitted: Submitted, why: str) -> None:
        """Write down that none of a batch's requests was asked, so that none was paid for."""
        error = NotSent(why)
        for some in _portions(submitted.lines.values(), _TOGETHER):
            await asyncio.gather(*(self._journal.write_error(line.intent, error) for line in some))
            for line in some:
                self._ledger.cancel(line.worst)
        self._end(submitted, results=0)

    def _end(self, submitted: Submitted, **found: JSON) -> None:
        self._with_provider -= submitted.lines.keys()
        self._journal.add_event(BATCH_END, self._annotator.id, {"token": submitted.token, **found})

    async def _take_results(self, submitted: Submitted, batch: Batch) -> None:
        """Write what came of each request of a batch that has ended."""
        reading = ResultsRead(submitted, batch, self._journal, self._annotator)
        await self._patiently(partial(self._take_files, reading))
        missing = list(reading.left)
        for some in _portions(missing, _TOGETHER):
            lost = [Result(custom_id, ConnectionLost(_NO_LINE)) for custom_id in some]
            await self._take_some(reading, lost)
        unknown, repeated = reading.unknown, reading.repeated
        results = len(submitted.lines) - len(missing)
        self._end(submitted, results=results, missing=len(missing), unknown=unknown, repeated=repeated)
        for words, ids in (("no line for", missing), ("lines that nobody asked for", unknown), ("two of", repeated)):
            if ids:
                _log.warning("batch %s: %s %d requests: %s", batch.id, words, len(ids), ", ".join(ids[:_NAMED]))
        if self._defect is not None:
            raise self._defect
        if reading.cancelled:
            hint = "What was answered is kept. Run the same command again to submit the rest."
            raise ServerFault(f"the batch {batch.id} was cancelled at the provider", hint=hint)

    async def _take_files(self, reading: ResultsRead) -> None:
        """Write the results in the files of a batch, from their beginning; what was written before is passed over."""
        reading.begin()
        some: list[Result] = []
        async with aclosing(self._batches.results(reading.batch, reading.requests)) as results:
            async for result in results:
                if reading.is_wanted(result.custom_id):
                    some.append(result)
                if len(some) >= _TOGETHER:
                    await self._take_some(reading, some)
                    some = []
        await self._take_some(reading, some)

    async def _take_some(self, reading: ResultsRead, results: Iterable[Result]) -> None:
        await asyncio.gather(*(self._take(reading, result.custom_id, result.reply) for result in results))

    async def _take(self, reading: ResultsRead, custom_id: str, reply: Completion | EngineError) -> None:
        line, interview = reading.left[custom_id], reading.requests.interview(custom_id)
        if isinstance(reply, Completion):
            price = reading.submitted.price
            usd = None if price is None else price.cost(reply.usage)
            try:
                row = completion_row(line.intent, reply, usd)
            except DataError as error:
                reply = BrokenReply(f"the provider returned what is no completion: {error.args[0]}")
            else:
                await self._keep(row, interview, reply)
                self._ledger.settle(line.worst, reply.usage, usd)
                self._tried.pop(custom_id, None)
                del reading.left[custom_id]
                return
        await self._take_error(reading, custom_id, interview, reply)

    async def _keep(self, row: tuple[Any, ...], interview: Interview | None, reply: Completion) -> None:
        """Write a reply and the outcome read from it; a defect in reading is no reason to lose what was paid for."""
        outcome: Outcome | None = None
        try:
            outcome = None if interview is None else interview.take(reply)
        except Exception as error:
            self._defect = self._defect or error
        try:
            await self._journal.write_reply(row, outcome)
        except DataError as error:
            self._defect, outcome = self._defect or error, None
            await self._journal.write_reply(row)
        self._count(outcome)

    async def _take_error(
        self, reading: ResultsRead, custom_id: str, interview: Interview | None, error: EngineError
    ) -> None:
        line, maybe_paid, outcome = reading.left[custom_id], isinstance(error, MAY_BE_BILLED), None
        if interview is not None and not (reading.cancelled or isinstance(error, RunFatal)):
            self._tried[custom_id] += 1
            again = isinstance(error, Transient) and self._tried[custom_id] < self._policy.attempts
            if not again or (maybe_paid and self._policy.lost == "hold"):
                self._given_up[custom_id] = line.intent, error
                outcome = interview.take(error)
        await self._journal.write_error(line.intent, error, outcome)
        if maybe_paid:
            self._ledger.lose(line.worst)
        else:
            self._ledger.settle(line.worst)
        del reading.left[custom_id]
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


def _is_bare(batch: Batch) -> bool:
    """Return whether a batch is done and has nothing to show: either its files are late, or they are lost."""
    return batch.status == "completed" and not batch.files


def _vague(error: EngineError, submitted: Submitted) -> EngineError:
    """Return an error that leaves open what became of a batch, with what to do about it."""
    which = f"the metadata postil={submitted.token}" if submitted.id is None else f"the id {submitted.id}"
    error.hint = (
        f"A batch with {which} may have been answered. Look for it at the provider; if there is none, or nothing comes"
        " of it, run again with --lost resend: its requests count as lost, and are asked anew."
    )
    return error


def _waits(policy: BatchPolicy, rng: random.Random) -> Iterator[float]:
    wait = policy.first_poll
    while True:
        yield wait * (1 + 0.1 * rng.random())
        wait = min(policy.longest_poll, 1.5 * wait)


def _portions(items: Iterable[_Item], size: int) -> Iterator[list[_Item]]:
    shared = iter(items)
    while some := list(itertools.islice(shared, size)):
        yield some
