"""Values that items from a COCO file do not have: their number, and how to have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from registry.store.sql import SPLIT_ORDER
from registry.wording import plural

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

#: Columns of an item that decide its identity and its pairs.
PAIRING: Final = ("source", "pair_id", "style")
_RELEASE: Final = "from the release, or from a COCO file"
_REMEDIES: Final = {
    "source": "with --source-of @FILE (lines 000001.jpg,user) or the information files of the release (--retrieval)",
    **dict.fromkeys(("pair_id", "style"), f"{_RELEASE} of the official converter"),
    "landmarks": f"{_RELEASE} with keypoints",
}
_OTHERS: Final = f"{_RELEASE} that 'df2 export coco --attributes' wrote"
#: List column -> column that is NULL where it is, and is read faster.
_COUNTED: Final = {"landmarks": "num_landmarks_labelled"}


def undescribed_splits(sql: Callable[[str], Any]) -> list[str]:
    """Return the splits with images and without rows in the table photos; none if no split has such rows.

    Args:
        sql: answers a SELECT over the tables of a registry or a subset.
    """
    return [
        split
        for (split,) in sql(
            "SELECT DISTINCT split FROM images ANTI JOIN photos USING (split) WHERE EXISTS (FROM photos) "
            f"ORDER BY {SPLIT_ORDER}"
        ).fetchall()
    ]


def unknown_texts(connection: DuckDBPyConnection, columns: Sequence[str], rows: str = "items") -> list[str]:
    """Return a sentence for each split and column with NULL: the number of items, and how to have the values.

    Args:
        connection: has the table ``items``.
        columns: of the table items.
        rows: what to read them from, in SQL.
    """
    if not columns:
        return []
    # By the statistics of Parquet, DuckDB reads no rows of a column without NULL: most registries. It reads all of them
    # where one condition has several columns (OR).
    parts = " UNION ALL ".join(
        f"SELECT split, {position} AS position, count(*) AS number FROM {rows} "
        f"WHERE {_COUNTED.get(name, name)} IS NULL GROUP BY split"
        for position, name in enumerate(columns)
    )
    numbers: dict[str, list[tuple[str, int]]] = {}
    for split, position, number in connection.execute(f"FROM ({parts}) ORDER BY {SPLIT_ORDER}, position").fetchall():
        numbers.setdefault(split, []).append((columns[position], number))
    texts = []
    for split, of_columns in numbers.items():
        unknown: dict[str, list[tuple[str, int]]] = {}
        for name, number in of_columns:
            unknown.setdefault(_REMEDIES.get(name, _OTHERS), []).append((name, number))
        for remedy, counted in unknown.items():
            names = ", ".join(name for name, _ in counted)
            number = max(number for _, number in counted)
            items = plural(number, f"item of {split} has", f"items of {split} have")
            texts.append(f"{items} no {names}: ingest {split} {remedy}.")
    return texts
