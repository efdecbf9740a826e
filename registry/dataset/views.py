"""The files of ``schemas/``: beside the package in a checkout, inside it in a wheel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from registry.dataset.tables import FIELDS


@cache
def schemas_folder() -> Path:
    """Return the folder with ``views/``, ``views_spark/`` and ``tables/``."""
    inside = Path(__file__).parents[1] / "schemas"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "schemas"


@dataclass(frozen=True, slots=True)
class View:
    """A view: its SQL and the notes in its header comment.

    Attributes:
        name: file name without suffix.
        sql: one SELECT, header included.
        meaning: "One row per ...".
        key: columns that identify a row.
        source: tables and rules that the rows come from.
        column_meanings: column -> meaning, where it differs from :data:`registry.dataset.tables.FIELDS`.
    """

    name: str
    sql: str
    meaning: str
    key: tuple[str, ...]
    source: str
    column_meanings: dict[str, str]

    def column_meaning(self, column: str) -> str:
        """Return the meaning of a column of this view."""
        return self.column_meanings.get(column) or FIELDS[column].meaning


def parse_view(name: str, sql: str) -> View:
    """Return the view in an SQL text with a header of ``-- One row per``, ``-- key:``, ``-- source:`` lines."""
    header = [line[3:].strip() for line in sql.splitlines() if line.startswith("-- ")]
    notes = dict(line.split(": ", 1) for line in header[1:])
    key = tuple(notes.pop("key").split(", "))
    source = notes.pop("source")
    return View(name, sql, header[0], key, source, notes)


@cache
def load_views() -> dict[str, View]:
    """Return all views by name, sorted by name."""
    files = sorted((schemas_folder() / "views").glob("*.sql"))
    return {file.stem: parse_view(file.stem, file.read_text(encoding="utf-8")) for file in files}


@cache
def spark_views() -> dict[str, str]:
    """Return the SQL of all views for Spark, by name: that of ``views_spark`` where Spark does not take the other."""
    other = {file.stem: file.read_text(encoding="utf-8") for file in (schemas_folder() / "views_spark").glob("*.sql")}
    return {name: other.get(name, view.sql) for name, view in load_views().items()}
