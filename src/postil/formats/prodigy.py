"""Prodigy: a task a line, as `prodigy db-out` writes and `db-in` and every recipe read it.

A model's answers are suggestions, lines without `answer`; a person's are accepted, declined ones ignored. Offsets are
code points, and spans come with tokens that their ends fit, which Prodigy's manual interfaces need.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from postil.errors import DataError, FormatError
from postil.formats.foreign import NOTE, Answered, Foreign, Records, in_place, note_of, one_field, shown_text
from postil.formats.format import Row, Source
from postil.formats.jsonl import read_jsonl, write_jsonl
from postil.formats.marks import DRAWN, Link, Mark, Marks, answer_of_marks, marks_of, quoted_place, whole
from postil.formats.tokens import tokens
from postil.tasks import Task
from postil.types import JSON, Answer

__all__ = ["PRODIGY", "read_prodigy", "write_prodigy"]

_CHOSEN: Final = frozenset({"classification", "multilabel", "rating", "preference"})
_WRITTEN: Final = "user_input"
_KEYS: Final = {"classification": "label", "multilabel": "labels", "rating": "rating", "preference": "preferred"}
_DECLINED: Final = {"reject": "rejected in Prodigy", "ignore": "ignored in Prodigy"}
_VIEWS: Final = {**dict.fromkeys(DRAWN, "relations"), "spans": "spans_manual", "text": "text_input"}


def write_prodigy(rows: Iterable[Mapping[str, JSON]], task: Task, path: Path) -> int:
    """Write a Prodigy task for each row and return how many.

    Raises:
        FormatError: the file cannot be written, or an answer cannot be held.
    """
    one_field(task, "prodigy")
    return write_jsonl((_item(row, task) for row in rows), path)


def _item(row: Mapping[str, JSON], task: Task) -> dict[str, JSON]:
    text = shown_text(task, row["fields"])
    answer, person = row.get("answer"), not row.get("machine")
    item: dict[str, JSON] = {"text": text, **_shown(task, answer, row, text)}
    if person and answer is not None:
        item |= {"answer": "accept", "_annotator_id": row["annotator"]}
    elif person and row["outcome"] == "abstention":
        item |= {"answer": "ignore", "_annotator_id": row["annotator"]}
    return item | {"_view_id": _VIEWS.get(task.kind, "choice"), NOTE: note_of(row)}


def _shown(task: Task, answer: Answer | None, row: Mapping[str, JSON], text: str) -> dict[str, JSON]:
    if task.kind in _CHOSEN:
        options = ("a", "b", "tie") if task.kind == "preference" else task.labels
        shown: dict[str, JSON] = {"options": [{"id": option, "text": option} for option in options]}
        if task.kind == "multilabel":
            shown["config"] = {"choice_style": "multiple"}
        return shown if answer is None else {**shown, "accept": _accepted(task, answer, row["id"])}
    if task.kind == "text":
        return {} if answer is None else {_WRITTEN: answer["text"]}
    drawn = Marks([]) if answer is None else whole(marks_of(answer, task.kind), row["id"], "prodigy")
    return _drawn(task, drawn, text)


def _accepted(task: Task, answer: Answer, record: str) -> list[str]:
    value = answer[_KEYS[task.kind]]
    if isinstance(value, list):
        return list(value)
    if str(value) not in task.labels and task.kind == "rating":
        raise FormatError(
            f"the format 'prodigy' has points of the scale only, record {record!r} is rated {value!r}",
            hint="Formats that hold ratings between points: label-studio, doccano, hugging-face, jsonl",
        )
    return [str(value)]


def _drawn(task: Task, drawn: Marks, text: str) -> dict[str, JSON]:
    cuts = [end for mark in drawn.marks for end in (mark.start, mark.end)]
    places = tokens(text, cuts)
    spans = {mark.id: _span(mark, places) for mark in drawn.marks}
    shown: dict[str, JSON] = {
        "tokens": [
            {"text": text[start:end], "start": start, "end": end, "id": at, "ws": text[end : end + 1] == " "}
            for at, (start, end) in enumerate(places)
        ],
        "spans": list(spans.values()),
    }
    if task.kind == "spans":
        return shown
    return {**shown, "relations": [_relation(link, spans) for link in drawn.links]}


def _span(mark: Mark, places: Sequence[tuple[int, int]]) -> dict[str, JSON]:
    inside = [at for at, (start, end) in enumerate(places) if mark.start <= start and end <= mark.end]
    span: dict[str, JSON] = {"start": mark.start, "end": mark.end, "label": mark.label}
    return {**span, "token_start": inside[0], "token_end": inside[-1]} if inside else span


def _relation(link: Link, spans: Mapping[str, dict[str, JSON]]) -> dict[str, JSON]:
    head, child = spans[link.source], spans[link.target]
    ends = {"head": head.get("token_end"), "child": child.get("token_end")}
    return {**ends, "head_span": head, "child_span": child, "label": link.label}


# What comes back


def read_prodigy(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield what the lines of Prodigy say: accepted answers, and suggestions where nobody has answered yet.

    Raises:
        DataError: a line is about no record of ours, or holds no answer that can be read.
    """
    one_field(task, "prodigy")
    source = Source(path)
    for row in read_jsonl(path):
        yield _answered(row, task, records, source.at(row.line))


def _answered(row: Row, task: Task, records: Records, place: str) -> Answered:
    fields = row.fields
    text, decision = fields.get("text"), fields.get("answer")
    if not isinstance(text, str):
        raise DataError(f"{place}: expected a task with `text`, got {', '.join(map(repr, fields))}")
    if decision not in (None, "accept", *_DECLINED):
        raise DataError(f"{place}: expected 'accept', 'reject' or 'ignore' in `answer`, got {decision!r}")
    note = in_place(fields.get(NOTE))
    record = records.by_text(text, place, id=note.get("id"))
    said = partial(Answered, record, place, note=note, machine=decision is None)
    by = str(fields.get("_annotator_id") or fields.get("_session_id") or "") if decision else ""
    if decision in _DECLINED:
        return said(None, by=by, declined=_DECLINED[decision])
    try:
        answer = _answer(fields, task, text)
    except DataError as error:
        raise DataError(f"{place}: {error.args[0]}", hint=error.hint) from None
    if decision is None:
        # A line that nobody decided on is a suggestion if there is one, and otherwise still to be asked.
        held = answer if note.get("answer") is not None or (not note and answer) else None
        return said(held, machine=bool(note.get("machine")) if note else True)
    anchored = bool(note.get("machine")) and note.get("answer") is not None
    return said(answer, by=by, anchored=anchored, declined="" if answer else "left open in Prodigy")


def _answer(fields: Mapping[str, JSON], task: Task, text: str) -> Answer | None:
    if task.kind in DRAWN:
        return _of_spans(fields, task, text)
    if task.kind == "text":
        return {"text": fields[_WRITTEN]} if fields.get(_WRITTEN) else None
    chosen = fields.get("accept")
    if chosen is None and isinstance(fields.get("label"), str):
        chosen = [fields["label"]]
    if chosen is None:
        return None
    if task.kind == "multilabel":
        return {"labels": list(chosen)}
    if len(chosen) > 1:
        raise DataError(f"expected one choice in `accept`, got {chosen!r}")
    return {_KEYS[task.kind]: chosen[0]} if chosen else None


def _of_spans(fields: Mapping[str, JSON], task: Task, text: str) -> Answer | None:
    given = fields.get("spans")
    if given is None:
        return None
    marks: dict[tuple[JSON, JSON, JSON], Mark] = {}
    for at, span in enumerate(given, 1):
        start, end = quoted_place(text, span.get("start"), span.get("end"), span.get("text"))
        marks.setdefault((start, end, span["label"]), Mark(f"T{at}", start, end, span["label"]))
    links = [_link(each, marks) for each in fields.get("relations") or ()] if task.kind != "spans" else []
    return answer_of_marks(Marks(list(marks.values()), links), task.kind, {"text": text})


def _link(relation: Mapping[str, JSON], marks: Mapping[tuple[JSON, JSON, JSON], Mark]) -> Link:
    ends: list[str] = []
    for key in ("head_span", "child_span"):
        span = relation.get(key) or {}
        mark = marks.get((span.get("start"), span.get("end"), span.get("label")))
        if mark is None:
            raise DataError(f"a relation {relation.get('label')!r} begins or ends at {span!r}, which is no span")
        ends.append(mark.id)
    return Link(ends[0], ends[1], relation["label"])


PRODIGY: Final = Foreign(
    "prodigy", "Prodigy: tasks a line, suggestions and answers", _CHOSEN | DRAWN | {"text"}, read_prodigy, write_prodigy
)
