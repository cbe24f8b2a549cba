"""The engine against a real server on loopback: what is sent, and what is made of a whole reply."""

import asyncio
import hashlib
import json
import random
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import pytest
import pytest_asyncio

from postil.engines.openai import OpenAIEngine
from postil.errors import ContextExceeded, PostilError, RecordRejected, ServerFault, SettingsError
from postil.types import Account, Capabilities, Completion, Engine, Message, Metered, RateLimit, Request
from tests.fake_server import Asked, FakeServer, Reply

KEY = "sk-canary-Zq7Wm2Xr9"
SCHEMA = {"type": "object", "properties": {"label": {"type": "string"}}}
ASK = (Message("system", "Answer with one label."), Message("user", "房间很大 \0 😀"))
Make = Callable[..., OpenAIEngine]


@pytest_asyncio.fixture
async def make(fake_server: FakeServer) -> AsyncIterator[Make]:
    """Engines that talk to the fake server, closed at the end."""
    made: list[OpenAIEngine] = []

    def engine(**settings: Any) -> OpenAIEngine:
        settings = {"base_url": fake_server.base_url, "model": "tiny", "attempt_seconds": 5.0, **settings}
        made.append(OpenAIEngine(**settings))
        return made[-1]

    yield engine
    for each in made:
        await each.aclose()


async def sent_by(engine: OpenAIEngine, server: FakeServer, request: Request) -> Mapping[str, Any]:
    await engine.complete(request)
    return server.asked[-1].body


async def test_the_request_carries_what_was_asked_and_nothing_else(make: Make, fake_server: FakeServer) -> None:
    body = await sent_by(make(), fake_server, Request(ASK, 7, temperature=0.5))
    assert body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Answer with one label."},
            {"role": "user", "content": "房间很大 \0 😀"},
        ],
        "max_tokens": 7,
        "temperature": 0.5,
    }
    assert fake_server.asked[-1].path == "/v1/chat/completions"


async def test_seed_log_probabilities_and_schema_are_asked_for_only_where_wanted(
    make: Make, fake_server: FakeServer
) -> None:
    request = Request(ASK, 7, seed=3, choices=("A", "B"), schema=SCHEMA)
    body = await sent_by(make(schema=True), fake_server, request)
    assert (body["seed"], body["logprobs"], body["top_logprobs"]) == (3, True, 20)
    assert body["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "answer", "strict": True, "schema": SCHEMA},
    }
    body = await sent_by(make(log_probs=False), fake_server, request)
    assert not {"logprobs", "top_logprobs", "response_format"} & body.keys()
    body = await sent_by(make(schema=True), fake_server, Request(ASK, 7))
    assert not {"logprobs", "top_logprobs", "response_format", "seed"} & body.keys()


async def test_extra_parameters_win_and_the_limit_has_the_name_that_the_server_knows(
    make: Make, fake_server: FakeServer
) -> None:
    engine = make(extra={"temperature": 1, "top_p": 0.9}, token_parameter="max_completion_tokens")
    body = await sent_by(engine, fake_server, Request(ASK, 7))
    assert (body["temperature"], body["top_p"], body["max_completion_tokens"]) == (1, 0.9, 7)
    assert "max_tokens" not in body


async def test_the_key_travels_as_a_bearer_token_and_none_is_sent_without_one(
    make: Make, fake_server: FakeServer
) -> None:
    await make(api_key=KEY).complete(Request(ASK, 7))
    await make().complete(Request(ASK, 7))
    await make(api_key="").complete(Request(ASK, 7))
    assert [asked.headers.get("Authorization") for asked in fake_server.asked] == [f"Bearer {KEY}", None, None]


async def test_a_whole_reply_becomes_a_completion(make: Make, fake_server: FakeServer) -> None:
    usage = {"prompt_tokens": 31, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 16}}
    fake_server.script = lambda _: Reply("负面", model="tiny-0731", usage=usage)
    completion = await make().complete(Request(ASK, 7))
    assert (completion.text, completion.finish, completion.model) == ("负面", "stop", "tiny-0731")
    counted = completion.usage
    assert (counted.input_tokens, counted.output_tokens, counted.cached_tokens, counted.estimated) == (31, 2, 16, False)
    assert (completion.choice_probabilities, completion.choice_mass) == (None, None)


async def test_choices_are_scored_in_their_own_order(make: Make, fake_server: FakeServer) -> None:
    fake_server.script = lambda _: Reply("B", tops=[{"B": 0.6, " A": 0.2, "The": 0.1}])
    completion = await make().complete(Request(ASK, 7, choices=("A", "B")))
    assert completion.choice_probabilities == pytest.approx((0.25, 0.75))
    assert completion.choice_mass == pytest.approx(0.8)
    assert make().capabilities == Capabilities(scores="first_token", token_probabilities=True)


async def test_probabilities_are_missing_where_the_server_sends_none_and_where_none_were_wanted(
    make: Make, fake_server: FakeServer
) -> None:
    assert (await make().complete(Request(ASK, 7, choices=("A", "B")))).choice_probabilities is None
    fake_server.script = lambda _: Reply("A", tops=[{"A": 0.9}])
    assert (await make().complete(Request(ASK, 7))).choice_probabilities is None
    assert make(log_probs=False).capabilities.scores == "none"


@pytest.mark.parametrize(
    ("reply", "finish", "text"),
    [
        (Reply("yes", finish="stop"), "stop", "yes"),
        (Reply("yes", finish="eos_token"), "stop", "yes"),
        (Reply("", finish="stop"), "stop", ""),
        (Reply(None, finish="stop"), "stop", ""),
        (Reply("ye", finish="length"), "length", "ye"),
        (Reply(None, finish="length"), "length", ""),
        (Reply('{"label": "A"}', finish="length"), "length", '{"label": "A"}'),
        (Reply("yes", finish=None), "length", "yes"),
        (Reply("yes", finish="something_new"), "length", "yes"),
        (Reply("", finish="content_filter"), "filter", ""),
        (Reply(None, finish="SAFETY"), "filter", ""),
        (Reply(None, message={"refusal": "I cannot."}), "refusal", "I cannot."),
        (Reply("yes", message={"refusal": None, "tool_calls": []}), "stop", "yes"),
        (Reply(body={"choices": [], "model": "tiny"}), "filter", ""),
    ],
)
async def test_the_reason_for_stopping_is_kept_apart_from_the_text(
    make: Make, fake_server: FakeServer, reply: Reply, finish: str, text: str
) -> None:
    fake_server.script = lambda _: reply
    completion = await make().complete(Request(ASK, 7))
    assert (completion.finish, completion.text) == (finish, text)


async def test_content_in_parts_is_put_together_without_the_reasoning(make: Make, fake_server: FakeServer) -> None:
    parts = [
        {"type": "thinking", "thinking": "A?"},
        {"type": "text", "text": "posi"},
        {"type": "text", "text": "tive"},
    ]
    fake_server.script = lambda _: Reply(message={"content": parts})
    assert (await make().complete(Request(ASK, 7))).text == "positive"


@pytest.mark.parametrize(
    "usage",
    [
        "missing",
        None,
        {},
        {"prompt_tokens": 0, "completion_tokens": 0},
        {"prompt_tokens": -5, "completion_tokens": 2},
        {"prompt_tokens": 10**30, "completion_tokens": 2},
        {"prompt_tokens": "12", "completion_tokens": True},
    ],
)
async def test_missing_or_impossible_usage_is_estimated_and_says_so(
    make: Make, fake_server: FakeServer, usage: Any
) -> None:
    fake_server.script = lambda _: Reply("positive", usage=usage)
    engine = make()
    counted = (await engine.complete(Request(ASK, 7))).usage
    assert counted.estimated
    assert counted.input_tokens == engine.count_tokens(ASK) > 10


async def test_half_an_emoji_in_a_reply_can_be_stored(make: Make, fake_server: FakeServer) -> None:
    cut = '{"choices": [{"message": {"content": "好 \\ud83d"}, "finish_reason": "length"}]}'
    fake_server.script = lambda _: Reply(body=cut)
    assert (await make().complete(Request(ASK, 7))).text == "好 \ufffd"


async def test_text_that_is_no_unicode_is_refused_before_anything_is_sent(make: Make, fake_server: FakeServer) -> None:
    with pytest.raises(RecordRejected, match="lone surrogate"):
        await make().complete(Request((Message("user", "a \ud800 b"),), 7))
    assert fake_server.asked == []


async def test_a_prompt_that_cannot_fit_is_refused_before_anything_is_sent(make: Make, fake_server: FakeServer) -> None:
    engine = make(context_tokens=512)
    await engine.complete(Request((Message("user", "a long story " * 80),), 7))
    with pytest.raises(ContextExceeded, match="512 tokens; nothing was sent"):
        await engine.complete(Request((Message("user", "a long story " * 800),), 7))
    assert len(fake_server.asked) == 1
    assert engine.capabilities.context_tokens == 512


@pytest.mark.parametrize("text", ["The battery died after two days. ", "房间里面有电脑可以免费上网，早餐品种很少。"])
async def test_a_prompt_that_the_server_cut_in_silence_is_named(make: Make, fake_server: FakeServer, text: str) -> None:
    request = Request((Message("user", text * 300),), 7)
    fake_server.script = lambda _: Reply("A", usage={"prompt_tokens": 256, "completion_tokens": 1})
    completion = await make().complete(request)
    assert (completion.finish, completion.usage.input_tokens) == ("input_cut", 256), "an outcome, and billed"


@pytest.mark.parametrize(
    "text", ["=" * 9000, " " * 9000, "a" * 9000, "哈" * 9000, "responsibilities " * 500, "ab" * 4000]
)
async def test_texts_that_few_tokens_can_hold_raise_no_alarm(make: Make, fake_server: FakeServer, text: str) -> None:
    fake_server.script = lambda _: Reply("A", usage={"prompt_tokens": 520, "completion_tokens": 1})
    assert (await make().complete(Request((Message("user", text),), 7))).text == "A"


async def test_a_server_that_counts_cached_tokens_apart_raises_no_alarm(make: Make, fake_server: FakeServer) -> None:
    usage = {"prompt_tokens": 4, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 2100}}
    fake_server.script = lambda _: Reply("A", usage=usage)
    request = Request((Message("user", "The battery died after two days. " * 300),), 7)
    assert (await make().complete(request)).usage.input_tokens == 4


async def test_of_many_replies_out_of_order_each_goes_to_its_own_request(make: Make, fake_server: FakeServer) -> None:
    def answer(nonce: str) -> str:
        return hashlib.sha256(nonce.encode()).hexdigest()

    rng = random.Random(5)
    delays = {f"n{i}": rng.random() * 0.05 for i in range(400)}
    fake_server.script = lambda asked: Reply(answer(asked.text), delay=delays[asked.text])
    engine = make(concurrency=64)
    nonces = list(delays)
    completions = await asyncio.gather(*(engine.complete(Request((Message("user", n),), 70)) for n in nonces))
    assert [completion.text for completion in completions] == [answer(nonce) for nonce in nonces]
    assert 32 < fake_server.most_in_flight <= 64
    assert len(fake_server.asked) == 400


async def test_waiting_for_a_turn_does_not_count_against_the_deadline(make: Make, fake_server: FakeServer) -> None:
    fake_server.script = lambda _: Reply("ok", delay=0.2)
    engine = make(concurrency=1, attempt_seconds=0.6)
    completions = await asyncio.gather(*(engine.complete(Request(ASK, 7)) for _ in range(6)))
    assert [completion.text for completion in completions] == ["ok"] * 6
    assert fake_server.most_in_flight == 1


async def test_a_request_called_off_frees_its_turn(make: Make, fake_server: FakeServer) -> None:
    fake_server.script = lambda asked: Reply("ok", fault="hang" if asked.number == 1 else None)
    engine = make(concurrency=1)
    first = asyncio.ensure_future(engine.complete(Request(ASK, 7)))
    await asyncio.sleep(0.1)
    first.cancel()
    assert (await engine.complete(Request(ASK, 7))).text == "ok"
    assert first.cancelled()


async def test_connections_are_used_again_and_closing_twice_or_going_on_is_fine(
    make: Make, fake_server: FakeServer
) -> None:
    engine = make()
    await engine.aclose()
    for _ in range(3):
        await engine.complete(Request(ASK, 7))
    assert fake_server.connections == 1
    await engine.aclose()
    await engine.aclose()
    assert (await engine.complete(Request(ASK, 7))).text == "ok"
    assert fake_server.connections == 2


def test_one_engine_serves_one_event_loop_after_another(fake_server: FakeServer) -> None:
    engine = OpenAIEngine(base_url=fake_server.base_url, model="tiny")

    async def ask() -> str:
        completion = await engine.complete(Request(ASK, 7))
        await engine.aclose()
        return completion.text

    assert [asyncio.run(ask()) for _ in range(2)] == ["ok", "ok"]


def test_two_event_loops_share_one_engine(fake_server: FakeServer) -> None:
    engine = OpenAIEngine(base_url=fake_server.base_url, model="tiny")

    async def ask() -> str:
        return (await engine.complete(Request(ASK, 7))).text

    with asyncio.Runner() as first, asyncio.Runner() as second:
        assert [first.run(ask()), second.run(ask()), first.run(ask()), second.run(ask())] == ["ok"] * 4
        assert fake_server.connections == 2
        first.run(engine.aclose())
        assert second.run(ask()) == "ok"
        assert fake_server.connections == 2
        second.run(engine.aclose())


def test_making_an_engine_opens_nothing_and_needs_no_event_loop() -> None:
    engine = OpenAIEngine(base_url="https://models.example/v1", model="tiny", api_key=KEY)
    assert isinstance(engine, Engine)
    asyncio.run(engine.aclose())


def test_the_identity_holds_all_that_changes_answers_and_nothing_that_does_not() -> None:
    def identity(**settings: Any) -> str:
        given: dict[str, Any] = {"base_url": "http://127.0.0.1:8000/v1", "model": "tiny", **settings}
        engine = OpenAIEngine(**given)
        return json.dumps(dict(engine.identity), sort_keys=True)

    changing: list[dict[str, Any]] = [
        {"base_url": "http://127.0.0.1:8001/v1"},
        {"model": "small"},
        {"log_probs": False},
        {"schema": True},
        {"context_tokens": 512},
        {"extra": {"top_p": 0.9}},
        {"extra": {"top_p": 0.8}},
    ]
    assert len({identity(), *(identity(**settings) for settings in changing)}) == 8
    same: list[dict[str, Any]] = [
        {"api_key": KEY},
        {"concurrency": 2},
        {"attempt_seconds": 9},
        {"base_url": "http://127.0.0.1:8000/v1/"},
    ]
    assert {identity(**settings) for settings in same} == {identity()}


def test_settings_given_are_copied_not_kept() -> None:
    extra = {"stop": ["\n"]}
    engine = OpenAIEngine(base_url="http://127.0.0.1:1/v1", model="tiny", extra=extra)
    before = json.dumps(dict(engine.identity))
    extra["stop"].append("!")
    assert json.dumps(dict(engine.identity)) == before


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_url": "127.0.0.1:8000/v1"}, "must begin with http"),
        ({"base_url": "file:///etc/passwd"}, "must begin with http"),
        ({"base_url": ""}, "must begin with http"),
        ({"base_url": "http://[::1/v1"}, "is no address"),
        ({"base_url": f"http://user:{KEY}@127.0.0.1/v1"}, "no user, password"),
        ({"base_url": f"http://127.0.0.1/v1?key={KEY}"}, "no user, password, query"),
        ({"base_url": "http://127.0.0.1/v1/chat/completions"}, "must end before"),
        ({"concurrency": 0}, "`concurrency` must be above 0, got 0"),
        ({"attempt_seconds": -1.0}, "`attempt_seconds` must be above 0"),
        ({"attempt_seconds": float("nan")}, "`attempt_seconds` must be above 0"),
        ({"extra": {"messages": []}}, "cannot hold 'messages'"),
        ({"extra": {"stream": True}}, "cannot hold 'stream'"),
        ({"extra": {"top_p": float("nan")}}, "must be JSON"),
        ({"extra": {"x": {1, 2}}}, "must be JSON"),
        ({"extra": {"api_key": KEY}, "api_key": KEY}, "the key stands in"),
        ({"api_key": KEY + "\n"}, "line break"),
        ({"api_key": "ключ"}, "letter that no key has"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once_without_showing_a_key(
    settings: dict[str, Any], words: str
) -> None:
    given: dict[str, Any] = {"base_url": "http://127.0.0.1:8000/v1", "model": "tiny", **settings}
    with pytest.raises(SettingsError, match=words) as caught:
        OpenAIEngine(**given)
    assert KEY not in f"{caught.value!s} {caught.value!r}"


@pytest.mark.parametrize(
    "body",
    [
        "null",
        "[]",
        "5",
        "{}",
        '{"choices": null}',
        '{"choices": [null]}',
        '{"choices": [{"finish_reason": "stop"}]}',
        '{"choices": [{"text": "a completion of the older protocol", "finish_reason": "stop"}]}',
        '{"choices": [{"message": {"content": "a"}, "finish_reason": "error"}]}',
        '{"choices": [{"message": {"content": null, "tool_calls": [{"id": "x"}]}, "finish_reason": "tool_calls"}]}',
        "[" * 100_000,
        "9" * 5_000,
        "",
        "<html>Welcome</html>",
        '{"choices": [{"message": {"conte',
        b'{"choices": [{"message": {"content": "\xff\xfe"}, "finish_reason": "stop"}]}',
    ],
)
async def test_what_is_no_completion_is_the_servers_fault(make: Make, fake_server: FakeServer, body: Any) -> None:
    fake_server.script = lambda _: Reply(body=body)
    with pytest.raises(ServerFault) as caught:
        await make().complete(Request(ASK, 7))
    assert caught.value.retryable


async def test_a_reply_that_repeats_the_key_is_thrown_away(make: Make, fake_server: FakeServer) -> None:
    fake_server.script = lambda asked: Reply(f"You sent {asked.headers['Authorization']}")
    with pytest.raises(ServerFault) as caught:
        await make(api_key=KEY).complete(Request(ASK, 7))
    assert KEY not in str(caught.value)


async def test_the_key_is_in_nothing_that_can_be_printed(make: Make, fake_server: FakeServer) -> None:
    engine = make(api_key=KEY)
    fake_server.script = lambda asked: Reply(
        status=401, body={"error": {"message": f"Incorrect key {asked.headers['Authorization']} or {KEY[:12]}…"}}
    )
    with pytest.raises(PostilError) as caught:
        await engine.complete(Request(ASK, 7))
    error = caught.value
    seen = [repr(engine), str(engine), json.dumps(dict(engine.identity)), str(error), repr(error), error.hint]
    seen += [repr(vars(engine)), repr(error.__context__), repr(error.__cause__)]
    assert not any(KEY[i : i + 8] in text for text in seen for i in range(len(KEY) - 7))
    assert (error.__context__, error.__cause__) == (None, None)


async def test_a_proxy_named_in_the_environment_is_not_used(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    completion: Completion = await make().complete(Request(ASK, 7))
    assert completion.text == "ok"


async def test_every_attempt_at_a_request_has_the_same_key_and_no_other_request_has(
    make: Make, fake_server: FakeServer
) -> None:
    """Where a provider knows such keys, a reply that was lost is not paid twice (reliability R2)."""
    requests = [Request(ASK, 7), Request(ASK, 7), Request(ASK, 8), Request(ASK, 7, replicate=1)]
    for request in requests:
        await make().complete(request)
    keys = [asked.headers["Idempotency-Key"] for asked in fake_server.asked]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3
    assert fake_server.asked[0].body == fake_server.asked[3].body, "a replicate is a matter between us and the server"


async def test_what_the_server_says_of_its_limits_comes_with_the_completion(
    make: Make, fake_server: FakeServer
) -> None:
    headers = {"x-ratelimit-limit-requests": "60", "x-ratelimit-remaining-requests": "59"}
    fake_server.script = lambda asked: Reply("ok", headers=headers if asked.number == 1 else {})
    engine = make()
    told, untold = await engine.complete(Request(ASK, 7)), await engine.complete(Request(ASK, 7))
    assert told.rate_limits == (RateLimit("requests", 60, 59),)
    assert untold.rate_limits == ()
    assert told == untold, "it is about the server, not about the reply"


def test_engines_of_one_address_and_key_have_one_account() -> None:
    def account(**settings: Any) -> Account:
        given: dict[str, Any] = {"base_url": "http://127.0.0.1:8000/v1", "model": "tiny", "api_key": KEY} | settings
        return OpenAIEngine(**given).account

    assert account() == account(base_url="http://127.0.0.1:8000/v1/", concurrency=3)
    assert account().server == account(model="small").server
    assert account() != account(model="small")
    assert len({account().server, account(api_key="sk-other").server, account(base_url="http://h/v1").server}) == 3
    assert KEY not in repr(account())
    assert isinstance(OpenAIEngine(base_url="http://h/v1", model="m"), Metered)


async def test_a_server_that_begins_to_cut_prompts_is_found_out(make: Make, fake_server: FakeServer) -> None:
    """Its earlier replies show how it counts (reliability A11); a reply to a cut prompt is billed all the same."""
    rng = random.Random(0)
    words = ["phone", "battery", "screen", "excellent", "why", "returned", "the", "shop", "and", "never"]

    def usage(asked: Asked) -> Mapping[str, Any]:
        count = sum(len(re.findall(r"\w{1,4}|\S", message["content"])) for message in asked.body["messages"])
        cut = asked.number > 60 and asked.number % 4 == 0
        return {"prompt_tokens": int(0.75 * count) if cut else count, "completion_tokens": 1}

    fake_server.script = lambda asked: Reply("A", usage=usage(asked))
    engine = make()
    ends: list[str] = []
    for _ in range(100):
        text = " ".join(rng.choices(words, k=rng.randrange(40, 300)))
        ends.append((await engine.complete(Request((Message("user", text),), 7))).finish)
    assert [number for number, end in enumerate(ends, 1) if end == "input_cut"] == list(range(64, 101, 4))


def test_making_an_engine_loads_no_http() -> None:
    code = (
        "import sys; from postil.engines.openai import OpenAIEngine\n"
        "OpenAIEngine(base_url='http://127.0.0.1:1/v1', model='m')\n"
        "sys.exit('httptools' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
