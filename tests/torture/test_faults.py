"""A lying, slow, broken or empty provider: every record ends once, with its own answer or a named reason.

Cases R3, R7 to R12, A1, A3, A5, A11 and J5 of docs/reliability.md: through the command line against the server.
"""

import unicodedata
from pathlib import Path

import pytest

from postil.tasks.reading import fold
from tests.cli.command import openai, postil, write_project
from tests.torture.conftest import Make
from tests.torture.server import ACTIONS, GOOD, INPUT_PRICE, LABELS, OUTPUT_PRICE, SAY
from tests.torture.victims import KILLED, start, until

LONG = "A few more words that make the text longer for the sake of counting. " * 20
SECONDS = 0.3
"""The deadline of an attempt where deadlines are met."""

# Each action, how its record ends, and how often it is asked with three attempts and no repairs.
TYPED = {
    "length": "truncated", "length_null": "truncated", "endless": "endless", "whitespace": "endless",
    "finish_unknown": "truncated", "finish_missing": "truncated",
    "content_filter": "filtered", "400_filter": "filtered", "no_choices": "filtered",
    "refusal": "refused", "refusal_prose": "refused",
    "empty": "unreadable", "null": "unreadable", "trailing_prose": "unreadable",
    "duplicate_keys": "ambiguous", "two_labels": "ambiguous", "off_set": "outside_labels",
    "400_length": "context_exceeded", "read_little": "input_truncated",
}  # fmt: skip
"""Asking the same again would not help: sent once."""
RETRIED = {
    "429": "rate_limited", "429_negative": "rate_limited", "429_short": "rate_limited", "429_date": "rate_limited",
    "429_huge": "rate_limited",
    "500": "provider_error", "503": "provider_error", "529": "provider_error", "error_in_200": "provider_error",
    "html": "provider_error", "bad_utf8": "provider_error", "tool_call": "provider_error",
    "bad_gzip": "provider_error", "cut_gzip": "provider_error", "huge": "provider_error",
    "not_http": "provider_error",
    "reset": "connection_lost", "reset_after_headers": "connection_lost", "close": "connection_lost",
    "cut_chunks": "connection_lost", "cut_length": "connection_lost",
    "hang": "timeout", "stall": "timeout", "drip": "timeout",
}  # fmt: skip
"""Worth another attempt: sent as often as is allowed, and never more (R8, R9)."""
FATAL = {"401", "402", "404"}
"""No request can work: the run stops and the records stay pending (R10)."""
USED_UP = {"429_day"}
"""No request will work for a day: the run makes sure of it, and stops (R11)."""


def test_every_action_of_the_server_is_expected_to_end_somehow() -> None:
    assert GOOD | set(TYPED) | set(RETRIED) | FATAL | USED_UP == ACTIONS


@pytest.mark.parametrize("action", sorted(ACTIONS - FATAL - USED_UP))
def test_one_bad_record_among_good_ones(action: str, make: Make) -> None:
    project = make(4, attempts=3, attempt_seconds=SECONDS if action in ("hang", "stall", "drip") else 5.0, filler=LONG)
    bad = project.nonces[1]
    project.scene.play(fixed={bad: [action]})
    ran = project.run("annotate", "--json")
    ended = project.labels_stored()
    sent = sum(line["nonce"] == bad for line in project.scene.asked())
    assert {id_: end for id_, end in ended.items() if id_ != "r1"}.keys() == {"r0", "r2", "r3"}
    assert all(ended[id_] in LABELS for id_ in ("r0", "r2", "r3"))
    if action in GOOD:
        assert (ran.code, sent, ended["r1"] in LABELS) == (0, 1, True)
    else:
        assert (ran.code, ended["r1"]) == (1, (TYPED | RETRIED)[action])
        assert sent == (1 if action in TYPED else 3)
    project.must_hold(finished=True)
    project.verified()


@pytest.mark.parametrize("action", sorted(FATAL))
def test_a_bad_key_or_an_empty_account_stops_the_run_and_fails_no_record(action: str, make: Make) -> None:
    project = make(60, concurrency=8, script={"from_number": {"20": action}, "delay": [0.001, 0.01]})
    ran = project.run("annotate", "--json")
    assert (ran.code, ran.json["stopped"], ran.json["failed"]) == (3, "provider", 0)
    assert ran.json["labelled"] + ran.json["pending"] == 60
    assert len(project.scene.asked()) <= 20 + project.concurrency, "at most those in flight after the first refusal"
    project.must_hold()
    project.scene.play()
    again = project.run("annotate", "--json")
    assert (again.code, again.json["labelled"]) == (0, 60)
    project.must_hold(finished=True)


@pytest.mark.parametrize("action", sorted(USED_UP))
@pytest.mark.parametrize("attempts", [1, 3])
def test_a_daily_limit_stops_the_run_and_fails_no_record(action: str, attempts: int, make: Make) -> None:
    script = {"from_number": {"20": action}, "delay": [0.001, 0.01]}
    project = make(60, concurrency=8, attempts=attempts, script=script)
    ran = project.run("annotate", "--json")
    assert (ran.code, ran.json["stopped"], ran.json["failed"]) == (3, "provider", 0)
    assert "takes nothing for another 24 hours" in ran.json["error"]
    assert ran.json["labelled"] + ran.json["pending"] == 60
    assert len(project.scene.asked()) <= 20 + 3 * project.concurrency
    project.must_hold()
    project.scene.play()
    again = project.run("annotate", "--json")
    assert (again.code, again.json["labelled"]) == (0, 60)
    project.must_hold(finished=True)


def test_a_storm_of_everything_at_once_pairs_nothing_wrongly(make: Make) -> None:
    usual = ("500", "cut_length", "reset", "html", "error_in_200", "length", "off_set", "refusal", "empty", "429")
    faults = dict.fromkeys(usual, 0.02) | {"hang": 0.01, "usage_missing": 0.1, "several_choices": 0.05}
    script = {"seed": 3, "faults": faults, "delay": [0.0, 0.02]}
    project = make(150, script=script, concurrency=16, attempts=6, attempt_seconds=SECONDS, repairs=1)
    ran = project.run("annotate", "--json")
    assert ran.json["pending"] == 0
    assert ran.json["labelled"] >= 130
    found = project.must_hold(finished=True)
    assert found.figures["unexplained"] == 0
    project.verified()


def test_hanging_requests_end_and_leak_no_slot(make: Make) -> None:
    script = {"seed": 9, "sticky": {"hang": 0.05, "stall": 0.05, "drip": 0.05}, "drip": 10.0}
    project = make(60, script=script, concurrency=4, attempts=2, attempt_seconds=SECONDS)
    ran = project.run("annotate", "--json")
    timed_out = ran.json["failures"].get("timeout", 0)
    assert 4 <= timed_out == 60 - ran.json["labelled"]
    assert ran.json["seconds"] <= timed_out * 2 * (SECONDS + 0.1) / project.concurrency + 5
    found = project.must_hold(finished=True)
    assert found.figures["lost"] == 2 * timed_out, "each may have been billed, and each is listed"


def test_two_runs_over_a_hopeless_record_do_not_try_it_for_ever(make: Make) -> None:
    project = make(10, attempts=3)
    project.scene.play(fixed={project.nonces[4]: ["500"]})
    for _ in range(3):
        ran = project.run("annotate", "--json")
        assert (ran.json["labelled"], ran.json["failures"]) == (9, {"provider_error": 1})
    assert sum(line["nonce"] == project.nonces[4] for line in project.scene.asked()) == 3


# Labels of the set, and nothing else (A5)

SAID = [
    *(
        "alpha",
        "ALPHA",
        " alpha.",
        "**alpha**",
        '"alpha"',
        "Label: alpha",
        "ａｌｐｈａ",
        "- alpha",
        '{"label": "alpha"}',
    ),
    *("alphaa", "alph", "alpha beta", "alpha/beta", "not alpha", "аlpha", "alpha\u200b", "al\u00adpha", "αlpha", "1"),
    *("", " ", "null", "None", "NA", "true", "[]", "{}", '{"label": null}', '{"label": ["alpha"]}', '{"label": 1}'),
    *('{"label": "purple"}', '{"Label": "alpha"}', '{"label": "alpha"', "<alpha", "alpha or beta", "alpha, I think"),
]


def test_a_reply_is_a_label_only_if_it_folds_to_one(make: Make) -> None:
    project = make(len(SAID))
    project.scene.play(fixed={nonce: [SAY + said] for nonce, said in zip(project.nonces, SAID, strict=True)})
    assert project.run("annotate", "--json").json["pending"] == 0
    for said, end in zip(SAID, project.labels_stored().values(), strict=True):
        words = said.removeprefix("Label:").removeprefix("- ")
        bare = words if "{" not in said else words.removeprefix('{"label": ').removesuffix("}")
        whole = '"label"' not in said or said.endswith('"}')
        assert (end in LABELS) == (fold(bare) in LABELS and whole), (said, end)
        assert end in LABELS or unicodedata.is_normalized("NFC", end)


def test_a_valid_answer_cut_anywhere_is_no_label(make: Make) -> None:
    text = 'Label: {"label": "alpha"}'
    cuts = [text[:end] for end in range(len(text) + 1)]
    project = make(len(cuts))
    project.scene.play(fixed={nonce: [f"cut:{cut}"] for nonce, cut in zip(project.nonces, cuts, strict=True)})
    assert project.run("annotate", "--json").json["failures"] == {"truncated": len(cuts)}


# Money


def test_a_budget_for_so_many_and_a_half_buys_so_many_and_no_more(make: Make) -> None:
    probe = make(1)
    most = probe.run("plan", "--json").json
    assert most["pending"] == 1
    project = make(60, concurrency=64, budget={"usd": 0.0075}, script={"delay": [0.0, 0.01]})
    ran = project.run("annotate", "--json")
    assert (ran.code, ran.json["stopped"]) == (3, "budget")
    assert 0 < ran.json["labelled"] < 60
    assert ran.json["pending"] == 60 - ran.json["labelled"]
    billed = sum(line["usd"] for line in project.scene.billed())
    assert billed <= 0.0075
    # What is left would not have paid for one more at its dearest.
    dearest = (2.5 * 60 * INPUT_PRICE + 16 * OUTPUT_PRICE) / 1e6
    assert 0.0075 - billed < dearest
    project.must_hold()


def test_a_budget_holds_through_kills_and_lost_replies(make: Make, tmp_path: Path) -> None:
    script = {"seed": 4, "delay": [0.0, 0.01], "faults": {"cut_length": 0.1, "reset": 0.05}}
    project = make(80, concurrency=16, budget={"usd": 0.012}, script=script, attempts=3)
    command = ["annotate", "--project", project.folder]
    for target in (5, 15, 25):
        victim = start(command, tmp_path / "log")
        until(lambda: project.scene.count_billed() >= target or victim.poll() is not None, 20)  # noqa: B023 - run at once
        victim.signal(9)
        assert victim.wait() in (KILLED, 3)
        project.must_hold()
    assert start(command, tmp_path / "log").wait() == 3
    found = project.must_hold()
    assert found.figures["open"] + found.figures["lost"] > 0
    assert project.run("status", "--json").json["unseen_usd"] > 0


def test_eight_runs_at_once_spend_one_budget(make: Make, tmp_path: Path) -> None:
    project = make(40, concurrency=8, budget={"usd": 0.005}, script={"delay": [0.005, 0.02]})
    command = ["annotate", "--json", "--project", project.folder]
    runs = [start(command, tmp_path / f"log{number}") for number in range(8)]
    assert [run.wait() for run in runs] == [3] * 8
    refused = [run.said() for run in runs if "another run is at work" in run.said()]
    assert len(refused) < 8
    project.must_hold()


def test_a_record_made_to_cost_money_costs_no_more_than_its_cap(make: Make) -> None:
    script = {"sticky": {"endless": 0.5, "whitespace": 0.5}}
    project = make(6, script=script, repairs=1, attempts=5)
    assert project.run("annotate", "--json").json["failures"] == {"endless": 6}
    for nonce in project.nonces:
        bills = [line["output_tokens"] for line in project.scene.billed() if line["nonce"] == nonce]
        assert len(bills) == 1
        assert sum(bills) <= 16
    project.must_hold(finished=True)


def test_a_text_longer_than_the_context_is_not_sent(make: Make) -> None:
    project = make(3, context_tokens=64, filler=LONG)
    assert project.run("annotate", "--json").json["failures"] == {"context_exceeded": 3}
    assert project.scene.asked() == []
    project.must_hold(finished=True)


def test_a_price_that_is_not_known_and_a_budget_in_dollars_are_refused(tmp_path: Path) -> None:
    folder = write_project(tmp_path, {"m": openai("http://127.0.0.1:9/v1")}, budget={"usd": 1.0})
    ran = postil("annotate", "--project", folder)
    assert (ran.code, "price unknown" in ran.err or "its price is unknown" in ran.err) == (2, True)
