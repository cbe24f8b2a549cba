"""The model's prior: measured once, the same however it is come by, paid for once, and divided out of every answer."""

import asyncio
import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import AuthenticationFailed, ServerFault
from postil.runner import Progress
from postil.runner.prior import BATCH_SIZE, SMALLEST_BATCH, content_free_records, measured_prior
from postil.store import Journal
from postil.tasks.classification import Classification
from postil.types import Annotation, Budget, Completion, Record, Request, Usage
from tests.runner import scene

BIAS = (0.90, 0.06, 0.04)


def biased(request: Request) -> Completion:
    """Knows the right label, and prefers the first one much more."""
    text = scene.asked_about(request)
    known = scene.LABELS.index(scene.truth(text)) if "nonce" in text else -1
    weights = [share * (3.0 if i == known else 1.0) for i, share in enumerate(BIAS)]
    shares = tuple(weight / sum(weights) for weight in weights)
    best = scene.LABELS[shares.index(max(shares))]
    return Completion(best, "stop", Usage(10, 1), choice_probabilities=shares)


def engine(reply: Callable[[Request], Reply] = biased) -> ScriptedEngine:
    return ScriptedEngine(reply, capabilities=scene.SCORED)


def prior_of(journal: Journal, id_: str) -> tuple[float, ...]:
    event = journal.latest_event("prior", id_)
    assert event is not None
    return tuple(event["prior"])


def test_a_prior_is_the_normalised_geometric_mean() -> None:
    assert measured_prior([]) is None
    assert measured_prior([(0.5, 0.5)]) == (0.5, 0.5)
    found = measured_prior([(0.9, 0.1), (0.4, 0.6)])
    raw = (math.sqrt(0.9 * 0.4), math.sqrt(0.1 * 0.6))
    assert found == pytest.approx([share / sum(raw) for share in raw])
    never = measured_prior([(1.0, 0.0), (1.0, 0.0)])
    assert never is not None
    assert 0 < never[1] < 1e-9, "never is still not impossible"


def test_records_without_content_speak_the_language_of_the_task() -> None:
    chinese = Classification("t", "?", labels=["好", "坏"], show="{a} {b}", language="zh")
    assert [record.fields for record in content_free_records(chinese)] == [
        {"a": "无", "b": "无"}, {"a": "[MASK]", "b": "[MASK]"}, {"a": "……", "b": "……"},
    ]  # fmt: skip
    assert content_free_records(scene.TASK)[0].fields == {"text": "N/A"}


async def test_a_bias_of_the_model_is_divided_out(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 200) as journal:
        plain, calibrated = (scene.annotator(engine(), calibration=how) for how in ("none", "batch"))
        await scene.run(journal, plain)
        await scene.run(journal, calibrated)
        assert set(scene.labels(journal, plain).values()) == {"negative"}
        assert scene.labels(journal, calibrated) == scene.all_right(journal)
        for outcome in scene.outcomes(journal, calibrated).values():
            assert isinstance(outcome, Annotation)
            assert sum((outcome.probabilities or {}).values()) == pytest.approx(1)
        assert prior_of(journal, calibrated.id) == pytest.approx(BIAS, abs=0.03)


@pytest.mark.parametrize("concurrency", [1, 32])
async def test_the_prior_does_not_depend_on_which_reply_came_first(concurrency: int, tmp_path: Path) -> None:
    order = itertools.count()

    class Shuffled(ScriptedEngine):
        async def complete(self, request: Request) -> Completion:
            await asyncio.sleep(next(order) * 7 % 5 * 0.001)
            return await super().complete(request)

    slow, quick = (scene.annotator(kind(biased, capabilities=scene.SCORED), calibration="batch")
                   for kind in (Shuffled, ScriptedEngine))  # fmt: skip
    assert slow.id == quick.id
    priors: list[object] = []
    for i, double in enumerate((slow, quick)):
        folder = tmp_path / str(i)
        folder.mkdir()
        with scene.journal(folder, 40) as journal:
            await scene.run(journal, double, policy=replace(scene.QUICK, concurrency=concurrency))
            priors.append(journal.latest_event("prior", double.id))
    assert priors[0] == priors[1]


async def test_the_records_of_the_prior_are_not_paid_again_when_they_are_labelled(tmp_path: Path) -> None:
    with scene.journal(tmp_path, BATCH_SIZE + 40) as journal:
        double = engine()
        summary = await scene.run(journal, scene.annotator(double, calibration="batch"))
        assert len(double.requests) == summary.spending.requests == BATCH_SIZE + 40
        purposes = [reply.purpose for reply in journal.replies()]
        assert (purposes.count("prior"), purposes.count("label")) == (BATCH_SIZE, 40)


async def test_the_prior_is_measured_once_and_holds_for_records_that_come_later(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 60) as journal:
        double = scene.annotator(engine(), calibration="batch")
        await scene.run(journal, double)
        first = prior_of(journal, double.id)
        journal.add_records((scene.record(number), "later") for number in range(60, 300))
        await scene.run(journal, double)
        assert prior_of(journal, double.id) == first
        assert len(list(journal.events("prior"))) == 1
        assert scene.labels(journal, double) == scene.all_right(journal)


@pytest.mark.parametrize("calls", [1, 30, 59])
async def test_a_run_that_dies_between_prior_and_labels_pays_nothing_twice(calls: int, tmp_path: Path) -> None:
    with scene.journal(tmp_path, 60) as journal:
        whole = scene.annotator(engine(), calibration="batch")
        numbers = itertools.count(1)

        def reply(request: Request) -> Completion:
            if next(numbers) == calls:
                task.cancel()
            return biased(request)

        dying = replace(whole, engine=engine(reply))
        task = asyncio.create_task(scene.run(journal, dying))
        await asyncio.gather(task, return_exceptions=True)
        await journal.settled()
        assert journal.latest_event("prior", whole.id) is None
        left_open = journal.open_intents()
        answered = len(list(journal.answered_requests()))
        await scene.run(journal, whole)
        assert scene.labels(journal, whole) == scene.all_right(journal)
        assert journal.spending().requests == 60 + left_open
        assert journal.spending().resent == left_open
        assert answered >= calls - 4
        died = prior_of(journal, whole.id)
    other = tmp_path / "other"
    other.mkdir()
    with scene.journal(other, 60) as journal:
        await scene.run(journal, whole)
        assert prior_of(journal, whole.id) == died


async def test_few_records_are_measured_by_inputs_without_content(tmp_path: Path) -> None:
    with scene.journal(tmp_path, SMALLEST_BATCH - 1) as journal:
        double = engine()
        annotator = scene.annotator(double, calibration="batch")
        await scene.run(journal, annotator)
        event = journal.latest_event("prior", annotator.id)
        assert event is not None
        assert (event["method"], event["n"]) == ("content_free", 3)
        assert event["prior"] == pytest.approx(BIAS)
        assert scene.labels(journal, annotator) == scene.all_right(journal)
        about_nothing = [reply.record for reply in journal.replies() if reply.purpose == "prior"]
        assert about_nothing == [None] * 3, "they are about no record"


async def test_a_batch_of_which_most_cannot_be_asked_about_is_too_few(tmp_path: Path) -> None:
    records = [Record(f"empty {i}", {"text": " "}) for i in range(30)] + [scene.record(i) for i in range(10)]
    with scene.journal(tmp_path, records) as journal:
        double = scene.annotator(engine(), calibration="batch")
        await scene.run(journal, double)
        event = journal.latest_event("prior", double.id)
        assert event is not None
        assert event["method"] == "content_free"


async def test_an_engine_that_gives_no_probabilities_has_no_prior(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 30) as journal:
        double = scene.annotator(
            ScriptedEngine(lambda r: scene.right(r) if "nonce" in scene.asked_about(r) else "neutral",
                           capabilities=scene.SCORED), calibration="batch",
        )  # fmt: skip
        await scene.run(journal, double)
        event = journal.latest_event("prior", double.id)
        assert event is not None
        assert (event["prior"], event["n"]) == (None, 0)
        assert scene.labels(journal, double) == scene.all_right(journal)


async def test_an_outage_while_the_prior_is_measured_stops_the_run_and_is_not_taken_for_a_prior(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 40) as journal:
        down = scene.annotator(engine(lambda _: ServerFault("down")), calibration="batch")
        summary = await scene.run(journal, down)
        assert summary.stopped == "provider"
        assert isinstance(summary.error, ServerFault)
        assert (journal.latest_event("prior", down.id), scene.outcomes(journal, down)) == (None, {})
        up = replace(down, engine=engine())
        assert (await scene.run(journal, up)).stopped is None
        assert scene.labels(journal, up) == scene.all_right(journal)


@pytest.mark.parametrize("records", [10, 40])
async def test_requests_that_are_held_are_not_taken_for_a_model_without_a_prior(records: int, tmp_path: Path) -> None:
    """What is measured once holds for all later runs: better nothing yet (as for an outage)."""
    with scene.journal(tmp_path, records) as journal:
        double = scene.annotator(engine(), calibration="batch")
        asked = [*map(scene.record, range(records)), *content_free_records(scene.TASK)]
        held = {double.request_digest(double.request(each)) for each in asked}
        summary = await scene.run(journal, double, held=held)
        assert (summary.stopped, journal.latest_event("prior", double.id)) == ("provider", None)
        assert (await scene.run(journal, double)).stopped is None
        assert prior_of(journal, double.id)


async def test_a_few_lost_replies_do_not_stop_it(tmp_path: Path) -> None:
    lost = {scene.record(number).fields["text"] for number in range(5)}

    def reply(request: Request) -> Reply:
        text = scene.asked_about(request)
        return ServerFault("no") if any(f"{each}\n" in text for each in lost) else biased(request)

    with scene.journal(tmp_path, 40) as journal:
        double = scene.annotator(engine(reply), calibration="batch")
        await scene.run(journal, double)
        event = journal.latest_event("prior", double.id)
        assert event is not None
        assert (event["method"], event["n"]) == ("batch", 35)
        failed = [id_ for id_, label in scene.labels(journal, double).items() if label == "provider_error"]
        assert failed == [f"r{number}" for number in range(5)]


@pytest.mark.parametrize("budget", [Budget(requests=10), Budget(seconds=0)])
async def test_a_run_that_stops_while_the_prior_is_measured_labels_nothing(budget: Budget, tmp_path: Path) -> None:
    with scene.journal(tmp_path, 40) as journal:
        double = scene.annotator(engine(), calibration="batch")
        assert (await scene.run(journal, double, budget=budget)).stopped in {"budget", "deadline"}
        assert (journal.latest_event("prior", double.id), scene.outcomes(journal, double)) == (None, {})


async def test_a_wrong_key_is_found_while_the_prior_is_measured(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 40) as journal:
        double = engine(lambda _: AuthenticationFailed("wrong key"))
        summary = await scene.run(journal, scene.annotator(double, calibration="batch"))
        assert summary.stopped == "provider"
        assert len(double.requests) <= 4


async def test_a_preview_uses_the_prior_that_is_known_and_measures_none(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 40) as journal:
        double = scene.annotator(engine(), calibration="batch")
        before = scene.runner(journal, double)
        await before.ask([scene.record(1)])
        assert (before.annotator.prior, journal.latest_event("prior", double.id)) == (None, None)
        await scene.run(journal, double)
        after = scene.runner(journal, double)
        await after.ask([scene.record(1)])
        assert after.annotator.prior == prior_of(journal, double.id)


async def test_progress_tells_measuring_from_labelling(tmp_path: Path) -> None:
    told: list[Progress] = []
    with scene.journal(tmp_path, 30) as journal:
        double = scene.annotator(engine(), calibration="batch")
        await scene.runner(journal, double, on_progress=told.append).run(journal.pending(double.id), 30)
    phases = [progress.phase for progress in told]
    assert phases == ["calibrating"] * 30 + ["labelling"] * 30
    assert [progress.done for progress in told] == [0] * 30 + list(range(1, 31))
