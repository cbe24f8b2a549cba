"""Bad input: one clear message, the exit code of the design, nothing spent, nothing changed, no traceback."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from postil.cli import app as command_line
from tests.cli.command import (
    REVIEWS,
    SENTIMENT,
    Ran,
    openai,
    postil,
    postil_process,
    read_jsonl,
    snapshot,
    write_jsonl,
    write_project,
)
from tests.fake_server import Asked, FakeServer, Reply

GOOD = {"id": "a", "text": "good", "label": "pos"}
BAD = {"id": "b", "text": "bad", "label": "neg"}


def lines(*rows: Mapping[str, Any]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def refused(ran: Ran, *says: str, code: int = 2) -> None:
    """Check that a command ended as bad input should: a message, once, and nothing for programs to mistake."""
    assert ran.code == code, ran.err
    assert ran.out == ""
    assert "Traceback" not in ran.err
    assert ran.err.count("postil: ") == 1, ran.err
    for words in says:
        assert words in ran.err


def sentiment_or_star(asked: Asked) -> str:
    return "pos" if "good" in asked.text else "neg"


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# Data files, met by `init`


@dataclass(frozen=True)
class Items:
    name: str
    content: bytes | None
    says: tuple[str, ...]
    file: str = "items.jsonl"
    options: tuple[str, ...] = ("--gold", "label")


ITEMS = [
    Items("missing", None, ("no file items.jsonl", "Relative paths start at")),
    Items("missing with a near name", None, ("no file item.jsonl", "Is it items.jsonl?"), file="item.jsonl"),
    Items("empty", b"", ("items.jsonl is empty, expected records",)),
    Items("blank lines only", b"\n \n\n", ("expected records, got none",)),
    Items("BOM only", b"\xef\xbb\xbf", ("expected records, got none",)),
    Items("BOM and a header only", b"\xef\xbb\xbfid,text\r\n", ("expected records, got none",), file="items.csv"),
    Items("utf-16", lines(GOOD, BAD).decode().encode("utf-16"), ("expected UTF-8, got UTF-16",)),
    Items(
        "gb18030", '{"text": "很好用，下次还买", "label": "pos"}\n'.encode("gb18030"), ("line 1", "UTF-8", "GB18030")
    ),
    Items("latin-1", b'{"text": "caf\xe9", "label": "pos"}\n', ("line 1", "UTF-8")),
    Items("zip", b"PK\x03\x04 and more", ("a zip archive or an Excel workbook",)),
    Items(
        "broken line", lines(GOOD) + b'{"id": "b", "text": "ba\n', ("items.jsonl, line 2", "The line ends too early")
    ),
    Items("array", b'[\n{"text": "good"}\n]\n', ("This looks like a JSON array",)),
    Items("list on a line", b'["good"]\n', ("expected a JSON object, got an array",)),
    Items("NaN", b'{"text": "good", "score": NaN}\n', ("line 1", "NaN")),
    Items("key twice", b'{"text": "good", "text": "bad"}\n', ("line 1", "'text' stands twice")),
    Items("raw NUL in JSON", b'{"text": "a\x00b"}\n', ("line 1", "\\u0000")),
    Items(
        "one id, different fields",
        lines(GOOD, GOOD | {"text": "other"}, BAD),
        ("items.jsonl, line 2", "'a' again with other fields"),
    ),
    Items(
        "one id, different gold", lines(GOOD, GOOD | {"label": "neg"}, BAD), ("items.jsonl, line 2", "'a'", "line 1")
    ),
    Items("id that is no id", lines(GOOD | {"id": None}, BAD), ("line 1", "expected an id in the field 'id'")),
    Items(
        "unknown ending", lines(GOOD, BAD), ("items.txt: expected a file name that ends in", ".jsonl"), file="items.txt"
    ),
    Items("ragged csv", b"text,label\ngood,pos\nbad\n", ("items.csv, line 3", "expected 2 cells"), file="items.csv"),
    Items("csv without header", b"1,2\n3,4\n", ("expected a header",), file="items.csv"),
    Items("csv with semicolons", b"text;label\ngood;pos\n", ("separated by ','", "';'"), file="items.csv"),
    Items("no parquet", b"not parquet at all, not at all", ("items.parquet",), file="items.parquet"),
    Items(
        "missing field in show",
        lines(GOOD, BAD),
        ("items.jsonl, line 1", "shows the field 'body', the record has 'text', 'label'", "--text FIELD"),
        options=("--gold", "label", "--text", "body"),
    ),
    Items(
        "gold field shown", lines(GOOD, BAD), ("which holds the gold",), options=("--gold", "label", "--text", "label")
    ),
    Items(
        "no field to show",
        lines({"title": "x", "body": "y", "label": "pos"}),
        ("expected --text FIELD", "'title', 'body', 'label'"),
    ),
    Items(
        "gold field nobody has",
        lines(GOOD, BAD),
        ("expected gold in the field 'stars', which no record has",),
        options=("--gold", "stars", "--labels", "pos,neg"),
    ),
    Items(
        "missing gold file is a file, no field",
        lines(GOOD, BAD),
        ("gold.jsonl: cannot be read: No such file or directory",),
        options=("--gold", "gold.jsonl", "--labels", "pos,neg"),
    ),
    Items(
        "label outside the set",
        lines(GOOD, BAD | {"label": "negative"}),
        ("items.jsonl, line 2", "record 'b'", "expected one of 'pos', 'neg', got 'negative'", "make it an alias"),
        options=("--gold", "label", "--labels", "pos,neg"),
    ),
    Items("one label in the gold", lines(GOOD, GOOD | {"id": "c"}), ("at least two labels, got ['pos']",)),
    Items("gold that is no label", lines(GOOD | {"label": True}, BAD), ("line 1", "expected a label as text")),
    Items("no labels at all", lines(GOOD, BAD), ("expected --labels a,b, or --gold FIELD",), options=()),
    Items("one label", lines(GOOD, BAD), ("at least two labels, got ['pos']",), options=("--labels", "pos")),
    Items(
        "labels that fold to one",
        lines(GOOD, BAD),
        ("'pos' and 'ＰＯＳ' read the same",),
        options=("--labels", "pos,ＰＯＳ"),
    ),
    Items("a label twice", lines(GOOD, BAD), ("every label must be there once",), options=("--labels", "pos,pos")),
    Items("an empty label", lines(GOOD, BAD), ("'' cannot be a label",), options=("--labels", "pos,,neg")),
    Items(
        "unknown kind",
        lines(GOOD, BAD),
        ("--kind must be one of classification, multilabel,", "got 'span'"),
        options=("--kind", "span"),
    ),
    Items(
        "wrong scale",
        lines(GOOD, BAD),
        ("--scale must be two whole numbers like 1-5, got '5'",),
        options=("--kind", "rating", "--scale", "5"),
    ),
    Items("scale upside down", lines(GOOD, BAD), ("got 5 to 1",), options=("--kind", "rating", "--scale", "5-1")),
    Items(
        "rating outside the scale",
        lines(GOOD | {"stars": 6}),
        ("items.jsonl, line 1", "expected a number from 1 to 5, got 6"),
        options=("--kind", "rating", "--gold", "stars"),
    ),
    Items(
        "id field nobody has",
        lines(GOOD, BAD),
        ("expected the field 'key', which holds the id",),
        options=("--gold", "label", "--id", "key"),
    ),
]


@pytest.mark.parametrize("case", ITEMS, ids=lambda case: case.name)
def test_init_refuses_bad_data_and_makes_nothing(case: Items, tmp_path: Path) -> None:
    if case.content is not None:
        (tmp_path / case.file).write_bytes(case.content)
    elif case.file == "item.jsonl":
        (tmp_path / "items.jsonl").write_bytes(lines(GOOD))
    before = snapshot(tmp_path)
    refused(postil("init", "deep/project", "--items", case.file, *case.options, "--json"), *case.says)
    assert snapshot(tmp_path) == before


# Data files that are odd and right


@dataclass(frozen=True)
class Odd:
    name: str
    content: bytes
    texts: tuple[str, ...]
    file: str = "items.jsonl"
    notes: str = ""


ODD = [
    Odd("BOM", b"\xef\xbb\xbf" + lines(GOOD, BAD), ("good", "bad")),
    Odd("BOM and a blank line", b"\xef\xbb\xbf\n" + lines(GOOD, BAD), ("good", "bad")),
    Odd("CRLF", lines(GOOD, BAD).replace(b"\n", b"\r\n"), ("good", "bad")),
    Odd("no line end", lines(GOOD, BAD).rstrip(), ("good", "bad")),
    Odd(
        "csv with BOM and CRLF",
        b"\xef\xbb\xbfid,text,label\r\na,good,pos\r\nb,bad,neg\r\n",
        ("good", "bad"),
        "items.csv",
    ),
    Odd(
        "one id, same fields",
        lines(GOOD, BAD, GOOD, GOOD),
        ("good", "bad"),
        notes="lines that repeat a record: 2; every record is taken once",
    ),
    Odd(
        "words that others take for nothing",
        b"id,text,label\na,NA,pos\nb,None,neg\nc,null,pos\nd,no,neg\n",
        ("NA", "None", "null", "no"),
        "items.csv",
    ),
    Odd("NUL", lines(GOOD, BAD | {"text": "a\0b\x1b[31m"}), ("good", "a\0b\x1b[31m")),
    Odd("empty text", lines(GOOD, BAD | {"text": ""}), ("good", "")),
    Odd("ten megabytes", lines(GOOD, BAD | {"text": "bad " * 2_500_000}), ("good", "bad " * 2_500_000)),
    Odd("Unicode line ends", lines(GOOD, BAD | {"text": "one\u2028two\x85three"}), ("good", "one\u2028two\x85three")),
]


@pytest.mark.parametrize("case", ODD, ids=lambda case: case.name)
def test_odd_data_comes_in_as_it_is(case: Odd, tmp_path: Path) -> None:
    (tmp_path / case.file).write_bytes(case.content)
    made = postil("init", "p", "--items", case.file, "--gold", "label", "--labels", "pos,neg", "--json")
    assert made.code == 0, made.err
    assert made.json["records"] == len(case.texts)
    assert case.notes in made.err
    exported = postil("export", "out.jsonl", "--project", "p")
    assert exported.code == 0, exported.err
    assert tuple(row["fields"]["text"] for row in read_jsonl(tmp_path / "out.jsonl")) == case.texts


def test_words_that_others_take_for_nothing_are_labels(tmp_path: Path, fake_server: FakeServer) -> None:
    labels = ["NA", "None", "null", "no"]
    fake_server.script = lambda asked: asked.text.splitlines()[0].removeprefix("Text: ")
    items = [{"id": str(at), "text": label, "label": label} for at, label in enumerate(labels)]
    write_project(tmp_path, {"m": openai(fake_server.base_url)}, task=SENTIMENT | {"labels": labels}, items=items)
    assert postil("annotate", "--json").json["labelled"] == 4
    assert postil("assess", "--json").json["metrics"]["accuracy"]["value"] == 1
    assert postil("export", "out.csv", "--format", "csv").code == 0
    assert "3,no,no,annotation,no," in (tmp_path / "out.csv").read_text()


# postil.toml


@dataclass(frozen=True)
class Toml:
    name: str
    text: str | bytes
    says: tuple[str, ...]


TASK = '[task]\nkind = "classification"\nname = "n"\ninstruction = "q"\nlabels = ["pos", "neg"]\n'
DATA = '[data]\nitems = "items.jsonl"\n'
MODEL = '[annotators.m]\nengine = "openai"\nbase_url = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
TOML = [
    Toml("broken", "[task\nkind = 1", ("not valid TOML", "line 1")),
    Toml("key twice", TASK + 'kind = "rating"\n', ("not valid TOML",)),
    Toml("not UTF-8", TASK.encode() + b"# caf\xe9\n", ("expected UTF-8, got the byte 0xe9",)),
    Toml("empty", "", ("`task`: missing", "`data`: missing")),
    Toml(
        "unknown table",
        TASK + DATA + MODEL + "[annotator]\n",
        ("`annotator`: unknown key; did you mean `annotators`?",),
    ),
    Toml(
        "unknown key",
        TASK + DATA + MODEL + "shotz = 3\n",
        ("`annotators.m.shotz`: unknown key; did you mean `shots`?",),
    ),
    Toml(
        "unknown key of the task",
        TASK + 'lables = ["a"]\n' + DATA,
        ("`task.lables`: unknown key; did you mean `labels`?",),
    ),
    Toml("key of another kind", TASK + "low = 1\n" + DATA, ("`task.low`: unknown key",)),
    Toml("unknown key, none near", TASK + DATA + "zzz = 1\n", ("`data.zzz`: unknown key; known: items, id, gold",)),
    Toml(
        "wrong type", TASK + DATA + MODEL + 'shots = "8"\n', ("`annotators.m.shots`: expected a whole number, got '8'",)
    ),
    Toml(
        "labels that are text",
        TASK.replace('["pos", "neg"]', '"pos"') + DATA,
        ("`task.labels`: expected a list or a table, got 'pos'",),
    ),
    Toml(
        "labels that are numbers",
        TASK.replace('"neg"', "2") + DATA,
        ("`task.labels.1`: expected text in quotes, got 2",),
    ),
    Toml("several faults", TASK + "[data]\n[budget]\nusd = -1\n", ("`data.items`: missing", "`budget.usd`", "got -1")),
    Toml("no number", TASK + DATA + MODEL + "[budget]\nusd = nan\n", ("`budget.usd`", "finite")),
    Toml("unknown kind", TASK.replace("classification", "clasification") + DATA, ("did you mean 'classification'?",)),
    Toml(
        "no kind",
        '[task]\nname = "n"\n' + DATA,
        ("`task.kind`: expected one of 'classification', 'multilabel',", "got nothing"),
    ),
    Toml("one label", TASK.replace(', "neg"', "") + DATA, ("at least two labels, got ['pos']",)),
    Toml("labels that fold to one", TASK.replace('"neg"', '"Pos"') + DATA, ("'pos' and 'Pos' read the same",)),
    Toml(
        "ordered and a hierarchy", TASK + 'ordered = true\nseparator = "/"\n' + DATA, ("either ordered or a hierarchy",)
    ),
    Toml(
        "alias of nothing",
        TASK + 'aliases = { good = "posi" }\n' + DATA,
        ("alias 'good' stands for 'posi', which is no label",),
    ),
    Toml("show without a field", TASK + 'show = "text"\n' + DATA, ("`show` must name at least one field",)),
    Toml("show that runs code", TASK + 'show = "{text!r}"\n' + DATA, ("plain fields only",)),
    Toml(
        "show of a missing field",
        TASK + 'show = "{title}: {text}"\n' + DATA,
        ("items.jsonl, line 1", "'title'", "'text', 'label'"),
    ),
    Toml(
        "missing items",
        TASK + DATA.replace("items.jsonl", "nothing.jsonl"),
        ("nothing.jsonl: cannot be read", "check [data]"),
    ),
    Toml("missing gold file", TASK + DATA.replace(DATA, DATA + 'gold = "gold.csv"\n'), ("gold.csv: cannot be read",)),
    Toml(
        "gold field nobody has",
        TASK + DATA.replace(DATA, DATA + 'gold = "g"\n'),
        ("the field 'g', which no record has",),
    ),
    Toml(
        "demonstrations nobody can find",
        TASK + DATA + 'demonstrations = "d.jsonl"\n' + MODEL + "shots = 2\n",
        ("no file d.jsonl",),
    ),
]


@pytest.mark.parametrize("case", TOML, ids=lambda case: case.name)
def test_a_wrong_postil_toml_is_told_by_every_verb_that_reads_it(case: Toml, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "items.jsonl", [GOOD, BAD])
    text = case.text if isinstance(case.text, bytes) else case.text.encode()
    added = b"" if b"[annotators" in text or not text else MODEL.encode()
    (tmp_path / "postil.toml").write_bytes(text + added)
    for verb in (["annotate", "--json"], ["plan"], ["preview"]):
        refused(postil(*verb), *case.says)


# Annotators and engines


@dataclass(frozen=True)
class Asking:
    name: str
    says: tuple[str, ...]
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    arguments: tuple[str, ...] = ()
    tables: Mapping[str, Any] = field(default_factory=dict[str, Any])
    files: Mapping[str, bytes] = field(default_factory=dict[str, bytes])


ASKING = [
    Asking("unknown annotator", ("no annotator 'x'; there are 'm'",), arguments=("--annotator", "x")),
    Asking("unknown engine", ("annotator 'm': `engine` must be \"local\"", "got 'opnai'"), {"engine": "opnai"}),
    Asking("no base_url", ("annotator 'm': the engine openai needs `base_url`",), {"base_url": None}),
    Asking("no model", ("annotator 'm': the engine openai needs `model`",), {"model": None}),
    Asking("address that is none", ("annotator 'm': `base_url` must begin with http",), {"base_url": "localhost:8000"}),
    Asking(
        "missing key variable",
        ("'POSTIL_TEST_KEY' holds no key", "export POSTIL_TEST_KEY="),
        {"api_key_env": "POSTIL_TEST_KEY"},
    ),
    Asking("reserved parameter", ("`extra` cannot hold 'messages'",), {"extra": {"messages": "x"}}),
    Asking("missing model file", ("annotator 'm'", "none.gguf"), {"engine": "local:none.gguf"}),
    Asking("no model file", ("annotator 'm'", "x.gguf"), {"engine": "local:x.gguf"}, files={"x.gguf": b"no model"}),
    Asking("missing student", ("students/none",), {"engine": "student:students/none"}),
    Asking("damaged student", ("s/student.json",), {"engine": "student:s"}, files={"s/student.json": b"{"}),
    Asking("student without a path", ("got 'student:'",), {"engine": "student:"}),
    Asking("unknown template", ("no template 'options.fr.v1'",), {"template": "options.fr.v1"}),
    Asking(
        "dollars and no price",
        ("budget is 5 dollars, and its price is unknown", "price = {"),
        tables={"budget": {"usd": 5}},
    ),
    Asking("dollars of the command line and no price", ("its price is unknown",), arguments=("--budget-usd", "1")),
    Asking(
        "demonstrations and no gold",
        ("shots = 4, but there is no gold to show",),
        {"shots": 4},
        tables={"data": {"items": "items.jsonl"}},
    ),
]


@pytest.mark.parametrize("case", ASKING, ids=lambda case: case.name)
@pytest.mark.parametrize("imported", [False, True], ids=["first", "later"])
def test_annotate_refuses_what_cannot_work(
    case: Asking, imported: bool, tmp_path: Path, fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("POSTIL_TEST_KEY", raising=False)
    settings = {k: v for k, v in {**openai(fake_server.base_url), **case.settings}.items() if v is not None}
    write_project(tmp_path, {"m": settings}, **case.tables)
    for name, content in case.files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    if imported:
        assert postil("status").code == 0
    before = snapshot(tmp_path)
    refused(postil("annotate", *case.arguments, "--json"), *case.says)
    assert fake_server.asked == []
    if imported or case.name not in {"unknown template", "demonstrations and no gold"}:
        assert snapshot(tmp_path) == before


STOPPING: list[tuple[str, Reply | str, tuple[str, ...]]] = [
    ("wrong key", Reply(status=401, body={"error": {"message": "bad key"}}), ("key",)),
    ("unknown model", Reply(status=404, body={"error": {"code": "model_not_found", "message": "no 'm'"}}), ("'m'",)),
    (
        "empty account",
        Reply(status=429, body={"error": {"code": "insufficient_quota", "message": "quota"}}),
        ("quota",),
    ),
]


@pytest.mark.parametrize(("reply", "says"), [case[1:] for case in STOPPING], ids=[case[0] for case in STOPPING])
def test_a_provider_that_refuses_everything_stops_the_run_and_says_so_once(
    reply: Reply, says: tuple[str, ...], tmp_path: Path, fake_server: FakeServer
) -> None:
    fake_server.script = lambda _: reply
    write_project(tmp_path, {"m": openai(fake_server.base_url, concurrency=1)})
    ran = postil("annotate", "--json")
    assert ran.code == 3
    assert ran.json["stopped"] == "provider"
    assert (ran.json["labelled"], ran.json["failed"], ran.json["pending"]) == (0, 0, 4)
    assert len(fake_server.asked) == 1
    assert ran.err.count("postil: ") == 1
    assert all(words in ran.err and words in ran.json["error"] for words in says)
    # What was refused is not lost: the same command goes on when the provider does.
    fake_server.script = sentiment_or_star
    assert postil("annotate", "--json").json["labelled"] == 4


def test_an_unreachable_server_stops_the_run(tmp_path: Path) -> None:
    write_project(tmp_path, {"m": openai("http://127.0.0.1:9/v1")})
    ran = postil("annotate", "--json")
    assert (ran.code, ran.json["stopped"], ran.json["pending"]) == (3, "provider", 4)
    assert "cannot connect to http://127.0.0.1:9/v1" in ran.json["error"]
    for verb in (["preview", "--json"], ["plan", "--probe", "2", "--json"]):
        ran = postil(*verb)
        assert (ran.code, ran.json["stopped"]) == (3, "provider")
        assert "cannot connect to http://127.0.0.1:9/v1" in ran.json["error"]


def test_a_context_too_small_is_a_named_failure_of_each_record(tmp_path: Path, fake_server: FakeServer) -> None:
    items = [GOOD, BAD | {"text": "bad " * 1000}]
    write_project(tmp_path, {"m": openai(fake_server.base_url, context_tokens=200)}, items=items)
    fake_server.script = sentiment_or_star
    ran = postil("annotate", "--json")
    assert (ran.code, ran.json["labelled"], ran.json["failures"]) == (1, 1, {"context_exceeded": 1})
    assert len(fake_server.asked) == 1
    postil("export", "out.jsonl")
    [_, failure] = read_jsonl(tmp_path / "out.jsonl")
    assert "the context holds 200" in failure["message"]
    assert failure["answer"] is None


def test_hostile_texts_end_in_one_outcome_each(tmp_path: Path, fake_server: FakeServer) -> None:
    texts = [
        "",
        " \n",
        "a\0b",
        "\ud800 half",
        "<script>alert(1)</script>",
        "{{ text }} {text}",
        "很好 good 😀",
        "x" * 10_000_000,
    ]
    items = [{"id": str(at), "text": text} for at, text in enumerate(texts)]
    write_project(
        tmp_path, {"m": openai(fake_server.base_url, context_tokens=10_000)}, items=[], data={"items": "items.jsonl"}
    )
    (tmp_path / "items.jsonl").write_text("".join(json.dumps(row) + "\n" for row in items))
    fake_server.script = sentiment_or_star
    ran = postil("annotate", "--json")
    assert ran.code == 1
    found = ran.json
    assert found["labelled"] + found["failed"] == len(texts)
    assert found["failures"]["empty_record"] == 2
    assert postil("status").code == postil("export", "out.jsonl").code == postil("verify").code == 0
    assert [row["fields"]["text"] for row in read_jsonl(tmp_path / "out.jsonl")] == texts


@pytest.mark.parametrize("budget", [{"requests": 0}, {"tokens": 0}, {"usd": 0}, {"seconds": 0}], ids=str)
def test_a_budget_of_nothing_spends_nothing(budget: dict[str, int], tmp_path: Path, fake_server: FakeServer) -> None:
    price = {"input": 1, "output": 1}
    write_project(tmp_path, {"m": openai(fake_server.base_url, price=price)}, budget=budget)
    ran = postil("annotate", "--json")
    assert (ran.code, ran.json["stopped"]) == (3, "deadline" if "seconds" in budget else "budget")
    assert (ran.json["requests"], ran.json["pending"], ran.json["usd"]) == (0, 4, 0)
    if "seconds" not in budget:
        ran = postil("preview", "--json")
        assert (ran.code, [each["outcome"] for each in ran.json["previews"]]) == (3, ["pending"] * 4)
    assert fake_server.asked == []


# Folders


def test_a_folder_without_a_project_is_refused_by_every_verb(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    verbs: Iterable[list[str]] = (
        *(["plan"], ["preview"], ["annotate"], ["status"], ["assess"], ["learn", "student"], ["verify"]),
        *(["import", "x.jsonl", "--annotator", "me"], ["export", "x.jsonl"]),
    )
    for verb in verbs:
        refused(
            postil(*verb, "--json"), "expected a folder with postil.toml, got a folder without one", "--project DIR"
        )
    refused(postil("status", "--project", "nowhere"), "nowhere: expected a folder with postil.toml, got nothing")
    refused(postil("status", "--project", "file"), "file: expected a folder with postil.toml, got a file")
    assert snapshot(tmp_path) == {"file": b"x"}


def test_init_leaves_a_project_that_is_there_alone(tmp_path: Path) -> None:
    write_project(tmp_path, {})
    postil("status")
    before = snapshot(tmp_path)
    refused(postil("init", ".", "--items", "items.jsonl", "--gold", "label"), "there is a project already")
    (tmp_path / "postil.toml").rename(tmp_path / "kept.toml")
    refused(postil("init", ".", "--items", "items.jsonl", "--gold", "label"), "postil.db: there is a project already")
    (tmp_path / "kept.toml").rename(tmp_path / "postil.toml")
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize("folder", ["items.jsonl", "items.jsonl/below"])
def test_init_into_what_can_be_no_folder_says_so(folder: str, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "items.jsonl", [GOOD, BAD])
    before = snapshot(tmp_path)
    refused(
        postil("init", folder, "--items", "items.jsonl", "--gold", "label"), "cannot be made", "where you may write"
    )
    assert snapshot(tmp_path) == before


def test_init_into_a_folder_that_may_not_be_written_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_jsonl(tmp_path / "items.jsonl", [GOOD, BAD])

    def no_entry(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "mkdir", no_entry)
    refused(postil("init", "p", "--items", "items.jsonl", "--gold", "label"), "p: cannot be made: Permission denied")
    monkeypatch.undo()
    assert not (tmp_path / "p").exists()


def test_a_journal_that_is_none_is_left_alone(tmp_path: Path) -> None:
    write_project(tmp_path, {"m": openai("http://127.0.0.1:9/v1")})
    (tmp_path / "postil.db").write_bytes(b"no journal at all, only text that somebody put here" * 100)
    before = snapshot(tmp_path)
    for verb in ("annotate", "status", "verify"):
        ran = postil(verb, "--json")
        assert (ran.code, ran.json["stopped"]) == (3, "journal")
        assert "postil.db" in ran.json["error"]
    assert snapshot(tmp_path) == before


# Files to write and to read


def export_cases(tmp_path: Path) -> Iterable[tuple[list[str], str]]:
    (tmp_path / "folder").mkdir()
    yield ["export", "folder"], "ends in one of"
    yield ["export", "folder", "--format", "csv"], "got the folder folder"
    yield ["export", "out.xls"], "expected a file name that ends in one of"
    yield ["export", "out.jsonl", "--format", "xml"], "no format 'xml'"
    yield ["export", "nowhere/out.jsonl"], "there is no folder"
    yield ["export", "out.jsonl", "--annotator", "x"], "no annotator 'x'; there are 'm'"
    yield ["export", "-", "--json"], "would both write to stdout"
    yield ["assess", "--report", "nowhere/report.html"], "there is no folder"
    yield ["import", "none.jsonl", "--annotator", "me"], "no file none.jsonl"
    yield ["import", "items.jsonl", "--annotator", "m"], "the name 'm' is taken"
    yield ["import", "unknown.jsonl", "--annotator", "me"], "record 'zzz', which is not among the items"
    yield ["import", "outside.jsonl", "--annotator", "me"], "expected one of 'pos', 'neg', got 'maybe'"
    yield ["import", "twice.jsonl", "--annotator", "me"], "before, in"
    yield ["learn", "teacher"], "expected something that can be learned: 'student', got 'teacher'"
    yield ["learn", "student"], "expected annotations of 'm'"
    yield ["learn", "student", "--name", ".."], "expected the name of a folder under students/, got '..'"
    yield ["learn", "student", "--name", "a/b"], "got 'a/b'"


def test_files_and_names_that_cannot_be_are_refused_and_nothing_changes(tmp_path: Path) -> None:
    write_project(tmp_path, {"m": openai("http://127.0.0.1:9/v1")})
    write_jsonl(tmp_path / "unknown.jsonl", [{"id": "a", "label": "pos"}, {"id": "zzz", "label": "pos"}])
    write_jsonl(tmp_path / "outside.jsonl", [{"id": "a", "label": "maybe"}])
    write_jsonl(tmp_path / "twice.jsonl", [{"id": "a", "label": "pos"}, {"id": "a", "label": "neg"}])
    postil("status")
    for command, says in export_cases(tmp_path):
        before = snapshot(tmp_path)
        refused(postil(*command), says)
        assert snapshot(tmp_path) == before, command


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["anotate"], "No such command 'anotate'"),
        (["annotate", "--limt", "3"], "--limt"),
        (["annotate", "--limit", "-1"], "--limit"),
        (["annotate", "--limit", "many"], "--limit"),
        (["annotate", "--budget-usd", "-1"], "--budget-usd"),
        (["preview", "-n", "0"], "-n"),
        (["learn"], "Missing argument"),
        (["init", "nul\0folder"], "DIR"),
        (["init"], "DIR"),
        (["import", "x.jsonl"], "--annotator"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_that_is_none_is_refused(arguments: list[str], says: str, tmp_path: Path) -> None:
    ran = postil(*arguments)
    assert (ran.code, ran.out) == (2, "")
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert snapshot(tmp_path) == {}


# Gold


@dataclass(frozen=True)
class GoldFile:
    name: str
    rows: Iterable[Mapping[str, Any]]
    says: tuple[str, ...]


GOLD = [
    GoldFile(
        "unknown record", [{"id": "a", "label": "pos"}, {"id": "zz", "label": "neg"}], ("gold.jsonl, line 2", "'zz'")
    ),
    GoldFile("label outside the set", [{"id": "a", "label": "meh"}], ("gold.jsonl, line 1", "record 'a'", "got 'meh'")),
    GoldFile("no id", [{"label": "pos"}], ("gold.jsonl, line 1", "expected 'id'")),
    GoldFile("no label", [{"id": "a", "gold": "pos"}], ("gold.jsonl, line 1", "expected 'label'", "'gold'")),
    GoldFile(
        "two answers", [{"id": "a", "label": "pos"}, {"id": "a", "label": "neg"}], ("line 2", "differs", "line 1")
    ),
]


@pytest.mark.parametrize("case", GOLD, ids=lambda case: case.name)
def test_a_gold_file_that_is_wrong_changes_nothing(case: GoldFile, tmp_path: Path) -> None:
    write_project(tmp_path, {"m": openai("http://127.0.0.1:9/v1")}, data={"items": "items.jsonl"})
    postil("status")
    write_jsonl(tmp_path / "items.jsonl", [*REVIEWS, {"id": "e", "text": "new"}])
    write_jsonl(tmp_path / "gold.jsonl", case.rows)
    toml = (tmp_path / "postil.toml").read_text()
    (tmp_path / "postil.toml").write_text(toml.replace('items.jsonl"\n', 'items.jsonl"\ngold = "gold.jsonl"\n'))
    before = snapshot(tmp_path)
    for verb in ("annotate", "assess", "status"):
        refused(postil(verb), *case.says)
    assert snapshot(tmp_path) == before


# As processes of their own


PROCESSES: list[tuple[str, Callable[[Path], list[str]], str]] = [
    ("missing file", lambda _: ["init", "p", "--items", "none.jsonl"], "no file none.jsonl"),
    ("no project", lambda _: ["annotate", "--json"], "expected a folder with postil.toml"),
]


@pytest.mark.parametrize(("arrange", "says"), [case[1:] for case in PROCESSES], ids=[case[0] for case in PROCESSES])
def test_the_installed_command_says_it_without_a_traceback(
    arrange: Callable[[Path], list[str]], says: str, tmp_path: Path
) -> None:
    done = postil_process(*arrange(tmp_path), cwd=tmp_path)
    refused(Ran(done.returncode, done.stdout, done.stderr), says)


def test_what_the_system_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> int:
        raise OSError(28, "No space left on device", "/tmp/x")  # noqa: S108 - a name in a message

    write_project(tmp_path, {"m": openai("http://127.0.0.1:9/v1")})
    monkeypatch.setattr("postil.project.exporting.write_export", full)
    ran = postil("export", "out.jsonl", "--json")
    assert (ran.code, ran.json["stopped"]) == (3, "system")
    assert "No space left on device" in ran.err
    assert "Traceback" not in ran.err


def test_a_defect_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def defect(**_: object) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(command_line, "app", defect)
    with pytest.raises(ZeroDivisionError):
        postil("status")
