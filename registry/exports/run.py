"""Runs an export: a subset of a registry, in a format, to a place."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from registry.errors import RegistryFormatError, UsageError, first_names
from registry.execution.progress import Progress
from registry.exports.destination import MANIFEST_NAME, Files, open_destination
from registry.exports.find import find_format
from registry.exports.format import Format
from registry.exports.manifest import ExportManifest, differing, read_export
from registry.sources.photos import Photos
from registry.storage.filesystems import StorageOptions
from registry.storage.place import Place
from registry.subset.options import Subset
from registry.subset.resplit import BALANCE, Resplit
from registry.subset.rows import Chunk, Part, Rows

if TYPE_CHECKING:
    import pyarrow as pa

    from registry.snapshot.manifest import Manifest
    from registry.store.registry import Registry


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that decides the bytes of an export, besides the data.

    Attributes:
        format: what it is written in.
        options: of the format.
        images: what happens to photos.
        subset: what is exported.
        resplit: how it is divided anew, or None.
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
        """Return a plan whose options are known to be sound.

        Raises:
            UsageError: the format or an option does not exist, or options do not go together.
        """
        found = find_format(format)
        chosen = images or found.images[0]
        if chosen not in found.images:
            raise UsageError(f"The format {format} takes --images {' or '.join(found.images)}, not {chosen}.")
        values = found.read_options(options or {})
        found.check_options(values, chosen)
        return cls(found, values, chosen, subset or Subset(), resplit)

    @classmethod
    def of_manifest(cls, manifest: ExportManifest) -> Plan:
        """Return the plan that an export was made by.

        Raises:
            RegistryFormatError: a format, option or value in the manifest does not exist.
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


class _Job:
    """One export on its way; a :class:`registry.exports.format.Job`."""

    def __init__(
        self,
        plan: Plan,
        rows: Rows,
        files: Files,
        photos: Photos | None,
        progress: Progress | None,
    ) -> None:
        self.files = files
        self.options = plan.options
        self.images = plan.images
        self.counts = {part.name: dict(rows.counts(part)) for part in rows.parts}
        self.left_out: Counter[tuple[str, str]] = Counter()
        self._format = plan.format
        self._rows = rows
        self._photos = photos
        self._progress = progress
        self._done = 0
        self._total = sum(counts["images"] for counts in self.counts.values())

    @property
    def parts(self) -> Sequence[Part]:
        return self._rows.parts

    @property
    def divided(self) -> bool:
        return self._rows.divided

    def chunks(self, part: Part, columns: Sequence[str] = ()) -> Iterator[Chunk]:
        for chunk in self._rows.chunks(part, columns):
            yield chunk
            if columns and self._progress:
                self._done += chunk.images.num_rows
                self._progress(min(self._done, self._total), self._total)

    def pairs(self, part: Part, negatives: int = 0, hard_negatives: int = 0, seed: int = 0) -> Iterator[pa.RecordBatch]:
        return self._rows.pairs(part, negatives, hard_negatives, seed)

    def photo_names(self, chunk: Chunk) -> list[str]:
        if self.images in ("link", "copy"):
            return [f"{chunk.part.name}/{name}" for name in chunk.file_names()]
        return [f"{chunk.split}/image/{name}" for name in chunk.images.column("file_name").to_pylist()]

    def photos(self, chunk: Chunk) -> Iterator[bytes]:
        return self._need_photos().read(chunk.split, chunk.images.column("image_id").to_pylist())

    def put_photos(self, chunk: Chunk, names: Iterable[str]) -> None:
        photos = self._need_photos()
        image_ids = chunk.images.column("image_id").to_pylist()
        if self.images == "link":
            for name, path in zip(names, photos.paths(chunk.split, image_ids), strict=True):
                self.files.link(name, path)
        else:
            self.files.write_all(zip(names, photos.read(chunk.split, image_ids), strict=True))

    def leave_out(self, what: str, why: str, number: int = 1) -> None:
        self.left_out[what, why] += number

    def count(self, part: Part, what: str, number: int) -> None:
        counts = self.counts[part.name]
        counts[what] = counts.get(what, 0) + number

    def run(self) -> None:
        """Write the files of the format, and the photos where they stand beside them."""
        self._format.run(self)
        if self.images in ("link", "copy") and self._format.photo_path:
            for part in self.parts:
                for chunk in self.chunks(part):
                    path = self._format.photo_path
                    self.put_photos(chunk, (path.format(part=part.name, name=name) for name in chunk.file_names()))

    def _need_photos(self) -> Photos:
        if self._photos is None:
            raise UsageError(
                "Photos are needed: --photos RELEASE names the folder or URL that holds them, as for 'df2 ingest'."
            )
        return self._photos


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
) -> ExportManifest:
    """Write an export and return its manifest, which is in it as ``export.json``.

    A local destination gets all files at once, at the end; a remote one its manifest last. What fails leaves nothing.

    Args:
        registry: an open registry.
        plan: what is exported and how.
        dest: folder or fsspec URL; made if it is not there.
        photos: release that holds the photos, where they are linked, copied or read; or one for each split.
        password: of its protected zips.
        storage_options: passed to fsspec for ``dest`` and ``photos``.
        follow_links: whether photos may be links that lead out of the release.
        overwrite: whether an earlier export at ``dest`` may be replaced. Never replaced is what no export wrote.
        revision: of the registry, for the manifest: :func:`registry.history.git.revision_of`.
        progress: called with the images done and all images.

    Raises:
        UsageError: the destination is not empty, or photos are needed and not given.
        SourceError: a photo is missing or cannot be read.
        StorageError: the destination cannot be written; it is as it was.
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
    found = Photos(photos, password, storage_options, follow_links=follow_links) if photos else None
    with files.hold():
        job = _Job(plan, rows, files, found, progress)
        job.run()
        files.wait()
        manifest = _manifest(plan, job, rows.manifest, revision or {}, rows.balance)
        files.finish(manifest.to_json())
        logging.getLogger(__name__).info("%s: %d files written to %s", plan.format.name, len(manifest.files), dest)
    return manifest


def export_again(
    registry: Registry, old: ExportManifest, dest: str, **options: Any
) -> tuple[ExportManifest, list[str]]:
    """Make an export again from its manifest; return the new manifest and the files that became different.

    Args:
        registry: the registry; it has to hold the same data.
        old: the manifest of the export.
        dest: as for :func:`export`, which takes the other arguments too.
        options: of :func:`export`.

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
    """Return the files of the export at a place that is not empty; raise if it may not be replaced."""
    if not overwrite:
        remedy = " --overwrite replaces it." if MANIFEST_NAME in paths else ""
        raise UsageError(f"{place} is not empty.{remedy or ' Expected a new or empty folder.'}")
    if MANIFEST_NAME not in paths:
        raise UsageError(f"{place} holds {paths[0]} and no export; --overwrite replaces nothing but exports.")
    named = {file.path for file in read_export(place).files} | {MANIFEST_NAME}
    extra = [path for path in paths if path not in named]
    if extra:
        raise UsageError(f"{place} holds {first_names(extra, 1)}, which no export wrote: move or remove it first.")
    return named


def _manifest(
    plan: Plan, job: _Job, registry: Manifest, revision: Mapping[str, Any], balance: Sequence[Mapping[str, Any]]
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
