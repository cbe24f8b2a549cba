"""A million records: memory, resuming, and looking at what is there.

    python -m benchmarks scale

One project is labelled through the bench server, all but the last thousand records. Then the command line goes on and
finishes it, is asked to go on once more when there is nothing left to do, and is asked for the status. Memory is the
peak of the resident size of a whole process; its growth is that from a project of 10,000 records.
"""

import json
import sqlite3
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.client_cpu import CLIENTS, CONCURRENCY, job_of
from benchmarks.job import WRITERS, label_of
from benchmarks.measuring import Child, Spread, run_child
from benchmarks.report import Column, Goal, Row, Section
from benchmarks.server import BenchServer

LEFT: Final = 1_000
"""Records that are left for the run that goes on."""

_POSTIL: Final = Path(sys.executable).parent / "postil"


def measure(records: int, small: int, repeats: int) -> Section:
    """Return what so many records take, and memory beside that of a `small` project."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows, goals = _imports(folder, records, small)
        run_rows, run_goals = _run(folder, records, small, repeats)
    columns = [
        Column("seconds", "s"),
        Column("CPU seconds", "s"),
        Column("peak MiB", "MiB"),
        Column("growth MiB", "MiB"),
    ]
    return Section("scale", columns, [*rows, *run_rows], [*goals, *run_goals])


def _row(what: str, child: Child, small: Child | None = None) -> Row:
    growth = None if small is None else Spread.of([child.peak_mib - small.peak_mib])
    figures = (Spread.of([value]) for value in (child.seconds, child.cpu_seconds, child.peak_mib))
    return Row(what, [*figures, growth])


def _imports(folder: Path, records: int, small: int) -> tuple[list[Row], list[Goal]]:
    """Import files of each format: each is streamed."""
    rows: list[Row] = []
    goals: list[Goal] = []
    for ending in WRITERS:
        name = ending.removeprefix(".").upper()
        peaks = {count: _imported(folder, _written(folder / f"{count}{ending}", count)) for count in (small, records)}
        rows.append(_row(f"import {records:,} records of {name}", peaks[records], peaks[small]))
        growth = peaks[records].peak_mib - peaks[small].peak_mib
        goals.append(Goal(f"growth while importing {name}", growth, 50, True, "MiB"))
    return rows, goals


def _written(path: Path, count: int) -> Path:
    # By a process of its own: a process begins with the peak of the one that starts it, and this one must stay small.
    run_child([sys.executable, "-m", "benchmarks.job", path, str(count)], speaks=False)
    return path


def _imported(folder: Path, items: Path) -> Child:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        return _child("importing", _job(Path(place), items, "http://127.0.0.1:9/v1"))


def _job(place: Path, items: Path, url: str, **more: Any) -> Path:
    job = job_of(items, place, url, log_probs=False, concurrency=CONCURRENCY) | more
    path = place / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return path


def _child(client: str, job: Path) -> Child:
    return run_child([sys.executable, CLIENTS / f"{client}.py", job])


def _run(folder: Path, records: int, small: int, repeats: int) -> tuple[list[Row], list[Goal]]:
    left = min(LEFT, records // 10)
    with BenchServer() as server:
        (folder / "small").mkdir()
        little = _child("postil_project", _job(folder / "small", folder / f"{small}.jsonl", server.url))
        (folder / "large").mkdir()
        job = _job(folder / "large", folder / f"{records}.jsonl", server.url, limit=records - left)
        large = _child("postil_project", job)
        project = folder / "large" / "project"
        resumed = _postil(project, "annotate", labelled=records)
        finished = [_postil(project, "annotate", labelled=records) for _ in range(repeats)]
        states = [_postil(project, "status", labelled=records) for _ in range(repeats)]
        asked = server.stats().requests
    if asked != records + small:
        raise AssertionError(f"the server was asked {asked} times about {records + small} records")
    _check_journal(project / "postil.db", records)
    rows = [
        _row(f"label {records - left:,} records", large, little),
        _row(f"go on: the last {left:,} records", resumed),
        _rows("go on: nothing left to do", finished),
        _rows("`postil status`", states),
    ]
    goals = [
        Goal("growth while labelling", large.peak_mib - little.peak_mib, 50, True, "MiB"),
        Goal("going on when all is done", Spread.of(each.seconds for each in finished).median, 10, True, "s"),
        Goal("`postil status`", Spread.of(each.seconds for each in states).median, 1, True, "s"),
    ]
    return rows, goals


def _rows(what: str, children: list[Child]) -> Row:
    figures = (Spread.of(getattr(each, key) for each in children) for key in ("seconds", "cpu_seconds", "peak_mib"))
    return Row(what, [*figures, None])


def _postil(project: Path, verb: str, *, labelled: int) -> Child:
    child = run_child([_POSTIL, verb, "--project", project, "--json"])
    if child.said["labelled"] != labelled or child.said["pending"]:
        raise AssertionError(f"postil {verb}: expected {labelled} labelled records, got {child.said}")
    return child


def _check_journal(path: Path, records: int) -> None:
    """Check every label by SQLite alone."""
    journal = sqlite3.connect(path)
    try:
        outcomes = journal.execute("SELECT record, json_extract(answer, '$.label') FROM outcome")
        right = sum(label_of(int(record.removeprefix("r"))) == label for record, label in outcomes)
        [(distinct,)] = journal.execute("SELECT count(DISTINCT record) FROM outcome")
    finally:
        journal.close()
    if (right, distinct) != (records, records):
        raise AssertionError(f"of {records} records {distinct} have an outcome and {right} outcomes are right")
