"""Totals that are counted on say the same as counting everything again, after any history (invariants I1, I3)."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postil.errors import ConnectionLost, NotSent, RateLimited, StoreError
from postil.store import Intent, Journal, queries
from postil.store.rows import completion_row
from postil.store.seen import Seen
from postil.store.totals import NOTED, Totals
from postil.types import Annotation, Completion, Failure, Record, Usage

ODD = "half \ud83d"
RUNS = st.integers(1, 3)
WHO = st.sampled_from(["a", "b", ODD])
WHAT = st.sampled_from(["ab", "cd", ODD]).map(lambda part: f"sha256:{part * 32}")

# What happens to a journal, in any order.
ASK = st.tuples(
    st.just("ask"), RUNS, WHO, WHAT, st.sampled_from(["reply", "unpriced", "lost", "limited", "unsent", "open"])
)
ANSWER = st.tuples(st.just("answer"), st.integers(0, 5))
END = st.tuples(st.just("end"), WHO, st.sampled_from(["r0", "r1", "r2"]), st.sampled_from(["yes", "no", "broken", ODD]))
RECORD = st.tuples(st.just("record"))
REOPEN = st.tuples(st.just("reopen"))
LOOK = st.tuples(st.just("look"))
HISTORY = st.lists(st.one_of(ASK, ANSWER, END, RECORD, REOPEN, LOOK), max_size=25)


@pytest.fixture(autouse=True)
def every_row_is_worth_noting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_WORTH_NOTING", 1)


class Told:
    """A journal that a history is told to, and opened anew as often as the history says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.journal = Journal(path)
        self.records = 0
        self.open: list[int] = []

    async def tell(self, event: tuple[Any, ...]) -> None:
        match event:
            case ("record",):
                self.journal.add_records([(Record(f"r{self.records}", {"text": "x"}), "here")])
                self.records += 1
            case ("ask", run, who, request, how):
                intent = await self.journal.write_intent(Intent(run, who, None, "label", request, 1, 7, 0.25))
                if how == "open":
                    self.open.append(intent)
                else:
                    await self.reply(intent, how)
            case ("answer", at) if at < len(self.open):
                await self.reply(self.open.pop(at), "reply")
            case ("end", who, record, label):
                failed = label not in ("yes", "no")
                outcome = Failure(record, who, label, "") if failed else Annotation(record, who, {"label": label})
                self.journal.add_outcomes(who, [outcome])
            case ("reopen",):
                self.journal.close()
                self.journal = Journal(self.path)
            case _:
                self.journal.count_records()

    async def reply(self, intent: int, how: str) -> None:
        if how == "lost":
            await self.journal.write_error(intent, ConnectionLost("gone"))
        elif how in ("limited", "unsent"):
            await self.journal.write_error(intent, RateLimited("slowly") if how == "limited" else NotSent(ODD))
        else:
            completion = Completion("yes", "stop", Usage(5, 2, 1), "model")
            await self.journal.write_reply(completion_row(intent, completion, 0.5 if how == "reply" else None))


def counted_plainly(path: Path) -> dict[str, Any]:
    """Count everything from the rows, with nothing of what is tested."""
    connection = apsw.Connection(str(path))
    intents = list(connection.execute("SELECT seq, run, annotator, request, most_tokens, most_usd FROM intent"))
    replies = {
        row[0]: row[1:] for row in connection.execute("SELECT intent, completion, error, input_tokens, usd FROM reply")
    }
    holding: dict[tuple[Any, Any], tuple[Any, Any]] = {}
    for who, record, type_, failure in connection.execute(
        "SELECT annotator, record, type, failure_class FROM outcome ORDER BY annotator, record, revision"
    ):
        holding[who, record] = (type_, failure)
    unseen = [
        (tokens, usd)
        for number, _, _, _, tokens, usd in intents
        if number not in replies or (replies[number][1] is not None and replies[number][3] is None)
    ]
    [(records,)] = connection.execute("SELECT count(*) FROM record")
    connection.close()

    def has_left(number: int) -> bool:
        error = replies[number][1] if number in replies else None
        return error is None or json.loads(error)["class"] != "NotSent"

    def spent(chosen: list[Any], among: list[Any]) -> tuple[int, int, int, int, float | None]:
        answered = [(*replies[row[0]], row[5]) for row in chosen if row[0] in replies]
        unsent = sum(not has_left(row[0]) for row in chosen)
        unpriced = any(usd is None and (completion or most is None) for completion, _, _, usd, most in answered)
        usd = None if unpriced else sum(usd or 0.0 for *_, usd, _ in answered)
        first = {request: number for number, _, _, request, *_ in reversed(among) if has_left(number)}
        again = sum(first.get(row[3], row[0]) < row[0] for row in chosen)
        return len(chosen), again, unsent, sum(each[2] for each in answered), usd

    return {
        "records": records,
        "outcomes": Counter((who, *ended) for (who, _), ended in holding.items()),
        "open": sum(row[0] not in replies for row in intents),
        "unseen": (len(unseen), sum(tokens for tokens, _ in unseen), sum(usd for _, usd in unseen)),
        "all": spent(intents, intents),
        "run": {run: spent([row for row in intents if row[1] == run], intents) for run in (1, 2, 3)},
        "who": {
            who: spent(own, own) for who in ("a", "b", ODD) for own in [[r for r in intents if r[2] == stored(who)]]
        },
    }


def stored(text: str) -> str | bytes:
    return text.encode("utf-8", "surrogatepass") if text == ODD else text


def told_by(opened: Journal) -> dict[str, Any]:
    def spent(**of: Any) -> tuple[int, int, int, int, float | None]:
        spending = opened.spending(**of)
        return spending.requests, spending.resent, spending.unsent, spending.input_tokens, spending.usd

    return {
        "records": opened.count_records(),
        "outcomes": Counter(
            {
                (stored(who), type_, None if failure is None else stored(failure)): count
                for who in ("a", "b", ODD)
                for (type_, failure), count in opened.count_outcomes(who).items()
            }
        ),
        "open": opened.open_intents(),
        "unseen": tuple(asdict(opened.unseen()).values()),
        "all": spent(),
        "run": {run: spent(run=run) for run in (1, 2, 3)},
        "who": {who: spent(annotator=who) for who in ("a", "b", ODD)},
    }


@settings(max_examples=60)
@given(HISTORY)
def test_counting_on_says_the_same_as_counting_everything(
    tmp_path_factory: pytest.TempPathFactory, history: list[tuple[Any, ...]]
) -> None:
    told = Told(tmp_path_factory.mktemp("journal") / "postil.db")

    async def tell() -> None:
        for event in history:
            await told.tell(event)

    asyncio.run(tell())
    assert told_by(told.journal) == counted_plainly(told.path)
    told.journal.close()
    again = Journal(told.path)
    assert told_by(again) == counted_plainly(told.path)
    assert again.wrong_totals() is None
    again.close()


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Journal]:
    opened = Journal(tmp_path / "postil.db")
    opened.add_records((Record(f"r{number}", {"text": str(number)}), "here") for number in range(20))
    yield opened
    opened.close()


def noted(opened: Journal) -> list[Totals]:
    return [Totals.from_json(body) for _, _, body in opened.events(NOTED)]


def test_what_was_counted_is_noted_once_and_counted_on_from_there(opened: Journal, tmp_path: Path) -> None:
    assert opened.count_records() == 20
    assert [totals.records for totals in noted(opened)] == [20]
    opened.count_records()
    opened.spending()
    assert len(noted(opened)) == 1
    opened.close()
    # Rows that a note covers are not read again: what was taken from under it is not missed, but for `verify`.
    connection = apsw.Connection(str(tmp_path / "postil.db"))
    connection.execute("DELETE FROM record WHERE seq = 3")
    connection.close()
    again = Journal(tmp_path / "postil.db")
    assert again.count_records() == 20
    assert again.wrong_totals() == "totals: 20 records were noted, and there are 19"
    again.close()


def test_a_note_whose_last_row_is_another_one_now_is_passed_over(opened: Journal, tmp_path: Path) -> None:
    opened.count_records()
    opened.close()
    connection = apsw.Connection(str(tmp_path / "postil.db"))
    connection.execute("DELETE FROM record WHERE seq = 3; UPDATE record SET seal = 'other' WHERE seq = 20")
    connection.close()
    again = Journal(tmp_path / "postil.db")
    assert again.count_records() == 19
    again.close()


def test_few_rows_are_not_worth_a_note(opened: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_WORTH_NOTING", 21)
    assert opened.count_records() == 20
    assert noted(opened) == []


def test_counting_works_where_nothing_can_be_noted(opened: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> int:
        raise StoreError("the disk is full")

    monkeypatch.setattr(opened, "add_event", full)
    assert opened.count_records() == 20
    assert opened.open_intents() == 0


def test_totals_come_back_from_json_as_they_were(opened: Journal) -> None:
    async def ask() -> None:
        await opened.write_intent(Intent(1, ODD, None, "label", "sha256:x", 1, 7, 0.25))

    asyncio.run(ask())
    opened.open_intents()
    totals = noted(opened)[-1]
    assert totals.open == {1: (7, 0.25)}
    assert Totals.from_json(json.loads(json.dumps(totals.to_json()))) == totals


@given(st.lists(st.text(max_size=3), max_size=40))
def test_an_id_that_came_before_is_always_known(ids: list[str]) -> None:
    seen = Seen()
    met: set[str] = set()
    for id_ in ids:
        assert seen.before(id_) >= (id_ in met)
        met.add(id_)


def test_few_ids_are_taken_for_known_by_mistake() -> None:
    seen = Seen()
    assert sum(seen.before(f"record {number}") for number in range(20_000)) < 20
