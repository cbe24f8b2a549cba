"""Outcomes out of the journal into files, and annotations made elsewhere into the journal."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from postil.errors import DataError, FormatError
from postil.formats import FORMATS, STDOUT, export_row, flat_row, format_of, read_annotations
from postil.store import Journal
from postil.tasks import Task
from postil.types import JSON, Outcome, Provenance


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
    """Add the outcomes of a file under an annotator's name and return how many it holds; a second time adds nothing.

    Raises:
        DataError: the file is wrong, or names a record that the project does not have; nothing is added.
    """
    outcomes: dict[str, Outcome] = {}
    for located in read_annotations(path, task, annotator=annotator, format=format):
        outcome = located.outcome
        if outcome.record in outcomes:
            raise DataError(
                f"{located.place}: record {outcome.record!r} has an outcome of {outcomes[outcome.record].annotator!r}"
                f" and one of {outcome.annotator!r}, which cannot both be those of {annotator!r}",
                hint="split the file, and import each annotator under a name of its own",
            )
        if not journal.some_records([outcome.record]):
            raise DataError(
                f"{located.place}: an annotation of record {outcome.record!r}, which is not among the items",
                hint="ids in the file must be ids of the items",
            )
        outcomes[outcome.record] = outcome
    id_ = journal.add_annotator(annotator, {"source": "import", "name": annotator, "task": task.spec})
    known = {stored.outcome.record: _essence(stored.outcome) for stored in journal.outcomes(id_)}
    new = [outcome for record, outcome in outcomes.items() if known.get(record) != _essence(outcome)]
    journal.add_outcomes(id_, new)
    journal.add_event("import", id_, {"path": str(path), "outcomes": len(outcomes), "new": len(new)})
    return len(outcomes)


def _essence(outcome: Outcome) -> Outcome:
    """Return an outcome without where it came from."""
    return replace(outcome, annotator="", provenance=Provenance())
