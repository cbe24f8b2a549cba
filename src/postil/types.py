"""The values that pass between the rooms, and the protocols at the seams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

JSON = Any
"""What `json.loads` returns: None, bool, int, float, str, list, dict."""

Answer = Mapping[str, JSON]
"""What a task accepts, as in the table of answers: `{"label": "positive"}`, `{"rating": 4}`."""

ConfidenceKind = Literal["logprob", "verbal", "votes", "student", "panel", "calibrated"]
GoldRole = Literal["demonstration", "search", "calibration", "certificate"]


@dataclass(frozen=True, slots=True)
class Record:
    """The thing annotated: named fields under an id."""

    id: str
    fields: Mapping[str, JSON]


@dataclass(frozen=True, slots=True)
class Confidence:
    """A probability of being right, with its kind. Missing confidence is `None`, never 1.0 (survey 0.03)."""

    value: float
    kind: ConfidenceKind


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one completion. `estimated` when the server did not say and we counted ourselves."""

    input_tokens: int
    output_tokens: int
    cached_tokens: int = 0
    estimated: bool = False


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where an outcome came from."""

    request: str | None = None
    """Digest of the request whose reply was read."""
    model: str | None = None
    """The model as the server named it."""
    at: str | None = None
    """UTC time, ISO 8601."""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One annotator's answer to one task for one record (survey 0.08)."""

    record: str
    annotator: str
    answer: Answer
    confidence: Confidence | None = None
    probabilities: Mapping[str, float] | None = None
    """Of the labels, after the prior was corrected for; they sum to 1 where one label excludes the others."""
    rationale: str | None = None
    part_confidences: Mapping[str, float] | None = None
    """Of the parts of a structured answer, by their places in it: "spans/0", "attributes/food", "links/2"."""
    evidence: tuple[Mapping[str, JSON], ...] = ()
    """Spans of the record that the answer rests on, each checked to stand there verbatim."""
    rejected: tuple[str, ...] = ()
    """What the reply said beside the answer that could not be used, with the reasons: counted, never guessed."""
    provenance: Provenance = Provenance()
    placings: Mapping[str, str] | None = None
    """How the quotes behind parts of the answer were found in the text, by the places of the parts: "spans/0" ->
    "exact", "form", "case" or "fuzzy" (reliability A9). `None` where nothing was quoted, or nobody knows."""


@dataclass(frozen=True, slots=True)
class Abstention:
    """The annotator declined to answer."""

    record: str
    annotator: str
    reason: str
    provenance: Provenance = Provenance()


@dataclass(frozen=True, slots=True)
class Failure:
    """No readable answer; `failure_class` is one word to count by, `message` what happened."""

    record: str
    annotator: str
    failure_class: str
    message: str
    provenance: Provenance = Provenance()


Outcome = Annotation | Abstention | Failure


@dataclass(frozen=True, slots=True)
class Estimate:
    """What every measurement returns. There is no estimate from no data: then there is `None`."""

    value: float
    low: float
    high: float
    level: float
    n: int
    method: str
    """How value and interval were made, in a few words."""


@dataclass(frozen=True, slots=True)
class Budget:
    """Limits on one run; `None` is no limit."""

    usd: float | None = None
    tokens: int | None = None
    requests: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Demonstration:
    """A solved record to show in a prompt (survey 1.02, with a rationale 1.03)."""

    record: Record
    answer: Answer
    rationale: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a prompt."""

    role: Literal["system", "user", "assistant"]
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """Everything that an engine is told; two equal requests may share one reply."""

    messages: tuple[Message, ...]
    max_tokens: int
    temperature: float = 0.0
    seed: int | None = None
    choices: tuple[str, ...] = ()
    """The only replies wanted; an engine that can scores them all."""
    schema: Mapping[str, JSON] | None = None
    """JSON schema of the reply, for engines that take one."""
    token_probabilities: bool = False
    """Whether the probability of each token of the reply is wanted, from engines that give it."""
    replicate: int = 0
    """Which asking of the same question it is: each number has a reply of its own (reliability C3)."""


FinishReason = Literal["stop", "length", "filter", "refusal", "input_cut"]
"""How a reply ended; `input_cut`: whatever it says, the server had cut the prompt (reliability A11)."""


@dataclass(frozen=True, slots=True)
class RateLimit:
    """One of a server's limits, as it told of it with a reply (reliability R11)."""

    of: Literal["requests", "tokens", "input_tokens", "output_tokens"]
    limit: float
    """How many there may be in a period, whose length servers do not say."""
    remaining: float
    """How many were left when the request arrived."""
    reset: float | None = None
    """Seconds from then until all are there again."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine returned."""

    text: str
    finish: FinishReason
    usage: Usage
    model: str | None = None
    choice_probabilities: tuple[float, ...] | None = None
    """One for each of the request's choices, normalised over them."""
    choice_mass: float | None = None
    """Probability that the unconstrained model put on the choices together, where known."""
    tokens: tuple[tuple[str, float], ...] | None = None
    """The tokens that make up `text`, in order, each with its probability; `None` where it was not wanted or known."""
    rate_limits: tuple[RateLimit, ...] = field(default=(), compare=False, repr=False)
    """What the server said of its limits along with the reply: for the runner's pace, and not journalled."""


Scores = Literal["none", "first_token", "sequence"]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What an engine can do. These decide what is asked; the model's name never does."""

    scores: Scores = "none"
    """`sequence`: probabilities of any choices; `first_token`: of choices that differ in their first letter."""
    schema: bool = False
    """Replies can be held to a JSON schema."""
    context_tokens: int | None = None
    reads: Literal["chat", "plain", "record"] = "chat"
    """`chat`: turns; `plain`: a base model that goes on writing; `record`: the bare record, no prompt."""
    free: bool = False
    """Costs no money."""
    token_probabilities: bool = False
    """Says how probable each token of a reply was."""


@runtime_checkable
class Engine(Protocol):
    """One request in, one completion out. Knows nothing of tasks, records, retries or budgets."""

    @property
    def identity(self) -> Mapping[str, JSON]:
        """All that can change its answers, as JSON: part of an annotator's id. No key is in it."""
        ...

    @property
    def capabilities(self) -> Capabilities:
        """What it can do."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Return the completion of a request.

        Raises:
            EngineError: the subclass says whether to try again.
        """
        ...

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return how many tokens a prompt has, estimated from above where the tokenizer is unknown."""
        ...

    async def aclose(self) -> None:
        """Release what it holds."""
        ...


@dataclass(frozen=True, slots=True)
class Account:
    """Whom a server counts requests for. Known in this process only: never written down, and no key is in it."""

    server: str
    """The same for all engines with one address and one key: they share back-off, pace and circuit breaker."""
    model: str
    """Most servers keep a count for each model."""


@runtime_checkable
class Metered(Protocol):
    """What engines have besides whose requests leave for a server, which may limit them or be down."""

    @property
    def account(self) -> Account:
        """Whom the server counts requests for."""
        ...


class DemonstrationSelector(Protocol):
    """Chooses the solved records that a prompt shows."""

    @property
    def identity(self) -> Mapping[str, JSON]:
        """All that can change its choice, as JSON: part of an annotator's id."""
        ...

    def select(self, record: Record) -> Sequence[Demonstration]:
        """Return demonstrations for a record, the most useful last; never the record or its near-duplicate."""
        ...


class CandidateSelector(Protocol):
    """Chooses the labels that a prompt offers for a record, out of a label set that is too large for one."""

    @property
    def identity(self) -> Mapping[str, JSON]:
        """All that can change its choice, as JSON: part of an annotator's id."""
        ...

    def select(self, record: Record) -> Sequence[str]:
        """Return the candidates for a record, the likeliest first."""
        ...


@dataclass(frozen=True, slots=True)
class Assessment:
    """How good one annotator's annotations are, against gold."""

    task: str
    kind: str
    annotator: str
    records: int
    """Records that have, or still await, an outcome."""
    gold: int
    """Gold records that may be used for measuring."""
    coverage: Estimate | None
    """Share of those gold records that have an annotation."""
    metrics: Mapping[str, Estimate] = field(default_factory=dict[str, Estimate])
    """Empty without gold: accuracy is then unknown."""
    per_label: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict[str, Mapping[str, Estimate]])
    """label -> {"precision", "recall", "f1"}; a metric that is undefined for a label is left out."""
    labels: tuple[str, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    """Rows are gold, columns the annotator's, in the order of `labels`."""
    reliability: tuple["ReliabilityBin", ...] = ()
    notes: tuple[str, ...] = ()
    """What a reader must know: too few records, confidence missing, undefined metrics."""


@dataclass(frozen=True, slots=True)
class ReliabilityBin:
    """Annotations of similar confidence: how often they were right."""

    confidence: float
    """Mean confidence in the bin."""
    accuracy: Estimate
