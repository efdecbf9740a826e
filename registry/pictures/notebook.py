"""Rows with thumbnails, as notebooks show them."""

from __future__ import annotations

from html import escape
from typing import Any, Final

from registry.errors import RegistryError, UsageError
from registry.pictures.album import Album
from registry.pictures.files import data_uri, jpeg
from registry.pictures.gallery import RowKeys, row_cells, with_items
from registry.pictures.sheet import Cell
from registry.store.connection import duckdb_errors
from registry.store.html import html_table
from registry.wording import plural

#: Rows that are shown.
ROWS: Final = 12
#: Characters of a value in a table.
_VALUE: Final = 60


class NotebookRows:
    """Returns the first rows of a relation as HTML, with a thumbnail of each that names an image.

    All text is escaped, and pictures are JPEGs within the HTML: nothing is loaded from elsewhere.

    Attributes:
        album: reads the photos.
    """

    def __init__(self, album: Album) -> None:
        self.album = album

    def __call__(self, relation: Any) -> str:
        """Return the HTML of the first rows of a relation of DuckDB."""
        with duckdb_errors():
            rows = relation.limit(ROWS + 1).to_arrow_table()
        records = rows.slice(0, ROWS).to_pylist()
        more = ", and more" if rows.num_rows > ROWS else ""
        title = f"{plural(len(records), 'row')}{more}"
        table = html_table(title, [{name: _shown(value) for name, value in record.items()} for record in records])
        try:
            shown = with_items(self.album.registry, rows.slice(0, ROWS)).slice(0, ROWS)
            cells = row_cells(self.album, RowKeys.of(shown.column_names), shown.to_pylist())
        except UsageError:  # no column names an image
            return table
        except RegistryError as error:
            return f"{table}<p>No pictures: {escape(str(error))}</p>"
        return f'{table}<div style="display: flex; flex-wrap: wrap; gap: 8px">{"".join(map(_figure, cells))}</div>'


def _figure(cell: Cell) -> str:
    """Return the pictures of a cell with its first line."""
    title = escape(cell.caption[0])
    images = "".join(f'<img alt="{title}" src="{data_uri(jpeg(picture), "jpeg")}">' for picture in cell.pictures)
    return f'<figure style="margin: 0">{images}<figcaption>{title}</figcaption></figure>'


def _shown(value: Any) -> str | None:
    """Return a value for a table, long ones cut; numbers may be names, and get no separators."""
    if value is None:
        return None
    text = str(value)
    return text if len(text) <= _VALUE else f"{text[:_VALUE]}…"
