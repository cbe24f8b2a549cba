"""Gold: answers held right for measuring, as a field of the items or as a file of their own."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from postil.canonical import digest, parse_json
from postil.errors import DataError
from postil.formats.format import Row, Source
from postil.formats.records import ID, id_text, read_rows
from postil.tasks import VALUE_SCALES, Task
from postil.types import JSON, Answer, Record

__all__ = ["Gold", "accepted", "cell_value", "gold_answer", "held_answer", "read_gold"]


@dataclass(frozen=True, slots=True)
class Gold:
    """What a line of gold says of a record."""

    record: str
    answer: Answer | None
    """`None` where the line leaves it open: null, or an empty cell."""
    line: int
    source: Source

    @property
    def place(self) -> str:
        """The place in words: "gold.csv, line 3"."""
        return self.source.at(self.line)


def gold_answer(
    fields: Mapping[str, JSON], task: Task, field: str | None = None, record: Record | None = None
) -> Answer | None:
    """Return the gold answer that the fields of a record or of a line hold, `None` where they leave it open.

    `field` names the one field that holds it ("stars" for a rating), as the value of the answer's only key or as an
    object with the answer's keys; otherwise the answer is made of the keys of the task's answers. Missing, null and ""
    are no gold; "NA", "None" and "no" are labels like any other. Structures may stand in a table's cell as JSON.

    Raises:
        DataError: what they hold is no answer to the task, or not about the record.
    """
    keys = (*task.answer_keys, *task.other_keys)
    if field is not None and len(task.answer_keys) > 1 and not _open(fields.get(field)):
        _check_object(fields[field], task, field)
    held = held_answer(fields, keys, field, structured=task.scale not in VALUE_SCALES)
    return task.accept(held, record) if held else None


def _check_object(value: JSON, task: Task, field: str) -> None:
    """Check that one field holds an answer of several keys: as an object, or in a table's cell as JSON."""
    if not isinstance(cell_value(value, structured=True), Mapping):
        raise DataError(
            f"expected an object with the keys {', '.join(map(repr, task.answer_keys))} in the field {field!r},"
            f" got {type(value).__name__}",
            hint="Write it so, or give the gold as a file of its own.",
        )


def held_answer(
    fields: Mapping[str, JSON], keys: Sequence[str], field: str | None = None, *, structured: bool
) -> Answer:
    """Return what fields hold of an answer with these keys, as it stands there; nothing where they leave it open.

    A `field` holds an object with some of the keys, or the value of the first.
    """
    if field is None:
        return {key: cell_value(fields[key], structured=structured) for key in keys if not _open(fields.get(key))}
    if _open(fields.get(field)):
        return {}
    value = cell_value(fields[field], structured=structured)
    if isinstance(value, Mapping) and any(key in value for key in keys):
        return value
    return {keys[0]: value}


def cell_value(value: JSON, *, structured: bool) -> JSON:
    """Return a value; what a table's cell holds as JSON, where answers are structures."""
    if not structured or not isinstance(value, str) or not value.lstrip().startswith(("[", "{")):
        return value
    try:
        return parse_json(value)
    except ValueError:
        return value


def _open(value: JSON) -> bool:
    return value is None or value == ""


def read_gold(
    path: Path,
    task: Task,
    *,
    field: str | None = None,
    id_field: str = ID,
    format: str | None = None,  # noqa: A002  # its name everywhere
) -> Iterator[Gold]:
    """Yield what a gold file says, an answer once: lines that repeat a record and agree are one.

    Raises:
        DataError: a line has no id or no gold key, its answer is none to the task, or two lines contradict each other.
        FormatError: there is no format of that name.
    """
    source, rows = read_rows(path, format=format)
    wanted = (field,) if field else (*task.answer_keys, *task.other_keys)
    return _each_once(_gold(source, row, task, field, id_field, wanted) for row in rows)


def _gold(source: Source, row: Row, task: Task, field: str | None, id_field: str, wanted: tuple[str, ...]) -> Gold:
    place = source.at(row.line)
    for needed in ((id_field,), wanted):
        if not any(key in row.fields for key in needed):
            raise DataError(
                f"{place}: expected {' or '.join(map(repr, needed))} in a line of gold, "
                f"got {', '.join(map(repr, row.fields)) or 'nothing'}",
                hint="A line of gold holds the id of a record and its answer.",
            )
    record = id_text(row.fields[id_field], id_field, place)
    try:
        answer = gold_answer(row.fields, task, field)
    except DataError as error:
        raise _not_accepted(place, record, error) from error
    return Gold(record, answer, row.line, source)


def _each_once(lines: Iterable[Gold]) -> Iterator[Gold]:
    seen: dict[str, tuple[str, int]] = {}
    for gold in lines:
        if gold.answer is None:
            yield gold
            continue
        mark = digest(gold.answer)
        known = seen.get(gold.record)
        if known is None:
            seen[gold.record] = mark, gold.line
            yield gold
        elif known[0] != mark:
            raise DataError(
                f"{gold.place}: the gold of record {gold.record!r} differs from that of {gold.source.at(known[1])}",
                hint="Decide which holds, and remove the other.",
            )


def accepted(answer: Answer, task: Task, place: str, record: str, about: Record | None = None) -> Answer:
    """Return an answer as the task accepts it, checked against the record it is about where that is given.

    Raises:
        DataError: it is none; the message says for which record and where.
    """
    try:
        return task.accept(answer, about)
    except DataError as error:
        raise _not_accepted(place, record, error) from error


def _not_accepted(place: str, record: str, error: DataError) -> DataError:
    return DataError(f"{place}, record {record!r}: {error.args[0]}", hint=error.hint)
