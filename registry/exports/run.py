"""Runs an export: writes a subset of a registry in a format to a destination."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.errors import RegistryFormatError, UsageError, first_names
from registry.execution.progress import Progress
from registry.exports.destination import open_destination
from registry.exports.files import MANIFEST_NAME
from registry.exports.find import find_format
from registry.exports.format import Format
from registry.exports.job import Job
from registry.exports.manifest import ExportManifest, differing, read_export
from registry.sources.photos import Photos
from registry.storage.filesystems import StorageOptions
from registry.storage.place import Place
from registry.subset.options import Subset
from registry.subset.resplit import BALANCE, Resplit

if TYPE_CHECKING:
    from registry.snapshot.manifest import Manifest
    from registry.store.registry import Registry


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything besides the data that decides the bytes of an export.

    Attributes:
        format: the export format.
        options: value of every option of the format.
        images: mode of photos, from :data:`registry.exports.format.IMAGES`.
        subset: the items to export.
        resplit: the new division into parts, or None to keep the splits.
    """

    format: Format
    options: Mapping[str, Any]
    images: str
    subset: Subset
    resplit: Resplit | None = None

    @classmethod
    def of(
        cls,
        format: str,
        subset: Subset | None = None,
        *,
        resplit: Resplit | None = None,
        images: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Plan:
        """Return a plan with checked options.

        Raises:
            UsageError: the format or an option does not exist, or options cannot be combined.
        """
        export_format = find_format(format)
        mode = images or export_format.images[0]
        if mode not in export_format.images:
            raise UsageError(f"The format {format} takes --images {' or '.join(export_format.images)}, not {mode}.")
        values = export_format.read_options(options or {})
        export_format.check_options(values, mode)
        return cls(export_format, values, mode, subset or Subset(), resplit)

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
    overwrite: bool = False,
    revision: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
    on_notice: Callable[[str], None] | None = None,
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
        overwrite: whether an earlier export at ``dest`` may be replaced. Other files are never replaced.
        revision: revision of the registry for the manifest, from :func:`registry.history.git.revision_of`.
        progress: called with the number of images done and in total.
        on_notice: called with each oddity of the photos' places that was accepted.

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
    files = open_destination(dest, storage_options, lambda place, paths: _check_overwrite(place, paths, overwrite))
    rows = Selection(registry.snapshot(), plan.subset, plan.resplit)
    source = Photos(photos, password, storage_options, follow_links=follow_links) if photos else None
    with files.hold():
        job = Job(plan.options, plan.images, rows, files, source, progress)
        plan.format.run(job)
        _put_photos(plan, job)
        files.wait()
        manifest = _manifest(plan, job, rows.manifest, revision or {}, rows.balance)
        files.finish(manifest.to_json())
        logging.getLogger(__name__).info("%s: %d files written to %s", plan.format.name, len(manifest.files), dest)
    if source and on_notice:
        for notice in source.notices:
            on_notice(notice)
    return manifest


def _put_photos(plan: Plan, job: Job) -> None:
    """Link or copy photos to ``photo_path`` of the format."""
    path = plan.format.photo_path
    if plan.images not in ("link", "copy") or path is None:
        return
    for part in job.parts:
        for chunk in job.chunks(part):
            job.put_photos(chunk, (path.format(part=part.name, name=name) for name in chunk.file_names()))


def export_again(
    registry: Registry, old: ExportManifest, dest: str, **options: Any
) -> tuple[ExportManifest, list[str]]:
    """Repeat an export from its manifest; return the new manifest and the sorted paths of files that differ.

    Args:
        registry: must hold the same data as the registry of the export.
        old: manifest of the earlier export.
        dest: destination, as for :func:`export`.
        options: further arguments of :func:`export`.

    Raises:
        UsageError: the registry holds other data.
    """
    digest = _digest(registry.manifest)
    if digest != old.registry["manifest_sha256"]:
        commit = old.revision.get("git")
        remedy = f" 'git checkout {commit}' and 'dvc checkout' bring it back." if commit else ""
        raise UsageError(
            f"The export was made from other data: the manifest of its registry has the sha256 "
            f"{old.registry['manifest_sha256'][:16]}…, that of {registry.place} {digest[:16]}….{remedy}"
        )
    new = export(registry, Plan.of_manifest(old), dest, **options)
    return new, differing(old.files, new.files)


def _check_overwrite(place: Place, paths: list[str], overwrite: bool) -> set[str]:
    """Return the paths of the export at a place; raise a UsageError if its content may not be replaced."""
    if not overwrite:
        remedy = " --overwrite replaces it." if MANIFEST_NAME in paths else ""
        raise UsageError(f"{place} is not empty.{remedy or ' Expected a new or empty folder.'}")
    if MANIFEST_NAME not in paths:
        raise UsageError(f"{place} holds {paths[0]} and no export; --overwrite replaces nothing but exports.")
    written = {file.path for file in read_export(place).files} | {MANIFEST_NAME}
    extra = [path for path in paths if path not in written]
    if extra:
        raise UsageError(f"{place} holds {first_names(extra, 1)}, which no export wrote: move or remove it first.")
    return written


def _manifest(
    plan: Plan, job: Job, registry: Manifest, revision: Mapping[str, Any], balance: Sequence[Mapping[str, Any]]
) -> ExportManifest:
    resplit = plan.resplit
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
            "balance": [{name: row[name] for name in BALANCE} for row in balance],
        }
        if resplit
        else None,
        registry={
            "schema_version": registry.schema_version,
            "manifest_sha256": _digest(registry),
            "sources": registry.sources,
        },
        revision=dict(revision),
        counts=job.counts,
        left_out=[{"what": what, "why": why, "number": number} for (what, why), number in sorted(job.left_out.items())],
        files=sorted(job.files.written),
    )


def _digest(manifest: Manifest) -> str:
    return hashlib.sha256(manifest.to_json()).hexdigest()
