"""Tar headers, checked so that a damaged archive raises an error."""

from __future__ import annotations

import lzma
import struct
import tarfile
import zlib
from typing import Final, Protocol, Self

#: Maximum bytes of a member. No file system holds a larger file, and offsets beyond it overflow.
_MAX_SIZE: Final = 1 << 50
#: Maximum bytes of a header's continuation (a long name, PAX records).
_MAX_HEADER: Final = 1 << 20
_LONG_HEADERS: Final = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
#: Errors that tarfile and the decompressors raise for a damaged archive. An OSError with a number is the operating
#: system's.
READ_ERRORS: Final = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
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


class Header(tarfile.TarInfo):
    """A member's header. If it is damaged or missing it raises, where tarfile would see the end of the archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """Return the header in a block of 512 bytes."""
        header = super().frombuf(buf, encoding, errors)
        if not 0 <= header.size <= (_MAX_HEADER if header.type in _LONG_HEADERS else _MAX_SIZE):
            raise tarfile.ReadError(f"a member of {header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        """Return the header at the archive's position."""
        try:
            header = super().fromtarfile(archive)
            if not 0 <= header.size <= _MAX_SIZE:  # PAX records may replace the size
                raise tarfile.ReadError(f"a member of {header.size} bytes")
            return header
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the zeros at the end of an archive
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset}") from error


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class EndingStream:
    """A stream that raises at the third read at its end: tarfile reads on if a header claims too large a size."""

    def __init__(self, file: _Readable) -> None:
        self._file = file
        self._num_ends = 0

    def read(self, size: int) -> bytes:
        """Return the next bytes, or none at the end."""
        data = self._file.read(size)
        self._num_ends += not data
        if self._num_ends > 2:
            raise tarfile.ReadError("unexpected end of data")
        return data
