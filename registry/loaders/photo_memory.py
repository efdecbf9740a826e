"""Shared memory that the photos of a batch are decoded into, in a worker process of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from registry.loaders.shared_batch import aligned

if TYPE_CHECKING:
    from registry.loaders.photo_pixels import Pixels


class PhotoMemory:
    """Memory for the photos of a batch.

    A worker hands its tensors over in shared memory. A photo that is decoded there need not be copied, and its pixels
    need no second piece of memory, whose first use costs a third of decoding.

    Args:
        rows: with ``width`` and ``height`` of each photo, where they are known.
    """

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        size = sum(_size(row) for row in rows)
        self._memory = torch.UntypedStorage._new_shared(size) if size else None
        self._start = 0

    def place(self, row: Mapping[str, Any]) -> torch.Tensor | None:
        """Return uint8 (height, width, 3) for the photo of a row; None where its size is not known."""
        size = _size(row)
        if not size or self._memory is None:
            return None
        shape = row["height"], row["width"], 3
        start, self._start = self._start, self._start + size
        return torch.empty(0, dtype=torch.uint8).set_(self._memory, start, shape, (3 * shape[1], 3, 1))


def is_in(pixels: Pixels, place: torch.Tensor) -> bool:
    """Return whether pixels lie in a place of the shared memory; a photo may have been decoded elsewhere."""
    return bool(pixels.ctypes.data == place.data_ptr())


def _size(row: Mapping[str, Any]) -> int:
    """Return the bytes of a photo, rounded up; 0 where its size is not known."""
    return aligned(3 * (row["width"] or 0) * (row["height"] or 0))
