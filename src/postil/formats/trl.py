"""TRL: what its trainers read, `prompt` and `completion` for SFT, `prompt`, `chosen` and `rejected` for preferences.

Prompts are those that Postil itself would ask with, as turns, so that a model tuned on them can be asked by Postil.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from postil.errors import DataError
from postil.formats.foreign import Answered, Foreign, Records
from postil.formats.format import Row, Source
from postil.formats.jsonl import read_jsonl, write_jsonl
from postil.formats.pairs import context_of, preferred_pairs, read_pair
from postil.formats.turns import read_turns, turns_of
from postil.tasks import Task
from postil.types import JSON

__all__ = ["TRL", "read_trl", "write_trl"]


def write_trl(rows: Iterable[Mapping[str, JSON]], task: Task, path: Path) -> int:
    """Write the records that have an answer, preferences as one line for each pair that is no tie; return how many.

    Raises:
        FormatError: the file cannot be written.
    """
    return write_jsonl((line for row in rows for line in _lines(row, task)), path)


def _lines(row: Mapping[str, JSON], task: Task) -> Iterator[dict[str, JSON]]:
    if task.kind != "preference":
        yield {"id": row["id"], "prompt": row["messages"], "completion": turns_of(row["reply"])}
        return
    context = context_of(task, row["fields"])
    prompt: dict[str, JSON] = {"prompt": [{"role": "user", "content": context}]} if context.strip() else {}
    for pair in preferred_pairs(row, task):
        yield {"id": row["id"], **prompt, "chosen": turns_of(pair.chosen), "rejected": turns_of(pair.rejected)}


def read_trl(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield the answers that completions give, or that the better of two texts says.

    Raises:
        DataError: a line is about no record of ours, or its completion is no answer to the task.
    """
    source = Source(path)
    for row in read_jsonl(path):
        yield _answered(row, task, records, source.at(row.line))


def _answered(row: Row, task: Task, records: Records, place: str) -> Answered:
    fields = row.fields
    wanted = ("chosen", "rejected") if task.kind == "preference" else ("prompt", "completion")
    if any(key not in fields for key in wanted):
        names = " and ".join(map(repr, wanted))
        raise DataError(f"{place}: expected a line with {names}, got {', '.join(map(repr, fields))}")
    if task.kind == "preference":
        return read_pair(fields["chosen"], fields["rejected"], fields.get("prompt"), task, records, place, fields)
    return read_turns(fields["prompt"], fields["completion"], records, place, fields.get("id"))


TRL: Final = Foreign(
    "trl",
    "TRL: prompt and completion, or chosen and rejected, a line",
    None,
    read_trl,
    write_trl,
    answers_only=True,
    prompts=True,
)
