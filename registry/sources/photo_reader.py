"""Photos at random access, for worker processes and threads."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.util import Finalize
from pathlib import Path
from typing import Any, Final

from registry.dataset.file_names import PHOTO_SUFFIXES
from registry.errors import SourceError, StorageError, UnreadableSourceError, UsageError
from registry.files.private_folder import check_own, private_folder
from registry.sources.entries import Entries, Entry
from registry.sources.faults import MAX_PHOTO, Fault
from registry.sources.folders import LocalFolder
from registry.sources.listing import Source
from registry.sources.local_reader import LocalReader
from registry.sources.locate import locate_source
from registry.sources.open import open_location
from registry.sources.photo_cache import PhotoCache
from registry.sources.photo_index import PhotoIndex, ZipPhotoIndex, write_index, write_zip_index
from registry.sources.photo_ranges import RangeReader
from registry.sources.tars import TarSource
from registry.sources.zip_listing import ZipPlaces
from registry.sources.zip_parts import ZipParts
from registry.sources.zips import ZipSource
from registry.storage.filesystems import StorageOptions, local_path

_REPEATED: Final = Fault("several files have this number: expected a single one")


class PhotoReader:
    """The photos of a release, a photo at a time, in any order.

    It pickles in a few kB, with the password, which worker processes need: a pickle of it is a secret. Places of photos
    are listed once, into files of a private temporary folder that all processes map into memory; the process that
    listed them removes the folder. Each process opens the sources for itself, and no two reads share a position.

    Args:
        release: path or URL of a release, as for ``df2 ingest``; or a mapping from split to such a path.
        password: of protected zips.
        storage_options: passed to fsspec.
        cache: folder that keeps remote photos on the local disk, within the bound of
            :mod:`registry.sources.photo_cache`.
        follow_links: whether photos may be links that lead out of their folder.
    """

    def __init__(
        self,
        release: str | Mapping[str, str],
        *,
        password: str | None = None,
        storage_options: StorageOptions | None = None,
        cache: str | Path | None = None,
        follow_links: bool = False,
    ) -> None:
        self._release = release if isinstance(release, str) else dict(release)
        places = [self._release] if isinstance(self._release, str) else self._release.values()
        if not all(isinstance(place, str) for place in places) or not isinstance(password, str | None):
            raise UsageError("Photos: expected texts as places of the photos and as password.")
        self._password = password
        self._options = storage_options
        self._cache = None if cache is None else Path(cache)
        self._follow_links = follow_links
        #: Split -> its source and the file with the places of its photos; None where names alone tell them.
        self._listed: dict[str, tuple[Source, Path | None]] = {}
        self._folder: Path | None = None
        self._removal: Finalize | None = None
        self._forget()

    def __repr__(self) -> str:
        return f"PhotoReader({self._release!r})"

    def __getstate__(self) -> dict[str, Any]:
        opened = ("_pid", "_listing", "_photo_cache", "_handles", "_indexes", "_folder", "_removal")
        return {name: value for name, value in self.__dict__.items() if name not in opened}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._folder = self._removal = None
        self._forget()

    def prepare(self, splits: Iterable[str]) -> None:
        """List the photos of splits, so that the processes that get this reader need not.

        Raises:
            SourceError: they cannot be listed.
            PasswordError: a zip is protected and the password missing or wrong.
        """
        for split in splits:
            if split not in self._listed:
                with self._listing:
                    if split not in self._listed:  # another thread may have listed it meanwhile
                        self._list(split)

    def read(self, split: str, image_id: int) -> bytes:
        """Return the bytes of a photo.

        Raises:
            SourceError: it is missing or cannot be read; the message has its key.
        """
        if self._pid != os.getpid():
            self._folder = self._removal = None  # those of the parent, which may remove them
            self._forget()
        self.prepare([split])
        source, path = self._listed[split]
        key = f"{split}/image/{image_id:06d}.jpg"
        if path is None:
            assert isinstance(source, LocalFolder)
            data: bytes | Fault | None = self._read_file(split, source, image_id)
        else:
            entry = self._index(split, path).find(image_id)
            data = None if entry is None else self._read_entry(split, source, entry)
        if data is None:
            raise SourceError(f"{key} is not among the photos in {self._place(split)}.")
        if isinstance(data, Fault):
            raise SourceError(f"Cannot read {key} in {self._place(split)}: {data}.")
        return data

    def close(self) -> None:
        """Close all files, and remove the listing if this process made it; the next read lists again."""
        for handle in self._handles.values():
            handle.close()
        if self._removal is not None:
            self._removal()
            self._listed.clear()
        self._folder = self._removal = None
        self._forget()

    def _forget(self) -> None:
        """Forget open files: in a forked process they are those of the parent."""
        self._pid = os.getpid()
        self._listing = threading.Lock()
        #: Kept, because a cache measures its folder before the first photo that it adds.
        self._photo_cache = PhotoCache(self._cache) if self._cache else None
        self._handles: dict[str, RangeReader | _Folder] = {}
        self._indexes: dict[str, PhotoIndex | ZipPhotoIndex] = {}

    def _place(self, split: str) -> str:
        if isinstance(self._release, str):
            return self._release
        if split not in self._release:
            raise UsageError(f"No place of the photos of {split} is known: photos= names none.")
        return self._release[split]

    def _list(self, split: str) -> None:
        located = locate_source(self._place(split), split, self._options)
        source = open_location(located, split, self._options, self._password, follow_links=self._follow_links)
        if isinstance(source, LocalFolder):
            self._listed[split] = source, None
            return
        listing = source.list_files(split, photos=True)
        path = self._new_folder() / "photos"
        with self._write_errors():
            if isinstance(listing.photos.places, ZipPlaces):
                path = path.with_suffix(".npy")
                write_zip_index(path, listing.photos, listing.photos.places)
            else:
                repeated = listing.repeated_photos
                photos = (e._replace(locator=_REPEATED) if e.image_id in repeated else e for e in listing.photos)
                write_index(path, photos)
        self._listed[split] = source, path

    @contextmanager
    def _write_errors(self) -> Iterator[None]:
        """Name the folder of the listing in errors of writing it."""
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"Cannot write the listing of the photos to {self._folder}: {error.strerror}. TMPDIR names another "
                "folder for temporary files."
            ) from error

    def _new_folder(self) -> Path:
        """Return a new folder that is removed at the end of this process."""
        if self._folder is None or not self._folder.is_dir():  # a cleaner of temporary folders may have removed it
            parent = private_folder()
            with self._write_errors():
                self._folder = Path(tempfile.mkdtemp(prefix="df2-photos-", dir=parent))
            # Worker processes run no other functions at their end; a fork does not call it.
            self._removal = Finalize(self, shutil.rmtree, (self._folder, True), exitpriority=0)
        with self._write_errors():
            return Path(tempfile.mkdtemp(dir=self._folder))

    def _index(self, split: str, path: Path) -> PhotoIndex | ZipPhotoIndex:
        if split not in self._indexes:
            try:
                self._indexes[split] = _open_index(path, self._listed[split][0])
            except (OSError, ValueError):  # the process that listed them has ended, or the file was cut
                with self._listing:
                    if self._listed[split][1] == path:
                        self._list(split)
                    listed = self._listed[split][1]
                assert listed is not None
                self._indexes[split] = _open_index(listed, self._listed[split][0])
        return self._indexes[split]

    def _read_file(self, split: str, source: LocalFolder, image_id: int) -> bytes | Fault | None:
        """Return the bytes of a photo of a local folder; the folder is listed only where a name is unusual."""
        folder = self._handles.get(split)
        if folder is None:
            folder = self._handles.setdefault(split, _Folder(source, split))
        assert isinstance(folder, _Folder)
        return folder.read(image_id)

    def _read_entry(self, split: str, source: Source, entry: Entry) -> bytes | Fault:
        """Return the bytes of a listed photo, out of the cache if it is remote."""
        if isinstance(entry.locator, Fault):
            return entry.locator
        is_kept = local_path(self._place(split)) is None and PhotoCache.can_find(entry)
        cache = self._photo_cache if is_kept else None
        if cache is not None and (hit := cache.read(split, entry)):
            return hit[0]
        data = self._fetch(source, entry)
        if cache is not None and not isinstance(data, Fault):
            try:
                cache.add(split, entry, data)
            except StorageError as error:
                detail = getattr(error.__cause__, "strerror", None) or str(error)
                raise StorageError(
                    f"Cannot keep photos in {self._cache}: {detail}. cache= names another folder; without it, photos "
                    "are read from their place each time."
                ) from error
        return data

    def _fetch(self, source: Source, entry: Entry) -> bytes | Fault:
        if isinstance(source, ZipParts):
            number, locator = entry.locator
            source, entry = source.parts[number], entry._replace(locator=locator)
        if isinstance(source, ZipSource):
            return self._ranges(source.url, source.members.options).member(source.members, entry.locator, MAX_PHOTO)
        if isinstance(source, TarSource) and isinstance(entry.locator[0], int):
            offset, size = entry.locator
            return self._ranges(source.url, source.options).content(offset, size, MAX_PHOTO, entry.name)
        try:
            return next(iter(source.read_photos([entry])))
        except UnreadableSourceError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return Fault("is no longer there: it was removed after the photos were listed")
            raise

    def _ranges(self, url: str, options: Mapping[str, Any]) -> RangeReader:
        handle = self._handles.get(url)
        if handle is None:
            handle = self._handles.setdefault(url, RangeReader(url, options))
        assert isinstance(handle, RangeReader)
        return handle


def _open_index(path: Path, source: Source) -> PhotoIndex | ZipPhotoIndex:
    """Return the index in a file: of an ordinary zip archive, or of any other source."""
    check_own(path.parent)
    if path.suffix:
        assert isinstance(source, ZipSource)
        return ZipPhotoIndex(path, source)
    return PhotoIndex(path)


class _Folder:
    """The photos of an open local folder."""

    def __init__(self, source: LocalFolder, split: str) -> None:
        self._source, self._split = source, split
        self._reader: LocalReader = source.reader("image")
        self._close = weakref.finalize(self, self._reader.__exit__)
        self._photos: Entries | None = None

    def read(self, image_id: int) -> bytes | Fault | None:
        """Return the bytes of a photo, its fault, or None where there is none."""
        usual = f"{image_id:06d}.{PHOTO_SUFFIXES[0]}"
        try:
            return self._reader.read(usual, MAX_PHOTO)
        except SourceError as error:
            if not isinstance(error.__cause__, FileNotFoundError):
                raise
        if self._photos is None:
            self._photos = self._source.list_files(self._split, photos=True).photos
        entry = self._photos.find([image_id])[0]
        return None if entry is None or entry.name == usual else self._reader.read(entry.name, MAX_PHOTO)

    def close(self) -> None:
        """Close the folder."""
        self._close()
