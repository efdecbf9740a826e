"""The official COCO conversion as people write it: json, one NumPy array an item, one dictionary for everything.

Follows the rules of the dataset's own ``deepfashion2_to_coco.py`` (own words; the original stops with a NameError) and
stands in for it in :mod:`benchmarks.export`. With ``--skirts`` it then does what people do for a subset: it reads the
file again and keeps the skirts with slight or no occlusion (which the official file does not even tell; here it does).

Run as ``python -m benchmarks.naive_coco SPLIT_FOLDER OUT.json [--skirts]``.
"""

from __future__ import annotations

import json
import os
import sys

import numpy as np
from PIL import Image

from registry.dataset.deepfashion2 import CATEGORIES


def convert(folder: str, attributes: bool) -> dict[str, list[dict[str, object]]]:
    """Return one split as a COCO dictionary, with the occlusion of each item if attributes are wanted."""
    offsets = {category.id: category.landmark_offset for category in CATEGORIES}
    dataset: dict[str, list[dict[str, object]]] = {"info": {}, "licenses": [], "images": [], "annotations": []}  # type: ignore[dict-item]
    dataset["categories"] = [
        {
            "id": category.id,
            "name": category.coco_name,
            "supercategory": "clothes",
            "keypoints": [str(number) for number in range(1, 295)],
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
            points = np.zeros(882)
            own = np.array(item["landmarks"])
            start = 3 * offsets[item["category_id"]]
            points[start : start + len(own)] = own
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
                    "num_keypoints": int((own[2::3] > 0).sum()),
                    "keypoints": points.tolist(),
                    "segmentation": item["segmentation"],
                }
            )
            if attributes:
                dataset["annotations"][-1]["occlusion"] = item["occlusion"]
    return dataset


def main() -> int:
    """Convert the split named on the command line."""
    folder, out, *rest = sys.argv[1:]
    with open(out, "w", encoding="ascii") as file:
        json.dump(convert(folder, attributes=bool(rest)), file)
    if rest:
        with open(out, encoding="ascii") as file:
            dataset = json.load(file)
        kept = [one for one in dataset["annotations"] if one["category_id"] == 9 and one["occlusion"] == 1]
        images = {one["image_id"] for one in kept}
        dataset["annotations"] = kept
        dataset["images"] = [one for one in dataset["images"] if one["id"] in images]
        with open(out, "w", encoding="ascii") as file:
            json.dump(dataset, file)
    return 0


if __name__ == "__main__":
    sys.exit(main())
