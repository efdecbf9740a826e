"""Locating the folder or archive of a split, and opening it as a source."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from registry.errors import SourceError
from registry.sources.faults import cannot_read, shown_name
from registry.sources.folders import LocalFolder, RemoteFolder, is_absence, local_subfolders, remote_subfolders
from registry.sources.listing import Source
from registry.storage.filesystems import StorageOptions, filesystem, local_path, retried

#: File name suffixes of the archives that can be read.
ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz")


def locate_source(url: str, split: str, options: StorageOptions | None = None) -> str:
    """Return the path or URL of the folder or archive that holds a split.

    Args:
        url: path or fsspec URL of a folder with ``annos/`` or ``image/``, of an archive of such a folder, or of a
            release: a folder with ``SPLIT/`` or an archive such as ``SPLIT.zip``. The suffix of an archive may be
            left out.
        split: the split to read.
        options: passed to fsspec.

    Raises:
        SourceError: no folder or archive of the split exists at ``url``.
    """
    url = url.rstrip("/")
    if url.endswith(ARCHIVE_SUFFIXES):
        return url
    for candidate in (url, f"{url}/{split}"):
        if _is_folder(f"{candidate}/annos", options) or _is_folder(f"{candidate}/image", options):
            return candidate
        for suffix in ARCHIVE_SUFFIXES:
            if _exists(candidate + suffix, options):
                return candidate + suffix
    for candidate in (url, f"{url}/{split}"):
        if _renamed_folders(candidate, options):
            return candidate
    raise SourceError(
        f"Found no annotations or photos of {split} at {url}: expected a folder with annos/ or image/, "
        f"a folder with {split}/ or {split}.zip, or an archive ({', '.join(ARCHIVE_SUFFIXES)})."
    )


def release_lists(url: str, split: str, options: StorageOptions | None = None) -> list[str]:
    """Return the path of ``json_for_SPLIT`` (a folder or zip of retrieval lists) if ``url`` is a release, else []."""
    located = locate_source(url, split, options)
    if located == url.rstrip("/") or url.endswith(ARCHIVE_SUFFIXES):
        return []
    lists = f"{url.rstrip('/')}/json_for_{split}"
    if _is_folder(lists, options):
        return [lists]
    return [f"{lists}.zip"] if _exists(f"{lists}.zip", options) else []


def open_source(
    url: str,
    split: str,
    options: StorageOptions | None = None,
    password: str | None = None,
    *,
    follow_links: bool = False,
) -> Source:
    """Return the source of a split.

    Args:
        url: as for :func:`locate_source`.
        split: the split to read.
        options: passed to fsspec.
        password: password of a protected zip.
        follow_links: whether files of a local folder may be links that lead out of it.

    Raises:
        SourceError: no folder or archive of the split exists at ``url``, or it cannot be read.
        PasswordError: the zip is protected and the password missing or wrong.
    """
    from registry.sources.tars import TarSource
    from registry.sources.zips import ZipSource

    located = locate_source(url, split, options)
    if located.endswith(".zip"):
        return ZipSource.open(located, split, options, password)
    if located.endswith(ARCHIVE_SUFFIXES):
        return TarSource(located, dict(options or {}))
    path = local_path(located)
    return LocalFolder(path, follow_links) if path else RemoteFolder(located, dict(options or {}))


def _renamed_folders(url: str, options: StorageOptions | None) -> list[str]:
    """Return the names of folders at a URL that stand for ``annos`` or ``image``, such as ``images``."""
    path = local_path(url)
    try:
        return local_subfolders(path) if path else remote_subfolders(url, options)
    except OSError as error:
        raise cannot_read(url, error) from error


def _is_folder(url: str, options: StorageOptions | None) -> bool:
    path = local_path(url)
    return _has_local_mode(path, stat.S_ISDIR) if path else _is_remote_kind(url, "directory", options)


def _exists(url: str, options: StorageOptions | None) -> bool:
    path = local_path(url)
    return _has_local_mode(path, lambda mode: not stat.S_ISDIR(mode)) if path else _is_remote_kind(url, "file", options)


def is_remote_folder(url: str, options: StorageOptions | None) -> bool:
    """Return whether a URL is a folder.

    Raises:
        SourceError: the file system cannot be reached.
    """
    return _is_remote_kind(url, "directory", options)


def _has_local_mode(path: Path, accepts: Callable[[int], bool]) -> bool:
    try:
        return accepts(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError as error:  # a path with a zero byte
        raise SourceError(f"Cannot read {shown_name(str(path))}: {error}") from error
    except OSError as error:
        raise cannot_read(shown_name(str(path)), error) from error


def _is_remote_kind(url: str, kind: str, options: StorageOptions | None) -> bool:
    """Return whether a remote URL is of a kind, ``file`` or ``directory``."""
    fs, inner = filesystem(url, options)

    def is_kind() -> bool:
        if fs.isdir(inner) if kind == "directory" else fs.isfile(inner):
            return True
        try:  # isdir() and isfile() return False after any failure; info() raises
            fs.info(inner)
        except FileNotFoundError as error:
            if not is_absence(error):
                raise OSError(str(error.__cause__)) from error
        return False

    try:
        return retried(is_kind)
    except OSError as error:
        raise cannot_read(url, error) from error
