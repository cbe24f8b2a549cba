"""Looking ahead: what labelling the pending records takes, without spending anything."""

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Final

from postil.errors import RecordRejected
from postil.project.running import tally
from postil.runner import Price, PromptedAnnotator
from postil.runner.money import FREE
from postil.runner.prior import SMALLEST_BATCH, requests_ahead
from postil.store import Journal
from postil.tasks.shown import Shown
from postil.types import JSON, Estimate, Record, Usage

_LOOKED_AT: Final = 50
"""Prompts that are rendered and counted."""


_BATCH_SECONDS: Final = 24 * 3600.0
"""What providers promise for a batch; most end sooner."""
_ENOUGH: Final = 5
"""Replies from which tokens are measured: fewer say more about themselves than about those to come."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One way to have the requests answered."""

    usd: float | None
    """`None` where its price is not known."""
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """What labelling the pending records would take. Spends nothing by itself."""

    annotator: str
    records: int
    pending: int
    requests: int
    """Equal texts are asked about once, unless each reply is to bear its own record's mark (`echo`)."""
    prompt_tokens: Estimate | None
    """Tokens of one prompt, from prompts that were rendered and counted."""
    input_tokens: int
    output_tokens: int
    usd: float | None
    price_date: str | None
    seconds: float | None
    """From the pace of this annotator's own earlier requests; `None` before there are any."""
    unusable: int
    """Pending records that cannot be asked about: nothing to show, a field missing, or too long for the context."""
    accuracy: Estimate | None
    """On the gold labelled so far; `None` before there is any."""
    metric: str | None = None
    """Which figure `accuracy` is: for a rating the mean error, for spans their strict F1, and so on."""
    prior_requests: int = 0
    """Requests that come before the first label, to measure the model's prior, however few records a run is for.

    Those about records are among `requests`: their replies serve the labels too.
    """
    measured: int = 0
    """Replies of this annotator that the tokens of answers and the share of the cache were measured on; 0: guessed."""
    lanes: Mapping[str, "Lane"] = field(default_factory=dict[str, "Lane"])
    """`live`, `cached` (live, where as much of the prompts is cached as before) and `batch`."""

    def to_json(self) -> dict[str, JSON]:
        """Return what `postil plan --json` prints."""
        return asdict(self)


def plan(
    journal: Journal,
    annotator: PromptedAnnotator,
    price: Price | None,
    *,
    quality: tuple[str, Estimate] | None,
    rng: random.Random,
) -> Plan:
    """Return what is ahead, from all pending texts and the prompts of some drawn at random."""
    counts = tally(journal, annotator.id)
    ahead = _Ahead.of(journal.pending(annotator.id), annotator, rng)
    sizes = _Sizes.of(ahead.drawn, annotator)
    fit = len(sizes.tokens) / len(ahead.drawn) if ahead.drawn else 0.0
    prior = requests_ahead(journal, annotator) if counts.pending else 0
    # Inputs without content are no records.
    asked = round(ahead.texts * fit) * len(annotator.prompts)
    requests = asked + (prior if 0 < prior < SMALLEST_BATCH else 0)
    each = sizes.mean_over(ahead)
    seen = _Seen.of(journal, annotator)
    answer = sizes.answer if seen is None else seen.answer
    total = Usage(round(requests * each.value) if each else 0, round(requests * answer))
    pace = journal.pace(annotator.id)
    seconds = requests / pace if pace else None
    price = FREE if annotator.engine.capabilities.free else price
    return Plan(
        annotator=annotator.name,
        records=counts.records,
        pending=counts.pending,
        requests=requests,
        prompt_tokens=each,
        input_tokens=total.input_tokens,
        output_tokens=total.output_tokens,
        usd=price.cost(total) if price else None,
        price_date=price.date if price else None,
        seconds=seconds,
        unusable=ahead.unusable + ahead.texts - round(ahead.texts * fit),
        accuracy=quality[1] if quality else None,
        metric=quality[0] if quality else None,
        prior_requests=prior,
        measured=seen.replies if seen else 0,
        lanes=_lanes(price, total, seen, seconds),
    )


def _lanes(price: Price | None, total: Usage, seen: "_Seen | None", seconds: float | None) -> dict[str, Lane]:
    lanes = {"live": Lane(price.cost(total) if price else None, seconds)}
    if seen is not None and seen.cached:
        cached = Usage(total.input_tokens, total.output_tokens, round(seen.cached * total.input_tokens))
        lanes["cached"] = Lane(price.cost(cached) if price else None, seconds)
    batch = price.in_batches() if price else None
    if batch is not None:
        lanes["batch"] = Lane(batch.cost(total), _BATCH_SECONDS)
    return lanes


@dataclass(frozen=True, slots=True)
class _Seen:
    """What earlier replies of an annotator came to."""

    replies: int
    answer: float
    """Tokens of a reply, on average."""
    cached: float
    """Share of the prompts' tokens that the provider read from its cache."""

    @classmethod
    def of(cls, journal: Journal, annotator: PromptedAnnotator) -> "_Seen | None":
        """Return what was measured, `None` before there are enough replies."""
        spent = journal.spending(annotator=annotator.id)
        replies = journal.count_replies(annotator.id)
        if replies < _ENOUGH or not spent.input_tokens:
            return None
        return cls(replies, spent.output_tokens / replies, min(1.0, spent.cached_tokens / spent.input_tokens))


@dataclass(slots=True)
class _Ahead:
    """The texts that are pending, seen in one pass of which little is kept."""

    texts: int = 0
    """Those that are asked about: different ones, or with `echo` all."""
    size: int = 0
    """Of all of them, in bytes."""
    unusable: int = 0
    drawn: list[tuple[Record, int]] = field(default_factory=list[tuple[Record, int]])
    """A uniform draw of those texts, with their sizes (Vitter 1985, algorithm R)."""

    @classmethod
    def of(cls, records: Iterable[Record], annotator: PromptedAnnotator, rng: random.Random) -> "_Ahead":
        ahead, shown = cls(), Shown.parse(annotator.task.show)
        seen: set[int] = set()
        # A mark makes the prompts of equal texts different.
        marked = any(prompt.echo for prompt in annotator.prompts)
        for record in records:
            try:
                text = shown.render(record)
            except RecordRejected:
                ahead.unusable += 1
                continue
            if (asked := hash((record.id if marked else "", text))) not in seen:
                seen.add(asked)
                ahead._add(record, len(text.encode("utf-8", "backslashreplace")), rng)
        return ahead

    def _add(self, record: Record, size: int, rng: random.Random) -> None:
        self.texts += 1
        self.size += size
        if len(self.drawn) < _LOOKED_AT:
            self.drawn.append((record, size))
        elif (place := rng.randrange(self.texts)) < _LOOKED_AT:
            self.drawn[place] = record, size


@dataclass(frozen=True, slots=True)
class _Sizes:
    """Of some texts, their sizes and the tokens of their prompts."""

    sizes: Sequence[int]
    tokens: Sequence[int]
    answer: int
    """The most tokens that an answer takes."""

    @classmethod
    def of(cls, drawn: Iterable[tuple[Record, int]], annotator: PromptedAnnotator) -> "_Sizes":
        sizes: list[int] = []
        tokens: list[int] = []
        answer = 0
        for record, size in drawn:
            try:
                request = annotator.request(record)
            except RecordRejected:
                continue
            sizes.append(size)
            tokens.append(annotator.engine.count_tokens(request.messages))
            scored = annotator.engine.capabilities.scores == "sequence" and request.choices
            answer = 1 if scored else request.max_tokens
        return cls(sizes, tokens, answer)

    def mean_over(self, ahead: _Ahead) -> Estimate | None:
        """Return the mean tokens of a prompt over all texts ahead, `None` where no prompt was counted.

        The regression estimator (Cochran 1977, section 7.1): tokens follow from a text's size nearly, and the mean
        size of all texts is known.
        """
        n = len(self.tokens)
        if not n:
            return None
        size, tokens = sum(self.sizes) / n, sum(self.tokens) / n
        spread = sum((x - size) ** 2 for x in self.sizes)
        pairs = list(zip(self.sizes, self.tokens, strict=True))
        slope = sum((x - size) * (y - tokens) for x, y in pairs) / spread if spread else 0.0
        value = tokens + slope * (ahead.size / ahead.texts - size)
        residual = sum((y - tokens - slope * (x - size)) ** 2 for x, y in pairs) / max(n - 2, 1)
        error = 1.96 * (residual / n * max(0.0, 1 - n / ahead.texts)) ** 0.5
        method = "mean of prompts counted, corrected for the size of all texts; normal interval"
        return Estimate(value, value - error, value + error, 0.95, n, method)
