"""The process that `test_kill.py` kills: a run whose engine bills every request it has answered.

    python killed.py FOLDER RECORDS

The billing log is written and synced when a reply is made, before anybody receives it: it is what a provider would
put on the invoice, whatever became of the reply.
"""

import asyncio
import hashlib
import os
import random
import re
import sys
from pathlib import Path

from postil.engines.scripted import ScriptedEngine
from postil.prompts import Prompt
from postil.runner import Policy, PromptedAnnotator, Runner
from postil.store import Journal
from postil.tasks.classification import Classification
from postil.types import Completion, Record, Request, Usage

LABELS = ("negative", "neutral", "positive")


class Billing(ScriptedEngine):
    """Answers with a function of the nonce in the prompt, after a time that differs from one request to the next."""

    def __init__(self, log: Path) -> None:
        super().__init__(self._billed)
        self._log = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._rng = random.Random(0)

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(self._rng.random() * 0.01)
        completion = await super().complete(request)
        await asyncio.sleep(self._rng.random() * 0.004)
        return completion

    def _billed(self, request: Request) -> Completion:
        [nonce] = re.findall(r"nonce-\w+", request.messages[-1].content)
        os.write(self._log, f"{nonce}\n".encode())
        os.fsync(self._log)
        label = LABELS[hashlib.sha256(nonce.encode()).digest()[0] % 3]
        return Completion(f"{label}", "stop", Usage(20, 1), model=nonce)


async def main(folder: Path, records: int) -> None:
    """Import the records if they are not there yet, and label what is pending."""
    journal = Journal(folder / "postil.db")
    if not journal.count_records():
        nonces = (hashlib.sha256(f"{folder} {i}".encode()).hexdigest()[:12] for i in range(records))
        journal.add_records(
            (Record(f"r{i}", {"text": f"about nonce-{nonce}"}), "here") for i, nonce in enumerate(nonces)
        )
    engine = Billing(folder / "billing.log")
    task = Classification("tone", "What is the tone?", labels=LABELS)
    annotator = PromptedAnnotator("double", task, engine, (Prompt.for_engine(task, engine.capabilities),))
    journal.add_annotator(annotator.name, annotator.spec)
    with journal.run_lock():
        runner = Runner(journal, annotator, rng=random.Random(0), policy=Policy(concurrency=16))
        await runner.run(journal.pending(annotator.id), records)
    journal.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
