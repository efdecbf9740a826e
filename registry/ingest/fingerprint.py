"""A small text that stands for a raw source of hundreds of thousands of files.

It changes exactly when the content does, not with time stamps or the place of the source, so it can be committed
and compared between machines. Reading everything at each look would take seconds, so a note beside it keeps what
the file system said (names, sizes, modification times; of photos
names and inodes) when the content was read last.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from registry.errors import SourceError, StorageError
from registry.filesystems import StorageOptions, filesystem, local_path, remote_errors
from registry.ingest.retrieval import retrieval_files
from registry.ingest.sources import ARCHIVE_SUFFIXES, Source, locate_source, open_source, release_lists
from registry.temporary import is_special, write_text


def fingerprint_source(
    source: str,
    split: str,
    retrieval: Sequence[str] = (),
    *,
    photos: bool = True,
    output: Path | None = None,
    password: str | None = None,
    options: StorageOptions | None = None,
) -> str:
    """Return a JSON text that changes when a file of a source is edited, added or removed.

    Annotations count with their content, photos with name and size, retrieval lists with their content.

    Args:
        source: as for :func:`registry.ingest.build.ingest`.
        split: the split it holds.
        retrieval: paths of retrieval lists.
        photos: whether photos count.
        output: file to write; its note ``.NAME.seen`` lies beside it.
        password: of a protected zip.
        options: passed to fsspec.

    Raises:
        SourceError, PasswordError: the source cannot be read.
        StorageError: ``output`` cannot be written.
    """
    located = locate_source(source, split, options)
    retrieval = [*retrieval, *release_lists(source, split, options)]
    seen = hashlib.sha256()
    for path in (located, *retrieval):
        for line in _appearance(path, photos, options):
            seen.update(line.encode(errors="surrogateescape"))
    seen.update(repr((split, photos)).encode())
    note = output.with_name(f".{output.name}.seen") if output and not is_special(output) else None
    text = _noted(note, seen.hexdigest())
    if text is None:
        content = _content(open_source(located, split, options, password), split, photos)
        content["retrieval"] = {
            name: hashlib.sha256(data).hexdigest()
            for name, data in sorted(retrieval_files(retrieval, options, password))
        }
        text = json.dumps({"split": split, **content}, indent=1) + "\n"
    if output:
        try:
            output.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot write {output}: {error.strerror}") from error
        write_text(output, text)
    if note:
        write_text(note, json.dumps({"seen": seen.hexdigest(), "text": text}))
    return text


def _noted(note: Path | None, seen: str) -> str | None:
    """Return the text of the last look if the file system says the same as then."""
    if note is None or not note.exists():
        return None
    try:
        document = json.loads(note.read_text(encoding="utf-8"))
        text: str = document["text"]
        return text if document["seen"] == seen else None
    except (ValueError, KeyError, TypeError):
        return None  # a note of another version; it is written anew


def _appearance(url: str, photos: bool, options: StorageOptions | None) -> Iterable[str]:
    """Yield what a place shows without reading content: names, sizes, modification times or the store's tags."""
    path = local_path(url)
    try:
        if path is None:
            fs, inner = filesystem(url, options)
            with remote_errors():
                if url.endswith(ARCHIVE_SUFFIXES) or not fs.isdir(inner):
                    return [f"{inner} {fs.ukey(inner)}"]
                found = fs.find(inner, detail=True)
            tags = ("size", "ETag", "mtime", "LastModified", "created")
            return [f"{name} {[str(info.get(tag)) for tag in tags]}" for name, info in sorted(found.items())]
        if not path.is_dir():
            status = path.stat()
            return [f"{path.name} {status.st_size} {status.st_mtime_ns}"]
        folders = [path / kind for kind in (("annos", "image") if photos else ("annos",)) if (path / kind).is_dir()]
        lines = []
        for folder in folders or [path]:
            with os.scandir(folder) as entries:
                for entry in entries:
                    if folder.name == "image":
                        # Listing tells this; asking for size and time would double the length of every look.
                        lines.append(f"image/{entry.name} {entry.inode()}")
                        continue
                    try:
                        status = entry.stat()
                    except OSError:  # such as a link to nowhere; ingestion tells what is wrong with it
                        status = entry.stat(follow_symlinks=False)
                    lines.append(f"{folder.name}/{entry.name} {status.st_size} {status.st_mtime_ns}")
        return sorted(lines)
    except OSError as error:
        raise SourceError(f"Cannot read {url}: {error.strerror or error}") from error


def _content(source: Source, split: str, photos: bool) -> dict[str, Any]:
    listing = source.list_files(split, photos=photos or split == "test")
    digest = hashlib.sha256()
    entries = listing.annotations
    known = all(entry.crc is not None for entry in entries)
    for entry, data in zip(entries, [b""] * len(entries) if known else source.read(entries), strict=True):
        if isinstance(data, OSError):
            digest.update(repr((entry.name, str(data))).encode())
        elif known:
            digest.update(repr((entry.name, entry.size, entry.crc)).encode())
        else:
            digest.update(repr((entry.name, len(data), zlib.crc32(data))).encode())
    seen = hashlib.sha256()
    for photo in listing.photos.values():
        seen.update(repr((photo.name, photo.size)).encode())
    for issue in listing.issues:
        seen.update(str(issue).encode())
    return {
        "annotations": {"files": len(listing.annotations), "digest": digest.hexdigest()},
        "photos": {"files": len(listing.photos), "digest": seen.hexdigest()},
    }
