"""Locating the folder or the archives that hold a split."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry.dataset.deepfashion2 import SPLITS
from registry.errors import SourceError, first_names
from registry.sources.faults import cannot_read, shown_name
from registry.sources.folder_names import entries, folders_in, is_absence, names_in
from registry.sources.listing import folder_kind
from registry.storage.filesystems import StorageOptions, filesystem, local_path, retried
from registry.storage.timeouts import NoAnswerError

#: File name suffixes of the archives that can be read; upper case is accepted too.
ARCHIVE_SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
#: Suffixes of other archives, and of parts that are no archives by themselves, for messages.
_OTHER_ARCHIVE: Final = re.compile(r"\.(?:7z|rar|tzst|zst|gz|bz2|xz|lzma|z\d\d|\d\d\d|part)\Z", re.IGNORECASE)
#: Name of a part of a download without its suffix. Google Drive numbers its archives so, from 001.
_PART: Final = re.compile(r"(?P<stem>.+)-(?P<number>0(?!00)\d\d)", re.ASCII)
#: Time of the download, which Google Drive writes before the number.
_DRIVE_TIME: Final = r"(?:-\d{8}T\d{6}Z(?:-\d{1,3})?)?"
#: Folders of a split.
_KINDS: Final = ("annos", "image")
#: Levels of folders to search below a place for those of a split, and folders to look into.
_MAX_LEVELS: Final = 3
_MAX_FOLDERS: Final = 200


@dataclass(frozen=True, slots=True)
class Location:
    """The place of a split.

    Attributes:
        urls: path or URL of the folder or archive; several for the archives of a download in parts.
        releases: folders that may hold the retrieval lists of the split.
        notices: a sentence for each unusual thing about the place that was accepted.
    """

    urls: tuple[str, ...]
    releases: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The place of the split, or of its first part."""
        return self.urls[0]


def archive_suffix(url: str) -> str:
    """Return the suffix of an archive that can be read, in lower case; "" for any other path."""
    lower = url.lower()
    return max((suffix for suffix in ARCHIVE_SUFFIXES if lower.endswith(suffix)), key=len, default="")


def locate_source(url: str, split: str, options: StorageOptions | None = None) -> Location:
    """Return the place of a split.

    Args:
        url: path or fsspec URL of a folder with ``annos/`` or ``image/``, of an archive of such a folder, or of a
            release: a folder with ``SPLIT/`` or an archive such as ``SPLIT.zip``. The suffix of an archive may be
            left out. These folders may lie deeper if only one can be meant, and parts of a download
            (``SPLIT-001.zip``, ``SPLIT-002.zip``) count as one archive.
        split: the split to read.
        options: passed to fsspec.

    Raises:
        SourceError: no folder or archive of the split exists at ``url``, several could be meant, or a part is missing.
    """
    url = url.rstrip("/")
    if archive_suffix(url):
        return _named_archive(url, split, options)
    if _is_split(url, options):
        return Location((url,))
    inner = f"{url}/{split}"
    if _is_split(inner, options):
        return Location((inner,), (url,))
    location = (
        _archives_at(inner, split, (url,), options)
        or _renamed_folders(url, (), options)
        or _renamed_folders(inner, (url,), options)
        or _nested_folder(url, split, options)
        or _archives_at(url, split, (), options)
    )
    if location is not None:
        return location
    accepted = ", ".join(ARCHIVE_SUFFIXES)
    folder, _, name = url.rpartition("/")
    if folder_kind(name) and _is_folder(url, options):
        above = folder or "the working directory"
        raise SourceError(f"{url} is the folder of the files themselves: name the folder above it, {above}.")
    if _OTHER_ARCHIVE.search(url) and _exists(url, options):
        raise SourceError(
            f"{url} is no archive that is read: expected {accepted} or a folder. Unpack it, and name the folder."
        )
    raise SourceError(
        f"Found no annotations or photos of {split} at {url}: expected a folder with annos/ or image/, "
        f"a folder with {split}/ or {split}.zip, an archive ({accepted}), or a COCO file.{_content_text(url, options)}"
    )


def release_lists(location: Location, split: str, options: StorageOptions | None = None) -> list[str]:
    """Return the paths of ``json_for_SPLIT`` (a folder or zip of retrieval lists) beside a split in a release."""
    lists = []
    for release in location.releases:
        path = f"{release}/json_for_{split}"
        if _is_folder(path, options):
            lists.append(path)
        else:
            lists += [path + suffix for suffix in (".zip", ".ZIP") if _exists(path + suffix, options)][:1]
    return lists


def other_parts(url: str, options: StorageOptions | None = None) -> list[str]:
    """Return the names of the other parts of a download beside a zip that is a part; none for any other archive."""
    own = url.rpartition("/")[2]
    if not _number(own):
        return []
    stem = url[: len(url) - len(own)] + _bare(own)[: -len("-001")]
    names = {name for name in _archives_beside(stem, options) if _key(name) == _key(own)}
    return sorted(names - {own}, key=_number)


def _content_text(url: str, options: StorageOptions | None) -> str:
    """Return a sentence with the first names in a folder, for messages; "" if it cannot be listed."""
    try:
        names = names_in(url, options)
    except OSError:
        return ""
    if not names:
        return " It is empty." if local_path(url) else ""
    return f" It holds {first_names([shown_name(name) for name in names], 5)}."


def is_remote_folder(url: str, options: StorageOptions | None) -> bool:
    """Return whether a URL is a folder.

    Raises:
        SourceError: the file system cannot be reached.
    """
    return _is_remote_kind(url, "directory", options)


def _named_archive(url: str, split: str, options: StorageOptions | None) -> Location:
    """Return the place of an archive that is named with its suffix: with its other parts, if it is a part."""
    suffix = archive_suffix(url)
    name = url.rpartition("/")[2][: -len(suffix)]
    part = _PART.fullmatch(name)
    if suffix != ".zip":
        return Location((url,))
    if part is None:
        local = local_path(url) is not None
        beside = [other for other in _archives_beside(url[: -len(suffix)], options) if _number(other)] if local else []
        name = shown_name(url.rpartition("/")[2])
        text = f"{split} is read from {name} alone, not from {first_names(beside, 5)} beside it"
        return Location((url,), (), (text,) if beside else ())
    parts = {*other_parts(url, options), url.rpartition("/")[2]}
    return _joined(url.rpartition("/")[0], sorted(parts, key=_number), split, ())


def _archives_at(
    candidate: str, split: str, releases: tuple[str, ...], options: StorageOptions | None
) -> Location | None:
    """Return the place of the archive with the path ``candidate`` and any suffix, or of its parts.

    Raises:
        SourceError: several archives could be meant, or a part is missing.
    """
    names = _archives_beside(candidate, options)
    if not names:
        return None
    folder = candidate.rpartition("/")[0]
    if len({_key(name) for name in names}) > 1:
        raise SourceError(
            f"Several archives could be {split}: {first_names(names, 10)} in {folder or 'the working directory'}. Name "
            "the one to read with its suffix, or move the others away."
        )
    return _joined(folder, sorted(names, key=_number), split, releases)


def _joined(folder: str, names: list[str], split: str, releases: tuple[str, ...]) -> Location:
    """Return the place of a single archive or of the parts of a download, in order."""
    urls = tuple(f"{folder}/{name}" if folder else name for name in names)
    numbers = [_number(name) for name in names]
    if numbers == [0]:
        return Location(urls, releases)
    missing = [f"{number:03d}" for number in range(1, numbers[-1] + 1) if number not in numbers]
    shown = first_names([shown_name(name) for name in names], 10)
    if missing:
        raise SourceError(
            f"{shown}: the number says that the download has more parts, and {first_names(missing, 10)} "
            f"{'is' if len(missing) == 1 else 'are'} not in {folder or 'the working directory'}. Fetch "
            f"{'it' if len(missing) == 1 else 'them'}, or rename the archive without the number if it is whole."
        )
    if len(urls) == 1:
        notice = f"{split} is read from {shown} alone; if its download had more parts (002 and so on), they are missing"
        return Location(urls, releases, (notice,))
    notice = f"{split} is read from {len(urls)} archives, the parts of one download: {shown}"
    return Location(urls, releases, (notice,))


def _bare(name: str) -> str:
    """Return the name of an archive without its suffix."""
    return name[: len(name) - len(archive_suffix(name))]


def _number(name: str) -> int:
    """Return the number of a part of a download, from its name; 0 for any other archive."""
    part = _PART.fullmatch(_bare(name))
    return int(part["number"]) if part and archive_suffix(name) == ".zip" else 0


def _key(name: str) -> str:
    """Return a text that the parts of a download have in common, and no other archive has."""
    return f"{_bare(name)[:-3]}N.zip" if _number(name) else name


def _archives_beside(candidate: str, options: StorageOptions | None) -> list[str]:
    """Return the names of the archives with the path ``candidate``, and of those that are numbered parts of it."""
    folder, _, stem = candidate.rpartition("/")
    if stem in ("", ".", ".."):
        return []
    pattern = re.compile(rf"{re.escape(stem)}(?:{_DRIVE_TIME}-0(?!00)\d\d)?", re.ASCII)
    names: list[str] = []
    is_listed = False
    if "://" in folder or "://" not in candidate:
        try:
            names = [name for name, is_folder in entries(folder or ".", options) if not is_folder]
            is_listed = True
        except NoAnswerError as error:
            raise cannot_read(folder, error) from error
        except FileNotFoundError:
            is_listed = True
        except OSError:
            pass  # files may be readable where their list is not
    if candidate.startswith(("http://", "https://")):
        is_listed = False  # a web server may have files that no page of it lists
    matching = {
        name
        for name in names
        if (suffix := archive_suffix(name)) and (bare := pattern.fullmatch(_bare(name))) and (
            bare[0] == stem or suffix == ".zip"
        )
    }  # fmt: skip
    if matching or is_listed:
        return sorted(matching)
    return [stem + suffix for suffix in ARCHIVE_SUFFIXES if _exists(candidate + suffix, options)]


def _renamed_folders(url: str, releases: tuple[str, ...], options: StorageOptions | None) -> Location | None:
    """Return a folder as a place if it has folders that only stand for ``annos`` and ``image``, such as ``images``."""
    return Location((url,), releases) if any(map(folder_kind, folders_in(url, options))) else None


def _nested_folder(url: str, split: str, options: StorageOptions | None) -> Location | None:
    """Return the place of a split in a folder deeper than expected, such as ``train/train`` of an unpacked zip.

    Raises:
        SourceError: several folders could be the split's.
    """
    leads = list(_split_folders(url, split, options))
    of_split = [lead for lead in leads if lead.rpartition("/")[2] == split]
    leads = of_split or leads
    if not leads:
        return None
    if len(leads) > 1:
        which = f" of {split}" if of_split else f", and none is {split}"
        shown = first_names([shown_name(lead) for lead in leads], 5)
        raise SourceError(f"{url} holds several folders{which}: {shown}. Name the one to read.")
    lead = leads[0]
    parts = lead.split("/")[:-1]
    releases = tuple("/".join([url, *parts[:number]]) for number in range(len(parts) + 1))
    notice = f"{split} is read from the folder {shown_name(lead)}/ in {shown_name(url.rpartition('/')[2])}"
    return Location((f"{url}/{lead}",), releases, (notice,))


def _split_folders(url: str, split: str, options: StorageOptions | None) -> Iterator[str]:
    """Yield the paths of the folders below a place that hold ``annos`` or ``image`` and are of no other split."""
    level = [""]
    num_folders = 0
    for _ in range(_MAX_LEVELS + 1):
        deeper = []
        for lead in level:
            num_folders += 1
            if num_folders > _MAX_FOLDERS:
                return
            names = folders_in(f"{url}/{lead}".rstrip("/"), options)
            if lead and any(map(folder_kind, names)):
                yield lead
            others = [other for other in SPLITS if other != split]
            deeper += [
                f"{lead}/{name}" if lead else name for name in names if not folder_kind(name) and name not in others
            ]
        level = deeper


def _is_split(url: str, options: StorageOptions | None) -> bool:
    """Return whether a folder has ``annos`` or ``image``."""
    return any(_is_folder(f"{url}/{kind}", options) for kind in _KINDS)


def _is_folder(url: str, options: StorageOptions | None) -> bool:
    path = local_path(url)
    return _has_local_mode(path, stat.S_ISDIR) if path else _is_remote_kind(url, "directory", options)


def _exists(url: str, options: StorageOptions | None) -> bool:
    path = local_path(url)
    return _has_local_mode(path, lambda mode: not stat.S_ISDIR(mode)) if path else _is_remote_kind(url, "file", options)


def _has_local_mode(path: Path, accepts: Callable[[int], bool]) -> bool:
    try:
        return accepts(os.stat(path).st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except ValueError as error:  # a path with a zero byte
        raise SourceError(f"Cannot read {shown_name(str(path))}: {error}") from error
    except OSError as error:
        raise cannot_read(shown_name(str(path)), error) from error


def _is_remote_kind(url: str, kind: str, options: StorageOptions | None) -> bool:
    """Return whether a remote URL is of a kind, ``file`` or ``directory``."""
    fs, inner = filesystem(url, options)

    def is_kind() -> bool:
        if fs.isdir(inner) if kind == "directory" else fs.isfile(inner):
            return True
        try:  # isdir() and isfile() return False after any failure; info() raises
            fs.info(inner)
        except FileNotFoundError as error:
            if not is_absence(error):
                raise OSError(str(error.__cause__)) from error
        return False

    try:
        return retried(is_kind)
    except OSError as error:
        raise cannot_read(url, error) from error
