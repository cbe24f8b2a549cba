"""The job that every client is measured on: texts of about 60 words, four labels, and what the right label is.

A text carries a marker, `RID` and eight digits, and its label follows from the digits: the server knows the right
answer to every text, and whoever measures can check every label that came back.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from postil import Classification

LABELS: Final = ("world", "sports", "business", "technology")
"""No two begin with the same letter, so that a reply's first token tells them apart."""

TASK: Final = Classification("topic", "Which topic is this news about?", labels=LABELS)

_WORDS: Final = 59
_VOCABULARY: Final = [
    f"{first}{middle}{last}"
    for first in ("b", "d", "gl", "k", "m", "pr", "s", "tr")
    for middle in ("a", "e", "i", "o", "u")
    for last in ("l", "nd", "ring", "st", "tion", "x")
]


def label_of(number: int) -> str:
    """Return the right label of a text by its number (Knuth's multiplicative hash: no client could guess it)."""
    return LABELS[(number * 2654435761 >> 7) % len(LABELS)]


def marker(number: int) -> str:
    """Return the word by which the server knows a text."""
    return f"RID{number:08d}"


def texts(count: int) -> Iterator[str]:
    """Yield texts of 60 words, the last one the marker; the same ones every time."""
    rng = random.Random(0)
    pool = [" ".join(rng.choices(_VOCABULARY, k=_WORDS)) for _ in range(997)]
    for number in range(count):
        yield f"{pool[number % len(pool)]} {marker(number)}"


def write_items(path: Path, count: int) -> Path:
    """Write records as JSONL and return the path."""
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts(count)):
            file.write(json.dumps({"id": f"r{number}", "text": text}) + "\n")
    return path
