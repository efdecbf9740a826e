"""The arguments SPLIT and IMAGE_ID, which may be the name of a file."""

from __future__ import annotations

import click

from registry.dataset.image_names import read_image_name


def parse_image(split: str, name: str | None) -> tuple[str, int]:
    """Return the split and the number of an image.

    Args:
        split: the split; without a name, a file name with the split in it.
        name: the number of the image or the name of a file; an item's number in it is ignored.

    Raises:
        click.BadParameter: no number of an image, or the file belongs to another split.
        click.UsageError: there is no name, and ``split`` names no file.
        UnknownNameError: the folder of a split has the name of none.
    """
    if name is None:
        image = read_image_name(split)
        if image is None or image[0] is None:
            raise click.UsageError(
                f"Expected SPLIT and IMAGE_ID, such as 'train 1', or 'train/image/000001.jpg'; found only {split!r}."
            )
        return image[0], image[1]
    image = read_image_name(name)
    if image is None:
        raise click.BadParameter(f"expected a number or a file name such as 000001.jpg, found {name!r}.")
    if image[0] not in (None, split):
        raise click.BadParameter(f"{name} is a file of the split {image[0]}, and SPLIT is {split}.")
    return split, image[1]
