"""The Python API of a project, with the double in the place of a model."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

from postil.engines.scripted import ScriptedEngine
from postil.errors import AuthenticationFailed, RateLimited, SettingsError, StoreError
from postil.project import Project
from postil.tasks.rating import Rating
from postil.types import Budget, Capabilities, Completion, Request, Usage
from tests.cli.command import snapshot, write_jsonl
from tests.project.making import TASK, asked, asked_text, engine, items, project, right


def test_the_ten_lines_of_the_design(tmp_path: Path) -> None:
    with project(tmp_path, items(60)) as made:
        result = made.annotate(engine=engine(), shots=8)
        assert (result.labelled, result.failed, result.pending, result.annotator) == (60, 0, 0, "default")
        found = made.assess()
        assert found.metrics["accuracy"].value == 1
        assert found.metrics["accuracy"].low < 1
        assert found.annotator == "default"


def test_without_gold_accuracy_is_unknown(tmp_path: Path) -> None:
    with project(tmp_path, items(5, gold=0), gold=None) as made:
        made.annotate(engine=engine())
        found = made.assess()
        assert (found.gold, found.coverage, dict(found.metrics)) == (0, None, {})
        assert any("accuracy unknown" in note for note in found.notes)


def test_before_annotating_there_are_no_figures(tmp_path: Path) -> None:
    with project(tmp_path, items(5), annotators={"m": {"engine": "local"}}) as made:
        found = made.assess()
        assert found.metrics == {}
        assert found.coverage is not None
        assert found.coverage.value == 0
        assert any("accuracy unknown" in note for note in found.notes)


def test_what_one_session_described_the_next_one_finds(tmp_path: Path) -> None:
    with project(tmp_path, items(6)) as made:
        made.annotate(engine=engine())
        made.annotate("mean", engine=ScriptedEngine(lambda _: "neg", name="mean"))
        assert made.assess().annotator == "mean"
    with Project(tmp_path / "project") as again:
        assert again.assess("default").metrics["accuracy"].value == 1
        assert again.assess("mean").metrics["accuracy"].value == 0.5
        assert again.export(tmp_path / "out.jsonl", "mean") == 6
        with pytest.raises(SettingsError, match="known by its annotations only"):
            again.annotate("mean")
        # Described again it is the same annotator, and nothing is left to do.
        double = engine()
        assert again.annotate(engine=double).labelled == 6
        assert asked(double) == []


def test_arguments_that_cannot_be_are_refused(tmp_path: Path) -> None:
    with project(tmp_path, items(2), annotators={"m": {"engine": "local"}}) as made:
        with pytest.raises(SettingsError, match="expected `engine` beside 'shots'"):
            made.annotate(shots=3)
        with pytest.raises(SettingsError, match=r"`annotators\.default\.shotz`: unknown key; did you mean `shots`"):
            made.annotate(engine=engine(), shotz=3)
        with pytest.raises(SettingsError, match=r"'m' is described in postil\.toml"):
            made.annotate("m", engine=engine())
        with pytest.raises(SettingsError, match="expected a limit of 0 or more"):
            made.annotate(engine=engine(), limit=-1)
        with pytest.raises(SettingsError, match="expected a budget of 0 or more tokens, got -5"):
            made.annotate(engine=engine(), budget=Budget(tokens=-5))
        priced = ScriptedEngine(right, capabilities=Capabilities())
        with pytest.raises(SettingsError, match="the budget is 1 dollars, and its price is unknown"):
            made.annotate(engine=priced, budget=Budget(usd=1))
        assert made.journal.annotators() == []


def test_a_price_is_counted_and_a_budget_kept(tmp_path: Path) -> None:
    with project(tmp_path, items(10)) as made:
        double = ScriptedEngine(
            lambda _: Completion("pos", "stop", Usage(100, 1)), capabilities=Capabilities(context_tokens=2000)
        )
        price = {"input": 10_000, "output": 0}
        result = made.annotate(engine=double, price=price, budget=Budget(usd=5.5), concurrency=1)
        assert result.stopped == "budget"
        assert result.usd is not None
        assert 0 < result.usd <= 5.5
        assert result.labelled == len(double.requests) == round(result.usd)
        assert made.status()["usd"] == result.usd


async def test_every_verb_that_asks_has_an_async_twin_and_the_others_work_beside_a_loop(tmp_path: Path) -> None:
    with project(tmp_path, items(8)) as made:
        result = await made.aannotate(engine=engine(), limit=3)
        assert result.labelled == 3
        assert made.annotate(engine=engine()).labelled == 8
        assert made.assess().metrics["accuracy"].n == 8
        assert made.verify().ok
        assert made.status()["labelled"] == 8


def test_preview_and_plan_ask_what_they_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    double = engine()
    monkeypatch.setattr("postil.project.annotators.build_engine", lambda *_, **__: double)
    with project(tmp_path, items(12), annotators={"m": {"engine": "local"}}) as made:
        plan = made.plan()
        assert (plan.pending, plan.requests, plan.usd, plan.accuracy, plan.seconds) == (12, 12, 0.0, None, None)
        assert plan.prompt_tokens is not None
        assert plan.prompt_tokens.low <= plan.prompt_tokens.value <= plan.prompt_tokens.high
        assert double.requests == []
        previews = made.preview(n=3)
        assert [preview.reply for preview in previews] == [right(request) for request in double.requests]
        assert [preview.messages for preview in previews] == [request.messages for request in double.requests]
        assert made.status()["labelled"] == 0
        probed = made.plan(probe=5)
        assert (probed.pending, len(double.requests)) == (7, len({*asked(double)}))
        assert probed.accuracy is not None
        assert probed.accuracy.n == 5


def test_a_probe_that_ends_early_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    toml = tmp_path / "project" / "postil.toml"
    with project(tmp_path, items(6), budget={"requests": 2}) as made:
        made.annotators.describe("m", engine(), {})
        assert made.plan("m", probe=4).pending == 4
        assert "the probe stopped before its end: budget" in caplog.text
    assert "requests = 2" in toml.read_text()


def test_a_plan_counts_equal_texts_once_and_what_cannot_be_asked_not_at_all(tmp_path: Path) -> None:
    rows = [{"id": str(at), "text": "word " * (at % 30 + 1)} for at in range(300)]
    double = engine()
    with project(tmp_path, [*rows, {"id": "none", "text": ""}], gold=None) as made:
        made.annotators.describe("m", double, {})
        plan = made.plan()
        result = made.annotate(engine=double)
        assert result.failures == {"empty_record": 1}
        assert (plan.requests, plan.unusable) == (30, 1)
        assert plan.input_tokens == result.input_tokens


def test_a_plan_counts_equal_texts_each_by_itself_where_each_reply_bears_its_records_mark(tmp_path: Path) -> None:
    rows = [{"id": str(at), "text": "word " * (at % 5 + 1)} for at in range(40)]
    double = engine()
    options: dict[str, Any] = {"echo": True, "repairs": 0}
    with project(tmp_path, rows, gold=None) as made:
        made.annotators.describe("m", double, options)
        plan = made.plan("m")
        result = made.annotate("m", engine=double, **options)
        assert (plan.requests, result.requests) == (40, 40)
        assert plan.input_tokens == result.input_tokens


def test_a_plan_from_few_prompts_is_near_what_came(tmp_path: Path) -> None:
    rows = [{"id": str(at), "text": f"{at} " + "word " * (at * at % 997)} for at in range(600)]
    double = engine()
    with project(tmp_path, rows, gold=None) as made:
        made.annotators.describe("m", double, {})
        plan = made.plan()
        result = made.annotate(engine=double)
        assert plan.prompt_tokens is not None
        assert plan.prompt_tokens.n == 50
        assert plan.input_tokens == pytest.approx(result.input_tokens, rel=0.01)
        assert double.requests


def test_a_text_too_long_for_the_context_is_foreseen(tmp_path: Path) -> None:
    rows = [{"id": str(at), "text": f"{at} " + "word " * (1000 * (at % 2))} for at in range(40)]
    with project(tmp_path, rows, gold=None) as made:
        double = ScriptedEngine(right, capabilities=Capabilities(context_tokens=1000, free=True))
        made.annotators.describe("m", double, {})
        plan = made.plan()
        assert (plan.requests, plan.unusable) == (20, 20)
        assert dict(made.annotate(engine=double).failures) == {"context_exceeded": 20}


def test_equal_texts_are_asked_once(tmp_path: Path) -> None:
    rows = [{"id": str(at), "text": f"fine {at % 3}"} for at in range(30)]
    with project(tmp_path, rows, gold=None) as made:
        double = engine()
        result = made.annotate(engine=double)
        assert (result.labelled, result.requests, len(double.requests)) == (30, 3, 3)


def test_a_provider_that_refuses_leaves_records_pending(tmp_path: Path) -> None:
    def reply(request: Request) -> Any:
        return AuthenticationFailed("the key is wrong") if "007" in asked_text(request) else right(request)

    with project(tmp_path, items(20)) as made:
        result = made.annotate(engine=ScriptedEngine(reply), concurrency=1)
        assert (result.stopped, result.labelled, result.pending) == ("provider", 7, 13)
        assert isinstance(result.error, AuthenticationFailed)
        assert result.to_json()["error"] == "the key is wrong"
        # Its identity is the same, so it goes on.
        double = engine()
        assert made.annotate(engine=double).labelled == 20
        assert len(double.requests) == 13


def test_a_run_can_be_interrupted_from_another_thread(tmp_path: Path) -> None:
    with project(tmp_path, items(50)) as made:
        slow = ScriptedEngine(right, seconds=0.02)
        result = made.annotate(
            engine=slow, concurrency=2, on_start=lambda runner: threading.Timer(0.1, runner.interrupt).start()
        )
        assert result.stopped == "interrupted"
        assert 0 < result.labelled < 50
        assert result.labelled == len(slow.requests)
        assert made.annotate(engine=engine()).labelled == 50


def test_progress_is_told(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    with project(tmp_path, items(5)) as made:
        made.annotate(engine=engine(), on_progress=lambda progress: seen.append((progress.done, progress.total)))
    assert seen[-1] == (5, 5)


def test_transient_faults_are_failures_once_patience_ends(tmp_path: Path) -> None:
    with project(tmp_path, items(2)) as made:
        result = made.annotate(engine=ScriptedEngine(lambda _: RateLimited("slow down")), attempts=1)
        assert (result.failed, dict(result.failures)) == (2, {"rate_limited": 2})


def test_a_project_closed_is_opened_again_when_it_is_needed(tmp_path: Path) -> None:
    made = project(tmp_path, items(3))
    made.close()
    made.close()
    assert made.status()["records"] == 3
    made.close()


def test_create_makes_all_or_nothing(tmp_path: Path) -> None:
    (tmp_path / "items.jsonl").write_text('{"text": "a"}\n{"text": 3}\nno json\n')
    before = snapshot(tmp_path)
    with pytest.raises(Exception, match=r"items\.jsonl, line 3"):
        Project.create(tmp_path / "a" / "b", TASK, items=tmp_path / "items.jsonl")
    assert snapshot(tmp_path) == before


def test_create_writes_what_it_was_given(tmp_path: Path) -> None:
    task = Rating("stars", "How many\nstars?", low=0, high=10, anchors={0: "none", 10: 'all "of" them'})
    (tmp_path / "items.csv").write_text("key,text\n1,a\n")
    (tmp_path / "gold.csv").write_text("id,rating\n1,3\n")
    annotators = {"a model": {"engine": "openai", "base_url": "http://127.0.0.1:9/v1", "model": "m", "shots": 0}}
    with Project.create(
        tmp_path / "p",
        task,
        items=tmp_path / "items.csv",
        gold=tmp_path / "gold.csv",
        id_field="key",
        annotators=annotators,
        budget={"usd": 3},
    ) as made:
        assert made.task == task
        assert (made.settings.data.items, made.settings.data.gold) == ("../items.csv", "../gold.csv")
        assert made.settings.budget.usd == 3
        assert list(made.annotators) == ["a model"]
        assert made.journal.gold() == {"1": {"rating": 3}}
    text = (tmp_path / "p" / "postil.toml").read_text()
    assert 'instruction = "How many\\nstars?"' in text
    assert "low = 0" in text


def test_an_engine_that_was_given_stays_open_and_one_made_here_is_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[str] = []

    class Closing(ScriptedEngine):
        async def aclose(self) -> None:
            closed.append(str(self.identity["name"]))

    monkeypatch.setattr("postil.engines.local.LocalEngine", lambda *_, **__: Closing(right, name="made"))
    with project(tmp_path, items(4), annotators={"m": {"engine": "local"}}) as made:
        made.annotate(engine=Closing(right, name="given"))
        made.plan("default")
        assert made.verify().ok
        assert closed == ["made"]
        made.annotate("m")
        made.plan("m")
        made.preview("m")
        assert closed == ["made"] * 4


def test_an_annotator_that_would_answer_otherwise_is_another_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with project(tmp_path, items(6)) as made:
        made.annotate(engine=engine())
        made.annotate(engine=engine(), concurrency=3)
        assert "is not what it was" not in caplog.text
        result = made.annotate(engine=engine(), temperature=0.5)
        assert result.requests == 6
        assert "annotator 'default' is not what it was (sampling changed): its 6 annotations of before" in caplog.text


def test_labels_of_before_are_pointed_to_where_gold_that_may_be_shown_was_added(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    double = engine()
    monkeypatch.setattr("postil.project.annotators.build_engine", lambda *_, **__: double)
    settings = {"m": {"engine": "local", "shots": 2}}
    with project(tmp_path, items(12, gold=6), annotators=settings) as made:
        assert made.annotate("m").labelled == 12
        [(earlier, _, _)] = made.journal.annotators()
        made.status("m")
        assert "is not what it was" not in caplog.text
    write_jsonl(tmp_path / "items.jsonl", items(12, gold=12))
    with Project(tmp_path / "project") as made:
        assert made.status("m")["labelled"] == 0
        says = "(demonstrations changed): its 12 annotations of before stay, and do not count for it; they are in the"
        assert says in caplog.text
        assert earlier in caplog.text
        caplog.clear()
        assert made.assess("m").metrics == {}
        assert says in caplog.text
        assert made.annotate("m", limit=4).labelled == 4
        caplog.clear()
        assert made.status("m")["pending"] == 8
        assert says in caplog.text, "as long as there were more before"
        made.annotate("m")
        caplog.clear()
        made.status("m")
        assert caplog.text == ""


def test_status_finds_what_an_earlier_session_described(tmp_path: Path) -> None:
    with project(tmp_path, items(4)) as made:
        assert made.status()["annotator"] is None
        made.annotate(engine=engine(), limit=3)
    with Project(tmp_path / "project") as again:
        status = again.status()
        assert (status["annotator"], status["labelled"], status["pending"]) == ("default", 3, 1)


def test_a_project_moves_with_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "items.jsonl").write_text('{"id": "1", "text": "fine", "label": "pos"}\n')
    with Project.create(folder, TASK, items=folder / "items.jsonl", gold="label") as made:
        made.annotate(engine=engine())
    folder.rename(tmp_path / "there")
    with Project(tmp_path / "there") as moved:
        assert moved.assess("default").metrics["accuracy"].value == 1


async def test_two_projects_at_once(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
    made = [project(folder, items(10)) for folder in folders]
    results = await asyncio.gather(*(each.aannotate(engine=ScriptedEngine(right, seconds=0.01)) for each in made))
    assert [result.labelled for result in results] == [10, 10]
    for each in made:
        each.close()


def test_a_journal_that_is_gone_is_not_verified_as_a_new_one(tmp_path: Path) -> None:
    with project(tmp_path, items(5)) as made:
        made.annotate(engine=engine())
    (made.folder / "postil.db").unlink()
    with Project(made.folder) as opened, pytest.raises(StoreError, match="is not there"):
        opened.verify()
    assert not (made.folder / "postil.db").exists()


def test_verify_finds_nothing_wrong_with_any_outcome(tmp_path: Path) -> None:
    replies = ["pos", "neg", "maybe", "I cannot help with that, I'm sorry", ""]
    with project(tmp_path, [*items(20), {"id": "e", "text": ""}]) as made:
        scripted = ScriptedEngine(lambda request: replies[int(asked_text(request)[-3:]) % 5])
        result = made.annotate(engine=scripted, repairs=0)
        assert result.failed == 13
        found = made.verify()
        assert found.ok, found.problems
        assert all(found.checked.values())
