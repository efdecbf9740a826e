"""Tar archives as sources, plain or gzip-compressed, read in place, never unpacked to disk."""

from __future__ import annotations

import gzip
import io
import tarfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Self

from registry.errors import SourceError
from registry.filesystems import open_binary
from registry.ingest.archives import choose_prefix, reopen
from registry.ingest.issues import Issue
from registry.ingest.sources import MEMBER, Entry, Listing, Size, build_listing, image_size, shown_name


class _Header(tarfile.TarInfo):
    """A member's header; a damaged or missing one is an error, where tarfile would see the archive's end."""

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]  # the zeros that mark the end
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"{error} at byte {archive.offset}") from error


@dataclass
class TarSource:
    """One split in a tar archive, plain or gzip-compressed.

    In a plain one members are read where they lie. A compressed one has no such places, so listing keeps each
    annotation (compressed again, about a quarter of its size) and each photo's width and height.
    """

    url: str
    options: Mapping[str, Any]

    @property
    def _compressed(self) -> bool:
        return not self.url.endswith(".tar")

    def list_files(self, split: str, *, photos: bool) -> Listing:
        """Read the archive's headers, and its annotations where it is compressed."""
        found: dict[str, list[tuple[str, str, Any, int, None]]] = {}
        odd: dict[str, list[Issue]] = {}
        try:
            with closing(open_binary(self.url, self.options)) as raw, self._unpacked(raw) as archive:
                for member in archive:
                    match = MEMBER.fullmatch(member.name)
                    if match and (photos or match["kind"] == "annos"):
                        kind, name, lead = match["kind"], match["name"], match["lead"] or ""
                        rows = found.setdefault(lead, [])
                        if member.isreg():
                            rows.append((kind, name, self._locator(archive, member, kind), member.size, None))
                        elif not name.startswith("."):
                            what = "a folder" if member.isdir() else "a link or device"
                            issue = Issue(f"{split}/{kind}/{shown_name(name)}", (), f"expected a file, found {what}")
                            odd.setdefault(lead, []).append(issue)
                    archive.members = []  # type: ignore[attr-defined]  # or it keeps every header
        except FileNotFoundError as error:
            raise SourceError(f"{self.url} does not exist.") from error
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            raise SourceError(
                f"{self.url} is not a complete tar archive ({error}). Is the download finished? Fetch it again."
            ) from error
        prefix = choose_prefix(self.url, split, (f"{lead}/annos/x" if lead else "annos/x" for lead in found))
        listing = build_listing(split, found[prefix])
        listing.issues += odd.get(prefix, [])
        return listing

    @contextmanager
    def _unpacked(self, raw: BinaryIO) -> Iterator[tarfile.TarFile]:
        """Yield the open archive. A compressed one is read to its very end, where its checksum is."""
        if not self._compressed:
            with tarfile.open(fileobj=raw, mode="r:", tarinfo=_Header) as archive:
                yield archive
            return
        with gzip.GzipFile(fileobj=raw) as file:
            with tarfile.open(fileobj=file, mode="r|", tarinfo=_Header) as archive:
                yield archive
            while file.read(1 << 20):
                pass

    def _locator(self, archive: tarfile.TarFile, member: tarfile.TarInfo, kind: str) -> Any:
        if not self._compressed:
            return member.offset_data, member.size
        content = archive.extractfile(member)
        assert content is not None  # a regular file has content
        data = content.read()
        if len(data) < member.size:
            raise tarfile.ReadError("unexpected end of data")
        return zlib.compress(data, 1) if kind == "annos" else image_size(io.BytesIO(data))

    def read(self, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        """Yield each member's bytes."""
        if self._compressed:
            yield from (zlib.decompress(entry.locator) for entry in entries)
            return
        with closing(reopen(self.url, self.options)) as file:
            for entry in entries:
                offset, size = entry.locator
                try:
                    file.seek(offset)
                    data = file.read(size)
                    yield data if len(data) == size else OSError("the archive ends in the middle of it")
                except OSError as error:
                    yield error

    def read_photos(self, entries: Sequence[Entry]) -> Iterator[bytes | OSError]:
        """Yield each photo's bytes.

        Raises:
            SourceError: the archive is compressed, so nothing in it can be read without reading all before it.
        """
        if self._compressed:
            raise SourceError(f"Photos cannot be taken out of {self.url}: unpack it, or use the zip or a plain .tar.")
        return self.read(entries)

    def photo_sizes(self, entries: Sequence[Entry]) -> list[Size]:
        """Return the size of each photo, from its header."""
        if self._compressed:
            return [entry.locator for entry in entries]
        with closing(reopen(self.url, self.options)) as file:
            sizes: list[Size] = []
            for entry in entries:
                offset, size = entry.locator
                try:
                    file.seek(offset)
                    sizes.append(image_size(io.BytesIO(file.read(size))))
                except OSError as error:
                    sizes.append(f"cannot be read: {error.strerror or error}")
            return sizes
