"""The masks for query and gallery items select the same rows as the SQL views."""

from __future__ import annotations

from collections.abc import Callable

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.dataset.deepfashion2 import SOURCES
from registry.dataset.views import load_views
from registry.exports.columns.retrieval_roles import is_gallery, is_query


@pytest.mark.parametrize(("view", "mask"), [("query_items", is_query), ("gallery_items", is_gallery)])
@given(roles=st.lists(st.tuples(st.sampled_from(SOURCES), st.integers(0, 3) | st.integers(0, 2**31 - 1)), max_size=20))
def test_a_mask_selects_the_rows_of_its_view(
    view: str, mask: Callable[[pa.RecordBatch], pa.BooleanArray], roles: list[tuple[str, int]]
) -> None:
    rows = pa.record_batch(
        {
            "item_no": pa.array(range(len(roles)), pa.int32()),
            "source": pa.array([source for source, _ in roles], pa.string()),
            "style": pa.array([style for _, style in roles], pa.int32()),
        }
    )
    with duckdb.connect() as database:
        database.register("items", pa.Table.from_batches([rows]))
        expected = database.execute(f"SELECT item_no FROM ({load_views()[view].sql}) ORDER BY item_no").fetchall()
    assert [(item_no,) for item_no in rows.filter(mask(rows)).column("item_no").to_pylist()] == expected
