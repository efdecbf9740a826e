"""Copying a protected zip archive once into an unprotected one, or into a folder.

A run that was ended leaves its work beside the destination, and the next one goes on from there: every file in it is
compared with the archive's size and CRC-32 first. The destination appears only when all members are there.
"""

from __future__ import annotations

import os
import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from registry.errors import SourceError, StorageError, UsageError, first_names
from registry.execution.in_order import in_order
from registry.execution.processes import process_pool
from registry.execution.progress import Progress
from registry.files.durability import make_folders
from registry.sources.archives import NAME_EXPECTED, unsafe_names
from registry.sources.faults import MAX_PHOTO, Fault, shown_name, too_large
from registry.sources.issues import Issue, summarise
from registry.sources.locate import archive_suffix, other_parts
from registry.sources.unlocked_folder import UnlockedFolder
from registry.sources.unlocked_zip import UnlockedZip
from registry.sources.zip_directory import all_names, read_directory, turn_backslashes
from registry.sources.zip_members import MemberReader
from registry.sources.zips import check_password, member_reader
from registry.storage.filesystems import StorageOptions
from registry.wording import plural

#: Maximum members and bytes that a worker process reads at a time.
_CHUNK_FILES: Final = 64
_CHUNK_BYTES: Final = 8 << 20


class Unlocked(Protocol):
    """An unfinished destination. Members are added in the order of the archive."""

    def resume(self, infos: Sequence[zipfile.ZipInfo]) -> int:
        """Return the number of the first members that an earlier run left complete."""

    def bytes_to_write(self, infos: Sequence[zipfile.ZipInfo]) -> int:
        """Return the number of bytes to write for these remaining members."""

    def add(self, info: zipfile.ZipInfo, data: bytes) -> None:
        """Add a member."""

    def finish(self) -> None:
        """Let the destination appear."""

    def close(self) -> None:
        """Give up the lock; unfinished work stays."""


@dataclass(frozen=True, slots=True)
class UnlockReport:
    """The result of unlocking an archive.

    Attributes:
        members: number of members at the destination.
        size: bytes of all members.
        resumed: members that an earlier run had left.
        was_protected: whether any member of the archive was protected.
        notices: oddities of the archive that were accepted.
    """

    members: int
    size: int
    resumed: int
    was_protected: bool
    notices: tuple[str, ...]


def unlock(
    source: str,
    dest: Path,
    *,
    options: StorageOptions | None = None,
    password: str | None = None,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> UnlockReport:
    """Copy all files of a zip archive into an unprotected zip, stored, or into a folder; under the same names.

    The same archive gives the same bytes. Members are checked by their CRC-32, those with AES by their authentication
    code.

    Args:
        source: path or fsspec URL of the zip.
        dest: a path that ends in ``.zip``, or a folder; neither may exist.
        options: passed to fsspec.
        password: of the archive.
        jobs: number of processes; None for the number of cores.
        progress: called with the number of members done and in total.

    Raises:
        UsageError: ``source`` is no zip, or ``dest`` exists or is named like another archive.
        SourceError: the archive or some members cannot be read; the message names all of these.
        PasswordError: the password is missing or wrong.
        StorageError: ``dest`` cannot be written, or the disk has no room for it.
    """
    if archive_suffix(source) != ".zip":
        raise UsageError(f"{source} is no zip archive: only zips are protected, so expected a name that ends in .zip.")
    if archive_suffix(dest.name) not in ("", ".zip"):
        raise UsageError(f"{dest} is named like another archive: expected a name that ends in .zip, or a folder.")
    if os.path.lexists(dest):
        raise UsageError(f"{dest} exists and is not replaced: name another place, or remove it first.")
    jobs = 1 if source.startswith("memory://") else jobs or os.cpu_count() or 1  # other processes cannot read memory://
    with process_pool(None, jobs, f"Run this again to go on; there is no {dest} yet") as pool:
        infos = read_directory(source, options)
        notices = turn_backslashes(source, infos)
        infos = _checked(source, infos)
        notices += [*_link_notices(source, infos), *_part_notices(source, dest, options)]
        members = member_reader(source, infos, options, password)
        was_protected = check_password(members, infos)
        try:
            make_folders(dest.parent)
            target: Unlocked = UnlockedZip(dest) if dest.suffix.lower() == ".zip" else UnlockedFolder(dest)
            try:
                num_done = target.resume(infos)
                _check_room(dest, target.bytes_to_write(infos[num_done:]))
                _copy(source, infos, num_done, _contents(pool, members, infos[num_done:], jobs), target, progress)
                target.finish()
            finally:
                target.close()
        except OSError as error:
            path = error.filename if isinstance(error.filename, str) else dest
            raise StorageError(f"Cannot write {path}: {error.strerror or error}") from error
    return UnlockReport(len(infos), sum(info.file_size for info in infos), num_done, was_protected, tuple(notices))


def _checked(source: str, infos: Sequence[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    """Return the files of an archive; folders are left out.

    Raises:
        SourceError: a name leads out, stands twice or is also a folder's, or a member is too large; the message names
            all.
    """
    files = [info for info in infos if not info.filename.endswith("/")]
    faults = [(name, f"expected {NAME_EXPECTED}") for name in unsafe_names(all_names(files))]
    counts = Counter(info.filename for info in files)
    faults += [(name, f"stands {count} times; expected it once") for name, count in counts.items() if count > 1]
    folders = {folder for name in counts for folder in _folders_of(name)}
    faults += [
        (name, "is a folder of other files too; expected one or the other") for name in counts if name in folders
    ]
    faults += [
        (info.filename, too_large(info.file_size, MAX_PHOTO)) for info in files if info.file_size > MAX_PHOTO
    ]  # fmt: skip
    _refuse(source, faults)
    return files


def _folders_of(name: str) -> Iterator[str]:
    """Yield the folders of a path, without the path itself."""
    while name := name.rpartition("/")[0]:
        yield name


def _link_notices(source: str, infos: Sequence[zipfile.ZipInfo]) -> list[str]:
    """Return a notice if members are symbolic links, of which only the text is kept."""
    links = [info.filename for info in infos if info.create_system == 3 and stat.S_ISLNK(info.external_attr >> 16)]
    if not links:
        return []
    members = plural(len(links), "member is a symbolic link and becomes", "members are symbolic links and become")
    form = "a plain file" if len(links) == 1 else "plain files"
    shown = first_names([shown_name(name) for name in links], 5)
    archive = shown_name(source.rpartition("/")[2])
    return [f"{archive}: {members} {form} with the path of the target as text: {shown}"]


def _part_notices(source: str, dest: Path, options: StorageOptions | None) -> list[str]:
    """Return a notice if an archive is a part of a download, as the other parts must be unlocked too."""
    others = other_parts(source, options)
    if not others:
        return []
    shown = first_names([shown_name(name) for name in others], 5)
    text = f"{shown_name(source.rpartition('/')[2])} is a part of a download: unlock {shown} too"
    if dest.suffix.lower() != ".zip":
        return [f"{text}; df2 ingest reads parts together only as zips, NAME-001.zip and so on"]
    return [f"{text}, and keep the numbers at the end of the names, so that df2 ingest reads the parts together"]


def _refuse(source: str, faults: Sequence[tuple[str, str]]) -> None:
    """Raise SourceError if there are faults, given as (name of the member, text)."""
    if not faults:
        return
    archive = shown_name(source.rpartition("/")[2])
    issues = [Issue(archive, (shown_name(name),), text) for name, text in faults]
    raise SourceError(f"{source} was not unlocked: {summarise(issues)}")


def _check_room(dest: Path, num_bytes: int) -> None:
    free = shutil.disk_usage(dest.parent).free
    if num_bytes > free:
        raise StorageError(
            f"Cannot write {dest}: {num_bytes:,} bytes are to be written, and its disk has {free:,} free. Make room, "
            "or name a place on another disk."
        )


def _copy(
    source: str,
    infos: Sequence[zipfile.ZipInfo],
    num_done: int,
    contents: Iterator[bytes | Fault],
    target: Unlocked,
    progress: Progress | None,
) -> None:
    """Add the remaining members; after a fault the others are only read, so that all faults are told together.

    Raises:
        SourceError: members cannot be read.
    """
    faults: list[tuple[str, str]] = []
    for number, (info, data) in enumerate(zip(infos[num_done:], contents, strict=True), num_done + 1):
        if isinstance(data, Fault):
            faults.append((info.filename, data))
        elif not faults:
            target.add(info, data)
        if progress:
            progress(number, len(infos))
    _refuse(source, faults)


def _contents(
    pool: Executor | None, members: MemberReader, infos: Sequence[zipfile.ZipInfo], jobs: int
) -> Iterator[bytes | Fault]:
    """Yield the bytes or the fault of each member, in order; few chunks are held at a time."""
    chunks = _chunks(infos)
    if pool is None or len(infos) <= _CHUNK_FILES:
        for chunk in chunks:
            yield from _read(members, chunk)
        return
    calls = ((None, pool.submit(_read, members, chunk)) for chunk in chunks)
    for _, contents in in_order(calls, 2 * jobs + 1):
        yield from contents


def _chunks(infos: Sequence[zipfile.ZipInfo]) -> Iterator[list[zipfile.ZipInfo]]:
    chunk: list[zipfile.ZipInfo] = []
    num_bytes = 0
    for info in infos:
        if chunk and (len(chunk) == _CHUNK_FILES or num_bytes + info.file_size > _CHUNK_BYTES):
            yield chunk
            chunk, num_bytes = [], 0
        chunk.append(info)
        num_bytes += info.file_size
    if chunk:
        yield chunk


def _read(members: MemberReader, infos: Sequence[zipfile.ZipInfo]) -> list[bytes | Fault]:
    """Return the bytes or the fault of each member: the work of a worker process."""
    with members.open() as archive:
        return [archive.read(info, MAX_PHOTO) for info in infos]
