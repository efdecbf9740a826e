"""Where the raw files of one split lie: a folder or an archive, local or remote.

A source lists its files once and reads them in any process: what :meth:`Source.list_files` returns and the source
itself can be pickled. Archives are in :mod:`registry.ingest.zips` and :mod:`registry.ingest.tars`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from registry.errors import SourceError
from registry.filesystems import StorageOptions, filesystem, local_path, remote_errors
from registry.ingest.issues import Issue

ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
#: A file of the dataset inside an archive: leading folders, annos or image, name.
MEMBER: Final = re.compile(r"(?:(?P<lead>.*)/)?(?P<kind>annos|image)/(?P<name>[^/]+)")

#: Width and height in px, or what is wrong with the photo.
Size = tuple[int, int] | str


class Entry(NamedTuple):
    """One file of a source.

    Attributes:
        image_id: the number in its name.
        name: its name without folders.
        locator: what the source needs to read it.
        size: bytes, where listing tells it at no cost.
        crc: CRC-32 of the bytes, where listing tells it at no cost.
    """

    image_id: int
    name: str
    locator: Any
    size: int | None = None
    crc: int | None = None


@dataclass(slots=True)
class Listing:
    """The files of a source.

    Attributes:
        annotations: annotation files in ascending order of image_id.
        photos: photos by image_id; empty if there are none or none were asked for.
        issues: files whose names do not fit.
    """

    annotations: list[Entry] = field(default_factory=list)
    photos: dict[int, Entry] = field(default_factory=dict)
    issues: list[Issue] = field(default_factory=list)


class Source(Protocol):
    """The raw files of one split."""

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """List the files.

        Raises:
            SourceError: the source is not there or cannot be read.
        """

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        """Yield each file's bytes, or why it cannot be read."""

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        """Yield each photo's bytes, or why it cannot be read."""


def build_listing(split: str, names: Iterable[tuple[str, str, Any, int | None, int | None]]) -> Listing:
    """Return the listing for (kind, name, locator, size, crc) of every file, kind being ``annos`` or ``image``.

    Hidden files (``.DS_Store``, ``._000001.json``) are what systems leave behind, not data, and are passed over.
    """
    listing = Listing()
    annotations: dict[int, Entry] = {}
    others: list[tuple[str, str, int]] = []
    for kind, name, locator, size, crc in names:
        stem, _, suffix = name.rpartition(".")
        if not (stem.isascii() and stem.isdigit() and len(stem) < 10):
            if not name.startswith("."):
                listing.issues.append(_name_issue(split, kind, name))
            continue
        image_id = int(stem)
        known = annotations if kind == "annos" else listing.photos
        if suffix != ("json" if kind == "annos" else "jpg"):
            listing.issues.append(_name_issue(split, kind, name))
            continue
        entry = Entry(image_id, name, locator, size, crc)
        kept = known.setdefault(image_id, entry)
        if kept is not entry:
            # The order in which a file system lists names shall not matter.
            known[image_id], other = (kept, entry) if kept.name <= name else (entry, kept)
            others.append((kind, other.name, image_id))
    for kind, name, image_id in others:
        kept = (annotations if kind == "annos" else listing.photos)[image_id]
        listing.issues.append(Issue(f"{split}/{kind}/{name}", (), f"has the same number as {kept.name}"))
    listing.annotations = [annotations[image_id] for image_id in sorted(annotations)]
    listing.photos = {image_id: listing.photos[image_id] for image_id in sorted(listing.photos)}
    return listing


def _name_issue(split: str, kind: str, name: str) -> Issue:
    expected = "NNNNNN.json" if kind == "annos" else "NNNNNN.jpg"
    return Issue(f"{split}/{kind}/{shown_name(name)}", (), f"expected a name like {expected}")


def shown_name(name: str) -> str:
    """Return a file name as it can be printed and stored: what is no text in it is escaped."""
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")


def image_size(file: BinaryIO) -> Size:
    """Return width and height of the photo in an open file, from its header, or what is wrong with it."""
    import imagesize

    try:
        width, height = imagesize.get(file)
    except (ValueError, TypeError, KeyError, IndexError, OSError) as error:
        return f"expected a JPEG header, found none that can be read: {error}"
    if width <= 0 or height <= 0:
        return "expected a JPEG header with width and height, found none"
    return int(width), int(height)


@dataclass
class LocalFolder:
    """A local folder that holds ``annos/`` or ``image/``."""

    folder: Path

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """List ``annos/``, and ``image/`` if photos are asked for."""

        def names() -> Iterator[tuple[str, str, Any, int | None, None]]:
            for kind in ("annos", "image") if photos else ("annos",):
                try:
                    with os.scandir(self.folder / kind) as entries:
                        for entry in entries:
                            yield kind, entry.name, entry.name, _photo_bytes(entry) if kind == "image" else None, None
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise SourceError(f"Cannot list {self.folder / kind}: {error}") from error

        return build_listing(split, names())

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        """Yield each file's bytes; names are resolved from an open folder, which saves a walk down the path."""
        return self._read("annos", entries)

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        """Yield each photo's bytes."""
        return self._read("image", entries)

    def _read(self, kind: str, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        try:
            folder = os.open(self.folder / kind, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise SourceError(f"Cannot read {self.folder / kind}: {error.strerror}") from error
        try:
            for entry in entries:
                try:
                    yield _read_file(entry.name, folder)
                except OSError as error:
                    yield error
        finally:
            os.close(folder)

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        sizes: list[Size] = []
        for entry in entries:
            try:
                with open(self.folder / "image" / entry.name, "rb") as file:
                    sizes.append(image_size(file))
            except OSError as error:
                sizes.append(f"cannot be read: {error.strerror}")
        return sizes


def _photo_bytes(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat().st_size
    except OSError:
        return None  # what is wrong with it is told when its header is read


def _read_file(name: str, folder: int) -> bytes:
    descriptor = os.open(name, os.O_RDONLY, dir_fd=folder)
    try:
        size = 1 << 16
        data = os.read(descriptor, size)
        if len(data) == size:
            parts = [data]
            while part := os.read(descriptor, 1 << 20):
                parts.append(part)
            data = b"".join(parts)
        return data
    finally:
        os.close(descriptor)


@dataclass
class RemoteFolder:
    """A folder on an fsspec file system."""

    url: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """List ``annos/``, and ``image/`` if photos are asked for."""
        fs, root = filesystem(self.url, self.options)

        def names() -> Iterator[tuple[str, str, Any, int | None, None]]:
            for kind in ("annos", "image") if photos else ("annos",):
                try:
                    found = fs.ls(f"{root}/{kind}", detail=True)
                except FileNotFoundError:
                    continue
                for info in found:
                    if info["type"] == "file":
                        yield kind, info["name"].rpartition("/")[2], info["name"], info.get("size"), None

        try:
            with remote_errors():
                return build_listing(split, names())
        except OSError as error:
            raise SourceError(f"Cannot list {self.url}: {error}") from error

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        """Yield each file's bytes; they are fetched concurrently where the file system can."""
        fs, _ = filesystem(self.url, self.options)
        with remote_errors():
            found = fs.cat([entry.locator for entry in entries], on_error="return")
        for entry in entries:
            data = found[fs._strip_protocol(entry.locator)]
            yield data if isinstance(data, bytes) else OSError(str(data))

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        """Yield each photo's bytes."""
        return self.read(entries)

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        fs, _ = filesystem(self.url, self.options)
        sizes: list[Size] = []
        for entry in entries:
            try:
                with closing(fs.open(entry.locator, "rb", block_size=1 << 15)) as file:
                    sizes.append(image_size(file))
            except OSError as error:
                sizes.append(f"cannot be read: {error}")
        return sizes


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


def open_source(url: str, split: str, options: StorageOptions | None = None, password: str | None = None) -> Source:
    """Return the source of one split.

    Args:
        url: as for :func:`locate_source`.
        split: the split that is to be read.
        options: passed to fsspec.
        password: of a protected zip.

    Raises:
        SourceError: there is nothing that can be read.
        PasswordError: the zip is protected and the password missing or wrong.
    """
    from registry.ingest.tars import TarSource
    from registry.ingest.zips import ZipSource

    located = locate_source(url, split, options)
    if located.endswith(".zip"):
        return ZipSource.open(located, split, options, password)
    if located.endswith(ARCHIVE_SUFFIXES):
        return TarSource(located, dict(options or {}))
    path = local_path(located)
    return LocalFolder(path) if path else RemoteFolder(located, dict(options or {}))


def _is_folder(url: str, options: StorageOptions | None) -> bool:
    path = local_path(url)
    return path.is_dir() if path else _ask("isdir", url, options)


def _exists(url: str, options: StorageOptions | None) -> bool:
    path = local_path(url)
    return path.is_file() if path else _ask("isfile", url, options)


def _ask(question: str, url: str, options: StorageOptions | None) -> bool:
    """Ask a remote file system whether something is a file or a folder."""
    fs, inner = filesystem(url, options)
    try:
        with remote_errors():
            return bool(getattr(fs, question)(inner))
    except OSError as error:
        raise SourceError(f"Cannot read {url}: {error}") from error
