"""Gold fields of the shared data as records with answers: `records_and_gold(path)`, and the tasks they answer."""

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from postil.tasks.attributes import Attributes
from postil.types import Answer, Record

DATA = Path(__file__).resolve().parents[2] / "../shared/data"

SLOTS: Final = ("date", "time", "people", "first_name", "last_name")
BOOKING = Attributes(
    "booking",
    "Which details of a restaurant booking does the guest give?",
    fields={name: {"type": "text", "optional": True, "verbatim": True} for name in SLOTS},
)
ASPECT = Attributes(
    "aspect",
    "What does the guest think of this aspect of the restaurant?",
    fields={
        "aspect": {"type": "label", "labels": ["ambiance", "food", "noise", "service"]},
        "polarity": {"type": "label", "labels": {"Positive": "", "Negative": "", "unknown": "the guest does not say"}},
    },
    stages=[["aspect"], ["polarity"]],
    show="{text}\nAspect: {aspect}",
)
TASKS: Final = {"restaurant8k_slots": BOOKING, "alttest_cebab_aspects": ASPECT}


def records_and_gold(path: Path) -> list[tuple[Record, Answer]]:
    """Return the records of a file with their fields; those on whose polarity people are split are left out."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [_slots(row) if "entities" in row else _aspect(row) for row in rows]
    return [pair for pair in found if pair is not None]


def _slots(row: Mapping[str, Any]) -> tuple[Record, Answer]:
    # The set marks each slot once at most, and sometimes a blank with it.
    said = {entity["type"]: entity["text"].strip() for entity in row["entities"]}
    return Record(row["id"], {"text": row["text"]}), {"attributes": {name: said.get(name) for name in SLOTS}}


def _aspect(row: Mapping[str, Any]) -> tuple[Record, Answer] | None:
    votes = Counter(row["human_votes"].values()).most_common(2)
    if len(votes) > 1 and votes[0][1] == votes[1][1]:
        return None
    record = Record(row["id"], {"text": row["text"], "aspect": row["aspect"]})
    return record, {"attributes": {"aspect": row["aspect"], "polarity": votes[0][0]}}
