"""One request and its one answer: sent once, tried again where that helps, paid within the budget, written down."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from postil.errors import BrokenReply, DataError, EngineError, RunFatal, Transient
from postil.runner.halt import Halt, Stop
from postil.runner.identity import Digests
from postil.runner.money import Ledger, Worst
from postil.runner.retries import Retries
from postil.store import Intent, Journal
from postil.store.rows import MAY_BE_BILLED, completion_row
from postil.types import Completion, Engine, Outcome, Request, Usage

Read = Callable[[Completion | EngineError], Outcome | None]
"""How a question's answer, or the error in its place, ends its record; `None` where more is to be asked about it.

It is called once for a question, with what is written down.
"""

_NOTHING: Final = Worst()


@dataclass(frozen=True, slots=True)
class Question:
    """A request, on whose behalf it is made, and the digest of everything the engine is told."""

    request: Request
    digest: str
    record: str | None
    purpose: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a question: a completion, or the error that ended the last attempt, and where it is written."""

    intent: int
    reply: Completion | EngineError
    outcome: Outcome | None = None


class Asker:
    """Puts questions of one run to one engine. Equal questions are sent once and answered for all."""

    def __init__(
        self, journal: Journal, engine: Engine, *, annotator: str, ledger: Ledger, retries: Retries, halt: Halt
    ) -> None:
        """Write to a journal under an annotator's id; `begin` comes before the first question."""
        self.run = 0
        self._journal = journal
        self._engine = engine
        self._annotator = annotator
        self._ledger = ledger
        self._retries = retries
        self._halt = halt
        self._in_flight: dict[str, asyncio.Future[Answered | None]] = {}
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
            StoreError: the journal cannot be written.
        """
        asked = self._in_flight.get(question.digest)
        if asked is not None:
            # Shielded: this one may be called off, the others still want the answer.
            answered = await asyncio.shield(asked)
            if answered is None:
                raise Stop
            return await self._shared(answered, read)
        if question.digest in self._answered:
            known = self._journal.answered(question.digest)
            if known is not None:
                return await self._shared(Answered(*known), read)
        return await self._first(question, read)

    async def _shared(self, answered: Answered, read: Read | None) -> Answered:
        """Give a record the outcome of a reply that another one asked for."""
        if read is None:
            return answered
        outcome = read(answered.reply)
        if outcome is not None:
            await self._journal.write_outcome(outcome, answered.intent)
        return Answered(answered.intent, answered.reply, outcome)

    async def _first(self, question: Question, read: Read | None) -> Answered:
        future: asyncio.Future[Answered | None] = asyncio.get_running_loop().create_future()
        self._in_flight[question.digest] = future
        answered: Answered | None = None
        try:
            return (answered := await self._attempts(question, read))
        finally:
            # However it ended: those who wait get the answer, or learn that there is none in this run.
            del self._in_flight[question.digest]
            future.set_result(answered)

    async def _attempts(self, question: Question, read: Read | None) -> Answered:
        worst = self._worst(question.request)
        attempt = 1
        while True:
            answered = await self._attempt(question, attempt, worst, read)
            error = answered.reply
            if isinstance(error, RunFatal):
                self._halt.stop("provider", error)
                raise Stop
            if not isinstance(error, Transient) or attempt >= self._retries.attempts:
                return answered
            await self._retries.after(error, attempt)
            attempt += 1

    def _worst(self, request: Request) -> Worst:
        if not self._ledger.counts_tokens:
            return _NOTHING
        return self._ledger.worst(Usage(self._engine.count_tokens(request.messages), request.max_tokens))

    async def _attempt(self, question: Question, attempt: int, worst: Worst, read: Read | None) -> Answered:
        if not await self._ledger.reserve(worst):
            self._halt.stop("budget")
            raise Stop
        try:
            # Room in the budget may come late: by now a pause may be on, or the run may have stopped.
            await self._retries.ready()
            self._halt.check()
            intent = await self._journal.write_intent(self._intent(question, attempt, worst))
        except BaseException:
            self._ledger.cancel(worst)
            raise
        try:
            completion = await self._engine.complete(question.request)
            usd = self._ledger.cost(completion.usage)
        except EngineError as error:
            return await self._failed(intent, error, attempt, worst, read)
        except BaseException:
            # Called off, or a defect of the engine: the intent stays open, for it may have been paid.
            self._ledger.lose(worst)
            raise
        return await self._completed(question, intent, completion, usd, attempt, worst, read)

    def _intent(self, question: Question, attempt: int, worst: Worst) -> Intent:
        counted = worst is not _NOTHING
        return Intent(
            self.run,
            self._annotator,
            question.record,
            question.purpose,
            question.digest,
            attempt,
            worst.tokens if counted else None,
            worst.usd if counted else None,
        )

    async def _completed(
        self,
        question: Question,
        intent: int,
        completion: Completion,
        usd: float | None,
        attempt: int,
        worst: Worst,
        read: Read | None,
    ) -> Answered:
        outcome = defect = None
        try:
            reply = completion_row(intent, completion, usd)
        except DataError as error:
            fault = BrokenReply(f"the engine returned what is no completion: {error.args[0]}")
            return await self._failed(intent, fault, attempt, worst, read)
        try:
            outcome = read(completion) if read else None
        except Exception as error:
            # A defect in reading is no reason to lose a reply that was paid for.
            defect = error
        try:
            try:
                await self._journal.write_reply(reply, outcome)
            except DataError as error:
                defect = error
                await self._journal.write_reply(reply)
        except BaseException:
            self._ledger.lose(worst)
            raise
        self._answered.add(question.digest)
        self._ledger.settle(worst, completion.usage)
        if defect is not None:
            raise defect
        return Answered(intent, completion, outcome)

    async def _failed(self, intent: int, error: EngineError, attempt: int, worst: Worst, read: Read | None) -> Answered:
        if isinstance(error, MAY_BE_BILLED):
            self._ledger.lose(worst)
        else:
            self._ledger.settle(worst)
        again = isinstance(error, RunFatal) or (isinstance(error, Transient) and attempt < self._retries.attempts)
        outcome = None if again or read is None else read(error)
        await self._journal.write_error(intent, error, outcome)
        return Answered(intent, error, outcome)
