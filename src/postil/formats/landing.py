"""A project as another tool's configuration describes it, for people whose tool has come to its end."""

import inspect
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from postil.canonical import parse_json
from postil.errors import DataError, FormatError
from postil.formats.known import FORMATS
from postil.formats.records import read_rows
from postil.formats.source import MAX_LINE, check_file
from postil.tasks.alignment import places
from postil.tasks.kinds import KINDS
from postil.types import JSON

__all__ = [
    "Configuration",
    "Landing",
    "config_text",
    "json_object",
    "openai_annotator",
    "overlaps",
    "placed_spans",
    "solved_rows",
    "takes",
]

_OPENAI: Final = "https://api.openai.com/v1"


@dataclass(frozen=True, slots=True)
class Landing:
    """What a project needs, out of another tool's configuration."""

    task: Mapping[str, JSON]
    """The table `[task]`."""
    items: Path
    annotator: Mapping[str, JSON]
    """A table `[annotators.NAME]`; there is never a key in it."""
    gold_field: str | None = None
    gold: Sequence[Mapping[str, JSON]] = ()
    """Lines of a gold file, where a field of the items does not hold the answers as we have them."""
    demonstrations: Sequence[Mapping[str, JSON]] = ()
    """Solved records that prompts show."""
    notes: tuple[str, ...] = ()
    """What could not be taken over, for people."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """A kind of configuration that a project can be made of."""

    name: str
    """What `--format` calls it."""
    title: str
    read: Callable[[Path, Path, str | None], Landing]
    """Takes the configuration, the file of the items, and which of several parts is meant."""


def config_text(path: Path) -> str:
    """Return the text of a configuration.

    Raises:
        DataError: it is no text in UTF-8.
    """
    check_file(path)
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_LINE + 1)
        if len(raw) > MAX_LINE:
            raise DataError(f"{path}: longer than any configuration", hint="Is it the data?")
        return raw.decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}", hint="Save it as UTF-8.") from None


def json_object(path: Path) -> Mapping[str, JSON]:
    """Return the JSON object that a file holds.

    Raises:
        DataError: it holds none.
    """
    try:
        value = parse_json(config_text(path))
    except ValueError as error:
        where = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(
            f"{path}{where}: expected JSON: {error}", hint="Mend it, or the program that wrote it."
        ) from None
    if not isinstance(value, Mapping):
        raise DataError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def takes(kind: str, parameter: str) -> bool:
    """Return whether a kind has a parameter.

    Raises:
        FormatError: there is no such kind.
    """
    if kind not in KINDS:
        raise FormatError(f"a task of the kind {kind!r} is needed, which there is not", hint=", ".join(KINDS))
    made: Any = KINDS[kind].__init__
    return parameter in inspect.signature(made).parameters


def openai_annotator(provider: str, model: str | None, endpoint: str | None) -> tuple[dict[str, JSON], list[str]]:
    """Return an annotator's table for the model that a configuration names, and what people must know of it."""
    known = provider in ("openai", "openai_vision") and model
    if known or (endpoint and model):
        table: dict[str, JSON] = {"engine": "openai", "base_url": endpoint or _OPENAI, "model": model}
        # The name of a variable; a key that stands in the configuration is never taken over.
        return table | ({"api_key_env": "OPENAI_API_KEY"} if not endpoint else {}), []
    said = f"the model {model!r} of {provider!r}" if model else f"the model of {provider!r}"
    advice = "set engine, base_url and model in postil.toml: any server that speaks OpenAI's protocol will do"
    return {"engine": "local"}, [f"{said} was not taken over, the embedded model stands in its place; {advice}"]


def overlaps(rows: Iterable[Mapping[str, JSON]]) -> bool:
    """Return whether spans of any of the solved records overlap."""
    for row in rows:
        places = sorted((span["start"], span["end"]) for span in row.get("spans", ()))
        if any(start < end for (_, end), (start, _) in pairwise(places)):
            return True
    return False


def solved_rows(folder: Path, name: str) -> list[Mapping[str, JSON]]:
    """Return the rows of a file that a configuration names, in its own folder and nowhere else (reliability X7).

    Raises:
        DataError: there is no such file there, or it cannot be read.
    """
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise DataError(f"the configuration names the file {name!r}, outside its own folder", hint="Copy it there.")
    if path.suffix.lower() not in {ending for known in FORMATS.values() for ending in known.extensions}:
        raise DataError(f"{path}: expected a file of records, got {path.suffix or 'no ending'!r}")
    return [row.fields for row in read_rows(path)[1]]


def placed_spans(text: str, quotes: Iterable[tuple[str, str]]) -> list[dict[str, JSON]] | None:
    """Return spans for (label, words), `None` where some words stand nowhere, or at places that nothing tells apart."""
    spans: list[dict[str, JSON]] = []
    counted: dict[tuple[str, str], int] = {}
    for quote in quotes:
        counted[quote] = counted.get(quote, 0) + 1
    for (label, words), number in counted.items():
        found = [place for place in places(words, text) if place.method != "fuzzy"] if words else []
        # All of them are meant where there are as many as places.
        if not found or len(found) != number:
            return None
        spans += [
            {"start": place.start, "end": place.end, "label": label, "text": text[place.start : place.end]}
            for place in found
        ]
    return spans
