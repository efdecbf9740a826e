"""The official query and gallery lists of the retrieval benchmark, for any split, part or subset.

Source: ``evaluation.md`` and ``val_query.json``, ``val_gallery.json`` of the dataset (json_for_validation.zip).
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.tables import BOX_COLUMNS
from registry.exports.columns.retrieval_roles import is_gallery, is_query
from registry.exports.columns.text import Records, concat, numbers
from registry.exports.job import Job
from registry.subset.rows import Part

_COLUMNS: Final = ("image_id", "source", "pair_id", "style", "category_id", *BOX_COLUMNS)


def write(job: Job) -> None:
    """Write ``PART_query.json`` and ``PART_gallery.json`` for every part; validation is called val, as published.

    Both lists are in file order. A query item without a gallery item of its identity stays in the list, as in the
    published list, where the evaluation counts it as missed. ``queries_without_answer`` counts such items.
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
    """Return the name of a part in file names: val for validation, unless a new division also has a part val."""
    taken = {other.name.casefold() for other in parts}
    return "val" if part.name == "validation" and "val" not in taken else part.name


def _write_lists(job: Job, part: Part, queries: Records, gallery: Records) -> None:
    """Add the records of a part to both lists, and count them."""
    query_identities: dict[str, list[pa.Array]] = {split: [] for split in part.splits}
    gallery_identities: dict[str, list[pa.Array]] = {split: [] for split in part.splits}
    for chunk in job.chunks(part, _COLUMNS):
        if not chunk.items.num_rows:
            continue
        query_items = chunk.items.filter(is_query(chunk.items))
        gallery_items = chunk.items.filter(is_gallery(chunk.items))
        queries.add(_records(query_items, part.offset(chunk.split), "query"))
        gallery.add(_records(gallery_items, part.offset(chunk.split), "gallery"))
        query_identities[chunk.split].append(_identities(query_items))
        gallery_identities[chunk.split].append(_identities(gallery_items))
    job.count(part, "queries", queries.length)
    job.count(part, "gallery", gallery.length)
    unanswered = (_num_unanswered(query_identities[split], gallery_identities[split]) for split in part.splits)
    job.count(part, "queries_without_answer", sum(unanswered))


def _num_unanswered(queries: Sequence[pa.Array], gallery: Sequence[pa.Array]) -> int:
    """Return the number of queries whose identity is not in the gallery.

    Args:
        queries: the identity of each query, in arrays of any length.
        gallery: the identity of each gallery item; as many arrays.
    """
    if not queries:
        return 0
    has_answer = pc.is_in(pa.concat_arrays(queries), value_set=pa.concat_arrays(gallery))
    num_unanswered: int = has_answer.false_count
    return num_unanswered


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
