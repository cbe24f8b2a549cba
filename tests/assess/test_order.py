"""Timelines beside gold: what follows counts, and the order of the text is no order of events (survey 0.07)."""

import itertools
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau

from postil.assess.compared import Counts
from postil.assess.order import compare, kendall_tau, temporal_awareness
from postil.tasks.temporal_order import RELATIONS, Link, PartialOrder, find_cycles, partial_order
from postil.tasks.timeline import Timeline
from postil.types import Answer
from tests.tasks import gold_timeline

TASK = Timeline("story", "What happened when?")

# Told backwards: the funeral, then the illness before it, then the war before that, then his childhood.
FLASHBACK = (
    "They buried him on Monday. He had fallen ill in spring. Years earlier he had fought in the war, "
    "and long before that he had learned to swim, when he was sent to his uncle."
)
EVENTS = ["buried", "fallen ill", "fought", "learned", "sent"]


def timeline(*links: str) -> Answer:
    events = [
        {"id": f"E{i}", "start": FLASHBACK.index(words), "end": FLASHBACK.index(words) + len(words), "text": words}
        for i, words in enumerate(EVENTS, 1)
    ]
    return TASK.accept(
        {
            "events": events,
            "links": [dict(zip(("from", "relation", "to"), each.split(), strict=True)) for each in links],
        }
    )


GOLD = timeline("E2 before E1", "E3 before E2", "E4 before E3", "E4 simultaneous E5")
AS_TOLD = timeline("E1 before E2", "E2 before E3", "E3 before E4", "E4 before E5")


def links(text: str) -> list[Link]:
    parts = (each.split() for each in text.split(",") if each.strip())
    return [Link(source, target, relation) for source, relation, target in parts]


def test_the_order_of_the_text_is_worse_than_chance_on_a_flashback_and_gold_is_1() -> None:
    """The fake of survey 0.07."""
    assert compare(TASK, GOLD, GOLD).scores["kendall_tau"] == pytest.approx(1)
    assert compare(TASK, GOLD, AS_TOLD).scores["kendall_tau"] < -0.9
    reverse = timeline("E5 before E4", "E4 before E3", "E3 before E2", "E2 before E1")
    assert compare(TASK, AS_TOLD, reverse).scores["kendall_tau"] == -1


def test_gold_beside_itself_is_right() -> None:
    compared = compare(TASK, GOLD, GOLD)
    assert compared.right
    assert compared.counts == {"events": Counts(5, 5, 5), "links": Counts(4, 4, 4)}
    assert compared.scores == {name: pytest.approx(1) for name in compared.scores}
    assert compared.scores.keys() == {"temporal_precision", "temporal_recall", "temporal_f1", "kendall_tau"}


def test_other_links_that_say_the_same_are_as_good() -> None:
    """The reason for counting what follows: no link is gold's, and all is right."""
    given = timeline("E3 before E2", "E2 before E1", "E5 before E3", "E4 simultaneous E5")
    compared = compare(TASK, GOLD, given)
    assert compared.counts["links"] == Counts(3, 4, 4)
    assert (compared.scores["temporal_precision"], compared.scores["temporal_recall"]) == (1, 1)
    assert compared.scores["kendall_tau"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("gold", "given", "precision", "recall"),
    [
        ("A before B, B before C", "A before C", 1.0, 0.0),
        ("A before C", "A before B, B before C", 0.0, 1.0),
        ("A before B, B before C, C before D", "A before B, B before C, D before C", 2 / 3, 2 / 3),
        ("A before B, B before C", "A before B, B before C, A before C", 1.0, 1.0),
        ("A before B, B before C, A before C", "A before B", 1.0, 1 / 2),
        ("A includes B, B includes C", "A includes C, C is_included B", 1.0, 1 / 2),
        ("A simultaneous B, B before C", "A before C, B simultaneous A", 1.0, 1.0),
        ("A before B", "B after A", 1.0, 1.0),
        ("A before B", "A after B", 0.0, 0.0),
        ("A before B", "A vague B, C before A", 0.0, 0.0),
        # A right chain padded with all that follows from it does not hide a wrong link.
        (
            "A before B, B before C, C before D, X before A",
            "A before B, B before C, C before D, A before C, A before D, B before D, A before X",
            3 / 4,
            3 / 4,
        ),
    ],
)
def test_what_follows_is_counted_on_both_sides(gold: str, given: str, precision: float, recall: float) -> None:
    scores = temporal_awareness(links(gold), links(given))
    assert scores["temporal_precision"] == pytest.approx(precision)
    assert scores["temporal_recall"] == pytest.approx(recall)
    harmonic = 2 * precision * recall / (precision + recall) if precision + recall else 0
    assert scores["temporal_f1"] == pytest.approx(harmonic)


def test_what_is_undefined_is_left_out() -> None:
    assert temporal_awareness([], []) == {}
    assert temporal_awareness(links("A vague B"), links("A vague B")) == {}
    assert temporal_awareness(links("A before B"), []) == {"temporal_recall": 0, "temporal_f1": 0}
    assert temporal_awareness([], links("A before B")) == {"temporal_precision": 0, "temporal_f1": 0}
    assert "kendall_tau" not in compare(TASK, GOLD, timeline()).scores
    assert compare(TASK, timeline(), timeline()).scores == {}


def test_links_are_counted_relation_by_relation() -> None:
    given = timeline("E1 after E2", "E2 before E3", "E4 simultaneous E5", "E1 vague E5")
    compared = compare(TASK, GOLD, given)
    assert compared.counts["links"] == Counts(2, 4, 4)
    assert compared.per_label["after"] == Counts(1, 1, 3)
    assert compared.per_label["before"] == Counts(0, 1, 0)
    assert compared.per_label["simultaneous"] == Counts(1, 1, 1)
    assert compared.per_label["vague"] == Counts(0, 1, 0)
    assert tuple(compared.per_label) == RELATIONS


def test_events_that_were_given_are_no_merit() -> None:
    for task in (Timeline("a", "b", events="events"), Timeline("a", "b", pair=["one", "other"])):
        assert compare(task, GOLD, GOLD).counts == {"links": Counts(4, 4, 4)}


def test_events_are_matched_by_place_whatever_their_ids() -> None:
    held: list[Any] = GOLD["events"]
    fewer = TASK.accept({"events": [held[3], held[1]], "links": [{"from": "E4", "to": "E2", "relation": "before"}]})
    compared = compare(TASK, GOLD, fewer)
    assert compared.counts == {"events": Counts(2, 2, 5), "links": Counts(0, 1, 4)}
    assert compared.scores["temporal_precision"] == 1
    made_up: dict[str, Any] = {"events": [{**held[0], "start": 0, "end": 6, "text": "They b"}], "links": []}
    assert compare(TASK, GOLD, TASK.accept(made_up)).counts["events"] == Counts(0, 1, 5)


def ranked(ranks: Sequence[int]) -> PartialOrder:
    """Return the order of events with these ranks; equal ranks are ties."""
    events = [f"E{i}" for i in range(len(ranks))]
    said = [
        Link(events[i], events[j], "before" if ranks[i] < ranks[j] else "simultaneous")
        for i, j in itertools.permutations(range(len(ranks)), 2)
        if ranks[i] <= ranks[j]
    ]
    return partial_order(said, events)


@given(st.integers(2, 7).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 5), min_size=n, max_size=n)] * 2)))
def test_tau_is_that_of_scipy(ranks: tuple[list[int], list[int]]) -> None:
    """For full orders and orders with ties; where SciPy has no number there is none."""
    one, other = ranks
    tau = kendall_tau(ranked(one), ranked(other))
    if len(set(one)) == 1 or len(set(other)) == 1:
        assert tau is None
        return
    assert tau == pytest.approx(kendalltau(one, other)[0])


def test_an_order_of_few_pairs_cannot_agree_much() -> None:
    """One safe pair out of fifteen is right, and is worth little."""
    full = ranked([0, 1, 2, 3, 4, 5])
    one = partial_order(links("E0 before E5"), [f"E{i}" for i in range(6)])
    assert kendall_tau(full, one) == pytest.approx(1 / 15**0.5)
    assert kendall_tau(full, partial_order([], ["E0"])) is None


def test_events_that_gold_does_not_have_are_not_ranked() -> None:
    full = ranked([0, 1, 2])
    more = partial_order(links("E0 before E1, E1 before E2, E2 before X, X before Y"))
    assert kendall_tau(full, more) == pytest.approx(1)


STORIES = st.lists(
    st.tuples(st.sampled_from(list(itertools.permutations("ABCD", 2))), st.sampled_from(RELATIONS)).map(
        lambda drawn: Link(*drawn[0], drawn[1])
    ),
    max_size=6,
).filter(lambda said: not find_cycles(said))


@given(STORIES, STORIES)
def test_scores_are_scores(gold: list[Link], given: list[Link]) -> None:
    scores, turned = temporal_awareness(gold, given), temporal_awareness(given, gold)
    assert all(0 <= score <= 1 for score in scores.values())
    assert scores.get("temporal_precision") == turned.get("temporal_recall")
    assert set(temporal_awareness(gold, gold).values()) <= {1.0}
    tau = kendall_tau(partial_order(gold), partial_order(given))
    assert tau is None or -1 - 1e-9 <= tau <= 1 + 1e-9


def test_real_gold_is_right_and_saying_before_everywhere_is_as_right_as_before_is_frequent() -> None:
    path = gold_timeline.DATA / "uds_time" / "test.jsonl"
    if not path.exists():
        pytest.skip("needs the shared data")
    task = gold_timeline.task_for("uds_time")
    assert isinstance(task, Timeline)
    gold = [task.accept(answer, record) for record, answer in gold_timeline.records_and_gold(path)]
    assert all(compare(task, each, each).right for each in gold)
    constant = [{**each, "links": [{**each["links"][0], "relation": "before"}]} for each in gold]
    hits = [compare(task, one, other).counts["links"].hits for one, other in zip(gold, constant, strict=True)]
    assert sum(hits) == sum(each["links"][0]["relation"] == "before" for each in gold) == 553
    taus = [compare(task, one, other).scores.get("kendall_tau") for one, other in zip(gold, constant, strict=True)]
    assert (taus.count(1), taus.count(-1), taus.count(None)) == (553, 114, 49)
