"""Small registries for tests of several rooms."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from registry.ingest.build import ingest
from registry.sample import write_sample
from registry.snapshot.manifest import rebuild_manifest
from registry.snapshot.sync import sync
from registry.storage.place import Place
from tests.helpers import SMALL_SPLIT, annotation, columns_since, item, jpeg, write_split

#: A user and a shop image of an identity with the pair_id and style of an identity in train.
VALIDATION: dict[int | str, Any] = {
    1: annotation([item(7, 1)], "user", 1),
    2: annotation([item(7, 1)], "shop", 1),
}

#: As few files as a registry has with a pair in it, and its next version: for places where each file takes time.
FEW: dict[int | str, Any] = {
    1: annotation([item(1, 1), item(8, 2)], "user", 1),
    3: annotation([item(1, 1)], "shop", 1),
}
NEXT_FEW: dict[int | str, Any] = {**FEW, 9: annotation([item(8, 1)], "shop", 3)}


def make_newer(old: Path, folder: Path) -> Path:
    """Return a newer version of a registry: a copy in which train has an added image of another category.

    Args:
        old: registry whose train split is ``SMALL_SPLIT``.
        folder: parent folder of the copy.
    """
    sync(Place(str(old)), Place(str(folder / "newer")))
    changed = {**SMALL_SPLIT, 9: annotation([item(2, 1)], "shop", 3)}
    ingest("train", str(write_split(folder / "changed" / "train", changed)), str(folder / "newer"), jobs=1)
    return folder / "newer"


def make_version_2(folder: Path) -> Path:
    """Convert a registry in place to schema version 2, which has no orientation, corrections and table photos."""
    for table in ("corrections", "photos"):
        shutil.rmtree(folder / table)
    for path in sorted(folder.rglob("*.parquet")):
        with pq.ParquetFile(path) as file:
            table, metadata = file.read(), dict(file.metadata.metadata)
        table = table.select([name for name in table.column_names if name not in columns_since(3)])
        with pq.ParquetWriter(path, table.schema, store_schema=False) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({**metadata, b"df2.schema_version": b"2"})
        path.rename(path.with_name(f"{hashlib.sha256(path.read_bytes()).hexdigest()[:16]}.parquet"))
    (folder / "manifest.json").write_bytes(rebuild_manifest(Place(str(folder))).to_json())
    return folder


def make_demo(folder: Path) -> Path:
    """Return the registry of 'df2 sample' and 'df2 ingest', ``data/registry`` beside ``data/sample`` in the folder."""
    target = folder / "data/registry"
    write_sample(folder / "data/sample")
    for split in ("train", "validation", "test"):
        ingest(split, str(folder / "data/sample"), str(target), jobs=1)
    return target


def make_three_splits(folder: Path) -> Path:
    """Return a registry of train (``SMALL_SPLIT``), validation (``VALIDATION``) and test (two photos)."""
    target = folder / "registry"
    ingest("train", str(write_split(folder / "train", SMALL_SPLIT)), str(target), jobs=1)
    ingest("validation", str(write_split(folder / "validation", VALIDATION)), str(target), jobs=1)
    ingest("test", str(write_split(folder / "test", {}, {1: jpeg(), 2: jpeg(20, 50)})), str(target), jobs=1)
    return target


#: Items 1 and 2 of image 1 are labelled twice, its item 3 has no box; the shop photo of pair_id 2 is missing.
ODD_SPLIT: dict[int | str, Any] = {
    1: annotation([item(9, 1), item(9, 2), item(7, 0, bounding_box=[5, 5, 5, 5])], "user", 1),
    2: annotation([item(9, 1)], "shop", 1),
    3: annotation([item(9, 4)], "user", 2),
}


def make_odd(folder: Path) -> Path:
    """Return a registry whose train split (``ODD_SPLIT``) has an odd row of some checks; the photo of image 3 lacks."""
    train = write_split(folder / "train", ODD_SPLIT, {1: jpeg(300, 400), 2: jpeg(300, 400)})
    ingest("train", str(train), str(folder / "registry"), jobs=1)
    return folder / "registry"
