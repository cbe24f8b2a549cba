"""How many requests may be in flight: as many as the server makes good use of."""

import math
from typing import Final

_CLOSE: Final = 0.97
"""What is above this share of the number that was too much is tried with patience only."""

_PATIENCE: Final = 200
"""Good replies, for each refused one, before more is tried: fewer than 1 in 100 are refused then."""

_FORGOTTEN: Final = 1.1
_SHORTEST_ROUND: Final = 16
_BETTER: Final = 1.1
_SLOWER: Final = 1.5


class Window:
    """Grows as long as that helps, and is halved when the server has had enough.

    Additive increase, multiplicative decrease (Chiu and Jain 1989). It doubles until the first trouble (slow start,
    Jacobson 1988), and after trouble comes back quickly to just below where that was (binary increase, Xu, Harfoush
    and Rhee 2004).
    """

    def __init__(self, first: float) -> None:
        """Begin with a first size."""
        self.most = self.size = 1.0
        self._first = first
        self._hurt: float | None = None
        self._calm = self._refused = 0
        # Whether it stepped back because more in flight got no more done: then it feels its way, and never doubles.
        self._crowded = False
        self._since = -math.inf
        # The best round so far: replies a second, seconds a reply.
        self._best: tuple[float, float] | None = None
        self._begin(None)

    def allow(self, most: float) -> None:
        """Stay between 1 and `most` from now on."""
        self.most = max(1.0, most)
        self.size = min(self.most, self.size if self._hurt else max(self.size, self._first))

    def good(self, now: float, seconds: float, *, full: bool) -> None:
        """Hear of a reply that took so many seconds; `full` if as many were in flight as may be."""
        self._calm += 1
        if full and self.size < self.most:
            self.size = min(self.most, self.size + self._step())
        if now - seconds < self._since:
            # From before the last step back: it tells of what was then.
            return
        if self._began is None:
            self._began = now - seconds
        self._replies += 1
        self._seconds += seconds
        self._full += full
        if self._replies >= self._round:
            self._judge(now, now - self._began)

    def trouble(self, now: float, sent: float, in_flight: int) -> None:
        """Hear that the server has had enough, from a request that left at some time."""
        if sent <= self._since:
            # It left before the last step back, which was for it too.
            self._refused += 1
        else:
            self._step_back(now, max(1.0, min(self.size, in_flight)), 0.5)

    def _step_back(self, now: float, hurt: float, share: float) -> None:
        self._since = now
        self._hurt = hurt
        self.size = max(1.0, hurt * share)
        self._calm, self._refused, self._crowded = 0, 1, False
        self._begin(None)

    def _step(self) -> float:
        """Return by how much a good reply makes it larger."""
        if self._hurt is None:
            return 1.0
        gap = _CLOSE * self._hurt - self.size
        if gap > 0:
            return min(gap, max(gap, 1.0) / self.size)
        if self._calm < _PATIENCE * self._refused:
            return 0.0
        if self.size > _FORGOTTEN * self._hurt + 1 and not self._crowded:
            self._hurt = None
        return 1.0 / self.size

    def _judge(self, now: float, elapsed: float) -> None:
        """End a round: where more in flight take longer and no more get done, they only wait for each other."""
        if self._is_first:
            # It began with nothing in flight: its pace says little.
            self._begin(now)
            return
        pace, seconds = self._replies / max(elapsed, 1e-9), self._seconds / self._replies
        if 2 * self._full > self._replies:
            if self._best is None:
                self._best = pace, seconds
            elif pace > _BETTER * self._best[0]:
                self._best = pace, seconds
                if self._crowded:
                    self._hurt, self._crowded = None, False
            elif seconds > _SLOWER * self._best[1]:
                # By Little's law (1961), so many were in flight when most was done.
                enough = max(1.0, self._best[0] * self._best[1])
                self._best = None
                if enough < self.size:
                    self._step_back(now, enough, 1.0)
                    self._crowded = True
                    return
        self._begin(now)

    def _begin(self, now: float | None) -> None:
        self._began, self._is_first = now, now is None
        self._replies = self._full = 0
        self._seconds = 0.0
        self._round = max(_SHORTEST_ROUND, int(self.size))
