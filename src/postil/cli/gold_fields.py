"""The fields of an `attributes` task as its gold has them: a first guess, written where a person will read it."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from postil.errors import DataError
from postil.types import JSON

_MOST_LABELS: Final = 20
_OFTEN: Final = 3
"""So many times each value must be there on average to be taken for one of a few labels."""
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


class GoldFields:
    """What the values of each field have in common; `add` them record by record."""

    def __init__(self) -> None:
        """Begin with no field."""
        self._fields: dict[str, _Values] = {}
        self._answers = 0

    def add(self, values: JSON, texts: Sequence[str], place: str) -> None:
        """Take the values of one gold answer about a record that holds these texts.

        Raises:
            DataError: they are no values by the names of fields.
        """
        if not isinstance(values, Mapping) or not all(map(_plain, values.values())):
            raise DataError(
                f"{place}: expected an object from field to value, got {values!r:.200}",
                hint='gold of this kind is like {"food": "good", "price": null, "dishes": ["soup"]}',
            )
        self._answers += 1
        for name, value in values.items():
            self._fields.setdefault(name, _Values()).add(value, texts)

    def fields(self) -> dict[str, JSON]:
        """Return the tables that define the fields, by their names."""
        return {name: values.table(self._answers) for name, values in self._fields.items()}


@dataclass(slots=True)
class _Values:
    """The values of one field."""

    given: int = 0
    lists: int = 0
    numbers: int = 0
    parts: Counter[str] = field(default_factory=Counter[str])
    """The texts, those in lists too."""
    verbatim: bool = True
    """Whether all texts stand in their records."""

    def add(self, value: JSON, texts: Sequence[str]) -> None:
        if value is None:
            return
        self.given += 1
        self.lists += isinstance(value, list)
        self.numbers += isinstance(value, (int, float))
        for part in _parts(value):
            self.parts[part] += 1
            self.verbatim = self.verbatim and any(part in text for text in texts)

    def table(self, answers: int) -> dict[str, JSON]:
        optional: dict[str, JSON] = {"optional": True} if self.given < answers and not self.lists else {}
        if self.numbers and self.numbers == self.given:
            return {"type": "number", **optional}
        few = 1 < len(self.parts) <= _MOST_LABELS and self.parts.total() >= _OFTEN * len(self.parts)
        labels: dict[str, JSON] = {"labels": sorted(self.parts)} if few and not self.verbatim else {}
        verbatim: dict[str, JSON] = {"verbatim": True} if self.verbatim and self.parts else {}
        if self.lists:
            return {"type": "list", **labels, **verbatim}
        if labels:
            return {"type": "label", **labels, **optional}
        if self.parts and all(map(_DATE.fullmatch, self.parts)):
            return {"type": "date", **optional}
        return {"type": "text", **optional, **verbatim}


def _parts(value: JSON) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (str(part) for part in cast("list[JSON]", value))


def _plain(value: JSON) -> bool:
    """Return whether a field can hold a value: text, a number, null, or a list of texts."""
    if isinstance(value, list):
        return all(isinstance(part, str) for part in cast("list[JSON]", value))
    return value is None or (isinstance(value, (str, int, float)) and not isinstance(value, bool))
