"""Checks that are counted in slices have the counts of all rows at once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import registry
from registry.checks.accepted import Accepted
from registry.checks.run import count_check
from registry.checks.slices import slices_of
from registry.dataset.checks import load_checks, parse_check
from registry.errors import UsageError
from registry.ingest.build import ingest
from registry.store.registry import Registry
from tests.checks.conftest import WIDE_BOX
from tests.helpers import annotation, item, jpeg, write_split

SLICED = {name: check for name, check in load_checks().items() if check.slices}
BOXES = st.sampled_from([[10, 20, 110, 220], [10, 20, 110, 221], [0, 0, 5, 5], [5, 5, 5, 5]])
ITEMS = st.builds(
    lambda category_id, style, box: item(category_id, style, bounding_box=box),
    st.sampled_from([7, 9]),
    st.integers(0, 2),
    BOXES,
)
IMAGES = st.tuples(
    st.lists(ITEMS, min_size=1, max_size=3),
    st.sampled_from(["user", "shop"]),
    st.integers(1, 4),
    st.sampled_from([(10, 20), (300, 400)]),  # landmarks and polygons leave the small photo
)
RELEASES = st.dictionaries(st.integers(1, 60), IMAGES, min_size=1, max_size=8)


def make(folder: Path, release: dict[int, Any]) -> Registry:
    """Return an open registry of train with photos."""
    annotations: dict[int | str, Any] = {n: annotation(*parts[:3]) for n, parts in release.items()}
    photos: dict[int | str, bytes] = {n: jpeg(*parts[3]) for n, parts in release.items()}
    ingest("train", str(write_split(folder / "train", annotations, photos)), str(folder / "registry"), jobs=1)
    return registry.open(str(folder / "registry"))


@settings(max_examples=15, deadline=None)
@given(RELEASES, st.integers(1, 4), st.data())
def test_slices_have_the_counts_of_all_rows_at_once(release: dict[int, Any], size: int, data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        opened = make(Path(folder), release)
        for check in SLICED.values():
            rows = [row[: len(check.key)] for row in opened.sql(check.sql).fetchall()]
            accepted = data.draw(st.sets(st.sampled_from(rows))) if rows else set()
            lines = [Accepted("a", tuple(map(str, row))) for row in sorted(accepted)]
            result, _ = count_check(opened, check, lines, None, slice_items=size)
            assert (result.count, result.accepted) == (len(rows) - len(lines), len(lines)), check.name


def test_the_slices_of_a_large_registry_are_ranges_and_those_of_a_small_one_are_all_rows(tmp_path: Path) -> None:
    opened = make(tmp_path, {n: ([item(7, 1)], "user", n, (10, 20)) for n in (1, 2, 3, 50, 60, 70)})
    check = SLICED["duplicate-items"]
    assert slices_of(opened, check) == ["true"]
    slices = slices_of(opened, check, 2)
    query = "SELECT list(image_id ORDER BY ALL) FROM images AS found WHERE "
    parts = [opened.sql(query + condition).fetchall()[0][0] for condition in slices]
    assert len(slices) == 3 and [n for part in parts for n in part or []] == [1, 2, 3, 50, 60, 70]
    assert slices_of(opened, load_checks()["degenerate-box"], 2) == ["true"]


def test_landmarks_outside_of_their_photo_are_those_of_the_view_landmarks(tmp_path: Path) -> None:
    opened = make(tmp_path, {1: ([item(7, 1), item(9, 2)], "user", 1, (10, 20)), 2: ([item(9)], "shop", 1, (300, 400))})
    expected = opened.sql(
        "SELECT split, image_id, item_no, landmark_no, greatest(-x, -y, x - width, y - height) AS distance, x, y, v, "
        "width, height FROM landmarks JOIN images USING (split, image_id) WHERE v > 0 AND distance > 1 ORDER BY ALL"
    ).fetchall()
    check = SLICED["landmark-outside-image"]
    assert len(expected) > 2 and opened.sql(f"FROM ({check.sql}) ORDER BY ALL").fetchall() == expected


def test_a_check_is_divided_by_a_column_of_its_key_alone() -> None:
    text = WIDE_BOX.replace("-- severity", "-- slices: item_no\n-- severity")
    with pytest.raises(UsageError, match="slices: expected a column of the key, image_id or pair_id; found item_no"):
        parse_check("wide-box", text)
    assert parse_check("wide-box", text.replace("slices: item_no", "slices: image_id")).slices == "image_id"
