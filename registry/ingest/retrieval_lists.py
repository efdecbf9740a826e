"""Reading the published query and gallery lists, in all their formats."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from registry.dataset.tables import RETRIEVAL_LISTS, record_batch
from registry.errors import SourceError
from registry.ingest.diagnose_lists import ListEntry, read_list
from registry.ingest.list_comparison import SOURCE_OF_ROLE, AnnotatedRows
from registry.ingest.shard import BadFile
from registry.parsing.text import MARK
from registry.sources.entries import Entry
from registry.sources.faults import MAX_LIST, Fault, cannot_read, shown_name
from registry.sources.file_objects import read_file
from registry.sources.folder_names import folders_in, names_in
from registry.sources.folders import RemoteFolder
from registry.sources.issues import Issue
from registry.sources.local_reader import LocalReader
from registry.sources.locate import archive_suffix, is_remote_folder
from registry.sources.zips import zip_lists
from registry.storage.filesystems import StorageOptions, filesystem, local_path, retried
from registry.wording import plural

if TYPE_CHECKING:
    import pyarrow as pa

#: File name pattern -> role of its entries. The other published lists, keypoints_*.json, are not about retrieval.
_ROLES: Final = {
    "*query*.txt": "query",
    "*gallery*.txt": "gallery",
    "*query*.json": "query",
    "*gallery*.json": "gallery",
    "retrieval_*consumer_information.json": "query",
    "retrieval_*shop_information.json": "gallery",
}


@dataclass(slots=True)
class RetrievalLists:
    """The retrieval lists of a split.

    Attributes:
        split: the split.
        entries: entries of all lists, list by list.
        bad_files: lists that cannot be read.
        notices: oddities of the lists that were accepted.
        named_sources: sources of images that the user names; they win over those of the lists.
    """

    split: str
    entries: list[ListEntry] = field(default_factory=list)
    bad_files: list[BadFile] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    named_sources: dict[int, str] = field(default_factory=dict)
    _roles: dict[int, str] = field(default_factory=dict)
    _annotated: AnnotatedRows = field(default_factory=AnnotatedRows)

    def add(self, entries: Sequence[ListEntry]) -> None:
        """Add the entries of a list."""
        self.entries += entries
        for entry in entries:
            self._roles.setdefault(entry.image_id, entry.role)

    def source_of(self, image_id: int) -> str | None:
        """Return user or shop as named, else by the role of an image in the lists; None for an image in no list."""
        role = self._roles.get(image_id)
        return self.named_sources.get(image_id) or (SOURCE_OF_ROLE[role] if role else None)

    def note_rows(self, images: pa.RecordBatch, items: pa.RecordBatch | None) -> None:
        """Keep rows of the tables images and items for :meth:`disagreements`; nothing if there are no lists."""
        if self.entries:
            self._annotated.add(images, items)

    def disagreements(self) -> list[str]:
        """Return a line for each contradiction between the lists and the rows, sorted."""
        return self._annotated.disagreements(self.split, self.batch()) if self.entries else []

    def batch(self) -> pa.RecordBatch:
        """Return the entries as rows of the table retrieval_lists."""
        rows = [
            (e.list_file, e.entry_no, e.role, e.image_id, *(e.box or (None,) * 4), e.category_id, e.style, e.pair_id)
            for e in sorted(self.entries, key=lambda entry: (entry.list_file, entry.entry_no))
        ]
        return record_batch(RETRIEVAL_LISTS, zip(*rows, strict=True))


def read_retrieval(
    split: str,
    named: Sequence[str],
    options: StorageOptions | None = None,
    password: str | None = None,
    *,
    found: Sequence[str] = (),
) -> RetrievalLists:
    """Return the query and gallery lists of a split.

    Args:
        split: the split.
        named: lists, or folders or zips of them, local or remote. In a folder or zip only files with the published
            names are read (``*query*``, ``*gallery*``, ``retrieval_*_information.json``).
        options: passed to fsspec.
        password: password of a protected zip.
        found: further folders and zips, which nobody named; a list in ``named`` wins over one of the same name here.

    Raises:
        SourceError: a path does not exist or cannot be read, a file is not named like a list, or two different lists
            in ``named`` have the same name.
    """
    lists = RetrievalLists(split)
    num_marked = 0
    files, lists.notices = retrieval_files(named, found, options, password)
    for name, data in files:
        if isinstance(data, Fault):
            lists.bad_files.append(BadFile(name, (Issue(name, (), data),), None))
            continue
        num_marked += data.startswith(MARK)
        entries, issues = read_list(name, _role(name), data)
        lists.add(entries)
        if issues:
            lists.bad_files.append(BadFile(name, tuple(issues), data))
    if num_marked:
        text = f"a byte order mark at the beginning of {plural(num_marked, 'list')} was left out; it changes no value"
        lists.notices.append(f"retrieval lists of {split}: {text}")
    return lists


def retrieval_files(
    named: Sequence[str], found: Sequence[str], options: StorageOptions | None = None, password: str | None = None
) -> tuple[list[tuple[str, bytes | Fault]], list[str]]:
    """Return (name, bytes or fault) of each list at these paths, and notices; see :func:`read_retrieval`."""
    files: dict[str, tuple[str, bytes | Fault]] = {}
    notices: list[str] = []
    for place in (*named, *found):
        url = folder_of_lists(place, options)
        if url != place:
            notices.append(f"{shown_name(place)}: the lists are read from the folder {_below(url, place)}/ in it")
        for listed, data in sorted(_files(url, options, password, notices), key=lambda file: file[0]):
            name = shown_name(listed)
            first, first_data = files.setdefault(name, (place, data))
            if first_data == data:
                continue
            if place in named:
                raise SourceError(
                    f"Two retrieval lists are named {name} and differ, at {first} and at {place}; expected one of each "
                    "name, all of one split: leave one out."
                )
            notices.append(f"{name}: the list at {first} is read, another one at {place} is passed over")
    return [(name, data) for name, (_, data) in files.items()], notices


def folder_of_lists(url: str, options: StorageOptions | None = None) -> str:
    """Return the folder with the lists of a folder: itself, or its only folder with lists if it has none itself.

    Archives that are unpacked into a folder of their own name have such a folder in it. Any other path is returned as
    it is.
    """
    if archive_suffix(url) or _has_lists(url, options) is not False:
        return url
    inner = [
        f"{url.rstrip('/')}/{name}"
        for name in folders_in(url, options)
        if _has_lists(f"{url.rstrip('/')}/{name}", options)
    ]
    return inner[0] if len(inner) == 1 else url


def _has_lists(url: str, options: StorageOptions | None) -> bool | None:
    """Return whether a folder has retrieval lists; None if the path is no folder."""
    try:
        names = names_in(url, options)
    except OSError:
        return None
    return any(_role(name) for name in names)


def _below(url: str, place: str) -> str:
    """Return the path of a folder below a place, for messages."""
    return shown_name(url[len(place.rstrip("/")) + 1 :])


def _role(name: str) -> str:
    """Return query or gallery by a file name, "" for any other file."""
    if name.startswith("."):  # left behind by operating systems
        return ""
    for pattern, role in _ROLES.items():
        if fnmatch.fnmatch(name, pattern):
            return role
    return ""


def _files(
    url: str, options: StorageOptions | None, password: str | None, notices: list[str]
) -> Iterator[tuple[str, bytes | Fault]]:
    """Yield (name, bytes or fault) of each list at a path; append notices."""
    path = local_path(url)
    try:
        if archive_suffix(url) == ".zip":
            yield from zip_lists(url, lambda name: bool(_role(name)), options, password, notices)
        elif path is not None and path.is_dir():
            with LocalReader(path, []) as reader:
                yield from ((name, reader.read(name, MAX_LIST)) for name in os.listdir(path) if _role(name))
        elif path is None and is_remote_folder(url, options):
            yield from _remote_files(url, options)
        else:
            name, data = url.rpartition("/")[2], read_file(url, MAX_LIST, options)
            if not _role(name):
                raise SourceError(f"{url} is no retrieval list: expected a name like {', '.join(_ROLES)}.")
            yield name, data
    except FileNotFoundError as error:
        raise SourceError(f"{url} does not exist; expected query and gallery lists.") from error
    except ValueError as error:  # a path with a zero byte
        raise SourceError(f"Cannot read the retrieval lists at {shown_name(url)}: {error}") from error
    except OSError as error:
        raise cannot_read(f"the retrieval lists at {shown_name(url)}", error) from error


def _remote_files(url: str, options: StorageOptions | None) -> Iterator[tuple[str, bytes | Fault]]:
    fs, inner = filesystem(url, options)
    files = [info for info in retried(lambda: fs.ls(inner, detail=True)) if info["type"] == "file"]
    entries = [Entry(0, info["name"].rpartition("/")[2], info["name"], info.get("size")) for info in files]
    entries = [entry for entry in entries if _role(entry.name)]
    contents = RemoteFolder(url, dict(options or {})).read_lists(entries)
    yield from zip((entry.name for entry in entries), contents, strict=True)
