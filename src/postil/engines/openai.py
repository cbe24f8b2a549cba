"""Any server that speaks the OpenAI chat protocol: vLLM, llama.cpp, SGLang, Ollama, the hosted ones."""

import asyncio
import errno
import json
import re
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Final, Literal, TypeVar

import aiohttp
from aiohttp.http_exceptions import ContentEncodingError
from yarl import URL

from postil._version import __version__
from postil.canonical import plain_json
from postil.engines._counting import fewer_tokens_than, most_tokens
from postil.engines._refusals import complaint_of, error_for
from postil.engines._replies import read_completion, withheld
from postil.engines._words import Secret, quoted
from postil.errors import (
    AttemptTimedOut,
    BrokenReply,
    ConnectionLost,
    ContextExceeded,
    DataError,
    EngineError,
    RecordRejected,
    ServerFault,
    ServerUnreachable,
    SettingsError,
)
from postil.types import JSON, Capabilities, Completion, Message, Request

_TOP_LOG_PROBS: Final = 20
_MOST_BYTES: Final = 10_000_000
_LARGE_BODY: Final = 1_000_000
# A key this long does not occur in a reply by chance.
_UNMISTAKABLE_KEY: Final = 16
# A server's count may miss a turn's marks; fewer tokens than this below the bound raise no alarm.
_COUNTING_SLACK: Final = 32
_RESERVED: Final = frozenset({"messages", "model", "n", "stream"})
# Errors while connecting that pass by themselves; all others mean that nothing answers there.
_PASSING: Final = frozenset(
    {errno.ECONNRESET, errno.ECONNABORTED, errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.EINTR}
)
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode

_Number = TypeVar("_Number", int, float)
TokenParameter = Literal["max_tokens", "max_completion_tokens"]


class OpenAIEngine:
    """A client of one server and one model. It sends each request once: trying again is the caller's business (R9).

    Nothing is opened before the first request. Redirects are not followed and proxies from the environment are not
    used, so that texts and key reach the declared host only (reliability P2, I8).
    """

    def __init__(
        self,
        *,
        base_url: str,
        model: str,
        api_key: str | None = None,
        concurrency: int = 64,
        attempt_seconds: float = 120.0,
        log_probs: bool = True,
        schema: bool = False,
        context_tokens: int | None = None,
        extra: Mapping[str, JSON] | None = None,
        token_parameter: TokenParameter = "max_tokens",  # noqa: S107 - no password
    ) -> None:
        """Keep the settings.

        Args:
            base_url: Where the protocol begins, like `http://127.0.0.1:8000/v1`.
            model: The model's name on the server.
            api_key: Sent as a bearer token; kept out of everything that is printed or stored.
            concurrency: Most requests in flight; more wait for their turn before their deadline begins.
            attempt_seconds: Time for one attempt, from connecting to the last byte (reliability R7).
            log_probs: Whether the server returns log-probabilities; choices are then scored by the first token.
            schema: Whether the server holds replies to a JSON schema.
            context_tokens: What one request may take, prompt and reply together, if known.
            extra: More parameters for every request's body; they win over ours.
            token_parameter: How the server calls the limit on a reply's tokens.

        Raises:
            SettingsError: one of them cannot work.
        """
        self._url = _checked_url(base_url)
        self._secret = Secret(_checked_key(api_key))
        self._concurrency = _positive("concurrency", concurrency)
        self._attempt_seconds = _positive("attempt_seconds", attempt_seconds)
        self._model = model
        self._extra = _checked_extra(extra or {})
        self._token_parameter: TokenParameter = token_parameter
        self._log_probs = log_probs
        self._capabilities = Capabilities(
            scores="first_token" if log_probs else "none",
            schema=schema,
            context_tokens=context_tokens,
            token_probabilities=log_probs,
        )
        self._identity: Mapping[str, JSON] = {
            "engine": "openai",
            # Raised when the same reply would be read differently.
            "reading": 1,
            "base_url": base_url.rstrip("/"),
            "model": model,
            "log_probs": log_probs,
            "schema": schema,
            "context_tokens": context_tokens,
            "extra": self._extra,
        }
        key = self._secret.reveal()
        if len(key) >= _UNMISTAKABLE_KEY and key in json.dumps(self._identity, ensure_ascii=False):
            raise SettingsError("the key stands in `base_url`, `model` or `extra`", hint="Pass it as the key only.")
        self._connections: dict[asyncio.AbstractEventLoop, _Connection] = {}

    @property
    def identity(self) -> Mapping[str, JSON]:
        """Address, model, capabilities and extra parameters. The key is not in it."""
        return self._identity

    @property
    def capabilities(self) -> Capabilities:
        """What the settings say that the server can do."""
        return self._capabilities

    async def complete(self, request: Request) -> Completion:
        """Return the completion of a request, sent once.

        Raises:
            RunFatal: no request can work: key, model, quota, address or a setting is wrong.
            RecordRejected: this request can never work; `ContextExceeded` when it is too long or was cut.
            Transient: the server, the connection or the clock ended this attempt.
        """
        body = self.body(request)
        encoded = self._encoded(body, request)
        connection = self._connected()
        async with connection.slots:
            status, headers, received = await self._exchange(connection.session, encoded)
        completion = self._read(status, headers, received, request, body)
        self._check_whole(request, completion)
        return completion

    def read(self, status: int, headers: Mapping[str, str], received: bytes, request: Request) -> Completion:
        """Return the completion in a response that came another way, such as in a file of results.

        Raises:
            EngineError: there is none.
        """
        completion = self._read(status, headers, received, request, self.body(request))
        self._check_whole(request, completion)
        return completion

    @property
    def base_url(self) -> str:
        """Where the protocol begins."""
        return str(self._identity["base_url"])

    @property
    def secret(self) -> Secret:
        """The key, which shows itself to nobody who does not ask for it by name."""
        return self._secret

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return an estimate from above: the tokenizer is the server's own."""
        return most_tokens(messages)

    async def aclose(self) -> None:
        """Close the running event loop's connections; a later request opens new ones."""
        connection = self._connections.pop(asyncio.get_running_loop(), None)
        if connection is not None:
            await connection.session.close()

    def __repr__(self) -> str:
        return f"OpenAIEngine(base_url={self._identity['base_url']!r}, model={self._model!r})"

    def body(self, request: Request) -> dict[str, Any]:
        """Return what is sent for a request, as JSON."""
        body: dict[str, Any] = {
            "model": self._model,
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            self._token_parameter: request.max_tokens,
            "temperature": request.temperature,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.choices and self._log_probs:
            body["logprobs"] = True
            body["top_logprobs"] = _TOP_LOG_PROBS
        elif request.token_probabilities and self._log_probs:
            body["logprobs"] = True
        if request.schema is not None and self._capabilities.schema:
            answer = {"name": "answer", "strict": True, "schema": dict(request.schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": answer}
        body.update(self._extra)
        return body

    def _encoded(self, body: Mapping[str, Any], request: Request) -> bytes:
        """Return the body as bytes, if the server can read it at all.

        Raises:
            RecordRejected: text that is not Unicode; `ContextExceeded`: surely longer than the context.
        """
        limit = self._capabilities.context_tokens
        if limit is not None and not fewer_tokens_than(request.messages, limit):
            raise ContextExceeded(f"the prompt is longer than the context of {limit} tokens; nothing was sent")
        try:
            return _ENCODE(body).encode()
        except UnicodeEncodeError as error:
            character = error.object[error.start]
            raise RecordRejected(
                f"the prompt holds {character!r}, a lone surrogate, which no server can read; nothing was sent"
            ) from None

    def _connected(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        connection = self._connections.get(loop)
        if connection is None:
            self._connections = {other: held for other, held in self._connections.items() if not other.is_closed()}
            connection = self._connections[loop] = _Connection.opened(self._concurrency, self._secret)
        return connection

    async def _exchange(self, session: aiohttp.ClientSession, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        deadline = asyncio.timeout(self._attempt_seconds)
        try:
            async with deadline, session.post(self._url, data=_payload(body), allow_redirects=False) as response:
                return response.status, response.headers, await _received(response)
        except (aiohttp.ClientError, OSError) as error:
            failure = self._translated(error, expired=deadline.expired())
        # Outside the handler: aiohttp's errors hold the request's headers and must not hang on ours as a context.
        raise failure

    def _translated(self, error: Exception, *, expired: bool) -> EngineError:
        if expired:
            return AttemptTimedOut(f"no whole reply from {self._url} within {self._attempt_seconds:g} seconds")
        words = quoted(_cause(error), self._secret)
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return ServerUnreachable(
                f"cannot trust {self._url}: {words}", hint="Make the server's certificate known to this machine."
            )
        if isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno not in _PASSING:
            return ServerUnreachable(
                f"cannot connect to {self._url}: {words}", hint="Check `base_url`, and that the server is running."
            )
        if isinstance(error, aiohttp.ClientResponseError):
            return ServerFault(f"{self._url} does not answer in HTTP: {words}")
        if isinstance(error, aiohttp.ClientPayloadError) and isinstance(error.__cause__, ContentEncodingError):
            return BrokenReply(f"the reply of {self._url} cannot be unpacked: {words}")
        return ConnectionLost(f"the connection to {self._url} broke before the reply was whole: {words}")

    def _read(
        self, status: int, headers: Mapping[str, str], received: bytes, request: Request, body: Mapping[str, Any]
    ) -> Completion:
        if 200 <= status < 300:
            key = self._secret.reveal()
            if len(key) >= _UNMISTAKABLE_KEY and key.encode() in received:
                raise BrokenReply(f"the reply of {self._url} repeats the key; it was thrown away")
            reply = _parsed(received, self._url)
            error = reply.get("error") if isinstance(reply, dict) else None
            if not error:
                return read_completion(reply, request)
            status = _status_within(error)
        complaint = complaint_of(status, headers, received, time.time())
        if complaint.withheld:
            return withheld(request)
        raise error_for(complaint, url=str(self._url), secret=self._secret, sent=body.keys())

    def _check_whole(self, request: Request, completion: Completion) -> None:
        """Refuse a reply to a prompt that the server cut in silence (reliability A11).

        Told by the server's own count of the tokens it read, against a bound that no tokenizer goes below. Servers
        that leave cached tokens out of the count have them added.

        Raises:
            ContextExceeded: the server read less than it was sent.
        """
        usage = completion.usage
        if usage.estimated:
            return
        read = usage.input_tokens + usage.cached_tokens
        if not fewer_tokens_than(request.messages, read + _COUNTING_SLACK):
            raise ContextExceeded(
                f"{self._url} read only {read} tokens of a longer prompt: it cut the text in silence",
                hint="Give the server a larger context, or shorten the text.",
            )


@dataclass(frozen=True, slots=True)
class _Connection:
    """What belongs to one event loop."""

    session: aiohttp.ClientSession
    slots: asyncio.Semaphore

    @classmethod
    def opened(cls, concurrency: int, secret: Secret) -> "_Connection":
        headers = {
            "Content-Type": "application/json",
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "User-Agent": f"postil/{__version__}",
        }
        if secret.reveal():
            headers["Authorization"] = f"Bearer {secret.reveal()}"
        session = aiohttp.ClientSession(
            # The slots limit it: whoever waits for a connection here would wait against its deadline.
            connector=aiohttp.TCPConnector(limit=0),
            headers=headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            # One deadline, ours, around everything.
            timeout=aiohttp.ClientTimeout(total=None, connect=None, sock_connect=None, sock_read=None),
            trust_env=False,
        )
        return cls(session, asyncio.Semaphore(concurrency))


def _payload(body: bytes) -> bytes | BytesIO:
    """Return a body as aiohttp wants it: a large one as a stream, or it warns that the loop is held up."""
    return body if len(body) < _LARGE_BODY else BytesIO(body)


async def _received(response: aiohttp.ClientResponse) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := await response.content.readany():
        size += len(chunk)
        if size > _MOST_BYTES:
            raise BrokenReply(f"the reply of {response.url} is longer than {_MOST_BYTES} bytes")
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _parsed(received: bytes, url: URL) -> Any:
    try:
        return json.loads(received.decode())
    except UnicodeDecodeError:
        problem = "is not UTF-8"
    except (ValueError, RecursionError):
        problem = "is not JSON"
    raise BrokenReply(f"the reply of {url} {problem}", hint="Check that `base_url` is the address of a model server.")


def _status_within(error: Any) -> int:
    """Return the status that an error inside a reply of status 200 names, as gateways write it."""
    code = str(error.get("code")) if isinstance(error, dict) else ""
    return int(code) if re.fullmatch(r"[45]\d\d", code, re.ASCII) else 500


def _cause(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if isinstance(error, aiohttp.ClientConnectorError):
        if isinstance(error.os_error, socket.gaierror):
            return f"the name {error.host!r} cannot be looked up"
        return error.os_error.strerror or str(error.os_error)
    if isinstance(error, aiohttp.ClientResponseError):
        return error.message
    return str(error) or type(error).__name__


def _checked_url(base_url: str) -> URL:
    try:
        url = URL(base_url)
        problem = _url_problem(url)
    except (ValueError, UnicodeError):
        problem = "is no address"
        url = URL()
    if problem:
        # A key or password may stand in the parts that are left out.
        shown = "…" if "@" in base_url else quoted(re.split("[?#]", base_url)[0], Secret(""))
        raise SettingsError(f"`base_url` {problem}: {shown!r}", hint="Write it like http://127.0.0.1:8000/v1.")
    return URL(f"{base_url.rstrip('/')}/chat/completions")


def _url_problem(url: URL) -> str:
    if url.scheme not in ("http", "https") or not url.host:
        return "must begin with http:// or https:// and a host"
    if url.user or url.password or url.query_string or url.fragment:
        return "must hold no user, password, query or fragment (the key goes into an environment variable)"
    if url.path.rstrip("/").endswith("/chat/completions"):
        return 'must end before "/chat/completions"'
    url.host.encode("idna")
    return ""


def _checked_key(api_key: str | None) -> str:
    key = api_key or ""
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError("the key holds a space, a line break or a letter that no key has; it is not shown here")
    return key


def _positive(name: str, number: _Number) -> _Number:
    if not number > 0:
        raise SettingsError(f"`{name}` must be above 0, got {number!r}")
    return number


def _checked_extra(extra: Mapping[str, JSON]) -> dict[str, JSON]:
    taken = sorted(_RESERVED & extra.keys())
    if taken:
        raise SettingsError(f"`extra` cannot hold {', '.join(map(repr, taken))}: the engine writes them itself")
    try:
        return plain_json(extra)
    except DataError as error:
        raise SettingsError(f"`extra` must be JSON: {error}") from None
