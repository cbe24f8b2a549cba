"""Many requests handed over in a file and answered within a day, for less: the OpenAI Batch protocol.

A batch is submitted with a token of ours in its metadata, so that after a crash between submitting it and writing its
id down it is found again and never submitted twice (reliability R6). Results are joined on the custom id only (R4), and
both result files are read, that of finished requests and that of failed ones (R5).
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

import aiohttp
from yarl import URL

from postil.engines._words import Secret, quoted
from postil.errors import BrokenReply, ConnectionLost, EngineError, ServerFault
from postil.types import Completion, Request

__all__ = ["BATCH_BYTES", "BATCH_REQUESTS", "Batch", "BatchEngine", "BatchState", "Batches", "OpenAIBatches", "Result"]

BATCH_REQUESTS: Final = 50_000
"""The most requests of one batch that providers take."""
BATCH_BYTES: Final = 190_000_000
"""Providers take files of 200 MB; a little room is left."""

_METADATA: Final = "postil"
"""The key under which the token stands."""
_PAGES: Final = 100
_NOT_DONE: Final = frozenset({"batch_expired", "batch_cancelled", "request_cancelled"})

BatchState = Literal["working", "ended", "failed"]
"""`working`: not all is answered yet; `ended`: what is answered can be read; `failed`: nothing was ever asked."""


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as the provider sees it."""

    id: str
    state: BatchState
    status: str
    """In the provider's words."""
    files: tuple[str, ...] = ()
    """Of results: finished requests, and failed ones."""
    too_much: bool = False
    """It failed because more tokens are enqueued than the account may have at once."""
    message: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """One line of a result file: what came of the request of a custom id."""

    custom_id: str
    reply: Completion | EngineError


class BatchEngine(Protocol):
    """What of an engine a batch lane needs: its requests as bodies, and its way of reading replies."""

    @property
    def base_url(self) -> str:
        """Where the protocol begins, like "http://127.0.0.1:8000/v1"."""
        ...

    @property
    def secret(self) -> Secret:
        """The key."""
        ...

    def body(self, request: Request) -> Mapping[str, Any]:
        """Return the JSON body of a request."""
        ...

    def read(self, status: int, headers: Mapping[str, str], received: bytes, request: Request) -> Completion:
        """Return the completion in a response.

        Raises:
            EngineError: there is none.
        """
        ...


class Batches(Protocol):
    """The batch lane of a provider. Knows nothing of records, budgets or journals."""

    def line(self, custom_id: str, request: Request) -> bytes:
        """Return the line of a request in the file that is handed over."""
        ...

    async def submit(self, lines: bytes, token: str) -> str:
        """Hand a file of lines over under a token, and return the batch's id.

        Raises:
            EngineError: it was not taken.
        """
        ...

    async def find(self, token: str) -> Batch | None:
        """Return the batch of a token, `None` if it was never submitted.

        Raises:
            EngineError: the provider does not say.
        """
        ...

    async def look(self, batch: str) -> Batch:
        """Return how a batch is doing.

        Raises:
            EngineError: the provider does not say.
        """
        ...

    def results(self, batch: Batch, requests: Mapping[str, Request]) -> AsyncIterator[Result]:
        """Yield what came of each request, in any order; ids that are not in `requests` are yielded too.

        Raises:
            EngineError: a file of results cannot be read.
        """
        ...

    async def cancel(self, batch: str) -> None:
        """Ask the provider to stop; what is answered can still be read.

        Raises:
            EngineError: it was not taken.
        """
        ...

    async def aclose(self) -> None:
        """Release what it holds."""
        ...


class OpenAIBatches:
    """The files and batches of one server that speaks the OpenAI protocol. Each call is sent once."""

    def __init__(self, engine: BatchEngine, *, window: str = "24h", seconds: float = 300.0) -> None:
        """Work for an engine; `window` is what the provider promises, `seconds` the deadline of one call."""
        self._engine = engine
        self._window = window
        self._seconds = seconds
        self._url = URL(engine.base_url)
        self._session: aiohttp.ClientSession | None = None

    def line(self, custom_id: str, request: Request) -> bytes:
        """Return the line of a request in the file that is handed over."""
        body = self._engine.body(request)
        line = {"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}
        # A lone surrogate is escaped: no server could read it otherwise, and the live lane refuses it before.
        return json.dumps(line, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"

    async def submit(self, lines: bytes, token: str) -> str:
        """Hand a file of lines over under a token, and return the batch's id.

        Raises:
            EngineError: it was not taken.
        """
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        form.add_field("file", lines, filename="requests.jsonl", content_type="application/jsonl")
        file = await self._json("POST", "files", data=form)
        asked = {
            "input_file_id": _text(file, "id"),
            "endpoint": "/v1/chat/completions",
            "completion_window": self._window,
            "metadata": {_METADATA: token},
        }
        return _text(await self._json("POST", "batches", json=asked), "id")

    async def find(self, token: str) -> Batch | None:
        """Return the batch of a token, `None` if it was never submitted.

        Raises:
            EngineError: the provider does not say.
        """
        after: dict[str, str] = {}
        for _ in range(_PAGES):
            page = await self._json("GET", "batches", params={"limit": "100", **after})
            listed = page.get("data")
            if not isinstance(listed, list):
                raise BrokenReply(f"expected a list of batches from {self._url}, got {str(page)[:200]}")
            for each in listed:
                if isinstance(each, dict) and (each.get("metadata") or {}).get(_METADATA) == token:
                    return _batch(each)
            if not page.get("has_more") or not listed:
                return None
            after = {"after": _text(listed[-1], "id")}
        raise BrokenReply(f"{self._url} lists more batches than can be looked through")

    async def look(self, batch: str) -> Batch:
        """Return how a batch is doing.

        Raises:
            EngineError: the provider does not say.
        """
        return _batch(await self._json("GET", f"batches/{batch}"))

    async def results(self, batch: Batch, requests: Mapping[str, Request]) -> AsyncIterator[Result]:
        """Yield what came of each request, in any order; ids that are not in `requests` are yielded too.

        Raises:
            EngineError: a file of results cannot be read.
        """
        for file in batch.files:
            received = await self._call("GET", f"files/{file}/content")
            for line in received.split(b"\n"):
                if line.strip():
                    yield self._result(line, requests)

    async def cancel(self, batch: str) -> None:
        """Ask the provider to stop; what is answered can still be read.

        Raises:
            EngineError: it was not taken.
        """
        await self._json("POST", f"batches/{batch}/cancel")

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    def _result(self, line: bytes, requests: Mapping[str, Request]) -> Result:
        try:
            row = json.loads(line)
            custom_id = str(row["custom_id"])
        except (ValueError, LookupError, TypeError):
            return Result("", BrokenReply(f"a line of results is none: {line[:200]!r}"))
        request = requests.get(custom_id)
        if request is None:
            return Result(custom_id, BrokenReply("a result for a request that is not of this batch"))
        try:
            return Result(custom_id, self._completion(row, request))
        except EngineError as error:
            return Result(custom_id, error)

    def _completion(self, row: Mapping[str, Any], request: Request) -> Completion:
        response, error = row.get("response"), row.get("error")
        if isinstance(response, dict) and response.get("body") is not None:
            status = response.get("status_code")
            return self._engine.read(
                status if isinstance(status, int) else 200, {}, json.dumps(response["body"]).encode(), request
            )
        code = error.get("code") if isinstance(error, dict) else None
        if code in _NOT_DONE:
            raise ServerFault(f"the batch ended before this request was answered ({code}); it was not billed")
        raise ServerFault(f"the batch has an error in the place of this answer: {str(error)[:300]}")

    async def _json(self, method: str, path: str, **options: Any) -> Mapping[str, Any]:
        received = await self._call(method, path, **options)
        try:
            found = json.loads(received)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise BrokenReply(f"expected JSON from {self._url / path}, got {received[:200]!r}")
        return found

    async def _call(self, method: str, path: str, **options: Any) -> bytes:
        if self._session is None:
            key = self._engine.secret.reveal()
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            self._session = aiohttp.ClientSession(headers=headers, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False)
        url = self._url / path
        deadline = asyncio.timeout(self._seconds)
        try:
            async with (
                deadline,
                self._session.request(method, url, allow_redirects=False, **options) as response,
            ):
                status, headers, received = response.status, response.headers, await response.read()
        except (aiohttp.ClientError, OSError) as error:
            words = "no answer in time" if deadline.expired() else quoted(str(error), self._engine.secret)
            failure = ConnectionLost(f"{method} {url}: {words}")
        else:
            if 200 <= status < 300:
                return received
            # A complaint about a file or a batch reads like one about a request.
            return self._complain(status, headers, received)
        # Outside the handler: aiohttp's errors hold the request's headers and must not hang on ours as a context.
        raise failure

    def _complain(self, status: int, headers: Mapping[str, str], received: bytes) -> bytes:
        self._engine.read(status, headers, received, Request((), 1))
        raise ServerFault(f"{self._url} answered with status {status}")


def _batch(values: Mapping[str, Any]) -> Batch:
    status = _text(values, "status")
    files = tuple(str(values[key]) for key in ("output_file_id", "error_file_id") if values.get(key))
    state: BatchState = "working"
    if status in ("completed", "expired", "cancelled"):
        state = "ended"
    elif status == "failed":
        state = "failed"
    errors = values.get("errors")
    listed = errors.get("data") if isinstance(errors, dict) else None
    found = [each for each in listed or () if isinstance(each, dict)]
    message = "; ".join(str(each.get("message") or each.get("code")) for each in found)[:500]
    too_much = any(each.get("code") == "token_limit_exceeded" for each in found)
    return Batch(_text(values, "id"), state, status, files, too_much, message)


def _text(values: Any, key: str) -> str:
    value = values.get(key) if isinstance(values, dict) else None
    if not isinstance(value, str) or not value:
        raise BrokenReply(f"expected {key!r} in the provider's answer, got {str(values)[:200]}")
    return value
