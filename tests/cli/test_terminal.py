"""What people see: numbers in words, and text that cannot steer their terminal."""

import io
import json
import logging
import sys

import pytest

from postil.cli.terminal import Terminal, notes_from_log, visible
from postil.cli.words import count, dollars, duration, failures, interval, progress_line
from postil.runner import Progress
from postil.types import Estimate


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, 中文, 😀\n\tand lines", "plain, 中文, 😀\n\tand lines"),
        ("\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"),
        ("\0\x07\r", "\\x00\\x07\\r"),
        ("\u202eright to left", "\\u202eright to left"),
        ("\ud800", "\\ud800"),
    ],
)
def test_control_characters_are_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert visible(text) == shown


def test_markup_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(as_json=False)
    terminal.say("[bold]label[/bold] [/] [link=http://x]")
    terminal.table("[i]", {"[b]": "left"}, [("[red]x",)])
    out = capsys.readouterr().out
    assert "[bold]label[/bold] [/] [link=http://x]" in out
    assert "[red]x" in out


def test_json_stands_alone_on_stdout_and_messages_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(as_json=True)
    terminal.say("a result for people")
    terminal.table("", {"a": "left"}, [("b",)])
    terminal.note("a note")
    terminal.error("a fault")
    terminal.result({"text": "中文 \ud800", "n": 1})
    said = capsys.readouterr()
    assert json.loads(said.out) == {"text": "中文 \ud800", "n": 1}
    assert said.err.splitlines() == ["a note", "postil: a fault"]


def test_people_get_no_json(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(as_json=False)
    terminal.result({"n": 1})
    terminal.say("a result")
    assert capsys.readouterr().out == "a result\n"


def test_progress_is_for_terminals_and_ends_with_the_last_state(monkeypatch: pytest.MonkeyPatch) -> None:
    class Tty(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "30")
    for stream, seen in ((Tty(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        terminal = Terminal(as_json=True)
        for at in range(100):
            terminal.progress(f"{at} of 99 records and a long tail of words")
        terminal.end_progress()
        terminal.end_progress()
        written = stream.getvalue()
        assert written.endswith("\r99 of 99 records and a long t\n") is seen
        assert (written == "") is not seen
        assert written.count("\r") < 10


def test_what_the_library_logs_is_a_note(capsys: pytest.CaptureFixture[str]) -> None:
    with notes_from_log(Terminal(as_json=True)):
        logging.getLogger("postil").warning("lines: %d", 3)
    logging.getLogger("postil").debug("nobody hears this")
    assert capsys.readouterr().err == "note: lines: 3\n"


def test_numbers_are_written_for_people() -> None:
    assert count(1234567) == "1,234,567"
    assert [dollars(usd) for usd in (None, 0, 0.00123, 0.5, 1, 1234.5)] == [
        *("price unknown", "$0.00", "$0.0012", "$0.5000", "$1.00", "$1,234.50")
    ]
    assert [duration(seconds) for seconds in (None, 0.04, 59.94, 61, 3599.6, 7300)] == [
        *("unknown", "0.0 s", "59.9 s", "1 min 01 s", "1 h 00 min", "2 h 01 min")
    ]
    assert interval(Estimate(0.5, 0.25, 0.75, 0.95, 4, "")) == "0.500  0.250 to 0.750"
    assert failures({"timeout": 1, "refused": 3, "ambiguous": 1}) == "3 refused, 1 ambiguous, 1 timeout"


def test_a_progress_line_says_where_a_run_is() -> None:
    line = progress_line(Progress(250, 1000, {"refused": 2}, 0.5, 10, "labelling"))
    assert line == "250/1,000 records · 25.0 a second · 30.0 s left · $0.5000 of about $2.00 · 2 refused"
    assert "price unknown" in progress_line(Progress(1, 2, {}, None, 1, "labelling"))
    assert progress_line(Progress(0, 2, {}, 0.0, 0, "labelling")) == "0/2 records · 0.0 a second"
    assert progress_line(Progress(0, 2, {}, 0.0, 3, "calibrating")).startswith("measuring the model's prior")
