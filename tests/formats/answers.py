"""A task of each kind with answers, in English and Chinese, and what writes and reads them in other tools' formats."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from postil.formats import export_row
from postil.formats.foreign import ReadOutcome, Records, read_foreign
from postil.formats.others import FOREIGN
from postil.project.foreign import PlainAsking
from postil.tasks import Task
from postil.tasks.kinds import KINDS
from postil.types import JSON, Abstention, Annotation, Answer, Confidence, Outcome, Provenance, Record

EMOJI: Final = "Alice works for Acme 😀 in Paris\r\nsince 1999, \x85 and Bob."
CHINESE: Final = "张三在北京大学工作，李四住在上海。"
TEXTS: Final = (EMOJI, CHINESE, "nothing here: =1+1")
RECORDS: Final = [Record(f"r{at}", {"text": text, "label": "secret gold"}) for at, text in enumerate(TEXTS)]
PAIRS: Final = [
    Record(f"p{at}", {"prompt": f"问题 {at}?", "response_a": f"A{at} 😀", "response_b": f"B{at}"}) for at in range(3)
]
WHERE: Final = Provenance("sha256:ab", "model-1", "2026-11-22T16:00:00+00:00")


@dataclass(frozen=True, slots=True)
class Solved:
    """A task, and answers to it for the first of its records."""

    task: Task
    answers: Sequence[Answer]
    records: Sequence[Record] = tuple(RECORDS)


def span(text: str, words: str, label: str, **more: Any) -> dict[str, JSON]:
    """Return a span where these words stand first."""
    start = text.index(words)
    return {**more, "start": start, "end": start + len(words), "label": label, "text": words}


def place(text: str, words: str) -> dict[str, JSON]:
    """Return a place without a label."""
    return {key: value for key, value in span(text, words, "").items() if key != "label"}


_FIELDS: Final = {
    "food": {"labels": ["good", "差"], "optional": True},
    "price": {"type": "number", "optional": True},
    "tags": {"type": "list"},
    "note": {"type": "text"},
}


def _solved() -> dict[str, Solved]:
    relations = {
        "spans": [span(EMOJI, "Alice", "PER", id="T1"), span(EMOJI, "Acme 😀", "组织", id="T2")],
        "relations": [{"head": "T1", "tail": "T2", "label": "works for"}],
    }
    timeline = {
        "events": [
            {"id": "E1", **place(EMOJI, "works"), "time": place(EMOJI, "1999")},
            {"id": "E2", **place(EMOJI, "Paris"), "time": None},
        ],
        "links": [{"from": "E1", "to": "E2", "relation": "before"}],
    }
    frame = {
        "predicate": {**place(EMOJI, "works"), "sense": None},
        "arguments": [{"role": "ARG0", **place(EMOJI, "Alice")}, {"role": "ARG1", **place(EMOJI, "Acme 😀")}],
    }
    return {
        "classification": Solved(
            KINDS["classification"]("tone", "What is it?", labels={"好评": "praise", "no": "not so", "1e3": ""}),
            [{"label": "好评"}, {"label": "1e3"}],
        ),
        "multilabel": Solved(
            KINDS["multilabel"]("topics", "Which?", labels=["a", "b c", "丙"]),
            [{"labels": ["a", "丙"]}, {"labels": []}],
        ),
        "rating": Solved(KINDS["rating"]("stars", "How good?", low=1, high=5), [{"rating": 4}, {"rating": 1}]),
        "attributes": Solved(
            KINDS["attributes"]("facts", "Fill in.", fields=_FIELDS),
            [
                {"attributes": {"food": "差", "price": 3.5, "tags": ["x", "y z"], "note": "hm"}},
                {"attributes": {"food": None, "price": None, "tags": [], "note": "=1"}},
            ],
        ),
        "spans": Solved(
            KINDS["spans"]("names", "Find names.", labels=["PER", "组织"]),
            [
                {"spans": [span(EMOJI, "Alice", "PER"), span(EMOJI, "Acme 😀", "组织"), span(EMOJI, "Bob", "PER")]},
                {"spans": [span(CHINESE, "张三", "PER"), span(CHINESE, "北京大学", "组织")]},
                {"spans": []},
            ],
        ),
        "relations": Solved(
            KINDS["relations"]("jobs", "Who works where?", labels=["works for"], span_labels=["PER", "组织"]),
            [relations, {"spans": [], "relations": []}],
        ),
        "timeline": Solved(
            KINDS["timeline"]("order", "What came first?", times=True), [timeline, {"events": [], "links": []}]
        ),
        "roles": Solved(
            KINDS["roles"]("roles", "Who did what?", roles=["ARG0", "ARG1"]), [{"frames": [frame]}, {"frames": []}]
        ),
        "preference": Solved(
            KINDS["preference"]("better", "Which is better?"),
            [{"preferred": "a", "strength": 0.875}, {"preferred": "b", "strength": 0.25}, {"preferred": "tie"}],
            PAIRS,
        ),
        "text": Solved(KINDS["text"]("summary", "Summarise."), [{"text": "A line.\nTwo."}, {"text": "总结"}]),
    }


SOLVED: Final = _solved()


@dataclass(frozen=True, slots=True)
class Held:
    """Records in memory."""

    held: Sequence[Record]

    def some_records(self, ids: Sequence[str]) -> list[Record]:
        """Return those with these ids."""
        return [record for id_ in ids for record in self.held if record.id == id_]

    def records(self) -> Iterable[Record]:
        """Return all."""
        return self.held


def outcomes(solved: Solved, *, annotator: str = "small", sure: bool = True) -> list[Outcome | None]:
    """Return the outcomes of the records: annotations, then one abstention or failure, as far as there are records."""
    found: list[Outcome | None] = []
    for at, (record, answer) in enumerate(zip(solved.records, solved.answers, strict=False)):
        accepted = solved.task.accept(answer, record)
        confidence = Confidence(min(0.5 + at / 8, 1.0), "logprob") if sure else None
        found.append(Annotation(record.id, annotator, accepted, confidence, provenance=WHERE if sure else Provenance()))
    while len(found) < len(solved.records):
        found.append(Abstention(solved.records[len(found)].id, annotator, "unclear", WHERE if sure else Provenance()))
    return found


def rows(solved: Solved, held: Iterable[Outcome | None], *, machine: bool = True) -> list[dict[str, JSON]]:
    """Return what an export writes."""
    return [
        export_row(record, outcome) | {"machine": machine, "annotator_id": "sha256:cd"}
        for record, outcome in zip(solved.records, held, strict=True)
    ]


def write(format_name: str, solved: Solved, given: Iterable[Mapping[str, JSON]], folder: Path) -> Path:
    """Write rows in a format and return where."""
    chosen = FOREIGN[format_name]
    assert chosen.write is not None
    path = folder / ("out" if chosen.folder else "out.json")
    wanted = [row for row in given if row["answer"] is not None or not chosen.answers_only]
    if chosen.prompts:
        asking = PlainAsking(solved.task)
        by_id = {record.id: record for record in solved.records}
        wanted = [
            {
                **row,
                "messages": asking.messages(by_id[row["id"]]),
                "reply": asking.reply(row["answer"], by_id[row["id"]]),
            }
            for row in wanted
        ]
    chosen.write(wanted, solved.task, path)
    return path


def read(format_name: str, solved: Solved, path: Path, *, annotator: str = "small") -> list[ReadOutcome]:
    """Return what is read of a file."""
    records = Records(solved.task, Held(solved.records), PlainAsking(solved.task))
    return list(read_foreign(path, solved.task, FOREIGN[format_name], records, annotator=annotator))


def without_notes(path: Path) -> None:
    """Take our notes out of what was written, as a tool does that keeps nothing it does not know."""
    files = [path] if path.is_file() else [each for each in path.rglob("*") if each.suffix in (".jsonl", ".json")]
    for file in files:
        text = file.read_text(encoding="utf-8")
        if text.startswith("["):
            file.write_text(json.dumps(_without(json.loads(text))), encoding="utf-8")
        else:
            lines = [json.dumps(_without(json.loads(line))) for line in text.split("\n") if line]
            file.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _without(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without(held) for key, held in value.items() if key != "postil"}
    return [_without(held) for held in value] if isinstance(value, list) else value
