"""The predictions of a model: boxes, masks or landmarks, each with its image, category and score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from registry.dataset.arrays import Floats, Ints
from registry.dataset.deepfashion2 import CATEGORIES, NUM_LANDMARK_SLOTS


@dataclass(frozen=True)
class Detections:
    """The predictions of a file that are evaluated, in the order of the file.

    Attributes:
        image: int64 [n]: position of the image among those evaluated.
        category_id: int64 [n]: 1 to 13.
        score: float64 [n].
        position: int64 [n]: 0-based place of the record in the file.
        boxes: float64 [n, 4]: x, y, width, height, px; NaN of records without a box, None if all are.
        areas: float64 [n]: of the box where there is one, else of the mask, px²; NaN for landmarks without box.
        masks: of pycocotools, ``{"size": [height, width], "counts": bytes}``; None where they are not evaluated.
        landmarks: float64, flat x, y of the landmarks of each record's category, record by record; None likewise.
        other_slots: position of a detection -> float64 [294, 2], x and y of all slots, where they matter
            (:meth:`registry.evaluation.truth.Truth.needs_all_slots`) and were given.
        notices: plain sentences with a count on odd values that were accepted.
    """

    image: Ints
    category_id: Ints
    score: Floats
    position: Ints
    boxes: Floats | None = None
    areas: Floats | None = None
    masks: Sequence[Any] | None = None
    landmarks: Floats | None = None
    other_slots: Mapping[int, Floats] = field(default_factory=dict)
    notices: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.image)

    def landmarks_of(self, detection: Ints) -> Floats:
        """Return the landmarks of detections of one category: float64 [detections, landmarks, 2], x and y."""
        assert self.landmarks is not None
        number = 2 * CATEGORIES[self.category_id[detection[0]] - 1].num_landmarks
        return self.landmarks[self._starts[detection][:, None] + np.arange(number)].reshape(len(detection), -1, 2)

    def slots_of(self, detection: Ints) -> Floats:
        """Return all 294 slots of detections of one category, zeros where none were given: [detections, 294, 2]."""
        slots = np.zeros((len(detection), NUM_LANDMARK_SLOTS, 2))
        category = CATEGORIES[self.category_id[detection[0]] - 1]
        of_category = slice(category.landmark_offset, category.landmark_offset + category.num_landmarks)
        slots[:, of_category] = self.landmarks_of(detection)
        for k, position in enumerate(detection.tolist()):
            if position in self.other_slots:
                slots[k] = self.other_slots[position]
        return slots

    def edges(self) -> Floats:
        """Return x1, y1, x2, y2 of each box, or around mask or landmarks where there is none: float64 [n, 4]."""
        boxes = np.full((len(self), 4), np.nan) if self.boxes is None else self.boxes.copy()
        is_missing = np.isnan(boxes).any(axis=1)
        if self.masks is not None:
            from pycocotools import mask

            for k in np.flatnonzero(is_missing).tolist():
                boxes[k] = mask.toBbox(self.masks[k])
        edges = np.column_stack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]])
        if self.landmarks is not None:
            for category in CATEGORIES:
                rows = np.flatnonzero(is_missing & (self.category_id == category.id))
                if len(rows):
                    points = self.landmarks_of(rows)
                    edges[rows] = np.column_stack([points.min(axis=1), points.max(axis=1)])
        return edges

    @cached_property
    def _starts(self) -> Ints:
        """Where the landmarks of each detection begin."""
        lengths: Ints = np.array([2 * category.num_landmarks for category in CATEGORIES])[self.category_id - 1]
        return np.cumsum(lengths) - lengths
