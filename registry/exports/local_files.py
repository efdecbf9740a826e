"""Files of an export to a local folder, staged beside it until they are complete."""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from registry.errors import SourceError, StorageError
from registry.exports.files import MANIFEST_NAME, Files, Written, batches
from registry.files.local_files import hard_link
from registry.storage.filesystems import reason
from registry.storage.replacement import Replacement, entries, recover, replacement


class LocalFiles(Files):
    """Writes an export to a staging folder, which replaces the destination when complete.

    Args:
        folder: the destination, a real path; created if missing.
        check: called with the paths of a destination that is not empty; raises if they may not be replaced.
    """

    has_links = True

    def __init__(self, folder: Path, check: Callable[[list[str]], object] | None = None) -> None:
        super().__init__()
        self.folder = folder
        self._check = check
        self._folders: set[str] = set()
        #: The files written, by path, as far as :meth:`_repeat_batch` has read them.
        self._by_path: dict[str, Written] = {}
        self._replacement: Replacement | None = None

    @contextmanager
    def _open_raw(self, path: str) -> Iterator[Any]:
        with self._writing(path):
            file = open(self._staged(path), "xb", buffering=0)  # noqa: SIM115
        with file:
            yield file

    def _write_batch(self, batch: list[tuple[str, bytes | memoryview]]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
        for path, data in batch:
            with self._writing(path):
                descriptor = os.open(self._staged(path), flags, 0o666)
                try:
                    size = os.write(descriptor, data)
                    while size < len(data):
                        size += os.write(descriptor, data[size:])
                finally:
                    os.close(descriptor)
            self.written.append(Written(path, len(data), hashlib.sha256(data).digest()))

    def write_linked(self, files: Iterable[tuple[str, bytes, Path]]) -> None:
        """Write files as hard links to local files with the same content, or as copies where no link can be made."""
        for batch in batches(files):
            self._background.run(self._link_batch, batch)

    def repeat(self, files: Sequence[tuple[str, str]]) -> None:
        """Write files as hard links to earlier files, or as copies where no link can be made."""
        self._background.run(self._repeat_batch, files)

    def _link_batch(self, batch: list[tuple[str, bytes, Path]]) -> None:
        for path, data, source in batch:
            with self._writing(path):
                is_linked = hard_link(source, self._staged(path))
            if is_linked:
                self.written.append(Written(path, len(data), hashlib.sha256(data).digest()))
            else:
                self.num_unlinked += source.exists()  # a cache that is full may have removed it
                self._write_batch([(path, data)])

    def _repeat_batch(self, files: Sequence[tuple[str, str]]) -> None:
        for file in self.written[len(self._by_path) :]:
            self._by_path[file.path] = file
        for path, first in files:
            with self._writing(path):
                target = self._staged(path)
                if not hard_link(self._staged(first), target):
                    shutil.copyfile(self._staged(first), target)
            self.written.append(self._by_path[first]._replace(path=path))

    def link(self, path: str, target: Path) -> None:
        """Make a symbolic link to a local file, relative to the destination.

        Raises:
            SourceError: the target is not a regular file.
        """
        try:
            mode, size = (status := target.stat()).st_mode, status.st_size
        except OSError as error:
            raise SourceError(f"Cannot read {target}: {error.strerror}") from error
        if not stat.S_ISREG(mode):
            raise SourceError(f"Cannot link to {target}: expected a file, found a folder, device or pipe.")
        # A relative link is resolved from the real path of its folder.
        folder = os.path.realpath((self.folder / path).parent)
        with self._writing(path):
            os.symlink(os.path.relpath(os.path.realpath(target.parent), folder) + f"/{target.name}", self._staged(path))
        self.written.append(Written(path, size, None))

    def _staged(self, path: str) -> str:
        """Return the path of a file in the staging folder; creates its folder."""
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
        """Lock the destination; unless :meth:`finish` is called, the files written are removed at the end.

        Raises:
            StorageError: the destination cannot be written, or another export is writing to it.
            UsageError: the destination holds files that may not be replaced.
        """
        try:
            with replacement(self.folder, MANIFEST_NAME) as self._replacement:
                self.check_content()
                try:
                    yield
                finally:
                    self._background.close()
        except OSError as error:
            raise self._cannot_write(error) from error

    def finish(self, manifest: bytes) -> None:
        """Add the manifest, sync to disk, and replace the destination by the staging folder."""
        with self._writing(MANIFEST_NAME), open(self._staged(MANIFEST_NAME), "xb") as file:
            file.write(manifest)
        assert self._replacement is not None
        self.check_content()  # files may have been added since hold()
        self._replacement.commit([*(file.path for file in self.written), MANIFEST_NAME])

    def recover(self) -> None:
        """Finish or undo a replacement of the destination that a killed process left half done.

        Raises:
            StorageError: this fails, or another export is writing there.
        """
        try:
            recover(self.folder)
        except OSError as error:
            raise self._cannot_write(error) from error

    def check_content(self) -> None:
        """Raise if the destination holds files that may not be replaced."""
        if self._check and self.folder.is_dir() and (paths := _content(self.folder)):
            self._check(paths)

    def _cannot_write(self, error: OSError) -> StorageError:
        """Return the error of the destination, or of another path such as a photo that could not be read."""
        path = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes | Path) else self.folder
        staging = self._replacement.unfinished.parent if self._replacement else self.folder
        if path == self.folder or {self.folder, staging, self.folder.parent} & {path, *path.parents}:
            what = f"Cannot write {self.folder}"
        else:
            what = f"Cannot export to {self.folder}: {path}"
        return StorageError(f"{what}: {reason(error)}. Nothing was changed there.")


def _content(folder: Path) -> list[str]:
    """Return the paths of all files, links and empty folders (ending in ``/``) below a folder.

    If the folder holds no export, only its top-level names.

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
