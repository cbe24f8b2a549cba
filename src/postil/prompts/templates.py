"""Templates: versioned data files that hold the wording around a record."""

import tomllib
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import files
from typing import Final

import minijinja

from postil.errors import SettingsError

# Far above what filling in fields takes; a template that loops is stopped.
_FUEL: Final = 10_000


@dataclass(frozen=True, slots=True)
class Template:
    """The parts of a prompt, each with `{{ field }}` where a value goes. No logic: fields only."""

    name: str
    """Name and version, like "options.en.v1"."""
    system: str
    option: str
    definition: str
    code: str
    user: str
    answer: str
    reasoned: str

    def fill(self, part: str, **values: str) -> str:
        """Return a part with its fields filled in; values are text and are never read as a template.

        Raises:
            SettingsError: the part asks for a field that there is not.
        """
        try:
            return _environment().render_str(getattr(self, part), self.name, **values)
        except minijinja.TemplateError as error:
            raise SettingsError(f"template {self.name!r}, part {part!r}: {error}") from None


@cache
def load_template(name: str) -> Template:
    """Return a shipped template by name and version.

    Raises:
        SettingsError: there is no such template, or a part of it is missing.
    """
    folder = files("postil.prompts") / "templates"
    path = folder / f"{name}.toml"
    if not path.is_file():
        known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir())
        raise SettingsError(f"no template {name!r}; there are {', '.join(known)}")
    parts = tomllib.loads(path.read_text(encoding="utf-8"))
    wanted = {field.name for field in fields(Template)} - {"name"}
    if set(parts) != wanted:
        raise SettingsError(f"template {name!r} must have the parts {sorted(wanted)}, got {sorted(parts)}")
    return Template(name=name, **parts)


@cache
def _environment() -> minijinja.Environment:
    environment = minijinja.Environment(
        undefined_behavior="strict", auto_escape_callback=lambda _: False, keep_trailing_newline=True
    )
    environment.fuel = _FUEL
    return environment
