"""Students: small models of one's own that learned from an annotator and answer for nothing (survey 0.09, 3.10)."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, ValidationError

from postil.canonical import digest
from postil.errors import DataError, PostilError, RecordRejected, RunFatal, SettingsRejected
from postil.learn.archive import array_digest, read_archive, write_archive
from postil.learn.embeddings import Embedder, load_embedder
from postil.learn.regression import fit, softmax
from postil.learn.texts import beginning
from postil.tasks.reading import fold
from postil.types import JSON, Capabilities, Completion, Message, Request, Usage

__all__ = ["Student", "StudentEngine", "train_student"]

_NAME: Final = "student"
_FORMAT: Final = 1
_AT_ONCE: Final = 512
"""Texts embedded at a time, so that a hundred thousand of them need no more memory than these."""
_GATHERING_SECONDS: Final = 0.002
"""How long an idle engine waits for more requests to answer together."""


@dataclass(frozen=True, eq=False)
class Student:
    """Logistic regression on the embedding of a text."""

    labels: tuple[str, ...]
    weights: npt.NDArray[np.float32]
    """One row a dimension of the embedding, one column a label."""
    bias: npt.NDArray[np.float32]
    """One number a label; minus infinity for a label that no target had."""
    embedder: Embedder
    trained_on: int
    """Texts that it learned from."""
    seed: int
    strength: float
    """C, the weight of the texts against the penalty on large weights, as cross-validation chose it."""
    task_version: str = ""
    """Digest of the task's spec."""
    teacher: str = ""
    """Id of the annotator that it learned from."""
    trained_at: str = ""
    notes: tuple[str, ...] = ()
    """What a user of it must know."""

    @cached_property
    def digest(self) -> str:
        """The digest of all that can change its answers."""
        return digest([self.labels, self.embedder.identity, array_digest(self.weights), array_digest(self.bias)])

    def predict_probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        """Return one row a text, one column a label in the order of `labels`; rows sum to 1."""
        rows = [self._probabilities(texts[at : at + _AT_ONCE]) for at in range(0, len(texts), _AT_ONCE)]
        return np.vstack(rows) if rows else np.zeros((0, len(self.labels)))

    def save(self, path: Path) -> None:
        """Write it as data into a folder: `student.json` and one file of arrays beside it.

        Raises:
            DataError: the folder cannot be written.
        """
        arrays = {"weights": self.weights, "bias": self.bias}
        learned = {f"embedder.{key}": array for key, array in self.embedder.arrays.items()}
        write_archive(path, _NAME, self._described(), arrays | learned)

    @classmethod
    def load(cls, path: Path, *, embedder: Embedder | None = None) -> "Student":
        """Return the student saved in a folder; an embedder that is not Postil's own must be given again.

        Raises:
            DataError: a file is missing or damaged, or the embedder is not the one it was trained with.
            MissingExtraError: its embedder needs a part of Postil that is not installed.
        """
        described, arrays = read_archive(path, _NAME)
        try:
            saved = _Saved.model_validate(described)
        except ValidationError as error:
            raise DataError(f"{str(path / 'student.json')!r} is no student: {error}") from error
        embedder = _same_embedder(saved.embedder, embedder, arrays)
        weights, bias = arrays.get("weights"), arrays.get("bias")
        if weights is None or bias is None or bias.shape != (len(saved.labels),) or weights.shape[1:] != bias.shape:
            raise DataError(f"the arrays in {str(path)!r} do not fit the {len(saved.labels)} labels in student.json")
        fields = saved.model_dump(exclude={"format", "embedder"})
        return cls(weights=weights, bias=bias, embedder=embedder, **fields)

    def _probabilities(self, texts: Sequence[str]) -> npt.NDArray[np.float64]:
        # One product a text: a matrix product may round a row otherwise as its neighbours change.
        scores = np.stack([row @ self.weights for row in self.embedder.embed(texts)]) + self.bias
        return softmax(scores.astype(np.float64))

    def _described(self) -> dict[str, JSON]:
        return {
            "format": _FORMAT,
            "labels": self.labels,
            "embedder": self.embedder.identity,
            "trained_on": self.trained_on,
            "seed": self.seed,
            "strength": self.strength,
            "task_version": self.task_version,
            "teacher": self.teacher,
            "trained_at": self.trained_at,
            "notes": self.notes,
        }


class _Saved(BaseModel):
    """`student.json`: people and programs may have had their hands in it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal[1]
    labels: tuple[str, ...]
    embedder: dict[str, Any]
    trained_on: int
    seed: int
    strength: float
    task_version: str
    teacher: str
    trained_at: str
    notes: tuple[str, ...]


def train_student(
    texts: Sequence[str],
    targets: Sequence[Mapping[str, float]],
    *,
    labels: Sequence[str],
    embedder: Embedder,
    seed: int,
    weights: Sequence[float] | None = None,
    task_version: str = "",
    teacher: str = "",
    trained_at: str = "",
) -> Student:
    """Return a student of these annotations (survey 0.11, 0.12, 3.10).

    Targets are distributions over labels: the teacher's probabilities, or all on one label where it gave none. What
    they put on other names, such as abstaining, is left out. `weights` says how much each text counts, 1 if left out.
    How strongly the student is held back is chosen on the annotations alone, so no gold is spent.

    Raises:
        DataError: there is nothing to learn: no texts, one label only, a target or weight that is none.
        MissingExtraError: scipy is not installed.
    """
    distributions = _distributions(texts, targets, tuple(labels))
    seen = distributions.sum(axis=0) > 0
    if seen.sum() < 2:
        only = ", ".join(repr(label) for label, has in zip(labels, seen, strict=True) if has)
        raise DataError(
            f"a student needs at least two labels to tell apart; all {len(texts)} annotations say {only}",
            hint="annotate more records, or look at why the annotator always gives the same answer",
        )
    mass = _mass(texts, weights)
    found = fit(
        embedder.embed(texts),
        distributions[:, seen] * mass[:, None],
        groups=_groups(texts),
        rng=np.random.default_rng(seed),
    )
    coefficients = found.coefficients
    whole = np.zeros((len(coefficients.weights), len(labels)), np.float32)
    whole[:, seen] = coefficients.weights
    bias = np.full(len(labels), -np.inf, np.float32)
    bias[seen] = coefficients.bias
    return Student(
        tuple(labels), whole, bias, embedder, len(texts), seed, found.strength,
        task_version, teacher, trained_at, _notes(labels, distributions),
    )  # fmt: skip


def _distributions(
    texts: Sequence[str], targets: Sequence[Mapping[str, float]], labels: Sequence[str]
) -> npt.NDArray[np.float64]:
    if not texts or len(texts) != len(targets):
        raise DataError(f"expected as many targets as texts, and at least one; got {len(targets)} for {len(texts)}")
    given = np.array([[target.get(label, 0.0) for label in labels] for target in targets], np.float64)
    for at in np.flatnonzero(~(np.isfinite(given).all(axis=1) & (given >= 0).all(axis=1) & (given.sum(axis=1) > 0))):
        raise DataError(
            f"target {at}: expected probabilities over {', '.join(map(repr, labels))}, got {dict(targets[int(at)])!r}"
        )
    return given / given.sum(axis=1, keepdims=True)


def _mass(texts: Sequence[str], weights: Sequence[float] | None) -> npt.NDArray[np.float64]:
    mass = np.ones(len(texts)) if weights is None else np.asarray(weights, np.float64)
    if mass.shape != (len(texts),) or not np.isfinite(mass).all() or not (mass > 0).all():
        raise DataError(f"expected {len(texts)} weights above 0, got {mass.size} from {mass.min(initial=np.inf)} on")
    return mass


def _groups(texts: Sequence[str]) -> npt.NDArray[np.int64]:
    """Return the same number for texts that are equal but for case, width and marks around them."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(fold(beginning(text)), len(numbers)) for text in texts], np.int64)


def _notes(labels: Sequence[str], distributions: npt.NDArray[np.float64]) -> tuple[str, ...]:
    missing = [label for label, mass in zip(labels, distributions.sum(axis=0), strict=True) if mass == 0]
    notes: list[str] = []
    if missing:
        notes.append(f"the student never answers {', '.join(map(repr, missing))}: no annotation that it saw does")
    likeliest = {labels[at] for at in distributions.argmax(axis=1).tolist()}
    if len(likeliest) == 1:
        notes.append(f"every annotation that the student saw says {likeliest.pop()!r}, more or less surely")
    return tuple(notes)


def _same_embedder(
    identity: Mapping[str, JSON], given: Embedder | None, arrays: Mapping[str, npt.NDArray[Any]]
) -> Embedder:
    if given is None:
        prefix = "embedder."
        own = {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}
        return load_embedder(identity, own)
    if digest(given.identity) != digest(identity):
        raise DataError(f"the student was trained with the embedder {dict(identity)!r}, got {dict(given.identity)!r}")
    return given


class StudentEngine:
    """A student as an engine: reads the bare record, scores every label, costs nothing, asks nobody.

    Requests that wait at the same time are answered together, in a thread of their own.
    """

    def __init__(self, student: Student) -> None:
        """Take the student."""
        self._student = student
        self._waiting: list[_Waiting] = []
        self._worker: asyncio.Task[None] | None = None

    @property
    def identity(self) -> Mapping[str, JSON]:
        """The digest of the student."""
        return {"engine": "student", "student": self._student.digest}

    @property
    def capabilities(self) -> Capabilities:
        """Probabilities of its labels for a bare record."""
        return Capabilities(scores="sequence", reads="record", free=True)

    async def complete(self, request: Request) -> Completion:
        """Return the most probable choice, and the probability of each; 0 for one that the student never saw.

        Raises:
            SettingsRejected: the student knows a label that is not among the choices: it learned another task.
            RecordRejected: no message holds a record.
        """
        choices = request.choices or self._student.labels
        if unknown := set(self._student.labels) - set(choices):
            raise SettingsRejected(
                f"the student answers {', '.join(map(repr, sorted(unknown)))}, the task allows {', '.join(choices)}",
                hint="train a student of this task: postil learn student",
            )
        waiting = _Waiting(_record_text(request), asyncio.get_running_loop().create_future())
        self._join(waiting)
        odds = dict(zip(self._student.labels, (await waiting.answer).tolist(), strict=True))
        probabilities = tuple(odds.get(choice, 0.0) for choice in choices)
        return Completion(
            text=choices[probabilities.index(max(probabilities))],
            finish="stop",
            usage=Usage(0, 0),
            model=f"student {self._student.digest}",
            choice_probabilities=probabilities if request.choices else None,
        )

    def count_tokens(self, messages: Sequence[Message]) -> int:
        """Return the number of characters: a student has no tokens and no limit."""
        return sum(len(message.content) for message in messages)

    async def aclose(self) -> None:
        """Call off what is waiting."""
        if self._worker is not None and self._worker.get_loop() is asyncio.get_running_loop():
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)
        for one in self._waiting:
            one.answer.cancel()
        self._waiting = []

    def _join(self, waiting: "_Waiting") -> None:
        loop = asyncio.get_running_loop()
        if self._worker is None or self._worker.done() or self._worker.get_loop() is not loop:
            # Whatever waits without a worker was left behind by an event loop that is no more.
            self._waiting = []
            self._worker = loop.create_task(self._work())
        self._waiting.append(waiting)

    async def _work(self) -> None:
        while self._waiting:
            await asyncio.sleep(_GATHERING_SECONDS)
            batch, self._waiting = self._waiting[:_AT_ONCE], self._waiting[_AT_ONCE:]
            await self._answer([one for one in batch if not one.answer.done()])

    async def _answer(self, batch: "Sequence[_Waiting]") -> None:
        try:
            rows = await asyncio.to_thread(self._student.predict_probabilities, [one.text for one in batch])
            for one, row in zip(batch, rows, strict=True):
                if not one.answer.done():
                    one.answer.set_result(row)
        except Exception as error:
            fatal = error if isinstance(error, PostilError) else RunFatal(f"the student cannot answer: {error}")
            for one in batch:
                if not one.answer.done():
                    one.answer.set_exception(fatal)
        finally:
            for one in batch:
                one.answer.cancel()


@dataclass(frozen=True, slots=True)
class _Waiting:
    text: str
    answer: "asyncio.Future[npt.NDArray[np.float64]]"


def _record_text(request: Request) -> str:
    for message in reversed(request.messages):
        if message.role == "user":
            return message.content
    raise RecordRejected("expected a message with the record, got none of the user's")
