"""What is known of a server under one key: how much it bears, how fast, and whether it is there (reliability R11).

Arithmetic only, on a clock that is passed in; `postil.runner.gate` does the waiting.
"""

import math
import random
import threading
from collections.abc import Callable
from typing import Final

from postil.errors import (
    AttemptTimedOut,
    ConnectionLost,
    EngineError,
    Overloaded,
    RateLimited,
    ServerFault,
    ServerUnreachable,
)
from postil.runner.breaker import Breaker
from postil.runner.pace import LONGEST_WAIT, ONE_REQUEST, Counts, Pool, Ticket
from postil.runner.policy import Policy
from postil.runner.retries import turned_away
from postil.runner.window import Window
from postil.types import Account, RateLimit, Usage

FIRST_IN_FLIGHT: Final = 8
"""Requests in flight at the start. They double with every round of replies, so that 256 take five rounds."""

_SPREAD: Final = 0.1
"""After a pause requests start apart, over this share of its length."""

_LONGEST_UNASKED: Final = 15.0
"""Seconds of a pause that nobody asked for: where limits are counted by the minute, a longer one would miss much."""

_FIRST_BREAK: Final = 4
"""How long the breaker stays open at first, in first waits of a retry."""

_LONG: Final = 600.0
"""Seconds. Whoever asks for a longer wait again and again is believed sooner than who asks for less."""
_SLIPS: Final = 3
_ROUNDS: Final = 10
"""Pauses on end after each of which the server asks for a wait that is too long: then the run stops."""

_FAILING: Final = (ServerFault, ConnectionLost, AttemptTimedOut, ServerUnreachable)


class Limits:
    """One for a server and key, shared by all runs of the process that ask there, in whichever thread."""

    def __init__(self, rng: random.Random, first: float = FIRST_IN_FLIGHT, *, breaks: bool = True) -> None:
        """Begin with `first` requests in flight; without `breaks` the server is taken to be always there."""
        self.window = Window(first)
        self.breaker = Breaker()
        self.in_flight = 0
        self._rng = rng
        self._breaks = breaks
        self._lock = threading.Lock()
        self._pools: dict[str, Pool] = {}
        self._runs: dict[Callable[[], None], int] = {}
        # Whether one of these is on: a pause, starting apart after it, an open breaker.
        self._held = False
        self._quiet_until = self._pause_until = self._apart_until = self._next_at = self._apart = 0.0
        self.closed: RateLimited | None = None
        """That the server takes nothing for longer than a run waits; set once it has said so often enough."""
        # Pauses on end after which nothing was taken, and those after which a wait was asked for that is too long.
        self._in_vain = self._turned_away = 0

    # Who asks

    def join(self, wake: Callable[[], None], concurrency: int) -> None:
        """Take in a run that has so many requests in flight at most; `wake` is called when one more may leave."""
        with self._lock:
            if not self._runs:
                # Somebody wants to try: what an earlier run had given up may work by now.
                self.breaker.reset()
                self.closed, self._turned_away = None, 0
            self._runs[wake] = concurrency
            self.window.allow(sum(self._runs.values()))

    def leave(self, wake: Callable[[], None]) -> bool:
        """Forget a run; return whether something was learnt that later runs should know."""
        with self._lock:
            self._runs.pop(wake, None)
            self.window.allow(sum(self._runs.values()))
            return bool(self._runs) or self._held or any(pool.is_limited for pool in self._pools.values())

    def pool(self, model: str) -> Pool:
        """Return the counts of a model."""
        with self._lock:
            return self._pools.setdefault(model, Pool())

    # Leaving

    def admit(self, pool: Pool, cost: Counts, now: float) -> Ticket | None:
        """Let a request leave, if it may."""
        with self._lock:
            if self.in_flight + 1 > self.window.size or (self._held and self._hold(now) > 0):
                return None
            if pool.is_limited and pool.wait(cost, now) > 0:
                return None
            self.in_flight += 1
            ticket = pool.take(cost, now)
            if self._held:
                ticket.probe = self.breaker.probe()
                self._next_at = now + 2 * self._apart * self._rng.random()
            return ticket

    def wait(self, pool: Pool, cost: Counts, now: float) -> float:
        """Return in how many seconds a request may leave by itself; for ever, if another must come back first."""
        with self._lock:
            if self.in_flight + 1 > self.window.size:
                return math.inf
            return max(self._hold(now), pool.wait(cost, now))

    def paused(self, now: float) -> float:
        """Return for how many more seconds the server has asked for quiet."""
        return max(0.0, self._pause_until - now)

    def _hold(self, now: float) -> float:
        """Return for how many seconds nothing may leave, whatever the pace."""
        if not self._held:
            return 0.0
        if now < self._pause_until:
            return self._pause_until - now
        for pool in self._pools.values():
            pool.learnt.resume(self._quiet_until, now)
        if now < self._apart_until:
            return max(self._next_at - now, self.breaker.wait(now))
        self._apart = 0.0
        self._held = self.breaker.is_open
        return self.breaker.wait(now)

    # Coming back

    def came(self, ticket: Ticket, usage: Usage, words: tuple[RateLimit, ...], now: float) -> None:
        """Hear of a reply."""
        with self._lock:
            self.breaker.answers()
            self._in_vain = self._turned_away = 0
            self.closed = None
            self.window.good(now, now - ticket.at, full=self.in_flight + 1 > self.window.size)
            self.in_flight -= 1
            ticket.pool.learnt.good(now)
            if ticket.cost is not ONE_REQUEST:
                ticket.pool.correct(ticket, (1, usage.input_tokens, usage.output_tokens))
            if words:
                ticket.pool.hear(ticket, words)
        self._wake()

    def failed(self, ticket: Ticket, error: EngineError, request: str, wait: float, policy: Policy, now: float) -> None:
        """Hear that a request failed which has this digest, and may be tried again after so many seconds."""
        with self._lock:
            # Where the pace is known, it is the pace that was wrong.
            if isinstance(error, (Overloaded, AttemptTimedOut)) or (
                isinstance(error, RateLimited) and not (ticket.pool.is_limited or ticket.pool.learnt.gave_up)
            ):
                self.window.trouble(now, ticket.at, self.in_flight)
            self.in_flight -= 1
            self._hear_wish(ticket, error)
            if isinstance(error, RateLimited):
                ticket.pool.hear(ticket, error.rate_limits)
                ticket.pool.learnt.refused(now)
                longer = self._longer(ticket, policy)
                self._pause(now, max(wait, longer), guessed=longer > wait)
            elif isinstance(error, Overloaded) and error.retry_after is not None:
                self._pause(now, wait)
            self._judge(now, ticket, error, request, policy)
        self._wake()

    def withdraw(self, ticket: Ticket) -> None:
        """Hear that a request did not leave, or that nobody waits for it any more."""
        with self._lock:
            self.in_flight -= 1
            ticket.pool.learnt.withdrawn()
            ticket.pool.correct(ticket, (0, 0, 0))
            if ticket.probe:
                self.breaker.withdraw()
        self._wake()

    def _hear_wish(self, ticket: Ticket, error: EngineError) -> None:
        """Tell a slip from a daily limit: that one is said again after each pause, and nothing is taken in between."""
        if not isinstance(error, (RateLimited, Overloaded)) or ticket.at < self._pause_until:
            return
        self._turned_away = self._turned_away + 1 if turned_away(error) else 0
        asked = error.retry_after or 0.0
        if self._turned_away >= (_SLIPS if asked > _LONG else _ROUNDS):
            wait = f"{asked / 60:.0f} minutes" if asked < 7200 else f"{asked / 3600:.0f} hours"
            self.closed = RateLimited(
                f"the server takes nothing for another {wait}, as it has said {self._turned_away} times over;"
                f" the last time: {error.args[0]}",
                hint="Run again after that: what is pending goes on.",
                retry_after=asked,
            )

    def _longer(self, ticket: Ticket, policy: Policy) -> float:
        """Return how long a pause must be at least: four times the last one, if nothing was taken since."""
        if ticket.at >= self._pause_until:
            self._in_vain += 1
        return min(policy.first_wait * 4 ** (self._in_vain - 2), _LONGEST_UNASKED) if self._in_vain > 1 else 0.0

    def _pause(self, now: float, seconds: float, *, guessed: bool = False) -> None:
        # Not a moment before, and somewhat later: other processes with the same key wait for the same moment.
        seconds = min(seconds, LONGEST_WAIT)
        until = now + seconds * (1 + _SPREAD * self._rng.random())
        if until > self._pause_until:
            # Where nobody said how long, it was over somewhere in between.
            self._quiet_until = now + (seconds / 2 if guessed else seconds)
            self._pause_until = self._next_at = until
            self._apart_until = until + _SPREAD * seconds
            self._apart = _SPREAD * seconds / self.window.size
            self._held = True

    def _judge(self, now: float, ticket: Ticket, error: EngineError, request: str, policy: Policy) -> None:
        """Tell a server that is down from one that answers."""
        if not self._breaks:
            return
        if not isinstance(error, _FAILING):
            self.breaker.answers()
            return
        first = _FIRST_BREAK * policy.first_wait * (0.75 + 0.5 * self._rng.random())
        self.breaker.fails(now, error, request, probe=ticket.probe, first=first, trips=policy.attempts)
        self._held = self._held or self.breaker.is_open

    def _wake(self) -> None:
        with self._lock:
            wakes = list(self._runs)
            if len(wakes) > 1:
                # Another one first each time: a run whose requests always wait would leave the others nothing.
                self._runs[wakes[0]] = self._runs.pop(wakes[0])
        for wake in wakes:
            wake()


_KNOWN: Final[dict[str, Limits]] = {}
_KNOWN_LOCK: Final = threading.Lock()


def joined(account: Account | None, wake: Callable[[], None], concurrency: int, rng: random.Random) -> Limits:
    """Return what is known of an account's server, with a run that asks there taken in.

    An engine without an account is within this process: nobody else asks it, and it is always there.
    """
    with _KNOWN_LOCK:
        if account is None:
            limits = Limits(rng, math.inf, breaks=False)
        else:
            limits = _KNOWN.setdefault(account.server, Limits(rng))
        limits.join(wake, concurrency)
        return limits


def left(account: Account | None, wake: Callable[[], None], limits: Limits) -> None:
    """Take a run out again; what was learnt is kept for later ones."""
    with _KNOWN_LOCK:
        if not limits.leave(wake) and account is not None and _KNOWN.get(account.server) is limits:
            del _KNOWN[account.server]
