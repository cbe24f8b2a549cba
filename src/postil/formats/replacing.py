"""Writing a file so that under its name there is always a whole one: the old or the new (reliability D1)."""

import contextlib
import errno
import os
import secrets
import shutil
import stat
import sys
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from postil.errors import FormatError
from postil.formats.format import STDOUT

__all__ = ["new_folder", "output", "replacing", "unwritable"]


@contextlib.contextmanager
def replacing(path: Path | str) -> Generator[Path]:
    """Give a new empty file in the same folder to fill; it takes the name `path` when the block ends without an error.

    The data are on disk before the name is, and the name before this returns. A link is followed, not replaced.

    Raises:
        FormatError: the file cannot be written; then what stood there before is untouched.
    """
    target = _target(path)
    # Not the name with something added: that may be too long for the file system.
    temporary = target.with_name(f".postil-{secrets.token_hex(8)}.tmp")
    try:
        # Not `tempfile`: its files can be read by nobody else, also after they are renamed.
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if target.exists():
            temporary.chmod(target.stat().st_mode & 0o777)
        yield temporary
        _sync(temporary)
        temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def output(path: Path | str) -> Generator[BinaryIO]:
    """Open a file as `replacing` does, or standard output for "-"; devices and pipes are written as they are.

    Raises:
        FormatError: the file cannot be written.
    """
    if str(path) == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    elif _is_device(path):
        with Path(path).open("wb") as file:
            yield file
    else:
        with replacing(path) as temporary, temporary.open("wb") as file:
            yield file


@contextlib.contextmanager
def new_folder(path: Path | str) -> Generator[Path]:
    """Give a new empty folder beside `path` to fill; it takes that name when the block ends without an error.

    A folder that holds something stays as it is: people may have worked in it.

    Raises:
        FormatError: the folder cannot be made, or there is something under its name already.
    """
    target = _folder_target(path)
    temporary = target.with_name(f".postil-{secrets.token_hex(8)}.tmp")
    try:
        temporary.mkdir()
        yield temporary
        for held in sorted(temporary.rglob("*")):
            _sync_folder(held) if held.is_dir() else _sync(held)
        _sync_folder(temporary)
        # An empty folder is replaced; one that was filled in the meantime is not.
        temporary.rename(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _folder_target(path: Path | str) -> Path:
    if "\0" in str(path) or str(path) == STDOUT:
        raise FormatError(f"expected the name of a folder to write, got {str(path)!r}", hint="Name a new folder.")
    target = Path(os.path.realpath(path))
    try:
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise FormatError(f"cannot write {path}: it is there already", hint="Name a new folder, or remove it.")
        if not target.parent.is_dir():
            raise FormatError(f"cannot write {path}: there is no folder {target.parent}", hint="Make the folder first.")
    except OSError as error:
        raise unwritable(path, error) from error
    return target


def _is_device(path: Path | str) -> bool:
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _target(path: Path | str) -> Path:
    if "\0" in str(path):
        raise FormatError(f"expected the name of a file to write, got {str(path)!r}", hint="Remove the NUL.")
    target = Path(os.path.realpath(path))
    try:
        if target.is_dir():
            raise FormatError(f"expected the name of a file to write, got the folder {path}", hint="Add a file name.")
        if not target.parent.is_dir():
            raise FormatError(f"cannot write {path}: there is no folder {target.parent}", hint="Make the folder first.")
        if _is_device(target):
            raise FormatError(f"cannot write {path}: a device or pipe cannot be replaced", hint="Write to a file.")
    except OSError as error:
        raise unwritable(path, error) from error
    return target


def unwritable(path: Path | str, error: OSError) -> FormatError:
    """Return the error for a file that the system does not let us write."""
    advice = {
        errno.ENOSPC: "The disk is full: make room and run it again.",
        errno.EACCES: "You may not write there: choose another folder.",
        errno.EROFS: "The file system is read-only: choose another folder.",
    }
    hint = advice.get(error.errno or 0, "What stood there before is untouched.")
    return FormatError(f"cannot write {path}: {error.strerror or error}", hint=hint)


def _sync(path: Path) -> None:
    # A failed fsync is final: the kernel may have dropped the pages, so a second one proves nothing (reliability D3).
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":  # elsewhere a folder cannot be opened
        _sync(folder)
