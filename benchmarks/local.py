"""The packaged model inside the process: Postil beside llama.cpp driven directly, and scoring beside generating.

    python -m benchmarks local

What Postil asked llama.cpp is asked again without Postil: the same prompts as tokens, the same slots, the same threads.
Loading the model is left out of both. Every process labels the same records.
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from benchmarks.client_cpu import CLIENTS
from benchmarks.job import write_items
from benchmarks.measuring import Child, Spread, run_child
from benchmarks.report import Column, Goal, Row, Section
from postil import Classification

SLOTS: Final = 2
TASK: Final = Classification(
    "topic",
    "Which topic is this news about? Think of a reader of a large daily newspaper, who looks for it in one section. "
    "If it belongs to several sections, take the one where most readers would look for it first. "
    "Names of companies alone do not make it business, and names of countries alone do not make it world news.",
    # The labels of the job, with definitions that make a prefix worth sharing.
    labels={
        "world": "what happens in other countries: politics, war, disasters, elections, diplomacy",
        "sports": "matches, players, clubs, records, transfers, the business of sport as well",
        "business": "companies, markets, prices, jobs, trade, what it means for the economy",
        "technology": "inventions, science, computers, software, telephones, space, medicine",
    },
)


def measure(records: int, repeats: int) -> Section:
    """Return the pace of Postil, of llama.cpp alone, and of generated JSON, run in turns."""
    with tempfile.TemporaryDirectory() as place:
        items = write_items(Path(place) / "items.jsonl", records)
        found: dict[str, list[Child]] = {"labels": [], "direct": [], "json": []}
        for turn in range(repeats):
            for mode, children in found.items():
                children.append(_run(Path(place), mode, turn, items))
    return _section(found, records)


def _run(place: Path, mode: str, turn: int, items: Path) -> Child:
    job: dict[str, Any] = {
        "mode": mode,
        "folder": str(place / f"{mode}-{turn}"),
        "bodies": str(place / f"{'json' if mode == 'json' else 'labels'}-{turn}.bodies.json"),
        "items": str(items),
        "task": TASK.spec,
        "slots": SLOTS,
        "threads": os.cpu_count() or 1,
    }
    path = place / f"{mode}-{turn}.job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    return run_child([sys.executable, CLIENTS / "llama.py", path])


def _section(found: dict[str, list[Child]], records: int) -> Section:
    tokens = [child.said["tokens"] for child in found["labels"]]
    seconds = {mode: [child.said["seconds"] for child in children] for mode, children in found.items()}
    if any(child.said["labelled"] != records for child in found["labels"]):
        raise AssertionError(f"not all records were labelled: {[child.said for child in found['labels']]}")

    def row(what: str, mode: str, *, with_rate: bool = True) -> Row:
        rate = Spread.of(count / took for count, took in zip(tokens, seconds[mode], strict=True)) if with_rate else None
        return Row(what, [Spread.of(took / records for took in seconds[mode]), rate])

    beside = Spread.of(its / mine for mine, its in zip(seconds["labels"], seconds["direct"], strict=True))
    faster = Spread.of(slow / fast for slow, fast in zip(seconds["json"], seconds["labels"], strict=True))
    own = Spread.of(child.said["processed"] / child.said["own"] for child in found["labels"])
    last = found["labels"][-1].said
    rows = [
        row("Postil, labels by log-probability", "labels"),
        row("llama.cpp alone, the same prompts", "direct"),
        row("Postil, labels as generated JSON", "json", with_rate=False),
    ]
    goals = [
        Goal("tokens a second beside llama.cpp alone", beside.median, 0.95, False, "x"),
        Goal("scoring beside generating JSON, records a second", faster.median, 3.0, False, "x"),
        Goal("tokens processed for each token that is a record's own", own.median, 1.1, True, "x"),
    ]
    told = {key: last[key] / records for key in ("tokens", "own", "processed")}
    note = "of {tokens:.0f} tokens that a record's prompts have, {own:.0f} are its own; {processed:.0f} were processed"
    columns = [Column("seconds a record", "s"), Column("tokens/s", "rate")]
    return Section("local", columns, rows, goals, [note.format(**told)])
