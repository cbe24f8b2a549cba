"""Hugging Face folders, TRL, OpenAI and DocBin: what trainers read."""

import json
from pathlib import Path
from typing import Any

import pytest

from postil.errors import DataError, MissingExtraError
from postil.tasks.kinds import KINDS
from postil.types import Annotation, Record
from tests.formats.answers import CHINESE, PAIRS, SOLVED, Solved, outcomes, read, rows, write

SAMPLES = Path(__file__).with_name("samples")
TONE = SOLVED["classification"]
BETTER = SOLVED["preference"]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n")[:-1]]


# Hugging Face


def test_the_card_says_what_the_columns_are(tmp_path: Path):
    path = write("hugging-face", TONE, rows(TONE, outcomes(TONE)), tmp_path)
    head = (path / "README.md").read_text(encoding="utf-8").split("---\n")[1]
    features = {each["name"]: each for each in json.loads(head.removeprefix("dataset_info: "))["features"]}
    assert features["label"]["dtype"] == {"class_label": {"names": {"0": "好评", "1": "no", "2": "1e3"}}}
    [first, second] = lines(path / "data" / "train.jsonl")
    assert list(first) == list(features) or set(first) == set(features)
    assert (first["label"], second["label"], first["text"]) == ("好评", "1e3", TONE.records[0].fields["text"])


def test_a_column_of_the_record_keeps_its_name(tmp_path: Path):
    solved = SOLVED["text"]
    first = lines(write("hugging-face", solved, rows(solved, outcomes(solved)), tmp_path) / "data" / "train.jsonl")[0]
    assert (first["text"], first["answer_text"]) == (solved.records[0].fields["text"], "A line.\nTwo.")


def test_labels_that_datasets_made_numbers_get_their_names_back():
    found = [each.outcome for each in read("hugging-face", TONE, SAMPLES / "datasets.parquet")]
    assert found == [each for each in outcomes(TONE) if isinstance(each, Annotation)]


def test_a_dataset_without_our_columns_is_read_by_text_and_label(tmp_path: Path):
    file = tmp_path / "data.csv"
    file.write_text(f"text,label\n{CHINESE},no\n", encoding="utf-8")
    [found] = read("hugging-face", TONE, file)
    assert (found.outcome.record, found.machine) == ("r1", False)
    file.write_text("text,sentiment\nx,no\n", encoding="utf-8")
    with pytest.raises(DataError, match="line 2: expected the column 'label', got 'text', 'sentiment'"):
        read("hugging-face", TONE, file)
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "data-00000-of-00001.arrow").write_bytes(b"x")
    with pytest.raises(DataError, match="got Arrow files") as caught:
        read("hugging-face", TONE, tmp_path / "saved")
    assert "to_parquet" in caught.value.hint


# TRL and OpenAI


def test_prompts_are_those_that_postil_asks_with(tmp_path: Path):
    given = rows(TONE, outcomes(TONE))
    (tmp_path / "o").mkdir()
    trl = lines(write("trl", TONE, given, tmp_path))
    [first, _] = lines(write("openai", TONE, given, tmp_path / "o"))
    assert [turn["role"] for turn in trl[0]["prompt"]] == ["system", "user"]
    assert "What is it?" in trl[0]["prompt"][0]["content"]
    assert TONE.records[0].fields["text"] in trl[0]["prompt"][1]["content"]
    assert trl[0]["completion"] == [{"role": "assistant", "content": "好评"}]
    assert first == {"messages": [*trl[0]["prompt"], *trl[0]["completion"]]}


def test_the_better_candidate_is_chosen_whichever_it_is(tmp_path: Path):
    given = rows(BETTER, outcomes(BETTER))
    first, second = lines(write("trl", BETTER, given, tmp_path))
    assert (first["prompt"][0]["content"], first["id"]) == ("问题 0?", "p0")
    assert (first["chosen"][0]["content"], first["rejected"][0]["content"]) == ("A0 😀", "B0")
    assert (second["chosen"][0]["content"], second["rejected"][0]["content"]) == ("B1", "A1 😀")
    (tmp_path / "o").mkdir()
    pair = lines(write("openai", BETTER, given, tmp_path / "o"))[1]
    assert pair["input"] == {"messages": [{"role": "user", "content": "问题 1?"}]}
    assert pair["preferred_output"] == [{"role": "assistant", "content": "B1"}]


def test_a_ranking_is_the_pairs_that_it_says(tmp_path: Path):
    task = KINDS["preference"]("best", "Which is best?", candidates=["x", "y", "z"], context="")
    record = Record("r", {"x": "X", "y": "Y", "z": "Z"})
    answer = task.accept({"ranking": [["b"], ["a", "c"]]}, record)
    solved = Solved(task, [answer], (record,))
    found = lines(write("trl", solved, rows(solved, outcomes(solved)), tmp_path))
    assert [(each["chosen"][0]["content"], each["rejected"][0]["content"]) for each in found] == [
        ("Y", "X"),
        ("Y", "Z"),
    ]
    assert all("prompt" not in each for each in found)


def test_training_data_of_elsewhere_is_read_by_its_texts(tmp_path: Path):
    path = tmp_path / "a.jsonl"
    turns = [{"role": "user", "content": CHINESE}, {"role": "assistant", "content": "no"}]
    path.write_text(json.dumps({"messages": turns}) + "\n", encoding="utf-8")
    assert [each.outcome.record for each in read("openai", TONE, path)] == ["r1"]
    path.write_text(json.dumps({"prompt": CHINESE, "completion": "no"}) + "\n", encoding="utf-8")
    assert [each.outcome.record for each in read("trl", TONE, path)] == ["r1"]
    pair = {"chosen": PAIRS[1].fields["response_b"], "rejected": PAIRS[1].fields["response_a"]}
    path.write_text(json.dumps(pair) + "\n", encoding="utf-8")
    [found] = read("trl", BETTER, path)
    assert isinstance(found.outcome, Annotation)
    assert (found.outcome.record, found.outcome.answer["preferred"]) == ("p1", "b")


@pytest.mark.parametrize(
    ("held", "says"),
    [
        ({"prompt": CHINESE, "completion": "perhaps"}, "line 1, record 'r1': "),
        ({"prompt": CHINESE}, "line 1: expected a line with 'prompt' and 'completion', got 'prompt'"),
        ({"prompt": CHINESE, "completion": [1, 2]}, "line 1: expected one turn of an assistant"),
    ],
)
def test_a_completion_that_is_no_answer_is_named(held: dict[str, Any], says: str, tmp_path: Path):
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps(held) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match=says):
        read("trl", TONE, path)


def pairs(*records: tuple[str, str, str], preferred: str = "a") -> Solved:
    """Return records with these prompts and candidates, in all of which the same side is better."""
    task = KINDS["preference"]("better", "Which is better?")
    held = tuple(
        Record(f"r{at}", {"prompt": prompt, "response_a": one, "response_b": other})
        for at, (prompt, one, other) in enumerate(records)
    )
    answer = task.accept({"preferred": preferred}, held[0])
    return Solved(task, [answer] * len(held), held)


@pytest.mark.parametrize("preferred", ["a", "b"])
def test_pairs_that_share_a_prompt_or_candidates_come_back_to_their_records(preferred: str, tmp_path: Path):
    solved = pairs(("q", "A", "B"), ("q", "A", "C"), ("other", "A", "B"), ("other", "C", "A"), preferred=preferred)
    path = write("openai", solved, rows(solved, outcomes(solved)), tmp_path)
    found = [each.outcome for each in read("openai", solved, path)]
    assert [each.record for each in found] == ["r0", "r1", "r2", "r3"]
    assert {each.answer["preferred"] for each in found if isinstance(each, Annotation)} == {preferred}


@pytest.mark.parametrize("twin", [("q", "A", "B"), ("q", "B", "A")])
def test_pairs_that_nothing_tells_apart_are_refused_by_name_unless_an_id_says_which(
    twin: tuple[str, str, str], tmp_path: Path
):
    solved = pairs(("q", "A", "B"), twin)
    path = write("openai", solved, rows(solved, outcomes(solved)), tmp_path)
    with pytest.raises(DataError, match=r"line 1: 2 records have this text, 'r0' and 'r1' among them"):
        read("openai", solved, path)
    held = lines(path)
    for named in ({"id": "r1"}, {"metadata": {"id": "r1"}}, {"postil": {"id": "r1"}}):
        path.write_text(json.dumps(held[1] | named) + "\n", encoding="utf-8")
        [found] = read("openai", solved, path)
        assert isinstance(found.outcome, Annotation)
        assert (found.outcome.record, found.outcome.answer["preferred"]) == ("r1", "a")
    # The number of some other program is no id of ours.
    path.write_text(json.dumps(held[0] | {"id": "ft-17"}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="2 records have this text"):
        read("openai", solved, path)
    path.write_text(json.dumps(held[0] | {"id": "r0", "preferred_output": "Z"}) + "\n", encoding="utf-8")
    with pytest.raises(DataError, match="the text is not that of record 'r0'"):
        read("openai", solved, path)


@pytest.mark.parametrize("given", [None, {}, {"messages": []}, {"messages": [{"role": "user", "content": "Hello?"}]}])
def test_a_pair_under_another_prompt_is_found_by_its_candidates_alone(given: Any, tmp_path: Path):
    solved = pairs(("q", "A", "B"), ("p", "A", "C"))
    path = tmp_path / "a.jsonl"
    held = {"input": given, "preferred_output": "C", "non_preferred_output": "A"}
    path.write_text(json.dumps(held) + "\n", encoding="utf-8")
    [found] = read("openai", solved, path)
    assert isinstance(found.outcome, Annotation)
    assert (found.outcome.record, found.outcome.answer["preferred"]) == ("r1", "b")


def test_conversations_about_equal_texts_are_told_apart_by_id(tmp_path: Path):
    twins = (Record("r1", {"text": CHINESE}), Record("r2", {"text": CHINESE}))
    solved = Solved(TONE.task, [{"label": "no"}] * 2, twins)
    path = write("openai", solved, rows(solved, outcomes(solved)), tmp_path)
    with pytest.raises(DataError, match="2 records have this text, 'r1' and 'r2' among them"):
        read("openai", solved, path)
    path.write_text(json.dumps(lines(path)[0] | {"metadata": {"id": "r2"}}) + "\n", encoding="utf-8")
    assert [each.outcome.record for each in read("openai", solved, path)] == ["r2"]


# DocBin


def test_docbin_needs_spacy_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("postil.formats.docbin.import_module", missing)
    with pytest.raises(MissingExtraError, match="writing DocBin needs the extra 'spacy'"):
        write("docbin", TONE, rows(TONE, outcomes(TONE)), tmp_path)


@pytest.mark.parametrize("kind", ["classification", "multilabel", "spans"])
def test_docbin_comes_back_whole(kind: str, tmp_path: Path):
    pytest.importorskip("spacy")
    solved = SOLVED[kind]
    path = write("docbin", solved, rows(solved, outcomes(solved)), tmp_path)
    expected = [each for each in outcomes(solved) if isinstance(each, Annotation)]
    assert [each.outcome for each in read("docbin", solved, path)] == expected


def test_a_docbin_of_spacys_own_is_read():
    pytest.importorskip("spacy")
    [found] = read("docbin", SOLVED["spans"], SAMPLES / "theirs.spacy")
    assert isinstance(found.outcome, Annotation)
    assert found.outcome.answer == SOLVED["spans"].answers[1]


def test_what_is_no_docbin_is_named(tmp_path: Path):
    pytest.importorskip("spacy")
    path = tmp_path / "a.spacy"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="expected a DocBin of spaCy"):
        read("docbin", TONE, path)
