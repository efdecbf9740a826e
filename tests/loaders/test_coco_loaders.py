"""Public loaders of COCO files get every item of an export as the release has it, and notice a file that is broken."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from registry.dataset.deepfashion2 import CATEGORY_BY_ID
from registry.subset.resplit import Resplit
from tests.exports.releases import run_export
from tests.loaders import coco_loaders
from tests.loaders.coco_loaders import Seen, edges, mask_pixels
from tests.loaders.released import ReleasedItem, released_items


@dataclass(frozen=True)
class Loader:
    """How a loader differs from the others.

    Args:
        read: the function of :mod:`tests.loaders.coco_loaders`.
        first_label: number of the first class.
        landmarks: whether the loader takes landmarks.
        pixels: whether it draws masks.
        shift: px added to x and y of a landmark.
        shrink: px taken from the right and lower edge of a box.
        keeps_empty_boxes: whether it takes items whose box has no area.
        needs_landmarks: whether it drops items without a labelled landmark.
        export: the export that the loader needs; any if None.
    """

    read: Callable[[Path, Path], list[Seen]]
    first_label: int = 1
    landmarks: bool = True
    pixels: bool = True
    shift: float = 0
    shrink: int = 0
    keeps_empty_boxes: bool = False
    needs_landmarks: bool = False
    export: str | None = None

    def expect(self, items: Sequence[ReleasedItem]) -> list[Seen]:
        """Return the items as the loader should see them."""
        kept = [item for item in items if item.has_area or self.keeps_empty_boxes]
        return [self._see(item) for item in kept if item.labelled or not self.needs_landmarks]

    def _see(self, item: ReleasedItem) -> Seen:
        x1, y1, x2, y2 = item.xyxy
        category = CATEGORY_BY_ID[item.fields["category_id"]]
        flat = item.fields["landmarks"] if self.landmarks else []
        points = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
        return Seen(
            item.image_id,
            category.id - 1 + self.first_label,
            edges((x1, y1, x2 - self.shrink, y2 - self.shrink)),
            {
                category.landmark_offset + number: (x + self.shift, y + self.shift, v)
                for number, (x, y, v) in enumerate(points)
                if v
            },
            mask_pixels(item.fields["segmentation"], item.size) if self.pixels else None,
        )


LOADERS = {
    "detectron2": Loader(coco_loaders.detectron2, first_label=0, shift=0.5),
    "torchvision": Loader(coco_loaders.torchvision),
    "torchvision's models": Loader(
        coco_loaders.torchvision_model, landmarks=False, pixels=False, export="without empty boxes"
    ),
    "KGDet": Loader(coco_loaders.kgdet, shrink=1),
    "kps-agg-finetune": Loader(coco_loaders.kps_agg_finetune, pixels=False, shrink=1, needs_landmarks=True),
    "Mask R-CNN": Loader(coco_loaders.mask_rcnn, keeps_empty_boxes=True),
    "CenterNet": Loader(coco_loaders.centernet, first_label=0, landmarks=False, pixels=False),
    "mmpose": Loader(coco_loaders.mmpose, pixels=False, needs_landmarks=True),
    "datumaro": Loader(coco_loaders.datumaro, first_label=0, keeps_empty_boxes=True),
    "FiftyOne": Loader(coco_loaders.fiftyone, keeps_empty_boxes=True),
}


@pytest.fixture(scope="module")
def exports(ingested: Path, published: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return exports with photos that no test changes: as the converter, with attributes, and without empty boxes."""
    folder = tmp_path_factory.mktemp("exports")
    choices: dict[str, dict[str, Any]] = {
        "as converted": {},
        "with attributes": {"attributes": True},
        "without empty boxes": {"subset": {"min_box_area": 1}},
    }
    for name, options in choices.items():
        run_export(ingested, "coco", folder / name, images="copy", photos=published, **options)
    return {name: folder / name for name in choices}


def places(loader: Loader, split: str, exported: Path, published: Path) -> tuple[Path, Path]:
    """Return the file and the folder of photos that a loader is given."""
    # CenterNet reads photos out of the release.
    in_release = loader.read is coco_loaders.centernet
    photos = published / split / "image" if in_release else exported / "images" / split
    return exported / "annotations" / f"{split}.json", photos


@pytest.mark.parametrize("form", ["as converted", "with attributes"])
@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize("name", LOADERS)
def test_a_loader_gets_every_item_as_it_was_released(
    name: str, split: str, form: str, exports: dict[str, Path], published: Path
) -> None:
    loader = LOADERS[name]
    path, photos = places(loader, split, exports[loader.export or form], published)
    expected = loader.expect(list(released_items(published / split)))
    assert loader.read(path, photos) == expected
    assert len(expected) > 2


def each_item(change: Callable[[dict[str, Any]], None]) -> Callable[[Any], None]:
    """Return a change of every item of a COCO file."""

    def change_all(document: Any) -> None:
        for entry in document["annotations"]:
            change(entry)

    return change_all


def turn_sizes(document: Any) -> None:
    for image in document["images"]:
        image["width"], image["height"] = image["height"] // 2, image["width"] // 2


BOX = each_item(lambda entry: entry["bbox"].__setitem__(2, entry["bbox"][2] + entry["bbox"][0] + 1))
LABEL = each_item(lambda entry: entry.update(category_id=entry["category_id"] - 1))
POINTS = each_item(lambda entry: entry.update(keypoints=entry["keypoints"][3:] + entry["keypoints"][:3]))
LOST_POINTS = each_item(lambda entry: entry.update(keypoints=entry["keypoints"][3:]))
POLYGONS = each_item(lambda entry: entry.update(segmentation=entry["segmentation"][:1]))
IMAGE = each_item(lambda entry: entry.update(image_id=entry["image_id"] - 1))


def rename_photos(document: Any) -> None:
    for image in document["images"]:
        image["file_name"] = f"image/{image['file_name']}"


def renumber_images(document: Any) -> None:
    for record in [*document["images"], *document["annotations"]]:
        key = "image_id" if "image_id" in record else "id"
        record[key] += 100


#: Faults that a file could have, and the loaders that take what is wrong in it.
FAULTS: dict[str, tuple[Callable[[Any], None], Callable[[Loader], bool]]] = {
    "other boxes": (BOX, lambda loader: True),
    "labels from 0": (LABEL, lambda loader: True),
    "landmarks one slot off": (POINTS, lambda loader: loader.landmarks),
    "a landmark too few": (LOST_POINTS, lambda loader: loader.landmarks),
    "one polygon of several": (POLYGONS, lambda loader: loader.pixels),
    "items in other images": (IMAGE, lambda loader: True),
    "sizes that are not the photos'": (
        turn_sizes,
        # torchvision and CenterNet ask the photo for its size.
        lambda loader: (loader.pixels or loader.shrink > 0) and loader.read is not coco_loaders.torchvision,
    ),
    "photos that are not there": (rename_photos, lambda loader: loader.read is not coco_loaders.kps_agg_finetune),
    "numbers of other photos": (renumber_images, lambda loader: True),
}


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name in LOADERS for fault in FAULTS if FAULTS[fault][1](LOADERS[name])]
)
def test_a_loader_notices_a_broken_file(
    name: str, fault: str, exports: dict[str, Path], published: Path, tmp_path: Path
) -> None:
    loader = LOADERS[name]
    path, photos = places(loader, "train", exports[loader.export or "as converted"], published)
    document = json.loads(path.read_bytes())
    FAULTS[fault][0](document)
    (tmp_path / "broken.json").write_text(json.dumps(document))
    try:
        seen = loader.read(tmp_path / "broken.json", photos)
    except (AssertionError, KeyError, ValueError, FileNotFoundError, TypeError, IndexError):
        return
    assert seen != loader.expect(list(released_items(published / "train")))


def test_torchvisions_models_stop_at_a_box_without_area_unless_it_is_left_out(
    exports: dict[str, Path], published: Path
) -> None:
    loader = LOADERS["torchvision's models"]
    with pytest.raises(AssertionError, match="no positive width"):
        loader.read(*places(loader, "train", exports["as converted"], published))


@pytest.mark.parametrize("name", LOADERS)
def test_photos_of_test_are_images_without_items(name: str, exports: dict[str, Path], published: Path) -> None:
    path, photos = places(LOADERS[name], "test", exports["as converted"], published)
    assert LOADERS[name].read(path, photos) == []
    assert [image["id"] for image in json.loads(path.read_bytes())["images"]] == [1, 2]


def test_the_masks_of_fashion_datasets_are_those_of_all_items(exports: dict[str, Path], published: Path) -> None:
    expected: dict[str, int] = {}
    for item in released_items(published / "train"):
        name = f"{item.image_id:06d}.png"
        expected[name] = expected.get(name, 0) + mask_pixels(item.fields["segmentation"], item.size)
    folder = exports["as converted"]
    masks = coco_loaders.fashion_datasets(folder / "annotations" / "train.json", folder / "images" / "train")
    assert masks == expected


@pytest.mark.parametrize("category_id", [8, 9])
def test_a_category_alone_fits_mmposes_stock_configurations(
    category_id: int, ingested: Path, published: Path, tmp_path: Path
) -> None:
    # They have a category each, in the 294 landmarks of all.
    run_export(
        ingested,
        "coco",
        tmp_path / "out",
        subset={"split": "train", "category": category_id},
        images="copy",
        photos=published,
    )
    path = tmp_path / "out" / "annotations" / "train.json"
    items = [item for item in released_items(published / "train") if item.fields["category_id"] == category_id]
    assert coco_loaders.mmpose(path, tmp_path / "out" / "images" / "train") == LOADERS["mmpose"].expect(items)


def test_mmpose_gets_the_landmarks_of_a_category_from_its_own_file(
    ingested: Path, published: Path, tmp_path: Path
) -> None:
    run_export(ingested, "coco-per-category", tmp_path / "out", images="copy", photos=published)
    items = list(released_items(published / "train"))
    for category in CATEGORY_BY_ID.values():
        path = tmp_path / "out" / "annotations" / "train" / f"{category.coco_name}.json"
        expected = LOADERS["mmpose"].expect([item for item in items if item.fields["category_id"] == category.id])
        seen = coco_loaders.mmpose(path, tmp_path / "out" / "images" / "train", category.num_landmarks)
        # Slots count from the first of the category.
        assert [list(item.landmarks.values()) for item in seen] == [list(item.landmarks.values()) for item in expected]
        assert [min(item.landmarks) for item in seen] == [0] * len(expected)
        assert [(item.image_id, item.xyxy) for item in seen] == [(item.image_id, item.xyxy) for item in expected]


def test_detectron2_reads_both_files_of_a_resplit_together(ingested: Path, published: Path, tmp_path: Path) -> None:
    resplit = Resplit.parse("fit=0.5,held=0.5", 1)
    subset = {"split": ["train", "validation"]}
    run_export(ingested, "coco", tmp_path / "out", subset=subset, resplit=resplit, images="copy", photos=published)
    seen = []
    for part in ("fit", "held"):
        path = tmp_path / "out" / "annotations" / f"{part}.json"
        seen += coco_loaders.detectron2(path, tmp_path / "out" / "images" / part)
    expected = [
        (number * 1_000_000 + item.image_id, item.label, item.xyxy, item.landmarks, item.pixels)
        for number, split in ((1, "train"), (2, "validation"))
        for item in LOADERS["detectron2"].expect(list(released_items(published / split)))
    ]
    actual = [(item.image_id, item.label, item.xyxy, item.landmarks, item.pixels) for item in seen]
    assert sorted(actual, key=lambda item: item[0]) == sorted(expected, key=lambda item: item[0])
