"""Other tools' formats, for every kind that each can hold: out and back the same, and nothing said that is not so."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postil.errors import DataError, FormatError, TaskError
from postil.formats import FORMATS
from postil.formats.foreign import shown_names, shown_text
from postil.formats.others import CONFIGURATIONS, FOREIGN, foreign_format, formats_for
from postil.tasks.classification import Classification
from postil.tasks.kinds import KINDS
from postil.types import Abstention, Annotation, Failure, Outcome, Record
from tests.formats.answers import EMOJI, SOLVED, Solved, outcomes, read, rows, span, without_notes, write

WITH_NOTES = ("label-studio", "prodigy", "doccano", "argilla", "brat", "hugging-face")
"""Those that keep what they do not know, so that outcomes come back whole."""
ALL = [
    (name, kind)
    for name in (*WITH_NOTES, "conll", "trl", "openai")
    for kind in SOLVED
    if FOREIGN[name].kinds is None or kind in (FOREIGN[name].kinds or ())
]
JSON_LINES = ("prodigy", "doccano", "trl", "openai")


def annotations(given_: list[Outcome | None]) -> list[Annotation]:
    return [each for each in given_ if isinstance(each, Annotation)]


def test_every_kind_is_tried_and_has_a_format() -> None:
    assert set(SOLVED) == set(KINDS)
    assert {"label-studio", "hugging-face", "trl", "openai", "jsonl"} <= set(formats_for("attributes"))
    assert set(formats_for("spans")) >= {"conll", "brat", "docbin", "argilla"}
    assert "autolabel" not in formats_for("classification")


def test_names_of_formats_are_one_list() -> None:
    assert not set(FORMATS) & set(FOREIGN)
    assert all(known.name == name and known.title and (known.read or known.write) for name, known in FOREIGN.items())
    assert foreign_format(None) is None
    assert foreign_format("csv") is None
    assert foreign_format("brat") is FOREIGN["brat"]
    assert set(CONFIGURATIONS) == {"autolabel", "spacy-llm"}
    with pytest.raises(FormatError, match="no format 'brad'") as caught:
        foreign_format("brad")
    assert "jsonl" in caught.value.hint
    assert "label-studio" in caught.value.hint


@pytest.mark.parametrize(("name", "kind"), [(name, kind) for name, kind in ALL if name in WITH_NOTES])
@pytest.mark.parametrize("machine", [True, False])
def test_an_outcome_comes_back_with_all_that_is_known_of_it(name: str, kind: str, machine: bool, tmp_path: Path):
    solved = SOLVED[kind]
    given_ = outcomes(solved, sure=machine)
    found = read(name, solved, write(name, solved, rows(solved, given_, machine=machine), tmp_path))
    assert annotations([each.outcome for each in found]) == annotations(given_)
    declined = [each.outcome.record for each in found if isinstance(each.outcome, Abstention)]
    expected = [each.record for each in given_ if isinstance(each, Abstention)]
    assert declined == ([] if FOREIGN[name].answers_only else expected)
    assert {each.machine for each in found} == {machine}


@pytest.mark.parametrize("name", [name for name, kind in ALL if name in WITH_NOTES and kind == "spans"])
def test_how_spans_were_placed_comes_back_with_them(name: str, tmp_path: Path):
    """Reliability A9: the method stays beside the spans, whichever tool they went through."""
    solved = SOLVED["spans"]
    given_: list[Outcome | None] = [
        replace(each, placings={"spans/0": "case", "spans/1": "exact"}) if isinstance(each, Annotation) else each
        for each in outcomes(solved)
    ]
    found = read(name, solved, write(name, solved, rows(solved, given_), tmp_path))
    assert annotations([each.outcome for each in found]) == annotations(given_)


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_the_answer_itself_comes_back_without_our_notes(name: str, kind: str, tmp_path: Path):
    solved = SOLVED[kind]
    path = write(name, solved, rows(solved, outcomes(solved)), tmp_path)
    if name != "conll":
        without_notes(path)
    found = {each.outcome.record: each.outcome for each in read(name, solved, path, annotator="back")}
    for given_ in annotations(outcomes(solved)):
        if given_.answer.get("preferred") == "tie" and name in ("trl", "openai"):
            assert given_.record not in found  # a tie is nothing to train on
            continue
        back = found[given_.record]
        assert isinstance(back, Annotation)
        if kind == "preference":  # its strength has no place in most tools
            assert back.answer["preferred"] == given_.answer["preferred"]
        else:
            assert back.answer == given_.answer
        assert (back.annotator, back.provenance.request) == ("back", None)


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_records_are_found_in_any_order(name: str, kind: str, tmp_path: Path):
    solved = SOLVED[kind]
    path = write(name, solved, rows(solved, outcomes(solved)), tmp_path)
    turned = replace(solved, records=tuple(reversed(solved.records)))
    assert [each.outcome for each in read(name, turned, path)] == [each.outcome for each in read(name, solved, path)]


@pytest.mark.parametrize(("name", "kind"), ALL)
def test_nothing_leaves_but_what_the_task_shows(name: str, kind: str, tmp_path: Path):
    solved = SOLVED[kind]
    path = write(name, solved, rows(solved, outcomes(solved)), tmp_path)
    files = [each for each in (path.rglob("*") if path.is_dir() else tmp_path.iterdir()) if each.is_file()]
    assert files
    assert all(b"secret gold" not in each.read_bytes() for each in files)


@pytest.mark.parametrize("name", FOREIGN)
def test_a_kind_that_a_format_cannot_hold_is_refused_with_those_that_can(name: str):
    chosen = FOREIGN[name]
    for kind, solved in SOLVED.items():
        if chosen.kinds is None or kind in chosen.kinds:
            chosen.check_holds(solved.task, formats_for(kind))
            continue
        with pytest.raises(FormatError, match=f"{name!r} cannot hold answers of the kind {kind!r}") as caught:
            chosen.check_holds(solved.task, formats_for(kind))
        assert "label-studio" in caught.value.hint
        assert "jsonl" in caught.value.hint


# What may be said of an answer that comes back

TONE = SOLVED["classification"]


def doccano(tmp_path: Path, change: Any) -> list[Any]:
    path = write("doccano", TONE, rows(TONE, outcomes(TONE)), tmp_path)
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]
    path.write_text("".join(json.dumps(change(line)) + "\n" for line in lines), encoding="utf-8")
    return read("doccano", TONE, path)


def test_a_changed_answer_has_nothing_of_the_models_confidence(tmp_path: Path):
    [first, second, _] = doccano(tmp_path, lambda line: {**line, "label": ["no"]})
    for found in (first, second):
        assert found.outcome.answer == {"label": "no"}
        assert (found.outcome.confidence, found.outcome.provenance.request) == (None, None)


def test_an_answer_that_a_person_kept_is_that_persons_and_anchored(tmp_path: Path):
    found = doccano(tmp_path, lambda line: {**line, "id": 17})
    assert [each.outcome.answer["label"] for each in found[:2]] == ["好评", "1e3"]
    assert {each.outcome.confidence for each in found[:2]} == {None}
    assert [(each.machine, each.anchored) for each in found[:2]] == [(False, True)] * 2


def test_a_failure_stays_a_failure(tmp_path: Path):
    failed = Failure(TONE.records[2].id, "small", "truncated", "cut short")
    given_ = [*outcomes(TONE)[:2], failed]
    for name in ("label-studio", "prodigy", "doccano", "argilla"):
        (tmp_path / name).mkdir()
        found = read(name, TONE, write(name, TONE, rows(TONE, given_), tmp_path / name))
        assert found[2].outcome == failed


def test_a_pending_record_is_a_task_without_an_outcome(tmp_path: Path):
    given_ = [*outcomes(TONE)[:2], None]
    for name in ("label-studio", "prodigy", "doccano", "argilla"):
        (tmp_path / name).mkdir()
        found = read(name, TONE, write(name, TONE, rows(TONE, given_), tmp_path / name))
        assert [each.outcome.record for each in found] == ["r0", "r1"]


# Which record is meant


@pytest.mark.parametrize("name", ["label-studio", "prodigy", "doccano", "argilla", "openai", "brat"])
def test_a_text_of_no_record_is_named(name: str, tmp_path: Path):
    solved = SOLVED["spans"]
    path = write(name, solved, rows(solved, outcomes(solved)), tmp_path)
    without_notes(path)
    fewer = replace(solved, records=solved.records[1:])
    with pytest.raises(DataError, match=r"no record of the project has this text: '.*Alice works") as caught:
        read(name, fewer, path)
    assert str(caught.value).startswith(str(path))


def test_a_text_of_several_records_is_ambiguous_without_an_id(tmp_path: Path):
    twins = (TONE.records[0], Record("twin", TONE.records[0].fields))
    path = write("doccano", TONE, rows(TONE, outcomes(TONE)), tmp_path)
    assert read("doccano", replace(TONE, records=(*twins, *TONE.records[1:])), path)[0].outcome.record == "r0"
    without_notes(path)
    with pytest.raises(DataError, match="line 1: 2 records have this text, 'r0' and 'twin' among them"):
        read("doccano", replace(TONE, records=(*twins, *TONE.records[1:])), path)


def test_a_text_that_was_changed_is_not_taken_for_the_record(tmp_path: Path):
    with pytest.raises(
        DataError, match=r"line 1: the text is not that of record 'r0': expected 'Alice works .* got 'x'"
    ):
        doccano(tmp_path, lambda line: {**line, "text": "x"})


def test_a_tools_own_numbers_are_no_ids_of_ours(tmp_path: Path):
    # Record "1" has another text than the task that the tool calls 1.
    records = (Record("1", {"text": "second"}), Record("2", {"text": "first"}))
    solved = Solved(TONE.task, [{"label": "no"}, {"label": "好评"}], records)
    path = tmp_path / "export.jsonl"
    path.write_text('{"id": 1, "text": "first", "label": ["好评"]}\n', encoding="utf-8")
    [found] = read("doccano", solved, path)
    assert (found.outcome.record, found.by) == ("2", "")


# Texts and labels of every sort

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=12).filter(str.strip)


@settings(max_examples=25)
@given(text=TEXT, data=st.data())
@pytest.mark.parametrize("name", ["label-studio", "prodigy", "doccano", "argilla", "brat", "hugging-face"])
def test_any_span_of_any_text_comes_back(
    name: str, text: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
):
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))
    if name == "brat" and not text[start:end].strip("\n"):
        return  # brat has no span without a character on some line
    names = KINDS["spans"]("names", "Find.", labels=["PER", "组 织"], nested=True)
    answer = {"spans": [{"start": start, "end": end, "label": "组 织", "text": text[start:end]}]}
    solved = Solved(names, [answer], (Record("r", {"text": text}),))
    path = write(name, solved, rows(solved, outcomes(solved)), tmp_path_factory.mktemp("any"))
    if name == "brat" and text[start:end] != text[start:end].strip("\n"):
        return  # written without the line ends at its edges, which brat cannot mark
    if name != "brat":
        without_notes(path)
    [found] = read(name, solved, path)
    assert isinstance(found.outcome, Annotation)
    assert found.outcome.answer == names.accept(answer, solved.records[0])


@settings(max_examples=25)
@given(labels=st.lists(TEXT, min_size=2, max_size=4, unique_by=lambda text: text.strip().casefold()), text=TEXT)
@pytest.mark.parametrize("name", ["prodigy", "doccano", "argilla", "hugging-face"])
def test_any_label_comes_back(name: str, labels: list[str], text: str, tmp_path_factory: pytest.TempPathFactory):
    try:
        task = Classification("tone", "Which?", labels=labels)
    except TaskError:  # what is no label set is another test's matter
        return
    solved = Solved(task, [{"label": labels[-1]}], (Record("r", {"text": text}),))
    path = write(name, solved, rows(solved, outcomes(solved)), tmp_path_factory.mktemp("any"))
    without_notes(path)
    [found] = read(name, solved, path)
    assert isinstance(found.outcome, Annotation)
    assert found.outcome.answer == {"label": labels[-1]}


def test_a_lone_surrogate_is_kept_in_json_and_refused_by_name_elsewhere(tmp_path: Path):
    text = "a\ud800 b"
    names = KINDS["spans"]("names", "Find.", labels=["A", "B"])
    solved = Solved(names, [{"spans": [span(text, "b", "A")]}], (Record("r", {"text": text}),))
    given_ = rows(solved, outcomes(solved))
    for name in ("label-studio", "prodigy", "doccano", "argilla", "hugging-face"):
        (tmp_path / name).mkdir()
        assert read(name, solved, write(name, solved, given_, tmp_path / name))[0].outcome == outcomes(solved)[0]
    for name in ("conll", "brat"):
        (tmp_path / name).mkdir()
        with pytest.raises(
            DataError, match=f"record 'r' holds the lone surrogate '.ud800', which {name} in UTF-8 cannot"
        ):
            write(name, solved, given_, tmp_path / name)
        assert not any((tmp_path / name).iterdir())


# Tasks with several fields


def test_spans_in_several_fields_need_a_tool_with_several_texts(tmp_path: Path):
    names = KINDS["spans"]("names", "Find.", labels=["A", "B"], show="{title}\n{body}")
    record = Record("r", {"title": "Bob", "body": "About Bob"})
    answer = {
        "spans": [{**span("Bob", "Bob", "A"), "field": "title"}, {**span("About Bob", "Bob", "B"), "field": "body"}]
    }
    solved = Solved(names, [answer], (record,))
    path = write("label-studio", solved, rows(solved, outcomes(solved)), tmp_path)
    without_notes(path)
    assert annotations([read("label-studio", solved, path)[0].outcome])[0].answer == names.accept(answer, record)
    for name in ("prodigy", "doccano", "argilla", "conll", "brat"):
        with pytest.raises(FormatError, match=f"the format {name!r} has one text for a record"):
            write(name, solved, rows(solved, outcomes(solved)), tmp_path)


def test_a_record_of_several_fields_is_one_text_where_nothing_points_into_it():
    task = Classification("tone", "Which?", labels=["a", "b"], show="{title}: {body}")
    assert shown_text(task, {"title": "T", "body": {"k": 1}, "label": "a"}) == 'T: {"k": 1}'


def test_places_given_in_a_record_are_not_among_its_texts():
    given_ = KINDS["roles"]("r", "Who?", roles=["A", "B"], predicate="verb", show="{sentence} {verb}")
    assert shown_names(given_) == ("sentence",)


def test_a_whole_folder_or_none(tmp_path: Path):
    solved = SOLVED["spans"]
    given_ = rows(solved, outcomes(solved))
    path = write("brat", solved, given_, tmp_path)
    before = {each.name: each.read_bytes() for each in path.iterdir()}
    with pytest.raises(FormatError, match="it is there already"):
        write("brat", solved, given_, tmp_path)
    assert {each.name: each.read_bytes() for each in path.iterdir()} == before
    (tmp_path / "new").mkdir()

    def broken() -> Any:
        yield given_[0]
        raise KeyboardInterrupt

    for name in ("brat", "hugging-face"):
        write_ = FOREIGN[name].write
        assert write_ is not None
        with pytest.raises(KeyboardInterrupt):
            write_(broken(), solved.task, tmp_path / "new" / "out")
        assert not any((tmp_path / "new").iterdir())


def test_names_in_records_are_never_names_of_files(tmp_path: Path):
    text = EMOJI
    ids = ["../../escaped", "/etc/passwd", "a\0b", "C:\\x", "x" * 300, ".", "con"]
    task = KINDS["spans"]("../../task", "Find.", labels=["../up", "B"])
    records = tuple(Record(id_, {"text": f"{text} {at}"}) for at, id_ in enumerate(ids))
    solved = Solved(task, [{"spans": [span(text, "Bob", "../up")]}] * len(ids), records)
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    for name in ("brat", "hugging-face", "label-studio", "argilla", "doccano"):
        (inner / name).mkdir()
        path = write(name, solved, rows(solved, outcomes(solved)), inner / name)
        assert [each.outcome.record for each in read(name, solved, path)] == ids
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a"]
    assert sorted(each.name for each in (tmp_path / "a").iterdir()) == ["b"]
