"""The official query and gallery lists of the retrieval benchmark, for any split, part or subset.

Source: ``evaluation.md`` and ``val_query.json``, ``val_gallery.json`` of the dataset (json_for_validation.zip).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from registry.exports.columns.text import Records, concat, numbers
from registry.exports.job import Job
from registry.subset.rows import Part

_COLUMNS: Final = ("image_id", "source", "pair_id", "style", "category_id", "x1", "y1", "x2", "y2")


def write(job: Job) -> None:
    """Write ``PART_query.json`` and ``PART_gallery.json`` for every part; validation is called val, as published.

    Both lists are in file order. As in the published lists, a query whose identity is missing from the gallery of its
    part is kept and scores as a miss; the manifest counts these as ``queries_without_answer``.
    """
    for part in job.parts:
        name = _published_name(part, job.parts)
        with ExitStack() as stack:
            files = [stack.enter_context(job.files.open(f"{name}_{role}.json")) for role in ("query", "gallery")]
            for file in files:
                file.write(b"[")
            lists = [Records(file) for file in files]
            _write_lists(job, part, *lists)
            for file, records in zip(files, lists, strict=True):
                file.write(b"\n]\n" if records.length else b"]\n")


def _published_name(part: Part, parts: Sequence[Part]) -> str:
    # A resplit may have both a part 'val' and a part 'validation'.
    taken = {other.name.casefold() for other in parts}
    return "val" if part.name == "validation" and "val" not in taken else part.name


def _write_lists(job: Job, part: Part, queries: Records, gallery: Records) -> None:
    query_identities: dict[str, list[pa.Array]] = {split: [] for split in part.splits}
    gallery_identities: dict[str, list[pa.Array]] = {split: [] for split in part.splits}
    for chunk in job.chunks(part, _COLUMNS):
        if not chunk.items.num_rows:
            continue
        is_shop = pc.equal(chunk.items.column("source"), "shop")
        has_style = pc.greater(chunk.items.column("style"), 0)
        shop_items = chunk.items.filter(is_shop)
        query_items = chunk.items.filter(pc.and_not(has_style, is_shop))
        gallery.add(_records(shop_items, part.offset(chunk.split), "gallery"))
        queries.add(_records(query_items, part.offset(chunk.split), "query"))
        query_identities[chunk.split].append(_identities(query_items))
        gallery_identities[chunk.split].append(_identities(shop_items))
    job.count(part, "queries", queries.length)
    job.count(part, "gallery", gallery.length)
    job.count(
        part,
        "queries_without_answer",
        sum(_unanswered(query_identities[split], gallery_identities[split]) for split in part.splits),
    )


def _unanswered(query_identities: Sequence[pa.Array], gallery_identities: Sequence[pa.Array]) -> int:
    """Return the number of query identities that are missing from the gallery."""
    if not query_identities:
        return 0
    is_answered = pc.is_in(pa.concat_arrays(query_identities), value_set=pa.concat_arrays(gallery_identities))
    unanswered: int = is_answered.false_count
    return unanswered


def _identities(items: pa.RecordBatch) -> pa.Array:
    """Return pair_id and style of each item packed into an int64. Both are below 2**31."""
    pair_ids = items.column("pair_id").cast(pa.int64())
    return pc.add(pc.shift_left(pair_ids, 32), items.column("style").cast(pa.int64()))


def _records(items: pa.RecordBatch, offset: int, role: str) -> pa.Array:
    """Return the JSON record of each item."""
    image_ids, pair_ids = (
        numbers(pc.add(items.column(name).cast(pa.int64()), offset)) for name in ("image_id", "pair_id")
    )
    pieces: list[pa.Array | str] = [f'{{"{role}_image_id": ', image_ids, ', "bbox": [']
    for position, side in enumerate(("x1", "y1", "x2", "y2")):
        pieces += [", " if position else "", numbers(items.column(side))]
    pieces.append("]")
    if role == "query":
        pieces += [', "cls": ', numbers(items.column("category_id"))]
    pieces += [', "style": ', numbers(items.column("style")), ', "pair_id": ', pair_ids, "}"]
    return concat(*pieces)
