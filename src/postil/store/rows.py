"""Values as rows of the journal, and rows as values."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import encode_basestring
from time import time_ns
from typing import Any, Final

from postil.canonical import canonical_json
from postil.errors import AttemptTimedOut, BrokenReply, ConnectionLost, DataError, EngineError
from postil.store.sealing import Appender
from postil.types import (
    JSON,
    Abstention,
    Annotation,
    Answer,
    Completion,
    Confidence,
    Failure,
    Outcome,
    Provenance,
    Usage,
)

MAY_BE_BILLED: Final = (ConnectionLost, AttemptTimedOut, BrokenReply)
"""Errors after which nobody knows whether the request was paid for."""

OUTCOME_COLUMNS: Final = (
    "o.record, o.annotator, o.type, o.answer, o.confidence, o.confidence_kind, o.probabilities, o.rationale,"
    " o.details, o.failure_class, o.message, o.at, intent.request, reply.completion, reply.error"
)


def now() -> str:
    """Return the time as the journal writes it."""
    return _written(time_ns() // 1_000_000)


@lru_cache(maxsize=4)
def _written(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def json_text(value: Any) -> str:
    """Return the canonical JSON of a value as text.

    Raises:
        DataError: the value is no JSON.
    """
    return canonical_json(value).decode()


def _text(text: str) -> str:
    """Return a text as canonical JSON."""
    written = encode_basestring(text)
    # Only text beyond ASCII can hold half a character.
    if text.isascii():
        return written
    return written.encode("utf-8", "backslashreplace").decode()


def _number(value: float | None) -> str:
    if value is None:
        return "null"
    if not math.isfinite(value):
        raise DataError(f"expected a probability, got {value!r}")
    return repr(float(value))


def _numbers(values: Sequence[float] | None) -> str:
    return "null" if values is None else f"[{','.join(map(_number, values))}]"


def _shares(probabilities: Mapping[str, float] | None) -> str | None:
    """Return probabilities as JSON, in their own order: it is that of the labels."""
    if probabilities is None:
        return None
    return f"{{{','.join(f'{_text(label)}:{_number(share)}' for label, share in probabilities.items())}}}"


def _object(answer: Answer) -> str:
    """Return an answer as canonical JSON; most have one key and a text."""
    if len(answer) == 1:
        [(key, value)] = answer.items()
        if isinstance(value, str):
            return f"{{{_text(key)}:{_text(value)}}}"
    return json_text(answer)


def _tokens(tokens: Sequence[tuple[str, float]] | None) -> str:
    if tokens is None:
        return "null"
    return f"[{','.join(f'[{_text(text)},{_number(probability)}]' for text, probability in tokens)}]"


def completion_text(completion: Completion) -> str:
    """Return the canonical JSON of a completion, written by hand because every reply needs it.

    Raises:
        DataError: a number in it is none.
    """
    usage = completion.usage
    model = "null" if completion.model is None else _text(completion.model)
    return (
        f'{{"choice_mass":{_number(completion.choice_mass)}'
        f',"choice_probabilities":{_numbers(completion.choice_probabilities)}'
        f',"finish":{_text(completion.finish)},"model":{model},"text":{_text(completion.text)}'
        f',"tokens":{_tokens(completion.tokens)}'
        f',"usage":{{"cached_tokens":{usage.cached_tokens:d},"estimated":{"true" if usage.estimated else "false"}'
        f',"input_tokens":{usage.input_tokens:d},"output_tokens":{usage.output_tokens:d}}}}}'
    )


def completion_of(text: str) -> Completion:
    """Return the completion that `completion_text` wrote."""
    values = json.loads(text)
    values["usage"] = Usage(**values["usage"])
    if values["choice_probabilities"] is not None:
        values["choice_probabilities"] = tuple(values["choice_probabilities"])
    if values["tokens"] is not None:
        values["tokens"] = tuple(map(tuple, values["tokens"]))
    return Completion(**values)


def completion_row(intent: int, completion: Completion, usd: float | None) -> tuple[Any, ...]:
    """Return the row of `reply` for a completion.

    Raises:
        DataError: a number in it is none.
    """
    usage = completion.usage
    tokens = (usage.input_tokens, usage.output_tokens, usage.cached_tokens)
    return (intent, completion_text(completion), None, *tokens, usd, now())


def error_row(intent: int, error: EngineError) -> tuple[Any, ...]:
    """Return the row of `reply` for an error."""
    body = {"class": type(error).__name__, "failure_class": error.failure_class, "message": str(error)}
    usd = None if isinstance(error, MAY_BE_BILLED) else 0.0
    return (intent, None, json_text(body), 0, 0, 0, usd, now())


def outcome_row(outcome: Outcome, intent: int | None, revision: int = 0) -> tuple[Any, ...]:
    """Return the row of `outcome`.

    Raises:
        DataError: the answer or a number in it is no JSON.
    """
    match outcome:
        case Annotation():
            details = (
                "annotation",
                _object(outcome.answer),
                *_confidence(outcome.confidence),
                _shares(outcome.probabilities),
                outcome.rationale,
                _details(outcome),
                None,
                None,
            )
        case Abstention():
            details = ("abstention", *(None,) * 7, outcome.reason)
        case Failure():
            details = ("failure", *(None,) * 6, outcome.failure_class, outcome.message)
    return (outcome.record, outcome.annotator, revision, intent, *details, outcome.provenance.at or now())


def _details(annotation: Annotation) -> str | None:
    """Return what only some annotations have, as canonical JSON, in one column."""
    parts, placings = annotation.part_confidences, annotation.placings
    if not (parts or placings or annotation.evidence or annotation.rejected):
        return None
    held: dict[str, JSON] = {
        "part_confidences": None if parts is None else dict(parts),
        "evidence": [dict(span) for span in annotation.evidence],
        "rejected": [*annotation.rejected],
        "placings": None if placings is None else dict(placings),
    }
    return json_text(held)


def _confidence(confidence: Confidence | None) -> tuple[float | None, str | None]:
    if confidence is None:
        return None, None
    if not math.isfinite(confidence.value):
        raise DataError(f"expected a confidence, got {confidence.value!r}")
    return float(confidence.value), confidence.kind


def add_outcome(rows: Appender, row: tuple[Any, ...]) -> None:
    """Add the row of an outcome; where there is one already, it holds."""
    if rows.first_holds:
        record, annotator, revision = row[:3]
        there = "SELECT 1 FROM outcome WHERE annotator = ? AND record = ? AND revision = ?"
        if rows.find(there, (annotator, record, revision)):
            return
    rows.add("outcome", *row)


def stored_outcome(row: Sequence[Any]) -> tuple[Outcome, Completion | None, Mapping[str, JSON] | None]:
    """Return the outcome in a row of `OUTCOME_COLUMNS`, and the completion or the error that it follows from."""
    *ended, request, body, error = row
    record, annotator, type_, answer, value, kind, odds, rationale, details, failure_class, message, at = ended
    completion = completion_of(body) if body else None
    provenance = Provenance(request, completion.model if completion else None, at)
    outcome: Outcome
    if type_ == "annotation":
        confidence = Confidence(value, kind) if value is not None else None
        probabilities = json.loads(odds) if odds else None
        held: Mapping[str, JSON] = json.loads(details) if details else {}
        outcome = Annotation(
            record,
            annotator,
            json.loads(answer),
            confidence,
            probabilities,
            rationale,
            held.get("part_confidences"),
            tuple(held.get("evidence", ())),
            tuple(held.get("rejected", ())),
            provenance,
            held.get("placings"),
        )
    elif type_ == "abstention":
        outcome = Abstention(record, annotator, message, provenance)
    else:
        outcome = Failure(record, annotator, failure_class, message, provenance)
    return outcome, completion, json.loads(error) if error else None
