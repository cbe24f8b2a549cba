"""Killing, stopping and interrupting runs at random moments, and what it came to (H2: R1, R2, R14)."""

import random
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.torture.project import Tortured
from tests.torture.victims import KILLED, How, Victim, start, until

Wound = Callable[[Victim, random.Random], None]

_LONG: Final = 120.0


def kill(victim: Victim, _: random.Random) -> None:
    """SIGKILL: nothing is cleaned up."""
    victim.signal(signal.SIGKILL)


def terminate(victim: Victim, _: random.Random) -> None:
    """SIGTERM: requests in flight may end."""
    victim.signal(signal.SIGTERM)


def interrupt(victim: Victim, _: random.Random) -> None:
    """Ctrl-C once."""
    victim.signal(signal.SIGINT)


def interrupt_twice(victim: Victim, rng: random.Random) -> None:
    """Ctrl-C, and again before all has ended."""
    victim.signal(signal.SIGINT)
    time.sleep(rng.random() * 0.05)
    victim.signal(signal.SIGINT)


def freeze(victim: Victim, rng: random.Random) -> None:
    """SIGSTOP for a while, as a laptop's lid does; then it goes on, and is killed a little later."""
    victim.signal(signal.SIGSTOP)
    time.sleep(0.1 + rng.random() * 0.3)
    victim.signal(signal.SIGCONT)
    time.sleep(rng.random() * 0.2)
    victim.signal(signal.SIGKILL)


WOUNDS: Final[dict[str, Wound]] = {
    "SIGKILL": kill,
    "SIGTERM": terminate,
    "SIGINT": interrupt,
    "SIGINT twice": interrupt_twice,
    "SIGSTOP": freeze,
}


@dataclass
class Toll:
    """What a series of wounds came to."""

    wounds: int = 0
    hit: int = 0
    """Wounds that met a run at work: the others came too late."""
    left_open: list[int] = field(default_factory=list[int])
    """For each wound the requests that may have been paid for unseen."""
    problems: list[str] = field(default_factory=list[str])
    figures: dict[str, int] = field(default_factory=dict[str, int])
    codes: list[int] = field(default_factory=list[int])
    seconds_to_end: list[float] = field(default_factory=list[float])

    def figure(self, name: str) -> int:
        """Return a figure of the last check."""
        return self.figures.get(name, 0)

    def row(self) -> dict[str, Any]:
        """Return what the release table says."""
        return {
            "wounds": self.wounds,
            "hit": self.hit,
            "most_left_open": max(self.left_open, default=0),
            "left_open": sum(self.left_open),
            "paid_again": self.figure("paid_again"),
            "unexplained": self.figure("unexplained"),
            "problems": len(self.problems),
            "records": self.figure("records"),
        }


def wounded(
    project: Tortured,
    wounds: Sequence[Wound],
    rng: random.Random,
    log: Path,
    *,
    how: How = "forked",
    options: Sequence[str] = (),
) -> Toll:
    """Run `annotate` again and again, wound each run, then let the last one end; check after every one."""
    toll, command = Toll(), ("annotate", "--json", *options, "--project", project.folder)
    step, open_before = max(1, len(project.items) // max(1, len(wounds))), 0
    for wound in wounds:
        victim = start(command, log, how=how)
        _wait_for_a_moment(project, victim, rng, step)
        at_work = victim.poll() is None
        toll.wounds += 1
        began = time.monotonic()
        wound(victim, rng)
        code = victim.wait(_LONG)
        toll.seconds_to_end.append(time.monotonic() - began)
        toll.codes.append(code)
        toll.hit += at_work and code in (KILLED, 130)
        if (project.folder / "postil.db").exists():
            found = project.check()
            toll.problems += found.problems
            toll.left_open.append(found.figures["open"] - open_before)
            open_before = found.figures["open"]
    code = start(command, log, how=how).wait(_LONG)
    if code not in (0, 1):
        toll.problems.append(f"the last run ended with {code}")
    found = project.check(finished=True)
    toll.problems += found.problems
    toll.figures = dict(found.figures)
    return toll


def _wait_for_a_moment(project: Tortured, victim: Victim, rng: random.Random, step: int) -> None:
    """Wait for a moment that nobody chose: mostly amid the requests, now and then before there is any."""
    if rng.random() < 0.2:
        time.sleep(rng.random() * 0.2)
        return
    target = project.scene.count_billed() + rng.randrange(step + 3)
    until(lambda: victim.poll() is not None or project.scene.count_billed() > target, _LONG)
    time.sleep(rng.random() * 0.01)
