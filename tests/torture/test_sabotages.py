"""The tests bite: every planted fault still fits the source, and some of them are planted here (H10)."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.torture.release import BEGIN, END, Figure, written
from tests.torture.sabotages import ROOT, SABOTAGES, Sabotage, outcome_of

PLANTED = (
    "commits are synced now and then",
    "results go to whoever waits, not to whom they belong",
)


def named(name: str) -> Sabotage:
    [found] = [sabotage for sabotage in SABOTAGES if sabotage.name == name]
    return found


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.name)
def test_a_fault_still_fits_the_source(sabotage: Sabotage) -> None:
    assert sabotage.fits(), f"{sabotage.file} has changed: {sabotage.old!r} must stand there exactly once"
    assert sabotage.old != sabotage.new
    for test in sabotage.tests:
        path, _, name = test.partition("::")
        assert (ROOT / path).exists()
        name = name.partition("[")[0]
        assert not name or f"def {name}(" in (ROOT / path).read_text(encoding="utf-8")


def test_there_are_forty_and_each_is_another() -> None:
    assert len(SABOTAGES) >= 40
    assert max(Counter(sabotage.name for sabotage in SABOTAGES).values()) == 1


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_fault_turns_a_test_red(name: str, tmp_path: Path) -> None:
    assert outcome_of(named(name), tmp_path) == "caught"


def test_what_changes_nothing_is_not_called_caught(tmp_path: Path) -> None:
    harmless = replace(named("seals are not looked at"), new="for words in self._journal.broken_seals(table): ")
    harmless = replace(harmless, tests=("tests/torture/test_sabotages.py::test_there_are_forty_and_each_is_another",))
    assert outcome_of(harmless, tmp_path) == "missed"
    assert outcome_of(replace(harmless, old="what is not there"), tmp_path) == "stale"
    assert outcome_of(replace(harmless, tests=("tests/torture/test_sabotages.py::nothing",)), tmp_path) == "no tests"


# The release table


def test_the_table_takes_the_place_of_the_one_before() -> None:
    page = f"before\n{BEGIN}\nold\n{END}\nafter\n"
    once = written(
        page, [Figure("lost", "0", "0", holds=True, seed="7"), Figure("hung", "0", "1", holds=False)], "Made"
    )
    assert once.startswith("before\n")
    assert once.endswith("after\n")
    assert "| lost | 0 | 0 | 7 |" in once
    assert "| hung | 0 | **missed:** 1 | – |" in once
    assert "old" not in once
    assert written(once, [], "Made again").count(BEGIN) == 1
    with pytest.raises(ValueError, match="expected a page"):
        written("no marks", [], "")
