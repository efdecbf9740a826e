"""Public converters from COCO to labels of YOLO, by their rules."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

Row = tuple[float, ...]


def json2yolo(path: Path, *, segments: bool = False) -> dict[str, list[Row]]:
    """Return the rows of each label file by its name.

    Source: ``convert_coco_json`` in json2yolo/general_json2yolo.py (ultralytics/JSON2YOLO).
    """
    document = json.loads(path.read_bytes())
    # Six digits are all that "%g" keeps of an id.
    images = {f"{image['id']:g}": image for image in document["images"]}
    rows: dict[str, list[Row]] = {}
    for entry in document["annotations"]:
        if entry["iscrowd"]:
            continue
        image = images[f"{entry['image_id']:g}"]
        box = _shares_of_box(entry["bbox"], image)
        if box[2] > 0 and box[3] > 0:
            values = _shares_of_polygons(entry["segmentation"], image) if segments else box
            rows.setdefault(_label_name(image), []).append((entry["category_id"] - 1, *values))
    return rows


def ultralytics_convert(path: Path, kind: str = "box") -> dict[str, list[Row]]:
    """Return the rows of each label file by its name; of two items with the same class and box only the first.

    Args:
        path: the COCO file.
        kind: ``box``, ``segments`` or ``keypoints``.

    Source: ``convert_coco`` in ultralytics/data/converter.py (ultralytics/ultralytics), with ``cls91to80=False``.
    """
    document = json.loads(path.read_bytes())
    images = {f"{image['id']:d}": image for image in document["images"]}
    by_image: dict[int, list[dict[str, Any]]] = {}
    for entry in document["annotations"]:
        by_image.setdefault(entry["image_id"], []).append(entry)
    rows: dict[str, list[Row]] = {}
    for image_id, entries in by_image.items():
        image = images[f"{image_id:d}"]
        seen: list[Row] = []
        written = rows.setdefault(_label_name(image), [])
        for entry in entries:
            box = (entry["category_id"] - 1, *_shares_of_box(entry["bbox"], image))
            if entry.get("iscrowd") or box[3] <= 0 or box[4] <= 0 or box in seen:
                continue
            seen.append(box)
            if kind == "keypoints":
                box = (*box, *_shares_of_points(entry["keypoints"], image))
            elif kind == "segments" and entry["segmentation"]:
                box = (box[0], *_shares_of_polygons(entry["segmentation"], image))
            written.append(box)
    return rows


def write_labels(rows: dict[str, list[Row]], folder: Path) -> Path:
    """Write label files as both converters do, six significant digits a number, and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in rows.items():
        lines = (" ".join(f"{value:g}" for value in row) for row in values)
        # A name with a folder in it fails here, as it does there.
        (folder / name).write_text("".join(f"{line}\n" for line in lines))
    return folder


def _label_name(image: dict[str, Any]) -> str:
    return str(Path(image["file_name"]).with_suffix(".txt"))


def _shares_of_box(xywh: list[float], image: dict[str, Any]) -> Row:
    """Return centre, width and height as shares of the photo."""
    x, y, width, height = xywh
    across, down = image["width"], image["height"]
    return (x + width / 2) / across, (y + height / 2) / down, width / across, height / down


def _shares_of_polygons(polygons: list[list[float]], image: dict[str, Any]) -> Row:
    """Return the points of all polygons, which the converters join by the shortest ways there and back."""
    return tuple(
        share
        for ring in polygons
        for x, y in zip(ring[::2], ring[1::2], strict=True)
        for share in (x / image["width"], y / image["height"])
    )


def _shares_of_points(flat: list[float], image: dict[str, Any]) -> Row:
    points = zip(flat[::3], flat[1::3], flat[2::3], strict=True)
    return tuple(value for x, y, v in points for value in (x / image["width"], y / image["height"], v))
