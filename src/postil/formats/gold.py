"""Gold: answers held right for measuring, as a field of the items or as a file of their own."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from postil.canonical import digest, parse_json
from postil.errors import DataError
from postil.formats.format import Row, Source
from postil.formats.records import ID, id_text, read_rows
from postil.tasks import VALUE_SCALES, Task
from postil.tasks.reasons import RATIONALE, asks_for_reasons
from postil.tasks.shown import Shown
from postil.types import JSON, Answer, Record

__all__ = [
    "Gold",
    "GoldLine",
    "accepted",
    "cell_value",
    "gold_answer",
    "gold_lines",
    "gold_once",
    "gold_rationale",
    "held_answer",
    "read_gold",
]


@dataclass(frozen=True, slots=True)
class Gold:
    """What a line of gold says of a record."""

    record: str
    answer: Answer | None
    """`None` where the line leaves it open: null, or an empty cell."""
    line: int
    source: Source
    rationale: str = ""
    """The reasons for the answer, where the task asks for reasons and the line gives them."""

    @property
    def place(self) -> str:
        """The place in words: "gold.csv, line 3"."""
        return self.source.at(self.line)


@dataclass(frozen=True, slots=True)
class GoldLine:
    """A line of a gold file whose answer has not been looked at: what points into a text needs the text for that."""

    record: str
    held: Answer
    """The keys of an answer as they stand there; none where the line leaves it open."""
    line: int
    source: Source
    rationale: str = ""

    def gold(self, task: Task, about: Record | None = None) -> Gold:
        """Return what the line says, as the task accepts it; with the record it is checked against the record.

        Raises:
            DataError: it is no answer to the task, or not about the record; the message says where.
        """
        answer = accepted(self.held, task, self.source.at(self.line), self.record, about) if self.held else None
        return Gold(self.record, answer, self.line, self.source, self.rationale)


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
    held = _held(fields, task, field)
    return task.accept(held, record) if held else None


def _held(fields: Mapping[str, JSON], task: Task, field: str | None) -> Answer:
    keys = (*task.answer_keys, *task.other_keys)
    if field is not None and len(task.answer_keys) > 1 and not _open(fields.get(field)):
        _check_object(fields[field], task, field)
    return held_answer(fields, keys, field, structured=task.scale not in VALUE_SCALES)


def gold_rationale(fields: Mapping[str, JSON], task: Task, field: str | None = None) -> str:
    """Return the reasons that are given with gold, "" for none: in the object in `field`, or beside it.

    They stand under `rationale`. A field of that name that the task shows is part of what is asked about.

    Raises:
        DataError: they are no text.
    """
    held = None if field is None else cell_value(fields.get(field), structured=task.scale not in VALUE_SCALES)
    if isinstance(held, Mapping) and RATIONALE in held:
        value = held[RATIONALE]
    else:
        value = None if RATIONALE in Shown.parse(task.show).fields else fields.get(RATIONALE)
    if not _open(value) and not isinstance(value, str):
        raise DataError(
            f"expected the reasons for the answer as text in {RATIONALE!r}, got {type(value).__name__}",
            hint="Give that field another name if it holds something else.",
        )
    return (value or "").strip()


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
    find: Callable[[str], Record | None] | None = None,
) -> Iterator[Gold]:
    """Yield what a gold file says, an answer once: lines that repeat a record and agree are one.

    `find` returns the record with an id: answers that point into a text are then checked against it, and need not
    repeat its words.

    Raises:
        DataError: a line has no id or no gold key, its answer is none to the task, or two lines contradict each other.
        FormatError: there is no format of that name.
    """
    lines = gold_lines(path, task, field=field, id_field=id_field, format=format)
    return gold_once(each.gold(task, None if find is None else find(each.record)) for each in lines)


def gold_lines(
    path: Path,
    task: Task,
    *,
    field: str | None = None,
    id_field: str = ID,
    format: str | None = None,  # noqa: A002  # its name everywhere
) -> Iterator[GoldLine]:
    """Yield the lines of a gold file, whose records may not be known yet.

    Raises:
        DataError: a line has no id or no gold key.
        FormatError: there is no format of that name.
    """
    source, rows = read_rows(path, format=format)
    wanted = (field,) if field else (*task.answer_keys, *task.other_keys)
    reasons = asks_for_reasons(task)
    return (_line(source, row, task, field, id_field, wanted, reasons=reasons) for row in rows)


def _line(
    source: Source, row: Row, task: Task, field: str | None, id_field: str, wanted: tuple[str, ...], *, reasons: bool
) -> GoldLine:
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
        held = _held(row.fields, task, field)
        rationale = gold_rationale(row.fields, task, field) if reasons else ""
    except DataError as error:
        raise _not_accepted(place, record, error) from error
    return GoldLine(record, held, row.line, source, rationale)


def gold_once(lines: Iterable[Gold]) -> Iterator[Gold]:
    """Yield each answer once: lines that repeat a record and agree are one.

    Raises:
        DataError: two lines contradict each other.
    """
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
