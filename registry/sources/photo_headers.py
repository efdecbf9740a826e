"""Width and height of a photo from its header, and a checksum of a photo that is quick to compute."""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable
from typing import BinaryIO, Final

from registry.dataset.tables import INT32_MAX
from registry.sources.faults import PHOTO_START, Fault

#: Width and height in px, or the reason why they cannot be read.
Size = tuple[int, int] | str

#: Checksum of a photo. Usually its size and the CRC-32 of its first PHOTO_START and last PHOTO_END bytes. In a zip its
#: size and the CRC-32 of all bytes, from the central directory. In a store that reports checksums, its size and that.
PhotoChecksum = tuple[int | str, ...]

#: Last bytes of a photo that its checksum covers.
PHOTO_END: Final = 4 << 10


def image_size(file: BinaryIO) -> Size:
    """Return width and height of the photo in an open file, or the reason why its header cannot be read."""
    import imagesize

    if file.read(16).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "expected a JPEG header, found text"  # imagesize would parse it as SVG
    file.seek(0)
    try:
        width, height = imagesize.get(file)
    except Exception as error:  # noqa: BLE001 - imagesize raises many types for damaged headers
        return f"expected a JPEG header, found none that can be read: {error}"
    if width <= 0 or height <= 0:
        return "expected a JPEG header with width and height, found none"
    if max(width, height) > INT32_MAX:
        return f"expected width and height of at most 32 bits, found {width:.0f} x {height:.0f}"
    return int(width), int(height)


def size_from_start(start: bytes, read_more: Callable[[], bytes | Fault]) -> Size:
    """Return a photo's width and height from its first bytes; ``read_more`` is called if they end before the header."""
    size = image_size(io.BytesIO(start))
    if not isinstance(size, str) or len(start) < PHOTO_START:
        return size
    data = read_more()
    return data if isinstance(data, Fault) else image_size(io.BytesIO(data))


def photo_checksum(size: int, first: bytes, last: bytes) -> PhotoChecksum:
    """Return a photo's checksum.

    Args:
        size: bytes of the photo.
        first: its first PHOTO_START bytes.
        last: its last PHOTO_END bytes, without those in ``first``.
    """
    return size, zlib.crc32(first), zlib.crc32(last)


def photo_checksum_of(data: bytes) -> PhotoChecksum:
    """Return the checksum of a photo from all its bytes."""
    return photo_checksum(len(data), data[:PHOTO_START], data[max(PHOTO_START, len(data) - PHOTO_END) :])


def read_photo_checksum(size: int, read: Callable[[int, int], bytes]) -> PhotoChecksum:
    """Return a photo's checksum, reading only the bytes that it covers.

    Args:
        size: bytes of the photo.
        read: returns the bytes from a start up to an end, as a slice does.
    """
    first = read(0, min(size, PHOTO_START))
    start = max(PHOTO_START, size - PHOTO_END)
    return photo_checksum(size, first, read(start, size) if size > start else b"")
