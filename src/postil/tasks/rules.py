"""Rules that the fields of an answer keep: a broken one is told of and changes nothing (survey 0.02)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from postil.errors import AnswerError, TaskError
from postil.tasks.fields import Field
from postil.types import JSON

Values = Mapping[str, JSON]

_SIDES: Final = ("if", "then", "then_not")


@dataclass(frozen=True)
class Rule:
    """Where all of `given` holds, all of `then` must hold and none of `then_not` may.

    A condition names a field and a value: the value itself; a list of values, any of which will do; `true` for a
    field that is there, `false` for one that is null or an empty list. Of a list, one element is enough.
    """

    given: Mapping[str, JSON]
    then: Mapping[str, JSON]
    then_not: Mapping[str, JSON]
    message: str

    @classmethod
    def of(cls, task: str, definition: Mapping[str, Any], fields: Mapping[str, Field]) -> "Rule":
        """Return the rule that a table defines, its values in the form that answers have.

        Raises:
            TaskError: it names a field or a value that there is not, or says nothing.
        """
        unknown = sorted(definition.keys() - {*_SIDES, "message"})
        given, then, then_not = (_conditions(task, definition.get(side, {}), fields) for side in _SIDES)
        if unknown or not given or not (then or then_not):
            raise TaskError(
                f"task {task!r}: a rule has `if` with `then` or `then_not`, and a `message`, got {dict(definition)!r}"
            )
        message = definition.get("message") or "; ".join(
            f"{side} {json.dumps(dict(conditions), ensure_ascii=False)}"
            for side, conditions in zip(_SIDES, (given, then, then_not), strict=True)
            if conditions
        )
        if not isinstance(message, str):
            raise TaskError(f"task {task!r}: the `message` of a rule is text, got {message!r}")
        return cls(given, then, then_not, message)

    @property
    def spec(self) -> Mapping[str, JSON]:
        """The table from which `of` makes an equal rule."""
        sides = {"if": dict(self.given), "then": dict(self.then), "then_not": dict(self.then_not)}
        return {**{side: conditions for side, conditions in sides.items() if conditions}, "message": self.message}

    def broken(self, values: Values, fields: Mapping[str, Field]) -> bool:
        """Return whether an answer's values break it."""

        def holds(condition: tuple[str, JSON]) -> bool:
            return _holds(fields[condition[0]], values[condition[0]], condition[1])

        if not all(map(holds, self.given.items())):
            return False
        return not all(map(holds, self.then.items())) or any(map(holds, self.then_not.items()))


def _conditions(task: str, conditions: JSON, fields: Mapping[str, Field]) -> Mapping[str, JSON]:
    if not isinstance(conditions, Mapping):
        raise TaskError(f"task {task!r}: conditions are a table from field to value, got {conditions!r}")
    found: dict[str, JSON] = {}
    for name, wanted in conditions.items():
        if name not in fields:
            raise TaskError(f"task {task!r}: a rule names the field {name!r}; there are {', '.join(fields)}")
        try:
            several = isinstance(wanted, (list, tuple))
            found[name] = [_one(fields[name], each) for each in wanted] if several else _one(fields[name], wanted)
        except AnswerError as error:
            raise TaskError(f"task {task!r}: a rule names a value that there is not: {error.args[0]}") from None
    return found


def _one(field: Field, wanted: JSON) -> JSON:
    return wanted if isinstance(wanted, bool) else field.one(wanted)


def _holds(field: Field, value: JSON, wanted: JSON) -> bool:
    if isinstance(wanted, list):
        return any(_holds(field, value, each) for each in wanted)
    if isinstance(wanted, bool):
        return bool(field.parts(value)) == wanted
    [part] = field.parts([wanted] if field.type == "list" else wanted)
    return part in field.parts(value)
