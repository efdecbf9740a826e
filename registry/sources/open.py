"""Finding and opening the source of a split: which folder or archive holds it."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from registry.errors import SourceError
from registry.sources.folders import LocalFolder, RemoteFolder, is_absence
from registry.sources.listing import Source
from registry.sources.reading import (
    cannot_read,
    shown_name,
)
from registry.storage.filesystems import StorageOptions, filesystem, local_path, retried

ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz")


def locate_source(url: str, split: str, options: StorageOptions | None = None) -> str:
    """Return the folder or archive that holds a split.

    Args:
        url: a folder that holds ``annos/`` or ``image/``, an archive of the same, or a folder that holds ``SPLIT/``
            or ``SPLIT.zip`` and so on (an unpacked or downloaded release); a path or an fsspec URL. A name without
            a suffix also finds the archive of that name.
        split: the split that is to be read.
        options: passed to fsspec.

    Raises:
        SourceError: there is nothing that can be read.
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
    raise SourceError(
        f"Found no annotations or photos of {split} at {url}: expected a folder with annos/ or image/, "
        f"a folder with {split}/ or {split}.zip, or an archive ({', '.join(ARCHIVE_SUFFIXES)})."
    )


def release_lists(url: str, split: str, options: StorageOptions | None = None) -> list[str]:
    """Return where the retrieval lists of a split lie if ``url`` is a release: ``json_for_SPLIT`` in it."""
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
    """Return the source of one split.

    Args:
        url: as for :func:`locate_source`.
        split: the split that is to be read.
        options: passed to fsspec.
        password: of a protected zip.
        follow_links: whether files of a local folder may be links that lead out of it.

    Raises:
        SourceError: there is nothing that can be read.
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


def _is_folder(url: str, options: StorageOptions | None) -> bool:
    path = local_path(url)
    return _ask_local(path, stat.S_ISDIR) if path else _ask(url, "directory", options)


def _exists(url: str, options: StorageOptions | None) -> bool:
    path = local_path(url)
    return _ask_local(path, lambda mode: not stat.S_ISDIR(mode)) if path else _ask(url, "file", options)


def is_remote_folder(url: str, options: StorageOptions | None) -> bool:
    """Return whether there is a folder at a URL.

    Raises:
        SourceError: the place cannot be asked.
    """
    return _ask(url, "directory", options)


def _ask_local(path: Path, answers: Callable[[int], bool]) -> bool:
    try:
        return answers(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError as error:  # a path that the system cannot take
        raise SourceError(f"Cannot read {shown_name(str(path))}: {error}") from error
    except OSError as error:
        raise cannot_read(shown_name(str(path)), error) from error


def _ask(url: str, kind: str, options: StorageOptions | None) -> bool:
    """Return whether something on a remote file system is a file or a folder."""
    fs, inner = filesystem(url, options)

    def ask() -> bool:
        if fs.isdir(inner) if kind == "directory" else fs.isfile(inner):
            return True
        try:  # isdir and isfile say no when they fail, too
            fs.info(inner)
        except FileNotFoundError as error:
            if not is_absence(error):
                raise OSError(str(error.__cause__)) from error
        return False

    try:
        return retried(ask)
    except OSError as error:
        raise cannot_read(url, error) from error
