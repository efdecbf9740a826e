"""What a place shows without its content being read: the first half of a fingerprint.

A look at a folder is a digest of the names, inodes, sizes and times of its files. It is the same as the one before
only if no file was changed in between, but for files that were changed at the very time of the look: the clock of a
file system has grains, so another change within the same grain shows nothing. Such files are young. They are told
apart, and their content is compared at the next look.
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

from registry.sources.open import ARCHIVE_SUFFIXES
from registry.sources.reading import cannot_read
from registry.storage.filesystems import StorageOptions, filesystem, local_path, retried

#: Nanoseconds: the coarsest clock of a file system in use, FAT's, has grains of two seconds.
_GRAIN: Final = 2_000_000_000
#: More young files than these are not compared one by one: all content is read anew.
_MOST_YOUNG: Final = 2_000
#: Bytes of a directory from which on it is worth a process of its own.
_LARGE: Final = 100_000


@dataclass(frozen=True, slots=True)
class Look:
    """What a place showed.

    Attributes:
        digest: SHA-256 of it, hex digits.
        young: names of files that may have changed since without showing it, or None for too many to tell.
    """

    digest: str
    young: tuple[str, ...] | None


def look_at(url: str, photos: bool, options: StorageOptions | None = None) -> dict[str, Look]:
    """Return what a place shows: a look for each of ``annos`` and ``image`` of a local folder, one for other places.

    Args:
        url: folder or archive, or file or folder of retrieval lists; local or remote.
        photos: whether ``image`` counts.
        options: passed to fsspec.

    Raises:
        SourceError: the place cannot be asked.
    """
    path = local_path(url)
    try:
        if path is None:
            return {"": _look_at_remote(url, options)}
        if not path.is_dir():
            horizon = time.time_ns() - _GRAIN
            status = path.stat()
            line = f"{path.name} {_shown(status)}"
            return {"": Look(_digest([line]), None if _is_young(status, horizon) else ())}
        folders = [path / kind for kind in ("annos", "image") if (photos or kind == "annos") and (path / kind).is_dir()]
        if not folders:
            look = look_at_folder(str(path))
            return {"": Look(look.digest, None if look.young != () else ())}
        return dict(zip((folder.name for folder in folders), _look_at_folders(folders), strict=True))
    except OSError as error:
        raise cannot_read(url, error) from error


def look_at_folder(folder: str) -> Look:
    """Return what a local folder shows."""
    now = time.time_ns()
    horizon = now - _GRAIN
    lines, young = [], []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_symlink():
                # What it leads to counts, and where: a link to nowhere too.
                line, is_young = _look_at_link(entry, horizon)
                lines.append(line)
                if is_young:
                    young.append(entry.name)
                continue
            status = entry.stat(follow_symlinks=False)
            modified, changed = status.st_mtime_ns, status.st_ctime_ns
            lines.append(f"{entry.name} {status.st_ino} {status.st_size} {modified} {changed}")
            if changed >= horizon or horizon <= modified <= now:
                young.append(entry.name)
    return Look(_digest(sorted(lines)), tuple(sorted(young)) if len(young) <= _MOST_YOUNG else None)


def _look_at_link(entry: os.DirEntry[str], horizon: int) -> tuple[str, bool]:
    target = os.readlink(entry.path)
    try:
        status = entry.stat()
    except OSError as error:
        return f"{entry.name} -> {target} {error.errno}", False
    return f"{entry.name} -> {target} {_shown(status)}", _is_young(status, horizon)


def _look_at_folders(folders: list[Path]) -> list[Look]:
    """Return the looks at folders; the second of large ones in a process of its own, as it takes a second."""
    alone = threading.active_count() == 1 and sys.platform == "linux"
    if len(folders) < 2 or not alone or min(os.stat(folder).st_size for folder in folders) < _LARGE:
        return [look_at_folder(str(folder)) for folder in folders]
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("fork")) as pool:
        others = pool.map(look_at_folder, map(str, folders[1:]))
        return [look_at_folder(str(folders[0])), *others]


def _look_at_remote(url: str, options: StorageOptions | None) -> Look:
    fs, inner = filesystem(url, options)

    def ask() -> list[str]:
        fs.invalidate_cache()
        if url.endswith(ARCHIVE_SUFFIXES) or not fs.isdir(inner):
            return [f"{inner} {fs.ukey(inner)}"]
        tags = ("size", "ETag", "mtime", "LastModified", "created")
        infos = fs.find(inner, detail=True)
        return [f"{name} {[str(info.get(tag)) for tag in tags]}" for name, info in sorted(infos.items())]

    return Look(_digest(retried(ask)), ())


def _shown(status: os.stat_result) -> str:
    return f"{status.st_ino} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def _is_young(status: os.stat_result, horizon: int) -> bool:
    return status.st_ctime_ns >= horizon or horizon <= status.st_mtime_ns <= horizon + _GRAIN


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode(errors="surrogateescape")).hexdigest()
