"""The central directory of a zip archive: read once within a size limit, then held as compact records."""

from __future__ import annotations

import lzma
import struct
import zipfile
import zlib
from array import array
from collections.abc import Iterator, Sequence
from contextlib import closing
from typing import Any, BinaryIO, Final, NamedTuple, cast

from registry.errors import SourceError
from registry.sources.archives import is_system_error
from registry.sources.faults import cannot_read, shown_name
from registry.sources.file_objects import open_file
from registry.storage.filesystems import StorageOptions
from registry.wording import plural

#: Compression method of an AES-encrypted member (APPNOTE appendix E).
AES_METHOD: Final = 99
#: Flag of an encrypted member.
ENCRYPTED_FLAG: Final = 0x1
#: Members to try the password on before the work begins. ZipCrypto's own check accepts 1 wrong password of 256; the
#: CRC of the content does not.
PASSWORD_TRIALS: Final = 2
#: Errors that the zipfile classes raise for a damaged archive; ValueError for names and offsets. An OSError with a
#: number is the operating system's.
READ_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    ValueError,
    OverflowError,
    IndexError,
    MemoryError,
    NotImplementedError,
)

#: Maximum bytes of a central directory for zipfile; that of train with its photos has some 40 MB, and takes ten times
#: as much memory. Ordinary directories are read by :mod:`registry.sources.zip_records`.
MAX_DIRECTORY: Final = 128 << 20
_PACKED: Final = struct.Struct("<QQQLHHH")


class Member(NamedTuple):
    """Location and packing of a member. Listings hold it as bytes, a tenth of the size of a ZipInfo."""

    offset: int
    packed_size: int
    size: int
    crc: int
    method: int
    flags: int
    raw_time: int

    @classmethod
    def unpack(cls, data: bytes) -> Member:
        """Return the member that :meth:`pack` turned into bytes."""
        return cls(*_PACKED.unpack(data))

    def pack(self) -> bytes:
        """Return the member as bytes."""
        return _PACKED.pack(*self)

    @property
    def is_plain(self) -> bool:
        """Whether the member can be read without the zipfile class: not encrypted, stored or deflated."""
        return not self.flags & ENCRYPTED_FLAG and self.method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

    def zip_info(self, filename: str) -> zipfile.ZipInfo:
        """Return a ZipInfo with all attributes that reading uses."""
        info = zipfile.ZipInfo(filename)
        info.header_offset, info.compress_size, info.file_size = self.offset, self.packed_size, self.size
        info.CRC, info.compress_type, info.flag_bits = self.crc, self.method, self.flags
        info._raw_time = self.raw_time  # type: ignore[attr-defined]  # ZipCrypto checks the password with it
        return info


def read_directory(url: str, options: StorageOptions | None) -> list[zipfile.ZipInfo]:
    """Return the entries of an archive's central directory.

    Raises:
        SourceError: the archive does not exist, is damaged or cannot be read.
    """
    try:
        with closing(open_file(url, options)) as file, zipfile.ZipFile(cast(Any, _DirectoryFile(file))) as archive:
            return archive.infolist()
    except FileNotFoundError as error:
        raise SourceError(f"{url} does not exist.") from error
    except READ_ERRORS as error:
        if is_system_error(error):
            raise cannot_read(url, error) from error  # type: ignore[arg-type]  # it is an OSError
        raise incomplete(url, error) from error


def turn_backslashes(url: str, infos: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Turn the backslashes in the names of an archive that has no other separator; return a notice if it has them.

    Some Windows programs write such archives. Where both separators occur, a backslash stays what it is: a character
    that is refused in names.
    """
    turned = [info for info in infos if "\\" in info.orig_filename]
    if not turned or any("/" in info.orig_filename for info in infos):
        return []
    for info in turned:
        info.filename = info.filename.replace("\\", "/")
    name = shown_name(url.rpartition("/")[2])
    return [f"{name}: backslashes in the names of {plural(len(turned), 'member')} were read as slashes"]


def incomplete(url: str, error: BaseException) -> SourceError:
    """Return the error of a damaged zip archive."""
    reason = shown_name(str(error) or type(error).__name__)
    return SourceError(f"{url} is not a complete zip archive ({reason}). Is the download finished? Fetch it again.")


def content_fits(info: zipfile.ZipInfo, size: int, crc: int) -> bool:
    """Return whether bytes of this size and CRC-32 may be those of a member; one with AES has no CRC to compare."""
    return size == info.file_size and (info.compress_type == AES_METHOD or crc == info.CRC)


def all_names(infos: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Return the names of members; also the original name where zipfile cuts it at a NUL."""
    originals = [info.orig_filename for info in infos if "\0" in info.orig_filename]
    return [*(info.filename for info in infos), *originals]


def pack_members(infos: list[zipfile.ZipInfo]) -> Iterator[tuple[str, int, int, Any]]:
    """Yield (file name, size, CRC, locator) of each member, and empty ``infos``.

    A locator is a packed :class:`Member` if it is plain, (name, packed member) if the zipfile class must read it, and
    the ZipInfo itself in an archive with AES.

    The ZipInfos (280 MB for train with its photos) are freed before the first locator is made: all names are joined
    into a single text and all numbers go into a single array first.
    """
    if any(info.compress_type == AES_METHOD for info in infos):
        yield from _aes_members(infos)
        return
    names = "\0".join(info.filename for info in infos)  # no name has a NUL: zipfile cuts names there
    has_backslashes = any(info.filename != info.orig_filename for info in infos)
    numbers = array("Q")
    for info in infos:
        raw_time = info._raw_time  # type: ignore[attr-defined]
        numbers.extend((info.header_offset, info.compress_size, info.file_size, info.CRC))
        numbers.extend((info.compress_type, info.flag_bits, raw_time))
    width = len(Member._fields)
    num_members = len(infos)
    infos.clear()
    for position, name in enumerate(names.split("\0") if num_members else ()):
        member = Member(*numbers[width * position : width * (position + 1)])
        packed = member.pack()
        original = name.replace("/", "\\") if has_backslashes else name  # zipfile compares it with the local header
        yield name, member.size, member.crc, packed if member.is_plain else (original, packed)


def _aes_members(infos: list[zipfile.ZipInfo]) -> Iterator[tuple[str, int, int, zipfile.ZipInfo]]:
    while infos:
        info = infos.pop()
        # AES members have no CRC of their content; packed size and date serve instead.
        substitute = zlib.crc32(repr((info.compress_size, info.date_time)).encode())
        yield info.filename, info.file_size, substitute if info.compress_type == AES_METHOD else info.CRC, info


class FileProxy:
    """A file object whose underlying file can be replaced while it is open."""

    def __init__(self, target: BinaryIO) -> None:
        self.target: BinaryIO = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


class _DirectoryFile(FileProxy):
    """A file that refuses reads beyond the maximum directory: zipfile reads as much as the end record claims."""

    def read(self, size: int = -1) -> bytes:
        if size > MAX_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory is to have {size:,} bytes; expected at most {MAX_DIRECTORY:,}")
        return self.target.read(MAX_DIRECTORY if size < 0 else size)
