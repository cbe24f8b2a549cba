"""A student in the place of a model: the contract of an engine, many requests at once, a task that is not its own."""

import asyncio
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from postil.errors import RecordRejected, RunFatal, SettingsRejected
from postil.learn.embeddings import TfidfEmbedder
from postil.learn.student import Student, StudentEngine, train_student
from postil.prompts import Prompt
from postil.runner import Interview, PromptedAnnotator
from postil.tasks.classification import Classification
from postil.tasks.rating import Rating
from postil.testing import check_engine
from postil.types import Annotation, Engine, Message, Record, Request
from tests.learn.invented import invent, labels

TEXTS, GOLD = invent(60, rng=np.random.default_rng(0))


class Counting(TfidfEmbedder):
    """Counts the times that it was asked, and can be told to fail."""

    asked = 0
    failure: Exception | None = None

    def embed(self, texts: Sequence[str]) -> Any:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return super().embed(texts)


def trained(names: Sequence[str] = labels(), answers: Sequence[str] = GOLD) -> Student:
    embedder = Counting(TfidfEmbedder.fit(TEXTS, dimension=256).arrays["idf"])
    return train_student(TEXTS, [{answer: 1.0} for answer in answers], labels=names, embedder=embedder, seed=1)


@pytest.fixture(scope="module")
def student() -> Student:
    return trained()


def request(text: str, choices: tuple[str, ...] = labels()) -> Request:
    return Request((Message("user", text),), max_tokens=16, choices=choices)


async def test_it_keeps_the_contract_of_an_engine():
    student = trained(("A", "B", "C"), [{"sports": "A", "kitchen": "B", "garden": "C"}[label] for label in GOLD])
    assert isinstance(StudentEngine(student), Engine)
    await check_engine(lambda: StudentEngine(student))


async def test_it_gives_the_students_answer_and_probabilities_for_nothing(student: Student):
    engine = StudentEngine(student)
    completion = await engine.complete(request(TEXTS[0]))
    odds = student.predict_probabilities(TEXTS[:1])[0]
    assert completion.text == GOLD[0]
    assert completion.choice_probabilities == tuple(odds)
    assert (completion.finish, completion.usage.input_tokens, completion.usage.output_tokens) == ("stop", 0, 0)
    assert engine.capabilities.free
    assert engine.capabilities.reads == "record"
    assert engine.capabilities.scores == "sequence"


@pytest.mark.parametrize("choices", [labels()[::-1], ("no label", *labels()), (labels()[1], labels()[0], labels()[2])])
async def test_probabilities_follow_the_order_of_the_choices(student: Student, choices: tuple[str, ...]):
    odds = dict(zip(student.labels, student.predict_probabilities(TEXTS[:1])[0], strict=True))
    completion = await StudentEngine(student).complete(request(TEXTS[0], choices))
    assert completion.choice_probabilities == tuple(odds.get(choice, 0.0) for choice in choices)
    assert completion.text == GOLD[0]


async def test_the_record_is_the_last_message_of_the_user(student: Student):
    messages = (
        Message("system", TEXTS[1]),
        Message("user", TEXTS[2]),
        Message("assistant", TEXTS[1]),
        Message("user", TEXTS[0]),
    )
    completion = await StudentEngine(student).complete(Request(messages, max_tokens=4, choices=labels()))
    assert completion.choice_probabilities == tuple(student.predict_probabilities(TEXTS[:1])[0])
    with pytest.raises(RecordRejected):
        await StudentEngine(student).complete(Request((Message("system", "x"),), max_tokens=4))


async def test_requests_that_wait_together_are_answered_together_each_with_its_own():
    student = trained()
    expected = student.predict_probabilities(TEXTS)
    engine = StudentEngine(student)
    assert isinstance(student.embedder, Counting)
    student.embedder.asked = 0
    completions = await asyncio.gather(*(engine.complete(request(text)) for text in TEXTS))
    assert [completion.choice_probabilities for completion in completions] == [tuple(row) for row in expected]
    assert student.embedder.asked <= 3
    await engine.aclose()


async def test_a_request_called_off_leaves_the_others_alone(student: Student):
    engine = StudentEngine(student)
    tasks = [asyncio.create_task(engine.complete(request(text))) for text in TEXTS[:9]]
    await asyncio.sleep(0)
    tasks[4].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(results[4], asyncio.CancelledError)
    odds = student.predict_probabilities(TEXTS[:9])
    for at in (0, 3, 5, 8):
        result = results[at]
        assert not isinstance(result, BaseException)
        assert result.choice_probabilities == tuple(odds[at])


async def test_closing_calls_off_what_waits_and_the_engine_can_go_on(student: Student):
    engine = StudentEngine(student)
    waiting = [asyncio.create_task(engine.complete(request(text))) for text in TEXTS[:3]]
    await asyncio.sleep(0)
    await engine.aclose()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results)
    assert (await engine.complete(request(TEXTS[0]))).text == GOLD[0]
    await engine.aclose()


def test_it_serves_one_event_loop_after_another(student: Student):
    engine = StudentEngine(student)
    assert [asyncio.run(engine.complete(request(text))).text for text in TEXTS[:3]] == GOLD[:3]


@pytest.mark.parametrize("choices", [labels()[:2], ("positive", "negative")])
async def test_a_task_without_one_of_its_labels_is_not_its_own(student: Student, choices: tuple[str, ...]):
    with pytest.raises(SettingsRejected, match="'garden'") as raised:
        await StudentEngine(student).complete(request(TEXTS[0], choices))
    assert "postil learn student" in str(raised.value)


async def test_a_failure_reaches_every_waiting_request_as_an_engines_error():
    student = trained()
    assert isinstance(student.embedder, Counting)
    student.embedder.failure = OSError("the model file is gone")
    engine = StudentEngine(student)
    results = await asyncio.gather(*(engine.complete(request(text)) for text in TEXTS[:3]), return_exceptions=True)
    assert all(isinstance(result, RunFatal) and "model file is gone" in str(result) for result in results)
    student.embedder.failure = None
    assert (await engine.complete(request(TEXTS[0]))).text == GOLD[0]


def test_identity_is_that_of_the_student(student: Student):
    assert StudentEngine(student).identity == StudentEngine(trained()).identity
    other = trained(answers=[GOLD[-1 - at] for at in range(len(GOLD))])
    assert StudentEngine(student).identity != StudentEngine(other).identity


async def test_an_annotator_made_of_it_gives_annotations_with_confidence(student: Student):
    task = Classification("topic", "What is it about?", labels=labels(), abstain="cannot tell")
    engine = StudentEngine(student)
    annotator = PromptedAnnotator("student", task, engine, (Prompt.for_engine(task, engine.capabilities),))
    record = Record("r1", {"text": TEXTS[0]})
    interview = Interview(annotator, record)
    assert interview.asked is not None
    outcome = interview.take(await engine.complete(interview.asked.request))
    assert isinstance(outcome, Annotation)
    assert outcome.answer == {"label": GOLD[0]}
    assert outcome.probabilities is not None
    given = [outcome.probabilities[label] for label in labels()]
    assert given == pytest.approx(student.predict_probabilities(TEXTS[:1])[0])
    assert outcome.confidence is not None
    assert outcome.confidence.value == pytest.approx(max(given))


async def test_it_rates_too():
    task = Rating("stars", "How good is it?", low=1, high=3)
    student = trained(task.labels, [{"sports": "1", "kitchen": "2", "garden": "3"}[label] for label in GOLD])
    engine = StudentEngine(student)
    annotator = PromptedAnnotator("student", task, engine, (Prompt.for_engine(task, engine.capabilities),))
    answers: list[Any] = []
    for text in TEXTS[:3]:
        record = Record("r", {"text": text})
        interview = Interview(annotator, record)
        assert interview.asked is not None
        outcome = interview.take(await engine.complete(interview.asked.request))
        assert isinstance(outcome, Annotation)
        answers.append(round(float(outcome.answer["rating"])))
    assert answers == [1, 2, 3]
