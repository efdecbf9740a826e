"""The photos of a release for the pages: their bytes, and thumbnails that are kept in memory up to a bound."""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from PIL import Image

from registry.errors import RegistryError
from registry.pictures.palette import SURROUNDINGS
from registry.pictures.photo import Photo, decode
from registry.redaction import redact
from registry.sources.faults import Fault
from registry.sources.photo_decoding import PhotoError, opened_photo

if TYPE_CHECKING:
    from registry.sources.photos import Photos

#: Widths of thumbnails, px: other ones would fill the cache.
WIDTHS: Final = (224, 448)
#: Bytes of thumbnails that are kept: some 6,000 of 224 px.
_MAX_BYTES: Final = 64 << 20
#: Threads that read and decode photos; pages have others, so that they do not wait behind thumbnails.
_THREADS: Final = 4
#: Seconds after which a place that could not be opened is tried again.
_AGAIN: Final = 30
#: Decoded px of a photo from which on it is decoded alone, and those that no photo may exceed: they bound the memory.
_LARGE: Final = 8_000_000
_LARGEST: Final = 60_000_000
_QUALITY: Final = 85

#: Left, top, right and bottom end of a part of a photo, px; it may reach beyond the photo.
Part = tuple[int, int, int, int]


@dataclass(frozen=True)
class MissingPhotoError(Exception):
    """There is no such photo; the text says why."""

    text: str


class Library:
    """The photos of a release and their thumbnails, for many threads.

    Args:
        photos: of the release; None without any.
    """

    def __init__(self, photos: Photos | None) -> None:
        self._photos = photos
        self._lock = threading.Lock()
        self._opening = threading.Lock()
        self._decoding = threading.Lock()
        #: Split -> None once its photos are listed; else the reason why not, and when to try again.
        self._opened: dict[str, tuple[str, float] | None] = {}
        self._thumbnails: OrderedDict[tuple[str, int, int, Part | None], bytes] = OrderedDict()
        self._bytes = 0
        # Threads are enough for protected zips too: with the extra zip a photo is decrypted in 0.8 ms.
        self.pool = ThreadPoolExecutor(_THREADS, "photos")

    def problem(self, split: str) -> str | None:
        """Return why no photo of a split can be shown; None where its place could be opened."""
        if self._photos is None:
            return "No photos are named: df2 browse --photos RELEASE shows them."
        with self._opening:  # a place is listed once; reading opens its files anew each time
            failure = self._opened.get(split, ("", 0.0))
            if failure is not None and time.monotonic() > failure[1]:
                try:
                    list(self._photos.find(split, ()))
                    failure = None
                except RegistryError as error:
                    failure = redact(str(error)), time.monotonic() + _AGAIN
                self._opened[split] = failure
            return None if failure is None else failure[0]

    def read(self, split: str, image_id: int) -> bytes:
        """Return the bytes of a photo.

        Raises:
            MissingPhotoError: there is none, or it cannot be read.
        """
        problem = self.problem(split)
        if problem is not None or self._photos is None:
            raise MissingPhotoError(problem or "")
        name = f"{split}/image/{image_id:06d}.jpg"
        try:
            (data,) = self._photos.find(split, [image_id])
        except RegistryError as error:
            raise MissingPhotoError(redact(str(error))) from error
        if data is None:
            raise MissingPhotoError(f"{name} is not among the photos.")
        if isinstance(data, Fault):
            raise MissingPhotoError(f"{name}: {data}.")
        return data

    def thumbnail(self, split: str, image_id: int, width: int, part: Part | None) -> bytes:
        """Return a part of a photo as JPEG.

        Args:
            split: of the photo.
            image_id: of the photo.
            width: px, from :data:`WIDTHS`.
            part: left, top, right and bottom end, px of the photo, perhaps beyond it; None for the whole photo.

        Raises:
            MissingPhotoError: there is no such photo, or it is damaged.
        """
        key = split, image_id, width, part
        with self._lock:
            if key in self._thumbnails:
                self._thumbnails.move_to_end(key)
                return self._thumbnails[key]
        data = self._smaller(self.read(split, image_id), width, part)
        with self._lock:
            if key not in self._thumbnails:
                self._thumbnails[key] = data
                self._bytes += len(data)
            while self._bytes > _MAX_BYTES:
                _, oldest = self._thumbnails.popitem(last=False)
                self._bytes -= len(oldest)
        return data

    def _smaller(self, data: bytes, width: int, part: Part | None) -> bytes:
        try:
            with opened_photo(data) as opened:
                size = opened.size
        except PhotoError as error:
            raise MissingPhotoError("The photo cannot be decoded.") from error
        num_pixels = size[0] * size[1]
        if num_pixels > _LARGEST:
            raise MissingPhotoError(f"The photo has {size[0]:,} x {size[1]:,} px, more than pages show.")
        part = part or (0, 0, *size)
        # The photo is decoded no larger than the thumbnail needs; a small part needs more.
        longer = max(1, round(max(size) * min(1.0, width / (part[2] - part[0]))))
        try:
            with self._decoding if num_pixels > _LARGE else nullcontext():
                photo = decode(data, longer)
        except PhotoError as error:
            raise MissingPhotoError(f"The photo is damaged: {error}.") from error
        return _jpeg(photo, part, width)


def _jpeg(photo: Photo, part: Part, width: int) -> bytes:
    """Return a part of a photo, with the surroundings of the photo where it reaches beyond."""
    scale = width / (part[2] - part[0])
    picture = Image.new("RGB", (width, max(1, round((part[3] - part[1]) * scale))), SURROUNDINGS)
    x1, y1, x2, y2 = max(part[0], 0), max(part[1], 0), min(part[2], photo.width), min(part[3], photo.height)
    if x1 < x2 and y1 < y2:
        across, down = photo.pixels.width / photo.width, photo.pixels.height / photo.height
        target = max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))
        box = (x1 * across, y1 * down, x2 * across, y2 * down)
        resized = photo.pixels.resize(target, Image.Resampling.LANCZOS, box=box, reducing_gap=2.0)
        picture.paste(resized, (round((x1 - part[0]) * scale), round((y1 - part[1]) * scale)))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()


def content_type(data: bytes) -> str | None:
    """Return the type of a photo by its first bytes; None for other bytes, which are never sent."""
    if data.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    return "image/webp" if data[:4] == b"RIFF" and data[8:12] == b"WEBP" else None
