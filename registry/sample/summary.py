"""What a run of the sample wrote."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class SampleSummary:
    """What was written.

    Attributes:
        dest: the folder.
        images: number of images by split.
        items: number of annotated items by split (test has none).
        seed: what makes the same sample again.
    """

    dest: Path
    images: dict[str, int]
    items: dict[str, int]
    seed: int
