"""Query and gallery items of the retrieval protocol, as masks over Arrow rows.

The views ``query_items`` and ``gallery_items`` select the same items in SQL.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc


def is_query(rows: pa.RecordBatch) -> pa.BooleanArray:
    """Return True for each query item: a user item with style > 0.

    Args:
        rows: items with the columns ``source`` and ``style``.
    """
    return pc.and_(pc.equal(rows.column("source"), "user"), pc.greater(rows.column("style"), 0))


def is_gallery(rows: pa.RecordBatch) -> pa.BooleanArray:
    """Return True for each gallery item: every shop item, style 0 included.

    Args:
        rows: items with the column ``source``.
    """
    return pc.equal(rows.column("source"), "shop")
