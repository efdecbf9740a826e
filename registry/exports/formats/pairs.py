"""Pairs of a user item and a shop item, a row per pair: positives and, on request, negatives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.tables import BOX_COLUMNS, FIELDS, arrow_type
from registry.exports.builtin import PHOTO_PATH
from registry.exports.columns.bounds import has_area, notice_boxes
from registry.exports.columns.classes import CLASS_COLUMNS, class_columns
from registry.exports.columns.sinks import SINKS
from registry.exports.columns.text import concat
from registry.exports.huggingface_layout import data_path, notice_of_parts_without_rows, split_names
from registry.exports.job import Job
from registry.subset.rows import PAIRED_COLUMNS, Part

_COUNTED: Final = {"positive": "pairs", "hard": "hard_negatives", "category": "negatives"}
_WHY_FEWER: Final = {
    "hard": "are missing: fewer shop items of another style of the pair_id than asked for",
    "category": "are missing: fewer shop items of the category with another pair_id than asked for",
}


def write(job: Job) -> None:
    """Write ``data/PART-00000-of-00001.EXT`` for every part with pairs, or for all if none has any."""
    names = dict(zip(job.parts, split_names(job.parts), strict=True))
    without_rows = []
    for part, name in names.items():
        batches = _batches(job, part, _schema(job))
        first = next(batches, None)
        if first is None:
            without_rows.append(part)
        else:
            _write_file(job, name, chain([first], batches))
    if len(without_rows) < len(names):
        notice_of_parts_without_rows(job, without_rows)
    else:
        for name in names.values():
            _write_file(job, name, ())


def _write_file(job: Job, name: str, batches: Iterable[pa.RecordBatch]) -> None:
    """Write the file of a part."""
    kind = job.options["as"]
    with job.files.open(data_path(name, kind)) as file, SINKS[kind](file, _schema(job)) as write_batch:
        for batch in batches:
            write_batch(batch)


def _schema(job: Job) -> pa.Schema:
    fields = [("split", pa.string()), ("pair_no", pa.int32()), ("label", pa.int8()), ("kind", pa.string())]
    for source in ("user", "shop"):
        for name in PAIRED_COLUMNS:
            # file_name becomes a path, because a name alone identifies neither split nor part.
            column = "path" if name == "file_name" else name
            fields.append((f"{source}_{column}", arrow_type(FIELDS[name].type)))
    if job.classes.are_chosen:
        for source in ("user", "shop"):
            fields += [(f"{source}_{name}", arrow_type(type_name)) for name, type_name in CLASS_COLUMNS.items()]
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in fields])


def _batches(job: Job, part: Part, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    num_negatives = {"hard": job.options["hard-negatives"], "category": job.options["negatives"]}
    num_pairs: Counter[str] = Counter()
    flat: set[tuple[str, str, int, int]] = set()
    for batch in job.pairs(part, num_negatives["category"], num_negatives["hard"], job.options["negative-seed"]):
        for entry in pc.value_counts(batch.column("kind")).to_pylist():
            num_pairs[entry["values"]] += entry["counts"]
        split = batch.column("split")[0].as_py()
        flat.update((split, *key) for key in _without_area(batch))
        folder = f"{split}/image/"
        if job.images in ("link", "copy"):
            folder = PHOTO_PATH.format(part=part.name, name=part.file_name(split, ""))
        columns = [
            concat(folder, column) if name.endswith("_file_name") else column
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        ]
        if job.classes.are_chosen:
            for source in ("user", "shop"):
                columns += class_columns(job.classes, batch.column(f"{source}_category_id")).values()
        yield pa.record_batch(columns, schema=schema)
    notice_boxes(job, len(flat))
    job.count(part, _COUNTED["positive"], num_pairs["positive"])
    for kind, number in num_negatives.items():
        if number:
            job.count(part, _COUNTED[kind], num_pairs[kind])
            missing = number * num_pairs["positive"] - num_pairs[kind]
            if missing:
                job.leave_out(f"{_COUNTED[kind].replace('_', ' ')} of {part.name}", _WHY_FEWER[kind], missing)


def _without_area(batch: pa.RecordBatch) -> Iterator[tuple[str, int, int]]:
    """Yield (source, image_id, item_no) of the items whose box has no area, once for each of their pairs."""
    for source in ("user", "shop"):
        is_flat = pc.invert(has_area(*(batch.column(f"{source}_{name}") for name in BOX_COLUMNS)))
        keys = (batch.column(f"{source}_{name}").filter(is_flat).to_pylist() for name in ("image_id", "item_no"))
        yield from ((source, image_id, item_no) for image_id, item_no in zip(*keys, strict=True))
