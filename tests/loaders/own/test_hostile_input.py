"""Wrong arguments, photos that do not fit the registry, and states of others: each is an error in words."""

from __future__ import annotations

import io
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from registry.errors import SourceError, StorageError, UsageError
from registry.loaders import IdentitySampler, Skipped, iterate
from registry.loaders.photo_pixels import box_notices, cropped
from registry.loaders.skipped import SkippedLog
from registry.sources.photo_decoding import PhotoError, PhotoSizeError, decode_rgb
from tests.helpers import jpeg
from tests.loaders.own.conftest import Release, placed_photo


@pytest.fixture
def larger(release: Release, tmp_path: Path) -> Release:
    """Return the registry, and photos that are larger than those it was ingested from."""
    shutil.copytree(release.photos, tmp_path / "photos")
    for path in (tmp_path / "photos").rglob("*.jpg"):
        path.write_bytes(placed_photo(200, 150))
    return Release(release.registry, str(tmp_path / "photos"))


@pytest.mark.parametrize("name", ["Items", "Detection", "Landmarks", "Pairs", "Triplets"])
def test_photos_of_another_size_are_refused_by_every_dataset(name: str, larger: Release) -> None:
    pytest.importorskip("torch", reason="needs torch: make test-torch")
    import registry.loaders

    options: dict[str, Any] = {"category": 9} if name == "Landmarks" else {}
    dataset = getattr(registry.loaders, name)(larger.registry, {"split": "train"}, photos=larger.photos, **options)
    with pytest.raises(SourceError, match=r"train/image/00000\d\.jpg has 200 x 150 px, and 120 x 90 px in the reg"):
        dataset[0]


def frame(width: int, height: int) -> bytes:
    """Return a JPEG whose header claims another size."""
    data = bytearray(jpeg(40, 30))
    at = data.index(b"\xff\xc0")
    data[at + 5 : at + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def test_a_photo_that_claims_a_huge_size_is_not_decoded() -> None:
    with pytest.raises(PhotoError, match=r"65,500 x 65,500 px|pixels"):
        decode_rgb(frame(65500, 65500))
    with pytest.raises(PhotoError, match="12,000 x 12,000 px: expected at most 80,000,000 px in all"):
        decode_rgb(frame(12_000, 12_000))
    with pytest.raises(PhotoSizeError, match="8,000 x 8,000 px: expected 40 x 30"):
        decode_rgb(frame(8000, 8000), (40, 30))


@pytest.mark.parametrize("format", ["EPS", "GIF", "BMP", "PPM", "TGA", "DDS"])
def test_only_formats_of_photos_are_decoded(format: str) -> None:
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, format)
    with pytest.raises(PhotoError, match="no JPEG, PNG or WebP"):
        decode_rgb(out.getvalue())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_items": 10**9}, "num_items is 1,000,000,000; expected at most 1,000"),
        ({"num_items": 2.0}, "num_items is 2.0; expected a whole number"),
        ({"num_identities": "2"}, "num_identities is '2'; expected a whole number"),
        ({"seed": 1.5, "world_size": True}, "seed is 1.5; expected a whole number; world_size is True; expected"),
        ({"hard": float("nan")}, "hard is nan; expected a share"),
        ({"items": None}, "expected a dataset of items or a table of Arrow, found None"),
    ],
)
def test_a_sampler_names_wrong_arguments(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        IdentitySampler(**{"items": items(), "num_identities": 2, "num_items": 2} | change)


def items(first_style: int = 1) -> pa.Table:
    """Return four items of two identities."""
    return pa.table(
        {
            "split": ["train"] * 4,
            "pair_id": [1, 1, 2, 2],
            "style": [first_style] * 2 + [1] * 2,
            "source": ["user", "shop"] * 2,
        }
    )


def test_a_sampler_refuses_the_state_of_as_many_other_items() -> None:
    state = IdentitySampler(items(), 2, 2).state_dict()
    with pytest.raises(UsageError, match="The state is of another sampler: items_checksum is"):
        IdentitySampler(items(first_style=2), 2, 2).load_state_dict(state)


@pytest.mark.parametrize("state", [None, {}, {"settings": 1}, [1]])
def test_a_sampler_refuses_what_is_no_state(state: Any) -> None:
    with pytest.raises(UsageError, match=r"The state is none of state_dict\(\)"):
        IdentitySampler(items(), 2, 2).load_state_dict(state)


def test_a_sampler_refuses_a_damaged_state() -> None:
    sampler = IdentitySampler(items(), 2, 2)
    with pytest.raises(UsageError, match=r"damaged: epoch is 'x'; batches is -1; expected whole numbers"):
        sampler.load_state_dict(sampler.state_dict() | {"epoch": "x", "batches": -1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shuffle": -1}, "shuffle: expected a whole number"),
        ({"shuffle": 1.5}, "shuffle: expected a whole number"),
        ({"batches": [[0, 99]]}, "positions from 0 to 8"),
        ({"batches": [["a"]]}, "positions from 0 to 8"),
        ({"subset": "skirt"}, "subset: expected a Subset or its options by name"),
        ({"margin": True}, "margin: expected a fraction"),
    ],
)
def test_wrong_arguments_of_iterate_are_named(options: dict[str, Any], message: str, release: Release) -> None:
    with pytest.raises(UsageError, match=message):
        list(iterate(release.registry, **{"subset": {"split": "train"}} | options))


def test_writing_to_a_photo_does_not_change_the_next_of_iterate(release: Release) -> None:
    batches = iterate(release.registry, {"split": "train"}, photos=release.photos, batch_size=1, pictures="photos")
    first = next(batches)["images"][0]
    expected = first.copy()
    first[:] = 7
    assert np.array_equal(next(batches)["images"][0], expected)  # the second item of the same photo


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("name", ["x1", "y2"])
def test_a_box_that_is_not_finite_is_an_error_with_its_item(name: str, number: float) -> None:
    row = {"split": "train", "image_id": 12, "item_no": 1, "x1": 1.0, "y1": 2.0, "x2": 5.0, "y2": 6.0} | {name: number}
    with pytest.raises(SourceError, match=r"train/000012_1 has the box .* in the registry: expected finite numbers"):
        cropped(np.zeros((9, 9, 3), np.uint8), row, 0.1)


def test_boxes_without_area_in_their_photo_are_noted() -> None:
    boxes = {"x1": [1.0, 5, 50, 1, float("nan")], "y1": [1.0] * 5, "x2": [5.0, 5, 60, 5, 5], "y2": [5.0] * 5}
    rows = pa.table(boxes | {"width": [40, 40, 40, None, None], "height": [30, 30, 30, None, None]})
    text = "3 elements have a box without area in the photo: such a crop is a pixel wide or high."
    assert box_notices(rows, [""]) == [text]
    assert box_notices(rows.slice(0, 1), [""]) == []


def test_datasets_of_crops_note_boxes_without_area(release: Release) -> None:
    pytest.importorskip("torch", reason="needs torch: make test-torch")
    from registry.loaders import Items, Landmarks

    items_of_train = Items(release.registry, {"split": "train"}, photos=release.photos)
    assert any("1 element has a box without area in the photo" in notice for notice in items_of_train.notices)
    assert not Landmarks(release.registry, {"split": "train"}, photos=release.photos, category=9).notices


def test_landmarks_of_another_number_are_an_error_with_their_item() -> None:
    pytest.importorskip("torch", reason="needs torch: make test-torch")
    from registry.loaders.landmarks import check_landmarks

    check_landmarks([0.0] * 24, 8, "train/000001_1")
    with pytest.raises(SourceError, match="train/000001_1 has 23 numbers as landmarks in the registry: expected 24"):
        check_landmarks([0.0] * 23, 8, "train/000001_1")


def test_a_removed_file_of_skipped_elements_is_named() -> None:
    log = SkippedLog()
    log.add(Skipped("train/000001_1", "damaged"))
    assert log.read() == {"train/000001_1": "damaged"}
    log._path.unlink()
    for call in (lambda: log.add(Skipped("train/000002_1", "damaged")), log.read):
        with pytest.raises(StorageError, match=r"skipped-.*\.jsonl, cannot be used: No such file or directory"):
            call()


def as_list(elements: list[Any]) -> list[Any]:
    return elements


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_sampler_resumes_in_the_middle_of_an_epoch_of_a_loader(num_workers: int) -> None:
    pytest.importorskip("torch", reason="needs torch: make test-torch")
    from torch.utils.data import DataLoader

    number = 200
    rows = pa.table(
        {
            "split": ["train"] * number,
            "pair_id": [1 + k // 8 for k in range(number)],
            "style": [1 + k // 4 % 2 for k in range(number)],
            "source": ["user", "shop"] * (number // 2),
        }
    )

    def loaded() -> tuple[IdentitySampler, Any]:
        sampler = IdentitySampler(rows, 4, 4, seed=3)
        options: dict[str, Any] = {"num_workers": num_workers, "collate_fn": as_list}
        return sampler, DataLoader(range(number), batch_sampler=sampler, **options)  # type: ignore[arg-type]

    sampler, loader = loaded()
    sampler.set_epoch(2)
    expected = list(loader)
    for taken in (0, 1, len(expected) // 2, len(expected)):
        sampler, loader = loaded()
        sampler.set_epoch(2)
        batches = iter(loader)
        begun = [next(batches) for _ in range(taken)]
        state = json.loads(json.dumps(sampler.state_dict(batches=taken)))
        sampler, loader = loaded()
        sampler.load_state_dict(state)
        assert begun + list(loader) == expected


@pytest.mark.parametrize("num_workers", [0, 2])
def test_skipped_elements_are_counted_once_over_epochs_and_workers(num_workers: int, broken: Release) -> None:
    pytest.importorskip("torch", reason="needs torch: make test-torch")
    from torch.utils.data import DataLoader

    from registry.loaders import Items, collate

    dataset = Items(broken.registry, {"split": "train"}, photos=broken.photos, on_error="skip")
    options: dict[str, Any] = {"num_workers": num_workers, "persistent_workers": num_workers > 0}
    loader = DataLoader(dataset, batch_size=4, collate_fn=collate, **options)
    for _ in range(2):
        keys = [target["key"] for _, targets in loader for target in targets]
        assert sorted([*keys, *dataset.skipped]) == sorted(dataset.key(index) for index in range(len(dataset)))
        assert dataset.num_skipped == 2
