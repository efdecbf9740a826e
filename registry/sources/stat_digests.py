"""Digests of a source's file details (names, inodes, sizes, times), taken without reading any content.

Equal digests mean unchanged files, except for recent ones: a file system's clock ticks in steps, so a second change
within the same step leaves no trace. Recent files are returned by name; their content must be compared.
"""

from __future__ import annotations

import hashlib
import os
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry.sources.faults import cannot_read
from registry.sources.folders import LocalFolder
from registry.sources.listing import kinds_to_list
from registry.sources.locate import archive_suffix
from registry.storage.filesystems import StorageOptions, filesystem, local_path, retried

#: Nanoseconds between ticks of the slowest clock of a file system in use, FAT's.
_CLOCK_STEP: Final = 2_000_000_000
#: Maximum number of recent files to compare by content; with more, everything is read again.
_MAX_RECENT: Final = 2_000
#: Bytes of a directory from which on a process of its own saves time.
_LARGE_DIRECTORY: Final = 100_000


@dataclass(frozen=True, slots=True)
class StatDigest:
    """Digest of the details of a folder's files, or of a single file.

    Attributes:
        digest: SHA-256 as hex digits.
        recent: names of files that may change again without a change of the digest; None for too many to compare.
    """

    digest: str
    recent: tuple[str, ...] | None


def stat_digests(url: str, photos: bool, options: StorageOptions | None = None) -> dict[str, StatDigest]:
    """Return the digests of ``annos`` and ``image`` of a local folder; of any other place a single one, named "".

    Args:
        url: folder or archive of a split, or file or folder of retrieval lists; local or remote.
        photos: whether to include ``image``.
        options: passed to fsspec.

    Raises:
        SourceError: the place cannot be read.
    """
    path = local_path(url)
    try:
        if path is None:
            return {"": _digest_remote(url, options)}
        if not path.is_dir():
            return {"": _digest_file(path)}
        source = LocalFolder(path)
        folders = {kind: source.path(kind) for kind in kinds_to_list(photos) if source.path(kind).is_dir()}
        if not folders:
            folder = digest_folder(str(path))
            return {"": StatDigest(folder.digest, () if folder.recent == () else None)}
        return dict(zip(folders, _digest_folders(list(folders.values())), strict=True))
    except OSError as error:
        raise cannot_read(url, error) from error


def digest_folder(folder: str) -> StatDigest:
    """Return the digest of the files in a local folder."""
    now = time.time_ns()
    horizon = now - _CLOCK_STEP
    # The sum of a digest of each file is the same in any order, so no line is kept.
    total = 0
    recent: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                line, is_recent = _describe_link(entry, horizon)
            else:
                # Written out, as _describe() and _is_recent() would take longer for hundreds of thousands of files.
                status = entry.stat(follow_symlinks=False)
                modified, changed = status.st_mtime_ns, status.st_ctime_ns
                line = f"{entry.name} {status.st_ino} {status.st_size} {modified} {changed}"
                is_recent = changed >= horizon or horizon <= modified <= now
            total += int.from_bytes(hashlib.sha256(line.encode(errors="surrogateescape")).digest(), "little")
            if is_recent and len(recent) <= _MAX_RECENT:
                recent.append(entry.name)
    return StatDigest(_digest([str(total)]), tuple(sorted(recent)) if len(recent) <= _MAX_RECENT else None)


def _digest_file(path: Path) -> StatDigest:
    horizon = time.time_ns() - _CLOCK_STEP
    status = path.stat()
    return StatDigest(_digest([f"{path.name} {_describe(status)}"]), None if _is_recent(status, horizon) else ())


def _describe_link(entry: os.DirEntry[str], horizon: int) -> tuple[str, bool]:
    """Return a line about a link, its target and the target's details, and whether the target is recent."""
    target = os.readlink(entry.path)
    try:
        status = entry.stat()
    except OSError as error:  # such as a dead link
        return f"{entry.name} -> {target} {error.errno}", False
    return f"{entry.name} -> {target} {_describe(status)}", _is_recent(status, horizon)


def _digest_folders(folders: list[Path]) -> list[StatDigest]:
    """Return the digest of each folder; the second of two large ones, which takes a second, in another process."""
    can_fork = threading.active_count() == 1 and sys.platform == "linux"
    if len(folders) < 2 or not can_fork or min(os.stat(folder).st_size for folder in folders) < _LARGE_DIRECTORY:
        return [digest_folder(str(folder)) for folder in folders]
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        rest = pool.map(digest_folder, map(str, folders[1:]))
        return [digest_folder(str(folders[0])), *rest]


def _digest_remote(url: str, options: StorageOptions | None) -> StatDigest:
    fs, inner = filesystem(url, options)

    def describe() -> list[str]:
        fs.invalidate_cache()
        if archive_suffix(url) or not fs.isdir(inner):
            return [f"{inner} {fs.ukey(inner)}"]
        keys = ("size", "ETag", "mtime", "LastModified", "created")
        infos = fs.find(inner, detail=True)
        return [f"{name} {[str(info.get(key)) for key in keys]}" for name, info in sorted(infos.items())]

    return StatDigest(_digest(retried(describe)), ())


def _describe(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _is_recent(status: os.stat_result, horizon: int) -> bool:
    return status.st_ctime_ns >= horizon or horizon <= status.st_mtime_ns <= horizon + _CLOCK_STEP


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
