"""Values as the JSON that the command line promises."""

from collections.abc import Mapping
from dataclasses import asdict

from postil.types import JSON, Assessment, Estimate


def estimate_json(estimate: Estimate | None) -> dict[str, JSON] | None:
    """Return an estimate as JSON, `None` for none."""
    return None if estimate is None else asdict(estimate)


def assessment_json(assessment: Assessment) -> dict[str, JSON]:
    """Return what `postil assess --json` prints of one annotator."""
    return {
        "task": assessment.task,
        "kind": assessment.kind,
        "annotator": assessment.annotator,
        "records": assessment.records,
        "gold": assessment.gold,
        "coverage": estimate_json(assessment.coverage),
        "metrics": _all(assessment.metrics),
        "per_label": {label: _all(metrics) for label, metrics in assessment.per_label.items()},
        "labels": list(assessment.labels),
        "confusion": [list(row) for row in assessment.confusion],
        "reliability": [asdict(bin_) for bin_ in assessment.reliability],
        "notes": list(assessment.notes),
    }


def _all(metrics: Mapping[str, Estimate]) -> dict[str, JSON]:
    return {name: asdict(estimate) for name, estimate in metrics.items()}
