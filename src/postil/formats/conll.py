"""CoNLL BIO: a token a line with its tag, a blank line after each record, as CoNLL-2003 has it.

Two columns, `-DOCSTART-` before each record. The file holds neither ids nor spaces: records are found by their text
without spaces, and spans are put back where the tokens stand in it, so files of other tokenizers can be read as well.
IOB1, IOB2 and BILOU (BIOES) tags are understood.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Final, NamedTuple

from postil.errors import DataError, FormatError
from postil.formats.foreign import Answered, Foreign, Records, one_field, shown_text, utf8
from postil.formats.format import Source
from postil.formats.marks import Mark, Marks, answer_of_marks, apart, marks_of, whole
from postil.formats.replacing import output
from postil.formats.source import text_lines
from postil.formats.tokens import tokens
from postil.tasks import Task
from postil.types import JSON, Record

__all__ = ["CONLL", "read_conll", "write_conll"]

_START: Final = "-DOCSTART- -X- O O"
"""The very line that other readers split documents at; more columns than ours, as they expect."""


class _Token(NamedTuple):
    text: str
    tag: str
    line: int


def write_conll(rows: Iterable[Mapping[str, JSON]], task: Task, path: Path) -> int:
    """Write the records that have an answer and return how many.

    Raises:
        FormatError: the file cannot be written, or spans overlap, have gaps, or begin or end with a space.
    """
    one_field(task, "conll")
    _check_labels(task)
    count = 0
    with output(path) as file:
        for row in rows:
            lines = _lines(shown_text(task, row["fields"]), row)
            file.write(utf8("\n".join([_START, "", *lines, "", ""]), row["id"], "conll"))
            count += 1
    return count


def _check_labels(task: Task) -> None:
    for label in task.labels:
        if label.split() != [label]:
            raise FormatError(
                f"the format 'conll' puts labels in columns, and {label!r} holds a space",
                hint="Rename the label, or export as label-studio or jsonl.",
            )


def _lines(text: str, row: Mapping[str, JSON]) -> Iterator[str]:
    drawn = whole(marks_of(row["answer"], "spans"), row["id"], "conll")
    marks = apart(drawn.marks, row["id"], "conll")
    starts = {mark.start: mark for mark in marks}
    inside: Mark | None = None
    for start, end in tokens(text, [edge for mark in marks for edge in (mark.start, mark.end)]):
        tag = "O"
        if start in starts:
            inside, tag = starts.pop(start), "B-"
        elif inside is not None and start < inside.end:
            tag = "I-"
        else:
            inside = None
        yield f"{text[start:end]} {tag if inside is None else tag + inside.label}"
    ends = [mark for mark in marks if text[mark.start : mark.end] != text[mark.start : mark.end].strip()]
    if left := [*starts.values(), *ends]:
        raise FormatError(
            f"the format 'conll' has tokens only, and a span of record {row['id']!r} begins or ends with a space: "
            f"{text[left[0].start : left[0].end]!r}",
            hint="Formats that hold any span: label-studio, prodigy, doccano, argilla, jsonl",
        )


def read_conll(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield the spans that the tags of a file say, for each record; its sentences may be apart.

    Raises:
        DataError: a line is no token with a tag, or the tokens are those of no record.
    """
    field = one_field(task, "conll")
    source = Source(path)
    for found in _documents(source, records):
        record, text = found.record, shown_text(task, found.record.fields)
        marks = list(_marks(found.tokens, text, source))
        answer = answer_of_marks(Marks(marks), "spans", {field: text})
        yield Answered(record, source.at(found.tokens[0].line), answer)


class _Document(NamedTuple):
    record: Record
    tokens: Sequence[_Token]


def _documents(source: Source, records: Records) -> Iterator[_Document]:
    """Yield the tokens of each record: all between two `-DOCSTART-`, or one sentence where that is no record."""
    sentences: list[list[_Token]] = []
    for sentence in chain(_sentences(source), [None]):
        if sentence is not None:
            sentences.append(sentence)
            continue
        whole = [token for each in sentences for token in each]
        for held in [whole] if whole and records.knows(_joined(whole), _squeezed) else sentences:
            yield _Document(records.find(_joined(held), _squeezed, source.at(held[0].line)), held)
        sentences = []


def _joined(held: Sequence[_Token]) -> str:
    return "".join(token.text for token in held)


def _sentences(source: Source) -> Iterator[list[_Token] | None]:
    """Yield runs of tokens; `None` stands for the line that begins a document."""
    held: list[_Token] = []
    for number, line in text_lines(source):
        parts = line.split()
        if not parts or parts[0] == "-DOCSTART-":
            if held:
                yield held
            if parts:
                yield None
            held = []
        elif len(parts) < 2:
            raise DataError(
                f"{source.at(number)}: expected a token and its tag, got {line.strip()!r}",
                hint="Columns are separated by spaces or tabs; the first is the token, the last its tag.",
            )
        else:
            held.append(_Token(parts[0], parts[-1], number))
    if held:
        yield held


def _marks(found: Sequence[_Token], text: str, source: Source) -> Iterator[Mark]:
    begun: tuple[int, str] | None = None
    place = end = 0
    for token in found:
        prefix, _, label = token.tag.partition("-")
        if token.tag != "O" and (prefix not in ("B", "I", "E", "L", "S", "U") or not label):
            raise DataError(
                f"{source.at(token.line)}: expected a tag like O, B-PER or I-PER, got {token.tag!r}",
                hint="The tag is the last column.",
            )
        if begun and (prefix not in ("I", "E", "L") or begun[1] != label):
            yield Mark("", begun[0], end, begun[1])
            begun = None
        place, end = _place(token.text, text, end)
        if label and begun is None:
            begun = place, label
        if prefix in ("E", "L", "S", "U") and begun:
            yield Mark("", begun[0], end, begun[1])
            begun = None
    if begun:
        yield Mark("", begun[0], end, begun[1])


def _place(token: str, text: str, after: int) -> tuple[int, int]:
    """Return where the next token stands, which the text without spaces is known to hold next."""
    start = at = after
    for number, character in enumerate(token):
        while text[at] != character:
            at += 1
        if not number:
            start = at
        at += 1
    return start, at


def _squeezed(task: Task, record: Record) -> str:
    return "".join(shown_text(task, record.fields).split())


CONLL: Final = Foreign(
    "conll",
    "CoNLL: a token and its BIO tag a line",
    frozenset({"spans"}),
    read_conll,
    write_conll,
    answers_only=True,
)
