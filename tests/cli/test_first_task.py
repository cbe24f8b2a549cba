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
        (("--kind", "spans"), "expected --labels a,b, or --gold"),
        (("--kind", "spans", "--labels", "x", "--option", "nestd=true"), "did you mean `nested`?"),
        (("--kind", "spans", "--labels", "x", "--option", "nested"), "--option must be KEY=VALUE"),
        (("--kind", "spams", "--labels", "x"), "--kind must be one of classification,"),
        (("--kind", "attributes"), "expected the fields, or --gold FIELD"),
        (("--kind", "timeline", "--labels", "before,after"), "'timeline' has no --labels"),
        (("--kind", "rating", "--labels", "1,2"), "--scale 1-5"),
    ],
)
def test_what_is_missing_or_unknown_is_named_and_nothing_is_made(options: tuple[str, ...], says: str) -> None:
    write_jsonl(Path("items.jsonl"), [{"text": TEXT}])
    ran = postil("init", "p", "--items", "items.jsonl", *options)
    assert ran.code == 2
    assert says in ran.err
    assert not Path("p").exists()


def test_the_fields_of_attributes_are_those_of_the_gold() -> None:
    rows = [
        {
            "id": str(at),
            "text": f"Table {at} for {who}.",
            "gold": {"who": who, "mood": mood, "covers": at, "tags": [mood]},
        }
        for at, (who, mood) in enumerate([("Ann", "good"), ("Bob", "bad"), (None, "good")] * 3)
    ]
    made = task("attributes", rows, "--gold", "gold")["fields"]
    assert {each.pop("name"): each for each in made} == {
        "who": {"type": "text", "optional": True, "verbatim": True},
        "mood": {"type": "label", "labels": ["bad", "good"]},
        "covers": {"type": "number"},
        "tags": {"type": "list", "labels": ["bad", "good"]},
    }


def test_fields_of_a_gold_file_are_looked_for_in_the_texts_of_their_records() -> None:
    write_jsonl(Path("gold.jsonl"), [{"id": "1", "attributes": {"who": "Ann", "day": "2026-11-02", "what": "a visit"}}])
    made = task("attributes", [{"id": "1", "text": TEXT}], "--gold", "gold.jsonl")["fields"]
    assert {each.pop("name"): each for each in made} == {
        "who": {"type": "text", "verbatim": True},
        "day": {"type": "date"},
        "what": {"type": "text"},
    }


@pytest.mark.parametrize(
    ("kind", "gold", "says"),
    [
        ("spans", [{"start": 0, "end": 3, "type": "person"}], '"label": "person"}], got [{"start": 0'),
        ("spans", "Ann", "expected gold like ["),
        ("multilabel", "joy", 'expected gold like ["joy", "surprise"], got "joy"'),
        ("relations", [{"head": "T1", "tail": "T2", "label": "met"}], 'expected gold like {"spans": ['),
        ("roles", [{"predicate": "met"}], "expected gold like ["),
        ("spans", [], "which holds none"),
        ("attributes", ["good"], "expected an object from field to value"),
        ("attributes", {"good": True}, "expected an object from field to value"),
    ],
)
def test_gold_of_another_shape_is_shown_beside_one_that_would_do(kind: str, gold: Any, says: str) -> None:
    write_jsonl(Path("items.jsonl"), [{"id": "1", "text": TEXT, "gold": gold}])
    ran = postil("init", "p", "--items", "items.jsonl", "--kind", kind, "--gold", "gold")
    assert ran.code == 2
    assert says in ran.err
    assert not Path("p").exists()


@pytest.mark.parametrize("kind", ["spans", "attributes"])
def test_a_gold_field_that_no_record_has_is_named(kind: str) -> None:
    write_jsonl(Path("items.jsonl"), [{"text": TEXT}])
    ran = postil("init", "p", "--items", "items.jsonl", "--kind", kind, "--gold", "golds")
    assert (ran.code, "expected gold in the field 'golds', which no record has" in ran.err) == (2, True)


@pytest.mark.parametrize(
    ("kind", "options", "question"),
    [
        ("timeline", ['pair=["one", "two"]'], "How does the first event lie in time to the second?"),
        ("relations", ["mode=pair", 'labels=["met"]'], "Which relation does the head have to the tail?"),
    ],
)
def test_a_pair_is_asked_about_as_a_pair(kind: str, options: list[str], question: str) -> None:
    ends = {name: {"start": 0, "end": 3, "text": "Ann"} for name in ("one", "two", "head", "tail")}
    said = [word for option in options for word in ("--option", option)]
    assert task(kind, [{"text": TEXT, **ends}], *said)["instruction"] == question


def test_what_is_shown_need_not_be_told_twice() -> None:
    rows = [{"passage": TEXT, "question": "Who?"}]
    assert task("text", rows, "--option", "show={passage} {question}")["show"] == "{passage} {question}"
