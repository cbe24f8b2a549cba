"""Gold as a field and as a file: what is open is open, what is wrong is named with line and record."""

from pathlib import Path
from typing import Any, ClassVar

import pytest

from postil.errors import DataError
from postil.formats import gold_answer, gold_rationale, read_gold, write_csv, write_parquet
from postil.tasks.classification import Classification
from postil.tasks.rating import Rating
from postil.tasks.spans import Spans
from postil.tasks.text import Text
from postil.types import Answer, Record

TONE = Classification("tone", "What does the writer think?", labels=["good", "bad", "NA", "None", "no", "null"])
STARS = Rating("stars", "How good is it?", low=1, high=5)


def written(tmp_path: Path, content: str, name: str = "gold.jsonl") -> Path:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return path


def golds(path: Path, task: Any = TONE, **settings: Any) -> list[tuple[str, Answer | None]]:
    return [(gold.record, gold.answer) for gold in read_gold(path, task, **settings)]


@pytest.mark.parametrize("label", ["good", "NA", "None", "no", "null"])
def test_words_that_mean_nothing_elsewhere_are_labels(tmp_path: Path, label: str):
    assert gold_answer({"text": "x", "verdict": label}, TONE, "verdict") == {"label": label}
    assert golds(written(tmp_path, f"id,label\n1,{label}\n", "gold.csv")) == [("1", {"label": label})]


@pytest.mark.parametrize("fields", [{}, {"verdict": None}, {"verdict": ""}])
def test_nothing_in_the_gold_field_is_no_gold(fields: dict[str, Any]):
    assert gold_answer({"text": "x", "label": "good"} | fields, TONE, "verdict") is None


def test_without_a_field_the_keys_of_the_answer_are_read():
    assert gold_answer({"text": "x", "label": "bad", "rating": 3}, TONE) == {"label": "bad"}
    assert gold_answer({"text": "x", "label": "bad", "rating": 3}, STARS) == {"rating": 3}


def test_a_field_may_hold_an_answer_as_an_object_with_its_keys():
    assert gold_answer({"text": "x", "gold": {"label": "bad", "by": "ann"}}, TONE, "gold") == {"label": "bad"}


def test_an_answer_of_several_keys_in_one_field_is_an_object():
    class Pairs(Classification):
        answer_keys: ClassVar[tuple[str, ...]] = ("spans", "relations")

    task = Pairs("pairs", "Which?", labels=["a", "b"])
    with pytest.raises(DataError, match="object with the keys 'spans', 'relations' in the field 'gold', got list"):
        gold_answer({"gold": []}, task, "gold")


def test_a_gold_file_names_records_and_their_answers(tmp_path: Path):
    path = written(tmp_path, '{"id": 7, "label": "good", "by": "ann"}\n{"id": "b", "label": null}\n')
    assert golds(path) == [("7", {"label": "good"}), ("b", None)]
    assert [gold.place for gold in read_gold(path, TONE)] == [f"{path}, line 1", f"{path}, line 2"]


def test_ratings_in_a_table_are_numbers(tmp_path: Path):
    assert golds(written(tmp_path, "id,rating\n1,3.5\n2,4\n3,\n", "gold.csv"), STARS) == [
        ("1", {"rating": 3.5}),
        ("2", {"rating": 4}),
        ("3", None),
    ]


def test_the_gold_field_and_the_id_field_can_be_named(tmp_path: Path):
    write_parquet([{"key": 1, "stars": 2, "rating": 5}, {"key": 2, "stars": None, "rating": 5}], tmp_path / "g.parquet")
    assert golds(tmp_path / "g.parquet", STARS, field="stars", id_field="key") == [("1", {"rating": 2}), ("2", None)]


@pytest.mark.parametrize(
    ("task", "line", "what"),
    [
        (TONE, '{"id": "r9", "label": "god"}', "expected one of 'good', 'bad'"),
        (TONE, '{"id": "r9", "label": ["good"]}', "expected one of"),
        (STARS, '{"id": "r9", "rating": 6}', "expected a number from 1 to 5, got 6"),
        (STARS, '{"id": "r9", "rating": "many"}', "'many'"),
    ],
)
def test_gold_that_is_no_answer_is_named_with_line_and_record(tmp_path: Path, task: Any, line: str, what: str):
    path = written(tmp_path, '{"id": "r8", "label": "good", "rating": 1}\n' + line)
    with pytest.raises(DataError) as caught:
        golds(path, task)
    assert f"{path}, line 2, record 'r9': " in str(caught.value)
    assert what in str(caught.value)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"label": "good"}', "expected 'id' in a line of gold, got 'label'"),
        ('{"id": 1, "lable": "good"}', "expected 'label' in a line of gold, got 'id', 'lable'"),
        ('{"id": null, "label": "good"}', "expected an id"),
    ],
)
def test_a_line_without_id_or_gold_is_refused(tmp_path: Path, line: str, what: str):
    path = written(tmp_path, line)
    with pytest.raises(DataError) as caught:
        golds(path)
    assert f"{path}, line 1: " in str(caught.value)
    assert what in str(caught.value)
    assert caught.value.hint


def test_gold_said_twice_counts_once_and_gold_that_contradicts_itself_is_refused(tmp_path: Path):
    said = '{"id": 1, "label": "good"}\n{"id": 1, "label": "GOOD"}\n{"id": 2, "label": null}\n'
    assert golds(written(tmp_path, said)) == [("1", {"label": "good"}), ("2", None)]
    path = written(tmp_path, said + '{"id": 1, "label": "bad"}\n')
    with pytest.raises(DataError, match="record '1' differs") as caught:
        golds(path)
    assert f"{path}, line 4" in str(caught.value)
    assert f"{path}, line 1" in str(caught.value)


def test_places_need_no_words_where_the_record_can_be_found(tmp_path: Path):
    records = {"a": Record("a", {"text": "Ada met Bob."})}
    path = written(tmp_path, '{"id": "a", "spans": [{"start": 8, "end": 11, "label": "PER"}]}\n')
    task = Spans("names", "Who?", labels=["PER"])
    with pytest.raises(DataError, match="expected under 'text' the 3 characters"):
        golds(path, task)
    [(_, answer)] = golds(path, task, find=records.get)
    assert answer == {"spans": [{"start": 8, "end": 11, "label": "PER", "text": "Bob"}]}


@pytest.mark.parametrize(
    ("fields", "field", "said"),
    [
        ({"text": "72", "rationale": " 6 times 12. "}, None, "6 times 12."),
        ({"gold": {"text": "72", "rationale": "inside"}, "rationale": "beside"}, "gold", "inside"),
        ({"gold": '{"text": "72", "rationale": "in a cell"}'}, "gold", "in a cell"),
        ({"gold": "72", "rationale": "beside"}, "gold", "beside"),
        ({"gold": {"text": "72", "rationale": None}, "rationale": "beside"}, "gold", ""),
        ({"gold": "72", "rationale": ""}, "gold", ""),
        ({"gold": "72"}, "gold", ""),
    ],
)
def test_reasons_stand_in_the_gold_or_beside_it(fields: dict[str, Any], field: str | None, said: str):
    assert gold_rationale(fields, Text("sum", "Work it out.", final="Answer"), field) == said


def test_reasons_are_read_from_a_gold_file_only_where_the_task_asks_for_some(tmp_path: Path):
    path = written(tmp_path, "id,label,rationale\n1,good,it says so\n", "gold.csv")
    asked = Classification("tone", "What?", labels=["good", "bad"], rationale=True)
    assert [gold.rationale for gold in read_gold(path, asked)] == ["it says so"]
    assert [gold.rationale for gold in read_gold(path, TONE)] == [""]


def test_a_missing_gold_file_is_refused_at_once(tmp_path: Path):
    with pytest.raises(DataError, match="no file"):
        read_gold(tmp_path / "gold.jsonl", TONE)


def test_gold_in_a_safe_table_is_gold(tmp_path: Path):
    task = Classification("sign", "Which?", labels=["+1", "=0"])
    write_csv([{"id": "a", "label": "+1"}, {"id": "b", "label": "=0"}], tmp_path / "gold.csv")
    assert golds(tmp_path / "gold.csv", task) == [("a", {"label": "+1"}), ("b", {"label": "=0"})]
