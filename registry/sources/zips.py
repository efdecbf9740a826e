"""Zip archives as sources: plain, ZipCrypto and AES-256, read in place, never unpacked to disk."""

from __future__ import annotations

import io
import lzma
import re
import struct
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, NamedTuple, cast

from registry.errors import MissingDependencyError, PasswordError, SourceError
from registry.sources.archives import Unread, choose_prefix, is_of_place, refused_list, refused_names, reopen
from registry.sources.listing import MEMBER, Entry, Listing, build_listing
from registry.sources.photo_headers import PhotoMark, Size, size_from_start
from registry.sources.reading import (
    MAX_ANNOTATION,
    MAX_LIST,
    MAX_PHOTO,
    MAX_PHOTO_HEADER,
    PHOTO_START,
    Fault,
    cannot_read,
    open_file,
    shown_name,
    too_large,
)
from registry.storage.filesystems import StorageOptions

#: Compression method that marks an AES-encrypted entry (APPNOTE appendix E).
_AES_METHOD: Final = 99
_ENCRYPTED_FLAG: Final = 0x1
#: An empty zip archive: the end record alone.
_EMPTY_ZIP: Final = b"PK\x05\x06" + bytes(18)
#: How many entries are tried with the password before the work begins. ZipCrypto lets 1 wrong password of 256
#: through its own check; the CRC of the content does not.
_PASSWORD_TRIALS: Final = 2
_MEMBER: Final = struct.Struct("<QQQLHHH")
#: Bytes of a directory; that of train with its photos has some 40 MB. In memory it takes ten times as much.
_MAX_DIRECTORY: Final = 128 << 20
#: Packed bytes that are unpacked at a time where a method (bzip2, LZMA) cannot stop at a bound by itself.
_STEP: Final = 4096
#: What the zipfile classes raise where an archive is damaged; ValueError for names and offsets. An OSError is of the
#: place if the system numbered it.
_READ_ERRORS: Final = (
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


@dataclass
class ZipSource:
    """One split in a zip archive.

    The central directory is parsed once, by the process that lists; the others get the entries they shall read.
    """

    url: str
    prefix: str
    aes: bool
    options: Mapping[str, Any]
    password: bytes | None = field(repr=False)
    _infos: list[zipfile.ZipInfo] = field(default_factory=list, repr=False)
    _unread: Unread | None = field(default=None, repr=False)

    @classmethod
    def open(cls, url: str, split: str, options: StorageOptions | None, password: str | None) -> ZipSource:
        """Open the archive, find the split in it and try the password.

        Raises:
            SourceError: it is missing, cut short or no zip.
            PasswordError: it is protected and the password missing or wrong.
        """
        infos = _central_directory(url, options)
        unread = Unread(url, split)
        refused = set(unread.refuse(_all_names(infos)))
        if refused:
            infos = [info for info in infos if refused.isdisjoint((info.orig_filename, info.filename))]
        prefix = choose_prefix(unread, (info.filename for info in infos))
        secret = _encoded(password)
        source = cls(url, prefix, any(info.compress_type == _AES_METHOD for info in infos), options or {}, secret)
        source._infos, source._unread = infos, unread
        protected = [info for info in infos if info.flag_bits & _ENCRYPTED_FLAG and info.file_size]
        if protected:
            source._try_password(protected[:_PASSWORD_TRIALS])
        return source

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_infos": [], "_unread": None}  # each worker gets the entries it shall read

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """List the members of the split."""
        kinds = ("annos", "image") if photos else ("annos",)
        unread = self._unread or Unread(self.url, split)

        def names() -> Iterator[tuple[str, str, Any, int, int]]:
            for filename, size, crc, locator in _members(self._infos):
                match = MEMBER.fullmatch(filename)
                if not match or (match["lead"] or "") != self.prefix:
                    unread.note(filename, kinds)
                elif match["kind"] in kinds:
                    yield match["kind"], match["name"], locator, size, crc

        try:
            listing = build_listing(split, names())
            listing.issues += unread.issues(self.prefix)
            return listing
        except (OverflowError, ValueError) as error:  # numbers that no archive of any size has
            raise _incomplete(self.url, error) from error

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each member's bytes."""
        return self._read(entries, MAX_ANNOTATION)

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield each photo's bytes."""
        return self._read(entries, MAX_PHOTO)

    def _read(self, entries: Sequence[Entry], most: int) -> Iterator[bytes | Fault]:
        with self._archive() as (archive, file):
            for entry in entries:
                yield self._content(archive, file, entry, most)

    def _content(self, archive: Any, file: BinaryIO, entry: Entry, most: int) -> bytes | Fault:
        """Return a member's bytes. What its header says of its size is believed only to refuse it."""
        member = entry.locator
        with self._told(entry) as told:
            if isinstance(member, bytes):
                plain = _Member.unpack(member)
                return too_large(plain.size, most) if plain.size > most else _read_plain(file, plain)
            info = self._member(member)
            return too_large(info.file_size, most) if info.file_size > most else _read_member(archive, info)
        return told[0]

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        with self._archive() as (archive, file):
            return [self._photo_size(archive, file, entry) for entry in entries]

    def _photo_size(self, archive: Any, file: BinaryIO, entry: Entry) -> Size:
        member = entry.locator
        with self._told(entry) as told:
            if isinstance(member, bytes):
                plain = _Member.unpack(member)
                return size_from_start(
                    _plain_start(file, plain), lambda: self._content(archive, file, entry, MAX_PHOTO_HEADER)
                )
            with archive.open(self._member(member)) as photo:
                start = photo.read(PHOTO_START)
            return size_from_start(start, lambda: self._content(archive, file, entry, MAX_PHOTO_HEADER))
        return told[0]

    def photo_marks(self, entries: Sequence[Entry]) -> Iterator[PhotoMark | Fault]:
        """Yield what tells each photo from another: size and CRC, which the directory has."""
        yield from ((entry.size or 0, entry.crc or 0) for entry in entries)

    @contextmanager
    def _told(self, entry: Entry) -> Iterator[list[Fault]]:
        """Turn damage of a member into its fault, put into the yielded list, and errors of the place into an end."""
        told: list[Fault] = []
        try:
            yield told
        except self._damage as error:
            if is_of_place(error):
                raise cannot_read(self.url, error) from error  # type: ignore[arg-type]  # it is an OSError
            told.append(Fault(f"cannot be read: the archive is damaged here: {error or type(error).__name__}"))
        except RuntimeError:
            told.append(Fault("cannot be read: the archive's password does not open it"))

    @property
    def _damage(self) -> tuple[type[Exception], ...]:
        """What reading raises where the archive is damaged; pyzipper has a BadZipFile of its own."""
        return (*_READ_ERRORS, self._pyzipper().BadZipFile) if self.aes else _READ_ERRORS

    def _pyzipper(self) -> Any:
        """Return the package that reads AES."""
        try:
            import pyzipper
        except ImportError as error:
            raise MissingDependencyError(
                f"{self.url} is protected with AES, which needs: pip install 'deepfashion2-registry[zip]'"
            ) from error
        return pyzipper

    def _member(self, locator: zipfile.ZipInfo | tuple[str, bytes]) -> Any:
        """Return a member as the class that reads it wants it: pyzipper has a ZipInfo of its own."""
        if isinstance(locator, tuple):
            return _Member.unpack(locator[1]).zip_info(locator[0])
        info = locator
        if not self.aes:
            return info
        member = self._pyzipper().zipfile_aes.AESZipInfo(info.filename, info.date_time)
        for name in ("orig_filename", "compress_type", "extra", "flag_bits", "header_offset", "_raw_time"):
            setattr(member, name, getattr(info, name))
        member.CRC, member.compress_size, member.file_size = info.CRC, info.compress_size, info.file_size
        member._decodeExtra()
        return member

    @contextmanager
    def _archive(self) -> Iterator[tuple[Any, BinaryIO]]:
        """Yield an open archive that reads entries listed elsewhere, and the file below it.

        The zipfile classes read the whole central directory when they open (seconds on this dataset), so they are
        opened on an empty archive, and the file below them is exchanged for the real one.
        """
        file = _Exchangeable(io.BytesIO(_EMPTY_ZIP))
        archive: Any
        if self.aes:
            archive = self._pyzipper().AESZipFile(file)
        else:
            with suppress(ImportError):  # without it slower, but the same bytes
                # Replaces zipfile's ZipCrypto, which is pure Python, by one in C (20 times as fast).
                import fast_zip_decryption  # noqa: F401
            archive = zipfile.ZipFile(file)
        if self.password:
            archive.setpassword(self.password)
        with closing(reopen(self.url, self.options)) as file.target, archive:
            yield archive, file.target

    def _try_password(self, infos: list[zipfile.ZipInfo]) -> None:
        if not self.password:
            raise PasswordError(
                f"{self.url} is protected: set DF2_ZIP_PASSWORD to the password from the dataset's authors."
            )
        refusals: tuple[type[Exception], ...] = (RuntimeError, *self._damage)
        with self._archive() as (archive, _):
            for info in infos:
                try:
                    if info.file_size <= MAX_PHOTO:
                        _read_member(archive, self._member(info))
                except refusals as error:
                    if is_of_place(error):
                        raise cannot_read(self.url, error) from error  # type: ignore[arg-type]  # it is an OSError
                    raise PasswordError(
                        f"The password in DF2_ZIP_PASSWORD does not open {self.url} "
                        f"(or the archive is damaged at {shown_name(info.filename)})."
                    ) from error


def zip_members(
    url: str, wanted: Callable[[str], bool], options: StorageOptions | None = None, password: str | None = None
) -> Iterator[tuple[str, bytes | Fault]]:
    """Yield (name without folders, bytes or what is wrong with it) of the wanted members of a zip archive.

    Raises:
        SourceError, PasswordError: the archive cannot be read.
    """
    infos = []
    for info in _central_directory(url, options):
        if wanted(re.split(r"[/\\]", info.filename)[-1]):
            refused = refused_names(_all_names([info]))
            if refused:
                yield refused[0], refused_list(url)
            else:
                infos.append(info)
    secret = _encoded(password)
    source = ZipSource(url, "", any(info.compress_type == _AES_METHOD for info in infos), options or {}, secret)
    if any(info.flag_bits & _ENCRYPTED_FLAG for info in infos):
        source._try_password(infos[:_PASSWORD_TRIALS])
    entries = [Entry(0, info.filename.rpartition("/")[2], info) for info in infos]
    for entry, data in zip(entries, source._read(entries, MAX_LIST), strict=True):
        yield entry.name, data


def _all_names(infos: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Return the names of members: as they are read, and as they stand in the archive (with what follows a NUL)."""
    others = [info.orig_filename for info in infos if info.orig_filename != info.filename]
    return [*(info.filename for info in infos), *others]


def _encoded(password: str | None) -> bytes | None:
    try:
        return password.encode() if password else None
    except UnicodeEncodeError:
        raise PasswordError("The password in DF2_ZIP_PASSWORD is no UTF-8 text.") from None


class _Member(NamedTuple):
    """Where a member lies and how it is packed. Listings hold it as bytes, at a tenth of the size of a ZipInfo."""

    offset: int
    packed_size: int
    size: int
    crc: int
    method: int
    flags: int
    raw_time: int

    @classmethod
    def unpack(cls, data: bytes) -> _Member:
        """Return the member in the bytes that a listing holds."""
        return cls(*_MEMBER.unpack(data))

    @property
    def is_plain(self) -> bool:
        """Whether it can be read without the zipfile class: unprotected, stored or deflated."""
        return not self.flags & _ENCRYPTED_FLAG and self.method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)

    def zip_info(self, filename: str) -> zipfile.ZipInfo:
        """Return the ZipInfo that it was made from, as far as reading needs it."""
        info = zipfile.ZipInfo(filename)
        info.header_offset, info.compress_size, info.file_size = self.offset, self.packed_size, self.size
        info.CRC, info.compress_type, info.flag_bits = self.crc, self.method, self.flags
        info._raw_time = self.raw_time  # type: ignore[attr-defined]  # what ZipCrypto checks the password with
        return info


def _members(infos: list[zipfile.ZipInfo]) -> Iterator[tuple[str, int, int, Any]]:
    """Yield (file name, size, CRC, locator) of every member and empty the list.

    The ZipInfos (280 MB for train with its photos) are given back to the system before anything is made that stays:
    all names go into one text and all numbers into one array first.
    """
    if any(info.compress_type == _AES_METHOD for info in infos):
        while infos:
            info = infos.pop()
            # AES entries carry no CRC of the content; what they do carry stands in for it.
            stand_in = zlib.crc32(repr((info.compress_size, info.date_time)).encode())
            yield info.filename, info.file_size, stand_in if info.compress_type == _AES_METHOD else info.CRC, info
        return
    names = "\0".join(info.filename for info in infos)  # zipfile ends a name at its first NUL
    fields = array("Q")
    for info in infos:
        raw_time = info._raw_time  # type: ignore[attr-defined]
        fields.extend((info.header_offset, info.compress_size, info.file_size, info.CRC))
        fields.extend((info.compress_type, info.flag_bits, raw_time))
    width = len(_Member._fields)
    num_members = len(infos)
    infos.clear()
    for number, name in enumerate(names.split("\0") if num_members else ()):
        member = _Member(*fields[width * number : width * (number + 1)])
        packed = _MEMBER.pack(*member)
        yield name, member.size, member.crc, packed if member.is_plain else (name, packed)


def _packed(file: BinaryIO, member: _Member, most: int) -> bytes:
    """Return up to ``most`` packed bytes of a member (APPNOTE 4.3.7: header of 30 bytes, name, extra, data)."""
    file.seek(member.offset)
    header = file.read(30)
    if len(header) < 30 or header[:4] != b"PK\x03\x04":
        raise zipfile.BadZipFile("there is no local header")
    name_length, extra_length = struct.unpack_from("<HH", header, 26)
    file.read(name_length + extra_length)
    return file.read(min(most, member.packed_size))


def _read_plain(file: BinaryIO, member: _Member) -> bytes:
    """Return a member's bytes; the zipfile class takes five times as long to open one as to unpack it."""
    # No packer makes data much longer; a header that says so is no reason to read it all.
    data = _packed(file, member, 2 * member.size + 1024)
    if member.method == zipfile.ZIP_DEFLATED:
        data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, member.size + 1)
    if len(data) != member.size or zlib.crc32(data) != member.crc:
        raise zipfile.BadZipFile("its bytes do not fit its checksum")
    return data


def _read_member(archive: Any, info: Any) -> bytes:
    """Return the bytes of a member that the zipfile class reads, which checks them to its end."""
    step = info.file_size + 1
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        step = min(step, _STEP)
    parts = []
    with archive.open(info) as file:
        while part := file.read(step):
            parts.append(part)
    data = b"".join(parts)
    if len(data) != info.file_size:
        raise zipfile.BadZipFile("it ends before its size")
    return data


def _plain_start(file: BinaryIO, member: _Member) -> bytes:
    """Return the first bytes of a photo."""
    start = _packed(file, member, PHOTO_START)
    if member.method != zipfile.ZIP_DEFLATED:
        return start
    # As much again: what is told of a photo too short is that it is damaged, not that it has no header.
    return zlib.decompressobj(-zlib.MAX_WBITS).decompress(start, PHOTO_START)


class _Exchangeable:
    """A file whose content can be exchanged while it is open."""

    def __init__(self, target: BinaryIO) -> None:
        self.target: BinaryIO = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


class _DirectoryFile(_Exchangeable):
    """A file whose directory cannot be longer than the bound; zipfile reads as much as the end record says."""

    def read(self, size: int = -1) -> bytes:
        if size > _MAX_DIRECTORY:
            raise zipfile.BadZipFile(f"its directory is to have {size:,} bytes; expected at most {_MAX_DIRECTORY:,}")
        return self.target.read(_MAX_DIRECTORY if size < 0 else size)


def _central_directory(url: str, options: StorageOptions | None) -> list[zipfile.ZipInfo]:
    try:
        with closing(open_file(url, options)) as file, zipfile.ZipFile(cast(Any, _DirectoryFile(file))) as archive:
            infos = archive.infolist()
    except FileNotFoundError as error:
        raise SourceError(f"{url} does not exist.") from error
    except _READ_ERRORS as error:
        if is_of_place(error):
            raise cannot_read(url, error) from error  # type: ignore[arg-type]  # it is an OSError
        raise _incomplete(url, error) from error
    return infos


def _incomplete(url: str, error: BaseException) -> SourceError:
    reason = shown_name(str(error) or type(error).__name__)
    return SourceError(f"{url} is not a complete zip archive ({reason}). Is the download finished? Fetch it again.")
