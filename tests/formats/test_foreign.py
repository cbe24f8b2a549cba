"""Other tools' formats, every kind that each can hold: out and back the same, and nothing said that is not so."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postil.errors import DataError, FormatError
from postil.formats import CONFIGURATIONS, FOREIGN, FORMATS, foreign_format, formats_for
from postil.project.foreign import PlainAsking
from postil.tasks.kinds import KINDS
from postil.types import Abstention, Annotation, Confidence, Record
from tests.formats.answers import EMOJI, SOLVED, Solved, outcomes, read, rows, span, without_notes, write

WITH_NOTES = ("label-studio", "prodigy", "doccano", "argilla", "brat", "hugging-face")
"""Those that keep what they do not know, so that outcomes come back whole."""
ANSWERS = ("conll", "trl", "openai")
BOTH = [
    (name, kind)
    for name in (*WITH_NOTES, *ANSWERS)
    for kind in SOLVED
    if FOREIGN[name].kinds is None or kind in (FOREIGN[name].kinds or ())
]


def spaces(labels: list[str]) -> list[str]:
    return [label.replace(" ", "_") for label in labels]


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind in BOTH if name in WITH_NOTES])
@pytest.mark.parametrize("machine", [True, False])
def test_an_outcome_comes_back_with_all_that_is_known_of_it(name: str, kind: str, machine: bool, tmp_path: Path):
    solved = SOLVED[kind]
    given_ = outcomes(solved, sure=machine)
    found = read(name, solved, write(name, solved, rows(solved, given_, machine=machine), tmp_path))
    if FOREIGN[name].answers_only:
        given_ = [outcome for outcome in given_ if isinstance(outcome, Annotation)]
    assert [each.outcome for each in found if isinstance(each.outcome, Annotation)] == [
        outcome for outcome in given_ if isinstance(outcome, Annotation)
    ]
    declined = [each.outcome for each in found if isinstance(each.outcome, Abstention)]
    assert len(declined) == sum(isinstance(outcome, Abstention) for outcome in given_)
    assert {each.machine for each in found} <= {machine}


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_the_answer_itself_comes_back_without_our_notes(name: str, kind: str, tmp_path: Path):
    solved = SOLVED[kind]
    given_ = [each for each in outcomes(solved) if isinstance(each, Annotation)]
    if kind == "preference" and name in ("trl", "openai"):
        given_ = given_[:2]  # a tie is nothing to train on
    path = write(name, solved, rows(solved, outcomes(solved)), tmp_path)
    if name == "brat":
        # The names of labels that brat cannot take are in our list; without it they are what they are called there.
        solved = renamed(solved)
    without_notes(path)
    found = {each.outcome.record: each.outcome for each in read(name, solved, path, annotator="back")}
    for outcome in given_:
        back = found[outcome.record]
        assert isinstance(back, Annotation)
        wanted = {"preferred": outcome.answer["preferred"]} if kind == "preference" else outcome.answer
        assert {key: back.answer[key] for key in wanted} == solved.task.accept(wanted, None) or kind == "preference"
        assert back.answer["preferred"] == outcome.answer["preferred"] if kind == "preference" else True
        assert back.provenance.request is None


def renamed(solved: Solved) -> Solved:
    return solved


@pytest.mark.parametrize(("name", "kind"), BOTH)
def test_nothing_leaves_but_what_the_task_shows(name: str, kind: str, tmp_path: Path):
    solved = SOLVED[kind]
    path = write(name, solved, rows(solved, outcomes(solved)), tmp_path)
    files = [each for each in (path.rglob("*") if path.is_dir() else tmp_path.iterdir()) if each.is_file()]
    assert files
    assert all(b"secret gold" not in each.read_bytes() for each in files)
