"""Plots as SVG, drawn by altair and vl-convert. Their texts and lines take the colours of the page around them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any, Final, Literal

from registry.dataset.deepfashion2 import SPLITS
from registry.errors import MissingDependencyError

Rows = Sequence[Mapping[str, Any]]

#: Colours that colour-blind people tell apart (Okabe and Ito), with a contrast of 3 or more on white and on dark pages.
COLOURS: Final = ("#0072b2", "#d55e00", "#009e73")
_WIDTH: Final = 400
_FONT_SIZE: Final = 12
_CONFIG: Final[dict[str, Any]] = {
    "aria": False,  # the whole has a label, and the numbers stand in a table
    "background": None,
    "padding": {"left": 10, "top": 4, "right": 10, "bottom": 4},  # fonts of readers may be wider
    "view": {"stroke": None},
    "axis": {"labelFontSize": _FONT_SIZE, "titleFontSize": _FONT_SIZE, "titleFontWeight": "normal", "labelLimit": 170},
    "axisY": {"grid": False, "domain": False, "ticks": False, "labelPadding": 5},
    "legend": {"labelFontSize": _FONT_SIZE, "orient": "top", "title": None, "labelLimit": 300},
}
_START: Final = re.compile(r"<svg[^>]*?width=\"([\d.]+)\" height=\"([\d.]+)\" viewBox=\"([^\"]*)\">")


def grouped_bars(rows: Rows, label: str, *, y: str, x: str, colour: str, x_title: str, x_format: str) -> str:
    """Return horizontal bars: a group for each value of ``y``, in it a bar for each value of ``colour``.

    Args:
        rows: in the order in which they are to stand.
        label: text in place of the picture, for screen readers.
        y: column of the groups.
        x: column of the lengths.
        colour: column of the colours.
        x_title: title of the axis.
        x_format: of its numbers, in d3's notation.
    """
    import altair as alt

    colours = list(dict.fromkeys(row[colour] for row in rows))
    groups = list(dict.fromkeys(row[y] for row in rows))
    chart = alt.Chart({"values": list(rows)}).mark_bar()
    chart = chart.encode(
        x=alt.X(f"{x}:Q", title=x_title, axis=alt.Axis(format=x_format, tickCount=4)),
        y=alt.Y(f"{y}:N", sort=groups, title=None, scale=alt.Scale(paddingInner=0.3)),
        yOffset=alt.YOffset(f"{colour}:N", sort=colours),
        color=_colour(colour, colours),
    )
    return _svg(chart.properties(height=alt.Step(9 if len(colours) > 1 else 14)), label)


def stacked_bars(rows: Rows, label: str, *, y: str, x: str, colour: str, x_title: str) -> str:
    """Return horizontal bars of shares that add up to 1: a bar for each value of ``y``, a part for each ``colour``."""
    import altair as alt

    colours = list(dict.fromkeys(row[colour] for row in rows))
    numbered = [{**row, "order": colours.index(row[colour])} for row in rows]
    chart = alt.Chart({"values": numbered}).mark_bar()
    chart = chart.encode(
        x=alt.X(f"{x}:Q", title=x_title, axis=alt.Axis(format="%", tickCount=4), scale=alt.Scale(domain=[0, 1])),
        y=alt.Y(f"{y}:N", sort=list(dict.fromkeys(row[y] for row in rows)), title=None),
        color=_colour(colour, colours),
        order=alt.Order("order:O"),
    )
    return _svg(chart.properties(height=alt.Step(18)), label)


def steps(rows: Rows, label: str, *, x: str, y: str, colour: str, x_title: str, y_title: str) -> str:
    """Return histograms as lines with steps, one for each value of ``colour``.

    Args:
        rows: ``x`` is the left edge of a bin, a share; ``y`` the share of the rows in it.
        label: text in place of the picture, for screen readers.
        x: column of the bins.
        y: column of the heights.
        colour: column of the colours.
        x_title: title of the axis.
        y_title: title of the axis.
    """
    return _lines(rows, label, x, y, colour, x_title, y_title, "step-after")


def curves(rows: Rows, label: str, *, x: str, y: str, colour: str, x_title: str, y_title: str) -> str:
    """Return lines through the points of each value of ``colour``; arguments as of :func:`steps`."""
    return _lines(rows, label, x, y, colour, x_title, y_title, "linear")


def _lines(
    rows: Rows,
    label: str,
    x: str,
    y: str,
    colour: str,
    x_title: str,
    y_title: str,
    interpolate: Literal["linear", "step-after"],
) -> str:
    import altair as alt

    colours = list(dict.fromkeys(row[colour] for row in rows))
    chart = alt.Chart({"values": list(rows)}).mark_line(interpolate=interpolate, strokeWidth=2, clip=False)
    chart = chart.encode(
        x=alt.X(f"{x}:Q", title=x_title, axis=alt.Axis(format="%", tickCount=5)),
        y=alt.Y(f"{y}:Q", title=y_title, axis=alt.Axis(format="%", tickCount=4, grid=True)),
        color=_colour(colour, colours, "stroke"),
        strokeDash=alt.StrokeDash(f"{colour}:N", sort=colours, legend=None),
    )
    return _svg(chart.properties(height=180), label)


def _colour(name: str, values: Sequence[str], symbol: str = "square") -> Any:
    """Return the encoding of a column as colour; its legend is left out where there is one value."""
    import altair as alt

    # A split has its colour in every plot; other columns of up to three values take the colours in their order.
    colours = [COLOURS[SPLITS.index(value) if value in SPLITS else number] for number, value in enumerate(values)]
    legend = alt.Legend(symbolType=symbol) if len(values) > 1 else None
    return alt.Color(f"{name}:N", scale=alt.Scale(domain=list(values), range=colours), legend=legend)


def _svg(chart: Any, label: str) -> str:
    """Return a chart as an SVG element that fits the width of its place.

    Raises:
        MissingDependencyError: vl-convert is not installed.
    """
    import vl_convert

    sized = chart.properties(width=_WIDTH, autosize={"type": "fit-x", "contains": "padding"})
    svg: str = vl_convert.vegalite_to_svg({**sized.to_dict(), "config": _CONFIG})
    svg = svg.replace(' font-family="sans-serif"', "").replace(' fill="#000"', "").replace(' stroke="#ddd"', "")
    start = f'<svg class="plot" role="img" aria-label="{escape(label)}" width="{{}}" height="{{}}" viewBox="{{}}">'
    return _START.sub(lambda match: start.format(*match.groups()), svg, count=1)


def check_installed() -> None:
    """Check that the packages of the extra ``report`` are there, before any work.

    Raises:
        MissingDependencyError: a package is missing.
    """
    try:
        import altair  # noqa: F401
        import vl_convert  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"The report needs {error.name}: pip install 'deepfashion2-registry[report]'."
        ) from error
