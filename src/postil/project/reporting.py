"""The report of an annotator, written to a file."""

import json
from collections.abc import Sequence
from pathlib import Path

from postil.assess.report import headline, render_report
from postil.formats import output
from postil.project.assessing import assess_annotator, build_report
from postil.project.students import assess_newest_student
from postil.runner import Price, PromptedAnnotator
from postil.store import Journal
from postil.tasks import Task


def write_report(
    journal: Journal,
    task: Task,
    id_: str,
    name: str,
    annotator: PromptedAnnotator | None,
    price: Price | None,
    path: Path,
) -> str:
    """Write the report and return its headline; the file is whole or as it was before.

    Raises:
        MissingExtraError: an extra is not installed.
    """
    candidates = annotator.candidates if annotator else None
    assessments = [assess_annotator(journal, task, id_, name=name, candidates=candidates)]
    student = assess_newest_student(journal, task, id_)
    if student is not None:
        assessments.append(student)
    report = build_report(
        journal,
        task,
        id_,
        name=name,
        assessments=assessments,
        price_date=price.date if price else None,
        provenance=_provenance(journal, id_, name, annotator),
    )
    page = render_report(report)
    with output(path) as file:
        file.write(page.encode("utf-8", "backslashreplace"))
    return headline(report)


def _provenance(
    journal: Journal, id_: str, name: str, annotator: PromptedAnnotator | None
) -> Sequence[tuple[str, str]]:
    """Return how the labels were made, as name and value."""
    lines = [("Annotator", f"{name}, {id_}")]
    if annotator is not None:
        spec = annotator.spec
        lines += [
            ("Engine", json.dumps(spec["engine"], ensure_ascii=False)),
            ("Template", f"{spec['template']}; answer as {spec['answer']}"),
            (
                "Demonstrations",
                json.dumps(spec["demonstrations"], ensure_ascii=False) if annotator.selector else "none",
            ),
            ("Sampling", json.dumps(spec["sampling"])),
            ("Prior", _prior(journal, annotator)),
        ]
    roles = [role for held in journal.gold_roles().values() for role in held]
    counts = ", ".join(f"{roles.count(role)} {role}" for role in sorted(set(roles)))
    return [*lines, ("Gold by role", counts or "no gold")]


def _prior(journal: Journal, annotator: PromptedAnnotator) -> str:
    event = journal.latest_event("prior", annotator.id)
    if event is None or event["prior"] is None:
        return f"not corrected for ({annotator.calibration})"
    choices = annotator.prompts[0].form.choices
    shares = ", ".join(f"{choice} {share:.3f}" for choice, share in zip(choices, event["prior"], strict=True))
    return f"{event['method']} calibration on n = {event['n']}: {shares}"
