"""All that is asked about one record: repairs, more room, questions in several parts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from postil.engines.scripted import ScriptedEngine
from postil.errors import ContextExceeded, MissingField, ServerFault
from postil.project.verifying import Verifier
from postil.prompts import Prompt
from postil.runner import Again, Interview, PromptedAnnotator, Sampling
from postil.tasks import CompoundTask, Reading
from postil.tasks.classification import Classification
from postil.types import (
    Abstention,
    Annotation,
    Answer,
    Capabilities,
    Completion,
    Demonstration,
    Failure,
    Record,
    Request,
    Usage,
)
from tests.runner import scene


def asked_again(request: Request) -> bool:
    return request.messages[-2].role == "assistant"


def said(text: str, finish: Any = "stop") -> Completion:
    return Completion(text, finish, Usage(10, 1))


async def test_an_answer_that_cannot_be_used_is_sent_back_once_with_the_reason(tmp_path: Path) -> None:
    engine = scene.engine(lambda request: "positive" if asked_again(request) else "sunny")
    double = scene.annotator(engine, repairs=1)
    with scene.journal(tmp_path, 3) as journal:
        await scene.run(journal, double)
        assert set(scene.labels(journal, double).values()) == {"positive"}
        assert len(engine.requests) == 6
        [first, again] = [r for r in engine.requests if "nonce-1\n" in r.messages[1].content]
        assert again.messages[:-2] == first.messages
        assert again.messages[-2].content == "sunny"
        assert "expected one of negative, neutral, positive; got 'sunny'" in again.messages[-1].content
        found = Verifier(journal, {double.id: double}).verify()
        assert (found.problems, found.checked["answers"]) == ((), 3)


@pytest.mark.parametrize(("repairs", "asked"), [(0, 1), (1, 2), (3, 4)])
async def test_after_its_repairs_it_is_a_typed_failure(tmp_path: Path, repairs: int, asked: int) -> None:
    engine = scene.engine(lambda request: f"sunny {len(request.messages)}")
    double = scene.annotator(engine, repairs=repairs)
    with scene.journal(tmp_path, 1) as journal:
        await scene.run(journal, double)
        assert list(scene.labels(journal, double).values()) == ["outside_labels"]
    assert len(engine.requests) == asked


async def test_a_refusal_is_not_argued_with(tmp_path: Path) -> None:
    engine = scene.engine(lambda _: "I'm sorry, but I can't help with that.")
    with scene.journal(tmp_path, 1) as journal:
        await scene.run(journal, scene.annotator(engine, repairs=3))
    assert len(engine.requests) == 1


def test_a_reply_that_was_cut_is_asked_for_once_more_with_twice_the_room() -> None:
    """Reliability A2: the second attempt has a higher ceiling, and there is no third."""
    interview = Interview(scene.annotator(scene.engine(), repairs=1), scene.record(1))
    first = interview.asked
    assert first is not None
    interview.take(said("posi", "length"))
    assert interview.asked is not None
    assert interview.asked.request == replace(first.request, max_tokens=2 * first.request.max_tokens)
    ended = interview.take(said("posi", "length"))
    assert isinstance(ended, Failure)
    assert ended.failure_class == "truncated"
    assert interview.asked is None


def test_a_reply_in_a_loop_is_not_asked_for_with_more_room() -> None:
    """Reliability A4: a loop would fill any room."""
    interview = Interview(scene.annotator(scene.engine(), repairs=3), scene.record(1))
    ended = interview.take(said('{"label":' + " \n" * 40, "length"))
    assert isinstance(ended, Failure)
    assert (ended.failure_class, interview.asked) == ("endless", None)


def test_a_ceiling_of_the_users_own_is_kept() -> None:
    interview = Interview(scene.annotator(scene.engine(), repairs=1, sampling=Sampling(max_tokens=8)), scene.record(1))
    assert isinstance(interview.take(said("posi", "length")), Failure)


def test_no_repair_is_asked_for_that_the_context_cannot_hold() -> None:
    engine = scene.engine(capabilities=Capabilities(context_tokens=400))
    interview = Interview(scene.annotator(engine, repairs=1), scene.record(1))
    assert isinstance(interview.take(said("sunny " * 400)), Failure)


# Compound tasks


@dataclass(frozen=True)
class BothWays(Classification):
    """Is it warm? Asked twice, the second time about the text turned round; disagreement is an abstention."""

    def __init__(self) -> None:
        super().__init__("both", "Is it warm?", labels=["yes", "no"])

    @property
    def parts(self) -> tuple[Classification, ...]:
        return (Classification("one", "Is it warm?", labels=["yes", "no"]),) * 2

    def part_record(self, part: int, record: Record, earlier: Sequence[Answer]) -> Record:
        assert len(earlier) == part
        text = str(record.fields["text"])
        return replace(record, fields={"text": text[::-1] if part else text})

    def part_answer(self, part: int, answer: Answer) -> Answer:
        return answer

    def combine(self, readings: Sequence[Reading]) -> Reading:
        first, second = readings
        return first if first.answer == second.answer else Reading(None, abstained="the orders disagree")


def both_ways(engine: ScriptedEngine, **options: Any) -> PromptedAnnotator:
    task = BothWays()
    assert isinstance(task, CompoundTask)
    prompts = tuple(Prompt.for_engine(part, engine.capabilities) for part in task.parts)
    return PromptedAnnotator("double", task, engine, prompts, **options)


async def test_a_compound_task_asks_all_its_parts_and_ends_once(tmp_path: Path) -> None:
    warm = {"abc": "yes", "cba": "yes", "xyz": "no", "zyx": "yes"}
    engine = ScriptedEngine(lambda request: warm[request.messages[-1].content.split("\n")[0].removeprefix("Text: ")])
    double = both_ways(engine)
    records = [Record(text, {"text": text}) for text in ("abc", "xyz", "zyx", "")]
    with scene.journal(tmp_path, records) as journal:
        await scene.run(journal, double)
        found = scene.outcomes(journal, double)
        assert isinstance(found["abc"], Annotation)
        assert isinstance(found["xyz"], Abstention)
        assert isinstance(found["zyx"], Abstention)
        assert isinstance(found[""], Failure)
        assert len(engine.requests) == 4, "equal questions of two records are asked once"
        verified = Verifier(journal, {double.id: double}).verify()
        assert (verified.problems, verified.checked["answers"]) == ((), 3)


async def test_what_was_answered_before_a_stop_is_not_asked_again(tmp_path: Path) -> None:
    engine = ScriptedEngine(lambda _: "yes")
    with scene.journal(tmp_path, [Record("abc", {"text": "abc"})]) as journal:
        from postil.types import Budget

        double = both_ways(engine)
        await scene.run(journal, double, budget=Budget(requests=1))
        assert scene.outcomes(journal, double) == {}
        await scene.run(journal, double)
        assert isinstance(scene.outcomes(journal, double)["abc"], Annotation)
    assert len(engine.requests) == 2


def test_demonstrations_show_each_part_its_own_question() -> None:
    class Fixed:
        identity = {"kind": "fixed"}  # noqa: RUF012 - a protocol's attribute

        def select(self, record: Record) -> list[Demonstration]:
            return [Demonstration(Record("d", {"text": "def"}), {"label": "no"})]

    double = both_ways(ScriptedEngine(lambda _: "yes"), selector=Fixed())
    interview = Interview(double, Record("abc", {"text": "abc"}))
    seen: list[list[str]] = []
    while interview.asked is not None:
        seen.append([message.content.split("\n")[0] for message in interview.asked.request.messages[1:]])
        interview.take(said("yes"))
    assert seen == [["Text: def", "no", "Text: abc"], ["Text: fed", "no", "Text: cba"]]


class Picky(BothWays):
    """Its first question may be declined, and its second cannot be put to every record."""

    @property
    def parts(self) -> tuple[Classification, ...]:
        return (Classification("one", "Is it warm?", labels=["yes", "no"], abstain="unsure"),) * 2

    def part_record(self, part: int, record: Record, earlier: Sequence[Answer]) -> Record:
        if part and record.id == "gone":
            raise MissingField("there is nothing to turn round")
        return super().part_record(part, record, earlier)


def difficult(request: Request) -> Any:
    """Fail in every way at the second question, and answer the third asking of it."""
    text = next(m.content for m in request.messages if m.role == "user").split("\n")[0].removeprefix("Text: ")
    if request.replicate or text in ("plain", "nialp", "gone", "tuc", "rre", "jer", "dab"[::-1]):
        return "yes"
    match text:
        case "declined":
            return "unsure"
        case "cut":
            return Completion("ye", "length", Usage(10, 16))
        case "err":
            return ServerFault("tired")
        case "rej":
            return ContextExceeded("too long")
        case _:
            return "yes" if asked_again(request) else "cold"


async def test_whatever_becomes_of_a_later_question_can_be_derived_again(tmp_path: Path) -> None:
    """Failures, repairs and abstentions in any part, and asking anew about what failed (invariant I6)."""
    engine = ScriptedEngine(difficult)
    task = Picky()
    prompts = tuple(Prompt.for_engine(part, engine.capabilities) for part in task.parts)
    double = PromptedAnnotator("double", task, engine, prompts)
    texts = {
        "plain": "plain",
        "declined": "declined",
        "gone": "gone",
        "later": "tuc",
        "error": "rre",
        "rejected": "jer",
    }
    texts |= {"first": "cut", "repaired": "bad", "early": "rej"}
    with scene.journal(tmp_path, [Record(id_, {"text": text}) for id_, text in texts.items()]) as journal:
        await scene.run(journal, double)
        found = scene.outcomes(journal, double)
        assert {id_: each.failure_class for id_, each in found.items() if isinstance(each, Failure)} == {
            "gone": "missing_field",
            "later": "truncated",
            "error": "provider_error",
            "rejected": "context_exceeded",
            "first": "truncated",
            "early": "context_exceeded",
        }
        assert isinstance(found["declined"], Abstention)
        assert isinstance(found["repaired"], Annotation)
        assert Verifier(journal, {double.id: double}).verify().problems == ()
        again = [Again(record, revision) for record, revision in journal.failures(double.id)]
        assert len(again) == 6
        await scene.runner(journal, double).run(again, 6)
        assert {id_ for id_, each in scene.outcomes(journal, double).items() if isinstance(each, Failure)} == {"gone"}
        verified = Verifier(journal, {double.id: double}).verify()
        assert verified.problems == ()
