"""Kinds of annotation: what is asked, what counts as an answer, how it is read, compared, merged and shown.

A kind is one file here, a frozen dataclass that satisfies `Task`. `docs/adding-a-kind.md` builds one from nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, runtime_checkable

from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

Scale = Literal["nominal", "ordinal", "hierarchical", "interval"]
"""How two values of a kind compare: equal or not; by rank; by path; by distance."""

Language = Literal["en", "zh"]


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How a task wants its answer written, given what the engine can do."""

    style: Literal["label", "code", "json"]
    """`label`: the bare answer as text; `code`: a letter that stands for it; `json`: a JSON object that holds it."""
    max_tokens: int
    choices: tuple[str, ...] = ()
    """The replies wanted, in the order of the task's options; empty when the reply is JSON."""
    schema: Mapping[str, JSON] | None = None


@dataclass(frozen=True, slots=True)
class Option:
    """One of the answers offered in a prompt."""

    name: str
    definition: str = ""
    code: str = ""
    """The letter that stands for it, where the form asks for codes."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a template may show of a task. Fields only: templates hold no logic about kinds."""

    instruction: str
    options: tuple[Option, ...]
    contract: str
    """One sentence that says how to write the answer."""
    cue: str
    """What stands before the answer: "Label", "Rating"."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What a task made of a completion: an answer, or the reason why the annotator abstained."""

    answer: Answer | None
    abstained: str = ""
    confidence: Confidence | None = None
    probabilities: Mapping[str, float] | None = None
    rationale: str = ""
    """The reasons that the reply gave before its answer (survey 1.03)."""


@runtime_checkable
class Task(Protocol):
    """A versioned question with its answer schema. Owns both the asking and the reading."""

    kind: ClassVar[str]
    answer_keys: ClassVar[tuple[str, ...]]
    """The keys of its answers, as a gold file has them."""

    @property
    def name(self) -> str:
        """A short name, chosen by the user."""
        ...

    @property
    def instruction(self) -> str:
        """The question, in the user's words."""
        ...

    @property
    def show(self) -> str:
        """What of a record is shown: text with `{field}` in it."""
        ...

    @property
    def language(self) -> Language:
        """The language of the prompt around the record."""
        ...

    @property
    def scale(self) -> Scale:
        """How two of its values compare; decides which metrics are defined."""
        ...

    @property
    def labels(self) -> tuple[str, ...]:
        """Every value there is, in the user's order; for a rating its points as text."""
        ...

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `task_from_spec` makes an equal task; its hash is the task's version.

        All that can change an answer is in it. An order that matters stands in a list: the hash sorts keys.
        """
        ...

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how the answer is to be written for an engine with these capabilities."""
        ...

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        ...

    def write(self, answer: Answer, form: AnswerForm) -> str:
        """Return an answer as the model should write it: what demonstrations show. `read` inverts it."""
        ...

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the answer in a complete reply, its probabilities divided by `prior` where one is given.

        `record` is what was asked about: a kind whose answers point into a text finds the places there.

        Raises:
            AnswerError: the reply holds no answer; the subclass says why. Never guesses.
        """
        ...

    def accept(self, answer: Answer) -> Answer:
        """Return an answer from outside (gold, another tool) in its one canonical form.

        Raises:
            DataError: it is no answer to this task.
        """
        ...

    def value(self, answer: Answer) -> str | float:
        """Return the plain value that metrics compare: a label, or a number on an interval scale."""
        ...

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return how far two answers agree, 0 to 1; symmetric, 1 for equal answers."""
        ...

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return one answer out of weighted answers, `None` on a tie: a tie is a tie."""
        ...

    def describe(self, answer: Answer) -> str:
        """Return an answer as one short line of text for people."""
        ...
