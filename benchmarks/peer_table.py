"""Other tools at the same job, each in an environment of its own, beside Postil and the bare loop.

    python -m benchmarks peers

A peer is a folder in `benchmarks/peers` with `requirements.txt` and `run.py`, which takes the path of a job and prints
its figures. Its environment is made on first use and again when its requirements change. A peer whose environment
cannot be made, or that fails, is named with the reason and not measured.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from benchmarks.client_cpu import CONCURRENCY, NAMES, check_labels, file_labels, job_of, measured
from benchmarks.job import LABELS, write_items
from benchmarks.measuring import ROOT, Child, ChildFailedError, Spread, run_child
from benchmarks.report import Column, Goal, Row, Section
from benchmarks.server import MODEL, BenchServer

PEERS: Final = ROOT / "benchmarks" / "peers"
_LONGEST: Final = 300.0
"""Seconds after which a peer that has not ended is given up."""


@dataclass(slots=True)
class Taken:
    """What one client took, turn by turn."""

    cpu_ms: list[float] = field(default_factory=list[float])
    """Milliseconds a record of the job alone: a small job, and its start-up would drown it."""
    rate: list[float] = field(default_factory=list[float])
    peak_mib: list[float] = field(default_factory=list[float])

    def row(self, name: str, postil: "Taken") -> Row:
        """Return its row, with how much more it takes than Postil."""
        ratios = Spread.of(its / mine for its, mine in zip(self.cpu_ms, postil.cpu_ms, strict=True))
        return Row(name, [Spread.of(self.cpu_ms), ratios, Spread.of(self.rate), Spread.of(self.peak_mib)])


def names() -> list[str]:
    """Return the peers there are."""
    return sorted(path.parent.name for path in PEERS.glob("*/run.py"))


def measure(records: int, repeats: int) -> Section:
    """Return what each client takes for a record, run in turns."""
    pythons, notes = _environments()
    found: dict[str, Taken] = {}
    versions: dict[str, str] = {}
    one_by_one: set[str] = set()
    for _ in range(repeats):
        for client, name in NAMES.items():
            own = measured(client, records)
            _note(found.setdefault(name, Taken()), own.job_cpu_ms, own.rate, own.peak_mib)
        for peer, python in list(pythons.items()):
            try:
                child = peer_child(peer, python, records)
            except (ChildFailedError, AssertionError) as error:
                notes.append(f"{peer} was not measured: {str(error).splitlines()[-1][:300]}")
                del pythons[peer]
                found.pop(versions.get(peer, ""), None)
                continue
            versions[peer] = child.said["version"]
            if child.said.get("in_flight") == 1:
                one_by_one.add(versions[peer])
            taken = found.setdefault(versions[peer], Taken())
            _note(taken, child.said["job_cpu_seconds"] / records * 1e3, records / child.said["seconds"], child.peak_mib)
    columns = [
        Column("CPU ms a record", "ms"),
        Column("× Postil", "x"),
        Column("records/s", "rate"),
        Column("peak MiB", "MiB"),
    ]
    postil = found[NAMES["postil_project"]]
    rows = [taken.row(name, postil) for name, taken in found.items()]
    others = [row for row in rows[len(NAMES) :] if row.what not in one_by_one]
    least = min((row.figures[1].median for row in others if row.figures[1]), default=None)
    goal = "the most frugal of those that keep many requests in flight, beside Postil"
    goals = [] if least is None else [Goal(goal, least, 10, False, "x")]
    notes += [f"{name} has one request in flight at a time" for name in sorted(one_by_one)]
    return Section("peers", columns, rows, goals, notes)


def _note(taken: Taken, cpu_ms: float, rate: float, peak_mib: float) -> None:
    taken.cpu_ms.append(cpu_ms)
    taken.rate.append(rate)
    taken.peak_mib.append(peak_mib)


def peer_child(peer: str, python: Path, records: int) -> Child:
    """Run a peer over so many records and check its labels.

    Raises:
        ChildFailedError: it failed.
        AssertionError: a label is wrong or missing.
    """
    with tempfile.TemporaryDirectory() as place, BenchServer() as server:
        folder = Path(place)
        items = write_items(folder / "items.jsonl", records)
        job = job_of(items, folder, server.url, log_probs=False, concurrency=CONCURRENCY)
        job |= {"labels": list(LABELS), "model": MODEL}
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        child = run_child([python, PEERS / peer / "run.py", folder / "job.json"], seconds=_LONGEST, cwd=folder)
        check_labels(file_labels(folder), records)
    return child


def _environments() -> tuple[dict[str, Path], list[str]]:
    pythons: dict[str, Path] = {}
    notes: list[str] = []
    for peer in names():
        try:
            pythons[peer] = environment_of(peer)
        except subprocess.CalledProcessError as error:
            notes.append(f"{peer} was not measured: its environment cannot be made: {error.stderr[-300:]}")
    return pythons, notes


def environment_of(peer: str) -> Path:
    """Return the Python of a peer's environment, which is made where it is missing or out of date.

    Raises:
        subprocess.CalledProcessError: it cannot be made.
    """
    folder = PEERS / peer / ".venv"
    requirements = PEERS / peer / "requirements.txt"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    installed, python = folder / "installed", folder / "bin" / "python"
    if not installed.exists() or installed.read_text(encoding="utf-8") != wanted:
        _run(sys.executable, "-m", "venv", "--clear", folder)
        _run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", requirements)
        installed.write_text(wanted, encoding="utf-8")
    return python


def _run(*command: str | Path) -> None:
    subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
