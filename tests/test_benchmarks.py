"""The benchmarks measure what they say, on tiny jobs; nothing here is a test of speed."""

import json
import socket
from pathlib import Path
from typing import Any, Final

import pytest

from benchmarks import client_cpu, peer_table, scale
from benchmarks.__main__ import BENCHMARKS, FIGURES, PAGE, PLOT
from benchmarks.drawing import write_plot
from benchmarks.job import LABELS, TASK, WRITERS, label_of, marker, texts, write_items
from benchmarks.measuring import ChildFailedError, Spread, run_child
from benchmarks.report import Column, Goal, Results, Row, Section, put_between_markers
from benchmarks.server import BenchServer
from postil.engines.openai import OpenAIEngine
from postil.formats import read_records
from postil.types import Message, Request

_PEERS: Final = Path(peer_table.PEERS)


def request(number: int, **more: Any) -> Request:
    return Request((Message("user", f"Which topic? {marker(number)}"),), 8, **more)


async def test_the_server_answers_with_the_right_label_in_every_way_that_it_is_asked() -> None:
    with BenchServer() as server:
        engine = OpenAIEngine(base_url=server.url, model="bench", schema=True, log_probs=True)
        for number in range(8):
            assert (await engine.complete(request(number))).text == label_of(number)
            scored = await engine.complete(request(number, choices=LABELS))
            assert scored.choice_probabilities is not None
            assert LABELS[scored.choice_probabilities.index(max(scored.choice_probabilities))] == label_of(number)
            held = await engine.complete(request(number, schema={"type": "object"}))
            assert json.loads(held.text) == {"label": label_of(number)}
        await engine.complete(Request((Message("user", "no text of the job"),), 8))
        await engine.aclose()
        stats = server.stats()
    assert (stats.requests, stats.unmarked) == (24, 1)


def test_the_server_takes_requests_in_pieces_and_several_at_once() -> None:
    with BenchServer(latency_ms=5) as server:
        host, port = server.url.removeprefix("http://").removesuffix("/v1").split(":")
        body = json.dumps({"messages": [{"role": "user", "content": marker(3)}]}).encode()
        one = b"POST /v1/chat/completions HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        with socket.create_connection((host, int(port))) as connection:
            for piece in (one[:20], one[20:-3], one[-3:] + one):
                connection.sendall(piece)
            received = b""
            while received.count(b"HTTP/1.1 200 OK") < 2 or not received.endswith(b"}"):
                received += connection.recv(65536)
        assert server.stats().at_once == 2


def test_labels_cannot_be_guessed_from_the_order_and_texts_are_of_sixty_words() -> None:
    labels = [label_of(number) for number in range(4000)]
    assert all(900 < labels.count(label) < 1100 for label in LABELS)
    assert len({tuple(labels[at : at + 8]) for at in range(0, 4000, 8)}) > 50
    first, second = list(texts(2))
    assert len(first.split()) == 60
    assert first != second
    assert TASK.labels == LABELS


@pytest.mark.parametrize("ending", WRITERS)
def test_the_same_records_are_written_in_every_format(ending: str, tmp_path: Path) -> None:
    if ending == ".parquet":
        pytest.importorskip("duckdb")
    items = write_items(tmp_path / f"items{ending}", 5)
    found = [located.record for located in read_records(items, id_field="id")]
    assert [record.id for record in found] == [f"r{number}" for number in range(5)]
    assert [record.fields["text"] for record in found] == list(texts(5))


def test_both_clients_do_the_same_job_and_send_the_same_bytes() -> None:
    section = client_cpu.measure(30, 1)
    assert [row.what for row in section.rows] == [
        f"{name}, {replies}" for replies in client_cpu.REPLIES for name in client_cpu.NAMES.values()
    ]
    for row in section.rows:
        whole, job, ratio, rate, peak = (figure.median if figure else 0.0 for figure in row.figures)
        assert 0 < job < whole
        assert min(ratio, rate, peak) > 0


def test_no_client_goes_faster_than_the_latency_allows() -> None:
    found = client_cpu.measured("postil_project", 24, latency_ms=30, concurrency=4)
    assert 0 < found.rate < 4 / 0.030
    assert found.stats.at_once <= 4


def test_a_wrong_label_is_no_result() -> None:
    right = {f"r{number}": label_of(number) for number in range(10)}
    client_cpu.check_labels(right, 10)
    for wrong in (right | {"r3": "none"}, {key: label for key, label in right.items() if key != "r3"}):
        with pytest.raises(AssertionError, match="1 of 10"):
            client_cpu.check_labels(wrong, 10)


def test_a_run_is_left_gone_on_with_and_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale, "WRITERS", {".jsonl": WRITERS[".jsonl"]})
    section = scale.measure(60, 20, 1)
    assert [row.what for row in section.rows] == [
        "import 60 records of JSONL",
        "label 54 records",
        "go on: the last 6 records",
        "go on: nothing left to do",
        "`postil status`",
    ]
    assert all(goal.met for goal in section.goals if "growth" in goal.what)


def test_a_process_that_fails_or_takes_too_long_is_no_result() -> None:
    with pytest.raises(ChildFailedError, match="ended with 3"):
        run_child(["sh", "-c", "exit 3"])
    with pytest.raises(ChildFailedError, match="-9"):
        run_child(["sleep", "30"], seconds=0.1)
    said = run_child(["sh", "-c", "echo words; echo '{\"n\": 1}'"])
    assert (said.said, said.cpu_seconds >= 0) == ({"n": 1}, True)


@pytest.mark.parametrize("peer", peer_table.names())
def test_a_peer_has_a_driver_and_says_which_version_it_needs(peer: str) -> None:
    requirements = (_PEERS / peer / "requirements.txt").read_text(encoding="utf-8").split()
    assert requirements
    assert "==" in requirements[0]
    assert f"`{peer}`" in (_PEERS / "README.md").read_text(encoding="utf-8")


# What is written


SECTION: Final = Section(
    "peers",
    [Column("CPU ms a record", "ms"), Column("× Postil", "x")],
    [Row("Postil", [Spread.of([0.1, 0.3, 0.2]), Spread.of([1.0])]), Row("other", [Spread.of([2.0]), None])],
    [Goal("beside it", 10.5, 10, False, "x"), Goal("so much", 60, 50, True, "MiB")],
    ["one was not measured"],
)


def results() -> Results:
    return Results("a machine", "2026-01-01", "0.1.0", quick=True, load="0", sections=[SECTION])


def test_a_section_says_figures_goals_and_what_is_missing() -> None:
    assert SECTION.markdown().splitlines() == [
        "|  | CPU ms a record | × Postil | n |",
        "| --- | --- | --- | --- |",
        "| Postil | 0.100 / 0.200 / 0.300 | 1.00 | 3 |",
        "| other | 2.000 | – | 1 |",
        "",
        "* beside it: 10.50 ×; goal: at least 10.00 ×; met",
        "* so much: 60 MiB; goal: at most 50 MiB; **not met**",
        "* one was not measured",
    ]


def test_results_are_kept_whole_and_put_into_the_document_and_nowhere_else(tmp_path: Path) -> None:
    results().save(tmp_path / "results.json")
    assert Results.load_from(tmp_path / "results.json") == results()
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- peers: begin -->\nold\n<!-- peers: end -->\nafter\n", encoding="utf-8")
    for _ in range(2):
        put_between_markers(page, {"peers": r"a \1 table"})
        assert page.read_text(encoding="utf-8").splitlines() == [
            "before",
            "<!-- peers: begin -->",
            r"a \1 table",
            "<!-- peers: end -->",
            "after",
        ]
    with pytest.raises(LookupError, match="scale"):
        put_between_markers(page, {"scale": ""})


def test_the_plot_shows_every_client_once(tmp_path: Path) -> None:
    pytest.importorskip("altair")
    write_plot(tmp_path / "plot.svg", results())
    drawn = (tmp_path / "plot.svg").read_text(encoding="utf-8")
    assert drawn.count(">Postil<") == drawn.count(">other<") == 1
    assert drawn.index(">Postil<") < drawn.index(">other<")
    assert "0.20" in drawn
    write_plot(tmp_path / "none.svg", Results("", "", "", quick=True, load=""))
    assert not (tmp_path / "none.svg").exists()


def test_the_document_has_a_place_for_every_benchmark_and_holds_what_was_measured(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")
    put_between_markers(page, dict.fromkeys([*BENCHMARKS, "about"], "text"))
    measured = Results.load_from(FIGURES)
    written = PAGE.read_text(encoding="utf-8")
    assert all(section.markdown() in written for section in measured.sections)
    assert {section.name for section in measured.sections} == set(BENCHMARKS)
    drawn = PLOT.read_text(encoding="utf-8")
    [peers] = [section for section in measured.sections if section.name == "peers"]
    assert all(f">{row.what}<" in drawn for row in peers.rows)
