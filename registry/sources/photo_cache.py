"""A local folder that keeps photos out of archives and remote places, so that exports can link to them.

An export gets a hard link to a cached photo, so the cache may remove its own name of the photo at any time. Files are
read-only: a tool that changed one in place would change it in every export. Many processes may share a folder.
"""

from __future__ import annotations

import os
import re
import time
import zlib
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final

from registry.errors import StorageError
from registry.files.bounded_folder import remove_oldest
from registry.files.durability import make_folders, sync_file
from registry.files.regular_files import read_regular
from registry.files.temporary import temporary
from registry.sources.entries import Entry
from registry.storage.local_folder import CACHES

#: Folder of the cache in the folder of a registry.
CACHE_FOLDER: Final = f"{CACHES}/photos"
#: Bytes of cached photos: all released photos have some 16 GB.
MAX_BYTES: Final = 20 << 30
#: Seconds after which an unfinished photo belongs to a process that was killed.
_ABANDONED: Final = 3600
_PARTIAL: Final = ".partial"
#: Names in a cache: the folder of a thousand photos, and a photo in it.
_FOLDER: Final = re.compile(r"[a-z]+-\d{3,}", re.ASCII)
_PHOTO: Final = re.compile(r"\d{6,}-\d+-[0-9a-f]{8,16}(\.[A-Za-z]+)?(\.[0-9a-f]{8}\.partial)?", re.ASCII)
_IGNORED: Final = "# Photos that exports link to; df2 makes them again.\n*\n"


class PhotoCache:
    """The photos in a cache folder.

    A photo is named by its number, its size and its CRC-32, or a digest of the checksum that its store lists.

    Args:
        folder: created with the first photo.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        #: Bytes of all cached photos; unknown before the first is added.
        self._size: int | None = None

    @staticmethod
    def can_find(entry: Entry) -> bool:
        """Return whether a cached photo can be found again: its listing has a checksum."""
        return entry.size is not None and _listed_checksum(entry) is not None

    def read(self, split: str, entry: Entry) -> tuple[bytes, Path] | None:
        """Return the bytes and the path of a cached photo; None if it is not cached, or damaged.

        A photo whose listing has no checksum is never found: it may have changed.
        """
        checksum = _listed_checksum(entry)
        if checksum is None or entry.size is None:
            return None
        path = self._path(split, entry, entry.size, checksum)
        try:
            data = read_regular(path)
        except OSError:
            return None
        is_whole = len(data) == entry.size and (not isinstance(entry.crc, int) or zlib.crc32(data) == entry.crc)
        return (data, path) if is_whole else None

    def add(self, split: str, entry: Entry, data: bytes) -> Path:
        """Cache a photo and return its path; beyond the bound the photos that were linked longest ago are removed.

        Raises:
            StorageError: the folder cannot be written.
        """
        checksum = _listed_checksum(entry) or f"{zlib.crc32(data):08x}"
        path = self._path(split, entry, len(data), checksum)
        with suppress(OSError):
            if read_regular(path) == data:  # cached before, from a listing without a checksum
                return path
        partial = path.with_name(f"{path.name}.{os.urandom(4).hex()}{_PARTIAL}")
        try:
            if self._size is None:
                make_folders(self.folder)
                self._ignore()
                self._size = self._shrink()
            path.parent.mkdir(exist_ok=True)
            with temporary(partial):
                try:
                    partial.write_bytes(data)
                    if os.name != "nt":  # Windows could not remove it then
                        partial.chmod(0o444)
                    if isinstance(entry.crc, str):  # only a CRC tells later that a crash cut the file
                        sync_file(partial)
                    os.replace(partial, path)
                finally:
                    partial.unlink(missing_ok=True)
            self._size += len(data)
            if self._size > MAX_BYTES:
                self._size = self._shrink()
        except OSError as error:
            raise StorageError(
                f"Cannot write to the photo cache {self.folder}: {error.strerror}. --photo-cache DIR names another "
                "folder, and --images copy needs none."
            ) from error
        return path

    def _path(self, split: str, entry: Entry, size: int, checksum: str) -> Path:
        suffix = os.path.splitext(entry.name)[1]
        folder = f"{split}-{entry.image_id // 1000:03d}"
        return self.folder / folder / f"{entry.image_id:06d}-{size}-{checksum}{suffix}"

    def _ignore(self) -> None:
        """Keep git from listing the photos."""
        path = self.folder / ".gitignore"
        if not path.exists():
            path.write_text(_IGNORED)

    def _shrink(self) -> int:
        """Remove the photos that were linked longest ago, down to three quarters of the bound; return the bytes left.

        A link changes the time ``ctime`` of a file. What killed processes left is removed too.
        """
        photos = []
        for folder in os.scandir(self.folder):
            if not (_FOLDER.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False)):
                continue  # a file of the user
            for entry in os.scandir(folder):
                if _PHOTO.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    with suppress(FileNotFoundError):  # another process shrinks it too
                        status = entry.stat(follow_symlinks=False)
                        if not entry.name.endswith(_PARTIAL):
                            photos.append((status.st_ctime_ns, entry.path, status.st_size))
                        elif status.st_ctime < time.time() - _ABANDONED:
                            os.unlink(entry.path)
        size, _ = remove_oldest(photos, MAX_BYTES)
        return size


def _listed_checksum(entry: Entry) -> str | None:
    """Return the checksum in a photo's listing, for its name; None if there is none."""
    if isinstance(entry.crc, int):
        return f"{entry.crc:08x}" if entry.crc else None  # 0 in zips with AES, which have a checksum of their own
    return sha256(entry.crc.encode()).hexdigest()[:16] if entry.crc else None
