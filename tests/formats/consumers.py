"""Do the tools themselves read what we write, and do we read what they write? To be run by hand, where they are.

    python -m venv tools && tools/bin/pip install '.[parquet]' spacy
    tools/bin/python -m tests.formats.consumers

Each check runs where its tool can be imported: label-studio-sdk, spacy, datasets, trl (with transformers; no torch),
argilla, openai. With `--samples FOLDER` what the tools wrote is kept: `tests/formats/samples` holds such files, and
tests read them. doccano and brat are programs of their own: `docs/formats.md` says how they were tried.
"""

import argparse
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from postil.formats.argilla import settings_path
from postil.formats.label_studio import config_path
from postil.formats.others import FOREIGN
from postil.types import Annotation
from tests.formats.answers import CHINESE, EMOJI, SOLVED, Solved, outcomes, read, rows, write

ANNA: Final = "anna@example.org"


def _kinds(name: str) -> Iterator[str]:
    chosen = FOREIGN[name]
    yield from (kind for kind in SOLVED if chosen.kinds is None or kind in chosen.kinds)


def _written(name: str, kind: str, folder: Path, *, machine: bool = True) -> tuple[Solved, Path]:
    solved, inside = SOLVED[kind], folder / f"{name}-{kind}-{'model' if machine else 'person'}"
    inside.mkdir()
    return solved, write(name, solved, rows(solved, outcomes(solved, sure=machine), machine=machine), inside)


def _same_answers(name: str, kind: str, path: Path) -> None:
    """Check that we read the answers that we once wrote out of what a tool made of them."""
    solved = SOLVED[kind]
    given = {each.record: each.answer for each in outcomes(solved) if isinstance(each, Annotation)}
    found = [each.outcome for each in read(name, solved, path)]
    answers = {each.record: each.answer for each in found if isinstance(each, Annotation)}
    assert answers == given, (name, kind, answers, given)


def _keep(samples: Path | None, path: Path, name: str) -> None:
    if samples is not None:
        shutil.copyfile(path, samples / name)


# Label Studio


def label_studio(folder: Path, samples: Path | None) -> str:
    """Its SDK finds configurations, tasks, predictions and annotations valid, its converter reads them."""
    interfaces = importlib.import_module("label_studio_sdk.label_interface")
    converting = importlib.import_module("label_studio_sdk.converter")
    for kind in _kinds("label-studio"):
        for machine in (True, False):
            _, path = _written("label-studio", kind, folder, machine=machine)
            config = config_path(path).read_text(encoding="utf-8")
            interface = interfaces.LabelInterface(config)
            interface.validate()
            tasks = json.loads(path.read_text(encoding="utf-8"))
            for task in tasks:
                assert interface.validate_task({"data": task["data"]}), task
                for prediction in task.get("predictions", ()):
                    assert not (problems := interface.validate_prediction(prediction, return_errors=True)), problems
                for annotation in task.get("annotations", ()):
                    assert annotation.get("was_cancelled") or interface.validate_annotation(annotation), annotation
            if kind == "spans" and not machine:
                # The server numbers tasks and says who did what.
                path.write_text(json.dumps([_by_anna(task, at) for at, task in enumerate(tasks, 1)]), encoding="utf-8")
                _keep(samples, path, "label-studio.json")
                converter = converting.Converter(config, project_dir=str(folder))
                converter.convert_to_json_min(str(path), str(folder / "min"), is_dir=False)
                assert len(json.loads((folder / "min" / "result.json").read_text(encoding="utf-8"))) == len(tasks)
                converter.convert_to_conll2003(str(path), str(folder / "conll"), is_dir=False)
                _keep(samples, folder / "conll" / "result.conll", "label-studio.conll")
    return "configurations, tasks, predictions and annotations of every kind are valid; converted to JSON_MIN and CONLL"


def _by_anna(task: Mapping[str, Any], number: int) -> dict[str, Any]:
    more = {"id": number, "completed_by": {"id": 1, "email": ANNA}, "lead_time": 3.5, "ground_truth": False}
    made = [{**annotation, **more} for annotation in task.get("annotations", ())]
    return {"id": number, "data": task["data"], "annotations": made, "predictions": [], "meta": {}}


# spaCy


def spacy(folder: Path, samples: Path | None) -> str:
    """It reads our DocBin and, by `spacy convert`, our CoNLL; we read a DocBin of its own."""
    nlp = importlib.import_module("spacy").blank("zh")
    tokens = importlib.import_module("spacy.tokens")
    for kind in _kinds("docbin"):
        solved, path = _written("docbin", kind, folder)
        documents = list(tokens.DocBin().from_disk(path).get_docs(nlp.vocab))
        assert [each.text for each in documents] == [
            record.fields["text"] for record in solved.records[: len(documents)]
        ]
        _same_answers("docbin", kind, path)
        if kind == "spans":
            named = [(entity.text, entity.label_) for entity in documents[0].ents]
            assert named == [("Alice", "PER"), ("Acme 😀", "组织"), ("Bob", "PER")], named
    document = nlp(CHINESE)
    document.set_ents([document.char_span(0, 2, label="PER"), document.char_span(3, 7, label="组织")])
    theirs = folder / "theirs.spacy"
    tokens.DocBin(docs=[document]).to_disk(theirs)
    [found] = read("docbin", SOLVED["spans"], theirs)
    assert isinstance(found.outcome, Annotation)
    assert found.outcome.answer == SOLVED["spans"].answers[1]
    _keep(samples, theirs, "theirs.spacy")
    _, written = _written("conll", "spans", folder)
    named_conll = written.rename(written.with_suffix(".conll"))
    command = [sys.executable, "-m", "spacy", "convert", str(named_conll), str(folder), "-c", "conll", "-l", "zh"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    [first, second, _] = tokens.DocBin().from_disk(folder / "out.spacy").get_docs(nlp.vocab)
    assert [each.text for each in first.ents] == ["Alice", "Acme 😀", "Bob"]
    assert [each.text for each in second.ents] == ["张 三", "北 京 大 学"]
    return "categories, entities and texts are right; `spacy convert` finds the entities of our CoNLL"


# Hugging Face datasets and TRL


def datasets(folder: Path, samples: Path | None) -> str:
    """`load_dataset` reads our folder with its features; we read what `to_parquet` and `to_json` make of it."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    library = importlib.import_module("datasets")
    library.disable_progress_bars()
    for kind in _kinds("hugging-face"):
        _, path = _written("hugging-face", kind, folder)
        data = library.load_dataset(str(path), split="train", cache_dir=str(folder / "cache"))
        if kind == "classification":
            assert data.features["label"].names == list(SOLVED[kind].task.labels), data.features
        if kind == "spans":
            assert data[0]["spans"][1] == {"start": 16, "end": 22, "label": "组织", "text": "Acme 😀"}, data[0]
        parquet, lines = folder / f"{kind}.parquet", folder / f"{kind}-json" / "train.jsonl"
        lines.parent.mkdir()
        data.to_parquet(str(parquet))
        data.to_json(str(lines), force_ascii=False)
        shutil.copyfile(path / "README.md", lines.parent / "README.md")
        _same_answers("hugging-face", kind, parquet)
        _same_answers("hugging-face", kind, lines.parent)
        if kind == "classification":
            _keep(samples, parquet, "datasets.parquet")
    return "every kind is loaded; labels are ClassLabel, spans are structures; to_parquet and to_json come back"


def trl(folder: Path, _samples: Path | None) -> str:
    """Its own functions find our lines conversational and put them through a chat template."""
    os.environ["HF_HUB_OFFLINE"] = "1"
    library = importlib.import_module("datasets")
    library.disable_progress_bars()
    utilities, tokenizers = importlib.import_module("trl.data_utils"), importlib.import_module("tokenizers")
    words = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, unk_token="?"))
    tokenizer = importlib.import_module("transformers").PreTrainedTokenizerFast(tokenizer_object=words, unk_token="?")
    tokenizer.chat_template = (
        "{% for m in messages %}<{{m['role']}}>{{m['content']}}{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}"
    )
    for kind in _kinds("trl"):
        _, path = _written("trl", kind, folder)
        data = library.load_dataset(
            "json", data_files=str(path), split="train", cache_dir=str(folder / f"cache-{kind}")
        )
        wanted = ("chosen", "rejected") if kind == "preference" else ("completion",)
        for line in data:
            assert utilities.is_conversational(line), line
            laid_out = utilities.apply_chat_template(line, tokenizer)
            assert laid_out["prompt"].endswith("<assistant>"), laid_out
            assert all(laid_out[key] for key in wanted), laid_out
    return "every kind is conversational and goes through a chat template"


# Argilla


def argilla(folder: Path, samples: Path | None) -> str:
    """Its SDK reads our settings and records; we read what it writes, with a person's responses added."""
    _no_server()
    library, io = importlib.import_module("argilla"), importlib.import_module("argilla.records._io")
    for kind in _kinds("argilla"):
        solved, path = _written("argilla", kind, folder)
        settings = library.Settings.from_json(settings_path(path))
        records = io.JsonIO._records_from_json(path)  # public only through a server
        assert [record.id for record in records] == [record.id for record in solved.records]
        back, people = folder / f"{kind}-back.json", folder / f"{kind}-people.json"
        io.JsonIO.to_json(records, back)
        _same_answers("argilla", kind, back)
        [question] = settings.questions
        for record in records[:2]:
            [suggestion] = list(record.suggestions)
            record.responses.add(library.Response(question.name, suggestion.value, user_id=uuid.UUID(int=7)))
        io.JsonIO.to_json(records, people)
        found = [each for each in read("argilla", solved, people) if each.by == str(uuid.UUID(int=7))]
        assert [each.anchored for each in found] == [True, True], found
        if kind == "spans":
            _keep(samples, people, "argilla.json")
    return "settings and records of every kind are read; suggestions and responses come back"


def _no_server() -> None:
    """Let the SDK make settings without a server to ask."""

    class Anything:
        def __getattr__(self, _: str) -> "Anything":
            return Anything()

        def __call__(self, *_: Any, **__: Any) -> "Anything":
            return Anything()

    client = importlib.import_module("argilla.client").Argilla
    client._get_default = classmethod(lambda _: Anything())


# OpenAI


def openai(folder: Path, _samples: Path | None) -> str:
    """Our conversations fit the SDK's own types of messages."""
    types, pydantic = importlib.import_module("openai.types.chat"), importlib.import_module("pydantic")
    adapter = pydantic.TypeAdapter(list[types.ChatCompletionMessageParam])
    for kind in _kinds("openai"):
        _, path = _written("openai", kind, folder)
        for text in path.read_text(encoding="utf-8").split("\n")[:-1]:
            line = json.loads(text)
            turns = [line["messages"]] if "messages" in line else [line["input"]["messages"], line["preferred_output"]]
            for messages in turns:
                adapter.validate_python(messages)
            assert turns[-1][-1]["role"] == "assistant", line
    return "every conversation has the SDK's types and ends with the assistant"


CHECKS: Final[Mapping[str, Callable[[Path, Path | None], str]]] = {
    "label_studio_sdk": label_studio,
    "spacy": spacy,
    "datasets": datasets,
    "trl": trl,
    "argilla": argilla,
    "openai": openai,
}


def main() -> int:
    """Run the checks whose tools are there, and return how many failed."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0] if __doc__ else "")
    parser.add_argument("--samples", type=Path, help="folder for what the tools write")
    arguments = parser.parse_args()
    assert EMOJI.count("😀") == 1
    failed = 0
    for module, check in CHECKS.items():
        try:
            version = getattr(importlib.import_module(module), "__version__", "")
        except ImportError:
            print(f"{module}: not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            try:
                print(f"{module} {version}: {check(Path(folder), arguments.samples)}")
            except AssertionError as error:
                failed += 1
                print(f"{module} {version}: FAILED: {error}")
    return failed


if __name__ == "__main__":
    sys.exit(main())
