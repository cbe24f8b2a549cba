"""One self-contained HTML file that says how good the labels are and how every number was made.

The report is made from a `Report` and nothing else: plain values, no journal, no engine, no clock. Equal reports give
equal bytes. The page holds no script and fetches nothing; all data in it is escaped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

from minijinja import Environment

from postil.assess import _report_charts as charts
from postil.assess import _report_tables as tables
from postil.assess._report_charts import Caption, Series
from postil.assess._report_text import (
    COLOURS,
    count,
    dollars,
    duration,
    interval,
    number,
    one_line,
    percent,
    pieces,
    shown,
    unique,
)
from postil.assess.headline import headline_metric
from postil.assess.marks import Mark
from postil.types import Assessment, Confidence, Estimate

__all__ = ["Doubtful", "Expense", "OutcomeCounts", "Question", "Report", "headline", "render_report"]

MOST_DOUBTFUL = 20
MOST_CONFUSED = 20
LABELS_IN_A_MAP = 12
LABELS_IN_A_TABLE = 30


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked."""

    name: str
    kind: str
    instruction: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OutcomeCounts:
    """How many records came to which end; `records` is the sum of the other four (invariant I1)."""

    records: int
    labelled: int
    abstained: int = 0
    failed: int = 0
    pending: int = 0
    failures: Mapping[str, int] = field(default_factory=dict[str, int])
    """Failed records by failure class."""


@dataclass(frozen=True, slots=True)
class Expense:
    """What the run took."""

    usd: float | None
    """`None`: no price is known. It is never guessed."""
    price_date: str | None = None
    """The day the prices were read."""
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    requests: int = 0
    resent: int = 0
    seconds: float = 0.0
    unseen_usd: float = 0.0
    """The most that replies lost on the way can have cost beside `usd`."""


@dataclass(frozen=True, slots=True)
class Doubtful:
    """A record worth a person's look."""

    id: str
    text: str
    """The record as the annotator saw it."""
    answer: str
    reason: str
    """Why it is doubtful."""
    confidence: float | None = None
    gold: str | None = None
    marks: tuple[Mark, ...] = ()
    """What the answer marks in the text."""
    gold_marks: tuple[Mark, ...] = ()
    """What gold marks in it."""
    right: bool | None = None
    """Whether the answer counts as gold's; `None` where equal words will tell."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that a report shows."""

    title: str
    question: Question
    outcomes: OutcomeCounts
    expense: Expense
    generated_at: str
    version: str
    """Of Postil."""
    assessments: tuple[Assessment, ...] = ()
    """The annotator's first; then others measured on the same gold, its student for one."""
    names: Mapping[str, str] = field(default_factory=dict[str, str])
    """What to call an annotator, by its id; without a name the id is shown."""
    distribution: Mapping[str, int] = field(default_factory=dict[str, int])
    """How often each label was given, in the order to show."""
    confidences: tuple[Confidence, ...] = ()
    """Of the annotations that have one."""
    doubtful: tuple[Doubtful, ...] = ()
    """The most doubtful first."""
    provenance: tuple[tuple[str, str], ...] = ()
    """How the numbers were made, as name and value: model, template, demonstrations, gold roles, …"""


def headline(report: Report) -> str:
    """Return the report in one or two sentences, for the page and for a terminal."""
    return f"{_outcomes_in_words(report.outcomes)} {_quality_in_words(report)}"


def render_report(report: Report) -> str:
    """Return the report as one HTML file.

    Raises:
        MissingExtraError: the extra `report`, which draws the charts, is not installed.
    """
    names = unique((report.names.get(one.annotator, one.annotator) for one in report.assessments), limit=48)
    series = [Series(name, index) for index, name in enumerate(names)]
    page = {
        "style": _asset("report.css"),
        "headline": headline(report),
        "quality": _quality(report, series),
        "errors": _errors(report, series),
        "confidence": _confidence(report, series),
        "answers": _answers(report),
        "expense": _expense(report),
        **_all_doubtful(report),
        "methods": tables.method_rows(report.assessments, names),
        "provenance": [(one_line(name), shown(value)) for name, value in report.provenance],
        **_heading(report),
    }
    return _environment().render_template("report.html", **page)


def _outcomes_in_words(outcomes: OutcomeCounts) -> str:
    rest = {"abstained": outcomes.abstained, "failed": outcomes.failed, "pending": outcomes.pending}
    others = ", ".join(f"{count(n)} {word}" for word, n in rest.items() if n)
    words = f"{count(outcomes.labelled)} of {count(outcomes.records)} records labelled"
    return f"{words}; {others}." if others else f"{words}."


def _quality_in_words(report: Report) -> str:
    first = report.assessments[0] if report.assessments else None
    name = headline_metric(first) if first else None
    if first is None or name is None:
        if first is None or first.gold == 0:
            return "No gold: accuracy unknown."
        return f"Accuracy unknown: none of the {count(first.gold)} gold records has an annotation yet."
    estimate = first.metrics[name]
    cell = tables.cell(name, estimate)
    start = f"Right on {cell.value} of" if name == "accuracy" else f"{tables.metric_title(name)} {cell.value} on"
    return f"{start} {cell.on} never shown to it ({cell.level} interval {cell.interval})."


def _heading(report: Report) -> dict[str, Any]:
    question, outcomes = report.question, report.outcomes
    ends = outcomes.labelled + outcomes.abstained + outcomes.failed + outcomes.pending
    return {
        "title": shown(report.title, limit=200),
        "plain_title": one_line(report.title, limit=200),
        "task": shown(question.name, limit=80),
        "kind": one_line(question.kind),
        "instruction": shown(question.instruction, limit=1000),
        "labels": [shown(label, limit=60) for label in question.labels[:LABELS_IN_A_MAP]],
        "more_labels": max(0, len(question.labels) - LABELS_IN_A_MAP),
        "generated_at": one_line(report.generated_at),
        "version": one_line(report.version),
        "miscounted": ""
        if ends == outcomes.records
        else f"{count(ends)} outcomes for {count(outcomes.records)} records",
    }


def _quality(report: Report, series: Sequence[Series]) -> dict[str, Any]:
    whiskers = tables.whiskers(report.assessments, [one.name for one in series])
    words = "; ".join(
        f"{w.metric}, {w.series}: {number(w.value)} ({number(w.low)} to {number(w.high)})" for w in whiskers
    )
    caption = Caption("intervals", "Estimates with their intervals", words)
    return {
        "measured": any(one.metrics for one in report.assessments),
        "leads": [_lead(one, its) for one, its in zip(report.assessments, series, strict=True)],
        "series": series,
        "rows": tables.metric_rows(report.assessments),
        "plot": charts.interval_plot(whiskers, series, caption) if whiskers else "",
        "notes": [shown(note) for note in dict.fromkeys(note for one in report.assessments for note in one.notes)],
    }


def _lead(assessment: Assessment, series: Series) -> dict[str, Any]:
    """Return what stands at the top for one annotator: its name, its most telling figure, its coverage."""
    name = headline_metric(assessment)
    estimate = assessment.metrics[name] if name else None
    on_bar = estimate is not None and name == "accuracy" and 0 <= estimate.low <= estimate.high <= 1
    return {
        "name": shown(series.name),
        "series": series.index % len(charts.SERIES_COLOURS),
        "metric": tables.metric_title(name) if name else "",
        "cell": tables.cell(name, estimate) if name and estimate else None,
        "bar": _bar(estimate) if estimate and on_bar else None,
        "gold": count(assessment.gold),
        "coverage": _coverage(assessment.coverage),
    }


def _bar(estimate: Estimate) -> dict[str, str]:
    return {
        "low": f"{100 * estimate.low:.2f}%",
        "length": f"{100 * (estimate.high - estimate.low):.2f}%",
        "value": f"{100 * estimate.value:.2f}%",
    }


def _coverage(coverage: Estimate | None) -> str:
    if coverage is None:
        return ""
    return f"{percent(coverage.value)} of {count(coverage.n)} ({interval(coverage, as_percent=True)})"


def _errors(report: Report, series: Sequence[Series]) -> list[dict[str, Any]]:
    """Return the confusion and the labels' figures of each annotator that was measured on labels."""
    return [
        _confusion(one, its, key=f"confusion-{its.index}")
        for one, its in zip(report.assessments, series, strict=True)
        if any(map(sum, one.confusion)) or one.per_label
    ]


def _confusion(assessment: Assessment, series: Series, *, key: str) -> dict[str, Any]:
    labels, counts = assessment.labels, assessment.confusion
    names = unique(labels)
    total = sum(map(sum, counts))
    right = sum(row[i] for i, row in enumerate(counts))
    counted = "arguments" if assessment.kind == "roles" else "gold records"
    words = f"{count(right)} of {count(total)} {counted} lie on the diagonal, where answer and gold are equal."
    as_map = 0 < len(counts) <= LABELS_IN_A_MAP
    return {
        "name": series.name,
        "words": words,
        "map": charts.confusion_map(names, counts, Caption(key, f"Confusion of {series.name}", words))
        if as_map
        else "",
        "labels": [shown(label, limit=60) for label in labels],
        "counts": [[count(n) for n in row] for row in counts],
        "worst": tables.confusions(assessment, limit=MOST_CONFUSED),
        "kinds": sum(1 for i, row in enumerate(counts) for j, n in enumerate(row) if n and i != j),
        "rows": tables.label_rows(assessment, limit=LABELS_IN_A_TABLE),
        "label_count": len(assessment.per_label),
    }


def _confidence(report: Report, series: Sequence[Series]) -> dict[str, Any]:
    kinds: dict[str, list[float]] = {}
    for one in report.confidences:
        kinds.setdefault(one.kind, []).append(one.value)
    missing = report.outcomes.labelled - len(report.confidences)
    return {
        "missing": count(missing) if missing > 0 else "",
        "labelled": count(report.outcomes.labelled),
        "reliability": [
            _reliability(one, its) for one, its in zip(report.assessments, series, strict=True) if one.reliability
        ],
        "histograms": [_histogram(kind, values) for kind, values in sorted(kinds.items())],
    }


def _reliability(assessment: Assessment, series: Series) -> dict[str, Any]:
    bins = assessment.reliability
    words = "; ".join(
        f"at {number(one.confidence)} right {percent(one.accuracy.value)} of {one.accuracy.n}" for one in bins
    )
    caption = Caption(f"reliability-{series.index}", f"Reliability of {series.name}", words)
    rows = [
        (
            number(one.confidence),
            percent(one.accuracy.value),
            interval(one.accuracy, as_percent=True),
            count(one.accuracy.n),
        )
        for one in bins
    ]
    return {"name": series.name, "plot": charts.reliability_plot(bins, series, caption), "rows": rows}


def _histogram(kind: str, values: Sequence[float]) -> dict[str, Any]:
    ordered = sorted(values)
    median = number(ordered[len(ordered) // 2])
    words = (
        f"{count(len(values))} annotations, median {median}, lowest {number(ordered[0])}, highest {number(ordered[-1])}"
    )
    caption = Caption(f"histogram-{one_line(kind).replace(' ', '-')}", f"Confidence of kind {one_line(kind)}", words)
    return {"kind": one_line(kind), "words": words, "plot": charts.histogram(values, caption)}


def _answers(report: Report) -> dict[str, Any]:
    return {
        "distribution": _bars(report.distribution, Caption("distribution", "Labels given", "")),
        "failures": _bars(report.outcomes.failures, Caption("failures", "Failures by class", ""), fill=charts.MUTED),
        "labelled": report.outcomes.labelled,
        "written": not report.question.labels,
        "fields": report.question.kind == "attributes",
        "failed": count(report.outcomes.failed) if report.outcomes.failed else "",
    }


def _bars(counts: Mapping[str, int], caption: Caption, *, fill: str = charts.SERIES_COLOURS[0]) -> dict[str, Any]:
    """Return bars for the first names, and as a table all that are drawn."""
    total = sum(counts.values())
    if not total:
        return {"plot": "", "rows": [], "rest": 0, "rest_count": ""}
    kept = list(counts) if len(counts) <= LABELS_IN_A_TABLE else sorted(counts, key=lambda name: -counts[name])
    kept = kept[:LABELS_IN_A_TABLE]
    drawn = dict(zip(unique(kept), (counts[name] for name in kept), strict=True))
    words = "; ".join(f"{name}: {count(n)}" for name, n in drawn.items())
    return {
        "plot": charts.bars(drawn, Caption(caption.key, caption.title, words), fill=fill),
        "rows": [(shown(name, limit=80), count(counts[name]), percent(counts[name] / total)) for name in kept],
        "rest": len(counts) - len(kept),
        "rest_count": count(total - sum(drawn.values())),
    }


def _expense(report: Report) -> list[tuple[str, str, str]]:
    """Return name, value and remark of each thing that was spent."""
    spent, labelled = report.expense, report.outcomes.labelled
    rate = f"{labelled / spent.seconds:.1f} labels a second" if labelled and spent.seconds else ""
    each = f"{(spent.input_tokens + spent.output_tokens) / labelled:,.0f} a label, read and written" if labelled else ""
    resent = f"{count(spent.resent)} of them sent again" if spent.resent else "none sent again"
    return [
        ("Cost", *_cost(spent, labelled)),
        ("Time", duration(spent.seconds), rate),
        ("Requests", count(spent.requests), resent),
        ("Tokens read", count(spent.input_tokens), f"{count(spent.cached_tokens)} from a cache"),
        ("Tokens written", count(spent.output_tokens), each),
    ]


def _cost(spent: Expense, labelled: int) -> tuple[str, str]:
    if spent.usd is None:
        return "unknown", "requests were made without a price, and none is guessed"
    lost = f"up to {dollars(spent.unseen_usd)} more for replies that were lost on the way"
    if spent.usd == 0:
        return dollars(0), lost if spent.unseen_usd else "nothing was billed"
    each = [f"{dollars(1000 * spent.usd / labelled)} per 1,000 labels"] if labelled else []
    dated = f"prices of {one_line(spent.price_date)}" if spent.price_date else "the date of the prices is unknown"
    return dollars(spent.usd), ", ".join([*each, dated, *([lost] if spent.unseen_usd else [])])


def _all_doubtful(report: Report) -> dict[str, Any]:
    """Return the most doubtful records, and which colour marks each label in all of them."""
    kept = report.doubtful[:MOST_DOUBTFUL]
    marked = dict.fromkeys(mark.label for one in kept for mark in (*one.marks, *one.gold_marks))
    order = [label for label in report.question.labels if label in marked]
    order += [label for label in marked if label not in order]
    # Events are marked by their ids, which mean nothing beyond their record.
    told = 1 < len(order) <= COLOURS and report.question.kind != "timeline"
    return {
        "doubtful": [_doubtful(one, order) for one in kept],
        "colours": [(shown(label, limit=60), at) for at, label in enumerate(order)] if told else [],
    }


def _doubtful(one: Doubtful, order: Sequence[str]) -> dict[str, Any]:
    marked = one.marks or one.gold_marks
    equal = one.gold == one.answer
    return {
        "id": shown(one.id, limit=200),
        "text": shown(one.text, limit=400),
        "pieces": pieces(one.text, one.marks, one.gold_marks, limit=400, order=order) if marked else [],
        "answer": shown(one.answer, limit=400),
        "gold": None if one.gold is None else shown(one.gold, limit=400),
        "wrong": one.gold is not None and not (equal if one.right is None else one.right),
        "equal": equal,
        "confidence": "missing" if one.confidence is None else number(one.confidence),
        "reason": shown(one.reason, limit=200),
    }


@cache
def _environment() -> Environment:
    # Names that end in .html are escaped by default: nothing in a template needs to remember it.
    return Environment(
        templates={"report.html": _asset("report.html")},
        filters={"unbroken": lambda text: text.replace(" %", "\N{NO-BREAK SPACE}%")},
        undefined_behavior="strict",
        trim_blocks=True,
    )


def _asset(name: str) -> str:
    return files("postil.assess").joinpath("report_assets").joinpath(name).read_text(encoding="utf-8")
