"""The plots of the statistics: each has a SELECT for its bars, and another for the pictures behind a bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES
from registry.dataset.statistics import BOX_SHARE_STEP, HAS_BOX_SHARE
from registry.store.sql import SPLIT_ORDER

#: Counts from this on share a bar.
_MANY: Final = 8


@dataclass(frozen=True)
class Plot:
    """A plot of bars.

    Attributes:
        name: of the plot in an address.
        statistic: that it shows; see :data:`registry.dataset.statistics.STATISTICS`.
        title: of the plot.
        text: the meaning of its numbers, in a sentence.
        bars: SELECT of key, label, part, number and share (NULL where it says nothing), in order.
        pictures: SELECT of the split, image_id and, of items, item_no behind the bar of ``$key`` and ``$part``.
        option: of a subset that chooses the same items by the key of a bar; None without one.
        part: what the bars of a key differ in; an option of a subset if it is split or source.
        of: what the pictures show: ``items`` or ``images``.
    """

    name: str
    statistic: str
    title: str
    text: str
    bars: str
    pictures: str
    option: str | None = None
    part: str = "split"
    of: str = "items"


def _pictures(condition: str, rows: str = "items") -> str:
    """Return the SELECT of the items (or images) of a split for which a condition on their columns holds."""
    item_no = ", item_no" if rows == "items" else ""
    return f"SELECT split, image_id{item_no} FROM {rows} WHERE split = $part AND {condition}"


def _attribute(name: str, title: str, text: str) -> Plot:
    assert name in ATTRIBUTE_CODES
    bars = f"""
        SELECT code::VARCHAR AS key, meaning AS label, split AS part, num_items AS number, share
        FROM attribute_counts WHERE attribute = '{name}' ORDER BY code, {SPLIT_ORDER}
    """
    return Plot(name, "attribute_counts", title, text, bars, _pictures(f"{name} = TRY_CAST($key AS INT)"), name)


def _distribution(view: str, number: str, of: str) -> str:
    """Return a SELECT for how many rows have each number, and the share of their split.

    Args:
        view: has a row for each number in each split.
        number: its column of the number.
        of: its column of how many rows have the number.
    """
    return f"""
        WITH bars AS (
            SELECT split, least({number}, {_MANY}) AS bar, sum({of})::BIGINT AS number FROM {view} GROUP BY ALL
        )
        SELECT bar::VARCHAR AS key, if(bar = {_MANY}, '{_MANY} or more', bar::VARCHAR) AS label, split AS part, number,
            number / sum(number) OVER (PARTITION BY split) AS share
        FROM bars ORDER BY bar, {SPLIT_ORDER}
    """


_BAR: Final = f"least({{}}, {_MANY}) = TRY_CAST($key AS INT)"

PLOTS: Final = (
    Plot(
        "images",
        "split_counts",
        "Images by source",
        "Photos of consumers (user) and of shops (shop); photos without annotation have neither.",
        f"""
        SELECT coalesce(source, '') AS key, coalesce(source, 'not known') AS label, split AS part,
            count(*) AS number, count(*) / sum(count(*)) OVER (PARTITION BY split) AS share
        FROM images GROUP BY source, split ORDER BY source DESC NULLS LAST, {SPLIT_ORDER}
        """,
        _pictures("coalesce(source, '') = $key", "images"),
        of="images",
    ),
    Plot(
        "category",
        "category_counts",
        "Items by category",
        "How many items of each category the splits have.",
        f"""
        SELECT category_id::VARCHAR AS key, category_name AS label, split AS part, num_items AS number,
            num_items / sum(num_items) OVER (PARTITION BY split) AS share
        FROM category_counts ORDER BY category_id, {SPLIT_ORDER}
        """,
        _pictures("category_id = TRY_CAST($key AS INT)"),
        "category",
    ),
    Plot(
        "category_source",
        "category_counts",
        "Consumers and shops",
        "Items of each category in photos of consumers (user) and of shops (shop), all splits together.",
        """
        SELECT category_id::VARCHAR AS key, category_name AS label, part, number, NULL::DOUBLE AS share FROM (
            SELECT category_id, category_name, unnest(['user', 'shop']) AS part,
                unnest([sum(num_user_items), sum(num_shop_items)])::BIGINT AS number
            FROM category_counts GROUP BY category_id, category_name
        ) ORDER BY category_id, part DESC
        """,
        "SELECT split, image_id, item_no FROM items WHERE source = $part AND category_id = TRY_CAST($key AS INT)",
        "category",
        "source",
    ),
    _attribute("scale", "Scale", "How much of the photo the item takes: small under 10 %, large over 40 %."),
    _attribute("occlusion", "Occlusion", "How much of the item is hidden."),
    _attribute("zoom_in", "Zoom-in", "How much of the item lies beyond the edges of the photo."),
    _attribute("viewpoint", "Viewpoint", "From where the item is seen, or that nobody wears it."),
    Plot(
        "items_per_image",
        "items_per_image",
        "Items in an image",
        "Annotated images with so many items.",
        _distribution("items_per_image", "num_items", "num_images"),
        """
        SELECT split, image_id FROM images LEFT JOIN items USING (split, image_id)
        WHERE split = $part AND images.num_items IS NOT NULL
        GROUP BY split, image_id HAVING """
        + _BAR.format("count(item_no)"),
        of="images",
    ),
    Plot(
        "styles_per_pair_id",
        "styles_per_pair_id",
        "Styles of a pair_id",
        "Values of pair_id with so many styles above 0; 0: no item has one. The pictures are of all images with such a "
        "pair_id.",
        _distribution("styles_per_pair_id", "num_styles", "num_pair_ids"),
        """
        WITH counted AS (
            SELECT split, images.pair_id, count(DISTINCT identities.style) AS num_styles
            FROM images LEFT JOIN identities USING (split, pair_id) WHERE images.pair_id IS NOT NULL GROUP BY ALL
        )
        SELECT split, image_id FROM images JOIN counted USING (split, pair_id)
        WHERE split = $part AND """
        + _BAR.format("num_styles"),
        of="images",
    ),
    Plot(
        "pairs_per_identity",
        "pairs_per_identity",
        "Pairs of an identity",
        "Identities with so many pairs of a consumer item and a shop item; 0: seen on one side only. The pictures are "
        "of all items of such identities.",
        _distribution("pairs_per_identity", "num_instance_pairs", "num_identities"),
        """
        SELECT split, image_id, item_no FROM items JOIN identities USING (split, pair_id, style)
        WHERE split = $part AND """
        + _BAR.format("num_user_items * num_shop_items"),
    ),
    Plot(
        "landmark_visibility",
        "landmark_visibility",
        "Landmarks",
        "Landmarks of each category that are visible, occluded or not labelled, and their share of the category; the "
        "pictures are of items with at least one such landmark.",
        """
        WITH sums AS (
            SELECT category_id, category_name, unnest(['visible', 'occluded', 'not labelled']) AS part,
                unnest([sum(num_visible), sum(num_occluded), sum(num_unlabelled)])::BIGINT AS number,
                unnest([3, 2, 1]) AS place
            FROM landmark_visibility GROUP BY category_id, category_name
        )
        SELECT category_id::VARCHAR AS key, category_name AS label, part, number,
            number / nullif(sum(number) OVER (PARTITION BY category_id), 0) AS share
        FROM sums ORDER BY category_id, place DESC
        """,
        """
        SELECT DISTINCT split, image_id, item_no FROM landmarks WHERE category_id = TRY_CAST($key AS INT)
        AND v = CASE $part WHEN 'visible' THEN 2 WHEN 'occluded' THEN 1 WHEN 'not labelled' THEN 0 END
        """,
        part="visibility",
    ),
    Plot(
        "box_areas",
        "box_areas",
        "Size of the boxes",
        "Items whose box takes this much of the photo, in steps of 5 %.",
        f"""
        WITH boxes AS (
            SELECT split, {BOX_SHARE_STEP} AS bin FROM items JOIN images USING (split, image_id) WHERE {HAS_BOX_SHARE}
        )
        SELECT bin::VARCHAR AS key, 5 * bin || ' - ' || 5 * (bin + 1) || ' %' AS label, split AS part,
            count(*) AS number, count(*) / sum(count(*)) OVER (PARTITION BY split) AS share
        FROM boxes GROUP BY split, bin ORDER BY bin, {SPLIT_ORDER}
        """,
        f"""
        SELECT split, image_id, item_no FROM items JOIN images USING (split, image_id)
        WHERE split = $part AND {HAS_BOX_SHARE} AND {BOX_SHARE_STEP} = TRY_CAST($key AS INT)
        """,
    ),
    Plot(
        "image_sizes",
        "image_sizes",
        "Sizes of the photos",
        "The most frequent sizes, width and height in px.",
        f"""
        WITH most AS (
            SELECT sum(num_images) AS total, width, height FROM image_sizes WHERE width > 0 GROUP BY ALL
            ORDER BY ALL DESC LIMIT 8
        )
        SELECT width || 'x' || height AS key, width || ' x ' || height AS label, split AS part, num_images AS number,
            share
        FROM image_sizes JOIN most USING (width, height)
        ORDER BY most.total DESC, width DESC, height DESC, {SPLIT_ORDER}
        """,
        _pictures("width || 'x' || height = $key", "images"),
        of="images",
    ),
    Plot(
        "annotated",
        "paper_table_1",
        "Annotations",
        "Items with a box, with a labelled landmark and with a polygon, as Table 1 of the paper counts them.",
        f"""
        SELECT label AS key, label, part, number, NULL::DOUBLE AS share FROM (
            SELECT split AS part, {SPLIT_ORDER} AS place, unnest(['boxes', 'landmarks', 'masks']) AS label,
                unnest([num_boxes, num_landmarks, num_masks]) AS number FROM paper_table_1
        ) ORDER BY label, place
        """,
        _pictures(
            "CASE $key WHEN 'boxes' THEN true WHEN 'landmarks' THEN num_landmarks_labelled > 0 "
            "WHEN 'masks' THEN len(segmentation) > 0 END"
        ),
    ),
)
