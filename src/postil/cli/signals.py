"""Ctrl-C: the first lets requests in flight end, the second stops at once."""

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any, Final

from postil.cli.terminal import Terminal
from postil.cli.words import requests
from postil.runner import Stoppable

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
OnStart = Callable[[Stoppable], None]


@contextmanager
def stopped_by_signals(terminal: Terminal, *, drops: bool = False) -> Generator[OnStart, None, None]:
    """Give what is to be told of a runner: from then on signals stop it. At the end they mean what they meant before.

    With `drops` the first signal does what the second does else. Only the main thread may say what signals mean;
    elsewhere they are left alone.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda _: None
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    running: list[Stoppable] = []

    def start(runner: Stoppable) -> None:
        def first(*_: Any) -> None:
            for each in _SIGNALS:
                signal.signal(each, signal.default_int_handler)
            under_way = runner.under_way
            left = requests(under_way.requests, under_way.usd)
            terminal.note(f"stopping: {left} in flight may end; Ctrl-C again stops at once")
            runner.interrupt()

        running.append(runner)
        for number in _SIGNALS:
            signal.signal(number, signal.default_int_handler if drops else first)

    try:
        yield start
    except KeyboardInterrupt:
        for runner in running:
            left = requests(runner.under_way.dropped, runner.under_way.dropped_usd)
            terminal.note(f"stopped at once; left open: {left}. Run the same command again to go on (--lost)")
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
