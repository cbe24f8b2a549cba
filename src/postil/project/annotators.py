"""From `[annotators.NAME]` to an annotator: the engine, the demonstrations, the prompt."""

import os
from collections.abc import Sequence
from pathlib import Path

from postil.engines.local import LocalEngine
from postil.engines.openai import OpenAIEngine
from postil.errors import SettingsError
from postil.project.settings import AnnotatorSettings
from postil.prompts import Prompt
from postil.runner import Policy, Price, PromptedAnnotator, Sampling
from postil.tasks import Task
from postil.tasks.shown import Shown
from postil.types import Demonstration, DemonstrationSelector, Engine


def build_engine(name: str, settings: AnnotatorSettings, folder: Path, *, with_key: bool = True) -> Engine:
    """Return the engine that an annotator's settings name. Nothing is sent or loaded yet.

    `with_key=False` is for work that sends nothing: no key is looked for.

    Raises:
        SettingsError: the settings cannot work.
        MissingExtraError: the engine needs an extra that is not installed.
    """
    kind, _, path = settings.engine.partition(":")
    if kind == "local":
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
        return _openai(name, settings, with_key=with_key)
    raise SettingsError(
        f'annotator {name!r}: `engine` must be "local", "local:PATH.gguf", "openai" or "student:PATH",'
        f" got {settings.engine!r}"
    )


def _openai(name: str, settings: AnnotatorSettings, *, with_key: bool) -> OpenAIEngine:
    if settings.base_url is None or settings.model is None:
        missing = "base_url" if settings.base_url is None else "model"
        raise SettingsError(f"annotator {name!r}: the engine openai needs `{missing}`")
    key = None
    if settings.api_key_env is not None and with_key:
        key = os.environ.get(settings.api_key_env)
        if not key:
            raise SettingsError(
                f"annotator {name!r}: the environment variable {settings.api_key_env!r} holds no key",
                hint=f"export {settings.api_key_env}=…",
            )
    return OpenAIEngine(
        base_url=settings.base_url,
        model=settings.model,
        api_key=key,
        concurrency=concurrency(settings),
        attempt_seconds=settings.attempt_seconds,
        log_probs=settings.log_probs,
        schema=settings.schema_,
        context_tokens=settings.context_tokens,
        extra=settings.extra,
        token_parameter=settings.token_parameter,
    )


def build_annotator(
    name: str, settings: AnnotatorSettings, task: Task, engine: Engine, pool: Sequence[Demonstration]
) -> PromptedAnnotator:
    """Return the annotator of these settings.

    Raises:
        SettingsError: it wants demonstrations and there are none.
    """
    capabilities = engine.capabilities
    prompt = Prompt.for_engine(task, capabilities, settings.template)
    selector = None
    if settings.shots and capabilities.reads != "record":
        selector = _selector(name, settings, task, pool)
    scored = capabilities.scores != "none" and bool(prompt.form.choices) and capabilities.reads != "record"
    return PromptedAnnotator(
        name,
        task,
        engine,
        prompt,
        selector,
        Sampling(settings.temperature, settings.seed, settings.max_tokens),
        settings.calibrate if scored else "none",
    )


def _selector(
    name: str, settings: AnnotatorSettings, task: Task, pool: Sequence[Demonstration]
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
    if settings.demonstrations == "fixed":
        return FixedDemonstrations(pool[: settings.shots])
    if settings.demonstrations == "random":
        return RandomDemonstrations(pool, settings.shots, seed=settings.seed or 0, task=task)
    shown = Shown.parse(task.show)
    embedder, _ = default_embedder([shown.render(demonstration.record) for demonstration in pool])
    return SimilarDemonstrations(pool, settings.shots, embedder=embedder, task=task, show=shown.render)


def price_of(settings: AnnotatorSettings) -> Price | None:
    """Return the price in the settings, `None` if they give none."""
    price = settings.price
    return None if price is None else Price(price.input, price.output, price.cached, price.date)


def concurrency(settings: AnnotatorSettings) -> int:
    """Return the most requests in flight."""
    return settings.concurrency or (32 if settings.engine == "openai" else 2 * settings.slots)


def policy_of(settings: AnnotatorSettings) -> Policy:
    """Return how hard the runner tries."""
    return Policy(concurrency(settings), settings.attempts)
