"""One answer out of a few options: the asking and reading that classification and rating share.

A reply names an option in one of these ways, and in no other:

1. The whole reply, folded, is an option or an alias of one, the dash of the list of options before it or not; where
   letters stand for options, a letter, alone or with its own option after it ("B", "(B)", "B. negative").
2. The whole reply, bare or in one code fence, is a JSON object whose one declared field says (1).
3. What follows the last answer marker that begins a line ("Label:", "Answer:") is (1) or (2). What stands before it is
   the rationale. If an earlier marker or the first line names another option, the reply is ambiguous.

Everything else is a failure with a class of its own, never the nearest, the first or the most frequent option.
"""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from postil.errors import Ambiguous, AnswerError, OutsideLabels, TaskError, Unreadable
from postil.tasks import AnswerForm, Language
from postil.tasks.reading import clip, complete_text, divided_by_prior, fold, is_refusal, json_object, not_readable
from postil.tasks.reasons import reason_tokens, with_reasons
from postil.types import JSON, Capabilities, Completion

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
        "label": "只回答其中一项，不要写别的。",
        "code": "只回答一个字母，不要写别的。",
        "json": '只回答 JSON，不要写别的，例如 {{"{key}": …}}。',
    },
}

# Controls, lone surrogates, and the ends of lines and paragraphs.
_UNWRITABLE: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})

# What a model may write before its answer whatever the task calls it.
_MARKERS: Final = ("Answer", "答案")
_LETTERED = re.compile(r"[^\w\n]{0,8}([A-Z])[^\w\n]{1,8}(\S.*)")
_LINE = re.compile(r"\s*([^\n]*)")
_LETTER_ALONE = re.compile(r"(?<!\w)[A-Z](?!\w)")
# Scripts that put no spaces between words have no word ends to look for.
_UNSPACED: Final = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uac00-\ud7af"
_LETTER: Final = rf"[^\W{_UNSPACED}]"
_WORD = re.compile(rf"[{_UNSPACED}]|{_LETTER}+")
_SEARCHED: Final = 2000
"""How much of a reply in prose is searched for options, only to say what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The option that a reply chose, and how probable each option was where the engine said."""

    name: str
    probabilities: Mapping[str, float] | None
    rationale: str = ""


def choice_form(
    names: Sequence[str],
    capabilities: Capabilities,
    *,
    key: str,
    values: Sequence[JSON] | None = None,
    rationale: bool = False,
    evidence: bool = False,
) -> AnswerForm:
    """Return how one of `names` is to be answered by an engine with these capabilities.

    Engines that score whole sequences are asked for the names themselves. Where only the first token is scored,
    names that differ in their first letter will do, else letters stand for them (survey 1.09, B.11). `values` are
    the names as JSON has them, where they are no text. With reasons or evidence the answer is JSON that holds them.
    """
    longest = max(len(name.encode("utf-8", "replace")) for name in names)
    tokens = max(_LABEL_TOKENS, longest)
    if (rationale or evidence) and capabilities.reads != "record":
        schema = _schema(key, values or names) if capabilities.schema else None
        return AnswerForm(
            "json",
            _JSON_TOKENS + longest + reason_tokens(rationale=rationale, evidence=evidence),
            schema=schema and with_reasons(schema, rationale=rationale, evidence=evidence),
            token_probabilities=capabilities.token_probabilities,
            reasons="inside" if rationale else "none",
        )
    if capabilities.scores == "sequence":
        return AnswerForm("label", tokens, tuple(names), reasons="before")
    if capabilities.scores == "first_token":
        if len({fold(name)[:1] for name in names}) == len(names):
            return AnswerForm("label", tokens, tuple(names), reasons="before")
        codes = CODES[: len(names)]
        if len(names) <= len(CODES) and not any(fold(name).upper() in codes for name in names):
            return AnswerForm("code", _LABEL_TOKENS, tuple(codes), reasons="before")
    if capabilities.schema:
        return AnswerForm("json", _JSON_TOKENS + longest, schema=_schema(key, values or names))
    return AnswerForm("label", tokens, reasons="before")


def _schema(key: str, values: Sequence[JSON]) -> Mapping[str, JSON]:
    kind = "integer" if all(isinstance(value, int) for value in values) else "string"
    return {
        "type": "object",
        "properties": {key: {"type": kind, "enum": list(values)}},
        "required": [key],
        "additionalProperties": False,
    }


def contract(form: AnswerForm, language: Language, key: str) -> str:
    """Return the sentence that says how to write the answer."""
    return CONTRACTS[language][form.style].format(key=key)


def defined_labels(task: str, labels: Sequence[str] | Mapping[str, str]) -> Mapping[str, str]:
    """Return labels with their definitions.

    Raises:
        TaskError: they are no set of at least two texts.
    """
    given: Sequence[object] = [labels] if isinstance(labels, str) else list(labels)
    definitions = list(labels.values()) if isinstance(labels, Mapping) else []
    if not all(isinstance(text, str) for text in [*given, *definitions]) or isinstance(labels, str):
        raise TaskError(
            f"task {task!r}: labels are a list of texts, or texts with their definitions, got {clip(repr(labels))}",
            hint='write numbers as text: labels = ["0", "1"]',
        )
    defined = dict(labels) if isinstance(labels, Mapping) else dict.fromkeys(labels, "")
    if len(defined) != len(given):
        raise TaskError(f"task {task!r}: every label must be there once, got {clip(repr(given))}")
    if len(defined) < 2:
        raise TaskError(
            f"task {task!r}: a label set needs at least two labels, got {given!r}",
            hint="give them as labels = [...] or --labels a,b",
        )
    return defined


def folded_forms(names: Iterable[str], aliases: Iterable[tuple[str, str]], *, of: str) -> Mapping[str, str]:
    """Return folded name or alias -> name, having checked that no two could be confused.

    Raises:
        TaskError: two words read the same and mean different names, or nothing of a word can be read back.
    """
    found: dict[str, tuple[str, str]] = {}
    for word, name in [*((name, name) for name in names), *aliases]:
        folded = fold(word)
        if not folded or any(unicodedata.category(character) in _UNWRITABLE for character in word):
            raise TaskError(
                f"{of}: {word!r} cannot be a label: it cannot be written in a prompt and read back",
                hint="a label needs a letter, a digit or a sign, and no line breaks",
            )
        meant, before = found.setdefault(folded, (name, word))
        if meant != name:
            raise TaskError(
                f"{of}: {before!r} and {word!r} read the same", hint="case, width and marks around a label do not count"
            )
    return {folded: name for folded, (name, _) in found.items()}


@dataclass(frozen=True)
class Choices:
    """The options of a task, ready to be found in replies; made once for a task, since every reply needs it."""

    names: tuple[str, ...]
    forms: Mapping[str, str]
    """Folded name or alias -> name."""
    key: str
    """The field of a JSON reply that holds the answer."""
    cue: str
    """The answer marker that the prompt itself shows."""

    def read(self, completion: Completion, form: AnswerForm, prior: Sequence[float] | None = None) -> Chosen:
        """Return the option that a complete reply names.

        The text must name an option even where probabilities came with it. With a prior the most probable option
        after correction is the answer; without, the option that the text names.

        Raises:
            AnswerError: the reply names no option, or several. Never falls back to any option (survey 0.01).
        """
        text = complete_text(completion)
        codes = form.choices if form.style == "code" else ()
        written, rationale = self._said(text, codes), ""
        if written is None:
            written, rationale = self._marked(text, codes)
        if completion.choice_probabilities is None:
            return Chosen(written, None, rationale)
        return self._weighed(written, completion.choice_probabilities, prior, rationale)

    def _weighed(self, written: str, raw: Sequence[float], prior: Sequence[float] | None, rationale: str) -> Chosen:
        if len(raw) != len(self.names):
            raise Unreadable(f"expected {len(self.names)} probabilities, one for each option, got {len(raw)}")
        odds = dict(zip(self.names, divided_by_prior(raw, prior), strict=True))
        if prior is None:
            return Chosen(written, odds, rationale)
        most = max(odds.values())
        best = [name for name, p in odds.items() if p == most]
        if len(best) > 1 and written not in best:
            raise Ambiguous(f"after correction for the prior several options are as probable: {clip(', '.join(best))}")
        return Chosen(written if written in best else best[0], odds, rationale)

    def _said(self, text: str, codes: Sequence[str]) -> str | None:
        """Return the option that a whole text is, bare or as JSON, `None` if it is something else."""
        bare = self._bare(text, codes)
        if bare is not None or "{" not in text:
            return bare
        value = self._declared(text)
        return None if value is None else self._bare(value, codes)

    def _bare(self, text: str, codes: Sequence[str]) -> str | None:
        folded = fold(text)
        if codes and (letter := folded.upper()) in codes:
            return self.names[codes.index(letter)]
        if folded in self.forms:
            return self.forms[folded]
        if folded.startswith("- ") and self._listed_with_dashes and not folded[2:3].isdigit():
            return self.forms.get(folded[2:])
        if codes and (lettered := _LETTERED.fullmatch(text)) and lettered[1] in codes:
            name = self.forms.get(fold(lettered[2]))
            return name if name == self.names[codes.index(lettered[1])] else None
        return None

    def _declared(self, text: str) -> str | None:
        """Return what a JSON object says in the declared field, `None` if that is no text or number."""
        fields = json_object(text)
        value = None if fields is None else fields.get(self.key)
        return str(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else None

    def _marked(self, text: str, codes: Sequence[str]) -> tuple[str, str]:
        """Return the option after the last answer marker, and what stands before the first.

        Raises:
            AnswerError: there is none.
        """
        marks = list(self._marker.finditer(text)) if ":" in text or "：" in text else []
        if not marks:
            raise self._misread(text, codes)
        last = text[marks[-1].end() :].strip()
        name = self._said(last, codes)
        if name is None:
            raise self._misread(last, codes)
        head = text[: marks[0].start()].strip()
        before = [self._said(each, codes) for each in (head, _line_at(head, 0))]
        between = [self._said(_line_at(text, mark.end()), codes) for mark in marks[:-1]]
        if any(other not in (None, name) for other in before + between):
            raise self._several(text)
        return name, "" if any(before) else head

    @cached_property
    def _listed_with_dashes(self) -> bool:
        return not any(form.startswith("-") for form in self.forms)

    @cached_property
    def _marker(self) -> re.Pattern[str]:
        # Bounded repetitions: a hostile reply of a million blanks is read as fast as any other.
        words = "|".join(map(re.escape, dict.fromkeys((self.cue, *_MARKERS))))
        return re.compile(rf"^[ \t>*_#-]{{0,8}}(?:{words})[ \t*_]{{0,8}}[:：]", re.IGNORECASE | re.MULTILINE)

    @cached_property
    def _mention(self) -> re.Pattern[str]:
        """Finds options in prose, as words of their own and the longest at each place ("not_entailed", "entailed")."""
        return re.compile("|".join(map(_alone, sorted(self.forms, key=len, reverse=True))))

    @cached_property
    def _longest(self) -> int:
        return max(len(_WORD.findall(name)) for name in self.names)

    def _misread(self, text: str, codes: Sequence[str]) -> AnswerError:
        expected = f"one letter of {codes[0]}-{codes[-1]}" if codes else f"one of {clip(', '.join(self.names))}"
        value = self._declared(text)
        said = text if value is None else value
        if is_refusal(said):
            return not_readable(said, expected)
        if len(self._mentioned(said, codes)) > 1:
            return self._several(said)
        if value is not None or self._is_like_an_option(said):
            return OutsideLabels(f"expected {expected}; got {clip(said)!r}")
        return not_readable(said, expected)

    def _is_like_an_option(self, text: str) -> bool:
        """Return whether a text could be an option that there is not, rather than prose or broken JSON."""
        if not text or len(text) > _SEARCHED or "\n" in text or "{" in text or "```" in text:
            return False
        return len(_WORD.findall(text)) <= 2 * self._longest + 1

    def _mentioned(self, text: str, codes: Sequence[str]) -> set[str]:
        beginning = text[:_SEARCHED]
        found = {self.forms[match[0]] for match in self._mention.finditer(fold(beginning))}
        letters = _LETTER_ALONE.findall(beginning) if codes else []
        return found | {self.names[codes.index(letter)] for letter in letters if letter in codes}

    def _several(self, text: str) -> Ambiguous:
        return Ambiguous(f"expected one of {clip(', '.join(self.names))}; the reply names several: {clip(text)!r}")


def _line_at(text: str, place: int) -> str:
    """Return the first line from a place on that is not blank."""
    line = _LINE.match(text, place)
    return line[1].strip() if line else ""


def _alone(form: str) -> str:
    """Return a pattern for a folded form that is no part of a longer word or number."""
    before = after = ""
    if re.match(_LETTER, form[0]):
        before = rf"(?<!{_LETTER})" + (r"(?<!\d[.,])" if form[0].isdigit() else "")
    if re.match(_LETTER, form[-1]):
        after = rf"(?!{_LETTER})" + (r"(?![.,]\d)" if form[-1].isdigit() else "")
    return before + re.escape(form) + after
