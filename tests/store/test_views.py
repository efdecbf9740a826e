"""The views on hand-written rows: exact columns and rows, and the keys in their headers."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest

from registry.dataset.deepfashion2 import ATTRIBUTE_CODES, CATEGORIES
from registry.dataset.tables import FIELDS, TABLES, duckdb_type
from registry.dataset.views import load_views, schemas_folder
from registry.store.views import views_in_order
from tests.databases import rows_of

VIEW_COLUMNS = {
    "attribute_counts": "split attribute code meaning num_items share",
    "box_areas": "split category_id category_name num_items median_area median_share_of_image min_area "
    "lower_quartile_area upper_quartile_area max_area mean_area",
    "category_counts": "split category_id category_name num_items num_user_items num_shop_items num_images",
    "gallery_items": " ".join(column.name for column in TABLES["items"].columns),
    "identities": "split pair_id style num_user_items num_shop_items num_images categories",
    "image_pairs": "split pair_id user_image_id shop_image_id num_instance_pairs",
    "image_sizes": "split width height num_images share",
    "instance_pairs": "split pair_id style user_image_id user_item_no user_category_id "
    "shop_image_id shop_item_no shop_category_id",
    "items_per_image": "split source num_items num_images share",
    "landmark_visibility": "split category_id category_name landmark_no num_items share_visible share_occluded "
    "share_unlabelled num_visible num_occluded num_unlabelled",
    "landmarks": "split image_id item_no category_id landmark_no slot x y v",
    "orphan_identities": "split pair_id style num_user_items num_shop_items num_images categories",
    "pairs_per_identity": "split num_instance_pairs num_identities share",
    "paper_figure_3": "split variation code value num_items share",
    "paper_table_1": "split num_images num_boxes num_landmarks num_masks num_instance_pairs num_image_pairs "
    "num_query_items num_gallery_items",
    "polygons": "split image_id item_no category_id polygon_no points",
    "query_items": " ".join(column.name for column in TABLES["items"].columns),
    "retrieval_ground_truth": "split pair_id style query_image_id query_item_no gallery_image_id gallery_item_no",
    "embedding_states": "model split image_id item_no state",
    "similar_photos": "split image_id other_split other_image_id kind distance has_same_bytes source other_source "
    "pair_id other_pair_id",
    "split_counts": "split num_images num_user_images num_shop_images num_items num_pair_ids num_identities "
    "num_instance_pairs num_image_pairs num_query_items num_gallery_items num_quarantined",
    "styles_per_pair_id": "split num_styles num_pair_ids share",
}

ITEM = "(split, image_id, item_no, source, pair_id, style, category_id, category_name)"


@pytest.mark.parametrize("name", sorted(VIEW_COLUMNS))
def test_a_view_has_exactly_its_columns_in_their_order(database: duckdb.DuckDBPyConnection, name: str) -> None:
    assert database.sql(f"SELECT * FROM {name}").columns == VIEW_COLUMNS[name].split()


def test_every_view_is_listed_here() -> None:
    assert sorted(load_views()) == sorted(VIEW_COLUMNS)
    assert sorted(file.name for file in (schemas_folder() / "views").iterdir()) == [f"{n}.sql" for n in load_views()]


@pytest.mark.parametrize("view", load_views().values(), ids=lambda view: view.name)
def test_a_view_is_one_plain_select_without_parameters(view: Any) -> None:
    statements = duckdb.connect().extract_statements(view.sql)
    assert [statement.type for statement in statements] == [duckdb.StatementType.SELECT]
    assert not statements[0].named_parameters
    assert "{{" not in view.sql and "{%" not in view.sql
    assert view.sql.startswith("-- One row per ") and view.sql.endswith("\n") and ";" not in view.sql.split("\n", 3)[3]


@pytest.mark.parametrize("view", load_views().values(), ids=lambda view: view.name)
def test_the_header_of_a_view_names_its_key_its_source_and_columns_it_has(view: Any) -> None:
    columns = VIEW_COLUMNS[view.name].split()
    assert view.meaning.startswith("One row per ")
    assert view.source
    assert set(view.key) <= set(columns)
    assert view.key[0] == "split"
    assert set(view.column_meanings) <= set(columns)


@pytest.mark.parametrize("name", sorted(VIEW_COLUMNS))
def test_every_column_of_a_view_has_a_meaning_and_the_declared_type(
    database: duckdb.DuckDBPyConnection, name: str
) -> None:
    view = load_views()[name]
    for column, kind, *_ in database.execute(f"DESCRIBE {name}").fetchall():
        assert view.column_meaning(column)
        if column in view.column_meanings:
            continue  # it means something else here, and says so
        assert kind == duckdb_type(FIELDS[column]), column


def test_the_base_tables_are_the_only_tables_that_views_read(database: duckdb.DuckDBPyConnection) -> None:
    for view in load_views().values():
        read = duckdb.connect().get_table_names(view.sql)
        assert read and read <= {*TABLES, *load_views()}


def test_views_come_after_the_views_they_read() -> None:
    connection = duckdb.connect()
    names = [view.name for view in views_in_order()]
    assert sorted(names) == sorted(load_views())
    for name in names:
        for read in connection.get_table_names(load_views()[name].sql) & set(names):
            assert names.index(read) < names.index(name)


def test_landmarks_are_numbered_from_one_and_keep_those_not_labelled(database: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(
        database,
        "landmarks",
        categories="(id, num_landmarks, landmark_offset) VALUES (9, 2, 182), (7, 1, 158)",
        items="""(split, image_id, item_no, category_id, landmarks) VALUES
            ('train', 1, 1, 9, [10, 11, 2, 0, 0, 0]),
            ('train', 1, 2, 7, [5, 6, 1]),
            ('validation', 1, 1, 7, [0, 0, 0])""",
    )
    assert rows == [
        ("train", 1, 1, 9, 1, 182, 10, 11, 2),
        ("train", 1, 1, 9, 2, 183, 0, 0, 0),
        ("train", 1, 2, 7, 1, 158, 5, 6, 1),
        ("validation", 1, 1, 7, 1, 158, 0, 0, 0),
    ]


@pytest.mark.parametrize("category", CATEGORIES, ids=lambda category: category.name)
def test_landmarks_reach_the_last_landmark_of_every_category(
    database: duckdb.DuckDBPyConnection, category: Any
) -> None:
    count, offset = category.num_landmarks, category.landmark_offset
    rows = rows_of(
        database,
        "landmarks",
        categories=f"(id, num_landmarks, landmark_offset) VALUES ({category.id}, {count}, {offset})",
        items=f"(split, image_id, item_no, category_id, landmarks) VALUES ('train', 1, 1, {category.id}, "
        f"{list(range(3 * count))})",
    )
    assert [row[4:] for row in rows] == [
        (k, offset + k - 1, 3 * k - 3, 3 * k - 2, 3 * k - 1) for k in range(1, count + 1)
    ]


def test_polygons_keep_their_order_and_an_item_without_any_has_no_row(database: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(
        database,
        "polygons",
        items="""(split, image_id, item_no, category_id, segmentation) VALUES
            ('train', 1, 1, 9, [[9.0, 9.5, 1.0], [1.0, 2.0]]),
            ('train', 1, 2, 9, []),
            ('train', 2, 1, 7, [[0.25, -0.5]])""",
    )
    assert rows == [
        ("train", 1, 1, 9, 1, [9.0, 9.5, 1.0]),
        ("train", 1, 1, 9, 2, [1.0, 2.0]),
        ("train", 2, 1, 7, 1, [0.25, -0.5]),
    ]


# One group with style 0 on both sides, a style of mixed categories and one twice in an image, an orphan on each side,
# and the same pair_id and style again in another split.
GROUPS = f"""{ITEM} VALUES
    ('train', 1, 1, 'user', 7, 1, 1, 'short sleeve top'),
    ('train', 1, 2, 'user', 7, 0, 8, 'trousers'),
    ('train', 2, 1, 'user', 7, 1, 9, 'skirt'),
    ('train', 2, 2, 'user', 7, 2, 9, 'skirt'),
    ('train', 3, 1, 'shop', 7, 1, 1, 'short sleeve top'),
    ('train', 3, 3, 'shop', 7, 1, 10, 'short sleeve dress'),
    ('train', 4, 1, 'shop', 7, 0, 8, 'trousers'),
    ('train', 4, 2, 'shop', 7, 3, 5, 'vest'),
    ('train', 5, 1, 'shop', 8, 2, 9, 'skirt'),
    ('validation', 1, 1, 'user', 7, 1, 7, 'shorts'),
    ('validation', 2, 1, 'shop', 7, 1, 7, 'shorts')"""


def test_an_identity_has_the_items_of_a_split_pair_id_and_style_above_zero(
    database: duckdb.DuckDBPyConnection,
) -> None:
    assert rows_of(database, "identities", items=GROUPS) == [
        ("train", 7, 1, 2, 2, 3, ["short sleeve dress", "short sleeve top", "skirt"]),
        ("train", 7, 2, 1, 0, 1, ["skirt"]),
        ("train", 7, 3, 0, 1, 1, ["vest"]),
        ("train", 8, 2, 0, 1, 1, ["skirt"]),
        ("validation", 7, 1, 1, 1, 2, ["shorts"]),
    ]


def test_orphan_identities_were_seen_on_a_single_side(database: duckdb.DuckDBPyConnection) -> None:
    assert rows_of(database, "orphan_identities", items=GROUPS) == [
        ("train", 7, 2, 1, 0, 1, ["skirt"]),
        ("train", 7, 3, 0, 1, 1, ["vest"]),
        ("train", 8, 2, 0, 1, 1, ["skirt"]),
    ]


def test_instance_pairs_join_user_and_shop_items_whatever_their_categories(
    database: duckdb.DuckDBPyConnection,
) -> None:
    assert rows_of(database, "instance_pairs", items=GROUPS) == [
        ("train", 7, 1, 1, 1, 1, 3, 1, 1),
        ("train", 7, 1, 1, 1, 1, 3, 3, 10),
        ("train", 7, 1, 2, 1, 9, 3, 1, 1),
        ("train", 7, 1, 2, 1, 9, 3, 3, 10),
        ("validation", 7, 1, 1, 1, 7, 2, 1, 7),
    ]


def test_style_zero_never_pairs_even_where_both_sides_have_it(database: duckdb.DuckDBPyConnection) -> None:
    items = f"{ITEM} VALUES ('train', 1, 1, 'user', 7, 0, 1, 'a'), ('train', 2, 1, 'shop', 7, 0, 1, 'a')"
    assert rows_of(database, "instance_pairs", items=items) == []
    for view in ("identities", "image_pairs", "retrieval_ground_truth", "query_items"):
        assert rows_of(database, view) == []


def test_the_pair_ids_of_two_splits_have_nothing_to_do_with_each_other(database: duckdb.DuckDBPyConnection) -> None:
    items = f"{ITEM} VALUES ('train', 1, 1, 'user', 1, 1, 1, 'a'), ('validation', 2, 1, 'shop', 1, 1, 1, 'a')"
    assert rows_of(database, "instance_pairs", items=items) == []
    assert rows_of(database, "retrieval_ground_truth") == []
    assert [row[:5] for row in rows_of(database, "orphan_identities")] == [
        ("train", 1, 1, 1, 0),
        ("validation", 1, 1, 0, 1),
    ]


def test_two_photos_of_the_same_side_are_no_pair(database: duckdb.DuckDBPyConnection) -> None:
    items = f"{ITEM} VALUES ('train', 1, 1, 'user', 1, 1, 1, 'a'), ('train', 2, 1, 'user', 1, 1, 1, 'a')"
    assert rows_of(database, "instance_pairs", items=items) == []


def test_image_pairs_are_distinct_and_count_the_pairs_of_items_between_them(
    database: duckdb.DuckDBPyConnection,
) -> None:
    assert rows_of(database, "image_pairs", items=GROUPS) == [
        ("train", 7, 1, 3, 2),
        ("train", 7, 2, 3, 2),
        ("validation", 7, 1, 2, 1),
    ]


def test_query_items_are_user_items_with_a_style_and_gallery_items_all_of_the_shops(
    database: duckdb.DuckDBPyConnection,
) -> None:
    rows_of(database, "items", items=GROUPS)
    key = "SELECT split, image_id, item_no FROM {} ORDER BY ALL"
    assert database.execute(key.format("query_items")).fetchall() == [
        ("train", 1, 1),
        ("train", 2, 1),
        ("train", 2, 2),
        ("validation", 1, 1),
    ]
    assert database.execute(key.format("gallery_items")).fetchall() == [
        ("train", 3, 1),
        ("train", 3, 3),
        ("train", 4, 1),
        ("train", 4, 2),
        ("train", 5, 1),
        ("validation", 2, 1),
    ]


def test_the_retrieval_ground_truth_is_the_gallery_items_of_each_query(database: duckdb.DuckDBPyConnection) -> None:
    assert rows_of(database, "retrieval_ground_truth", items=GROUPS) == [
        ("train", 7, 1, 1, 1, 3, 1),
        ("train", 7, 1, 1, 1, 3, 3),
        ("train", 7, 1, 2, 1, 3, 1),
        ("train", 7, 1, 2, 1, 3, 3),
        ("validation", 7, 1, 1, 1, 2, 1),
    ]


def test_split_counts_shows_a_split_without_items_with_zeros(database: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(
        database,
        "split_counts",
        items=GROUPS,
        images="""(split, image_id, source, pair_id) VALUES
            ('train', 1, 'user', 7), ('train', 2, 'user', 7), ('train', 3, 'shop', 7), ('train', 4, 'shop', 7),
            ('train', 5, 'shop', 8), ('validation', 1, 'user', 7), ('validation', 2, 'shop', 7),
            ('test', 1, 'user', NULL), ('test', 2, 'shop', NULL), ('test', 3, NULL, NULL)""",
        quarantine="(split, file) VALUES ('train', 'train/annos/000009.json')",
    )
    assert rows == [
        ("test", 3, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0),
        ("train", 5, 2, 3, 9, 2, 4, 4, 2, 3, 5, 1),
        ("validation", 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 0),
    ]


def test_split_counts_agrees_with_the_views_it_counts(database: duckdb.DuckDBPyConnection) -> None:
    images = "(split, image_id) SELECT DISTINCT split, image_id FROM items"
    rows_of(database, "split_counts", items=GROUPS, images=images)
    counted = {
        "num_items": "items",
        "num_identities": "identities",
        "num_instance_pairs": "instance_pairs",
        "num_image_pairs": "image_pairs",
        "num_query_items": "query_items",
        "num_gallery_items": "gallery_items",
    }
    for column, view in counted.items():
        by_split = f"SELECT split, count(*) FROM {view} GROUP BY split ORDER BY split"
        shown = database.execute(f"SELECT split, {column} FROM split_counts ORDER BY split").fetchall()
        assert shown == database.execute(by_split).fetchall()


def test_category_counts_by_split_and_side(database: duckdb.DuckDBPyConnection) -> None:
    assert rows_of(database, "category_counts", items=GROUPS) == [
        ("train", 1, "short sleeve top", 2, 1, 1, 2),
        ("train", 5, "vest", 1, 0, 1, 1),
        ("train", 8, "trousers", 2, 1, 1, 2),
        ("train", 9, "skirt", 3, 2, 1, 2),
        ("train", 10, "short sleeve dress", 1, 0, 1, 1),
        ("validation", 7, "shorts", 2, 1, 1, 2),
    ]


def test_attribute_counts_name_the_codes_and_their_shares(database: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(
        database,
        "attribute_counts",
        items="""(split, scale, occlusion, zoom_in, viewpoint) VALUES
            ('train', 1, 1, 2, 3), ('train', 1, 2, 2, 3), ('train', 3, 3, 2, 3), ('train', 3, 3, 2, 3),
            ('validation', 2, 1, 1, 1)""",
    )
    assert rows == [
        ("train", "occlusion", 1, "slight or none", 1, 0.25),
        ("train", "occlusion", 2, "medium", 1, 0.25),
        ("train", "occlusion", 3, "heavy", 2, 0.5),
        ("train", "scale", 1, "small", 2, 0.5),
        ("train", "scale", 3, "large", 2, 0.5),
        ("train", "viewpoint", 3, "side or back", 4, 1.0),
        ("train", "zoom_in", 2, "medium", 4, 1.0),
        ("validation", "occlusion", 1, "slight or none", 1, 1.0),
        ("validation", "scale", 2, "moderate", 1, 1.0),
        ("validation", "viewpoint", 1, "no wear", 1, 1.0),
        ("validation", "zoom_in", 1, "none", 1, 1.0),
    ]


def test_the_meanings_of_codes_are_those_of_the_taxonomy(database: duckdb.DuckDBPyConnection) -> None:
    codes = ", ".join(f"('train', {code}, {code}, {code}, {code})" for code in (1, 2, 3))
    rows = rows_of(database, "attribute_counts", items=f"(split, scale, occlusion, zoom_in, viewpoint) VALUES {codes}")
    shown: dict[str, dict[int, str]] = {}
    for _, attribute, code, meaning, *_ in rows:
        shown.setdefault(attribute, {})[code] = meaning
    assert shown == ATTRIBUTE_CODES


def test_items_per_image_counts_annotated_images(database: duckdb.DuckDBPyConnection) -> None:
    images = """(split, image_id, source, num_items) VALUES ('train', 1, 'user', 1), ('train', 2, 'user', 2),
        ('train', 3, 'shop', 9), ('train', 6, 'user', 0), ('test', 1, 'user', NULL)"""
    assert rows_of(database, "items_per_image", items=GROUPS, images=images) == [
        ("train", "shop", 2, 1, 1.0),
        ("train", "user", 0, 1, 1 / 3),
        ("train", "user", 2, 2, 2 / 3),
    ]


def test_styles_per_pair_id_counts_groups_without_an_identity(database: duckdb.DuckDBPyConnection) -> None:
    images = """(split, image_id, pair_id) VALUES
        ('train', 1, 7), ('train', 2, 7), ('train', 5, 8), ('train', 6, 9), ('test', 1, NULL)"""
    rows = rows_of(database, "styles_per_pair_id", items=GROUPS, images=images)
    assert rows == [("train", 0, 1, 1 / 3), ("train", 1, 1, 1 / 3), ("train", 3, 1, 1 / 3)]


def test_pairs_per_identity_agree_with_the_pairs(database: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(database, "pairs_per_identity", items=GROUPS)
    pairs = database.execute("SELECT split, count(*) FROM instance_pairs GROUP BY ALL").fetchall()
    for split, number in pairs:
        assert sum(row[1] * row[2] for row in rows if row[0] == split) == number
    assert sum(row[2] for row in rows) == database.execute("SELECT count(*) FROM identities").fetchall()[0][0]
    assert [row for row in rows if row[1] == 0], "orphan identities make no pair"


def test_landmark_visibility_counts_each_landmark(database: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(
        database,
        "landmark_visibility",
        categories="(id, name, num_landmarks, landmark_offset) VALUES (9, 'skirt', 2, 182)",
        items="""(split, image_id, item_no, category_id, landmarks) VALUES
            ('train', 1, 1, 9, [10, 11, 2, 0, 0, 0]), ('train', 1, 2, 9, [5, 6, 1, 7, 8, 1]),
            ('train', 2, 1, 9, NULL)""",
    )
    assert rows == [
        ("train", 9, "skirt", 1, 2, 0.5, 0.5, 0.0, 1, 1, 0),
        ("train", 9, "skirt", 2, 2, 0.0, 0.5, 0.5, 0, 1, 1),
    ]


def test_a_reversed_box_has_no_area_and_a_photo_without_size_no_share(database: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(
        database,
        "box_areas",
        images="(split, image_id, width, height) VALUES ('train', 1, 100, 50), ('train', 2, NULL, NULL)",
        items="""(split, image_id, item_no, category_id, category_name, x1, y1, x2, y2) VALUES
            ('train', 1, 1, 9, 'skirt', 0, 0, 10, 100), ('train', 1, 2, 9, 'skirt', 10, 10, 0, 0),
            ('train', 2, 1, 9, 'skirt', 0, 0, 10, 20), ('train', 2, 2, 8, 'trousers', 0, 0, 4, 4)""",
    )
    assert rows == [
        ("train", 8, "trousers", 1, 16.0, None, 16.0, 16.0, 16.0, 16.0, 16.0),
        ("train", 9, "skirt", 3, 200.0, 0.1, 0.0, 100.0, 600.0, 1000.0, 400.0),
    ]


def test_image_sizes_begin_with_the_most_frequent(database: duckdb.DuckDBPyConnection) -> None:
    images = """(split, image_id, width, height) VALUES ('train', 1, 90, 50), ('train', 2, 40, 30),
        ('train', 3, 40, 30), ('train', 4, NULL, NULL)"""
    database.execute(f"INSERT INTO images {images}")
    assert database.execute("FROM image_sizes").fetchall() == [
        ("train", 40, 30, 2, 0.5),
        ("train", 90, 50, 1, 0.25),
        ("train", None, None, 1, 0.25),
    ]


def test_table_1_of_the_paper_counts_items_with_landmarks_and_masks(database: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(
        database,
        "paper_table_1",
        images="(split, image_id) VALUES ('train', 1), ('test', 1)",
        items="""(split, image_id, item_no, num_landmarks_labelled, segmentation) VALUES
            ('train', 1, 1, 3, [[0, 0, 1, 0, 1, 1]]), ('train', 1, 2, 0, []), ('train', 1, 3, NULL, NULL)""",
    )
    assert [row[:5] for row in rows] == [("test", 1, 0, 0, 0), ("train", 1, 3, 1, 1)]


def test_figure_3_of_the_paper_has_shares_of_each_variation(database: duckdb.DuckDBPyConnection) -> None:
    rows = rows_of(
        database,
        "paper_figure_3",
        items="""(split, image_id, item_no, category_id, category_name, scale, occlusion, zoom_in, viewpoint) VALUES
            ('train', 1, 1, 9, 'skirt', 1, 1, 1, 2), ('train', 1, 2, 8, 'trousers', 2, 1, 1, 2)""",
    )
    assert ("train", "category", 9, "skirt", 1, 0.5) in rows
    assert ("train", "scale", 2, "moderate", 1, 0.5) in rows
    assert ("train", "viewpoint", 2, "frontal", 2, 1.0) in rows


@pytest.mark.parametrize("name", sorted(VIEW_COLUMNS))
def test_a_view_of_empty_tables_has_no_rows(database: duckdb.DuckDBPyConnection, name: str) -> None:
    assert rows_of(database, name) == []


@pytest.mark.parametrize("name", sorted(VIEW_COLUMNS))
def test_the_key_of_a_view_is_unique(database: duckdb.DuckDBPyConnection, name: str) -> None:
    rows_of(
        database,
        "items",
        items=GROUPS,
        categories=f"VALUES {', '.join(f'({c.id}, $${c.name}$$, NULL, 2, {c.landmark_offset})' for c in CATEGORIES)}",
        images="(split, image_id, source, pair_id, num_items) "
        "SELECT split, image_id, source, pair_id, count(*) FROM items GROUP BY ALL",
        photos="(split, image_id, sha256, dhash) SELECT split, image_id, image_id // 2, image_id % 3 FROM images",
        embedding_models="(split, model, dimensions) SELECT DISTINCT split, 'toy', 2 FROM items",
    )
    database.execute("UPDATE items SET landmarks = [1, 2, 2, 0, 0, 0], segmentation = [[1.0], [2.0]]")
    database.execute("UPDATE items SET scale = 1, occlusion = 2, zoom_in = 3, viewpoint = item_no")
    key = ", ".join(load_views()[name].key)
    total, distinct = database.execute(f"SELECT count(*), count(DISTINCT ({key})) FROM {name}").fetchall()[0]
    assert total == distinct > 0
