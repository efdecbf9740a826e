"""An archive or a retrieval list opened for reading: a local file, or a remote one with retries."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from typing import Any, BinaryIO, TypeVar, cast

from registry.errors import SourceError, UnreadableSourceError
from registry.sources.faults import OPEN_FLAGS, Fault, cannot_read, kind_of_file, shown_name, too_large
from registry.storage.filesystems import StorageOptions, filesystem, local_path, retried

_Result = TypeVar("_Result")


def open_file(url: str, options: StorageOptions | None = None) -> BinaryIO:
    """Open an archive or a list, local or remote, for reading. Reads of a remote file are retried.

    Raises:
        FileNotFoundError: the file does not exist.
        SourceError: it is not a regular file or cannot be opened; a read fails after all retries.
    """
    path = local_path(url)
    if path is None:
        return cast(BinaryIO, _RemoteFile(url, options))
    try:
        descriptor = os.open(path, OPEN_FLAGS)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
    except FileNotFoundError:
        raise
    except ValueError as error:  # a path with a zero byte
        raise SourceError(f"Cannot read {shown_name(url)}: {error}") from error
    except OSError as error:
        if error.errno != errno.ENXIO:  # raised for a socket
            raise cannot_read(shown_name(url), error) from error
        mode = os.stat(path).st_mode
    raise SourceError(f"Cannot read {url}: expected a regular file, found {kind_of_file(mode, 'no file')}.")


def read_file(url: str, max_bytes: int, options: StorageOptions | None = None) -> bytes | Fault:
    """Return all bytes of a local or remote file, or a fault if it has more than ``max_bytes``.

    Raises:
        FileNotFoundError: the file does not exist.
        SourceError: it cannot be read.
    """
    with open_file(url, options) as file:
        try:
            data = file.read(max_bytes + 1)
        except OSError as error:
            raise cannot_read(url, error) from error
    return data if len(data) <= max_bytes else too_large(None, max_bytes)


class _RemoteFile:
    """A binary file for reading that is opened anew after a failed read.

    Args:
        url: fsspec URL.
        options: passed to fsspec.

    Raises:
        FileNotFoundError: the file does not exist.
        SourceError: it cannot be opened after all retries; reads raise it too.
    """

    def __init__(self, url: str, options: StorageOptions | None) -> None:
        self._url = url
        self._fs, self._path = filesystem(url, options)
        self._position = 0
        self._file: Any = None
        self._retry(self._opened)
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes, or fewer at the end of the file; all remaining bytes for -1."""

        def attempt() -> bytes:
            file = self._opened()
            file.seek(self._position)
            data: bytes = file.read(size)
            end = getattr(file, "size", None)
            if end is not None and len(data) < (end - self._position if size < 0 else min(size, end - self._position)):
                raise OSError(f"the server gave {len(data):,} bytes where there are more")
            return data

        data = self._retry(attempt)
        self._position += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer, as gzip does; return the number of bytes read."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Set the position of the next read and return it."""
        if whence == 2:
            size = getattr(self._opened(), "size", None)
            if size is None:
                raise UnreadableSourceError(self._without_ranges)
            offset += cast(int, size)
        elif whence == 1:
            offset += self._position
        if offset < 0:
            raise ValueError(f"negative seek position {offset}")
        self._position = offset
        return offset

    def tell(self) -> int:
        """Return the position of the next read."""
        return self._position

    def seekable(self) -> bool:
        """Return True."""
        return True

    def readable(self) -> bool:
        """Return True."""
        return True

    def writable(self) -> bool:
        """Return False."""
        return False

    def flush(self) -> None:
        """Do nothing; nothing is written."""

    def close(self) -> None:
        """Close the file."""
        self.closed = True
        self._close_file()

    def __enter__(self) -> _RemoteFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def _without_ranges(self) -> str:
        return (
            f"Cannot read {self._url}: the server answers no HTTP ranges, and an archive is read in parts. "
            "Download it first, and name the local file; or use a server that answers ranges."
        )

    def _opened(self) -> Any:
        if self._file is None:
            self._file = self._fs.open(self._path, "rb")
        return self._file

    def _close_file(self) -> None:
        file, self._file = self._file, None
        with suppress(Exception):  # a file that failed may fail to close as well
            if file is not None:
                file.close()

    def _retry(self, attempt: Callable[[], _Result]) -> _Result:
        def attempt_or_close() -> _Result:
            try:
                return attempt()
            except BaseException:
                self._close_file()
                raise

        try:
            return retried(attempt_or_close)
        except FileNotFoundError:
            raise
        except OSError as error:
            if "range requests" in str(error) or "seek streaming" in str(error):  # fsspec has no class for it
                raise UnreadableSourceError(self._without_ranges) from error
            raise cannot_read(self._url, error) from error
