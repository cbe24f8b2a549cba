"""The charts of a report: from plain numbers to SVG with no script, no ids of its own and no link outside.

Every colour here is the light theme's. `report.css` finds a shape by its colour attribute and recolours it for the
dark theme, so that each chart is in the page once and is still right when copied out of it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, Any

from postil.assess._report_text import width
from postil.errors import MissingExtraError
from postil.types import ReliabilityBin

if TYPE_CHECKING:
    import altair as alt

__all__ = ["Caption", "Series", "Whisker", "bars", "confusion_map", "histogram", "interval_plot", "reliability_plot"]

SERIES_COLOURS = ("#1d5b8f", "#b4540a", "#2c7a4b", "#7a3e9d")
SERIES_SHAPES = ("circle", "diamond", "square", "triangle-up")
INK, MUTED, RULE = "#1f2328", "#5c6670", "#d9d6cf"
FONT = 12


@dataclass(frozen=True, slots=True)
class Caption:
    """What a reader who does not see the chart is told; `key` is unique in the page."""

    key: str
    title: str
    description: str


@dataclass(frozen=True, slots=True)
class Whisker:
    """A value with its interval, on one line of the interval plot."""

    metric: str
    series: str
    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Series:
    """One annotator's place in the order: decides colour and shape."""

    name: str
    index: int

    @property
    def colour(self) -> str:
        """The series' colour; never the only mark of it."""
        return SERIES_COLOURS[self.index % len(SERIES_COLOURS)]

    @property
    def shape(self) -> str:
        """The series' symbol."""
        return SERIES_SHAPES[self.index % len(SERIES_SHAPES)]


def interval_plot(whiskers: Sequence[Whisker], series: Sequence[Series], caption: Caption) -> str:
    """Return dots with whiskers, a line a metric, the series below each other in it."""
    alt = _altair()
    metrics = list(dict.fromkeys(one.metric for one in whiskers))
    names = [one.name for one in series]
    rows = [
        {"metric": one.metric, "series": one.series, "value": one.value, "low": one.low, "high": one.high}
        for one in whiskers
    ]
    floor = min(0.0, *(one.low for one in whiskers))
    colour = alt.Color("series:N", scale=alt.Scale(domain=names, range=[one.colour for one in series]), legend=None)
    shape = alt.Shape("series:N", scale=alt.Scale(domain=names, range=[one.shape for one in series]), legend=None)
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("metric:N", sort=metrics, title=None, axis=_name_axis(metrics)),
        yOffset=alt.YOffset("series:N", sort=names, scale=alt.Scale(paddingOuter=0.6)),
    )
    scale = alt.Scale(domain=[floor, 1.0], nice=False)
    line = base.mark_rule(strokeWidth=2.5, strokeCap="round").encode(
        x=alt.X("low:Q", scale=scale, title=None, axis=alt.Axis(tickCount=5, format=".1f")), x2="high:Q", color=colour
    )
    dot = base.mark_point(filled=True, size=95, opacity=1).encode(x="value:Q", color=colour, shape=shape)
    return _svg((line + dot).properties(width=500, height=alt.Step(17 if len(series) > 1 else 30)), caption)


def confusion_map(names: Sequence[str], counts: Sequence[Sequence[int]], caption: Caption) -> str:
    """Return a heat map: rows are gold, columns the annotator's; shaded by the share of the gold row."""
    alt = _altair()
    cell = max(40, min(74, 300 // max(1, len(names))))
    slanted = max(map(width, names)) * FONT > cell - 6
    cells = [
        {"gold": gold, "answer": answer, "count": n, "share": n / max(1, sum(row))}
        for gold, row in zip(names, counts, strict=True)
        for answer, n in zip(names, row, strict=True)
    ]
    down = alt.Axis(
        orient="top",
        labelAngle=-40 if slanted else 0,
        labelAlign="left" if slanted else "center",
        **_extent(names, slanted),
    )
    base = alt.Chart(alt.Data(values=cells)).encode(
        x=alt.X("answer:N", sort=list(names), title="the annotator’s answer", axis=down),
        y=alt.Y("gold:N", sort=list(names), title="gold", axis=_name_axis(names)),
    )
    # Half opaque at most: ink on it stays readable in both themes.
    shade = alt.FillOpacity("share:Q", scale=alt.Scale(domain=[0, 1], range=[0.04, 0.5]), legend=None)
    square = base.mark_rect(fill=SERIES_COLOURS[0], stroke=RULE, strokeWidth=1).encode(fillOpacity=shade)
    text = base.mark_text(fontSize=FONT + 1, color=INK).encode(text="count:Q")
    return _svg((square + text).properties(width=cell * len(names), height=cell * len(names)), caption)


def reliability_plot(bins: Sequence[ReliabilityBin], series: Series, caption: Caption) -> str:
    """Return how often annotations of similar confidence were right; on the diagonal confidence is true."""
    alt = _altair()
    rows = [
        {"confidence": one.confidence, "right": one.accuracy.value, "low": one.accuracy.low, "high": one.accuracy.high}
        for one in bins
    ]
    unit = alt.Scale(domain=[0, 1], nice=False)
    axis = alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f")
    diagonal = (
        alt.Chart(alt.Data(values=[{"x": 0, "y": 0}, {"x": 1, "y": 1}]))
        .mark_line(color=MUTED, strokeDash=[4, 4], strokeWidth=1)
        .encode(x=alt.X("x:Q", scale=unit, axis=axis), y=alt.Y("y:Q", scale=unit, axis=axis))
    )
    base = alt.Chart(alt.Data(values=rows)).encode(x=alt.X("confidence:Q", title="mean confidence"))
    line = base.mark_rule(color=series.colour, strokeWidth=2, strokeCap="round").encode(
        y=alt.Y("low:Q", title="share that was right"), y2="high:Q"
    )
    dot = base.mark_point(filled=True, size=70, opacity=1, color=series.colour, shape=series.shape).encode(y="right:Q")
    return _svg((diagonal + line + dot).properties(width=250, height=250), caption)


def histogram(values: Sequence[float], caption: Caption, *, bins: int = 20) -> str:
    """Return how many annotations have which confidence."""
    alt = _altair()
    tally = [0] * bins
    for value in values:
        tally[min(bins - 1, max(0, int(value * bins)))] += 1
    rows = [{"low": i / bins, "high": (i + 1) / bins, "count": n} for i, n in enumerate(tally) if n]
    chart = (
        alt.Chart(alt.Data(values=rows))
        .mark_bar(fill=SERIES_COLOURS[0], stroke=None, binSpacing=2)
        .encode(
            x=alt.X(
                "low:Q",
                bin="binned",
                scale=alt.Scale(domain=[0, 1], nice=False),
                axis=alt.Axis(values=[0, 0.25, 0.5, 0.75, 1], format=".2~f", grid=False),
                title="confidence",
            ),
            x2="high:Q",
            y=alt.Y("count:Q", title="annotations", axis=alt.Axis(tickCount=3, tickMinStep=1, format=",d")),
        )
    )
    return _svg(chart.properties(width=500, height=120), caption)


def bars(counts: Mapping[str, int], caption: Caption, *, fill: str = SERIES_COLOURS[0]) -> str:
    """Return one bar a name, in the order given, with its count at the end."""
    alt = _altair()
    rows = [{"name": name, "count": n, "text": f"{n:,}"} for name, n in counts.items()]
    top = max(1, *counts.values())
    base = alt.Chart(alt.Data(values=rows)).encode(
        y=alt.Y("name:N", sort=list(counts), title=None, axis=_name_axis(list(counts), ticks=False, domain=False)),
        x=alt.X("count:Q", scale=alt.Scale(domain=[0, top * 1.18], nice=False), axis=None),
    )
    bar = base.mark_bar(fill=fill, height=13)
    text = base.mark_text(align="left", dx=5, fontSize=FONT, color=INK).encode(text="text:N")
    return _svg((bar + text).properties(width=400, height=alt.Step(24)), caption)


def _altair() -> Any:
    """Return altair: loaded when a report is made, not when Postil is."""
    try:
        import altair as alt  # noqa: PLC0415  # heavy, and optional
    except ImportError as error:
        raise MissingExtraError("The report", "report") from error
    return alt


def _name_axis(names: Sequence[str], **rest: Any) -> "alt.Axis":
    """Return an axis with room for these names, however the machine that draws them measures text."""
    room = max(map(width, names)) * FONT + 10
    return _altair().Axis(labelLimit=0, minExtent=room, maxExtent=room, grid=False, **rest)


def _extent(names: Sequence[str], slanted: bool) -> dict[str, float]:
    room = max(map(width, names)) * FONT * 0.65 + 16 if slanted else 22
    return {"labelLimit": 0, "minExtent": room, "maxExtent": room}


def _svg(chart: Any, caption: Caption) -> str:
    """Return a chart as an SVG element under its own title and description.

    The charts use nothing that the renderer gives an id to (clipping, rounded bars, gradients): ids would collide in
    the page, and its counter would make equal reports differ.
    """
    try:
        import vl_convert  # noqa: PLC0415  # heavy, and optional
    except ImportError as error:
        raise MissingExtraError("The report", "report") from error
    alt = _altair()
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    svg: str = vl_convert.vegalite_to_svg(_themed(chart).to_dict(), vl_version=version, allowed_base_urls=[])
    return _with_title(svg, caption)


def _themed(chart: Any) -> Any:
    return (
        chart.configure(font="sans-serif", aria=False, background="transparent", padding=6)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=MUTED,
            gridColor=RULE,
            domainColor=MUTED,
            tickColor=MUTED,
            labelFontSize=FONT,
            titleFontSize=FONT,
            titleFontWeight="normal",
            labelPadding=6,
            labelFlush=False,
            titlePadding=8,
        )
    )


def _with_title(svg: str, caption: Caption) -> str:
    """Replace the outer tag: scalable, and named for readers who do not see it."""
    head, body = svg.split(">", 1)
    box = re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', head)
    if box is None:
        raise ValueError(f"expected an SVG with a viewBox from vl_convert, got {head[:200]!r}")
    key = caption.key
    return (
        f'<svg class="chart" role="img" aria-labelledby="{key}-title {key}-text" viewBox="{box[0][9:-1]}"'
        f' style="--drawn:{box[1]}px"><title id="{key}-title">{escape(caption.title)}</title>'
        f'<desc id="{key}-text">{escape(caption.description)}</desc>{body}'
    )
