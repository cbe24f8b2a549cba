"""Processes that are killed, stopped and starved: the real command line, in a process of its own.

Quick tests fork it from a process that has loaded everything already, so that a hundred of them take seconds; the long
tier starts the installed command itself.
"""

import contextlib
import itertools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from functools import cache
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from typing import Any, Final, Literal
from unittest import mock

from postil.cli import main
from tests.torture.failing_child import Action, arm

How = Literal["forked", "command"]
Plant = tuple[str, int, Action]
"""A point, how often it is reached first, and what happens then."""

POSTIL: Final = Path(sys.executable).with_name("postil")
KILLED: Final = -signal.SIGKILL


class Victim(ABC):
    """A command that runs."""

    def __init__(self, log: Path) -> None:
        """Take the file that gets what it writes to both streams."""
        self.log = log

    @property
    @abstractmethod
    def pid(self) -> int:
        """The number of the process."""

    @abstractmethod
    def poll(self) -> int | None:
        """Return the exit code, negative after a signal; `None` while it runs."""

    def signal(self, number: int) -> None:
        """Send a signal, if it still runs."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def wait(self, seconds: float = 60.0) -> int:
        """Return the exit code; a process that does not end is killed and is a failure."""
        if not until(lambda: self.poll() is not None, seconds):
            self.signal(signal.SIGCONT)
            self.signal(signal.SIGKILL)
            raise TimeoutError(f"no end after {seconds:g} seconds: {self.said()[-2000:]}")
        code = self.poll()
        assert code is not None
        return code

    def said(self) -> str:
        """Return what it has written so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""


class _Forked(Victim):
    def __init__(self, process: ForkServerProcess, log: Path) -> None:
        super().__init__(log)
        self._process = process

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.exitcode


class _Started(Victim):
    def __init__(self, process: "subprocess.Popen[bytes]", log: Path) -> None:
        super().__init__(log)
        self._process = process

    @property
    def pid(self) -> int:
        return self._process.pid

    def poll(self) -> int | None:
        return self._process.poll()


@contextlib.contextmanager
def hurried() -> Generator[None, None, None]:
    """Wait little between attempts: how long is tested on a virtual clock."""
    with contextlib.ExitStack() as patches:
        for module in ("retries", "limits", "breaker"):
            patches.enter_context(mock.patch(f"postil.runner.{module}.LONGEST_WAIT", 0.05))
        patches.enter_context(mock.patch("postil.runner.batch._waits", return_value=itertools.repeat(0.02)))
        yield


def until(condition: Callable[[], bool], seconds: float, *, every: float = 0.003) -> bool:
    """Wait until a condition holds, and return whether it ever did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(every)
    return True


def start(arguments: Sequence[str | Path], log: Path, *, how: How = "forked", plant: Plant | None = None) -> Victim:
    """Start a command, with a failure planted in it where one is given."""
    words = [str(argument) for argument in arguments]
    if how == "forked":
        return forked(_planted, words, plant, log=log)
    command = [str(POSTIL), *words]
    if plant is not None:
        command = [sys.executable, "-m", "tests.torture.failing_child", *map(str, plant), "--", *words]
    with log.open("ab") as file:
        return _Started(
            # A test run in the background of a shell ignores SIGINT, and children take that over.
            subprocess.Popen(command, stdout=file, stderr=file, stdin=subprocess.DEVNULL, preexec_fn=_heed_signals),  # noqa: PLW1509
            log,
        )


def _heed_signals() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@cache
def _forkserver() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    # With it comes all that a command needs.
    context.set_forkserver_preload(["tests.torture.failing_child", "postil.cli.shown", "postil.project.project"])
    return context


def forked(target: Callable[..., None], *arguments: Any, log: Path) -> Victim:
    """Start a function in a process of its own, with signals and streams as a command has them."""
    process = _forkserver().Process(target=_as_command, args=(str(log), dict(os.environ), target, arguments))
    process.start()
    return _Forked(process, log)


def _as_command(log: str, environment: dict[str, str], target: Callable[..., None], arguments: Sequence[Any]) -> None:
    # That of whoever asks now, not of whoever asked first.
    os.environ.clear()
    os.environ.update(environment)
    file = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for number, source in ((0, nothing), (1, file), (2, file)):
        os.dup2(source, number)
    _heed_signals()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with hurried():
        target(*arguments)


def _planted(arguments: list[str], plant: Plant | None) -> None:
    """Be the command, as the installed script is."""
    if plant is not None:
        arm(*plant)
    sys.argv = ["postil", *arguments]
    main()
