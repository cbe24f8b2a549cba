"""One renderer for zero-shot, few-shot and reasoned prompts.

The prompt function H(D, x) of the survey (0.14): pure, so that the same task, template, demonstrations and record
give the same bytes. Zero-shot is few-shot with no demonstrations, few-shot is chain-of-thought without rationales
(1.01, 1.02, 1.03, 1.06, 1.07). What is the same for every record comes first, so that prefix caches hit.
"""

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Final

from postil.errors import ContextExceeded, Mispaired, RecordRejected
from postil.prompts.templates import Template, load_template
from postil.tasks import AnswerForm, Option, Task
from postil.tasks.reading import clip, complete_text, not_readable
from postil.tasks.reasons import with_rationale
from postil.tasks.shown import Shown
from postil.types import Capabilities, Completion, Demonstration, Message, Record, Request

Count = Callable[[Sequence[Message]], int]

_RATIONALE_TOKENS: Final = 512
_MARK_TOKENS: Final = 16
_MARK: Final = re.compile(r"[0-9a-f]{8}(?![0-9A-Za-z])")
_AFTER_MARK: Final = re.compile(r"\s*[:：]?\s*")


def template_name(task: Task, form: AnswerForm, capabilities: Capabilities) -> str:
    """Return the newest template that suits a task, a form of answer and an engine."""
    return "record.v1" if capabilities.reads == "record" else f"{form.layout}.{task.language}.v1"


def form_of(task: Task, capabilities: Capabilities, *, echo: bool = False) -> AnswerForm:
    """Return how a task's answer is to be written: after a mark nothing is scored, and nothing held to a schema."""
    return task.form(replace(capabilities, scores="none", schema=False) if echo else capabilities)


class Prompt:
    """A task's question in one wording and one form of answer, ready to be put to records."""

    def __init__(self, task: Task, form: AnswerForm, template: Template, *, echo: bool = False) -> None:
        """Render what is the same for every record once; with `echo`, replies are to begin with their record's mark."""
        self.form = form
        self.template = template
        self.echo = echo
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
    def for_engine(
        cls, task: Task, capabilities: Capabilities, template: str | None = None, *, echo: bool = False
    ) -> "Prompt":
        """Return the prompt of a task for an engine with these capabilities; `template` overrules the choice."""
        form = form_of(task, capabilities, echo=echo)
        return cls(task, form, load_template(template or template_name(task, form, capabilities)), echo=echo)

    def render(self, record: Record, demonstrations: Sequence[Demonstration] = ()) -> tuple[Message, ...]:
        """Return the messages that ask about a record.

        Raises:
            MissingField: the record lacks a field that the task shows.
            EmptyRecord: nothing of the record is shown.
            RecordRejected: what is shown of it holds half a character.
        """
        shown = _whole(record, self._shown.render(record))
        messages = [*self._system]
        for demonstration in demonstrations:
            messages.extend(self._turns(_Key(demonstration)))
        messages.append(Message("user", self._question(record, shown)))
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
        Where demonstrations give reasons before the answer the reply will too: it gets room for them and is no bare
        choice (1.03).

        Raises:
            ContextExceeded: the record alone does not fit; it is never cut.
            MissingField, EmptyRecord: as `render`.
        """
        kept = list(demonstrations)
        while True:
            request = self._asking(self.render(record, kept), kept, max_tokens, temperature, seed)
            needed = 0 if context_tokens is None else _needed(request, count_tokens, context_tokens)
            if context_tokens is None or needed <= context_tokens:
                return request
            if not kept:
                raise ContextExceeded(
                    f"record {record.id!r}: prompt and answer need {needed} tokens, the context holds {context_tokens}",
                    hint="use a model with a longer context, or split the text",
                )
            kept.pop(0)

    def _asking(
        self,
        messages: tuple[Message, ...],
        shown: Sequence[Demonstration],
        max_tokens: int | None,
        temperature: float,
        seed: int | None,
    ) -> Request:
        form, room = self.form, self.form.max_tokens + (_MARK_TOKENS if self.echo else 0)
        reasoned = form.reasons == "before" and any(demonstration.rationale.strip() for demonstration in shown)
        return Request(
            messages,
            max_tokens or room + (_RATIONALE_TOKENS if reasoned else 0),
            temperature,
            seed,
            # No choice begins with a mark, or with reasons.
            choices=() if self.echo or reasoned else form.choices,
            schema=form.schema,
            token_probabilities=form.token_probabilities,
        )

    def repair(self, request: Request, record: Record, reply: str, reason: str) -> Request | None:
        """Return the request that shows a reply to its writer and says why it cannot be used (survey 0.01).

        `None` where nobody reads it: the template has no words for it, or the reply was empty.
        """
        if not self.template.repair or not reply.strip():
            return None
        words = self.template.fill("repair", reason=reason, contract=self._ask.contract)
        if self.echo:
            words = f"{words}\n{self._wanted(record)}"
        return replace(request, messages=(*request.messages, Message("assistant", reply), Message("user", words)))

    def unmarked(self, completion: Completion, record: Record) -> Completion:
        """Return the reply about a record without the mark that it begins with, if one was asked for.

        A reply that was given to somebody else's request has another mark (reliability R4).

        Raises:
            Mispaired: it has another record's mark.
            AnswerError: it has none, or is no whole reply.
        """
        if not self.echo:
            return completion
        text, mark = complete_text(completion), self._mark(record)
        if not text.startswith(mark):
            if (other := _MARK.match(text)) is not None:
                raise Mispaired(f"expected the mark {mark!r} of this record, got {other[0]!r}: {clip(text)!r}")
            raise not_readable(text, f"the mark {mark!r} at the beginning")
        after = _AFTER_MARK.match(completion.text, completion.text.rindex(text) + len(mark))
        start = after.end() if after else 0
        tokens = None if completion.tokens is None else tuple(_tokens_from(start, completion.tokens))
        return replace(completion, text=completion.text[start:], tokens=tokens)

    def _mark(self, record: Record) -> str:
        """Return what stands for a record and what is shown of it: both orders of a pair have marks of their own."""
        content = f"{record.id}\n{self._shown.render(record)}"
        return hashlib.sha256(content.encode("utf-8", "backslashreplace")).hexdigest()[:8]

    def _wanted(self, record: Record) -> str:
        return self.template.fill("echo", mark=self._mark(record))

    def _question(self, record: Record, shown: str) -> str:
        question = self.template.fill("user", record=shown, cue=self._ask.cue)
        return f"{self._wanted(record)}\n{question}" if self.echo else question

    def _option(self, option: Option) -> str:
        fill = self.template.fill
        line = fill("code", code=option.code, name=option.name) if option.code else fill("option", name=option.name)
        return line + (fill("definition", definition=option.definition) if option.definition else "")

    def _demonstration_turns(self, key: "_Key") -> tuple[Message, Message]:
        shown = key.demonstration
        answer = self._task.write(shown.answer, self.form, shown.record)
        match self.form.reasons if shown.rationale.strip() else "none":
            case "before":
                reply = self.template.fill("reasoned", rationale=shown.rationale, cue=self._ask.cue, answer=answer)
            case "inside":
                reply = self.template.fill("answer", answer=with_rationale(answer, shown.rationale))
            case "none":
                reply = self.template.fill("answer", answer=answer)
        if self.echo:
            reply = f"{self._mark(shown.record)} {reply}"
        question = self._question(shown.record, self._shown.render(shown.record))
        return Message("user", question), Message("assistant", reply)


def _whole(record: Record, shown: str) -> str:
    """Return what is shown of a record, if templates can hold it: they would turn half a character into others.

    Raises:
        RecordRejected: it holds half a character; two records that differ in it would be asked about as one.
    """
    if not shown.isascii():
        try:
            shown.encode()
        except UnicodeEncodeError as error:
            half = shown[error.start]
            raise RecordRejected(
                f"record {record.id!r} holds {half!r}, half a character (a lone surrogate), which no model can read",
                hint="mend the text where it was cut",
            ) from None
    return shown


def _tokens_from(start: int, tokens: Sequence[tuple[str, float]]) -> Iterator[tuple[str, float]]:
    """Yield the tokens that make up a text from a place on."""
    at = 0
    for text, probability in tokens:
        kept = text[max(0, start - at) :]
        at += len(text)
        if kept or (not text and at >= start):
            yield kept, probability


def _needed(request: Request, count_tokens: Count, context_tokens: int) -> int:
    """Return how many tokens prompt and answer need; a number that is no less will do where that one fits."""
    contents = [message.content for message in request.messages]
    # A token stands for at least one byte, a turn adds a few. Counting bytes is almost free for ASCII text.
    sizes = (len(each) if each.isascii() else len(each.encode("utf-8", "replace")) for each in contents)
    at_most = sum(sizes) + 16 * len(contents) + request.max_tokens
    if at_most <= context_tokens:
        return at_most
    return count_tokens(request.messages) + request.max_tokens


class _Key:
    """A demonstration as a cache key: demonstrations are drawn from a pool, so being the same object is enough."""

    __slots__ = ("demonstration",)

    def __init__(self, demonstration: Demonstration) -> None:
        self.demonstration = demonstration

    def __hash__(self) -> int:
        return id(self.demonstration)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.demonstration is other.demonstration
