"""A folder that `datasets.load_dataset` reads: JSON Lines under `data/`, and a card that says what its columns are.

Labels have the feature ClassLabel, spans are lists of structures. A folder or file of theirs is read by its columns:
the fields that the task shows, and the keys of its answers. Labels that `datasets` has turned into numbers get their
names back from what it left beside them, in the Parquet file or in our card.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from postil.canonical import canonical_json, parse_json
from postil.errors import DataError
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
from postil.formats.jsonl import write_jsonl
from postil.formats.parquet import parquet_metadata
from postil.formats.records import read_rows
from postil.formats.replacing import new_folder
from postil.tasks import Task
from postil.types import JSON, Answer

__all__ = ["HUGGING_FACE", "read_hugging_face", "write_hugging_face"]

_DATA: Final = "data/train.jsonl"
_CARD: Final = "README.md"
_READ: Final = (".jsonl", ".json", ".parquet", ".csv", ".tsv")
_TEXT: Final[Mapping[str, JSON]] = {"dtype": "string"}
_NUMBER: Final[Mapping[str, JSON]] = {"dtype": "float64"}
_WHOLE: Final[Mapping[str, JSON]] = {"dtype": "int64"}
_SPAN: Final[Mapping[str, Mapping[str, JSON]]] = {"start": _WHOLE, "end": _WHOLE, "label": _TEXT, "text": _TEXT}


def _answer_features(task: Task) -> dict[str, Mapping[str, JSON]] | None:
    """Return the columns of a kind's answers; `None` where an answer is a column of JSON."""
    span = {**_SPAN, **({"field": _TEXT} if len(shown_fields(task, {})) > 1 else {})}
    match task.kind:
        case "classification":
            return {"label": _class_label(task.labels)}
        case "multilabel":
            return {"labels": {"sequence": _class_label(task.labels)["dtype"]}}
        case "rating":
            return {"rating": _NUMBER}
        case "text":
            return {"text": _TEXT}
        case "preference" if len(task.spec.get("candidates") or ()) == 2:
            return {"preferred": _class_label(("a", "b", "tie")), "strength": _NUMBER}
        case "spans" if not task.spec.get("discontinuous"):
            return {"spans": _list(span)}
        case "relations" if not task.spec.get("discontinuous"):
            relation = {"head": _TEXT, "tail": _TEXT, "label": _TEXT}
            return {"spans": _list({"id": _TEXT, **span}), "relations": _list(relation)}
        case _:
            return None


def _class_label(names: Iterable[str]) -> dict[str, JSON]:
    return {"dtype": {"class_label": {"names": {str(at): name for at, name in enumerate(names)}}}}


def _list(columns: Mapping[str, Mapping[str, JSON]]) -> dict[str, JSON]:
    return {"list": [{"name": name, **feature} for name, feature in columns.items()]}


class _Columns:
    """Which columns hold what: ours give way to those of the record."""

    def __init__(self, task: Task) -> None:
        self.fields = list(shown_fields(task, {}))
        features = _answer_features(task)
        self.as_json = features is None
        kept = {"id", NOTE, *self.fields}
        held = {"answer": _TEXT} if features is None else features
        self.answer = {key: f"answer_{key}" if key in kept else key for key in held}
        self.features: dict[str, Mapping[str, JSON]] = {
            "id": _TEXT,
            **dict.fromkeys((field for field in self.fields if field != "id"), _TEXT),
            **{self.answer[key]: feature for key, feature in held.items()},
            "confidence": _NUMBER,
            "annotator": _TEXT,
            NOTE: _TEXT,
        }


def write_hugging_face(rows: Iterable[Mapping[str, JSON]], task: Task, path: Path) -> int:
    """Write a new folder with the records that have an answer and return how many.

    Raises:
        FormatError: the folder cannot be written, or is there already.
    """
    columns = _Columns(task)
    with new_folder(path) as folder:
        (folder / _DATA).parent.mkdir()
        count = write_jsonl((_item(row, task, columns) for row in rows), folder / _DATA)
        (folder / _CARD).write_text(_card(task, columns), encoding="utf-8")
    return count


def _item(row: Mapping[str, JSON], task: Task, columns: _Columns) -> dict[str, JSON]:
    answer = row["answer"]
    held = {"answer": canonical_json(answer).decode()} if columns.as_json else answer
    item = {**shown_fields(task, row["fields"]), "id": row["id"]}
    item |= {columns.answer[key]: held.get(key) for key in columns.answer}
    note = canonical_json(note_of(row)).decode()
    return item | {"confidence": row.get("confidence"), "annotator": row.get("annotator"), NOTE: note}


def _card(task: Task, columns: _Columns) -> str:
    """Return a card; its head is YAML, of which JSON is a part, so that labels like `no` stay text.

    It does not name the data files: `datasets` 5.2 then takes another folder's data out of its cache.
    """
    features = [{"name": name, **feature} for name, feature in columns.features.items()]
    head = f"dataset_info: {json.dumps({'features': features})}"
    return f"---\n{head}\n---\n\n# {' '.join(task.name.split())}\n\n{task.instruction}\n"


# What comes back


def read_hugging_face(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield what the rows of a dataset say, a folder of `datasets` or one of its files.

    Raises:
        DataError: the columns of the task are not there, or a row is about no record of ours.
    """
    columns = _Columns(task)
    for file in _files(path):
        names = _label_names(file, path if path.is_dir() else file.parent)
        source, rows = read_rows(file)
        for row in rows:
            yield _answered(row.fields, columns, names, source.at(row.line), records)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    found = sorted(each for each in path.rglob("*") if each.suffix in _READ and each.name != "dataset_infos.json")
    data = [each for each in found if each.name not in ("dataset_info.json", "state.json", "dataset_dict.json")]
    if not data:
        arrow = any(path.rglob("*.arrow"))
        raise DataError(
            f"{path}: expected a folder with files {', '.join(_READ)}, got {'Arrow files' if arrow else 'none'}",
            hint="Write it with to_parquet or to_json, in place of save_to_disk." if arrow else "Check the path.",
        )
    return data


def _label_names(file: Path, folder: Path) -> dict[str, list[str]]:
    """Return the names of the labels of each column that has them."""
    if file.suffix == ".parquet":
        held = parquet_metadata(file).get("huggingface")
        features = parse_json(held)["info"]["features"] if held else {}
        return {column: names for column, feature in features.items() if (names := _names(feature))}
    try:
        head = (folder / _CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return {}
    for line in head.splitlines():
        if line.startswith("dataset_info: {"):
            features = parse_json(line.removeprefix("dataset_info: "))["features"]
            return {each["name"]: names for each in features if (names := _names(each))}
    return {}


def _names(feature: Any) -> list[str]:
    """Return the names in a feature, in either of the two forms in which `datasets` writes them down."""
    if not isinstance(feature, Mapping):
        return []
    if feature.get("_type") == "ClassLabel":
        return list(feature["names"])
    if "class_label" in feature:
        return list(feature["class_label"]["names"].values())
    return next((names for key in ("dtype", "feature", "sequence", "list") if (names := _names(feature.get(key)))), [])


def _answered(
    fields: Mapping[str, JSON], columns: _Columns, names: Mapping[str, list[str]], place: str, records: Records
) -> Answered:
    missing = [name for name in (*columns.fields, *columns.answer.values()) if name not in fields]
    if missing:
        raise DataError(
            f"{place}: expected the column {missing[0]!r}, got {', '.join(map(repr, fields))}",
            hint="rename_column in datasets; or change what the task shows.",
        )
    note = in_place(fields.get(NOTE))
    shown = {name: fields[name] if isinstance(fields[name], str) else "" for name in columns.fields}
    record = records.find(together(shown.values()), shown_together, place, id=note.get("id"))
    held = {key: _named(fields[column], names.get(column, [])) for key, column in columns.answer.items()}
    answer = _answer(held, place, as_json=columns.as_json)
    confidence = fields.get("confidence")
    sure = confidence if isinstance(confidence, (int, float)) and not isinstance(confidence, bool) else None
    return Answered(
        record, place, answer, machine=bool(note.get("machine", sure is not None)), confidence=sure, note=note
    )


def _answer(held: Mapping[str, JSON], place: str, *, as_json: bool) -> Answer | None:
    if all(value is None or value == "" for value in held.values()):
        return None
    if not as_json:
        return {key: value for key, value in held.items() if value is not None}
    answer = in_place(held["answer"])
    if not answer:
        raise DataError(f"{place}: expected an answer as JSON, got {held['answer']!r}")
    return answer


def _named(value: JSON, names: list[str]) -> JSON:
    if isinstance(value, list):
        return [_named(each, names) for each in value]
    if not names or value in names:
        return value
    number = int(value) if isinstance(value, str) and value.isascii() and value.isdigit() else value
    return names[number] if isinstance(number, int) and 0 <= number < len(names) else value


HUGGING_FACE: Final = Foreign(
    "hugging-face",
    "Hugging Face datasets: a folder for load_dataset",
    None,
    read_hugging_face,
    write_hugging_face,
    folder=True,
    answers_only=True,
)
