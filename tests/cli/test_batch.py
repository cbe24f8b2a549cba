"""`annotate --batch` as a user runs it, against a real server of files and batches."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import openai, postil, write_project
from tests.fake_batches import BatchServer
from tests.fake_server import Asked, Reply

PRICE = {"input": 1.0, "output": 2.0, "batch": 0.5, "date": "2026-11-02"}


def right(asked: Asked) -> Reply:
    return Reply("pos" if "love" in asked.text else "neg")


@pytest.fixture
def server() -> Generator[BatchServer, None, None]:
    with BatchServer(right) as started:
        yield started


def made(folder: Path, server: BatchServer, **settings: Any) -> Path:
    return write_project(folder / "p", {"m": openai(server.base_url, price=PRICE) | settings})


def test_a_batch_labels_for_its_share_of_the_price(tmp_path: Path, server: BatchServer) -> None:
    folder = made(tmp_path, server)
    ran = postil("annotate", "--batch", "--project", folder, "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    assert (found["labelled"], found["pending"], found["requests"]) == (4, 0, 4)
    assert found["usd"] == pytest.approx(0.5 * (found["input_tokens"] + 2 * found["output_tokens"]) / 1e6)
    assert postil("verify", "--project", folder, "--json").json["ok"]
    assert len(server.batches) == 1


def test_submitting_and_collecting_are_two_runs_and_a_live_run_leaves_the_batch_alone(
    tmp_path: Path, server: BatchServer
) -> None:
    folder = made(tmp_path, server)
    left = postil("annotate", "--batch", "--no-wait", "--project", folder, "--json")
    assert (left.code, left.json["pending"]) == (1, 4)
    live = postil("annotate", "--project", folder, "--json")
    assert live.json["pending"] == 4
    assert "asked about in a batch" in live.err
    assert not [asked for asked in server.asked if asked.path != "batch"]
    collected = postil("annotate", "--batch", "--project", folder, "--json")
    assert (collected.code, collected.json["labelled"]) == (0, 4)
    assert len(server.batches) == 1


def test_a_budget_in_dollars_needs_the_batch_price(tmp_path: Path, server: BatchServer) -> None:
    folder = made(tmp_path, server, price={"input": 1.0, "output": 2.0})
    ran = postil("annotate", "--batch", "--budget-usd", "1", "--project", folder)
    assert (ran.code, "batch = 0.5" in ran.err) == (2, True)
    assert server.batches == []


def test_an_engine_without_a_batch_lane_says_so(tmp_path: Path) -> None:
    folder = write_project(tmp_path / "p", {"m": {"engine": "local"}})
    ran = postil("annotate", "--batch", "--project", folder)
    assert ran.code == 2
    assert "only the engine openai has a batch lane" in ran.err


def test_plan_shows_what_each_lane_would_cost(tmp_path: Path, server: BatchServer) -> None:
    folder = made(tmp_path, server)
    ahead = postil("plan", "--project", folder, "--json").json
    live, batch = ahead["lanes"]["live"], ahead["lanes"]["batch"]
    assert live["usd"] == ahead["usd"]
    assert batch["usd"] == pytest.approx(live["usd"] / 2)
    assert batch["seconds"] == 24 * 3600
    shown = postil("plan", "--project", folder).out
    assert "in batches" in shown
    assert "prices of 2026-11-02" in shown
