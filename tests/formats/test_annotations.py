"""Outcomes as lines: an export comes back as the same outcomes, and another tool's lines become annotations."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postil.errors import DataError
from postil.formats import FORMATS, export_row, flat_row, read_annotations, write_csv, write_jsonl, write_parquet
from postil.tasks.classification import Classification
from postil.tasks.rating import Rating
from postil.tasks.spans import Spans
from postil.types import Abstention, Annotation, Confidence, Failure, Outcome, Provenance, Record

TONE = Classification("tone", "What does the writer think?", labels=["good", "bad", "=x"])
STARS = Rating("stars", "How good is it?", low=1, high=5)
WHERE = Provenance("sha256:ab", "model-1", "2026-11-22T16:00:00+00:00")
OUTCOMES: list[Outcome] = [
    Annotation(
        "r0",
        "small",
        {"label": "good"},
        Confidence(0.75, "logprob"),
        {"good": 0.75, "bad": 0.25},
        "so",
        provenance=WHERE,
    ),
    Annotation("r1", "small", {"label": "=x"}),
    Abstention("r2", "small", "it is no review", WHERE),
    Failure("r3", "small", "truncated", "the reply was cut short, \0 and <script>", WHERE),
    Failure("r4", "small", "refused", "我不能回答", Provenance(model="m")),
]


def exported(outcomes: list[Outcome]) -> list[dict[str, Any]]:
    rows = [export_row(Record(there.record, {"text": f"=好 {number}"}), there) for number, there in enumerate(outcomes)]
    return [*rows, export_row(Record("open", {"text": "", "n": 1}), None)]


def read(path: Path, task: Any = TONE, **settings: Any) -> list[Outcome]:
    return [located.outcome for located in read_annotations(path, task, **settings)]


def refusal(tmp_path: Path, row: Mapping[str, Any], **arguments: Any) -> DataError:
    path = tmp_path / "ann.jsonl"
    path.write_text('{"id": "r1", "label": "good", "annotator": "a"}\n' + json.dumps(row), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read(path, **arguments)
    assert f"{path}, line 2" in str(caught.value)
    return caught.value


def test_an_export_row_keeps_the_promised_keys_whatever_the_outcome():
    rows = exported(OUTCOMES)
    assert {tuple(row) for row in rows} == {tuple(rows[0])}
    assert list(rows[0])[:5] == ["id", "fields", "outcome", "answer", "confidence"]
    assert [row["outcome"] for row in rows] == ["annotation"] * 2 + ["abstention"] + ["failure"] * 2 + ["pending"]
    assert [row["answer"] for row in rows] == [{"label": "good"}, {"label": "=x"}, None, None, None, None]
    assert [row["confidence"] for row in rows] == [0.75] + [None] * 5
    assert rows[0]["confidence_kind"] == "logprob"
    assert rows[0]["probabilities"] == {"good": 0.75, "bad": 0.25}
    assert rows[0]["provenance"] == {"request": "sha256:ab", "model": "model-1", "at": "2026-11-22T16:00:00+00:00"}
    assert rows[2]["reason"] == "it is no review"
    assert (rows[4]["failure_class"], rows[4]["message"]) == ("refused", "我不能回答")
    assert (rows[5]["annotator"], rows[5]["fields"]) == (None, {"text": "", "n": 1})


def test_an_outcome_is_never_written_beside_another_record():
    with pytest.raises(ValueError, match="expected the outcome of record 'other', got that of 'r0'"):
        export_row(Record("other", {}), OUTCOMES[0])


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize(
    ("write", "name"), [(write_jsonl, "a.jsonl"), (write_csv, "a.csv"), (write_parquet, "a.parquet")]
)
def test_an_export_comes_back_as_the_same_outcomes(tmp_path: Path, write: Any, name: str, flat: bool):
    rows = exported(OUTCOMES)
    write(map(flat_row, rows) if flat else rows, tmp_path / name)
    assert read(tmp_path / name) == OUTCOMES


def test_a_flat_row_has_a_column_a_field():
    flat = flat_row(exported(OUTCOMES)[0])
    assert (flat["fields.text"], flat["answer.label"], flat["probabilities.bad"]) == ("=好 0", "good", 0.25)
    assert not any(isinstance(value, dict) for value in flat.values())


TEXT = st.text(st.characters(codec="utf-8"))
SHARES = st.floats(0, 1).map(lambda share: {"good": share, "bad": 1 - share})


@settings(max_examples=50)
@given(
    st.builds(
        Annotation,
        st.just("r0"),
        TEXT.filter(str.strip),
        st.sampled_from([{"label": "good"}, {"label": "bad"}]),
        st.none() | st.builds(Confidence, st.floats(0, 1), st.sampled_from(["votes", "verbal", "calibrated"])),
        st.none() | SHARES,
        st.none() | TEXT.filter(bool),
    )
)
def test_every_annotation_survives_an_export(tmp_path_factory: Any, annotation: Annotation):
    path = tmp_path_factory.mktemp("export") / "a.jsonl"
    write_jsonl([export_row(Record("r0", {}), annotation)], path)
    assert read(path) == [annotation]


def test_lines_of_another_tool_become_annotations_of_a_named_annotator(tmp_path: Path):
    path = tmp_path / "ann.csv"
    path.write_text("id,label,confidence,annotator,comment\n1,good,0.9,bob,x\n2,BAD,,,\n", encoding="utf-8")
    assert read(path, annotator="ann", confidence_kind="votes") == [
        Annotation("1", "bob", {"label": "good"}, Confidence(0.9, "votes")),
        Annotation("2", "ann", {"label": "bad"}),
    ]


def test_ratings_of_people_are_read(tmp_path: Path):
    write_jsonl([{"id": 1, "rating": "4"}, {"id": 2, "rating": 2.5}], tmp_path / "a.jsonl")
    answers = [
        there.answer for there in read(tmp_path / "a.jsonl", STARS, annotator="ann") if isinstance(there, Annotation)
    ]
    assert answers == [{"rating": 4}, {"rating": 2.5}]


def test_several_annotators_may_answer_for_one_record_and_each_once(tmp_path: Path):
    row = {"id": "r1", "label": "bad"}
    error = refusal(tmp_path, row | {"annotator": "a"})
    assert "annotator 'a' answered for record 'r1' before" in str(error)
    assert "line 1" in str(error)
    write_jsonl([row | {"annotator": "a"}, row | {"annotator": "b"}], tmp_path / "b.jsonl")
    assert [there.annotator for there in read(tmp_path / "b.jsonl")] == ["a", "b"]


def test_a_located_outcome_says_where_it_stands(tmp_path: Path):
    write_jsonl(exported(OUTCOMES), tmp_path / "a.jsonl")
    places = [located.place for located in read_annotations(tmp_path / "a.jsonl", TONE)]
    assert places == [f"{tmp_path / 'a.jsonl'}, line {number}" for number in range(1, 6)]


GOOD = {"id": "r2", "label": "good", "annotator": "a"}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"annotator": None}, "expected the name of an annotator, got None"),
        ({"annotator": "  "}, "expected the name of an annotator"),
        ({"annotator": 3}, "expected the name of an annotator, got 3"),
        ({"label": "god"}, "record 'r2': expected one of 'good', 'bad'"),
        ({"label": None}, "record 'r2': expected one of"),
        ({"id": ""}, "expected an id"),
        ({"confidence": 90}, "expected a number from 0 to 1 in 'confidence', got 90"),
        ({"confidence": "high"}, "got 'high'"),
        ({"confidence": True}, "got True"),
        ({"confidence": 0.5, "confidence_kind": "guess"}, "expected a kind of confidence, logprob, verbal"),
        ({"probabilities": {"good": 0.5}}, "expected probabilities that sum to 1, got 0.5"),
        ({"probabilities": {"good": 1.5, "bad": -0.5}}, "'probabilities.good', got 1.5"),
        ({"probabilities": [1]}, "expected an object in 'probabilities'"),
        ({"provenance": "here"}, "expected an object in 'provenance'"),
        ({"placings": {"spans/0": "nearly"}}, "expected parts with one of exact, form, case, fuzzy in 'placings'"),
        ({"placings": ["exact"]}, "expected parts with one of exact"),
        ({"rationale": 5}, "expected text in 'rationale', got 5"),
        ({"outcome": "done"}, "expected one of 'annotation', 'abstention', 'failure', 'pending'"),
    ],
)
def test_a_wrong_line_is_named_with_what_was_expected(tmp_path: Path, change: dict[str, Any], what: str):
    assert what in str(refusal(tmp_path, GOOD | change))


@pytest.mark.parametrize(
    ("key", "what"), [("id", "expected the field 'id'"), ("label", "expected an answer in 'label'")]
)
def test_a_line_that_lacks_what_matters_is_named(tmp_path: Path, key: str, what: str):
    assert what in str(refusal(tmp_path, {name: value for name, value in GOOD.items() if name != key}))


@pytest.mark.parametrize("format_", ["csv", "tsv", "jsonl", "parquet"])
def test_structures_come_back_from_every_table(tmp_path: Path, format_: str) -> None:
    task = Spans("who", "Who is named?", labels=["person"])
    answer = task.accept({"spans": [{"start": 0, "end": 3, "label": "person", "text": "Ann"}]})
    record = Record("1", {"text": "Ann, and nobody else"})
    given = Annotation(
        "1",
        "m",
        answer,
        part_confidences={"spans/0": 0.5},
        evidence=({"start": 0, "end": 3},),
        rejected=("a, b",),
        placings={"spans/0": "case"},
    )
    row = export_row(record, given)
    known = FORMATS[format_]
    assert known.write is not None
    path = tmp_path / f"out.{format_}"
    known.write([row if format_ == "jsonl" else flat_row(row)], path)
    [back] = read_annotations(path, task)
    assert back.outcome == given


@pytest.mark.parametrize("format_", ["csv", "tsv", "parquet"])
def test_parts_have_one_column_however_many_there_are(tmp_path: Path, format_: str) -> None:
    task = Spans("who", "Who is named?", labels=["person"])
    text = "Ann " * 40
    spans = [{"start": 4 * at, "end": 4 * at + 3, "label": "person", "text": "Ann"} for at in range(40)]
    answers = [task.accept({"spans": spans[:number]}) for number in (40, 1, 0)]
    parts = [{f"spans/{at}": at / 40 for at in range(len(answer["spans"]))} for answer in answers]
    given = [
        Annotation(str(at), "m", answer, part_confidences=sure or None, placings=dict.fromkeys(sure, "form") or None)
        for at, (answer, sure) in enumerate(zip(answers, parts, strict=True))
    ]
    rows = [flat_row(export_row(Record(each.record, {"text": text}), each)) for each in given]
    assert max(map(len, rows)) < 25
    assert [row["part_confidences"] for row in rows] == [*parts[:2], None]
    known = FORMATS[format_]
    assert known.write is not None
    path = tmp_path / f"out.{format_}"
    known.write(rows, path)
    assert [back.outcome for back in read_annotations(path, task)] == given


def test_a_table_with_a_column_a_part_is_still_read(tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("id,annotator,answer.label,part_confidences.orders/ab\n1,m,good,0.5\n", encoding="utf-8")
    [back] = read_annotations(path, TONE)
    assert isinstance(back.outcome, Annotation)
    assert back.outcome.part_confidences == {"orders/ab": 0.5}
