"""`annotate --batch` as a user runs it, against a real server of files and batches."""

import json
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
    assert (left.code, left.json["pending"]) == (0, 4)
    assert "handed over" in left.err
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


def lives(server: BatchServer) -> list[Asked]:
    return [asked for asked in server.asked if asked.path != "batch"]


def test_what_is_in_a_batch_is_asked_by_nobody_else(tmp_path: Path, server: BatchServer) -> None:
    """Nor about a record that reads the same, nor in a preview, nor by an annotator whose questions are the same."""
    first = openai(server.base_url, price=PRICE)
    folder = write_project(tmp_path / "p", {"m": first, "other": first | {"repairs": 2}})
    postil("annotate", "--batch", "--no-wait", "--project", folder)
    items = folder / "items.jsonl"
    [first, *_] = [json.loads(line) for line in items.read_text().splitlines()]
    with items.open("a") as file:
        file.write(json.dumps({**first, "id": "twin"}) + "\n")
    for command in (
        ["annotate"],
        ["preview"],
        ["annotate", "--annotator", "other"],
        ["annotate", "--annotator", "other", "--batch", "--no-wait"],
    ):
        ran = postil(*command, "--project", folder, "--json")
        assert ran.code in (1, 3), ran.err
    assert (lives(server), len(server.batches)) == ([], 1)
    collected = postil("annotate", "--batch", "--project", folder, "--json")
    assert (collected.json["labelled"], collected.json["pending"]) == (5, 0)
    other = postil("annotate", "--annotator", "other", "--project", folder, "--json")
    assert (other.json["labelled"], other.json["requests"]) == (5, 0)
    assert len(server.asked) == 4


def test_a_batch_of_settings_that_were_changed_is_not_paid_for_again_and_can_be_collected(
    tmp_path: Path, server: BatchServer
) -> None:
    folder = made(tmp_path, server)
    postil("annotate", "--batch", "--no-wait", "--project", folder)
    settings = folder / "postil.toml"
    before = settings.read_text()
    settings.write_text(before.replace("repairs = 0", "repairs = 3"))
    changed = postil("annotate", "--project", folder, "--json")
    assert (changed.json["labelled"], changed.json["held"], lives(server)) == (0, 4, [])
    assert "before its settings were changed" in changed.err
    settings.write_text(before)
    assert postil("annotate", "--batch", "--project", folder, "--json").json["labelled"] == 4
    settings.write_text(before.replace("repairs = 0", "repairs = 3"))
    assert postil("annotate", "--project", folder, "--json").json["labelled"] == 4
    assert len(server.asked) == 4


def test_a_run_that_collects_says_what_it_cost(tmp_path: Path, server: BatchServer) -> None:
    folder = made(tmp_path, server)
    left = postil("annotate", "--batch", "--no-wait", "--project", folder, "--json")
    assert (left.json["requests"], left.json["usd"]) == (4, 0.0)
    found = postil("annotate", "--batch", "--project", folder, "--json").json
    assert found["usd"] == pytest.approx(0.5 * (found["input_tokens"] + 2 * found["output_tokens"]) / 1e6) != 0


def test_what_may_have_been_submitted_is_submitted_anew_only_when_told(tmp_path: Path, server: BatchServer) -> None:
    server.lose_create, server.lists = True, False
    folder = made(tmp_path, server, lost="resend")
    for _ in range(2):
        held = postil("annotate", "--batch", "--project", folder, "--json")
        assert (held.code, len(server.batches)) == (3, 1)
        assert "--lost resend" in held.json["error"]
    server.lose_create = False
    told = postil("annotate", "--batch", "--lost", "resend", "--project", folder, "--json")
    assert (told.code, told.json["labelled"], len(server.batches)) == (0, 4, 2)
    assert told.json["unseen_usd"] > 0


def test_requests_that_are_held_are_in_no_batch(tmp_path: Path, server: BatchServer) -> None:
    server.script = lambda asked: Reply(fault="cut_length") if asked.number == 1 else right(asked)
    folder = made(tmp_path, server, concurrency=1, attempts=1, lost="hold")
    live = postil("annotate", "--limit", "1", "--project", folder, "--json")
    assert live.json["failures"] == {"connection_lost": 1}
    # As after a crash: what was asked is known, and nothing of what came.
    items = folder / "items.jsonl"
    [first, *_] = [json.loads(line) for line in items.read_text().splitlines()]
    with items.open("a") as file:
        file.write(json.dumps({**first, "id": "twin"}) + "\n")
    ran = postil("annotate", "--batch", "--project", folder, "--json")
    assert (ran.json["labelled"], ran.json["held"], ran.json["pending"]) == (3, 1, 1)
    assert "records held" in postil("annotate", "--batch", "--project", folder).out
    told = postil("annotate", "--batch", "--lost", "resend", "--project", folder, "--json")
    assert (told.json["labelled"], told.json["held"]) == (4, 0)


def test_a_limit_holds_in_batches(tmp_path: Path, server: BatchServer) -> None:
    folder = made(tmp_path, server)
    assert postil("annotate", "--batch", "--limit", "3", "--project", folder, "--json").json["labelled"] == 3
    assert len(server.asked) == 3
    assert postil("annotate", "--batch", "--project", folder, "--json").json["labelled"] == 4
    assert len(server.asked) == 4


def test_failures_are_asked_about_anew_live_only_and_nothing_is_done_before_saying_so(
    tmp_path: Path, server: BatchServer
) -> None:
    folder = made(tmp_path, server)
    ran = postil("annotate", "--batch", "--retry-failed", "all", "--project", folder)
    assert (ran.code, "live lane only" in ran.err, server.asked) == (2, True, [])
