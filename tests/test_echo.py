"""Every kind on real gold, through the whole of Postil: echoed gold is perfect, other records' gold is not.

The sets stand beside the repository and cannot be shipped; without them the tests are skipped.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.subjects import SUBJECTS, Pairs, Subject
from postil.assess import assess
from postil.engines.scripted import ScriptedEngine
from postil.project.annotators import build_annotator, described
from postil.runner import Interview, PromptedAnnotator
from postil.tasks import CompoundTask, Task
from postil.types import Annotation, Answer, Assessment, Capabilities, Completion, Outcome, Record, Usage

DATA = Path(__file__).resolve().parents[1] / "../shared/data"
N = 60
ENGINES: Mapping[str, Capabilities] = {
    "plain": Capabilities(free=True),
    "schema": Capabilities(schema=True, free=True),
    "scored": Capabilities(scores="sequence", schema=True, free=True),
}

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="the shared data is not beside the repository")


def loaded(subject: Subject) -> tuple[Task, Pairs]:
    solved, tested = (subject.pairs(DATA / subject.folder / subject.set / f"{part}.jsonl") for part in ("pool", "test"))
    task = subject.task(solved)
    fitting = [(record, answer) for record, answer in tested if _fits(task, answer, record)]
    assert len(fitting) > 0.98 * len(tested), "gold outside the label set of the pool is rare"
    chosen = random.Random(0).sample(fitting, min(N, len(fitting)))
    return task, [(record, task.accept(answer, record)) for record, answer in chosen]


def _fits(task: Task, answer: Answer, record: Record) -> bool:
    try:
        task.accept(answer, record)
    except Exception:
        return False
    return True


def annotator_of(task: Task, capabilities: Capabilities) -> PromptedAnnotator:
    engine = ScriptedEngine(lambda _: "", capabilities=capabilities)
    settings = described(engine, {"calibrate": "none", "repairs": 0})
    return build_annotator("double", settings, task, engine, [])


def parts_of(task: Task) -> tuple[Task, ...]:
    return task.parts if isinstance(task, CompoundTask) else (task,)


def outcome(annotator: PromptedAnnotator, record: Record, say: Callable[[Task, int, Record], str]) -> Outcome:
    """Answer all that is asked about a record, as an engine would."""
    interview = Interview(annotator, record)
    answers: list[Answer] = []
    at = 0
    while interview.asked is not None:
        task, part = annotator.task, parts_of(annotator.task)[at]
        shown = task.part_record(at, record, answers) if isinstance(task, CompoundTask) else record
        text = say(part, at, shown)
        form = annotator.prompts[at].form
        odds = None
        if form.choices and annotator.engine.capabilities.scores != "none":
            odds = tuple(0.9 if choice == text else 0.1 / (len(form.choices) - 1) for choice in form.choices)
        completion = Completion(text, "stop", Usage(1, 1), choice_probabilities=odds)
        reading = part.read(completion, form, shown)
        assert reading.answer is not None
        answers.append(reading.answer)
        interview.take(completion)
        at += 1
    assert interview.outcome is not None
    return interview.outcome


def assessed(task: Task, gold: Mapping[str, Answer], outcomes: Mapping[str, Outcome]) -> Assessment:
    return assess(
        task, annotator="double", outcomes=outcomes, gold=gold, records=len(gold), rng=np.random.default_rng(0)
    )


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", SUBJECTS)
def test_an_engine_that_echoes_gold_is_right_everywhere(name: str, engine: str) -> None:
    task, pairs = loaded(SUBJECTS[name])
    annotator = annotator_of(task, ENGINES[engine])
    gold = {record.id: answer for record, answer in pairs}

    def say(part: Task, at: int, shown: Record) -> str:
        whole = gold[shown.id]
        answer = task.part_answer(at, whole) if isinstance(task, CompoundTask) else whole
        return part.write(answer, annotator.prompts[at].form, shown)

    outcomes = {record.id: outcome(annotator, record, say) for record, _ in pairs}
    assert all(isinstance(each, Annotation) for each in outcomes.values())
    found = assessed(task, gold, outcomes)
    for metric in SUBJECTS[name].metrics:
        perfect = 0.0 if metric == "mae" else 1.0
        assert metric in found.metrics, (metric, sorted(found.metrics), found.notes)
        # A rating is a point of the scale, its gold the mean of many.
        if task.kind == "rating":
            continue
        assert found.metrics[metric].value == pytest.approx(perfect), metric


@pytest.mark.parametrize("name", [name for name in SUBJECTS if SUBJECTS[name].folder != "ratings"])
def test_gold_of_other_records_is_mostly_wrong(name: str) -> None:
    """Shuffled answers must not measure well: a metric that a constant or a shuffle satisfies measures nothing."""
    task, pairs = loaded(SUBJECTS[name])
    turned = [*pairs[1:], pairs[0]]
    gold = {record.id: answer for record, answer in pairs}
    outcomes: dict[str, Outcome] = {
        record.id: Annotation(record.id, "double", other) for (record, _), (_, other) in zip(pairs, turned, strict=True)
    }
    found = assessed(task, gold, outcomes)
    metric: Any = found.metrics.get(SUBJECTS[name].metrics[0])
    assert metric is not None
    assert metric.value < 0.8, metric


def test_a_repeated_request_of_a_compound_task_is_not_the_first_one() -> None:
    task, pairs = loaded(SUBJECTS["llmbar"])
    annotator = annotator_of(task, ENGINES["plain"])
    interview = Interview(annotator, pairs[0][0])
    first = interview.asked
    assert first is not None
    interview.take(Completion("a", "stop", Usage(1, 1)))
    assert interview.asked is not None
    assert interview.asked.request != replace(first.request)
