"""Prices, and a ledger that lets a request leave only if the budget holds it whatever it comes to."""

from dataclasses import dataclass
from typing import Literal

from postil.types import Budget, Usage


@dataclass(frozen=True, slots=True)
class Price:
    """Dollars for a million tokens, and the day the price was read."""

    input: float
    output: float
    cached: float | None = None
    """Of input tokens read from the provider's cache; `None`: as any input token."""
    date: str | None = None

    def cost(self, usage: Usage) -> float:
        """Return the dollars that a usage comes to."""
        cached = self.input if self.cached is None else self.cached
        fresh = usage.input_tokens - usage.cached_tokens
        return (fresh * self.input + usage.cached_tokens * cached + usage.output_tokens * self.output) / 1e6


FREE = Price(0.0, 0.0)

Limit = Literal["budget", "deadline"]


@dataclass(slots=True)
class Ledger:
    """Counts what is spent and what requests in flight may still cost, against a budget (reliability R12, I5)."""

    budget: Budget
    price: Price | None
    usd: float = 0.0
    tokens: int = 0
    requests: int = 0
    reserved_usd: float = 0.0
    reserved_tokens: int = 0

    def reserve(self, worst: Usage) -> bool:
        """Take room for a request that comes to `worst` at most; `False` if the budget has none."""
        usd = self.price.cost(worst) if self.price else 0.0
        tokens = worst.input_tokens + worst.output_tokens
        budget = self.budget
        if budget.usd is not None and self.usd + self.reserved_usd + usd > budget.usd + 1e-12:
            return False
        if budget.tokens is not None and self.tokens + self.reserved_tokens + tokens > budget.tokens:
            return False
        if budget.requests is not None and self.requests >= budget.requests:
            return False
        self.reserved_usd += usd
        self.reserved_tokens += tokens
        self.requests += 1
        return True

    def settle(self, worst: Usage, usage: Usage | None) -> float | None:
        """Replace a reservation by what it came to, nothing without usage; return dollars, `None` if not known."""
        self.reserved_usd -= self.price.cost(worst) if self.price else 0.0
        self.reserved_tokens -= worst.input_tokens + worst.output_tokens
        if usage is None:
            return 0.0
        self.tokens += usage.input_tokens + usage.output_tokens
        if self.price is None:
            return None
        usd = self.price.cost(usage)
        self.usd += usd
        return usd
