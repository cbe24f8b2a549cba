"""Data files into the journal: whole or not at all, again only when something changed."""

import json
from pathlib import Path

import pytest

from postil.errors import DataError, InputError, SettingsError
from postil.project import Project
from postil.project.importing import Sync, data_file, names_file
from postil.tasks import Task
from postil.tasks.classification import Classification
from postil.tasks.preference import Preference
from postil.tasks.rating import Rating
from postil.tasks.spans import Spans
from tests.cli.command import snapshot, write_jsonl
from tests.project.making import items, project


def test_records_and_gold_come_in_once(tmp_path: Path) -> None:
    with project(tmp_path, items(5, gold=3)) as made:
        assert [record.id for record in made.journal.records()] == [f"r00{at}" for at in range(5)]
        assert made.journal.gold() == {"r000": {"label": "pos"}, "r001": {"label": "neg"}, "r002": {"label": "pos"}}
        assert made.sync() is None


def test_nothing_is_read_while_nothing_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with project(tmp_path, items(5, gold=3)) as made:

        def read(*_: object, **__: object) -> None:
            raise AssertionError("the file was read again")

        monkeypatch.setattr("postil.project.importing.read_records", read)
        before = snapshot(tmp_path)
        assert made.sync() is None
        made.status()
        assert snapshot(tmp_path) == before


def test_what_was_found_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with project(tmp_path, items(5)) as made:
        path = write_jsonl(tmp_path / "items.jsonl", [*items(7), *items(2)])
        assert made.sync() == Sync(records=7, added=2, merged=2, gone=0, gold=2)
        assert "lines that repeat a record: 2; every record is taken once" in caplog.text
        write_jsonl(path, items(4))
        assert made.sync() == Sync(records=7, added=0, merged=0, gone=3, gold=0)
        assert "records that are not in it any more: 3; they stay" in caplog.text


def test_a_changed_task_reads_the_gold_anew(tmp_path: Path) -> None:
    with project(tmp_path, items(4)):
        pass
    toml = tmp_path / "project" / "postil.toml"
    original = toml.read_text()
    toml.write_text(original.replace('["pos", "neg"]', '["good", "neg"]\naliases = { pos = "good" }'))
    with Project(tmp_path / "project") as made:
        made.sync()
        assert made.journal.gold()["r000"] == {"label": "good"}
    toml.write_text(original)
    with Project(tmp_path / "project") as made:
        made.sync()
        assert made.journal.gold()["r000"] == {"label": "pos"}


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([*items(6), {"id": "r005", "text": "another"}], "line 7: expected one record an id, got 'r005' again"),
        ([*items(6), {"id": "x", "text": "t", "label": "meh"}], "line 7, record 'x', gold field 'label'.*got 'meh'"),
        ([*items(6), {"id": "r001", "text": "awful thing-001", "label": "pos"}], "line 7: the gold of record 'r001'"),
        ([*items(6), {"id": "", "text": "t"}], "line 7: expected an id"),
    ],
    ids=["fields", "label", "gold", "id"],
)
def test_a_fault_far_down_changes_nothing(lines: list[dict[str, str]], says: str, tmp_path: Path) -> None:
    with project(tmp_path, items(3)) as made:
        write_jsonl(tmp_path / "items.jsonl", lines)
        before = snapshot(tmp_path)
        with pytest.raises(DataError, match=says):
            made.sync()
        assert snapshot(tmp_path) == before
        write_jsonl(tmp_path / "items.jsonl", items(6))
        found = made.sync()
        assert found is not None
        assert found.added == 3


def test_gold_of_a_file_must_be_of_known_records(tmp_path: Path) -> None:
    with project(tmp_path, items(3, gold=0), gold=None):
        pass
    toml = tmp_path / "project" / "postil.toml"
    toml.write_text(toml.read_text().replace("[data]\n", '[data]\ngold = "gold.jsonl"\n'))
    gold = write_jsonl(
        tmp_path / "project" / "gold.jsonl", [{"id": "r001", "label": "neg"}, {"id": "no", "label": "pos"}]
    )
    write_jsonl(tmp_path / "items.jsonl", items(5, gold=0))
    with Project(tmp_path / "project") as made:
        before = snapshot(tmp_path)
        with pytest.raises(DataError, match=r"gold.jsonl, line 2: gold for the record 'no', which is not among"):
            made.sync()
        assert snapshot(tmp_path) == before
        # A record of an earlier import is known, also where the items file has lost it.
        write_jsonl(tmp_path / "items.jsonl", items(1, gold=0))
        write_jsonl(gold, [{"id": "r001", "label": "neg"}])
        made.sync()
        assert made.journal.gold() == {"r001": {"label": "neg"}}


def test_gold_of_a_file_needs_no_words_where_places_say_them(tmp_path: Path) -> None:
    """As in a field: the record is known by its id, and what stands at a place is looked up there."""
    rows = [{"id": "a", "text": "Ada met 😀 Bob."}, {"id": "b", "text": "张三在北京。"}]
    gold = [
        {"id": row["id"], "spans": [{"start": 0, "end": end, "label": "PER"}]}
        for row, end in ((rows[0], 3), (rows[1], 2))
    ]
    items_file = write_jsonl(tmp_path / "items.jsonl", rows)
    gold_file = write_jsonl(tmp_path / "gold.jsonl", [*gold, {"id": "unknown", "spans": None}, gold[0]])
    task = Spans("names", "Who?", labels=["PER"])
    with Project.create(tmp_path / "p", task, items=items_file, gold=gold_file) as made:
        assert [answer["spans"][0]["text"] for _, answer in sorted(made.journal.gold().items())] == ["Ada", "张三"]
        # Once records are in the journal, the items file need not have them.
        write_jsonl(items_file, rows[1:])
        write_jsonl(gold_file, [{"id": "a", "spans": [{"start": 10, "end": 13, "label": "PER"}]}])
        made.sync()
        assert made.journal.gold()["a"]["spans"][0]["text"] == "Bob"


@pytest.mark.parametrize(
    ("lines", "says"),
    [
        ([[0, 99]], r"gold.jsonl, line 1, record 'a': spans\[0\]: ends at 99, the text has 8"),
        ([[0, 3], [4, 7]], r"gold.jsonl, line 2: the gold of record 'a' differs from that of .*gold.jsonl, line 1"),
    ],
)
def test_gold_of_a_file_that_is_wrong_is_named_with_its_line(lines: list[list[int]], says: str, tmp_path: Path) -> None:
    items_file = write_jsonl(tmp_path / "items.jsonl", [{"id": "a", "text": "Ada left"}])
    spans = ([{"start": start, "end": end, "label": "PER"}] for start, end in lines)
    gold_file = write_jsonl(tmp_path / "gold.jsonl", [{"id": "a", "spans": each} for each in spans])
    with pytest.raises(DataError, match=says):
        Project.create(tmp_path / "p", Spans("names", "Who?", labels=["PER"]), items=items_file, gold=gold_file)


def test_gold_may_be_added_and_corrected_in_the_items(tmp_path: Path) -> None:
    with project(tmp_path, items(4, gold=2)) as made:
        rows = items(4)
        rows[0]["label"] = "neg"
        write_jsonl(tmp_path / "items.jsonl", rows)
        found = made.sync()
        assert found == Sync(records=4, added=0, merged=0, gone=0, gold=3)
        assert [answer["label"] for _, answer in sorted(made.journal.gold().items())] == ["neg", "neg", "pos", "neg"]


def test_the_gold_may_not_be_shown(tmp_path: Path) -> None:
    task = Classification("t", "q", labels=["pos", "neg"], show="{text} ({label})")
    with pytest.raises(SettingsError, match="the task shows the field 'label', which holds the gold"):
        project(tmp_path, items(4), task=task)


def test_one_record_without_the_field_that_is_shown_is_a_bad_record_and_no_slip(tmp_path: Path) -> None:
    rows = [{"id": "first", "title": "no text"}, *items(2)]
    with project(tmp_path, rows) as made:
        assert made.journal.count_records() == 3
    with pytest.raises(SettingsError, match=r"line 1: the task shows the field 'text', the record has 'title'"):
        project(tmp_path / "project", [{"id": "1", "title": "a"}, {"id": "2", "body": "b"}], gold=None)


@pytest.mark.parametrize(
    ("gold", "file"),
    [
        ("label", False),
        ("gold.jsonl", True),
        ("a/b.CSV", True),
        ("stars.mean", False),
        ("x.y.parquet", True),
        (".", False),
    ],
)
def test_a_name_means_a_file_if_it_ends_like_one_that_can_be_read(gold: str, file: bool) -> None:
    assert names_file(gold) is file


def test_ids_may_stand_in_a_field_of_their_own(tmp_path: Path) -> None:
    rows = [{"key": 1, "text": "a"}, {"key": 2, "text": "a"}]
    with project(tmp_path, rows, gold=None, id_field="key") as made:
        assert [record.id for record in made.journal.records()] == ["1", "2"]
    (tmp_path / "without").mkdir()
    with project(tmp_path / "without", [{"text": "a"}, {"text": "a"}], gold=None) as made:
        assert made.journal.count_records() == 1


def test_a_file_that_is_gone_is_a_fault_for_those_that_act(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with project(tmp_path, items(4)) as made:
        (tmp_path / "items.jsonl").unlink()
        with pytest.raises(InputError, match=r"items\.jsonl: cannot be read"):
            made.sync()
        assert made.sync(reading=True) is None
        assert "a data file is gone" in caplog.text
        assert made.status()["records"] == 4


def test_a_file_that_was_never_there_is_a_fault_for_all(tmp_path: Path) -> None:
    with project(tmp_path, items(4)):
        pass
    toml = tmp_path / "project" / "postil.toml"
    toml.write_text(toml.read_text().replace("items.jsonl", "other.jsonl"))
    with Project(tmp_path / "project") as made, pytest.raises(DataError, match=r"other\.jsonl: cannot be read"):
        made.status()


@pytest.mark.parametrize(
    ("folder", "name", "seen"),
    [
        ("p", "../items.jsonl", "items.jsonl"),
        ("p", "data/items.jsonl", "p/data/items.jsonl"),
        (".", "../items.jsonl", "../items.jsonl"),
        (".", "items.jsonl", "items.jsonl"),
        ("{here}/p", "../items.jsonl", "items.jsonl"),
        ("p", "{here}/items.jsonl", "items.jsonl"),
        ("p", "/items.jsonl", "/items.jsonl"),
        ("link", "../items.jsonl", "elsewhere/items.jsonl"),
        ("p", "nul\0", "p/nul\0"),
    ],
)
def test_a_data_file_is_called_as_it_is_seen_from_here(
    folder: str, name: str, seen: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "p").mkdir()
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    monkeypatch.chdir(tmp_path)
    here = Path.cwd()
    assert data_file(Path(folder.format(here=here)), name.format(here=here)) == Path(seen)


def test_faults_in_data_name_their_file_as_it_is_seen_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    with project(Path(), items(3)) as made:
        write_jsonl(Path("items.jsonl"), [*items(3), {"id": "r000", "text": "another"}])
        with pytest.raises(DataError, match=r"^items\.jsonl, line 4: "):
            made.sync()
        write_jsonl(Path("items.jsonl"), [*items(3), *items(1)])
        made.sync()
        assert "items.jsonl: lines that repeat" in caplog.messages[0]
        assert ".." not in caplog.text


def test_hostile_fields_survive(tmp_path: Path) -> None:
    rows = [{"id": "\u202e1", "text": "\0\ud800<script>", "n": 10**30, "deep": [[{"a": None}]]}]
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    from tests.project.making import TASK

    with Project.create(tmp_path / "p", TASK, items=tmp_path / "items.jsonl") as made:
        [record] = made.journal.records()
        assert (record.id, dict(record.fields)) == ("\u202e1", {key: rows[0][key] for key in ("text", "n", "deep")})


@pytest.mark.parametrize(
    ("task", "gold", "hint"),
    [
        (Classification("t", "What?", labels=["a", "b"]), "c", "make it an alias of one"),
        (Rating("t", "How good?"), 7, "--scale LOW-HIGH of init"),
        (Spans("t", "Who?", labels=["person"]), [{"start": 0, "end": 3, "label": "place"}], "let the task allow it"),
        (
            Spans("t", "Who?", labels=["person"]),
            [{"start": 1, "end": 3, "label": "person", "text": "Ann"}],
            "code points",
        ),
        (Preference("t", "Which?", context="{text}", candidates=["one", "two"]), "first", "correct the gold"),
    ],
)
def test_gold_that_is_wrong_is_told_with_what_its_kind_can_do(
    task: Task, gold: object, hint: str, tmp_path: Path
) -> None:
    path = write_jsonl(tmp_path / "items.jsonl", [{"id": "1", "text": "Ann", "one": "x", "two": "y", "gold": gold}])
    with pytest.raises(DataError) as caught:
        Project.create(tmp_path / "p", task, items=path, gold="gold")
    assert hint in caught.value.hint
    assert ("alias" in caught.value.hint) == isinstance(task, Classification)


def test_candidates_that_no_record_has_are_to_be_named(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "items.jsonl", [{"id": "1", "prompt": "Say hi.", "one": "Hi", "two": "No"}])
    with pytest.raises(SettingsError, match="'response_a', the record has 'prompt', 'one', 'two'") as caught:
        Project.create(tmp_path / "p", Preference("t", "Which?"), items=path)
    assert "candidates = " in caught.value.hint
