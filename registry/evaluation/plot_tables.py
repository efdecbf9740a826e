"""Tables that programs draw as they are, such as ``dvc plots``: a column for each curve, a row for each case."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.evaluation.results import Evaluation

#: An item without prediction, or a prediction without item.
NOTHING: Final = "nothing"


def plot_tables(evaluation: Evaluation) -> dict[str, pa.Table]:
    """Return the tables by the name of their file.

    ``precision_recall`` has a row for each recall, and a column of precision for each threshold (``AP50``, ...).
    ``confusion`` has a row for each item or prediction. ``cmc`` has a row for each rank and a column for each slice,
    ``ranks`` a row for each rank.
    """
    tables = evaluation.tables
    drawn = {}
    if "curves" in tables:
        drawn["precision_recall"] = _precision_by_recall(tables["curves"])
    if "confusion" in tables:
        drawn["confusion"] = _cases(tables["confusion"])
    if "cmc" in tables:
        drawn["cmc"] = _pivot(tables["cmc"].to_pylist(), "rank", "slice", "share")
    if "ranks" in tables:
        drawn["ranks"] = tables["ranks"]
    return drawn


def _precision_by_recall(curves: pa.Table) -> pa.Table:
    rows = [
        row | {"column": f"AP{round(100 * row['threshold'])}", "recall": round(row["recall"], 2)}
        for row in curves.to_pylist()
        if row["category"] is None
    ]
    return _pivot(rows, "recall", "column", "precision")


def _cases(confusion: pa.Table) -> pa.Table:
    """Return a row for each case that was counted, as programs count them themselves."""
    import pyarrow as pa

    index = np.repeat(np.arange(confusion.num_rows), confusion.column("count").to_numpy())
    columns = {name: confusion.column(name).fill_null(NOTHING).take(index) for name in ("category", "predicted")}
    return pa.table(columns)


def _pivot(rows: list[dict[str, Any]], index: str, column: str, value: str) -> pa.Table:
    """Return a row for each value of ``index``, with a column for each value of ``column``."""
    import pyarrow as pa

    pivoted: dict[Any, dict[str, Any]] = {}
    for row in rows:
        pivoted.setdefault(row[index], {index: row[index]})[row[column]] = row[value]
    return pa.Table.from_pylist(list(pivoted.values()))
