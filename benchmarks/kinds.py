"""How good a model's answers of every kind are, zero-shot and few-shot, on gold in English and Chinese.

    python -m benchmarks.kinds DATA --engine local:MODEL.gguf [--n 100] [--results FILE] [--write PAGE] [SET ...]

DATA is a folder with `<kind>/<set>/pool.jsonl` (shown in prompts) and `<kind>/<set>/test.jsonl` (only measured on).
What is measured is added to the file of results, line by line, and what stands there is not measured again, so that a
long measurement can be stopped at any time. The table replaces what stands between the markers of the file to write.
With `--slots` a local model writes so many answers together, which takes less time for all of them.
"""

import argparse
import json
import random
import re
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.subjects import SUBJECTS, Subject
from postil import Project
from postil.types import Estimate

SHOTS: Final = 4
WAYS: Final[Mapping[str, int]] = {"zero-shot": 0, "few-shot": SHOTS}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("data", type=Path)
    arguments.add_argument("sets", nargs="*", default=list(SUBJECTS))
    arguments.add_argument("--engine", default="local")
    arguments.add_argument("--threads", type=int)
    arguments.add_argument("--slots", type=int, help="requests that a local model decodes together")
    arguments.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    arguments.add_argument("--n", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--results", type=Path, default=Path("kinds.jsonl"))
    arguments.add_argument("--write", type=Path)
    given = arguments.parse_intermixed_args()
    rows = read(given.results)
    for name in given.sets:
        for way in given.ways:
            if any((row["set"], row["way"]) == (name, way) for row in rows):
                continue
            row = measured(SUBJECTS[name], given.data, way, given)
            rows.append(row)
            with given.results.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")
            print(line(row), flush=True)
    if given.write:
        replace_table(given.write, table(rows))


def read(results: Path) -> list[dict[str, Any]]:
    """Return what was measured before."""
    if not results.exists():
        return []
    return [json.loads(each) for each in results.read_text(encoding="utf-8").splitlines()]


def measured(subject: Subject, data: Path, way: str, given: argparse.Namespace) -> dict[str, Any]:
    """Label some test records in one way, and return what the annotations come to."""
    folder = data / subject.folder / subject.set
    tested, solved = (subject.pairs(folder / f"{part}.jsonl") for part in ("test", "pool"))
    task = subject.task(solved)
    chosen = random.Random(given.seed).sample(tested, min(given.n, len(tested)))
    annotator: dict[str, Any] = {"engine": given.engine, "shots": WAYS[way], "seed": given.seed, **subject.options}
    if given.threads:
        annotator["threads"] = given.threads
    if given.slots:
        # One request a slot: what comes after it about the same record finds its prompt there.
        annotator |= {"slots": given.slots, "concurrency": given.slots}
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        write(root / "items.jsonl", ({"id": record.id, **record.fields} for record, _ in chosen))
        write(root / "gold.jsonl", ({"id": record.id, **answer} for record, answer in chosen))
        write(root / "pool.jsonl", ({"id": record.id, **record.fields, **answer} for record, answer in solved[:200]))
        Project.create(root / "p", task, items=root / "items.jsonl", gold=root / "gold.jsonl").close()
        settings = root / "p" / "postil.toml"
        text = settings.read_text(encoding="utf-8")
        if WAYS[way]:
            text = text.replace("[data]\n", '[data]\ndemonstrations = "../pool.jsonl"\n')
        table = "".join(f"{key} = {json.dumps(value)}\n" for key, value in annotator.items())
        settings.write_text(f"{text}\n[annotators.model]\n{table}", encoding="utf-8")
        with Project(root / "p") as project:
            started = time.monotonic()
            result = project.annotate("model")
            seconds = time.monotonic() - started
            assessment = project.assess("model")
    metrics = {name: numbers(assessment.metrics[name]) for name in subject.metrics if name in assessment.metrics}
    return {
        "set": subject.set,
        "kind": task.kind,
        "language": subject.language,
        "way": way,
        "records": result.records,
        "labelled": result.labelled,
        "failures": dict(result.failures) | ({"abstained": result.abstained} if result.abstained else {}),
        "metrics": metrics,
        "input_tokens": result.input_tokens,
        "output_tokens": result.output_tokens,
        "requests": result.requests,
        "seconds": round(seconds, 1),
    }


def write(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


def numbers(estimate: Estimate) -> dict[str, float | int]:
    """Return of an estimate what the table shows."""
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high, "n": estimate.n}


HEADING = (
    "| kind | set | way | figures (95 % interval) | answered | failures | tokens in + out, requests a record |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def line(row: Mapping[str, Any]) -> str:
    """Return a row of the table."""
    figures = "; ".join(
        f"{name} {value['value']:.2f} ({value['low']:.2f} to {value['high']:.2f})"
        for name, value in row["metrics"].items()
    )
    failures = ", ".join(f"{name} {count}" for name, count in sorted(row["failures"].items())) or "none"
    n = row["records"]
    tokens = f"{row['input_tokens'] / n:.0f} + {row['output_tokens'] / n:.0f}, {row['requests'] / n:.2f}"
    answered = f"{row['labelled']} of {n}"
    return f"| {row['kind']} | {row['set']} | {row['way']} | {figures} | {answered} | {failures} | {tokens} |"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return the whole table, in the order of the subjects."""
    return "\n".join([HEADING, *map(line, ordered(rows))])


def ordered(rows: Sequence[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    """Yield rows in the order of the subjects and ways."""
    for name in SUBJECTS:
        for way in WAYS:
            yield from (row for row in rows if (row["set"], row["way"]) == (name, way))


def replace_table(path: Path, content: str) -> None:
    """Put a table between the markers of a document."""
    text = path.read_text(encoding="utf-8")
    marked = re.compile(r"(<!-- kinds: begin -->\n).*?(<!-- kinds: end -->)", re.DOTALL)
    path.write_text(marked.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text), encoding="utf-8")


if __name__ == "__main__":
    main()
