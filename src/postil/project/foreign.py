"""Outcomes out of the journal into other tools' files, and other tools' answers for the records of the journal."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from postil.errors import DataError, FormatError, RecordRejected
from postil.formats import STDOUT
from postil.formats.foreign import Foreign, ReadOutcome, Records, read_foreign, shown_text
from postil.formats.others import formats_for
from postil.formats.source import check_file
from postil.prompts import Prompt
from postil.store import Journal
from postil.tasks import Task
from postil.types import JSON, Answer, Capabilities, Completion, Record, Usage

_log = logging.getLogger("postil")


class PlainAsking:
    """The prompt that Postil would ask an engine with that can do nothing but write."""

    def __init__(self, task: Task) -> None:
        """Render what is the same for every record once."""
        self._task = task
        self._prompt = Prompt.for_engine(task, Capabilities())

    def messages(self, record: Record) -> list[dict[str, JSON]]:
        """Return the prompt, turn by turn.

        Raises:
            RecordRejected: the record cannot be asked about.
        """
        return [{"role": turn.role, "content": turn.content} for turn in self._prompt.render(record)]

    def reply(self, answer: Answer, record: Record) -> str:
        """Return an answer as a model should write it."""
        return self._task.write(answer, self._prompt.form, record)

    def read(self, reply: str, record: Record) -> Answer:
        """Return the answer in a reply.

        Raises:
            AnswerError: it holds none.
            DataError: it declines to answer.
        """
        reading = self._task.read(Completion(reply, "stop", Usage(0, 0)), self._prompt.form, record)
        if reading.answer is None:
            raise DataError(f"expected an answer, got an abstention: {reading.abstained}")
        return reading.answer


def write_foreign(rows: Iterable[Mapping[str, JSON]], task: Task, chosen: Foreign, path: Path | str) -> int:
    """Write rows in a format of another tool and return how many records went into it.

    Records that show no text, and where the format is for training those without an answer or with a tie, are left out
    and counted.

    Raises:
        FormatError: the format cannot hold such answers, can only be read, or the file cannot be written.
        DataError: a record cannot be written.
    """
    if chosen.write is None:
        raise FormatError(f"the format {chosen.name!r} can only be read")
    chosen.check_holds(task, formats_for(task.kind))
    if chosen.folder and str(path) == STDOUT:
        raise FormatError(f"the format {chosen.name!r} is a folder, which standard output cannot be")
    left_out: Counter[str] = Counter()
    asking = PlainAsking(task) if chosen.prompts else None
    written = chosen.write(_held(rows, task, chosen, asking, left_out), task, Path(path))
    for why, number in left_out.items():
        _log.warning("%s: left out %d records %s", path, number, why)
    return written


def _held(
    rows: Iterable[Mapping[str, JSON]], task: Task, chosen: Foreign, asking: PlainAsking | None, left_out: Counter[str]
) -> Iterator[Mapping[str, JSON]]:
    for row in rows:
        if not shown_text(task, row["fields"]).strip():
            left_out["that show no text"] += 1
        elif chosen.answers_only and row["answer"] is None:
            left_out["without an answer"] += 1
        elif chosen.prompts and row["answer"].get("preferred") == "tie":
            left_out["with a tie, from which nothing can be learned"] += 1
        elif asking is None:
            yield row
        else:
            yield from _with_prompt(row, asking, left_out)


def _with_prompt(row: Mapping[str, JSON], asking: PlainAsking, left_out: Counter[str]) -> Iterator[Mapping[str, JSON]]:
    record = Record(row["id"], row["fields"])
    try:
        yield {**row, "messages": asking.messages(record), "reply": asking.reply(row["answer"], record)}
    except RecordRejected:
        left_out["that cannot be asked about"] += 1


@dataclass(frozen=True, slots=True)
class Chosen:
    """The outcomes of one annotator in a foreign file."""

    outcomes: Mapping[str, ReadOutcome]
    """By record."""
    anchored: int
    """How many are a person's who saw a model's suggestion."""


def read_outcomes(
    journal: Journal, task: Task, path: Path, chosen: Foreign, *, annotator: str, by: str | None
) -> Chosen:
    """Return the outcomes that a file of another tool holds, of the one annotator in it that `by` names.

    Without `by` they are people's, if the file has any, and there must be one for a record.

    Raises:
        DataError: the file is wrong, or several have answered and nothing says who is meant.
        FormatError: the format cannot be read, or cannot hold such answers.
    """
    chosen.check_holds(task, formats_for(task.kind))
    if not (chosen.folder and path.is_dir()):
        check_file(path)
    records = Records(task, journal, PlainAsking(task))
    found = list(read_foreign(path, task, chosen, records, annotator=annotator))
    wanted = [each for each in found if each.by == by] if by is not None else _people_first(found)
    if by is not None and not wanted:
        raise DataError(f"{path}: nothing is by {by!r}", hint=f"answers are by {_names(found)}")
    outcomes: dict[str, ReadOutcome] = {}
    for each in wanted:
        earlier = outcomes.setdefault(each.outcome.record, each)
        if earlier is not each:
            raise _several(earlier, each, _names(wanted))
    return Chosen(outcomes, sum(each.anchored for each in outcomes.values()))


def _people_first(found: list[ReadOutcome]) -> list[ReadOutcome]:
    people = [each for each in found if not each.machine]
    return people or found


def _names(found: Iterable[ReadOutcome]) -> str:
    names = sorted({each.by for each in found if each.by})
    return ", ".join(map(repr, names[:10])) + (" …" if len(names) > 10 else "") or "nobody named"


def _several(earlier: ReadOutcome, later: ReadOutcome, names: str) -> DataError:
    record = later.outcome.record
    if earlier.by == later.by:
        return DataError(
            f"{later.place}: record {record!r} has been answered before, in {earlier.place}",
            hint="Keep one of the two.",
        )
    return DataError(
        f"{later.place}: record {record!r} has answers by {earlier.by!r} and by {later.by!r}",
        hint=f"Import each under a name of its own, with --by: {names}",
    )
