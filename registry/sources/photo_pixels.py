"""The pixels of decoded photos, in the 8 bits a channel that all uses of them expect."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image


def converted(opened: Image.Image, mode: str) -> Image.Image:
    """Return a photo in another mode of Pillow (``L``, ``RGB``).

    Pillow cuts the grey levels of a photo of 16 bits at 255, which makes it white; here they are scaled.
    """
    if opened.mode.startswith("I"):
        opened = opened.point(lambda level: level * (1 / 256)).convert("L")
    return opened.convert(mode)
