"""doccano: JSON Lines, a text with its labels a line, as its import and its export have them.

Offsets are those of its page in the browser, UTF-16, unless a project counts grapheme clusters (doccano#2290): where a
text has emoji these differ, and offsets inside one are refused. What doccano does not know it keeps with the text, so
our ids come back; the approval of a text and its annotator do not, they are not in the file.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Final

from postil.errors import DataError
from postil.formats.foreign import NOTE, Answered, Foreign, Records, in_place, note_of, one_field, shown_text
from postil.formats.format import Row, Source
from postil.formats.jsonl import read_jsonl, write_jsonl
from postil.formats.marks import DRAWN, Link, Mark, Marks, answer_of_marks, marks_of, whole
from postil.formats.offsets import Offsets
from postil.tasks import Task
from postil.types import JSON, Answer

__all__ = ["DOCCANO", "read_doccano", "write_doccano"]

_KEYS: Final = {
    "classification": "label",
    "multilabel": "labels",
    "rating": "rating",
    "preference": "preferred",
    "text": "text",
}
_UNIT: Final = "UTF-16"


def write_doccano(rows: Iterable[Mapping[str, JSON]], task: Task, path: Path) -> int:
    """Write a line for doccano's import for each row and return how many.

    Raises:
        FormatError: the file cannot be written, or an answer cannot be held.
    """
    one_field(task, "doccano")
    # Its import guesses the encoding of a file, and takes UTF-8 with Chinese or emoji for something else.
    return write_jsonl((_item(row, task) for row in rows), path, ascii_only=True)


def _item(row: Mapping[str, JSON], task: Task) -> dict[str, JSON]:
    text, answer = shown_text(task, row["fields"]), row.get("answer")
    # Not under "id": doccano puts its own number there.
    item: dict[str, JSON] = {"text": text, NOTE: note_of(row)}
    if task.kind in _KEYS:
        return {**item, "label": [] if answer is None else _labels(answer[_KEYS[task.kind]])}
    drawn = Marks([]) if answer is None else whole(marks_of(answer, task.kind), row["id"], "doccano")
    offsets = Offsets(text, _UNIT)
    if task.kind == "spans":
        return {**item, "label": [[offsets.of(each.start), offsets.of(each.end), each.label] for each in drawn.marks]}
    numbers = {mark.id: at for at, mark in enumerate(drawn.marks)}
    entities = [
        {"id": at, "label": each.label, "start_offset": offsets.of(each.start), "end_offset": offsets.of(each.end)}
        for at, each in enumerate(drawn.marks)
    ]
    relations = [
        {"id": at, "from_id": numbers[each.source], "to_id": numbers[each.target], "type": each.label}
        for at, each in enumerate(drawn.links)
    ]
    return {**item, "entities": entities, "relations": relations}


def _labels(value: JSON) -> list[str]:
    return list(value) if isinstance(value, list) else [str(value)]


def read_doccano(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield what the lines of a doccano export, or of a file for its import, say.

    Raises:
        DataError: a line is about no record of ours, or holds no answer that can be read.
    """
    one_field(task, "doccano")
    source = Source(path)
    for row in read_jsonl(path):
        yield _answered(row, task, records, source.at(row.line))


def _answered(row: Row, task: Task, records: Records, place: str) -> Answered:
    fields = row.fields
    text = fields.get("text", fields.get("data"))
    if not isinstance(text, str):
        raise DataError(f"{place}: expected a line with `text`, got {', '.join(map(repr, fields))}")
    note = in_place(fields.get(NOTE))
    record = records.by_text(text, place, id=note.get("id"))
    said = partial(Answered, record, place, note=note)
    # doccano numbers every text that has been through it: then a person has been at it.
    through = "id" in fields
    if "outcome" in note and note.get("answer") is None and not _labels_of(fields):
        # It had no labels and has none: the file does not say whether anybody has looked at it.
        return said(None, machine=bool(note.get("machine")))
    try:
        answer = _answer(fields, task, text)
    except DataError as error:
        raise DataError(f"{place}: {error.args[0]}", hint=error.hint) from None
    anchored = through and bool(note.get("machine")) and note.get("answer") is not None
    return said(answer, machine=not through and bool(note.get("machine")), anchored=anchored)


def _answer(fields: Mapping[str, JSON], task: Task, text: str) -> Answer | None:
    labels = _labels_of(fields)
    if not isinstance(labels, list):
        raise DataError(f"expected a list in `label`, or `entities`, got {', '.join(map(repr, fields))}")
    if task.kind in _KEYS:
        if task.kind == "multilabel":
            return {"labels": labels}
        if len(labels) > 1:
            raise DataError(f"expected one label, got {labels!r}", hint="Is it a task of the kind multilabel?")
        return {_KEYS[task.kind]: labels[0]} if labels else None
    offsets = Offsets(text, _UNIT)
    marks = [_mark(each, at, offsets) for at, each in enumerate(labels)]
    links = [
        Link(f"T{each['from_id']}", f"T{each['to_id']}", each["type"])
        for each in fields.get("relations") or ()
        if task.kind != "spans"
    ]
    return answer_of_marks(Marks(marks, links), task.kind, {"text": text})


def _labels_of(fields: Mapping[str, JSON]) -> JSON:
    return next((fields[key] for key in ("label", "labels", "entities") if key in fields), None)


def _mark(given: JSON, at: int, offsets: Offsets) -> Mark:
    if isinstance(given, Mapping):
        start, end, label = (given.get(key) for key in ("start_offset", "end_offset", "label"))
        number = given.get("id", at)
    elif isinstance(given, list) and len(given) == 3:
        (start, end, label), number = given, at
    else:
        raise DataError(f"expected a span as [start, end, label], got {given!r}")
    if type(start) is not int or type(end) is not int or not isinstance(label, str):
        raise DataError(f"expected a span as [start, end, label], got {given!r}")
    try:
        return Mark(f"T{number}", offsets.code_points(start), offsets.code_points(end), label)
    except DataError as error:
        raise DataError(
            f"{error.args[0]} ({label!r}, {start} to {end})",
            hint="Does the project count grapheme clusters as one character? Switch that off, and export again.",
        ) from None


DOCCANO: Final = Foreign(
    "doccano",
    "doccano: JSON Lines, texts with labels, spans and relations",
    frozenset(_KEYS) | DRAWN,
    read_doccano,
    write_doccano,
)
