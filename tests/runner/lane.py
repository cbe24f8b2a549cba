"""The batch lane over a real server on 127.0.0.1, for the tests of it."""

import random
from typing import Any

from postil.engines.batch import OpenAIBatches
from postil.engines.openai import OpenAIEngine
from postil.project.verifying import Verifier
from postil.runner import PromptedAnnotator, RunSummary
from postil.runner.batch import BatchPolicy, BatchRunner
from postil.runner.money import Price
from postil.store import Journal
from tests.fake_batches import BatchServer
from tests.fake_server import Asked, Reply
from tests.runner import scene

QUICK = BatchPolicy(first_poll=0.001, longest_poll=0.002)
PRICE = Price(1.0, 2.0)


def right(asked: Asked) -> Reply:
    # A repair shows the question further up.
    [text] = [m["content"] for m in asked.body["messages"] if "nonce-" in m["content"]]
    return Reply(scene.truth(text))


def annotator(server: BatchServer, **options: Any) -> PromptedAnnotator:
    return scene.annotator(OpenAIEngine(base_url=server.base_url, model="m", log_probs=False), **options)


async def run(journal: Journal, double: PromptedAnnotator, **options: Any) -> RunSummary:
    journal.add_annotator(double.name, double.spec)
    engine = double.engine
    assert isinstance(engine, OpenAIEngine)
    batches = OpenAIBatches(engine)
    options = {"policy": QUICK, "price": PRICE} | options
    try:
        lane = BatchRunner(journal, double, batches, rng=random.Random(0), **options)
        return await lane.run(lambda: journal.pending(double.id), journal.count_pending(double.id))
    finally:
        await batches.aclose()


async def live(journal: Journal, double: PromptedAnnotator, **options: Any) -> None:
    await scene.run(journal, double, **options)
    await double.engine.aclose()


def sound(journal: Journal, double: PromptedAnnotator) -> None:
    found = Verifier(journal, {double.id: double}).verify()
    assert found.problems == ()
