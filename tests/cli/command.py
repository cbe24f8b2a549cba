"""Running the command line in tests: in this process, where most is seen soonest, or as a process of its own."""

import contextlib
import io
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from unittest import mock

from postil.cli import main
from postil.project.toml_writing import toml

POSTIL: Final = Path(sys.executable).with_name("postil")
"""The installed command."""

REVIEWS: Final[Sequence[dict[str, Any]]] = (
    {"id": "a", "text": "I love it", "label": "pos"},
    {"id": "b", "text": "it broke at once", "label": "neg"},
    {"id": "c", "text": "works well", "label": "pos"},
    {"id": "d", "text": "a waste of money"},
)
SENTIMENT: Final[dict[str, Any]] = {
    "kind": "classification",
    "name": "sentiment",
    "instruction": "What does the writer think of it?",
    "labels": ["pos", "neg"],
}


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command ended and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON object on stdout."""
        assert self.out.count("\n") == 1, f"expected one line on stdout, got {self.out!r}; stderr: {self.err}"
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


def postil(*arguments: str | Path) -> Ran:
    """Run a command in this process."""
    out, err = _stream(), _stream()
    argv = ["postil", *map(str, arguments)]
    with mock.patch.object(sys, "argv", argv), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            main()
            code: Any = None
        except SystemExit as end:
            code = end.code
    return Ran(code if isinstance(code, int) else 0, _written(out), _written(err))


def _stream() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True)


def _written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()


def postil_process(
    *arguments: str | Path, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command as a process of its own."""
    return subprocess.run(
        [POSTIL, *map(str, arguments)],
        cwd=cwd,
        env=os.environ | (environment or {}),
        capture_output=True,
        encoding="utf-8",
        errors="surrogateescape",
        stdin=subprocess.DEVNULL,
        timeout=120,
        check=False,
    )


def started(*arguments: str | Path, cwd: Path) -> "subprocess.Popen[str]":
    """Start a command as a process that can be interrupted, with what it needs to hear of it."""
    return subprocess.Popen(
        [POSTIL, *map(str, arguments)],
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        # A test run in the background of a shell ignores SIGINT, and children take that over.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # noqa: PLW1509 - no threads here
    )


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    """Write rows as JSON Lines."""
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def read_jsonl(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a file of JSON Lines."""
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def openai(base_url: str, **settings: Any) -> dict[str, Any]:
    """Return the table of an annotator that asks a server for labels, once for each record, and for nothing else."""
    told = {"engine": "openai", "base_url": base_url, "model": "m", "log_probs": False, "attempts": 2, "repairs": 0}
    return told | settings


def write_project(
    folder: Path,
    annotators: Mapping[str, Mapping[str, Any]],
    *,
    task: Mapping[str, Any] = SENTIMENT,
    items: Iterable[Mapping[str, Any]] = REVIEWS,
    data: Mapping[str, Any] | None = None,
    **tables: Mapping[str, Any],
) -> Path:
    """Write postil.toml and items.jsonl as a person would, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_jsonl(folder / "items.jsonl", items)
    whole: dict[tuple[str, ...], Mapping[str, Any]] = {
        ("task",): task,
        ("data",): {"items": "items.jsonl", "gold": "label"} if data is None else data,
    }
    whole |= {("annotators", name): settings for name, settings in annotators.items()}
    whole |= {(name,): table for name, table in tables.items()}
    (folder / "postil.toml").write_text(toml(whole), encoding="utf-8")
    return folder


def snapshot(folder: Path) -> dict[str, object]:
    """Return all that is in a folder; of a journal its rows, for SQLite moves them about in its files."""
    found = [path for path in sorted(folder.rglob("*")) if not path.name.endswith(("-wal", "-shm"))]
    return {str(path.relative_to(folder)): _content(path) for path in found}


def _content(path: Path) -> object:
    if path.is_dir():
        return "folder"
    raw = path.read_bytes()
    if not raw.startswith(b"SQLite format 3"):
        return raw
    # A journal that nobody holds open is read without making the files that SQLite makes for readers.
    how = "mode=ro" if path.with_name(f"{path.name}-wal").exists() else "immutable=1"
    with contextlib.closing(sqlite3.connect(f"file:{path}?{how}", uri=True)) as journal:
        return "\n".join(journal.iterdump())
