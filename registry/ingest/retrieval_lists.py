"""The published query and gallery lists, in all their forms, and how they agree with the annotations."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from registry.dataset.deepfashion2 import CATEGORY_BY_ID
from registry.dataset.tables import RETRIEVAL_LISTS, record_batch
from registry.errors import SourceError
from registry.ingest.diagnose_lists import Box, ListEntry, read_list
from registry.ingest.shard import BadFile
from registry.sources.folders import RemoteFolder
from registry.sources.issues import Issue
from registry.sources.listing import Entry
from registry.sources.open import is_remote_folder
from registry.sources.reading import MAX_LIST, Fault, LocalReader, cannot_read, read_file, shown_name
from registry.sources.zips import zip_members
from registry.storage.filesystems import StorageOptions, filesystem, local_path, retried

if TYPE_CHECKING:
    import pyarrow as pa

#: File name pattern -> role of its entries. keypoints_*.json say nothing of retrieval.
_ROLES: Final = {
    "*query*.txt": "query",
    "*gallery*.txt": "gallery",
    "*query*.json": "query",
    "*gallery*.json": "gallery",
    "retrieval_*consumer_information.json": "query",
    "retrieval_*shop_information.json": "gallery",
}
_SOURCE_OF_ROLE: Final = {"query": "user", "gallery": "shop"}


#: What identifies an item in the lists: image_id, pair_id, style, box.
_ItemKey = tuple[int, int, int, Box]


@dataclass(slots=True)
class RetrievalLists:
    """The entries of all lists of one split, and what the annotations say of the same images.

    Attributes:
        split: the split.
        entries: in the order of the files' names and of the entries in them.
        bad_files: lists that cannot be read.
    """

    split: str
    entries: list[ListEntry] = field(default_factory=list)
    bad_files: list[BadFile] = field(default_factory=list)
    _roles: dict[int, str] = field(default_factory=dict)
    _sources: dict[int, str | None] = field(default_factory=dict)
    # role -> item -> its categories (items that are the same in all but the category are possible)
    _items: dict[str, dict[_ItemKey, set[str]]] = field(default_factory=lambda: {"query": {}, "gallery": {}})

    def add(self, entries: Sequence[ListEntry]) -> None:
        """Take the entries of one file."""
        self.entries += entries
        for entry in entries:
            self._roles.setdefault(entry.image_id, entry.role)

    def source_of(self, image_id: int) -> str | None:
        """Return user or shop for an image that stands in a list, None for another."""
        role = self._roles.get(image_id)
        return _SOURCE_OF_ROLE[role] if role else None

    def note_rows(self, images: pa.RecordBatch, items: pa.RecordBatch | None) -> None:
        """Remember what the annotations say, for :meth:`disagreements`."""
        if not self.entries:
            return
        self._sources.update(zip(images["image_id"].to_pylist(), images["source"].to_pylist(), strict=True))
        if items is None:
            return
        names = ("source", "category_name", "image_id", "pair_id", "style", "x1", "y1", "x2", "y2")
        columns = (items[name].to_pylist() for name in names)
        for source, category, image_id, pair_id, style, *box in zip(*columns, strict=True):
            if source == "shop" or style > 0:
                role = "gallery" if source == "shop" else "query"
                self._items[role].setdefault((image_id, pair_id, style, tuple(box)), set()).add(category)

    def disagreements(self) -> list[str]:
        """Return every contradiction between the lists and the annotations, a line each."""
        found = []
        listed: dict[tuple[str, str], set[_ItemKey]] = {}
        annotated = any(self._items.values())
        for entry in self.entries:
            where = f"{entry.list_file} > entry {entry.entry_no}: image {entry.image_id:06d}"
            if entry.image_id not in self._sources:
                found.append(f"{where} is not among the images of {self.split}")
                continue
            source = self._sources[entry.image_id]
            if source is not None and source != _SOURCE_OF_ROLE[entry.role]:
                found.append(f"{where} is listed as {entry.role}, its source is {source}")
            if entry.box is None or entry.style is None or entry.pair_id is None or not annotated:
                continue
            key = (entry.image_id, entry.pair_id, entry.style, entry.box)
            listed.setdefault((entry.list_file, entry.role), set()).add(key)
            categories = self._items[entry.role].get(key)
            if categories is None:
                found.append(f"{where} has no {entry.role} item with {_describe(key)}")
            elif entry.category_id is not None and CATEGORY_BY_ID[entry.category_id].name not in categories:
                listed_as = CATEGORY_BY_ID[entry.category_id].name
                found.append(f"{where} is listed as {listed_as}, its item is {' and '.join(sorted(categories))}")
        for (list_file, role), keys in listed.items():
            for key in self._items[role].keys() - keys:
                found.append(f"{list_file}: lacks the {role} item of image {key[0]:06d} with {_describe(key)}")
        return sorted(found)

    def batch(self) -> pa.RecordBatch:
        """Return the entries as rows of the table retrieval_lists."""
        rows = [
            (e.list_file, e.entry_no, e.role, e.image_id, *(e.box or (None,) * 4), e.category_id, e.style, e.pair_id)
            for e in sorted(self.entries, key=lambda entry: (entry.list_file, entry.entry_no))
        ]
        return record_batch(RETRIEVAL_LISTS, zip(*rows, strict=True))


def _describe(key: _ItemKey) -> str:
    return f"pair_id {key[1]}, style {key[2]} and box {list(key[3])}"


def read_retrieval(
    split: str, urls: Sequence[str], options: StorageOptions | None = None, password: str | None = None
) -> RetrievalLists:
    """Read the query and gallery lists of one split.

    Args:
        split: the split they belong to.
        urls: files, or folders or zips of them, local or remote. In a folder or zip only files with the published
            names are read (``*query*``, ``*gallery*``, ``retrieval_*_information.json``).
        options: passed to fsspec.
        password: of a protected zip.

    Raises:
        SourceError: a path does not exist, or a file's name does not tell which list it is.
    """
    lists = RetrievalLists(split)
    seen = set()
    for name, data in retrieval_files(urls, options, password):
        if name in seen:
            raise SourceError(f"Two retrieval lists are named {name}; expected one of each name, all of {split}.")
        seen.add(name)
        if isinstance(data, Fault):
            lists.bad_files.append(BadFile(name, (Issue(name, (), data),), None))
            continue
        entries, issues = read_list(name, _role(name), data)
        lists.add(entries)
        if issues:
            lists.bad_files.append(BadFile(name, tuple(issues), data))
    return lists


def retrieval_files(
    urls: Sequence[str], options: StorageOptions | None = None, password: str | None = None
) -> list[tuple[str, bytes | Fault]]:
    """Return (name, bytes or what is wrong with it) of the list files at these paths; see :func:`read_retrieval`."""
    return [
        (shown_name(name), data)
        for url in urls
        for name, data in sorted(_files(url, options, password), key=lambda file: file[0])
    ]


def _role(name: str) -> str:
    if name.startswith("."):
        return ""  # what systems leave behind
    for pattern, role in _ROLES.items():
        if fnmatch.fnmatch(name, pattern):
            return role
    return ""


def _files(url: str, options: StorageOptions | None, password: str | None) -> Iterator[tuple[str, bytes | Fault]]:
    """Yield (name, bytes or what is wrong with it) of the list files at a path."""
    path = local_path(url)
    try:
        if url.endswith(".zip"):
            yield from zip_members(url, lambda name: bool(_role(name)), options, password)
        elif path is not None and path.is_dir():
            with LocalReader(path, []) as reader:
                yield from ((name, reader.read(name, MAX_LIST)) for name in os.listdir(path) if _role(name))
        elif path is None and is_remote_folder(url, options):
            fs, inner = filesystem(url, options)
            entries = [
                Entry(0, info["name"].rpartition("/")[2], info["name"], info.get("size"))
                for info in retried(lambda: fs.ls(inner, detail=True))
                if info["type"] == "file" and _role(info["name"].rpartition("/")[2])
            ]
            contents = RemoteFolder(url, dict(options or {})).read_lists(entries)
            yield from zip((entry.name for entry in entries), contents, strict=True)
        else:
            name, data = url.rpartition("/")[2], read_file(url, MAX_LIST, options)
            if not _role(name):
                raise SourceError(f"{url} is no retrieval list: expected a name like {', '.join(_ROLES)}.")
            yield name, data
    except FileNotFoundError as error:
        raise SourceError(f"{url} does not exist; expected query and gallery lists.") from error
    except ValueError as error:  # a path that the system cannot take
        raise SourceError(f"Cannot read the retrieval lists at {shown_name(url)}: {error}") from error
    except OSError as error:
        raise cannot_read(f"the retrieval lists at {shown_name(url)}", error) from error
