"""Reads the rows of a subset's images and items in chunks of bounded size, in file order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from registry.dataset.cells import NOT_INGESTED, check_images, check_items
from registry.dataset.tables import IMAGE_COLUMNS, IMAGES, ITEMS, arrow_schema
from registry.errors import RegistryFormatError
from registry.execution.in_order import in_order
from registry.subset.rows import Chunk, Part, Slice

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from registry.storage.place import Place
    from registry.store.own_columns import OwnColumns

#: Images that one query reads. More are faster (train as COCO: 5.9 s with 6,144, 6.5 s with 4,096, 7.5 s with 3,072)
#: and need more memory (361, 348 and 332 MB).
READ_IMAGES: Final = 4_096
#: Columns of images in a chunk.
_IMAGES_READ: Final = (*IMAGE_COLUMNS, "orientation")
#: Images in a chunk, with some 850 items: a format may hold several forms of them at once.
CHUNK_IMAGES: Final = 512


class ChunkReader:
    """Reads chunks of the images and items in ``chosen_images`` and ``chosen_items``.

    Args:
        connection: has these tables (:func:`registry.store.choice.choose`), ``images`` and ``items``.
        place: the registry, for messages.
        category_ids: of the chosen items.
        own: columns of the user's tables that chunks may have.
    """

    def __init__(
        self, connection: DuckDBPyConnection, place: Place, category_ids: Sequence[int], own: OwnColumns
    ) -> None:
        self._connection = connection
        self._place = place
        # Listed in the query, they let DuckDB skip the files of all other categories.
        self._categories = ", ".join(map(str, category_ids)) or "NULL"
        self._own = own
        self._item_schema = pa.unify_schemas([arrow_schema(ITEMS, stored=False), own.schema(connection)])

    def chunks(self, part: Part, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        """Yield the images of a part, split by split, ascending by image_id, while the next query runs.

        Args:
            part: the part.
            columns: of the table items, or of the user's tables; without any, the chunks have images and no items.

        Raises:
            RegistryFormatError: the rows are not as an ingestion writes them.
            duckdb.Error: a file cannot be read.
        """
        with ThreadPoolExecutor(1) as pool:
            started = ((piece, pool.submit(self._read, piece, columns)) for piece in self.slices(part, READ_IMAGES))
            for _, chunk in in_order(started, 2):
                yield from chunk.slices(CHUNK_IMAGES)
                del chunk  # frees its memory before the next chunk is awaited

    def slices(self, part: Part, num_images: int) -> list[Slice]:
        """Return the images of a part in slices of at most ``num_images``, split by split, ascending by image_id."""
        bounds = self._connection.execute(
            """
            SELECT split, min(image_id), max(image_id), sum(num_items)::BIGINT FROM (
                SELECT split, image_id, num_items,
                    (row_number() OVER (PARTITION BY split ORDER BY image_id) - 1) // $size AS no
                FROM chosen_images WHERE part = $part
            ) GROUP BY split, no ORDER BY min(image_id)
            """,
            {"part": part.name, "size": num_images},
        ).fetchall()
        ordered = [bound for split in part.splits for bound in bounds if bound[0] == split]
        items_before = accumulate((bound[3] for bound in ordered), initial=0)
        return [
            Slice(part, split, low, high, before)
            for (split, low, high, _), before in zip(ordered, items_before, strict=False)
        ]

    def read(self, piece: Slice, columns: Sequence[str]) -> Iterator[Chunk]:
        """Yield the images of a slice, as :meth:`chunks` does."""
        return self._read(piece, columns).slices(CHUNK_IMAGES)

    def _read(self, piece: Slice, columns: Sequence[str]) -> Chunk:
        """Return the images of a slice, with their items."""
        part, split, low, high = piece.part, piece.split, piece.low, piece.high
        params: dict[str, Any] = {"part": part.name, "split": split, "low": low, "high": high}
        in_range = "split = $split AND image_id BETWEEN $low AND $high"
        of_items = "items.split = $split AND items.image_id BETWEEN $low AND $high"
        query = (
            f"SELECT {', '.join(f'images.{name}' for name in _IMAGES_READ)}, chosen.num_items AS num_chosen "
            "FROM images JOIN (SELECT split, image_id, num_items "
            f"FROM chosen_images WHERE part = $part AND {in_range}) AS chosen USING (split, image_id) "
            f"WHERE {in_range} ORDER BY image_id"
        )
        declared = arrow_schema(IMAGES, stored=False)
        schema = pa.schema([declared.field(name) for name in _IMAGES_READ])
        images = self._batch(query, params, schema.append(pa.field("num_chosen", pa.int64())))
        num_items = images.column("num_chosen").to_pylist()
        images = images.select(schema.names)
        check_images(images, split, self._place)
        if not columns:
            return Chunk(part, split, images, pa.record_batch([]), num_items, piece.items_before)
        query = (
            f"SELECT {self._own.select(columns)} FROM items SEMI JOIN (SELECT split, image_id, item_no "
            f"FROM chosen_items WHERE part = $part AND {in_range}) AS chosen USING (split, image_id, item_no)"
            f"{self._own.joins(columns, in_range)} WHERE {of_items} "
            f"AND items.category_id IN ({self._categories}) ORDER BY items.image_id, items.item_order"
        )
        items = self._batch(query, params, pa.schema([self._item_schema.field(name) for name in columns]))
        if sum(num_items) != items.num_rows:
            image_ids = images.column("image_id")
            raise RegistryFormatError(
                f"{self._place} > {split} > images {image_ids[0]} to {image_ids[-1]} > item_no: expected each of an "
                f"image once in the table items, found {items.num_rows:,} rows for {sum(num_items):,} items. "
                f"{NOT_INGESTED}"
            )
        of_registry = items.select([name for name in columns if name not in self._own.found])
        check_items(of_registry, split, self._place, images.column("image_id"), num_items)
        return Chunk(part, split, images, items, num_items, piece.items_before)

    def _batch(self, query: str, params: dict[str, Any], schema: pa.Schema) -> pa.RecordBatch:
        """Return the rows of a query as one batch of a schema."""
        try:
            table = self._connection.cursor().sql(query, params=params).to_arrow_table().cast(schema)
        except pa.ArrowException as error:
            raise RegistryFormatError(f"{self._place} has columns of other types than declared: {error}") from error
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)
