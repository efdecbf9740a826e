"""Items as rows with columns of the table items: parquet, arrow, csv, jsonl."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import pyarrow as pa

from registry.dataset.deepfashion2 import unknown_name
from registry.dataset.tables import ITEM_COLUMNS, ITEMS, arrow_schema, arrow_type
from registry.exports.columns.bounds import note_boxes_without_area
from registry.exports.columns.classes import CLASS_COLUMNS, with_class_columns
from registry.exports.columns.own_values import check_parquet, column_names, note_no_numbers
from registry.exports.columns.sinks import SINKS
from registry.exports.huggingface_layout import data_path, notice_of_parts_without_rows, split_names
from registry.exports.job import Job


def chosen_columns(options: Mapping[str, Any], *, has_classes: bool = False) -> list[str]:
    """Return the columns of the option ``columns``; by default all of items, with ``--classes`` those of the class too.

    Raises:
        UsageError: a column does not exist or is repeated.
    """
    if options["columns"] is None:
        return [*ITEM_COLUMNS, *(CLASS_COLUMNS if has_classes else ())]
    names = column_names(options)
    for name in names:
        # An export checks the columns of the user's tables, TABLE.COLUMN, when it has these.
        if name not in ITEM_COLUMNS and name not in CLASS_COLUMNS and "." not in name:
            raise unknown_name("column of items", name, [*ITEM_COLUMNS, *CLASS_COLUMNS])
    return names


def _write(job: Job, kind: str) -> None:
    """Write ``data/PART-00000-of-00001.EXT`` for every part with items, or for all if none has any."""
    columns = chosen_columns(job.options, has_classes=job.classes.are_chosen)
    full = arrow_schema(ITEMS, stored=False)
    for name, type_name in CLASS_COLUMNS.items():
        full = full.append(pa.field(name, arrow_type(type_name), nullable=False))
    if kind == "parquet":
        check_parquet(job.own_schema())
    full = pa.unify_schemas([full, job.own_schema()])
    schema = pa.schema([full.field(name) for name in columns])
    of_class = [name for name in columns if name in CLASS_COLUMNS]
    read = [name for name in columns if name not in of_class]
    if of_class and "category_id" not in read:
        read.append("category_id")
    names = dict(zip(job.parts, split_names(job.parts), strict=True))
    without_rows = [part for part in job.parts if not job.counts[part.name]["items"]]
    if len(without_rows) == len(job.parts):
        without_rows = []
    notice_of_parts_without_rows(job, without_rows)
    for part, name in names.items():
        if part in without_rows:
            continue
        with job.files.open(data_path(name, kind)) as file, SINKS[kind](file, schema) as write_batch:
            for chunk in job.chunks(part, read):
                note_boxes_without_area(job, chunk.items)
                if kind == "jsonl":
                    note_no_numbers(job, chunk.items)
                rows = with_class_columns(job.classes, chunk.items) if of_class else chunk.items
                write_batch(pa.record_batch([rows.column(name) for name in columns], schema=schema))


def check(options: Mapping[str, Any], images: str) -> None:
    """Raise a UsageError for a column that does not exist or is repeated."""
    chosen_columns(options)


write_parquet = partial(_write, kind="parquet")
write_arrow = partial(_write, kind="arrow")
write_csv = partial(_write, kind="csv")
write_jsonl = partial(_write, kind="jsonl")
