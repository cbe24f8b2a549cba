"""Timelines beside gold: events, links, what follows from links, and the order of events (survey 0.07)."""

import math
from collections.abc import Collection, Iterable, Sequence

from postil.assess.compared import Compared, Counts
from postil.tasks.story import story_of
from postil.tasks.temporal_order import Link, PartialOrder, TimeGraph, partial_order, reduced
from postil.tasks.timeline import Timeline
from postil.types import Answer

__all__ = ["compare", "kendall_tau", "temporal_awareness"]


def compare(task: Timeline, gold: Answer, given: Answer) -> Compared:
    """Return the parts of one answer beside those of gold.

    `events`, where they were looked for, match by place, `links` by the places of their events and the relation. The
    scores look at what follows from links: `temporal_precision`, `temporal_recall` and `temporal_f1` as
    `temporal_awareness` has them, and the `kendall_tau` of the orders of events. A score that is undefined for a record
    is left out.
    """
    (events, links), (gold_events, gold_links) = _by_place(given), _by_place(gold)
    scores = temporal_awareness(gold_links, links)
    tau = kendall_tau(partial_order(gold_links, gold_events), partial_order(links, events))
    found = {"events": _counts(events, gold_events)} if task.finds_events else {}
    return Compared(
        counts={**found, "links": _counts(links, gold_links)},
        per_label={
            relation: _counts(_of_relation(links, relation), _of_relation(gold_links, relation))
            for relation in task.labels
        },
        scores=scores if tau is None else {**scores, "kendall_tau": tau},
        right=given == gold,
    )


def temporal_awareness(gold: Sequence[Link], given: Sequence[Link]) -> dict[str, float]:
    """Return temporal precision, recall and F1, those that are defined.

    Precision is the share of the links given that follow from gold, recall the share of gold's that follow from those
    given, so that other links which say the same are as good (UzZaman & Allen 2011, "Temporal Evaluation"). Links that
    follow from the rest of their own side are not counted: saying a thing twice earns nothing (TempEval-3, UzZaman et
    al. 2013). Vague links say nothing.

    Raises:
        ValueError: links of one side contradict each other.
    """
    precision = _share_that_follows(given, gold)
    recall = _share_that_follows(gold, given)
    scores = {"temporal_precision": precision, "temporal_recall": recall}
    if precision is not None or recall is not None:
        p, r = precision or 0.0, recall or 0.0
        scores["temporal_f1"] = 2 * p * r / (p + r) if p + r else 0.0
    return {name: score for name, score in scores.items() if score is not None}


def _share_that_follows(links: Sequence[Link], others: Sequence[Link]) -> float | None:
    graph = TimeGraph(others)
    said = [link for link in reduced(links) if link.relation != "vague"]
    hits = sum(graph.relation(link.source, link.target) == link.relation for link in said)
    return hits / len(said) if said else None


def kendall_tau(gold: PartialOrder, given: PartialOrder) -> float | None:
    """Return how far two orders of gold's events agree, from -1 to 1: 1 for gold itself, -1 for its reverse.

    Kendall's tau-b, a pair of which an order does not say which is earlier being a tie in it, so that an order of few
    pairs cannot agree much. For full orders and orders with ties it is the usual one. `None` where an order has none.
    """
    events = {event for layer in gold.layers for event in layer}
    ordered = {(one, other) for one, other in given.before if one in events and other in events}
    if not gold.before or not ordered:
        return None
    turned = {(other, one) for one, other in ordered}
    return (len(gold.before & ordered) - len(gold.before & turned)) / math.sqrt(len(gold.before) * len(ordered))


def _by_place(answer: Answer) -> tuple[list[str], list[Link]]:
    """Return events and links under names that equal events of two answers share: their places."""
    story = story_of(answer)
    names = {each: f"{event.part.start}:{event.part.end}" for each, event in story.events.items()}
    return list(names.values()), [Link(names[one], names[other], relation) for one, other, relation in story.links]


def _of_relation(links: Iterable[Link], relation: str) -> list[Link]:
    return [link for link in links if link.relation == relation]


def _counts(given: Collection[object], gold: Collection[object]) -> Counts:
    return Counts(len({*given} & {*gold}), len(given), len(gold))
