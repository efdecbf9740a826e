"""Batches of NumPy and Arrow without torch."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import registry
from registry.errors import NotFoundError, SourceError, UsageError
from registry.loaders import iterate
from tests.loaders.own.conftest import Release


def test_numbers_are_numpy_and_all_else_is_arrow(release: Release) -> None:
    batches = list(
        iterate(release.registry, {"split": "train"}, ["item_no", "source", "x1", "landmarks"], batch_size=4)
    )
    assert [len(batch["x1"]) for batch in batches] == [4, 4, 1]
    first = batches[0]
    assert list(first) == ["item_no", "source", "x1", "landmarks"]
    assert (first["x1"].dtype, first["x1"].tolist()) == (np.float64, [10, 60, 5, 20])
    assert isinstance(first["source"], pa.Array)
    assert first["source"].to_pylist() == ["user", "user", "shop", "shop"]
    assert len(first["landmarks"][0]) == 24


def test_images_are_crops_or_photos(release: Release) -> None:
    crops = next(iterate(release.registry, {"split": "train"}, ["x1"], release.photos))
    assert list(crops) == ["x1", "images"]
    assert crops["images"][0].shape == (40, 40, 3)
    assert crops["images"][0][0, 0].tolist() == [10, 20, 0]
    photos = next(iterate(release.registry, {"split": "train"}, photos=release.photos, pictures="photos"))
    assert photos["images"][0].shape == (90, 120, 3)


def test_a_seed_shuffles_the_same_way_every_time(release: Release) -> None:
    def keys(shuffle: int | None) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        for batch in iterate(release.registry, columns=["split", "image_id", "item_no"], batch_size=3, shuffle=shuffle):
            rows += zip(batch["split"].to_pylist(), batch["image_id"].tolist(), batch["item_no"].tolist(), strict=True)
        return rows

    assert keys(1) == keys(1) != keys(None)
    assert sorted(keys(1)) == sorted(keys(None))


def test_a_sampler_makes_the_batches(release: Release) -> None:
    names = ["split", "pair_id", "style", "source"]
    rows = registry.open(release.registry).select(split="train").item_table(names)
    batches = [[3, 0, 3], [1]]
    taken = iterate(release.registry, {"split": "train"}, ["pair_id", "style"], batches=batches)
    expected = [rows.take(batch).select(["pair_id", "style"]).to_pydict() for batch in batches]
    assert [{name: values.tolist() for name, values in batch.items()} for batch in taken] == expected


def test_a_broken_photo_raises_or_is_skipped_with_its_row(broken: Release) -> None:
    subset = {"split": "train"}
    with pytest.raises(SourceError, match=r"Cannot decode train/image/000003\.jpg"):
        list(iterate(broken.registry, subset, photos=broken.photos))
    (batch,) = iterate(broken.registry, subset, ["image_id"], photos=broken.photos, on_error="skip")
    assert batch["image_id"].tolist() == [1, 1, 2, 4, 5, 6, 6]
    assert len(batch["images"]) == 7
    assert list(batch["skipped"]) == ["train/image/000003.jpg"]


def test_bad_arguments_are_refused_before_the_first_batch(release: Release) -> None:
    for arguments, error, message in (
        ({"batch_size": 0}, UsageError, "batch_size: expected a number of at least 1, found 0"),
        ({"pictures": "faces"}, UsageError, "pictures: expected 'crops' or 'photos'"),
        ({"subset": {"category": "trousers"}}, NotFoundError, "has no image"),
        ({"columns": ["colour"]}, UsageError, "Unknown column 'colour'"),
        ({"margin": -1}, UsageError, "margin: expected a fraction"),
        ({"on_error": "no"}, UsageError, "on_error: expected"),
    ):
        options: dict[str, Any] = arguments
        with pytest.raises(error, match=message):
            iterate(release.registry, **options)


def test_the_room_is_imported_without_torch(release: Release) -> None:
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "import registry.loaders\n"
        "assert len(list(registry.loaders.iterate(sys.argv[1], batch_size=4))) == 3\n"
        "try:\n"
        "    registry.loaders.Items\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)\n"
    )
    answer = subprocess.run([sys.executable, "-c", code, release.registry], capture_output=True, text=True, check=True)
    assert answer.stdout == (
        "MissingDependencyError registry.loaders.Items needs torch: pip install 'deepfashion2-registry[torch]'\n"
    )
