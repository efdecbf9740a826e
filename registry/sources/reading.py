"""Files of a source, opened so that only regular files are read, and never more of them than a bound.

An error of the place (no permission, a damaged disk, a server that fails) is a SourceError: it ends the ingestion and
changes nothing. Only a fault of the data itself (a link out of the source, a folder in the place of a file, too many
bytes) is a :class:`Fault`, which becomes an issue of that file.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from registry.errors import SourceError, UnreadableSourceError
from registry.storage.filesystems import StorageOptions, filesystem, local_path, reason, retried

#: Bytes of an annotation; the largest of the release has 35,590.
MAX_ANNOTATION: Final = 16 << 20
#: Bytes of a retrieval list; the largest of the release has some 6 MB.
MAX_LIST: Final = 64 << 20
#: Bytes of a photo; those of the release have some 60 KB.
MAX_PHOTO: Final = 128 << 20
#: How much of a photo is read first for its header, and at most: colour profiles and previews may stand before it.
PHOTO_START: Final = 16 << 10
MAX_PHOTO_HEADER: Final = 16 << 20

# Opening a FIFO without O_NONBLOCK waits for a writer.
_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_LINK: Final = _FLAGS | getattr(os, "O_NOFOLLOW", 0)
_KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe (FIFO)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
#: Errors of opening that say what kind of file there is, not that the place is broken.
_NOT_A_FILE: Final = (errno.ENXIO, errno.ELOOP)


class Fault(str):
    """What is wrong with one file of a source: the text of an issue."""

    __slots__ = ()


def too_large(size: int | None, most: int) -> Fault:
    """Return the fault of a file with more bytes than are read."""
    found = "more" if size is None else f"{size:,}"
    return Fault(f"expected at most {most:,} bytes, found {found}")


def cannot_read(path: object, error: OSError) -> UnreadableSourceError:
    """Return the error that ends an ingestion whose source cannot be read."""
    return UnreadableSourceError(f"Cannot read {path}: {reason(error)}")


class LocalReader:
    """Reads files of one local folder.

    Args:
        folder: the folder; it may be a link itself.
        roots: folders that links in it may lead into.
        follow_links: whether links may lead anywhere.

    Raises:
        SourceError: the folder cannot be opened.
    """

    def __init__(self, folder: Path, roots: Sequence[Path], *, follow_links: bool = False) -> None:
        self._folder = folder
        self._roots = [Path(os.path.realpath(root)) for root in (folder, *roots)]
        self._follow_links = follow_links
        try:
            self._descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise cannot_read(folder, error) from error

    def __enter__(self) -> LocalReader:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def read(self, name: str, most: int) -> bytes | Fault:
        """Return all bytes of a file, or what is wrong with it.

        Raises:
            SourceError: it cannot be read.
        """
        opened = self._open(name)
        if isinstance(opened, Fault):
            return opened
        descriptor, size = opened
        try:
            if size > most:
                return too_large(size, most)
            data = os.read(descriptor, size + 1)
            if len(data) != size:  # it is being written, or its file system tells no sizes
                data = _read_rest(descriptor, data, most)
            return data if len(data) <= most else too_large(None, most)
        except OSError as error:
            raise cannot_read(self._folder / name, error) from error
        finally:
            os.close(descriptor)

    def read_ends(self, name: str, first: int, last: int = 0) -> tuple[int, bytes, bytes] | Fault:
        """Return the size of a file, its first bytes, and its last bytes as far as they are not among the first.

        Raises:
            SourceError: it cannot be read.
        """
        opened = self._open(name)
        if isinstance(opened, Fault):
            return opened
        descriptor, size = opened
        try:
            begin = os.pread(descriptor, first, 0)
            start = max(first, size - last)
            return size, begin, os.pread(descriptor, size - start, start) if last and size > first else b""
        except OSError as error:
            raise cannot_read(self._folder / name, error) from error
        finally:
            os.close(descriptor)

    def _open(self, name: str) -> tuple[int, int] | Fault:
        """Return the descriptor and size of a regular file, or why there is none."""
        try:
            descriptor = os.open(name, _NO_LINK, dir_fd=self._descriptor)
        except OSError as error:
            if error.errno not in _NOT_A_FILE:
                raise cannot_read(self._folder / name, error) from error
            opened = self._open_other(name)
            if isinstance(opened, Fault):
                return opened
            descriptor = opened
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode):
            return descriptor, status.st_size
        os.close(descriptor)
        return _no_regular_file(status.st_mode)

    def _open_other(self, name: str) -> int | Fault:
        """Return the open file that a link leads to, or what is wrong with what could not be opened without links."""
        path = self._folder / name
        try:
            mode = os.lstat(path).st_mode
            if not stat.S_ISLNK(mode):
                return _no_regular_file(mode)
            target = Path(os.path.realpath(path))
            if not self._follow_links and not any(target.is_relative_to(root) for root in self._roots):
                return Fault(
                    f"is a link that leads out of the source, to {shown_name(str(target))}: expected a file of the "
                    "source; --follow-links reads it"
                )
            try:
                return os.open(target, _NO_LINK)
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.ENOTDIR, *_NOT_A_FILE):
                    return Fault(f"cannot be read: {error.strerror}")
                raise
        except OSError as error:
            raise cannot_read(path, error) from error


def _read_rest(descriptor: int, data: bytes, most: int) -> bytes:
    parts, size = [data], len(data)
    while size <= most and (part := os.read(descriptor, min(1 << 20, most + 1 - size))):
        parts.append(part)
        size += len(part)
    return b"".join(parts)


def _no_regular_file(mode: int) -> Fault:
    if stat.S_ISDIR(mode):
        return Fault("cannot be read: Is a directory")
    return Fault(f"expected a regular file, found {_KINDS.get(stat.S_IFMT(mode), 'something else')}")


def shown_name(name: str) -> str:
    """Return a file name as it can be printed and stored: what is no text in it is escaped."""
    return name if name.isprintable() else name.encode("unicode_escape").decode("ascii")


def open_file(url: str, options: StorageOptions | None = None) -> BinaryIO:
    """Open an archive or a list, local or remote, for reading.

    Reads of a remote one are tried again; what fails for good is a SourceError.

    Raises:
        FileNotFoundError: it is not there.
        SourceError: it is no regular file or cannot be opened.
    """
    path = local_path(url)
    if path is None:
        return cast(BinaryIO, _RemoteFile(url, options))
    try:
        descriptor = os.open(path, _FLAGS)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            return os.fdopen(descriptor, "rb")
        os.close(descriptor)
    except FileNotFoundError:
        raise
    except ValueError as error:  # a path that the system cannot take
        raise SourceError(f"Cannot read {shown_name(url)}: {error}") from error
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise cannot_read(shown_name(url), error) from error
        mode = os.stat(path).st_mode
    raise SourceError(f"Cannot read {url}: expected a regular file, found {_KINDS.get(stat.S_IFMT(mode), 'no file')}.")


def read_file(url: str, most: int, options: StorageOptions | None = None) -> bytes | Fault:
    """Return all bytes of a file, local or remote, or what is wrong with it.

    Raises:
        FileNotFoundError: it is not there.
        SourceError: it cannot be read.
    """
    with open_file(url, options) as file:
        try:
            data = file.read(most + 1)
        except OSError as error:
            raise cannot_read(url, error) from error
    return data if len(data) <= most else too_large(None, most)


class _RemoteFile:
    """A remote file for reading, whose reads are tried again; it is opened anew after one that failed."""

    def __init__(self, url: str, options: StorageOptions | None) -> None:
        self._url = url
        self._fs, self._path = filesystem(url, options)
        self._at = 0
        self._file: Any = None
        self._retried(self._opened)
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Return the next bytes; fewer than asked for at the end alone."""

        def attempt() -> bytes:
            file = self._opened()
            file.seek(self._at)
            data: bytes = file.read(size)
            end = getattr(file, "size", None)
            if end is not None and len(data) < (end - self._at if size < 0 else min(size, end - self._at)):
                raise OSError(f"the server gave {len(data):,} bytes where there are more")
            return data

        data: bytes = self._retried(attempt)
        self._at += len(data)
        return data

    def readinto(self, buffer: Any) -> int:
        """Read into a buffer, as gzip wants it."""
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def seek(self, offset: int, whence: int = 0) -> int:
        """Change the place of the next read."""
        if whence == 2:
            offset += cast(int, self._opened().size)
        elif whence == 1:
            offset += self._at
        if offset < 0:
            raise ValueError(f"negative seek position {offset}")
        self._at = offset
        return offset

    def tell(self) -> int:
        """Return the place of the next read."""
        return self._at

    def seekable(self) -> bool:
        """Return that there are places to go to."""
        return True

    def readable(self) -> bool:
        """Return that it can be read."""
        return True

    def writable(self) -> bool:
        """Return that it cannot be written."""
        return False

    def flush(self) -> None:
        """Do nothing, as nothing is written."""

    def close(self) -> None:
        """Close it."""
        self.closed = True
        self._give_up()

    def __enter__(self) -> _RemoteFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _opened(self) -> Any:
        if self._file is None:
            self._file = self._fs.open(self._path, "rb")
        return self._file

    def _give_up(self) -> None:
        file, self._file = self._file, None
        with suppress(Exception):  # it is closed because it failed, or was read to its end
            if file is not None:
                file.close()

    def _retried(self, attempt: Any) -> Any:
        def anew() -> Any:
            try:
                return attempt()
            except BaseException:
                self._give_up()
                raise

        try:
            return retried(anew)
        except FileNotFoundError:
            raise
        except OSError as error:
            raise cannot_read(self._url, error) from error
