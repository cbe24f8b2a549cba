"""brat: a folder with a text and its annotations for each record, and the configuration that brat shows them by.

Files are numbered: ids of records are never names of files (reliability X7); `postil.jsonl` says which is which. Labels
that brat cannot take, with spaces or in Chinese, get names that it can, listed there too. Offsets are code points. A
span over a line end is written as brat has it, in one fragment a line.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, count, pairwise
from pathlib import Path
from typing import Final, NamedTuple

from postil.errors import DataError
from postil.formats.foreign import NOTE, Answered, Foreign, Records, in_place, note_of, one_field, shown_text, utf8
from postil.formats.jsonl import read_jsonl, write_jsonl
from postil.formats.marks import DRAWN, Link, Mark, Marks, answer_of_marks, link_labels, mark_labels, marks_of
from postil.formats.replacing import new_folder
from postil.tasks import Task
from postil.types import JSON, Answer

__all__ = ["BRAT", "read_brat", "write_brat"]

_INDEX: Final = "postil.jsonl"
_TYPE: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")
_LINE: Final = re.compile(r"[^\n]+")


class _Names:
    """Labels as brat may call them, and back."""

    def __init__(self, stem: str) -> None:
        self.back: dict[str, str] = {}
        self._stem = stem
        self._names: dict[str, str] = {}

    def of(self, label: str) -> str:
        """Return the name of a label, the label itself where brat can take it."""
        if label not in self._names:
            numbered = (f"{self._stem}_{at}" for at in count(1))
            tried = chain([label] if _TYPE.fullmatch(label) else [], numbered)
            name = next(each for each in tried if each not in self.back)
            self._names[label], self.back[name] = name, label
        return self._names[label]


def write_brat(rows: Iterable[Mapping[str, JSON]], task: Task, path: Path) -> int:
    """Write a new folder for brat and return how many records it holds.

    Raises:
        FormatError: the folder cannot be written, or is there already.
    """
    one_field(task, "brat")
    types, links = _Names("label"), _Names("link")
    # Senses that are any text are named as they come.
    for label in () if task.spec.get("senses") is True else mark_labels(task):
        types.of(label)
    for label in link_labels(task):
        links.of(label)
    index: list[dict[str, JSON]] = []
    with new_folder(path) as folder:
        for row in rows:
            name = f"{len(index) + 1:06}"
            text, answer = shown_text(task, row["fields"]), row.get("answer")
            drawn = Marks([]) if answer is None else marks_of(answer, task.kind)
            (folder / f"{name}.txt").write_bytes(utf8(text, row["id"], "brat"))
            annotations = "".join(f"{line}\n" for line in _lines(drawn, text, types, links))
            (folder / f"{name}.ann").write_bytes(annotations.encode("utf-8"))
            index.append({"file": name, NOTE: note_of(row)})
        names = {"labels": types.back, "links": links.back}
        write_jsonl([names, *index], folder / _INDEX)
        (folder / "annotation.conf").write_text(_configuration(types, links), encoding="utf-8")
        (folder / "visual.conf").write_text(_visual(types, links), encoding="utf-8")
    return len(index)


def _lines(drawn: Marks, text: str, types: _Names, links: _Names) -> Iterator[str]:
    numbers = {mark.id: f"T{at}" for at, mark in enumerate(drawn.marks, 1)}
    for mark in drawn.marks:
        pieces = [piece for part in mark.fragments or ((mark.start, mark.end),) for piece in _on_lines(text, *part)]
        places = ";".join(f"{start} {end}" for start, end in pieces)
        words = " ".join(text[start:end] for start, end in pieces)
        yield f"{numbers[mark.id]}\t{types.of(mark.label)} {places}\t{words}"
    for at, link in enumerate(drawn.links, 1):
        ends = f"Arg1:{numbers[link.source]} Arg2:{numbers[link.target]}"
        yield f"R{at}\t{links.of(link.label)} {ends}\t"


def _on_lines(text: str, start: int, end: int) -> list[tuple[int, int]]:
    return [(start + found.start(), start + found.end()) for found in _LINE.finditer(text[start:end])] or [(start, end)]


def _configuration(types: _Names, links: _Names) -> str:
    relations = [f"{name}\tArg1:<ENTITY>, Arg2:<ENTITY>" for name in links.back]
    return "\n".join(["[entities]", *types.back, "", "[relations]", *relations, "", "[events]", "", "[attributes]", ""])


def _visual(types: _Names, links: _Names) -> str:
    shown = [f"{name} | {' '.join(label.split())}" for names in (types, links) for name, label in names.back.items()]
    return "\n".join(["[labels]", *shown, ""])


# What comes back


class _Document(NamedTuple):
    name: str
    note: Mapping[str, JSON]


def read_brat(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield what the annotations in a folder of brat say; a text without its annotations says nothing.

    Raises:
        DataError: a text is that of no record, or an annotation cannot be read.
    """
    field = one_field(task, "brat")
    if not path.is_dir():
        raise DataError(f"{path}: expected a folder with texts and annotations of brat, got a file or nothing")
    labels, links, documents = _index(path)
    for document in documents:
        place = f"{path / document.name}.ann"
        text = _read(path / f"{document.name}.txt")
        record = records.by_text(text, f"{path / document.name}.txt", id=document.note.get("id"))
        said = partial(Answered, record, place, note=document.note, machine=bool(document.note.get("machine")))
        drawn = _read(path / f"{document.name}.ann")
        if not drawn and document.note.get("answer") is None and document.note:
            yield said(None)
            continue
        reading = _Reading(place, text, labels, links)
        yield said(reading.answer(drawn.split("\n"), task, {field: text}))


def _index(path: Path) -> tuple[Mapping[str, str], Mapping[str, str], Sequence[_Document]]:
    """Return what our list of the folder says, or else what stands in it."""
    names = sorted(each.stem for each in path.glob("*.ann") if each.with_suffix(".txt").is_file())
    if not names:
        raise DataError(f"{path}: expected files .txt and .ann, got none", hint="Name the folder that they stand in.")
    listed = path / _INDEX
    if not listed.is_file():
        return {}, {}, [_Document(name, {}) for name in names]
    head, *rows = [row.fields for row in read_jsonl(listed)]
    notes = {str(row.get("file")): in_place(row.get(NOTE)) for row in rows}
    # Names are those that are in the folder: what the list calls a file is only looked up, never opened.
    return head.get("labels", {}), head.get("links", {}), [_Document(name, notes.get(name, {})) for name in names]


def _read(path: Path) -> str:
    try:
        # Not `read_text`, which would take CR LF for one character and shift every offset.
        return path.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}", hint="brat keeps its texts in UTF-8.") from None


class _Reading:
    def __init__(self, place: str, text: str, labels: Mapping[str, str], links: Mapping[str, str]) -> None:
        self._place = place
        self._text = text
        self._labels = labels
        self._links = links

    def answer(self, lines: Sequence[str], task: Task, texts: Mapping[str, str]) -> Answer:
        marks: list[Mark] = []
        links: list[Link] = []
        for number, line in enumerate(lines, 1):
            try:
                if line.startswith("T"):
                    marks.append(self._mark(line.split("\t", 2)))
                elif line.startswith("R") and task.kind != "spans":
                    links.append(self._link(line.split("\t")))
            except (ValueError, IndexError, DataError) as error:
                raise self._wrong(number, line, error) from None
        try:
            return answer_of_marks(Marks(marks, links), task.kind, texts)
        except DataError as error:
            raise DataError(f"{self._place}: {error.args[0]}", hint=error.hint) from None

    def _wrong(self, number: int, line: str, error: Exception) -> DataError:
        why = error.args[0] if isinstance(error, DataError) else f"expected an annotation of brat, got {line[:80]!r}"
        hint = error.hint if isinstance(error, DataError) else "T1<tab>Label 0 5<tab>words"
        return DataError(f"{self._place}, line {number}: {why}", hint=hint)

    def _mark(self, columns: Sequence[str]) -> Mark:
        id_, where, words = columns[0], columns[1], columns[2]
        name, _, places = where.partition(" ")
        pieces = [self._piece(part) for part in places.split(";")]
        there = " ".join(self._text[start:end] for start, end in pieces)
        if there not in (words, words.removesuffix("\r")):  # the line may end with CR LF
            raise DataError(
                f"expected {words!r} at {places}, got {there!r}",
                hint="The text was changed, or its line ends; offsets are code points of the .txt file.",
            )
        start, end = pieces[0][0], pieces[-1][1]
        # Fragments with nothing but a line end between them are one span.
        gaps = any(self._text[one:other].strip("\r\n") for (_, one), (other, _) in pairwise(pieces))
        return Mark(id_, start, end, self._labels.get(name, name), fragments=tuple(pieces) if gaps else ())

    def _piece(self, part: str) -> tuple[int, int]:
        start, end = map(int, part.split())
        if not 0 <= start < end <= len(self._text):
            raise DataError(f"expected a place inside the text, from 0 to {len(self._text)}, got {start} to {end}")
        return start, end

    def _link(self, columns: Sequence[str]) -> Link:
        name, first, second = columns[1].split()
        return Link(first.split(":")[1], second.split(":")[1], self._links.get(name, name))


BRAT: Final = Foreign(
    "brat",
    "brat: a folder of texts and standoff annotations",
    DRAWN,
    read_brat,
    write_brat,
    folder=True,
)
