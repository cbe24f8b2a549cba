"""The plot of the document: CPU time a record of every client, from the figures that were measured."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.measuring import Spread
from benchmarks.report import Results, Row

_INK: Final = "#1f2328"
_OWN: Final = "#1d5b8f"
_OTHERS: Final = "#b4540a"
_POSTIL: Final = "Postil"


def write_plot(path: Path, results: Results) -> None:
    """Draw the CPU time of Postil, of the bare loop and of the peers, least to most, on a logarithmic scale.

    Nothing is drawn before the peers have been measured.
    """
    rows = next((section.rows for section in results.sections if section.name == "peers"), [])
    if rows:
        path.write_text(_svg(rows), encoding="utf-8")


def _svg(rows: Sequence[Row]) -> str:
    import altair as alt  # noqa: PLC0415 - the extra "report", for the drawing only
    import vl_convert  # noqa: PLC0415 - as above

    points = [_point(row.what, row.figures[0]) for row in rows if row.figures[0]]
    names = [point["name"] for point in sorted(points, key=lambda point: point["median"])]
    bounds = [min(point["least"] for point in points) / 1.5, max(point["most"] for point in points) * 2]
    scale = alt.Scale(type="log", domain=bounds, nice=False)
    base = alt.Chart(alt.Data(values=points)).encode(
        y=alt.Y("name:N", sort=names, title=None),
        color=alt.Color("own:N", scale=alt.Scale(domain=[True, False], range=[_OWN, _OTHERS]), legend=None),
    )
    axis = alt.Axis(format="~g", grid=True)
    x = alt.X("median:Q", scale=scale, axis=axis, title="CPU milliseconds a record (least, median, most)")
    dots = base.mark_point(filled=True, size=70, opacity=1).encode(x=x)
    whiskers = base.mark_rule(strokeWidth=2).encode(x=alt.X("least:Q", scale=scale), x2="most:Q")
    words = base.mark_text(align="left", dx=10, color=_INK).encode(x=alt.X("most:Q", scale=scale), text="words:N")
    chart = alt.layer(whiskers, dots, words).properties(width=520, height=28 * len(names))
    chart = chart.configure(font="sans-serif", background="white").configure_view(stroke=None)
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return str(vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=version, allowed_base_urls=[]))


def _point(name: str, cpu: Spread) -> dict[str, Any]:
    return {
        "name": name,
        "least": cpu.least,
        "median": cpu.median,
        "most": cpu.most,
        "words": f"{cpu.median:.2f}",
        "own": name == _POSTIL,
    }
