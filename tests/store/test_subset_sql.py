"""SQL within a subset, and the views over other rows than those of a registry."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import QueryError
from registry.ingest.build import ingest
from registry.sample import write_sample
from registry.store.registry import Registry
from registry.store.views import view_over
from registry.subset.resplit import Resplit

pytestmark = pytest.mark.xdist_group("subset-sql")

SUBSETS: list[dict[str, Any]] = [
    {},
    {"split": "train"},
    {"category": ["skirt", "trousers"]},
    {"category": "vest", "paired": True},
    {"occlusion": 1, "whole_images": True},
    {"sample": "30%", "style": "1-"},
    {"where": "false"},
]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """Return an open registry of a drawn sample with train and validation."""
    folder = tmp_path_factory.mktemp("subset-sql")
    write_sample(folder / "sample", 90)
    for split in ("train", "validation"):
        ingest(split, str(folder / "sample"), str(folder / "registry"), jobs=1)
    yield registry.open(str(folder / "registry"))


def pairs_by_hand(items: list[tuple[Any, ...]]) -> set[tuple[Any, ...]]:
    """Return (split, pair_id, style, user image and item, shop image and item) of all positive pairs among items."""
    users = [item for item in items if item[3] == "user" and item[5] > 0]
    shops = [item for item in items if item[3] == "shop"]
    return {
        (split, pair_id, style, image_id, item_no, *shop[1:3])
        for split, image_id, item_no, _, pair_id, style in users
        for shop in shops
        if (shop[0], shop[4], shop[5]) == (split, pair_id, style)
    }


@pytest.mark.parametrize("options", SUBSETS, ids=str)
def test_tables_and_views_have_the_rows_of_the_subset(sample: Registry, options: dict[str, Any]) -> None:
    selection = sample.select(**options)
    columns = ("split", "image_id", "item_no", "source", "pair_id", "style")
    items = selection.items(columns).fetchall()
    assert sorted(selection.sql(f"SELECT {', '.join(columns)} FROM items").fetchall()) == sorted(items)
    pairs = "split, pair_id, style, user_image_id, user_item_no, shop_image_id, shop_item_no"
    assert set(selection.sql(f"SELECT {pairs} FROM instance_pairs").fetchall()) == pairs_by_hand(items)
    totals = [row for row in selection.summary() if row["category_name"] is None]
    assert selection.sql("SELECT count(*) FROM images").fetchall() == [(sum(row["images"] for row in totals),)]
    for name in ("instance_pairs", "image_pairs", "identities"):
        ((number,),) = selection.sql(f"SELECT count(*) FROM {name}").fetchall()
        assert number == sum(row[name] for row in totals), name


def test_every_view_answers_within_a_subset_and_the_whole_registry_stays_in_reach(sample: Registry) -> None:
    selection = sample.select(category="skirt")
    for row in sample.tables():
        assert selection.sql(f"SELECT count(*) FROM {row['table']}").fetchall()
    assert selection.sql("SELECT DISTINCT category_name FROM items").fetchall() == [("skirt",)]
    for name in ("items", "images"):
        (whole,) = selection.sql(f"SELECT count(*) FROM whole.{name}").fetchall()
        assert [whole] == sample.sql(f"SELECT count(*) FROM {name}").fetchall()


def test_each_part_of_a_resplit_has_a_schema_with_its_own_pairs(sample: Registry) -> None:
    selection = sample.select(resplit=Resplit.parse("fit=0.6,held-out=0.4", seed=1))
    assert [part.name for part in selection.parts] == ["fit", "held-out"]
    for row in selection.summary():
        if row["category_name"] is None:
            query = 'SELECT (SELECT count(*) FROM "part_{0}".items), (SELECT count(*) FROM "part_{0}".instance_pairs)'
            answer = selection.sql(query.format(row["part"])).fetchall()
            assert answer == [(row["items"], row["instance_pairs"])]
    ((number,),) = selection.sql("SELECT count(*) FROM instance_pairs").fetchall()
    assert number == sum(row["instance_pairs"] for row in selection.summary() if row["category_name"] is None)


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE x AS SELECT 1",
        "DELETE FROM chosen.items",
        "SELECT * FROM read_text('/etc/hostname')",
        "SET memory_limit = '1GB'",
        "SELECT 1; SELECT 2",
    ],
)
def test_a_query_within_a_subset_only_reads_the_registry(sample: Registry, query: str, tmp_path: Path) -> None:
    with pytest.raises(QueryError):
        sample.select(category="skirt").sql(query).fetchall()


def test_parameters_are_bound(sample: Registry) -> None:
    selection = sample.select(split="train")
    query = "SELECT count(*) FROM items WHERE category_name = $name"
    expected = sample.sql(query + " AND split = 'train'", {"name": "skirt"}).fetchall()
    assert selection.sql(query, {"name": "skirt"}).fetchall() == expected


def test_a_view_over_other_items_follows_the_rule_in_its_file(sample: Registry) -> None:
    items = """
        SELECT * FROM (VALUES
            ('train', 1, 1, 'user', 7, 1, 1, 'a'),
            ('train', 2, 1, 'shop', 7, 1, 2, 'b'),
            ('train', 3, 1, 'shop', 7, 0, 1, 'a'),
            ('train', 1, 2, 'user', 7, 0, 1, 'a'),
            ('validation', 4, 1, 'shop', 7, 1, 1, 'a')
        ) AS v (split, image_id, item_no, source, pair_id, style, category_id, category_name)
    """
    query = view_over("instance_pairs", items=items)
    columns = "split, pair_id, style, user_image_id, user_item_no, shop_image_id, shop_item_no"
    assert sample.sql(f"SELECT {columns} FROM ({query})").fetchall() == [("train", 7, 1, 1, 1, 2, 1)]
    assert sample.sql(f"SELECT count(*) FROM ({view_over('image_pairs', items=items)})").fetchall() == [(1,)]
    assert "identities" not in view_over("image_pairs", items=items)


def test_pivot_without_in_works_within_a_subset_and_its_parts(sample: Registry) -> None:
    query = "PIVOT {} ON split USING count(*) GROUP BY category_name"
    selection = sample.select(category="skirt")
    ((category, *numbers),) = selection.sql(query.format("items")).fetchall()
    assert (category, sum(numbers)) == ("skirt", len(selection.items(["item_no"]).fetchall()))
    divided = sample.select(category="skirt", resplit=Resplit.parse("all=1"))
    assert divided.sql(query.format("part_all.items")).fetchall() == [(category, *numbers)]
