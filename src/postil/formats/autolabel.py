"""Autolabel (refuel-ai): its configuration and its CSV as a project, and the labels in its output as annotations.

From the configuration come the task, the labels with their descriptions, the gold column, the solved examples and how
many of them a prompt shows, and the model where it is one of OpenAI's. What has no place here is said.
"""

import csv
import math
import re
from ast import literal_eval
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from string import Formatter
from typing import Final

from postil.canonical import parse_json
from postil.errors import DataError, FormatError
from postil.formats.foreign import Answered, Foreign, Records, shown_names, shown_together, together
from postil.formats.landing import (
    Configuration,
    Landing,
    json_object,
    openai_annotator,
    overlaps,
    placed_spans,
    solved_rows,
    takes,
)
from postil.formats.records import read_records, read_rows
from postil.tasks import Task
from postil.types import JSON, Answer

__all__ = ["AUTOLABEL", "AUTOLABEL_CONFIG", "read_autolabel_config", "read_autolabel_output"]

_KINDS: Final = {
    "classification": "classification",
    "entity_matching": "classification",
    "multilabel_classification": "multilabel",
    "named_entity_recognition": "spans",
    "attribute_extraction": "attributes",
    "question_answering": "text",
}
_OUTPUTS: Final = frozenset({"label", "labels", "output_dict", "explanation", "output"})
_SELECTIONS: Final = {"fixed": "fixed", "label_diversity_random": "random"}
_SEPARATOR: Final = ";"


def read_autolabel_config(path: Path, items: Path, part: str | None = None) -> Landing:
    """Return the project that a configuration of Autolabel and its data describe.

    Raises:
        DataError: the configuration or the data cannot be read.
        FormatError: there is no kind of task for it.
    """
    if part is not None:
        raise FormatError(f"{path}: a configuration of Autolabel has one task, none is called {part!r}")
    return _Config(path, json_object(path), items).landing()


class _Config:
    def __init__(self, path: Path, config: Mapping[str, JSON], items: Path) -> None:
        self._path = path
        self._items = items
        self._config = config
        self._dataset = self._table("dataset")
        self._prompt = self._table("prompt")
        self._model = self._table("model")
        self._notes: list[str] = []
        task_type = str(config.get("task_type"))
        if task_type not in _KINDS:
            raise FormatError(
                f"{path}: expected a `task_type`, one of {', '.join(map(repr, _KINDS))}, got {task_type!r}",
                hint="Is it a configuration of Autolabel?",
            )
        self._kind = _KINDS[task_type]
        if self._kind == "text" and self._prompt.get("labels"):
            self._kind = "classification"  # questions with given answers
        self._labels: JSON = self._prompt.get("labels")
        self._label_column = self._dataset.get("label_column") or None
        self._separator = str(self._dataset.get("label_separator") or _SEPARATOR)
        if self._kind == "attributes":
            self._take_one_attribute()

    def _table(self, name: str) -> Mapping[str, JSON]:
        value = self._config.get(name) or {}
        if not isinstance(value, Mapping):
            raise DataError(f"{self._path}: expected an object under {name!r}, got {value!r}")
        return value

    def _take_one_attribute(self) -> None:
        """Take one attribute with options for what it is, a classification, where its column says one of them each."""
        first, *more = self._attributes()
        options = first.get("options")
        if more or not options or first.get("task_type") == "multilabel_classification":
            return
        values = {located.record.fields.get(first["name"]) for located in read_records(self._items)}
        if values - {None, ""} <= set(options):
            self._kind, self._labels, self._label_column = "classification", list(options), str(first["name"])

    def landing(self) -> Landing:
        self._check_delimiter()
        task, annotator = self._task(), self._annotator()
        direct = self._kind in ("classification", "text")
        gold = [] if direct else list(self._gold(str(task["show"])))
        shown = list(self._demonstrations(annotator, str(task["show"])))
        if not shown:
            annotator = {key: value for key, value in annotator.items() if key not in ("shots", "demonstrations")}
        if self._kind == "spans" and (overlaps(gold) or overlaps(shown)):
            task["nested"] = True
        field = self._label_column if direct and self._has_gold() else None
        return Landing(task, self._items, annotator, field, gold, shown, tuple(self._notes))

    def _check_delimiter(self) -> None:
        wanted, is_tsv = self._dataset.get("delimiter") or ",", self._items.suffix.lower() == ".tsv"
        if self._items.suffix.lower() in (".csv", ".tsv") and wanted != ("\t" if is_tsv else ","):
            raise FormatError(
                f"{self._path}: the cells of the data are separated by {wanted!r}, which no format of ours is",
                hint="Save the data with commas as .csv, with tabs as .tsv, or as JSON Lines.",
            )

    def _task(self) -> dict[str, JSON]:
        task: dict[str, JSON] = {"kind": self._kind, "name": str(self._config.get("task_name") or "task")}
        task |= {"instruction": self._instruction(), "show": self._show()}
        labels = self._labels
        if self._kind in ("classification", "multilabel", "spans"):
            if not labels:
                raise FormatError(
                    f"{self._path}: expected `labels` in `prompt`", hint="List them in the configuration."
                )
            task["labels"] = dict(labels) if isinstance(labels, Mapping) else list(labels)
        if self._kind == "attributes":
            task["fields"] = {each["name"]: self._field(each) for each in self._attributes()}
        if self._prompt.get("chain_of_thought") and takes(self._kind, "rationale"):
            task["rationale"] = True
        for key in ("output_guidelines", "transforms", "dataset_generation", "embedding"):
            if self._prompt.get(key) or self._config.get(key):
                self._notes.append(f"`{key}` was not taken over")
        return task

    def _attributes(self) -> list[Mapping[str, JSON]]:
        attributes = self._prompt.get("attributes")
        if not isinstance(attributes, list) or not all(isinstance(each, Mapping) for each in attributes):
            raise FormatError(f"{self._path}: expected a list of `attributes` in `prompt`, got {attributes!r}")
        return attributes

    def _field(self, attribute: Mapping[str, JSON]) -> dict[str, JSON]:
        field: dict[str, JSON] = {"optional": True}
        if attribute.get("description"):
            field["description"] = str(attribute["description"])
        if attribute.get("options"):
            many = attribute.get("task_type") == "multilabel_classification"
            field |= {"type": "list" if many else "label", "labels": list(map(str, attribute["options"]))}
        else:
            field["type"] = "list" if self._lists(attribute["name"]) else "text"
        return field

    def _lists(self, name: str) -> bool:
        """Return whether every cell of a column is a list as JSON."""
        cells = [located.record.fields.get(name) for located in read_records(self._items)]
        return bool(cells) and all(isinstance(_literal(cell), list) for cell in cells)

    @cached_property
    def _types(self) -> Mapping[str, str]:
        return {each["name"]: str(self._field(each)["type"]) for each in self._attributes()}

    def _instruction(self) -> str:
        labels = self._labels or ()
        guidelines = str(self._prompt.get("task_guidelines") or "").replace("{num_labels}", str(len(labels)))
        # Our prompts list the labels themselves, right after the instruction.
        text = re.sub(r"\{(labels|attribute_json)\}", "", guidelines).strip()
        if not text:
            raise FormatError(f"{self._path}: expected `task_guidelines` in `prompt`, which say what to do")
        return text

    def _show(self) -> str:
        """Return what of a record is shown: the example template up to where the answer comes."""
        outputs = _OUTPUTS | {self._label_column, self._dataset.get("explanation_column")}
        if self._kind == "attributes":
            outputs |= {each["name"] for each in self._attributes()}
        template = str(self._prompt.get("example_template") or "")
        try:
            pieces = list(Formatter().parse(template))
        except ValueError as error:
            raise FormatError(f"{self._path}: `example_template` cannot be read: {error}") from None
        kept: list[tuple[str, str]] = []
        before = ""
        for literal, name, _, _ in pieces:
            before += literal
            if name is None:
                continue
            if name in outputs:
                break
            kept.append((before, name))
            before = ""
        fields = [name for _, name in kept] or [str(self._dataset.get("text_column") or "example")]
        if len(set(fields)) == 1:
            return f"{{{fields[0]}}}"
        return "".join(literal.replace("{", "{{").replace("}", "}}") + f"{{{name}}}" for literal, name in kept).strip()

    # Who

    def _annotator(self) -> dict[str, JSON]:
        model = self._model
        name = str(model["name"]) if model.get("name") else None
        params = model.get("params") or {}
        endpoint = model.get("endpoint")
        table, notes = openai_annotator(str(model.get("provider")), name, str(endpoint) if endpoint else None)
        self._notes += notes
        for key, wanted in (("temperature", (int, float)), ("max_tokens", int)):
            value = params.get(key)
            if isinstance(value, wanted) and not isinstance(value, bool):
                table[key] = float(value) if key == "temperature" else value
        shots = self._prompt.get("few_shot_num")
        if isinstance(shots, (int, float)) and shots > 0 and self._prompt.get("few_shot_examples"):
            selection = str(self._prompt.get("few_shot_selection") or "fixed")
            table |= {"shots": int(shots), "demonstrations": _SELECTIONS.get(selection, "similar")}
        return table

    # What is known

    def _has_gold(self) -> bool:
        return any(self._label_column in row.record.fields for row in read_records(self._items))

    def _gold(self, show: str) -> Iterator[dict[str, JSON]]:
        """Yield the gold of the items as lines of a gold file."""
        unclear = 0
        for located in read_records(self._items):
            answer = self._answer(located.record.fields, show, located.place)
            if answer is not None:
                yield {"id": located.record.id, **answer}
            elif self._said(located.record.fields):
                unclear += 1
        if unclear:
            self._notes.append(f"the gold of {unclear} records was left out: it does not say one answer")

    def _said(self, fields: Mapping[str, JSON]) -> bool:
        return any(fields.get(str(name)) not in (None, "", "{}") for name in [self._label_column] if name)

    def _answer(self, fields: Mapping[str, JSON], show: str, place: str) -> Answer | None:
        """Return the answer that the columns of a row hold, `None` where they leave it open."""
        if self._kind == "attributes":
            named = {each["name"]: each for each in self._attributes()}
            if not any(name in fields for name in named):
                return None
            types = self._types
            return {"attributes": {name: self._value(fields.get(name), types[name]) for name in named}}
        held = fields.get(str(self._label_column))
        if held is None or held == "":
            return None
        if self._kind == "multilabel":
            listed = held if isinstance(held, list) else str(held).split(self._separator)
            return {"labels": [label for each in listed if (label := str(each).strip())]}
        if self._kind == "spans":
            spans = placed_spans(str(fields.get(show[1:-1], "")), _quotes(held, place))
            return None if spans is None else {"spans": spans}
        return {"label" if self._kind == "classification" else "text": held}

    def _value(self, value: JSON, type_: str) -> JSON:
        if value is None or value == "":
            return None
        if type_ != "list":
            return value if isinstance(value, str) else str(value)
        listed = _literal(value)
        parts = listed if isinstance(listed, list) else str(value).split(self._separator)
        return [part for each in parts if (part := str(each).strip())]

    def _demonstrations(self, annotator: Mapping[str, JSON], show: str) -> Iterator[dict[str, JSON]]:
        examples = self._prompt.get("few_shot_examples")
        if not examples or not annotator.get("shots"):
            return
        rows: Iterable[JSON] = self._example_file(examples) if isinstance(examples, str) else examples
        unclear = 0
        for number, row in enumerate(rows, 1):
            if not isinstance(row, Mapping):
                raise DataError(f"{self._path}: expected an object as example {number}, got {row!r}")
            answer = self._answer(row, show, f"{self._path}, example {number}")
            if answer is None:
                unclear += 1
                continue
            direct = self._kind in ("classification", "text")
            known = {} if direct else {key: value for key, value in row.items() if key not in answer}
            yield {**row} if direct else {**known, **answer}
        if unclear:
            self._notes.append(f"{unclear} examples were left out: they have no answer that can be told")

    def _example_file(self, name: str) -> Sequence[Mapping[str, JSON]]:
        """Return the examples in a file; paths begin where Autolabel ran, so it may lie beside the configuration."""
        folder = self._path.parent
        for each in (name, Path(name).name):
            if (folder / each).is_file():
                return solved_rows(folder, each)
        self._notes.append(f"no file {folder / name}: without examples; name one as `demonstrations` under [data]")
        return []


def _quotes(held: JSON, place: str) -> list[tuple[str, str]]:
    """Return (label, words) of entities by their label, as a JSON object or its text."""
    try:
        value = parse_json(held) if isinstance(held, str) else held
    except ValueError as error:
        raise DataError(f"{place}: expected entities as a JSON object, got {str(held)[:80]!r} ({error})") from None
    if not isinstance(value, Mapping) or not all(isinstance(words, list) for words in value.values()):
        raise DataError(f"{place}: expected entities as a JSON object of lists, got {str(held)[:80]!r}")
    return [(label, str(word)) for label, words in value.items() for word in words]


AUTOLABEL_CONFIG: Final = Configuration(
    "autolabel", "Autolabel: its configuration and data, as a project", read_autolabel_config
)


# What it labelled


def read_autolabel_output(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield the labels in a table that Autolabel has written, with their confidence.

    Raises:
        DataError: the table has no column of labels, or a row is about no record of ours.
    """
    source, rows = read_rows(path)
    for row in rows:
        place, fields = source.at(row.line), row.fields
        column = _label_column(fields, place)
        name = column.removesuffix("_label")
        shown = {field: fields.get(field) for field in shown_names(task)}
        if missing := [field for field, text in shown.items() if not isinstance(text, str)]:
            raise DataError(f"{place}: expected the column {missing[0]!r}, got {', '.join(map(repr, fields))}")
        record = records.find(together(map(str, shown.values())), shown_together, place)
        said = partial(Answered, record, place, by=name.removesuffix("_task"), machine=True)
        if str(fields.get(f"{name}_successfully_labeled", "True")).lower() != "true":
            yield said(None, note=_failure(name, "unreadable", str(fields.get(f"{name}_error") or "not labelled")))
            continue
        answer = _labelled(fields[column], task, str(next(iter(shown.values()))), place)
        if answer is None:
            note = _failure(name, "ambiguous", "its words stand in the text nowhere, or several times")
            yield said(None, note=note)
        else:
            yield said(answer, confidence=_confidence(fields, name))


def _failure(name: str, failure_class: str, message: str) -> dict[str, JSON]:
    """Return a note of a failure, as if Autolabel had left one of ours."""
    failed: dict[str, JSON] = {"outcome": "failure", "failure_class": failure_class, "message": message}
    return {**failed, "annotator": name.removesuffix("_task"), "machine": True}


def _label_column(fields: Mapping[str, JSON], place: str) -> str:
    found = [name for name in fields if name.endswith("_task_label")] or [
        name for name in fields if name.endswith("_llm_label")
    ]
    if len(found) != 1:
        raise DataError(
            f"{place}: expected one column of labels, like 'NAME_task_label', got {', '.join(map(repr, fields))}",
            hint="Save it in Autolabel with dataset.save('out.csv').",
        )
    return found[0]


def _labelled(said: JSON, task: Task, text: str, place: str) -> Answer | None:
    """Return the answer in a cell, `None` for spans whose places it does not say."""
    match task.kind:
        case "classification":
            return {"label": said}
        case "multilabel":
            listed = said if isinstance(said, list) else next(csv.reader([str(said)], delimiter=";"))
            return {"labels": [label for each in listed if (label := str(each).strip())]}
        case "text":
            return {"text": said}
        case "attributes":
            held = _literal(said)
            if not isinstance(held, Mapping):
                raise DataError(f"{place}: expected attributes as an object, got {str(said)[:80]!r}")
            names = [field["name"] for field in task.spec["fields"]]
            return {"attributes": {name: held.get(name) or None for name in names}}
        case _:
            spans = placed_spans(text, _quotes(_literal(said), place))
            return None if spans is None else {"spans": spans}


def _literal(said: JSON) -> JSON:
    """Return an object that stands in a cell as JSON, or as Python prints it."""
    if not isinstance(said, str):
        return said
    try:
        return parse_json(said)
    except ValueError:
        try:
            return literal_eval(said)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return said


def _confidence(fields: Mapping[str, JSON], name: str) -> float | None:
    try:
        confidence = float(str(fields.get(f"{name}_confidence")))
    except ValueError:
        return None
    return None if math.isnan(confidence) else confidence


AUTOLABEL: Final = Foreign(
    "autolabel",
    "Autolabel: the labels in a table that it has written",
    frozenset({"classification", "multilabel", "spans", "attributes", "text"}),
    read_autolabel_output,
)
