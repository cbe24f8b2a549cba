"""Data files into the journal: records, gold, and what each gold record may be used for."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from postil.canonical import digest
from postil.errors import DataError, MissingField, RecordRejected, SettingsError
from postil.formats import Located, gold_answer, read_gold, read_records
from postil.project.settings import Settings
from postil.store import Journal
from postil.tasks import Task
from postil.tasks.reading import fold
from postil.tasks.shown import Shown
from postil.types import Answer, Demonstration, Record


@dataclass(frozen=True, slots=True)
class Sync:
    """What an import found."""

    records: int
    added: int
    merged: int
    """Records of the file that were there before: twice in the file, or imported earlier."""
    gold: int


def sync(journal: Journal, folder: Path, settings: Settings, task: Task) -> Sync | None:
    """Bring the journal up to date with the data files; `None` when they have not changed since the last time.

    Raises:
        InputError: a file is wrong; nothing was changed.
    """
    items = folder / settings.data.items
    gold_file = gold_file_of(folder, settings)
    mark = {"items": _mark(items), "gold": _mark(gold_file) if gold_file else None, "settings": _reading(settings)}
    subject = digest(task.spec)
    if journal.latest_event("sync", subject) == mark:
        return None
    gold: dict[str, Answer] = {}
    imported = journal.add_records(_items(items, settings, task, gold, gold_field=gold_file is None))
    if gold_file:
        gold = dict(_gold_lines(gold_file, task, journal))
    added = journal.add_gold(gold.items(), str(gold_file or items))
    journal.add_event("sync", subject, mark)
    return Sync(journal.count_records(), imported.added, imported.known, added)


def gold_file_of(folder: Path, settings: Settings) -> Path | None:
    """Return the gold file, if `[data] gold` names a file and not a field: it has an ending, or is there."""
    gold = settings.data.gold
    if gold is None:
        return None
    path = folder / gold
    return path if path.suffix or path.is_file() else None


def _items(
    path: Path, settings: Settings, task: Task, gold: dict[str, Answer], *, gold_field: bool
) -> Iterator[tuple[Record, str]]:
    """Yield records with their places, and collect the gold that stands in their fields on the way."""
    shown = Shown.parse(task.show)
    field = settings.data.gold if gold_field else None
    found = field is None
    first = True
    for located in read_records(path, id_field=settings.data.id):
        record = located.record
        if first:
            _check_shown(shown, located)
            first = False
        if field is not None and field in record.fields:
            found = True
            answer = _accepted(located, task, field)
            if answer is not None:
                gold[record.id] = answer
        yield record, located.place
    if not found:
        raise DataError(f"{path}: expected gold in the field {field!r}, which no record has")


def _check_shown(shown: Shown, located: Located) -> None:
    """Refuse a task that shows a field which the first record lacks: a slip, not a bad record."""
    try:
        shown.render(located.record)
    except MissingField:
        missing = next(field for field in shown.fields if field not in located.record.fields)
        known = ", ".join(map(repr, located.record.fields))
        raise SettingsError(
            f"{located.place}: the task shows the field {missing!r}, the record has {known}",
            hint='change `show` in postil.toml, or name the field with --text, like `show = "{text}"`',
        ) from None
    except RecordRejected:
        return  # an empty first record is a bad record, and fails by itself


def _accepted(located: Located, task: Task, field: str) -> Answer | None:
    try:
        return gold_answer(located.record.fields, task, field)
    except DataError as error:
        raise DataError(
            f"{located.place}, record {located.record.id!r}, gold field {field!r}: {error.args[0]}",
            hint=error.hint or "correct the gold, add the label to the task, or make it an alias of one",
        ) from None


def _gold_lines(path: Path, task: Task, journal: Journal) -> Iterator[tuple[str, Answer]]:
    for gold in read_gold(path, task):
        if gold.answer is None:
            continue
        if not journal.some_records([gold.record]):
            raise DataError(
                f"{gold.place}: gold for the record {gold.record!r}, which is not among the items",
                hint="ids in the gold file must be ids of the items",
            )
        yield gold.record, gold.answer


def _mark(path: Path) -> Mapping[str, object]:
    """Return what tells a changed file from an unchanged one without reading it."""
    try:
        stat = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", hint="check `[data]` in postil.toml") from None
    return {"path": str(path.resolve()), "size": stat.st_size, "time": stat.st_mtime_ns}


def _reading(settings: Settings) -> Mapping[str, object]:
    return settings.data.model_dump()


def give_roles(journal: Journal, task: Task, *, demonstration_share: float) -> None:
    """Give every gold record without a role one: shown in prompts, or kept to measure.

    The choice follows from the record's text alone, so anybody can repeat it, and equal texts go together.
    """
    roles = journal.gold_roles()
    unassigned = [record for record in journal.gold() if record not in roles]
    if not unassigned:
        return
    shown = Shown.parse(task.show)
    journal.give_roles(
        (record.id, "demonstration" if _draw(shown, record) < demonstration_share else "certificate")
        for record in journal.some_records(unassigned)
    )


def _draw(shown: Shown, record: Record) -> float:
    """Return a number in [0, 1) that depends on the folded text only."""
    try:
        text = fold(shown.render(record))
    except RecordRejected:
        text = record.id
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()[:8], "big")
    return number / 2**64


def measuring_gold(journal: Journal) -> dict[str, Answer]:
    """Return the gold that may measure: it was never shown in a prompt."""
    roles = journal.gold_roles()
    return {record: answer for record, answer in journal.gold().items() if roles.get(record) == {"certificate"}}


def demonstration_pool(journal: Journal, folder: Path, settings: Settings, task: Task) -> list[Demonstration]:
    """Return the solved records that prompts may show, in the order of their ids.

    Raises:
        InputError: the file of demonstrations is wrong.
    """
    if settings.data.demonstrations:
        return list(_demonstration_file(folder / settings.data.demonstrations, settings, task))
    gold, roles = journal.gold(), journal.gold_roles()
    ids = sorted(record for record in gold if "demonstration" in roles.get(record, ()))
    return [Demonstration(record, gold[record.id]) for record in journal.some_records(ids)]


def _demonstration_file(path: Path, settings: Settings, task: Task) -> Iterable[Demonstration]:
    field = settings.data.gold if settings.data.gold and "." not in settings.data.gold else None
    for located in read_records(path, id_field=settings.data.id):
        answer = _accepted(located, task, field) if field else gold_answer(located.record.fields, task)
        if answer is not None:
            yield Demonstration(located.record, answer)


def shuffled(records: Iterable[Record], rng: random.Random) -> list[Record]:
    """Return records in a random order."""
    mixed = list(records)
    rng.shuffle(mixed)
    return mixed
