"""The long tier: `python -m tests.torture` runs everything at full length and fills docs/reliability.md."""

import argparse
import platform
import sys
import tempfile
import time
from pathlib import Path

import apsw

from postil import __version__
from tests.torture.release import PARTS, ROOT, Figure, Tier, as_json, written
from tests.torture.serving import serving

PAGE = ROOT / "docs" / "reliability.md"


def main() -> int:
    """Run the parts that are wanted, and return 1 if any figure was missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("--seed", type=int, default=20240221)
    parser.add_argument("--scale", type=float, default=1.0, help="how much of everything, 1 is a release")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=[*PARTS], metavar="PART", help=", ".join(PARTS))
    parser.add_argument("--no-page", action="store_true", help="leave docs/reliability.md as it is")
    arguments = parser.parse_args()
    figures: list[Figure] = []
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="torture-") as name, serving(Path(name) / "server") as servers:
        tier = Tier(Path(name), servers, arguments.seed, arguments.scale)
        for part in arguments.only:
            before = time.monotonic()
            for figure in PARTS[part](tier):
                figures.append(figure)
                sys.stderr.write(f"{'ok    ' if figure.holds else 'MISSED'} {figure.name}: {figure.found}\n")
            sys.stderr.write(f"       {part} took {time.monotonic() - before:.0f} s\n")
    minutes = (time.monotonic() - began) / 60
    if not arguments.no_page:
        PAGE.write_text(
            written(PAGE.read_text(encoding="utf-8"), figures, _heading(arguments, minutes)), encoding="utf-8"
        )
    sys.stdout.write(as_json(figures) + "\n")
    return 0 if all(figure.holds for figure in figures) else 1


def _heading(arguments: argparse.Namespace, minutes: float) -> str:
    parts = "" if len(arguments.only) == len(PARTS) else f" --only {' '.join(arguments.only)}"
    scale = "" if arguments.scale == 1 else f" --scale {arguments.scale:g}"
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return (
        f"Made on {day} by `python -m tests.torture --seed {arguments.seed}{scale}{parts}` in {minutes:.0f} minutes:"
        f" Postil {__version__}, Python {platform.python_version()}, SQLite {apsw.sqlite_lib_version()},"
        f" {platform.system()}."
    )


if __name__ == "__main__":
    sys.exit(main())
