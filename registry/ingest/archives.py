"""Archives as sources: zip (plain, ZipCrypto, AES-256) and tar, read in place, never unpacked to disk."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final, Self

from registry.errors import MissingDependencyError, PasswordError, SourceError
from registry.ingest.issues import Issue
from registry.ingest.sources import MEMBER, Entry, Listing, Size, build_listing, image_size, shown_name
from registry.storage import StorageOptions, open_binary

#: Compression method that marks an AES-encrypted entry (APPNOTE appendix E).
_AES_METHOD: Final = 99
_ENCRYPTED_FLAG: Final = 0x1
#: An empty zip archive: the end record alone.
_EMPTY_ZIP: Final = b"PK\x05\x06" + bytes(18)
#: How many entries are tried with the password before the work begins. ZipCrypto lets 1 wrong password of 256
#: through its own check; the CRC of the content does not.
_PASSWORD_TRIALS: Final = 2
#: What the zipfile classes raise where an archive is damaged; ValueError for names and offsets.
_READ_ERRORS: Final = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    ValueError,
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

    @classmethod
    def open(cls, url: str, split: str, options: StorageOptions | None, password: str | None) -> ZipSource:
        """Open the archive, find the split in it and try the password.

        Raises:
            SourceError: it is missing, cut short or no zip.
            PasswordError: it is protected and the password missing or wrong.
        """
        infos = _central_directory(url, options)
        prefix = _choose_prefix(url, split, (info.filename for info in infos))
        secret = password.encode() if password else None
        source = cls(url, prefix, any(info.compress_type == _AES_METHOD for info in infos), options or {}, secret)
        source._infos = infos
        protected = [info for info in infos if info.flag_bits & _ENCRYPTED_FLAG and info.file_size]
        if protected:
            source._try_password(protected[:_PASSWORD_TRIALS])
        return source

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_infos": []}  # each worker gets the entries it shall read

    @property
    def shareable(self) -> bool:
        """Whether other processes see it: all but the memory of this one."""
        return not self.url.startswith("memory://")

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """List the members of the split."""
        kinds = ("annos", "image") if photos else ("annos",)

        def names() -> Iterator[tuple[str, str, Any, int, int]]:
            for info in self._infos:
                match = MEMBER.fullmatch(info.filename)
                if match and (match["lead"] or "") == self.prefix and match["kind"] in kinds:
                    # AES entries carry no CRC of the content; what they do carry stands in for it.
                    aes = info.compress_type == _AES_METHOD
                    crc = zlib.crc32(repr((info.compress_size, info.date_time)).encode()) if aes else info.CRC
                    yield match["kind"], match["name"], info, info.file_size, crc

        listing = build_listing(split, names())
        self._infos = []
        return listing

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        """Yield each member's bytes."""
        with self._archive() as archive:
            for entry in entries:
                try:
                    yield archive.read(self._member(entry.locator))
                except self._damage as error:
                    yield OSError(f"the archive is damaged here: {error}")
                except RuntimeError:
                    yield OSError("the archive's password does not open it")

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        sizes: list[Size] = []
        with self._archive() as archive:
            for entry in entries:
                try:
                    with archive.open(self._member(entry.locator)) as file:
                        sizes.append(image_size(file))
                except self._damage as error:
                    sizes.append(f"the archive is damaged here: {error}")
                except RuntimeError:
                    sizes.append("the archive's password does not open it")
        return sizes

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

    def _member(self, info: zipfile.ZipInfo) -> Any:
        """Return a member as the class that reads it wants it: pyzipper has a ZipInfo of its own."""
        if not self.aes:
            return info
        member = self._pyzipper().zipfile_aes.AESZipInfo(info.filename, info.date_time)
        for name in ("orig_filename", "compress_type", "extra", "flag_bits", "header_offset", "_raw_time"):
            setattr(member, name, getattr(info, name))
        member.CRC, member.compress_size, member.file_size = info.CRC, info.compress_size, info.file_size
        member._decodeExtra()
        return member

    @contextmanager
    def _archive(self) -> Iterator[Any]:
        """Yield an open archive that reads entries listed elsewhere.

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
        with closing(_reopen(self.url, self.options)) as file.target, archive:
            yield archive

    def _try_password(self, infos: list[zipfile.ZipInfo]) -> None:
        if not self.password:
            raise PasswordError(
                f"{self.url} is protected: set DF2_ZIP_PASSWORD to the password from the dataset's authors."
            )
        refusals: tuple[type[Exception], ...] = (RuntimeError, *self._damage)
        with self._archive() as archive:
            for info in infos:
                try:
                    archive.read(self._member(info))
                except refusals as error:
                    raise PasswordError(
                        f"The password in DF2_ZIP_PASSWORD does not open {self.url} "
                        f"(or the archive is damaged at {info.filename})."
                    ) from error


def zip_members(
    url: str, wanted: Callable[[str], bool], options: StorageOptions | None = None, password: str | None = None
) -> Iterator[tuple[str, bytes]]:
    """Yield (name without folders, bytes) of the wanted members of a zip archive.

    Raises:
        SourceError, PasswordError: the archive cannot be read.
    """
    infos = [info for info in _central_directory(url, options) if wanted(info.filename.rpartition("/")[2])]
    secret = password.encode() if password else None
    source = ZipSource(url, "", any(info.compress_type == _AES_METHOD for info in infos), options or {}, secret)
    if any(info.flag_bits & _ENCRYPTED_FLAG for info in infos):
        source._try_password(infos[:_PASSWORD_TRIALS])
    entries = [Entry(0, info.filename.rpartition("/")[2], info) for info in infos]
    for entry, data in zip(entries, source.read(entries), strict=True):
        if isinstance(data, OSError):
            raise SourceError(f"Cannot read {entry.name} in {url}: {data}")
        yield entry.name, data


def _reopen(url: str, options: StorageOptions | None) -> BinaryIO:
    """Return an archive that was listed before, opened again."""
    try:
        return open_binary(url, options)
    except OSError as error:
        raise SourceError(f"Cannot read {url}: {error.strerror or error}") from error


class _Exchangeable:
    """A file whose content can be exchanged while it is open."""

    def __init__(self, target: BinaryIO) -> None:
        self.target: BinaryIO = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


def _central_directory(url: str, options: StorageOptions | None) -> list[zipfile.ZipInfo]:
    try:
        with closing(open_binary(url, options)) as file, zipfile.ZipFile(file) as archive:
            return archive.infolist()
    except FileNotFoundError as error:
        raise SourceError(f"{url} does not exist.") from error
    except OSError as error:
        raise SourceError(f"Cannot read {url}: {error.strerror or error}") from error
    except _READ_ERRORS as error:
        raise SourceError(
            f"{url} is not a complete zip archive ({error}). Is the download finished? Fetch it again."
        ) from error


def _choose_prefix(url: str, split: str, names: Iterable[str]) -> str:
    """Return the leading folders under which the split lies in an archive."""
    prefixes: set[str] = set()
    for name in names:
        match = MEMBER.fullmatch(name)
        if match and "__MACOSX" not in name:
            prefixes.add(match["lead"] or "")
    if len(prefixes) > 1:
        prefixes = {prefix for prefix in prefixes if prefix.rpartition("/")[2] == split} or prefixes
    if not prefixes:
        raise SourceError(f"{url} holds no annos/ and no image/ folder; expected one split of DeepFashion2.")
    if len(prefixes) > 1:
        raise SourceError(f"{url} holds several folders, and none is {split}: {', '.join(sorted(prefixes))}.")
    return prefixes.pop()


class _Header(tarfile.TarInfo):
    """A member's header; a damaged or missing one is an error, where tarfile would see the archive's end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the zeros that mark the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset}") from error


@dataclass
class TarSource:
    """One split in a tar archive, plain or gzip-compressed.

    In a plain one members are read where they lie. A compressed one has no such places, so listing keeps each
    annotation (compressed again, about a quarter of its size) and each photo's width and height.
    """

    url: str
    options: Mapping[str, Any]

    @property
    def shareable(self) -> bool:
        """Whether other processes see it: all but the memory of this one."""
        return not self.url.startswith("memory://")

    @property
    def _compressed(self) -> bool:
        return not self.url.endswith(".tar")

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """Read the archive's headers, and its annotations where it is compressed."""
        found: dict[str, list[tuple[str, str, Any, int, None]]] = {}
        odd: dict[str, list[Issue]] = {}
        try:
            with closing(open_binary(self.url, self.options)) as raw, self._unpacked(raw) as archive:
                for member in archive:
                    match = MEMBER.fullmatch(member.name)
                    if match and (photos or match["kind"] == "annos"):
                        kind, name, lead = match["kind"], match["name"], match["lead"] or ""
                        rows = found.setdefault(lead, [])
                        if member.isreg():
                            rows.append((kind, name, self._locator(archive, member, kind), member.size, None))
                        elif not name.startswith("."):
                            what = "a folder" if member.isdir() else "a link or device"
                            issue = Issue(f"{split}/{kind}/{shown_name(name)}", (), f"expected a file, found {what}")
                            odd.setdefault(lead, []).append(issue)
                    archive.members = []  # type: ignore[attr-defined]  # or it keeps every header
        except FileNotFoundError as error:
            raise SourceError(f"{self.url} does not exist.") from error
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise SourceError(
                f"{self.url} is not a complete tar archive ({error}). Is the download finished? Fetch it again."
            ) from error
        prefix = _choose_prefix(self.url, split, (f"{lead}/annos/x" if lead else "annos/x" for lead in found))
        listing = build_listing(split, found[prefix])
        listing.issues += odd.get(prefix, [])
        return listing

    @contextmanager
    def _unpacked(self, raw: BinaryIO) -> Iterator[tarfile.TarFile]:
        """Yield the open archive. A compressed one is read to its very end, where its checksum is."""
        if not self._compressed:
            with tarfile.open(fileobj=raw, mode="r:", tarinfo=_Header) as archive:
                yield archive
            return
        with gzip.GzipFile(fileobj=raw) as file:
            with tarfile.open(fileobj=file, mode="r|", tarinfo=_Header) as archive:
                yield archive
            while file.read(1 << 20):
                pass

    def _locator(self, archive: tarfile.TarFile, member: tarfile.TarInfo, kind: str) -> Any:
        if not self._compressed:
            return member.offset_data, member.size
        content = archive.extractfile(member)
        assert content is not None  # a regular file has content
        data = content.read()
        if len(data) < member.size:
            raise tarfile.ReadError("unexpected end of data")
        return zlib.compress(data, 1) if kind == "annos" else image_size(io.BytesIO(data))

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        """Yield each member's bytes."""
        if self._compressed:
            yield from (zlib.decompress(entry.locator) for entry in entries)
            return
        with closing(_reopen(self.url, self.options)) as file:
            for entry in entries:
                offset, size = entry.locator
                try:
                    file.seek(offset)
                    data = file.read(size)
                    yield data if len(data) == size else OSError("the archive ends in the middle of it")
                except OSError as error:
                    yield error

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        if self._compressed:
            return [entry.locator for entry in entries]
        with closing(_reopen(self.url, self.options)) as file:
            sizes: list[Size] = []
            for entry in entries:
                offset, size = entry.locator
                try:
                    file.seek(offset)
                    sizes.append(image_size(io.BytesIO(file.read(size))))
                except OSError as error:
                    sizes.append(f"cannot be read: {error.strerror or error}")
            return sizes
