"""Samples of the tar shards of a WebDataset export: the files of a sample share a name up to its first dot."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from registry.errors import SourceError
from registry.sources.file_objects import open_file
from registry.sources.tar_headers import READ_ERRORS, Header
from registry.storage.options import StorageOptions
from registry.storage.paths import trimmed
from registry.wording import plural

#: Suffix -> bytes of the file.
Files = dict[str, bytes]


@dataclass(frozen=True, slots=True)
class Shard:
    """A tar of an export.

    Attributes:
        name: of the file.
        num_samples: number of images in it.
    """

    name: str
    num_samples: int


@dataclass(frozen=True, slots=True)
class ShardList:
    """The shards of a part of an export: all have the same number of images, but for the last.

    Attributes:
        part: name of the part.
        num_samples: number of its images.
        shard_size: images of a shard.
    """

    part: str
    num_samples: int
    shard_size: int

    def __len__(self) -> int:
        """Return the number of shards with images."""
        return (self.num_samples + self.shard_size - 1) // self.shard_size

    def __getitem__(self, number: int) -> Shard:
        """Return a shard by its number, from 0."""
        return Shard(f"{self.part}-{number:06d}.tar", min(self.shard_size, self.num_samples - number * self.shard_size))


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
                for place, members in enumerate(_samples(archive)):
                    if place >= stop:
                        break
                    if place >= first and wanted[place - first]:
                        yield place, {suffix: _bytes(archive, member) for suffix, member in members}
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
        photos = [data for suffix, data in files.items() if suffix != "json"]
        if "json" not in files:
            raise SourceError(f"{trimmed(self.url)}/{shard.name}: a sample has no JSON.")
        try:
            sample = msgspec.json.decode(files["json"], type=dict[str, Any])
        except msgspec.MsgspecError as error:
            raise SourceError(f"{trimmed(self.url)}/{shard.name}: the JSON of a sample is damaged: {error}.") from error
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


def _samples(archive: tarfile.TarFile) -> Iterator[list[tuple[str, tarfile.TarInfo]]]:
    """Yield the members of each sample, with their suffixes."""
    sample_key = None
    members: list[tuple[str, tarfile.TarInfo]] = []
    for member in archive:
        archive.members.clear()  # type: ignore[attr-defined]  # else tarfile keeps all headers
        key, _, suffix = member.name.partition(".")
        if key != sample_key and members:
            yield members
            members = []
        sample_key = key
        members.append((suffix, member))
    if members:
        yield members


def _bytes(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    """Return the bytes of a member."""
    file = archive.extractfile(member)
    data = file.read() if file is not None else b""
    if len(data) < member.size:
        raise tarfile.ReadError(f"{member.name} ends after {plural(len(data), 'byte')} of {member.size:,}")
    return data
