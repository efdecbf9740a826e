"""Members of archives read by their offsets, without a position that reads could share."""

from __future__ import annotations

import io
import os
import struct
import tarfile
import threading
import weakref
from collections.abc import Mapping
from typing import Any, Final

from registry.errors import UnreadableSourceError
from registry.files.positions import read_at
from registry.sources.archives import reopen
from registry.sources.faults import Fault, cannot_read, too_large
from registry.sources.zip_directory import FileProxy, Member
from registry.sources.zip_members import MemberReader, OpenArchive
from registry.storage.filesystems import filesystem, local_path, retried

#: Bytes of the field of a name in the header of a tar.
_NAME_LENGTH: Final = 100
#: No archive is so large; the operating system refuses offsets beyond its numbers.
_MAX_OFFSET: Final = 1 << 50
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
        if offset + size > _MAX_OFFSET:
            return b""
        try:
            if self._descriptor is not None:
                return read_at(self._descriptor, size, offset)
            fs, path = filesystem(self._url, self._options)
            data: bytes = retried(lambda: fs.cat_file(path, start=offset, end=offset + size))
        except OSError as error:
            raise cannot_read(self._url, error) from error
        if len(data) > size:
            raise UnreadableSourceError(
                f"Cannot read {self._url}: the server sent {len(data):,} bytes where {size:,} were asked for; it seems "
                "to answer no HTTP ranges. Download the archive first, and name the local file."
            )
        return data

    def content(self, offset: int, size: int, max_bytes: int, name: str) -> bytes | Fault:
        """Return the bytes of a member of a tar archive, or its fault.

        A tar has no checksum of the content. The header before it tells whether this is still the member that was
        listed: another process may have replaced the archive.

        Args:
            offset: of the content.
            size: bytes of the content.
            max_bytes: that are allowed.
            name: of the member, without folders.
        """
        if size > max_bytes:
            return too_large(size, max_bytes)
        data = self.read(offset - tarfile.BLOCKSIZE, tarfile.BLOCKSIZE + size)
        header, content = data[: tarfile.BLOCKSIZE], data[tarfile.BLOCKSIZE :]
        if len(header) == tarfile.BLOCKSIZE and not _is_header_of(header, name, size):
            return Fault("is no longer there: the archive was changed after its photos were listed; open it again")
        return content if len(content) == size else Fault("cannot be read: the archive ends in the middle of it")

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


def _is_header_of(header: bytes, name: str, size: int) -> bool:
    """Return whether a block is the header of a file with this name, as far as a header has room for it."""
    try:
        info = tarfile.TarInfo.frombuf(header, "utf-8", "surrogateescape")
    except tarfile.HeaderError:
        return False
    is_cut = b"\0" not in header[:_NAME_LENGTH]  # a header before it has the whole name
    return info.isreg() and info.size == size and (is_cut or info.name.rpartition("/")[2] == name)
