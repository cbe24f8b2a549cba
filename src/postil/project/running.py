"""Carrying an annotator through the project's records, and through a few of them first."""

import itertools
import logging
import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Final, Literal, Self

from postil.canonical import digest
from postil.errors import AnswerError, EngineError, SettingsError
from postil.runner import (
    Again,
    Interview,
    Interviewed,
    Policy,
    Price,
    Progress,
    PromptedAnnotator,
    Runner,
    RunSummary,
    Stoppable,
)
from postil.runner.lost import OpenRequests, open_requests
from postil.runner.policy import Lost
from postil.runner.prior import requests_ahead
from postil.runner.submitted import HandedOver, close_unsubmitted
from postil.store import Journal, Spending
from postil.types import JSON, Budget, Engine, Message, Outcome, Record

_log = logging.getLogger("postil")


@dataclass(frozen=True, slots=True)
class Terms:
    """On what terms requests may leave."""

    budget: Budget
    price: Price | None
    """`None` where it is unknown."""
    policy: Policy

    @classmethod
    def checked(cls, name: str, engine: Engine, budget: Budget, price: Price | None, policy: Policy) -> Self:
        """Return the terms of an annotator.

        Raises:
            SettingsError: a limit is below zero, or it is in dollars and the price unknown.
        """
        for limit, value in asdict(budget).items():
            if value is not None and not value >= 0:
                raise SettingsError(f"annotator {name!r}: expected a budget of 0 or more {limit}, got {value!r}")
        if budget.usd is not None and price is None and not engine.capabilities.free:
            raise SettingsError(
                f"annotator {name!r}: the budget is {budget.usd:g} dollars, and its price is unknown",
                hint="give its table `price = { input = …, output = … }`, dollars for a million tokens",
            )
        return cls(budget, price, policy)

    def runner(
        self,
        journal: Journal,
        annotator: PromptedAnnotator,
        on_progress: Callable[[Progress], None] | None = None,
        *,
        held: Collection[str] = (),
    ) -> Runner:
        """Return a runner on these terms; `held` are the digests of requests that must not be sent again."""
        return Runner(
            journal,
            annotator,
            rng=random.Random(annotator.id),
            budget=self.budget,
            price=self.price,
            policy=self.policy,
            held=held,
            on_progress=on_progress,
        )


Lane = Literal["live", "batch", "submit"]
"""`live`: request by request; `batch`: by files that are answered within a day; `submit`: the same, without waiting."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which records a run is for, and what it does about requests whose replies were lost."""

    limit: int | None = None
    """The most records."""
    retry_failed: bool | Collection[str] = False
    """Whether records that failed are asked about anew, or those that failed in which classes."""
    lost: Lost = "resend"
    decide: Callable[[OpenRequests], bool] | None = None
    """Asked whether to send them again, where `lost` is "ask"; without anybody to ask they are held."""
    lane: Lane = "live"
    batch_requests: int = 50_000
    """The most requests in one batch."""
    unlisted: Literal["hold", "resend"] = "hold"
    """What becomes of batches of which the provider does not say what became of them; only somebody who has looked
    there can want their requests submitted anew."""

    @classmethod
    def checked(
        cls,
        limit: int | None,
        retry_failed: bool | Collection[str],
        lost: Lost,
        decide: Callable[[OpenRequests], bool] | None,
    ) -> Self:
        """Return a scope.

        Raises:
            SettingsError: the limit is below 0, or a class of failures is none.
        """
        if limit is not None and limit < 0:
            raise SettingsError(f"expected a limit of 0 or more records, got {limit}")
        if not isinstance(retry_failed, bool):
            if unknown := sorted(set(retry_failed) - failure_classes()):
                known = ", ".join(sorted(failure_classes()))
                raise SettingsError(f"no class of failures is called {unknown[0]!r}", hint=f"there are: {known}")
            retry_failed = frozenset(retry_failed)
        return cls(limit, retry_failed, lost, decide)


EVERYTHING: Final = Scope()
"""All that is pending."""


def failure_classes() -> set[str]:
    """Return the words that failures are counted by."""
    kinds: list[type[AnswerError | EngineError]] = [AnswerError, EngineError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.failure_class for kind in kinds}


@dataclass(frozen=True, slots=True)
class AnnotateResult:
    """How a run ended: every record in exactly one of the four states, and what the run cost."""

    records: int
    labelled: int
    abstained: int
    failed: int
    pending: int
    failures: Mapping[str, int]
    requests: int
    resent: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    usd: float | None
    seconds: float
    stopped: str | None
    error: EngineError | None = None
    annotator: str = ""
    unseen_usd: float = 0.0
    """The most that the project's lost replies can have cost beside `usd`."""
    open_intents: int = 0
    """Requests that earlier runs of the annotator had left open when this one began."""
    open_intents_usd: float | None = 0.0
    """The most that those can have cost; `None` where it is not known."""
    unsent: int = 0
    """Of `requests`, those that were written down and did not leave after all, as those of a batch that was refused."""
    held: int = 0
    """Records left pending because their requests may have been paid for already."""
    failure_examples: Mapping[str, str] = field(default_factory=dict[str, str])
    """Failure class -> a record that failed so, and why."""

    def to_json(self) -> dict[str, JSON]:
        """Return what `postil annotate --json` prints."""
        return asdict(self) | {"error": str(self.error) if self.error else None, "failures": dict(self.failures)}


@dataclass(frozen=True, slots=True)
class Tally:
    """Records by state, for one annotator."""

    records: int
    labelled: int
    abstained: int
    failed: int
    failures: Mapping[str, int]

    @property
    def pending(self) -> int:
        """Records without an outcome."""
        return self.records - self.labelled - self.abstained - self.failed


def tally(journal: Journal, annotator: str) -> Tally:
    """Count the records of a project by how they ended for an annotator."""
    by_type = {"annotation": 0, "abstention": 0, "failure": 0}
    failures: dict[str, int] = {}
    for (type_, failure_class), count in journal.count_outcomes(annotator).items():
        by_type[type_] += count
        if failure_class is not None:
            failures[failure_class] = count
    return Tally(journal.count_records(), by_type["annotation"], by_type["abstention"], by_type["failure"], failures)


async def annotate(
    journal: Journal,
    annotator: PromptedAnnotator,
    terms: Terms,
    scope: Scope = EVERYTHING,
    *,
    on_progress: Callable[[Progress], None] | None = None,
    on_start: Callable[[Stoppable], None] | None = None,
) -> AnnotateResult:
    """Give every pending record an outcome, or as many as scope and budget allow; without any, nothing is touched.

    Raises:
        InputError, StoreError: nothing can be done.
    """
    if scope.retry_failed and scope.lane != "live":
        raise SettingsError("records that failed are asked about anew in the live lane only, got a batch lane too")
    wanted = _wanted(journal, annotator, scope)
    if not wanted:
        return _result(journal, annotator, RunSummary(Spending(0, 0, 0, 0, 0, 0.0), 0.0, None, None))
    with journal.run_lock():
        await close_unsubmitted(journal)
        handed = HandedOver.of(journal, annotator.id)
        tell_changes(journal, annotator)
        _tell_batches(journal, annotator, handed)
        _tell_prior(journal, annotator, wanted)
        found = open_requests(journal, annotator, terms.price, in_batches=handed.intents)
        lost = _decided(annotator, found, scope)
        terms = replace(terms, policy=replace(terms.policy, lost=lost))
        # What is in a batch is neither lost nor to be paid for once more, whoever has submitted it.
        held = handed.others | (found.lost if lost == "hold" else frozenset())
        journal.add_annotator(annotator.name, annotator.spec)
        if scope.lane != "live":
            summary = await _in_batches(journal, annotator, terms, scope, wanted, held, on_progress, on_start)
            return _result(journal, annotator, summary, found)
        runner = terms.runner(journal, annotator, on_progress, held=held | handed.requests)
        if on_start:
            on_start(runner)
        records = (each for each in _records(journal, annotator, scope) if _id_of(each) not in handed.records)
        summary = await runner.run(itertools.islice(records, scope.limit), wanted)
    if handed.records:
        words = "annotator %r: %d records are asked about in a batch: `annotate --batch` collects it"
        _log.warning(words, annotator.name, len(handed.records))
    return _result(journal, annotator, summary, found)


async def _in_batches(
    journal: Journal,
    annotator: PromptedAnnotator,
    terms: Terms,
    scope: Scope,
    wanted: int,
    held: Collection[str],
    on_progress: Callable[[Progress], None] | None,
    on_start: Callable[[Stoppable], None] | None,
) -> RunSummary:
    from postil.project.batches import run_in_batches  # noqa: PLC0415 - aiohttp
    from postil.runner.batch import BatchPolicy  # noqa: PLC0415

    # Each portion goes through what is pending anew: what is chosen ends at a record, and needs no list.
    last = None if scope.limit is None else journal.last_pending(annotator.id, wanted)
    policy = BatchPolicy(
        scope.batch_requests, wait=scope.lane == "batch", lost=terms.policy.lost, unlisted=scope.unlisted
    )
    return await run_in_batches(
        journal,
        annotator,
        terms,
        policy,
        lambda: journal.pending(annotator.id, last),
        wanted,
        held=held,
        on_progress=on_progress,
        on_start=on_start,
    )


def _id_of(record: Record | Again) -> str:
    return record.record.id if isinstance(record, Again) else record.id


def _wanted(journal: Journal, annotator: PromptedAnnotator, scope: Scope) -> int:
    """Return how many records a run is for."""
    counts = tally(journal, annotator.id)
    wanted = counts.pending
    if scope.retry_failed is True:
        wanted += counts.failed
    elif scope.retry_failed:
        wanted += sum(counts.failures.get(each, 0) for each in scope.retry_failed)
    return wanted if scope.limit is None else min(scope.limit, wanted)


def _records(journal: Journal, annotator: PromptedAnnotator, scope: Scope) -> Iterator[Record | Again]:
    """Return the records of a run: those that failed, if they are asked about anew, then those without an outcome."""
    if scope.retry_failed:
        classes = () if scope.retry_failed is True else scope.retry_failed
        for record, revision in journal.failures(annotator.id, classes):
            yield Again(record, revision)
    yield from journal.pending(annotator.id)


def _decided(annotator: PromptedAnnotator, found: OpenRequests, scope: Scope) -> Literal["resend", "hold"]:
    """Return what becomes of requests whose replies were lost, and say so where there are any."""
    if scope.lost != "ask":
        lost = scope.lost
    elif scope.decide is not None and found.requests:
        lost = "resend" if scope.decide(found) else "hold"
    else:
        lost = "hold"
    if found.requests:
        cost = "" if found.usd is None else f" and may have cost up to ${found.usd:.4f}"
        _log.warning(
            "annotator %r: %d requests of earlier runs have no known outcome%s: %s",
            annotator.name,
            found.requests,
            cost,
            "they are sent again" if lost == "resend" else "they are held, and their records stay pending",
        )
    return lost


def _tell_prior(journal: Journal, annotator: PromptedAnnotator, wanted: int) -> None:
    """Say so where measuring the prior asks about more records than the run is for."""
    ahead = requests_ahead(journal, annotator)
    if ahead > wanted:
        _log.warning(
            "annotator %r: the model's prior is measured first, with %d requests for %d records to label;"
            " it is measured once, and their replies serve the labels of later runs",
            annotator.name,
            ahead,
            wanted,
        )


def tell_changes(journal: Journal, annotator: PromptedAnnotator) -> None:
    """Say that an annotator of this name has answered before and would answer otherwise now: all is pending again.

    Gold that prompts may show changes an annotator too, as settings do.
    """
    before = {id_: spec for id_, name, spec in journal.annotators() if name == annotator.name and id_ != annotator.id}
    labelled = {id_: tally(journal, id_).labelled for id_ in before}
    fullest = max(reversed(before), key=lambda id_: labelled[id_], default="")
    if not fullest or labelled[fullest] <= tally(journal, annotator.id).labelled:
        return
    changed = [key for key, value in annotator.spec.items() if digest(value) != digest(before[fullest].get(key))]
    _log.warning(
        "annotator %r is not what it was (%s changed): its %d annotations of before stay, and do not count for it;"
        " they are in the journal under its earlier id %s",
        annotator.name,
        ", ".join(changed),
        labelled[fullest],
        fullest,
    )


def _tell_batches(journal: Journal, annotator: PromptedAnnotator, handed: HandedOver) -> None:
    """Say that an annotator of this name, as it was before, has batches that are paid for and that nobody collects."""
    before = {id_ for id_, name, _ in journal.annotators() if name == annotator.name} - {annotator.id}
    left = sum(handed.by.get(id_, 0) for id_ in before)
    if left:
        _log.warning(
            "annotator %r: %d requests are in batches that it submitted before its settings were changed; put them back"
            " and run `annotate --batch` to collect what is paid for",
            annotator.name,
            left,
        )


def _result(
    journal: Journal, annotator: PromptedAnnotator, summary: RunSummary, found: OpenRequests | None = None
) -> AnnotateResult:
    counts, spending = tally(journal, annotator.id), summary.spending
    return AnnotateResult(
        records=counts.records,
        labelled=counts.labelled,
        abstained=counts.abstained,
        failed=counts.failed,
        pending=counts.pending,
        failures=counts.failures,
        **asdict(spending),
        seconds=round(summary.seconds, 3),
        stopped=summary.stopped,
        error=summary.error,
        annotator=annotator.name,
        unseen_usd=journal.unseen().usd,
        open_intents=found.requests if found else 0,
        open_intents_usd=found.usd if found else 0.0,
        held=summary.held,
        failure_examples=_examples(journal, annotator.id) if counts.failed else {},
    )


def _examples(journal: Journal, annotator: str) -> dict[str, str]:
    found = journal.failure_examples(annotator).items()
    return {class_: f"record {record!r}: {message}" for class_, (record, message) in found}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request about a record, and the reply to it; `None` where none came."""

    messages: Sequence[Message]
    reply: str | None


@dataclass(frozen=True, slots=True)
class Preview:
    """One record put to an annotator: the exact prompts, the replies, and what was read from them."""

    record: Record
    exchanges: Sequence[Exchange]
    """Most kinds ask once; a repair, another order or a further stage is one more."""
    outcome: Outcome | None
    """`None` for a record that was not asked about, because the budget is spent."""

    @property
    def messages(self) -> Sequence[Message]:
        """The first prompt; empty for a record about which nothing can be asked."""
        return self.exchanges[0].messages if self.exchanges else ()

    @property
    def reply(self) -> str | None:
        """The last reply."""
        return self.exchanges[-1].reply if self.exchanges else None

    def to_json(self) -> dict[str, JSON]:
        """Return one element of what `postil preview --json` prints."""
        read = {} if self.outcome is None else asdict(self.outcome)
        return {
            "id": self.record.id,
            "messages": [asdict(message) for message in self.messages],
            "reply": self.reply,
            "exchanges": [asdict(exchange) for exchange in self.exchanges],
            "outcome": "pending" if self.outcome is None else type(self.outcome).__name__.lower(),
            **{key: value for key, value in read.items() if key not in {"record", "annotator"}},
        }


async def preview(
    journal: Journal, annotator: PromptedAnnotator, records: Sequence[Record], terms: Terms, lost: Lost = "resend"
) -> list[Preview]:
    """Put records to an annotator without giving them outcomes; the replies are kept and used when they are labelled.

    What is in a batch is not asked, and what may have been paid for only if `lost` is "resend".

    Raises:
        EngineError: no request can work.
    """
    with journal.run_lock():
        handed = HandedOver.of(journal, annotator.id)
        held = handed.requests | handed.others
        if lost != "resend":
            held |= open_requests(journal, annotator, terms.price, in_batches=handed.intents).lost
        runner = terms.runner(journal, annotator, held=held)
        journal.add_annotator(annotator.name, annotator.spec)
        asked = await runner.ask(records)
    return [_preview(annotator, record, asked.get(record.id)) for record in records]


def _preview(annotator: PromptedAnnotator, record: Record, asked: Interviewed | None) -> Preview:
    if asked is None:
        interview = Interview(annotator, record)
        prompt = [] if interview.asked is None else [Exchange(interview.asked.request.messages, None)]
        return Preview(record, prompt, interview.outcome)
    said = [
        Exchange(request.messages, None if isinstance(reply, EngineError) else reply.text)
        for request, reply in asked.exchanges
    ]
    return Preview(record, said, asked.outcome)
