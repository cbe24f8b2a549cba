"""spaCy's DocBin, through spaCy (the extra `spacy`): documents with categories, entities or span groups.

Spans that may not overlap are entities, others the span group `sc`, which spaCy's span categorizer trains on. Our ids
and notes stand in the user data of each document. Tokens are cut so that every span's ends fit.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from postil.canonical import canonical_json
from postil.errors import DataError, MissingExtraError
from postil.formats.foreign import NOTE, Answered, Foreign, Records, in_place, note_of, one_field, shown_text, utf8
from postil.formats.format import Source
from postil.formats.marks import Mark, Marks, answer_of_marks, apart, marks_of, whole
from postil.formats.replacing import output
from postil.formats.tokens import tokens
from postil.tasks import Task
from postil.types import JSON, Answer

__all__ = ["DOCBIN", "read_docbin", "write_docbin"]

GROUP: Final = "sc"
"""The span group where spans may overlap: the one that spaCy's own configurations name."""


def _spacy(purpose: str) -> Any:
    try:
        for module in ("spacy.tokens", "spacy.vocab"):
            import_module(module)  # heavy, and an extra
        return import_module("spacy")
    except ImportError:
        raise MissingExtraError(purpose, "spacy") from None


def _nested(task: Task) -> bool:
    return bool(task.spec.get("nested"))


def write_docbin(rows: Iterable[Mapping[str, JSON]], task: Task, path: Path) -> int:
    """Write a document for each record with an answer and return how many.

    Raises:
        FormatError: the file cannot be written, or spans have gaps, or overlap where the task does not let them.
        MissingExtraError: spaCy is not installed.
    """
    one_field(task, "docbin")
    spacy = _spacy("writing DocBin")
    vocabulary, held = spacy.vocab.Vocab(), spacy.tokens.DocBin(store_user_data=True)
    for row in rows:
        held.add(_document(spacy, vocabulary, row, task))
    with output(path) as file:
        file.write(held.to_bytes())
    return len(held)


def _document(spacy: Any, vocabulary: Any, row: Mapping[str, JSON], task: Task) -> Any:
    text, answer = shown_text(task, row["fields"]), row["answer"]
    utf8(text, row["id"], "docbin")
    marks: list[Mark] = []
    if task.kind == "spans":
        marks = list(whole(marks_of(answer, "spans"), row["id"], "docbin").marks)
        marks = marks if _nested(task) else apart(marks, row["id"], "docbin")
    words, spaces = _words(text, marks)
    document = spacy.tokens.Doc(vocabulary, words=words, spaces=spaces)
    document.user_data[NOTE] = canonical_json(note_of(row)).decode()
    if task.kind != "spans":
        chosen = answer["labels"] if task.kind == "multilabel" else [answer["label"]]
        document.cats = {label: float(label in chosen) for label in task.labels}
        return document
    spans = [document.char_span(mark.start, mark.end, label=mark.label) for mark in marks]
    if _nested(task):
        document.spans[GROUP] = spans
    else:
        document.set_ents(spans)
    return document


def _words(text: str, marks: Iterable[Mark]) -> tuple[list[str], list[bool]]:
    """Return words and whether a space follows each; together they are the text, so other white space is a word."""
    starts, ends = {mark.start for mark in marks}, {mark.end for mark in marks}
    cuts = sorted(starts | ends)
    words: list[str] = []
    spaces: list[bool] = []
    at = 0
    for start, end in [*tokens(text, cuts), (len(text), len(text))]:
        # A space that a span begins or ends with must be a word: spans begin and end where words do.
        if words and text[at : at + 1] == " " and at not in starts and at + 1 not in ends:
            spaces[-1] = True
            at += 1
        for stop in [*(cut for cut in cuts if at < cut < start), start, end]:
            if stop > at:
                words.append(text[at:stop])
                spaces.append(False)
                at = stop
    return words, spaces


# What comes back


def read_docbin(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield what the documents of a DocBin say.

    Raises:
        DataError: the file is none, or a document is about no record of ours.
        MissingExtraError: spaCy is not installed.
    """
    field = one_field(task, "docbin")
    spacy = _spacy("reading DocBin")
    try:
        held = spacy.tokens.DocBin().from_bytes(path.read_bytes())
    except Exception as error:  # whatever its decompression and parsing raise
        raise DataError(
            f"{path}: expected a DocBin of spaCy, got {error}", hint="Save it with DocBin.to_disk."
        ) from None
    source = Source(path, "item")
    for number, document in enumerate(held.get_docs(spacy.vocab.Vocab()), 1):
        place = source.at(number)
        note = in_place(document.user_data.get(NOTE))
        record = records.by_text(document.text, place, id=note.get("id"))
        said = partial(Answered, record, place, note=note, machine=bool(note.get("machine")))
        if task.kind == "spans":
            yield said(_of_spans(document, task, field))
        else:
            answer, confidence = _of_categories(document.cats, task, place)
            yield said(answer, confidence=confidence)


def _of_spans(document: Any, task: Task, field: str) -> Answer:
    groups = document.spans
    spans = (groups.get(GROUP) or next(iter(groups.values()), ())) if _nested(task) else document.ents
    marks = [Mark("", span.start_char, span.end_char, span.label_) for span in spans]
    return answer_of_marks(Marks(marks), "spans", {field: document.text})


def _of_categories(categories: Mapping[str, float], task: Task, place: str) -> tuple[Answer | None, float | None]:
    """Return the categories that a document has: those of at least one half, or the one that is most probable."""
    if not categories:
        return None, None
    if task.kind == "multilabel":
        return {"labels": [label for label, share in categories.items() if share >= 0.5]}, None
    best = max(categories.values())
    first = [label for label, share in categories.items() if share == best]
    if len(first) > 1 or best <= 0:
        raise DataError(f"{place}: expected one category above the others, got {dict(categories)!r}")
    return {"label": first[0]}, None if best >= 1 else best


DOCBIN: Final = Foreign(
    "docbin",
    "spaCy DocBin: documents with categories, entities or span groups",
    frozenset({"classification", "multilabel", "spans"}),
    read_docbin,
    write_docbin,
    answers_only=True,
)
