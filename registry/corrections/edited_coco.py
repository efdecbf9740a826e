"""A COCO file as labelling tools write it: images, annotations and categories, with the keys that are compared.

CVAT and Label Studio number images, annotations and categories anew and drop keys that they do not know; CVAT keeps
attributes under ``attributes``. So images are known by their file names and categories by their names.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES
from registry.dataset.image_names import read_image_name
from registry.errors import NotFoundError, SourceError, StorageError, UnknownNameError
from registry.parsing.text import without_mark

#: Before the name of an uploaded photo, by Label Studio.
_UPLOADED: Final = re.compile(r"(?:.*[/\\])?[0-9a-f]{8}-(?=[^/\\]*\Z)")
_Number = int | float


class EditedImage(msgspec.Struct, gc=False):
    """An image."""

    id: int | str
    file_name: str
    source: str | None = None
    pair_id: Any = None

    def key(self) -> tuple[str | None, int] | None:
        """Return the split in the file name, or None, and the image_id; None if the name has no number."""
        name = _UPLOADED.sub("", self.file_name).replace("\\", "/")
        try:
            return read_image_name(name)
        except UnknownNameError:
            return None


class EditedAnnotation(msgspec.Struct, gc=False):
    """An annotation; keys that a tool dropped are None."""

    image_id: int | str
    category_id: int | str
    id: int | str | None = None
    bbox: list[_Number] | None = None
    segmentation: Any = None
    keypoints: list[_Number] | None = None
    iscrowd: int = 0
    item_no: Any = None
    style: Any = None
    source: Any = None
    pair_id: Any = None
    scale: Any = None
    occlusion: Any = None
    zoom_in: Any = None
    viewpoint: Any = None
    attributes: dict[str, Any] | None = None

    def value(self, name: str) -> Any:
        """Return an attribute, of the annotation or under ``attributes``; text of digits as a number."""
        value = getattr(self, name)
        if value is None and self.attributes:
            value = self.attributes.get(name)
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 10:
            return int(value)
        for code, meaning in ATTRIBUTE_CODES.get(name, {}).items():
            if value == meaning:
                return code
        return value


class EditedCategory(msgspec.Struct, gc=False):
    """A category."""

    id: int | str
    name: str


class EditedFile(msgspec.Struct, gc=False):
    """A COCO file."""

    images: Sequence[EditedImage]
    annotations: Sequence[EditedAnnotation]
    categories: Sequence[EditedCategory]


def read_coco(path: Path) -> EditedFile:
    """Return the content of a COCO file.

    Raises:
        NotFoundError: there is no such file.
        StorageError: it cannot be read.
        SourceError: it is no COCO file.
    """
    try:
        data = without_mark(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no file {path}; expected an edited COCO export.") from error
    except OSError as error:
        raise StorageError(f"Cannot read {path}: {error.strerror}") from error
    try:
        return msgspec.json.decode(data, type=EditedFile)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise SourceError(
            f"{path} is not a COCO file: {error}. Expected one JSON object with images, annotations and categories."
        ) from error
