"""Subsets by a list of items or of images."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

from registry.errors import UsageError
from registry.store.registry import Registry
from registry.subset.options import Subset
from registry.subset.resplit import Resplit
from tests.store.test_own_tables import keys

ITEMS = pa.table({"split": ["train", "train", "validation"], "image_id": [1, 4, 1], "item_no": [2, 1, 1]})
IMAGES = pa.table({"split": ["train", "test"], "image_id": [4, 2]})


def image_keys(df2: Registry, **options: Any) -> list[tuple[Any, ...]]:
    return sorted(df2.select(**options).sql("SELECT split, image_id FROM images").fetchall())


def test_a_list_of_items_chooses_them(df2: Registry) -> None:
    selection = df2.select(items=ITEMS)
    assert keys(selection) == [("train", 1, 2), ("train", 4, 1), ("validation", 1, 1)]
    assert (image_keys(df2, items=ITEMS), selection.notices) == ([("train", 1), ("train", 4), ("validation", 1)], [])


def test_a_list_of_images_chooses_those_without_items_too(df2: Registry) -> None:
    assert image_keys(df2, items=IMAGES) == [("test", 2), ("train", 4)]
    assert keys(df2.select(items=IMAGES)) == [("train", 4, 1), ("train", 4, 2)]
    assert image_keys(df2, items=IMAGES, whole_images=True) == [("test", 2), ("train", 4)]


def test_other_options_hold_too(df2: Registry) -> None:
    assert keys(df2.select(items=ITEMS, split="train", category="sling")) == []
    assert keys(df2.select(items=ITEMS, where="image_id = 4")) == [("train", 4, 1)]
    assert keys(df2.select(items=ITEMS, split="train", whole_images=True)) == [
        ("train", 1, 1), ("train", 1, 2), ("train", 4, 1), ("train", 4, 2)
    ]  # fmt: skip


def test_a_division_counts_the_photos_of_the_list_that_it_leaves_out(df2: Registry) -> None:
    selection = df2.select(items=IMAGES, resplit=Resplit.parse("a=1"))
    assert selection.notices == [
        "1 photo of test has no annotation and is in no part: --split train --split validation --split test puts such "
        "photos into parts too"
    ]


def test_keys_that_fit_no_row_or_stand_twice_are_counted(df2: Registry) -> None:
    odd = pa.concat_tables([ITEMS, ITEMS.slice(0, 1), pa.table({"split": ["train"], "image_id": [99], "item_no": [1]})])
    assert df2.select(items=odd).notices == [
        "1 key of the list fits no row of items",
        "1 key of the list stands in it again and counts once",
    ]


def test_a_list_that_is_known_by_its_digest_alone_is_refused(df2: Registry) -> None:
    known = Subset.of_document(Subset.of(items=ITEMS).to_dict())
    with pytest.raises(UsageError, match=r"items: only the digest of the list is known, sha256:[0-9a-f]{64}: give"):
        df2.select(known)


def test_both_sides_of_a_difference_take_the_list(df2: Registry) -> None:
    assert df2.diff(df2, items=ITEMS).summary.is_same
