"""Which gold is shown and which measures: disjoint, repeatable, and never the one used as the other (survey 0.12)."""

import logging
import re
from pathlib import Path
from typing import Any

import pytest

from postil.engines.scripted import ScriptedEngine
from postil.errors import DataError, SettingsError
from postil.project import Project
from postil.project.gold import count_roles, demonstration_pool, measuring_gold
from postil.tasks import Task
from postil.tasks.classification import Classification
from postil.tasks.reading import fold
from postil.tasks.text import Text
from tests.cli.command import snapshot, write_jsonl
from tests.project.making import TASK, asked, asked_text, engine, items, project, text_of


def shown_and_measuring(made: Project) -> tuple[set[str], set[str]]:
    pool = demonstration_pool(made.journal, made.folder, made.settings, made.task)
    return {each.record.id for each in pool}, set(measuring_gold(made.journal))


@pytest.mark.parametrize("demonstrations", ["fixed", "random", "similar"])
def test_gold_that_measures_is_in_no_prompt_but_its_own(demonstrations: str, tmp_path: Path) -> None:
    with project(tmp_path, items(60, gold=40)) as made:
        double = engine()
        made.annotate(engine=double, shots=6, demonstrations=demonstrations)
        shown, measuring = shown_and_measuring(made)
        assert shown
        assert measuring
        assert not shown & measuring
        assert shown | measuring == {f"r{at:03}" for at in range(40)}
        secret = {text_of(int(record[1:])) for record in measuring}
        for request in double.requests:
            own = asked_text(request)
            seen = "\n".join(message.content for message in request.messages[:-1])
            assert len(request.messages) > 3, "there are demonstrations"
            assert own not in seen
            assert not [text for text in secret if text in seen]
        assert made.assess().gold == len(measuring)


def test_texts_that_read_the_same_go_together(tmp_path: Path) -> None:
    # Each text three times in other dress: case, width, spaces, marks around it.
    rows = [
        {"id": f"{at}-{dress}", "text": text, "label": "pos"}
        for at in range(40)
        for dress, text in enumerate((f"Text {at}", f"  ＴＥＸＴ {at} ", f"text   {at}!"))
    ]
    with project(tmp_path, rows, annotators={"m": {"engine": "local", "shots": 4}}) as made:
        shown, measuring = shown_and_measuring(made)
        assert len(shown) + len(measuring) == 120
        assert {record.split("-")[0] for record in shown}.isdisjoint({record.split("-")[0] for record in measuring})
        assert len(shown) % 3 == 0


def test_the_choice_follows_from_the_texts_alone(tmp_path: Path) -> None:
    rows = items(40)
    annotators = {"m": {"engine": "local", "shots": 4}}
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    with (
        project(tmp_path / "one", rows, annotators=annotators) as one,
        project(tmp_path / "two", rows[::-1], annotators=annotators) as two,
    ):
        assert shown_and_measuring(one) == shown_and_measuring(two)


def test_without_demonstrations_all_gold_measures(tmp_path: Path) -> None:
    with project(tmp_path, items(30), annotators={"m": {"engine": "local"}}) as made:
        assert count_roles(made.journal) == {"certificate": 30}
        # Described later, demonstrations take their share, and it never measures again.
        made.annotate(engine=engine(), shots=4)
        roles = count_roles(made.journal)
        assert set(roles) == {"certificate", "demonstration"}
        assert sum(roles.values()) == 30
    # A session without demonstrations takes nothing back, and writes nothing.
    before = snapshot(tmp_path)
    with Project(tmp_path / "project") as again:
        again.sync()
        assert count_roles(again.journal) == roles
    assert snapshot(tmp_path) == before
    with Project(tmp_path / "project") as again:
        assert again.assess("default").gold == roles["certificate"]


def test_what_was_shown_never_measures_again_whatever_the_share_becomes(tmp_path: Path) -> None:
    with project(tmp_path, items(60), annotators={"m": {"engine": "local", "shots": 4}}) as made:
        shown, _ = shown_and_measuring(made)
    toml = tmp_path / "project" / "postil.toml"
    toml.write_text(toml.read_text() + "\n[gold]\ndemonstration_share = 0.0\n")
    # New gold, with texts that were shown before, in other dress.
    rows = [*items(60), *({"id": f"n{at}", "text": f"{text_of(at)}!".upper(), "label": "pos"} for at in range(60))]
    write_jsonl(tmp_path / "items.jsonl", rows)
    with Project(tmp_path / "project") as made:
        made.sync()
        now_shown, measuring = shown_and_measuring(made)
        assert shown <= now_shown
        measured = {fold(record.fields["text"]) for record in made.journal.some_records(sorted(measuring))}
        seen = {fold(record.fields["text"]) for record in made.journal.some_records(sorted(now_shown))}
        assert not measured & seen


def test_a_changed_show_takes_with_it_what_now_reads_the_same(tmp_path: Path) -> None:
    rows = [
        {"id": f"{at}{side}", "title": f"title {at}{side}", "text": f"text {at}", "label": "pos"}
        for at in range(60)
        for side in "ab"
    ]
    task = Classification("t", "q", labels=["pos", "neg"], show="{title}")
    with project(tmp_path, rows, task=task, annotators={"m": {"engine": "local", "shots": 4}}) as made:
        by_title, _ = shown_and_measuring(made)
    toml = tmp_path / "project" / "postil.toml"
    toml.write_text(toml.read_text().replace("{title}", "{text}"))
    with Project(tmp_path / "project") as made:
        made.sync()
        shown, measuring = shown_and_measuring(made)
        assert by_title <= shown
        assert {record[:-1] for record in shown}.isdisjoint({record[:-1] for record in measuring})
        assert measuring


def test_of_little_gold_one_text_is_shown(tmp_path: Path) -> None:
    with project(tmp_path, items(3), annotators={"m": {"engine": "local", "shots": 4}}) as made:
        shown, measuring = shown_and_measuring(made)
        assert (len(shown), len(measuring)) == (1, 2)


def test_gold_that_shows_nothing_is_no_demonstration(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"id": str(at), "text": "" if at % 2 else f"t{at}", "label": "pos"} for at in range(40)
    ]
    with project(tmp_path, rows) as made:
        assert made.annotate(engine=engine(), shots=20).failures == {"empty_record": 20}
        shown, _ = shown_and_measuring(made)
        assert all(int(record) % 2 == 0 for record in shown)


def test_a_file_of_demonstrations_leaves_all_gold_to_measure(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with project(tmp_path, items(10)):
        pass
    shown = [
        {"id": "x1", "text": "a fine piece", "label": "pos"},
        {"id": "x2", "text": "an awful piece", "label": "neg"},
        {"id": "x3", "text": f"  {text_of(4)}! ", "label": "pos"},
        {"id": "x4", "text": "unsolved"},
    ]
    write_jsonl(tmp_path / "project" / "shown.jsonl", shown)
    toml = tmp_path / "project" / "postil.toml"
    toml.write_text(toml.read_text().replace("[data]\n", '[data]\ndemonstrations = "shown.jsonl"\n'))
    with Project(tmp_path / "project") as made, caplog.at_level(logging.WARNING, "postil"):
        double = engine()
        made.annotate(engine=double, shots=4)
        pool, measuring = shown_and_measuring(made)
        assert (pool, len(measuring)) == ({"x1", "x2"}, 10)
        assert "1 demonstrations left out: their text is in the gold that measures" in caplog.text
        assert all(
            "a fine piece" in request.messages[1].content + request.messages[3].content for request in double.requests
        )


@pytest.mark.parametrize(
    ("row", "says"),
    [
        (
            {"id": "x", "text": "t", "label": "meh"},
            r"shown.jsonl, line 1, record 'x', gold field 'label': .* got 'meh'",
        ),
        ({"id": "x", "label": "pos"}, r"shown.jsonl, line 1: record 'x' has no field 'text'"),
    ],
)
def test_a_demonstration_that_is_wrong_is_told_with_its_place(row: dict[str, str], says: str, tmp_path: Path) -> None:
    with project(tmp_path, items(4)):
        pass
    write_jsonl(tmp_path / "project" / "shown.jsonl", [row])
    toml = tmp_path / "project" / "postil.toml"
    toml.write_text(toml.read_text().replace("[data]\n", '[data]\ndemonstrations = "shown.jsonl"\n'))
    with Project(tmp_path / "project") as made, pytest.raises(DataError, match=says):
        made.annotate(engine=engine(), shots=4)


def test_demonstrations_without_gold_are_refused_before_anything_is_asked(tmp_path: Path) -> None:
    with project(tmp_path, items(4, gold=0), gold=None) as made:
        double = engine()
        with pytest.raises(SettingsError, match="shots = 2, but there is no gold to show"):
            made.annotate(engine=double, shots=2)
        assert asked(double) == []
        assert made.status()["pending"] == 4


def test_few_demonstrations_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with project(tmp_path, items(6)) as made:
        made.annotate(engine=engine(), shots=50)
        assert "shots = 50, and only" in caplog.text
        caplog.clear()
        made.status()
        assert caplog.text == ""


def test_the_task_is_the_same(tmp_path: Path) -> None:
    with project(tmp_path, items(2)) as made:
        assert made.task == TASK


def solved(at: int) -> dict[str, Any]:
    return {"text": f"{2 * at} by two", "rationale": f"Half of {2 * at} is {at}."}


def with_gold(folder: Path, held: str, task: Task) -> Project:
    """Make a project of twenty sums whose answers and reasons are held in one of the ways that there are."""
    texts = [{"id": f"r{at}", "question": solved(at)["text"]} for at in range(20)]
    answers: list[dict[str, Any]] = [{"text": str(at), "rationale": solved(at)["rationale"]} for at in range(20)]
    gold: str | None = None
    if held == "file":
        gold = str(write_jsonl(folder / "gold.jsonl", [{"id": f"r{at}", **each} for at, each in enumerate(answers)]))
    elif held == "object":
        gold, texts = "gold", [each | {"gold": answers[at]} for at, each in enumerate(texts)]
    elif held == "beside":
        gold = "gold"
        texts = [each | {"gold": str(at), "rationale": answers[at]["rationale"]} for at, each in enumerate(texts)]
    made = project(folder, texts, task=task, gold=gold, annotators={"m": {"engine": "local", "shots": 4}})
    if held == "demonstrations":
        made.close()
        shown = [{"id": f"d{at}", "question": f"{solved(at)['text']}?"} | answers[at] for at in range(20)]
        write_jsonl(folder / "project" / "shown.jsonl", shown)
        toml = folder / "project" / "postil.toml"
        toml.write_text(toml.read_text().replace("[data]\n", '[data]\ndemonstrations = "shown.jsonl"\n'))
        made = Project(folder / "project")
        made.sync()
    return made


@pytest.mark.parametrize("held", ["file", "object", "beside", "demonstrations"])
def test_reasons_given_with_gold_are_shown_where_the_reply_is_to_reason(held: str, tmp_path: Path) -> None:
    """Survey 1.03: a demonstration is record, reasons, answer, wherever they were written down."""
    task = Text("sums", "Work it out.", show="{question}", final="Answer")
    with with_gold(tmp_path, held, task) as made:
        pool = demonstration_pool(made.journal, made.folder, made.settings, made.task)
        assert pool
        for each in pool:
            assert each.rationale == f"Half of {each.record.fields['question'].split()[0]} is {each.answer['text']}."
        double = ScriptedEngine(lambda _: "Answer: 1")
        made.annotate(engine=double, shots=2, demonstrations="fixed")
        [*_, shown, _] = double.requests[0].messages
        assert re.fullmatch(r"Half of \d+ is (\d+)\.\nAnswer: \1", shown.content)
        # Reasons are no part of the answer that measures.
        assert {frozenset(answer) for answer in made.journal.gold().values()} <= {frozenset({"text"})}


@pytest.mark.parametrize("held", ["file", "object", "beside", "demonstrations"])
def test_reasons_that_nobody_asks_for_are_not_shown(held: str, tmp_path: Path) -> None:
    with with_gold(tmp_path, held, Text("sums", "Work it out.", show="{question}")) as made:
        pool = demonstration_pool(made.journal, made.folder, made.settings, made.task)
        assert pool
        assert {each.rationale for each in pool} == {""}


def test_reasons_can_be_added_and_changed_later(tmp_path: Path) -> None:
    task = Classification("tone", "Is it good?", labels=["pos", "neg"], rationale=True)
    annotators = {"m": {"engine": "local", "shots": 4}}
    with project(tmp_path, items(8), task=task, annotators=annotators) as made:
        for said in ("It says so.", "Because."):
            write_jsonl(tmp_path / "items.jsonl", [row | {"rationale": said} for row in items(8)])
            made.sync()
            pool = demonstration_pool(made.journal, made.folder, made.settings, made.task)
            assert {each.rationale for each in pool} == {said}
        # Gold that is no longer in the file is shown as before.
        write_jsonl(tmp_path / "items.jsonl", [*items(8, gold=0)[:1], {"id": "x", "text": "new", "label": "pos"}])
        made.sync()
        pool = demonstration_pool(made.journal, made.folder, made.settings, made.task)
        assert {each.rationale for each in pool if each.record.id != "x"} == {"Because."}


def test_a_field_of_that_name_that_is_shown_is_no_reason_for_the_answer(tmp_path: Path) -> None:
    task = Classification("sound", "Do they follow?", labels=["pos", "neg"], show="{text}\n{rationale}", rationale=True)
    rows = [row | {"rationale": f"since {row['id']}"} for row in items(8)]
    with project(tmp_path, rows, task=task, annotators={"m": {"engine": "local", "shots": 4}}) as made:
        pool = demonstration_pool(made.journal, made.folder, made.settings, made.task)
        assert pool
        assert {each.rationale for each in pool} == {""}


def test_reasons_that_are_no_text_are_told_with_their_place(tmp_path: Path) -> None:
    task = Classification("tone", "Is it good?", labels=["pos", "neg"], rationale=True)
    with pytest.raises(DataError, match=r"line 1, record 'r000': expected the reasons .* in 'rationale', got list"):
        project(tmp_path, [row | {"rationale": ["fine"]} for row in items(2)], task=task)
