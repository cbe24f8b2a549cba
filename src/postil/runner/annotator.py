"""A prompted annotator: task + prompt + engine + demonstrations, one value with one identity."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Literal

from postil.canonical import digest
from postil.errors import AnswerError, EngineError
from postil.prompts import Prompt
from postil.runner.identity import request_digest
from postil.tasks import Reading, Task
from postil.types import (
    JSON,
    Abstention,
    Annotation,
    Completion,
    Confidence,
    Demonstration,
    DemonstrationSelector,
    Engine,
    Failure,
    Outcome,
    Provenance,
    Record,
    Request,
)

Calibration = Literal["batch", "content_free", "none"]


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn."""

    temperature: float = 0.0
    seed: int | None = None
    max_tokens: int | None = None
    """`None`: as many as the task's answer needs."""


@dataclass(frozen=True)
class PromptedAnnotator:
    """Asks an engine about records and reads its replies. Changes nothing and keeps nothing."""

    name: str
    task: Task
    engine: Engine
    prompt: Prompt
    selector: DemonstrationSelector | None = None
    sampling: Sampling = Sampling()
    calibration: Calibration = "none"
    prior: tuple[float, ...] | None = None
    """The model's prior over the prompt's choices, once it has been measured."""

    @cached_property
    def spec(self) -> Mapping[str, JSON]:
        """All that can change its answers, as JSON. The prior follows from it and the records."""
        return {
            "task": self.task.spec,
            "engine": self.engine.identity,
            "template": self.prompt.template.name,
            "answer": self.prompt.form.style,
            "demonstrations": None if self.selector is None else self.selector.identity,
            "sampling": asdict(self.sampling),
            "calibration": self.calibration,
        }

    @cached_property
    def id(self) -> str:
        """The digest of the spec."""
        return digest(self.spec)

    def request(self, record: Record) -> Request:
        """Return what the engine is asked about a record.

        Raises:
            RecordRejected: nothing can be asked about it; the subclass says why.
        """
        demonstrations: Sequence[Demonstration] = () if self.selector is None else self.selector.select(record)
        return self.prompt.request(
            record,
            demonstrations,
            count_tokens=self.engine.count_tokens,
            context_tokens=self.engine.capabilities.context_tokens,
            temperature=self.sampling.temperature,
            seed=self.sampling.seed,
            max_tokens=self.sampling.max_tokens,
        )

    def request_digest(self, request: Request) -> str:
        """Return the digest of everything the engine is told: equal digests may share one reply (reliability C1)."""
        return request_digest(self._engine_digest, request)

    @cached_property
    def _engine_digest(self) -> str:
        return digest(self.engine.identity)

    def read(self, record: Record, completion: Completion, request: str) -> Outcome:
        """Return the outcome of a reply: a reply that cannot be read is a failure, never a label."""
        provenance = Provenance(request, completion.model)
        try:
            reading = self.task.read(completion, self.prompt.form, record, self.prior)
        except AnswerError as error:
            return Failure(record.id, self.id, error.failure_class, str(error), provenance)
        if reading.answer is None:
            return Abstention(record.id, self.id, reading.abstained, provenance)
        return Annotation(
            record.id,
            self.id,
            reading.answer,
            confidence=self._confidence(reading),
            probabilities=reading.probabilities,
            rationale=reading.rationale or None,
            provenance=provenance,
        )

    def _confidence(self, reading: Reading) -> Confidence | None:
        """Return the confidence under its right kind: probabilities of a bare record's reader are a student's."""
        if reading.confidence is None or self.engine.capabilities.reads != "record":
            return reading.confidence
        return Confidence(reading.confidence.value, "student")

    def failed(self, record: str, error: EngineError) -> Failure:
        """Return the failure of a record for which there is no reply."""
        return Failure(record, self.id, error.failure_class, str(error))
