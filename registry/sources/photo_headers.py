"""The size of a photo from its header, and the mark that tells it from others."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import BinaryIO, Final

from registry.dataset.tables import INT32_MAX
from registry.sources.reading import (
    PHOTO_START,
    Fault,
)

#: Width and height in px, or what is wrong with the photo.
Size = tuple[int, int] | str


#: What tells a photo from another at a small cost, the same wherever it lies: its size and the CRC-32 of its first
#: PHOTO_START and last PHOTO_END bytes; in a zip its size and the CRC-32 of all, which the directory tells; in a store
#: that tells one, its size and the store's checksum.
PhotoMark = tuple[int | str, ...]


PHOTO_END: Final = 4 << 10


def image_size(file: BinaryIO) -> Size:
    """Return width and height of the photo in an open file, from its header, or what is wrong with it."""
    import imagesize

    if file.read(16).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "expected a JPEG header, found text"  # imagesize would parse it, as SVG
    file.seek(0)
    try:
        width, height = imagesize.get(file)
    except Exception as error:  # noqa: BLE001 - of any kind: bytes are no better than they look
        return f"expected a JPEG header, found none that can be read: {error}"
    if width <= 0 or height <= 0:
        return "expected a JPEG header with width and height, found none"
    if max(width, height) > INT32_MAX:
        return f"expected width and height of at most 32 bits, found {width:.0f} x {height:.0f}"
    return int(width), int(height)


def size_from_start(start: bytes, whole: Callable[[], bytes | Fault]) -> Size:
    """Return the size of a photo from its first bytes, or from all of it where they do not reach."""
    size = image_size(io.BytesIO(start))
    if not isinstance(size, str) or len(start) < PHOTO_START:
        return size
    data = whole()
    return data if isinstance(data, Fault) else image_size(io.BytesIO(data))


def photo_mark(size: int, begin: bytes, end: bytes) -> PhotoMark:
    """Return the mark of a photo from its size, its first bytes, and its last as far as they are not among these."""
    return size, zlib.crc32(begin), zlib.crc32(end)


def photo_mark_of(data: bytes) -> PhotoMark:
    """Return the mark of a photo from all of it."""
    return photo_mark(len(data), data[:PHOTO_START], data[max(PHOTO_START, len(data) - PHOTO_END) :])
