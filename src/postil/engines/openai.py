"""Any server that speaks the OpenAI chat protocol: vLLM, llama.cpp, SGLang, Ollama, the hosted ones."""

import asyncio
import hashlib
import json
import os
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from yarl import URL

from postil.canonical import plain_json
from postil.engines._counting import fewer_tokens_than, most_tokens
from postil.engines._cut_prompts import PromptLengths
from postil.engines._rate_limits import rate_limits
from postil.engines._refusals import complaint_of, error_for
from postil.engines._replies import read_completion, withheld
from postil.engines._words import Secret, quoted
from postil.errors import BrokenReply, ContextExceeded, DataError, RecordRejected, SettingsError
from postil.types import JSON, Account, Capabilities, Completion, Message, Request

if TYPE_CHECKING:  # TLS takes longer to load than all else here, and not all that makes an engine asks it
    from postil.engines._wire import Wire

_TOP_LOG_PROBS: Final = 20
# A key this long does not occur in a reply by chance.
_UNMISTAKABLE_KEY: Final = 16
# A server's count may miss a turn's marks; fewer tokens than this below the bound raise no alarm.
_COUNTING_SLACK: Final = 32
_RESERVED: Final = frozenset({"messages", "model", "n", "stream"})
_ENCODE: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode
# Keys are told apart by it within this process, and by nobody outside.
_SALT: Final = os.urandom(16)

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
        self._account = Account(
            f"{base_url.rstrip('/')} {hashlib.blake2b(key.encode(), key=_SALT, digest_size=16).hexdigest()}", model
        )
        self._lengths = PromptLengths()
        self._wires: dict[asyncio.AbstractEventLoop, Wire] = {}

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
            RecordRejected: this request can never work; `ContextExceeded` when it is too long.
            Transient: the server, the connection or the clock ended this attempt.
        """
        body = self.body(request)
        encoded = self._encoded(body, request)
        # The same for every attempt, in this run and the next: a server that knows it answers, and bills, only once.
        once = {"Idempotency-Key": f"postil-{hashlib.sha256(encoded).hexdigest()}-{request.replicate}"}
        came = await self._wire().exchange(encoded, once)
        return self._checked(request, self._read(came.status, came.headers, came.body, request, body))

    def read(self, status: int, headers: Mapping[str, str], received: bytes, request: Request) -> Completion:
        """Return the completion in a response that came another way, such as in a file of results.

        Raises:
            EngineError: there is none.
        """
        return self._checked(request, self._read(status, headers, received, request, self.body(request)))

    @property
    def account(self) -> Account:
        """Whom the server counts requests for: the same for all engines with this address and this key."""
        return self._account

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
        wire = self._wires.pop(asyncio.get_running_loop(), None)
        if wire is not None:
            await wire.aclose()

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

    def _wire(self) -> "Wire":
        loop = asyncio.get_running_loop()
        wire = self._wires.get(loop)
        if wire is None:
            from postil.engines._wire import Wire  # noqa: PLC0415 - TLS, with the first request

            self._wires = {other: held for other, held in self._wires.items() if not other.is_closed()}
            wire = self._wires[loop] = Wire.opened(
                self._url, self._secret, seconds=self._attempt_seconds, concurrency=self._concurrency
            )
        return wire

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
                completion = read_completion(reply, request)
                told = rate_limits(headers, time.time())
                return replace(completion, rate_limits=told) if told else completion
            status = _status_within(error)
        complaint = complaint_of(status, headers, received, time.time())
        if complaint.withheld:
            return withheld(request)
        raise error_for(complaint, url=str(self._url), secret=self._secret, sent=body.keys())

    def _checked(self, request: Request, completion: Completion) -> Completion:
        """Return a completion, marked if the server cut its prompt in silence (reliability A11).

        Told by the server's own count of the tokens it read: against a bound that no tokenizer goes below, and against
        what its earlier replies let expect. Servers that leave cached tokens out of the count have them added.
        """
        usage = completion.usage
        if usage.estimated:
            return completion
        read = usage.input_tokens + usage.cached_tokens
        too_few = not fewer_tokens_than(request.messages, read + _COUNTING_SLACK)
        if too_few or self._lengths.is_cut(request.messages, usage):
            return replace(completion, finish="input_cut")
        return completion


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
