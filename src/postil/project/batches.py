"""Labelling by batches: the same project, journal and budget, another lane."""

import random
from collections.abc import Callable, Collection, Iterable
from dataclasses import replace

from postil.engines.batch import OpenAIBatches
from postil.engines.openai import OpenAIEngine
from postil.errors import SettingsError
from postil.project.running import Terms
from postil.runner import Progress, PromptedAnnotator, RunSummary, Stoppable
from postil.runner.batch import BatchPolicy, BatchRunner
from postil.store import Journal
from postil.types import Record


async def run_in_batches(
    journal: Journal,
    annotator: PromptedAnnotator,
    terms: Terms,
    policy: BatchPolicy,
    pending: Callable[[], Iterable[Record]],
    total: int,
    *,
    held: Collection[str] = (),
    on_progress: Callable[[Progress], None] | None,
    on_start: Callable[[Stoppable], None] | None,
) -> RunSummary:
    """Carry an annotator through records by batches, but for requests that are `held`; call it under the run's lock.

    The prior is measured live first, where the annotator corrects for one: every label depends on it.

    Raises:
        SettingsError: the engine has no batch lane, or a budget in dollars has no price for it.
    """
    engine = annotator.engine
    if not isinstance(engine, OpenAIEngine):
        raise SettingsError(f"annotator {annotator.name!r}: only the engine openai has a batch lane")
    price = None if terms.price is None else terms.price.in_batches()
    if terms.budget.usd is not None and price is None:
        raise SettingsError(
            f"annotator {annotator.name!r}: the budget is in dollars, and the price of its batch lane unknown",
            hint="give its share of the price: price = { …, batch = 0.5 }",
        )
    before = journal.spending()
    live = terms.runner(journal, annotator, held=held)
    if on_start:
        on_start(live)
    measured = await live.run((), 0)
    if measured.stopped is not None:
        return measured
    batches = OpenAIBatches(engine)
    try:
        runner = BatchRunner(
            journal,
            live.annotator,
            batches,
            rng=random.Random(annotator.id),
            budget=terms.budget,
            price=price,
            policy=policy,
            held=held,
            on_progress=on_progress,
        )
        if on_start:
            on_start(runner)
        summary = await runner.run(pending, total)
        # What was collected for requests of earlier runs has come in this one.
        return replace(summary, spending=journal.spending().since(before))
    finally:
        await batches.aclose()
