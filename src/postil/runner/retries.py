"""The one retry layer: whether a request is sent again, and when."""

import random
from dataclasses import dataclass
from typing import Literal

from postil.errors import EngineError, ServerUnreachable, Transient
from postil.runner.pace import LONGEST_WAIT
from postil.store.rows import MAY_BE_BILLED

__all__ = ["LONGEST_WAIT", "Retries"]


@dataclass(frozen=True, slots=True)
class Retries:
    """Waits between attempts: exponential with full jitter, never shorter than what the server asked for."""

    rng: random.Random
    attempts: int = 5
    first_wait: float = 0.5
    lost: Literal["resend", "hold"] = "resend"
    """Whether a request is sent again that may have been paid for (reliability R2)."""

    def again(self, error: EngineError, attempt: int, *, has_answered: bool) -> bool:
        """Return whether a request that failed (1 is the first attempt) is sent again.

        A server that cannot be reached is a wrong address, unless it has answered before: then it may come back.
        """
        if attempt >= self.attempts or (self.lost == "hold" and isinstance(error, MAY_BE_BILLED)):
            return False
        return isinstance(error, Transient) or (has_answered and isinstance(error, ServerUnreachable))

    def wait_after(self, error: EngineError, attempt: int) -> float:
        """Return the seconds to wait after a failed attempt."""
        backoff = min(LONGEST_WAIT, self.first_wait * 2 ** (attempt - 1)) * self.rng.random()
        asked = error.retry_after if isinstance(error, Transient) else None
        return max(min(asked or 0.0, LONGEST_WAIT), backoff)
