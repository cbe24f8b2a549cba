"""What a server means by a reply that is no completion: its status and error, turned into ours (reliability R8).

Servers that speak the OpenAI protocol agree on little here, so a status is read together with the error's code, type,
parameter and words. Words are looked at last, for a server may repeat a record's text in them.
"""

import json
import re
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any, Final

from postil.engines._rate_limits import rate_limits
from postil.engines._retry_after import retry_after
from postil.engines._words import Secret, quoted
from postil.errors import (
    AuthenticationFailed,
    ContextExceeded,
    EngineError,
    Overloaded,
    QuotaExhausted,
    RateLimited,
    RecordRejected,
    ServerFault,
    ServerUnreachable,
    SettingsRejected,
    UnknownModel,
)
from postil.types import RateLimit

_LONGEST_WORDS: Final = 2_000
_OWN_WORDS: Final = 300

_FILTER_CODES: Final = frozenset(
    {
        "content_filter",
        "responsibleaipolicyviolation",
        "content_policy_violation",
        "data_inspection_failed",
        "invalid_prompt",
        "moderation_blocked",
        "content_filter_error",
    }
)
_FILTER_WORDS: Final = re.compile(
    r"content management policy|content exists risk|input was flagged|flagged by (?:our )?moderation|usage policy"
    r"|safety system|inappropriate content|敏感内容|不安全或敏感"
)
_QUOTA_CODES: Final = frozenset(
    {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "insufficient_balance"}
)
_QUOTA_WORDS: Final = re.compile(r"credit balance is too low|insufficient balance|hard limit has been reached")
_CONTEXT_CODES: Final = frozenset({"context_length_exceeded", "exceed_context_size_error", "string_above_max_length"})
_CONTEXT_WORDS: Final = re.compile(
    r"context (?:length|window|size|limit)|maximum model length|max(?:imum)?[ _](?:model|seq(?:uence)?)[ _]len"
    r"|prompt (?:is )?too long|input (?:is )?too long|too many (?:input )?tokens|maximum (?:input|prompt) length"
    r"|reduce the length of the (?:messages|prompt|input)|too large for model with \d+ maximum"
    r"|max_tokens must be at least 1, got -"
    r"|`inputs` (?:tokens \+ `max_new_tokens` )?must (?:be <=|have less than)|exceeds? the maximum number of tokens"
)
_MODEL_CODES: Final = frozenset({"model_not_found", "invalid_model", "model_not_supported", "deploymentnotfound"})
_MODEL_WORDS: Final = re.compile(
    r"\bmodel\b.{0,200}?(?:does not exist|not exist|not found|is not available|not a valid model)"
    r"|(?:invalid|unknown|unsupported|no such) model\b|not a valid model"
)
_REJECTING: Final = re.compile(
    r"unsupported|not support|n[o']t allowed|not permitted|unrecognized|unrecognised|unknown|unexpected|forbidden"
    r"|not available|invalid|must be|no longer|too large|greater than|extra (?:inputs|fields)"
)
_OVERLOAD_CODES: Final = frozenset({"overloaded", "overloaded_error", "engine_overloaded", "slow_down"})
_OVERLOAD_WORDS: Final = re.compile(r"overload|too many concurrent|concurren(?:t|cy) (?:requests|connections|limit)")
_TOO_LARGE: Final = re.compile(r"request too large")

# Parameters that can be changed by a setting, and the setting. Those of `extra` are added.
_SETTINGS: Final[Mapping[str, str]] = {
    "logprobs": "set log_probs = false",
    "top_logprobs": "set log_probs = false, or ask for fewer with extra = { top_logprobs = 5 }",
    "seed": "leave the seed out",
    "response_format": "set schema = false",
    "max_tokens": 'set token_parameter = "max_completion_tokens"',
    "max_completion_tokens": 'set token_parameter = "max_tokens"',
    "temperature": "set one that it takes, like extra = { temperature = 1 }",
}


@dataclass(frozen=True, slots=True)
class Complaint:
    """A server's error, in the parts that servers agree on."""

    status: int
    codes: frozenset[str]
    """Codes and types, the inner ones too, in lower case."""
    parameter: str
    """The request's parameter that it is about, where the server named one."""
    words: str
    retry_after: float | None = None
    rate_limits: tuple[RateLimit, ...] = ()

    @property
    def withheld(self) -> bool:
        """Whether the provider's content filter refused to read the prompt: the record's outcome is "filtered"."""
        filtering = self.status in (400, 403, 422) and bool(_FILTER_WORDS.search(self.words.lower()))
        return filtering or bool(self.codes & _FILTER_CODES)


def complaint_of(status: int, headers: Mapping[str, str], body: bytes, now: float) -> Complaint:
    """Return what an error's status, headers and body say, whatever their form."""
    text = body[:1_000_000].decode("utf-8", "replace")
    try:
        reply = json.loads(text)
    except (ValueError, RecursionError):
        reply = text
    error = _error_in(reply)
    words = _words_in(error)
    return Complaint(
        status,
        _codes_in(error),
        _parameter_in(error),
        words[:_LONGEST_WORDS],
        retry_after(headers, words, now),
        rate_limits(headers, now),
    )


def error_for(complaint: Complaint, *, url: str, secret: Secret, sent: AbstractSet[str]) -> EngineError:
    """Return our error for a complaint. `sent` are the names of the parameters that the request carried."""
    says = f"{url} answered with status {complaint.status}"
    if complaint.words:
        says += f": {quoted(complaint.words, secret)}"
    return _run_fatal(complaint, says, sent) or _of_this_request(complaint, says)


def _run_fatal(complaint: Complaint, says: str, sent: AbstractSet[str]) -> EngineError | None:
    # Only the first words: further on a server may repeat a record's text, which must not stop a run.
    status, codes, words = complaint.status, complaint.codes, complaint.words[:_OWN_WORDS].lower()
    client_side = 400 <= status < 500
    if status == 402 or codes & _QUOTA_CODES or (client_side and _QUOTA_WORDS.search(words)):
        return QuotaExhausted(says, hint="Add credit to the account, then run again: what is pending goes on.")
    if status in (404, 410) or (client_side and _is_about_model(complaint, words)):
        return UnknownModel(says, hint='Check `model` and `base_url`; the address usually ends in "/v1".')
    if status in (401, 403, 407):
        return AuthenticationFailed(
            says, hint="Put a valid key into the environment variable that `api_key_env` names."
        )
    if 300 <= status < 400 or status in (405, 501):
        return ServerUnreachable(says, hint="There are no chat completions at this address: check `base_url`.")
    if client_side and status not in (408, 409, 425, 429) and not _is_about_length(complaint, words):
        return _rejected_setting(complaint, says, words, sent)
    return None


def _of_this_request(complaint: Complaint, says: str) -> EngineError:
    status, words, wait = complaint.status, complaint.words.lower(), complaint.retry_after
    if _is_about_length(complaint, words):
        return ContextExceeded(says, hint="Shorten the text, show fewer demonstrations, or use a larger context.")
    if status == 429:
        if _TOO_LARGE.match(words):
            return RecordRejected(says, hint="One request is more than the account may send in a minute.")
        # Too many at once, whatever their pace.
        crowded = complaint.codes & _OVERLOAD_CODES or _OVERLOAD_WORDS.search(words[:_OWN_WORDS])
        if crowded:
            return Overloaded(says, retry_after=wait)
        return RateLimited(says, retry_after=wait, rate_limits=complaint.rate_limits)
    if status in (503, 529):
        return Overloaded(says, retry_after=wait)
    if status >= 500 or status in (408, 409, 425):
        return ServerFault(says, retry_after=wait)
    return RecordRejected(says)


def _is_about_model(complaint: Complaint, words: str) -> bool:
    if complaint.codes & _MODEL_CODES or complaint.parameter == "model":
        return True
    return complaint.status in (400, 422) and not complaint.parameter and bool(_MODEL_WORDS.search(words))


def _is_about_length(complaint: Complaint, words: str) -> bool:
    if complaint.codes & _CONTEXT_CODES:
        return True
    return complaint.status in (400, 413, 422) and bool(_CONTEXT_WORDS.search(words))


def _rejected_setting(complaint: Complaint, says: str, words: str, sent: AbstractSet[str]) -> SettingsRejected | None:
    names = [complaint.parameter] if complaint.parameter else _named_in(words, sent)
    for name in names:
        if name in sent and name not in ("model", "messages"):
            hint = _SETTINGS.get(name, f"take {name!r} out of `extra`")
            return SettingsRejected(says, hint=f"The server does not take the parameter {name!r}: {hint}.")
    return None


def _named_in(words: str, sent: AbstractSet[str]) -> list[str]:
    if not _REJECTING.search(words):
        return []
    # The longest name first: "top_logprobs" before "logprobs".
    return [
        name for name in sorted(sent, key=len, reverse=True) if re.search(rf"(?<!\w){re.escape(name)}(?!\w)", words)
    ]


def _error_in(reply: Any) -> Any:
    """Return the part of a reply that is the error: servers wrap it once, in a list, or not at all."""
    if isinstance(reply, list) and reply:
        reply = reply[0]
    if isinstance(reply, dict):
        for key in ("error", "detail"):
            if reply.get(key):
                # TGI and FastAPI put the type beside the error's text.
                return reply[key] if isinstance(reply[key], dict) else {**reply, "message": reply[key]}
    return reply


def _words_in(error: Any) -> str:
    if isinstance(error, dict):
        error = error.get("message") or error
    if isinstance(error, list):
        # Validation errors repeat the input beside their message.
        error = "; ".join(str(entry.get("msg")) for entry in error if isinstance(entry, dict))
    return error if isinstance(error, str) else json.dumps(error, ensure_ascii=False)


def _codes_in(error: Any) -> frozenset[str]:
    found: set[str] = set()
    # Azure nests the filter's own code two levels deep.
    for _ in range(4):
        if not isinstance(error, dict):
            break
        named = (error.get(key) for key in ("code", "type", "error_type"))
        found.update(str(name).lower() for name in named if isinstance(name, (str, int)))
        error = error.get("innererror") or error.get("inner_error")
    return frozenset(found)


def _parameter_in(error: Any) -> str:
    if not isinstance(error, dict):
        return ""
    named = error.get("param") or _place_in_detail(error.get("message"))
    return re.split(r"[.\[]", named)[0] if isinstance(named, str) else ""


def _place_in_detail(detail: Any) -> Any:
    """Return the parameter that a validation error of FastAPI is about: `[{"loc": ["body", "seed"]}]`."""
    try:
        return detail[0]["loc"][1]
    except (KeyError, IndexError, TypeError):
        return None
