"""Carrying on: records that failed, requests that were lost, and what is said before anything is asked."""

import logging
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import ServerFault, SettingsError
from postil.project import Project
from postil.project.annotators import described, policy_of
from postil.project.running import failure_classes
from postil.runner.lost import OpenRequests
from postil.types import Capabilities, Completion, Request, Usage
from tests.cli.command import openai, write_project
from tests.project import making

SCORED = Capabilities(scores="sequence", free=True)


def flaky(request: Request) -> Reply:
    """Answer nonsense about one record and nothing about another, the first time."""
    text = making.asked_text(request)
    if not request.replicate and text == making.text_of(3):
        return "purple"
    if not request.replicate and text == making.text_of(4):
        return ServerFault("tired")
    return making.right(request)


def scored(request: Request) -> Completion:
    shares = (0.8, 0.2) if "fine" in making.asked_text(request) else (0.3, 0.7)
    return Completion(making.right(request), "stop", Usage(1, 1), choice_probabilities=shares)


def quick(engine: ScriptedEngine) -> dict[str, Any]:
    return {"engine": engine, "attempts": 1, "repairs": 0}


def test_records_that_failed_are_asked_about_anew_on_request(tmp_path: Path) -> None:
    with making.project(tmp_path, making.items(10)) as project:
        engine = ScriptedEngine(flaky)
        first = project.annotate(**quick(engine))
        assert dict(first.failures) == {"outside_labels": 1, "provider_error": 1}
        assert project.annotate(**quick(engine)).requests == 0, "a failure is an outcome"
        some = project.annotate(**quick(engine), retry_failed=["provider_error"])
        assert (dict(some.failures), some.requests) == ({"outside_labels": 1}, 1)
        rest = project.annotate(**quick(engine), retry_failed=True)
        assert (rest.labelled, rest.failed, rest.requests) == (10, 0, 1)
        assert project.verify().problems == ()


def test_a_limit_counts_records_asked_about_anew(tmp_path: Path) -> None:
    with making.project(tmp_path, making.items(10)) as project:
        engine = ScriptedEngine(flaky)
        project.annotate(**quick(engine))
        assert project.annotate(**quick(engine), retry_failed=True, limit=1).failed == 1


def test_a_class_of_failures_that_is_none_is_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with making.project(tmp_path, making.items(4)) as project:
        engine = making.engine()
        with pytest.raises(SettingsError, match="'tired'"):
            project.annotate(engine=engine, retry_failed=["timeout", "tired"])
        assert engine.requests == []
    assert {"truncated", "timeout", "input_truncated", "cost_cap", "rejected", "provider_error"} <= failure_classes()


class Dying(ScriptedEngine):
    """Breaks while it answers the fourth request: nobody knows what came of it."""

    def __init__(self) -> None:
        super().__init__(making.right)
        self.billed: Counter[str] = Counter()

    async def complete(self, request: Request) -> Completion:
        self.billed[making.asked_text(request)] += 1
        if self.billed.total() == 4:
            raise ZeroDivisionError
        return await super().complete(request)


def broken_off(project: Project) -> Dying:
    engine = Dying()
    with pytest.raises(ZeroDivisionError):
        project.annotate(engine=engine, concurrency=1)
    return engine


def test_what_an_earlier_run_left_open_is_told_and_sent_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with making.project(tmp_path, making.items(10)) as project:
        engine = broken_off(project)
        result = project.annotate(engine=engine, concurrency=1)
        assert (result.open_intents, result.open_intents_usd, result.held, result.labelled) == (1, 0.0, 0, 10)
        assert "1 requests of earlier runs have no known outcome" in caplog.text
        assert "they are sent again" in caplog.text
        assert project.annotate(engine=engine, concurrency=1).open_intents == 0, "known by now"


@pytest.mark.parametrize("how", ["argument", "setting", "nobody to ask", "told to hold"])
def test_what_may_have_been_paid_for_can_be_held(how: str, tmp_path: Path) -> None:
    asked: list[OpenRequests] = []

    def decide(found: OpenRequests) -> bool:
        asked.append(found)
        return False

    options: dict[str, dict[str, Any]] = {
        "argument": {"lost": "hold"},
        "setting": {},
        "nobody to ask": {"lost": "ask"},
        "told to hold": {"lost": "ask", "decide": decide},
    }
    with making.project(tmp_path, making.items(10)) as project:
        engine = broken_off(project)
        if how == "setting":
            name = project.annotators.describe(None, engine, {"concurrency": 1, "lost": "hold"})
            result = project.annotate(name)
        else:
            result = project.annotate(engine=engine, concurrency=1, **options[how])
        assert (result.held, result.pending, result.labelled) == (1, 1, 9)
        assert max(engine.billed.values()) == 1
        assert [found.requests for found in asked] == ([1] if how == "told to hold" else [])
        assert project.annotate(engine=engine, concurrency=1, lost="ask", decide=lambda _: True).labelled == 10


def test_a_few_records_are_told_of_the_prior_that_comes_first(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with making.project(tmp_path, making.items(60, gold=0), gold=None) as project:
        engine = ScriptedEngine(scored, capabilities=SCORED)
        name = project.annotators.describe("scored", engine, {"concurrency": 1})
        ahead = project.plan(name)
        assert (ahead.requests, ahead.prior_requests) == (60, 60)
        with caplog.at_level(logging.WARNING, "postil"):
            project.annotate(name, limit=5)
        assert "measured first, with 60 requests for 5 records to label" in caplog.text
        assert len(engine.requests) == 60
        caplog.clear()
        assert project.plan(name).prior_requests == 0
        project.annotate(name)
        assert (len(engine.requests), caplog.text) == (60, ""), "their replies served the labels"


def test_inputs_without_content_are_counted_in_the_plan(tmp_path: Path) -> None:
    with making.project(tmp_path, making.items(10, gold=0), gold=None) as project:
        name = project.annotators.describe("scored", ScriptedEngine(scored, capabilities=SCORED), {})
        ahead = project.plan(name)
        assert (ahead.requests, ahead.prior_requests, ahead.unusable) == (13, 3, 0)
        assert project.annotate(name).requests == 13


def test_the_settings_say_how_fast_a_run_may_be() -> None:
    settings = described("openai", {"requests_per_minute": 60.0, "tokens_per_minute": 9000.0, "lost": "hold"})
    policy = policy_of(settings)
    assert (policy.requests_per_minute, policy.tokens_per_minute, settings.lost) == (60.0, 9000.0, "hold")
    with pytest.raises(SettingsError, match="requests_per_minute"):
        described("openai", {"requests_per_minute": 0.0})


def test_the_state_of_a_project_is_told_without_loading_what_asks(tmp_path: Path) -> None:
    write_project(tmp_path, {"m": openai("http://127.0.0.1:9/v1"), "small": {"engine": "local"}})
    code = (
        "import sys; from postil.project import Project\n"
        f"with Project({str(tmp_path)!r}) as project: project.status('m')\n"
        "sys.exit(bool({'aiohttp', 'httptools', 'xllamacpp'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
