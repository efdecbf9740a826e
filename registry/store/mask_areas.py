"""The statistic of the areas of masks. A mask is the union of its polygons, which shapely computes."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

import duckdb

from registry.execution.in_order import in_order
from registry.store.geometry import polygons_of_items

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyRelation

#: Items whose masks a thread measures at a time.
_BATCH: Final = 10_000
_MASKS: Final = """
    SELECT
        items.split, items.category_id, items.category_name, items.segmentation,
        greatest(items.x2 - items.x1, 0) * greatest(items.y2 - items.y1, 0) AS box_area,
        images.width::DOUBLE * images.height AS image_area
    FROM items JOIN images USING (split, image_id)
    WHERE len(items.segmentation) > 0
"""
_STATISTICS: Final = """
    SELECT
        split, category_id, category_name,
        count(*) AS num_items,
        quantile_cont(area, 0.5) AS median_area,
        quantile_cont(area / nullif(box_area, 0), 0.5) AS median_share_of_box,
        quantile_cont(area / image_area, 0.5) AS median_share_of_image,
        min(area) AS min_area,
        quantile_cont(area, 0.25) AS lower_quartile_area,
        quantile_cont(area, 0.75) AS upper_quartile_area,
        max(area) AS max_area,
        round(avg(area), 1) AS mean_area
    FROM areas
    GROUP BY split, category_id, category_name
    ORDER BY split, category_id
"""


def mask_area_statistics(sql: Callable[[str], DuckDBPyRelation]) -> DuckDBPyRelation:
    """Return quartiles and mean of the areas of masks by split and category.

    Args:
        sql: returns the rows of a SELECT over the tables of a registry or a subset.
    """
    import pyarrow as pa

    reader = sql(_MASKS).to_arrow_reader(_BATCH)
    position = reader.schema.get_field_index("segmentation")
    schema = reader.schema.remove(position).append(pa.field("area", pa.float64()))
    threads = os.cpu_count() or 1
    batches = []
    with ThreadPoolExecutor(threads) as pool:  # shapely leaves the other threads free to run
        calls = ((rows, pool.submit(mask_area, rows.column(position))) for rows in reader)
        for rows, areas in in_order(calls, threads):
            columns = [*rows.columns[:position], *rows.columns[position + 1 :], areas]
            batches.append(pa.record_batch(columns, schema=schema))
    connection = duckdb.connect()
    connection.register("areas", pa.Table.from_batches(batches, schema))
    return connection.sql(_STATISTICS)


def mask_area(segmentation: pa.Array) -> pa.Array:
    """Return the area of each mask in px². A polygon that crosses itself has the area that ``make_valid`` gives it.

    Args:
        segmentation: a list of polygons for each row, each flat x, y, ...; NULL gives NULL, no polygon gives 0.
    """
    import numpy as np
    import pyarrow as pa
    import shapely

    polygons, starts = polygons_of_items(segmentation)
    is_invalid = ~shapely.is_valid(polygons)
    polygons[is_invalid] = shapely.make_valid(polygons[is_invalid])
    first, num_polygons = starts[:-1], np.diff(starts)
    areas = np.zeros(len(segmentation))
    rows = np.flatnonzero(num_polygons == 1)
    areas[rows] = shapely.area(polygons[first[rows]])
    for number in np.unique(num_polygons[num_polygons > 1]):
        rows = np.flatnonzero(num_polygons == number)
        areas[rows] = shapely.area(shapely.union_all(polygons[first[rows][:, None] + np.arange(number)], axis=1))
    return pa.array(areas, mask=segmentation.is_null().to_numpy(zero_copy_only=False))
