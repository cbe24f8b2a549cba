"""Which solved records a prompt shows: fixed, random or similar ones (survey 1.02, 1.10, 1.12, 1.14).

Every selector leaves out the record that is asked about and its near-duplicates, since showing those would give the
answer away, and shows no two near-duplicates. Ties go by id, so that equal inputs give equal prompts.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from postil.canonical import digest
from postil.errors import DataError, RecordRejected, SettingsError
from postil.learn.embeddings import Embedder
from postil.learn.texts import near_duplicates, shingles
from postil.tasks import Task
from postil.tasks.shown import Shown
from postil.types import JSON, Demonstration, Record

__all__ = ["FixedDemonstrations", "RandomDemonstrations", "Show", "SimilarDemonstrations"]

Show = Callable[[Record], str]
"""What of a record a prompt shows."""

_ALIKE: Final = 0.95
"""Cosine above which two texts count as near-duplicates."""
_DECIMALS: Final = 5
"""Similarities closer than this are a tie: their last digits differ from one processor to the next."""


class FixedDemonstrations:
    """The same demonstrations in the order given, for every record."""

    def __init__(self, demonstrations: Sequence[Demonstration], *, show: Show | None = None) -> None:
        """Take the demonstrations; records are compared by what `show` shows, by default all of their text fields.

        Raises:
            DataError: there is none, or one id stands for two different demonstrations.
        """
        self._show = show or _all_text
        self._pool = _pool(demonstrations, self._show)

    @property
    def identity(self) -> Mapping[str, JSON]:
        """The digest of the demonstrations and their order."""
        return {"selector": "fixed", "pool": _digest(self._pool)}

    def select(self, record: Record) -> Sequence[Demonstration]:
        """Return all of them but the record itself and near-duplicates."""
        return _demonstrations(_in_turn([self._pool], len(self._pool), _Unlike(record, self._show(record))))


class RandomDemonstrations:
    """`k` demonstrations drawn once, balanced over labels, and the same for every record (survey 1.10).

    That keeps the beginning of every prompt the same, which caches rely on. Where one of them is the record asked about
    or a near-duplicate, the next one drawn of its label stands in.
    """

    def __init__(
        self, pool: Sequence[Demonstration], k: int, *, seed: int, task: Task, show: Show | None = None
    ) -> None:
        """Draw from a pool; records are compared by what `show` shows, by default what the task shows.

        Raises:
            SettingsError: `k` is less than 1.
            DataError: the pool has nothing to show, or one id stands for two different demonstrations.
        """
        self._k = _at_least_one(k)
        self._seed = seed
        self._show = show or Shown.parse(task.show).render
        self._pool = sorted(_pool(pool, self._show), key=_id)
        drawn = np.random.default_rng(seed).permutation(len(self._pool))
        self._by_label = _by_label((self._pool[at] for at in drawn), task)

    @property
    def identity(self) -> Mapping[str, JSON]:
        """The digest of the pool, the number and the seed."""
        return {"selector": "random", "k": self._k, "seed": self._seed, "pool": _digest(self._pool)}

    def select(self, record: Record) -> Sequence[Demonstration]:
        """Return the demonstrations drawn, without the record itself and near-duplicates."""
        return _demonstrations(_in_turn(self._by_label, self._k, _Unlike(record, self._show(record))))


class SimilarDemonstrations:
    """The `k` demonstrations most like the record, the most similar last (survey 1.12).

    Balanced over labels: of each label in turn the most similar, the second most similar and so on. One selection costs
    one embedding: 3 to 8 ms with the sentence model, well under 1 ms with TF-IDF.
    """

    def __init__(
        self,
        pool: Sequence[Demonstration],
        k: int,
        *,
        embedder: Embedder,
        task: Task,
        show: Show | None = None,
        balanced: bool = True,
    ) -> None:
        """Embed a pool; records are compared by what `show` shows, by default what the task shows.

        Raises:
            SettingsError: `k` is less than 1.
            DataError: the pool has nothing to show, or one id stands for two different demonstrations.
        """
        self._k = _at_least_one(k)
        self._task = task
        self._embedder = embedder
        self._balanced = balanced
        self._show = show or Shown.parse(task.show).render
        plain = sorted(_pool(pool, self._show), key=_id)
        self._vectors = embedder.embed([candidate.text for candidate in plain])
        self._pool = [replace(candidate, vector=vector) for candidate, vector in zip(plain, self._vectors, strict=True)]

    @property
    def identity(self) -> Mapping[str, JSON]:
        """The digest of the pool, the embedder, the number, and whether labels are balanced."""
        return {
            "selector": "similar",
            "k": self._k,
            "balanced": self._balanced,
            "embedder": self._embedder.identity,
            "pool": _digest(self._pool),
        }

    def select(self, record: Record) -> Sequence[Demonstration]:
        """Return the demonstrations most like a record, without the record itself and near-duplicates."""
        text = self._show(record)
        vector = self._embedder.embed([text])[0]
        likeness = np.round(self._vectors @ vector, _DECIMALS)
        # The pool is in the order of ids, and a stable sort keeps that order among equals.
        ranked = [self._pool[at] for at in np.argsort(-likeness, kind="stable")]
        queues = _by_label(ranked, self._task) if self._balanced else [ranked]
        chosen = {_id(candidate) for candidate in _in_turn(queues, self._k, _Unlike(record, text, vector))}
        return _demonstrations([candidate for candidate in reversed(ranked) if _id(candidate) in chosen])


@dataclass(frozen=True, slots=True, eq=False)
class _Candidate:
    """A demonstration with what is compared of it."""

    demonstration: Demonstration
    text: str
    shingles: frozenset[str]
    vector: npt.NDArray[np.float32] | None = None


class _Unlike:
    """Tells candidates from the record asked about and from those accepted before."""

    def __init__(self, record: Record, text: str, vector: npt.NDArray[np.float32] | None = None) -> None:
        self._id = record.id
        self._shingles = [shingles(text)]
        self._vectors = [vector]

    def accept(self, candidate: _Candidate) -> bool:
        if _id(candidate) == self._id or any(near_duplicates(candidate.shingles, seen) for seen in self._shingles):
            return False
        if any(_alike(candidate.vector, seen) for seen in self._vectors):
            return False
        self._shingles.append(candidate.shingles)
        self._vectors.append(candidate.vector)
        return True


def _alike(first: npt.NDArray[np.float32] | None, second: npt.NDArray[np.float32] | None) -> bool:
    return first is not None and second is not None and bool(first @ second > _ALIKE)


def _in_turn(queues: Sequence[Sequence[_Candidate]], k: int, unlike: _Unlike) -> list[_Candidate]:
    """Return `k` candidates, or as many as there are: the next acceptable one of each queue in turn."""
    chosen: list[_Candidate] = []
    waiting = [iter(queue) for queue in queues]
    while waiting and len(chosen) < k:
        queue = waiting.pop(0)
        found = next(filter(unlike.accept, queue), None)
        if found is not None:
            chosen.append(found)
            waiting.append(queue)
    return chosen


def _by_label(candidates: Iterable[_Candidate], task: Task) -> list[list[_Candidate]]:
    """Return candidates sorted into their labels, which come in the order of their first candidates."""
    queues: dict[str | float, list[_Candidate]] = {}
    for candidate in candidates:
        queues.setdefault(task.value(candidate.demonstration.answer), []).append(candidate)
    return list(queues.values())


def _pool(demonstrations: Sequence[Demonstration], show: Show) -> list[_Candidate]:
    """Return what can be shown of the demonstrations, each id once."""
    known: dict[str, Demonstration] = {}
    for demonstration in demonstrations:
        name = demonstration.record.id
        if known.setdefault(name, demonstration) != demonstration:
            raise DataError(f"two different demonstrations have the id {name!r}", hint="give each record its own id")
    texts = [(demonstration, _text(demonstration.record, show)) for demonstration in known.values()]
    pool = [_Candidate(demonstration, text, shingles(text)) for demonstration, text in texts if text is not None]
    if not pool:
        raise DataError(f"expected demonstrations to choose from, got {len(known)}, none of which can be shown")
    return pool


def _text(record: Record, show: Show) -> str | None:
    try:
        return show(record)
    except RecordRejected:
        # Nothing of it can be put into a prompt, so it is no demonstration.
        return None


def _all_text(record: Record) -> str:
    return "\n".join(value for value in record.fields.values() if isinstance(value, str))


def _demonstrations(candidates: Sequence[_Candidate]) -> list[Demonstration]:
    return [candidate.demonstration for candidate in candidates]


def _digest(pool: Sequence[_Candidate]) -> str:
    held = [(candidate.demonstration, candidate.text) for candidate in pool]
    return digest([[one.record.id, one.record.fields, one.answer, one.rationale, text] for one, text in held])


def _id(candidate: _Candidate) -> str:
    return candidate.demonstration.record.id


def _at_least_one(k: int) -> int:
    if k < 1:
        raise SettingsError(f"the number of demonstrations must be at least 1, got {k}")
    return k
