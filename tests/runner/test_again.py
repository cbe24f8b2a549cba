"""Records that failed are asked about anew: with requests of their own, and nothing overwritten (reliability C3)."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import ServerFault
from postil.project.verifying import Verifier
from postil.runner import Again, PromptedAnnotator
from postil.store import Journal
from postil.types import Annotation, Failure, Record, Request
from tests.runner import scene

Script = Callable[[Request], Reply]


def flaky(times: int) -> Script:
    """Answer nonsense about the third record so many times, fail about the fifth, and be right about the others."""
    asked: Counter[str] = Counter()

    def reply(request: Request) -> Reply:
        text = scene.asked_about(request)
        asked[text] += 1
        if "nonce-3\n" in text and asked[text] <= times:
            return "purple"
        if "nonce-5\n" in text and asked[text] <= 3 * times:
            return ServerFault("tired")
        return scene.right(request)

    return reply


async def again(journal: Journal, annotator: PromptedAnnotator, *classes: str) -> None:
    items = [Again(record, revision) for record, revision in journal.failures(annotator.id, classes)]
    await scene.runner(journal, annotator).run(items, len(items))


def sound(journal: Journal, annotator: PromptedAnnotator) -> None:
    found = Verifier(journal, {annotator.id: annotator}).verify()
    assert found.problems == ()


async def test_failures_are_asked_about_anew_and_nothing_else_is(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 10) as journal:
        engine = scene.engine(flaky(1))
        double = scene.annotator(engine)
        await scene.run(journal, double)
        assert (scene.labels(journal, double)["r3"], scene.labels(journal, double)["r5"]) == (
            "outside_labels",
            "provider_error",
        )
        before = len(engine.requests)
        await again(journal, double)
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert len(engine.requests) == before + 2
        assert [request.replicate for request in engine.requests[before:]] == [1, 1]
        sound(journal, double)


async def test_what_was_there_before_is_still_there(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 10) as journal:
        double = scene.annotator(scene.engine(flaky(1)))
        await scene.run(journal, double)
        heads = journal.heads()
        await again(journal, double)
        assert journal.heads()["outcome"][0] == heads["outcome"][0] + 2
        for table, (last, seal) in heads.items():
            assert journal.seal_of(table, last) == seal or not last
        assert [stored.revision for stored in journal.outcomes(double.id)] == [0, 0, 0, 1, 0, 1, 0, 0, 0, 0]
        counts = journal.count_outcomes(double.id)
        assert counts == {("annotation", None): 10}
        assert journal.count_pending(double.id) == 0


async def test_only_the_classes_named_are_asked_about(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 10) as journal:
        double = scene.annotator(scene.engine(flaky(1)))
        await scene.run(journal, double)
        await again(journal, double, "provider_error", "timeout")
        found = scene.labels(journal, double)
        assert found["r3"] == "outside_labels"
        assert found["r5"] == scene.truth("nonce-5")


async def test_a_record_that_fails_again_may_be_asked_about_a_third_time(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 10) as journal:
        engine = scene.engine(flaky(2))
        double = scene.annotator(engine)
        await scene.run(journal, double)
        for expected in ("outside_labels", scene.truth("nonce-3")):
            await again(journal, double)
            assert scene.labels(journal, double)["r3"] == expected
            sound(journal, double)
        replicates = {request.replicate for request in engine.requests if "nonce-3\n" in scene.asked_about(request)}
        assert replicates == {0, 1, 2}


async def test_five_replicates_are_five_requests_that_were_billed(tmp_path: Path) -> None:
    with scene.journal(tmp_path, [scene.record(1)]) as journal:
        engine = scene.engine(lambda _: "purple")
        double = scene.annotator(engine)
        await scene.run(journal, double)
        for _ in range(4):
            await again(journal, double)
        assert len(engine.requests) == 5
        spending = journal.spending()
        assert (spending.requests, spending.resent) == (5, 0), "five questions, and none of them asked twice"


async def test_records_that_read_the_same_share_the_new_reply(tmp_path: Path) -> None:
    records = [Record(str(i), {"text": "text nonce-3"}) for i in range(6)]
    with scene.journal(tmp_path, records) as journal:
        engine = scene.engine(flaky(1))
        double = scene.annotator(engine)
        await scene.run(journal, double)
        await again(journal, double)
        assert len(engine.requests) == 2
        assert all(isinstance(each, Annotation) for each in scene.outcomes(journal, double).values())
        sound(journal, double)


async def test_a_run_that_was_cut_off_goes_on_with_the_same_replicate(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 10) as journal:
        engine = scene.engine(flaky(1))
        double = scene.annotator(engine)
        await scene.run(journal, double)
        items = [Again(record, revision) for record, revision in journal.failures(double.id)]
        before = len(engine.requests)
        await scene.runner(journal, double).run(items[:1], 1)
        await scene.runner(journal, double).run(items, 2)
        assert len(engine.requests) == before + 2, "the first was answered, and its reply is there"
        assert scene.labels(journal, double) == scene.all_right(journal)
        assert [stored.revision for stored in journal.outcomes(double.id)].count(1) == 2


async def test_records_that_cannot_be_asked_about_get_no_further_outcome(tmp_path: Path) -> None:
    with scene.journal(tmp_path, [Record("empty", {"text": " "}), scene.record(1)]) as journal:
        double = scene.annotator(scene.engine())
        await scene.run(journal, double)
        await again(journal, double)
        [(empty, revision), *_] = [
            (stored.outcome, stored.revision) for stored in journal.outcomes(double.id) if stored.completion is None
        ]
        assert isinstance(empty, Failure)
        assert revision == 0


async def test_a_repair_of_a_replicate_is_of_that_replicate(tmp_path: Path) -> None:
    with scene.journal(tmp_path, 10) as journal:

        def reply(request: Request) -> str:
            whole = "\n".join(message.content for message in request.messages)
            return "purple" if "nonce-3\n" in whole else scene.truth(whole)

        engine = ScriptedEngine(reply)
        double = scene.annotator(engine, repairs=1)
        await scene.run(journal, double)
        await again(journal, double, "outside_labels")
        about = [request for request in engine.requests if any("nonce-3" in m.content for m in request.messages)]
        assert [(request.replicate, len(request.messages) > 2) for request in about] == [
            (0, False), (0, True), (1, False), (1, True),
        ]  # fmt: skip
        sound(journal, double)
