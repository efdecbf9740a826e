"""The file system through which DuckDB reads a registry: the manifest's files, by paths that follow from the manifest.

DuckDB never sees the folder of a registry, so no folder name above or beside its files can become a column.
"""

from __future__ import annotations

import threading
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, Final

from fsspec import AbstractFileSystem

from registry.dataset.tables import TABLES
from registry.errors import RegistryError
from registry.snapshot.blocks import Blocks
from registry.snapshot.manifest import BLOCK_BYTES, DataFile, Manifest
from registry.store.paths import PROTOCOL, table_paths, virtual_path

#: Upper bounds of the bytes of a Parquet footer: for each column in a row group, and for the rest.
_FOOTER_COLUMN: Final = 110
_FOOTER_REST: Final = 4_096
#: Bytes of a file's end that DuckDB reads first.
_TAIL: Final = 16_384
#: The last errors of reading: DuckDB passes on their text only, see :func:`registry.store.connection.own_error`.
READ_ERRORS: Final[deque[RegistryError]] = deque(maxlen=64)


class ManifestFiles(AbstractFileSystem):  # type: ignore[misc]
    """The files of one version of a registry, read only.

    Args:
        manifest: names the files.
        blocks: reads them.
    """

    protocol = PROTOCOL
    cachable = False

    def __init__(self, manifest: Manifest, blocks: Blocks) -> None:
        super().__init__()
        self._files = {virtual_path(file): file for file in manifest.files}
        self._tables = {
            pattern: [path for path in self._files if path.startswith(pattern.removesuffix("*"))]
            for patterns in table_paths(manifest).values()
            for pattern in patterns
        }
        self._blocks = blocks

    def read_ahead(self) -> None:
        """Read the footers of the first file of every table at once: DuckDB asks for them one after another."""
        first = {file.table: file for file in reversed(self._files.values())}
        with ThreadPoolExecutor(len(first) or 1) as pool:
            for file in first.values():
                pool.submit(self.read, file, file.bytes - 1, 1)  # a read error comes again when DuckDB reads the file

    def file(self, path: str) -> DataFile:
        """Return the manifest's entry of a file."""
        try:
            return self._files[path]
        except KeyError:
            raise FileNotFoundError(path) from None

    def open(self, path: str, mode: str = "rb", **options: Any) -> _File:
        """Open a file for reading."""
        if mode != "rb":
            raise PermissionError(f"{path} can only be read.")
        return _File(self, self.file(path))

    def read(self, file: DataFile, start: int, size: int) -> bytes:
        """Return bytes of a file; a read at its end also fetches the whole footer, which DuckDB reads next."""
        try:
            return self._read(file, start, size)
        except RegistryError as error:
            READ_ERRORS.append(type(error)(*error.args))  # a copy, without the frames of this call
            raise

    def _read(self, file: DataFile, start: int, size: int) -> bytes:
        if size > 0 and start + size == file.bytes and start >= file.bytes - _TAIL:
            table = TABLES[file.table]
            groups = -(-file.rows // table.row_group_size)
            footer = _FOOTER_REST + groups * len(table.stored_columns) * _FOOTER_COLUMN
            self._blocks.read(file, max(0, file.bytes - max(footer, BLOCK_BYTES)), file.bytes)
        return self._blocks.read(file, start, start + size if size >= 0 else file.bytes)

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """Return name, size and type."""
        return {"name": path, "size": self.file(path).bytes, "type": "file"}

    def glob(self, path: str, **options: Any) -> list[str]:
        """Return the files of a table for its pattern (``df2://items/*``), and a file for its path."""
        return self._tables.get(path) or ([path] if path in self._files else [])

    def exists(self, path: str, **options: Any) -> bool:
        """Return whether the manifest names a file."""
        return path in self._files

    def modified(self, path: str) -> datetime:
        """Return a constant time: a file never changes under its name."""
        return datetime(2000, 1, 1, tzinfo=UTC)


class _File:
    """An open file that several threads of DuckDB read at the same time.

    DuckDB calls ``seek`` and ``read`` in turn, and another thread may call them in between, so each thread has its own
    position.
    """

    closed = False

    def __init__(self, files: ManifestFiles, file: DataFile) -> None:
        self._files = files
        self._file = file
        self._here = _Position()
        self.size = file.bytes

    def read(self, size: int = -1) -> bytes:
        data = self._files.read(self._file, self._here.at, size)
        self._here.at += len(data)
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._here.at = offset + (0, self._here.at, self._file.bytes)[whence]
        return self._here.at

    def tell(self) -> int:
        return self._here.at

    def close(self) -> None:
        self.closed = True


class _Position(threading.local):
    """Byte offset at which the calling thread reads next."""

    at = 0
