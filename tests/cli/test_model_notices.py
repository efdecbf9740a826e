"""Notices of vectors that are out of date, after commands that change items or photos."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from registry.embeddings.add import add_embeddings
from tests.cli.conftest import Run
from tests.helpers import annotation, item, photo, write_split

_WAY_OUT = "; the view embedding_states has their keys, and 'df2 embeddings add --replace' renews them"


def write_release(folder: Path, numbers: tuple[int, int], left: int = 10, size: tuple[int, int] = (40, 30)) -> None:
    """Write two images with so many items each; the first box begins at ``left``."""
    shutil.rmtree(folder, ignore_errors=True)
    first = [item(1, bounding_box=[left, 20, 110, 220]), item(8)]
    images: dict[int | str, Any] = {1: annotation(first[: numbers[0]]), 2: annotation([item(8), item(9)][: numbers[1]])}
    write_split(folder / "train", images, {1: photo(), 2: photo(*size)})


@pytest.fixture
def release(tmp_path: Path, run: Run) -> Path:
    """Return a release whose items are in ./registry, all with a vector."""
    write_release(tmp_path / "release", (1, 2))
    assert run("ingest", "--split", "train", "-j", 1, "release", "registry", registry=None).exit_code == 0
    assert run("photos", "describe", "--photos", "release", "-j", 1, registry="registry").exit_code == 0
    keys = {"split": ["train"] * 3, "image_id": [1, 2, 2], "item_no": [1, 1, 2]}
    add_embeddings(str(tmp_path / "registry"), "toy", pa.table({**keys, "vector": [[1.0, 2.0]] * 3}))
    return tmp_path / "release"


def test_an_ingestion_counts_the_vectors_that_are_out_of_date(release: Path, run: Run) -> None:
    write_release(release, (2, 1), left=11)
    result = run("ingest", "--split", "train", "-j", 1, "release", "registry", registry=None)
    assert result.exit_code == 0, result.output
    assert (
        "note: model toy, train: 1 vector of an item whose box or photo changed, 1 vector of no item, "
        f"1 item without a vector{_WAY_OUT}"
    ) in result.stderr


def test_photos_that_changed_are_counted_when_they_are_described(release: Path, run: Run) -> None:
    write_release(release, (1, 2), size=(41, 30))
    result = run("photos", "describe", "--photos", "release", "-j", 1, registry="registry")
    assert f"note: model toy, train: 2 vectors of an item whose box or photo changed{_WAY_OUT}" in result.stderr


def test_vectors_that_fit_are_not_named(release: Path, run: Run) -> None:
    result = run("ingest", "--split", "train", "-j", 1, "release", "registry", registry=None)
    assert result.exit_code == 0
    assert "model toy" not in result.stderr
