"""`import`: annotations made elsewhere, or a project out of another tool's configuration."""

import shlex
from pathlib import Path

from postil.cli.terminal import Terminal
from postil.errors import SettingsError
from postil.project import Project
from postil.project.gold import count_roles


def annotations(
    terminal: Terminal,
    folder: Path,
    path: Path,
    *,
    format: str | None,  # noqa: A002  # its name everywhere
    by: str | None,
    annotator: str | None,
) -> None:
    """Import annotations and say what was new, replaced and unchanged.

    Raises:
        InputError: the file is wrong, or nobody said whose annotations they are; nothing is added.
    """
    if annotator is None:
        raise SettingsError("expected --annotator NAME: whose annotations are these?")
    with Project(folder) as opened:
        found = opened.import_(path, annotator=annotator, format=format, by=by)
    counts = {"new": found.new, "replaced": found.replaced, "unchanged": found.unchanged}
    said = ", ".join(f"{number} {what}" for what, number in counts.items())
    terminal.say(f"{found.total} annotations of {annotator!r} imported: {said}")
    if found.anchored:
        terminal.note(f"{found.anchored} of them were given beside a model's suggestion: no independent judgement")
    terminal.result({"annotator": annotator, "imported": found.total, **counts, "anchored": found.anchored})


def make_project(
    terminal: Terminal,
    folder: Path,
    path: Path,
    *,
    items: Path | None,
    format: str | None,  # noqa: A002  # its name everywhere
    part: str | None,
    annotator: str | None,
) -> None:
    """Make a project out of a configuration and say what is in it.

    Raises:
        InputError: it cannot be made; nothing is left of it.
    """
    if items is None or format is None:
        raise SettingsError("expected --items FILE and --format NAME beside a configuration")
    with Project.from_configuration(
        folder, path, items=items, format=format, part=part, annotator=annotator or "first"
    ) as made:
        records, gold = made.journal.count_records(), count_roles(made.journal)
    terminal.say(f"{folder}: {records:,} records, {sum(gold.values()):,} with gold")
    where = shlex.quote(str(folder))
    terminal.say(f"next: read {shlex.quote(str(folder / 'postil.toml'))}, then postil preview --project {where}")
    terminal.result({"project": str(folder), "records": records, "gold": gold})
