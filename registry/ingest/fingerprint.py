"""Fingerprints: a small JSON that stands for a raw source of hundreds of thousands of files.

A fingerprint changes exactly when the content does, not with time stamps or the place of the source, so it can be
committed and compared between machines. Reading all files takes seconds, so a cache file beside it holds the digests of
the file details (:mod:`registry.sources.stat_digests`); files with the same details are not read again.

Annotations and retrieval lists count with all their bytes. Photos (16 GB) count with name, size and the CRC-32 of their
first 16 and last 4 KiB, because the tables hold nothing but values from the header, which is at the beginning. In a
zip, photos count with the CRC-32 of all their bytes, from the central directory.
"""

from __future__ import annotations

import hashlib
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from registry.dataset.deepfashion2 import find_split
from registry.dataset.file_names import DATA_NAME
from registry.errors import StorageError
from registry.files.durability import make_folders
from registry.files.temporary import is_special, write_text
from registry.ingest.content_digest import ContentDigest, annotation_record, photos_digest
from registry.ingest.corrections import corrections_digest
from registry.ingest.retrieval_lists import folder_of_lists, retrieval_files
from registry.sources.coco_files import CocoFile, find_coco, local_files
from registry.sources.entries import Entry
from registry.sources.faults import Fault
from registry.sources.folders import LocalFolder
from registry.sources.listing import Source
from registry.sources.locate import locate_source, release_lists
from registry.sources.open import open_location
from registry.sources.stat_digests import StatDigest, stat_digests
from registry.storage.filesystems import StorageOptions, local_path

#: Version of the cache file; a file of another version is ignored.
_CACHE_VERSION: Final = 4
#: Version of what an ingestion takes from photos. A higher one makes fingerprints differ, so that splits are ingested
#: anew. 1: width and height, which some versions of imagesize swapped in turned photos. 2: those of the stored pixels,
#: the orientation, and the photo's own name.
_PHOTO_READER: Final = 2
_DATA_NAME: Final = re.compile(DATA_NAME)


@dataclass(frozen=True, slots=True)
class _Cache:
    """The previous fingerprint and the state of the source at that time.

    Attributes:
        request: the arguments it belongs to.
        stat_digests: part of the source -> digest of its file details.
        recent: part -> name -> checksum of each recent file; None for a part that must be read again.
        content_digests: digests of the annotations (``annos``) and photos (``image``).
        text: the fingerprint, without corrections.
    """

    request: str
    stat_digests: dict[str, str]
    recent: dict[str, dict[str, Any] | None]
    content_digests: dict[str, str]
    text: str


def fingerprint_source(
    source: str,
    split: str,
    retrieval: Sequence[str] = (),
    *,
    photos: bool = True,
    corrections: str | Path | None = None,
    output: Path | None = None,
    password: str | None = None,
    options: StorageOptions | None = None,
) -> str:
    """Return the fingerprint: a JSON text that changes when a file of a source is edited, added or removed.

    Links are followed wherever they lead, as only digests are returned.

    Args:
        source: as for :func:`registry.ingest.build.ingest`.
        split: the split in the source.
        retrieval: paths of retrieval lists.
        photos: whether to include photos.
        corrections: folder of corrections; those of the split are included.
        output: file to write; its cache ``.NAME.seen`` is written beside it.
        password: password of a protected zip.
        options: passed to fsspec.

    Raises:
        UnknownNameError: there is no such split.
        SourceError, PasswordError: the source cannot be read.
        StorageError: ``output`` cannot be written.
    """
    find_split(split)
    cache_path = output.with_name(f".{output.name}.seen") if output and not is_special(output) else None
    coco = find_coco(source, options, password)
    if coco:
        return _fingerprint_coco(coco, split, retrieval, corrections, output, cache_path, password, options)
    location = locate_source(source, split, options)
    found = release_lists(location, split, options)
    located = location.url
    stats = stat_digests(located, photos or split == "test", options)
    for number, url in enumerate(location.urls[1:], 2):
        stats |= {f"archive {number}": stat for stat in stat_digests(url, True, options).values()}
    for number, path in enumerate(folder_of_lists(place, options) for place in (*retrieval, *found)):
        stats |= {f"list {number} {name}": stat for name, stat in stat_digests(path, True, options).items()}
    request = repr((_CACHE_VERSION, split, photos, location.urls, tuple(retrieval), found))
    cache = _read_cache(cache_path, request)
    unchanged = {part for part, stat in stats.items() if cache and _is_unchanged(part, stat, cache, located)}
    if cache and unchanged == stats.keys() == cache.stat_digests.keys():
        text, digests = cache.text, cache.content_digests
    else:
        opened = open_location(location, split, options, password, follow_links=True)
        cached = cache.content_digests if cache else {}
        usable = {part: cached[part] for part in unchanged if part in cached}
        document, digests = _content(opened, split, photos, usable)
        document["retrieval"] = _digest_lists(retrieval, found, options, password)
        text = json.dumps({"split": split, **document}, indent=1) + "\n"
    whole = _with_corrections(text, corrections, split)
    if output:
        recent = {part: _recent_checksums(part, stat, located) for part, stat in stats.items()} if cache_path else {}
        new = _Cache(request, {part: stat.digest for part, stat in stats.items()}, recent, digests, text)
        _write(output, whole, cache_path, new, is_changed=new != cache)
    return whole


def _fingerprint_coco(
    coco: Sequence[CocoFile],
    split: str,
    retrieval: Sequence[str],
    corrections: str | Path | None,
    output: Path | None,
    cache_path: Path | None,
    password: str | None,
    options: StorageOptions | None,
) -> str:
    """Return the fingerprint of COCO files, and write it; see :func:`fingerprint_source`."""
    stats: dict[str, StatDigest] = {}
    places = (*(file.url for file in coco), *(folder_of_lists(place, options) for place in retrieval))
    for number, place in enumerate(places):
        stats |= {f"{number} {name}": stat for name, stat in stat_digests(place, True, options).items()}
    request = repr((_CACHE_VERSION, split, tuple(coco), tuple(retrieval)))
    cache = _read_cache(cache_path, request)
    digests = {part: stat.digest for part, stat in stats.items()}
    recent: dict[str, dict[str, Any] | None] = {part: None if stat.recent != () else {} for part, stat in stats.items()}
    if cache and cache.stat_digests == digests and None not in cache.recent.values():
        text = cache.text
    else:
        with local_files(coco, options, password) as files:
            records = ((name, *_size_and_crc(path)) for name, path in files)
            document: dict[str, Any] = {"files": len(files), "digest": ContentDigest(records).hexdigest()}
        lists = _digest_lists(retrieval, (), options, password)
        text = json.dumps({"split": split, "coco": document, "retrieval": lists}, indent=1) + "\n"
    whole = _with_corrections(text, corrections, split)
    if output:
        new = _Cache(request, digests, recent, {}, text)
        _write(output, whole, cache_path, new, is_changed=new != cache)
    return whole


def _size_and_crc(path: Path) -> tuple[int, int]:
    """Return the number of bytes and the CRC-32 of a file."""
    size = crc = 0
    with open(path, "rb") as file:
        while block := file.read(1 << 22):
            size += len(block)
            crc = zlib.crc32(block, crc)
    return size, crc


def _with_corrections(text: str, corrections: str | Path | None, split: str) -> str:
    """Return a fingerprint with the digest of the corrections of the split, if there is a folder of them."""
    if corrections is None:
        return text
    of_split = {"corrections": corrections_digest(corrections, split)}
    return json.dumps(json.loads(text) | of_split, indent=1) + "\n"


def _write(output: Path, text: str, cache_path: Path | None, cache: _Cache, *, is_changed: bool) -> None:
    """Write the fingerprint, and the cache if it changed; a device has none."""
    try:
        make_folders(output.parent)
    except OSError as error:
        raise StorageError(f"Cannot write {output}: {error.strerror}") from error
    write_text(output, text)
    if is_changed and cache_path:
        write_text(cache_path, json.dumps({name: getattr(cache, name) for name in _Cache.__slots__}))


def _read_cache(path: Path | None, request: str) -> _Cache | None:
    """Return the cache if it exists, is valid and belongs to the same request."""
    if path is None or not path.is_file():
        return None
    try:
        cache = _Cache(**json.loads(path.read_text(encoding="utf-8")))
        types = {"stat_digests": dict, "recent": dict, "content_digests": dict, "text": str}
        is_valid = all(isinstance(getattr(cache, name), type_) for name, type_ in types.items())
        return cache if cache.request == request and is_valid else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None  # damaged, or of another version; it will be replaced


def _is_unchanged(part: str, stat: StatDigest, cache: _Cache, located: str) -> bool:
    """Return whether the file details of a part and the content of its recent files are as in the cache."""
    recent = cache.recent.get(part)
    if cache.stat_digests.get(part) != stat.digest or recent is None:
        return False
    return not recent or _checksums(part, recent, located) == recent


def _recent_checksums(part: str, stat: StatDigest, located: str) -> dict[str, Any] | None:
    """Return name -> checksum of the recent files of a part; None if there are too many."""
    if stat.recent is None:
        return None
    return _checksums(part, stat.recent, located) if stat.recent else {}


def _checksums(part: str, names: Iterable[str], located: str) -> dict[str, Any]:
    """Return name -> checksum of files in ``annos`` or ``image``, in the types that JSON reads back."""
    path = local_path(located)
    assert path is not None  # only local folders have recent files
    folder = LocalFolder(path, follow_links=True)
    entries = [Entry(0, name, name) for name in sorted(names) if _DATA_NAME.fullmatch(name)]
    if part == "annos":
        contents = folder.read(entries)
        checksums: list[Any] = [data if isinstance(data, Fault) else zlib.crc32(data) for data in contents]
    else:
        checksums = [value if isinstance(value, Fault) else list(value) for value in folder.photo_checksums(entries)]
    return dict(zip((entry.name for entry in entries), checksums, strict=True))


def _content(
    source: Source, split: str, photos: bool, usable: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fingerprint of annotations and photos, and the digest of each.

    Args:
        source: the files.
        split: the split in the source.
        photos: whether to include photos.
        usable: digests (``annos``, ``image``) of unchanged files.
    """
    listing = source.list_files(split, photos=photos or split == "test")
    annotations, images = listing.annotations, listing.photos
    digests = {
        "annos": usable.get("annos") or _digest_annotations(source, annotations),
        "image": usable.get("image") or _digest_photos(source, images),
    }
    photos_and_issues = hashlib.sha256(digests["image"].encode())
    for issue in listing.issues:
        photos_and_issues.update(str(issue).encode())
    document = {
        "annotations": {"files": len(annotations), "digest": digests["annos"]},
        "photos": {"files": len(images), "digest": photos_and_issues.hexdigest(), "reader": _PHOTO_READER},
    }
    return document, digests


def _digest_lists(
    retrieval: Sequence[str], found: Sequence[str], options: StorageOptions | None, password: str | None
) -> dict[str, str]:
    """Return name -> SHA-256 of each retrieval list, sorted by name."""
    return {
        name: hashlib.sha256(data.encode() if isinstance(data, Fault) else data).hexdigest()
        for name, data in sorted(retrieval_files(retrieval, found, options, password)[0], key=lambda file: file[0])
    }


def _digest_annotations(source: Source, entries: Sequence[Entry]) -> str:
    """Return the digest of annotation files, from the sizes and CRC-32 of the listing if it has them."""
    if all(isinstance(entry.crc, int) for entry in entries):
        return ContentDigest((entry.name, entry.size, entry.crc) for entry in entries).hexdigest()
    contents = zip(entries, source.read(entries), strict=True)
    return ContentDigest(
        (entry.name, str(data)) if isinstance(data, Fault) else annotation_record(entry.name, data)
        for entry, data in contents
    ).hexdigest()


def _digest_photos(source: Source, entries: Sequence[Entry]) -> str:
    """Return the digest of photos."""
    return photos_digest(zip(entries, source.photo_checksums(entries), strict=True))
