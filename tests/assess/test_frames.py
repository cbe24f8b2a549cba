"""Roles beside gold: exact counts, and the confusions that must show (survey 0.06)."""

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest

from postil.assess import assess
from postil.assess.compared import Counts
from postil.assess.frames import compare, role_confusion
from postil.assess.intervals import Resampling
from postil.assess.structures import structured
from postil.tasks.roles import Roles
from postil.types import Annotation, Answer, Record
from tests.tasks import gold_roles

TASK = Roles("srl", "Which roles are there?", roles=["ARG0", "ARG1", "ARGM-TMP"])

# predicate [words] : who does it | what it is done to; the second half is in the passive.
ACTIVE = """\
The nurse [washed] the child.|washed|The nurse|the child
The storm [destroyed] two barns.|destroyed|The storm|two barns
My aunt [painted] the gate and [sold] it.|painted|My aunt|the gate
My aunt [painted] the gate and [sold] it.|sold|My aunt|it
A fox [stole] the eggs.|stole|A fox|the eggs
The jury [praised] her novel.|praised|The jury|her novel
Wolves [surrounded] the village.|surrounded|Wolves|the village
The clerk [opened] the letter and [read] it.|opened|The clerk|the letter
The clerk [opened] the letter and [read] it.|read|The clerk|it
Her son [repaired] the clock.|repaired|Her son|the clock
The mayor [closed] the bridge.|closed|The mayor|the bridge
Bees [visit] every flower.|visit|Bees|every flower
"""
PASSIVE = """\
The child was [washed] by the nurse.|washed|the nurse|The child
Two barns were [destroyed] by the storm.|destroyed|the storm|Two barns
The gate was [painted] by my aunt and [sold] by her son.|painted|my aunt|The gate
The gate was [painted] by my aunt and [sold] by her son.|sold|her son|The gate
The eggs were [stolen] by a fox.|stolen|a fox|The eggs
Her novel was [praised] by the jury.|praised|the jury|Her novel
The village was [surrounded] by wolves.|surrounded|wolves|The village
The letter was [opened] by the clerk and [read] by the boss.|opened|the clerk|The letter
The letter was [opened] by the clerk and [read] by the boss.|read|the boss|The letter
The clock was [repaired] by her son.|repaired|her son|The clock
The bridge was [closed] by the mayor.|closed|the mayor|The bridge
Every flower is [visited] by bees.|visited|bees|Every flower
"""


def sentences(lines: str) -> list[tuple[Record, Answer]]:
    """Return each sentence with the roles of its predicates: ten of each voice, two of them with two predicates."""
    frames: dict[str, list[Any]] = {}
    for line in lines.splitlines():
        marked, predicate, agent, patient = line.split("|")
        text = marked.replace("[", "").replace("]", "")
        arguments = [{"role": "ARG0", **at(agent, text)}, {"role": "ARG1", **at(patient, text)}]
        frames.setdefault(text, []).append({"predicate": at(predicate, text), "arguments": arguments})
    return [(Record(text, {"text": text}), TASK.accept({"frames": held})) for text, held in frames.items()]


def at(words: str, text: str) -> dict[str, Any]:
    start = text.index(words)
    return {"start": start, "end": start + len(words), "text": words}


def pooled(pairs: list[tuple[Answer, Answer]], name: str) -> float:
    """Return the F1 of everything that was counted under a name."""
    counts = [compare(TASK, gold, given).counts[name] for gold, given in pairs]
    return 2 * sum(each.hits for each in counts) / sum(each.given + each.gold for each in counts)


def relabelled(answer: Answer, role_of: Callable[[Mapping[str, Any], Mapping[str, Any]], str]) -> Answer:
    frames = [
        {**frame, "arguments": [{**each, "role": role_of(frame["predicate"], each)} for each in frame["arguments"]]}
        for frame in answer["frames"]
    ]
    return {"frames": frames}


def by_surface_order(predicate: Mapping[str, Any], argument: Mapping[str, Any]) -> str:
    """The cheap trick: what stands before the verb did it."""
    return "ARG0" if argument["start"] < predicate["start"] else "ARG1"


def swapped(_: Mapping[str, Any], argument: Mapping[str, Any]) -> str:
    """Trade the two core roles."""
    role: str = argument["role"]
    return {"ARG0": "ARG1", "ARG1": "ARG0"}.get(role, role)


def test_there_are_twenty_sentences_and_some_have_two_predicates() -> None:
    both = sentences(ACTIVE) + sentences(PASSIVE)
    assert len(both) == 20
    assert sum(len(gold["frames"]) == 2 for _, gold in both) == 4


def test_confused_roles_in_passives_show_in_the_table_of_roles() -> None:
    """An annotator that swaps ARG0 and ARG1 in passives finds every argument, and its roles are wrong there."""
    pairs = [(gold, gold) for _, gold in sentences(ACTIVE)]
    pairs += [(gold, relabelled(gold, swapped)) for _, gold in sentences(PASSIVE)]
    assert pooled(pairs, "unlabelled") == 1
    assert pooled(pairs, "arguments") == 0.5
    confusion = sum((role_confusion(gold, given) for gold, given in pairs), Counter[tuple[str, str]]())
    assert confusion == {
        ("ARG0", "ARG0"): 12,
        ("ARG1", "ARG1"): 12,
        ("ARG0", "ARG1"): 12,
        ("ARG1", "ARG0"): 12,
    }
    for role in ("ARG0", "ARG1"):
        counts = [compare(TASK, gold, given).per_label[role] for gold, given in pairs]
        assert sum(each.hits for each in counts) == 12
        assert sum(each.gold for each in counts) == 24


def test_an_assessment_has_the_roles_that_were_confused() -> None:
    """What was missed or made up stands in the last row and column, under a dash."""
    pairs = [(gold, relabelled(gold, swapped)) for _, gold in sentences(PASSIVE)]
    pairs += [(gold, {"frames": []}) for _, gold in sentences(ACTIVE)[:1]]
    pairs += [({"frames": []}, gold) for _, gold in sentences(ACTIVE)[1:3]]
    outcomes = {str(at): Annotation(str(at), "m", given) for at, (_, given) in enumerate(pairs)}
    made = assess(
        TASK,
        annotator="m",
        outcomes=outcomes,
        gold={str(at): gold for at, (gold, _) in enumerate(pairs)},
        records=len(pairs),
        rng=np.random.default_rng(0),
        replicates=100,
    )
    assert made.labels == (*TASK.labels, "–")
    cells = {
        (one, other): n
        for one, row in zip(made.labels, made.confusion, strict=True)
        for other, n in zip(made.labels, row, strict=True)
        if n
    }
    expected = sum((role_confusion(gold, given) for gold, given in pairs), Counter[tuple[str, str]]())
    assert cells == {(one or "–", other or "–"): n for (one, other), n in expected.items()}
    assert cells["ARG0", "ARG1"] == cells["ARG1", "ARG0"] == 12
    missed = sum(n for (_, other), n in cells.items() if other == "–")
    made_up = sum(n for (one, _), n in cells.items() if one == "–")
    assert (missed, made_up) == (2, 2 + 4)
    assert any(f"{sum(cells.values())} arguments, not records" in note for note in made.notes)


def test_where_roles_are_questions_nothing_is_confused() -> None:
    task = Roles("qa", "Which?", questions=True)
    one: Answer = {"frames": [{**FRAME, "arguments": [{"role": "Who?", **at("The dog", TEXT)}]}]}
    resampling = Resampling(np.random.default_rng(0), replicates=100)
    assert structured(task, {"1": one}, {"1": one}, resampling=resampling).confusion is None
    nothing: Answer = {"frames": []}
    assert structured(TASK, {"1": nothing}, {"1": nothing}, resampling=resampling).confusion is None


def test_the_order_of_words_loses_on_passives() -> None:
    """The fake of survey 0.06: right in the active voice, wrong in every passive."""
    active = [(gold, relabelled(gold, by_surface_order)) for _, gold in sentences(ACTIVE)]
    passive = [(gold, relabelled(gold, by_surface_order)) for _, gold in sentences(PASSIVE)]
    assert pooled(active, "arguments") == 1
    assert pooled(passive, "arguments") == 0
    assert pooled(passive, "frames") == 0
    assert pooled(passive, "predicates") == pooled(passive, "unlabelled") == 1


TEXT = "The dog chased the cat yesterday and slept."
FRAME = {
    "predicate": at("chased", TEXT),
    "arguments": [{"role": "ARG0", **at("The dog", TEXT)}, {"role": "ARG1", **at("the cat", TEXT)}],
}
GOLD: Answer = TASK.accept({"frames": [FRAME, {"predicate": at("slept", TEXT), "arguments": []}]})


def test_gold_beside_itself_is_right() -> None:
    compared = compare(TASK, GOLD, GOLD)
    assert compared.right
    assert all(each.hits == each.given == each.gold for each in compared.counts.values())
    empty: Answer = {"frames": []}
    nothing = compare(TASK, empty, empty)
    assert nothing.right
    assert nothing.counts.keys() == compared.counts.keys()
    assert all((each.hits, each.given, each.gold) == (0, 0, 0) for each in nothing.counts.values())


def test_everything_is_counted() -> None:
    """One predicate missed, one made up; an argument cut short, one with the wrong role, one made up."""
    arguments = [
        {"role": "ARG0", **at("dog", TEXT)},
        {"role": "ARGM-TMP", **at("the cat", TEXT)},
        {"role": "ARGM-TMP", **at("yesterday", TEXT)},
    ]
    made_up = {"predicate": at("and", TEXT), "arguments": []}
    given = TASK.accept({"frames": [{**FRAME, "arguments": arguments}, made_up]})
    compared = compare(TASK, GOLD, given)
    assert compared.counts == {
        "predicates": Counts(1, 2, 2),
        "arguments": Counts(0, 3, 2),
        "unlabelled": Counts(1, 3, 2),
        "overlapping": Counts(1, 3, 2),
        "frames": Counts(0, 2, 2),
    }
    assert compared.per_label == {"ARG0": Counts(0, 1, 1), "ARG1": Counts(0, 0, 1), "ARGM-TMP": Counts(0, 2, 0)}
    assert not compared.right
    assert role_confusion(GOLD, given) == {
        ("ARG1", "ARGM-TMP"): 1,
        ("ARG0", ""): 1,
        ("", "ARG0"): 1,
        ("", "ARGM-TMP"): 1,
    }


def test_predicates_that_were_given_are_no_merit() -> None:
    task = Roles("srl", "Which roles are there?", roles=["ARG0", "ARG1"], predicate="verb")
    one: Answer = {"frames": [FRAME]}
    assert tuple(compare(task, one, one).counts) == ("arguments", "unlabelled", "overlapping", "frames")


def test_an_argument_of_another_predicate_is_another_argument() -> None:
    moved = {"predicate": at("slept", TEXT), "arguments": FRAME["arguments"]}
    given = TASK.accept({"frames": [{**FRAME, "arguments": []}, moved]})
    counts = compare(TASK, GOLD, given).counts
    assert counts["arguments"] == counts["unlabelled"] == counts["overlapping"] == Counts(0, 2, 2)
    assert counts["frames"] == Counts(0, 2, 2)


@pytest.mark.parametrize(
    ("words", "hits"), [("The dog", 1), ("dog", 0), ("The dog chas", 1), ("The dog chased t", 0), ("e dog", 1)]
)
def test_half_of_the_characters_are_enough_to_overlap(words: str, hits: int) -> None:
    given = {"frames": [{**FRAME, "arguments": [{"role": "ARG0", **at(words, TEXT)}]}]}
    gold = {"frames": [{**FRAME, "arguments": [{"role": "ARG0", **at("The dog", TEXT)}]}]}
    assert compare(TASK, gold, given).counts["overlapping"] == Counts(hits, 1, 1)


def test_each_argument_overlaps_one_at_most_and_as_many_as_can_do() -> None:
    """Gold's first and second can only both be matched if the first given takes the second."""

    def answer(*places: tuple[int, int]) -> Answer:
        arguments = [{"role": "ARGM-TMP", "start": a, "end": b, "text": "x" * (b - a)} for a, b in places]
        return {"frames": [{"predicate": {"start": 50, "end": 51, "text": "x"}, "arguments": arguments}]}

    gold, given = answer((0, 10), (2, 12)), answer((0, 9), (1, 11))
    assert compare(TASK, gold, given).counts["overlapping"] == Counts(2, 2, 2)
    assert compare(TASK, gold, answer((0, 10), (0, 9), (1, 11))).counts["overlapping"] == Counts(2, 3, 2)
    assert compare(TASK, answer((0, 10)), given).counts["overlapping"] == Counts(1, 2, 1)


def test_senses_are_counted_where_there_are_any() -> None:
    task = Roles("srl", "Which?", roles=["ARG0"], senses=True)
    one, other = ({"frames": [{"predicate": {**at("chased", TEXT), "sense": s}, "arguments": []}]} for s in ("a", "b"))
    assert compare(task, one, one).counts["senses"] == Counts(1, 1, 1)
    compared = compare(task, one, other)
    assert (compared.counts["senses"], compared.counts["predicates"]) == (Counts(0, 1, 1), Counts(1, 1, 1))
    assert compared.counts["frames"] == Counts(0, 1, 1)
    assert not compared.right


def test_questions_are_equal_but_for_their_looks() -> None:
    task = Roles("qa", "Which?", questions=True)

    def asked(question: str) -> Answer:
        return {"frames": [{**FRAME, "arguments": [{"role": question, **at("The dog", TEXT)}]}]}

    same = compare(task, asked("Who chased something?"), asked("who  chased something?"))
    assert same.right
    assert same.counts["arguments"] == Counts(1, 1, 1)
    assert same.per_label == {}
    other = compare(task, asked("Who chased something?"), asked("What did something chase?"))
    assert (other.counts["arguments"], other.counts["unlabelled"]) == (Counts(0, 1, 1), Counts(1, 1, 1))


def test_real_gold_is_right_and_its_answers_mixed_up_are_not() -> None:
    """Gold scores 1; the answers of other sentences are near nothing; core roles traded lose just their share."""
    path = gold_roles.DATA / "up_ewt" / "test.jsonl"
    if not path.exists():
        pytest.skip("needs the shared data")
    pairs = gold_roles.records_and_gold(path)
    task = gold_roles.task_for("up_ewt", gold_roles.roles_of(gold for _, gold in pairs))
    gold = [task.accept(answer, record) for record, answer in pairs]
    assert all(compare(task, each, each).right for each in gold)
    assert pooled([*zip(gold, gold, strict=True)], "arguments") == 1
    assert pooled([*zip(gold, gold[1:] + gold[:1], strict=True)], "arguments") < 0.02
    traded = [relabelled(each, swapped) for each in gold]
    roles = Counter(a["role"] for each in gold for f in each["frames"] for a in f["arguments"])
    share = 1 - (roles["ARG0"] + roles["ARG1"]) / roles.total()
    both = [(one, other) for one, other in zip(gold, traded, strict=True)]
    assert pooled(both, "arguments") == pytest.approx(share)
    assert pooled(both, "unlabelled") == 1
