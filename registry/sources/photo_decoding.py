"""Photos decoded as arrays of pixels."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from PIL import Image

Pixels = npt.NDArray[np.uint8]

_JPEG: Final = b"\xff\xd8\xff"
#: EXIF tag, and its values: the steps through the rows and columns; from the fifth on, rows are columns first.
_ORIENTATION: Final = 0x0112
_FLIPS: Final = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
_FIRST_TRANSPOSED: Final = 5
#: Formats of photos. Pillow knows dozens, some of which run other programs.
PHOTO_FORMATS: Final = ("JPEG", "PNG", "WEBP")
#: Maximum pixels of a photo that is decoded in full: some 900 MB of memory. The release's have 0.3 million.
MAX_PIXELS: Final = 80_000_000
#: Errors that Pillow raises for photos of these formats that are damaged.
_PILLOW_ERRORS: Final = (
    OSError, SyntaxError, ValueError, ArithmeticError, LookupError, TypeError, struct.error, zlib.error,
    MemoryError, NotImplementedError, EOFError,
)  # fmt: skip


class PhotoError(Exception):
    """A photo that cannot be decoded; the message is the reason."""


class PhotoSizeError(PhotoError):
    """A photo of another size than expected.

    Attributes:
        width, height: of the photo, px.
    """

    def __init__(self, width: int, height: int, message: str) -> None:
        super().__init__(message)
        self.width, self.height = width, height


@contextmanager
def opened_photo(data: bytes) -> Iterator[Image.Image]:
    """Yield a photo opened by Pillow; only the formats of photos are known.

    Raises:
        PhotoError: it is no photo, or damaged; also for errors of Pillow in the block.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large photos, and of damaged tags, which nothing here reads
            with Image.open(io.BytesIO(data), formats=PHOTO_FORMATS) as opened:
                yield opened
    except (*_PILLOW_ERRORS, Image.DecompressionBombError) as error:
        reason = "no JPEG, PNG or WebP" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        raise PhotoError(reason[:200]) from error


def decode_rgb(data: bytes, size: tuple[int, int] | None = None, place: Pixels | None = None) -> Pixels:
    """Return a photo, uint8 (height, width, 3), as its pixels are stored: an EXIF tag does not turn it.

    JPEGs are decoded by simplejpeg where it is installed. Pillow decodes all others, and those that simplejpeg
    refuses (CMYK, damaged): which photos are accepted does not depend on it.

    Args:
        data: bytes of the file.
        size: expected width and height, px; a photo whose header says otherwise is not decoded.
        place: contiguous memory of this size, which simplejpeg decodes into; other decoders do not use it.

    Raises:
        PhotoError: it is no photo, damaged, or too large.
        PhotoSizeError: it has another size than expected.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg is not None and data[:3] == _JPEG:
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            _check_size(width, height, size)
            if colours in ("YCbCr", "Gray", "RGB"):
                pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB", buffer=place if size else None)
                return pixels
        except ValueError:
            pass
    return _decode_by_pillow(data, size)


def decode_upright(data: bytes) -> tuple[Pixels, int]:
    """Return a photo as viewers show it, turned by its EXIF orientation, and that orientation: 1 is not turned.

    Raises:
        PhotoError: it is no photo, or damaged.
    """
    with opened_photo(data) as opened:
        orientation = opened.getexif().get(_ORIENTATION, 1)
    pixels = decode_rgb(data)
    if orientation not in _FLIPS:
        return pixels, 1
    down, across = _FLIPS[orientation]
    upright = pixels.swapaxes(0, 1) if orientation >= _FIRST_TRANSPOSED else pixels
    return np.ascontiguousarray(upright[::down, ::across]), orientation


def _check_size(width: int, height: int, size: tuple[int, int] | None = None) -> None:
    """Raise a PhotoError for a photo that is too large or has not the expected size."""
    if size is not None and size != (width, height):
        message = f"{width:,} x {height:,} px: expected {size[0]:,} x {size[1]:,}"
        raise PhotoSizeError(width, height, message)
    if width * height > MAX_PIXELS:
        raise PhotoError(f"{width:,} x {height:,} px: expected at most {MAX_PIXELS:,} px in all")


def _decode_by_pillow(data: bytes, size: tuple[int, int] | None = None) -> Pixels:
    from registry.sources.photo_pixels import converted

    with opened_photo(data) as opened:
        _check_size(*opened.size, size)
        return np.array(converted(opened, "RGB"))  # a copy, which may be written to


@cache
def _simplejpeg() -> Any:
    """Return the module simplejpeg; None if it is not installed."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
