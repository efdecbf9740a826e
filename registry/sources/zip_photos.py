"""The photos of a split in an ordinary zip archive, listed without an object for each member."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from registry.sources.archives import SkippedMembers, choose_prefix, unsafe_names
from registry.sources.listing import Entry, folder_kind
from registry.sources.zip_directory import AES_METHOD, ENCRYPTED_FLAG, Member
from registry.sources.zip_records import ZipRecords, read_records
from registry.sources.zips import PASSWORD_TRIALS, ZipSource, check_password, member_reader
from registry.storage.filesystems import StorageOptions

#: Ends of the names of the release, # is a digit.
_PHOTO_END: Final = b"image/######.jpg"
_ANNOTATION_END: Final = b"annos/######.json"
#: Leading folders, and members that are no data of a split, of an ordinary archive.
_MAX_FOLDERS: Final = 8
_MAX_OTHERS: Final = 100

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ZipPhotos:
    """The photos of a split.

    Attributes:
        source: the archive; it lists no files.
        image_ids: ascending, ``(n,)``.
        members: their places, of :data:`registry.sources.zip_records.MEMBER_TYPE`, ``(n,)``.
    """

    source: ZipSource
    image_ids: _Ints
    members: npt.NDArray[Any]

    def write_index(self, path: Path) -> None:
        """Write them to a file ``.npy`` for :class:`ZipPhotoIndex`."""
        index = np.empty(len(self.members), [("image_id", "<i8"), ("member", self.members.dtype)])
        index["image_id"], index["member"] = self.image_ids, self.members
        np.save(path, index)


class ZipPhotoIndex:
    """The photos in a file of :meth:`ZipPhotos.write_index`, mapped into memory.

    Args:
        path: of the file.
        source: the archive.

    Raises:
        FileNotFoundError: the file was removed.
    """

    def __init__(self, path: Path, source: ZipSource) -> None:
        self._index = np.load(path, mmap_mode="r")
        self._folder = f"{source.prefix}/image/" if source.prefix else "image/"

    def find(self, image_id: int) -> Entry | None:
        """Return the entry of a photo; None if there is none."""
        ids = self._index["image_id"]
        at = int(np.searchsorted(ids, image_id))
        if at == len(ids) or ids[at] != image_id:
            return None
        packed = self._index["member"][at].tobytes()
        member, name = Member.unpack(packed), f"{image_id:06d}.jpg"
        locator = packed if member.is_plain else (self._folder + name, packed)
        return Entry(image_id, name, locator, member.size, member.crc)


def list_zip_photos(url: str, split: str, options: StorageOptions | None, password: str | None) -> ZipPhotos | None:
    """Return the photos of a split in an archive; None where the archive is unusual in any way.

    The same photos as :class:`registry.sources.zips.ZipSource` lists, which knows all other archives.

    Raises:
        SourceError: several folders could be the split's.
        PasswordError: the archive is protected and the password missing or wrong.
    """
    records = read_records(url, options)
    if records is None or (records.members["method"] == AES_METHOD).any():
        return None
    place = _find_photos(records, SkippedMembers(url, split))
    if place is None:
        return None
    prefix, numbers = place
    digits = _bytes_at(records, numbers, -len("######.jpg"), len("######")).astype(np.int64) - ord("0")
    image_ids: _Ints = digits @ (10 ** np.arange(5, -1, -1))
    order = np.argsort(image_ids, kind="stable")
    image_ids = image_ids[order]
    if (image_ids[1:] == image_ids[:-1]).any():
        return None
    reader = member_reader(url, [], options, password)
    check_password(reader, [_zip_info(records, int(number)) for number in _protected(records)])
    source = ZipSource(url, prefix, reader, {"image": "image"})
    return ZipPhotos(source, image_ids, records.members[numbers[order]])


def _find_photos(records: ZipRecords, skipped: SkippedMembers) -> tuple[str, _Ints] | None:
    """Return the leading folders of the split, and its photos; None where a name is unusual.

    Raises:
        SourceError: several folders could be the split's.
    """
    is_photo, is_annotation = (_have_end(records, end) for end in (_PHOTO_END, _ANNOTATION_END))
    others = np.flatnonzero(~(is_photo | is_annotation))
    if len(others) > _MAX_OTHERS:
        return None
    photos = dict(islice(_by_lead(records, np.flatnonzero(is_photo), len(_PHOTO_END)), _MAX_FOLDERS + 1))
    annotations = dict(islice(_by_lead(records, np.flatnonzero(is_annotation), len(_ANNOTATION_END)), _MAX_FOLDERS + 1))
    names = [f"{lead}image/000000.jpg" for lead in photos] + [f"{lead}annos/000000.json" for lead in annotations]
    is_usual = (
        len(names) <= _MAX_FOLDERS
        and all(name.isascii() and "__MACOSX" not in name for name in names)
        and not unsafe_names(names)
        and _are_others_usual([records.name(int(number)) for number in others], names)
    )
    if not is_usual or not photos:
        return None
    prefix = choose_prefix(skipped, names)
    numbers = photos.get(f"{prefix}/" if prefix else "")
    return None if numbers is None else (prefix, numbers)


def _protected(records: ZipRecords) -> _Ints:
    """Return the first members that tell whether the password is right."""
    is_protected = (records.members["flags"] & ENCRYPTED_FLAG > 0) & (records.members["size"] > 0)
    return np.flatnonzero(is_protected)[:PASSWORD_TRIALS]


def _zip_info(records: ZipRecords, number: int) -> Any:
    return records.member(number).zip_info(records.name(number).decode("cp437"))


def _bytes_at(records: ZipRecords, numbers: _Ints, first: int, length: int) -> npt.NDArray[np.uint8]:
    """Return bytes of names, ``(n, length)``; a negative ``first`` counts from the end of each name."""
    starts = records.name_starts[numbers] + (first if first >= 0 else first + records.name_lengths[numbers])
    view = np.frombuffer(records.data, np.uint8)
    texts = np.empty((len(numbers), length), np.uint8)
    for place in range(length):
        texts[:, place] = view[starts + place]
    return texts


def _have_end(records: ZipRecords, end: bytes) -> npt.NDArray[np.bool_]:
    """Return whether each name has an end, behind a slash or as the whole name; ``#`` in it is any digit."""
    has_end = records.name_lengths >= len(end)
    numbers = np.flatnonzero(has_end)
    view = np.frombuffer(records.data, np.uint8)
    starts = records.name_starts[numbers] + records.name_lengths[numbers] - len(end)
    fits = (starts == records.name_starts[numbers]) | (view[starts - 1] == ord("/"))
    for place, byte in enumerate(end):
        found = view[starts + place]
        fits &= (found >= ord("0")) & (found <= ord("9")) if byte == ord("#") else found == byte
    has_end[numbers] = fits
    return has_end


def _by_lead(records: ZipRecords, numbers: _Ints, end_length: int) -> Iterator[tuple[str, _Ints]]:
    """Yield the leading folders, with their slash, and the members in them."""
    while len(numbers):
        length = int(records.name_lengths[numbers[0]]) - end_length
        lead = records.name(int(numbers[0]))[:length]
        is_here = records.name_lengths[numbers] == length + end_length
        of_length = numbers[is_here]
        is_here[is_here] = (_bytes_at(records, of_length, 0, length) == np.frombuffer(lead, np.uint8)).all(axis=1)
        yield lead.decode("cp437"), numbers[is_here]
        numbers = numbers[~is_here]


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
