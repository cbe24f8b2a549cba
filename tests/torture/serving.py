"""Starting the server of `server.py`, giving it scripts, and reading what it wrote."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

SERVER: Final = Path(__file__).with_name("server.py")


@dataclass(frozen=True)
class Scene:
    """One scenario of a running server."""

    folder: Path
    port: int
    name: str

    @property
    def base_url(self) -> str:
        """Where a client finds it."""
        return f"http://127.0.0.1:{self.port}/{self.name}/v1"

    @property
    def key(self) -> bytes:
        """What proofs are made with."""
        return bytes.fromhex((self.folder / "key").read_text(encoding="ascii"))

    @property
    def billing(self) -> Path:
        """The billing log."""
        return self.folder / f"{self.name}.billing.jsonl"

    @property
    def arrivals(self) -> Path:
        """The log of all that was asked."""
        return self.folder / f"{self.name}.arrivals.jsonl"

    def play(self, **script: Any) -> None:
        """Give the scenario a script; what was counted so far goes on."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{self.name}/script", json.dumps(script).encode(), method="PUT"
        )
        with _OPENER.open(request) as response:
            assert response.status == 200

    def batches(self) -> list[dict[str, Any]]:
        """Return the batches that were taken."""
        return lines(self.folder / f"{self.name}.batches.jsonl")

    def asked(self) -> list[dict[str, Any]]:
        """Return what has arrived."""
        return lines(self.arrivals)

    def billed(self) -> list[dict[str, Any]]:
        """Return what was billed."""
        return lines(self.billing)

    def count_billed(self) -> int:
        """Return how many replies were billed."""
        return self.billing.read_bytes().count(b"\n") if self.billing.exists() else 0


# No proxy from the environment: the server is on this machine.
_OPENER: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Servers:
    """A running server; each `scene` is a scenario that nobody else uses."""

    def __init__(self, folder: Path, port: int) -> None:
        """Take the folder of its logs and its port."""
        self._folder = folder
        self._port = port
        self._number = 0

    def scene(self, **script: Any) -> Scene:
        """Return a scenario of its own with a script."""
        self._number += 1
        found = Scene(self._folder, self._port, f"scene{self._number}")
        found.play(**script)
        return found


@contextmanager
def serving(folder: Path) -> Generator[Servers, None, None]:
    """Run the server while the block lasts; it ends with its stdin, so also where this process is killed."""
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, str(SERVER), str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="ascii"
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Servers(folder, int(process.stdout.readline()))
    finally:
        process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def lines(path: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a log: the server may be writing the next one."""
    if not path.exists():
        return []
    whole, _, _ = path.read_bytes().rpartition(b"\n")
    return [json.loads(line) for line in whole.splitlines()]


def by_nonce(logged: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Return the lines of a log by the nonce that they are about."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for line in logged:
        found.setdefault(line["nonce"], []).append(line)
    return found
