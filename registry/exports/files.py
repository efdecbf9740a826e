"""Files of an export: written in a background thread, hashed on the way, and recorded for the manifest."""

from __future__ import annotations

import hashlib
import io
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeVar

from registry.storage.filesystems import remote_errors

MANIFEST_NAME: Final = "export.json"
#: Small files are written in batches of this size; a remote store receives the files of a batch concurrently.
_BATCH_FILES: Final = 256
_BATCH_BYTES: Final = 8 << 20
#: Calls that may wait for the background thread, which bounds the memory of data to be written.
_MAX_WAITING: Final = 4


#: A file as (path, content, ...).
_File = TypeVar("_File", bound=tuple[Any, ...])


class Written(NamedTuple):
    """A file of an export.

    Attributes:
        path: relative to the destination.
        size: bytes.
        sha256: digest, 32 bytes; None for a link, whose content does not belong to the export.
    """

    path: str
    size: int
    sha256: bytes | None


def batches(files: Iterable[_File]) -> Iterator[list[_File]]:
    """Yield files, given as (path, content, ...), in batches of bounded number and size."""
    batch: list[_File] = []
    size = 0
    for file in files:
        batch.append(file)
        size += len(file[1])
        if len(batch) >= _BATCH_FILES or size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class BackgroundCalls:
    """Runs calls in order in a background thread; an exception of a call is raised by a later :meth:`run` or `wait`.

    Writing and hashing release the GIL, so on a second processor they overlap with making the data.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._waiting: deque[Future[None]] = deque()

    def run(self, call: Callable[..., None], *args: Any) -> None:
        """Submit a call; blocks while too many calls wait."""
        self._waiting.append(self._thread.submit(call, *args))
        while len(self._waiting) > _MAX_WAITING:
            self._waiting.popleft().result()

    def wait(self) -> None:
        """Wait until all calls are done."""
        while self._waiting:
            self._waiting.popleft().result()

    def close(self) -> None:
        """Cancel the calls that have not begun."""
        self._thread.shutdown(cancel_futures=True)


class _HashedFile(io.RawIOBase):
    """A binary file that hashes and counts the bytes written to it, in the background.

    Args:
        file: receives the bytes.
        background: runs the writes.
        writing: context manager that turns an OSError of a write into our error.
    """

    def __init__(
        self, file: BinaryIO, background: BackgroundCalls, writing: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._file = file
        self._background = background
        self._writing = writing
        self.digest = hashlib.sha256()
        self.size = 0
        self.is_abandoned = False  # after an error, ignores the rest that a BufferedWriter flushes

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self.is_abandoned:
            return len(data)
        content = data if isinstance(data, bytes) else bytes(data)  # a copy: the caller may reuse its buffer
        self.size += len(content)
        self._background.run(self._write, content)
        return len(content)

    def _write(self, data: bytes) -> None:
        self.digest.update(data)
        rest: bytes | memoryview = data
        with self._writing(), remote_errors():
            while rest:
                size = self._file.write(rest)
                if size is None or size >= len(rest):
                    break
                rest = memoryview(rest)[size:]  # a short write: if the disk is full, the next write raises

    def tell(self) -> int:
        return self.size


class Files(ABC):
    """Writes the files of an export. Paths are relative to the destination; each is written once.

    Attributes:
        written: the files written so far, in no particular order.
        num_unlinked: files of :meth:`write_linked` that were written, as no link could be made.
    """

    #: Whether the destination has links.
    has_links: bool = False

    def __init__(self) -> None:
        self.written: list[Written] = []
        self.num_unlinked = 0
        self._background = BackgroundCalls()

    @contextmanager
    def open(self, path: str) -> Iterator[Any]:
        """Yield a binary file to write to."""
        with self._open_raw(path) as file:
            hashed = _HashedFile(file, self._background, lambda: self._writing(path))
            buffered = io.BufferedWriter(hashed, 1 << 18)
            try:
                yield buffered
                buffered.flush()
                self._background.wait()
            except BaseException:
                hashed.is_abandoned = True
                raise
        self.written.append(Written(path, hashed.size, hashed.digest.digest()))

    def write(self, path: str, data: bytes) -> None:
        """Write a file."""
        self.write_all([(path, data)])

    def write_all(self, files: Iterable[tuple[str, bytes | memoryview]]) -> None:
        """Write many files given as (path, content); the fast way for thousands of small files."""
        for batch in batches(files):
            self._background.run(self._write_batch, batch)

    def wait(self) -> None:
        """Wait until all files are written."""
        self._background.wait()

    @abstractmethod
    def write_linked(self, files: Iterable[tuple[str, bytes, Path]]) -> None:
        """Write files given as (path, content, local file with this content) as hard links to these local files.

        Raises:
            UsageError: the destination has no links.
        """

    @abstractmethod
    def repeat(self, files: Sequence[tuple[str, str]]) -> None:
        """Write files given as (path, path of an earlier file) as hard links to the earlier files.

        Raises:
            UsageError: the destination has no links.
        """

    @abstractmethod
    def link(self, path: str, target: Path) -> None:
        """Make a relative symbolic link to a local file."""

    @abstractmethod
    def hold(self) -> AbstractContextManager[None]:
        """Hold the destination while files are written; without :meth:`finish`, they are removed at the end."""

    @abstractmethod
    def finish(self, manifest: bytes) -> None:
        """Write the manifest and publish the export."""

    @abstractmethod
    def _open_raw(self, path: str) -> AbstractContextManager[Any]:
        """Yield an unbuffered binary file."""

    @abstractmethod
    def _writing(self, path: str) -> AbstractContextManager[None]:
        """Turn an OSError of the body into a StorageError that names the path."""

    @abstractmethod
    def _write_batch(self, batch: list[tuple[str, bytes | memoryview]]) -> None:
        """Write files given as (path, content) and record them."""
