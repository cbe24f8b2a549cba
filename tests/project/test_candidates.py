"""A label set too large for a prompt through a whole project: candidates, recall, journal (survey 0.01)."""

from pathlib import Path
from typing import Any

import pytest

from postil.engines.scripted import ScriptedEngine
from postil.tasks.classification import Classification
from postil.types import Request
from tests.project import making

# Chinese labels, so that they are compared by TF-IDF: no model is loaded.
LABELS = [f"{chr(0x4E00 + 7 * at)}{chr(0x6000 + 5 * at)}" for at in range(150)]
TASK = Classification("topic", "这是什么?", labels=LABELS)
OUT_OF_REACH = 5


def rows(number: int) -> list[dict[str, Any]]:
    """Return records that name their label, but for a few that name none."""
    return [
        {"id": f"r{at:03}", "text": f"记录{at}" if at < OUT_OF_REACH else f"请问{LABELS[-at]}呢", "label": LABELS[-at]}
        for at in range(1, number + 1)
    ]


def offered(request: Request) -> list[str]:
    return [line.removeprefix("- ") for line in request.messages[0].content.splitlines() if line.startswith("- ")]


def model(request: Request) -> str:
    """Answer with the label that the text names, if it is offered."""
    text = request.messages[-1].content
    return next((label for label in offered(request) if label in text), offered(request)[0])


@pytest.fixture
def engine() -> ScriptedEngine:
    return ScriptedEngine(model)


def test_candidates_are_asked_about_and_their_recall_is_assessed(tmp_path: Path, engine: ScriptedEngine) -> None:
    with making.project(tmp_path, rows(60), task=TASK) as project:
        project.annotate("narrow", engine=engine, candidates=20)
        assert {len(offered(request)) for request in engine.requests} == {20}
        metrics = project.assess("narrow").metrics
        recall = metrics["candidate_recall"]
        assert (recall.value, recall.n) == (1 - (OUT_OF_REACH - 1) / 60, 60)
        assert recall.low < recall.value < recall.high
        assert metrics["accuracy"].value <= recall.value
        assert project.verify().ok


def test_without_candidates_there_is_no_recall_and_the_annotator_is_another(
    tmp_path: Path, engine: ScriptedEngine
) -> None:
    with making.project(tmp_path, rows(12), task=TASK) as project:
        project.annotate("narrow", engine=engine, candidates=20)
        project.annotate("wide", engine=engine, candidates=0)
        assert len(offered(engine.requests[-1])) == 150
        assert "candidate_recall" not in project.assess("wide").metrics
        assert len({id_ for id_, _, _ in project.journal.annotators()}) == 2
