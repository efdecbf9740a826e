"""The vector of a photo that is in no registry, made as those of a model were."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from registry.embeddings.embedders import Embedder, Vectors, embed, open_embedder
from registry.embeddings.sources import find_model, is_model_name
from registry.errors import UnknownNameError, UsageError
from registry.redaction import printable, redact
from registry.sources.faults import MAX_PHOTO
from registry.sources.photo_crops import Edges, crop_within
from registry.sources.photo_decoding import PhotoError, Pixels, decode_upright
from registry.storage.options import StorageOptions
from registry.storage.place import Place

if TYPE_CHECKING:
    from registry.store.registry import Registry


@dataclass(frozen=True, slots=True)
class PhotoVector:
    """The vector of a photo, or of a box in it.

    Attributes:
        name: of the photo's file, without its folder.
        pixels: uint8 [height, width, 3] of the photo as viewers show it.
        box: x1, y1, x2, y2, px; None for the whole photo.
        edges: left, top, right and bottom of the crop that the embedder saw, px.
        vector: float32 [dimensions].
        notices: plain sentences on how it was made.
    """

    name: str
    pixels: Pixels
    box: tuple[float, float, float, float] | None
    edges: Edges
    vector: Vectors
    notices: list[str]

    @property
    def crop(self) -> Pixels:
        """The pixels that the embedder saw."""
        left, top, right, bottom = self.edges
        return self.pixels[top:bottom, left:right]


def photo_vector(
    registry: Registry,
    photo: str | os.PathLike[str],
    box: Sequence[float] | None = None,
    *,
    embeddings: Any = None,
    embedder: str | Embedder | None = None,
    storage_options: StorageOptions | None = None,
) -> PhotoVector:
    """Return the vector of a photo, made by the embedder of a model; the crop has the embedder's margin.

    Args:
        registry: an open registry.
        photo: path or fsspec URL of a JPEG, PNG or WebP.
        box: x1, y1, x2, y2 of the garment, px from the top left corner of the photo as viewers show it; the whole photo
            without it.
        embeddings: the vectors to compare with, see :func:`registry.embeddings.sources.open_vectors`.
        embedder: that made those vectors, or its name; by default that of the model's name.
        storage_options: passed to fsspec for a URL.

    Raises:
        NotFoundError: there is no such photo, or the registry has no model.
        UnknownNameError: there is no such model or embedder.
        UsageError: the file is no photo, the box is none of the photo, or the embedder is not that of the model.
        StorageError: the photo cannot be read.
    """
    corners = None if box is None else _corners(box)
    maker, notices = _embedder_of(registry, embeddings, embedder)
    shown = redact(os.fspath(photo))
    data = _read(os.fspath(photo), storage_options)
    try:
        pixels, orientation = decode_upright(data)
    except PhotoError as error:
        raise UsageError(f"{printable(shown)} is no photo that can be used: {error}.") from error
    height, width = pixels.shape[:2]
    if orientation != 1:
        notices.append(
            f"the photo is turned as its EXIF orientation {orientation} says, to {width} x {height} px; a box counts "
            "these pixels"
        )
    edges = (0, 0, width, height)
    if corners is None:
        notices.append("without a box, the whole photo is compared with the boxes of items")
    else:
        edges = _edges(corners, maker.margin, width, height)
        if min(corners) < 0 or corners[2] > width or corners[3] > height:
            notices.append(f"the box reaches beyond the photo of {width} x {height} px, and is cut at its edges")
    left, top, right, bottom = edges
    crop = np.ascontiguousarray(pixels[top:bottom, left:right])
    (vector,) = embed(maker, [crop], [printable(shown)])
    name = os.path.basename(shown.partition("?")[0] if "://" in shown else shown)
    return PhotoVector(name, pixels, corners, edges, vector, notices)


def _read(photo: str, storage_options: StorageOptions | None) -> bytes:
    """Return the bytes of a photo; raise UsageError where it is larger than photos are."""
    folder, slash, name = photo.rpartition("/")
    place = Place(folder or slash or ".", storage_options)
    size = place.size(name)
    if size > MAX_PHOTO:
        shown = printable(redact(photo))
        raise UsageError(f"{shown} has {size:,} bytes: expected a photo of at most {MAX_PHOTO:,} bytes.")
    return place.read_range(name, 0, size) if size else b""


def _corners(box: Sequence[float]) -> tuple[float, float, float, float]:
    """Return a box as four numbers in their order; raise UsageError for another."""
    expected = "expected x1,y1,x2,y2: its left, top, right and bottom edge in px"
    try:
        x1, y1, x2, y2 = (float(value) for value in box)
    except (TypeError, ValueError) as error:
        raise UsageError(f"The box: {expected}, found {printable(str(box))}.") from error
    corners = x1, y1, x2, y2
    text = ",".join(f"{value:g}" for value in corners)
    if not all(map(math.isfinite, corners)):
        raise UsageError(f"The box: {expected}, found {text}.")
    if x1 >= x2 or y1 >= y2:
        raise UsageError(f"The box {text} has no area: expected x1 below x2 and y1 below y2 (no width and height).")
    return corners


def _edges(corners: Sequence[float], margin: float, width: int, height: int) -> Edges:
    edges = crop_within(corners, margin, width, height)
    if edges is None:
        text = ",".join(f"{value:g}" for value in corners)
        raise UsageError(f"The box {text} lies outside the photo, which has {width} x {height} px.")
    return edges


def _embedder_of(registry: Registry, embeddings: Any, embedder: str | Embedder | None) -> tuple[Embedder, list[str]]:
    """Return the embedder that made the vectors of a model or a file, and notices on where that is not sure.

    Raises:
        UnknownNameError: there is no such model or embedder.
        UsageError: a file does not tell its embedder; or the embedder has other weights than the model, or makes
            vectors of another length.
    """
    if embeddings is not None and not is_model_name(embeddings):
        if embedder is None:
            raise UsageError("A file of vectors does not tell which embedder made them: name it with --embedder.")
        return open_embedder(embedder), []
    model = find_model(registry, embeddings)
    if embedder is None:
        try:
            maker = open_embedder(model)
        except UnknownNameError as error:
            raise UnknownNameError(
                f"No embedder that is installed has the name of the model {model}: install it, or name the embedder "
                f"that made the vectors with --embedder. {error}"
            ) from error
    else:
        maker = open_embedder(embedder)
    query = "SELECT dimensions, weights, crop FROM embedding_models WHERE model = $model LIMIT 1"
    ((dimensions, weights, crop),) = registry.sql(query, {"model": model}).fetchall()
    name = f"the embedder {printable(maker.name)}"
    if maker.dimensions != dimensions:
        raise UsageError(
            f"The model {model} has vectors of {dimensions:,} numbers, and {name} makes vectors of "
            f"{maker.dimensions:,}: they cannot be compared."
        )
    own_weights = getattr(maker, "weights", None)
    notices = []
    if weights is not None and own_weights is not None and weights != own_weights:
        raise UsageError(
            f"The vectors of the model {model} were made with the weights {weights[:12]}..., and {name} has "
            f"{own_weights[:12]}...: they cannot be compared. 'df2 embeddings make --replace' makes the vectors anew."
        )
    if (weights is None) != (own_weights is None):
        silent = f"the model {model}" if weights is None else name
        notices.append(f"{silent} does not tell its weights, so that they could not be compared")
    if crop is not None and crop != maker.crop:
        notices.append(
            f"items of the model {model} were cut out as '{printable(crop)}', and {name} cuts out "
            f"'{printable(maker.crop)}'"
        )
    return maker, notices
