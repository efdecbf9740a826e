"""The rules of the dataset's own COCO conversion, in plain Python over annotation files.

Source: ``evaluation/deepfashion2_to_coco.py`` of the dataset's repository, in own words.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from registry.dataset.deepfashion2 import CATEGORIES, CATEGORY_BY_ID


def official_coco(annos: Path, sizes: dict[int, tuple[int, int]]) -> dict[str, Any]:
    """Return the COCO dictionary of a folder of annotation files; a size that is not known is (None, None)."""
    images, annotations = [], []
    for path in sorted(annos.iterdir()):
        annotation = json.loads(path.read_bytes())
        image_id = int(path.stem)
        width, height = sizes.get(image_id, (None, None))
        images.append(
            {
                "coco_url": "",
                "date_captured": "",
                "file_name": f"{path.stem}.jpg",
                "flickr_url": "",
                "id": image_id,
                "license": 0,
                "width": width,
                "height": height,
            }
        )
        for key, item in annotation.items():
            if not key.startswith("item"):
                continue
            x1, y1, x2, y2 = map(float, item["bounding_box"])
            keypoints = [0.0] * 882
            first = 3 * CATEGORY_BY_ID[item["category_id"]].landmark_offset
            keypoints[first : first + len(item["landmarks"])] = map(float, item["landmarks"])
            annotations.append(
                {
                    "area": (x2 - x1) * (y2 - y1),
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "category_id": item["category_id"],
                    "id": len(annotations) + 1,
                    "pair_id": annotation["pair_id"],
                    "image_id": image_id,
                    "iscrowd": 0,
                    "style": item["style"],
                    "num_keypoints": sum(1 for v in item["landmarks"][2::3] if v > 0),
                    "keypoints": keypoints,
                    "segmentation": item["segmentation"],
                }
            )
    categories = [
        {
            "id": category.id,
            "name": category.coco_name,
            "supercategory": "clothes",
            "keypoints": [str(number) for number in range(1, 295)],
            "skeleton": [],
        }
        for category in CATEGORIES
    ]
    return {"info": {}, "licenses": [], "images": images, "annotations": annotations, "categories": categories}
