"""Annotations out and in: nothing lost, nothing twice, all or none."""

import json
from pathlib import Path
from typing import Any

import pytest

from postil.errors import DataError
from postil.types import Annotation
from tests.cli.command import read_jsonl, snapshot, write_jsonl
from tests.project.making import engine, items, project


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
        assert made.import_(tmp_path / "ann.jsonl", annotator="people") == 2
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
        for _ in range(2):
            made.import_(path, annotator="people")
        write_jsonl(path, [{"id": "r000", "label": "pos"}, {"id": "r001", "label": "neg"}])
        made.import_(path, annotator="people")
        id_ = made.journal.annotators()[0][0]
        event = made.journal.latest_event("import", id_)
        assert event is not None
        assert (event["outcomes"], event["new"]) == (2, 1)
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
