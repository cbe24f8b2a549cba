"""Data files into the journal: records and gold."""

import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from postil.canonical import digest
from postil.errors import DataError, SettingsError
from postil.formats import (
    FORMATS,
    GoldLine,
    Located,
    gold_answer,
    gold_lines,
    gold_once,
    gold_rationale,
    read_records,
)
from postil.project.settings import FILE_NAME, Settings
from postil.store import Journal
from postil.tasks import Task
from postil.tasks.reasons import RATIONALE, asks_for_reasons
from postil.tasks.shown import Shown
from postil.types import JSON, Answer, Record

SYNC: Final = "sync"
"""The kind of event that says which state of the data files the journal holds."""

_REASONS: Final = "gold_reasons"

_log = logging.getLogger("postil")
_ENDINGS: Final = frozenset(ending for known in FORMATS.values() for ending in known.extensions)


@dataclass(frozen=True, slots=True)
class Sync:
    """What an import found."""

    records: int
    """In the journal, after it."""
    added: int
    merged: int
    """Lines that repeat a record of the file."""
    gone: int
    """At least so many records of earlier imports are no longer in the file. They stay in the journal."""
    gold: int
    """New or changed gold answers."""


def sync(journal: Journal, folder: Path, settings: Settings, task: Task, *, reading: bool = False) -> Sync | None:
    """Bring the journal up to date with the data files; `None` when they have not changed since the last time.

    For a verb that is only `reading` the journal, data files that are gone are no fault once they were imported.

    Raises:
        InputError: a file is wrong; nothing was changed.
    """
    earlier = journal.latest_event(SYNC, "")
    described = {"settings": settings.data.model_dump(), "task": digest(task.spec)}
    files = _files(folder, settings)
    if reading and earlier and all(earlier[key] == described[key] for key in described) and not _all_there(files):
        _log.warning("a data file is gone; what was imported before still counts: %s", ", ".join(map(str, files)))
        return None
    mark = described | {"files": [_mark(file) for file in files]}
    if earlier == mark:
        return None
    before = journal.count_records()
    incoming = _Incoming(journal, folder, settings, task, known=before > 0)
    imported = journal.add_records(incoming)
    gold = journal.add_gold(incoming.gold.items(), str(files[-1]))
    _keep_reasons(journal, incoming)
    journal.add_event(SYNC, "", mark)
    # Of the lines whose record was there, those beyond the records that were there before repeat one of the file.
    repeated = imported.known - before
    found = Sync(before + imported.added, imported.added, max(0, repeated), max(0, -repeated), gold)
    _tell(found, files[0])
    return found


def _keep_reasons(journal: Journal, incoming: "_Incoming") -> None:
    """Note the reasons that gold gives, for demonstrations; gold that is no longer in the files keeps its own."""
    earlier = gold_reasons(journal)
    kept = {record: said for record, said in earlier.items() if record not in incoming.gold} | incoming.reasons
    if kept != earlier:
        journal.add_event(_REASONS, "", kept)


def gold_reasons(journal: Journal) -> Mapping[str, str]:
    """Return record -> the reasons given with its gold."""
    return journal.latest_event(_REASONS, "") or {}


def _tell(found: Sync, items: Path) -> None:
    if found.merged:
        _log.warning("%s: lines that repeat a record: %d; every record is taken once", items, found.merged)
    if found.gone:
        _log.warning("%s: records that are not in it any more: %d; they stay in the project", items, found.gone)


def gold_field(settings: Settings) -> str | None:
    """Return the field that `[data] gold` names, `None` if it names a file or nothing."""
    gold = settings.data.gold
    return None if gold is None or names_file(gold) else gold


def names_file(gold: str) -> bool:
    """Return whether `gold` means a file and not a field: it ends like a file that can be read."""
    return Path(gold).suffix.lower() in _ENDINGS


def _files(folder: Path, settings: Settings) -> list[Path]:
    """Return the data files: the items, and the gold if it has a file of its own."""
    gold = settings.data.gold
    own = [data_file(folder, gold)] if gold is not None and names_file(gold) else []
    return [data_file(folder, settings.data.items), *own]


def data_file(folder: Path, name: str) -> Path:
    """Return a file that the settings name as seen from the project, as it is seen from where the user is.

    `project/../items.jsonl` is `items.jsonl`: the same file, as somebody would call it who stands there.
    """
    given = folder / name
    plain = Path(os.path.normpath(given))
    try:
        # Behind a link to a folder ".." is somewhere else.
        if plain.parent.resolve() != given.parent.resolve():
            plain = given.resolve()
        seen = Path(os.path.relpath(plain))
    except (OSError, ValueError):  # a loop of links; another disk, a NUL
        return given
    return min(plain, seen, key=lambda path: len(str(path)))


def _all_there(files: list[Path]) -> bool:
    return all(file.exists() for file in files)


def _mark(file: Path) -> Mapping[str, JSON]:
    """Return what tells a changed file from an unchanged one without reading it."""
    try:
        stat = file.stat()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{file}: cannot be read: {why}", hint=f"check [data] in {FILE_NAME}") from None
    return {"size": stat.st_size, "time": stat.st_mtime_ns}


class _Incoming:
    """The records of the items file with their places; collects the gold, and checks what only the whole can show.

    A fault is raised while the journal takes the records, so that the journal takes none.
    """

    def __init__(self, journal: Journal, folder: Path, settings: Settings, task: Task, *, known: bool) -> None:
        """Say whether records are `known` from earlier imports.

        Raises:
            SettingsError: the task shows the gold.
        """
        self.gold: dict[str, Answer] = {}
        self.reasons: dict[str, str] = {}
        """Given with the gold, where the task asks for reasons."""
        self._journal = journal
        self._known = known
        self._items, *own = _files(folder, settings)
        self._gold_file = own[0] if own else None
        self._field = gold_field(settings)
        self._id_field = settings.data.id
        self._task = task
        self._shown = Shown.parse(task.show)
        self._wants_reasons = asks_for_reasons(task)
        self._gold_lines: dict[str, int] = {}
        if self._field in self._shown.fields:
            raise SettingsError(
                f"the task shows the field {self._field!r}, which holds the gold: an annotator would copy it",
                hint=f"take {{{self._field}}} out of `show` in {FILE_NAME}",
            )

    def __iter__(self) -> Iterator[tuple[Record, str]]:
        """Yield each record with its place.

        Raises:
            InputError: a file is wrong.
        """
        unseen = self._gold_of_file()
        lacking: list[Located] = []
        can_be_shown = has_gold = False
        for located in read_records(self._items, id_field=self._id_field):
            fields = located.record.fields
            if not can_be_shown:
                can_be_shown = all(field in fields for field in self._shown.fields)
                lacking = lacking or [located]
            has_gold = has_gold or self._field in fields
            self._take_gold(located)
            self._take_lines(located.record, unseen.pop(located.record.id, ()))
            yield self._as_known(located.record), located.place
        if not can_be_shown:
            raise _not_shown(self._task, lacking[0])
        if self._field is not None and not has_gold:
            raise DataError(
                f"{self._items}: expected gold in the field {self._field!r}, which no record has",
                hint=f"name a field, or a file that ends in {', '.join(sorted(_ENDINGS))}",
            )
        self._check_gold_known(unseen)

    def _as_known(self, record: Record) -> Record:
        """Return the record as the journal has it, if it differs in nothing but gold added or corrected since."""
        if not self._known or self._field is None:
            return record
        for stored in self._journal.some_records([record.id]):
            if digest(self._without_gold(stored)) == digest(self._without_gold(record)):
                return stored
        return record

    def _without_gold(self, record: Record) -> Mapping[str, JSON]:
        beside = {RATIONALE} - {*self._shown.fields} if self._wants_reasons else set[str]()
        return {name: value for name, value in record.fields.items() if name != self._field and name not in beside}

    def _take_gold(self, located: Located) -> None:
        answer = accepted_gold(located, self._task, self._field) if self._field in located.record.fields else None
        if answer is None:
            return
        id_ = located.record.id
        if self.gold.setdefault(id_, answer) != answer:
            raise DataError(
                f"{located.place}: the gold of record {id_!r} differs from that of"
                f" {located.source.at(self._gold_lines[id_])}",
                hint="decide which holds, and remove the other",
            )
        self._gold_lines.setdefault(id_, located.line)
        if self._wants_reasons and (said := reasons_given(located, self._task, self._field)):
            self.reasons.setdefault(id_, said)

    def _gold_of_file(self) -> dict[str, list[GoldLine]]:
        """Return the gold of a file of its own by record; what it says is looked at when the record is known."""
        lines: defaultdict[str, list[GoldLine]] = defaultdict(list)
        for each in gold_lines(self._gold_file, self._task) if self._gold_file is not None else ():
            if each.held:
                lines[each.record].append(each)
        return lines

    def _take_lines(self, record: Record, lines: Iterable[GoldLine]) -> None:
        """Take the gold of a file of its own, checked against the record that it is about."""
        for gold in gold_once(each.gold(self._task, record) for each in lines):
            if gold.answer is not None:
                self.gold[record.id] = gold.answer
            if gold.rationale:
                self.reasons[record.id] = gold.rationale

    def _check_gold_known(self, unseen: Mapping[str, Sequence[GoldLine]]) -> None:
        for record, lines in unseen.items():
            known = self._journal.some_records([record])
            for each in known:
                self._take_lines(each, lines)
            if not known:
                raise DataError(
                    f"{lines[0].source.at(lines[0].line)}: gold for the record {record!r},"
                    " which is not among the items",
                    hint="ids in the gold file must be ids of the items",
                )


def _not_shown(task: Task, located: Located) -> SettingsError:
    """Return the error for a task that shows a field which no record has: a slip, not a bad record."""
    there = ", ".join(map(repr, located.record.fields)) or "none"
    missing = next(field for field in Shown.parse(task.show).fields if field not in located.record.fields)
    hint = f'change `show` in {FILE_NAME}, or give --text FIELD; `show = "{{text}}"` shows the field text'
    if task.kind == "preference":
        hint = f'name the fields: `candidates = ["…", "…"]` and `context = "{{…}}"` in {FILE_NAME}, or --option of init'
    return SettingsError(f"{located.place}: the task shows the field {missing!r}, the record has {there}", hint=hint)


def accepted_gold(located: Located, task: Task, field: str | None) -> Answer | None:
    """Return the gold in a record's field, or in the keys of the task's answers; `None` where it is left open.

    Raises:
        DataError: it is no answer to the task; the message says where.
    """
    try:
        return gold_answer(located.record.fields, task, field, located.record)
    except DataError as error:
        where = "" if field is None else f", gold field {field!r}"
        raise DataError(
            f"{located.place}, record {located.record.id!r}{where}: {error.args[0]}",
            hint=error.hint or _how_to_mend(task),
        ) from None


def reasons_given(located: Located, task: Task, field: str | None) -> str:
    """Return the reasons given with a record's gold, "" for none.

    Raises:
        DataError: they are no text; the message says where.
    """
    try:
        return gold_rationale(located.record.fields, task, field)
    except DataError as error:
        raise DataError(f"{located.place}, record {located.record.id!r}: {error.args[0]}", hint=error.hint) from None


def _how_to_mend(task: Task) -> str:
    """Return what can be done about gold that the task does not accept."""
    if hasattr(task, "aliases"):
        return "correct the gold, add the label to the task, or make it an alias of one"
    if task.scale == "interval":
        return "correct the gold, or the scale: low and high of the task, --scale LOW-HIGH of init"
    if task.kind == "preference":
        return "correct the gold"
    return "correct the gold, or let the task allow it"
