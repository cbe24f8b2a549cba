"""Replies lost at a kill: sent again, held or asked about, as the user wants, each one listed with its cost (R2)."""

import random
import time
from pathlib import Path

import pytest

from tests.torture.conftest import Make
from tests.torture.driver import kill, wounded
from tests.torture.project import Tortured
from tests.torture.victims import KILLED, start, until

RECORDS = 24


def killed(make: Make, log: Path, nth: int) -> Tortured:
    """Return a project whose run was killed with replies on their way, each of which was billed."""
    project = make(RECORDS, script={"delay": [0.01, 0.03], "after": [0.0, 0.01]}, concurrency=6)
    run = start(["annotate", "--project", project.folder], log, plant=("after the request was billed", nth, "kill"))
    assert run.wait() == KILLED, run.said()
    # The server goes on without its client.
    assert until(lambda: project.scene.count_billed() == len(project.scene.asked()), 5)
    time.sleep(0.05)
    return project


def billed_unseen(project: Tortured) -> int:
    """Return how many replies were billed and never came."""
    found = project.must_hold().figures
    return found["billed"] - found["annotation"] - found["failure"]


@pytest.mark.parametrize("nth", [1, 7, 15])
def test_resend_pays_again_for_exactly_what_was_lost(nth: int, make: Make, tmp_path: Path) -> None:
    project = killed(make, tmp_path / "log", nth)
    lost, open_ = billed_unseen(project), project.must_hold().figures["open"]
    assert 0 < lost <= open_ <= project.concurrency
    ran = project.run("annotate", "--json", "--lost", "resend")
    assert (ran.code, ran.json["labelled"], ran.json["open_intents"], ran.json["held"]) == (0, RECORDS, open_, 0)
    found = project.must_hold(finished=True)
    assert found.figures["paid_again"] == lost
    # What the journal knows, and the most that the rest can have cost, hold what was billed.
    known = project.run("status", "--json").json["usd"]
    billed = sum(line["usd"] for line in project.scene.billed())
    assert known < billed <= known + ran.json["open_intents_usd"]
    assert billed - known == pytest.approx(_lost_usd(project, lost), abs=1e-12)
    project.verified()


def _lost_usd(project: Tortured, lost: int) -> float:
    twice = [line for line in project.scene.billed() if line["attempt"] == 2]
    assert len(twice) == lost
    return sum(line["usd"] for line in project.scene.billed() if any(_same(line, other) for other in twice))


def _same(line: dict[str, object], other: dict[str, object]) -> bool:
    return line["nonce"] == other["nonce"] and line["attempt"] == 1


@pytest.mark.parametrize("lost", ["hold", "ask"])
def test_hold_pays_nothing_twice_and_says_what_it_left(lost: str, make: Make, tmp_path: Path) -> None:
    project = killed(make, tmp_path / "log", 7)
    open_ = project.must_hold().figures["open"]
    ran = project.run("annotate", "--json", "--lost", lost)
    assert (ran.json["pending"], ran.json["held"], ran.json["open_intents"]) == (open_, open_, open_)
    assert ran.json["labelled"] == RECORDS - open_
    assert "no known outcome" in ran.err
    assert project.must_hold().figures["paid_again"] == 0
    again = project.run("annotate", "--json", "--lost", lost)
    assert (again.json["held"], again.json["requests"]) == (open_, 0)
    assert project.must_hold().figures["paid_again"] == 0
    project.verified()
    # Whoever thinks better of it gets the rest.
    assert project.run("annotate", "--json", "--lost", "resend").json["labelled"] == RECORDS
    project.must_hold(finished=True)


def test_hold_through_many_kills_pays_nothing_twice(make: Make, tmp_path: Path) -> None:
    project = make(120, script={"seed": 6, "delay": [0.002, 0.02], "after": [0.0, 0.01]}, concurrency=8)
    log = tmp_path / "log"
    toll = wounded(project, [kill] * 8, random.Random(8), log, options=("--lost", "hold"))
    # The last run ends with the held records pending, which is what was asked for.
    assert all("I1: no outcome of" in problem for problem in toll.problems)
    found = project.must_hold()
    assert (found.figures["paid_again"], toll.hit >= 4) == (0, True)
    pending = 120 - found.figures["annotation"]
    assert 0 < pending <= found.figures["open"]


def test_a_budget_given_after_a_crash_holds_what_may_have_been_billed(make: Make, tmp_path: Path) -> None:
    project = killed(make, tmp_path / "log", 7)
    budget = 1.05 * sum(line["usd"] for line in project.scene.billed())
    project.run("annotate", "--json", "--budget-usd", f"{budget}")
    assert sum(line["usd"] for line in project.scene.billed()) <= budget


def test_lost_replies_of_a_provider_are_held_too(make: Make) -> None:
    project = make(12, script={"faults": {"cut_length": 1.0}}, attempts=4)
    project.scene.play(fixed={nonce: ["cut_length", "ok"] for nonce in project.nonces[::3]})
    ran = project.run("annotate", "--json", "--lost", "hold")
    assert ran.json["failures"] == {"connection_lost": 4}
    assert project.must_hold(finished=True).figures["paid_again"] == 0
    assert all(line["attempt"] == 1 for line in project.scene.asked())
