"""Members of archives read by their offsets, without a position that reads could share."""

from __future__ import annotations

import io
import os
import struct
import threading
import weakref
from collections.abc import Mapping
from typing import Any, Final

from registry.sources.archives import reopen
from registry.sources.faults import Fault, cannot_read, too_large
from registry.sources.zip_directory import FileProxy, Member
from registry.sources.zip_members import MemberReader, OpenArchive
from registry.storage.filesystems import filesystem, local_path, retried

#: Bytes of a member's header that are fetched with its content: fixed part, name and extra fields.
_HEADER: Final = 30 + 256


class RangeReader:
    """Reads ranges of a local or remote archive; threads may share it, processes must not.

    Raises:
        SourceError: the archive cannot be opened.
    """

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self._url, self._options = url, options
        self._close: weakref.finalize[Any, Any] | None = None
        self._descriptor: int | None = None
        if local_path(url) is not None:
            with reopen(url, options) as file:
                self._descriptor = os.dup(file.fileno())
            self._close = weakref.finalize(self, os.close, self._descriptor)
        self._of_thread = threading.local()

    def read(self, offset: int, size: int) -> bytes:
        """Return the bytes at an offset; fewer at the end of the archive.

        Raises:
            SourceError: they cannot be read.
        """
        try:
            if self._descriptor is not None:
                return os.pread(self._descriptor, size, offset)
            fs, path = filesystem(self._url, self._options)
            data: bytes = retried(lambda: fs.cat_file(path, start=offset, end=offset + size))
            return data
        except OSError as error:
            raise cannot_read(self._url, error) from error

    def content(self, offset: int, size: int, max_bytes: int) -> bytes | Fault:
        """Return the bytes of a member of a tar archive, or its fault."""
        if size > max_bytes:
            return too_large(size, max_bytes)
        data = self.read(offset, size)
        return data if len(data) == size else Fault("cannot be read: the archive ends in the middle of it")

    def member(self, members: MemberReader, locator: Any, max_bytes: int) -> bytes | Fault:
        """Return the bytes of a member of a zip archive, whose checksum is checked, or its fault.

        The member's bytes are read first, and are an archive of a single member to the zip reader.

        Args:
            members: password and options of the archive.
            locator: of :func:`registry.sources.zip_directory.pack_members`.
            max_bytes: of the unpacked member.
        """
        if isinstance(locator, bytes):
            member = Member.unpack(locator)
            offset, packed, size = member.offset, member.packed_size, member.size
            moved: Any = member._replace(offset=0).pack()
        elif isinstance(locator, tuple):
            name, record = locator
            member = Member.unpack(record)
            offset, packed, size = member.offset, member.packed_size, member.size
            moved = name, member._replace(offset=0).pack()
        else:
            moved = members.zip_info(locator)
            offset, packed, size = moved.header_offset, moved.compress_size, moved.file_size
            moved.header_offset = 0
        if size > max_bytes:
            return too_large(size, max_bytes)
        # Packed data is never much larger than the content: a header that claims so is not worth reading.
        data = self._whole_member(offset, min(packed, 2 * size + 1024))
        archive = self._archive(members)
        archive.file.target = io.BytesIO(data)  # type: ignore[attr-defined]  # it is a FileProxy
        if isinstance(moved, bytes | tuple):
            return archive.read(moved, max_bytes)
        return archive.read_info(moved)

    def _whole_member(self, offset: int, packed: int) -> bytes:
        """Return the header and the packed bytes of a member; the names in the header tell its length."""
        data = self.read(offset, _HEADER + packed)
        if len(data) >= 30:
            name_length, extra_length = struct.unpack_from("<HH", data, 26)
            end = 30 + name_length + extra_length + packed
            if end > _HEADER + packed:
                data += self.read(offset + len(data), end - len(data))
        return data

    def _archive(self, members: MemberReader) -> OpenArchive:
        """Return the zip reader of this thread, without a file."""
        archive: OpenArchive | None = getattr(self._of_thread, "archive", None)
        if archive is None:
            archive = self._of_thread.archive = members.open_without_file(FileProxy(io.BytesIO()))
        return archive

    def close(self) -> None:
        """Close the archive."""
        if self._close is not None:
            self._close()
