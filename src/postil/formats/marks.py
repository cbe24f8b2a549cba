"""Spans and the links between them, as tools draw them, out of the answers of every kind that has them and back."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from postil.errors import DataError, FormatError
from postil.formats.offsets import Offsets
from postil.tasks import Task
from postil.types import JSON, Answer

__all__ = [
    "DRAWN",
    "EVENT",
    "PREDICATE",
    "Link",
    "Mark",
    "Marks",
    "answer_of_marks",
    "apart",
    "link_labels",
    "mark_labels",
    "marks_of",
    "quoted_place",
    "sureness",
    "whole",
]

EVENT: Final = "event"
TIME: Final = "time"
PREDICATE: Final = "predicate"
ARGUMENT: Final = "argument"
"""The labels of what has none in an answer, but must have one where it is drawn."""

WHEN: Final = "happens at"
"""The link from an event to the words that tell its time."""

_SENSE: Final = "predicate: "

DRAWN: Final = frozenset({"spans", "relations", "timeline", "roles"})
"""The kinds whose answers are marks."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A labelled stretch of a text: code points, the end exclusive."""

    id: str
    start: int
    end: int
    label: str
    field: str | None = None
    """Which text, where a task shows several."""
    confidence: float | None = None
    fragments: tuple[tuple[int, int], ...] = ()
    """Where its words stand, if they are not next to each other."""


@dataclass(frozen=True, slots=True)
class Link:
    """A labelled arrow from one mark to another."""

    source: str
    target: str
    label: str


@dataclass(frozen=True, slots=True)
class Marks:
    """All that is drawn into a text."""

    marks: Sequence[Mark]
    links: Sequence[Link] = ()


def mark_labels(task: Task) -> tuple[str, ...]:
    """Return every label that the marks of a task may have.

    Raises:
        FormatError: it may be any text.
    """
    match task.kind:
        case "timeline":
            return (EVENT, TIME) if task.spec.get("times") else (EVENT,)
        case "roles":
            senses = task.spec.get("senses")
            if senses is True:
                raise FormatError(
                    f"task {task.name!r}: senses are any text, where other tools need a list of labels",
                    hint="Give the senses as a list, or export as jsonl.",
                )
            return (*(f"{_SENSE}{sense}" for sense in senses or ()), PREDICATE, ARGUMENT)
        case "relations":
            return tuple(task.spec["span_labels"])
        case _:
            return task.labels


def link_labels(task: Task) -> tuple[str, ...]:
    """Return every label that the links of a task may have."""
    if task.kind == "spans":
        return ()
    return (*task.labels, WHEN) if task.spec.get("times") else task.labels


def marks_of(answer: Answer, kind: str, confidences: Mapping[str, float] | None = None) -> Marks:
    """Return what an answer draws; `confidences` are those of its parts."""
    held = confidences or {}
    match kind:
        case "timeline":
            return _of_timeline(answer, held)
        case "roles":
            return _of_roles(answer, held)
        case _:
            marks = [_mark(span, f"T{at}", held.get(f"spans/{at - 1}")) for at, span in enumerate(answer["spans"], 1)]
            links = [Link(each["head"], each["tail"], each["label"]) for each in answer.get("relations", ())]
            return Marks(marks, links)


def _mark(span: Mapping[str, JSON], id_: str, confidence: float | None, label: str = "") -> Mark:
    pieces = tuple((start, end) for start, end in span.get("fragments") or ())
    named = str(span.get("id") or id_)
    return Mark(named, span["start"], span["end"], label or span["label"], span.get("field"), confidence, pieces)


def _of_timeline(answer: Answer, held: Mapping[str, float]) -> Marks:
    marks = [_mark(each, "", held.get(f"events/{at}"), EVENT) for at, each in enumerate(answer["events"])]
    links = [Link(each["from"], each["to"], each["relation"]) for each in answer["links"]]
    for each in answer["events"]:
        if each.get("time"):
            marks.append(_mark(each["time"], f"time of {each['id']}", None, TIME))
            links.append(Link(each["id"], marks[-1].id, WHEN))
    return Marks(marks, links)


def _of_roles(answer: Answer, held: Mapping[str, float]) -> Marks:
    marks: list[Mark] = []
    links: list[Link] = []
    for at, frame in enumerate(answer["frames"], 1):
        sense = frame["predicate"].get("sense")
        label = f"{_SENSE}{sense}" if sense else PREDICATE
        marks.append(_mark(frame["predicate"], f"P{at}", held.get(f"frames/{at - 1}"), label))
        for number, each in enumerate(frame["arguments"], 1):
            marks.append(_mark(each, f"P{at}A{number}", None, ARGUMENT))
            links.append(Link(f"P{at}", f"P{at}A{number}", each["role"]))
    return Marks(marks, links)


def whole(drawn: Marks, record: str, format_name: str) -> Marks:
    """Return marks none of which has gaps.

    Raises:
        FormatError: one has, which the format cannot hold.
    """
    for mark in drawn.marks:
        if mark.fragments:
            raise FormatError(
                f"the format {format_name!r} cannot hold a span with a gap, as in record {record!r}: "
                f"{mark.label!r} {', '.join(f'{start} to {end}' for start, end in mark.fragments)}",
                hint="Formats that can: brat, hugging-face, jsonl",
            )
    return drawn


def sureness(marks: Iterable[Mark]) -> dict[tuple[str | None, int, int, str], float]:
    """Return the confidence of each mark that has one, by field, place and label."""
    return {
        (each.field, each.start, each.end, each.label): each.confidence for each in marks if each.confidence is not None
    }


def answer_of_marks(drawn: Marks, kind: str, texts: Mapping[str, str]) -> dict[str, JSON]:
    """Return the answer that marks in a record's texts make.

    Raises:
        DataError: a mark lies outside its text, or a link begins or ends nowhere.
    """
    spans = {mark.id: _span(mark, texts) for mark in drawn.marks}
    if kind == "spans":
        return {"spans": [_span(mark, texts) for mark in drawn.marks]}
    for link in drawn.links:
        if missing := {link.source, link.target} - spans.keys():
            raise DataError(f"a link {link.label!r} begins or ends at {min(missing)!r}, which is no span")
    match kind:
        case "timeline":
            return _timeline(drawn, spans)
        case "roles":
            return {"frames": [_frame(mark, drawn, spans) for mark in drawn.marks if mark.label != ARGUMENT]}
        case _:
            relations = [{"head": each.source, "tail": each.target, "label": each.label} for each in drawn.links]
            return {"spans": [{"id": id_, **span} for id_, span in spans.items()], "relations": relations}


def _timeline(drawn: Marks, spans: Mapping[str, dict[str, JSON]]) -> dict[str, JSON]:
    times = {link.source: spans[link.target] for link in drawn.links if link.label == WHEN}
    events = [
        {"id": mark.id, **_place(spans[mark.id]), "time": _place(times[mark.id]) if mark.id in times else None}
        for mark in drawn.marks
        if mark.label != TIME
    ]
    links = [
        {"from": each.source, "to": each.target, "relation": each.label} for each in drawn.links if each.label != WHEN
    ]
    return {"events": events, "links": links}


def _frame(predicate: Mark, drawn: Marks, spans: Mapping[str, dict[str, JSON]]) -> dict[str, JSON]:
    sense = predicate.label.removeprefix(_SENSE) if predicate.label.startswith(_SENSE) else None
    arguments = [
        {"role": link.label, **_place(spans[link.target])} for link in drawn.links if link.source == predicate.id
    ]
    return {"predicate": {**_place(spans[predicate.id]), "sense": sense}, "arguments": arguments}


def _place(span: Mapping[str, JSON]) -> dict[str, JSON]:
    return {key: span[key] for key in ("start", "end", "text")}


def _span(mark: Mark, texts: Mapping[str, str]) -> dict[str, JSON]:
    field = mark.field or next(iter(texts))
    text = texts[field]
    if not 0 <= mark.start < mark.end <= len(text):
        raise DataError(
            f"expected a span inside the text, from 0 to {len(text)}, got {mark.start} to {mark.end} ({mark.label!r})"
        )
    span: dict[str, JSON] = {"start": mark.start, "end": mark.end}
    if mark.fragments:
        span["fragments"] = [list(piece) for piece in mark.fragments]
    span |= {"label": mark.label, "text": text[mark.start : mark.end]}
    return span | ({"field": field} if len(texts) > 1 else {})


def quoted_place(text: str, start: JSON, end: JSON, quote: str | None) -> tuple[int, int]:
    """Return where a span of another program lies; what it quotes says in which unit it counts (reliability A8).

    Raises:
        DataError: there are no such places, or the quote stands there in no unit.
    """
    if type(start) is not int or type(end) is not int:
        raise DataError(f"expected whole numbers as the ends of a span, got {start!r} and {end!r}")
    if not 0 <= start < end:
        raise DataError(f"expected a span that ends after it begins, got {start} to {end}")
    if quote is None or text[start:end] == quote:
        return start, end
    offsets = Offsets(text, "UTF-16")
    try:
        place = offsets.code_points(start), offsets.code_points(end)
    except DataError:
        place = start, end
    if text[slice(*place)] != quote:
        raise DataError(
            f"expected {quote!r} from {start} to {end}, got {text[start:end]!r}",
            hint="The offsets are not those of this text; was it changed, or are line ends counted otherwise?",
        )
    return place


def apart(marks: Iterable[Mark], record: str, format_name: str) -> list[Mark]:
    """Return marks in the order of the text.

    Raises:
        FormatError: two overlap, which the format cannot hold.
    """
    ordered = sorted(marks, key=lambda mark: (mark.start, mark.end))
    for first, second in pairwise(ordered):
        if second.start < first.end:
            raise FormatError(
                f"the format {format_name!r} cannot hold spans that overlap, as in record {record!r}: "
                f"{first.label!r} {first.start} to {first.end} and {second.label!r} {second.start} to {second.end}",
                hint="Formats that can: label-studio, prodigy, argilla, brat, docbin (as span groups), jsonl",
            )
    return ordered
