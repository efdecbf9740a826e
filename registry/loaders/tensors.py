"""Pixels as tensors of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from registry.loaders.photo_pixels import Pixels


def image_tensor(pixels: Pixels) -> torch.Tensor:
    """Return pixels (height, width, 3) as a uint8 tensor (3, height, width) with memory of its own.

    A view of a crop would take the whole photo along to the process of the loader. The memory stays in the order of
    the pixels, as in torchvision's ``pil_to_tensor``: changing it costs a third of decoding.
    """
    own = pixels if pixels.base is None else pixels.copy()
    return torch.from_numpy(own).permute(2, 0, 1)


def resized(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return a uint8 image in another height and width, bilinear with antialiasing."""
    pixels = torch.nn.functional.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
    return pixels[0].round().clamp(0, 255).to(torch.uint8)
