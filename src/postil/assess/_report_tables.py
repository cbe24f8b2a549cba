"""The tables of a report, from assessments to rows of text."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

from postil.assess._report_charts import Whisker
from postil.assess._report_text import Shown, count, interval, number, one_line, percent, shown
from postil.types import Assessment, Estimate

__all__ = [
    "Cell",
    "Confusion",
    "LabelRow",
    "MetricRow",
    "cell",
    "confusions",
    "label_rows",
    "method_rows",
    "metric_rows",
    "metric_title",
    "whiskers",
]


@dataclass(frozen=True, slots=True)
class Wording:
    """How a metric is named and written."""

    title: str
    meaning: str
    as_percent: bool = False
    plotted: bool = True
    """On the axis from 0 to 1 where more is better."""


_WORDINGS: Mapping[str, Wording] = {
    "accuracy": Wording("Accuracy", "share of labels equal to gold", as_percent=True),
    "accuracy_all": Wording(
        "Accuracy, missing counted wrong", "records without an answer count as wrong", as_percent=True, plotted=False
    ),
    "accuracy_lower_bound": Wording(
        "Accuracy, at least", "if every missing answer were wrong", as_percent=True, plotted=False
    ),
    "accuracy_upper_bound": Wording(
        "Accuracy, at most", "if every missing answer were right", as_percent=True, plotted=False
    ),
    "majority_baseline": Wording(
        "Always the commonest label", "accuracy without reading any text", as_percent=True, plotted=False
    ),
    "exact_agreement": Wording("On gold’s nearest point", "no point of the scale is nearer to gold", as_percent=True),
    "within_one": Wording("Within one step", "share of answers at most one step from gold", as_percent=True),
    "balanced_accuracy": Wording("Balanced accuracy", "mean recall over the labels", as_percent=True),
    "macro_f1": Wording("Macro-F1", "mean of the labels’ F1: rare labels count as much as frequent ones"),
    "micro_f1": Wording("Micro-F1", "F1 over all decisions together"),
    "weighted_f1": Wording("Weighted F1", "mean of the labels’ F1, weighted by how frequent they are"),
    "cohen_kappa": Wording("Cohen’s κ", "agreement with gold beyond chance"),
    "weighted_kappa": Wording("Weighted κ", "agreement with gold beyond chance; near misses count in part"),
    "quadratic_kappa": Wording("Quadratic κ", "agreement with gold beyond chance; near misses count in part"),
    "matthews": Wording("Matthews φ", "correlation of labels with gold"),
    "krippendorff_alpha": Wording("Krippendorff’s α", "agreement with gold beyond chance"),
    "spearman": Wording("Spearman’s ρ", "rank correlation with gold"),
    "pearson": Wording("Pearson’s r", "linear correlation with gold"),
    "kendall_tau": Wording("Kendall’s τ", "order kept between pairs"),
    "exact_match": Wording("Wholly right", "share of records whose whole answer is gold’s", as_percent=True),
    "exact_match_lower_bound": Wording(
        "Wholly right, at least", "if every missing answer were wrong", as_percent=True, plotted=False
    ),
    "exact_match_upper_bound": Wording(
        "Wholly right, at most", "if every missing answer were right", as_percent=True, plotted=False
    ),
    "empty_baseline": Wording(
        "Always nothing",
        "share of records with nothing to find: wholly right without reading any text",
        as_percent=True,
        plotted=False,
    ),
    "aligned": Wording(
        "Spans placed",
        "share of the spans quoted that stand in their text, at one place",
        as_percent=True,
        plotted=False,
    ),
    "placed_exactly": Wording(
        "Placed letter by letter",
        "share of the quotes placed; the others differ in form, case or a few letters",
        as_percent=True,
        plotted=False,
    ),
    "pair_accuracy": Wording(
        "Right on the pair", "share of pairs on which the answer sides with gold", as_percent=True
    ),
    "consistency_under_swap": Wording(
        "Alike in both orders", "share of pairs judged alike when the candidates change places", as_percent=True
    ),
    "position_bias": Wording(
        "Leaning to the first", "how far the place decides, whatever stands there; 0 is best", plotted=False
    ),
    "strength_brier": Wording(
        "Brier score of the strength", "mean squared distance from gold’s strength; 0 is best", plotted=False
    ),
    "raters_alpha": Wording(
        "Krippendorff’s α of the raters", "agreement among the people, beyond chance", plotted=False
    ),
    "raters_alpha_with_annotator": Wording(
        "The same with the annotator", "as one more rater beside the people", plotted=False
    ),
    "jaccard": Wording("Jaccard index", "labels shared, of those that answer or gold have", plotted=False),
    "set_f1": Wording("Mean F1 of a record", "F1 of each record’s labels, averaged over records"),
    "subset_accuracy": Wording("Exact set of labels", "share of records", as_percent=True, plotted=False),
    "hamming_loss": Wording("Hamming loss", "share of wrong yes-or-no decisions; 0 is best", plotted=False),
    "joint_accuracy": Wording("All fields right", "share of records", as_percent=True, plotted=False),
    "rouge_l": Wording("ROUGE-L", "longest run of words shared with gold, gaps allowed"),
    "chrf": Wording("chrF", "F-score of the runs of characters shared with gold"),
    "number_match": Wording("Right number", "where gold is a number", as_percent=True),
    "rouge_l_all": Wording("ROUGE-L, missing counted as nothing", "over all gold records", plotted=False),
    "chrf_all": Wording("chrF, missing counted as nothing", "over all gold records", plotted=False),
    "number_match_all": Wording(
        "Right number, missing counted as wrong", "where gold is a number", as_percent=True, plotted=False
    ),
    "quote_validity": Wording(
        "Quotes found", "share of the quotes given that stand in their source", as_percent=True, plotted=False
    ),
    "candidate_recall": Wording(
        "Gold among the candidates", "share of gold’s labels that the prompt offered", as_percent=True, plotted=False
    ),
    "hierarchical_f1": Wording("Hierarchical F1", "F1 over labels and their ancestors"),
    "auroc": Wording("AUROC of confidence", "how well confidence tells right from wrong; 0.5 is chance", plotted=False),
    "ece": Wording("Calibration error", "mean gap between confidence and how often right; 0 is best", plotted=False),
    "brier": Wording("Brier score", "mean squared error of the probabilities; 0 is best", plotted=False),
    "log_loss": Wording("Log loss", "mean surprise at gold; 0 is best", plotted=False),
    "mean_absolute_error": Wording("Mean error in ranks", "mean number of ranks from gold; 0 is best", plotted=False),
    "mae": Wording("Mean absolute error", "mean distance from gold; 0 is best", plotted=False),
    "median_baseline_mae": Wording(
        "Always gold’s median", "mean absolute error without reading any text", plotted=False
    ),
    "rmse": Wording("Root mean squared error", "distance from gold, large errors weigh more; 0 is best", plotted=False),
}
_ALIASES = {
    "kappa": "cohen_kappa",
    "cohens_kappa": "cohen_kappa",
    "expected_calibration_error": "ece",
    "brier_score": "brier",
    "root_mean_squared_error": "rmse",
    "mcc": "matthews",
}
_WAYS: Mapping[str, str] = {
    "strict": "equal boundaries and labels",
    "exact": "equal boundaries, whatever the label",
    "partial": "equal boundaries, an overlap for half",
    "type": "an overlap, and equal labels",
    "boundaries": "equal boundaries, whatever the labels of the spans",
    "unlabelled": "equal places, whatever the role",
    "overlapping": "the predicate’s, half of their characters shared, whatever the role",
    "temporal": "links, and what follows from them",
}
_FIGURES: Mapping[str, tuple[str, str]] = {
    "precision": ("precision", "share of the parts given that match gold"),
    "recall": ("recall", "share of gold’s parts that were given"),
    "f1": ("F1", "precision and recall in one"),
    "f1_all": ("F1, missing counted as nothing found", "over all gold records"),
}


@dataclass(frozen=True, slots=True)
class Cell:
    """One estimate as a table shows it."""

    value: str
    interval: str
    level: str
    n: str
    on: str
    """The gold records behind it, in words."""


@dataclass(frozen=True, slots=True)
class MetricRow:
    """One metric, a cell an annotator; `None` where it was not measured."""

    title: str
    meaning: str
    cells: tuple[Cell | None, ...]
    methods: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LabelRow:
    """One label's figures."""

    label: Shown
    gold: str
    precision: Cell | None
    recall: Cell | None
    f1: Cell | None


@dataclass(frozen=True, slots=True)
class Confusion:
    """One gold label answered as another one."""

    gold: Shown
    answer: Shown
    times: str
    share: str
    """Of the records with this gold label."""


def metric_title(name: str) -> str:
    """Return a metric's name in words."""
    return _wording(name).title


def cell(name: str, estimate: Estimate) -> Cell:
    """Return an estimate of a metric in the metric's own form."""
    as_percent = _wording(name).as_percent
    value = percent(estimate.value) if as_percent else number(estimate.value)
    n = count(estimate.n)
    on = f"{n} gold record{'' if estimate.n == 1 else 's'}"
    return Cell(value, interval(estimate, as_percent=as_percent), f"{100 * estimate.level:g} %", n, on)


def metric_rows(assessments: Sequence[Assessment]) -> list[MetricRow]:
    """Return every metric that any of the assessments has, in the order of the first that has it."""
    rows: list[MetricRow] = []
    for name in dict.fromkeys(name for one in assessments for name in one.metrics):
        found = [one.metrics.get(name) for one in assessments]
        methods = dict.fromkeys(shown(one.method, limit=400).text for one in found if one)
        wording = _wording(name)
        cells = tuple(cell(name, one) if one else None for one in found)
        rows.append(MetricRow(wording.title, wording.meaning, cells, tuple(methods)))
    return rows


def whiskers(assessments: Sequence[Assessment], series: Sequence[str]) -> list[Whisker]:
    """Return the estimates that share an axis from 0 to 1, metric by metric."""
    names = dict.fromkeys(name for one in assessments for name in one.metrics if _wording(name).plotted)
    return [
        Whisker(metric_title(name), annotator, estimate.value, estimate.low, estimate.high)
        for name, (one, annotator) in product(names, zip(assessments, series, strict=True))
        if (estimate := one.metrics.get(name)) and _drawable(estimate)
    ]


def label_rows(assessment: Assessment, *, limit: int) -> list[LabelRow]:
    """Return the figures of each label; with more labels than `limit` those with the lowest F1."""
    gold = dict(zip(assessment.labels, map(sum, assessment.confusion), strict=False))
    labels = [label for label in assessment.labels if label in assessment.per_label]
    labels += [label for label in assessment.per_label if label not in labels]
    if len(labels) > limit:
        labels = sorted(labels, key=lambda label: _f1(assessment.per_label[label]))[:limit]
    return [_label_row(label, gold.get(label), assessment.per_label[label]) for label in labels]


def confusions(assessment: Assessment, *, limit: int) -> list[Confusion]:
    """Return the most frequent errors, the most frequent first."""
    labels, counts = assessment.labels, assessment.confusion
    pairs = [
        (n, row, column) for row, line in enumerate(counts) for column, n in enumerate(line) if n and row != column
    ]
    pairs.sort(key=lambda pair: (-pair[0], pair[1], pair[2]))
    return [
        Confusion(
            shown(labels[row], limit=80), shown(labels[column], limit=80), count(n), percent(n / sum(counts[row]))
        )
        for n, row, column in pairs[:limit]
    ]


def method_rows(assessments: Sequence[Assessment], names: Sequence[str]) -> list[tuple[str, str, str]]:
    """Return annotator, metric and method of every estimate in the report, equal methods told once."""
    rows: list[tuple[str, str, str]] = []
    for one, name in zip(assessments, names, strict=True):
        by_method: dict[str, list[str]] = {}
        coverage = {"coverage": one.coverage} if one.coverage else {}
        for metric, estimate in {**coverage, **one.metrics}.items():
            by_method.setdefault(estimate.method, []).append(metric_title(metric))
        rows += [(name, ", ".join(metrics), shown(method).text) for method, metrics in by_method.items()]
    return rows


def _label_row(label: str, gold: int | None, figures: Mapping[str, Estimate]) -> LabelRow:
    if gold is None:
        # Without a confusion the recall says how often gold has the label.
        gold = figures["recall"].n if "recall" in figures else 0
    cells = [cell(name, figures[name]) if name in figures else None for name in ("precision", "recall", "f1")]
    return LabelRow(shown(label, limit=80), count(gold), *cells)


def _f1(figures: Mapping[str, Estimate]) -> float:
    return figures["f1"].value if "f1" in figures else math.inf


def _drawable(estimate: Estimate) -> bool:
    return -1 <= estimate.low <= estimate.value <= estimate.high <= 1


def _wording(name: str) -> Wording:
    if known := _WORDINGS.get(_ALIASES.get(name, name)):
        return known
    if name.startswith("accuracy/"):
        return Wording(f"Right in {one_line(name.removeprefix('accuracy/'))}", "share of records", as_percent=True)
    for suffix, (figure, meaning) in _FIGURES.items():
        if name.endswith(f"_{suffix}"):
            way = name.removesuffix(f"_{suffix}")
            words = f"{meaning}: {_WAYS[way]}" if way in _WAYS else meaning
            return Wording(f"{one_line(way.replace('_', ' ')).capitalize()} {figure}", words, plotted=suffix == "f1")
    return Wording(one_line(name.replace("_", " ")).capitalize(), "", plotted=False)
