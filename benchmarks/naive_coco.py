"""A straightforward conversion to COCO, the baseline of :mod:`benchmarks.export`: json, NumPy, all in memory.

Gives the output of the dataset's ``deepfashion2_to_coco.py``, which itself stops with a NameError. With ``--skirts`` it
adds the occlusion to each annotation, then reads the file again and keeps the skirts with slight or no occlusion.

Run as ``python -m benchmarks.naive_coco SPLIT_FOLDER OUT.json [--skirts]``.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
from PIL import Image

from registry.dataset.deepfashion2 import CATEGORIES, NUM_LANDMARK_SLOTS


def convert(folder: str, attributes: bool) -> dict[str, list[dict[str, object]]]:
    """Return a split as a COCO dictionary.

    Args:
        folder: folder of the split, with ``annos`` and ``image``.
        attributes: add ``occlusion`` to the annotations.
    """
    offsets = {category.id: category.landmark_offset for category in CATEGORIES}
    dataset: dict[str, list[dict[str, object]]] = {"info": {}, "licenses": [], "images": [], "annotations": []}  # type: ignore[dict-item]
    dataset["categories"] = [
        {
            "id": category.id,
            "name": category.coco_name,
            "supercategory": "clothes",
            "keypoints": [str(number) for number in range(1, NUM_LANDMARK_SLOTS + 1)],
            "skeleton": [],
        }
        for category in CATEGORIES
    ]
    number = 0
    for name in sorted(os.listdir(f"{folder}/annos")):
        image_id = int(name[:-5])
        photo = f"{name[:-5]}.jpg"
        width, height = Image.open(f"{folder}/image/{photo}").size
        with open(f"{folder}/annos/{name}", encoding="ascii") as file:
            annotation = json.load(file)
        dataset["images"].append(
            {
                "coco_url": "",
                "date_captured": "",
                "file_name": photo,
                "flickr_url": "",
                "id": image_id,
                "license": 0,
                "width": width,
                "height": height,
            }
        )
        for key, item in annotation.items():
            if key in ("source", "pair_id"):
                continue
            number += 1
            points = np.zeros(3 * NUM_LANDMARK_SLOTS)
            landmarks = np.array(item["landmarks"])
            start = 3 * offsets[item["category_id"]]
            points[start : start + len(landmarks)] = landmarks
            x1, y1, x2, y2 = item["bounding_box"]
            dataset["annotations"].append(
                {
                    "area": (x2 - x1) * (y2 - y1),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "category_id": item["category_id"],
                    "id": number,
                    "pair_id": annotation["pair_id"],
                    "image_id": image_id,
                    "iscrowd": 0,
                    "style": item["style"],
                    "num_keypoints": int((landmarks[2::3] > 0).sum()),
                    "keypoints": points.tolist(),
                    "segmentation": item["segmentation"],
                }
            )
            if attributes:
                dataset["annotations"][-1]["occlusion"] = item["occlusion"]
    return dataset


def main() -> int:
    """Convert the split on the command line."""
    folder, out, *rest = sys.argv[1:]
    with open(out, "w", encoding="ascii") as file:
        json.dump(convert(folder, attributes=bool(rest)), file)
    if rest:
        with open(out, encoding="ascii") as file:
            dataset = json.load(file)
        skirt = next(category.id for category in CATEGORIES if category.name == "skirt")
        skirts = [entry for entry in dataset["annotations"] if (entry["category_id"], entry["occlusion"]) == (skirt, 1)]
        image_ids = {entry["image_id"] for entry in skirts}
        dataset["annotations"] = skirts
        dataset["images"] = [entry for entry in dataset["images"] if entry["id"] in image_ids]
        with open(out, "w", encoding="ascii") as file:
            json.dump(dataset, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
