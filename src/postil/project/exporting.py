"""Outcomes out of the journal into files, and annotations made elsewhere into the journal."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from postil.errors import DataError, FormatError
from postil.formats import FORMATS, STDOUT, export_row, flat_row, format_of, read_annotations
from postil.formats.others import foreign_format
from postil.project.foreign import read_outcomes, write_foreign
from postil.store import Journal
from postil.tasks import Task
from postil.types import JSON, Outcome, Provenance, Record

_IMPORT: Final = "import"


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


def write_export(
    journal: Journal,
    task: Task,
    annotator: str,
    name: str,
    *,
    path: Path | str,
    format: str | None,  # noqa: A002  # its name everywhere
) -> int:
    """Write an export and return how many records it has; tables get a column for each field.

    Raises:
        FormatError: the format is unknown, can only be read, or cannot hold answers of the task's kind.
    """
    if foreign := foreign_format(format):
        machine = _is_machine(journal, annotator)
        rows = (row | {"machine": machine or _sure(row)} for row in export_rows(journal, annotator, name))
        return write_foreign(rows, task, foreign, path)
    chosen = FORMATS["jsonl"] if path == STDOUT and format is None else format_of(Path(path), format)
    if chosen.write is None:
        raise FormatError(f"the format {chosen.name!r} can only be read")
    rows = export_rows(journal, annotator, name)
    nested = chosen.name in {"jsonl", "json"}
    return chosen.write(rows if nested else map(flat_row, rows), path)


def _is_machine(journal: Journal, annotator: str) -> bool:
    """Return whether an annotator is a model: all are whose annotations were not made elsewhere."""
    return any(id_ == annotator and spec.get("source") != _IMPORT for id_, _, spec in journal.annotators())


def _sure(row: Mapping[str, JSON]) -> bool:
    """Return whether a row says how probable its answer is, as only models do."""
    return row["confidence"] is not None or row["probabilities"] is not None


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import of annotations brought."""

    new: int
    """Records that had no outcome of this annotator before."""
    replaced: int
    """Those that had another, which stays in the journal."""
    unchanged: int
    anchored: int = 0
    """Answers of a person who saw a model's suggestion, as far as the file says: they are no independent judgement."""

    @property
    def total(self) -> int:
        """How many outcomes the file holds."""
        return self.new + self.replaced + self.unchanged


def import_annotations(
    journal: Journal,
    task: Task,
    path: Path,
    *,
    annotator: str,
    format: str | None,  # noqa: A002  # its name everywhere
    by: str | None = None,
) -> Imported:
    """Add the outcomes of a file under an annotator's name and return what was new; a second time adds nothing.

    Where a file of another tool holds the answers of several, `by` names the one that is meant.

    Raises:
        DataError: the file is wrong, or names a record that the project does not have; nothing is added.
        FormatError: the format is unknown, or cannot hold answers of the task's kind.
    """
    anchored = 0
    if foreign := foreign_format(format):
        found = read_outcomes(journal, task, path, foreign, annotator=annotator, by=by)
        outcomes, anchored = {record: each.outcome for record, each in found.outcomes.items()}, found.anchored
    elif by is not None:
        raise FormatError("`by` chooses among the annotators in a file of another tool; lines of ours name one each")
    else:
        outcomes = _own_outcomes(journal, task, path, annotator=annotator, format=format)
    id_ = journal.add_annotator(annotator, {"source": _IMPORT, "name": annotator, "task": task.spec})
    known = {stored.outcome.record: _essence(stored.outcome) for stored in journal.outcomes(id_)}
    changed = [outcome for record, outcome in outcomes.items() if known.get(record) != _essence(outcome)]
    journal.add_outcomes(id_, changed)
    new = sum(outcome.record not in known for outcome in changed)
    imported = Imported(new, len(changed) - new, len(outcomes) - len(changed), anchored)
    said = {"new": new, "replaced": imported.replaced, "anchored": anchored}
    journal.add_event(_IMPORT, id_, {"path": str(path), "outcomes": len(outcomes), **said})
    return imported


def _own_outcomes(
    journal: Journal,
    task: Task,
    path: Path,
    *,
    annotator: str,
    format: str | None,  # noqa: A002  # its name everywhere
) -> dict[str, Outcome]:
    """Return the outcome of each record in a file of ours."""
    outcomes: dict[str, Outcome] = {}

    def find(id_: str) -> Record | None:
        return next(iter(journal.some_records([id_])), None)

    for located in read_annotations(path, task, annotator=annotator, format=format, find=find):
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
    return outcomes


def _essence(outcome: Outcome) -> Outcome:
    """Return an outcome without where it came from."""
    return replace(outcome, annotator="", provenance=Provenance())
