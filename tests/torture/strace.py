"""System calls that fail (H3): `strace` answers for the kernel, from the n-th call on."""

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal

from tests.torture.victims import POSTIL

SYNCS: Final = "fdatasync,fsync"
WRITES: Final = "pwrite64"


@dataclass(frozen=True)
class Injected:
    """How a command ended whose system calls failed."""

    code: int
    said: str
    failures: int
    """Calls that were made to fail."""
    first: float
    """When the first one failed, in seconds since 1970; infinite where none did."""


@cache
def cannot_trace() -> str:
    """Return why strace cannot be used here, "" where it can."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    command = ["strace", "-f", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={SYNCS}"]
    tried = subprocess.run(
        [*command, "-e", f"inject={SYNCS}:error=EIO:when=1+", "true"],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return "" if tried.returncode == 0 else f"strace cannot trace here: {tried.stderr.strip()[:200]}"


def injected(
    arguments: Sequence[str | Path], log: Path, *, calls: str, error: Literal["EIO", "ENOSPC"], nth: int
) -> Injected:
    """Run the installed command; in each of its threads the n-th such call fails, and all after it."""
    trace = log.with_suffix(".strace")
    options = ["-f", "--seccomp-bpf", "-ttt", "-o", str(trace), "-e", f"trace={calls}"]
    inject = ["-e", f"inject={calls}:error={error}:when={nth}+"]
    ran = subprocess.run(
        ["strace", *options, *inject, str(POSTIL), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        encoding="utf-8",
        timeout=120,
        check=False,
    )
    failed = [line for line in trace.read_text(encoding="utf-8", errors="replace").splitlines() if "INJECTED" in line]
    first = float(failed[0].split()[1]) if failed else float("inf")
    return Injected(ran.returncode, ran.stdout, len(failed), first)
