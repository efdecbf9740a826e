"""The counts that writing a sample returns."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """Counts of a written sample.

    Attributes:
        dest: folder of the sample.
        images: number of images by split.
        items: number of annotated items by split (0 for test).
        seed: seed of the sample; the same seed and number of images give the same files.
    """

    dest: Path
    images: dict[str, int]
    items: dict[str, int]
    seed: int
