"""Subsets without the rows of checks (``exclude_check``)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import registry
from registry.errors import UnknownNameError, UsageError
from registry.store.registry import Registry
from registry.subset.options import Subset
from registry.subset.resplit import Resplit
from tests.registries import make_odd
from tests.store.test_own_tables import keys

ALL = [("train", 1, 1), ("train", 1, 2), ("train", 1, 3), ("train", 2, 1), ("train", 3, 1)]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """Return the open registry of ``ODD_SPLIT``."""
    return registry.open(str(make_odd(tmp_path_factory.mktemp("odd"))))


def images(df2: Registry, **options: Any) -> list[int]:
    rows = df2.select(**options).sql("SELECT image_id FROM images ORDER BY ALL").fetchall()
    return [image_id for (image_id,) in rows]


def test_items_are_left_out_and_their_images_stay(odd: Registry) -> None:
    selection = odd.select(exclude_check="degenerate-box")
    assert keys(selection) == [key for key in ALL if key != ("train", 1, 3)]
    assert selection.notices == ["1 item of train is left out by the check degenerate-box"]
    assert images(odd, exclude_check="degenerate-box") == [1, 2, 3]


def test_photos_without_annotation_that_a_check_of_items_leaves_out_are_told(df2: Registry) -> None:
    of_items = df2.select(exclude_check="degenerate-box")
    assert of_items.notices == [
        "1 item of train is left out by the check degenerate-box",
        "2 photos of test have no annotation and are left out too: of a check of items, the images with one of the "
        "other items stay",
    ]
    assert [part.name for part in of_items.parts] == ["train", "validation"]
    assert len(df2.select(exclude_check="degenerate-box", category="skirt").notices) == 1
    assert df2.select(exclude_check="missing-annotation").notices == []


def test_of_two_items_the_first_is_left_out(odd: Registry) -> None:
    assert keys(odd.select(exclude_check="duplicate-items")) == [key for key in ALL if key != ("train", 1, 1)]


def test_identities_and_photos_and_pair_ids_are_left_out(odd: Registry) -> None:
    assert keys(odd.select(exclude_check="orphan-identity")) == [("train", 1, 1), ("train", 1, 3), ("train", 2, 1)]
    for name in ("missing-picture", "one-sided-pair-id"):
        assert keys(odd.select(exclude_check=name)) == ALL[:4]
        assert images(odd, exclude_check=name) == [1, 2]


def test_several_checks_and_other_options_hold_together(odd: Registry) -> None:
    excluded = ["degenerate-box", "duplicate-items", "missing-picture"]
    assert keys(odd.select(exclude_check=excluded)) == [("train", 1, 2), ("train", 2, 1)]
    assert keys(odd.select(exclude_check=excluded, category="skirt", where="style = 1")) == [("train", 2, 1)]
    assert keys(odd.select(exclude_check="duplicate-items", paired=True)) == []
    assert keys(odd.select(exclude_check="degenerate-box", items=_listed((1, 3), (2, 1)))) == [("train", 2, 1)]


def _listed(*items: tuple[int, int]) -> Any:
    import pyarrow as pa

    return pa.table(
        {"split": ["train"] * len(items), "image_id": [i for i, _ in items], "item_no": [n for _, n in items]}
    )


def test_whole_images_do_not_bring_the_items_back(odd: Registry) -> None:
    selection = odd.select(exclude_check="degenerate-box", whole_images=True)
    assert keys(selection) == [key for key in ALL if key != ("train", 1, 3)]
    assert keys(odd.select(exclude_check="degenerate-box", whole_images=True, category="shorts")) == []


def test_whether_an_item_is_odd_does_not_depend_on_the_subset(odd: Registry) -> None:
    assert keys(odd.select(exclude_check="orphan-identity", source="user")) == [("train", 1, 1), ("train", 1, 3)]


def test_photos_without_annotation_stay_unless_a_check_leaves_out_items(df2: Registry) -> None:
    assert len(images(df2, exclude_check="missing-picture", split="test")) == 2
    assert images(df2, exclude_check="degenerate-box", split="test") == []


def test_a_division_has_the_same_items(odd: Registry) -> None:
    divided = odd.select(resplit=Resplit.parse("a=0.5,b=0.5"), exclude_check=["degenerate-box", "orphan-identity"])
    assert keys(divided) == [("train", 1, 1), ("train", 2, 1)]


def test_the_canonical_text_repeats_the_checks() -> None:
    subset = Subset.of(**{"exclude-check": ["duplicate-items", "degenerate-box", "duplicate-items"]})
    assert subset.to_dict() == {"exclude_check": ["degenerate-box", "duplicate-items"]}
    assert Subset.of_document(subset.to_dict()) == subset


def test_only_checks_of_the_package_can_be_excluded() -> None:
    with pytest.raises(
        UnknownNameError, match=r"Unknown check 'degenerate'\. Did you mean 'degenerate-box' .*--table odd="
    ):
        Subset.of(exclude_check="degenerate")


def test_a_check_of_photos_that_were_not_read_says_how_to_read_them(odd: Registry) -> None:
    message = "dark-picture: the check cannot be run: the table photos is empty; 'df2 photos describe' fills it."
    with pytest.raises(UsageError, match=message):
        odd.select(exclude_check="dark-picture")


def test_the_rows_of_any_check_can_be_left_out_by_a_table(odd: Registry, tmp_path: Path) -> None:
    rows = registry.check(odd, only="duplicate-items").rows("duplicate-items").to_arrow_table()
    selection = odd.select(tables={"odd": rows}, where="odd.split IS NULL")
    assert keys(selection) == [key for key in ALL if key != ("train", 1, 1)]


def test_an_export_is_made_again_from_its_manifest(odd: Registry, tmp_path: Path) -> None:
    from registry.exports.manifest import read_manifest_file
    from registry.exports.run import export_again

    made = registry.export(odd, "csv", str(tmp_path / "first"), subset={"exclude_check": "degenerate-box"})
    assert made.subset == {"exclude_check": ["degenerate-box"]}
    old = read_manifest_file(str(tmp_path / "first"))
    again, changed = export_again(odd, old, str(tmp_path / "again"))
    assert (again.counts["train"]["items"], changed) == (4, [])
