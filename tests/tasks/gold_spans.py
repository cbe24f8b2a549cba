"""Gold spans of the shared data as records with answers: `records_and_gold(path)`."""

import json
from pathlib import Path

from postil.tasks.spans import Spans
from postil.types import Answer, Record

DATA = Path(__file__).resolve().parents[2] / "../shared/data/entities"
SETS = ("wnut17", "weibo_ner_zh", "restaurant8k_slots")


def records_and_gold(path: Path) -> list[tuple[Record, Answer]]:
    """Return the records of a file of entities, each with its gold answer."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(Record(row["id"], {"text": row["text"]}), {"spans": list(map(_span, row["entities"]))}) for row in rows]


def _span(entity: dict[str, object]) -> dict[str, object]:
    return {"start": entity["start"], "end": entity["end"], "label": entity["type"], "text": entity["text"]}


def task_for(name: str, labels: list[str]) -> Spans:
    """Return the task that a set was annotated for."""
    question = "标出文中的实体。" if name.endswith("_zh") else "Which entities does the text name?"
    # Times and dates in bookings overlap now and then.
    return Spans(name, question, labels=labels, nested=name == "restaurant8k_slots")
