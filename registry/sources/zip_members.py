"""Reading members of a zip archive: plain ones directly, all others by the zipfile or pyzipper class."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, cast

from registry.errors import MissingDependencyError
from registry.sources.archives import is_system_error, reopen
from registry.sources.faults import MAX_PHOTO_HEADER, PHOTO_START, Fault, cannot_read, too_large
from registry.sources.photo_headers import Size, size_from_start
from registry.sources.zip_directory import READ_ERRORS, FileProxy, Member

#: An empty zip archive: the end record alone.
_EMPTY_ZIP: Final = b"PK\x05\x06" + bytes(18)
#: Packed bytes to unpack at a time with methods (bzip2, LZMA) whose output cannot be limited.
_STEP: Final = 4096


@dataclass
class MemberReader:
    """Reads members of an archive that was listed before.

    Attributes:
        url: URL of the archive.
        aes: whether it has AES-encrypted members.
        options: passed to fsspec.
        password: password of encrypted members.
    """

    url: str
    aes: bool
    options: Mapping[str, Any]
    password: bytes | None = field(repr=False)

    @contextmanager
    def open(self) -> Iterator[OpenArchive]:
        """Yield the open archive.

        The zipfile classes read the whole central directory when they open an archive (seconds for this dataset). So
        they open an empty archive here, and its file is then replaced by the real one.
        """
        proxy = FileProxy(io.BytesIO())
        archive = self.open_without_file(proxy)
        with closing(reopen(self.url, self.options)) as proxy.target, archive.archive:
            yield OpenArchive(self, archive.archive, proxy.target)

    def open_without_file(self, proxy: FileProxy) -> OpenArchive:
        """Return an archive that reads from the proxy, whose target is still to be set."""
        proxy.target = io.BytesIO(_EMPTY_ZIP)
        archive: Any
        if self.aes:
            archive = self._pyzipper().AESZipFile(proxy)
        else:
            with suppress(ImportError):  # without it zipfile's own ZipCrypto, pure Python, takes 20 times as long
                import fast_zip_decryption  # noqa: F401  # replaces it when imported
            archive = zipfile.ZipFile(cast(Any, proxy))
        if self.password:
            archive.setpassword(self.password)
        return OpenArchive(self, archive, cast(BinaryIO, proxy))

    @property
    def damage_errors(self) -> tuple[type[Exception], ...]:
        """Errors that reading a damaged archive raises; pyzipper has its own BadZipFile."""
        return (*READ_ERRORS, self._pyzipper().BadZipFile) if self.aes else READ_ERRORS

    def zip_info(self, locator: Any) -> Any:
        """Return a member's ZipInfo in the class that the archive's reader expects; pyzipper has its own."""
        if isinstance(locator, tuple):
            name, packed = locator
            return Member.unpack(packed).zip_info(name)
        if not self.aes:
            return locator
        info = self._pyzipper().zipfile_aes.AESZipInfo(locator.filename, locator.date_time)
        for name in ("orig_filename", "compress_type", "extra", "flag_bits", "header_offset", "_raw_time"):
            setattr(info, name, getattr(locator, name))
        info.CRC, info.compress_size, info.file_size = locator.CRC, locator.compress_size, locator.file_size
        info._decodeExtra()
        return info

    def _pyzipper(self) -> Any:
        """Return the package that reads AES."""
        try:
            import pyzipper
        except ImportError as error:
            raise MissingDependencyError(
                f"{self.url} is protected with AES, which needs: pip install 'deepfashion2-registry[zip]'"
            ) from error
        return pyzipper


@dataclass
class OpenArchive:
    """An open archive. Methods take a locator of :func:`registry.sources.zip_directory.pack_members`, or a ZipInfo."""

    reader: MemberReader
    archive: Any
    file: BinaryIO

    def read(self, locator: Any, max_bytes: int) -> bytes | Fault:
        """Return a member's bytes or its fault; the size in its header is trusted only to refuse it."""
        with self._faults() as faults:
            if isinstance(locator, bytes):
                member = Member.unpack(locator)
                return too_large(member.size, max_bytes) if member.size > max_bytes else _read_plain(self.file, member)
            info = self.reader.zip_info(locator)
            return too_large(info.file_size, max_bytes) if info.file_size > max_bytes else self.read_whole(info)
        return faults[0]

    def read_info(self, info: Any) -> bytes | Fault:
        """Return the bytes of a member by its ZipInfo, in the class that the archive's reader expects, or its fault."""
        with self._faults() as faults:
            return self.read_whole(info)
        return faults[0]

    def photo_size(self, locator: Any) -> Size:
        """Return a photo's width and height, from its header."""
        with self._faults() as faults:
            return size_from_start(self._start(locator), lambda: self.read(locator, MAX_PHOTO_HEADER))
        return faults[0]

    def _start(self, locator: Any) -> bytes:
        """Return the first bytes of a photo."""
        if isinstance(locator, bytes):
            return _plain_start(self.file, Member.unpack(locator))
        with self.archive.open(self.reader.zip_info(locator)) as photo:
            start: bytes = photo.read(PHOTO_START)
        return start

    def read_whole(self, info: Any) -> bytes:
        """Return the bytes of a member by the zipfile class, which checks their CRC at the end."""
        step = info.file_size + 1
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            step = min(step, _STEP)
        parts = []
        with self.archive.open(info) as file:
            while part := file.read(step):
                parts.append(part)
        data = b"".join(parts)
        if len(data) != info.file_size:
            raise zipfile.BadZipFile("it ends before its size")
        return data

    @contextmanager
    def _faults(self) -> Iterator[list[Fault]]:
        """Append a fault to the yielded list if the block fails because the member is damaged or encrypted.

        Raises:
            SourceError: the archive cannot be read.
        """
        faults: list[Fault] = []
        try:
            yield faults
        except self.reader.damage_errors as error:
            if is_system_error(error):
                raise cannot_read(self.reader.url, error) from error  # type: ignore[arg-type]  # it is an OSError
            faults.append(Fault(f"cannot be read: the archive is damaged here: {error or type(error).__name__}"))
        except RuntimeError:
            faults.append(Fault("cannot be read: the archive's password does not open it"))


def _read_packed(file: BinaryIO, member: Member, max_bytes: int) -> bytes:
    """Return up to ``max_bytes`` packed bytes of a member (APPNOTE 4.3.7: header of 30 bytes, name, extra, data)."""
    file.seek(member.offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("there is no local header")
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    file.read(name_length + extra_length)
    return file.read(min(max_bytes, member.packed_size))


def _read_plain(file: BinaryIO, member: Member) -> bytes:
    """Return a plain member's bytes; the zipfile class takes five times as long to open a member as to unpack it."""
    # Packed data is never much larger than the content: a header that claims so is not worth reading.
    data = _read_packed(file, member, 2 * member.size + 1024)
    if member.method == zipfile.ZIP_DEFLATED:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise zipfile.BadZipFile("its bytes do not fit its checksum")
    return data


def _plain_start(file: BinaryIO, member: Member) -> bytes:
    """Return the first bytes of a plain member."""
    start = _read_packed(file, member, PHOTO_START)
    if member.method != zipfile.ZIP_DEFLATED:
        return start
    # PHOTO_START bytes, not fewer: a damaged photo shorter than that would be reported as one without a header.
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(start, PHOTO_START)
