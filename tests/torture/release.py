"""The long tier: every kind of torture at full length, and the figures that a release publishes."""

import json
import os
import random
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Final

from tests.torture.clock import Story, story_of
from tests.torture.driver import WOUNDS, Toll, kill, wounded
from tests.torture.failing_child import BATCH_POINTS, EXPORT_POINTS, FAILING, POINTS, Action
from tests.torture.project import Tortured, tortured
from tests.torture.replay import crash_states, faults, read_steps, record, seals_of
from tests.torture.sabotages import SABOTAGES, broken_tests, outcome_of
from tests.torture.serving import Servers
from tests.torture.strace import SYNCS, WRITES, cannot_trace, injected
from tests.torture.victims import KILLED, start

ROOT: Final = Path(__file__).parents[2]
QUICK: Final[Mapping[str, object]] = {"delay": [0.0, 0.003]}
BUSY: Final[Mapping[str, object]] = {
    "delay": [0.002, 0.03],
    "after": [0.0, 0.01],
    "faults": {"500": 0.03, "cut_length": 0.02, "length": 0.02},
}
_MOST_POINTS: Final = 400
_TOLD: Final = 20


@dataclass(frozen=True)
class Figure:
    """One line of the release table."""

    name: str
    target: str
    found: str
    holds: bool
    seed: str = ""


@dataclass(frozen=True)
class Tier:
    """How much of everything, from which seed, and where."""

    folder: Path
    servers: Servers
    seed: int
    scale: float

    def times(self, full: int) -> int:
        """Return how many of a full number are wanted."""
        return max(1, round(full * self.scale))

    def project(self, name: str, records: int, script: Mapping[str, object], *, concurrency: int = 16) -> Tortured:
        """Return a new project under a script."""
        folder = self.folder / name
        shutil.rmtree(folder, ignore_errors=True)
        return tortured(folder, self.servers.scene(**script), records, concurrency=concurrency)


Part = Callable[[Tier], Iterator[Figure]]


def kills(tier: Tier) -> Iterator[Figure]:
    """SIGKILL at random moments of the installed command (R1)."""
    number = tier.times(200)
    project = tier.project("kills", 1000, {"seed": tier.seed, **BUSY})
    toll = wounded(project, [kill] * number, random.Random(tier.seed), tier.folder / "kills.log", how="command")
    _say(toll.problems)
    project.verified()
    return iter(_of_kills(project, toll, tier))


def _of_kills(project: Tortured, toll: Toll, tier: Tier) -> list[Figure]:
    lost = len(project.items) - toll.figure("annotation") - toll.figure("failure")
    wrong = sum("I2" in problem for problem in toll.problems)
    twice = sum("ended twice" in problem for problem in toll.problems)
    seed = f"{tier.seed}"
    clean = not toll.problems and lost == 0
    return [
        Figure(
            "SIGKILL at random moments: records lost / ended twice / wrongly paired",
            "200 kills: 0 / 0 / 0",
            f"{toll.wounds} kills ({toll.hit} amid a run), {len(project.items):,} records: {lost} / {twice} / {wrong}",
            clean and toll.hit >= toll.wounds // 2,
            seed,
        ),
        Figure(
            "Requests sent again after a kill, at most; without an explanation",
            f"{project.concurrency} = `concurrency`; 0",
            f"{max(toll.left_open)}; {toll.figure('unexplained')} (in all {toll.figure('paid_again')} billed again)",
            max(toll.left_open) <= project.concurrency and toll.figure("unexplained") == 0,
            seed,
        ),
    ]


def signals(tier: Tier) -> Iterator[Figure]:
    """All other signals (R14)."""
    tolls: dict[str, Toll] = {}
    for name in sorted(set(WOUNDS) - {"SIGKILL"}):
        project = tier.project("signals", 400, {"seed": tier.seed, **BUSY})
        rng = random.Random(tier.seed)
        tolls[name] = wounded(project, [WOUNDS[name]] * tier.times(25), rng, tier.folder / "signals.log", how="command")
    _say([problem for toll in tolls.values() for problem in toll.problems])
    number = sum(toll.wounds for toll in tolls.values())
    problems = sum(len(toll.problems) for toll in tolls.values())
    slowest = max(max(toll.seconds_to_end) for toll in tolls.values())
    yield Figure(
        f"{', '.join(tolls)} at random moments: broken invariants; longest time to stop",
        "100: 0; 5 s",
        f"{number}: {problems}; {slowest:.1f} s",
        problems == 0 and slowest < 5,
        f"{tier.seed}",
    )


def points(tier: Tier) -> Iterator[Figure]:
    """Every named point, killed or failing there the 1st, 2nd, … time until the point is not reached any more."""
    covered: Counter[Action] = Counter()
    problems: list[str] = []
    for point in POINTS:
        for action in ("kill", *FAILING.get(point, ())):
            reached = _every_time(tier, point, action, problems)
            covered[action] += reached
            if not reached:
                problems.append(f"never reached: {point}")
    pairs = sum(1 + len(FAILING.get(point, ())) for point in POINTS)
    yield Figure(
        "Named points × {SIGKILL, EIO, ENOSPC} covered; broken invariants",
        "all; 0",
        f"{pairs} of {pairs}, {sum(covered.values()):,} runs "
        f"({covered['kill']} killed, {covered['eio']} EIO, {covered['enospc']} ENOSPC); {len(problems)}",
        not problems,
    )
    _say(problems)


def _every_time(tier: Tier, point: str, action: Action, problems: list[str]) -> int:
    """Fail at a point the 1st, 2nd, … time, further apart as it goes on; return how often it was reached."""
    nth = reached = 0
    while reached < tier.times(30):
        nth += 1 + nth // 8
        project = tier.project("points", 12, QUICK, concurrency=4)
        if not _fails_once(tier, project, point, nth, action, problems):
            break
        reached += 1
    return reached


def _fails_once(tier: Tier, project: Tortured, point: str, nth: int, action: Action, problems: list[str]) -> bool:
    log, target = tier.folder / "points.log", project.folder / "out.jsonl"
    log.unlink(missing_ok=True)
    lane = ["--batch"] if point in BATCH_POINTS else []
    annotate: list[str | Path] = ["annotate", *lane, "--project", project.folder]
    export: list[str | Path] = ["export", target, "--project", project.folder]
    exporting = point in EXPORT_POINTS
    if exporting:
        start(annotate, log).wait()
        target.write_text("old\n", encoding="ascii")
    code = start(export if exporting else annotate, log, plant=(point, nth, action)).wait()
    where = f"{point}, time {nth}, {action}"
    if code == 0:
        return False
    if code != KILLED and (action == "kill" or code not in (2, 3)):
        problems.append(f"{where}: ended with {code}")
    if exporting and len(target.read_text(encoding="utf-8").splitlines()) not in (1, 12):
        problems.append(f"{where}: half an export")
    if (project.folder / "postil.db").exists():
        found = project.check()
        problems += [f"{where}: {problem}" for problem in found.problems]
    if start(annotate, log).wait() != 0:
        problems.append(f"{where}: the next run did not end well")
    problems += [f"{where}, afterwards: {problem}" for problem in project.check(finished=True).problems]
    return True


def system_calls(tier: Tier) -> Iterator[Figure]:
    """EIO from every sync, ENOSPC from every write, the 1st, 2nd, … until a clean pass (D3, D4)."""
    for calls, error, name in ((SYNCS, "EIO", "sync"), (WRITES, "ENOSPC", "write")):
        if why := cannot_trace():
            yield Figure(f"{error} from the n-th {name}", "every n: 0", f"not run: {why}", holds=False)
            continue
        runs, problems, most_after = _calls(tier, calls, error)
        _say(problems)
        yield Figure(
            f"{error} from the n-th {name} on (strace): runs that went on, broken invariants; most requests after it",
            "every n: 0, 0; `concurrency`",
            f"n = 1 … {runs}: {sum('went on' in problem for problem in problems)}, {len(problems)}; {most_after} of 4",
            not problems and most_after <= 4,
        )


def _calls(tier: Tier, calls: str, error: str) -> tuple[int, list[str], int]:
    problems: list[str] = []
    most_after = runs = 0
    for nth in range(1, _MOST_POINTS):
        if runs >= tier.times(_MOST_POINTS):
            break
        project = tier.project("calls", 12, QUICK, concurrency=4)
        log = tier.folder / "calls.log"
        assert error in ("EIO", "ENOSPC")
        met = injected(["annotate", "--json", "--project", project.folder], log, calls=calls, error=error, nth=nth)
        if not met.failures:
            break
        runs += 1
        # Once all is committed, closing may fail: the log that was not folded in is there still.
        ended = met.code == 0 and not project.check(finished=True).problems
        if met.code != 3 and not ended:
            problems.append(f"{error} {nth}: went on to exit code {met.code}")
        after = sum(line["at"] > met.first for line in project.scene.asked())
        most_after = max(most_after, after)
        if (project.folder / "postil.db").exists():
            problems += project.check().problems
        if project.run("annotate", "--json").code != 0:
            problems.append(f"{error} {nth}: the next run did not end well")
        problems += project.check(finished=True).problems
    return runs, problems, most_after


def power(tier: Tier) -> Iterator[Figure]:
    """Crash states built from writes that were not synced (D2)."""
    states = gone = unopenable = 0
    number = tier.times(10_000)
    for part, records in enumerate((60, 300, 1000)):
        project = tier.project("power", records, {"seed": tier.seed, **QUICK, "faults": {"length": 0.1}})
        log, steps = tier.folder / "power.log", tier.folder / "power.steps"
        steps.unlink(missing_ok=True)
        for limit in (["--limit", f"{records // 3}"], ["--limit", f"{records // 3}"], []):
            record(["annotate", *limit, "--project", project.folder], log, steps)
        whole = seals_of(project.folder / "postil.db")
        rng = random.Random(tier.seed + part)
        for acknowledged, files in crash_states(read_steps(steps), number // 3 + 1, rng):
            found = faults(files, acknowledged, whole)
            states += 1
            gone += any("acknowledged" in fault for fault in found)
            unopenable += any("acknowledged" not in fault for fault in found)
    yield Figure(
        "Crash states after a loss of power: acknowledged rows missing in; broken or not to be opened",
        "500: 0; 0",
        f"{states:,}: {gone}; {unopenable}",
        gone == unopenable == 0 and states >= number,
        f"{tier.seed}",
    )


def schedules(tier: Tier) -> Iterator[Figure]:
    """Lives on a virtual clock, one a seed."""
    number = tier.times(10_000)
    seeds = range(tier.seed, tier.seed + number)
    figures: Counter[str] = Counter()
    broken: dict[int, list[str]] = {}
    with ProcessPoolExecutor(os.cpu_count(), mp_context=get_context("forkserver")) as pool:
        for story in pool.map(_story, seeds, chunksize=20):
            figures += story.figures
            if story.problems:
                broken[story.seed] = story.problems
    hung = sum("hung" in problem for problems in broken.values() for problem in problems)
    over = sum("I5" in problem for problems in broken.values() for problem in problems)
    paired = sum("I2" in problem for problems in broken.values() for problem in problems)
    silent = sum("I4" in problem for problems in broken.values() for problem in problems)
    span = f"{seeds.start} to {seeds.stop - 1}"
    yield Figure(
        "Schedules on a virtual clock: hung; with a broken invariant",
        "10,000: 0; 0",
        f"{number:,}: {hung}; {len(broken)} ({figures['kills']:,} of the runs killed at a random `await`)",
        not broken,
        span,
    )
    yield Figure("… answers, wrongly paired", "0", f"{figures['answers']:,}: {paired}", paired == 0, span)
    yield Figure(
        "… answers cut, refused, withheld, empty or off the set, and stored as labels",
        "50,000: 0",
        f"{figures['bad_answers']:,}: {silent}",
        silent == 0,
        span,
    )
    yield Figure("… budgets overspent", "0", f"{over}", over == 0, span)
    yield Figure(
        "… requests while a server had asked for a pause",
        "0",
        f"{figures['early']}",
        figures["early"] == 0,
        span,
    )
    _say([f"seed {seed}: {problems[:3]}" for seed, problems in broken.items()])


def _story(seed: int) -> Story:
    return story_of(seed, records=150)


def money(tier: Tier) -> Iterator[Figure]:
    """Budgets under concurrency, lost replies and kills, on real processes (R12)."""
    rng = random.Random(tier.seed)
    problems: list[str] = []
    number = tier.times(30)
    for each in range(number):
        usd = rng.uniform(0.001, 0.02)
        folder = tier.folder / "money"
        shutil.rmtree(folder, ignore_errors=True)
        script = {"seed": each, "delay": [0.0, 0.01], "faults": {"cut_length": 0.1, "reset": 0.05, "500": 0.05}}
        scene = tier.servers.scene(**script)
        project = tortured(folder, scene, 120, concurrency=64, budget={"usd": usd}, attempts=3)
        log = tier.folder / "money.log"
        toll = wounded(project, [kill] * rng.randrange(3), rng, log) if each % 2 else None
        if toll is None:
            start(["annotate", "--project", project.folder], log).wait()
        problems += [problem for problem in project.check().problems if "I1: no outcome" not in problem]
    _say(problems)
    yield Figure(
        "Budgets at 64 requests in flight, half of them with kills: overspent; broken invariants",
        "0; 0",
        f"{number}: {sum('I5' in problem for problem in problems)}; {len(problems)}",
        not problems,
        f"{tier.seed}",
    )


def quick_tier(tier: Tier) -> Iterator[Figure]:
    """The quick tier with many more examples, and what it counts: nasty texts, secrets."""
    environment = os.environ | {"TORTURE_EXAMPLES": f"{tier.times(300)}"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/torture"]
    ran = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, encoding="utf-8", check=False)
    counts = re.findall(r"(\d+) (passed|failed|skipped|xfailed|errors?)", ran.stdout)
    yield Figure(
        "The quick tier: faults, failing disks, nasty data, planted secrets, edited journals",
        "0 failed",
        ", ".join(f"{number} {what}" for number, what in counts),
        ran.returncode == 0,
    )
    if ran.returncode:
        sys.stderr.write(ran.stdout[-5000:])


def planted(tier: Tier) -> Iterator[Figure]:
    """Sabotages of the source, each of which must turn a test red (H10)."""
    chosen = SABOTAGES[: tier.times(len(SABOTAGES))]
    broken = broken_tests(chosen)
    missed = [sabotage.name for sabotage in chosen if outcome_of(sabotage, tier.folder) != "caught"]
    yield Figure(
        "Planted faults in our own source that a test catches",
        "40 of 40",
        f"{len(chosen) - len(missed)} of {len(chosen)}" + (f"; {len(broken)} tests red without any" if broken else ""),
        not missed and not broken,
    )
    _say([f"not caught: {name}" for name in missed])


def _say(problems: Sequence[str]) -> None:
    """Tell what was wrong, for whoever has to find out why."""
    for problem in problems[:_TOLD]:
        sys.stderr.write(f"       {problem}\n")


PARTS: Final[Mapping[str, Part]] = {
    "kills": kills,
    "signals": signals,
    "points": points,
    "calls": system_calls,
    "power": power,
    "schedules": schedules,
    "money": money,
    "quick": quick_tier,
    "sabotages": planted,
}

BEGIN: Final = "<!-- release table: begin -->"
END: Final = "<!-- release table: end -->"


def written(page: str, figures: Sequence[Figure], heading: str) -> str:
    """Return a page with the table between its marks replaced.

    Raises:
        ValueError: the page has no marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"expected a page with {BEGIN} and {END}")
    rows = ["| figure | target | this run | seed |", "| --- | --- | --- | --- |"]
    rows += [
        f"| {figure.name} | {figure.target} | {figure.found if figure.holds else f'**missed:** {figure.found}'}"
        f" | {figure.seed or '–'} |"
        for figure in figures
    ]
    return f"{before}{begin}\n{heading}\n\n" + "\n".join(rows) + f"\n{end}{after}"


def as_json(figures: Sequence[Figure]) -> str:
    """Return the figures for programs."""
    return json.dumps([figure.__dict__ for figure in figures], ensure_ascii=False, indent=1)
