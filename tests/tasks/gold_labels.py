"""Gold labels of the shared data as records with answers: `records_and_gold(path)`."""

import json
from pathlib import Path

from postil.types import Answer, Record

DATA = Path(__file__).resolve().parents[2] / "../shared/data"


def records_and_gold(path: Path) -> list[tuple[Record, Answer]]:
    """Return the records of a file with one label (`classification`) or several (`multi_label`) each."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        (
            Record(row["id"], {"text": row["text"]}),
            {"labels": row["labels"]} if "labels" in row else {"label": row["label"]},
        )
        for row in rows
    ]


def labels_of(*paths: Path) -> list[str]:
    """Return every label that occurs in some files, in the order of the alphabet."""
    answers = [answer for path in paths for _, answer in records_and_gold(path)]
    return sorted({label for answer in answers for label in answer.get("labels", [answer.get("label")])})
