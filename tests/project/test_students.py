"""Students: trained on a teacher's labels, measured beside it on gold that neither has seen, put to work."""

import json
import random
from pathlib import Path
from typing import Any

import pytest

from postil.engines.scripted import ScriptedEngine
from postil.errors import DataError, SettingsError
from postil.project import Project
from postil.tasks.classification import Classification
from postil.tasks.rating import Rating
from postil.tasks.spans import Spans
from postil.types import Capabilities, Completion, Request, Usage
from tests.cli.command import snapshot, write_jsonl
from tests.project.making import asked_text, engine, items, label_of, project, right, text_of

# A corpus that is mostly not Latin is embedded by TF-IDF alone, which takes no model to load.
GOOD = ("很好用", "非常满意", "质量不错", "物流很快", "下次还买")
BAD = ("太差了", "很失望", "坏了两次", "不值这个价", "再也不买")
TASK = Classification("评价", "好评还是差评?", labels=["好评", "差评"])


def reviews(number: int, *, gold: int) -> list[dict[str, Any]]:
    rng = random.Random(3)
    rows: list[dict[str, Any]] = []
    for at in range(number):
        good = at % 2 == 0
        text = "，".join(rng.sample(GOOD if good else BAD, 3)) + f"（{at}）"
        rows.append({"id": str(at), "text": text} | ({"label": "好评" if good else "差评"} if at < gold else {}))
    return rows


def teacher(request: Request) -> str:
    return "好评" if any(word in request.messages[-1].content for word in GOOD) else "差评"


@pytest.fixture
def made(tmp_path: Path) -> Any:
    with project(tmp_path, reviews(120, gold=40), task=TASK) as opened:
        opened.annotate(engine=ScriptedEngine(teacher))
        yield opened


def test_a_student_is_measured_beside_its_teacher_on_gold_it_never_saw(made: Project) -> None:
    result = made.learn()
    assert (result.teacher, result.path) == ("default", made.folder / "students" / "default")
    assert result.trained_on == 80
    assert result.gold_used == 0
    for found in (result.teacher_assessment, result.student_assessment):
        assert found.metrics["accuracy"].n == 40
        assert found.metrics["accuracy"].value > 0.9
    assert result.difference is not None
    assert result.difference.low <= 0 <= result.difference.high
    printed = json.loads(json.dumps(result.to_json(), ensure_ascii=False))
    assert printed["engine"] == "student:students/default"
    assert set(printed["assessments"]) == {"teacher", "student"}


def test_a_student_labels_the_rest_for_nothing(made: Project) -> None:
    learned = made.learn(name="小学生")
    result = made.annotate("pupil", engine=learned.engine)
    assert (result.labelled, result.usd, result.input_tokens) == (120, 0, 0)
    assert made.assess("pupil").metrics["accuracy"].value == learned.student_assessment.metrics["accuracy"].value
    [row] = [row for row in made.journal.outcomes(made.journal.annotators()[-1][0]) if row.outcome.record == "100"]
    assert row.completion is not None
    assert made.verify().ok


def test_a_student_learns_what_the_teacher_says_and_not_the_gold(tmp_path: Path) -> None:
    with project(tmp_path, reviews(120, gold=40), task=TASK) as made:
        made.annotate(engine=ScriptedEngine(lambda request: "差评" if teacher(request) == "好评" else "好评"))
        result = made.learn()
        assert result.student_assessment.metrics["accuracy"].value < 0.1


def test_gold_that_prompts_may_show_is_learned_from(tmp_path: Path) -> None:
    with project(tmp_path, reviews(120, gold=60), task=TASK) as made:
        made.annotate(engine=ScriptedEngine(teacher), shots=4)
        shown = made.status()["gold"]["demonstration"]
        result = made.learn()
        assert (result.gold_used, result.trained_on) == (shown, 60)
        assert result.student_assessment.metrics["accuracy"].n == 60 - shown


def test_texts_of_the_measuring_gold_are_no_lesson_in_any_dress(tmp_path: Path) -> None:
    rows = [
        *reviews(60, gold=20),
        *({"id": f"copy{row['id']}", "text": f" {row['text']}! "} for row in reviews(20, gold=0)),
    ]
    with project(tmp_path, rows, task=TASK) as made:
        made.annotate(engine=ScriptedEngine(teacher))
        assert made.learn().trained_on == 40


def test_an_imported_annotator_can_teach(made: Project, tmp_path: Path) -> None:
    made.export(tmp_path / "out.jsonl")
    made.import_(tmp_path / "out.jsonl", annotator="people")
    assert made.learn(annotator="people").teacher == "people"


def test_a_rating_is_learned_too(tmp_path: Path) -> None:
    rows = [
        {"id": row["id"], "text": row["text"], "stars": 1 + 3.5 * (at % 2 == 0)}
        for at, row in enumerate(reviews(80, gold=0))
    ]
    for row in rows[40:]:
        del row["stars"]
    task = Rating("星", "几分?", low=1, high=5)
    with project(tmp_path, rows, task=task, gold="stars") as made:
        made.annotate(engine=ScriptedEngine(lambda request: "4" if teacher(request) == "好评" else "1"), shots=2)
        result = made.learn()
        assert result.student_assessment.metrics["mae"].value < 0.8
        assert result.gold_used


def test_probabilities_teach_and_abstaining_does_not(tmp_path: Path) -> None:
    task = Classification("评价", "好评还是差评?", labels=["好评", "差评"], abstain="说不清")

    def reply(request: Request) -> Completion:
        odds = (
            {"好评": 0.6, "差评": 0.3, "说不清": 0.1}
            if teacher(request) == "好评"
            else {"好评": 0.1, "差评": 0.8, "说不清": 0.1}
        )
        if "（7）" in asked_text(request):
            odds = {"好评": 0.1, "差评": 0.1, "说不清": 0.8}
        best = max(odds, key=odds.__getitem__)
        return Completion(best, "stop", Usage(1, 1), None, tuple(odds[choice] for choice in request.choices))

    with project(tmp_path, reviews(80, gold=0), task=task, gold=None) as made:
        double = ScriptedEngine(reply, capabilities=Capabilities(scores="sequence", free=True))
        result = made.annotate(engine=double, calibrate="none")
        assert (result.labelled, result.abstained) == (79, 1)
        assert made.learn().trained_on == 79


def test_too_little_to_learn_from_is_said(tmp_path: Path) -> None:
    with project(tmp_path, items(10), annotators={"m": {"engine": "local"}}) as made:
        before = snapshot(tmp_path)
        with pytest.raises(
            DataError, match="expected annotations of 'm' on records outside the measuring gold, got none"
        ):
            made.learn()
        with pytest.raises(SettingsError, match="expected something that can be learned: 'student', got 'reward'"):
            made.learn("reward")
        assert snapshot(tmp_path) == before


@pytest.mark.parametrize("name", ["..", ".", "a/b", "../../elsewhere", "a\\b", "nul\0"])
def test_a_name_that_leads_elsewhere_is_refused(name: str, made: Project, tmp_path: Path) -> None:
    before = snapshot(tmp_path)
    with pytest.raises(SettingsError, match="expected the name of a folder under students/"):
        made.learn(name=name)
    assert snapshot(tmp_path) == before


def test_what_is_no_student_is_not_replaced_and_a_student_is(made: Project) -> None:
    precious = made.folder / "students" / "mine"
    precious.mkdir(parents=True)
    (precious / "thesis.txt").write_text("years of work")
    with pytest.raises(SettingsError, match="expected no folder or an earlier student"):
        made.learn(name="mine")
    assert (precious / "thesis.txt").read_text() == "years of work"
    first = made.learn(name="other")
    assert made.learn(name="other").path == first.path
    assert sorted(path.name for path in first.path.parent.iterdir()) == ["mine", "other"]


def test_the_report_has_the_newest_student_where_it_can_be_loaded(
    made: Project, caplog: pytest.LogCaptureFixture
) -> None:
    learned = made.learn()
    made.report(made.folder / "report.html")
    assert "student" in (made.folder / "report.html").read_text(encoding="utf-8")
    (learned.path / "student.json").write_text("{")
    made.report(made.folder / "report.html")
    assert "the student is left out" in caplog.text


def test_english_learns_as_well(tmp_path: Path) -> None:
    rows = [{"id": str(at), "text": text_of(at)} | ({"label": label_of(at)} if at < 20 else {}) for at in range(60)]
    write_jsonl(tmp_path / "items.jsonl", rows)
    with project(tmp_path, rows) as made:
        made.annotate(engine=ScriptedEngine(right))
        assert made.learn().student_assessment.metrics["accuracy"].value > 0.9
    assert engine().requests == []


def test_a_kind_that_no_student_can_learn_yet_is_refused_by_name(tmp_path: Path) -> None:
    task = Spans("who", "Who is named?", labels=["person"])
    rows = [{**row, "label": []} for row in reviews(4, gold=0)]
    with project(tmp_path, rows, task=task) as opened:
        opened.annotate(engine=ScriptedEngine(lambda _: '{"spans": []}'))
        with pytest.raises(SettingsError, match="one plain answer about one text, got the kind 'spans'"):
            opened.learn()
