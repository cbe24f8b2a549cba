"""From `[annotators.NAME]` to an annotator: the engine, the demonstrations, the prompt."""

import logging
import os
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from postil.errors import SettingsError
from postil.project.settings import FILE_NAME, AnnotatorSettings, parse_settings
from postil.prompts import Prompt
from postil.runner import Policy, Price, PromptedAnnotator, Sampling
from postil.runner.annotator import Calibration
from postil.tasks import CompoundTask, NarrowableTask, Task
from postil.tasks.shown import Shown
from postil.types import CandidateSelector, Demonstration, DemonstrationSelector, Engine

UNNAMED: Final = "default"
"""The name of an annotator that was described by arguments and not named."""

_MANY_LABELS: Final = 100
_CANDIDATES: Final = 50
"""Labels that a prompt offers where there are more than `_MANY_LABELS` and nobody said how many."""

_log = logging.getLogger("postil")


class Annotators:
    """The annotators that can be asked: the tables of postil.toml, and those described by arguments since."""

    def __init__(self, folder: Path, tables: Mapping[str, AnnotatorSettings]) -> None:
        """Take the project's folder, where relative paths begin, and its tables."""
        self._folder = folder
        self._tables = dict(tables)
        self._described: dict[str, tuple[AnnotatorSettings, Engine | None]] = {}

    def __contains__(self, name: str) -> bool:
        """Whether there is such an annotator."""
        return name in self._described or name in self._tables

    def __iter__(self) -> Iterator[str]:
        """Yield the names; the one described last is the first."""
        yield from reversed(self._described)
        yield from self._tables

    def __getitem__(self, name: str) -> AnnotatorSettings:
        """Return the settings of an annotator."""
        return self._described[name][0] if name in self._described else self._tables[name]

    def describe(self, name: str | None, engine: str | Engine, options: Mapping[str, Any]) -> str:
        """Note an annotator described by arguments, with the keys of `[annotators.NAME]`, and return its name.

        Raises:
            SettingsError: an option is wrong, or the name is one of postil.toml.
        """
        name = UNNAMED if name is None else name
        if name in self._tables:
            raise SettingsError(
                f"the annotator {name!r} is described in {FILE_NAME}, got `engine` beside its name",
                hint="leave `engine` out, or give it another name",
            )
        settings = described(engine, options)
        self._described.pop(name, None)
        self._described[name] = settings, None if isinstance(engine, str) else engine
        return name

    def engine(self, name: str, *, with_key: bool = True) -> Engine:
        """Return the engine of an annotator, made anew unless it was given as an object.

        Raises:
            InputError: as `build_engine`.
        """
        return self._given(name) or build_engine(name, self[name], self._folder, with_key=with_key)

    @asynccontextmanager
    async def opened(self, name: str, *, with_key: bool = True) -> AsyncGenerator[Engine, None]:
        """Lend the engine of an annotator; what was made for it is closed at the end.

        Raises:
            InputError: as `build_engine`.
        """
        engine = self.engine(name, with_key=with_key)
        try:
            yield engine
        finally:
            if engine is not self._given(name):
                await engine.aclose()

    def _given(self, name: str) -> Engine | None:
        return self._described[name][1] if name in self._described else None


def described(engine: str | Engine, options: Mapping[str, Any]) -> AnnotatorSettings:
    """Return the settings that `engine` and options with the keys of `[annotators.NAME]` come to.

    Raises:
        SettingsError: an option is unknown or wrong.
    """
    table = {"engine": engine if isinstance(engine, str) else type(engine).__name__, **options}
    whole = {"task": {}, "data": {"items": ""}, "annotators": {UNNAMED: table}}
    return parse_settings(whole, "the arguments").annotators[UNNAMED]


def build_engine(name: str, settings: AnnotatorSettings, folder: Path, *, with_key: bool = True) -> Engine:
    """Return the engine that an annotator's settings name. Nothing is sent or loaded yet.

    `with_key=False` is for work that sends nothing: no key is looked for.

    Raises:
        SettingsError: the settings cannot work.
        MissingExtraError: the engine needs an extra that is not installed.
    """
    try:
        return _engine(settings, folder, with_key=with_key)
    except SettingsError as error:
        raise SettingsError(f"annotator {name!r}: {error.args[0]}", hint=error.hint) from None


def _engine(settings: AnnotatorSettings, folder: Path, *, with_key: bool) -> Engine:
    kind, _, path = settings.engine.partition(":")
    if kind == "local":
        from postil.engines.local import LocalEngine  # noqa: PLC0415 - only where one is made

        return LocalEngine(
            folder / path if path else None,
            context_tokens=settings.context_tokens or 4096,
            slots=settings.slots,
            threads=settings.threads,
        )
    if kind == "student" and path:
        from postil.learn.student import Student, StudentEngine  # noqa: PLC0415 - numpy and onnxruntime

        return StudentEngine(Student.load(folder / path))
    if kind == "openai" and not path:
        return _openai(settings, with_key=with_key)
    raise SettingsError(
        f'`engine` must be "local", "local:PATH.gguf", "openai" or "student:PATH", got {settings.engine!r}'
    )


def _openai(settings: AnnotatorSettings, *, with_key: bool) -> Engine:
    from postil.engines.openai import OpenAIEngine  # noqa: PLC0415 - only where one is made

    if settings.base_url is None or settings.model is None:
        missing = "base_url" if settings.base_url is None else "model"
        raise SettingsError(f"the engine openai needs `{missing}`", hint=f'{missing} = "…"')
    return OpenAIEngine(
        base_url=settings.base_url,
        model=settings.model,
        api_key=_key(settings.api_key_env) if with_key and settings.api_key_env is not None else None,
        concurrency=concurrency(settings),
        attempt_seconds=settings.attempt_seconds,
        log_probs=settings.log_probs,
        schema=settings.schema_,
        context_tokens=settings.context_tokens,
        extra=settings.extra,
        token_parameter=settings.token_parameter,
    )


def _key(variable: str) -> str:
    key = os.environ.get(variable)
    if not key:
        raise SettingsError(f"the environment variable {variable!r} holds no key", hint=f"export {variable}=…")
    return key


def build_annotator(
    name: str,
    settings: AnnotatorSettings,
    task: Task,
    engine: Engine,
    pool: Sequence[Demonstration],
    *,
    say: Callable[[str], None] = _log.warning,
) -> PromptedAnnotator:
    """Return the annotator of these settings; `say` is told what a user should know before a run.

    Raises:
        SettingsError: it wants demonstrations and there are none.
    """
    capabilities = engine.capabilities
    parts = task.parts if isinstance(task, CompoundTask) else (task,)
    if settings.echo and capabilities.reads == "record":
        raise SettingsError(f"annotator {name!r}: `echo` asks for a mark in the reply, and this engine reads no prompt")
    prompts = tuple(Prompt.for_engine(part, capabilities, settings.template, echo=settings.echo) for part in parts)
    selector = None
    if settings.shots and capabilities.reads != "record":
        selector = _selector(name, settings, task, pool, say)
    candidates = None if capabilities.reads == "record" else _candidates(name, settings, task, pool, say)
    # The prior of one question says nothing about another; both orders of a pair correct for it themselves.
    choices = len(prompts) == 1 and bool(prompts[0].form.choices) and candidates is None and not settings.echo
    scored = capabilities.scores != "none" and choices and capabilities.reads != "record"
    return PromptedAnnotator(
        name,
        task,
        engine,
        prompts,
        selector,
        Sampling(settings.temperature, settings.seed, settings.max_tokens),
        _calibration(settings, task) if scored else "none",
        settings.repairs,
        candidates=candidates,
        max_tokens_per_record=settings.max_tokens_per_record,
    )


_EVEN_SCALES: Final = frozenset({"nominal", "ordinal", "hierarchical"})


def _calibration(settings: AnnotatorSettings, task: Task) -> Calibration:
    """Return how the prior is measured; calibration makes answers equally frequent, which only labels may be."""
    if settings.calibrate != "auto":
        return settings.calibrate
    return "batch" if task.scale in _EVEN_SCALES else "none"


def _selector(
    name: str,
    settings: AnnotatorSettings,
    task: Task,
    pool: Sequence[Demonstration],
    say: Callable[[str], None],
) -> DemonstrationSelector:
    from postil.learn.demonstrations import (  # noqa: PLC0415 - numpy and onnxruntime
        FixedDemonstrations,
        RandomDemonstrations,
        SimilarDemonstrations,
    )
    from postil.learn.embeddings import default_embedder  # noqa: PLC0415

    if not pool:
        raise SettingsError(
            f"annotator {name!r}: shots = {settings.shots}, but there is no gold to show",
            hint="add gold, name a file under `[data] demonstrations`, or set shots = 0",
        )
    if len(pool) < settings.shots:
        say(f"annotator {name!r}: shots = {settings.shots}, and only {len(pool)} gold records may be shown")
    if settings.demonstrations == "fixed":
        return FixedDemonstrations(pool[: settings.shots])
    if settings.demonstrations == "random":
        return RandomDemonstrations(pool, settings.shots, seed=settings.seed or 0, task=task)
    shown = Shown.parse(task.show)
    embedder, note = default_embedder([shown.render(demonstration.record) for demonstration in pool])
    if note:
        say(f"annotator {name!r}: {note}")
    return SimilarDemonstrations(pool, settings.shots, embedder=embedder, task=task, show=shown.render)


def _candidates(
    name: str,
    settings: AnnotatorSettings,
    task: Task,
    pool: Sequence[Demonstration],
    say: Callable[[str], None],
) -> CandidateSelector | None:
    """Return what narrows a label set that is too large for a prompt, `None` where it is not."""
    if isinstance(task, CompoundTask) or not isinstance(task, NarrowableTask):
        if settings.candidates:
            raise SettingsError(f"annotator {name!r}: `candidates` narrow a label set; this task asks for none at once")
        return None
    wanted = _CANDIDATES if settings.candidates is None and len(task.labels) > _MANY_LABELS else settings.candidates
    if not wanted or len(task.labels) <= wanted:
        return None
    from postil.learn.candidates import (  # noqa: PLC0415 - numpy and onnxruntime
        SimilarLabels,
        candidate_embedder,
        label_texts,
    )

    task.narrowed(task.labels[:wanted])  # so that what cannot work is told before anything is asked
    embedder, note = candidate_embedder(label_texts(task))
    if note:
        say(f"annotator {name!r}: {note}")
    return SimilarLabels(task, wanted, embedder=embedder, demonstrations=pool)


def price_of(settings: AnnotatorSettings) -> Price | None:
    """Return the price in the settings, `None` if they give none."""
    price = settings.price
    return None if price is None else Price(price.input, price.output, price.cached, price.date, price.batch)


def concurrency(settings: AnnotatorSettings) -> int:
    """Return the most requests in flight."""
    return settings.concurrency or (2 * settings.slots if settings.engine.partition(":")[0] == "local" else 32)


def policy_of(settings: AnnotatorSettings) -> Policy:
    """Return how hard the runner tries."""
    return Policy(
        concurrency(settings),
        settings.attempts,
        requests_per_minute=settings.requests_per_minute,
        tokens_per_minute=settings.tokens_per_minute,
    )
