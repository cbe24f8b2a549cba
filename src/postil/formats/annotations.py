"""Outcomes as lines of a file: what `export` writes, and reading the annotations of another tool or person."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, get_args

from postil.canonical import parse_json
from postil.errors import DataError
from postil.formats.format import Row, Source
from postil.formats.gold import accepted, cell_value
from postil.formats.records import ID, id_text, read_rows
from postil.tasks import VALUE_SCALES, Task
from postil.tasks.alignment import METHODS
from postil.types import (
    JSON,
    Abstention,
    Annotation,
    Confidence,
    ConfidenceKind,
    Failure,
    Outcome,
    Provenance,
    Record,
)

__all__ = ["LocatedOutcome", "export_row", "flat_row", "outcome_of_row", "read_annotations"]

_LISTS: Final = ("evidence", "rejected")
_NESTED: Final = ("fields", "answer", "probabilities", "part_confidences", "placings", "provenance")
_ONE_CELL: Final = ("part_confidences", "placings")
"""Objects with a key for each part of an answer: a column for each would make the header grow with the longest."""


def export_row(record: Record, outcome: Outcome | None) -> dict[str, JSON]:
    """Return the line that `export` writes for a record; `None` is a pending record. Every line has the same keys.

    Raises:
        ValueError: the outcome belongs to another record.
    """
    if outcome is not None and outcome.record != record.id:
        raise ValueError(f"expected the outcome of record {record.id!r}, got that of {outcome.record!r}")
    row: dict[str, JSON] = {"id": record.id, "fields": dict(record.fields), **_EMPTY}
    if outcome is None:
        return row
    source = outcome.provenance
    provenance = {"request": source.request, "model": source.model, "at": source.at}
    row |= {"annotator": outcome.annotator, "provenance": provenance}
    match outcome:
        case Annotation():
            return row | _of_annotation(outcome)
        case Abstention():
            return row | {"outcome": "abstention", "reason": outcome.reason}
        case Failure():
            failure = {"failure_class": outcome.failure_class, "message": outcome.message}
            return row | {"outcome": "failure", **failure}


_EMPTY: Final[Mapping[str, JSON]] = {
    "outcome": "pending",
    **dict.fromkeys(
        (
            *("answer", "confidence", "confidence_kind", "probabilities", "part_confidences", "rationale"),
            *("evidence", "rejected", "placings"),
            *("annotator", "reason", "failure_class", "message", "provenance"),
        )
    ),
}


def _of_annotation(annotation: Annotation) -> dict[str, JSON]:
    confidence, probabilities = annotation.confidence, annotation.probabilities
    return {
        "outcome": "annotation",
        "answer": dict(annotation.answer),
        "confidence": None if confidence is None else confidence.value,
        "confidence_kind": None if confidence is None else confidence.kind,
        "probabilities": None if probabilities is None else dict(probabilities),
        "part_confidences": None if annotation.part_confidences is None else dict(annotation.part_confidences),
        "rationale": annotation.rationale,
        "evidence": [dict(span) for span in annotation.evidence] or None,
        "rejected": [*annotation.rejected] or None,
        "placings": None if annotation.placings is None else dict(annotation.placings),
    }


def flat_row(row: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return an export row for a table: `fields.text` and `answer.label` instead of objects, one level deep.

    What has a key for each part of an answer stays one object, which a table holds as JSON in one cell.
    `read_annotations` reads such tables too.
    """
    flat: dict[str, JSON] = {}
    for key, value in row.items():
        if key not in _NESTED or key in _ONE_CELL:
            flat[key] = value
        elif isinstance(value, Mapping):
            flat |= {f"{key}.{name}": held for name, held in value.items()}
    return flat


@dataclass(frozen=True, slots=True)
class LocatedOutcome:
    """An outcome and where it stands."""

    outcome: Outcome
    line: int
    source: Source

    @property
    def place(self) -> str:
        """The place in words: "ann.jsonl, line 3"."""
        return self.source.at(self.line)


def read_annotations(
    path: Path,
    task: Task,
    *,
    annotator: str | None = None,
    confidence_kind: ConfidenceKind = "verbal",
    id_field: str = ID,
    format: str | None = None,  # noqa: A002  # its name everywhere
    find: Callable[[str], Record | None] | None = None,
) -> Iterator[LocatedOutcome]:
    """Yield the outcomes that a file holds: an export of Postil, or lines of `id`, the answer's keys and `confidence`.

    A line's own `annotator` and `confidence_kind` hold; the arguments stand in where it has none. Missing confidence
    stays missing. Pending lines hold no outcome and are passed over. A record may stand there once per annotator.
    `find` returns the record with an id: answers that point into a text are then checked against it.

    Raises:
        DataError: a line names no record or no annotator, or its answer, confidence or probabilities are none.
        FormatError: there is no format of that name.
    """
    source, rows = read_rows(path, format=format)
    return _Reading(task, annotator, confidence_kind, id_field, find).each_once(source, rows)


def outcome_of_row(row: Mapping[str, JSON], place: str, task: Task, annotator: str | None = None) -> Outcome | None:
    """Return the outcome that an export row holds, `None` for a pending one.

    Raises:
        DataError: it holds none; the message begins with the place.
    """
    return _Reading(task, annotator).outcome(row, place)


@dataclass(frozen=True, slots=True)
class _Reading:
    task: Task
    annotator: str | None
    confidence_kind: ConfidenceKind = "verbal"
    id_field: str = ID
    find: Callable[[str], Record | None] | None = None

    def each_once(self, source: Source, rows: Iterator[Row]) -> Iterator[LocatedOutcome]:
        seen: dict[tuple[str, str], int] = {}
        for row in rows:
            outcome = self.outcome(_unflattened(row.fields), source.at(row.line))
            if outcome is None:
                continue
            first = seen.setdefault((outcome.record, outcome.annotator), row.line)
            if first != row.line:
                raise DataError(
                    f"{source.at(row.line)}: annotator {outcome.annotator!r} answered for record "
                    f"{outcome.record!r} before, in {source.at(first)}",
                    hint="Keep one of the two lines, or give them different annotators.",
                )
            yield LocatedOutcome(outcome, row.line, source)

    def outcome(self, row: Mapping[str, JSON], place: str) -> Outcome | None:
        state = row.get("outcome") or "annotation"
        if state == "pending":
            return None
        if self.id_field not in row:
            raise _wrong(place, f"the field {self.id_field!r} with the id of a record", dict(row), "Add the id.")
        record = id_text(row[self.id_field], self.id_field, place)
        annotator, provenance = self._annotator(row, place), _provenance(row.get("provenance"), place)
        match state:
            case "annotation":
                return self._annotation(row, place, record, annotator, provenance)
            case "abstention":
                return Abstention(record, annotator, _text(row, "reason", place), provenance)
            case "failure":
                failure_class = _text(row, "failure_class", place)
                return Failure(record, annotator, failure_class, _text(row, "message", place), provenance)
            case _:
                states = "one of 'annotation', 'abstention', 'failure', 'pending' in 'outcome'"
                raise _wrong(place, states, state, "Correct the line.")

    def _annotator(self, row: Mapping[str, JSON], place: str) -> str:
        named = row.get("annotator") or self.annotator
        if not isinstance(named, str) or not named.strip():
            raise _wrong(place, "the name of an annotator", named, "Say whose annotations these are.")
        return named

    def _annotation(
        self, row: Mapping[str, JSON], place: str, record: str, annotator: str, provenance: Provenance
    ) -> Annotation:
        whole = row.get("answer")
        answer = whole if isinstance(whole, Mapping) else {key: row[key] for key in self.task.answer_keys if key in row}
        structured = self.task.scale not in VALUE_SCALES
        answer = {key: cell_value(value, structured=structured) for key, value in answer.items()}
        if not answer:
            wanted = f"an answer in {', '.join(map(repr, self.task.answer_keys))}"
            raise _wrong(place, wanted, dict(row), "Add the answer, or remove the line.")
        return Annotation(
            record,
            annotator,
            accepted(answer, self.task, place, record, None if self.find is None else self.find(record)),
            self._confidence(row, place),
            _probabilities(row.get("probabilities"), place),
            _optional_text(row, "rationale", place),
            _part_confidences(row.get("part_confidences"), place),
            _evidence(row.get("evidence"), place),
            _rejected(row.get("rejected"), place),
            provenance,
            _placings(row.get("placings"), place),
        )

    def _confidence(self, row: Mapping[str, JSON], place: str) -> Confidence | None:
        value = row.get("confidence")
        if value is None or value == "":
            return None
        kind = row.get("confidence_kind") or self.confidence_kind
        if kind not in get_args(ConfidenceKind):
            raise _wrong(place, f"a kind of confidence, {', '.join(get_args(ConfidenceKind))}", kind, "Correct it.")
        return Confidence(_probability(value, "confidence", place), kind)


def _unflattened(row: Mapping[str, JSON]) -> dict[str, JSON]:
    """Take back what a table did to an export row: dotted columns, and objects as JSON text."""
    whole: dict[str, JSON] = {}
    for key, value in row.items():
        outer, dot, inner = key.partition(".")
        if dot and outer in _NESTED:
            if value is not None and value != "":
                whole.setdefault(outer, {})[inner] = value
        elif key in _NESTED and isinstance(value, str):
            whole[key] = _object(value)
        elif key in _LISTS:
            whole[key] = cell_value(value, structured=True)
        else:
            whole[key] = value
    return whole


def _object(text: str) -> JSON:
    try:
        return parse_json(text) if text.startswith("{") else text or None
    except ValueError:
        return text


def _provenance(value: JSON, place: str) -> Provenance:
    if value is None:
        return Provenance()
    if not isinstance(value, Mapping):
        raise _wrong(place, "an object in 'provenance'", value, "Remove it, or correct it.")
    return Provenance(*(_optional_text(value, key, place) for key in ("request", "model", "at")))


def _probabilities(value: JSON, place: str) -> Mapping[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _wrong(place, "an object in 'probabilities'", value, "Remove it, or correct it.")
    held = {label: _probability(share, f"probabilities.{label}", place) for label, share in value.items()}
    if not math.isclose(sum(held.values()), 1, abs_tol=1e-3):
        raise _wrong(place, "probabilities that sum to 1", sum(held.values()), "Give one for every label, or none.")
    return held


def _part_confidences(value: JSON, place: str) -> Mapping[str, float] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise _wrong(place, "an object in 'part_confidences'", value, "Remove it, or correct it.")
    return {part: _probability(share, f"part_confidences.{part}", place) for part, share in value.items()}


def _evidence(value: JSON, place: str) -> tuple[Mapping[str, JSON], ...]:
    if value is None or value == "":
        return ()
    if not isinstance(value, list) or not all(isinstance(span, Mapping) for span in value):
        raise _wrong(place, "a list of spans in 'evidence'", value, "Remove it, or correct it.")
    return tuple(value)


def _rejected(value: JSON, place: str) -> tuple[str, ...]:
    if value is None or value == "":
        return ()
    if not isinstance(value, list) or not all(isinstance(words, str) for words in value):
        raise _wrong(place, "a list of texts in 'rejected'", value, "Remove it, or correct it.")
    return tuple(value)


def _placings(value: JSON, place: str) -> Mapping[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, Mapping) or not all(method in METHODS for method in value.values()):
        raise _wrong(place, f"parts with one of {', '.join(METHODS)} in 'placings'", value, "Remove it, or correct it.")
    return dict(value)


def _probability(value: JSON, key: str, place: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise _wrong(place, f"a number from 0 to 1 in {key!r}", value, "Divide percentages by 100.")
    return number


def _text(row: Mapping[str, JSON], key: str, place: str) -> str:
    return _optional_text(row, key, place) or ""


def _optional_text(row: Mapping[str, JSON], key: str, place: str) -> str | None:
    value = row.get(key)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise _wrong(place, f"text in {key!r}", value, "Put it in quotes.")
    return value


def _wrong(place: str, expected: str, got: object, hint: str) -> DataError:
    shown = repr(got)
    return DataError(f"{place}: expected {expected}, got {shown[:80]}{'…' if len(shown) > 80 else ''}", hint=hint)
