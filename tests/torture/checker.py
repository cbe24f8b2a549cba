"""What must hold of a project whatever happened to it, seen from outside (invariants I1 to I6).

It reads the journal's tables with the SQLite of Python itself, and the billing log of the server; it shares no code
with the product. What it knows of the tables is what docs/journal.md says, of digests what `postil.canonical` says.
A journal is read from a copy: looking must not mend what a crash has left.
"""

import hashlib
import json
import shutil
import sqlite3
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.torture.server import GOOD, INPUT_PRICE, LABELS, NONCE, OUTPUT_PRICE, label_of, proof_of

TABLES: Final = ("record", "gold", "gold_role", "annotator", "intent", "reply", "outcome", "event")
_FILES: Final = ("postil.db", "postil.db-wal", "postil.db-journal")
_MOST: Final = 500
_UNSENT: Final[Mapping[str, Any]] = {"choices": [], "replicate": 0, "schema": None, "token_probabilities": False}
"""What a request holds beside what a server gets to see of it, for the projects tortured here."""

Row = dict[str, Any]


@dataclass(frozen=True)
class Tables:
    """The rows of a journal."""

    rows: Mapping[str, Sequence[Row]]
    integrity: str

    def __getitem__(self, table: str) -> Sequence[Row]:
        return self.rows[table]


@dataclass
class Findings:
    """What is wrong, in words, and what was counted."""

    problems: list[str] = field(default_factory=list[str])
    figures: Counter[str] = field(default_factory=Counter[str])

    def expect(self, holds: bool, words: str) -> None:
        """Note a problem unless it holds."""
        self.figures["checks"] += 1
        if not holds and len(self.problems) < _MOST:
            self.problems.append(words)


@dataclass(frozen=True)
class Evidence:
    """What the checker is given beside the journal."""

    items: Mapping[str, Mapping[str, Any]]
    """The records' fields by id, as they were imported."""
    asked: Sequence[Mapping[str, Any]]
    billed: Sequence[Mapping[str, Any]]
    key: bytes
    labels: tuple[str, ...] = LABELS
    budget_usd: float | None = None
    finished: bool = False
    """Whether every record must have ended."""


def read_tables(folder: Path) -> Tables:
    """Return the journal of a project as it would be found after a crash."""
    with tempfile.TemporaryDirectory() as copy:
        for name in _FILES:
            if (folder / name).exists():
                shutil.copyfile(folder / name, Path(copy) / name)
        with closing(sqlite3.connect(Path(copy) / "postil.db")) as journal:
            journal.row_factory = sqlite3.Row
            integrity = str(journal.execute("PRAGMA integrity_check").fetchone()[0])
            there = {name for (name,) in journal.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            rows = {
                table: [dict(row) for row in journal.execute(f"SELECT * FROM {table} ORDER BY seq")]  # noqa: S608 - ours
                if table in there
                else []
                for table in TABLES
            }
    return Tables(rows, integrity)


def check(folder: Path, evidence: Evidence) -> Findings:
    """Return all that is wrong with the journal in a folder."""
    tables, found = read_tables(folder), Findings()
    found.expect(tables.integrity == "ok", f"file: {tables.integrity}")
    for table in TABLES:
        _check_seals(found, table, tables[table])
    _check_records(found, tables, evidence)
    _check_outcomes(found, tables, evidence)
    _check_money(found, tables, evidence)
    return found


def _check_seals(found: Findings, table: str, rows: Iterable[Row]) -> None:
    before = ""
    for number, row in enumerate(rows, start=1):
        *columns, seal = (_text(value) for value in row.values())
        written = json.dumps([before, *columns], ensure_ascii=False, separators=(",", ":"))
        before = hashlib.sha256(written.encode("utf-8", "backslashreplace")).hexdigest()[:32]
        found.expect((columns[0], seal) == (number, before), f"{table} {number}: does not fit its seal")
        before = seal


def _text(value: Any) -> Any:
    return value.decode("utf-8", "surrogatepass") if isinstance(value, bytes) else value


def _check_records(found: Findings, tables: Tables, evidence: Evidence) -> None:
    held = {_text(row["id"]): json.loads(_text(row["fields"])) for row in tables["record"]}
    found.figures["records"] = len(held)
    if held or evidence.finished:
        found.expect(held == evidence.items, "I1: the journal does not hold exactly the records of the file")


def _check_outcomes(found: Findings, tables: Tables, evidence: Evidence) -> None:
    asked = [row for row in tables["annotator"] if "source" not in json.loads(row["spec"])]
    ends: dict[tuple[str, str], Row] = {}
    for row in tables["outcome"]:
        if row["revision"] == 0:
            place = (row["annotator"], _text(row["record"]))
            found.expect(place not in ends, f"I1: record {place[1]!r} ended twice")
            ends[place] = row
    intents = {row["seq"]: row for row in tables["intent"]}
    replies = {row["intent"]: row for row in tables["reply"]}
    found.expect(len(replies) == len(tables["reply"]), "I1: an intent has two replies")
    for (_, record), row in ends.items():
        found.figures[row["type"]] += 1
        if record not in evidence.items:
            found.expect(False, f"I1: an outcome of {record!r}, which is no record")
        elif row["type"] == "annotation":
            _check_label(found, row, record, intents, replies, evidence)
        else:
            found.expect(bool(row["message"]), f"I4: record {record!r} ended as {row['type']} without a reason")
    if evidence.finished:
        for annotator in asked:
            missing = [record for record in evidence.items if (annotator["id"], record) not in ends]
            found.expect(not missing, f"I1: no outcome of {missing[:5]!r} and {len(missing)} in all")


def _check_label(
    found: Findings,
    row: Row,
    record: str,
    intents: Mapping[int, Row],
    replies: Mapping[int, Row],
    evidence: Evidence,
) -> None:
    """Check that a label is that of the record's own, complete, billed answer (I2, I4)."""
    nonce = nonce_of(evidence.items[record])
    proof = proof_of(evidence.key, nonce)
    words = f"record {record!r}"
    label = json.loads(row["answer"])
    found.expect(label == {"label": label_of(proof, evidence.labels)}, f"I2: {words} has the label {label!r}")
    intent, reply = intents.get(row["intent"]), replies.get(row["intent"])
    if intent is None or reply is None or reply["completion"] is None:
        found.expect(False, f"I2: {words} has a label and no reply")
        return
    asker = evidence.items.get(_text(intent["record"]), {})
    found.expect(nonce_of(asker) == nonce, f"I2: {words} has the reply to {intent['record']!r}")
    completion = json.loads(reply["completion"])
    found.expect(f"proof-{proof}" in completion["text"], f"I2: {words}: the reply is not its own")
    found.expect(completion["finish"] == "stop", f"I4: {words} has a label from a reply cut: {completion['finish']}")
    good = [line for line in evidence.billed if line["nonce"] == nonce and line["proof"] == proof]
    found.expect(bool(good), f"I4: {words} has a label from no complete answer that was billed")
    found.expect(all(line["action"] in GOOD | {"drip"} for line in good), f"I4: {words}: {good!r}")


def _check_money(found: Findings, tables: Tables, evidence: Evidence) -> None:
    digests = {line["number"]: _digest_by_engine(tables, line["body"]) for line in evidence.asked}
    known = Counter(row["request"] for row in tables["intent"])
    arrived, billed = Counter[str](), dict[str, list[Mapping[str, Any]]]()
    for line in evidence.asked:
        request = _known(digests[line["number"]], known)
        found.expect(request is not None, f"I3: request {line['number']} ({line['action']}) left without an intent")
        arrived[request or ""] += 1
    for line in evidence.billed:
        billed.setdefault(_known(digests[line["number"]], known) or "", []).append(line)
    replies = {row["intent"]: row for row in tables["reply"]}
    answered, open_, lost = Counter[str](), Counter[str](), Counter[str]()
    for intent in tables["intent"]:
        reply, request = replies.get(intent["seq"]), intent["request"]
        if reply is None:
            open_[request] += 1
        elif reply["completion"] is not None:
            answered[request] += 1
            _check_bill(found, intent, reply, billed.get(request, []))
        elif reply["usd"] is None:
            lost[request] += 1
    for request, times in known.items():
        bills = len(billed.get(request, []))
        words = f"I3: request {request[:20]}"
        found.expect(arrived[request] <= times, f"{words} was sent {arrived[request]} times, noted {times} times")
        found.expect(answered[request] <= 1, f"{words} was answered and asked again")
        most = answered[request] + open_[request] + lost[request]
        found.expect(bills <= most, f"{words} was billed {bills} times, at most {most} can be explained")
    usd = sum(line["usd"] for line in evidence.billed)
    if evidence.budget_usd is not None:
        found.expect(usd <= evidence.budget_usd + 1e-9, f"I5: billed {usd} of {evidence.budget_usd} dollars")
    bills_again = len(evidence.billed) - len(billed)
    explained = open_.total() + lost.total()
    found.figures.update(
        asked=len(evidence.asked), intents=len(tables["intent"]), billed=len(evidence.billed), paid_again=bills_again
    )
    found.figures.update(open=open_.total(), lost=lost.total(), unexplained=max(0, bills_again - explained))
    found.expect(bills_again <= explained, f"I3: {bills_again} paid again, {explained} explained")


def _check_bill(found: Findings, intent: Row, reply: Row, bills: Sequence[Mapping[str, Any]]) -> None:
    """Check that what the journal says a reply cost is what the invoice says, to the cent."""
    completion = json.loads(reply["completion"])
    if completion["usage"]["estimated"] or not bills:
        return
    tokens = (reply["input_tokens"], reply["output_tokens"])
    words = f"I3: intent {intent['seq']}: {tokens} tokens are on no bill of {[*bills]!r}"
    right = [bill for bill in bills if (bill["input_tokens"], bill["output_tokens"]) == tokens]
    found.expect(bool(right) or bills[0]["action"] == "read_little", words)
    if reply["usd"] is not None:
        derived = (tokens[0] * INPUT_PRICE + tokens[1] * OUTPUT_PRICE) / 1e6
        found.expect(
            abs(reply["usd"] - derived) < 1e-12, f"I3: intent {intent['seq']}: {reply['usd']} is not {derived}"
        )


def _digest_by_engine(tables: Tables, body: Mapping[str, Any]) -> list[str]:
    """Return the digest that a request has for each annotator's engine."""
    engines = [json.loads(row["spec"]).get("engine") for row in tables["annotator"]]
    return [digest_of(engine, body) for engine in engines if engine is not None]


def _known(digests: Sequence[str], known: Mapping[str, int]) -> str | None:
    return next((digest for digest in digests if digest in known), None)


def digest_of(engine: Any, body: Mapping[str, Any]) -> str:
    """Return the digest of what an engine was told, from what arrived at the server."""
    request = {
        **_UNSENT,
        "max_tokens": body["max_tokens"],
        "messages": [dict(message) for message in body["messages"]],
        "seed": body.get("seed"),
        "temperature": float(body["temperature"]),
    }
    return _digest([_digest(engine), request])


def _digest(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return f"sha256:{hashlib.sha256(text.encode('utf-8', 'backslashreplace')).hexdigest()}"


def nonce_of(fields: Mapping[str, Any]) -> str:
    """Return the nonce in a record's fields, "" without one."""
    found = NONCE.findall(json.dumps(fields))
    return found[-1] if found else ""
