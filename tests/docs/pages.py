"""The documents as code: blocks found in Markdown, run in order, their output compared with what the page shows.

What a page may hold, and what is done about it:

* a `python` block is run; the blocks of a page share one namespace and one temporary folder;
* a `text` block right after it is what it prints;
* a `console` block holds commands after `$ `, each with what it shows; `# exit code 1` after a command says so;
* a `toml` block must be settings, a `json` or `jsonl` block must be JSON;
* a comment right above a block marks it: `<!-- file: PATH -->` writes it to a file, `<!-- numbers vary -->`,
  `<!-- not run: REASON -->`.

In what is shown, `...` stands for anything, white space does not count, and numbers with a decimal point are not
compared; nor are whole numbers where the numbers vary.
"""

import ast
import asyncio
import contextlib
import inspect
import io
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Final

from postil.project.settings import parse_settings, parse_task

__all__ = ["LANGUAGES", "PROGRAMS", "SERVER", "Block", "DocumentError", "Session", "blocks", "check_shown", "commands"]

LANGUAGES: Final = frozenset({"console", "csv", "json", "jsonl", "python", "sql", "text", "toml"})
PROGRAMS: Final = frozenset({"cat", "head", "ls", "postil", "tail", "wc"})
"""What a console block may call: these need nothing that is not there."""

SERVER: Final = "http://127.0.0.1:8000/v1"
"""Where the documents say that a model server is; a test puts the address of its own in its place."""

_MARK = re.compile(r"<!-- (file|not run|numbers vary)(?:: (.*?))? -->")
_EXIT_CODE = re.compile(r"\s+# exit code (\d+)$")
_DECIMAL = re.compile(r"-?\d[\d,]*\.\d+(?:e-?\d+)?")
_WHOLE = re.compile(r"-?\d[\d,]*")
_LONGEST: Final = 100

# Commands run in processes of their own, where the wall of `conftest.py` does not stand.
_WALL: Final = """\
import sys

def wall(event, arguments):
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    elif event == "socket.getaddrinfo":
        host = arguments[0]
    else:
        return
    name = host.decode() if isinstance(host, bytes) else host
    if name not in (None, "", "localhost", "127.0.0.1", "::1"):
        raise RuntimeError(f"documents stay on this machine; this one tried to reach {name!r}")

sys.addaudithook(wall)
"""

_LEAST_SETTINGS: Final[Mapping[str, object]] = {
    "task": {"kind": "classification", "name": "n", "instruction": "i", "labels": ["a", "b"]},
    "data": {"items": "items.jsonl"},
}


class DocumentError(AssertionError):
    """A page says something that is not so; the message begins with the place."""


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block of a page."""

    place: str
    """Page and line."""
    line: int
    """Of its first line of content."""
    language: str
    text: str
    marks: Mapping[str, str] = field(default_factory=dict[str, str])
    shown: str | None = None
    """For Python: what the page says that it prints."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a console block."""

    line: str
    exit_code: int
    shown: str
    """What the page shows below it; nothing if it shows nothing."""


def blocks(name: str, text: str) -> list[Block]:
    """Return the blocks of a page, in order; the page's name is for messages."""
    lines = text.splitlines()
    found: list[Block] = []
    at = after = 0
    while at < len(lines):
        if not lines[at].lstrip().startswith("```"):
            at += 1
            continue
        if not re.fullmatch(r"```\w+", lines[at]) or "```" not in lines[at:]:
            raise DocumentError(f"{name}:{at + 1}: a block starts at the margin with its language, got {lines[at]!r}")
        end = lines.index("```", at)
        block = Block(f"{name}:{at + 2}", at + 2, lines[at][3:], "\n".join(lines[at + 1 : end]), _marks(lines, at))
        between = "".join(line for line in lines[after:at] if not _MARK.fullmatch(line)).strip()
        if block.language == "text" and not between and found and found[-1].language == "python":
            found[-1] = replace(found[-1], shown=block.text, marks={**found[-1].marks, **block.marks})
        else:
            found.append(block)
        at = after = end + 1
    return found


def _marks(lines: list[str], at: int) -> dict[str, str]:
    found: dict[str, str] = {}
    while at and (mark := _MARK.fullmatch(lines[at - 1])):
        found[mark[1]] = mark[2] or ""
        at -= 1
    return found


def commands(block: Block) -> list[Command]:
    """Return the commands of a console block; a line that ends in a backslash goes on in the next."""
    lines = block.text.replace("\\\n", " ").splitlines()
    starts = [i for i, line in enumerate(lines) if line.startswith("$ ")]
    if not starts or starts[0] != 0:
        raise DocumentError(f"{block.place}: a console block begins with a command after '$ '")
    found: list[Command] = []
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        line = lines[start].removeprefix("$ ")
        code = _EXIT_CODE.search(line)
        shown = "\n".join(lines[start + 1 : end])
        found.append(Command(_EXIT_CODE.sub("", line), int(code[1]) if code else 0, shown))
    return found


def check_shown(place: str, shown: str, got: str, *, numbers_vary: bool) -> None:
    """Compare what a page shows with what came.

    Raises:
        DocumentError: they differ.
    """
    expected, came = (_comparable(text, numbers_vary=numbers_vary) for text in (shown, got))
    pattern = ".*".join(map(re.escape, expected.split("...")))
    if not re.fullmatch(pattern, came, re.DOTALL):
        raise DocumentError(f"{place}: the page shows\n{shown}\nbut what came is\n{got}")


def _comparable(text: str, *, numbers_vary: bool) -> str:
    text = _DECIMAL.sub("#", text)
    text = _WHOLE.sub("#", text) if numbers_vary else text
    # Around an ellipsis nothing counts, not even a line's end.
    return re.sub(r" ?\.\.\. ?", "...", " ".join(text.split()))


def _first(folder: str, others: str | None) -> str:
    return f"{folder}{os.pathsep}{others}" if others else folder


class Session:
    """Runs the blocks of one page: one namespace, one folder."""

    def __init__(self, folder: Path, page: Path) -> None:
        """Start with an empty namespace; the folder is the current one already."""
        self.folder = folder
        self._page = page
        self.module = ModuleType(f"page_{page.stem.replace('-', '_')}")
        wall = folder.parent / f"{folder.name}-wall"
        wall.mkdir()
        (wall / "sitecustomize.py").write_text(_WALL, encoding="utf-8")
        self._environment = os.environ | {
            "PATH": _first(str(Path(sys.executable).parent), os.environ.get("PATH")),
            "PYTHONPATH": _first(str(wall), os.environ.get("PYTHONPATH")),
            "COLUMNS": "120",
            "TERM": "dumb",
            "NO_COLOR": "1",
        }

    def run(self, block: Block) -> None:
        """Do what a block is for.

        Raises:
            DocumentError: it does not do what the page says.
        """
        if "not run" in block.marks:
            return
        if "file" in block.marks:
            target = self.folder / block.marks["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text + "\n", encoding="utf-8")
        match block.language:
            case "python":
                self._python(block)
            case "console":
                for command in commands(block):
                    self._command(block, command)
            case "toml":
                settings = parse_settings(dict(_LEAST_SETTINGS) | tomllib.loads(block.text), block.place)
                parse_task(settings.task, block.place)
            case "json":
                json.loads(block.text)
            case "jsonl":
                [json.loads(line) for line in block.text.splitlines()]
            case _:
                pass

    def _python(self, block: Block) -> None:
        # Blank lines ahead make line numbers in a traceback those of the page.
        source = "\n" * (block.line - 1) + block.text
        code = compile(source, str(self._page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            if code.co_flags & inspect.CO_COROUTINE:
                asyncio.run(eval(code, self.module.__dict__))  # noqa: S307 - our own documents
            else:
                exec(code, self.module.__dict__)  # noqa: S102 - our own documents
        if block.shown is not None:
            varies = "numbers vary" in block.marks
            check_shown(block.place, block.shown, printed.getvalue(), numbers_vary=varies)

    def _command(self, block: Block, command: Command) -> None:
        if command.line.split()[0] not in PROGRAMS:
            raise DocumentError(f"{block.place}: {command.line!r} is none of {', '.join(sorted(PROGRAMS))}")
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command.line],
            cwd=self.folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            timeout=_LONGEST,
            check=False,
        )
        if done.returncode != command.exit_code:
            raise DocumentError(
                f"{block.place}: $ {command.line}\nexpected exit code {command.exit_code}, got {done.returncode}:\n"
                f"{done.stdout}"
            )
        if command.shown.strip():
            varies = "numbers vary" in block.marks
            check_shown(f"{block.place}: $ {command.line}", command.shown, done.stdout, numbers_vary=varies)
