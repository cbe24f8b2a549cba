"""Places in a text without labels: as replies quote them, as answers hold them, as records give them to be asked about.

Roles and timelines share this; spans that have labels are `mentions`.
"""

from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from typing import Final, NamedTuple

from postil.errors import AnswerError, DataError, MissingField, RecordRejected, TaskError, Unreadable
from postil.tasks import Language
from postil.tasks.alignment import Method, loosest, place, stands_alone
from postil.tasks.extraction import quoted, span_text
from postil.tasks.mentions import Mentions
from postil.tasks.reading import clip
from postil.tasks.shown import Shown
from postil.types import JSON, Answer, Record

__all__ = [
    "QUOTE",
    "Methods",
    "Part",
    "accepted",
    "given",
    "in_context",
    "known_text",
    "object_schema",
    "original",
    "part_of",
    "placings",
    "quote_of",
    "quoted_part",
    "quoting",
    "raise_all",
    "text_field",
    "text_of",
    "with_shown",
]

QUOTE: Final[Mapping[str, JSON]] = {"text": {"type": "string"}, "occurrence": {"type": ["integer", "null"]}}
"""The properties of a quote in a reply's schema; what is optional is null, as strict servers want it."""

_UNLABELLED: Final = Mentions((), {}, ("text",), nested=True)
_NAMED: Final = 3
"""How many faults of one reply are named at once: the reply is sent back only once."""
_AROUND: Final = 40
"""Characters of the text that are shown on either side of a given place."""


class Part(NamedTuple):
    """Some words of a text and where they stand: code points, the end exclusive."""

    start: int
    end: int
    text: str

    @property
    def json(self) -> dict[str, JSON]:
        """The place as answers hold it."""
        return self._asdict()


Methods = MutableMapping[Part, Method]
"""How the quotes of one reply were found, by what was found; of two quotes for one place the looser way."""


def part_of(value: Mapping[str, JSON]) -> Part:
    """Return a place in an accepted answer."""
    return Part(value["start"], value["end"], value["text"])


def object_schema(properties: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return the schema of an object that has all of these and no other properties."""
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def quote_of(part: Part, text: str | None, *, schema: bool) -> dict[str, JSON]:
    """Return a place as a reply quotes it: its words, and which mention is meant where they do not say so."""
    quote = {"text": part.text} if text is None else quoted(text, part.start, part.end)
    return {**quote, "occurrence": quote.get("occurrence")} if schema else quote


def quoting(language: Language, *, schema: bool) -> str:
    """Return the sentences of a contract that say how to quote; under a schema what is not needed is null."""
    return _UNLABELLED.contract(language, schema=schema)


def quoted_part(item: JSON, text: str, where: str, *, fuzzy: float, found_by: Methods) -> Part:
    """Return where the words stand that an object in a reply quotes: its "text", and "occurrence" if it is needed.

    How they were found is noted in `found_by`.

    Raises:
        Unreadable: it quotes nothing.
        NotFound, Ambiguous: no place, or none of several, is said; none is ever guessed (reliability A9).
    """
    words = item.get("text") if isinstance(item, dict) else None
    which = item.get("occurrence") if isinstance(item, dict) else None
    if not isinstance(words, str) or not words.strip() or not (which is None or (type(which) is int and which > 0)):
        raise Unreadable(f'{where}: expected words of the text as "text", got {clip(repr(item))}')
    try:
        found = place(words, text, occurrence=which, fuzzy=fuzzy)
    except AnswerError as error:
        raise type(error)(f"{where}: {error.args[0]}") from None
    part = Part(found.start, found.end, text[found.start : found.end])
    found_by[part] = loosest((found.method, found_by.get(part, "exact")))
    return part


def placings(answer: Answer, found_by: Methods) -> Mapping[str, Method] | None:
    """Return how the parts of an answer were found, by their places in it; `None` where nothing was looked for."""
    held: dict[str, Method] = {path: found_by[part] for path, part in _parts("", answer) if part in found_by}
    return held or None


def _parts(path: str, value: JSON) -> Iterator[tuple[str, Part]]:
    if isinstance(value, Mapping):
        if "start" in value:
            yield path.removeprefix("/"), part_of(value)
        for key, each in value.items():
            yield from _parts(f"{path}/{key}", each)
    elif isinstance(value, list):
        for at, each in enumerate(value):
            yield from _parts(f"{path}/{at}", each)


def accepted(value: JSON, text: str | None, where: str) -> Part:
    """Return a place from outside, checked against the text where it is known; its words may then be left out.

    Raises:
        DataError: it is no place, or other words stand there.
    """
    start, end = (value.get("start"), value.get("end")) if isinstance(value, Mapping) else (None, None)
    if type(start) is not int or type(end) is not int or not 0 <= start < end:
        raise DataError(f"{where}: expected whole numbers 0 <= start < end, got {clip(repr(value))}")
    said = value.get("text")
    if text is not None:
        if end > len(text):
            raise DataError(f"{where}: ends at {end}, the text has {len(text)} characters")
        words = text[start:end]
        if said not in (None, words):
            raise DataError(
                f"{where}: expected {clip(words)!r}, which stands from {start} to {end}, got {clip(repr(said))}",
                hint="offsets count Unicode code points, the end exclusive",
            )
        return Part(start, end, words)
    if not isinstance(said, str) or len(said) != end - start:
        raise DataError(
            f"{where}: expected under 'text' the {end - start} characters from {start} to {end}, "
            f"got {clip(repr(said))}",
            hint="offsets count Unicode code points, the end exclusive",
        )
    return Part(start, end, said)


def text_field(task: str, show: str, given_fields: Sequence[str], field: str | None) -> str:
    """Return the field that places stand in: the one named, or the only one shown beside the places given.

    Raises:
        TaskError: there is not one such field, or a given place is not shown.
    """
    shown = Shown.parse(show).fields
    if hidden := [name for name in given_fields if name not in shown]:
        raise TaskError(
            f"task {task!r}: `show` must name what is asked about, {{{hidden[0]}}}; got {show!r}",
            hint="records that look the same are asked about once",
        )
    others = [name for name in shown if name not in given_fields]
    if field is None and len(others) == 1:
        return others[0]
    if field is None or field not in others:
        raise TaskError(
            f"task {task!r}: places stand in one field that is shown; got `field` {field!r} and {show!r}",
            hint=f'say in which: field = "{others[0] if others else "text"}"',
        )
    return field


def text_of(record: Record, field: str) -> str:
    """Return the exact text that places point into.

    Raises:
        MissingField, EmptyRecord: there is none.
    """
    return span_text(record, f"{{{field}}}")[1]


def known_text(record: Record | None, field: str) -> str | None:
    """Return the text that an answer about a record points into, `None` without a record.

    Raises:
        DataError: the record has no such text.
    """
    try:
        return None if record is None else text_of(record, field)
    except RecordRejected as error:
        raise DataError(str(error.args[0])) from None


def given(record: Record, field: str, value: JSON, text: str) -> Part:
    """Return a place that a record gives: an object with start and end, or words that stand in the text just once.

    Raises:
        RecordRejected: it is no place in the text.
    """
    where = f"record {record.id!r}, {field}"
    try:
        if isinstance(value, str):
            found = place(value, text, fuzzy=0)
            return Part(found.start, found.end, text[found.start : found.end])
        return accepted(value, text, where)
    except AnswerError as error:
        raise RecordRejected(f"{where}: {error.args[0]}", hint="give start and end") from None
    except DataError as error:
        raise RecordRejected(str(error.args[0]), hint=error.hint) from None


def with_shown(record: Record, words: Mapping[str, str]) -> Record:
    """Return a record in which fields hold what is shown of them; `original` still finds what they held."""
    held = {_original_name(field): original(record, field) for field in words}
    return Record(record.id, {**record.fields, **held, **words})


def original(record: Record, field: str) -> JSON:
    """Return what a field holds, or held before `with_shown`.

    Raises:
        MissingField: the record has no such field.
    """
    fields = record.fields
    if field not in fields:
        raise MissingField(f"record {record.id!r} has no field {field!r}")
    return fields.get(_original_name(field), fields[field])


def _original_name(field: str) -> str:
    return f"{field} as given"


def in_context(text: str, part: Part) -> str:
    """Return a place on one line with the words around it: people and models see which mention is meant."""
    start, end = max(0, part.start - _AROUND), min(len(text), part.end + _AROUND)
    while start < part.start and not stands_alone(text, start, len(text)):
        start += 1
    while end > part.end and not stands_alone(text, 0, end):
        end -= 1
    before, after = text[start : part.start], text[part.end : end]
    cut = ("…" if start else "", "…" if end < len(text) else "")
    return " ".join(f"{cut[0]}{before}[{part.text}]{after}{cut[1]}".split())


def raise_all(faults: Sequence[AnswerError]) -> None:
    """Raise the first of some faults, naming the next ones too; nothing for none."""
    if faults:
        more = len(faults) - _NAMED
        named = "; ".join(str(fault.args[0]) for fault in faults[:_NAMED])
        raise type(faults[0])(named + (f"; and {more} more" if more > 0 else ""))
