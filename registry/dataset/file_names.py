"""Names of the dataset's files: a number and a suffix in any case, such as ``000001.json`` and ``000001.jpg``."""

from __future__ import annotations

from typing import Final

#: Suffixes of photos. The release has .jpg alone; the others are those of people who saved the photos anew.
PHOTO_SUFFIXES: Final = ("jpg", "jpeg", "png", "webp")
#: The suffixes, for messages.
PHOTO_SUFFIXES_TEXT: Final = ".jpg, .jpeg, .png or .webp"

_PHOTO_SUFFIX: Final = f"(?i:{'|'.join(PHOTO_SUFFIXES)})"
#: Patterns of names, for Python and for Arrow.
PHOTO_NAME: Final = rf"[0-9]{{1,9}}\.{_PHOTO_SUFFIX}"
DATA_NAME: Final = rf"[0-9]{{1,9}}\.(?:(?i:json)|{_PHOTO_SUFFIX})"


def stem(name: str) -> str:
    """Return a file name without its suffix: ``000001`` of ``000001.jpg``."""
    return name.rpartition(".")[0]


def suffix(name: str) -> str:
    """Return the suffix of a file name as it is written, without the point: ``JPG`` of ``000001.JPG``."""
    return name.rpartition(".")[2]
