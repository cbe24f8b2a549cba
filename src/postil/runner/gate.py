"""Where the requests of a run wait until they may leave."""

import asyncio
import logging
import math
import random
import threading
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager, suppress
from typing import Final

from postil.errors import EngineError, RateLimited, ServerUnreachable
from postil.runner.halt import Halt, Stop
from postil.runner.limits import Limits, joined, left
from postil.runner.pace import ONE_REQUEST, Pool, Ticket
from postil.runner.policy import Policy
from postil.types import Completion, Engine, Metered, Usage

_SPREAD: Final = 0.1
_log = logging.getLogger("postil")

_WORTH_SAYING: Final = 10.0
"""Seconds of a pause that somebody who waits should know of."""

_SOON: Final = 1e-4
"""Seconds. A timer that rings a moment too early, by rounding, does not ring again and again."""


class Gate:
    """One for a run. A request that need not wait costs no task and no timer."""

    def __init__(self, engine: Engine, halt: Halt, rng: random.Random, policy: Policy) -> None:
        """Stand before an engine; `rng` only spreads waits."""
        self._account = engine.account if isinstance(engine, Metered) else None
        self._halt = halt
        self._rng = rng
        self._policy = policy
        # What it is until it is opened.
        self._limits = Limits(rng)
        self._pool = Pool()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._waiting: deque[tuple[asyncio.Future[Ticket | None], tuple[float, float, float]]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @contextmanager
    def opened(self) -> Generator[None, None, None]:
        """Let requests through, from the running event loop."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()
        self._limits = joined(self._account, self._woken, self._policy.concurrency, self._rng)
        self._pool = self._limits.pool(self._account.model if self._account else "")
        now = self._loop.time()
        for of, limit in (("requests", self._policy.requests_per_minute), ("tokens", self._policy.tokens_per_minute)):
            if limit is not None:
                self._pool.declare(of, limit, now)
        self._halt.on_stop = self._dismiss
        try:
            yield
        finally:
            self._cancel_timer()
            left(self._account, self._woken, self._limits)
            self._halt.on_stop = None

    @property
    def counts_tokens(self) -> bool:
        """Whether it needs to know how many tokens a request can take."""
        return self._pool.counts_tokens

    @property
    def has_answered(self) -> bool:
        """Whether the server has ever answered."""
        return self._limits.breaker.answered

    @property
    def down(self) -> ServerUnreachable | RateLimited | None:
        """That the server is down, or takes nothing, if it has been so for so long that it makes no sense to go on."""
        return self._limits.breaker.hopeless or self._limits.closed

    async def enter(self, most: Usage | None = None) -> Ticket:
        """Return when a request may leave; `most` is what it can come to, where tokens are limited.

        Raises:
            Stop: no request may leave any more.
        """
        self._halt.check()
        loop = self._loop or asyncio.get_running_loop()
        cost = ONE_REQUEST if most is None else (1, most.input_tokens, most.output_tokens)
        if not self._waiting:
            ticket = self._limits.admit(self._pool, cost, loop.time())
            if ticket is not None:
                return ticket
        future: asyncio.Future[Ticket | None] = loop.create_future()
        self._waiting.append((future, cost))
        if len(self._waiting) == 1:
            self._pump()
        try:
            ticket = await future
        except asyncio.CancelledError:
            # Called off in the moment between being let through and going.
            given = None if future.cancelled() else future.result()
            if given is not None:
                self._limits.withdraw(given)
            raise
        if ticket is None:
            raise Stop
        return ticket

    def quiet(self, ticket: Ticket) -> float:
        """Return how long a request that was let through must still wait: the server may have asked for quiet since.

        0 if it leaves now.
        """
        now = self._now()
        seconds = self._limits.paused(now)
        if not seconds:
            ticket.at = now
            return 0.0
        return seconds * (1 + _SPREAD * self._rng.random())

    def came(self, ticket: Ticket, completion: Completion) -> None:
        """Hear of a reply."""
        self._limits.came(ticket, completion.usage, completion.rate_limits, self._now())

    def failed(self, ticket: Ticket, error: EngineError, request: str, wait: float) -> None:
        """Hear that a request failed which has this digest, and may be tried again after so many seconds."""
        now = self._now()
        before = self._limits.paused(now)
        self._limits.failed(ticket, error, request, wait, self._policy, now)
        if not before and (pause := self._limits.paused(now)) >= _WORTH_SAYING:
            _log.warning("%s; going on in %.0f seconds", error.args[0], pause)

    def withdraw(self, ticket: Ticket) -> None:
        """Hear that a request did not leave, or that nobody waits for it any more."""
        self._limits.withdraw(ticket)

    def _now(self) -> float:
        return (self._loop or asyncio.get_running_loop()).time()

    # Waiting

    def _woken(self) -> None:
        """Let those through that may go by now; called from whichever thread has made room."""
        if not self._waiting or self._loop is None:
            return
        if threading.get_ident() == self._thread:
            self._pump()
        else:
            with suppress(RuntimeError):  # its loop is closed: that run is over
                self._loop.call_soon_threadsafe(self._pump)

    def _pump(self) -> None:
        self._cancel_timer()
        now = self._now()
        while self._waiting:
            if not self._halt.may_go_on():
                self._dismiss()
                return
            future, cost = self._waiting[0]
            if future.done():
                self._waiting.popleft()
                continue
            ticket = self._limits.admit(self._pool, cost, now)
            if ticket is None:
                self._ring_in(min(self._limits.wait(self._pool, cost, now), self._halt.seconds_left))
                return
            self._waiting.popleft()
            future.set_result(ticket)

    def _dismiss(self) -> None:
        """Send all away who wait: the run has stopped."""
        self._cancel_timer()
        while self._waiting:
            future, _ = self._waiting.popleft()
            if not future.done():
                future.set_result(None)

    def _ring_in(self, seconds: float) -> None:
        if self._loop is not None and seconds < math.inf:
            self._timer = self._loop.call_later(max(seconds, _SOON), self._pump)

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
