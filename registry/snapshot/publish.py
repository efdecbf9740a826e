"""Writing a part of a registry so that readers see the old one or the new one.

Files are written below ``.staging`` (marked, see :mod:`registry.files.staging`) and moved to their places. Their names
contain their digests, so no file is overwritten by a different one. Readers see them when the manifest that names them
replaces the old manifest. The next writer deletes files (:func:`is_data_path`) that the manifest does not name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from mmap import ACCESS_READ, mmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.names import is_data_path
from registry.dataset.tables import (
    CATEGORIES,
    IMAGES,
    ITEMS,
    LANDMARK_SLOTS,
    SCHEMA_VERSION,
    TABLES,
    Table,
    arrow_schema,
    record_batch,
)
from registry.errors import (
    ConflictError,
    NotFoundError,
    RegistryError,
    RegistryFormatError,
    StorageError,
    UsageError,
    first_names,
)
from registry.files.staging import claim, clear, discard, temporary_folder
from registry.files.temporary import temporary
from registry.snapshot.manifest import MANIFEST_NAME, DataFile, Manifest, parse_manifest, read_manifest
from registry.storage.filesystems import reason
from registry.storage.place import Place

if TYPE_CHECKING:
    import pyarrow as pa

_STAGING: Final = ".staging"
_MOST_PENDING: Final = 8
#: How often the manifest of a remote place is made anew because others were faster.
_ATTEMPTS: Final = 10
#: Names that a folder may hold before it is a registry, besides hidden ones: what a new file system holds.
_OF_SYSTEM: Final = ("lost+found",)
#: What a killed writer left of a file, at a local or remote place.
_PARTIAL: Final = re.compile(r"\.(?P<name>.+?)(\.[0-9a-f]{8})?\.partial")


class _WriteError(OSError):
    """The registry cannot be written; other errors of the system may come from its source."""


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        # Arrow's errors carry the system's number, and a text of their own.
        raise _WriteError(error.errno, os.strerror(error.errno) if error.errno else str(error)) from error


class TableWriter:
    """Writes the rows of one Parquet file, in row groups of exactly the table's size.

    Args:
        path: local file.
        table: its declaration.
        split: the split, or None for a table of facts.
    """

    def __init__(self, path: Path, table: Table, split: str | None) -> None:
        import pyarrow.parquet as pq

        with _writing():
            path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.rows = 0
        self.table = table
        self.split = split
        self._schema = arrow_schema(table)
        # Landmarks and coordinates hardly repeat; a dictionary would be built and given up for every row group.
        dictionary = [c.name for c in table.stored_columns if c.field.type == "string" and c.name != "file_name"]
        with _writing():
            self._writer = pq.ParquetWriter(
                path,
                self._schema,
                compression="zstd",
                compression_level=1,
                use_dictionary=dictionary,
                # Neighbouring coordinates share their leading bytes: half the time and, for whole numbers, half the
                # size.
                column_encoding={"segmentation.list.element.list.element": "BYTE_STREAM_SPLIT"}
                if table.name == ITEMS.name
                else None,
                write_statistics=[c.name for c in table.stored_columns if not c.field.type.startswith("list")],
                store_schema=False,
            )
        self._pending: list[pa.RecordBatch] = []
        self._num_pending = 0

    def write(self, batch: pa.RecordBatch) -> None:
        """Take rows; they are written when they fill a row group."""
        self._pending.append(batch)
        self._num_pending += batch.num_rows
        if len(self._pending) >= _MOST_PENDING:
            # The batches are slices of larger ones, which a rare category would hold in memory all the while.
            import pyarrow as pa

            self._pending = [pa.concat_batches(self._pending)]
        self.rows += batch.num_rows
        size = self.table.row_group_size
        while self._num_pending >= size:
            self._write_group(size)

    def close(self, notes: dict[str, str] | None = None) -> None:
        """Write the remaining rows and the footer, with what the file is and these notes in its metadata."""
        if self._num_pending:
            self._write_group(self._num_pending)
        metadata = {"df2.schema_version": str(SCHEMA_VERSION), "df2.table": self.table.name}
        if self.split:
            metadata["df2.split"] = self.split
        self._writer.add_key_value_metadata(metadata | (notes or {}))
        with _writing():
            self._writer.close()

    def abandon(self) -> None:
        """Give the file up if it is not finished: without this, its end would still be written one day."""
        self._writer.is_open = False

    def _write_group(self, size: int) -> None:
        import pyarrow as pa

        table = pa.Table.from_batches(self._pending).cast(self._schema)
        # In one piece: pages end where the pieces end, and the bytes shall depend on the rows alone.
        with _writing():
            self._writer.write_table(table.slice(0, size).combine_chunks(), row_group_size=size)
        self._pending = table.slice(size).to_batches()
        self._num_pending -= size


class Publication:
    """The new files of one split, from their first row to the exchange of the manifest."""

    def __init__(self, place: Place, split: str, folder: Path) -> None:
        self.place = place
        self.split = split
        self._folder = folder
        self._writers: dict[str, TableWriter] = {}

    def writer(self, table: Table, **partition: Any) -> TableWriter:
        """Return the writer of a table's partition; it is made at the first call."""
        folder = "/".join([table.name, *(f"{name}={partition[name]}" for name in table.partition)])
        if folder not in self._writers:
            split = self.split if "split" in table.partition else None
            self._writers[folder] = TableWriter(self._folder / folder / "new.parquet", table, split)
        return self._writers[folder]

    def abandon(self) -> None:
        """Give up the files that are not finished."""
        for writer in self._writers.values():
            writer.abandon()

    def _put(self, file: DataFile, local: Path) -> None:
        self.place.put(local, file.path, keep=not self.place.is_local)

    def _put_back(self, made: Mapping[DataFile, Path]) -> None:
        """Write again what another writer cleared away as nobody's, before the manifest named it."""
        if not self.place.is_local:
            there = self.place.sizes("")
            for file, local in made.items():
                if file.path not in there:
                    self._put(file, local)

    def publish(self, source: str) -> Manifest:
        """Finish the files, move them to their places and exchange the manifest; return the new one.

        Args:
            source: fingerprint of what the split was made from; kept with the images too, so that the manifest
                can be made again from the files alone.

        Raises:
            StorageError: something cannot be written; readers still see the old registry.
        """
        _write_facts(self)
        made: dict[DataFile, Path] = {}
        try:
            for folder, writer in self._writers.items():
                writer.close({"df2.source": source} if writer.table is IMAGES else None)
                with (
                    _writing(),
                    open(writer.path, "rb") as written,
                    mmap(written.fileno(), 0, access=ACCESS_READ) as data,
                ):
                    file = DataFile.of(data, folder, writer.table.name, writer.split, writer.rows)
                made[file] = writer.path
                self._put(file, writer.path)
            old, new = exchange_manifest(self.place, self.split, lambda old: old.with_split(self.split, made, source))
            self._put_back(made)
        except (OSError, StorageError):
            with suppress(RegistryError):  # what went wrong before is what is to be told
                clear_unnamed(self.place, _read_or_begin(self.place, self.split), [file.path for file in made])
            raise
        # Of a remote place, nobody knows who else is writing files there that no manifest names yet.
        clear_unnamed(self.place, new, None if self.place.is_local else data_files(file.path for file in old.files))
        # A split's folder is there even if it is empty: data versioning tracks the folder.
        for table in TABLES.values():
            if "split" in table.partition:
                self.place.make_folder(f"{table.name}/split={self.split}")
        return new


@contextmanager
def publication(place: Place, split: str) -> Iterator[Publication]:
    """Hold the registry for writing and yield a publication; what it does not publish is cleared away.

    Raises:
        StorageError: the place cannot be written (full, read-only); readers still see the old registry.
    """
    check_destination(place)  # before a lock is left in a folder of the user's
    with place.lock(), ExitStack() as held:
        _read_or_begin(place, split)  # before the work, not after it
        if place.path is not None:
            folder = place.path / _STAGING
            held.callback(discard, folder)  # first: a signal may come while it is made
            try:
                claim(folder)
                clear(folder)  # left by a writer that was killed
            except OSError as error:
                raise _as_before(place, error) from error
        else:
            folder = held.enter_context(temporary_folder())
        made = Publication(place, split, folder)
        try:
            with temporary(folder):
                yield made
        except _WriteError as error:
            raise _as_before(place, error) from error
        except OSError as error:
            name = f": {error.filename}" if error.filename else ""
            raise StorageError(
                f"The ingest into {place} failed{name}: {reason(error)}. It is as it was before."
            ) from error
        finally:
            made.abandon()


def _as_before(place: Place, error: OSError) -> StorageError:
    return StorageError(f"Cannot write the registry at {place}: {reason(error)}. It is as it was before.")


def _write_facts(made: Publication) -> None:
    """Write the tables ``categories`` and ``landmark_slots``, which say the same in every registry."""
    from registry.dataset import deepfashion2 as taxonomy

    rows: dict[Table, list[tuple[Any, ...]]] = {
        CATEGORIES: [(c.id, c.name, c.coco_name, c.num_landmarks, c.landmark_offset) for c in taxonomy.CATEGORIES],
        LANDMARK_SLOTS: [
            (s.slot, s.category_id, s.landmark_no, s.swap_slot, s.oks_sigma) for s in taxonomy.LANDMARK_SLOTS
        ],
    }
    for table, values in rows.items():
        made.writer(table).write(record_batch(table, zip(*values, strict=True)))


def _read_or_begin(place: Place, split: str) -> Manifest:
    """Return the manifest that is to be replaced, an empty one for a new registry.

    Raises:
        RegistryFormatError: there are files of other splits and no manifest, so nothing tells whether they count.
    """
    try:
        return read_manifest(place)
    except NotFoundError:
        return _begin(place, split)


def _begin(place: Place, split: str) -> Manifest:
    """Return the empty manifest that a new registry starts from.

    Raises:
        UsageError: the folder holds what no registry does.
        RegistryFormatError: it is none: there are files of other splits.
    """
    check_destination(place)
    tables = [table.name for table in TABLES.values() if "split" in table.partition]
    others = [path for table in tables for path in data_files(place.list(table)) if f"/split={split}/" not in path]
    if others and place.is_local:
        raise RegistryFormatError(
            f"{place} holds data files of other splits ({others[0]}) but no {MANIFEST_NAME}. If they are whole, "
            f"as after 'dvc checkout', run 'df2 manifest {place}'; if a writer was killed there, remove the folder."
        )
    return Manifest()


def check_destination(place: Place) -> None:
    """Raise if a local folder is none that a registry may be written to; hidden files in it do not count.

    Raises:
        UsageError: it has no manifest and holds what no registry does.
        StorageError: it cannot be listed, or a folder of a table in it is a link.
    """
    for table in TABLES:
        place.check_links(table)
    if place.path is None or place.exists(MANIFEST_NAME):
        return
    try:
        names = sorted(os.listdir(place.path))
    except (FileNotFoundError, NotADirectoryError):
        return  # it is made, or told, when it is locked
    except OSError as error:
        raise StorageError(f"Cannot list {place}: {reason(error)}") from error
    foreign = [name for name in names if name not in (*TABLES, *_OF_SYSTEM) and not name.startswith(".")]
    paths = [path for name in names if name in TABLES for path in place.list(name)]
    ours = set(data_files(paths))
    foreign += [path for path in paths if path not in ours and not path.rpartition("/")[2].startswith(".")]
    if foreign:
        raise UsageError(
            f"{place} is not empty and holds no registry: there is no {MANIFEST_NAME} in it, but "
            f"{first_names(foreign, 1)}. Expected a new or empty folder, or a registry."
        )


def exchange_manifest(place: Place, split: str, change: Callable[[Manifest], Manifest]) -> tuple[Manifest, Manifest]:
    """Exchange the manifest for one made from it; return the old and the new one.

    If another writer comes first at a remote place, it is made again from theirs: both splits are in it then.

    Raises:
        StorageError: it cannot be written; the old one is there.
    """
    attempts = 0
    while True:
        data, version = place.read_version(MANIFEST_NAME)
        old = _begin(place, split) if data is None else parse_manifest(data, place)
        new = change(old)
        try:
            place.replace(MANIFEST_NAME, new.to_json(), version)
            return old, new
        except ConflictError:
            attempts += 1
            if attempts == _ATTEMPTS:
                raise


def clear_unnamed(place: Place, manifest: Manifest, among: Iterable[str] | None = None) -> None:
    """Remove data files that the manifest does not name: those of an older version or of a killed writer.

    Args:
        place: the registry.
        manifest: what stays.
        among: of these files alone; None for all that are there.
    """
    for path in unnamed(data_files(place.sizes("")) if among is None else among, manifest):
        place.remove(path)


def unnamed(paths: Iterable[str], manifest: Manifest) -> list[str]:
    """Return the paths that the manifest does not name."""
    named = {file.path for file in manifest.files}
    return [path for path in paths if path not in named]


def data_files(paths: Iterable[str]) -> list[str]:
    """Return the paths that a registry wrote: its data files, and what a writer that was killed left of one."""
    return sorted(path for path in paths if is_data_path(path) or _is_left(path))


def _is_left(path: str) -> bool:
    folder, slash, name = path.rpartition("/")
    match = _PARTIAL.fullmatch(name)
    return match is not None and (
        is_data_path(f"{folder}{slash}{match['name']}") or (path == name and match["name"] == MANIFEST_NAME)
    )
