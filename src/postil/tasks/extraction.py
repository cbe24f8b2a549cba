"""What all kinds share that are answered as one JSON object: finding it, and how probable its parts are.

The object is the whole reply, bare or in one code fence, or it is what follows the last answer marker that begins a
line ("Answer:", "答案："), after reasons that hold no other object (reliability A6, A7). Anything else is no answer.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from postil.canonical import parse_json
from postil.errors import Ambiguous, EmptyRecord, MissingField, TaskError, Unreadable
from postil.tasks.alignment import number
from postil.tasks.reading import clip, complete_text, not_readable, unfenced
from postil.tasks.shown import Shown
from postil.types import JSON, Completion, Confidence, Record

__all__ = [
    "Reply",
    "field_confidence",
    "json_reply",
    "part_confidences",
    "quoted",
    "span_text",
    "span_texts",
    "whole_confidence",
]

_MARKERS: Final = ("Answer", "答案")
_SPACES: Final = re.compile(r"[ \t\n\r]*")
_BRACES: Final = 64
"""Opening braces of a reply that are tried as the beginning of its object."""


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply that is one JSON object."""

    fields: Mapping[str, JSON]
    text: str
    """The object as it was written."""
    rationale: str = ""
    """What stood before the answer marker."""


def json_reply(completion: Completion, expected: str, *, cue: str = "") -> Reply:
    """Return the one JSON object in a complete reply.

    Args:
        completion: What the engine returned.
        expected: What the object should be, in a few words for the message: 'JSON like {"spans": […]}'.
        cue: The answer marker that the prompt itself shows.

    Raises:
        AnswerError: the reply was cut short, withheld or refused, is no JSON object, or holds several.
    """
    text = complete_text(completion)
    rationale, body = "", unfenced(text)
    if not body.startswith("{"):
        rationale, body = _after_marker(text, expected, cue)
    try:
        value = parse_json(body)
    except ValueError as error:
        raise _no_json(body, expected, error) from None
    return Reply(value, body, rationale)


def _after_marker(text: str, expected: str, cue: str) -> tuple[str, str]:
    """Return what stands before the last answer marker, and the object after it."""
    marks = list(_marker(cue).finditer(text)) if ":" in text or "：" in text else []
    body = unfenced(text[marks[-1].end() :]) if marks else ""
    if not body.startswith("{"):
        raise not_readable(text, expected)
    if any(True for _ in _objects(text[: marks[-1].start()])):
        raise Ambiguous(f"expected {expected}, one object; the reply holds several: {clip(text)!r}")
    return text[: marks[0].start()].strip(), body


@lru_cache(maxsize=64)
def _marker(cue: str) -> re.Pattern[str]:
    # Bounded repetitions: a hostile reply of a million blanks is read as fast as any other.
    words = "|".join(map(re.escape, dict.fromkeys(word for word in (cue, *_MARKERS) if word)))
    return re.compile(rf"^[ \t>*_#-]{{0,8}}(?:{words})[ \t*_]{{0,8}}[:：]", re.IGNORECASE | re.MULTILINE)


def _objects(text: str) -> Iterator[int]:
    """Yield where JSON objects begin in a text."""
    at = text.find("{")
    for _ in range(_BRACES):
        if at < 0:
            return
        if _end_of_value(text, at) is not None:
            yield at
        at = text.find("{", at + 1)


def _no_json(body: str, expected: str, error: ValueError) -> Unreadable | Ambiguous:
    end = _end_of_value(body, 0)
    rest = "" if end is None else body[end:].strip()
    if any(True for _ in _objects(rest)):
        return Ambiguous(f"expected {expected}, one object; the reply holds several: {clip(body)!r}")
    if rest:
        return Unreadable(f"expected {expected} and nothing after it, got {clip(rest)!r} after it")
    return Unreadable(f"expected {expected}, got no valid JSON ({error}): {clip(body)!r}")


def _end_of_value(text: str, at: int) -> int | None:
    """Return where the JSON value at a place ends, `None` if none begins there."""
    try:
        return _DECODER.raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return None


# Only for where values end; what they say is read strictly.
_DECODER: Final = json.JSONDecoder(parse_int=str, parse_float=str)


def part_confidences(completion: Completion, key: str) -> list[float] | None:
    """Return how probable each element of the list under `key` was: the product over its tokens.

    `None` where the engine did not say, or the reply has no list there.
    """
    spans = _located(completion)
    at = None if spans is None else spans.get(key)
    if at is None or not completion.text.startswith("[", at[0]):
        return None
    return _products(completion, list(_elements(completion.text, at[0])))


def field_confidence(completion: Completion, key: str) -> float | None:
    """Return how probable the value under `key` was: the product over its tokens; `None` where nobody said."""
    spans = _located(completion)
    if spans is None or key not in spans:
        return None
    products = _products(completion, [spans[key]])
    return None if products is None else products[0]


def whole_confidence(completion: Completion, keys: Sequence[str]) -> Confidence | None:
    """Return how probable the values under all `keys` were together, `None` where nobody said."""
    each = [field_confidence(completion, key) for key in keys]
    known = [value for value in each if value is not None]
    return Confidence(math.prod(known), "logprob") if len(known) == len(keys) else None


def _located(completion: Completion) -> Mapping[str, tuple[int, int]] | None:
    """Return where the values of the reply's object stand in its text, `None` without tokens that make it up."""
    if completion.tokens is None or "".join(token for token, _ in completion.tokens) != completion.text:
        return None
    text = completion.text
    end = len(text.rstrip().removesuffix("```").rstrip())
    at = text.find("{")
    for _ in range(_BRACES):
        if at < 0:
            return None
        if _end_of_value(text, at) == end:
            return dict(_members(text, at))
        at = text.find("{", at + 1)
    return None


def _members(text: str, at: int) -> Iterator[tuple[str, tuple[int, int]]]:
    """Yield the keys of a valid JSON object and where their values stand."""
    at = _blank_end(text, at + 1)
    while text[at] != "}":
        key, at = _DECODER.raw_decode(text, at)
        start = _blank_end(text, _blank_end(text, at) + 1)
        end = _DECODER.raw_decode(text, start)[1]
        yield key, (start, end)
        at = _blank_end(text, end)
        at = _blank_end(text, at + 1) if text[at] == "," else at


def _elements(text: str, at: int) -> Iterator[tuple[int, int]]:
    """Yield where the elements of a valid JSON list stand."""
    at = _blank_end(text, at + 1)
    while text[at] != "]":
        end = _DECODER.raw_decode(text, at)[1]
        yield at, end
        at = _blank_end(text, end)
        at = _blank_end(text, at + 1) if text[at] == "," else at


def _blank_end(text: str, at: int) -> int:
    match = _SPACES.match(text, at)
    return match.end() if match else at


def _products(completion: Completion, spans: Sequence[tuple[int, int]]) -> list[float] | None:
    """Return the product of the probabilities of the tokens that touch each span; spans come in order."""
    logs: list[list[float]] = [[] for _ in spans]
    begun, at = 0, 0
    for token, probability in completion.tokens or ():
        end = at + len(token)
        while begun < len(spans) and spans[begun][1] <= at:
            begun += 1
        for i in range(begun, len(spans)):
            if spans[i][0] >= end:
                break
            logs[i].append(probability)
        at = end
    return [math.prod(each) for each in logs]


def span_text(record: Record, show: str) -> tuple[str, str]:
    """Return the one field that spans point into, and its text.

    Raises:
        TaskError: `show` names several fields.
        MissingField, EmptyRecord: as `span_texts`.
    """
    texts = span_texts(record, show)
    if len(texts) > 1 or len(Shown.parse(show).fields) > 1:
        raise TaskError(f"spans point into one field, `show` names several: {show!r}")
    return next(iter(texts.items()))


def span_texts(record: Record, show: str) -> Mapping[str, str]:
    """Return the fields shown that hold text, each with its exact text.

    Raises:
        MissingField: the record has none of them.
        EmptyRecord: none of them holds text.
    """
    fields = Shown.parse(show).fields
    if missing := [name for name in fields if name not in record.fields]:
        raise MissingField(f"record {record.id!r} has no field {missing[0]!r}")
    texts = {name: record.fields[name] for name in fields if isinstance(record.fields[name], str)}
    if not texts:
        raise EmptyRecord(f"record {record.id!r}: {' and '.join(map(repr, fields))} hold no text")
    return texts


def quoted(text: str, start: int, end: int) -> dict[str, JSON]:
    """Return a span as a reply quotes it: its words, and which mention of them is meant where they do not say so."""
    which = number(text, start, end)
    return {"text": text[start:end]} | ({} if which is None else {"occurrence": which})
