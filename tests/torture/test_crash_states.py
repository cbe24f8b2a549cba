"""A loss of power at any moment keeps every row that was acknowledged (H4, D2)."""

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.torture.disk import Operation
from tests.torture.project import Tortured, tortured
from tests.torture.replay import Acknowledged, Disk, Step, crash_states, faults, read_steps, record, seals_of
from tests.torture.serving import Servers

STATES = 500


@pytest.fixture(scope="module")
def project(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Tortured:
    scene = servers.scene(seed=2, delay=[0.0, 0.006], faults={"length": 0.1})
    return tortured(tmp_path_factory.mktemp("power") / "p", scene, 80, concurrency=8)


@pytest.fixture(scope="module")
def steps(project: Tortured) -> list[Step]:
    """Two runs, so that a log is folded into the file, removed and begun again."""
    log, written = project.folder / "log", project.folder / "steps"
    for limit in (["--limit", "40"], []):
        assert record(["annotate", *limit, "--project", project.folder], log, written) in (0, 1), log.read_text()
    return read_steps(written)


def found(steps: list[Step], project: Tortured, count: int = STATES) -> Counter[str]:
    whole = seals_of(project.folder / "postil.db")
    states = crash_states(steps, count, random.Random(19))
    return Counter(fault for acknowledged, files in states for fault in faults(files, acknowledged, whole))


def test_five_hundred_crash_states_keep_what_was_acknowledged(steps: list[Step], project: Tortured) -> None:
    kinds = Counter(step.kind for step in steps if isinstance(step, Operation))
    assert kinds["delete"] >= 3, "the log was folded in and removed"
    assert sum(isinstance(step, Acknowledged) for step in steps) >= 50
    assert found(steps, project) == Counter()


def test_a_disk_that_only_says_that_it_synced_is_found_out(steps: list[Step], project: Tortured) -> None:
    lying = [s for s in steps if not (isinstance(s, Operation) and s.kind == "sync" and s.name == "postil.db-wal")]
    assert any("acknowledged were" in fault for fault in found(lying, project))


def test_a_commit_acknowledged_before_its_sync_is_found_out(steps: list[Step], project: Tortured) -> None:
    early = [*steps]
    for at, step in enumerate(steps):
        if isinstance(step, Acknowledged):
            sync = max(i for i in range(at) if isinstance(early[i], Operation))
            early[sync], early[at] = early[at], early[sync]
    assert any("acknowledged were" in fault for fault in found(early, project))


def test_the_disk_keeps_what_was_synced_and_may_lose_the_rest() -> None:
    rng = random.Random(0)
    disk = Disk()
    for step in (
        Operation("open", "postil.db-wal"),
        Operation("write", "postil.db-wal", 0, b"abc"),
        Operation("sync", "postil.db-wal"),
        Operation("write", "postil.db-wal", 3, b"def"),
        Operation("truncate", "postil.db-wal", 5),
        Operation("delete", "postil.db-wal"),
    ):
        disk.take(step)
    left = {tuple(disk.crashed(rng).items()) for _ in range(200)}
    contents = {dict(files).get("postil.db-wal") for files in left}
    assert None in contents, "removed"
    assert {b"abc", b"abcdef", b"abcde"} <= contents
    assert all(content is None or content.startswith(b"abc") for content in contents)


@pytest.mark.parametrize("seed", range(4))
def test_a_run_goes_on_from_a_crash_state(seed: int, steps: list[Step], project: Tortured, tmp_path: Path) -> None:
    [(acknowledged, files)] = crash_states(steps, 1, random.Random(seed + 100))
    left = Tortured(tmp_path, project.scene, project.items, project.concurrency)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    for name in ("postil.toml", "items.jsonl"):
        (tmp_path / name).write_bytes((project.folder / name).read_bytes())
    before = left.run("status", "--json").json
    assert before["labelled"] + before["failed"] >= acknowledged.get("outcome", 0)
    again = left.run("annotate", "--json").json
    assert again["pending"] == 0
    assert again["labelled"] + again["failed"] == 80
    left.verified()
