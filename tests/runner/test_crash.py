"""A run may die at any moment: what it leaves behind is whole, and the next run goes on from there.

Here the moments are all those between two commits: after each one the journal's files are copied, which is what a
killed process leaves behind, and a run is resumed from every copy. `test_kill.py` kills real processes.
"""

import asyncio
import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from postil.engines.scripted import Reply, ScriptedEngine
from postil.errors import ServerFault
from postil.types import Completion, Record, Request, Usage
from tests.runner import scene

RECORDS = [*map(scene.record, range(7)), Record("again", {"text": "text nonce-3"}), Record("empty", {"text": ""})]
SHARES = {"negative": (0.7, 0.2, 0.1), "neutral": (0.2, 0.7, 0.1), "positive": (0.2, 0.1, 0.7)}


@dataclass
class Moment:
    """What was on disk, and what the engine had billed, at one moment."""

    files: dict[str, bytes]
    billed: Counter[str]


class Engine(ScriptedEngine):
    """Fails now and then, takes a while, and counts what it has billed by what it was asked about."""

    def __init__(self) -> None:
        super().__init__(self._answer, capabilities=scene.SCORED)
        self.billed: Counter[str] = Counter()
        self._refused: set[str] = set()
        self._numbers = itertools.count(1)

    def _answer(self, request: Request) -> Reply:
        text = scene.asked_about(request)
        if text not in self._refused and sum(text.encode()) % 3 == 0:
            self._refused.add(text)
            return ServerFault("not the first time")
        self.billed[text] += 1
        label = scene.truth(text) if "nonce" in text else "neutral"
        return Completion(label, "stop", Usage(1, 1), choice_probabilities=SHARES[label])

    async def complete(self, request: Request) -> Completion:
        await asyncio.sleep(next(self._numbers) % 3 * 0.001)
        return await super().complete(request)


@pytest.fixture(scope="module")
def moments(tmp_path_factory: pytest.TempPathFactory) -> list[Moment]:
    """The state after every commit of one run, its prior included."""
    folder = tmp_path_factory.mktemp("journal")
    engine, found = Engine(), list[Moment]()

    def watch(connection: apsw.Connection) -> None:
        def after_commit(*_: object) -> int:
            files = {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix in {".db", ".db-wal"}}
            found.append(Moment(files, Counter(engine.billed)))
            return 0

        connection.set_wal_hook(after_commit)

    with scene.journal(folder, RECORDS) as journal:
        journal.close()
    apsw.connection_hooks.append(watch)
    try:
        with scene.journal(folder) as journal:
            asyncio.run(scene.run(journal, scene.annotator(engine, calibration="content_free")))
    finally:
        apsw.connection_hooks.remove(watch)
    return found


def rows(path: Path, statement: str) -> list[tuple[object, ...]]:
    connection = apsw.Connection(str(path))
    try:
        return [tuple(row) for row in connection.execute(statement)]
    finally:
        connection.close()


def restored(moment: Moment, folder: Path) -> Path:
    for name, content in moment.files.items():
        (folder / name).write_bytes(content)
    return folder


def at_every(moments: list[Moment], folder: Path) -> Iterator[tuple[Moment, Path]]:
    for i, moment in enumerate(moments):
        place = folder / str(i)
        place.mkdir()
        yield moment, restored(moment, place)


def test_there_are_many_moments(moments: list[Moment]) -> None:
    assert len(moments) > 15
    assert moments[-1].billed.total() > moments[len(moments) // 2].billed.total() > 0


def test_at_every_moment_money_and_outcomes_are_accounted_for(moments: list[Moment], tmp_path: Path) -> None:
    for moment, folder in at_every(moments, tmp_path):
        path = folder / "postil.db"
        assert rows(path, "PRAGMA integrity_check") == [("ok",)]
        twice = "SELECT record FROM outcome GROUP BY annotator, record HAVING count(*) > 1"
        assert rows(path, twice) == [], "one outcome each"
        loose = (
            "SELECT record FROM outcome LEFT JOIN reply ON reply.intent = outcome.intent"
            " WHERE outcome.intent IS NOT NULL AND reply.intent IS NULL"
        )
        assert rows(path, loose) == [], "no outcome without its reply"
        unread = (
            "SELECT intent.record FROM intent JOIN reply ON reply.intent = intent.seq WHERE purpose = 'label'"
            " AND completion IS NOT NULL AND NOT EXISTS (SELECT 1 FROM outcome WHERE outcome.record = intent.record)"
        )
        assert rows(path, unread) == [], "no reply to a label without its outcome"
        [(known,)] = rows(path, "SELECT count(*) FROM reply WHERE completion IS NOT NULL")
        [(open_,)] = rows(path, "SELECT count(*) FROM intent WHERE seq NOT IN (SELECT intent FROM reply)")
        assert isinstance(known, int)
        assert isinstance(open_, int)
        assert known <= moment.billed.total() <= known + open_, "what was billed is known, or an intent is open"
        assert open_ <= scene.QUICK.concurrency


def test_from_every_moment_the_run_goes_on_to_the_same_end(moments: list[Moment], tmp_path: Path) -> None:
    ends: set[str] = set()
    for moment, folder in at_every(moments, tmp_path):
        engine = Engine()
        double = scene.annotator(engine, calibration="content_free")
        with scene.journal(folder) as journal:
            left_open = journal.open_intents()
            asyncio.run(scene.run(journal, double))
            expected = {record.id: scene.truth(str(record.fields["text"])) for record in RECORDS[:-1]}
            assert scene.labels(journal, double) == expected | {"empty": "empty_record"}
            ends.add(str(journal.latest_event("prior", double.id)))
            assert not [words for table in ("intent", "reply", "outcome") for words in journal.broken_seals(table)]
        twice = (moment.billed + engine.billed).total() - len(moment.billed + engine.billed)
        assert twice <= left_open, "only what was open is paid again"
    assert len(ends) == 1, "the prior is the same wherever the run was broken off"
