"""What a format of another tool is: the seam between its files and our tasks, records and outcomes.

A foreign format holds answers to some kinds of task. It writes the rows of `export_row`, and reads what its tool or we
wrote: for each record the answer, who gave it, and what else the format can hold.

Beside each answer of ours stands a *note*, where the format keeps what it does not know: the export row without the
record. What comes back with its answer unchanged is then the same outcome, with confidence, probabilities and
provenance. What a person changed, or looked at and kept, is that person's: nothing of the model's is said of it.
"""

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from postil.canonical import canonical_json, digest, parse_json
from postil.errors import DataError, FormatError, RecordRejected
from postil.formats.annotations import outcome_of_row
from postil.formats.gold import accepted
from postil.formats.marks import EVENT
from postil.tasks import Task
from postil.tasks.shown import Shown
from postil.types import JSON, Answer, Outcome, Record

__all__ = [
    "NOTE",
    "POINTING",
    "Answered",
    "Asking",
    "Foreign",
    "ForeignReader",
    "ForeignWriter",
    "Known",
    "ReadOutcome",
    "Records",
    "in_place",
    "note_of",
    "one_field",
    "read_foreign",
    "shown_fields",
    "shown_names",
    "shown_text",
    "shown_together",
    "together",
    "utf8",
]

NOTE: Final = "postil"
"""The key under which our note stands in other tools' files."""

POINTING: Final = frozenset({"spans", "relations", "timeline", "roles"})
"""The kinds whose answers point into the text."""

Show = Callable[[Task, Record], str]
"""What a tool shows of a record, as one text: what it is found by."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What a file says of one record, by one annotator."""

    record: Record
    place: str
    """Where it stands, for messages: "tasks.json, item 3"."""
    answer: Answer | None
    """`None` where there is none: not asked yet, or declined (then `declined` says how)."""
    by: str = ""
    """The annotator as the file names it; empty where it names none."""
    machine: bool = False
    """Whether a model gave it and no person has confirmed it since."""
    declined: str = ""
    """How the annotator declined: "ignored in Prodigy"."""
    anchored: bool = False
    """Whether a person gave it who saw a model's suggestion."""
    confidence: float | None = None
    sure: Mapping[Hashable, float] = field(default_factory=dict[Hashable, float])
    """Confidence of parts: of a mark by (field, start, end, label), of others by their place: "attributes/food"."""
    note: Mapping[str, JSON] = field(default_factory=dict[str, JSON])
    """Our own note beside the answer."""


class Known(Protocol):
    """The records that a file may speak of."""

    def some_records(self, ids: Sequence[str]) -> Sequence[Record]:
        """Return the records with these ids; ids that are not there are left out."""
        ...

    def records(self) -> Iterable[Record]:
        """Return all records."""
        ...


class Asking(Protocol):
    """How Postil itself would ask about a record: what training data must hold."""

    def messages(self, record: Record) -> list[dict[str, JSON]]:
        """Return the prompt, turn by turn."""
        ...

    def reply(self, answer: Answer, record: Record) -> str:
        """Return an answer as a model should write it."""
        ...

    def read(self, reply: str, record: Record) -> Answer:
        """Return the answer in a reply.

        Raises:
            AnswerError: it holds none.
        """
        ...


class Records:
    """Finds the record that a line of a foreign file is about: by our id, else by what the line shows of it.

    A tool's own numbers are never taken for ids of ours, and a record that is found by its id must show the same.
    """

    def __init__(self, task: Task, known: Known, asking: Asking) -> None:
        """Take the records, and how each would be asked about."""
        self.asking = asking
        self._task = task
        self._known = known
        self._index: dict[Show, dict[str, list[str]]] = {}

    def by_text(self, text: str, place: str, *, id: JSON = None) -> Record:  # noqa: A002  # its name everywhere
        """Return the record that shows this text.

        Raises:
            DataError: there is none, or there are several and no id says which; the message begins with the place.
        """
        return self.find(text, _text, place, id=id)

    def knows(self, shown: str, show: Show) -> bool:
        """Return whether there is a record of which `show` returns this."""
        return digest(shown) in self._ids(show)

    def by_prompt(self, prompt: Sequence[Mapping[str, JSON]], place: str, *, id: JSON = None) -> Record:  # noqa: A002
        """Return the record about which Postil would ask with this prompt, or whose text is the prompt's last turn.

        Raises:
            DataError: there is none, or there are several.
        """
        asked = canonical_json(prompt).decode()
        if self.knows(asked, self._asked):
            return self.find(asked, self._asked, place, id=id)
        return self.by_text(str(prompt[-1].get("content")) if prompt else "", place, id=id)

    def find(self, shown: str, show: Show, place: str, *, id: JSON = None) -> Record:  # noqa: A002
        """Return the record of which `show` returns what the line shows.

        Raises:
            DataError: there is none, or there are several and no id says which; the message begins with the place.
        """
        for found in self._with_id(id):
            expected = show(self._task, found)
            if expected != shown:
                raise DataError(
                    f"{place}: the text is not that of record {id!r}: expected {_clip(expected)}, got {_clip(shown)}",
                    hint="The text was changed in the other tool, so places in it mean something else.",
                )
            return found
        ids = self._ids(show).get(digest(shown), [])
        if len(ids) == 1:
            return self._known.some_records(ids)[0]
        if ids:
            raise DataError(
                f"{place}: {len(ids)} records have this text, {ids[0]!r} and {ids[1]!r} among them: {_clip(shown)}",
                hint=f"Say which with the id of the record, in {NOTE!r}: {{'id': …}}.",
            )
        raise DataError(
            f"{place}: no record of the project has this text: {_clip(shown)}",
            hint="Texts must be those of the items, letter by letter, or bring the ids of the records.",
        )

    def by_id(self, id: JSON, place: str) -> Record:  # noqa: A002
        """Return the record with an id of ours.

        Raises:
            DataError: there is none.
        """
        for found in self._with_id(id):
            return found
        raise DataError(
            f"{place}: an annotation of record {id!r}, which is not among the items",
            hint="ids in the file must be ids of the items",
        )

    def _with_id(self, id: JSON) -> Sequence[Record]:  # noqa: A002
        return self._known.some_records([id]) if isinstance(id, str) else ()

    def _ids(self, show: Show) -> Mapping[str, list[str]]:
        if show not in self._index:
            ids: dict[str, list[str]] = {}
            for record in self._known.records():
                ids.setdefault(digest(show(self._task, record)), []).append(record.id)
            self._index[show] = ids
        return self._index[show]

    def _asked(self, _: Task, record: Record) -> str:
        try:
            return canonical_json(self.asking.messages(record)).decode()
        except RecordRejected:
            return ""  # nobody can ask about it


ForeignReader = Callable[[Path, Task, Records], Iterator[Answered]]
"""Streams a file or folder that exists; raises DataError with the place, what was expected and what came."""

ForeignWriter = Callable[[Iterable[Mapping[str, JSON]], Task, Path], int]
"""Writes export rows, all of which show some text; returns how many records were written."""


@dataclass(frozen=True, slots=True)
class Foreign:
    """One format of another tool: a reader, a writer, or both."""

    name: str
    """What `--format` calls it."""
    title: str
    """One line for people."""
    kinds: frozenset[str] | None = None
    """The kinds of task that it can hold; `None` is every kind."""
    read: ForeignReader | None = None
    write: ForeignWriter | None = None
    folder: bool = False
    """Whether it is a folder of files."""
    answers_only: bool = False
    """Whether it holds records only with their answers, as data to train on."""
    prompts: bool = False
    """Whether rows to write also need `messages`, the prompt, and `reply`, the answer as a model should write it."""

    def check_holds(self, task: Task, others: Iterable[str]) -> None:
        """Check that the format can hold the answers to a task; `others` are formats that can.

        Raises:
            FormatError: it cannot; the message names those that can.
        """
        if self.kinds is not None and task.kind not in self.kinds:
            raise FormatError(
                f"the format {self.name!r} cannot hold answers of the kind {task.kind!r}, "
                f"only {', '.join(map(repr, sorted(self.kinds)))}",
                hint=f"Formats that can: {', '.join(others)}",
            )


# What a tool is shown


def shown_names(task: Task) -> tuple[str, ...]:
    """Return the fields that a tool must show: those that the task shows, or the one that given places stand in."""
    shown = Shown.parse(task.show).fields
    if task.kind not in POINTING or len(shown) == 1:
        return shown
    spec = task.spec
    given = [name for key in ("predicate", "events") if isinstance(name := spec.get(key), str)]
    given += spec.get("pair") or ()
    given += [spec["head"], spec["tail"]] if spec.get("mode") == "pair" else []
    one = spec.get("field")
    return (one,) if one else tuple(name for name in shown if name not in given)


def shown_fields(task: Task, fields: Mapping[str, JSON]) -> dict[str, str]:
    """Return what a tool shows of a record, field by field: nothing else leaves, gold least of all."""
    return {name: _as_text(fields.get(name)) for name in shown_names(task)}


def shown_text(task: Task, fields: Mapping[str, JSON]) -> str:
    """Return the one text that a tool with one text shows: the field itself where there is one, else all together."""
    texts = shown_fields(task, fields)
    if len(texts) == 1:
        return next(iter(texts.values()))
    shown = Shown.parse(task.show)
    return "".join(literal + (texts[name] if name else "") for literal, name in shown.parts)


def shown_together(task: Task, record: Record) -> str:
    """Return all that the task shows of a record, as the fields are: what tools with several texts have."""
    return together(shown_fields(task, record.fields).values())


def together(texts: Iterable[str]) -> str:
    """Return several texts as one that no others make."""
    held = list(texts)
    return held[0] if len(held) == 1 else canonical_json(held).decode()


def _text(task: Task, record: Record) -> str:
    return shown_text(task, record.fields)


def _as_text(value: JSON) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else Shown((("", "value"),)).render(Record("", {"value": value}))


def one_field(task: Task, format_name: str) -> str:
    """Return the one field that answers point into.

    Raises:
        FormatError: the task shows several, and a tool with one text could not say which is meant.
    """
    fields = shown_names(task)
    if len(fields) > 1 and task.kind in POINTING:
        raise FormatError(
            f"the format {format_name!r} has one text for a record, but task {task.name!r} shows "
            f"{', '.join(map(repr, fields))}, and its answers point into them",
            hint="Export as label-studio or jsonl, which have several.",
        )
    return next(iter(fields))


def utf8(text: str, record: str, format_name: str) -> bytes:
    """Return text as a file of it holds it.

    Raises:
        DataError: it holds half a character, which no text file can.
    """
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"record {record!r} holds the lone surrogate {text[error.start]!a}, which {format_name} in UTF-8 cannot",
            hint="Write the format 'jsonl', which can.",
        ) from None


def note_of(row: Mapping[str, JSON]) -> dict[str, JSON]:
    """Return our note beside an answer: the export row without the record and without what is empty."""
    held = {key: value for key, value in row.items() if key not in _NOT_IN_NOTE and value is not None}
    return held | {"id": row["id"]}


_NOT_IN_NOTE: Final = frozenset({"fields", "messages", "reply"})


def in_place(value: JSON) -> Mapping[str, JSON]:
    """Return a note as it came back: an object, the text of one, or nothing that can be used."""
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = parse_json(value)
        except ValueError:
            return {}
    return value if isinstance(value, Mapping) else {}


# What a file says


@dataclass(frozen=True, slots=True)
class ReadOutcome:
    """An outcome that a foreign file holds, where, and whose."""

    outcome: Outcome
    place: str
    by: str
    machine: bool
    anchored: bool


def read_foreign(path: Path, task: Task, chosen: Foreign, records: Records, *, annotator: str) -> Iterator[ReadOutcome]:
    """Yield the outcomes that a file of another tool holds; records without any are passed over.

    Raises:
        DataError: what is wrong, and where.
        FormatError: the format cannot be read, or cannot hold such answers.
    """
    if chosen.read is None:
        raise FormatError(f"the format {chosen.name!r} can only be written", hint="Choose another format.")
    for answered in chosen.read(path, task, records):
        outcome = _outcome(answered, task, annotator)
        if outcome is not None:
            yield ReadOutcome(outcome, answered.place, answered.by, answered.machine, answered.anchored)


def _outcome(answered: Answered, task: Task, annotator: str) -> Outcome | None:
    record, place = answered.record, answered.place
    note = _note_that_holds(answered, task)
    given = note.get("answer", answered.answer)
    answer = None if given is None else accepted(given, task, place, record.id, record)
    row: dict[str, JSON] = {**note, "id": record.id, "annotator": annotator}
    if answer is not None:
        row |= {"outcome": "annotation", "answer": answer}
        if answered.confidence is not None and "confidence" not in note:
            row["confidence"] = answered.confidence
        if "part_confidences" not in note:
            row["part_confidences"] = _part_confidences(answer, answered.sure) or None
    elif answered.declined:
        row |= {"outcome": "abstention", "reason": answered.declined}
    elif note.get("outcome") not in ("abstention", "failure"):
        return None
    return outcome_of_row(row, place, task, annotator)


def _part_confidences(answer: Answer, sure: Mapping[Hashable, float]) -> dict[str, float]:
    """Return the confidence of parts by their places in the answer as the task orders them."""
    placed: dict[Hashable, str] = {
        (span.get("field"), span["start"], span["end"], span.get("label") or EVENT): f"{key}/{at}"
        for key in ("spans", "events")
        for at, span in enumerate(answer.get(key, ()))
    }
    return {
        placed.get(part, str(part)): value for part, value in sure.items() if isinstance(part, str) or part in placed
    }


def _note_that_holds(answered: Answered, task: Task) -> Mapping[str, JSON]:
    """Return our note where it still tells of what stands there: the same answer, of the same annotator.

    A tool may hold only a part of an answer, a preference without its strength: then that part must be the same.
    """
    note = answered.note
    named_otherwise = bool(answered.by) and answered.by != note.get("annotator")
    if answered.declined or named_otherwise or bool(note.get("machine")) != answered.machine:
        return {}
    before = note.get("answer")
    if not isinstance(before, Mapping) or answered.answer is None:
        return note if answered.answer is before is None else {}
    try:
        whole, changed = (
            canonical_json(task.accept(each, answered.record)) for each in (before, {**before, **answered.answer})
        )
    except DataError:
        return {}
    return note if whole == changed else {}


def _clip(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:59] + "…")
