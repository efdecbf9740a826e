"""What public loaders read of a folder in the released layout, by their rules.

Each function has the name of its project. The rules are those of the named source, in own words.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image


@dataclass(frozen=True)
class Crop:
    """A crop as gy0nylee's names of files tell it, and its size in px."""

    pair_id: str
    style: str
    source: str
    image: str
    item: str
    category_id: str
    size: tuple[int, int]


def glem(folder: Path, category_id: int, num_landmarks: int) -> list[dict[str, Any]]:
    """Return the samples of a category, as the network gets them.

    Numbers of files are counted up; a number without photo or annotation is passed over. A box is used as a slice of
    an array and landmarks as whole numbers of pixels, so neither may have a fraction.

    Source: DeepFashion2_Dataset_creation.py and dataset_df2_loader.py (bharath-ts/GLEM---DeepFashion2).
    """
    samples = []
    for number in range(1, 100):
        try:
            document = json.loads((folder / "annos" / f"{number:06d}.json").read_bytes())
            photo = Image.open(folder / "image" / f"{number:06d}.jpg")
        except FileNotFoundError:
            continue
        with photo:
            size = photo.size
        for key in document:
            if key in ("source", "pair_id") or document[key]["category_id"] != category_id:
                continue
            entry = document[key]
            x1, y1, x2, y2 = entry["bounding_box"]
            range(x1, x2)  # fails for a number with a fraction, as a slice does
            range(y1, y2)
            landmarks = entry["landmarks"]
            assert len(landmarks) == 3 * num_landmarks, "the network has a channel for each landmark"
            visible = [int(v) for v in landmarks[2::3]]
            points = [(int(x) - x1, int(y) - y1) for x, y in zip(landmarks[::3], landmarks[1::3], strict=True)]
            samples.append(
                {
                    "image_id": number,
                    "size": size,
                    "xywh": [x1, y1, x2 - x1, y2 - y1],
                    "in_picture": [v in (1, 2) for v in visible],
                    "points": points,
                    "style": entry["style"],
                    "segmentation": entry["segmentation"],
                }
            )
    return samples


def deepfashion2_retrieval(folder: Path, crops: Path) -> tuple[list[Crop], set[tuple[str, str]]]:
    """Return the crops, and the pairs of a user's and a shop's crop as (image and item, image and item).

    The name of a crop is pair_id, style, source, image, item and category between underscores, and is taken apart at
    the underscores again.

    Source: crop_bbox.py and make_pairs.py (gy0nylee/deepfashion2_retrieval).
    """
    crops.mkdir()
    for photo in sorted((folder / "image").iterdir()):
        document = json.loads((folder / "annos" / f"{photo.stem}.json").read_bytes())
        with Image.open(photo) as image:
            for key in document:
                if key in ("source", "pair_id"):
                    continue
                entry = document[key]
                name = f"{document['pair_id']}_{entry['style']}_{document['source']}_{photo.stem}_{key}"
                crop = image.crop(tuple(entry["bounding_box"]))
                crop.save(crops / f"{name}_{entry['category_id']}.jpg", "JPEG")
    actual = []
    for path in sorted(crops.iterdir()):
        fields = path.name.removesuffix(".jpg").split("_")
        with Image.open(path) as image:
            actual.append(Crop(fields[0], fields[1], fields[2], fields[3], fields[4], fields[5], image.size))
    # The script compares the style, a text, with the number 0: items of style 0 make pairs as well.
    pairs = {
        (f"{user.image} {user.item}", f"{shop.image} {shop.item}")
        for user in actual
        for shop in actual
        if (user.source, shop.source) == ("user", "shop") and (user.pair_id, user.style) == (shop.pair_id, shop.style)
    }
    return actual, pairs


def fashion_datasets(folder: Path) -> tuple[dict[str, list[Any]], dict[str, list[int]]]:
    """Return boxes and names of each photo, and the pair_ids by the categories in their photos.

    Source: deepfashion2_preprocessor.py, helper/annotations.py and helper/pairs/_aggregate_collections.py in
    fashiondatasets/deepfashion2 (NiklasHoltmeyer/FashionDatasets).
    """
    boxes: dict[str, list[Any]] = {}
    by_pair_id: dict[int, list[list[int]]] = defaultdict(list)
    for path in sorted((folder / "annos").iterdir()):
        photo = folder / "image" / f"{path.name.split('.json')[0]}.jpg"
        assert photo.exists(), "at least one image is missing"
        document = json.loads(path.read_bytes())
        items = [fields for key, fields in document.items() if "item" in key]
        with Image.open(photo) as image:
            width, height = image.size
        boxes[photo.name] = []
        for fields in items:
            x1, y1, x2, y2 = fields["bounding_box"]
            shares = [max(x1 / width, 0.0), max(y1 / height, 0.0), min(x2 / width, 1.0), min(y2 / height, 1.0)]
            boxes[photo.name].append((shares, fields["category_id"], fields["category_name"]))
        assert document["source"] in ("user", "shop")
        by_pair_id[document["pair_id"]].append(sorted({fields["category_id"] for fields in items}))
    groups: dict[str, list[int]] = defaultdict(list)
    for pair_id, categories in by_pair_id.items():
        distinct = dict.fromkeys(category_id for ids in categories for category_id in ids)
        groups["/".join(map(str, distinct))].append(pair_id)
    return boxes, dict(sorted(groups.items()))
