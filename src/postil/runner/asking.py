"""One request and its one answer: sent once, tried again where that helps, paid within the budget, written down."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, NamedTuple

from postil.errors import BrokenReply, DataError, EngineError, NotSent, RunFatal
from postil.runner.gate import Gate
from postil.runner.halt import Halt, Stop
from postil.runner.identity import Digests
from postil.runner.money import Ledger, Worst, tokens_at_most
from postil.runner.pace import Ticket
from postil.runner.retries import Retries
from postil.store import Intent, Journal
from postil.store.rows import MAY_BE_BILLED, completion_row
from postil.types import Completion, Engine, Outcome, Request, Usage

Read = Callable[[Completion | EngineError], Outcome | None]
"""How a question's answer, or the error in its place, ends its record; `None` where more is to be asked about it.

It is called once for a question, with what is written down.
"""

_NOTHING: Final = Worst()


class Held(Exception):
    """The request may have been paid for already, and is not to be sent again: its record stays pending."""


# Tuples: of each of these, every record makes one, and a tuple is made in a third of the time.
class Question(NamedTuple):
    """A request, on whose behalf it is made, and the digest of everything the engine is told."""

    request: Request
    digest: str
    record: str | None
    purpose: str
    revision: int = 0
    """Of the outcome that its answer may lead to."""


class Answered(NamedTuple):
    """What came of a question: a completion, or the error that ended the last attempt, and where it is written."""

    intent: int
    reply: Completion | EngineError
    outcome: Outcome | None = None
    wait: float | None = None
    """Seconds until it is to be sent again; `None` if it is not."""


@dataclass(slots=True)
class UnderWay:
    """Requests that have left, and the most they can come to, as far as a budget needs to know."""

    requests: int = 0
    """On their way."""
    usd: float = 0.0
    dropped: int = 0
    """Called off: they may be paid for, and their intents stay open."""
    dropped_usd: float = 0.0

    def leave(self, worst: Worst) -> None:
        """Count a request that leaves."""
        self.requests += 1
        self.usd += worst.usd

    def back(self, worst: Worst) -> None:
        """Count a request that is back."""
        self.requests -= 1
        # No drift of rounding from one request to the next.
        self.usd = self.usd - worst.usd if self.requests else 0.0

    def drop(self, worst: Worst) -> None:
        """Count a request that nobody waits for any more."""
        self.dropped += 1
        self.dropped_usd += worst.usd


class Asker:
    """Puts questions of one run to one engine. Equal questions are sent once and answered for all."""

    def __init__(
        self,
        journal: Journal,
        engine: Engine,
        *,
        annotator: str,
        ledger: Ledger,
        retries: Retries,
        halt: Halt,
        gate: Gate,
        held: Iterable[str] = (),
    ) -> None:
        """Write to a journal under an annotator's id; `begin` comes before the first question.

        `held` are the digests of requests that must not be sent again.
        """
        self.run = 0
        self.under_way = UnderWay()
        self._journal = journal
        self._engine = engine
        self._annotator = annotator
        self._ledger = ledger
        self._retries = retries
        self._halt = halt
        self._gate = gate
        self._held = set(held)
        # Whom the askers of a question wait for that is on its way; `None` as long as there is one asker.
        self._in_flight: dict[str, asyncio.Future[Answered | None] | None] = {}
        self._answered = Digests(0)

    def begin(self, run: int, questions: int) -> None:
        """Work under the number of a run that expects so many questions."""
        self.run = run
        self._answered = Digests(self._journal.count_replies() + questions)
        for digest in self._journal.answered_requests():
            self._answered.add(digest)

    async def ask(self, question: Question, read: Read | None = None) -> Answered:
        """Return the answer to a question; with `read`, give its record the outcome in the same commit.

        Raises:
            Stop: the run has stopped; the record stays pending.
            Held: the request must not be sent again; the record stays pending.
            StoreError: the journal cannot be written.
        """
        if question.digest in self._in_flight:
            asked = self._in_flight[question.digest] or asyncio.get_running_loop().create_future()
            self._in_flight[question.digest] = asked
            # Shielded: this one may be called off, the others still want the answer.
            answered = await asyncio.shield(asked)
            if answered is None:
                raise Stop
            return await self._shared(answered, question, read)
        if question.digest in self._answered:
            known = self._journal.answered(question.digest)
            if known is not None:
                return await self._shared(Answered(*known), question, read)
        if question.digest in self._held:
            raise Held
        return await self._first(question, read)

    async def _shared(self, answered: Answered, question: Question, read: Read | None) -> Answered:
        """Give a record the outcome of a reply that another one asked for."""
        if read is None:
            return answered
        outcome = read(answered.reply)
        if outcome is not None:
            await self._journal.write_outcome(outcome, answered.intent, question.revision)
        return Answered(answered.intent, answered.reply, outcome)

    async def _first(self, question: Question, read: Read | None) -> Answered:
        self._in_flight[question.digest] = None
        answered: Answered | None = None
        try:
            return (answered := await self._attempts(question, read))
        finally:
            # However it ended: those who wait get the answer, or learn that there is none in this run.
            others = self._in_flight.pop(question.digest)
            if others is not None:
                others.set_result(answered)

    async def _attempts(self, question: Question, read: Read | None) -> Answered:
        most, attempt = self._most(question.request), 1
        worst = self._ledger.worst(most) if most is not None and self._ledger.counts_tokens else _NOTHING
        while True:
            answered = await self._attempt(question, attempt, most, worst, read)
            if answered.wait is None:
                if isinstance(answered.reply, RunFatal):
                    self._halt.stop("provider", answered.reply)
                    raise Stop
                return answered
            await self._halt.pause(answered.wait)
            attempt += 1

    def _most(self, request: Request) -> Usage | None:
        """Return the most that a request can come to, where budget or limits need to know."""
        if not (self._ledger.counts_tokens or self._gate.counts_tokens):
            return None
        return Usage(self._engine.count_tokens(request.messages), request.max_tokens)

    async def _attempt(
        self, question: Question, attempt: int, most: Usage | None, worst: Worst, read: Read | None
    ) -> Answered:
        if not await self._ledger.reserve(worst):
            self._halt.stop("budget")
            raise Stop
        ticket: Ticket | None = None
        try:
            ticket = await self._gate.enter(most)
            # Leave may come late: by now the run may have stopped.
            self._halt.check()
            intent = await self._journal.write_intent(self._intent(question, attempt, worst))
        except BaseException:
            if ticket is not None:
                self._gate.withdraw(ticket)
            self._ledger.cancel(worst)
            raise
        sent = _Sent(question, attempt, worst, read, intent, ticket)
        if self._gate.quiet(ticket):
            await self._keep_quiet(sent)
        self.under_way.leave(worst)
        try:
            completion = await self._engine.complete(question.request)
            usd = self._ledger.cost(completion.usage)
        except EngineError as error:
            return await self._failed(sent, error)
        except BaseException:
            # Called off, or a defect of the engine: the intent stays open, for it may have been paid.
            self.under_way.drop(worst)
            self._gate.withdraw(ticket)
            self._ledger.lose(worst)
            raise
        finally:
            self.under_way.back(worst)
        return await self._completed(sent, completion, usd)

    def _intent(self, question: Question, attempt: int, worst: Worst) -> Intent:
        counted = worst is not _NOTHING
        return Intent(
            self.run,
            self._annotator,
            question.record,
            question.purpose,
            question.digest,
            attempt,
            worst.tokens if counted else tokens_at_most(question.request),
            # Nothing, where requests cost nothing; not known, where the price is not.
            None if self._ledger.price is None else worst.usd,
        )

    async def _keep_quiet(self, sent: "_Sent") -> None:
        """Wait with a request whose intent is written: meanwhile the server has asked for quiet (reliability R11)."""
        try:
            while seconds := self._gate.quiet(sent.ticket):
                await self._halt.pause(seconds)
                self._halt.check()
        except BaseException as error:
            self._gate.withdraw(sent.ticket)
            self._ledger.cancel(sent.worst)
            if isinstance(error, Stop):
                not_sent = NotSent("not sent: the server had asked for quiet, and the run stopped")
                await self._journal.write_error(sent.intent, not_sent)
            raise

    async def _completed(self, sent: "_Sent", completion: Completion, usd: float | None) -> Answered:
        outcome = defect = None
        try:
            reply = completion_row(sent.intent, completion, usd)
        except DataError as error:
            return await self._failed(sent, BrokenReply(f"the engine returned what is no completion: {error.args[0]}"))
        self._gate.came(sent.ticket, completion)
        try:
            outcome = sent.read(completion) if sent.read else None
        except Exception as error:
            # A defect in reading is no reason to lose a reply that was paid for.
            defect = error
        try:
            try:
                await self._journal.write_reply(reply, outcome, sent.question.revision)
            except DataError as error:
                defect = error
                await self._journal.write_reply(reply)
        except BaseException:
            self._ledger.lose(sent.worst)
            raise
        self._answered.add(sent.question.digest)
        self._ledger.settle(sent.worst, completion.usage)
        if defect is not None:
            raise defect
        return Answered(sent.intent, completion, outcome)

    async def _failed(self, sent: "_Sent", error: EngineError) -> Answered:
        question, maybe_paid = sent.question, isinstance(error, MAY_BE_BILLED)
        if maybe_paid:
            self._ledger.lose(sent.worst)
        else:
            self._ledger.settle(sent.worst)
        again = self._retries.again(error, sent.attempt, has_answered=self._gate.has_answered)
        wait = self._retries.wait_after(error, sent.attempt)
        self._gate.failed(sent.ticket, error, question.digest, wait)
        down = self._gate.down
        last = not (again or down or isinstance(error, RunFatal))
        outcome = sent.read(error) if last and sent.read else None
        if maybe_paid and self._retries.lost == "hold":
            self._held.add(question.digest)
        await self._journal.write_error(sent.intent, error, outcome, question.revision)
        if down is not None:
            self._halt.stop("provider", down)
            raise Stop
        return Answered(sent.intent, error, outcome, wait if again else None)


class _Sent(NamedTuple):
    """One attempt at a question, whose intent is written."""

    question: Question
    attempt: int
    worst: Worst
    read: Read | None
    intent: int
    ticket: Ticket
