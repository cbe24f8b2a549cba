"""What a person sees: messages on stderr, results on stdout, a progress line where there is a terminal."""

import json
import logging
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.table import Table

_EVERY: Final = 0.2


def visible(text: str) -> str:
    """Return text that cannot steer a terminal: control characters are shown as escapes."""
    return "".join(c if c.isprintable() or c in "\n\t" else ascii(c)[1:-1] for c in text)


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        # Rich would end the program itself, with 1.
        raise BrokenPipeError


class Terminal:
    """Where a command writes. With `json`, stdout holds one JSON object and nothing else."""

    def __init__(self, *, as_json: bool) -> None:
        """Choose between people and programs."""
        self.as_json = as_json
        self._out = _Console(highlight=False, soft_wrap=True)
        self._err = _Console(stderr=True, highlight=False, soft_wrap=True)
        self._told = 0.0
        self._progress = ""

    def say(self, text: str, style: str = "") -> None:
        """Write a line of the result for people; with JSON there is none."""
        if not self.as_json:
            self._out.print(escape(visible(text)), style=style)

    def note(self, text: str) -> None:
        """Write a message to stderr."""
        self.end_progress()
        self._err.print(escape(visible(text)), style="dim")

    def error(self, text: str) -> None:
        """Write what went wrong to stderr."""
        self.end_progress()
        self._err.print(escape(visible(f"postil: {text}")), style="red")

    def table(self, title: str, columns: Mapping[str, str], rows: list[tuple[str, ...]]) -> None:
        """Write a table of the result for people; `columns` maps a heading to "left" or "right"."""
        if self.as_json:
            return
        table = Table(title=escape(title), title_justify="left", box=None, pad_edge=False, header_style="bold")
        for heading, side in columns.items():
            # Folded where the terminal is narrow: nothing may be cut off.
            table.add_column(heading, justify="right" if side == "right" else "left", overflow="fold")
        for row in rows:
            table.add_row(*(escape(visible(cell)) for cell in row))
        self._out.print(table)

    def result(self, value: Mapping[str, Any]) -> None:
        """Write the one JSON object, if JSON was asked for."""
        if self.as_json:
            text = json.dumps(value, ensure_ascii=False, default=str, allow_nan=False)
            sys.stdout.buffer.write(text.encode("utf-8", "backslashreplace") + b"\n")
            sys.stdout.buffer.flush()

    def progress(self, line: str) -> None:
        """Overwrite the progress line, at most five times a second; only where stderr is a terminal."""
        if not self._err.is_terminal:
            return
        self._progress = line
        if time.monotonic() - self._told >= _EVERY:
            self._told = time.monotonic()
            self._overwrite()

    def end_progress(self) -> None:
        """Leave the progress line as it was last."""
        if self._progress:
            self._overwrite()
            self._progress = ""
            sys.stderr.write("\n")
            sys.stderr.flush()

    def _overwrite(self) -> None:
        width = max(20, self._err.width - 1)
        sys.stderr.write("\r" + visible(self._progress)[:width].ljust(width))
        sys.stderr.flush()


class _Notes(logging.Handler):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal

    def emit(self, record: logging.LogRecord) -> None:
        self._terminal.note(f"note: {record.getMessage()}")


@contextmanager
def notes_from_log(terminal: Terminal) -> Generator[None, None, None]:
    """Show what the library notes beside its results."""
    logger, notes = logging.getLogger("postil"), _Notes(terminal)
    logger.addHandler(notes)
    try:
        yield
    finally:
        logger.removeHandler(notes)
