"""Places: folders, local or remote, behind one small interface.

Local folders go through the operating system directly (atomic renames, locks); everything else through fsspec.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

from registry.errors import ConflictError, NotFoundError, StorageError
from registry.files.durability import make_folders
from registry.files.local_files import check_no_link, copy_file, move_file, path_inside, write_file
from registry.files.lock import locked
from registry.files.regular_files import is_regular, open_regular, read_range, read_regular, regular_size
from registry.redaction import redact
from registry.storage import bounded_reads
from registry.storage.filesystems import (
    StorageOptions,
    filesystem,
    is_conflict,
    local_path,
    reason,
    remote_errors,
    retried,
)
from registry.storage.paths import trimmed
from registry.storage.s3 import s3_reader
from registry.storage.timeouts import NoAnswerError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: Protocols of stores that know names of files alone, and show a file when all of it is there.
_OBJECT_STORES: Final = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory"}
_BLOCK: Final = 1 << 20
#: Errors of a disk that is written to.
_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)

#: Version of a file that is not there.
ABSENT: Final = ""


class Place:
    """A folder, local or remote, with files named by relative paths (``items/split=train/...``).

    Args:
        url: path or fsspec URL.
        storage_options: for a remote one; see :func:`registry.storage.filesystems.filesystem`.

    Raises:
        UsageError: the URL is empty, or none that can be meant; see :mod:`registry.storage.paths`.
    """

    def __init__(self, url: str, storage_options: StorageOptions | None = None) -> None:
        self.url = trimmed(url)
        self.path = local_path(self.url)
        self._storage_options = storage_options
        #: Reads until fsspec's file system is needed, which takes longest of all to start on S3.
        self._s3_reader = None if self.path is not None else s3_reader(self.url, storage_options)
        if self.path is None and self._s3_reader is None:
            _ = self.fs  # what is wrong with the URL or the options is to be told now

    def __str__(self) -> str:
        return redact(self.url)

    @cached_property
    def _filesystem(self) -> tuple[AbstractFileSystem, str]:
        self._s3_reader = None
        return filesystem(self.url, self._storage_options)

    @property
    def fs(self) -> AbstractFileSystem:
        """The file system of a remote place."""
        return self._filesystem[0]

    @property
    def root(self) -> str:
        """The path of a remote place in its file system."""
        return self._filesystem[1]

    @property
    def is_local(self) -> bool:
        """Whether the place is a local folder."""
        return self.path is not None

    @property
    def absolute_url(self) -> str:
        """The absolute local path, or the URL."""
        return str(self.path) if self.path is not None else self.url

    def read(self, name: str, *, not_empty: bool = False) -> bytes:
        """Return a file's bytes.

        Args:
            name: of the file.
            not_empty: whether there is anything in it for sure, which saves a request on S3.

        Raises:
            NotFoundError: there is no such file.
            StorageError: it cannot be read, or has more than :data:`registry.storage.bounded_reads.MAX_WHOLE` bytes.
        """
        with self._reading(name):
            if self.path is not None:
                if regular_size(self.path / name) > bounded_reads.MAX_WHOLE:
                    raise bounded_reads.TooMuchError(bounded_reads.MAX_WHOLE)
                return read_regular(self.path / name)
            if (data := self._read_quickly(name)) is not None:
                return data
            # Asked for all, s3fs asks for the size first; not if asked for all from byte 0 on, which must be there.
            whole = {"start": 0} if not_empty and self._speaks("s3") else {}
            if not self.fs.async_impl:  # an open file is read no further; async clients bound their answers
                whole = {"end": bounded_reads.MAX_WHOLE + 1}
            data = retried(lambda: cast(bytes, self.fs.cat_file(self._remote(name), **whole)))
            if len(data) > bounded_reads.MAX_WHOLE:
                raise bounded_reads.TooMuchError(bounded_reads.MAX_WHOLE)
            return data

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes of a file from ``start`` up to ``end``; of a remote one in one request.

        Raises:
            NotFoundError: there is no such file.
            StorageError: it cannot be read, or ends before ``end``.
        """
        with self._reading(name):
            if self.path is not None:
                with open_regular(self.path / name) as descriptor:
                    data = read_range(descriptor, start, end)
            elif (quick := self._read_quickly(name, (start, end))) is not None:
                data = quick
            else:
                data = retried(lambda: self._read_range(self._remote(name), start, end))
        if len(data) != end - start:
            raise StorageError(
                f"{self.url}/{name} gave {len(data):,} of the {end - start:,} bytes asked for: it was cut or changed."
            )
        return data

    def _read_quickly(self, name: str, bounds: tuple[int, int] | None = None) -> bytes | None:
        reader = self._s3_reader  # another thread may give it up
        return reader.read(name, bounds) if reader is not None else None

    def _read_range(self, path: str, start: int, end: int) -> bytes:
        from fsspec import AbstractFileSystem

        if self.fs.async_impl and not self._speaks("ssh", "sftp"):
            data = cast(bytes, self.fs.cat_file(path, start=start, end=end))
            # A web server that knows no ranges sends all of the file.
            return data[start:end] if len(data) > end - start else data
        # sshfs' own method gives all of a file, whatever is asked for.
        return cast(bytes, AbstractFileSystem.cat_file(self.fs, path, start=start, end=end, cache_type="none"))

    def read_version(self, name: str) -> tuple[bytes | None, str]:
        """Return the bytes and the version, for :meth:`replace`, of a file that is never empty.

        None and :data:`ABSENT` are returned if it is not there.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            # What is read may be newer than the version, never older: then replacing it fails, which is right.
            etag = self._etag(name) if self._speaks("s3") else None
            data = self.read(name, not_empty=True)
        except NotFoundError:
            return None, ABSENT
        return data, etag or hashlib.sha256(data).hexdigest()

    def _etag(self, name: str) -> str:
        with self._reading(name):
            return cast(str, retried(lambda: self.fs.info(self._remote(name), refresh=True))["ETag"])

    def size(self, name: str) -> int:
        """Return the size of a file; a local one must be a regular file.

        Raises:
            NotFoundError: there is no such file.
            StorageError: it cannot be read.
        """
        with self._reading(name):
            if self.path is not None:
                return regular_size(self.path / name)
            return cast(int, retried(lambda: self.fs.size(self._remote(name))))

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name.

        Raises:
            StorageError: the place cannot be read.
        """
        return self.digest(name, sized_only=True) is not None

    def digest(
        self, name: str, *, sized_only: bool = False, size: int | None = None
    ) -> tuple[int, bytes | None] | None:
        """Return a file's size and SHA-256 (None if only the size is asked for), or None if there is no such file.

        Args:
            name: of the file.
            sized_only: whether the SHA-256 is not asked for.
            size: the size that is expected; a local file of another size is not read, and has no SHA-256.

        Returns:
            Size and SHA-256. A folder, FIFO or device has the size -1 and no SHA-256.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            with self._reading(name):
                if self.path is None:
                    return retried(lambda: self._remote_digest(self._remote(name), sized_only, size))
                if sized_only:
                    return os.stat(self.path / name).st_size, None
                if not is_regular(self.path / name):
                    return -1, None
                with open_regular(self.path / name) as descriptor, open(descriptor, "rb", closefd=False) as file:
                    length = os.fstat(descriptor).st_size
                    if size not in (None, length):
                        return length, None
                    found = hashlib.file_digest(file, "sha256").digest()
                    return file.tell(), found
        except NotFoundError:
            return None

    def _remote_digest(self, path: str, sized_only: bool, most: int | None) -> tuple[int, bytes | None]:
        self.fs.invalidate_cache()
        if sized_only:
            return self.fs.size(path), None
        found, size = hashlib.sha256(), 0
        with self.fs.open(path, "rb") as file:
            while block := file.read(_BLOCK):
                found.update(block)
                size += len(block)
                if most is not None and size > most:  # a server may send without end
                    return size, None
        return size, found.digest()

    def _get(self, path: str, target: Path, most: int | None) -> None:
        from fsspec.callbacks import Callback

        class Bounded(Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                super().relative_update(inc)
                if most is None and self.value > bounded_reads.MAX_WHOLE:  # a server may send without end
                    raise bounded_reads.TooMuchError(bounded_reads.MAX_WHOLE)
                if most is not None and self.value > most:
                    raise OSError(f"it has more than the {most:,} bytes that the manifest names")

        self.fs.get_file(path, str(target), callback=Bounded())

    def fetch(self, name: str, target: Path, most: int | None = None) -> None:
        """Copy a file of the place to a local file.

        Args:
            name: of the file.
            target: the local file.
            most: expected bytes, :data:`registry.storage.bounded_reads.MAX_WHOLE`. More from a remote file is
                an error.

        Raises:
            NotFoundError: there is no such file.
            StorageError: it cannot be read, or the local file cannot be written.
        """
        with self._reading(name):
            try:
                if self.path is not None:
                    shutil.copyfile(self.path / name, target)
                else:
                    retried(lambda: self._get(self._remote(name), target, most))
            except OSError as error:
                # A full disk is never that of the place which is read.
                if error.errno in _FULL or error.filename in (target, str(target)):
                    raise StorageError(f"Cannot write {target}: {reason(error)}") from error
                raise

    def write(self, name: str, data: bytes) -> None:
        """Write a file so that a reader sees the old bytes or the new ones, never a part.

        Raises:
            StorageError: it cannot be written; the old file is as it was.
        """
        with self._writing(name):
            if self.path is None:
                self._write_remote(name, lambda path: self.fs.pipe_file(path, data))
                return
            write_file(path_inside(self.path, name), data)

    def replace(self, name: str, data: bytes, version: str) -> None:
        """Write a file if it is still the one of which :meth:`read_version` gave this version.

        On S3 the store itself sees to that. Elsewhere it is looked at right before: a local place is to be held
        (:meth:`lock`), and on others nothing keeps two writers apart who come in the same moment.

        Raises:
            ConflictError: it is another one by now.
            StorageError: it cannot be written.
        """
        if not self._speaks("s3"):
            if self.read_version(name)[1] != version:
                raise self._conflict(name)
            self.write(name, data)
            return
        condition: dict[str, str] = {"mode": "create"} if version == ABSENT else {"IfMatch": version}
        try:
            with self._writing(name):
                retried(lambda: self.fs.pipe_file(self._remote(name), data, **condition))
        except StorageError as error:
            cause = error.__cause__
            assert isinstance(cause, OSError)
            is_gone = isinstance(cause, FileNotFoundError) and version != ABSENT  # some say so instead of refusing
            if not is_gone and not is_conflict(cause):
                raise
            # The store may have taken it and the answer was lost: then it refused only our second attempt.
            if self.read_version(name)[0] != data:
                raise self._conflict(name) from cause

    def _conflict(self, name: str) -> ConflictError:
        return ConflictError(
            f"Somebody else changed {self.url}/{name} in the meantime: it is theirs, and nothing of this was written "
            "to it. Look at what is there now, and run this again if it is still wanted."
        )

    def put(self, local: Path, name: str, *, keep: bool = False) -> None:
        """Move a finished local file to ``name``; the local file is gone afterwards unless it is to be kept.

        Raises:
            StorageError: it cannot be written.
        """
        with self._writing(name, local):
            if self.path is None:
                self._write_remote(name, lambda path: self.fs.put_file(str(local), path))
                if not keep:
                    local.unlink()
                return
            if keep:
                copy_file(local, path_inside(self.path, name))
            else:
                move_file(local, path_inside(self.path, name))

    def _write_remote(self, name: str, write: Callable[[str], Any]) -> None:
        """Write a remote file; one that would be seen while it grows gets its name at the end."""
        path = self._remote(name)
        if self._speaks(*_OBJECT_STORES):
            retried(lambda: write(path))
            return
        folder, _, base = path.rpartition("/")
        partial = f"{folder}/.{base}.{os.urandom(4).hex()}.partial"
        retried(lambda: self.make_remote_folder(name.rpartition("/")[0]))
        try:
            retried(lambda: write(partial))
            retried(lambda: self._rename(partial, path))
        except OSError:
            with suppress(OSError), remote_errors():
                self.fs.rm_file(partial)
            raise

    def _rename(self, old: str, new: str) -> None:
        if self._speaks("webdav"):  # its mv() copies and removes
            self.fs.client.move(old, new, overwrite=True)
        else:
            self.fs.mv(old, new)

    def list(self, name: str) -> list[str]:
        """Return the relative paths of all files below ``name``, sorted; none if it does not exist."""
        return sorted(self.sizes(name))

    def sizes(self, name: str) -> dict[str, int]:
        """Return the relative paths of all files below ``name`` with their sizes; none if it does not exist.

        Web servers may show no folders; then there is nothing either.

        Raises:
            StorageError: the place cannot be listed.
        """
        if self.path is not None:
            return self._local_sizes(self.path / name)
        try:
            self.fs.invalidate_cache()
            entries = retried(lambda: self.fs.find(self._remote(name).rstrip("/"), detail=True))
        except FileNotFoundError:
            return {}
        except OSError as error:
            if self._speaks("http", "https") and not isinstance(error, NoAnswerError):
                return {}
            raise StorageError(f"Cannot list {self.url}/{name}: {reason(error)}") from error
        root = self.root.rstrip("/")
        if self._speaks("http", "https"):  # its names are those of links
            root, entries = unquote(root), {unquote(path): entry for path, entry in entries.items()}
        skip = len(root) + 1
        # Of a page that cannot be read, fsspec says that it is a file.
        return {path[skip:]: entry["size"] for path, entry in entries.items() if path.rstrip("/") != root}

    def _local_sizes(self, top: Path) -> dict[str, int]:
        assert self.path is not None
        sizes: dict[str, int] = {}

        def refuse(error: OSError) -> None:
            if not isinstance(error, FileNotFoundError | NotADirectoryError):  # another writer may remove folders
                raise StorageError(f"Cannot list {error.filename}: {reason(error)}") from error

        for folder, _, files in os.walk(top, onerror=refuse):
            for file in files:
                path = Path(folder, file)
                with suppress(FileNotFoundError):
                    sizes[path.relative_to(self.path).as_posix()] = path.lstat().st_size
        return sizes

    def remove(self, name: str) -> None:
        """Remove a file, and local folders that it leaves empty; nothing happens if it is gone already.

        Raises:
            StorageError: it cannot be removed.
        """
        if self.path is None:
            try:
                retried(lambda: self.fs.rm_file(self._remote(name)))
            except FileNotFoundError:
                pass
            except OSError as error:
                raise StorageError(f"Cannot remove {self.url}/{name}: {reason(error)}") from error
            return
        try:
            target = path_inside(self.path, name)
            target.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"Cannot remove {self.url}/{name}: {reason(error)}") from error
        for folder in target.parents:
            if folder == self.path:
                return
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:
                return  # it is not empty

    def make_remote_folder(self, name: str) -> None:
        """Make a folder of a remote place that has folders; object stores, which have none, would make a bucket."""
        if not self._speaks(*_OBJECT_STORES):
            self.fs.makedirs(self._remote(name).rstrip("/"), exist_ok=True)

    def make_folder(self, name: str) -> None:
        """Make a folder if it is not there; object stores have none."""
        if self.path is not None:
            with self._writing(name):
                make_folders(path_inside(self.path, f"{name}/"))

    def check_links(self, name: str) -> None:
        """Refuse links among the local folders of a table: nothing behind them is of this place.

        Args:
            name: the folder of the table.

        Raises:
            StorageError: it is a link, or a folder of a partition below it is.
        """
        if self.path is None:
            return
        with self._writing(name):
            check_no_link(self.path / name)
            for parent, folders, _ in os.walk(self.path / name):
                folders[:] = [folder for folder in folders if "=" in folder]
                for folder in folders:
                    check_no_link(Path(parent, folder))

    def _remote(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _speaks(self, *protocols: str) -> bool:
        if self.path is not None:
            return False
        own = [self.fs.protocol] if isinstance(self.fs.protocol, str) else self.fs.protocol
        return not set(protocols).isdisjoint(own)

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        """Turn the errors of a read into those of this package."""
        try:
            try:
                yield
            except FileNotFoundError:
                self._check_cached(name)
                raise
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"{self.url}/{name} does not exist.") from error
        except OSError as error:
            raise StorageError(f"Cannot read {self.url}/{name}: {reason(error)}") from error

    def _check_cached(self, name: str) -> None:
        """Raise the error of the file system behind a cache (``simplecache::``), which says only that no file exists.

        Raises:
            OSError: the file system behind the cache fails, or has no such file.
        """
        cached = getattr(self.fs, "fs", None) if self.path is None and "::" in self.url else None
        if cached is not None:
            retried(lambda: cached.info(self._remote(name)))

    @contextmanager
    def _writing(self, name: str, local: Path | None = None) -> Iterator[None]:
        """Turn the errors of a write into those of this package; those of the local file that is sent name that."""
        try:
            yield
        except OSError as error:
            if local is not None and error.filename in (local, str(local)):
                raise StorageError(f"Cannot read {local}: {reason(error)}") from error
            raise StorageError(f"Cannot write {self.url}/{name}: {reason(error)}") from error

    def lock(self, *, wait: bool = True) -> AbstractContextManager[None]:
        """Hold a local place for writing; remote ones cannot be held. The lock goes with the process that holds it.

        Args:
            wait: for another writer that holds it.

        Raises:
            ConflictError: another writer holds it, and is not waited for.
            StorageError: the place cannot be written to.
        """
        return nullcontext() if self.path is None else locked(self.path, self.url, wait=wait)
