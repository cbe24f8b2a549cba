"""What a loss of power can leave of a journal (H4): crash states built from the writes that were not synced yet.

A killed process leaves the system's cache behind, so kills say nothing of power. Here every write, sync, truncation,
creation and removal of the journal's files is recorded while the real command runs, and so is every commit that was
acknowledged. At any moment the disk may hold, of what was not synced, nothing, all, the beginning, or any part in any
order, the last write torn; of created and removed names any beginning. Each such state is opened, and every
acknowledged row must be there, bit for bit.
"""

import base64
import contextlib
import json
import os
import random
import sys
import tempfile
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import apsw

import postil.store.group_commit
import postil.store.journal
from postil.cli import main
from tests.torture.checker import TABLES
from tests.torture.disk import Operation, WatchedDisk
from tests.torture.victims import forked

_SECTOR: Final = 512
_NO_SQL: Final = "no such table"


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """How many rows each table had when a commit had returned."""

    rows: Mapping[str, int]


Step = Operation | Acknowledged


# Recording, in a process of its own


def record(arguments: Sequence[str | Path], log: Path, steps: Path) -> int:
    """Run a command, add what it does to the journal's files to `steps`, and return its exit code."""
    return forked(_recorded, [str(argument) for argument in arguments], str(steps), log=log).wait()


def _recorded(arguments: list[str], steps: str) -> None:
    file = os.open(steps, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(step: Mapping[str, Any]) -> None:
        os.write(file, json.dumps(step).encode() + b"\n")

    def done(operation: Operation) -> None:
        data = base64.b64encode(operation.data).decode()
        write({"kind": operation.kind, "name": operation.name, "offset": operation.offset, "data": data})

    kept = WatchedDisk(after=done)
    for module in (postil.store.group_commit, postil.store.journal):
        held: Any = module
        held.transaction = _acknowledging(held.transaction, write)
    sys.argv = ["postil", *arguments]
    try:
        main()
    finally:
        del kept


def _acknowledging(manager: Callable[..., Any], write: Callable[[Mapping[str, Any]], None]) -> Callable[..., Any]:
    @contextlib.contextmanager
    def wrapped(connection: apsw.Connection) -> Generator[None, None, None]:
        with manager(connection):
            yield
        write({"kind": "acknowledged", "rows": heads(connection)})

    return wrapped


def heads(connection: apsw.Connection) -> dict[str, int]:
    """Return the number of the last row of each table."""
    rows: dict[str, int] = {}
    for table in TABLES:
        found = connection.execute(f"SELECT coalesce(max(seq), 0) FROM {table}").fetchall()  # noqa: S608 - ours
        rows[table] = int(str(found[0][0]))
    return rows


def read_steps(path: Path) -> list[Step]:
    """Return what was recorded."""
    steps: list[Step] = []
    for line in path.read_bytes().splitlines():
        step = json.loads(line)
        if step["kind"] == "acknowledged":
            steps.append(Acknowledged(step["rows"]))
        else:
            steps.append(Operation(step["kind"], step["name"], step["offset"], base64.b64decode(step["data"])))
    return steps


# The disk


@dataclass
class _File:
    """One file, whatever its name is now."""

    synced: bytes = b""
    unsynced: list[Operation] = field(default_factory=list[Operation])


@dataclass
class Disk:
    """What is surely on the disk, and what may be."""

    names: dict[str, _File] = field(default_factory=dict[str, _File])
    """As the running system sees them."""
    kept_names: dict[str, _File] = field(default_factory=dict[str, _File])
    """As they surely are after a loss of power."""
    moves: list[tuple[str, _File | None]] = field(default_factory=list[tuple[str, _File | None]])
    """Names that came or went since."""
    acknowledged: Mapping[str, int] = field(default_factory=dict[str, int])

    def take(self, step: Step) -> None:
        """Do a step."""
        if isinstance(step, Acknowledged):
            self.acknowledged = step.rows
        elif step.kind == "open":
            self._name(step.name, _File())
        elif step.kind == "delete":
            self._name(step.name, None)
        elif step.kind == "sync":
            self._sync(step.name)
        else:
            self.names.setdefault(step.name, _File()).unsynced.append(step)

    def _name(self, name: str, file: _File | None) -> None:
        self.moves.append((name, file))
        _move(self.names, name, file)

    def _sync(self, name: str) -> None:
        file = self.names[name]
        file.synced = _applied(file.synced, file.unsynced)
        file.unsynced = []
        if name.endswith(("-wal", "-journal")) and any(moved is file for _, moved in self.moves):
            # SQLite syncs the folder with the first sync of a new log.
            for moved, there in self.moves:
                _move(self.kept_names, moved, there)
            self.moves = []

    def crashed(self, rng: random.Random) -> dict[str, bytes]:
        """Return files that a loss of power may leave now."""
        names = dict(self.kept_names)
        for name, file in self.moves[: rng.randrange(len(self.moves) + 1)]:
            _move(names, name, file)
        return {name: _applied(file.synced, _survivors(file.unsynced, rng)) for name, file in names.items()}


def _move(names: dict[str, _File], name: str, file: _File | None) -> None:
    if file is None:
        names.pop(name, None)
    else:
        names[name] = file


def _survivors(operations: Sequence[Operation], rng: random.Random) -> list[Operation]:
    """Return what of the unsynced operations has reached the disk."""
    way = rng.randrange(5)
    if way == 0:
        return []
    if way == 1:
        return [*operations]
    if way == 2:
        kept = [*operations[: rng.randrange(len(operations) + 1)]]
    else:
        kept = [operation for operation in operations if rng.random() < 0.5]
    if kept and kept[-1].kind == "write" and way != 4:
        last = kept[-1]
        torn = (
            rng.randrange(len(last.data) // _SECTOR + 1) * _SECTOR
            if rng.random() < 0.5
            else rng.randrange(len(last.data))
        )
        kept[-1] = Operation("write", last.name, last.offset, last.data[:torn])
    return kept


def _applied(content: bytes, operations: Sequence[Operation]) -> bytes:
    held = bytearray(content)
    for operation in operations:
        if operation.kind == "truncate":
            del held[operation.offset :]
        else:
            end = operation.offset + len(operation.data)
            if len(held) < end:
                held.extend(bytes(end - len(held)))
            held[operation.offset : end] = operation.data
    return bytes(held)


def crash_states(
    steps: Sequence[Step], count: int, rng: random.Random
) -> Iterator[tuple[Mapping[str, int], dict[str, bytes]]]:
    """Yield so many crash states, at moments spread over the whole recording, with the rows acknowledged by then."""
    moments = sorted(rng.choices(range(1, len(steps) + 1), k=count))
    disk, at = Disk(), 0
    for moment in moments:
        for step in steps[at:moment]:
            disk.take(step)
        at = moment
        yield disk.acknowledged, disk.crashed(rng)


# The check


def seals_of(path: Path) -> dict[str, list[str]]:
    """Return the seals of every table's rows, in order."""
    with closing(apsw.Connection(str(path))) as connection:
        return {
            table: [str(seal) for (seal,) in connection.execute(f"SELECT seal FROM {table} ORDER BY seq")]  # noqa: S608
            for table in TABLES
        }


def faults(
    files: Mapping[str, bytes], acknowledged: Mapping[str, int], whole: Mapping[str, Sequence[str]]
) -> list[str]:
    """Return what is wrong with a crash state: rows acknowledged and missing, rows that are others, a broken file."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as name:  # noqa: S108
        folder = Path(name)
        for file, content in files.items():
            (folder / file).write_bytes(content)
        if "postil.db" not in files:
            return ["the journal's file is gone"] if any(acknowledged.values()) else []
        try:
            return _faults(folder / "postil.db", acknowledged, whole)
        except apsw.Error as error:
            return [f"cannot be opened: {error}"]


def _faults(path: Path, acknowledged: Mapping[str, int], whole: Mapping[str, Sequence[str]]) -> list[str]:
    with closing(apsw.Connection(str(path))) as connection:
        found = [str(row[0]) for row in connection.execute("PRAGMA integrity_check")]
        there = {str(row[0]) for row in connection.execute("SELECT name FROM sqlite_master")}
    if found != ["ok"]:
        return found
    if not set(TABLES) <= there:
        # Before the schema was committed there is nothing at all.
        return [f"only {sorted(there)} is there"] if there or any(acknowledged.values()) else []
    wrong: list[str] = []
    for table, seals in seals_of(path).items():
        if len(seals) < acknowledged.get(table, 0):
            wrong.append(f"{table}: {len(seals)} rows, acknowledged were {acknowledged[table]}")
        if seals != whole[table][: len(seals)]:
            wrong.append(f"{table}: rows that were never written")
    return wrong
