"""Students: trained on an annotator's annotations, measured beside it on gold that neither has seen."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from postil.assess.assessment import assess
from postil.assess.comparison import compare
from postil.canonical import digest
from postil.errors import DataError, RecordRejected
from postil.learn.embeddings import default_embedder
from postil.learn.student import Student, train_student
from postil.project.assessing import assess_annotator
from postil.project.importing import measuring_gold
from postil.runner import PromptedAnnotator
from postil.store import Journal
from postil.store.journal import now
from postil.tasks import Task
from postil.tasks.reading import fold
from postil.tasks.shown import Shown
from postil.types import JSON, Annotation, Answer, Assessment, Confidence, Estimate, Outcome, Record

_SEED: Final = 20240221


@dataclass(frozen=True, slots=True)
class StudentResult:
    """A student, how it was trained, and its figures beside its teacher's on the same held-out gold."""

    path: Path
    teacher: str
    trained_on: int
    """Annotations of the teacher that it learned from."""
    gold_used: int
    """Gold demonstrations among what it learned from."""
    teacher_assessment: Assessment
    student_assessment: Assessment
    difference: Estimate | None
    """Student's accuracy minus teacher's, paired, on gold that both answered."""
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, JSON]:
        """Return what `postil learn student --json` prints."""
        from postil.project.output import assessment_json, estimate_json  # noqa: PLC0415

        return {
            "student": str(self.path),
            "teacher": self.teacher,
            "trained_on": self.trained_on,
            "gold_used": self.gold_used,
            "assessments": {
                "teacher": assessment_json(self.teacher_assessment),
                "student": assessment_json(self.student_assessment),
            },
            "difference": estimate_json(self.difference),
            "notes": list(self.notes),
        }


@dataclass(frozen=True, slots=True)
class _Lessons:
    texts: list[str]
    targets: list[Mapping[str, float]]
    gold_used: int


def learn_student(journal: Journal, annotator: PromptedAnnotator, path: Path) -> StudentResult:
    """Train a student, save it at `path`, and measure it (survey 0.09 to 0.12, 3.10).

    It learns from the annotator's annotations with their probabilities, and from gold that prompts may show.
    Texts that stand in the measuring gold, in any folding, are left out of training.

    Raises:
        DataError: there is too little to learn from.
    """
    task = annotator.task
    held_out = measuring_gold(journal)
    lessons = _lessons(journal, annotator, held_out)
    if not lessons.texts:
        raise DataError(
            f"expected annotations of {annotator.name!r} on records outside the measuring gold, got none",
            hint="run `postil annotate` first",
        )
    embedder, note = default_embedder(lessons.texts)
    student = train_student(
        lessons.texts,
        lessons.targets,
        labels=task.labels,
        embedder=embedder,
        seed=_SEED,
        task_version=digest(task.spec),
        teacher=annotator.id,
        trained_at=now(),
    )
    _replace(student, path)
    teacher = assess_annotator(journal, task, annotator.id, name=annotator.name)
    outcomes = student_outcomes(journal, task, student, held_out, name="student")
    measured = _assess_student(journal, task, outcomes, held_out)
    answers = {s.outcome.record: s.outcome for s in journal.outcomes(annotator.id) if s.outcome.record in held_out}
    difference = compare(task, outcomes, answers, held_out, rng=np.random.default_rng(_SEED))
    result = StudentResult(
        path, annotator.name, len(lessons.texts) - lessons.gold_used, lessons.gold_used, teacher, measured,
        difference, tuple(filter(None, (note, *student.notes))),
    )  # fmt: skip
    journal.add_event("student", annotator.id, {"path": str(path.resolve()), "trained_on": result.trained_on})
    return result


def assess_saved_student(journal: Journal, annotator: PromptedAnnotator) -> Assessment | None:
    """Return the assessment of the newest student of an annotator, `None` if there is none or its files are gone."""
    event = journal.latest_event("student", annotator.id)
    if event is None or not Path(event["path"]).exists():
        return None
    held_out = measuring_gold(journal)
    student = Student.load(Path(event["path"]))
    outcomes = student_outcomes(journal, annotator.task, student, held_out, name="student")
    return _assess_student(journal, annotator.task, outcomes, held_out)


def student_outcomes(
    journal: Journal, task: Task, student: Student, gold: Mapping[str, Answer], *, name: str
) -> dict[str, Outcome]:
    """Return the student's annotation of every gold record that can be shown."""
    shown = Shown.parse(task.show)
    records: list[tuple[Record, str]] = []
    for record in journal.some_records(sorted(gold)):
        try:
            records.append((record, shown.render(record)))
        except RecordRejected:
            continue
    if not records:
        return {}
    odds = student.predict_probabilities([text for _, text in records])
    return {record.id: _annotation(task, record, row, name) for (record, _), row in zip(records, odds, strict=True)}


def _annotation(
    task: Task, record: Record, odds: "np.ndarray[tuple[int], np.dtype[np.floating]]", name: str
) -> Annotation:
    probabilities = {label: float(p) for label, p in zip(task.labels, odds, strict=True)}
    best = max(probabilities, key=probabilities.__getitem__)
    answer = task.accept({task.answer_keys[0]: best})
    return Annotation(record.id, name, answer, Confidence(probabilities[best], "student"), probabilities)


def _assess_student(
    journal: Journal, task: Task, outcomes: Mapping[str, Outcome], held_out: Mapping[str, Answer]
) -> Assessment:
    return assess(
        task,
        annotator="student",
        outcomes=outcomes,
        gold=held_out,
        records=journal.count_records(),
        rng=np.random.default_rng(_SEED),
    )


def _lessons(journal: Journal, annotator: PromptedAnnotator, held_out: Mapping[str, Answer]) -> _Lessons:
    task = annotator.task
    shown = Shown.parse(task.show)
    unseen = {
        fold(shown.render(record)) for record in journal.some_records(sorted(held_out)) if _can_show(shown, record)
    }
    gold, roles = journal.gold(), journal.gold_roles()
    texts: list[str] = []
    targets: list[Mapping[str, float]] = []
    gold_used = 0
    for stored in journal.outcomes(annotator.id):
        outcome = stored.outcome
        if not isinstance(outcome, Annotation) or outcome.record in held_out:
            continue
        [record] = journal.some_records([outcome.record])
        text = shown.render(record)
        if fold(text) in unseen:
            continue
        shown_gold = "demonstration" in roles.get(record.id, ())
        gold_used += shown_gold
        texts.append(text)
        targets.append(_gold_target(task, gold[record.id]) if shown_gold else _target(task, outcome))
    return _Lessons(texts, targets, gold_used)


def _can_show(shown: Shown, record: Record) -> bool:
    try:
        shown.render(record)
    except RecordRejected:
        return False
    return True


def _target(task: Task, annotation: Annotation) -> Mapping[str, float]:
    return annotation.probabilities or {task.describe(annotation.answer): 1.0}


def _gold_target(task: Task, answer: Answer) -> Mapping[str, float]:
    """Return gold as a target over the labels; a rating between two points is shared between them."""
    value = task.value(answer)
    if isinstance(value, str):
        return {value: 1.0}
    below = int(np.floor(value))
    share = value - below
    return {str(below): 1 - share} | ({str(below + 1): share} if share else {})


def _replace(student: Student, path: Path) -> None:
    """Save under a name of its own first, so that a student is whole or not there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    student.save(fresh)
    shutil.rmtree(path, ignore_errors=True)
    fresh.rename(path)
