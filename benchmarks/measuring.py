"""Measuring processes from outside, and the few figures that stand for many measurements."""

import json
import math
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Spread:
    """The least, the median and the most of n measurements."""

    least: float
    median: float
    most: float
    n: int

    @classmethod
    def of(cls, values: Iterable[float]) -> Self:
        """Return the spread of at least one value."""
        found = sorted(values)
        return cls(found[0], statistics.median(found), found[-1], len(found))

    def shown(self, form: str = ".3f") -> str:
        """Return "least / median / most", or the one value there is."""
        if self.n == 1:
            return format(self.median, form)
        return " / ".join(format(value, form) for value in (self.least, self.median, self.most))


@dataclass(frozen=True, slots=True)
class Child:
    """A process that ended well."""

    cpu_seconds: float
    """User and system time of the whole process and of those it waited for, from its start to its end."""
    seconds: float
    peak_mib: float
    """Of its resident size; a process that stays smaller than the one that starts it has that one's."""
    said: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What it printed as JSON on its last line."""


class ChildFailedError(RuntimeError):
    """A process that was to be measured ended badly; the message is the end of what it wrote to stderr."""


def run_child(
    command: Sequence[str | Path], *, speaks: bool = True, seconds: float = math.inf, cwd: Path = ROOT
) -> Child:
    """Run a process to its end and return what it took; `speaks` says whether it prints figures.

    Raises:
        ChildFailedError: it ended badly, or was ended because it took longer than `seconds`.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as complaints:
        began = time.monotonic()
        process = subprocess.Popen([*map(str, command)], cwd=cwd, env=environment(), stdout=out, stderr=complaints)
        limit = threading.Timer(min(seconds, threading.TIMEOUT_MAX), process.kill)
        limit.start()
        # Of this one process, which `resource` could not tell from the others that have ended.
        _, status, usage = os.wait4(process.pid, 0)
        took = time.monotonic() - began
        limit.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        complaints.seek(0)
        printed, complaint = out.read().decode(), complaints.read().decode()
    if process.returncode:
        raise ChildFailedError(f"{command[:3]} ended with {process.returncode}: {complaint[-2000:]}")
    said = json.loads(printed.splitlines()[-1]) if speaks else {}
    return Child(usage.ru_utime + usage.ru_stime, took, usage.ru_maxrss / _MAXRSS_PER_MIB, said)


_MAXRSS_PER_MIB: Final = 2**20 if sys.platform == "darwin" else 2**10


def environment() -> dict[str, str]:
    """Return the environment of measured processes: how Python runs here is not how they run."""
    own = {"PYTHONDEVMODE", "PYTHONOPTIMIZE", "PYTHONPROFILEIMPORTTIME", "PYTHONTRACEMALLOC", "PYTHONWARNINGS"}
    return {name: value for name, value in os.environ.items() if name not in own}


def machine() -> str:
    """Return what the figures were measured on, in a line."""
    cores, kernel = os.cpu_count(), platform.release().split("-")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {kernel}, CPython {platform.python_version()}"
    return f"{cores} cores ({_processor()}), {memory:.0f} GiB, {system}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
