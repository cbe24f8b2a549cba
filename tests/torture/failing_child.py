"""The command line with one failure planted in it (H2, H3): at a named point, the n-th time it is reached.

    python -m tests.torture.failing_child POINT NTH ACTION -- annotate --project DIR

Production code holds no switches for tests: methods are wrapped here, in this process only. ACTION is what happens:
`kill` (SIGKILL to itself, nothing is cleaned up), `eio` or `enospc` (the operation fails so, then and for ever), or
`defect` (an exception that nobody expects).
"""

import contextlib
import errno
import inspect
import os
import signal
import sys
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Final, Literal

import apsw

import postil.engines._http
import postil.engines.batch
import postil.engines.openai
import postil.project.exporting
import postil.store.group_commit
import postil.store.journal
from postil.cli import main
from tests.torture.disk import Kind, Operation, WatchedDisk

Action = Literal["kill", "eio", "enospc", "defect"]
Moment = Literal["before", "after"]

_METHODS: Final[dict[str, tuple[Any, str, Moment]]] = {
    "before the intent": (postil.store.journal.Journal, "write_intent", "before"),
    "after the intent": (postil.store.journal.Journal, "write_intent", "after"),
    "before the request": (postil.engines.openai.OpenAIEngine, "complete", "before"),
    "after the request was billed": (postil.engines._http.Connection, "_complete", "before"),
    "after the reply came": (postil.engines._http.Connections, "exchange", "after"),
    "before the reply is kept": (postil.store.journal.Journal, "write_reply", "before"),
    "after the reply is kept": (postil.store.journal.Journal, "write_reply", "after"),
    "before a batch is submitted": (postil.engines.batch.OpenAIBatches, "submit", "before"),
    "after a batch was submitted": (postil.engines.batch.OpenAIBatches, "submit", "after"),
    "in an export": (postil.project.exporting, "export_row", "before"),
    "before an export is synced": (os, "fsync", "before"),
    "after an export is synced": (os, "fsync", "after"),
    "before an export has its name": (Path, "replace", "before"),
    "after an export has its name": (Path, "replace", "after"),
}
_DISK: Final[dict[str, tuple[Kind, Moment]]] = {
    "before the journal is written": ("write", "before"),
    "after the journal is written": ("write", "after"),
    "before the journal is synced": ("sync", "before"),
    "after the journal is synced": ("sync", "after"),
    "before a log is removed": ("delete", "before"),
    "after a log is removed": ("delete", "after"),
}
_SQL: Final = ("at a statement", "before a commit", "after a commit")
POINTS: Final = (*_METHODS, *_DISK, *_SQL)
"""Every named point; those of exports are reached by `export`, those of batches by `annotate --batch`."""
EXPORT_POINTS: Final = tuple(point for point in POINTS if "export" in point)
BATCH_POINTS: Final = tuple(point for point in POINTS if "batch" in point)
FAILING: Final[dict[str, tuple[Action, ...]]] = {
    "before the journal is written": ("eio", "enospc"),
    "before the journal is synced": ("eio", "enospc"),
    "before an export is synced": ("eio", "enospc"),
    "before an export has its name": ("eio", "enospc"),
    "in an export": ("enospc",),
}
"""Points at which the system may fail, and how; at every point the process may be killed."""


class Planted:
    """Counts how often its point is reached."""

    def __init__(self, nth: int, action: Action, point: str) -> None:
        self._nth, self._action, self._point = nth, action, point
        self._reached = 0

    def __call__(self) -> None:
        """Do the action, if this is the time."""
        self._reached += 1
        if self._reached == self._nth and self._action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self._reached >= self._nth and self._action != "kill":
            if self._action == "defect":
                raise RuntimeError("planted")
            number = errno.EIO if self._action == "eio" else errno.ENOSPC
            if self._point in _DISK:
                raise apsw.IOError if number == errno.EIO else apsw.FullError
            raise OSError(number, os.strerror(number))


def arm(point: str, nth: int, action: Action) -> None:
    """Plant a failure in this process."""
    planted = Planted(nth, action, point)
    if point in _METHODS:
        owner, name, moment = _METHODS[point]
        setattr(owner, name, _wrapped(getattr(owner, name), planted, moment))
    elif point in _DISK:
        _arm_disk(planted, *_DISK[point])
    elif point == "after a commit":
        for module in (postil.store.group_commit, postil.store.journal):
            _replace(module, "transaction", _then(module.transaction, planted))
    elif point in _SQL:
        apsw.connection_hooks.append(lambda connection: _arm_connection(connection, point, planted))
    else:
        raise ValueError(f"expected one of {POINTS}, got {point!r}")


def _arm_disk(planted: Planted, kind: Kind, moment: Moment) -> None:
    def watch(operation: Operation) -> None:
        if operation.kind == kind:
            planted()

    # SQLite keeps to itself what fails while a file is closed; a disk written in Python cannot.
    journal = postil.store.journal.Journal
    _replace(journal, "close", _tolerant(journal.close))
    # Kept: connections know it by its name only.
    _KEPT.append(WatchedDisk(before=watch) if moment == "before" else WatchedDisk(after=watch))


_KEPT: Final[list[WatchedDisk]] = []


def _arm_connection(connection: apsw.Connection, point: str, planted: Planted) -> None:
    def trace(*_: object) -> bool:
        planted()
        return True

    def commit() -> bool:
        planted()
        return False

    if point == "at a statement":
        connection.exec_trace = trace
    else:
        connection.set_commit_hook(commit)


def _tolerant(close: Callable[[Any], None]) -> Callable[[Any], None]:
    def closed(journal: Any) -> None:
        with contextlib.suppress(apsw.Error):
            close(journal)

    return closed


def _replace(owner: Any, name: str, value: Any) -> None:
    setattr(owner, name, value)


def _wrapped(method: Callable[..., Any], planted: Planted, moment: Moment) -> Callable[..., Any]:
    async def awaited(*arguments: Any, **options: Any) -> Any:
        if moment == "before":
            planted()
        result = await method(*arguments, **options)
        if moment == "after":
            planted()
        return result

    def called(*arguments: Any, **options: Any) -> Any:
        if moment == "before":
            planted()
        result = method(*arguments, **options)
        if moment == "after":
            planted()
        return result

    return awaited if inspect.iscoroutinefunction(method) else called


def _then(manager: Callable[..., Any], planted: Planted) -> Callable[..., Any]:
    @contextlib.contextmanager
    def wrapped(*arguments: Any) -> Generator[Any, None, None]:
        with manager(*arguments) as value:
            yield value
        planted()

    return wrapped


def run() -> None:
    """Plant what the arguments say and run the command after "--"."""
    point, nth, action, dashes, *command = sys.argv[1:]
    assert dashes == "--"
    assert action in ("kill", "eio", "enospc", "defect")
    arm(point, int(nth), action)
    sys.argv = ["postil", *command]
    main()


if __name__ == "__main__":
    run()
