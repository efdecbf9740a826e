"""COCO files as labelling tools write an imported one back, after what their exporters publicly do."""

from __future__ import annotations

import copy
from typing import Any

from registry.corrections.geometry import extent


def by_cvat(document: dict[str, Any]) -> dict[str, Any]:
    """Return a file as CVAT writes it: new ids, two decimals, boxes around polygons, no keypoints, no foreign keys."""
    images = {image["id"]: number for number, image in enumerate(document["images"], 1)}
    categories = {category["id"]: number for number, category in enumerate(reversed(document["categories"]), 1)}
    written = []
    for number, annotation in enumerate(document["annotations"], 1):
        rings = [[round(value, 2) for value in ring] for ring in annotation["segmentation"]]
        x, y, width, height = annotation["bbox"]
        around = extent(rings)
        if around is not None:
            x, y, width, height = around[0], around[1], around[2] - around[0], around[3] - around[1]
        written.append(
            {
                "id": number, "image_id": images[annotation["image_id"]], "iscrowd": 0, "area": width * height,
                "category_id": categories[annotation["category_id"]], "segmentation": rings[::-1],
                "bbox": [round(value, 2) for value in (x, y, width, height)], "attributes": {"occluded": False},
            }
        )  # fmt: skip
    return {
        "licenses": [{"name": "", "id": 0, "url": ""}],
        "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
        "categories": [
            {"id": categories[category["id"]], "name": category["name"], "supercategory": ""}
            for category in document["categories"]
        ],
        "images": [
            {"id": images[image["id"]], "width": image["width"], "height": image["height"], "license": 0,
             "file_name": image["file_name"], "flickr_url": "", "coco_url": "", "date_captured": 0}
            for image in document["images"]
        ],
        "annotations": written,
    }  # fmt: skip


def by_label_studio(document: dict[str, Any]) -> dict[str, Any]:
    """Return a file of boxes as Label Studio writes it: ids from 0, prefixes of uploads, noise of percentages."""
    document = copy.deepcopy(document)
    images = {image["id"]: number for number, image in enumerate(document["images"])}
    names = sorted(category["name"] for category in document["categories"])
    by_id = {category["id"]: names.index(category["name"]) for category in document["categories"]}
    return {
        "images": [
            {"width": 640, "height": 480, "id": images[image["id"]],
             "file_name": f"images/{images[image['id']]:08x}-{image['file_name']}"}
            for image in document["images"]
        ],
        "categories": [{"id": number, "name": name} for number, name in enumerate(names)],
        "annotations": [
            {"id": number, "image_id": images[annotation["image_id"]], "category_id": by_id[annotation["category_id"]],
             "segmentation": [], "bbox": [value / 3 / 100 * 300 for value in annotation["bbox"]], "ignore": 0,
             "iscrowd": 0, "area": 1.0}
            for number, annotation in enumerate(document["annotations"])
        ],
        "info": {"year": 2026, "version": "1.0", "description": "", "contributor": "Label Studio"},
    }  # fmt: skip
