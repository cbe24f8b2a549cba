"""Servers on a virtual clock that limit what they take, and a crowd of workers that asks them through a gate."""

import asyncio
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Protocol

from postil.errors import EngineError, Overloaded, RateLimited
from postil.runner.gate import Gate
from postil.runner.halt import Halt, Stop
from postil.runner.policy import Policy
from postil.runner.retries import Retries
from postil.types import Account, Capabilities, Completion, Message, RateLimit, Usage

USAGE = Usage(100, 10)
_NUMBERS = count()


def clock() -> float:
    return asyncio.get_running_loop().time()


class Limit(Protocol):
    """What a server bears."""

    def take(self, now: float, tokens: float) -> float | None:
        """Take a request; else return in how many seconds it would be taken."""
        ...

    def words(self, now: float) -> tuple[RateLimit, ...]:
        """What the server says of it."""
        ...


@dataclass
class TokenBucket:
    """So many a minute, given back evenly, as OpenAI and Anthropic do."""

    per_minute: float
    burst: float
    of: Any = "requests"
    level: float = -1.0
    at: float = 0.0

    def _refill(self, now: float) -> None:
        self.level = self.burst if self.level < 0 else self.level
        self.level = min(self.burst, self.level + (now - self.at) * self.per_minute / 60)
        self.at = now

    def take(self, now: float, tokens: float) -> float | None:
        self._refill(now)
        amount = 1.0 if self.of == "requests" else tokens
        if self.level < amount - 1e-9:
            return (amount - self.level) * 60 / self.per_minute
        self.level -= amount
        return None

    def words(self, now: float) -> tuple[RateLimit, ...]:
        self._refill(now)
        return (
            RateLimit(self.of, self.burst, float(int(self.level)), (self.burst - self.level) * 60 / self.per_minute),
        )


@dataclass
class FixedWindow:
    """So many in every minute of the clock, as many gateways do."""

    per_minute: int
    minute: int = -1
    taken: int = 0

    def take(self, now: float, tokens: float) -> float | None:
        if int(now // 60) != self.minute:
            self.minute, self.taken = int(now // 60), 0
        if self.taken >= self.per_minute:
            return (self.minute + 1) * 60 - now
        self.taken += 1
        return None

    def words(self, now: float) -> tuple[RateLimit, ...]:
        return (RateLimit("requests", self.per_minute, self.per_minute - self.taken, (self.minute + 1) * 60 - now),)


@dataclass
class Server:
    """Answers after a time, or refuses at once; keeps who was refused when."""

    limit: Limit | None = None
    seconds: float = 0.2
    slots: float = float("inf")
    """How many it works on at once; the others wait in it."""
    most_at_once: float = float("inf")
    """Beyond which it refuses."""
    tells: bool = False
    """Whether it says what its limits are."""
    asks: Callable[[float], float | None] = lambda wait: wait
    """How it asks to wait, given how long that would be."""
    at: list[float] = field(default_factory=list[float])
    taken: int = 0
    refusals: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """When it refused, and until when it asked for quiet."""
    in_flight: int = 0
    most_in_flight: int = 0
    rng: random.Random = field(default_factory=lambda: random.Random(5))
    fails: Callable[[float], EngineError | None] = lambda _: None

    def __post_init__(self) -> None:
        self._free: asyncio.Semaphore | None = None
        self._account = Account(f"virtual {next(_NUMBERS)}", "m")

    # An engine, as far as a gate cares

    @property
    def account(self) -> Account:
        return self._account

    @property
    def identity(self) -> dict[str, Any]:
        return {"engine": "virtual"}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

    def count_tokens(self, messages: Any) -> int:
        return 100

    async def aclose(self) -> None:
        pass

    async def complete(self, request: Any = None) -> Completion:
        now = clock()
        self.at.append(now)
        error = self.fails(now)
        if error is not None:
            await asyncio.sleep(0.01)
            raise error
        if self.in_flight >= self.most_at_once:
            self.refusals.append((now, now))
            await asyncio.sleep(0.01)
            raise Overloaded("too many at once")
        wait = self.limit.take(now, USAGE.input_tokens + USAGE.output_tokens) if self.limit else None
        if wait is not None:
            asked = self.asks(wait)
            self.refusals.append((now, now + (asked or 0.0)))
            await asyncio.sleep(0.01)
            words = self.limit.words(now) if self.limit and self.tells else ()
            raise RateLimited("slow down", retry_after=asked, rate_limits=words)
        self.taken += 1
        words = self.limit.words(now) if self.limit and self.tells else ()
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        if self._free is None and self.slots < float("inf"):
            self._free = asyncio.Semaphore(int(self.slots))
        try:
            if self._free is not None:
                async with self._free:
                    await asyncio.sleep(self.seconds * (0.8 + 0.4 * self.rng.random()))
            else:
                await asyncio.sleep(self.seconds * (0.8 + 0.4 * self.rng.random()))
        finally:
            self.in_flight -= 1
        return Completion("ok", "stop", USAGE, rate_limits=words)


@dataclass
class Crowd:
    """Workers that ask a server so many things, as the runner does."""

    server: Server
    workers: int = 8
    requests: int = 1000
    policy: Policy | None = None
    seed: int = 0
    done: int = 0
    failed: int = 0
    error: EngineError | None = None
    ended: float = 0.0
    done_at: list[float] = field(default_factory=list[float])

    async def ask(self) -> "Crowd":
        policy = self.policy or Policy(self.workers)
        rng, halt = random.Random(self.seed), Halt(None)
        halt.start()
        gate = Gate(self.server, halt, rng, policy)
        retries = Retries(rng, policy.attempts, policy.first_wait)
        numbers = iter(range(self.requests))
        with gate.opened():
            await asyncio.gather(*(self._work(gate, retries, halt, numbers) for _ in range(policy.concurrency)))
        self.error = halt.error
        self.ended = clock()
        return self

    async def _work(self, gate: Gate, retries: Retries, halt: Halt, numbers: Iterator[int]) -> None:
        try:
            for number in numbers:
                await self._one(gate, retries, halt, number)
        except Stop:
            return

    async def _one(self, gate: Gate, retries: Retries, halt: Halt, number: int) -> None:
        attempt = 1
        while True:
            ticket = await gate.enter(USAGE if gate.counts_tokens else None)
            while quiet := gate.quiet(ticket):
                await halt.pause(quiet)
            try:
                completion = await self.server.complete()
            except EngineError as error:
                wait = retries.wait_after(error, attempt)
                gate.failed(ticket, error, str(number), wait)
                if gate.down is not None:
                    halt.stop("provider", gate.down)
                    raise Stop from None
                if not retries.again(error, attempt, has_answered=gate.has_answered):
                    self.failed += 1
                    return
                await halt.pause(wait)
                attempt += 1
                continue
            gate.came(ticket, completion)
            self.done += 1
            self.done_at.append(clock())
            return


__all__ = ["Crowd", "FixedWindow", "Limit", "Message", "Server", "TokenBucket", "clock"]
