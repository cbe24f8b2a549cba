"""A kind made from its spec or by hand: what is wrong with it is a `TaskError` that names the part."""

import inspect
from collections.abc import Callable, Mapping
from typing import TypeVar

from postil.errors import TaskError
from postil.types import JSON

Kind = TypeVar("Kind")


def from_spec(kind: Callable[..., Kind], spec: Mapping[str, JSON]) -> Kind:
    """Return the kind made of what a spec holds besides the word `kind` itself.

    Raises:
        TaskError: a part is missing or unknown, or the definition cannot work.
    """
    values = {key: value for key, value in spec.items() if key != "kind"}
    try:
        inspect.signature(kind).bind(**values)
    except TypeError as error:
        raise TaskError(f"task {spec.get('name')!r}: {error}") from None
    return kind(**values)


def require_texts(**given: object) -> None:
    """Check that parts of a definition are text.

    Raises:
        TaskError: one is not.
    """
    for part, value in given.items():
        if not isinstance(value, str):
            raise TaskError(f"task {given.get('name')!r}: `{part}` must be text, got {value!r}")
