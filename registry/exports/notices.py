"""The notices of an export: plain sentences with a count, for its manifest and for the command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from registry.exports.format import Format
from registry.exports.job import Job
from registry.wording import plural, sentence

if TYPE_CHECKING:
    from registry.store.selection import Selection


def notices(export_format: Format, job: Job, rows: Selection) -> list[str]:
    """Return the notices of a finished export.

    Args:
        export_format: its format.
        job: the export.
        rows: the rows that it wrote.
    """
    return [
        *rows.notices,
        *(sentence(number, what, why) for (what, why), number in sorted(job.left_out.items())),
        *(plural(number, *words) for words, number in sorted(job.noticed.items())),
        *_of_balance(rows.balance),
        *_of_photos(export_format, job),
        *_of_turned_photos(export_format, rows),
        *_of_suffixes(job),
        *_of_links(job),
        *(f"photos: {notice}" for notice in job.photo_notices),
    ]


def _of_balance(balance: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield, for each part of a division, its share of the items and the largest deviation from its fraction."""
    for row in balance:
        if row["worst_of"] is not None and row["items_share"] is not None and len(balance) > 1:
            yield (
                f"{row['part']} has {row['items_share']:.2%} of the items; farthest from {row['fraction']:.2%} "
                f"is its share of {row['worst_of']}, by {100 * row['worst_deviation']:.2f} points"
            )


def _of_photos(export_format: Format, job: Job) -> Iterator[str]:
    """Yield the number of images whose photos the export could hold and does not."""
    number = sum(counts["images"] for counts in job.counts.values())
    if not number or job.images in ("link", "copy") or "copy" not in export_format.images:
        return
    what = plural(number, "image is without its photo", "images are without their photos")
    needed = f", and {export_format.name} is read by its photos" if export_format.needs_photos else ""
    yield f"{what} in this export{needed}: --images copy --photos RELEASE copies them into it"


def _of_links(job: Job) -> Iterator[str]:
    """Yield the number of photos that lead out of the export, and of those that could not be linked."""
    if job.num_links_out:
        yield (
            f"{plural(job.num_links_out, 'photo is a symbolic link', 'photos are symbolic links')} out of the export, "
            "which some loaders (supervision) refuse and a copy of the export loses: --photo-cache DIR makes hard "
            "links, --images copy copies"
        )
    if job.files.num_unlinked:
        yield (
            f"{plural(job.files.num_unlinked, 'photo was', 'photos were')} copied, as no hard link could be made from "
            "the photo cache to the export: --photo-cache DIR on the file system of the export saves this space"
        )


def _of_turned_photos(export_format: Format, rows: Selection) -> Iterator[str]:
    """Yield the number of photos that some trainers turn, if the format is read with its photos."""
    is_read_with_photos = {"none", "reference"} & set(export_format.images) and "copy" in export_format.images
    number = rows.num_turned_photos() if is_read_with_photos else 0
    if number:
        what = plural(number, "photo has", "photos have")
        yield (
            f"{what} an EXIF tag that some trainers turn or mirror it by (ultralytics, detectron2), and all numbers "
            "count the stored pixels: see docs/how-to/turned-photos.md"
        )


def _of_suffixes(job: Job) -> Iterator[str]:
    """Yield the number of photos whose suffix does not tell their kind."""
    number = job.num_other_suffixes()
    if number:
        what = plural(number, "photo has", "photos have")
        yield (
            f"{what} another suffix at the place of the photos than in the registry, whose names stand here: "
            "ingest the split with its photos to have their own"
        )
