"""Many small writes, one durable commit: writes that arrive while a commit is under way share the next one."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar

import apsw

from postil.errors import StoreError
from postil.store.connection import transaction, write_error
from postil.store.sealing import Appender

Result = TypeVar("Result")
Write = Callable[[Appender], Result]
_Queued = tuple[Write[Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]

_LARGEST_GROUP: Final = 1024
_LONGEST_WAIT: Final = 0.005
"""Seconds that a write may wait for others, as long as every turn of the event loop brings some."""


class GroupCommit:
    """A thread that owns the writing connection; a write's result is there once it is on disk.

    The first error of the store ends all writing: a failed sync is never tried again, because the system may have
    dropped what it could not write (reliability D3).
    """

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        """Start the thread; the connection is used by nobody else from now on."""
        self._path = path
        self._connection = connection
        self._queue: deque[_Queued] = deque()
        self._wake = threading.Event()
        self._waking: asyncio.AbstractEventLoop | None = None
        self._closed = False
        self._broken: str | None = None
        self._thread = threading.Thread(target=self._work, name="postil-journal", daemon=True)
        self._thread.start()

    async def write(self, write: Write[Result]) -> Result:
        """Add rows in the next group and return what `write` returns, after the commit.

        Raises:
            StoreError: the group could not be written, or an earlier one.
        """
        return await self.submit(write)

    def submit(self, write: Write[Result]) -> "asyncio.Future[Result]":
        """Add rows in the next group; the future has what `write` returns, after the commit, or its StoreError.

        Raises:
            StoreError: the journal was closed.
        """
        if self._closed:
            raise StoreError(f"{self._path}: the journal was closed")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._queue.append((write, loop, future))
        if self._waking is not loop:
            self._waking = loop
            loop.call_soon(self._wake_up, loop, 0, loop.time() + _LONGEST_WAIT)
        return future

    def _wake_up(self, loop: asyncio.AbstractEventLoop, known: int, until: float) -> None:
        """Wake the thread after a turn of the loop that brought no further write: one group for all that is ready.

        A busy loop gets few large groups, each of which costs it as much as a small one; an idle loop waits for
        nothing.
        """
        queued = len(self._queue)
        if queued > known and loop.time() < until:
            loop.call_soon(self._wake_up, loop, queued, until)
            return
        self._waking = None
        self._wake.set()

    def close(self) -> None:
        """Write what is queued, end the thread and close its connection."""
        self._closed = True
        self._wake.set()
        self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        while not self._closed or self._queue:
            self._wake.wait()
            self._wake.clear()
            # What is queued meanwhile comes in the next group, whose own turns are being counted.
            left = len(self._queue)
            while left:
                size = min(left, _LARGEST_GROUP)
                self._settle([self._queue.popleft() for _ in range(size)])
                left -= size

    def _settle(self, group: list[_Queued]) -> None:
        results: list[Any] = []
        if self._broken is None:
            try:
                results = self._commit([write for write, _, _ in group])
            except Exception as error:
                # Whatever it was, nobody may be left waiting, and nothing may be written after it.
                self._broken = str(error) or type(error).__name__
        _tell(group, results, None if self._broken is None else write_error(self._path, self._broken))

    def _commit(self, writes: list[Write[Any]]) -> list[Any]:
        try:
            return self._transaction(writes, Appender(self._connection))
        except apsw.ConstraintError:
            # Somebody else has given a record its outcome since: theirs came first and holds.
            return self._transaction(writes, Appender(self._connection, first_holds=True))

    def _transaction(self, writes: list[Write[Any]], rows: Appender) -> list[Any]:
        results: list[Any] = []
        with transaction(self._connection):
            results += [write(rows) for write in writes]
            rows.flush()
        return results


def _tell(group: list[_Queued], results: list[Any], error: StoreError | None) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for i, (_, loop, future) in enumerate(group):
        by_loop.setdefault(loop, []).append((future, None if error else results[i]))
    for loop, pairs in by_loop.items():
        # A loop that was closed meanwhile has nobody left who waits.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_resolve, pairs, error)


def _resolve(pairs: list[tuple["asyncio.Future[Any]", Any]], error: StoreError | None) -> None:
    for future, result in pairs:
        if future.done():
            continue
        if error is None:
            future.set_result(result)
        else:
            future.set_exception(StoreError(str(error.args[0]), hint=error.hint))
