"""Photos decoded to arrays."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from registry.sources.photo_pixels import converted


class PhotoError(Exception):
    """A photo that cannot be decoded; the message is the reason."""


def decode_rgb(data: bytes) -> npt.NDArray[np.uint8]:
    """Return a photo as RGB, uint8 (height, width, 3), as its pixels are stored: an EXIF tag does not turn it.

    Raises:
        PhotoError: it is no photo, or damaged.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # twice that size is an error
            with Image.open(io.BytesIO(data)) as opened:
                return np.array(converted(opened, "RGB"))
    except (OSError, SyntaxError, ValueError, MemoryError, Image.DecompressionBombError) as error:
        reason = "no JPEG, PNG or WebP" if isinstance(error, UnidentifiedImageError) else " ".join(str(error).split())
        raise PhotoError(reason[:200]) from error
