"""A model server that answers at once or after a fixed time: what is measured is its client.

    python -m benchmarks.server [--port 0] [--latency-ms 0]

It speaks just enough of the OpenAI chat protocol over HTTP/1.1 on loopback. Each reply is encoded once; a request
costs it some 30 microseconds, several times less than the fastest client here. It answers with the right label of the
text (`benchmarks.job`): bare; as JSON where the body asks for a response format; and with the first token's twenty most
probable tokens where it asks for log-probabilities. `GET /stats` tells what it has seen.

The first line that it prints is its port.
"""

import argparse
import asyncio
import json
import math
import resource
import subprocess
import sys
import urllib.request
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

from benchmarks.job import LABELS, label_of

MODEL: Final = "bench"
BYTES_PER_TOKEN: Final = 4
"""A prompt has a token for so many bytes of the request: who counts on a server's numbers finds them in order."""

_MARKER: Final = b"RID"
_DIGITS: Final = 8
_OTHERS: Final = (
    "the",
    "The",
    "a",
    " ",
    "\n",
    "news",
    "News",
    "I",
    "it",
    "This",
    "this",
    "an",
    "and",
    "in",
    "of",
    "on",
)


def reply_body(label: str, tokens: int, *, log_probs: bool = False, as_json: bool = False) -> bytes:
    """Return a chat completion whose content is a label, for a prompt of so many tokens."""
    content = json.dumps({"label": label}) if as_json else label
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": content, "refusal": None, "tool_calls": []},
        "logprobs": {"content": [_first_token(label)]} if log_probs else None,
        "finish_reason": "stop",
        "stop_reason": None,
    }
    usage = {"prompt_tokens": tokens, "completion_tokens": 2, "total_tokens": tokens + 2}
    body = {
        "id": "chatcmpl-0123456789abcdef0123456789abcdef",
        "object": "chat.completion",
        "created": 1700000000,
        "model": MODEL,
        "choices": [choice],
        "usage": usage,
    }
    return json.dumps(body, separators=(",", ":")).encode()


def _first_token(label: str) -> dict[str, Any]:
    """Return a first token with twenty alternatives, as vLLM writes them."""
    rest = [other for other in LABELS if other != label]
    shares = {label: 0.9, **dict.fromkeys(rest, 0.02), **dict.fromkeys(_OTHERS, 0.002)}
    tokens = [{"token": token, "logprob": math.log(p), "bytes": [*token.encode()]} for token, p in shares.items()]
    return {**tokens[0], "top_logprobs": tokens}


def _response(status: str, body: bytes) -> bytes:
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass(slots=True)
class Stats:
    """What a server has seen."""

    requests: int = 0
    bytes: int = 0
    """Of those requests, heads and bodies."""
    connections: int = 0
    at_once: int = 0
    """The most requests that waited for their replies together."""
    unmarked: int = 0
    """Requests about no text of the job, such as a tool's own trial at start-up; they are not among `requests`."""
    cpu_seconds: float = 0.0


class _Replies:
    """Every reply that was given, encoded once, and the count of those sent."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.stats = Stats()
        self.waiting = 0
        self._known: dict[tuple[str, int, bool, bool], bytes] = {}
        self._unmarked = _response("200 OK", reply_body('{"name": "Jason", "age": 25}', 1))

    def to(self, head: bytes, body: bytes) -> bytes:
        at = body.rfind(_MARKER) + len(_MARKER)
        digits = body[at : at + _DIGITS]
        if not digits.isdigit():
            self.stats.unmarked += 1
            return self._unmarked
        self.stats.requests += 1
        self.stats.bytes += len(head) + len(body)
        asked = (
            label_of(int(digits)),
            len(body) // BYTES_PER_TOKEN,
            b'"logprobs":true' in body,
            b'"response_format"' in body,
        )
        known = self._known.get(asked)
        if known is None:
            label, tokens, log_probs, as_json = asked
            body = reply_body(label, tokens, log_probs=log_probs, as_json=as_json)
            known = self._known[asked] = _response("200 OK", body)
        return known


class _Connection(asyncio.Protocol):
    """One client connection; requests may come in pieces, and several at once."""

    def __init__(self, replies: _Replies, loop: asyncio.AbstractEventLoop) -> None:
        self._replies = replies
        self._loop = loop
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._replies.stats.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._received = self._received + data if self._received else data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end].lower()
            at = head.find(b"content-length:")
            size = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
            whole = end + 4 + size
            if len(self._received) < whole:
                return
            body, self._received = self._received[end + 4 : whole], self._received[whole:]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"post"):
            self._send_later(self._replies.to(head, body))
        elif head.startswith(b"get /stats"):
            usage = resource.getrusage(resource.RUSAGE_SELF)
            self._replies.stats.cpu_seconds = usage.ru_utime + usage.ru_stime
            self._send(_response("200 OK", json.dumps(asdict(self._replies.stats)).encode()))
        else:
            models = {"object": "list", "data": [{"id": MODEL, "object": "model", "created": 0, "owned_by": "bench"}]}
            self._send(_response("200 OK", json.dumps(models).encode()))

    def _send_later(self, reply: bytes) -> None:
        if not self._replies.latency:
            self._send(reply)
            return
        self._replies.waiting += 1
        self._replies.stats.at_once = max(self._replies.stats.at_once, self._replies.waiting)
        self._loop.call_later(self._replies.latency, self._send_waiting, reply)

    def _send_waiting(self, reply: bytes) -> None:
        self._replies.waiting -= 1
        self._send(reply)

    def _send(self, reply: bytes) -> None:
        if self._transport is not None:
            self._transport.write(reply)


async def serve(port: int, latency: float) -> None:
    """Serve on loopback until the process is ended, having printed the port."""
    loop = asyncio.get_running_loop()
    replies = _Replies(latency)
    server = await loop.create_server(lambda: _Connection(replies, loop), "127.0.0.1", port, backlog=2048)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class BenchServer:
    """The server in a process of its own, for as long as a `with` block."""

    def __init__(self, latency_ms: float = 0.0) -> None:
        """Say how long a reply takes; it is started on entry."""
        self._latency_ms = latency_ms
        self._process: subprocess.Popen[str] | None = None
        self.url = ""
        """Where the protocol begins, as clients want it."""

    def __enter__(self) -> Self:
        """Start it and wait until it listens."""
        command = [sys.executable, "-m", "benchmarks.server", "--latency-ms", str(self._latency_ms)]
        self._process = subprocess.Popen(command, cwd=Path(__file__).parents[1], stdout=subprocess.PIPE, text=True)
        port = self._process.stdout.readline().strip() if self._process.stdout else ""
        if not port:
            raise RuntimeError("the bench server did not start")
        self.url = f"http://127.0.0.1:{port}/v1"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        if self._process is not None:
            self._process.terminate()
            self._process.communicate()

    def stats(self) -> Stats:
        """Return what it has seen so far."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"{self.url.removesuffix('/v1')}/stats", timeout=10) as reply:
            return Stats(**json.load(reply))


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--port", type=int, default=0)
    arguments.add_argument("--latency-ms", type=float, default=0.0)
    given = arguments.parse_args()
    asyncio.run(serve(given.port, given.latency_ms / 1000))


if __name__ == "__main__":
    main()
