"""The double says what its script says, remembers what it was asked, and needs nothing."""

import asyncio

import pytest

from postil.engines.scripted import ScriptedEngine
from postil.errors import RateLimited
from postil.testing import check_engine
from postil.types import Capabilities, Completion, Message, Request, Usage


def request(text: str) -> Request:
    return Request((Message("system", "Say."), Message("user", text)), max_tokens=8)


async def test_text_becomes_a_whole_completion_with_estimated_tokens() -> None:
    engine = ScriptedEngine(lambda asked: asked.messages[-1].content.upper(), name="loud")
    completion = await engine.complete(request("hello"))
    assert completion == Completion("HELLO", "stop", Usage(len("Say.hello"), 5, estimated=True), "loud")


async def test_completions_pass_and_errors_are_raised() -> None:
    whole, error = Completion("x", "length", Usage(1, 2, 3), "m"), RateLimited("slow", retry_after=2.0)
    engine = ScriptedEngine(lambda asked: whole if asked.messages[-1].content == "a" else error)
    assert await engine.complete(request("a")) is whole
    with pytest.raises(RateLimited) as caught:
        await engine.complete(request("b"))
    assert caught.value is error


async def test_every_request_is_remembered_in_order() -> None:
    engine = ScriptedEngine(lambda _: "x")
    asked = [request(text) for text in "abc"]
    for each in asked:
        await engine.complete(each)
    assert engine.requests == asked


async def test_replies_take_their_time_side_by_side() -> None:
    engine = ScriptedEngine(lambda asked: asked.messages[-1].content, seconds=0.03)
    loop = asyncio.get_running_loop()
    begun = loop.time()
    replies = await asyncio.gather(*(engine.complete(request(text)) for text in "abcdefgh"))
    assert [reply.text for reply in replies] == list("abcdefgh")
    assert 0.03 <= loop.time() - begun < 8 * 0.03


def test_its_name_is_its_identity_and_its_capabilities_are_given() -> None:
    some = Capabilities(scores="sequence", context_tokens=100)
    engine = ScriptedEngine(lambda _: "x", name="one", capabilities=some)
    assert engine.identity == {"engine": "scripted", "name": "one"}
    assert engine.capabilities is some
    assert ScriptedEngine(lambda _: "x").capabilities.free


async def test_it_keeps_the_contract_of_engines() -> None:
    await check_engine(lambda: ScriptedEngine(lambda asked: asked.messages[-1].content))
