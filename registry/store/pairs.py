"""Pairs of items within a part: all positive ones, and negatives by rules that give the same ones every time.

A row is a ``user`` item and a ``shop`` item of one part and split:

* ``positive``: both of one identity (pair_id and style > 0), as in the view ``instance_pairs``.
* ``hard``: the shop item has the pair_id of the positive pair and another style > 0. Those of the category of the
  pair's shop item are taken first, as another style is often just another garment of the same person.
* ``category``: the shop item has the category of the pair's shop item, and another pair_id. It may have style 0.

A negative is never of the user item's identity. Neither is it a shop item of style 0 with the same pair_id: style 0
says that a garment was not matched, so it may be the same one.

What is chosen: the candidates of a pair are put in an order by md5 of their keys. From a place given by the md5 of the
pair's own key, as many as asked for are taken in equal steps, all of them different.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.cells import check_items
from registry.subset.rows import PAIRED_COLUMNS, Part

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

KINDS: Final = ("positive", "hard", "category")
_BATCH_ROWS: Final = 32_768
#: Rows that are found and ordered at once: a pair, its items' places and a kind, some 30 bytes each.
_BLOCK_ROWS: Final = 4_000_000

_LISTED: Final = ", ".join(PAIRED_COLUMNS)
#: ``place`` counts from 0 in file order. Consumer items of style 0 are in no pair.
_ITEMS: Final = f"""
    CREATE OR REPLACE TEMP TABLE paired_items AS
    SELECT
        (row_number() OVER (ORDER BY image_id, item_order) - 1)::INTEGER AS place,
        source,
        {_LISTED},
        md5(concat_ws('/', $seed::VARCHAR, split, image_id, item_no)) AS chance,
        md5(concat_ws('/', $seed::VARCHAR, split, pair_id)) AS chance_of_pair_id
    FROM items
    SEMI JOIN (SELECT split, image_id, item_no FROM chosen_items WHERE part = $part AND split = $split) AS chosen
    USING (split, image_id, item_no)
    JOIN (SELECT split, image_id, file_name FROM images WHERE split = $split) AS photos USING (split, image_id)
    WHERE split = $split AND (source = 'shop' OR style > 0)
    ORDER BY place
"""
_POSITIVES: Final = """
    CREATE OR REPLACE TEMP TABLE positive_pairs AS
    SELECT
        row_number() OVER (ORDER BY users.place, shops.place)::INTEGER AS pair_no,
        users.place AS user_place,
        shops.place AS shop_place,
        users.pair_id,
        users.style,
        shops.category_id,
        md5_number_lower(concat_ws(
            '/', $seed::VARCHAR, $split, users.image_id, users.item_no, shops.image_id, shops.item_no
        )) AS chance
    FROM paired_items AS users
    JOIN paired_items AS shops ON shops.pair_id = users.pair_id AND shops.style = users.style
    WHERE users.source = 'user' AND shops.source = 'shop' AND users.style > 0
"""
# All shop items of a category in one order, those of a pair_id side by side: with them passed over, the others are
# counted from 0 without a gap, and any of them is found by its number alone.
_CATEGORY_POOL: Final = """
    CREATE OR REPLACE TEMP TABLE category_pool AS
    SELECT
        place,
        category_id,
        pair_id,
        row_number() OVER (
            PARTITION BY category_id ORDER BY chance_of_pair_id, pair_id, chance, place
        ) - 1 AS position
    FROM paired_items
    WHERE source = 'shop'
"""
_CATEGORY_SIZES: Final = """
    CREATE OR REPLACE TEMP TABLE category_sizes AS
    SELECT
        category_id,
        pair_id,
        min(position) AS own_begin,
        count(*) AS own,
        (sum(count(*)) OVER (PARTITION BY category_id) - count(*))::BIGINT AS others
    FROM category_pool
    GROUP BY category_id, pair_id
"""
_CATEGORY: Final = """
    WITH steps AS (
        SELECT
            *,
            (chance % others::UBIGINT)::BIGINT AS begin,
            others // least($negatives, others) AS width,
            unnest(range(least($negatives, others))) AS step
        FROM positive_pairs
        JOIN category_sizes USING (category_id, pair_id)
        WHERE pair_no BETWEEN $low AND $high
    ),
    numbered AS (
        SELECT *, (begin + step * width) % others AS number FROM steps
    )
    SELECT pair_no, 2 AS kind, step, user_place, category_pool.place AS shop_place
    FROM numbered
    JOIN category_pool
        ON category_pool.category_id = numbered.category_id
        AND category_pool.position = number + CASE WHEN number >= own_begin THEN own ELSE 0 END
"""
# For every identity and category of its shop items, what the other styles of the pair_id offer: first what is of the
# category (near), then the rest (far).
_HARD_POOL: Final = """
    CREATE OR REPLACE TEMP TABLE hard_pool AS
    SELECT
        wanted.pair_id,
        wanted.style,
        wanted.category_id,
        others.place,
        others.category_id = wanted.category_id AS is_near,
        row_number() OVER (
            PARTITION BY wanted.pair_id, wanted.style, wanted.category_id
            ORDER BY others.category_id <> wanted.category_id, others.chance, others.place
        ) - 1 AS position
    FROM (SELECT DISTINCT pair_id, style, category_id FROM positive_pairs) AS wanted
    JOIN paired_items AS others ON others.pair_id = wanted.pair_id AND others.style <> wanted.style
    WHERE others.source = 'shop' AND others.style > 0
"""
_HARD_SIZES: Final = """
    CREATE OR REPLACE TEMP TABLE hard_sizes AS
    SELECT pair_id, style, category_id, count(*) FILTER (is_near) AS near, count(*) FILTER (NOT is_near) AS far
    FROM hard_pool
    GROUP BY pair_id, style, category_id
"""
_HARD: Final = """
    WITH sized AS (
        SELECT
            *,
            least($hard_negatives, near) AS num_near,
            least($hard_negatives - least($hard_negatives, near), far) AS num_far
        FROM positive_pairs
        JOIN hard_sizes USING (pair_id, style, category_id)
        WHERE pair_no BETWEEN $low AND $high
    ),
    steps AS (
        SELECT *, unnest(range(num_near + num_far)) AS step FROM sized
    ),
    numbered AS (
        SELECT
            *,
            CASE
                WHEN step < num_near THEN
                    ((chance % near::UBIGINT)::BIGINT + step * (near // num_near)) % near
                ELSE
                    near + ((chance % far::UBIGINT)::BIGINT + (step - num_near) * (far // num_far)) % far
            END AS number
        FROM steps
    )
    SELECT pair_no, 1 AS kind, step, user_place, hard_pool.place AS shop_place
    FROM numbered
    JOIN hard_pool
        ON hard_pool.pair_id = numbered.pair_id
        AND hard_pool.style = numbered.style
        AND hard_pool.category_id = numbered.category_id
        AND hard_pool.position = number
"""


def read_pairs(
    cursor: DuckDBPyConnection,
    part: Part,
    negatives: int = 0,
    hard_negatives: int = 0,
    seed: int = 0,
    place: object = "registry",
) -> Iterator[pa.RecordBatch]:
    """Yield the pairs of items within a part, split by split, each positive pair before its negatives.

    Args:
        cursor: on a connection with ``items``, ``images`` and ``chosen_items``; closed at the end.
        part: the part.
        negatives: how many of kind ``category`` each positive pair has; fewer where there are not so many.
        hard_negatives: how many of kind ``hard``.
        seed: another one chooses other negatives.
        place: the registry, for errors.

    Returns:
        Batches of ``split``, ``pair_no`` (of the positive pair, from 1 in every split, in file order of the user
        item, then of the shop item; its negatives have the same), ``label`` (1 or 0), ``kind`` (one of
        :data:`KINDS`), and the :data:`registry.subset.rows.PAIRED_COLUMNS` of the user item and of the shop item. Each
        batch holds rows of a single split; batch borders depend on the rows alone.
    """
    with cursor:
        for split in part.splits:
            params = {"part": part.name, "split": split, "seed": seed}
            yield from _pairs_of_split(cursor, params, negatives, hard_negatives, place)


def _pairs_of_split(
    cursor: DuckDBPyConnection, params: dict[str, Any], negatives: int, hard_negatives: int, place: object
) -> Iterator[pa.RecordBatch]:
    split, seed = params["split"], params["seed"]
    cursor.execute(_ITEMS, params)
    cursor.execute(_POSITIVES, {"split": split, "seed": seed})
    queries = [
        "SELECT pair_no, 0 AS kind, 0 AS step, user_place, shop_place FROM positive_pairs "
        "WHERE pair_no BETWEEN $low AND $high"
    ]
    asked = {}
    if hard_negatives:
        cursor.execute(_HARD_POOL)
        cursor.execute(_HARD_SIZES)
        queries.append(_HARD)
        asked["hard_negatives"] = hard_negatives
    if negatives:
        cursor.execute(_CATEGORY_POOL)
        cursor.execute(_CATEGORY_SIZES)
        queries.append(_CATEGORY)
        asked["negatives"] = negatives
    found = " UNION ALL ".join(f"({query})" for query in queries)
    query = f"SELECT pair_no, kind::TINYINT AS kind, user_place, shop_place FROM ({found}) ORDER BY pair_no, kind, step"
    ((num_pairs,),) = cursor.execute("SELECT count(*) FROM positive_pairs").fetchall()
    # In DuckDB only the places of items are put in order; everything said of them is fetched once and taken by place.
    items = cursor.sql(f"SELECT {_LISTED} FROM paired_items ORDER BY place").to_arrow_table().combine_chunks()
    for batch in items.to_batches():
        check_items(batch, split, place)
    pairs_at_once = max(1, _BLOCK_ROWS // (1 + negatives + hard_negatives))
    for low in range(1, num_pairs + 1, pairs_at_once):
        bounds = {"low": low, "high": low + pairs_at_once - 1}
        found_pairs = cursor.sql(query, params=asked | bounds).to_arrow_table().combine_chunks()
        for begin in range(0, found_pairs.num_rows, _BATCH_ROWS):
            yield _batch(split, found_pairs.slice(begin, _BATCH_ROWS), items)


def _batch(split: str, pairs: pa.Table, items: pa.Table) -> pa.RecordBatch:
    """Return rows as they are handed out: of either item, what stands at its place."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = pairs.column("kind")
    columns = {
        "split": pa.repeat(split, pairs.num_rows),
        "pair_no": pairs.column("pair_no"),
        "label": pc.equal(kind, 0).cast(pa.int8()),
        "kind": pa.array(KINDS).take(kind),
    }
    for source in ("user", "shop"):
        taken = items.take(pairs.column(f"{source}_place"))
        columns |= {f"{source}_{name}": taken.column(name) for name in PAIRED_COLUMNS}
    return pa.table(columns).combine_chunks().to_batches()[0]
