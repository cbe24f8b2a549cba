"""A value saved as data: one JSON file, and one file of arrays beside it. No pickle, so loading runs no code."""

import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast

import numpy as np
import numpy.typing as npt

from postil.canonical import digest, parse_json, plain_json
from postil.errors import DataError
from postil.types import JSON

__all__ = ["Arrays", "array_digest", "read_archive", "write_archive"]

Arrays = Mapping[str, npt.NDArray[Any]]

_ARRAYS: Final = "arrays"
_NOT_ARRAYS: Final = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error)


def array_digest(array: npt.NDArray[Any]) -> str:
    """Return `sha256:` and the hash of an array's type, shape and little-endian bytes, in hexadecimal."""
    held = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
    hashed = hashlib.sha256(f"{held.dtype.str}{held.shape}".encode())
    hashed.update(held.tobytes())
    return f"sha256:{hashed.hexdigest()}"


def write_archive(folder: Path, name: str, described: Mapping[str, JSON], arrays: Arrays) -> None:
    """Write `NAME.json` and its arrays into a folder, in place of what was there under that name.

    The JSON names its file of arrays by content and takes its place last, so a crash leaves the old value or the new
    one, never a mixture.

    Raises:
        DataError: the folder cannot be written.
    """
    digests = {key: array_digest(array) for key, array in arrays.items()}
    beside = f"{name}-{digest(digests).removeprefix('sha256:')[:12]}.npz"
    content = {**described, _ARRAYS: {"file": beside, "digests": digests}}
    text = json.dumps(plain_json(content), ensure_ascii=False, indent=1, allow_nan=False)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with _Replacing(folder / beside) as file:
            np.savez(file, allow_pickle=False, **dict(arrays))
        with _Replacing(folder / f"{name}.json") as file:
            file.write(text.encode("utf-8", "backslashreplace"))
        for left in folder.glob(f"{name}-*.npz"):
            if left.name != beside:
                left.unlink()
    except OSError as error:
        raise DataError(f"cannot write {name} to {str(folder)!r}: {error}") from error


def read_archive(folder: Path, name: str) -> tuple[dict[str, JSON], dict[str, npt.NDArray[Any]]]:
    """Return what `write_archive` wrote: the JSON without its word on arrays, and the arrays.

    Raises:
        DataError: a file is missing, damaged or belongs to another.
    """
    path = folder / f"{name}.json"
    try:
        described = parse_json(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"expected a {name} in {str(folder)!r}, found no {path.name}") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{str(path)!r} is damaged or no {name}: {error}") from error
    held = described.pop(_ARRAYS, None) if isinstance(described, dict) else None
    match held:
        case {"file": str(beside), "digests": dict(digests)} if Path(beside).name == beside:
            return described, _read_arrays(folder / beside, cast("dict[str, JSON]", digests))
        case _:
            raise DataError(f"{str(path)!r} is no {name}: expected an object that names its arrays")


def _read_arrays(path: Path, digests: Mapping[str, JSON]) -> dict[str, npt.NDArray[Any]]:
    try:
        # Opened here, because np.load leaves a file that is no archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as held:
            arrays = {key: held[key] for key in held.files}
    except FileNotFoundError:
        raise DataError(f"expected {path.name!r} in {str(path.parent)!r}, found none") from None
    except _NOT_ARRAYS as error:
        raise DataError(f"{str(path)!r} is damaged: {error}") from error
    if {key: array_digest(array) for key, array in arrays.items()} != digests:
        raise DataError(f"{str(path)!r} is damaged: its arrays are not those that its JSON file describes")
    return arrays


class _Replacing:
    """A file that appears whole under its name, or not at all."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fresh = path.with_name(f".{path.name}.{os.getpid()}")

    def __enter__(self) -> Any:
        self._file = self._fresh.open("wb")
        return self._file

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        with self._file as file:
            file.flush()
            os.fsync(file.fileno())
        if failed is None:
            self._fresh.replace(self._path)
        else:
            self._fresh.unlink(missing_ok=True)
