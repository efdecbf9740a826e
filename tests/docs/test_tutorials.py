"""Every block of the tutorials runs, in order, and has the output that the page shows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import supervision

from tests.docs.blocks import Block, read_blocks
from tests.docs.session import Session, packages_that_a_reader_lacks

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs/tutorials").glob("*.md"))
#: The page whose sample is drawn by its own command, which takes five seconds.
DRAWING = "train-a-detector"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_blocks_of_a_tutorial_run_in_order(page: Path, demo: Path, tmp_path: Path) -> None:
    blocks = read_blocks(page)
    if page.stem != DRAWING:
        blocks = with_drawn_sample(blocks, demo / "data/sample")
    folder, home = tmp_path / "work", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    with Session(folder, home, packages_that_a_reader_lacks(page)) as session:
        for block in blocks:
            session.run(block)
    if page.stem == DRAWING:
        read_with_supervision(folder / "yolo")


def with_drawn_sample(blocks: list[Block], sample: Path) -> list[Block]:
    """Return the blocks with a copy of the same sample in place of the command that draws it."""
    assert sum(block.text.count("df2 sample release\n") for block in blocks) == 1
    copied = f"cp -r '{sample}' release\n"
    return [dataclasses.replace(block, text=block.text.replace("df2 sample release\n", copied)) for block in blocks]


def read_with_supervision(export: Path) -> None:
    """Read a YOLO export as a trainer does: all photos of train have a label file, and boxes of the 13 classes."""
    dataset = supervision.DetectionDataset.from_yolo(
        images_directory_path=str(export / "images/train"),
        annotations_directory_path=str(export / "labels/train"),
        data_yaml_path=str(export / "data.yaml"),
    )
    assert (len(dataset), len(dataset.classes)) == (144, 13)
    assert sum(len(boxes) for _, _, boxes in dataset) == 280
