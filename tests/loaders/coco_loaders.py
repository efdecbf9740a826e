"""What public loaders read of a COCO file, by their rules: the keys they take, what they drop and where they stop.

Each function has the name of its project and returns the items that reach the trainer. The rules are those of the
named source, in own words, so that no test needs torch.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Landmarks = dict[int, tuple[float, float, float]]


@dataclass(frozen=True)
class Seen:
    """An item as a trainer gets it.

    Args:
        image_id: the image.
        label: class in the numbers of the loader.
        xyxy: edges of the box, px, rounded to 6 decimals.
        landmarks: x, y, v of the labelled landmarks by slot, from 0; empty where the loader takes none.
        pixels: area of the mask, px, where the loader draws one.
    """

    image_id: int
    label: int
    xyxy: tuple[float, ...]
    landmarks: Landmarks = field(default_factory=dict)
    pixels: int | None = None


def edges(values: Sequence[float]) -> tuple[float, ...]:
    """Return the edges of a box, rounded to 6 decimals."""
    return tuple(round(float(value), 6) for value in values)


def from_xywh(xywh: Sequence[float]) -> tuple[float, ...]:
    x, y, width, height = xywh
    return edges((x, y, x + width, y + height))


def slots(flat: Sequence[float], number: int, shift: float = 0.0) -> Landmarks:
    """Return the labelled landmarks by slot; the list has to hold ``number`` of them."""
    points = np.asarray(flat, dtype=float).reshape(number, 3)
    return {slot: (x + shift, y + shift, v) for slot, (x, y, v) in enumerate(points.tolist()) if v > 0}


def read_coco(path: Path) -> Any:
    """Return the file as pycocotools has it in memory."""
    from pycocotools.coco import COCO

    with redirect_stdout(StringIO()):
        return COCO(str(path))


def mask_pixels(polygons: list[list[float]], size: tuple[int, int]) -> int:
    """Return the area of the polygons' union in a photo of (width, height), as COCO's own code draws it."""
    from pycocotools import mask

    width, height = size
    runs = mask.merge(mask.frPyObjects(polygons, height, width))
    return int(mask.decode(runs).sum())


def detectron2(path: Path, photos: Path) -> list[Seen]:
    """Rules of ``load_coco_json`` and of the mapper behind it, also of chaoso/Detectron2-deepfashion2.

    Source: detectron2/data/datasets/coco.py and data/detection_utils.py (facebookresearch/detectron2).
    """
    coco = read_coco(path)
    ids = sorted(coco.getCatIds())
    assert ids == list(range(1, len(ids) + 1)), "category ids are not 1 to their number"
    image_ids = sorted(coco.imgs)
    annotation_ids = [entry["id"] for image_id in image_ids for entry in coco.imgToAnns[image_id]]
    assert len(set(annotation_ids)) == len(annotation_ids), "annotation ids are not unique"
    seen = []
    for image_id in image_ids:
        image = coco.imgs[image_id]
        with Image.open(photos / image["file_name"]) as photo:
            assert photo.size == (image["width"], image["height"]), f"{image['file_name']} has another size"
        for entry in coco.imgToAnns[image_id]:
            assert entry["image_id"] == image_id
            assert entry.get("ignore", 0) == 0
            assert entry["segmentation"], "the mapper wants polygons of all items of an image, or of none"
            polygons = [ring for ring in entry["segmentation"] if len(ring) % 2 == 0 and len(ring) >= 6]
            # Items without a sound polygon are dropped, and so are empty boxes.
            if polygons and min(entry["bbox"][2:]) > 0:
                label = ids.index(entry["category_id"])
                # A landmark is the index of a pixel there, so its middle is taken.
                found = slots(entry["keypoints"], 294, 0.5)
                pixels = mask_pixels(polygons, (image["width"], image["height"]))
                seen.append(Seen(image_id, label, from_xywh(entry["bbox"]), found, pixels))
    return seen


def torchvision(path: Path, photos: Path) -> list[Seen]:
    """Rules of the reference training script; sizes are those of the photo.

    Source: references/detection/coco_utils.py and torchvision/models/detection/generalized_rcnn.py (pytorch/vision).
    """
    coco = read_coco(path)
    seen = []
    for image_id in sorted(coco.imgs):
        entries = [entry for entry in coco.imgToAnns[image_id] if entry["iscrowd"] == 0]
        # Training takes no image whose boxes are all thin, or with fewer than 10 labelled landmarks.
        if all(min(entry["bbox"][2:]) <= 1 for entry in entries):
            continue
        if sum(v > 0 for entry in entries for v in entry["keypoints"][2::3]) < 10:
            continue
        with Image.open(photos / coco.imgs[image_id]["file_name"]) as photo:
            width, height = photo.size
        for entry in entries:
            x1, y1, x2, y2 = from_xywh(entry["bbox"])
            box = min(max(x1, 0), width), min(max(y1, 0), height), min(max(x2, 0), width), min(max(y2, 0), height)
            pixels = mask_pixels(entry["segmentation"], (width, height))
            found = slots(entry["keypoints"], 294)
            if box[2] > box[0] and box[3] > box[1]:
                seen.append(Seen(image_id, entry["category_id"], edges(box), found, pixels))
    return seen


def torchvision_model(path: Path, photos: Path) -> list[Seen]:
    """Rules of the models alone, for a data set that filters nothing: they stop at a box without width or height.

    Source: torchvision/models/detection/generalized_rcnn.py and torchvision/datasets/coco.py (pytorch/vision).
    """
    coco = read_coco(path)
    seen = []
    for image_id in sorted(coco.imgs):
        assert (photos / coco.imgs[image_id]["file_name"]).is_file()
        for entry in coco.loadAnns(coco.getAnnIds(image_id)):
            x1, y1, x2, y2 = box = from_xywh(entry["bbox"])
            assert x2 > x1, f"no positive width: {box}"
            assert y2 > y1, f"no positive height: {box}"
            seen.append(Seen(image_id, entry["category_id"], box))
    return seen


def kgdet(path: Path, photos: Path) -> list[Seen]:
    """Rules of KGDet on mmdetection 1.

    Source: mmdetection/mmdet/datasets/coco.py and deepfashion2.py (ShenhanQian/KGDet).
    """
    coco = read_coco(path)
    labels = {category_id: number for number, category_id in enumerate(coco.getCatIds(), 1)}
    names = [category["name"] for category in coco.loadCats(coco.getCatIds())]
    assert names[:2] == ["short_sleeved_shirt", "long_sleeved_shirt"], "the model has the converter's names"
    assert names[-2:] == ["vest_dress", "sling_dress"], "the model has the converter's names"
    seen = []
    for image_id in coco.getImgIds():
        image = coco.loadImgs([image_id])[0]
        assert (photos / image["file_name"]).is_file()
        if min(image["width"], image["height"]) < 32:
            continue
        for entry in coco.loadAnns(coco.getAnnIds(imgIds=[image_id])):
            x, y, width, height = entry["bbox"]
            if entry.get("ignore", False) or entry["area"] <= 0 or width < 1 or height < 1:
                continue
            assert not entry["iscrowd"]
            # The last pixel belongs to the box.
            box = edges((x, y, x + width - 1, y + height - 1))
            pixels = int(coco.annToMask(entry).sum())
            seen.append(Seen(image_id, labels[entry["category_id"]], box, slots(entry["keypoints"], 294), pixels))
    return seen


def kps_agg_finetune(path: Path, photos: Path) -> list[Seen]:
    """Rules of the HRNet with aggregated landmarks, which names photos by the image's id.

    Aggregating puts the landmarks of all categories into a few common places. Within a category no two share a place,
    so an item loses none, unless it has landmarks in the slots of another category: there the script stops.

    Source: lib/dataset/deepfashion2.py and scripts/dataset_agg81kps.py (lzhbrian/deepfashion2-kps-agg-finetune).
    """
    counts = [25, 33, 31, 39, 15, 15, 10, 14, 8, 29, 37, 19, 19]
    places = [place for number in counts for place in range(number)]
    coco = read_coco(path)
    classes = {category_id: number for number, category_id in enumerate(coco.getCatIds(), 1)}
    seen = []
    for image_id in coco.getImgIds():
        image = coco.loadImgs(image_id)[0]
        assert (photos / f"{image_id:06d}.jpg").is_file()
        for entry in coco.loadAnns(coco.getAnnIds(imgIds=image_id, iscrowd=False)):
            x, y, width, height = entry["bbox"]
            x1, y1 = max(0, x), max(0, y)
            x2 = min(image["width"] - 1, x1 + max(0, width - 1))
            y2 = min(image["height"] - 1, y1 + max(0, height - 1))
            if entry["area"] <= 0 or x2 < x1 or y2 < y1 or max(entry["keypoints"]) == 0:
                continue
            found = slots(entry["keypoints"], 294)
            aggregated = {places[slot]: point for slot, point in found.items()}
            assert len(aggregated) == len(found), "two landmarks of an item fall together"
            box = edges((x1, y1, x2, y2))
            seen.append(Seen(image_id, classes[entry["category_id"]], box, found))
    return seen


def mask_rcnn(path: Path, photos: Path) -> list[Seen]:
    """Rules of Matterport's Mask R-CNN with a class for this data, which takes images by the categories in them.

    Source: Clothing/deepfashion2.py (Alive1024/MaskRCNN_DeepFashion2) and main.py (Xlgd/Mask_R-CNN_DeepFashion2).
    """
    coco = read_coco(path)
    ids = sorted(coco.getCatIds())
    seen = []
    for image_id in sorted({image for category_id in ids for image in coco.getImgIds(catIds=[category_id])}):
        image = coco.imgs[image_id]
        assert (photos / image["file_name"]).is_file()
        entries = coco.loadAnns(coco.getAnnIds(imgIds=[image_id], catIds=ids, iscrowd=None))
        np.stack([entry["keypoints"] for entry in entries], axis=1)
        for entry in entries:
            pixels = mask_pixels(entry["segmentation"], (image["width"], image["height"]))
            if pixels:
                label = ids.index(entry["category_id"]) + 1
                found = slots(entry["keypoints"], 294)
                seen.append(Seen(image_id, label, from_xywh(entry["bbox"]), found, pixels))
    return seen


def centernet(path: Path, photos: Path) -> list[Seen]:
    """Rules of CenterNet, which reads photos out of the release.

    Source: src/lib/datasets/dataset/deepfashion2.py and sample/ctdet.py (jeffgorithm/CenterNet-DeepFashion2).
    """
    coco = read_coco(path)
    labels = {category_id: category_id - 1 for category_id in range(1, 14)}
    seen = []
    for image_id in coco.getImgIds():
        image = coco.loadImgs(ids=[image_id])[0]
        with Image.open(photos / image["file_name"]) as photo:
            width, height = photo.size
        entries = coco.loadAnns(ids=coco.getAnnIds(imgIds=[image_id]))
        for entry in entries[:128]:
            box = from_xywh(entry["bbox"])
            x1, x2 = np.clip(box[::2], 0, width - 1)
            y1, y2 = np.clip(box[1::2], 0, height - 1)
            if x2 > x1 and y2 > y1:
                seen.append(Seen(image_id, labels[entry["category_id"]], edges((x1, y1, x2, y2))))
    return seen


def mmpose(path: Path, photos: Path, num_landmarks: int = 294) -> list[Seen]:
    """Rules of mmpose's top-down data sets, with the number of landmarks of the configuration.

    Source: mmpose/datasets/datasets/base/base_coco_style_dataset.py (open-mmlab/mmpose).
    """
    coco = read_coco(path)
    seen = []
    for image_id in coco.getImgIds():
        image = coco.loadImgs(image_id)[0]
        assert (photos / image["file_name"]).is_file()
        for entry in coco.loadAnns(coco.getAnnIds(imgIds=image_id, iscrowd=False)):
            if max(entry["keypoints"]) == 0 or entry["num_keypoints"] == 0:
                continue
            box = from_xywh(entry["bbox"])
            x1, x2 = np.clip(box[::2], 0, image["width"] - 1)
            y1, y2 = np.clip(box[1::2], 0, image["height"] - 1)
            found = slots(entry["keypoints"], num_landmarks)
            assert entry["num_keypoints"] == len(found)
            if x2 > x1 and y2 > y1:
                seen.append(Seen(image_id, entry["category_id"], edges((x1, y1, x2, y2)), found))
    return seen


def datumaro(path: Path, photos: Path) -> list[Seen]:
    """Rules of datumaro's importer for ``person_keypoints``, which wants each value to be of its type.

    Source: src/datumaro/plugins/data_formats/coco/base.py (openvinotoolkit/datumaro).
    """
    document = json.loads(path.read_bytes())

    def take(record: dict[str, Any], key: str, kind: type) -> Any:
        assert isinstance(record[key], kind), f"{key} is {record[key]!r}, not {kind.__name__}"
        return record[key]

    labels = {}
    for number, category in enumerate(document["categories"]):
        assert take(category, "name", str)
        labels[take(category, "id", int)] = number
        take(category, "keypoints", list)
        take(category, "skeleton", list)
    sizes = {}
    for image in document["images"]:
        assert (photos / take(image, "file_name", str)).is_file()
        sizes[take(image, "id", int)] = take(image, "width", int), take(image, "height", int)
    seen = []
    for entry in document["annotations"]:
        image_id = take(entry, "image_id", int)
        assert take(entry, "id", int)
        assert not take(entry, "iscrowd", int)
        flat = take(entry, "keypoints", list)
        assert len(flat) % 3 == 0
        polygons = take(entry, "segmentation", list)
        assert all(len(ring) % 2 == 0 and len(ring) >= 6 for ring in polygons)
        assert len(take(entry, "bbox", list)) == 4
        pixels = mask_pixels(polygons, sizes[image_id])
        found = slots(flat, len(flat) // 3)
        label = labels[take(entry, "category_id", int)]
        seen.append(Seen(image_id, label, from_xywh(entry["bbox"]), found, pixels))
    return seen


def fiftyone(path: Path, photos: Path) -> list[Seen]:
    """Rules of FiftyOne's importer: it keeps shares of the photo, and unknown keys as attributes of an object.

    Source: fiftyone/utils/coco.py (voxel51/fiftyone).
    """
    document = json.loads(path.read_bytes())
    # Names of classes are a list that the category's id indexes.
    names = {category["id"]: category["name"] for category in document["categories"]}
    classes = [names.get(number, str(number)) for number in range(max(names) + 1)]
    taken = {"id", "image_id", "category_id", "bbox", "segmentation", "keypoints", "area", "iscrowd", "score"}
    own_fields = {"label", "bounding_box", "mask", "confidence", "index", "tags", "attributes", "points"}
    images = {image["id"]: image for image in document["images"]}
    by_image: dict[int, list[dict[str, Any]]] = defaultdict(list)
    for entry in document["annotations"]:
        assert not (set(entry) - taken) & own_fields, "an attribute has the name of a field of FiftyOne"
        by_image[entry["image_id"]].append(entry)
    seen = []
    for image_id, image in images.items():
        assert (photos / image["file_name"]).is_file()
        width, height = image["width"], image["height"]
        for entry in by_image[image_id]:
            x, y, w, h = entry["bbox"]
            left, top, across, down = x / width, y / height, w / width, h / height
            box = left * width, top * height, (left + across) * width, (top + down) * height
            assert classes[entry["category_id"]] == names[entry["category_id"]]
            assert len(entry["keypoints"]) % 3 == 0
            found = slots(entry["keypoints"], 294)
            pixels = mask_pixels(entry["segmentation"], (width, height))
            seen.append(Seen(image_id, entry["category_id"], edges(box), found, pixels))
    return seen


def fashion_datasets(path: Path, photos: Path) -> dict[str, int]:
    """Rules of the masks of NiklasHoltmeyer/FashionDatasets: a file for each image with an item.

    Source: fashiondatasets/deepfashion2/deepfashion2_preprocessor.py (NiklasHoltmeyer/FashionDatasets).

    Returns:
        Sum of the masks' pixels by the name of the mask's file.
    """
    coco = read_coco(path)
    masks = {}
    for image in coco.imgs.values():
        assert (photos / image["file_name"]).is_file()
        entries = coco.loadAnns(coco.getAnnIds(imgIds=image["id"], catIds=coco.getCatIds(), iscrowd=False))
        if entries:
            pixels = sum(int(coco.annToMask(entry).sum()) for entry in entries)
            masks[image["file_name"].replace(".jpg", ".png")] = pixels
    return masks
