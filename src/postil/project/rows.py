"""Plain lists and data frames in, rows out: for people in a notebook."""

import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from postil.errors import DataError
from postil.formats import export_row
from postil.project import running
from postil.project.annotators import build_annotator, build_engine, policy_of, price_of
from postil.project.bridge import run_sync
from postil.project.settings import AnnotatorSettings, parse_settings
from postil.store import Journal
from postil.tasks import Task
from postil.tasks.shown import Shown
from postil.types import JSON, Budget, Demonstration, Engine, Record


def annotate(
    texts: Any,
    task: Task,
    *,
    engine: str | Engine,
    demonstrations: Sequence[tuple[str | Mapping[str, JSON], JSON]] = (),
    budget: Budget | None = None,
    **options: Any,
) -> list[dict[str, JSON]]:
    """Return one row for each text, in the order given, none missing.

    `texts` is a list of texts or of records (mappings), or a data frame with the fields that the task shows as
    columns. A row holds the record's fields, `outcome`, `answer` and its keys, `confidence` and `probabilities`; a
    record without an answer says why in `failure_class` and `message`. `demonstrations` are pairs of a text (or
    record) and its answer. Further options are the keys of `[annotators.NAME]`.

    Raises:
        InputError: task, texts or options are wrong; nothing was spent.
        EngineError: no request can work, as with a wrong key.
    """
    return run_sync(annotate_async(texts, task, engine=engine, demonstrations=demonstrations, budget=budget, **options))


async def annotate_async(
    texts: Any,
    task: Task,
    *,
    engine: str | Engine,
    demonstrations: Sequence[tuple[str | Mapping[str, JSON], JSON]] = (),
    budget: Budget | None = None,
    **options: Any,
) -> list[dict[str, JSON]]:
    """Do what `annotate` does, from async code."""
    fields = [_fields(item, task) for item in _items(texts)]
    records = [Record(str(i), each) for i, each in enumerate(fields)]
    pool = [
        Demonstration(Record(f"demonstration-{i}", _fields(shown, task)), task.accept(_answer(answer, task)))
        for i, (shown, answer) in enumerate(demonstrations)
    ]
    settings = _settings(engine, {"shots": len(pool), "demonstrations": "fixed", **options})
    built_here = isinstance(engine, str)
    used = build_engine("annotate()", settings, Path()) if isinstance(engine, str) else engine
    annotator = build_annotator("annotate()", settings, task, used, pool)
    with tempfile.TemporaryDirectory(prefix="postil-") as folder:
        journal = Journal(Path(folder) / "postil.db")
        try:
            journal.add_records((record, f"item {record.id}") for record in records)
            result = await running.annotate(
                journal, annotator, budget=budget or Budget(), price=price_of(settings), policy=policy_of(settings)
            )
            if result.error is not None:
                raise result.error
            outcomes = {stored.outcome.record: stored.outcome for stored in journal.outcomes(annotator.id)}
        finally:
            journal.close()
            if built_here:
                await used.aclose()
    return [_row(record, outcomes) for record in records]


def _items(texts: Any) -> Iterable[Any]:
    """Return the rows of a data frame (polars, pandas) or the items of a list."""
    if isinstance(texts, (str, bytes)):
        raise DataError("expected a list of texts, got one text", hint="put it in a list: [text]")
    if hasattr(texts, "to_dicts"):
        return texts.to_dicts()
    if hasattr(texts, "to_dict") and hasattr(texts, "columns"):
        return texts.to_dict("records")
    return texts


def _fields(item: Any, task: Task) -> Mapping[str, JSON]:
    if isinstance(item, Mapping):
        return dict(item)
    names = Shown.parse(task.show).fields
    if len(names) != 1:
        raise DataError(f"expected records with the fields {', '.join(names)}, got {type(item).__name__} {item!r:.60}")
    return {names[0]: item}


def _answer(answer: JSON, task: Task) -> Mapping[str, JSON]:
    return answer if isinstance(answer, Mapping) else {task.answer_keys[0]: answer}


def _settings(engine: str | Engine, options: Mapping[str, Any]) -> AnnotatorSettings:
    table = {"engine": engine if isinstance(engine, str) else "scripted", **options}
    whole = {
        "task": {"kind": "", "name": "", "instruction": ""},
        "data": {"items": ""},
        "annotators": {"annotate()": table},
    }
    return parse_settings(whole, "annotate()").annotators["annotate()"]


def _row(record: Record, outcomes: Mapping[str, Any]) -> dict[str, JSON]:
    row = export_row(record, outcomes.get(record.id))
    answer = row["answer"] or {}
    return {**record.fields, **answer, **{key: value for key, value in row.items() if key not in {"id", "fields"}}}
