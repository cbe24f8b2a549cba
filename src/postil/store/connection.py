"""Connections to the journal's file, and its errors in the user's terms."""

import os
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import apsw

from postil.errors import StoreError

_PATIENCE_MS: Final = 10_000


def connect(path: Path, *, create: bool = False, read_only: bool = False) -> apsw.Connection:
    """Return a connection to a journal.

    Raises:
        apsw.Error: there is no such file, or it cannot be opened.
    """
    flags = apsw.SQLITE_OPEN_READONLY if read_only else apsw.SQLITE_OPEN_READWRITE
    if create:
        flags |= apsw.SQLITE_OPEN_CREATE
    connection = apsw.Connection(os.fspath(path), flags=flags)
    connection.set_busy_timeout(_PATIENCE_MS)
    return connection


def make_durable(connection: apsw.Connection) -> None:
    """Make commits survive a loss of power (FULL, reliability D2), and let readers read beside a writer (WAL)."""
    until = time.monotonic() + _PATIENCE_MS / 1000
    while True:
        try:
            # Fetched, for a statement that returns a row holds up those after it.
            connection.execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL").fetchall()
        except apsw.BusyError:
            # The one change that SQLite does not wait for: somebody else is opening the new file too.
            if time.monotonic() > until:
                raise
            time.sleep(0.005)
        else:
            return


@contextmanager
def transaction(connection: apsw.Connection) -> Generator[None, None, None]:
    """Commit what is written inside, or nothing of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk ends a transaction by itself; the first error is the one to hear of.
        if connection.in_transaction:
            with suppress(apsw.Error):
                connection.execute("ROLLBACK")
        raise


@contextmanager
def reading(path: Path) -> Generator[None, None, None]:
    """Turn the database's errors into ours while something is read."""
    try:
        yield
    except apsw.Error as error:
        raise StoreError(
            f"{path}: the journal cannot be read: {error}", hint="restore the file from a copy, or mend the disk"
        ) from None


def write_error(path: Path, reason: object) -> StoreError:
    """Return an error of writing in the user's terms."""
    return StoreError(
        f"{path}: the journal cannot be written: {reason}",
        hint="nothing committed is lost; free some space or mend the disk, then run the same command again",
    )
