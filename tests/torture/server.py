"""A model server made to fail (reliability H1): a process of its own that answers by a seeded script and bills.

    python server.py FOLDER

It speaks the OpenAI chat protocol on 127.0.0.1, imports nothing of the project, and serves many scenarios at once, each
with a script, an arrivals log and a billing log of its own:

    PUT  /NAME/script                    the script, JSON as below
    POST /NAME/v1/chat/completions       what a client asks; `base_url` is http://127.0.0.1:PORT/NAME/v1
    POST /NAME/v1/files, /NAME/v1/batches, and what belongs to them: the batch lane

Each prompt carries the nonce of its record, and each answer a *proof*, the HMAC of that nonce under a key that only the
server and the checker know: an answer that ended at another record gives itself away. What must never become a label
carries the proof of something else, however well it reads.

`NAME.arrivals.jsonl` has a line for each request when it has come. `NAME.billing.jsonl` has a line for each reply that
a provider would put on its invoice, written and synced when the reply is made, before a byte of it is sent and also
when the client has gone: it is the oracle for money.

A script holds `seed`; `labels`; `delay` = [least, most] seconds before the billing, and `after` = the same between the
billing and the reply; `faults`: action -> share of the attempts; `sticky`: action -> share of the nonces, for good;
`fixed`: nonce -> actions of its attempts, the last one for all further ones; `from_number`: number of the request ->
action from there on; `drip`: seconds between two bytes; `echo`: whether errors repeat the key; `batch`: `seconds` that
a batch takes, the share that is `finished` when it expires, and the shares of lines that are missing in its results
(`drop`) or there twice (`repeat`). What happens depends on seed, nonce and attempt, never on time.

`NAME.batches.jsonl` has a line for each batch that was taken.
"""

import asyncio
import base64
import collections
import contextlib
import gzip
import hashlib
import hmac
import json
import math
import os
import re
import secrets
import socket
import struct
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any, Final

from aiohttp import web

NONCE: Final = re.compile(r"nonce-[0-9a-f]{16}")
LABELS: Final = ("alpha", "beta", "gamma", "delta")
INPUT_PRICE: Final = 2.0
OUTPUT_PRICE: Final = 8.0
"""Dollars for a million tokens."""

_HUGE: Final = 50_000_000


def proof_of(key: bytes, *words: str) -> str:
    """Return what nobody can say of these words without the key."""
    return hmac.new(key, "\0".join(words).encode(), hashlib.sha256).hexdigest()[:16]


def label_of(proof: str, labels: tuple[str, ...] = LABELS) -> str:
    """Return the one right label of a record whose nonce has this proof."""
    return labels[int(proof, 16) % len(labels)]


def share_of(*words: object) -> float:
    """Return a number from 0 to below 1 that follows from the words alone."""
    raw = hashlib.sha256("\0".join(map(str, words)).encode()).digest()
    return int.from_bytes(raw[:7], "big") / 2**56


def tokens_in(text: str) -> int:
    """Return how many tokens a text has for this server."""
    return len(re.findall(r"\w{1,4}|\S", text))


@dataclass(frozen=True)
class Ask:
    """One request, and what a right answer to it is."""

    number: int
    attempt: int
    nonce: str
    body: Mapping[str, Any]
    proof: str
    wrong: str
    """The proof that an answer carries which must not become a label."""
    label: str
    other: str
    """Another label of the set."""

    @property
    def input_tokens(self) -> int:
        return sum(4 + tokens_in(message["content"]) for message in self.body["messages"])

    @property
    def most(self) -> int:
        return int(self.body.get("max_tokens") or self.body.get("max_completion_tokens") or 16)

    @property
    def right(self) -> str:
        return f"proof-{self.proof}\nLabel: {self.label}"

    @property
    def false(self) -> str:
        return f"proof-{self.wrong}\nLabel: {self.label}"


@dataclass(frozen=True)
class Answer:
    """What is sent, what it costs, and whether it may become a label."""

    body: Any = None
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    output_tokens: int = 0
    billed: bool = True
    good: bool = False


def completion(
    ask: Ask,
    text: str | None,
    *,
    finish: str | None = "stop",
    good: bool = False,
    message: Mapping[str, Any] | None = None,
    tokens: int | None = None,
    **top: Any,
) -> Answer:
    """Return a chat completion; `top` replaces its outermost fields, a field that is "absent" is left out."""
    written = min(ask.most, tokens_in(text or "")) if tokens is None else tokens
    choice: dict[str, Any] = {
        "index": 0,
        "message": {"role": "assistant", "content": text, **(message or {})},
        "finish_reason": finish,
        "logprobs": _log_probs(ask) if ask.body.get("logprobs") else None,
    }
    if finish == "absent":
        del choice["finish_reason"]
    body: dict[str, Any] = {
        "id": f"chatcmpl-{ask.number}",
        "object": "chat.completion",
        "created": 1_760_000_000,
        "model": ask.body["model"],
        "system_fingerprint": "fp-1",
        "choices": [choice],
        "usage": {
            "prompt_tokens": ask.input_tokens,
            "completion_tokens": written,
            "total_tokens": ask.input_tokens + written,
        },
    }
    body = {name: value for name, value in (body | top).items() if not (isinstance(value, str) and value == "absent")}
    return Answer(body, output_tokens=written, good=good)


def _log_probs(ask: Ask) -> dict[str, Any]:
    tops = [{"token": ask.label, "logprob": math.log(0.9)}, {"token": ask.other, "logprob": math.log(0.1)}]
    return {"content": [{**tops[0], "top_logprobs": tops}]}


def refused(status: int, message: str, *, headers: Mapping[str, str] | None = None, **error: Any) -> Answer:
    """Return an error that is not billed."""
    return Answer({"error": {"message": message, **error}}, status, headers or {}, billed=False)


def _limited(**headers: str) -> Callable[[Ask], Answer]:
    return lambda _: refused(429, "Rate limit reached", headers=headers, code="rate_limit_exceeded")


def _several_choices(ask: Ask) -> Answer:
    answer = completion(ask, ask.right, good=True)
    second = {"index": 1, "message": {"role": "assistant", "content": f"Label: {ask.other}"}, "finish_reason": "stop"}
    answer.body["choices"].append(second)
    return answer


def _read_little(ask: Ask) -> Answer:
    """Return an answer to a prompt of which the server read next to nothing (reliability A11)."""
    answer = completion(ask, ask.false)
    answer.body["usage"] = {"prompt_tokens": 16, "completion_tokens": 8, "total_tokens": 24}
    return answer


REPLIES: Final[Mapping[str, Callable[[Ask], Answer]]] = {
    # Right answers, some of them oddly told.
    "ok": lambda ask: completion(ask, ask.right, good=True),
    "several_choices": _several_choices,
    "usage_missing": lambda ask: completion(ask, ask.right, good=True, usage="absent"),
    "other_model": lambda ask: completion(ask, ask.right, good=True, model="another-model-2"),
    "fingerprint": lambda ask: completion(ask, ask.right, good=True, system_fingerprint=f"fp-{ask.number}"),
    # Complete by the protocol, and no answer.
    "length": lambda ask: completion(ask, ask.false, finish="length", tokens=ask.most),
    "length_null": lambda ask: completion(ask, None, finish="length", tokens=ask.most),
    "endless": lambda ask: completion(ask, "more " * ask.most, finish="length", tokens=ask.most),
    "whitespace": lambda ask: completion(ask, '{"label":' + " \n\t" * ask.most, finish="length", tokens=ask.most),
    "content_filter": lambda ask: completion(ask, ask.false, finish="content_filter"),
    "finish_unknown": lambda ask: completion(ask, ask.false, finish="because"),
    "finish_missing": lambda ask: completion(ask, ask.false, finish="absent"),
    "refusal": lambda ask: completion(ask, None, message={"refusal": "I can't help with that."}),
    "refusal_prose": lambda ask: completion(ask, "I'm sorry, but I can't label this text as alpha or beta."),
    "empty": lambda ask: completion(ask, ""),
    "null": lambda ask: completion(ask, None),
    "no_choices": lambda ask: completion(ask, None, choices=[]),
    "trailing_prose": lambda ask: completion(ask, f'{{"label": "{ask.label}"}} I hope that this helps you!'),
    "duplicate_keys": lambda ask: completion(ask, f'{{"label": "{ask.other}", "label": "{ask.label}"}}'),
    "off_set": lambda ask: completion(ask, "Label: purple"),
    "two_labels": lambda ask: completion(ask, f"Label: {ask.label}\nLabel: {ask.other}"),
    "tool_call": lambda ask: completion(
        ask, None, finish="tool_calls", message={"tool_calls": [{"function": {"name": "label", "arguments": "{}"}}]}
    ),
    "read_little": _read_little,
    # No completion.
    "html": lambda _: Answer(
        b"<!doctype html><title>Log in</title>", headers={"Content-Type": "text/html"}, billed=False
    ),
    "error_in_200": lambda _: Answer({"error": {"message": "upstream failed", "code": 502}}, billed=False),
    "bad_utf8": lambda ask: Answer(
        json.dumps(completion(ask, "\u00ff").body, ensure_ascii=False).encode("latin-1"), output_tokens=1
    ),
    "429": _limited(),
    "429_negative": _limited(**{"Retry-After": "-5"}),
    "429_short": _limited(**{"Retry-After": "0.05"}),
    "429_date": lambda _: refused(429, "slow down", headers={"Retry-After": formatdate(time.time() - 3, usegmt=True)}),
    "429_huge": _limited(**{"Retry-After": "1e300"}),
    "429_day": _limited(**{"Retry-After": "86400"}),
    "500": lambda _: refused(500, "The server had an error"),
    "503": lambda _: refused(503, "no healthy upstream"),
    "529": lambda _: refused(529, "Overloaded", type="overloaded_error"),
    "400_filter": lambda _: refused(400, "triggered our content management policy", code="content_filter"),
    "400_length": lambda _: refused(400, "maximum context length is 10 tokens", code="context_length_exceeded"),
    "401": lambda _: refused(401, "Incorrect API key provided", code="invalid_api_key"),
    "402": lambda _: refused(402, "credit balance is too low", code="insufficient_quota"),
    "404": lambda _: refused(404, "The model does not exist", code="model_not_found"),
}
TRANSPORT: Final = frozenset(
    {
        "hang",  # generated, billed, never sent
        "drip",  # a byte now and then
        "stall",  # headers and half of the body, then nothing
        "reset",  # the connection is reset before the headers
        "reset_after_headers",
        "close",
        "cut_chunks",  # a chunked body without its end
        "cut_length",  # fewer bytes than Content-Length says
        "bad_gzip",
        "cut_gzip",
        "huge",  # 50 MB
        "not_http",
    }
)
ACTIONS: Final = frozenset(REPLIES) | TRANSPORT
SAY: Final = "say:"
CUT: Final = "cut:"
"""Before any text: the reply is that text, and was cut there; with `SAY` it ends there."""
GOOD: Final = frozenset({"ok", "several_choices", "usage_missing", "other_model", "fingerprint"})
"""Actions whose answers are labels."""


Line = tuple[str, Ask, str]
"""One request of a batch: its custom id, and what happens to it."""


def _answer(ask: Ask, action: str) -> Answer:
    """Return what an action comes to; what is sent badly reads well and must not become a label."""
    if action in REPLIES:
        return REPLIES[action](ask)
    if action.startswith(SAY):
        return completion(ask, action.removeprefix(SAY))
    if action.startswith(CUT):
        return completion(ask, action.removeprefix(CUT), finish="length", tokens=ask.most)
    # This one may arrive whole after all.
    return completion(ask, ask.right, good=True) if action == "drip" else completion(ask, ask.false)


@dataclass
class Scenario:
    """One script and what came of it."""

    folder: Path
    name: str
    key: bytes
    script: dict[str, Any] = field(default_factory=dict[str, Any])
    number: int = 0
    attempts: collections.Counter[str] = field(default_factory=collections.Counter[str])

    def __post_init__(self) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        self._arrivals = os.open(self.folder / f"{self.name}.arrivals.jsonl", flags)
        self._billing = os.open(self.folder / f"{self.name}.billing.jsonl", flags)
        self._batches = os.open(self.folder / f"{self.name}.batches.jsonl", flags)
        self.files: dict[str, bytes] = {}
        self.batches: list[dict[str, Any]] = []

    def ask(self, body: Mapping[str, Any]) -> Ask:
        """Number a request and return it."""
        self.number += 1
        nonce = _nonce(body["messages"])
        self.attempts[nonce] += 1
        labels = tuple(self.script.get("labels", LABELS))
        proof = proof_of(self.key, nonce)
        wrong = proof_of(self.key, nonce, "wrong", str(self.number))
        label = label_of(proof, labels)
        other = labels[(labels.index(label) + 1) % len(labels)]
        return Ask(self.number, self.attempts[nonce], nonce, body, proof, wrong, label, other)

    def action(self, ask: Ask) -> str:
        """Return what happens to a request."""
        script, seed = self.script, self.script.get("seed", 0)
        fixed = script.get("fixed", {}).get(ask.nonce)
        if fixed:
            return fixed[min(ask.attempt, len(fixed)) - 1]
        for number, action in sorted(script.get("from_number", {}).items(), key=lambda pair: -int(pair[0])):
            if ask.number >= int(number):
                return action
        sticky = _drawn(script.get("sticky", {}), share_of(seed, "sticky", ask.nonce))
        return sticky or _drawn(script.get("faults", {}), share_of(seed, ask.nonce, ask.attempt)) or "ok"

    def pause(self, ask: Ask, which: str) -> float:
        """Return the seconds of a delay."""
        least, most = self.script.get(which, (0.0, 0.0))
        return least + (most - least) * share_of(self.script.get("seed", 0), which, ask.nonce, ask.attempt)

    def arrived(self, ask: Ask, action: str, headers: Mapping[str, str]) -> None:
        """Note a request that has come."""
        self._line(self._arrivals, ask, action, {"headers": dict(headers), "body": ask.body})

    def bill(self, ask: Ask, action: str, answer: Answer) -> None:
        """Put a reply on the invoice, for good."""
        usd = (ask.input_tokens * INPUT_PRICE + answer.output_tokens * OUTPUT_PRICE) / 1e6
        tokens = {"input_tokens": ask.input_tokens, "output_tokens": answer.output_tokens, "usd": usd}
        self._line(self._billing, ask, action, {**tokens, "proof": ask.proof if answer.good else None})
        os.fsync(self._billing)

    def hand_over(self, file: str, metadata: Mapping[str, str]) -> tuple[dict[str, Any], list[Line]]:
        """Take a batch and note it; return it as a client sees it, and its lines."""
        batch: dict[str, Any] = {
            "id": f"batch-{len(self.batches) + 1}",
            "object": "batch",
            "status": "in_progress",
            "metadata": dict(metadata),
        }
        self.batches.append(batch)
        rows = [json.loads(line) for line in self.files[file].splitlines()]
        lines: list[Line] = []
        for row in rows:
            ask = self.ask(row["body"])
            action = self.action(ask)
            # Nothing of a batch can be sent badly: it is sent as a file.
            action = "ok" if action in TRANSPORT else action
            self.arrived(ask, action, {})
            lines.append((row["custom_id"], ask, action))
        note = {"at": time.time(), "id": batch["id"], "metadata": batch["metadata"], "requests": len(lines)}
        os.write(self._batches, json.dumps(note).encode() + b"\n")
        return batch, lines

    def work_off(self, batch: dict[str, Any], lines: list[Line]) -> None:
        """Answer and bill a batch, in an order of its own, and lay its results down."""
        script, seed = self.script.get("batch", {}), self.script.get("seed", 0)
        order = sorted(lines, key=lambda line: share_of(seed, "order", line[1].number))
        done = round(len(order) * script.get("finished", 1.0))
        results: list[dict[str, Any]] = []
        for custom_id, ask, action in order[:done]:
            answer = _answer(ask, action)
            if answer.billed:
                self.bill(ask, action, answer)
            body = answer.body.decode("latin-1") if isinstance(answer.body, bytes) else answer.body
            row = {"custom_id": custom_id, "response": {"status_code": answer.status, "body": body}, "error": None}
            copies = 2 if share_of(seed, "repeat", ask.number) < script.get("repeat", 0.0) else 1
            results += [row] * (0 if share_of(seed, "drop", ask.number) < script.get("drop", 0.0) else copies)
        expired = [
            {"custom_id": custom_id, "response": None, "error": {"code": "batch_expired", "message": "too late"}}
            for custom_id, _, _ in order[done:]
        ]
        good = [row for row in results if row["response"]["status_code"] == 200]
        bad = [row for row in results if row["response"]["status_code"] != 200] + expired
        for kind, rows in (("output", good), ("error", bad)):
            if rows:
                name = f"{batch['id']}-{kind}"
                self.files[name] = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
                batch[f"{kind}_file_id"] = name
        batch["status"] = "expired" if expired else "completed"

    def _line(self, file: int, ask: Ask, action: str, more: Mapping[str, Any]) -> None:
        line = {"at": time.time(), "number": ask.number, "nonce": ask.nonce, "attempt": ask.attempt, "action": action}
        os.write(file, json.dumps({**line, **more}).encode() + b"\n")


def _nonce(messages: list[Mapping[str, Any]]) -> str:
    """Return the nonce that a request is about: the last one, for demonstrations come before."""
    found = [nonce for message in messages for nonce in NONCE.findall(message["content"])]
    return found[-1] if found else "none"


def _drawn(shares: Mapping[str, float], draw: float) -> str | None:
    for action, share in shares.items():
        draw -= share
        if draw < 0:
            return action
    return None


class Server:
    """All scenarios on one port."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = secrets.token_bytes(32)
        (folder / "key").write_text(self.key.hex(), encoding="ascii")
        self.scenarios: dict[str, Scenario] = {}
        self.stopping = asyncio.Event()

    async def serve(self) -> None:
        """Say the port on stdout and answer until stdin ends."""
        application = web.Application(client_max_size=200_000_000)
        application.router.add_put("/{scenario}/script", self.take_script)
        application.router.add_post("/{scenario}/v1/chat/completions", self.answer)
        application.router.add_post("/{scenario}/v1/files", self.take_file)
        application.router.add_get("/{scenario}/v1/files/{file}/content", self.give_file)
        application.router.add_post("/{scenario}/v1/batches", self.take_batch)
        application.router.add_get("/{scenario}/v1/batches", self.list_batches)
        application.router.add_get("/{scenario}/v1/batches/{batch}", self.give_batch)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, backlog=1024)
        await site.start()
        sys.stdout.write(f"{runner.addresses[0][1]}\n")
        sys.stdout.flush()
        # Whoever started the server holds its stdin: it never outlives them.
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
        self.stopping.set()
        await runner.cleanup()

    def scenario(self, request: web.Request) -> Scenario:
        """Return the scenario of a path."""
        name = request.match_info["scenario"]
        if name not in self.scenarios:
            self.scenarios[name] = Scenario(self.folder, name, self.key)
        return self.scenarios[name]

    async def take_script(self, request: web.Request) -> web.Response:
        """Take a script; counts go on."""
        script = await request.json()
        unknown = {action for part in ("faults", "sticky") for action in script.get(part, {})} - ACTIONS
        unknown = {action for action in unknown if not action.startswith((SAY, CUT))}
        if unknown:
            return web.Response(status=400, text=f"no such actions: {sorted(unknown)}")
        self.scenario(request).script = script
        return web.Response()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Do what the script says."""
        scenario = self.scenario(request)
        ask = scenario.ask(json.loads(await request.read()))
        action = scenario.action(ask)
        scenario.arrived(ask, action, request.headers)
        await asyncio.sleep(scenario.pause(ask, "delay"))
        answer = _answer(ask, action)
        if answer.billed:
            scenario.bill(ask, action, answer)
        await asyncio.sleep(scenario.pause(ask, "after"))
        if scenario.script.get("echo"):
            # As some servers do, it repeats what it was sent in what it says.
            answer = replace(answer, body=_with_key(answer.body, request.headers.get("Authorization", "")))
        content = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
        if action in TRANSPORT:
            # A client that has given up closes first.
            with contextlib.suppress(ConnectionError):
                return await self.misbehave(request, action, content, scenario.script.get("drip", 10.0))
            return web.Response()
        headers = {"Content-Type": "application/json", **answer.headers}
        return web.Response(status=answer.status, body=content, headers=headers)

    async def take_file(self, request: web.Request) -> web.Response:
        """Take a file of requests."""
        scenario, form = self.scenario(request), await request.post()
        name = f"file-{len(scenario.files) + 1}"
        file = form["file"]
        assert isinstance(file, web.FileField)
        scenario.files[name] = file.file.read()
        return web.json_response({"id": name})

    async def give_file(self, request: web.Request) -> web.Response:
        """Return a file of results."""
        return web.Response(body=self.scenario(request).files[request.match_info["file"]])

    async def take_batch(self, request: web.Request) -> web.Response:
        """Take a batch; it is worked off whatever becomes of the client."""
        scenario, body = self.scenario(request), await request.json()
        batch, lines = scenario.hand_over(body["input_file_id"], body.get("metadata", {}))
        seconds = scenario.script.get("batch", {}).get("seconds", 0.05)
        asyncio.get_running_loop().call_later(seconds, scenario.work_off, batch, lines)
        return web.json_response(batch)

    async def list_batches(self, request: web.Request) -> web.Response:
        """Return all batches."""
        return web.json_response({"data": self.scenario(request).batches, "has_more": False})

    async def give_batch(self, request: web.Request) -> web.Response:
        """Return one batch."""
        wanted = request.match_info["batch"]
        return web.json_response(next(each for each in self.scenario(request).batches if each["id"] == wanted))

    async def misbehave(self, request: web.Request, action: str, content: bytes, drip: float) -> web.StreamResponse:
        """Send a good answer badly."""
        if action == "hang":
            await self.until_left(request)
        elif action == "reset":
            _reset(request)
        elif action == "close":
            _transport(request).close()
        elif action == "not_http":
            _transport(request).write(b"SSH-2.0-OpenSSH_9.9\r\n\r\n")
            _transport(request).close()
        elif action in ("bad_gzip", "cut_gzip"):
            packed = gzip.compress(content)
            broken = packed[: len(packed) // 2] if action == "cut_gzip" else packed[:10] + b"\xff\xee\xdd" * 20
            return web.Response(body=broken, headers={"Content-Encoding": "gzip"})
        else:
            return await self.misbehave_in_body(request, action, content, drip)
        return web.Response()

    async def misbehave_in_body(
        self, request: web.Request, action: str, content: bytes, drip: float
    ) -> web.StreamResponse:
        """Send the headers, and then go wrong."""
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        if action == "cut_length":
            response.content_length = len(content) + 100
        await response.prepare(request)
        if action == "drip":
            for at in range(len(content)):
                await response.write(content[at : at + 1])
                await self.wait(request, drip)
            return response
        if action == "huge":
            for _ in range(_HUGE // 65_536):
                await response.write(b" " * 65_536)
        elif action == "reset_after_headers":
            _reset(request)
            return response
        else:
            await response.write(content if action == "cut_length" else content[: len(content) // 2])
        if action == "stall":
            await self.until_left(request)
        _transport(request).close()
        return response

    async def until_left(self, request: web.Request) -> None:
        """Wait until the client has gone."""
        while not (self.stopping.is_set() or request.transport is None or request.transport.is_closing()):  # noqa: ASYNC110
            # Nothing tells when a client leaves.
            await asyncio.sleep(0.05)

    async def wait(self, request: web.Request, seconds: float) -> None:
        """Wait so long, or until the client has gone."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.until_left(request), seconds)


def _with_key(body: Any, key: str) -> Any:
    if isinstance(body, bytes):
        return body + key.encode()
    body["error"]["message"] += f" (you sent {key}, that is {key[-40:]} or {base64.b64encode(key.encode()).decode()})"
    return body


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


async def main() -> None:
    """Serve in the folder named by the only argument."""
    await Server(Path(sys.argv[1])).serve()


if __name__ == "__main__":
    asyncio.run(main())
