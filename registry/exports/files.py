"""Where the files of an export go: beside the destination until all are there, then to their place at once."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, Protocol

from registry.errors import StorageError, UsageError
from registry.filesystems import remote_errors, retried
from registry.storage import Place
from registry.temporary import temporary

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

    def __init__(self, file: BinaryIO, behind: _Behind) -> None:
        self._file = file
        self._behind = behind
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
        with remote_errors():
            self._file.write(data)

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
            hashed = _Hashed(file, self._behind)
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

    def _write_batch(self, batch: list[tuple[str, bytes | memoryview]]) -> None:
        raise NotImplementedError


class LocalFiles(_Sink):
    """Files of an export to a local folder.

    They are written to a hidden folder beside it, which takes its place when all are there; one that was left by an
    export that was killed is cleared by the next.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.staging = folder.with_name(f".{folder.name}.partial")
        self._folders: set[str] = set()

    def _open_raw(self, path: str) -> AbstractContextManager[Any]:
        return open(self._place(path), "xb", buffering=0)

    def _write_batch(self, batch: list[tuple[str, bytes | memoryview]]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
        for path, data in batch:
            descriptor = os.open(self._place(path), flags, 0o666)
            try:
                size = os.write(descriptor, data)
                while size < len(data):
                    size += os.write(descriptor, data[size:])
            finally:
                os.close(descriptor)
            self.written.append(Written(path, len(data), hashlib.sha256(data).digest()))

    def link(self, path: str, target: Path) -> None:
        """Make a link to a local file, relative to where the link will lie."""
        # A relative link begins at the real folder of the link, whatever links lead there.
        folder = os.path.realpath((self.folder / path).parent)
        os.symlink(os.path.relpath(os.path.realpath(target.parent), folder) + f"/{target.name}", self._place(path))
        self.written.append(Written(path, target.stat().st_size, None))

    def _place(self, path: str) -> str:
        folder = path.rpartition("/")[0]
        if folder not in self._folders:
            (self.staging / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        return f"{self.staging}/{path}"

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Hold the destination for writing; without :meth:`finish`, nothing is left of what was written.

        Raises:
            StorageError: it cannot be written, or another export writes to it at this moment.
        """
        try:
            self.staging.parent.mkdir(parents=True, exist_ok=True)
            self.staging.mkdir(exist_ok=True)
            lock = os.open(self.staging, os.O_RDONLY)
        except OSError as error:
            raise StorageError(f"Cannot write {self.folder}: {error.strerror}.") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise StorageError(f"Another export writes to {self.folder} at this moment.") from error
        try:
            for leftover in self.staging.iterdir():  # of an export that was killed
                _remove(leftover)
            with temporary(self.staging):
                yield
        except OSError as error:
            reason = os.strerror(error.errno) if error.errno else error
            raise StorageError(f"Cannot write {self.folder}: {reason}. Nothing was changed there.") from error
        finally:
            self._behind.close()
            shutil.rmtree(self.staging, ignore_errors=True)
            os.close(lock)

    def finish(self, manifest: bytes) -> None:
        """Add the manifest and exchange the destination for what was written."""
        with open(self._place(MANIFEST_NAME), "xb") as file:
            file.write(manifest)
            file.flush()
            os.fsync(file.fileno())
        old = self.folder.with_name(f".{self.folder.name}.old")
        _remove(old)
        with suppress(FileNotFoundError):
            os.rename(self.folder, old)
        try:
            os.rename(self.staging, self.folder)
        except OSError:
            with suppress(FileNotFoundError):
                os.rename(old, self.folder)
            raise
        _remove(old)


class RemoteFiles(_Sink):
    """Files of an export to an fsspec URL: the manifest is written last, and without it there is no export."""

    def __init__(self, place: Place) -> None:
        super().__init__()
        self.place = place

    @contextmanager
    def _open_raw(self, path: str) -> Iterator[Any]:
        with remote_errors():
            self.place.make_remote_folder(path.rpartition("/")[0])
            file = self.place.fs.open(f"{self.place.root}/{path}", "wb")
        try:
            yield file
        except BaseException:
            with suppress(Exception):  # what went wrong before is what is to be told
                file.discard()
            raise
        with remote_errors():
            file.close()

    def _write_batch(self, batch: list[tuple[str, bytes | memoryview]]) -> None:
        whole = {path: bytes(data) for path, data in batch}
        for folder in {path.rpartition("/")[0] for path in whole}:
            retried(partial(self.place.make_remote_folder, folder))
        retried(lambda: self.place.fs.pipe({f"{self.place.root}/{path}": data for path, data in whole.items()}))
        for path, data in whole.items():
            self.written.append(Written(path, len(data), hashlib.sha256(data).digest()))

    def link(self, path: str, target: Path) -> None:
        """Raise: there are no links on a remote store."""
        raise UsageError(f"Photos cannot be linked at {self.place}: use --images copy or reference.")

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Take away what was there before, its manifest first; what is not finished is taken away too."""
        old = self.place.list("")
        if MANIFEST_NAME in old:
            self.place.remove(MANIFEST_NAME)
        for path in old:
            self.place.remove(path)
        try:
            yield
        except BaseException as error:
            self._behind.close()
            for file in self.written:
                with suppress(StorageError):
                    self.place.remove(file.path)
            if isinstance(error, OSError):
                raise StorageError(
                    f"Cannot write {self.place}: {error.strerror or error}. It holds no export."
                ) from error
            raise
        self._behind.close()

    def finish(self, manifest: bytes) -> None:
        """Write the manifest: now it is an export."""
        self.place.write(MANIFEST_NAME, manifest)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def open_destination(url: str, options: Any, overwrite: Callable[[Place, list[str]], None]) -> LocalFiles | RemoteFiles:
    """Return what takes the files of an export.

    Args:
        url: folder or fsspec URL.
        options: passed to fsspec.
        overwrite: called with the place and the files in it where it is not empty; raises what there is to say.

    Raises:
        UsageError: it is not a folder.
    """
    place = Place(url, options)
    if place.path is not None:
        if os.path.lexists(place.path) and not place.path.is_dir():
            raise UsageError(f"{url} is a file; expected a folder to write to.")
        folder = Path(os.path.realpath(place.path))
        if folder.is_dir():
            there = place.list("") or sorted(os.listdir(folder))
            if there:
                overwrite(place, there)
        return LocalFiles(folder)
    there = place.list("")
    if there:
        overwrite(place, there)
    return RemoteFiles(place)
