"""Prices, and a ledger that lets a request leave only if the budget holds it whatever it comes to."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from postil.store import Spending, Unseen
from postil.types import Budget, Request, Usage


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million tokens, and the day the price was read."""

    input: float
    output: float
    cached: float | None = None
    """Of input tokens read from the provider's cache; `None`: as any input token."""
    date: str | None = None
    batch: float | None = None
    """The share of these prices that the batch lane costs; `None`: there is no price for it."""

    def in_batches(self) -> "Price | None":
        """Return the price of the batch lane, `None` where it is not known."""
        if self.batch is None:
            return None
        cached = None if self.cached is None else self.cached * self.batch
        return Price(self.input * self.batch, self.output * self.batch, cached, self.date)

    def cost(self, usage: Usage) -> float:
        """Return the dollars that a usage comes to."""
        cached = self.input if self.cached is None else self.cached
        # A server that says more came from its cache than it read counts the two apart.
        apart = usage.cached_tokens > usage.input_tokens
        fresh = usage.input_tokens if apart else usage.input_tokens - usage.cached_tokens
        return (fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output) / 1e6


FREE = Price(0.0, 0.0)

_TURN: Final = 16
"""Tokens that no turn of a prompt adds to those of its text."""

# Sums of prices are off by rounding; a budget of exactly what was spent is kept.
_ROUNDING: Final = 1e-12


@dataclass(frozen=True, slots=True)
class Worst:
    """The most that a request can come to, as far as the budget needs to know."""

    tokens: int = 0
    usd: float = 0.0


def tokens_at_most(request: Request) -> int:
    """Return as many tokens as a request cannot come to, whatever the tokenizer: each stands for a byte or more.

    It costs nothing to say, and is noted where nobody counts: should the reply be lost, a later budget must.
    """
    contents = [message.content for message in request.messages]
    read = sum(len(each) if each.isascii() else len(each.encode("utf-8", "replace")) for each in contents)
    return read + _TURN * len(contents) + request.max_tokens


@dataclass(slots=True)
class Ledger:
    """Counts what is spent and what requests in flight may still cost, against a budget (reliability R12, I5)."""

    budget: Budget
    price: Price | None
    usd: float = 0.0
    tokens: int = 0
    requests: int = 0
    _reserved_usd: float = 0.0
    _reserved_tokens: int = 0
    _in_flight: int = 0
    _settled: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self, spent: Spending, unseen: Unseen) -> None:
        """Count what the project has spent, and what it may have spent unseen: a budget is the project's, no run's."""
        self.usd = (spent.usd or 0.0) + unseen.usd
        self.tokens = spent.input_tokens + spent.output_tokens + unseen.tokens
        self.requests = spent.requests - spent.unsent

    @property
    def counts_tokens(self) -> bool:
        """Whether it must be known how many tokens a request can take: for a budget, even one that a later run has."""
        return self.budget.tokens is not None or (self.price is not None and self.price != FREE)

    def worst(self, usage: Usage) -> Worst:
        """Return what a usage comes to at most."""
        read, written = usage.input_tokens, usage.output_tokens
        usd = max(map(self.price.cost, (Usage(read, written), Usage(read, written, read)))) if self.price else 0.0
        return Worst(read + written, usd)

    async def reserve(self, worst: Worst) -> bool:
        """Take room for a request; `False` if the budget has none, not even once all requests in flight are settled."""
        while not self._fits(worst, self._reserved_usd, self._reserved_tokens):
            if not self._in_flight or not self._fits(worst, 0.0, 0):
                return False
            self._settled.clear()
            await self._settled.wait()
        return self.reserve_now(worst)

    def reserve_now(self, worst: Worst) -> bool:
        """Take room for a request without waiting for others to be settled; `False` if there is none now."""
        if not self._fits(worst, self._reserved_usd, self._reserved_tokens):
            return False
        self._reserved_usd += worst.usd
        self._reserved_tokens += worst.tokens
        self._in_flight += 1
        self.requests += 1
        return True

    def adopt(self, worst: Worst) -> None:
        """Hold as reserved what was counted as spent: an earlier run's request whose reply is still to come."""
        self.usd -= worst.usd
        self.tokens -= worst.tokens
        self._reserved_usd += worst.usd
        self._reserved_tokens += worst.tokens
        self._in_flight += 1

    def _fits(self, worst: Worst, reserved_usd: float, reserved_tokens: int) -> bool:
        budget = self.budget
        if budget.requests is not None and self.requests >= budget.requests:
            return False
        if budget.tokens is not None and self.tokens + reserved_tokens + worst.tokens > budget.tokens:
            return False
        return budget.usd is None or self.usd + reserved_usd + worst.usd <= budget.usd + _ROUNDING

    def cost(self, usage: Usage) -> float | None:
        """Return the dollars that a usage comes to, `None` where the price is not known."""
        return None if self.price is None else self.price.cost(usage)

    def cancel(self, worst: Worst) -> None:
        """Give a reservation back: its request has not left."""
        self._release(worst)
        self.requests -= 1

    def settle(self, worst: Worst, usage: Usage | None = None, usd: float | None = None) -> None:
        """Replace a reservation by what it came to: nothing, without a usage; `usd` where another price was agreed."""
        self._release(worst)
        if usage is not None:
            self.usd += (self.cost(usage) if usd is None else usd) or 0.0
            self.tokens += usage.input_tokens + usage.output_tokens

    def lose(self, worst: Worst) -> None:
        """Count a reservation as spent: the request may have been paid for, and nobody will say how much."""
        self._release(worst)
        self.usd += worst.usd
        self.tokens += worst.tokens

    def _release(self, worst: Worst) -> None:
        self._reserved_usd -= worst.usd
        self._reserved_tokens -= worst.tokens
        self._in_flight -= 1
        if not self._in_flight:
            # No drift of rounding from one pause to the next.
            self._reserved_usd, self._reserved_tokens = 0.0, 0
        self._settled.set()
