"""Statistics: counts by attributes, and statistics by name, of a registry and of a subset."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

import registry
from registry.dataset.statistics import CROSSED_ATTRIBUTES, MASK_AREAS, STATISTICS
from registry.dataset.views import load_views
from registry.errors import UnknownNameError, UsageError
from registry.store.mask_areas import mask_area
from registry.store.registry import Registry
from tests.registries import make_three_splits


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return a registry of three small splits."""
    path: Path = make_three_splits(tmp_path_factory.mktemp("small"))
    return registry.open(str(path))


def test_counts_by_an_attribute_have_the_share_of_all_and_of_the_group(small: Registry) -> None:
    relation = small.stats(by=["split", "category"])
    assert relation.columns == ["split", "category", "num_images", "num_items", "share_of_all", "share_of_group"]
    rows = relation.fetchall()
    assert rows[0] == ("train", "short sleeve top", 2, 2, 2 / 10, 2 / 8)
    assert rows[-1] == ("validation", "shorts", 2, 2, 2 / 10, 1.0)
    assert [row[0] for row in rows] == ["train"] * 6 + ["validation"]


def test_codes_are_shown_by_their_meaning_and_sorted_by_their_code(small: Registry) -> None:
    assert small.stats(by="scale").fetchall() == [("moderate", 7, 10, 1.0, 1.0)]
    assert small.stats(by=("source", "viewpoint")).fetchall() == [
        ("shop", "frontal", 3, 4, 0.4, 1.0),
        ("user", "frontal", 4, 6, 0.6, 1.0),
    ]


def test_attributes_of_images_count_photos_without_items(small: Registry) -> None:
    rows = small.stats(by="split").fetchall()
    assert [row[:3] for row in rows] == [("train", 5, 8), ("validation", 2, 2), ("test", 2, 0)]
    by_orientation = small.stats(by=("split", "orientation")).fetchall()
    assert [row[:4] for row in by_orientation][-1] == ("test", None, 2, 0)


@pytest.mark.parametrize("name", CROSSED_ATTRIBUTES)
def test_every_attribute_counts_all_items(small: Registry, name: str) -> None:
    rows = small.stats(by=name).fetchall()
    assert sum(row[2] for row in rows) == 10
    assert sum(row[3] for row in rows) == pytest.approx(1)


def test_all_attributes_can_be_crossed_at_once(small: Registry) -> None:
    rows = small.stats(by=CROSSED_ATTRIBUTES).fetchall()
    assert sum(row[len(CROSSED_ATTRIBUTES) + 1] for row in rows) == 10


def test_a_subset_has_statistics_of_its_own(small: Registry) -> None:
    subset = small.select(split="train", category="trousers")
    assert subset.stats(by="category").fetchall() == [("trousers", 2, 2, 1.0, 1.0)]
    assert subset.stats()["train"]["categories"] == {"trousers": 2}
    assert subset.stats(of="items_per_image").fetchall() == [
        ("train", "shop", 1, 1, 1.0),
        ("train", "user", 1, 1, 1.0),
    ]
    assert [row[:4] for row in subset.stats(of=MASK_AREAS).fetchall()] == [("train", 8, "trousers", 2)]


@pytest.mark.parametrize("name", STATISTICS)
def test_every_statistic_can_be_read(small: Registry, name: str) -> None:
    assert small.stats(of=name).fetchall()


def test_statistics_are_views_but_for_the_areas_of_masks() -> None:
    assert set(STATISTICS) - set(load_views()) == {MASK_AREAS}


def test_statistics_without_a_mask_are_empty(small: Registry) -> None:
    relation = small.select(split="test").stats(of=MASK_AREAS)
    assert relation.fetchall() == []
    assert relation.columns == small.stats(of=MASK_AREAS).columns


def test_a_mask_is_the_union_of_its_polygons(small: Registry) -> None:
    square, half, apart = [0, 0, 10, 0, 10, 10, 0, 10], [0, 0, 5, 0, 5, 10, 0, 10, 0, 0], [20, 0, 30, 0, 30, 10, 20, 10]
    bow = [0, 0, 10, 10, 10, 0, 0, 10]
    masks = [[square], [square, half], [square, apart, half], [], None, [bow], [half]]
    column = pa.array([None, *masks], pa.list_(pa.list_(pa.float64()))).slice(1)
    assert mask_area(column).to_pylist() == [100, 100, 200, 0, None, 50, 50]
    assert mask_area(column.slice(3, 2)).to_pylist() == [0, None]
    areas = small.stats(of=MASK_AREAS)
    row = dict(zip(areas.columns, areas.fetchall()[0], strict=True))
    assert row["median_area"] == row["max_area"] == pytest.approx(100 * 200 / 2, abs=50)
    assert row["median_share_of_box"] == pytest.approx(0.5, abs=0.01)


def test_an_unknown_name_is_answered_with_those_there_are(small: Registry) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown attribute 'colour'\..* There is: split, category, source"):
        small.stats(by="colour")
    with pytest.raises(UnknownNameError, match=r"Unknown statistic 'box_area'\. Did you mean 'box_areas'"):
        small.stats(of="box_area")
    with pytest.raises(UsageError, match="Expected every attribute once, found scale, scale"):
        small.stats(by=("scale", "scale"))
    with pytest.raises(UsageError, match="not both"):
        small.stats(by="scale", of="box_areas")
