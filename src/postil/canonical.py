"""The one canonical form of JSON, what is hashed of it, and the strict reading of JSON text.

The canonical form, so that anybody can derive a digest again: UTF-8; no white space; the keys of an object in the order
of their code points; text as it is, with only `"`, backslash and U+0000 to U+001F escaped as Python's `json` does; no
Unicode normalisation, so NFC and NFD differ; numbers as Python writes them, so `1`, `1.0`, `"1"` and `true` are four
values; NaN and the infinities are refused. A lone surrogate, which UTF-8 cannot hold, is written as its JSON escape.
"""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from postil.errors import DataError

__all__ = ["MAX_DEPTH", "canonical_json", "digest", "parse_json", "plain_json", "record_id"]

MAX_DEPTH: Final = 100
"""How deep JSON may be nested. Deeper data is an attack or an accident, and would exhaust the stack later."""

_MAX_DIGITS: Final = 4000
"""Digits of the largest whole number; Python itself refuses to print more than 4300."""

_MAX_BITS: Final = math.ceil(_MAX_DIGITS * math.log2(10))


def canonical_json(value: Any) -> bytes:
    """Return the canonical form of a JSON value; mappings and sequences of any type count as objects and arrays.

    Raises:
        DataError: the value is no JSON.
    """
    return _ENCODE(plain_json(value)).encode("utf-8", "backslashreplace")


def digest(value: Any) -> str:
    """Return `sha256:` and the hash of the canonical form, in hexadecimal.

    Raises:
        DataError: the value is no JSON.
    """
    return f"sha256:{hashlib.sha256(canonical_json(value)).hexdigest()}"


def record_id(fields: Mapping[str, Any]) -> str:
    """Return the id of a record that brought none: `sha256:` and the first 32 digits of the hash of its fields.

    Raises:
        DataError: a field is no JSON.
    """
    return digest(fields)[: len("sha256:") + 32]


def plain_json(value: Any) -> Any:
    """Return a JSON value as plain dicts and lists, which `json.dumps` can write.

    Raises:
        DataError: something in it is no JSON: NaN, a key that is no text, bytes, a set.
    """
    return _plain(value, MAX_DEPTH)


def _plain(value: Any, depth: int) -> Any:
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        if value.bit_length() > _MAX_BITS:
            raise DataError(f"expected a number of at most {_MAX_DIGITS} digits, got a longer one")
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise DataError(f"expected a JSON value, got the number {value!r}", hint="Use null for a missing number.")
        return value
    return _plain_container(value, depth)


def _plain_container(value: Any, depth: int) -> Any:
    if not depth:
        raise DataError(f"expected JSON nested at most {MAX_DEPTH} levels deep, got more")
    if isinstance(value, Mapping):
        return {_key(key): _plain(held, depth - 1) for key, held in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return [_plain(held, depth - 1) for held in value]
    raise DataError(f"expected a JSON value, got {type(value).__name__} {_short(repr(value))}")


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise DataError(f"expected text as the key of an object, got {key!r}")
    return key


def parse_json(text: str) -> Any:
    """Return what a text of strict JSON says: no NaN, no infinity, no key twice in one object.

    Whole numbers are exact whatever their size.

    Raises:
        ValueError: the text is something else; `json.JSONDecodeError` where the place in the text is known.
    """
    try:
        value = _DECODER.decode(text)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if text.count("[") + text.count("{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise ValueError(_TOO_DEEP)
    return value


_TOO_DEEP: Final = f"nested more than {MAX_DEPTH} levels deep"


def _deeper_than(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth + 1):
        level = [held for outer in level if isinstance(outer, (dict, list)) for held in _held(outer)]
    return bool(level)


def _held(outer: dict[str, Any] | list[Any]) -> list[Any]:
    # An empty container is a level of its own, so it counts as holding something.
    return (list(outer.values()) if isinstance(outer, dict) else outer) or [None]


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    held = dict(pairs)
    if len(held) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise ValueError(f"the key {_short(repr(twice))} stands twice in one object")
    return held


def _fraction(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {_short(text)} is larger than any that can be kept")
    return number


def _whole(text: str) -> int:
    if len(text) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(text)} digits, where at most {_MAX_DIGITS} can be kept")
    return int(text)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON; a missing number is null")


def _short(text: str, limit: int = 60) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


# Made once; nothing refers to itself, for `plain_json` has gone to the end of it.
_ENCODE: Final = json.JSONEncoder(
    ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"), check_circular=False
).encode
_DECODER: Final = json.JSONDecoder(
    object_pairs_hook=_object, parse_float=_fraction, parse_int=_whole, parse_constant=_no_constant
)
