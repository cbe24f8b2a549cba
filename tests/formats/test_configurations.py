"""Configurations of Autolabel and spaCy-LLM as projects, and the labels that Autolabel left."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from postil.cli.app import OURS, READ, WRITTEN
from postil.errors import DataError, FormatError, InputError, SettingsError
from postil.formats import FORMATS
from postil.formats.landing import Landing
from postil.formats.others import CONFIGURATIONS, FOREIGN
from postil.project import Project
from postil.tasks.kinds import KINDS
from postil.types import Annotation, Failure, Record
from tests.formats.answers import Solved, read

CSV = "example,label\nI lost my card,lost\nMy card is here,found\nWhere is it?,\n"
AUTOLABEL: Mapping[str, Any] = {
    "task_name": "Cards",
    "task_type": "classification",
    "dataset": {"label_column": "label", "delimiter": ","},
    "model": {"provider": "openai", "name": "gpt-4o-mini", "params": {"temperature": 0.5, "max_tokens": 20}},
    "prompt": {
        "task_guidelines": "You know cards.\nSay which of {num_labels} it is.\nCategories:\n{labels}",
        "output_guidelines": "Only the label.",
        "labels": {"lost": "the card is gone", "found": "the card is there"},
        "few_shot_examples": "seed.csv",
        "few_shot_selection": "semantic_similarity",
        "few_shot_num": 2,
        "example_template": "Input: {example}\nOutput: {label}",
    },
}


def config(folder: Path, **changes: Any) -> Path:
    held = json.loads(json.dumps(AUTOLABEL))
    for key, value in changes.items():
        table, _, inner = key.partition("__")
        if inner:
            held[table][inner] = value
        else:
            held[table] = value
    path = folder / "config.json"
    path.write_text(json.dumps(held), encoding="utf-8")
    (folder / "items.csv").write_text(CSV, encoding="utf-8")
    (folder / "seed.csv").write_text("example,label\nGone!,lost\nOh there,found\n", encoding="utf-8")
    return path


def landing(folder: Path, *, items: str = "items.csv", **changes: Any) -> Landing:
    return CONFIGURATIONS["autolabel"].read(config(folder, **changes), folder / items, None)


def test_an_autolabel_classification_becomes_a_project_that_works(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    made = Project.from_configuration(
        tmp_path / "cards", config(tmp_path), items=tmp_path / "items.csv", format="autolabel"
    )
    with made:
        assert made.task.labels == ("lost", "found")
        assert made.task.spec["labels_meanings"] == {"lost": "the card is gone", "found": "the card is there"}
        assert made.task.instruction == "You know cards.\nSay which of 2 it is.\nCategories:"
        assert (made.task.show, made.journal.count_records(), len(made.journal.gold())) == ("{example}", 3, 2)
        small = made.settings.annotators["first"]
        assert (small.engine, small.model, small.api_key_env) == ("openai", "gpt-4o-mini", "OPENAI_API_KEY")
        assert (small.shots, small.demonstrations, small.temperature, small.max_tokens) == (2, "similar", 0.5, 20)
        shown = (tmp_path / "cards" / "demonstrations.jsonl").read_text(encoding="utf-8")
        assert json.loads(shown.split("\n")[0]) == {"example": "Gone!", "label": "lost"}
    assert "`output_guidelines` was not taken over" in caplog.text


def test_several_columns_are_shown_as_the_template_shows_them(tmp_path: Path):
    found = landing(
        tmp_path,
        prompt__example_template="First {{a}}: {one}\nSecond: {two}\nSame? {label}",
        task_type="entity_matching",
    )
    assert found.task["show"] == "First {{a}}: {one}\nSecond: {two}"
    assert found.task["kind"] == "classification"


def test_many_labels_in_one_column_become_gold_of_a_file(tmp_path: Path):
    config_ = config(
        tmp_path, task_type="multilabel_classification", prompt__few_shot_num=0, dataset__label_separator=";"
    )
    (tmp_path / "items.csv").write_text("example,label\na,lost; found\nb,\nc,found\n", encoding="utf-8")
    made = Project.from_configuration(tmp_path / "p", config_, items=tmp_path / "items.csv", format="autolabel")
    with made:
        assert made.task.kind == "multilabel"
        assert sorted(answer["labels"] for answer in made.journal.gold().values()) == [["found"], ["lost", "found"]]


def test_entities_are_placed_and_what_is_ambiguous_is_said(tmp_path: Path):
    config_ = config(
        tmp_path, task_type="named_entity_recognition", prompt__labels=["PER", "LOC"], prompt__few_shot_num=0
    )
    cells = [('{"PER": ["Ann"], "LOC": []}', "Ann left"), ('{"PER": ["Ann"]}', "Ann met Ann"), ("{}", "nobody")]
    text = "example,label\n" + "".join(f'{words},"{cell.replace(chr(34), chr(34) * 2)}"\n' for cell, words in cells)
    (tmp_path / "items.csv").write_text(text, encoding="utf-8")
    found = CONFIGURATIONS["autolabel"].read(config_, tmp_path / "items.csv", None)
    spans = [row["spans"] for row in found.gold]
    assert spans == [[{"start": 0, "end": 3, "label": "PER", "text": "Ann"}], []]
    assert "the gold of 1 records was left out: it does not say one answer" in found.notes


def test_attributes_take_their_options_lists_and_descriptions(tmp_path: Path):
    attributes = [
        {"name": "mood", "description": "How they feel.", "options": ["up", "down"]},
        {"name": "places", "description": "Where."},
    ]
    config_ = config(
        tmp_path,
        task_type="attribute_extraction",
        dataset__label_column=None,
        prompt__attributes=attributes,
        prompt__few_shot_num=0,
    )
    (tmp_path / "items.csv").write_text('example,mood,places\nx,up,"[""Rome""]"\ny,,[]\n', encoding="utf-8")
    with Project.from_configuration(tmp_path / "p", config_, items=tmp_path / "items.csv", format="autolabel") as made:
        assert [each["type"] for each in made.task.spec["fields"]] == ["label", "list"]
        assert next(iter(made.journal.gold().values()))["attributes"] == {"mood": "up", "places": ["Rome"]}


def test_one_attribute_with_options_is_a_classification(tmp_path: Path):
    attribute = {"name": "label", "options": ["lost", "found"]}
    found = landing(tmp_path, task_type="attribute_extraction", prompt__attributes=[attribute], prompt__labels=None)
    assert (found.task["kind"], found.task["labels"], found.gold_field) == (
        "classification",
        ["lost", "found"],
        "label",
    )


def test_no_key_and_no_foreign_path_is_taken_over(tmp_path: Path):
    secret = "sk-not-to-be-seen"
    params = {"api_key": secret, "temperature": 0}
    found = landing(tmp_path, model={"provider": "anthropic", "name": "claude", "params": params})
    assert found.annotator["engine"] == "local"
    assert any("'claude' of 'anthropic' was not taken over" in note for note in found.notes)
    assert secret not in repr(found)
    (tmp_path / "inner").mkdir()
    (tmp_path / "outer.csv").write_text("example,label\na,lost\n", encoding="utf-8")
    with pytest.raises(DataError, match="outside its own folder"):
        landing(tmp_path / "inner", prompt__few_shot_examples="../outer.csv")
    gone = landing(tmp_path, prompt__few_shot_examples="data/none.csv")
    assert "shots" not in gone.annotator
    assert any("without examples" in note for note in gone.notes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"task_type": "poetry"}, "expected a `task_type`, one of"),
        ({"prompt__labels": []}, "expected `labels` in `prompt`"),
        ({"prompt__task_guidelines": ""}, "expected `task_guidelines`"),
        ({"dataset__delimiter": ";"}, "separated by ';'"),
        ({"dataset": 3}, "expected an object under 'dataset', got 3"),
    ],
)
def test_a_configuration_that_will_not_do_leaves_nothing_behind(changes: dict[str, Any], says: str, tmp_path: Path):
    with pytest.raises(InputError, match=says) as caught:
        Project.from_configuration(
            tmp_path / "p", config(tmp_path, **changes), items=tmp_path / "items.csv", format="autolabel"
        )
    assert "config.json" in str(caught.value)
    assert not (tmp_path / "p").exists()


def test_gold_that_is_no_label_leaves_nothing_behind(tmp_path: Path):
    config_ = config(tmp_path)
    (tmp_path / "items.csv").write_text("example,label\na,stolen\n", encoding="utf-8")
    with pytest.raises(DataError, match="'stolen'"):
        Project.from_configuration(tmp_path / "p", config_, items=tmp_path / "items.csv", format="autolabel")
    assert not (tmp_path / "p").exists()
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "demonstrations.jsonl").write_text("mine", encoding="utf-8")
    with pytest.raises(SettingsError, match=r"demonstrations\.jsonl: there is a file already"):
        Project.from_configuration(tmp_path / "p", config(tmp_path), items=tmp_path / "items.csv", format="autolabel")
    assert (tmp_path / "p" / "demonstrations.jsonl").read_text(encoding="utf-8") == "mine"


def test_what_autolabel_labelled_is_read_with_its_confidence(tmp_path: Path):
    task = KINDS["classification"]("cards", "Which?", labels=["lost", "found"], show="{example}")
    records = tuple(Record(f"r{at}", {"example": text}) for at, text in enumerate(["I lost it", "here", "hm"]))
    path = tmp_path / "out.csv"
    path.write_text(
        "example,Cards_task_label,Cards_task_error,Cards_task_successfully_labeled,Cards_task_confidence\n"
        "here,found,,True,0.75\nI lost it,lost,,True,\nhm,,rate_limit,False,0.0\n",
        encoding="utf-8",
    )
    first, second, third = read("autolabel", Solved(task, [], records), path)
    assert isinstance(first.outcome, Annotation)
    assert (first.outcome.record, first.outcome.answer, first.by) == ("r1", {"label": "found"}, "Cards")
    assert first.outcome.confidence is not None
    assert first.outcome.confidence.value == 0.75
    assert isinstance(second.outcome, Annotation)
    assert second.outcome.confidence is None
    assert isinstance(third.outcome, Failure)
    assert (third.outcome.record, third.outcome.message) == ("r2", "rate_limit")
    path.write_text("example,label\nhere,found\n", encoding="utf-8")
    with pytest.raises(DataError, match="expected one column of labels, like 'NAME_task_label'"):
        read("autolabel", Solved(task, [], records), path)


# spaCy-LLM

SPACY = """\
[paths]
examples = "examples.json"

[nlp]
lang = "en"
pipeline = ["llm"]

[components]

[components.llm]
factory = "llm"

[components.llm.task]
@llm_tasks = "spacy.NER.v3"
labels = ["DISH", "TOOL"]
description = Entities are dishes
    and tools.

[components.llm.task.label_definitions]
DISH = "Food, e.g. soup"
TOOL = "What one cooks with"

[components.llm.task.examples]
@misc = "spacy.FewShotReader.v1"
path = "${paths.examples}"

[components.llm.task.normalizer]
@misc = "spacy.LowercaseNormalizer.v1"

[components.llm.model]
@llm_models = "spacy.GPT-4.v3"
config = {"temperature": 0.0}
"""
EXAMPLES = [
    {
        "text": "Soup in a pot",
        "spans": [
            {"text": "Soup", "is_entity": True, "label": "DISH", "reason": "food"},
            {"text": "in", "is_entity": False, "label": "==NONE==", "reason": "no"},
            {"text": "pot", "is_entity": True, "label": "TOOL", "reason": "tool"},
        ],
    },
    {"text": "a pot, a pot", "spans": [{"text": "pot", "is_entity": True, "label": "TOOL"}]},
]


def spacy_landing(folder: Path, text: str = SPACY, *, examples: Any = EXAMPLES, part: str | None = None) -> Landing:
    path = folder / "config.cfg"
    path.write_text(text, encoding="utf-8")
    (folder / "examples.json").write_text(json.dumps(examples), encoding="utf-8")
    (folder / "items.jsonl").write_text('{"text": "Tea from a kettle"}\n', encoding="utf-8")
    return CONFIGURATIONS["spacy-llm"].read(path, folder / "items.jsonl", part)


def test_a_spacy_llm_component_becomes_a_project_that_works(tmp_path: Path):
    found = spacy_landing(tmp_path)
    assert found.task["instruction"] == "Entities are dishes and tools."
    assert found.task["labels"] == {"DISH": "Food, e.g. soup", "TOOL": "What one cooks with"}
    assert (found.annotator["model"], found.annotator["shots"]) == ("gpt-4", 1)
    assert found.demonstrations[0]["spans"] == [
        {"start": 0, "end": 4, "label": "DISH", "text": "Soup"},
        {"start": 10, "end": 13, "label": "TOOL", "text": "pot"},
    ]
    assert "`normalizer` was not taken over" in found.notes
    assert "1 examples were left out: they have no answer that can be told" in found.notes
    made = Project.from_configuration(
        tmp_path / "p", tmp_path / "config.cfg", items=tmp_path / "items.jsonl", format="spacy-llm"
    )
    with made:
        assert (made.task.kind, made.journal.count_records()) == ("spans", 1)


@pytest.mark.parametrize(
    ("task", "kind", "labels"),
    [
        ('@llm_tasks = "spacy.TextCat.v3"\nlabels = A,B\nexclusive_classes = true', "classification", ["A", "B"]),
        ('@llm_tasks = "spacy.TextCat.v2"\nlabels = ["A", "B"]', "multilabel", ["A", "B"]),
        ('@llm_tasks = "spacy.TextCat.v1"\nlabels = A', "classification", {"POS": "A", "NEG": "not A"}),
        ('@llm_tasks = "spacy.SpanCat.v3"\nlabels = A,B', "spans", ["A", "B"]),
        ('@llm_tasks = "spacy.REL.v1"\nlabels = A,B', "relations", ["A", "B"]),
        ('@llm_tasks = "spacy.Summarization.v1"', "text", None),
    ],
)
def test_every_task_of_spacy_llm_that_there_is_a_kind_for(task: str, kind: str, labels: Any, tmp_path: Path):
    text = f'[components.llm.task]\n{task}\n[components.llm.model]\n@llm_models = "spacy.Dolly.v1"\n'
    found = spacy_landing(tmp_path, text)
    assert (found.task["kind"], found.task.get("labels")) == (kind, labels)
    assert found.annotator == {"engine": "local"}
    assert any("'spacy.Dolly.v1' was not taken over" in note for note in found.notes)


def test_relations_in_examples_become_demonstrations(tmp_path: Path):
    example = {
        "text": "Ann lives in Rome",
        "ents": [{"start_char": 0, "end_char": 3, "label": "PER"}, {"start_char": 13, "end_char": 17, "label": "LOC"}],
        "relations": [{"dep": 0, "dest": 1, "relation": "lives"}],
    }
    text = SPACY.replace("spacy.NER.v3", "spacy.REL.v1").replace('["DISH", "TOOL"]', '["lives"]')
    found = spacy_landing(tmp_path, text, examples=[example])
    assert found.task["span_labels"] == ["LOC", "PER"]
    assert found.demonstrations[0]["relations"] == [{"head": "T1", "tail": "T2", "label": "lives"}]


def test_spacy_llm_configurations_that_will_not_do_are_named(tmp_path: Path):
    with pytest.raises(FormatError, match=r"expected one of the tasks .*got 'spacy\.EntityLinker\.v1'"):
        spacy_landing(tmp_path, SPACY.replace("spacy.NER.v3", "spacy.EntityLinker.v1"))
    two = SPACY + SPACY.replace("components.llm.", "components.other.").split("[components]\n\n[components.llm]")[
        1
    ].replace('\nfactory = "llm"\n', "", 1)
    with pytest.raises(FormatError, match="expected one component, got 'llm', 'other'"):
        spacy_landing(tmp_path, two)
    assert spacy_landing(tmp_path, two, part="other").task["name"] == "other"
    with pytest.raises(FormatError, match="expected a component of spaCy-LLM, got none"):
        spacy_landing(tmp_path, "[nlp]\nlang = en\n")
    with pytest.raises(DataError, match="expected a configuration of spaCy"):
        spacy_landing(tmp_path, "no sections")
    with pytest.raises(DataError, match="outside its own folder"):
        spacy_landing(tmp_path, SPACY.replace("examples.json", "../examples.json"))


def test_the_help_names_every_format():
    assert set(OURS.strip(".").split(", ")) <= set(FORMATS)
    assert READ.split(", ") == [name for name, known in FOREIGN.items() if known.read]
    assert WRITTEN.split(", ") == [name for name, known in FOREIGN.items() if known.write]
