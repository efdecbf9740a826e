"""A synthetic release in the layout of DeepFashion2: drawn photos and the annotations that match them.

The dataset may not be redistributed, so examples, tests and demonstrations use this sample. It has the folders, the
file formats and the irregularities of the real release. :func:`write_sample` is the whole interface.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from registry.sample.summary import SampleSummary

__all__ = ["SampleSummary", "write_sample"]


def write_sample(
    dest: str | os.PathLike[str],
    num_images: int = 240,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SampleSummary:
    """Write a small synthetic release to a new folder and return its counts.

    The same ``num_images`` and ``seed`` give the same files, byte for byte. The folder appears at ``dest`` only when
    it is complete.

    Args:
        dest: folder to create; an existing folder must be empty.
        num_images: total number of images in the three splits, at least 6.
        seed: seed of the random generators.
        progress: called after each image with (images written, ``num_images``).

    Raises:
        UsageError: ``num_images`` is too small, or ``dest`` exists and is not an empty folder.
        StorageError: the folder cannot be written.
    """
    from registry.sample.release import write_release

    return write_release(dest, num_images, seed, progress)
