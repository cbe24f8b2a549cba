"""Real gold of every kind through other tools' formats and back, without our notes: every answer exact (A8)."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from postil.formats.foreign import shown_fields
from postil.formats.others import FOREIGN
from postil.tasks import Task
from postil.tasks.kinds import KINDS
from postil.types import Annotation, Answer, Record
from tests.formats.answers import Solved, outcomes, read, rows, without_notes, write
from tests.tasks import gold_labels, gold_preference, gold_relations, gold_roles, gold_spans, gold_timeline

DATA: Final = Path(__file__).resolve().parents[2] / "../shared/data"
SETS: Final = [
    *(("classification", "tnews_zh"), ("multi_label", "goemotions"), ("preference", "llmbar")),
    *(("entities", "wnut17"), ("entities", "weibo_ner_zh"), ("relations", "conll04_joint"), ("relations", "sanwen_zh")),
    *(("srl", "up_ewt"), ("temporal", "uds_time")),
]
AT_MOST: Final = 40


def gold(folder: str, name: str, at_most: int = AT_MOST) -> Solved:
    """Return a task with its gold, as far as a record can be told from the others by what a tool shows of it."""
    path = DATA / folder / name / "test.jsonl"
    if not path.exists():
        pytest.skip(f"no {path}")
    task, found = _task_and_gold(folder, name, path)
    seen = Counter(str(shown_fields(task, record.fields)) for record, _ in found)
    kept = [pair for pair in found if seen[str(shown_fields(task, pair[0].fields))] == 1][:at_most]
    return Solved(task, [answer for _, answer in kept], [record for record, _ in kept])


def _task_and_gold(folder: str, name: str, path: Path) -> tuple[Task, Sequence[tuple[Record, Answer]]]:
    match folder:
        case "entities":
            found = gold_spans.records_and_gold(path)
            return gold_spans.task_for(
                name, sorted({s["label"] for _, answer in found for s in answer["spans"]})
            ), found
        case "relations":
            found = gold_relations.records_and_gold(path)
            return gold_relations.task_for(name, found), found
        case "srl":
            found = gold_roles.records_and_gold(path)
            return gold_roles.task_for(name, gold_roles.roles_of(answer for _, answer in found)), found
        case "temporal":
            return gold_timeline.task_for(name, whole=True), gold_timeline.whole_texts(path)
        case "preference":
            return gold_preference.task_for(name), gold_preference.records_and_gold(path)
        case _:
            kind = "multilabel" if folder == "multi_label" else "classification"
            return KINDS[kind](name, "Which?", labels=gold_labels.labels_of(path)), gold_labels.records_and_gold(path)


@pytest.mark.parametrize(("folder", "name"), SETS)
def test_real_gold_comes_back_exactly(folder: str, name: str, tmp_path: Path):
    solved = gold(folder, name)
    given = {each.record: each.answer for each in outcomes(solved) if isinstance(each, Annotation)}
    assert given
    for format_name in formats_of(solved.task):
        (tmp_path / format_name).mkdir()
        path = write(format_name, solved, rows(solved, outcomes(solved)), tmp_path / format_name)
        if format_name != "conll":
            without_notes(path)
        found = {each.outcome.record: each.outcome for each in read(format_name, solved, path)}
        for record, answer in given.items():
            back = found.get(record)
            if answer.get("preferred") == "tie" and back is None:
                continue
            assert isinstance(back, Annotation), (format_name, record)
            if folder == "preference":
                assert back.answer["preferred"] == answer["preferred"]
            else:
                assert back.answer == answer, (format_name, record)


def formats_of(task: Task) -> list[str]:
    """Return the formats that hold a task's answers here."""
    free_senses = ("label-studio",) if task.spec.get("senses") is True else ()
    return [
        name
        for name, known in FOREIGN.items()
        if known.write and (known.kinds is None or task.kind in known.kinds) and name not in ("docbin", *free_senses)
    ]
