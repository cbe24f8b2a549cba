"""The one retry layer: whether a request is sent again, and when."""

import random
from dataclasses import dataclass
from typing import Final, Literal

from postil.errors import EngineError, Overloaded, RateLimited, ServerUnreachable, Transient
from postil.runner.pace import LONGEST_WAIT
from postil.store.rows import MAY_BE_BILLED

__all__ = ["LONGEST_WAIT", "Retries", "turned_away"]

_BELIEVED: Final = 31 * 86_400.0
"""Seconds. Limits are counted by the month at most; what is longer is no wish but a slip."""
_TURNED_AWAY: Final = 12
"""How often a request is sent at least that was only ever turned away; before that the run has stopped, unless others
are taken meanwhile."""


def turned_away(error: EngineError) -> bool:
    """Return whether the server asks for a longer wait than any of ours: it takes nothing now, whatever it is asked."""
    asked = error.retry_after if isinstance(error, (RateLimited, Overloaded)) else None
    return asked is not None and LONGEST_WAIT < asked <= _BELIEVED


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
        To be turned away uses up no attempt: whether that goes on is a question of the server, not of this request.
        """
        attempts = max(self.attempts, _TURNED_AWAY) if turned_away(error) else self.attempts
        if attempt >= attempts or (self.lost == "hold" and isinstance(error, MAY_BE_BILLED)):
            return False
        return isinstance(error, Transient) or (has_answered and isinstance(error, ServerUnreachable))

    def wait_after(self, error: EngineError, attempt: int) -> float:
        """Return the seconds to wait after a failed attempt."""
        backoff = min(LONGEST_WAIT, self.first_wait * 2 ** (attempt - 1)) * self.rng.random()
        asked = error.retry_after if isinstance(error, Transient) else None
        return max(min(asked or 0.0, LONGEST_WAIT), backoff)
