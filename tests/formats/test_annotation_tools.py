"""Prodigy, doccano, Argilla, CoNLL and brat: what each does in its own way."""

import json
from pathlib import Path
from typing import Any

import pytest

from postil.errors import DataError, FormatError
from postil.formats.foreign import ReadOutcome
from postil.tasks.kinds import KINDS
from postil.types import Abstention, Annotation, Record
from tests.formats.answers import CHINESE, EMOJI, SOLVED, Solved, outcomes, read, rows, span, write

SAMPLES = Path(__file__).with_name("samples")
NAMES = SOLVED["spans"]
TONE = SOLVED["classification"]
GIVEN = [each.answer for each in outcomes(NAMES) if isinstance(each, Annotation)]


def answers(found: list[ReadOutcome]) -> list[Any]:
    return [each.outcome.answer for each in found if isinstance(each.outcome, Annotation)]


def lines(tmp_path: Path, *held: dict[str, Any]) -> Path:
    path = tmp_path / "file.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in held), encoding="utf-8")
    return path


# Prodigy


def test_prodigy_tokens_fit_every_span_and_make_up_the_text(tmp_path: Path):
    path = write("prodigy", NAMES, rows(NAMES, outcomes(NAMES)), tmp_path)
    for line in path.read_text(encoding="utf-8").split("\n")[:-1]:
        task = json.loads(line)
        for token in task["tokens"]:
            assert task["text"][token["start"] : token["end"]] == token["text"]
        for each in task["spans"]:
            first, last = task["tokens"][each["token_start"]], task["tokens"][each["token_end"]]
            assert (first["start"], last["end"]) == (each["start"], each["end"])
        between = "".join(token["text"] for token in task["tokens"])
        assert between == "".join(task["text"].split())


def test_prodigy_decisions_are_kept(tmp_path: Path):
    held: list[dict[str, Any]] = [
        {"text": EMOJI, "accept": ["no"], "answer": "accept", "_annotator_id": "anna"},
        {"text": CHINESE, "accept": ["no"], "answer": "reject", "_session_id": "set-bob"},
        {"text": TONE.records[2].fields["text"], "answer": "ignore"},
    ]
    first, second, third = read("prodigy", TONE, lines(tmp_path, *held))
    assert answers([first]) == [{"label": "no"}]
    assert (first.by, second.by, first.machine) == ("anna", "set-bob", False)
    assert isinstance(second.outcome, Abstention)
    assert isinstance(third.outcome, Abstention)
    assert (second.outcome.reason, third.outcome.reason) == ("rejected in Prodigy", "ignored in Prodigy")


def test_prodigy_lines_of_other_recipes_are_read(tmp_path: Path):
    binary = {"text": EMOJI, "label": "no", "answer": "accept"}
    assert answers(read("prodigy", TONE, lines(tmp_path, binary))) == [{"label": "no"}]
    manual = {"text": EMOJI, "spans": [{"start": 51, "end": 54, "label": "PER", "token_start": 11}], "answer": "accept"}
    assert answers(read("prodigy", NAMES, lines(tmp_path, manual))) == [{"spans": [span(EMOJI, "Bob", "PER")]}]
    suggested = {"text": EMOJI, "spans": [{"start": 51, "end": 54, "label": "PER"}]}
    [found] = read("prodigy", NAMES, lines(tmp_path, suggested))
    assert found.machine
    plain = {"text": EMOJI, "meta": {"source": "x"}}
    assert read("prodigy", NAMES, lines(tmp_path, plain)) == []


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"text": EMOJI, "answer": "maybe"}, "expected 'accept', 'reject' or 'ignore'"),
        ({"html": "x"}, "expected a task with `text`, got 'html'"),
        ({"text": EMOJI, "accept": ["no", "好评"], "answer": "accept"}, "expected one choice in `accept`"),
    ],
)
def test_prodigy_lines_that_cannot_be_read_are_named(held: dict[str, Any], says: str, tmp_path: Path):
    with pytest.raises(DataError, match=f"line 1: {says}"):
        read("prodigy", TONE, lines(tmp_path, held))


def test_a_rating_between_points_is_refused_where_there_are_only_points(tmp_path: Path):
    stars = Solved(SOLVED["rating"].task, [{"rating": 2.5}], SOLVED["rating"].records[:1])
    for name in ("prodigy", "argilla"):
        with pytest.raises(FormatError, match=r"has points of the scale only, record 'r0' is rated 2\.5") as caught:
            write(name, stars, rows(stars, outcomes(stars)), tmp_path)
        assert "doccano" in caught.value.hint


# doccano


@pytest.mark.parametrize("kind", ["spans", "relations", "classification"])
def test_what_doccano_exported_is_read_as_a_persons(kind: str):
    solved = SOLVED[kind]
    found = read("doccano", solved, SAMPLES / f"doccano-{kind}.jsonl")
    assert answers(found) == [each.answer for each in outcomes(solved) if isinstance(each, Annotation)]
    of_answers = [each for each in found if isinstance(each.outcome, Annotation)]
    assert {(each.machine, each.anchored) for each in of_answers} == {(False, True)}
    assert all(isinstance(each.outcome, Annotation) and each.outcome.confidence is None for each in of_answers)


def test_doccano_counts_in_utf_16(tmp_path: Path):
    path = write("doccano", NAMES, rows(NAMES, outcomes(NAMES)), tmp_path)
    first = json.loads(path.read_text(encoding="ascii").split("\n")[0])
    assert first["label"] == [[0, 5, "PER"], [16, 23, "组织"], [52, 55, "PER"]]
    assert "id" not in first  # doccano's own number would be put out by it


def test_an_offset_inside_an_emoji_tells_of_grapheme_clusters(tmp_path: Path):
    with pytest.raises(DataError, match=r"line 1: .*inside '😀' \('PER', 16 to 22\)") as caught:
        read("doccano", NAMES, lines(tmp_path, {"id": 1, "text": EMOJI, "label": [[16, 22, "PER"]]}))
    assert "grapheme clusters" in caught.value.hint


# Argilla


def test_what_argillas_sdk_wrote_is_read_by_person_and_by_suggestion():
    found = read("argilla", NAMES, SAMPLES / "argilla.json")
    people, models = ([each for each in found if each.machine is machine] for machine in (False, True))
    assert answers(people) == GIVEN[:2]
    assert answers(models) == GIVEN
    assert {(each.by, each.anchored) for each in people} == {("00000000-0000-0000-0000-000000000007", True)}
    assert {each.by for each in models} == {"small"}


def test_argilla_responses_that_are_drafts_or_discarded_are_no_answers(tmp_path: Path):
    def held(text: str, status: str) -> dict[str, Any]:
        response = {"value": "no", "user_id": "u", "status": status}
        return {"id": "x", "fields": {"text": text}, "responses": {"label": [response]}}

    path = tmp_path / "records.json"
    path.write_text(json.dumps([held(EMOJI, "draft"), held(CHINESE, "discarded")]), encoding="utf-8")
    [found] = read("argilla", TONE, path)
    assert isinstance(found.outcome, Abstention)
    assert found.outcome.record == "r1"


# CoNLL


@pytest.mark.parametrize("name", ["out.conll", "label-studio.conll"])
def test_conll_of_any_tokenizer_finds_its_places(name: str, tmp_path: Path):
    path = SAMPLES / name
    if name == "out.conll":
        path = write("conll", NAMES, rows(NAMES, outcomes(NAMES)), tmp_path)
        assert path.read_text(encoding="utf-8").startswith("-DOCSTART- -X- O O\n\nAlice B-PER\nworks O\n")
    found = answers(read("conll", NAMES, path))
    assert found[0] == GIVEN[0]
    assert len(found) == 3


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("B-PER I-PER O", [(0, 2)]),
        ("I-PER I-PER O", [(0, 2)]),  # IOB1
        ("B-PER B-PER O", [(0, 1), (1, 2)]),
        ("B-PER L-PER U-PER", [(0, 2), (2, 3)]),  # BILOU
        ("B-PER E-PER S-PER", [(0, 2), (2, 3)]),  # BIOES
        ("O B-PER I-组织", [(1, 2), (2, 3)]),
    ],
)
def test_conll_tags_of_every_scheme(tags: str, spans: list[tuple[int, int]], tmp_path: Path):
    path = tmp_path / "a.conll"
    path.write_text("".join(f"{word}\tX\t{tag}\n" for word, tag in zip("abc", tags.split(), strict=True)), "utf-8")
    solved = Solved(NAMES.task, [], (Record("r", {"text": "abc"}),))
    [found] = answers(read("conll", solved, path))
    assert [(each["start"], each["end"]) for each in found["spans"]] == spans


def test_conll_refuses_what_it_cannot_hold(tmp_path: Path):
    nested = KINDS["spans"]("names", "Find.", labels=["PER", "ORG"], nested=True)

    def refused(*spans: dict[str, Any], task: Any = nested) -> FormatError:
        solved = Solved(task, [{"spans": list(spans)}], NAMES.records[:1])
        with pytest.raises(FormatError) as caught:
            write("conll", solved, rows(solved, outcomes(solved)), tmp_path)
        assert "jsonl" in str(caught.value)
        return caught.value

    overlap = refused(span(EMOJI, "Alice works", "PER"), span(EMOJI, "works for", "ORG"))
    assert "spans that overlap, as in record 'r0': 'PER' 0 to 11 and 'ORG' 6 to 15" in str(overlap)
    assert "begins or ends with a space: 'Alice '" in str(refused(span(EMOJI, "Alice ", "PER")))
    spaced = KINDS["spans"]("names", "Find.", labels=["A B", "C"])
    assert "'A B' holds a space" in str(refused(span(EMOJI, "Bob", "C"), task=spaced))
    assert not list(tmp_path.iterdir())


def test_conll_lines_that_are_none_are_named(tmp_path: Path):
    for text, says in (("a\n", "line 1: expected a token and its tag"), ("a PER\n", "line 1: expected a tag like O")):
        path = tmp_path / "a.conll"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataError, match=says):
            read("conll", Solved(NAMES.task, [], (Record("r", {"text": "a"}),)), path)


# brat


def test_brat_files_are_those_of_brat(tmp_path: Path):
    path = write("brat", SOLVED["relations"], rows(SOLVED["relations"], outcomes(SOLVED["relations"])), tmp_path)
    assert sorted(each.name for each in path.iterdir()) == [
        *("000001.ann", "000001.txt", "000002.ann", "000002.txt", "000003.ann", "000003.txt"),
        *("annotation.conf", "postil.jsonl", "visual.conf"),
    ]
    assert (path / "000001.txt").read_bytes() == EMOJI.encode()
    assert (path / "000001.ann").read_text(encoding="utf-8") == (
        "T1\tPER 0 5\tAlice\nT2\tlabel_1 16 22\tAcme 😀\nR1\tlink_1 Arg1:T1 Arg2:T2\t\n"
    )
    assert "label_1 | 组织" in (path / "visual.conf").read_text(encoding="utf-8")


def test_a_brat_folder_of_elsewhere_is_read_by_its_texts(tmp_path: Path):
    (tmp_path / "doc-a.txt").write_text("Ann met\nBob Lee in Rome", encoding="utf-8")
    (tmp_path / "doc-a.ann").write_text(
        "T1\tPER 0 3\tAnn\nT2\tPER 8 11;12 15\tBob Lee\nE1\tMeet:T1\nA1\tNegation T1\n#1\tAnnotatorNotes T1\thm\n",
        encoding="utf-8",
    )
    solved = Solved(NAMES.task, [], (Record("r", {"text": "Ann met\nBob Lee in Rome"}),))
    with pytest.raises(DataError, match="fragments"):
        read("brat", solved, tmp_path)
    gaps = KINDS["spans"]("names", "Find.", labels=["PER", "B"], discontinuous=True)
    [found] = answers(read("brat", Solved(gaps, [], solved.records), tmp_path))
    assert found["spans"][0] == span("Ann met", "Ann", "PER")
    assert found["spans"][1]["fragments"] == [[8, 11], [12, 15]]


def test_a_span_over_a_line_end_comes_back_from_brat_whole(tmp_path: Path):
    text = "New\nYork"
    solved = Solved(NAMES.task, [{"spans": [span(text, text, "PER")]}], (Record("r", {"text": text}),))
    path = write("brat", solved, rows(solved, outcomes(solved)), tmp_path)
    assert (path / "000001.ann").read_text(encoding="utf-8") == "T1\tPER 0 3;4 8\tNew York\n"
    assert answers(read("brat", solved, path)) == [{"spans": [span(text, text, "PER")]}]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("T1\tPER 0 5\tBob", "expected 'Bob' at 0 5, got 'Alice'"),
        ("T1\tPER 0 500\tx", "expected a place inside the text"),
        ("T1 PER 0 5 Alice", "expected an annotation of brat"),
        ("T1\tPER a b\tAlice", "expected an annotation of brat"),
    ],
)
def test_a_brat_line_that_is_wrong_is_named(line: str, says: str, tmp_path: Path):
    path = write("brat", NAMES, rows(NAMES, outcomes(NAMES)), tmp_path)
    (path / "000001.ann").write_text(f"{line}\n", encoding="utf-8")
    with pytest.raises(DataError, match=f"000001.ann, line 1: {says}"):
        read("brat", NAMES, path)
