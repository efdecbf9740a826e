"""A small release with photos, its registry, and a shortcut to export from it."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

import registry
from registry.exports.manifest import ExportManifest
from registry.exports.run import Plan, export
from registry.history.git import revision_of
from registry.ingest.build import ingest
from registry.store.registry import Registry
from registry.subset.options import Subset
from registry.subset.resplit import Resplit
from tests.helpers import SMALL_SPLIT, jpeg, write_split
from tests.registries import VALIDATION

#: Returns the folder of an export, given its format and mode of photos.
Exported = Callable[[str, str], Path]
#: Size of every photo but those of test, which have 40 x 30 px.
PHOTO_SIZE = (200, 300)


def make_release(folder: Path) -> Path:
    """Write a release: train is ``SMALL_SPLIT``, validation a pair, test two photos without annotations."""
    for split, files in (("train", SMALL_SPLIT), ("validation", VALIDATION)):
        write_split(folder / split, files, {image_id: jpeg(*PHOTO_SIZE) for image_id in files})
    write_split(folder / "test", {}, {1: jpeg(), 2: jpeg()})
    return folder


def make_registry(release: Path, folder: Path) -> Path:
    """Ingest every split of a release."""
    for split in ("train", "validation", "test"):
        ingest(split, str(release), str(folder), jobs=1)
    return folder


@lru_cache(maxsize=2)
def opened_once(folder: str) -> Registry:
    """Return the open registry in a folder: opened again only after others, and up to date after a replacement."""
    return registry.open(folder)


def run_export(
    folder: Path,
    format: str,
    dest: Path | str,
    *,
    subset: dict[str, Any] | None = None,
    resplit: Resplit | None = None,
    images: str | None = None,
    photos: Path | str | None = None,
    overwrite: bool = False,
    classes: Any = None,
    **options: Any,
) -> ExportManifest:
    """Export from the registry in a folder; ``options`` are options of the format, with underscores."""
    plan = Plan.of(
        format, Subset.of(**(subset or {})), resplit=resplit, images=images, options=options, classes=classes
    )
    opened = opened_once(str(folder))
    return export(
        opened,
        plan,
        str(dest),
        photos=str(photos) if photos else None,
        overwrite=overwrite,
        revision=revision_of(opened.place),
    )
