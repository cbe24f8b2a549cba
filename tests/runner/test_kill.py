"""SIGKILL at random moments: no record lost, none answered twice or with another's answer, every payment explained.

The checker reads the journal with SQLite alone and the billing log of the engine; it shares no code with the runner.
"""

import hashlib
import json
import os
import random
import re
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import apsw
import pytest

from postil.store import Journal
from postil.store.sealing import TABLES

SCRIPT = Path(__file__).with_name("killed.py")
RECORDS = 300
KILLS = 10
CONCURRENCY = 16

pytestmark = pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX's")


@dataclass(frozen=True)
class Seen:
    """What stands in the journal and on the invoice."""

    outcomes: dict[str, list[tuple[str, str | None]]]
    nonces: dict[str, str]
    billed: Counter[str]
    answered: Counter[str]
    open_intents: Counter[str]
    """By nonce: requests that may have been paid for without a reply that was seen."""


def look(folder: Path) -> Seen:
    connection = apsw.Connection(str(folder / "postil.db"))
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    nonces: dict[str, str] = {}
    for id_, fields in connection.execute("SELECT id, fields FROM record"):
        [nonces[str(id_)]] = re.findall(r"nonce-\w+", json.loads(str(fields))["text"])
    outcomes: dict[str, list[tuple[str, str | None]]] = {id_: [] for id_ in nonces}
    for id_, type_, answer in connection.execute("SELECT record, type, answer FROM outcome"):
        outcomes[str(id_)].append((str(type_), json.loads(str(answer))["label"] if answer else None))
    answered: Counter[str] = Counter()
    open_: Counter[str] = Counter()
    intents = "SELECT record, completion FROM intent LEFT JOIN reply ON reply.intent = intent.seq"
    for id_, completion in connection.execute(intents):
        if completion is None:
            open_[nonces[str(id_)]] += 1
        else:
            assert json.loads(str(completion))["model"] == nonces[str(id_)], "a reply to another request"
            answered[nonces[str(id_)]] += 1
    connection.close()
    billed = Counter((folder / "billing.log").read_text(encoding="ascii").split())
    return Seen(outcomes, nonces, billed, answered, open_)


def right_label(nonce: str) -> str:
    return ("negative", "neutral", "positive")[hashlib.sha256(nonce.encode()).digest()[0] % 3]


def check(seen: Seen) -> None:
    """What holds at every moment (I1 to I4)."""
    assert set(seen.billed) <= set(seen.nonces.values())
    for id_, ended in seen.outcomes.items():
        nonce = seen.nonces[id_]
        assert len(ended) <= 1, f"{id_}: more than one outcome"
        assert ended in ([], [("annotation", right_label(nonce))]), f"{id_}: another record's answer"
        assert seen.answered[nonce] == len(ended), f"{id_}: an outcome without its reply, or a reply without it"
    for nonce, times in seen.billed.items():
        assert times <= seen.answered[nonce] + seen.open_intents[nonce], f"{nonce}: paid for and nowhere noted"


def start(folder: Path) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, str(SCRIPT), str(folder), str(RECORDS)], stderr=subprocess.PIPE)


def lines(folder: Path) -> int:
    log = folder / "billing.log"
    return log.read_bytes().count(b"\n") if log.exists() else 0


def test_ten_kills_lose_nothing_and_explain_every_payment(tmp_path: Path) -> None:
    rng = random.Random(20241123)
    killed = 0
    left_open: list[int] = []
    for _ in range(KILLS):
        run = start(tmp_path)
        # Some soon after the start, some far on, none at a moment that anybody chose.
        target = lines(tmp_path) + rng.randrange(RECORDS // KILLS + 5)
        until = time.monotonic() + 30
        while run.poll() is None and lines(tmp_path) < target and time.monotonic() < until:
            time.sleep(0.002)
        time.sleep(rng.random() * 0.01)
        run.kill()
        run.communicate()
        killed += run.returncode != 0
        if (tmp_path / "billing.log").exists():
            seen = look(tmp_path)
            check(seen)
            left_open.append(seen.open_intents.total() - sum(left_open))
    last = start(tmp_path)
    _, errors = last.communicate(timeout=60)
    assert last.returncode == 0, errors.decode()
    seen = look(tmp_path)
    check(seen)
    assert killed >= KILLS - 2, "the kills came too late to test anything"
    assert len(seen.outcomes) == RECORDS
    assert all(len(ended) == 1 for ended in seen.outcomes.values()), "no record lost"
    resent = seen.billed.total() - len(seen.billed)
    assert all(0 <= each <= CONCURRENCY for each in left_open), "no more than were in flight"
    assert resent <= sum(left_open) == seen.open_intents.total(), "each resend was an open intent at a kill"
    journal = Journal(tmp_path / "postil.db")
    assert not [words for table in TABLES for words in journal.broken_seals(table)]
    journal.close()
    # And with another SQLite altogether.
    with sqlite3.connect(tmp_path / "postil.db") as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT record) FROM outcome").fetchone() == (
            RECORDS,
            RECORDS,
        )
    connection.close()
