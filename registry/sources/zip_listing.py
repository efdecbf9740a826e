"""The files of a split in an ordinary zip archive, listed without an object for each member."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from registry.dataset.file_names import PHOTO_SUFFIXES
from registry.sources.archives import SkippedMembers, choose_prefix, folders_at, unsafe_names
from registry.sources.entries import Entries, NameStyle, Place
from registry.sources.listing import Kind, Listing, folder_kind
from registry.sources.zip_directory import AES_METHOD, ENCRYPTED_FLAG, PASSWORD_TRIALS
from registry.sources.zip_records import MEMBER_TYPE, UnusualZipError, ZipRecords, read_records
from registry.storage.filesystems import StorageOptions

#: Suffixes of the release, where numbers have at least six digits.
_SUFFIXES: Final[dict[Kind, str]] = {"annos": "json", "image": PHOTO_SUFFIXES[0]}
_MIN_DIGITS: Final = 6
_MAX_DIGITS: Final = 9
#: Folders, and members that are no data of a split, of an ordinary archive.
_MAX_FOLDERS: Final = 8
_MAX_OTHERS: Final = 100
#: As MEMBER_TYPE, in three quarters of its bytes: no annotation and no photo of an ordinary archive has 4 GB.
_COMPACT: Final = np.dtype(
    [("offset", "<u8"), ("packed_size", "<u4"), ("size", "<u4"), ("crc", "<u4")]
    + [(name, "<u2") for name in ("method", "flags", "raw_time")]
)
_MAX_SIZE: Final = (1 << 32) - 1
_PLAIN_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ZipPlaces:
    """The places of files in a folder of an archive.

    Attributes:
        folder: with its leading folders and a slash behind it.
        members: of :data:`MEMBER_TYPE` with fewer bytes, ``(n,)``.
    """

    folder: str
    members: npt.NDArray[Any]

    def read(self, positions: npt.NDArray[np.intp], names: Sequence[str]) -> Iterable[Place]:
        """Return the place of each file; see :func:`registry.sources.zip_directory.pack_members`."""
        members = self.members[positions].astype(MEMBER_TYPE)
        packed, width = members.tobytes(), MEMBER_TYPE.itemsize
        locators: list[Any] = [packed[start : start + width] for start in range(0, len(packed), width)]
        is_plain = (members["flags"] & ENCRYPTED_FLAG == 0) & np.isin(members["method"], _PLAIN_METHODS)
        for number in np.flatnonzero(~is_plain).tolist():
            locators[number] = (self.folder + names[number], locators[number])
        return zip(locators, members["size"].tolist(), members["crc"].tolist(), strict=True)


@dataclass(frozen=True)
class OrdinaryZip:
    """The files of a split.

    Attributes:
        prefix: leading folders of the split's ``annos`` and ``image``.
        folders: the names of these two, each if there is one.
        entries: the files in each.
        protected: the first members that tell whether the password is right.
    """

    prefix: str
    folders: dict[Kind, str]
    entries: dict[Kind, Entries]
    protected: list[zipfile.ZipInfo]
    _skipped: list[tuple[str, int]]

    def list_files(self, kinds: Sequence[Kind], skipped: SkippedMembers) -> Listing:
        """Return the files; record members in other folders that look like data of the split."""
        for name, number in self._skipped:
            skipped.skip(name, kinds, number)
        entries = {kind: files for kind, files in self.entries.items() if kind in kinds}
        return Listing(entries.get("annos", Entries.none()), entries.get("image", Entries.none()))


def read_ordinary_zip(url: str, split: str, options: StorageOptions | None) -> OrdinaryZip | None:
    """Return the files of a split in an archive; None where the archive is unusual in any way.

    They are the same files as zipfile lists, which knows all other archives.

    Raises:
        SourceError: several folders could be the split's.
    """
    members = _Members()
    try:
        for records in read_records(url, options):
            members.add(records)
        return members.of_split(SkippedMembers(url, split))
    except UnusualZipError:
        return None


class _Folder:
    """The files of a folder of an archive. Arrays grow in place, where blocks to be joined would take twice as much."""

    def __init__(self, kind: Kind) -> None:
        self.kind = kind
        self._image_ids = bytearray()
        self._members = bytearray()

    def __len__(self) -> int:
        return len(self._members) // _COMPACT.itemsize

    def add(self, image_ids: npt.NDArray[Any], members: npt.NDArray[Any]) -> None:
        """Add files."""
        self._image_ids += image_ids.astype(np.int32).tobytes()
        self._members += members.astype(_COMPACT).tobytes()

    def entries(self, name: str) -> Entries:
        """Return the files.

        Raises:
            UnusualZipError: two files have the same number.
        """
        image_ids, members = np.frombuffer(self._image_ids, np.int32), np.frombuffer(self._members, _COMPACT)
        positions = None
        if not (image_ids[1:] > image_ids[:-1]).all():
            positions = np.argsort(image_ids, kind="stable").astype(np.int32)
            image_ids = image_ids[positions]
            if (image_ids[1:] == image_ids[:-1]).any():
                raise UnusualZipError
        template = NameStyle(_MIN_DIGITS, _SUFFIXES[self.kind]).template
        return Entries(
            image_ids, np.broadcast_to(np.uint8(0), len(image_ids)), [template], ZipPlaces(name, members), positions
        )


class _Members:
    """The members of an archive, without the bytes of its directory."""

    def __init__(self) -> None:
        self._folders: dict[bytes, _Folder] = {}
        self._others: list[bytes] = []
        self._protected: list[zipfile.ZipInfo] = []

    def add(self, records: ZipRecords) -> None:
        """Add members.

        Raises:
            UnusualZipError: zipfile must read them.
        """
        members = records.members
        is_wide = (members["size"] > _MAX_SIZE) | (members["packed_size"] > _MAX_SIZE)
        if is_wide.any() or (members["method"] == AES_METHOD).any():
            raise UnusualZipError
        is_other = np.ones(len(members), bool)
        for kind in _SUFFIXES:
            numbers, image_ids, lengths = _numbered(records, kind)
            is_other[numbers] = False
            while len(numbers):
                name = records.name(int(numbers[0]))[: lengths[0]]
                folder = self._folders.setdefault(name, _Folder(kind))
                is_here = _begin_with(records, numbers, lengths, name)
                folder.add(image_ids[is_here], members[numbers[is_here]])
                numbers, image_ids, lengths = numbers[~is_here], image_ids[~is_here], lengths[~is_here]
                if len(self._folders) > _MAX_FOLDERS:
                    raise UnusualZipError
        if len(self._others) + np.count_nonzero(is_other) > _MAX_OTHERS:
            raise UnusualZipError
        self._others += [records.name(int(number)) for number in np.flatnonzero(is_other)]
        is_protected = (members["flags"] & ENCRYPTED_FLAG > 0) & (members["size"] > 0)
        for number in np.flatnonzero(is_protected)[: PASSWORD_TRIALS - len(self._protected)].tolist():
            self._protected.append(records.member(number).zip_info(records.name(number).decode("cp437")))

    def of_split(self, skipped: SkippedMembers) -> OrdinaryZip:
        """Return the files of the split; this object is empty then.

        Raises:
            UnusualZipError: zipfile must read them.
            SourceError: several folders could be the split's.
        """
        folders = {name.decode("cp437"): folder for name, folder in self._folders.items()}
        self._folders.clear()
        names = [f"{name}000000.{_SUFFIXES[folder.kind]}" for name, folder in folders.items()]
        is_usual = (
            all(name.isascii() and "__MACOSX" not in name for name in names)
            and not unsafe_names(names)
            and _are_others_usual(self._others, names)
        )
        if not is_usual or not names:
            raise UnusualZipError
        all_names = [*names, *(name.decode() for name in self._others)]
        prefix = choose_prefix(skipped, all_names)
        chosen = folders_at(skipped.url, prefix, all_names)
        entries = {}
        for kind, folder in chosen.items():
            name = f"{prefix}/{folder}/" if prefix else f"{folder}/"
            entries[kind] = folders.pop(name).entries(name)
        counts = [(f"{name}000000.{_SUFFIXES[folder.kind]}", len(folder)) for name, folder in folders.items()]
        return OrdinaryZip(prefix, chosen, entries, self._protected, counts)


def _numbered(records: ZipRecords, kind: Kind) -> tuple[_Ints, _Ints, _Ints]:
    """Return the members that are named like files of a kind, their numbers, and the lengths of their folders."""
    suffix = f".{_SUFFIXES[kind]}".encode()
    view = np.frombuffer(records.data, np.uint8)
    numbers = np.flatnonzero(records.name_lengths >= len(suffix) + _MIN_DIGITS + len(kind) + 1)
    ends = records.name_starts[numbers] + records.name_lengths[numbers] - len(suffix)
    is_named = _have(view, ends, suffix)
    numbers, ends = numbers[is_named], ends[is_named]
    image_ids, num_digits = np.zeros(len(ends), np.int64), np.zeros(len(ends), np.int64)
    is_digit = np.ones(len(ends), bool)
    for place in range(_MAX_DIGITS + 1):
        digits = view[ends - 1 - place].astype(np.int64) - ord("0")
        is_digit &= (digits >= 0) & (digits <= 9)
        num_digits += is_digit
        image_ids[is_digit] += digits[is_digit] * 10**place
    starts = ends - num_digits
    # A number has zeros in front up to six digits alone.
    fits = (num_digits == _MIN_DIGITS) | ((num_digits > _MIN_DIGITS) & (view[starts] != ord("0")))
    fits &= num_digits <= _MAX_DIGITS
    folder = f"{kind}/".encode()
    at = starts - len(folder)
    begin = records.name_starts[numbers]
    fits &= (at == begin) | ((at > begin) & (view[at - 1] == ord("/")))
    fits[fits] = _have(view, at[fits], folder)
    return numbers[fits], image_ids[fits], (starts - begin)[fits]


def _have(view: npt.NDArray[np.uint8], places: _Ints, text: bytes) -> npt.NDArray[np.bool_]:
    """Return whether a text stands at each place."""
    fits = np.ones(len(places), bool)
    for number, byte in enumerate(text):
        fits &= view[places + number] == byte
    return fits


def _begin_with(records: ZipRecords, numbers: _Ints, lengths: _Ints, folder: bytes) -> npt.NDArray[np.bool_]:
    """Return whether each member, whose folder has a length, lies in a folder."""
    is_here: npt.NDArray[np.bool_] = lengths == len(folder)
    is_here[is_here] = _have(np.frombuffer(records.data, np.uint8), records.name_starts[numbers[is_here]], folder)
    return is_here


def _are_others_usual(others: list[bytes], names: list[str]) -> bool:
    """Return whether members that are no data have ASCII names, and lie in no folder that may stand for a split's.

    Args:
        others: their names.
        names: of a file of each folder that is one.
    """
    folders = {name.rpartition("/")[0].encode() + b"/" for name in names}
    for other in others:
        if not other.isascii() or unsafe_names([other.decode()]) or b"\0" in other or b"\\" in other:
            return False
        if other not in folders and any(map(folder_kind, other.decode().split("/"))):
            return False
    return True
