"""Projects for tests: written to a folder, asked through the double."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from postil.engines.scripted import ScriptedEngine
from postil.project import Project
from postil.tasks import Task
from postil.tasks.classification import Classification
from postil.types import Request
from tests.cli.command import write_jsonl

TASK = Classification("tone", "Is it good?", labels=["pos", "neg"])


def items(number: int, *, gold: int | None = None) -> list[dict[str, Any]]:
    """Return records of which the first have gold; the even ones are good."""
    with_gold = number if gold is None else gold
    return [
        {"id": f"r{at:03}", "text": text_of(at)} | ({"label": label_of(at)} if at < with_gold else {})
        for at in range(number)
    ]


def text_of(at: int) -> str:
    """Return a text that no other record has a word of."""
    return f"{'fine' if at % 2 == 0 else 'awful'} thing-{at:03}"


def label_of(at: int) -> str:
    """Return the right answer."""
    return "pos" if at % 2 == 0 else "neg"


def project(
    folder: Path, rows: Iterable[Mapping[str, Any]], *, task: Task = TASK, gold: str | None = "label", **more: Any
) -> Project:
    """Make a project in a folder below the one given."""
    path = write_jsonl(folder / "items.jsonl", rows)
    return Project.create(folder / "project", task, items=path, gold=gold, **more)


def asked_text(request: Request) -> str:
    """Return the record's text in the last message."""
    return request.messages[-1].content.splitlines()[0].removeprefix("Text: ")


def right(request: Request) -> str:
    """Answer as gold does."""
    return "pos" if "fine" in asked_text(request) else "neg"


def engine() -> ScriptedEngine:
    """Return an engine that is always right."""
    return ScriptedEngine(right)


def asked(double: ScriptedEngine) -> Sequence[str]:
    """Return the texts that an engine was asked about."""
    return [asked_text(request) for request in double.requests]
