"""How often each gold label was answered by each label: what every metric of labels is made from."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from postil.assess.intervals import Array

__all__ = ["Confusion"]


@dataclass(frozen=True, slots=True, eq=False)
class Confusion:
    """Counts of records by gold label (rows) and the annotator's label (columns)."""

    labels: tuple[str, ...]
    counts: npt.NDArray[np.int64]

    @classmethod
    def of(cls, labels: Sequence[str], *, gold: Sequence[str], given: Sequence[str]) -> Self:
        """Count pairs of labels; every label must be one of `labels`."""
        at = {label: index for index, label in enumerate(labels)}
        size = len(at)
        cells = np.array([at[row] * size + at[column] for row, column in zip(gold, given, strict=True)], dtype=np.int64)
        return cls(tuple(labels), np.bincount(cells, minlength=size * size).reshape(size, size))

    @property
    def n(self) -> int:
        """The number of records."""
        return int(self.counts.sum())

    @property
    def right(self) -> int:
        """The number of records whose two labels are equal."""
        return int(np.trace(self.counts))

    def seen(self) -> "Confusion":
        """Return the part over the labels that occur, in gold or as answers."""
        occurs = np.flatnonzero(self.counts.sum(axis=0) + self.counts.sum(axis=1))
        return Confusion(tuple(self.labels[index] for index in occurs), self.counts[np.ix_(occurs, occurs)])

    def smoothing(self, *, ordered: bool = False) -> Array:
        """Return one record spread over the cells, half of it right and half wrong, as `bootstrap` wants it.

        Where the labels are `ordered`, the wrong half is off by one: an annotator that was never far off is not made
        to look so.
        """
        size = len(self.labels)
        apart = np.abs(np.subtract.outer(np.arange(size), np.arange(size)))
        wrong = apart == 1 if ordered else apart > 0
        return (0.5 * (apart == 0) / size + 0.5 * wrong / max(int(wrong.sum()), 1)).ravel()
