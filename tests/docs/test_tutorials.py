"""Every block of the tutorials runs, in order, and has the output that the page shows."""

from __future__ import annotations

from pathlib import Path

import pytest
import supervision

from tests.docs.blocks import read_blocks
from tests.docs.session import Session

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/tutorials").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_tutorial_run_in_order(page: Path, tmp_path: Path) -> None:
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    with Session(folder, home) as session:
        for block in read_blocks(page):
            session.run(block)
    if page.stem == "train-a-detector":
        read_with_supervision(folder / "yolo")


def read_with_supervision(export: Path) -> None:
    """Read a YOLO export as a trainer does: all photos of train have a label file, and boxes of the 13 classes."""
    dataset = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(export / "images/train"),
        annotations_directory_path=str(export / "labels/train"),
        data_yaml_path=str(export / "data.yaml"),
    )
    assert (len(dataset), len(dataset.classes)) == (144, 13)
    assert sum(len(boxes) for _, _, boxes in dataset) == 280
