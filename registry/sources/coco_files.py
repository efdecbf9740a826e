"""COCO files as a source: found by their content, and unpacked or fetched into local files for random access."""

from __future__ import annotations

import errno
import gzip
import os
import re
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

from registry.errors import SourceError, StorageError, first_names
from registry.files.temporary import temporary
from registry.parsing.text import without_mark
from registry.sources.archives import is_system_error
from registry.sources.faults import cannot_read, shown_name
from registry.sources.file_objects import open_file
from registry.sources.folder_names import names_in
from registry.sources.listing import INNER_MEMBER, MEMBER
from registry.sources.locate import archive_suffix, is_remote_folder
from registry.sources.zip_directory import READ_ERRORS, read_directory
from registry.sources.zips import check_password, member_reader
from registry.storage.filesystems import StorageOptions, local_path

_GZIP: Final = b"\x1f\x8b"
#: Bytes in which a COCO file is recognised.
_START: Final = 64 << 10
#: Keys of a COCO file's outer object. An annotation file of the release has item1, source, pair_id.
_KEYS: Final = re.compile(rb'"(?:images|annotations|categories|info|licenses)"\s*:\s*[\[{]')
_BLOCK: Final = 4 << 20
#: Members of a zip that may be one of COCO files.
_FEW_MEMBERS: Final = 1_000
#: ``coco.zip/annotations/train.json``: a member of a zip; fsspec writes ``zip://annotations/train.json::coco.zip``.
_MEMBER: Final = re.compile(r"(?P<archive>.+?\.zip)/(?P<member>.+)", re.IGNORECASE)
_CHAIN: Final = re.compile(r"zip://(?P<member>.+?)::(?P<archive>.+)")


@dataclass(frozen=True, slots=True)
class CocoFile:
    """A COCO file.

    Attributes:
        url: path or URL of the file, or of the zip that it is in.
        member: its name in the zip; "" for a file of its own.
    """

    url: str
    member: str = ""

    @property
    def name(self) -> str:
        """Name without folders, for messages."""
        return shown_name((self.member or self.url).rstrip("/").rpartition("/")[2])


def find_coco(source: str, options: StorageOptions | None = None, password: str | None = None) -> tuple[CocoFile, ...]:
    """Return the COCO files at a place; none if it is no such place.

    Args:
        source: path or URL of a COCO file (also ``.gz``), of a member of a zip (``ZIP/MEMBER`` or
            ``zip://MEMBER::ZIP``), of a zip with a single COCO file, or of a local folder of COCO files.
        options: passed to fsspec.
        password: password of a protected zip.

    Raises:
        SourceError: the place cannot be read, or a zip holds several COCO files.
        PasswordError: the zip is protected and the password missing or wrong.
    """
    member = _named_member(source)
    if member:
        return (member,)
    path = local_path(source)
    if archive_suffix(source) == ".zip":
        return _in_zip(source, options, password)
    if path is not None and os.path.isdir(path):  # not is_dir(), which raises an error for too long a path
        return _in_folder(source, options)
    is_file = os.path.isfile(path) if path is not None else not is_remote_folder(source, options)
    if archive_suffix(source) or not is_file:
        return ()
    try:
        return (CocoFile(source),) if _is_coco(CocoFile(source), options, None) else ()
    except FileNotFoundError:
        return ()


def _named_member(source: str) -> CocoFile | None:
    """Return the member of a zip that a place names; None for any other place."""
    chain = _CHAIN.fullmatch(source)
    if chain:
        return CocoFile(chain["archive"], chain["member"])
    match = _MEMBER.fullmatch(source)
    path = local_path(source)
    if match is None or not match["member"].lower().endswith((".json", ".json.gz")) or (path and os.path.exists(path)):
        return None
    archive = local_path(match["archive"])
    return CocoFile(match["archive"], match["member"]) if archive is None or os.path.isfile(archive) else None


@contextmanager
def local_files(
    files: Sequence[CocoFile], options: StorageOptions | None = None, password: str | None = None
) -> Iterator[list[tuple[str, Path]]]:
    """Yield (name, path) of a local, unpacked file for each COCO file; copies are in a temporary folder.

    Raises:
        SourceError: a file cannot be read.
    """
    with ExitStack() as stack:
        folder: Path | None = None
        paths = []
        for number, file in enumerate(files):
            path = local_path(file.url)
            if path is None or file.member or _is_packed(path):
                if folder is None:
                    folder = Path(tempfile.mkdtemp(prefix="df2-coco-"))
                    stack.callback(shutil.rmtree, folder, ignore_errors=True)
                    stack.enter_context(temporary(folder))
                path = folder / f"{number}.json"
                _copy(file, path, options, password)
            paths.append((file.name, path))
        yield paths


def _is_packed(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(2) == _GZIP
    except OSError as error:
        raise cannot_read(path, error) from error


def _copy(file: CocoFile, path: Path, options: StorageOptions | None, password: str | None) -> None:
    """Write a file, fetched and unpacked."""
    try:
        with _opened(file, options, password) as opened, open(path, "wb") as out:
            shutil.copyfileobj(opened, out, _BLOCK)
    except FileNotFoundError as error:
        raise SourceError(f"{file.url} does not exist.") from error
    except READ_ERRORS as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise StorageError(
                f"No space is left in {path.parent}, where {file.name} is unpacked. TMPDIR names another folder."
            ) from error
        if is_system_error(error):
            raise cannot_read(file.url, error) from error  # type: ignore[arg-type]  # it is an OSError
        raise SourceError(f"Cannot unpack {file.name}: it is cut short or damaged: {error}. Fetch it again.") from error


@contextmanager
def _opened(file: CocoFile, options: StorageOptions | None, password: str | None) -> Iterator[IO[bytes]]:
    """Yield a COCO file for reading forward, unpacked."""
    with ExitStack() as stack:
        opened: Any
        if file.member:
            info = _members(file.url, options).get(file.member)
            if info is None:
                raise SourceError(f"{file.url} has no member {shown_name(file.member)}.")
            members = member_reader(file.url, [info], options, password)
            check_password(members, [info])
            archive = stack.enter_context(members.open())
            opened = stack.enter_context(archive.archive.open(members.zip_info(info)))
        else:
            opened = stack.enter_context(open_file(file.url, options))
        start = opened.read(2)
        rest: Any = _Joined(start, opened)
        unpacked: Any = gzip.GzipFile(fileobj=rest, mode="rb") if start == _GZIP else rest
        yield unpacked


class _Joined:
    """A file for reading forward, with its first bytes already read."""

    def __init__(self, start: bytes, file: IO[bytes]) -> None:
        self._start = start
        self._file = file

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes."""
        start, self._start = self._start, b""
        return start + self._file.read(size if size < 0 else max(0, size - len(start)))


def _is_coco(file: CocoFile, options: StorageOptions | None, password: str | None) -> bool:
    """Return whether the beginning of a file is that of a COCO file; of a damaged or empty file by its name."""
    is_json = file.name.lower().endswith((".json", ".json.gz"))
    try:
        with _opened(file, options, password) as opened:
            start = without_mark(opened.read(_START)).lstrip(b" \t\r\n")
    except (EOFError, zlib.error, zipfile.BadZipFile, gzip.BadGzipFile):
        return is_json  # reading it says what is wrong
    return (start.startswith(b"{") and bool(_KEYS.search(start))) or (is_json and not start)


def _members(url: str, options: StorageOptions | None) -> Mapping[str, zipfile.ZipInfo]:
    """Return the members of a zip by name."""
    return {info.filename: info for info in read_directory(url, options) if not info.is_dir()}


def _in_zip(url: str, options: StorageOptions | None, password: str | None) -> tuple[CocoFile, ...]:
    """Return the COCO file in a zip without files of the release."""
    try:
        names = list(_members(url, options)) if _has_few_members(url, options) else []
    except (FileNotFoundError, SourceError):
        return ()  # the source of the release says why
    of_release = any(
        (match := MEMBER.fullmatch(name) or INNER_MEMBER.fullmatch(name)) and _is_release_name(match["name"])
        for name in names
    )
    candidates = [name for name in names if name.lower().endswith(".json") and not _is_hidden(name)]
    if of_release or not candidates or len(candidates) > 100:
        return ()
    files = [CocoFile(url, name) for name in candidates]
    files = [file for file in files if _is_coco(file, options, password)]
    if len(files) > 1:
        shown = first_names([shown_name(file.member) for file in files], 5)
        raise SourceError(f"{url} holds several COCO files: {shown}. Name the one to read: {url}/{files[0].member}.")
    return tuple(files)


def _has_few_members(url: str, options: StorageOptions | None) -> bool:
    """Return whether a zip has few members, by its end record: listing those of a release takes seconds.

    Source: APPNOTE 4.3.16: the record has a number of members, 65,535 for more, and a comment of at most 64 KiB.
    """
    with closing(open_file(url, options)) as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - (64 << 10) - 22))
        end = file.read()
    start = end.rfind(b"PK\x05\x06")
    return 0 <= start <= len(end) - 22 and int.from_bytes(end[start + 10 : start + 12], "little") <= _FEW_MEMBERS


def _in_folder(url: str, options: StorageOptions | None) -> tuple[CocoFile, ...]:
    """Return the files of a folder that holds nothing but COCO files, such as those by category."""
    names = [name for name in sorted(names_in(url, options)) if not name.startswith(".")]
    if not names or len(names) > 100 or not all(name.lower().endswith((".json", ".json.gz")) for name in names):
        return ()
    files = tuple(CocoFile(f"{url.rstrip('/')}/{name}") for name in names)
    return files if all(_is_coco(file, options, None) for file in files) else ()


def _is_release_name(name: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,9}\.\w+", name))


def _is_hidden(name: str) -> bool:
    return name.startswith("__MACOSX/") or name.rpartition("/")[2].startswith(".")
