"""Opening the zip archive of a split, or the archives of a download in parts, which together hold a split."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from registry.dataset.file_names import PHOTO_SUFFIXES, number_in
from registry.sources.archives import SkippedMembers, choose_prefix, folders_at, other_split_notice
from registry.sources.build_listing import build_listing
from registry.sources.entries import Entry
from registry.sources.faults import Fault, shown_name
from registry.sources.issues import MAX_NAME_ISSUES, Issue
from registry.sources.listing import Kind, Listing, Source, kinds_to_list, renamed_folder_notices
from registry.sources.photo_headers import PhotoChecksum, Size
from registry.sources.zip_directory import incomplete
from registry.sources.zips import ZipSource
from registry.storage.filesystems import StorageOptions
from registry.wording import plural

_Value = TypeVar("_Value")


def open_zips(
    urls: Sequence[str], split: str, options: StorageOptions | None = None, password: str | None = None
) -> Source:
    """Return the source of a split in a zip archive, or in several that belong together.

    Raises:
        SourceError: an archive does not exist or is damaged, or none holds the split.
        PasswordError: an archive is protected and the password missing or wrong.
    """
    ordinary = ZipSource.open_ordinary(urls[0], split, options, password) if len(urls) == 1 else None
    if ordinary:
        return ordinary
    parts = [ZipSource.open(url, split, options, password) for url in urls]
    whole = SkippedMembers(", ".join(urls), split, [name for part in parts for name in part.refused])
    prefix = choose_prefix(whole, (name for part in parts for name in part.names))
    folders = folders_at(whole.url, prefix, (name for part in parts for name in part.names))
    for part in parts:
        part.prefix, part.folders = prefix, folders
        part.try_password()
    return parts[0] if len(parts) == 1 else ZipParts(parts)


@dataclass
class ZipParts:
    """A split in several zip archives. Locators are (number of the archive, locator in it)."""

    parts: list[ZipSource]

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """Return the files of all archives. A file in two archives counts once if both hold the same bytes.

        Raises:
            SourceError: an archive is damaged.
        """
        kinds = kinds_to_list(photos)
        firsts: dict[tuple[Kind, str], Entry] = {}
        num_doubles = 0
        issues: list[Issue] = []
        differing: set[int] = set()
        url = self.parts[0].url

        def files() -> Iterator[tuple[Kind, str, Any, int, int]]:
            nonlocal num_doubles, url
            for number, part in enumerate(self.parts):
                url = part.url
                for kind, name, locator, size, crc in part.files(kinds):
                    entry = Entry(0, name, (number, locator), size, crc)
                    first = firsts.setdefault((kind, name), entry)
                    if first is entry or first.locator[0] == number:
                        yield kind, name, entry.locator, size, crc
                    elif self._are_equal(first, entry):
                        num_doubles += 1
                    else:
                        archives = [_file_name(self.parts[k].url) for k in (first.locator[0], number)]
                        text = f"differs between {archives[0]} and {archives[1]}; expected the same bytes, or one file"
                        issues.append(Issue(f"{split}/{kind}/{shown_name(name)}", (), text))
                        if kind == "image" and (image_id := number_in(name, PHOTO_SUFFIXES)) is not None:
                            differing.add(image_id)

        try:
            listing = build_listing(split, files())
        except (OverflowError, ValueError) as error:  # sizes or offsets that no archive can have
            raise incomplete(url, error) from error
        listing.repeated_photos |= differing
        listing.issues += issues[:MAX_NAME_ISSUES]
        if len(issues) > MAX_NAME_ISSUES:
            text = f"{len(issues) - MAX_NAME_ISSUES:,} more files differ between two archives"
            listing.issues.append(Issue(split, (), text))
        for part in self.parts:
            listing.issues += part.skipped_issues()
            listing.notices += part.notices
        listing.notices += other_split_notice(self.parts[0].url, self.parts[0].prefix, split)
        listing.notices += renamed_folder_notices(split, self.parts[0].folders, kinds)
        if num_doubles:
            text = f"{plural(num_doubles, 'file')} in two of its archives, with the same bytes, counted once"
            listing.notices.append(f"{split}: {text}")
        return listing

    def _are_equal(self, first: Entry, second: Entry) -> bool:
        """Return whether two members have the same bytes; members with AES, which have no CRC, are read."""
        if first.size != second.size:
            return False
        if not any(self.parts[entry.locator[0]].members.aes for entry in (first, second)):
            return first.crc == second.crc
        data = [next(iter(self.read_photos([entry]))) for entry in (first, second)]
        return data[0] == data[1] and not isinstance(data[0], Fault)

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each annotation file."""
        return self._in_order(entries, ZipSource.read)

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | Fault]:
        """Yield the bytes or the fault of each photo."""
        return self._in_order(entries, ZipSource.read_photos)

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return width and height of each photo, from its header."""
        return list(self._in_order(entries, lambda part, in_part: iter(part.photo_sizes(in_part))))

    def photo_checksums(self, entries: Sequence[Entry]) -> Iterator[PhotoChecksum | Fault]:
        """Yield the checksum of each photo, from the directories."""
        return self._in_order(entries, ZipSource.photo_checksums)

    def _in_order(
        self, entries: Sequence[Entry], read: Callable[[ZipSource, Sequence[Entry]], Iterator[_Value]]
    ) -> Iterator[_Value]:
        """Yield a value for each entry, in order; each archive is opened once."""
        by_part: dict[int, list[Entry]] = {}
        for entry in entries:
            number, locator = entry.locator
            by_part.setdefault(number, []).append(entry._replace(locator=locator))
        values = {number: read(self.parts[number], in_part) for number, in_part in by_part.items()}
        for entry in entries:
            yield next(values[entry.locator[0]])


def _file_name(url: str) -> str:
    return shown_name(url.rpartition("/")[2])
