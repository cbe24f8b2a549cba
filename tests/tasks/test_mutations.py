"""No kind reads a reply gone wrong as an answer of its own: an error or the right answer, and nothing else (I4, A9)."""

import json
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest

from postil.errors import AnswerError, Truncated
from postil.tasks import AnswerForm, Task
from postil.tasks.attributes import Attributes
from postil.tasks.classification import Classification
from postil.tasks.kinds import KINDS
from postil.tasks.multilabel import MultiLabel
from postil.tasks.preference import Preference
from postil.tasks.rating import Rating
from postil.tasks.relations import Relations
from postil.tasks.roles import Roles
from postil.tasks.spans import Spans
from postil.tasks.text import Text
from postil.tasks.timeline import Timeline
from postil.types import JSON, Answer, Capabilities, Completion, Record, Usage
from tests.tasks.mutations import mutations

TEXT = "Ann Lee met Bo in New York at noon. Ann had left 北京 before, said Bo. 李开复在北京。"
RECORD = Record("r", {"text": TEXT, "prompt": "Say 3.", "response_a": "3", "response_b": "4"})
ROUNDS = 3
"""How often each reply is mutated, in ways that are drawn anew."""


def at(words: str, mention: int = 1, **more: JSON) -> dict[str, JSON]:
    start = -1
    for _ in range(mention):
        start = TEXT.index(words, start + 1)
    return {**more, "start": start, "end": start + len(words), "text": words}


@dataclass(frozen=True)
class Case:
    """A kind with right answers, and replies that only it could mistake."""

    task: Task
    answers: Sequence[Answer]
    wrong: Sequence[str] = ()
    free: Collection[str] = ()
    """The keys of a reply whose text may say anything."""


SPANS = [
    at("Ann Lee", label="PER"),
    at("Bo", label="PER"),
    at("New York", label="LOC"),
    at("Ann", 2, label="PER"),
    at("北京", label="LOC"),
    at("李开复", label="PER"),
    at("北京", 2, label="LOC"),
]
NAMED = [{"id": f"T{i}", **span} for i, span in enumerate(SPANS, 1)]
LIVES = [{"head": "T1", "tail": "T3", "label": "visits"}, {"head": "T4", "tail": "T5", "label": "leaves"}]
EVENTS = [at("met", id="E1"), at("left", id="E2"), at("said", id="E3")]
LINKS = [{"from": "E1", "to": "E2", "relation": "after"}, {"from": "E1", "to": "E3", "relation": "before"}]
FRAME = {
    "predicate": at("met"),
    "arguments": [at("Ann Lee", role="ARG0"), at("Bo", role="ARG1"), at("at noon", role="ARGM-TMP")],
}

CASES: Mapping[str, Case] = {
    "classification": Case(
        Classification("tone", "Which tone?", labels=["good", "bad"]), [{"label": "good"}], ['{"label": "good, bad"}']
    ),
    "multilabel": Case(
        MultiLabel("all", "Which apply?", labels=["joy", "fear", "喜"]), [{"labels": ["joy", "喜"]}, {"labels": []}]
    ),
    "rating": Case(
        Rating("stars", "How good?", low=1, high=5), [{"rating": 4}], ['{"rating": 6}', '{"rating": "4-5"}']
    ),
    "preference": Case(
        Preference("better", "Which is better?", rationale=True),
        [{"preferred": "a", "strength": 1.0}, {"preferred": "tie", "strength": 0.5}],
        free=("rationale",),
    ),
    "attributes": Case(
        Attributes(
            "meeting",
            "What is said?",
            fields={
                "mood": {"type": "label", "labels": ["good", "bad"]},
                "who": {"type": "text", "verbatim": True},
                "tags": {"type": "list", "labels": ["warm", "cold"]},
            },
        ),
        [{"attributes": {"mood": "good", "who": "Ann Lee", "tags": ["warm", "cold"]}}],
    ),
    "spans": Case(
        Spans("names", "Which names?", labels=["PER", "LOC"]),
        [{"spans": SPANS}, {"spans": SPANS[3:5]}, {"spans": []}],
        [
            '{"spans": [{"text": "Ann", "label": "PER"}]}',
            '{"spans": [{"text": "Ann", "label": "PER", "occurrence": 3}]}',
            '{"spans": [{"text": "An", "label": "PER"}]}',
            '{"spans": [{"text": "New York", "label": "LOC"}, {"text": "York", "label": "LOC"}]}',
        ],
    ),
    "relations": Case(
        Relations(
            "ties",
            "Which relations?",
            labels=["visits", "leaves"],
            span_labels=["PER", "LOC"],
            triples=[["PER", "visits", "LOC"], ["PER", "leaves", "LOC"]],
        ),
        [{"spans": NAMED, "relations": LIVES}, {"spans": NAMED, "relations": []}],
        [
            json.dumps(
                {
                    "spans": [{"id": "T1", "text": "New York", "label": "LOC"}],
                    "relations": [{"head": "T1", "tail": "T1", "label": "visits"}],
                }
            ),
            '{"spans": [], "relations": [{"head": "T1", "tail": "T2", "label": "visits"}]}',
        ],
    ),
    "roles": Case(
        Roles("roles", "Who did what?", roles=["ARG0", "ARG1", "ARGM-TMP"]), [{"frames": [FRAME]}, {"frames": []}]
    ),
    "timeline": Case(
        Timeline("story", "What happened when?"),
        [{"events": EVENTS, "links": LINKS}, {"events": EVENTS, "links": []}],
        [
            json.dumps(
                {
                    "events": [{"id": f"E{i}", "text": words} for i, words in enumerate(("met", "left", "said"), 1)],
                    "links": [
                        {"from": one, "to": other, "relation": "before"}
                        for one, other in (("E1", "E2"), ("E2", "E3"), ("E3", "E1"))
                    ],
                }
            )
        ],
    ),
    "text": Case(
        Text("answer", "Whom did Ann Lee meet?", grounded=True),
        [{"text": "She met Bo.", "quotes": [at("met Bo in New York")]}],
        free=("text",),
    ),
}


def outcome(task: Task, form: AnswerForm, text: str) -> Answer | None:
    """Return the answer read, `None` for an error of the reply; any other error is a defect."""
    try:
        return task.read(Completion(text, "stop", Usage(1, 1)), form, RECORD).answer
    except AnswerError:
        return None


def test_every_kind_is_here() -> None:
    assert set(CASES) == set(KINDS)


def corpus(kind: str) -> Iterator[tuple[AnswerForm, Answer, str, str]]:
    """Yield the form, the right answer, the name and the text of every mutated reply of a kind, the same every time."""
    case, chance = CASES[kind], random.Random(kind)
    for answer in case.answers:
        right = case.task.accept(answer, RECORD)
        for schema in (True, False):
            form = case.task.form(Capabilities(schema=schema))
            written = case.task.write(right, form, RECORD)
            assert outcome(case.task, form, written) == right
            for _ in range(ROUNDS if written.startswith("{") else 0):
                for name, text in mutations(written, chance, free=case.free):
                    yield form, right, name, text


@pytest.mark.parametrize("kind", sorted(CASES))
def test_a_mutated_reply_is_an_error_or_the_right_answer(kind: str) -> None:
    task = CASES[kind].task
    outcomes = Counter[bool]()
    for form, right, name, text in corpus(kind):
        made = outcome(task, form, text)
        assert made is None or task.value(made) == task.value(right), (name, text[:2000])
        outcomes[made is None] += 1
    # Some mutations do no harm; most must.
    assert outcomes[True] > 0.6 * outcomes.total()


def test_there_are_five_thousand_different_ones() -> None:
    assert len({(kind, text) for kind in CASES for *_, text in corpus(kind)}) > 5000


@pytest.mark.parametrize("kind", sorted(CASES))
def test_what_only_one_kind_could_mistake_is_an_error(kind: str) -> None:
    task = CASES[kind].task
    for capabilities in (Capabilities(), Capabilities(schema=True)):
        for text in CASES[kind].wrong:
            assert outcome(task, task.form(capabilities), text) is None, text


@pytest.mark.parametrize("kind", sorted(CASES))
def test_a_whole_answer_that_was_cut_by_the_server_is_none(kind: str) -> None:
    task = CASES[kind].task
    form = task.form(Capabilities(schema=True))
    written = task.write(task.accept(CASES[kind].answers[0], RECORD), form, RECORD)
    with pytest.raises(Truncated):
        task.read(Completion(written, "length", Usage(1, 1)), form, RECORD)


def test_the_corpus_sees_a_reader_that_leaves_out_what_it_cannot_place() -> None:
    lenient = Spans("names", "Which names?", labels=["PER", "LOC"], unaligned="drop")
    right = lenient.accept({"spans": SPANS}, RECORD)
    form = lenient.form(Capabilities())
    other = 0
    for _, text in mutations(lenient.write(right, form, RECORD), random.Random(0)):
        try:
            made = lenient.read(Completion(text, "stop", Usage(1, 1)), form, RECORD)
        except AnswerError:
            continue
        # It is wanted then, and said.
        assert made.answer == right or made.rejected
        other += made.answer != right
    assert other > 10
