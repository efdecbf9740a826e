"""Comparing retrieval lists with the annotations of the same split, by Arrow joins."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import CATEGORIES
from registry.dataset.tables import BOX_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

#: Source of the images in the lists of a role.
SOURCE_OF_ROLE: Final = {"query": "user", "gallery": "shop"}

_KEY_BOX: Final = tuple(f"key_{name}" for name in BOX_COLUMNS)
#: Columns that identify an item in the lists.
_ITEM_KEY: Final = ("role", "image_id", "pair_id", "style", *_KEY_BOX)


@dataclass(slots=True)
class AnnotatedRows:
    """The columns of images and items that lists are compared with, in batches."""

    _images: list[pa.RecordBatch] = field(default_factory=list)
    _items: list[pa.RecordBatch] = field(default_factory=list)

    def add(self, images: pa.RecordBatch, items: pa.RecordBatch | None) -> None:
        """Add rows of the tables images and items; of the items only those that a list may contain."""
        import pyarrow.compute as pc

        self._images.append(images.select(["image_id", "source"]))
        if items is not None:
            is_shop = pc.equal(items["source"], "shop")
            columns = items.select(["source", "image_id", "pair_id", "style", *BOX_COLUMNS, "category_name"])
            self._items.append(columns.filter(pc.or_(is_shop, pc.greater(items["style"], 0))))

    def disagreements(self, split: str, entries: pa.RecordBatch) -> list[str]:
        """Return a line for each contradiction between lists and annotations, sorted.

        Args:
            split: name of the split, for the lines.
            entries: rows of the table retrieval_lists, for this split.
        """
        import pyarrow as pa
        import pyarrow.compute as pc

        images = pa.Table.from_batches(self._images)
        is_of_split = pc.is_in(entries["image_id"], value_set=images["image_id"].combine_chunks())
        unknown, listed = entries.filter(pc.invert(is_of_split)), pa.table(entries.filter(is_of_split))
        lines = [f"{_where(entry)} is not among the images of {split}" for entry in unknown.to_pylist()]
        lines += _wrong_sources(_join(listed, images, ["image_id"], "inner"))
        if any(batch.num_rows for batch in self._items):
            items = pa.Table.from_batches(self._items)
            roles = pc.if_else(pc.equal(items["source"], "shop"), "gallery", "query")
            items = _with_key_box(items.append_column("role", roles))
            is_item = pc.and_(
                pc.is_valid(listed["x1"]), pc.and_(pc.is_valid(listed["style"]), pc.is_valid(listed["pair_id"]))
            )
            listed = _with_key_box(listed.filter(is_item))
            lines += [
                *_missing_items(listed, items),
                *_wrong_categories(listed, items),
                *_unlisted_items(listed, items),
            ]
        return sorted(lines)


def _wrong_sources(entries: pa.Table) -> Iterator[str]:
    """Yield a line for each entry whose image has another source than its role; ``entries`` with their source."""
    import pyarrow.compute as pc

    expected = pc.if_else(pc.equal(entries["role"], "query"), SOURCE_OF_ROLE["query"], SOURCE_OF_ROLE["gallery"])
    for entry in entries.filter(pc.not_equal(entries["source"], expected)).to_pylist():
        yield f"{_where(entry)} is listed as {entry['role']}, its source is {entry['source']}"


def _missing_items(listed: pa.Table, items: pa.Table) -> Iterator[str]:
    """Yield a line for each entry without an item."""
    for entry in _join(listed, items.select(_ITEM_KEY), _ITEM_KEY, "left anti").to_pylist():
        yield f"{_where(entry)} has no {entry['role']} item with {_describe_item(entry)}"


def _wrong_categories(listed: pa.Table, items: pa.Table) -> Iterator[str]:
    """Yield a line for each entry whose category differs from that of its item, or of all its items.

    Several items of an image may be the same in all but the category.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names = pa.array([None, *(category.name for category in CATEGORIES)])  # at the position of the category_id
    listed = listed.append_column("category_name", pc.take(names, listed["category_id"]))
    listed = listed.filter(pc.is_valid(listed["category_id"]))
    items = items.select([*_ITEM_KEY, "category_name"])
    wrong = _join(listed, items, items.column_names, "left anti")
    items = items.rename_columns([*_ITEM_KEY, "item_category_name"])
    entries: dict[str, set[str]] = {}
    for row in _join(wrong, items, _ITEM_KEY, "inner").to_pylist():
        entry = f"{_where(row)} is listed as {row['category_name']}"
        entries.setdefault(entry, set()).add(row["item_category_name"])
    for entry, categories in entries.items():
        yield f"{entry}, its item is {' and '.join(sorted(categories))}"


def _unlisted_items(listed: pa.Table, items: pa.Table) -> Iterator[str]:
    """Yield a line for each item that a list of items of its role lacks; items with equal keys give a single line."""
    import pyarrow.compute as pc

    for list_file, role in sorted(set(zip(*(listed[name].to_pylist() for name in ("list_file", "role")), strict=True))):
        is_of_list = pc.and_(pc.equal(listed["list_file"], list_file), pc.equal(listed["role"], role))
        keys = listed.filter(is_of_list).select(_ITEM_KEY)
        unlisted = _join(items.filter(pc.equal(items["role"], role)), keys, _ITEM_KEY, "left anti").to_pylist()
        distinct: dict[tuple[Any, ...], dict[str, Any]] = {}
        for item in unlisted:
            distinct.setdefault(tuple(item[name] for name in _ITEM_KEY), item)
        for item in distinct.values():
            yield f"{list_file}: lacks the {role} item of image {item['image_id']:06d} with {_describe_item(item)}"


def _join(left: pa.Table, right: pa.Table, keys: Iterable[str], join_type: Any) -> pa.Table:
    """Return Arrow's join; with a single thread, which keeps the order of the rows."""
    return left.join(right, list(keys), join_type=join_type, use_threads=False)


def _with_key_box(table: pa.Table) -> pa.Table:
    """Return a table with key columns of the box, in which -0.0 is 0.0: joins compare bytes."""
    import pyarrow.compute as pc

    for name, key_name in zip(BOX_COLUMNS, _KEY_BOX, strict=True):
        table = table.append_column(key_name, pc.add(table[name], 0.0))
    return table


def _where(entry: dict[str, Any]) -> str:
    return f"{entry['list_file']} > entry {entry['entry_no']}: image {entry['image_id']:06d}"


def _describe_item(item: dict[str, Any]) -> str:
    box = [item[name] for name in BOX_COLUMNS]
    return f"pair_id {item['pair_id']}, style {item['style']} and box {box}"
