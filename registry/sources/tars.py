"""Tar archives as sources, plain or compressed by gzip, bzip2 or xz. They are read in place, never unpacked to disk."""

from __future__ import annotations

import bz2
import gzip
import lzma
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, BinaryIO, cast

from registry.errors import SourceError
from registry.sources.archives import (
    SkippedMembers,
    choose_prefix,
    folders_at,
    is_system_error,
    other_split_notice,
    reopen,
)
from registry.sources.build_listing import FileGroup, list_groups
from registry.sources.entries import Entry, RangePlaces, StoredPlaces
from registry.sources.faults import (
    MAX_ANNOTATION,
    MAX_PHOTO,
    MAX_PHOTO_HEADER,
    PHOTO_START,
    Fault,
    cannot_read,
    shown_name,
    too_large,
)
from registry.sources.file_objects import open_file
from registry.sources.issues import Issue
from registry.sources.listing import MEMBER, Kind, Listing, folder_kind, kinds_to_list, renamed_folder_notices
from registry.sources.locate import archive_suffix
from registry.sources.photo_headers import (
    PhotoChecksum,
    Size,
    photo_checksum_of,
    read_photo_checksum,
    size_from_start,
)
from registry.sources.tar_headers import READ_ERRORS, EndingStream, Header


@dataclass
class _Folder:
    """Members of an archive's ``annos`` or ``image``, or of a folder with another name that stands for it.

    Attributes:
        files: the files.
        issues: links, devices and folders instead of files.
    """

    files: FileGroup
    issues: list[Issue] = field(default_factory=list)


@dataclass
class TarSource:
    """A split in a tar archive, plain or compressed.

    Members of a plain archive are read by offset. A compressed archive has no offsets, so its listing keeps each
    annotation (compressed again, about a quarter of its size) and each photo's width, height and checksum.
    """

    url: str
    options: Mapping[str, Any]

    @property
    def _compressed(self) -> bool:
        return archive_suffix(self.url) != ".tar"

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """Return the files of the split; reads all headers, and all content of a compressed archive.

        Raises:
            SourceError: the archive does not exist, is damaged, or does not hold the split.
        """
        kinds = kinds_to_list(photos)
        skipped = SkippedMembers(self.url, split)
        try:
            folders = self._read_headers(split, kinds, skipped)
        except FileNotFoundError as error:
            raise SourceError(f"{self.url} does not exist.") from error
        except READ_ERRORS as error:
            if is_system_error(error):
                raise cannot_read(self.url, error) from error  # type: ignore[arg-type]  # it is an OSError
            reason = shown_name(str(error) or type(error).__name__)
            raise SourceError(
                f"{self.url} is not a complete tar archive ({reason}). Is the download finished? Fetch it again."
            ) from error
        paths = {f"{lead}/{name}" if lead else name: folder for (lead, name), folder in folders.items()}
        members = [f"{path}/x" for path in paths]
        prefix = choose_prefix(skipped, members)
        chosen = folders_at(self.url, prefix, members)
        read_folders = {kind: paths.pop(f"{prefix}/{name}" if prefix else name) for kind, name in chosen.items()}
        for path, folder in paths.items():
            for name in folder.files.names():
                skipped.skip(f"{path}/{name}", kinds)
        listing = list_groups(split, {kind: folder.files for kind, folder in read_folders.items()})
        listing.issues += [issue for folder in read_folders.values() for issue in folder.issues]
        listing.issues += skipped.issues(prefix)
        listing.notices += renamed_folder_notices(split, chosen, kinds)
        listing.notices += other_split_notice(self.url, prefix, split)
        return listing

    def _read_headers(
        self, split: str, kinds: Sequence[Kind], skipped: SkippedMembers
    ) -> dict[tuple[str, str], _Folder]:
        """Return (leading folders, name) of each folder that may be ``annos`` or ``image`` -> its members."""
        folders: dict[tuple[str, str], _Folder] = {}
        with closing(open_file(self.url, self.options)) as raw, self._unpacked(raw) as archive:
            for member in archive:
                match = MEMBER.fullmatch(member.name)
                if not member.isdir() and skipped.refuse_unsafe([member.name]):
                    pass
                elif match and (kind := folder_kind(match["folder"])) and kind in kinds:
                    name = match["name"]
                    place = match["lead"] or "", match["folder"]
                    if place not in folders:
                        folders[place] = _Folder(FileGroup(kind, StoredPlaces() if self._compressed else RangePlaces()))
                    folder = folders[place]
                    if member.isreg() and not member.issparse():
                        folder.files.add(name, self._locator(archive, member, kind), member.size, None)
                    elif not name.startswith("."):
                        text = f"expected a file, found {_kind_of_member(member)}"
                        folder.issues.append(Issue(f"{split}/{kind}/{shown_name(name)}", (), text))
                elif not match and not member.isdir():
                    skipped.skip(member.name, kinds)
                archive.members = []  # type: ignore[attr-defined]  # tarfile would keep every header
        return folders

    @contextmanager
    def _unpacked(self, raw: BinaryIO) -> Iterator[tarfile.TarFile]:
        """Yield the open archive. A compressed archive is read to its end, where its checksum is."""
        if not self._compressed:
            with tarfile.open(fileobj=raw, mode="r:", tarinfo=Header) as archive:
                yield archive
            return
        with _decompressed(raw, archive_suffix(self.url)) as file:
            stream = cast(BinaryIO, EndingStream(file))
            with tarfile.open(fileobj=stream, mode="r|", tarinfo=Header) as archive:
                yield archive
            while file.read(1 << 20):
                pass

    def _locator(self, archive: tarfile.TarFile, member: tarfile.TarInfo, kind: Kind) -> Any:
        """Return (offset, size) in a plain archive.

        Of a compressed archive, return an annotation's bytes compressed by zlib, a photo's size and checksum, or the
        fault of a member that is too large.
        """
        if not self._compressed:
            return member.offset_data, member.size
        max_bytes = MAX_ANNOTATION if kind == "annos" else MAX_PHOTO
        if member.size > max_bytes:
            return too_large(member.size, max_bytes)
        content = archive.extractfile(member)
        assert content is not None  # a regular file has content
        data = content.read()
        if len(data) < member.size:
            raise tarfile.ReadError("unexpected end of data")
        if kind == "annos":
            return zlib.compress(data, 1)
        return size_from_start(data[:PHOTO_START], lambda: data[:MAX_PHOTO_HEADER]), photo_checksum_of(data)

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each annotation file."""
        if self._compressed:
            for entry in entries:
                yield entry.locator if isinstance(entry.locator, Fault) else zlib.decompress(entry.locator)
            return
        yield from self._read(entries, MAX_ANNOTATION)

    def _read(self, entries: Sequence[Entry], max_bytes: int) -> Iterator[bytes | Fault]:
        with closing(reopen(self.url, self.options)) as file:
            for entry in entries:
                offset, size = entry.locator
                if size > max_bytes:
                    yield too_large(size, max_bytes)
                else:
                    data = self._read_range(file, offset, 0, size)
                    yield data if len(data) == size else Fault("cannot be read: the archive ends in the middle of it")

    def _read_range(self, file: BinaryIO, offset: int, start: int, end: int) -> bytes:
        """Return the bytes from ``start`` up to ``end`` of the member at ``offset``."""
        try:
            file.seek(offset + start)
            return file.read(end - start)
        except OSError as error:
            raise cannot_read(self.url, error) from error

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each photo.

        Raises:
            SourceError: the archive is compressed, so no member can be read without all members before it.
        """
        if self._compressed:
            raise SourceError(f"Photos cannot be taken out of {self.url}: unpack it, or use the zip or a plain .tar.")
        return self._read(entries, MAX_PHOTO)

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return width and height of each photo, from its header."""
        if self._compressed:
            return [entry.locator if isinstance(entry.locator, Fault) else entry.locator[0] for entry in entries]
        with closing(reopen(self.url, self.options)) as file:
            sizes: list[Size] = []
            for entry in entries:
                offset, size = entry.locator
                start = self._read_range(file, offset, 0, min(size, PHOTO_START))
                read_more = partial(self._read_range, file, offset, 0, min(size, MAX_PHOTO_HEADER))
                sizes.append(size_from_start(start, read_more))
            return sizes

    def photo_checksums(self, entries: Sequence[Entry]) -> Iterator[PhotoChecksum | Fault]:
        """Yield the checksum or the fault of each photo."""
        if self._compressed:
            yield from (entry.locator if isinstance(entry.locator, Fault) else entry.locator[1] for entry in entries)
            return
        with closing(reopen(self.url, self.options)) as file:
            for entry in entries:
                offset, size = entry.locator
                yield read_photo_checksum(size, partial(self._read_range, file, offset))


def _decompressed(raw: BinaryIO, suffix: str) -> gzip.GzipFile | bz2.BZ2File | lzma.LZMAFile:
    if suffix in (".tar.bz2", ".tbz2"):
        return bz2.BZ2File(raw)
    return lzma.LZMAFile(raw) if suffix in (".tar.xz", ".txz") else gzip.GzipFile(fileobj=raw)


def _kind_of_member(member: tarfile.TarInfo) -> str:
    if member.isreg():
        return "a sparse file"
    return "a folder" if member.isdir() else "a link or device"
