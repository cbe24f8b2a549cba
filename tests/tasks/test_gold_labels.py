"""Real gold of one label a text goes through the kind unchanged, in every form and language (survey 0.01)."""

import random

import pytest

from postil.tasks.classification import Classification
from postil.types import Capabilities, Completion, Usage
from tests.tasks.gold_labels import DATA, labels_of, records_and_gold

ENGINES = [
    Capabilities(),
    Capabilities(schema=True),
    Capabilities(scores="first_token"),
    Capabilities(scores="sequence"),
]


@pytest.mark.parametrize("name", ["sst2", "ag_news", "banking77", "tnews_zh", "chnsenticorp_hotel_zh"])
@pytest.mark.parametrize("reasons", [False, True])
def test_gold_is_read_back_exactly_and_that_of_other_records_is_right_by_chance(name: str, reasons: bool) -> None:
    paths = [DATA / "classification" / name / f"{part}.jsonl" for part in ("pool", "test")]
    if not paths[0].exists():
        pytest.skip("the shared data is not here")
    task = Classification(name, "Which label fits?", labels=labels_of(*paths), rationale=reasons, evidence=reasons)
    solved = [pair for path in paths for pair in records_and_gold(path)][::3]
    for form in [task.form(capabilities) for capabilities in ENGINES]:
        for record, answer in solved:
            accepted = task.accept(answer, record)
            assert accepted == answer
            said = Completion(task.write(accepted, form, record), "stop", Usage(1, 1))
            assert task.read(said, form, record).answer == accepted
    shuffled = random.Random(0).sample(solved, len(solved))
    right = [one[1] == other[1] for one, other in zip(solved, shuffled, strict=True)]
    assert sum(right) / len(right) < 1 / len(task.labels) + 0.1
