"""The manifest of an export: source data, options, counts and files; and the check of an export against it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from registry.dataset.names import Count, RelativePath, Sha256, ShortText, SplitName, Version, leading_out, parse_json
from registry.dataset.tables import SCHEMA_VERSION
from registry.dataset.terms import TERMS, TERMS_ID, TERMS_URL
from registry.errors import NotFoundError
from registry.exports.files import MANIFEST_NAME, Written
from registry.snapshot.verify import Check, check_files
from registry.storage.filesystems import StorageOptions
from registry.storage.place import Place
from registry.version import __version__

#: Version of the manifest's layout.
EXPORT_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class ExportManifest:
    """The content of ``export.json``, without time, host name or absolute paths.

    The file also names the terms of the data (``licence``), which are the same in every export.

    Attributes:
        format: name of the format.
        options: value of every option of the format.
        images: mode of photos.
        subset: canonical options of the subset.
        subset_digest: sha256 of the canonical text of the subset.
        resplit: ``fractions``, ``seed`` and ``stratify`` of the resplit, and its ``balance``; None without a resplit.
        registry: ``schema_version``, ``manifest_sha256`` and ``sources`` (split -> fingerprint) of the registry.
        revision: ``git`` commit of the repository of the registry with ``dvc_lock`` "as committed" or "differs"; or the
            ``dvc_stage`` that ran the export; empty outside of a repository.
        counts: part -> ``images``, ``items`` and the counts of the format.
        classes: the choice of ``--classes``: ``present``, or class -> names of its categories; None without it.
        tables: SHA-256 of each table of the user that the condition or the columns name, by name.
        class_counts: part -> class -> number of items, in the order of the classes; empty without ``--classes``.
        left_out: rows missing or changed in the files: ``what``, ``why`` and ``number``.
        notices: plain sentences with a count: what was left out, changed or is odd, and the way out where there is one.
        files: all files except the manifest, sorted by path.
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
    classes: str | Mapping[str, Sequence[str]] | None = None
    tables: Mapping[str, str] = field(default_factory=dict)
    class_counts: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    left_out: Sequence[Mapping[str, Any]] = ()
    notices: Sequence[str] = ()
    files: Sequence[Written] = field(default=(), repr=False)

    def to_json(self) -> bytes:
        """Return the manifest as deterministic JSON, a line per file."""
        head = {
            "export_version": EXPORT_VERSION,
            "made_by": f"deepfashion2-registry {__version__}",
            "schema_version": SCHEMA_VERSION,
            "licence": {"id": TERMS_ID, "terms": TERMS, "url": TERMS_URL},
            **{name: getattr(self, name) for name in _PLAIN},
        }
        text = json.dumps(head, indent=1)[:-2].encode("ascii")
        lines = map(msgspec.json.Encoder().encode, map(_entry, self.files))  # up to hundreds of thousands
        return text + b',\n "files": [\n  ' + b",\n  ".join(lines) + b"\n ]\n}\n"

    @classmethod
    def from_json(cls, data: bytes, where: str) -> ExportManifest:
        """Parse the JSON of a manifest; ``where`` names it in errors.

        Raises:
            RegistryFormatError: the JSON is no manifest of an export, or a later version.
        """
        document = parse_json(
            data, _QuickDocument, where, "the manifest of an export", "export_version", EXPORT_VERSION, _Document
        )
        plain = {name: msgspec.to_builtins(getattr(document, name)) for name in _PLAIN}
        from_hex = bytes.fromhex
        files = [
            Written(file.path, file.bytes, from_hex(file.sha256) if file.sha256 else None) for file in document.files
        ]
        return cls(**plain, files=files)


_PLAIN: Final = tuple(name for name in ExportManifest.__dataclass_fields__ if name != "files")

#: Value of an option: a scalar of YAML and JSON.
_Plain = Annotated[bool | int | float | ShortText | None, Meta(description="a plain value")]
_Commit = Annotated[str, Meta(pattern=r"\A[0-9a-f]{1,64}\Z", description="hex digits")]
_Fractions = Annotated[str, Meta(max_length=100_000, description="a text such as train=0.8,val=0.2")]
_Sentence = Annotated[str, Meta(max_length=200_000, description="a sentence")]


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A :class:`Written` in a manifest."""

    path: RelativePath
    bytes: Count
    sha256: Sha256 | None = None
    link: bool = False

    def __post_init__(self) -> None:
        if (self.sha256 is None) != self.link:
            raise ValueError("expected either a sha256 or a link")


class _Resplit(msgspec.Struct):
    fractions: _Fractions
    seed: int
    stratify: bool
    balance: list[dict[str, _Plain]]


class _Registry(msgspec.Struct):
    schema_version: Version
    manifest_sha256: Sha256
    sources: dict[SplitName, ShortText]


class _Revision(msgspec.Struct, omit_defaults=True):
    git: _Commit | None = None
    dvc_lock: ShortText | None = None
    dvc_stage: ShortText | None = None


class _LeftOut(msgspec.Struct):
    what: ShortText
    why: ShortText
    number: Count


class _Document(msgspec.Struct, kw_only=True):
    """An ``export.json``: the fields of :class:`ExportManifest` as they are written."""

    export_version: Version
    format: ShortText
    options: dict[ShortText, _Plain]
    images: ShortText
    subset: dict[ShortText, Any]
    subset_digest: Sha256
    resplit: _Resplit | None
    registry: _Registry
    revision: _Revision
    counts: dict[ShortText, dict[ShortText, Count]]
    # Exports of earlier versions have no classes of their own and no notices. read_document checks the choice: with a
    # union of dict and text here, msgspec 0.22 frees memory twice when the interpreter ends.
    classes: Any = None
    tables: dict[ShortText, Sha256] = {}
    class_counts: dict[ShortText, dict[ShortText, Count]] = {}
    left_out: list[_LeftOut]
    notices: list[_Sentence] = []
    files: list[_File]

    def __post_init__(self) -> None:
        paths = [file.path for file in self.files]
        problems = []
        if len(set(paths)) < len(paths):
            repeated = (path for path, number in Counter(paths).items() if number > 1)
            problems += [f"expected each path once, found {path} twice or more" for path in repeated]
        if MANIFEST_NAME in paths:
            problems.append(f"expected the files beside {MANIFEST_NAME}, found itself among them")
        if problems:
            raise ValueError("\n".join(problems))


class _QuickFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """A :class:`_File` whose path and digest are not checked here, as there may be hundreds of thousands."""

    path: str
    bytes: Count
    sha256: Annotated[str, Meta(min_length=64, max_length=64)] | None = None
    link: bool = False


class _QuickDocument(_Document, kw_only=True):
    """A :class:`_Document` that checks all paths and digests together; :class:`_Document` explains failures."""

    files: list[_QuickFile]  # type: ignore[assignment]

    def __post_init__(self) -> None:
        super().__post_init__()
        digests = "".join([file.sha256 or "" for file in self.files])
        is_odd = leading_out([file.path for file in self.files]) or not re.fullmatch("[0-9a-f]*", digests)
        if is_odd or any((file.sha256 is None) != file.link for file in self.files):
            raise ValueError("expected relative paths that stay inside, each with a sha256 or a link")


def _entry(file: Written) -> dict[str, Any]:
    entry: dict[str, Any] = {"path": file.path, "bytes": file.size}
    return entry | ({"sha256": file.sha256.hex()} if file.sha256 else {"link": True})


def read_export(place: Place) -> ExportManifest:
    """Read the manifest of the export at a place.

    Raises:
        NotFoundError: the place has no ``export.json``.
        RegistryFormatError: the file is no manifest of an export, or a later version.
    """
    try:
        data = place.read(MANIFEST_NAME)
    except NotFoundError as error:
        raise NotFoundError(
            f"There is no export at {place}: expected {MANIFEST_NAME} in it, as 'df2 export' writes it last."
        ) from error
    return ExportManifest.from_json(data, f"{place}/{MANIFEST_NAME}")


def read_manifest_file(url: str, storage_options: StorageOptions | None = None) -> ExportManifest:
    """Read a manifest file, or the manifest of the export in a folder; path or fsspec URL.

    Raises:
        NotFoundError, RegistryFormatError: as for :func:`read_export`.
    """
    folder, slash, name = url.rpartition("/")
    if name.endswith(".json"):
        return ExportManifest.from_json(Place(folder or slash or ".", storage_options).read(name), url)
    return read_export(Place(url, storage_options))


def verify_export(place: Place) -> Check:
    """Return how an export differs from its manifest. Reads every file; checks only the size of links.

    Raises:
        NotFoundError, RegistryFormatError: as for :func:`read_export`.
        StorageError: a file cannot be read.
    """
    manifest = read_export(place)
    expected = {file.path: (file.size, file.sha256) for file in manifest.files}
    return check_files(place, manifest.format, expected, MANIFEST_NAME)


def differing(old: Iterable[Written], new: Iterable[Written]) -> list[str]:
    """Return the sorted paths of files that differ between two exports."""
    return sorted({file.path for file in set(old) ^ set(new)})
