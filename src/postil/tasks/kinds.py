"""The kinds that a file or the command line may name."""

from collections.abc import Mapping
from typing import Final

from postil.errors import TaskError
from postil.tasks import Task
from postil.tasks.classification import Classification
from postil.tasks.rating import Rating
from postil.types import JSON

KINDS: Final[Mapping[str, type[Classification] | type[Rating]]] = {
    Classification.kind: Classification,
    Rating.kind: Rating,
}


def task_from_spec(spec: Mapping[str, JSON]) -> Task:
    """Return the task that a spec describes; `task_from_spec(task.spec) == task`.

    Raises:
        TaskError: the kind is unknown, or the definition cannot work.
    """
    kind = spec.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise TaskError(f"`kind` must be one of {', '.join(KINDS)}, got {kind!r}")
    return KINDS[kind].from_spec(spec)
