"""Small WebDataset exports: a release of drawn photos in one size, and its shards."""

from __future__ import annotations

from pathlib import Path

from registry.ingest.build import ingest
from tests.exports.releases import run_export
from tests.helpers import annotation, item, jpeg, write_split

#: Images of train; the last shard is smaller than the others.
NUM_IMAGES = 23
SHARD_SIZE = 5


def write_shards(folder: Path, images: str = "copy") -> Path:
    """Return a folder of five shards with 23 images of train."""
    files = {k: annotation([item(1, 1)], "user" if k % 2 else "shop", k // 2) for k in range(1, NUM_IMAGES + 1)}
    write_split(folder / "release" / "train", files, {k: jpeg(20 + k, 30) for k in files})
    ingest("train", str(folder / "release"), str(folder / "registry"), jobs=1)
    run_export(
        folder / "registry",
        "webdataset",
        folder / "shards",
        images=images,
        photos=folder / "release",
        shard_size=SHARD_SIZE,
    )
    return folder / "shards"
