"""`init`: what it takes from the data, and what postil.toml says afterwards."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import postil, write_jsonl


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def made(*options: str) -> dict[str, Any]:
    ran = postil("init", "p", *options)
    assert ran.code == 0, ran.err
    return tomllib.loads(Path("p/postil.toml").read_text(encoding="utf-8"))


def test_labels_are_taken_from_the_gold() -> None:
    rows = [{"text": "a", "y": "neg"}, {"text": "b", "y": "pos"}, {"text": "c", "y": None}, {"text": "d", "y": ""}]
    write_jsonl(Path("items.jsonl"), rows)
    written = made("--items", "items.jsonl", "--gold", "y")
    assert written["task"]["labels"] == ["neg", "pos"]
    assert written["data"] == {"items": "../items.jsonl", "gold": "y"}
    assert written["annotators"] == {"first": {"engine": "local", "shots": 8, "demonstrations": "random"}}


def test_labels_that_are_numbers_are_labels() -> None:
    write_jsonl(Path("items.jsonl"), [{"text": "a", "y": 0}, {"text": "b", "y": 1}])
    assert made("--items", "items.jsonl", "--gold", "y")["task"]["labels"] == ["0", "1"]


def test_labels_are_taken_from_a_gold_file() -> None:
    write_jsonl(Path("items.jsonl"), [{"id": "1", "text": "a"}, {"id": "2", "text": "b"}])
    Path("gold.csv").write_text("id,label\n1,x\n2,y\n")
    written = made("--items", "items.jsonl", "--gold", "gold.csv")
    assert written["task"]["labels"] == ["x", "y"]
    assert written["data"]["gold"] == "../gold.csv"


def test_too_many_labels_are_doubted() -> None:
    write_jsonl(Path("items.jsonl"), [{"text": "a", "y": f"label {at}"} for at in range(101)])
    ran = postil("init", "p", "--items", "items.jsonl", "--gold", "y")
    assert ran.code == 2
    assert "more than 100 values" in ran.err


@pytest.mark.parametrize(
    ("row", "shown"),
    [
        ({"text": "a", "title": "b"}, "{text}"),
        ({"review": "a", "stars": 3}, "{review}"),
        ({"review": "a", "label": "x"}, "{review}"),
        ({"id": "1", "评论": "很好"}, "{评论}"),
    ],
)
def test_the_field_that_must_be_meant_is_shown(row: dict[str, Any], shown: str) -> None:
    write_jsonl(Path("items.jsonl"), [row, {**row, "id": "2", "label": "y"}])
    gold = ["--gold", "label", "--labels", "x,y"] if "label" in row else ["--labels", "x,y"]
    assert made("--items", "items.jsonl", *gold)["task"].get("show", "{text}") == shown


def test_everything_said_is_written() -> None:
    write_jsonl(Path("items.jsonl"), [{"key": "1", "body": "b", "title": "t"}])
    written = made(
        *("--items", "items.jsonl", "--labels", " yes , no ", "--text", "body", "--id", "key", "--shots", "0"),
        *("--instruction", 'Is it "good"?', "--engine", "openai", "--base-url", "http://127.0.0.1:9/v1"),
        *("--model", "a/b", "--api-key-env", "KEY"),
    )
    assert written["task"] == {
        "kind": "classification",
        "name": "p",
        "instruction": 'Is it "good"?',
        "labels": ["yes", "no"],
        "show": "{body}",
        "language": "en",
    }
    assert written["data"] == {"items": "../items.jsonl", "id": "key"}
    assert written["annotators"]["first"] == {
        "engine": "openai",
        "base_url": "http://127.0.0.1:9/v1",
        "model": "a/b",
        "api_key_env": "KEY",
    }


def test_a_chinese_question_makes_a_chinese_prompt() -> None:
    write_jsonl(Path("items.jsonl"), [{"text": "很好"}])
    written = made("--items", "items.jsonl", "--labels", "好评,差评", "--instruction", "好还是坏?")
    assert (written["task"]["language"], written["task"]["labels"]) == ("zh", ["好评", "差评"])


def test_commas_and_blanks_alone_are_no_labels() -> None:
    write_jsonl(Path("items.jsonl"), [{"text": "a"}])
    assert postil("init", "p", "--items", "items.jsonl", "--labels", " , ").code == 2
    assert not Path("p").exists()


@pytest.mark.parametrize(
    ("engine", "says"),
    [
        ("openai", "needs `base_url`"),
        ("gpt4", "`engine` must be"),
        ("local:nothere.gguf", "expected a GGUF model file"),
    ],
)
def test_an_engine_that_cannot_be_made_makes_no_project(engine: str, says: str) -> None:
    write_jsonl(Path("items.jsonl"), [{"text": "a", "y": "neg"}, {"text": "b", "y": "pos"}])
    ran = postil("init", "p", "--items", "items.jsonl", "--gold", "y", "--engine", engine)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert not Path("p").exists()


def test_a_gold_field_that_no_record_has_is_named() -> None:
    write_jsonl(Path("items.jsonl"), [{"text": "a", "y": "neg"}, {"text": "b", "y": "pos"}])
    ran = postil("init", "p", "--items", "items.jsonl", "--gold", "z")
    assert (ran.code, "'z', which no record has" in ran.err) == (2, True)


def test_a_demo_leaves_another_project_alone() -> None:
    write_jsonl(Path("items.jsonl"), [{"text": "a", "y": "neg"}, {"text": "b", "y": "pos"}])
    made("--items", "items.jsonl", "--gold", "y")
    ran = postil("demo", "p")
    assert (ran.code, "got another project" in ran.err) == (2, True)
