"""Datasets of torch over a subset: elements, bad input, and worker processes."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="needs torch: make test-torch")
torchvision = pytest.importorskip("torchvision", reason="needs torchvision: make test-torch")

from torchvision.transforms import v2  # noqa: E402

import registry as package  # noqa: E402
from registry.dataset.deepfashion2 import CATEGORY_BY_ID  # noqa: E402
from registry.errors import NotFoundError, PasswordError, SourceError, UnreadableSourceError, UsageError  # noqa: E402
from registry.loaders import (  # noqa: E402
    Detection,
    Items,
    Landmarks,
    Pairs,
    Skipped,
    Triplets,
    collate,
    heatmaps,
    stack,
)
from registry.subset.options import Subset  # noqa: E402
from tests.loaders.own.conftest import HEIGHT, WIDTH, Release  # noqa: E402


def corner(image: Any) -> tuple[int, int]:
    """Return x and y in the photo of the top-left pixel of a crop."""
    return int(image[0, 0, 0]), int(image[1, 0, 0])


def shrink(image: Any) -> Any:
    """Return an image of a fixed size."""
    return v2.functional.resize(image, [8, 8])


def test_an_item_is_the_crop_of_its_box_with_its_labels(release: Release) -> None:
    items = Items(release.registry, {"split": "train"}, photos=release.photos)
    image, target = items[0]
    assert (image.dtype, tuple(image.shape), corner(image)) == (torch.uint8, (3, 40, 40), (10, 20))
    assert image.untyped_storage().nbytes() == image.nbytes
    assert target == {
        "label": 8, "category_id": 9, "scale": 2, "occlusion": 1, "zoom_in": 1, "viewpoint": 2,
        "pair_id": 1, "style": 1, "source": "user", "key": "train/000001_1",
    }  # fmt: skip
    assert (len(items), items.key(-1)) == (9, "train/000006_2")
    assert items.classes[8] == "skirt"
    with pytest.raises(IndexError, match="the dataset has 9"):
        items[9]


def test_a_margin_adds_a_fraction_of_the_box_within_the_photo(release: Release) -> None:
    items = Items(release.registry, {"split": "train"}, photos=release.photos, margin=0.5)
    image, _ = items[0]
    assert (tuple(image.shape), corner(image)) == ((3, 80, 70), (0, 0))


def test_classes_follow_the_option_category_or_are_chosen(release: Release) -> None:
    def labels(subset: dict[str, Any], **options: Any) -> tuple[tuple[str, ...], list[int]]:
        items = Items(release.registry, {"split": "train"} | subset, photos=release.photos, **options)
        return items.classes, [items[k][1]["label"] for k in range(len(items))]

    assert labels({"category": ["skirt", "shorts"]}) == (("shorts", "skirt"), [1, 1, 1, 0, 1, 1, 1])
    assert labels({}, classes="present")[0] == ("short sleeve top", "shorts", "skirt")
    assert labels({}, classes={"lower": ["skirt", "shorts"]}) == (("lower",), [0] * 7)


def test_a_part_of_a_resplit_or_a_split_is_a_dataset(release: Release) -> None:
    parts = [
        Items(release.registry, photos=release.photos, resplit="a=0.5,b=0.5", part=name).rows for name in ("a", "b")
    ]
    assert sum(part.num_rows for part in parts) == 11
    assert len(Items(release.registry, photos=release.photos, part="validation")) == 2
    with pytest.raises(UsageError, match="Unknown part 'c'"):
        Items(release.registry, photos=release.photos, resplit="a=0.5,b=0.5", part="c")


def test_columns_of_the_user_come_with_the_target(release: Release) -> None:
    import pyarrow as pa

    scores = pa.table({"split": ["train"], "image_id": [1], "item_no": [2], "loss": [0.5]})
    items = Items(
        release.registry, {"split": "train"}, photos=release.photos, columns=["scores.loss"], tables={"scores": scores}
    )
    assert [items[k][1]["scores.loss"] for k in range(3)] == [-1, 0.5, -1]


def test_detection_has_the_targets_of_torchvision(release: Release) -> None:
    images = Detection(
        release.registry, Subset.of(split="train"), photos=release.photos, targets=("boxes", "masks", "keypoints")
    )
    image, target = images[0]
    assert type(image).__name__ == "Image"
    assert tuple(image.shape) == (3, HEIGHT, WIDTH)
    assert target["boxes"].tolist() == [[10, 20, 50, 60], [60, 5, 110, 80]]
    assert (target["boxes"].canvas_size, target["boxes"].format.value) == ((HEIGHT, WIDTH), "XYXY")
    assert (target["labels"].tolist(), target["labels"].dtype) == ([9, 1], torch.int64)
    assert (target["area"].tolist(), target["iscrowd"].tolist(), target["image_id"]) == ([1600, 3750], [0, 0], 1)
    assert target["masks"].sum((1, 2)).tolist() == [1600, 3750]
    assert target["masks"][0, 20:60, 10:50].all()
    assert tuple(target["keypoints"].shape) == (2, 294, 3)
    assert target["keypoints"][1, :3].tolist() == [[63, 9, 2], [0, 0, 0], [109, 79, 1]]
    assert not target["keypoints"][1, 25:].any()


@pytest.mark.parametrize("subset", [{"split": "train"}, {"split": "train", "category": "skirt"}, {}])
def test_masks_are_those_of_the_coco_export(release: Release, subset: dict[str, str]) -> None:
    from registry.dataset.masks import mask_area

    polygons = pq.read_table(Path(release.registry) / "items").to_pylist()
    areas = {
        (row["split"], row["image_id"], row["item_no"]): mask_area(row["segmentation"], WIDTH, HEIGHT)
        for row in polygons
    }
    made = Detection(release.registry, subset, photos=release.photos, targets=["masks"])
    images = pickle.loads(pickle.dumps(made))
    for number in range(len(images)):
        first, count = (images.rows[name][number].as_py() for name in ("first_item", "num_items"))
        keys = images.item_rows.slice(first, count).to_pylist()
        found = images[number][1]["masks"].sum((1, 2)).tolist()
        assert found == [areas[row["split"], row["image_id"], row["item_no"]] for row in keys]


def test_items_whose_box_has_no_area_are_left_out_with_a_count(release: Release) -> None:
    images = Detection(release.registry, {"split": "train"}, photos=release.photos)
    assert images.num_boxes_left_out == 1
    assert images.notices == ["1 item left out: the box has no area."]
    assert [len(images[k][1]["labels"]) for k in range(len(images))] == [2, 1, 1, 1, 1, 2]


def test_a_mirrored_image_takes_its_keypoints_along(release: Release) -> None:
    images = Detection(release.registry, {"split": "train"}, photos=release.photos, targets=("masks", "keypoints"))
    image, target = images[0]
    mirrored, other = images.mirrored(image, target)
    assert torch.equal(mirrored, image.flip(-1))
    assert other["boxes"].tolist() == [[70, 20, 110, 60], [10, 5, 60, 80]]
    assert torch.equal(other["masks"], target["masks"].flip(-1))
    skirt = CATEGORY_BY_ID[9].landmark_offset
    assert other["keypoints"][0, skirt : skirt + 3].tolist() == [[71, 59, 1], [0, 0, 0], [107, 24, 2]]
    again = images.mirrored(mirrored, other)
    assert torch.equal(again[1]["keypoints"], target["keypoints"])
    assert target["boxes"].tolist() == [[10, 20, 50, 60], [60, 5, 110, 80]]


def test_photos_without_annotation_are_elements_without_items(tmp_path: Path, release: Release) -> None:
    from registry.ingest.build import ingest
    from tests.loaders.own.conftest import placed_photo

    folder = tmp_path / "photos" / "test" / "image"
    folder.mkdir(parents=True)
    (folder / "000001.jpg").write_bytes(placed_photo())
    ingest("test", str(folder.parent), str(tmp_path / "registry"), jobs=1)
    images = Detection(str(tmp_path / "registry"), photos=str(tmp_path / "photos"), targets=("masks", "keypoints"))
    image, target = images[0]
    assert (len(images), tuple(image.shape)) == (1, (3, HEIGHT, WIDTH))
    assert [tuple(target[name].shape) for name in ("boxes", "labels", "masks", "keypoints")] == [
        (0, 4), (0,), (0, HEIGHT, WIDTH), (0, 294, 3),
    ]  # fmt: skip
    with pytest.raises(NotFoundError, match="has no item"):
        Items(str(tmp_path / "registry"), photos=str(tmp_path / "photos"))


def test_images_of_several_splits_have_numbers_of_their_own(release: Release) -> None:
    images = Detection(release.registry, photos=release.photos)
    numbers = [images[k][1]["image_id"] for k in range(len(images))]
    assert numbers[0] == 1_000_001
    assert len(set(numbers)) == len(numbers) == 8


def test_keypoints_of_a_category_need_a_subset_of_it(release: Release) -> None:
    subset = {"split": "train", "category": "skirt"}
    images = Detection(release.registry, subset, photos=release.photos, targets=["keypoints"], keypoints_of="skirt")
    assert tuple(images[0][1]["keypoints"].shape) == (1, 8, 3)
    with pytest.raises(UsageError, match="the subset also has short sleeve top, shorts"):
        Detection(release.registry, {"split": "train"}, photos=release.photos, keypoints_of="skirt")


def test_mask_and_keypoint_rcnn_of_torchvision_take_a_step(release: Release) -> None:
    from torchvision.models import detection

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"weights": None, "weights_backbone": None, "min_size": 64, "max_size": 96}
    sizes |= {"rpn_post_nms_top_n_train": 8, "box_batch_size_per_image": 8}
    scale = v2.ToDtype(torch.float32, scale=True)
    for build, options, targets in (
        (detection.maskrcnn_resnet50_fpn, {"num_classes": 14}, ["masks"]),
        (detection.keypointrcnn_resnet50_fpn, {"num_classes": 14, "num_keypoints": 294}, ["keypoints"]),
    ):
        images = Detection(
            release.registry,
            {"split": "train"},
            photos=release.photos,
            targets=targets,
            transform=v2.Compose([scale]),
        )
        loader = torch.utils.data.DataLoader(images, batch_size=2, collate_fn=collate)
        model = build(**sizes, **options).train()
        losses = model(*next(iter(loader)))
        total = sum(losses.values())
        total.backward()
        assert torch.isfinite(total)
        assert any(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("negatives", [0, 2])
@pytest.mark.parametrize("seed", [0, 3])
def test_pairs_are_those_of_the_export(release: Release, tmp_path: Path, negatives: int, seed: int) -> None:
    opened = package.open(release.registry)
    options = {"negatives": negatives, "hard_negatives": 1, "negative_seed": seed}
    package.export(opened, "pairs", str(tmp_path / "pairs"), subset={"split": "train"}, **options)
    exported = pq.read_table(tmp_path / "pairs" / "data")
    pairs = Pairs(opened, {"split": "train"}, photos=release.photos, **options)
    sizes = [f"{role}_{name}" for role in ("user", "shop") for name in ("width", "height")]
    rows = pairs.rows.drop_columns(sizes)
    assert rows.to_pylist() == exported.select(rows.column_names).to_pylist()
    (user, shop), target = pairs[0]
    assert (corner(user), corner(shop)) == ((10, 20), (5, 5))
    assert target == {
        "label": 1, "kind": "positive", "pair_no": 1, "user_key": "train/000001_1", "shop_key": "train/000002_1",
    }  # fmt: skip


def test_a_triplet_is_a_positive_pair_with_a_negative_of_it(release: Release) -> None:
    options = {"photos": release.photos, "negatives": 2, "hard_negatives": 1}
    pairs = Pairs(release.registry, {"split": "train"}, **options)
    triplets = Triplets(release.registry, {"split": "train"}, **options)
    rows = pairs.rows.to_pylist()
    positive = {row["pair_no"]: row for row in rows if row["label"]}
    negatives = [row for row in rows if not row["label"]]
    assert len(triplets) == len(negatives) > 0
    for number, negative in enumerate(negatives):
        pair = positive[negative["pair_no"]]
        row = triplets.rows.slice(number, 1).to_pylist()[0]
        assert row["anchor_image_id"] == pair["user_image_id"] == negative["user_image_id"]
        assert row["positive_image_id"] == pair["shop_image_id"]
        assert (row["negative_image_id"], row["negative_item_no"]) == (
            negative["shop_image_id"],
            negative["shop_item_no"],
        )
    images, target = triplets[0]
    assert [corner(image) for image in images][:2] == [(10, 20), (5, 5)]
    assert sorted(target) == ["anchor_key", "kind", "negative_key", "pair_no", "positive_key"]


def test_a_subset_without_pairs_says_why(release: Release) -> None:
    with pytest.raises(NotFoundError, match="no identity has both a user and a shop item"):
        Pairs(release.registry, {"split": "train", "source": "shop"}, photos=release.photos)
    with pytest.raises(UsageError, match="A triplet needs a negative"):
        Triplets(release.registry, photos=release.photos, negatives=0)


def test_landmarks_are_in_pixels_of_the_crop(release: Release) -> None:
    skirts = Landmarks(release.registry, {"split": "train"}, category="skirt", photos=release.photos)
    image, target = skirts[0]
    assert corner(image) == (10, 20)
    assert target["landmarks"][:3].tolist() == [[3, 4, 2], [0, 0, 0], [39, 39, 1]]
    assert skirts.flip_indices == [2, 1, 0, 7, 6, 5, 4, 3]
    assert skirts.landmark_names[0] == "skirt_kpt1"
    assert len(skirts) == 6


def test_landmarks_follow_the_size_of_the_crop(release: Release) -> None:
    skirts = Landmarks(release.registry, {"split": "train"}, category=9, size=(80, 20), photos=release.photos)
    image, target = skirts[0]
    assert tuple(image.shape) == (3, 80, 20)
    assert target["landmarks"][0].tolist() == [1.5, 8, 2]


def test_a_mirrored_crop_swaps_its_landmarks(release: Release) -> None:
    skirts = Landmarks(release.registry, {"split": "train"}, category="skirt", photos=release.photos)
    image, target = skirts[0]
    mirrored, other = skirts.mirrored(image, target)
    assert torch.equal(mirrored, image.flip(-1))
    assert other["landmarks"][2].tolist() == [37, 4, 2]
    assert other["landmarks"][1].tolist() == [0, 0, 0]
    assert torch.equal(skirts.mirrored(mirrored, other)[1]["landmarks"], target["landmarks"])


def test_a_heatmap_has_its_peak_at_the_landmark() -> None:
    landmarks = torch.tensor([[[8.0, 20, 2], [0, 0, 0], [500, 3, 1]]])
    maps, weights = heatmaps(landmarks, (64, 48), stride=4, sigma=1)
    assert tuple(maps.shape) == (1, 3, 16, 12)
    assert divmod(int(maps[0, 0].argmax()), 12) == (5, 2)
    assert float(maps[0, 0].max()) == 1
    assert (weights.tolist(), maps[0, 1:].abs().sum()) == ([[1, 0, 0]], 0)


def test_the_category_of_landmarks_is_that_of_the_subset(release: Release) -> None:
    with pytest.raises(UsageError, match="expected the same category"):
        Landmarks(release.registry, {"category": "shorts"}, category="skirt", photos=release.photos)


def test_landmarks_of_whole_images_are_those_of_the_category_alone(release: Release) -> None:
    subset = Subset.of(split="train", whole_images=True)
    skirts = Landmarks(release.registry, subset, category="skirt", photos=release.photos)
    assert len(skirts) == 6
    assert skirts.rows["category_id"].unique().to_pylist() == [9]


class FailingReader:
    """A reader of photos whose place fails."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def prepare(self, splits: list[str]) -> None:
        """List nothing."""

    def read(self, split: str, image_id: int) -> bytes:
        """Raise the error."""
        raise self.error


def test_a_wrong_password_and_a_place_that_fails_are_never_skipped(release: Release) -> None:
    for error in (PasswordError("The password is wrong."), UnreadableSourceError("No answer.")):
        items = Items(release.registry, photos=FailingReader(error), on_error="skip")
        with pytest.raises(type(error)):
            items[0]
        assert items.num_skipped == 0


def test_a_broken_photo_raises_with_its_place(broken: Release) -> None:
    items = Items(broken.registry, {"split": "train"}, photos=broken.photos)
    with pytest.raises(SourceError, match=r"Cannot decode train/image/000003\.jpg: "):
        items[3]


def test_a_missing_photo_raises_with_its_place(broken: Release) -> None:
    (Path(broken.photos) / "train" / "image" / "000003.jpg").unlink()
    items = Items(broken.registry, {"split": "train"}, photos=broken.photos)
    with pytest.raises(SourceError, match=r"train.*000003"):
        items[3]


@pytest.mark.parametrize("workers", [0, 2])
def test_broken_photos_are_skipped_and_counted_over_all_workers(broken: Release, workers: int) -> None:
    items = Items(broken.registry, {"split": "train"}, photos=broken.photos, on_error="skip", transform=shrink)
    assert isinstance(items[3], Skipped)
    loader = torch.utils.data.DataLoader(items, batch_size=5, collate_fn=stack, num_workers=workers)
    assert [len(target["key"]) for _, target in loader] == [3, 4]
    assert items.num_skipped == 2
    assert list(items.skipped) == ["train/000003_1", "train/000003_2"]
    assert "Cannot decode train/image/000003.jpg" in items.skipped["train/000003_1"]


def test_a_batch_without_any_photo_is_an_error(broken: Release) -> None:
    items = Items(broken.registry, {"split": "train", "image_id": 3}, photos=broken.photos, on_error="skip")
    with pytest.raises(SourceError, match="No photo of a batch of 2 can be read; the first: Cannot decode"):
        collate([items[0], items[1]])


def test_photos_of_another_size_than_in_the_registry_are_refused(broken: Release) -> None:
    from tests.helpers import jpeg

    (Path(broken.photos) / "train" / "image" / "000003.jpg").write_bytes(jpeg(50, 40))
    with pytest.raises(SourceError, match=r"000003\.jpg has 50 x 40 px, and 120 x 90 px in the registry"):
        Items(broken.registry, {"split": "train"}, photos=broken.photos)[3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"subset": {"category": "trousers"}}, r"The subset \{\"category\": \[\"trousers\"\]\} of .* has no image"),
        ({"subset": {"colour": "red"}}, "Unknown option of a subset 'colour'"),
        ({"colour": "red"}, "Unknown option 'colour'"),
        ({"photos": None}, "Photos are needed: photos=RELEASE"),
        ({"on_error": "ignore"}, "on_error: expected 'raise' or 'skip', found 'ignore'"),
        ({"columns": ["colour"]}, "Unknown column 'colour'"),
        ({"columns": ["scores.loss"]}, "scores"),
        ({"margin": -1}, "margin: expected a fraction of the box"),
    ],
)
def test_bad_input_is_refused(release: Release, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises((UsageError, NotFoundError), match=message):
        Items(release.registry, **{"photos": release.photos} | arguments)


def test_options_of_the_opening_are_refused_for_an_open_registry(release: Release) -> None:
    with pytest.raises(UsageError, match="memory: the registry is open already"):
        Items(package.open(release.registry), photos=release.photos, memory="1GB")


def all_datasets(release: Release) -> list[Any]:
    common: dict[str, Any] = {"photos": release.photos}
    subset = {"split": "train"}
    return [
        Items(release.registry, subset, transform=shrink, **common),
        Detection(release.registry, subset, targets=("masks", "keypoints"), **common),
        Pairs(release.registry, subset, negatives=1, transform=shrink, **common),
        Triplets(release.registry, subset, transform=shrink, **common),
        Landmarks(release.registry, subset, category="skirt", size=(16, 8), **common),
    ]


def test_every_dataset_pickles_in_a_few_kilobytes_with_the_same_elements(release: Release) -> None:
    for dataset in all_datasets(release):
        data = pickle.dumps(dataset)
        assert len(data) < 4096
        copy = pickle.loads(data)
        assert copy.rows.equals(dataset.rows)
        assert str(copy[1]) == str(dataset[1])


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_worker_processes_give_the_same_elements(release: Release, start: str) -> None:
    # A spawned worker imports torch, which takes seconds.
    for dataset in all_datasets(release)[:1] if start == "spawn" else all_datasets(release):
        loader = torch.utils.data.DataLoader(
            dataset, batch_size=2, num_workers=2, multiprocessing_context=start, collate_fn=collate
        )
        elements = [pair for batch in loader for pair in zip(*batch, strict=True)]
        assert len(elements) == len(dataset)
        assert str(elements) == str([dataset[k] for k in range(len(dataset))])


def test_the_files_of_a_dataset_are_removed_by_its_process_alone(release: Release) -> None:
    code = (
        "import sys, torch\n"
        "from registry.loaders import Items, collate\n"
        "from registry.files.private_folder import private_folder\n"
        "items = Items(sys.argv[1], photos=sys.argv[2])\n"
        "loader = torch.utils.data.DataLoader(items, num_workers=2, collate_fn=collate)\n"
        "for _ in range(2):\n"
        "    assert len(list(loader)) == 11\n"
        "print(private_folder())\n"
        "assert list(private_folder().iterdir())\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, release.registry, release.photos], capture_output=True, text=True, check=True
    )
    assert not Path(answer.stdout.strip()).exists()


def test_rows_go_with_the_last_reference(release: Release) -> None:
    from registry.files.private_folder import private_folder

    before = set(private_folder().iterdir())
    items = Items(release.registry, photos=release.photos)
    assert set(private_folder().iterdir()) > before
    data = pickle.dumps(items)
    del items
    assert set(private_folder().iterdir()) == before
    with pytest.raises(NotFoundError, match="make the dataset again here"):
        pickle.loads(data)


def test_crops_of_a_loader_are_numbers_of_the_photo(release: Release) -> None:
    images = Detection(release.registry, {"split": "train", "image_id": 2}, photos=release.photos)
    image, _ = images[0]
    assert np.array_equal(image[0, 0].numpy(), np.arange(WIDTH))
