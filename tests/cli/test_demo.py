"""`demo`: the whole loop on shipped data; here a double stands in for the model."""

import json
from pathlib import Path

import pytest

from postil.cli import demo
from postil.demo import product_reviews
from postil.engines.scripted import ScriptedEngine
from postil.errors import QuotaExhausted
from postil.types import Capabilities, Completion, Request, Usage
from tests.cli.command import postil, read_jsonl, write_jsonl

WORDS = ("great", "good", "love", "excellent", "easy", "works", "best", "nice", "perfect", "well")


def reply(request: Request) -> Completion:
    good = any(word in request.messages[-1].content.lower() for word in WORDS)
    odds = (0.8, 0.2) if good else (0.3, 0.7)
    return Completion(request.choices[0 if good else 1], "stop", Usage(10, 1), "double", odds)


@pytest.fixture(autouse=True)
def _double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    free = Capabilities(scores="sequence", free=True)
    monkeypatch.setattr("postil.engines.local.LocalEngine", lambda *_, **__: ScriptedEngine(reply, capabilities=free))
    with product_reviews().open(encoding="utf-8") as shipped:
        rows = [json.loads(line) for line in shipped]
    part = write_jsonl(tmp_path / "part.jsonl", rows[::8])
    monkeypatch.setattr(demo, "product_reviews", lambda: part)
    monkeypatch.setattr(demo, "_RATED", 40)


def test_the_demo_labels_assesses_learns_and_reports(tmp_path: Path) -> None:
    ran = postil("demo", "a demo", "--json")
    assert ran.code == 0, ran.err
    found = ran.json
    rows = read_jsonl(tmp_path / "part.jsonl")
    assert found["annotate"]["labelled"] == found["annotate"]["records"] == len(rows)
    assert 0.5 < found["assess"]["metrics"]["accuracy"]["value"] < 1
    assert found["student"]["gold"] == found["assess"]["gold"] < 40
    assert Path(found["report"]).read_text(encoding="utf-8").startswith("<!")
    # A second time there is nothing to pay for, and it is told to people.
    again = postil("demo", "a demo")
    assert again.code == 0, again.err
    assert "0 requests" in again.out
    assert f"learned from {len(rows) - 40} annotations of small" in again.out
    assert "student minus small" in again.out
    assert "postil status --project 'a demo'" in again.out


def test_a_demo_that_is_stopped_says_so_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    broken = ScriptedEngine(lambda _: QuotaExhausted("nothing left"))
    with monkeypatch.context() as patch:
        patch.setattr("postil.engines.local.LocalEngine", lambda *_, **__: broken)
        ran = postil("demo", "d", "--json")
    assert (ran.code, ran.json["stopped"]) == (3, "provider")
    assert postil("demo", "d", "--json").code == 0


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "mine.txt").write_text("mine")
    ran = postil("demo", "d")
    assert (ran.code, ran.out) == (2, "")
    assert "expected an empty folder or an earlier demo" in ran.err
    assert [path.name for path in (tmp_path / "d").iterdir()] == ["mine.txt"]
    ran = postil("demo", "part.jsonl")
    assert ran.code == 2
    assert "the demo cannot be put here" in ran.err
