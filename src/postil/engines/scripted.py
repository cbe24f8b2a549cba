"""The double: a public, offline, deterministic engine for tests, examples and trying things out."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from postil.errors import EngineError
from postil.types import JSON, Capabilities, Completion, Message, Request, Usage

Reply = str | Completion | EngineError


class ScriptedEngine:
    """Replies as a function of the request says: with text, with a whole completion, or by raising an error.

    It keeps every request in `requests`, so that a test can see what was asked.
    """

    def __init__(
        self,
        reply: Callable[[Request], Reply],
        *,
        name: str = "scripted",
        capabilities: Capabilities | None = None,
        seconds: float = 0.0,
    ) -> None:
        """Take the function; `name` stands for it in an annotator's id, `seconds` is how long a reply takes."""
        self._reply = reply
        self._name = name
        self._capabilities = capabilities or Capabilities(free=True)
        self._seconds = seconds
        self.requests: list[Request] = []

    @property
    def identity(self) -> Mapping[str, JSON]:
        """The name given: a function has no identity of its own."""
        return {"engine": "scripted", "name": self._name}

    @property
    def capabilities(self) -> Capabilities:
        """What it was told to be able to do."""
        return self._capabilities

    async def complete(self, request: Request) -> Completion:
        """Return what the function returns.

        Raises:
            EngineError: the function returned one.
        """
        self.requests.append(request)
        await asyncio.sleep(self._seconds)
        reply = self._reply(request)
        if isinstance(reply, EngineError):
            raise reply
        if isinstance(reply, Completion):
            return reply
        usage = Usage(self.count_tokens(request.messages), len(reply), estimated=True)
        return Completion(reply, "stop", usage, model=self._name)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the number of characters: one token each."""
        return sum(len(message.content) for message in messages)

    async def aclose(self) -> None:
        """Do nothing: it holds nothing."""
