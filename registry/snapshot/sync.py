"""Making one place hold the registry that another one holds, with as little on the way as can be."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry.errors import ConflictError, NotFoundError, StorageError
from registry.execution.progress import Progress
from registry.files.regular_files import open_regular, regular_size
from registry.files.staging import temporary_folder
from registry.snapshot.manifest import MANIFEST_NAME, DataFile, Manifest, parse_manifest, read_manifest_bytes
from registry.snapshot.publish import check_destination, data_files, unnamed
from registry.storage.filesystems import reason
from registry.storage.place import Place

#: Called with the number of bytes sent and of all.

#: Files on the way at the same time: the answers of a store are waited for, not worked on.
JOBS: Final = 8
#: How often a file is sent that does not arrive as it was.
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What a sync did, or would do.

    Attributes:
        sent: files that were missing or different.
        kept: files that were there.
        removed: paths that no manifest names any more, with ``prune``.
        is_new: whether the manifest was exchanged.
    """

    sent: tuple[DataFile, ...]
    kept: tuple[DataFile, ...]
    removed: tuple[str, ...]
    is_new: bool

    @property
    def sent_bytes(self) -> int:
        """How many bytes were sent."""
        return sum(file.bytes for file in self.sent)


def sync(
    source: Place,
    dest: Place,
    *,
    prune: bool = False,
    check: bool = False,
    dry_run: bool = False,
    jobs: int = JOBS,
    progress: Progress | None = None,
) -> SyncReport:
    """Make ``dest`` hold the registry of ``source``.

    Only files that are not there already are sent, each is read back at its destination, and the manifest is
    exchanged last: a reader sees the old registry or the new one. A sync that was killed is taken up where it ended.

    Args:
        source: folder or URL of a registry.
        dest: folder or URL, made if it is not there. Its own registry, if it has one, is replaced.
        prune: remove the data files at ``dest`` that the new manifest does not name.
        check: read all files that are at ``dest`` already, too; without it, what its manifest names counts as whole
            if it has the right size.
        dry_run: change nothing, and tell what would be done.
        jobs: files on the way at the same time.
        progress: called as files arrive.

    Raises:
        NotFoundError: there is no registry at ``source``.
        UsageError: ``dest`` is a local folder that is not empty and holds no registry.
        RegistryFormatError: what is at ``dest`` is of a later version, or no registry.
        ConflictError: another writer is at work at ``dest``, or changed it in the meantime.
        StorageError: a place cannot be read or written, or a file of ``source`` is not what its manifest says.
    """
    data = read_manifest_bytes(source)
    manifest = parse_manifest(data, source)
    check_destination(dest)
    with ExitStack() as held:
        if not dry_run:
            held.enter_context(dest.lock(wait=False))
        old_data, version = dest.read_version(MANIFEST_NAME)
        old = parse_manifest(old_data, dest) if old_data is not None else Manifest()
        there = dest.sizes("")
        sized = [file for file in manifest.files if there.get(file.path) == file.bytes]
        # What no manifest names was left by a writer that was killed: it counts if it is whole.
        known = set() if check else {(file.path, file.sha256) for file in old.files}
        with ThreadPoolExecutor(jobs) as pool:
            whole = pool.map(lambda file: (file.path, file.sha256) in known or _is_there(dest, file), sized)
            kept = {file for file, is_whole in zip(sized, whole, strict=True) if is_whole}
        sent = [file for file in manifest.files if file not in kept]
        is_new = old_data != data
        removed = unnamed(data_files(there), manifest) if prune else []
        logging.getLogger(__name__).info("%s: %d files to send, %d kept", dest, len(sent), len(kept))
        if not dry_run:
            try:
                _send(source, dest, sent, jobs, progress)
            except NotFoundError as error:
                if source.read_version(MANIFEST_NAME)[0] == data:
                    raise
                raise ConflictError(f"{source} was replaced while it was read. Run this again.") from error
            if is_new:
                dest.replace(MANIFEST_NAME, data, version)
                there = dest.sizes("")
                lost = [file for file in manifest.files if file.path not in there]
                _send(source, dest, lost, jobs, None)  # another writer took them for leftovers
            if prune:
                removed = _prune(dest, data, manifest)
    return SyncReport(tuple(sent), tuple(sorted(kept)), tuple(removed), is_new)


def _prune(dest: Place, data: bytes, manifest: Manifest) -> list[str]:
    """Remove what the manifest does not name, as long as it is the one that is there; return what was removed."""
    removed = []
    for path in unnamed(data_files(dest.sizes("")), manifest):
        if dest.read(MANIFEST_NAME) != data:
            raise ConflictError(f"Somebody else changed {dest} in the meantime: the rest of its old files was left.")
        dest.remove(path)
        removed.append(path)
    return removed


def _send(source: Place, dest: Place, files: Sequence[DataFile], jobs: int, progress: Progress | None) -> None:
    """Send files, several at a time; the first that fails ends it."""
    total, done = sum(file.bytes for file in files), 0
    with temporary_folder() as folder, ThreadPoolExecutor(jobs) as pool:
        started = {pool.submit(_send_one, source, dest, file, folder): file for file in files}
        try:
            for future in as_completed(started):
                future.result()
                done += started[future].bytes
                if progress:
                    progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _send_one(source: Place, dest: Place, file: DataFile, folder: Path) -> None:
    """Send a file and read it back.

    Raises:
        StorageError: it does not arrive as the manifest of the source says.
    """
    local = _local_copy(source, file, folder)
    for _ in range(_ATTEMPTS):
        dest.put(local, file.path, keep=True)
        if _is_there(dest, file):
            if source.path is None:
                local.unlink()
            return
    raise StorageError(f"{dest}/{file.path} is not what was sent there, {_ATTEMPTS} times. Is its disk broken?")


def _local_copy(source: Place, file: DataFile, folder: Path) -> Path:
    """Return a file of the source, or a copy of it in a local folder if the source is remote.

    Raises:
        StorageError: it is not what the manifest of the source says.
    """
    local = source.path / file.path if source.path is not None else folder / file.path.replace("/", "_")
    for _ in range(_ATTEMPTS):
        try:
            if source.path is None:
                source.fetch(file.path, local, most=file.bytes)
            if regular_size(local) == file.bytes:
                with open_regular(local) as descriptor, open(descriptor, "rb", closefd=False) as opened:
                    if hashlib.file_digest(opened, "sha256").hexdigest() == file.sha256:
                        return local
        except (NotFoundError, FileNotFoundError) as error:
            raise NotFoundError(
                f"{source}/{file.path} does not exist, which its manifest names. 'df2 verify {source}' finds all such "
                "files."
            ) from error
        except OSError as error:
            raise StorageError(f"Cannot read {source}/{file.path}: {reason(error)}") from error
    raise StorageError(
        f"{source}/{file.path} is not the file that its manifest names: it was changed or cut. "
        f"'df2 verify {source}' finds all such files."
    )


def _is_there(place: Place, file: DataFile) -> bool:
    return place.digest(file.path, size=file.bytes) == (file.bytes, bytes.fromhex(file.sha256))
