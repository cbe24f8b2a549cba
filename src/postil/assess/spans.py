"""Labelled spans beside gold: by boundaries and labels, by boundaries, by overlap (survey 0.05, 2.30).

The four ways to match are those of SemEval-2013 task 9 (Segura-Bedmar et al. 2013, S13-2056), counted as the package
nervaluate counts them: each span is held against one gold span at most.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from postil.assess.compared import Compared, Counts
from postil.tasks.spans import Spans
from postil.types import JSON, Answer

__all__ = ["Part", "compare", "counts_of", "parts", "per_label"]


@dataclass(frozen=True, slots=True)
class Part:
    """A span as plain values: where it stands and what it is called."""

    field: str
    fragments: tuple[tuple[int, int], ...]
    label: str

    @property
    def place(self) -> tuple[str, tuple[tuple[int, int], ...]]:
        """Where it stands, whatever its label."""
        return self.field, self.fragments

    def overlaps(self, other: "Part") -> bool:
        """Return whether they share a character."""
        return self.field == other.field and any(
            start < other_end and other_start < end
            for start, end in self.fragments
            for other_start, other_end in other.fragments
        )

    def distance(self, other: "Part") -> int:
        """Return how far apart their ends are together."""
        one, two = self.fragments, other.fragments
        return abs(one[0][0] - two[0][0]) + abs(one[-1][1] - two[-1][1])


def compare(task: Spans, gold: Answer, given: Answer) -> Compared:  # noqa: ARG001 - as every kind compares
    """Return the spans of one answer beside those of gold.

    `strict`: equal boundaries and labels. `exact`: equal boundaries. `partial`: equal boundaries, or half for an
    overlap. `type`: an overlap, with equal labels.
    """
    true, said = parts(gold["spans"]), parts(given["spans"])
    return Compared(counts_of(true, said), per_label(true, said), right=set(true) == set(said))


def parts(spans: Iterable[Mapping[str, JSON]]) -> list[Part]:
    """Return the spans of an answer as plain values, in its order."""
    return [
        Part(
            span.get("field", ""),
            tuple((start, end) for start, end in span.get("fragments") or [(span["start"], span["end"])]),
            span["label"],
        )
        for span in spans
    ]


def counts_of(true: Sequence[Part], said: Sequence[Part]) -> dict[str, Counts]:
    """Return how many spans match, in each of the four ways."""
    same = sum((Counter(one.place for one in true) & Counter(one.place for one in said)).values())
    hits = {
        "strict": len(set(true) & set(said)),
        "exact": same,
        "partial": same + _overlaps(true, said) / 2,
        "type": _alike(true, said),
    }
    return {way: Counts(each, len(said), len(true)) for way, each in hits.items()}


def per_label(true: Sequence[Part], said: Sequence[Part]) -> dict[str, Counts]:
    """Return the strict counts of each label that occurs."""
    gold, given = Counter(one.label for one in true), Counter(one.label for one in said)
    both = Counter(one.label for one in set(true) & set(said))
    return {label: Counts(both[label], given[label], gold[label]) for label in sorted({*gold, *given})}


def _overlaps(true: Sequence[Part], said: Sequence[Part]) -> int:
    """Return how many spans without an equal one overlap a gold span without one, each held against one, in order."""
    free = list(_without(true, said))
    hits = 0
    for one in _without(said, true):
        if (other := next((other for other in free if one.overlaps(other)), None)) is not None:
            free.remove(other)
            hits += 1
    return hits


def _without(ours: Sequence[Part], theirs: Sequence[Part]) -> Iterator[Part]:
    """Yield our spans that have no equal among theirs, each of theirs being equal to one at most."""
    left = Counter(one.place for one in theirs)
    for one in ours:
        if left[one.place]:
            left[one.place] -= 1
        else:
            yield one


def _alike(true: Sequence[Part], said: Sequence[Part]) -> int:
    """Return how many spans overlap a gold span with their label; one with another label uses its gold span up."""
    free, hits = list(true), 0
    for one in said:
        near = [other for other in free if one.overlaps(other)]
        alike = [other for other in near if other.label == one.label]
        if near:
            free.remove(min(alike, key=one.distance) if alike else near[0])
        hits += bool(alike)
    return hits
