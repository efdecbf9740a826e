"""FiftyOne's importers read the boxes of yolo and voc exports as they were released."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.exports.releases import run_export
from tests.loaders.coco_loaders import edges
from tests.loaders.folder_loaders import Box, fiftyone_voc, fiftyone_yolo
from tests.loaders.released import released_items


def released_boxes(split: Path, shift: int = 0) -> list[Box]:
    """Return photo, name and edges of the boxes with an area, the left and upper edge moved by some px."""
    boxes = []
    for item in released_items(split):
        x1, y1, x2, y2 = item.xyxy
        if item.has_area:
            name = item.fields["category_name"]
            boxes.append((f"{item.image_id:06d}", name, edges((x1 + shift, y1 + shift, x2, y2))))
    return boxes


def shrink(text: str) -> str:
    """Return rows whose boxes are half as wide."""
    rows = [row.split(" ") for row in text.splitlines()]
    return "".join(f"{' '.join([*row[:3], str(float(row[3]) / 2), row[4]])}\n" for row in rows)


@pytest.mark.parametrize(("part", "split"), [("train", "train"), ("val", "validation")])
def test_fiftyone_reads_the_boxes_of_yolo(
    part: str, split: str, ingested: Path, published: Path, tmp_path: Path
) -> None:
    run_export(ingested, "yolo", tmp_path / "out", images="copy", photos=published)
    path = tmp_path / "out" / "data.yaml"
    assert fiftyone_yolo(path, part) == released_boxes(published / split)
    assert fiftyone_yolo(path, "test") == []
    for label in (tmp_path / "out" / "labels").rglob("*.txt"):
        label.write_text(shrink(label.read_text()))
    assert fiftyone_yolo(path, part) != released_boxes(published / split)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_fiftyone_reads_the_boxes_of_voc(split: str, ingested: Path, published: Path, tmp_path: Path) -> None:
    run_export(ingested, "voc", tmp_path / "out", images="copy", photos=published)
    photos, labels = tmp_path / "out" / "JPEGImages" / split, tmp_path / "out" / "Annotations" / split
    assert fiftyone_voc(photos, labels) == released_boxes(published / split, shift=1)
    for label in labels.iterdir():
        label.write_text(label.read_text().replace("<xmin>11<", "<xmin>12<"))
    assert fiftyone_voc(photos, labels) != released_boxes(published / split, shift=1)
    (photos / "000001.jpg").unlink()
    with pytest.raises(FileNotFoundError):
        fiftyone_voc(photos, labels)
