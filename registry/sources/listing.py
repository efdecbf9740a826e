"""Where the raw files of one split lie: a folder or an archive, local or remote.

A source lists its files once and reads them in any process: what :meth:`Source.list_files` returns and the source
itself can be pickled. Archives are in :mod:`registry.sources.zips` and :mod:`registry.sources.tars`.
"""

from __future__ import annotations

import io
import os
import re
import stat
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from registry.errors import SourceError, UnreadableSourceError
from registry.ingest.diagnose import INT32_MAX
from registry.sources.issues import MOST_NAMES, Issue
from registry.sources.reading import (
    MAX_ANNOTATION,
    MAX_LIST,
    MAX_PHOTO,
    MAX_PHOTO_HEADER,
    PHOTO_START,
    Fault,
    LocalReader,
    cannot_read,
    shown_name,
    too_large,
)
from registry.storage.filesystems import StorageOptions, filesystem, local_path, reason, retried

ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz")
#: What stores call the checksum of a file (S3, Google Cloud Storage).
_CHECKSUMS: Final = ("ETag", "md5Hash", "crc32c")
#: A file of the dataset inside an archive: leading folders, annos or image, name.
MEMBER: Final = re.compile(r"(?:(?P<lead>.*)/)?(?P<kind>annos|image)/(?P<name>[^/]+)")
_SUFFIXES: Final = {"annos": "json", "image": "jpg"}

#: Width and height in px, or what is wrong with the photo.
Size = tuple[int, int] | str
#: What tells a photo from another at a small cost, the same wherever it lies: its size and the CRC-32 of its first
#: PHOTO_START and last PHOTO_END bytes; in a zip its size and the CRC-32 of all, which the directory tells; in a store
#: that tells one, its size and the store's checksum.
PhotoMark = tuple[int | str, ...]
PHOTO_END: Final = 4 << 10


class Entry(NamedTuple):
    """One file of a source.

    Attributes:
        image_id: the number in its name.
        name: its name without folders.
        locator: what the source needs to read it.
        size: bytes, where listing tells it at no cost.
        crc: CRC-32 of the bytes, or the store's own checksum of them as a text, where listing tells it at no cost.
    """

    image_id: int
    name: str
    locator: Any
    size: int | None = None
    crc: int | str | None = None


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

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each file's bytes, or what is wrong with it.

        Raises:
            SourceError: the place cannot be read; so for the other methods.
        """

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""

    def photo_marks(self, entries: Sequence[Entry]) -> Iterator[PhotoMark | Fault]:
        """Yield what tells each photo from another, for a fingerprint."""

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each photo's bytes, or what is wrong with it."""


def build_listing(split: str, names: Iterable[tuple[str, str, Any, int | None, int | str | None]]) -> Listing:
    """Return the listing for (kind, name, locator, size, crc) of every file, kind being ``annos`` or ``image``.

    Hidden files (``.DS_Store``, ``._000001.json``) are what systems leave behind, not data, and are passed over.
    """
    listing = Listing()
    annotations: dict[int, Entry] = {}
    others: list[tuple[str, str, int]] = []
    num_misnamed = 0
    for kind, name, locator, size, crc in names:
        stem, _, suffix = name.rpartition(".")
        if not (stem.isascii() and stem.isdigit() and len(stem) < 10) or suffix != _SUFFIXES[kind]:
            if not name.startswith("."):
                num_misnamed += 1
                if num_misnamed <= MOST_NAMES:
                    listing.issues.append(_name_issue(split, kind, name))
            continue
        image_id = int(stem)
        known = annotations if kind == "annos" else listing.photos
        entry = Entry(image_id, name, locator, size, crc)
        kept = known.setdefault(image_id, entry)
        if kept is not entry:
            # The order in which a file system lists names shall not matter.
            known[image_id], other = (kept, entry) if kept.name <= name else (entry, kept)
            others.append((kind, other.name, image_id))
    if num_misnamed > MOST_NAMES:
        more = f"{num_misnamed - MOST_NAMES:,} more files whose names are not like NNNNNN.json or NNNNNN.jpg"
        listing.issues.append(Issue(split, (), more))
    for kind, name, image_id in others[:MOST_NAMES]:
        kept = (annotations if kind == "annos" else listing.photos)[image_id]
        listing.issues.append(Issue(f"{split}/{kind}/{name}", (), f"has the same number as {kept.name}"))
    if len(others) > MOST_NAMES:
        more = f"{len(others) - MOST_NAMES:,} more files with the number of another file"
        listing.issues.append(Issue(split, (), more))
    listing.annotations = [annotations[image_id] for image_id in sorted(annotations)]
    listing.photos = {image_id: listing.photos[image_id] for image_id in sorted(listing.photos)}
    return listing


def _name_issue(split: str, kind: str, name: str) -> Issue:
    expected = "NNNNNN.json" if kind == "annos" else "NNNNNN.jpg"
    return Issue(f"{split}/{kind}/{shown_name(name)}", (), f"expected a name like {expected}")


def image_size(file: BinaryIO) -> Size:
    """Return width and height of the photo in an open file, from its header, or what is wrong with it."""
    import imagesize

    if file.read(16).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        return "expected a JPEG header, found text"  # imagesize would parse it, as SVG
    file.seek(0)
    try:
        width, height = imagesize.get(file)
    except Exception as error:  # noqa: BLE001 - of any kind: bytes are no better than they look
        return f"expected a JPEG header, found none that can be read: {error}"
    if width <= 0 or height <= 0:
        return "expected a JPEG header with width and height, found none"
    if max(width, height) > INT32_MAX:
        return f"expected width and height of at most 32 bits, found {width:.0f} x {height:.0f}"
    return int(width), int(height)


def size_from_start(start: bytes, whole: Callable[[], bytes | Fault]) -> Size:
    """Return the size of a photo from its first bytes, or from all of it where they do not reach."""
    size = image_size(io.BytesIO(start))
    if not isinstance(size, str) or len(start) < PHOTO_START:
        return size
    data = whole()
    return data if isinstance(data, Fault) else image_size(io.BytesIO(data))


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


def photo_mark(size: int, begin: bytes, end: bytes) -> PhotoMark:
    """Return the mark of a photo from its size, its first bytes, and its last as far as they are not among these."""
    return size, zlib.crc32(begin), zlib.crc32(end)


def photo_mark_of(data: bytes) -> PhotoMark:
    """Return the mark of a photo from all of it."""
    return photo_mark(len(data), data[:PHOTO_START], data[max(PHOTO_START, len(data) - PHOTO_END) :])


def is_absence(error: FileNotFoundError) -> bool:
    """Return whether an error says that something is not there; fsspec says so of every failure of a web server."""
    return int(getattr(error.__cause__, "status", 404)) in (403, 404, 405, 410)


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
