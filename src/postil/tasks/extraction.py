"""What all kinds share that are answered as one JSON object: finding it, and how probable its parts are.

The object is the whole reply, bare or in one code fence, or it is what follows the last answer marker that begins a
line ("Answer:", "答案："), after reasons that hold no other object (reliability A6, A7). Anything else is no answer.

How probable a part was is the product of the probabilities of its tokens, and only those count that touch what it
says: the insides of strings, numbers, true, false and null. Keys and brackets do not: where a schema forced them they
may be most improbable to the model, whatever it thinks of the answer. Nor do `id` and `occurrence`, which say how a
part is named and found, not what it is. Where there is nothing else, as in an empty list, the whole counts.
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
_PIECE: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]|[^\s\[\]{}",:]+')
_BESIDE: Final = frozenset({'"id"', '"occurrence"'})
"""Keys whose values say nothing of a part itself."""
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
    """Return how probable what each element of the list under `key` says was: the product over the tokens of it.

    `None` where the engine did not say, or the reply has no list there.
    """
    spans = _located(completion)
    at = None if spans is None else spans.get(key)
    if at is None or not completion.text.startswith("[", at[0]):
        return None
    return _products(completion, [_saying(completion.text, *each) for each in _elements(completion.text, at[0])])


def field_confidence(completion: Completion, key: str) -> float | None:
    """Return how probable what stands under `key` was: the product over its tokens; `None` where nobody said."""
    whole = whole_confidence(completion, [key])
    return None if whole is None else whole.value


def whole_confidence(completion: Completion, keys: Sequence[str]) -> Confidence | None:
    """Return how probable what stands under all `keys` was together, `None` where nobody said."""
    spans = _located(completion)
    if spans is None or not all(key in spans for key in keys):
        return None
    pieces = sorted(piece for key in keys for piece in _saying(completion.text, *spans[key]))
    [product] = _products(completion, [pieces])
    return Confidence(product, "logprob")


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


def _saying(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Return where the parts of a valid JSON value stand that say something, in order."""
    found: list[tuple[int, int]] = []
    # Of each open bracket: where it stands, how much was found before it, whether what is in it counts.
    opened: list[tuple[int, int, bool]] = []
    key = ""
    for match in _PIECE.finditer(text, start, end):
        piece, (at, until) = match[0], match.span()
        if piece[0] == '"' and text.startswith(":", _blank_end(text, until)):
            key = piece
            continue
        counts = key not in _BESIDE and (not opened or opened[-1][2])
        if piece in "[{":
            opened.append((at, len(found), counts))
        elif piece in "]}":
            at, before, counts = opened.pop()
            if counts and len(found) == before:
                found.append((at, until))
        elif counts:
            found.append((at + 1, until - 1) if piece[0] == '"' and piece != '""' else (at, until))
        key = ""
    return found


def _products(completion: Completion, parts: Sequence[Sequence[tuple[int, int]]]) -> list[float]:
    """Return the products of the probabilities of the tokens that touch each part, whose pieces come in order."""
    pieces = [(start, end, part) for part, each in enumerate(parts) for start, end in each]
    touching: list[list[float]] = [[] for _ in parts]
    begun, at = 0, 0
    for token, probability in completion.tokens or ():
        end = at + len(token)
        while begun < len(pieces) and pieces[begun][1] <= at:
            begun += 1
        touched: set[int] = set()
        for i in range(begun, len(pieces)):
            if pieces[i][0] >= end:
                break
            touched.add(pieces[i][2])
        for part in touched:
            touching[part].append(probability)
        at = end
    return [math.prod(each) for each in touching]


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
