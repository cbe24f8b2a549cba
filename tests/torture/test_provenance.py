"""Which answer belongs to which question, and what an edit afterwards gives away (C1, C5, D9, M10)."""
# ruff: noqa: S608 - the tables named in statements are ours

import json
import random
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import postil, postil_process
from tests.torture.checker import TABLES
from tests.torture.conftest import Make
from tests.torture.project import Tortured, tortured
from tests.torture.serving import Servers

# One setting changed at a time: whatever is told to the server, or is known of it, makes other requests (C1).
ASKED_ANEW: dict[str, Mapping[str, Any]] = {
    "model": {"model": "m2"},
    "temperature": {"temperature": 0.5},
    "seed": {"seed": 7},
    "max_tokens": {"max_tokens": 99},
    "extra": {"extra": {"top_p": 0.9}},
    "extra, another value": {"extra": {"top_p": 0.8}},
    "log_probs": {"log_probs": True, "calibrate": "none"},
    "schema": {"schema": True},
    "context_tokens": {"context_tokens": 5000},
    "instruction": {"task": {"instruction": "Which letter is this?"}},
    "labels in another order": {"labels": ("beta", "alpha", "gamma", "delta")},
    "a label more": {"labels": ("alpha", "beta", "gamma", "delta", "epsilon")},
    "a definition": {"task": {"labels": {"alpha": "the first", "beta": "", "gamma": "", "delta": ""}}},
    "show": {"task": {"show": "Here: {text}"}},
    "language": {"task": {"language": "zh"}},
    "abstain": {"task": {"abstain": "none of them"}},
}
ANSWERED_ALREADY: dict[str, Mapping[str, Any]] = {
    "concurrency": {"concurrency": 3},
    "attempts": {"attempts": 2},
    "attempt_seconds": {"attempt_seconds": 50.0},
    "price": {"price": {"input": 9.0, "output": 9.0}},
    "aliases": {"task": {"aliases": {"first": "alpha"}}},
    "budget": {"budget": {"requests": 1000}},
}


def changed(project: Tortured, settings: Mapping[str, Any]) -> Tortured:
    """Write the settings anew beside the journal that is there."""
    return tortured(project.folder, project.scene, len(project.items), **settings)


@pytest.mark.parametrize("name", ASKED_ANEW)
def test_a_change_of_what_is_asked_is_asked_anew(name: str, make: Make) -> None:
    project = make(3)
    assert project.run("annotate", "--json").json["requests"] == 3
    ran = changed(project, ASKED_ANEW[name]).run("annotate", "--json")
    assert (ran.json["requests"], ran.json["resent"], len(project.scene.asked())) == (3, 0, 6)


@pytest.mark.parametrize("name", ANSWERED_ALREADY)
def test_a_change_of_anything_else_is_not_paid_again(name: str, make: Make) -> None:
    project = make(3)
    before = project.run("annotate", "--json").json["labelled"]
    ran = changed(project, ANSWERED_ALREADY[name]).run("annotate", "--json")
    assert (ran.json["labelled"], ran.json["requests"], len(project.scene.asked())) == (before, 0, 3)


def test_another_address_is_another_server(make: Make) -> None:
    first, second = make(3), make(3)
    assert first.run("annotate").code == 0
    moved = tortured(first.folder, second.scene, 3)
    assert moved.run("annotate", "--json").json["requests"] == 3


# Edits are found (C5): every column of every table, on a copy, offline


@pytest.fixture(scope="module")
def whole(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Tortured:
    scene = servers.scene(seed=8, faults={"500": 0.1, "length": 0.1})
    project = tortured(tmp_path_factory.mktemp("whole") / "p", scene, 20, attempts=3)
    items = [json.loads(line) for line in (project.folder / "items.jsonl").read_text().splitlines()]
    gold = [{**item, "label": "alpha"} for item in items]
    (project.folder / "items.jsonl").write_text("".join(json.dumps(item) + "\n" for item in gold))
    settings = project.folder / "postil.toml"
    settings.write_text(settings.read_text().replace("[data]", '[data]\ngold = "label"'))
    assert project.run("annotate", "--json").json["pending"] == 0
    assert project.run("export", project.folder / "out.jsonl").code == 0
    assert project.run("import", project.folder / "out.jsonl", "--annotator", "person").code == 0
    project.verified()
    return project


def copied(project: Tortured, folder: Path) -> Path:
    """Return a copy of a project in which nothing but the journal and the settings is left."""
    with (
        closing(sqlite3.connect(project.folder / "postil.db")) as journal,
        closing(sqlite3.connect(folder / "postil.db")) as copy,
    ):
        journal.backup(copy)
    (folder / "postil.toml").write_bytes((project.folder / "postil.toml").read_bytes())
    return folder


def test_an_edit_of_any_column_of_any_table_is_found(whole: Tortured, tmp_path: Path) -> None:
    rng = random.Random(3)
    edited = 0
    folder = copied(whole, tmp_path)
    original = (folder / "postil.db").read_bytes()
    for table in TABLES:
        with closing(sqlite3.connect(folder / "postil.db")) as journal:
            columns = [row[1] for row in journal.execute(f"PRAGMA table_info({table})")]
            rows = [number for (number,) in journal.execute(f"SELECT seq FROM {table}")]
        for column in columns if rows else ():
            (folder / "postil.db").write_bytes(original)
            row = rng.choice(rows)
            with closing(sqlite3.connect(folder / "postil.db")) as journal:
                [(value,)] = journal.execute(f"SELECT {column} FROM {table} WHERE seq = ?", (row,)).fetchall()
                with journal:
                    journal.execute(f"UPDATE {table} SET {column} = ? WHERE seq = ?", (_other(value), row))
            ran = postil("verify", "--json", "--project", folder)
            assert not ran.json["ok"], f"{table}.{column} of row {row}: {value!r} -> {_other(value)!r}"
            edited += 1
    assert edited >= 50


@pytest.mark.parametrize("damaged", ["{broken", "7", ""])
def test_damaged_gold_is_named_and_the_rest_looked_at(damaged: str, whole: Tortured, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path)
    with closing(sqlite3.connect(folder / "postil.db")) as journal, journal:
        journal.execute("UPDATE gold SET answer = ? WHERE seq = 1", (damaged,))
    ran = postil("verify", "--json", "--project", folder)
    assert (ran.code, ran.json["ok"]) == (1, False)
    problems = "\n".join(ran.json["problems"])
    assert f"gold 1: expected an answer, got {damaged!r}" in problems
    assert "gold 1: changed after it was written" in problems
    assert ran.json["checked"]["conservation"] == 2, "what does not hang on the gold was looked at"
    # The other verbs say so too, and what to do.
    told = postil("assess", "--project", folder)
    assert (told.code, "postil verify" in told.err) == (3, True)


def _other(value: Any) -> Any:
    match value:
        case None:
            return "something"
        case int() | float():
            return value + 1_000_000
        case _:
            return value[:-1] + ("x" if value[-1:] != "x" else "y") if value else "x"


def test_a_row_cut_off_at_the_end_is_found_by_the_head_kept_elsewhere(whole: Tortured, tmp_path: Path) -> None:
    folder = copied(whole, tmp_path)
    head = postil("verify", "--json", "--project", folder).json["head"]
    assert head == postil("verify", "--json", "--project", whole.folder).json["head"]
    for table in TABLES:
        copied(whole, tmp_path)
        with closing(sqlite3.connect(folder / "postil.db")) as journal, journal:
            gone = journal.execute(f"DELETE FROM {table} WHERE seq = (SELECT max(seq) FROM {table})").rowcount
        after = postil("verify", "--json", "--project", folder).json
        assert gone == 0 or after["head"] != head


def test_a_flipped_bit_is_found_or_changes_nothing(whole: Tortured, tmp_path: Path) -> None:
    rng = random.Random(4)
    folder = copied(whole, tmp_path)
    original = (folder / "postil.db").read_bytes()
    right = postil("export", "-", "--project", folder).out
    found = 0
    for _ in range(60):
        at, bit = rng.randrange(100, len(original)), 1 << rng.randrange(8)
        damaged = bytearray(original)
        damaged[at] ^= bit
        (folder / "postil.db").write_bytes(damaged)
        verified = postil("verify", "--json", "--project", folder)
        if verified.code == 0 and verified.json["ok"]:
            assert postil("export", "-", "--project", folder).out == right, f"bit {bit} of byte {at}"
        else:
            found += 1
        assert "Traceback" not in verified.err
    assert found >= 10


# The same run (M10)


def test_neither_workers_nor_hash_seeds_change_what_comes_out(servers: Servers, tmp_path: Path) -> None:
    scene = servers.scene(delay=[0.0, 0.01])
    exports: set[str] = set()
    for number, (concurrency, hash_seed) in enumerate([(1, "0"), (16, "1"), (4, "random")]):
        project = tortured(tmp_path / str(number) / "p", scene, 20, concurrency=concurrency)
        for verb in ("annotate", ["export", "out.jsonl"]):
            words = [verb] if isinstance(verb, str) else verb
            done = postil_process(*words, cwd=project.folder, environment={"PYTHONHASHSEED": hash_seed})
            assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in (project.folder / "out.jsonl").read_text().splitlines()]
        for row in rows:
            # When it was is not the same, and is all that is not.
            del row["provenance"]["at"]
        exports.add(json.dumps(rows))
    assert len(exports) == 1
