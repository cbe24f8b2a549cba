"""The one bridge from sync to async: the core is async, once."""

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

Result = TypeVar("Result")


def run_sync(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Return what a coroutine returns, from sync code; beside a running loop, as in a notebook, on a thread.

    An interrupt calls the coroutine off and waits for its end, so that nothing goes on spending unseen.
    """
    return _Aside(coroutine).result() if _is_beside_a_loop() else asyncio.run(coroutine)


def _is_beside_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


class _Aside:
    """A coroutine on a thread and an event loop of its own."""

    def __init__(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        self._coroutine = coroutine
        self._thread = threading.Thread(target=self._work, name="postil-run")
        # Not `Thread.join`: interrupted once, it takes a thread that runs for one that has ended (CPython 3.11).
        self._begun, self._ended = threading.Event(), threading.Event()
        self._task: asyncio.Task[Any] | None = None
        self._result: Any = None
        self._error: BaseException | None = None

    def result(self) -> Any:
        self._thread.start()
        try:
            self._ended.wait()
        except BaseException:
            self._call_off()
            raise
        self._thread.join()
        if self._error is not None:
            raise self._error
        return self._result

    def _work(self) -> None:
        try:
            self._result = asyncio.run(self._tracked())
        except BaseException as error:
            self._error = error
        finally:
            self._begun.set()
            self._ended.set()

    async def _tracked(self) -> Any:
        self._task = asyncio.current_task()
        self._begun.set()
        return await self._coroutine

    def _call_off(self) -> None:
        self._begun.wait()
        if self._task is not None:
            with suppress(RuntimeError):  # its loop is closed: it has just ended
                self._task.get_loop().call_soon_threadsafe(self._task.cancel)
        self._ended.wait()
