"""llama.cpp in this process: continuous batching, prefix cache, probabilities of whole label sequences."""

import asyncio
import importlib
import json
import math
import mmap
import os
import secrets
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Final

from postil.engines._tokens import spelled
from postil.engines.model_file import model_digest, packaged_model
from postil.errors import ContextExceeded, MissingExtraError, RecordRejected, ServerFault, SettingsError
from postil.types import JSON, Capabilities, Completion, Message, Request, Usage

# Added to the logits of the tokens that may follow, it leaves their ratios as they are and all others without mass.
_ALLOWED: Final = 100.0
# A branch of the label tree with less probability than this is not followed; its labels share what it has.
_NEGLIGIBLE: Final = 1e-4
_FLOOR: Final = 1e-9


class LocalEngine:
    """A GGUF model run by llama.cpp inside this process.

    Labels are scored exactly: the probability of each choice is the product of its tokens' probabilities, each
    constrained to the tokens that can still lead to a choice, and the choices' probabilities sum to one (survey
    1.09, B.11). A choice costs a further pass only where choices share their first tokens, and less than one in ten
    thousand is shared out evenly among them.
    """

    def __init__(
        self,
        model: Path | None = None,
        *,
        context_tokens: int = 4096,
        slots: int = 2,
        threads: int | None = None,
    ) -> None:
        """Take the path of a GGUF file, or nothing for the packaged model. Nothing is loaded yet.

        `context_tokens` is what one request may take; `slots` is how many requests are decoded together; `threads`
        are by default as many as there are idle cores.

        Raises:
            SettingsError: the file is not there or is no GGUF file.
            MissingExtraError: the extra "local" is not installed.
        """
        self._path = packaged_model() if model is None else _checked(model)
        self._context = context_tokens
        self._slots = slots
        self._threads = threads or _idle_cores()
        self._chat = _has_chat_template(self._path)
        self._identity = _identity(self._path)
        self._server: _Server | None = None
        self._starting = threading.Lock()
        self._pool = ThreadPoolExecutor(slots, thread_name_prefix="postil-local")

    @property
    def identity(self) -> Mapping[str, JSON]:
        """The model's file name and digest. Threads and slots do not change what a model answers."""
        return self._identity

    @property
    def capabilities(self) -> Capabilities:
        """Scores sequences and holds replies to a schema; turns for models with a chat template, else plain text."""
        return Capabilities(
            scores="sequence",
            schema=True,
            context_tokens=self._context,
            reads="chat" if self._chat else "plain",
            free=True,
            token_probabilities=True,
        )

    async def complete(self, request: Request) -> Completion:
        """Return the completion: the most probable choice where choices are given, else generated text.

        Raises:
            ContextExceeded: the prompt is longer than the context.
            RecordRejected, ServerFault: llama.cpp refused the request, or failed.
        """
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._complete, request)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the exact number of tokens of the prompt."""
        return len(self._tokens(self._started(), messages))

    async def aclose(self) -> None:
        """Stop llama.cpp and free the model."""
        await asyncio.to_thread(self._pool.shutdown)
        self._server = None

    def _started(self) -> "_Server":
        with self._starting:
            if self._server is None:
                self._server = _Server.start(self._path, self._context, self._slots, self._threads)
            return self._server

    def _complete(self, request: Request) -> Completion:
        server = self._started()
        prompt = self._tokens(server, request.messages)
        if len(prompt) + 1 > self._context:
            raise ContextExceeded(f"the prompt has {len(prompt)} tokens, the context holds {self._context}")
        if request.choices:
            return self._scored(server, prompt, request)
        return self._generated(server, prompt, request)

    def _tokens(self, server: "_Server", messages: Sequence[Message]) -> list[int]:
        return server.chat_tokens(messages) if self._chat else server.tokens(plain_prompt(messages), start=True)

    def _scored(self, server: "_Server", prompt: list[int], request: Request) -> Completion:
        scores = _TreeScores(server, prompt)
        probabilities = scores.of(self._choice_tokens(server, request))
        best = max(range(len(probabilities)), key=probabilities.__getitem__)
        usage = Usage(len(prompt), scores.passes, scores.cached_tokens)
        return Completion(request.choices[best], "stop", usage, self._path.name, probabilities)

    def _choice_tokens(self, server: "_Server", request: Request) -> list[list[int]]:
        """Return each choice's tokens and what ends it: "news" is told from "news_car" by what follows it."""
        if self._chat:
            return [[*server.tokens(choice, start=False), server.turn_end] for choice in request.choices]
        lead = answer_lead(request.messages[-1].content)
        return [server.tokens(f"{lead}{choice}\n", start=False) for choice in request.choices]

    def _generated(self, server: "_Server", prompt: list[int], request: Request) -> Completion:
        body: dict[str, Any] = {
            "prompt": prompt,
            "max_tokens": min(request.max_tokens, self._context - len(prompt)),
            "temperature": request.temperature,
            "cache_prompt": True,
        }
        if request.seed is not None:
            body["seed"] = request.seed
        if request.schema is not None:
            body["json_schema"] = dict(request.schema)
        elif not self._chat:
            body["stop"] = ["\n"]
        if request.token_probabilities:
            body["n_probs"] = 1
        reply = server.complete(body)
        choice, counted = reply["choices"][0], reply["usage"]
        finish = "length" if choice["finish_reason"] == "length" else "stop"
        usage = Usage(
            counted["prompt_tokens"], counted["completion_tokens"], counted["prompt_tokens_details"]["cached_tokens"]
        )
        text = str(choice["text"]).strip()
        tokens = spelled(choice["logprobs"]["content"], text) if request.token_probabilities else None
        return Completion(text, finish, usage, self._path.name, tokens=tokens)


def plain_prompt(messages: Sequence[Message]) -> str:
    """Return turns as one text for a model without a chat template, ending where its answer begins."""
    text = ""
    for message in messages:
        if message.role == "assistant":
            text = text.removesuffix("\n\n")
            text += answer_lead(text) + message.content + "\n\n"
        else:
            text += message.content + "\n\n"
    return text.removesuffix("\n\n")


def answer_lead(question: str) -> str:
    """Return what stands between a question and its answer: a space after an ASCII mark, nothing after a wide one."""
    return " " if question[-1:].isascii() else ""


@dataclass(slots=True)
class _TreeScores:
    """Probabilities of token sequences after one prompt, found by walking the tree of their tokens."""

    server: "_Server"
    prompt: list[int]
    cached_tokens: int = 0
    """Of the prompt, in the first pass; the others find all of it in the cache."""
    passes: int = 0
    _found: dict[int, float] = field(default_factory=dict[int, float])

    def of(self, sequences: Sequence[Sequence[int]]) -> tuple[float, ...]:
        """Return one probability a sequence; they sum to 1."""
        self._walk(sequences, list(range(len(sequences))), depth=0, mass=1.0)
        total = math.fsum(self._found.values())
        return tuple(self._found[i] / total for i in range(len(sequences)))

    def _walk(self, sequences: Sequence[Sequence[int]], group: list[int], depth: int, mass: float) -> None:
        if len(group) == 1 or mass < _NEGLIGIBLE:
            for i in group:
                self._found[i] = max(mass / len(group), _FLOOR)
            return
        branches: dict[int, list[int]] = {}
        for i in group:
            branches.setdefault(sequences[i][depth], []).append(i)
        shares = self._shares(sequences[group[0]][:depth], list(branches)) if len(branches) > 1 else [1.0]
        for share, branch in zip(shares, branches.values(), strict=True):
            self._walk(sequences, branch, depth + 1, mass * share)

    def _shares(self, path: Sequence[int], tokens: list[int]) -> list[float]:
        """Return how probable each of a few next tokens is, given that it is one of them."""
        reply = self.server.complete(
            {
                "prompt": [*self.prompt, *path],
                "max_tokens": 1,
                "n_probs": len(tokens),
                "post_sampling_probs": True,
                "logit_bias": [[token, _ALLOWED] for token in tokens],
                "temperature": 1.0,
                "top_k": len(tokens),
                "top_p": 1.0,
                "min_p": 0.0,
                "cache_prompt": True,
            }
        )
        if not self.passes:
            self.cached_tokens = reply["usage"]["prompt_tokens_details"]["cached_tokens"]
        self.passes += 1
        listed = {top["id"]: top["prob"] for top in reply["choices"][0]["logprobs"]["content"][0]["top_probs"]}
        shares = [max(listed.get(token, 0.0), _FLOOR) for token in tokens]
        total = math.fsum(shares)
        return [share / total for share in shares]


class _Server:
    """xllamacpp's server object: completions by call, tokens and chat templates by its loopback routes.

    The routes ask for a key made here, so that nobody else on the machine can use them.
    """

    def __init__(self, server: Any, key: str) -> None:
        self._server = server
        self._key = key
        # Talks to this process only: no proxy may come between.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        # What recurs in every prompt, such as labels and demonstrations, is asked for once.
        self._tokens = lru_cache(maxsize=4096)(self._tokenized)
        self._frame = lru_cache(maxsize=64)(self._new_frame)

    @classmethod
    def start(cls, path: Path, context: int, slots: int, threads: int) -> "_Server":
        """Load a model.

        Raises:
            SettingsError: llama.cpp cannot load it.
        """
        try:
            # 100 MB, an extra, and without types.
            xllamacpp: Any = importlib.import_module("xllamacpp")
        except ImportError:
            raise MissingExtraError("a model in this process", "local") from None
        key = secrets.token_hex(16)
        params = xllamacpp.CommonParams()
        params.model.path = str(path)
        params.n_ctx = context * slots
        params.n_parallel = slots
        params.kv_unified = False
        # Gemma 3 keeps a sliding window of its cache otherwise, and no prompt could reuse another's prefix.
        params.swa_full = True
        # Each slot keeps its own last prompt; the store of earlier prompts beside them would grow to gigabytes.
        params.cache_ram_mib = 0
        params.cpuparams.n_threads = threads
        params.cpuparams_batch.n_threads = threads
        params.hostnames = ["127.0.0.1"]
        params.port = 0
        params.api_keys = [key]
        params.ui = False
        params.warmup = False
        params.verbosity = -1
        try:
            return cls(xllamacpp.Server(params), key)
        except (RuntimeError, ValueError) as error:
            raise SettingsError(
                f"{path}: llama.cpp cannot load this model: {error}",
                hint="the file may be incomplete: fetch it again; or too new for this llama.cpp: upgrade xllamacpp",
            ) from None

    def complete(self, body: Mapping[str, Any]) -> Any:
        """Return llama.cpp's reply to a completion request.

        Raises:
            RecordRejected, ServerFault: it refused, or failed.
        """
        reply = self._server.handle_completions(dict(body))
        error = reply.get("error") if isinstance(reply, dict) else {"message": repr(reply), "code": 500}
        if error is None:
            return reply
        message = f"llama.cpp: {str(error.get('message'))[:300]}"
        if error.get("type") == "exceed_context_size_error":
            raise ContextExceeded(message)
        raise RecordRejected(message) if error.get("code") == 400 else ServerFault(message)

    def tokens(self, text: str, *, start: bool) -> list[int]:
        """Return the tokens of a text as plain text: marks like "<end_of_turn>" in it are letters, not commands.

        Raises:
            RecordRejected: the text holds half a character.
        """
        return self._tokens(text, start, False)

    def chat_tokens(self, messages: Sequence[Message]) -> list[int]:
        """Return the tokens of turns in the model's chat template.

        Raises:
            SettingsError: the template has no place for one of the turns.
        """
        frame = self._frame(tuple(message.role for message in messages))
        tokens = [*frame[0]]
        for message, after in zip(messages, frame[1:], strict=True):
            tokens += self.tokens(message.content, start=False) + after
        return tokens

    @cached_property
    def turn_end(self) -> int:
        """The token that ends the assistant's turn."""
        return self._frame(("user", "assistant", "user"))[2][0]

    def _new_frame(self, roles: tuple[str, ...]) -> list[list[int]]:
        """Return the tokens that the chat template puts before, between and after turns.

        It is applied to stand-ins, so that only its own marks are read as commands, never the texts'.
        """
        stands = [f"<<{secrets.token_hex(8)}>>" for _ in roles]
        turns = [{"role": role, "content": stand} for role, stand in zip(roles, stands, strict=True)]
        rest: str = self._post("/apply-template", {"messages": turns})["prompt"]
        frame: list[list[int]] = []
        for role, stand in zip(roles, stands, strict=True):
            before, found, rest = rest.partition(stand)
            if not found:
                raise SettingsError(f"the model's chat template leaves out the {role} turn")
            frame.append(self._tokens(before, not frame, True))
        return [*frame, self._tokens(rest, False, True)]

    def _tokenized(self, text: str, start: bool, marks: bool) -> list[int]:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            character = text[error.start]
            raise RecordRejected(f"the prompt holds {character!r}, a lone surrogate, which no model can read") from None
        return self._post("/tokenize", {"content": text, "add_special": start, "parse_special": marks})["tokens"]

    def _post(self, route: str, body: Mapping[str, Any]) -> Any:
        request = urllib.request.Request(  # noqa: S310 - the address is this process's own
            self._server.listening_address + route,
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json", "authorization": f"Bearer {self._key}"},
        )
        try:
            with self._opener.open(request, timeout=60) as reply:
                return json.load(reply)
        except OSError as error:
            raise ServerFault(f"llama.cpp: {route} failed: {error}") from None


def _idle_cores() -> int:
    """Return how many cores are not busy with something else, at least one.

    llama.cpp's threads wait for each other at every layer by spinning: one thread too many on a busy machine costs
    ten times what it brings.
    """
    busy = round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0
    return max(1, (os.cpu_count() or 1) - busy)


def _checked(path: Path) -> Path:
    path = path.expanduser()
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise SettingsError(f"{path}: expected a GGUF model file: {error.strerror}") from None
    if magic != b"GGUF":
        raise SettingsError(f"{path}: expected a GGUF model file, got one that begins with {magic!r}")
    return path


def _has_chat_template(path: Path) -> bool:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        # The metadata stands before the weights; vocabularies take a few megabytes.
        return content.find(b"tokenizer.chat_template", 0, 1 << 26) >= 0


def _identity(path: Path) -> Mapping[str, JSON]:
    return {"engine": "local", "model": path.name, "digest": model_digest(path)}
