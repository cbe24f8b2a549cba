"""Spans are counted as nervaluate counts them, and each way to match sees what it should (survey 0.05)."""

import random
from itertools import pairwise
from typing import Any

import pytest
from nervaluate import Evaluator

from postil.assess.compared import Counts
from postil.assess.spans import compare
from postil.tasks.spans import Spans
from postil.types import Answer
from tests.tasks.gold_spans import DATA, SETS, records_and_gold

LABELS = ["PER", "LOC", "ORG"]
TASK = Spans("names", "Which?", labels=LABELS)
NESTED = Spans("names", "Which?", labels=LABELS, nested=True, discontinuous=True)

Item = tuple[int, int, str]


def answer(*items: Item) -> Answer:
    return {"spans": [{"start": s, "end": e, "label": label, "text": "x" * (e - s)} for s, e, label in sorted(items)]}


def counts(gold: Answer, given: Answer, task: Spans = TASK) -> dict[str, Counts]:
    return dict(compare(task, gold, given).counts)


@pytest.mark.parametrize(
    ("given", "hits"),
    [
        ((0, 5, "PER"), (1, 1, 1, 1)),
        ((0, 5, "LOC"), (0, 1, 1, 0)),
        ((0, 4, "PER"), (0, 0, 0.5, 1)),
        ((2, 9, "LOC"), (0, 0, 0.5, 0)),
        ((5, 9, "PER"), (0, 0, 0, 0)),
    ],
)
def test_each_way_to_match_sees_what_it_should(given: Item, hits: tuple[float, ...]) -> None:
    made = counts(answer((0, 5, "PER")), answer(given))
    assert made == {
        way: Counts(hit, 1, 1) for way, hit in zip(("strict", "exact", "partial", "type"), hits, strict=True)
    }


def drawn(chance: random.Random) -> list[Item]:
    """Return spans that do not overlap."""
    edges = sorted(chance.sample(range(60), 2 * chance.randint(0, 6)))
    pairs = list(zip(edges[::2], edges[1::2], strict=True))
    return [(s, e, chance.choice(LABELS)) for s, e in pairs]


def blurred(items: list[Item], chance: random.Random) -> list[Item]:
    """Return spans as an annotator gives them: some missing, some with other ends or labels, none overlapping."""
    said: list[Item] = []
    for start, end, label in items:
        first, last = max(start + chance.choice([0, 0, -1, 1]), 0), end + chance.choice([0, 0, 0, 2, -1])
        if chance.random() < 0.8 and first < last and (not said or first >= said[-1][1]):
            said.append((first, last, label if chance.random() < 0.8 else chance.choice(LABELS)))
    return said


def evaluated(pairs: list[tuple[list[Item], list[Item]]]) -> dict[str, Any]:
    """Return what nervaluate makes of spans; its ends are inclusive."""
    sides = [
        [[{"label": label, "start": s, "end": e - 1} for s, e, label in sorted(pair[side])] for pair in pairs]
        for side in (0, 1)
    ]
    return Evaluator(*sides, tags=LABELS, loader="dict").evaluate()


WAYS = {"strict": "strict", "exact": "exact", "partial": "partial", "type": "ent_type"}


def agrees(pairs: list[tuple[list[Item], list[Item]]]) -> None:
    results = evaluated(pairs)
    compared = [compare(TASK, answer(*gold), answer(*given)) for gold, given in pairs]
    for way, name in WAYS.items():
        theirs = results["overall"][name]
        assert sum(one.counts[way].hits for one in compared) == theirs.correct + theirs.partial / 2, way
        assert sum(one.counts[way].given for one in compared) == theirs.actual
        assert sum(one.counts[way].gold for one in compared) == theirs.possible
    for label, ways in results["entities"].items():
        # A label alone, so that no other span is held against a gold one.
        assert sum(one.per_label.get(label, Counts(0, 0, 0)).hits for one in compared) == ways["strict"].correct


@pytest.mark.parametrize("seed", range(8))
def test_nervaluate_agrees_on_blurred_and_on_unrelated_spans(seed: int) -> None:
    chance = random.Random(seed)
    golds = [drawn(chance) for _ in range(250)]
    agrees([(gold, blurred(gold, chance)) for gold in golds])
    agrees([(gold, drawn(chance)) for gold in golds])


def test_nested_spans_are_sets_and_do_not_use_each_other_up() -> None:
    gold = answer((0, 9, "ORG"), (0, 3, "LOC"))
    # An evaluator that goes from span to span lets the first one take the wrong gold span.
    given = answer((0, 3, "PER"), (0, 3, "LOC"), (0, 9, "ORG"))
    made = counts(gold, given, NESTED)
    assert made["strict"] == Counts(2, 3, 2)
    assert made["exact"] == Counts(2, 3, 2)
    assert compare(NESTED, gold, gold).right


def test_fragments_and_fields_are_part_of_the_place() -> None:
    split: Answer = {"spans": [{"start": 0, "end": 9, "label": "PER", "text": "x" * 9, "fragments": [[0, 3], [6, 9]]}]}
    whole = answer((0, 9, "PER"))
    assert counts(split, whole, NESTED)["exact"].hits == 0
    assert counts(split, whole, NESTED)["partial"].hits == 0.5
    assert counts(split, answer((3, 6, "PER")), NESTED)["partial"].hits == 0
    other: Answer = {"spans": [{"field": "title", **whole["spans"][0]}]}
    assert counts(whole, other)["type"].hits == 0


@pytest.mark.parametrize("name", SETS)
def test_gold_beside_itself_is_perfect_and_beside_another_record_is_not(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip("no shared data here")
    gold = [given for _, given in records_and_gold(DATA / name / "test.jsonl") if given["spans"]]
    assert all(compare(NESTED, one, one).right for one in gold)
    strict = [compare(NESTED, one, other).counts["strict"] for one, other in pairwise(gold)]
    assert sum(each.hits for each in strict) < 0.1 * sum(each.gold for each in strict)
