"""Whether requests may still leave, and waits that end when they no longer may."""

import asyncio
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

from postil.errors import EngineError

Stopped = Literal["budget", "deadline", "provider", "interrupted"]


class Stop(Exception):
    """No further request may leave; what is not done stays pending."""


class Halt:
    """The one place where a run is stopped. Requests in flight end; nothing new is sent."""

    def __init__(self, seconds: float | None) -> None:
        """Stop by itself `seconds` after `start`."""
        self.reason: Stopped | None = None
        self.error: EngineError | None = None
        self.on_stop: Callable[[], None] | None = None
        """Called in the run's loop when it stops."""
        self._seconds = seconds
        self._started = 0.0
        self._event = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Start the clock; called from the loop that the run is in."""
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        if self.reason is not None:
            self._event.set()

    @property
    def seconds(self) -> float:
        """How long the run has been going on."""
        return 0.0 if self._loop is None else self._loop.time() - self._started

    @property
    def seconds_left(self) -> float:
        """How long it may still go on."""
        return math.inf if self._seconds is None else max(0.0, self._seconds - self.seconds)

    def stop(self, reason: Stopped, error: EngineError | None = None) -> None:
        """Stop; the first reason and the first error are kept."""
        self.reason = self.reason or reason
        self.error = self.error or error
        self._tell()

    def interrupt(self) -> None:
        """Stop from anywhere: another thread, or a signal's handler, which must wake a loop that waits."""
        self.reason = self.reason or "interrupted"
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is closed: the run is over
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        self._event.set()
        if self.on_stop is not None:
            self.on_stop()

    def may_go_on(self) -> bool:
        """Return whether a request may leave."""
        if self.reason is None and self._seconds is not None and self.seconds >= self._seconds:
            self.stop("deadline")
        return self.reason is None

    def check(self) -> None:
        """Do nothing while requests may leave.

        Raises:
            Stop: they may not.
        """
        if not self.may_go_on():
            raise Stop

    async def pause(self, seconds: float) -> None:
        """Wait, but not beyond the moment when the run stops."""
        seconds = min(seconds, self.seconds_left)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(seconds, 0.0)):
                await self._event.wait()
