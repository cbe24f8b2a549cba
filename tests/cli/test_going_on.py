"""Going on after a run that was dropped, and after records that failed, as a user does it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.command import POSTIL, openai, postil, started, write_project
from tests.fake_server import FakeServer, Reply

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and terminals are those of POSIX")

ITEMS = [{"id": str(at), "text": f"text {at}"} for at in range(12)]
PRICE = {"input": 1.0, "output": 4.0}


@pytest.fixture
def project(tmp_path: Path, fake_server: FakeServer) -> Path:
    fake_server.script = lambda _: Reply("pos", fault="hang")
    table = openai(fake_server.base_url, concurrency=2, price=PRICE)
    return write_project(tmp_path, {"m": table}, items=ITEMS, data={"items": "items.jsonl"}, budget={"usd": 5.0})


def dropped(project: Path, server: FakeServer, *options: str, signals: int) -> str:
    """Run, be interrupted while two requests are in flight, and return what was said."""
    run = started("annotate", *options, cwd=project)
    until = time.monotonic() + 30
    while len(server.asked) < 2:
        assert time.monotonic() < until
        time.sleep(0.01)
    for _ in range(signals):
        run.send_signal(signal.SIGINT)
        time.sleep(0.2)
    _, err = run.communicate(timeout=30)
    assert run.returncode == 130, err
    assert "Traceback" not in err
    server.script = lambda _: "pos"
    return err


def test_the_second_signal_says_what_it_leaves_open(project: Path, fake_server: FakeServer) -> None:
    said = dropped(project, fake_server, signals=2)
    assert "stopping: 2 requests (at most $0.00" in said
    assert "left open: 2 requests (at most $0.00" in said
    assert postil("status", "--project", project, "--json").json["open_intents"] == 2


def test_the_first_signal_drops_if_it_is_to(project: Path, fake_server: FakeServer) -> None:
    said = dropped(project, fake_server, "--on-interrupt", "drop", signals=1)
    assert "may end" not in said
    assert "left open: 2 requests" in said


def test_what_was_dropped_is_sent_again_and_said(project: Path, fake_server: FakeServer) -> None:
    dropped(project, fake_server, signals=2)
    ran = postil("annotate", "--project", project, "--json")
    assert (ran.code, ran.json["labelled"], ran.json["open_intents"], ran.json["held"]) == (0, 12, 2, 0)
    assert 0 < ran.json["open_intents_usd"] < 0.01
    assert "2 requests of earlier runs have no known outcome and may have cost up to $0.00" in ran.err
    assert len(fake_server.asked) == 14


@pytest.mark.parametrize("how", ["hold", "ask"])
def test_what_was_dropped_can_be_held(how: str, project: Path, fake_server: FakeServer) -> None:
    dropped(project, fake_server, signals=2)
    ran = postil("annotate", "--project", project, "--json", "--lost", how)
    assert (ran.code, ran.json["labelled"], ran.json["pending"], ran.json["held"]) == (1, 10, 2, 2)
    assert "they are held, and their records stay pending" in ran.err
    shown = postil("annotate", "--project", project, "--lost", how)
    assert "2 records held" in shown.out
    assert len(fake_server.asked) == 12
    assert postil("annotate", "--project", project, "--json", "--lost", "resend").json["labelled"] == 12


@pytest.mark.parametrize(("answer", "labelled"), [(b"y\n", 12), (b"n\n", 10), (b"\n", 10)])
def test_at_a_terminal_somebody_is_asked(answer: bytes, labelled: int, project: Path, fake_server: FakeServer) -> None:
    dropped(project, fake_server, signals=2)
    ours, theirs = os.openpty()
    run = subprocess.Popen(
        [POSTIL, "annotate", "--lost", "ask"], cwd=project, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    os.write(ours, answer)
    out, err = run.communicate(timeout=60)
    os.close(ours)
    os.close(theirs)
    assert b"Send them again?" in err, err
    assert f"{labelled} of 12 records labelled".encode() in out


def test_records_that_failed_are_asked_about_anew(project: Path, fake_server: FakeServer) -> None:
    fake_server.script = lambda asked: "purple" if asked.text.startswith("Text: text 3\n") else "pos"
    first = postil("annotate", "--project", project, "--json")
    assert (first.code, first.json["failures"]) == (1, {"outside_labels": 1})
    fake_server.script = lambda _: "pos"
    assert postil("annotate", "--project", project, "--json").json["failed"] == 1
    wrong = postil("annotate", "--project", project, "--retry-failed", "timeout,outside_label")
    assert wrong.code == 2
    assert "'outside_label'" in wrong.err
    assert postil("annotate", "--project", project, "--json", "--retry-failed", "timeout").json["failed"] == 1
    ran = postil("annotate", "--project", project, "--json", "--retry-failed", "outside_labels")
    assert (ran.code, ran.json["labelled"], ran.json["requests"]) == (0, 12, 1)
    assert postil("annotate", "--project", project, "--json", "--retry-failed", "all").json["requests"] == 0
    assert postil("verify", "--project", project, "--json").json["ok"]


def test_a_plan_says_what_measuring_the_prior_takes(tmp_path: Path, fake_server: FakeServer) -> None:
    items = [{"id": str(at), "text": f"text {at}"} for at in range(30)]
    table = openai(fake_server.base_url, log_probs=True)
    folder = write_project(tmp_path, {"m": table}, items=items, data={"items": "items.jsonl"})
    assert "measured first, with 30 of these requests" in postil("plan", "--project", folder).out
    assert postil("plan", "--project", folder, "--json").json["prior_requests"] == 30
