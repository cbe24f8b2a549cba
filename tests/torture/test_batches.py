"""The batch lane killed between any two steps: no batch is submitted twice, no paid answer is lost (R4, R5, R6)."""

import random
from pathlib import Path

import pytest

from tests.torture.conftest import Make
from tests.torture.driver import kill, wounded
from tests.torture.failing_child import BATCH_POINTS
from tests.torture.project import Tortured
from tests.torture.victims import KILLED, start

PRICE = {"input": 2.0, "output": 8.0, "batch": 1.0}
RECORDS = 30
POINTS = (
    *BATCH_POINTS,
    *("after the intent", "before the reply is kept", "after the reply is kept", "before a commit", "after a commit"),
)


def batched(make: Make, **script: object) -> Tortured:
    return make(RECORDS, script={"seed": 2, **script}, price=PRICE, batch_requests=12)


def tokens(project: Tortured) -> list[str]:
    """Return the token of every batch that the server took."""
    return [batch["metadata"]["postil"] for batch in project.scene.batches()]


def collected(project: Tortured, log: Path) -> None:
    """Run until nothing is pending: a batch that was given up is the next run's."""
    command = ["annotate", "--batch", "--json", "--project", project.folder]
    assert any(start(command, log).wait() == 0 for _ in range(4)), log.read_text()


@pytest.mark.parametrize("nth", [1, 2])
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_a_point_no_batch_is_submitted_twice(point: str, nth: int, make: Make, tmp_path: Path) -> None:
    project = batched(make)
    command = ["annotate", "--batch", "--project", project.folder]
    nth = nth if point in BATCH_POINTS else 7 * nth
    killed = start(command, tmp_path / "log", plant=(point, nth, "kill"))
    assert killed.wait() == KILLED, killed.said()
    project.must_hold()
    collected(project, tmp_path / "log")
    found = project.must_hold(finished=True)
    assert (found.figures["annotation"], found.figures["paid_again"]) == (RECORDS, 0)
    assert len(set(tokens(project))) == len(tokens(project)) == 3
    project.verified()


def test_random_kills_pay_for_nothing_twice(make: Make, tmp_path: Path) -> None:
    project = batched(make, batch={"seconds": 0.02})
    toll = wounded(project, [kill] * 8, random.Random(6), tmp_path / "log", options=("--batch",))
    assert toll.problems == []
    assert (toll.figure("annotation"), toll.figure("paid_again")) == (RECORDS, 0)
    assert len(set(tokens(project))) == len(tokens(project))
    project.verified()


def test_a_batch_that_expires_loses_no_paid_answer(make: Make) -> None:
    project = batched(make, batch={"finished": 0.6}, faults={"500": 0.3})
    ran = project.run("annotate", "--batch", "--json")
    assert (ran.json["pending"], {*ran.json["failures"]}) == (0, {"provider_error"})
    found = project.must_hold(finished=True)
    assert found.figures["annotation"] == found.figures["billed"] > RECORDS // 2
    assert found.figures["paid_again"] == 0


def test_lines_that_are_missing_or_there_twice_mix_nothing_up(make: Make) -> None:
    project = batched(make, batch={"drop": 0.2, "repeat": 0.3})
    ran = project.run("annotate", "--batch", "--json")
    found = project.must_hold()
    assert "no line for" in ran.err
    assert "two of" in ran.err
    assert found.figures["lost"] > 0, "a line that is missing may have been paid for"
    assert found.figures["unexplained"] == 0
