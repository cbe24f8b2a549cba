"""A run: records in, one outcome each, every request in the journal before it leaves."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final, Literal

from postil._version import __version__
from postil.errors import EngineError, RecordRejected, RunFatal, SettingsError, Transient
from postil.runner.annotator import PromptedAnnotator
from postil.runner.money import FREE, Ledger, Price
from postil.runner.prior import BATCH_SIZE, SMALLEST_BATCH, content_free_records, measured_prior
from postil.runner.retries import Retries
from postil.store import Intent, Journal, Spending
from postil.types import JSON, Annotation, Budget, Completion, Failure, Outcome, Record, Request, Usage

Stopped = Literal["budget", "deadline", "provider", "interrupted"]


@dataclass(frozen=True, slots=True)
class Policy:
    """How hard the runner tries."""

    concurrency: int = 16
    attempts: int = 5


NO_LIMIT: Final = Budget()
DEFAULT_POLICY: Final = Policy()


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a run is."""

    done: int
    """Outcomes of this run so far."""
    total: int
    """Records that had no outcome when the run began."""
    failures: dict[str, int]
    usd: float | None
    seconds: float
    phase: Literal["calibrating", "labelling"]


@dataclass(frozen=True, slots=True)
class RunSummary:
    """What a run did, and why it stopped before the end if it did."""

    spending: Spending
    seconds: float
    stopped: Stopped | None
    error: EngineError | None
    """The provider error that stopped it."""


class _Stop(Exception):
    """No further request may leave."""


class Runner:
    """Carries an annotator through records. One runner, one run."""

    def __init__(
        self,
        journal: Journal,
        annotator: PromptedAnnotator,
        *,
        rng: random.Random,
        budget: Budget = NO_LIMIT,
        price: Price | None = None,
        policy: Policy = DEFAULT_POLICY,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Start from what the project has spent: a budget is the project's, not a run's.

        `price` is `None` where it is unknown; `rng` only spreads waits.

        Raises:
            SettingsError: the budget is in dollars and the price unknown.
        """
        self._price = FREE if annotator.engine.capabilities.free else price
        if budget.usd is not None and self._price is None:
            raise SettingsError(
                f"expected a price for annotator {annotator.name!r}: the budget is in dollars, its price unknown",
                hint="give `price = { input = …, output = … }`, dollars for a million tokens",
            )
        spent = journal.spending()
        tokens = spent.input_tokens + spent.output_tokens
        self._journal = journal
        self._annotator = annotator
        self._policy = policy
        self._on_progress = on_progress
        self._budget = budget
        self._ledger = Ledger(budget, self._price, spent.usd or 0.0, tokens, spent.requests)
        self._retries = Retries(policy.attempts, rng)
        self._in_flight: dict[str, asyncio.Future[tuple[int, Completion]]] = {}
        self._stopped: Stopped | None = None
        self._error: EngineError | None = None
        self._phase: Literal["calibrating", "labelling"] = "labelling"
        self._failures: Counter[str] = Counter()
        self._done = self._total = self._run = 0
        self._started = time.monotonic()

    @property
    def annotator(self) -> PromptedAnnotator:
        """The annotator, with the prior that its answers are corrected for."""
        return self._annotator

    def interrupt(self) -> None:
        """Let requests in flight end, send no more."""
        self._stopped = self._stopped or "interrupted"

    async def run(self, records: Iterable[Record], total: int) -> RunSummary:
        """Give each record an outcome; `total` is how many records are expected, for progress.

        Raises:
            StoreError: the journal cannot be written.
        """
        self._started = time.monotonic()
        self._total = total
        self._run = self._journal.add_event("run", self._annotator.id, self._manifest(total))
        await self._calibrate()
        await self._work(iter(records), self._label)
        spending = self._journal.spending(run=self._run)
        seconds = time.monotonic() - self._started
        body = {"run": self._run, "stopped": self._stopped, "seconds": seconds}
        self._journal.add_event("run_end", self._annotator.id, body)
        return RunSummary(spending, seconds, self._stopped, self._error)

    async def ask(self, records: Sequence[Record]) -> Mapping[str, Completion | EngineError]:
        """Return the completion for each record, or why there is none, and give no outcomes.

        Answers are corrected for the prior if it was measured before; it is not measured for a few records.

        Raises:
            EngineError: no request can work.
        """
        self._run = self._journal.add_event("run", self._annotator.id, self._manifest(len(records)))
        self._take_prior(self._journal.latest_event("prior", self._annotator.id))
        replies: dict[str, Completion | EngineError] = {}

        async def ask(record: Record) -> None:
            try:
                request = self._annotator.request(record)
                digest = self._annotator.request_digest(request)
                replies[record.id] = (await self._answer(request, record.id, "preview", None, digest))[1]
            except (RecordRejected, Transient) as error:
                replies[record.id] = error

        await self._work(iter(records), ask)
        if self._error is not None:
            raise self._error
        return replies

    def _manifest(self, records: int) -> Mapping[str, JSON]:
        return {
            "records": records,
            "postil": __version__,
            "budget": asdict(self._budget),
            "policy": asdict(self._policy),
            "price": None if self._price is None else asdict(self._price),
        }

    async def _work(self, records: Iterator[Record], act: Callable[[Record], Awaitable[None]]) -> None:
        """Let workers share one iterator: memory stays flat however many records there are."""

        async def worker() -> None:
            while self._may_go_on() and (record := next(records, None)) is not None:
                try:
                    await act(record)
                except _Stop:
                    return

        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._policy.concurrency):
                    group.create_task(worker())
        except ExceptionGroup as errors:
            # One cause, such as a full disk, reaches every worker: the caller needs it once, as itself.
            raise errors.exceptions[0] from None

    def _may_go_on(self) -> bool:
        seconds = self._budget.seconds
        if seconds is not None and time.monotonic() - self._started >= seconds:
            self._stopped = self._stopped or "deadline"
        return self._stopped is None

    # The prior

    async def _calibrate(self) -> None:
        """Measure the model's prior once for an annotator; it is kept, so that later runs correct alike."""
        annotator = self._annotator
        if annotator.calibration == "none":
            return
        known = self._journal.latest_event("prior", annotator.id)
        if known is None:
            self._phase = "calibrating"
            known = await self._measure_prior()
            self._phase = "labelling"
        self._take_prior(known)

    def _take_prior(self, event: Mapping[str, JSON] | None) -> None:
        if event is not None and event["prior"] is not None:
            self._annotator = replace(self._annotator, prior=tuple(event["prior"]))

    async def _measure_prior(self) -> Mapping[str, JSON] | None:
        records, method = self._prior_records()
        distributions: dict[str, tuple[float, ...]] = {}
        digests: dict[str, str] = {}

        async def ask(record: Record) -> None:
            try:
                request = self._annotator.request(record)
                digest = self._annotator.request_digest(request)
                _, completion = await self._answer(request, record.id, "prior", None, digest)
            except (RecordRejected, Transient):
                return
            if completion.choice_probabilities is not None:
                digests[record.id] = digest
                distributions[record.id] = completion.choice_probabilities

        await self._work(iter(records), ask)
        if self._stopped:
            return None
        # In the records' order: sums of floats must not depend on which reply came first.
        answered = [record.id for record in records if record.id in distributions]
        prior = measured_prior(distributions[record] for record in answered)
        requests = [digests[record] for record in answered]
        body: Mapping[str, JSON] = {"method": method, "n": len(answered), "prior": prior, "requests": requests}
        self._journal.add_event("prior", self._annotator.id, body)
        return body

    def _prior_records(self) -> tuple[list[Record], str]:
        ids = self._journal.record_ids_by_digest(BATCH_SIZE)
        if self._annotator.calibration == "batch" and len(ids) >= SMALLEST_BATCH:
            return self._journal.some_records(ids), "batch"
        return content_free_records(self._annotator.task), "content_free"

    # A record

    async def _label(self, record: Record) -> None:
        annotator = self._annotator
        try:
            request = annotator.request(record)
        except RecordRejected as error:
            failure = annotator.failed(record.id, error)
            await self._journal.write_outcome(failure)
            self._count(failure)
            return
        digest = annotator.request_digest(request)

        def read(completion: Completion) -> Outcome:
            return annotator.read(record.id, completion, digest)

        try:
            await self._answer(request, record.id, "label", read, digest)
        except (RecordRejected, Transient) as error:
            failure = annotator.failed(record.id, error)
            await self._journal.write_outcome(failure)
            self._count(failure)

    def _count(self, outcome: Outcome) -> None:
        self._done += 1
        if isinstance(outcome, Failure):
            self._failures[outcome.failure_class] += 1
        elif not isinstance(outcome, Annotation):
            self._failures["abstained"] += 1
        self._tell()

    def _tell(self) -> None:
        if self._on_progress is None:
            return
        usd = None if self._price is None else self._ledger.usd
        seconds = time.monotonic() - self._started
        self._on_progress(Progress(self._done, self._total, dict(self._failures), usd, seconds, self._phase))

    # A request

    async def _answer(
        self,
        request: Request,
        record: str,
        purpose: str,
        read: Callable[[Completion], Outcome] | None,
        digest: str,
    ) -> tuple[int, Completion]:
        """Return intent and completion of a request; equal requests are sent once and answered for all.

        Raises:
            RecordRejected, Transient: there is no completion.
            _Stop: no request may leave any more.
        """
        known = self._journal.answered(digest)
        if known is None and digest in self._in_flight:
            known = await self._in_flight[digest]
        if known is not None:
            if read is not None:
                outcome = read(known[1])
                await self._journal.write_outcome(outcome, known[0])
                self._count(outcome)
            return known
        future: asyncio.Future[tuple[int, Completion]] = asyncio.get_running_loop().create_future()
        self._in_flight[digest] = future
        try:
            answered = await self._attempts(request, record, purpose, read, digest)
            future.set_result(answered)
        except BaseException as error:
            future.set_exception(error if isinstance(error, Exception) else _Stop())
            future.exception()
            raise
        finally:
            del self._in_flight[digest]
        return answered

    async def _attempts(
        self,
        request: Request,
        record: str,
        purpose: str,
        read: Callable[[Completion], Outcome] | None,
        digest: str,
    ) -> tuple[int, Completion]:
        worst = self._worst(request)
        attempt = 1
        while True:
            await self._retries.ready()
            if not self._may_go_on():
                raise _Stop
            if not self._ledger.reserve(worst):
                self._stopped = self._stopped or "budget"
                raise _Stop
            intent = await self._journal.write_intent(
                Intent(self._run, self._annotator.id, record, purpose, digest, attempt)
            )
            try:
                completion = await self._annotator.engine.complete(request)
            except EngineError as error:
                self._ledger.settle(worst, None)
                await self._journal.write_error(intent, error)
                await self._after(error, attempt)
                attempt += 1
                continue
            usd = self._ledger.settle(worst, completion.usage)
            outcome = read(completion) if read else None
            await self._journal.write_reply(intent, completion, usd, outcome)
            if outcome is not None:
                self._count(outcome)
            else:
                self._tell()
            return intent, completion

    async def _after(self, error: EngineError, attempt: int) -> None:
        """Wait until the next attempt is due, or raise what makes it pointless."""
        if isinstance(error, RunFatal):
            self._stopped = self._stopped or "provider"
            self._error = self._error or error
            raise _Stop from error
        if not isinstance(error, Transient) or attempt >= self._retries.attempts:
            raise error
        wait = self._retries.wait_after(error, attempt)
        self._retries.hold_back(error, wait)
        await asyncio.sleep(wait)

    def _worst(self, request: Request) -> Usage:
        """Return the most that a request can come to; counted only where a budget needs it."""
        if self._budget.usd is None and self._budget.tokens is None:
            return Usage(0, 0)
        return Usage(self._annotator.engine.count_tokens(request.messages), request.max_tokens)
