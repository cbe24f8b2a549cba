"""Relations beside gold: triples with and without the labels of their spans, and the spans (survey 0.05, 2.30)."""

from collections import Counter
from typing import NamedTuple

from postil.assess.compared import Compared, Counts
from postil.assess.spans import Part, parts
from postil.tasks.relations import Relations
from postil.types import Answer

__all__ = ["compare"]


class _Triple(NamedTuple):
    head: Part
    label: str
    tail: Part


def compare(task: Relations, gold: Answer, given: Answer) -> Compared:
    """Return the relations of one answer beside those of gold.

    `strict`: equal relation, equal boundaries and labels of head and tail, in this direction unless the relation is
    symmetric. `boundaries`: as strict, whatever the labels of the spans. `spans`: the spans alone, by boundaries and
    labels. For a given pair `pair_accuracy` is the share of records with the right relation or rightly none, and
    there is no score for its spans, which nobody had to find.
    """
    true, said = _triples(task, gold), _triples(task, given)
    spans, found = parts(gold["spans"]), parts(given["spans"])
    right = true == said and set(spans) == set(found)
    counts = {"strict": _counts(true, said), "boundaries": _counts(_unlabelled(true), _unlabelled(said))}
    if task.mode == "find":
        counts["spans"] = Counts(len(set(spans) & set(found)), len(found), len(spans))
    gold_of, said_of, both = (Counter(one.label for one in each) for each in (true, said, true & said))
    return Compared(
        counts,
        {label: Counts(both[label], said_of[label], gold_of[label]) for label in sorted({*gold_of, *said_of})},
        {"pair_accuracy": float(true == said)} if task.mode == "pair" else {},
        right,
    )


def _triples(task: Relations, answer: Answer) -> frozenset[_Triple]:
    """Return the relations of an answer with their spans; symmetric ones have their spans in order."""
    span = dict(zip((each["id"] for each in answer["spans"]), parts(answer["spans"]), strict=True))
    found: set[_Triple] = set()
    for each in answer["relations"]:
        head, tail = span[each["head"]], span[each["tail"]]
        if each["label"] in task.symmetric:
            head, tail = sorted((head, tail), key=lambda one: (one.place, one.label))
        found.add(_Triple(head, each["label"], tail))
    return frozenset(found)


def _unlabelled(triples: frozenset[_Triple]) -> frozenset[_Triple]:
    return frozenset(
        _Triple(Part(*head.place, label=""), label, Part(*tail.place, label="")) for head, label, tail in triples
    )


def _counts(true: frozenset[_Triple], said: frozenset[_Triple]) -> Counts:
    return Counts(len(true & said), len(said), len(true))
