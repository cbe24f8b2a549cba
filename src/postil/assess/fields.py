"""Named fields beside gold: field by field, and all together (survey 0.02, 2.30)."""

from postil.assess.compared import Compared, Counts
from postil.tasks.attributes import Attributes
from postil.types import Answer

__all__ = ["compare"]


def compare(task: Attributes, gold: Answer, given: Answer) -> Compared:
    """Return the fields of one answer beside those of gold.

    Values that are there are counted, null and empty lists are nothing to find or to miss; each element of a list
    counts for itself, and texts are equal if they read the same. `accuracy/FIELD` is over all records, null against
    null is right; `joint_accuracy` is the share of records whose fields are all right, as in dialogue state tracking
    (Wu et al. 2019, arXiv 1905.08743).
    """
    true, said = gold["attributes"], given["attributes"]
    pairs = {each.name: (each.parts(true[each.name]), each.parts(said[each.name])) for each in task.fields}
    per_field = {name: Counts(len(one & two), len(two), len(one)) for name, (one, two) in pairs.items()}
    right = {name: float(one == two) for name, (one, two) in pairs.items()}
    joint = all(right.values())
    return Compared(
        counts={
            "fields": Counts(
                sum(counts.hits for counts in per_field.values()),
                sum(counts.given for counts in per_field.values()),
                sum(counts.gold for counts in per_field.values()),
            )
        },
        per_label=per_field,
        scores={**{f"accuracy/{name}": value for name, value in right.items()}, "joint_accuracy": float(joint)},
        right=joint,
    )
