"""A kind made from its spec or by hand: what is wrong with it is a `TaskError` that names the part.

Where a kind takes names as a list, or as a table that says what they mean, its spec holds both apart by one rule: the
parameter holds the names in a list, since their order is shown and the hash of a spec sorts the keys of tables; beside
it, under its name with `_meanings`, stands a table of those meanings that there are.
"""

import inspect
from collections.abc import Iterable, Mapping
from typing import Final, TypeVar, cast

from postil.errors import TaskError
from postil.tasks import Option
from postil.types import JSON

Kind = TypeVar("Kind")

_MEANINGS: Final = "_meanings"


def names_and_meanings(parameter: str, options: Iterable[Option]) -> dict[str, JSON]:
    """Return what a spec holds of a parameter that takes names, or names with what they mean."""
    given = list(options)
    return {
        parameter: [option.name for option in given],
        parameter + _MEANINGS: {option.name: option.definition for option in given if option.definition},
    }


def as_given(spec: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return a spec as a person writes it: names that have meanings as one table, in its lists of tables too.

    Raises:
        TaskError: it says what a name means that is not listed.
    """
    given: dict[str, JSON] = {}
    for key, value in spec.items():
        if key.endswith(_MEANINGS) and key.removesuffix(_MEANINGS) in spec:
            continue
        meanings = spec.get(key + _MEANINGS)
        if meanings:
            where = f"task {spec.get('name')!r}: `{key + _MEANINGS}`"
            given[key] = _joined(where, cast("list[JSON]", value) if isinstance(value, list) else [], meanings)
        else:
            given[key] = _tables_as_given(value)
    return given


def _joined(where: str, listed: list[JSON], meanings: JSON) -> JSON:
    """Return names with their meanings as a table, in the order of the names."""
    if not isinstance(meanings, Mapping):
        raise TaskError(f"{where} is a table from name to meaning, got {meanings!r}")
    if unknown := [name for name in meanings if name not in listed]:
        raise TaskError(f"{where} says what {unknown[0]!r} means, which is not listed")
    if not all(isinstance(name, str) for name in listed) or len(set(listed)) < len(listed):
        # No table can hold them; whoever takes them says what is wrong.
        return listed
    return {name: meanings.get(name, "") for name in listed}


def _tables_as_given(value: JSON) -> JSON:
    if not isinstance(value, list):
        return value
    return [as_given(each) if isinstance(each, Mapping) else each for each in cast("list[JSON]", value)]


def parameters(kind: type[object]) -> Mapping[str, inspect.Parameter]:
    """Return what a kind's constructor takes; some kinds choose a class in `__new__`, which takes anything."""
    return dict([*inspect.signature(kind.__init__).parameters.items()][1:])


def from_spec(kind: type[Kind], spec: Mapping[str, JSON]) -> Kind:
    """Return the kind made of what a spec holds besides the word `kind` itself.

    Raises:
        TaskError: a part is missing or unknown, or the definition cannot work.
    """
    values = {key: value for key, value in as_given(spec).items() if key != "kind"}
    try:
        inspect.Signature([*parameters(kind).values()]).bind(**values)
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
