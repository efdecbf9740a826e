"""What a subset holds: its images and items, found once, then handed out in file order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import duckdb

from registry.dataset.cells import NOT_INGESTED, check_images, check_items
from registry.dataset.deepfashion2 import CATEGORIES, SPLITS
from registry.dataset.names import shown
from registry.dataset.tables import IMAGES, ITEMS, arrow_schema
from registry.errors import NotFoundError, QueryError, RegistryFormatError
from registry.execution.in_order import in_order
from registry.store.conditions import check_condition
from registry.store.connection import duckdb_errors
from registry.store.filters import image_conditions, item_conditions
from registry.store.html import html_table
from registry.subset.options import Subset
from registry.subset.resplit import Group, Resplit, assign, balance
from registry.subset.rows import Chunk, Part

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyRelation

    from registry.store.snapshot import Snapshot

#: Images that one query reads. More are faster (train as COCO: 5.9 s with 6,144, 6.5 s with 4,096, 7.5 s with 3,072)
#: and need more memory (361, 348 and 332 MB).
READ_IMAGES: Final = 4_096
#: Images in a chunk: some 850 items, of which a format may hold several forms at once.
CHUNK_IMAGES: Final = 512
#: Splits in their order, which is not that of the alphabet.
_SPLIT_ORDER: Final = "list_position(['train', 'validation', 'test'], split)"
#: What counts as one for ``sample`` and ``limit``, and the order in which ``limit`` takes them.
_UNITS: Final = {
    "item": ("split, image_id, item_no", f"{_SPLIT_ORDER}, image_id, item_order"),
    "image": ("split, image_id", f"{_SPLIT_ORDER}, image_id"),
    "identity": ("split, pair_id, style", f"{_SPLIT_ORDER}, pair_id, style"),
}


class Selection:
    """The rows of a subset of a registry; a :class:`registry.subset.rows.Rows`.

    Which items belong to it is found when it is made and kept in memory (a few bytes an item); everything else is
    read when it is asked for, from the files of the registry as it was then.

    Args:
        snapshot: the version of the registry.
        subset: which items; all without it.
        resplit: divides them anew, pair_id by pair_id; its parts take the place of the splits.

    Raises:
        UnknownNameError: the subset names a split that is not in the registry.
        UsageError: its condition is not one that may be asked.
    """

    def __init__(self, snapshot: Snapshot, subset: Subset | None = None, resplit: Resplit | None = None) -> None:
        self.subset = subset or Subset()
        self.resplit = resplit
        if self.subset.where:
            check_condition(self.subset.where)
        for split in self.subset.split:
            snapshot.check_split(split)
        self.place, self.manifest = snapshot.place, snapshot.manifest
        splits = [split for split in SPLITS if split in (self.subset.split or self.manifest.splits)]
        with self._errors():
            self._connection = snapshot.connect(spill=True)
        self._choose()
        self.divided = resplit is not None
        self.balance: list[dict[str, Any]] = []
        if resplit:
            if len(splits) > 1:
                self._check_numbers()
            self._divide(resplit)
            self.parts = tuple(Part(name, tuple(splits)) for name, _ in resplit.fractions)
        else:
            self._run("ALTER TABLE images_found ADD COLUMN part VARCHAR")
            self._run("UPDATE images_found SET part = split")
            occurring = {split for (split,) in self._rows("SELECT DISTINCT split FROM images_found")}
            # A split that was not named and holds nothing of the subset is no part of it; an empty subset is all parts.
            named = self.subset.split or occurring or splits
            self.parts = tuple(Part(split, (split,)) for split in splits if split in named)
        self._finish()

    def counts(self, part: Part) -> dict[str, int]:
        """Return ``images`` and ``items`` of a part."""
        query = "SELECT count(*), coalesce(sum(num_items), 0)::BIGINT FROM chosen_images WHERE part = $part"
        ((images, items),) = self._rows(query, {"part": part.name})
        return {"images": images, "items": items}

    def __repr__(self) -> str:
        counts = ", ".join(f"{row['part']} {row['images']} images, {row['items']} items" for row in self._totals())
        return f"Selection({self.subset.text}: {counts})"

    def _repr_html_(self) -> str:
        return html_table(f"Subset {self.subset.text}", self._totals())

    def _totals(self) -> list[dict[str, Any]]:
        """Return the counts of each part."""
        return [
            {name: value for name, value in row.items() if name != "category_name"}
            for row in self.summary()
            if row["category_name"] is None
        ]

    def summary(self) -> list[dict[str, Any]]:
        """Return what the subset holds, by part and category.

        Returns:
            For each part one entry a category that occurs (part, category_name, user_items, shop_items, items,
            images), then one with category_name None for all of the part, which has also its identities,
            instance_pairs and image_pairs: pairs of which both sides are in the part.
        """
        names = ("category_name", "user_items", "shop_items", "items", "images")
        totals = ("user_items", "shop_items", "identities", "instance_pairs")
        found: list[dict[str, Any]] = []
        for part in self.parts:
            params = {"part": part.name}
            for row in self._rows(_BY_CATEGORY, params):
                found.append({"part": part.name, **dict(zip(names, row, strict=True))})
            (row,) = self._rows(_TOTALS, params)
            ((image_pairs,),) = self._rows(_IMAGE_PAIRS, params)
            found.append(
                {"part": part.name, "category_name": None, **self.counts(part), **dict(zip(totals, row, strict=True))}
                | {"image_pairs": image_pairs}
            )
        return found

    def chunks(self, part: Part, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        """Yield the images of a part with their items; the next chunk is read while this one is used."""
        bounds = self._rows(
            """
            SELECT split, min(image_id), max(image_id) FROM (
                SELECT split, image_id, (row_number() OVER (PARTITION BY split ORDER BY image_id) - 1) // $size AS no
                FROM chosen_images WHERE part = $part
            ) GROUP BY split, no ORDER BY min(image_id)
            """,
            {"part": part.name, "size": READ_IMAGES},
        )
        ranges = [bound for split in part.splits for bound in bounds if bound[0] == split]
        with ThreadPoolExecutor(1) as ahead:
            started = ((bound, ahead.submit(self._chunk, part, bound, columns)) for bound in ranges)
            for _, chunk in in_order(started, 2):
                yield from _slices(chunk)
                del chunk  # or it stays in memory while the next one is waited for

    def pairs(self, part: Part, negatives: int, hard_negatives: int, seed: int) -> Iterator[pa.RecordBatch]:
        """Yield the pairs of items within a part."""
        from registry.store.pairs import read_pairs

        with self._errors():
            yield from read_pairs(self._connection.cursor(), part, negatives, hard_negatives, seed, self.place)

    def items(self, columns: Sequence[str]) -> DuckDBPyRelation:
        """Return the chosen items as a lazy relation, in order of split, image and file order."""
        listed = ", ".join(columns)
        return self._connection.cursor().sql(
            f"SELECT {listed} FROM items SEMI JOIN chosen_items USING (split, image_id, item_no) "
            f"ORDER BY {_SPLIT_ORDER}, image_id, item_order"
        )

    def _chunk(self, part: Part, bound: tuple[str, int, int], columns: Sequence[str]) -> Chunk:
        import pyarrow as pa

        split, low, high = bound
        params: dict[str, Any] = {"part": part.name, "split": split, "low": low, "high": high}
        where = "split = $split AND image_id BETWEEN $low AND $high"
        images = (
            "SELECT images.*, chosen.num_items AS num_chosen FROM images JOIN (SELECT split, image_id, num_items "
            f"FROM chosen_images WHERE part = $part AND {where}) AS chosen USING (split, image_id) "
            f"WHERE {where} ORDER BY image_id"
        )
        schema = arrow_schema(IMAGES, stored=False)
        image_rows = self._batch(images, params, schema.append(pa.field("num_chosen", pa.int64())))
        num_items = image_rows.column("num_chosen").to_pylist()
        image_rows = image_rows.select(schema.names)
        check_images(image_rows, split, self.place)
        if not columns:
            return Chunk(part, split, image_rows, pa.record_batch([]), num_items)
        # The categories that occur, said outright, let DuckDB pass over the files of all others.
        items = (
            f"SELECT {', '.join(columns)} FROM items SEMI JOIN (SELECT split, image_id, item_no FROM chosen_items "
            f"WHERE part = $part AND {where}) AS chosen USING (split, image_id, item_no) "
            f"WHERE {where} AND category_id IN ({self._categories}) ORDER BY image_id, item_order"
        )
        schema = arrow_schema(ITEMS, stored=False)
        item_rows = self._batch(items, params, pa.schema([schema.field(name) for name in columns]))
        if sum(num_items) != item_rows.num_rows:
            raise RegistryFormatError(
                f"{self.place} > {split} > images {image_rows.column('image_id')[0]} to "
                f"{image_rows.column('image_id')[-1]} > item_no: expected each of an image once in the table items, "
                f"found {item_rows.num_rows:,} rows for {sum(num_items):,} items. {NOT_INGESTED}"
            )
        check_items(item_rows, split, self.place, image_rows.column("image_id"), num_items)
        return Chunk(part, split, image_rows, item_rows, num_items)

    def _batch(self, query: str, params: dict[str, Any], schema: pa.Schema) -> pa.RecordBatch:
        """Return the rows of a query as one batch of a schema."""
        import pyarrow as pa

        try:
            with self._errors():
                table = self._connection.cursor().sql(query, params=params).to_arrow_table().cast(schema)
        except pa.ArrowException as error:
            raise RegistryFormatError(f"{self.place} has columns of other types than declared: {error}") from error
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=schema)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn DuckDB's errors inside the block into ours."""
        try:
            with duckdb_errors():
                yield
        except NotFoundError as error:
            raise RegistryFormatError(
                f"A file of {self.place} cannot be read: {error}\nIf the registry was replaced meanwhile, start again."
            ) from error
        except QueryError as error:
            if not isinstance(error.__cause__, duckdb.IOException):
                raise
            raise RegistryFormatError(f"A file of {self.place} cannot be read: {error}") from error

    def _choose(self) -> None:
        """Make ``items_found`` and ``images_found``: the keys of what the subset holds."""
        subset = self.subset
        of_images, image_params = image_conditions(subset)
        if subset.picks_items or not subset.whole_images:
            where, params = item_conditions(subset)
            self._run(
                "CREATE TABLE items_found AS SELECT split, image_id, item_no, item_order, source, pair_id, style "
                f"FROM items WHERE {where}",
                params,
            )
            if subset.paired:
                self._keep(
                    "items_found",
                    "split, pair_id, style",
                    "SELECT split, pair_id, style FROM items_found WHERE style > 0 GROUP BY ALL "
                    "HAVING count(DISTINCT source) = 2",
                )
            self._pick("items_found", "identity" if subset.paired else "image" if subset.whole_images else "item")
        if subset.picks_items:
            self._run("CREATE TABLE images_found AS SELECT DISTINCT split, image_id FROM items_found")
        else:
            self._run(
                f"CREATE TABLE images_found AS SELECT split, image_id FROM images WHERE {of_images}", image_params
            )
            if subset.whole_images:
                self._pick("images_found", "image")
        if subset.whole_images:
            self._run(
                "CREATE OR REPLACE TABLE items_found AS SELECT split, image_id, item_no, item_order, source, pair_id, "
                "style FROM items SEMI JOIN images_found USING (split, image_id)"
            )

    def _pick(self, table: str, unit: str) -> None:
        """Keep what ``sample`` and ``limit`` choose of a table's units."""
        columns, order = _UNITS[unit]
        sample, limit = self.subset.sample, self.subset.limit
        key = f"md5(concat_ws('/', $seed::VARCHAR, {columns}))"
        if sample and sample.endswith("%"):
            # The first 16 hex digits of a hash below the share of their range; 'g' is above all of them.
            share = float(sample[:-1]) / 100
            bound = "g" if share >= 1 else f"{int(share * 2**64):016x}"
            query = f"SELECT DISTINCT {columns} FROM {table} WHERE {key} < $bound"
            self._keep(table, columns, query, {"seed": self.subset.seed, "bound": bound})
        elif sample:
            query = f"SELECT DISTINCT {columns} FROM {table} ORDER BY {key}, {columns} LIMIT $number"
            self._keep(table, columns, query, {"seed": self.subset.seed, "number": int(sample)})
        if limit is not None:
            query = f"SELECT {columns} FROM {table} GROUP BY {columns} ORDER BY {order} LIMIT $number"
            query = query.replace("item_order", "any_value(item_order)")
            self._keep(table, columns, query, {"number": limit})

    def _keep(self, table: str, columns: str, query: str, params: dict[str, Any] | None = None) -> None:
        """Keep the rows of a table whose columns are among those a query returns."""
        self._run(f"CREATE TABLE kept AS SELECT {table}.* FROM {table} SEMI JOIN ({query}) USING ({columns})", params)
        self._run(f"DROP TABLE {table}")
        self._run(f"ALTER TABLE kept RENAME TO {table}")

    def _check_numbers(self) -> None:
        """Make sure that the numbers of several splits can be kept apart in one part."""
        query = (
            "SELECT split, greatest(max(image_id), max(pair_id)), least(min(image_id), min(pair_id)) FROM images "
            "SEMI JOIN images_found USING (split, image_id) GROUP BY split"
        )
        for split, highest, lowest in self._rows(query):
            for number in (highest, lowest):
                Part("", SPLITS).number(split, number)

    def _divide(self, resplit: Resplit) -> None:
        """Give every image its part: all images of a pair_id the same one."""
        counts = ", ".join(f"count(*) FILTER (category_id = {c.id})" for c in CATEGORIES)
        key = "coalesce(pair_id, -image_id)"  # photos without annotations are in no group
        query = f"""
            WITH found AS (
                SELECT split, {key} AS number, count(*) AS images FROM images SEMI JOIN images_found
                USING (split, image_id) GROUP BY ALL
            ), counted AS (
                SELECT split, pair_id AS number, [{counts}] AS counts FROM items SEMI JOIN items_found
                USING (split, image_id, item_no) GROUP BY ALL
            )
            SELECT split, number, images, counts FROM found LEFT JOIN counted USING (split, number)
        """
        nothing = (0,) * len(CATEGORIES)
        groups = [
            Group((split, number), images, tuple(counts or nothing))
            for split, number, images, counts in self._rows(query)
        ]
        assigned = assign(groups, resplit)
        self.balance = balance(groups, assigned, resplit)
        columns = list(zip(*((*group, part) for group, part in assigned.items()), strict=True)) or [()] * 3
        self._run(
            "CREATE TABLE divided AS SELECT unnest($split::VARCHAR[]) AS split, unnest($number::BIGINT[]) AS number, "
            "unnest($part::VARCHAR[]) AS part",
            dict(zip(("split", "number", "part"), map(list, columns), strict=True)),
        )
        self._run(
            f"CREATE OR REPLACE TABLE images_found AS SELECT i.split, i.image_id, part FROM images AS i "
            f"SEMI JOIN images_found USING (split, image_id) JOIN divided "
            f"ON divided.split = i.split AND number = {key}"
        )

    def _finish(self) -> None:
        """Make ``chosen_images`` and ``chosen_items`` with their parts."""
        self._run(
            "CREATE TABLE chosen_items AS SELECT part, i.* FROM items_found AS i JOIN images_found "
            "USING (split, image_id)"
        )
        # Items of no image come in too, for the check.
        self._run(
            "CREATE TABLE chosen_images AS SELECT part, split, image_id, coalesce(n, 0) AS num_items FROM images_found "
            "FULL JOIN (SELECT split, image_id, count(*) AS n FROM items_found GROUP BY ALL) USING (split, image_id)"
        )
        self._check_num_items()
        for table in ("items_found", "images_found"):
            self._run(f"DROP TABLE {table}")
        occurring = self._rows(
            "SELECT DISTINCT category_id FROM items SEMI JOIN chosen_items USING (split, image_id, item_no) "
            "ORDER BY category_id"
        )
        self._categories = ", ".join(str(row[0]) for row in occurring) or "NULL"

    def _check_num_items(self) -> None:
        """Make sure that each item is of an image in the table images, and that no item of an image is left out.

        Raises:
            RegistryFormatError: the tables images and items do not fit together.
        """
        # Where an option picks items, an image may have more.
        is_part = self.subset.picks_items and not self.subset.whole_images
        is_sound = f"chosen.num_items {'<=' if is_part else '='} coalesce(images.num_items, 0)"
        query = f"""
            SELECT count(*), (SELECT count(*) FROM chosen_images) FROM images JOIN chosen_images AS chosen
            USING (split, image_id) WHERE {is_sound} AND chosen.part IS NOT NULL
        """
        ((num_sound, num_images),) = self._rows(query)
        if num_sound == num_images:
            return
        query = f"""
            SELECT split, image_id, any_value(chosen.num_items), count(images.image_id), any_value(images.num_items),
                any_value(chosen.part)
            FROM (SELECT DISTINCT * FROM chosen_images) AS chosen LEFT JOIN images USING (split, image_id)
            GROUP BY split, image_id
            HAVING count(images.image_id) <> 1 OR any_value(chosen.part) IS NULL OR NOT any_value({is_sound})
            ORDER BY count(images.image_id) = 1, {_SPLIT_ORDER}, image_id LIMIT 1
        """
        ((split, image_id, items, rows, num_items, part),) = self._rows(query)
        if rows != 1:
            problem = f"image_id: expected one row in the table images, found {rows} for {items:,} items"
        elif part is None:
            problem = "source, pair_id: expected the same in the tables images and items, found others"
        else:
            expected = f"{'at least ' if is_part else ''}{items:,}, for the rows of the table items"
            problem = f"num_items: expected {expected}, found {shown(num_items)}"
        raise RegistryFormatError(f"{self.place} > {split} > image {image_id} > {problem}. {NOT_INGESTED}")

    def _run(self, query: str, params: dict[str, Any] | None = None) -> None:
        self._rows(query, params)

    def _rows(self, query: str, params: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        with self._errors():
            return self._connection.execute(query, params).fetchall()


def _slices(chunk: Chunk) -> Iterator[Chunk]:
    """Yield a chunk in pieces of at most :data:`CHUNK_IMAGES` images; the rows are not copied."""
    done = 0
    for start in range(0, chunk.images.num_rows, CHUNK_IMAGES):
        num_items = chunk.num_items[start : start + CHUNK_IMAGES]
        images = chunk.images.slice(start, CHUNK_IMAGES)
        items = chunk.items.slice(done, sum(num_items))
        yield Chunk(chunk.part, chunk.split, images, items, num_items)
        done += sum(num_items)


_BY_CATEGORY: Final = """
    SELECT category_name, count(*) FILTER (source = 'user'), count(*) FILTER (source = 'shop'), count(*),
        count(DISTINCT (split, image_id))
    FROM items SEMI JOIN (SELECT split, image_id, item_no FROM chosen_items WHERE part = $part) AS chosen
    USING (split, image_id, item_no)
    GROUP BY category_name, category_id ORDER BY category_id
"""
_TOTALS: Final = """
    SELECT coalesce(sum(users), 0)::BIGINT, coalesce(sum(shops), 0)::BIGINT, count(*) FILTER (style > 0),
        coalesce(sum(users * shops) FILTER (style > 0), 0)::BIGINT
    FROM (
        SELECT split, pair_id, style, count(*) FILTER (source = 'user') AS users,
            count(*) FILTER (source = 'shop') AS shops
        FROM chosen_items WHERE part = $part GROUP BY ALL
    )
"""
_IMAGE_PAIRS: Final = """
    WITH photos AS (
        SELECT DISTINCT split, pair_id, style, source, image_id FROM chosen_items WHERE part = $part AND style > 0
    )
    SELECT count(DISTINCT (u.split, u.image_id, s.image_id))
    FROM photos AS u JOIN photos AS s USING (split, pair_id, style)
    WHERE u.source = 'user' AND s.source = 'shop'
"""
