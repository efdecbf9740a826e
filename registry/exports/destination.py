"""Opens the destination of an export: a local folder or an fsspec URL."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial

from registry.exports.files import Files
from registry.exports.local_files import LocalFiles
from registry.exports.remote_files import RemoteFiles
from registry.storage.filesystems import StorageOptions
from registry.storage.place import Place
from registry.storage.replacement import real_folder


def open_destination(
    url: str, options: StorageOptions | None, check: Callable[[Place, list[str]], Iterable[str]]
) -> Files:
    """Return the writer of an export's files, after it finished or undid an export that was killed there.

    Args:
        url: folder or fsspec URL.
        options: passed to fsspec.
        check: called with the place and its paths if it is not empty; returns the paths that the export replaces, or
            raises.

    Raises:
        UsageError: the destination is not a folder, or ``check`` refuses to replace its content.
        StorageError: the destination cannot be read.
    """
    place = Place(url, options)
    if place.path is None:
        return RemoteFiles(place, partial(check, place))
    files = LocalFiles(real_folder(place.path, url), partial(check, place))
    files.recover()
    files.check_content()
    return files
