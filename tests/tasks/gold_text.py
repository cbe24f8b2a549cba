"""Gold texts of the shared data as records with answers: `records_and_gold(path)`."""

import json
from pathlib import Path

from postil.tasks.text import Text
from postil.types import Answer, Record

DATA = Path(__file__).resolve().parents[2] / "../shared/data"
SETS = {"xquad_en": "grounded_qa", "xquad_zh": "grounded_qa", "gsm8k": "reasoning"}
"""Name of a set -> the folder that it stands in."""


def path_of(name: str, part: str) -> Path:
    """Return the file of a part of a set."""
    return DATA / SETS[name] / name / f"{part}.jsonl"


def records_and_gold(path: Path) -> list[tuple[Record, Answer]]:
    """Return the records of a file of questions, each with its gold answer.

    Answers of XQuAD are quotes of the context: the first is the text, the others are as right.
    """
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [_of_context(row) if "context" in row else _of_question(row) for row in rows]


def _of_context(row: dict[str, list[dict[str, str]]]) -> tuple[Record, Answer]:
    texts = list(dict.fromkeys(answer["text"] for answer in row["answers"]))
    answer = {"text": texts[0], "quotes": row["answers"][:1], "alternatives": texts[1:]}
    return Record(str(row["id"]), {"context": row["context"], "question": row["question"]}), answer


def _of_question(row: dict[str, str]) -> tuple[Record, Answer]:
    return Record(row["id"], {"question": row["question"]}), {"text": row["answer"]}


def task_for(name: str) -> Text:
    """Return the task that a set was made for."""
    if name == "gsm8k":
        return Text(name, "Solve the problem. The answer is a number.", show="{question}", final="Answer")
    if name == "xquad_zh":
        return Text(
            name,
            "请用原文中最短的词句回答问题。",
            show="文章：{context}\n问题：{question}",
            grounded=True,
            source="context",
        )
    return Text(
        name,
        "Answer the question in the fewest words of the passage.",
        show="Passage: {context}\nQuestion: {question}",
        grounded=True,
        source="context",
    )
