"""Kinds of annotation: what is asked, what counts as an answer, how it is read, compared, merged and shown.

A kind is one file here, a frozen dataclass that satisfies `Task`. `docs/adding-a-kind.md` builds one from nothing.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol, runtime_checkable

from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

Scale = Literal[
    "nominal", "ordinal", "hierarchical", "interval", "set", "fields", "spans", "relations", "frames", "order", "text"
]
"""How two answers of a kind compare, which decides what is measured.

Values: equal or not; by rank; by path; by distance. Structures, compared part by part: a set of labels, named fields,
typed spans, triples, predicates with arguments, events in time, free text.
"""

VALUE_SCALES: Final = frozenset({"nominal", "ordinal", "hierarchical", "interval"})
"""The scales on which an answer is one plain value."""

Layout = Literal["options", "extraction", "pair", "writing"]
"""Families of templates: one of some options; parts of a text as JSON; two candidates side by side; free writing."""

Language = Literal["en", "zh"]

ReasonsAt = Literal["none", "before", "inside"]
"""Where a reply may give its reasons: not at all, as prose before the answer, as a field of its JSON object."""


@dataclass(frozen=True, slots=True)
class AnswerForm:
    """How a task wants its answer written, given what the engine can do."""

    style: Literal["label", "code", "json", "text"]
    """`label`: the bare answer as text; `code`: a letter that stands for it; `json`: a JSON object that holds it;
    `text`: the reply itself is the answer."""
    max_tokens: int
    choices: tuple[str, ...] = ()
    """The replies wanted, in the order of the task's options; empty when the reply is JSON or text."""
    schema: Mapping[str, JSON] | None = None
    layout: Layout = "options"
    """The family of templates that the question is put in."""
    token_probabilities: bool = False
    """Whether `read` uses the probabilities of the reply's tokens, for the confidence of parts."""
    reasons: ReasonsAt = "none"
    """Where the reasons of a demonstration are shown (survey 1.03): where the reply may have some of its own."""


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
    part_confidences: Mapping[str, float] | None = None
    """Of the answer's parts, by their places in it: "spans/0", "attributes/food"."""
    evidence: tuple[Mapping[str, JSON], ...] = ()
    """Spans of the record that the reply gave as its evidence, found in it verbatim."""
    rejected: tuple[str, ...] = ()
    """What the reply said beside the answer that could not be used, with the reasons."""
    placings: Mapping[str, str] | None = None
    """How quotes were found in the text, by the places of the answer's parts: "spans/0" -> "exact"."""


@runtime_checkable
class Task(Protocol):
    """A versioned question with its answer schema. Owns both the asking and the reading."""

    kind: ClassVar[str]
    answer_keys: ClassVar[tuple[str, ...]]
    """The keys of its answers, as a gold file has them."""
    other_keys: ClassVar[tuple[str, ...]]
    """Keys that an answer may have besides, or may be made of: the votes behind a rating, the quotes of a text."""

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

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return an answer as the model should write it: what demonstrations show. `read` inverts it.

        `record` is what the answer is about: a kind that points into a text says which of several places it means.
        """
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

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return an answer from outside (gold, another tool) in its one canonical form.

        With the record it is about, places in its text are checked against the text.

        Raises:
            DataError: it is no answer to this task, or not about this record.
        """
        ...

    def value(self, answer: Answer) -> str | float:
        """Return the plain value that metrics compare: a label, or a number on an interval scale.

        For a structure it is its canonical JSON: equal for equal answers, and for no others.
        """
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


@runtime_checkable
class NarrowableTask(Task, Protocol):
    """A task whose label set may be too large for a prompt: one can be made that offers some of the labels."""

    def narrowed(self, labels: Collection[str]) -> Task:
        """Return the task with these labels alone; its answers are answers to the whole task.

        Raises:
            TaskError: they are too few.
        """
        ...


@runtime_checkable
class CompoundTask(Task, Protocol):
    """A task that asks more than once about a record: in both orders, or stage after stage.

    Each question is a task of its own. Its own `form`, `ask`, `write` and `read` are those of the whole answer, for
    people and other tools; an engine is only ever asked the parts.
    """

    @property
    def parts(self) -> tuple[Task, ...]:
        """The questions, in the order in which they are asked."""
        ...

    def part_record(self, part: int, record: Record, earlier: Sequence[Answer]) -> Record:
        """Return what a part is asked about: the record, and what the answers to the parts before add or change."""
        ...

    def part_answer(self, part: int, answer: Answer) -> Answer:
        """Return the answer to a part that follows from an answer to the whole: what demonstrations show."""
        ...

    def combine(self, readings: Sequence[Reading]) -> Reading:
        """Return the reading of the whole out of those of its parts, none of which abstained."""
        ...
