"""Publishes the new files of a split so that readers see the old version of the registry or the new version.

Files are written below ``.staging`` (marked, see :mod:`registry.files.staging`) and moved to their places. Their names
contain their digests, so no file is overwritten by a different file. Readers see them when the manifest that names them
replaces the old manifest. The next writer deletes data files (:func:`is_data_path`) that the manifest does not name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from registry.dataset.deepfashion2 import CATEGORIES, LANDMARK_SLOTS
from registry.dataset.names import is_data_path
from registry.dataset.tables import (
    CATEGORIES_TABLE,
    IMAGES,
    LANDMARK_SLOTS_TABLE,
    MODEL_TABLES,
    TABLES,
    Table,
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
from registry.snapshot.parquet import TableWriter, WriteError, writing
from registry.storage.filesystems import reason
from registry.storage.place import Place

if TYPE_CHECKING:
    import pyarrow as pa

_STAGING: Final = ".staging"
#: Attempts to replace the manifest of a remote place that other writers replace at the same time.
_ATTEMPTS: Final = 10
#: Names in a new file system, which a folder may hold before it is a registry, besides hidden names.
_SYSTEM_NAMES: Final = ("lost+found",)
#: Name of the temporary file of a killed writer, at a local or remote place.
_PARTIAL: Final = re.compile(r"\.(?P<name>.+?)(\.[0-9a-f]{8})?\.partial")


class Publication:
    """The new files of a split, from their first row to the replacement of the manifest.

    Attributes:
        old: the version of the registry that it replaces.
    """

    def __init__(self, place: Place, split: str, folder: Path, old: Manifest) -> None:
        self.place = place
        self.split = split
        self.old = old
        self._folder = folder
        self._writers: dict[str, TableWriter] = {}
        self._kept: list[DataFile] = []

    def writer(self, table: Table, types: Mapping[str, pa.DataType] | None = None, **partition: Any) -> TableWriter:
        """Return the writer of a table's partition; the first call creates it.

        Args:
            table: declares the columns.
            types: of columns that are stored in another type than the declared one, which they are read in.
            partition: value of each partition column.
        """
        folder = "/".join([table.name, *(f"{name}={partition[name]}" for name in table.partition)])
        if folder not in self._writers:
            split = partition["split"] if "split" in table.partition else None
            self._writers[folder] = TableWriter(self._folder / folder / "new.parquet", table, split, types)
        return self._writers[folder]

    def keep(self, files: Iterable[DataFile]) -> None:
        """Keep files of the old version in the new one; their tables get no new rows."""
        self._kept += files

    def kept(self, table: Table) -> list[DataFile]:
        """Return the files of a table that are kept."""
        return [file for file in self._kept if file.table == table.name]

    def abandon(self) -> None:
        """Discard unfinished files."""
        for writer in self._writers.values():
            writer.abandon()

    def _put(self, file: DataFile, local: Path) -> None:
        self.place.put(local, file.path, keep=not self.place.is_local)

    def _put_again(self, files: Mapping[DataFile, Path]) -> None:
        """Upload files again that a concurrent writer removed as unnamed, before the manifest named them."""
        if not self.place.is_local:
            sizes = self.place.sizes("")
            for file, local in files.items():
                if file.path not in sizes:
                    self._put(file, local)

    def publish(self, source: str) -> Manifest:
        """Finish the files, move them to their places and replace the manifest; return the new manifest.

        Args:
            source: fingerprint of the raw files of the split; also written into the files of the table images, so
                that the manifest can be rebuilt from the files.

        Raises:
            StorageError: a file cannot be written; readers still see the old version.
        """
        _write_facts(self)

        def change(old: Manifest, files: Iterable[DataFile]) -> Manifest:
            # Another writer at a remote place may have removed a file that was to be kept.
            return old.with_split(self.split, [*files, *(file for file in self._kept if file in old.files)], source)

        new = self._publish(change, {IMAGES: {"df2.source": source}})
        # DVC tracks the folder of a split, so it exists even if it is empty.
        for table in TABLES.values():
            if "split" in table.partition and table not in MODEL_TABLES:
                self.place.make_folder(f"{table.name}/split={self.split}")
        return new

    def publish_table(self, table: Table) -> Manifest:
        """Replace one table of the split, whose rows were written; return the new manifest.

        Raises:
            StorageError: a file cannot be written; readers still see the old version.
        """
        self.writer(table, split=self.split)
        return self._publish(lambda old, files: old.with_table(self.split, table.name, files), {})

    def publish_model(self, model: str) -> Manifest:
        """Replace the files of a model by those whose rows were written; return the new manifest.

        Raises:
            StorageError: a file cannot be written; readers still see the old version.
        """
        return self._publish(lambda old, files: old.with_model(model, files), {})

    def _publish(
        self, change: Callable[[Manifest, Iterable[DataFile]], Manifest], notes: Mapping[Table, dict[str, str]]
    ) -> Manifest:
        """Finish the files, move them to their places and replace the manifest by ``change(old, files)``."""
        files: dict[DataFile, Path] = {}
        try:
            for folder, writer in self._writers.items():
                writer.close(notes.get(writer.table))
                with writing(), open(writer.path, "rb") as opened:
                    file = DataFile.of_file(opened, folder, writer.table.name, writer.split, writer.rows)
                files[file] = writer.path
                self._put(file, writer.path)
            old, new = exchange_manifest(self.place, self.split, lambda old: change(old, files))
            self._put_again(files)
        except (OSError, StorageError):
            with suppress(RegistryError):  # the first error is reported
                clear_unnamed(self.place, _read_or_begin(self.place, self.split), [file.path for file in files])
            raise
        # Other writers at a remote place may have files that no manifest names yet: remove only the old version's.
        clear_unnamed(self.place, new, None if self.place.is_local else data_files(file.path for file in old.files))
        return new


@contextmanager
def publication(place: Place, split: str) -> Iterator[Publication]:
    """Lock the registry for writing and yield a publication; unpublished files are removed at the end.

    Raises:
        StorageError: the place cannot be written (full, read-only); readers still see the old version.
    """
    check_destination(place)  # first, so that no lock file is left in a user's folder
    with place.lock(), ExitStack() as stack:
        old = _read_or_begin(place, split)  # fails before the work, not after it
        if place.path is not None:
            folder = place.path / _STAGING
            stack.callback(discard, folder)  # before claim(), which a signal may interrupt
            try:
                claim(folder)
                clear(folder)  # of a killed writer
            except OSError as error:
                raise _unchanged(place, error) from error
        else:
            folder = stack.enter_context(temporary_folder())
        publication = Publication(place, split, folder, old)
        try:
            with temporary(folder):
                try:
                    yield publication
                finally:
                    publication.abandon()
                    discard(folder)  # while registered: a signal that ends the process now has it removed too
        except WriteError as error:
            raise _unchanged(place, error) from error
        except OSError as error:
            name = f": {error.filename}" if error.filename else ""
            raise StorageError(
                f"The ingest into {place} failed{name}: {reason(error)}. It is as it was before."
            ) from error


def _unchanged(place: Place, error: OSError) -> StorageError:
    return StorageError(f"Cannot write the registry at {place}: {reason(error)}. It is as it was before.")


def _write_facts(publication: Publication) -> None:
    """Write the tables ``categories`` and ``landmark_slots``, which are the same in every registry."""
    rows: dict[Table, list[tuple[Any, ...]]] = {
        CATEGORIES_TABLE: [(c.id, c.name, c.coco_name, c.num_landmarks, c.landmark_offset) for c in CATEGORIES],
        LANDMARK_SLOTS_TABLE: [
            (slot.slot, slot.category_id, slot.landmark_no, slot.swap_slot, slot.oks_sigma) for slot in LANDMARK_SLOTS
        ],
    }
    for table, values in rows.items():
        publication.writer(table).write(record_batch(table, zip(*values, strict=True)))


def _read_or_begin(place: Place, split: str) -> Manifest:
    """Return the manifest at a place, or an empty manifest for a new registry.

    Raises:
        RegistryFormatError: there are files of other splits and no manifest that names them.
    """
    try:
        return read_manifest(place)
    except NotFoundError:
        return _begin(place, split)


def _begin(place: Place, split: str) -> Manifest:
    """Return the empty manifest of a new registry.

    Raises:
        UsageError: the folder holds files that no registry has.
        RegistryFormatError: there are files of other splits and no manifest that names them.
    """
    check_destination(place)
    tables = [table.name for table in TABLES.values() if "split" in table.partition]
    paths = [path for table in tables for path in data_files(place.list(table)) if f"/split={split}/" not in path]
    if paths and place.is_local:
        raise RegistryFormatError(
            f"{place} holds data files of other splits ({paths[0]}) but no {MANIFEST_NAME}. If they are whole, "
            f"as after 'dvc checkout', run 'df2 manifest {place}'; if a writer was killed there, remove the folder."
        )
    return Manifest()


def check_destination(place: Place) -> None:
    """Check that a registry may be written to a local folder; hidden files in it do not matter.

    Raises:
        UsageError: the folder has no manifest and holds files that no registry has.
        StorageError: the folder cannot be listed, or the folder of a table in it is a link.
    """
    for table in TABLES:
        place.check_links(table)
    if place.path is None or place.exists(MANIFEST_NAME):
        return
    try:
        names = sorted(os.listdir(place.path))
    except (FileNotFoundError, NotADirectoryError):
        return  # locking creates the folder, or reports the error
    except OSError as error:
        raise StorageError(f"Cannot list {place}: {reason(error)}") from error
    foreign = [name for name in names if name not in (*TABLES, *_SYSTEM_NAMES) and not name.startswith(".")]
    paths = [path for name in names if name in TABLES for path in place.list(name)]
    registry_paths = set(data_files(paths))
    foreign += [path for path in paths if path not in registry_paths and not path.rpartition("/")[2].startswith(".")]
    if foreign:
        raise UsageError(
            f"{place} is not empty and holds no registry: there is no {MANIFEST_NAME} in it, but "
            f"{first_names(foreign, 1)}. Expected a new or empty folder, or a registry."
        )


def exchange_manifest(place: Place, split: str, change: Callable[[Manifest], Manifest]) -> tuple[Manifest, Manifest]:
    """Replace the manifest by ``change(manifest)``; return the old and the new manifest.

    If another writer replaces the manifest of a remote place first, ``change`` is applied to the newer manifest, which
    then has the splits of both writers.

    Raises:
        StorageError: the manifest cannot be written; the old manifest stays.
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
    """Remove data files that the manifest does not name: files of an older version or of a killed writer.

    Args:
        place: the registry.
        manifest: names the files to keep.
        among: the files to consider; all data files at the place without it.
    """
    for path in unnamed(data_files(place.sizes("")) if among is None else among, manifest):
        place.remove(path)


def unnamed(paths: Iterable[str], manifest: Manifest) -> list[str]:
    """Return the paths that the manifest does not name."""
    manifest_paths = {file.path for file in manifest.files}
    return [path for path in paths if path not in manifest_paths]


def data_files(paths: Iterable[str]) -> list[str]:
    """Return the paths of data files, and of temporary files that a killed writer left; sorted."""
    return sorted(path for path in paths if is_data_path(path) or _is_partial(path))


def _is_partial(path: str) -> bool:
    folder, slash, name = path.rpartition("/")
    match = _PARTIAL.fullmatch(name)
    return match is not None and (
        is_data_path(f"{folder}{slash}{match['name']}") or (path == name and match["name"] == MANIFEST_NAME)
    )
