"""postil.toml: written by people, read strictly, with the nearest known key in the message when a key is unknown."""

import datetime as dt
import difflib
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from inspect import Parameter, signature
from pathlib import Path
from typing import Annotated, Any, Final, Literal, TypeVar, get_type_hints

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model
from pydantic_core import ErrorDetails

from postil.errors import SettingsError, TaskError
from postil.runner.annotator import Calibration
from postil.runner.policy import Lost
from postil.tasks import Task
from postil.tasks.kinds import KINDS
from postil.types import JSON, Budget

FILE_NAME: Final = "postil.toml"
DATABASE: Final = "postil.db"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class DataSettings(_Strict):
    """`[data]`: paths are relative to the project's folder."""

    items: str
    id: str | None = None
    gold: str | None = None
    """A field of the items, or a file of its own."""
    demonstrations: str | None = None
    """A file of solved records that are only shown, never measured on."""


class GoldSettings(_Strict):
    """`[gold]`: which share of the gold may be shown in prompts; the rest only measures."""

    demonstration_share: Annotated[float, Field(ge=0, le=0.9)] = 0.25


def _day(value: Any) -> Any:
    # TOML has dates of its own: `date = 2026-10-01` is as good as the same in quotes.
    return value.isoformat() if isinstance(value, dt.date) else value


class PriceSettings(_Strict):
    """Dollars for a million tokens, and the day the price was read."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached: Annotated[float, Field(ge=0)] | None = None
    date: Annotated[str | None, BeforeValidator(_day)] = None
    batch: Annotated[float, Field(ge=0, le=1)] | None = None
    """The share of these prices that the batch lane costs."""


class AnnotatorSettings(_Strict):
    """`[annotators.NAME]`."""

    engine: str
    """"local", "local:PATH.gguf", "openai" or "student:PATH"."""
    model: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    concurrency: Annotated[int, Field(ge=1, le=4096)] | None = None
    batch_requests: Annotated[int, Field(ge=1, le=100_000)] = 50_000
    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    attempt_seconds: Annotated[float, Field(gt=0)] = 120.0
    requests_per_minute: Annotated[float, Field(ge=1)] | None = None
    tokens_per_minute: Annotated[float, Field(ge=1)] | None = None
    lost: Lost = "resend"
    context_tokens: Annotated[int, Field(ge=64)] | None = None
    log_probs: bool = True
    schema_: Annotated[bool, Field(alias="schema")] = False
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # noqa: S105 - no password
    extra: dict[str, Any] = {}
    threads: Annotated[int, Field(ge=1)] | None = None
    slots: Annotated[int, Field(ge=1, le=64)] = 2
    shots: Annotated[int, Field(ge=0, le=200)] = 0
    demonstrations: Literal["fixed", "random", "similar"] = "random"
    candidates: Annotated[int, Field(ge=0, le=1000)] | None = None
    calibrate: Calibration | Literal["auto"] = "auto"
    repairs: Annotated[int, Field(ge=0, le=3)] = 1
    template: str | None = None
    echo: bool = False
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    seed: int | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
    max_tokens_per_record: Annotated[int, Field(ge=1)] | None = None
    price: PriceSettings | None = None


class BudgetSettings(_Strict):
    """`[budget]`: limits on the whole project; `seconds` on one run."""

    usd: Annotated[float, Field(ge=0)] | None = None
    tokens: Annotated[int, Field(ge=0)] | None = None
    requests: Annotated[int, Field(ge=0)] | None = None
    seconds: Annotated[float, Field(ge=0)] | None = None

    def budget(self) -> Budget:
        """Return the limits as the runner takes them."""
        return Budget(self.usd, self.tokens, self.requests, self.seconds)


class Settings(_Strict):
    """The whole of postil.toml."""

    task: dict[str, Any]
    """Its keys are the parameters of the kind's own constructor."""
    data: DataSettings
    gold: GoldSettings = GoldSettings()
    annotators: dict[str, AnnotatorSettings] = {}
    budget: BudgetSettings = BudgetSettings()

    @property
    def shows_demonstrations(self) -> bool:
        """Whether any annotator's prompt holds solved records."""
        return any(annotator.shots for annotator in self.annotators.values())


def read_settings(folder: Path) -> tuple[Settings, Task]:
    """Return the settings of a project and the task that they define.

    Raises:
        SettingsError: there is no postil.toml, it is no TOML, or it says something that it cannot.
        TaskError: the task cannot work.
    """
    path = folder / FILE_NAME
    try:
        content = path.read_text(encoding="utf-8-sig")
    except (FileNotFoundError, NotADirectoryError):
        raise SettingsError(
            f"{folder}: expected a folder with {FILE_NAME}, got {_what_is_there(folder)}",
            hint="name the project with --project DIR, or make one: postil init DIR --items FILE",
        ) from None
    except UnicodeDecodeError as error:
        raise SettingsError(
            f"{path}: expected UTF-8, got the byte 0x{error.object[error.start]:02x} at {error.start}",
            hint="save it as UTF-8",
        ) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    try:
        values = tomllib.loads(content)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}", hint='text stands in quotes: name = "tone"') from None
    settings = parse_settings(values, str(path))
    return settings, parse_task(settings.task, str(path))


def _what_is_there(folder: Path) -> str:
    if folder.is_dir():
        return "a folder without one"
    return "a file" if folder.exists() else "nothing"


def parse_settings(values: Mapping[str, JSON], place: str) -> Settings:
    """Return settings from plain values; the task in them is looked at by `parse_task`.

    Raises:
        SettingsError: with every fault that was found, and `place` in the message.
    """
    return _parsed(Settings, values, place, ())


def parse_task(values: Mapping[str, JSON], place: str) -> Task:
    """Return the task that `[task]` defines: its keys are the parameters of its kind's constructor.

    Raises:
        SettingsError: a key is unknown, missing or of the wrong type.
        TaskError: the definition cannot work.
    """
    given = {key: value for key, value in values.items() if key != "kind"}
    kind = str(values.get("kind", ""))
    if kind not in KINDS:
        got = repr(values["kind"]) if "kind" in values else "nothing"
        near = difflib.get_close_matches(kind, KINDS, n=1)
        raise SettingsError(
            f"{place}:\n  `task.kind`: expected one of {', '.join(map(repr, KINDS))}, got {got}",
            hint=f"did you mean {near[0]!r}?" if near else "",
        )
    _parsed(_parameters(KINDS[kind]), given, place, ("task",))
    try:
        return KINDS[kind](**given)
    except TaskError as error:
        raise TaskError(f"{place}: {error.args[0]}", hint=error.hint) from None


@cache
def _parameters(kind: type[Any]) -> type[_Strict]:
    """Return the parameters of a kind's constructor as a table, so that a kind is told of in one place."""
    types = get_type_hints(kind.__init__)
    parameters = list(signature(kind.__init__).parameters.values())[1:]
    fields: dict[str, Any] = {
        each.name: (types[each.name], ... if each.default is Parameter.empty else each.default) for each in parameters
    }
    return create_model(kind.__name__, __base__=_Strict, **fields)


def _of_every_kind() -> type[_Strict]:
    """Return every key that some kind takes: required or with a default only where all kinds agree on that."""
    tables = [_parameters(kind).model_fields for kind in KINDS.values()]
    merged: dict[str, Any] = {"kind": (str, ...)}
    for name in dict.fromkeys(name for table in tables for name in table):
        found = [table.get(name) for table in tables]
        first = found[0]
        alike = first is not None and all(each and each.default == first.default for each in found)
        merged[name] = (Any, first.default if alike and first is not None and not first.is_required() else None)
        if all(each is not None and each.is_required() for each in found):
            merged[name] = (Any, ...)
    return create_model("TaskSettings", __base__=_Strict, **merged)


TaskSettings: Final = _of_every_kind()
"""`[task]` whatever its kind, as documents list it; what is read is held to the parameters of its own kind."""

_Table = TypeVar("_Table", bound=_Strict)


def _parsed(table: type[_Table], values: Mapping[str, JSON], place: str, within: tuple[str, ...]) -> _Table:
    try:
        return table.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(f"  {fault}" for fault in _faults(error.errors(), table, within))
        raise SettingsError(f"{place}:\n{faults}") from None


_EXPECTED: Final = {
    "string_type": "text in quotes",
    "int_type": "a whole number",
    "float_type": "a number",
    "bool_type": "true or false",
    "list_type": "a list",
    "sequence_str": "a list",
    "is_instance_of": "a list",
    "dict_type": "a table",
    "model_type": "a table",
}


def _faults(details: Iterable[ErrorDetails], table: type[_Strict], within: tuple[str, ...]) -> Iterator[str]:
    """Yield one line for each place at fault; of what may be of several types, only what came nearest to one."""
    found: dict[tuple[int | str, ...], list[ErrorDetails]] = {}
    for detail in details:
        if detail["loc"][-1] != "[key]":
            # Pydantic names the branch of a union in brackets: no part of the user's file.
            path = tuple(part for part in detail["loc"] if not (isinstance(part, str) and "[" in part))
            found.setdefault(path, []).append(detail)
    for path, here in found.items():
        if not any(other[: len(path)] == path and other != path for other in found):
            yield f"`{'.'.join(map(str, (*within, *path)))}`: {_fault(path, here, table)}"


def _fault(path: tuple[int | str, ...], details: Sequence[ErrorDetails], table: type[_Strict]) -> str:
    detail = details[0]
    if detail["type"] == "extra_forbidden":
        known = _known_keys(table, path[:-1])
        near = difflib.get_close_matches(str(path[-1]), known, n=1)
        return f"unknown key; did you mean `{near[0]}`?" if near else f"unknown key; known: {', '.join(known)}"
    if detail["type"] == "missing":
        return "missing"
    got = repr(detail["input"])
    got = got if len(got) <= 80 else f"{got[:79]}…"
    if all(each["type"] in _EXPECTED for each in details):
        expected = dict.fromkeys(_EXPECTED[each["type"]] for each in details)
        return f"expected {' or '.join(expected)}, got {got}"
    return f"{detail['msg'][0].lower()}{detail['msg'][1:]}, got {got}"


def _known_keys(table: type[_Strict], path: tuple[int | str, ...]) -> list[str]:
    """Return the keys of the table at a path; the name of an annotator may be anything."""
    inner: Mapping[str, type[_Strict]] = {
        "data": DataSettings,
        "gold": GoldSettings,
        "annotators": AnnotatorSettings,
        "budget": BudgetSettings,
        "price": PriceSettings,
    }
    for part in path:
        table = inner.get(str(part), table)
    return [field.alias or name for name, field in table.model_fields.items()]
