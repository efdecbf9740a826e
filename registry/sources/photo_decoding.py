"""Photos decoded as arrays of pixels."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

_JPEG: Final = b"\xff\xd8\xff"
#: Pixels of a photo above which Pillow decides: it refuses the sizes that would fill the memory.
_MAX_PIXELS: Final = 64 << 20
#: EXIF tag, and its values: the steps through the rows and columns; from the fifth on, rows are columns first.
_ORIENTATION: Final = 0x0112
_FLIPS: Final = {1: (1, 1), 2: (1, -1), 3: (-1, -1), 4: (-1, 1), 5: (1, 1), 6: (1, -1), 7: (-1, -1), 8: (-1, 1)}
_FIRST_TRANSPOSED: Final = 5


class PhotoError(Exception):
    """A photo that cannot be decoded; the message is the reason."""


@contextmanager
def photo_errors() -> Iterator[None]:
    """Turn the errors of Pillow about a photo into a PhotoError."""
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # twice that size is an error
            yield
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        reason = "no JPEG, PNG or WebP" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        raise PhotoError(reason[:200]) from error


def decode_rgb(data: bytes) -> Pixels:
    """Return a photo, uint8 (height, width, 3), as its pixels are stored: an EXIF tag does not turn it.

    JPEGs are decoded by simplejpeg where it is installed. Pillow decodes all others, and those that simplejpeg
    refuses (CMYK, damaged): which photos are accepted does not depend on it.

    Raises:
        PhotoError: it is no photo, or damaged.
    """
    simplejpeg = _simplejpeg()
    if simplejpeg is not None and data[:3] == _JPEG:
        try:
            height, width, colours, _ = simplejpeg.decode_jpeg_header(data)
            if height * width <= _MAX_PIXELS and colours in ("YCbCr", "Gray", "RGB"):
                pixels: Pixels = simplejpeg.decode_jpeg(data, "RGB")
                return pixels
        except ValueError:
            pass
    return _decode_by_pillow(data)


def decode_upright(data: bytes) -> tuple[Pixels, int]:
    """Return a photo as viewers show it, turned by its EXIF orientation, and that orientation: 1 is not turned.

    Raises:
        PhotoError: it is no photo, or damaged.
    """
    from PIL import Image

    with photo_errors(), Image.open(io.BytesIO(data)) as opened:
        orientation = opened.getexif().get(_ORIENTATION, 1)
    pixels = decode_rgb(data)
    if orientation not in _FLIPS:
        return pixels, 1
    down, across = _FLIPS[orientation]
    upright = pixels.swapaxes(0, 1) if orientation >= _FIRST_TRANSPOSED else pixels
    return np.ascontiguousarray(upright[::down, ::across]), orientation


def _decode_by_pillow(data: bytes) -> Pixels:
    from PIL import Image

    from registry.sources.photo_pixels import converted

    with photo_errors(), Image.open(io.BytesIO(data)) as opened:
        return np.array(converted(opened, "RGB"))  # a copy, which may be written to


@cache
def _simplejpeg() -> Any:
    """Return the module simplejpeg; None if it is not installed."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg
