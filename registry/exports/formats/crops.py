"""Crops: a JPEG of each item's box, in folders by class (category), identity and source, listed in a CSV."""

from __future__ import annotations

import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import chain, islice
from typing import Any, Final, NamedTuple

import pyarrow as pa

from registry.dataset.tables import BOX_COLUMNS
from registry.errors import SourceError, UsageError
from registry.execution.cluster import ClusterExecutor, max_pending
from registry.execution.in_order import in_order
from registry.execution.packing import unpack_once
from registry.exports.job import Job
from registry.sources.photo_crops import crop_within
from registry.sources.photo_decoding import PhotoError, opened_photo
from registry.sources.photo_pixels import converted
from registry.subset.rows import Chunk, Part

_COLUMNS: Final = (
    "image_id", "item_no", "pair_id", "style", "category_id", "source", *BOX_COLUMNS,
)  # fmt: skip
_HEADER: Final = "path,part,split,image_id,item_no,pair_id,style,identity,category,source,x1,y1,x2,y2\n"
#: Photos read ahead per thread.
_AHEAD: Final = 4
#: Images whose crops a worker of a cluster cuts in a call.
_SLICE: Final = 64

Box = tuple[float, float, float, float]


class Crop(NamedTuple):
    """A crop of a photo.

    Attributes:
        box: left, top, right and bottom edge in the photo, whole px.
        data: JPEG.
    """

    box: tuple[int, int, int, int]
    data: bytes


#: A chunk, and the crops of each of its images.
_CutChunk = tuple[Chunk, Iterable[list[Crop | None]]]


def write(job: Job) -> None:
    """Write ``PART/CATEGORY/IDENTITY/SOURCE/NAME.jpg`` for every item, and ``crops.csv``.

    Raises:
        SourceError: a photo cannot be decoded.
    """
    cluster = job.cluster
    photos = cluster.share(job.source_of_photos(cluster)) if cluster else b""
    with job.files.open("crops.csv") as index:
        index.write(_HEADER.encode())
        for part in job.parts:
            written = 0
            cut_chunks = _cut_on_cluster(job, part, cluster, photos) if cluster else _cut_here(job, part)
            for chunk, crops in cut_chunks:
                lines: list[str] = []
                job.files.write_all(_chunk_files(job, chunk, crops, lines))
                index.write("".join(lines).encode())
                written += len(lines)
            job.count(part, "crops", written)


def _chunks(job: Job, part: Part) -> Iterator[Chunk]:
    """Yield the chunks of a part without images that have no items, so that their photos are not read."""
    return (_with_items(chunk) for chunk in job.chunks(part, _COLUMNS) if chunk.items.num_rows)


def _cut_here(job: Job, part: Part) -> Iterator[_CutChunk]:
    """Yield each chunk and the crops of each of its images, cut by threads while the next photos are read."""
    margin, quality = job.options["margin"], job.options["quality"]
    threads = os.cpu_count() or 1
    with ThreadPoolExecutor(threads) as pool:
        for chunk in _chunks(job, part):
            calls = (
                (None, pool.submit(cut, photo, boxes, margin, quality, name))
                for photo, boxes, name in zip(job.photos(chunk), _boxes(chunk), _names(chunk), strict=True)
            )
            yield chunk, (crops for _, crops in in_order(calls, _AHEAD * threads))


def _cut_on_cluster(job: Job, part: Part, cluster: ClusterExecutor, photos: bytes) -> Iterator[_CutChunk]:
    """Yield each chunk and the crops of each of its images, read and cut by workers."""
    margin, quality = job.options["margin"], job.options["quality"]
    calls = (
        (
            chunk,
            cluster.submit(
                _cut_in_worker,
                photos,
                chunk.split,
                chunk.images.column("image_id").to_pylist(),
                list(_boxes(chunk)),
                margin,
                quality,
                _names(chunk),
            ),
        )
        for whole in _chunks(job, part)
        for chunk in whole.slices(_SLICE)
    )
    yield from in_order(calls, max_pending(cluster, 1))


def _cut_in_worker(
    photos: bytes,
    split: str,
    image_ids: Sequence[int],
    boxes: Sequence[Sequence[Box]],
    margin: float,
    quality: int,
    names: Sequence[str],
) -> list[list[Crop | None]]:
    """Return the crops of each image of a run. The work of a worker on another machine."""
    data = unpack_once(photos).read(split, image_ids)
    return [cut(photo, group, margin, quality, name) for photo, group, name in zip(data, boxes, names, strict=True)]


def _boxes(chunk: Chunk) -> Iterator[list[Box]]:
    """Yield the boxes of each image of a chunk."""
    boxes = zip(*(chunk.items.column(side).to_pylist() for side in BOX_COLUMNS), strict=True)
    return ([*islice(boxes, number)] for number in chunk.num_items)


def _names(chunk: Chunk) -> list[str]:
    """Return the name of the photo of each image in messages."""
    return [f"{chunk.split}/image/{name}" for name in chunk.images.column("file_name").to_pylist()]


def _with_items(chunk: Chunk) -> Chunk:
    """Return the chunk without images that have no items, so that their photos are not read."""
    images = chunk.images.filter(pa.array([number > 0 for number in chunk.num_items], pa.bool_()))
    return replace(chunk, images=images, num_items=[number for number in chunk.num_items if number])


def _chunk_files(
    job: Job, chunk: Chunk, crops_of_images: Iterable[list[Crop | None]], lines: list[str]
) -> Iterator[tuple[str, bytes]]:
    """Yield path and bytes of each crop of a chunk; append its line of ``crops.csv`` to ``lines``."""
    class_names = job.classes.names(chunk.items.column("category_id"))
    items = iter(chunk.items.append_column("class_name", class_names).to_pylist())
    for crop in chain.from_iterable(crops_of_images):
        item = next(items)
        if crop is None:
            job.leave_out("crops", "were left out, as the box has no area within the photo")
            continue
        path = crop_path(chunk.part, chunk.split, item)
        lines.append(_line(path, chunk, item, crop))
        yield path, crop.data


def cut(photo: bytes, boxes: Sequence[Box], margin: float, quality: int, name: str) -> list[Crop | None]:
    """Return the crop of each box; None for a box outside the photo.

    Args:
        photo: bytes of the photo.
        boxes: x1, y1, x2, y2, px from the top-left corner of the photo as it is stored.
        margin: see :func:`registry.sources.photo_crops.crop_within`.
        quality: of the JPEGs.
        name: of the photo, for errors.

    Raises:
        SourceError: it cannot be decoded.
    """
    # Boxes are in pixels of the photo as stored, so EXIF orientation is ignored.
    try:
        with opened_photo(photo) as opened:
            image = converted(opened, "RGB")
    except PhotoError as error:
        raise SourceError(f"Cannot decode {name}: {error}") from error
    image.info.clear()  # keep colour profile, comment and resolution out of the crop
    crops: list[Crop | None] = []
    for box in boxes:
        edges = crop_within(box, margin, image.width, image.height)
        if edges is None:
            crops.append(None)
            continue
        out = io.BytesIO()
        # No chroma subsampling: boxes are not aligned with the subsampled blocks of the photo.
        image.crop(edges).save(out, "JPEG", quality=quality, subsampling=0)
        crops.append(Crop(edges, out.getvalue()))
    return crops


def identity(part: Part, split: str, item: Mapping[str, Any]) -> str:
    """Return the folder name of an item's identity, unique within the part: ``PAIRID_STYLE``.

    An item of style 0 has no identity: it gets a name of its own, ``PAIRID_0_IMAGEID_ITEMNO``, and serves as a
    distractor, as in the official gallery.
    """
    name = f"{item['pair_id']:06d}_{item['style']}"
    if not item["style"]:
        name += f"_{item['image_id']:06d}_{item['item_no']}"
    return part.file_name(split, name)


def crop_path(part: Part, split: str, item: Mapping[str, Any]) -> str:
    """Return the path of an item's crop in the export."""
    category = item["class_name"].replace(" ", "_")
    name = part.file_name(split, f"{item['image_id']:06d}_{item['item_no']}.jpg")
    return f"{part.name}/{category}/{identity(part, split, item)}/{item['source']}/{name}"


def _line(path: str, chunk: Chunk, item: Mapping[str, Any], crop: Crop) -> str:
    cells = [
        path, chunk.part.name, chunk.split, item["image_id"], item["item_no"], item["pair_id"], item["style"],
        identity(chunk.part, chunk.split, item), item["class_name"], item["source"], *crop.box,
    ]  # fmt: skip
    return ",".join(map(str, cells)) + "\n"


def check(options: Mapping[str, Any], images: str) -> None:
    """Refuse a margin or a quality out of range."""
    if not math.isfinite(options["margin"]):
        raise UsageError(f"margin: expected a number, found {options['margin']}.")
    if options["quality"] > 100:
        raise UsageError(f"quality: expected 1 to 100, found {options['quality']}.")
