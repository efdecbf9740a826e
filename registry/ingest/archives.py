"""Archives as sources: zip (plain, ZipCrypto, AES-256) and tar, read in place, never unpacked to disk."""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

from registry.errors import MissingDependencyError, PasswordError, SourceError
from registry.ingest.sources import MEMBER, Entry, Listing, Size, build_listing, image_size
from registry.storage import StorageOptions, open_binary

#: Compression method that marks an AES-encrypted entry (APPNOTE appendix E).
_AES_METHOD: Final = 99
_ENCRYPTED_FLAG: Final = 0x1
#: An empty zip archive: the end record alone.
_EMPTY_ZIP: Final = b"PK\x05\x06" + bytes(18)
#: How many entries are tried with the password before the work begins. ZipCrypto lets 1 wrong password of 256
#: through its own check; the CRC of the content does not.
_PASSWORD_TRIALS: Final = 2
_READ_ERRORS: Final = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError)


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
        return {key: value for key, value in self.__dict__.items() if key != "_infos"}

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
        with closing(self._archive()) as archive:
            for entry in entries:
                try:
                    yield archive.read(entry.locator)
                except RuntimeError:
                    yield OSError("the archive's password does not open it")
                except _READ_ERRORS as error:
                    yield OSError(f"the archive is damaged here: {error}")

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        sizes: list[Size] = []
        with closing(self._archive()) as archive:
            for entry in entries:
                try:
                    with archive.open(entry.locator) as file:
                        sizes.append(image_size(file))
                except RuntimeError:
                    sizes.append("the archive's password does not open it")
                except _READ_ERRORS as error:
                    sizes.append(f"the archive is damaged here: {error}")
        return sizes

    def _archive(self) -> Any:
        """Return an open archive that reads entries listed elsewhere.

        The zipfile classes read the whole central directory when they open (seconds on this dataset), so they are
        opened on an empty archive, and the file below them is exchanged for the real one.
        """
        file = _Exchangeable(io.BytesIO(_EMPTY_ZIP))
        archive: Any
        if self.aes:
            try:
                import pyzipper
            except ImportError as error:
                raise MissingDependencyError(
                    f"{self.url} is protected with AES, which needs: pip install 'deepfashion2-registry[zip]'"
                ) from error
            archive = pyzipper.AESZipFile(file)
        else:
            try:
                # Replaces zipfile's ZipCrypto, which is pure Python, by one in C (20 times as fast).
                import fast_zip_decryption  # noqa: F401
            except ImportError:
                pass  # slower, but the same bytes
            archive = zipfile.ZipFile(file)  # type: ignore[arg-type]
        file.target = open_binary(self.url, self.options)
        archive.setpassword(self.password) if self.password else None
        return archive

    def _try_password(self, infos: list[zipfile.ZipInfo]) -> None:
        if not self.password:
            raise PasswordError(
                f"{self.url} is protected: set DF2_ZIP_PASSWORD to the password from the dataset's authors."
            )
        with closing(self._archive()) as archive:
            for info in infos:
                try:
                    archive.read(info)
                except (RuntimeError, *_READ_ERRORS) as error:
                    raise PasswordError(
                        f"The password in DF2_ZIP_PASSWORD does not open {self.url} "
                        f"(or the archive is damaged at {info.filename})."
                    ) from error


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
    except zipfile.BadZipFile as error:
        raise SourceError(
            f"{url} is not a complete zip archive ({error}). Is the download finished? Fetch it again."
        ) from error
    except OSError as error:
        raise SourceError(f"Cannot read {url}: {error}") from error


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
        try:
            with (
                closing(open_binary(self.url, self.options)) as file,
                tarfile.open(fileobj=file, mode="r|gz" if self._compressed else "r:") as archive,
            ):
                for member in archive:
                    match = MEMBER.fullmatch(member.name)
                    if match and member.isreg() and (photos or match["kind"] == "annos"):
                        locator = self._locator(archive, member, match["kind"])
                        rows = found.setdefault(match["lead"] or "", [])
                        rows.append((match["kind"], match["name"], locator, member.size, None))
                    archive.members.clear()  # or it keeps every header
        except FileNotFoundError as error:
            raise SourceError(f"{self.url} does not exist.") from error
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise SourceError(
                f"{self.url} is not a complete tar archive ({error}). Is the download finished? Fetch it again."
            ) from error
        prefix = _choose_prefix(self.url, split, (f"{lead}/annos/x".lstrip("/") for lead in found))
        return build_listing(split, found[prefix])

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
        with closing(open_binary(self.url, self.options)) as file:
            for entry in entries:
                offset, size = entry.locator
                file.seek(offset)
                data = file.read(size)
                yield data if len(data) == size else OSError("the archive ends in the middle of it")

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        if self._compressed:
            return [entry.locator for entry in entries]
        with closing(open_binary(self.url, self.options)) as file:
            sizes: list[Size] = []
            for entry in entries:
                offset, size = entry.locator
                file.seek(offset)
                sizes.append(image_size(io.BytesIO(file.read(size))))
            return sizes
