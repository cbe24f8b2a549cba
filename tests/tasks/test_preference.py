"""Two candidates in both orders, and more than two ranked: no winner by place, nothing that knows a side (M3, 1.26)."""

import itertools
import json
import math
import re
import tomllib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import postil
from postil.canonical import canonical_json, digest
from postil.errors import AnswerError, DataError, OutsideLabels, TaskError, Unreadable
from postil.project.settings import parse_task
from postil.prompts import Prompt
from postil.tasks import CompoundTask, Reading
from postil.tasks.kinds import task_from_spec
from postil.tasks.preference import FIRST, SECOND, Pair, Preference, pairs_of, swapped
from postil.testing import check_task
from postil.types import JSON, Answer, Capabilities, Completion, Record, Request, Usage
from tests.tasks import gold_preference
from tests.tasks.gold_preference import records_and_gold, task_for

PLAIN = Capabilities()
SCORING = Capabilities("sequence")
STRENGTHS = st.floats(0, 1)


def task(**options: Any) -> Preference:
    return Preference("better", "Which reply is better?", **options)


def record(id_: str = "r", **fields: JSON) -> Record:
    return Record(id_, {"prompt": "Say 3.", "response_a": "3", "response_b": "4", **fields})


def completion(text: str, odds: Sequence[float] | None = None) -> Completion:
    return Completion(text, "stop", Usage(1, 1), choice_probabilities=None if odds is None else tuple(odds))


def verdicts(these: Preference, *replies: str | Sequence[float]) -> Reading:
    """Return what becomes of one reply for each part: a text, or probabilities whose likeliest choice is the text."""
    readings: list[Reading] = []
    for part, reply in zip(these.parts, replies, strict=True):
        form = part.form(PLAIN if isinstance(reply, str) else SCORING)
        if isinstance(reply, str):
            said = completion(reply)
        else:
            said = completion(form.choices[max(range(len(reply)), key=reply.__getitem__)], reply)
        readings.append(part.read(said, form, record()))
    return these.combine(readings)


def judge(strength: Callable[[str, str], float], *, leaning: float = 0.0) -> Callable[[Request], Completion]:
    """Return a judge of log-odds for the first candidate, to which a leaning to the first place is added."""

    def reply(request: Request) -> Completion:
        shown = re.search(r"Response A:\n(.*)\n\nResponse B:\n(.*)\n\nBetter:", request.messages[-1].content, re.DOTALL)
        assert shown is not None
        first = 1 / (1 + math.exp(-(strength(shown[1], shown[2]) + leaning)))
        return completion("A" if first > 0.5 else "B", (first, 1 - first, 0.0))

    return reply


def asked(these: Preference, reply: Callable[[Request], str | Completion], records: Sequence[Record]) -> list[Any]:
    engine = postil.ScriptedEngine(reply, capabilities=SCORING)
    return postil.annotate([each.fields for each in records], these, engine=engine, calibrate="none")


# Both orders


def test_verdicts_that_survive_the_exchange_stand() -> None:
    assert verdicts(task(), "A", "B").answer == {"preferred": "a", "strength": 1.0}
    assert verdicts(task(), "B", "A").answer == {"preferred": "b", "strength": 0.0}
    assert verdicts(task(), "Tie", "Tie").answer == {"preferred": "tie", "strength": 0.5}


def test_a_judge_that_always_says_a_finds_no_winner() -> None:
    both = verdicts(task(), "A", "A")
    assert both.answer == {"preferred": "tie", "strength": 0.5}
    assert both.part_confidences == {"orders/ab": 0.0, "first/ab": 1.0}
    assert both.rejected == ("orders/ab: 'a', exchanged 'b'",)
    assert verdicts(task(), "A", "Tie").answer == {"preferred": "tie", "strength": 0.75}


@pytest.mark.parametrize(("said", "why"), [("A", FIRST), ("B", SECOND)])
def test_without_ties_a_verdict_that_follows_the_place_is_an_abstention(said: str, why: str) -> None:
    both = verdicts(task(ties=False), said, said)
    assert (both.answer, both.abstained) == (None, why)


def test_a_fair_judge_keeps_its_verdict_and_an_unfair_one_finds_no_winner() -> None:
    records = [record(str(i), response_a=str(i), response_b=str(j)) for i, j in itertools.permutations(range(6), 2)]
    fair = asked(task(), judge(lambda one, two: float(one) - float(two)), records)
    right = ["a" if int(each.fields["response_a"]) > int(each.fields["response_b"]) else "b" for each in records]
    assert [row["preferred"] for row in fair] == right
    unfair = asked(task(), lambda _: "A", records)
    assert {row["preferred"] for row in unfair} == {"tie"}


@pytest.mark.parametrize("leaning", [-6.0, -1.0, 0.5, 3.0, 8.0])
def test_the_mean_of_both_orders_keeps_the_right_sign_whatever_the_leaning(leaning: float) -> None:
    # A fair difference of 0.4 in the log-odds drowns in the leaning: in one order the verdict is about the place.
    records = [record("1", response_a="2", response_b="1"), record("2", response_a="1", response_b="2")]

    def by_size(one: str, two: str) -> float:
        return 0.4 * (float(one) - float(two))

    once = asked(task(once=True), judge(by_size, leaning=leaning), records)
    assert once[0]["preferred"] == once[1]["preferred"]
    both = asked(task(), judge(by_size, leaning=leaning), records)
    assert both[0]["strength"] > 0.5 > both[1]["strength"]
    exact = asked(task(averaged="logits"), judge(by_size, leaning=leaning), records)
    assert exact[0]["strength"] == pytest.approx(1 / (1 + math.exp(-0.4)), abs=1e-4)


def test_the_soft_label_is_the_mean_of_both_orders_and_is_kept() -> None:
    soft = verdicts(task(), (0.7, 0.2, 0.1), (0.3, 0.5, 0.2))
    assert soft.answer == {"preferred": "a", "strength": pytest.approx((0.75 + 0.6) / 2, abs=1e-8)}
    assert soft.probabilities == pytest.approx({"a": 0.6, "b": 0.25, "tie": 0.15})
    assert soft.confidence is not None
    assert (soft.confidence.value, soft.confidence.kind) == (pytest.approx(0.6), "logprob")
    assert soft.part_confidences == {"orders/ab": 1.0, "first/ab": pytest.approx((0.75 + 0.4) / 2)}


def test_verdicts_without_probabilities_have_no_confidence() -> None:
    assert verdicts(task(), "A", "B").confidence is None
    assert verdicts(task(), "A", "B").probabilities is None


def test_once_asks_one_order_and_says_nothing_of_the_other() -> None:
    one = verdicts(task(once=True), "A")
    assert (one.answer, one.part_confidences) == ({"preferred": "a", "strength": 1.0}, None)


def test_the_reasons_of_both_orders_are_kept() -> None:
    assert (
        verdicts(task(), "It is short.\nBetter: A", "It is right.\nBetter: B").rationale
        == "It is short.\n\nIt is right."
    )
    these = task(rationale=True)
    said = json.dumps({"rationale": "It is right.", "preferred": "B"})
    both = verdicts(these, json.dumps({"rationale": "It is short.", "preferred": "A"}), said)
    assert (both.answer, both.rationale) == ({"preferred": "a", "strength": 1.0}, "It is short.\n\nIt is right.")


# No side is known (survey 0.04)


@given(STRENGTHS)
def test_swapping_maps_the_strength_to_one_less_it(strength: float) -> None:
    preferred = "a" if strength > 0.5 else "b" if strength < 0.5 else "tie"
    answer = task().accept({"preferred": preferred, "strength": strength})
    turned = swapped(answer)
    assert turned["strength"] == 1 - strength
    assert turned["preferred"] == {"a": "b", "b": "a", "tie": "tie"}[preferred]
    assert task().accept(turned) == turned
    assert swapped(swapped(answer)) == {"preferred": preferred, "strength": pytest.approx(strength, abs=1e-15)}


ODDS = st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(1e-6, 1)).map(
    lambda p: [each / math.fsum(p) for each in p]
)


@given(ODDS, ODDS, st.sampled_from(["probabilities", "logits"]))
def test_the_exchanged_pair_has_exactly_the_swapped_answer(one: list[float], two: list[float], averaged: str) -> None:
    these = task(averaged=averaged)
    here, there = verdicts(these, one, two).answer, verdicts(these, two, one).answer
    assert here is not None
    assert there is not None
    assert there == swapped(here)
    assert swapped(there) == here
    assert these.accept(here) == here


def test_the_second_order_shows_the_candidates_exchanged_and_the_demonstrations_too() -> None:
    engine = postil.ScriptedEngine(lambda request: "B" if "\n4\n" in request.messages[-1].content else "A")
    shown = {"prompt": "Say 1.", "response_a": "1", "response_b": "one"}
    postil.annotate([record().fields], task(), engine=engine, demonstrations=[(shown, "a")])
    first, second = ([message.content for message in request.messages] for request in engine.requests)
    assert first[3] == "Say 3.\n\nResponse A:\n3\n\nResponse B:\n4\n\nBetter:"
    assert second[3] == "Say 3.\n\nResponse A:\n4\n\nResponse B:\n3\n\nBetter:"
    assert (first[1], first[2]) == ("Say 1.\n\nResponse A:\n1\n\nResponse B:\none\n\nBetter:", "A")
    assert (second[1], second[2]) == ("Say 1.\n\nResponse A:\none\n\nResponse B:\n1\n\nBetter:", "B")


# Asking


def test_the_question_in_english() -> None:
    these = task(criteria=["helpful: it does what was asked", "harmless"])
    system = Prompt.for_engine(these, PLAIN).render(record())[0].content
    assert system == (
        "Which reply is better?\nJudge by:\n- helpful: it does what was asked\n- harmless\n"
        "- A: Response A is better\n- B: Response B is better\n- Tie: they are equally good\n"
        "Answer with exactly one of these and nothing else."
    )


def test_the_question_in_chinese_has_no_half_width_punctuation_but_in_codes() -> None:
    these = Preference("好坏", "哪个回答更好？", criteria=["有用"])
    system, user = (message.content for message in Prompt.for_engine(these, PLAIN).render(record(prompt="说三。")))
    assert "评判标准：\n- 有用\n- A：回答 A 更好\n- B：回答 B 更好\n- 平局：两者一样好" in system
    assert user == "说三。\n\n回答 A：\n3\n\n回答 B：\n4\n\n更好的是："
    assert verdicts(these, "回答 A", "更好的是：B").answer == {"preferred": "a", "strength": 1.0}


def test_without_a_context_only_the_candidates_are_shown() -> None:
    assert task(context="").show == "Response A:\n{response_a}\n\nResponse B:\n{response_b}"


@pytest.mark.parametrize("reply", ["C", "A or B", "Both are fine.", "", '{"preferred": null}', "first", "A\nB"])
def test_nothing_else_is_a_verdict(reply: str) -> None:
    with pytest.raises(AnswerError):
        task().read(completion(reply), task().form(PLAIN), record())


def test_a_tie_that_is_not_allowed_is_no_verdict() -> None:
    with pytest.raises(OutsideLabels):
        task(ties=False).read(completion("Tie"), task(ties=False).form(PLAIN), record())


# Answers from outside


@pytest.mark.parametrize(
    ("gold", "answer"),
    [
        ({"label": "a"}, {"preferred": "a", "strength": 1.0}),
        ({"label": "B"}, {"preferred": "b", "strength": 0.0}),
        ({"preferred": "tie"}, {"preferred": "tie", "strength": 0.5}),
        ({"preferred": "response_b", "strength": None}, {"preferred": "b", "strength": 0.0}),
        ({"preferred": "a", "strength": 0.7}, {"preferred": "a", "strength": 0.7}),
        ({"preferred": "a", "strength": "0.7"}, {"preferred": "a", "strength": 0.7}),
        ({"preferred": "tie", "strength": 0.75}, {"preferred": "tie", "strength": 0.75}),
        ({"preferred": "b", "strength": 0}, {"preferred": "b", "strength": 0.0}),
    ],
)
def test_gold_is_accepted_in_its_canonical_form(gold: Answer, answer: Answer) -> None:
    assert task().accept(gold) == answer
    assert task().accept(answer) == answer


@pytest.mark.parametrize(
    "gold",
    [
        {},
        {"label": None},
        {"label": "c"},
        {"label": 1},
        {"preferred": "a", "strength": 0.2},
        {"preferred": "b", "strength": 0.8},
        {"preferred": "a", "strength": 1.01},
        {"preferred": "a", "strength": True},
        {"preferred": "a", "strength": "sure"},
        {"preferred": "a", "strength": math.nan},
    ],
)
def test_anything_else_is_refused(gold: Answer) -> None:
    with pytest.raises(DataError):
        task().accept(gold)


def test_a_tie_is_refused_where_none_is_allowed() -> None:
    with pytest.raises(DataError, match="expected one of 'a', 'b', got 'tie'"):
        task(ties=False).accept({"label": "tie"})


def test_agreement_is_the_nearness_of_strengths() -> None:
    a, tie, b = ({"preferred": side, "strength": z} for side, z in (("a", 1.0), ("tie", 0.5), ("b", 0.0)))
    assert task().agreement(a, b) == 0
    assert task().agreement(a, tie) == task().agreement(tie, a) == 0.5
    assert task().agreement(b, b) == 1


def test_merging_keeps_the_majority_and_the_mean_strength() -> None:
    a, b = {"preferred": "a", "strength": 0.9}, {"preferred": "b", "strength": 0.0}
    assert task().merge([(a, 1), (b, 1)]) is None
    assert task().merge([(a, 2), (b, 1)]) == {"preferred": "a", "strength": pytest.approx(0.6)}
    # Two who lean to "a" outvote one who is sure of "b": the strength does not speak against the verdict.
    leaning = {"preferred": "a", "strength": 0.55}
    assert task().merge([(leaning, 1), (leaning, 1), (b, 1)]) == {"preferred": "a", "strength": 0.5}


def test_people_read_the_side_and_how_sure_it_is() -> None:
    assert task().describe({"preferred": "a", "strength": 1.0}) == "a"
    assert task().describe({"preferred": "tie", "strength": 0.75}) == "tie (0.75 for a)"


# More than two: rankings and their pairs

FOUR = ("w", "x", "y", "z")


def four(**options: Any) -> Preference:
    return Preference("best", "Which is best?", candidates=FOUR, context="", **options)


def sizes(*values: int) -> Record:
    return Record("r", dict(zip(FOUR, map(str, values), strict=True)))


def larger(request: Request) -> str:
    one, two = re.findall(r"Response [AB]:\n(\d+)", request.messages[-1].content)
    return "A" if int(one) > int(two) else "B" if int(two) > int(one) else "Tie"


def test_a_ranking_of_four_is_six_pairs() -> None:
    assert pairs_of(["c", "a", "d", "b"]) == (
        *(Pair("c", "a", 1.0), Pair("c", "d", 1.0), Pair("c", "b", 1.0)),
        *(Pair("a", "d", 1.0), Pair("a", "b", 1.0), Pair("d", "b", 1.0)),
    )
    assert pairs_of([["a", "b"], "c"]) == (Pair("a", "b", 0.5), Pair("a", "c", 1.0), Pair("b", "c", 1.0))
    with pytest.raises(DataError, match="every candidate stands once"):
        pairs_of(["a", ["b", "a"]])


@given(st.permutations(range(6)), st.lists(st.integers(0, 2), min_size=6, max_size=6))
def test_the_pairs_of_any_ranking_are_transitive(order: list[int], places: list[int]) -> None:
    names = [f"c{i}" for i in order]
    ranking = [list(group) for _, group in itertools.groupby(names, key=lambda name: places[int(name[1:])])]
    pairs = pairs_of(ranking)
    assert len(pairs) == 15
    strength = {(one, two): z for one, two, z in pairs} | {(two, one): 1 - z for one, two, z in pairs}
    for one, two, three in itertools.permutations(names, 3):
        assert strength[one, three] >= min(strength[one, two], strength[two, three])


def test_four_candidates_are_asked_pair_by_pair_in_both_orders_and_ranked() -> None:
    engine = postil.ScriptedEngine(larger)
    row = postil.annotate([sizes(3, 9, 1, 9).fields], four(), engine=engine)[0]
    # Six pairs in two orders, of which equal texts are asked about once.
    assert len(engine.requests) == len({(one, two) for one, two in itertools.permutations((3, 9, 1, 9), 2)})
    assert row["ranking"] == [["b", "d"], ["a"], ["c"]]
    assert row["preferred"] == "tie"
    assert row["strengths"] == {"ab": 0.0, "ac": 1.0, "ad": 0.0, "bc": 1.0, "bd": 0.5, "cd": 0.0}
    best = postil.annotate([sizes(3, 9, 1, 2).fields], four(), engine=postil.ScriptedEngine(larger))[0]
    assert (best["preferred"], best["ranking"]) == ("b", [["b"], ["a"], ["d"], ["c"]])


def test_a_judge_of_places_ranks_nobody() -> None:
    row = postil.annotate([sizes(1, 2, 3, 4).fields], four(), engine=postil.ScriptedEngine(lambda _: "A"))[0]
    assert row["ranking"] == [["a", "b", "c", "d"]]
    assert {key: p for key, p in row["part_confidences"].items() if key.startswith("orders/")} == dict.fromkeys(
        ("orders/ab", "orders/ac", "orders/ad", "orders/bc", "orders/bd", "orders/cd"), 0.0
    )


def test_verdicts_in_a_circle_rank_nobody_first() -> None:
    these = Preference("t", "?", candidates=["x", "y", "z"], context="", once=True)
    assert verdicts(these, "A", "B", "A").answer == {
        "preferred": "tie",
        "ranking": [["a", "b", "c"]],
        "strengths": {"ab": 1.0, "ac": 0.0, "bc": 1.0},
    }


@pytest.mark.parametrize(
    ("gold", "ranking", "preferred"),
    [
        ({"ranking": ["y", "w", "z", "x"]}, [["c"], ["a"], ["d"], ["b"]], "c"),
        ({"ranking": ["C", ["d", "a"], "B"]}, [["c"], ["a", "d"], ["b"]], "c"),
        ({"ranking": [["a", "b"], ["c"], ["d"]], "preferred": "tie"}, [["a", "b"], ["c"], ["d"]], "tie"),
    ],
)
def test_rankings_are_accepted_by_letters_and_by_fields(gold: Answer, ranking: JSON, preferred: str) -> None:
    answer = four().accept(gold)
    assert (answer["ranking"], answer["preferred"]) == (ranking, preferred)
    said = {(one, two): z for one, two, z in pairs_of(ranking)}
    assert all(
        answer["strengths"][pair] == said.get((pair[0], pair[1]), 1 - said.get((pair[1], pair[0]), 0))
        for pair in answer["strengths"]
    )


@pytest.mark.parametrize(
    "gold",
    [
        {"preferred": "a"},
        {"ranking": ["a", "b", "c"]},
        {"ranking": ["a", "b", "c", "c"]},
        {"ranking": ["a", "b", "c", ["d", 1]]},
        {"ranking": ["a", "b", "c", "d", []]},
        {"ranking": "abcd"},
        {"ranking": ["a", "b", "c", "d"], "preferred": "b"},
        {"ranking": ["a", "b", "c", "d"], "strengths": {"ab": 1}},
    ],
)
def test_what_is_no_ranking_of_the_candidates_is_refused(gold: Answer) -> None:
    with pytest.raises(DataError):
        four().accept(gold)


def test_rankings_merge_by_the_candidates_beaten() -> None:
    one, two = (four().accept({"ranking": order}) for order in ("abcd", "bacd") for order in [[*order]])
    merged = four().merge([(one, 1), (two, 1)])
    assert merged is not None
    assert merged["ranking"] == [["a", "b"], ["c"], ["d"]]
    assert merged["strengths"]["ab"] == 0.5
    assert four().merge([(one, 2), (two, 1)]) == {**one, "strengths": {**one["strengths"], "ab": pytest.approx(2 / 3)}}


# The definition


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"candidates": ["a"]}, "2 to 26 different fields"),
        ({"candidates": ["a", "a"]}, "2 to 26 different fields"),
        ({"candidates": "response_a"}, "2 to 26 different fields"),
        ({"candidates": ["a", "b", "c"], "ties": False}, "allow ties"),
        ({"candidates": ["a", "b}{c"]}, "names of fields"),
        ({"context": "{response_a}"}, "which is a candidate"),
        ({"context": "no field"}, "at least one field"),
        ({"averaged": "median"}, "`averaged` is"),
        ({"criteria": [1]}, "must be text"),
    ],
)
def test_a_definition_that_cannot_work_is_refused(options: dict[str, Any], words: str) -> None:
    with pytest.raises(TaskError, match=words):
        task(**options)


VARIANTS: list[dict[str, Any]] = [
    {},
    {"ties": False},
    {"rationale": True},
    {"language": "zh"},
    {"criteria": ["short"]},
    {"context": ""},
    {"once": True},
    {"averaged": "logits"},
    {"candidates": ["response_a", "response_b", "third"]},
]


@pytest.mark.parametrize("options", VARIANTS, ids=str)
def test_a_spec_makes_an_equal_task(options: dict[str, Any]) -> None:
    these = task(**options)
    again = task_from_spec(json.loads(canonical_json(these.spec)))
    assert again == these
    assert hash(again) == hash(these)
    assert isinstance(these, CompoundTask)


def test_the_definition_may_stand_in_a_settings_file() -> None:
    written = 'kind = "preference"\nname = "t"\ninstruction = "?"\ncandidates = ["x", "y"]\ncontext = ""\nties = false'
    these = Preference("t", "?", candidates=["x", "y"], context="", ties=False)
    assert parse_task(tomllib.loads(written), "postil.toml") == these


def test_each_part_of_the_definition_is_part_of_the_tasks_version() -> None:
    assert len({digest(task(**options).spec) for options in VARIANTS}) == len(VARIANTS)


@pytest.mark.parametrize(
    "options",
    [{}, {"ties": False}, {"language": "zh"}, {"rationale": True}, {"rationale": True, "ties": False}, {"once": True}],
    ids=str,
)
def test_the_kind_keeps_its_contract(options: dict[str, Any]) -> None:
    these = task(**options)
    check_task(these, [{"preferred": label} for label in these.labels], record=record())


def test_the_kind_keeps_its_contract_for_rankings() -> None:
    rankings = [["a", "b", "c", "d"], ["d", ["a", "c"], "b"], [["a", "b", "c", "d"]]]
    check_task(four(), [{"ranking": ranking} for ranking in rankings], record=sizes(1, 2, 3, 4))


def test_a_broken_ranking_is_read_as_nothing() -> None:
    form = four().form(PLAIN)
    with pytest.raises(OutsideLabels, match="stands once"):
        four().read(completion('{"ranking": [["A"], ["B"]]}'), form, sizes(1, 2, 3, 4))
    with pytest.raises(Unreadable):
        four().read(completion("A, B, C, D"), form, sizes(1, 2, 3, 4))


# Gold


def rows(name: str, part: str) -> list[tuple[Record, Answer]]:
    path = gold_preference.DATA / name / f"{part}.jsonl"
    if not path.is_file():
        pytest.skip("the shared gold data is not here")
    return records_and_gold(path)


@pytest.mark.parametrize("name", gold_preference.SETS)
def test_every_gold_preference_is_accepted_written_and_read_back_in_both_orders(name: str) -> None:
    these, forms = task_for(name), [Capabilities(), SCORING, Capabilities(schema=True)]
    for part in ("pool", "test"):
        for one, gold in rows(name, part):
            answer = these.accept(gold, one)
            assert these.accept(these.accept(gold)) == answer
            for form in map(these.form, forms):
                written = [these.write(these.part_answer(at, answer), form) for at in range(2)]
                both = [these.read(completion(reply), form, one) for reply in written]
                combined = these.combine(both).answer
                assert combined == {**answer, "strength": {"a": 1.0, "b": 0.0, "tie": 0.5}[answer["preferred"]]}


@pytest.mark.parametrize("name", gold_preference.SETS)
def test_an_engine_that_echoes_gold_is_right_about_every_record_and_one_that_says_a_about_none(name: str) -> None:
    these, some = task_for(name), rows(name, "test")[:40]
    replies: dict[str, str] = {}
    prompt = Prompt.for_engine(these, PLAIN)
    for one, gold in some:
        answer = these.accept(gold)
        for at in range(2):
            shown = prompt.render(these.part_record(at, one, ()))[-1].content
            replies[shown] = these.write(these.part_answer(at, answer), these.form(PLAIN))
    engine = postil.ScriptedEngine(lambda request: replies[request.messages[-1].content])
    told = postil.annotate([one.fields for one, _ in some], these, engine=engine)
    assert [row["preferred"] for row in told] == [gold["preferred"] for _, gold in some]
    assert len(engine.requests) == len(replies)
    deaf = postil.annotate([one.fields for one, _ in some], these, engine=postil.ScriptedEngine(lambda _: "A"))
    assert {row["preferred"] for row in deaf} == ({"tie"} if these.ties else {None})


def test_published_verdicts_in_both_orders_come_to_what_their_judges_said() -> None:
    # LLMBar (Zeng et al. 2024, MIT licence) publishes the verdicts of judges in both orders, mapped back to a and b.
    path: Path = gold_preference.DATA / "llmbar" / "test.jsonl"
    if not path.is_file():
        pytest.skip("the shared gold data is not here")
    these, form = Preference("llmbar", "?"), Preference("llmbar", "?").form(PLAIN)
    for line in path.read_text(encoding="utf-8").splitlines():
        for pair in json.loads(line)["llm_votes"].values():
            if None in pair:
                continue
            first, second = pair[0].upper(), {"a": "B", "b": "A"}[pair[1]]
            read = [these.read(completion(said), form, record()) for said in (first, second)]
            said = these.combine(read)
            assert said.answer == these.accept({"label": pair[0] if pair[0] == pair[1] else "tie"})
            assert (said.part_confidences or {})["orders/ab"] == float(pair[0] == pair[1])
