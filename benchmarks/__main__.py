"""All benchmarks, or some of them.

    python -m benchmarks [--quick] [--write] [NAME ...]

Prints a table for each, with the least, the median and the most of n measurements. `--quick` takes smaller jobs and
fewer repeats, and leaves out what takes minutes. `--write` puts the tables into docs/benchmarks.md, draws
docs/benchmarks.svg and keeps the figures in benchmarks/results.json; what was not run again stays as it was.
"""

import argparse
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from benchmarks import client_cpu, latency, local, peer_table, scale, start_up
from benchmarks.drawing import write_plot
from benchmarks.measuring import ROOT, machine
from benchmarks.report import Results, Section, put_between_markers
from postil._version import __version__

PAGE: Final = ROOT / "docs" / "benchmarks.md"
PLOT: Final = ROOT / "docs" / "benchmarks.svg"
FIGURES: Final = ROOT / "benchmarks" / "results.json"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One section, whole and quick; a section that cannot be quick is left out then."""

    whole: Callable[[], Section]
    quick: Callable[[], Section] | None


BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "start_up": Benchmark(lambda: start_up.measure(20), lambda: start_up.measure(5)),
    "client_cpu": Benchmark(lambda: client_cpu.measure(20_000, 5), lambda: client_cpu.measure(4_000, 2)),
    "latency": Benchmark(lambda: latency.measure(20_000, 3), lambda: latency.measure(5_000, 1)),
    "peers": Benchmark(lambda: peer_table.measure(2_000, 3), None),
    "local": Benchmark(lambda: local.measure(40, 2), lambda: local.measure(8, 1)),
    "scale": Benchmark(lambda: scale.measure(1_000_000, 10_000, 5), lambda: scale.measure(20_000, 2_000, 3)),
}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; without any, all")
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--write", action="store_true")
    given = arguments.parse_args()
    if unknown := set(given.names) - set(BENCHMARKS):
        arguments.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    results = run(given.names or list(BENCHMARKS), quick=given.quick)
    if given.write:
        write(results)
    missed = [f"{section.name}: {goal.line}" for section in results.sections for goal in section.goals if not goal.met]
    print("\n".join(["goals that were not met:", *missed] if missed else ["all goals were met"]))


def run(names: list[str], *, quick: bool) -> Results:
    """Run benchmarks, print their tables, and return all of it."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    results = Results(machine(), datetime.now(UTC).date().isoformat(), __version__, quick, load)
    print(f"{results.machine}; load {load}; postil {__version__}; {results.day}\n", flush=True)
    sections: list[Section] = []
    for name in names:
        benchmark = BENCHMARKS[name]
        measure = benchmark.quick if quick else benchmark.whole
        if measure is None:
            print(f"{name}: left out, it takes minutes\n", flush=True)
            continue
        began = time.monotonic()
        section = measure()
        print(f"## {name}, in {time.monotonic() - began:.0f} seconds\n\n{section.markdown()}\n", flush=True)
        sections.append(section)
    return replace(results, sections=sections)


def write(results: Results) -> None:
    """Keep the figures, and put them into the document; sections that were not run keep theirs."""
    new = {section.name for section in results.sections}
    old = Results.load_from(FIGURES).sections if FIGURES.exists() else []
    whole = replace(results, sections=[*(section for section in old if section.name not in new), *results.sections])
    whole.save(FIGURES)
    about = f"{results.machine}; load averages before the run: {results.load}; Postil {results.version}; {results.day}"
    contents = {section.name: section.markdown() for section in results.sections}
    put_between_markers(PAGE, {**contents, "about": about + ("; a quick run." if results.quick else ".")})
    write_plot(PLOT, whole)


if __name__ == "__main__":
    main()
