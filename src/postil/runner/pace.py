"""How many requests and tokens a server takes in a time: declared by the user, told by the server, or learnt."""

import math
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from postil.types import RateLimit

LONGEST_WAIT: Final = 60.0
"""Seconds. A server that asks for more is asked again after this long: its wish may be a slip."""

Counts = tuple[float, float, float]
"""Requests, input tokens, output tokens."""

ONE_REQUEST: Final[Counts] = (1, 0, 0)
"""Where nobody counts tokens."""

_AMOUNTS: Final[Mapping[str, Callable[[Counts], float]]] = {
    "requests": lambda counts: counts[0],
    "tokens": lambda counts: counts[1] + counts[2],
    "input_tokens": lambda counts: counts[1],
    "output_tokens": lambda counts: counts[2],
}

_MINUTE: Final = 60.0
# So much less than wanted is as good as all of it: sums of shares are off by rounding.
_ROUNDING: Final = 1e-9

_PERIODS: Final = (1.0, 10.0, 60.0, 3_600.0, 86_400.0)
_ALIKE: Final = 0.2
_TELLING: Final = 2.0
"""Seconds. Servers round times to seconds; less of a difference tells nothing."""

# As in `window`: just below what was too much, and further only after many good replies for each refused one.
_CLOSE: Final = 0.97
_PATIENCE: Final = 200
_STEP: Final = 100
_GROWTH: Final = 0.03
_FORGOTTEN: Final = 6
_RESUMES: Final = 32
_CONTRADICTED: Final = 2.5
_MEMORY: Final = 600.0
"""Seconds after which a limit may have become another one."""
_ANEW: Final = 2000
"""Good replies after which a server is believed again to have a pace."""
_ENOUGH: Final = 10
_WORTH: Final = 20
"""After so many times as long as the last trouble took, feeling for more is worth another one."""


@dataclass(slots=True)
class Ticket:
    """A request that may leave, or has left."""

    pool: "Pool"
    number: int
    """Of the requests to this model, in the order of leaving."""
    at: float
    """When it left."""
    cost: Counts
    """What it is counted as."""
    taken: Counts
    """All that had been counted when it left, itself included."""
    probe: bool = False
    """Whether it goes to see if the server is back."""


class Bucket:
    """So much a second, and a little at once where nothing was taken for a while (a token bucket)."""

    __slots__ = ("_at", "_level", "capacity", "rate")

    def __init__(self, rate: float, capacity: float, now: float) -> None:
        """Begin full."""
        self.rate = rate
        self.capacity = capacity
        self._level = capacity
        self._at = now

    @classmethod
    def per_minute(cls, limit: float, now: float) -> "Bucket":
        """Return the bucket that lets no more than `limit` through in any minute, evenly."""
        capacity = max(1.0, limit / _MINUTE)
        return cls((limit - capacity + 1) / _MINUTE, capacity, now)

    def wait(self, amount: float, now: float) -> float:
        """Return in how many seconds an amount can be taken: what is more than it holds, once it is full."""
        self._level = min(self.capacity, self._level + (now - self._at) * self.rate)
        self._at = now
        lacking = min(amount, self.capacity) - self._level
        return lacking / self.rate if lacking > _ROUNDING else 0.0

    def take(self, amount: float) -> None:
        """Take an amount; a negative one gives back."""
        self._level -= amount


class Told:
    """A limit as the server tells of it with its replies.

    Its word is about the moment when a request arrived: what has left since then is taken off, and what comes back
    with time is added. Some servers give back evenly, others all at once when a period is over. Which of them this is
    shows in the moment when all would be back: every request puts it off, or none does.
    """

    def __init__(self) -> None:
        """Know nothing yet."""
        self._number = 0
        self._limit = self._level = self._whole_at = math.inf
        self._at = self._taken = self._rate = 0.0
        # A word of before: how much had been taken then, and when all would have been back.
        self._before: tuple[float, float] | None = None
        self._evenly = False

    def hear(self, word: RateLimit, ticket: Ticket) -> None:
        """Take the server's word, which came with the reply to a request."""
        if ticket.number < self._number:
            return
        self._number, self._at, self._taken = ticket.number, ticket.at, _AMOUNTS[word.of](ticket.taken)
        self._limit, self._level = word.limit, word.remaining
        used = word.limit - word.remaining
        if word.reset is None:
            self._whole_at, self._rate = math.inf, word.limit / _MINUTE
            return
        self._whole_at = ticket.at + word.reset
        if used > 0 and word.reset > 0:
            self._compare(word.reset / used)
            self._rate = _usual(used / word.reset, word.limit) if self._evenly else 0.0

    def _compare(self, each: float) -> None:
        """Learn from two words how it comes back, where one request takes `each` seconds to come back, if evenly."""
        if self._before is None:
            self._before = self._taken, self._whole_at
            return
        taken, whole_at = self._before
        put_off = (self._taken - taken) * each
        if put_off >= _TELLING:
            self._evenly = self._whole_at - whole_at > put_off / 4
            self._before = self._taken, self._whole_at

    def wait(self, amount: float, taken: float, now: float) -> float:
        """Return in how many seconds an amount can be taken, if so much was taken so far."""
        if now >= self._whole_at:
            # A period is over: it is whole, and comes back by the minute, until the server says otherwise.
            self._level, self._taken, self._at, self._whole_at = self._limit, taken, now, math.inf
            self._rate = self._rate or self._limit / _MINUTE
        level = self._level + (now - self._at) * self._rate - (taken - self._taken)
        if level > self._limit:
            level = self._level = self._limit
            self._taken, self._at = taken, now
        lacking = min(amount, self._limit) - level
        if lacking <= _ROUNDING:
            return 0.0
        refilled = lacking / self._rate if self._rate else math.inf
        return min(refilled, self._whole_at - now, LONGEST_WAIT)

    def correct(self, ticket: Ticket, more: float) -> None:
        """Hear that so much more was taken for a request than was thought; the server's word may have known it."""
        if ticket.number <= self._number:
            self._taken += more


def _usual(rate: float, limit: float) -> float:
    """Return a rate without the rounding that servers do, if it is the limit by one of the usual periods."""
    near = (limit / period for period in _PERIODS if abs(limit / period - rate) <= _ALIKE * rate)
    return next(near, rate)


class Learnt:
    """The pace that a server bears which refuses requests and does not say how many it takes."""

    def __init__(self) -> None:
        """Know of no limit."""
        self.bucket: Bucket | None = None
        self._taken = self._refused = 0
        # How many had been taken when: at the seconds of the last minute, and when pauses were over.
        self._marks: deque[tuple[float, int]] = deque()
        self._resumes: deque[tuple[float, int]] = deque(maxlen=_RESUMES)
        # When the first request was refused since one was taken.
        self._trouble: float | None = None
        self._calm_from = 0.0
        # The pace that was good before the last step.
        self._sure = 0.0
        self._calm = self._patience = self._steps = 0
        # The most that were taken in a minute, and when.
        self._most, self._most_at = 0, 0.0
        self._good = 0
        self.gave_up = False
        """Whether the server refuses whatever the pace."""

    def sent(self, now: float) -> None:
        """Hear of a request that leaves."""
        if not self._marks or now >= self._marks[-1][0] + 1:
            self._mark(now)
        self._taken += 1
        if self.bucket is not None:
            self.bucket.take(1)

    def _mark(self, now: float) -> None:
        self._marks.append((now, self._taken))
        while self._marks[0][0] < now - _MINUTE:
            self._marks.popleft()
        in_a_minute = self._taken - self._marks[0][1]
        if in_a_minute >= self._most or now > self._most_at + _MEMORY:
            self._most, self._most_at = in_a_minute, now

    def withdrawn(self) -> None:
        """Hear of a request that has not left after all."""
        self._taken -= 1
        if self.bucket is not None:
            self.bucket.take(-1)

    def good(self, now: float) -> None:
        """Hear of a request that was taken: after many of them, feel for more, in larger and larger steps."""
        self._calm += 1
        self._good += 1
        if self.gave_up and (self._calm >= _PATIENCE or self._good >= _ANEW):
            self.gave_up = False
        if self.bucket is None:
            return
        if self._trouble is not None:
            self._calm_from = now + _WORTH * (now - self._trouble)
            self._trouble = None
        if self._calm < self._patience or self._calm % _STEP or now < self._calm_from:
            return
        self._sure = self.bucket.rate
        self.bucket.rate *= 1 + _GROWTH * 2**self._steps
        self._steps += 1
        if self._steps > _FORGOTTEN:
            self.bucket = None

    def refused(self, now: float) -> None:
        """Hear of a request that was refused."""
        self._taken -= 1
        self._refused += 1
        if self._trouble is None:
            self._trouble = now

    def resume(self, over: float, now: float) -> None:
        """Go on after a pause that was to be `over` at some time.

        As many as were taken of late, pauses included, are what the server bears. Of late is the last minute, for by
        the minute limits are counted; or less, if what was saved up before it was used up in it.
        """
        if not self._refused:
            return
        if not self.gave_up:
            self._learn(over, now)
        self._resumes.append((now, self._taken))
        self._patience = _PATIENCE * self._refused
        self._refused = self._calm = self._steps = 0

    def _learn(self, over: float, now: float) -> None:
        if self.bucket is not None and self._calm >= _STEP * self._refused:
            # It was good for long: the last step was too much, or it was no matter of pace at all.
            self.bucket.rate = self._sure
            return
        # A second's worth at the least that the limit can be: fewer say nothing.
        enough = max(_ENOUGH, self._most / (2 * _MINUTE))
        marks = [*self._marks][:1] + [mark for mark in self._resumes if self._taken - mark[1] >= enough][-1:]
        paces = [(self._taken - taken) / (over - at) for at, taken in marks if self._taken > taken and over > at]
        if paces:
            # A pace of its own making leads to a slower one each time, where it was no matter of pace at all.
            self._sure = rate = max(_CLOSE * min(paces), 1 / LONGEST_WAIT)
            self.bucket = Bucket(rate, max(1.0, rate / 10), now)
        if self.bucket is not None and self.bucket.rate * _MINUTE < self._most / _CONTRADICTED:
            # A limit by the minute lets no more than twice as many through in any minute: it is not the pace.
            self.gave_up, self.bucket, self._good = True, None, 0


class Pool:
    """The counts that a server keeps of one model's requests."""

    __slots__ = ("_taken", "declared", "learnt", "sent", "told")

    def __init__(self) -> None:
        """Know of no limit."""
        self.declared: dict[str, Bucket] = {}
        """By what they are of: requests, tokens."""
        self.told: dict[str, Told] = {}
        self.learnt = Learnt()
        self.sent = 0
        self._taken: Counts = (0, 0, 0)

    @property
    def counts_tokens(self) -> bool:
        """Whether it needs to know how many tokens a request can take."""
        return "tokens" in self.declared or not self.told.keys() <= {"requests"}

    @property
    def is_limited(self) -> bool:
        """Whether any limit is known."""
        return bool(self.declared or self.told) or self.learnt.bucket is not None

    def declare(self, of: str, limit: float, now: float) -> None:
        """Note what the user says that the server takes in a minute; the lowest that anybody says holds."""
        bucket, known = Bucket.per_minute(limit, now), self.declared.get(of)
        if known is None or bucket.rate < known.rate:
            self.declared[of] = bucket

    def wait(self, cost: Counts, now: float) -> float:
        """Return in how many seconds a request may leave."""
        bucket, wait = self.learnt.bucket, 0.0
        if bucket is not None and not self.told:
            wait = bucket.wait(1, now)
        for of, declared in self.declared.items():
            wait = max(wait, declared.wait(_AMOUNTS[of](cost), now))
        for of, told in self.told.items():
            wait = max(wait, told.wait(_AMOUNTS[of](cost), _AMOUNTS[of](self._taken), now))
        return wait

    def take(self, cost: Counts, now: float) -> Ticket:
        """Let a request leave."""
        self.sent += 1
        self.learnt.sent(now)
        self._count(cost)
        return Ticket(self, self.sent, now, cost, self._taken)

    def correct(self, ticket: Ticket, cost: Counts) -> None:
        """Hear what a request really came to; to nothing, if it never left."""
        before, ticket.cost = ticket.cost, cost
        more = (cost[0] - before[0], cost[1] - before[1], cost[2] - before[2])
        self._count(more)
        for of, told in self.told.items():
            told.correct(ticket, _AMOUNTS[of](more))

    def hear(self, ticket: Ticket, words: tuple[RateLimit, ...]) -> None:
        """Take the server's words on its limits."""
        for word in words:
            told = self.told.get(word.of)
            if told is None:
                told = self.told[word.of] = Told()
            told.hear(word, ticket)

    def _count(self, more: Counts) -> None:
        requests, read, written = self._taken
        self._taken = (requests + more[0], read + more[1], written + more[2])
        for of, declared in self.declared.items():
            declared.take(_AMOUNTS[of](more))
