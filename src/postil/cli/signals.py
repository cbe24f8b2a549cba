"""Ctrl-C: the first lets requests in flight end, the second stops at once."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from postil.cli.terminal import Terminal
from postil.runner import Runner

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def stopped_by_signals(terminal: Terminal) -> Generator[Callable[[Runner], None], None, None]:
    """Give what is to be told of a runner: from then on signals stop it. At the end they mean what they meant before.

    Only the main thread may say what signals mean; elsewhere they are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda _: None
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def start(runner: Runner) -> None:
        def first(*_: Any) -> None:
            for each in _SIGNALS:
                signal.signal(each, signal.default_int_handler)
            terminal.note("stopping: requests in flight may end; Ctrl-C again stops at once")
            runner.interrupt()

        for number in _SIGNALS:
            signal.signal(number, first)

    try:
        yield start
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
