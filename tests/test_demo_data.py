"""The shipped demo data keeps the rule that its CREDITS.md states."""

import hashlib
import json
import re
from collections import Counter
from importlib.resources import files
from itertools import combinations
from typing import Any

import pytest

from postil.demo import product_reviews

LEFT_OUT = re.compile(
    r"\b(?:ass\b|bastard|bitch|butt\b|crap|damn|dumb|fuck|hell\b|hellish|idiot|moron|piss|pos\b|retard|sex|shit|stupid|suck)"
    r"|[@#*] ?[@#*$%]|www\.|https?:",
    re.IGNORECASE,
)


@pytest.fixture(scope="module")
def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in product_reviews().read_text(encoding="utf-8").splitlines()]


def test_the_file_is_small_utf8_json_lines_with_one_form() -> None:
    raw = product_reviews().read_bytes()
    assert len(raw) < 150_000
    assert raw.endswith(b"\n")
    assert b"\r" not in raw
    for line in raw.decode("utf-8").splitlines():
        assert list(json.loads(line)) == ["id", "text", "label", "mean", "ratings"]


def test_labels_are_the_sign_of_the_mean_of_twenty_ratings(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        assert len(row["ratings"]) == 20
        assert all(-4 <= rating <= 4 for rating in row["ratings"])
        assert row["mean"] == pytest.approx(sum(row["ratings"]) / 20, abs=0.005)
        assert row["label"] == ("positive" if sum(row["ratings"]) > 0 else "negative")


def test_people_agree_on_a_direction(rows: list[dict[str, Any]]) -> None:
    assert min(abs(row["mean"]) for row in rows) >= 0.5


def test_classes_are_as_credited(rows: list[dict[str, Any]]) -> None:
    assert Counter(row["label"] for row in rows) == {"positive": 330, "negative": 230}


def test_texts_have_the_stated_length_and_no_coarse_words(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        text = row["text"]
        assert text == " ".join(text.split())
        assert len(text.split()) >= 4
        assert len(text) <= 300
        assert not LEFT_OUT.search(text), text


def test_the_pattern_of_left_out_texts_stands_in_the_credits() -> None:
    credits_text = files("postil.demo").joinpath("CREDITS.md").read_text(encoding="utf-8")
    assert LEFT_OUT.pattern in credits_text
    assert "Copyright (c) 2016 C.J. Hutto" in credits_text


def test_ids_are_unique_and_ordered_by_their_hash(rows: list[dict[str, Any]]) -> None:
    hashes = [hashlib.sha256(row["id"].encode()).hexdigest() for row in rows]
    assert len(set(hashes)) == len(rows)
    assert hashes == sorted(hashes)


def test_no_two_texts_are_near_duplicates(rows: list[dict[str, Any]]) -> None:
    words = [frozenset(re.findall(r"[a-z0-9]+", row["text"].lower())) for row in rows]
    assert not [(a, b) for a, b in combinations(words, 2) if len(a & b) >= 0.8 * len(a | b)]
