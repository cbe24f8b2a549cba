"""Gold timelines of the shared data as records with answers: `records_and_gold(path)`.

What is converted, and why:

- `uds_time`: annotators drew two events on a slider, and a vote is the order of the two *beginnings*. So "before" is
  defined as "begins earlier" for the task, and its word same_start is an alias of simultaneous; beginnings follow from
  one another just as these three relations do. Rows whose votes tie have no gold and are left out.
- `uds_time`, with `whole_texts`: the rows about one text are one timeline of all its events. Pairs were voted on one
  by one, so some texts contradict themselves; links then go that cost the fewest votes, and where that is a tie the
  text is left out.
- `torque`: a question about a passage is answered by some of its events. That is no timeline, which would need the
  other event of the question, and often that is none: "What will happen in the future?". It is read as spans: the
  events that answer. The events of a passage, without links, are the gold of finding events (`whole_texts`).
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from postil.tasks.spans import Spans
from postil.tasks.temporal_order import Link, repair
from postil.tasks.timeline import Timeline
from postil.types import Answer, Record

DATA = Path(__file__).resolve().parents[2] / "../shared/data/temporal"

Row = dict[str, Any]

_RELATIONS = {
    "before": "the first event begins earlier",
    "after": "the first event begins later",
    "simultaneous": "both begin at the same time",
}
_ALIASES = {"same_start": "simultaneous"}


def records_and_gold(path: Path) -> list[tuple[Record, Answer]]:
    """Return the records of a file about time, each with its gold answer."""
    rows = _rows(path)
    return [_question(row) if "question" in row else _pair(row) for row in rows if row.get("majority", "") is not None]


def whole_texts(path: Path) -> list[tuple[Record, Answer]]:
    """Return a record for each text, with all its events and what is known of their order."""
    rows: dict[str, list[Row]] = {}
    for row in _rows(path):
        rows.setdefault(row["text"], []).append(row)
    timelines = {text: _timeline(own) if "majority" in own[0] else (own[0]["events"], []) for text, own in rows.items()}
    return [
        (
            Record(f"{path.parent.name}-{at}", {"text": text}),
            {"events": [{"id": _id(each), **_place(each)} for each in timeline[0]], "links": timeline[1]},
        )
        for at, (text, timeline) in enumerate(timelines.items())
        if timeline is not None
    ]


def task_for(name: str, *, whole: bool = False) -> Timeline | Spans:
    """Return the task that a set was annotated for, about pairs and questions or about whole texts."""
    if whole:
        question = "Which events does the text tell of, and which begins before which?"
        return Timeline(name, question, relations=_RELATIONS, aliases=_ALIASES)
    if name == "torque":
        return Spans(name, "Which events answer the question?", labels=["answer"], show="{text}\n{question}")
    question = "Which of the two events begins first?"
    return Timeline(name, question, relations=_RELATIONS, aliases=_ALIASES, pair=["event1", "event2"])


def _rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _pair(row: Row) -> tuple[Record, Answer]:
    record = Record(row["id"], {key: row[key] for key in ("text", "event1", "event2")})
    events = [{"id": "E1", **row["event1"]}, {"id": "E2", **row["event2"]}]
    return record, {"events": events, "links": [{"from": "E1", "to": "E2", "relation": row["majority"]}]}


def _question(row: Row) -> tuple[Record, Answer]:
    record = Record(row["id"], {"text": row["text"], "question": row["question"]})
    return record, {"spans": [{"field": "text", **_place(each), "label": "answer"} for each in row["answers"]]}


def _timeline(rows: list[Row]) -> tuple[list[Row], list[Row]] | None:
    """Return the events and links of one text, `None` where nothing says which of some links are wrong."""
    events = {_id(row[event]): row[event] for row in rows for event in ("event1", "event2")}
    voted = [row for row in rows if row["majority"] is not None]
    said = [Link(_id(row["event1"]), _id(row["event2"]), _relation(row["majority"])) for row in voted]
    mended = repair(said, [Counter(row["votes"].values())[row["majority"]] for row in voted])
    kept = [said[at] for at in mended.kept]
    links = [{"from": link.source, "to": link.target, "relation": link.relation} for link in kept]
    return None if mended.tied else (list(events.values()), links)


def _relation(vote: str) -> str:
    return _ALIASES.get(vote, vote)


def _id(event: Row) -> str:
    return f"{event['start']}-{event['end']}"


def _place(value: Row) -> Row:
    return {key: value[key] for key in ("start", "end", "text")}
