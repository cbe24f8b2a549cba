"""`demo`: real product reviews, a real model on this machine, and how good its labels are."""

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postil.cli import shown
from postil.cli.signals import stopped_by_signals
from postil.cli.terminal import Terminal
from postil.cli.words import count, duration, progress_line
from postil.demo import product_reviews
from postil.errors import SettingsError
from postil.project import Project
from postil.project.gold import count_roles
from postil.project.output import assessment_json
from postil.project.settings import FILE_NAME
from postil.tasks.classification import Classification

_TASK: Final = Classification(
    "reviews",
    "Is this sentence from a product review positive or negative about the product?",
    labels={"positive": "praise, or something that works well", "negative": "a complaint, or something that fails"},
)
_RATED: Final = 300
"""Sentences that keep what people said of them; the others stand for all those texts that nobody has rated."""
_ANNOTATOR: Final = {"engine": "local", "shots": 8, "demonstrations": "random", "calibrate": "batch"}


def run_demo(folder: Path, terminal: Terminal) -> int:
    """Label, assess, train a student, write a report, and return the exit code; a second call goes on.

    Raises:
        InputError: the folder holds something else.
    """
    started = time.monotonic()
    with _project(folder) as project:
        records, gold = project.journal.count_records(), sum(count_roles(project.journal).values())
        terminal.say("Postil demo: is a sentence from a product review praise or complaint?", style="bold")
        terminal.say(f"{count(records)} sentences; for {count(gold)} of them what 20 people said of each")
        terminal.say("model: Gemma 3 270M, 4 bits, in this process; no key, no network\n")
        with stopped_by_signals(terminal) as on_start:
            result = project.annotate(
                on_progress=lambda progress: terminal.progress(progress_line(progress)), on_start=on_start
            )
        terminal.end_progress()
        if result.stopped or not terminal.as_json:
            code = shown.annotated(terminal, result, limited=False)
            if result.stopped:
                return code
        learned = project.learn("student")
        report = folder / "report.html"
        headline = project.report(report)
    if not terminal.as_json:
        terminal.say("")
        shown.learned(terminal, learned)
    terminal.say(f"\n{headline}", style="bold")
    terminal.say(f"report: {report.resolve()}")
    seconds = time.monotonic() - started
    terminal.say(f"{duration(seconds)} in all; go on with: postil status --project {shlex.quote(str(folder))}")
    terminal.result(
        {
            "annotate": result.to_json(),
            "assess": assessment_json(learned.teacher_assessment),
            "student": assessment_json(learned.student_assessment),
            "report": str(report.resolve()),
            "seconds": round(seconds, 3),
        }
    )
    return shown.OK


def _project(folder: Path) -> Project:
    if (folder / FILE_NAME).exists():
        project = Project(folder)
        if project.task != _TASK:
            raise SettingsError(
                f"{folder}: expected an earlier demo, got another project", hint="postil demo OTHER-DIR"
            )
        return project
    items = folder / "reviews.jsonl"
    try:
        if folder.exists() and any(each.name != items.name for each in folder.iterdir()):
            raise SettingsError(f"{folder}: expected an empty folder or an earlier demo", hint="postil demo OTHER-DIR")
        folder.mkdir(parents=True, exist_ok=True)
        items.write_text("".join(_lines()), encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{folder}: the demo cannot be put here: {error.strerror}") from None
    return Project.create(folder, _TASK, items=items, gold="label", annotators={"small": _ANNOTATOR})


def _lines() -> Iterator[str]:
    """Yield the shipped sentences as lines of the items file."""
    for at, line in enumerate(product_reviews().read_text(encoding="utf-8").splitlines()):
        if at >= _RATED:
            row = json.loads(line)
            line = json.dumps({"id": row["id"], "text": row["text"]}, ensure_ascii=False)  # noqa: PLW2901 - cut down
        yield f"{line}\n"
