"""Reads blocks of a registry's files and compares them with the manifest; caches them in memory and on disk.

Local and remote files are read the same way, so that damage is noticed in both. A cache folder is optional.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Iterable
from concurrent.futures import Future
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

from registry.errors import NotFoundError, RegistryFormatError, StorageError
from registry.files.bounded_folder import remove_oldest
from registry.files.regular_files import read_regular
from registry.snapshot.manifest import BLOCK_BYTES, BLOCK_DIGEST_BYTES, DataFile, block_digest, block_digests
from registry.storage.place import Place

#: Bytes cached in memory and on disk: several times the released data.
MEMORY_BYTES: Final = 256 << 20
DISK_BYTES: Final = 2 << 30
#: Bytes cached of local files: DuckDB and the system cache them, too.
LOCAL_MEMORY_BYTES: Final = 16 << 20
#: Blocks read ahead of a sequential read: half a megabyte.
_AHEAD: Final = 16

_SHA256: Final = re.compile(r"[0-9a-f]{64}")
#: Names in a cache folder: the folder of a file's blocks, and a block in it, finished or being written.
_FOLDER: Final = re.compile(r"[0-9a-f]{32}")
_BLOCK: Final = re.compile(r"\d+(\.\d+-\d+)?", re.ASCII)
_log = logging.getLogger(__name__)

_Key = tuple[str, int]


class Blocks:
    """Reads ranges of the files of a registry; serves many threads.

    Args:
        place: folder or URL of the registry.
        folder: caches blocks for other sessions and processes; None for memory only.
    """

    def __init__(self, place: Place, folder: str | None = None) -> None:
        self.place = place
        self._folder = folder
        self._disk = _Disk(Path(folder).expanduser()) if folder else None
        self._most = (LOCAL_MEMORY_BYTES if place.is_local else MEMORY_BYTES) // BLOCK_BYTES
        self._memory: OrderedDict[_Key, bytes] = OrderedDict()
        self._digests: dict[str, bytes] = {}
        self._coming: dict[_Key, Future[bytes]] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """Read the same files where this is unpickled, with nothing in memory."""
        return Blocks, (self.place, self._folder)

    def read(self, file: DataFile, start: int, end: int) -> bytes:
        """Return the bytes of a file from ``start`` up to ``end``, or to its end.

        Raises:
            StorageError: they cannot be read, or differ from the manifest's digests.
        """
        end = min(end, file.bytes)
        if start >= end:
            return b""
        first, last = start // BLOCK_BYTES, (end - 1) // BLOCK_BYTES
        blocks = self._blocks(file, range(first, last + 1))
        return b"".join(blocks)[start - first * BLOCK_BYTES :][: end - start]

    def check_sizes(self, files: Iterable[DataFile]) -> None:
        """Check that files exist and have the size in the manifest.

        Raises:
            NotFoundError: a file does not exist.
            StorageError: a file is no regular file, or has another size.
        """
        for file in files:
            try:
                size = self.place.size(file.path)
            except StorageError as error:
                raise StorageError(f"{error}. {self._remedy()}") from error
            if size != file.bytes:
                raise StorageError(
                    f"{self.place}/{file.path} is not the file that the manifest names: it has {size:,} bytes, "
                    f"expected {file.bytes:,}. {self._remedy()}"
                )

    def _blocks(self, file: DataFile, numbers: range) -> list[bytes]:
        """Return blocks from memory, from other threads that are reading them, or from disk or the place."""
        blocks: dict[int, bytes] = {}
        to_fetch: dict[int, Future[bytes]] = {}
        in_flight: dict[int, Future[bytes]] = {}
        with self._lock:
            for number in self._wanted(file, numbers):
                key = (file.sha256, number)
                if key in self._memory:
                    self._memory.move_to_end(key)
                    blocks[number] = self._memory[key]
                elif key in self._coming:
                    in_flight[number] = self._coming[key]
                else:
                    to_fetch[number] = self._coming[key] = Future()
        if to_fetch:
            self._fetch(file, to_fetch)
        for number, future in {**to_fetch, **in_flight}.items():
            if number in numbers:
                blocks[number] = future.result()
        return [blocks[number] for number in numbers]

    def _wanted(self, file: DataFile, numbers: range) -> range:
        """Return the requested blocks, and the next blocks if the file is read sequentially."""
        before = {(file.sha256, numbers.start - 1), (file.sha256, numbers.start - 2)}
        if numbers.start < 2 or not before <= self._memory.keys() or (file.sha256, numbers[-1]) in self._memory:
            return numbers
        return range(numbers.start, min(numbers.stop + _AHEAD, -(-file.bytes // BLOCK_BYTES)))

    def _fetch(self, file: DataFile, wanted: dict[int, Future[bytes]]) -> None:
        """Read blocks from disk or the place, and set the futures that threads wait for."""
        try:
            for number, block in self._from_disk(file, wanted):
                self._hand_out(file, number, block, wanted)
            for run in _runs(number for number, future in wanted.items() if not future.done()):
                for number, block in zip(run, self._from_place(file, run), strict=True):
                    if self._disk and file.blocks:
                        self._disk.write(file, number, block)
                    self._hand_out(file, number, block, wanted)
        except BaseException as error:
            with self._lock:
                for number, future in wanted.items():
                    self._coming.pop((file.sha256, number), None)
                    if not future.done():
                        future.set_exception(error)
            raise

    def _hand_out(self, file: DataFile, number: int, block: bytes, wanted: dict[int, Future[bytes]]) -> None:
        key = (file.sha256, number)
        with self._lock:
            self._memory[key] = block
            while len(self._memory) > self._most:
                self._memory.popitem(last=False)
            self._coming.pop(key)
        wanted[number].set_result(block)

    def _from_disk(self, file: DataFile, numbers: Iterable[int]) -> Iterable[tuple[int, bytes]]:
        if self._disk is not None:
            for number in numbers:
                block = self._disk.read(file, number)
                if block is not None and self._is_right(file, number, block):
                    yield number, block

    def _from_place(self, file: DataFile, run: range) -> list[bytes]:
        """Return neighbouring blocks by one request, repeated once if a block differs from its digest."""
        start, end = run.start * BLOCK_BYTES, min(run.stop * BLOCK_BYTES, file.bytes)
        for _ in range(2):
            try:
                data = self.place.read_range(file.path, start, end)
                blocks = [data[at : at + BLOCK_BYTES] for at in range(0, len(data), BLOCK_BYTES)]
                wrong = [
                    number for number, block in zip(run, blocks, strict=True) if not self._is_right(file, number, block)
                ]
            except (NotFoundError, StorageError) as error:
                raise type(error)(f"{str(error).rstrip('.')}. {self._remedy()}") from error
            if not wrong:
                return blocks
        raise StorageError(
            f"{self.place}/{file.path} is not the file that the manifest names: it differs from byte "
            f"{wrong[0] * BLOCK_BYTES:,} on. {self._remedy()}"
        )

    def _is_right(self, file: DataFile, number: int, block: bytes) -> bool:
        """Return whether a block has the digest in the manifest."""
        expected = self._digests_of(file)[number * BLOCK_DIGEST_BYTES :][:BLOCK_DIGEST_BYTES]
        return block_digest(block) == expected

    def _digests_of(self, file: DataFile) -> bytes:
        """Return the digests of a file's blocks, concatenated.

        A manifest of schema version 1 has none: the file is read whole once and compared with its SHA-256, and the
        digests of its blocks are computed.

        Raises:
            StorageError: the SHA-256 of the whole file is different.
        """
        if file.blocks:
            return _decoded(file.blocks)
        if file.sha256 not in self._digests:
            data = self.place.read_range(file.path, 0, file.bytes)
            if hashlib.sha256(data).hexdigest() != file.sha256:
                raise StorageError(f"{self.place}/{file.path} is not the file that the manifest names.")
            self._digests[file.sha256] = base64.b64decode(block_digests(memoryview(data)))
        return self._digests[file.sha256]

    def _remedy(self) -> str:
        back = (
            "'dvc checkout' or 'dvc pull' brings them back"
            if self.place.is_local
            else f"'df2 sync --check WHOLE {self.place}' brings them back from a place where they are whole"
        )
        return f"'df2 verify {self.place}' finds all such files, and {back}."


@lru_cache
def _decoded(blocks: str) -> bytes:
    """Return the digests of a file's blocks, concatenated, from their text in the manifest."""
    return base64.b64decode(blocks)


def _runs(numbers: Iterable[int]) -> list[range]:
    """Return ascending numbers as ranges without gaps."""
    runs: list[range] = []
    for number in numbers:
        if runs and runs[-1].stop == number:
            runs[-1] = range(runs[-1].start, number + 1)
        else:
            runs.append(range(number, number + 1))
    return runs


class _Disk:
    """A cache folder of blocks: ``<digest of the file>/<number of the block>``. Many processes share it.

    Callers compare blocks with the manifest, so nothing in the folder can make an answer wrong. A folder that cannot be
    written or read gives one warning and is not used any more.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._is_broken = False
        self._size = 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._size = self._shrink()
        except OSError as error:
            self._give_up("write to", folder, error)

    def read(self, file: DataFile, number: int) -> bytes | None:
        """Return a cached block, or None."""
        path = self._path(file, number)
        if self._is_broken:
            return None
        try:
            block = read_regular(path)
        except FileNotFoundError:
            return None
        except OSError as error:
            self._give_up("read", path, error)
            return None
        with suppress(OSError):  # another process removed it just now
            os.utime(path)
        return block

    def write(self, file: DataFile, number: int, block: bytes) -> None:
        """Cache a block; the least recently used blocks are removed beyond the bound."""
        path = self._path(file, number)
        if self._is_broken:
            return
        partial = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}")
        try:
            path.parent.mkdir(exist_ok=True)
            partial.write_bytes(block)
            os.replace(partial, path)
            with self._lock:
                self._size += len(block)
                if self._size > DISK_BYTES:
                    self._size = self._shrink()
        except FileNotFoundError:
            return  # another process shrinks the cache and removed the folder while it was empty
        except OSError as error:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            self._give_up("write to", path.parent, error)

    def _give_up(self, action: str, path: Path, error: OSError) -> None:
        """Stop using the folder, with one warning."""
        with self._lock:
            if not self._is_broken:
                _log.warning("Cannot %s the cache %s: %s. Reading goes on without it.", action, path, error.strerror)
            self._is_broken = True

    def _path(self, file: DataFile, number: int) -> Path:
        if not _SHA256.fullmatch(file.sha256):  # it becomes the name of a folder
            raise RegistryFormatError(
                f"The manifest gives {file.path} the SHA-256 {file.sha256!r}: expected 64 hex digits."
            )
        return self._folder / file.sha256[:32] / str(number)

    def _shrink(self) -> int:
        """Remove the least recently used blocks, down to three quarters of the bound; return the bytes left."""
        blocks = []
        for folder in os.scandir(self._folder):
            if not (_FOLDER.fullmatch(folder.name) and folder.is_dir(follow_symlinks=False)):
                continue  # a file of the user
            with suppress(FileNotFoundError):  # another process shrinks it too
                for entry in os.scandir(folder):
                    if _BLOCK.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                        status = entry.stat(follow_symlinks=False)
                        blocks.append((status.st_mtime_ns, entry.path, status.st_size))
        size, removed = remove_oldest(blocks, DISK_BYTES)
        for emptied in {os.path.dirname(path) for path in removed}:
            with suppress(OSError):  # it holds more blocks
                os.rmdir(emptied)
        return size
