"""Places: folders, local or remote, with the same interface and this package's errors.

Local folders use the operating system directly (:mod:`registry.storage.local_folder`), remote ones fsspec
(:mod:`registry.storage.remote_folder`).
"""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from registry.errors import ConflictError, NotFoundError, StorageError
from registry.files.lock import locked
from registry.redaction import redact
from registry.storage.filesystems import is_conflict, reason
from registry.storage.local_folder import LocalFolder
from registry.storage.options import StorageOptions
from registry.storage.paths import local_path, trimmed
from registry.storage.remote_folder import RemoteFolder

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: Errors of writing to a local disk.
_DISK_ERRORS: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

#: Version of a missing file (:meth:`Place.read_version`).
ABSENT: Final = ""


class Place:
    """A folder, local or remote, whose files are named by relative paths (``items/split=train/...``).

    Args:
        url: path or fsspec URL.
        storage_options: for a remote place; see :func:`registry.storage.filesystems.filesystem`.

    Raises:
        UsageError: the URL is empty or ambiguous; see :mod:`registry.storage.paths`.
        StorageError: a remote place cannot be used.
    """

    def __init__(self, url: str, storage_options: StorageOptions | None = None) -> None:
        self.url = trimmed(url)
        self.path = local_path(self.url)
        self._folder: LocalFolder | RemoteFolder
        if self.path is not None:
            self._folder = LocalFolder(self.path)
        else:
            self._folder = RemoteFolder(self.url, storage_options)

    def __str__(self) -> str:
        return redact(self.url)

    @property
    def fs(self) -> AbstractFileSystem:
        """The fsspec file system of a remote place."""
        return self._remote().fs

    @property
    def root(self) -> str:
        """The path of a remote place in its file system."""
        return self._remote().root

    @property
    def is_local(self) -> bool:
        """Whether the place is a local folder."""
        return self.path is not None

    @property
    def absolute_url(self) -> str:
        """The absolute local path, or the URL."""
        return str(self.path) if self.path is not None else self.url

    def read(self, name: str, *, not_empty: bool = False) -> bytes:
        """Return the bytes of a file.

        Args:
            name: path of the file.
            not_empty: True if the file cannot be empty, which saves a request on S3.

        Raises:
            NotFoundError: the file does not exist.
            StorageError: the file cannot be read, or has more than
                :data:`registry.storage.bounded_reads.MAX_WHOLE` bytes.
        """
        with self._reading(name):
            if isinstance(self._folder, RemoteFolder):
                return self._folder.read(name, is_empty_possible=not not_empty)
            return self._folder.read(name)

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes of a file from ``start`` up to ``end``; a remote file takes one request.

        Raises:
            NotFoundError: the file does not exist.
            StorageError: the file cannot be read, or ends before ``end``.
        """
        with self._reading(name):
            data = self._folder.read_range(name, start, end)
        if len(data) != end - start:
            raise StorageError(
                f"{self.url}/{name} gave {len(data):,} of the {end - start:,} bytes asked for: it was cut or changed."
            )
        return data

    def read_version(self, name: str) -> tuple[bytes | None, str]:
        """Return the bytes of a file that is never empty, and its version for :meth:`replace`.

        The version is the ETag on S3, else the SHA-256. A missing file gives None and :data:`ABSENT`.

        Raises:
            StorageError: the file cannot be read.
        """
        try:
            # First the ETag, then the bytes: if they are newer than the ETag, replace() refuses, which is right.
            etag = self._etag(name)
            data = self.read(name, not_empty=True)
        except NotFoundError:
            return None, ABSENT
        return data, etag or hashlib.sha256(data).hexdigest()

    def _etag(self, name: str) -> str | None:
        """Return the ETag of a file, or None for places without conditional writes."""
        with self._reading(name):
            if isinstance(self._folder, RemoteFolder) and self._folder.has_conditional_writes:
                return self._folder.etag(name)
            return None

    def size(self, name: str) -> int:
        """Return the size of a file in bytes; a local file must be a regular file.

        Raises:
            NotFoundError: the file does not exist.
            StorageError: the file cannot be read.
        """
        with self._reading(name):
            return self._folder.size(name)

    def exists(self, name: str) -> bool:
        """Return whether a file exists.

        Raises:
            StorageError: the place cannot be read.
        """
        return self.digest(name, sized_only=True) is not None

    def digest(
        self, name: str, *, sized_only: bool = False, size: int | None = None
    ) -> tuple[int, bytes | None] | None:
        """Return the size and SHA-256 of a file, or None if it does not exist.

        Args:
            name: path of the file.
            sized_only: return None for the SHA-256 without reading the file.
            size: expected size. A local file of another size is not read and has None for the SHA-256.

        Returns:
            Size and SHA-256. A local folder, FIFO or device has the size -1 and no SHA-256.

        Raises:
            StorageError: the file cannot be read.
        """
        try:
            with self._reading(name):
                if sized_only:
                    return self._folder.current_size(name), None
                return self._folder.digest(name, size)
        except NotFoundError:
            return None

    def fetch(self, name: str, target: Path, most: int | None = None) -> None:
        """Copy a file to a local file.

        Args:
            name: path of the file.
            target: the local file.
            most: expected size, by default :data:`registry.storage.bounded_reads.MAX_WHOLE`. A larger remote file is
                an error.

        Raises:
            NotFoundError: the file does not exist.
            StorageError: the file cannot be read, or the local file cannot be written.
        """
        with self._reading(name):
            try:
                self._folder.fetch(name, target, most)
            except OSError as error:
                if error.errno in _DISK_ERRORS or error.filename in (target, str(target)):
                    raise StorageError(f"Cannot write {target}: {reason(error)}") from error
                raise

    def write(self, name: str, data: bytes) -> None:
        """Write a file; readers see the old bytes or the new bytes, never a part.

        Raises:
            StorageError: the file cannot be written; the old file is as it was.
        """
        with self._writing(name):
            self._folder.write(name, data)

    def replace(self, name: str, data: bytes, version: str) -> None:
        """Write a file if it still has the version that :meth:`read_version` returned.

        On S3 the store compares the versions atomically. Elsewhere they are compared just before writing: a local
        place must be locked (:meth:`lock`), and on other stores two simultaneous writers are not told apart.

        Raises:
            ConflictError: the file has another version.
            StorageError: the file cannot be written.
        """
        if not isinstance(self._folder, RemoteFolder) or not self._folder.has_conditional_writes:
            if self.read_version(name)[1] != version:
                raise self._conflict(name)
            self.write(name, data)
            return
        try:
            with self._writing(name):
                self._folder.write_if(name, data, version if version != ABSENT else None)
        except StorageError as error:
            cause = error.__cause__
            assert isinstance(cause, OSError)
            is_gone = isinstance(cause, FileNotFoundError) and version != ABSENT  # instead of a refusal
            if not is_gone and not is_conflict(cause):
                raise
            # If the answer to a successful write was lost, the store refused only the second attempt.
            if self.read_version(name)[0] != data:
                raise self._conflict(name) from cause

    def _conflict(self, name: str) -> ConflictError:
        return ConflictError(
            f"Somebody else changed {self.url}/{name} in the meantime: their version stays, and nothing was written to "
            "it. Check its present content, and run this again if you still need to."
        )

    def put(self, local: Path, name: str, *, keep: bool = False) -> None:
        """Move a finished local file to ``name``; with ``keep``, copy it.

        Raises:
            StorageError: the file cannot be written.
        """
        with self._writing(name, local):
            self._folder.put(local, name, keep=keep)

    def list(self, name: str) -> list[str]:
        """Return the sorted relative paths of all files below ``name``; none if it does not exist."""
        return sorted(self.sizes(name))

    def sizes(self, name: str) -> dict[str, int]:
        """Return the sizes of all files below ``name``, by relative path; none if it does not exist.

        Web servers that list no folders give an empty result, too.

        Raises:
            StorageError: the place cannot be listed.
        """
        try:
            return self._folder.sizes(name)
        except OSError as error:
            folder = error.filename if self.is_local else f"{self.url}/{name}"
            raise StorageError(f"Cannot list {folder}: {reason(error)}") from error

    def remove(self, name: str) -> None:
        """Remove a file, and local folders that become empty; do nothing if the file does not exist.

        Raises:
            StorageError: the file cannot be removed.
        """
        try:
            self._folder.remove(name)
        except OSError as error:
            raise StorageError(f"Cannot remove {self.url}/{name}: {reason(error)}") from error

    def make_remote_folder(self, name: str) -> None:
        """Create a folder of a remote place; do nothing in object stores.

        Raises:
            OSError: the folder cannot be created.
        """
        self._remote().make_folder(name)

    def make_folder(self, name: str) -> None:
        """Create a folder of a local place; remote places get their folders with their files.

        Raises:
            StorageError: the folder cannot be created.
        """
        if isinstance(self._folder, LocalFolder):
            with self._writing(name):
                self._folder.make_folder(name)

    def check_links(self, name: str) -> None:
        """Refuse links among the local folders of a table: their files do not belong to this place.

        Args:
            name: folder of the table.

        Raises:
            StorageError: the folder or a partition's folder in it is a link.
        """
        if isinstance(self._folder, LocalFolder):
            with self._writing(name):
                self._folder.check_links(name)

    def lock(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Lock a local place for writing until the block or the process ends; remote places cannot be locked.

        Args:
            wait: for another writer, instead of raising ConflictError.

        Raises:
            ConflictError: another writer holds the lock.
            StorageError: the place cannot be written to.
        """
        return nullcontext() if self.path is None else locked(self.path, self.url, wait=wait)

    def _remote(self) -> RemoteFolder:
        assert isinstance(self._folder, RemoteFolder)
        return self._folder

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        """Convert the OSErrors of reading a file."""
        try:
            try:
                yield
            except FileNotFoundError:
                if isinstance(self._folder, RemoteFolder):
                    self._folder.check_cached(name)
                raise
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"{self.url}/{name} does not exist.") from error
        except OSError as error:
            raise StorageError(f"Cannot read {self.url}/{name}: {reason(error)}") from error

    @contextmanager
    def _writing(self, name: str, local: Path | None = None) -> Iterator[None]:
        """Convert the OSErrors of writing a file; an error of the local source file names that file."""
        try:
            yield
        except OSError as error:
            if local is not None and error.filename in (local, str(local)):
                raise StorageError(f"Cannot read {local}: {reason(error)}") from error
            raise StorageError(f"Cannot write {self.url}/{name}: {reason(error)}") from error
