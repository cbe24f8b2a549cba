"""The tree of errors. The class says whether to try again and how the program ends.

PostilError
├── InputError                  your input is wrong; nothing spent, nothing changed (exit 2)
│   ├── SettingsError           postil.toml or an argument
│   ├── DataError               a data file or a record
│   ├── TaskError               the definition of a task
│   ├── GoldError               gold that cannot be used as asked
│   ├── FormatError             a foreign file that cannot be read or written
│   └── MissingExtraError       an optional part of Postil is not installed
├── StoreError                  the journal cannot be read or written (exit 3)
├── AnswerError                 a reply that holds no answer: becomes a Failure of the record
│   ├── Truncated, Refused, Filtered, Unreadable, OutsideLabels, Ambiguous, NotFound, Inconsistent, Mispaired
│   └── InputTruncated          not of the reply but of the prompt that the server read
└── EngineError                 no reply
    ├── RecordRejected          this request can never work: becomes a Failure of the record
    │   └── ContextExceeded, CostCapReached, EmptyRecord, MissingField
    ├── Transient               worth another attempt
    │   ├── RateLimited, ServerFault (Overloaded, BrokenReply), ConnectionLost, AttemptTimedOut
    │   └── NotSent
    └── RunFatal                no request can work: the run stops, records stay pending (exit 3)
        ├── AuthenticationFailed, UnknownModel, QuotaExhausted, ServerUnreachable, SettingsRejected
"""

from typing import Any, ClassVar

__all__ = [
    "Ambiguous",
    "AnswerError",
    "AttemptTimedOut",
    "AuthenticationFailed",
    "BrokenReply",
    "ConnectionLost",
    "ContextExceeded",
    "CostCapReached",
    "DataError",
    "EmptyRecord",
    "EngineError",
    "Filtered",
    "FormatError",
    "GoldError",
    "Inconsistent",
    "InputError",
    "InputTruncated",
    "Mispaired",
    "MissingExtraError",
    "MissingField",
    "NotFound",
    "NotSent",
    "OutsideLabels",
    "PostilError",
    "QuotaExhausted",
    "RateLimited",
    "RecordRejected",
    "Refused",
    "RunFatal",
    "ServerFault",
    "ServerUnreachable",
    "SettingsError",
    "SettingsRejected",
    "StoreError",
    "TaskError",
    "Transient",
    "Truncated",
    "UnknownModel",
    "Unreadable",
]


class PostilError(Exception):
    """Anything that Postil raises on purpose.

    The message says what was expected, what came and where; `hint` says what to do.
    """

    exit_code: ClassVar[int] = 2
    retryable: ClassVar[bool] = False

    def __init__(self, message: str, *, hint: str = "") -> None:
        """Keep the message, and what to do about it."""
        super().__init__(message)
        self.hint = hint

    def __str__(self) -> str:
        """Return the message and, on a line of its own, the hint."""
        message = str(self.args[0])
        return f"{message}\n  {self.hint}" if self.hint else message


class InputError(PostilError):
    """The user's input is wrong. Nothing was spent, nothing was changed."""


class SettingsError(InputError):
    """`postil.toml` or an argument is wrong."""


class DataError(InputError):
    """A data file or a record is wrong."""


class TaskError(InputError):
    """The definition of a task is wrong."""


class GoldError(InputError):
    """Gold cannot be used as asked."""


class FormatError(InputError):
    """A foreign file cannot be read or written."""


class MissingExtraError(InputError):
    """An optional part of Postil is not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        """Say what was wanted and which extra brings it."""
        super().__init__(f"{purpose} needs the extra {extra!r}", hint=f"pip install 'postil[{extra}]'")


class StoreError(PostilError):
    """The journal cannot be read or written."""

    exit_code = 3


class AnswerError(PostilError):
    """A reply that holds no answer. `failure_class` is the word that reports count it under."""

    failure_class: ClassVar[str] = "unreadable"


class Truncated(AnswerError):
    """The reply was cut short, even if what is there could be read (reliability A1)."""

    failure_class = "truncated"


class Endless(AnswerError):
    """The reply went on in a loop until it was cut; more room would only be filled too (reliability A4)."""

    failure_class = "endless"


class Refused(AnswerError):
    """The model declined to answer in its own words (reliability A3)."""

    failure_class = "refused"


class Filtered(AnswerError):
    """The provider withheld the reply (reliability A3)."""

    failure_class = "filtered"


class Unreadable(AnswerError):
    """The reply has another form than was asked for."""


class OutsideLabels(AnswerError):
    """The answer is readable but outside what the task allows (reliability A5)."""

    failure_class = "outside_labels"


class Ambiguous(AnswerError):
    """The reply holds several answers (reliability A7)."""

    failure_class = "ambiguous"


class NotFound(AnswerError):
    """The answer quotes words that are not in the text; their place is never guessed (reliability A9)."""

    failure_class = "not_found"


class Inconsistent(AnswerError):
    """The parts of the answer contradict each other or the task's rules."""

    failure_class = "inconsistent"


class Mispaired(AnswerError):
    """The reply bears the mark of another record: it was given to another request (reliability R4)."""

    failure_class = "mispaired"


class InputTruncated(AnswerError):
    """The server read less than it was sent: the reply is about a part of the record only (reliability A11)."""

    failure_class = "input_truncated"


class EngineError(PostilError):
    """An engine returned no completion."""

    exit_code = 3
    failure_class: ClassVar[str] = "provider_error"


class RecordRejected(EngineError):
    """This one request can never work; others may."""

    failure_class = "rejected"


class ContextExceeded(RecordRejected):
    """The prompt is longer than the model can read; it is never cut in silence (reliability A11)."""

    failure_class = "context_exceeded"


class CostCapReached(RecordRejected):
    """To ask on would take more than one record may; that request is not sent (reliability J5)."""

    failure_class = "cost_cap"


class EmptyRecord(RecordRejected):
    """Nothing of the record is shown, so nothing can be asked; no request is sent."""

    failure_class = "empty_record"


class MissingField(RecordRejected):
    """The record lacks a field that the task shows; no request is sent."""

    failure_class = "missing_field"


class Transient(EngineError):
    """Worth another attempt; `retry_after` is the server's own wish in seconds, if it had one."""

    retryable = True

    def __init__(self, message: str, *, hint: str = "", retry_after: float | None = None) -> None:
        """Keep the message and how long the server asked to wait."""
        super().__init__(message, hint=hint)
        self.retry_after = retry_after


class RateLimited(Transient):
    """The server asks for fewer requests; `rate_limits` holds what it told of its limits (`postil.types.RateLimit`)."""

    failure_class = "rate_limited"

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        retry_after: float | None = None,
        rate_limits: tuple[Any, ...] = (),
    ) -> None:
        """Keep the message and what the server said of its limits."""
        super().__init__(message, hint=hint, retry_after=retry_after)
        self.rate_limits = rate_limits


class ServerFault(Transient):
    """The server failed, or sent something that is no reply."""


class Overloaded(ServerFault):
    """The server has more to do than it can: the same request may work later, and fewer at once will."""


class BrokenReply(ServerFault):
    """The server answered that all is well and sent no completion; the request was probably billed."""


class ConnectionLost(Transient):
    """The connection broke before the reply was whole; the request may have been billed."""

    failure_class = "connection_lost"


class AttemptTimedOut(Transient):
    """No whole reply within the attempt's deadline; the request may have been billed (reliability R7)."""

    failure_class = "timeout"


class NotSent(Transient):
    """The request was written down and did not leave after all: nothing was asked, and nothing can be billed."""


class RunFatal(EngineError):
    """No request can work as things stand: the run stops and records stay pending (reliability R10)."""


class AuthenticationFailed(RunFatal):
    """The key is missing, wrong or not allowed."""


class UnknownModel(RunFatal):
    """The server does not know the model."""


class QuotaExhausted(RunFatal):
    """The account is empty."""


class ServerUnreachable(RunFatal):
    """Nothing answers at the server's address."""


class SettingsRejected(RunFatal):
    """The server refuses a parameter that every request carries."""
