"""Opening the folder or archives of a split as a source."""

from __future__ import annotations

from registry.sources.folders import LocalFolder, RemoteFolder
from registry.sources.listing import Source
from registry.sources.locate import Location, archive_suffix
from registry.storage.filesystems import StorageOptions, local_path


def open_location(
    location: Location,
    split: str,
    options: StorageOptions | None = None,
    password: str | None = None,
    *,
    follow_links: bool = False,
) -> Source:
    """Return the source of a split.

    Args:
        location: from :func:`registry.sources.locate.locate_source`.
        split: the split to read.
        options: passed to fsspec.
        password: password of a protected zip.
        follow_links: whether files of a local folder may be links that lead out of it.

    Raises:
        SourceError: the folder or archive cannot be read.
        PasswordError: the zip is protected and the password missing or wrong.
    """
    from registry.sources.tars import TarSource
    from registry.sources.zip_parts import open_zips

    suffix = archive_suffix(location.url)
    if suffix == ".zip":
        return open_zips(location.urls, split, options, password)
    if suffix:
        return TarSource(location.url, dict(options or {}))
    path = local_path(location.url)
    return LocalFolder(path, follow_links) if path else RemoteFolder(location.url, dict(options or {}))
