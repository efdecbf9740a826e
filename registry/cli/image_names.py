"""Images and items as people name them: a number, or the name of a file of the release or of an export."""

from __future__ import annotations

import re
from typing import Final

import click

from registry.dataset.deepfashion2 import SPLITS

#: ``1``, ``000001.jpg``, ``000001_2.jpg`` (item 2), ``train_000001``, ``data/train/image/000001.jpg``.
_IMAGE_NAME: Final = re.compile(
    rf"(?:.*?/)??(?:({'|'.join(SPLITS)})(?:_|/(?:image/|annos/)?))?(\d{{1,4000}})(?:_\d+)?(?:\.[A-Za-z]+)?"
)


def parse_image(split: str, name: str | None) -> tuple[str, int]:
    """Return the split and the number of an image.

    Args:
        split: the split; without a name, a file name with the split in it.
        name: the number of the image or the name of a file; an item's number in it is ignored.

    Raises:
        click.BadParameter: no number of an image, or the file belongs to another split.
        click.UsageError: there is no name, and ``split`` names no file.
    """
    if name is None:
        match = _IMAGE_NAME.fullmatch(split)
        if match is None or match[1] is None:
            raise click.UsageError(
                f"Expected SPLIT and IMAGE_ID, such as 'train 1', or 'train/image/000001.jpg'; found only {split!r}."
            )
        return match[1], int(match[2])
    match = _IMAGE_NAME.fullmatch(name)
    if match is None:
        raise click.BadParameter(f"expected a number or a file name such as 000001.jpg, found {name!r}.")
    if match[1] not in (None, split):
        raise click.BadParameter(f"{name} is a file of the split {match[1]}, and SPLIT is {split}.")
    return split, int(match[2])
