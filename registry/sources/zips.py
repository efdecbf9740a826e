"""Zip archives as sources: plain, ZipCrypto and AES-256. They are read in place, never unpacked to disk."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.errors import PasswordError
from registry.sources.archives import (
    SkippedMembers,
    is_system_error,
    other_split_notice,
    refused_list,
    unsafe_names,
)
from registry.sources.build_listing import build_listing
from registry.sources.entries import Entry
from registry.sources.faults import MAX_ANNOTATION, MAX_LIST, MAX_PHOTO, Fault, cannot_read, shown_name
from registry.sources.issues import Issue
from registry.sources.listing import MEMBER, Kind, Listing, kinds_to_list, renamed_folder_notices
from registry.sources.photo_headers import PhotoChecksum, Size
from registry.sources.zip_directory import (
    AES_METHOD,
    ENCRYPTED_FLAG,
    PASSWORD_TRIALS,
    all_names,
    incomplete,
    pack_members,
    read_directory,
    turn_backslashes,
)
from registry.sources.zip_listing import OrdinaryZip, read_ordinary_zip
from registry.sources.zip_members import MemberReader
from registry.storage.filesystems import StorageOptions


@dataclass
class ZipSource:
    """A split in a zip archive.

    The process that lists the files reads the central directory; other processes get only the entries to read.

    Attributes:
        url: URL of the archive.
        prefix: leading folders of the split's ``annos`` and ``image``.
        folders: the names of these two.
        members: reads members.
        notices: oddities of the archive that are accepted.
    """

    url: str
    prefix: str
    members: MemberReader
    folders: dict[Kind, str] = field(default_factory=dict)
    notices: list[str] = field(default_factory=list)
    _infos: list[zipfile.ZipInfo] = field(default_factory=list, repr=False)
    _skipped: SkippedMembers | None = field(default=None, repr=False)
    _ordinary: OrdinaryZip | None = field(default=None, repr=False)

    @classmethod
    def open_ordinary(
        cls, url: str, split: str, options: Mapping[str, Any] | None = None, password: str | None = None
    ) -> ZipSource | None:
        """Read the directory of an ordinary archive, and try the password; return None for all others.

        Raises:
            SourceError: several folders could be the split's.
            PasswordError: the archive is protected and the password missing or wrong.
        """
        ordinary = read_ordinary_zip(url, split, options)
        if ordinary is None:
            return None
        members = member_reader(url, [], options, password)
        check_password(members, ordinary.protected)
        skipped = SkippedMembers(url, split)
        return cls(url, ordinary.prefix, members, ordinary.folders, _skipped=skipped, _ordinary=ordinary)

    @classmethod
    def open(
        cls, url: str, split: str, options: Mapping[str, Any] | None = None, password: str | None = None
    ) -> ZipSource:
        """Read the directory of the archive; the caller sets the prefix and the folders, and tries the password.

        Raises:
            SourceError: the archive does not exist or is damaged.
            PasswordError: the password is no UTF-8 text.
        """
        infos = read_directory(url, options)
        notices = turn_backslashes(url, infos)
        skipped = SkippedMembers(url, split)
        refused = set(skipped.refuse_unsafe(all_names(infos)))
        if refused:
            infos = [info for info in infos if refused.isdisjoint((info.orig_filename, info.filename))]
        members = member_reader(url, infos, options, password)
        return cls(url, "", members, notices=notices, _infos=infos, _skipped=skipped)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_infos": [], "_skipped": None, "_ordinary": None}  # other processes do not list

    @property
    def names(self) -> Iterator[str]:
        """The names of the members that are not refused."""
        return (info.filename for info in self._infos)

    @property
    def refused(self) -> list[str]:
        """The names that are refused."""
        return self._skipped.refused if self._skipped else []

    def try_password(self) -> None:
        """Raise PasswordError unless the password opens the protected members."""
        check_password(self.members, self._infos)

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """Return the files of the split.

        Raises:
            SourceError: the archive is damaged.
        """
        kinds = kinds_to_list(photos)
        try:
            if self._ordinary and self._skipped:
                listing = self._ordinary.list_files(kinds, self._skipped)
            else:
                listing = build_listing(split, self.files(kinds))
        except (OverflowError, ValueError) as error:  # sizes or offsets that no archive can have
            raise incomplete(self.url, error) from error
        listing.issues += self.skipped_issues()
        listing.notices += self.notices
        listing.notices += other_split_notice(self.url, self.prefix, split)
        listing.notices += renamed_folder_notices(split, self.folders, kinds)
        return listing

    def files(self, kinds: Sequence[Kind]) -> Iterator[tuple[Kind, str, Any, int, int]]:
        """Yield (kind, name, locator, size, CRC) of each file of the split, and forget the directory."""
        kind_of = {name: kind for kind, name in self.folders.items()}
        for filename, size, crc, locator in pack_members(self._infos):
            match = MEMBER.fullmatch(filename)
            kind = kind_of.get(match["folder"]) if match and (match["lead"] or "") == self.prefix else None
            if not match or not kind:
                if self._skipped:
                    self._skipped.skip(filename, kinds)
            elif kind in kinds:
                yield kind, match["name"], locator, size, crc

    def skipped_issues(self) -> list[Issue]:
        """Return an issue for each refused name and each folder that was skipped."""
        return self._skipped.issues(self.prefix) if self._skipped else []

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each annotation file."""
        return _read(self.members, entries, MAX_ANNOTATION)

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each photo."""
        return _read(self.members, entries, MAX_PHOTO)

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return width and height of each photo, from its header."""
        with self.members.open() as archive:
            return [archive.photo_size(entry.locator) for entry in entries]

    def photo_checksums(self, entries: Sequence[Entry]) -> Iterator[PhotoChecksum | Fault]:
        """Yield the checksum of each photo: size and CRC-32 from the central directory."""
        yield from ((entry.size or 0, entry.crc or 0) for entry in entries)


def zip_lists(
    url: str, is_list: Callable[[str], bool], options: StorageOptions | None, password: str | None, notices: list[str]
) -> Iterator[tuple[str, bytes | Fault]]:
    """Yield (name without folders, bytes or fault) of the retrieval lists in a zip archive.

    Args:
        url: path or URL of the archive.
        is_list: whether a member of this name, without folders, is a retrieval list.
        options: passed to fsspec.
        password: password of a protected zip.
        notices: oddities of the archive that are accepted are appended to it.

    Raises:
        SourceError: the archive does not exist, is damaged or cannot be read.
        PasswordError: it is protected and the password missing or wrong.
    """
    infos = []
    directory = read_directory(url, options)
    notices += turn_backslashes(url, directory)
    for info in directory:
        if is_list(re.split(r"[/\\]", info.filename)[-1]):
            refused = unsafe_names(all_names([info]))
            if refused:
                yield refused[0], refused_list(url)
            else:
                infos.append(info)
    members = member_reader(url, infos, options, password)
    check_password(members, infos)
    entries = [Entry(0, info.filename.rpartition("/")[2], info) for info in infos]
    for entry, data in zip(entries, _read(members, entries, MAX_LIST), strict=True):
        yield entry.name, data


def _read(members: MemberReader, entries: Sequence[Entry], max_bytes: int) -> Iterator[bytes | Fault]:
    with members.open() as archive:
        for entry in entries:
            yield archive.read(entry.locator, max_bytes)


def member_reader(
    url: str, infos: Sequence[zipfile.ZipInfo], options: StorageOptions | None, password: str | None
) -> MemberReader:
    """Return a reader of the members of an archive.

    Raises:
        PasswordError: the password is no UTF-8 text.
    """
    try:
        encoded = password.encode() if password else None
    except UnicodeEncodeError:
        raise PasswordError("The password in DF2_ZIP_PASSWORD is no UTF-8 text.") from None
    return MemberReader(url, any(info.compress_type == AES_METHOD for info in infos), options or {}, encoded)


def check_password(members: MemberReader, infos: Sequence[zipfile.ZipInfo]) -> bool:
    """Return whether any of these members is protected; raise PasswordError unless the password opens the first."""
    infos = [info for info in infos if info.flag_bits & ENCRYPTED_FLAG and info.file_size][:PASSWORD_TRIALS]
    if not infos:
        return False
    if not members.password:
        raise PasswordError(
            f"{members.url} is protected: set DF2_ZIP_PASSWORD to the password from the dataset's authors."
        )
    errors: tuple[type[Exception], ...] = (RuntimeError, *members.damage_errors)
    with members.open() as archive:
        for info in infos:
            try:
                if info.file_size <= MAX_PHOTO:
                    archive.read_whole(members.zip_info(info))
            except errors as error:
                if is_system_error(error):
                    raise cannot_read(members.url, error) from error  # type: ignore[arg-type]  # it is an OSError
                raise PasswordError(
                    f"The password in DF2_ZIP_PASSWORD does not open {members.url} "
                    f"(or the archive is damaged at {shown_name(info.filename)})."
                ) from error
    return True
