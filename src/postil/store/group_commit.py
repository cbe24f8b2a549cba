"""Many small writes, one durable commit: writes that arrive while a commit is under way share the next one."""

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, Final, TypeVar

import apsw

from postil.errors import StoreError

Result = TypeVar("Result")
_Write = tuple[Callable[[apsw.Connection], Any], asyncio.AbstractEventLoop, "asyncio.Future[Any]"]

_LARGEST_GROUP: Final = 1024


class GroupCommit:
    """A thread that owns the writing connection; a write's result is there once it is on disk.

    The first error of the store ends all writing: a failed sync is never tried again, because the system may have
    dropped what it could not write (reliability D3).
    """

    def __init__(self, connection: apsw.Connection) -> None:
        """Start the thread; the connection is used by nobody else from now on."""
        self._connection = connection
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._broken: StoreError | None = None
        self._thread = threading.Thread(target=self._work, name="postil-journal", daemon=True)
        self._thread.start()

    async def write(self, statements: Callable[[apsw.Connection], Result]) -> Result:
        """Run statements in the next group and return what they return, after the commit.

        Raises:
            StoreError: the group could not be written, or an earlier one.
        """
        if self._broken:
            raise self._broken
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Result] = loop.create_future()
        self._queue.put((statements, loop, future))
        return await future

    def close(self) -> None:
        """Write what is queued and end the thread."""
        self._queue.put(None)
        self._thread.join()

    def _work(self) -> None:
        open_ = True
        while open_:
            group: list[_Write] = []
            write = self._queue.get()
            while write is not None:
                group.append(write)
                if len(group) == _LARGEST_GROUP or self._queue.empty():
                    break
                write = self._queue.get()
            open_ = write is not None
            if group:
                self._commit(group)

    def _commit(self, group: list[_Write]) -> None:
        results: list[Any] = []
        try:
            if self._broken:
                raise self._broken
            with self._connection:
                results = [statements(self._connection) for statements, _, _ in group]
        except (apsw.Error, OSError, StoreError) as error:
            self._broken = error if isinstance(error, StoreError) else store_error(error)
            _tell(group, [self._broken] * len(group))
        else:
            _tell(group, results)


def store_error(error: BaseException) -> StoreError:
    """Return a database error in the user's terms."""
    hint = "nothing committed is lost; free some space or mend the disk, then run the same command again"
    return StoreError(f"the journal cannot be written: {error}", hint=hint)


def _tell(group: list[_Write], results: list[Any]) -> None:
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[Any], Any]]] = {}
    for (_, loop, future), result in zip(group, results, strict=True):
        by_loop.setdefault(loop, []).append((future, result))
    for loop, pairs in by_loop.items():
        # A loop that was closed meanwhile has nobody left who waits.
        if not loop.is_closed():
            loop.call_soon_threadsafe(_resolve, pairs)


def _resolve(pairs: list[tuple["asyncio.Future[Any]", Any]]) -> None:
    for future, result in pairs:
        if future.cancelled():
            continue
        if isinstance(result, StoreError):
            future.set_exception(result)
        else:
            future.set_result(result)
