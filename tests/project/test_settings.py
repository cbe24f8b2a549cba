"""postil.toml, read strictly: what is accepted, and what a fault is called. `tests/cli/test_bad_input.py` has more."""

from pathlib import Path
from typing import Any

import pytest

from postil.errors import SettingsError
from postil.project.settings import TaskSettings, parse_settings, parse_task, read_settings
from postil.tasks.classification import Classification
from postil.tasks.kinds import KINDS
from postil.tasks.rating import Rating

LEAST: dict[str, Any] = {"task": {}, "data": {"items": "items.jsonl"}}


def faults(values: dict[str, Any]) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        parse_settings(LEAST | values, "postil.toml")
    return [line.strip() for line in str(caught.value).splitlines()[1:]]


def test_settings_have_defaults_for_all_but_the_data() -> None:
    settings = parse_settings(LEAST | {"annotators": {"m": {"engine": "local"}}}, "here")
    assert settings.gold.demonstration_share == 0.25
    assert settings.annotators["m"].shots == 0
    assert settings.budget.budget().usd is None


def test_whole_numbers_will_do_for_dollars_and_days_need_no_quotes(tmp_path: Path) -> None:
    (tmp_path / "postil.toml").write_text(
        '[task]\nkind = "rating"\nname = "n"\ninstruction = "q"\n[data]\nitems = "i"\n[budget]\nusd = 150\n'
        '[annotators.m]\nengine = "openai"\nprice = { input = 1, output = 2, date = 2026-10-01 }\n'
    )
    settings, task = read_settings(tmp_path)
    assert settings.budget.usd == 150
    assert settings.annotators["m"].price is not None
    assert settings.annotators["m"].price.date == "2026-10-01"
    assert isinstance(task, Rating)


def test_a_bom_and_crlf_are_no_fault(tmp_path: Path) -> None:
    text = '[task]\r\nkind = "rating"\r\nname = "评分"\r\ninstruction = "几分?"\r\n[data]\r\nitems = "i"\r\n'
    (tmp_path / "postil.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    _, task = read_settings(tmp_path)
    assert (task.name, task.language) == ("评分", "zh")


def test_every_fault_is_told_with_its_place() -> None:
    assert faults({"data": {}, "budget": {"usd": "5"}, "annotators": {"m": {"shots": 3, "price": {"input": -1}}}}) == [
        "`data.items`: missing",
        "`annotators.m.engine`: missing",
        "`annotators.m.price.input`: input should be greater than or equal to 0, got -1",
        "`annotators.m.price.output`: missing",
        "`budget.usd`: expected a number, got '5'",
    ]


def test_the_nearest_key_is_named() -> None:
    assert faults({"dta": {}}) == ["`dta`: unknown key; did you mean `data`?"]
    assert faults({"annotators": {"m": {"engine": "local", "scheme": True}}}) == [
        "`annotators.m.scheme`: unknown key; did you mean `schema`?"
    ]
    assert faults({"annotators": {"price": {"engine": "local", "price": {"inputs": 1, "output": 1, "input": 1}}}}) == [
        "`annotators.price.price.inputs`: unknown key; did you mean `input`?"
    ]


def test_a_task_is_held_to_the_parameters_of_its_kind() -> None:
    given = {"kind": "classification", "name": "n", "instruction": "q", "labels": {"a": "the first", "b": ""}}
    task = parse_task(given, "postil.toml")
    assert task == Classification("n", "q", labels={"a": "the first", "b": ""})
    rating = parse_task({"kind": "rating", "name": "n", "instruction": "q", "anchors": {"1": "bad"}}, "postil.toml")
    assert rating == Rating("n", "q", anchors={1: "bad"})
    with pytest.raises(SettingsError, match=r"postil.toml:\n  `task.anchor`: unknown key; did you mean `anchors`\?"):
        parse_task({"kind": "rating", "name": "n", "instruction": "q", "anchor": {}}, "postil.toml")


def test_a_new_kind_brings_its_own_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    class Coin(Rating):
        def __init__(self, name: str, instruction: str, *, metal: str = "gold") -> None:
            super().__init__(name, f"{instruction} ({metal})", low=0, high=1)

    monkeypatch.setattr("postil.project.settings.KINDS", {**KINDS, "coin": Coin})
    task = parse_task({"kind": "coin", "name": "n", "instruction": "heads?", "metal": "brass"}, "here")
    assert task.instruction == "heads? (brass)"
    with pytest.raises(SettingsError, match=r"`task\.metal`: expected text in quotes, got 3"):
        parse_task({"kind": "coin", "name": "n", "instruction": "heads?", "metal": 3}, "here")


def test_the_keys_of_all_kinds_are_listed_for_documents() -> None:
    fields = TaskSettings.model_fields
    assert {"kind", "name", "instruction", "labels", "low", "high", "ordered"} <= fields.keys()
    assert [name for name, field in fields.items() if field.is_required()] == ["kind", "name", "instruction"]
