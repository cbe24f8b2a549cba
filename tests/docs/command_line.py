"""docs/command-line.md, made from the command line itself: `python -m tests.docs.command_line` writes it."""

import os
from pathlib import Path
from typing import Final

from typer.main import get_command
from typer.testing import CliRunner

from postil.cli.app import app

PAGE: Final = Path(__file__).parents[2] / "docs" / "command-line.md"
VERBS: Final[tuple[str, ...]] = tuple(get_command(app).commands)  # pyright: ignore[reportAttributeAccessIssue] - a group
_WIDTH: Final = 100

_INTRODUCTION: Final = """\
# The command line

<!-- Made by `python -m tests.docs.command_line` from the commands themselves; do not edit. -->

Every verb that works on a project takes `--project DIR`, the folder with `postil.toml`; without it, the current
folder. Every verb takes `--json`: one JSON object on stdout, everything meant for people on stderr. The exit codes are
in [first steps](first-steps.md#exit-codes), what every verb is called in Python in [Postil in Python](python.md).
Any verb may be interrupted and run again.
"""


def page() -> str:
    """Return the page as the commands are now."""
    return "\n".join([_INTRODUCTION, _section("postil", []), *(_section(f"postil {verb}", [verb]) for verb in VERBS)])


def _section(title: str, arguments: list[str]) -> str:
    return f"## {title}\n\n```text\n{_help(arguments)}\n```\n"


def _help(arguments: list[str]) -> str:
    # Help is laid out for the terminal it is asked from.
    environment = os.environ | {"COLUMNS": str(_WIDTH), "TERM": "dumb", "NO_COLOR": "1"}
    result = CliRunner().invoke(app, [*arguments, "--help"], env=environment, prog_name="postil")
    assert result.exit_code == 0, result.output
    return "\n".join(line.rstrip() for line in result.output.strip().splitlines())


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
