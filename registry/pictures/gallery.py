"""Contact sheets of rows, identities and differences, page by page."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from math import ceil
from typing import TYPE_CHECKING, Any, Final

from PIL import Image

from registry.errors import UsageError
from registry.pictures.album import Album, Shown, Subject
from registry.pictures.palette import CANVAS
from registry.pictures.sheet import (
    ACROSS,
    BOX,
    MARKS,
    ROWS,
    TEXT,
    THUMBNAIL,
    Block,
    Cell,
    cell_width,
    cells_on_page,
    figure,
    sheet,
)
from registry.pictures.text import drawable, packed
from registry.store.connection import duckdb_errors
from registry.store.difference import value_text
from registry.wording import plural

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.store.difference import Change
    from registry.store.registry import Registry

#: What column names of an image begin with: ``image_id``, ``user_image_id``, ...
_PREFIXES: Final = ("", "other_", "user_", "shop_", "query_", "gallery_")
#: Lines of a caption.
_LINES: Final = 6
#: Identities have at most so many columns of items on each side.
_COLUMNS_OF_SIDE: Final = 3


@dataclass(frozen=True, slots=True)
class RowKeys:
    """The columns of rows that name images or items.

    Attributes:
        images: for each image of a row, the columns of its split, image_id and item_no; the last may be None.
    """

    images: Sequence[tuple[str, str, str | None]]

    @classmethod
    def of(cls, columns: Sequence[str]) -> RowKeys:
        """Return the keys among columns.

        Raises:
            UsageError: there are none.
        """
        images = []
        for prefix in _PREFIXES:
            split = f"{prefix}split" if f"{prefix}split" in columns else "split"
            item_no = f"{prefix}item_no"
            # Another item without an image of its own is in the same image.
            image_id = f"{prefix}image_id" if f"{prefix}image_id" in columns or item_no not in columns else "image_id"
            if image_id in columns and split in columns:
                images.append((split, image_id, item_no if item_no in columns else None))
        if not images:
            raise UsageError(
                "A picture of a row needs the columns split and image_id, with item_no for an item; or those of a pair "
                "(split, user_image_id, user_item_no, shop_image_id, shop_item_no); or split, pair_id, perhaps style, "
                f"of a group. Found {', '.join(columns)}."
            )
        return cls(images)

    @property
    def columns(self) -> set[str]:
        """Names of the columns."""
        return {name for image in self.images for name in image if name is not None}

    def subjects(self, row: Mapping[str, Any]) -> list[Subject | None]:
        """Return the subjects of a row; None for an image_id that is NULL.

        Raises:
            UsageError: a value is no number.
        """
        subjects: list[Subject | None] = []
        for split, image_id, item_no in self.images:
            if row[split] is None or row[image_id] is None:
                subjects.append(None)
                continue
            number = row[item_no] if item_no else None
            try:
                item = None if number is None else _whole_number(number)
                subjects.append(Subject(str(row[split]), _whole_number(row[image_id]), item))
            except (TypeError, ValueError, ArithmeticError) as error:
                raise UsageError(
                    f"Expected whole numbers in {image_id}{f' and {item_no}' if item_no else ''}, "
                    f"found {row[image_id]!r}{f' and {number!r}' if item_no else ''}."
                ) from error
        return subjects

    def captions(self, row: Mapping[str, Any]) -> list[str]:
        """Return the name and value of each other column; lists, such as landmarks, are in the picture."""
        return [
            f"{name} {value_text(value)}"
            for name, value in row.items()
            if name not in self.columns and value is not None and not isinstance(value, list | dict | bytes)
        ]


def _whole_number(value: Any) -> int:
    """Return a value as a number; raise ValueError, TypeError or ArithmeticError for a fraction and what is none."""
    number = int(value)
    if isinstance(value, bool) or (not isinstance(value, str) and number != value):
        raise ValueError
    return number


def single(album: Album, subject: Subject, *, crop: bool = False) -> Image.Image:
    """Return an image or an item with its title and the legend.

    Raises:
        NotFoundError: the registry has no such image or item.
    """
    shown = album.find(subject)
    annotated = album.draw(shown, crop=crop)
    return figure(annotated.picture, shown.title() + ("" if annotated.has_photo else " · no photo"))


def with_items(registry: Registry, rows: pa.Table) -> pa.Table:
    """Return rows whose columns name images or items; a row for each item of the groups that other rows name.

    A group is a pair_id of a split, or an identity in it. Lists are left out then, as no caption holds them.

    Args:
        registry: an open registry.
        rows: of any query.

    Raises:
        UsageError: a pair_id or style is no whole number.
    """
    import pyarrow as pa

    keys = [name for name in ("split", "pair_id", "style") if name in rows.column_names]
    if any(name.endswith("image_id") for name in rows.column_names) or keys[:2] != ["split", "pair_id"]:
        return rows
    with duckdb_errors():
        items = registry.sql(f"SELECT {', '.join(keys)}, image_id, item_no FROM items").to_arrow_table()
    flat = rows.select([field.name for field in rows.schema if not pa.types.is_nested(field.type)])
    types = [items.schema.field(field.name) if field.name in keys else field for field in flat.schema]
    try:
        flat = flat.cast(pa.schema(types))
    except pa.ArrowInvalid as error:
        raise UsageError(f"Expected whole numbers in {' and '.join(keys[1:])}: {error}.") from error
    joined = flat.join(items, keys, join_type="inner")
    return joined.sort_by([(name, "ascending") for name in (*keys, "image_id", "item_no")])


def num_row_pages(rows: pa.Table, num_before: int = 0) -> int:
    """Return the number of pages of :func:`row_pages`, with so many cells before those of the rows."""
    number: int = rows.num_rows + num_before
    return ceil(number / cells_on_page(len(RowKeys.of(rows.column_names).images)))


def row_pages(
    album: Album, rows: pa.Table, title: str = "", *, crop: bool = False, before: Sequence[Cell] = ()
) -> Iterator[Image.Image]:
    """Yield contact sheets with a cell for each row: its image, item or pair, and its other columns as caption.

    Args:
        album: reads the photos.
        rows: of any query.
        title: for the foot of the page.
        crop: only the boxes of the items.
        before: cells that stand before those of the rows; fewer than a page holds.

    Raises:
        UsageError: no columns name an image.
    """
    keys = RowKeys.of(rows.column_names)
    on_page, total = cells_on_page(len(keys.images)), num_row_pages(rows, len(before))
    for page in range(total):
        start, end = (max(0, number * on_page - len(before)) for number in (page, page + 1))
        cells = row_cells(album, keys, rows.slice(start, end - start).to_pylist(), crop=crop)
        cells[:0] = before if page == 0 else ()
        footer = " · ".join([title] * bool(title) + [f"page {page + 1:,} of {total:,}"] * (total > 1))
        marks = (BOX,) if album.only_boxes and album.photos is not None else MARKS
        yield sheet([Block("", cells, max(1, ACROSS // len(keys.images)))], footer, marks)


def row_cells(album: Album, keys: RowKeys, records: Sequence[Mapping[str, Any]], *, crop: bool = False) -> list[Cell]:
    """Return a cell for each row."""
    subjects = [keys.subjects(record) for record in records]
    loaded = iter(album.load([subject for group in subjects for subject in group if subject is not None]))
    cells = []
    for record, group in zip(records, subjects, strict=True):
        shown = [next(loaded) if subject is not None else None for subject in group]
        album.problems.unknown |= {str(s.subject): None for s in shown if s is not None and not s.has_subject}
        cells.append(_cell(album, shown, keys.captions(record), crop=crop))
    return cells


def num_identity_pages(items: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of pages of :func:`identity_pages`."""
    sides = _sides(items)
    return max(1, *(ceil(len(side) / (_columns_of_side(sides) * ROWS)) for side in sides.values()))


def identity_pages(
    album: Album, items: Sequence[Mapping[str, Any]], title: str, *, crop: bool = False
) -> Iterator[Image.Image]:
    """Yield pages of an identity: consumer items on the left, shop items on the right.

    Args:
        album: reads the photos.
        items: rows of the items (:meth:`registry.store.registry.Registry.style`).
        title: for the foot of the page.
        crop: only the boxes of the items.
    """
    sides = _sides(items)
    columns = _columns_of_side(sides)
    total, on_page = num_identity_pages(items), columns * ROWS
    for page in range(total):
        blocks = []
        for name, rows in sides.items():
            part = rows[page * on_page : (page + 1) * on_page]
            loaded = album.load([Subject(row["split"], row["image_id"], row["item_no"]) for row in part])
            cells = [_cell(album, [shown], [], crop=crop) for shown in loaded]
            count = f"{name}: {plural(len(rows), 'item')}"
            blocks.append(Block(count if page == 0 else f"{name}, continued" if cells else "", cells, columns))
        footer = title if total == 1 else f"{title} · page {page + 1:,} of {total:,}"
        yield sheet(blocks, footer)


def num_change_pages(number: int) -> int:
    """Return the number of pages of :func:`change_pages` for so many changes."""
    return ceil(number / cells_on_page(2))


def change_pages(old: Album, new: Album, changes: Iterable[Change], total: int, title: str) -> Iterator[Image.Image]:
    """Yield pages of differences: old and new beside each other, and the columns that differ as caption.

    Args:
        old: of the older registry; reads the photos for both.
        new: of the newer registry, without photos.
        changes: images or items that differ.
        total: number of the pages.
        title: for the foot of the page.
    """
    on_page = cells_on_page(2)
    remaining = iter(changes)
    for page in range(total):
        waiting = list(islice(remaining, on_page))
        subjects = [Subject(c.key["split"], c.key["image_id"], c.key.get("item_no")) for c in waiting]
        cells = []
        for change, before, after in zip(waiting, old.load(subjects), new.load(subjects), strict=True):
            pair = ((old, before), (new, replace(after, photo=before.photo)))
            pictures = [_thumbnail(album, shown)[0] for album, shown in pair if shown.image is not None]
            if len(pictures) == 1:  # the other registry has no such image
                pictures.insert(0 if before.image is None else 1, Image.new("RGB", pictures[0].size, CANVAS))
            cells.append(Cell(pictures, _caption(_change_title(change), change.lines(), pictures)))
        footer = f"old left, new right · {title} · page {page + 1:,} of {total:,}"
        yield sheet([Block("", cells, ACROSS // 2)], footer)


def _sides(items: Sequence[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    sides: dict[str, list[Mapping[str, Any]]] = {
        "consumer": [row for row in items if row["source"] == "user"],
        "shop": [row for row in items if row["source"] == "shop"],
    }
    unknown = [row for row in items if row["source"] not in ("user", "shop")]
    return {**sides, "source not known": unknown} if unknown else sides


def _columns_of_side(sides: Mapping[str, Sequence[object]]) -> int:
    return max(1, min(_COLUMNS_OF_SIDE, max(ceil(len(side) / 2) for side in sides.values())))


def _cell(album: Album, shown: Sequence[Shown | None], lines: Sequence[str], *, crop: bool) -> Cell:
    """Return the pictures of subjects beside each other, with their names and more lines as caption."""
    pictures, titles = [], []
    for subject in shown:
        picture, has_photo = _thumbnail(album, subject, crop=crop)
        pictures.append(picture)
        titles.append(_short_title(subject) + ("" if has_photo else " · no photo"))
    return Cell(pictures, _caption(" | ".join(titles), lines, pictures))


def _thumbnail(album: Album, shown: Shown | None, *, crop: bool = False) -> tuple[Image.Image, bool]:
    """Return a subject in the size of a thumbnail, and whether it has a photo; an empty canvas for None."""
    if shown is None or shown.image is None:
        return Image.new("RGB", (THUMBNAIL, THUMBNAIL // 2), CANVAS), True
    has_labels = shown.subject.item_no is None  # the caption names the item
    annotated = album.draw(shown, size=THUMBNAIL, crop=crop, has_labels=has_labels)
    return annotated.picture, annotated.has_photo


def _short_title(shown: Shown | None) -> str:
    """Return the first line of a caption."""
    if shown is None:
        return "no image"
    if not shown.has_subject:
        return f"{shown.subject}, not in the registry"
    return f"{shown.subject} {shown.items[0]['category_name']}" if shown.subject.item_no else str(shown.subject)


def _caption(title: str, values: Sequence[str], pictures: Sequence[Image.Image]) -> list[str]:
    """Return a title, and values in as few lines as they need; those beyond the bound are counted."""
    width = cell_width(len(pictures))
    for number in range(len(values), -1, -1):
        more = [f"… {len(values) - number} more"] * (number < len(values))
        lines = [title, *packed([drawable(value) for value in [*values[:number], *more]], TEXT, width)]
        if len(lines) <= _LINES:
            return lines
    return [title]


def _change_title(change: Change) -> str:
    key = change.key
    name = str(Subject(key["split"], key["image_id"], key.get("item_no")))
    return f"{change.change}: {name} {key.get('category_name', '')}".rstrip()
