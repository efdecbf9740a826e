"""A file of the user as a local one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from registry.files.private_folder import private_folder
from registry.storage.options import StorageOptions
from registry.storage.place import Place
from registry.subset.row_files import suffix_of


@contextmanager
def local_copy(url: str, storage_options: StorageOptions | None) -> Iterator[Path]:
    """Yield the path of a file; one behind a URL is copied to a private folder first.

    Raises:
        NotFoundError, StorageError: the file does not exist or cannot be read.
    """
    folder, slash, name = url.rpartition("/")
    place = Place(folder or slash or ".", storage_options)
    size = place.size(name)
    if place.path is not None:
        yield place.path / name
        return
    with TemporaryDirectory(dir=private_folder()) as temporary:
        path = Path(temporary, f"copy{suffix_of(url)}")
        place.fetch(name, path, size)
        yield path
