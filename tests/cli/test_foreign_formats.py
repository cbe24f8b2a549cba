"""`import` and `export` with other tools' formats, from the command line."""

import json
from pathlib import Path

import pytest

from tests.cli.command import SENTIMENT, postil, write_jsonl, write_project


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_labels_go_to_label_studio_and_come_back(tmp_path: Path) -> None:
    write_project(tmp_path, {})
    write_jsonl(tmp_path / "ann.jsonl", [{"id": "a", "label": "pos"}, {"id": "b", "label": "neg"}])
    assert postil("import", "ann.jsonl", "--annotator", "anna").out == (
        "2 annotations of 'anna' imported: 2 new, 0 replaced, 0 unchanged\n"
    )
    done = postil("export", "tasks.json", "--format", "label-studio", "--annotator", "anna", "--json")
    assert done.json == {"path": "tasks.json", "records": 4}
    again = postil("import", "tasks.json", "--format", "label-studio", "--annotator", "anna", "--json")
    counts = {"imported": 2, "new": 0, "replaced": 0, "unchanged": 2, "anchored": 0}
    assert again.json == {"annotator": "anna", **counts}
    held = json.loads((tmp_path / "tasks.json").read_text(encoding="utf-8"))
    held[0]["annotations"][0]["result"][0]["value"]["choices"] = ["neg"]
    held[0]["annotations"][0]["parent_prediction"] = 5
    (tmp_path / "tasks.json").write_text(json.dumps(held), encoding="utf-8")
    changed = postil("import", "tasks.json", "--format", "label-studio", "--annotator", "anna")
    assert "2 annotations of 'anna' imported: 0 new, 1 replaced, 1 unchanged" in changed.out
    assert "1 of them were given beside a model's suggestion" in changed.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (
            ("export", "out", "--format", "conll", "--annotator", "anna"),
            "cannot hold answers of the kind 'classification'",
        ),
        (("export", "out", "--format", "xls", "--annotator", "anna"), "no format 'xls'"),
        (("import", "ann.jsonl"), "expected --annotator NAME"),
        (("import", "none.json", "--format", "label-studio", "--annotator", "b"), "no file none.json"),
        (("import", "ann.jsonl", "--annotator", "b", "--by", "c"), "`by` chooses among"),
        (("import", "c.json", "--format", "spacy-llm"), "expected --items FILE and --format NAME"),
        (("import", "c.json", "--format", "brat", "--items", "items.jsonl"), "expected a configuration"),
    ],
)
def test_what_cannot_be_done_is_said_and_changes_nothing(arguments: tuple[str, ...], says: str, tmp_path: Path) -> None:
    write_project(tmp_path, {})
    write_jsonl(tmp_path / "ann.jsonl", [{"id": "a", "label": "pos"}])
    postil("import", "ann.jsonl", "--annotator", "anna")
    ran = postil(*arguments)
    assert (ran.code, says in ran.err) == (2, True), ran.err
    assert not (tmp_path / "out").exists()


def test_an_autolabel_configuration_becomes_a_project(tmp_path: Path) -> None:
    config = {
        "task_name": "tone",
        "task_type": "classification",
        "dataset": {"label_column": "label"},
        "model": {"provider": "openai", "name": "m"},
        "prompt": {"task_guidelines": SENTIMENT["instruction"], "labels": ["pos", "neg"]},
    }
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf-8")
    (tmp_path / "items.csv").write_text("example,label\ngreat,pos\nbad,neg\n", encoding="utf-8")
    made = postil(
        "import", "config.json", "--format", "autolabel", "--items", "items.csv", "--project", "new", "--json"
    )
    assert made.json == {"project": "new", "records": 2, "gold": {"certificate": 2}}
    assert postil("status", "--project", "new", "--json").json["records"] == 2
    again = postil("import", "config.json", "--format", "autolabel", "--items", "items.csv", "--project", "new")
    assert again.code == 2
    assert "there is a project already" in again.err
