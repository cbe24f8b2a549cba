"""The one retry layer: which attempt comes when, and a pause that all workers keep."""

import asyncio
import random
from dataclasses import dataclass, field
from typing import Final

from postil.errors import RateLimited, Transient

_LONGEST_WAIT: Final = 60.0


@dataclass(slots=True)
class Retries:
    """Waits between attempts: exponential with full jitter, never shorter than what the server asked for."""

    attempts: int
    rng: random.Random
    first_wait: float = 0.5
    _pause_until: float = field(default=0.0)

    def wait_after(self, error: Transient, attempt: int) -> float:
        """Return the seconds to wait after a failed attempt (1 is the first)."""
        backoff = min(_LONGEST_WAIT, self.first_wait * 2 ** (attempt - 1)) * self.rng.random()
        asked = min(error.retry_after or 0.0, _LONGEST_WAIT)
        return max(asked, backoff)

    def hold_back(self, error: Transient, wait: float) -> None:
        """Make every worker wait after the server asked for fewer requests (reliability R11)."""
        if isinstance(error, RateLimited):
            self._pause_until = max(self._pause_until, asyncio.get_running_loop().time() + wait)

    async def ready(self) -> None:
        """Return when no pause is on; those who waited start spread out, not all at once."""
        while (left := self._pause_until - asyncio.get_running_loop().time()) > 0:  # noqa: ASYNC110 - time, no event
            await asyncio.sleep(left * (1 + 0.1 * self.rng.random()))
