"""Pairs of items within a part: all positive pairs, and negative pairs that are the same in every run.

A row is a ``user`` item and a ``shop`` item of one part and split:

* ``positive``: both items have the same identity; the pairs of the view ``instance_pairs``.
* ``hard``: the shop item has the pair_id of the positive pair and another style > 0. Items of the category of the
  pair's shop item come first, as another style is often just another garment of the same person.
* ``category``: the shop item has the category of the pair's shop item, and another pair_id. It may have style 0.

A negative never has the user item's identity. Nor is it a shop item of style 0 with the same pair_id: style 0 means
that a garment was not matched, so it may be the same garment.

The candidates of a positive pair are ordered by the md5 of their keys. Starting at a position given by the md5 of the
pair's key, the requested number is taken in equal steps, all different.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.cells import check_items
from registry.store.views import view_over
from registry.subset.rows import PAIRED_COLUMNS, Part

if TYPE_CHECKING:
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

KINDS: Final = ("positive", "hard", "category")
_BATCH_ROWS: Final = 32_768
#: Rows that a query returns at once: a pair number, the positions of its items and a kind, some 30 bytes each.
_BLOCK_ROWS: Final = 4_000_000

_LISTED: Final = ", ".join(PAIRED_COLUMNS)
#: ``place`` counts from 0 in file order. Consumer items of style 0 are in no row. Chances are drawn where they are
#: needed: an md5 for each row takes as long as all the rest.
_ITEMS: Final = f"""
    CREATE OR REPLACE TEMP TABLE paired_items AS
    SELECT
        (row_number() OVER (ORDER BY image_id, item_order) - 1)::INTEGER AS place,
        source,
        {_LISTED},
        CASE WHEN $has_negatives AND source = 'shop' THEN
            md5(concat_ws('/', $seed::VARCHAR, split, image_id, item_no))
        END AS chance,
        CASE WHEN $has_negatives AND source = 'shop' THEN
            md5(concat_ws('/', $seed::VARCHAR, split, pair_id))
        END AS chance_of_pair_id
    FROM items
    SEMI JOIN (SELECT split, image_id, item_no FROM chosen_items WHERE part = $part AND split = $split) AS chosen
    USING (split, image_id, item_no)
    JOIN (SELECT split, image_id, file_name FROM images WHERE split = $split) AS photos USING (split, image_id)
    WHERE split = $split AND (source = 'shop' OR style > 0)
"""
_POSITIVES: Final = """
    CREATE OR REPLACE TEMP TABLE positive_pairs AS
    SELECT
        row_number() OVER (ORDER BY users.place, shops.place)::INTEGER AS pair_no,
        users.place AS user_place,
        shops.place AS shop_place,
        pairs.pair_id,
        pairs.style,
        pairs.shop_category_id AS category_id,
        CASE WHEN $has_negatives THEN
            md5_number_lower(concat_ws(
                '/', $seed::VARCHAR, $split, user_image_id, user_item_no, shop_image_id, shop_item_no
            ))
        END AS chance
    FROM ({instance_pairs}) AS pairs
    JOIN paired_items AS users ON users.image_id = user_image_id AND users.item_no = user_item_no
    JOIN paired_items AS shops ON shops.image_id = shop_image_id AND shops.item_no = shop_item_no
"""
# All shop items of a category in one order, items of a pair_id side by side. Skipping the items of one pair_id leaves
# the other items numbered from 0 without a gap, so that a number finds an item.
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
        min(position) AS first_of_pair_id,
        count(*) AS num_of_pair_id,
        (sum(count(*)) OVER (PARTITION BY category_id) - count(*))::BIGINT AS num_candidates
    FROM category_pool
    GROUP BY category_id, pair_id
"""
_CATEGORY: Final = """
    WITH steps AS (
        SELECT
            *,
            (chance % num_candidates::UBIGINT)::BIGINT AS begin,
            num_candidates // least($negatives, num_candidates) AS width,
            unnest(range(least($negatives, num_candidates))) AS step
        FROM positive_pairs
        JOIN category_sizes USING (category_id, pair_id)
        WHERE pair_no BETWEEN $low AND $high
    ),
    numbered AS (
        SELECT *, (begin + step * width) % num_candidates AS number FROM steps
    )
    SELECT pair_no, 2 AS kind, step, user_place, category_pool.place AS shop_place
    FROM numbered
    JOIN category_pool
        ON category_pool.category_id = numbered.category_id
        AND category_pool.position = number + CASE WHEN number >= first_of_pair_id THEN num_of_pair_id ELSE 0 END
"""
# For every identity and category of its shop items, the shop items of other styles of the pair_id: first those of the
# category (near), then the rest (far).
_HARD_POOL: Final = """
    CREATE OR REPLACE TEMP TABLE hard_pool AS
    SELECT
        positives.pair_id,
        positives.style,
        positives.category_id,
        candidates.place,
        candidates.category_id = positives.category_id AS is_near,
        row_number() OVER (
            PARTITION BY positives.pair_id, positives.style, positives.category_id
            ORDER BY candidates.category_id <> positives.category_id, candidates.chance, candidates.place
        ) - 1 AS position
    FROM (SELECT DISTINCT pair_id, style, category_id FROM positive_pairs) AS positives
    JOIN paired_items AS candidates
        ON candidates.pair_id = positives.pair_id AND candidates.style <> positives.style
    WHERE candidates.source = 'shop' AND candidates.style > 0
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
        negatives: number of negatives of kind ``category`` for each positive pair; fewer if there are fewer candidates.
        hard_negatives: number of negatives of kind ``hard``.
        seed: selects among the candidates.
        place: the registry, for messages.

    Returns:
        Batches of ``split``, ``pair_no`` (of the positive pair, from 1 in every split, in file order of the user
        item, then of the shop item; its negatives have the same number), ``label`` (1 or 0), ``kind`` (of
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
    split = params["split"]
    params = params | {"has_negatives": negatives + hard_negatives > 0}
    cursor.execute(_ITEMS, params)
    instance_pairs = view_over("instance_pairs", items="SELECT $split AS split, * FROM paired_items")
    del params["part"]
    cursor.execute(_POSITIVES.format(instance_pairs=instance_pairs), params)
    queries = [
        "SELECT pair_no, 0 AS kind, 0 AS step, user_place, shop_place FROM positive_pairs "
        "WHERE pair_no BETWEEN $low AND $high"
    ]
    params_of_negatives = {}
    if hard_negatives:
        cursor.execute(_HARD_POOL)
        cursor.execute(_HARD_SIZES)
        queries.append(_HARD)
        params_of_negatives["hard_negatives"] = hard_negatives
    if negatives:
        cursor.execute(_CATEGORY_POOL)
        cursor.execute(_CATEGORY_SIZES)
        queries.append(_CATEGORY)
        params_of_negatives["negatives"] = negatives
    rows = " UNION ALL ".join(f"({query})" for query in queries)
    query = f"SELECT pair_no, kind::TINYINT AS kind, user_place, shop_place FROM ({rows}) ORDER BY pair_no, kind, step"
    ((num_pairs,),) = cursor.execute("SELECT count(*) FROM positive_pairs").fetchall()
    # DuckDB sorts only the places of items; their columns are fetched once and taken by place.
    items = cursor.sql(f"SELECT {_LISTED} FROM paired_items ORDER BY place").to_arrow_table().combine_chunks()
    for batch in items.to_batches():
        check_items(batch, split, place)
    pairs_at_once = max(1, _BLOCK_ROWS // (1 + negatives + hard_negatives))
    for low in range(1, num_pairs + 1, pairs_at_once):
        bounds = {"low": low, "high": low + pairs_at_once - 1}
        pairs = cursor.sql(query, params=params_of_negatives | bounds).to_arrow_table().combine_chunks()
        for begin in range(0, pairs.num_rows, _BATCH_ROWS):
            yield _batch(split, pairs.slice(begin, _BATCH_ROWS), items)


def _batch(split: str, pairs: pa.Table, items: pa.Table) -> pa.RecordBatch:
    """Return pairs with the columns of both items, by their places."""
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
        rows = items.take(pairs.column(f"{source}_place"))
        columns |= {f"{source}_{name}": rows.column(name) for name in PAIRED_COLUMNS}
    return pa.table(columns).combine_chunks().to_batches()[0]
