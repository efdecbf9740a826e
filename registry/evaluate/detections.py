"""The predictions of a model for boxes, masks or landmarks, as plain columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import numpy as np


@dataclass(frozen=True)
class Detections:
    """Predictions in the order of their file; bad records, and those of images that are not evaluated, are left out.

    Attributes:
        image: int64, the position of the image among the evaluated ones.
        category_id: int64, 1 to 13.
        score: float64.
        boxes: float64 (n, 4): x, y, width, height, px; None if no record has a box, NaN where some have.
        areas: float64, px: of the box where it is given, else of the mask; NaN for landmarks without a box.
        masks: of the task masks.
        landmarks: of the task landmarks: float64, flat x, y of the landmarks of the record's category; those of
            detection k are [offsets[k]:offsets[k + 1]].
        offsets: int64 (n + 1) into ``landmarks``.
        other_slots: position of a detection -> float64 (294, 2), x and y of all slots; only where
            :attr:`registry.evaluate.image_index.ImageIndex.needs_all_slots` asks for it, and a slot of another
            category is not 0.
        position: int64, of the record in the file, from 0.
        notices: plain sentences with a count on what was accepted though odd, or left out.
    """

    image: np.ndarray
    category_id: np.ndarray
    score: np.ndarray
    boxes: np.ndarray | None
    areas: np.ndarray
    masks: Sequence[Any] | None
    landmarks: np.ndarray | None
    offsets: np.ndarray | None
    other_slots: dict[int, np.ndarray]
    position: np.ndarray
    notices: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.image)


class RleMasks(Sequence[dict[str, Any]]):
    """Masks of pycocotools, ``{"size": [height, width], "counts": bytes}``, in a fifth of the memory of such dicts.

    Args:
        counts: the compressed counts of all masks, one after the other.
        offsets: int64 (n + 1) into ``counts``.
        sizes: int64 (n, 2), height and width, px.
    """

    def __init__(self, counts: bytes | bytearray, offsets: np.ndarray, sizes: np.ndarray) -> None:
        self.counts = counts
        self.offsets = offsets
        self.sizes = sizes

    @classmethod
    def of(cls, counts: Sequence[bytes], sizes: np.ndarray) -> RleMasks:
        """Return masks from the compressed counts of each."""
        offsets = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(np.fromiter(map(len, counts), np.int64, len(counts)), out=offsets[1:])
        return cls(b"".join(counts), offsets, sizes)

    def __len__(self) -> int:
        return len(self.sizes)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(index, slice):
            return [self[k] for k in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        index %= len(self)
        start, end = self.offsets[index : index + 2].tolist()
        return {"size": self.sizes[index].tolist(), "counts": bytes(self.counts[start:end])}

    def take(self, positions: np.ndarray) -> RleMasks:
        """Return the masks at some positions."""
        starts, ends = self.offsets[:-1][positions].tolist(), self.offsets[1:][positions].tolist()
        counts = [bytes(self.counts[start:end]) for start, end in zip(starts, ends, strict=True)]
        return RleMasks.of(counts, self.sizes[positions])
