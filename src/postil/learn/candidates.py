"""Which labels of a large label set a prompt offers for a record: those whose texts are most like it (survey 0.01).

A prompt that lists 10,000 labels is long, dear and badly read. What is not offered cannot be answered, so the recall of
this step bounds the accuracy of the whole: `postil assess` measures it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from postil.assess.intervals import share
from postil.canonical import digest
from postil.errors import RecordRejected, SettingsError
from postil.learn.embeddings import Embedder, JoinedEmbedder, MiniLMEmbedder, default_embedder
from postil.tasks import Task
from postil.tasks.shown import Shown
from postil.types import JSON, Answer, CandidateSelector, Demonstration, Estimate, Record

__all__ = ["SimilarLabels", "candidate_embedder", "candidate_recall", "label_texts"]

_DECIMALS: Final = 5
"""Likenesses closer than this are a tie: their last digits differ from one processor to the next."""


class SimilarLabels:
    """The `k` labels with a text most like the record: the name and definition, or a demonstration's text.

    The nearest text of a label counts; their mean finds no more (Banking77: recall at 20 of 77 is 0.97 by names alone,
    0.99 with three demonstrations a label, either way). Ties go by the order of the labels, so that equal inputs give
    equal prompts. One selection costs one embedding and a product with every text; the first one embeds the labels,
    which takes 15 s for 10,000.
    """

    def __init__(self, task: Task, k: int, *, embedder: Embedder, demonstrations: Sequence[Demonstration] = ()) -> None:
        """Embed the labels of a task and the records that demonstrations show of them.

        Raises:
            SettingsError: `k` is less than 2, or no less than the number of labels.
        """
        if not 2 <= k < len(task.labels):
            raise SettingsError(
                f"the number of candidates is from 2 to fewer than the {len(task.labels)} labels, got {k}"
            )
        self._k = k
        self._labels = task.labels
        self._embedder = embedder
        self._show = Shown.parse(task.show).render
        solved = _solved(task, demonstrations, self._show)
        self._texts = [*label_texts(task), *(text for text, _ in solved)]
        self._owners = np.array([label for _, label in solved], np.int64)

    @property
    def identity(self) -> Mapping[str, JSON]:
        """The number, the embedder and the digest of the texts that stand for the labels."""
        texts = [self._texts, self._owners.tolist()]
        return {
            "candidates": "similar",
            "k": self._k,
            "embedder": self._embedder.identity,
            "texts": digest(texts),
        }

    @cached_property
    def _vectors(self) -> npt.NDArray[np.float32]:
        return self._embedder.embed(self._texts)

    def select(self, record: Record) -> Sequence[str]:
        """Return the candidates for a record, the likeliest first."""
        return [self._labels[at] for at in self._ranked(self._show(record))[: self._k]]

    def _ranked(self, text: str) -> npt.NDArray[np.int64]:
        """Return the numbers of all labels, the likeliest first."""
        likeness = np.round(self._vectors @ self._embedder.embed([text])[0], _DECIMALS)
        best = likeness[: len(self._labels)]
        np.maximum.at(best, self._owners, likeness[len(self._labels) :])
        return np.argsort(-best, kind="stable")


def candidate_embedder(texts: Sequence[str]) -> tuple[Embedder, str]:
    """Return the embedder that suits labels and records, and a note on what the choice costs, empty if nothing.

    A sentence model alone where there is one for the script: joined with TF-IDF it finds no more and takes longer.
    """
    embedder, note = default_embedder(texts)
    return (MiniLMEmbedder() if isinstance(embedder, JoinedEmbedder) else embedder), note


def candidate_recall(
    candidates: CandidateSelector, solved: Iterable[tuple[Record, Answer]], *, level: float
) -> Estimate | None:
    """Return the share of records whose labels are all offered, `None` where there is no record.

    It bounds the accuracy of whoever is asked from above, whatever the model.
    """
    hits = records = 0
    for record, answer in solved:
        try:
            offered = candidates.select(record)
        except RecordRejected:
            continue
        records += 1
        hits += set(_labels(answer)) <= set(offered)
    how = "share of gold records whose labels are all among the candidates that a prompt offers"
    return share(hits, records, level=level, how=how) if records else None


def label_texts(task: Task) -> list[str]:
    """Return a text for each label: its name as words, and its definition where it has one."""
    meanings: Mapping[str, str] = task.spec.get("labels_meanings") or {}
    return [_words(label) + (f": {meanings[label]}" if meanings.get(label) else "") for label in task.labels]


def _labels(answer: Answer) -> Sequence[str]:
    return answer["labels"] if "labels" in answer else [answer["label"]]


def _words(label: str) -> str:
    # "card_payment_fee-charged" is four words to a reader.
    return " ".join(label.replace("_", " ").replace("-", " ").split())


def _solved(
    task: Task, demonstrations: Sequence[Demonstration], show: Callable[[Record], str]
) -> list[tuple[str, int]]:
    """Return the texts of demonstrations, each with the number of a label that it was given."""
    at = {label: number for number, label in enumerate(task.labels)}
    pairs: list[tuple[str, int]] = []
    for demonstration in demonstrations:
        try:
            text = show(demonstration.record)
        except RecordRejected:
            # Nothing of it can be shown, so it says nothing about its label.
            continue
        pairs += [(text, at[label]) for label in _labels(demonstration.answer)]
    return pairs
