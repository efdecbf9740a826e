"""A data-versioned registry of DeepFashion2 with a queryable store.

>>> import registry
>>> df2 = registry.open("data/registry")                    # doctest: +SKIP
>>> df2.pairs(split="train", pair_id=1811).df()             # doctest: +SKIP
>>> df2.select(category="skirt", occlusion=1).summary()     # doctest: +SKIP
>>> registry.export(df2, "coco", "skirts", subset={"category": "skirt"})  # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from registry.version import __version__

if TYPE_CHECKING:
    from registry.exports.manifest import ExportManifest
    from registry.store.registry import Registry
    from registry.subset.options import Subset
    from registry.subset.resplit import Resplit

__all__ = ["__version__", "export", "open"]


def open(
    url: str = "data/registry",
    storage_options: Mapping[str, Any] | None = None,
    *,
    rev: str | None = None,
    repo: str | None = None,
    cache: str | None = None,
    memory: str | None = None,
    timeout: float | None = None,
) -> Registry:
    """Open a registry for reading.

    Args:
        url: folder or fsspec URL of the registry; with ``rev``, its path in the repository.
        storage_options: passed to fsspec for a remote one.
        rev: open it as of this git revision, through DVC; the work tree is not touched.
        repo: path or URL of the repository of ``rev``; that of the working directory without it.
        cache: folder that keeps what is read of a remote one, for other sessions and processes.
        memory: what DuckDB may use at most, such as ``"4GB"``; half of the machine's memory without it.
        timeout: seconds that a query may run; as long as it takes without it.

    Raises:
        registry.errors.NotFoundError: there is no registry, or no such revision.
        registry.errors.StorageError: it cannot be read, or fetched.
    """
    from registry.errors import UsageError
    from registry.store.registry import Registry

    if rev is not None:
        from registry.history.checkout import checkout

        url = str(checkout(rev, repo, url))
    elif repo is not None:
        raise UsageError("A repository is given and no revision of it: add rev (--rev).")
    return Registry(url, storage_options, cache=cache, memory=memory, timeout=timeout)


def export(
    registry: Registry,
    format: str,
    dest: str,
    *,
    subset: Subset | Mapping[str, Any] | None = None,
    resplit: Resplit | None = None,
    images: str | None = None,
    photos: str | Mapping[str, str] | None = None,
    password: str | None = None,
    overwrite: bool = False,
    storage_options: Mapping[str, Any] | None = None,
    follow_links: bool = False,
    **options: Any,
) -> ExportManifest:
    """Write a subset in the format of a trainer; return the manifest, which is in it as ``export.json``.

    Args:
        registry: an open registry.
        format: ``coco``, ``yolo``, ...; ``df2 export --help`` lists all.
        dest: new or empty folder, or an fsspec URL; gets everything or nothing.
        subset: a :class:`registry.subset.options.Subset` or its options, such as ``{"category": "skirt"}``.
        resplit: divides it anew (:meth:`registry.subset.resplit.Resplit.parse`).
        images: what happens to photos: ``none``, ``reference``, ``link`` or ``copy``, as the format can.
        photos: release that holds the photos; or one for each split.
        password: of its protected zips.
        overwrite: whether an earlier export at ``dest`` may be replaced.
        storage_options: passed to fsspec for ``dest`` and ``photos``.
        follow_links: whether photos may be links that lead out of their release.
        options: of the format, with underscores.

    Raises:
        registry.errors.UsageError: an option that does not exist, or a destination that is not empty.
        registry.errors.SourceError: a photo is missing.
        registry.errors.StorageError: the destination cannot be written; it is as it was.
    """
    from registry.exports import run
    from registry.history.git import revision_of
    from registry.subset.options import Subset

    chosen = subset if isinstance(subset, Subset) else Subset.of(**(subset or {}))
    plan = run.Plan.of(format, chosen, resplit=resplit, images=images, options=options)
    return run.export(
        registry,
        plan,
        dest,
        photos=photos,
        password=password,
        storage_options=storage_options,
        follow_links=follow_links,
        overwrite=overwrite,
        revision=revision_of(registry.place),
    )
