"""Finds the images and items of a subset: two tables of keys in a DuckDB connection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.cells import NOT_INGESTED
from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID, SPLITS
from registry.dataset.names import shown
from registry.dataset.tables import IMAGES, ITEMS
from registry.errors import RegistryFormatError
from registry.store.exclusion import create_excluded, without_excluded
from registry.store.filters import image_conditions, item_conditions
from registry.store.sql import SPLIT_ORDER
from registry.store.views import view_over
from registry.subset.options import Subset
from registry.subset.resplit import Group, Resplit, assign, balance
from registry.subset.rows import Part
from registry.wording import plural

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from registry.storage.place import Place
    from registry.subset.item_list import ItemList

#: Columns of ``items`` that are kept for every chosen item: its key, its place in the file, its identity.
_ITEM_COLUMNS: Final = "split, image_id, item_no, item_order, source, pair_id, style, category_id"


@dataclass(frozen=True, slots=True)
class _Unit:
    """What ``sample`` and ``limit`` count: the columns that identify it, and the order in which ``limit`` takes it."""

    columns: str
    order: str


_ITEM: Final = _Unit("split, image_id, item_no", f"{SPLIT_ORDER}, image_id, any_value(item_order)")
_IMAGE: Final = _Unit("split, image_id", f"{SPLIT_ORDER}, image_id")
_IDENTITY: Final = _Unit("split, pair_id, style", f"{SPLIT_ORDER}, pair_id, style")


@dataclass(slots=True)
class Choice:
    """The keys of a subset's images and items, in a connection that reads a registry.

    The connection gets two tables: ``chosen_images`` (part, split, image_id, num_items) and ``chosen_items`` (part and
    the columns of the item's key, place and identity).

    Attributes:
        parts: the splits of the subset, or the parts of a re-split.
        balance: shares of the parts of a re-split; see :func:`registry.subset.resplit.balance`.
        notices: see :class:`registry.store.selection.Selection`.
        category_ids: categories that occur, ascending.
    """

    parts: tuple[Part, ...]
    balance: list[dict[str, Any]] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    category_ids: tuple[int, ...] = ()


def choose(
    connection: DuckDBPyConnection,
    place: Place,
    subset: Subset,
    resplit: Resplit | None,
    splits: Sequence[str],
    category_ids: Sequence[int] = (),
    joins: str = "",
) -> Choice:
    """Create ``chosen_images`` and ``chosen_items`` in a connection.

    Args:
        connection: has the tables ``images`` and ``items``.
        place: the registry, for messages.
        subset: the options.
        resplit: divides the subset into new parts; None keeps the splits.
        splits: of the registry that the subset may have images of, in order.
        category_ids: items of all other categories are left out, as if the subset had the option ``category``; with
            ``whole_images`` from the chosen images as well. () for no such limit.
        joins: of the tables that the condition names, from :func:`registry.store.own_columns.struct_joins`.

    Raises:
        RegistryFormatError: the tables images and items contradict each other.
        UsageError: image or pair ids of several splits are too large to stay unique in one part.
        duckdb.Error: a file cannot be read.
    """
    # Photos without annotation show clothes that nobody labelled: in a new part they would be pictures without clothes.
    labelled_alone = resplit is not None and not subset.split
    picks_items = subset.picks_items or bool(category_ids)
    notices = create_excluded(connection, subset, splits)
    notices += _create_listed(connection, subset.items) if subset.items else []
    if not category_ids and not replace(subset, exclude_check=()).picks_items:
        if labelled_alone and not picks_items:
            named = " ".join(f"--split {split}" for split in splits)
            end = f"in no part: {named} puts such photos into parts too"
            notices += _notices_of_unlabelled(connection, subset, end)
        elif picks_items:
            end = "left out too: of a check of items, the images with one of the other items stay"
            notices += _notices_of_unlabelled(connection, subset, end)
    item_rows = f"{_rows('items', subset)}{joins}"
    if category_ids:
        notices += _notices_of_categories(connection, subset, category_ids, item_rows)
    _find_keys(connection, subset, category_ids, item_rows, labelled_alone=labelled_alone)
    if resplit:
        if len(splits) > 1:
            _check_numbers(connection)
        choice = Choice(tuple(Part(name, tuple(splits)) for name, _ in resplit.fractions))
        choice.balance = _divide(connection, resplit)
    else:
        connection.execute("CREATE OR REPLACE TABLE images_found AS SELECT *, split AS part FROM images_found")
        occurring = {split for (split,) in connection.execute("SELECT DISTINCT split FROM images_found").fetchall()}
        # Without the option split, a split without rows is no part; an empty subset has all splits as parts.
        part_names = subset.split or occurring or splits
        choice = Choice(tuple(Part(split, (split,)) for split in splits if split in part_names))
    of_items = "items_found JOIN images_found USING (split, image_id)" if resplit else "items_found"
    connection.execute(
        f"CREATE TABLE chosen_items AS SELECT {'part' if resplit else 'split AS part'}, items_found.* FROM {of_items}"
    )
    # The full join keeps items without an image, for the check.
    connection.execute(
        "CREATE TABLE chosen_images AS SELECT part, split, image_id, coalesce(n, 0) AS num_items FROM images_found "
        "FULL JOIN (SELECT split, image_id, count(*) AS n FROM items_found GROUP BY ALL) USING (split, image_id)"
    )
    # Where an option picks items, an image may have more items than chosen.
    is_partial = bool(category_ids) or subset.excludes_items or (subset.picks_items and not subset.whole_images)
    _check_num_items(connection, place, is_partial=is_partial)
    for table in ("items_found", "images_found"):
        connection.execute(f"DROP TABLE {table}")
    rows = connection.execute("SELECT DISTINCT category_id FROM chosen_items ORDER BY category_id").fetchall()
    choice.category_ids = tuple(category_id for (category_id,) in rows)
    choice.notices = notices
    return choice


def _notices_of_unlabelled(connection: DuckDBPyConnection, subset: Subset, end: str) -> list[str]:
    """Return a notice, with this end, for each split with photos that are left out, as they have no annotation."""
    condition, params = image_conditions(subset)
    query = (
        f"SELECT split, count(*) FROM {_rows('images', subset)} WHERE {condition} AND num_items IS NULL "
        "GROUP BY split ORDER BY split"
    )
    return [
        plural(number, f"photo of {split} has no annotation and is", f"photos of {split} have no annotation and are")
        + f" {end}"
        for split, number in connection.execute(query, params).fetchall()
    ]


def _create_listed(connection: DuckDBPyConnection, items: ItemList) -> list[str]:
    """Create ``listed``, the keys of a list of items; return notices of keys that fit no row or stand twice."""
    connection.register("rows", items.keys)
    connection.execute("CREATE TABLE listed AS FROM rows")
    connection.unregister("rows")
    of = "items" if items.has_items else "images"
    query = f"SELECT count(*) FROM listed ANTI JOIN {of} USING ({_list_key(items)})"
    ((number,),) = connection.execute(query).fetchall()
    notices = []
    if number:
        notices.append(f"{plural(number, 'key')} of the list {'fits' if number == 1 else 'fit'} no row of {of}")
    if items.num_repeated:
        words = ("key of the list stands in it again and counts", "keys of the list stand in it again and count")
        notices.append(f"{plural(items.num_repeated, *words)} once")
    return notices


def _list_key(items: ItemList) -> str:
    return ", ".join(ITEMS.key if items.has_items else IMAGES.key)


def _rows(table: str, subset: Subset) -> str:
    """Return the rows of ``items`` or ``images`` for FROM: those of the subset's list, without those of its checks."""
    items = subset.items
    rows = without_excluded(table, subset)
    if items is None or (table == "images" and items.has_items):
        return rows
    return f"{rows} SEMI JOIN listed USING ({_list_key(items)})"


def _notices_of_categories(
    connection: DuckDBPyConnection, subset: Subset, category_ids: Sequence[int], item_rows: str
) -> list[str]:
    """Return the notices of items, and of images, that are left out as they have none of these categories.

    They count what the options choose but ``sample``, ``limit`` and ``paired``, which take their share of the rest.
    """
    of_items, params = item_conditions(subset)
    is_kept = f"category_id IN ({', '.join(map(str, category_ids))})"
    if subset.whole_images:
        chosen = (
            f"FROM {without_excluded('items', subset)} "
            f"SEMI JOIN (SELECT split, image_id FROM {item_rows} WHERE {of_items} AND {is_kept}) AS chosen "
        )
        chosen += f"USING (split, image_id) WHERE NOT {is_kept}"
    else:
        chosen = f"FROM {item_rows} WHERE {of_items} AND NOT {is_kept}"
    rows = connection.execute(f"SELECT category_id, count(*) {chosen} GROUP BY ALL ORDER BY ALL", params).fetchall()
    notices = []
    if rows:
        names = ", ".join(CATEGORY_BY_ID[category_id].name for category_id, _ in rows)
        what = plural(sum(number for _, number in rows), "item is of a category", "items are of categories")
        notices.append(f"{what} in no class of --classes, and left out: {names}")
    kept_images = f"SELECT split, image_id FROM {item_rows} WHERE {of_items} AND {is_kept}"
    if subset.picks_items:
        images = f"FROM (SELECT DISTINCT split, image_id FROM {item_rows} WHERE {of_items})"
    else:
        of_images, params = image_conditions(subset)
        images = f"FROM (SELECT split, image_id FROM {_rows('images', subset)} WHERE {of_images})"
    query = f"SELECT count(*) {images} ANTI JOIN ({kept_images}) USING (split, image_id)"
    ((number,),) = connection.execute(query, params).fetchall()
    if number:
        notices.append(f"{plural(number, 'image has', 'images have')} no item in a class of --classes: left out")
    return notices


def _find_keys(
    connection: DuckDBPyConnection, subset: Subset, category_ids: Sequence[int], item_rows: str, *, labelled_alone: bool
) -> None:
    """Create ``items_found`` and ``images_found``: keys by the options of a subset.

    Args:
        connection: gets the tables.
        subset: the options.
        category_ids: see :func:`choose`.
        item_rows: for FROM, with the columns that the options name.
        labelled_alone: whether images without annotation are left out of a subset that does not pick items.
    """
    picks_items = subset.picks_items or bool(category_ids)
    if picks_items or not subset.whole_images:
        condition, params = item_conditions(subset, category_ids)
        connection.execute(
            f"CREATE TABLE items_found AS SELECT {_ITEM_COLUMNS} FROM {item_rows} WHERE {condition}", params
        )
        if subset.paired:
            pairs = view_over("instance_pairs", items="FROM items_found")
            _retain(connection, "items_found", _IDENTITY.columns, f"SELECT {_IDENTITY.columns} FROM ({pairs})")
        unit = _IDENTITY if subset.paired else _IMAGE if subset.whole_images else _ITEM
        _sample_and_limit(connection, subset, "items_found", unit)
    if picks_items:
        connection.execute("CREATE TABLE images_found AS SELECT DISTINCT split, image_id FROM items_found")
    else:
        condition, params = image_conditions(subset)
        if labelled_alone:
            condition += " AND num_items IS NOT NULL"
        rows = _rows("images", subset)
        connection.execute(f"CREATE TABLE images_found AS SELECT split, image_id FROM {rows} WHERE {condition}", params)
        if subset.whole_images:
            _sample_and_limit(connection, subset, "images_found", _IMAGE)
    if subset.whole_images:
        condition, _ = item_conditions(Subset(), category_ids)
        connection.execute(
            f"CREATE OR REPLACE TABLE items_found AS SELECT {_ITEM_COLUMNS} FROM {without_excluded('items', subset)} "
            f"SEMI JOIN images_found USING (split, image_id) WHERE {condition}"
        )


def _sample_and_limit(connection: DuckDBPyConnection, subset: Subset, table: str, unit: _Unit) -> None:
    """Reduce a table to the units that ``sample`` and ``limit`` take."""
    columns = unit.columns
    key = f"md5(concat_ws('/', $seed::VARCHAR, {columns}))"
    if subset.sample and subset.sample.endswith("%"):
        # The first 16 hex digits of a hash, below the share of their range; 'g' is above all of them.
        share = float(subset.sample[:-1]) / 100
        bound = "g" if share >= 1 else f"{int(share * 2**64):016x}"
        query = f"SELECT DISTINCT {columns} FROM {table} WHERE {key} < $bound"
        _retain(connection, table, columns, query, {"seed": subset.seed, "bound": bound})
    elif subset.sample:
        query = f"SELECT DISTINCT {columns} FROM {table} ORDER BY {key}, {columns} LIMIT $number"
        _retain(connection, table, columns, query, {"seed": subset.seed, "number": int(subset.sample)})
    if subset.limit is not None:
        query = f"SELECT {columns} FROM {table} GROUP BY {columns} ORDER BY {unit.order} LIMIT $number"
        _retain(connection, table, columns, query, {"number": subset.limit})


def _retain(
    connection: DuckDBPyConnection, table: str, columns: str, query: str, params: Mapping[str, Any] | None = None
) -> None:
    """Delete the rows of a table whose columns are not among the rows of a query."""
    retained = f"SELECT {table}.* FROM {table} SEMI JOIN ({query}) USING ({columns})"
    connection.execute(f"CREATE TABLE retained AS {retained}", params)
    connection.execute(f"DROP TABLE {table}")
    connection.execute(f"ALTER TABLE retained RENAME TO {table}")


def _check_numbers(connection: DuckDBPyConnection) -> None:
    """Raise UsageError if ids of several splits are too large to stay unique in one part."""
    query = (
        "SELECT split, greatest(max(image_id), max(pair_id)), least(min(image_id), min(pair_id)) FROM images "
        "SEMI JOIN images_found USING (split, image_id) GROUP BY split"
    )
    for split, highest, lowest in connection.execute(query).fetchall():
        for number in (highest, lowest):
            Part("", SPLITS).number(split, number)


def _divide(connection: DuckDBPyConnection, resplit: Resplit) -> list[dict[str, Any]]:
    """Give every image in ``images_found`` its part; all images of a pair_id get the same. Return the balance."""
    counts = ", ".join(f"count(*) FILTER (category_id = {category.id})" for category in CATEGORIES)
    group = "coalesce(pair_id, -image_id)"  # an image without pair_id is a group of its own
    query = f"""
        WITH image_counts AS (
            SELECT split, {group} AS number, count(*) AS images FROM images SEMI JOIN images_found
            USING (split, image_id) GROUP BY ALL
        ), item_counts AS (
            SELECT split, {group} AS number, [{counts}] AS counts FROM items_found GROUP BY ALL
        )
        SELECT split, number, images, counts FROM image_counts LEFT JOIN item_counts USING (split, number)
    """
    no_items = (0,) * len(CATEGORIES)
    groups = [
        Group((split, number), images, tuple(item_counts or no_items))
        for split, number, images, item_counts in connection.execute(query).fetchall()
    ]
    parts = assign(groups, resplit)
    columns = list(zip(*((*key, part) for key, part in parts.items()), strict=True)) or [()] * 3
    connection.execute(
        "CREATE TABLE divided AS SELECT unnest($split::VARCHAR[]) AS split, unnest($number::BIGINT[]) AS number, "
        "unnest($part::VARCHAR[]) AS part",
        dict(zip(("split", "number", "part"), map(list, columns), strict=True)),
    )
    connection.execute(
        "CREATE OR REPLACE TABLE images_found AS SELECT i.split, i.image_id, part FROM images AS i "
        f"SEMI JOIN images_found USING (split, image_id) JOIN divided ON divided.split = i.split AND number = {group}"
    )
    return balance(groups, parts, resplit)


def _check_num_items(connection: DuckDBPyConnection, place: Place, *, is_partial: bool) -> None:
    """Check that every chosen item has its image in ``images``, and that no chosen image lacks items.

    Args:
        connection: has the tables.
        place: the registry, for messages.
        is_partial: whether an image may have more items than chosen.

    Raises:
        RegistryFormatError: the tables images and items contradict each other.
    """
    is_sound = f"chosen.num_items {'<=' if is_partial else '='} coalesce(images.num_items, 0)"
    query = f"""
        SELECT count(*), (SELECT count(*) FROM chosen_images) FROM images JOIN chosen_images AS chosen
        USING (split, image_id) WHERE {is_sound} AND chosen.part IS NOT NULL
    """
    ((num_sound, num_images),) = connection.execute(query).fetchall()
    if num_sound == num_images:
        return
    query = f"""
        SELECT split, image_id, any_value(chosen.num_items), count(images.image_id), any_value(images.num_items),
            any_value(chosen.part)
        FROM (SELECT DISTINCT * FROM chosen_images) AS chosen LEFT JOIN images USING (split, image_id)
        GROUP BY split, image_id
        HAVING count(images.image_id) <> 1 OR any_value(chosen.part) IS NULL OR NOT any_value({is_sound})
        ORDER BY count(images.image_id) = 1, {SPLIT_ORDER}, image_id LIMIT 1
    """
    ((split, image_id, num_chosen, num_rows, num_items, part),) = connection.execute(query).fetchall()
    if num_rows != 1:
        problem = f"image_id: expected one row in the table images, found {num_rows} for {num_chosen:,} items"
    elif part is None:
        problem = "source, pair_id: expected the same in the tables images and items, found others"
    else:
        expected = f"{'at least ' if is_partial else ''}{num_chosen:,}, for the rows of the table items"
        problem = f"num_items: expected {expected}, found {shown(num_items)}"
    raise RegistryFormatError(f"{place} > {split} > image {image_id} > {problem}. {NOT_INGESTED}")
