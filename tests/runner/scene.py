"""A small project for the runner: records with a nonce each, an engine whose answer is a function of it."""

import hashlib
import random
import re
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from postil.engines.scripted import Reply, ScriptedEngine
from postil.prompts import Prompt
from postil.runner import Policy, PromptedAnnotator, Runner, RunSummary
from postil.store import Journal
from postil.tasks.classification import Classification
from postil.types import Annotation, Capabilities, Engine, Failure, Outcome, Record, Request

LABELS = ("negative", "neutral", "positive")
TASK = Classification("tone", "What is the tone?", labels=LABELS)
QUICK = Policy(concurrency=4, attempts=3, first_wait=0.001)


def record(number: int) -> Record:
    return Record(f"r{number}", {"text": f"text nonce-{number}"})


def truth(text: str) -> str:
    """The one right answer about a text: pairing a reply with another record gives it away."""
    [nonce] = set(re.findall(r"nonce-\d+", text))
    return LABELS[hashlib.sha256(nonce.encode()).digest()[0] % len(LABELS)]


def asked_about(request: Request) -> str:
    """The text that a request is about."""
    return request.messages[-1].content


def right(request: Request) -> str:
    return truth(asked_about(request))


def engine(reply: Callable[[Request], Reply] = right, **options: Any) -> ScriptedEngine:
    return ScriptedEngine(reply, **options)


def annotator(engine: Engine, **options: Any) -> PromptedAnnotator:
    """One request for each record: what a repair adds has tests of its own."""
    told: dict[str, Any] = {"repairs": 0} | options
    return PromptedAnnotator("double", TASK, engine, (Prompt.for_engine(TASK, engine.capabilities),), **told)


@contextmanager
def journal(folder: Path, records: Iterable[Record] | int = 0) -> Generator[Journal, None, None]:
    opened = Journal(folder / "postil.db")
    given = map(record, range(records)) if isinstance(records, int) else records
    opened.add_records((each, "here") for each in given)
    try:
        yield opened
    finally:
        opened.close()


def runner(journal: Journal, annotator: PromptedAnnotator, **options: Any) -> Runner:
    options = {"policy": QUICK} | options
    journal.add_annotator(annotator.name, annotator.spec)
    return Runner(journal, annotator, rng=random.Random(0), **options)


async def run(journal: Journal, annotator: PromptedAnnotator, **options: Any) -> RunSummary:
    """Carry an annotator through all that is pending."""
    return await runner(journal, annotator, **options).run(journal.pending(annotator.id), 0)


def outcomes(journal: Journal, annotator: PromptedAnnotator) -> dict[str, Outcome]:
    """The outcomes by record, having seen that there is one each."""
    found = [stored.outcome for stored in journal.outcomes(annotator.id)]
    by_record = {outcome.record: outcome for outcome in found}
    assert len(by_record) == len(found)
    assert journal.count_pending(annotator.id) == journal.count_records() - len(found)
    return by_record


def labels(journal: Journal, annotator: PromptedAnnotator) -> dict[str, str]:
    """The labels by record; failures by their class."""
    found: dict[str, str] = {}
    for id_, outcome in outcomes(journal, annotator).items():
        if isinstance(outcome, Annotation):
            found[id_] = str(outcome.answer["label"])
        else:
            found[id_] = outcome.failure_class if isinstance(outcome, Failure) else "abstained"
    return found


def all_right(journal: Journal) -> dict[str, str]:
    """The labels that every record should have."""
    return {record.id: truth(str(record.fields["text"])) for record in journal.records()}


SCORED = Capabilities(scores="sequence", free=True)
