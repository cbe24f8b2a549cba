"""What a report is made of: which records are doubtful, why, and whether gold agrees, as figures count it."""

from pathlib import Path
from typing import Any

import pytest

from postil.assess.report import Doubtful, render_report
from postil.engines.scripted import ScriptedEngine
from postil.project import Project
from postil.project.assessing import build_report
from postil.tasks import Task
from postil.tasks.attributes import Attributes
from postil.tasks.multilabel import MultiLabel
from postil.tasks.preference import Preference
from postil.tasks.rating import Rating
from postil.tasks.relations import Relations
from postil.tasks.spans import Spans
from postil.tasks.text import Text
from postil.types import Capabilities, Completion, Request, Usage
from tests.cli.command import write_jsonl

ALL = Capabilities(free=True, token_probabilities=True)
SCORED = Capabilities(free=True, scores="first_token")


def completion(text: str, *unsure: str) -> Completion:
    """Return a reply whose tokens are its characters, those of some words improbable."""
    doubted = {at + place for word in unsure for at in [text.index(word)] for place in range(len(word))}
    tokens = tuple((character, 0.5 if at in doubted else 1.0) for at, character in enumerate(text))
    return Completion(text, "stop", Usage(1, 1), tokens=tokens)


def doubtful(
    folder: Path, task: Task, row: dict[str, Any], reply: Completion, capabilities: Capabilities = ALL
) -> Doubtful:
    """Return what a report shows of the one record that is labelled."""
    path = write_jsonl(folder / "items.jsonl", [{"id": "r", **row}])
    gold = "gold" if "gold" in row else None
    double = ScriptedEngine(lambda _: reply, capabilities=capabilities)
    with Project.create(folder / "p", task, items=path, gold=gold) as made:
        result = made.annotate(engine=double, calibrate="none")
        assert (result.labelled, result.failures) == (1, {})
        [(id_, name, _)] = made.journal.annotators()
        report = build_report(
            made.journal, task, id_, name=name, assessments=[made.assess()], price_date=None, provenance=()
        )
    assert "Worth a look" in render_report(report)
    [one] = report.doubtful
    return one


SPANS = Spans("names", "Who and where?", labels=["person", "place"])
ROW = {"text": "Ann met Bob in Rome"}


@pytest.mark.parametrize(
    ("task", "row", "reply", "why"),
    [
        (
            SPANS,
            ROW,
            completion('{"spans": [{"text": "Ann", "label": "person"}, {"text": "Rome", "label": "place"}]}', "Rome"),
            "least sure: place Rome 0.06",
        ),
        (SPANS, ROW, completion('{"spans": [{"text": "Ann", "label": "person"}]}', "A"), "low confidence"),
        (
            MultiLabel("mood", "Which?", labels=["joy", "fear"]),
            ROW,
            completion('{"labels": ["joy", "fear"]}', "j"),
            "least sure: joy 0.50",
        ),
        (
            Attributes("who", "Who?", fields={"who": {"type": "text"}, "where": {"type": "text"}}),
            ROW,
            completion('{"who": "Ann", "where": "Rome"}', "Rom"),
            "least sure: where 0.12",
        ),
    ],
)
def test_the_part_that_the_model_was_least_sure_of_is_named(
    task: Task, row: dict[str, Any], reply: Completion, why: str, tmp_path: Path
) -> None:
    assert doubtful(tmp_path, task, row, reply).reason == why


def test_a_pair_is_shown_as_it_was_asked_about(tmp_path: Path) -> None:
    task = Relations("who", "Which?", labels=["met", "likes"], mode="pair")
    ends = {"head": {"start": 0, "end": 3, "text": "Ann"}, "tail": {"start": 8, "end": 11, "text": "Bob"}}
    scored = Completion("met", "stop", Usage(1, 1), choice_probabilities=(0.6, 0.3, 0.1), choice_mass=1.0)
    one = doubtful(tmp_path, task, ROW | ends, scored, SCORED)
    assert "[Ann] met Bob" in one.text
    assert "{" not in one.text
    assert [one.text[mark.start : mark.end] for mark in one.marks] == ["Ann", "Bob"]
    assert one.reason == "met 0.60 against likes 0.30"


@pytest.mark.parametrize(("gold", "right"), [(1.25, True), (1, True), (1.75, False), (-1, False)])
def test_a_rating_is_right_on_the_point_nearest_to_gold(gold: float, right: bool, tmp_path: Path) -> None:
    scored = Completion("1", "stop", Usage(1, 1), choice_probabilities=(0.1, 0.1, 0.7, 0.1), choice_mass=1.0)
    task = Rating("tone", "How good?", low=-1, high=2)
    assert doubtful(tmp_path, task, ROW | {"gold": gold}, scored, SCORED).right is right


@pytest.mark.parametrize(("gold", "right"), [("a", True), ("b", False), ("tie", False)])
def test_a_preference_is_right_whatever_its_strength(gold: str, right: bool, tmp_path: Path) -> None:
    def judge(request: Request) -> Completion:
        shown = request.messages[-1].content
        first = shown.index("yes") < shown.index("nope")
        said, fair = ("a", (0.8, 0.1, 0.1)) if first else ("b", (0.1, 0.8, 0.1))
        return Completion(said, "stop", Usage(1, 1), choice_probabilities=fair, choice_mass=1.0)

    path = write_jsonl(
        tmp_path / "items.jsonl",
        [{"id": "r", "prompt": "?", "response_a": "yes", "response_b": "nope", "gold": gold}],
    )
    task = Preference("better", "Which?")
    with Project.create(tmp_path / "p", task, items=path, gold="gold") as made:
        made.annotate(engine=ScriptedEngine(judge, capabilities=SCORED), calibrate="none")
        [(id_, name, _)] = made.journal.annotators()
        report = build_report(made.journal, task, id_, name=name, assessments=(), price_date=None, provenance=())
    assert report.distribution == {"a": 1}
    assert report.doubtful[0].right is right


def test_a_text_is_right_as_its_figures_count_it(tmp_path: Path) -> None:
    task = Text("sum", "How many?", final="Answer")
    one = doubtful(tmp_path, task, ROW | {"gold": "20"}, completion("Ten and ten.\nAnswer: 20.00", "2"))
    assert one.gold != one.answer
    assert one.right is True
