"""The CSV of Open Metric Learning: a row per item, labelled with its identity.

Source: ``oml/utils/dataframe_format.py`` (its checker) and ``oml/datasets/images.py`` of Open Metric Learning 4.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.deepfashion2 import CATEGORIES, SPLITS
from registry.dataset.tables import FIELDS, arrow_type
from registry.errors import UsageError
from registry.exports.builtin import PHOTO_PATH
from registry.exports.columns.sinks import SINKS
from registry.exports.job import Job
from registry.subset.rows import Chunk, Part

#: Column of the CSV -> column of items, how it is rounded, and what it may not exceed.
_BOX: Final = {
    "x_1": ("x1", "floor", None), "y_1": ("y1", "floor", None), "x_2": ("x2", "ceil", "width"),
    "y_2": ("y2", "ceil", "height"),
}  # fmt: skip
_OF_KEY: Final = ("image_id", "item_no", "source", "pair_id", "style")
_COLUMNS: Final = (*_OF_KEY, "category_id", "category_name", *(name for name, _, _ in _BOX.values()))
#: label = split number * _SPLIT_STEP + pair_id (or image_id) * _GROUP_STEP + style (or item_no).
_SPLIT_STEP: Final = 1_000_000_000
_GROUP_STEP: Final = 1_000
#: Labels of items without an identity are higher than this.
_LAST_IDENTITY: Final = (1 + len(SPLITS)) * _SPLIT_STEP


def write(job: Job) -> None:
    """Write ``metric_learning.csv`` with train and validation, and ``metric_learning-PART.csv`` for any other part.

    Open Metric Learning knows only the splits train and validation. The part ``train`` becomes its train, the part
    ``validation`` or ``val`` its validation. Every other part with items gets a file of its own with the split
    validation, so that queries of a part are searched only in the gallery of that part.
    """
    train = [part for part in job.parts if part.name == "train"]
    validation = [part for part in job.parts if part.name in ("validation", "val")][:1]
    extra_parts = [part for part in job.parts if part not in train + validation]
    files = {"": [*train, *validation]} | {f"-{part.name}": [part] for part in extra_parts}
    for name, parts in files.items():
        labels_by_part = {part: _Labels.of(job, part) for part in parts}
        if name and not any(len(labels.labels) for labels in labels_by_part.values()):
            continue  # photos without annotations; Open Metric Learning cannot read a file without a row
        with job.files.open(f"metric_learning{name}.csv") as file, SINKS["csv"](file, _schema()) as write_batch:
            for part, labels in labels_by_part.items():
                find_rows = _train_rows if part in train else _validation_rows
                for batch in find_rows(job, part, labels):
                    write_batch(batch)


def _schema() -> pa.Schema:
    integers, texts = pa.int64(), pa.string()
    return pa.schema(
        [
            ("label", integers),
            *((name, texts) for name in ("path", "split", "is_query", "is_gallery")),
            *((name, integers) for name in _BOX),
            ("category", texts),
            ("released_split", texts),
            *((name, arrow_type(FIELDS[name].type)) for name in _OF_KEY),
            ("category_name", texts),
        ]
    )


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels of a part, collected in a first pass over its rows.

    A first pass is needed because shop photos may come after consumer photos, so that whether a query has an answer is
    known only at the end, and because items of an identity may have different categories, while a label has a single
    category.

    Attributes:
        labels: distinct labels.
        categories: name of the most frequent category of each label; ties go to the lowest category_id.
        in_gallery: distinct labels of shop items.
    """

    labels: pa.Array
    categories: pa.Array
    in_gallery: pa.Array

    @classmethod
    def of(cls, job: Job, part: Part) -> _Labels:
        """Return the labels of the items of a part whose box holds at least a pixel."""
        schema = pa.schema([("label", pa.int64()), ("category_id", pa.int8()), ("is_gallery", pa.bool_())])
        batches = [pa.RecordBatch.from_pylist([], schema)]
        for chunk in job.chunks(part, _COLUMNS):
            rows = _rows(job, chunk, "")
            is_shop = pc.equal(rows.column("source"), "shop")
            columns = [rows.column("label"), chunk.items.column("category_id"), is_shop]
            batches.append(pa.record_batch(columns, schema=schema).filter(_is_sound(rows)))
        table = pa.Table.from_batches(batches)
        counted = table.group_by(["label", "category_id"]).aggregate([([], "count_all")])
        order = [("label", "ascending"), ("count_all", "descending"), ("category_id", "ascending")]
        first = counted.sort_by(order).group_by("label", use_threads=False).aggregate([("category_id", "first")])
        names = pa.array([category.name for category in CATEGORIES])
        positions = pc.subtract(first.column("category_id_first"), 1).combine_chunks()
        in_gallery = pc.unique(table.filter(table.column("is_gallery")).column("label"))
        return cls(first.column("label").combine_chunks(), names.take(positions), in_gallery)


def _train_rows(job: Job, part: Part, labels: _Labels) -> Iterator[pa.RecordBatch]:
    """Yield the items of train that have an identity."""
    num_rows = 0
    for rows in _sound_rows(job, part, "train", labels):
        has_style = pc.greater(rows.column("style"), 0)
        _leave_out(job, f"items of style 0 in {part.name}", "no identity, so no label", pc.invert(has_style))
        num_rows += has_style.true_count
        yield rows.filter(has_style)
    job.count(part, "rows", num_rows)
    job.count(part, "labels", pc.less(labels.labels, _LAST_IDENTITY).true_count)


def _validation_rows(job: Job, part: Part, labels: _Labels) -> Iterator[pa.RecordBatch]:
    """Yield shop items as gallery rows, and consumer items whose identity is in the gallery as query rows."""
    num_queries = num_gallery = 0
    for rows in _sound_rows(job, part, "validation", labels):
        is_gallery = pc.equal(rows.column("source"), "shop")
        has_query_identity = pc.and_not(pc.greater(rows.column("style"), 0), is_gallery)
        is_query = pc.and_(has_query_identity, pc.is_in(rows.column("label"), value_set=labels.in_gallery))
        without_identity = pc.invert(pc.or_(is_gallery, has_query_identity))
        _leave_out(job, f"consumer items of style 0 in {part.name}", "no identity to look for", without_identity)
        why = "no item of their identity in the gallery, which Open Metric Learning does not take"
        _leave_out(job, f"queries of {part.name}", why, pc.and_not(has_query_identity, is_query))
        num_queries += is_query.true_count
        num_gallery += is_gallery.true_count
        marked = _put(rows, "is_query", pc.if_else(is_query, "True", "False"))
        marked = _put(marked, "is_gallery", pc.if_else(is_gallery, "True", "False"))
        yield marked.filter(pc.or_(is_query, is_gallery))
    job.count(part, "queries", num_queries)
    job.count(part, "gallery", num_gallery)


def _sound_rows(job: Job, part: Part, split: str, labels: _Labels) -> Iterator[pa.RecordBatch]:
    """Yield the items of a part whose box holds at least a pixel; count dropped and changed boxes in the manifest."""
    for chunk in job.chunks(part, _COLUMNS):
        rows = _rows(job, chunk, split)
        is_sound = _is_sound(rows)
        _leave_out(job, f"items of {part.name}", "their box holds no pixel of the photo", pc.invert(is_sound))
        changes = [pc.not_equal(rows.column(new), chunk.items.column(old)) for new, (old, _, _) in _BOX.items()]
        changed = pc.or_(pc.or_(*changes[:2]), pc.or_(*changes[2:]))
        why = "rounded outwards to whole pixels and cut at the edges of the photo, as Open Metric Learning takes them"
        _leave_out(job, f"boxes of {part.name}", why, pc.and_(changed, is_sound))
        sound = rows.filter(is_sound)
        yield _put(
            sound, "category", labels.categories.take(pc.index_in(sound.column("label"), value_set=labels.labels))
        )


def _rows(job: Job, chunk: Chunk, split: str) -> pa.RecordBatch:
    """Return all items of a chunk as rows of the CSV, with category, is_query and is_gallery still null.

    Boxes are in whole pixels inside the photo: rounded outwards, so that no part of the garment is lost, and cut at the
    edges of the photo (only at the left and upper edge where its size is unknown).
    """
    items, num_rows = chunk.items, chunk.items.num_rows
    image_of = chunk.owners()
    folder = PHOTO_PATH.removesuffix("{part}/{name}") if job.images in ("link", "copy") else ""
    paths = pa.array([folder + name for name in job.photo_names(chunk)], pa.string())
    corners = []
    for name, rounding, size in _BOX.values():
        corner = pc.max_element_wise(getattr(pc, rounding)(items.column(name)).cast(pa.int64()), 0)
        if size:
            corner = pc.min_element_wise(corner, chunk.images.column(size).take(image_of).cast(pa.int64()))
        corners.append(corner)
    unset = pa.nulls(num_rows, pa.string())
    columns = [_labels(chunk), paths.take(image_of), pa.repeat(split, num_rows), unset, unset, *corners]
    columns += [unset, pa.repeat(chunk.split, num_rows)]
    columns += [items.column(name) for name in (*_OF_KEY, "category_name")]
    return pa.record_batch(columns, schema=_schema())


def _labels(chunk: Chunk) -> pa.Array:
    """Return the label of each item: the label of its identity, or a label of its own for style 0.

    Labels are computed from the released split and the ids in it, so they are the same in every export and unique over
    identities and splits.

    Raises:
        UsageError: an id does not fit into its digits of the label.
    """
    items = chunk.items
    numbers = {}
    for name, limit in (("pair_id", 1_000_000), ("image_id", 1_000_000), ("style", 1_000), ("item_no", 1_000)):
        numbers[name] = items.column(name).cast(pa.int64())
        if items.num_rows and (highest := pc.max(numbers[name]).as_py()) >= limit:
            raise UsageError(
                f"The {name} {highest} of {chunk.split} is too high for a label: expected below {limit:,}. "
                "Choose a subset without it."
            )
    split_no = 1 + SPLITS.index(chunk.split)

    def label(leading: int, group: str, member: str) -> pa.Array:
        return pc.add(pc.add(pc.multiply(numbers[group], _GROUP_STEP), numbers[member]), leading * _SPLIT_STEP)

    of_identity, of_item = label(split_no, "pair_id", "style"), label(split_no + len(SPLITS), "image_id", "item_no")
    return pc.if_else(pc.greater(numbers["style"], 0), of_identity, of_item)


def _is_sound(rows: pa.RecordBatch) -> pa.Array:
    """Return whether the box of each row holds at least a pixel."""
    return pc.and_(pc.less(rows.column("x_1"), rows.column("x_2")), pc.less(rows.column("y_1"), rows.column("y_2")))


def _put(rows: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    return rows.set_column(rows.schema.get_field_index(name), name, values)


def _leave_out(job: Job, what: str, why: str, mask: pa.Array) -> None:
    if mask.true_count:
        job.leave_out(what, why, mask.true_count)
