"""The gold ledger at work: which gold may be shown in prompts, and which only measures."""

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Final

from postil.canonical import digest
from postil.errors import DataError, RecordRejected
from postil.formats import read_records
from postil.project.importing import SYNC, accepted_gold, data_file, gold_field, gold_reasons, reasons_given
from postil.project.settings import Settings
from postil.store import Journal
from postil.tasks import Task
from postil.tasks.reading import fold
from postil.tasks.reasons import asks_for_reasons
from postil.tasks.shown import Shown
from postil.types import Answer, Demonstration, GoldRole, Record

_log = logging.getLogger("postil")
_ROLES: Final = "gold_roles"


def give_roles(journal: Journal, task: Task, settings: Settings, *, shows: bool) -> None:
    """Give gold its roles: shown in prompts, or kept to measure. Cheap when nothing has changed.

    The choice follows from a record's text alone, so anybody can repeat it, and texts that read the same go together.
    `shows` says whether any prompt holds demonstrations: without, all gold measures. Gold that a prompt may have
    shown never measures again, so the share that is shown only grows.
    """
    asked = settings.gold.demonstration_share if shows and settings.data.demonstrations is None else 0.0
    earlier = journal.latest_event(_ROLES, "")
    share = max(asked, earlier["share"] if earlier else 0.0)
    mark = {"share": share, "data": digest(journal.latest_event(SYNC, ""))}
    if mark == earlier:
        return
    gold, roles = journal.gold(), journal.gold_roles()
    texts = _texts(journal.some_records(list(gold)), task)
    shown = _shown_texts(texts, roles, share)
    given: dict[str, GoldRole] = {
        record: "demonstration" if texts.get(record) in shown else "certificate" for record in gold
    }
    journal.give_roles((record, role) for record, role in given.items() if not _holds(roles.get(record, set()), role))
    journal.add_event(_ROLES, "", mark)


def _holds(roles: set[str], role: GoldRole) -> bool:
    """Return whether a record has this role or one that rules it out: what was shown stays shown."""
    return role in roles or (role == "certificate" and "demonstration" in roles)


def _shown_texts(texts: Mapping[str, str], roles: Mapping[str, set[str]], share: float) -> set[str]:
    """Return the texts that prompts may show: those shown before, filled up to the share by the smallest draws."""
    before = {text for record, text in texts.items() if "demonstration" in roles.get(record, ())}
    drawn = sorted(set(texts.values()) - before, key=_draw)
    if not share or len(before) + len(drawn) < 2:
        return before
    wanted = max(1, round(share * (len(before) + len(drawn))))
    return before | set(drawn[: max(0, wanted - len(before))])


def _draw(text: str) -> float:
    """Return a number in [0, 1) that depends on the text only."""
    number = int.from_bytes(hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()[:8], "big")
    return number / 2**64


def _texts(records: Iterable[Record], task: Task) -> dict[str, str]:
    """Return what each record shows, folded; records that show nothing are left out."""
    shown = Shown.parse(task.show)
    texts: dict[str, str] = {}
    for record in records:
        with suppress(RecordRejected):
            texts[record.id] = fold(shown.render(record))
    return texts


def measuring_gold(journal: Journal) -> dict[str, Answer]:
    """Return the gold that may measure: it was never shown in a prompt."""
    roles = journal.gold_roles()
    return {record: answer for record, answer in journal.gold().items() if roles.get(record) == {"certificate"}}


def count_roles(journal: Journal) -> dict[str, int]:
    """Return role -> gold records that hold it; what was ever shown counts as shown and as nothing else."""
    counts: Counter[str] = Counter()
    for roles in journal.gold_roles().values():
        counts.update({"demonstration"} if "demonstration" in roles else roles)
    return dict(counts)


def demonstration_pool(journal: Journal, folder: Path, settings: Settings, task: Task) -> list[Demonstration]:
    """Return the solved records that prompts may show, in the order of their ids.

    From a file of demonstrations those are left out whose text is also in the measuring gold.

    Raises:
        InputError: the file of demonstrations is wrong.
    """
    gold, roles = journal.gold(), journal.gold_roles()
    if settings.data.demonstrations is None:
        ids = sorted(record for record in gold if "demonstration" in roles.get(record, ()))
        reasons = gold_reasons(journal) if asks_for_reasons(task) else {}
        records = journal.some_records(ids)
        return [Demonstration(record, gold[record.id], reasons.get(record.id, "")) for record in records]
    path = data_file(folder, settings.data.demonstrations)
    found = list(_demonstration_file(path, settings, task))
    measuring = set(_texts(journal.some_records(list(measuring_gold(journal))), task).values())
    texts = _texts((demonstration.record for demonstration in found), task)
    kept = [demonstration for demonstration in found if texts[demonstration.record.id] not in measuring]
    if len(kept) < len(found):
        left_out = len(found) - len(kept)
        _log.warning("%s: %d demonstrations left out: their text is in the gold that measures", path, left_out)
    return kept


def _demonstration_file(path: Path, settings: Settings, task: Task) -> Iterator[Demonstration]:
    field, shown, reasons = gold_field(settings), Shown.parse(task.show), asks_for_reasons(task)
    for located in read_records(path, id_field=settings.data.id):
        record = located.record
        in_field = field if field in record.fields else None
        answer = accepted_gold(located, task, in_field)
        if answer is None:
            continue
        try:
            shown.render(record)
        except RecordRejected as error:
            raise DataError(f"{located.place}: {error.args[0]}", hint="mend the demonstration, or remove it") from None
        yield Demonstration(record, answer, reasons_given(located, task, in_field) if reasons else "")
