"""OpenAI fine-tuning: a conversation a line that ends with the answer, or an input with its better and worse output.

Nothing else may stand in the lines, so records are found again by their prompts, and pairs by prompt and candidates.
Where somebody has added the id of a record, as `id` or in `metadata`, it says which of several is meant. Prompts are
those that Postil itself would ask with, so that the tuned model can be asked by Postil.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from postil.errors import DataError
from postil.formats.foreign import NOTE, Answered, Foreign, Records
from postil.formats.format import Row, Source
from postil.formats.jsonl import read_jsonl, write_jsonl
from postil.formats.pairs import asked_with, preferred_pairs, read_pair_asked
from postil.formats.turns import prompt_of, read_reply, turns_of
from postil.tasks import Task
from postil.types import JSON

__all__ = ["OPENAI", "read_openai", "write_openai"]


def write_openai(rows: Iterable[Mapping[str, JSON]], task: Task, path: Path) -> int:
    """Write the records that have an answer, preferences as one line for each pair that is no tie; return how many.

    Raises:
        FormatError: the file cannot be written.
    """
    return write_jsonl((line for row in rows for line in _lines(row, task)), path)


def _lines(row: Mapping[str, JSON], task: Task) -> Iterator[dict[str, JSON]]:
    if task.kind != "preference":
        yield {"messages": [*row["messages"], *turns_of(row["reply"])]}
        return
    asked = [{"role": "user", "content": asked_with(task, row["fields"])}]
    for pair in preferred_pairs(row, task):
        outputs = {"preferred_output": turns_of(pair.chosen), "non_preferred_output": turns_of(pair.rejected)}
        yield {"input": {"messages": asked}, **outputs}


def read_openai(path: Path, task: Task, records: Records) -> Iterator[Answered]:
    """Yield the answers that conversations end with, or that the better of two outputs says.

    Raises:
        DataError: a line is about no record of ours, or its last turn is no answer to the task.
    """
    source = Source(path)
    for row in read_jsonl(path):
        yield _answered(row, task, records, source.at(row.line))


def _answered(row: Row, task: Task, records: Records, place: str) -> Answered:
    fields = row.fields
    if task.kind == "preference":
        if "preferred_output" not in fields or "non_preferred_output" not in fields:
            raise DataError(f"{place}: expected `preferred_output` and `non_preferred_output`, got {', '.join(fields)}")
        better, worse = fields["preferred_output"], fields["non_preferred_output"]
        return read_pair_asked(better, worse, _asked(fields.get("input")), task, records, place, _id(fields))
    messages = fields.get("messages")
    if not isinstance(messages, list) or len(messages) < 2:
        raise DataError(f"{place}: expected `messages` with a question and an answer, got {', '.join(fields)}")
    record = records.by_prompt(prompt_of(messages[:-1], place), place, id=_id(fields))
    return read_reply(messages[-1:], record, records, place)


def _asked(given: JSON) -> str:
    """Return the text of an input's last turn, "" where it has none: it only helps to find the record."""
    match given:
        case {"messages": [*_, {"content": str(text)}]}:
            return text
        case _:
            return ""


def _id(fields: Mapping[str, JSON]) -> str | None:
    """Return the id of a record that somebody has added to a line; one that is not ours is nobody's."""
    for held in (fields, fields.get("metadata"), fields.get(NOTE)):
        if isinstance(held, Mapping) and isinstance(held.get("id"), str):
            return held["id"]
    return None


OPENAI: Final = Foreign(
    "openai",
    "OpenAI fine-tuning: conversations, or preferred outputs, a line",
    None,
    read_openai,
    write_openai,
    answers_only=True,
    prompts=True,
)
