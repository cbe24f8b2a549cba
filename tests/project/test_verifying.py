"""`verify` finds any edit of what the journal says, and what does not follow from it though it was sealed again."""
# ruff: noqa: S608 - the tables named in statements are ours

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import apsw
import pytest

from postil.canonical import canonical_json, digest
from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import ContextExceeded, ServerFault
from postil.project.verifying import Verification, Verifier
from postil.runner import Price, PromptedAnnotator
from postil.store import Journal
from postil.store.sealing import TABLES
from postil.types import Annotation, Capabilities, Completion, Record, Request, Usage
from tests.runner import scene

PRICED = Capabilities(scores="sequence")
RECORDS = [*map(scene.record, range(24)), Record("empty", {"text": ""}), Record("again", {"text": "text nonce-3"})]
Verify = Callable[..., Verification]


def reply(request: Request) -> Reply:
    text = scene.asked_about(request)
    if "nonce-5\n" in text:
        return ServerFault("always")
    if "nonce-6\n" in text:
        return ContextExceeded("too long")
    label = scene.truth(text)
    if "nonce-7\n" in text:
        return Completion(label, "length", Usage(20, 16))
    shares = tuple(0.6 if label == each else 0.2 for each in scene.LABELS)
    return Completion(label, "stop", Usage(20, 1, 5), "model-1", shares)


def the_annotator() -> PromptedAnnotator:
    return scene.annotator(ScriptedEngine(reply, capabilities=PRICED), calibration="batch")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The journal of a whole project: a run with its prior, failures of all sorts, gold, an import."""
    folder = tmp_path_factory.mktemp("journal")
    with scene.journal(folder, RECORDS) as journal:
        journal.add_gold([("r1", {"label": "neutral"})], "gold.csv")
        journal.give_roles([("r1", "certificate")])
        asyncio.run(scene.run(journal, the_annotator(), price=Price(1.0, 2.0, 0.5, "2026-11-01")))
        imported = journal.add_annotator("person", {"source": "import", "name": "person"})
        journal.add_outcomes(imported, [Annotation("r1", "person", {"label": "neutral"})])
        # Rows enough for a note: then looks count on from it.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("postil.store.queries._WORTH_NOTING", 1)
            journal.count_records()
    return (folder / "postil.db").read_bytes()


def verified(path: Path, annotators: Mapping[str, PromptedAnnotator] | None = None) -> Verification:
    annotator = the_annotator()
    journal = Journal(path)
    try:
        return Verifier(journal, {annotator.id: annotator} if annotators is None else annotators).verify()
    finally:
        journal.close()


def reseal(connection: apsw.Connection) -> None:
    """Do what somebody would who knows how seals are made: seal every row again, and note the new heads."""
    heads: dict[str, dict[int, str]] = {}
    for table in TABLES:
        before, seals = "", dict[int, str]()
        for number, *values, _ in connection.execute(f"SELECT * FROM {table} ORDER BY seq").fetchall():
            if table == "event":
                body = json.loads(str(values[2]))
                if "heads" in body:
                    known = {name: each for name, each in body["heads"].items() if name in heads}
                    body["heads"] |= {name: [last, heads[name].get(last, "")] for name, (last, _) in known.items()}
                    if "event" in body["heads"]:
                        body["heads"]["event"] = [body["heads"]["event"][0], seals.get(body["heads"]["event"][0], "")]
                    values[2] = canonical_json(body).decode()
                    connection.execute("UPDATE event SET body = ? WHERE seq = ?", (values[2], number))
            text = json.dumps([before, number, *values], ensure_ascii=False, separators=(",", ":"))
            before = seals[int(str(number))] = hashlib.sha256(text.encode()).hexdigest()[:32]
            connection.execute(f"UPDATE {table} SET seal = ? WHERE seq = ?", (before, number))
        heads[table] = seals


@pytest.fixture
def edited(written: bytes, tmp_path: Path) -> Verify:
    """Verify a copy of the journal after an edit; `forged` seals it again."""

    def edit(statement: str, bindings: tuple[Any, ...] = (), *, forged: bool = False) -> Verification:
        path = tmp_path / "postil.db"
        path.write_bytes(written)
        connection = apsw.Connection(str(path))
        connection.execute(statement, bindings)
        assert connection.changes() > 0, statement
        if forged:
            reseal(connection)
        connection.close()
        return verified(path)

    return edit


def test_an_honest_journal_is_right_and_everything_was_looked_at(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "postil.db"
    path.write_bytes(written)
    found = verified(path)
    assert (found.problems, found.ok) == ((), True)
    assert found.checked == {
        "file": 1, "rows": found.checked["rows"], "heads": 16, "records": 26, "gold": 1, "totals": 1,
        "tokens": 22, "costs": 22,
        "annotators": 2, "priors": 1, "answers": 23, "prompts": 25, "failures": 3,
        "outcomes with a record": 2, "outcomes made elsewhere": 1, "conservation": 2,
    }  # fmt: skip
    assert found.to_json() == {"ok": True, "checked": dict(found.checked), "problems": [], "head": found.head}
    assert found.head == verified(path).head != ""


def test_sealing_again_what_was_not_edited_changes_nothing(edited: Verify) -> None:
    assert edited("UPDATE meta SET value = value", forged=True).ok


EDITS = {
    "a record's fields": "UPDATE record SET fields = replace(fields, 'text nonce', 'test nonce') WHERE id = 'r1'",
    "a record's id": "UPDATE record SET id = 'r999' WHERE id = 'r1'",
    "an answer": """UPDATE outcome SET answer = '{"label":"purple"}' WHERE record = 'r1'""",
    "two answers swapped": "UPDATE outcome SET intent = (SELECT intent FROM outcome WHERE record = 'r2')"
    " WHERE record = 'r1'",
    "a probability": "UPDATE outcome SET probabilities = replace(probabilities, ':0.', ':0.0') WHERE record = 'r1'",
    "a confidence": "UPDATE outcome SET confidence = confidence + 0.001 WHERE record = 'r1'",
    "a reply's text": 'UPDATE reply SET completion = replace(completion, \'"text":"\', \'"text":"not \')'
    " WHERE intent = 3",
    "a reply's probability": "UPDATE reply SET completion = replace(completion, '0.6', '0.59')"
    " WHERE intent IN (SELECT intent FROM outcome WHERE record = 'r1')",
    "a token count": "UPDATE reply SET input_tokens = input_tokens + 1 WHERE intent = 3",
    "a cost": "UPDATE reply SET usd = usd * 1.0001 WHERE intent = 3",
    "a price": "UPDATE event SET body = replace(body, '\"input\":1.0', '\"input\":0.9') WHERE kind = 'run'",
    "an annotator's spec": "UPDATE annotator SET spec = replace(spec, 'What is the tone', 'What was the tone')"
    " WHERE name = 'double'",
    "a failure's class": "UPDATE outcome SET failure_class = 'refused' WHERE record = 'r5'",
    "why a record was not asked about": "UPDATE outcome SET message = 'no reason' WHERE record = 'empty'",
    "an answer made another record's failure": """UPDATE outcome SET type = 'failure', answer = NULL, confidence = NULL,
        confidence_kind = NULL, probabilities = NULL, intent = other.intent, failure_class = other.failure_class,
        message = other.message FROM (SELECT * FROM outcome WHERE record = 'r5') AS other WHERE outcome.record = 'r1'
        AND outcome.annotator LIKE 'sha256:%' AND outcome.type = 'annotation'""",
    "a failure made an answer": """UPDATE outcome SET type = 'annotation', answer = '{"label":"neutral"}',
        failure_class = NULL, message = NULL WHERE record IN ('r7')""",
    "an answer made an abstention": "UPDATE outcome SET type = 'abstention', message = 'none' WHERE record = 'r1'",
    "an answer without its reply": "UPDATE outcome SET intent = NULL WHERE record = 'r1'",
    "a prior": "UPDATE event SET body = replace(body, '\"prior\":[0.', '\"prior\":[0.1') WHERE kind = 'prior'",
    "which request was sent": "UPDATE intent SET request = replace(request, 'a', 'b') WHERE seq = 3",
    "a noted total": "UPDATE event SET body = replace(body, '\"records\":26', '\"records\":27') WHERE kind = 'totals'",
    "money in a noted total": "UPDATE event SET body ="
    " replace(body, '\"sent\":[', '\"sent\":[[9,\"x\",1,0,0,0,0,0,1.5,0],') WHERE kind = 'totals'",
    "a reply removed": "DELETE FROM reply WHERE intent = (SELECT intent FROM outcome WHERE record = 'r1')",
    "a reply of the prior removed": "DELETE FROM reply WHERE intent = 2",
}


@pytest.mark.parametrize("statement", EDITS.values(), ids=EDITS)
def test_an_edit_is_found(statement: str, edited: Verify) -> None:
    found = edited(statement)
    assert not found.ok
    assert found.head == "", "a head of what is wrong would be kept by somebody"


@pytest.mark.parametrize("statement", EDITS.values(), ids=EDITS)
def test_an_edit_is_found_by_what_follows_from_the_rest_even_if_all_was_sealed_again(
    statement: str, edited: Verify
) -> None:
    assert not edited(statement, forged=True).ok


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("which", ["min", "max"])
def test_a_removed_row_is_found_at_the_beginning_and_at_the_end(which: str, table: str, edited: Verify) -> None:
    # What comes after the end of the last run is vouched for only by a head that was kept elsewhere.
    late = {"outcome": "annotator LIKE 'sha256:%' AND record <> 'r1'", "annotator": "name = 'double'"}.get(table, "1")
    if (table, which) in {("event", "max"), ("outcome", "max"), ("annotator", "max")}:
        late += " AND seq < (SELECT max(seq) FROM " + table + ")"
    found = edited(f"DELETE FROM {table} WHERE seq = (SELECT {which}(seq) FROM {table} WHERE {late})")
    assert not found.ok
    assert any(table in words for words in found.problems)


def test_what_was_removed_at_the_very_end_is_found_by_a_head_kept_elsewhere(
    written: bytes, edited: Verify, tmp_path: Path
) -> None:
    honest = tmp_path / "honest.db"
    honest.write_bytes(written)
    shortened = edited("DELETE FROM outcome WHERE seq = (SELECT max(seq) FROM outcome)")
    assert shortened.ok, "by itself the journal cannot know"
    assert shortened.head != verified(honest).head


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        # At these prices the cost stays as it was.
        ("UPDATE reply SET input_tokens = input_tokens + 2, output_tokens = output_tokens - 1 WHERE intent = 3",
         "request 3: its tokens"),
        (EDITS["a prior"], "annotator 'double': its prior"),
        (EDITS["a reply of the prior removed"], "annotator 'double': its prior"),
        (EDITS["two answers swapped"], "annotator 'double', record 'r1': its prompt"),
        (EDITS["which request was sent"], "its prompt"),
        (EDITS["a noted total"], "totals: 27 records were noted, and there are 26"),
        (EDITS["money in a noted total"], "totals: (1, 0, 0, 0, 0, 0, 1.5, 0, 0) was noted for requests"),
        ("UPDATE gold SET answer = '7'", "gold 1: expected an answer, got '7'"),
        (EDITS["a record's fields"], "record 'r1': its fields"),
        (EDITS["a record's id"], "annotator 'double': outcomes of records that are there"),
    ],
)  # fmt: skip
def test_each_fact_is_checked_by_itself(statement: str, words: str, edited: Verify) -> None:
    assert any(words in problem for problem in edited(statement, forged=True).problems)


def test_messages_say_what_stands_where(edited: Verify) -> None:
    totals, words = edited(EDITS["a cost"], forged=True).problems
    assert totals.startswith("totals: ")
    assert words.startswith("request 3: its cost: the journal says ")
    found = edited("""UPDATE outcome SET answer = '{"label":"neutral"}' WHERE record = 'r1'""", forged=True)
    assert any("annotator 'double', record 'r1': the answer in its reply" in words for words in found.problems)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE record SET fields = '{' WHERE id = 'r1'",
        "UPDATE record SET fields = x'ff00ff' WHERE id = 'r1'",
        "UPDATE reply SET completion = '{}' WHERE intent = 3",
        "UPDATE reply SET completion = 'null' WHERE intent = 3",
        "UPDATE outcome SET probabilities = '[1]' WHERE record = 'r1'",
        "UPDATE outcome SET answer = '7' WHERE record = 'r1'",
        "UPDATE outcome SET type = 'rubbish' WHERE record = 'r1'",
        "UPDATE event SET body = '[]' WHERE kind = 'prior'",
        "UPDATE event SET body = '{}' WHERE kind = 'run'",
        "UPDATE event SET body = '{}' WHERE kind = 'totals'",
        "UPDATE gold SET answer = '{'",
        "UPDATE annotator SET spec = '3'",
        "DROP TABLE gold",
    ],
)
def test_rubbish_is_a_problem_and_no_crash(statement: str, written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "postil.db"
    path.write_bytes(written)
    connection = apsw.Connection(str(path))
    connection.execute(statement)
    connection.close()
    assert not verified(path).ok


def in_use(content: bytes, at: int) -> bool:
    """Whether a byte is part of a row or an index entry; pages that were split keep what nobody reads any more."""
    page = at // 4096 * 4096
    begins = int.from_bytes(content[page + 5 : page + 7], "big")
    return page > 0 and at - page >= begins


@pytest.mark.parametrize("needle", [b"nonce-", b'"label":"', b'"text":"', b'"input":', b"2026-11", b"sha256:"])
def test_a_byte_that_rotted_on_the_disk_is_found(needle: bytes, written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "postil.db"
    at = [found.end() for found in re.finditer(re.escape(needle), written) if in_use(written, found.end())]
    # Evenly over the file: tables and indexes, the first and the last of them.
    for start in at[:: len(at) // 4 or 1]:
        content = bytearray(written)
        content[start] ^= 0x01
        path.write_bytes(content)
        for left in ("-wal", "-shm"):
            path.with_name(path.name + left).unlink(missing_ok=True)
        assert not verified(path).ok, start


def test_another_annotators_answers_are_counted_not_judged(written: bytes, tmp_path: Path) -> None:
    path = tmp_path / "postil.db"
    path.write_bytes(written)
    found = verified(path, {})
    assert found.ok
    assert found.checked["outcomes of annotators no longer in the settings"] == 24
    assert "answers" not in found.checked


def test_a_long_list_of_problems_is_cut_and_says_so(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 400):
        pass
    connection = apsw.Connection(str(tmp_path / "postil.db"))
    connection.execute("UPDATE record SET fields = '{}'")
    connection.close()
    found = verified(tmp_path / "postil.db", {})
    assert len(found.problems) == 201
    assert found.problems[-1] == "and 600 more"


def test_a_spec_must_be_that_of_its_id(edited: Verify) -> None:
    forged = digest({"another": "spec"})
    found = edited("UPDATE annotator SET id = ? WHERE name = 'double'", (forged,), forged=True)
    assert any("annotator 'double': its spec" in words for words in found.problems)
