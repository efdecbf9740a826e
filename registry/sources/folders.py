"""Sources that are folders: local, or on an fsspec file system."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from registry.errors import UnreadableSourceError
from registry.sources.build_listing import build_listing
from registry.sources.entries import Entry, NamePlaces
from registry.sources.faults import (
    MAX_ANNOTATION,
    MAX_LIST,
    MAX_PHOTO,
    MAX_PHOTO_HEADER,
    PHOTO_START,
    Fault,
    cannot_read,
    too_large,
)
from registry.sources.folder_names import folders_in, is_absence, listed_folders
from registry.sources.listing import (
    Kind,
    Listing,
    choose_folders,
    kinds_to_list,
    passed_over_notices,
    renamed_folder_notices,
)
from registry.sources.local_reader import LocalReader
from registry.sources.photo_headers import (
    PHOTO_END,
    PhotoChecksum,
    Size,
    photo_checksum,
    photo_checksum_of,
    read_photo_checksum,
    size_from_start,
)
from registry.storage.filesystems import filesystem, reason, retried

#: Keys of a store's checksum in fsspec's file details (S3, Google Cloud Storage).
_CHECKSUMS: Final = ("ETag", "md5Hash", "crc32c")


@dataclass
class LocalFolder:
    """A local folder with ``annos/`` or ``image/``, which may have other names (:func:`choose_folders`).

    Attributes:
        folder: the folder. It, ``annos/`` and ``image/`` may be links.
        follow_links: whether files may be links that lead out of these.
    """

    folder: Path
    follow_links: bool = False

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """Return the files in ``annos/``, and in ``image/`` if photos are requested."""

        def files() -> Iterator[tuple[Kind, str, Any, None, None]]:
            for kind in kinds:
                path = self.path(kind)
                try:
                    with os.scandir(path) as items:  # a list of all names grows with the folder
                        yield from ((kind, item.name, item.name, None, None) for item in items)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise UnreadableSourceError(f"Cannot list {path}: {error.strerror}") from error

        kinds = kinds_to_list(photos)
        listing = build_listing(split, files(), NamePlaces)
        folders = {kind: self.path(kind).name for kind in kinds}
        listing.notices += renamed_folder_notices(split, folders, kinds)
        listing.notices += passed_over_notices(split, folders, folders_in(self.folder))
        return listing

    def path(self, kind: Kind) -> Path:
        """Return the path of ``annos/`` or ``image/``, which may have another name.

        Raises:
            SourceError: several folders could be meant.
        """
        path = self.folder / kind
        if os.path.lexists(path):
            return path
        return self.folder / choose_folders(self.folder, folders_in(self.folder)).get(kind, kind)

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each annotation file."""
        with self.reader("annos") as reader:
            for entry in entries:
                yield reader.read(entry.name, MAX_ANNOTATION)

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each photo."""
        with self.reader("image") as reader:
            for entry in entries:
                yield reader.read(entry.name, MAX_PHOTO)

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return width and height of each photo, from its header."""
        sizes: list[Size] = []
        with self.reader("image") as reader:
            for entry in entries:
                start = _first_bytes(reader, entry, PHOTO_START)
                read_more = partial(_first_bytes, reader, entry, MAX_PHOTO_HEADER)
                sizes.append(start if isinstance(start, Fault) else size_from_start(start, read_more))
        return sizes

    def photo_checksums(self, entries: Sequence[Entry]) -> Iterator[PhotoChecksum | Fault]:
        """Yield the checksum or the fault of each photo."""
        if not entries:  # a source without photos has no folder to open
            return
        with self.reader("image") as reader:
            for entry in entries:
                ends = reader.read_ends(entry.name, PHOTO_START, PHOTO_END)
                yield ends if isinstance(ends, Fault) else photo_checksum(*ends)

    def reader(self, kind: Kind) -> LocalReader:
        """Return a reader of the files in ``annos/`` or ``image/``."""
        return LocalReader(self.path(kind), [self.folder], follow_links=self.follow_links)


def _first_bytes(reader: LocalReader, entry: Entry, num_bytes: int) -> bytes | Fault:
    ends = reader.read_ends(entry.name, num_bytes)
    return ends if isinstance(ends, Fault) else ends[1]


@dataclass
class RemoteFolder:
    """A folder on an fsspec file system, with ``annos/`` or ``image/``.

    Calls are retried; a call that still fails is an error of the place. Size limits of annotations rely on the listed
    sizes; the files of a store that lists none (a web server) are read in full.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """Return the files in ``annos/``, and in ``image/`` if photos are requested."""
        kinds = kinds_to_list(photos)
        folders: dict[Kind, str] = {}
        try:
            listing = build_listing(split, self._files(kinds, folders))
        except OSError as error:
            raise UnreadableSourceError(f"Cannot list {self.url}: {reason(error)}") from error
        listing.notices += renamed_folder_notices(split, folders, kinds)
        chosen = {kind: folders.get(kind, kind) for kind in kinds}
        listing.notices += passed_over_notices(split, chosen, folders_in(self.url, self.options))
        return listing

    def _files(
        self, kinds: Sequence[Kind], folders: dict[Kind, str]
    ) -> Iterator[tuple[Kind, str, Any, int | None, str | None]]:
        """Yield the files; fill in ``folders`` where ``annos`` or ``image`` has another name."""
        for kind in kinds:
            infos = self._list(kind)
            if infos is None:
                folders |= choose_folders(self.url, listed_folders(self.url, self.options))
                infos = self._list(folders[kind]) if folders.get(kind, kind) != kind else None
            if infos is None:
                continue
            for info in infos:
                if info["type"] == "file":
                    checksum = next((str(info[key]) for key in _CHECKSUMS if info.get(key)), None)
                    yield kind, info["name"].rpartition("/")[2], info["name"], info.get("size"), checksum

    def _list(self, name: str) -> list[dict[str, Any]] | None:
        """Return the details of the files in a folder of the source; None if there is no such folder."""
        fs, root = filesystem(self.url, self.options)
        try:
            infos: list[dict[str, Any]] = retried(partial(fs.ls, f"{root}/{name}", detail=True))
        except FileNotFoundError as error:
            if not is_absence(error):
                raise
            return None
        return infos

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each annotation file; fetched concurrently where the file system can."""
        return self._read(entries, MAX_ANNOTATION)

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each photo."""
        return self._read(entries, MAX_PHOTO)

    def read_lists(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each retrieval list."""
        return self._read(entries, MAX_LIST)

    def _read(self, entries: Sequence[Entry], max_bytes: int) -> Iterator[bytes | Fault]:
        fs, _ = filesystem(self.url, self.options)
        small = [entry for entry in entries if (entry.size or 0) <= max_bytes]
        contents = self._fetch([fs._strip_protocol(entry.locator) for entry in small])
        for entry in entries:
            if (entry.size or 0) > max_bytes:
                yield too_large(entry.size, max_bytes)
            else:
                data = contents.pop(fs._strip_protocol(entry.locator))
                yield data if len(data) <= max_bytes else too_large(len(data), max_bytes)

    def _fetch(self, paths: Sequence[str]) -> dict[str, bytes]:
        """Return path -> bytes; a retry fetches only the files that are still missing."""
        fs, _ = filesystem(self.url, self.options)
        contents: dict[str, bytes] = {}
        failed = self.url

        def fetch_missing() -> None:
            nonlocal failed
            missing = [path for path in paths if path not in contents]
            answers = fs.cat(missing, on_error="return") if missing else {}
            contents.update({path: data for path, data in answers.items() if isinstance(data, bytes)})
            for path, answer in answers.items():
                if not isinstance(answer, bytes):
                    failed = path
                    raise answer

        try:
            retried(fetch_missing)
        except OSError as error:
            raise cannot_read(f"{failed} in {self.url}", error) from error
        return contents

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return width and height of each photo, from its header."""
        return [
            size_from_start(
                self._read_range(entry, 0, PHOTO_START), partial(self._read_range, entry, 0, MAX_PHOTO_HEADER)
            )
            for entry in entries
        ]

    def photo_checksums(self, entries: Sequence[Entry]) -> Iterator[PhotoChecksum | Fault]:
        """Yield the checksum or the fault of each photo."""
        for entry in entries:
            if entry.size is None:
                data = next(self._read([entry], MAX_PHOTO))
                yield data if isinstance(data, Fault) else photo_checksum_of(data)
            elif entry.crc is not None:
                yield entry.size, entry.crc
            else:
                yield read_photo_checksum(entry.size, partial(self._read_range, entry))

    def _read_range(self, entry: Entry, start: int, end: int) -> bytes:
        """Return the bytes of a file from ``start`` up to ``end``, or up to the end of the file."""
        fs, _ = filesystem(self.url, self.options)

        def read() -> bytes:
            with closing(fs.open(entry.locator, "rb", block_size=1 << 15)) as file:
                if start:
                    file.seek(start)
                data: bytes = file.read(end - start)
                if entry.size is not None and len(data) < min(end, entry.size) - start:
                    raise OSError(f"the server gave {len(data):,} bytes where there are more")
                return data

        try:
            return retried(read)
        except OSError as error:
            raise cannot_read(f"{entry.locator} in {self.url}", error) from error
