"""Photos of more than 8 bits a channel."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from registry.ingest.photo_measures import measure_photo
from registry.pictures.photo import decode


def png(levels: np.ndarray) -> bytes:
    """Return a grey PNG."""
    out = io.BytesIO()
    Image.fromarray(levels).save(out, "PNG")
    return out.getvalue()


def test_a_photo_of_16_bits_is_scaled_and_not_cut_to_white() -> None:
    eight = np.arange(64 * 48, dtype=np.uint32).reshape(48, 64) * 255 // (64 * 48)
    of_8, of_16 = png(eight.astype(np.uint8)), png((eight * 256 + 17).astype(np.uint16))
    assert Image.open(io.BytesIO(of_16)).mode.startswith("I")
    (measured, fault), (expected, _) = measure_photo(of_16), measure_photo(of_8)
    assert fault is None
    assert measured.brightness == pytest.approx(expected.brightness, abs=1)
    assert measured.dhash == expected.dhash
    drawn = np.asarray(decode(of_16).pixels)
    assert np.abs(drawn[:, :, 0].astype(int) - eight.astype(int)).max() <= 1
