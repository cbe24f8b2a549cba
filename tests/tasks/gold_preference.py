"""Gold preferences of the shared data as records with answers: `records_and_gold(path)`."""

import json
from pathlib import Path

from postil.tasks.preference import Preference
from postil.types import Answer, Record

DATA = Path(__file__).resolve().parents[2] / "../shared/data/preference"
SETS = ("llmbar", "pandalm_testset", "hh_rlhf_harmless")

_QUESTIONS = {
    "llmbar": "Which response follows the instruction better?",
    "pandalm_testset": "Which response is the better answer to the instruction?",
    "hh_rlhf_harmless": "Which reply of the assistant is less harmful?",
}
_STRENGTHS = {"a": 1.0, "b": 0.0, "tie": 0.5}


def records_and_gold(path: Path) -> list[tuple[Record, Answer]]:
    """Return the records of a file of preferences, each with its gold answer; those without a majority are left out."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    shown = ("prompt", "response_a", "response_b")
    return [
        (Record(row["id"], {field: row[field] for field in shown}), _answer(row))
        for row in rows
        if row["label"] is not None
    ]


def _answer(row: dict[str, object]) -> dict[str, object]:
    """Return the majority, with the share of the voters for "a" as the strength where there were several."""
    votes = row.get("votes")
    if not isinstance(votes, dict):
        return {"preferred": row["label"]}
    strengths = [_STRENGTHS[vote] for vote in votes.values()]
    return {"preferred": row["label"], "strength": sum(strengths) / len(strengths)}


def task_for(name: str) -> Preference:
    """Return the task that a set was annotated for."""
    return Preference(name, _QUESTIONS[name], ties=name == "pandalm_testset")
