"""A prompted annotator: task + prompt + engine + demonstrations, one value with one identity."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Final, Literal, NamedTuple

from postil.canonical import digest
from postil.errors import (
    AnswerError,
    CostCapReached,
    DataError,
    Endless,
    EngineError,
    Filtered,
    InputTruncated,
    Mispaired,
    RecordRejected,
    Refused,
    Transient,
    Truncated,
)
from postil.prompts import Prompt, form_of
from postil.runner.identity import request_digest
from postil.tasks import CompoundTask, NarrowableTask, Reading, Task
from postil.types import (
    JSON,
    Abstention,
    Annotation,
    Answer,
    CandidateSelector,
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
    Usage,
)

Calibration = Literal["batch", "content_free", "none"]

_NO_REPAIR: Final = (Refused, Filtered, InputTruncated, Mispaired, Endless)
"""Replies that are no slip of the pen: asking again would be asking somebody to change their mind, or somebody else."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How replies are drawn."""

    temperature: float = 0.0
    seed: int | None = None
    max_tokens: int | None = None
    """`None`: as many as the task's answer needs."""


class Asked(NamedTuple):
    """A request, and the digest of everything the engine is told."""

    request: Request
    digest: str


Inquiry = Generator[Asked, Completion | EngineError, Outcome]
"""All that is asked about one record: yields each request, is sent what came of it, and returns the outcome.

It is a pure function of the replies, so that the journal's replies lead to the same outcome again (invariant I6).
"""


@dataclass(frozen=True)
class PromptedAnnotator:
    """Asks an engine about records and reads its replies. Changes nothing and keeps nothing."""

    name: str
    task: Task
    engine: Engine
    prompts: tuple[Prompt, ...]
    """One for a task, or one for each part of a compound task."""
    selector: DemonstrationSelector | None = None
    sampling: Sampling = Sampling()
    calibration: Calibration = "none"
    repairs: int = 1
    """How often an answer that cannot be used is sent back with the reason."""
    candidates: CandidateSelector | None = None
    """Which labels of a large label set the prompt offers for a record; `None`: all of them."""
    max_tokens_per_record: int | None = None
    """The most that all requests about one record may take, replies included (reliability J5)."""
    prior: tuple[float, ...] | None = None
    """The model's prior over the prompt's choices, once it has been measured."""

    @cached_property
    def spec(self) -> Mapping[str, JSON]:
        """All that can change its answers, as JSON. The prior follows from it and the records."""
        return {
            "task": self.task.spec,
            "engine": self.engine.identity,
            "template": [prompt.template.name for prompt in self.prompts],
            "answer": [prompt.form.style for prompt in self.prompts],
            "demonstrations": None if self.selector is None else self.selector.identity,
            "sampling": asdict(self.sampling),
            "calibration": self.calibration,
            "repairs": self.repairs,
            "candidates": None if self.candidates is None else self.candidates.identity,
            "max_tokens_per_record": self.max_tokens_per_record,
            # Only where it is on: it makes no other annotator of one that never had it.
            **({"echo": True} if any(prompt.echo for prompt in self.prompts) else {}),
        }

    @cached_property
    def _compound(self) -> CompoundTask | None:
        """The task, if it is compound: to ask a protocol about each record would cost as much as all the rest."""
        return self.task if isinstance(self.task, CompoundTask) else None

    @cached_property
    def id(self) -> str:
        """The digest of the spec."""
        return digest(self.spec)

    @cached_property
    def parts(self) -> tuple[Task, ...]:
        """The tasks that are asked, one for each prompt."""
        return (self.task,) if self._compound is None else self._compound.parts

    def request(self, record: Record) -> Request:
        """Return what the engine is asked first about a record.

        Raises:
            RecordRejected: nothing can be asked about it; the subclass says why.
        """
        return self._request(0, *self._posed(0, record), self._shown(0, record, ()), record)

    def request_digest(self, request: Request) -> str:
        """Return the digest of everything the engine is told: equal digests may share one reply (reliability C1)."""
        return request_digest(self._engine_digest, request)

    @cached_property
    def _engine_digest(self) -> str:
        return digest(self.engine.identity)

    def inquiry(self, record: Record, replicate: int = 0) -> Inquiry:
        """Ask about a record until there is an outcome: a reply that cannot be read is a failure, never a label.

        Each replicate is an inquiry of its own, with replies of its own (reliability C3).
        """
        readings: list[Reading] = []
        allowance = _Allowance(self.max_tokens_per_record, self.engine)
        try:
            for part in range(len(self.prompts)):
                shown = self._shown(part, record, readings)
                task, prompt = self._posed(part, record)
                request = self._request(part, task, prompt, shown, record)
                first = self._asked(replace(request, replicate=replicate) if replicate else request)
                reading, asked, model = yield from self._question(task, prompt, shown, first, allowance)
                readings.append(reading)
                if reading.answer is None or part + 1 == len(self.prompts):
                    return self._outcome(record, readings, Provenance(asked.digest, model))
        except _Unanswered as unanswered:
            return Failure(
                record.id, self.id, unanswered.error.failure_class, str(unanswered.error), unanswered.provenance
            )
        except (RecordRejected, Transient) as error:
            return self.failed(record.id, error)
        raise AssertionError("an annotator has at least one prompt")

    def _question(
        self, task: Task, prompt: Prompt, record: Record, asked: Asked, allowance: "_Allowance"
    ) -> Generator[Asked, Completion | EngineError, tuple[Reading, Asked, str | None]]:
        """Ask one part, with a higher ceiling where the reply was cut and a repair where it was wrong."""
        repairs, raised = self.repairs, False
        prior = self.prior if len(self.prompts) == 1 else None
        while True:
            allowance.check(asked.request)
            reply = yield asked
            if isinstance(reply, EngineError):
                raise _Unanswered(reply, Provenance())
            allowance.take(reply.usage)
            try:
                return task.read(prompt.unmarked(reply, record), prompt.form, record, prior), asked, reply.model
            except AnswerError as error:
                unanswered = _Unanswered(error, Provenance(asked.digest, reply.model))
                again: Request | None = None
                if isinstance(error, Truncated):
                    # Once, with twice the room: the same ceiling would cut it again (reliability A2).
                    again = None if raised or not self.repairs else self._with_more_room(asked.request)
                    raised = True
                elif repairs > 0 and not isinstance(error, _NO_REPAIR):
                    repairs -= 1
                    again = prompt.repair(asked.request, record, reply.text, str(error))
                if again is None or not self._fits(again):
                    raise unanswered from None
                asked = self._asked(again)

    def _shown(self, part: int, record: Record, readings: Sequence[Reading]) -> Record:
        """Return what a part is asked about, given what was read from the replies to the parts before."""
        if self._compound is None:
            return record
        return self._compound.part_record(part, record, [each.answer for each in readings if each.answer is not None])

    def _posed(self, part: int, record: Record) -> tuple[Task, Prompt]:
        """Return the task and the prompt of a part, narrowed to the candidates for a record where there are any."""
        task, prompt = self.parts[part], self.prompts[part]
        if self.candidates is None or not isinstance(task, NarrowableTask):
            return task, prompt
        narrowed = task.narrowed(frozenset(self.candidates.select(record)))
        form = form_of(narrowed, self.engine.capabilities, echo=prompt.echo)
        return narrowed, Prompt(narrowed, form, prompt.template, echo=prompt.echo)

    def _request(self, part: int, task: Task, prompt: Prompt, shown: Record, record: Record) -> Request:
        demonstrations: Sequence[Demonstration] = () if self.selector is None else self.selector.select(record)
        if self._compound is not None:
            demonstrations = [_of_part(self._compound, part, each) for each in demonstrations]
        elif self.candidates is not None:
            # A label that is not offered would teach the model to answer what is not read.
            demonstrations = [each for each in demonstrations if _is_answer(task, each.answer)]
        return prompt.request(
            shown,
            demonstrations,
            count_tokens=self.engine.count_tokens,
            context_tokens=self.engine.capabilities.context_tokens,
            temperature=self.sampling.temperature,
            seed=self.sampling.seed,
            max_tokens=self.sampling.max_tokens,
        )

    def _asked(self, request: Request) -> Asked:
        return Asked(request, self.request_digest(request))

    def _fits(self, request: Request) -> bool:
        context = self.engine.capabilities.context_tokens
        return context is None or self.engine.count_tokens(request.messages) + request.max_tokens <= context

    def _with_more_room(self, request: Request) -> Request | None:
        # A ceiling that the user set is not ours to raise.
        return None if self.sampling.max_tokens is not None else replace(request, max_tokens=2 * request.max_tokens)

    def _outcome(self, record: Record, readings: Sequence[Reading], provenance: Provenance) -> Outcome:
        reading = readings[-1]
        if reading.answer is not None and self._compound is not None:
            try:
                reading = self._compound.combine(readings)
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
            part_confidences=reading.part_confidences,
            evidence=reading.evidence,
            rejected=reading.rejected,
            provenance=provenance,
            placings=reading.placings,
        )

    def _confidence(self, reading: Reading) -> Confidence | None:
        """Return the confidence under its right kind: probabilities of a bare record's reader are a student's."""
        if reading.confidence is None or self.engine.capabilities.reads != "record":
            return reading.confidence
        return Confidence(reading.confidence.value, "student")

    def failed(self, record: str, error: EngineError) -> Failure:
        """Return the failure of a record for which there is no reply."""
        return Failure(record, self.id, error.failure_class, str(error))


class Interview:
    """An inquiry under way: what is to be asked next, and how it ended."""

    __slots__ = ("_inquiry", "asked", "outcome")

    def __init__(self, annotator: PromptedAnnotator, record: Record, replicate: int = 0) -> None:
        """Begin; where nothing can be asked, there is an outcome at once."""
        self._inquiry = annotator.inquiry(record, replicate)
        self.asked: Asked | None = None
        """What is to be asked, `None` at the end."""
        self.outcome: Outcome | None = None
        try:
            self.asked = next(self._inquiry)
        except StopIteration as end:
            self.outcome = end.value

    def take(self, reply: Completion | EngineError) -> Outcome | None:
        """Take what came of the question; return the outcome, `None` where more is to be asked."""
        try:
            self.asked = self._inquiry.send(reply)
        except StopIteration as end:
            self.asked, self.outcome = None, end.value
        return self.outcome


class _Allowance:
    """What may still be spent on one record; it follows from the replies alone, so that it can be derived again."""

    __slots__ = ("_engine", "_left", "_whole")

    def __init__(self, tokens: int | None, engine: Engine) -> None:
        self._whole = self._left = tokens
        self._engine = engine

    def check(self, request: Request) -> None:
        """Do nothing if a request fits whatever it comes to.

        Raises:
            CostCapReached: it may come to more.
        """
        if self._left is None:
            return
        most = self._engine.count_tokens(request.messages) + request.max_tokens
        if most > self._left:
            raise CostCapReached(
                f"the next request may take {most} tokens; of the {self._whole} for one record, {self._left} are left"
            )

    def take(self, usage: Usage) -> None:
        """Take off what a reply came to."""
        if self._left is not None:
            self._left -= usage.input_tokens + usage.output_tokens


class _Unanswered(Exception):
    """A question that ended without an answer."""

    def __init__(self, error: EngineError | AnswerError, provenance: Provenance) -> None:
        super().__init__(error)
        self.error = error
        self.provenance = provenance


def _of_part(task: CompoundTask, part: int, whole: Demonstration) -> Demonstration:
    """Return what a demonstration of the whole task shows of one of its parts."""
    answers = [task.part_answer(each, whole.answer) for each in range(part + 1)]
    return Demonstration(task.part_record(part, whole.record, answers[:part]), answers[part], whole.rationale)


def _is_answer(task: Task, answer: Answer) -> bool:
    try:
        task.accept(answer)
    except DataError:
        return False
    return True
