"""Pixels as tensors of torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from registry.loaders.photo_pixels import Pixels


def image_tensor(pixels: Pixels) -> torch.Tensor:
    """Return pixels (height, width, 3) as a uint8 tensor (3, height, width) with memory of its own.

    A view of a crop would take the whole photo along to the process of the loader.
    """
    return torch.from_numpy(pixels.transpose(2, 0, 1).copy())


def resized(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return a uint8 image in another height and width, bilinear with antialiasing."""
    pixels = torch.nn.functional.interpolate(image[None].float(), size, mode="bilinear", antialias=True)
    return pixels[0].round().clamp(0, 255).to(torch.uint8)
