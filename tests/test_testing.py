"""The checks for other people's parts: whole parts pass, and each broken promise is found."""

import asyncio
import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from postil.engines.openai import OpenAIEngine
from postil.engines.scripted import ScriptedEngine
from postil.testing import check_engine
from postil.types import JSON, Capabilities, Completion, Message, Request, Usage
from tests.fake_server import Asked, FakeServer, Reply

KEY = "sk-canary-Zq7Wm2Xr9"
SHARES = {"A": 0.7, "B": 0.2, "C": 0.1}


def reply(request: Request) -> Completion:
    """What a whole engine says: the prompt's own words, and probabilities in the order of the choices."""
    words = request.messages[-1].content
    probabilities = tuple(SHARES[choice] for choice in request.choices) or None
    return Completion(words[:40], "stop", Usage(len(words), 4), "double", probabilities)


class Whole(ScriptedEngine):
    def __init__(self, reply: Callable[[Request], Completion] = reply) -> None:
        super().__init__(reply, capabilities=Capabilities(scores="sequence"))


def changed(**fields: Any) -> Callable[[], Whole]:
    return lambda: Whole(lambda request: dataclasses.replace(reply(request), **fields))


class IdentityThatIsNoJson(Whole):
    @property
    def identity(self) -> Mapping[str, JSON]:
        return {"model": b"bytes"}


class IdentityThatChanges(Whole):
    numbers = itertools.count()

    def __init__(self) -> None:
        super().__init__()
        self.number = next(self.numbers)

    @property
    def identity(self) -> Mapping[str, JSON]:
        return {"made": self.number}


class IdentityWithTheKey(Whole):
    @property
    def identity(self) -> Mapping[str, JSON]:
        return {"headers": {"Authorization": f"Bearer {KEY}"}}


class PrintsTheKey(Whole):
    def __repr__(self) -> str:
        return f"PrintsTheKey({KEY!r})"


class HidesItsScores(Whole):
    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(scores="none")


class CountsBackwards(Whole):
    def count_tokens(self, messages: Sequence[Message]) -> int:
        return 10_000 - super().count_tokens(messages)


class CountsNothing(Whole):
    def count_tokens(self, messages: Sequence[Message]) -> int:
        return 7


class SwapsReplies(Whole):
    """Gives each of two requests that are under way together the other's reply."""

    waiting: tuple[Request, asyncio.Future[Completion]] | None = None

    async def complete(self, request: Request) -> Completion:
        if self.waiting is not None:
            (other, future), self.waiting = self.waiting, None
            if not future.done():
                future.set_result(reply(request))
            return reply(other)
        future = asyncio.get_running_loop().create_future()
        self.waiting = (request, future)
        done, _ = await asyncio.wait([future], timeout=0.01)
        if done:
            return future.result()
        self.waiting = None
        return reply(request)


class FailsToCloseTwice(Whole):
    closed = False

    async def aclose(self) -> None:
        if self.closed:
            raise RuntimeError("already closed")
        self.closed = True


class NoEngine:
    identity: Mapping[str, JSON] = {}


BROKEN: list[tuple[Callable[[], Any], str]] = [
    (IdentityThatIsNoJson, "identity must be JSON"),
    (IdentityThatChanges, "identity of two engines made alike"),
    (IdentityWithTheKey, "the key stands in the engine's identity"),
    (PrintsTheKey, "the key stands in the engine's repr"),
    (HidesItsScores, 'capabilities say scores = "none"'),
    (CountsBackwards, "count_tokens falls as a prompt grows"),
    (CountsNothing, "count_tokens falls as a prompt grows"),
    (SwapsReplies, "mixed up"),
    (NoEngine, "expected Engine"),
    (changed(finish="done"), "finish: got 'done'"),
    (changed(text=None), "text: expected str"),
    (changed(usage=Usage(-1, 0)), "usage: expected counts"),
    (changed(choice_probabilities=None), "must score every choice"),
    (changed(choice_probabilities=(0.5, 0.5, 0.5)), "must sum to 1"),
    (changed(choice_probabilities=(0.5, 0.5)), "number of choice_probabilities"),
    (changed(choice_probabilities=(0.7, 0.2, 0.1)), "do not follow the order of the choices"),
    (changed(choice_mass=1.5), "choice_mass must be a probability"),
]


async def test_a_whole_engine_passes_as_an_object_and_as_a_function_that_makes_it() -> None:
    await check_engine(Whole)
    await check_engine(Whole())
    await check_engine(lambda: ScriptedEngine(lambda _: "positive"))


async def test_the_engine_for_servers_passes(fake_server: FakeServer) -> None:
    def script(asked: Asked) -> Reply:
        return Reply(asked.text[:40], tops=[{"B": 0.6, "A": 0.3, "C": 0.05}] if "logprobs" in asked.body else ())

    fake_server.script = script
    await check_engine(lambda: OpenAIEngine(base_url=fake_server.base_url, model="m", api_key=KEY), secret=KEY)
    await check_engine(OpenAIEngine(base_url=fake_server.base_url, model="m", log_probs=False, schema=True))


@pytest.mark.parametrize(("make", "words"), BROKEN)
async def test_each_broken_promise_is_found_and_named(make: Callable[[], Any], words: str) -> None:
    with pytest.raises(AssertionError) as caught:
        await check_engine(make, secret=KEY)
    assert words in str(caught.value)


async def test_an_engine_that_cannot_be_closed_twice_is_found() -> None:
    with pytest.raises(RuntimeError, match="already closed"):
        await check_engine(FailsToCloseTwice)
