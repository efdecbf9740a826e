"""The central directory of an ordinary zip archive as arrays, for hundreds of thousands of members at once.

zipfile takes some 9 µs for each member. Where an archive has anything unusual, these functions return None, and zipfile
decides what it means.
"""

from __future__ import annotations

import struct
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from registry.sources.file_objects import open_file
from registry.sources.zip_directory import MAX_DIRECTORY, Member
from registry.storage.filesystems import StorageOptions

#: An array of these has the bytes of :meth:`registry.sources.zip_directory.Member.pack`.
MEMBER_TYPE: Final = np.dtype(
    [("offset", "<u8"), ("packed_size", "<u8"), ("size", "<u8"), ("crc", "<u4")]
    + [(name, "<u2") for name in ("method", "flags", "raw_time")]
)
#: Fixed part of a record of the directory (APPNOTE 4.3.12), the name and extra fields follow.
_RECORD: Final = np.dtype(
    [
        ("signature", "S4"), ("made_by", "<u2"), ("needs", "u1"), ("needs_system", "u1"), ("flags", "<u2"),
        ("method", "<u2"), ("raw_time", "<u2"), ("date", "<u2"), ("crc", "<u4"), ("packed_size", "<u4"),
        ("size", "<u4"), ("name_length", "<u2"), ("extra_length", "<u2"), ("comment_length", "<u2"), ("disk", "<u2"),
        ("internal", "<u2"), ("external", "<u4"), ("offset", "<u4"),
    ]
)  # fmt: skip
_SIGNATURE: Final = b"PK\x01\x02"
_LENGTHS_AT: Final = 28
#: Record at the end of an archive, without its signature (4.3.16), and of a zip64 archive (4.3.14), whose locator
#: (4.3.15) lies between.
_END: Final = struct.Struct("<4s4H2LH")
_LOCATOR: Final = struct.Struct("<4sLQL")
_END64: Final = struct.Struct("<4sQ2H2L4Q")
#: Versions of the format up to this are read by zipfile.
_MAX_VERSION: Final = 63
_MAX_EXTRA_FIELDS: Final = 16
_ZIP64_FIELD: Final = 1
#: Extra fields that change a name or the encryption.
_ODD_FIELDS: Final = (0x7075, 0x9901)
_WIDE: Final = 0xFFFFFFFF

_Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ZipRecords:
    """The members of an archive in the order of its directory.

    Attributes:
        data: the directory.
        members: of :data:`MEMBER_TYPE`, ``(n,)``.
        name_starts: place of each name in ``data``, ``(n,)``.
        name_lengths: bytes of each name, ``(n,)``.
    """

    data: bytes
    members: npt.NDArray[Any]
    name_starts: _Ints
    name_lengths: _Ints

    def name(self, number: int) -> bytes:
        """Return the name of a member as it is written."""
        start = int(self.name_starts[number])
        return self.data[start : start + int(self.name_lengths[number])]

    def member(self, number: int) -> Member:
        """Return the place of a member."""
        return Member.unpack(self.members[number].tobytes())


def read_records(url: str, options: StorageOptions | None) -> ZipRecords | None:
    """Return the members of an archive; None if its directory is unusual, damaged or cannot be read."""
    try:
        with closing(open_file(url, options)) as file:
            data = _directory(file)
        return None if data is None else parse_directory(data)
    except (OSError, struct.error):
        return None


def _directory(file: BinaryIO) -> bytes | None:
    """Return the bytes of the central directory; None where a comment or other bytes surround it."""
    length = file.seek(0, 2)
    tail_length = min(length, _END.size + _LOCATOR.size + _END64.size)
    file.seek(length - tail_length)
    tail = file.read(tail_length)
    signature, *_, size, start, comment_length = _END.unpack(tail[-_END.size :])
    if signature != b"PK\x05\x06" or comment_length:
        return None
    end = length - _END.size
    tail = tail[: -_END.size]
    if tail[-_LOCATOR.size :][:4] == b"PK\x06\x07":
        _, disk, _, num_disks = _LOCATOR.unpack(tail[-_LOCATOR.size :])
        signature64, *_, size, start = _END64.unpack(tail[: _END64.size])
        if disk or num_disks > 1 or signature64 != b"PK\x06\x06":
            return None
        end -= _LOCATOR.size + _END64.size
    if start + size != end or size > MAX_DIRECTORY:
        return None
    file.seek(start)
    data = file.read(size)
    return data if len(data) == size else None


def parse_directory(data: bytes) -> ZipRecords | None:
    """Return the members that a central directory tells of; None where it is unusual or damaged.

    Raises:
        struct.error: the last record is cut off.
    """
    starts = []
    start, lengths = 0, struct.Struct("<3H")
    while start < len(data):
        starts.append(start)
        start += _RECORD.itemsize + sum(lengths.unpack_from(data, start + _LENGTHS_AT))
    rows = np.frombuffer(b"".join([data[at : at + _RECORD.itemsize] for at in starts]), _RECORD)
    if start != len(data) or (rows["signature"] != _SIGNATURE).any() or (rows["needs"] > _MAX_VERSION).any():
        return None
    members = np.empty(len(rows), MEMBER_TYPE)
    for name in MEMBER_TYPE.names or ():
        members[name] = rows[name]
    name_starts = np.array(starts, np.int64) + _RECORD.itemsize
    name_lengths = rows["name_length"].astype(np.int64)
    extra_starts = name_starts + name_lengths
    if not _read_zip64(data, members, extra_starts, extra_starts + rows["extra_length"]):
        return None
    return ZipRecords(data, members, name_starts, name_lengths)


def _read_zip64(data: bytes, members: npt.NDArray[Any], starts: _Ints, ends: _Ints) -> bool:
    """Set the numbers that lie in zip64 fields; return False if extra fields are damaged or unusual."""
    view = np.frombuffer(data, np.uint8)

    def number(places: _Ints, width: int) -> npt.NDArray[np.uint64]:
        total = np.zeros(len(places), np.uint64)
        for byte in range(width):
            total |= view[places + byte].astype(np.uint64) << np.uint64(8 * byte)
        return total

    at, has_zip64 = starts.copy(), np.zeros(len(members), bool)
    for _ in range(_MAX_EXTRA_FIELDS):
        rows = np.flatnonzero(ends - at >= 4)
        if not len(rows):
            return True
        kinds = number(at[rows], 2)
        content = at[rows] + 4
        at[rows] = content + number(at[rows] + 2, 2).astype(np.int64)
        is_zip64 = kinds == _ZIP64_FIELD
        if (at[rows] > ends[rows]).any() or np.isin(kinds, _ODD_FIELDS).any() or has_zip64[rows[is_zip64]].any():
            return False
        rows, content = rows[is_zip64], content[is_zip64]
        has_zip64[rows] = True
        for name in ("size", "packed_size", "offset"):  # their order in the field
            is_wide = members[name][rows] == _WIDE
            if (content[is_wide] + 8 > at[rows[is_wide]]).any():
                return False
            members[name][rows[is_wide]] = number(content[is_wide], 8)
            content[is_wide] += 8
    return False
