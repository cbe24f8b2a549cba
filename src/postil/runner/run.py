"""A run: records in, one outcome each, every request in the journal before it leaves."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Literal, Protocol, TypeVar

from postil._version import __version__
from postil.errors import ConnectionLost, EngineError, RecordRejected, RunFatal, SettingsError, StoreError, Transient
from postil.runner.annotator import Asked, Interview, PromptedAnnotator
from postil.runner.asking import Asker, Held, Question, UnderWay
from postil.runner.gate import Gate
from postil.runner.halt import Halt, Stop, Stopped
from postil.runner.money import FREE, Ledger, Price
from postil.runner.policy import DEFAULT_POLICY, Policy
from postil.runner.prior import BATCH_SIZE, SMALLEST_BATCH, content_free_records, measured_prior
from postil.runner.retries import Retries
from postil.store import Journal, Spending
from postil.types import JSON, Annotation, Budget, Completion, Failure, Outcome, Record, Request

NO_LIMIT: Final = Budget()


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
    held: int = 0
    """Records that were not asked about, because their requests may have been paid for already."""


@dataclass(frozen=True, slots=True)
class Again:
    """A record that has an outcome and is asked about anew, and which revision of its outcome comes of it."""

    record: Record
    revision: int


class Stoppable(Protocol):
    """A run under way, for those who may have to stop it."""

    def interrupt(self) -> None:
        """Let what is under way end, begin nothing more; from anywhere."""
        ...

    @property
    def under_way(self) -> UnderWay:
        """The requests that have left and are not back yet."""
        ...


_Item = TypeVar("_Item")


@dataclass(slots=True)
class Interviewed:
    """What was said about a record, and the outcome that it would have; `None` if the run stopped before the end."""

    exchanges: list[tuple[Request, Completion | EngineError]] = field(
        default_factory=list[tuple[Request, Completion | EngineError]]
    )
    outcome: Outcome | None = None


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
        held: Iterable[str] = (),
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        """Take what the run is made of; a budget is the project's, whatever was spent before counts.

        `price` is `None` where it is unknown; `rng` only spreads waits; `held` are the digests of requests that must
        not be sent again.

        Raises:
            SettingsError: the budget is in dollars and the price unknown.
        """
        self._price = FREE if annotator.engine.capabilities.free else price
        if budget.usd is not None and self._price is None:
            raise SettingsError(
                f"expected a price for annotator {annotator.name!r}: the budget is in dollars, its price unknown",
                hint="give `price = { input = …, output = … }`, dollars for a million tokens",
            )
        self._journal = journal
        self._annotator = annotator
        self._policy = policy
        self._on_progress = on_progress
        self._budget = budget
        self._ledger = Ledger(budget, self._price)
        self._halt = Halt(budget.seconds)
        self._gate = Gate(annotator.engine, self._halt, rng, policy)
        self._asker = Asker(
            journal,
            annotator.engine,
            annotator=annotator.id,
            ledger=self._ledger,
            retries=Retries(rng, policy.attempts, policy.first_wait, policy.lost),
            halt=self._halt,
            gate=self._gate,
            held=held,
        )
        self._defect: Exception | None = None
        self._phase: Literal["calibrating", "labelling"] = "labelling"
        self._failures: Counter[str] = Counter()
        self._done = self._total = self._held = 0

    @property
    def annotator(self) -> PromptedAnnotator:
        """The annotator, with the prior that its answers are corrected for."""
        return self._annotator

    def interrupt(self) -> None:
        """Let requests in flight end, send no more. May be called from a signal handler or another thread."""
        self._halt.interrupt()

    @property
    def under_way(self) -> UnderWay:
        """The requests that have left and are not back yet."""
        return self._asker.under_way

    async def run(self, records: Iterable[Record | Again], total: int) -> RunSummary:
        """Give each record an outcome; `total` is how many records are expected, for progress.

        Raises:
            StoreError: the journal cannot be read or written; what it has acknowledged is safe.
        """
        self._begin(total)
        self._total = total
        with self._gate.opened():
            await self._calibrate()
            await self._work(records, self._label)
        spending, seconds = self._journal.spending(run=self._asker.run), self._halt.seconds
        stopped, error = self._halt.reason, self._halt.error
        body = {"run": self._asker.run, "stopped": stopped, "seconds": seconds, "heads": self._journal.heads()}
        self._journal.add_event("run_end", self._annotator.id, body)
        return RunSummary(spending, seconds, stopped, error, self._held)

    async def ask(self, records: Sequence[Record]) -> Mapping[str, Interviewed]:
        """Return what is said about each record, and the outcome it would have; none is given.

        Records that were not asked about, because the run stopped before, are left out.
        Answers are corrected for the prior if it was measured before; it is not measured for a few records.

        Raises:
            EngineError: no request can work.
            StoreError: the journal cannot be read or written.
        """
        self._begin(len(records))
        self._take_prior(self._journal.latest_event("prior", self._annotator.id))
        found: dict[str, Interviewed] = {}

        async def ask(record: Record) -> None:
            interview = Interview(self._annotator, record)
            said = Interviewed()
            while (asked := interview.asked) is not None:
                try:
                    reply = (await self._asker.ask(_question(asked, record.id, "preview"))).reply
                except Held:
                    return
                found[record.id] = said
                said.exchanges.append((asked.request, reply))
                interview.take(reply)
            said.outcome = interview.outcome
            found[record.id] = said

        with self._gate.opened():
            await self._work(records, ask)
        if self._halt.error is not None:
            raise self._halt.error
        return found

    def _begin(self, records: int) -> None:
        """Note that a run begins, and take stock of what the project has spent."""
        self._halt.start()
        # Not earlier: only now, under the lock of the run, does nobody else spend.
        self._ledger.start(self._journal.spending(), self._journal.unseen())
        manifest = {
            "records": records,
            "postil": __version__,
            "budget": asdict(self._budget),
            "policy": asdict(self._policy),
            "price": None if self._price is None else asdict(self._price),
            "heads": self._journal.heads(),
        }
        run = self._journal.add_event("run", self._annotator.id, manifest)
        self._asker.begin(run, records + BATCH_SIZE)

    async def _work(self, items: Iterable[_Item], act: Callable[[_Item], Awaitable[None]]) -> None:
        """Let workers share one iterator: memory stays flat however many records there are."""
        shared = iter(items)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._policy.concurrency):
                    group.create_task(self._worker(shared, act))
        except ExceptionGroup as errors:
            # One cause, such as a full disk, reaches every worker: the caller needs it once, as itself.
            raise errors.exceptions[0] from None
        if self._defect is not None:
            raise self._defect

    async def _worker(self, items: Iterator[_Item], act: Callable[[_Item], Awaitable[None]]) -> None:
        try:
            for item in items:
                self._halt.check()
                await act(item)
        except Stop:
            return
        except StoreError:
            # Nothing can be kept any more: the others are called off.
            raise
        except RunFatal as error:
            self._halt.stop("provider", error)
        except Exception as error:
            # A defect, or an error of the caller's iterable: requests in flight are paid and may end.
            self._defect = self._defect or error
            self._halt.stop("interrupted")

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
        """Measure the prior and note it; `None` if the run stopped before it was known."""
        method, enough = "batch", SMALLEST_BATCH
        replies: list[tuple[str, tuple[float, ...]]] = []
        ids = self._journal.record_ids_by_digest(BATCH_SIZE)
        if self._annotator.calibration == "batch" and len(ids) >= enough:
            replies = await self._distributions(self._journal.some_records(ids), enough)
        if len(replies) < enough:
            method = "content_free"
            replies = await self._distributions(content_free_records(self._annotator.task), 1, stored=False)
        if not self._halt.may_go_on():
            return None
        prior = measured_prior(probabilities for _, probabilities in replies)
        requests = [digest for digest, _ in replies]
        body: Mapping[str, JSON] = {"method": method, "n": len(replies), "prior": prior, "requests": requests}
        self._journal.add_event("prior", self._annotator.id, body)
        return body

    async def _distributions(
        self, records: Sequence[Record], enough: int, *, stored: bool = True
    ) -> list[tuple[str, tuple[float, ...]]]:
        """Return request and probabilities of the records for which there are any; stop if too many were lost."""
        found: dict[str, tuple[str, tuple[float, ...]]] = {}
        lost: list[EngineError] = []
        held = ConnectionLost("requests that the prior is measured with may have been paid for, and are held")

        async def ask(record: Record) -> None:
            try:
                request = self._annotator.request(record)
            except RecordRejected:
                return
            asked = Asked(request, self._annotator.request_digest(request))
            question = _question(asked, record.id if stored else None, "prior")
            try:
                reply = (await self._asker.ask(question)).reply
            except Held:
                reply = held
            if isinstance(reply, Transient):
                lost.append(reply)
            elif isinstance(reply, Completion) and _is_whole(reply) and reply.choice_probabilities is not None:
                found[record.id] = question.digest, reply.choice_probabilities
            self._tell()

        await self._work(records, ask)
        if lost and len(found) < enough:
            # A prior of nothing would hold for all later runs: better none yet.
            self._halt.stop("provider", lost[0])
        # In the records' order: sums of floats must not depend on which reply came first.
        return [found[record.id] for record in records if record.id in found]

    # A record

    async def _label(self, item: Record | Again) -> None:
        record, revision = (item.record, item.revision) if isinstance(item, Again) else (item, 0)
        interview = Interview(self._annotator, record, revision)
        if interview.outcome is not None and not revision:
            await self._journal.write_outcome(interview.outcome)
        while (asked := interview.asked) is not None:
            try:
                await self._asker.ask(_question(asked, record.id, "label", revision), interview.take)
            except Held:
                self._held += 1
                return
        if interview.outcome is not None:
            self._count(interview.outcome)

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
        self._on_progress(Progress(self._done, self._total, dict(self._failures), usd, self._halt.seconds, self._phase))


def _question(asked: Asked, record: str | None, purpose: str, revision: int = 0) -> Question:
    return Question(asked.request, asked.digest, record, purpose, revision)


def _is_whole(reply: Completion) -> bool:
    """Return whether the model has read the whole prompt: only then its probabilities are of this record."""
    return reply.finish != "input_cut"
