"""One answer out of a few options: the asking and reading that classification and rating share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from postil.errors import Ambiguous, AnswerError, OutsideLabels
from postil.tasks import AnswerForm, Language
from postil.tasks.reading import clip, complete_text, divided_by_prior, fold, json_object, not_readable
from postil.types import Capabilities, Completion

CODES: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# A label is a few tokens; a reply that runs on is cut here and counted as truncated instead of being paid for.
_LABEL_TOKENS: Final = 16
_JSON_TOKENS: Final = 32

CONTRACTS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "label": "Answer with exactly one of these and nothing else.",
        "code": "Answer with exactly one letter and nothing else.",
        "json": 'Answer with JSON and nothing else, like {{"{key}": …}}.',
    },
    "zh": {
        "label": "只回答其中一项,不要写别的。",
        "code": "只回答一个字母,不要写别的。",
        "json": '只回答 JSON,不要写别的,例如 {{"{key}": …}}。',
    },
}


@dataclass(frozen=True, slots=True)
class Chosen:
    """The option that a reply chose, and how probable each option was where the engine said."""

    name: str
    probabilities: Mapping[str, float] | None


def choice_form(names: Sequence[str], capabilities: Capabilities, *, key: str) -> AnswerForm:
    """Return how one of `names` is to be answered by an engine with these capabilities.

    Engines that score whole sequences are asked for the names themselves. Where only the first token is scored,
    names that differ in their first letter will do, else letters stand for them (survey 1.09, B.11).
    """
    longest = max(len(name.encode()) for name in names)
    tokens = max(_LABEL_TOKENS, longest)
    if capabilities.scores == "sequence":
        return AnswerForm("label", tokens, tuple(names))
    if capabilities.scores == "first_token":
        if len({fold(name)[:1] for name in names}) == len(names):
            return AnswerForm("label", tokens, tuple(names))
        if len(names) <= len(CODES):
            return AnswerForm("code", _LABEL_TOKENS, tuple(CODES[: len(names)]))
    if capabilities.schema:
        schema = {
            "type": "object",
            "properties": {key: {"type": "string", "enum": list(names)}},
            "required": [key],
            "additionalProperties": False,
        }
        return AnswerForm("json", _JSON_TOKENS + longest, schema=schema)
    return AnswerForm("label", tokens)


def contract(form: AnswerForm, language: Language, key: str) -> str:
    """Return the sentence that says how to write the answer."""
    return CONTRACTS[language][form.style].format(key=key)


def read_choice(
    completion: Completion,
    form: AnswerForm,
    names: Sequence[str],
    *,
    key: str,
    aliases: Mapping[str, str],
    prior: Sequence[float] | None = None,
) -> Chosen:
    """Return the option that a complete reply names.

    The text must name an option even where probabilities came with it. With a prior the most probable option
    after correction is the answer; without, the option that the text names.

    Raises:
        AnswerError: the reply names no option, or several. Never falls back to any option (survey 0.01).
    """
    text = complete_text(completion)
    written = names[_index(text, form.choices)] if form.style == "code" else _named(text, names, key, aliases)
    raw = completion.choice_probabilities
    if raw is None:
        return Chosen(written, None)
    probabilities = dict(zip(names, divided_by_prior(raw, prior), strict=True))
    if prior is None:
        return Chosen(written, probabilities)
    return Chosen(max(names, key=probabilities.__getitem__), probabilities)


def _index(text: str, codes: Sequence[str]) -> int:
    letter = fold(text).upper()
    if letter in codes:
        return codes.index(letter)
    raise _misread(text, f"one letter of {codes[0]}-{codes[-1]}")


def _named(text: str, names: Sequence[str], key: str, aliases: Mapping[str, str]) -> str:
    fields = json_object(text)
    if fields is not None:
        value = fields.get(key)
        text = text if value is None or isinstance(value, (bool, list, dict)) else str(value)
    if text in names:
        return text
    by_fold = {fold(alias): name for alias, name in aliases.items()} | {fold(name): name for name in names}
    folded = fold(text)
    if folded in by_fold:
        return by_fold[folded]
    mentioned = {name for form, name in by_fold.items() if _mentions(folded, form)}
    if len(mentioned) > 1:
        raise Ambiguous(f"expected one of {', '.join(names)}; the reply names several: {clip(text)!r}")
    raise _misread(text, f"one of {', '.join(names)}")


def _mentions(text: str, form: str) -> bool:
    """Return whether a form stands in a text as a word of its own; scripts without spaces have no word ends."""
    at = text.find(form)
    while at >= 0:
        before, after = text[at - 1 : at] if at else "", text[at + len(form) : at + len(form) + 1]
        inside = form.isascii() and ((before.isascii() and before.isalnum()) or (after.isascii() and after.isalnum()))
        if not inside:
            return True
        at = text.find(form, at + 1)
    return False


def _misread(text: str, expected: str) -> AnswerError:
    refusal_or_prose = not_readable(text, expected)
    if refusal_or_prose.failure_class == "unreadable" and len(text) <= 60 and "\n" not in text:
        return OutsideLabels(f"expected {clip(expected)}; got {text!r}")
    return refusal_or_prose
