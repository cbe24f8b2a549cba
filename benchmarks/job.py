"""The job that every client is measured on: texts of about 60 words, four labels, and what the right label is.

A text carries a marker, `RID` and eight digits, and its label follows from the digits: the server knows the right
answer to every text, and whoever measures can check every label that came back.

    python -m benchmarks.job items.parquet 1000000
"""

import csv
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
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
    """Return the right label of a text by its number: well mixed, so that no order is right by chance."""
    mixed = (number ^ number >> 7 ^ 0x9E37) * 2654435761 & 0xFFFFFFFF
    return LABELS[(mixed ^ mixed >> 15) % len(LABELS)]


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
    """Write records as the ending of the path says, JSONL, CSV or Parquet, and return the path."""
    WRITERS[path.suffix](path, count)
    return path


def _write_jsonl(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number, text in enumerate(texts(count)):
            file.write(json.dumps({"id": f"r{number}", "text": text}) + "\n")


def _write_csv(path: Path, count: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "text"))
        writer.writerows((f"r{number}", text) for number, text in enumerate(texts(count)))


def _write_parquet(path: Path, count: int) -> None:
    import duckdb  # noqa: PLC0415 - the extra "parquet"

    source = path.with_suffix(".source.csv")
    _write_csv(source, count)
    with duckdb.connect() as connection:
        connection.read_csv(str(source)).write_parquet(str(path))
    source.unlink()


WRITERS: Final[Mapping[str, Callable[[Path, int], None]]] = {
    ".jsonl": _write_jsonl,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}


if __name__ == "__main__":
    write_items(Path(sys.argv[1]), int(sys.argv[2]))
