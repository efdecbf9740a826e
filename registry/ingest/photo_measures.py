"""What the table photos says of a photo: its digest, its difference hash, its size and a few measures of its pixels."""

from __future__ import annotations

import io
import warnings
from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

from registry.sources.faults import Fault
from registry.sources.photo_decoding import MAX_PIXELS, PHOTO_FORMATS
from registry.sources.photo_headers import image_size
from registry.sources.photo_pixels import converted

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

#: Version of the measures; photos that an earlier version measured are read again.
MEASURES: Final = 1
#: Photos are halved (by 2, 4 or 8) while their shorter side keeps at least this length.
SHORTEST_SIDE: Final = 640
#: Decimals of brightness, spread and sharpness.
_DECIMALS: Final = 3
#: Pixels that a photo is averaged to for its difference hash.
_COLUMNS, _ROWS = 9, 8


class Measures(NamedTuple):
    """The columns of the table photos that come from a photo's bytes; None where it cannot be read or decoded.

    Attributes:
        sha256: digest of the bytes, hex digits.
        dhash: difference hash, as a signed 64-bit number.
        width: as stored, px.
        height: as stored, px.
        orientation: EXIF orientation, 1 to 8; None without it.
        brightness: mean of the grey pixels, 0 (black) to 255.
        brightness_spread: their standard deviation.
        sharpness: variance of their Laplacian.
    """

    sha256: str | None
    dhash: int | None = None
    width: int | None = None
    height: int | None = None
    orientation: int | None = None
    brightness: float | None = None
    brightness_spread: float | None = None
    sharpness: float | None = None


def measure_photo(data: bytes) -> tuple[Measures, Fault | None]:
    """Return the measures of a photo, and its fault if it cannot be decoded: then only the digest is known.

    Grey is the luma of the stored pixels (ITU-R 601-2), without a turn by the EXIF tag. A large photo is halved first,
    as often as its shorter side keeps at least :data:`SHORTEST_SIDE` px.
    """
    from PIL import Image

    digest = sha256(data).hexdigest()
    size = image_size(data)
    if isinstance(size, str):
        return Measures(digest), Fault(size)
    width, height, orientation = size
    if width * height > MAX_PIXELS:
        return Measures(digest), Fault(f"expected at most {MAX_PIXELS:,} pixels, found {width:,} x {height:,}")
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=PHOTO_FORMATS) as opened,
        ):
            grey = _grey(opened)
    except Exception as error:  # noqa: BLE001 - decoders raise errors of many kinds for damaged photos
        return Measures(digest), Fault(f"cannot be decoded: {error or type(error).__name__}")
    measured = (round(value, _DECIMALS) for value in (*_mean_and_spread(grey), _sharpness(grey)))
    return Measures(digest, difference_hash(grey), width, height, orientation, *measured), None


def _grey(opened: Image.Image) -> Image.Image:
    """Return the grey pixels of a photo; a JPEG is decoded without its colours, and halved while it is decoded."""
    factor = max(min(opened.size) // SHORTEST_SIDE, 1)
    factor = next(power for power in (8, 4, 2, 1) if factor >= power)
    width, height = (-(-side // factor) for side in opened.size)
    opened.draft("L", (opened.width // factor, opened.height // factor))
    grey = converted(opened, "L")
    return grey.reduce(factor) if grey.size != (width, height) else grey


def difference_hash(grey: Image.Image) -> int:
    """Return the difference hash of grey pixels as a signed 64-bit number.

    The photo is averaged to 9 x 8 pixels; a bit is 1 where a pixel is brighter than its left neighbour. Bits run row
    by row from the top-left corner, the first is the highest.
    """
    import numpy as np
    from PIL import Image

    small = np.asarray(grey.resize((_COLUMNS, _ROWS), Image.Resampling.BOX))
    return int.from_bytes(np.packbits(small[:, 1:] > small[:, :-1]).tobytes(), "big", signed=True)


def _mean_and_spread(grey: Image.Image) -> tuple[float, float]:
    """Return the mean and the standard deviation of grey pixels."""
    import numpy as np

    counts = np.array(grey.histogram())
    levels = np.arange(256)
    number = counts.sum()
    mean = float(counts @ levels / number)
    return mean, float(np.sqrt(max(counts @ levels**2 / number - mean**2, 0.0)))


def _sharpness(grey: Image.Image) -> float:
    """Return the variance of the Laplacian (4 x pixel - its 4 neighbours) over the inner pixels; 0 without any."""
    import numpy as np

    pixels: np.ndarray = np.asarray(grey).astype(np.int16)
    if min(pixels.shape) < 3:
        return 0.0
    laplacian = pixels[1:-1, 1:-1] * np.int16(4)
    for neighbours in (pixels[:-2, 1:-1], pixels[2:, 1:-1], pixels[1:-1, :-2], pixels[1:-1, 2:]):
        laplacian -= neighbours
    # Sums of whole numbers below 2**53 are exact in any order, so the value is the same on every machine.
    values = laplacian.astype(np.float64)
    mean = float(values.sum()) / values.size
    return float(np.einsum("ij,ij->", values, values)) / values.size - mean**2
