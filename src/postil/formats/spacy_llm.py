"""spaCy-LLM: a component of its configuration as a project, with labels, definitions, examples and OpenAI's models."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from configparser import ConfigParser, Error
from pathlib import Path
from typing import Final

from postil.canonical import parse_json
from postil.errors import DataError, FormatError
from postil.formats.jsonl import read_jsonl
from postil.formats.landing import Configuration, Landing, config_text, openai_annotator, overlaps, placed_spans
from postil.types import JSON, Answer

__all__ = ["SPACY_LLM", "read_spacy_llm"]

_SHOW: Final = "{text}"
_MODELS: Final = {"GPT-4": "gpt-4", "GPT-3-5": "gpt-3.5-turbo"}
_KINDS: Final = {
    "TextCat": "classification",
    "NER": "spans",
    "SpanCat": "spans",
    "REL": "relations",
    "Summarization": "text",
    "Translation": "text",
    "Raw": "text",
}
_INSTRUCTIONS: Final = {
    "TextCat": "Which label fits the text?",
    "NER": "Which named entities does the text name?",
    "SpanCat": "Which spans of the text have one of these labels?",
    "REL": "Which relations does the text state?",
    "Summarization": "Summarise the text.",
    "Raw": "Answer the text.",
}


def read_spacy_llm(path: Path, items: Path, part: str | None = None) -> Landing:
    """Return the project that the component of a configuration and a file of texts describe.

    Raises:
        DataError: the configuration or its examples cannot be read.
        FormatError: it has several components and `part` names none, or no kind of task will do.
    """
    return _Config(path, _sections(path), part).landing(items)


def _sections(path: Path) -> dict[str, dict[str, JSON]]:
    """Return the sections of a configuration, their values as JSON where they are."""
    # Variables like ${paths.examples} are looked up by ourselves: what is missing is then only missed where needed.
    parser = ConfigParser(interpolation=None, delimiters=("=",), comment_prefixes=("#",), strict=True)
    parser.optionxform = str  # pyright: ignore[reportAttributeAccessIssue]  # the documented way to keep case
    try:
        parser.read_string(config_text(path), str(path))
    except Error as error:
        raise DataError(f"{path}: expected a configuration of spaCy: {error}", hint="Is it the .cfg file?") from None
    return {name: {key: _value(held) for key, held in parser.items(name)} for name in parser.sections()}


def _value(text: str) -> JSON:
    try:
        return parse_json(text)
    except ValueError:
        return {"True": True, "False": False, "None": None}.get(text, text)


class _Config:
    def __init__(self, path: Path, sections: Mapping[str, dict[str, JSON]], part: str | None) -> None:
        self._path = path
        self._sections = sections
        self._component = self._one(part)
        self._task = sections[f"components.{self._component}.task"]
        self._notes: list[str] = []
        registered = str(self._task.get("@llm_tasks") or "")
        self._name = registered.split(".")[1] if registered.count(".") > 1 else registered
        if self._name not in _KINDS:
            known = ", ".join(f"spacy.{name}" for name in _KINDS)
            raise FormatError(
                f"{path}: expected one of the tasks {known}, got {registered!r}", hint="Write [task] anew."
            )
        self._kind = _KINDS[self._name]
        if self._name == "TextCat" and not self._exclusive():
            self._kind = "multilabel"

    def _one(self, part: str | None) -> str:
        names = [
            name.split(".")[1] for name in self._sections if name.startswith("components.") and name.endswith(".task")
        ]
        if part in names:
            return part
        if part is None and len(names) == 1:
            return names[0]
        if not names:
            raise FormatError(f"{self._path}: expected a component of spaCy-LLM, got none", hint="Is it the .cfg file?")
        raise FormatError(
            f"{self._path}: expected one component, got {', '.join(map(repr, names))}"
            if part is None
            else f"{self._path}: no component {part!r}, there are {', '.join(map(repr, names))}",
            hint=f"Make a project of each: --by {names[0]}",
        )

    def _exclusive(self) -> bool:
        return bool(self._task.get("exclusive_classes")) or len(self._labels()) == 1

    def _labels(self) -> list[str]:
        given = self._task.get("labels") or []
        listed = given.split(",") if isinstance(given, str) else given
        return [str(label).strip() for label in listed]

    def landing(self, items: Path) -> Landing:
        annotator = self._annotator()
        demonstrations = list(self._demonstrations())
        if demonstrations:
            annotator |= {"shots": len(demonstrations), "demonstrations": "fixed"}
        table = self._table()
        if self._kind in ("spans", "relations") and overlaps(demonstrations):
            table["nested"] = True
        return Landing(table, items, annotator, demonstrations=demonstrations, notes=tuple(self._notes))

    def _table(self) -> dict[str, JSON]:
        table: dict[str, JSON] = {"kind": self._kind, "name": self._component, "instruction": self._instruction()}
        table["show"] = _SHOW
        definitions = self._sections.get(f"components.{self._component}.task.label_definitions", {})
        labels = self._labels()
        if self._kind == "classification" and len(labels) == 1:
            # Its answers are then POS and NEG.
            table["labels"] = {"POS": f"{labels[0]}", "NEG": f"not {labels[0]}"}
        elif self._kind != "text":
            table["labels"] = {label: str(definitions.get(label, "")) for label in labels} if definitions else labels
        if self._name == "SpanCat":
            table["nested"] = True
        if self._kind == "relations":
            table["span_labels"] = self._span_labels()
        for key in ("template", "normalizer", "parse_responses", "scorer"):
            if self._task.get(key) or f"components.{self._component}.task.{key}" in self._sections:
                self._notes.append(f"`{key}` was not taken over")
        return table

    def _span_labels(self) -> list[str]:
        found = {ent["label"] for example in self._examples() for ent in example.get("ents", ())}
        if not found:
            self._notes.append("the labels of entities come from another component: write them as span_labels")
        return sorted(found) or ["entity"]

    def _instruction(self) -> str:
        if self._name == "Translation":
            return f"Translate the text into {self._task.get('target_lang') or 'English'}."
        description = self._task.get("description")
        return " ".join(str(description).split()) if description else _INSTRUCTIONS[self._name]

    def _annotator(self) -> dict[str, JSON]:
        model = self._sections.get(f"components.{self._component}.model", {})
        registered = str(model.get("@llm_models") or "")
        family = registered.split(".")[1] if registered.count(".") > 1 else registered
        name = model.get("name") or _MODELS.get(family)
        endpoint = model.get("endpoint")
        provider = "openai" if family in _MODELS else registered
        table, notes = openai_annotator(provider, str(name) if name else None, str(endpoint) if endpoint else None)
        self._notes += notes
        held = model.get("config")
        temperature = held.get("temperature") if isinstance(held, Mapping) else None
        return table | ({"temperature": float(temperature)} if isinstance(temperature, (int, float)) else {})

    # Examples

    def _examples(self) -> Sequence[Mapping[str, JSON]]:
        given = self._sections.get(f"components.{self._component}.task.examples", {}).get("path")
        if not isinstance(given, str):
            return []
        if given.startswith("${"):
            section, _, key = given[2:].rstrip("}").rpartition(".")
            given = self._sections.get(section, {}).get(key)
            if not isinstance(given, str):
                self._notes.append(f"the examples are named by no file here: put it under [{section}] {key}")
                return []
        return _example_file(self._path.parent, given)

    def _demonstrations(self) -> Iterator[dict[str, JSON]]:
        readers: Mapping[str, Callable[[Mapping[str, JSON]], Answer | None]] = {
            "TextCat": self._category,
            "NER": _entities,
            "SpanCat": _entities,
            "REL": _relations,
            "Summarization": lambda example: _written(example, "summary"),
            "Translation": lambda example: _written(example, "translation"),
            "Raw": lambda example: _written(example, "reply"),
        }
        unclear = 0
        for example in self._examples():
            answer = readers[self._name](example)
            if answer is None or not isinstance(example.get("text"), str):
                unclear += 1
            elif self._kind == "text":
                # The answer's key is what the text's own field is called: the record must not be lost.
                self._notes.append("examples of written texts were not taken over: write them as demonstrations")
                return
            else:
                yield {"text": example["text"], **answer}
        if unclear:
            self._notes.append(f"{unclear} examples were left out: they have no answer that can be told")

    def _category(self, example: Mapping[str, JSON]) -> Answer | None:
        said = example.get("answer")
        if not isinstance(said, str):
            return None
        if self._kind == "multilabel":
            return {"labels": [label for each in said.split(",") if (label := each.strip())]}
        return {"label": said}


def _entities(example: Mapping[str, JSON]) -> Answer | None:
    text = str(example.get("text", ""))
    if isinstance(spans := example.get("spans"), list):
        quotes = [(span["label"], span["text"]) for span in spans if span.get("is_entity", True)]
    elif isinstance(entities := example.get("entities"), Mapping):
        quotes = [(label, words) for label, listed in entities.items() for words in listed]
    else:
        return None
    found = placed_spans(text, quotes)
    return None if found is None else {"spans": found}


def _relations(example: Mapping[str, JSON]) -> Answer | None:
    text, entities = str(example.get("text", "")), example.get("ents")
    if not isinstance(entities, list):
        return None
    spans = [
        {
            "id": f"T{at}",
            "start": entity["start_char"],
            "end": entity["end_char"],
            "label": entity["label"],
            "text": text[entity["start_char"] : entity["end_char"]],
        }
        for at, entity in enumerate(entities, 1)
    ]
    relations = [
        {"head": f"T{each['dep'] + 1}", "tail": f"T{each['dest'] + 1}", "label": each["relation"]}
        for each in example.get("relations") or ()
    ]
    return {"spans": spans, "relations": relations}


def _written(example: Mapping[str, JSON], key: str) -> Answer | None:
    return {"text": example[key]} if isinstance(example.get(key), str) else None


def _example_file(folder: Path, name: str) -> Sequence[Mapping[str, JSON]]:
    """Return the examples in a file that a configuration names, in its own folder and nowhere else (reliability X7)."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DataError(f"the configuration names the file {name!r}, outside its own folder", hint="Copy it there.")
    if path.suffix == ".jsonl":
        return [row.fields for row in read_jsonl(path)]
    value = _yaml(path) if path.suffix in (".yml", ".yaml") else _json(path)
    if not isinstance(value, list) or not all(isinstance(each, Mapping) for each in value):
        raise DataError(f"{path}: expected a list of examples, got {type(value).__name__}")
    return value


def _json(path: Path) -> JSON:
    try:
        return parse_json(config_text(path))
    except ValueError as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(f"{path}{where}: expected JSON: {error}") from None


def _yaml(path: Path) -> JSON:
    try:
        import yaml  # noqa: PLC0415  # comes with other packages, and only these examples are in it
    except ImportError:
        raise FormatError(
            f"{path}: examples in YAML need PyYAML", hint="pip install pyyaml, or save it as JSON"
        ) from None
    try:
        return yaml.safe_load(config_text(path))
    except yaml.YAMLError as error:
        raise DataError(f"{path}: expected YAML: {error}") from None


SPACY_LLM: Final = Configuration(
    "spacy-llm", "spaCy-LLM: a component of its configuration, as a project", read_spacy_llm
)
