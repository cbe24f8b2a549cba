"""Interrupted, killed, cut off: what was paid for is kept, and the same command goes on."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from unittest import mock

import pytest

from postil.cli.signals import stopped_by_signals
from postil.cli.terminal import Terminal
from tests.cli.command import POSTIL, openai, postil, postil_process, started, write_project
from tests.fake_server import Asked, FakeServer, Reply

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")

ITEMS = [{"id": str(at), "text": f"text {at}"} for at in range(40)]


@pytest.fixture
def project(tmp_path: Path, fake_server: FakeServer) -> Path:
    fake_server.script = lambda _: Reply("pos", delay=0.1)
    return write_project(
        tmp_path, {"m": openai(fake_server.base_url, concurrency=2)}, items=ITEMS, data={"items": "items.jsonl"}
    )


def wait_for_requests(server: FakeServer, number: int) -> None:
    until = time.monotonic() + 30
    while len(server.asked) < number:
        assert time.monotonic() < until, f"only {len(server.asked)} requests"
        time.sleep(0.01)


def ended(run: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = run.communicate(timeout=30)
    return run.returncode, out, err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_the_first_signal_lets_requests_in_flight_end(number: int, project: Path, fake_server: FakeServer) -> None:
    run = started("annotate", "--json", cwd=project)
    wait_for_requests(fake_server, 4)
    run.send_signal(number)
    code, out, err = ended(run)
    assert code == 130, err
    assert '"stopped": "interrupted"' in out
    assert "in flight may end" in err
    assert "Traceback" not in err
    status = postil("status", "--project", project, "--json").json
    assert (status["labelled"], status["open_intents"]) == (len(fake_server.asked), 0)
    assert status["stopped"] == "interrupted"
    assert "the last run stopped: interrupted" in postil("status", "--project", project).out
    fake_server.script = lambda _: "pos"
    assert postil("annotate", "--project", project, "--json").json["labelled"] == 40
    assert postil("status", "--project", project, "--json").json["stopped"] is None
    assert len(fake_server.asked) == 40


def test_the_second_signal_stops_at_once(project: Path, fake_server: FakeServer) -> None:
    fake_server.script = lambda _: Reply("pos", fault="hang")
    run = started("annotate", "--json", cwd=project)
    wait_for_requests(fake_server, 2)
    run.send_signal(signal.SIGINT)
    time.sleep(0.2)
    run.send_signal(signal.SIGINT)
    code, out, err = ended(run)
    assert (code, out) == (130, ""), err
    assert "Traceback" not in err
    fake_server.script = lambda _: "pos"
    assert postil("annotate", "--project", project, "--json").json["labelled"] == 40


def test_a_killed_run_goes_on_where_it_was(project: Path, fake_server: FakeServer) -> None:
    run = started("annotate", cwd=project)
    wait_for_requests(fake_server, 7)
    run.kill()
    run.communicate(timeout=30)
    before = postil("status", "--project", project, "--json").json
    assert before["labelled"] + before["open_intents"] in range(5, 9)
    fake_server.script = lambda _: "pos"
    ran = postil("annotate", "--project", project, "--json")
    assert (ran.code, ran.json["labelled"]) == (0, 40)
    # Only what was under way when it died is asked, and perhaps paid, again.
    assert len(fake_server.asked) <= 40 + before["open_intents"]
    assert postil("verify", "--project", project, "--json").json["ok"]


def test_two_runs_at_once_do_not_pay_twice(project: Path, fake_server: FakeServer) -> None:
    run = started("annotate", cwd=project)
    wait_for_requests(fake_server, 2)
    second = postil("annotate", "--project", project, "--json")
    assert (second.code, second.json["stopped"]) == (3, "journal")
    assert "another run is at work" in second.err
    assert postil("status", "--project", project).code == 0
    run.send_signal(signal.SIGINT)
    assert ended(run)[0] == 130


def test_signals_mean_afterwards_what_they_meant_before(project: Path, fake_server: FakeServer) -> None:
    fake_server.script = lambda _: "pos"
    before = (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM))
    assert postil("annotate", "--project", project).code == 0
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_outside_the_main_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def work() -> None:
        with stopped_by_signals(Terminal(as_json=True)) as start:
            start(mock.Mock())
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before]


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    long = "long " * 2000
    items = [{"id": str(at), "text": long} for at in range(100)]
    write_project(tmp_path, {"m": openai("http://127.0.0.1:9/v1")}, items=items, data={"items": "items.jsonl"})
    export = subprocess.Popen(
        [POSTIL, "export", "-", "--project", tmp_path], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert export.stdout is not None
    assert export.stderr is not None
    assert export.stdout.readline().startswith(b'{"id": "0"')
    export.stdout.close()
    said = export.stderr.read()
    export.stderr.close()
    assert export.wait(timeout=30) == 0, said
    assert b"Traceback" not in said
    assert b"BrokenPipe" not in said


PLAIN = {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def test_a_terminal_that_knows_ascii_only_stops_nothing(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = lambda _: "好评"
    task = {"kind": "classification", "name": "评价", "instruction": "好还是坏?", "labels": ["好评", "差评"]}
    items = [{"id": "甲", "text": "很好 → 😀", "label": "好评"}]
    folder = write_project(tmp_path / "p", {"模型": openai(fake_server.base_url)}, task=task, items=items)
    for verb in (["preview"], ["annotate"], ["assess"], ["export", "-"]):
        done = postil_process(*verb, "--project", folder, cwd=tmp_path, environment=PLAIN)
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stderr
    done = postil_process("status", "--json", "--project", folder, cwd=tmp_path, environment=PLAIN)
    assert '"annotator": "模型"' in done.stdout


def test_a_folder_may_have_any_name_where_the_language_is_none(tmp_path: Path) -> None:
    write_project(tmp_path / "项目 one", {"m": openai("http://127.0.0.1:9/v1")})
    done = postil_process("status", "--project", "项目 one", cwd=tmp_path, environment={"LC_ALL": "C", "LANG": "C"})
    assert done.returncode == 0, done.stderr


def test_a_narrow_terminal_loses_no_figure(tmp_path: Path, fake_server: FakeServer) -> None:
    def labelled(asked: Asked) -> Reply:
        return Reply("pos", tops=[{"pos": 0.9, "neg": 0.1}] if asked.body.get("logprobs") else ())

    fake_server.script = labelled
    write_project(tmp_path, {"m": openai(fake_server.base_url, log_probs=True, calibrate="none")})
    assert postil("annotate", "--project", tmp_path).code == 0
    figures = postil("assess", "--project", tmp_path, "--json").json["metrics"]
    narrow = postil_process("assess", "--project", tmp_path, cwd=tmp_path, environment={"COLUMNS": "40"})
    assert narrow.returncode == 0, narrow.stderr
    assert "…" not in narrow.stdout
    for name, figure in figures.items():
        if name.startswith("accuracy_"):
            continue  # with no answer missing, the bounds say no more than accuracy
        assert name[:12] in narrow.stdout
        assert f"{figure['low']:.3f}" in narrow.stdout


def test_nothing_is_asked_where_nobody_can_answer(tmp_path: Path) -> None:
    done = postil_process("init", "p", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected --items FILE" in done.stderr


@pytest.mark.parametrize("as_json", [False, True])
def test_init_asks_at_a_terminal_and_never_for_json(as_json: bool, tmp_path: Path) -> None:
    import pty

    (tmp_path / "items.jsonl").write_text('{"text": "good"}\n{"text": "bad"}\n')
    ours, theirs = pty.openpty()
    command = [POSTIL, "init", "p", *(["--json"] if as_json else [])]
    run = subprocess.Popen(
        command, cwd=tmp_path, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    )
    os.write(ours, b"items.jsonl\nGood or bad?\ngood,bad\n")
    code, out, err = ended(run)
    os.close(ours)
    os.close(theirs)
    if as_json:
        assert (code, out) == (2, "")
    else:
        assert code == 0, err
        assert "File with the records" in err
        assert 'labels = ["good", "bad"]' in (tmp_path / "p" / "postil.toml").read_text()
