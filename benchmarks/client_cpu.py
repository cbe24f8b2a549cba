"""CPU time of a client for each record: Postil beside a bare loop on aiohttp that sends and reads the same bytes.

    python -m benchmarks client_cpu

CPU time is user and system time of the whole process, start-up and imports included; beside it stands that of the job
alone, imports left out. Postil makes a project of the records, annotates them, and leaves every answer in its durable
journal. Every label is checked against the right one, and both must have sent the same bytes.
"""

import json
import sqlite3
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.job import TASK, label_of, write_items
from benchmarks.measuring import ROOT, Spread, run_child
from benchmarks.report import Column, Goal, Row, Section
from benchmarks.server import MODEL, BenchServer, Stats
from postil._version import __version__
from postil.prompts import Prompt
from postil.types import Capabilities, Record

CLIENTS: Final = ROOT / "benchmarks" / "clients"
CONCURRENCY: Final = 64
REPLIES: Final[Mapping[str, bool]] = {"bare labels": False, "labels with log-probabilities": True}
NAMES: Final[Mapping[str, str]] = {"raw_aiohttp": "bare aiohttp loop", "postil_project": "Postil"}


@dataclass(frozen=True, slots=True)
class Measured:
    """One process that went through all records, and did it right."""

    cpu_ms: float
    """CPU milliseconds a record, of the whole process."""
    job_cpu_ms: float
    """The same without start-up and imports."""
    rate: float
    """Records a second, while it was at it."""
    cores: float
    """How many cores it kept busy meanwhile."""
    peak_mib: float
    stats: Stats


def measure(records: int, repeats: int) -> Section:
    """Return CPU time a record of both clients, run in turns."""
    rows: list[Row] = []
    goals: list[Goal] = []
    for replies, log_probs in REPLIES.items():
        found: dict[str, list[Measured]] = {client: [] for client in NAMES}
        for _ in range(repeats):
            for client in NAMES:
                found[client].append(measured(client, records, log_probs=log_probs))
            _check_same_bytes([each[-1].stats for each in found.values()])
        for client, name in NAMES.items():
            whole = Spread.of(each.cpu_ms for each in found[client])
            ratios = Spread.of(
                mine.cpu_ms / its.cpu_ms for mine, its in zip(found[client], found["raw_aiohttp"], strict=True)
            )
            job = Spread.of(each.job_cpu_ms for each in found[client])
            rate, peak = (Spread.of(getattr(each, key) for each in found[client]) for key in ("rate", "peak_mib"))
            rows.append(Row(f"{name}, {replies}", [whole, job, ratios, rate, peak]))
            if client == "postil_project":
                goals.append(Goal(f"CPU time beside the bare loop, {replies}", ratios.median, 1.5, True, "x"))
    columns = [
        Column("CPU ms a record", "ms"),
        Column("of them the job's", "ms"),
        Column("× the bare loop", "x"),
        Column("records/s", "rate"),
        Column("peak MiB", "MiB"),
    ]
    return Section("client_cpu", columns, rows, goals)


def measured(
    client: str, records: int, *, log_probs: bool = False, latency_ms: float = 0.0, concurrency: int = CONCURRENCY
) -> Measured:
    """Run one client over so many records and return what it took.

    Raises:
        AssertionError: a label was wrong or missing, or a record was asked about twice.
    """
    with tempfile.TemporaryDirectory() as place, BenchServer(latency_ms) as server:
        folder = Path(place)
        items = write_items(folder / "items.jsonl", records)
        job = job_of(items, folder, server.url, log_probs=log_probs, concurrency=concurrency)
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        child = run_child([sys.executable, CLIENTS / f"{client}.py", folder / "job.json"])
        check_labels(_journal_labels(folder) if client == "postil_project" else file_labels(folder), records)
        stats = server.stats()
    if stats.requests != records:
        raise AssertionError(f"the server was asked {stats.requests} times about {records} records")
    seconds = child.said["annotate_seconds"]
    return Measured(
        child.cpu_seconds / records * 1e3,
        child.said["job_cpu_seconds"] / records * 1e3,
        records / seconds,
        child.said["annotate_cpu_seconds"] / seconds,
        child.peak_mib,
        stats,
    )


def job_of(items: Path, folder: Path, url: str, *, log_probs: bool, concurrency: int) -> dict[str, Any]:
    """Return what clients are told; the bare loop gets the prompt in pieces, so that it sends what Postil sends."""
    prompt = Prompt.for_engine(TASK, Capabilities(scores="first_token" if log_probs else "none"))
    system, user = prompt.render(Record("0", {"text": "\0"}))
    before, after = user.content.split("\0")
    scored = {"logprobs": True, "top_logprobs": 20} if log_probs else {}
    return {
        "items": str(items),
        "out": str(folder / "out.jsonl"),
        "folder": str(folder / "project"),
        "concurrency": concurrency,
        "url": url,
        "address": f"{url}/chat/completions",
        "headers": {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"postil/{__version__}",
        },
        # Each request's own header, as long as Postil's, whatever is in it.
        "key_length": len("postil-") + 64 + len("-0"),
        "body": {"model": MODEL, "max_tokens": prompt.form.max_tokens, "temperature": 0.0, **scored},
        "system": system.content,
        "before": before,
        "after": after,
        "task": TASK.spec,
        "annotator": {
            "engine": "openai",
            "base_url": url,
            "model": MODEL,
            "concurrency": concurrency,
            "log_probs": log_probs,
            # One request a record, as in the bare loop: a prior would be measured before the first record is labelled.
            "calibrate": "none",
        },
    }


def file_labels(folder: Path) -> dict[str, str]:
    """Return the labels in a client's lines of output."""
    with (folder / "out.jsonl").open(encoding="utf-8") as lines:
        return {row["id"]: row["label"] for row in map(json.loads, lines)}


def _journal_labels(folder: Path) -> dict[str, str]:
    """Return the labels in Postil's journal, read by SQLite alone, as anybody may."""
    journal = sqlite3.connect(folder / "project" / "postil.db")
    try:
        return dict(journal.execute("SELECT record, json_extract(answer, '$.label') FROM outcome"))
    finally:
        journal.close()


def check_labels(labels: Mapping[str, str], records: int) -> None:
    """Check that every record has its right label.

    Raises:
        AssertionError: one has not.
    """
    right = {f"r{number}": label_of(number) for number in range(records)}
    if labels != right:
        wrong = sum(labels.get(key) != label for key, label in right.items())
        raise AssertionError(f"{wrong} of {records} labels are wrong or missing")


def _check_same_bytes(stats: list[Stats]) -> None:
    if len({each.bytes for each in stats}) != 1:
        raise AssertionError(f"the clients sent different bytes: {[each.bytes for each in stats]}")
