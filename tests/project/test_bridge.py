"""From sync to async and back, with and without a loop that runs already."""

import asyncio
import os
import signal
import sys
import threading
import time

import pytest

from postil.project.bridge import run_sync


async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def failing() -> int:
    raise LookupError("here")


def test_a_coroutine_returns_or_raises_as_a_function_does() -> None:
    assert run_sync(doubled(21)) == 42
    with pytest.raises(LookupError, match="here"):
        run_sync(failing())


async def test_beside_a_running_loop_it_is_the_same() -> None:
    assert run_sync(doubled(21)) == 42
    with pytest.raises(LookupError, match="here"):
        run_sync(failing())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
async def test_an_interrupt_beside_a_running_loop_ends_the_work_too() -> None:
    begun, ended = threading.Event(), threading.Event()

    async def work() -> None:
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    def interrupt() -> None:
        begun.wait()
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=interrupt).start()
    try:
        with pytest.raises(KeyboardInterrupt):
            run_sync(work())
    finally:
        signal.signal(signal.SIGINT, before)
    assert ended.is_set()
