"""Values that a registry does not have, so that some checks cannot see what is odd."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from registry.dataset.checks import REMEDIES, load_checks
from registry.errors import first_names
from registry.store.connection import duckdb_errors
from registry.store.sql import SPLIT_ORDER
from registry.wording import plural

if TYPE_CHECKING:
    from registry.checks.tables import Tables
    from registry.dataset.checks import Check

#: Column -> its table, and the singular and plural of its rows.
_COLUMNS: Final = {
    "width": ("images", "image", "images"),
    "source": ("items", "item", "items"),
    "pair_id": ("items", "item", "items"),
    "style": ("items", "item", "items"),
    "scale": ("items", "item", "items"),
    "num_landmarks_labelled": ("items", "item", "items"),
}
#: Column -> the words in the SQL of a check that reads it, and its name in messages.
_WORDS: Final = {"width": ("width", "width and height"), "num_landmarks_labelled": (r"\w*landmarks\w*", "landmarks")}


def unknown_notices(tables: Tables, checks: Iterable[Check]) -> list[str]:
    """Return a sentence for each split and column with NULL that checks of this package read."""
    of_package = [check for check in checks if load_checks().get(check.name) == check]
    notices = []
    for column, (table, row, rows) in _COLUMNS.items():
        word, name = _WORDS.get(column, (column, column))
        reading = [check.name for check in of_package if _reads(check, word)]
        if not reading:
            continue
        query = f"SELECT split, count(*) FROM {table} WHERE {column} IS NULL GROUP BY split ORDER BY {SPLIT_ORDER}"
        with duckdb_errors():
            counts = tables.sql(query).fetchall()
        for split, number in counts:
            of_split = plural(number, f"{row} of {split} has", f"{rows} of {split} have")
            see = "sees" if len(reading) == 1 else "see"
            notices.append(f"{of_split} no {name}: {first_names(reading, 4)} {see} nothing odd in {_them(number)}")
    return notices + _undescribed_notices(tables, [check.name for check in of_package if "photos" in check.needs])


def _undescribed_notices(tables: Tables, reading: list[str]) -> list[str]:
    """Return a sentence for each split without a row in the table photos, unless the table is empty."""
    query = (
        "SELECT split, count(*) FROM images ANTI JOIN photos USING (split) "
        f"WHERE EXISTS (FROM photos) GROUP BY split ORDER BY {SPLIT_ORDER}"
    )
    with duckdb_errors():
        counts = tables.sql(query).fetchall() if reading else []
    return [
        f"{plural(number, f'image of {split} is', f'images of {split} are')} not in the table photos: "
        f"{first_names(reading, 4)} {'sees' if len(reading) == 1 else 'see'} nothing odd in {_them(number)}; "
        f"{REMEDIES['photos']}"
        for split, number in counts
    ]


def _reads(check: Check, word: str) -> bool:
    """Return whether a check compares the values of a column, and does not look for those that are not known."""
    lines = (line for line in check.sql.splitlines() if not line.startswith("--"))
    sql = "\n".join(lines)
    return bool(re.search(rf"\b{word}\b", sql)) and not re.search(rf"\b{word} IS NULL\b", sql)


def _them(number: int) -> str:
    return "it" if number == 1 else "them"
