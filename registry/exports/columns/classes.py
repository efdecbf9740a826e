"""The class of each item as columns beside the released category, and the notice of items without landmarks."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

from registry.dataset.tables import arrow_type
from registry.exports.work import ChunkWork
from registry.subset.classes import Classes

#: Columns of rows of items that ``--classes`` adds -> their types. Without it, they are the released category.
CLASS_COLUMNS: Final = {"class_id": "int8", "class_name": "string"}


def class_columns(classes: Classes, category_ids: pa.Array) -> dict[str, pa.Array]:
    """Return the columns of :data:`CLASS_COLUMNS`, from a column ``category_id``."""
    columns = {"class_id": classes.ids(category_ids), "class_name": classes.names(category_ids)}
    return {name: columns[name].cast(arrow_type(CLASS_COLUMNS[name])) for name in CLASS_COLUMNS}


def with_class_columns(classes: Classes, items: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows of items with the class of each at the end; they need the column ``category_id``."""
    for name, values in class_columns(classes, items.column("category_id")).items():
        items = items.append_column(name, values)
    return items


def note_merged(work: ChunkWork, number: int) -> None:
    """Report items whose landmarks are left out, as their class merges several categories."""
    names = ", ".join(member.name for member in work.classes.merged)
    why = f"without landmarks, as the class merges categories with different ones: {names}"
    work.notice(number, f"item is {why}", f"items are {why}")
