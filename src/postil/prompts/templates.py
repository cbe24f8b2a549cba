"""Templates: versioned data files that hold the wording around a record."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cache, lru_cache
from importlib.resources import files
from typing import Final

import minijinja

from postil.errors import SettingsError

_SLOT: Final = re.compile(r"\{\{ *([a-z]+) *\}\}")
_LOGIC: Final = re.compile(r"\{\{|\}\}|\{%|%\}|\{#|#\}")

_SLOTS: Final[Mapping[str, frozenset[str]]] = {
    "system": frozenset({"instruction", "options", "contract"}),
    "option": frozenset({"name"}),
    "definition": frozenset({"definition"}),
    "code": frozenset({"code", "name"}),
    "user": frozenset({"record", "cue"}),
    "answer": frozenset({"answer"}),
    "reasoned": frozenset({"rationale", "cue", "answer"}),
    "repair": frozenset({"reason", "contract"}),
    "echo": frozenset({"mark"}),
}
"""What each part of a template may show, and must, unless it may go without."""

_WITHOUT: Final = frozenset({"cue", "rationale"})
"""What a part may leave out: an annotator that reads no prompt is shown the bare record."""

_NEVER_EMPTY: Final = frozenset({"user", "answer", "reasoned"})


@dataclass(frozen=True, slots=True)
class Template:
    """The parts of a prompt, each with `{{ field }}` where a value goes. No logic: fields only.

    A line that holds a field and nothing else is left out where there is nothing to show: a task without options has
    no empty line in their place.

    Raises:
        SettingsError: a part lacks one of its fields, asks for one that there is not, or holds more than fields; it
            is found when the template is made, not in the middle of a run (survey 0.14).
    """

    name: str
    """Name and version, like "options.en.v1"."""
    system: str
    option: str
    """The line of an option that is answered by its name."""
    definition: str
    """What follows an option that has a definition."""
    code: str
    """The line of an option that is answered by a letter."""
    user: str
    answer: str
    reasoned: str
    repair: str
    """What is said to an answer that cannot be used; empty for those who read no prompt."""
    echo: str
    """What asks for the mark that a reply is to begin with; empty for those who read no prompt."""

    def __post_init__(self) -> None:
        for part, slots in _SLOTS.items():
            _check(f"template {self.name!r}, part {part!r}", getattr(self, part), slots, part not in _NEVER_EMPTY)

    def fill(self, part: str, **values: str) -> str:
        """Return a part with its fields filled in; values are text and are never read as a template."""
        empty = frozenset() if all(values.values()) else frozenset(name for name in values if not values[name])
        return _compiled(self, empty).render_template(part, **values)


def _check(place: str, source: object, slots: frozenset[str], may_be_empty: bool) -> None:
    if not isinstance(source, str):
        raise SettingsError(f"{place}: expected text, got {source!r}")
    if may_be_empty and not source.strip():
        return
    if logic := _LOGIC.search(_SLOT.sub("", source)):
        raise SettingsError(f"{place}: expected fields only, like {{{{ name }}}}, got {logic[0]!r} in {source!r}")
    found = frozenset(_SLOT.findall(source))
    known = ", ".join(sorted(slots))
    if found - slots:
        raise SettingsError(f"{place}: there is no field {min(found - slots)!r}; it may show {known}")
    if missing := slots - found - _WITHOUT:
        raise SettingsError(f"{place}: the field {min(missing)!r} is missing; it must show {known}")


@cache
def load_template(name: str) -> Template:
    """Return a shipped template by name and version.

    Raises:
        SettingsError: there is no such template, or it cannot work.
    """
    folder = files("postil.prompts") / "templates"
    shipped = {entry.name.removesuffix(".toml"): entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    if name not in shipped:
        raise SettingsError(f"no template {name!r}; there are {', '.join(sorted(shipped))}")
    return parse_template(name, shipped[name].read_text(encoding="utf-8"))


def parse_template(name: str, source: str) -> Template:
    """Return the template that a file of TOML holds.

    Raises:
        SettingsError: it is no TOML, a part is missing or unknown, or a part cannot work.
    """
    try:
        parts = tomllib.loads(source)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"template {name!r} is not valid TOML: {error}") from None
    wanted = {field.name for field in fields(Template)} - {"name"}
    if set(parts) != wanted:
        raise SettingsError(f"template {name!r} must have the parts {sorted(wanted)}, got {sorted(parts)}")
    return Template(name=name, **parts)


@lru_cache(maxsize=64)
def _compiled(template: Template, empty: frozenset[str]) -> minijinja.Environment:
    """Return a template's parts ready to be filled: compiling them again for every record takes twice as long."""
    parts = {part: source for part, source in asdict(template).items() if part != "name"}
    return minijinja.Environment(
        templates={part: _without_lines(source, empty) for part, source in parts.items()},
        undefined_behavior="strict",
        auto_escape_callback=lambda _: False,
        keep_trailing_newline=True,
    )


def _without_lines(source: str, empty: frozenset[str]) -> str:
    """Return a part without the lines that would show only a field that is empty."""
    lines = source.split("\n")
    return "\n".join(line for line in lines if (slot := _SLOT.fullmatch(line)) is None or slot[1] not in empty)
