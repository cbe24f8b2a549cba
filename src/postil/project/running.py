"""Carrying an annotator through the project's records, and looking ahead before that."""

import itertools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from postil.errors import EngineError, RecordRejected
from postil.runner import Policy, Price, Progress, PromptedAnnotator, Runner, RunSummary
from postil.store import Journal
from postil.types import JSON, Budget, Estimate, Message, Outcome, Record, Usage


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
    *,
    budget: Budget,
    price: Price | None,
    policy: Policy,
    limit: int | None = None,
    on_progress: Callable[[Progress], None] | None = None,
    on_start: Callable[[Runner], None] | None = None,
) -> AnnotateResult:
    """Give every pending record an outcome, or as many as limit and budget allow.

    Raises:
        InputError, StoreError: nothing can be done.
    """
    journal.add_annotator(annotator.name, annotator.spec)
    runner = Runner(
        journal,
        annotator,
        rng=random.Random(annotator.id),
        budget=budget,
        price=price,
        policy=policy,
        on_progress=on_progress,
    )
    if on_start:
        on_start(runner)
    pending = tally(journal, annotator.id).pending
    with journal.run_lock():
        records = itertools.islice(journal.pending(annotator.id), limit)
        summary = await runner.run(records, pending if limit is None else min(limit, pending))
    return _result(journal, annotator, summary)


def _result(journal: Journal, annotator: PromptedAnnotator, summary: RunSummary) -> AnnotateResult:
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
    )


@dataclass(frozen=True, slots=True)
class Preview:
    """One record put to an annotator: the exact prompt, the reply, and what was read from it."""

    record: Record
    messages: Sequence[Message]
    reply: str | None
    outcome: Outcome

    def to_json(self) -> dict[str, JSON]:
        """Return one element of what `postil preview --json` prints."""
        return {
            "id": self.record.id,
            "messages": [asdict(message) for message in self.messages],
            "reply": self.reply,
            "outcome": type(self.outcome).__name__.lower(),
            **{key: value for key, value in asdict(self.outcome).items() if key not in {"record", "annotator"}},
        }


async def preview(
    journal: Journal,
    annotator: PromptedAnnotator,
    records: Sequence[Record],
    *,
    budget: Budget,
    price: Price | None,
    policy: Policy,
) -> list[Preview]:
    """Put records to an annotator without giving them outcomes; the replies are kept and used when they are labelled.

    Raises:
        EngineError: no request can work.
    """
    journal.add_annotator(annotator.name, annotator.spec)
    runner = Runner(journal, annotator, rng=random.Random(annotator.id), budget=budget, price=price, policy=policy)
    with journal.run_lock():
        replies = await runner.ask(records)
    seen: list[Preview] = []
    for record in records:
        try:
            request = annotator.request(record)
        except RecordRejected as error:
            seen.append(Preview(record, (), None, annotator.failed(record.id, error)))
            continue
        completion = replies[record.id]
        if isinstance(completion, EngineError):
            seen.append(Preview(record, request.messages, None, annotator.failed(record.id, completion)))
            continue
        outcome = runner.annotator.read(record.id, completion, annotator.request_digest(request))
        seen.append(Preview(record, request.messages, completion.text, outcome))
    return seen


@dataclass(frozen=True, slots=True)
class Plan:
    """What labelling the pending records would take. Spends nothing by itself."""

    annotator: str
    records: int
    pending: int
    requests: int
    prompt_tokens: Estimate | None
    """Tokens of one prompt, from prompts that were rendered and counted."""
    input_tokens: int
    output_tokens: int
    usd: float | None
    price_date: str | None
    seconds: float | None
    """From the pace of this annotator's own earlier requests; `None` before there are any."""
    unusable: int
    """Of the records looked at, how many cannot be asked about at all."""
    accuracy: Estimate | None
    """On the gold labelled so far; `None` before there is any."""

    def to_json(self) -> dict[str, JSON]:
        """Return what `postil plan --json` prints."""
        return asdict(self)


def plan(
    journal: Journal,
    annotator: PromptedAnnotator,
    price: Price | None,
    *,
    accuracy: Estimate | None,
    rng: random.Random,
    looked_at: int = 50,
) -> Plan:
    """Return what is ahead, from prompts rendered for a random draw of pending records."""
    counts = tally(journal, annotator.id)
    drawn = _reservoir(journal.pending(annotator.id), looked_at, rng)
    tokens, answers, unusable = _prompt_sizes(annotator, drawn)
    usable = counts.pending if not drawn else round(counts.pending * len(tokens) / len(drawn))
    each = _mean(tokens)
    per_second = journal.pace(annotator.id)
    total = Usage(round(usable * each.value) if each else 0, usable * answers)
    priced = 0.0 if annotator.engine.capabilities.free else price.cost(total) if price else None
    return Plan(
        annotator=annotator.name,
        records=counts.records,
        pending=counts.pending,
        requests=usable,
        prompt_tokens=each,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        usd=priced,
        price_date=price.date if price else None,
        seconds=usable / per_second if per_second else None,
        unusable=unusable,
        accuracy=accuracy,
    )


def _prompt_sizes(annotator: PromptedAnnotator, records: Sequence[Record]) -> tuple[list[int], int, int]:
    """Return tokens of each prompt, the most tokens an answer takes, and how many records cannot be asked about."""
    tokens: list[int] = []
    answer = unusable = 0
    for record in records:
        try:
            request = annotator.request(record)
        except RecordRejected:
            unusable += 1
            continue
        tokens.append(annotator.engine.count_tokens(request.messages))
        answer = 1 if annotator.engine.capabilities.scores == "sequence" else request.max_tokens
    return tokens, answer, unusable


def _mean(values: Sequence[int]) -> Estimate | None:
    """Return mean and 95 % interval (normal), `None` for no values."""
    if not values:
        return None
    n = len(values)
    mean = sum(values) / n
    spread = 1.96 * (sum((value - mean) ** 2 for value in values) / max(n - 1, 1) / n) ** 0.5
    return Estimate(mean, mean - spread, mean + spread, 0.95, n, "mean of prompts rendered; normal interval")


def _reservoir(records: Iterable[Record], size: int, rng: random.Random) -> list[Record]:
    """Return a uniform draw from a stream of any length (Vitter 1985, algorithm R)."""
    drawn: list[Record] = []
    for i, record in enumerate(records):
        if i < size:
            drawn.append(record)
        elif (place := rng.randrange(i + 1)) < size:
            drawn[place] = record
    return drawn
