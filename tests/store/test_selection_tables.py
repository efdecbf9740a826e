"""The rows of a subset as Arrow tables, as datasets read them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa

import registry
from registry.ingest.build import ingest
from registry.store.registry import Registry
from registry.subset.resplit import Resplit
from tests.helpers import annotation, item, jpeg, write_split


def make(folder: Path) -> Registry:
    """Return a registry of two splits; an image has no item of category 9."""
    images = {1: annotation([item(9), item(1)], "user", 1), 2: annotation([item(9)], "shop", 1), 3: annotation()}
    for split in ("validation", "train"):
        photos = {f"{number:06d}.jpg": jpeg(60, 50) for number in images}
        ingest(split, str(write_split(folder / split, images, photos)), str(folder / "registry"), jobs=1)
    return registry.open(str(folder / "registry"))


def test_items_have_the_size_of_their_photo_in_the_order_of_the_registry(tmp_path: Path) -> None:
    selection = make(tmp_path).select(category="skirt")
    rows = selection.item_table(["split", "image_id", "width", "height", "x1"])
    assert rows.to_pylist() == [
        {"split": split, "image_id": number, "width": 60, "height": 50, "x1": 10}
        for split in ("train", "validation")
        for number in (1, 2)
    ]


def test_columns_of_the_user_stand_beside_those_of_items(tmp_path: Path) -> None:
    scores = pa.table({"split": ["train"], "image_id": [2], "item_no": [1], "loss": [0.5]})
    selection = make(tmp_path).select(split="train", category="skirt", tables={"scores": scores})
    assert selection.item_table(["image_id", "scores.loss", "width"]).to_pylist() == [
        {"image_id": 1, "scores.loss": None, "width": 60},
        {"image_id": 2, "scores.loss": 0.5, "width": 60},
    ]


def test_images_have_the_number_of_their_chosen_items(tmp_path: Path) -> None:
    opened = make(tmp_path)
    rows = opened.select(split="train", category="skirt", whole_images=True).image_table()
    assert rows.select(["image_id", "width", "num_items"]).to_pylist() == [
        {"image_id": 1, "width": 60, "num_items": 2},
        {"image_id": 2, "width": 60, "num_items": 1},
    ]
    divided = opened.select(resplit=Resplit.parse("a=0.5,b=0.5"))
    parts = [divided.image_table(name).num_rows for name in ("a", "b")]
    assert sum(parts) == divided.image_table().num_rows == 6
    assert [divided.item_table(["x1"], name).num_rows for name in ("a", "b")] == [
        sum(divided.image_table(name)["num_items"].to_pylist()) for name in ("a", "b")
    ]
