"""The JSON that programs rely on (design, section 7): these keys with these types, whatever else is added."""

from collections.abc import Mapping
from pathlib import Path
from types import NoneType
from typing import Any, Final

import pytest

from tests.cli.command import openai, postil, read_jsonl, write_project
from tests.fake_server import Asked, FakeServer, Reply

NUMBER: Final = (int, float)
MAYBE_NUMBER: Final = (int, float, NoneType)
MAYBE_TEXT: Final = (str, NoneType)

STATES: Final[Mapping[str, Any]] = dict.fromkeys(("records", "labelled", "abstained", "failed", "pending"), int)
ESTIMATE: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("value", "low", "high", "level"), NUMBER),
    "n": int,
    "method": str,
}
ANNOTATE: Final[Mapping[str, Any]] = {
    **STATES,
    "failures": dict,
    **dict.fromkeys(("requests", "resent", "input_tokens", "output_tokens"), int),
    "usd": MAYBE_NUMBER,
    "seconds": NUMBER,
    "stopped": MAYBE_TEXT,
}
ASSESS: Final[Mapping[str, Any]] = {
    **dict.fromkeys(("task", "kind", "annotator"), str),
    **dict.fromkeys(("records", "gold"), int),
    "coverage": (dict, NoneType),
    "metrics": dict,
}
STATUS: Final[Mapping[str, Any]] = {**STATES, "open_intents": int, "usd": MAYBE_NUMBER, "gold": dict}
LINE: Final[Mapping[str, Any]] = {
    "id": str,
    "fields": dict,
    "outcome": str,
    "answer": (dict, NoneType),
    "confidence": MAYBE_NUMBER,
    "annotator": MAYBE_TEXT,
}


def check(value: Mapping[str, Any], contract: Mapping[str, Any]) -> None:
    for key, type_ in contract.items():
        assert key in value, f"{key!r} is missing in {value}"
        assert isinstance(value[key], type_), f"{key!r} is {value[key]!r}"
        assert type_ is not int or not isinstance(value[key], bool)


def answer(asked: Asked) -> Reply:
    if "broke" in asked.text:
        return Reply("no idea what to say about that")
    return Reply("pos", tops=[{"pos": 0.9, "neg": 0.1}] if asked.body.get("logprobs") else ())


@pytest.fixture
def project(tmp_path: Path, fake_server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    fake_server.script = answer
    settings = openai(fake_server.base_url, log_probs=True, calibrate="none", price={"input": 1, "output": 2})
    return write_project(tmp_path, {"m": settings})


@pytest.mark.usefixtures("project")
def test_annotate_and_status_add_up_and_keep_their_keys() -> None:
    fresh = postil("status", "--json")
    check(fresh.json, STATUS)
    assert (fresh.code, fresh.json["pending"], fresh.json["usd"], fresh.json["open_intents"]) == (0, 4, 0, 0)
    assert fresh.json["gold"] == {"certificate": 3}
    ran = postil("annotate", "--json")
    check(ran.json, ANNOTATE)
    found = ran.json
    assert ran.code == 1
    assert found["labelled"] + found["abstained"] + found["failed"] + found["pending"] == found["records"] == 4
    assert (found["failures"], found["stopped"], found["requests"], found["resent"]) == ({"unreadable": 1}, None, 4, 0)
    assert found["usd"] == pytest.approx((found["input_tokens"] + 2 * found["output_tokens"]) / 1e6)
    after = postil("status", "--json").json
    check(after, STATUS)
    assert {key: after[key] for key in STATES} == {key: found[key] for key in STATES}
    assert after["usd"] == pytest.approx(found["usd"])


@pytest.mark.usefixtures("project")
def test_assess_gives_estimates_and_nothing_else() -> None:
    postil("annotate")
    ran = postil("assess", "--json")
    check(ran.json, ASSESS)
    assert ran.code == 0
    assert (ran.json["task"], ran.json["kind"], ran.json["annotator"]) == ("sentiment", "classification", "m")
    assert (ran.json["records"], ran.json["gold"]) == (4, 3)
    for estimate in (ran.json["coverage"], *ran.json["metrics"].values()):
        check(estimate, ESTIMATE)
        assert estimate["low"] <= estimate["value"] <= estimate["high"]
        assert estimate["level"] == 0.95
    assert ran.json["metrics"]["accuracy"]["n"] == 2
    assert ran.json["coverage"]["value"] == pytest.approx(2 / 3)


@pytest.mark.usefixtures("project")
def test_verify_says_what_it_checked() -> None:
    postil("annotate")
    ran = postil("verify", "--json")
    check(ran.json, {"ok": bool, "checked": dict, "problems": list})
    assert (ran.code, ran.json["ok"], ran.json["problems"]) == (0, True, [])
    assert all(isinstance(times, int) and times for times in ran.json["checked"].values())


def test_an_export_has_a_line_for_every_record_and_an_answer_only_for_annotations(project: Path) -> None:
    ran = postil("annotate", "--limit", "3", "--json")
    assert (ran.code, ran.json["pending"]) == (1, 1)
    exported = postil("export", "out.jsonl", "--json")
    assert exported.json == {"path": "out.jsonl", "records": 4}
    rows = read_jsonl(project / "out.jsonl")
    for row in rows:
        check(row, LINE)
    assert [row["id"] for row in rows] == ["a", "b", "c", "d"]
    assert [row["outcome"] for row in rows] == ["annotation", "failure", "annotation", "pending"]
    assert [row["answer"] for row in rows] == [{"label": "pos"}, None, {"label": "pos"}, None]
    assert [row["annotator"] for row in rows] == ["m", "m", "m", None]
    assert rows[0]["confidence"] == pytest.approx(0.9)
    assert rows[1]["failure_class"] == "unreadable"
    assert rows[0]["fields"] == {"text": "I love it", "label": "pos"}


@pytest.mark.usefixtures("project")
def test_the_other_verbs_print_one_object_too() -> None:
    plan = postil("plan", "--json")
    check(plan.json, {"annotator": str, "records": int, "pending": int, "requests": int, "input_tokens": int})
    assert (plan.code, plan.json["pending"], plan.json["seconds"], plan.json["accuracy"]) == (0, 4, None, None)
    previews = postil("preview", "-n", "2", "--json").json["previews"]
    assert len(previews) == 2
    for preview in previews:
        check(preview, {"id": str, "messages": list, "reply": MAYBE_TEXT, "outcome": str})
    postil("export", "out.jsonl")
    imported = postil("import", "out.jsonl", "--annotator", "other", "--json")
    counts = {"imported": 0, "new": 0, "replaced": 0, "unchanged": 0, "anchored": 0}
    assert imported.json == {"annotator": "other", **counts}


def test_what_people_are_told_is_not_on_stdout(project: Path, fake_server: FakeServer) -> None:
    fake_server.script = lambda _: Reply(status=401)
    ran = postil("annotate", "--json")
    check(ran.json, ANNOTATE)
    assert (ran.code, ran.json["stopped"]) == (3, "provider")
    assert "run the same command again" in ran.err
    fake_server.script = answer
    with (project / "items.jsonl").open("a") as items:
        items.write('{"id": "a", "text": "I love it", "label": "pos"}\n')
    ran = postil("annotate", "--json")
    check(ran.json, ANNOTATE)
    assert "lines that repeat a record: 1" in ran.err
