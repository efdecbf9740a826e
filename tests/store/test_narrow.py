"""The tables in memory: the same subsets as a selection, exact counts of facets, and pages that lose no row."""

from __future__ import annotations

import gc
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import registry
from registry.dataset.deepfashion2 import SPLITS
from registry.errors import UnknownNameError, UsageError
from registry.ingest.build import ingest
from registry.store.facet_counts import FACETS, IMAGE_FACETS
from registry.store.narrow import NarrowTables
from registry.store.narrow_subset import IMAGE_SORTS, ITEM_SORTS
from registry.store.registry import Registry
from registry.subset.options import Subset
from tests.helpers import write_split
from tests.store.test_selection import random_split

#: Each kind of option: conditions on single rows, and those that depend on other rows, lists or checks.
OPTIONS: dict[str, list[Any]] = {
    "split": ["train", ["train", "validation"], "test"],
    "source": ["user"],
    "category": [1, [8, 9]],
    "occlusion": [1, "2-3"],
    "scale": [2],
    "pair_id": ["1-3"],
    "style": ["1-"],
    "has_landmarks": [True],
    "min_box_area": [400],
    "paired": [True],
    "whole_images": [True],
    "sample": ["30%", 5],
    "limit": [7],
    "where": ["x2 - x1 > 10"],
    "exclude_check": ["degenerate-box", "orphan-identity"],
}
SUBSETS = st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in OPTIONS.items()})


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry of random annotations, with photos alone in test and some sizes unknown."""
    folder = tmp_path_factory.mktemp("narrow")
    rng = random.Random(11)
    for split, images in (("train", 40), ("validation", 25)):
        ingest(split, str(write_split(folder / split, random_split(rng, images))), str(folder / "r"), jobs=1)
    ingest(
        "test", str(write_split(folder / "test", {}, {1: b"", 2: b""})), str(folder / "r"), jobs=1, image_sizes=False
    )
    return registry.open(str(folder / "r"))


@pytest.fixture(scope="module")
def narrow(opened: Registry) -> NarrowTables:
    return NarrowTables(opened.snapshot())


def keys(narrow: NarrowTables, subset: Subset, table: str) -> list[tuple[Any, ...]]:
    rows = narrow.choose(subset).page(table, size=10_000).rows.to_pylist()
    names = ("split", "image_id", "item_no") if table == "items" else ("split", "image_id")
    return [tuple(row[name] for name in names) for row in rows]


def in_order(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return sorted(rows, key=lambda row: (SPLITS.index(row[0]), *row[1:]))


# Half of the options are set in an example, so 25 have each pair of them several times.
@settings(max_examples=25, deadline=None)
@given(SUBSETS)
def test_a_subset_is_that_of_a_selection(opened: Registry, narrow: NarrowTables, options: dict[str, Any]) -> None:
    subset = Subset.of(**options)
    selection = opened.select(subset)
    images = [(row["split"], row["image_id"]) for row in selection.image_keys().to_pylist()]
    items = [(row["split"], row["image_id"], row["item_no"]) for row in selection.item_keys().to_pylist()]
    assert keys(narrow, subset, "images") == in_order(images)
    assert keys(narrow, subset, "items") == in_order(items)
    assert narrow.counts(subset) == {"images": len(images), "items": len(items)}


def chosen_keys(opened: Registry, options: dict[str, Any]) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """Return the keys of the images and of the items of a selection."""
    selection = opened.select(**options)
    images = [tuple(row.values())[:2] for row in selection.image_keys().to_pylist()]
    return images, [tuple(row.values())[:3] for row in selection.item_keys().to_pylist()]


@settings(max_examples=8, deadline=None)
@given(SUBSETS)
def test_a_facet_counts_its_values_as_if_it_were_not_set(
    opened: Registry, narrow: NarrowTables, options: dict[str, Any]
) -> None:
    facets = narrow.facets(Subset.of(**options))
    assert list(facets) == list(FACETS)
    columns = ", ".join(column for option, column in FACETS.items() if option not in IMAGE_FACETS)
    images = {row[:2]: row for row in opened.sql("SELECT split, image_id, source FROM images").fetchall()}
    query = f"SELECT split, image_id, item_no, {columns} FROM items"
    items = {row[:3]: row[3:] for row in opened.sql(query).fetchall()}
    whole = chosen_keys(opened, options)
    for option in FACETS:
        others = {name: value for name, value in options.items() if name != option}
        image_keys, item_keys = whole if others == options else chosen_keys(opened, others)
        if option in IMAGE_FACETS:
            values = [images[key][0 if option == "split" else 2] for key in image_keys]
        else:
            position = [name for name in FACETS if name not in IMAGE_FACETS].index(option)
            values = [items[key][position] for key in item_keys]
        assert facets[option] == Counter(values)


@pytest.mark.parametrize("table", ["images", "items"])
@pytest.mark.parametrize("descending", [False, True])
def test_pages_have_every_row_once_forwards_and_backwards(narrow: NarrowTables, table: str, descending: bool) -> None:
    chosen = narrow.choose(Subset())
    for sort in IMAGE_SORTS if table == "images" else ITEM_SORTS:
        whole = chosen.page(table, sort, descending=descending, size=10_000)
        assert (whole.first, whole.last) == (None, None)
        values = [row[sort] for row in whole.rows.to_pylist()]
        some = [value for value in values if value is not None]
        assert values[len(some) :] == [None] * (len(values) - len(some))  # NULL last
        if sort != "image_id":
            assert some == sorted(some, reverse=descending)
        pages = [chosen.page(table, sort, descending=descending, size=17)]
        while (last := pages[-1].last) is not None:
            pages.append(chosen.page(table, sort, descending=descending, after=last, size=17))
        assert [row for page in pages for row in page.rows.to_pylist()] == whole.rows.to_pylist()
        back = [pages[-1]]
        while (first := back[0].first) is not None:
            back.insert(0, chosen.page(table, sort, descending=descending, before=first, size=17))
        assert [row for page in back for row in page.rows.to_pylist()] == whole.rows.to_pylist()


@pytest.mark.parametrize(
    "place",
    [[], [1], [1, 2, 3], ["train", 1], [1, 2.5], [1, None], [1, True], [1, 1 << 40], [-1, 1], [1, "1"]],
    ids=str,
)
def test_a_place_of_another_order_is_refused(narrow: NarrowTables, place: list[Any]) -> None:
    with pytest.raises(UsageError, match="Expected a place in the order by split_no, image_id, found"):
        narrow.choose(Subset()).page("images", after=place)
    with pytest.raises(UsageError, match="Expected a place in the order by source, split_no, image_id, found"):
        narrow.choose(Subset()).page("images", "source", after=[3, 1, 1])


def test_an_unknown_column_or_split_is_refused(narrow: NarrowTables, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="column to sort by 'box_area'"):
        narrow.choose(Subset()).page("images", "box_area")
    ingest(
        "train", str(write_split(tmp_path / "train", random_split(random.Random(1), 3))), str(tmp_path / "r"), jobs=1
    )
    with pytest.raises(UnknownNameError, match="split test is not in the registry"):
        NarrowTables(registry.open(str(tmp_path / "r")).snapshot()).choose(Subset.of(split="test"))


def test_subsets_that_nobody_uses_give_their_memory_back(opened: Registry) -> None:
    tables = NarrowTables(opened.snapshot())
    held = tables.choose(Subset.of(limit=1))
    for number in range(2, 40):
        tables.choose(Subset.of(limit=number))
    gc.collect()
    schemas = tables._connection.cursor().execute(
        "SELECT count(*) FROM duckdb_schemas() WHERE schema_name LIKE 'chosen%'"
    )
    assert schemas.fetchone() == (17,)  # those asked for last, and the one that is held
    assert held.num_rows()["items"] == 1
