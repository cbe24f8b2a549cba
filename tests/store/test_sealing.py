"""Every row vouches for itself and for the one before it: what is changed or removed later is found."""
# ruff: noqa: S608 - the tables named in statements are ours

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from postil.errors import RateLimited
from postil.store import Intent, Journal
from postil.store.rows import completion_row
from postil.store.sealing import TABLES
from postil.types import Annotation, Completion, Confidence, Failure, Record, Usage

ODD = "half \ud83d and NUL \0"
Edit = Callable[[str], list[str]]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A journal with three rows or more in every table."""
    path = tmp_path_factory.mktemp("journal") / "postil.db"
    journal = Journal(path)
    journal.add_records((Record(str(i), {"text": f"{i} {ODD}"}), "here") for i in range(4))
    journal.add_gold([(str(i), {"label": "a"}) for i in range(4)], ODD)
    journal.give_roles([(str(i), "certificate") for i in range(4)])
    for i in range(3):
        journal.add_annotator(f"annotator {i}", {"number": i})
        journal.add_event("run", "a", {"number": i})
    asyncio.run(_outcomes(journal))
    journal.close()
    return path.read_bytes()


async def _outcomes(journal: Journal) -> None:
    for i in range(4):
        intent = await journal.write_intent(Intent(1, "a", str(i), "label", f"sha256:{i}", 1, 10, 0.1))
        outcome = Annotation(str(i), "a", {"label": "a"}, Confidence(0.5, "logprob"), {"a": 0.5, "b": 0.5}, ODD)
        await journal.write_reply(completion_row(intent, Completion(ODD, "stop", Usage(1, 2)), 0.1), outcome)
    intent = await journal.write_intent(Intent(1, "a", "4", "label", "sha256:4", 1))
    await journal.write_error(intent, RateLimited(ODD), Failure("4", "a", "rate_limited", ODD))


@pytest.fixture
def edit(written: bytes, tmp_path: Path) -> Edit:
    """Return what is found wrong in a copy after an SQL statement."""

    def edited(statement: str) -> list[str]:
        path = tmp_path / "postil.db"
        path.write_bytes(written)
        connection = apsw.Connection(str(path))
        connection.execute(statement)
        assert connection.changes() > 0, statement
        connection.close()
        journal = Journal(path)
        found = [words for table in TABLES for words in journal.broken_seals(table)]
        journal.close()
        return found

    return edited


def columns(written: bytes, folder: Path) -> Iterator[tuple[str, str]]:
    path = folder / "columns.db"
    path.write_bytes(written)
    connection = apsw.Connection(str(path))
    for table in TABLES:
        for row in connection.execute(f"PRAGMA table_info({table})").fetchall():
            yield table, str(row[1])
    connection.close()


def test_what_nobody_touched_is_whole(edit: Edit) -> None:
    assert edit("UPDATE meta SET value = value") == []


def test_a_change_of_any_column_is_found(written: bytes, edit: Edit, tmp_path: Path) -> None:
    for table, column in columns(written, tmp_path):
        if column == "seq":
            continue
        found = edit(f"UPDATE {table} SET {column} = 987654 WHERE seq = 2")
        assert any(words.startswith(f"{table} 2:") for words in found), (table, column, found)


def test_a_small_change_is_found_too(edit: Edit) -> None:
    assert edit("UPDATE outcome SET confidence = confidence + 1e-15 WHERE seq = 1")
    assert edit("UPDATE outcome SET answer = NULL WHERE seq = 4")
    assert edit("UPDATE intent SET most_tokens = 10.5 WHERE seq = 4")
    assert edit("UPDATE record SET fields = replace(fields, ' ', '  ') WHERE seq = 1")


@pytest.mark.parametrize("table", TABLES)
def test_a_removed_row_is_found(table: str, edit: Edit) -> None:
    assert edit(f"DELETE FROM {table} WHERE seq = 2") == [f"{table} 2: removed"]
    assert edit(f"DELETE FROM {table} WHERE seq = 1") == [f"{table} 1: removed"]


@pytest.mark.parametrize("table", TABLES)
def test_a_row_put_in_the_place_of_another_is_found(table: str, edit: Edit) -> None:
    swapped = f"UPDATE {table} SET seq = CASE seq WHEN 1 THEN -2 ELSE -1 END WHERE seq < 3;"
    found = edit(f"{swapped} UPDATE {table} SET seq = -seq WHERE seq < 0")
    assert found[0].startswith(f"{table} 1:")


def test_a_row_sealed_anew_betrays_itself_in_the_next(edit: Edit) -> None:
    row = [1, "0", "sha256:fake", '{"text":"forged"}']
    seal = hashlib.sha256(json.dumps(["", *row], separators=(",", ":")).encode()).hexdigest()[:32]
    statement = f"UPDATE record SET digest = '{row[2]}', fields = '{row[3]}', seal = '{seal}' WHERE seq = 1"
    assert edit(statement) == ["record 2: changed after it was written, or the row before it was"]


def test_anybody_can_derive_the_seals(written: bytes, tmp_path: Path) -> None:
    """With nothing but SQLite, JSON and SHA-256, as the document says."""
    path = tmp_path / "postil.db"
    path.write_bytes(written)
    connection = apsw.Connection(str(path))
    for table in TABLES:
        before = ""
        rows: list[Any] = connection.execute(f"SELECT * FROM {table} ORDER BY seq").fetchall()
        assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
        for *values, seal in rows:
            texts = [value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value for value in values]
            text = json.dumps([before, *texts], ensure_ascii=False, separators=(",", ":"))
            assert hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:32] == seal
            before = seal
    connection.close()


def test_the_heads_name_the_last_rows(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "postil.db"
    path.write_bytes(written)
    journal = Journal(path)
    heads = journal.heads()
    assert {table: number for table, (number, _) in heads.items()} == {
        "record": 4, "gold": 4, "gold_role": 4, "annotator": 3, "intent": 5, "reply": 5, "outcome": 5, "event": 3,
    }  # fmt: skip
    assert all(journal.seal_of(table, number) == seal for table, (number, seal) in heads.items())
    assert journal.seal_of("record", 99) is None
    journal.close()
    fresh = Journal(tmp_path / "fresh.db")
    assert set(fresh.heads().values()) == {(0, "")}
    fresh.close()
