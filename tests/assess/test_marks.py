"""A report of structured answers marks words where they stand, in the order of the text, and runs nothing (A10)."""

import html
import random
import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from postil.assess import assess
from postil.assess._report_text import pieces
from postil.assess.marks import Mark, labels_in, marks_in
from postil.assess.report import Doubtful, Expense, OutcomeCounts, Question, Report, headline, render_report
from postil.tasks import Task
from postil.tasks.classification import Classification
from postil.tasks.multilabel import MultiLabel
from postil.tasks.preference import Preference
from postil.tasks.relations import Relations
from postil.tasks.spans import Spans
from postil.types import Annotation, Answer, Outcome, Record

TASK = Spans("names", "Which?", labels=["PER", "LOC"], show="{title}: {text}")
RECORD = Record("r", {"title": "Ann", "text": "Bo and Ann"})
ANSWER: Answer = {
    "spans": [
        {"field": "title", "start": 0, "end": 3, "label": "PER", "text": "Ann"},
        {"field": "text", "start": 7, "end": 10, "label": "PER", "text": "Ann"},
    ]
}
BARE = Report(
    title="Names",
    question=Question("names", "spans", "Which names?", ("PER", "LOC")),
    outcomes=OutcomeCounts(1, 1),
    expense=Expense(None),
    generated_at="2026-11-22",
    version="0.1.0",
)


def page(*doubtful: Doubtful) -> str:
    return render_report(replace(BARE, doubtful=doubtful))


def texts(made: str) -> list[str]:
    """Return the texts of the doubtful records as a reader sees them, without any markup."""
    inside = re.findall(r'<p class="text"><bdi[^>]*>(.*?)</bdi>', made, re.DOTALL)
    return [html.unescape(re.sub(r"<[^>]*>", "", each)) for each in inside]


def test_marks_are_places_in_what_is_shown() -> None:
    shown = "Ann: Bo and Ann"
    made = marks_in(TASK, ANSWER, RECORD)
    assert made == (Mark(0, 3, "PER"), Mark(12, 15, "PER"))
    assert [shown[one.start : one.end] for one in made] == ["Ann", "Ann"]


def test_fragments_are_marked_one_by_one_and_unknown_fields_not_at_all() -> None:
    task = Spans("names", "Which?", labels=["X"], nested=True, discontinuous=True)
    split: Answer = {
        "spans": [{"start": 0, "end": 9, "label": "X", "text": "left hand", "fragments": [[0, 2], [5, 9]]}]
    }
    assert marks_in(task, split, Record("r", {"text": "left hand"})) == (Mark(0, 2, "X"), Mark(5, 9, "X"))
    assert marks_in(task, split, Record("r", {"text": "another text"})) == ()
    assert marks_in(task, split, Record("r", {"text": None})) == ()


def test_parts_are_counted_by_their_labels_and_values_as_they_are() -> None:
    relations = Relations("ties", "Which?", labels=["knows"])
    labels: list[tuple[Task, Answer, list[str]]] = [
        (TASK, ANSWER, ["PER", "PER"]),
        (relations, {"spans": [], "relations": [{"head": "T1", "tail": "T2", "label": "knows"}]}, ["knows"]),
        (MultiLabel("all", "Which?", labels=["a", "b"]), {"labels": ["b", "a"]}, ["b", "a"]),
        (Classification("one", "Which?", labels=["a", "b"]), {"label": "a"}, ["a"]),
    ]
    for task, answer, expected in labels:
        assert list(labels_in(task, answer)) == expected


MARKS = st.lists(st.builds(Mark, st.integers(-2, 30), st.integers(0, 40), st.sampled_from(["PER", "LOC", ""])))


@given(st.text(st.characters(exclude_categories=["C"]), max_size=30), MARKS, MARKS)
def test_pieces_put_together_are_the_text(text: str, said: list[Mark], true: list[Mark]) -> None:
    assert "".join(piece.text for piece in pieces(text, said, true, limit=20)) == text[:20]


def test_highlighted_texts_keep_the_order_of_their_source() -> None:
    """Reliability A10, on 500 mixed texts: every character once, in its order, none put between them."""
    chance = random.Random(0)
    alphabet = ["שלום", "سلام", "12:30", "Ann", "(", ")", " ", "李", "👩\u200d💻", "e\u0301", "<b>", "&amp;", "'"]
    sources = ["".join(chance.choices(alphabet, k=chance.randint(1, 12))) for _ in range(500)]
    for start in range(0, 500, 20):
        some = sources[start : start + 20]
        doubtful = [
            Doubtful(str(at), text, "x", "why", 0.5, marks=_drawn(text, chance), gold_marks=_drawn(text, chance))
            for at, text in enumerate(some)
        ]
        assert texts(page(*doubtful)) == some


def _drawn(text: str, chance: random.Random) -> tuple[Mark, ...]:
    ends = [sorted(chance.sample(range(len(text) + 1), 2)) for _ in range(3)]
    return tuple(Mark(start, end, chance.choice(["PER", "LOC"])) for start, end in ends)


def test_a_mark_says_who_gave_which_label() -> None:
    one = Doubtful("r", "Ann met Bo", "x", "why", 0.5, marks=(Mark(0, 3, "PER"),), gold_marks=(Mark(0, 7, "LOC"),))
    made = page(one)
    assert '<mark class="given mark-0 true" title="answer: PER; gold: LOC">Ann</mark>' in made
    assert '<mark class=" true" title="gold: LOC"> met</mark>' in made
    assert "What the answer marks is coloured" in made
    assert "What the answer marks is coloured" not in page(Doubtful("r", "Ann", "x", "why", 0.5))


def test_hostile_labels_and_words_are_only_text() -> None:
    evil = '"><script>alert(1)</script>\u202e{{ 7*7 }}'
    made = page(Doubtful("r", evil * 3, "x", "why", 0.5, marks=(Mark(1, 9, evil),), gold_marks=(Mark(0, 5, evil),)))
    assert "<script" not in made
    assert "49" not in re.sub(r"<style>.*?</style>", "", made, flags=re.DOTALL).split("Worth a look")[1]
    assert "\u202e" not in made


def test_a_report_of_spans_has_its_figures_in_words_and_label_by_label() -> None:
    gold: dict[str, Answer] = {
        str(at): {"spans": [{"start": 0, "end": 1, "label": label, "text": "x"}]}
        for at, label in enumerate(["PER"] * 30 + ["LOC"] * 10)
    }
    outcomes: dict[str, Outcome] = {key: Annotation(key, "m", each) for key, each in list(gold.items())[:36]}
    task = Spans("names", "Which?", labels=["PER", "LOC"])
    rng = np.random.default_rng(0)
    made = assess(task, annotator="m", outcomes=outcomes, gold=gold, records=40, rng=rng, replicates=200)
    report = replace(BARE, assessments=(made,), distribution={"PER": 30, "LOC": 6})
    assert "Strict F1 1.000 on 36 gold records" in headline(report)
    text = html.unescape(re.sub(r"<[^>]*>", " ", render_report(report)))
    for words in (
        *("Strict F1", "Strict precision", "Partial F1", "Strict F1, missing counted as nothing found"),
        *("Wholly right", "Always nothing", "label by label", "Parts of answers by their label"),
    ):
        assert words in text
    rows = re.findall(r'<th scope="row"><bdi>(PER|LOC)</bdi></th><td class="number">(\d+)</td>', render_report(report))
    assert rows[:2] == [("PER", "30"), ("LOC", "6")]


@pytest.mark.parametrize("limit", [1, 7])
def test_marks_beyond_the_clipped_text_are_left_out(limit: int) -> None:
    made = pieces("Ann met Bo", [Mark(8, 10, "PER")], [], limit=limit)
    assert "".join(piece.text for piece in made) == "Ann met Bo"[:limit]
    assert not any(piece.given for piece in made)


def test_a_preference_counts_for_its_side_whatever_its_strength() -> None:
    task = Preference("better", "Which?")
    assert [labels_in(task, {"preferred": "a", "strength": z}) for z in (0.6, 0.97)] == [["a"], ["a"]]


def test_a_label_has_one_colour_in_all_records_and_a_key_says_which() -> None:
    first = Doubtful("1", "Rome", "LOC: Rome", "", marks=(Mark(0, 4, "LOC"),))
    second = Doubtful("2", "Ann in Oslo", "…", "", marks=(Mark(0, 3, "PER"), Mark(7, 11, "LOC")))
    made = page(first, second)
    key = re.findall(r'<mark class="given (mark-\d)"><bdi>(\w+)</bdi></mark>', made)
    assert key == [("mark-0", "PER"), ("mark-1", "LOC")]
    assert re.findall(r'<mark class="given (mark-\d)" title="answer: (\w+)">', made) == [
        ("mark-1", "LOC"),
        ("mark-0", "PER"),
        ("mark-1", "LOC"),
    ]


def test_one_label_and_many_need_no_key() -> None:
    many = tuple(Mark(at, at + 1, f"L{at}") for at in range(9))
    for marks in (many, many[:1]):
        assert 'class="legend"' not in page(Doubtful("1", "123456789", "…", "", marks=marks))
