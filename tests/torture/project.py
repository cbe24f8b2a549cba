"""A project under torture: a folder that the real command line works on, its scenario on the server, and the check."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.cli.command import Ran, postil, write_project
from tests.torture.checker import Evidence, Findings, check
from tests.torture.server import INPUT_PRICE, LABELS, OUTPUT_PRICE
from tests.torture.serving import Scene
from tests.torture.victims import hurried

PRICE: Final = {"input": INPUT_PRICE, "output": OUTPUT_PRICE}
TASK: Final = {"kind": "classification", "name": "kind", "instruction": "Which letter is it?"}


@dataclass(frozen=True)
class Tortured:
    """A project folder and the scenario that answers it."""

    folder: Path
    scene: Scene
    items: Mapping[str, Mapping[str, Any]]
    concurrency: int
    labels: tuple[str, ...] = LABELS
    budget_usd: float | None = None

    @property
    def nonces(self) -> list[str]:
        """The nonces, in the records' order."""
        return [nonce(self.folder.name, number) for number in range(len(self.items))]

    def run(self, *arguments: str | Path) -> Ran:
        """Run a command on it, in this process."""
        with hurried():
            return postil(*arguments, "--project", self.folder)

    def check(self, *, finished: bool = False) -> Findings:
        """Return what the independent checker finds."""
        # The server may still be at work on what a killed client has asked: whatever is billed by now was asked before.
        billed, asked = self.scene.billed(), self.scene.asked()
        evidence = Evidence(
            self.items,
            asked,
            billed,
            self.scene.key,
            self.labels,
            self.budget_usd,
            finished,
        )
        return check(self.folder, evidence)

    def must_hold(self, *, finished: bool = False) -> Findings:
        """Check, and fail with what is wrong."""
        found = self.check(finished=finished)
        assert not found.problems, "\n".join(found.problems)
        return found

    def verified(self) -> None:
        """Let `postil verify` derive everything again (I6)."""
        ran = self.run("verify", "--json")
        assert ran.json["ok"], ran.json["problems"]

    def labels_stored(self) -> dict[str, str]:
        """Return how each record ended: its label, or its class of failure."""
        ran = self.run("export", "-")
        assert ran.code == 0, ran.err
        rows = [json.loads(line) for line in ran.out.splitlines()]
        return {row["id"]: _end(row) for row in rows}


def _end(row: Mapping[str, Any]) -> str:
    if row["outcome"] == "annotation":
        return row["answer"]["label"]
    return row["failure_class"] or row["outcome"]


def nonce(seed: str, number: int) -> str:
    """Return the nonce of a record."""
    return f"nonce-{hashlib.sha256(f'{seed} {number}'.encode()).hexdigest()[:16]}"


def tortured(
    folder: Path,
    scene: Scene,
    records: int,
    *,
    concurrency: int = 8,
    labels: Sequence[str] = LABELS,
    budget: Mapping[str, Any] | None = None,
    filler: str = "",
    task: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Tortured:
    """Write a project whose records have a nonce each, and return it."""
    rows: list[dict[str, Any]] = [
        {"id": f"r{number}", "text": f"Text {number}, {nonce(folder.name, number)}. {filler}".strip()}
        for number in range(records)
    ]
    table = {
        "engine": "openai",
        "base_url": scene.base_url,
        "model": "m",
        "log_probs": False,
        "concurrency": concurrency,
        "price": PRICE,
        "repairs": 0,
    }
    write_project(
        folder,
        {"robot": table | settings},
        task={**TASK, "labels": list(labels), **(task or {})},
        items=rows,
        data={"items": "items.jsonl"},
        **({"budget": budget} if budget else {}),
    )
    items = {row["id"]: {name: value for name, value in row.items() if name != "id"} for row in rows}
    usd = (budget or {}).get("usd")
    return Tortured(folder, scene, items, concurrency, tuple(labels), usd)
