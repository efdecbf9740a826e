"""The manifest of an export: from which data it was made, how, what is in it; and whether it still is."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec

from registry import __version__
from registry.errors import NotFoundError, RegistryFormatError
from registry.exports.files import MANIFEST_NAME, Written
from registry.filesystems import StorageOptions
from registry.integrity import Check, check_files
from registry.storage import Place
from registry.tables import SCHEMA_VERSION

#: Version of the manifest itself.
EXPORT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ExportManifest:
    """What ``export.json`` holds. No clock, host or absolute path is in it.

    Attributes:
        format: name of the format.
        options: of the format, every one.
        images: what was done with the photos.
        subset: canonical options of the subset.
        subset_digest: of its canonical text.
        resplit: how it was divided anew (``fractions``, ``seed``, ``stratify``) and how evenly (``balance``), or None.
        registry: ``schema_version``, ``manifest_sha256`` and ``sources`` (split -> fingerprint) of the registry.
        revision: ``git`` commit of the repository the registry lies in and whether ``dvc_lock`` is "as committed" or
            "differs"; the ``dvc_stage`` that made it; empty where there is none of them.
        counts: part -> ``images``, ``items`` and what the format counts.
        left_out: entries of ``what``, ``why`` and ``number``.
        files: all files but the manifest, sorted by path.
    """

    format: str
    options: Mapping[str, Any]
    images: str
    subset: Mapping[str, Any]
    subset_digest: str
    resplit: Mapping[str, Any] | None
    registry: Mapping[str, Any]
    revision: Mapping[str, Any]
    counts: Mapping[str, Mapping[str, int]]
    left_out: Sequence[Mapping[str, Any]] = ()
    files: Sequence[Written] = field(default=(), repr=False)

    def to_json(self) -> bytes:
        """Return the manifest as deterministic JSON text, one file a line."""
        head = {
            "export_version": EXPORT_VERSION,
            "made_by": f"deepfashion2-registry {__version__}",
            "schema_version": SCHEMA_VERSION,
            **{name: getattr(self, name) for name in _PLAIN},
        }
        text = json.dumps(head, indent=1)[:-2].encode("ascii")
        lines = map(msgspec.json.Encoder().encode, map(_entry, self.files))  # there may be hundreds of thousands
        return text + b',\n "files": [\n  ' + b",\n  ".join(lines) + b"\n ]\n}\n"

    @classmethod
    def from_json(cls, data: bytes, where: str) -> ExportManifest:
        """Return the manifest in a JSON text.

        Raises:
            RegistryFormatError: it is none, or of a later version.
        """
        try:
            document: dict[str, Any] = json.loads(data)
            if document["export_version"] > EXPORT_VERSION:
                raise RegistryFormatError(
                    f"{where} has export version {document['export_version']}, this program reads up to "
                    f"{EXPORT_VERSION}: upgrade it."
                )
            files = [
                Written(one["path"], one["bytes"], bytes.fromhex(one["sha256"]) if "sha256" in one else None)
                for one in document["files"]
            ]
            return cls(**{name: document[name] for name in _PLAIN}, files=files)
        except (ValueError, KeyError, TypeError) as error:
            raise RegistryFormatError(f"{where} is not the manifest of an export: {error!r}") from error


_PLAIN: Final = tuple(name for name in ExportManifest.__dataclass_fields__ if name != "files")


def _entry(file: Written) -> dict[str, Any]:
    found: dict[str, Any] = {"path": file.path, "bytes": file.size}
    return found | ({"sha256": file.sha256.hex()} if file.sha256 else {"link": True})


def read_export(place: Place) -> ExportManifest:
    """Return the manifest of an export.

    Raises:
        NotFoundError: there is none.
        RegistryFormatError: it is none, or of a later version.
    """
    try:
        data = place.read(MANIFEST_NAME)
    except NotFoundError as error:
        raise NotFoundError(
            f"There is no export at {place}: expected {MANIFEST_NAME} in it, as 'df2 export' writes it last."
        ) from error
    return ExportManifest.from_json(data, f"{place}/{MANIFEST_NAME}")


def read_manifest_file(url: str, storage_options: StorageOptions | None = None) -> ExportManifest:
    """Return the manifest in a file, or in the folder of an export; a path or an fsspec URL.

    Raises:
        NotFoundError, RegistryFormatError: there is none.
    """
    folder, _, name = url.rpartition("/")
    if name.endswith(".json"):
        return ExportManifest.from_json(Place(folder or ".", storage_options).read(name), url)
    return read_export(Place(url, storage_options))


def verify_export(place: Place) -> Check:
    """Return how an export differs from its manifest. Every file is read; of a link, only the size is looked at.

    Raises:
        NotFoundError, RegistryFormatError: there is no export.
        StorageError: a file cannot be read.
    """
    manifest = read_export(place)
    named = {file.path: (file.size, file.sha256) for file in manifest.files}
    return check_files(place, manifest.format, named, MANIFEST_NAME)


def differing(old: Iterable[Written], new: Iterable[Written]) -> list[str]:
    """Return the paths of files that are not the same in two exports, sorted."""
    return sorted({file.path for file in set(old) ^ set(new)})
