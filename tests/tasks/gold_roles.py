"""Gold roles of the shared data as records with answers: `records_and_gold(path)`.

What is converted, and why:

- `up_ewt` gives the role of a syntactic head word, and that is gold; the spans beside it were derived from a parse, and
  a ninth of them are null. So arguments are head words; with `spans=True` they are the derived spans, and the head word
  where there is none or where two core arguments would overlap.
- `up_ewt` cuts a clause such as "let [us] [check in]" into two arguments ARG1. A core role is there once, so later
  pieces are continuations, C-ARG1, as in CoNLL-2005.
- `qasrl_wikinews` gives one predicate a row, and questions with any number of answers: each answer is an argument.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from postil.tasks.roles import Roles
from postil.types import Answer, Record

DATA = Path(__file__).resolve().parents[2] / "../shared/data/srl"

Row = dict[str, Any]


def records_and_gold(path: Path, *, spans: bool = False) -> list[tuple[Record, Answer]]:
    """Return the records of a file of roles, each with its gold answer."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [_questions(row) if "qas" in row else _sentence(row, spans) for row in rows]


def by_predicate(path: Path, *, spans: bool = False) -> list[tuple[Record, Answer]]:
    """Return a record for each predicate of `up_ewt`, which it gives in its field `predicate`."""
    return [
        (
            Record(f"{record.id}-{at}", {**record.fields, "predicate": _place(frame["predicate"])}),
            {"frames": [frame]},
        )
        for record, gold in records_and_gold(path, spans=spans)
        for at, frame in enumerate(gold["frames"])
    ]


def roles_of(answers: Iterator[Answer]) -> list[str]:
    """Return every role that occurs, in the order of the alphabet."""
    return sorted({each["role"] for answer in answers for frame in answer["frames"] for each in frame["arguments"]})


def task_for(name: str, roles: list[str], *, given: bool = False) -> Roles:
    """Return the task that a set was annotated for; `given` predicates are not looked for."""
    if name == "qasrl_wikinews":
        question = "Which questions about the verb does the sentence answer, and with which words?"
        return Roles(name, question, questions=True, predicate="predicate")
    question = "Which predicates are there, and which head words are their arguments?"
    return Roles(name, question, roles=roles, senses=True, predicate="predicate" if given else None)


def _questions(row: Row) -> tuple[Record, Answer]:
    arguments = [{"role": each["question"], **_place(answer)} for each in row["qas"] for answer in each["answers"]]
    frame = {"predicate": _place(row["predicate"]), "arguments": arguments}
    return Record(row["id"], {"text": row["text"], "predicate": row["predicate"]}), {"frames": [frame]}


def _sentence(row: Row, spans: bool) -> tuple[Record, Answer]:
    frames = [
        {
            "predicate": {**_place(frame["predicate"]), "sense": frame["predicate"]["sense"]},
            "arguments": _arguments(frame["arguments"], spans),
        }
        for frame in row["frames"]
    ]
    return Record(row["id"], {"text": row["text"]}), {"frames": frames}


def _arguments(items: list[Row], spans: bool) -> list[Row]:
    seen: set[str] = set()
    found: list[Row] = []
    for item in sorted(items, key=lambda item: item["head"]["start"]):
        role, place = item["role"], item["head"]
        again = role in seen and role[:3] == "ARG" and role[3].isdigit()
        seen.add(role)
        if spans and item["span"] is not None and not _crosses(item, items):
            place = item["span"]
        found.append({"role": f"C-{role}" if again else role, **_place(place)})
    return found


def _crosses(item: Row, items: list[Row]) -> bool:
    """Return whether the derived span of an argument overlaps that of another, or its head word."""
    places = [other["span"] or other["head"] for other in items if other is not item]
    span = item["span"]
    return any(span["start"] < other["end"] and other["start"] < span["end"] for other in places)


def _place(value: Row) -> Row:
    return {key: value[key] for key in ("start", "end", "text")}
