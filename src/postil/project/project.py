"""A project: postil.toml + journal -> the whole flow. The only place where running and judging meet."""

import os
import random
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from postil.errors import SettingsError
from postil.project import importing, running
from postil.project.annotators import build_annotator, build_engine, policy_of, price_of
from postil.project.bridge import run_sync
from postil.project.exporting import import_annotations, write_export
from postil.project.running import AnnotateResult, Plan, Preview
from postil.project.settings import FILE_NAME, AnnotatorSettings, parse_settings, read_settings
from postil.project.toml_writing import toml
from postil.project.verifying import Verification, Verifier
from postil.runner import Progress, PromptedAnnotator, Runner
from postil.store import Journal
from postil.tasks import Task
from postil.types import JSON, Assessment, Budget, Engine

if TYPE_CHECKING:  # numpy, scipy and more come with these
    from postil.project.students import StudentResult

DATABASE: Final = "postil.db"
_UNNAMED: Final = "default"
_SEED: Final = 20240221


class Project:
    """A folder with postil.toml, data files and a journal.

    Every verb of the command line is a method here; those that ask an engine have an async twin with an `a` before
    its name.
    """

    def __init__(self, folder: str | Path = ".") -> None:
        """Open a project.

        Raises:
            SettingsError: there is no postil.toml, or it is wrong.
            TaskError: its task cannot work.
            StoreError: the journal cannot be opened.
        """
        self.folder = Path(folder)
        self.settings = read_settings(self.folder)
        self.task: Task = self.settings.the_task()
        self._unnamed: tuple[AnnotatorSettings, Engine | None] | None = None

    @classmethod
    def create(
        cls,
        folder: str | Path,
        task: Task,
        *,
        items: str | Path,
        gold: str | None = None,
        id_field: str | None = None,
        annotators: Mapping[str, Mapping[str, JSON]] | None = None,
        budget: Mapping[str, JSON] | None = None,
    ) -> Self:
        """Make a project in a folder and return it, with its data read and checked.

        Raises:
            InputError: the folder has a project already, or the data is wrong; then nothing is made.
        """
        folder = Path(folder)
        if (folder / FILE_NAME).exists():
            raise SettingsError(f"{folder / FILE_NAME}: there is a project already", hint="choose another folder")
        data = {"items": _relative(Path(items), folder), "gold": gold, "id": id_field}
        if gold is not None and Path(gold).is_file():
            data["gold"] = _relative(Path(gold), folder)
        tables: dict[str, Mapping[str, JSON]] = {"task": _without_defaults(task), "data": data}
        tables |= {f"annotators.{name}": dict(settings) for name, settings in (annotators or {}).items()}
        if budget:
            tables["budget"] = budget
        text = toml(tables)
        made = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / FILE_NAME).write_text(text, encoding="utf-8")
        try:
            project = cls(folder)
            project.sync()
        except BaseException:
            for name in (FILE_NAME, DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm"):
                (folder / name).unlink(missing_ok=True)
            if made:
                folder.rmdir()
            raise
        return project

    @cached_property
    def journal(self) -> Journal:
        """The project's journal."""
        return Journal(self.folder / DATABASE)

    def close(self) -> None:
        """Let go of the journal; the project opens it again when it is needed."""
        if "journal" in self.__dict__:
            self.journal.close()
            del self.__dict__["journal"]

    def __enter__(self) -> Self:
        """Return the project."""
        return self

    def __exit__(self, *exception: object) -> None:
        """Close the journal."""
        self.close()

    def sync(self) -> importing.Sync | None:
        """Bring records and gold into the journal; `None` when the files have not changed.

        Raises:
            InputError: a file is wrong; nothing was changed.
        """
        found = importing.sync(self.journal, self.folder, self.settings, self.task)
        importing.give_roles(self.journal, self.task, demonstration_share=self._demonstration_share)
        return found

    @property
    def _demonstration_share(self) -> float:
        """No gold is set aside for prompts if no annotator shows any."""
        shown = any(settings.shots for settings in self._all_settings.values())
        return self.settings.gold.demonstration_share if shown and not self.settings.data.demonstrations else 0.0

    # Annotators

    @property
    def _all_settings(self) -> Mapping[str, AnnotatorSettings]:
        unnamed = {} if self._unnamed is None else {_UNNAMED: self._unnamed[0]}
        return {**unnamed, **self.settings.annotators}

    def annotator_name(self, name: str | None = None) -> str:
        """Return the name given if there is such an annotator; without one, the first of the settings.

        Raises:
            SettingsError: there is no such annotator, or none at all.
        """
        known = list(self._all_settings)
        if name is None and known:
            return known[0]
        if name not in known:
            raise SettingsError(
                f"no annotator {name!r}; there are {', '.join(map(repr, known)) or 'none'}"
                if name
                else f"{self.folder / FILE_NAME}: there is no annotator",
                hint="add a table [annotators.NAME] with `engine = …`",
            )
        return name

    def _annotator(self, name: str, *, with_key: bool = True) -> PromptedAnnotator:
        settings = self._all_settings[name]
        given = self._unnamed[1] if name == _UNNAMED and self._unnamed else None
        engine = given or build_engine(name, settings, self.folder, with_key=with_key)
        pool = importing.demonstration_pool(self.journal, self.folder, self.settings, self.task)
        return build_annotator(name, settings, self.task, engine, pool)

    @asynccontextmanager
    async def _opened(self, name: str) -> AsyncGenerator[PromptedAnnotator, None]:
        annotator = self._annotator(name)
        given = self._unnamed[1] if self._unnamed else None
        try:
            yield annotator
        finally:
            if annotator.engine is not given:
                await annotator.engine.aclose()

    def annotator_id(self, name: str) -> str:
        """Return the id of an annotator of the settings, or of the newest imported one of that name.

        Raises:
            SettingsError: there is no such annotator.
        """
        if name in self._all_settings:
            return self._annotator(name, with_key=False).id
        imported = [id_ for id_, known, spec in self.journal.annotators() if known == name and "source" in spec]
        if imported:
            return imported[-1]
        return self.annotator_name(name)

    def _chosen(self, annotator: str | None, engine: str | Engine | None, options: Mapping[str, Any]) -> str:
        """Return the name of an annotator, having noted the one that was described by arguments."""
        if engine is None:
            if options:
                raise SettingsError(f"expected `engine` beside {', '.join(options)}")
            return self.annotator_name(annotator)
        named = engine if isinstance(engine, str) else "scripted"
        table = {"engine": named, **options}
        values = self.settings.model_dump(by_alias=True, exclude_unset=True) | {"annotators": {_UNNAMED: table}}
        settings = parse_settings(values, "annotate()").annotators[_UNNAMED]
        self._unnamed = (settings, None if isinstance(engine, str) else engine)
        return _UNNAMED

    # Verbs

    def annotate(
        self,
        annotator: str | None = None,
        *,
        engine: str | Engine | None = None,
        limit: int | None = None,
        budget: Budget | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_start: Callable[[Runner], None] | None = None,
        **options: Any,
    ) -> AnnotateResult:
        """Give every pending record an outcome, or go on where an earlier run stopped.

        Either names an annotator of the settings, or describes one: `engine="local", shots=8`, with the keys of
        `[annotators.NAME]`. `budget` replaces the settings' budget.

        Raises:
            InputError: settings or data are wrong; nothing was spent.
            StoreError: the journal cannot be written; what it has acknowledged is safe.
        """
        return run_sync(
            self.aannotate(
                annotator,
                engine=engine,
                limit=limit,
                budget=budget,
                on_progress=on_progress,
                on_start=on_start,
                **options,
            )
        )

    async def aannotate(
        self,
        annotator: str | None = None,
        *,
        engine: str | Engine | None = None,
        limit: int | None = None,
        budget: Budget | None = None,
        on_progress: Callable[[Progress], None] | None = None,
        on_start: Callable[[Runner], None] | None = None,
        **options: Any,
    ) -> AnnotateResult:
        """Do what `annotate` does, from async code."""
        name = self._chosen(annotator, engine, options)
        self.sync()
        settings = self._all_settings[name]
        async with self._opened(name) as built:
            return await running.annotate(
                self.journal,
                built,
                budget=budget or self.settings.budget.budget(),
                price=price_of(settings),
                policy=policy_of(settings),
                limit=limit,
                on_progress=on_progress,
                on_start=on_start,
            )

    def preview(self, annotator: str | None = None, *, n: int = 5) -> list[Preview]:
        """Return what a few records come to: exact prompt, reply, answer. Their replies are kept and not paid again.

        Raises:
            InputError: settings or data are wrong.
            EngineError: the engine answers nothing.
        """
        return run_sync(self.apreview(annotator, n=n))

    async def apreview(self, annotator: str | None = None, *, n: int = 5) -> list[Preview]:
        """Do what `preview` does, from async code."""
        name = self.annotator_name(annotator)
        self.sync()
        async with self._opened(name) as built:
            ids = self.journal.record_ids_by_digest(n)
            settings = self._all_settings[name]
            return await running.preview(
                self.journal,
                built,
                self.journal.some_records(ids),
                budget=self.settings.budget.budget(),
                price=price_of(settings),
                policy=policy_of(settings),
            )

    def plan(self, annotator: str | None = None, *, probe: int = 0) -> Plan:
        """Return what labelling the pending records takes; spends nothing unless `probe` asks for that many labels.

        Raises:
            InputError: settings or data are wrong.
        """
        name = self.annotator_name(annotator)
        self.sync()
        if probe:
            self.annotate(name, limit=probe)
        built = self._annotator(name, with_key=False)
        assessment = self.assess(name) if importing.measuring_gold(self.journal) else None
        accuracy = assessment.metrics.get("accuracy") or assessment.metrics.get("mae") if assessment else None
        price = price_of(self._all_settings[name])
        try:
            return running.plan(self.journal, built, price, accuracy=accuracy, rng=random.Random(_SEED))
        finally:
            run_sync(built.engine.aclose())

    def status(self, annotator: str | None = None) -> dict[str, JSON]:
        """Return records by state, money, gold by role and open intents.

        Raises:
            InputError: settings or data are wrong.
        """
        self.sync()
        known = bool(self._all_settings) or annotator is not None
        name = self.annotator_name(annotator) if known and annotator in (None, *self._all_settings) else annotator
        counts = running.tally(self.journal, self.annotator_id(name) if name else "")
        roles: dict[str, int] = {}
        for held in self.journal.gold_roles().values():
            for role in held:
                roles[role] = roles.get(role, 0) + 1
        return {
            "records": counts.records,
            "labelled": counts.labelled,
            "abstained": counts.abstained,
            "failed": counts.failed,
            "pending": counts.pending,
            "failures": dict(counts.failures),
            "open_intents": self.journal.open_intents(),
            "usd": self.journal.spending().usd,
            "gold": roles,
            "annotator": name,
        }

    def assess(self, annotator: str | None = None) -> Assessment:
        """Return every figure that the task's kind has, on gold that was never shown in a prompt.

        Raises:
            InputError: settings or data are wrong.
        """
        from postil.project.assessing import assess_annotator  # noqa: PLC0415 - numpy and scipy

        self.sync()
        name = annotator if annotator is not None else self.annotator_name()
        return assess_annotator(self.journal, self.task, self.annotator_id(name), name=name)

    def report(self, path: str | Path, annotator: str | None = None) -> str:
        """Write the HTML report of an annotator, beside it its newest student, and return its headline.

        Raises:
            InputError: settings or data are wrong, or an extra is missing.
        """
        from postil.project.reporting import write_report  # noqa: PLC0415 - numpy, scipy and altair

        self.sync()
        name = annotator if annotator is not None else self.annotator_name()
        settings = self._all_settings.get(name)
        built = self._annotator(name, with_key=False) if settings else None
        price = price_of(settings) if settings else None
        id_ = built.id if built else self.annotator_id(name)
        return write_report(self.journal, self.task, id_, name, built, price, Path(path))

    def learn(self, what: str = "student", annotator: str | None = None, *, name: str | None = None) -> "StudentResult":
        """Train a student on an annotator's annotations, save it under `students/`, and measure both.

        Raises:
            InputError: there is too little to learn from, or an extra is missing.
        """
        from postil.project.students import learn_student  # noqa: PLC0415 - numpy, scipy and scikit-learn

        if what != "student":
            raise SettingsError(f"expected something that can be learned: 'student', got {what!r}")
        self.sync()
        teacher = self.annotator_name(annotator)
        path = self.folder / "students" / (name or teacher)
        return learn_student(self.journal, self._annotator(teacher, with_key=False), path)

    def export(self, path: str | Path, annotator: str | None = None, *, format: str | None = None) -> int:  # noqa: A002
        """Write one line a record and return how many; the path "-" is standard output.

        Raises:
            InputError: the format or the path cannot be written.
        """
        self.sync()
        name = annotator if annotator is not None else self.annotator_name()
        return write_export(self.journal, self.annotator_id(name), name, path=path, format=format)

    def import_(self, path: str | Path, *, annotator: str, format: str | None = None) -> int:  # noqa: A002
        """Add annotations made elsewhere under an annotator's name and return how many.

        Raises:
            InputError: the file is wrong, or the name is one of the settings' annotators; nothing is added.
        """
        if annotator in self._all_settings:
            raise SettingsError(f"the name {annotator!r} is taken by an annotator of the settings")
        self.sync()
        return import_annotations(self.journal, self.task, Path(path), annotator=annotator, format=format)

    def verify(self) -> Verification:
        """Derive every label and cost again from the journal, offline, and return what is right and what is not."""
        known: dict[str, PromptedAnnotator] = {}
        for name in self._all_settings:
            built = self._annotator(name, with_key=False)
            known[built.id] = built
        try:
            return Verifier(self.journal, known).verify()
        finally:
            for built in known.values():
                run_sync(built.engine.aclose())


def _relative(path: Path, folder: Path) -> str:
    """Return a path as the project's file should have it: from the folder if both are on one disk."""
    try:
        return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
    except ValueError:
        return str(path.resolve())


def _without_defaults(task: Task) -> Mapping[str, JSON]:
    """Return a task's spec as a person would write it: without what is empty."""
    spec = dict(task.spec)
    labels = spec.get("labels")
    if isinstance(labels, dict) and not any(labels.values()):
        spec["labels"] = list(labels)
    return {key: value for key, value in spec.items() if value not in (None, False, {}, [])}
