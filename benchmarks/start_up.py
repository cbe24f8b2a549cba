"""How long it takes to start: the library, and the command line's help.

python -m benchmarks start_up
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks.measuring import Spread, run_child
from benchmarks.report import Column, Goal, Row, Section

_POSTIL: Final = Path(sys.executable).parent / "postil"
COMMANDS: Final[dict[str, Sequence[str | Path]]] = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import postil": [sys.executable, "-c", "import postil"],
    "postil --help": [_POSTIL, "--help"],
    "import aiohttp (for comparison)": [sys.executable, "-c", "import aiohttp"],
}
GOALS: Final = {"import postil": 0.2, "postil --help": 0.3}


def measure(repeats: int) -> Section:
    """Return how long each takes, run in turns after one round to warm up the disk's cache."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    cpu: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(repeats + 1):
        for name, command in COMMANDS.items():
            child = run_child(command, speaks=False)
            if turn:
                seconds[name].append(child.seconds)
                cpu[name].append(child.cpu_seconds)
    bare = seconds["python -c pass"]
    rows = [
        Row(
            f"`{name}`",
            [
                Spread.of(seconds[name]),
                Spread.of(cpu[name]),
                Spread.of(mine / its for mine, its in zip(seconds[name], bare, strict=True)),
            ],
        )
        for name in COMMANDS
    ]
    goals = [Goal(f"`{name}`", Spread.of(seconds[name]).median, bound, True, "s") for name, bound in GOALS.items()]
    columns = [Column("seconds", "s"), Column("CPU seconds", "s"), Column("× `python -c pass`", "x")]
    return Section("start_up", columns, rows, goals)
