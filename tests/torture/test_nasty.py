"""Data that breaks other tools goes in, is labelled and comes out unchanged, or is refused by name (H6, X1, X2, X3)."""

import itertools
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.cli.command import openai, postil, read_jsonl, write_project
from tests.torture import nasty
from tests.torture.project import TASK
from tests.torture.server import LABELS
from tests.torture.serving import Scene, Servers

EXAMPLES = int(os.environ.get("TORTURE_EXAMPLES", "12"))
"""The long tier has more of them."""
FORMATS = ("jsonl", "json", "csv", "tsv", "parquet")


def project(folder: Path, scene: Scene, items: Sequence[Mapping[str, Any]], labels: Sequence[str] = LABELS) -> Path:
    """Write a project whose file has every text as JSON escapes, so that it can hold all of them."""
    write_project(
        folder,
        {"robot": openai(scene.base_url)},
        task={**TASK, "labels": [*labels]},
        items=[],
        data={"items": "items.jsonl"},
    )
    (folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in items), encoding="ascii")
    return folder


def exported(folder: Path, path: Path, annotator: str = "robot") -> list[dict[str, Any]]:
    ran = postil("export", path, "--annotator", annotator, "--project", folder)
    assert ran.code == 0, ran.err
    return read_jsonl(path)


def ends(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    kept = (
        "outcome",
        "answer",
        "confidence",
        "confidence_kind",
        "probabilities",
        "rationale",
        "failure_class",
        "message",
    )
    return {row["id"]: {key: row[key] for key in kept} for row in rows}


def read_back(path: Path) -> list[dict[str, Any]]:
    """Return lines with whatever they hold, by another reader than the product's."""
    return [json.loads(line) for line in path.read_bytes().decode("utf-8", "surrogatepass").split("\n") if line]


# Texts, case X1


@pytest.fixture(scope="module")
def corpus(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Scene]:
    scene = servers.scene()
    folder = tmp_path_factory.mktemp("corpus") / "p"
    texts = nasty.TEXTS | nasty.BLANK
    items = [{"id": name, "text": text, "beside": text, "n": 1} for name, text in texts.items()]
    project(folder, scene, items)
    ran = postil("annotate", "--json", "--project", folder)
    assert ran.json["pending"] == 0, ran.err
    return folder, scene


def row_of(name: str, folder: Path) -> dict[str, Any]:
    path = folder / "out.jsonl"
    if not path.exists():
        exported(folder, path)
    [row] = [row for row in read_back(path) if row["id"] == name]
    return row


@pytest.mark.parametrize("name", [*nasty.TEXTS, *nasty.BLANK])
def test_a_text_is_kept_exactly(name: str, corpus: tuple[Path, Scene]) -> None:
    text = (nasty.TEXTS | nasty.BLANK)[name]
    assert row_of(name, corpus[0])["fields"] == {"text": text, "beside": text, "n": 1}


@pytest.mark.parametrize("name", [*nasty.TEXTS, *nasty.BLANK])
def test_a_text_is_shown_as_it_is_or_refused_by_name(name: str, corpus: tuple[Path, Scene]) -> None:
    folder, scene = corpus
    row, text = row_of(name, folder), (nasty.TEXTS | nasty.BLANK)[name]
    if name in nasty.UNWRITABLE:
        assert row["failure_class"] == "rejected"
    elif name in nasty.BLANK and not text.strip():
        assert row["failure_class"] == "empty_record"
    else:
        assert row["outcome"] == "annotation", row["message"]
        told = [line["body"]["messages"][-1]["content"] for line in scene.asked()]
        assert any(text.strip() in content for content in told), "the model was told another text"


def test_nothing_stored_broke_the_journal(corpus: tuple[Path, Scene]) -> None:
    verified = postil("verify", "--json", "--project", corpus[0]).json
    assert verified["ok"], verified["problems"]


@pytest.mark.parametrize("kind", FORMATS)
def test_an_export_is_read_back_as_the_same_annotations(kind: str, corpus: tuple[Path, Scene], tmp_path: Path) -> None:
    folder, _ = corpus
    path = tmp_path / f"out.{kind}"
    ran = postil("export", path, "--project", folder)
    if kind in ("csv", "tsv", "parquet"):
        # Half a character cannot stand there; the message says where it is.
        assert (ran.code, path.exists()) == (2, False)
        assert "surrogate" in ran.err
        return
    assert ran.code == 0, ran.err
    name = f"copy-{kind}"
    assert postil("import", path, "--annotator", name, "--project", folder).code == 0
    first, second = exported(folder, tmp_path / "a.jsonl"), exported(folder, tmp_path / "b.jsonl", name)
    assert ends(first) == ends(second)


# Labels that look like something else


@pytest.fixture(scope="module")
def labelled(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("labels") / "p"
    words = {f"r{number}": label for number, label in enumerate(nasty.LABELS * 2)}
    nonces = {id_: f"nonce-{number:016x}" for number, id_ in enumerate(words)}
    scene = servers.scene(fixed={nonces[id_]: [f"say:{label}"] for id_, label in words.items()})
    items = [{"id": id_, "text": f"{nonces[id_]} {label}", "twin": label} for id_, label in words.items()]
    project(folder, scene, items, nasty.LABELS)
    assert postil("annotate", "--json", "--project", folder).json["labelled"] == len(words)
    return folder, words


@pytest.mark.parametrize("kind", FORMATS)
def test_labels_that_look_like_something_else_stay_text(
    kind: str, labelled: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    folder, words = labelled
    path = tmp_path / f"out.{kind}"
    assert postil("export", path, "--project", folder).code == 0
    name = f"again-{kind}"
    ran = postil("import", path, "--annotator", name, "--project", folder)
    assert ran.code == 0, ran.err
    rows = exported(folder, tmp_path / "again.jsonl", name)
    assert {row["id"]: row["answer"]["label"] for row in rows} == words
    assert {row["id"]: row["fields"]["twin"] for row in rows} == words


@pytest.mark.parametrize("kind", FORMATS)
def test_cells_that_look_like_something_else_are_imported_as_text(kind: str, servers: Servers, tmp_path: Path) -> None:
    words = [*nasty.LABELS, "", "1.50", "2026-01-01", "TRUE", "#N/A"]
    items = [{"id": f"r{number}", "text": f"text {word}", "word": word} for number, word in enumerate(words)]
    source = project(tmp_path / "a", servers.scene(), items)
    assert postil("export", tmp_path / f"items.{kind}", "--project", source).code == 0
    # What was an export is now a file of items; tables have a column for each field, the others one object.
    table = kind in ("csv", "tsv", "parquet")
    folder = unasked(tmp_path / "b", f"../items.{kind}", show="{outcome}")
    rows = exported_items(folder, tmp_path / "back.jsonl")
    found = [row["fields"]["fields.word"] if table else row["fields"]["fields"]["word"] for row in rows]
    assert found == words


def unasked(folder: Path, items: str, **task: Any) -> Path:
    """Write a project over a file that is there, which nobody will be asked about."""
    whole = {**TASK, "labels": [*LABELS], **task}
    return write_project(
        folder, {"robot": openai("http://127.0.0.1:9/v1")}, task=whole, items=[], data={"items": items}
    )


def exported_items(folder: Path, path: Path) -> list[dict[str, Any]]:
    ran = postil("export", path, "--project", folder)
    assert ran.code == 0, ran.err
    return read_back(path)


# Files that cannot be taken


@pytest.mark.parametrize("name", nasty.REFUSED)
def test_a_file_that_cannot_be_taken_is_refused_before_anything_is_spent(
    name: str, servers: Servers, tmp_path: Path
) -> None:
    scene = servers.scene()
    folder = project(tmp_path / "p", scene, [])
    (folder / "items.jsonl").write_text(nasty.REFUSED[name] + "\n", encoding="utf-8")
    ran = postil("annotate", "--json", "--project", folder)
    assert (ran.code, ran.out) == (2, "")
    assert re.search(r"items\.jsonl, line \d", ran.err)
    assert scene.asked() == []
    assert postil("status", "--project", folder).code == 2


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "latin-1", "gb18030", "shift_jis", "cp1252"])
def test_another_encoding_is_named_and_nothing_is_spent(encoding: str, servers: Servers, tmp_path: Path) -> None:
    scene = servers.scene()
    folder = project(tmp_path / "p", scene, [])
    text = {"gb18030": "这是一段中文", "shift_jis": "これは日本語"}.get(encoding, "caf\u00e9 d\u00e9j\u00e0")
    (folder / "items.jsonl").write_bytes(
        (json.dumps({"id": "1", "text": text}, ensure_ascii=False) + "\n").encode(encoding)
    )
    ran = postil("annotate", "--json", "--project", folder)
    assert (ran.code, scene.asked()) == (2, [])
    assert "expected UTF-8" in ran.err


# Whatever hypothesis thinks of


@settings(max_examples=EXAMPLES, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(records=st.lists(nasty.fields(), min_size=1, max_size=6))
def test_any_record_comes_out_as_it_went_in(records: list[dict[str, Any]], servers: Servers) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = project(Path(name) / "p", servers.scene(), [{"id": f"r{n}", **each} for n, each in enumerate(records)])
        ran = postil("annotate", "--json", "--project", folder)
        assert ran.code in (0, 1), ran.err
        assert ran.json["pending"] == 0
        path = Path(name) / "out.jsonl"
        assert postil("export", path, "--project", folder).code == 0
        rows = read_back(path)
        assert [row["id"] for row in rows] == [f"r{n}" for n in range(len(records))]
        for row, fields in zip(rows, records, strict=True):
            assert json.dumps(row["fields"], sort_keys=True) == json.dumps(fields, sort_keys=True)
        assert postil("verify", "--json", "--project", folder).json["ok"]
        again = Path(name) / "again.jsonl"
        assert postil("import", path, "--annotator", "copy", "--project", folder).code == 0
        assert ends(exported(folder, again, "copy")) == ends(rows)
        # The export of the project that was made from an export is the same again.
        copy = Path(name) / "q"
        unasked(copy, "items.jsonl")
        lines = [json.dumps({"id": row["id"], **row["fields"]}) + "\n" for row in rows]
        (copy / "items.jsonl").write_text("".join(lines), encoding="ascii")
        assert postil("status", "--project", copy).code == 0
        second = exported_items(copy, Path(name) / "second.jsonl")
        assert [row["fields"] for row in second] == [row["fields"] for row in rows]


def test_strategies_reach_what_they_are_for() -> None:
    seen = "".join(itertools.chain(nasty.TEXTS.values(), nasty.BLANK.values()))
    for character in "\0\ud83d\ufeff\r\u0085\u2028\u200d\u202e\U000e0041{":
        assert character in seen
