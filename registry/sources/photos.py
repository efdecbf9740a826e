"""The photos of an export: looked up in the release, folder or archive, when they are needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from registry.errors import SourceError, UsageError, first_names
from registry.sources.folders import LocalFolder
from registry.sources.listing import Entry, Source
from registry.sources.open import locate_source, open_source
from registry.sources.reading import Fault
from registry.storage.filesystems import StorageOptions

#: Photos read at once from a remote place.
_BATCH = 64


class Photos:
    """The photos of a release.

    Args:
        release: a folder or URL that holds ``SPLIT/image`` or ``SPLIT.zip``, as for ``df2 ingest``; or what holds the
            photos of one split; or one of these for each split.
        password: of protected zips.
        storage_options: passed to fsspec.
        follow_links: whether photos may be links that lead out of their folder.
    """

    def __init__(
        self,
        release: str | Mapping[str, str],
        password: str | None = None,
        storage_options: StorageOptions | None = None,
        *,
        follow_links: bool = False,
    ) -> None:
        self._release = release
        self._password = password
        self._options = storage_options
        self._follow_links = follow_links
        self._opened: dict[str, tuple[Source, dict[int, Entry]]] = {}

    def check(self, split: str, image_ids: Sequence[int]) -> None:
        """Make sure that photos are there.

        Raises:
            SourceError: some are missing; the message says how many and names the first.
        """
        _, entries = self._of_split(split)
        missing = [image_id for image_id in image_ids if image_id not in entries]
        if missing:
            names = [f"{split}/image/{image_id:06d}.jpg" for image_id in missing]
            raise SourceError(f"{self._place(split)} lacks photos that the subset needs: {first_names(names, 5)}.")

    def read(self, split: str, image_ids: Sequence[int]) -> Iterator[bytes]:
        """Yield the bytes of photos.

        Raises:
            SourceError: one is missing or cannot be read.
        """
        self.check(split, image_ids)
        source, entries = self._of_split(split)
        for start in range(0, len(image_ids), _BATCH):
            wanted = [entries[image_id] for image_id in image_ids[start : start + _BATCH]]
            for entry, data in zip(wanted, source.read_photos(wanted), strict=True):
                if isinstance(data, Fault):
                    raise SourceError(f"Cannot read {split}/image/{entry.name} in {self._place(split)}: {data}.")
                yield data

    def paths(self, split: str, image_ids: Sequence[int]) -> list[Path]:
        """Return the local files of photos.

        Raises:
            SourceError: one is missing, or is a link out of the release.
            UsageError: they are in an archive or at a remote place.
        """
        self.check(split, image_ids)
        source, entries = self._of_split(split)
        if not isinstance(source, LocalFolder):
            raise UsageError(f"The photos of {split} in {self._place(split)} are no local files to link to: use copy.")
        paths = [source.folder / "image" / entries[image_id].name for image_id in image_ids]
        with source.reader("image") as reader:
            for path in filter(Path.is_symlink, paths):
                fault = reader.read_ends(path.name, 1)
                if isinstance(fault, Fault):
                    raise SourceError(f"Cannot link to {path}: {fault}.")
        return paths

    def _place(self, split: str) -> str:
        if isinstance(self._release, str):
            return self._release
        if split not in self._release:
            raise UsageError(f"No place of the photos of {split} is known: name it with --photos RELEASE.")
        return self._release[split]

    def _of_split(self, split: str) -> tuple[Source, dict[int, Entry]]:
        if split not in self._opened:
            located = locate_source(self._place(split), split, self._options)
            source = open_source(located, split, self._options, self._password, follow_links=self._follow_links)
            self._opened[split] = source, source.list_files(split, photos=True).photos
        return self._opened[split]
