"""`init`: from a data file to a project, asking only where there is somebody to answer."""

import shlex
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import typer

from postil.cli.terminal import Terminal
from postil.errors import DataError, SettingsError
from postil.formats import read_records
from postil.project import Project
from postil.project.annotators import build_engine, described
from postil.project.creating import seen_from
from postil.project.gold import count_roles
from postil.project.importing import names_file
from postil.tasks import Task
from postil.tasks.classification import Classification
from postil.tasks.kinds import KINDS
from postil.tasks.rating import Rating
from postil.types import JSON, Record

_MOST_INFERRED: Final = 100


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the command line said; `None` where it said nothing."""

    items: Path | None
    kind: str
    labels: str | None
    text: str | None
    gold: str | None
    instruction: str | None
    id_field: str | None
    scale: str
    engine: str
    base_url: str | None
    model: str | None
    api_key_env: str | None
    shots: int | None


def make_project(folder: Path, wanted: Wanted, terminal: Terminal) -> None:
    """Make a project and say what is in it.

    Raises:
        InputError: something is missing or wrong; nothing is made.
    """
    if wanted.kind not in KINDS:
        raise SettingsError(f"--kind must be one of {', '.join(KINDS)}, got {wanted.kind!r}")
    if sys.stdin.isatty() and not terminal.as_json:
        wanted = _asked(wanted)
    if wanted.items is None:
        raise SettingsError("expected --items FILE: the records to label")
    first = next(iter(read_records(wanted.items, id_field=wanted.id_field))).record
    shown = wanted.text or _text_field(first, wanted)
    project = Project.create(
        folder,
        _task(wanted, f"{{{shown}}}", folder.resolve().name),
        items=wanted.items,
        gold=wanted.gold,
        id_field=wanted.id_field,
        annotators={"first": _annotator(wanted, folder)},
    )
    with project:
        records, gold = project.journal.count_records(), count_roles(project.journal)
    terminal.say(f"{folder}: {records:,} records, {sum(gold.values()):,} with gold")
    where = shlex.quote(str(folder))
    terminal.say(f"next: postil preview --project {where}, then postil annotate --project {where}")
    terminal.result({"project": str(folder), "records": records, "gold": gold})


def _asked(wanted: Wanted) -> Wanted:
    """Return what is wanted with the gaps filled by the person at the terminal."""
    if wanted.items is None:
        wanted = replace(wanted, items=Path(typer.prompt("File with the records", err=True)))
    if wanted.instruction is None:
        wanted = replace(wanted, instruction=typer.prompt("The question, in your words", err=True))
    if wanted.labels is None and wanted.kind == Classification.kind and wanted.gold is None:
        wanted = replace(wanted, labels=typer.prompt("Labels, separated by commas", err=True))
    return wanted


def _text_field(record: Record, wanted: Wanted) -> str:
    """Return the one field that must be meant, for a task that shows one.

    Raises:
        SettingsError: there are several.
    """
    fields = [name for name, value in record.fields.items() if isinstance(value, str) and name != wanted.gold]
    if "text" in fields:
        return "text"
    if len(fields) == 1:
        return fields[0]
    known = ", ".join(map(repr, record.fields)) or "none"
    raise SettingsError(f"expected --text FIELD: which field is shown? The first record has {known}")


def _task(wanted: Wanted, show: str, name: str) -> Task:
    if wanted.kind == Rating.kind:
        low, high = _scale(wanted.scale)
        instruction = wanted.instruction or f"Rate the text from {low} to {high}."
        return Rating(name, instruction, low=low, high=high, show=show)
    labels = [label.strip() for label in wanted.labels.split(",")] if wanted.labels else _labels_of_gold(wanted)
    return Classification(name, wanted.instruction or "Which label fits the text?", labels=labels, show=show)


def _scale(text: str) -> tuple[int, int]:
    low, _, high = text.rpartition("-")
    # The dash between the two, not one before a number: "-4--1" is from -4 to -1.
    if low.endswith("-"):
        low, high = low[:-1], f"-{high}"
    try:
        return int(low), int(high)
    except ValueError:
        raise SettingsError(f"--scale must be two whole numbers like 1-5, got {text!r}") from None


def _labels_of_gold(wanted: Wanted) -> list[str]:
    """Return the labels that stand in the gold, sorted.

    Raises:
        SettingsError: there is no gold field, or what is in it is no label set.
    """
    if wanted.gold is None or wanted.items is None:
        raise SettingsError("expected --labels a,b, or --gold FIELD to take them from")
    is_file = names_file(wanted.gold)
    field = Classification.answer_keys[0] if is_file else wanted.gold
    found: set[str] = set()
    for located in read_records(Path(wanted.gold) if is_file else wanted.items):
        value: JSON = located.record.fields.get(field)
        if value is None or value == "":
            continue
        if not isinstance(value, (str, int)) or isinstance(value, bool):
            raise DataError(
                f"{located.place}: expected a label as text in {field!r}, got {value!r}",
                hint="numbers are gold of a rating: --kind rating --scale LOW-HIGH",
            )
        found.add(str(value))
        if len(found) > _MOST_INFERRED:
            raise SettingsError(f"the field {field!r} has more than {_MOST_INFERRED} values", hint="give --labels")
    if not found:
        raise SettingsError(f"expected labels in the field {field!r}, which no record has", hint="check --gold")
    return sorted(found)


def _annotator(wanted: Wanted, folder: Path) -> dict[str, Any]:
    """Return the first annotator's settings.

    Raises:
        SettingsError: no engine can be made of them.
    """
    kind, _, path = wanted.engine.partition(":")
    options: dict[str, Any] = {}
    if kind == "openai":
        options |= {"base_url": wanted.base_url, "model": wanted.model, "api_key_env": wanted.api_key_env}
    shots = wanted.shots if wanted.shots is not None else (8 if wanted.gold else 0)
    if shots:
        options |= {"shots": shots, "demonstrations": "random"}
    if wanted.engine != "local":  # the embedded model is put together when it is first used, not here
        build_engine("first", described(wanted.engine, _given(options)), Path(), with_key=False)
    engine = f"local:{seen_from(folder, Path(path))}" if kind == "local" and path else wanted.engine
    return {"engine": engine, **options}


def _given(table: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in table.items() if value is not None}
