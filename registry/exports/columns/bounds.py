"""What lies inside its photo: sizes of photos, and boxes cut at their borders, for formats that need both."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.deepfashion2 import SPLITS
from registry.errors import UsageError, first_names
from registry.exports.columns.text import numbers
from registry.exports.format import Job
from registry.subset.rows import Chunk

BOX_COLUMNS: Final = ("x1", "y1", "x2", "y2")
#: Shares of an image are rounded to one of so many: 7 decimals.
SHARES: Final = 1e7


class Sizes(NamedTuple):
    """Width and height of the photo of each item, px."""

    width: pa.Array
    height: pa.Array

    def filter(self, kept: pa.Array) -> Sizes:
        """Return those of some of the items."""
        return Sizes(self.width.filter(kept), self.height.filter(kept))


class Boxes(NamedTuple):
    """The box of each item, px from the top-left corner of its photo."""

    x1: pa.Array
    y1: pa.Array
    x2: pa.Array
    y2: pa.Array


def require_sizes(job: Job, reason: str, needed: Callable[[int, int | None], bool]) -> None:
    """Make sure that the sizes of photos are known, before anything is written.

    Args:
        job: all of its images are looked at.
        reason: why the format needs them; begins the message.
        needed: whether an image is one of those, from its number of chosen items and its number of annotated ones,
            which is None for a photo without annotations.

    Raises:
        UsageError: some are not; the message says of which splits, how many, which are the first, and what to do.
    """
    unknown: dict[str, list[str]] = defaultdict(list)
    for part in job.parts:
        for chunk in job.chunks(part):
            images = chunk.images
            if images.column("width").null_count or images.column("height").null_count:
                columns = (images.column(name).to_pylist() for name in ("file_name", "width", "height", "num_items"))
                for name, width, height, annotated, chosen in zip(*columns, chunk.num_items, strict=True):
                    if (width is None or height is None) and needed(chosen, annotated):
                        unknown[chunk.split].append(name)
    if not unknown:
        return
    splits = [split for split in SPLITS if split in unknown]
    found = []
    for split in splits:
        names = sorted(unknown[split])
        found.append(f"{len(names):,} of {split} ({first_names(names, 3)})")
    remedy = " and ".join(f"'df2 ingest --split {split} RELEASE REGISTRY'" for split in splits)
    raise UsageError(
        f"{reason}, and the size of images is not known: {', '.join(found)}. Their photos were not there when they "
        f"were ingested. Ingest with the photos: {remedy}."
    )


def item_sizes(chunk: Chunk) -> Sizes:
    """Return the size of the photo of each item of a chunk."""
    owners = chunk.owners()
    return Sizes(*(chunk.images.column(name).take(owners).cast(pa.float64()) for name in ("width", "height")))


def cut(values: pa.Array, highest: pa.Array) -> pa.Array:
    """Return coordinates, those below 0 as 0 and those above the highest as that."""
    inside = pc.min_element_wise(pc.max_element_wise(values, pa.scalar(0.0)), highest)
    return pc.add(inside, pa.scalar(0.0))  # -0.0 becomes 0.0


def shares(values: pa.Array, sizes: pa.Array) -> pa.Array:
    """Return coordinates in px as shares of the image's width or height: whole numbers of 1/:data:`SHARES`."""
    return pc.round(pc.multiply(pc.divide(values, sizes), pa.scalar(SHARES)))


def shares_above(values: pa.Array, sizes: pa.Array) -> pa.Array:
    """Return coordinates as :func:`shares`, rounded up to 6 decimals: less than 1/1000 px in a photo of 1,000 px.

    Readers of polygons take such a share for a 32-bit float, multiply it by the size and cut off what is behind the
    point. A share that was rounded down loses a whole pixel there: over the drawn sample, masks filled by OpenCV were
    0.986 of the union with 7 decimals, rounded, and 0.999 with 6 decimals, rounded up.
    """
    above = pc.ceil(pc.multiply(pc.divide(values, sizes), pa.scalar(SHARES / 10)))
    return pc.min_element_wise(pc.multiply(above, pa.scalar(10.0)), pa.scalar(float(SHARES)))


def share_texts(values: pa.Array, whole: float = SHARES) -> pa.Array:
    """Return shares as text: 0.25, 0.3333333, 1, 0.0000001.

    Args:
        values: whole numbers.
        whole: what is 1 of them.
    """
    # A quotient of whole numbers is the double nearest to the decimal, so that its shortest text is the decimal.
    # Arrow's rounding to decimals gives neighbours of it: 0.39999999999999997.
    quotients = pc.divide(values, pa.scalar(whole))
    texts = numbers(quotients)
    # Exponents are numbers to most readers, and no label at all to datumaro.
    with_exponent = pc.match_substring(texts, "e")
    if not pc.any(with_exponent).as_py():
        return texts
    plain = [f"{value:.8f}".rstrip("0") for value in quotients.filter(with_exponent).to_pylist()]
    return pc.replace_with_mask(texts, with_exponent, pa.array(plain, pa.string()))


def cut_boxes(chunk: Chunk, sizes: Sizes) -> Boxes:
    """Return the box of each item, cut at the borders of its photo."""
    x1, y1, x2, y2 = (chunk.items.column(name) for name in BOX_COLUMNS)
    return Boxes(cut(x1, sizes.width), cut(y1, sizes.height), cut(x2, sizes.width), cut(y2, sizes.height))


def note_boxes(job: Job, chunk: Chunk, boxes: Boxes, kept: pa.Array) -> None:
    """Say how many boxes were cut, and how many items are left out for theirs.

    Args:
        job: is told.
        chunk: its items.
        boxes: of each item, as cut.
        kept: whether the item has an entry in the export.
    """
    moved = None
    for name, values in zip(BOX_COLUMNS, boxes, strict=True):
        differs = pc.not_equal(chunk.items.column(name), values)
        moved = differs if moved is None else pc.or_(moved, differs)
    note(job, "boxes", "reach outside the image: cut at its border", pc.sum(pc.and_(moved, kept)).as_py())
    why = "left out, as their box has no width or no height inside the image"
    note(job, "items", why, pc.sum(pc.invert(kept)).as_py())


def note(job: Job, what: str, why: str, number: int | None) -> None:
    """Tell a job of something left out or changed, if there is any."""
    if number:
        job.leave_out(what, why, number)
