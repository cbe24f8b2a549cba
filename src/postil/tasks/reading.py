"""Reading replies the same way for every kind: complete or not, folded text, strict JSON, corrected probabilities."""

import re
import unicodedata
from collections.abc import Mapping, Sequence

from postil.canonical import parse_json
from postil.errors import AnswerError, Filtered, Refused, Truncated, Unreadable
from postil.types import JSON, Completion

# Quotation marks, brackets and stops around an answer carry no meaning; "+" and "#" do ("C", "C++", "C#").
_AROUND = " \t\r\n.,;:!?\"'`*()[]<>。，；：！？、“”‘’「」『』（）【】《》"
_REASONING = re.compile(r"\A\s*<think>.*?</think>", re.DOTALL)
_FENCE = re.compile(r"\A```[a-z]*\s*\n(.*?)\n?```\Z", re.DOTALL)
_REFUSAL = re.compile(
    r"\b(i['’]?m sorry|i can(no|['’])t|i am unable|i['’]?m unable|as an ai|i won['’]t)\b"
    r"|抱歉|对不起|我无法|我不能|作为一个?人工智能",
    re.IGNORECASE,
)


def fold(text: str) -> str:
    """Return text without what does not distinguish answers: case, width, marks and spaces around it.

    This is the one declared normalisation of answers (reliability A5).
    """
    return " ".join(unicodedata.normalize("NFKC", text).casefold().strip(_AROUND).split())


def complete_text(completion: Completion) -> str:
    """Return the reply's text without a leading reasoning block, if the reply is whole.

    The reason for stopping is looked at before the text: a reply cut short is no answer even where it reads
    like one (reliability A1).

    Raises:
        AnswerError: the reply was cut short, withheld, refused or empty.
    """
    if completion.finish == "length":
        raise Truncated(f"the reply was cut at {completion.usage.output_tokens} tokens: {clip(completion.text)!r}")
    if completion.finish == "filter":
        raise Filtered("the provider withheld the reply")
    if completion.finish == "refusal":
        raise Refused(f"the model refused: {clip(completion.text)!r}")
    text = _REASONING.sub("", completion.text).strip()
    if not text:
        raise Unreadable("the reply is empty")
    return text


def not_readable(text: str, expected: str) -> AnswerError:
    """Return the error for a reply in prose: a refusal if it says so, else unreadable."""
    if _REFUSAL.search(text):
        return Refused(f"the model refused: {clip(text)!r}")
    return Unreadable(f"expected {expected}, got {clip(text)!r}")


def json_object(text: str) -> Mapping[str, JSON] | None:
    """Return the object that a reply consists of, bare or in one code fence; `None` if it is no JSON object.

    Duplicate keys and non-finite numbers make it unreadable (reliability A6).
    """
    fenced = _FENCE.match(text)
    body = fenced.group(1) if fenced else text
    if not body.lstrip().startswith("{"):
        return None
    try:
        value = parse_json(body)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def divided_by_prior(probabilities: Sequence[float], prior: Sequence[float] | None) -> tuple[float, ...]:
    """Return probabilities divided by the model's prior for each choice and normalised.

    Contextual calibration (Zhao et al. 2021, arXiv 2102.09690) and batch calibration (Zhou et al. 2023,
    arXiv 2309.17249) differ only in where the prior comes from. Survey B.11.
    """
    if prior is None:
        return tuple(probabilities)
    weights = [p / q for p, q in zip(probabilities, prior, strict=True)]
    total = sum(weights)
    return tuple(w / total for w in weights)


def clip(text: str, limit: int = 200) -> str:
    """Return the beginning of a text, for messages."""
    return text if len(text) <= limit else text[:limit] + "…"
