"""Labelled spans of a text: as replies quote them, as answers hold them, and what they may be to one another.

Spans, relations and every kind that names parts of a text by their words share this.
"""

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from postil.errors import (
    Ambiguous,
    AnswerError,
    DataError,
    EmptyRecord,
    Inconsistent,
    MissingField,
    NotFound,
    OutsideLabels,
    TaskError,
    Unreadable,
)
from postil.tasks import AnswerForm, Language
from postil.tasks.alignment import FUZZY, Method, Place, ambiguous, loosest, place, places
from postil.tasks.choice import defined_labels
from postil.tasks.extraction import quoted, span_texts
from postil.tasks.reading import clip, fold
from postil.tasks.reasons import REASON_KEYS
from postil.tasks.specs import require_texts
from postil.types import JSON, Record

__all__ = [
    "MOST_FUZZY",
    "Found",
    "Mentions",
    "Span",
    "check_placing",
    "defined_parts",
    "listed",
    "majority",
    "placings",
    "texts_of",
]

Part = TypeVar("Part", bound=Hashable)

MOST_FUZZY: Final = 0.5
"""A quote with more mistakes than this is no quote."""

_NAMED: Final = 3
"""How many faults of one reply are named at once: the reply is sent back only once."""


_TEXT: Final = '"text": "…"'
_FRAGMENTS: Final = '"fragments": [{"text": "…"}]'
_WORDS: Final[Mapping[Language, Mapping[str, str]]] = {
    "en": {
        "occurrence": 'Copy each "text" letter by letter. Only where the same words stand in the text several times, '
        'add "occurrence": which of the mentions is meant, counted from 1.',
        "occurrence null": 'Copy each "text" letter by letter. "occurrence" is null, but where the same words stand in '
        "the text several times it says which of the mentions is meant, counted from 1.",
        "field": 'Each has the "field" of the record that it stands in, one of: {}.',
        "fragments": "Words that are not next to each other are fragments of their own, in their order.",
        "apart": "No two spans may overlap.",
        "comma": ", ",
    },
    "zh": {
        "occurrence": '"text" 要逐字照抄原文。只有同样的词句在文中出现多次时，才加上 "occurrence"，写明是第几处，'
        "从 1 数起。",
        "occurrence null": '"text" 要逐字照抄原文。"occurrence" 写 null；只有同样的词句在文中出现多次时，才写明是'
        "第几处，从 1 数起。",
        "field": '"field" 写明它在哪个字段里，从这些当中选：{}。',
        "fragments": "不相连的词句各写成一个片段，按原文的顺序排列。",
        "apart": "片段之间不得重叠。",
        "comma": "、",
    },
}


@dataclass(frozen=True, slots=True)
class Span:
    """Some words of a text and their label; where the words are not next to each other, several fragments."""

    label: str
    field: str
    fragments: tuple[tuple[int, int], ...]
    text: str
    """All from the first character to the last."""
    placed: Method | None = dataclasses.field(default=None, compare=False)
    """How its words were found where a reply quoted them; the span is the same however it was found."""

    @property
    def start(self) -> int:
        """Where its first fragment begins."""
        return self.fragments[0][0]

    @property
    def end(self) -> int:
        """Where its last fragment ends."""
        return self.fragments[-1][1]

    @property
    def place(self) -> tuple[str, tuple[tuple[int, int], ...]]:
        """Where it stands, whatever its label."""
        return self.field, self.fragments


@dataclass(frozen=True, slots=True)
class Found:
    """What became of the spans of a reply."""

    spans: Mapping[int, Span]
    """By their places in the reply; those that are missing could not be placed."""
    rejected: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class _Quote:
    """A span as a reply gives it: its words, not yet looked for."""

    at: int
    label: str
    field: str | None
    pieces: tuple[tuple[str, int | None], ...]

    @property
    def words(self) -> str:
        return " … ".join(words for words, _ in self.pieces)


@dataclass(frozen=True)
class Mentions:
    """The rules for labelled spans of a task's texts."""

    labels: tuple[str, ...]
    forms: Mapping[str, str]
    """Folded label -> label."""
    fields: tuple[str, ...]
    """The fields of a record that spans may point into; a span names its own where there are several."""
    nested: bool = False
    """Whether spans may overlap."""
    discontinuous: bool = False
    """Whether a span may consist of fragments that are apart."""
    fuzzy: float = FUZZY
    key: str = "spans"
    """The list in the answer that they stand in."""
    ids: str = ""
    """The letter before the numbers by which other parts of the answer name them; empty without such parts."""

    def schema(self) -> Mapping[str, JSON]:
        """Return the JSON schema of one of them in a reply; what is optional is null, as strict servers want it."""
        quote: dict[str, JSON] = {"text": {"type": "string"}, "occurrence": {"type": ["integer", "null"]}}
        fields: dict[str, JSON] = {"id": {"type": "string"}} if self.ids else {}
        if len(self.fields) > 1:
            fields["field"] = {"type": "string", "enum": list(self.fields)}
        fields |= {"fragments": {"type": "array", "items": _object(quote)}} if self.discontinuous else quote
        return _object(fields | {"label": {"type": "string", "enum": list(self.labels)}})

    def contract(self, language: Language, *, schema: bool) -> str:
        """Return the sentences that say how to write them; under a schema what is not needed is null."""
        words = _WORDS[language]
        said = [words["occurrence null" if schema else "occurrence"]]
        if len(self.fields) > 1:
            said.append(words["field"].format(words["comma"].join(self.fields)))
        if self.discontinuous:
            said.append(words["fragments"])
        if not self.nested:
            said.append(words["apart"])
        return (" " if language == "en" else "").join(said)

    def example(self) -> str:
        """Return one of them as JSON, for a contract."""
        named = ('"id": "' + self.ids + '1", ' if self.ids else "") + ('"field": "…", ' if len(self.fields) > 1 else "")
        return f'{{{named}{_FRAGMENTS if self.discontinuous else _TEXT}, "label": "…"}}'

    def write(
        self, spans: Sequence[Mapping[str, JSON]], texts: Mapping[str, str] | None, form: AnswerForm
    ) -> list[dict[str, JSON]]:
        """Return the spans of an answer as a reply quotes them."""
        return [self._quoted(span, texts, form) for span in spans]

    def _quoted(self, span: Mapping[str, JSON], texts: Mapping[str, str] | None, form: AnswerForm) -> dict[str, JSON]:
        text = None if texts is None else texts.get(span.get("field", self.fields[0]))
        first = span["start"]
        words: list[dict[str, JSON]] = []
        for start, end in span.get("fragments") or [(first, span["end"])]:
            quote = quoted(text, start, end) if text else {"text": span["text"][start - first : end - first]}
            words.append({**quote, "occurrence": quote.get("occurrence")} if form.schema else quote)
        what = {"fragments": words} if self.discontinuous else words[0]
        return {**{key: span[key] for key in ("id", "field") if key in span}, **what, "label": span["label"]}

    def read(self, items: Sequence[JSON], texts: Mapping[str, str], *, drop: bool) -> Found:
        """Return where the spans of a reply stand.

        A mention that the reply does not number is the one that the others leave, where they leave only one: spans
        that may not overlap exclude places, and as many equal spans as there are mentions are all of them.

        Args:
            items: The spans as the reply has them.
            texts: The fields that they may point into.
            drop: Whether a span that cannot be placed is left out and said to be; otherwise the reply fails.

        Raises:
            AnswerError: a span is malformed, has no label of the set, cannot be placed or overlaps another. No place
                is ever guessed (reliability A9).
        """
        read = [self._parsed(at, item) for at, item in enumerate(items)]
        _raise_all([each for each in read if isinstance(each, AnswerError)])
        placed = self._placed([each for each in read if isinstance(each, _Quote)], texts)
        faults = [each for each in placed if isinstance(each, AnswerError)]
        if not drop:
            _raise_all(faults)
        spans = {at: each for at, each in enumerate(placed) if isinstance(each, Span)}
        if fault := self.clash(list(spans.values())):
            raise Inconsistent(fault)
        return Found(spans, tuple(str(fault) for fault in faults))

    def _parsed(self, at: int, item: JSON) -> "_Quote | AnswerError":
        where = f"{self.key}[{at}]"
        known = {"text", "occurrence", "label", "fragments", "field", "id"}
        if not isinstance(item, dict) or not item.keys() <= known:
            return Unreadable(f'{where}: expected an object with "text" and "label", got {clip(repr(item))}')
        if not self.discontinuous and "fragments" in item:
            return Unreadable(f'{where}: expected the words of one span under "text", got "fragments"')
        given = (
            item["fragments"] if "fragments" in item else [{k: item[k] for k in ("text", "occurrence") if k in item}]
        )
        pieces = [_piece(each) for each in given] if isinstance(given, list) else []
        if not pieces or None in pieces or ("fragments" in item and "text" in item):
            return Unreadable(f'{where}: expected words of the text as "text", got {clip(repr(item))}')
        label = self.label(item.get("label"))
        if label is None:
            names = clip(", ".join(self.labels))
            return OutsideLabels(f"{where}: expected one of the labels {names}, got {clip(repr(item.get('label')))}")
        field = item.get("field")
        if field is not None and field not in self.fields:
            names = ", ".join(map(repr, self.fields))
            return OutsideLabels(f"{where}: expected one of the fields {names}, got {clip(repr(field))}")
        return _Quote(at, label, field, tuple(piece for piece in pieces if piece is not None))

    def label(self, value: JSON) -> str | None:
        """Return the label that a text is, folded, `None` if it is none."""
        return self.forms.get(fold(value)) if isinstance(value, str) else None

    def _placed(self, quotes: Sequence[_Quote], texts: Mapping[str, str]) -> list["Span | AnswerError"]:
        options: list[list[Span]] = []
        faults: dict[int, AnswerError] = {}
        for at, quote in enumerate(quotes):
            try:
                options.append(self._candidates(quote, texts))
            except (NotFound, Ambiguous, Inconsistent) as error:
                options.append([])
                faults[at] = type(error)(f"{self.key}[{quote.at}]: {error.args[0]}")
        settled = self._settled(options)
        return [
            span or faults.get(at) or self._unsettled(quote, options[at])
            for at, (quote, span) in enumerate(zip(quotes, settled, strict=True))
        ]

    def _unsettled(self, quote: _Quote, options: Sequence[Span]) -> AnswerError:
        fault = ambiguous(quote.words, len(options))
        return type(fault)(f"{self.key}[{quote.at}]: {fault.args[0]}")

    def _candidates(self, quote: _Quote, texts: Mapping[str, str]) -> list[Span]:
        """Return every span that a quote may mean.

        Raises:
            NotFound: there is none.
            Ambiguous: its fragments or its number leave it open.
            Inconsistent: its fragments are not in order.
        """
        found: list[Span] = []
        missing: AnswerError | None = None
        for field in self.fields if quote.field is None else (quote.field,):
            if field not in texts:
                continue
            try:
                runs = self._runs(quote, texts[field])
            except NotFound as error:
                missing = error
                continue
            found += [_span(quote.label, field, run, texts[field]) for run in runs]
        if not found:
            raise missing or NotFound(f"{clip(quote.words)!r} stands in a field without text")
        return found

    def _runs(self, quote: _Quote, text: str) -> list[tuple[Place, ...]]:
        (words, occurrence), *more = quote.pieces
        if not more:
            found = places(words, text, fuzzy=self.fuzzy) if occurrence is None else ()
            if not found or found[0].method == "fuzzy":
                # Of places that only come near none is chosen by exclusion; and where there is none, `place` says why.
                found = (place(words, text, occurrence=occurrence, fuzzy=self.fuzzy),)
            return [(each,) for each in found]
        each = [place(words, text, occurrence=which, fuzzy=self.fuzzy) for words, which in quote.pieces]
        if not _in_order(each):
            raise Inconsistent(f"the fragments of {clip(quote.words)!r} must stand in the text in this order, apart")
        return [tuple(each)]

    def _settled(self, options: Sequence[Sequence[Span]]) -> list[Span | None]:
        """Return the span of each quote that has only one left, others being excluded by the rules."""
        settled = [each[0] if len(each) == 1 else None for each in options]
        open_ = {at: list(each) for at, each in enumerate(options) if len(each) > 1}
        taken = [span for span in settled if span is not None]
        while open_ and taken:
            for at, each in open_.items():
                open_[at] = [span for span in each if not any(self._exclude(span, other) for other in taken)]
            taken = [each[0] for each in open_.values() if len(each) == 1]
            for at in [at for at, each in open_.items() if len(each) == 1]:
                settled[at] = open_.pop(at)[0]
        groups: defaultdict[tuple[Span, ...], list[int]] = defaultdict(list)
        for at, each in open_.items():
            groups[tuple(each)].append(at)
        for left, members in groups.items():
            # With ids it matters which is which.
            if len(left) == len(members) and not self.ids:
                settled = [left[members.index(at)] if at in members else span for at, span in enumerate(settled)]
        return settled

    def _exclude(self, one: Span, other: Span) -> bool:
        if self.nested:
            return one.place == other.place and one.label == other.label
        return one.field == other.field and any(a < d and c < b for a, b in one.fragments for c, d in other.fragments)

    def clash(self, spans: Sequence[Span]) -> str:
        """Return which two spans cannot both stand, empty if all can."""
        if self.nested:
            twice = _first_twice(spans)
            return f"{clip(twice.text)!r} is there twice as {twice.label!r}" if twice else ""
        pieces = sorted(
            ((span.field, *piece, at) for at, span in enumerate(spans) for piece in span.fragments),
        )
        for (field, _, end, at), (other_field, start, _, other) in itertools.pairwise(pieces):
            if field == other_field and start < end:
                one, two = (f"{clip(spans[i].text)!r} ({spans[i].label})" for i in (at, other))
                return f"spans may not overlap: {one} and {two}"
        return ""

    def accept(self, value: JSON, texts: Mapping[str, str] | None) -> list[Span]:
        """Return the spans of an answer from outside, in its order; with `texts` they are checked against them.

        Raises:
            DataError: they are no such spans, do not stand in the text, or overlap.
        """
        if not isinstance(value, (list, tuple)):
            raise DataError(f"expected a list of spans under {self.key!r}, got {clip(repr(value))}")
        spans = [self._accepted(f"{self.key}[{at}]", each, texts) for at, each in enumerate(value)]
        if fault := self.clash(spans):
            raise DataError(fault, hint="nested = true lets spans overlap" if not self.nested else "")
        return spans

    def _accepted(self, where: str, value: JSON, texts: Mapping[str, str] | None) -> Span:
        if not isinstance(value, Mapping):
            raise DataError(f"{where}: expected a span, got {clip(repr(value))}")
        label = self.label(value.get("label"))
        if label is None:
            names = clip(", ".join(map(repr, self.labels)))
            raise DataError(f"{where}: expected one of the labels {names}, got {clip(repr(value.get('label')))}")
        field = value.get("field", self.fields[0] if len(self.fields) == 1 else None)
        if field not in self.fields:
            names = ", ".join(map(repr, self.fields))
            raise DataError(f"{where}: expected one of the fields {names}, got {clip(repr(field))}")
        fragments = self._fragments(where, value)
        start, end = fragments[0][0], fragments[-1][1]
        text = value.get("text")
        if texts is not None:
            text = _checked(where, texts.get(field), start, end, text)
        if not isinstance(text, str) or len(text) != end - start:
            raise DataError(
                f"{where}: expected under 'text' the {end - start} characters from {start} on, got {clip(repr(text))}",
                hint="offsets count Unicode code points, the end exclusive",
            )
        return Span(label, field, fragments, text)

    def _fragments(self, where: str, value: Mapping[str, JSON]) -> tuple[tuple[int, int], ...]:
        hull = (value.get("start"), value.get("end"))
        given: JSON = value.get("fragments")
        if given is None:
            given = [hull]
        elif not self.discontinuous:
            raise DataError(f"{where}: this task has no spans in fragments", hint="discontinuous = true allows them")
        pairs: list[tuple[int, int]] = []
        for pair in given if isinstance(given, (list, tuple)) else ():
            match pair:
                case [int(start), int(end)] if not isinstance(start, bool) and not isinstance(end, bool):
                    pairs.append((start, end))
                case _:
                    raise DataError(f"{where}: expected whole numbers as start and end, got {clip(repr(pair))}")
        whole = pairs and pairs[0][0] >= 0 and all(start < end for start, end in pairs)
        apart = all(end < start for (_, end), (start, _) in itertools.pairwise(pairs))
        if not whole or not apart or hull != (pairs[0][0], pairs[-1][1]):
            raise DataError(
                f"{where}: expected 0 <= start < end, and fragments in order and apart, got {clip(repr(value))}"
            )
        return tuple(pairs)

    def json(self, span: Span) -> dict[str, JSON]:
        """Return a span as answers hold it."""
        named: dict[str, JSON] = {"field": span.field} if len(self.fields) > 1 else {}
        value = named | {"start": span.start, "end": span.end, "label": span.label, "text": span.text}
        return value | ({"fragments": [list(each) for each in span.fragments]} if len(span.fragments) > 1 else {})

    def order(self, span: Span) -> tuple[int, tuple[tuple[int, int], ...], int]:
        """Return the key that puts spans in the order of answers: by place, then by label."""
        return self.fields.index(span.field), span.fragments, self.labels.index(span.label)


def defined_parts(task: str, labels: Sequence[str] | Mapping[str, str]) -> Mapping[str, str]:
    """Return the labels of parts of a text with their definitions; here one label is enough.

    Raises:
        TaskError: they are no set of texts.
    """
    if isinstance(labels, str) or len(labels) != 1:
        return defined_labels(task, labels)
    [(label, definition)] = labels.items() if isinstance(labels, Mapping) else [(labels[0], "")]
    require_texts(**{"name": task, "labels": label, f"labels.{label}": definition})
    return {label: definition}


def check_placing(task: str, unaligned: str, fuzzy: float) -> None:
    """Check the options that say what becomes of quotes.

    Raises:
        TaskError: one of them cannot work.
    """
    if unaligned not in ("fail", "drop"):
        raise TaskError(f"task {task!r}: `unaligned` is 'fail' or 'drop', got {unaligned!r}")
    if not 0 <= fuzzy <= MOST_FUZZY:
        raise TaskError(f"task {task!r}: `fuzzy` is a share of a quote from 0 to {MOST_FUZZY}, got {fuzzy!r}")


def texts_of(record: Record | None, show: str) -> Mapping[str, str] | None:
    """Return the texts that an answer about a record points into, `None` without a record.

    Raises:
        DataError: the record has no such text.
    """
    try:
        return None if record is None else span_texts(record, show)
    except (MissingField, EmptyRecord) as error:
        raise DataError(str(error)) from None


def listed(fields: Mapping[str, JSON], keys: Sequence[str]) -> Mapping[str, Sequence[JSON]]:
    """Return the lists of a reply's object, which holds them and nothing else but reasons.

    Raises:
        Unreadable: one is missing or no list, or there is more.
    """
    if unknown := fields.keys() - {*keys, *REASON_KEYS}:
        raise Unreadable(f"expected only {' and '.join(map(repr, keys))}, got {clip(repr(min(unknown)))} too")
    if wrong := [key for key in keys if not isinstance(fields.get(key), list)]:
        raise Unreadable(f"expected a list under {wrong[0]!r}, got {clip(repr(fields.get(wrong[0])))}")
    return {key: fields[key] for key in keys}


def majority(answers: Sequence[tuple[Sequence[Part], float]]) -> list[Part] | None:
    """Return the parts with more than half of the weight, `None` for no weight and where one has just half."""
    total = math.fsum(weight for _, weight in answers)
    weights: defaultdict[Part, list[float]] = defaultdict(list)
    for parts, weight in answers:
        for part in parts:
            weights[part].append(weight)
    shares = {part: math.fsum(each) / total for part, each in weights.items()} if total > 0 else {}
    if not total > 0 or any(math.isclose(share, 0.5, rel_tol=1e-9) for share in shares.values()):
        return None
    return [part for part, share in shares.items() if share > 0.5]


def _object(properties: Mapping[str, JSON]) -> dict[str, JSON]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _piece(value: JSON) -> tuple[str, int | None] | None:
    """Return the words that a reply quotes and the number of the mention, `None` where it does neither."""
    match value:
        case {"text": str(words)} if words.strip() and value.keys() <= {"text", "occurrence"}:
            which = value.get("occurrence")
            return (words, which) if which is None or (type(which) is int and which > 0) else None
        case _:
            return None


def _in_order(found: Sequence[Place]) -> bool:
    return all(one.end < two.start for one, two in itertools.pairwise(found))


def _span(label: str, field: str, run: Sequence[Place], text: str) -> Span:
    fragments = tuple((each.start, each.end) for each in run)
    return Span(label, field, fragments, text[run[0].start : run[-1].end], loosest(each.method for each in run))


def placings(spans: Sequence[Span], key: str = "spans") -> Mapping[str, Method] | None:
    """Return how the spans of an answer, in its order, were found; `None` for none."""
    return {f"{key}/{at}": span.placed for at, span in enumerate(spans) if span.placed is not None} or None


def _first_twice(spans: Sequence[Span]) -> Span | None:
    seen: set[Span] = set()
    return next((span for span in spans if span in seen or seen.add(span)), None)


def _checked(where: str, text: str | None, start: int, end: int, said: JSON) -> str:
    """Return the words of a record at a place, having checked that they are the words said to stand there."""
    if text is None:
        raise DataError(f"{where}: the record has no text in this field")
    if end > len(text):
        raise DataError(f"{where}: ends at {end}, the text has {len(text)} characters")
    if said is not None and said != text[start:end]:
        raise DataError(
            f"{where}: expected {clip(text[start:end])!r}, which stands from {start} to {end}, got {clip(repr(said))}",
            hint="offsets count Unicode code points, the end exclusive",
        )
    return text[start:end]


def _raise_all(faults: Sequence[AnswerError]) -> None:
    """Raise the first of some faults, naming the next ones too."""
    if faults:
        more = len(faults) - _NAMED
        named = "; ".join(str(fault) for fault in faults[:_NAMED]) + (f"; and {more} more" if more > 0 else "")
        raise type(faults[0])(named)
