"""Batches of a subset as NumPy and Arrow, without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pyarrow as pa

from registry.errors import SourceError, UsageError
from registry.loaders.chosen_rows import ATTRIBUTES, ITEM_ROWS, ChosenRows
from registry.loaders.photo_pixels import PhotoPixels, check_margin, cropped, photo_key
from registry.loaders.random_keys import random_order
from registry.loaders.resuming import is_whole
from registry.loaders.shared_table import SharedTable
from registry.loaders.skipped import OnError, check_on_error, is_of_one_photo

if TYPE_CHECKING:
    from registry.sources.photo_reader import PhotoReader
    from registry.store.registry import Registry
    from registry.subset.options import Subset
    from registry.subset.resplit import Resplit


def iterate(
    registry_or_url: Registry | str,
    subset: Subset | Mapping[str, Any] | None = None,
    columns: Sequence[str] | None = None,
    photos: str | Mapping[str, str] | PhotoReader | None = None,
    batch_size: int = 256,
    *,
    pictures: Literal["crops", "photos"] = "crops",
    margin: float = 0.0,
    shuffle: int | None = None,
    batches: Iterable[Sequence[int]] | None = None,
    on_error: OnError = "raise",
    resplit: Resplit | str | None = None,
    part: str | None = None,
    password: str | None = None,
    **open_options: Any,
) -> Iterator[dict[str, Any]]:
    """Return an iterator over batches of items: column name -> values.

    Numbers without NULL are NumPy arrays; texts, lists, and numbers with NULL are Arrow arrays. With ``photos``, the
    entry ``images`` is a list of uint8 arrays (height, width, 3).

    Args:
        registry_or_url: an open registry, or its folder or URL.
        subset: a Subset or its options by name.
        columns: of items, ``width`` and ``height`` of the photo, or ``TABLE.COLUMN`` of a table of the user. By default
            key, pair_id, style, source, category, size, box and attributes.
        photos: release with the photos, mapping from split to release, or a PhotoReader; None for rows alone.
        batch_size: items of a batch; the last may have fewer.
        pictures: ``"crops"`` of the items' boxes, or whole ``"photos"``.
        margin: of crops: fraction of the box's width and height that is added on each side.
        shuffle: seed of a random order; None for the order of the registry.
        batches: lists of positions of the items of each batch, such as an IdentitySampler makes; ``batch_size`` and
            ``shuffle`` then do nothing.
        on_error: ``"raise"``, or ``"skip"`` items whose photo cannot be read: the batch then has fewer rows, and the
            entry ``skipped`` maps key -> reason.
        resplit: divides the subset anew, such as ``"train=0.8,val=0.2"``.
        part: only this split, or this part of the re-split.
        password: of protected zips among the photos.
        **open_options: ``storage_options``, ``cache``, ``memory``, ``timeout`` and ``tables`` of
            :func:`registry.open`.

    Raises:
        NotFoundError: there is no such registry, or the subset has no item.
        UsageError: an option that does not exist.
        SourceError: a photo cannot be read.
    """
    check_on_error(on_error)
    if not is_whole(batch_size) or batch_size < 1:
        raise UsageError(f"batch_size: expected a number of at least 1, found {batch_size!r}.")
    if shuffle is not None and not (is_whole(shuffle) and shuffle >= 0):
        raise UsageError(f"shuffle: expected a whole number of 0 or more as seed, found {shuffle!r}.")
    if pictures not in ("crops", "photos"):
        raise UsageError(f"pictures: expected 'crops' or 'photos', found {pictures!r}.")
    check_margin(margin)
    chosen = ChosenRows.of(registry_or_url, subset, resplit=resplit, part=part, open_options=open_options)
    wanted = [*ITEM_ROWS, *ATTRIBUTES] if columns is None else list(dict.fromkeys(columns))
    rows = SharedTable(chosen.items([*wanted, *(ITEM_ROWS if photos is not None else ())]))
    reader = None
    if photos is not None:
        reader = PhotoPixels(photos, chosen.splits, password, open_options.get("storage_options"))
    pixels = _Pixels(reader, pictures, margin, on_error) if reader else None
    return _batches(_tables(rows, batch_size, shuffle, batches), wanted, pixels)


class _Pixels:
    """Reads the images of a batch."""

    def __init__(self, photos: PhotoPixels, pictures: str, margin: float, on_error: str) -> None:
        self._photos = photos
        self._pictures = pictures
        self._margin = margin
        self._skips = on_error == "skip"
        #: Items of one photo follow each other: it is decoded once.
        self._last_image: tuple[str, int] | None = None
        self._last_photo: Any = None

    def read(self, batch: pa.Table) -> tuple[list[int], list[Any], dict[str, str]]:
        """Return the positions of rows with an image, the images, and the reason of each other image by its place."""
        positions, images, skipped = [], [], {}
        for position, row in enumerate(batch.select(ITEM_ROWS).to_pylist()):
            try:
                if (row["split"], row["image_id"]) != self._last_image:
                    self._last_photo = self._photos.photo(row)
                    self._last_image = (row["split"], row["image_id"])
                photo = self._last_photo
                crop = photo if self._pictures == "photos" else cropped(photo, row, self._margin)[0]
                images.append(crop.copy())  # a caller may write to it
                positions.append(position)
            except SourceError as error:
                if not self._skips or not is_of_one_photo(error):
                    raise
                skipped[photo_key(row["split"], row["image_id"])] = str(error)
        return positions, images, skipped


def _tables(
    rows: SharedTable, size: int, shuffle: int | None, batches: Iterable[Sequence[int]] | None
) -> Iterator[pa.Table]:
    """Yield the rows of each batch."""
    if batches is not None:
        for positions in batches:
            try:
                yield rows.table.take(pa.array(positions, pa.int64()))
            except (pa.ArrowInvalid, IndexError) as error:
                raise UsageError(
                    f"batches: expected lists of positions from 0 to {rows.table.num_rows - 1:,}, found a list with "
                    f"others: {error}."
                ) from error
        return
    order = None if shuffle is None else random_order(rows.table.num_rows, shuffle)
    for first in range(0, rows.table.num_rows, size):
        yield rows.table.slice(first, size) if order is None else rows.table.take(order[first : first + size])


def _batches(tables: Iterable[pa.Table], columns: Sequence[str], pixels: _Pixels | None) -> Iterator[dict[str, Any]]:
    """Yield the columns and images of each batch."""
    for table in tables:
        batch = table
        pictures: dict[str, Any] = {}
        if pixels is not None:
            positions, images, skipped = pixels.read(batch)
            pictures = {"images": images}
            if skipped:
                batch = batch.take(pa.array(positions, pa.int64()))
                pictures["skipped"] = skipped
        yield {name: _values(batch.column(name)) for name in columns} | pictures


def _values(column: pa.ChunkedArray) -> Any:
    """Return numbers as NumPy, and all else as an Arrow array."""
    types = pa.types
    is_number = types.is_integer(column.type) or types.is_floating(column.type)
    if is_number and not column.null_count:
        return column.to_numpy()
    values = column.combine_chunks()
    return values if isinstance(values, pa.Array) else pa.concat_arrays(values.chunks)
