"""Outcomes out of the journal into files, and annotations made elsewhere into the journal."""

from collections.abc import Iterator
from pathlib import Path

from postil.errors import DataError, FormatError
from postil.formats import FORMATS, STDOUT, export_row, flat_row, format_of, read_annotations
from postil.store import Journal
from postil.store.journal import now
from postil.tasks import Task
from postil.types import JSON, Record


def export_rows(journal: Journal, annotator: str, name: str) -> Iterator[dict[str, JSON]]:
    """Yield one line a record, in the records' order, pending ones too."""
    outcomes = journal.outcomes(annotator)
    ahead = next(outcomes, None)
    for record in journal.records():
        outcome = None
        if ahead is not None and ahead.outcome.record == record.id:
            outcome = ahead.outcome
            ahead = next(outcomes, None)
        row = export_row(record, outcome)
        row["annotator"] = name if outcome is not None else None
        yield row | {"annotator_id": annotator if outcome is not None else None}


def write_export(journal: Journal, annotator: str, name: str, *, path: Path | str, format: str | None) -> int:  # noqa: A002
    """Write an export and return how many lines it has; tables get a column for each field.

    Raises:
        FormatError: the format is unknown or can only be read.
    """
    chosen = FORMATS["jsonl"] if path == STDOUT and format is None else format_of(Path(path), format)
    if chosen.write is None:
        raise FormatError(f"the format {chosen.name!r} can only be read")
    rows = export_rows(journal, annotator, name)
    nested = chosen.name in {"jsonl", "json"}
    return chosen.write(rows if nested else map(flat_row, rows), path)


def import_annotations(journal: Journal, task: Task, path: Path, *, annotator: str, format: str | None) -> int:  # noqa: A002
    """Add the annotations of a file under an annotator's name and return how many; records known already are needed.

    Raises:
        DataError: the file is wrong, or names a record that the project does not have; nothing is added.
    """
    spec = {"source": "import", "name": annotator, "task": task.spec}
    located = list(read_annotations(path, task, annotator=annotator, format=format))
    known: dict[str, Record] = {}
    for each in located:
        found = journal.some_records([each.outcome.record])
        if not found:
            raise DataError(
                f"{each.place}: an annotation of record {each.outcome.record!r}, which is not among the items",
                hint="ids in the file must be ids of the items",
            )
        known[each.outcome.record] = found[0]
    id_ = journal.add_annotator(annotator, spec)
    journal.add_event("import", id_, {"path": str(path.resolve()), "annotations": len(located), "at": now()})
    journal.add_outcomes(id_, (each.outcome for each in located))
    return len(located)
