"""Places, local or remote, behind one small interface; the only module that uses fsspec.

Local folders go through the operating system directly (atomic renames, locks); everything else through fsspec.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from registry.errors import MissingDependencyError, NotFoundError, RegistryError, StorageError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

#: Protocol -> the extra of this package that brings it.
_EXTRAS = {
    "s3": "s3",
    "s3a": "s3",
    "gs": "gs",
    "gcs": "gs",
    "abfs": "azure",
    "az": "azure",
    "sftp": "ssh",
    "ssh": "ssh",
}

#: Protocols of stores that know names of files alone.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl"}

StorageOptions = Mapping[str, Any]


def local_path(url: str) -> Path | None:
    """Return the local path of a URL or path, or None if it is remote."""
    if url.startswith("file://"):
        return Path(url[len("file://") :]).absolute()
    if "://" in url or "::" in url:
        return None
    return Path(url).expanduser().absolute()


def filesystem(url: str, options: StorageOptions | None = None) -> tuple[AbstractFileSystem, str]:
    """Return the fsspec file system of a URL and the path in it.

    Raises:
        MissingDependencyError: the protocol needs an extra that is not installed.
        StorageError: the protocol is unknown.
    """
    import fsspec

    protocol = url.partition("://")[0]
    try:
        found: tuple[AbstractFileSystem, str] = fsspec.core.url_to_fs(url, **(options or {}))
    except ImportError as error:
        extra = _EXTRAS.get(protocol)
        install = f"pip install 'deepfashion2-registry[{extra}]'" if extra else str(error)
        raise MissingDependencyError(f"{protocol}:// needs a package that is not installed: {install}") from error
    except ValueError as error:
        raise StorageError(f"Cannot use {url}: {error}") from error
    return found


@contextmanager
def remote_errors() -> Iterator[None]:
    """Turn what the libraries of remote stores raise inside the block into OSError; they have no common base."""
    try:
        yield
    except (OSError, RegistryError):
        raise
    except Exception as error:
        raise OSError(f"{type(error).__name__}: {error}") from error


def open_binary(url: str, options: StorageOptions | None = None) -> BinaryIO:
    """Open a local or remote file for reading.

    Raises:
        OSError: it cannot be opened.
    """
    path = local_path(url)
    if path is not None:
        return open(path, "rb")
    fs, inner = filesystem(url, options)
    with remote_errors():
        return cast(BinaryIO, fs.open(inner, "rb"))


class Place:
    """A folder, local or remote, with files named by relative paths (``items/split=train/...``).

    Args:
        url: path or fsspec URL.
        storage_options: passed to fsspec for a remote one.
    """

    def __init__(self, url: str, storage_options: StorageOptions | None = None) -> None:
        self.url = url.rstrip("/") or "/"
        self.path = local_path(self.url)
        if self.path is None:
            self.fs, self.root = filesystem(self.url, storage_options)

    def __str__(self) -> str:
        return self.url

    @property
    def is_local(self) -> bool:
        """Whether the place is a local folder."""
        return self.path is not None

    @property
    def absolute_url(self) -> str:
        """The absolute local path, or the URL."""
        return str(self.path) if self.path is not None else self.fs.unstrip_protocol(self.root).rstrip("/")

    def read(self, name: str) -> bytes:
        """Return a file's bytes.

        Raises:
            NotFoundError: there is no such file.
            StorageError: it cannot be read.
        """
        try:
            if self.path is not None:
                return (self.path / name).read_bytes()
            with remote_errors():
                return cast(bytes, self.fs.cat_file(f"{self.root}/{name}"))
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotFoundError(f"{self.url}/{name} does not exist.") from error
        except OSError as error:
            raise StorageError(f"Cannot read {self.url}/{name}: {error.strerror or error}") from error

    def exists(self, name: str) -> bool:
        """Return whether there is a file of this name.

        Raises:
            StorageError: the place cannot be read.
        """
        return self.digest(name, sized_only=True) is not None

    def digest(self, name: str, *, sized_only: bool = False) -> tuple[int, bytes | None] | None:
        """Return a file's size and SHA-256 (None if only the size is asked for), or None if there is no such file.

        Raises:
            StorageError: it cannot be read.
        """
        try:
            if self.path is None:
                with remote_errors():
                    return self._remote_digest(f"{self.root}/{name}", sized_only)
            if sized_only:
                return os.stat(self.path / name).st_size, None
            with open(self.path / name, "rb") as file:
                found = hashlib.file_digest(file, "sha256").digest()
                return file.tell(), found
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise StorageError(f"Cannot read {self.url}/{name}: {error.strerror or error}") from error

    def _remote_digest(self, path: str, sized_only: bool) -> tuple[int, bytes | None]:
        if sized_only:
            return self.fs.size(path), None
        found, size = hashlib.sha256(), 0
        with self.fs.open(path, "rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
                size += len(block)
        return size, found.digest()

    def write(self, name: str, data: bytes) -> None:
        """Write a file so that a reader sees the old bytes or the new ones, never a part.

        Raises:
            StorageError: it cannot be written; the old file is as it was.
        """
        try:
            if self.path is None:
                with remote_errors():
                    self.fs.pipe_file(f"{self.root}/{name}", data)
                return
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            partial = target.with_name(f".{target.name}.partial")
            with open(partial, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except OSError as error:
            raise StorageError(f"Cannot write {self.url}/{name}: {error.strerror or error}") from error

    def put(self, local: Path, name: str) -> None:
        """Move a finished local file to ``name``; the local file is gone afterwards.

        Raises:
            StorageError: it cannot be written.
        """
        try:
            if self.path is None:
                with remote_errors():
                    self.make_remote_folder(name.rpartition("/")[0])
                    self.fs.put_file(str(local), f"{self.root}/{name}")
                local.unlink()
                return
            target = self.path / name
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(local, target)
        except OSError as error:
            raise StorageError(f"Cannot write {self.url}/{name}: {error.strerror or error}") from error

    def list(self, name: str) -> list[str]:
        """Return the relative paths of all files below ``name``, sorted; none if it does not exist."""
        if self.path is not None:
            found = (Path(folder) / file for folder, _, files in os.walk(self.path / name) for file in files)
            return sorted(path.relative_to(self.path).as_posix() for path in found)
        try:
            with remote_errors():
                paths = self.fs.find(f"{self.root}/{name}")
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"Cannot list {self.url}/{name}: {error}") from error
        skip = len(self.root.rstrip("/")) + 1
        return sorted(path[skip:] for path in paths)

    def remove(self, name: str) -> None:
        """Remove a file, and local folders that it leaves empty; nothing happens if it is gone already."""
        if self.path is None:
            try:
                with remote_errors():
                    self.fs.rm_file(f"{self.root}/{name}")
            except FileNotFoundError:
                pass
            except OSError as error:
                raise StorageError(f"Cannot remove {self.url}/{name}: {error}") from error
            return
        target = self.path / name
        target.unlink(missing_ok=True)
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
        protocols = [self.fs.protocol] if isinstance(self.fs.protocol, str) else self.fs.protocol
        if not _OBJECT_STORES & set(protocols):
            self.fs.makedirs(f"{self.root}/{name}".rstrip("/"), exist_ok=True)

    def make_folder(self, name: str) -> None:
        """Make a folder if it is not there; object stores have none."""
        if self.path is not None:
            (self.path / name).mkdir(parents=True, exist_ok=True)

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the place for writing; another local writer waits. The lock goes with the process that holds it."""
        if self.path is None:
            yield
            return
        import fcntl

        lock = self.path / ".lock"
        while True:
            try:
                self.path.mkdir(parents=True, exist_ok=True)
                descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                # Another writer may have removed the folder in between, or made it again just now.
                gone = isinstance(error, FileExistsError) and (self.path.is_dir() or not os.path.lexists(self.path))
                if gone or isinstance(error, FileNotFoundError):
                    continue
                raise StorageError(f"Cannot write to {self.url}: {error.strerror}") from error
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # The one who held it may have removed it; then it locks nothing.
            with suppress(FileNotFoundError):
                if os.stat(lock).st_ino == os.fstat(descriptor).st_ino:
                    break
            os.close(descriptor)
        try:
            yield
        finally:
            with suppress(OSError):  # another writer may come in between, or the folder be gone
                if os.listdir(self.path) == [lock.name]:  # nothing came of it
                    lock.unlink()
                    self.path.rmdir()
            os.close(descriptor)


def sha256(path: Path) -> str:
    """Return the SHA-256 of a local file as hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
