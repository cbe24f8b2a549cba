"""How long a server asks to wait, in all the forms that servers use (reliability R11)."""

import math
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Final

_SECONDS: Final[Mapping[str, float]] = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART: Final = r"(\d+(?:\.\d+)?)(ms|s|m|h|d)"
_DURATION: Final = re.compile(rf"(?:{_PART})+\Z")
_PARTS: Final = re.compile(_PART)
_IN_WORDS: Final = re.compile(
    r"(?:try again|retry) (?:in|after) ((?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+)(?![a-z0-9])", re.IGNORECASE
)
_LONGEST_IN_WORDS: Final = 2_000

_REMAINING_AND_RESET: Final = (
    *((f"x-ratelimit-remaining{of}", f"x-ratelimit-reset{of}") for of in ("-requests", "-tokens", "")),
    *(
        (f"anthropic-ratelimit-{of}-remaining", f"anthropic-ratelimit-{of}-reset")
        for of in ("requests", "tokens", "input-tokens", "output-tokens")
    ),
    ("ratelimit-remaining", "ratelimit-reset"),
)

# Plain numbers from here on are moments since 1970, in seconds or milliseconds, not durations.
_MOMENT: Final = 1e9
_MOMENT_MS: Final = 1e12


def retry_after(headers: Mapping[str, str], words: str, now: float) -> float | None:
    """Return how many seconds a server asks to wait from `now` (seconds since 1970), `None` if it does not say.

    The most exact form wins: `retry-after-ms`; `retry-after` as seconds or as a date, which is compared with the
    server's own clock where it sent one; the `x-ratelimit-reset-*` of the limit that is used up; "try again in 20s"
    in the error's words. Forms that cannot be read, and negative ones, count as absent. Long waits are returned as
    they are: what is too long is the caller's business.
    """
    for seconds in _forms(headers, words, now):
        if seconds is not None and math.isfinite(seconds) and seconds >= 0:
            return seconds
    return None


def _forms(headers: Mapping[str, str], words: str, now: float) -> Iterator[float | None]:
    milliseconds = _number(headers.get("retry-after-ms", ""))
    yield None if milliseconds is None else milliseconds / 1000
    asked = headers.get("retry-after", "")
    yield _number(asked)
    yield _duration(asked)
    yield _until(asked, headers, now)
    yield _reset(headers, now)
    found = _IN_WORDS.search(words[:_LONGEST_IN_WORDS])
    yield _duration(found.group(1).lower()) if found else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _duration(text: str) -> float | None:
    if not _DURATION.match(text.strip()):
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in _PARTS.findall(text))


def _until(text: str, headers: Mapping[str, str], now: float) -> float | None:
    asked = _date(text)
    if asked is None:
        return None
    # A date in the past asks for no wait at all.
    return max(0.0, asked - server_time(headers, now))


def server_time(headers: Mapping[str, str], now: float) -> float:
    """Return the time by the server's own clock where it sent it, else ours: dates of the server's are by its own."""
    return _date(headers.get("date", "")) or now


@lru_cache(maxsize=16)
def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, OverflowError):
        return None


def _reset(headers: Mapping[str, str], now: float) -> float | None:
    """Return when the limit that is used up is renewed; where none says that it is, the one renewed first.

    To wait too short costs one more 429; to wait for a daily limit that was not reached would stall the run.
    """
    now = server_time(headers, now)
    limits = [
        (headers.get(remaining, ""), moment(headers.get(reset, ""), now)) for remaining, reset in _REMAINING_AND_RESET
    ]
    used_up = [wait for remaining, wait in limits if wait is not None and remaining.strip() == "0"]
    known = [wait for _, wait in limits if wait is not None]
    if used_up:
        return max(used_up)
    return min(known, default=None)


def moment(text: str, now: float) -> float | None:
    """Return in how many seconds the moment comes that a header names: as seconds, a length of time or a date."""
    number = _number(text)
    if number is None:
        return _duration(text) if _DURATION.match(text.strip()) else _iso(text, now)
    if not 0 <= number < math.inf:
        return None
    if number >= _MOMENT:
        return max(0.0, (number / 1000 if number >= _MOMENT_MS else number) - now)
    return number


def _iso(text: str, now: float) -> float | None:
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        return None
    return max(0.0, (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now)
