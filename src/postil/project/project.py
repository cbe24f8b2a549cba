"""A project: postil.toml + journal -> the whole flow. The only place where running and judging meet."""

import logging
import random
from collections.abc import Callable, Collection, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

from postil.errors import InputError, SettingsError, StoreError
from postil.project import gold, importing, running
from postil.project.annotators import Annotators, build_annotator, policy_of, price_of
from postil.project.bridge import run_sync
from postil.project.creating import Data, new_project
from postil.project.planning import Plan, plan
from postil.project.running import AnnotateResult, Lane, Preview, Scope, Terms
from postil.project.settings import DATABASE, FILE_NAME, parse_task, read_settings
from postil.project.verifying import Verification, Verifier
from postil.runner import Progress, PromptedAnnotator, Stoppable
from postil.runner.lost import OpenRequests
from postil.runner.policy import Lost
from postil.store import Journal
from postil.tasks import Task
from postil.types import JSON, Assessment, Budget, Engine, Estimate

if TYPE_CHECKING:  # numpy, scipy and more come with these
    from postil.project.exporting import Imported
    from postil.project.students import StudentResult

_SEED: Final = 20240221
_ADD: Final = f"add a table [annotators.NAME] with `engine = …` to {FILE_NAME}"
_log = logging.getLogger("postil")


@dataclass(frozen=True, slots=True)
class _Known:
    """An annotator as far as its annotations are concerned."""

    name: str
    id: str
    """Empty where it has never been at work and cannot be made."""
    built: PromptedAnnotator | None = None
    """`None` where it was imported, or cannot be made any more."""


class Project:
    """A folder with postil.toml, data files and a journal.

    Every verb of the command line is a method here; those that ask an engine have an async twin with an `a` before
    its name. What a user should know beside the result goes to the logger "postil".
    """

    def __init__(self, folder: str | Path = ".") -> None:
        """Open a project.

        Raises:
            SettingsError: there is no postil.toml, or it is wrong.
            TaskError: its task cannot work.
        """
        self.folder = Path(folder)
        self.settings, self.task = read_settings(self.folder)
        self.annotators = Annotators(self.folder, self.settings.annotators)

    @classmethod
    def create(
        cls,
        folder: str | Path,
        task: Task,
        *,
        items: str | Path,
        gold: str | Path | None = None,
        id_field: str | None = None,
        annotators: Mapping[str, Mapping[str, JSON]] | None = None,
        budget: Mapping[str, JSON] | None = None,
    ) -> Self:
        """Make a project in a folder and return it, with its data read and checked.

        `gold` is a field of the items, or a file of its own; `annotators` and `budget` are tables as postil.toml
        has them.

        Raises:
            InputError: the folder has a project already, or the data is wrong; then nothing is made.
        """
        data = Data(Path(items), gold, id_field)
        with new_project(Path(folder), task, data, annotators=annotators or {}, budget=budget or {}):
            project = cls(folder)
            try:
                project.sync()
            except BaseException:
                project.close()
                raise
        return project

    @classmethod
    def from_configuration(
        cls,
        folder: str | Path,
        configuration: str | Path,
        *,
        items: str | Path,
        format: str,  # noqa: A002  # its name everywhere
        part: str | None = None,
        annotator: str = "first",
    ) -> Self:
        """Make a project of another tool's configuration and return it, with its data read and checked.

        `format` is "autolabel" or "spacy-llm"; `part` says which of several tasks in it is meant. What could not be
        taken over goes to the logger "postil".

        Raises:
            InputError: the folder has a project already, or no project can be made of it; then nothing is made.
        """
        from postil.project.landing import landed, read_configuration  # noqa: PLC0415 - all formats of other tools

        found = read_configuration(Path(configuration), Path(items), format, part)
        task = parse_task(found.task, str(configuration))
        with landed(Path(folder), task, found, annotator=annotator):
            project = cls(folder)
            try:
                project.sync()
                gold.demonstration_pool(project.journal, project.folder, project.settings, project.task)
            except BaseException:
                project.close()
                raise
        for note in found.notes:
            _log.warning("%s: %s", configuration, note)
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

    def sync(self, *, reading: bool = False) -> importing.Sync | None:
        """Bring records and gold into the journal; `None` when the files have not changed.

        Raises:
            InputError: a file is wrong; nothing was changed.
        """
        found = importing.sync(self.journal, self.folder, self.settings, self.task, reading=reading)
        shows = any(self.annotators[name].shots for name in self.annotators)
        gold.give_roles(self.journal, self.task, self.settings, shows=shows)
        return found

    # Who

    def _name(self, name: str | None) -> str:
        """Return the name given if there is such an annotator; without one, the first of them.

        Raises:
            SettingsError: there is no such annotator, or none at all.
        """
        known = self._names
        if name in known:
            return name
        if name is None and known:
            return known[0]
        if name is None:
            raise SettingsError(f"{self.folder / FILE_NAME}: there is no annotator", hint=_ADD)
        raise SettingsError(f"no annotator {name!r}; there are {', '.join(map(repr, known)) or 'none'}", hint=_ADD)

    @property
    def _names(self) -> list[str]:
        """The annotators that can be asked, then those that the journal knows, the newest first."""
        # A journal is not made for this: a wrong name must leave no file behind.
        stored = self.journal.annotators() if (self.folder / DATABASE).exists() else []
        return list(dict.fromkeys([*self.annotators, *(name for _, name, _ in reversed(stored))]))

    def _asked(self, annotator: str | None, engine: str | Engine | None, options: Mapping[str, Any]) -> str:
        """Return the name of an annotator that can be asked, one of the settings or one described by arguments."""
        if engine is not None:
            return self.annotators.describe(annotator, engine, options)
        if options:
            raise SettingsError(f"expected `engine` beside {', '.join(map(repr, options))}")
        name = self._name(annotator)
        if name not in self.annotators:
            raise SettingsError(f"the annotator {name!r} is known by its annotations only", hint=_ADD)
        return name

    def _read(self, annotator: str | None) -> _Known:
        """Return an annotator for a verb that only reads what is there; it need not work as things stand.

        Raises:
            InputError: there is no such annotator, or data or settings are wrong.
        """
        name = self._name(annotator)
        self.sync(reading=True)
        stored = [id_ for id_, known, _ in self.journal.annotators() if known == name]
        if name not in self.annotators:
            return _Known(name, stored[-1])
        try:
            built = self._built(name, self.annotators.engine(name, with_key=False), say=_unsaid)
        except InputError as error:
            _log.warning("%s", error)
            return _Known(name, stored[-1] if stored else "")
        running.tell_changes(self.journal, built)
        return _Known(name, built.id, built)

    def _built(self, name: str, engine: Engine, say: Callable[[str], None] = _log.warning) -> PromptedAnnotator:
        pool = gold.demonstration_pool(self.journal, self.folder, self.settings, self.task)
        return build_annotator(name, self.annotators[name], self.task, engine, pool, say=say)

    # Verbs

    def annotate(
        self,
        annotator: str | None = None,
        *,
        engine: str | Engine | None = None,
        limit: int | None = None,
        budget: Budget | None = None,
        retry_failed: bool | Collection[str] = False,
        lost: Lost | None = None,
        decide: Callable[[OpenRequests], bool] | None = None,
        lane: Lane = "live",
        on_progress: Callable[[Progress], None] | None = None,
        on_start: Callable[[Stoppable], None] | None = None,
        **options: Any,
    ) -> AnnotateResult:
        """Give every pending record an outcome, or go on where an earlier run stopped.

        Either names an annotator of the settings, or describes one: `engine="local", shots=8`, with the keys of
        `[annotators.NAME]`. `budget` replaces the settings' budget.

        `retry_failed` asks anew about records that failed, or that failed in the classes named. `lost` says what
        becomes of requests of earlier runs whose fate is not known; with "ask", `decide` is asked whether they are
        sent again. `lane` "batch" hands requests over in files that the provider answers within a day, for less, and
        "submit" does not wait for them: the next run with "batch" collects.

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
                retry_failed=retry_failed,
                lost=lost,
                decide=decide,
                lane=lane,
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
        retry_failed: bool | Collection[str] = False,
        lost: Lost | None = None,
        decide: Callable[[OpenRequests], bool] | None = None,
        lane: Lane = "live",
        on_progress: Callable[[Progress], None] | None = None,
        on_start: Callable[[Stoppable], None] | None = None,
        **options: Any,
    ) -> AnnotateResult:
        """Do what `annotate` does, from async code."""
        name = self._asked(annotator, engine, options)
        settings = self.annotators[name]
        scope = Scope.checked(limit, retry_failed, lost or settings.lost, decide)
        # Said for this run, and not by a setting that was made for all of them.
        unlisted = "resend" if lost == "resend" else "hold"
        scope = replace(scope, lane=lane, batch_requests=settings.batch_requests, unlisted=unlisted)
        async with self.annotators.opened(name) as opened:
            terms = self._terms(name, opened, budget)
            self.sync()
            return await running.annotate(
                self.journal,
                self._built(name, opened),
                terms,
                scope,
                on_progress=on_progress,
                on_start=on_start,
            )

    def _terms(self, name: str, engine: Engine, budget: Budget | None = None) -> Terms:
        """Return budget, price and policy of an annotator; a fault in them is told before anything is changed."""
        settings = self.annotators[name]
        given = budget or self.settings.budget.budget()
        return Terms.checked(name, engine, given, price_of(settings), policy_of(settings))

    def preview(self, annotator: str | None = None, *, n: int = 5) -> list[Preview]:
        """Return what a few records come to: exact prompt, reply, answer. Their replies are kept and not paid again.

        Raises:
            InputError: settings or data are wrong.
            EngineError: no request can work.
        """
        return run_sync(self.apreview(annotator, n=n))

    async def apreview(self, annotator: str | None = None, *, n: int = 5) -> list[Preview]:
        """Do what `preview` does, from async code."""
        name = self._asked(annotator, None, {})
        async with self.annotators.opened(name) as opened:
            terms = self._terms(name, opened)
            self.sync()
            records = self.journal.some_records(self.journal.record_ids_by_digest(n))
            lost = self.annotators[name].lost
            return await running.preview(self.journal, self._built(name, opened), records, terms, lost)

    def plan(self, annotator: str | None = None, *, probe: int = 0) -> Plan:
        """Return what labelling the pending records takes; spends nothing unless `probe` asks for that many labels.

        Raises:
            InputError: settings or data are wrong.
            EngineError: the probe shows that no request can work.
        """
        return run_sync(self.aplan(annotator, probe=probe))

    async def aplan(self, annotator: str | None = None, *, probe: int = 0) -> Plan:
        """Do what `plan` does, from async code."""
        name = self._asked(annotator, None, {})
        if probe:
            probed = await self.aannotate(name, limit=probe)
            if probed.error is not None:
                raise probed.error
            if probed.stopped:
                _log.warning("the probe stopped before its end: %s", probed.stopped)
        async with self.annotators.opened(name, with_key=False) as opened:
            self.sync()
            built = self._built(name, opened, say=_unsaid)
            quality = self._quality(name) if gold.measuring_gold(self.journal) else None
            price = price_of(self.annotators[name])
            return plan(self.journal, built, price, quality=quality, rng=random.Random(_SEED))

    def _quality(self, name: str) -> tuple[str, Estimate] | None:
        """Return how good an annotator's annotations are so far: the figure that stands for the whole, by its name."""
        from postil.assess.headline import headline_metric  # noqa: PLC0415 - numpy and scipy

        found = self.assess(name)
        metric = headline_metric(found)
        return None if metric is None else (metric, found.metrics[metric])

    def status(self, annotator: str | None = None) -> dict[str, JSON]:
        """Return records by state, money, gold by role, open intents, and what stopped the last run that ended.

        Raises:
            InputError: settings or data are wrong.
        """
        known = self._read(annotator) if annotator is not None or self._names else None
        if known is None:
            self.sync(reading=True)
        counts = running.tally(self.journal, known.id if known else "")
        ended = self.journal.latest_event("run_end", known.id) if known else None
        return {
            "records": counts.records,
            "labelled": counts.labelled,
            "abstained": counts.abstained,
            "failed": counts.failed,
            "pending": counts.pending,
            "failures": dict(counts.failures),
            "open_intents": self.journal.open_intents(),
            "usd": self.journal.spending().usd,
            "unseen_usd": self.journal.unseen().usd,
            "gold": gold.count_roles(self.journal),
            "annotator": known.name if known else None,
            "stopped": ended["stopped"] if ended else None,
        }

    def assess(self, annotator: str | None = None) -> Assessment:
        """Return every figure that the task's kind has, on gold that was never shown in a prompt.

        Raises:
            InputError: settings or data are wrong.
        """
        from postil.project.assessing import assess_annotator  # noqa: PLC0415 - numpy and scipy

        known = self._read(annotator)
        candidates = known.built.candidates if known.built else None
        return assess_annotator(self.journal, self.task, known.id, name=known.name, candidates=candidates)

    def report(self, path: str | Path, annotator: str | None = None) -> str:
        """Write the HTML report of an annotator, beside it its newest student, and return its headline.

        Raises:
            InputError: settings or data are wrong, or an extra is missing.
        """
        from postil.project.reporting import write_report  # noqa: PLC0415 - numpy, scipy and altair

        known = self._read(annotator)
        price = price_of(self.annotators[known.name]) if known.built else None
        return write_report(self.journal, self.task, known.id, known.name, known.built, price, Path(path))

    def learn(self, what: str = "student", annotator: str | None = None, *, name: str | None = None) -> "StudentResult":
        """Train a student on an annotator's annotations, save it under `students/`, and measure both.

        Raises:
            InputError: there is too little to learn from, or an extra is missing.
        """
        from postil.project.students import learn_student, student_folder  # noqa: PLC0415 - numpy and scipy

        if what != "student":
            raise SettingsError(f"expected something that can be learned: 'student', got {what!r}")
        path = student_folder(self.folder, self._name(annotator) if name is None else name)
        teacher = self._read(annotator)
        return learn_student(self.journal, self.task, teacher.id, teacher.name, path)

    def export(self, path: str | Path, annotator: str | None = None, *, format: str | None = None) -> int:  # noqa: A002
        """Write one line a record and return how many; the path "-" is standard output.

        Raises:
            InputError: the format or the path cannot be written.
        """
        known = self._read(annotator)
        from postil.project.exporting import write_export  # noqa: PLC0415 - all formats of other tools

        return write_export(self.journal, self.task, known.id, known.name, path=path, format=format)

    def import_(
        self,
        path: str | Path,
        *,
        annotator: str,
        format: str | None = None,  # noqa: A002
        by: str | None = None,
    ) -> "Imported":
        """Add annotations made elsewhere under an annotator's name and return what was new, replaced and unchanged.

        `format` may be that of another tool; `by` then says whose answers are meant, where there are those of several.

        Raises:
            InputError: the file is wrong, or the name is one of the settings' annotators; nothing is added.
        """
        if annotator in self.annotators:
            raise SettingsError(f"the name {annotator!r} is taken by an annotator of the settings")
        self.sync()
        from postil.project.exporting import import_annotations  # noqa: PLC0415 - all formats of other tools

        return import_annotations(self.journal, self.task, Path(path), annotator=annotator, format=format, by=by)

    def verify(self) -> Verification:
        """Derive every label and cost again from the journal, offline, and return what is right and what is not.

        Raises:
            StoreError: there is no journal, or it cannot be read.
        """
        database = self.folder / DATABASE
        if not database.exists():
            # Opening it would make a new one, in which all is right.
            raise StoreError(f"{database} is not there: there is nothing to verify", hint="restore it from a copy")
        return run_sync(self._verified())

    async def _verified(self) -> Verification:
        known: dict[str, PromptedAnnotator] = {}
        problems: list[str] = []
        async with AsyncExitStack() as stack:
            for name in self.annotators:
                try:
                    opened = await stack.enter_async_context(self.annotators.opened(name, with_key=False))
                    built = self._built(name, opened, say=_unsaid)
                    known[built.id] = built
                except InputError as error:
                    _log.warning("not rendered again: %s", error)
                except StoreError as error:
                    # What it shows stands in the journal, and is no longer what was written.
                    problems.append(f"annotator {name!r}: cannot be made again: {error}")
            return Verifier(self.journal, known, problems).verify()


def _unsaid(_: str) -> None:
    """Say nothing: for what will not be asked, notes about asking are noise."""
