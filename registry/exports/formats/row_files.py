"""Items as rows with columns of the table items: parquet, arrow, csv, jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from registry.dataset.deepfashion2 import unknown_name
from registry.dataset.tables import ITEM_COLUMNS, ITEMS, arrow_schema
from registry.errors import UsageError
from registry.exports.columns.sinks import SINKS
from registry.exports.job import Job


def chosen_columns(options: Mapping[str, Any]) -> list[str]:
    """Return the columns of the option ``columns``; all columns of items by default.

    Raises:
        UsageError: a column does not exist or is repeated.
    """
    if options["columns"] is None:
        return list(ITEM_COLUMNS)
    names = [name.strip() for name in options["columns"].split(",")]
    for name in names:
        if name not in ITEM_COLUMNS:
            raise unknown_name("column of items", name, list(ITEM_COLUMNS))
    if len(set(names)) < len(names):
        raise UsageError(f"columns: expected each column once, found {options['columns']}.")
    return names


def _write(job: Job, kind: str) -> None:
    """Write ``items.EXT`` with the items of all splits, or ``items-PART.EXT`` for each part of a resplit."""
    columns = chosen_columns(job.options)
    full = arrow_schema(ITEMS, stored=False)
    schema = pa.schema([full.field(name) for name in columns])
    groups = {f"items-{part.name}": [part] for part in job.parts} if job.divided else {"items": job.parts}
    for name, parts in groups.items():
        with job.files.open(f"{name}.{kind}") as file, SINKS[kind](file, schema) as write_batch:
            for part in parts:
                for chunk in job.chunks(part, columns):
                    write_batch(chunk.items)


def check(options: Mapping[str, Any], images: str) -> None:
    """Raise a UsageError for a column that does not exist or is repeated."""
    chosen_columns(options)


write_parquet = partial(_write, kind="parquet")
write_arrow = partial(_write, kind="arrow")
write_csv = partial(_write, kind="csv")
write_jsonl = partial(_write, kind="jsonl")
