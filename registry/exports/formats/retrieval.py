"""The official query and gallery lists of the retrieval benchmark, for any split, part or subset.

Source: ``evaluation.md`` and ``val_query.json``, ``val_gallery.json`` of the dataset (json_for_validation.zip).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.tables import BOX_COLUMNS
from registry.exports.columns.bounds import note_boxes_without_area
from registry.exports.columns.retrieval_roles import is_gallery, is_query
from registry.exports.columns.text import Records, concat, numbers
from registry.exports.job import Job
from registry.subset.rows import Chunk, Part

_COLUMNS: Final = ("image_id", "source", "pair_id", "style", "category_id", *BOX_COLUMNS)


def write(job: Job) -> None:
    """Write ``PART_query.json`` and ``PART_gallery.json`` for every part; validation is called val, as published.

    Both lists are in file order. A query item without a gallery item of its identity stays in the list, as in the
    published list, where the evaluation counts it as missed. ``queries_without_answer`` counts such items.

    The option ``ground-truth`` lists the consumer items of style 0 as well. The official script assigns every detection
    in a photo to the listed item that it overlaps most, without a threshold, and judges the items with a style. If the
    items of style 0 are not listed, detections of them go to other items and displace the right ones.

    The option ``answerable`` leaves out queries without a gallery item of their identity. Among the ground truth such
    an item keeps its place, with style 0, so that detections of it go to no other item.
    """
    for part in job.parts:
        name = _published_name(part, job.parts)
        gallery_identities = _identities_of_gallery(job, part) if job.options["answerable"] else None
        with ExitStack() as stack:
            files = [stack.enter_context(job.files.open(f"{name}_{role}.json")) for role in ("query", "gallery")]
            for file in files:
                file.write(b"[")
            lists = [Records(file) for file in files]
            _write_lists(job, part, gallery_identities, *lists)
            for file, records in zip(files, lists, strict=True):
                file.write(b"\n]\n" if records.length else b"]\n")


def _identities_of_gallery(job: Job, part: Part) -> dict[str, pa.Array]:
    """Return the identities of the gallery items of each split of a part.

    A first pass is needed because shop photos may come after the consumer photos that they answer.
    """
    identities: dict[str, list[pa.Array]] = {split: [pa.array([], pa.int64())] for split in part.splits}
    for chunk in job.chunks(part, ("source", "pair_id", "style")):
        identities[chunk.split].append(_identities(chunk.items.filter(is_gallery(chunk.items))))
    return {split: pc.unique(pa.concat_arrays(arrays)) for split, arrays in identities.items()}


def _published_name(part: Part, parts: Sequence[Part]) -> str:
    """Return the name of a part in file names: val for validation, unless a new division also has a part val."""
    taken = {other.name.casefold() for other in parts}
    return "val" if part.name == "validation" and "val" not in taken else part.name


def _write_lists(
    job: Job, part: Part, gallery_identities: Mapping[str, pa.Array] | None, queries: Records, gallery: Records
) -> None:
    """Add the records of a part to both lists, and count them.

    Args:
        job: the export.
        part: the part.
        gallery_identities: split -> identities of the gallery, to leave out other queries; None to keep all.
        queries: the list of queries, or the ground truth.
        gallery: the list of the gallery.
    """
    num_queries = num_unanswered = 0
    asked: dict[str, list[pa.Array]] = {split: [] for split in part.splits}
    shown: dict[str, list[pa.Array]] = {split: [] for split in part.splits}
    for chunk in job.chunks(part, _COLUMNS):
        items, offset = chunk.items, part.offset(chunk.split)
        is_asked = is_query(items)
        in_gallery = items.filter(is_gallery(items))
        if gallery_identities is None:
            asked[chunk.split].append(_identities(items.filter(is_asked)))
            shown[chunk.split].append(_identities(in_gallery))
        else:
            has_answer = pc.is_in(_identities(items), value_set=gallery_identities[chunk.split])
            num_unanswered += pc.and_not(is_asked, has_answer).true_count
            is_asked = pc.and_(is_asked, has_answer)
        num_queries += is_asked.true_count
        listed = items.filter(is_asked)
        if job.options["ground-truth"]:
            styles = pc.if_else(is_asked, items.column("style"), pa.scalar(0, items.column("style").type))
            with_styles = items.set_column(items.schema.get_field_index("style"), "style", styles)
            listed = with_styles.filter(pc.equal(items.column("source"), "user"))
            _note_partial_photos(job, chunk)
        note_boxes_without_area(job, listed)
        note_boxes_without_area(job, in_gallery)
        queries.add(_records(listed, offset, "query"))
        gallery.add(_records(in_gallery, offset, "gallery"))
    for split in part.splits:
        if asked[split]:
            has_answer = pc.is_in(pa.concat_arrays(asked[split]), value_set=pa.concat_arrays(shown[split]))
            num_unanswered += len(has_answer) - has_answer.true_count
    job.count(part, "queries", num_queries)
    job.count(part, "gallery", gallery.length)
    if job.options["ground-truth"]:
        job.count(part, "consumer_items", queries.length)
    job.count(part, "queries_without_answer", 0 if job.options["answerable"] else num_unanswered)
    _note_unanswered(job, num_unanswered)


def _note_partial_photos(job: Job, chunk: Chunk) -> None:
    """Report consumer photos of which the subset has some items alone."""
    images = chunk.images
    is_partial = pc.less(pa.array(chunk.num_items, pa.int64()), images.column("num_items").cast(pa.int64()))
    number = pc.and_(is_partial, pc.equal(images.column("source"), "user")).true_count
    why = "only some of the items in the ground truth, and the scorer gives them the detections of the others"
    remedy = "--whole-images lists all"
    job.notice(number, f"consumer photo has {why}: {remedy}", f"consumer photos have {why}: {remedy}")


def _note_unanswered(job: Job, number: int) -> None:
    """Report queries without a counterpart: left out, listed without their style, or in the list."""
    why = "no counterpart in the gallery"
    if not job.options["answerable"]:
        remedy = "the official script stops at them, and --answerable leaves them out"
        job.notice(number, f"query has {why}: {remedy}", f"queries have {why}: {remedy}")
    elif number and job.options["ground-truth"]:
        job.leave_out("queries", f"are listed with style 0 and so not scored: {why}", number)
    elif number:
        job.leave_out("queries", f"were left out: {why}", number)


def _identities(items: pa.RecordBatch) -> pa.Array:
    """Return the identity of each item within its split as int64: pair_id * 2**32 + style. Both are below 2**31."""
    pair_ids = items.column("pair_id").cast(pa.int64())
    return pc.add(pc.shift_left(pair_ids, 32), items.column("style").cast(pa.int64()))


def _records(items: pa.RecordBatch, offset: int, role: str) -> pa.Array:
    """Return the record of each item as JSON text.

    Args:
        items: with the columns :data:`_COLUMNS`.
        offset: added to image_id and pair_id, so that the numbers of several splits in one part differ.
        role: ``query`` or ``gallery``.
    """
    image_ids, pair_ids = (
        numbers(pc.add(items.column(name).cast(pa.int64()), offset)) for name in ("image_id", "pair_id")
    )
    pieces: list[pa.Array | str] = [f'{{"{role}_image_id": ', image_ids, ', "bbox": [']
    for position, side in enumerate(BOX_COLUMNS):
        pieces += [", " if position else "", numbers(items.column(side))]
    pieces.append("]")
    if role == "query":
        pieces += [', "cls": ', numbers(items.column("category_id"))]
    pieces += [', "style": ', numbers(items.column("style")), ', "pair_id": ', pair_ids, "}"]
    return concat(*pieces)
