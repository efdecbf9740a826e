"""The statistics of the report: each one SELECT, drawn as a plot, with its numbers as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.statistics import BOX_SHARE_STEP, HAS_BOX_SHARE
from registry.report import plots
from registry.report.elements import Html, element, table
from registry.store.query import records
from registry.store.sql import SPLIT_ORDER

if TYPE_CHECKING:
    from registry.store.selection import Selection

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot of the rows of one SELECT.

    Attributes:
        title: of the figure.
        text: the meaning of its numbers, in a sentence.
        query: its rows; ``split`` is a column of them.
        draw: gives the SVG of the rows; its second argument is the text in place of the picture.
        across: column whose values are columns of the table of the numbers; "" for none.
    """

    title: str
    text: str
    query: str
    draw: Callable[[Sequence[Record], str], str]
    across: str = "split"


def _bars(y: str, x: str = "num_items", colour: str = "split", x_title: str = "items", x_format: str = "~s") -> Any:
    def draw(rows: Sequence[Record], label: str) -> str:
        return plots.grouped_bars(rows, label, y=y, x=x, colour=colour, x_title=x_title, x_format=x_format)

    return draw


def _shares(y: str, of: str) -> Any:
    return _bars(y, x="share", x_title=f"share of the {of} of the split", x_format="%")


def _attribute(name: str, title: str, text: str) -> Plot:
    query = f"SELECT meaning AS {name}, split, num_items, share FROM attribute_counts WHERE attribute = '{name}'"
    return Plot(title, text, f"{query} ORDER BY code, {SPLIT_ORDER}", _shares(name, "items"))


def _steps(title: str) -> Any:
    def draw(rows: Sequence[Record], label: str) -> str:
        ends = [{"from": 1.0, "share": 0.0, "split": split} for split in dict.fromkeys(row["split"] for row in rows)]
        return plots.steps(
            [*rows, *ends], label, x="from", y="share", colour="split", x_title=title, y_title="share of the items"
        )

    return draw


#: Counts from this on share a bar.
_MANY: Final = 8


def _distribution(view: str, number: str, of: str, name: str) -> str:
    """Return a SELECT for how many rows have each number, and the share of their split.

    Args:
        view: has a row for each number in each split.
        number: its column of the number.
        of: its column of how many rows have the number.
        name: of the number in the result.
    """
    shown = f"if(bar = {_MANY}, '{_MANY} or more', bar::VARCHAR)"
    return f"""
        WITH bars AS (
            SELECT split, least({number}, {_MANY}) AS bar, sum({of})::BIGINT AS {of} FROM {view} GROUP BY ALL
        )
        SELECT {shown} AS {name}, split, {of}, {of} / sum({of}) OVER (PARTITION BY split) AS share
        FROM bars ORDER BY bar, {SPLIT_ORDER}
    """


def _landmarks(rows: Sequence[Record], label: str) -> str:
    states = ("visible", "occluded", "not_labelled")
    long = [
        {"category": row["category"], "state": state.replace("_", " "), "share": row[state]}
        for row in rows
        for state in states
    ]
    return plots.stacked_bars(
        long, label, y="category", x="share", colour="state", x_title="share of the landmarks of the category"
    )


PLOTS: Final = (
    Plot(
        "Items by category",
        "How many items of each category the splits have.",
        f"SELECT category_name AS category, split, num_items FROM category_counts ORDER BY category_id, {SPLIT_ORDER}",
        _bars("category"),
    ),
    Plot(
        "Consumers and shops",
        "Items of each category in photos of consumers (user) and of shops (shop), all splits together.",
        """
        SELECT category_name AS category, source, num_items FROM (
            SELECT category_id, category_name, unnest(['user', 'shop']) AS source,
                unnest([sum(num_user_items), sum(num_shop_items)])::BIGINT AS num_items
            FROM category_counts GROUP BY category_id, category_name
        ) ORDER BY category_id, source DESC
        """,
        _bars("category", colour="source"),
        across="source",
    ),
    _attribute("scale", "Scale", "How much of the photo the item takes: small under 10 %, large over 40 %."),
    _attribute("occlusion", "Occlusion", "How much of the item is hidden."),
    _attribute("zoom_in", "Zoom-in", "How much of the item lies beyond the edges of the photo."),
    _attribute("viewpoint", "Viewpoint", "From where the item is seen, or that nobody wears it."),
    Plot(
        "Items in an image",
        "Share of the annotated images with so many items.",
        _distribution("items_per_image", "num_items", "num_images", "items"),
        _shares("items", "annotated images"),
    ),
    Plot(
        "Styles of a pair_id",
        "Share of the pair_ids with so many styles above 0; 0: no item has one.",
        _distribution("styles_per_pair_id", "num_styles", "num_pair_ids", "styles"),
        _shares("styles", "pair_ids"),
    ),
    Plot(
        "Pairs of an identity",
        "Share of the identities with so many pairs of a consumer item and a shop item; 0: seen on one side only.",
        _distribution("pairs_per_identity", "num_instance_pairs", "num_identities", "pairs"),
        _shares("pairs", "identities"),
    ),
    Plot(
        "Landmarks",
        "Share of the landmarks of a category that are visible, occluded or not labelled, all splits together.",
        """
        SELECT category_name AS category, sum(num_visible) / sum(num_items) AS visible,
            sum(num_occluded) / sum(num_items) AS occluded, sum(num_unlabelled) / sum(num_items) AS not_labelled
        FROM landmark_visibility GROUP BY category_id, category_name ORDER BY category_id
        """,
        _landmarks,
        across="",
    ),
    Plot(
        "Size of the boxes",
        "Share of the items whose box takes this much of the photo, in steps of 5 %.",
        f"""
        WITH boxes AS (
            SELECT split, {BOX_SHARE_STEP} AS bin
            FROM items JOIN images USING (split, image_id)
            WHERE {HAS_BOX_SHARE}
        )
        SELECT split, bin / 20 AS "from", count(boxes.bin) AS num_items,
            count(boxes.bin) / sum(count(boxes.bin)) OVER (PARTITION BY split) AS share
        FROM (SELECT unnest(range(20))::INT AS bin) CROSS JOIN (SELECT DISTINCT split FROM boxes)
        LEFT JOIN boxes USING (split, bin)
        GROUP BY split, bin ORDER BY bin, {SPLIT_ORDER}
        """,
        _steps("share of the photo"),
    ),
    Plot(
        "Sizes of the photos",
        "The most frequent sizes, width and height in px.",
        f"""
        WITH most AS (
            SELECT sum(num_images) AS total, width, height FROM image_sizes WHERE width > 0 GROUP BY ALL
            ORDER BY ALL DESC LIMIT 8
        )
        SELECT width || ' x ' || height AS size, split, num_images, share
        FROM image_sizes JOIN most USING (width, height)
        ORDER BY most.total DESC, width DESC, height DESC, {SPLIT_ORDER}
        """,
        _shares("size", "photos"),
    ),
)


def figures(selection: Selection) -> Iterator[Html]:
    """Yield the figures of all statistics of a subset that have any rows."""
    for plot in PLOTS:
        rows = records(selection.sql(plot.query))
        if rows:
            yield _figure(plot, rows)


def _figure(plot: Plot, rows: Sequence[Record]) -> Html:
    label = f"Plot: {plot.title}. {plot.text} The numbers stand in the table after it."
    svg = Html(plot.draw(rows, label))
    shown = _pivot(rows, plot.across)
    caption = element("figcaption", element("h3", plot.title), element("p", plot.text))
    numbers = element("details", element("summary", "The numbers"), table(plot.title, shown))
    return element("figure", caption, svg, numbers)


def _pivot(rows: Sequence[Record], across: str) -> list[Record]:
    """Return a row for each value of the first other column, and in it a column for each value of ``across``."""
    if not across:
        return [{name: _shown(name, value) for name, value in row.items()} for row in rows]
    columns = list(dict.fromkeys(row[across] for row in rows))
    index, number, *share = (name for name in rows[0] if name != across)
    pivoted: dict[Any, Record] = {}
    for row in rows:
        cells = pivoted.setdefault(row[index], {index: _shown(index, row[index]), **dict.fromkeys(columns, 0)})
        cells[row[across]] = f"{row[number]:,} ({_shown(share[0], row[share[0]])})" if share else row[number]
    return list(pivoted.values())


def _shown(name: str, value: Any) -> Any:
    """Return a value for the table: shares in percent."""
    is_share = isinstance(value, float) and name in ("share", "from", "visible", "occluded", "not_labelled")
    return f"{value:.1%}".replace("%", " %") if is_share else value
