"""Samples of the tar shards of a WebDataset export: the files of a sample share a name up to its first dot."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from registry.errors import SourceError
from registry.sources.faults import MAX_PHOTO, shown_name, too_large
from registry.sources.file_objects import open_file
from registry.sources.tar_headers import READ_ERRORS, Header
from registry.storage.options import StorageOptions
from registry.storage.paths import trimmed
from registry.wording import plural


class Files(NamedTuple):
    """The files of a sample.

    Attributes:
        key: their name up to the first dot, such as ``train_000012``.
        by_suffix: suffix -> bytes.
    """

    key: str
    by_suffix: dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Shard:
    """A tar of an export.

    Attributes:
        name: of the file.
        num_samples: number of images in it.
        has_photos: whether each image has its photo.
    """

    name: str
    num_samples: int
    has_photos: bool


@dataclass(frozen=True, slots=True)
class ShardList:
    """The shards of a part of an export: all have the same number of images, but for the last.

    Attributes:
        part: name of the part.
        num_samples: number of its images.
        shard_size: images of a shard.
        has_photos: whether each image has its photo.
        registry: digest of the manifest of the registry that was exported.
    """

    part: str
    num_samples: int
    shard_size: int
    has_photos: bool
    registry: str

    def __len__(self) -> int:
        """Return the number of shards with images."""
        return (self.num_samples + self.shard_size - 1) // self.shard_size

    def __getitem__(self, number: int) -> Shard:
        """Return a shard by its number, from 0."""
        num_samples = min(self.shard_size, self.num_samples - number * self.shard_size)
        return Shard(f"{self.part}-{number:06d}.tar", num_samples, self.has_photos)


@dataclass(frozen=True, slots=True)
class TarSamples:
    """Reads samples of shards; opens each shard when it is read.

    Attributes:
        url: folder or fsspec URL of the shards.
        storage_options: passed to fsspec.
        decode: whether photos are decoded.
    """

    url: str
    storage_options: StorageOptions | None
    decode: bool

    def read(self, shard: Shard, first: int, wanted: Sequence[bool]) -> Iterator[tuple[int, Files]]:
        """Yield place in the shard and files of the wanted samples.

        Args:
            shard: the shard.
            first: place of the first sample that ``wanted`` is about.
            wanted: whether to read this sample and each after it. The others are passed over by their headers.

        Raises:
            SourceError: the shard is missing, damaged, or has another number of samples than the manifest says.
        """
        url = f"{trimmed(self.url)}/{shard.name}"
        stop = first + len(wanted)
        place = -1
        try:
            with (
                open_file(url, self.storage_options) as file,
                tarfile.open(fileobj=file, mode="r:", tarinfo=Header) as archive,
            ):
                for place, (key, members) in enumerate(_samples(archive)):
                    if place >= stop:
                        break
                    if place >= first and wanted[place - first]:
                        yield place, Files(key, _contents(archive, members))
        except FileNotFoundError:
            raise SourceError(f"{url} is missing: export the shards again, or copy all of them.") from None
        except READ_ERRORS as error:
            raise SourceError(f"Cannot read {url}: {error or 'damaged'}. Export or copy it again.") from error
        if place + 1 < stop or (stop == shard.num_samples and place >= stop):
            number = f"more than {stop:,}" if place >= stop else f"{place + 1:,}"
            raise SourceError(
                f"{url} has {number} samples; expected {shard.num_samples:,} by export.json. Export or copy it again."
            )

    def sample(self, shard: Shard, files: Files) -> dict[str, Any]:
        """Return a sample: the values of its JSON, and its photo under ``photo``, or None.

        Raises:
            SourceError: JSON or photo are damaged.
        """
        url, key = f"{trimmed(self.url)}/{shard.name}", files.key
        photos = [data for suffix, data in files.by_suffix.items() if suffix != "json"]
        if "json" not in files.by_suffix or len(photos) != shard.has_photos:
            expected = "its JSON and a photo" if shard.has_photos else "its JSON alone"
            found = ", ".join(f"{key}.{suffix}" for suffix in files.by_suffix)
            raise SourceError(f"{url}: {key}: expected {expected}, found {shown_name(found)}. Export or copy it again.")
        try:
            sample = msgspec.json.decode(files.by_suffix["json"], type=dict[str, Any])
            found_key = f"{sample['split']}_{sample['image_id']:06d}"
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, LookupError, TypeError, ValueError) as error:
            raise SourceError(f"{url}: the JSON of {key} is damaged: {error or type(error).__name__}.") from error
        if found_key != key:
            raise SourceError(f"{url}: the JSON of {key} is that of {found_key}. Export or copy it again.")
        sample["photo"] = photos[0] if photos else None
        if photos and self.decode:
            sample["photo"] = self._decoded(shard, sample)
        return sample

    def _decoded(self, shard: Shard, sample: dict[str, Any]) -> npt.NDArray[np.uint8]:
        """Return the pixels of the photo of a sample."""
        from registry.sources.photo_decoding import PhotoError, decode_rgb

        try:
            pixels: npt.NDArray[np.uint8] = decode_rgb(sample["photo"])
            return pixels
        except PhotoError as error:
            key = f"{sample['split']}/image/{sample['image_id']:06d}"
            raise SourceError(f"{trimmed(self.url)}/{shard.name}: {key}: {error}.") from error


def _samples(archive: tarfile.TarFile) -> Iterator[tuple[str, list[tuple[str, tarfile.TarInfo]]]]:
    """Yield the key of each sample, and its members with their suffixes."""
    sample_key = None
    members: list[tuple[str, tarfile.TarInfo]] = []
    for member in archive:
        archive.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps all headers
        key, _, suffix = member.name.partition(".")
        if sample_key is not None and key != sample_key:
            yield sample_key, members
            members = []
        sample_key = key
        members.append((suffix, member))
    if sample_key is not None:
        yield sample_key, members


def _contents(archive: tarfile.TarFile, members: Sequence[tuple[str, tarfile.TarInfo]]) -> dict[str, bytes]:
    """Return the bytes of the members of a sample by their suffixes.

    Raises:
        tarfile.ReadError: a member is no file, too large or cut, or two have the same name.
    """
    contents: dict[str, bytes] = {}
    for suffix, member in members:
        name = shown_name(member.name)
        if not member.isreg() or member.issparse():
            raise tarfile.ReadError(f"{name} is no plain file")
        if member.size > MAX_PHOTO:
            raise tarfile.ReadError(f"{name}: {too_large(member.size, MAX_PHOTO)}")
        if suffix in contents:
            raise tarfile.ReadError(f"{name} is there twice")
        file = archive.extractfile(member)
        data = file.read() if file is not None else b""
        if len(data) < member.size:
            raise tarfile.ReadError(f"{name} ends after {plural(len(data), 'byte')} of {member.size:,}")
        contents[suffix] = data
    return contents
