"""One renderer for zero-shot, few-shot and reasoned prompts.

The prompt function H(D, x) of the survey (0.14): pure, so that the same task, template, demonstrations and record
give the same bytes. Zero-shot is few-shot with no demonstrations, few-shot is chain-of-thought without rationales
(1.01, 1.02, 1.03, 1.06, 1.07). What is the same for every record comes first, so that prefix caches hit.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache

from postil.errors import ContextExceeded
from postil.prompts.templates import Template, load_template
from postil.tasks import AnswerForm, Option, Task
from postil.tasks.shown import Shown
from postil.types import Capabilities, Demonstration, Message, Record, Request

Count = Callable[[Sequence[Message]], int]


def template_name(task: Task, capabilities: Capabilities) -> str:
    """Return the newest template that suits a task and an engine."""
    return "record.v1" if capabilities.reads == "record" else f"options.{task.language}.v1"


class Prompt:
    """A task's question in one wording and one form of answer, ready to be put to records."""

    def __init__(self, task: Task, form: AnswerForm, template: Template) -> None:
        """Render what is the same for every record once."""
        self.form = form
        self.template = template
        self._task = task
        self._shown = Shown.parse(task.show)
        self._ask = task.ask(form)
        system = template.fill(
            "system",
            instruction=self._ask.instruction,
            options="\n".join(map(self._option, self._ask.options)),
            contract=self._ask.contract,
        ).strip("\n")
        self._system = (Message("system", system),) if system else ()
        self._turns = lru_cache(maxsize=4096)(self._demonstration_turns)

    @classmethod
    def for_engine(cls, task: Task, capabilities: Capabilities, template: str | None = None) -> "Prompt":
        """Return the prompt of a task for an engine with these capabilities; `template` overrules the choice."""
        name = template or template_name(task, capabilities)
        return cls(task, task.form(capabilities), load_template(name))

    def render(self, record: Record, demonstrations: Sequence[Demonstration] = ()) -> tuple[Message, ...]:
        """Return the messages that ask about a record.

        Raises:
            MissingField: the record lacks a field that the task shows.
            EmptyRecord: nothing of the record is shown.
        """
        messages = [*self._system]
        for demonstration in demonstrations:
            messages.extend(self._turns(_Key(demonstration)))
        messages.append(Message("user", self._question(record)))
        return tuple(messages)

    def request(
        self,
        record: Record,
        demonstrations: Sequence[Demonstration],
        *,
        count_tokens: Count,
        context_tokens: int | None,
        temperature: float = 0.0,
        seed: int | None = None,
        max_tokens: int | None = None,
    ) -> Request:
        """Return the request about a record, with as many demonstrations as the context holds.

        The least useful demonstration, the first, is dropped until the prompt and its answer fit (survey 1.02).

        Raises:
            ContextExceeded: the record alone does not fit; it is never cut.
            MissingField, EmptyRecord: as `render`.
        """
        answer_tokens = max_tokens or self.form.max_tokens
        kept = list(demonstrations)
        while True:
            messages = self.render(record, kept)
            if context_tokens is None:
                break
            if _at_most(messages) + answer_tokens <= context_tokens:
                break
            needed = count_tokens(messages) + answer_tokens
            if needed <= context_tokens:
                break
            if not kept:
                raise ContextExceeded(
                    f"record {record.id!r}: prompt and answer need {needed} tokens, the context holds {context_tokens}",
                    hint="use a model with a longer context, or split the text",
                )
            kept.pop(0)
        return Request(messages, answer_tokens, temperature, seed, self.form.choices, self.form.schema)

    def _question(self, record: Record) -> str:
        shown = self._shown.render(record)
        return self.template.fill("user", record=shown, cue=self._ask.cue).lstrip("\n")

    def _option(self, option: Option) -> str:
        code = self.template.fill("code", code=option.code) if option.code else ""
        definition = self.template.fill("definition", definition=option.definition) if option.definition else ""
        return code + self.template.fill("option", name=option.name) + definition

    def _demonstration_turns(self, key: "_Key") -> tuple[Message, Message]:
        shown = key.demonstration
        answer = self._task.write(shown.answer, self.form)
        if shown.rationale:
            reply = self.template.fill("reasoned", rationale=shown.rationale, cue=self._ask.cue, answer=answer)
        else:
            reply = self.template.fill("answer", answer=answer)
        return Message("user", self._question(shown.record)), Message("assistant", reply.strip("\n"))


def _at_most(messages: Sequence[Message]) -> int:
    """Return a number of tokens that no prompt exceeds: a token stands for at least one byte, a turn adds a few."""
    return sum(len(message.content.encode("utf-8", "replace")) + 16 for message in messages)


class _Key:
    """A demonstration as a cache key: demonstrations are drawn from a pool, so being the same object is enough."""

    __slots__ = ("demonstration",)

    def __init__(self, demonstration: Demonstration) -> None:
        self.demonstration = demonstration

    def __hash__(self) -> int:
        return id(self.demonstration)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.demonstration is other.demonstration
