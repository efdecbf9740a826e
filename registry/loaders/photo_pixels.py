"""Photos as pixels for datasets, with errors that name the photo."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from registry.errors import PasswordError, SourceError, UsageError
from registry.sources.photo_crops import crop_box
from registry.sources.photo_decoding import PhotoError, PhotoSizeError, decode_rgb
from registry.sources.photo_reader import PhotoReader
from registry.wording import sentence

Pixels = npt.NDArray[np.uint8]


class PhotoPixels:
    """Reads and decodes the photos of a dataset; pickles in a few kB.

    Args:
        photos: release or mapping from split to release, as for ``df2 ingest``, or a PhotoReader.
        splits: that are listed at once, so that worker processes need not.
        password: of protected zips.
        storage_options: passed to fsspec.

    Raises:
        UsageError: no photos are named.
        SourceError: they cannot be listed.
    """

    def __init__(
        self,
        photos: str | Mapping[str, str] | PhotoReader | None,
        splits: Sequence[str],
        password: str | None = None,
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        if photos is None:
            raise UsageError(
                "Photos are needed: photos=RELEASE names the folder, zip or URL that holds them, as for 'df2 ingest'."
            )
        if hasattr(photos, "read") and hasattr(photos, "prepare"):
            self._reader: Any = photos
        else:
            releases = photos if isinstance(photos, Mapping) else str(photos)
            self._reader = PhotoReader(releases, password=password, storage_options=storage_options)
        try:
            self._reader.prepare(splits)
        except PasswordError as error:
            raise PasswordError(f"{error} In Python, password= gives it.") from error

    def photo(self, row: Mapping[str, Any], prefix: str = "", place: Pixels | None = None) -> Pixels:
        """Return a photo, uint8 (height, width, 3), as its pixels are stored.

        Args:
            row: has ``split`` and ``image_id``; ``width`` and ``height`` where they are known.
            prefix: of the columns ``image_id``, ``width`` and ``height``.
            place: memory of this size that it may be decoded into.

        Raises:
            SourceError: it cannot be read or decoded, or has another size than in the registry.
        """
        split, image_id = row["split"], row[f"{prefix}image_id"]
        data = self._reader.read(split, image_id)
        size = (row[f"{prefix}width"], row[f"{prefix}height"])
        try:
            return decode_rgb(data, None if None in size else size, place)
        except PhotoSizeError as error:
            raise SourceError(
                f"{photo_key(split, image_id)} has {error.width} x {error.height} px, and {size[0]} x {size[1]} px in "
                "the registry: expected the photos from which it was ingested."
            ) from error
        except PhotoError as error:
            raise SourceError(f"Cannot decode {photo_key(split, image_id)}: {error}") from error

    def crop(self, row: Mapping[str, Any], margin: float, prefix: str = "") -> tuple[Pixels, tuple[int, int]]:
        """Return the crop of an item's box, uint8 (height, width, 3), and its left and top edge in the photo, px."""
        return cropped(self.photo(row, prefix), row, margin, prefix)


def cropped(pixels: Pixels, row: Mapping[str, Any], margin: float, prefix: str = "") -> tuple[Pixels, tuple[int, int]]:
    """Return the crop of an item's box out of a photo, and its left and top edge, px.

    Raises:
        SourceError: the box has a number that is not finite.
    """
    box = (row[f"{prefix}x1"], row[f"{prefix}y1"], row[f"{prefix}x2"], row[f"{prefix}y2"])
    if not all(map(math.isfinite, box)):
        raise SourceError(
            f"{item_key(row, prefix)} has the box {', '.join(map(str, box))} in the registry: expected finite numbers. "
            "'df2 verify' tells whether the registry is damaged; ingest it again."
        )
    x1, y1, x2, y2 = crop_box(box, margin, pixels.shape[1], pixels.shape[0])
    return pixels[y1:y2, x1:x2], (x1, y1)


def box_notices(rows: pa.Table, prefixes: Sequence[str]) -> list[str]:
    """Return a notice of the elements with a box that has no area in its photo, if there are any.

    Args:
        rows: elements, with a box and the size of its photo for each prefix.
        prefixes: of their columns.
    """
    is_empty = np.zeros(rows.num_rows, bool)
    for prefix in prefixes:
        for first, last, size in (("x1", "x2", "width"), ("y1", "y2", "height")):
            lower, upper = rows[prefix + first].to_numpy(), rows[prefix + last].to_numpy()
            length = pc.fill_null(rows[prefix + size].cast(pa.float64()), math.inf).to_numpy()
            is_empty |= ~(np.minimum(upper, length) > np.maximum(lower, 0))
    if not is_empty.any():
        return []
    count = int(is_empty.sum())
    return [
        f"{sentence(count, 'elements', 'have a box without area in the photo')}: such a crop is a pixel wide or high."
    ]


def check_margin(margin: Any) -> None:
    """Refuse a margin that is no number from 0 to 10."""
    if isinstance(margin, bool) or not isinstance(margin, Real) or not 0 <= float(margin) <= 10:
        raise UsageError(f"margin: expected a fraction of the box from 0 to 10, found {margin!r}.")


def photo_key(split: str, image_id: int) -> str:
    """Return the place of a photo in the release, such as ``train/image/000012.jpg``."""
    return f"{split}/image/{image_id:06d}.jpg"


def item_key(row: Mapping[str, Any], prefix: str = "") -> str:
    """Return the key of an item, such as ``train/000012_1``, as lists of items have it."""
    return f"{row['split']}/{row[f'{prefix}image_id']:06d}_{row[f'{prefix}item_no']}"
