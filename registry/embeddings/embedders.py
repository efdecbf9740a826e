"""Embedders, which make a vector of the crop of an item: those of the package, and those of plug-ins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import Final, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from registry.dataset.deepfashion2 import unknown_name
from registry.embeddings.colour_texture import ColourTexture
from registry.errors import RegistryError, UsageError
from registry.redaction import printable
from registry.wording import plural

#: Group of the entry points of plug-ins: the name of an embedder, and a class or function that makes it.
ENTRY_POINTS: Final = "deepfashion2_registry.embedders"

Vectors = npt.NDArray[np.float32]


@runtime_checkable
class Embedder(Protocol):
    """Makes vectors of crops.

    A plug-in is a package with an entry point in the group :data:`ENTRY_POINTS` that names a class or function without
    arguments, which returns an embedder. Each worker process calls it once. It may also have an attribute ``weights``:
    the SHA-256 of its weights, hex digits.

    Attributes:
        name: of the embedder.
        dimensions: numbers in each vector.
        margin: fraction of a box's width and height that is added on each side.
        crop: how items are cut out of photos, in words.
    """

    @property
    def name(self) -> str:  # noqa: D102 - described above
        ...

    @property
    def dimensions(self) -> int:  # noqa: D102
        ...

    @property
    def margin(self) -> float:  # noqa: D102
        ...

    @property
    def crop(self) -> str:  # noqa: D102
        ...

    def embed(self, crops: Sequence[npt.NDArray[np.uint8]]) -> npt.NDArray[np.float32]:
        """Return the vectors (n, dimensions) of RGB crops (height, width, 3), in their order."""
        ...


#: The embedders of the package.
EMBEDDERS: Final[dict[str, Callable[[], Embedder]]] = {ColourTexture.name: ColourTexture}


def embedder_names() -> list[str]:
    """Return the names of all embedders: those of the package, then those of plug-ins."""
    return [*EMBEDDERS, *sorted(_plug_ins())]


def find_embedder(name: str) -> Embedder:
    """Return an embedder, made anew.

    Raises:
        UnknownNameError: there is none of this name.
        UsageError: a plug-in cannot be loaded, or makes no embedder.
    """
    if name in EMBEDDERS:
        return EMBEDDERS[name]()
    points = _plug_ins()
    if name not in points:
        raise unknown_name("embedder", name, embedder_names())
    point = points[name]
    place = f"The embedder {printable(name)} of {printable(point.value)}"
    try:
        embedder = point.load()()
    except RegistryError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise UsageError(f"{place} cannot be loaded: {_reason(error)}.") from error
    if not isinstance(embedder, Embedder):
        raise UsageError(
            f"{place} makes no embedder: expected an object with name, dimensions, margin, crop and embed(), found "
            f"{type(embedder).__name__}."
        )
    return embedder


def embed(embedder: Embedder, crops: Sequence[npt.NDArray[np.uint8]], names: Sequence[str]) -> Vectors:
    """Return the vectors of crops, float32 [crops, dimensions], none of them zeros.

    Args:
        embedder: makes them.
        crops: RGB [height, width, 3].
        names: of the crops, for messages.

    Raises:
        UsageError: the embedder fails, or returns something else.
    """
    name = f"The embedder {printable(embedder.name)}"
    batch = names[0] if len(crops) == 1 else f"a batch of {plural(len(crops), 'crop')} that begins with {names[0]}"
    try:
        vectors = np.asarray(embedder.embed(crops), np.float32)
    except RegistryError:
        raise
    except Exception as error:  # a plug-in may raise anything
        raise UsageError(f"{name} failed on {batch}: {_reason(error)}") from error
    expected = (len(crops), embedder.dimensions)
    if vectors.shape != expected:
        raise UsageError(f"{name} returned an array {vectors.shape} for {batch}: expected {expected}.")
    bad = np.flatnonzero(~np.isfinite(vectors).all(1) | ~vectors.any(1))
    if len(bad):
        raise UsageError(
            f"{name} returned a vector of zeros, or with numbers that are not finite, for {names[int(bad[0])]}."
        )
    return vectors


def _plug_ins() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=ENTRY_POINTS) if point.name not in EMBEDDERS}


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(": .")
