"""`init` for every kind: what the command line, the gold and the data say becomes a task."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import postil, write_jsonl


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def task(kind: str, rows: list[dict[str, Any]], *options: str) -> dict[str, Any]:
    write_jsonl(Path("items.jsonl"), rows)
    ran = postil("init", "p", "--items", "items.jsonl", "--kind", kind, *options)
    assert ran.code == 0, ran.err
    status = postil("status", "--project", "p", "--json")
    assert status.json["records"] == len(rows)
    return tomllib.loads(Path("p/postil.toml").read_text(encoding="utf-8"))["task"]


TEXT = "Ann met Bob in Rome"
ANN = {"start": 0, "end": 3, "label": "person", "text": "Ann"}
ROME = {"start": 15, "end": 19, "label": "place", "text": "Rome"}


def test_labels_of_spans_stand_in_their_gold() -> None:
    rows = [{"id": "1", "text": TEXT, "gold": [ANN, ROME]}, {"id": "2", "text": "nobody", "gold": []}]
    assert task("spans", rows, "--gold", "gold", "--option", "nested=true") == {
        "kind": "spans",
        "name": "p",
        "instruction": "Which parts of the text are these?",
        "labels": ["person", "place"],
        "nested": True,
        "language": "en",
    }


def test_labels_of_relations_and_their_spans_stand_in_their_gold() -> None:
    spans = [{"id": "T1", **ANN}, {"id": "T2", **ROME}]
    gold = {"spans": spans, "relations": [{"head": "T1", "tail": "T2", "label": "was_in"}]}
    made = task("relations", [{"id": "1", "text": TEXT, "gold": gold}], "--gold", "gold")
    assert (made["labels"], made["span_labels"]) == (["was_in"], ["person", "place"])


def test_a_gold_file_of_several_labels_gives_the_label_set() -> None:
    write_jsonl(Path("gold.jsonl"), [{"id": "1", "labels": ["joy", "fear"]}, {"id": "2", "labels": []}])
    rows = [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}]
    assert task("multilabel", rows, "--gold", "gold.jsonl")["labels"] == ["fear", "joy"]


def test_roles_are_given_by_name_or_asked_as_questions() -> None:
    assert task("roles", [{"text": TEXT}], "--labels", "ARG0,ARG1")["roles"] == ["ARG0", "ARG1"]


@pytest.mark.parametrize("kind", ["timeline", "text"])
def test_kinds_without_labels_need_none(kind: str) -> None:
    assert task(kind, [{"text": TEXT}])["kind"] == kind


def test_a_preference_shows_its_own_fields() -> None:
    made = task("preference", [{"prompt": "Say hi.", "response_a": "Hi", "response_b": "No"}], "--option", "ties=false")
    assert made["ties"] is False


def test_fields_are_given_as_toml() -> None:
    made = task("attributes", [{"text": TEXT}], "--option", 'fields={who={type="text"}, where={type="text"}}')
    assert str(made["fields"]).count("'text'") == 2


def test_chinese_data_is_asked_about_in_chinese() -> None:
    made = task("spans", [{"text": "李开复去了台湾"}], "--labels", "PER,LOC")
    assert made["language"] == "zh"
    assert made["instruction"] == "文本中哪些片段属于这些类别？"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--kind", "spans"), "expected --labels a,b (labels), or --gold"),
        (("--kind", "spans", "--labels", "x", "--option", "nestd=true"), "did you mean `nested`?"),
        (("--kind", "spans", "--labels", "x", "--option", "nested"), "--option must be KEY=VALUE"),
        (("--kind", "spams", "--labels", "x"), "--kind must be one of classification,"),
        (("--kind", "attributes"), "`task.fields`: missing"),
    ],
)
def test_what_is_missing_or_unknown_is_named_and_nothing_is_made(options: tuple[str, ...], says: str) -> None:
    write_jsonl(Path("items.jsonl"), [{"text": TEXT}])
    ran = postil("init", "p", "--items", "items.jsonl", *options)
    assert ran.code == 2
    assert says in ran.err
    assert not Path("p").exists()
