"""What of a record is shown: text with `{field}` in it, and nothing more than fields."""

import json
import re
from dataclasses import dataclass
from functools import cached_property
from string import Formatter

from postil.errors import EmptyRecord, MissingField, TaskError
from postil.types import Record

# Columns have names like "review/text" and "Comment?"; a name is looked up in the record and is never an expression.
_FIELD = re.compile(r"[^\s\[\]](?:[^\[\]\x00-\x1f]*[^\s\[\]])?")


@dataclass(frozen=True)
class Shown:
    """A `show` text, taken apart once: literal text and field names in turn."""

    parts: tuple[tuple[str, str | None], ...]

    @classmethod
    def parse(cls, show: str) -> "Shown":
        """Return the parts of a `show` text.

        Raises:
            TaskError: it holds no field, or more than plain fields (no indexes, conversions or formats).
        """
        try:
            pieces = list(Formatter().parse(show))
        except ValueError as error:
            raise TaskError(f"`show` must be text with {{field}} in it, got {show!r}: {error}") from None
        for _, name, spec, conversion in pieces:
            if name is not None and (spec or conversion or not _FIELD.fullmatch(name)):
                raise TaskError(
                    f"`show` may hold plain fields only, like {{text}}; got {{{name}}} in {show!r}",
                    hint="write {{ and }} for literal braces",
                )
        if not any(name for _, name, _, _ in pieces):
            raise TaskError(f"`show` must name at least one field, like {{text}}; got {show!r}")
        return cls(tuple((literal, name) for literal, name, _, _ in pieces))

    @cached_property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields shown, each once, in order."""
        return tuple(dict.fromkeys(name for _, name in self.parts if name))

    def render(self, record: Record) -> str:
        """Return the shown text of a record.

        Raises:
            MissingField: the record has no such field.
            EmptyRecord: every field shown is empty or blank.
        """
        texts = {name: _text(record, name) for name in self.fields}
        if not any(text.strip() for text in texts.values()):
            raise EmptyRecord(f"record {record.id!r}: {' and '.join(map(repr, self.fields))} hold no text")
        return "".join(literal + (texts[name] if name else "") for literal, name in self.parts)


def _text(record: Record, name: str) -> str:
    try:
        value = record.fields[name]
    except KeyError:
        known = ", ".join(map(repr, record.fields)) or "none"
        raise MissingField(f"record {record.id!r} has no field {name!r}; it has {known}") from None
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
