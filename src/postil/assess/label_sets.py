"""Sets of labels beside gold: label by label, whole sets, and by how probable the labels were (survey 0.01, 2.30)."""

from collections.abc import Mapping, Sequence

from postil.assess.compared import Compared, Counts
from postil.assess.intervals import Measured, share
from postil.tasks.multilabel import MultiLabel
from postil.types import Answer

__all__ = ["compare", "rank_of", "top_k"]


def compare(task: MultiLabel, gold: Answer, given: Answer) -> Compared:
    """Return one set of labels beside another.

    Pooled counts give the micro averages, counts of each label the macro average. Of two sets the scores are the
    Jaccard index and F1 (both 1 where neither has a label), whether they are equal ("subset accuracy"), and the share
    of all labels on which they differ ("Hamming loss"), as in Tsoumakas and Katakis 2007. In a hierarchy every step
    of the paths is counted too (Kiritchenko et al. 2006).
    """
    true, said = frozenset[str](gold["labels"]), frozenset[str](given["labels"])
    counts = {"micro": _counts(true, said)}
    if task.separator is not None:
        counts["hierarchical"] = _counts(task.steps(gold), task.steps(given))
    both, either = len(true & said), len(true | said)
    return Compared(
        counts=counts,
        per_label={
            label: Counts(int(label in true and label in said), int(label in said), int(label in true))
            for label in task.labels
            if label in true or label in said
        },
        scores={
            "jaccard": both / either if either else 1.0,
            "set_f1": 2 * both / (len(true) + len(said)) if either else 1.0,
            "subset_accuracy": float(true == said),
            "hamming_loss": len(true ^ said) / len(task.labels),
        },
        right=true == said,
    )


def rank_of(label: str, probabilities: Mapping[str, float]) -> int:
    """Return at which place a label comes by its probability, from 1; behind all that are as probable.

    So probabilities that tell no labels apart put every label last.
    """
    own = probabilities[label]
    return sum(other >= own for other in probabilities.values())


def top_k(
    gold: Sequence[str], probabilities: Sequence[Mapping[str, float]], *, ks: Sequence[int], level: float
) -> Measured:
    """Return the shares of records whose gold label is among the `k` most probable, with exact intervals.

    Only for each `k` that is smaller than every record's number of labels; without probabilities there is no figure.
    """
    ranks = [rank_of(label, odds) if label in odds else None for label, odds in zip(gold, probabilities, strict=True)]
    offered = min(map(len, probabilities), default=0)
    return Measured(
        {
            f"top_{k}_accuracy": share(
                sum(rank is not None and rank <= k for rank in ranks),
                len(ranks),
                level=level,
                how=f"share of annotated gold records whose gold label is among the {k} most probable",
            )
            for k in ks
            if k < offered
        }
    )


def _counts(true: frozenset[str], said: frozenset[str]) -> Counts:
    return Counts(len(true & said), len(said), len(true))
