"""`init`: from a data file to a project, asking only where there is somebody to answer."""

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from postil.cli.first_task import Wanted, first_task, needs_labels, shows_one_field
from postil.cli.terminal import Terminal
from postil.errors import SettingsError
from postil.formats import read_records
from postil.project import Project
from postil.project.annotators import build_engine, described
from postil.project.creating import seen_from
from postil.project.gold import count_roles
from postil.tasks import Language
from postil.tasks.kinds import KINDS
from postil.tasks.language import language_of
from postil.types import Record


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
    shown = wanted.text or (_text_field(first, wanted) if shows_one_field(wanted) else None)
    project = Project.create(
        folder,
        first_task(
            wanted, name=folder.resolve().name, show=f"{{{shown}}}" if shown else None, language=_language(first)
        ),
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
    if wanted.labels is None and needs_labels(wanted.kind) and wanted.gold is None:
        wanted = replace(wanted, labels=typer.prompt("Labels, separated by commas", err=True))
    return wanted


def _language(record: Record) -> Language:
    """Return the language of a record's text."""
    return language_of("".join(value for value in record.fields.values() if isinstance(value, str)))


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
