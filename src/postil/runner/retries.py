"""The one retry layer: which attempt comes when, and a pause that all workers keep."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final

from postil.errors import RateLimited, Transient
from postil.runner.halt import Halt

LONGEST_WAIT: Final = 60.0
"""Seconds. A server that asks for more is asked again after this long: its wish may be a slip."""


@dataclass(slots=True)
class Retries:
    """Waits between attempts: exponential with full jitter, never shorter than what the server asked for."""

    halt: Halt
    rng: random.Random
    attempts: int = 5
    first_wait: float = 0.5
    _pause_until: float = field(default=0.0)

    def wait_after(self, error: Transient, attempt: int) -> float:
        """Return the seconds to wait after a failed attempt (1 is the first)."""
        backoff = min(LONGEST_WAIT, self.first_wait * 2 ** (attempt - 1)) * self.rng.random()
        asked = min(error.retry_after or 0.0, LONGEST_WAIT)
        return max(asked, backoff)

    async def after(self, error: Transient, attempt: int) -> None:
        """Wait until the next attempt is due; where the server asked for fewer requests, all wait (reliability R11)."""
        wait = self.wait_after(error, attempt)
        if isinstance(error, RateLimited):
            self._pause_until = max(self._pause_until, asyncio.get_running_loop().time() + wait)
        await self.halt.pause(wait)

    async def ready(self) -> None:
        """Return when no pause is on; those who waited start spread out, not all at once.

        Raises:
            Stop: the run has stopped.
        """
        self.halt.check()
        while (left := self._pause_until - asyncio.get_running_loop().time()) > 0:
            await self.halt.pause(left * (1 + 0.1 * self.rng.random()))
            self.halt.check()
