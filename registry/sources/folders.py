"""Sources that are folders: on this machine, or on an fsspec file system."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from registry.errors import UnreadableSourceError
from registry.sources.listing import Entry, Listing, build_listing
from registry.sources.photo_headers import PHOTO_END, PhotoMark, Size, photo_mark, photo_mark_of, size_from_start
from registry.sources.reading import (
    MAX_ANNOTATION,
    MAX_LIST,
    MAX_PHOTO,
    MAX_PHOTO_HEADER,
    PHOTO_START,
    Fault,
    LocalReader,
    cannot_read,
    too_large,
)
from registry.storage.filesystems import filesystem, reason, retried

#: What stores call the checksum of a file (S3, Google Cloud Storage).
_CHECKSUMS: Final = ("ETag", "md5Hash", "crc32c")


@dataclass
class LocalFolder:
    """A local folder that holds ``annos/`` or ``image/``.

    Attributes:
        folder: the folder. It, ``annos/`` and ``image/`` may be links.
        follow_links: whether files may be links that lead out of these.
    """

    folder: Path
    follow_links: bool = False

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """List ``annos/``, and ``image/`` if photos are asked for."""

        def names() -> Iterator[tuple[str, str, Any, None, None]]:
            for kind in ("annos", "image") if photos else ("annos",):
                try:
                    yield from ((kind, name, name, None, None) for name in os.listdir(self.folder / kind))
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise UnreadableSourceError(f"Cannot list {self.folder / kind}: {error.strerror}") from error

        return build_listing(split, names())

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each file's bytes; names are resolved from an open folder, which saves a walk down the path."""
        with self.reader("annos") as reader:
            for entry in entries:
                yield reader.read(entry.name, MAX_ANNOTATION)

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each photo's bytes."""
        with self.reader("image") as reader:
            for entry in entries:
                yield reader.read(entry.name, MAX_PHOTO)

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        sizes: list[Size] = []
        with self.reader("image") as reader:
            for entry in entries:
                ends = reader.read_ends(entry.name, PHOTO_START)
                sizes.append(ends if isinstance(ends, Fault) else size_from_start(ends[1], self._header(reader, entry)))
        return sizes

    def photo_marks(self, entries: Sequence[Entry]) -> Iterator[PhotoMark | Fault]:
        """Yield what tells each photo from another."""
        if not entries:  # a source of annotations alone has no such folder
            return
        with self.reader("image") as reader:
            for entry in entries:
                ends = reader.read_ends(entry.name, PHOTO_START, PHOTO_END)
                yield ends if isinstance(ends, Fault) else photo_mark(*ends)

    def reader(self, kind: str) -> LocalReader:
        """Return what reads the files in ``annos/`` or ``image/``."""
        return LocalReader(self.folder / kind, [self.folder], follow_links=self.follow_links)

    @staticmethod
    def _header(reader: LocalReader, entry: Entry) -> Callable[[], bytes | Fault]:
        def read() -> bytes | Fault:
            ends = reader.read_ends(entry.name, MAX_PHOTO_HEADER)
            return ends if isinstance(ends, Fault) else ends[1]

        return read


@dataclass
class RemoteFolder:
    """A folder on an fsspec file system.

    Calls are tried again; what fails for good is an error of the place, whichever file it is about. The sizes of
    annotations are those that the listing tells: a store that tells none (a web server) is believed to be sensible.
    """

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """List ``annos/``, and ``image/`` if photos are asked for."""
        fs, root = filesystem(self.url, self.options)

        def names() -> Iterator[tuple[str, str, Any, int | None, str | None]]:
            for kind in ("annos", "image") if photos else ("annos",):
                try:
                    infos = retried(partial(fs.ls, f"{root}/{kind}", detail=True))
                except FileNotFoundError as error:
                    if not is_absence(error):
                        raise
                    continue
                for info in infos:
                    if info["type"] == "file":
                        checksum = next((str(info[tag]) for tag in _CHECKSUMS if info.get(tag)), None)
                        yield kind, info["name"].rpartition("/")[2], info["name"], info.get("size"), checksum

        try:
            return build_listing(split, names())
        except OSError as error:
            raise UnreadableSourceError(f"Cannot list {self.url}: {reason(error)}") from error

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each file's bytes; they are fetched concurrently where the file system can."""
        return self._read(entries, MAX_ANNOTATION)

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each photo's bytes."""
        return self._read(entries, MAX_PHOTO)

    def read_lists(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes of each retrieval list."""
        return self._read(entries, MAX_LIST)

    def _read(self, entries: Sequence[Entry], most: int) -> Iterator[bytes | Fault]:
        fs, _ = filesystem(self.url, self.options)
        files: dict[str, bytes] = {}

        def fetch() -> None:
            waiting = [
                e.locator for e in entries if (e.size or 0) <= most and fs._strip_protocol(e.locator) not in files
            ]
            answers = fs.cat(waiting, on_error="return") if waiting else {}
            files.update({path: data for path, data in answers.items() if isinstance(data, bytes)})
            for path, answer in answers.items():
                if not isinstance(answer, bytes):
                    failed.append(path)
                    raise answer

        failed = [self.url]
        try:
            retried(fetch)
        except OSError as error:
            raise cannot_read(f"{failed[-1]} in {self.url}", error) from error
        for entry in entries:
            if (entry.size or 0) > most:
                yield too_large(entry.size, most)
            else:
                data = files.pop(fs._strip_protocol(entry.locator))
                yield data if len(data) <= most else too_large(len(data), most)

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        return [
            size_from_start(self._part(entry, 0, PHOTO_START), partial(self._part, entry, 0, MAX_PHOTO_HEADER))
            for entry in entries
        ]

    def photo_marks(self, entries: Sequence[Entry]) -> Iterator[PhotoMark | Fault]:
        """Yield what tells each photo from another."""
        for entry in entries:
            size = entry.size
            if size is not None and entry.crc is not None:
                yield size, entry.crc
            elif size is None:
                data = next(self._read([entry], MAX_PHOTO))
                yield data if isinstance(data, Fault) else photo_mark_of(data)
            else:
                begin = self._part(entry, 0, PHOTO_START)
                start = max(PHOTO_START, size - PHOTO_END)
                yield photo_mark(size, begin, self._part(entry, start, size) if size > start else b"")

    def _part(self, entry: Entry, start: int, end: int) -> bytes:
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


def is_absence(error: FileNotFoundError) -> bool:
    """Return whether an error says that something is not there; fsspec says so of every failure of a web server."""
    return int(getattr(error.__cause__, "status", 404)) in (403, 404, 405, 410)
