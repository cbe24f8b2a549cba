"""Argilla: records with suggestions and responses, and the settings of their dataset, as its Python SDK reads them.

`dataset.records.from_json` takes the records, `rg.Settings.from_json` the settings. All answers of ours are
suggestions, with agent and score and whether a model or a person gave them: a response needs a user of Argilla's
server. Offsets are those of its page in the browser, UTF-16 (argilla#2353, #5729).
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from postil.canonical import canonical_json
from postil.errors import DataError, FormatError
from postil.formats.foreign import (
    NOTE,
    Answered,
    Foreign,
    Records,
    in_place,
    note_of,
    one_field,
    shown_fields,
    shown_together,
    together,
)
from postil.formats.format import STDOUT, Row, Source
from postil.formats.json_array import read_json_array, write_json_array
from postil.formats.jsonl import json_line
from postil.formats.marks import Mark, Marks, answer_of_marks, marks_of, sureness, whole
from postil.formats.offsets import Offsets
from postil.formats.replacing import output
from postil.tasks import Task
from postil.types import JSON, Answer

__all__ = ["ARGILLA", "dataset_settings", "read_argilla", "settings_path", "write_argilla"]

_PARTS: Final = {
    "classification": "label",
    "multilabel": "labels",
    "rating": "rating",
    "spans": "spans",
    "preference": "preferred",
    "text": "text",
}
_UNIT: Final = "UTF-16"
_MOST_POINTS: Final = 10


def _question(task: Task) -> str:
    """Return what the one question is called; not as a field is."""
    part = _PARTS[task.kind]
    return f"{part}_answer" if part in shown_fields(task, {}) else part


def dataset_settings(task: Task) -> dict[str, JSON]:
    """Return the settings of a dataset of Argilla that asks a task.

    Raises:
        FormatError: the task cannot be asked there.
    """
    name = _question(task)
    fields = [
        {"name": field, "title": field, "required": True, "type": "text", "settings": _plain("text")}
        for field in shown_fields(task, {})
    ]
    settings = _question_settings(task)
    question = {
        "name": name,
        "title": name,
        "description": None,
        "required": True,
        "type": settings["type"],
        "settings": settings,
    }
    return {
        "guidelines": task.instruction,
        "questions": [question],
        "fields": fields,
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "mapping": None,
    }


def _plain(type_: str) -> dict[str, JSON]:
    return {"type": type_, "use_markdown": False}


def _question_settings(task: Task) -> dict[str, JSON]:
    match task.kind:
        case "classification" | "preference":
            labels = ("a", "b", "tie") if task.kind == "preference" else task.labels
            return {"type": "label_selection", "options": _options(labels), "visible_options": None}
        case "multilabel":
            shown = {"visible_options": None, "options_order": "natural"}
            return {"type": "multi_label_selection", "options": _options(task.labels), **shown}
        case "rating":
            low, high = task.spec["low"], task.spec["high"]
            if low < 0 or high > _MOST_POINTS:
                raise FormatError(
                    f"the format 'argilla' has ratings from 0 to {_MOST_POINTS} only, got {low} to {high}",
                    hint="Formats that hold any scale: label-studio, doccano, hugging-face, jsonl",
                )
            return {"type": "rating", "options": [{"value": point} for point in range(low, high + 1)]}
        case "spans":
            held = {"field": one_field(task, "argilla"), "allow_overlapping": bool(task.spec.get("nested"))}
            return {"type": "span", **held, "options": _options(task.labels), "visible_options": None}
        case _:
            return _plain("text")


def _options(labels: Iterable[str]) -> list[JSON]:
    return [{"value": label, "text": label} for label in labels]


def settings_path(path: Path) -> Path:
    """Return where the settings go that belong to a file of records."""
    return path.with_name(f"{path.stem}.settings.json")


def write_argilla(rows: Iterable[Mapping[str, JSON]], task: Task, path: Path) -> int:
    """Write records for Argilla and, beside them, the settings of their dataset; return how many records.

    Raises:
        FormatError: a file cannot be written, or the task cannot be asked there.
    """
    settings = dataset_settings(task)
    written = write_json_array((_item(row, task) for row in rows), path)
    if str(path) != STDOUT:
        with output(settings_path(path)) as file:
            file.write(json_line(settings) + b"\n")
    return written


def _item(row: Mapping[str, JSON], task: Task) -> dict[str, JSON]:
    shown = shown_fields(task, row["fields"])
    item: dict[str, JSON] = {
        "id": row["id"],
        "fields": shown,
        "metadata": {NOTE: canonical_json(note_of(row)).decode()},
        "suggestions": {},
        "responses": {},
        "vectors": {},
    }
    if row.get("answer") is not None:
        value, score = _value(row, task, shown)
        type_ = "model" if row.get("machine") else "human"
        item["suggestions"] = {
            _question(task): {"value": value, "score": score, "agent": row["annotator"], "type": type_}
        }
    return item


def _value(row: Mapping[str, JSON], task: Task, shown: Mapping[str, str]) -> tuple[JSON, JSON]:
    answer = row["answer"]
    if task.kind != "spans":
        value = answer[_PARTS[task.kind]]
        if task.kind == "rating" and value != int(value):
            raise FormatError(
                f"the format 'argilla' has points of the scale only, record {row['id']!r} is rated {value!r}",
                hint="Formats that hold ratings between points: label-studio, doccano, hugging-face, jsonl",
            )
        # A score belongs to each label there, and we know that of the whole answer.
        return value, None if isinstance(value, list) else row.get("confidence")
    drawn = whole(marks_of(answer, "spans", row.get("part_confidences")), row["id"], "argilla")
    offsets = Offsets(shown[one_field(task, "argilla")], _UNIT)
    spans = [
        {"start": offsets.of(mark.start), "end": offsets.of(mark.end), "label": mark.label} for mark in drawn.marks
    ]
    scores = [mark.confidence for mark in drawn.marks]
    return spans, None if None in scores or not scores else scores


# What comes back


def read_argilla(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield what the records of Argilla say: people's responses, and suggestions.

    Raises:
        DataError: a record is none of ours, or its answers cannot be read.
    """
    source = Source(path, "item")
    for row in read_json_array(path):
        yield from _answered(row, task, records, source.at(row.line))


def _answered(row: Row, task: Task, records: Records, place: str) -> Iterator[Answered]:
    fields, shown = row.fields.get("fields"), list(shown_fields(task, {}))
    if not isinstance(fields, Mapping) or any(not isinstance(fields.get(name), str) for name in shown):
        raise DataError(
            f"{place}: expected a record with the fields {', '.join(map(repr, shown))}, got {str(fields)[:80]}",
            hint="Write it with dataset.records.to_json(path).",
        )
    metadata = row.fields.get("metadata")
    note = in_place(metadata.get(NOTE)) if isinstance(metadata, Mapping) else {}
    record = records.find(together(fields[name] for name in shown), shown_together, place, id=note.get("id"))
    said = partial(Answered, record, place, note=note)
    given = list(_given(row.fields, task, fields, place, note))
    suggested = any(machine for _, _, machine, _, _, _ in given)
    for answer, by, machine, declined, confidence, sure in given:
        anchored = suggested and not machine
        yield said(
            answer, by=by, machine=machine, declined=declined, anchored=anchored, confidence=confidence, sure=sure
        )
    if not given:
        yield said(None, machine=bool(note.get("machine")))


_Given = tuple[Answer | None, str, bool, str, float | None, Mapping[Hashable, float]]
"""Answer, by whom, whether a model, how declined, confidence, confidence of parts."""


def _given(
    row: Mapping[str, JSON], task: Task, fields: Mapping[str, str], place: str, note: Mapping[str, JSON]
) -> Iterator[_Given]:
    for response in _of_question(row.get("responses"), task, place) or []:
        by, status = str(response.get("user_id") or ""), response.get("status")
        if status == "discarded":
            yield None, by, False, "discarded in Argilla", None, {}
        elif status != "draft" and response.get("value") is not None:
            yield _answer(response["value"], None, task, fields, place)[0], by, False, "", None, {}
    suggestion = _of_question(row.get("suggestions"), task, place)
    if isinstance(suggestion, Mapping) and suggestion.get("value") is not None:
        score = suggestion.get("score")
        answer, sure = _answer(suggestion["value"], score, task, fields, place)
        # What Argilla writes has no type; then an agent that our note names is what the note says.
        known = note.get("machine") if suggestion.get("agent") == note.get("annotator") else True
        machine = suggestion["type"] != "human" if suggestion.get("type") else bool(known)
        confidence = score if isinstance(score, (int, float)) else None
        yield answer, str(suggestion.get("agent") or ""), machine, "", confidence, sure


def _of_question(held: JSON, task: Task, place: str) -> JSON:
    """Return what is held for the question of a task, or for the only question there is."""
    if not isinstance(held, Mapping) or not held:
        return None
    name = _question(task)
    if name in held:
        return held[name]
    if len(held) == 1:
        return next(iter(held.values()))
    raise DataError(
        f"{place}: expected the question {name!r}, got {', '.join(map(repr, held))}",
        hint="Rename the question in the file, or leave the others out.",
    )


def _answer(
    value: JSON, score: JSON, task: Task, fields: Mapping[str, str], place: str
) -> tuple[Answer, Mapping[Hashable, float]]:
    if task.kind != "spans":
        return {_PARTS[task.kind]: value}, {}
    field = one_field(task, "argilla")
    offsets = Offsets(fields[field], _UNIT)
    scores: Sequence[JSON] = score if isinstance(score, list) and len(score) == len(value) else [None] * len(value)
    try:
        marks = [
            Mark("", offsets.code_points(span["start"]), offsets.code_points(span["end"]), span["label"], None, sure)
            for span, sure in zip(value, scores, strict=True)
        ]
        return answer_of_marks(Marks(marks), "spans", {field: fields[field]}), {**sureness(marks)}
    except (KeyError, TypeError) as error:
        raise DataError(f"{place}: expected spans with start, end and label, got {str(value)[:80]}") from error
    except DataError as error:
        raise DataError(f"{place}: {error.args[0]}", hint=error.hint) from None


ARGILLA: Final = Foreign(
    "argilla",
    "Argilla: records with suggestions and responses, with the settings of their dataset",
    frozenset(_PARTS),
    read_argilla,
    write_argilla,
)
