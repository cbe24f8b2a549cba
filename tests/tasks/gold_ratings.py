"""Gold ratings of the shared data as records with answers: `records_and_gold(path)`."""

import json
from pathlib import Path

from postil.tasks.rating import Rating
from postil.types import Answer, Record

DATA = Path(__file__).resolve().parents[2] / "../shared/data/ratings"
SETS = ("vader_tweets", "vader_amazon")


def records_and_gold(path: Path) -> list[tuple[Record, Answer]]:
    """Return the records of a file of ratings, each with the ratings of all people; whose they are is not known."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [(Record(row["id"], {"text": row["text"]}), {"ratings": row["ratings"]}) for row in rows]


def task_for(name: str) -> Rating:
    """Return the task that a set was rated for."""
    anchors = {-4: "extremely negative", 0: "neutral", 4: "extremely positive"}
    return Rating(name, "How positive or negative is the sentiment of the text?", low=-4, high=4, anchors=anchors)
