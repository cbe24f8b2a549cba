"""Students: trained on an annotator's annotations, measured beside it on gold that neither has seen."""

import logging
import math
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from postil.assess.assessment import assess
from postil.assess.comparison import compare
from postil.canonical import digest
from postil.errors import DataError, InputError, RecordRejected, SettingsError
from postil.learn.embeddings import default_embedder
from postil.learn.student import Student, train_student
from postil.project.assessing import assess_annotator
from postil.project.gold import measuring_gold
from postil.store import Journal
from postil.store.rows import now
from postil.tasks import VALUE_SCALES, CompoundTask, Task
from postil.tasks.reading import fold
from postil.tasks.shown import Shown
from postil.types import JSON, Annotation, Answer, Assessment, Confidence, Estimate, Outcome, Record

_SEED: Final = 20240221
_log = logging.getLogger("postil")


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
    """Student's accuracy minus teacher's, paired, on gold that both answered; of ratings, mean absolute error."""
    notes: tuple[str, ...]

    @property
    def engine(self) -> str:
        """What `engine` must say in postil.toml, or to `annotate`, to label with it."""
        return f"student:students/{self.path.name}"

    def to_json(self) -> dict[str, JSON]:
        """Return what `postil learn student --json` prints."""
        from postil.project.output import assessment_json, estimate_json  # noqa: PLC0415

        return {
            "student": str(self.path),
            "engine": self.engine,
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


@dataclass(slots=True)
class _Lessons:
    texts: list[str]
    targets: list[Mapping[str, float]]
    gold_used: int


def student_folder(project: Path, name: str) -> Path:
    """Return the folder of a student.

    Raises:
        SettingsError: the name cannot be that of one folder.
    """
    if name in ("", ".", "..") or any(mark in name for mark in "/\\\0"):
        raise SettingsError(
            f"expected the name of a folder under students/, got {name!r}", hint="give another: --name NAME"
        )
    return project / "students" / name


def learn_student(journal: Journal, task: Task, teacher: str, name: str, path: Path) -> StudentResult:
    """Train a student on the annotations of a teacher, given by id and name; save it and measure both.

    It learns from the annotations with their probabilities, and from gold that prompts may show (survey 0.09 to 0.12,
    3.10). Texts that stand in the measuring gold, in any folding, are left out of training.

    Raises:
        DataError: there is too little to learn from.
        SettingsError: students cannot learn this kind, or something else has the student's place.
    """
    if task.scale not in VALUE_SCALES or isinstance(task, CompoundTask):
        raise SettingsError(
            f"expected a task with one plain answer about one text, got the kind {task.kind!r}",
            hint="students of structures are not built yet; label with the annotator itself",
        )
    held_out = measuring_gold(journal)
    lessons = _lessons(journal, task, teacher, held_out)
    if not lessons.texts:
        raise DataError(
            f"expected annotations of {name!r} on records outside the measuring gold, got none",
            hint="run `postil annotate` first, and leave some records without gold to learn from",
        )
    embedder, note = default_embedder(lessons.texts)
    student = train_student(
        lessons.texts,
        lessons.targets,
        labels=task.labels,
        embedder=embedder,
        seed=_SEED,
        task_version=digest(task.spec),
        teacher=teacher,
        trained_at=now(),
    )
    _save(student, path)
    outcomes = student_outcomes(journal, task, student, held_out, name="student")
    answers = {s.outcome.record: s.outcome for s in journal.outcomes(teacher) if s.outcome.record in held_out}
    result = StudentResult(
        path=path,
        teacher=name,
        trained_on=len(lessons.texts) - lessons.gold_used,
        gold_used=lessons.gold_used,
        teacher_assessment=assess_annotator(journal, task, teacher, name=name),
        student_assessment=_assess_student(journal, task, outcomes, held_out),
        difference=compare(task, outcomes, answers, held_out, rng=np.random.default_rng(_SEED)),
        notes=tuple(filter(None, (note, *student.notes))),
    )
    # The folder moves with the project, so its name is kept, not its path.
    journal.add_event("student", teacher, {"name": path.name, "trained_on": result.trained_on})
    return result


def assess_newest_student(journal: Journal, task: Task, teacher: str) -> Assessment | None:
    """Return the assessment of a teacher's newest student, `None` if there is none or it cannot be loaded any more."""
    event = journal.latest_event("student", teacher)
    if event is None:
        return None
    try:
        student = Student.load(student_folder(journal.path.parent, event["name"]))
    except InputError as error:
        _log.warning("the student is left out: %s", error)
        return None
    held_out = measuring_gold(journal)
    outcomes = student_outcomes(journal, task, student, held_out, name="student")
    return _assess_student(journal, task, outcomes, held_out)


def student_outcomes(
    journal: Journal, task: Task, student: Student, gold: Mapping[str, Answer], *, name: str
) -> dict[str, Outcome]:
    """Return the student's annotation of every gold record that can be shown."""
    shown = Shown.parse(task.show)
    records = list(_shown_texts(shown, journal.some_records(sorted(gold))))
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


def _lessons(journal: Journal, task: Task, teacher: str, held_out: Mapping[str, Answer]) -> _Lessons:
    shown = Shown.parse(task.show)
    unseen = {fold(text) for _, text in _shown_texts(shown, journal.some_records(sorted(held_out)))}
    gold, roles = journal.gold(), journal.gold_roles()
    lessons = _Lessons([], [], 0)
    for stored in journal.outcomes(teacher):
        outcome = stored.outcome
        if not isinstance(outcome, Annotation) or outcome.record in held_out:
            continue
        for record, text in _shown_texts(shown, journal.some_records([outcome.record])):
            if fold(text) in unseen:
                continue
            of_gold = "demonstration" in roles.get(record.id, ())
            lessons.gold_used += of_gold
            lessons.texts.append(text)
            lessons.targets.append(_target(task, gold[record.id]) if of_gold else _teaching(task, outcome))
    return lessons


def _shown_texts(shown: Shown, records: Iterable[Record]) -> Iterator[tuple[Record, str]]:
    """Yield records with what they show, those left out that show nothing."""
    for record in records:
        try:
            yield record, shown.render(record)
        except RecordRejected:
            continue


def _teaching(task: Task, annotation: Annotation) -> Mapping[str, float]:
    return annotation.probabilities or _target(task, annotation.answer)


def _target(task: Task, answer: Answer) -> Mapping[str, float]:
    """Return an answer as a target over the labels; a rating between two points is shared between them."""
    value = task.value(answer)
    if isinstance(value, str):
        return {value: 1.0}
    below = math.floor(value)
    share = value - below
    return {str(below): 1 - share} | ({str(below + 1): share} if share else {})


def _save(student: Student, path: Path) -> None:
    """Save beside the old one first, so that under the name there is a whole student or none."""
    if path.exists() and not (path / "student.json").exists():
        raise SettingsError(f"{path}: expected no folder or an earlier student, got something else", hint="--name NAME")
    fresh, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for left in (fresh, old):
            shutil.rmtree(left, ignore_errors=True)
        student.save(fresh)
        if path.exists():
            path.rename(old)
        fresh.rename(path)
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise SettingsError(f"{path}: the student cannot be saved: {error.strerror}") from None
