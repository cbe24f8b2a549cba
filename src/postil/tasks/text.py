"""Free writing: answers, summaries, rewritten or generated texts; with scores, or with the quotes they rest on.

A grounded answer stands on words of the record. They are looked for in it, and an answer whose words nobody wrote is
a failure, not an answer (survey 0.13, reliability A9).
"""

import json
import math
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import ClassVar, Final, Literal, NamedTuple, Self

from postil.canonical import canonical_json
from postil.errors import (
    Ambiguous,
    AnswerError,
    DataError,
    Inconsistent,
    NotFound,
    OutsideLabels,
    Refused,
    TaskError,
    Unreadable,
)
from postil.tasks import AnswerForm, Ask, Language, Option, Reading, Scale
from postil.tasks.alignment import loosest, place
from postil.tasks.extraction import Reply, json_reply, part_confidences, quoted, whole_confidence
from postil.tasks.language import language_of
from postil.tasks.places import Methods, part_of, placings
from postil.tasks.reading import clip, complete_text, fold, is_refusal, not_readable
from postil.tasks.reasons import reason_tokens, reasons_contract, reasons_of, with_reasons
from postil.tasks.shown import Shown
from postil.tasks.specs import from_spec, require_texts
from postil.types import JSON, Answer, Capabilities, Completion, Confidence, Record

__all__ = ["Text", "overlap", "words_of"]

_QUOTES: Final = "quotes"
_SCORES: Final = "scores"
_QUOTE_TOKENS: Final = 256
_SCORE_TOKENS: Final = 16
_HEAD: Final = 100
"""Where a refusal begins, if a text is one."""
_NAMED: Final = 3
"""How many faulty quotes of one reply are named: it is sent back only once."""

_ARTICLES: Final = re.compile(r"\b(?:a|an|the)\b")
_TOKEN: Final = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\s\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)


class _Words(NamedTuple):
    """What a prompt says of the answer."""

    cue: str
    text: str
    final: str
    object: str
    quotes: str
    quotes_null: str
    scores: str
    scale: str
    unanswerable: str
    unanswerable_json: str
    colon: str
    space: str


_WORDS: Final[Mapping[Language, _Words]] = {
    "en": _Words(
        cue="Answer",
        text="Answer with the text and nothing else.",
        final='Think it through step by step. End with a line that begins with "{}:" and holds nothing but the answer.',
        object="Answer with JSON and nothing else: {}.",
        quotes='"quotes" are the words of the text that the answer rests on, copied letter by letter. Only where the '
        'same words stand there several times, add "occurrence": which of the mentions is meant, counted from 1.',
        quotes_null='"quotes" are the words of the text that the answer rests on, copied letter by letter. '
        '"occurrence" is null, but where the same words stand there several times it says which of the mentions is '
        "meant, counted from 1.",
        scores='"scores" are your scores of the text that you wrote.',
        scale="from {} to {}",
        unanswerable='Where there is no answer, answer "{}".',
        unanswerable_json='Where there is no answer, "text" is "{}".',
        colon=": ",
        space=" ",
    ),
    "zh": _Words(
        cue="答案",
        text="只写出所要的文字，不要写别的。",
        final="请逐步思考。最后另起一行，以“{}：”开头，只写答案。",
        object="只回答 JSON，不要写别的：{}。",
        quotes='"quotes" 是答案所依据的原文词句，逐字照抄。只有同样的词句在文中出现多次时，才加上 "occurrence"，写明是'
        "第几处，从 1 数起。",
        quotes_null='"quotes" 是答案所依据的原文词句，逐字照抄。"occurrence" 写 null；只有同样的词句在文中出现多次时，'
        "才写明是第几处，从 1 数起。",
        scores='"scores" 是你给自己所写文字的分数。',
        scale="{} 到 {} 分",
        unanswerable="如果没有答案，就回答“{}”。",
        unanswerable_json='如果没有答案，"text" 就写“{}”。',
        colon="：",
        space="",
    ),
}


@dataclass(frozen=True, init=False)
class Text:
    """A text that the annotator writes.

    With `grounded` it comes with quotes from the field `source`, each found there; with `criteria` with a score of its
    own for each, from `low` to `high`. With `final` the reply reasons first, and the answer is what stands after the
    last line that begins with that word ("Answer: 72"). `unanswerable` is a word that says that there is no answer,
    which is an abstention. Gold may hold `alternatives`: other texts that are as right.

    With `unaligned = "drop"` quotes that do not stand in the source are left out and listed, as long as one does. A
    reply that begins like a refusal is one, unless `refusals = "keep"` says that such texts are wanted.
    """

    kind: ClassVar[str] = "text"
    answer_keys: ClassVar[tuple[str, ...]] = ("text",)
    other_keys: ClassVar[tuple[str, ...]] = ("quotes", "scores", "alternatives")
    """What gold may hold beside the answer's key."""

    name: str
    instruction: str
    show: str
    grounded: bool
    source: str | None
    criteria: tuple[str, ...]
    low: int
    high: int
    unanswerable: str | None
    final: str | None
    max_tokens: int
    unaligned: Literal["fail", "drop"]
    refusals: Literal["fail", "keep"]
    rationale: bool
    language: Language

    def __init__(
        self,
        name: str,
        instruction: str,
        *,
        show: str = "{text}",
        grounded: bool = False,
        source: str | None = None,
        criteria: Sequence[str] | None = None,
        low: int = 1,
        high: int = 5,
        unanswerable: str | None = None,
        final: str | None = None,
        max_tokens: int = 512,
        unaligned: Literal["fail", "drop"] = "fail",
        refusals: Literal["fail", "keep"] = "fail",
        rationale: bool = False,
        language: Language | None = None,
    ) -> None:
        """Take what is to be written; `source` may be left out where only one field is shown.

        Raises:
            TaskError: the definition cannot work; the message says which part.
        """
        scored = [criteria] if isinstance(criteria, str) else list(criteria or ())
        words = {f"criterion {i}": criterion for i, criterion in enumerate(scored, 1)}
        given = {"source": source or "", "unanswerable": unanswerable or "", "final": final or ""}
        require_texts(name=name, instruction=instruction, show=show, **given, **words)
        fields = Shown.parse(show).fields
        for attribute, value in {
            "name": name,
            "instruction": instruction,
            "show": show,
            "grounded": grounded,
            "source": source or (fields[0] if grounded and len(fields) == 1 else None),
            "criteria": tuple(scored),
            "low": low,
            "high": high,
            "unanswerable": unanswerable,
            "final": final.strip().rstrip(":：").rstrip() if final else None,
            "max_tokens": max_tokens,
            "unaligned": unaligned,
            "refusals": refusals,
            "rationale": rationale,
            "language": language or language_of(instruction),
        }.items():
            object.__setattr__(self, attribute, value)
        self._check(fields)

    def _check(self, fields: Sequence[str]) -> None:
        """Check what the parts of the definition mean together."""
        where = f"task {self.name!r}"
        if self.grounded and self.source not in fields:
            raise TaskError(f"{where}: `source` must be the field shown that quotes stand in, got {self.source!r}")
        if self.final and self._is_json:
            raise TaskError(f"{where}: `final` is for a bare text; use `rationale = true` for reasons beside JSON")
        if type(self.low) is not int or type(self.high) is not int or not 1 <= self.high - self.low <= 100:
            raise TaskError(f"{where}: scores have 2 to 101 points, whole numbers, got {self.low!r} to {self.high!r}")
        if len(set(self.criteria)) < len(self.criteria):
            raise TaskError(f"{where}: every criterion must be there once, got {[*self.criteria]!r}")
        if type(self.max_tokens) is not int or self.max_tokens < 1:
            raise TaskError(f"{where}: `max_tokens` must be above 0, got {self.max_tokens!r}")
        if self.unaligned not in ("fail", "drop"):
            raise TaskError(f"{where}: `unaligned` is 'fail' or 'drop', got {self.unaligned!r}")
        if self.refusals not in ("fail", "keep"):
            raise TaskError(f"{where}: `refusals` is 'fail' or 'keep', got {self.refusals!r}")

    def __hash__(self) -> int:
        return hash((self.name, self.instruction, self.show, self.grounded, self.source, self.criteria, self.final))

    @property
    def _is_json(self) -> bool:
        return self.grounded or bool(self.criteria) or self.rationale

    @property
    def labels(self) -> tuple[str, ...]:
        """None: any text may be right."""
        return ()

    @property
    def scale(self) -> Scale:
        """As texts."""
        return "text"

    @property
    def spec(self) -> Mapping[str, JSON]:
        """JSON from which `from_spec` makes an equal task."""
        return {
            "kind": self.kind,
            "name": self.name,
            "instruction": self.instruction,
            "show": self.show,
            "grounded": self.grounded,
            "source": self.source,
            "criteria": [*self.criteria],
            "low": self.low,
            "high": self.high,
            "unanswerable": self.unanswerable,
            "final": self.final,
            "max_tokens": self.max_tokens,
            "unaligned": self.unaligned,
            "refusals": self.refusals,
            "rationale": self.rationale,
            "language": self.language,
        }

    @classmethod
    def from_spec(cls, spec: Mapping[str, JSON]) -> Self:
        """Return the task that a spec describes.

        Raises:
            TaskError: it cannot work.
        """
        return from_spec(cls, spec)

    # Asking

    def form(self, capabilities: Capabilities) -> AnswerForm:
        """Return how the text is to be written: bare, or as JSON with what stands beside it."""
        probabilities = capabilities.token_probabilities
        if not self._is_json:
            reasons = "before" if self.final else "none"
            return AnswerForm(
                "text", self.max_tokens, layout="writing", token_probabilities=probabilities, reasons=reasons
            )
        room = self.max_tokens + reason_tokens(rationale=self.rationale, evidence=False)
        room += _QUOTE_TOKENS * self.grounded + _SCORE_TOKENS * len(self.criteria)
        schema = self._schema if capabilities.schema else None
        return AnswerForm(
            "json",
            room,
            schema=schema,
            layout="extraction",
            token_probabilities=probabilities,
            reasons="inside" if self.rationale else "none",
        )

    @cached_property
    def _schema(self) -> Mapping[str, JSON]:
        fields: dict[str, JSON] = {}
        if self.grounded:
            quote = {"text": {"type": "string"}, "occurrence": {"type": ["integer", "null"]}}
            fields[_QUOTES] = {"type": "array", "items": _object(quote)}
        fields["text"] = {"type": "string"}
        if self.criteria:
            points = {"type": "integer", "enum": [*range(self.low, self.high + 1)]}
            fields[_SCORES] = _object(dict.fromkeys(self.criteria, points))
        return with_reasons(_object(fields), rationale=self.rationale, evidence=False)

    def ask(self, form: AnswerForm) -> Ask:
        """Return the wording of the question."""
        words = _WORDS[self.language]
        options = tuple(Option(criterion, words.scale.format(self.low, self.high)) for criterion in self.criteria)
        said = [words.text]
        if self.final:
            said = [words.final.format(self.final)]
        elif form.style == "json":
            said = [words.object.format(self._example)]
            said += [words.quotes_null if form.schema else words.quotes] if self.grounded else []
            said += [words.scores] if self.criteria else []
            said += [reasons_contract(self.language, rationale=self.rationale, evidence=False).strip()]
        none = words.unanswerable_json if form.style == "json" else words.unanswerable
        said += [none.format(self.unanswerable)] if self.unanswerable else []
        return Ask(self.instruction, options, words.space.join(filter(None, said)), self.final or words.cue)

    @property
    def _example(self) -> str:
        quotes = '"quotes": [{"text": "…"}], ' if self.grounded else ""
        scores = ", ".join(f"{json.dumps(criterion, ensure_ascii=False)}: …" for criterion in self.criteria)
        return f'{{{quotes}"text": "…"' + (f', "scores": {{{scores}}}}}' if scores else "}")

    def write(self, answer: Answer, form: AnswerForm, record: Record | None = None) -> str:
        """Return the text as the model should write it; with the record, quotes say which mention they mean."""
        if form.style == "text":
            return f"{self.final}{_WORDS[self.language].colon}{answer['text']}" if self.final else str(answer["text"])
        held: dict[str, JSON] = {}
        if self.grounded and _QUOTES in answer:
            source = None if record is None else record.fields.get(str(self.source))
            held[_QUOTES] = [_written(quote, source, form) for quote in answer[_QUOTES]]
        held["text"] = answer["text"]
        if self.criteria and _SCORES in answer:
            scores = answer[_SCORES]
            held[_SCORES] = {criterion: round(scores[criterion]) for criterion in self.criteria if criterion in scores}
        return json.dumps(held, ensure_ascii=False)

    # Reading

    def read(
        self, completion: Completion, form: AnswerForm, record: Record, prior: Sequence[float] | None = None
    ) -> Reading:
        """Return the text in a complete reply, its quotes found in the record.

        Raises:
            AnswerError: the reply holds no answer, refuses, or quotes what is not there.
        """
        return self._read_object(completion, record) if form.style == "json" else self._read_bare(completion)

    def _read_bare(self, completion: Completion) -> Reading:
        text, rationale = complete_text(completion), ""
        if self.final:
            rationale, text = self._after_marker(text)
        if (said := self._abstained(text)) is not None:
            return Reading(None, abstained=said, rationale=rationale)
        answer = {"text": self._checked(text)}
        return Reading(answer, confidence=_confidence_of_end(completion, answer["text"]), rationale=rationale)

    def _after_marker(self, text: str) -> tuple[str, str]:
        """Return what stands before the last line that begins with the marker, and what stands after the marker."""
        marks = list(self._marker.finditer(text))
        if not marks:
            raise not_readable(text, f"a line that begins with {self.final + ':' if self.final else ''!r}")
        mark = marks[-1]
        answer = text[mark.end() :].strip()
        if mark["bold"] and not mark["closed"]:
            answer = answer.removesuffix(mark["bold"]).rstrip()
        return text[: mark.start()].strip(), answer

    @cached_property
    def _marker(self) -> re.Pattern[str]:
        # Bounded repetitions: a hostile reply of a million blanks is read as fast as any other.
        word, bold = re.escape(str(self.final)), r"(?P<bold>\*\*|__|)"
        end = r"(?P<closed>(?P=bold)[ \t]{0,8}[:：]|[ \t]{0,8}[:：](?P=bold))"
        return re.compile(rf"^[ \t>#-]{{0,8}}{bold}{word}(?:{end}|[ \t]{{0,8}}[:：])", re.IGNORECASE | re.MULTILINE)

    def _read_object(self, completion: Completion, record: Record) -> Reading:
        if (said := self._abstained(complete_text(completion))) is not None:
            return Reading(None, abstained=said)
        reply = json_reply(completion, f"JSON like {self._example}", cue=_WORDS[self.language].cue)
        text = reply.fields.get("text")
        if not isinstance(text, str) or not text.strip():
            raise Unreadable(f'expected text in "text", got {clip(repr(text))}')
        rationale, _, rejected = (
            reasons_of(reply.fields, record, self.show) if self.rationale else (reply.rationale, (), ())
        )
        if (said := self._abstained(text)) is not None:
            return Reading(None, abstained=said, rationale=rationale)
        answer: dict[str, JSON] = {"text": self._checked(text.strip())}
        parts: dict[str, float] = {}
        found_by: Methods = {}
        if self.grounded:
            found, dropped = self._found(reply, record, found_by)
            answer[_QUOTES] = [dict(quote) for quote in _in_order(found.values())]
            parts = _of_quotes(answer[_QUOTES], found, part_confidences(completion, _QUOTES))
            rejected = (*rejected, *dropped)
        if self.criteria:
            answer[_SCORES] = self._scored(reply.fields.get(_SCORES), whole=True, error=OutsideLabels)
        return Reading(
            answer,
            confidence=whole_confidence(completion, ["text"]),
            rationale=rationale or reply.rationale,
            part_confidences=parts or None,
            rejected=rejected,
            placings=placings(answer, found_by),
        )

    def _abstained(self, text: str) -> str | None:
        """Return why a text is an abstention, `None` if it is an answer."""
        said = self.unanswerable is not None and fold(text) == fold(self.unanswerable)
        return f"answered {self.unanswerable!r}" if said else None

    def _checked(self, text: str) -> str:
        """Return a text that is an answer.

        Raises:
            AnswerError: it is none.
        """
        if not text:
            raise Unreadable("the answer is empty")
        if self.refusals == "fail" and is_refusal(text[:_HEAD]):
            raise Refused(f"the model refused: {clip(text)!r}")
        if fault := _unwritable(text):
            raise Unreadable(fault)
        return text

    def _found(
        self, reply: Reply, record: Record, found_by: Methods
    ) -> tuple[Mapping[int, Mapping[str, JSON]], tuple[str, ...]]:
        """Return the quotes of a reply that stand in the source, by their places in the reply, and what was dropped.

        Raises:
            AnswerError: there is none, or one does not stand there and is not to be dropped.
        """
        given = reply.fields.get(_QUOTES)
        if not isinstance(given, list):
            raise Unreadable(f'expected a list in "quotes", got {clip(repr(given))}')
        source = record.fields.get(str(self.source))
        if not isinstance(source, str):
            raise NotFound(f"the field {self.source!r} of the record holds no text to quote from")
        found: dict[int, Mapping[str, JSON]] = {}
        faults: list[AnswerError] = []
        for at, quote in enumerate(given):
            try:
                found[at] = self._placed(quote, source, found_by)
            except (Unreadable, NotFound, Ambiguous) as error:
                faults.append(type(error)(f"quotes[{at}]: {error.args[0]}"))
        if faults and (self.unaligned == "fail" or not found):
            named = faults[:_NAMED]
            raise type(named[0])("; ".join(str(fault.args[0]) for fault in named))
        if not found:
            raise Inconsistent("the answer rests on no quote: quote the words of the text that say so")
        return found, tuple(str(fault.args[0]) for fault in faults)

    def _placed(self, quote: JSON, source: str, found_by: Methods) -> Mapping[str, JSON]:
        words, occurrence = (quote.get("text"), quote.get("occurrence")) if isinstance(quote, dict) else (quote, None)
        if not isinstance(words, str) or not words.strip():
            raise Unreadable(f'expected words of the text in "text", got {clip(repr(quote))}')
        if occurrence is not None and type(occurrence) is not int:
            raise Unreadable(f'expected a whole number in "occurrence", got {clip(repr(occurrence))}')
        found = place(words.strip(), source, occurrence=occurrence)
        span = self._span(found.start, source[found.start : found.end])
        found_by[part_of(span)] = loosest((found.method, found_by.get(part_of(span), "exact")))
        return span

    def _span(self, start: int, text: str) -> Mapping[str, JSON]:
        named = {"field": self.source} if len(Shown.parse(self.show).fields) > 1 else {}
        return {**named, "start": start, "end": start + len(text), "text": text}

    def _scored(self, given: JSON, *, whole: bool, error: type[OutsideLabels | DataError]) -> Mapping[str, JSON]:
        """Return a score for each criterion.

        Raises:
            error: a score is missing in a `whole` set, is for no criterion, or is no number on the scale.
        """
        expected = f"a number from {self.low} to {self.high} for {', '.join(map(repr, self.criteria))}"
        if (
            not isinstance(given, Mapping)
            or not set(given) <= set(self.criteria)
            or (whole and len(given) < len(self.criteria))
        ):
            raise error(f'expected in "scores" {expected}, got {clip(repr(given))}')
        scores = {criterion: given[criterion] for criterion in self.criteria if criterion in given}
        for criterion, score in scores.items():
            is_number = type(score) is int or (type(score) is float and not whole)
            if not is_number or not self.low <= score <= self.high:
                raise error(f"expected {expected}, got {clip(repr(score))} for {criterion!r}")
        return scores

    # Answers from outside

    def accept(self, answer: Answer, record: Record | None = None) -> Answer:
        """Return a text from outside in its canonical form: trimmed, its quotes in their order in the source.

        With the record, quotes are checked against it, and quotes without a place are looked for. A grounded answer
        from outside may come without quotes: then they are not known, and not compared.

        Raises:
            DataError: it is no text, or quotes what does not stand there.
        """
        text = self._outside(answer.get("text"))
        if self.unanswerable is not None and fold(text) == fold(self.unanswerable):
            raise DataError(f"expected an answer, got {text!r}, which says that there is none")
        accepted: dict[str, JSON] = {"text": text}
        if self.grounded and answer.get(_QUOTES) is not None:
            accepted[_QUOTES] = self._accepted_quotes(answer[_QUOTES], record)
        if self.criteria and answer.get(_SCORES) is not None:
            accepted[_SCORES] = self._scored(answer[_SCORES], whole=False, error=DataError)
        alternatives = answer.get("alternatives")
        if alternatives is not None and not isinstance(alternatives, (list, tuple)):
            raise DataError(f"expected a list of texts in 'alternatives', got {clip(repr(alternatives))}")
        others = [other for other in dict.fromkeys(map(self._outside, alternatives or ())) if other != text]
        return accepted | ({"alternatives": others} if others else {})

    def _outside(self, value: JSON) -> str:
        number = isinstance(value, (int, float)) and not isinstance(value, bool) and -1e15 < value < 1e15
        text = str(value) if number else value
        if not isinstance(text, str) or not text.strip() or _unwritable(text):
            raise DataError(f"expected text, got {clip(repr(value))}")
        return text.strip()

    def _accepted_quotes(self, given: JSON, record: Record | None) -> list[dict[str, JSON]]:
        source = None if record is None else record.fields.get(str(self.source))
        if record is not None and not isinstance(source, str):
            raise DataError(f"the field {self.source!r} of record {record.id!r} holds no text to quote from")
        if not isinstance(given, (list, tuple)):
            raise DataError(f"expected a list of spans in 'quotes', got {clip(repr(given))}")
        return [dict(quote) for quote in _in_order(self._accepted_quote(quote, source) for quote in given)]

    def _accepted_quote(self, quote: JSON, source: str | None) -> Mapping[str, JSON]:
        if not isinstance(quote, Mapping) or not isinstance(quote.get("text"), str) or not quote["text"].strip():
            raise DataError(f"expected a span with `start`, `end` and `text`, got {clip(repr(quote))}")
        start, end, text = quote.get("start"), quote.get("end"), quote["text"]
        if quote.get("field", self.source) != self.source:
            raise DataError(f"expected a quote from {self.source!r}, got one from {clip(repr(quote['field']))}")
        if start is None and end is None and source is not None:
            try:
                return self._placed({"text": text, "occurrence": quote.get("occurrence")}, source, {})
            except AnswerError as error:
                raise DataError(str(error.args[0])) from None
        if type(start) is not int or type(end) is not int or not 0 <= start < end or end - start != len(text):
            raise DataError(f"expected a span with `start`, `end` and the `text` between them, got {clip(repr(quote))}")
        if source is not None and source[start:end] != text:
            raise DataError(f"expected {clip(repr(text))} at {start}:{end}, there is {clip(repr(source[start:end]))}")
        return self._span(start, text)

    # Comparing and merging

    def value(self, answer: Answer) -> str:
        """Return the answer as canonical JSON."""
        return canonical_json(answer).decode()

    def agreement(self, first: Answer, second: Answer) -> float:
        """Return the F1 of the words that two texts share; 1 for equal answers."""
        return 1.0 if first == second else overlap(words_of(first["text"]), words_of(second["text"]))

    def merge(self, answers: Sequence[tuple[Answer, float]]) -> Answer | None:
        """Return the answer that agrees most with all others (minimum Bayes risk, Kumar and Byrne 2004).

        Where answers say the same in other words, the one with the larger weight. `None` on a tie.
        """
        weights: dict[str, float] = {}
        held = {self.value(answer): answer for answer, _ in answers}
        for answer, weight in answers:
            weights[self.value(answer)] = weights.get(self.value(answer), 0.0) + weight
        if not sum(weights.values()) > 0:
            return None
        known = sorted(weights)
        support = {
            one: math.fsum(weights[other] * self.agreement(held[one], held[other]) for other in known) for one in known
        }
        most = max(support.values())
        best = [one for one in known if math.isclose(support[one], most, rel_tol=1e-9)]
        if any(self.agreement(held[best[0]], held[other]) < 1 for other in best):
            return None
        return held[max(best, key=weights.__getitem__)]

    def describe(self, answer: Answer) -> str:
        """Return the beginning of the text on one line."""
        return clip(" ".join(str(answer["text"]).split())) or "…"


def words_of(text: str) -> list[str]:
    """Return the words that two texts are compared by: without case, punctuation and English articles.

    This is the normalisation of SQuAD (Rajpurkar et al. 2016, arXiv 1606.05250) as MLQA generalised it (Lewis et al.
    2020, arXiv 1910.07475): all Unicode punctuation goes, and Han characters and kana are words of their own.
    """
    plain = "".join(character for character in text.lower() if not _is_punctuation(character))
    return _TOKEN.findall(_ARTICLES.sub(" ", plain))


@lru_cache(maxsize=4096)
def _is_punctuation(character: str) -> bool:
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def overlap(first: Sequence[str], second: Sequence[str]) -> float:
    """Return the F1 of the words that two lists share, each as often as it stands in both; 1 if both are empty."""
    if not first or not second:
        return float(not first and not second)
    shared = (Counter(first) & Counter(second)).total()
    return 2 * shared / (len(first) + len(second))


def _object(properties: Mapping[str, JSON]) -> Mapping[str, JSON]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [*properties],
        "additionalProperties": False,
    }


def _written(quote: Mapping[str, JSON], source: JSON, form: AnswerForm) -> Mapping[str, JSON]:
    words = quoted(source, quote["start"], quote["end"]) if isinstance(source, str) else {"text": quote["text"]}
    return {**words, "occurrence": words.get("occurrence")} if form.schema else words


def _in_order(quotes: Iterable[Mapping[str, JSON]]) -> list[Mapping[str, JSON]]:
    """Return quotes in the order of their places, each once."""
    return [*{(quote["start"], quote["end"]): quote for quote in sorted(quotes, key=_place)}.values()]


def _place(quote: Mapping[str, JSON]) -> tuple[int, int]:
    return quote["start"], quote["end"]


def _of_quotes(
    quotes: Sequence[Mapping[str, JSON]], found: Mapping[int, Mapping[str, JSON]], probable: Sequence[float] | None
) -> dict[str, float]:
    """Return the confidences of quotes under their places in the answer; a quote given twice has the larger one."""
    each: dict[tuple[int, int], float] = {}
    for at, quote in found.items():
        if probable is not None and at < len(probable):
            each[_place(quote)] = max(probable[at], each.get(_place(quote), 0.0))
    return {f"quotes/{at}": each[_place(quote)] for at, quote in enumerate(quotes) if _place(quote) in each}


def _confidence_of_end(completion: Completion, answer: str) -> Confidence | None:
    """Return how probable the tokens of the text at the end of a reply were together, `None` where nobody said."""
    tokens, text = completion.tokens, completion.text
    if tokens is None or "".join(token for token, _ in tokens) != text:
        return None
    start, at = len(text.rstrip()) - len(answer), len(text)
    logs: list[float] = []
    for token, probability in reversed(tokens):
        if at <= start:
            break
        at -= len(token)
        if at < len(text.rstrip()):
            logs.append(probability)
    return Confidence(math.prod(logs), "logprob")


def _unwritable(text: str) -> str:
    """Return what is wrong with a text that no file can hold: half of a character pair."""
    broken = any("\ud800" <= character <= "\udfff" for character in text)
    return f"expected text, got half a character in {clip(ascii(text))}" if broken else ""
