"""postil.toml: written by people, read strictly, with the nearest known key in the message when a key is unknown."""

import difflib
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from postil.errors import SettingsError
from postil.runner.annotator import Calibration
from postil.tasks import Task
from postil.tasks.kinds import KINDS, task_from_spec
from postil.types import JSON, Budget

FILE_NAME: Final = "postil.toml"


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class TaskSettings(_Strict):
    """`[task]`: keys that a kind does not have are refused by the kind itself."""

    kind: str
    name: str
    instruction: str
    show: str = "{text}"
    language: Literal["en", "zh"] | None = None
    labels: list[str] | dict[str, str] | None = None
    aliases: dict[str, str] | None = None
    ordered: bool | None = None
    separator: str | None = None
    abstain: str | None = None
    low: int | None = None
    high: int | None = None
    anchors: dict[str, str] | None = None


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


class PriceSettings(_Strict):
    """Dollars for a million tokens, and the day the price was read."""

    input: Annotated[float, Field(ge=0)]
    output: Annotated[float, Field(ge=0)]
    cached: Annotated[float, Field(ge=0)] | None = None
    date: str | None = None


class AnnotatorSettings(_Strict):
    """`[annotators.NAME]`."""

    engine: str
    """"local", "local:PATH.gguf", "openai" or "student:PATH"."""
    model: str | None = None
    base_url: str | None = None
    api_key_env: str | None = None
    concurrency: Annotated[int, Field(ge=1, le=4096)] | None = None
    attempts: Annotated[int, Field(ge=1, le=20)] = 5
    attempt_seconds: Annotated[float, Field(gt=0)] = 120.0
    context_tokens: Annotated[int, Field(ge=64)] | None = None
    log_probs: bool = True
    schema_: Annotated[bool, Field(alias="schema")] = False
    token_parameter: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"  # noqa: S105 - no password
    extra: dict[str, Any] = {}
    threads: Annotated[int, Field(ge=1)] | None = None
    slots: Annotated[int, Field(ge=1, le=64)] = 2
    shots: Annotated[int, Field(ge=0, le=200)] = 0
    demonstrations: Literal["fixed", "random", "similar"] = "random"
    calibrate: Calibration = "batch"
    template: str | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] = 0.0
    seed: int | None = None
    max_tokens: Annotated[int, Field(ge=1)] | None = None
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

    task: TaskSettings
    data: DataSettings
    gold: GoldSettings = GoldSettings()
    annotators: dict[str, AnnotatorSettings] = {}
    budget: BudgetSettings = BudgetSettings()

    def the_task(self) -> Task:
        """Return the task that `[task]` defines.

        Raises:
            TaskError: it cannot work.
            SettingsError: it has a key that its kind does not know.
        """
        given = {key: value for key, value in self.task.model_dump().items() if value is not None}
        if self.task.kind in KINDS:
            known = _parameters(KINDS[self.task.kind]) | {"kind"}
            missing = {"labels"} & known - set(given)
            if missing:
                raise SettingsError(f"{FILE_NAME}, [task]: a {self.task.kind} needs `{missing.pop()}`")
            for key in set(given) - known:
                raise SettingsError(f"{FILE_NAME}, [task]: a {self.task.kind} has no key `{key}`")
        return task_from_spec(given)


def read_settings(folder: Path) -> Settings:
    """Return the settings of a project.

    Raises:
        SettingsError: there is no postil.toml, it is no TOML, or it says something that it cannot.
    """
    path = folder / FILE_NAME
    try:
        content = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise SettingsError(
            f"{folder}: no {FILE_NAME} here", hint="`postil init DIR --items FILE --kind K` makes a project"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {error}") from None
    try:
        return parse_settings(tomllib.loads(content), str(path))
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path}: not valid TOML: {error}") from None


def parse_settings(values: Mapping[str, JSON], place: str) -> Settings:
    """Return settings from plain values.

    Raises:
        SettingsError: with every fault that was found, and `place` in the message.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        faults = "\n".join(f"  {_fault(detail)}" for detail in error.errors())
        raise SettingsError(f"{place}:\n{faults}") from None


def _fault(detail: ErrorDetails) -> str:
    place = ".".join(str(part) for part in detail["loc"])
    if detail["type"] == "extra_forbidden":
        key = str(detail["loc"][-1])
        near = difflib.get_close_matches(key, _known_keys(detail["loc"][:-1]), n=1)
        meant = f"; did you mean `{near[0]}`?" if near else f"; known: {', '.join(_known_keys(detail['loc'][:-1]))}"
        return f"`{place}`: unknown key{meant}"
    if detail["type"] == "missing":
        return f"`{place}`: missing"
    return f"`{place}`: {detail['msg'][0].lower()}{detail['msg'][1:]}, got {detail['input']!r}"


def _known_keys(loc: tuple[int | str, ...]) -> list[str]:
    tables: Mapping[str, type[_Strict]] = {
        "task": TaskSettings,
        "data": DataSettings,
        "gold": GoldSettings,
        "annotators": AnnotatorSettings,
        "budget": BudgetSettings,
    }
    table: type[_Strict] = Settings
    if loc:
        table = PriceSettings if loc[-1] == "price" else tables.get(str(loc[0]), Settings)
    return [field.alias or name for name, field in table.model_fields.items()]


def _parameters(kind: type[Any]) -> set[str]:
    import inspect  # noqa: PLC0415 - slow to import, and only here

    return set(inspect.signature(kind.__init__).parameters) - {"self"}
