"""Reading a chat completion: what the server sent into what the rest of Postil may rely on."""

import math
from collections.abc import Mapping
from typing import Any, Final

from postil.engines._choices import ChoiceScores, score_choices
from postil.engines._counting import most_text_tokens, most_tokens
from postil.engines._tokens import spelled
from postil.errors import BrokenReply
from postil.types import Completion, FinishReason, Request, Usage

# Reasons that do not come from the model or the prompt: another attempt may succeed.
_BROKEN_OFF: Final = frozenset(
    {"error", "abort", "aborted", "cancelled", "network_error", "insufficient_system_resource"}
)
_TOOLS: Final = frozenset({"tool_calls", "function_call", "tool_use"})
_FINISH: Final[Mapping[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "content_filter": "filter",
    "content_filtered": "filter",
    "safety": "filter",
    "prohibited_content": "filter",
    "recitation": "filter",
    "sensitive": "filter",
    "refusal": "refusal",
}
# More tokens than any completion has; a number above it is no count.
_MOST_TOKENS: Final = 10**9


def withheld(request: Request) -> Completion:
    """Return the completion of a request that the provider's filter refused to read; it may have been billed."""
    return Completion("", "filter", Usage(most_tokens(request.messages), 0, estimated=True))


def read_completion(reply: Any, request: Request) -> Completion:
    """Return the completion in a server's JSON.

    The reason for stopping decides before the text does: whatever is not known as a normal stop counts as cut short
    (reliability A1). An empty list of choices is a withheld reply (A3). Lone surrogates, halves of an emoji cut in
    two, become U+FFFD, so that text can be stored.

    Raises:
        BrokenReply: it is no chat completion, broke off in the server, or calls a tool.
    """
    choices = reply.get("choices") if isinstance(reply, dict) else None
    if not isinstance(choices, list):
        raise BrokenReply("expected a chat completion, got JSON without a list of choices")
    named = reply.get("model")
    model = _storable(named) if isinstance(named, str) else None
    if not choices:
        return Completion("", "filter", _usage(reply.get("usage"), request, ""), model)
    choice = choices[0]
    message = choice.get("message") if isinstance(choice, dict) else None
    if not isinstance(message, dict):
        raise BrokenReply("expected a chat completion, got a choice without a message")
    finish = _finish(choice.get("finish_reason"), message)
    text = _text(message.get("content")) or _text(message.get("refusal"))
    scores = _scores(choice.get("logprobs"), request)
    return Completion(
        text,
        finish,
        _usage(reply.get("usage"), request, text),
        model,
        scores.probabilities,
        scores.mass,
        _tokens(choice.get("logprobs"), text) if request.token_probabilities else None,
    )


def _finish(reason: Any, message: Mapping[str, Any]) -> FinishReason:
    if message.get("refusal"):
        return "refusal"
    word = reason.lower() if isinstance(reason, str) else ""
    if word in _TOOLS or message.get("tool_calls"):
        raise BrokenReply("expected text, got a tool call", hint="Use a model or server setting that calls no tools.")
    if word in _BROKEN_OFF:
        raise BrokenReply(f"the server broke the reply off: finish_reason {word!r}")
    return _FINISH.get(word, "length")


def _text(content: Any) -> str:
    if isinstance(content, str):
        return _storable(content)
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") == "text"]
        return _storable("".join(part for part in parts if isinstance(part, str)))
    return ""


def _storable(text: str) -> str:
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _scores(logprobs: Any, request: Request) -> ChoiceScores:
    content = logprobs.get("content") if request.choices and isinstance(logprobs, dict) else None
    return score_choices(content, request.choices) if content else ChoiceScores()


def _tokens(logprobs: Any, text: str) -> tuple[tuple[str, float], ...] | None:
    return spelled(logprobs.get("content"), text) if isinstance(logprobs, dict) else None


def _usage(usage: Any, request: Request, text: str) -> Usage:
    counts: Mapping[str, Any] = usage if isinstance(usage, dict) else {}
    read, written = _count(counts.get("prompt_tokens")), _count(counts.get("completion_tokens"))
    details = counts.get("prompt_tokens_details")
    cached = _count(details.get("cached_tokens")) if isinstance(details, dict) else None
    # No prompt has no tokens: a zero is a server that does not count.
    estimated = not read or written is None
    return Usage(
        read or most_tokens(request.messages),
        most_text_tokens(text) if written is None else written,
        cached or 0,
        estimated,
    )


def _count(number: Any) -> int | None:
    if isinstance(number, float) and math.isfinite(number) and number.is_integer():
        number = int(number)
    return number if type(number) is int and 0 <= number <= _MOST_TOKENS else None
