"""What a report shows of structured answers: their labels, and the words that they mark in a text."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from postil.tasks import VALUE_SCALES, Task
from postil.tasks.shown import Shown
from postil.types import JSON, Answer, Record

__all__ = ["Mark", "labels_in", "marks_in"]


@dataclass(frozen=True, slots=True)
class Mark:
    """Some characters of a shown text, and what they are called."""

    start: int
    end: int
    label: str


def labels_in(task: Task, answer: Answer) -> Sequence[str]:
    """Return the labels that an answer gives: itself in words if it is one value, those of its parts otherwise."""
    if task.scale in VALUE_SCALES:
        value = task.value(answer)
        # A preference is described with its strength, which no two answers share.
        return [value if isinstance(value, str) else task.describe(answer)]
    if "frames" in answer:
        return [each["role"] for frame in answer["frames"] for each in frame["arguments"]]
    if "links" in answer:
        return [each["relation"] for each in answer["links"]]
    if "attributes" in answer:
        return [name for name, value in answer["attributes"].items() if value not in (None, [])]
    parts: Sequence[Mapping[str, JSON]] = answer.get("relations", answer.get("spans", ()))
    return [*answer.get("labels", ()), *(each["label"] for each in parts)]


def marks_in(task: Task, answer: Answer, record: Record) -> tuple[Mark, ...]:
    """Return the places that an answer points to, as places in the text that `task.show` makes of the record."""
    starts = _field_starts(task, record)
    found: list[Mark] = []
    for label, span in _spans(answer):
        named = [span["field"]] if "field" in span else list(starts)
        for at in [starts[name] for name in named if name in starts and _stands(span, record.fields[name])][:1]:
            pieces = span.get("fragments") or [(span["start"], span["end"])]
            found += [Mark(at + start, at + end, label) for start, end in pieces]
    return tuple(found)


def _field_starts(task: Task, record: Record) -> Mapping[str, int]:
    """Return where the fields that hold text begin in the text shown."""
    starts: dict[str, int] = {}
    at = 0
    for literal, name in Shown.parse(task.show).parts:
        at += len(literal)
        if name is not None:
            text = record.fields.get(name)
            if not isinstance(text, str):
                # What stands before the next field is then written as JSON, which is no place for marks.
                return starts
            starts.setdefault(name, at)
            at += len(text)
    return starts


def _stands(span: Mapping[str, JSON], text: str) -> bool:
    return text[span["start"] : span["end"]] == span["text"]


def _spans(answer: Answer) -> Iterator[tuple[str, Mapping[str, JSON]]]:
    """Yield the spans of an answer of any kind with their labels."""
    for span in answer.get("spans", ()):
        yield span["label"], span
    for frame in answer.get("frames", ()):
        yield frame["predicate"].get("sense") or frame["predicate"]["text"], frame["predicate"]
        for argument in frame["arguments"]:
            yield argument["role"], argument
    for event in answer.get("events", ()):
        yield event["id"], event
    for quote in answer.get("quotes", ()):
        yield "", quote
