"""Label Studio: what its SDK and server write is read, whoever answered and however offsets are counted."""

import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest

from postil.errors import DataError, FormatError
from postil.formats.label_studio import config_path, labeling_config
from postil.tasks.kinds import KINDS
from postil.types import Abstention, Annotation, Record
from tests.formats.answers import EMOJI, SOLVED, Solved, outcomes, read, rows, span, write

SAMPLES = Path(__file__).with_name("samples")
NAMES = SOLVED["spans"]
TONE = SOLVED["classification"]


def tasks(tmp_path: Path, *held: dict[str, Any]) -> Path:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(held), encoding="utf-8")
    return path


def region(start: int, end: int, words: str | None, **more: Any) -> dict[str, Any]:
    value = {"start": start, "end": end, "labels": ["PER"], **({} if words is None else {"text": words})}
    return {"id": "x", "from_name": "marks", "to_name": "text", "type": "labels", "value": value, **more}


def item(*result: Any, text: str = EMOJI, **more: Any) -> dict[str, Any]:
    return {"id": 7, "data": {"text": text}, "annotations": [{"result": list(result), **more}]}


def test_an_export_of_its_server_is_read_by_the_texts_alone():
    found = read("label-studio", NAMES, SAMPLES / "label-studio.json")
    annotated = [each for each in found if isinstance(each.outcome, Annotation)]
    assert [each.outcome.answer for each in annotated] == [  # type: ignore[union-attr]  # annotations have answers
        each.answer for each in outcomes(NAMES) if isinstance(each, Annotation)
    ]
    assert {(each.by, each.machine) for each in annotated} == {("anna@example.org", False)}


@pytest.mark.parametrize(
    ("start", "end", "words"),
    [
        (21, 22, "😀"),  # code points, as its page counts since 2022
        (21, 23, "😀"),  # UTF-16, as it counted before (label-studio#1347)
        (51, 54, "Bob"),
        (52, 55, "Bob"),
        (51, 54, None),
    ],
)
def test_the_quoted_words_say_how_offsets_are_counted(start: int, end: int, words: str | None, tmp_path: Path):
    [found] = read("label-studio", NAMES, tasks(tmp_path, item(region(start, end, words))))
    assert isinstance(found.outcome, Annotation)
    assert found.outcome.answer == {"spans": [span(EMOJI, words or "Bob", "PER")]}


def test_words_that_stand_there_in_no_unit_are_refused(tmp_path: Path):
    with pytest.raises(DataError, match="item 1: expected 'Bob' from 50 to 53, got ' Bo'"):
        read("label-studio", NAMES, tasks(tmp_path, item(region(50, 53, "Bob"))))


def test_people_and_models_are_told_apart(tmp_path: Path):
    held = item(region(51, 54, "Bob"), completed_by=3, parent_prediction=9)
    held["predictions"] = [
        {
            "model_version": "m2",
            "score": 0.25,
            "result": [region(0, 5, "Alice", score=0.75), region(51, 54, "Bob", id="y")],
        }
    ]
    person, model = read("label-studio", NAMES, tasks(tmp_path, held))
    assert (person.by, person.machine, person.anchored) == ("3", False, True)
    assert (model.by, model.machine, model.anchored) == ("m2", True, False)
    assert isinstance(model.outcome, Annotation)
    assert model.outcome.confidence is not None
    assert model.outcome.confidence.value == 0.25
    assert model.outcome.part_confidences == {"spans/0": 0.75}


def test_a_skipped_task_is_an_abstention_and_an_untouched_one_nothing(tmp_path: Path):
    untouched = {"id": 8, "data": {"text": NAMES.records[1].fields["text"]}, "annotations": [], "predictions": []}
    [found] = read("label-studio", NAMES, tasks(tmp_path, item(was_cancelled=True), untouched))
    assert isinstance(found.outcome, Abstention)
    assert found.outcome.reason == "skipped in Label Studio"


def test_an_old_export_with_completions_is_read(tmp_path: Path):
    held = {"id": 1, "data": {"text": EMOJI}, "completions": [{"result": [region(51, 54, "Bob")]}]}
    [found] = read("label-studio", NAMES, tasks(tmp_path, held))
    assert isinstance(found.outcome, Annotation)


def choice(name: str, *values: str) -> dict[str, Any]:
    return {"from_name": name, "to_name": "text", "type": "choices", "value": {"choices": list(values)}}


def test_the_only_control_of_another_project_is_the_one_that_is_meant(tmp_path: Path):
    [found] = read("label-studio", TONE, tasks(tmp_path, item(choice("sentiment", "no"))))
    assert isinstance(found.outcome, Annotation)
    assert found.outcome.answer == {"label": "no"}


@pytest.mark.parametrize(
    ("held", "says"),
    [
        (item(choice("a", "no"), choice("b", "no")), "expected results of the controls 'label', got 'a', 'b'"),
        (item(choice("label", "no", "好评")), r"expected one choice, got \['no', '好评'\]"),
        (item(choice("label", "maybe")), "record 'r0': expected one of"),
        ({"id": 1, "text": EMOJI, "label": "no"}, "expected a task with `data`, got 'id', 'text', 'label'"),
        ({"id": 1, "data": {"a": "x", "b": "y"}}, "expected the text of the field 'text' in `data`, got 'a', 'b'"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_place(held: dict[str, Any], says: str, tmp_path: Path):
    with pytest.raises(DataError, match=says) as caught:
        read("label-studio", TONE, tasks(tmp_path, held))
    assert "export.json, item 1" in str(caught.value)


def test_a_control_left_open_is_no_answer(tmp_path: Path):
    [found] = read("label-studio", TONE, tasks(tmp_path, item()))
    assert isinstance(found.outcome, Abstention)


@pytest.mark.parametrize("kind", SOLVED)
def test_the_configuration_shows_the_task(kind: str):
    task = SOLVED[kind].task
    view = ET.fromstring(labeling_config(task))  # noqa: S314 - our own
    assert view.find("Header").get("value") == task.instruction  # type: ignore[union-attr]  # it is there
    assert [each.get("value") for each in view.findall("Text")] == [
        f"${name}" for name in (["prompt", "response_a", "response_b"] if kind == "preference" else ["text"])
    ]
    offered = {each.get("value") for tag in ("Choice", "Label", "Relation") for each in view.iter(tag)}
    wanted = {"attributes": {"good", "差"}, "preference": {"a", "b", "tie"}, "rating": set(), "text": set()}
    labels = {"timeline": {"event", "time"}, "roles": {"predicate", "argument"}, "relations": {"PER", "组织"}}
    if kind == "classification":
        assert [each.get("hint") for each in view.iter("Choice")] == ["praise", "not so", None]
    assert offered >= wanted.get(kind, set(task.labels) | labels.get(kind, set()))


def test_names_that_its_configuration_cannot_have_get_others(tmp_path: Path):
    task = KINDS["classification"]("tone", "Which?", labels=['"<&', "b"], show="{review/text} {label}")
    solved = Solved(task, [{"label": '"<&'}], (Record("r", {"review/text": "a", "label": "b"}),))
    path = write("label-studio", solved, rows(solved, outcomes(solved)), tmp_path)
    [held] = json.loads(path.read_text(encoding="utf-8"))
    assert held["data"] == {"field_1": "a", "label": "b"}
    assert '<Choices name="answer_label" toName="field_1"' in config_path(path).read_text(encoding="utf-8")
    assert read("label-studio", solved, path)[0].outcome == outcomes(solved)[0]


def test_a_label_that_xml_cannot_hold_is_refused():
    task = KINDS["spans"]("names", "Find.\x0b", labels=["A", "B"])
    with pytest.raises(FormatError, match=r"holds the character '\\x0b', which the configuration"):
        labeling_config(task)


@pytest.mark.parametrize(("direction", "head"), [("right", "Alice"), ("left", "Acme 😀"), (None, "Alice")])
def test_a_relation_goes_the_way_its_arrow_does(direction: str | None, head: str, tmp_path: Path):
    jobs = SOLVED["relations"]
    drawn = [region(0, 5, "Alice", id="a"), region(16, 22, "Acme 😀", id="b")]
    drawn[1]["value"]["labels"] = ["组织"]
    arrow = {"type": "relation", "from_id": "a", "to_id": "b", "direction": direction, "labels": ["works for"]}
    [found] = read("label-studio", jobs, tasks(tmp_path, item(*drawn, arrow)))
    assert isinstance(found.outcome, Annotation)
    words = {each["id"]: each["text"] for each in found.outcome.answer["spans"]}
    assert words[found.outcome.answer["relations"][0]["head"]] == head
    with pytest.raises(DataError, match="item 1: expected one label for a relation"):
        read("label-studio", jobs, tasks(tmp_path, item(*drawn, arrow | {"labels": []})))
    with pytest.raises(DataError, match="item 1: a link 'works for' begins or ends at 'c', which is no span"):
        read("label-studio", jobs, tasks(tmp_path, item(*drawn, arrow | {"to_id": "c"})))
