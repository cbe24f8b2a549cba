"""What a server says of its limits along with a reply, in the spellings in use (reliability R11)."""

import math
from collections.abc import Mapping
from typing import Final, Literal

from postil.engines._retry_after import moment, server_time
from postil.types import RateLimit

_Of = Literal["requests", "tokens", "input_tokens", "output_tokens"]


def _anthropic(of: _Of, name: str) -> tuple[_Of, str, str, str]:
    start = f"anthropic-ratelimit-{name}"
    return of, f"{start}-limit", f"{start}-remaining", f"{start}-reset"


# Limit, what remains, when it is whole again. OpenAI's spelling, which most have taken over; Anthropic's; one limit
# only; and the draft of the IETF.
_SPELLINGS: Final[tuple[tuple[_Of, str, str, str], ...]] = (
    ("requests", "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"),
    ("tokens", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    _anthropic("requests", "requests"),
    _anthropic("input_tokens", "input-tokens"),
    _anthropic("output_tokens", "output-tokens"),
    ("requests", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),
    ("requests", "ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"),
)


def rate_limits(headers: Mapping[str, str], now: float) -> tuple[RateLimit, ...]:
    """Return the limits that a reply's headers tell of, `now` in seconds since 1970; what cannot be read is absent."""
    found: dict[_Of, RateLimit] = {}
    for of, limit, remaining, reset in _SPELLINGS:
        if limit in headers and of not in found:
            told = _told(
                of, headers[limit], headers.get(remaining, ""), headers.get(reset, ""), server_time(headers, now)
            )
            if told is not None:
                found[of] = told
    return tuple(found.values())


def _told(of: _Of, limit: str, remaining: str, reset: str, now: float) -> RateLimit | None:
    most, left = _count(limit), _count(remaining)
    if not most or left is None or left > most:
        return None
    return RateLimit(of, most, left, moment(reset, now))


def _count(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None
