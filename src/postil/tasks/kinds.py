"""The kinds that a file or the command line may name."""

from collections.abc import Mapping
from typing import Any, Final

from postil.errors import TaskError
from postil.tasks import Task
from postil.tasks.attributes import Attributes
from postil.tasks.classification import Classification
from postil.tasks.multilabel import MultiLabel
from postil.tasks.preference import Preference
from postil.tasks.rating import Rating
from postil.tasks.relations import Relations
from postil.tasks.roles import Roles
from postil.tasks.spans import Spans
from postil.tasks.text import Text
from postil.tasks.timeline import Timeline
from postil.types import JSON

KINDS: Final[Mapping[str, type[Any]]] = {
    Classification.kind: Classification,
    MultiLabel.kind: MultiLabel,
    Attributes.kind: Attributes,
    Rating.kind: Rating,
    Preference.kind: Preference,
    Relations.kind: Relations,
    Roles.kind: Roles,
    Timeline.kind: Timeline,
    Spans.kind: Spans,
    Text.kind: Text,
}
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
