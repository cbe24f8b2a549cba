"""A layer between SQLite and the files of a journal (H3, H4): it sees every write and sync, and may fail them.

Where `strace` cannot be run this gives the same cases from inside the process.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import apsw

Kind = Literal["open", "write", "sync", "truncate", "delete"]

WATCHED: Final = ("postil.db", "postil.db-wal", "postil.db-journal")
"""Not the lock of a run, which holds nothing, and not the shared memory, which no crash keeps."""


@dataclass(frozen=True, slots=True)
class Operation:
    """One change of a file on its way to the disk."""

    kind: Kind
    name: str
    offset: int = 0
    """For "truncate" the new size."""
    data: bytes = b""


Watch = Callable[[Operation], None]


class WatchedDisk(apsw.VFS):
    """Every connection opened from now on goes through it; `before` may raise an error in place of an operation."""

    def __init__(self, *, before: Watch | None = None, after: Watch | None = None) -> None:
        self._before, self._after = before or _nothing, after or _nothing
        super().__init__("watched", "unix", makedefault=True)

    def xOpen(self, name: str | apsw.URIFilename | None, flags: list[int]) -> apsw.VFSFile:  # noqa: N802 - SQLite's
        path = name.filename() if isinstance(name, apsw.URIFilename) else name
        if path is None or Path(path).name not in WATCHED:
            return apsw.VFSFile("unix", name, flags)
        new = not Path(path).exists()
        file = WatchedFile(name, flags, Path(path).name, self._before, self._after)
        if new:
            self._after(Operation("open", Path(path).name))
        return file

    def xDelete(self, filename: str, syncdir: bool) -> None:  # noqa: N802 - SQLite's
        operation = Operation("delete", Path(filename).name)
        watched = operation.name in WATCHED
        if watched:
            self._before(operation)
        super().xDelete(filename, syncdir)
        if watched:
            self._after(operation)


class WatchedFile(apsw.VFSFile):
    """One file."""

    def __init__(
        self, path: str | apsw.URIFilename | None, flags: list[int], name: str, before: Watch, after: Watch
    ) -> None:
        self._name, self._before, self._after = name, before, after
        super().__init__("unix", path, flags)

    def xWrite(self, data: Any, offset: int) -> None:  # noqa: N802 - SQLite's
        operation = Operation("write", self._name, offset, bytes(data))
        self._before(operation)
        super().xWrite(data, offset)
        self._after(operation)

    def xSync(self, flags: int) -> None:  # noqa: N802 - SQLite's
        operation = Operation("sync", self._name)
        self._before(operation)
        super().xSync(flags)
        self._after(operation)

    def xTruncate(self, newsize: int) -> None:  # noqa: N802 - SQLite's
        operation = Operation("truncate", self._name, newsize)
        self._before(operation)
        super().xTruncate(newsize)
        self._after(operation)


def _nothing(_: Operation) -> None:
    pass
