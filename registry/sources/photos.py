"""The photos of a release, read by split and image_id when an export needs them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.errors import SourceError, UsageError, first_names
from registry.execution.cluster import ClusterExecutor
from registry.sources.cluster_places import expect_same_files
from registry.sources.entries import Entries, Entry
from registry.sources.faults import Fault
from registry.sources.folders import LocalFolder
from registry.sources.listing import Source
from registry.sources.locate import locate_source
from registry.sources.open import open_location
from registry.sources.photo_cache import PhotoCache
from registry.storage.filesystems import StorageOptions

#: Photos that a remote place is asked for at a time.
_BATCH = 64


class Photos:
    """The photos of a release.

    Args:
        release: path or URL of a release with ``SPLIT/image`` or ``SPLIT.zip``, as for ``df2 ingest``, or of the
            folder or archive of a single split; or a mapping from split to such a path.
        password: password of protected zips.
        storage_options: passed to fsspec.
        follow_links: whether photos may be links that lead out of their folder.
        cache: keeps photos that are to be linked; None for the photos of local folders alone.
        caches_all: whether photos of local folders are cached too.

    Attributes:
        notices: oddities of the sources opened so far that were accepted.
    """

    def __init__(
        self,
        release: str | Mapping[str, str],
        password: str | None = None,
        storage_options: StorageOptions | None = None,
        *,
        follow_links: bool = False,
        cache: PhotoCache | None = None,
        caches_all: bool = False,
    ) -> None:
        self._release = release
        self._password = password
        self._options = storage_options
        self._follow_links = follow_links
        self._cache = cache
        self._caches_all = caches_all
        self.notices: list[str] = []
        self._opened: dict[str, tuple[Source, Entries]] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Return the arguments: the sources are opened again where the object is unpickled."""
        return self.__dict__ | {"_opened": {}}

    def check(self, split: str, image_ids: Sequence[int]) -> None:
        """Raise if photos are missing.

        Raises:
            SourceError: the message has the number of missing photos and the first names.
        """
        _, photos = self._of_split(split)
        missing = photos.missing(image_ids)
        if missing:
            names = [f"{split}/image/{image_id:06d}.jpg" for image_id in missing]  # as in the release
            raise SourceError(f"{self.place(split)} lacks photos that the subset needs: {first_names(names, 5)}.")

    def expect_on(self, cluster: ClusterExecutor, split: str) -> None:
        """Have the workers of a cluster compare some photos of a split with those that this process reads.

        Raises:
            SourceError: the release cannot be opened.
        """
        source, photos = self._of_split(split)
        expect_same_files(cluster, self.place(split), source, (), photos)

    def names(self, split: str, image_ids: Sequence[int]) -> list[str]:
        """Return the file name of each photo.

        Raises:
            SourceError: a photo is missing.
        """
        return [entry.name for batch in self._batches(split, image_ids) for entry in batch]

    def read(self, split: str, image_ids: Sequence[int]) -> Iterator[bytes]:
        """Yield the bytes of each photo.

        Raises:
            SourceError: a photo is missing or cannot be read.
        """
        for batch in self._batches(split, image_ids):
            yield from self._read(split, batch)

    def find(self, split: str, image_ids: Sequence[int]) -> Iterator[bytes | Fault | None]:
        """Yield the bytes of each photo, the reason why it cannot be read, or None where there is no such photo.

        Raises:
            SourceError: the release cannot be opened, or its place fails.
        """
        source, photos = self._of_split(split)
        for start in range(0, len(image_ids), _BATCH):
            entries = photos.find(image_ids[start : start + _BATCH])
            listed = [entry for entry in entries if entry is not None]
            contents = source.read_photos(listed) if listed else iter(())
            for entry in entries:
                yield None if entry is None else next(contents)

    def are_cached(self, split: str) -> bool:
        """Return whether photos are linked through the cache: they are in an archive or remote, or all photos are."""
        return self._caches_all or not isinstance(self._of_split(split)[0], LocalFolder)

    def cached(self, split: str, image_ids: Sequence[int]) -> Iterator[tuple[bytes, Path]]:
        """Yield the bytes of each photo and the path of the cached file with them.

        Another process may remove the file at any time.

        Raises:
            SourceError: a photo is missing or cannot be read.
            StorageError: the cache cannot be written.
            UsageError: there is no cache.
        """
        if self._cache is None:
            raise UsageError(
                f"The photos of {split} in {self.place(split)} are no local files to link to, and the folder of the "
                "registry is no place to keep them (it is remote, or an output of DVC as a whole): name a folder for "
                "them with --photo-cache DIR, or use --images copy."
            )
        for batch in self._batches(split, image_ids):
            hits = [self._cache.read(split, entry) for entry in batch]
            missing = self._read(split, [entry for entry, hit in zip(batch, hits, strict=True) if hit is None])
            for entry, hit in zip(batch, hits, strict=True):
                if hit is None:
                    data = next(missing)
                    yield data, self._cache.add(split, entry, data)
                else:
                    yield hit

    def _batches(self, split: str, image_ids: Sequence[int]) -> Iterator[list[Entry]]:
        """Yield the photos in batches; raise a SourceError before the first if photos are missing."""
        self.check(split, image_ids)
        _, photos = self._of_split(split)
        for start in range(0, len(image_ids), _BATCH):
            yield [entry for entry in photos.find(image_ids[start : start + _BATCH]) if entry is not None]

    def _read(self, split: str, batch: Sequence[Entry]) -> Iterator[bytes]:
        """Yield the bytes of each photo; raise a SourceError for one that cannot be read."""
        source, _ = self._of_split(split)
        for entry, data in zip(batch, source.read_photos(batch), strict=True):
            if isinstance(data, Fault):
                raise SourceError(f"Cannot read {split}/image/{entry.name} in {self.place(split)}: {data}.")
            yield data

    def paths(self, split: str, image_ids: Sequence[int]) -> list[Path]:
        """Return the local path of each photo of a local folder.

        Raises:
            SourceError: a photo is missing, or is a link out of the release.
        """
        source, _ = self._of_split(split)
        assert isinstance(source, LocalFolder)
        folder = source.path("image")
        paths = [folder / name for name in self.names(split, image_ids)]
        with source.reader("image") as reader:
            for path in filter(Path.is_symlink, paths):
                ends = reader.read_ends(path.name, 1)
                if isinstance(ends, Fault):
                    raise SourceError(f"Cannot link to {path}: {ends}.")
        return paths

    def place(self, split: str) -> str:
        """Return the path or URL of the release with the photos of a split.

        Raises:
            UsageError: none is known.
        """
        if isinstance(self._release, str):
            return self._release
        if split not in self._release:
            raise UsageError(f"No place of the photos of {split} is known: name it with --photos RELEASE.")
        return self._release[split]

    def _of_split(self, split: str) -> tuple[Source, Entries]:
        """Return the source of a split and its photos by image_id; opened and listed at the first call."""
        if split not in self._opened:
            located = locate_source(self.place(split), split, self._options)
            source = open_location(located, split, self._options, self._password, follow_links=self._follow_links)
            listing = source.list_files(split, photos=True)
            self.notices += [*located.notices, *listing.notices]
            self._opened[split] = source, listing.photos
        return self._opened[split]
