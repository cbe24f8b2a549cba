"""Gold relations of the shared data as records with answers: `records_and_gold(path)`."""

import json
from pathlib import Path
from typing import Any

from postil.tasks.relations import Relations
from postil.types import Answer, Record

DATA = Path(__file__).resolve().parents[2] / "../shared/data/relations"
JOINT = ("conll04_joint",)
PAIRS = ("semeval2010_task8", "sanwen_zh")
SETS = (*JOINT, *PAIRS)
NONE = ("Other", "unknown")
"""What the sets of pairs call a pair without any of their relations."""


def records_and_gold(path: Path) -> list[tuple[Record, Answer]]:
    """Return the records of a file of relations, each with its gold answer.

    Where every row has one pair, the record holds it as `head` and `tail`.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [_joint(row) if "entities" in row else _pair(row) for row in rows]


def _joint(row: dict[str, Any]) -> tuple[Record, Answer]:
    spans = [{"id": f"e{at}", **_place(each), "label": each["type"]} for at, each in enumerate(row["entities"])]
    relations = [
        {"head": f"e{each['head']}", "tail": f"e{each['tail']}", "label": each["type"]} for each in row["relations"]
    ]
    return Record(row["id"], {"text": row["text"]}), {"spans": spans, "relations": relations}


def _pair(row: dict[str, Any]) -> tuple[Record, Answer]:
    record = Record(row["id"], {"text": row["text"], "head": _place(row["head"]), "tail": _place(row["tail"])})
    spans = [{"id": f"T{at}", **_place(row[end]), "label": "entity"} for at, end in ((1, "head"), (2, "tail"))]
    relation = [] if row["label"] in NONE else [{"head": "T1", "tail": "T2", "label": row["label"]}]
    return record, {"spans": spans, "relations": relation}


def _place(span: dict[str, Any]) -> dict[str, Any]:
    return {"start": span["start"], "end": span["end"], "text": span["text"]}


def task_for(name: str, gold: list[tuple[Record, Answer]]) -> Relations:
    """Return the task that a set was annotated for."""
    labels = sorted({each["label"] for _, answer in gold for each in answer["relations"]})
    if name in PAIRS:
        question = "这两个实体之间是什么关系？" if name.endswith("_zh") else "Which relation do head and tail have?"
        none = "unknown" if name.endswith("_zh") else "Other"
        return Relations(name, question, labels=labels, mode="pair", none=none)
    spans = sorted({span["label"] for _, answer in gold for span in answer["spans"]})
    triples = sorted({triple for _, answer in gold for triple in _triples(answer)})
    return Relations(name, "Which relations does the text state?", labels=labels, span_labels=spans, triples=triples)


def _triples(answer: Answer) -> list[tuple[str, str, str]]:
    label = {span["id"]: span["label"] for span in answer["spans"]}
    return [(label[each["head"]], each["label"], label[each["tail"]]) for each in answer["relations"]]
