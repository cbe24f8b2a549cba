"""A new project: its folder and its postil.toml, or nothing at all."""

import os
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from postil.errors import SettingsError
from postil.project.importing import names_file
from postil.project.settings import DATABASE, FILE_NAME
from postil.project.toml_writing import toml
from postil.tasks import Task
from postil.tasks.specs import as_given, parameters
from postil.types import JSON


@dataclass(frozen=True, slots=True)
class Data:
    """Where records and gold come from; paths as the user wrote them."""

    items: Path
    gold: str | Path | None
    """A field of the items, or a file of its own."""
    id_field: str | None
    demonstrations: Path | None = None
    """A file of solved records that prompts show."""


@contextmanager
def new_project(
    folder: Path,
    task: Task,
    data: Data,
    *,
    annotators: Mapping[str, Mapping[str, JSON]],
    budget: Mapping[str, JSON],
) -> Generator[None, None, None]:
    """Write postil.toml into a folder; if the block ends with an error, nothing is left of it, nor of the journal.

    Raises:
        SettingsError: there is a project already, or the folder cannot be written.
    """
    for name in (FILE_NAME, DATABASE):
        if os.path.lexists(folder / name):
            raise SettingsError(f"{folder / name}: there is a project already", hint="choose another folder")
    tables: dict[tuple[str, ...], Mapping[str, JSON]] = {("task",): _as_written(task), ("data",): _table(data, folder)}
    tables |= {("annotators", name): settings for name, settings in annotators.items()}
    if budget:
        tables["budget",] = budget
    text = toml(tables)
    made = _make(folder)
    try:
        _write(folder / FILE_NAME, text)
        yield
    except BaseException:
        for name in (FILE_NAME, DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
            (folder / name).unlink(missing_ok=True)
        for each in made:
            each.rmdir()
        raise


def _make(folder: Path) -> list[Path]:
    """Make a folder and those above it that are missing; return what was made, the innermost first."""
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise _not_writable(folder, error) from None
    return missing


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise _not_writable(path, error) from None


def _not_writable(path: Path, error: Exception) -> SettingsError:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return SettingsError(f"{path}: cannot be made: {why}", hint="choose a folder where you may write")


def _table(data: Data, folder: Path) -> Mapping[str, JSON]:
    """Return `[data]`; paths are written as seen from the project's folder."""
    gold = data.gold
    if isinstance(gold, Path) or (gold is not None and names_file(gold)):
        gold = seen_from(folder, Path(gold))
    shown = None if data.demonstrations is None else seen_from(folder, data.demonstrations)
    return {"items": seen_from(folder, data.items), "gold": gold, "id": data.id_field, "demonstrations": shown}


def seen_from(folder: Path, path: Path) -> str:
    """Return a path as the project's file should have it: from the folder, if both are on one disk."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:  # on another disk
        return str(path.resolve())


def _as_written(task: Task) -> Mapping[str, JSON]:
    """Return a task's spec as a person would write it: without what goes without saying, names with what they mean."""
    spec = as_given(task.spec)
    defaults = {name: each.default for name, each in parameters(type(task)).items()}
    return {key: value for key, value in spec.items() if not _goes_without_saying(value, defaults.get(key))}


def _goes_without_saying(value: JSON, default: object) -> bool:
    """Return whether a parameter that is left out has this value; nothing, off and empty are one."""
    if value is None or value is False or value in ({}, []):
        return not default
    return value == default
