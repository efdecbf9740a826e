"""An open registry in another process."""

from __future__ import annotations

import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

import registry
from registry.store.registry import Registry
from tests.helpers import SMALL_SPLIT, jpeg, write_split


def count(opened: Registry, query: str) -> int:
    """Return the number of a query."""
    ((number,),) = opened.sql(query).fetchall()
    return int(number)


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_a_registry_goes_to_another_process_with_tables_and_limits(small_registry: Path, start: str) -> None:
    scores = pa.table({"split": ["train"], "image_id": [1], "loss": [0.5]})
    opened = registry.open(str(small_registry), memory="512MiB", timeout=30, tables={"scores": scores})
    with ProcessPoolExecutor(1, multiprocessing.get_context(start)) as pool:
        for query in ("SELECT count(*) FROM items", "SELECT count(*) FROM scores"):
            assert pool.submit(count, opened, query).result() == count(opened, query)
    copy = pickle.loads(pickle.dumps(opened))
    assert (copy.limits.memory, copy.limits.timeout) == (512 << 20, 30)


def test_a_registry_keeps_its_photos_when_it_is_pickled(small_registry: Path, tmp_path: Path) -> None:
    photos = write_split(tmp_path / "photos" / "train", SMALL_SPLIT, {f"{k:06d}.jpg": jpeg() for k in SMALL_SPLIT})
    opened = registry.open(str(small_registry), photos=str(photos.parent))
    shown = opened.sql("FROM items LIMIT 1")._repr_html_()  # type: ignore[operator]
    copy = pickle.loads(pickle.dumps(opened))
    assert copy.sql("FROM items LIMIT 1")._repr_html_() == shown  # type: ignore[operator]
    assert "<img" in shown
    assert copy.thumbnails is not None
    assert copy.thumbnails.album.registry is copy  # type: ignore[attr-defined]


def test_a_relative_cache_is_the_same_folder_in_a_process_of_another_folder(
    small_registry: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert registry.open(str(small_registry), cache="blocks").opening()["cache"] == str(tmp_path / "blocks")
