"""Many requests handed over in a file and answered within a day, for less: the OpenAI Batch protocol.

A batch is submitted with a token of ours in its metadata, so that after a crash between submitting it and writing its
id down it is found again and never submitted twice (reliability R6). Results are joined on the custom id only (R4), and
both result files are read, that of finished requests and that of failed ones (R5).
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Literal, Protocol, TypeVar

import aiohttp
from yarl import URL

from postil.engines._refusals import complaint_of, error_for
from postil.engines._words import Secret, quoted
from postil.errors import BrokenReply, ConnectionLost, EngineError, ServerFault
from postil.types import Completion, Request

__all__ = ["BATCH_BYTES", "BATCH_REQUESTS", "Batch", "BatchEngine", "BatchState", "Batches", "OpenAIBatches", "Result"]

BATCH_REQUESTS: Final = 50_000
"""The most requests of one batch that providers take."""
BATCH_BYTES: Final = 100_000_000
"""Providers take files of 200 MB; a file is held in memory, and half of that does."""

_METADATA: Final = "postil"
"""The key under which the token stands."""
_PAGES: Final = 100
_SLOWEST: Final = 20_000
"""Bytes a second: the deadline of a large file is so much later."""
_LONGEST_LINE: Final = 10_000_000
"""As long as a reply may be in the live lane."""
_NOT_DONE: Final = frozenset({"batch_expired", "batch_cancelled", "request_cancelled"})

_NOT_THERE: Final = (404, 405, 410, 501)

_Wanted = TypeVar("_Wanted")

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
            ConnectionLost, BrokenReply: nobody knows whether it was taken.
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

    def results(self, batch: Batch, requests: Mapping[str, Request]) -> AsyncGenerator[Result, None]:
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
            ConnectionLost, BrokenReply: nobody knows whether it was taken.
            EngineError: it was not taken.
        """
        asked = {
            "input_file_id": await self._upload(lines),
            "endpoint": "/v1/chat/completions",
            "completion_window": self._window,
            "metadata": {_METADATA: token},
        }
        return _text(await self._json("POST", "batches", json=asked), "id")

    async def _upload(self, lines: bytes) -> str:
        form = aiohttp.FormData()
        form.add_field("purpose", "batch")
        # As a stream, or aiohttp warns that the loop is held up; it shares the bytes.
        form.add_field("file", BytesIO(lines), filename="requests.jsonl", content_type="application/jsonl")
        try:
            return _text(await self._json("POST", "files", data=form, more_seconds=len(lines) / _SLOWEST), "id")
        except (ConnectionLost, BrokenReply) as error:
            # A file by itself is no batch: nothing was submitted.
            raise ServerFault(f"the file of requests was not taken: {error.args[0]}") from None

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
                raise BrokenReply(f"expected a list of batches from {self._url / 'batches'}, got {str(page)[:200]}")
            for each in listed:
                metadata = each.get("metadata") if isinstance(each, dict) else None
                if isinstance(metadata, dict) and metadata.get(_METADATA) == token:
                    return _batch(each)
            if not page.get("has_more") or not listed:
                return None
            after = {"after": _text(listed[-1], "id")}
        raise BrokenReply(f"{self._url / 'batches'} lists more batches than can be looked through")

    async def look(self, batch: str) -> Batch:
        """Return how a batch is doing.

        Raises:
            EngineError: the provider does not say.
        """
        return _batch(await self._json("GET", f"batches/{batch}"))

    async def results(self, batch: Batch, requests: Mapping[str, Request]) -> AsyncGenerator[Result, None]:
        """Yield what came of each request, in any order; ids that are not in `requests` are yielded too.

        Raises:
            EngineError: a file of results cannot be read.
        """
        for file in batch.files:
            async with aclosing(self._lines(f"files/{file}/content")) as lines:
                async for line in lines:
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
        except (ValueError, LookupError, TypeError, RecursionError):
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

    async def _call(self, method: str, path: str, *, more_seconds: float = 0.0, **options: Any) -> bytes:
        """Return what the server answers, whole."""
        deadline = asyncio.timeout(self._seconds + more_seconds)
        try:
            async with deadline, await self._asked(method, path, **options) as response:
                status, headers, received = response.status, response.headers, await response.read()
        except (aiohttp.ClientError, OSError) as error:
            failure = self._lost(method, path, error, expired=deadline.expired())
        else:
            if 200 <= status < 300:
                return received
            failure = self._complaint(path, status, headers, received)
        # Outside the handler: aiohttp's errors hold the request's headers and must not hang on ours as a context.
        raise failure

    async def _lines(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the lines of a file as they come, whatever pieces they come in; it may be larger than memory."""
        async with await self._within(self._seconds, path, self._asked("GET", path)) as response:
            if not 200 <= response.status < 300:
                words = await self._within(self._seconds, path, response.read())
                raise self._complaint(path, response.status, response.headers, words)
            clock, left, rest = asyncio.get_running_loop().time, self._seconds, b""
            while True:
                before = clock()
                chunk = await self._within(left, path, response.content.readany())
                # Only the waiting counts, not what is done with the lines meanwhile.
                left += len(chunk) / _SLOWEST - (clock() - before)
                *lines, rest = (rest + chunk).split(b"\n")
                if not chunk or len(rest) > _LONGEST_LINE:
                    lines, rest = [*lines, rest], b""
                for line in lines:
                    yield line
                if not chunk:
                    return

    async def _within(self, seconds: float, path: str, wanted: Awaitable[_Wanted]) -> _Wanted:
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                return await wanted
        except (aiohttp.ClientError, OSError) as error:
            failure = self._lost("GET", path, error, expired=deadline.expired())
        raise failure

    async def _asked(self, method: str, path: str, **options: Any) -> aiohttp.ClientResponse:
        if self._session is None:
            key = self._engine.secret.reveal()
            headers = {"Authorization": f"Bearer {key}"} if key else {}
            self._session = aiohttp.ClientSession(
                headers=headers,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                # One deadline, ours, around everything.
                timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            )
        return await self._session.request(method, self._url / path, allow_redirects=False, **options)

    def _lost(self, method: str, path: str, error: Exception, *, expired: bool) -> ConnectionLost:
        words = "no answer in time" if expired else quoted(str(error), self._engine.secret)
        return ConnectionLost(f"{method} {self._url / path}: {words}")

    def _complaint(self, path: str, status: int, headers: Mapping[str, str], received: bytes) -> EngineError:
        complaint = complaint_of(status, headers, received, time.time())
        error = error_for(complaint, url=str(self._url / path), secret=self._engine.secret, sent=frozenset())
        if status in _NOT_THERE:
            error.hint = "Servers without files and batches have no batch lane: annotate without --batch."
        return error


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
