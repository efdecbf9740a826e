"""Whether an export may replace its destination: an earlier export, and the files that trainers left in it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from registry.dataset.file_names import PHOTO_SUFFIXES, stem, suffix
from registry.errors import UsageError, first_names
from registry.exports.files import MANIFEST_NAME
from registry.exports.manifest import read_export
from registry.storage.place import Place
from registry.wording import plural

#: Files that file managers write into folders that people look at.
_OF_FILE_MANAGERS: Final = frozenset({".DS_Store", "Thumbs.db", "desktop.ini"})
#: The cache of labels or pictures that ultralytics and YOLOv5 write beside a folder ``train/``.
_FOLDER_CACHES: Final = (".cache.npy", ".cache")
#: Names in a message.
_SHOWN: Final = 3


class OverwriteCheck:
    """Decides whether the content of a destination may be replaced.

    Args:
        overwrite: whether an earlier export may be.
    """

    def __init__(self, overwrite: bool) -> None:
        self._overwrite = overwrite
        self._by_products: set[str] = set()

    def __call__(self, place: Place, paths: list[str]) -> set[str]:
        """Return the paths to replace, of the paths at a place.

        Raises:
            UsageError: they may not be replaced.
        """
        if not self._overwrite:
            remedy = " --overwrite replaces it." if MANIFEST_NAME in paths else ""
            raise UsageError(f"{place} is not empty.{remedy or ' Expected a new or empty folder.'}")
        if MANIFEST_NAME not in paths:
            raise UsageError(f"{place} holds {paths[0]} and no export; --overwrite replaces nothing but exports.")
        written = {file.path for file in read_export(place).files} | {MANIFEST_NAME}
        files = _Files(written)
        others = [path for path in paths if path not in written]
        foreign = [path for path in others if not files.has_by_product(path)]
        if foreign:
            raise UsageError(
                f"{place} holds {first_names(foreign, 1)}, which no export wrote: move or remove it first."
            )
        self._by_products.update(others)
        return {*written, *others}

    def notices(self) -> list[str]:
        """Return a sentence about the files that were removed with the old export, or nothing."""
        if not self._by_products:
            return []
        number = plural(len(self._by_products), "file")
        names = first_names(sorted(self._by_products), _SHOWN)
        return [f"{number} that trainers or file managers left in the old export went with it: {names}"]


class _Files:
    """The files of an export, and what may lie beside them.

    Args:
        written: their paths.
    """

    def __init__(self, written: Collection[str]) -> None:
        self._folders = {path[:at] for path in written for at, char in enumerate(path) if char == "/"}
        self._photos = {stem(path) for path in written if suffix(path).lower() in PHOTO_SUFFIXES}

    def has_by_product(self, path: str) -> bool:
        """Return whether a path is that of a file that a trainer or a file manager makes by itself.

        ultralytics and YOLOv5 write ``labels/train.cache`` beside ``labels/train/`` (for classification
        ``train.cache``), and with ``cache=disk`` ``images/train/000001.npy`` beside the photo.
        """
        folder, _, name = path.rpartition("/")
        if name in _OF_FILE_MANAGERS:
            return not folder or folder in self._folders
        if path.endswith(".npy") and path.removesuffix(".npy") in self._photos:
            return True
        return any(path.endswith(end) and path.removesuffix(end) in self._folders for end in _FOLDER_CACHES)
