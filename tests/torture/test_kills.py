"""Killed, stopped, interrupted: nothing is lost, and nothing is paid twice unexplained (R1, R2, R14, D1)."""

import json
import random
from pathlib import Path

import pytest

from tests.torture.conftest import Make
from tests.torture.driver import WOUNDS, kill, wounded
from tests.torture.failing_child import BATCH_POINTS, EXPORT_POINTS, FAILING, POINTS
from tests.torture.project import Tortured
from tests.torture.victims import KILLED, start

BUSY = {"delay": [0.002, 0.02], "after": [0.0, 0.005], "faults": {"500": 0.05, "cut_length": 0.03, "length": 0.03}}
KILLS = 20


def test_twenty_random_kills_lose_nothing_and_pay_for_no_more_than_was_in_flight(make: Make, tmp_path: Path) -> None:
    project = make(240, script={"seed": 11, **BUSY}, concurrency=16)
    toll = wounded(project, [kill] * KILLS, random.Random(20241123), tmp_path / "log")
    assert toll.problems == []
    assert toll.hit >= KILLS // 2, "the kills came too late to test anything"
    assert max(toll.left_open) <= project.concurrency
    assert toll.figure("paid_again") > 0
    assert toll.figure("unexplained") == 0
    assert toll.figure("annotation") + toll.figure("failure") == 240
    project.verified()


@pytest.mark.parametrize("name", sorted(set(WOUNDS) - {"SIGKILL"}))
def test_other_signals_lose_nothing_either(name: str, make: Make, tmp_path: Path) -> None:
    project = make(80, script={"seed": 12, **BUSY}, attempt_seconds=0.3 if name == "SIGSTOP" else 5.0)
    toll = wounded(project, [WOUNDS[name]] * 4, random.Random(5), tmp_path / "log")
    assert toll.problems == []
    assert toll.hit >= 2
    if name in ("SIGTERM", "SIGINT"):
        assert set(toll.left_open) <= {0}, "requests in flight were let end"
    assert max(toll.left_open) <= project.concurrency
    assert max(toll.seconds_to_end) < 5
    project.verified()


# Named points


def run_to_the_end(project: Tortured, log: Path) -> None:
    """Run again without a failure: everything ends, and nothing was lost on the way."""
    assert start(["annotate", "--project", project.folder], log).wait() == 0
    project.must_hold(finished=True)
    project.verified()


REACHED = {"before a log is removed": (1,), "after a log is removed": (1,), "at a statement": (1, 12, 30, 60)}


@pytest.mark.parametrize(
    ("point", "nth"),
    [
        (point, nth)
        for point in POINTS
        if point not in EXPORT_POINTS + BATCH_POINTS
        for nth in REACHED.get(point, (1, 9))
    ],
)
def test_killed_at_a_point_a_run_goes_on_where_it_was(point: str, nth: int, make: Make, tmp_path: Path) -> None:
    project = make(16, script={"delay": [0.0, 0.004]}, concurrency=4)
    killed = start(["annotate", "--project", project.folder], tmp_path / "log", plant=(point, nth, "kill"))
    assert killed.wait() == KILLED, f"the point was not reached: {killed.said()}"
    before = project.must_hold()
    assert before.figures["open"] <= project.concurrency
    run_to_the_end(project, tmp_path / "log")
    after = project.check(finished=True)
    assert after.figures["paid_again"] <= before.figures["open"]


@pytest.mark.parametrize("point", EXPORT_POINTS)
def test_killed_in_an_export_the_file_is_the_old_or_the_new_one(point: str, make: Make, tmp_path: Path) -> None:
    project = make(6)
    assert project.run("annotate").code == 0
    target = project.folder / "out.jsonl"
    target.write_text("old\n")
    export = ["export", str(target), "--project", project.folder]
    killed = start(export, tmp_path / "log", plant=(point, 1, "kill"))
    assert killed.wait() == KILLED, killed.said()
    assert target.read_text() == "old\n" or len(target.read_text().splitlines()) == 6
    assert start(export, tmp_path / "log").wait() == 0
    assert [json.loads(line)["id"] for line in target.read_text().splitlines()] == [f"r{number}" for number in range(6)]


@pytest.mark.parametrize("action", ["eio", "enospc"])
@pytest.mark.parametrize("nth", [1, 4, 9, 14, 22])
@pytest.mark.parametrize("point", [point for point in FAILING if point not in EXPORT_POINTS])
def test_a_disk_that_fails_stops_the_run_and_loses_nothing(
    point: str, nth: int, action: str, make: Make, tmp_path: Path
) -> None:
    project = make(40, script={"delay": [0.0, 0.004]}, concurrency=2)
    assert action in ("eio", "enospc")
    failed = start(["annotate", "--json", "--project", project.folder], tmp_path / "log", plant=(point, nth, action))
    assert failed.wait() in (2, 3), failed.said()
    assert "Traceback" not in failed.said()
    assert "journal" in failed.said()
    if (project.folder / "postil.db").exists():
        assert project.must_hold().figures["open"] <= project.concurrency
    run_to_the_end(project, tmp_path / "log")


@pytest.mark.parametrize(
    ("point", "action"), [(point, action) for point in EXPORT_POINTS for action in FAILING.get(point, ())]
)
def test_a_disk_that_fails_leaves_the_old_export(point: str, action: str, make: Make, tmp_path: Path) -> None:
    project = make(6)
    assert project.run("annotate").code == 0
    target = project.folder / "out.jsonl"
    target.write_text("old\n")
    assert action in ("eio", "enospc")
    export = ["export", str(target), "--project", project.folder]
    failed = start(export, tmp_path / "log", plant=(point, 1, action))
    assert failed.wait() in (2, 3), failed.said()
    assert "Traceback" not in failed.said()
    assert target.read_text() == "old\n"
    assert not [*project.folder.glob(".postil-*")], "nothing is left behind"
