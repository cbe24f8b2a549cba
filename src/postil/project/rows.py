"""Plain lists and data frames in, rows out: for people in a notebook."""

import datetime as dt
import logging
import math
import tempfile
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

from postil.canonical import plain_json, record_id
from postil.errors import DataError
from postil.formats import export_row, gold_rationale
from postil.project import running
from postil.project.annotators import build_annotator, build_engine, described, policy_of, price_of
from postil.project.bridge import run_sync
from postil.project.running import Scope, Terms
from postil.project.settings import DATABASE
from postil.store import Journal
from postil.tasks import Task
from postil.tasks.shown import Shown
from postil.types import JSON, Budget, Demonstration, Engine, Outcome, Record

_NAME = "annotate()"
_log = logging.getLogger("postil")


def annotate(
    texts: Any,
    task: Task,
    *,
    engine: str | Engine,
    demonstrations: Sequence[tuple[str | Mapping[str, JSON], JSON]] = (),
    budget: Budget | None = None,
    journal: str | Path | None = None,
    **options: Any,
) -> list[dict[str, JSON]]:
    """Return one row for each text, in the order given, none missing; equal texts are asked about once.

    `texts` is a list of texts or of records (mappings), or a data frame with the fields that the task shows as
    columns. A row holds the record's fields, the answer's keys over them, `outcome`, `answer`, `confidence` and
    `probabilities`; a record without an answer says why in `failure_class` and `message`. `demonstrations` are pairs
    of a text (or record) and its answer, with its `rationale` where the task asks for reasons. `journal` names a file
    that keeps what was paid for: called again with it, only what is missing is asked. Further options are the keys of
    `[annotators.NAME]`.

    Raises:
        InputError: task, texts or options are wrong; nothing was spent.
        EngineError: no request can work, as with a wrong key, and no text was labelled.
    """
    return run_sync(
        annotate_async(
            texts, task, engine=engine, demonstrations=demonstrations, budget=budget, journal=journal, **options
        )
    )


async def annotate_async(
    texts: Any,
    task: Task,
    *,
    engine: str | Engine,
    demonstrations: Sequence[tuple[str | Mapping[str, JSON], JSON]] = (),
    budget: Budget | None = None,
    journal: str | Path | None = None,
    **options: Any,
) -> list[dict[str, JSON]]:
    """Do what `annotate` does, from async code."""
    records = [_record(item, task, f"item {place}") for place, item in enumerate(_items(texts))]
    pool = [_demonstration(pair, task, f"demonstration {place}") for place, pair in enumerate(demonstrations)]
    settings = described(engine, {"shots": len(pool), "demonstrations": "fixed", **options})
    async with AsyncExitStack() as stack:
        used = engine if not isinstance(engine, str) else build_engine(_NAME, settings, Path())
        if used is not engine:
            stack.push_async_callback(used.aclose)
        terms = Terms.checked(_NAME, used, budget or Budget(), price_of(settings), policy_of(settings))
        annotator = build_annotator(_NAME, settings, task, used, pool)
        held = stack.enter_context(_journal(journal))
        held.add_records((record, f"item {place}") for place, record in enumerate(records))
        result = await running.annotate(held, annotator, terms, Scope(lost=settings.lost))
        outcomes = {stored.outcome.record: stored.outcome for stored in held.outcomes(annotator.id)}
        if result.error is not None and not outcomes:
            raise result.error
    if result.stopped:
        pending = sum(record.id not in outcomes for record in records)
        _log.warning("%d of %d texts have no outcome: %s", pending, len(records), result.error or result.stopped)
    return [_row(record, outcomes.get(record.id), task) for record in records]


@contextmanager
def _journal(path: str | Path | None) -> Generator[Journal, None, None]:
    """Open the journal of a call: a file that stays, or one that is gone at the end."""
    with tempfile.TemporaryDirectory(prefix="postil-") as folder:
        journal = Journal(Path(folder) / DATABASE if path is None else Path(path))
        try:
            yield journal
        finally:
            journal.close()


def _items(texts: Any) -> Iterable[Any]:
    """Return the rows of a data frame (polars, pandas, Arrow) or the items of a list."""
    if isinstance(texts, (str, bytes, Mapping)) or not hasattr(texts, "__iter__"):
        raise DataError(f"expected a list of texts or a data frame, got {type(texts).__name__}", hint="wrap it: [text]")
    if hasattr(texts, "to_dicts"):
        return texts.to_dicts()
    if hasattr(texts, "to_pylist"):
        return texts.to_pylist()
    if hasattr(texts, "to_dict") and hasattr(texts, "columns"):
        return texts.to_dict("records")
    return texts


def _record(item: Any, task: Task, place: str) -> Record:
    names = Shown.parse(task.show).fields
    if not isinstance(item, Mapping) and len(names) != 1:
        raise DataError(f"{place}: expected a record with the fields {', '.join(names)}, got {item!r:.60}")
    given: Mapping[Any, Any] = item if isinstance(item, Mapping) else {names[0]: item}
    try:
        fields = plain_json({name: _plain(value) for name, value in given.items()})
        return Record(record_id(fields), fields)
    except DataError as error:
        raise DataError(f"{place}: {error.args[0]}", hint=error.hint) from None


def _plain(value: Any) -> JSON:
    """Return what a cell of a data frame holds as JSON: numpy's numbers, dates, and missing values as null."""
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if type(value).__name__ == "NAType":
        return None
    if isinstance(value, (dt.date, dt.time)):
        # pandas writes a missing time as a date that says so.
        return value.isoformat() if value == value else None  # noqa: PLR0124 - only what is missing differs from itself
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _demonstration(pair: tuple[str | Mapping[str, JSON], JSON], task: Task, place: str) -> Demonstration:
    shown, answer = pair
    held = answer if isinstance(answer, Mapping) else {task.answer_keys[0]: answer}
    try:
        record = _record(shown, task, place)
        return Demonstration(record, task.accept(held, record), gold_rationale({"answer": held}, task, "answer"))
    except DataError as error:
        message = str(error.args[0])
        raise DataError(message if message.startswith(place) else f"{place}: {message}", hint=error.hint) from None


def _row(record: Record, outcome: Outcome | None, task: Task) -> dict[str, JSON]:
    row = export_row(record, outcome)
    # A column of the input may have the name of the answer: where there is no answer, it must not pass for one.
    answer = row["answer"] or dict.fromkeys(task.answer_keys)
    return {**record.fields, **answer, **{key: value for key, value in row.items() if key not in {"id", "fields"}}}
