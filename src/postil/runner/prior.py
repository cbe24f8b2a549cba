"""The model's prior over its choices, measured before labelling and divided out of every answer.

A language model prefers some labels whatever the text says. Batch calibration takes its preference from records
themselves, contextual calibration from inputs without content. Both are known before the first label is given, so
every label of a run is corrected alike.
"""

import math
from collections.abc import Iterable, Sequence
from typing import Final

from postil.runner.annotator import PromptedAnnotator
from postil.store import Journal
from postil.tasks import Task
from postil.tasks.shown import Shown
from postil.types import Record

BATCH_SIZE: Final = 128
"""Records that the prior is measured on: the batch sizes of Zhou et al. 2023 level off near this."""

SMALLEST_BATCH: Final = 20
"""With fewer records the batch's own label shares would be taken for the model's preference."""

_CONTENT_FREE: Final = {"en": ("N/A", "[MASK]", "..."), "zh": ("无", "[MASK]", "……")}


def content_free_records(task: Task) -> list[Record]:
    """Return records without content (Zhao et al. 2021, arXiv 2102.09690, section 4: "N/A", "[MASK]", nothing)."""
    fields = Shown.parse(task.show).fields
    texts = _CONTENT_FREE[task.language]
    return [Record(f"content-free:{i}", dict.fromkeys(fields, text)) for i, text in enumerate(texts)]


def measured_prior(distributions: Iterable[Sequence[float]]) -> tuple[float, ...] | None:
    """Return the geometric mean of distributions over the choices, normalised; `None` for none at all.

    Zhou et al. 2023 (arXiv 2309.17249) take the arithmetic mean; the geometric mean is the same correction made in
    the log domain, where one very sure reply weighs less.
    """
    logs = [[math.log(max(p, 1e-12)) for p in distribution] for distribution in distributions]
    if not logs:
        return None
    means = [math.exp(math.fsum(column) / len(logs)) for column in zip(*logs, strict=True)]
    total = math.fsum(means)
    return tuple(mean / total for mean in means)


def requests_ahead(journal: Journal, annotator: PromptedAnnotator) -> int:
    """Return how many requests the prior takes at most before the first label; none once it is measured."""
    if annotator.calibration == "none" or journal.latest_event("prior", annotator.id) is not None:
        return 0
    records = journal.count_records()
    if annotator.calibration == "batch" and records >= SMALLEST_BATCH:
        return min(BATCH_SIZE, records)
    return len(content_free_records(annotator.task))
