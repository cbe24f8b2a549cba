"""How good the embedded model's labels are: plain, calibrated, and calibrated with similar demonstrations.

    python benchmarks/quality.py DATA [--n 300] [--write docs/quality.md] [SET ...]

DATA is a folder with `<set>/pool.jsonl` (shown in prompts) and `<set>/test.jsonl` (only measured on), a line a record
with `text` and `label`. The table replaces what stands between the markers of the file given to --write.
"""

import argparse
import json
import random
import re
import tempfile
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from postil import Assessment, Classification, Project

SHOTS = 8
WAYS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"demonstrations": "random", "calibrate": "none"},
    "calibrated": {"demonstrations": "random", "calibrate": "batch"},
    "calibrated, similar demonstrations": {"demonstrations": "similar", "calibrate": "batch"},
}
TASKS: Mapping[str, Classification] = {
    "sst2": Classification(
        "sst2", "Is this sentence from a film review positive or negative?", labels=["negative", "positive"]
    ),
    "sms_spam": Classification(
        "sms_spam", "Is this text message spam, or ham (a normal message)?", labels=["ham", "spam"]
    ),
    "ag_news": Classification(
        "ag_news", "Which topic is this news about?", labels=["World", "Sports", "Business", "Sci/Tech"]
    ),
    "chnsenticorp_hotel_zh": Classification(
        "chnsenticorp_hotel_zh",
        "这条酒店评论是正面的还是负面的?",
        labels={"negative": "负面", "positive": "正面"},
    ),
}


@dataclass(frozen=True)
class Row:
    """One set, labelled in one way."""

    set: str
    way: str
    assessment: Assessment
    seconds: float
    requests: int


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("sets", nargs="*", default=list(TASKS))
    arguments.add_argument("--n", type=int, default=300)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--write", type=Path)
    given = arguments.parse_intermixed_args()
    rows: list[Row] = []
    for name in given.sets:
        for row in measured(given.data / name, TASKS[name], n=given.n, seed=given.seed):
            print(line(row), flush=True)
            rows.append(row)
    if given.write:
        replace_table(given.write, table(rows))


def measured(folder: Path, task: Classification, *, n: int, seed: int) -> Iterable[Row]:
    """Yield one row for each way; ways that ask the same share the replies, and only the first is timed."""
    with tempfile.TemporaryDirectory() as place:
        items = Path(place) / "items.jsonl"
        rows = (folder / "test.jsonl").read_text(encoding="utf-8").splitlines()
        chosen = random.Random(seed).sample(rows, min(n, len(rows)))
        items.write_text("\n".join(chosen) + "\n", encoding="utf-8")
        pool = Path(place) / "pool.jsonl"
        pool.write_text((folder / "pool.jsonl").read_text(encoding="utf-8"), encoding="utf-8")
        Project.create(place, task, items=items, gold="label").close()
        with (Path(place) / "postil.toml").open("a", encoding="utf-8") as settings:
            for way, options in WAYS.items():
                settings.write(f"\n[annotators.{json.dumps(way)}]\nengine = 'local'\nshots = {SHOTS}\n")
                settings.writelines(f"{key} = {json.dumps(value)}\n" for key, value in options.items())
        text = (Path(place) / "postil.toml").read_text(encoding="utf-8")
        text = text.replace("[data]\n", '[data]\ndemonstrations = "pool.jsonl"\n')
        (Path(place) / "postil.toml").write_text(text, encoding="utf-8")
        with Project(place) as project:
            for way in WAYS:
                started = time.monotonic()
                result = project.annotate(way)
                seconds = time.monotonic() - started
                yield Row(task.name, way, project.assess(way), seconds, result.requests)


HEADING = (
    "| set | way | accuracy (95 % interval) | macro-F1 (95 % interval) | ECE | n | seconds a record |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def line(row: Row) -> str:
    """Return a row of the table."""
    metrics = row.assessment.metrics
    accuracy, f1 = (_interval(metrics[name]) for name in ("accuracy", "macro_f1"))
    pace = f"{row.seconds / row.requests:.2f}" if row.requests else "the same replies"
    ece = f"{metrics['ece'].value:.2f}" if "ece" in metrics else "–"
    return f"| {row.set} | {row.way} | {accuracy} | {f1} | {ece} | {metrics['accuracy'].n} | {pace} |"


def _interval(estimate: Any) -> str:
    return f"{estimate.value:.2f} ({estimate.low:.2f} to {estimate.high:.2f})"


def table(rows: Iterable[Row]) -> str:
    """Return the whole table."""
    return "\n".join([HEADING, *map(line, rows)])


def replace_table(path: Path, content: str) -> None:
    """Put a table between the markers of a document."""
    text = path.read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- quality: begin -->\n).*?(<!-- quality: end -->)", re.DOTALL)
    path.write_text(marked.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
