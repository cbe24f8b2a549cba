"""`demo`: real product reviews, a real model on this machine, and how good its labels are."""

import shutil
import time
from importlib.resources import as_file
from pathlib import Path
from typing import Final

from postil.cli import shown
from postil.cli.terminal import Terminal
from postil.cli.words import count, duration, progress_line
from postil.demo import product_reviews
from postil.errors import SettingsError
from postil.project import Project
from postil.project.output import assessment_json
from postil.project.settings import FILE_NAME
from postil.tasks.classification import Classification

_TASK: Final = Classification(
    "reviews",
    "Is this sentence from a product review positive or negative about the product?",
    labels={"positive": "praise, or something that works well", "negative": "a complaint, or something that fails"},
)
_ANNOTATOR: Final = {"engine": "local", "shots": 8, "demonstrations": "random", "calibrate": "batch"}


def run_demo(folder: Path, terminal: Terminal) -> None:
    """Label, assess, train a student, write a report; a second call goes on where the first stopped.

    Raises:
        InputError: the folder holds something else.
    """
    started = time.monotonic()
    with _project(folder) as project:
        if not terminal.as_json:
            gold = sum(project.status()["gold"].values())
            terminal.say("Postil demo: sentences from product reviews, each rated by 20 people", style="bold")
            terminal.say(f"{count(project.journal.count_records())} sentences; people's ratings for {count(gold)}")
            terminal.say("model: Gemma 3 270M, 4 bits, in this process; no key, no network\n")
        result = project.annotate(on_progress=lambda progress: terminal.progress(progress_line(progress)))
        terminal.progress("", last=True)
        quiet = Terminal(as_json=True) if terminal.as_json else terminal
        if not terminal.as_json:
            shown.annotated(terminal, result, limited=False)
        learned = project.learn("student")
        report = folder / "report.html"
        headline = project.report(report)
        if not terminal.as_json:
            terminal.say("")
            shown.learned(quiet, learned)
            terminal.say(f"\n{headline}", style="bold")
            terminal.say(f"report: {report.resolve()}")
            terminal.say(f"{duration(time.monotonic() - started)} in all; go on with: postil status --project {folder}")
        terminal.result(
            {
                "annotate": result.to_json(),
                "assess": assessment_json(learned.teacher_assessment),
                "student": assessment_json(learned.student_assessment),
                "report": str(report.resolve()),
                "seconds": round(time.monotonic() - started, 3),
            }
        )


def _project(folder: Path) -> Project:
    if (folder / FILE_NAME).exists():
        return Project(folder)
    if folder.exists() and any(folder.iterdir()):
        raise SettingsError(f"{folder}: expected an empty folder or an earlier demo", hint="postil demo OTHER-DIR")
    folder.mkdir(parents=True, exist_ok=True)
    items = folder / "reviews.jsonl"
    with as_file(product_reviews()) as shipped:
        shutil.copyfile(shipped, items)
    return Project.create(folder, _TASK, items=items, gold="label", annotators={"small": _ANNOTATOR})
