"""The echo: a reply that begins with the mark of its record shows whose it is (reliability R4)."""

import random
import re
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.engines.openai import OpenAIEngine
from postil.engines.scripted import ScriptedEngine
from postil.errors import Mispaired, Refused, SettingsError, Truncated, Unreadable
from postil.project.annotators import build_annotator
from postil.project.settings import AnnotatorSettings
from postil.prompts import Prompt
from postil.runner import Again, Interview, PromptedAnnotator
from postil.tasks import Task
from postil.tasks.attributes import Attributes
from postil.tasks.classification import Classification
from postil.tasks.preference import Preference
from postil.tasks.text import Text
from postil.types import Annotation, Capabilities, Completion, Demonstration, Failure, Record, Request, Usage
from tests.fake_batches import BatchServer, Lines
from tests.fake_server import Asked, Reply
from tests.runner import lane, scene

GOOD = Capabilities(scores="first_token", schema=True, token_probabilities=True)


def mark_in(text: str) -> str:
    """The mark that a prompt asks for."""
    [mark] = re.findall(r"(?:the mark|标记) ([0-9a-f]{8})", text)
    return mark


def obedient(asked: Asked) -> Reply:
    answer = lane.right(asked).text
    return Reply(f"{mark_in(asked.text)} {answer}")


@pytest.fixture
def server() -> Generator[BatchServer, None, None]:
    with BatchServer(obedient) as started:
        yield started


def marked(server: BatchServer, **options: Any) -> PromptedAnnotator:
    engine = OpenAIEngine(base_url=server.base_url, model="m", log_probs=False)
    prompt = Prompt.for_engine(scene.TASK, engine.capabilities, echo=True)
    told: dict[str, Any] = {"repairs": 1} | options
    return PromptedAnnotator("double", scene.TASK, engine, (prompt,), **told)


async def test_a_provider_that_swaps_two_answers_is_caught(tmp_path: Path, server: BatchServer) -> None:
    def swap(lines: Lines) -> Lines:
        lines[3]["response"], lines[7]["response"] = lines[7]["response"], lines[3]["response"]
        return lines

    server.mangle = swap
    double = marked(server)
    with scene.journal(tmp_path, 20) as journal:
        await lane.run(journal, double)
        found = scene.labels(journal, double)
        assert {id_ for id_, label in found.items() if label == "mispaired"} == {"r3", "r7"}
        assert {**scene.all_right(journal), "r3": "mispaired", "r7": "mispaired"} == found
        lane.sound(journal, double)
        again = [Again(record, revision) for record, revision in journal.failures(double.id, {"mispaired"})]
        await scene.runner(journal, double).run(again, 2)
        await double.engine.aclose()
        assert scene.labels(journal, double) == scene.all_right(journal)
        lane.sound(journal, double)
    assert len(server.asked) == 22


async def test_a_provider_that_mixes_up_all_answers_gets_none_of_them_taken(
    tmp_path: Path, server: BatchServer
) -> None:
    def turn(lines: Lines) -> Lines:
        bodies = [line["response"] for line in lines]
        for line, body in zip(lines, [*bodies[1:], bodies[0]], strict=True):
            line["response"] = body
        return random.Random(4).sample(lines, len(lines))

    server.mangle = turn
    double = marked(server)
    with scene.journal(tmp_path, 60) as journal:
        await lane.run(journal, double)
        assert set(scene.labels(journal, double).values()) == {"mispaired"}


async def test_without_an_echo_nobody_can_know(tmp_path: Path, server: BatchServer) -> None:
    """The test above tests the echo: the same provider passes unseen without it."""
    server.script = lane.right
    server.mangle = lambda lines: [{**line, "response": lines[i - 1]["response"]} for i, line in enumerate(lines)]
    double = lane.annotator(server)
    with scene.journal(tmp_path, 20) as journal:
        await lane.run(journal, double)
        found = scene.labels(journal, double)
        assert set(found.values()) <= set(scene.LABELS)
        assert found != scene.all_right(journal)


# What is asked


def one_part(task: Task, capabilities: Capabilities = GOOD) -> Prompt:
    return Prompt.for_engine(task, capabilities, echo=True)


def request_of(prompt: Prompt, record: Record, *demonstrations: Demonstration) -> Request:
    return prompt.request(record, demonstrations, count_tokens=lambda _: 0, context_tokens=None)


RECORD = Record("r1", {"text": "It is warm."})


def test_every_record_has_a_mark_and_so_has_every_demonstration() -> None:
    prompt = one_part(scene.TASK)
    shown = Demonstration(Record("d", {"text": "It is cold."}), {"label": "negative"})
    _, question, answer, asked = request_of(prompt, RECORD, shown).messages
    assert answer.content == f"{mark_in(question.content)} negative"
    assert mark_in(asked.content) != mark_in(question.content)
    twin = request_of(prompt, Record("r2", RECORD.fields)).messages[-1]
    assert mark_in(twin.content) != mark_in(asked.content)
    assert request_of(prompt, RECORD, shown) == request_of(one_part(scene.TASK), RECORD, shown)


def test_a_reply_that_begins_with_a_mark_is_no_choice_and_has_room_for_it() -> None:
    plain = Prompt.for_engine(scene.TASK, GOOD)
    assert request_of(plain, RECORD).choices
    asked = request_of(one_part(scene.TASK), RECORD)
    assert (asked.choices, asked.schema) == ((), None)
    assert asked.max_tokens == request_of(plain, RECORD).max_tokens + 16


def test_both_orders_of_a_pair_have_marks_of_their_own() -> None:
    task = Preference("better", "Which is better?")
    record = Record("r", {"prompt": "p", "response_a": "one", "response_b": "other"})
    one, other = (one_part(each) for each in task.parts)
    turned = task.part_record(1, record, [])
    assert mark_in(request_of(one, record).messages[-1].content) != mark_in(
        request_of(other, turned).messages[-1].content
    )


def test_without_it_nothing_is_asked_otherwise() -> None:
    off, on = scene.annotator(scene.engine()), annotator_of(scene.TASK)
    assert "echo" not in off.spec
    assert on.spec["echo"] is True
    assert Prompt.for_engine(scene.TASK, GOOD).unmarked(said("warm"), RECORD) == said("warm")


# What is read


def said(text: str, finish: Any = "stop", **more: Any) -> Completion:
    return Completion(text, finish, Usage(10, 5), **more)


def annotator_of(task: Task, capabilities: Capabilities = GOOD) -> PromptedAnnotator:
    settings = AnnotatorSettings(engine="openai", echo=True)
    return build_annotator("double", settings, task, ScriptedEngine(lambda _: "", capabilities=capabilities), ())


ANSWERS: dict[str, tuple[Task, str, dict[str, Any]]] = {
    "a label": (scene.TASK, "neutral", {"label": "neutral"}),
    "a Chinese label": (Classification("语气", "语气如何?", labels=["好", "坏"]), "好", {"label": "好"}),
    "a text": (Text("title", "Write a title."), "Warm days", {"text": "Warm days"}),
    "JSON": (
        Attributes("w", "What?", fields={"sky": {"type": "label", "labels": ["blue", "grey"]}}),
        '{"sky": "blue"}',
        {"attributes": {"sky": "blue"}},
    ),
}


@pytest.mark.parametrize(("task", "reply", "answer"), ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("between", [" ", "\n", ": ", "：", "", "\n\n"])
@pytest.mark.parametrize("before", ["", "\n", "<think>9f9f9f9f, is it?</think>\n"])
def test_the_mark_is_taken_off_before_the_reply_is_read(
    task: Task, reply: str, answer: dict[str, Any], between: str, before: str
) -> None:
    interview = Interview(annotator_of(task), RECORD)
    assert interview.asked is not None
    mark = mark_in(interview.asked.request.messages[-1].content)
    ended = interview.take(said(f"{before}{mark}{between}{reply}"))
    assert isinstance(ended, Annotation)
    assert ended.answer == answer


def test_a_reply_without_a_mark_is_sent_back_and_one_with_anothers_is_not() -> None:
    interview = Interview(annotator_of(scene.TASK), RECORD)
    assert interview.asked is not None
    mark = mark_in(interview.asked.request.messages[-1].content)
    assert interview.take(said("neutral")) is None
    assert mark_in(interview.asked.request.messages[-1].content.split("\n")[-1]) == mark
    assert isinstance(interview.take(said(f"{mark} neutral")), Annotation)
    ended = Interview(annotator_of(scene.TASK), RECORD).take(said("0123abcd neutral"))
    assert isinstance(ended, Failure)
    assert (ended.failure_class, "0123abcd" in ended.message) == ("mispaired", True)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (said("0123abcd neutral"), Mispaired),
        (said("0123abcd"), Mispaired),
        (said("neutral"), Unreadable),
        (said("0123abc neutral"), Unreadable),
        (said("I'm sorry, but I can't help with that."), Refused),
        (said("", "length"), Truncated),
    ],
)
def test_what_is_wrong_with_a_reply_is_said(reply: Completion, error: type[Exception]) -> None:
    with pytest.raises(error):
        one_part(scene.TASK).unmarked(reply, RECORD)


@given(st.lists(st.integers(1, 9), max_size=12), st.sampled_from(["", " ", "<think>no</think> "]))
def test_tokens_still_spell_what_is_left_of_the_reply(lengths: list[int], before: str) -> None:
    prompt = one_part(scene.TASK)
    mark = mark_in(request_of(prompt, RECORD).messages[-1].content)
    text, at, tokens = f'{before}{mark}: {{"sky": "blue"}} ', 0, list[tuple[str, float]]()
    for length in [*lengths, len(text)]:
        tokens.append((text[at : at + length], 0.5))
        at += length
    left = prompt.unmarked(said(text, tokens=tuple(each for each in tokens if each[0])), RECORD)
    assert left.text == '{"sky": "blue"} '
    assert left.tokens is not None
    assert "".join(token for token, _ in left.tokens) == left.text


def test_an_annotator_that_reads_no_prompt_cannot_be_asked_for_it() -> None:
    with pytest.raises(SettingsError, match="echo"):
        annotator_of(scene.TASK, Capabilities(scores="sequence", reads="record"))
