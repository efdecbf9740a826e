"""Runs an export: writes a subset of a registry in a format to a destination."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry.errors import RegistryFormatError, UsageError
from registry.execution.progress import Progress
from registry.exports.columns.own_values import own_columns
from registry.exports.destination import open_destination
from registry.exports.find import find_format
from registry.exports.format import Format
from registry.exports.job import Job
from registry.exports.manifest import ExportManifest, differing
from registry.exports.notices import notices
from registry.exports.overwrite import OverwriteCheck
from registry.sources.cluster_places import for_workers
from registry.sources.photo_cache import CACHE_FOLDER, PhotoCache
from registry.sources.photos import Photos
from registry.storage.filesystems import StorageOptions, local_path
from registry.storage.place import Place
from registry.store.on_workers import for_registry
from registry.subset.classes import ClassChoice, Classes, categories_of, read_choice, read_document
from registry.subset.item_list import ItemList, read_item_list
from registry.subset.options import Subset
from registry.subset.resplit import BALANCE, Resplit

if TYPE_CHECKING:
    from registry.store.registry import Registry
    from registry.store.selection import Selection


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything besides the data that decides the bytes of an export.

    Attributes:
        format: the export format.
        options: value of every option of the format.
        images: mode of photos, from :data:`registry.exports.format.IMAGES`.
        subset: the items to export.
        resplit: the new division into parts, or None to keep the splits.
        classes: the choice of classes, or None for the 13 categories; see :mod:`registry.subset.classes`.
    """

    format: Format
    options: Mapping[str, Any]
    images: str
    subset: Subset
    resplit: Resplit | None = None
    classes: ClassChoice = None

    @classmethod
    def of(
        cls,
        format: str,
        subset: Subset | None = None,
        *,
        resplit: Resplit | None = None,
        images: str | None = None,
        options: Mapping[str, Any] | None = None,
        classes: Any = None,
    ) -> Plan:
        """Return a plan with checked options.

        Args:
            format: name of the format.
            subset: the items to export; by default all.
            resplit: the new division into parts.
            images: mode of photos; by default the first of the format.
            options: options of the format that do not have their default.
            classes: ``present``, a text, a file or a mapping, for :func:`registry.subset.classes.read_choice`.

        Raises:
            UsageError: the format or an option does not exist, or options cannot be combined.
        """
        export_format = find_format(format)
        mode = images or export_format.images[0]
        if mode not in export_format.images:
            raise UsageError(f"The format {format} takes --images {' or '.join(export_format.images)}, not {mode}.")
        values = export_format.read_options(options or {})
        export_format.check_options(values, mode)
        if classes is not None and not export_format.has_classes:
            raise UsageError(
                f"The format {format} takes no --classes: it has the 13 categories, as the release numbers them."
            )
        return cls(export_format, values, mode, subset or Subset(), resplit, read_choice(classes))

    @classmethod
    def of_manifest(cls, manifest: ExportManifest) -> Plan:
        """Return the plan of an earlier export.

        Raises:
            RegistryFormatError: the manifest names a format, option or value that does not exist.
        """
        resplit = manifest.resplit
        try:
            return cls.of(
                manifest.format,
                Subset.of_document(manifest.subset),
                resplit=Resplit.parse(resplit["fractions"], resplit["seed"], resplit["stratify"]) if resplit else None,
                images=manifest.images,
                options=manifest.options,
                classes=read_document(manifest.classes),
            )
        except UsageError as error:
            raise RegistryFormatError(f"The manifest of the export cannot be followed: {error}") from error


def export(
    registry: Registry,
    plan: Plan,
    dest: str,
    *,
    photos: str | Mapping[str, str] | None = None,
    password: str | None = None,
    storage_options: StorageOptions | None = None,
    follow_links: bool = False,
    photo_cache: str | None = None,
    overwrite: bool = False,
    revision: Mapping[str, Any] | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> ExportManifest:
    """Write an export and return its manifest, which the export holds as ``export.json``.

    All files appear at a local destination at once; a remote destination gets the manifest last. A failed export leaves
    no files.

    Args:
        registry: an open registry.
        plan: the format, its options and the subset.
        dest: folder or fsspec URL; created if missing.
        photos: release with the photos (folder or URL), or a release for each split; needed to link, copy or read
            photos.
        password: of the release's protected zips.
        storage_options: passed to fsspec for ``dest`` and ``photos``.
        follow_links: whether photos may be links that lead out of the release.
        photo_cache: folder that keeps photos to link to, also those of folders; without it, photos of archives and
            remote places are kept in the folder of the registry.
        overwrite: whether an earlier export at ``dest`` may be replaced. Other files are never replaced, but those
            that trainers left there are removed with it (:func:`registry.exports.overwrite.OverwriteCheck`).
        revision: revision of the registry for the manifest, from :func:`registry.history.git.revision_of`.
        executor: makes the files' texts and cuts crops on other machines, as for
            :func:`registry.ingest.build.ingest`, for formats with ``uses_cluster``; the others do without.
        progress: called with the number of images done and in total; an image counts twice if its photo is put there
            after the files of the format.

    Raises:
        UsageError: the destination is not empty, or photos are needed but not given.
        SourceError: a photo is missing or cannot be read.
        StorageError: the destination cannot be written; a local destination is unchanged, a remote destination holds no
            export.
        UnknownNameError, QueryError: the subset does not fit the registry.
    """
    from registry.store.selection import Selection

    if plan.images in ("link", "copy") and photos is None:
        without = " Or choose --images none." if "none" in plan.format.images else ""
        raise UsageError(
            f"--images {plan.images} needs --photos RELEASE: the folder or URL that holds the photos, as for "
            f"'df2 ingest'.{without}"
        )
    if photo_cache is not None and plan.images != "link":
        raise UsageError(f"--photo-cache keeps photos for --images link, and this export has --images {plan.images}.")
    check = OverwriteCheck(overwrite)
    if photo_cache is not None:
        _check_cache_outside(photo_cache, dest)
    files = open_destination(dest, storage_options, check)
    rows = Selection(
        registry.snapshot(), plan.subset, plan.resplit, categories_of(plan.classes), own_columns(plan.options)
    )
    _check_known(plan, rows)
    category_counts = {part.name: rows.category_counts(part) for part in rows.parts}
    classes = Classes.of(plan.classes, sorted(set().union(*category_counts.values())))
    source = None
    workers = executor if plan.format.uses_cluster else None
    cluster = for_registry(workers, registry)
    if photos:
        of_photos, _, photos = for_workers(workers, 1, photos, storage_options, password)
        cluster = of_photos or cluster  # the first keeps the password of the photos to itself
        cache = _photo_cache(registry.place, photo_cache)
        caches_all = photo_cache is not None
        source = Photos(
            photos, password, storage_options, follow_links=follow_links, cache=cache, caches_all=caches_all
        )
    photo_path = plan.format.photo_path if plan.images in ("link", "copy") else None
    with files.hold():
        job = Job(
            plan.options,
            plan.images,
            rows,
            files,
            source,
            progress,
            classes=classes,
            cluster=cluster,
            puts_photos=photo_path is not None,
        )
        plan.format.run(job)
        if photo_path is not None:
            job.put_all_photos(photo_path)
        files.wait()
        job.end_progress()
        class_counts = {part: classes.counts(counts) for part, counts in category_counts.items()}
        manifest = _manifest(plan, job, rows, check, revision or {}, class_counts if plan.classes else {})
        files.finish(manifest.to_json())
        logging.getLogger(__name__).info("%s: %d files written to %s", plan.format.name, len(manifest.files), dest)
    return manifest


def _check_known(plan: Plan, rows: Selection) -> None:
    """Check that items have the values that the format cannot do without.

    Raises:
        UsageError: some do not, as they come from a COCO file; the message counts them and says how to have the values.
    """
    texts = rows.unknown(plan.format.needs_of(plan.options))
    if texts:
        without = " Or choose --landmarks none." if plan.format.name == "coco" else ""
        raise UsageError(f"{plan.format.name} needs values that items do not have. {' '.join(texts)}{without}")


def _check_cache_outside(photo_cache: str, dest: str) -> None:
    """Check that the photo cache does not lie in the export, which would replace or refuse it.

    Raises:
        UsageError: it does.
    """
    cache, folder = local_path(photo_cache), local_path(dest)
    if cache is not None and folder is not None and cache.resolve().is_relative_to(folder.resolve()):
        raise UsageError(f"--photo-cache {photo_cache} lies in {dest}, the export: expected a folder outside of it.")


def _photo_cache(place: Place, folder: str | None) -> PhotoCache | None:
    """Return the cache in a folder, or in that of the registry; None where that cannot hold a cache.

    A registry may be remote, or its folder or one above it an output of ``dvc add``, which would then hold the photos.

    Raises:
        UsageError: the folder is a URL.
    """
    if folder is None:
        if place.path is None:
            return None
        registry = place.path.absolute()
        if any(Path(f"{above}.dvc").is_file() for above in (registry, *registry.parents)):
            return None
        return PhotoCache(place.path / CACHE_FOLDER)
    path = local_path(folder)
    if path is None:
        raise UsageError(f"--photo-cache {folder}: expected a local folder, as exports link to the photos in it.")
    return PhotoCache(path)


def export_again(
    registry: Registry, old: ExportManifest, dest: str, *, items: Any = None, **options: Any
) -> tuple[ExportManifest, list[str]]:
    """Repeat an export from its manifest; return the new manifest and the sorted paths of files that differ.

    Args:
        registry: must hold the same data as the registry of the export, with the same tables of the user.
        old: manifest of the earlier export.
        dest: destination, as for :func:`export`.
        items: the list of items of the export, as for :meth:`registry.subset.options.Subset.of`; None without any.
        options: further arguments of :func:`export`.

    Raises:
        UsageError: the registry holds other data, or tables or the list of items are missing or are others.
    """
    from registry.store.own_tables import check_digests

    digest = registry.manifest.sha256
    if digest != old.registry["manifest_sha256"]:
        commit = old.revision.get("git")
        remedy = f" 'git checkout {commit}' and 'dvc checkout' bring it back." if commit else ""
        raise UsageError(
            f"The export was made from other data: the manifest of its registry has the sha256 "
            f"{old.registry['manifest_sha256'][:16]}…, that of {registry.place} {digest[:16]}….{remedy}"
        )
    check_digests(old.tables, registry.own_tables)
    plan = Plan.of_manifest(old)
    plan = replace(plan, subset=replace(plan.subset, items=_same_items(plan.subset.items, items)))
    new = export(registry, plan, dest, **options)
    return new, differing(old.files, new.files)


def _same_items(old: ItemList | None, value: Any) -> ItemList | None:
    """Return the list of items of an export that is made again.

    Raises:
        UsageError: it is missing, or not the list of the earlier export.
    """
    new = None if value is None else read_item_list(value, "items")
    if old is None and new is None:
        return None
    if old is None:
        raise UsageError("The export was made without a list of items: leave out --items.")
    if new is None:
        raise UsageError(f"The export was made with a list of items, {old.text}: add --items FILE with the same keys.")
    if new != old:
        raise UsageError(
            f"The export was made with the list of items {old.text}; the list that is given is {new.text}."
        )
    return new


def _manifest(
    plan: Plan,
    job: Job,
    rows: Selection,
    check: OverwriteCheck,
    revision: Mapping[str, Any],
    class_counts: Mapping[str, Mapping[str, int]],
) -> ExportManifest:
    resplit, registry = plan.resplit, rows.manifest
    return ExportManifest(
        format=plan.format.name,
        options=dict(plan.options),
        images=plan.images,
        subset=plan.subset.to_dict(),
        subset_digest=plan.subset.digest,
        resplit={
            "fractions": resplit.text,
            "seed": resplit.seed,
            "stratify": resplit.stratify,
            "balance": [{name: row[name] for name in BALANCE} for row in rows.balance],
        }
        if resplit
        else None,
        registry={
            "schema_version": registry.schema_version,
            "manifest_sha256": registry.sha256,
            "sources": registry.sources,
        },
        revision=dict(revision),
        classes=plan.classes,
        tables=rows.used_tables,
        counts=job.counts,
        class_counts=class_counts,
        left_out=[{"what": what, "why": why, "number": number} for (what, why), number in sorted(job.left_out.items())],
        notices=[*notices(plan.format, job, rows), *check.notices()],
        files=sorted(job.files.written),
    )
