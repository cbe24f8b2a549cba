"""A real server on 127.0.0.1 that speaks the OpenAI chat protocol, answers by a script, and fails on demand.

It runs in a thread of its own, so that synchronous tests and subprocesses can talk to it. The fixture `fake_server`
of `conftest.py` starts one and stops it:

    def test_something(fake_server):
        fake_server.script = lambda asked: Reply("positive") if asked.attempt > 1 else Reply(status=500)
        engine = OpenAIEngine(base_url=fake_server.base_url, model="m")
        ...
        assert len(fake_server.asked) == 2
"""

import asyncio
import collections
import contextlib
import gzip
import json
import math
import re
import socket
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Literal, Self

from aiohttp import web

Fault = Literal[
    "hang",  # accepts, reads, never answers
    "stall",  # headers and the first bytes, then nothing
    "drip",  # one byte every twentieth of a second
    "reset",  # the connection is reset before an answer
    "reset_after_headers",
    "close",  # closed in good order, without an answer
    "cut_chunks",  # chunked body without its end
    "cut_length",  # fewer bytes than Content-Length says
    "bad_gzip",
    "cut_gzip",
    "bomb",  # 20 KB of gzip that unpack to 20 MB
    "huge",  # 50 MB of JSON
    "not_http",
]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as the server got it."""

    number: int
    """Counts all requests, from 1."""
    attempt: int
    """Counts requests with the same body, from 1."""
    path: str
    headers: Mapping[str, str]
    body: Mapping[str, Any]

    @property
    def text(self) -> str:
        """The last message."""
        return self.body["messages"][-1]["content"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer, and what to do wrong on the way."""

    text: str | None = "ok"
    finish: str | None = "stop"
    tops: Sequence[Mapping[str, float]] = ()
    """For each token of the reply the probabilities of the likeliest tokens; the first of them was sampled."""
    message: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """More fields of the message, like a refusal."""
    usage: Mapping[str, Any] | Literal["counted", "missing"] = "counted"
    model: str | None = None
    """The model named in the reply; by default the one asked for."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: Any = None
    """Takes the place of the whole body: bytes as they are, text as UTF-8, all else as JSON."""
    delay: float = 0.0
    fault: Fault | None = None


Script = Callable[[Asked], Reply | str]


class FakeServer:
    """The server. `asked` is all it was asked, `billed` how many replies it finished making, heard or not."""

    def __init__(self, script: Script = lambda _: Reply()) -> None:
        self.script = script
        self.asked: list[Asked] = []
        self.billed = 0
        self.most_in_flight = 0
        self.port = 0
        self._in_flight = 0
        self._connections: set[tuple[str, int]] = set()
        self._attempts: collections.Counter[bytes] = collections.Counter()
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def connections(self) -> int:
        """How many connections it was asked on."""
        return len(self._connections)

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        self._loop.close()

    async def _serve(self) -> None:
        application = web.Application(client_max_size=100_000_000)
        self.add_routes(application.router)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        self.port = runner.addresses[0][1]
        self._started.set()
        await self._stopping.wait()
        # asyncio leaks connections that it accepts while its server closes: let them in first.
        await asyncio.sleep(0.01)
        await runner.cleanup()
        await asyncio.sleep(0.01)
        await self._loop.shutdown_default_executor()

    def add_routes(self, router: web.UrlDispatcher) -> None:
        """Say who answers what."""
        router.add_post("/{path:.*}", self._answer)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self._in_flight)
        try:
            return await self._scripted(request)
        finally:
            self._in_flight -= 1

    async def _scripted(self, request: web.Request) -> web.StreamResponse:
        self._connections.add(_transport(request).get_extra_info("peername"))
        raw = await request.read()
        self._attempts[raw] += 1
        body = json.loads(raw)
        asked = Asked(len(self.asked) + 1, self._attempts[raw], request.path, dict(request.headers), body)
        self.asked.append(asked)
        reply = self.script(asked)
        if isinstance(reply, str):
            reply = Reply(reply)
        if reply.delay:
            await self._sleep(reply.delay)
        if reply.status == 200:
            self.billed += 1
        content = _content(reply, asked)
        if reply.fault:
            # A client that is done with us closes first.
            with contextlib.suppress(ConnectionError):
                return await self._misbehave(request, reply.fault, content)
            return web.Response()
        headers = {"Content-Type": "application/json", **reply.headers}
        return web.Response(status=reply.status, headers=headers, body=content)

    async def _sleep(self, seconds: float) -> None:
        """Wait so long, or until the server is stopped."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _misbehave(self, request: web.Request, fault: Fault, content: bytes) -> web.StreamResponse:
        if fault == "hang":
            await self._stopping.wait()
        elif fault == "reset":
            _reset(request)
        elif fault == "close":
            _transport(request).close()
        elif fault == "not_http":
            _transport(request).write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
            _transport(request).close()
        elif fault in ("bad_gzip", "cut_gzip", "bomb"):
            return web.Response(body=_packed(fault, content), headers={"Content-Encoding": "gzip"})
        else:
            return await self._misbehave_in_body(request, fault, content)
        return web.Response()

    async def _misbehave_in_body(self, request: web.Request, fault: Fault, content: bytes) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if fault == "cut_length":
            response.content_length = len(content) + 100
        await response.prepare(request)
        if fault == "reset_after_headers":
            _reset(request)
        elif fault == "drip":
            for i in range(len(content)):
                await response.write(content[i : i + 1])
                await self._sleep(0.05)
        elif fault == "huge":
            for _ in range(800):
                await response.write(b" " * 65_536)
        else:
            await response.write(content if fault == "cut_length" else content[: len(content) // 2])
            if fault == "stall":
                await self._stopping.wait()
            _transport(request).close()
        return response


def chat_completion(reply: Reply, asked: Asked) -> dict[str, Any]:
    """Return the body of a chat completion."""
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": reply.text, **reply.message},
        "finish_reason": reply.finish,
        "logprobs": {"content": [_position(top) for top in reply.tops]} if reply.tops else None,
    }
    completion: dict[str, Any] = {
        "id": f"chatcmpl-{asked.number}",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": asked.body["model"] if reply.model is None else reply.model,
        "choices": [choice],
    }
    if reply.usage != "missing":
        completion["usage"] = _count(reply, asked) if reply.usage == "counted" else reply.usage
    return completion


def _content(reply: Reply, asked: Asked) -> bytes:
    body = chat_completion(reply, asked) if reply.body is None else reply.body
    if isinstance(body, bytes):
        return body
    return body.encode() if isinstance(body, str) else json.dumps(body).encode()


def _position(top: Mapping[str, float]) -> dict[str, Any]:
    entries = [
        {"token": token, "logprob": math.log(probability), "bytes": list(token.encode())}
        for token, probability in top.items()
    ]
    return {**entries[0], "top_logprobs": entries}


def _count(reply: Reply, asked: Asked) -> dict[str, Any]:
    words = [re.findall(r"\w{1,4}|\S", message["content"]) for message in asked.body["messages"]]
    read, written = sum(map(len, words)) + 4 * len(words), len(re.findall(r"\w{1,4}|\S", reply.text or ""))
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _packed(fault: Fault, content: bytes) -> bytes:
    if fault == "bomb":
        return gzip.compress(b" " * 20_000_000, compresslevel=9)
    packed = gzip.compress(content)
    return packed[: len(packed) // 2] if fault == "cut_gzip" else packed[:10] + b"\xff\xee\xdd" * 10


def _transport(request: web.Request) -> asyncio.Transport:
    transport = request.transport
    if not isinstance(transport, asyncio.Transport):
        raise ConnectionResetError
    return transport


def _reset(request: web.Request) -> None:
    transport = _transport(request)
    # Lingering for no time makes the kernel send a reset instead of an orderly end.
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
