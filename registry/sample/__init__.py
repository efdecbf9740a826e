"""A synthetic release in the shape of DeepFashion2: drawn clothes, exact annotations, no real photograph.

The dataset may not be redistributed, so examples, tests and demonstrations run on a sample that is generated
here, with the layout, the formats and the oddities of the real release.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from registry.errors import MissingDependencyError
from registry.sample.summary import SampleSummary

__all__ = ["SampleSummary", "write_sample"]


def write_sample(
    dest: str | os.PathLike[str],
    num_images: int = 240,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> SampleSummary:
    """Write a small synthetic release to a new folder.

    The same ``num_images`` and ``seed`` give the same files, byte for byte. Nothing is visible at ``dest``
    before everything is written.

    Args:
        dest: the folder to make; it may exist if it is empty.
        num_images: images of the three splits together, at least 6.
        seed: which sample.
        progress: called with (images done, images in total) after each image.

    Returns:
        What was written.

    Raises:
        UsageError: ``num_images`` is too small, or ``dest`` exists and is not an empty folder.
        StorageError: the folder cannot be written.
        MissingDependencyError: Pillow is not installed.
    """
    try:
        # Pillow is an optional dependency that only this function needs.
        from registry.sample.release import write_release
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] != "PIL":
            raise
        raise MissingDependencyError(
            "Drawing a sample needs Pillow: pip install 'deepfashion2-registry[sample]'"
        ) from error
    return write_release(dest, num_images, seed, progress)
