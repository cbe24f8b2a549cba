"""What a person sees: messages on stderr, results on stdout, a progress line where there is a terminal."""

import json
import sys
import time
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_EVERY: Final = 0.2


def visible(text: str) -> str:
    """Return text that cannot steer a terminal: control characters are shown as escapes."""
    safe = "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)
    return safe.encode("utf-8", "backslashreplace").decode()


class Terminal:
    """Where a command writes. With `json`, stdout holds one JSON object and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        """Choose between people and programs."""
        self.as_json = as_json
        self._out = Console(highlight=False, soft_wrap=True)
        self._err = Console(stderr=True, highlight=False, soft_wrap=True)
        self._told = 0.0

    def say(self, text: str, style: str = "") -> None:
        """Write a line for people: to stderr beside JSON, else to stdout."""
        console = self._err if self.as_json else self._out
        console.print(escape(visible(text)), style=style)

    def note(self, text: str) -> None:
        """Write a line to stderr."""
        self._err.print(escape(visible(text)), style="dim")

    def table(self, title: str, columns: Mapping[str, str], rows: list[tuple[str, ...]]) -> None:
        """Write a table; `columns` maps a heading to "left" or "right"."""
        table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
        for heading, side in columns.items():
            table.add_column(heading, justify="right" if side == "right" else "left")
        for row in rows:
            table.add_row(*(escape(visible(cell)) for cell in row))
        (self._err if self.as_json else self._out).print(table)

    def result(self, value: Mapping[str, Any]) -> None:
        """Write the one JSON object, if JSON was asked for."""
        if self.as_json:
            text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
            sys.stdout.buffer.flush()

    def progress(self, line: str, *, last: bool = False) -> None:
        """Overwrite the progress line, at most five times a second; only where stderr is a terminal."""
        now = time.monotonic()
        if not self._err.is_terminal or (now - self._told < _EVERY and not last):
            return
        self._told = now
        width = max(20, self._err.width - 1)
        sys.stderr.write("\r" + visible(line)[:width].ljust(width) + ("\n" if last else ""))
        sys.stderr.flush()
