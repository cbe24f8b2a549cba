"""The checker bites: every planted violation of I1 to I5 is found, and an honest project has none."""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.torture.checker import Evidence, check
from tests.torture.project import Tortured, tortured
from tests.torture.serving import Servers

Change = Callable[[Evidence], Evidence]


@pytest.fixture(scope="module")
def honest(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Tortured:
    scene = servers.scene(seed=5, faults={"500": 0.2, "cut_length": 0.2})
    project = tortured(tmp_path_factory.mktemp("honest") / "p", scene, 30, attempts=8)
    length = project.nonces[3]
    scene.play(seed=5, faults={"500": 0.2, "cut_length": 0.2}, fixed={length: ["length"]})
    assert project.run("annotate", "--json").json["labelled"] == 29
    return project


def evidence(project: Tortured) -> Evidence:
    scene = project.scene
    return Evidence(project.items, scene.asked(), scene.billed(), scene.key, budget_usd=1.0, finished=True)


def problems(project: Tortured, folder: Path, statement: str, change: Change) -> list[str]:
    with (
        closing(sqlite3.connect(project.folder / "postil.db")) as whole,
        closing(sqlite3.connect(folder / "postil.db")) as copy,
    ):
        whole.backup(copy)
        copy.executescript(statement)
    return check(folder, change(evidence(project))).problems


def same(given: Evidence) -> Evidence:
    return given


def test_an_honest_project_has_no_problems_and_figures(honest: Tortured, tmp_path: Path) -> None:
    assert problems(honest, tmp_path, "", same) == []
    found = honest.check(finished=True)
    assert (found.figures["records"], found.figures["annotation"], found.figures["failure"]) == (30, 29, 1)
    assert found.figures["lost"] == found.figures["paid_again"] > 0
    assert found.figures["asked"] == found.figures["intents"] > found.figures["billed"]


EDITS = {
    "I1: no outcome of ['r5']": "DELETE FROM outcome WHERE record = 'r5'",
    "I1: record 'r5' ended twice": """
        CREATE TABLE o AS SELECT * FROM outcome; DROP TABLE outcome; CREATE TABLE outcome AS SELECT * FROM o;
        INSERT INTO outcome SELECT * FROM o WHERE record = 'r5'""",
    "I1: the journal does not hold exactly": "DELETE FROM record WHERE id = 'r5'",
    "I2: record 'r5' has the label": """UPDATE outcome SET answer = '{"label":"purple"}' WHERE record = 'r5'""",
    "I2: record 'r5' has the reply to 'r6'": """
        UPDATE outcome SET intent = (SELECT intent FROM outcome WHERE record = 'r6') WHERE record = 'r5'""",
    "I2: record 'r5': the reply is not its own": """
        UPDATE reply SET completion = (SELECT completion FROM reply AS other JOIN outcome ON outcome.intent =
        other.intent WHERE record = 'r6') WHERE intent = (SELECT intent FROM outcome WHERE record = 'r5')""",
    "I2: record 'r5' has a label and no reply": "UPDATE outcome SET intent = NULL WHERE record = 'r5'",
    "I4: record 'r5' has a label from a reply cut": """UPDATE reply SET completion =
        replace(completion, '"finish":"stop"', '"finish":"length"')
        WHERE intent = (SELECT intent FROM outcome WHERE record = 'r5')""",
    "I4: record 'r3' has a label from no complete answer": """UPDATE outcome SET type = 'annotation',
        answer = '{"label":"alpha"}' WHERE record = 'r3'""",
    "I4: record 'r3' ended as failure without a reason": "UPDATE outcome SET message = NULL WHERE record = 'r3'",
    "left without an intent": "DELETE FROM intent WHERE seq = 3",
    "are on no bill": "UPDATE reply SET input_tokens = input_tokens + 1 WHERE completion IS NOT NULL",
    "I3: intent": "UPDATE reply SET usd = usd * 1.01 WHERE completion IS NOT NULL",
    "outcome 7: does not fit its seal": "UPDATE outcome SET at = 'now' WHERE seq = 7",
}


@pytest.mark.parametrize("words", EDITS)
def test_an_edit_of_the_journal_is_found(words: str, honest: Tortured, tmp_path: Path) -> None:
    found = problems(honest, tmp_path, EDITS[words], same)
    assert any(words in each for each in found), found


def _billed_again(given: Evidence) -> Evidence:
    good = next(line for line in given.billed if line["proof"])
    return replace(given, billed=[*given.billed, good])


def _unasked(given: Evidence) -> Evidence:
    body: dict[str, Any] = json.loads(json.dumps(given.asked[0]["body"]))
    body["messages"][-1]["content"] += "!"
    stranger = {**given.asked[0], "number": 999, "body": body}
    return replace(given, asked=[*given.asked, stranger])


INVOICES: dict[str, Change] = {
    "can be explained": _billed_again,
    "request 999 (": _unasked,
    "I5: billed": lambda given: replace(given, budget_usd=1e-4),
    "I2: record 'r0': the reply is not its own": lambda given: replace(given, key=b"another key"),
    "I4: record 'r0' has a label from no complete": lambda given: replace(given, billed=given.billed[-3:]),
}


@pytest.mark.parametrize("words", INVOICES)
def test_an_invoice_that_does_not_fit_is_found(words: str, honest: Tortured, tmp_path: Path) -> None:
    found = problems(honest, tmp_path, "", INVOICES[words])
    assert any(words in each for each in found), found
