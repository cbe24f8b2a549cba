"""Annotations out and in: nothing lost, nothing twice, all or none."""

import json
from pathlib import Path
from typing import Any

import pytest

from postil.errors import DataError, FormatError
from postil.formats.others import FOREIGN
from postil.tasks.preference import Preference
from postil.types import Annotation
from tests.cli.command import read_jsonl, snapshot, write_jsonl
from tests.formats.answers import SOLVED
from tests.project.making import engine, items, project, text_of


def test_lines_stand_in_the_order_of_the_records_whenever_they_were_labelled(tmp_path: Path) -> None:
    with project(tmp_path, items(9)) as made:
        made.annotate(engine=engine(), limit=4)
        write_jsonl(tmp_path / "items.jsonl", [*items(9), {"id": "a0", "text": "fine"}])
        assert made.export(tmp_path / "out.jsonl") == 10
    rows = read_jsonl(tmp_path / "out.jsonl")
    assert [row["id"] for row in rows] == [*(f"r00{at}" for at in range(9)), "a0"]
    assert [row["outcome"] for row in rows] == ["annotation"] * 4 + ["pending"] * 6
    assert {row["annotator"] for row in rows} == {"default", None}


def test_tables_have_a_column_for_each_field(tmp_path: Path) -> None:
    with project(tmp_path, items(2)) as made:
        made.annotate(engine=engine())
        made.export(tmp_path / "out.csv")
    header, first, _ = (tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()
    assert {"id", "fields.text", "fields.label", "outcome", "answer.label", "annotator"} <= set(header.split(","))
    assert "fine thing-000" in first


def test_what_was_imported_is_kept_with_its_confidence(tmp_path: Path) -> None:
    rows = [
        {"id": "r000", "label": "pos", "confidence": 0.9, "confidence_kind": "votes"},
        {"id": "r001", "outcome": "abstention", "reason": "unclear"},
    ]
    write_jsonl(tmp_path / "ann.jsonl", rows)
    with project(tmp_path, items(3)) as made:
        found = made.import_(tmp_path / "ann.jsonl", annotator="people")
        assert (found.new, found.replaced, found.unchanged, found.total) == (2, 0, 0, 2)
        status = made.status("people")
        assert (status["labelled"], status["abstained"], status["pending"]) == (1, 1, 1)
        [stored, _] = made.journal.outcomes(made.journal.annotators()[0][0])
        assert isinstance(stored.outcome, Annotation)
        assert stored.outcome.confidence is not None
        assert (stored.outcome.confidence.value, stored.outcome.confidence.kind) == (0.9, "votes")
        assert made.assess("people").metrics["accuracy"].value == 1


def test_imported_again_only_what_changed_is_new(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "ann.jsonl", [{"id": "r000", "label": "pos"}, {"id": "r001", "label": "pos"}])
    with project(tmp_path, items(3)) as made:
        made.import_(path, annotator="people")
        again = made.import_(path, annotator="people")
        assert (again.new, again.replaced, again.unchanged) == (0, 0, 2)
        held = [{"id": "r000", "label": "pos"}, {"id": "r001", "label": "neg"}, {"id": "r002", "label": "pos"}]
        write_jsonl(path, held)
        changed = made.import_(path, annotator="people")
        assert (changed.new, changed.replaced, changed.unchanged) == (1, 1, 1)
        id_ = made.journal.annotators()[0][0]
        event = made.journal.latest_event("import", id_)
        assert event is not None
        assert (event["outcomes"], event["new"], event["replaced"]) == (3, 1, 1)
        assert made.assess("people").metrics["accuracy"].value == 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([{"id": "r000", "label": "pos"}, {"id": "zz", "label": "pos"}], "line 2: an annotation of record 'zz'"),
        (
            [{"id": "r000", "label": "pos", "annotator": "a"}, {"id": "r000", "label": "pos", "annotator": "b"}],
            "line 2: record 'r000' has an outcome of 'a' and one of 'b'",
        ),
        ([{"id": "r000", "label": "pos"}, {"id": "r001"}], "line 2: expected an answer in 'label'"),
    ],
)
def test_a_file_that_is_wrong_adds_nothing(rows: list[dict[str, str]], says: str, tmp_path: Path) -> None:
    with project(tmp_path, items(3)) as made:
        write_jsonl(tmp_path / "ann.jsonl", rows)
        before = snapshot(tmp_path)
        with pytest.raises(DataError, match=says):
            made.import_(tmp_path / "ann.jsonl", annotator="people")
        assert snapshot(tmp_path) == before


def test_an_export_replaces_a_file_only_when_it_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out.jsonl"
    out.write_text("what was there before")
    with project(tmp_path, items(3)) as made:
        made.annotate(engine=engine())
        real = json.dumps

        def fails(value: object, **options: Any) -> str:
            if "r001" in str(value):
                raise KeyboardInterrupt
            return real(value, **options)

        monkeypatch.setattr("postil.formats.jsonl.json.dumps", fails)
        with pytest.raises(KeyboardInterrupt):
            made.export(out)
        monkeypatch.undo()
    assert out.read_text() == "what was there before"


def test_places_in_a_file_of_ours_are_checked_against_the_text(tmp_path: Path) -> None:
    rows = [{"id": "a", "text": "Ada met Bob"}]
    task = SOLVED["spans"].task
    with project(tmp_path, rows, task=task, gold=None) as made:
        write_jsonl(tmp_path / "ann.jsonl", [{"id": "a", "spans": [{"start": 8, "end": 11, "label": "PER"}]}])
        made.import_(tmp_path / "ann.jsonl", annotator="people")
        [stored] = made.journal.outcomes(made.journal.annotators()[-1][0])
        assert isinstance(stored.outcome, Annotation)
        assert stored.outcome.answer["spans"][0]["text"] == "Bob"
        wrong = {"start": 7, "end": 10, "label": "PER", "text": "Bob"}
        write_jsonl(tmp_path / "ann.jsonl", [{"id": "a", "spans": [wrong]}])
        with pytest.raises(DataError, match="line 1, record 'a'"):
            made.import_(tmp_path / "ann.jsonl", annotator="people")


# Other tools' formats


@pytest.mark.parametrize("name", [name for name, known in FOREIGN.items() if known.write and name != "docbin"])
def test_an_export_for_another_tool_comes_back_under_another_name(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    solved = SOLVED["spans"]
    rows = [{"id": record.id, "text": record.fields["text"]} for record in solved.records]
    rows.append({"id": "empty", "text": "  "})
    with project(tmp_path, rows, task=solved.task, gold=None) as made:
        held = [{"id": "r0", **solved.answers[0]}, {"id": "r1", **solved.answers[1]}]
        write_jsonl(tmp_path / "ann.jsonl", held)
        made.import_(tmp_path / "ann.jsonl", annotator="anna")
        out = tmp_path / ("out" if FOREIGN[name].folder else "out.file")
        assert made.export(out, "anna", format=name) == (2 if FOREIGN[name].answers_only else 3)
        back = made.import_(out, annotator="back", format=name)
        assert (back.new, back.anchored) == (2, 0)
        answers = [
            [stored.outcome.answer for stored in made.journal.outcomes(id_) if isinstance(stored.outcome, Annotation)]
            for id_, *_ in made.journal.annotators()
        ]
        assert answers[0] == answers[1] == [solved.answers[0], solved.answers[1]]
    assert "left out 1 records that show no text" in caplog.text


def test_a_kind_that_a_format_cannot_hold_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    with project(tmp_path, items(2)) as made:
        made.annotate(engine=engine())
        with pytest.raises(
            FormatError, match="the format 'brat' cannot hold answers of the kind 'classification'"
        ) as caught:
            made.export(tmp_path / "out", format="brat")
        assert "label-studio" in caught.value.hint
        with pytest.raises(FormatError, match="the format 'autolabel' can only be read"):
            made.export(tmp_path / "out", format="autolabel")
        with pytest.raises(FormatError, match="is a folder, which standard output cannot be"):
            made.export("-", format="hugging-face")
        with pytest.raises(FormatError, match="no format 'exel'"):
            made.export(tmp_path / "out", format="exel")
    assert not (tmp_path / "out").exists()


def label_studio(tmp_path: Path, *people: dict[str, Any], predictions: list[Any] | None = None) -> Path:
    path = tmp_path / "export.json"
    held = {"id": 1, "data": {"text": text_of(0)}, "annotations": list(people), "predictions": predictions or []}
    path.write_text(json.dumps([held]), encoding="utf-8")
    return path


def choice(label: str, **more: Any) -> dict[str, Any]:
    value = {"choices": [label]}
    return {"result": [{"from_name": "label", "to_name": "text", "type": "choices", "value": value}], **more}


def test_of_several_who_answered_one_must_be_named(tmp_path: Path) -> None:
    both = choice("pos", completed_by="anna"), choice("neg", completed_by="bob", parent_prediction=1)
    path = label_studio(tmp_path, *both, predictions=[choice("neg", model_version="m", score=0.5)])
    with project(tmp_path, items(2)) as made:
        before = snapshot(tmp_path)
        with pytest.raises(DataError, match="item 1: record 'r000' has answers by 'anna' and by 'bob'") as caught:
            made.import_(path, annotator="people", format="label-studio")
        assert "--by: 'anna', 'bob'" in caught.value.hint
        with pytest.raises(DataError, match="nothing is by 'carol'") as nobody:
            made.import_(path, annotator="people", format="label-studio", by="carol")
        assert "'anna', 'bob', 'm'" in nobody.value.hint
        assert snapshot(tmp_path) == before
        for by, label, anchored in (("anna", "pos", 0), ("bob", "neg", 1), ("m", "neg", 0)):
            found = made.import_(path, annotator=f"x-{by}", format="label-studio", by=by)
            assert (found.new, found.anchored) == (1, anchored)
            [stored] = made.journal.outcomes(made.journal.annotators()[-1][0])
            assert isinstance(stored.outcome, Annotation)
            assert stored.outcome.answer == {"label": label}


def test_people_go_before_the_models_that_they_saw(tmp_path: Path) -> None:
    path = label_studio(tmp_path, choice("pos", completed_by="anna"), predictions=[choice("neg", score=0.5)])
    with project(tmp_path, items(2)) as made:
        made.import_(path, annotator="people", format="label-studio")
        [stored] = made.journal.outcomes(made.journal.annotators()[-1][0])
        assert isinstance(stored.outcome, Annotation)
        assert (stored.outcome.answer, stored.outcome.confidence) == ({"label": "pos"}, None)


def test_a_models_answers_are_suggestions_and_a_persons_are_answers(tmp_path: Path) -> None:
    with project(tmp_path, items(2)) as made:
        made.annotate(engine=engine())
        write_jsonl(tmp_path / "ann.jsonl", [{"id": "r000", "label": "pos"}])
        made.import_(tmp_path / "ann.jsonl", annotator="anna")
        made.export(tmp_path / "model.json", "default", format="label-studio")
        made.export(tmp_path / "anna.json", "anna", format="label-studio")
    model, anna = (json.loads((tmp_path / name).read_text(encoding="utf-8"))[0] for name in ("model.json", "anna.json"))
    assert "predictions" in model
    assert "annotations" not in model
    assert "annotations" in anna
    assert "predictions" not in anna
    assert (tmp_path / "model.config.xml").read_text(encoding="utf-8").startswith("<View>")
    assert "label" not in model["data"]  # the gold stays at home


@pytest.mark.parametrize("name", ["trl", "openai"])
def test_ties_teach_no_preference_and_are_counted(name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = [{"id": f"r{at}", "prompt": f"Say {at}.", "response_a": "Yes.", "response_b": "No."} for at in range(3)]
    with project(tmp_path, rows, task=Preference("better", "Which?"), gold=None) as made:
        held = [{"id": f"r{at}", "preferred": side} for at, side in enumerate(("a", "tie", "b"))]
        made.import_(write_jsonl(tmp_path / "ann.jsonl", held), annotator="anna")
        assert made.export(tmp_path / "out.jsonl", "anna", format=name) == 2
    assert "left out 1 records with a tie" in caplog.text
