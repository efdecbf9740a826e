"""Arrow tables in files that the worker processes of a loader map into memory, so that they hold them together."""

from __future__ import annotations

import os
import weakref
from contextlib import suppress
from pathlib import Path

import pyarrow as pa

from registry.errors import NotFoundError, StorageError
from registry.files.private_folder import check_own, private_folder


class SharedTable:
    """A table in a memory-mapped Arrow file of the process that made it; pickles as the path of the file.

    Only the process that made it removes the file: with the last reference, or at its end.

    Args:
        rows: a table, which lies in a single batch afterwards, or a reader, whose batches stay.

    Attributes:
        table: the same rows, in mapped memory.

    Raises:
        StorageError: the file cannot be written.
    """

    def __init__(self, rows: pa.Table | pa.RecordBatchReader) -> None:
        self._path = private_folder() / f"rows-{os.urandom(8).hex()}.arrow"
        try:
            with pa.OSFile(str(self._path), "wb") as file, pa.ipc.new_file(file, rows.schema) as writer:
                for batch in rows.combine_chunks().to_batches() if isinstance(rows, pa.Table) else rows:
                    writer.write_batch(batch)
        except OSError as error:
            raise StorageError(f"Cannot write the rows of a loader to {self._path}: {error}") from error
        self.table = _mapped(self._path)
        weakref.finalize(self, remove_own, self._path, os.getpid())

    def __getstate__(self) -> Path:
        return self._path

    def __setstate__(self, path: Path) -> None:
        self._path = path
        self.table = _mapped(path)


def remove_own(path: Path, process: int) -> None:
    """Remove a file, unless this is another process than that which wrote it."""
    if os.getpid() == process:
        with suppress(OSError):
            path.unlink()


def _mapped(path: Path) -> pa.Table:
    """Return the table of a file without reading it.

    Raises:
        NotFoundError: there is no such file.
    """
    try:
        check_own(path.parent)
        return pa.ipc.open_file(pa.memory_map(str(path))).read_all()
    except FileNotFoundError as error:
        raise NotFoundError(
            f"There is no {path}, which holds the rows of a dataset. The process that made the dataset removed it, or "
            "runs on another machine: make the dataset again here."
        ) from error
