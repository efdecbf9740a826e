"""Copies a registry from one place to another, sending only missing and different files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry.errors import ConflictError, NotFoundError, StorageError
from registry.execution.progress import Progress
from registry.files.regular_files import regular_digest
from registry.files.staging import temporary_folder
from registry.snapshot.manifest import MANIFEST_NAME, DataFile, Manifest, parse_manifest, read_manifest_bytes
from registry.snapshot.publish import check_destination, data_files, unnamed
from registry.storage.filesystems import reason
from registry.storage.place import Place

#: Files in transfer at the same time; a transfer waits for a store more than it computes.
JOBS: Final = 8
#: Attempts to send a file that arrives damaged.
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class SyncReport:
    """The changes of a sync, or of a dry run.

    Attributes:
        sent: files that were missing or different.
        kept: files that were already there.
        removed: data files that the new manifest does not name, with ``prune``.
        is_new: whether the manifest was replaced.
    """

    sent: tuple[DataFile, ...]
    kept: tuple[DataFile, ...]
    removed: tuple[str, ...]
    is_new: bool

    @property
    def sent_bytes(self) -> int:
        """Bytes of the sent files."""
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
    """Copy the registry at ``source`` to ``dest``.

    Only missing and different files are sent. Each is read back at its destination. The manifest is replaced last: a
    reader sees the old version or the new version. After a sync that was killed, the next sync sends the rest.

    Args:
        source: folder or URL of a registry.
        dest: folder or URL, created if it does not exist. A registry there is replaced.
        prune: remove the data files at ``dest`` that the new manifest does not name.
        check: read all files at ``dest``; without it, a file that its manifest names is kept if its size is right.
        dry_run: change nothing, and return the changes that would be made.
        jobs: files in transfer at the same time.
        progress: called with the bytes sent so far and the bytes to send.

    Raises:
        NotFoundError: there is no registry at ``source``.
        UsageError: ``dest`` is a local folder that is not empty and holds no registry.
        RegistryFormatError: ``dest`` holds a registry of a later version, or another file as manifest.
        ConflictError: another writer has locked ``dest``, or changed it in the meantime.
        StorageError: a place cannot be read or written, or a file of ``source`` differs from its manifest.
    """
    data = read_manifest_bytes(source)
    manifest = parse_manifest(data, source)
    check_destination(dest)
    with ExitStack() as stack:
        if not dry_run:
            stack.enter_context(dest.lock(wait=False))
        old_data, version = dest.read_version(MANIFEST_NAME)
        old = parse_manifest(old_data, dest) if old_data is not None else Manifest()
        sizes = dest.sizes("")
        candidates = [file for file in manifest.files if sizes.get(file.path) == file.bytes]
        # A file that the old manifest does not name is of a killed writer: it is kept if its digest is right.
        trusted = set() if check else {(file.path, file.sha256) for file in old.files}
        with ThreadPoolExecutor(jobs) as pool:
            whole = pool.map(lambda file: (file.path, file.sha256) in trusted or _has_file(dest, file), candidates)
            present = {file for file, is_whole in zip(candidates, whole, strict=True) if is_whole}
        sent = [file for file in manifest.files if file not in present]
        is_new = old_data != data
        removed = unnamed(data_files(sizes), manifest) if prune else []
        logging.getLogger(__name__).info("%s: %d files to send, %d kept", dest, len(sent), len(present))
        if not dry_run:
            try:
                _send(source, dest, sent, jobs, progress)
            except NotFoundError as error:
                if source.read_version(MANIFEST_NAME)[0] == data:
                    raise
                raise ConflictError(f"{source} was replaced while it was read. Run this again.") from error
            if is_new:
                dest.replace(MANIFEST_NAME, data, version)
                sizes = dest.sizes("")
                lost = [file for file in manifest.files if file.path not in sizes]
                _send(source, dest, lost, jobs, None)  # a concurrent writer removed them as unnamed
            if prune:
                removed = _prune(dest, data, manifest)
    return SyncReport(tuple(sent), tuple(sorted(present)), tuple(removed), is_new)


def _prune(dest: Place, data: bytes, manifest: Manifest) -> list[str]:
    """Remove data files that the manifest does not name, while ``dest`` has this manifest; return their paths."""
    removed = []
    for path in unnamed(data_files(dest.sizes("")), manifest):
        if dest.read(MANIFEST_NAME) != data:
            raise ConflictError(f"Somebody else changed {dest} in the meantime: the rest of its old files was left.")
        dest.remove(path)
        removed.append(path)
    return removed


def _send(source: Place, dest: Place, files: Sequence[DataFile], jobs: int, progress: Progress | None) -> None:
    """Send files, several at a time; the first error ends it."""
    total, done = sum(file.bytes for file in files), 0
    with temporary_folder() as folder, ThreadPoolExecutor(jobs) as pool:
        started = {pool.submit(_send_file, source, dest, file, folder): file for file in files}
        try:
            for future in as_completed(started):
                future.result()
                done += started[future].bytes
                if progress:
                    progress(done, total)
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _send_file(source: Place, dest: Place, file: DataFile, folder: Path) -> None:
    """Send a file and read it back.

    Raises:
        StorageError: the file arrives damaged.
    """
    local = _local_copy(source, file, folder)
    for _ in range(_ATTEMPTS):
        dest.put(local, file.path, keep=True)
        if _has_file(dest, file):
            if source.path is None:
                local.unlink()
            return
    raise StorageError(f"{dest}/{file.path} is not what was sent there, {_ATTEMPTS} times. Is its disk broken?")


def _local_copy(source: Place, file: DataFile, folder: Path) -> Path:
    """Return the path of a file of the source, or of a copy in a local folder if the source is remote.

    Raises:
        StorageError: the file differs from the manifest of the source.
    """
    local = source.path / file.path if source.path is not None else folder / file.path.replace("/", "_")
    for _ in range(_ATTEMPTS):
        try:
            if source.path is None:
                source.fetch(file.path, local, most=file.bytes)
            if regular_digest(local, file.bytes) == (file.bytes, bytes.fromhex(file.sha256)):
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


def _has_file(place: Place, file: DataFile) -> bool:
    """Return whether a place has a file with this size and digest."""
    return place.digest(file.path, size=file.bytes) == (file.bytes, bytes.fromhex(file.sha256))
