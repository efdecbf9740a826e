"""Fixtures of the tests of sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers import SMALL_SPLIT, jpeg, write_split

PHOTOS: dict[int | str, bytes] = {image_id: jpeg(40 + int(image_id), 30) for image_id in SMALL_SPLIT}


@pytest.fixture
def photographed(tmp_path: Path) -> Path:
    """Return a folder with annotations and photos."""
    return write_split(tmp_path / "train", SMALL_SPLIT, PHOTOS)
