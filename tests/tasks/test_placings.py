"""How each quoted part was found stands beside the answer and never in it (reliability A9)."""

import json
from typing import Any

import pytest

from postil.tasks import Reading, Task
from postil.tasks.alignment import loosest
from postil.tasks.relations import Relations
from postil.tasks.roles import Roles
from postil.tasks.spans import Spans
from postil.tasks.text import Text
from postil.tasks.timeline import Timeline
from postil.types import Capabilities, Completion, Record, Usage

TEXT = "Ada Lovelace wrote to “Babbage” in Paris. 她在北京写信。"
RECORD = Record("r", {"text": TEXT})

SPANS = Spans("names", "Who and where?", labels=["PER", "LOC"])
RELATIONS = Relations("facts", "Who wrote to whom?", span_labels=["PER"], labels=["wrote_to"])
ROLES = Roles("roles", "Who did what?", roles=["ARG0", "ARG1"], core=[])
TIMELINE = Timeline("story", "What happens when?", times=True)
TEXTS = Text("qa", "Who wrote?", grounded=True)


def read(task: Task, said: Any, record: Record = RECORD) -> Reading:
    return task.read(Completion(json.dumps(said), "stop", Usage(1, 1)), task.form(Capabilities()), record)


def span(text: str, label: str = "PER") -> dict[str, str]:
    return {"text": text, "label": label}


EXACT = {
    "spans": (SPANS, {"spans": [span("Ada Lovelace"), span("“Babbage”"), span("北京", "LOC")]}),
    "relations": (
        RELATIONS,
        {
            "spans": [{"id": "T1", **span("Ada Lovelace")}, {"id": "T2", **span("“Babbage”")}],
            "relations": [{"head": "T1", "tail": "T2", "label": "wrote_to"}],
        },
    ),
    "roles": (
        ROLES,
        {"frames": [{"predicate": {"text": "wrote"}, "arguments": [{"role": "ARG0", "text": "Ada Lovelace"}]}]},
    ),
    "timeline": (TIMELINE, {"events": [{"id": "E1", "text": "wrote", "time": {"text": "in Paris"}}], "links": []}),
    "text": (TEXTS, {"quotes": [{"text": "Ada Lovelace wrote"}], "text": "Ada"}),
}
PARTS = {
    "spans": ["spans/0", "spans/1", "spans/2"],
    "relations": ["spans/0", "spans/1"],
    "roles": ["frames/0/predicate", "frames/0/arguments/0"],
    "timeline": ["events/0", "events/0/time"],
    "text": ["quotes/0"],
}


def at(answer: Any, path: str) -> Any:
    for key in path.split("/"):
        answer = answer[int(key)] if key.isdecimal() else answer[key]
    return answer


@pytest.mark.parametrize("kind", EXACT)
def test_each_part_that_was_quoted_has_its_method(kind: str) -> None:
    task, said = EXACT[kind]
    reading = read(task, said)
    assert reading.placings == dict.fromkeys(PARTS[kind], "exact")
    for path in PARTS[kind]:
        held = at(reading.answer, path)
        assert TEXT[held["start"] : held["end"]] == held["text"]


@pytest.mark.parametrize("kind", EXACT)
def test_what_was_placed_inexactly_is_the_same_answer(kind: str) -> None:
    """Equal answers stay equal, however their words were found."""
    task, said = EXACT[kind]
    exact = read(task, said)
    altered = json.dumps(said, ensure_ascii=False).replace("“", '\\"').replace("”", '\\"')
    altered = altered.replace("Ada Lovelace", "ada Lovelace").replace('wrote"', 'WROTE"')
    loose = read(task, json.loads(altered))
    assert loose.answer is not None
    assert exact.answer is not None
    assert (loose.answer, task.value(loose.answer)) == (exact.answer, task.value(exact.answer))
    assert loose.placings is not None
    assert loose.placings.keys() == (exact.placings or {}).keys()
    assert "case" in loose.placings.values()
    if kind == "spans":
        assert loose.placings == {"spans/0": "case", "spans/1": "form", "spans/2": "exact"}


def test_a_mistyped_quote_is_fuzzy_and_fragments_are_as_exact_as_the_least_exact() -> None:
    record = Record("r", {"text": "The international conference begins, and the left and right hands meet."})
    task = Spans("s", "Which?", labels=["X"], discontinuous=True)
    fragments = [{"text": "LEFT"}, {"text": "hands"}]
    said = {
        "spans": [
            {"fragments": [{"text": "internatoinal conference"}], "label": "X"},
            {"fragments": fragments, "label": "X"},
        ]
    }
    assert read(task, said, record).placings == {"spans/0": "fuzzy", "spans/1": "case"}
    assert loosest(["form", "exact"]) == "form"


def test_methods_follow_their_spans_into_the_order_of_the_answer() -> None:
    said = {"spans": [span("BABBAGE"), span("Ada Lovelace")]}
    reading = read(SPANS, said)
    assert reading.answer is not None
    assert [each["text"] for each in reading.answer["spans"]] == ["Ada Lovelace", "Babbage"]
    assert reading.placings == {"spans/0": "exact", "spans/1": "case"}


def test_where_nothing_was_quoted_there_is_no_method() -> None:
    assert read(SPANS, {"spans": []}).placings is None
    assert SPANS.accept({"spans": [{"start": 0, "end": 3, "label": "PER", "text": "Ada"}]}, RECORD) == {
        "spans": [{"start": 0, "end": 3, "label": "PER", "text": "Ada"}]
    }
