"""What comparing one structured answer with gold comes to, as plain numbers that can be pooled over records."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Compared", "Counts"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Parts of an answer beside those of gold. Pooled over records they give precision, recall and F1."""

    hits: float
    """How many match; a partial match may count for half."""
    given: int
    """How many the annotator gave."""
    gold: int
    """How many there are in gold."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One answer beside gold."""

    counts: Mapping[str, Counts] = field(default_factory=dict[str, Counts])
    """Name of a way to match -> counts: "strict" becomes `strict_precision`, `strict_recall` and `strict_f1`.

    Every record has the same names, those without parts with zeros.
    """
    per_label: Mapping[str, Counts] = field(default_factory=dict[str, Counts])
    """Label -> counts, by the strictest way to match; labels that do not occur may be left out."""
    scores: Mapping[str, float] = field(default_factory=dict[str, float])
    """Name -> a score of this record from 0 to 1 (or -1 to 1), averaged over the records that have it."""
    right: bool = False
    """Whether the whole answer is right: what a confidence of the whole is measured against."""
