"""Width, height and orientation of a photo from its header, and a checksum of a photo that is quick to compute."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from typing import Final, NamedTuple

from registry.dataset.tables import INT32_MAX
from registry.sources.faults import PHOTO_START, Fault


class PhotoSize(NamedTuple):
    """The size of a photo as its pixels are stored; no orientation swaps width and height.

    Attributes:
        width, height: px.
        orientation: the EXIF tag, 1 to 8 (from 2 on, viewers turn or mirror the photo); None without a valid tag.
    """

    width: int
    height: int
    orientation: int | None = None


#: Size of a photo, or the reason why it cannot be read.
Size = PhotoSize | str

#: Checksum of a photo. Usually its size and the CRC-32 of its first PHOTO_START and last PHOTO_END bytes. In a zip its
#: size and the CRC-32 of all bytes, from the central directory. In a store that reports checksums, its size and that.
PhotoChecksum = tuple[int | str, ...]

#: Last bytes of a photo that its checksum covers.
PHOTO_END: Final = 4 << 10

_PNG: Final = b"\x89PNG\r\n\x1a\n"
#: Flag in the header of a WebP file that has an EXIF chunk (WebP container specification, extended file format).
_WEBP_EXIF_FLAG: Final = 0x08
#: The headers that photos should have, for messages.
_HEADER_EXPECTED: Final = "the header of a JPEG, PNG or WebP"
#: Frame header of a JPEG of 1 x 1 px.
_FRAME: Final = b"\xff\xc0\x00\x0b\x08\x00\x01\x00\x01\x01\x01\x11\x00"


def image_size(data: bytes) -> Size:
    """Return the size of the photo that begins with ``data``, or the reason why its header cannot be read."""
    if data[:16].lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return f"expected {_HEADER_EXPECTED}, found text"  # imagesize would parse it as SVG
    try:
        width, height, rotation = _image_info(data)
    except Exception as error:  # noqa: BLE001 - imagesize raises many types for damaged headers
        return f"expected {_HEADER_EXPECTED}, found none that can be read: {error}"
    if width <= 0 or height <= 0:
        return f"expected {_HEADER_EXPECTED} with width and height, found none"
    if max(width, height) > INT32_MAX:
        return f"expected width and height of at most 32 bits, found {width:.0f} x {height:.0f}"
    if not data.startswith(b"\xff\xd8"):
        rotation = _orientation(_exif_chunk(data))
    return PhotoSize(int(width), int(height), rotation if 1 <= rotation <= 8 else None)


def _image_info(data: bytes) -> tuple[float, float, int]:
    """Return width and height as stored, and a JPEG's EXIF orientation (another number if it has none)."""
    import imagesize

    # The size that get() returns depends on the version: from 2.0 on it swaps width and height of turned photos.
    info = imagesize.get_info(io.BytesIO(data), dpi=False, colors=False, channels=False, exif_rotation=False)
    return info.width, info.height, info.rotation


def _exif_chunk(data: bytes) -> bytes:
    """Return the EXIF block of a PNG or WebP, as far as it is in ``data``; empty without."""
    if data.startswith(_PNG):
        length, name, position, padding = ">I4s", b"eXIf", len(_PNG), 4  # a checksum follows each chunk
    elif _has_webp_exif(data):
        length, name, position, padding = "<4sI", b"EXIF", 12, 0
    else:
        return b""
    while position + 8 <= len(data):
        first, second = struct.unpack_from(length, data, position)
        size, kind = (first, second) if isinstance(first, int) else (second + second % 2, first)
        if kind == name:
            return data[position + 8 : position + 8 + size]
        position += 8 + size + padding
    return b""


def _has_webp_exif(data: bytes) -> bool:
    """Return whether a photo is a WebP file with an EXIF chunk, which stands behind the pixels."""
    return data[:4] == b"RIFF" and data[8:16] == b"WEBPVP8X" and len(data) > 20 and bool(data[20] & _WEBP_EXIF_FLAG)


def _orientation(exif: bytes) -> int:
    """Return the orientation in an EXIF block; a number outside 1 to 8 if it has none."""
    block = exif.removeprefix(b"Exif\0\0")[: (1 << 16) - 100]
    if not block:
        return -1
    try:  # imagesize reads the tag of JPEGs alone
        segment = struct.pack(">2sH6s", b"\xff\xe1", len(block) + 8, b"Exif\0\0") + block
        return _image_info(b"\xff\xd8" + segment + _FRAME)[2]
    except Exception:  # noqa: BLE001 - a damaged tag is no tag
        return -1


def size_from_start(start: bytes, read_more: Callable[[], bytes | Fault]) -> Size:
    """Return a photo's size from its first bytes; ``read_more`` is called if they end before its header or EXIF tag."""
    size = image_size(start)
    is_enough = not isinstance(size, str) and not _has_webp_exif(start)
    if is_enough or len(start) < PHOTO_START:
        return size
    data = read_more()
    return data if isinstance(data, Fault) else image_size(data)


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
