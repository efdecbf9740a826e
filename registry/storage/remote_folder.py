"""A folder in a remote store as a place: reads, writes and lists through fsspec. Raises OSError."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast
from urllib.parse import unquote

from registry.storage import bounded_reads
from registry.storage.filesystems import filesystem, remote_errors, retried
from registry.storage.options import S3, StorageOptions
from registry.storage.s3 import s3_reader
from registry.storage.timeouts import NoAnswerError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

_SSH: Final = ("ssh", "sftp")
_WEB: Final = ("http", "https")
#: Stores without folders, whose files become visible when they are complete.
_OBJECT_STORES: Final = (*S3, "gs", "gcs", "abfs", "abfss", "az", "adl", "memory")
_BLOCK: Final = 1 << 20


class RemoteFolder:
    """The files below a URL, by their paths relative to it.

    Args:
        url: fsspec URL without trailing slashes.
        storage_options: see :func:`registry.storage.filesystems.filesystem`.
    """

    def __init__(self, url: str, storage_options: StorageOptions | None) -> None:
        self._url = url
        self._storage_options = storage_options
        #: Reads S3 until fsspec's file system is needed, which starts slowly. None for other stores.
        self._s3_reader = s3_reader(url, storage_options)
        if self._s3_reader is None:
            _ = self.fs  # reports errors in the URL and the options now

    @cached_property
    def _filesystem(self) -> tuple[AbstractFileSystem, str]:
        self._s3_reader = None
        return filesystem(self._url, self._storage_options)

    @property
    def fs(self) -> AbstractFileSystem:
        """The fsspec file system."""
        return self._filesystem[0]

    @property
    def root(self) -> str:
        """The folder's path in the file system."""
        return self._filesystem[1]

    @property
    def has_conditional_writes(self) -> bool:
        """Whether the store can refuse a write if the file has changed."""
        return self._speaks("s3")

    def read(self, name: str, *, is_empty_possible: bool = True) -> bytes:
        """Return the bytes of a file, at most :data:`registry.storage.bounded_reads.MAX_WHOLE`.

        Args:
            name: path of the file.
            is_empty_possible: False saves a request on S3; then an empty file is an error.
        """
        if (data := self._read_fast(name)) is not None:
            return data
        # start=0 avoids s3fs's HEAD request; it fails on empty files.
        bounds = {"start": 0} if not is_empty_possible and self._speaks("s3") else {}
        if not self.fs.async_impl:  # the responses of async clients are bounded, those of others here
            bounds = {"end": bounded_reads.MAX_WHOLE + 1}
        data = retried(lambda: cast(bytes, self.fs.cat_file(self._path(name), **bounds)))
        if len(data) > bounded_reads.MAX_WHOLE:
            raise bounded_reads.TooMuchError(bounded_reads.MAX_WHOLE)
        return data

    def read_range(self, name: str, start: int, end: int) -> bytes:
        """Return the bytes from ``start`` up to ``end``, in a single request; fewer if the file is shorter."""
        if (data := self._read_fast(name, (start, end))) is not None:
            return data
        return retried(lambda: self._read_range(self._path(name), start, end))

    def _read_fast(self, name: str, bounds: tuple[int, int] | None = None) -> bytes | None:
        """Return bytes read by obstore, or None if fsspec must read them."""
        reader = self._s3_reader  # a local variable: another thread may set it to None
        return reader.read(name, bounds) if reader is not None else None

    def _read_range(self, path: str, start: int, end: int) -> bytes:
        from fsspec import AbstractFileSystem

        if self.fs.async_impl and not self._speaks(*_SSH):
            data = cast(bytes, self.fs.cat_file(path, start=start, end=end))
            # A web server without range requests sends the whole file.
            return data[start:end] if len(data) > end - start else data
        # sshfs's own cat_file() ignores the range.
        return cast(bytes, AbstractFileSystem.cat_file(self.fs, path, start=start, end=end, cache_type="none"))

    def etag(self, name: str) -> str:
        """Return the ETag of a file on S3."""
        return cast(str, retried(lambda: self.fs.info(self._path(name), refresh=True))["ETag"])

    def size(self, name: str) -> int:
        """Return the size of a file."""
        return cast(int, retried(lambda: self.fs.size(self._path(name))))

    def current_size(self, name: str) -> int:
        """Return the size of a file, not from fsspec's listing cache."""

        def call() -> int:
            self.fs.invalidate_cache()
            return cast(int, self.fs.size(self._path(name)))

        return retried(call)

    def digest(self, name: str, size: int | None) -> tuple[int, bytes | None]:
        """Return size and SHA-256 of a file (:meth:`registry.storage.place.Place.digest`)."""
        return retried(lambda: self._digest(self._path(name), size))

    def _digest(self, path: str, most: int | None) -> tuple[int, bytes | None]:
        self.fs.invalidate_cache()
        sha256, size = hashlib.sha256(), 0
        with self.fs.open(path, "rb") as file:
            while block := file.read(_BLOCK):
                sha256.update(block)
                size += len(block)
                if most is not None and size > most:  # a hostile server may send without end
                    return size, None
        return size, sha256.digest()

    def fetch(self, name: str, target: Path, most: int | None) -> None:
        """Copy a file to a local file (:meth:`registry.storage.place.Place.fetch`)."""
        retried(lambda: self._get(self._path(name), target, most))

    def _get(self, path: str, target: Path, most: int | None) -> None:
        from fsspec.callbacks import Callback

        class Bounded(Callback):  # type: ignore[misc]
            def relative_update(self, inc: int = 1) -> None:
                super().relative_update(inc)
                if most is None and self.value > bounded_reads.MAX_WHOLE:
                    raise bounded_reads.TooMuchError(bounded_reads.MAX_WHOLE)
                if most is not None and self.value > most:
                    raise OSError(f"it has more than the {most:,} bytes that the manifest names")

        self.fs.get_file(path, str(target), callback=Bounded())

    def write(self, name: str, data: bytes) -> None:
        """Write a file; readers never see a part of it."""
        self._write(name, lambda path: self.fs.pipe_file(path, data))

    def write_if(self, name: str, data: bytes, etag: str | None) -> None:
        """Write a file on S3 if it still has this ETag, or if it does not exist (None)."""
        condition = {"mode": "create"} if etag is None else {"IfMatch": etag}
        retried(lambda: self.fs.pipe_file(self._path(name), data, **condition))

    def put(self, local: Path, name: str, *, keep: bool) -> None:
        """Upload a local file; remove it afterwards unless ``keep``."""
        self._write(name, lambda path: self.fs.put_file(str(local), path))
        if not keep:
            local.unlink()

    def _write(self, name: str, write: Callable[[str], Any]) -> None:
        """Write a file; outside object stores, under a partial name that is renamed at the end."""
        path = self._path(name)
        if self._speaks(*_OBJECT_STORES):
            retried(lambda: write(path))
            return
        folder, _, base = path.rpartition("/")
        partial = f"{folder}/.{base}.{os.urandom(4).hex()}.partial"
        retried(lambda: self.make_folder(name.rpartition("/")[0]))
        try:
            retried(lambda: write(partial))
            retried(lambda: self._rename(partial, path))
        except OSError:
            with suppress(OSError), remote_errors():
                self.fs.rm_file(partial)
            raise

    def _rename(self, old: str, new: str) -> None:
        if self._speaks("webdav"):  # webdav4's mv() copies and removes
            self.fs.client.move(old, new, overwrite=True)
        else:
            self.fs.mv(old, new)

    def sizes(self, name: str) -> dict[str, int]:
        """Return the sizes of all files below ``name``, by relative path; nothing if a web server lists no folders."""
        is_web = self._speaks(*_WEB)
        try:
            self.fs.invalidate_cache()
            listed = retried(lambda: self.fs.find(self._path(name).rstrip("/"), detail=True))
        except FileNotFoundError:
            return {}
        except OSError as error:
            if is_web and not isinstance(error, NoAnswerError):
                return {}
            raise
        root = self.root.rstrip("/")
        if is_web:  # its names are links, percent-encoded
            root, listed = unquote(root), {unquote(path): entry for path, entry in listed.items()}
        # fsspec lists a web page that it cannot parse as a file at the root.
        return {path[len(root) + 1 :]: entry["size"] for path, entry in listed.items() if path.rstrip("/") != root}

    def remove(self, name: str) -> None:
        """Remove a file, if it exists."""
        with suppress(FileNotFoundError):
            retried(lambda: self.fs.rm_file(self._path(name)))

    def make_folder(self, name: str) -> None:
        """Create a folder, except in object stores, where that would create a bucket."""
        if not self._speaks(*_OBJECT_STORES):
            self.fs.makedirs(self._path(name).rstrip("/"), exist_ok=True)

    def check_cached(self, name: str) -> None:
        """Raise the error of the store behind a cache (``simplecache::``), which reports only a missing file.

        Raises:
            OSError: the store behind the cache fails, or has no such file.
        """
        cached = getattr(self.fs, "fs", None) if "::" in self._url else None
        if cached is not None:
            retried(lambda: cached.info(self._path(name)))

    def _path(self, name: str) -> str:
        return f"{self.root}/{name}"

    def _speaks(self, *protocols: str) -> bool:
        """Return whether the file system has any of these protocols."""
        names = [self.fs.protocol] if isinstance(self.fs.protocol, str) else self.fs.protocol
        return not set(protocols).isdisjoint(names)
