"""Outcomes and gold handed to `assess` as plain values, and the report made of what it returns."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from postil._version import __version__
from postil.assess.assessment import assess
from postil.assess.marks import labels_in, marks_in
from postil.assess.ratings import nearest
from postil.assess.report import Doubtful, Expense, OutcomeCounts, Question, Report
from postil.assess.structures import comparing
from postil.errors import RecordRejected
from postil.learn.candidates import candidate_recall
from postil.project.gold import measuring_gold
from postil.project.running import tally
from postil.store import Journal
from postil.store.rows import now
from postil.tasks import VALUE_SCALES, CompoundTask, Task
from postil.tasks.alignment import METHODS
from postil.tasks.shown import Shown
from postil.types import JSON, Annotation, Answer, Assessment, CandidateSelector, Confidence, Outcome

_MOST_DOUBTFUL: Final = 20
_LEVEL: Final = 0.95

# Intervals by bootstrap are the same for the same data, whenever they are made.
_SEED: Final = 20240221


def assess_annotator(
    journal: Journal, task: Task, annotator: str, *, name: str, candidates: CandidateSelector | None = None
) -> Assessment:
    """Return how good an annotator's annotations are, on gold that was never shown in a prompt.

    Where its prompts offered `candidates` only, how often the gold labels were among them is measured too.
    """
    gold = measuring_gold(journal)
    outcomes = {s.outcome.record: s.outcome for s in journal.outcomes(annotator) if s.outcome.record in gold}
    assessment = assess(
        task,
        annotator=name,
        outcomes=outcomes,
        gold=gold,
        records=journal.count_records(),
        rng=np.random.default_rng(_SEED),
    )
    return assessment if candidates is None else _with_recall(assessment, journal, candidates, gold)


def _with_recall(
    assessment: Assessment, journal: Journal, candidates: CandidateSelector, gold: Mapping[str, Answer]
) -> Assessment:
    solved = ((record, gold[record.id]) for record in journal.some_records(sorted(gold)))
    recall = candidate_recall(candidates, solved, level=_LEVEL)
    if recall is None:
        return assessment
    return replace(assessment, metrics={**assessment.metrics, "candidate_recall": recall})


def build_report(
    journal: Journal,
    task: Task,
    annotator: str,
    *,
    name: str,
    assessments: Sequence[Assessment],
    price_date: str | None,
    provenance: Sequence[tuple[str, str]],
) -> Report:
    """Return everything that the report of an annotator shows."""
    counts, spending = tally(journal, annotator), journal.spending(annotator=annotator)
    seen = _Seen(journal, task)
    for stored in journal.outcomes(annotator):
        seen.add(stored.outcome)
    return Report(
        title=task.name,
        question=Question(task.name, task.kind, task.instruction, task.labels),
        outcomes=OutcomeCounts(
            counts.records, counts.labelled, counts.abstained, counts.failed, counts.pending, counts.failures
        ),
        expense=Expense(
            usd=spending.usd,
            unseen_usd=journal.unseen().usd,
            price_date=price_date,
            input_tokens=spending.input_tokens,
            output_tokens=spending.output_tokens,
            cached_tokens=spending.cached_tokens,
            requests=spending.requests,
            resent=spending.resent,
            seconds=journal.seconds_run(annotator),
        ),
        generated_at=now(),
        version=__version__,
        assessments=tuple(assessments),
        distribution=seen.distribution(),
        confidences=tuple(seen.confidences),
        doubtful=seen.doubtful(),
        provenance=(*provenance, *seen.placings()),
        names={assessment.annotator: assessment.annotator for assessment in assessments} | {annotator: name},
    )


class _Seen:
    """What a report needs of all annotations, gathered in one pass that keeps only the most doubtful."""

    def __init__(self, journal: Journal, task: Task) -> None:
        self._journal = journal
        self._task = task
        self._gold = journal.gold()
        self._labels: Counter[str] = Counter()
        self._least: list[tuple[float, Annotation]] = []
        self._methods: Counter[str] = Counter()
        self.confidences: list[Confidence] = []

    def add(self, outcome: Outcome) -> None:
        if not isinstance(outcome, Annotation):
            return
        self._labels.update(labels_in(self._task, outcome.answer))
        self._methods.update((outcome.placings or {}).values())
        if outcome.confidence is not None:
            self.confidences.append(outcome.confidence)
            self._least.append((outcome.confidence.value, outcome))
            if len(self._least) > 50 * _MOST_DOUBTFUL:
                self._cut()

    def _cut(self) -> None:
        self._least.sort(key=lambda pair: (pair[0], pair[1].record))
        del self._least[_MOST_DOUBTFUL:]

    def distribution(self) -> Mapping[str, int]:
        order = {label: i for i, label in enumerate(self._task.labels)}
        return dict(sorted(self._labels.items(), key=lambda pair: order.get(pair[0], len(order))))

    def placings(self) -> Sequence[tuple[str, str]]:
        """Return how the quotes of all annotations were found, as a line of the report; none without quotes."""
        ways = [f"{self._methods[method]:,} {method}" for method in METHODS if self._methods[method]]
        return [("Quotes found", ", ".join(ways))] if ways else []

    def doubtful(self) -> tuple[Doubtful, ...]:
        self._cut()
        return tuple(self._described(confidence, annotation) for confidence, annotation in self._least)

    def _described(self, confidence: float, annotation: Annotation) -> Doubtful:
        [record] = self._journal.some_records([annotation.record])
        try:
            asked = self._task.part_record(0, record, ()) if isinstance(self._task, CompoundTask) else record
            text = Shown.parse(self._task.show).render(asked)
        except RecordRejected:
            text = ""
        gold = self._gold.get(record.id)
        return Doubtful(
            id=record.id,
            text=text,
            answer=self._task.describe(annotation.answer),
            reason=_doubt(annotation),
            confidence=confidence,
            gold=None if gold is None else self._task.describe(gold),
            marks=marks_in(self._task, annotation.answer, record) if text else (),
            gold_marks=() if gold is None or not text else marks_in(self._task, gold, record),
            right=None if gold is None else _right(self._task, gold, annotation.answer),
        )


def _right(task: Task, gold: Answer, answer: Answer) -> bool:
    """Return whether an answer counts as gold's as a whole, as it does where figures are made."""
    if task.scale not in VALUE_SCALES:
        return comparing(task)(task, gold, answer).right
    true, said = task.value(gold), task.value(answer)
    if isinstance(true, str) or isinstance(said, str):
        return true == said
    return bool(nearest([true], [said], points=[float(point) for point in task.labels])[0])


def _doubt(annotation: Annotation) -> str:
    odds = sorted((annotation.probabilities or {}).items(), key=lambda pair: -pair[1])
    if len(odds) < 2:
        return _weakest_part(annotation)
    (first, p), (second, q) = odds[:2]
    return f"{first} {p:.2f} against {second} {q:.2f}"


def _weakest_part(annotation: Annotation) -> str:
    parts = annotation.part_confidences or {}
    if len(parts) < 2:
        return "low confidence"
    weakest = min(parts, key=lambda part: parts[part])
    return f"least sure: {_in_words(annotation.answer, weakest)} {parts[weakest]:.2f}"


def _in_words(answer: Answer, part: str) -> str:
    """Return what a part of an answer says, in a few words: `part` is its place, like "spans/0"."""
    name, _, at = part.partition("/")
    held: JSON = answer.get(name)
    if not isinstance(held, list) or not at.isdecimal():
        return at or name
    said: JSON = held[int(at)]
    if not isinstance(said, Mapping):
        return str(said)
    place = said.get("predicate", said)
    words = (said.get("label"), said.get("relation"), place.get("text"))
    return " ".join(str(word) for word in words if word is not None)
