"""The central directory of an ordinary zip archive as arrays, thousands of members at a time.

zipfile takes some 9 µs and 400 bytes for each member. These functions raise UnusualZipError for an archive that is not
ordinary; it is then read by zipfile.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import numpy.typing as npt

from registry.sources.file_objects import open_file
from registry.sources.zip_directory import Member
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
#: Maximum bytes of a directory: of some 13 million members.
MAX_DIRECTORY: Final = 1 << 30
#: Bytes of a directory to read at a time; no record is as long.
_BLOCK: Final = 1 << 20
#: Versions of the format up to this are read by zipfile.
_MAX_VERSION: Final = 63
_MAX_EXTRA_FIELDS: Final = 16
_ZIP64_FIELD: Final = 1
#: Flag of a member whose name is UTF-8.
_UTF8_FLAG: Final = 0x800
#: Extra fields that change a name or the encryption.
_ODD_FIELDS: Final = (0x7075, 0x9901)
_WIDE: Final = 0xFFFFFFFF

_Ints = npt.NDArray[np.int64]


class UnusualZipError(Exception):
    """An archive is left to zipfile: its directory is unusual, damaged or cannot be read."""


@dataclass(frozen=True)
class ZipRecords:
    """Some members of an archive in the order of its directory.

    Attributes:
        data: a part of the directory.
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


def read_records(url: str, options: StorageOptions | None) -> Iterator[ZipRecords]:
    """Yield the members of an archive.

    Raises:
        UnusualZipError: before or after some members.
    """
    try:
        with closing(open_file(url, options)) as file:
            rest = b""
            num_bytes = _seek_directory(file)
            while num_bytes:
                block = file.read(min(num_bytes, _BLOCK))
                if not block:
                    raise UnusualZipError
                num_bytes -= len(block)
                records, rest = _parse(rest + block)
                yield records
            if rest:
                raise UnusualZipError
    except (OSError, struct.error) as error:
        raise UnusualZipError from error


def _seek_directory(file: BinaryIO) -> int:
    """Go to the central directory; return its number of bytes. No comment and no other bytes may surround it."""
    length = file.seek(0, 2)
    tail_length = min(length, _END.size + _LOCATOR.size + _END64.size)
    file.seek(length - tail_length)
    tail = file.read(tail_length)
    signature, *_, size, start, comment_length = _END.unpack(tail[-_END.size :])
    if signature != b"PK\x05\x06" or comment_length:
        raise UnusualZipError
    end = length - _END.size
    tail = tail[: -_END.size]
    if tail[-_LOCATOR.size :][:4] == b"PK\x06\x07":
        _, disk, _, num_disks = _LOCATOR.unpack(tail[-_LOCATOR.size :])
        signature64, *_, size, start = _END64.unpack(tail[: _END64.size])
        if disk or num_disks > 1 or signature64 != b"PK\x06\x06":
            raise UnusualZipError
        end -= _LOCATOR.size + _END64.size
    if start + size != end or size > MAX_DIRECTORY:
        raise UnusualZipError
    file.seek(start)
    return int(size)


def _parse(data: bytes) -> tuple[ZipRecords, bytes]:
    """Return the members of the whole records at the beginning of some bytes, and the bytes behind them."""
    starts = []
    start, lengths, last = 0, struct.Struct("<3H"), len(data) - _RECORD.itemsize
    while start <= last:
        end = start + _RECORD.itemsize + sum(lengths.unpack_from(data, start + _LENGTHS_AT))
        if end > len(data):
            break
        starts.append(start)
        start = end
    rows = np.frombuffer(b"".join([data[at : at + _RECORD.itemsize] for at in starts]), _RECORD)
    if (rows["signature"] != _SIGNATURE).any() or (rows["needs"] > _MAX_VERSION).any():
        raise UnusualZipError
    members = np.empty(len(rows), MEMBER_TYPE)
    for name in MEMBER_TYPE.names or ():
        members[name] = rows[name]
    name_starts = np.array(starts, np.int64) + _RECORD.itemsize
    name_lengths = rows["name_length"].astype(np.int64)
    extra_starts = name_starts + name_lengths
    if not _read_zip64(data, members, extra_starts, extra_starts + rows["extra_length"]):
        raise UnusualZipError
    records = ZipRecords(data, members, name_starts, name_lengths)
    # zipfile refuses an archive with a damaged name.
    if not all(records.name(number).isascii() for number in np.flatnonzero(rows["flags"] & _UTF8_FLAG).tolist()):
        raise UnusualZipError
    return records, data[start:]


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
