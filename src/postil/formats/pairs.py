"""Preferences as pairs of a better and a worse text, as training data has them, and back."""

from collections.abc import Iterator, Mapping
from itertools import combinations
from typing import NamedTuple

from postil.canonical import canonical_json
from postil.errors import DataError
from postil.formats.foreign import Answered, Records
from postil.formats.turns import text_of_turns
from postil.tasks import Task
from postil.tasks.shown import Shown
from postil.types import JSON, Record

__all__ = ["Pair", "asked_with", "context_of", "preferred_pairs", "read_pair", "read_pair_asked"]


class Pair(NamedTuple):
    """Two texts, the better first."""

    chosen: str
    rejected: str


def context_of(task: Task, fields: Mapping[str, JSON]) -> str:
    """Return what stands before the candidates."""
    context = str(task.spec.get("context") or "")
    if not context.strip():
        return ""
    shown = Shown.parse(context)
    return "".join(literal + (_text(fields.get(name)) if name else "") for literal, name in shown.parts)


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else "" if value is None else canonical_json(value).decode()


def _candidates(task: Task, fields: Mapping[str, JSON]) -> list[str]:
    return [_text(fields.get(name)) for name in task.spec["candidates"]]


def preferred_pairs(row: Mapping[str, JSON], task: Task) -> Iterator[Pair]:
    """Yield the pairs of texts of which one is better; a tie says nothing to train on."""
    texts = _candidates(task, row["fields"])
    answer = row["answer"]
    ranking = answer.get("ranking")
    groups = [["a"], ["b"]] if answer["preferred"] == "a" else [["b"], ["a"]] if answer["preferred"] == "b" else []
    if ranking:
        groups = [[group] if isinstance(group, str) else list(group) for group in ranking]
    for better, worse in combinations(groups, 2):
        for one in better:
            for other in worse:
                yield Pair(texts[ord(one) - ord("a")], texts[ord(other) - ord("a")])


def read_pair(
    chosen: JSON, rejected: JSON, prompt: JSON, task: Task, records: Records, place: str, fields: Mapping[str, JSON]
) -> Answered:
    """Return which candidate of a record a pair prefers.

    Raises:
        DataError: the two texts are the candidates of no record, or the task has more than two.
    """
    better, worse = _texts(chosen, rejected, task, place)
    context = [] if prompt is None else [_last_text(prompt, place)]
    shown = canonical_json([*context, *sorted((better, worse))]).decode()
    record = records.find(shown, _shown_with_context if context else _shown, place, id=fields.get("id"))
    return _preferring(better, record, task, place)


def read_pair_asked(
    chosen: JSON,
    rejected: JSON,
    prompt: str,
    task: Task,
    records: Records,
    place: str,
    id: JSON,  # noqa: A002
) -> Answered:
    """Return which candidate of a record a pair prefers: of the record with the id, or else with prompt and candidates.

    A prompt that is not ours says nothing; then the candidates alone must tell which record is meant.

    Raises:
        DataError: the two texts are the candidates of no record, or of several, or the task has more than two.
    """
    better, worse = _texts(chosen, rejected, task, place)
    both = sorted((better, worse))
    asked = canonical_json([prompt, *both]).decode()
    if records.knows(asked, _shown_asked):
        record = records.find(asked, _shown_asked, place, id=id)
    else:
        record = records.find(canonical_json(both).decode(), _shown, place, id=id)
    return _preferring(better, record, task, place)


def asked_with(task: Task, fields: Mapping[str, JSON]) -> str:
    """Return what is asked where a prompt cannot be empty: the context, or the instruction where there is none."""
    return context_of(task, fields).strip() or task.instruction


def _texts(chosen: JSON, rejected: JSON, task: Task, place: str) -> tuple[str, str]:
    if len(task.spec["candidates"]) > 2:
        raise DataError(f"{place}: pairs out of more than two candidates do not say their ranking; import jsonl")
    return _last_text(chosen, place), _last_text(rejected, place)


def _preferring(better: str, record: Record, task: Task, place: str) -> Answered:
    first, _ = _candidates(task, record.fields)
    return Answered(record, place, {"preferred": "a" if better == first else "b"})


def _last_text(turns: JSON, place: str) -> str:
    return turns if isinstance(turns, str) else text_of_turns(turns[-1:] if isinstance(turns, list) else turns, place)


def _shown(task: Task, record: Record) -> str:
    return canonical_json(sorted(_candidates(task, record.fields))).decode()


def _shown_with_context(task: Task, record: Record) -> str:
    return canonical_json([context_of(task, record.fields), *sorted(_candidates(task, record.fields))]).decode()


def _shown_asked(task: Task, record: Record) -> str:
    return canonical_json([asked_with(task, record.fields), *sorted(_candidates(task, record.fields))]).decode()
