"""From a table of postil.toml, or arguments, to an annotator."""

from pathlib import Path
from typing import Any

import pytest

from postil.engines.openai import OpenAIEngine
from postil.engines.scripted import ScriptedEngine
from postil.errors import DataError, SettingsError
from postil.project.annotators import Annotators, build_annotator, build_engine, described, policy_of, price_of
from postil.project.settings import AnnotatorSettings
from postil.tasks import Task
from postil.tasks.rating import Rating
from postil.types import Capabilities, Demonstration, Engine, Record
from tests.project.making import TASK, engine

SERVER = {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m"}


def settings(**table: Any) -> AnnotatorSettings:
    return AnnotatorSettings.model_validate({**SERVER, **table})


def pool(number: int) -> list[Demonstration]:
    return [
        Demonstration(Record(str(at), {"text": f"text {at}"}), {"label": TASK.labels[at % 2]}) for at in range(number)
    ]


def test_a_key_is_read_from_its_variable_and_only_where_it_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KEY_OF_A_TEST", raising=False)
    with_key = settings(api_key_env="KEY_OF_A_TEST")
    with pytest.raises(SettingsError, match="annotator 'm': the environment variable 'KEY_OF_A_TEST' holds no key"):
        build_engine("m", with_key, Path())
    without = build_engine("m", with_key, Path(), with_key=False)
    monkeypatch.setenv("KEY_OF_A_TEST", "sk-very-secret-key-0123456789")
    keyed = build_engine("m", with_key, Path())
    assert keyed.identity == without.identity
    assert "very-secret" not in f"{keyed.identity}{keyed!r}"


@pytest.mark.parametrize("value", ["", "has a space", "has\na line"])
def test_a_key_that_is_none_is_refused_and_not_shown(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KEY_OF_A_TEST", value)
    with pytest.raises(SettingsError) as caught:
        build_engine("m", settings(api_key_env="KEY_OF_A_TEST"), Path())
    assert not value or value not in str(caught.value)


@pytest.mark.parametrize("table", [{"engine": "opnai"}, {"engine": "openai:x"}, {"engine": "student"}, {"engine": ""}])
def test_an_engine_that_is_none_is_refused(table: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="annotator 'm': `engine` must be"):
        build_engine("m", settings(**table), Path())


def test_a_student_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="students"):
        build_engine("m", settings(engine="student:students/x"), tmp_path)


def test_price_and_policy_are_those_of_the_settings() -> None:
    table = settings(price={"input": 1.5, "output": 2, "cached": 0.1, "date": "2026-11-01"}, concurrency=7, attempts=2)
    price = price_of(table)
    assert price is not None
    assert (price.input, price.output, price.cached, price.date) == (1.5, 2, 0.1, "2026-11-01")
    assert (policy_of(table).concurrency, policy_of(table).attempts) == (7, 2)
    assert price_of(settings()) is None
    assert policy_of(settings()).concurrency == 32
    assert policy_of(settings(engine="local:m.gguf", slots=3)).concurrency == 6


def test_the_one_described_last_is_the_first_and_the_settings_own_are_not_overridden() -> None:
    annotators = Annotators(Path(), {"toml": settings()})
    assert list(annotators) == ["toml"]
    annotators.describe(None, engine(), {"shots": 2})
    annotators.describe("mine", SERVER["engine"], {"base_url": SERVER["base_url"], "model": "m"})
    assert list(annotators) == ["mine", "default", "toml"]
    assert annotators["default"].shots == 2
    assert isinstance(annotators.engine("mine"), OpenAIEngine)
    annotators.describe(None, engine(), {})
    assert list(annotators) == ["default", "mine", "toml"]
    assert annotators["default"].shots == 0
    with pytest.raises(SettingsError, match="'toml' is described in postil"):
        annotators.describe("toml", engine(), {})


async def test_an_engine_that_was_given_is_left_open_and_one_made_here_closed() -> None:
    closed: list[Engine] = []

    class Closing(ScriptedEngine):
        async def aclose(self) -> None:
            closed.append(self)

    annotators = Annotators(Path(), {"toml": settings()})
    given = Closing(lambda _: "pos")
    name = annotators.describe(None, given, {})
    async with annotators.opened(name) as opened:
        assert opened is given
    assert closed == []
    async with annotators.opened("toml") as made:
        assert isinstance(made, OpenAIEngine)


def test_options_are_checked_as_a_table_is() -> None:
    assert described("local", {"shots": 3}).shots == 3
    with pytest.raises(SettingsError, match=r"`annotators\.default\.shots`: expected a whole number, got '3'"):
        described("local", {"shots": "3"})


@pytest.mark.parametrize("demonstrations", ["fixed", "random", "similar"])
def test_demonstrations_are_chosen_as_asked(demonstrations: str) -> None:
    table = settings(shots=4, demonstrations=demonstrations)
    annotator = build_annotator("m", table, TASK, engine(), pool(20))
    request = annotator.request(Record("x", {"text": "another text"}))
    assert len(request.messages) == 2 + 2 * 4
    spec = annotator.spec["demonstrations"]
    assert spec["selector"] == demonstrations
    other = build_annotator("m", table, TASK, engine(), pool(19))
    assert (other.id == annotator.id) is (demonstrations == "fixed")


def test_an_engine_that_reads_bare_records_is_shown_no_demonstrations() -> None:
    bare = ScriptedEngine(lambda _: "pos", capabilities=Capabilities(scores="sequence", reads="record", free=True))
    annotator = build_annotator("m", settings(shots=4), TASK, bare, [])
    assert annotator.selector is None
    assert annotator.calibration == "none"


def test_what_can_change_an_answer_changes_the_id_and_nothing_else_does() -> None:
    def id_of(**table: Any) -> str:
        return build_annotator("m", settings(**table), TASK, engine(), pool(8)).id

    base = id_of()
    assert base == id_of(concurrency=3, attempts=1, attempt_seconds=5.0, price={"input": 1, "output": 1})
    changed = [{"temperature": 0.5}, {"seed": 3}, {"shots": 2}, {"max_tokens": 9}, {"template": "options.zh.v1"}]
    ids = {base, *(id_of(**table) for table in changed)}
    assert len(ids) == 6


@pytest.mark.parametrize(
    ("task", "calibrate", "used"),
    [
        (TASK, "auto", "batch"),
        (Rating("stars", "How many stars?"), "auto", "none"),
        (Rating("stars", "How many stars?"), "batch", "batch"),
    ],
)
def test_ratings_are_not_pulled_towards_equal_shares_unless_asked(task: Task, calibrate: str, used: str) -> None:
    scored = ScriptedEngine(lambda _: "1", capabilities=Capabilities(scores="sequence"))
    assert build_annotator("m", settings(calibrate=calibrate), task, scored, []).calibration == used
