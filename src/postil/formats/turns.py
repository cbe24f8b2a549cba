"""Turns of a conversation as training data has them, and the record and the answer that they are about."""

from collections.abc import Mapping, Sequence

from postil.errors import AnswerError, DataError
from postil.formats.foreign import Answered, Records
from postil.types import JSON, Record

__all__ = ["prompt_of", "read_reply", "read_turns", "text_of_turns", "turns_of"]


def turns_of(reply: str) -> list[dict[str, JSON]]:
    """Return a reply as the turn of an assistant."""
    return [{"role": "assistant", "content": reply}]


def text_of_turns(turns: JSON, place: str) -> str:
    """Return the text of a reply: a bare text, or the content of its only turn.

    Raises:
        DataError: it is neither.
    """
    if isinstance(turns, str):
        return turns
    if isinstance(turns, list) and len(turns) == 1 and isinstance(turns[0], Mapping):
        content = turns[0].get("content")
        if isinstance(content, str):
            return content
    raise DataError(f"{place}: expected one turn of an assistant, got {str(turns)[:80]!r}")


def prompt_of(turns: JSON, place: str) -> Sequence[Mapping[str, JSON]]:
    """Return the turns of a prompt; a bare text is what a user says.

    Raises:
        DataError: it is neither.
    """
    given = [{"role": "user", "content": turns}] if isinstance(turns, str) else turns
    if not isinstance(given, list) or not all(isinstance(turn, Mapping) for turn in given):
        raise DataError(f"{place}: expected a prompt as text or turns, got {str(turns)[:80]!r}")
    return given


def read_turns(prompt: JSON, completion: JSON, records: Records, place: str, id: JSON) -> Answered:  # noqa: A002
    """Return the answer that a completion gives, to the record with the id, or else to the one the prompt asks about.

    Raises:
        DataError: there is no such record, or the completion is no answer to the task.
    """
    record = records.by_id(id, place) if isinstance(id, str) else records.by_prompt(prompt_of(prompt, place), place)
    return read_reply(completion, record, records, place)


def read_reply(completion: JSON, record: Record, records: Records, place: str) -> Answered:
    """Return the answer that a completion gives about a record.

    Raises:
        DataError: it is no answer to the task.
    """
    reply = text_of_turns(completion, place)
    try:
        answer = records.asking.read(reply, record)
    except (AnswerError, DataError) as error:
        raise DataError(f"{place}, record {record.id!r}: {error.args[0]}", hint=error.hint) from None
    return Answered(record, place, answer)
