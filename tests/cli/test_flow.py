"""What people do with the commands, one after the other."""

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.command import REVIEWS, SENTIMENT, openai, postil, read_jsonl, write_jsonl, write_project
from tests.fake_server import Asked, FakeServer, Reply


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def by_mood(asked: Asked) -> str:
    return "neg" if re.search("broke|waste", asked.text) else "pos"


def asked_texts(server: FakeServer) -> list[str]:
    return [asked.text.splitlines()[0].removeprefix("Text: ") for asked in server.asked]


def test_from_a_file_to_a_report(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    write_jsonl(tmp_path / "items.jsonl", REVIEWS)
    made = postil(
        *("init", "p", "--items", "items.jsonl", "--gold", "label", "--engine", "openai", "--model", "m"),
        *("--base-url", fake_server.base_url, "--shots", "0", "--instruction", "Good or bad?", "--json"),
    )
    assert (made.code, made.json) == (0, {"project": "p", "records": 4, "gold": {"certificate": 3}})
    in_project = ("--project", "p")
    assert postil("assess", *in_project, "--json").json["metrics"] == {}
    assert "accuracy unknown" in postil("assess", *in_project).out
    assert "4 of 4 records to label" in postil("plan", *in_project).out
    preview = postil("preview", "-n", "1", *in_project)
    assert "Good or bad?" in preview.out
    assert "→ pos" in preview.out or "→ neg" in preview.out
    annotated = postil("annotate", *in_project)
    assert annotated.code == 0, annotated.err
    assert "4 of 4 records labelled; 0 abstained, 0 failed, 0 pending" in annotated.out
    assert "price unknown" in annotated.out
    assessed = postil("assess", *in_project, "--report", "report.html")
    assert re.search(r"accuracy +1\.000", assessed.out)
    assert "<html" in (tmp_path / "report.html").read_text()
    assert "all right" in postil("verify", *in_project).out
    # Nothing was asked twice: the previewed reply was used. Texts without content measure the model's prior.
    content_free = ["...", "N/A", "[MASK]"]
    assert sorted(asked_texts(fake_server)) == sorted([*content_free, *(row["text"] for row in REVIEWS)])


def test_annotating_again_asks_nothing(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    write_project(tmp_path, {"m": openai(fake_server.base_url, calibrate="content_free", log_probs=True)})
    postil("annotate")
    before = len(fake_server.asked)
    again = postil("annotate", "--json")
    assert (again.code, again.json["labelled"], again.json["requests"], again.json["usd"]) == (0, 4, 0, 0)
    assert len(fake_server.asked) == before


def test_a_limit_is_kept_and_none_asks_nothing(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    write_project(tmp_path, {"m": openai(fake_server.base_url, log_probs=True)})
    none = postil("annotate", "--limit", "0", "--json")
    assert (none.code, none.json["pending"], none.json["requests"], fake_server.asked) == (0, 4, 0, [])
    two = postil("annotate", "--limit", "2", "--json")
    assert (two.code, two.json["labelled"], two.json["pending"]) == (0, 2, 2)
    more = postil("annotate", "--limit", "100", "--json")
    assert (more.code, more.json["labelled"], more.json["pending"]) == (0, 4, 0)


def test_a_probe_measures_pace_and_quality(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    items = [{"id": str(at), "text": f"it works {at}", "label": "pos"} for at in range(20)]
    price = {"input": 100, "output": 100, "date": "2026-11-01"}
    write_project(tmp_path, {"m": openai(fake_server.base_url, price=price)}, items=items)
    before = postil("plan", "--json").json
    assert (before["seconds"], before["accuracy"], before["requests"]) == (None, None, 20)
    assert fake_server.asked == []
    assert before["usd"] > 0
    after = postil("plan", "--probe", "5", "--json").json
    assert len(fake_server.asked) == 5
    assert (after["pending"], after["accuracy"]["n"], after["accuracy"]["value"]) == (15, 5, 1)
    assert after["seconds"] > 0
    assert after["price_date"] == "2026-11-01"
    shown = postil("plan").out
    assert "prices of 2026-11-01" in shown
    assert "quality     accuracy 1.000" in shown


def test_new_records_are_picked_up_and_changed_ones_refused(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    write_project(tmp_path, {"m": openai(fake_server.base_url)})
    postil("annotate")
    write_jsonl(tmp_path / "items.jsonl", [*REVIEWS, {"id": "e", "text": "a waste of time"}])
    grown = postil("annotate", "--json")
    assert (grown.code, grown.json["records"], grown.json["labelled"], grown.json["requests"]) == (0, 5, 5, 1)
    write_jsonl(tmp_path / "items.jsonl", [*REVIEWS[:3], REVIEWS[3] | {"text": "another text"}])
    changed = postil("annotate")
    assert changed.code == 2
    assert "items.jsonl, line 4" in changed.err
    assert "'d' again with other fields" in changed.err
    write_jsonl(tmp_path / "items.jsonl", REVIEWS[:2])
    fewer = postil("annotate", "--json")
    assert (fewer.code, fewer.json["records"]) == (0, 5)
    assert "records that are not in it any more: 3; they stay in the project" in fewer.err


def test_gold_added_and_corrected_later_counts(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    items = [{"id": row["id"], "text": row["text"]} for row in REVIEWS]
    write_project(tmp_path, {"m": openai(fake_server.base_url)}, items=items, data={"items": "items.jsonl"})
    postil("annotate")
    unknown = postil("assess", "--json").json
    assert (unknown["gold"], unknown["coverage"], unknown["metrics"]) == (0, None, {})
    # In a field of the items, some at first.
    toml = (tmp_path / "postil.toml").read_text()
    (tmp_path / "postil.toml").write_text(toml.replace('"items.jsonl"\n', '"items.jsonl"\ngold = "label"\n'))
    write_jsonl(tmp_path / "items.jsonl", [items[0] | {"label": "pos"}, *items[1:]])
    assert postil("assess", "--json").json["gold"] == 1
    # Then all, with one of them corrected.
    labels = ["neg", "neg", "pos", "neg"]
    labelled = [item | {"label": label} for item, label in zip(items, labels, strict=True)]
    write_jsonl(tmp_path / "items.jsonl", labelled)
    found = postil("assess", "--json").json
    assert (found["gold"], found["records"], found["metrics"]["accuracy"]["value"]) == (4, 4, 0.75)
    assert len(fake_server.asked) == 4


def test_gold_from_a_file_of_its_own(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    items = [{"id": row["id"], "text": row["text"]} for row in REVIEWS]
    write_jsonl(tmp_path / "items.jsonl", items)
    (tmp_path / "gold.csv").write_text("id,label\na,pos\nb,pos\n\n", encoding="utf-8")
    server = ("--engine", "openai", "--base-url", fake_server.base_url, "--model", "m", "--shots", "0")
    made = postil("init", "p", "--items", "items.jsonl", "--gold", "gold.csv", "--labels", "pos,neg", *server, "--json")
    assert made.json["gold"] == {"certificate": 2}
    postil("annotate", "--project", "p")
    assert postil("assess", "--project", "p", "--json").json["metrics"]["accuracy"]["value"] == 0.5


def test_two_annotators_are_kept_apart(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = lambda asked: "pos" if asked.body["model"] == "yes" else "neg"
    write_project(
        tmp_path, {"yes": openai(fake_server.base_url, model="yes"), "no": openai(fake_server.base_url, model="no")}
    )
    assert postil("annotate", "--json").json["labelled"] == 4
    assert postil("status", "--annotator", "no", "--json").json["pending"] == 4
    assert postil("annotate", "--annotator", "no", "--json").json["labelled"] == 4
    accuracies = {
        name: postil("assess", "--annotator", name, "--json").json["metrics"]["accuracy"]["value"]
        for name in ("yes", "no")
    }
    assert accuracies == {"yes": pytest.approx(2 / 3), "no": pytest.approx(1 / 3)}
    assert len(fake_server.asked) == 8


def test_an_export_is_imported_elsewhere_and_assessed_there(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = lambda asked: "gibberish to fail on" if "waste" in asked.text else by_mood(asked)
    write_project(tmp_path / "one", {"m": openai(fake_server.base_url)})
    write_project(tmp_path / "two", {})
    postil("annotate", "--project", "one")
    for form in ("jsonl", "csv", "parquet"):
        assert postil("export", f"out.{form}", "--project", "one").code == 0
        name = f"model-{form}"
        imported = postil("import", f"out.{form}", "--annotator", name, "--project", "two", "--json")
        counts = {"imported": 4, "new": 4, "replaced": 0, "unchanged": 0, "anchored": 0}
        assert imported.json == {"annotator": name, **counts}
        there = postil("assess", "--annotator", name, "--project", "two", "--json").json
        here = postil("assess", "--project", "one", "--json").json
        assert there["metrics"] == here["metrics"]
        assert postil("status", "--annotator", name, "--project", "two", "--json").json["failed"] == 1
    # Imported again it is the same, not twice as much.
    assert postil("import", "out.jsonl", "--annotator", "model-jsonl", "--project", "two").code == 0
    again = postil("status", "--annotator", "model-jsonl", "--project", "two", "--json").json
    assert (again["labelled"], again["failed"], again["pending"]) == (3, 1, 0)


def test_an_export_to_stdout_is_lines_only(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    write_project(tmp_path, {"m": openai(fake_server.base_url)})
    postil("annotate")
    lines = postil("export", "-")
    assert [json.loads(line)["answer"]["label"] for line in lines.out.splitlines()] == ["pos", "neg", "pos", "neg"]
    rows = list(csv.DictReader(io.StringIO(postil("export", "-", "--format", "csv").out)))
    assert [row["answer.label"] for row in rows] == ["pos", "neg", "pos", "neg"]
    assert rows[0]["fields.text"] == "I love it"


def test_ordered_labels_and_hierarchies_are_measured_as_such(tmp_path: Path, fake_server: FakeServer) -> None:
    items = [
        {"id": str(at), "text": f"text {at}", "label": label} for at, label in enumerate(["low", "mid", "high"] * 4)
    ]
    fake_server.script = lambda _: "mid"
    ordered = SENTIMENT | {"labels": ["low", "mid", "high"], "ordered": True}
    write_project(tmp_path / "o", {"m": openai(fake_server.base_url)}, task=ordered, items=items)
    assert postil("annotate", "--project", "o", "--json").json["labelled"] == 12
    metrics = postil("assess", "--project", "o", "--json").json["metrics"]
    nominal = {"accuracy", "macro_f1", "micro_f1", "weighted_f1", "kappa"}
    assert metrics.keys() - nominal, "an order is worth figures of its own"
    paths = SENTIMENT | {"labels": ["animal/dog", "animal/cat", "plant/oak"], "separator": "/"}
    items = [
        {"id": str(at), "text": f"t {at}", "label": label} for at, label in enumerate(["animal/dog", "plant/oak"] * 5)
    ]
    fake_server.script = lambda _: "animal/cat"
    write_project(tmp_path / "h", {"m": openai(fake_server.base_url)}, task=paths, items=items)
    postil("annotate", "--project", "h")
    metrics = postil("assess", "--project", "h", "--json").json["metrics"]
    assert metrics["accuracy"]["value"] == 0
    assert any(0 < figure["value"] < 1 for name, figure in metrics.items() if name.startswith("hierarchical"))


def test_ratings_end_to_end(tmp_path: Path, fake_server: FakeServer) -> None:
    stars = [1, 2, 3.5, 5, None]
    items: list[dict[str, Any]] = [{"text": f"review {at}", "stars": star} for at, star in enumerate(stars)]
    write_jsonl(tmp_path / "items.jsonl", items)
    fake_server.script = lambda asked: "rating: 9" if "review 4" in str(asked.body) else "3"
    server = ("--engine", "openai", "--base-url", fake_server.base_url, "--model", "m", "--shots", "0")
    made = postil(
        "init", "p", "--items", "items.jsonl", "--kind", "rating", "--gold", "stars", "--scale", "1-5", *server
    )
    assert made.code == 0, made.err
    annotated = postil("annotate", "--project", "p", "--json")
    assert (annotated.code, annotated.json["labelled"], annotated.json["failed"]) == (1, 4, 1)
    metrics = postil("assess", "--project", "p", "--json").json["metrics"]
    assert metrics["mae"]["value"] == pytest.approx((2 + 1 + 0.5 + 2) / 4)
    postil("export", "out.jsonl", "--project", "p")
    assert [row["answer"] for row in read_jsonl(tmp_path / "out.jsonl")] == [{"rating": 3}] * 4 + [None]


def test_a_scale_may_begin_at_zero_or_below(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "items.jsonl", REVIEWS)
    for scale, low, high in (("0-4", 0, 4), ("-4--1", -4, -1), ("-2-2", -2, 2)):
        folder = f"from {low}"
        made = postil("init", folder, "--items", "items.jsonl", "--kind", "rating", f"--scale={scale}")
        assert made.code == 0, made.err
        assert f"low = {low}\nhigh = {high}\n" in (tmp_path / folder / "postil.toml").read_text()


def test_data_files_that_are_gone_do_not_take_the_labels_with_them(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    write_project(tmp_path, {"m": openai(fake_server.base_url)})
    postil("annotate")
    before = postil("assess", "--json").json
    (tmp_path / "items.jsonl").unlink()
    assert postil("assess", "--json").json == before
    for verb in (["status"], ["export", "out.jsonl"], ["verify"]):
        ran = postil(*verb)
        assert ran.code == 0, ran.err
    assert "a data file is gone" in postil("status").err
    assert postil("annotate").code == 2


def test_an_annotator_that_is_gone_leaves_its_labels(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    write_project(tmp_path, {"m": openai(fake_server.base_url)})
    postil("annotate")
    toml = (tmp_path / "postil.toml").read_text()
    (tmp_path / "postil.toml").write_text(toml[: toml.index("[annotators.m]")])
    assert postil("assess", "--json").json["metrics"]["accuracy"]["value"] == 1
    assert postil("assess", "--annotator", "m", "--json").json["annotator"] == "m"
    refused = postil("annotate")
    assert refused.code == 2
    assert "known by its annotations only" in refused.err


def test_an_abstention_is_no_label_and_no_failure(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = lambda asked: "unclear" if "waste" in asked.text else "pos"
    write_project(tmp_path, {"m": openai(fake_server.base_url)}, task=SENTIMENT | {"abstain": "unclear"})
    ran = postil("annotate", "--json")
    assert (ran.code, ran.json["labelled"], ran.json["abstained"], ran.json["failed"]) == (0, 3, 1, 0)


def test_transient_faults_are_tried_again_and_counted(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = lambda asked: Reply("pos") if asked.attempt > 1 else Reply(status=500)
    write_project(tmp_path, {"m": openai(fake_server.base_url, attempts=3)}, items=REVIEWS[:1])
    ran = postil("annotate", "--json")
    assert (ran.code, ran.json["labelled"], ran.json["requests"], ran.json["resent"]) == (0, 1, 2, 1)
    assert ran.json["failures"] == {}


def test_a_budget_holds_over_several_runs(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = by_mood
    write_project(tmp_path, {"m": openai(fake_server.base_url)}, budget={"requests": 3})
    first = postil("annotate", "--limit", "2", "--json")
    assert (first.code, first.json["labelled"]) == (0, 2)
    second = postil("annotate", "--json")
    assert (second.code, second.json["stopped"], second.json["labelled"], second.json["pending"]) == (3, "budget", 3, 1)
    assert len(fake_server.asked) == 3


def test_folders_may_have_spaces_and_any_letters(tmp_path: Path, fake_server: FakeServer) -> None:
    fake_server.script = lambda _: "好评"
    (tmp_path / "数据 folder").mkdir()
    items = tmp_path / "数据 folder" / "评论 1.jsonl"
    write_jsonl(items, [{"text": "很好", "label": "好评"}, {"text": "很差", "label": "差评"}])
    server = ("--engine", "openai", "--base-url", fake_server.base_url, "--model", "m", "--shots", "0")
    made = postil("init", "项目 一", "--items", items, "--gold", "label", "--instruction", "好还是坏?", *server)
    assert made.code == 0, made.err
    assert "--project '项目 一'" in made.out
    assert postil("annotate", "--project", "项目 一", "--json").json["labelled"] == 2
    assert "好评" in postil("export", "-", "--project", "项目 一").out
