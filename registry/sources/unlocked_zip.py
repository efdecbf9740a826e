"""An unprotected zip archive that grows member by member, and goes on where an earlier run was ended."""

from __future__ import annotations

import os
import stat
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from registry.errors import ConflictError, StorageError
from registry.files.durability import replace_file
from registry.files.lock import lock_descriptor
from registry.sources.zip_directory import content_fits

#: Beginning of every zip archive with members.
_MAGIC: Final = b"PK\x03\x04"
#: Most bytes of a record in the central directory with its zip64 fields, without the name, and of the end records.
_DIRECTORY_RECORD: Final = 46 + 32
_END_RECORDS: Final = 22 + 20 + 56
_FLAGS: Final = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)


class UnlockedZip:
    """A zip archive of stored members.

    Until it is finished it is ``.NAME.df2-unlock`` beside the destination: complete records, perhaps followed by a
    broken one. The size of each record is known from the source, so the records need no index of their own.

    Args:
        dest: path of the finished archive.

    Raises:
        ConflictError: another process writes the archive.
        StorageError: the unfinished file is none of df2's.
        OSError: it cannot be opened.
    """

    def __init__(self, dest: Path) -> None:
        self._dest = dest
        self._path = dest.with_name(f".{dest.name}.df2-unlock")
        self._done: list[zipfile.ZipInfo] = []
        descriptor = os.open(self._path, _FLAGS, 0o666)
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self._foreign()
            if not lock_descriptor(descriptor, wait=False):
                raise ConflictError(f"Another process unlocks {dest}; run this again when it is done.")
        except BaseException:
            os.close(descriptor)
            raise
        self._file = os.fdopen(descriptor, "r+b")

    def resume(self, infos: Sequence[zipfile.ZipInfo]) -> int:
        """Return the number of the first members whose records are complete; what follows them is cut off.

        Raises:
            StorageError: the file is not the beginning of such an archive.
            OSError: it cannot be read.
        """
        size = os.fstat(self._file.fileno()).st_size
        end = 0
        for source in infos:
            info = _record(source, end)
            header = info.FileHeader(False)
            record = self._file.read(len(header) + source.file_size)
            data = memoryview(record)[len(header) :]
            info.CRC = zlib.crc32(data)
            if not content_fits(source, len(data), info.CRC) or record[: len(header)] != info.FileHeader(False):
                break
            self._done.append(info)
            end += len(record)
        else:
            source = None
        if not self._done and size:
            self._file.seek(0)
            start = self._file.read(len(_MAGIC))
            is_torn = source is not None and size < len(header) + source.file_size and _MAGIC.startswith(start)
            if not is_torn:
                raise self._foreign()
        self._file.seek(end)
        self._file.truncate()
        return len(self._done)

    def bytes_to_write(self, infos: Sequence[zipfile.ZipInfo]) -> int:
        """Return the number of bytes of the remaining records and the directory."""
        records = sum(len(_record(info, 0).FileHeader(False)) + info.file_size for info in infos)
        names = sum(len(info.filename.encode()) + _DIRECTORY_RECORD for info in (*self._done, *infos))
        return records + names + _END_RECORDS

    def add(self, info: zipfile.ZipInfo, data: bytes) -> None:
        """Add a member."""
        record = _record(info, self._file.tell())
        record.CRC = zlib.crc32(data)
        self._file.write(record.FileHeader(False) + data)
        self._done.append(record)

    def finish(self) -> None:
        """Write the directory and give the archive its name."""
        with zipfile.ZipFile(self._file, "w") as archive:  # it begins where the records end, and closes no file
            archive.filelist.extend(self._done)
        self._file.flush()
        replace_file(self._path, self._dest)

    def close(self) -> None:
        """Give up the lock; unfinished work stays, an empty file does not."""
        try:
            self._file.flush()
            if not os.fstat(self._file.fileno()).st_size:
                self._path.unlink(missing_ok=True)
        finally:
            self._file.close()

    def _foreign(self) -> StorageError:
        return StorageError(
            f"{self._path} is in the way: df2 keeps an unfinished {self._dest.name} there, and this is not the "
            "beginning of it. Remove it, then run this again."
        )


def _record(source: zipfile.ZipInfo, offset: int) -> zipfile.ZipInfo:
    """Return the directory entry of a stored member, with the name and time of its source."""
    info = zipfile.ZipInfo(source.filename, source.date_time)
    info.compress_size = info.file_size = source.file_size
    info.CRC = source.CRC
    info.create_system = 3  # Unix, wherever it is written
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    info.header_offset = offset
    return info
