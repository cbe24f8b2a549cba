"""The kinds that a file or the command line may name."""

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, Final

from postil.errors import TaskError
from postil.tasks import Task
from postil.types import JSON

_HOMES: Final = {
    "classification": "Classification",
    "multilabel": "MultiLabel",
    "attributes": "Attributes",
    "rating": "Rating",
    "preference": "Preference",
    "relations": "Relations",
    "roles": "Roles",
    "timeline": "Timeline",
    "spans": "Spans",
    "text": "Text",
}


class _Kinds(Mapping[str, type[Any]]):
    """The class of each kind, loaded where it is asked for: all of them take longer to load than most verbs to act."""

    def __getitem__(self, kind: str) -> type[Any]:
        name = _HOMES[kind]
        return getattr(import_module(f"postil.tasks.{kind}"), name)

    def __iter__(self) -> Iterator[str]:
        return iter(_HOMES)

    def __len__(self) -> int:
        return len(_HOMES)

    def __contains__(self, kind: object) -> bool:
        return kind in _HOMES


KINDS: Final[Mapping[str, type[Any]]] = _Kinds()
"""Each satisfies `Task` and makes its tasks from specs with `from_spec`."""


def task_from_spec(spec: Mapping[str, JSON]) -> Task:
    """Return the task that a spec describes; `task_from_spec(task.spec) == task`.

    Raises:
        TaskError: the kind is unknown, or the definition cannot work.
    """
    kind = spec.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise TaskError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
    return KINDS[kind].from_spec(spec)
