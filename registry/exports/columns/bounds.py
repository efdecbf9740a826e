"""Photo sizes, boxes cut at the border of the photo, and coordinates normalized by its size."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.tables import BOX_COLUMNS
from registry.errors import UsageError, first_names
from registry.exports.columns.text import numbers
from registry.exports.job import Job
from registry.exports.work import ChunkWork
from registry.subset.rows import Chunk

#: Normalized coordinates are rounded to a multiple of 1/SHARES: 7 decimals.
SHARES: Final = 1e7


class Sizes(NamedTuple):
    """Width and height of the photo of each item, px."""

    width: pa.Array
    height: pa.Array

    def filter(self, mask: pa.Array) -> Sizes:
        """Return the sizes of the items where the mask is true."""
        return Sizes(self.width.filter(mask), self.height.filter(mask))


class Boxes(NamedTuple):
    """The box of each item, px from the top-left corner of its photo."""

    x1: pa.Array
    y1: pa.Array
    x2: pa.Array
    y2: pa.Array


def require_sizes(job: Job, reason: str, needed: Callable[[int, int | None], bool]) -> None:
    """Check, before anything is written, that photo sizes are known.

    Args:
        job: the export; all of its images are checked.
        reason: why the format needs sizes; begins the message.
        needed: called with an image's number of chosen items and of annotated items (None without an annotation);
            returns whether the format needs the size of the image.

    Raises:
        UsageError: sizes are missing; the message gives the number per split, the first names, and the remedy.
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
    counts = []
    for split in splits:
        names = sorted(unknown[split])
        counts.append(f"{len(names):,} of {split} ({first_names(names, 3)})")
    remedy = " and ".join(f"'df2 ingest --split {split} RELEASE REGISTRY'" for split in splits)
    raise UsageError(
        f"{reason}, and the size of images is not known: {', '.join(counts)}. Their photos were not there when they "
        f"were ingested. Ingest with the photos: {remedy}."
    )


def item_sizes(chunk: Chunk) -> Sizes:
    """Return the photo size of each item of a chunk, px."""
    owners = chunk.owners()
    return Sizes(*(chunk.images.column(name).take(owners).cast(pa.float64()) for name in ("width", "height")))


def cut(values: pa.Array, highest: pa.Array) -> pa.Array:
    """Return coordinates clamped to [0, highest]."""
    inside = pc.min_element_wise(pc.max_element_wise(values, pa.scalar(0.0)), highest)
    return pc.add(inside, pa.scalar(0.0))  # -0.0 becomes 0.0


def shares(values: pa.Array, sizes: pa.Array) -> pa.Array:
    """Return coordinates in px as whole multiples of 1/:data:`SHARES` of the image's width or height."""
    return pc.round(pc.multiply(pc.divide(values, sizes), pa.scalar(SHARES)))


def shares_above(values: pa.Array, sizes: pa.Array) -> pa.Array:
    """Return coordinates as :func:`shares`, but rounded up to 6 decimals: less than 1/1000 px in a photo of 1,000 px.

    Readers of polygons parse a share as a 32-bit float, multiply it by the size and truncate to a whole pixel. A share
    that was rounded down loses a pixel there. On the sample release, masks filled by OpenCV covered 0.986 of the union
    with 7 decimals rounded to nearest, and 0.999 with 6 decimals rounded up.
    """
    rounded_up = pc.ceil(pc.multiply(pc.divide(values, sizes), pa.scalar(SHARES / 10)))
    return pc.min_element_wise(pc.multiply(rounded_up, pa.scalar(10.0)), pa.scalar(float(SHARES)))


def share_texts(values: pa.Array, whole: float = SHARES) -> pa.Array:
    """Return shares as text: 0.25, 0.3333333, 1, 0.0000001.

    Args:
        values: whole numbers.
        whole: the value that is written as 1.
    """
    # Dividing whole numbers gives the double nearest to the decimal, so its shortest text is that decimal.
    # pc.round with ndigits gives neighbouring doubles, such as 0.39999999999999997.
    quotients = pc.divide(values, pa.scalar(whole))
    texts = numbers(quotients)
    # datumaro does not parse exponents (1e-07).
    with_exponent = pc.match_substring(texts, "e")
    if not pc.any(with_exponent).as_py():
        return texts
    plain = [f"{value:.8f}".rstrip("0") for value in quotients.filter(with_exponent).to_pylist()]
    return pc.replace_with_mask(texts, with_exponent, pa.array(plain, pa.string()))


def cut_boxes(chunk: Chunk, sizes: Sizes) -> Boxes:
    """Return the box of each item, cut at the border of its photo."""
    x1, y1, x2, y2 = (chunk.items.column(name) for name in BOX_COLUMNS)
    return Boxes(cut(x1, sizes.width), cut(y1, sizes.height), cut(x2, sizes.width), cut(y2, sizes.height))


def note_boxes(work: ChunkWork, chunk: Chunk, boxes: Boxes, has_box: pa.Array) -> None:
    """Count boxes cut at the border, and items left out because their box is empty.

    Args:
        work: the export that counts.
        chunk: the items with their boxes as annotated.
        boxes: the boxes after cutting.
        has_box: whether each item has an entry in the export.
    """
    moved = None
    for name, values in zip(BOX_COLUMNS, boxes, strict=True):
        differs = pc.not_equal(chunk.items.column(name), values)
        moved = differs if moved is None else pc.or_(moved, differs)
    note(work, "boxes", "reach outside the image: cut at its border", pc.sum(pc.and_(moved, has_box)).as_py())
    why = "were left out, as the box has no width or no height inside the image"
    note(work, "items", why, pc.sum(pc.invert(has_box)).as_py())


def has_area(x1: pa.Array, y1: pa.Array, x2: pa.Array, y2: pa.Array) -> pa.Array:
    """Return whether each box has a width and a height."""
    return pc.and_(pc.greater(x2, x1), pc.greater(y2, y1))


def note_boxes_without_area(work: ChunkWork, items: pa.RecordBatch) -> None:
    """Report the boxes without area of items that a format writes with their boxes as annotated."""
    if set(BOX_COLUMNS) <= set(items.schema.names):
        notice_boxes(work, items.num_rows - has_area(*(items.column(name) for name in BOX_COLUMNS)).true_count)


def notice_boxes(work: ChunkWork, number: int) -> None:
    """Report a number of items whose box has no area."""
    why = "without width or height, at which torchvision and other trainers stop"
    remedy = "--min-box-area 0 leaves such items out"
    work.notice(number, f"item has a box {why}: {remedy}", f"items have a box {why}: {remedy}")


def note_items_without_polygon(work: ChunkWork, items: pa.RecordBatch) -> None:
    """Report the items without a polygon of a format from which masks are learned."""
    number = pc.equal(pc.list_value_length(items.column("segmentation")), 0).true_count
    why = "no polygon, at which detectron2 and torchvision's reference training stop for masks"
    remedy = "--where 'len(segmentation) > 0' leaves such items out"
    work.notice(number, f"item has {why}: {remedy}", f"items have {why}: {remedy}")


def note_without_category(work: ChunkWork, chunk: Chunk, where: str) -> None:
    """Report the images that a format by category writes nowhere.

    Args:
        work: the export.
        chunk: its images with the number of their items.
        where: holds the images of a category: ``file`` or ``dataset``.
    """
    note(work, "images", f"are in no {where}: no item, and each {where} is of a category", chunk.num_items.count(0))


def note_unlabelled(work: ChunkWork, chunk: Chunk) -> None:
    """Report the images without annotation that a format writes as images without items."""
    why = "no annotation in the release: that no item is listed does not say that no clothes are shown"
    work.notice(chunk.images.column("num_items").null_count, f"image has {why}", f"images have {why}")


def note(work: ChunkWork, what: str, why: str, number: int | None) -> None:
    """Count something left out or changed, unless the number is 0 or None."""
    if number:
        work.leave_out(what, why, number)
