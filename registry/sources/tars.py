"""Tar archives as sources, plain or gzip-compressed, read in place, never unpacked to disk."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO, Final, Self, cast

from registry.errors import SourceError
from registry.sources.archives import Unread, choose_prefix, is_of_place, reopen
from registry.sources.issues import Issue
from registry.sources.listing import MEMBER, Entry, Listing, build_listing
from registry.sources.photo_headers import (
    PHOTO_END,
    PhotoMark,
    Size,
    image_size,
    photo_mark,
    photo_mark_of,
    size_from_start,
)
from registry.sources.reading import (
    MAX_ANNOTATION,
    MAX_PHOTO,
    MAX_PHOTO_HEADER,
    PHOTO_START,
    Fault,
    cannot_read,
    open_file,
    shown_name,
    too_large,
)

#: Bytes of a member: beyond, no file system has it, and the arithmetic of places in the archive ends.
_MAX_SIZE: Final = 1 << 50
#: Bytes of a header that goes on in the archive (a long name, PAX records).
_MAX_HEADER: Final = 1 << 20
_LONG_HEADERS: Final = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
#: What tarfile and gzip raise where an archive is damaged. An OSError is of the place if the system numbered it.
_READ_ERRORS: Final = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    struct.error,
    OSError,
    ValueError,
    OverflowError,
    IndexError,
    KeyError,
    TypeError,
    MemoryError,
    RecursionError,
)


class _Header(tarfile.TarInfo):
    """A member's header; a damaged or missing one is an error, where tarfile would see the archive's end."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        header = super().frombuf(buf, encoding, errors)
        if not 0 <= header.size <= (_MAX_HEADER if header.type in _LONG_HEADERS else _MAX_SIZE):
            raise tarfile.ReadError(f"a member of {header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            header = super().fromtarfile(archive)
            if not 0 <= header.size <= _MAX_SIZE:  # PAX records may say another size
                raise tarfile.ReadError(f"a member of {header.size} bytes")
            return header
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the zeros that mark the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset}") from error


class _Ending:
    """A stream that is an error to read on and on at its end, as tarfile does where a header tells too large a size."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file = file
        self._num_ends = 0

    def read(self, size: int) -> bytes:
        data = self._file.read(size)
        self._num_ends += not data
        if self._num_ends > 2:
            raise tarfile.ReadError("unexpected end of data")
        return data


@dataclass
class TarSource:
    """One split in a tar archive, plain or gzip-compressed.

    In a plain one members are read where they lie. A compressed one has no such places, so listing keeps each
    annotation (compressed again, about a quarter of its size) and each photo's width and height.
    """

    url: str
    options: Mapping[str, Any]

    @property
    def _compressed(self) -> bool:
        return not self.url.endswith(".tar")

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """Read the archive's headers, and its annotations where it is compressed."""
        found: dict[str, list[tuple[str, str, Any, int, None]]] = {}
        odd: dict[str, list[Issue]] = {}
        unread = Unread(self.url, split)
        kinds = ("annos", "image") if photos else ("annos",)
        try:
            with closing(open_file(self.url, self.options)) as raw, self._unpacked(raw) as archive:
                for member in archive:
                    match = MEMBER.fullmatch(member.name)
                    if not member.isdir() and unread.refuse([member.name]):
                        pass
                    elif match and match["kind"] in kinds:
                        kind, name, lead = match["kind"], match["name"], match["lead"] or ""
                        rows = found.setdefault(lead, [])
                        if member.isreg() and not member.issparse():
                            rows.append((kind, name, self._locator(archive, member, kind), member.size, None))
                        elif not name.startswith("."):
                            what = "a folder" if member.isdir() else "a link or device"
                            what = "a sparse file" if member.isreg() else what
                            issue = Issue(f"{split}/{kind}/{shown_name(name)}", (), f"expected a file, found {what}")
                            odd.setdefault(lead, []).append(issue)
                    elif not match and not member.isdir():
                        unread.note(member.name, kinds)
                    archive.members = []  # type: ignore[attr-defined]  # or it keeps every header
        except FileNotFoundError as error:
            raise SourceError(f"{self.url} does not exist.") from error
        except _READ_ERRORS as error:
            if is_of_place(error):
                raise cannot_read(self.url, error) from error  # type: ignore[arg-type]  # it is an OSError
            reason = shown_name(str(error) or type(error).__name__)
            raise SourceError(
                f"{self.url} is not a complete tar archive ({reason}). Is the download finished? Fetch it again."
            ) from error
        prefix = choose_prefix(unread, (f"{lead}/annos/x" if lead else "annos/x" for lead in found))
        for lead in found.keys() - {prefix}:
            for kind, name, *_ in found[lead]:
                unread.note(f"{lead}/{kind}/{name}" if lead else f"{kind}/{name}", kinds)
        listing = build_listing(split, found[prefix])
        listing.issues += odd.get(prefix, []) + unread.issues(prefix)
        return listing

    @contextmanager
    def _unpacked(self, raw: BinaryIO) -> Iterator[tarfile.TarFile]:
        """Yield the open archive. A compressed one is read to its very end, where its checksum is."""
        if not self._compressed:
            with tarfile.open(fileobj=raw, mode="r:", tarinfo=_Header) as archive:
                yield archive
            return
        with gzip.GzipFile(fileobj=raw) as file:
            stream = cast(BinaryIO, _Ending(file))
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Header) as archive:
                yield archive
            while file.read(1 << 20):
                pass

    def _locator(self, archive: tarfile.TarFile, member: tarfile.TarInfo, kind: str) -> Any:
        if not self._compressed:
            return member.offset_data, member.size
        most = MAX_ANNOTATION if kind == "annos" else MAX_PHOTO
        if member.size > most:
            return too_large(member.size, most)
        content = archive.extractfile(member)
        assert content is not None  # a regular file has content
        data = content.read()
        if len(data) < member.size:
            raise tarfile.ReadError("unexpected end of data")
        if kind == "annos":
            return zlib.compress(data, 1)
        return image_size(io.BytesIO(data)), photo_mark_of(data)

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each member's bytes."""
        if self._compressed:
            for entry in entries:
                yield entry.locator if isinstance(entry.locator, Fault) else zlib.decompress(entry.locator)
            return
        yield from self._read(entries, MAX_ANNOTATION)

    def _read(self, entries: Sequence[Entry], most: int) -> Iterator[bytes | Fault]:
        with closing(reopen(self.url, self.options)) as file:
            for entry in entries:
                offset, size = entry.locator
                if size > most:
                    yield too_large(size, most)
                else:
                    data = self._part(file, offset, size)
                    yield data if len(data) == size else Fault("cannot be read: the archive ends in the middle of it")

    def _part(self, file: BinaryIO, offset: int, size: int) -> bytes:
        try:
            file.seek(offset)
            return file.read(size)
        except OSError as error:
            raise cannot_read(self.url, error) from error

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each photo's bytes.

        Raises:
            SourceError: the archive is compressed, so nothing in it can be read without reading all before it.
        """
        if self._compressed:
            raise SourceError(f"Photos cannot be taken out of {self.url}: unpack it, or use the zip or a plain .tar.")
        return self._read(entries, MAX_PHOTO)

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        if self._compressed:
            return [entry.locator if isinstance(entry.locator, Fault) else entry.locator[0] for entry in entries]
        with closing(reopen(self.url, self.options)) as file:
            sizes: list[Size] = []
            for entry in entries:
                offset, size = entry.locator
                start = self._part(file, offset, min(size, PHOTO_START))
                sizes.append(size_from_start(start, partial(self._part, file, offset, min(size, MAX_PHOTO_HEADER))))
            return sizes

    def photo_marks(self, entries: Sequence[Entry]) -> Iterator[PhotoMark | Fault]:
        """Yield what tells each photo from another."""
        if self._compressed:
            yield from (entry.locator if isinstance(entry.locator, Fault) else entry.locator[1] for entry in entries)
            return
        with closing(reopen(self.url, self.options)) as file:
            for entry in entries:
                offset, size = entry.locator
                begin = self._part(file, offset, min(size, PHOTO_START))
                start = max(PHOTO_START, size - PHOTO_END)
                yield photo_mark(size, begin, self._part(file, offset + start, size - start) if size > start else b"")
