"""How quotes were placed is kept with the annotation, exported, counted and derived again (reliability A9)."""

from pathlib import Path

import pytest

from postil.engines.scripted import ScriptedEngine
from postil.project import Project
from postil.tasks.spans import Spans
from postil.types import Request
from tests.cli.command import read_jsonl
from tests.project.making import project

TASK = Spans("names", "Who?", labels=["PER"])
ROWS = [
    {"id": f"r{at}", "text": f"Ada{at} met 😀 Bob.", "gold": [{"start": 0, "end": 4, "label": "PER"}]}
    for at in range(4)
]


def said(request: Request) -> str:
    """Quote the name, in another case for one of the records."""
    text = request.messages[-1].content
    at = text[text.index("Ada") + 3]
    return f'{{"spans": [{{"text": "{"ada" if at == "1" else "Ada"}{at}", "label": "PER"}}]}}'


@pytest.fixture
def made(tmp_path: Path) -> Project:
    new = project(tmp_path, ROWS, task=TASK, gold="gold")
    new.annotate(engine=ScriptedEngine(said))
    return new


def test_the_method_is_kept_exported_and_imported_again(made: Project, tmp_path: Path) -> None:
    made.export(tmp_path / "out.jsonl")
    rows = {row["id"]: row["placings"] for row in read_jsonl(tmp_path / "out.jsonl")}
    assert rows == {f"r{at}": {"spans/0": "case" if at == 1 else "exact"} for at in range(4)}
    assert made.import_(tmp_path / "out.jsonl", annotator="again").new == 4
    assert made.import_(tmp_path / "out.jsonl", annotator="again").unchanged == 4


def test_what_was_placed_inexactly_is_counted(made: Project, tmp_path: Path) -> None:
    found = made.assess()
    assert found.metrics["placed_exactly"].value == 3 / 4
    assert "1 of 4 quotes were not found letter by letter: 1 case" in found.notes
    made.report(tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "3 exact, 1 case" in page
    assert "Placed letter by letter" in page
