"""Tables of a user for tests: scores of the items of ``SMALL_SPLIT`` and files of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq

#: A loss for each item of train but item 5 of image 2 and that of image 7.
SCORES: Sequence[Mapping[str, Any]] = [
    {"split": "train", "image_id": image_id, "item_no": item_no, "loss": loss, "style": 99, "tag": tag}
    for image_id, item_no, loss, tag in [
        (1, 1, 0.5, "easy"), (1, 2, 3.5, 'a "b", c'), (2, 2, 2.5, ""), (3, 1, 1.0, None), (4, 1, 4.0, "é"),
        (4, 2, None, "x"),
    ]
]  # fmt: skip


def table(*changed: Mapping[str, Any], rows: Sequence[Mapping[str, Any]] = SCORES) -> pa.Table:
    """Return rows, and after them copies of the first row with changed values."""
    return pa.Table.from_pylist([*rows, *({**rows[0], **values} for values in changed)])


def write(path: Path, rows: pa.Table | None = None) -> Path:
    """Write rows in the kind of the suffix of a path."""
    rows = table() if rows is None else rows
    if path.suffix == ".parquet":
        pq.write_table(rows, path)
    elif path.suffix == ".arrow":
        pa.feather.write_feather(rows, str(path))
    elif path.suffix == ".csv":
        pa.csv.write_csv(rows, path)
    else:
        import json

        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows.to_pylist()), encoding="utf-8")
    return path
