"""Everything that can go wrong on the way, with a real server, and what it is called here (reliability R7 to R11)."""

import asyncio
import asyncio.base_events
import errno
import json
import os
from typing import Any, get_args

import pytest

from postil.engines.openai import OpenAIEngine
from postil.errors import (
    AttemptTimedOut,
    AuthenticationFailed,
    BrokenReply,
    ConnectionLost,
    ContextExceeded,
    EngineError,
    Overloaded,
    PostilError,
    QuotaExhausted,
    RateLimited,
    RecordRejected,
    RunFatal,
    ServerFault,
    ServerUnreachable,
    SettingsRejected,
    Transient,
    UnknownModel,
)
from postil.types import Completion, Message, Request
from tests.fake_server import FakeServer, Fault, Reply

KEY = "sk-canary-Zq7Wm2Xr9"
ASK = Request(
    (Message("user", "What does the writer think?"),), 7, seed=1, choices=("A", "B"), schema={"type": "object"}
)


async def outcome(reply: Reply, server: FakeServer, **settings: Any) -> Completion | PostilError:
    """What one attempt came to."""
    server.script = lambda _: reply
    given: dict[str, Any] = {"base_url": server.base_url, "model": "tiny", "api_key": KEY, "schema": True, **settings}
    engine = OpenAIEngine(**given)
    try:
        return await engine.complete(ASK)
    except PostilError as error:
        return error
    finally:
        await engine.aclose()


async def failure(reply: Reply, server: FakeServer, **settings: Any) -> PostilError:
    error = await outcome(reply, server, **settings)
    assert isinstance(error, PostilError)
    # Every failure names the place, hides the key, and hangs on no foreign error that might show it.
    assert (error.__context__, error.__cause__) == (None, None)
    assert KEY not in str(error)
    return error


def openai(message: str, code: str | None = None, kind: str = "invalid_request_error", param: str | None = None) -> Any:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


LLAMA_CPP = {"error": {"code": 400, "message": "too big", "type": "exceed_context_size_error", "n_ctx": 8192}}

STATUSES: list[tuple[int, Any, type[EngineError]]] = [
    (401, openai("Incorrect API key provided", "invalid_api_key"), AuthenticationFailed),
    (403, openai("Country, region, or territory not supported"), AuthenticationFailed),
    (403, openai("Project does not have access to model `m`", "model_not_found"), UnknownModel),
    (401, "", AuthenticationFailed),
    (402, openai("Insufficient Balance"), QuotaExhausted),
    (429, openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"), QuotaExhausted),
    (400, openai("Your credit balance is too low to access the API."), QuotaExhausted),
    (429, openai("Rate limit reached for requests", "rate_limit_exceeded"), RateLimited),
    # Google's free tier says "quota" for a limit that is renewed every minute.
    (429, [{"error": {"code": 429, "message": "You exceeded your current quota, check your plan"}}], RateLimited),
    (429, "slow down", RateLimited),
    (429, openai("Request too large for gpt-4 on tokens per min (TPM): Limit 10000, Requested 12000"), RecordRejected),
    (404, openai("The model `m` does not exist", "model_not_found"), UnknownModel),
    (404, {"error": "model 'tiny' not found, try pulling it first"}, UnknownModel),
    (404, {"object": "error", "message": "The model `m` does not exist.", "code": 404}, UnknownModel),
    (404, "<html>Not Found</html>", UnknownModel),
    (400, openai("tiny is not a valid model ID"), UnknownModel),
    (400, openai("Model Not Exist"), UnknownModel),
    (400, openai("no", None, param="model"), UnknownModel),
    (405, {"detail": "Method Not Allowed"}, ServerUnreachable),
    (501, openai("This server does not support completions"), ServerUnreachable),
    (
        400,
        openai("This model's maximum context length is 8192 tokens.", "context_length_exceeded", param="messages"),
        ContextExceeded,
    ),
    (
        400,
        {
            "object": "error",
            "message": "This model's maximum context length is 16384 tokens. However, you requested 122946 tokens",
            "type": "BadRequestError",
            "param": None,
            "code": 400,
        },
        ContextExceeded,
    ),
    (
        400,
        openai(
            "'max_tokens' is too large: 900. This model's maximum context length is 1024 tokens", param="max_tokens"
        ),
        ContextExceeded,
    ),
    (400, openai("max_tokens must be at least 1, got -186."), ContextExceeded),
    (400, LLAMA_CPP, ContextExceeded),
    (500, LLAMA_CPP, ContextExceeded),
    (200, LLAMA_CPP, ContextExceeded),
    (
        400,
        {
            "object": "error",
            "message": "The input (61709 tokens) is longer than the model's context length (40960 tokens).",
        },
        ContextExceeded,
    ),
    (
        422,
        {
            "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096.",
            "error_type": "validation",
        },
        ContextExceeded,
    ),
    (413, {"error": "Input validation error: `inputs` must have less than 4096 tokens."}, ContextExceeded),
    (
        400,
        openai(
            "Unsupported parameter: 'max_tokens' is not supported with this model.",
            "unsupported_parameter",
            param="max_tokens",
        ),
        SettingsRejected,
    ),
    (400, openai("You are not allowed to request logprobs from this model"), SettingsRejected),
    (400, openai("top_logprobs must be less than or equal to 5", param="top_logprobs"), SettingsRejected),
    (
        400,
        openai("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this model."),
        SettingsRejected,
    ),
    (
        400,
        openai(
            "Unsupported value: 'temperature' does not support 0 with this model.",
            "unsupported_value",
            param="temperature",
        ),
        SettingsRejected,
    ),
    (
        422,
        {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are not permitted"}]},
        SettingsRejected,
    ),
    (400, openai("Invalid value for messages[0].content", param="messages.[0].content"), RecordRejected),
    (
        422,
        {"detail": [{"loc": ["body", "messages", 0], "msg": "not valid", "input": "logprobs unsupported"}]},
        RecordRejected,
    ),
    (400, openai("Could not parse the JSON body"), RecordRejected),
    (400, "", RecordRejected),
    (413, "Payload Too Large", RecordRejected),
    (418, "I am a teapot", RecordRejected),
    (408, "", ServerFault),
    (409, "", ServerFault),
    (500, openai("The server had an error"), ServerFault),
    (502, "<html>Bad Gateway</html>", ServerFault),
    (503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}}, Overloaded),
    (504, "", ServerFault),
    (529, openai("Overloaded"), Overloaded),
    (429, {"error": "Model is overloaded", "error_type": "overloaded"}, Overloaded),
    (429, openai("Number of concurrent connections has exceeded your rate limit"), Overloaded),
    (429, openai("Rate limit reached for requests per min. Please try again in 6ms."), RateLimited),
    (599, "", ServerFault),
    (200, {"error": {"message": "Provider returned error", "code": 502}}, ServerFault),
    (200, {"error": {"message": "Rate limited", "code": "429"}}, RateLimited),
    (200, {"error": "something broke"}, ServerFault),
    (202, "", BrokenReply),
]


@pytest.mark.parametrize(("status", "body", "expected"), STATUSES)
async def test_every_status_and_body_has_its_own_class(
    fake_server: FakeServer, status: int, body: Any, expected: type[EngineError]
) -> None:
    error = await failure(Reply(status=status, body=body), fake_server)
    assert type(error) is expected, error
    assert len(fake_server.asked) == 1
    if isinstance(error, RunFatal) or status == 429:
        assert fake_server.base_url in str(error)


async def test_no_status_is_left_without_a_class(fake_server: FakeServer) -> None:
    for status in range(300, 600):
        error = await failure(Reply(status=status, body=openai("no")), fake_server)
        assert isinstance(error, EngineError)
        assert error.retryable == isinstance(error, Transient)
        assert error.retryable == ((status >= 500 and status != 501) or status in (408, 409, 425, 429)), (status, error)


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (
            400,
            openai(
                "The response was filtered due to the prompt triggering the content management policy.",
                "content_filter",
            ),
        ),
        (400, {"error": {"code": "x", "message": "m", "innererror": {"code": "ResponsibleAIPolicyViolation"}}}),
        (400, openai("Your request was rejected as a result of our safety system.", "content_policy_violation")),
        (400, openai("Invalid prompt: potentially violating our usage policy", "invalid_prompt")),
        (400, openai("Content Exists Risk")),
        (400, {"code": "data_inspection_failed", "message": "Input data may contain inappropriate content."}),
        (400, {"error": {"code": "1301", "message": "系统检测到输入或生成内容可能包含不安全或敏感内容"}}),
        (403, {"error": {"code": 403, "message": "Your chosen model requires moderation and your input was flagged"}}),
        (200, {"error": {"code": 403, "message": "Your input was flagged"}}),
        (200, openai("The response was filtered", "content_filter")),
    ],
)
async def test_a_prompt_that_the_provider_filters_is_a_withheld_reply_not_an_error(
    fake_server: FakeServer, status: int, body: Any
) -> None:
    completion = await outcome(Reply(status=status, body=body), fake_server)
    assert isinstance(completion, Completion)
    assert (completion.finish, completion.text) == ("filter", "")
    assert completion.usage.estimated
    assert completion.usage.input_tokens > 0


FAULTS: dict[Fault, tuple[type[EngineError], str]] = {
    "hang": (AttemptTimedOut, "within 0.5 seconds"),
    "stall": (AttemptTimedOut, "within 0.5 seconds"),
    "drip": (AttemptTimedOut, "within 0.5 seconds"),
    "reset": (ConnectionLost, "reset by peer"),
    "reset_after_headers": (ConnectionLost, "before the reply was whole"),
    "close": (ConnectionLost, "disconnected"),
    "cut_chunks": (ConnectionLost, "before the reply was whole"),
    "cut_length": (ConnectionLost, "before the reply was whole"),
    "bad_gzip": (BrokenReply, "cannot be unpacked"),
    "cut_gzip": (BrokenReply, "it ends too soon"),
    "bomb": (BrokenReply, "is longer than 10000000 bytes"),
    "huge": (BrokenReply, "is longer than 10000000 bytes"),
    "not_http": (BrokenReply, "does not answer in HTTP"),
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_way_to_break_a_reply_has_its_own_class(fake_server: FakeServer, fault: Fault) -> None:
    expected, words = FAULTS[fault]
    seconds = 0.5 if expected is AttemptTimedOut else 20.0
    error = await failure(Reply("A", fault=fault), fake_server, attempt_seconds=seconds)
    assert type(error) is expected, error
    assert words in str(error)
    assert error.retryable
    assert fake_server.base_url in str(error)
    # Sent once, whatever happened: there is one layer of retries, and it is not here (R9).
    assert len(fake_server.asked) == 1


def test_every_fault_of_the_server_is_tested() -> None:
    assert set(FAULTS) == set(get_args(Fault))


async def test_a_stuck_connection_leaves_room_for_the_next_request(fake_server: FakeServer) -> None:
    fake_server.script = lambda asked: Reply("ok", fault="stall" if asked.number <= 4 else None)
    engine = OpenAIEngine(base_url=fake_server.base_url, model="tiny", concurrency=2, attempt_seconds=0.3)
    results = await asyncio.gather(*(engine.complete(ASK) for _ in range(6)), return_exceptions=True)
    await engine.aclose()
    assert [type(result) for result in results] == [AttemptTimedOut] * 4 + [Completion] * 2


@pytest.mark.parametrize(
    ("address", "words"),
    [("http://127.0.0.1:1/v1", "cannot connect"), ("http://models.invalid/v1", "'models.invalid' cannot be looked up")],
)
async def test_nothing_at_the_address_stops_the_run(fake_server: FakeServer, address: str, words: str) -> None:
    error = await failure(Reply(), fake_server, base_url=address)
    assert type(error) is ServerUnreachable
    assert words in str(error)
    assert "base_url" in error.hint


async def test_https_to_a_server_that_speaks_http_stops_the_run(fake_server: FakeServer) -> None:
    error = await failure(Reply(), fake_server, base_url=fake_server.base_url.replace("http:", "https:"))
    assert type(error) is ServerUnreachable


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ECONNREFUSED, ServerUnreachable),
        (errno.EHOSTUNREACH, ServerUnreachable),
        (errno.ENETUNREACH, ServerUnreachable),
        (errno.ECONNRESET, ConnectionLost),
        (errno.EMFILE, ConnectionLost),
    ],
)
async def test_errors_while_connecting_that_pass_by_themselves_do_not_stop_the_run(
    fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch, number: int, kind: type[EngineError]
) -> None:
    async def refuse(*_: Any, **__: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "create_connection", refuse)
    error = await failure(Reply(), fake_server)
    assert type(error) is kind
    assert os.strerror(number) in str(error)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_not_followed_and_the_key_goes_nowhere_else(fake_server: FakeServer, status: int) -> None:
    with FakeServer() as elsewhere:
        target = f"{elsewhere.base_url}/chat/completions"
        error = await failure(Reply(status=status, headers={"Location": target}, body="moved"), fake_server)
        assert type(error) is ServerUnreachable
        assert elsewhere.asked == []


@pytest.mark.parametrize(
    ("status", "kind"), [(429, RateLimited), (503, Overloaded), (529, Overloaded), (408, ServerFault)]
)
@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "2"}, 2.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "99999999"}, 99_999_999.0),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"}, 0.0),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        (
            {
                "x-ratelimit-reset-requests": "1s",
                "x-ratelimit-reset-tokens": "6m0s",
                "x-ratelimit-remaining-tokens": "0",
            },
            360.0,
        ),
    ],
)
async def test_the_servers_wish_to_wait_is_kept(
    fake_server: FakeServer, status: int, kind: type[Transient], headers: dict[str, str], seconds: float | None
) -> None:
    error = await failure(Reply(status=status, headers=headers, body=openai("busy")), fake_server)
    assert isinstance(error, kind)
    assert error.retry_after == seconds


@pytest.mark.parametrize(
    ("parameter", "hint"),
    [
        ("logprobs", "log_probs = false"),
        ("top_logprobs", "top_logprobs = 5"),
        ("seed", "leave the seed out"),
        ("response_format", "schema = false"),
        ("max_tokens", "max_completion_tokens"),
        ("temperature", "temperature = 1"),
        ("frobnicate", "take 'frobnicate' out of `extra`"),
    ],
)
async def test_a_rejected_parameter_is_named_with_the_setting_to_change(
    fake_server: FakeServer, parameter: str, hint: str
) -> None:
    reply = Reply(status=400, body=openai(f"Unsupported parameter: '{parameter}'", param=parameter))
    error = await failure(reply, fake_server, extra={"frobnicate": 1})
    assert type(error) is SettingsRejected
    assert hint in error.hint


async def test_a_parameter_that_was_not_sent_is_not_blamed_on_the_settings(fake_server: FakeServer) -> None:
    reply = Reply(status=400, body=openai("Unsupported parameter: 'tools'", param="tools"))
    assert type(await failure(reply, fake_server)) is RecordRejected


async def test_a_records_text_repeated_far_into_an_error_cannot_stop_the_run(fake_server: FakeServer) -> None:
    hostile = "logprobs is not supported; unknown model; your credit balance is too low"
    reply = Reply(status=400, body=openai(f"Cannot read this message: {'x' * 300} {hostile}"))
    assert type(await failure(reply, fake_server)) is RecordRejected


async def test_hints_say_what_to_do_and_name_the_variable_not_the_key(fake_server: FakeServer) -> None:
    error = await failure(Reply(status=401, body=openai(f"Incorrect API key provided: {KEY}.")), fake_server)
    assert "api_key_env" in error.hint
    assert "Incorrect API key provided: ***." in str(error)


async def test_a_servers_words_are_quoted_short_and_harmless(fake_server: FakeServer) -> None:
    error = await failure(Reply(status=400, body="\x1b[2J\u202e" + "很长 " * 10_000), fake_server)
    message = str(error.args[0])
    assert message.isprintable()
    assert "\\x1b[2J" in message
    assert len(message) < 450


@pytest.mark.parametrize(
    "body", [b"\xff\xfe\x00", "[" * 100_000, "null", "[]", '{"error": null}', '{"error": {"message": 5}}', "0"]
)
async def test_errors_in_any_form_are_read(fake_server: FakeServer, body: Any) -> None:
    assert type(await failure(Reply(status=500, body=body), fake_server)) is ServerFault
    assert type(await failure(Reply(status=400, body=body), fake_server)) is RecordRejected


async def test_the_body_that_was_sent_is_not_repeated_in_any_error(fake_server: FakeServer) -> None:
    error = await failure(Reply(status=500, body=""), fake_server)
    assert "What does the writer think" not in json.dumps([str(error), repr(error), repr(vars(error))])
