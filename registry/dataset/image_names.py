"""Images as people name them: a number, or the name of a file of the release or of an export."""

from __future__ import annotations

import re
from typing import Final

from registry.dataset.deepfashion2 import SPLITS, find_split
from registry.dataset.file_names import ANNOTATION_FOLDERS, PHOTO_FOLDERS

_FOLDER: Final = f"(?i:{'|'.join((*ANNOTATION_FOLDERS, *PHOTO_FOLDERS))})"
#: ``1``, ``000001.jpg``, ``000001_2.jpg`` (item 2), ``train_000001``, ``data/train/image/000001.jpg``.
_IMAGE_NAME: Final = re.compile(
    rf"(?:.*?/)??(?:({'|'.join(SPLITS)})(?:_|/(?:{_FOLDER}/)?))?(\d{{1,4000}})(?:_(\d{{1,4000}}))?(?:\.[A-Za-z]+)?",
    re.ASCII,
)
#: A file below a folder that stands where the release has that of a split.
_SPLIT_FOLDER: Final = re.compile(rf"(?:.*/)?([^/]+)/{_FOLDER}/[^/]+")


def read_image_name(name: str) -> tuple[str | None, int] | None:
    """Return the split in the name of an image, or None, and its number; None if it is no such name.

    An item's number in the name is ignored.

    Raises:
        UnknownNameError: the folder of a split has the name of none (``val/image/000001.jpg``).
    """
    item = read_item_name(name)
    return item and item[:2]


def read_item_name(name: str) -> tuple[str | None, int, int | None] | None:
    """Return the split in the name of an image or None, its number, and the item's number in the name or None.

    Raises:
        UnknownNameError: as for :func:`read_image_name`.
    """
    match = _IMAGE_NAME.fullmatch(name)
    if match is None:
        return None
    folder = _SPLIT_FOLDER.fullmatch(name)
    if match[1] is None and folder is not None:
        find_split(folder[1])
    return match[1], int(match[2]), int(match[3]) if match[3] else None
