"""Reading replies the same way for every kind: complete or not, folded text, strict JSON, corrected probabilities."""

import math
import re
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Final

from postil.canonical import parse_json
from postil.errors import AnswerError, Endless, Filtered, InputTruncated, Refused, Truncated, Unreadable
from postil.types import JSON, Completion

# Quotation marks, brackets and stops around an answer carry no meaning; "+" and "#" do ("C", "C++", "C#"), and so
# does a stop before it (".NET", ".5") and a "<" without its ">" ("<4" is no 4).
_BEFORE: Final = " ,;:!?\"'`*()[]。、“”‘’「」『』【】《》"
_AFTER: Final = _BEFORE + "."
_SEARCHED: Final = 2000
"""How much of a reply is searched for a refusal, which stands at its beginning, or for a loop, in which it ends."""

_BLANKS: Final = 20
"""So much white space at the end of a reply is no layout any more."""
_LOOP: Final = 40
"""Characters that a piece of text fills, three times or more, where it is said over and over."""
_COUNTED: Final = 16
"""Characters of a piece that may differ in its numbers each time: shorter ones are lists of numbers."""
_NUMBER = re.compile(r"\d+")

_THOUGHTS: Final = ("think", "thinking", "thought", "reasoning")
_OPENED = re.compile(rf"\s{{0,64}}<({'|'.join(_THOUGHTS)})>")
_CLOSED: Final = tuple(f"</{name}>" for name in _THOUGHTS)
_REFUSAL = re.compile(
    r"\bi(?:['’]?m| am) (?:(?:very|so|truly|really) )?(?:sorry|unable|not able|not allowed|not comfortable)\b"
    r"|\bi (?:can(?:not| not|['’]?t)|won['’]?t|will not|must decline|refuse|decline|apologi[sz]e)\b"
    r"|\b(?:can(?:not|['’]?t)|unable to) (?:assist|help|comply|fulfil|provide|process|answer|classify|rate|respond)"
    r"|\bas an? (?:ai|artificial intelligence|(?:large )?language model)\b|\bsorry, (?:but|i)\b"
    r"|抱歉|对不起|對不起|我无法|我無法|我不能|不便回答|拒绝回答|拒絕回答|作[为為](?:一[个個名款位])?(?:AI|人工智能|大?语言模型)"
    r"|(?:无法|無法|不能)(?:回答|提供|协助|協助|完成|处理|處理|满足|滿足|判断|判斷)",
    re.IGNORECASE,
)


def fold(text: str) -> str:
    """Return text without what does not distinguish answers: case, width, marks and spaces around it.

    This is the one declared normalisation of answers (reliability A5).
    """
    words = unicodedata.normalize("NFKC", text).casefold().split()
    folded = " ".join(words).lstrip(_BEFORE).rstrip(_AFTER)
    return folded[1:-1].strip() if folded.startswith("<") and folded.endswith(">") else folded


def complete_text(completion: Completion) -> str:
    """Return the reply's text without the thoughts before it, if the reply is whole.

    The reason for stopping is looked at before the text: a reply cut short is no answer even where it reads
    like one (reliability A1).

    Raises:
        AnswerError: the reply was cut short, withheld, refused or empty.
    """
    if completion.finish == "input_cut":
        raise InputTruncated(
            f"the server read {completion.usage.input_tokens} tokens of a longer prompt: it cut the text in silence",
            hint="give the server a larger context, or shorten the text",
        )
    if completion.finish == "length":
        cut = f"was cut at {completion.usage.output_tokens} tokens"
        if is_endless(completion.text):
            raise Endless(f"the reply went on in a loop until it {cut}: …{completion.text[-80:]!r}")
        raise Truncated(f"the reply {cut}: {clip(completion.text)!r}")
    if completion.finish == "filter":
        raise Filtered("the provider withheld the reply")
    if completion.finish == "refusal":
        raise Refused(f"the model refused: {clip(completion.text)!r}")
    text = _without_thoughts(completion.text).strip()
    if not text:
        raise Unreadable("the reply is empty")
    return text


def is_endless(text: str) -> bool:
    """Return whether a text that was cut ends in a loop: in white space, or in one piece said over and over."""
    if len(text) - len(text.rstrip()) >= _BLANKS:
        return True
    tail = text[-_SEARCHED:]
    return _period(tail) > 0 or _period(_NUMBER.sub("0", tail)) >= _COUNTED


def _period(text: str) -> int:
    """Return the length of the shortest piece that a text ends in over and over, 0 if there is none."""
    for length in range(1, len(text) // 3 + 1):
        if text.endswith(text[-length:] * max(3, math.ceil(_LOOP / length))):
            return length
    return 0


def _without_thoughts(text: str) -> str:
    """Return what follows the last end of thoughts; some servers send the end without the beginning."""
    if "<" not in text:
        return text
    end = max(text.rfind(mark) + len(mark) if mark in text else 0 for mark in _CLOSED)
    if _OPENED.match(text, end):
        raise Unreadable(f"expected an answer after the thoughts, got thoughts without an end: {clip(text)!r}")
    return text[end:]


def not_readable(text: str, expected: str) -> AnswerError:
    """Return the error for a reply in prose: a refusal if it says so, else unreadable."""
    if is_refusal(text):
        return Refused(f"the model refused: {clip(text)!r}")
    return Unreadable(f"expected {expected}, got {clip(text)!r}")


def is_refusal(text: str) -> bool:
    """Return whether a text that holds no answer says that it gives none (reliability A3)."""
    return _REFUSAL.search(text, 0, _SEARCHED) is not None


def json_object(text: str) -> Mapping[str, JSON] | None:
    """Return the object that a reply consists of, bare or in one code fence; `None` if it is no JSON object.

    Duplicate keys and non-finite numbers make it none (reliability A6), and so does prose around it (A7).
    """
    body = unfenced(text)
    if not body.startswith("{"):
        return None
    try:
        value = parse_json(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def unfenced(text: str) -> str:
    """Return what stands in the code fence that a text consists of, else the text."""
    text = text.strip()
    if len(text) < 6 or not (text.startswith("```") and text.endswith("```")):
        return text
    language, line_end, body = text[3:-3].partition("\n")
    return body.strip() if line_end and (not language.strip() or language.strip().isalnum()) else text


def divided_by_prior(probabilities: Sequence[float], prior: Sequence[float] | None) -> tuple[float, ...]:
    """Return probabilities divided by the model's prior for each choice and normalised.

    Contextual calibration (Zhao et al. 2021, arXiv 2102.09690) and batch calibration (Zhou et al. 2023,
    arXiv 2309.17249) differ only in where the prior comes from. Survey B.11.

    Raises:
        Unreadable: they are no probabilities, so there is nothing to go by.
    """
    # A prior of exactly nothing would make one reply certain whatever it says.
    weights = (
        [p / max(q, 1e-12) for p, q in zip(probabilities, prior, strict=True)]
        if prior is not None
        else [*probabilities]
    )
    total = math.fsum(weights)
    if not (math.isfinite(total) and total > 0 and min(weights) >= 0):
        raise Unreadable(f"expected a distribution over the choices, got {clip(repr([*probabilities]))}")
    return tuple(probabilities) if prior is None else tuple(w / total for w in weights)


def clip(text: str, limit: int = 200) -> str:
    """Return the beginning of a text, for messages."""
    return text if len(text) <= limit else text[:limit] + "…"
