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


def wal_is_safe(version: str) -> bool:
    """Return whether a release of SQLite has the race mended in which a log begun anew loses commits (reliability D5).

    It was there from 3.7.0 to 3.51.2, and mended in 3.51.3, 3.50.7 and 3.44.6.
    """
    release = tuple(map(int, version.split(".")[:3]))
    return release >= (3, 51, 3) or (3, 50, 7) <= release < (3, 51) or (3, 44, 6) <= release < (3, 45)


def make_durable(connection: apsw.Connection) -> None:
    """Make commits survive a loss of power (reliability D2), and let readers read beside a writer (WAL).

    Where the SQLite that is linked could lose commits so, readers and writer wait for each other instead.
    """
    safe = wal_is_safe(apsw.sqlite_lib_version())
    pragmas = (
        "journal_mode = WAL; PRAGMA synchronous = FULL" if safe else "journal_mode = DELETE; PRAGMA synchronous = EXTRA"
    )
    until = time.monotonic() + _PATIENCE_MS / 1000
    while True:
        try:
            # Fetched, for a statement that returns a row holds up those after it.
            connection.execute(f"PRAGMA {pragmas}").fetchall()
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
