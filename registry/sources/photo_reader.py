"""Photos at random access, for the worker processes of a loader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from registry.sources.photo_cache import PhotoCache
from registry.sources.photos import Photos
from registry.storage.filesystems import StorageOptions


class PhotoReader:
    """The photos of a release at random access.

    It pickles as its arguments, the password among them: a process that unpickles it lists the photos anew, a forked
    process shares the listing. Every read opens the file or archive, so no file is shared between processes.

    Args:
        release: as for :class:`registry.sources.photos.Photos`.
        password: of protected zips.
        storage_options: passed to fsspec.
        cache: keeps photos of remote places.
        follow_links: whether photos may be links that lead out of their folder.
    """

    def __init__(
        self,
        release: str | Mapping[str, str],
        *,
        password: str | None = None,
        storage_options: StorageOptions | None = None,
        cache: PhotoCache | None = None,
        follow_links: bool = False,
    ) -> None:
        self._photos = Photos(release, password, storage_options, follow_links=follow_links, cache=cache)

    def prepare(self, splits: Sequence[str]) -> None:
        """List the photos of splits.

        Raises:
            SourceError: they cannot be listed.
        """
        for split in splits:
            self._photos.check(split, [])

    def read(self, split: str, image_id: int) -> bytes:
        """Return the bytes of a photo.

        Raises:
            SourceError: it is missing or cannot be read; the message names it.
        """
        return next(self._photos.read(split, [image_id]))

    def close(self) -> None:
        """Do nothing: no file stays open."""
