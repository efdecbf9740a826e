"""What FiftyOne's importers read of folders of labels, by their rules: photo, name of the class and edges of a box."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from PIL import Image
from ruamel.yaml import YAML

from tests.loaders.coco_loaders import edges

Box = tuple[str, str, tuple[float, ...]]


def fiftyone_yolo(yaml_path: Path, split: str) -> list[Box]:
    """Rules of the importer of ``YOLOv5Dataset``; a photo without a label file is left out.

    Source: fiftyone/utils/yolo.py (voxel51/fiftyone).
    """
    data = YAML(typ="safe", pure=True).load(yaml_path)
    assert split in data, f"{yaml_path} does not contain {split}"
    folders = [data[split]] if isinstance(data[split], str) else data[split]
    boxes = []
    for folder in folders:
        for photo in sorted((yaml_path.parent / folder).rglob("*.jpg")):
            before, images, after = str(photo).rpartition("/images/")
            assert images, "a photo is looked up below a folder 'images'"
            label = Path(f"{before}/labels/{after}").with_suffix(".txt")
            if not label.exists():
                continue
            with Image.open(photo) as image:
                width, height = image.size
            for row in label.read_text().splitlines():
                # A sixth value would be taken for a confidence.
                target, x, y, w, h = row.split(" ")
                left, top = float(x) - float(w) / 2, float(y) - float(h) / 2
                right, bottom = left + float(w), top + float(h)
                box = (left * width, top * height, right * width, bottom * height)
                boxes.append((photo.stem, data["names"][int(target)], tuple(round(value, 3) for value in box)))
    return boxes


def fiftyone_voc(photos: Path, labels: Path) -> list[Box]:
    """Rules of the importer of ``VOCDetectionDataset``; edges are kept as they are written, in pixels from 1.

    Source: fiftyone/utils/voc.py (voxel51/fiftyone).
    """
    boxes = []
    for path in sorted(labels.rglob("*.xml")):
        root = ElementTree.parse(path).getroot()
        # The path below the folder of labels, without its suffix, is that of the photo below its folder.
        photo = photos / path.relative_to(labels).with_suffix(".jpg")
        with Image.open(photo) as image:
            assert image.size == (int(root.findtext("size/width") or 0), int(root.findtext("size/height") or 0))
        for entry in root.iterfind("object"):
            values = [float(entry.findtext(f"bndbox/{tag}") or "nan") for tag in ("xmin", "ymin", "xmax", "ymax")]
            boxes.append((photo.stem, entry.findtext("name") or "", edges(values)))
    return boxes
