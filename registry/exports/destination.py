"""Where the files of an export go: beside the destination until all are there, then to their place at once."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from registry.errors import SourceError, StorageError, UsageError
from registry.storage.filesystems import reason, remote_errors, retried
from registry.storage.place import Place
from registry.storage.replacement import Replacement, entries, real_folder, recover, replacement

MANIFEST_NAME: Final = "export.json"
#: Files that are written in one go: at a remote store at the same time.
_BATCH_FILES: Final = 256
_BATCH_BYTES: Final = 8 << 20
#: Calls that may wait for their turn: how much is in memory besides what is being made.
_MOST_WAITING: Final = 4


class Written(NamedTuple):
    """One file of an export.

    Attributes:
        path: below the destination.
        size: bytes.
        sha256: digest, 32 bytes; None for a link, whose content is not of the export.
    """

    path: str
    size: int
    sha256: bytes | None


def batches(
    files: Iterable[tuple[str, bytes | memoryview]],
) -> Iterator[list[tuple[str, bytes | memoryview]]]:
    """Yield files in batches of bounded number and size."""
    batch: list[tuple[str, bytes | memoryview]] = []
    size = 0
    for path, data in files:
        batch.append((path, data))
        size += len(data)
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Files(Protocol):
    """Takes the files of an export, by their paths below the destination, each once."""

    written: list[Written]

    def open(self, path: str) -> Any:
        """Return a context manager that yields a binary file to write to, which is hashed on its way."""

    def write(self, path: str, data: bytes) -> None:
        """Write one file."""

    def write_all(self, files: Iterable[tuple[str, bytes | memoryview]]) -> None:
        """Write many files; the faster way for thousands of small ones."""

    def link(self, path: str, target: Path) -> None:
        """Make a link to a local file, relative to where the link will lie."""

    def wait(self) -> None:
        """Wait until all that was given is written."""


class _Behind:
    """Runs calls one after another in a thread, while what comes next is made; what one raises comes with a later call.

    Writing and hashing leave the interpreter free, so they cost no time where there is a second processor.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def run(self, call: Callable[..., None], *args: Any) -> None:
        """Run a call in its turn; waits while too many are before it."""
        self._waiting.append(self._thread.submit(call, *args))
        while len(self._waiting) > _MOST_WAITING:
            self._waiting.popleft().result()

    def wait(self) -> None:
        """Wait until all calls are done."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Give up the calls that have not begun."""
        self._thread.shutdown(cancel_futures=True)


class _Hashed(io.RawIOBase):
    """A file that counts and hashes what is written to it."""

    def __init__(self, file: BinaryIO, behind: _Behind, writing: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._behind = behind
        self._writing = writing
        self.digest = hashlib.sha256()
        self.size = 0
        self.given_up = False  # what is still in buffers above is not wanted then

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.given_up:
            return len(data)
        kept = data if isinstance(data, bytes) else bytes(data)  # whoever lent it may use it again
        self.size += len(kept)
        self._behind.run(self._write, kept)
        return len(kept)

    def _write(self, data: bytes) -> None:
        self.digest.update(data)
        rest: bytes | memoryview = data
        with self._writing(), remote_errors():
            while rest:
                size = self._file.write(rest)
                if size is None or size >= len(rest):
                    break
                rest = memoryview(rest)[size:]  # the disk may be full: the next attempt tells

    def tell(self) -> int:
        return self.size


class _Sink:
    """What both kinds of destination do alike: they write behind, hash on the way and remember what was written."""

    def __init__(self) -> None:
        self.written: list[Written] = []
        self._behind = _Behind()

    @contextmanager
    def open(self, path: str) -> Iterator[Any]:
        """Yield a binary file to write to, which is hashed on its way."""
        with self._open_raw(path) as file:
            hashed = _Hashed(file, self._behind, lambda: self._writing(path))
            buffered = io.BufferedWriter(hashed, 1 << 18)
            try:
                yield buffered
                buffered.flush()
                self._behind.wait()
            except BaseException:
                hashed.given_up = True
                raise
        self.written.append(Written(path, hashed.size, hashed.digest.digest()))

    def write(self, path: str, data: bytes) -> None:
        """Write one file."""
        self.write_all([(path, data)])

    def write_all(self, files: Iterable[tuple[str, bytes | memoryview]]) -> None:
        """Write many files."""
        for batch in batches(files):
            self._behind.run(self._write_batch, batch)

    def wait(self) -> None:
        """Wait until all that was given is written."""
        self._behind.wait()

    def _open_raw(self, path: str) -> AbstractContextManager[Any]:
        raise NotImplementedError

    def _writing(self, path: str) -> AbstractContextManager[None]:
        raise NotImplementedError

    def _write_batch(self, batch: list[tuple[str, bytes | memoryview]]) -> None:
        raise NotImplementedError


class LocalFiles(_Sink):
    """Files of an export to a local folder, which take its place when all are there.

    Args:
        folder: a real path; made if it is not there.
        check: called with the paths in the folder where it is not empty; raises if they may not be replaced.
    """

    def __init__(self, folder: Path, check: Callable[[list[str]], object] | None = None) -> None:
        super().__init__()
        self.folder = folder
        self._check = check
        self._folders: set[str] = set()
        self._replacement: Replacement | None = None

    @contextmanager
    def _open_raw(self, path: str) -> Iterator[Any]:
        with self._writing(path):
            file = open(self._place(path), "xb", buffering=0)  # noqa: SIM115
        with file:
            yield file

    def _write_batch(self, batch: list[tuple[str, bytes | memoryview]]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        for path, data in batch:
            with self._writing(path):
                descriptor = os.open(self._place(path), flags, 0o666)
                try:
                    size = os.write(descriptor, data)
                    while size < len(data):
                        size += os.write(descriptor, data[size:])
                finally:
                    os.close(descriptor)
            self.written.append(Written(path, len(data), hashlib.sha256(data).digest()))

    def link(self, path: str, target: Path) -> None:
        """Make a link to a local file, relative to where the link will lie.

        Raises:
            SourceError: it is no file.
        """
        try:
            mode, size = (status := target.stat()).st_mode, status.st_size
        except OSError as error:
            raise SourceError(f"Cannot read {target}: {error.strerror}") from error
        if not stat.S_ISREG(mode):
            raise SourceError(f"Cannot link to {target}: expected a file, found a folder, device or pipe.")
        # A relative link begins at the real folder of the link, whatever links lead there.
        folder = os.path.realpath((self.folder / path).parent)
        with self._writing(path):
            os.symlink(os.path.relpath(os.path.realpath(target.parent), folder) + f"/{target.name}", self._place(path))
        self.written.append(Written(path, size, None))

    def _place(self, path: str) -> str:
        assert self._replacement is not None
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            (self._replacement.unfinished / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        return f"{self._replacement.unfinished}/{path}"

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"Cannot write {self.folder}/{path}: {reason(error)}. Nothing was changed there."
            ) from error

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the destination for writing; without :meth:`finish`, nothing is left of what was written.

        Raises:
            StorageError: it cannot be written, or another export writes to it at this moment.
            UsageError: it holds what may not be replaced.
        """
        try:
            with replacement(self.folder, MANIFEST_NAME) as self._replacement:
                self.check_content()
                try:
                    yield
                finally:
                    self._behind.close()
        except OSError as error:
            raise self._cannot_write(error) from error

    def finish(self, manifest: bytes) -> None:
        """Add the manifest and exchange the destination for what was written, when it is on the disk."""
        with self._writing(MANIFEST_NAME), open(self._place(MANIFEST_NAME), "xb") as file:
            file.write(manifest)
        assert self._replacement is not None
        self.check_content()  # something may have been put there meanwhile
        self._replacement.commit([*(file.path for file in self.written), MANIFEST_NAME])

    def recover(self) -> None:
        """Finish or undo the replacement that a killed process left half done at the destination.

        Raises:
            StorageError: it cannot be done, or another export writes there at this moment.
        """
        try:
            recover(self.folder)
        except OSError as error:
            raise self._cannot_write(error) from error

    def check_content(self) -> None:
        """Raise if something is at the destination that may not be replaced."""
        if self._check and self.folder.is_dir() and (paths := _content(self.folder)):
            self._check(paths)

    def _cannot_write(self, error: OSError) -> StorageError:
        path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes | Path) else self.folder
        staging = self._replacement.unfinished.parent if self._replacement else self.folder
        if path == self.folder or {self.folder, staging, self.folder.parent} & {path, *path.parents}:
            what = f"Cannot write {self.folder}"
        else:
            what = f"Cannot export to {self.folder}: {path}"
        return StorageError(f"{what}: {reason(error)}. Nothing was changed there.")


class RemoteFiles(_Sink):
    """Files of an export to an fsspec URL: the manifest is written last, and without it there is no export.

    Args:
        place: the destination.
        check: called with the paths there where it is not empty; returns those that are replaced, or raises.
    """

    def __init__(self, place: Place, check: Callable[[list[str]], Iterable[str]] | None = None) -> None:
        super().__init__()
        self.place = place
        self._check = check

    @contextmanager
    def _open_raw(self, path: str) -> Iterator[Any]:
        with self._writing(path), remote_errors():
            self.place.make_remote_folder(path.rpartition("/")[0])
            file = self.place.fs.open(f"{self.place.root}/{path}", "wb")
        try:
            yield file
        except BaseException:
            with suppress(Exception):  # what went wrong before is what is to be told
                file.discard()
            raise
        with self._writing(path), remote_errors():
            file.close()

    def _write_batch(self, batch: list[tuple[str, bytes | memoryview]]) -> None:
        whole = {path: bytes(data) for path, data in batch}
        with self._writing(next(iter(whole))):
            for folder in {path.rpartition("/")[0] for path in whole}:
                retried(partial(self.place.make_remote_folder, folder))
            retried(lambda: self.place.fs.pipe({f"{self.place.root}/{path}": data for path, data in whole.items()}))
        for path, data in whole.items():
            self.written.append(Written(path, len(data), hashlib.sha256(data).digest()))

    def link(self, path: str, target: Path) -> None:
        """Raise: there are no links on a remote store."""
        raise UsageError(f"Photos cannot be linked at {self.place}: use --images copy or reference.")

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"Cannot write {self.place}/{path}: {reason(error)}. It holds no export.") from error

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Take away the export that was there before, its manifest first; what is not finished is taken away too.

        Raises:
            StorageError: it cannot be written; it holds no export then.
            UsageError: it holds what may not be replaced.
        """
        paths = self.place.list("")
        replaced = set(self._check(paths)) if self._check and paths else set()
        for path in sorted(replaced.intersection(paths), key=lambda path: (path != MANIFEST_NAME, path)):
            self.place.remove(path)
        try:
            yield
        except BaseException as error:
            self._behind.close()
            for file in self.written:
                with suppress(StorageError):
                    self.place.remove(file.path)
            if isinstance(error, OSError):
                name = f": {error.filename}" if error.filename else ""
                raise StorageError(f"Cannot export to {self.place}{name}: {reason(error)}. It holds no export.") from (
                    error
                )
            raise
        self._behind.close()

    def finish(self, manifest: bytes) -> None:
        """Write the manifest: now it is an export."""
        self.place.write(MANIFEST_NAME, manifest)


def _content(folder: Path) -> list[str]:
    """Return the paths below a folder of all files, of links and of folders that hold nothing (with ``/`` behind).

    Of a folder that holds no export, only the names at its top are returned.

    Raises:
        OSError: a folder cannot be listed.
    """
    top = entries(folder)
    if MANIFEST_NAME not in top:
        return top
    paths: list[str] = []
    for parent, folders, files in os.walk(folder, onerror=_raise):
        below = "" if Path(parent) == folder else f"{Path(parent).relative_to(folder).as_posix()}/"
        if not below:
            folders[:] = [name for name in folders if name in top]
        paths += [below + name for name in files]
        paths += [below + name for name in folders if os.path.islink(os.path.join(parent, name))]
        if below and not folders and not files:
            paths.append(below)
    return sorted(paths)


def _raise(error: OSError) -> None:
    raise error


def open_destination(
    url: str, options: Any, check: Callable[[Place, list[str]], Iterable[str]]
) -> LocalFiles | RemoteFiles:
    """Return what takes the files of an export.

    Args:
        url: folder or fsspec URL.
        options: passed to fsspec.
        check: called with the place and the files in it where it is not empty; returns those that an export replaces,
            raises what there is to say.

    Raises:
        UsageError: it is not a folder.
        StorageError: it cannot be looked at.
    """
    place = Place(url, options)
    if place.path is None:
        return RemoteFiles(place, partial(check, place))
    files = LocalFiles(real_folder(place.path, url), partial(check, place))
    files.recover()
    files.check_content()
    return files
