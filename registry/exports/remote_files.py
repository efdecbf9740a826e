"""Files of an export to an fsspec URL."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from registry.errors import StorageError, UsageError
from registry.exports.files import MANIFEST_NAME, Files, Written
from registry.storage.filesystems import reason, remote_errors, retried
from registry.storage.place import Place


class RemoteFiles(Files):
    """Writes an export to an fsspec URL. The manifest is written last; without it the files are no export.

    Args:
        place: the destination.
        check: called with the paths of a destination that is not empty; returns the paths to replace, or raises.
    """

    def __init__(self, place: Place, check: Callable[[list[str]], Iterable[str]] | None = None) -> None:
        super().__init__()
        self.place = place
        self._check = check

    def link(self, path: str, target: Path) -> None:
        """Raise a UsageError: a remote store has no links."""
        raise self._no_links()

    def write_linked(self, files: Iterable[tuple[str, bytes, Path]]) -> None:
        """Raise a UsageError: a remote store has no links."""
        raise self._no_links()

    def repeat(self, files: Sequence[tuple[str, str]]) -> None:
        """Raise a UsageError: a remote store has no links."""
        raise self._no_links()

    def _no_links(self) -> UsageError:
        return UsageError(f"Photos cannot be linked at {self.place}: use --images copy or reference.")

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Remove the earlier export, its manifest first; if the body fails, remove the files written so far.

        Raises:
            StorageError: the destination cannot be written; it holds no export then.
            UsageError: the destination holds files that may not be replaced.
        """
        paths = self.place.list("")
        replaced = set(self._check(paths)) if self._check and paths else set()
        for path in sorted(replaced.intersection(paths), key=lambda path: (path != MANIFEST_NAME, path)):
            self.place.remove(path)
        try:
            yield
        except BaseException as error:
            self._background.close()
            for file in self.written:
                with suppress(StorageError):
                    self.place.remove(file.path)
            if isinstance(error, OSError):
                name = f": {error.filename}" if error.filename else ""
                raise StorageError(f"Cannot export to {self.place}{name}: {reason(error)}. It holds no export.") from (
                    error
                )
            raise
        self._background.close()

    def finish(self, manifest: bytes) -> None:
        """Write the manifest, which makes the files an export."""
        self.place.write(MANIFEST_NAME, manifest)

    @contextmanager
    def _open_raw(self, path: str) -> Iterator[Any]:
        with self._writing(path), remote_errors():
            self.place.make_remote_folder(path.rpartition("/")[0])
            file = self.place.fs.open(f"{self.place.root}/{path}", "wb")
        try:
            yield file
        except BaseException:
            with suppress(Exception):  # the first error matters, not an error of discarding
                file.discard()
            raise
        with self._writing(path), remote_errors():
            file.close()

    @contextmanager
    def _writing(self, path: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(f"Cannot write {self.place}/{path}: {reason(error)}. It holds no export.") from error

    def _write_batch(self, batch: list[tuple[str, bytes | memoryview]]) -> None:
        contents = {path: bytes(data) for path, data in batch}
        with self._writing(next(iter(contents))):
            for folder in {path.rpartition("/")[0] for path in contents}:
                retried(partial(self.place.make_remote_folder, folder))
            retried(lambda: self.place.fs.pipe({f"{self.place.root}/{path}": data for path, data in contents.items()}))
        for path, data in contents.items():
            self.written.append(Written(path, len(data), hashlib.sha256(data).digest()))
