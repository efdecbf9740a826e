"""Photos decoded for pictures."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image

from registry.sources.photo_decoding import opened_photo
from registry.sources.photo_pixels import converted


@dataclass(frozen=True, slots=True)
class Photo:
    """A decoded photo.

    Attributes:
        pixels: RGB; perhaps in a fraction of its stored size.
        width, height: as stored, px.
    """

    pixels: Image.Image
    width: int
    height: int


def decode(data: bytes, size: int | None = None) -> Photo:
    """Return a photo as its pixels are stored: an EXIF tag does not turn it, since annotations count stored pixels.

    Args:
        data: bytes of the file.
        size: a large JPEG may be decoded in an eighth, a quarter or half of its size, if its longer side keeps this
            many px.

    Raises:
        PhotoError: it is no photo, or damaged.
    """
    with opened_photo(data) as opened:
        width, height = opened.size
        if size is not None:
            ratio = size / max(width, height)
            opened.draft("RGB", (max(1, int(width * ratio)), max(1, int(height * ratio))))
        pixels = converted(opened, "RGB")
    pixels.info.clear()  # keep colour profile, comment and resolution of the photo out of the picture
    return Photo(pixels, width, height)
