"""The CSV of Open Metric Learning: one row per item, labelled with its identity.

Source: ``oml/utils/dataframe_format.py`` (its checker) and ``oml/datasets/images.py`` of Open Metric Learning 4.0.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from registry.dataset.deepfashion2 import SPLITS
from registry.dataset.tables import FIELDS, arrow_type
from registry.errors import UsageError
from registry.exports.builtin import PHOTO_PATH
from registry.exports.columns.own_values import own_columns
from registry.exports.columns.retrieval_roles import is_gallery, is_query
from registry.exports.columns.sinks import SINKS
from registry.exports.job import Job
from registry.subset.rows import Chunk, Part

#: Column of the CSV -> column of items, rounding function, and column of images with the upper limit.
_BOX: Final = {
    "x_1": ("x1", "floor", None), "y_1": ("y1", "floor", None), "x_2": ("x2", "ceil", "width"),
    "y_2": ("y2", "ceil", "height"),
}  # fmt: skip
_ID_COLUMNS: Final = ("image_id", "item_no", "source", "pair_id", "style")
_COLUMNS: Final = (*_ID_COLUMNS, "category_id", "category_name", *(name for name, _, _ in _BOX.values()))
#: label = number of the split * _SPLIT_STEP + pair_id (or image_id) * _GROUP_STEP + style (or item_no).
_SPLIT_STEP: Final = 1_000_000_000
_GROUP_STEP: Final = 1_000
#: Labels of identities are below this, labels of items without an identity at or above.
_END_OF_IDENTITIES: Final = (1 + len(SPLITS)) * _SPLIT_STEP


def write(job: Job) -> None:
    """Write ``metric_learning.csv`` with train and validation, and ``metric_learning-PART.csv`` for any other part.

    Open Metric Learning knows only the splits train and validation. The part ``train`` becomes its train, the part
    ``validation`` or ``val`` its validation. Every other part is validation in a file of its own, so that its queries
    search only its own gallery. Such a file is written only if the part has an item with a sound box.
    """
    train = [part for part in job.parts if part.name == "train"]
    validation = [part for part in job.parts if part.name in ("validation", "val")][:1]
    extra_parts = [part for part in job.parts if part not in train + validation]
    files = {"": [*train, *validation]} | {f"-{part.name}": [part] for part in extra_parts}
    for suffix, parts in files.items():
        labels_of = {part: _Labels.of(job, part) for part in parts}
        if suffix and not any(len(labels.labels) for labels in labels_of.values()):
            continue  # Open Metric Learning cannot read a file without rows
        with job.files.open(f"metric_learning{suffix}.csv") as file, SINKS["csv"](file, _schema(job)) as write_batch:
            for part, labels in labels_of.items():
                part_rows = _train_rows if part in train else _validation_rows
                for batch in part_rows(job, part, labels):
                    write_batch(batch)


def _schema(job: Job) -> pa.Schema:
    integers, texts = pa.int64(), pa.string()
    return pa.schema(
        [
            ("label", integers),
            *((name, texts) for name in ("path", "split", "is_query", "is_gallery")),
            *((name, integers) for name in _BOX),
            ("category", texts),
            ("released_split", texts),
            *((name, arrow_type(FIELDS[name].type)) for name in _ID_COLUMNS),
            ("category_name", texts),
            *job.own_schema(),
        ]
    )


@dataclass(frozen=True, slots=True)
class _Labels:
    """The labels of a part, collected in a first pass over its items.

    A first pass is needed because shop photos may come after the user photos they answer, and because the items of an
    identity may be annotated with different categories, while Open Metric Learning takes only one category per label.

    Attributes:
        labels: distinct labels.
        categories: name of the class of each label: the most frequent among its items, in a tie the first class.
        num_items: number of items of each label.
        gallery_labels: distinct labels of gallery items.
    """

    labels: pa.Array
    categories: pa.Array
    num_items: pa.Array
    gallery_labels: pa.Array

    @classmethod
    def of(cls, job: Job, part: Part) -> _Labels:
        """Return the labels of the items of a part that have a sound box."""
        schema = pa.schema([("label", pa.int64()), ("class_id", pa.int32()), ("is_gallery", pa.bool_())])
        batches = [pa.RecordBatch.from_pylist([], schema)]
        for chunk in job.chunks(part, [*_COLUMNS, *own_columns(job.options)]):
            rows = _rows(job, chunk, "")
            class_ids = job.classes.ids(chunk.items.column("category_id"))
            columns = [rows.column("label"), class_ids, is_gallery(rows)]
            batches.append(pa.record_batch(columns, schema=schema).filter(_is_sound(rows)))
        table = pa.Table.from_batches(batches)
        class_counts = table.group_by(["label", "class_id"]).aggregate([([], "count_all")])
        order = [("label", "ascending"), ("count_all", "descending"), ("class_id", "ascending")]
        first = class_counts.sort_by(order).group_by("label", use_threads=False).aggregate([("class_id", "first")])
        names = pa.array([member.name for member in job.classes])
        positions = pc.subtract(first.column("class_id_first"), 1).combine_chunks()
        gallery_labels = pc.unique(table.filter(table.column("is_gallery")).column("label"))
        label_counts = table.group_by("label").aggregate([([], "count_all")])
        labels = first.column("label").combine_chunks()
        in_order = pc.index_in(labels, value_set=label_counts.column("label").combine_chunks())
        num_items = label_counts.column("count_all").combine_chunks().take(in_order)
        return cls(labels, names.take(positions), num_items, gallery_labels)


def _train_rows(job: Job, part: Part, labels: _Labels) -> Iterator[pa.RecordBatch]:
    """Yield the items that have an identity (style > 0) as rows of the split train."""
    num_rows = 0
    is_identity = pc.less(labels.labels, _END_OF_IDENTITIES)
    fewest = job.options["min-items-per-label"]
    is_kept = pc.and_(is_identity, pc.greater_equal(labels.num_items, fewest))
    kept_labels = labels.labels.filter(is_kept)
    for rows in _sound_rows(job, part, "train", labels):
        has_style = pc.greater(rows.column("style"), 0)
        _leave_out(
            job, f"items of style 0 in {part.name}", "were left out: no identity, so no label", pc.invert(has_style)
        )
        has_label = pc.is_in(rows.column("label"), value_set=kept_labels)
        why = f"were left out: fewer than {fewest} items of the label"
        _leave_out(job, f"items of {part.name}", why, pc.and_not(has_style, has_label))
        num_rows += has_label.true_count
        yield rows.filter(has_label)
    job.count(part, "rows", num_rows)
    job.count(part, "labels", len(kept_labels))
    num_single = pc.and_(is_kept, pc.equal(labels.num_items, 1)).true_count
    why = "a single item, at which samplers such as OML's BalanceSampler stop: --min-items-per-label 2 leaves them out"
    job.notice(num_single, f"label of {part.name} has {why}", f"labels of {part.name} have {why}")


def _validation_rows(job: Job, part: Part, labels: _Labels) -> Iterator[pa.RecordBatch]:
    """Yield gallery items, and the query items whose identity is in the gallery, as rows of the split validation."""
    num_queries = num_gallery = 0
    for rows in _sound_rows(job, part, "validation", labels):
        queries, gallery = is_query(rows), is_gallery(rows)
        answered = pc.and_(queries, pc.is_in(rows.column("label"), value_set=labels.gallery_labels))
        no_role = pc.invert(pc.or_(queries, gallery))
        _leave_out(job, f"consumer items of style 0 in {part.name}", "were left out: no identity to look for", no_role)
        why = "were left out: no item of the identity in the gallery, which Open Metric Learning does not take"
        _leave_out(job, f"queries of {part.name}", why, pc.and_not(queries, answered))
        num_queries += answered.true_count
        num_gallery += gallery.true_count
        with_roles = _with_column(rows, "is_query", pc.if_else(answered, "True", "False"))
        with_roles = _with_column(with_roles, "is_gallery", pc.if_else(gallery, "True", "False"))
        yield with_roles.filter(pc.or_(answered, gallery))
    job.count(part, "queries", num_queries)
    job.count(part, "gallery", num_gallery)


def _sound_rows(job: Job, part: Part, split: str, labels: _Labels) -> Iterator[pa.RecordBatch]:
    """Yield the items of a part with a sound box as rows with a category.

    Items without a sound box, and boxes that were changed, are counted in the manifest.

    Args:
        job: the export.
        part: whose items are read.
        split: value of the column ``split``, ``train`` or ``validation``.
        labels: of the part.
    """
    for chunk in job.chunks(part, [*_COLUMNS, *own_columns(job.options)]):
        rows = _rows(job, chunk, split)
        is_sound = _is_sound(rows)
        _leave_out(
            job, f"items of {part.name}", "were left out: the box holds no pixel of the photo", pc.invert(is_sound)
        )
        changes = [pc.not_equal(rows.column(new), chunk.items.column(old)) for new, (old, _, _) in _BOX.items()]
        changed = pc.or_(pc.or_(*changes[:2]), pc.or_(*changes[2:]))
        why = (
            "were rounded outwards to whole pixels and cut at the edges of the photo, as Open Metric Learning takes "
            "them"
        )
        _leave_out(job, f"boxes of {part.name}", why, pc.and_(changed, is_sound))
        sound = rows.filter(is_sound)
        positions = pc.index_in(sound.column("label"), value_set=labels.labels)
        yield _with_column(sound, "category", labels.categories.take(positions))


def _rows(job: Job, chunk: Chunk, split: str) -> pa.RecordBatch:
    """Return all items of a chunk as rows of the CSV, with null in ``category``, ``is_query`` and ``is_gallery``.

    Boxes are rounded outwards to whole pixels, so that they keep the whole garment, and cut at the edges of the photo.
    Without a known size of the photo they are cut only at the left and upper edge.
    """
    items, num_rows = chunk.items, chunk.items.num_rows
    image_positions = chunk.owners()
    folder = PHOTO_PATH.removesuffix("{part}/{name}") if job.images in ("link", "copy") else ""
    paths = pa.array([folder + name for name in job.photo_names(chunk)], pa.string())
    corners = []
    for name, rounding, size in _BOX.values():
        corner = pc.max_element_wise(getattr(pc, rounding)(items.column(name)).cast(pa.int64()), 0)
        if size:
            corner = pc.min_element_wise(corner, chunk.images.column(size).take(image_positions).cast(pa.int64()))
        corners.append(corner)
    unset = pa.nulls(num_rows, pa.string())
    columns = [_labels(chunk), paths.take(image_positions), pa.repeat(split, num_rows), unset, unset, *corners]
    columns += [unset, pa.repeat(chunk.split, num_rows)]
    columns += [items.column(name) for name in (*_ID_COLUMNS, "category_name", *own_columns(job.options))]
    return pa.record_batch(columns, schema=_schema(job))


def _labels(chunk: Chunk) -> pa.Array:
    """Return the label of each item as int64: one label per identity, and one per item of style 0.

    A label is computed from the released split and the numbers of the item alone. So every export gives an identity
    the same label, and no two identities of any splits share a label.

    Raises:
        UsageError: a pair_id, image_id, style or item_no is too high for its place in the label.
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

    def label(range_no: int, group: str, member: str) -> pa.Array:
        return pc.add(pc.add(pc.multiply(numbers[group], _GROUP_STEP), numbers[member]), range_no * _SPLIT_STEP)

    of_identity, of_item = label(split_no, "pair_id", "style"), label(split_no + len(SPLITS), "image_id", "item_no")
    return pc.if_else(pc.greater(numbers["style"], 0), of_identity, of_item)


def _is_sound(rows: pa.RecordBatch) -> pa.Array:
    """Return True for each row whose box has at least one pixel."""
    return pc.and_(pc.less(rows.column("x_1"), rows.column("x_2")), pc.less(rows.column("y_1"), rows.column("y_2")))


def _with_column(rows: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    """Return rows with the values of a column replaced."""
    return rows.set_column(rows.schema.get_field_index(name), name, values)


def _leave_out(job: Job, what: str, why: str, mask: pa.Array) -> None:
    """Count the rows of a mask in the manifest as left out or changed."""
    if mask.true_count:
        job.leave_out(what, why, mask.true_count)
