"""`postil.annotate`: rows in the order given, none missing, whatever comes in."""

import datetime as dt
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import postil
from postil.engines.scripted import ScriptedEngine
from postil.errors import DataError, InputError, QuotaExhausted, SettingsError, TaskError
from postil.project import annotate, annotate_async
from postil.tasks.classification import Classification
from postil.types import Budget, Request
from tests.project.making import TASK, asked, asked_text, engine, right


class Pandas:
    """What pandas' frames have of which use is made."""

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows
        self.columns = list(rows[0])

    def __iter__(self) -> Any:
        return iter(self.columns)

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        assert orient == "records"
        return [dict(row) for row in self._rows]


class Polars(Pandas):
    def to_dicts(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._rows]

    def to_dict(self, orient: str) -> list[dict[str, Any]]:
        raise AssertionError("polars' own means columns")


class Arrow:
    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._rows = rows

    def __iter__(self) -> Any:
        raise AssertionError("iterating a table gives columns")

    def to_pylist(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self._rows]


def test_the_two_lines_of_the_readme() -> None:
    rows = postil.annotate(["a fine day", "an awful day"], TASK, engine=engine())
    assert [row["label"] for row in rows] == ["pos", "neg"]
    assert [row["text"] for row in rows] == ["a fine day", "an awful day"]
    assert [row["outcome"] for row in rows] == ["annotation", "annotation"]


@pytest.mark.parametrize("frame", [Pandas, Polars, Arrow, list], ids=lambda kind: kind.__name__)
def test_frames_and_lists_of_records_will_do(frame: Any) -> None:
    given = [{"text": "fine", "n": 1, "label": "old"}, {"text": "awful", "n": 2, "label": "old"}]
    rows = annotate(frame(given), TASK, engine=engine())
    assert [(row["text"], row["n"], row["label"]) for row in rows] == [("fine", 1, "pos"), ("awful", 2, "neg")]
    assert given[0]["label"] == "old"


def test_columns_and_generators_of_texts_will_do() -> None:
    for texts in (np.array(["fine", "awful"]), ("fine", "awful"), (text for text in ["fine", "awful"])):
        assert [row["label"] for row in annotate(texts, TASK, engine=engine())] == ["pos", "neg"]


@settings(max_examples=20)
@given(st.lists(st.sampled_from(["fine", "awful", "", "  ", "cursed", "fine \ud800", "a\0b fine"]), max_size=12))
def test_every_text_has_its_row_in_its_place(texts: list[str]) -> None:
    def reply(request: Request) -> str:
        return "no answer at all" if "cursed" in asked_text(request) else right(request)

    double = ScriptedEngine(reply)
    rows = annotate(texts, TASK, engine=double, repairs=0)
    assert [row["text"] for row in rows] == texts
    assert len(double.requests) <= len(set(texts))
    for row in rows:
        match row["text"]:
            case "" | "  ":
                assert (row["outcome"], row["failure_class"]) == ("failure", "empty_record")
            case "cursed":
                assert (row["outcome"], row["failure_class"]) == ("failure", "unreadable")
            case "fine \ud800":
                assert (row["outcome"], row["failure_class"]) == ("failure", "rejected")
            case text:
                assert row["label"] == ("pos" if "fine" in text else "neg")
        assert (row["label"] is None) == (row["outcome"] != "annotation")


def test_a_column_with_the_answers_name_does_not_pass_for_an_answer() -> None:
    [row] = annotate([{"text": "", "label": "pos"}], TASK, engine=engine())
    assert (row["outcome"], row["label"], row["answer"]) == ("failure", None, None)


def test_missing_values_and_numbers_of_frames_are_json() -> None:
    class NAType:
        """What pandas writes for a missing value."""

    given = {
        "text": "fine",
        "nan": math.nan,
        "na": NAType(),
        "number": np.float32(0.5),
        "whole": np.int64(3),
        "yes": np.bool_(True),
        "vector": np.array([1, 2]),
        "day": dt.date(2026, 11, 1),
    }
    [row] = annotate([given], TASK, engine=engine())
    assert (row["nan"], row["na"], row["number"], row["whole"], row["yes"]) == (None, None, 0.5, 3, True)
    assert (row["vector"], row["day"]) == ([1, 2], "2026-11-01")


@pytest.mark.parametrize(
    ("texts", "says"),
    [
        ("one text", "expected a list of texts or a data frame, got str"),
        ({"text": ["a", "b"]}, "got dict"),
        (3, "got int"),
        ([b"bytes"], "item 0: expected a JSON value, got bytes"),
        (["fine", {"text": {1, 2}}], "item 1: expected a JSON value, got set"),
        ([{1: "fine"}], "item 0: expected text as the key"),
    ],
)
def test_what_is_no_text_is_refused(texts: Any, says: str) -> None:
    double = engine()
    with pytest.raises(DataError, match=says):
        annotate(texts, TASK, engine=double)
    assert asked(double) == []


def test_a_task_of_two_fields_wants_records() -> None:
    task = Classification("t", "q", labels=["pos", "neg"], show="{title}: {text}")
    with pytest.raises(DataError, match="item 0: expected a record with the fields title, text, got 'fine'"):
        annotate(["fine"], task, engine=engine())
    [row] = annotate([{"text": "fine", "title": "a"}], task, engine=engine())
    assert row["label"] == "pos"
    [row] = annotate([{"text": "fine"}], task, engine=engine())
    assert row["failure_class"] == "missing_field"


def test_options_are_those_of_an_annotator() -> None:
    with pytest.raises(SettingsError, match="did you mean `shots`"):
        annotate(["fine"], TASK, engine=engine(), shot=3)
    with pytest.raises(SettingsError, match='`engine` must be "local"'):
        annotate(["fine"], TASK, engine="gpt")
    with pytest.raises(SettingsError, match="needs `model`"):
        annotate(["fine"], TASK, engine="openai", base_url="http://127.0.0.1:9/v1")
    with pytest.raises(TaskError):
        annotate(["fine"], Classification("t", "q", labels=["one"]), engine=engine())


def test_reasons_of_a_demonstration_are_shown_where_the_task_asks_for_them() -> None:
    double = ScriptedEngine(lambda _: '{"rationale": "r", "label": "pos"}')
    task = Classification("tone", "Which tone?", labels=["pos", "neg"], rationale=True)
    annotate(
        ["a"], task, engine=double, demonstrations=[("so bad", {"label": "neg", "rationale": "'bad' is no praise"})]
    )
    assert "'bad' is no praise" in double.requests[0].messages[-2].content


def test_demonstrations_are_shown_in_the_order_given() -> None:
    double = engine()
    annotate(
        ["a day"], TASK, engine=double, demonstrations=[("so fine", "pos"), ({"text": "so bad"}, {"label": "neg"})]
    )
    [request] = double.requests
    contents = [message.content for message in request.messages]
    assert "so fine" in contents[1]
    assert contents[2] == "pos"
    assert "so bad" in contents[3]
    assert contents[4] == "neg"
    with pytest.raises(InputError, match="demonstration 1: expected one of 'pos', 'neg', got 'meh'"):
        annotate(["a"], TASK, engine=engine(), demonstrations=[("x", "pos"), ("y", "meh")])


def test_what_was_paid_for_comes_back_although_the_account_ran_empty(caplog: pytest.LogCaptureFixture) -> None:
    double = ScriptedEngine(lambda request: QuotaExhausted("empty") if "7" in asked_text(request) else "pos")
    rows = annotate([f"text {at}" for at in range(10)], TASK, engine=double, concurrency=1)
    assert [row["outcome"] for row in rows] == ["annotation"] * 7 + ["pending"] * 3
    assert "3 of 10 texts have no outcome: empty" in caplog.text
    with pytest.raises(QuotaExhausted):
        annotate(["text 7"], TASK, engine=double)


def test_a_budget_that_ends_leaves_rows_pending(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "postil"):
        rows = annotate([f"text {at}" for at in range(10)], TASK, engine=engine(), budget=Budget(requests=4))
    assert [row["outcome"] for row in rows].count("pending") == 6
    assert "6 of 10 texts have no outcome: budget" in caplog.text


def test_a_journal_keeps_what_was_paid_for(tmp_path: Path) -> None:
    kept = tmp_path / "labels.db"
    texts = [f"fine {at}" for at in range(10)]
    annotate(texts[:6], TASK, engine=engine(), journal=kept)
    double = engine()
    rows = annotate(texts[::-1], TASK, engine=double, journal=kept)
    assert [row["text"] for row in rows] == texts[::-1]
    assert {row["label"] for row in rows} == {"pos"}
    assert sorted(asked(double)) == texts[6:]


async def test_it_works_beside_a_loop_and_in_it() -> None:
    assert [row["label"] for row in annotate(["fine"], TASK, engine=engine())] == ["pos"]
    assert [row["label"] for row in await annotate_async(["awful"], TASK, engine=engine())] == ["neg"]


def test_no_texts_are_no_rows() -> None:
    assert annotate([], TASK, engine=engine()) == []
