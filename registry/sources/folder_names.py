"""The names in a folder, local or on an fsspec file system."""

from __future__ import annotations

import os
from pathlib import Path

from registry.storage.filesystems import StorageOptions, filesystem, local_path, retried
from registry.storage.timeouts import NoAnswerError


def entries(place: str | Path, options: StorageOptions | None = None) -> list[tuple[str, bool]]:
    """Return (name, whether it is a folder) of everything in a folder, a path or URL.

    Raises:
        OSError: the folder does not exist or cannot be listed.
    """
    path = place if isinstance(place, Path) else local_path(place)
    if path is not None:
        try:
            with os.scandir(path) as items:
                return [(item.name, _is_folder(item)) for item in items]
        except ValueError as error:  # a path with a zero byte
            raise OSError(str(error)) from error
    fs, inner = filesystem(str(place), options)
    infos = retried(lambda: fs.ls(inner, detail=True))
    prefix = inner.rstrip("/") + "/"
    return [
        (info["name"].rstrip("/")[len(prefix) :], info["type"] == "directory")
        for info in infos
        if info["name"].startswith(prefix) and "/" not in info["name"].rstrip("/")[len(prefix) :]
    ]


def names_in(place: str | Path, options: StorageOptions | None = None) -> list[str]:
    """Return the names in a folder, sorted.

    Raises:
        OSError: the folder does not exist or cannot be listed.
    """
    return sorted(name for name, _ in entries(place, options))


def listed_folders(place: str | Path, options: StorageOptions | None = None) -> list[str]:
    """Return the names of the folders in a folder, sorted; none if nothing is there.

    Hidden folders and macOS's ``__MACOSX`` are left out.

    Raises:
        OSError: the folder cannot be listed.
    """
    try:
        names = [name for name, is_folder in entries(place, options) if is_folder]
    except FileNotFoundError as error:
        if not is_absence(error):
            raise
        return []
    except NotADirectoryError:
        return []
    return sorted(name for name in names if not name.startswith((".", "__MACOSX")))


def folders_in(place: str | Path, options: StorageOptions | None = None) -> list[str]:
    """Return the names of :func:`listed_folders`; none if the folder cannot be listed, as at many web servers.

    Raises:
        NoAnswerError: the server does not answer in time.
    """
    try:
        return listed_folders(place, options)
    except NoAnswerError:
        raise
    except OSError:
        return []


def is_absence(error: FileNotFoundError) -> bool:
    """Return whether a file is really missing: for a web server fsspec raises this error after every failure."""
    return int(getattr(error.__cause__, "status", 404)) in (403, 404, 405, 410)


def _is_folder(item: os.DirEntry[str]) -> bool:
    try:
        return item.is_dir()
    except OSError:  # a link that leads to itself, or through a folder that may not be searched
        return False
