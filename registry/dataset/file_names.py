"""Names of the dataset's files, such as ``annos/000001.json`` and ``image/000001.jpg``, and of their folders."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

#: Names of the folders of a split, in lower case: that of the release first, then those that people give them.
ANNOTATION_FOLDERS: Final = ("annos", "annotations")
PHOTO_FOLDERS: Final = ("image", "images")
#: Suffixes of photos. The release has .jpg alone; the others are those of people who saved the photos anew.
PHOTO_SUFFIXES: Final = ("jpg", "jpeg", "png", "webp")
#: The suffixes, for messages.
PHOTO_SUFFIXES_TEXT: Final = ".jpg, .jpeg, .png or .webp"

_PHOTO_SUFFIX: Final = f"(?i:{'|'.join(PHOTO_SUFFIXES)})"
#: Patterns of names, for Python and for Arrow.
PHOTO_NAME: Final = rf"[0-9]{{1,9}}\.{_PHOTO_SUFFIX}"
DATA_NAME: Final = rf"[0-9]{{1,9}}\.(?:(?i:json)|{_PHOTO_SUFFIX})"


def number_in(name: str, suffixes: Collection[str]) -> int | None:
    """Return the number in a file name; None unless the name is a number and one of these suffixes in lower case.

    The rule of the patterns above, faster for hundreds of thousands of names.
    """
    number, _, written = name.rpartition(".")
    is_number = number.isascii() and number.isdigit() and len(number) < 10
    return int(number) if is_number and written.lower() in suffixes else None


def stem(name: str) -> str:
    """Return a file name without its suffix: ``000001`` of ``000001.jpg``."""
    return name.rpartition(".")[0]


def suffix(name: str) -> str:
    """Return the suffix of a file name as it is written, without the point: ``JPG`` of ``000001.JPG``."""
    return name.rpartition(".")[2]
