"""A project out of another tool's configuration: its postil.toml, and files for what the configuration itself held."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from postil.errors import FormatError, SettingsError
from postil.formats import write_jsonl
from postil.formats.landing import Landing
from postil.formats.others import CONFIGURATIONS
from postil.project.creating import Data, new_project
from postil.tasks import Task
from postil.types import JSON

_GOLD: Final = "gold.jsonl"
_DEMONSTRATIONS: Final = "demonstrations.jsonl"


def read_configuration(path: Path, items: Path, name: str, part: str | None) -> Landing:
    """Return what a configuration says a project needs.

    Raises:
        FormatError: there are no configurations of that name, or no project can be made of this one.
        DataError: it cannot be read.
    """
    if name not in CONFIGURATIONS:
        known = ", ".join(map(repr, CONFIGURATIONS))
        raise FormatError(f"expected a configuration that a project can be made of, {known}, got {name!r}")
    return CONFIGURATIONS[name].read(path, items, part)


@contextmanager
def landed(folder: Path, task: Task, landing: Landing, *, annotator: str) -> Generator[None]:
    """Write a new project; if the block ends with an error, nothing is left of it.

    Raises:
        SettingsError: there is a project already, or a file in its place, or the folder cannot be written.
    """
    gold = folder / _GOLD if landing.gold else None
    shown = folder / _DEMONSTRATIONS if landing.demonstrations else None
    for path in (gold, shown):
        if path is not None and path.exists():
            raise SettingsError(f"{path}: there is a file already", hint="choose another folder")
    data = Data(landing.items, gold or landing.gold_field, None, shown)
    with new_project(folder, task, data, annotators={annotator: landing.annotator}, budget={}):
        try:
            _write(gold, landing.gold)
            _write(shown, landing.demonstrations)
            yield
        except BaseException:
            for path in (gold, shown):
                if path is not None:
                    path.unlink(missing_ok=True)
            raise


def _write(path: Path | None, rows: Sequence[Mapping[str, JSON]]) -> None:
    if path is not None:
        write_jsonl(rows, path)
