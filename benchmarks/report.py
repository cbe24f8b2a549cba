"""What was found, as values, as Markdown, and in the document between its markers."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from benchmarks.measuring import Spread

FORMS: Final[Mapping[str, str]] = {"ms": ".3f", "s": ".2f", "x": ".2f", "rate": ",.0f", "MiB": ".0f", "share": ".0%"}
"""How figures of a unit are written."""


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its heading, and the unit of its figures."""

    heading: str
    unit: str


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured; `None` stands where a figure was not measured."""

    what: str
    figures: Sequence[Spread | None]


@dataclass(frozen=True, slots=True)
class Goal:
    """A figure that was promised."""

    what: str
    reached: float
    bound: float
    at_most: bool
    """Whether the bound is from above."""
    unit: str

    @property
    def met(self) -> bool:
        """Whether it was reached."""
        return self.reached <= self.bound if self.at_most else self.reached >= self.bound

    @property
    def line(self) -> str:
        """It in one line."""
        form, suffix = FORMS[self.unit], {"x": " ×", "s": " s", "MiB": " MiB"}.get(self.unit, "")
        bound = f"at {'most' if self.at_most else 'least'} {self.bound:{form}}{suffix}"
        return f"{self.what}: {self.reached:{form}}{suffix}; goal: {bound}; {'met' if self.met else '**not met**'}"


@dataclass(frozen=True, slots=True)
class Section:
    """One table with what was promised of it."""

    name: str
    columns: Sequence[Column]
    rows: Sequence[Row]
    goals: Sequence[Goal] = ()
    notes: Sequence[str] = ()
    """What a reader must know of this run: what was not measured, and why."""

    def markdown(self) -> str:
        """Return it as Markdown."""
        headings = ["", *(column.heading for column in self.columns), "n"]
        lines = [_line(headings), _line(["---"] * len(headings))]
        for row in self.rows:
            figures = [_figure(*pair) for pair in zip(row.figures, self.columns, strict=True)]
            n = max((spread.n for spread in row.figures if spread), default=0)
            lines.append(_line([row.what, *figures, str(n)]))
        listed = [f"* {text}" for text in (*(goal.line for goal in self.goals), *self.notes)]
        return "\n".join([*lines, *([""] if listed else []), *listed])

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Return what `dataclasses.asdict` made plain."""
        return cls(
            values["name"],
            [Column(**column) for column in values["columns"]],
            [Row(row["what"], [each and Spread(**each) for each in row["figures"]]) for row in values["rows"]],
            [Goal(**goal) for goal in values["goals"]],
            values["notes"],
        )


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(spread: Spread | None, column: Column) -> str:
    return "–" if spread is None else spread.shown(FORMS[column.unit])


@dataclass(frozen=True, slots=True)
class Results:
    """All that one run of the benchmarks found."""

    machine: str
    day: str
    version: str
    quick: bool
    load: str
    """How busy the machine was with other things before the run."""
    sections: Sequence[Section] = field(default_factory=list[Section])

    def save(self, path: Path) -> None:
        """Write it as JSON."""
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load_from(cls, path: Path) -> Self:
        """Return what `save` wrote."""
        values = json.loads(path.read_text(encoding="utf-8"))
        sections = [Section.from_json(section) for section in values.pop("sections")]
        return cls(**values, sections=sections)


def put_between_markers(path: Path, contents: Mapping[str, str]) -> None:
    """Replace what stands between `<!-- NAME: begin -->` and `<!-- NAME: end -->` for each name.

    Raises:
        LookupError: the document has no place for one of them.
    """
    text = path.read_text(encoding="utf-8")
    for name, content in contents.items():
        marked = re.compile(rf"(<!-- {name}: begin -->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        replacement = f"{content}\n"
        text, found = marked.subn(lambda place, new=replacement: f"{place[1]}{new}{place[2]}", text)
        if not found:
            raise LookupError(f"{path}: no markers for {name!r}")
    path.write_text(text, encoding="utf-8")
