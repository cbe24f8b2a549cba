"""Label Studio: tasks with predictions and annotations as JSON, and the labeling configuration that shows them.

A model's answers are written as predictions, with score and model version, a person's as annotations. Read is the
export "JSON" (not JSON-MIN, which leaves out what cannot be flattened). Offsets in it are code points since 2022, were
UTF-16 before; the text quoted with each region says which.
"""

import re
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final
from xml.etree import ElementTree as ET

from postil.errors import DataError, FormatError
from postil.formats.foreign import (
    NOTE,
    Answered,
    Foreign,
    Records,
    in_place,
    note_of,
    shown_fields,
    shown_together,
    together,
)
from postil.formats.format import STDOUT, Row, Source
from postil.formats.json_array import read_json_array, write_json_array
from postil.formats.marks import (
    DRAWN,
    Link,
    Mark,
    Marks,
    answer_of_marks,
    link_labels,
    mark_labels,
    marks_of,
    quoted_place,
    sureness,
    whole,
)
from postil.formats.replacing import output
from postil.tasks import Task
from postil.types import JSON, Answer, Record

__all__ = ["LABEL_STUDIO", "config_path", "labeling_config", "read_label_studio", "write_label_studio"]

_KINDS: Final = frozenset({"classification", "multilabel", "rating", "attributes", "preference", "text"}) | DRAWN
_PLAIN: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_NOT_IN_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_REGIONS: Final = ("labels", "hypertextlabels")
_OF_RECORD: Final = ("choices", "number", "rating", "textarea")


@dataclass(frozen=True, slots=True)
class _Control:
    """One thing to fill in: its name in Label Studio, its tag, what it is about, and which part of an answer it is."""

    name: str
    tag: str
    target: str
    part: str
    many: bool = False
    """Whether it may be filled in several times."""


class _Project:
    """How a task stands in Label Studio: a text for each field shown, a control for each part of an answer."""

    def __init__(self, task: Task) -> None:
        self.task = task
        fields = list(shown_fields(task, {}))
        self.keys = {field: _name(field, "field", at) for at, field in enumerate(fields, 1)}
        self.fields = {key: field for field, key in self.keys.items()}
        first = next(iter(self.fields))
        self.controls = [
            replace(control, name=f"answer_{control.name}") if control.name in self.fields else control
            for control in _controls(task, first, list(self.fields))
        ]

    def control(self, part: str) -> _Control:
        return next(control for control in self.controls if control.part == part)

    def config(self) -> ET.Element:
        view = ET.Element("View")
        ET.SubElement(view, "Header", value=self.task.instruction)
        for control in self.controls:
            if control.tag == "Labels":
                _add_control(view, control, self.task)
        for key in self.fields:
            ET.SubElement(view, "Text", name=key, value=f"${key}")
        for control in self.controls:
            if control.tag != "Labels":
                _add_control(view, control, self.task)
        if labels := link_labels(self.task) if self.task.kind in DRAWN else ():
            relations = ET.SubElement(view, "Relations")
            for label in labels:
                ET.SubElement(relations, "Relation", value=label)
        return view


def _name(given: str, fallback: str, at: int) -> str:
    return given if _PLAIN.fullmatch(given) else f"{fallback}_{at}"


def _controls(task: Task, first: str, keys: Sequence[str]) -> list[_Control]:
    match task.kind:
        case "classification":
            return [_Control("label", "Choices", first, "label")]
        case "multilabel":
            return [_Control("labels", "Choices", first, "labels", many=True)]
        case "rating":
            return [_Control("rating", "Number", first, "rating")]
        case "text":
            return [_Control("written", "TextArea", first, "text")]
        case "preference":
            choice = _Control("preferred", "Choices", first, "preferred")
            return [choice, _Control("strength", "Number", first, "strength")]
        case "attributes":
            return [_attribute_control(field, at, first) for at, field in enumerate(task.spec["fields"], 1)]
        case _:
            return [_Control("marks" if at == 0 else f"marks_{key}", "Labels", key, key) for at, key in enumerate(keys)]


def _attribute_control(field: Mapping[str, JSON], at: int, first: str) -> _Control:
    name = _name(field["name"], "attribute", at)
    tag = "Choices" if field.get("labels") else "Number" if field["type"] == "number" else "TextArea"
    return _Control(name, tag, first, field["name"], many=field["type"] == "list")


def _add_control(view: ET.Element, control: _Control, task: Task) -> None:
    tag = ET.SubElement(view, control.tag, name=control.name, toName=control.target)
    meanings = task.spec.get("span_labels_meanings" if task.kind == "relations" else "labels_meanings") or {}
    match control.tag:
        case "Choices":
            tag.set("choice", "multiple" if control.many else "single")
            for value in _options(task, control.part):
                ET.SubElement(tag, "Choice", {"value": value, **_hint(meanings.get(value))})
        case "Number":
            for name, value in _range(task).items():
                tag.set(name, str(value))
        case "TextArea":
            tag.set("editable", "true")
            if not control.many:
                tag.set("maxSubmissions", "1")
        case _:
            for value in mark_labels(task):
                ET.SubElement(tag, "Label", {"value": value, **_hint(meanings.get(value))})


def _range(task: Task) -> dict[str, JSON]:
    match task.kind:
        case "rating":
            return {"min": task.spec["low"], "max": task.spec["high"], "step": 1}
        case "preference":
            return {"min": 0, "max": 1, "step": 0.01}
        case _:
            return {}


def _hint(definition: str | None) -> dict[str, str]:
    return {"hint": definition} if definition else {}


def _options(task: Task, part: str) -> Iterable[str]:
    match task.kind:
        case "preference":
            return ("a", "b", "tie")
        case "attributes":
            return next(field["labels"] for field in task.spec["fields"] if field["name"] == part)
        case _:
            return task.labels


def labeling_config(task: Task) -> str:
    """Return the labeling configuration that shows a task in Label Studio, as XML.

    Raises:
        FormatError: the task cannot be shown there.
    """
    view = _Project(task).config()
    for tag in view.iter():
        for value in tag.attrib.values():
            if found := _NOT_IN_XML.search(value):
                raise FormatError(
                    f"{value!r} holds the character {found[0]!a}, which the configuration of Label Studio cannot",
                    hint="Rename the label, or export as jsonl.",
                )
    ET.indent(view)
    return ET.tostring(view, encoding="unicode") + "\n"


def config_path(path: Path) -> Path:
    """Return where the configuration goes that belongs to a file of tasks."""
    return path.with_name(f"{path.stem}.config.xml")


def write_label_studio(rows: Iterable[Mapping[str, JSON]], task: Task, path: Path) -> int:
    """Write tasks for Label Studio's import and, beside them, the labeling configuration; return how many tasks.

    Raises:
        FormatError: a file cannot be written, or the task cannot be shown there.
    """
    config, project = labeling_config(task), _Project(task)
    written = write_json_array((_item(row, project) for row in rows), path)
    if str(path) != STDOUT:
        with output(config_path(path)) as file:
            file.write(config.encode("utf-8"))
    return written


def _item(row: Mapping[str, JSON], project: _Project) -> dict[str, JSON]:
    shown = shown_fields(project.task, row["fields"])
    item: dict[str, JSON] = {
        "data": {project.keys[field]: text for field, text in shown.items()},
        "meta": {NOTE: note_of(row)},
    }
    answer, person = row.get("answer"), not row.get("machine")
    if answer is not None:
        result = list(_result(answer, row, project, shown))
        item |= {"annotations": [{"result": result}]} if person else {"predictions": [_prediction(row, result)]}
    elif row["outcome"] == "abstention" and person:
        item["annotations"] = [{"result": [], "was_cancelled": True}]
    return item


def _prediction(row: Mapping[str, JSON], result: list[JSON]) -> dict[str, JSON]:
    prediction: dict[str, JSON] = {"model_version": row["annotator"], "result": result}
    return prediction if row.get("confidence") is None else {**prediction, "score": row["confidence"]}


def _result(
    answer: Answer, row: Mapping[str, JSON], project: _Project, shown: Mapping[str, str]
) -> Iterator[dict[str, JSON]]:
    kind = project.task.kind
    if kind in DRAWN:
        drawn = marks_of(answer, kind, row.get("part_confidences"))
        yield from _drawn(whole(drawn, row["id"], "label-studio"), project, shown)
        return
    sure = row.get("part_confidences") or {}
    parts = answer["attributes"] if kind == "attributes" else answer
    for control in project.controls:
        if (value := parts.get(control.part)) is not None:
            held = _value(control, value)
            about = {"id": control.name, "from_name": control.name, "to_name": control.target}
            score = sure.get(f"attributes/{control.part}")
            item: dict[str, JSON] = {**about, "type": control.tag.lower(), "value": held}
            yield item if score is None else {**item, "score": score}


def _value(control: _Control, value: JSON) -> dict[str, JSON]:
    match control.tag:
        case "Choices":
            return {"choices": list(value) if isinstance(value, list) else [value]}
        case "Number":
            return {"number": value}
        case _:
            return {"text": list(value) if isinstance(value, list) else [value]}


def _drawn(drawn: Marks, project: _Project, shown: Mapping[str, str]) -> Iterator[dict[str, JSON]]:
    for mark in drawn.marks:
        field = mark.field or next(iter(shown))
        control = project.control(project.keys[field])
        place = {"start": mark.start, "end": mark.end, "text": shown[field][mark.start : mark.end]}
        region: dict[str, JSON] = {
            "id": mark.id,
            "from_name": control.name,
            "to_name": control.target,
            "type": "labels",
            "value": {**place, "labels": [mark.label]},
        }
        yield region if mark.confidence is None else {**region, "score": mark.confidence}
    for link in drawn.links:
        ends = {"from_id": link.source, "to_id": link.target}
        yield {**ends, "type": "relation", "direction": "right", "labels": [link.label]}


# What comes back


def read_label_studio(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield what a Label Studio export says: people's annotations and models' predictions.

    Raises:
        DataError: a task is not of the export "JSON", or is about no record of ours.
    """
    reading = _Reading(task, records, _Project(task))
    source = Source(path, "item")
    for row in read_json_array(path):
        yield from reading.answered(row, source.at(row.line))


class _Reading:
    def __init__(self, task: Task, records: Records, project: _Project) -> None:
        self._task = task
        self._records = records
        self._project = project

    def answered(self, row: Row, place: str) -> Iterator[Answered]:
        data = row.fields.get("data")
        if not isinstance(data, Mapping):
            raise DataError(
                f"{place}: expected a task with `data`, got {', '.join(map(repr, row.fields))}",
                hint='In Label Studio choose the export format "JSON".',
            )
        meta = row.fields.get("meta")
        note = in_place(meta.get(NOTE)) if isinstance(meta, Mapping) else {}
        texts = self._texts(data, place)
        record = self._records.find(together(texts.values()), shown_together, place, id=note.get("id"))
        given = list(self._given(row, record, texts, note, place))
        yield from given or [Answered(record, place, None, machine=bool(note.get("machine")), note=note)]

    def _texts(self, data: Mapping[str, JSON], place: str) -> dict[str, str]:
        keys = self._project.keys
        held = {field: data.get(key, data.get(field)) for field, key in keys.items()}
        if len(keys) == 1 and not isinstance(next(iter(held.values())), str):
            texts = [value for value in data.values() if isinstance(value, str)]
            held = dict.fromkeys(keys, texts[0] if len(texts) == 1 else data.get("text"))
        for field, value in held.items():
            if not isinstance(value, str):
                raise DataError(
                    f"{place}: expected the text of the field {field!r} in `data`, got {', '.join(map(repr, data))}",
                    hint=f"`show` of task {self._task.name!r} must name what Label Studio shows.",
                )
        return {field: str(value) for field, value in held.items()}

    def _given(
        self, row: Row, record: Record, texts: Mapping[str, str], note: Mapping[str, JSON], place: str
    ) -> Iterator[Answered]:
        said = partial(Answered, record, place, note=note)
        people = _objects(row.fields.get("annotations")) or _objects(row.fields.get("completions"))
        for given in people:
            by = _who(given.get("completed_by"))
            if given.get("was_cancelled"):
                yield said(None, by=by, declined="skipped in Label Studio")
                continue
            answer, sure = self._answer(given, texts, place)
            anchored = given.get("parent_prediction") is not None or bool(given.get("prediction"))
            declined = "" if answer else "left open in Label Studio"
            yield said(answer, by=by, declined=declined, anchored=anchored, sure=sure)
        for given in _objects(row.fields.get("predictions")):
            answer, sure = self._answer(given, texts, place)
            if answer is not None:
                by, score = _who(given.get("model_version")), given.get("score")
                yield said(answer, by=by, machine=True, confidence=score, sure=sure)

    def _answer(
        self, given: Mapping[str, JSON], texts: Mapping[str, str], place: str
    ) -> tuple[Answer | None, dict[Hashable, float]]:
        result = _objects(given.get("result"))
        try:
            if self._task.kind in DRAWN:
                return self._of_regions(result, texts)
            return self._of_record(result), self._sure(result)
        except DataError as error:
            raise DataError(f"{place}: {error.args[0]}", hint=error.hint) from None

    def _of_regions(
        self, result: Sequence[Mapping[str, JSON]], texts: Mapping[str, str]
    ) -> tuple[Answer, dict[Hashable, float]]:
        marks = [self._mark(region, texts) for region in result if region.get("type") in _REGIONS]
        links = [_link(item) for item in result if item.get("type") == "relation" and self._task.kind != "spans"]
        return answer_of_marks(Marks(marks, links), self._task.kind, texts), {**sureness(marks)}

    def _sure(self, result: Sequence[Mapping[str, JSON]]) -> dict[Hashable, float]:
        if self._task.kind != "attributes":
            return {}
        held = {
            self._control(item, result).part: item.get("score") for item in result if item.get("type") in _OF_RECORD
        }
        return {f"attributes/{part}": score for part, score in held.items() if score is not None}

    def _mark(self, region: Mapping[str, JSON], texts: Mapping[str, str]) -> Mark:
        value = region["value"]
        key = region.get("to_name")
        field = self._project.fields.get(str(key)) or next(iter(texts))
        places = value.get("globalOffsets") or value
        start, end = quoted_place(texts[field], places.get("start"), places.get("end"), value.get("text"))
        labels = value.get("labels") or value.get("hypertextlabels") or ()
        if len(labels) != 1:
            raise DataError(f"expected one label for a region, got {labels!r} ({start} to {end})")
        score = region.get("score")
        return Mark(str(region.get("id")), start, end, labels[0], field if len(texts) > 1 else None, score)

    def _of_record(self, result: Sequence[Mapping[str, JSON]]) -> Answer | None:
        parts: dict[str, JSON] = {}
        for item in result:
            if item.get("type") in _OF_RECORD:
                control = self._control(item, result)
                if control.part in parts:
                    raise DataError(f"expected one result of the control {item['from_name']!r}, got several")
                parts[control.part] = _content(item, many=control.many)
        if self._task.kind == "attributes":
            every = dict.fromkeys(control.part for control in self._project.controls)
            return {"attributes": every | parts}
        if self._task.kind == "multilabel":
            return {"labels": [], **parts}
        if self._task.kind == "preference" and "preferred" not in parts:
            return None
        return parts or None

    def _control(self, item: Mapping[str, JSON], result: Sequence[Mapping[str, JSON]]) -> _Control:
        """Return the control of ours that a result is of: by its name, or the only one that there is."""
        for control in self._project.controls:
            if control.name == item.get("from_name"):
                return control
        names = {str(other.get("from_name")) for other in result if other.get("type") in _OF_RECORD}
        if len(self._project.controls) == len(names) == 1:
            return self._project.controls[0]
        ours = ", ".join(repr(control.name) for control in self._project.controls)
        raise DataError(
            f"expected results of the controls {ours}, got {', '.join(map(repr, sorted(names)))}",
            hint="Rename the controls in Label Studio's configuration, or in the file.",
        )


def _objects(value: JSON) -> list[Mapping[str, JSON]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []


def _who(value: JSON) -> str:
    if isinstance(value, Mapping):
        value = value.get("email") or value.get("username") or value.get("id")
    return "" if value is None else str(value)


def _link(item: Mapping[str, JSON]) -> Link:
    labels = item.get("labels") or ()
    if len(labels) != 1:
        raise DataError(f"expected one label for a relation, got {labels!r}")
    source, target = str(item.get("from_id")), str(item.get("to_id"))
    return Link(target, source, labels[0]) if item.get("direction") == "left" else Link(source, target, labels[0])


def _content(item: Mapping[str, JSON], *, many: bool) -> JSON:
    value = item["value"]
    match item["type"]:
        case "number" | "rating":
            return value[item["type"]]
        case "choices":
            return value["choices"] if many else _only(value["choices"], "choice")
        case _:
            written = value["text"]
            if not isinstance(written, list):
                return [written] if many else written
            return written if many else _only(written, "text")


def _only(values: Sequence[JSON], what: str) -> JSON:
    if len(values) != 1:
        raise DataError(f"expected one {what}, got {values!r}")
    return values[0]


LABEL_STUDIO: Final = Foreign(
    "label-studio",
    "Label Studio: tasks, predictions and annotations as JSON, with the labeling configuration",
    _KINDS,
    read_label_studio,
    write_label_studio,
)
