"""Which of an annotator's figures stands for the whole: in a report's first sentence, and in a plan."""

from typing import Final

from postil.types import Assessment

__all__ = ["headline_metric"]

_HEADLINE: Final = (
    *("accuracy", "mae", "mean_absolute_error", "strict_f1", "arguments_f1", "temporal_f1", "fields_f1"),
    *("token_f1", "micro_f1", "macro_f1"),
)


def headline_metric(assessment: Assessment) -> str | None:
    """Return the metric that stands for the whole; `None` where nothing was measured."""
    metrics = assessment.metrics
    words, numbers = metrics.get("token_f1"), metrics.get("number_match")
    if words is not None and numbers is not None and numbers.n == words.n:
        # All of gold is numbers: 201 for 20 shares no word with it, and 20.0 none either.
        return "number_match"
    known = [name for name in _HEADLINE if name in metrics]
    # How spans could be placed says nothing of whether they are right.
    return known[0] if known else next((name for name in metrics if name not in ("aligned", "placed_exactly")), None)
