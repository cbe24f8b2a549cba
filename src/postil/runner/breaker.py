"""A server that fails whatever it is asked is left alone for a while, then asked once to see (Nygard 2007)."""

import math
from typing import Final

from postil.errors import EngineError, ServerUnreachable
from postil.runner.pace import LONGEST_WAIT

_IN_A_ROW: Final = 10
_OF_DIFFERENT: Final = 3


class Breaker:
    """Closed, requests go through; open, they wait, and now and then one of them is a probe."""

    __slots__ = ("_different", "_in_a_row", "_open_until", "_probing", "_trips", "answered", "hopeless")

    def __init__(self) -> None:
        """Begin closed."""
        self.answered = False
        """Whether the server has ever answered."""
        self.hopeless: ServerUnreachable | None = None
        """Set once enough probes have failed."""
        self._different: set[str] = set()
        self._in_a_row = self._trips = 0
        self._open_until: float | None = None
        self._probing = False

    @property
    def is_open(self) -> bool:
        """Whether requests are held back."""
        return self._open_until is not None

    def wait(self, now: float) -> float:
        """Return in how many seconds a request may leave; never by itself, while a probe is under way."""
        if self._open_until is None:
            return 0.0
        return math.inf if self._probing else max(0.0, self._open_until - now)

    def probe(self) -> bool:
        """Let a request leave and return whether it is a probe."""
        self._probing = self._open_until is not None
        return self._probing

    def withdraw(self) -> None:
        """Hear that the probe did not leave."""
        self._probing = False

    def answers(self) -> None:
        """Hear that the server answers."""
        self.answered = True
        if self._in_a_row:
            self.reset()

    def reset(self) -> None:
        """Close it."""
        self._different.clear()
        self._in_a_row = self._trips = 0
        self._open_until = self.hopeless = None
        self._probing = False

    def fails(self, now: float, error: EngineError, asked: str, *, probe: bool, first: float, trips: int) -> None:
        """Hear of a failure: open after several in a row, give up after so many failed probes.

        It stays open for `first` seconds, then for twice as long each time. One request that always fails is no sign
        that the server is down, so they must be of different ones.
        """
        self._in_a_row += 1
        if probe:
            self._trips += 1
            self._probing = False
        elif self._open_until is None:
            self._different.add(asked)
            if self._in_a_row < _IN_A_ROW or len(self._different) < _OF_DIFFERENT:
                return
        else:
            # It left before the server was known to be down.
            return
        self._open_until = now + min(LONGEST_WAIT, first * 2**self._trips)
        if self._trips >= trips:
            self.hopeless = ServerUnreachable(
                f"{self._in_a_row} requests in a row have failed, {self._trips} of them after growing waits; "
                f"the last one: {error.args[0]}",
                hint="See what is wrong with the server, then run again: what is pending goes on.",
            )
